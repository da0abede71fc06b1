//! The wire types of the server's API (`docs/api.md`), shared by its clients and by the server.
//!
//! Requests are closed: an unknown member is refused, because a client that says more than the server
//! understands must not believe it was heard. Answers are open: a newer server may say more.
//! Ids are UUID text, digests are digest strings, keys are JWKs as JSON, times are ms unless named otherwise.

use std::collections::BTreeMap;

use evidence::{Holder, Principal, Status};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The number in `Deeds-Api`.
pub const API_VERSION: u32 = 1;
/// The header that carries [`API_VERSION`] on every request.
pub const API_HEADER: &str = "deeds-api";
/// Media type of a two-line or endless answer.
pub const NDJSON: &str = "application/x-ndjson";
/// Media type of an error.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// A signed promise that an entry is durable (format §8), kept as it came.
pub type Receipt = Value;

/// An error answer (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// `urn:deeds:error:<code>`.
    #[serde(rename = "type", default)]
    pub kind: String,
    /// A short name of the error.
    #[serde(default)]
    pub title: String,
    /// The HTTP status.
    #[serde(default)]
    pub status: u16,
    /// Stable code to act on.
    #[serde(default)]
    pub code: String,
    /// What happened, to which thing, what to do next.
    #[serde(default)]
    pub detail: String,
}

/// `GET /v1/hello`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// `deeds`.
    pub server: String,
    /// Version of the server.
    pub version: String,
    /// Its [`API_VERSION`].
    pub api: u32,
    /// Its process id.
    pub pid: u32,
    /// Origin of the log.
    pub origin: String,
    /// Leaf hash of entry 0, hex.
    pub log_id: String,
    /// The checkpoint key as a C2SP vkey.
    pub log_vkey: String,
    /// `iss` of roots and audience of proofs.
    pub issuer: String,
    /// The tenant.
    pub tenant: String,
    /// The issuer's public key.
    pub issuer_key: Value,
    /// The active policy.
    pub policy: PolicyName,
    /// Entries sequenced.
    pub size: u64,
    /// Entries published.
    pub published: u64,
    /// What the policy compiler warned about.
    #[serde(default)]
    pub policy_warnings: Vec<String>,
}

/// Which policy is active.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyName {
    /// Digest of the policy set.
    pub digest: String,
    /// Where it came from.
    pub source: String,
}

/// Why a run was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Trigger {
    /// A person started it.
    Human,
    /// A schedule did.
    Schedule,
    /// An event did.
    Event,
    /// Another agent did.
    Agent,
}

/// What decides and forwards: name and version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnforcementPoint {
    /// For example `deeds wrap`.
    pub id: String,
    /// Its version.
    pub version: String,
}

/// The tools of a scope: tool URI to constraints (format §6).
pub type Tools = BTreeMap<String, Value>;

/// `POST /v1/runs`: opens a run, or joins one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenRun {
    /// Our name for the wrapped server.
    pub alias: String,
    /// The command that runs it, without environment.
    pub command: Vec<String>,
    /// Digest of the executable, where it can be seen.
    #[serde(default)]
    pub executable: Option<String>,
    /// Digest of its configuration, where there is one.
    #[serde(default)]
    pub config: Option<String>,
    /// The caller's own fresh public key.
    pub key: Value,
    /// A registered principal's signed request for the root, or nothing: then the uid of the peer vouches.
    #[serde(default)]
    pub root_request: Option<String>,
    /// Tools asked for; nothing means every tool of the alias.
    #[serde(default)]
    pub scope: Option<Tools>,
    /// What for.
    pub purpose: String,
    /// Why the run was started, where known.
    #[serde(default)]
    pub trigger: Option<Trigger>,
    /// The run to join.
    #[serde(default)]
    pub join: Option<String>,
    /// The process that started the caller.
    pub parent_pid: u32,
    /// Who asks.
    pub enforcement_point: EnforcementPoint,
}

/// Answer to [`OpenRun`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OpenedRun {
    /// The run.
    pub run: String,
    /// The caller's stream in it.
    pub stream: u64,
    /// The task.
    pub txn: String,
    /// Who holds the delegation.
    pub holder: Holder,
    /// On whose behalf.
    pub principal: Principal,
    /// Evidence behind the root (a word of `evidence::label::Grade`).
    pub grade: String,
    /// The root delegation (JWS).
    pub delegation: String,
    /// When it ends, seconds.
    pub exp: u64,
    /// Issuer of the delegation and audience of proofs.
    pub issuer: String,
    /// Log index of the run's first entry by this caller.
    pub index: u64,
    /// How long a lost lease may take to come back.
    pub lease_grace_ms: u64,
    /// Receipts of the entries written.
    #[serde(default)]
    pub receipts: Vec<Receipt>,
}

/// `POST /v1/runs/{run}/delegations`: a fresh root for the same task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Renew {
    /// The caller's stream.
    pub stream: u64,
    /// The public key to bind.
    pub key: Value,
    /// As in [`OpenRun`].
    #[serde(default)]
    pub root_request: Option<String>,
    /// As in [`OpenRun`].
    #[serde(default)]
    pub scope: Option<Tools>,
}

/// Answer to [`Renew`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Renewed {
    /// The root delegation (JWS).
    pub delegation: String,
    /// When it ends, seconds.
    pub exp: u64,
    /// Log index of its entry.
    pub index: u64,
}

/// `POST /v1/runs/{run}/lease`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TakeLease {
    /// The caller's stream.
    pub stream: u64,
}

/// One line of a lease: `{"lease":"held"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseLine {
    /// `held`.
    pub lease: String,
}

/// `POST /v1/runs/{run}/end`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndRun {
    /// The caller's stream.
    pub stream: u64,
    /// `closed`, `server-exited`, …
    pub reason: String,
    /// Gap entries written by the caller.
    pub gaps: u64,
}

/// Answer to [`EndRun`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndedRun {
    /// Log index of the manifest; nothing when other streams of the run go on.
    #[serde(default)]
    pub index: Option<u64>,
    /// Acts whose outcome had to be set to `unknown`.
    #[serde(default)]
    pub abandoned: Vec<String>,
}

/// The log index of an entry just written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// Its index.
    pub index: u64,
}

/// `POST /v1/runs/{run}/actions`: begin. Answered only once the decision is durable.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Begin {
    /// The caller's stream.
    pub stream: u64,
    /// Chosen once per act, shared by its attempts.
    pub act_id: String,
    /// For example `tools/call`.
    pub operation: String,
    /// Tool URI.
    pub tool: String,
    /// The arguments' exact text; nothing when there were none.
    #[serde(default)]
    pub args: Option<String>,
    /// Digest of the frame as received, without its newline.
    pub frame_digest: String,
    /// Digest of the frame as it will be forwarded, when something was stripped.
    #[serde(default)]
    pub sent_frame_digest: Option<String>,
    /// Digest of the tool's definition, when a list was relayed.
    #[serde(default)]
    pub definition_digest: Option<String>,
    /// Token digest of the delegation.
    pub delegation: String,
    /// Proof of possession (JWS).
    pub pop: String,
    /// The directory that paths are relative to, where one is declared.
    #[serde(default)]
    pub root_dir: Option<String>,
    /// What client and agent say of themselves: asserted.
    #[serde(default)]
    pub correlators: Value,
}

/// Answer to [`Begin`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "lowercase")]
pub enum Begun {
    /// The act may go; every permit ends in exactly one outcome.
    Allow(Allowed),
    /// It may not.
    Deny(Denied),
}

/// A permit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Allowed {
    /// Log index of the decision.
    pub index: u64,
    /// The act.
    pub act_id: String,
    /// How the tool is classified.
    #[serde(default)]
    pub class: Value,
    /// What is kept of arguments and result.
    pub capture: CaptureModes,
    /// That the decision is durable.
    #[serde(default)]
    pub receipt: Receipt,
}

/// A refusal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Denied {
    /// Log index; nothing when refusals of this source are being counted instead.
    #[serde(default)]
    pub index: Option<u64>,
    /// Why.
    pub reason: Reason,
    /// That it is durable, when it was recorded by itself.
    #[serde(default)]
    pub receipt: Option<Receipt>,
}

/// Why an act was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// Stable code.
    pub code: String,
    /// The step that refused.
    pub step: String,
    /// Words a person can act on.
    pub text: String,
}

/// What is kept of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CaptureMode {
    /// The bytes, sealed.
    Sealed,
    /// Its digest and size.
    Digest,
    /// Nothing.
    None,
}

/// What is kept of arguments and result of one act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaptureModes {
    /// Of the arguments.
    pub args: CaptureMode,
    /// Of the result.
    pub result: CaptureMode,
}

/// `POST /v1/runs/{run}/actions/{act_id}/outcome`: finish.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finish {
    /// The caller's stream.
    pub stream: u64,
    /// UUIDv7; the same one when it is sent again.
    pub event_id: String,
    /// Log index of the decision.
    pub decision: u64,
    /// What came of it.
    #[serde(with = "status_word")]
    pub status: Status,
    /// Exact text of the `result` or `error` member, when it is to be kept.
    #[serde(default)]
    pub result: Option<String>,
    /// Its digest.
    #[serde(default)]
    pub result_digest: Option<String>,
    /// Its size in bytes.
    #[serde(default)]
    pub result_size: u64,
    /// Digest of the frame it came in.
    #[serde(default)]
    pub frame_digest: Option<String>,
    /// From the first byte forwarded to the answer.
    #[serde(default)]
    pub duration_us: u64,
    /// Why the status is what it is.
    #[serde(default)]
    pub detail: Option<String>,
}

/// First line of the answer to [`Finish`]: the outcome is certain, the result may go to the caller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnqueuedLine {
    /// Always true.
    pub enqueued: bool,
}

/// Second line of the answer to [`Finish`]: the outcome is durable.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finished {
    /// Log index of the outcome.
    pub index: u64,
    /// That it is durable.
    #[serde(default)]
    pub receipt: Receipt,
    /// It came after the outcome was set to `unknown`, and was recorded beside it.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub late: bool,
}

/// `POST /v1/runs/{run}/observations`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Observe {
    /// The caller's stream.
    pub stream: u64,
    /// `frame`, `definitions`, …
    pub subtype: String,
    /// What was seen.
    pub payload: Value,
    /// How many times, when it stands for several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// The act it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub act_id: Option<String>,
    /// Digest of the frame it tells of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frame_digest: Option<String>,
    /// The rate rule for refusals applies.
    #[serde(default)]
    pub refusal: bool,
}

/// Answer to [`Observe`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// Log index; nothing when refusals of this source are being counted instead.
    #[serde(default)]
    pub index: Option<u64>,
}

/// `POST /v1/runs/{run}/gaps`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gap {
    /// The caller's stream.
    pub stream: u64,
    /// `server-unreachable`, …
    pub reason: String,
    /// When it began.
    pub from_ms: u64,
    /// When it ended.
    pub to_ms: u64,
    /// How many things went unrecorded.
    pub count: u64,
    /// Digest of their list, each frame's digest string followed by a newline.
    #[serde(default)]
    pub digest: Option<String>,
    /// What they were.
    #[serde(default)]
    pub detail: Option<String>,
}

/// `POST /v1/principals`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddPrincipal {
    /// `human` or `service`.
    pub kind: evidence::principal::PrincipalKind,
    /// Identifier at this log's issuer.
    pub sub: String,
    /// Public key.
    pub key: Value,
    /// Erasable names.
    #[serde(default)]
    pub display: Option<Value>,
    /// That the key is held (JWS).
    pub proof: String,
}

/// Answer to [`AddPrincipal`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddedPrincipal {
    /// As registered.
    pub principal: Principal,
    /// Log index.
    pub index: u64,
}

/// One row of `GET /v1/principals`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PrincipalRow {
    /// As registered.
    pub principal: Principal,
    /// Log index of the registration.
    pub index: u64,
    /// Assurance of the registration (a word of `evidence::label::Assurance`).
    pub label: String,
    /// Erasable names.
    #[serde(default)]
    pub display: Option<Value>,
}

/// `GET /v1/policy`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Digest of the policy set.
    pub digest: String,
    /// Where it came from.
    pub source: String,
    /// Its policies.
    pub policies: Vec<PolicyRow>,
    /// What its compiler warned about.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// One policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyRow {
    /// Its `@id`.
    pub id: String,
    /// `permit` or `forbid`.
    pub effect: String,
}

/// `POST /v1/policy`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActivatePolicy {
    /// Absolute path of the policy directory.
    pub dir: String,
}

/// Answer to [`ActivatePolicy`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActivatedPolicy {
    /// Digest of the policy set.
    pub digest: String,
    /// Log index.
    pub index: u64,
}

/// `POST /v1/prove`. The answer is a bundle, not JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prove {
    /// `@123`, an act id or a run.
    pub subject: String,
    /// Fields of actions that are not shown: `args`, `result`.
    #[serde(default)]
    pub withhold: Vec<String>,
}

/// `GET /v1/checkpoint`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The signed note.
    pub checkpoint: String,
    /// Entries under it.
    pub size: u64,
}

/// A [`Status`] as its word.
mod status_word {
    use evidence::Status;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
    pub(super) fn serialize<S: Serializer>(status: &Status, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(status.as_str())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Status, D::Error> {
        let word = String::deserialize(deserializer)?;
        Status::parse(&word)
            .ok_or_else(|| D::Error::custom(format!("`{word}` is not a status of an outcome")))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn answers_read_as_the_api_page_writes_them() {
        let allow = json!({"verdict":"allow","index":7,"act_id":"a","class":{"classes":[]},
            "capture":{"args":"sealed","result":"digest"},"receipt":{"index":7}});
        let Begun::Allow(allowed) = serde_json::from_value(allow).unwrap() else { panic!("allowed") };
        assert_eq!((allowed.index, allowed.capture.result), (7, CaptureMode::Digest));
        let deny =
            json!({"verdict":"deny","index":null,"reason":{"code":"c","step":"s","text":"t"},"receipt":null});
        let Begun::Deny(denied) = serde_json::from_value(deny).unwrap() else { panic!("denied") };
        assert_eq!((denied.index, denied.receipt), (None, None));
        assert!(serde_json::from_value::<Begun>(json!({"verdict":"modify"})).is_err());
        let late = json!({"index":9,"receipt":{},"late":true});
        assert!(serde_json::from_value::<Finished>(late).unwrap().late);
    }

    #[test]
    fn requests_with_unknown_members_are_refused() {
        assert!(serde_json::from_value::<EndRun>(json!({"stream":0,"reason":"closed","gaps":0})).is_ok());
        assert!(
            serde_json::from_value::<EndRun>(json!({"stream":0,"reason":"closed","gaps":0,"x":1})).is_err()
        );
        let finish = json!({"stream":0,"event_id":"e","decision":3,"status":"input-required"});
        assert_eq!(serde_json::from_value::<Finish>(finish).unwrap().status, Status::InputRequired);
        let finish = json!({"stream":0,"event_id":"e","decision":3,"status":"fine"});
        assert!(serde_json::from_value::<Finish>(finish).unwrap_err().to_string().contains("`fine`"));
    }
}

//! Runs: opening, renewing, holding, ending, and what was seen beside the acts.

use std::collections::BTreeMap;

use evidence::{Holder, Principal};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Presented, Receipt};

/// The first word of the tool URIs of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// An MCP server over its standard streams: `stdio:<alias>`.
    #[default]
    Stdio,
    /// A command: `run:<alias>`.
    Run,
}

impl Scheme {
    /// The word in URIs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stdio => "stdio",
            Self::Run => "run",
        }
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
    fn is_stdio(&self) -> bool {
        *self == Self::Stdio
    }
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
    /// What kind of thing it names: with the alias it makes the part of tool URIs before `#`.
    #[serde(default, skip_serializing_if = "Scheme::is_stdio")]
    pub scheme: Scheme,
    /// The command that runs it, without environment.
    pub command: Vec<String>,
    /// Digest of the executable, where it can be seen.
    #[serde(default)]
    pub executable: Option<String>,
    /// Digest of its configuration, where there is one.
    #[serde(default)]
    pub config: Option<String>,
    /// The caller's own fresh public key, or the one that the leaf of `delegation` is bound to.
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
    /// The chain that somebody made for `key`; `root_request` and `scope` are nothing then.
    #[serde(default)]
    pub delegation: Option<Presented>,
    /// The text handed over with the work, whose digest the leaf of the chain has.
    #[serde(default)]
    pub handoff: Option<String>,
    /// The run that handed the work over, where several could be meant.
    #[serde(default)]
    pub parent: Option<String>,
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
    /// The delegation that the caller holds: the root issued, or the leaf of the chain presented (JWS).
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
    /// The run that this one is a child of, where it was announced there.
    #[serde(default)]
    pub parent: Option<String>,
    /// Where the counter of the key's next proof starts.
    #[serde(default)]
    pub next_counter: u64,
}

/// `POST /v1/runs/{run}/delegations`: a fresh root for the same task, or another chain for the run.
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
    /// As in [`OpenRun`].
    #[serde(default)]
    pub delegation: Option<Presented>,
}

/// Answer to [`Renew`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Renewed {
    /// The root issued, or the leaf of the chain presented (JWS).
    pub delegation: String,
    /// When it ends, seconds.
    pub exp: u64,
    /// Log index of its entry.
    pub index: u64,
    /// Where the counter of the key's next proof starts.
    #[serde(default)]
    pub next_counter: u64,
    /// Lower counters of the key that were never used: enough of them, and its later proofs are refused.
    #[serde(default)]
    pub missing: Vec<u64>,
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

/// What a list of definitions is of (format §5, kind 9).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Defined {
    /// Tools by name.
    Tool,
    /// Resources by URI.
    Resource,
    /// Resource templates by URI template.
    ResourceTemplate,
    /// Prompts by name.
    Prompt,
    /// The server itself: `command`, `executable`, `package`, `environment`.
    Server,
}

/// `POST /v1/runs/{run}/definitions`: what the server of the run is known to offer, or to be, by digests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Define {
    /// The caller's stream.
    pub stream: u64,
    /// Of what.
    pub list: Defined,
    /// Name to digest string, at most 256.
    pub names: BTreeMap<String, String>,
    /// Names told before in this run and not told any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gone: Vec<String>,
    /// Whether `names` is all that there is.
    #[serde(default)]
    pub complete: bool,
    /// Digest string of the frame that told them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frame_digest: Option<String>,
}

/// Answer to [`Define`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DefinedAnswer {
    /// Log index of the observation.
    pub index: u64,
    /// Log indexes of the `definition-changed` entries, where anything differs from what was known of this server.
    #[serde(default)]
    pub changed: Vec<u64>,
}

/// `POST /v1/definitions`: a change that no run saw (the configuration of a client). Answered with [`super::Written`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientConfigChanged {
    /// Client, path and name of the server there, separated by `#`.
    pub name: String,
    /// Digest string of the server's entry as it was wrapped.
    #[serde(default)]
    pub old: Option<String>,
    /// Digest string of what is there now.
    #[serde(default)]
    pub new: Option<String>,
}

/// `POST /v1/withdrawals`: an artifact is not to be relied on any more. Answered with [`super::Written`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Withdraw {
    /// Its name: then every version of it.
    #[serde(default)]
    pub uri: Option<String>,
    /// Digest string of its bytes: then wherever they are.
    #[serde(default)]
    pub digest: Option<String>,
    /// Why.
    pub why: String,
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

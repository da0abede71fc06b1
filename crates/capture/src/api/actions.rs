//! Actions: begin and finish.

use evidence::Status;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Receipt;

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
    /// Token digest of the delegation; nothing where the head of the request carries it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delegation: Option<String>,
    /// Proof of possession (JWS); nothing where the head of the request carries it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pop: Option<String>,
    /// How chain and proof came to the caller; nothing where the head of the request carries them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub carrier: Option<Carrier>,
    /// The directory that paths are relative to, where one is declared.
    #[serde(default)]
    pub root_dir: Option<String>,
    /// What client and agent say of themselves: asserted.
    #[serde(default)]
    pub correlators: Value,
    /// Artifacts as they were before the act.
    #[serde(default, skip_serializing_if = "Artifacts::is_empty")]
    pub inputs: Artifacts,
    /// Where the act stood among others in one frame.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<Batch>,
    /// Log index of the decision whose outcome was `input-required` and which this tries again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_of: Option<u64>,
}

/// One act among several in one frame (format §5, kind 5, 34).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Batch {
    /// Digest string of the whole frame.
    pub digest: String,
    /// Position in it, from 0.
    pub position: u64,
    /// How many there are.
    pub count: u64,
}

/// What happened to an artifact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// It was not there before.
    Created,
    /// It has other bytes than before.
    Modified,
    /// It is not there any more.
    Deleted,
}

/// A thing with a digest (format §5, objects).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Artifact {
    /// Its name: a URI of at most 2,048 bytes.
    pub uri: String,
    /// Digest string of its bytes, where they were seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// How many bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Media type, as somebody said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// What the act did to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<Change>,
    /// Digest string of the bytes that were there before the act.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
}

/// The artifacts of an act: a list of at most 256, or what stands for a longer one that was recorded before in parts
/// ([`ArtifactsPart`]).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Artifacts {
    /// All of them.
    List(Vec<Artifact>),
    /// How many, and the digest string of the JCS of the whole list.
    Many {
        /// How many.
        count: u64,
        /// Of the list.
        digest: String,
    },
}

impl Default for Artifacts {
    fn default() -> Self {
        Self::List(Vec::new())
    }
}

impl Artifacts {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::List(list) if list.is_empty())
    }
}

/// On which side of an act artifacts are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ArtifactRole {
    /// Before it.
    Inputs,
    /// What came of it.
    Outputs,
}

/// `POST /v1/runs/{run}/artifacts`: one part of a list that is too long for a decision or an outcome. Answered like
/// an observation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArtifactsPart {
    /// The caller's stream.
    pub stream: u64,
    /// The act.
    pub act_id: String,
    /// Before or after.
    pub role: ArtifactRole,
    /// Number of the part, from 0.
    pub part: u64,
    /// At most 256.
    pub artifacts: Vec<Artifact>,
}

/// How chain and proof came to whoever asks for a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Carrier {
    /// It holds the key itself.
    Wrap,
    /// In the `_meta` of an MCP request.
    McpMeta,
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
    /// Artifacts that came of the act.
    #[serde(default, skip_serializing_if = "Artifacts::is_empty")]
    pub outputs: Artifacts,
    /// Parts that came before the result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parts: Option<Parts>,
    /// Digest of the frame as relayed to the caller, when something was stripped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_frame_digest: Option<String>,
}

/// Progress frames that came before a result (format §5, kind 6, 10).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parts {
    /// How many.
    pub count: u64,
    /// Digest string over their frames' digest strings, each followed by a line feed.
    pub digest: String,
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

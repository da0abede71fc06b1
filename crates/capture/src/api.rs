//! The wire types of the server's API (`docs/api.md`), shared by its clients and by the server.
//!
//! Requests are closed: an unknown member is refused, because a client that says more than the server
//! understands must not believe it was heard. Answers are open: a newer server may say more.
//! Ids are UUID text, digests are digest strings, keys are JWKs as JSON, times are ms unless named otherwise.

mod actions;
mod delegations;
mod principals;
mod runs;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use actions::*;
pub use delegations::*;
pub use principals::*;
pub use runs::*;

/// The number in `Deeds-Api`.
pub const API_VERSION: u32 = 1;
/// The header that carries [`API_VERSION`] on every request.
pub const API_HEADER: &str = "deeds-api";
/// The header that names the leaf delegation of an act by its token digest.
pub const DELEGATION_REF_HEADER: &str = "deeds-delegation-ref";
/// The header that carries the proof of possession of an act.
pub const DELEGATION_POP_HEADER: &str = "deeds-delegation-pop";
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
    /// The policy directory that this server was started with, where it was with one.
    #[serde(default)]
    pub policy_at_start: Option<String>,
}

/// Which policy is active.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyName {
    /// Digest of the policy set.
    pub digest: String,
    /// Where it came from.
    pub source: String,
}

/// The log index of an entry just written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// Its index.
    pub index: u64,
}

#[cfg(test)]
mod tests;

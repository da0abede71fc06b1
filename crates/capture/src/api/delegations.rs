//! Delegations, mandates, revocations and halts.

use evidence::Principal;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A chain that somebody made: `{"chain":[…]}` or `{"ref":"…"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Presented {
    /// Every link (JWS), root first.
    Chain(Vec<String>),
    /// Token digest of the leaf of a chain that the server knows.
    Ref(String),
}

/// `POST /v1/delegations`: `{"root_request":jws}` issues a root outside a run, `{"chain":[…]}` keeps a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AddDelegation {
    /// A registered principal's signed request; answered with [`IssuedDelegation`].
    RootRequest(String),
    /// Every link (JWS), root first; answered with [`KeptChain`].
    Chain(Vec<String>),
}

/// Answer to [`AddDelegation::RootRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuedDelegation {
    /// The root (JWS).
    pub delegation: String,
    /// Its token digest.
    pub digest: String,
    /// When it ends, seconds.
    pub exp: u64,
    /// Log index of its entry.
    pub index: u64,
    /// The run that it was recorded in, which has ended.
    pub run: String,
    /// The task.
    pub txn: String,
    /// Issuer of the root and audience of proofs.
    pub issuer: String,
    /// On whose authority.
    pub principal: Principal,
    /// Evidence behind it (a word of `evidence::label::Grade`).
    pub grade: String,
}

/// Answer to [`AddDelegation::Chain`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptChain {
    /// Token digest of the leaf, by which the chain can be named.
    pub digest: String,
    /// Number of links.
    pub links: u64,
    /// When the first of them ends, seconds.
    pub exp: u64,
}

/// `POST /v1/mandates`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddMandate {
    /// The mandate (JWS).
    pub mandate: String,
}

/// Answer to [`AddMandate`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddedMandate {
    /// Its token digest.
    pub digest: String,
    /// Log index.
    pub index: u64,
    /// When it ends, seconds.
    pub exp: u64,
}

/// `POST /v1/revocations`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revoke {
    /// A word of format §6, Revocation.
    pub what: String,
    /// The target that goes with it: a string, or `{"iss","sub"}` for a principal.
    pub target: Value,
    /// From when on, seconds; nothing: from now on.
    #[serde(default)]
    pub eff: Option<u64>,
    /// Why.
    pub why: String,
    /// The signed revocation (JWS), which says the same; without it the uid of the peer stands behind it.
    #[serde(default)]
    pub token: Option<String>,
}

/// Answer to [`Revoke`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revoked {
    /// Log index.
    pub index: u64,
    /// From when on, seconds.
    pub eff: u64,
}

/// `POST /v1/halts`; answered with [`super::Written`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddHalt {
    /// Whom it stops (format §6, Halt).
    pub on: Value,
    /// Why.
    pub why: String,
    /// The signed order (JWS), which says the same; without it the uid of the peer stands behind it.
    #[serde(default)]
    pub token: Option<String>,
}

/// `DELETE /v1/halts/{index}`; answered with [`super::Written`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resume {
    /// The signed order of a registered person (JWS).
    pub token: String,
    /// Why.
    pub why: String,
}

/// Answer to `GET /v1/halts`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Halts {
    /// Those in force.
    pub halts: Vec<HaltRow>,
}

/// One halt in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HaltRow {
    /// Log index of its entry.
    pub index: u64,
    /// Whom it stops (format §6, Halt).
    pub on: Value,
    /// Why; empty where that was erased.
    pub why: String,
    /// Who ordered it; nothing where that was erased.
    #[serde(default)]
    pub by: Option<Principal>,
    /// When it was recorded.
    pub at_ms: u64,
}

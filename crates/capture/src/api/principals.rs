//! Principals, policy, proofs and checkpoints.

use evidence::Principal;
use serde::{Deserialize, Serialize};
use serde_json::Value;

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

//! Who: principals and holders (DESIGN §4). Identity is issuer and `sub`, never a display name.

use serde::{Deserialize, Serialize};

use crate::limits::PRINCIPAL_ID_MAX_BYTES;

/// What a principal is. *agent* means an AI agent only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PrincipalKind {
    /// A person.
    Human,
    /// A service.
    Service,
    /// A workflow.
    Workflow,
    /// A schedule.
    Schedule,
    /// An AI agent.
    Agent,
    /// It cannot be told: a uid may be a person or a program.
    Unknown,
}

impl PrincipalKind {
    /// The word used in JSON and text.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Human => "human",
            Self::Service => "service",
            Self::Workflow => "workflow",
            Self::Schedule => "schedule",
            Self::Agent => "agent",
            Self::Unknown => "unknown",
        }
    }

    /// The kind with this word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Human, Self::Service, Self::Workflow, Self::Schedule, Self::Agent, Self::Unknown]
            .into_iter()
            .find(|kind| kind.as_str() == text)
    }
}

/// Who stands behind a delegation. JSON: `{kind, iss, sub, key?}`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Principal {
    /// What it is.
    pub kind: PrincipalKind,
    /// Who vouches for `sub`.
    pub iss: String,
    /// The identifier at that issuer.
    pub sub: String,
    /// Thumbprint of its key, for a local key principal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

impl Principal {
    /// Whether both identifiers are non-empty, printable and within the limit.
    pub fn is_well_formed(&self) -> bool {
        is_identifier(&self.iss) && is_identifier(&self.sub) && self.key.as_deref().is_none_or(is_identifier)
    }

    /// Same identity, whatever key or kind goes with it.
    pub fn same(&self, other: &Self) -> bool {
        self.iss == other.iss && self.sub == other.sub
    }
}

/// Whether text can be the `iss` or `sub` of a principal: non-empty, printable and within the limit (format §5).
pub fn is_identifier(text: &str) -> bool {
    (1..=PRINCIPAL_ID_MAX_BYTES).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// Who holds a delegation: the agent instance and the key bound to it. JSON: `{id, inst, kind, asr, key}`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Holder {
    /// The holder; policy state is kept per task and this id.
    pub id: String,
    /// This instance of it.
    pub inst: String,
    /// What it is.
    pub kind: PrincipalKind,
    /// Assurance of `id` (a word of [`crate::label::Assurance`]).
    pub asr: String,
    /// Thumbprint of the bound key.
    pub key: String,
}

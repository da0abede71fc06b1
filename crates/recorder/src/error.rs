//! What a caller of the recorder can run into. A refusal of an act is not an error: it is an answer.

use verify::chain::Failure;

use crate::permit::Reason;

/// A request that could not be answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecorderError {
    /// No such run here.
    #[error("no run `{0}` is known to this log: open one first")]
    RunUnknown(String),
    /// The run has ended.
    #[error("the run `{0}` has ended: open a new one")]
    RunEnded(String),
    /// The run has no such stream.
    #[error("the run `{0}` has no stream {1}: join it first")]
    StreamUnknown(String, u64),
    /// The run already has as many streams or open acts as it may.
    #[error("the run `{0}` already has its limit of {1}: finish some first")]
    RunFull(String, &'static str),
    /// No such decision, or it was not an allow.
    #[error("the run `{0}` has no permitted act `{1}`")]
    ActUnknown(String, String),
    /// Another command goes by this alias in this task.
    #[error("the alias `{0}` already stands for another command in this task: choose another with --name")]
    AliasTaken(String),
    /// A request for a root delegation was refused.
    #[error("the request for a delegation was refused at step {step}: {text}")]
    RequestRefused {
        /// Name of the failed step.
        step: &'static str,
        /// What happened and what to do.
        text: String,
    },
    /// A chain that somebody presented does not hold, or does not fit the run.
    #[error("the delegation was refused at step {step}: {text}")]
    DelegationRefused {
        /// Name of the failed step.
        step: &'static str,
        /// What happened and what to do.
        text: String,
    },
    /// No chain is known by this digest, or its root was not issued here.
    #[error(
        "no delegation `{0}` is known to this log: present its whole chain, from a root that was issued here"
    )]
    DelegationUnknown(String),
    /// A signed revocation, halt or resume does not hold, or lacks its signature.
    #[error("the order was refused at step {step}: {text}")]
    OrderRefused {
        /// Name of the failed step.
        step: &'static str,
        /// What happened and what to do.
        text: String,
    },
    /// No halt in force has this index.
    #[error("no halt @{0} is in force: it was lifted, or that entry is none")]
    HaltUnknown(u64),
    /// A principal is not registered, or already retired.
    #[error("no registered key has the thumbprint `{0}`: see `deeds principal list`")]
    PrincipalUnknown(String),
    /// A key that stands for another principal, or was retired.
    #[error("{0}")]
    KeyTaken(String),
    /// Something the caller sent cannot be recorded.
    #[error("{0}")]
    Invalid(String),
    /// The policy set does not load.
    #[error("the policy is not activated: {0}")]
    Policy(String),
    /// The queue is full.
    #[error("the log is busy: try again in a second")]
    Busy,
    /// The log cannot be written.
    #[error("the log cannot be written: {0}")]
    Log(String),
    /// The log stopped before it answered.
    #[error("the log stopped before it answered: whether the entry is durable shows after the restart")]
    LogUnavailable,
}

impl RecorderError {
    /// A chain that does not hold.
    pub(crate) fn delegation(failure: &Failure) -> Self {
        Self::DelegationRefused { step: failure.step.name(), text: failure.text.clone() }
    }

    /// A principal's request that does not hold.
    pub(crate) fn request(failure: &Failure) -> Self {
        Self::RequestRefused { step: failure.step.name(), text: failure.text.clone() }
    }

    /// An order that does not hold.
    pub(crate) fn order(failure: &Failure) -> Self {
        Self::OrderRefused { step: failure.step.name(), text: failure.text.clone() }
    }

    /// Why something was refused, where this is a refusal that belongs on the record.
    pub(crate) fn refusal(&self) -> Option<Reason> {
        match self {
            Self::RequestRefused { step, text } => Some(Reason::new("request-refused", step, text)),
            Self::DelegationRefused { step, text } => Some(Reason::new("delegation-refused", step, text)),
            Self::OrderRefused { step, text } => Some(Reason::new("order-refused", step, text)),
            Self::DelegationUnknown(_) => {
                Some(Reason::new("delegation-unknown", "decision-delegation", &self.to_string()))
            }
            Self::HaltUnknown(_) => Some(Reason::new("halt-unknown", "order-binding", &self.to_string())),
            _ => None,
        }
    }
}

/// Why a log does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The store refuses.
    #[error(transparent)]
    Store(#[from] store::OpenError),
    /// An entry cannot be read.
    #[error("entry @{index} cannot be read: {what}")]
    Entry {
        /// Its index.
        index: u64,
        /// Why.
        what: String,
    },
    /// The policy in force cannot be used again.
    #[error(
        "the policy in force, activated by entry @{index}, cannot be used again, so start once with another \
         (`deeds serve --policy DIR`): {what}"
    )]
    Policy {
        /// Its entry.
        index: u64,
        /// Why.
        what: String,
    },
    /// The keys given are not the keys of this log.
    #[error("this log was made with another {0}: give the keys directory that belongs to it")]
    OtherKeys(&'static str),
    /// The log could not be written.
    #[error(transparent)]
    Recorder(#[from] RecorderError),
}

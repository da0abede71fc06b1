//! What `begin` answers: a permit, or a refusal with its reason.

use std::mem;

use evidence::Status;
use evidence::id::Id;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::Receipt;

use crate::decided::{Capture, Decided, Request};
use crate::outcome::{Durable, Outcome};
use crate::sequencing::{First, Written};
use crate::{Recorder, RecorderError};

/// Why an act was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// Stable word for programs.
    pub code: String,
    /// The step that failed: `policy`, or the name of a check of the format.
    pub step: String,
    /// For a person: what happened and what to do.
    pub text: String,
}

impl Reason {
    /// A reason; the text is for a person.
    pub fn new(code: &str, step: &str, text: &str) -> Self {
        Self { code: code.to_owned(), step: step.to_owned(), text: text.to_owned() }
    }
}

/// The answer to a proposed act.
#[derive(Debug)]
pub enum Answer {
    /// It may go, while the permit lives.
    Allowed(Permit),
    /// It may not.
    Refused(Refusal),
}

/// A refusal, recorded or counted.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// Index of the recorded decision; nothing when refusals of this source are being counted.
    pub index: Option<u64>,
    /// Why.
    pub reason: Reason,
    /// The log's promise that the decision is durable.
    pub receipt: Option<Receipt>,
}

/// Leave to act, once. It ends in exactly one recorded outcome: [`Permit::finish`], or `unknown` when it is dropped.
#[derive(Debug)]
#[must_use = "an act whose permit is dropped is recorded with an unknown outcome"]
pub struct Permit {
    recorder: Recorder,
    run: Id,
    act_id: Id,
    /// Index of the decision.
    pub index: u64,
    /// Leaf hash of the decision.
    pub leaf: [u8; 32],
    /// Classes of the tool.
    pub class: Value,
    /// What of the act and its result is kept.
    pub capture: Capture,
    /// The log's promise that the decision is durable; nothing for an answer that was given before.
    pub receipt: Option<Receipt>,
    armed: bool,
}

impl Permit {
    /// Records the outcome. Returns once it is in the queue: the result may go to the caller then.
    pub fn finish(mut self, outcome: Outcome) -> Result<Durable, RecorderError> {
        self.armed = false;
        self.recorder.finish(self.run, self.act_id, self.index, outcome)
    }

    /// Hands the permit to the lease of its run: whoever holds that finishes the act, or its loss does.
    pub fn leased(mut self) -> Leased {
        self.armed = false;
        let class = mem::take(&mut self.class);
        Leased { index: self.index, class, capture: self.capture, receipt: self.receipt.take() }
    }
}

/// What is told to a process that acts under the lease of its run.
#[derive(Debug, Clone)]
pub struct Leased {
    /// Index of the decision.
    pub index: u64,
    /// Classes of the tool.
    pub class: Value,
    /// What of the act and its result is kept.
    pub capture: Capture,
    /// The log's promise that the decision is durable.
    pub receipt: Option<Receipt>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        if mem::take(&mut self.armed) {
            let mut random = [0; 10];
            self.recorder.0.entropy.fill(&mut random);
            let event_id = evidence::id::uuid_v7(self.recorder.0.clock.wall_ms(), &random);
            let outcome = Outcome {
                detail: Some("the permit was dropped before an outcome was reported".into()),
                ..Outcome::bare(event_id, Status::Unknown)
            };
            // nothing can be done about a log that has stopped; recovery closes the act at the next start
            drop(self.recorder.finish(self.run, self.act_id, self.index, outcome));
        }
    }
}

impl core::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Recorder({})", self.0.names.origin)
    }
}

impl Answer {
    /// A refusal that was counted, not recorded.
    pub(crate) fn counted(reason: Reason) -> Self {
        Self::Refused(Refusal { index: None, reason, receipt: None })
    }
}

impl Recorder {
    /// The answer that goes with a decision that is durable now.
    pub(crate) fn answer(&self, request: &Request, decision: Decided, written: &Written) -> Answer {
        let receipt = written.receipts.first().cloned();
        let Some(leaf) = written.leaves.first().copied().filter(|_| decision.allows()) else {
            return Answer::Refused(Refusal {
                index: Some(written.first),
                reason: decision.into_reason(),
                receipt,
            });
        };
        Answer::Allowed(Permit {
            recorder: self.clone(),
            run: request.run,
            act_id: request.act_id,
            index: written.first,
            leaf,
            class: decision.class(),
            capture: decision.capture(),
            receipt,
            armed: true,
        })
    }

    /// The answer to a retry: the first one, without a second permit.
    pub(crate) fn first_answer(&self, request: &Request, first: &First) -> Answer {
        if !first.allowed {
            let reason = Reason::new(
                "refused-before",
                "repeat",
                "this act was refused before; see the first decision",
            );
            return Answer::Refused(Refusal { index: Some(first.index), reason, receipt: None });
        }
        Answer::Allowed(Permit {
            recorder: self.clone(),
            run: request.run,
            act_id: request.act_id,
            index: first.index,
            leaf: first.leaf,
            class: Value::Null,
            capture: Capture::default(),
            receipt: None,
            // the first permit, or the lease that took it over, ends the act; this one is the same answer again
            armed: false,
        })
    }
}

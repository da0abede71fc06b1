//! Asking for a decision, and settling the question when the answer was lost.

use core::fmt;

use evidence::Status;
use serde_json::Value;

use super::gap::Missed;
use super::holder::{Claim, Fate, Proof};
use super::keeper::wait;
use super::own::Cause;
use super::{Held, Run};
use crate::api::{Artifacts, Batch, Begin, Begun, Carrier, Finish, Receipt};
use crate::client::{Client, ClientError};
use crate::limits::RETRY_FIRST;

/// One act to be decided.
#[derive(Clone)]
pub(crate) struct Question {
    /// What is done: an MCP method, or `run/command`.
    pub(crate) operation: String,
    /// Tool URI.
    pub(crate) tool: String,
    /// The act that this is a further attempt of; without one the wrap draws an id. A presented proof names its own.
    pub(crate) act_id: Option<String>,
    /// Log index of the decision that this tries again, whose outcome was `input-required`.
    pub(crate) retry_of: Option<u64>,
    /// Exact text of the arguments.
    pub(crate) args: Option<String>,
    /// b64url of SHA-256 of JCS of the arguments.
    pub(crate) args_digest: String,
    pub(crate) frame_digest: String,
    pub(crate) sent_frame_digest: Option<String>,
    pub(crate) definition_digest: Option<String>,
    pub(crate) root_dir: Option<String>,
    pub(crate) correlators: Value,
    /// Artifacts as they are before the act.
    pub(crate) inputs: Artifacts,
    /// Where the act stands among others in one frame.
    pub(crate) batch: Option<Batch>,
}

impl Held {
    /// Asks the server, with the proof that the call presented or else with one that the wrap signs. An answer means
    /// that the decision is durable; an error means that the call must not go.
    pub(crate) async fn ask(&self, question: Question, presented: Option<Proof>) -> Result<Begun, NoAnswer> {
        let run = &self.run;
        let client = run.server_soon().await.map_err(NoAnswer::unasked)?;
        let proof = match presented {
            Some(proof) => proof,
            None => run.proof(&client, &question).await.map_err(NoAnswer::unasked)?,
        };
        let begin = run.begin_request(question, &proof);
        match run.begin_once_reached(&client, &begin).await {
            Ok(answer) => {
                run.is_reached();
                run.keep_receipt(receipt(&answer));
                run.answered(&proof, &answer);
                // A server that answers again can be told what it missed while it did not.
                run.report_gap_soon();
                Ok(answer)
            }
            Err(error) => {
                let none = NoAnswer { cause: Cause::Server(error), sent: true };
                run.unused(&proof, none.fate());
                if none.is_in_doubt() {
                    // The decision may be durable although we do not know it: the log may show a permit. It is
                    // given back as not forwarded as soon as the server says what it decided.
                    let held = self.clone();
                    run.deliveries.spawn(async move { held.settle(begin, proof).await });
                }
                Err(none)
            }
        }
    }

    /// Sends the same question with the same proof until it is answered: a retry gets the first answer, so this
    /// never makes a second permit.
    async fn settle(self, begin: Begin, proof: Proof) {
        let run = &self.run;
        let mut pause = RETRY_FIRST;
        loop {
            let client = run.server().await;
            match client.begin(&run.id, &begin).await {
                Ok(Begun::Allow(allowed)) => {
                    run.keep_receipt(&allowed.receipt);
                    let detail = "the decision's answer was lost on its way, so the call was refused";
                    let finish = run.unanswered(allowed.index, Status::NotForwarded, detail, 0);
                    self.deliver(allowed.act_id, finish);
                    return;
                }
                Err(error) if error.is_transient() => tracing::debug!(%error, "a begin is still in doubt"),
                Ok(denied @ Begun::Deny(_)) => return run.answered(&proof, &denied),
                Err(error) => {
                    tracing::warn!(%error, "a begin in doubt was not recorded");
                    run.unused(&proof, Fate::Unrecorded);
                    return run.miss(Missed::Refused, Some(&begin.frame_digest));
                }
            }
            pause = wait(pause).await;
        }
    }
}

impl Run {
    /// A proof signed with the wrap's own key, whose delegation is renewed before where it is due.
    async fn proof(&self, client: &Client, question: &Question) -> Result<Proof, Cause> {
        let nobody = || Cause::Here("this run takes only calls that present their delegation".into());
        let own = self.own.as_ref().ok_or_else(nobody)?;
        own.renew_if_due(self, client).await?;
        let act_id = question.act_id.clone().unwrap_or_else(|| self.setting.ambient.uuid());
        let claim = Claim { act_id: &act_id, tool: &question.tool, args_digest: &question.args_digest };
        let uncounted = |why| Cause::Here(format!("there is no counter for its proof of possession: {why}"));
        own.holder.prove(&claim, &self.setting.ambient).await.map_err(uncounted)
    }

    /// Sends a begin. A server that went away without our having noticed is waited for, and gets the same bytes
    /// then: they certainly were not sent before, so the proof in them is still unused.
    async fn begin_once_reached(&self, client: &Client, begin: &Begin) -> Result<Begun, ClientError> {
        let link = self.link_seen();
        match client.begin(&self.id, begin).await {
            Err(error @ ClientError::Unreachable { .. }) => {
                let client = self.server_after(link, error).await?;
                client.begin(&self.id, begin).await
            }
            answered => answered,
        }
    }

    fn begin_request(&self, question: Question, proof: &Proof) -> Begin {
        let carrier = if proof.counter.is_some() { Carrier::Wrap } else { Carrier::McpMeta };
        Begin {
            stream: self.stream,
            act_id: proof.act_id.clone(),
            operation: question.operation,
            tool: question.tool,
            args: question.args,
            frame_digest: question.frame_digest,
            sent_frame_digest: question.sent_frame_digest,
            definition_digest: question.definition_digest,
            delegation: Some(proof.delegation.clone()),
            pop: Some(proof.pop.clone()),
            carrier: Some(carrier),
            root_dir: question.root_dir,
            correlators: question.correlators,
            inputs: question.inputs,
            batch: question.batch,
            retry_of: question.retry_of,
        }
    }

    /// Takes note of what an answer means for the counter of its proof.
    fn answered(&self, proof: &Proof, answer: &Begun) {
        let (Begun::Deny(denied), Some(own)) = (answer, &self.own) else { return };
        if denied.reason.step == "pop-replayed" {
            own.holder.lost_step(proof);
        }
        if denied.index.is_none() {
            own.holder.unused(proof, Fate::Unrecorded);
        }
    }

    fn unused(&self, proof: &Proof, fate: Fate) {
        if let Some(own) = &self.own {
            own.holder.unused(proof, fate);
        }
    }

    /// The outcome of a call that no response came for.
    pub(crate) fn unanswered(&self, decision: u64, status: Status, detail: &str, duration_us: u64) -> Finish {
        Finish {
            stream: self.stream,
            event_id: self.setting.ambient.uuid(),
            decision,
            status,
            result: None,
            result_digest: None,
            result_size: 0,
            frame_digest: None,
            duration_us,
            detail: Some(detail.to_owned()),
            outputs: Artifacts::default(),
            parts: None,
            sent_frame_digest: None,
        }
    }
}

fn receipt(answer: &Begun) -> &Receipt {
    match answer {
        Begun::Allow(allowed) => &allowed.receipt,
        Begun::Deny(denied) => denied.receipt.as_ref().unwrap_or(&Value::Null),
    }
}

/// Why there is no decision to go by.
#[derive(Debug)]
pub(crate) struct NoAnswer {
    cause: Cause,
    /// Whether the question was put; otherwise the way to the server or a renewal failed before it.
    sent: bool,
}

impl NoAnswer {
    /// The question was not put.
    pub(crate) fn unasked(cause: impl Into<Cause>) -> Self {
        Self { cause: cause.into(), sent: false }
    }

    fn error(&self) -> Option<&ClientError> {
        match &self.cause {
            Cause::Server(error) => Some(error),
            Cause::Here(_) => None,
        }
    }

    /// Whether the server has nothing to do with it: then it can be told of the call.
    pub(crate) fn is_ours(&self) -> bool {
        self.error().is_none()
    }

    /// Whether the server does not know the attempt that this one is said to follow (any more), so that it decided
    /// nothing.
    pub(crate) fn is_no_retry(&self) -> bool {
        matches!(self.error(), Some(ClientError::Api { status: 422, code, .. }) if code == "invalid")
    }

    /// Whether the server certainly made no decision: it was not asked, or said that its log cannot take one.
    pub(crate) fn is_certainly_undecided(&self) -> bool {
        match self.error() {
            Some(ClientError::Unreachable { .. } | ClientError::Api { status: 503, .. }) => true,
            Some(ClientError::Lost(_)) => !self.sent,
            _ => false,
        }
    }

    /// Whether the server may have decided although no answer came that says so.
    pub(crate) fn is_in_doubt(&self) -> bool {
        self.sent
            && match self.error() {
                Some(ClientError::Lost(_) | ClientError::Answer(_)) => true,
                Some(ClientError::Api { status, .. }) => *status >= 500 && *status != 503,
                Some(ClientError::Unreachable { .. } | ClientError::TooLarge(_)) | None => false,
            }
    }

    /// Whether the act is certainly unknown to the log, so that its proof may be presented again. A log that stopped
    /// (503) may find out after its restart that it had decided.
    pub(crate) fn is_as_if_never_asked(&self) -> bool {
        !self.sent
            || match self.error() {
                Some(ClientError::Unreachable { .. } | ClientError::TooLarge(_)) | None => true,
                Some(ClientError::Api { status, .. }) => *status < 500,
                Some(ClientError::Lost(_) | ClientError::Answer(_)) => false,
            }
    }

    /// What it means for the counter of the proof.
    fn fate(&self) -> Fate {
        match self.error() {
            _ if self.is_in_doubt() => Fate::InDoubt,
            Some(ClientError::Unreachable { .. }) => Fate::Unsent,
            _ => Fate::Unrecorded,
        }
    }
}

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            Cause::Server(lost @ ClientError::Lost(_)) if !self.sent => {
                write!(f, "the delegation could not be renewed, {}", lost.without_doubt())
            }
            Cause::Server(error) => error.fmt(f),
            Cause::Here(why) => f.write_str(why),
        }
    }
}

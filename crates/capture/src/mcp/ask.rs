//! Asking for a decision, and settling the question when the answer was lost.

use core::fmt;
use std::sync::Arc;

use evidence::Status;
use serde_json::Value;

use super::gap::Missed;
use super::holder::Claim;
use super::open::Permit;
use super::run::{Run, wait};
use crate::api::{Allowed, Begin, Begun, CaptureMode, Finish, Receipt};
use crate::client::{Client, ClientError};
use crate::limits::RETRY_FIRST;

/// One tool call to be decided.
pub(crate) struct Question {
    /// Tool URI.
    pub(crate) tool: String,
    /// Exact text of the arguments.
    pub(crate) args: Option<String>,
    /// b64url of SHA-256 of JCS of the arguments.
    pub(crate) args_digest: String,
    pub(crate) frame_digest: String,
    pub(crate) sent_frame_digest: Option<String>,
    pub(crate) definition_digest: Option<String>,
    pub(crate) root_dir: Option<String>,
    pub(crate) correlators: Value,
}

impl Run {
    /// Asks the server. An answer means that the decision is durable; an error means that the call must not go.
    pub(crate) async fn ask(self: &Arc<Self>, question: Question) -> Result<Begun, NoAnswer> {
        let unsent = |error| NoAnswer { error, sent: false };
        let client = self.server_soon().await.map_err(unsent)?;
        self.renew_if_due(&client).await.map_err(unsent)?;
        let begin = self.begin_request(question);
        let error = match self.begin_once_reached(&client, &begin).await {
            Ok(answer) => {
                self.is_reached();
                self.keep_receipt(receipt(&answer));
                if matches!(&answer, Begun::Deny(denied) if denied.index.is_none()) {
                    self.holder.hole(&begin.delegation);
                }
                // A server that answers again can be told what it missed while it did not.
                self.report_gap_soon();
                return Ok(answer);
            }
            Err(error) => error,
        };
        let none = NoAnswer { error, sent: true };
        if none.is_in_doubt() || matches!(none.error, ClientError::Unreachable { .. }) {
            // The proof may never have arrived: its counter may be a hole, and enough of those would put every
            // later proof out of the window. So the next call starts with a fresh key.
            self.holder.retire(&begin.delegation);
        } else {
            self.holder.hole(&begin.delegation);
        }
        if none.is_in_doubt() {
            // The decision may be durable although we do not know it: the log may show a permit. It is given
            // back as not forwarded as soon as the server says what it decided.
            let run = Arc::clone(self);
            self.deliveries.spawn(async move { run.settle(begin).await });
        }
        Err(none)
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

    fn begin_request(&self, question: Question) -> Begin {
        let act_id = self.ambient.uuid();
        let claim = Claim { act_id: &act_id, tool: &question.tool, args_digest: &question.args_digest };
        let proof = self.holder.prove(&claim, &self.ambient);
        Begin {
            stream: self.stream,
            operation: "tools/call".into(),
            tool: question.tool,
            args: question.args,
            frame_digest: question.frame_digest,
            sent_frame_digest: question.sent_frame_digest,
            definition_digest: question.definition_digest,
            delegation: proof.delegation,
            pop: proof.pop,
            root_dir: question.root_dir,
            correlators: question.correlators,
            act_id,
        }
    }

    /// Sends the same question with the same proof until it is answered: a retry gets the first answer, so this
    /// never makes a second permit.
    async fn settle(self: Arc<Self>, begin: Begin) {
        let mut pause = RETRY_FIRST;
        loop {
            let client = self.server().await;
            match client.begin(&self.id, &begin).await {
                Ok(Begun::Allow(allowed)) => {
                    self.keep_receipt(&allowed.receipt);
                    let detail = "the decision's answer was lost on its way, so the call was refused";
                    let permit = permit(&allowed);
                    let finish = self.unanswered(&permit, Status::NotForwarded, detail, 0);
                    self.deliver(permit.act_id, finish);
                    return;
                }
                Err(error) if error.is_transient() => tracing::debug!(%error, "a begin is still in doubt"),
                Ok(Begun::Deny(_)) => return,
                Err(error) => {
                    tracing::warn!(%error, "a begin in doubt was not recorded");
                    return self.miss(Missed::Refused, Some(&begin.frame_digest));
                }
            }
            pause = wait(pause).await;
        }
    }

    /// The outcome of a call that no response came for.
    pub(crate) fn unanswered(
        &self,
        permit: &Permit,
        status: Status,
        detail: &str,
        duration_us: u64,
    ) -> Finish {
        Finish {
            stream: self.stream,
            event_id: self.ambient.uuid(),
            decision: permit.decision,
            status,
            result: None,
            result_digest: None,
            result_size: 0,
            frame_digest: None,
            duration_us,
            detail: Some(detail.to_owned()),
        }
    }
}

fn receipt(answer: &Begun) -> &Receipt {
    match answer {
        Begun::Allow(allowed) => &allowed.receipt,
        Begun::Deny(denied) => denied.receipt.as_ref().unwrap_or(&Value::Null),
    }
}

/// What must be kept of a permit.
pub(crate) fn permit(allowed: &Allowed) -> Permit {
    Permit {
        act_id: allowed.act_id.clone(),
        decision: allowed.index,
        keep_result: allowed.capture.result == CaptureMode::Sealed,
    }
}

/// Why there is no decision to go by.
#[derive(Debug)]
pub(crate) struct NoAnswer {
    error: ClientError,
    /// Whether the question was put; otherwise the way to the server or a renewal failed before it.
    sent: bool,
}

impl NoAnswer {
    /// Whether the server certainly made no decision: it was not asked, or said that its log cannot take one.
    pub(crate) fn is_certainly_undecided(&self) -> bool {
        match &self.error {
            ClientError::Unreachable { .. } | ClientError::Api { status: 503, .. } => true,
            ClientError::Lost(_) => !self.sent,
            _ => false,
        }
    }

    /// Whether the server may have decided although no answer came that says so.
    pub(crate) fn is_in_doubt(&self) -> bool {
        self.sent
            && match &self.error {
                ClientError::Lost(_) | ClientError::Answer(_) => true,
                ClientError::Api { status, .. } => *status >= 500 && *status != 503,
                ClientError::Unreachable { .. } | ClientError::TooLarge(_) => false,
            }
    }
}

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.error {
            lost @ ClientError::Lost(_) if !self.sent => {
                write!(f, "the delegation could not be renewed, {}", lost.without_doubt())
            }
            error => error.fmt(f),
        }
    }
}

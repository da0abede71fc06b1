//! One act, the second half: its outcome is enqueued before what ended it is relayed.

use std::sync::Arc;

use evidence::Status;
use tokio::time::timeout;

use super::answer::{body_digest, judge};
use super::asking::Asking;
use super::call::{About, Going, Permit};
use super::files;
use super::frame::{Frame, Id};
use super::open::Unanswered;
use super::outputs::Outputs;
use super::proxy::{End, Proxy};
use super::refuse::refusal_of;
use super::reply;
use super::strip::Clean;
use super::task_ends::Told;
use crate::api::{Artifacts, Finish};
use crate::limits::{DRAIN_WAIT, RESULT_HOLD, RESULT_TEXT_MAX};
use crate::run::outcome::Enqueued;

/// The answer to an act, and what has to be recorded before it is relayed.
pub(super) struct Reply {
    pub(super) id: Id,
    pub(super) about: Arc<About>,
    pub(super) clean: Clean,
    /// What it tells of the task that it is about.
    pub(super) told: Option<Told>,
    /// How the act itself ended.
    pub(super) own: Option<(Permit, Finish)>,
    /// What it asks of the client.
    pub(super) asking: Option<Asking>,
    /// Why it is not relayed.
    pub(super) odd: Option<String>,
}

impl Proxy {
    /// What the server's response says about the act.
    pub(super) fn outcome(
        &self,
        about: &About,
        permit: &Permit,
        response: &Frame,
        cancelled: bool,
        sent_us: u64,
    ) -> Finish {
        let (status, detail) = judge(&about.operation, response, cancelled);
        let body = response.body().unwrap_or_default();
        let outputs = Outputs::of(&about.operation, body);
        Finish {
            status,
            result: kept_text(body, permit.keep_result),
            result_digest: body_digest(response),
            result_size: body.len() as u64,
            frame_digest: Some(response.digest()),
            duration_us: self.since(sent_us),
            detail: both(detail, outputs.detail()),
            outputs: Artifacts::List(outputs.list),
            ..self.finish_of(permit)
        }
    }

    /// An outcome that says nothing yet but what it is of, and which parts came.
    pub(super) fn finish_of(&self, permit: &Permit) -> Finish {
        Finish {
            stream: permit.held.run.stream,
            event_id: self.ambient().uuid(),
            decision: permit.decision,
            status: Status::Unknown,
            result: None,
            result_digest: None,
            result_size: 0,
            frame_digest: None,
            duration_us: 0,
            detail: None,
            outputs: Artifacts::default(),
            parts: permit.parts.as_ref().and_then(|parts| parts.parts()),
            sent_frame_digest: None,
        }
    }

    /// The outcome of an act that nothing more is heard of.
    pub(super) fn unheard(&self, permit: &Permit, status: Status, detail: &str, duration_us: u64) -> Finish {
        Finish { status, detail: Some(detail.to_owned()), duration_us, ..self.finish_of(permit) }
    }

    pub(super) fn since(&self, then_us: u64) -> u64 {
        (self.ambient().monotonic_us)().saturating_sub(then_us)
    }

    /// Records what has to be recorded and then gives the exact response to the caller.
    pub(super) async fn relay(self: Arc<Self>, reply: Reply) {
        let id = reply.id.clone();
        let bytes = self.reply(reply).await;
        self.open().relayed(&id);
        self.send_client(bytes).await;
    }

    async fn reply(self: &Arc<Self>, reply: Reply) -> Vec<u8> {
        let Reply { id, about, clean, told, own, asking, odd } = reply;
        let told = match told {
            Some(told) => self.record_told(told).await,
            None => Ok(()),
        };
        // its own outcome is due whatever became of that
        if let Some((permit, finish)) = own {
            let finish = Finish { sent_frame_digest: clean.digest.clone(), ..finish };
            let finish = files::after(permit.files.as_ref(), finish).await;
            if let Err(why) = is_enqueued(permit.held.deliver(permit.act_id, finish)).await {
                return withheld(&id, &why);
            }
        }
        if let Err(why) = told {
            return withheld(&id, &why);
        }
        // Their effect on the control state is certain now: the result may be seen.
        if let Some(why) = odd {
            return reply::error(
                Some(&id),
                reply::REFUSED,
                &format!("deeds did not pass the answer on: {why}"),
            );
        }
        if let Some(asking) = asking
            && let Err(why) =
                self.admit_asks(Asking { sent_frame_digest: clean.digest.clone(), ..asking }).await
        {
            return refusal_of(&id, &about.operation, about.modern, reply::REFUSED, &why);
        }
        clean.bytes
    }

    /// Ends every request that no response can come for any more.
    pub(super) async fn finish_open(self: &Arc<Self>, end: End) {
        let unanswered = self.open().close();
        for request in unanswered {
            self.finish_unanswered(request, end);
        }
        // calls that were still being decided find the table closed
        self.calls.settle(DRAIN_WAIT).await;
        self.replies.settle(DRAIN_WAIT).await;
        // what was on its way may have begun a task or an attempt
        self.finish_tasks().await;
    }

    /// Records the outcome of a request without a response, and tells the client where it still listens.
    pub(super) fn finish_unanswered(self: &Arc<Self>, request: Unanswered<Going>, end: End) {
        let proxy = Arc::clone(self);
        self.replies.spawn(async move {
            let (status, detail) = without_response(&request, end);
            if let Some(permit) = request.permit.as_ref().and_then(|going| going.permit.as_ref()) {
                let spent = if request.sent { proxy.since(request.sent_us) } else { 0 };
                let finish = proxy.unheard(permit, status, detail, spent);
                // what was not forwarded changed nothing
                let files = permit.files.as_ref().filter(|_| request.sent);
                let finish = files::after(files, finish).await;
                // enqueued before the caller is told, as with any result; when that fails it is told all the same
                let _ = permit.held.deliver(permit.act_id.clone(), finish).await;
            }
            if end == End::ServerExited && !request.cancelled {
                let text = format!("{detail}. Restart the MCP server to go on.");
                proxy.send_client(reply::error(Some(&request.id), reply::UNAVAILABLE, &text)).await;
            }
        });
    }
}

/// Waits until an outcome's effect on the control state is certain.
pub(super) async fn is_enqueued(enqueued: Enqueued) -> Result<(), String> {
    match timeout(RESULT_HOLD, enqueued).await {
        Ok(Ok(Ok(()))) => Ok(()),
        Ok(Ok(Err(error))) => Err(error.to_string()),
        Ok(Err(_)) | Err(_) => Err("the deeds server did not take it in time".into()),
    }
}

fn without_response<P>(request: &Unanswered<P>, end: End) -> (Status, &'static str) {
    match (request.sent, request.cancelled, end) {
        (false, _, _) => (Status::NotForwarded, "the MCP server ended before the call was written to it"),
        (true, true, _) => (Status::Cancelled, "cancelled by the caller; the server gave no answer"),
        (true, false, End::ServerExited) => (Status::Unknown, "the MCP server exited without an answer"),
        (true, false, End::Closed) => (Status::Unknown, "the caller hung up before an answer came"),
    }
}

/// The text of a result where it is to be kept and not too long; otherwise its digest and size stand for it.
pub(super) fn kept_text(body: &str, keep: bool) -> Option<String> {
    (keep && body.len() <= RESULT_TEXT_MAX).then(|| body.to_owned())
}

pub(super) fn both(one: Option<String>, other: Option<String>) -> Option<String> {
    match (one, other) {
        (Some(one), Some(other)) => Some(format!("{one}; {other}")),
        (one, other) => one.or(other),
    }
}

pub(super) fn withheld(id: &Id, why: &str) -> Vec<u8> {
    let text =
        format!("the call was made, but its result is withheld because its outcome is not recorded: {why}");
    reply::error(Some(id), reply::UNAVAILABLE, &text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_results_are_known_by_digest_and_size() {
        let body = "x".repeat(RESULT_TEXT_MAX + 1);
        assert_eq!(kept_text(&body, true), None);
        assert_eq!(kept_text(&body[1..], true).map(|text| text.len()), Some(RESULT_TEXT_MAX));
        assert_eq!(kept_text("x", false), None);
    }

    #[test]
    fn details_are_told_together() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(both(some("a"), some("b")), some("a; b"));
        assert_eq!(
            (both(None, some("b")), both(some("a"), None), both(None, None)),
            (some("b"), some("a"), None)
        );
    }
}

//! One tool call: decided, forwarded, answered, recorded, relayed — in this order.

use std::sync::Arc;

use evidence::Status;
use tokio::time::timeout;

use super::answer::{body_digest, judge};
use super::frame::{Frame, Id};
use super::guests::NotAdmitted;
use super::open::{Forward, Unanswered};
use super::presented::{META_KEY, Presented, Unfit};
use super::proxy::{End, Proxy};
use super::record::{Seen, Side};
use super::reply;
use super::tool_call::{ToolCall, args_digest, is_modern_request};
use super::write::Item;
use crate::api::{Allowed, Artifacts, Begun, CaptureMode, Denied, Finish, Reason};
use crate::limits::{DRAIN_WAIT, RESULT_HOLD, RESULT_TEXT_MAX};
use crate::run::Held;
use crate::run::ask::{NoAnswer, Question};
use crate::run::gap::Missed;
use crate::run::holder::Proof;

/// A decided call, which must end in exactly one outcome.
#[derive(Clone)]
pub(crate) struct Permit {
    /// The run that it was decided in.
    held: Held,
    act_id: String,
    /// Log index of its decision.
    decision: u64,
    /// Whether the result's text is to be kept.
    keep_result: bool,
}

/// What a call is decided under.
struct Authority {
    held: Held,
    /// The delegation that it presents; without one the wrap signs.
    presented: Option<(Presented, Proof)>,
}

impl Proxy {
    /// Decides a call and, if it may go, puts it into the server's queue.
    pub(super) async fn call_tool(self: Arc<Self>, id: Id, frame: Frame) {
        let call = match ToolCall::read(&frame) {
            Ok(call) => call,
            Err(why) => return self.refuse_unreadable(&id, &frame, &why).await,
        };
        let Ok(turn) = self.deciding.acquire().await else { return };
        let authority = match self.authority(&call).await {
            Ok(authority) => authority,
            Err(NotAdmitted::Unfit(unfit)) => return self.refuse_unfit(&id, &frame, &unfit).await,
            Err(NotAdmitted::NoAnswer(none)) => return self.refuse_undecided(&id, &none, &frame).await,
        };
        let question = self.question(&id, &frame, &call);
        let tool = question.tool.clone();
        let (held, presented) = (authority.held, authority.presented);
        let proof = presented.as_ref().map(|(_, proof)| proof.clone());
        let decided = held.ask(question, proof).await;
        drop(turn);
        if let Some((presented, _)) = presented.as_ref().filter(|_| is_as_if_never_asked(&decided)) {
            self.guests.never_asked(presented);
        }
        // From here on the decision is durable, or there is none.
        match decided {
            Ok(Begun::Allow(allowed)) => {
                self.forward(&id, call.to_send(frame), Some(permit(held, allowed))).await;
            }
            Ok(Begun::Deny(denied)) => {
                let hint = held.run.own.as_ref().and_then(|own| own.hint(&denied.reason.step));
                self.refuse_call(&id, &refusal(&denied, hint), call.modern).await;
            }
            // A tool that goes on undecided does so on the wrap's authority: never for a call that brought its own.
            Err(none)
                if presented.is_none()
                    && none.is_certainly_undecided()
                    && self.read_fail_open.contains(&tool) =>
            {
                self.run.miss(Missed::Undecided, Some(&frame.digest()));
                self.forward(&id, call.to_send(frame), None).await;
            }
            Err(none) => self.refuse_undecided(&id, &none, &frame).await,
        }
    }

    /// The presented delegation alone where there is one, whatever the wrap itself may do.
    async fn authority(&self, call: &ToolCall) -> Result<Authority, NotAdmitted> {
        let Some(presented) = &call.presented else {
            if self.require_delegation {
                let why = format!("this wrap takes only calls that present their delegation in `{META_KEY}`");
                return Err(Unfit::new("delegation-missing", why).into());
            }
            return Ok(Authority { held: Held::own(&self.run), presented: None });
        };
        let presented = Presented::parse(presented)?;
        let (held, proof) = self.guests.admit(&self.run, &presented).await?;
        Ok(Authority { held, presented: Some((presented, proof)) })
    }

    fn question(&self, id: &Id, frame: &Frame, call: &ToolCall) -> Question {
        Question {
            tool: evidence::tool::stdio(&self.alias, &call.name),
            args_digest: args_digest(call.args.as_deref()),
            args: call.args.clone(),
            frame_digest: frame.digest(),
            sent_frame_digest: call.sent_digest(),
            definition_digest: self.definition_of(&call.name),
            root_dir: self.root_dir.clone(),
            // recorded as asserted, never used for a decision
            correlators: call.correlators(self.client_info(), &id.to_json()),
        }
    }

    /// Puts a decided call into the server's queue, unless it was cancelled or everything is ending. The place in
    /// the queue is taken first, so that nothing can come between the last look and the queue.
    async fn forward(self: &Arc<Self>, id: &Id, bytes: Vec<u8>, permit: Option<Permit>) {
        let slot = self.server_slot().await;
        let go = {
            let mut open = self.open();
            let go = open.forward(id, permit.clone());
            if let (Forward::Go, Some(slot)) = (go, slot) {
                slot.send(Item::Frame { bytes, call: Some(id.clone()) });
            }
            go
        };
        // A call that got no slot stays queued without ever being sent: closing ends it as not forwarded.
        let detail = match go {
            Forward::Go => return,
            Forward::Cancelled => "cancelled before it was forwarded",
            Forward::Closed => "the wrap ended before the call was forwarded",
        };
        if let Some(permit) = permit {
            let finish = permit.held.run.unanswered(permit.decision, Status::NotForwarded, detail, 0);
            permit.held.deliver(permit.act_id, finish);
        }
        if go == Forward::Closed {
            self.send_client(reply::error(Some(id), reply::UNAVAILABLE, detail)).await;
        }
    }

    /// Refuses with a tool result, so that the model reads the reason.
    async fn refuse_call(&self, id: &Id, text: &str, modern: bool) {
        let reply_due = self.open().refused(id);
        if reply_due {
            self.send_client(reply::refused_call(id, text, modern)).await;
        }
    }

    async fn refuse_unreadable(&self, id: &Id, frame: &Frame, why: &str) {
        self.refuse_recorded(id, frame, why, &format!("deeds refused this call: {why}")).await;
    }

    async fn refuse_unfit(&self, id: &Id, frame: &Frame, unfit: &Unfit) {
        let why = format!("the delegation of the call is not accepted (step {}): {}", unfit.step, unfit.why);
        self.refuse_recorded(id, frame, &why, &format!("deeds refused this call: {why}")).await;
    }

    /// Refuses a call that reached no decision, and says where that is recorded.
    async fn refuse_recorded(&self, id: &Id, frame: &Frame, why: &str, text: &str) {
        let recorded = self.record(&Seen::of(Side::Client, why, frame).method("tools/call")).await;
        self.refuse_call(id, &format!("{text}. {recorded}"), is_modern_request(frame)).await;
    }

    /// Refuses a call for which no decision could be had.
    async fn refuse_undecided(&self, id: &Id, none: &NoAnswer, frame: &Frame) {
        let text = format!("deeds refused this call, because no decision could be recorded: {none}");
        if none.is_ours() {
            return self.refuse_recorded(id, frame, &none.to_string(), &text).await;
        }
        let recorded = if none.is_in_doubt() {
            "If the server did decide, the decision will be recorded as not forwarded; see `deeds did`."
        } else {
            self.run.miss(Missed::Refused, Some(&frame.digest()));
            "It will be counted in a gap; see `deeds did`."
        };
        self.refuse_call(id, &format!("{text}. {recorded}"), is_modern_request(frame)).await;
    }

    /// What the server's response says about the act.
    pub(super) fn outcome(&self, permit: &Permit, response: &Frame, cancelled: bool, sent_us: u64) -> Finish {
        let (status, detail) = judge(response, cancelled);
        let body = response.body().unwrap_or_default();
        Finish {
            stream: permit.held.run.stream,
            event_id: self.ambient().uuid(),
            decision: permit.decision,
            status,
            result: kept_text(body, permit.keep_result),
            result_digest: body_digest(response),
            result_size: body.len() as u64,
            frame_digest: Some(response.digest()),
            duration_us: (self.ambient().monotonic_us)().saturating_sub(sent_us),
            detail,
            outputs: Artifacts::default(),
            parts: None,
            sent_frame_digest: None,
        }
    }

    /// Sends the outcome off and, once it is enqueued, the exact response to the caller.
    pub(super) async fn relay(self: Arc<Self>, id: Id, permit: Permit, finish: Finish, response: Frame) {
        let enqueued = permit.held.deliver(permit.act_id, finish);
        let bytes = match timeout(RESULT_HOLD, enqueued).await {
            // Its effect on the control state is certain now: the result may be seen.
            Ok(Ok(Ok(()))) => response.into_bytes(),
            Ok(Ok(Err(error))) => withheld(&id, &error.to_string()),
            Ok(Err(_)) | Err(_) => withheld(&id, "the deeds server did not take it in time"),
        };
        self.open().relayed(&id);
        self.send_client(bytes).await;
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
    }

    /// Records the outcome of a request without a response, and tells the client where it still listens.
    pub(super) fn finish_unanswered(self: &Arc<Self>, request: Unanswered<Permit>, end: End) {
        let proxy = Arc::clone(self);
        self.replies.spawn(async move {
            let (status, detail) = without_response(&request, end);
            if let Some(permit) = &request.permit {
                let spent = (proxy.ambient().monotonic_us)().saturating_sub(request.sent_us);
                let spent = if request.sent { spent } else { 0 };
                let finish = permit.held.run.unanswered(permit.decision, status, detail, spent);
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

fn without_response(request: &Unanswered<Permit>, end: End) -> (Status, &'static str) {
    match (request.sent, request.cancelled, end) {
        (false, _, _) => (Status::NotForwarded, "the MCP server ended before the call was written to it"),
        (true, true, _) => (Status::Cancelled, "cancelled by the caller; the server gave no answer"),
        (true, false, End::ServerExited) => (Status::Unknown, "the MCP server exited without an answer"),
        (true, false, End::Closed) => (Status::Unknown, "the caller hung up before an answer came"),
    }
}

/// What must be kept of a permit.
fn permit(held: Held, allowed: Allowed) -> Permit {
    Permit {
        held,
        act_id: allowed.act_id,
        decision: allowed.index,
        keep_result: allowed.capture.result == CaptureMode::Sealed,
    }
}

/// Whether the act is unknown to the log although it was asked for.
fn is_as_if_never_asked(decided: &Result<Begun, NoAnswer>) -> bool {
    match decided {
        Ok(Begun::Deny(denied)) => denied.index.is_none(),
        Ok(Begun::Allow(_)) => false,
        Err(none) => none.is_as_if_never_asked(),
    }
}

/// The text of a result where it is to be kept and not too long; otherwise its digest and size stand for it.
fn kept_text(body: &str, keep: bool) -> Option<String> {
    (keep && body.len() <= RESULT_TEXT_MAX).then(|| body.to_owned())
}

fn refusal(denied: &Denied, hint: Option<&str>) -> String {
    let text = denied.reason.text.trim_end_matches('.');
    let hint = hint.map(|hint| format!("{hint}. ")).unwrap_or_default();
    format!(
        "deeds: this call was {}: {text}. {hint}{}",
        refused_by(&denied.reason),
        reply::decided_at(denied.index)
    )
}

/// Who says no, in words that need no knowledge of the code.
fn refused_by(reason: &Reason) -> String {
    match (reason.code.as_str(), reason.step.as_str()) {
        (_, "policy") => "refused by policy".into(),
        ("delegation", step) => format!("refused by the delegation (step {step})"),
        (code, _) => format!("refused ({code})"),
    }
}

fn withheld(id: &Id, why: &str) -> Vec<u8> {
    let text =
        format!("the call was made, but its result is withheld because its outcome is not recorded: {why}");
    reply::error(Some(id), reply::UNAVAILABLE, &text)
}

#[cfg(test)]
mod tests;

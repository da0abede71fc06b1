//! One tool call: decided, forwarded, answered, recorded, relayed — in this order.

use std::sync::Arc;

use evidence::{Digest, Status};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::answer::{body_digest, judge};
use super::ask::{NoAnswer, Question, permit};
use super::frame::{Frame, Id};
use super::gap::Missed;
use super::members::Members;
use super::open::{Forward, Permit, Unanswered};
use super::proxy::{End, Proxy};
use super::record::{Seen, Side};
use super::reply;
use super::write::Item;
use crate::api::{Begun, Denied, Finish, Reason};
use crate::limits::{CORRELATOR_MAX, DRAIN_WAIT, RESULT_HOLD, RESULT_TEXT_MAX, TOOL_NAME_MAX};

/// Keys of `_meta` that are meant for us and never reach the server.
const OUR_META: &str = "dev.deeds/";
/// The `_meta` key by which a request of the modern era is known.
const PROTOCOL_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
/// The `_meta` key with which a client of the modern era names itself.
const CLIENT_INFO: &str = "io.modelcontextprotocol/clientInfo";

/// The parts of a `tools/call` request.
struct ToolCall {
    name: String,
    /// Exact text.
    args: Option<String>,
    /// Exact text.
    meta: Option<String>,
    /// The frame without our keys, when it had any.
    stripped: Option<String>,
    /// A client of the modern era, which expects `resultType`.
    modern: bool,
}

impl Proxy {
    /// Decides a call and, if it may go, puts it into the server's queue.
    pub(super) async fn call_tool(self: Arc<Self>, id: Id, frame: Frame) {
        let call = match ToolCall::read(&frame) {
            Ok(call) => call,
            Err(why) => return self.refuse_unreadable(&id, &frame, &why).await,
        };
        let question = self.question(&id, &frame, &call);
        let tool = question.tool.clone();
        let decided = match self.deciding.acquire().await {
            Ok(_turn) => self.run.ask(question).await,
            Err(_) => return,
        };
        // From here on the decision is durable, or there is none.
        match decided {
            Ok(Begun::Allow(allowed)) => self.forward(&id, call.to_send(frame), Some(permit(&allowed))).await,
            Ok(Begun::Deny(denied)) => self.refuse_call(&id, &refusal(&denied), call.modern).await,
            Err(none) if none.is_certainly_undecided() && self.read_fail_open.contains(&tool) => {
                self.run.miss(Missed::Undecided, Some(&frame.digest()));
                self.forward(&id, call.to_send(frame), None).await;
            }
            Err(none) => {
                let text = self.no_decision(&none, &frame);
                self.refuse_call(&id, &text, call.modern).await;
            }
        }
    }

    fn question(&self, id: &Id, frame: &Frame, call: &ToolCall) -> Question {
        Question {
            tool: evidence::tool::stdio(&self.alias, &call.name),
            args_digest: args_digest(call.args.as_deref()),
            args: call.args.clone(),
            frame_digest: frame.digest(),
            sent_frame_digest: call.stripped.as_ref().map(|sent| Digest::of(sent.as_bytes()).to_string()),
            definition_digest: self.definition_of(&call.name),
            root_dir: self.root_dir.clone(),
            correlators: self.correlators(id, call),
        }
    }

    /// What client and agent say of themselves: recorded as asserted, never used for a decision.
    fn correlators(&self, id: &Id, call: &ToolCall) -> Value {
        let meta = call.meta.as_deref();
        let named_here = meta.and_then(Members::of).and_then(|meta| meta.get(CLIENT_INFO)).map(correlator);
        json!({
            "client": named_here.or_else(|| self.client_info()),
            "meta": meta.map(correlator),
            "rpc_id": id.to_json(),
        })
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
            let finish = self.run.unanswered(&permit, Status::NotForwarded, detail, 0);
            self.run.deliver(permit.act_id, finish);
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
        let recorded = self.record(&Seen::of(Side::Client, why, frame).method("tools/call")).await;
        let modern =
            frame.params().and_then(Members::of).is_some_and(|params| is_modern(params.get("_meta")));
        self.refuse_call(id, &format!("deeds refused this call: {why}. {recorded}"), modern).await;
    }

    fn no_decision(&self, none: &NoAnswer, frame: &Frame) -> String {
        let recorded = if none.is_in_doubt() {
            "If the server did decide, the decision will be recorded as not forwarded; see `deeds did`."
        } else {
            self.run.miss(Missed::Refused, Some(&frame.digest()));
            "It will be counted in a gap; see `deeds did`."
        };
        format!("deeds refused this call, because no decision could be recorded: {none}. {recorded}")
    }

    /// What the server's response says about the act.
    pub(super) fn outcome(&self, permit: &Permit, response: &Frame, cancelled: bool, sent_us: u64) -> Finish {
        let (status, detail) = judge(response, cancelled);
        let body = response.body().unwrap_or_default();
        Finish {
            stream: self.run.stream,
            event_id: self.run.ambient.uuid(),
            decision: permit.decision,
            status,
            result: kept_text(body, permit.keep_result),
            result_digest: body_digest(response),
            result_size: body.len() as u64,
            frame_digest: Some(response.digest()),
            duration_us: (self.run.ambient.monotonic_us)().saturating_sub(sent_us),
            detail,
        }
    }

    /// Sends the outcome off and, once it is enqueued, the exact response to the caller.
    pub(super) async fn relay(self: Arc<Self>, id: Id, act_id: String, finish: Finish, response: Frame) {
        let enqueued = self.run.deliver(act_id, finish);
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
    pub(super) fn finish_unanswered(self: &Arc<Self>, request: Unanswered, end: End) {
        let proxy = Arc::clone(self);
        self.replies.spawn(async move {
            let (status, detail) = without_response(&request, end);
            if let Some(permit) = &request.permit {
                let spent = (proxy.run.ambient.monotonic_us)().saturating_sub(request.sent_us);
                let spent = if request.sent { spent } else { 0 };
                let finish = proxy.run.unanswered(permit, status, detail, spent);
                // enqueued before the caller is told, as with any result; when that fails it is told all the same
                let _ = proxy.run.deliver(permit.act_id.clone(), finish).await;
            }
            if end == End::ServerExited && !request.cancelled {
                let text = format!("{detail}. Restart the MCP server to go on.");
                proxy.send_client(reply::error(Some(&request.id), reply::UNAVAILABLE, &text)).await;
            }
        });
    }
}

fn without_response(request: &Unanswered, end: End) -> (Status, &'static str) {
    match (request.sent, request.cancelled, end) {
        (false, _, _) => (Status::NotForwarded, "the MCP server ended before the call was written to it"),
        (true, true, _) => (Status::Cancelled, "cancelled by the caller; the server gave no answer"),
        (true, false, End::ServerExited) => (Status::Unknown, "the MCP server exited without an answer"),
        (true, false, End::Closed) => (Status::Unknown, "the caller hung up before an answer came"),
    }
}

impl ToolCall {
    fn read(frame: &Frame) -> Result<Self, String> {
        let params = frame.params().and_then(Members::of).ok_or("a tool call without params")?;
        if let Some(name) = params.look_alike(&["name", "arguments", "_meta"]) {
            return Err(format!(
                "its member `{}` differs from a known one in case alone",
                super::proxy::shown(name)
            ));
        }
        let name = params.string("name").ok_or("a tool call without the name of a tool")?;
        if !is_tool_name(&name) {
            return Err(format!(
                "the tool name `{}` is not 1 to {TOOL_NAME_MAX} of letters, digits and `_.-`",
                super::proxy::shown(&name)
            ));
        }
        let args = params.get("arguments");
        if args.is_some_and(|args| !args.starts_with('{')) {
            return Err("the arguments of a tool call are not an object".into());
        }
        let meta = params.get("_meta");
        let stripped = meta.and_then(without_our_keys).map(|clean| (meta.unwrap_or_default(), clean));
        let stripped = match stripped {
            None => None,
            Some((meta, clean)) => {
                Some(frame.with_replaced(meta, &clean).ok_or("its `_meta` cannot be stripped")?)
            }
        };
        Ok(Self {
            name,
            args: args.map(str::to_owned),
            meta: meta.map(str::to_owned),
            stripped,
            modern: is_modern(meta),
        })
    }

    /// The bytes to forward: exactly those received, unless something had to be stripped.
    fn to_send(&self, frame: Frame) -> Vec<u8> {
        self.stripped.as_ref().map_or_else(|| frame.into_bytes(), |text| text.clone().into_bytes())
    }
}

/// Whether a tool name is one that policies and URIs can carry: 1 to 128 of `[A-Za-z0-9_.-]`.
pub(crate) fn is_tool_name(name: &str) -> bool {
    (1..=TOOL_NAME_MAX).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

/// A claim of the client as it is recorded: whole, or only its size.
pub(crate) fn correlator(raw: &str) -> Value {
    let whole = if raw.len() <= CORRELATOR_MAX { serde_json::from_str(raw).ok() } else { None };
    whole.unwrap_or_else(
        || json!({"unknown": format!("{} bytes, more than the {CORRELATOR_MAX} recorded", raw.len())}),
    )
}

/// The text of a result where it is to be kept and not too long; otherwise its digest and size stand for it.
fn kept_text(body: &str, keep: bool) -> Option<String> {
    (keep && body.len() <= RESULT_TEXT_MAX).then(|| body.to_owned())
}

fn is_modern(meta: Option<&str>) -> bool {
    meta.and_then(Members::of).is_some_and(|meta| meta.get(PROTOCOL_VERSION).is_some())
}

/// The `_meta` object without our keys; nothing when it has none.
fn without_our_keys(meta: &str) -> Option<String> {
    let members = Members::of(meta)?;
    let (ours, others): (Vec<_>, Vec<_>) = members.iter().partition(|(name, _)| name.starts_with(OUR_META));
    if ours.is_empty() {
        return None;
    }
    let kept: Vec<String> =
        others.iter().map(|(name, value)| format!("{}:{value}", Value::from(*name))).collect();
    Some(format!("{{{}}}", kept.join(",")))
}

/// b64url of SHA-256 of JCS of the arguments; absent ones are `{}`.
fn args_digest(args: Option<&str>) -> String {
    let value =
        args.and_then(|text| evidence::json::parse(text.as_bytes()).ok()).unwrap_or_else(|| json!({}));
    evidence::base64url::encode(&Digest::of(&evidence::json::jcs(&value)).0)
}

fn refusal(denied: &Denied) -> String {
    let text = denied.reason.text.trim_end_matches('.');
    format!(
        "deeds: this call was {}: {text}. {}",
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

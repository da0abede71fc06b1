//! One act that the server asks of its client, from the decision to the outcome, whatever carries it: a request of
//! the server's own, or `inputRequests` in a result.

use evidence::{Digest, Status};
use serde_json::Value;

use super::super::act::Act;
use super::super::call::Permit;
use super::super::finish::{is_enqueued, kept_text};
use super::super::members::Members;
use super::super::proxy::{Proxy, shown};
use super::super::record::{Seen, Side};
use super::super::refuse::refusal;
use super::super::reply;
use super::{human, is_object, word};
use crate::api::{Artifacts, Batch, Begun, Finish};
use crate::run::Held;
use crate::run::ask::{NoAnswer, Question};
use crate::run::gap::Missed;

/// Members of params by which a rule, a client or this wrap goes: each has one spelling.
const READ: [&str; 14] = [
    "_meta",
    "elicitationId",
    "includeContext",
    "maxTokens",
    "message",
    "messages",
    "mode",
    "modelPreferences",
    "requestedSchema",
    "systemPrompt",
    "task",
    "toolChoice",
    "tools",
    "url",
];

/// An act to be decided.
pub(in crate::mcp) struct Wanted<'a> {
    pub(in crate::mcp) method: &'a str,
    /// Exact text, from a frame that was checked.
    pub(in crate::mcp) params: Option<&'a str>,
    /// Digest string of the frame that carries it.
    pub(in crate::mcp) frame_digest: String,
    /// That of the frame as it will go on, where something was taken out.
    pub(in crate::mcp) sent_frame_digest: Option<String>,
    /// The JSON-RPC id, or the key in `inputRequests`.
    pub(in crate::mcp) rpc_id: Value,
    pub(in crate::mcp) batch: Option<Batch>,
}

/// An act that was permitted, and must end in exactly one outcome.
#[derive(Clone)]
pub(in crate::mcp) struct Ask {
    pub(in crate::mcp) permit: Permit,
    pub(in crate::mcp) method: String,
    /// Of an elicitation.
    pub(super) mode: Option<String>,
    /// Whether it asks to be answered with a task (2025-11-25).
    pub(super) wants_task: bool,
    /// When it was permitted, or given to the client.
    pub(super) since_us: u64,
}

/// Why the client does not get to see it, for the server.
pub(in crate::mcp) struct Refusal {
    pub(in crate::mcp) code: i64,
    pub(in crate::mcp) text: String,
}

/// What the client has answered.
pub(in crate::mcp) struct Answer<'a> {
    /// How it came: `request`, `retry` or `task`.
    pub(in crate::mcp) how: &'static str,
    /// Its key in `inputResponses`.
    pub(in crate::mcp) key: Option<&'a str>,
    /// Exact text of the result or error.
    pub(in crate::mcp) body: &'a str,
    pub(in crate::mcp) is_error: bool,
    /// Whether the server had taken its request back.
    pub(in crate::mcp) cancelled: bool,
    /// Digest string of the frame it came in.
    pub(in crate::mcp) frame_digest: String,
    /// That of the frame as it goes on, where something was taken out.
    pub(in crate::mcp) sent_frame_digest: Option<String>,
    /// More about it.
    pub(in crate::mcp) detail: Option<&'a str>,
}

impl Ask {
    fn new(wanted: &Wanted<'_>, permit: Permit, since_us: u64) -> Self {
        let params = wanted.params.and_then(Members::of);
        let mode = human::is_asked(wanted.method)
            .then(|| word(params.as_ref(), "mode").unwrap_or_else(|| "form".into()));
        let wants_task = params.is_some_and(|params| params.get("task").is_some());
        Self { permit, method: wanted.method.to_owned(), mode, wants_task, since_us }
    }
}

impl Proxy {
    /// Decides an act that the server asks for. With a permit the client may see it.
    pub(in crate::mcp) async fn decide_asked(&self, wanted: &Wanted<'_>) -> Result<Ask, Refusal> {
        if self.require_delegation {
            let why = "what a server asks for is done under the wrap's own delegation, and this wrap takes only \
                       calls that present theirs";
            return Err(self.refused_recorded(wanted, why, reply::REFUSED).await);
        }
        let params = wanted.params.and_then(Members::of);
        if let Some(name) = params.as_ref().and_then(|params| params.look_alike(&READ)) {
            let why = format!("its member `{}` differs from a known one in case alone", shown(name));
            return Err(self.refused_recorded(wanted, &why, reply::REFUSED).await);
        }
        let held = Held::own(&self.run);
        self.server_is_known(&held.run).await;
        let Ok(turn) = self.deciding.acquire().await else { return Err(ending()) };
        let decided = held.ask(self.question_of(wanted), None).await;
        drop(turn);
        match decided {
            Ok(Begun::Allow(allowed)) => {
                let now_us = (self.ambient().monotonic_us)();
                Ok(Ask::new(wanted, Permit::new(held, allowed), now_us))
            }
            Ok(Begun::Deny(denied)) => {
                let hint = held.run.own.as_ref().and_then(|own| own.hint(&denied.reason.step));
                Err(Refusal { code: reply::REFUSED, text: refusal(&denied, hint) })
            }
            Err(none) => Err(self.undecided(wanted, &none).await),
        }
    }

    fn question_of(&self, wanted: &Wanted<'_>) -> Question {
        let act = Act::asked_by_server(wanted.method, wanted.params);
        Question {
            operation: act.operation.clone(),
            tool: act.tool(&self.alias),
            act_id: None,
            retry_of: None,
            args_digest: act.args_digest(),
            frame_digest: wanted.frame_digest.clone(),
            sent_frame_digest: wanted.sent_frame_digest.clone(),
            definition_digest: None,
            root_dir: self.root_dir.clone(),
            // recorded as asserted, never used for a decision
            correlators: act.correlators(self.client_info(), &wanted.rpc_id),
            inputs: Artifacts::default(),
            batch: wanted.batch.clone(),
            args: act.args,
        }
    }

    /// Refuses what reaches no decision, and says where that is recorded.
    async fn refused_recorded(&self, wanted: &Wanted<'_>, why: &str, code: i64) -> Refusal {
        let seen = Seen {
            from: Side::Server,
            why: why.to_owned(),
            method: None,
            frame_digest: Some(wanted.frame_digest.clone()),
        };
        let recorded = self.record(&seen.method(wanted.method)).await;
        Refusal { code, text: format!("deeds refused `{}`: {why}. {recorded}", shown(wanted.method)) }
    }

    async fn undecided(&self, wanted: &Wanted<'_>, none: &NoAnswer) -> Refusal {
        let why = format!("no decision could be recorded: {none}");
        if none.is_ours() {
            return self.refused_recorded(wanted, &why, reply::UNAVAILABLE).await;
        }
        // one in doubt is settled by whoever asked
        if !none.is_in_doubt() {
            self.run.miss(Missed::Refused, Some(&wanted.frame_digest));
        }
        let text = format!("deeds refused `{}`: {why}", shown(wanted.method));
        Refusal { code: reply::UNAVAILABLE, text }
    }

    /// Records what the client has answered: what a person said first, then the outcome. Only when this returns
    /// without an error may the server see the answer.
    pub(in crate::mcp) async fn answer_ask(&self, ask: Ask, answer: &Answer<'_>) -> Result<(), String> {
        let said = self.record_said(&ask, answer).await;
        let (status, detail) = judged(answer);
        let finish = Finish {
            status,
            result: kept_text(answer.body, ask.permit.keep_result),
            result_digest: Some(Digest::of(answer.body.as_bytes()).to_string()),
            result_size: answer.body.len() as u64,
            frame_digest: Some(answer.frame_digest.clone()),
            sent_frame_digest: answer.sent_frame_digest.clone(),
            duration_us: self.since(ask.since_us),
            detail,
            ..self.finish_of(&ask.permit)
        };
        // the outcome is due whatever became of the rest
        let enqueued = is_enqueued(ask.permit.held.deliver(ask.permit.act_id, finish)).await;
        said.and(enqueued)
    }

    /// Ends an act that no answer came to.
    pub(in crate::mcp) fn close_ask(&self, ask: Ask, status: Status, why: &str) {
        let spent = if status == Status::NotForwarded { 0 } else { self.since(ask.since_us) };
        let finish = self.unheard(&ask.permit, status, why, spent);
        ask.permit.held.deliver(ask.permit.act_id, finish);
    }

    /// Records what somebody at the client said, if that was asked for and answered.
    pub(super) async fn record_said(&self, ask: &Ask, answer: &Answer<'_>) -> Result<(), String> {
        // with a detail it is no answer to the question
        if answer.is_error || answer.detail.is_some() || !human::is_asked(&ask.method) {
            return Ok(());
        }
        let payload = human::payload(&human::Said {
            how: answer.how,
            mode: ask.mode.as_deref(),
            key: answer.key,
            answer: answer.body,
            keeps_content: ask.permit.keep_result,
        });
        let observe = human::observation(payload, &ask.permit.act_id, &answer.frame_digest);
        ask.permit.held.run.observe_soon(observe).await.map(|_| ()).map_err(|error| error.to_string())
    }
}

fn judged(answer: &Answer<'_>) -> (Status, Option<String>) {
    let detail = answer.detail.map(str::to_owned);
    match (answer.is_error, answer.cancelled) {
        (true, true) => {
            (Status::Cancelled, Some("cancelled by the server; the client answered with an error".into()))
        }
        (true, false) => (Status::RefusedByTarget, detail),
        (false, _) if answer.detail.is_some() => (Status::Unknown, detail),
        (false, _) if is_object(answer.body) => (Status::Ok, None),
        (false, _) => (Status::Unknown, Some("the answer is not an object".into())),
    }
}

fn ending() -> Refusal {
    Refusal { code: reply::UNAVAILABLE, text: "deeds refused this request: the wrap is ending".into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(body: &str) -> Answer<'_> {
        Answer {
            how: "request",
            key: None,
            body,
            is_error: false,
            cancelled: false,
            frame_digest: String::new(),
            sent_frame_digest: None,
            detail: None,
        }
    }

    #[test]
    fn an_answer_is_the_act_done_an_error_is_the_client_that_refuses() {
        let status = |answer: &Answer<'_>| judged(answer).0;
        assert_eq!(status(&answer("{\"action\":\"decline\"}")), Status::Ok);
        assert_eq!(status(&answer("[]")), Status::Unknown);
        assert_eq!(status(&Answer { detail: Some("lost"), ..answer("{}") }), Status::Unknown);
        assert_eq!(status(&Answer { is_error: true, ..answer("{}") }), Status::RefusedByTarget);
        // after a cancellation an error is its echo, and an answer is real
        assert_eq!(status(&Answer { is_error: true, cancelled: true, ..answer("{}") }), Status::Cancelled);
        assert_eq!(status(&Answer { cancelled: true, ..answer("{}") }), Status::Ok);
    }
}

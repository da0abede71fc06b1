//! What the server asks of the client inside an answer: each request an act asked by the server (`asked.rs`), decided
//! before the client sees the answer, ended when the client answers in its next attempt.

use evidence::Status;
use serde_json::json;

use super::act::Act;
use super::asked::{Answer, Said, Wanted, human_input, human_observation};
use super::attempts::{Attempt, Key};
use super::inputs::{Asks, Request, responses};
use super::members::Members;
use super::proxy::Proxy;
use super::record::{Seen, Side};
use crate::limits::INPUT_REQUESTS_MAX;
use crate::run::Run;

/// Where the client is asked: what becomes of its answers.
pub(super) enum AskedIn {
    /// In the end of an attempt, which is tried again with them.
    Attempt { key: Key, act_id: String, decision: u64 },
    /// In what is told of a task, which is updated with them.
    Task(String),
    /// In an error.
    Error,
    /// In an answer of which it is not known which act it belongs to.
    Nowhere,
}

/// What is asked, and by which frame.
pub(super) struct Asking {
    pub(super) within: AskedIn,
    pub(super) requests: Vec<Request>,
    pub(super) frame_digest: String,
    /// That of the frame as it will go on, where something was taken out.
    pub(super) sent_frame_digest: Option<String>,
}

/// A frame with answers of the client.
pub(super) struct Answers<'a> {
    /// How they came: `retry` or `task`.
    pub(super) how: &'static str,
    /// The run and the act that they belong to, where it is not known what they answer.
    pub(super) run: &'a Run,
    pub(super) act_id: &'a str,
    pub(super) act: &'a Act,
    pub(super) frame_digest: String,
}

impl Proxy {
    /// Decides everything that is asked. Only if all of it is permitted may the client see the answer; otherwise the
    /// error says why not.
    pub(super) async fn admit_asks(&self, asking: Asking) -> Result<(), String> {
        let Asking { within, requests, frame_digest, sent_frame_digest } = asking;
        if matches!(within, AskedIn::Nowhere) && !requests.is_empty() {
            let why = "the server asked something of the client for an act that was not decided here";
            let seen =
                Seen { from: Side::Server, why: why.into(), method: None, frame_digest: Some(frame_digest) };
            return Err(format!("deeds did not pass the answer on: {why}. {}", self.record(&seen).await));
        }
        let room = INPUT_REQUESTS_MAX.saturating_sub(self.awaited(&within));
        if requests.iter().filter(|request| !self.is_admitted(&within, request)).count() > room {
            let why = format!("more than {INPUT_REQUESTS_MAX} requests of one task would await an answer");
            let seen =
                Seen { from: Side::Server, why: why.clone(), method: None, frame_digest: Some(frame_digest) };
            return Err(format!("deeds did not pass the answer on: {why}. {}", self.record(&seen).await));
        }
        // as few at one time as of the server's own requests, so that the client has room
        let _turn = if requests.is_empty() { None } else { self.asked.turns.acquire().await.ok() };
        let mut permitted = Asks::default();
        for request in &requests {
            if self.is_admitted(&within, request) {
                continue;
            }
            let wanted = Wanted {
                method: &request.method,
                params: request.params.as_deref(),
                frame_digest: frame_digest.clone(),
                sent_frame_digest: sent_frame_digest.clone(),
                rpc_id: json!(request.key),
                batch: None,
            };
            match self.decide_asked(&wanted).await {
                Ok(ask) => permitted.insert(request, ask),
                Err(refusal) => {
                    let why = "not passed on, because something asked beside it was refused";
                    self.end_asks(permitted, Status::NotForwarded, why);
                    let asked = &request.method;
                    return Err(format!(
                        "the MCP server asked for `{asked}` before it answers. {}",
                        refusal.text
                    ));
                }
            }
        }
        self.await_answers(within, permitted);
        Ok(())
    }

    /// Whether it was permitted before: a task is asked about many times.
    fn is_admitted(&self, within: &AskedIn, request: &Request) -> bool {
        let AskedIn::Task(task) = within else { return false };
        self.tasks().open_mut(task).is_some_and(|following| following.asks.has(request))
    }

    /// How many requests of the task, if it is one, await an answer.
    fn awaited(&self, within: &AskedIn) -> usize {
        let AskedIn::Task(task) = within else { return 0 };
        self.tasks().open_mut(task).map_or(0, |following| following.asks.len())
    }

    fn await_answers(&self, within: AskedIn, permitted: Asks) {
        match within {
            AskedIn::Attempt { key, act_id, decision } => {
                let attempt = Attempt { act_id, decision, asked: permitted };
                let gone = self.attempts().wait(key, attempt, (self.ambient().monotonic_us)());
                self.forget_attempts(gone);
            }
            AskedIn::Task(task) => self.await_answers_to_task(&task, permitted),
            AskedIn::Error => {
                let why = "asked for in an error, to which a client gives no answer";
                self.end_asks(permitted, Status::Unknown, why);
            }
            AskedIn::Nowhere => {}
        }
    }

    /// Awaits answers in an update of a task.
    pub(super) fn await_answers_to_task(&self, task: &str, permitted: Asks) {
        let (replaced, late) = match self.tasks().open_mut(task) {
            Some(following) => (following.asks.extend(permitted), Asks::default()),
            None => (Asks::default(), permitted),
        };
        self.end_asks(replaced, Status::Unknown, "the task asked for something else instead");
        self.end_asks(late, Status::Unknown, "the task ended before the client answered");
    }

    /// Attempts that were not tried again in time.
    pub(super) fn forget_attempts(&self, gone: Vec<Asks>) {
        for asks in gone {
            self.end_asks(asks, Status::Unknown, "the client did not try again in time");
        }
    }

    /// Records what the client answers in an attempt or an update, before anything else is done with it. Gives back
    /// what it does not answer.
    pub(super) async fn take_answers(
        &self,
        answers: &Answers<'_>,
        mut asks: Asks,
    ) -> (Asks, Result<(), String>) {
        let mut taken = Ok(());
        for (key, body) in responses(answers.act.input_responses.as_deref()) {
            let recorded = match asks.remove(&key) {
                Some(ask) => {
                    let answer = Answer {
                        how: answers.how,
                        key: Some(&key),
                        body,
                        is_error: false,
                        cancelled: false,
                        frame_digest: answers.frame_digest.clone(),
                        sent_frame_digest: answers.act.sent_digest(),
                        detail: None,
                    };
                    self.answer_ask(ask, &answer).await
                }
                None => record_unasked(answers, &key, body).await,
            };
            // the outcomes of the others are due whatever became of this one
            taken = taken.and(recorded);
        }
        (asks, taken)
    }

    /// Ends acts that the client does not answer.
    pub(super) fn end_asks(&self, asks: Asks, status: Status, why: &str) {
        for ask in asks.into_asks() {
            self.close_ask(ask, status, why);
        }
    }
}

/// Records an answer to something that was not asked here. It is taken for what a person said if it has the form of
/// that; how much of it may be kept nobody has decided, so its content is known by its digest.
async fn record_unasked(answers: &Answers<'_>, key: &str, body: &str) -> Result<(), String> {
    if Members::of(body).is_none_or(|answer| answer.get("action").is_none()) {
        return Ok(());
    }
    let said = Said { how: answers.how, mode: None, key: Some(key), answer: body, keeps_content: false };
    let observe = human_observation(human_input(&said), answers.act_id, &answers.frame_digest);
    answers.run.observe_soon(observe).await.map(|_| ()).map_err(|error| error.to_string())
}

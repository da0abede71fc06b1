//! What the wrapped server asks of its client: sampling, elicitation, roots. Each is an act, decided under the wrap's
//! own delegation before the client sees it; the client's answer is recorded before the server sees it.
//!
//! This is the way there and back of the server's own requests. `decide.rs` asks for the decision and records the
//! answer, for requests that come inside a result too; `made.rs` follows tasks that the client makes of a request.

mod decide;
mod human;
mod made;

use std::sync::{Arc, Mutex, MutexGuard};

use evidence::Status;
use serde_json::Value;
use tokio::sync::Semaphore;

pub(super) use self::decide::{Answer, Ask, Refusal, Wanted};
pub(super) use self::human::{Said, observation as human_observation, payload as human_input};
use self::made::EndedAsk;
use super::frame::{Frame, Id};
use super::members::Members;
use super::methods::{self, ServerRoute};
use super::open::{Answered, Cancel, Forward, NotOpened, OpenRequests, Unanswered};
use super::proxy::{DEAF, Deaf, Proxy, lock, shown};
use super::record::{Seen, Side};
use super::reply;
use super::strip::Clean;
use super::tasks::TaskTable;
use super::write::Item;
use crate::api::Batch;
use crate::limits::{ASKING_MAX, DRAIN_WAIT, SERVER_OPEN_MAX};
use crate::run::tasks::Tasks;

/// What is under way between the server and its client at the server's request.
pub(crate) struct Asked {
    /// The server's requests that the client has not answered.
    open: Mutex<OpenRequests<Pending>>,
    /// Tasks that the client has made of them.
    made: Mutex<TaskTable<Ask, EndedAsk>>,
    /// Held while something is told of one of those, so that nothing is told before its end is recorded.
    telling: tokio::sync::Mutex<()>,
    /// At most [`ASKING_MAX`] decisions are asked for at one time.
    pub(super) turns: Semaphore,
    running: Tasks,
}

/// A request of the server that has gone to the client.
#[derive(Clone)]
enum Pending {
    Ping,
    /// An act.
    Act(Ask),
    /// A question about a task that the client has made.
    About {
        task: String,
        method: String,
    },
}

impl Default for Asked {
    fn default() -> Self {
        Self {
            open: Mutex::new(OpenRequests::with_max(SERVER_OPEN_MAX)),
            made: Mutex::default(),
            telling: tokio::sync::Mutex::default(),
            turns: Semaphore::new(ASKING_MAX),
            running: Tasks::default(),
        }
    }
}

impl Asked {
    fn open(&self) -> MutexGuard<'_, OpenRequests<Pending>> {
        lock(&self.open)
    }

    /// The writer to the client is about to write a request's first byte.
    pub(super) fn sending(&self, id: &Id, now_us: u64) {
        self.open().sending(id, now_us);
    }

    /// Nothing is waited for any more.
    pub(super) fn end(&self) {
        self.running.abort();
    }

    /// That write failed before its first byte.
    pub(super) fn unsent(&self, id: &Id) {
        self.open().unsent(id);
    }
}

impl Proxy {
    /// A request of the server.
    pub(super) async fn server_request(
        self: &Arc<Self>,
        id: Id,
        method: &str,
        frame: Frame,
        batch: Option<Batch>,
    ) {
        let pending = match methods::server_request(method) {
            ServerRoute::Refuse => {
                let why = "this method is not one that a server may ask of its client";
                return self.refuse_server(Some(&id), reply::METHOD_NOT_FOUND, why, method, &frame);
            }
            ServerRoute::About => match self.made_task(&frame) {
                Some(task) => Some(Pending::About { task, method: method.to_owned() }),
                None => {
                    let why = "it names no task that the client has made of a request of this server";
                    return self.refuse_server(Some(&id), reply::REFUSED, why, method, &frame);
                }
            },
            ServerRoute::Pass => Some(Pending::Ping),
            ServerRoute::Act => None,
        };
        match (self.server_opened(&id), pending) {
            (Err(NotOpened::Duplicate), _) => {
                // without an id: with it, the server would take the refusal for the answer to the first
                let why = format!("a request with the id {id} is open already");
                self.refuse_server(None, reply::INVALID_REQUEST, &why, method, &frame);
            }
            (Err(NotOpened::Full), _) => {
                let why = "too many requests to the client are open; wait for answers";
                self.refuse_server(Some(&id), reply::REFUSED, why, method, &frame);
            }
            (Ok(()), Some(pending)) => drop(self.pass_to_client(&id, pending, Clean::of(frame).bytes).await),
            (Ok(()), None) => {
                let proxy = Arc::clone(self);
                let method = method.to_owned();
                self.asked.running.spawn(async move { proxy.ask_client(id, &method, frame, batch).await });
            }
        }
    }

    /// Opens a request. Where none may be opened any more, a cancelled one that never was answered makes room.
    fn server_opened(&self, id: &Id) -> Result<(), NotOpened> {
        let mut open = self.asked.open();
        let opened = open.call(id);
        if opened != Err(NotOpened::Full) {
            return opened;
        }
        let Some(cancelled) = open.give_up_cancelled() else { return opened };
        let opened = open.call(id);
        drop(open);
        self.ends_unanswered(&cancelled);
        opened
    }

    /// Refuses a request of the server without a decision. Never waits: a server that does not read while it writes
    /// would hold up its own results.
    fn refuse_server(self: &Arc<Self>, id: Option<&Id>, code: i64, why: &str, method: &str, frame: &Frame) {
        self.drop_frame(Seen::of(Side::Server, why, frame).method(method));
        let text = format!("deeds refused `{}`: {why}", shown(method));
        if self.to_server.try_send(Item::plain(reply::error(id, code, &text))).is_err() {
            tracing::debug!("a refusal to the MCP server was dropped because it does not read");
        }
    }

    /// One act that the server asks for: decided, and then given to the client or refused.
    async fn ask_client(&self, id: Id, method: &str, frame: Frame, batch: Option<Batch>) {
        // kept until the answer is in the queue: what waits is never more than the table holds
        let Ok(_turn) = self.asked.turns.acquire().await else { return };
        let clean = super::strip::without_ours(frame.text());
        let wanted = Wanted {
            method,
            params: frame.params(),
            frame_digest: frame.digest(),
            sent_frame_digest: clean.as_ref().map(|text| evidence::Digest::of(text.as_bytes()).to_string()),
            rpc_id: id.to_json(),
            batch,
        };
        // From here on the decision is durable, or there is none.
        match self.decide_asked(&wanted).await {
            Ok(ask) => {
                let bytes = clean.map_or_else(|| frame.into_bytes(), String::into_bytes);
                let refused = self.pass_to_client(&id, Pending::Act(ask.clone()), bytes).await;
                if let Err(why) = refused {
                    self.close_ask(ask, Status::NotForwarded, why);
                }
            }
            Err(Refusal { code, text }) => {
                self.send_server(reply::error(Some(&id), code, &text)).await;
                self.asked.open().relayed(&id);
            }
        }
    }

    /// Puts an open request into the client's queue; an error says why it is not done any more. The place in the
    /// queue is taken first, so that nothing can come between the last look and the queue.
    async fn pass_to_client(&self, id: &Id, pending: Pending, bytes: Vec<u8>) -> Result<(), &'static str> {
        let slot = self.to_client.reserve().await.ok();
        let mut open = self.asked.open();
        match (open.forward(id, pending), slot) {
            (Forward::Go, Some(slot)) => slot.send(Item::Frame { bytes, call: Some(id.clone()) }),
            // It stays queued without ever being sent: closing ends it as not forwarded.
            (Forward::Go, None) => {}
            (Forward::Cancelled, _) => return Err("cancelled by the server before the client saw it"),
            (Forward::Closed, _) => return Err("the wrap ended before the client saw it"),
        }
        Ok(())
    }

    /// The server takes back one of its own requests, or ends something that the client has asked of it.
    pub(super) async fn server_cancels(self: &Arc<Self>, frame: Frame) {
        let params = frame.params().and_then(Members::of);
        let Some(id) = params.and_then(|params| params.get("requestId")).and_then(Id::parse) else {
            let why = "a cancellation that names no request";
            return self.drop_frame(Seen::of(Side::Server, why, &frame).method(methods::CANCELLED));
        };
        // One that is still being decided stops here, together with its request: the client has seen neither.
        let cancel = self.asked.open().cancel(&id);
        if cancel == Cancel::Pass {
            self.open().withdrawn(&id, methods::LISTEN);
            self.relay_told(methods::CANCELLED, frame).await;
        }
    }

    /// A response of the client.
    pub(super) async fn client_answers(self: &Arc<Self>, id: Option<Id>, is_error: bool, frame: Frame) {
        let answered = id.as_ref().map(|id| self.asked.open().answered(id));
        let (Some(id), Some(Answered::Call { permit: pending, cancelled, sent_us })) = (id, answered) else {
            let why = "a response that the server did not ask for";
            return self.drop_frame(Seen::of(Side::Client, why, &frame));
        };
        let digest = frame.digest();
        let told = Told { is_error, cancelled, sent_us, digest };
        match pending {
            Pending::Ping => {
                self.asked.open().relayed(&id);
                match self.server_place().await {
                    Ok(place) => {
                        if let Some(place) = place {
                            place.send(Item::plain(Clean::of(frame).bytes));
                        }
                    }
                    Err(Deaf) => self.drop_frame(Seen::of(Side::Client, DEAF, &frame)),
                }
            }
            pending => {
                let proxy = Arc::clone(self);
                self.asked.running.spawn(async move { proxy.take_answer(id, pending, frame, told).await });
            }
        }
    }

    /// Records what the client answered and then gives it to the server.
    async fn take_answer(&self, id: Id, pending: Pending, frame: Frame, told: Told) {
        let body = frame.body().unwrap_or_default().to_owned();
        let clean = Clean::of(frame);
        let recorded = match pending {
            Pending::Ping => Ok(()),
            Pending::About { task, method } => self.told_of_made(&task, &method, &body, &clean, &told).await,
            Pending::Act(ask) => match self.goes_on_as_task(ask, &body, &told) {
                // it may have ended when it begins
                None => self.began_as_made(&body, &clean, &told).await,
                Some((ask, why)) => self.answered(ask, why, &body, &clean, &told).await,
            },
        };
        let bytes = match recorded {
            Ok(()) => clean.bytes,
            Err(why) => reply::error(Some(&id), reply::UNAVAILABLE, &withheld(&why)),
        };
        self.asked.open().relayed(&id);
        self.send_server(bytes).await;
    }

    async fn answered(
        &self,
        ask: Ask,
        detail: Option<&str>,
        body: &str,
        clean: &Clean,
        told: &Told,
    ) -> Result<(), String> {
        let answer = Answer {
            how: "request",
            key: None,
            body,
            is_error: told.is_error,
            cancelled: told.cancelled,
            frame_digest: told.digest.clone(),
            sent_frame_digest: clean.digest.clone(),
            detail,
        };
        self.answer_ask(Ask { since_us: told.sent_us, ..ask }, &answer).await
    }

    /// No answer can come for anything any more.
    pub(super) async fn finish_asked(&self) {
        let unanswered = self.asked.open().close();
        for request in &unanswered {
            self.ends_unanswered(request);
        }
        // those that were still being decided find the table closed
        self.asked.running.settle(DRAIN_WAIT).await;
        let made = lock(&self.asked.made).close();
        for ask in made {
            self.close_ask(ask, Status::Unknown, "the client's task was not seen to end");
        }
    }

    fn ends_unanswered(&self, request: &Unanswered<Pending>) {
        let Some(Pending::Act(ask)) = &request.permit else { return };
        let (status, why) = match (request.sent, request.cancelled) {
            (false, _) => (Status::NotForwarded, "the wrap ended before the client saw it"),
            (true, true) => (Status::Cancelled, "cancelled by the server; the client gave no answer"),
            (true, false) => (Status::Unknown, "the client gave no answer before the wrap ended"),
        };
        let since_us = if request.sent { request.sent_us } else { ask.since_us };
        self.close_ask(Ask { since_us, ..ask.clone() }, status, why);
    }
}

/// What is known of a response of the client beside its text.
struct Told {
    is_error: bool,
    /// Whether the server had taken its request back.
    cancelled: bool,
    sent_us: u64,
    digest: String,
}

fn withheld(why: &str) -> String {
    format!("the client has answered, but its answer is withheld because it is not recorded: {why}")
}

/// The value of a member as it is recorded: a short string, or nothing.
fn word(members: Option<&Members<'_>>, name: &str) -> Option<String> {
    members.and_then(|members| members.string(name)).map(|text| shown(&text))
}

/// Whether text is an object.
fn is_object(text: &str) -> bool {
    matches!(serde_json::from_str(text), Ok(Value::Object(_)))
}

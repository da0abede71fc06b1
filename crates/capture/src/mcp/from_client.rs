//! What the client sends: lifecycle, lists and known notifications pass byte for byte; acts are decided first
//! (`call.rs`); everything else is refused and recorded.

use std::sync::Arc;

use evidence::Digest;

use super::call::Going;
use super::frame::{Flaw, Frame, Id, Line, Message, elements, is_batch};
use super::members::Members;
use super::methods::{self, Route};
use super::open::{Cancel, NotOpened, OpenRequests};
use super::proxy::{DEAF, End, Proxy, lock, read, shown};
use super::record::{Seen, Side};
use super::reply;
use crate::api::Batch;

/// The one revision with batches.
const WITH_BATCHES: &str = "2025-03-26";

impl Proxy {
    pub(super) async fn from_client(self: &Arc<Self>, line: Line) {
        match line {
            Line::Complete(bytes) if self.takes_batches() && is_batch(&bytes) => {
                self.client_batch(&bytes).await;
            }
            line => match read(line) {
                Ok(frame) => self.client_frame(frame, None).await,
                Err((flaw, digest)) => self.refuse_flawed(&flaw, digest).await,
            },
        }
    }

    /// Whether the revision agreed on has batches.
    pub(super) fn takes_batches(&self) -> bool {
        lock(&self.version).as_deref() == Some(WITH_BATCHES)
    }

    /// Each message of a batch is a frame of its own from here on.
    async fn client_batch(self: &Arc<Self>, line: &[u8]) {
        let digest = Digest::of(line).to_string();
        let elements = match elements(line) {
            Ok(elements) => elements,
            Err(flaw) => return self.refuse_flawed(&flaw, Some(digest)).await,
        };
        let count = elements.len() as u64;
        for (position, element) in (0..count).zip(elements) {
            match read(Line::Complete(element)) {
                Ok(frame) => {
                    let batch = Batch { digest: digest.clone(), position, count };
                    self.client_frame(frame, Some(batch)).await;
                }
                Err((flaw, digest)) => self.refuse_flawed(&flaw, digest).await,
            }
        }
    }

    async fn client_frame(self: &Arc<Self>, frame: Frame, batch: Option<Batch>) {
        match frame.message().clone() {
            Message::Request { id, method } => match methods::client_request(&method) {
                Route::Pass => self.pass_request(id, &method, frame).await,
                Route::Act => self.open_act(id, &method, frame, batch).await,
                Route::Refuse => self.refuse_method(id, &method, &frame).await,
            },
            Message::Notification { method } if method == methods::CANCELLED => self.cancel(frame).await,
            Message::Notification { method } if methods::client_notification(&method) => {
                if method == methods::TASK_STATUS {
                    self.client_tells_of_task(frame).await;
                } else {
                    self.pass_or_drop(frame, &method).await;
                }
            }
            Message::Notification { method } => {
                let why = "this notification is not known, so it is not passed on";
                self.drop_frame(Seen::of(Side::Client, why, &frame).method(&method));
            }
            Message::Response { id, is_error } => self.client_answers(id, is_error, frame).await,
        }
    }

    async fn pass_request(self: &Arc<Self>, id: Id, method: &str, frame: Frame) {
        if method == methods::INITIALIZE {
            let info = frame.params().and_then(Members::of).and_then(|params| params.get("clientInfo"));
            *lock(&self.client_info) = info.map(super::meta::correlator);
        }
        match self.opened(|open| open.pass(&id, method)) {
            Ok(()) => {
                if methods::listed(method).is_some() {
                    self.list_asked(&id, &frame);
                }
                if let Err(frame) = self.pass(frame).await {
                    self.refuse_deaf(id, method, &frame).await;
                }
            }
            Err(why) => self.refuse_unopened(why, &id, method, &frame).await,
        }
    }

    async fn open_act(self: &Arc<Self>, id: Id, method: &str, frame: Frame, batch: Option<Batch>) {
        match self.opened(|open| open.call(&id)) {
            Ok(()) => self.calls.spawn(Arc::clone(self).call(id, frame, batch)),
            Err(why) => self.refuse_unopened(why, &id, method, &frame).await,
        }
    }

    /// Opens a request. Where none may be opened any more, a cancelled call that never was answered makes room.
    fn opened(
        self: &Arc<Self>,
        request: impl Fn(&mut OpenRequests<Going>) -> Result<(), NotOpened>,
    ) -> Result<(), NotOpened> {
        let opened = request(&mut self.open());
        if opened != Err(NotOpened::Full) {
            return opened;
        }
        let Some(cancelled) = self.open().give_up_cancelled() else { return opened };
        self.finish_unanswered(cancelled, End::Closed);
        request(&mut self.open())
    }

    /// A cancellation of a call that is still being decided stops here, together with the call: the server has
    /// seen neither. Any other goes on; it can not overtake its request, because both use one queue.
    async fn cancel(self: &Arc<Self>, frame: Frame) {
        let id = frame
            .params()
            .and_then(Members::of)
            .and_then(|params| params.get("requestId"))
            .and_then(Id::parse);
        let Some(id) = id else {
            let why = "a cancellation that names no request";
            return self.drop_frame(Seen::of(Side::Client, why, &frame).method(methods::CANCELLED));
        };
        let cancel = self.open().cancel(&id);
        if cancel == Cancel::Pass {
            self.pass_or_drop(frame, methods::CANCELLED).await;
        }
    }

    /// Answers a request that passes, but not to a server that does not read.
    async fn refuse_deaf(self: &Arc<Self>, id: Id, method: &str, frame: &Frame) {
        let reply_due = self.open().refused(&id);
        if let Some(list) = methods::listed(method) {
            self.list_lost(&id, list);
        }
        let seen = Seen::of(Side::Client, DEAF, frame).method(method);
        if reply_due {
            let text = format!("{DEAF}. Restart it, or try again.");
            let answer = move |recorded: &str| {
                reply::error(Some(&id), reply::UNAVAILABLE, &format!("{text} {recorded}"))
            };
            self.refuse(seen, answer).await;
        } else {
            self.drop_frame(seen);
        }
    }

    async fn refuse_flawed(self: &Arc<Self>, flaw: &Flaw, digest: Option<String>) {
        let (code, why) = (flaw.code(), flaw.to_string());
        let seen = Seen { from: Side::Client, why: why.clone(), method: None, frame_digest: digest };
        self.refuse(seen, move |recorded| reply::error(None, code, &format!("{why}. {recorded}"))).await;
    }

    async fn refuse_method(self: &Arc<Self>, id: Id, method: &str, frame: &Frame) {
        let why = "this method is not decided by this version of deeds, so it does not pass";
        let text = format!("deeds refused `{}`: {why}", shown(method));
        let seen = Seen::of(Side::Client, why, frame).method(method);
        let answer =
            move |recorded: &str| reply::error(Some(&id), reply::REFUSED, &format!("{text}. {recorded}"));
        self.refuse(seen, answer).await;
    }

    /// A second request with the id of an open one is answered without an id: with it, the client would take the
    /// refusal for the answer to the first, which lives on.
    async fn refuse_unopened(self: &Arc<Self>, not_opened: NotOpened, id: &Id, method: &str, frame: &Frame) {
        let (id, code, why) = match not_opened {
            NotOpened::Duplicate => {
                (None, reply::INVALID_REQUEST, format!("a request with the id {id} is open already"))
            }
            NotOpened::Full => {
                (Some(id.clone()), reply::REFUSED, "too many requests are open; wait for answers".into())
            }
        };
        let seen = Seen::of(Side::Client, &why, frame).method(method);
        let answer = move |recorded: &str| reply::error(id.as_ref(), code, &format!("{why}. {recorded}"));
        self.refuse(seen, answer).await;
    }
}

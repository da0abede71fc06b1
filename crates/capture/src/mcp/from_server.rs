//! What the server sends: responses go to `responses.rs`, requests of its own to `asked.rs`, known notifications pass;
//! everything else is dropped or refused, and recorded.

use std::sync::Arc;

use evidence::{Digest, Status};

use super::call::Going;
use super::finish::is_enqueued;
use super::frame::{Flaw, Frame, Id, Line, Message, Rejected, Scan, Skipped, elements, is_batch};
use super::methods::{self, ServerTells};
use super::open::Answered;
use super::proxy::{Proxy, flaw_of};
use super::record::{Seen, Side};
use super::reply;
use super::strip::Clean;
use crate::api::Batch;

impl Proxy {
    pub(super) async fn from_server(self: &Arc<Self>, line: Line) {
        match line {
            Line::TooLong(skipped) => {
                self.drop_flawed(&Flaw::TooLong, None);
                self.unread(
                    &skipped,
                    &Flaw::TooLong,
                    "the answer was too long to be read, so it was skipped",
                );
            }
            Line::Complete(bytes) if self.takes_batches() && is_batch(&bytes) => {
                self.server_batch(&bytes).await;
            }
            line => self.server_line(line, None).await,
        }
    }

    /// Each message of a batch is a frame of its own from here on.
    async fn server_batch(self: &Arc<Self>, line: &[u8]) {
        let digest = Digest::of(line).to_string();
        let elements = match elements(line) {
            Ok(elements) => elements,
            Err(flaw) => return self.drop_flawed(&flaw, Some(digest)),
        };
        let count = elements.len() as u64;
        for (position, element) in (0..count).zip(elements) {
            let batch = Batch { digest: digest.clone(), position, count };
            self.server_line(Line::Complete(element), Some(batch)).await;
        }
    }

    fn drop_flawed(self: &Arc<Self>, flaw: &Flaw, frame_digest: Option<String>) {
        self.drop_frame(Seen { from: Side::Server, why: flaw.to_string(), method: None, frame_digest });
    }

    async fn server_line(self: &Arc<Self>, line: Line, batch: Option<Batch>) {
        let frame = match line {
            Line::Complete(bytes) => Frame::parse(bytes),
            line => return self.drop_flawed(&flaw_of(&line), None),
        };
        let frame = match frame {
            Ok(frame) => frame,
            Err(Rejected { flaw, bytes }) => {
                self.drop_flawed(&flaw, Some(Digest::of(&bytes).to_string()));
                let mut scan = Scan::default();
                scan.take(&bytes);
                // one that was cut off has not been answered
                if scan.is_over() {
                    let why = "the answer is no acceptable message, so it was not passed on";
                    self.unread(&scan.end(), &flaw, why);
                }
                return;
            }
        };
        self.facts.spoke();
        match frame.message().clone() {
            Message::Response { id: Some(id), is_error } => self.answer(id, is_error, frame).await,
            Message::Response { id: None, .. } => {
                self.drop_frame(Seen::of(Side::Server, "a response that names no request", &frame));
            }
            Message::Notification { method } => self.server_tells(&method, frame).await,
            Message::Request { id, method } => self.server_request(id, &method, frame, batch).await,
        }
    }

    async fn server_tells(self: &Arc<Self>, method: &str, frame: Frame) {
        let tells = methods::server_notification(method);
        if tells == ServerTells::Unknown {
            let why = "this notification is not known, so it is not passed on";
            return self.drop_frame(Seen::of(Side::Server, why, &frame).method(method));
        }
        match tells {
            ServerTells::Cancelled => self.server_cancels(frame).await,
            ServerTells::Task => self.task_notification(frame).await,
            ServerTells::Progress => {
                self.parts().told(&frame);
                self.relay_told(method, frame).await;
            }
            ServerTells::Known | ServerTells::Unknown => self.relay_told(method, frame).await,
        }
    }

    /// Passes a notification on.
    pub(super) async fn relay_told(&self, method: &str, frame: Frame) {
        self.passes(Side::Server, method);
        self.send_client(Clean::of(frame).bytes).await;
    }

    /// What a frame answered that could not be read gets no other answer.
    fn unread(self: &Arc<Self>, skipped: &Skipped, flaw: &Flaw, why: &'static str) {
        let Some(id) = skipped.answers() else { return };
        let answered = self.open().answered(id);
        match answered {
            Answered::Nothing => {}
            Answered::Passed { method } => {
                if let Some(list) = methods::listed(&method) {
                    self.list_lost(id, list);
                }
                self.replies.spawn(Arc::clone(self).tell_unread(id.clone(), None, flaw.to_string(), why));
            }
            Answered::Call { permit, sent_us, .. } => {
                let act = Some((permit, sent_us));
                self.replies.spawn(Arc::clone(self).tell_unread(id.clone(), act, flaw.to_string(), why));
            }
        }
    }

    /// Records that an act's answer was not read, and tells the caller.
    async fn tell_unread(
        self: Arc<Self>,
        id: Id,
        act: Option<(Going, u64)>,
        flaw: String,
        why: &'static str,
    ) {
        if let Some((going, sent_us)) = act {
            if let Some(permit) = going.permit {
                let finish = self.unheard(&permit, Status::Unknown, why, self.since(sent_us));
                // enqueued before the caller is told, as with any result; when that fails it is told all the same
                let _ = is_enqueued(permit.held.deliver(permit.act_id, finish)).await;
            }
            self.open().relayed(&id);
        }
        self.send_client(reply::error(Some(&id), reply::UNAVAILABLE, &format!("{flaw}: {why}"))).await;
    }
}

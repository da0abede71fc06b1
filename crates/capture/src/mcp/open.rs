//! The client's open requests: which are there, how far each tool call has come, and who has the next word.
//!
//! A pure state machine under one lock. It is what makes these hold under any interleaving: an id is open once;
//! a cancelled call is not forwarded afterwards; a response is relayed only for a request that the server was
//! given; every permit leaves here exactly once, with what is known about whether the server got the call.

use std::collections::HashMap;

use super::frame::Id;
use crate::limits::OPEN_MAX;

/// How far a tool call has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Its decision is being asked for; the server knows nothing of it.
    Deciding,
    /// In the queue to the server; no byte of it has been written.
    Queued,
    /// Its first byte may have reached the server.
    Sent,
    /// The server has answered; the outcome is on its way to the log, the result waits for that.
    Answering,
}

#[derive(Debug)]
struct Call<P> {
    stage: Stage,
    /// Position in the order of cancellations.
    cancelled: Option<u64>,
    /// What was forwarded; absent before that, and once the answer has come.
    permit: Option<P>,
    sent_us: u64,
}

#[derive(Debug)]
enum Slot<P> {
    Passed {
        method: String,
        /// Position in the order of cancellations.
        cancelled: Option<u64>,
    },
    Call(Call<P>),
}

/// Why a request cannot be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotOpened {
    /// Its id belongs to an open request.
    Duplicate,
    /// As many requests are open as may be.
    Full,
}

/// What a cancellation means for the frame that carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cancel {
    /// The server never saw the call: it will not, and neither will it see the cancellation.
    Held,
    /// To be passed on.
    Pass,
}

/// Whether a decided call may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Forward {
    /// To the queue, now.
    Go,
    /// It was cancelled meanwhile: no forwarding, no reply.
    Cancelled,
    /// The wrap is ending: no forwarding.
    Closed,
}

/// What a response of the server answers.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answered<P> {
    /// A request that was passed on undecided by design.
    Passed { method: String },
    /// A call that was forwarded.
    Call { permit: P, cancelled: bool, sent_us: u64 },
    /// Nothing that the server was asked.
    Nothing,
}

/// A request that ended without a response.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unanswered<P> {
    pub(crate) id: Id,
    /// Nothing for a request that passed.
    pub(crate) permit: Option<P>,
    /// Whether a byte of it may have reached the server.
    pub(crate) sent: bool,
    pub(crate) cancelled: bool,
    pub(crate) sent_us: u64,
}

/// The open requests of one side. `P` holds the permit of a decided call, which must end in exactly one outcome.
#[derive(Debug)]
pub(crate) struct OpenRequests<P> {
    slots: HashMap<Id, Slot<P>>,
    cancellations: u64,
    closed: bool,
    max: usize,
}

impl<P> Default for OpenRequests<P> {
    fn default() -> Self {
        Self::with_max(OPEN_MAX)
    }
}

impl<P> OpenRequests<P> {
    /// A table for so many requests at one time.
    pub(crate) fn with_max(max: usize) -> Self {
        Self { slots: HashMap::new(), cancellations: 0, closed: false, max }
    }

    /// Whether no request is open.
    pub(crate) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Opens a request that passes undecided.
    pub(crate) fn pass(&mut self, id: &Id, method: &str) -> Result<(), NotOpened> {
        self.insert(id, Slot::Passed { method: method.to_owned(), cancelled: None })
    }

    /// Opens a tool call, whose decision is asked for next.
    pub(crate) fn call(&mut self, id: &Id) -> Result<(), NotOpened> {
        self.insert(
            id,
            Slot::Call(Call { stage: Stage::Deciding, cancelled: None, permit: None, sent_us: 0 }),
        )
    }

    fn insert(&mut self, id: &Id, slot: Slot<P>) -> Result<(), NotOpened> {
        if self.slots.contains_key(id) {
            return Err(NotOpened::Duplicate);
        }
        if self.slots.len() >= self.max {
            return Err(NotOpened::Full);
        }
        self.slots.insert(id.clone(), slot);
        Ok(())
    }

    /// The client takes a request back.
    pub(crate) fn cancel(&mut self, id: &Id) -> Cancel {
        let (cancelled, held) = match self.slots.get_mut(id) {
            Some(Slot::Passed { cancelled, .. }) => (cancelled, false),
            Some(Slot::Call(call)) if call.stage != Stage::Answering => {
                (&mut call.cancelled, call.stage == Stage::Deciding)
            }
            _ => return Cancel::Pass,
        };
        if cancelled.is_none() {
            *cancelled = Some(self.cancellations);
            self.cancellations += 1;
        }
        if held { Cancel::Held } else { Cancel::Pass }
    }

    /// The call was refused: it is open no more. True when a reply is due, false when it was cancelled.
    pub(crate) fn refused(&mut self, id: &Id) -> bool {
        !matches!(self.slots.remove(id), Some(Slot::Call(Call { cancelled: Some(_), .. })))
    }

    /// The call may go as far as the decision is concerned. Anything but [`Forward::Go`] ends it here.
    pub(crate) fn forward(&mut self, id: &Id, permit: P) -> Forward {
        let closed = self.closed;
        let Some(call) = self.call_mut(id) else { return Forward::Closed };
        if call.cancelled.is_none() && !closed {
            call.stage = Stage::Queued;
            call.permit = Some(permit);
            return Forward::Go;
        }
        let was_cancelled = call.cancelled.is_some();
        self.slots.remove(id);
        if was_cancelled { Forward::Cancelled } else { Forward::Closed }
    }

    /// The writer is about to write the call's first byte.
    pub(crate) fn sending(&mut self, id: &Id, now_us: u64) {
        if let Some(call) = self.call_mut(id)
            && call.stage == Stage::Queued
        {
            call.stage = Stage::Sent;
            call.sent_us = now_us;
        }
    }

    /// The write failed before its first byte.
    pub(crate) fn unsent(&mut self, id: &Id) {
        if let Some(call) = self.call_mut(id)
            && call.stage == Stage::Sent
        {
            call.stage = Stage::Queued;
        }
    }

    /// The server has answered `id`.
    pub(crate) fn answered(&mut self, id: &Id) -> Answered<P> {
        match self.slots.get_mut(id) {
            Some(Slot::Call(call)) if call.stage == Stage::Sent => {
                // what was sent was forwarded with it
                let Some(permit) = call.permit.take() else { return Answered::Nothing };
                call.stage = Stage::Answering;
                Answered::Call { permit, cancelled: call.cancelled.is_some(), sent_us: call.sent_us }
            }
            Some(Slot::Passed { .. }) => match self.slots.remove(id) {
                Some(Slot::Passed { method, .. }) => Answered::Passed { method },
                _ => Answered::Nothing,
            },
            _ => Answered::Nothing,
        }
    }

    /// The result was given to the client: the id is free.
    pub(crate) fn relayed(&mut self, id: &Id) {
        self.slots.remove(id);
    }

    /// The peer takes back a request that passed and that it would answer only at its end. True if there is one.
    pub(crate) fn withdrawn(&mut self, id: &Id, method: &str) -> bool {
        let is_one =
            matches!(self.slots.get(id), Some(Slot::Passed { method: passed, .. }) if passed == method);
        is_one && self.slots.remove(id).is_some()
    }

    /// Gives up waiting for an answer to the request that was cancelled first, to make room.
    pub(crate) fn give_up_cancelled(&mut self) -> Option<Unanswered<P>> {
        let waiting = |slot: &Slot<P>| match slot {
            Slot::Call(Call { stage: Stage::Sent, cancelled, .. }) | Slot::Passed { cancelled, .. } => {
                *cancelled
            }
            Slot::Call(_) => None,
        };
        let (_, id) = self.slots.iter().filter_map(|(id, slot)| Some((waiting(slot)?, id))).min()?;
        let id = id.clone();
        self.slots.remove(&id).map(|slot| unanswered(id, slot))
    }

    /// Ends everything that no response can come for any more. Calls that are being decided end in
    /// [`OpenRequests::forward`], those being answered in [`OpenRequests::relayed`].
    pub(crate) fn close(&mut self) -> Vec<Unanswered<P>> {
        self.closed = true;
        let over = |slot: &mut Slot<P>| match slot {
            Slot::Passed { .. } => true,
            Slot::Call(call) => matches!(call.stage, Stage::Queued | Stage::Sent),
        };
        self.slots.extract_if(|_, slot| over(slot)).map(|(id, slot)| unanswered(id, slot)).collect()
    }

    fn call_mut(&mut self, id: &Id) -> Option<&mut Call<P>> {
        match self.slots.get_mut(id) {
            Some(Slot::Call(call)) => Some(call),
            _ => None,
        }
    }
}

fn unanswered<P>(id: Id, slot: Slot<P>) -> Unanswered<P> {
    match slot {
        Slot::Passed { cancelled, .. } => {
            Unanswered { id, permit: None, sent: true, cancelled: cancelled.is_some(), sent_us: 0 }
        }
        Slot::Call(call) => Unanswered {
            id,
            sent: call.stage != Stage::Queued,
            cancelled: call.cancelled.is_some(),
            sent_us: call.sent_us,
            permit: call.permit,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: i64) -> Id {
        Id::Number(n)
    }

    type OpenRequests = super::OpenRequests<&'static str>;

    fn permit() -> &'static str {
        "permit"
    }

    fn sent(open: &mut OpenRequests, n: i64) {
        open.call(&id(n)).unwrap();
        assert_eq!(open.forward(&id(n), permit()), Forward::Go);
        open.sending(&id(n), 5);
    }

    #[test]
    fn an_id_is_open_once_until_its_answer_is_relayed() {
        let mut open = OpenRequests::default();
        sent(&mut open, 1);
        assert_eq!(open.call(&id(1)), Err(NotOpened::Duplicate));
        assert_eq!(open.answered(&id(1)), Answered::Call { permit: permit(), cancelled: false, sent_us: 5 });
        assert_eq!(open.answered(&id(1)), Answered::Nothing);
        assert_eq!(open.pass(&id(1), "ping"), Err(NotOpened::Duplicate));
        open.relayed(&id(1));
        assert_eq!(open.pass(&id(1), "ping"), Ok(()));
        assert_eq!(open.answered(&id(1)), Answered::Passed { method: "ping".into() });
        assert_eq!(open.answered(&id(1)), Answered::Nothing);
    }

    #[test]
    fn a_response_before_the_call_was_sent_answers_nothing() {
        let mut open = OpenRequests::default();
        open.call(&id(1)).unwrap();
        assert_eq!(open.answered(&id(1)), Answered::Nothing);
        open.forward(&id(1), permit());
        assert_eq!(open.answered(&id(1)), Answered::Nothing);
        open.sending(&id(1), 1);
        assert!(matches!(open.answered(&id(1)), Answered::Call { .. }));
    }

    #[test]
    fn a_cancellation_that_overtakes_the_decision_holds_the_call_back() {
        let mut open = OpenRequests::default();
        open.call(&id(1)).unwrap();
        assert_eq!(open.cancel(&id(1)), Cancel::Held);
        assert_eq!(open.forward(&id(1), permit()), Forward::Cancelled);
        open.call(&id(1)).unwrap();
        assert_eq!(open.cancel(&id(1)), Cancel::Held);
        assert!(!open.refused(&id(1)));
        open.call(&id(1)).unwrap();
        assert!(open.refused(&id(1)));
    }

    #[test]
    fn a_later_cancellation_passes_and_is_remembered() {
        let mut open = OpenRequests::default();
        sent(&mut open, 1);
        assert_eq!(open.cancel(&id(1)), Cancel::Pass);
        assert!(matches!(open.answered(&id(1)), Answered::Call { cancelled: true, .. }));
        assert_eq!(open.cancel(&id(1)), Cancel::Pass);
        assert_eq!(open.cancel(&id(9)), Cancel::Pass);
    }

    #[test]
    fn the_number_is_limited_and_the_first_cancelled_call_makes_room() {
        let mut open = OpenRequests::default();
        for n in 0..i64::try_from(OPEN_MAX).unwrap() {
            sent(&mut open, n);
        }
        assert_eq!(open.call(&id(-1)), Err(NotOpened::Full));
        assert_eq!(open.give_up_cancelled(), None);
        open.cancel(&id(7));
        open.cancel(&id(3));
        open.cancel(&id(7));
        assert_eq!(open.give_up_cancelled().map(|ended| (ended.id, ended.cancelled)), Some((id(7), true)));
        assert_eq!(open.call(&id(-1)), Ok(()));
        assert_eq!(open.answered(&id(7)), Answered::Nothing);
    }

    #[test]
    fn what_passed_makes_room_too_once_it_is_taken_back() {
        let mut open = OpenRequests::default();
        for n in 0..i64::try_from(OPEN_MAX).unwrap() {
            open.pass(&id(n), "subscriptions/listen").unwrap();
        }
        assert_eq!(open.cancel(&id(4)), Cancel::Pass);
        let ended = open.give_up_cancelled().unwrap();
        assert_eq!((ended.id, ended.cancelled, ended.permit), (id(4), true, None));
        assert!(!open.withdrawn(&id(5), "ping"));
        assert!(open.withdrawn(&id(5), "subscriptions/listen"));
        assert!(!open.withdrawn(&id(5), "subscriptions/listen"));
        sent(&mut open, 5);
        assert!(!open.withdrawn(&id(5), "tools/call"), "a call ends by its answer");
    }

    #[test]
    fn closing_tells_sent_from_queued_and_leaves_the_undecided_to_their_decision() {
        let mut open = OpenRequests::default();
        open.pass(&id(0), "tools/list").unwrap();
        open.call(&id(1)).unwrap();
        open.call(&id(2)).unwrap();
        open.forward(&id(2), permit());
        sent(&mut open, 3);
        sent(&mut open, 4);
        open.unsent(&id(4));
        sent(&mut open, 5);
        open.answered(&id(5));
        let mut ended: Vec<_> = open.close().into_iter().map(|ended| (ended.id, ended.sent)).collect();
        ended.sort();
        assert_eq!(ended, [(id(0), true), (id(2), false), (id(3), true), (id(4), false)]);
        assert_eq!(open.forward(&id(1), permit()), Forward::Closed);
        assert_eq!(open.close(), []);
    }
}

//! What comes with an act that is no first attempt, or that is about a task: which act it belongs to, and what the
//! client answers with it, which is recorded before anything else is done.

use std::sync::Arc;

use evidence::Status;

use super::act::Act;
use super::asking::Answers;
use super::attempts::{Attempt, Key};
use super::call::{About, Authority, Going};
use super::frame::{Frame, Id};
use super::inputs::Asks;
use super::methods;
use super::presented::Unfit;
use super::proxy::Proxy;

/// Whose the task is that an act is about.
pub(super) enum Claim {
    /// Nobody's here, or the act is about none.
    Unknown,
    /// The wrap's own, and the act presents no delegation: it goes on undecided.
    Own,
    /// That of the key with this run: the act is decided, in that run.
    In(String),
}

/// An act as it is to be asked for.
pub(super) struct Tried {
    /// Chosen for the first attempt. A presented proof names its own.
    pub(super) act_id: String,
    /// The attempt before, with where it waited.
    pub(super) before: Option<(Key, String, u64)>,
}

impl Tried {
    /// Log index of the decision that is tried again.
    pub(super) fn retry_of(&self) -> Option<u64> {
        self.before.as_ref().map(|(_, _, decision)| *decision)
    }
}

impl Proxy {
    /// A task may be asked about only under the authority that it was begun under: what comes of it is the result of
    /// that call, and another agent would read it past its own scope.
    pub(super) fn claim(&self, act: &Act) -> Result<Claim, Unfit> {
        let tasks = self.tasks();
        let Some(run) = act.task.as_deref().and_then(|task| tasks.run_of(task)) else {
            return Ok(Claim::Unknown);
        };
        let foreign = |why| Err(Unfit::new("task-foreign", why));
        match (*run == self.run.id, act.presented.is_some()) {
            (true, false) => Ok(Claim::Own),
            (false, true) => Ok(Claim::In(run.to_owned())),
            (true, true) => {
                foreign("the task was begun by a call that presented no delegation: ask about it without one")
            }
            (false, false) => foreign(
                "the task was begun by a call that presented its delegation: present the same with this",
            ),
        }
    }

    /// Passes a request about one of the wrap's own tasks on.
    pub(super) async fn pass_to_task(self: &Arc<Self>, id: Id, about: Arc<About>, act: Act, frame: Frame) {
        if let Err(why) = self.take_update(&act, &frame).await {
            return self.refuse_untaken(&id, &why, &frame).await;
        }
        self.forward(&id, act.to_send(frame), Going { about, permit: None }).await;
    }

    /// Records what the client answers to a task.
    pub(super) async fn take_update(&self, act: &Act, frame: &Frame) -> Result<(), String> {
        let Some(task) = act.task.as_deref().filter(|_| act.operation == methods::TASKS_UPDATE) else {
            return Ok(());
        };
        let Some((run, act_id, asks)) = self.asks_of_task(task) else { return Ok(()) };
        let answers = Answers { how: "task", run: &run, act_id: &act_id, act, frame_digest: frame.digest() };
        let (left, taken) = self.take_answers(&answers, asks).await;
        self.await_answers_to_task(task, left);
        taken
    }

    /// Finds the attempt that this one follows, and records what the client answers to what it was asked in it.
    pub(super) async fn try_again(
        &self,
        authority: &Authority,
        claim: &Claim,
        act: &Act,
        about: &About,
        frame: &Frame,
    ) -> Result<Tried, String> {
        let mut tried = Tried { act_id: self.ambient().uuid(), before: None };
        if matches!(claim, Claim::In(_)) {
            return self.take_update(act, frame).await.map(|()| tried);
        }
        if act.input_responses.is_none() && act.request_state.is_none() {
            return Ok(tried);
        }
        let run = &authority.held.run;
        let key = Key {
            run: run.id.clone(),
            tool: about.tool.clone(),
            args_digest: about.args_digest.clone(),
            state: act.request_state.clone(),
        };
        let (found, gone) = self.attempts().take(&key, (self.ambient().monotonic_us)());
        self.forget_attempts(gone);
        let mut asks = Asks::default();
        if let Some(attempt) = found {
            tried = Tried {
                act_id: attempt.act_id.clone(),
                before: Some((key, attempt.act_id, attempt.decision)),
            };
            asks = attempt.asked;
        }
        let act_id = authority.act_id().unwrap_or_else(|| tried.act_id.clone());
        let how = if act.task.is_some() { "task" } else { "retry" };
        let answers = Answers { how, run, act_id: &act_id, act, frame_digest: frame.digest() };
        let (left, taken) = self.take_answers(&answers, asks).await;
        match taken {
            Ok(()) => {
                let why = "the client tried again without an answer to it";
                self.end_asks(left, Status::Cancelled, why);
                Ok(tried)
            }
            Err(why) => {
                self.wait_again(tried, left);
                Err(why)
            }
        }
    }

    /// A further attempt that was never asked for: the one before still waits for it.
    pub(super) fn wait_again(&self, tried: Tried, asks: Asks) {
        let Some((key, act_id, decision)) = tried.before else { return };
        let attempt = Attempt { act_id, decision, asked: asks };
        let gone = self.attempts().wait(key, attempt, (self.ambient().monotonic_us)());
        self.forget_attempts(gone);
    }
}

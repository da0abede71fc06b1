//! The end of a task: whichever message shows it first, its outcome is enqueued before that message is relayed.

use std::sync::{Arc, Weak};

use evidence::{Digest, Status};
use serde_json::json;
use serde_json::value::RawValue;
use tokio::sync::watch;
use tokio::time::timeout;

use super::answer::judge_result;
use super::asking::{AskedIn, Asking};
use super::call::{About, Going, Permit};
use super::files;
use super::finish::{both, is_enqueued, kept_text};
use super::frame::{Frame, Message};
use super::inputs::{Asks, requested};
use super::members::Members;
use super::methods;
use super::outputs::Outputs;
use super::proxy::Proxy;
use super::record::{Seen, Side};
use super::strip::without_ours;
use super::tasks::{self, Ending, NotFollowed, Stand};
use crate::api::{Artifacts, Finish, Observe};
use crate::limits::RESULT_HOLD;
use crate::run::Run;

/// A task that is followed.
pub(crate) struct Following {
    about: Arc<About>,
    permit: Permit,
    sent_us: u64,
    /// What it asked of the client, and is not answered.
    pub(super) asks: Asks,
}

/// What is known of a task that has ended.
pub(crate) struct Ended {
    /// The run of its act, if that still goes on.
    run: Weak<Run>,
    act_id: String,
    operation: String,
    outcome: watch::Receiver<Recorded>,
    /// Digest string of the last result that was told, and whether it is recorded.
    result: Option<(String, watch::Receiver<Recorded>)>,
}

/// Whether something is recorded, or why it is not; nothing as long as that is open.
type Recorded = Option<Result<(), String>>;

/// What a message tells of a task, to be recorded before the message is relayed.
pub(super) enum Told {
    /// Its end, for the first time.
    End { permit: Permit, finish: Box<Finish>, tell: watch::Sender<Recorded> },
    /// Something after its end.
    After {
        /// What is recorded before: the outcome, or the same result.
        before: watch::Receiver<Recorded>,
        /// A result that is not recorded yet.
        result: Option<NewResult>,
    },
}

/// A result that was not recorded before, as it is observed.
pub(super) struct NewResult {
    /// The run of its act, if that still goes on.
    run: Weak<Run>,
    observe: Box<Observe>,
    tell: watch::Sender<Recorded>,
}

impl Proxy {
    /// Follows a task from the answer to its call on. An act that cannot be followed has ended as far as is known.
    pub(super) fn follow(
        &self,
        task: &str,
        going: &Going,
        permit: Permit,
        sent_us: u64,
    ) -> Result<(), (Permit, &'static str)> {
        let run = permit.held.run.id.clone();
        let following = Following { about: Arc::clone(&going.about), permit, sent_us, asks: Asks::default() };
        self.tasks().begin(task, &run, following).map_err(|(following, why)| {
            let why = match why {
                NotFollowed::Known => {
                    "the server answered with the task of another call, so its end is not known"
                }
                NotFollowed::Full => "too many tasks are open to follow this one to its end",
            };
            (following.permit, why)
        })
    }

    /// What an answer tells of the task that its request was about.
    pub(super) fn told_in_answer(&self, about: &About, response: &Frame) -> Option<Told> {
        let task = about.task.as_deref()?;
        // an error is about the request, and says nothing of the task
        let Message::Response { is_error: false, .. } = response.message() else { return None };
        let is_result = about.operation == methods::TASKS_RESULT;
        self.told(task, response.body()?, is_result, response)
    }

    /// What a list of tasks tells of those that are followed here, where that is anything new. An error says why the
    /// list is not relayed: it lists tasks, and does not bring what comes of them.
    pub(super) fn told_in_list(&self, response: &Frame) -> Result<Vec<Told>, String> {
        let list = response.body().and_then(Members::of).and_then(|result| result.get("tasks"));
        let list: Vec<&RawValue> = list.and_then(|list| serde_json::from_str(list).ok()).unwrap_or_default();
        for task in &list {
            let members = Members::of(task.get());
            let brings = |name: &&&str| members.as_ref().is_some_and(|members| members.get(name).is_some());
            if let Some(name) = ["task", "result", "error", "inputRequests"].iter().find(brings) {
                return Err(format!("a list of tasks does not bring `{name}`"));
            }
            tasks::odd(task.get(), None).map_or(Ok(()), Err)?;
        }
        let told = list
            .iter()
            .filter_map(|task| self.told(&tasks::told_of(task.get())?, task.get(), false, response));
        Ok(told.filter(|told| !told.is_settled()).collect())
    }

    /// What `text` of a frame tells of a task; `is_result` where it is what came of the task itself.
    pub(super) fn told(&self, task: &str, text: &str, is_result: bool, frame: &Frame) -> Option<Told> {
        let read = |operation: &str| {
            if is_result {
                let (status, detail) = judge_result(operation, text);
                return Stand::Ended(Ending { status, body: Some(text), detail });
            }
            tasks::read(operation, text)
        };
        let mut tasks = self.tasks();
        if let Some(following) = tasks.open_mut(task) {
            let Stand::Ended(ending) = read(&following.about.operation) else { return None };
            return tasks.end(task, |following| self.end_of(following, &ending, frame));
        }
        let ended = tasks.ended_mut(task)?;
        let Stand::Ended(ending) = read(&ended.operation) else { return None };
        Some(ended.told_after(&ending, task, frame))
    }

    fn end_of(&self, following: Following, ending: &Ending<'_>, frame: &Frame) -> (Ended, Told) {
        let Following { about, permit, sent_us, asks } = following;
        self.end_asks(asks, Status::Unknown, "the task ended before the client answered");
        let body = ending.body.unwrap_or_default();
        let outputs = Outputs::of(&about.operation, body);
        let result_digest = ending.body.map(digest);
        let finish = Finish {
            status: ending.status,
            result: ending.body.and_then(|body| kept_text(body, permit.keep_result)),
            result_digest: result_digest.clone(),
            result_size: body.len() as u64,
            frame_digest: Some(frame.digest()),
            duration_us: self.since(sent_us),
            detail: both(ending.detail.clone(), outputs.detail()),
            outputs: Artifacts::List(outputs.list),
            ..self.finish_of(&permit)
        };
        let (tell, outcome) = watch::channel(None);
        let ended = Ended {
            run: Arc::downgrade(&permit.held.run),
            act_id: permit.act_id.clone(),
            operation: about.operation.clone(),
            result: result_digest.map(|digest| (digest, outcome.clone())),
            outcome,
        };
        (ended, Told::End { permit, finish: Box::new(finish), tell })
    }

    /// Records what was told of a task; an error says why that message must not be relayed.
    pub(super) async fn record_told(&self, told: Told) -> Result<(), String> {
        match told {
            Told::End { permit, finish, tell } => {
                let finish = files::after(permit.files.as_ref(), *finish).await;
                let recorded = is_enqueued(permit.held.deliver(permit.act_id, finish)).await;
                tell.send_replace(Some(recorded.clone()));
                recorded
            }
            Told::After { mut before, result } => {
                let before = timeout(RESULT_HOLD, before.wait_for(Option::is_some)).await;
                let before = before.map(|seen| seen.map(|seen| seen.clone()));
                let before = match before {
                    Ok(Ok(Some(before))) => before,
                    _ => Err("the deeds server did not take what came before it in time".into()),
                };
                let Some(NewResult { run, observe, tell }) = result else { return before };
                let recorded = match before {
                    Ok(()) => {
                        // a run that has ended takes nothing any more; its act is named all the same
                        let run = run.upgrade().unwrap_or_else(|| Arc::clone(&self.run));
                        run.observe_soon(*observe).await.map(|_| ()).map_err(|error| error.to_string())
                    }
                    failed => failed,
                };
                tell.send_replace(Some(recorded.clone()));
                recorded
            }
        }
    }

    /// Relays a notification of the server about a task.
    pub(super) async fn task_notification(self: &Arc<Self>, frame: Frame) {
        let params = frame.params().unwrap_or_default();
        let task = tasks::told_of(params);
        let asked = match (tasks::odd(params, None), requested(params)) {
            (None, Ok(asked)) => asked,
            // it is not seen by anybody, so it ends nothing
            (Some(why), _) | (None, Err(why)) => return self.drop_frame(seen(&frame, &why)),
        };
        let told = task.as_deref().and_then(|task| self.told(task, params, false, &frame));
        let asking = asked.map(|requests| {
            let within = self.asked_in_task(task.as_deref());
            let sent_frame_digest = without_ours(frame.text()).map(|text| digest(&text));
            Asking { within, requests, frame_digest: frame.digest(), sent_frame_digest }
        });
        if asking.is_none() && told.as_ref().is_none_or(Told::is_settled) {
            return self.relay_told(&method_of(&frame), frame).await;
        }
        // each of these is kept until its outcome is enqueued, so there are only so many
        let Ok(turn) = Arc::clone(&self.observing).try_acquire_owned() else {
            if let Some(told) = told {
                // the outcome goes on its way although this message does not
                let proxy = Arc::clone(self);
                self.replies.spawn(async move { drop(proxy.record_told(told).await) });
            }
            return self.drop_frame(seen(&frame, "too much that the server told waits to be recorded"));
        };
        let proxy = Arc::clone(self);
        self.replies.spawn(async move {
            let recorded = proxy.record_asked(told, asking).await;
            drop(turn);
            match recorded {
                Ok(()) => proxy.relay_told(&method_of(&frame), frame).await,
                Err(why) => proxy.drop_frame(seen(&frame, &why)),
            }
        });
    }

    async fn record_asked(&self, told: Option<Told>, asking: Option<Asking>) -> Result<(), String> {
        if let Some(told) = told {
            self.record_told(told).await?;
        }
        match asking {
            Some(asking) => self.admit_asks(asking).await,
            None => Ok(()),
        }
    }

    /// Where something is asked that is told of a task.
    pub(super) fn asked_in_task(&self, task: Option<&str>) -> AskedIn {
        let task = task.filter(|task| self.tasks().run_of(task).is_some());
        task.map_or(AskedIn::Nowhere, |task| AskedIn::Task(task.to_owned()))
    }

    /// The run and the act of a task, and what it asked of the client and is not answered.
    pub(super) fn asks_of_task(&self, task: &str) -> Option<(Arc<Run>, String, Asks)> {
        let mut tasks = self.tasks();
        if let Some(Following { permit, asks, .. }) = tasks.open_mut(task) {
            return Some((Arc::clone(&permit.held.run), permit.act_id.clone(), core::mem::take(asks)));
        }
        let ended = tasks.ended_mut(task)?;
        let run = ended.run.upgrade().unwrap_or_else(|| Arc::clone(&self.run));
        Some((run, ended.act_id.clone(), Asks::default()))
    }

    /// Nothing more is heard of any task.
    pub(super) async fn finish_tasks(&self) {
        let open = self.tasks().close();
        for Following { permit, sent_us, asks, .. } in open {
            self.end_asks(asks, Status::Unknown, "the client gave no answer before the wrap ended");
            let finish =
                self.unheard(&permit, Status::Unknown, "the task was not seen to end", self.since(sent_us));
            let finish = files::after(permit.files.as_ref(), finish).await;
            permit.held.deliver(permit.act_id, finish);
        }
        let waiting = self.attempts().close();
        for asks in waiting {
            self.end_asks(asks, Status::Unknown, "the client gave no answer before the wrap ended");
        }
    }
}

impl Ended {
    /// What is to be recorded of a message after the end. A result that is as the last one goes with that, unless its
    /// record failed.
    fn told_after(&mut self, ending: &Ending<'_>, task: &str, frame: &Frame) -> Told {
        let outcome = self.outcome.clone();
        let Some(result) = ending.body else { return Told::After { before: outcome, result: None } };
        let digest = digest(result);
        if let Some((last, recorded)) = &self.result
            && *last == digest
            && !matches!(&*recorded.borrow(), Some(Err(_)))
        {
            return Told::After { before: recorded.clone(), result: None };
        }
        let payload = json!({"task": task, "status": ending.status.as_str(), "result_digest": digest, "size": result.len()});
        let (tell, recorded) = watch::channel(None);
        self.result = Some((digest, recorded));
        let observe = Observe {
            stream: 0,
            subtype: "task-result".into(),
            payload,
            count: None,
            act_id: Some(self.act_id.clone()),
            frame_digest: Some(frame.digest()),
            refusal: false,
        };
        let result = NewResult { run: Weak::clone(&self.run), observe: Box::new(observe), tell };
        Told::After { before: outcome, result: Some(result) }
    }
}

impl Told {
    /// Whether there is nothing to wait for.
    fn is_settled(&self) -> bool {
        match self {
            Self::End { .. } => false,
            Self::After { before, result } => result.is_none() && matches!(&*before.borrow(), Some(Ok(()))),
        }
    }
}

fn seen(frame: &Frame, why: &str) -> Seen {
    Seen::of(Side::Server, why, frame).method(&method_of(frame))
}

fn method_of(frame: &Frame) -> String {
    match frame.message() {
        Message::Notification { method } => method.clone(),
        _ => String::new(),
    }
}

fn digest(text: &str) -> String {
    Digest::of(text.as_bytes()).to_string()
}

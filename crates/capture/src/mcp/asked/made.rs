//! Tasks that the client has made of what the server asked for (2025-11-25), each until its end has been seen.

use std::sync::Arc;

use evidence::Digest;
use serde_json::json;

use super::super::frame::Frame;
use super::super::members::Members;
use super::super::methods;
use super::super::proxy::{Proxy, lock};
use super::super::record::{Seen, Side};
use super::super::strip::Clean;
use super::super::tasks::{self, Ending, NotFollowed, Stand};
use super::{Answer, Ask, Told};
use crate::api::{Finish, Observe};
use crate::limits::TASK_ID_MAX;

/// What is known of a task that has ended.
pub(super) struct EndedAsk {
    ask: Ask,
    /// Whether what came of it was recorded.
    has_result: bool,
}

/// What a message says of a task.
enum News {
    Nothing,
    /// Its end, for the first time, with what came of it.
    End {
        ask: Ask,
        ending: Ended,
    },
    /// What came of one that had ended before.
    Result(Ask),
}

/// How a task ended.
struct Ended {
    status: evidence::Status,
    detail: Option<String>,
    has_body: bool,
}

impl Proxy {
    /// The task that a request of the server is about, if the client has made it of one of its requests.
    pub(super) fn made_task(&self, frame: &Frame) -> Option<String> {
        let task = frame.params().and_then(Members::of)?.string("taskId")?;
        lock(&self.asked.made).run_of(&task).is_some().then_some(task)
    }

    /// Follows an act that the client has answered with a task. Otherwise it is given back, with why it cannot be
    /// followed.
    pub(super) fn goes_on_as_task(
        &self,
        ask: Ask,
        body: &str,
        told: &Told,
    ) -> Option<(Ask, Option<&'static str>)> {
        let Some(task) = promised(&ask, body, told.is_error) else { return Some((ask, None)) };
        let ask = Ask { since_us: told.sent_us, ..ask };
        let run = ask.permit.held.run.id.clone();
        let (ask, why) = lock(&self.asked.made).begin(&task, &run, ask).err()?;
        let why = match why {
            NotFollowed::Known => {
                "the client answered with the task of another request, so its end is not known"
            }
            NotFollowed::Full => "too many tasks are open to follow this one to its end",
        };
        Some((ask, Some(why)))
    }

    /// Records what the answer that made a task says of its end.
    pub(super) async fn began_as_made(&self, body: &str, clean: &Clean, told: &Told) -> Result<(), String> {
        let Some(task) = tasks::told_of(body) else { return Ok(()) };
        self.record_made(&task, body, false, &told.digest, clean.digest.clone()).await
    }

    /// Records what an answer of the client says of a task, before the server gets it.
    pub(super) async fn told_of_made(
        &self,
        task: &str,
        method: &str,
        body: &str,
        clean: &Clean,
        told: &Told,
    ) -> Result<(), String> {
        if told.is_error {
            // about the request, not the task
            return Ok(());
        }
        let is_result = method == methods::TASKS_RESULT;
        if !is_result && let Some(why) = tasks::odd(body, Some(task)) {
            return Err(why);
        }
        self.record_made(task, body, is_result, &told.digest, clean.digest.clone()).await
    }

    async fn record_made(
        &self,
        task: &str,
        body: &str,
        is_result: bool,
        frame_digest: &str,
        sent_frame_digest: Option<String>,
    ) -> Result<(), String> {
        let _one_at_a_time = self.asked.telling.lock().await;
        let answer = |body| Answer {
            how: "task",
            key: None,
            body,
            is_error: false,
            cancelled: false,
            frame_digest: frame_digest.to_owned(),
            sent_frame_digest: sent_frame_digest.clone(),
            detail: None,
        };
        match self.news_of(task, body, is_result) {
            News::Nothing => Ok(()),
            News::End { ask, ending } if ending.has_body => {
                self.answer_ask(ask, &answer(body)).await?;
                self.made_result_is_recorded(task);
                Ok(())
            }
            News::End { ask, ending } => {
                let finish = Finish {
                    status: ending.status,
                    detail: ending.detail,
                    frame_digest: Some(frame_digest.to_owned()),
                    sent_frame_digest,
                    duration_us: self.since(ask.since_us),
                    ..self.finish_of(&ask.permit)
                };
                super::super::finish::is_enqueued(ask.permit.held.deliver(ask.permit.act_id, finish)).await
            }
            News::Result(ask) => {
                self.record_said(&ask, &answer(body)).await?;
                let digest = Digest::of(body.as_bytes()).to_string();
                let observe = Observe {
                    stream: 0,
                    subtype: "task-result".into(),
                    payload: json!({"task": task, "status": "ok", "result_digest": digest, "size": body.len()}),
                    count: None,
                    act_id: Some(ask.permit.act_id.clone()),
                    frame_digest: Some(frame_digest.to_owned()),
                    refusal: false,
                };
                let recorded = ask.permit.held.run.observe_soon(observe).await;
                recorded.map_err(|error| error.to_string())?;
                self.made_result_is_recorded(task);
                Ok(())
            }
        }
    }

    fn news_of(&self, task: &str, body: &str, is_result: bool) -> News {
        let mut made = lock(&self.asked.made);
        if let Some(ended) = made.ended_mut(task) {
            let is_new = is_result && !ended.has_result;
            return if is_new { News::Result(ended.ask.clone()) } else { News::Nothing };
        }
        let Some(ask) = made.open_mut(task) else { return News::Nothing };
        let ending = if is_result {
            Ended { status: evidence::Status::Ok, detail: None, has_body: true }
        } else {
            match tasks::read(&ask.method, body) {
                Stand::GoesOn => return News::Nothing,
                Stand::Ended(Ending { status, detail, .. }) => Ended { status, detail, has_body: false },
            }
        };
        let ended = made.end(task, |ask| (EndedAsk { ask: ask.clone(), has_result: false }, ask));
        ended.map_or(News::Nothing, |ask| News::End { ask, ending })
    }

    /// From here on what came of a task is told without being recorded again.
    fn made_result_is_recorded(&self, task: &str) {
        if let Some(ended) = lock(&self.asked.made).ended_mut(task) {
            ended.has_result = true;
        }
    }

    /// Passes a notification of the client about a task on.
    pub(in crate::mcp) async fn client_tells_of_task(self: &Arc<Self>, frame: Frame) {
        let params = frame.params().unwrap_or_default();
        if let Some(why) = tasks::odd(params, None) {
            return self.drop_frame(Seen::of(Side::Client, &why, &frame).method(methods::TASK_STATUS));
        }
        let task = tasks::told_of(params);
        // also where it has ended: its outcome may be on its way
        let ends = task.as_ref().is_some_and(|task| {
            lock(&self.asked.made).run_of(task).is_some() && tasks::read("", params) != Stand::GoesOn
        });
        let Some(task) = task.filter(|_| ends) else {
            return self.pass_or_drop(frame, methods::TASK_STATUS).await;
        };
        let proxy = Arc::clone(self);
        self.asked.running.spawn(async move {
            let params = frame.params().unwrap_or_default();
            match proxy.record_made(&task, params, false, &frame.digest(), None).await {
                Ok(()) => proxy.pass_or_drop(frame, methods::TASK_STATUS).await,
                Err(why) => tracing::warn!(why, "a notification of the client was not passed on"),
            }
        });
    }
}

/// The task that an answer promises: one that has begun and brought nothing yet.
fn promised(ask: &Ask, body: &str, is_error: bool) -> Option<String> {
    let result = Members::of(body).filter(|_| ask.wants_task && !is_error)?;
    if ["content", "action", "roots", "model"].iter().any(|name| result.get(name).is_some()) {
        return None;
    }
    let id =
        Members::of(result.get("task")?)?.string("taskId").filter(|_| tasks::odd(body, None).is_none())?;
    (1..=TASK_ID_MAX).contains(&id.len()).then_some(id)
}

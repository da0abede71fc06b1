//! What the server answers: responses pass if they were asked for, those to acts after their outcome is enqueued.

use std::sync::Arc;

use evidence::Status;

use super::act::request_state;
use super::answer::{self, Reading};
use super::asking::{AskedIn, Asking};
use super::attempts::Key;
use super::call::{About, Going, Permit};
use super::finish::{Reply, withheld};
use super::frame::{Frame, Id, Message};
use super::inputs::{requested, requested_by_error};
use super::members::Members;
use super::methods;
use super::open::Answered;
use super::proxy::{Proxy, lock};
use super::record::{Seen, Side};
use super::reply;
use super::strip::Clean;

impl Proxy {
    pub(super) async fn answer(self: &Arc<Self>, id: Id, is_error: bool, frame: Frame) {
        let answered = self.open().answered(&id);
        match answered {
            Answered::Passed { method } => {
                let asks = answer::asks(&frame);
                if let Some(list) = methods::listed(&method) {
                    self.list_answered(&id, list, is_error || asks, &frame);
                }
                if asks {
                    let why = "an answer that asks something of the client, to a request that is no act";
                    return self.refuse_answer(&id, why, &frame).await;
                }
                if method == methods::TASKS_LIST && !is_error {
                    return self.tasks_listed(id, frame).await;
                }
                if method == methods::INITIALIZE && !is_error {
                    *lock(&self.version) = version_of(&frame);
                }
                self.send_client(Clean::of(frame).bytes).await;
            }
            Answered::Call { permit: going, cancelled, sent_us } => {
                self.answer_act(id, &going, cancelled, sent_us, frame).await;
            }
            Answered::Nothing => {
                self.drop_frame(Seen::of(Side::Server, "a response to a request that is not open", &frame));
            }
        }
    }

    /// What is read of an answer is read here, in the order in which answers come; what has to be recorded of it is
    /// recorded before it is relayed.
    async fn answer_act(
        self: &Arc<Self>,
        id: Id,
        going: &Going,
        cancelled: bool,
        sent_us: u64,
        frame: Frame,
    ) {
        let about = Arc::clone(&going.about);
        let (mut own, mut odd) = (None, None);
        let reading = match self.foreign(going) {
            Some(why) => Reading::Odd(why),
            None => answer::read(&about, &frame),
        };
        let mut told = match &reading {
            Reading::Odd(_) => None,
            _ => self.told_in_answer(&about, &frame),
        };
        if let Some(permit) = going.permit.clone() {
            let followed = match &reading {
                Reading::Task(task) => self.follow(task, going, permit, sent_us),
                _ => Err((permit, "")),
            };
            if let (Reading::Task(task), Ok(())) = (&reading, &followed) {
                // a task may have ended when it begins
                told = self.told(task, frame.body().unwrap_or_default(), false, &frame);
            }
            own = followed.err().map(|(permit, why)| {
                let mut finish = self.outcome(&about, &permit, &frame, cancelled, sent_us);
                let odd = if let Reading::Odd(odd) = &reading { odd.as_str() } else { why };
                if !odd.is_empty() {
                    (finish.status, finish.detail) = (Status::Unknown, Some(odd.to_owned()));
                }
                (permit, finish)
            });
        }
        let mut asking = None;
        match self.asking(&about, own.as_ref().map(|(permit, _)| permit), &reading, &frame) {
            Ok(found) => asking = found,
            Err(why) => odd = Some(why),
        }
        let reply = Reply { id, about, clean: Clean::of(frame), told, own, asking, odd };
        if reply.told.is_none() && reply.own.is_none() && reply.asking.is_none() && reply.odd.is_none() {
            // the promise of a later answer, or how a task goes on
            self.open().relayed(&reply.id);
            return self.send_client(reply.clean.bytes).await;
        }
        self.replies.spawn(Arc::clone(self).relay(reply));
    }

    /// What an answer asks of the client; `permit` is that of the act that has ended with it. An error says why the
    /// answer is not relayed.
    fn asking(
        &self,
        about: &About,
        permit: Option<&Permit>,
        reading: &Reading,
        frame: &Frame,
    ) -> Result<Option<Asking>, String> {
        let body = frame.body().unwrap_or_default();
        let is_error = matches!(frame.message(), Message::Response { is_error: true, .. });
        let found = if is_error { requested_by_error(body)? } else { requested(body)? };
        let within = match (reading, permit) {
            (Reading::Odd(why), _) => return Err(why.clone()),
            _ if is_error => AskedIn::Error,
            (Reading::InputRequired, Some(permit)) => {
                let result = Members::of(body);
                let state = request_state(result.as_ref().and_then(|result| result.get("requestState")))?;
                let key = Key {
                    run: permit.held.run.id.clone(),
                    tool: about.tool.clone(),
                    args_digest: about.args_digest.clone(),
                    state,
                };
                AskedIn::Attempt { key, act_id: permit.act_id.clone(), decision: permit.decision }
            }
            (Reading::Task(task), _) => self.asked_in_task(Some(task)),
            _ => self.asked_in_task(about.task.as_deref()),
        };
        // the digest of what goes on is known when it is made
        let asking =
            |requests| Asking { within, requests, frame_digest: frame.digest(), sent_frame_digest: None };
        Ok(found.map(asking))
    }

    /// Why an answer is not for whoever asked: while it was asked about, the task has become that of a call under
    /// another authority.
    fn foreign(&self, going: &Going) -> Option<String> {
        let asker = going.permit.as_ref().map_or(&self.run.id, |permit| &permit.held.run.id);
        let is_foreign = self.tasks().run_of(going.about.task.as_deref()?)? != asker.as_str();
        is_foreign.then(|| "the task is that of a call under another delegation".into())
    }

    /// Relays a list of tasks once every end that it shows is recorded.
    async fn tasks_listed(self: &Arc<Self>, id: Id, frame: Frame) {
        let told = match self.told_in_list(&frame) {
            Ok(told) => told,
            Err(why) => return self.refuse_answer(&id, &why, &frame).await,
        };
        if told.is_empty() {
            return self.send_client(Clean::of(frame).bytes).await;
        }
        let proxy = Arc::clone(self);
        self.replies.spawn(async move {
            let mut recorded = Ok(());
            for told in told {
                recorded = recorded.and(proxy.record_told(told).await);
            }
            let bytes = recorded.map_or_else(|why| withheld(&id, &why), |()| Clean::of(frame).bytes);
            proxy.send_client(bytes).await;
        });
    }

    /// Answers a request that passed with an error in place of an answer that does not.
    async fn refuse_answer(self: &Arc<Self>, id: &Id, why: &str, frame: &Frame) {
        self.drop_frame(Seen::of(Side::Server, why, frame));
        let text = format!("deeds did not pass the answer on: {why}");
        self.send_client(reply::error(Some(id), reply::REFUSED, &text)).await;
    }
}

/// The revision that client and server have agreed on.
fn version_of(response: &Frame) -> Option<String> {
    Members::of(response.body()?)?.string("protocolVersion")
}

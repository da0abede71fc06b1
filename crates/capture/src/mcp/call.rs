//! One act: decided, forwarded, answered, recorded, relayed — in this order. The first half; what happens after the
//! answer is in `finish.rs`.

use std::sync::Arc;

use evidence::Status;

use super::act::Act;
use super::again::{Claim, Tried};
use super::files;
use super::frame::{Frame, Id};
use super::guests::NotAdmitted;
use super::inputs::Asks;
use super::open::Forward;
use super::parts::Counter;
use super::presented::{META_KEY, Presented, Unfit};
use super::proxy::Proxy;
use super::reply;
use super::write::Item;
use crate::api::{Allowed, Artifacts, Batch, Begun, CaptureMode};
use crate::run::Held;
use crate::run::ask::{NoAnswer, Question};
use crate::run::gap::Missed;
use crate::run::holder::Proof;

/// What has to be known of an act for as long as it is under way.
#[derive(Debug, Clone)]
pub(crate) struct About {
    /// The method.
    pub(crate) operation: String,
    /// Its URI.
    pub(crate) tool: String,
    /// b64url of SHA-256 of JCS of its arguments.
    pub(crate) args_digest: String,
    /// The task that it is about.
    pub(crate) task: Option<String>,
    /// Whether it asked to be answered with a task (2025-11-25).
    pub(crate) wants_task: bool,
    /// A client of the modern era asked for it.
    pub(crate) modern: bool,
}

impl About {
    fn of(act: &Act, alias: &str) -> Self {
        Self {
            operation: act.operation.clone(),
            tool: act.tool(alias),
            args_digest: act.args_digest(),
            task: act.task.clone(),
            wants_task: act.wants_task,
            modern: act.modern,
        }
    }
}

/// A decided act, which must end in exactly one outcome.
#[derive(Clone)]
pub(crate) struct Permit {
    /// The run that it was decided in.
    pub(super) held: Held,
    pub(super) act_id: String,
    /// Log index of its decision.
    pub(super) decision: u64,
    /// Whether the result's text is to be kept.
    pub(super) keep_result: bool,
    /// Counts the progress that is told of it.
    pub(super) parts: Option<Arc<Counter>>,
    /// The files that it names, as they were.
    pub(super) files: Option<Arc<files::Before>>,
}

impl Permit {
    pub(super) fn new(held: Held, allowed: Allowed) -> Self {
        Self {
            held,
            act_id: allowed.act_id,
            decision: allowed.index,
            keep_result: allowed.capture.result == CaptureMode::Sealed,
            parts: None,
            files: None,
        }
    }
}

/// An act that was forwarded.
#[derive(Clone)]
pub(crate) struct Going {
    pub(super) about: Arc<About>,
    /// Nothing for one that goes on undecided, and for a request about a task of a decided act.
    pub(super) permit: Option<Permit>,
}

/// What an act is decided under.
pub(super) struct Authority {
    pub(super) held: Held,
    /// The delegation that it presents; without one the wrap signs.
    presented: Option<(Presented, Proof)>,
}

impl Authority {
    /// The act that a presented proof is for.
    pub(super) fn act_id(&self) -> Option<String> {
        self.presented.as_ref().map(|(_, proof)| proof.act_id.clone())
    }

    fn proof(&self) -> Option<Proof> {
        self.presented.as_ref().map(|(_, proof)| proof.clone())
    }
}

impl Proxy {
    /// Decides an act and, if it may go, puts it into the server's queue.
    pub(super) async fn call(self: Arc<Self>, id: Id, frame: Frame, batch: Option<Batch>) {
        let act = match Act::read(&frame) {
            Ok(act) => act,
            Err(why) => return self.refuse_unreadable(&id, &frame, &why).await,
        };
        let about = Arc::new(About::of(&act, &self.alias));
        let claim = match self.claim(&act) {
            Ok(Claim::Own) => return self.pass_to_task(id, about, act, frame).await,
            Ok(claim) => claim,
            Err(unfit) => return self.refuse_unfit(&id, &frame, &unfit).await,
        };
        let Ok(turn) = self.deciding.acquire().await else { return };
        let authority = match self.authority(&act, &claim).await {
            Ok(authority) => authority,
            Err(NotAdmitted::Unfit(unfit)) => return self.refuse_unfit(&id, &frame, &unfit).await,
            Err(NotAdmitted::NoAnswer(none)) => return self.refuse_undecided(&id, &none, &frame).await,
        };
        let tried = match self.try_again(&authority, &claim, &act, &about, &frame).await {
            Ok(tried) => tried,
            Err(why) => {
                self.never_asked(&authority);
                return self.refuse_untaken(&id, &why, &frame).await;
            }
        };
        self.server_is_known(&authority.held.run).await;
        let files = if self.files { files::before(&act, self.root_dir.as_deref()).await } else { None };
        let inputs = files.as_ref().map(|files| files.inputs()).unwrap_or_default();
        let question = Question { inputs, batch, ..self.question(&id, &frame, &act, &about, &tried) };
        let decided = decide(&authority, question).await;
        drop(turn);
        if is_as_if_never_asked(&decided) {
            self.never_asked(&authority);
        }
        // From here on the decision is durable, or there is none.
        match decided {
            Ok(Begun::Allow(allowed)) => {
                let parts = act.progress_token.as_ref().and_then(|token| self.parts().open(token));
                let permit = Permit { parts, files, ..Permit::new(authority.held, allowed) };
                self.forward(&id, act.to_send(frame), Going { about, permit: Some(permit) }).await;
            }
            Ok(Begun::Deny(denied)) => {
                let hint = authority.held.run.own.as_ref().and_then(|own| own.hint(&denied.reason.step));
                self.refuse_denied(&id, &about, &denied, hint).await;
            }
            // What goes on undecided does so on the wrap's authority: never a call that brought its own.
            Err(none)
                if authority.presented.is_none()
                    && none.is_certainly_undecided()
                    && self.read_fail_open.contains(&about.tool) =>
            {
                self.run.miss(Missed::Undecided, Some(&frame.digest()));
                self.forward(&id, act.to_send(frame), Going { about, permit: None }).await;
            }
            Err(none) => {
                if none.is_as_if_never_asked() {
                    self.wait_again(tried, Asks::default());
                }
                self.refuse_undecided(&id, &none, &frame).await;
            }
        }
    }

    /// An act that presented its proof turned out to be unknown to the log.
    fn never_asked(&self, authority: &Authority) {
        if let Some((presented, _)) = &authority.presented {
            self.guests.never_asked(presented);
        }
    }

    /// The presented delegation alone where there is one, whatever the wrap itself may do.
    async fn authority(&self, act: &Act, claim: &Claim) -> Result<Authority, NotAdmitted> {
        let Some(presented) = &act.presented else {
            if self.require_delegation {
                let why = format!("this wrap takes only calls that present their delegation in `{META_KEY}`");
                return Err(Unfit::new("delegation-missing", why).into());
            }
            return Ok(Authority { held: Held::own(&self.run), presented: None });
        };
        let presented = Presented::parse(presented)?;
        let (held, proof) = self.guests.admit(&self.run, &presented).await?;
        let authority = Authority { held, presented: Some((presented, proof)) };
        match claim {
            Claim::In(run) if *run != authority.held.run.id => {
                self.never_asked(&authority);
                let why = "the task was begun under another delegation than the one presented";
                Err(Unfit::new("task-foreign", why).into())
            }
            _ => Ok(authority),
        }
    }

    fn question(&self, id: &Id, frame: &Frame, act: &Act, about: &About, tried: &Tried) -> Question {
        let defined = act.defined.as_ref();
        Question {
            operation: about.operation.clone(),
            tool: about.tool.clone(),
            act_id: Some(tried.act_id.clone()),
            retry_of: tried.retry_of(),
            args: act.args.clone(),
            args_digest: about.args_digest.clone(),
            frame_digest: frame.digest(),
            sent_frame_digest: act.sent_digest(),
            definition_digest: defined.and_then(|(list, name)| self.definition_of(*list, name)),
            root_dir: self.root_dir.clone(),
            // recorded as asserted, never used for a decision
            correlators: act.correlators(self.client_info(), &id.to_json()),
            inputs: Artifacts::default(),
            batch: None,
        }
    }

    /// Puts a decided call into the server's queue, unless it was cancelled or everything is ending. The place in
    /// the queue is taken first, so that nothing can come between the last look and the queue.
    pub(super) async fn forward(self: &Arc<Self>, id: &Id, bytes: Vec<u8>, going: Going) {
        let slot = self.server_slot().await;
        let go = {
            let mut open = self.open();
            let go = open.forward(id, going.clone());
            if let (Forward::Go, Some(slot)) = (go, slot) {
                slot.send(Item::Frame { bytes, call: Some(id.clone()) });
            }
            go
        };
        // A call that got no slot stays queued without ever being sent: closing ends it as not forwarded.
        let detail = match go {
            Forward::Go => return,
            Forward::Cancelled => "cancelled before it was forwarded",
            Forward::Closed => "the wrap ended before the call was forwarded",
        };
        if let Some(permit) = going.permit {
            let finish = permit.held.run.unanswered(permit.decision, Status::NotForwarded, detail, 0);
            permit.held.deliver(permit.act_id, finish);
        }
        if go == Forward::Closed {
            self.send_client(reply::error(Some(id), reply::UNAVAILABLE, detail)).await;
        }
    }
}

/// Asks for the decision. The server remembers only so many attempts of a run: what follows one that it has forgotten
/// is an act of its own.
async fn decide(authority: &Authority, question: Question) -> Result<Begun, NoAnswer> {
    let alone = question.retry_of.map(|_| Question { act_id: None, retry_of: None, ..question.clone() });
    let decided = authority.held.ask(question, authority.proof()).await;
    match (decided, alone) {
        (Err(none), Some(alone)) if none.is_no_retry() => authority.held.ask(alone, authority.proof()).await,
        (decided, _) => decided,
    }
}

/// Whether the act is unknown to the log although it was asked for.
fn is_as_if_never_asked(decided: &Result<Begun, NoAnswer>) -> bool {
    match decided {
        Ok(Begun::Deny(denied)) => denied.index.is_none(),
        Ok(Begun::Allow(_)) => false,
        Err(none) => none.is_as_if_never_asked(),
    }
}

#[cfg(test)]
impl About {
    /// An act of a tool `t`.
    pub(crate) fn for_tests(operation: &str) -> Self {
        Self {
            operation: operation.to_owned(),
            tool: "stdio:a#t".into(),
            args_digest: String::new(),
            task: None,
            wants_task: false,
            modern: false,
        }
    }
}

//! Outcomes: one for each permit, and a place for those that come too late.

use evidence::artifact::Artifacts;
use evidence::id::{self, Id};
use evidence::limits::VALUE_SEALED_MAX_BYTES;
use evidence::{Digest, Kind, Status};
use serde_json::{Value, json};
use store::Receipt;
use tokio::sync::oneshot;

use crate::control::{Head, OpenAct};
use crate::draft::{CauseRef, Draft, Fields, Guard, Item, Place};
use crate::ends::Manifest;
use crate::limits::TEXT_MAX_BYTES;
use crate::sequencing::{Reply, Written};
use crate::{Recorder, RecorderError};

/// What came of an act.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Chosen by the reporter; the same id again is the same event again.
    pub event_id: Id,
    /// How it went.
    pub status: Status,
    /// The result, byte for byte as seen, where it is to be kept.
    pub result: Option<String>,
    /// Digest string of the result.
    pub result_digest: Option<String>,
    /// Digest string of the frame it came in.
    pub frame_digest: Option<String>,
    /// How long it took, microseconds.
    pub duration_us: Option<u64>,
    /// Why the status is what it is.
    pub detail: Option<String>,
    /// What came of it.
    pub outputs: Artifacts,
    /// What came before the result.
    pub parts: Option<Progress>,
    /// Digest string of the frame as it was relayed, where something was stripped.
    pub sent_frame_digest: Option<String>,
}

/// Progress frames that came before a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// How many.
    pub count: u64,
    /// Over their frames' digest strings, each followed by a line feed.
    pub digest: Digest,
}

/// An outcome that is durable.
#[derive(Debug, Clone)]
pub struct Finished {
    /// Index of its entry.
    pub index: u64,
    /// The log's promise; nothing when it was there before and its batch can no longer be told.
    pub receipt: Option<Receipt>,
    /// It came after the outcome had been set to unknown, and stands beside that one.
    pub late: bool,
}

/// An outcome that is in the queue; resolves once it is durable.
#[derive(Debug)]
pub struct Durable {
    recorder: Recorder,
    of: Attempt,
    outcome: Outcome,
    waiting: oneshot::Receiver<Result<Reply, RecorderError>>,
}

/// What an outcome is of.
#[derive(Debug, Clone, Copy)]
struct Attempt {
    run: Id,
    act_id: Id,
    /// Index of its decision.
    decision: u64,
}

impl Attempt {
    fn unknown(&self) -> RecorderError {
        let Self { run, act_id, decision } = self;
        RecorderError::ActUnknown(id::text(run), format!("{} decided at @{decision}", id::text(act_id)))
    }
}

impl Outcome {
    /// An outcome without anything to show for it.
    pub fn bare(event_id: Id, status: Status) -> Self {
        Self {
            event_id,
            status,
            result: None,
            result_digest: None,
            frame_digest: None,
            duration_us: None,
            detail: None,
            outputs: Artifacts::default(),
            parts: None,
            sent_frame_digest: None,
        }
    }

    fn fields(&self, act_id: &Id) -> Fields {
        let outputs = Some(&self.outputs).filter(|outputs| !outputs.is_empty());
        let fields = self.short_fields(act_id).maybe("outputs", outputs.map(Artifacts::to_json).as_ref());
        match &self.result {
            // a long result is known by its digest; a digest in its place would read as another result
            Some(result) if result.len() <= VALUE_SEALED_MAX_BYTES => fields.raw("result", result),
            _ => fields,
        }
    }

    /// Those that always fit an entry.
    fn short_fields(&self, act_id: &Id) -> Fields {
        let text = |value: &Option<String>| value.clone().map(Value::from);
        Fields::new()
            .text("act_id", &id::text(act_id))
            .text("status", self.status.as_str())
            .maybe("result_digest", text(&self.result_digest).as_ref())
            .maybe("frame_digest", text(&self.frame_digest).as_ref())
            .maybe("sent_frame_digest", text(&self.sent_frame_digest).as_ref())
            .maybe("duration", self.duration().as_ref())
            .maybe("detail", self.detail.as_deref().map(bounded).map(Value::from).as_ref())
    }

    fn duration(&self) -> Option<Value> {
        let parts = self.parts.map(|parts| json!({"count": parts.count, "digest": parts.digest.to_string()}));
        match (self.duration_us, parts) {
            (us, Some(parts)) => Some(json!({"us": us.unwrap_or_default(), "parts": parts})),
            (Some(us), None) => Some(json!({"us": us})),
            (None, None) => None,
        }
    }

    /// The same facts as an observation beside the outcome that was recorded first.
    fn late_fields(&self, act_id: &Id) -> Fields {
        let payload = json!({
            "status": self.status.as_str(), "result_digest": self.result_digest, "duration_us": self.duration_us,
            "detail": self.detail.as_deref().map(bounded),
        });
        Fields::new()
            .text("subtype", "late-outcome")
            .text("act_id", &id::text(act_id))
            .json("payload", &payload)
            .maybe("frame_digest", self.frame_digest.clone().map(Value::from).as_ref())
    }
}

impl Durable {
    /// Waits until the outcome is durable.
    ///
    /// Where the run's lease was lost in the meantime, its outcome is `unknown` and stays so: this one is recorded
    /// beside it.
    pub async fn wait(self) -> Result<Finished, RecorderError> {
        let reply = self.waiting.await.map_err(|_| RecorderError::LogUnavailable)??;
        match reply {
            Reply::Written(written) => Ok(finished(&written, false)),
            Reply::Repeat(first) => Ok(self.recorder.finished_before(first.index, false)),
            Reply::Late => self.recorder.record_late(self.of, &self.outcome).await,
            _ => Err(self.of.unknown()),
        }
    }
}

impl Recorder {
    /// Records the outcome of a permitted attempt at an act, by the index of its decision. Returns once it is queued;
    /// nothing can refuse it any more.
    pub fn finish(
        &self,
        run: Id,
        act_id: Id,
        decision: u64,
        outcome: Outcome,
    ) -> Result<Durable, RecorderError> {
        let of = Attempt { run, act_id, decision };
        let act = self.permitted(&of)?;
        let item = self.finished_item(&of, act.stream, &outcome)?.caused_by(CauseRef::Leaf(act.leaf));
        let guard = Guard::Finishes { decision, event: id::text(&outcome.event_id) };
        // After a crash before this is durable: the act is open, and recovery sets it to `unknown`. The reporter keeps
        // the outcome until it has the receipt, and sends it again: it then stands as a late outcome.
        let waiting = self.enqueue(Draft::one(guard, item))?;
        Ok(Durable { recorder: self.clone(), of, outcome, waiting })
    }

    /// The entry of an outcome. One whose outputs and result are too much for an entry is recorded without them: the
    /// act was permitted, so its outcome is never refused.
    fn finished_item(&self, of: &Attempt, stream: u64, outcome: &Outcome) -> Result<Item, RecorderError> {
        let place = Place::harness(of.run, stream);
        let sealed = |fields| self.0.sealer.item_with_id(Kind::Finished, place, fields, outcome.event_id);
        sealed(outcome.fields(&of.act_id)).or_else(|_| {
            let outputs = outcome.outputs.to_json();
            let why = format!(
                "the list with the digest {} is too long for an entry",
                Digest::of(&evidence::json::jcs(&outputs))
            );
            sealed(outcome.short_fields(&of.act_id).unknown("outputs", &why))
        })
    }

    /// Sets every open act of a stream (or of the whole run) to `unknown`.
    pub(crate) async fn abandon(
        &self,
        run: Id,
        stream: Option<u64>,
        why: &str,
    ) -> Result<Vec<String>, RecorderError> {
        let acts: Vec<(u64, OpenAct)> = {
            let control = self.control();
            let open = control.run(&run).map(|run| &run.open).into_iter().flatten();
            open.filter(|(_, act)| stream.is_none_or(|stream| act.stream == stream))
                .map(|(decision, act)| (*decision, act.clone()))
                .collect()
        };
        let mut abandoned = Vec::new();
        for (decision, act) in acts {
            let Some(act_id) = id::parse(&act.act_id) else { continue };
            let unknown =
                Outcome { detail: Some(why.to_owned()), ..Outcome::bare(self.new_id(), Status::Unknown) };
            let item = self.finished_item(&Attempt { run, act_id, decision }, act.stream, &unknown)?;
            let item = item.caused_by(CauseRef::Leaf(act.leaf));
            // an outcome that came in the meantime stands; then this one is not written
            let reply = self.append(Draft::one(Guard::Abandons { decision }, item)).await?;
            if matches!(reply, Reply::Written(_)) {
                abandoned.push(act.act_id);
            }
        }
        Ok(abandoned)
    }

    /// The decision of an attempt that was permitted, whether it is still open or not.
    fn permitted(&self, of: &Attempt) -> Result<OpenAct, RecorderError> {
        let control = self.control();
        let state = control.run(&of.run).ok_or_else(|| RecorderError::RunUnknown(id::text(&of.run)))?;
        let act_id = id::text(&of.act_id);
        if let Some(open) = state.open.get(&of.decision).filter(|open| open.act_id == act_id) {
            return Ok(open.clone());
        }
        let attempt = state.attempt(of.decision);
        let attempt = attempt.filter(|attempt| attempt.allowed && attempt.act_id == act_id);
        let attempt = attempt.ok_or_else(|| of.unknown())?;
        Ok(OpenAct { act_id, leaf: attempt.leaf, stream: 0 })
    }

    /// Records an outcome that came too late, in a stream of its own; closes that stream where the run has ended.
    async fn record_late(&self, of: Attempt, outcome: &Outcome) -> Result<Finished, RecorderError> {
        let Attempt { run, act_id, decision } = of;
        for _ in 0..crate::limits::STALE_RETRIES_MAX {
            let act = self.permitted(&of)?;
            let stream = self.control().run(&run).map_or(0, crate::control::Run::next_stream);
            let place = Place::harness(run, stream);
            let item = self
                .0
                .sealer
                .item_with_id(Kind::Observed, place, outcome.late_fields(&act_id), outcome.event_id)?
                .caused_by(CauseRef::Leaf(act.leaf));
            let event = id::text(&outcome.event_id);
            match self.append(Draft::one(Guard::Late { decision, event, stream }, item)).await? {
                Reply::Written(written) => {
                    self.close_late_stream(run, stream, &written).await?;
                    return Ok(finished(&written, true));
                }
                Reply::Repeat(first) => return Ok(self.finished_before(first.index, true)),
                Reply::Stale => {}
                _ => return Err(of.unknown()),
            }
        }
        Err(RecorderError::Busy)
    }

    /// A stream opened after the run's manifest is closed by a manifest of its own (format §5, kind 15).
    async fn close_late_stream(&self, run: Id, stream: u64, written: &Written) -> Result<(), RecorderError> {
        let ended = self.control().run(&run).is_some_and(|run| run.ended.is_some());
        let Some(last) = written.leaves.last().filter(|_| ended) else { return Ok(()) };
        let head = Head { count: 1, last: *last };
        let manifest = Manifest { streams: vec![(stream, head)], ..Manifest::new("late-outcome") };
        let item = self.0.sealer.item(Kind::RunEnded, Place::log(run, stream), manifest.fields())?;
        self.append(Draft::one(Guard::Closes { count: 1 }, item)).await.map(drop)
    }

    /// What a reporter that sends an outcome again is told.
    fn finished_before(&self, index: u64, late: bool) -> Finished {
        Finished { index, receipt: self.0.store.receipt(index).ok(), late }
    }
}

fn finished(written: &Written, late: bool) -> Finished {
    Finished { index: written.first, receipt: written.receipts.first().cloned(), late }
}

/// Text from outside, cut to a length that fits an entry.
pub(crate) fn bounded(text: &str) -> String {
    let mut end = text.len().min(TEXT_MAX_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().to_owned()
}

//! The part of the recorder that runs on the sequencer thread, one draft after the other.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use evidence::Kind;
use evidence::limits::DECISION_AGE_MAX_MS;
use serde_json::json;
use store::{NewEntry, Prepare, Receipt};

use crate::Clock;
use crate::control::{self, Control, Run};
use crate::draft::{Draft, Fields, Guard, Item, Place, RootFacts, Sealer};
use crate::limits::{CLOCK_JUMP_MS, LATE_MAX, OPEN_ACTS_MAX, SNAPSHOT_EVERY, STREAMS_MAX};
use crate::permit::Reason;

/// What became of a draft.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// Written, and by now durable.
    Written(Written),
    /// It was there before: what stands in the log.
    Repeat(First),
    /// The proof of possession was used before, or its counter is beyond the window.
    Replayed(Reason),
    /// The state is not the one that the draft was made for: make it again.
    Stale,
    /// The act has its outcome already.
    Late,
    /// The run is not there, or has ended.
    Gone,
}

/// Where the entries of a draft stand.
#[derive(Debug, Clone)]
pub(crate) struct Written {
    pub(crate) first: u64,
    pub(crate) leaves: Vec<[u8; 32]>,
    pub(crate) receipts: Vec<Receipt>,
}

/// The first answer to an act.
#[derive(Debug, Clone)]
pub(crate) struct First {
    pub(crate) index: u64,
    pub(crate) leaf: [u8; 32],
    pub(crate) allowed: bool,
}

/// Owned by the sequencer thread.
pub(crate) struct Sequencing {
    pub(crate) control: Arc<RwLock<Control>>,
    pub(crate) sealer: Sealer,
    pub(crate) clock: Arc<dyn Clock>,
    /// Wall and monotonic time when last looked at.
    pub(crate) looked: Option<(u64, u64)>,
    pub(crate) snapshot: PathBuf,
    pub(crate) snapshot_size: u64,
}

impl Prepare for Sequencing {
    type Draft = Draft;
    type Reply = Reply;

    fn prepare(&mut self, draft: Draft, next: u64, out: &mut Vec<NewEntry>) -> Reply {
        let control = Arc::clone(&self.control);
        let mut control = control.write().unwrap_or_else(PoisonError::into_inner);
        // INVARIANT (one writer): the state has taken exactly the entries before `next`, durable or in this batch
        debug_assert_eq!(control.size, next);
        self.check_clock(&mut control, out);
        let now_ms = self.now_ms(&control);
        if let Err(reply) = check(&control, &draft, now_ms) {
            return reply;
        }
        let first = control.size;
        let mut leaves = Vec::with_capacity(draft.items.len());
        for item in draft.items {
            leaves.push(write(&mut control, item, now_ms, leaves.last().copied(), out));
        }
        Reply::Written(Written { first, leaves, receipts: Vec::new() })
    }

    fn durable(&mut self, size: u64) {
        if size < self.snapshot_size + SNAPSHOT_EVERY {
            return;
        }
        self.snapshot_size = size;
        self.save();
    }
}

impl Sequencing {
    /// Writes the state down; it is a cache, so a failure costs time at the next start and nothing else.
    fn save(&self) {
        let control = self.control.read().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = control::save(&self.snapshot, &control) {
            tracing::warn!(path = %self.snapshot.display(), %error, "the control state was not saved");
        }
    }

    /// The time that the next entry carries: it never falls, except right behind a `clock-adjusted` entry.
    fn now_ms(&self, control: &Control) -> u64 {
        self.clock.wall_ms().max(control.last_ms)
    }

    /// Records a wall clock that was moved, before anything else is written under the new time.
    fn check_clock(&mut self, control: &mut Control, out: &mut Vec<NewEntry>) {
        let (wall, monotonic) = (self.clock.wall_ms(), self.clock.monotonic_ms());
        let looked = self.looked.replace((wall, monotonic));
        let expected = looked.map_or(wall, |(wall, then)| wall + monotonic.saturating_sub(then));
        // at the first look, and for many small steps, the log's own last time shows that the clock was moved back
        let behind = wall.saturating_add(CLOCK_JUMP_MS) < control.last_ms;
        if control.size == 0 || (wall.abs_diff(expected) <= CLOCK_JUMP_MS && !behind) {
            return;
        }
        let expected = if behind { expected.max(control.last_ms) } else { expected };
        let fields = Fields::new()
            .json("before_ms", &json!(expected))
            .json("after_ms", &json!(wall))
            .text("reason", "the wall clock moved against the monotonic clock");
        // a log that was just made got its id after this sealer
        let sealer = Sealer { log_id: control.log_id, ..self.sealer.clone() };
        match sealer.item(Kind::ClockAdjusted, Place::LOG, fields) {
            // this entry alone may carry a time below the last one
            Ok(item) => drop(write(control, item, wall, None, out)),
            Err(error) => tracing::error!(%error, "a moved clock could not be recorded"),
        }
    }
}

impl Drop for Sequencing {
    /// A clean stop leaves a snapshot that is up to date.
    fn drop(&mut self) {
        self.save();
    }
}

/// Gives an item its place in the log and in the state.
fn write(
    control: &mut Control,
    item: Item,
    now_ms: u64,
    previous: Option<[u8; 32]>,
    out: &mut Vec<NewEntry>,
) -> [u8; 32] {
    let head = control.head(&item.run, item.stream);
    let entry = item.entry(now_ms, head.count, control.prev(&item.run, item.stream), previous);
    let bytes = entry.encode();
    let leaf = evidence::entry::leaf_hash(&bytes);
    control.apply(control.size, &entry, leaf, item.change);
    out.push(NewEntry { entry: bytes, body: item.body, key: Some(item.key) });
    leaf
}

/// Whether the state allows the draft; what to answer where it does not.
fn check(control: &Control, draft: &Draft, now_ms: u64) -> Result<(), Reply> {
    let Some(item) = draft.items.first() else { return Ok(()) };
    let run = control.run(&item.run);
    match &draft.guard {
        Guard::None => Ok(()),
        Guard::Empty => fresh(control.size == 0),
        Guard::NewRun(root) => fresh(run.is_none() && stands(control, root)),
        Guard::Joins { stream, root } => {
            let run = open(run)?;
            fresh(run.next_stream() == *stream && run.streams.len() < STREAMS_MAX && stands(control, root))
        }
        Guard::Renews(root) => has_stream(run, item).and_then(|()| fresh(stands(control, root))),
        Guard::RunOpen => has_stream(run, item),
        Guard::Decides { log_index, policy, act_id, asked, uses } => {
            let run = open(run)?;
            repeated(run, act_id, asked)?;
            fresh(control.log_index == *log_index && run.open.len() < OPEN_ACTS_MAX)?;
            fresh(control.policy.as_ref().is_some_and(|(digest, _)| digest == policy))?;
            unused(control, uses.as_ref())?;
            in_time(item, now_ms)
        }
        Guard::Abandons { act_id } => {
            let run = run.ok_or(Reply::Gone)?;
            if run.open.contains_key(act_id) { Ok(()) } else { Err(Reply::Late) }
        }
        Guard::Finishes { act_id, event } => finishes(run.ok_or(Reply::Gone)?, act_id, event),
        Guard::Late { act_id, event, stream } => {
            let run = run.ok_or(Reply::Gone)?;
            late_repeated(run, act_id, event)?;
            let late = run.answered(act_id).map_or(0, |answered| answered.late.len());
            if late >= LATE_MAX || run.streams.len() >= STREAMS_MAX {
                return Err(Reply::Gone);
            }
            fresh(run.next_stream() == *stream)
        }
        Guard::Ends { streams } => {
            let run = open(run)?;
            let stands = run.streams.iter().map(|(stream, head)| (*stream, head.count));
            fresh(run.open.is_empty() && stands.eq(streams.iter().copied()))
        }
        Guard::Closes { count } => fresh(control.head(&item.run, item.stream).count == *count),
        Guard::NewKey { thumbprint } => fresh(!control.keys.contains_key(thumbprint)),
        Guard::KeyInForce { thumbprint } => fresh(control.key(thumbprint).is_some()),
    }
}

fn open(run: Option<&Run>) -> Result<&Run, Reply> {
    run.filter(|run| run.ended.is_none()).ok_or(Reply::Gone)
}

fn fresh(holds: bool) -> Result<(), Reply> {
    if holds { Ok(()) } else { Err(Reply::Stale) }
}

fn has_stream(run: Option<&Run>, item: &Item) -> Result<(), Reply> {
    if open(run)?.streams.contains_key(&item.stream) { Ok(()) } else { Err(Reply::Gone) }
}

/// Whether what a root was issued on is still so: its task, the alias in it, the key that asked for it.
fn stands(control: &Control, root: &RootFacts) -> bool {
    let task = root.client.as_ref().and_then(|client| control.tasks.get(client));
    let same_task = task.is_none_or(|task| {
        let command = task.aliases.get(&root.alias);
        task.txn == root.txn && command.is_none_or(|command| *command == root.command)
    });
    same_task && root.kid.as_ref().is_none_or(|kid| control.key(kid).is_some())
}

/// The same question with the same proof again is a retry; anything else for a decided act is not, and neither is a
/// question whose act has ended.
fn repeated(run: &Run, act_id: &str, asked: &[u8; 32]) -> Result<(), Reply> {
    let Some(answered) = run.answered(act_id) else { return Ok(()) };
    if answered.allowed && answered.finished.is_some() {
        return Err(Reply::Replayed(Reason::new(
            "act-finished",
            "pop-replayed",
            "this act was decided before and has its outcome",
        )));
    }
    if answered.asked == *asked {
        return Err(Reply::Repeat(First {
            index: answered.index,
            leaf: answered.leaf,
            allowed: answered.allowed,
        }));
    }
    Err(Reply::Replayed(Reason::new(
        "act-decided",
        "pop-replayed",
        "this act was decided before, and not this question",
    )))
}

fn unused(control: &Control, accepted: Option<&(String, u64)>) -> Result<(), Reply> {
    let Some((thumbprint, counter)) = accepted else { return Ok(()) };
    let admits = match control.windows.get(thumbprint) {
        Some(window) => window.admits(*counter),
        None => control::Window::default().admits(*counter),
    };
    if admits {
        return Ok(());
    }
    let text = format!(
        "the counter {counter} of this proof of possession was used before or lies beyond the window"
    );
    Err(Reply::Replayed(Reason::new("proof-replayed", "pop-replayed", &text)))
}

/// A decision must not be older than the format allows when it is written.
fn in_time(item: &Item, now_ms: u64) -> Result<(), Reply> {
    let decided_ms = match &item.change {
        control::Change::Decided { at_ms, .. } => *at_ms,
        _ => now_ms,
    };
    fresh(now_ms.abs_diff(decided_ms) <= DECISION_AGE_MAX_MS)
}

fn finishes(run: &Run, act_id: &str, event: &str) -> Result<(), Reply> {
    if run.open.contains_key(act_id) {
        return Ok(());
    }
    let Some(answered) = run.answered(act_id) else { return Err(Reply::Gone) };
    match &answered.finished {
        Some((known, index)) if known == event => {
            Err(Reply::Repeat(First { index: *index, leaf: answered.leaf, allowed: answered.allowed }))
        }
        _ => late_repeated(run, act_id, event).and(Err(Reply::Late)),
    }
}

fn late_repeated(run: &Run, act_id: &str, event: &str) -> Result<(), Reply> {
    let Some(answered) = run.answered(act_id) else { return Err(Reply::Gone) };
    match answered.late.iter().find(|(known, _)| known == event) {
        Some((_, index)) => {
            Err(Reply::Repeat(First { index: *index, leaf: answered.leaf, allowed: answered.allowed }))
        }
        None => Ok(()),
    }
}

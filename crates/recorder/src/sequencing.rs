//! The part of the recorder that runs on the sequencer thread, one draft after the other.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use evidence::Kind;
use evidence::id::Id;
use evidence::limits::DECISION_AGE_MAX_MS;
use serde_json::json;
use store::{NewEntry, Prepare, Receipt};

use crate::control::{self, Answered, Change, Control, Head, Run};
use crate::definitions;
use crate::draft::{CauseRef, Draft, Fields, Ground, Guard, Item, Place, Sealer};
use crate::ends::Manifest;
use crate::limits::{
    CHILDREN_MAX, CLOCK_JUMP_MS, LATE_MAX, LINKS_MAX, OPEN_ACTS_MAX, SNAPSHOT_EVERY, STREAMS_MAX,
};
use crate::permit::Reason;
use crate::tasks::is_alias_free;
use crate::{Clock, RecorderError};

/// What became of a draft.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// Written, and by now durable.
    Written(Written),
    /// It was there before: what stands in the log.
    Repeat(First),
    /// The part of a list was recorded before, at this index.
    There(u64),
    /// The proof of possession was used before, or its counter is beyond the window.
    Replayed(Reason),
    /// The state is not the one that the draft was made for: make it again.
    Stale,
    /// The decision that this says it tries again is none that may be.
    NoRetry,
    /// The act has its outcome already.
    Late,
    /// The run is not there, or has ended.
    Gone,
    /// The run, or the log, already has as many of these as it may.
    Full(&'static str),
}

/// What a run that announces has only so many of.
pub(crate) const CHILD_RUNS: &str = "child runs";

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

impl First {
    fn of(answered: &Answered) -> Self {
        Self { index: answered.index, leaf: answered.leaf, allowed: answered.allowed }
    }
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
        let items = match self.completed(&control, draft, now_ms) {
            Ok(items) => items,
            Err(error) => {
                tracing::error!(%error, "an entry that goes with a draft could not be made");
                return Reply::Stale;
            }
        };
        let first = control.size;
        let mut leaves = Vec::with_capacity(items.len());
        for item in items {
            leaves.push(write(&mut control, item, now_ms, &leaves, out));
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

    /// The entries of a draft, with those that can be made only where the state is known: the manifest of an issuance,
    /// and what is different about a server.
    fn completed(&self, control: &Control, draft: Draft, now_ms: u64) -> Result<Vec<Item>, RecorderError> {
        let mut items = draft.items;
        // a log that was just made got its id after this sealer
        let sealer = Sealer { log_id: control.log_id, ..self.sealer.clone() };
        let more = match draft.guard {
            Guard::Decides { retry_of: Some((decision, what)), .. } => {
                // known only here: the outcome may have been in the queue when the attempt was prepared
                let run = items.first().and_then(|item| control.run(&item.run));
                let outcome = run.and_then(|run| run.followed(decision, &what)).map(|ended| ended.leaf);
                for (item, leaf) in items.iter_mut().zip(outcome) {
                    item.causes.push(CauseRef::Leaf(leaf));
                }
                Vec::new()
            }
            Guard::Issues(_) => vec![issued(&sealer, control, &items, now_ms)?],
            Guard::NewRun { .. } | Guard::Joins { .. } | Guard::Tells { .. } => {
                definitions::changes(&sealer, control, items.first())?
            }
            _ => Vec::new(),
        };
        items.extend(more);
        Ok(items)
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
            Ok(item) => drop(write(control, item, wall, &[], out)),
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

/// The manifest of a run that ends where it begins: it names leaves that are known only when they are sequenced.
fn issued(sealer: &Sealer, control: &Control, items: &[Item], now_ms: u64) -> Result<Item, RecorderError> {
    let mut leaves = Vec::with_capacity(items.len());
    for (seq, item) in (0..).zip(items) {
        let prev = leaves.last().copied().unwrap_or(control.log_id);
        leaves.push(item.entry(now_ms, seq, prev, &leaves).leaf_hash());
    }
    let run = items.first().map(|item| item.run).unwrap_or_default();
    let head = Head { count: leaves.len() as u64, last: leaves.last().copied().unwrap_or(control.log_id) };
    let manifest = Manifest { streams: vec![(0, head)], ..Manifest::new("issued") };
    sealer.item(Kind::RunEnded, Place::log(run, 0), manifest.fields())
}

/// Gives an item its place in the log and in the state; `before` are the items of its draft that have theirs.
fn write(
    control: &mut Control,
    item: Item,
    now_ms: u64,
    before: &[[u8; 32]],
    out: &mut Vec<NewEntry>,
) -> [u8; 32] {
    let head = control.head(&item.run, item.stream);
    let entry = item.entry(now_ms, head.count, control.prev(&item.run, item.stream), before);
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
        Guard::Orders { key, order, lifts } => {
            let stands = |halt: &u64| control.orders.halts().any(|(index, _)| index == *halt);
            let signed = key.as_ref().is_none_or(|key| control.signer(key, now_ms).is_some());
            let first = order.as_ref().is_none_or(|order| !control.carried_out.contains_key(order));
            fresh(signed && first && lifts.as_ref().is_none_or(stands))
        }
        Guard::NewMandate { digest, key } => {
            fresh(!control.mandates.contains_key(digest) && control.key(key).is_some())
        }
        Guard::NewRun { ground, parent } => {
            fresh(run.is_none() && stands(control, ground))?;
            parent.as_ref().map_or(Ok(()), |parent| may_announce(control, parent))?;
            has_room(control, run, draft, now_ms)
        }
        Guard::Issues(ground) => {
            fresh(run.is_none() && stands(control, ground))?;
            has_room(control, run, draft, now_ms)
        }
        Guard::Joins { stream, ground } => {
            let run = open(run)?;
            fresh(run.next_stream() == *stream && stands(control, ground) && are_new(run, draft))?;
            full("streams", run.streams.len() < STREAMS_MAX)?;
            has_room(control, Some(run), draft, now_ms)
        }
        Guard::Takes { log_index } => {
            has_stream(run, item)?;
            fresh(control.log_index == *log_index && run.is_some_and(|run| are_new(run, draft)))?;
            has_room(control, run, draft, now_ms)
        }
        Guard::RunOpen => has_stream(run, item),
        Guard::NewPart => {
            has_stream(run, item)?;
            recorded(run, item).map_or(Ok(()), |index| Err(Reply::There(index)))
        }
        Guard::Tells { server } => {
            has_stream(run, item)?;
            let wraps = run.and_then(|run| run.servers.get(&item.stream));
            fresh(wraps.is_some_and(|wraps| wraps.server == *server))
        }
        Guard::Decides { log_index, policy, act_id, asked, retry_of, server, uses } => {
            let run = open(run)?;
            repeated(run, act_id, asked, retry_of.as_ref())?;
            fresh(control.log_index == *log_index && run.open.len() < OPEN_ACTS_MAX)?;
            fresh(control.policy.as_ref().is_some_and(|(digest, _)| digest == policy))?;
            fresh(run.servers.get(&item.stream) == server.as_ref())?;
            unused(control, uses.as_ref())?;
            in_time(item, now_ms)
        }
        Guard::Abandons { decision } => {
            let run = run.ok_or(Reply::Gone)?;
            if run.open.contains_key(decision) { Ok(()) } else { Err(Reply::Late) }
        }
        Guard::Finishes { decision, event } => finishes(run.ok_or(Reply::Gone)?, *decision, event),
        Guard::Late { decision, event, stream } => late(run.ok_or(Reply::Gone)?, *decision, event, *stream),
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

fn full(what: &'static str, fits: bool) -> Result<(), Reply> {
    if fits { Ok(()) } else { Err(Reply::Full(what)) }
}

/// Where a part of a list of artifacts that says the same of the same attempt is recorded.
fn recorded(run: Option<&Run>, item: &Item) -> Option<u64> {
    let Change::Part { told } = &item.change else { return None };
    let name = control::part_of(told, item.stream, &item.entry(0, 0, [0; 32], &[]).causes);
    run?.parts.iter().find(|part| part.name == name).map(|part| part.index)
}

/// Whether what a run begins on is still so: keys, mandates and orders, its task, the alias in it.
fn stands(control: &Control, ground: &Ground) -> bool {
    let task = ground.task.as_ref().and_then(|task| control.tasks.get(task));
    control.log_index == ground.log_index
        && task.is_none_or(|task| task.txn == ground.txn)
        && is_alias_free(control, &ground.txn, &ground.server, &ground.command)
}

/// A parent announces only while it is open: afterwards nothing can be added to what its manifest lists.
fn may_announce(control: &Control, parent: &Id) -> Result<(), Reply> {
    let run = control.run(parent).filter(|run| run.ended.is_none()).ok_or(Reply::Stale)?;
    full(CHILD_RUNS, run.children.len() < CHILDREN_MAX)
}

/// The links that a draft brings.
fn links(draft: &Draft) -> impl Iterator<Item = (&str, &str)> {
    draft.items.iter().filter_map(|item| match &item.change {
        Change::Delegated { digest, thumbprint, .. } => Some((digest.as_str(), thumbprint.as_str())),
        _ => None,
    })
}

fn are_new(run: &Run, draft: &Draft) -> bool {
    links(draft).all(|(digest, _)| !run.delegations.contains_key(digest))
}

fn has_room(control: &Control, run: Option<&Run>, draft: &Draft, now_ms: u64) -> Result<(), Reply> {
    let now_s = now_ms / 1_000;
    let known = run.map_or(0, |run| run.links(now_s));
    full("delegations", known + links(draft).count() <= LINKS_MAX)?;
    full("bound keys", links(draft).all(|(_, key)| control.windows.has_room(key, now_s)))
}

/// The same question with the same proof again is answered as it was; anything else for a decided act is not, and
/// neither is a question whose attempt has ended. A further attempt may follow the one that left the act to be tried
/// again: so no two attempts at an act are open together, and each has its own outcome.
fn repeated(
    run: &Run,
    act_id: &str,
    asked: &[u8; 32],
    retry_of: Option<&(u64, [u8; 32])>,
) -> Result<(), Reply> {
    if let Some(same) = run.attempts(act_id).find(|attempt| attempt.asked == *asked) {
        return Err(if same.is_over() { decided_before(same) } else { Reply::Repeat(First::of(same)) });
    }
    if let Some((decision, what)) = retry_of {
        run.followed(*decision, what).ok_or(Reply::NoRetry)?;
    }
    match run.answered(act_id) {
        Some(last) if !retry_of.is_some_and(|(decision, _)| run.continues(act_id, *decision)) => {
            Err(decided_before(last))
        }
        _ => Ok(()),
    }
}

fn decided_before(attempt: &Answered) -> Reply {
    let (code, text) = if attempt.is_over() {
        ("act-finished", "this act was decided before and has its outcome")
    } else {
        ("act-decided", "this act was decided before, and not this question")
    };
    Reply::Replayed(Reason::new(code, "pop-replayed", text))
}

fn unused(control: &Control, accepted: Option<&(String, u64)>) -> Result<(), Reply> {
    let Some((thumbprint, counter)) = accepted else { return Ok(()) };
    if control.windows.admits(thumbprint, *counter) {
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

fn finishes(run: &Run, decision: u64, event: &str) -> Result<(), Reply> {
    if run.open.contains_key(&decision) {
        return Ok(());
    }
    let attempt = run.attempt(decision).ok_or(Reply::Gone)?;
    match &attempt.ended {
        Some(ended) if ended.event == event => {
            Err(Reply::Repeat(First { index: ended.index, ..First::of(attempt) }))
        }
        _ => late_repeated(attempt, event).and(Err(Reply::Late)),
    }
}

fn late(run: &Run, decision: u64, event: &str, stream: u64) -> Result<(), Reply> {
    let attempt = run.attempt(decision).ok_or(Reply::Gone)?;
    late_repeated(attempt, event)?;
    if attempt.late.len() >= LATE_MAX || run.streams.len() >= STREAMS_MAX {
        return Err(Reply::Gone);
    }
    fresh(run.next_stream() == stream)
}

fn late_repeated(attempt: &Answered, event: &str) -> Result<(), Reply> {
    match attempt.late.iter().find(|(known, _)| known == event) {
        Some((_, index)) => Err(Reply::Repeat(First { index: *index, ..First::of(attempt) })),
        None => Ok(()),
    }
}

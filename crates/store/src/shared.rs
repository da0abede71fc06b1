//! What the threads of a store share: how far the log is, and where its newest entries are.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tlog::Hash;
use tlog::checkpoint::Checkpoint;

use crate::bodies::BodyBundle;
use crate::journal::frame::Frame;
use crate::journal::segment::{FrameRef, Segment};
use crate::keys::KeyTable;
use crate::tiles::Tiles;

/// Everything that a reader needs. Lock order: `index` and `progress` are never held together.
pub(crate) struct Shared {
    pub(crate) tiles: Tiles,
    /// Directory of the body bundles.
    pub(crate) bodies: PathBuf,
    pub(crate) keys: KeyTable,
    /// Leaf hash of entry 0, set once there is one.
    pub(crate) log_id: OnceLock<Hash>,
    /// Written by the sequencer (new frames) and the publisher (frames no longer needed).
    index: Mutex<JournalIndex>,
    progress: Mutex<Progress>,
    /// Signalled whenever the log has grown or was published; readers wait on it.
    changed: Condvar,
    /// Signalled when the publisher has something to do.
    work: Condvar,
    /// What was read last, because scans read neighbours.
    pub(crate) last_frame: Mutex<Option<Arc<Frame>>>,
    pub(crate) last_bodies: Mutex<Option<(u64, Arc<BodyBundle>)>>,
}

/// How far the log is.
#[derive(Clone)]
pub(crate) struct Progress {
    /// Entries that are synced.
    pub(crate) durable: u64,
    /// The newest checkpoint, if there is one.
    pub(crate) published: Option<Arc<Published>>,
    /// Somebody waits for a checkpoint of this size, which is durable.
    requested: u64,
    /// The sequencer has ended; the publisher is to publish the rest and end too.
    closing: bool,
    /// Nothing will change any more.
    stopped: bool,
}

/// A checkpoint and the signed note that carries it.
#[derive(Debug)]
pub(crate) struct Published {
    pub(crate) checkpoint: Checkpoint,
    pub(crate) note: Vec<u8>,
}

/// Where the frames are that are not yet wholly in tiles, bodies and keys.
#[derive(Default)]
pub(crate) struct JournalIndex {
    /// By first index.
    frames: BTreeMap<u64, FrameRef>,
    /// By first index; the last one is being written.
    segments: BTreeMap<u64, Arc<Segment>>,
}

/// What the publisher is to do next.
pub(crate) enum Work {
    Publish,
    Close,
}

impl Progress {
    /// Size of the newest checkpoint.
    pub(crate) fn published_size(&self) -> u64 {
        self.published.as_ref().map_or(0, |published| published.checkpoint.size)
    }

    fn is_due(&self, publish_entries: u64) -> bool {
        let published = self.published_size();
        self.durable > published
            && (self.requested > published || self.durable - published >= publish_entries)
    }
}

impl JournalIndex {
    pub(crate) fn add_segment(&mut self, segment: Arc<Segment>) {
        self.segments.insert(segment.header.first, segment);
    }

    pub(crate) fn add_frame(&mut self, frame: FrameRef) {
        self.frames.insert(frame.first, frame);
    }

    /// The frame that has this entry.
    pub(crate) fn containing(&self, entry: u64) -> Option<FrameRef> {
        let (_, frame) = self.frames.range(..=entry).next_back()?;
        (entry < frame.end()).then(|| frame.clone())
    }

    /// The frames with entries from `entry` on, in order, until one ends at `from` or later and they
    /// have more than `bytes` bytes from there.
    pub(crate) fn from(&self, entry: u64, from: u64, bytes: u64) -> Vec<FrameRef> {
        let start = self.containing(entry).map_or(entry, |frame| frame.first);
        let mut fresh = 0;
        let mut frames = Vec::new();
        for frame in self.frames.range(start..).map(|(_, frame)| frame) {
            if frame.end() > from {
                if fresh > 0 && fresh >= bytes {
                    break;
                }
                fresh += crate::bytes::to_u64(frame.length);
            }
            frames.push(frame.clone());
        }
        frames
    }

    /// Forgets the frames that end at `floor` or before, and gives back the segments, oldest first, that
    /// have no others.
    pub(crate) fn forget_below(&mut self, floor: u64) -> Vec<Arc<Segment>> {
        while let Some(first) = self.frames.first_entry().filter(|frame| frame.get().end() <= floor) {
            first.remove();
        }
        let mut dropped = Vec::new();
        while self.segments.keys().nth(1).is_some_and(|next| *next <= floor) {
            dropped.extend(self.segments.pop_first().map(|(_, segment)| segment));
        }
        dropped
    }
}

impl Shared {
    pub(crate) fn new(
        tiles: Tiles,
        bodies: PathBuf,
        keys: KeyTable,
        index: JournalIndex,
        durable: u64,
        published: Option<Arc<Published>>,
    ) -> Self {
        let progress = Progress { durable, published, requested: 0, closing: false, stopped: false };
        Self {
            tiles,
            bodies,
            keys,
            log_id: OnceLock::new(),
            index: Mutex::new(index),
            progress: Mutex::new(progress),
            changed: Condvar::new(),
            work: Condvar::new(),
            last_frame: Mutex::new(None),
            last_bodies: Mutex::new(None),
        }
    }

    pub(crate) fn index(&self) -> MutexGuard<'_, JournalIndex> {
        lock(&self.index)
    }

    /// How far the log is now.
    pub(crate) fn progress(&self) -> Progress {
        lock(&self.progress).clone()
    }

    /// Called by the sequencer once a frame is synced.
    pub(crate) fn sequenced(&self, frame: FrameRef, begun: Option<Arc<Segment>>, publish_entries: u64) {
        let durable = frame.end();
        {
            let mut index = self.index();
            if let Some(segment) = begun {
                index.add_segment(segment);
            }
            index.add_frame(frame);
        }
        // only now, so that who sees the size finds the frame
        let mut progress = lock(&self.progress);
        progress.durable = durable;
        if progress.is_due(publish_entries) {
            self.work.notify_one();
        }
        self.changed.notify_all();
    }

    /// Called by the publisher once a checkpoint is on the disk.
    pub(crate) fn published(&self, published: Arc<Published>) {
        lock(&self.progress).published = Some(published);
        self.changed.notify_all();
    }

    /// Asks for a checkpoint of what is durable now, unless the newest one has `size` entries already.
    pub(crate) fn request(&self, size: u64) {
        let mut progress = lock(&self.progress);
        progress.requested = progress.requested.max(size.min(progress.durable));
        self.work.notify_one();
    }

    /// Waits until the log has more than `size` entries, or nothing will come any more, or time is up.
    pub(crate) fn wait_size_above(&self, size: u64, timeout: Duration) -> u64 {
        self.wait(timeout, |progress| progress.durable <= size).durable
    }

    /// Waits for a checkpoint of at least `size` entries, and asks for it as soon as that is durable.
    pub(crate) fn wait_published(&self, size: u64, timeout: Duration) -> bool {
        let progress = self.wait(timeout, |progress| {
            if progress.durable >= size && progress.requested < size {
                progress.requested = size;
                self.work.notify_one();
            }
            progress.published_size() < size
        });
        progress.published_size() >= size
    }

    fn wait(&self, timeout: Duration, mut pending: impl FnMut(&mut Progress) -> bool) -> Progress {
        let (progress, _) = self
            .changed
            .wait_timeout_while(lock(&self.progress), timeout, |progress| {
                pending(progress) && !progress.stopped
            })
            .unwrap_or_else(PoisonError::into_inner);
        progress.clone()
    }

    /// The publisher waits here until there are enough entries, somebody waits, or time is up.
    pub(crate) fn wait_for_work(&self, publish_entries: u64, interval: Duration) -> Work {
        let (progress, _) = self
            .work
            .wait_timeout_while(lock(&self.progress), interval, |progress| {
                !progress.closing && !progress.is_due(publish_entries)
            })
            .unwrap_or_else(PoisonError::into_inner);
        if progress.closing { Work::Close } else { Work::Publish }
    }

    /// The publisher waits here after a full disk, however much is due.
    pub(crate) fn wait_for_room(&self, interval: Duration) {
        let waited =
            self.work.wait_timeout_while(lock(&self.progress), interval, |progress| !progress.closing);
        drop(waited);
    }

    /// No entries will come any more.
    pub(crate) fn close(&self) {
        lock(&self.progress).closing = true;
        self.work.notify_all();
    }

    /// No checkpoint will come any more either.
    pub(crate) fn stop(&self) {
        lock(&self.progress).stopped = true;
        self.changed.notify_all();
    }
}

/// Locks, poisoned or not: a panic of a thread of the store ends the process, and readers change
/// nothing here that could be left half done.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

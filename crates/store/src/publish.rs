//! The publisher: one thread that turns synced entries into tiles, bundles, bodies and keys, and signs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ed25519_dalek::SigningKey;
use tlog::checkpoint::Checkpoint;
use tlog::tile::{TileId, encode_bundle, entries_path};
use tlog::{Hash, leaf_hash, note};

use crate::abort::{AbortOnPanic, fatal};
use crate::bodies;
use crate::bytes::{to_u64, to_usize};
use crate::error::{FileError, ReadError};
use crate::files::{CreateError, IMMUTABLE, Writer, sync_dir};
use crate::head::{Head, SwapError, compare_and_swap, head_path};
use crate::journal::frame::Frame;
use crate::journal::segment::{FrameRef, Segment};
use crate::limits::PUBLISH_BYTES;
use crate::shared::{Published, Shared, Work};
use crate::tiles::BUNDLE;

/// Why a publication did not happen.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PublishError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Create(#[from] CreateError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Swap(#[from] SwapError),
    #[error("cannot sign the checkpoint: {0}")]
    Sign(String),
    #[error("the journal as read back has another {0} than the one that was written; nothing was signed")]
    Mismatch(&'static str),
}

impl PublishError {
    /// Whether nothing is in doubt and another try may work.
    fn is_disk_full(&self) -> bool {
        match self {
            Self::Create(error) => error.is_disk_full(),
            Self::File(error) | Self::Swap(SwapError::Write(error)) => error.is_disk_full(),
            _ => false,
        }
    }
}

/// Signs the head of one log.
pub(crate) struct Signing {
    /// Directory of the log.
    pub(crate) dir: PathBuf,
    pub(crate) origin: String,
    pub(crate) signer: SigningKey,
}

/// Owned by its thread.
pub(crate) struct Publisher {
    pub(crate) shared: Arc<Shared>,
    pub(crate) writer: Writer,
    pub(crate) signing: Signing,
    pub(crate) epoch: u64,
    /// What this process last committed or found committed.
    pub(crate) head: Head,
    pub(crate) publish_entries: u64,
    pub(crate) publish_interval: Duration,
}

/// A part of the journal, read back.
struct Range {
    /// Index of the first entry, at the start of a bundle.
    first: u64,
    /// Leaf hashes from there on.
    leaves: Vec<Hash>,
    frames: Vec<Frame>,
    /// Size and root after it, as the sequencer knew them.
    size: u64,
    root: Hash,
}

impl Publisher {
    /// Runs until the sequencer has ended and everything is published.
    pub(crate) fn run(mut self) {
        let _guard = AbortOnPanic("publisher");
        while let Work::Publish = self.shared.wait_for_work(self.publish_entries, self.publish_interval) {
            if !self.publish_all() {
                self.shared.wait_for_room(self.publish_interval);
            }
        }
        // what a full disk keeps back is published after the next start
        self.publish_all();
    }

    /// Publishes what is durable now. `false`: the disk is full. Any other failure leaves in doubt what
    /// is on the disk and ends the process.
    fn publish_all(&mut self) -> bool {
        let durable = self.shared.progress().durable;
        while self.shared.progress().published_size() < durable {
            match self.publish_next() {
                Ok(()) => {}
                Err(error) if error.is_disk_full() => {
                    tracing::warn!(%error, "no checkpoint until the disk has room");
                    return false;
                }
                Err(error) => fatal(error),
            }
        }
        true
    }

    /// One checkpoint. A crash before the head is swapped: the next publication writes the same bytes
    /// again, or more of them. After it: start-up signs this head.
    fn publish_next(&mut self) -> Result<(), PublishError> {
        if self.head.size == self.shared.progress().published_size() {
            let range = self.read_back()?;
            let tiles = self.integrate(&range)?;
            self.write_files(&range, &tiles)?;
            self.write_keys(&range)?;
            let new = Head { size: range.size, root: range.root, epoch: self.epoch };
            compare_and_swap(&mut self.writer, &head_path(&self.signing.dir), &self.head, &new)?;
            self.head = new;
        }
        // only a committed head is ever signed, so a swap that is lost cannot fork the log
        let published = self.signing.publish(&mut self.writer, &self.head)?;
        self.shared.published(Arc::new(published));
        self.drop_segments()
    }

    /// Reads the journal from the start of the last bundle on, from the disk: memory may have flipped a
    /// bit since it was written.
    fn read_back(&self) -> Result<Range, PublishError> {
        let first = self.head.size / BUNDLE * BUNDLE;
        let places = self.shared.index().from(first, self.head.size, PUBLISH_BYTES);
        let last = places.last().filter(|last| last.end() > self.head.size);
        let (size, root) = last.map(|last| (last.end(), last.root)).ok_or(PublishError::Mismatch("size"))?;
        let frames = places.iter().map(FrameRef::read).collect::<Result<Vec<_>, _>>()?;
        let mut range = Range { first, leaves: Vec::new(), frames, size, root };
        range.leaves = range.items(Frame::entry).into_iter().map(leaf_hash).collect();
        if range.first + to_u64(range.leaves.len()) != size {
            return Err(PublishError::Mismatch("size"));
        }
        Ok(range)
    }

    /// The tiles that are new, if they and the entries lead to the root that the sequencer signed.
    fn integrate(&self, range: &Range) -> Result<Vec<(TileId, Vec<u8>)>, PublishError> {
        let old = self.head.size;
        let tiles = &self.shared.tiles;
        let fresh = range.leaves.get(to_usize(old - range.first)..).unwrap_or_default();
        let new = tlog::integrate::integrate(old, fresh, &mut |tile| tiles.read(tile, old))
            .map_err(|error| tiles.failed(error))?;
        let by_name: BTreeMap<_, _> = new.iter().map(|(tile, bytes)| (*tile, bytes)).collect();
        let root = tlog::proof::root(range.size, &mut |tile| match by_name.get(&tile) {
            Some(bytes) => Ok((*bytes).clone()),
            None => tiles.read(tile, old),
        });
        if root.map_err(|error| tiles.failed(error))? != range.root {
            return Err(PublishError::Mismatch("root"));
        }
        // the part of a bundle that was published before was read again too
        let same = |(tile, bytes): &(TileId, Vec<u8>)| {
            tile.level > 0 || range.bundle(&range.leaves, tile).as_flattened() == bytes.as_slice()
        };
        if new.iter().all(same) { Ok(new) } else { Err(PublishError::Mismatch("entry")) }
    }

    /// Tiles, entry bundles and full body bundles; durable on return.
    fn write_files(&mut self, range: &Range, tiles: &[(TileId, Vec<u8>)]) -> Result<(), PublishError> {
        let log = self.shared.tiles.directory();
        let (entries, bodies) = (range.items(Frame::entry), range.items(Frame::body));
        for (tile, bytes) in tiles {
            self.writer.create(&log.join(tile.path()), bytes)?;
            if tile.level > 0 {
                continue;
            }
            let bundle =
                encode_bundle(range.bundle(&entries, tile)).map_err(|_| PublishError::Mismatch("length"))?;
            self.writer.create(&log.join(entries_path(tile.index, tile.width)), &bundle)?;
            if tile.is_full() {
                let bundle =
                    bodies::encode(range.bundle(&bodies, tile)).ok_or(PublishError::Mismatch("length"))?;
                self.writer.create(&bodies::bundle_path(&self.shared.bodies, tile.index), &bundle)?;
            }
        }
        Ok(self.writer.sync_dirs()?)
    }

    /// The keys of the new entries; durable on return.
    fn write_keys(&self, range: &Range) -> Result<(), PublishError> {
        let keys = range.items(Frame::key);
        let fresh = keys.get(to_usize(self.head.size - range.first)..).unwrap_or_default();
        Ok(self.shared.keys.write(self.head.size, fresh)?)
    }

    /// Removes the segments whose entries are all in tiles, bodies and keys.
    fn drop_segments(&self) -> Result<(), PublishError> {
        let floor = self.head.size / BUNDLE * BUNDLE;
        let dropped = self.shared.index().forget_below(floor);
        for Segment { path, .. } in dropped.iter().map(AsRef::as_ref) {
            if let Err(error) = std::fs::remove_file(path) {
                // harmless: the next start finds it good and drops it again
                tracing::warn!(path = %path.display(), %error, "cannot remove a published journal segment");
                continue;
            }
            // one by one, so that a crash never leaves an older segment without the one after it
            path.parent().map_or(Ok(()), sync_dir)?;
        }
        Ok(())
    }
}

impl Range {
    /// Something of each entry of the range.
    fn items<'a, T>(&'a self, get: impl Fn(&'a Frame, usize) -> Option<T>) -> Vec<T> {
        let mut items = Vec::with_capacity(self.leaves.len());
        for frame in &self.frames {
            let before = to_usize(self.first.saturating_sub(frame.header.first));
            items.extend((before..frame.count()).filter_map(|position| get(frame, position)));
        }
        items
    }

    /// The items that belong to a level 0 tile.
    fn bundle<'a, T>(&self, items: &'a [T], tile: &TileId) -> &'a [T] {
        let start = to_usize(tile.index * BUNDLE - self.first);
        items.get(start..start + usize::from(tile.width)).unwrap_or_default()
    }
}

impl Signing {
    /// Signs a committed head and publishes the checkpoint, by its size and as the newest; durable on
    /// return.
    pub(crate) fn publish(&self, writer: &mut Writer, head: &Head) -> Result<Published, PublishError> {
        let checkpoint = Checkpoint::new(&self.origin, head.size, head.root)
            .map_err(|error| PublishError::Sign(error.to_string()))?;
        let note = note::sign(&checkpoint.to_text(), &self.origin, &self.signer)
            .map_err(|error| PublishError::Sign(error.to_string()))?
            .into_bytes();
        writer.create(&checkpoint_path(&self.dir, head.size), &note)?;
        writer.sync_dirs()?;
        writer.replace(&newest_checkpoint_path(&self.dir), &note, IMMUTABLE)?;
        Ok(Published { checkpoint, note })
    }
}

/// Where the checkpoint of a size is kept for good.
pub(crate) fn checkpoint_path(dir: &Path, size: u64) -> PathBuf {
    dir.join("checkpoints").join(size.to_string())
}

/// Where the newest checkpoint is.
pub(crate) fn newest_checkpoint_path(dir: &Path) -> PathBuf {
    dir.join("log").join("checkpoint")
}

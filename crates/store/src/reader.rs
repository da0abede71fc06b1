//! Reading the log while it grows: from tiles and bundles where they are published, else from the journal.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ed25519_dalek::SigningKey;
use tlog::checkpoint::Checkpoint;
use tlog::proof::{verify_consistency, verify_inclusion};
use tlog::{Hash, empty_root, leaf_hash};

use crate::bodies::{self, BodyBundle};
use crate::bytes::{to_u64, to_usize};
use crate::error::{Damage, ReadError};
use crate::journal::frame::Frame;
use crate::journal::segment::RESTORE;
use crate::keys::KeySlot;
use crate::receipt::{self, Receipt};
use crate::shared::{Progress, Shared, lock};
use crate::tiles::BUNDLE;

/// A view of the log that any thread may hold. Sees every entry as soon as it is durable, and nothing
/// before. Whatever it returns was checked: entries against their leaf hashes, proofs against the
/// signed root, bodies, keys and journal frames against their own hashes.
#[derive(Clone)]
pub struct Reader {
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("size", &self.size()).finish_non_exhaustive()
    }
}

impl Reader {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Durable entries in the log.
    pub fn size(&self) -> u64 {
        self.shared.progress().durable
    }

    /// Entries under the newest checkpoint; 0 when there is none.
    pub fn published_size(&self) -> u64 {
        self.shared.progress().published_size()
    }

    /// Waits until the log has more than `size` entries, the store is closed, or `timeout` has passed;
    /// returns the durable size then.
    pub fn wait_size_above(&self, size: u64, timeout: Duration) -> u64 {
        self.shared.wait_size_above(size, timeout)
    }

    /// Waits for a checkpoint of at least `size` entries and asks for one at once where those are
    /// durable. `false`: the time is up or the store is closed.
    pub fn wait_published(&self, size: u64, timeout: Duration) -> bool {
        self.shared.wait_published(size, timeout)
    }

    /// Leaf hash of entry 0, by which the log is known; `None` while it is empty.
    pub fn log_id(&self) -> Option<Hash> {
        self.shared.log_id.get().copied()
    }

    /// Directory of the static C2SP files: `checkpoint`, `tile/…`, `tile/entries/…`.
    pub fn log_dir(&self) -> &Path {
        self.shared.tiles.directory()
    }

    /// The newest checkpoint and the bytes of its signed note.
    /// [`ReadError::NotPublished`] while there is none.
    pub fn checkpoint(&self) -> Result<(Checkpoint, Vec<u8>), ReadError> {
        let published = self.shared.progress().published;
        let published = published.ok_or(ReadError::NotPublished { size: 1, published: 0 })?;
        Ok((published.checkpoint.clone(), published.note.clone()))
    }

    /// One entry.
    pub fn entry(&self, index: u64) -> Result<Vec<u8>, ReadError> {
        let size = self.size();
        self.entries(index, 1)?.pop().ok_or(ReadError::OutOfRange { index, size })
    }

    /// The entries from `from` on: `max` of them, or fewer at the end of the log. None when `from` is
    /// the size of the log; beyond it [`ReadError::OutOfRange`].
    pub fn entries(&self, from: u64, max: usize) -> Result<Vec<Vec<u8>>, ReadError> {
        let size = self.size();
        if from > size {
            return Err(ReadError::OutOfRange { index: from, size });
        }
        let end = from.saturating_add(to_u64(max)).min(size);
        let mut entries = Vec::new();
        let mut next = from;
        while next < end {
            let more = self.neighbours(next, end)?;
            next += to_u64(more.len());
            entries.extend(more);
        }
        Ok(entries)
    }

    /// Entries from `from` to `to` at most, at least one: those in the same bundle or frame.
    fn neighbours(&self, from: u64, to: u64) -> Result<Vec<Vec<u8>>, ReadError> {
        let in_bundle = |progress: &Progress| from < progress.published_size();
        if let Some(frame) = self.frame_unless(from, in_bundle)? {
            let first = frame.header.first;
            let positions = to_usize(from - first)..frame.count().min(to_usize(to - first));
            return Ok(positions.filter_map(|position| frame.entry(position)).map(<[u8]>::to_vec).collect());
        }
        let published = self.published_size();
        let bundle_end = (from / BUNDLE + 1) * BUNDLE;
        self.shared.tiles.entries(from, to.min(bundle_end).min(published), published)
    }

    /// The sealed body of an entry; `None` when it has none.
    pub fn body(&self, index: u64) -> Result<Option<Vec<u8>>, ReadError> {
        let in_bundle = |progress: &Progress| index / BUNDLE < progress.published_size() / BUNDLE;
        let out_of_range = || ReadError::OutOfRange { index, size: self.size() };
        let body = match self.frame_unless(index, in_bundle)? {
            Some(frame) => frame.body(to_usize(index - frame.header.first)).map(<[u8]>::to_vec),
            None => self.body_bundle(index / BUNDLE)?.body(to_usize(index % BUNDLE)).map(<[u8]>::to_vec),
        };
        Ok(Some(body.ok_or_else(out_of_range)?).filter(|body| !body.is_empty()))
    }

    /// The wrapped key of an entry.
    pub fn key(&self, index: u64) -> Result<KeySlot, ReadError> {
        let in_table = |progress: &Progress| index < progress.published_size();
        let Some(frame) = self.frame_unless(index, in_table)? else {
            return self.shared.keys.read(index);
        };
        let key = frame.key(to_usize(index - frame.header.first));
        key.ok_or_else(|| ReadError::OutOfRange { index, size: self.size() })
    }

    /// Inclusion proof of an entry in the tree of `size`, which must be published; the leaf's sibling
    /// first, verified against the signed root.
    pub fn inclusion_proof(&self, index: u64, size: u64) -> Result<Vec<Hash>, ReadError> {
        let root = self.root(size)?;
        let published = self.published_size();
        if index >= size {
            return Err(ReadError::NoProof { from: index, size });
        }
        let tiles = &self.shared.tiles;
        let path = tlog::proof::inclusion_proof(index, size, &mut |tile| tiles.read(tile, published))
            .map_err(|error| tiles.failed(error))?;
        verify_inclusion(index, size, &tiles.leaf(index, published)?, &path, &root).map_err(|_| {
            tiles.contradiction(
                published,
                &format!("the tiles of entry {index} do not lead to the signed root"),
            )
        })?;
        Ok(path)
    }

    /// Consistency proof between two published sizes, verified against the signed root. Empty when they
    /// are equal or the older is 0.
    pub fn consistency_proof(&self, old: u64, new: u64) -> Result<Vec<Hash>, ReadError> {
        if old > new {
            return Err(ReadError::NoProof { from: old, size: new });
        }
        let (old_root, new_root) = (self.root(old)?, self.root(new)?);
        let tiles = &self.shared.tiles;
        let published = self.published_size();
        let path = tiles.consistency(old, new, published)?;
        verify_consistency(old, &old_root, new, &new_root, &path).map_err(|_| {
            tiles.contradiction(published, &format!("the tiles of size {new} do not extend those of {old}"))
        })?;
        Ok(path)
    }

    /// A receipt made again; see [`crate::Store::receipt`].
    pub(crate) fn receipt(&self, index: u64, signer: &SigningKey) -> Result<Receipt, ReadError> {
        let missing = || ReadError::OutOfRange { index, size: self.size() };
        let log_id = self.log_id().ok_or_else(missing)?;
        let is_published = |progress: &Progress| index < progress.published_size();
        let issued = if let Some(frame) = self.frame_unless(index, is_published)? {
            let entries = (0..frame.count()).filter_map(|position| frame.entry(position));
            let leaves: Vec<Hash> = entries.map(leaf_hash).collect();
            receipt::issue(log_id, frame.header.first, &leaves, frame.header.root, signer)
        } else {
            let leaves = [leaf_hash(&self.entry(index)?)];
            receipt::issue(log_id, index, &leaves, self.root(index + 1)?, signer)
        };
        issued.into_iter().find(|receipt| receipt.index == index).ok_or_else(missing)
    }

    /// Root of the tree of a published size, proven to belong to the newest checkpoint.
    pub fn root(&self, size: u64) -> Result<Hash, ReadError> {
        let not_published = |published| ReadError::NotPublished { size, published };
        let newest = self.shared.progress().published;
        if size == 0 {
            return Ok(empty_root());
        }
        let newest = newest.ok_or_else(|| not_published(0))?;
        let (published, signed) = (newest.checkpoint.size, newest.checkpoint.root);
        if size > published {
            return Err(not_published(published));
        }
        if size == published {
            return Ok(signed);
        }
        Ok(self.shared.tiles.range(size, published, &signed)?.root())
    }

    /// The journal frame that has an entry, or `None` if the condition holds: it is to be read from the
    /// published files then.
    fn frame_unless(
        &self,
        index: u64,
        in_files: impl Fn(&Progress) -> bool,
    ) -> Result<Option<Arc<Frame>>, ReadError> {
        let mut missed = None;
        loop {
            let progress = self.shared.progress();
            if index >= progress.durable {
                return Err(ReadError::OutOfRange { index, size: progress.durable });
            }
            if in_files(&progress) {
                return Ok(None);
            }
            // the publisher forgets a frame only after it has announced the files that replace it, so a
            // frame that is gone makes the condition hold the next time round
            if let Some(frame) = self.frame(index)? {
                return Ok(Some(frame));
            }
            if missed.replace(progress.published_size()) == Some(progress.published_size()) {
                let journal = self.shared.bodies.with_file_name("journal");
                let problem = format!("missing the frame of entry {index}");
                return Err(Damage::that_is(&journal, problem, RESTORE).into());
            }
        }
    }

    fn frame(&self, index: u64) -> Result<Option<Arc<Frame>>, ReadError> {
        let Some(place) = self.shared.index().containing(index) else { return Ok(None) };
        let last = lock(&self.shared.last_frame).clone();
        if let Some(frame) = last.filter(|frame| frame.header.first == place.first) {
            return Ok(Some(frame));
        }
        let frame = Arc::new(place.read()?);
        *lock(&self.shared.last_frame) = Some(frame.clone());
        Ok(Some(frame))
    }

    fn body_bundle(&self, bundle: u64) -> Result<Arc<BodyBundle>, ReadError> {
        let last = lock(&self.shared.last_bodies).clone();
        if let Some((_, bodies)) = last.filter(|(index, _)| *index == bundle) {
            return Ok(bodies);
        }
        let bodies = Arc::new(bodies::load(&self.shared.bodies, bundle)?);
        *lock(&self.shared.last_bodies) = Some((bundle, bodies.clone()));
        Ok(bodies)
    }
}

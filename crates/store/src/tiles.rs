//! The public files of the log, read back: tiles and entry bundles, checked against each other.

use std::path::{Path, PathBuf};

use tlog::limits::TILE_WIDTH;
use tlog::proof::{GenerateError, ProofError, verify_consistency};
use tlog::range::CompactRange;
use tlog::tile::{TileId, decode_bundle, decode_tile, entries_path, tiles_between};
use tlog::{Hash, leaf_hash, root_of};

use crate::bytes::{to_u64, to_usize};
use crate::error::{Damage, ReadError};
use crate::files;
use crate::limits::{CULPRIT_TILES_MAX, MAX_ENTRY_BUNDLE_BYTES, MAX_TILE_BYTES};

/// What to do when a public file is damaged.
const ADVICE: &str =
    "restore the file from a mirror or backup; the signed checkpoint tells whether it is the right one";

/// Entries in a full bundle, as the `u64` that indices are counted in.
pub(crate) const BUNDLE: u64 = TILE_WIDTH as u64;

/// The directory `log/`.
#[derive(Debug)]
pub(crate) struct Tiles {
    log: PathBuf,
}

impl Tiles {
    pub(crate) fn new(log: PathBuf) -> Self {
        Self { log }
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.log
    }

    /// Bytes of a tile of some tree of at most `published` entries: read under the name that it has at
    /// the published size, cut to the width asked for. Shaped for the proof functions of `tlog`.
    pub(crate) fn read(&self, tile: TileId, published: u64) -> Result<Vec<u8>, ReadError> {
        let beyond = ReadError::NoProof { from: tile.index, size: published };
        let position = tile.index.saturating_mul(BUNDLE);
        let stored = TileId::containing(tile.level, position, published).ok_or(beyond)?;
        let path = self.log.join(stored.path());
        let mut bytes = files::read_needed(&path, MAX_TILE_BYTES, ADVICE)?;
        decode_tile(&bytes, stored.width).map_err(|error| self.damage(&path, None, &error))?;
        bytes.truncate(usize::from(tile.width) * 32);
        Ok(bytes)
    }

    /// The entries `from..to`, all of one bundle of the published size, each checked against the level 0
    /// tile.
    pub(crate) fn entries(&self, from: u64, to: u64, published: u64) -> Result<Vec<Vec<u8>>, ReadError> {
        let beyond = || ReadError::OutOfRange { index: from, size: published };
        let tile = TileId::containing(0, from, published).ok_or_else(beyond)?;
        let path = self.log.join(entries_path(tile.index, tile.width));
        let bytes = files::read_needed(&path, MAX_ENTRY_BUNDLE_BYTES, ADVICE)?;
        let bundle = decode_bundle(&bytes, tile.width).map_err(|error| self.damage(&path, None, &error))?;
        let hashes = self.read(tile, published)?;
        let (hashes, _) = hashes.as_chunks::<32>();
        let mut offset = 0;
        let mut entries = Vec::new();
        for ((index, entry), hash) in (tile.index * BUNDLE..).zip(bundle).zip(hashes) {
            if (from..to).contains(&index) {
                if leaf_hash(entry) != *hash {
                    let problem = format!("entry {index} is not the one in `{tile}`");
                    return Err(self.damage(&path, Some(offset), &problem));
                }
                entries.push(entry.to_vec());
            }
            offset += to_u64(entry.len()) + 2;
        }
        Ok(entries)
    }

    /// Leaf hash of an entry, from the level 0 tile.
    pub(crate) fn leaf(&self, index: u64, published: u64) -> Result<Hash, ReadError> {
        let beyond = || ReadError::OutOfRange { index, size: published };
        let tile = TileId::containing(0, index, published).ok_or_else(beyond)?;
        let bytes = self.read(tile, published)?;
        let (hashes, _) = bytes.as_chunks::<32>();
        hashes.get(to_usize(index % BUNDLE)).copied().ok_or_else(beyond)
    }

    /// Root of the tree of the published size, as the tiles have it.
    pub(crate) fn root(&self, published: u64) -> Result<Hash, ReadError> {
        tlog::proof::root(published, &mut |tile| self.read(tile, published))
            .map_err(|error| self.failed(error))
    }

    /// Head of the tree of some size up to the published one, proven to be extended by the published
    /// root.
    pub(crate) fn range(&self, size: u64, published: u64, root: &Hash) -> Result<CompactRange, ReadError> {
        let range = tlog::proof::compact_range(size, &mut |tile| self.read(tile, published))
            .map_err(|error| self.failed(error))?;
        let path = self.consistency(size, published, published)?;
        verify_consistency(size, &range.root(), published, root, &path).map_err(|_| {
            self.contradiction(
                published,
                &format!("the tiles of size {size} do not lead to the root of size {published}"),
            )
        })?;
        Ok(range)
    }

    /// Consistency proof between two sizes up to the published one, not verified.
    pub(crate) fn consistency(&self, old: u64, new: u64, published: u64) -> Result<Vec<Hash>, ReadError> {
        tlog::proof::consistency_proof(old, new, &mut |tile| self.read(tile, published))
            .map_err(|error| self.failed(error))
    }

    /// What to say of a proof that could not be made.
    pub(crate) fn failed(&self, error: GenerateError<ReadError>) -> ReadError {
        match error {
            GenerateError::Read { source, .. } => source,
            GenerateError::Tile { tile, reason } => self.damage(&self.log.join(tile.path()), None, &reason),
            GenerateError::Range(ProofError::Range { start, size, .. }) => {
                ReadError::NoProof { from: start, size }
            }
            other => Damage::that_is(&self.log.join("tile"), format!("inconsistent: {other}"), ADVICE).into(),
        }
    }

    /// Tiles of the published size that do not lead to the root they should: names the first that is not what the
    /// tiles or entries below it make, where there is one.
    pub(crate) fn contradiction(&self, published: u64, problem: &str) -> ReadError {
        let tiles = tiles_between(0, published);
        let culprit = tiles.into_iter().take(CULPRIT_TILES_MAX).find(|tile| self.disagrees(*tile, published));
        match culprit {
            Some(tile) => self.damage(
                &self.log.join(tile.path()),
                None,
                &format!("{problem}, and it is not what lies below it makes"),
            ),
            None => {
                let problem = format!("inconsistent: {problem}, so one of its tiles is damaged");
                Damage::that_is(&self.log.join("tile"), problem, ADVICE).into()
            }
        }
    }

    /// Whether a tile is another than the one that the entries or tiles below it make. What cannot be read does not
    /// say so.
    fn disagrees(&self, tile: TileId, published: u64) -> bool {
        let stored = self.read(tile, published).ok();
        stored.zip(self.below(tile, published)).is_some_and(|(stored, made)| stored != made.as_flattened())
    }

    /// The hashes of a tile, made from what is below it.
    fn below(&self, tile: TileId, published: u64) -> Option<Vec<Hash>> {
        let Some(level) = tile.level.checked_sub(1) else {
            let path = self.log.join(entries_path(tile.index, tile.width));
            let bytes = files::read_needed(&path, MAX_ENTRY_BUNDLE_BYTES, ADVICE).ok()?;
            return Some(decode_bundle(&bytes, tile.width).ok()?.into_iter().map(leaf_hash).collect());
        };
        let first = tile.index * BUNDLE;
        let root = |index| {
            let below = self.read(TileId { level, index, width: TILE_WIDTH }, published).ok()?;
            Some(root_of(below.as_chunks().0))
        };
        (first..first + u64::from(tile.width)).map(root).collect()
    }

    fn damage(&self, path: &Path, offset: Option<u64>, problem: &impl ToString) -> ReadError {
        debug_assert!(path.starts_with(&self.log), "only files of this log are read here");
        let problem = problem.to_string();
        match offset {
            Some(offset) => Damage::at(path, offset, problem, ADVICE).into(),
            None => Damage::somewhere(path, problem, ADVICE).into(),
        }
    }
}

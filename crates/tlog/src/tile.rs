//! Tiles and entry bundles: their names, their bytes, and which of them a tree size needs (C2SP tlog-tiles).

use std::fmt;

use crate::Hash;
use crate::limits::{MAX_ENTRY_BYTES, MAX_TILE_LEVEL, MAX_TILE_PATH_BYTES, TILE_WIDTH};

/// Hashes in a full tile, as the `u64` that indices are counted in.
const FULL: u64 = TILE_WIDTH as u64;

/// Why a tile path, a tile or an entry bundle was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TileError {
    /// The path is not the one canonical spelling of a tile or bundle.
    #[error("`{0}` is not the path of a tile or entry bundle; expected `tile/<level>/<index>[.p/<width>]`")]
    Path(String),
    /// The path is longer than [`MAX_TILE_PATH_BYTES`]; it is not repeated here.
    #[error("the path has {0} bytes, more than the {MAX_TILE_PATH_BYTES} of a tile or entry bundle path")]
    PathLength(usize),
    /// A width outside 1..=256.
    #[error("a tile or entry bundle holds 1 to {TILE_WIDTH} items, not {0}")]
    Width(usize),
    /// Tile bytes whose length is not 32 times the width.
    #[error(
        "the tile has {found} bytes instead of {expected}; it is damaged or belongs to another tree size"
    )]
    TileLength {
        /// 32 × width.
        expected: usize,
        /// Bytes given.
        found: usize,
    },
    /// An entry too long for its `u16` length.
    #[error("an entry of {0} bytes does not fit a log, the most is {MAX_ENTRY_BYTES}")]
    EntryLength(usize),
    /// The bundle ends inside an entry.
    #[error("the entry bundle ends inside entry {0} of it; it is damaged or belongs to another tree size")]
    BundleShort(u16),
    /// The bundle goes on after its last entry.
    #[error(
        "the entry bundle has {0} bytes after its last entry; it is damaged or belongs to another tree size"
    )]
    BundleLong(usize),
}

/// Name of one tile: hashes `index·256 .. index·256 + width` of a level, where hash *i* of level *l*
/// is the root of the entries `i·256^l .. (i+1)·256^l`. Ordered by level, index, width.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TileId {
    /// 0–63; 0 holds leaf hashes.
    pub level: u8,
    /// Which tile of the level.
    pub index: u64,
    /// Hashes in it: 256 for a full tile, 1–255 for a partial one.
    pub width: u16,
}

impl TileId {
    /// The tile that holds hash `position` of `level` in a tree of `size`, as wide as that size makes
    /// it; `None` when the tree has no such hash.
    pub fn containing(level: u8, position: u64, size: u64) -> Option<Self> {
        let hashes = hashes_at(level, size);
        if position >= hashes {
            return None;
        }
        let index = position / FULL;
        let width = u16::try_from((hashes - index * FULL).min(FULL)).ok()?;
        Some(Self { level, index, width })
    }

    /// Whether the tile holds all 256 hashes and can never change.
    pub fn is_full(&self) -> bool {
        self.width == TILE_WIDTH
    }

    /// The same tile once it is full; what a reader may fall back to where partials were deleted.
    #[must_use]
    pub fn full(&self) -> Self {
        Self { width: TILE_WIDTH, ..*self }
    }

    /// Path below the log's prefix: `tile/<level>/<index>` and `.p/<width>` unless full.
    pub fn path(&self) -> String {
        format!("tile/{}/{}", self.level, index_and_width(self.index, self.width))
    }

    /// Strict inverse of [`TileId::path`]: accepts only what that function writes.
    pub fn parse(path: &str) -> Result<Self, TileError> {
        match Resource::parse(path)? {
            Resource::Tile(tile) => Ok(tile),
            Resource::Entries { .. } => Err(TileError::Path(path.to_owned())),
        }
    }
}

impl fmt::Display for TileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path())
    }
}

/// Path of the entry bundle `index` with `width` entries (1–256): `tile/entries/<index>[.p/<width>]`.
pub fn entries_path(index: u64, width: u16) -> String {
    format!("tile/entries/{}", index_and_width(index, width))
}

/// What a path under `tile/` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resource {
    /// A tile of hashes.
    Tile(TileId),
    /// An entry bundle.
    Entries {
        /// Which bundle: it starts at entry `index`·256.
        index: u64,
        /// Entries in it, 1–256.
        width: u16,
    },
}

impl Resource {
    /// The one path of this resource.
    pub fn path(&self) -> String {
        match *self {
            Self::Tile(tile) => tile.path(),
            Self::Entries { index, width } => entries_path(index, width),
        }
    }

    /// Strict inverse of [`Resource::path`], for serving static files: no other spelling of a number,
    /// no `..`, no slash more or less is accepted, so an accepted path is safe below a directory.
    pub fn parse(path: &str) -> Result<Self, TileError> {
        if path.len() > MAX_TILE_PATH_BYTES {
            return Err(TileError::PathLength(path.len()));
        }
        parse_resource(path)
            .filter(|resource| resource.path() == path)
            .ok_or_else(|| TileError::Path(path.to_owned()))
    }
}

/// Reads a path without insisting on the canonical spelling, which [`Resource::parse`] then does.
fn parse_resource(path: &str) -> Option<Resource> {
    let (kind, rest) = path.strip_prefix("tile/")?.split_once('/')?;
    let (index, width) = match rest.split_once(".p/") {
        Some((index, width)) => (index, width.parse().ok().filter(|w| (1..TILE_WIDTH).contains(w))?),
        None => (rest, TILE_WIDTH),
    };
    let index = parse_index(index)?;
    if kind == "entries" {
        return Some(Resource::Entries { index, width });
    }
    let level = kind.parse().ok().filter(|level| *level <= MAX_TILE_LEVEL)?;
    Some(Resource::Tile(TileId { level, index, width }))
}

/// Reads `x001/x234/067` as 1234067.
fn parse_index(groups: &str) -> Option<u64> {
    groups.split('/').try_fold(0_u64, |index, group| {
        let group: u64 = group.trim_start_matches('x').parse().ok()?;
        index.checked_mul(1000)?.checked_add(group)
    })
}

/// Writes 1234067 as `x001/x234/067`, and `.p/<width>` unless the width is 256.
fn index_and_width(index: u64, width: u16) -> String {
    let mut groups = format!("{:03}", index % 1000);
    let mut rest = index / 1000;
    while rest > 0 {
        groups = format!("x{:03}/{groups}", rest % 1000);
        rest /= 1000;
    }
    if width == TILE_WIDTH { groups } else { format!("{groups}.p/{width}") }
}

/// Hashes that a tree of `size` has at a tile level: size / 256^level.
fn hashes_at(level: u8, size: u64) -> u64 {
    size.checked_shr(8 * u32::from(level)).unwrap_or(0)
}

/// Every tile that must be written to go from the published size `old` to `new`: the tiles that
/// became full, and the partial ones of `new`. Ordered by level, then index. Empty unless `new > old`.
///
/// The entry bundles to write are those with the index and width of the level 0 tiles.
pub fn tiles_between(old: u64, new: u64) -> Vec<TileId> {
    let mut tiles = Vec::new();
    for level in 0..=MAX_TILE_LEVEL {
        let (before, after) = (hashes_at(level, old), hashes_at(level, new));
        if after <= before {
            break;
        }
        let full = before / FULL..after / FULL;
        tiles.extend(full.map(|index| TileId { level, index, width: TILE_WIDTH }));
        if !after.is_multiple_of(FULL) {
            tiles.extend(TileId::containing(level, after - 1, new));
        }
    }
    tiles
}

/// Bytes of a tile: its hashes one after the other. The caller gives 1 to 256 of them.
pub fn encode_tile(hashes: &[Hash]) -> Vec<u8> {
    hashes.as_flattened().to_vec()
}

/// Strict inverse of [`encode_tile`] for a tile of this width: exactly 32 bytes for each hash.
pub fn decode_tile(bytes: &[u8], width: u16) -> Result<&[Hash], TileError> {
    if width == 0 || width > TILE_WIDTH {
        return Err(TileError::Width(usize::from(width)));
    }
    match bytes.as_chunks::<32>() {
        (hashes, []) if hashes.len() == usize::from(width) => Ok(hashes),
        _ => Err(TileError::TileLength { expected: usize::from(width) * 32, found: bytes.len() }),
    }
}

/// Bytes of an entry bundle: (`u16` length, big-endian ‖ entry) for each of the 1 to 256 entries.
pub fn encode_bundle<T: AsRef<[u8]>>(entries: &[T]) -> Result<Vec<u8>, TileError> {
    if entries.is_empty() || entries.len() > usize::from(TILE_WIDTH) {
        return Err(TileError::Width(entries.len()));
    }
    let mut bundle = Vec::with_capacity(entries.iter().map(|entry| entry.as_ref().len() + 2).sum());
    for entry in entries {
        let entry = entry.as_ref();
        let length = u16::try_from(entry.len()).map_err(|_| TileError::EntryLength(entry.len()))?;
        bundle.extend_from_slice(&length.to_be_bytes());
        bundle.extend_from_slice(entry);
    }
    Ok(bundle)
}

/// Strict inverse of [`encode_bundle`] for a bundle of this width: exactly that many entries and
/// nothing after them.
pub fn decode_bundle(bytes: &[u8], width: u16) -> Result<Vec<&[u8]>, TileError> {
    if width == 0 || width > TILE_WIDTH {
        return Err(TileError::Width(usize::from(width)));
    }
    let mut entries = Vec::with_capacity(usize::from(width));
    let mut rest = bytes;
    for position in 0..width {
        let (entry, after) = split_entry(rest).ok_or(TileError::BundleShort(position))?;
        entries.push(entry);
        rest = after;
    }
    if rest.is_empty() { Ok(entries) } else { Err(TileError::BundleLong(rest.len())) }
}

/// The first entry of a bundle and what follows it.
fn split_entry(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

#[cfg(test)]
mod tests;

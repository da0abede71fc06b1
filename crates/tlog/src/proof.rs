//! Proofs: checking them, and making them from tiles.
//!
//! One algorithm covers all: a *valid subtree* is a range `[start, end)` whose start is a multiple of
//! the smallest power of two that is at least as large as the range. Inclusion of leaf *i* is the
//! subtree `[i, i+1)`, RFC 6962 consistency from size *m* is the subtree `[0, m)`.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use crate::limits::{MAX_TREE_SIZE, TILE_WIDTH};
use crate::range::{CompactRange, fold_right};
use crate::tile::{TileError, TileId, decode_tile};
use crate::{Hash, empty_root, node_hash, root_of};

/// Why a proof does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    /// The range is empty, not aligned, or reaches beyond the tree; or the tree is too large.
    #[error("no proof exists for entries {start} to {end} of a tree of {size}")]
    Range {
        /// First index of the range.
        start: u64,
        /// First index after the range.
        end: u64,
        /// Tree size.
        size: u64,
    },
    /// The proof ends before the root is reached.
    #[error("the proof has too few hashes for this tree size")]
    TooShort,
    /// The proof goes on after the root is reached.
    #[error("the proof has too many hashes for this tree size")]
    TooLong,
    /// The proof leads to another root than the one given for the subtree (or the older tree).
    #[error("the proof does not lead to the hash of the subtree or older tree; one of them was altered")]
    Subtree,
    /// The proof leads to another root than the tree's.
    #[error("the proof does not lead to the root of the tree; one of them was altered")]
    Root,
}

/// Why a proof or root could not be made from tiles.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GenerateError<E> {
    /// There is nothing to prove: see [`ProofError::Range`].
    #[error(transparent)]
    Range(ProofError),
    /// The tree would be larger than [`MAX_TREE_SIZE`].
    #[error("the tree would have more than {MAX_TREE_SIZE} entries")]
    TreeSize,
    /// The caller's `read` failed.
    #[error("cannot read `{tile}`")]
    Read {
        /// The tile that was asked for.
        tile: TileId,
        /// What `read` returned.
        source: E,
    },
    /// A tile of the wrong length.
    #[error("cannot use `{tile}`: {reason}")]
    Tile {
        /// The tile that was asked for.
        tile: TileId,
        /// What is wrong with it.
        reason: TileError,
    },
}

/// Checks that the leaf with hash `leaf` is at `index` of the tree of `size` with `root`.
pub fn verify_inclusion(
    index: u64,
    size: u64,
    leaf: &Hash,
    path: &[Hash],
    root: &Hash,
) -> Result<(), ProofError> {
    verify_subtree(index, index.saturating_add(1), size, leaf, path, root)
}

/// Checks that the tree of `new_size` with `new_root` begins with the tree of `old_size` with `old_root`.
///
/// Equal sizes: the path is empty and the roots are equal. Old size 0: the path is empty and the old
/// root is [`empty_root`]; nothing is proven about the new tree then.
pub fn verify_consistency(
    old_size: u64,
    old_root: &Hash,
    new_size: u64,
    new_root: &Hash,
    path: &[Hash],
) -> Result<(), ProofError> {
    if old_size > 0 {
        return verify_subtree(0, old_size, new_size, old_root, path, new_root);
    }
    if new_size > MAX_TREE_SIZE {
        return Err(ProofError::Range { start: 0, end: 0, size: new_size });
    }
    if !path.is_empty() {
        return Err(ProofError::TooLong);
    }
    if *old_root != empty_root() {
        return Err(ProofError::Subtree);
    }
    if new_size == 0 && *new_root != empty_root() {
        return Err(ProofError::Root);
    }
    Ok(())
}

/// Checks that the valid subtree `[start, end)` with root `sub_root` is part of the tree of `size`
/// with `root`.
pub fn verify_subtree(
    start: u64,
    end: u64,
    size: u64,
    sub_root: &Hash,
    path: &[Hash],
    root: &Hash,
) -> Result<(), ProofError> {
    let mut climb = Climb::start(start, end, size).ok_or(ProofError::Range { start, end, size })?;
    let mut rest = path.iter();
    // where the subtree is not a node of the tree, the proof begins with the largest node they share
    let shared =
        if climb.first == climb.last { *sub_root } else { *rest.next().ok_or(ProofError::TooShort)? };
    let (mut in_subtree, mut in_tree) = (shared, shared);
    for hash in rest {
        if climb.right_edge == 0 {
            return Err(ProofError::TooLong);
        }
        if climb.last % 2 == 1 || climb.last == climb.right_edge {
            if climb.first < climb.last {
                in_subtree = node_hash(hash, &in_subtree);
            }
            in_tree = node_hash(hash, &in_tree);
            // on the right edge, levels without a left sibling are passed unhashed; `last` is not 0
            // here, since it is odd or equal to `right_edge`, so this ends
            while climb.last % 2 == 0 {
                climb.up();
            }
        } else {
            in_tree = node_hash(&in_tree, hash);
        }
        climb.up();
    }
    if climb.right_edge != 0 {
        return Err(ProofError::TooShort);
    }
    if in_subtree != *sub_root {
        return Err(ProofError::Subtree);
    }
    if in_tree == *root { Ok(()) } else { Err(ProofError::Root) }
}

/// Positions at the current level while a proof climbs to the root: of the subtree's first and last
/// node, and of the tree's last node.
struct Climb {
    first: u64,
    last: u64,
    right_edge: u64,
}

impl Climb {
    /// At the level of the largest node that the subtree's right edge shares with the tree; `None`
    /// unless `[start, end)` is a valid subtree of a tree of `size`.
    fn start(start: u64, end: u64, size: u64) -> Option<Self> {
        if !is_subtree(start, end, size) {
            return None;
        }
        let mut climb = Self { first: start, last: end - 1, right_edge: size - 1 };
        let ends_with_tree = climb.last == climb.right_edge;
        while climb.first != climb.last && (ends_with_tree || climb.last % 2 == 1) {
            climb.up();
        }
        Some(climb)
    }

    fn up(&mut self) {
        self.first /= 2;
        self.last /= 2;
        self.right_edge /= 2;
    }
}

/// Whether `[start, end)` is a valid subtree of a tree of `size`.
fn is_subtree(start: u64, end: u64, size: u64) -> bool {
    // MAX_TREE_SIZE keeps the next power of two within `u64`
    start < end
        && end <= size
        && size <= MAX_TREE_SIZE
        && start.is_multiple_of((end - start).next_power_of_two())
}

/// Inclusion proof of entry `index` in the tree of `size`, from tiles, the leaf's sibling first.
///
/// `read` gives the bytes of a tile of that tree, or of its full form, and is asked once for each.
/// Tiles are taken as they are: check the result with [`verify_inclusion`] before it is relied upon.
pub fn inclusion_proof<E>(
    index: u64,
    size: u64,
    read: &mut impl FnMut(TileId) -> Result<Vec<u8>, E>,
) -> Result<Vec<Hash>, GenerateError<E>> {
    subtree_proof(index, index.saturating_add(1), size, read)
}

/// Consistency proof from the tree of `old_size` to that of `new_size`, from tiles of the new one.
/// Empty when the sizes are equal or the old one is 0. For `read` see [`inclusion_proof`].
pub fn consistency_proof<E>(
    old_size: u64,
    new_size: u64,
    read: &mut impl FnMut(TileId) -> Result<Vec<u8>, E>,
) -> Result<Vec<Hash>, GenerateError<E>> {
    if old_size == 0 && new_size <= MAX_TREE_SIZE {
        return Ok(Vec::new());
    }
    subtree_proof(0, old_size, new_size, read)
}

/// Proof for [`verify_subtree`] that `[start, end)` is part of the tree of `size`, from tiles.
/// For `read` see [`inclusion_proof`].
pub fn subtree_proof<E>(
    start: u64,
    end: u64,
    size: u64,
    read: &mut impl FnMut(TileId) -> Result<Vec<u8>, E>,
) -> Result<Vec<Hash>, GenerateError<E>> {
    if !is_subtree(start, end, size) {
        return Err(GenerateError::Range(ProofError::Range { start, end, size }));
    }
    let mut tiles = Tiles::new(size, read);
    proof_ranges(start, end, size).into_iter().map(|(from, to)| tiles.range_root(from, to)).collect()
}

/// Root of the valid subtree `[start, end)` of the tree of `size`, from tiles.
/// For `read` see [`inclusion_proof`].
pub fn subtree_root<E>(
    start: u64,
    end: u64,
    size: u64,
    read: &mut impl FnMut(TileId) -> Result<Vec<u8>, E>,
) -> Result<Hash, GenerateError<E>> {
    if !is_subtree(start, end, size) {
        return Err(GenerateError::Range(ProofError::Range { start, end, size }));
    }
    Tiles::new(size, read).range_root(start, end)
}

/// Root of the tree of `size`, from tiles. For `read` see [`inclusion_proof`].
pub fn root<E>(
    size: u64,
    read: &mut impl FnMut(TileId) -> Result<Vec<u8>, E>,
) -> Result<Hash, GenerateError<E>> {
    Ok(compact_range(size, read)?.root())
}

/// Head of the tree of `size`, from tiles: what a writer goes on from after a restart.
/// For `read` see [`inclusion_proof`].
pub fn compact_range<E>(
    size: u64,
    read: &mut impl FnMut(TileId) -> Result<Vec<u8>, E>,
) -> Result<CompactRange, GenerateError<E>> {
    if size > MAX_TREE_SIZE {
        return Err(GenerateError::TreeSize);
    }
    let hashes = Tiles::new(size, read).perfect_roots(0, size)?;
    CompactRange::from_parts(size, hashes).ok_or(GenerateError::TreeSize)
}

/// The ranges whose roots make up the proof of `[start, end)` in a tree of `size`, in proof order.
fn proof_ranges(start: u64, end: u64, size: u64) -> Vec<(u64, u64)> {
    let mut ranges = Vec::new();
    // the part of the tree that is left to descend into: `[base, base + len)`
    let (mut base, mut len) = (0, size);
    let (mut start, mut is_node) = (start, true);
    while (start, end) != (base, base + len) {
        let split = len.next_power_of_two() / 2;
        let middle = base + split;
        if end <= middle {
            ranges.push((middle, base + len));
            len = split;
            continue;
        }
        ranges.push((base, middle));
        if start < middle {
            // the subtree reaches over the split: it is no node of the tree, and its right part
            // is to be combined with the left half, which the proof gives
            start = middle;
            is_node = false;
        }
        base = middle;
        len -= split;
    }
    if !is_node {
        ranges.push((base, base + len));
    }
    // collected from the root down, given from the leaf up
    ranges.reverse();
    ranges
}

/// Tiles of one tree, each read once.
struct Tiles<'a, F> {
    size: u64,
    read: &'a mut F,
    seen: BTreeMap<TileId, Vec<Hash>>,
}

impl<'a, F, E> Tiles<'a, F>
where
    F: FnMut(TileId) -> Result<Vec<u8>, E>,
{
    fn new(size: u64, read: &'a mut F) -> Self {
        Self { size, read, seen: BTreeMap::new() }
    }

    /// Root of a valid subtree.
    fn range_root(&mut self, start: u64, end: u64) -> Result<Hash, GenerateError<E>> {
        let empty = ProofError::Range { start, end, size: self.size };
        fold_right(&self.perfect_roots(start, end)?).ok_or(GenerateError::Range(empty))
    }

    /// Roots of the perfect subtrees that a valid subtree consists of, largest first.
    fn perfect_roots(&mut self, start: u64, end: u64) -> Result<Vec<Hash>, GenerateError<E>> {
        let mut roots = Vec::new();
        let mut at = start;
        while let Some(height) = (end - at).checked_ilog2() {
            roots.push(self.perfect_root(height, at)?);
            at += 1 << height;
        }
        Ok(roots)
    }

    /// Root of the 2^height leaves from `start`, a multiple of that number: one hash of a tile, or the
    /// root over 2 to 128 neighbours in one.
    fn perfect_root(&mut self, height: u32, start: u64) -> Result<Hash, GenerateError<E>> {
        let end = start + (1 << height);
        let beyond = || GenerateError::Range(ProofError::Range { start, end, size: self.size });
        let level = u8::try_from(height / 8).map_err(|_| beyond())?;
        let first = start >> (8 * level);
        let tile = TileId::containing(level, first, self.size).ok_or_else(beyond)?;
        let offset = usize::try_from(first % u64::from(TILE_WIDTH)).map_err(|_| beyond())?;
        let outside = beyond();
        let nodes = self.tile(tile)?.get(offset..offset + (1 << (height % 8))).ok_or(outside)?;
        Ok(root_of(nodes))
    }

    fn tile(&mut self, tile: TileId) -> Result<&[Hash], GenerateError<E>> {
        match self.seen.entry(tile) {
            Entry::Occupied(seen) => Ok(seen.into_mut()),
            Entry::Vacant(unseen) => Ok(unseen.insert(read_tile(tile, self.read)?)),
        }
    }
}

/// Hashes of a tile through the caller's `read`, which may give the full tile for a partial one: a
/// partial tile is a prefix of the full one.
pub(crate) fn read_tile<E>(
    tile: TileId,
    read: &mut impl FnMut(TileId) -> Result<Vec<u8>, E>,
) -> Result<Vec<Hash>, GenerateError<E>> {
    let bytes = read(tile).map_err(|source| GenerateError::Read { tile, source })?;
    let hashes = decode_tile(&bytes, tile.width)
        .or_else(|reason| decode_tile(&bytes, TILE_WIDTH).map_err(|_| reason))
        .map_err(|reason| GenerateError::Tile { tile, reason })?;
    Ok(hashes.iter().take(usize::from(tile.width)).copied().collect())
}

#[cfg(test)]
mod tests;

//! Compact range: the head of a growing tree in at most 63 hashes.

use crate::limits::MAX_TREE_SIZE;
use crate::{Hash, empty_root, node_hash};

/// A tree known by the roots of its perfect subtrees, largest (leftmost) first: one hash for each
/// bit that is set in the size. Appending costs one node hash per leaf, amortised.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CompactRange {
    size: u64,
    hashes: Vec<Hash>,
}

impl CompactRange {
    /// The tree without entries.
    pub fn new() -> Self {
        Self::default()
    }

    /// The tree of `size` leaves with these perfect-subtree roots, largest first. `None` unless
    /// there are as many hashes as bits set in `size`, and `size` is at most [`MAX_TREE_SIZE`].
    pub fn from_parts(size: u64, hashes: Vec<Hash>) -> Option<Self> {
        let expected = usize::try_from(size.count_ones()).ok()?;
        (size <= MAX_TREE_SIZE && hashes.len() == expected).then_some(Self { size, hashes })
    }

    /// Number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Roots of the perfect subtrees, largest first.
    pub fn hashes(&self) -> &[Hash] {
        &self.hashes
    }

    /// Appends one leaf hash.
    pub fn push(&mut self, leaf: Hash) {
        // each trailing one bit of the size is a perfect subtree as large as the one just completed
        let merges = self.size.trailing_ones();
        let mut node = leaf;
        for _ in 0..merges {
            if let Some(left) = self.hashes.pop() {
                node = node_hash(&left, &node);
            }
        }
        self.hashes.push(node);
        self.size += 1;
    }

    /// Root of the tree.
    pub fn root(&self) -> Hash {
        fold_right(&self.hashes).unwrap_or_else(empty_root)
    }
}

/// Root of a tree from the roots of its perfect subtrees, largest first; `None` when there are none.
pub(crate) fn fold_right(subtrees: &[Hash]) -> Option<Hash> {
    subtrees.iter().rev().copied().reduce(|right, left| node_hash(&left, &right))
}

#[cfg(test)]
mod tests;

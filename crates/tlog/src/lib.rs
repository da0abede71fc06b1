//! RFC 6962 tree, C2SP tiles, checkpoint, signed note and proofs: bytes only.
//!
//! Nothing here reads a file, a clock or a random number, and nothing here knows what an entry means.
//! A log is written with [`integrate::integrate`] (leaf hashes in, tile bytes out), a head is kept with
//! [`range::CompactRange`], proofs are made from tiles and checked by [`proof`], and heads are published
//! as a [`checkpoint::Checkpoint`] inside a signed [`note`]. The formats are those of the C2SP
//! specifications tlog-tiles, tlog-checkpoint and signed-note; hashing is RFC 6962 §2.1 with SHA-256.

#![forbid(unsafe_code)]

pub mod checkpoint;
pub mod integrate;
pub mod limits;
pub mod note;
pub mod proof;
pub mod range;
pub mod tile;

use sha2::{Digest, Sha256};

/// A SHA-256 digest: a leaf hash, a node hash or a tree root.
pub type Hash = [u8; 32];

/// Leaf hash of an entry: SHA-256(0x00 ‖ entry), RFC 6962 §2.1.
pub fn leaf_hash(entry: &[u8]) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update([0x00]);
    hasher.update(entry);
    hasher.finalize().into()
}

/// Hash of an inner node: SHA-256(0x01 ‖ left ‖ right), RFC 6962 §2.1.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update([0x01]);
    hasher.update(left);
    hasher.update(right);
    hasher.finalize().into()
}

/// Root of the tree without entries: SHA-256 of nothing, RFC 6962 §2.1.
pub fn empty_root() -> Hash {
    Sha256::digest([]).into()
}

/// Root of the tree over these leaf hashes, all of them in memory (batches and field trees).
///
/// Pairing neighbours level by level and carrying an odd last node up gives the same tree as the
/// recursive definition of RFC 6962, which splits at the largest power of two below the size.
pub fn root_of(leaves: &[Hash]) -> Hash {
    let mut level = leaves.to_vec();
    while level.len() > 1 {
        level = parents(&level);
    }
    level.first().copied().unwrap_or_else(empty_root)
}

/// Inclusion path of leaf `index` in the tree over these leaf hashes, the leaf's sibling first;
/// `None` when there is no such leaf. Checked with [`proof::verify_inclusion`].
pub fn inclusion_path(leaves: &[Hash], index: usize) -> Option<Vec<Hash>> {
    leaves.get(index)?;
    let mut path = Vec::new();
    let mut level = leaves.to_vec();
    let mut at = index;
    while level.len() > 1 {
        // the last node of an odd level has no sibling there and is carried up as it is
        path.extend(level.get(at ^ 1));
        level = parents(&level);
        at /= 2;
    }
    Some(path)
}

/// The level above: each pair hashed, an odd last node carried up unchanged.
fn parents(level: &[Hash]) -> Vec<Hash> {
    let (pairs, odd) = level.as_chunks::<2>();
    pairs.iter().map(|[left, right]| node_hash(left, right)).chain(odd.iter().copied()).collect()
}

#[cfg(test)]
mod tests;

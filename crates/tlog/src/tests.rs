//! Known answers of RFC 6962's reference tree, the in-memory tree, and what the other tests share.

use std::collections::BTreeMap;
use std::convert::Infallible;

use crate::tile::TileId;
use crate::{Hash, empty_root, inclusion_path, integrate, leaf_hash, node_hash, proof, root_of};

/// Entries of the RFC 6962 reference tree.
pub(crate) const REFERENCE_ENTRIES: [&str; 8] =
    ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];

/// Its roots for 0 to 8 entries.
pub(crate) const REFERENCE_ROOTS: [&str; 9] = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

const A: &str = "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0";
const B: &str = "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7";

pub(crate) fn unhex(digits: &str) -> Vec<u8> {
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

pub(crate) fn hash(digits: &str) -> Hash {
    unhex(digits).try_into().unwrap()
}

pub(crate) fn reference_leaves() -> Vec<Hash> {
    REFERENCE_ENTRIES.iter().map(|entry| leaf_hash(&unhex(entry))).collect()
}

/// Leaf hashes of the entries "0", "1", "2", …
pub(crate) fn decimal_leaves(count: u64) -> Vec<Hash> {
    (0..count).map(|i| leaf_hash(i.to_string().as_bytes())).collect()
}

/// RFC 6962 §2.1, word for word.
pub(crate) fn naive_root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => empty_root(),
        [leaf] => *leaf,
        _ => {
            let split = leaves.len().next_power_of_two() / 2;
            node_hash(&naive_root(&leaves[..split]), &naive_root(&leaves[split..]))
        }
    }
}

/// RFC 6962 §2.1.1, word for word.
fn naive_path(leaves: &[Hash], index: usize) -> Vec<Hash> {
    if leaves.len() == 1 {
        return Vec::new();
    }
    let split = leaves.len().next_power_of_two() / 2;
    let (left, right) = leaves.split_at(split);
    let (mut path, sibling) = if index < split {
        (naive_path(left, index), naive_root(right))
    } else {
        (naive_path(right, index - split), naive_root(left))
    };
    path.push(sibling);
    path
}

/// The files of a log, as its writer leaves them: every tile that any published size needed.
#[derive(Default)]
pub(crate) struct Files {
    pub(crate) size: u64,
    pub(crate) tiles: BTreeMap<String, Vec<u8>>,
}

impl Files {
    pub(crate) fn of(leaves: &[Hash]) -> Self {
        let mut files = Self::default();
        files.append(leaves);
        files
    }

    pub(crate) fn append(&mut self, leaves: &[Hash]) -> Vec<TileId> {
        let written = integrate::integrate(self.size, leaves, &mut |tile| self.read(tile)).unwrap();
        self.size += u64::try_from(leaves.len()).unwrap();
        let ids = written.iter().map(|(tile, _)| *tile).collect();
        self.tiles.extend(written.into_iter().map(|(tile, bytes)| (tile.path(), bytes)));
        ids
    }

    /// Panics where a tile is asked for that the writer did not write: that is a failed test.
    #[expect(clippy::unnecessary_wraps, reason = "the shape that the generators call")]
    pub(crate) fn read(&self, tile: TileId) -> Result<Vec<u8>, Infallible> {
        Ok(self.tiles.get(&tile.path()).unwrap_or_else(|| panic!("no {tile}")).clone())
    }
}

#[test]
fn reference_tree() {
    let leaves = reference_leaves();
    for (size, root) in REFERENCE_ROOTS.iter().enumerate() {
        assert_eq!(root_of(&leaves[..size]), hash(root), "size {size}");
    }
    assert_eq!(empty_root(), hash(REFERENCE_ROOTS[0]));
}

#[test]
fn reference_inclusion_5_of_8() {
    let leaves = reference_leaves();
    let path = inclusion_path(&leaves, 5).unwrap();
    let first = hash("bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b");
    assert_eq!(path, [first, hash(A), hash(B)]);
    proof::verify_inclusion(5, 8, &leaves[5], &path, &hash(REFERENCE_ROOTS[8])).unwrap();
    let files = Files::of(&leaves);
    assert_eq!(proof::inclusion_proof(5, 8, &mut |tile| files.read(tile)).unwrap(), path);
}

#[test]
fn reference_consistency_6_to_8() {
    let files = Files::of(&reference_leaves());
    let path = proof::consistency_proof(6, 8, &mut |tile| files.read(tile)).unwrap();
    let first = hash("0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a");
    assert_eq!(path, [first, hash(A), hash(B)]);
    let (old, new) = (hash(REFERENCE_ROOTS[6]), hash(REFERENCE_ROOTS[8]));
    proof::verify_consistency(6, &old, 8, &new, &path).unwrap();
}

#[test]
fn in_memory_tree_is_the_recursive_definition() {
    for size in 0..=130 {
        let leaves = decimal_leaves(size);
        assert_eq!(root_of(&leaves), naive_root(&leaves), "size {size}");
        for index in 0..leaves.len() {
            assert_eq!(inclusion_path(&leaves, index), Some(naive_path(&leaves, index)), "{index} of {size}");
        }
        assert_eq!(inclusion_path(&leaves, leaves.len()), None);
        assert_eq!(inclusion_path(&leaves, usize::MAX), None);
    }
}

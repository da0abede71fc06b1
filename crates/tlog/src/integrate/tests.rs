//! Tiles that a growing tree writes: known answers, and independence of batch boundaries.

use proptest::prelude::*;
use sha2::{Digest, Sha256};

use super::integrate;
use crate::limits::MAX_TREE_SIZE;
use crate::proof::GenerateError;
use crate::tests::{Files, decimal_leaves, hash, naive_root};
use crate::tile::{TileError, TileId, tiles_between};
use crate::{Hash, proof};

fn digest(bytes: &[u8]) -> Hash {
    Sha256::digest(bytes).into()
}

#[test]
fn known_tiles_of_70000_decimal_entries() {
    let files = Files::of(&decimal_leaves(70_000));
    let known = [
        ("tile/0/000", "b9704a8bfbee2c61185ceb38904a49f3f703c81e194b5b2ccdc254c2bdaaa62b"),
        ("tile/1/001.p/17", "adfaca2731630fe7944a4b98a0f98ef3e98685eafda09e6f81070218fb759ce4"),
    ];
    for (path, sha256) in known {
        assert_eq!(digest(&files.tiles[path]), hash(sha256), "{path}");
    }
    assert_eq!(files.tiles.len(), 273 + 1 + 1 + 1 + 1);
    let root = proof::root(70_000, &mut |tile| files.read(tile)).unwrap();
    assert_eq!(root, hash("1a4cdfcb66374a0c0dcbef49acbd4976d13ee864fb3cb241fc943cad04f02f7e"));
}

#[test]
fn one_entry_at_a_time_across_the_first_level_2_tile() {
    let leaves = decimal_leaves(65_540);
    let mut files = Files::of(&leaves[..65_530]);
    for leaf in &leaves[65_530..] {
        let (old, new) = (files.size, files.size + 1);
        assert_eq!(files.append(&[*leaf]), tiles_between(old, new));
        let root = proof::root(new, &mut |tile| files.read(tile)).unwrap();
        assert_eq!(root, naive_root(&leaves[..usize::try_from(new).unwrap()]), "size {new}");
    }
}

#[test]
fn nothing_appended_writes_nothing() {
    let files = Files::of(&decimal_leaves(300));
    assert_eq!(integrate(300, &[], &mut |tile| files.read(tile)), Ok(vec![]));
}

#[test]
fn a_tree_beyond_the_largest_size_is_refused() {
    let mut unreadable = |_| Err::<Vec<u8>, _>("asked");
    assert_eq!(integrate(MAX_TREE_SIZE, &[[0; 32]], &mut unreadable), Err(GenerateError::TreeSize));
    assert_eq!(integrate(u64::MAX, &[[0; 32]], &mut unreadable), Err(GenerateError::TreeSize));
    let at_limit = integrate(MAX_TREE_SIZE - 1, &[[0; 32]], &mut unreadable);
    assert!(matches!(at_limit, Err(GenerateError::Read { source: "asked", .. })), "{at_limit:?}");
}

#[test]
fn a_damaged_partial_tile_stops_the_writer() {
    let damaged = integrate(3, &[[0; 32]], &mut |_| Ok::<_, ()>(vec![0; 95]));
    let tile = TileId { level: 0, index: 0, width: 3 };
    let reason = TileError::TileLength { expected: 96, found: 95 };
    assert_eq!(damaged, Err(GenerateError::Tile { tile, reason }));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn bytes_do_not_depend_on_batch_boundaries(batches in prop::collection::vec(0_usize..400, 1..8)) {
        let total: usize = batches.iter().sum();
        let leaves = decimal_leaves(u64::try_from(total).unwrap());
        let at_once = Files::of(&leaves);
        let mut in_batches = Files::default();
        let mut rest = leaves.as_slice();
        for batch in batches {
            let (now, later) = rest.split_at(batch);
            let old = in_batches.size;
            let written = in_batches.append(now);
            prop_assert_eq!(written, tiles_between(old, in_batches.size));
            rest = later;
        }
        for (path, bytes) in &at_once.tiles {
            prop_assert_eq!(in_batches.tiles.get(path), Some(bytes), "{}", path);
        }
        let root = proof::root(in_batches.size, &mut |tile| in_batches.read(tile)).unwrap();
        prop_assert_eq!(root, naive_root(&leaves));
    }
}

//! Every valid proof of small trees verifies, and nothing close to it does.

use super::*;
use crate::tests::{Files, decimal_leaves, naive_root};
use crate::{inclusion_path, leaf_hash};

/// Trees up to this size are checked for every valid subtree.
const EXHAUSTIVE: u64 = 69;

fn at(position: u64) -> usize {
    usize::try_from(position).unwrap()
}

/// Whether `[start, end)` is a valid subtree, by the words of the definition.
fn is_valid(start: u64, end: u64) -> bool {
    let mut power = 1;
    while start < end && power < end - start {
        power *= 2;
    }
    start < end && start.is_multiple_of(power)
}

#[test]
fn every_subtree_proof_verifies_and_altered_ones_do_not() {
    let leaves = decimal_leaves(EXHAUSTIVE);
    let mut files = Files::default();
    let mut checked = 0;
    for size in 1..=EXHAUSTIVE {
        files.append(&[leaves[at(size - 1)]]);
        let root = naive_root(&leaves[..at(size)]);
        for start in 0..size {
            for end in (start + 1..=size).filter(|end| is_valid(start, *end)) {
                let sub_root = naive_root(&leaves[at(start)..at(end)]);
                let read = &mut |tile: TileId| files.read(tile);
                assert_eq!(subtree_root(start, end, size, read), Ok(sub_root));
                let path = subtree_proof(start, end, size, read).unwrap();
                let verify = |path: &[Hash]| verify_subtree(start, end, size, &sub_root, path, &root);
                assert_eq!(verify(&path), Ok(()), "[{start}, {end}) of {size}");
                assert_rejects_altered(&path, &verify);
                checked += 1;
            }
        }
    }
    assert!(checked > 8_000, "only {checked} subtrees");
}

fn assert_rejects_altered(path: &[Hash], verify: &impl Fn(&[Hash]) -> Result<(), ProofError>) {
    for position in 0..path.len() {
        let mut altered = path.to_vec();
        altered[position][position % 32] ^= 1;
        assert!(verify(&altered).is_err(), "altered at {position}");
        let mut shortened = path.to_vec();
        shortened.remove(position);
        assert!(verify(&shortened).is_err(), "without {position}");
    }
    for position in 0..=path.len() {
        let mut lengthened = path.to_vec();
        lengthened.insert(position, path.first().copied().unwrap_or([7; 32]));
        assert!(verify(&lengthened).is_err(), "one more at {position}");
    }
}

#[test]
fn a_proof_holds_only_for_its_index_size_and_hashes() {
    let leaves = decimal_leaves(40);
    let files = Files::of(&leaves);
    let roots: Vec<Hash> = (0..=40).map(|size| naive_root(&leaves[..size])).collect();
    for index in 0..40 {
        let path = inclusion_proof(index, 40, &mut |tile| files.read(tile)).unwrap();
        assert_eq!(Some(&path), inclusion_path(&leaves, at(index)).as_ref());
        for other_index in 0..=40 {
            let verdict = verify_inclusion(other_index, 40, &leaves[at(index)], &path, &roots[40]);
            assert_eq!(verdict.is_ok(), other_index == index, "{index} as {other_index}");
        }
        for (size, root) in (0..).zip(&roots) {
            let verdict = verify_inclusion(index, size, &leaves[at(index)], &path, root);
            assert_eq!(verdict.is_ok(), size == 40, "{index} of 40 as of {size}");
        }
        let other_leaf = verify_inclusion(index, 40, &leaf_hash(b"other"), &path, &roots[40]);
        assert!(other_leaf.is_err());
        let other_root = verify_inclusion(index, 40, &leaves[at(index)], &path, &[0; 32]);
        assert_eq!(other_root, Err(ProofError::Root));
    }
}

#[test]
fn consistency_holds_only_for_its_sizes_and_roots() {
    let leaves = decimal_leaves(40);
    let files = Files::of(&leaves);
    let roots: Vec<Hash> = (0..=40).map(|size| naive_root(&leaves[..size])).collect();
    for old in 1..=40 {
        let path = consistency_proof(old, 40, &mut |tile| files.read(tile)).unwrap();
        for claimed in 0..=41 {
            let old_root = roots.get(at(claimed)).unwrap_or(&roots[0]);
            let verdict = verify_consistency(claimed, old_root, 40, &roots[40], &path);
            // from nothing, anything follows, with an empty proof
            let expected = claimed == old || (claimed == 0 && path.is_empty());
            assert_eq!(verdict.is_ok(), expected, "{old} to 40 as {claimed} to 40");
        }
        let old_root = &roots[at(old)];
        assert!(verify_consistency(old, &[0; 32], 40, &roots[40], &path).is_err());
        assert!(verify_consistency(old, old_root, 40, &[0; 32], &path).is_err());
        assert!(verify_consistency(old, old_root, old - 1, &roots[at(old - 1)], &path).is_err());
    }
}

#[test]
fn consistency_from_nothing_and_with_itself() {
    let (empty, full) = (empty_root(), [9; 32]);
    assert_eq!(verify_consistency(0, &empty, 0, &empty, &[]), Ok(()));
    assert_eq!(verify_consistency(0, &empty, 7, &full, &[]), Ok(()));
    assert_eq!(verify_consistency(0, &empty, 7, &full, &[full]), Err(ProofError::TooLong));
    assert_eq!(verify_consistency(0, &full, 7, &full, &[]), Err(ProofError::Subtree));
    assert_eq!(verify_consistency(0, &empty, 0, &full, &[]), Err(ProofError::Root));
    assert_eq!(verify_consistency(7, &full, 7, &full, &[]), Ok(()));
    assert_eq!(verify_consistency(7, &full, 7, &empty, &[]), Err(ProofError::Root));
    assert_eq!(verify_consistency(7, &full, 7, &full, &[full]), Err(ProofError::TooLong));
    let smaller = ProofError::Range { start: 0, end: 7, size: 6 };
    assert_eq!(verify_consistency(7, &full, 6, &full, &[]), Err(smaller));
    let read = &mut |_| Err::<Vec<u8>, _>("not to be read");
    assert_eq!(consistency_proof(0, 7, read), Ok(vec![]));
    assert_eq!(consistency_proof(7, 7, read), Ok(vec![]));
    assert_eq!(consistency_proof(7, 6, read), Err(GenerateError::Range(smaller)));
}

#[test]
fn ranges_that_are_no_subtree_are_refused() {
    let any = [0; 32];
    let read = &mut |_| Err::<Vec<u8>, _>("not to be read");
    let ranges = [(0, 0, 0), (0, 0, 5), (3, 3, 5), (4, 3, 5), (1, 3, 5), (2, 5, 8), (0, 6, 5), (5, 6, 5)];
    for (start, end, size) in ranges {
        let refused = ProofError::Range { start, end, size };
        assert_eq!(verify_subtree(start, end, size, &any, &[], &any), Err(refused));
        assert_eq!(subtree_proof(start, end, size, read), Err(GenerateError::Range(refused)));
        assert_eq!(subtree_root(start, end, size, read), Err(GenerateError::Range(refused)));
    }
}

#[test]
fn largest_tree() {
    let any = [0; 32];
    let verify = |size, hashes| verify_inclusion(0, size, &any, &vec![any; hashes], &any);
    assert_eq!(verify(MAX_TREE_SIZE, 63), Err(ProofError::Root));
    assert_eq!(verify(MAX_TREE_SIZE, 62), Err(ProofError::TooShort));
    assert_eq!(verify(MAX_TREE_SIZE, 64), Err(ProofError::TooLong));
    let one_more = MAX_TREE_SIZE + 1;
    assert_eq!(verify(one_more, 63), Err(ProofError::Range { start: 0, end: 1, size: one_more }));
    let index = verify_inclusion(u64::MAX, u64::MAX, &any, &[], &any);
    assert_eq!(index, Err(ProofError::Range { start: u64::MAX, end: u64::MAX, size: u64::MAX }));
    let read = &mut |_| Err::<Vec<u8>, _>("read");
    assert!(matches!(root(MAX_TREE_SIZE, read), Err(GenerateError::Read { .. })));
    assert_eq!(root(one_more, read), Err(GenerateError::TreeSize));
    assert!(verify_consistency(0, &empty_root(), MAX_TREE_SIZE, &any, &[]).is_ok());
    assert!(verify_consistency(0, &empty_root(), one_more, &any, &[]).is_err());
    assert!(consistency_proof(0, one_more, read).is_err());
}

#[test]
fn head_and_roots_from_tiles() {
    let leaves = decimal_leaves(66_000);
    let files = Files::of(&leaves);
    let mut range = CompactRange::new();
    for leaf in &leaves {
        range.push(*leaf);
    }
    let read = &mut |tile| files.read(tile);
    assert_eq!(compact_range(66_000, read), Ok(range.clone()));
    assert_eq!(root(66_000, read), Ok(range.root()));
    assert_eq!(root(0, read), Ok(empty_root()));
    assert_eq!(subtree_root(0, 65_536, 66_000, read), Ok(naive_root(&leaves[..65_536])));
    assert_eq!(subtree_root(65_536, 66_000, 66_000, read), Ok(naive_root(&leaves[65_536..])));
    for index in [0, 255, 256, 65_535, 65_536, 65_791, 65_999] {
        let path = inclusion_proof(index, 66_000, read).unwrap();
        verify_inclusion(index, 66_000, &leaves[at(index)], &path, &range.root()).unwrap();
    }
}

#[test]
fn each_tile_is_read_once_and_a_full_one_serves_for_a_partial() {
    let leaves = decimal_leaves(600);
    let mut files = Files::of(&leaves[..500]);
    files.append(&leaves[500..]);
    // a partial tile may be deleted once the full one is there
    files.tiles.remove("tile/0/001.p/244").unwrap();
    let mut asked = Vec::new();
    let path = inclusion_proof(300, 500, &mut |tile: TileId| {
        asked.push(tile);
        files.read(if tile.level == 0 { tile.full() } else { tile })
    });
    assert_eq!(path.ok(), inclusion_path(&leaves[..500], 300));
    let expected = [TileId { level: 0, index: 1, width: 244 }, TileId { level: 1, index: 0, width: 1 }];
    asked.sort();
    assert_eq!(asked, expected);
}

#[test]
fn unreadable_and_damaged_tiles_are_named() {
    let tile = TileId { level: 0, index: 0, width: 5 };
    let unreadable = root(5, &mut |_| Err(std::fmt::Error)).unwrap_err();
    assert_eq!(unreadable, GenerateError::Read { tile, source: std::fmt::Error });
    assert_eq!(unreadable.to_string(), "cannot read `tile/0/000.p/5`");
    for length in [0, 159, 161, 192, 8191, 8193] {
        let damaged = root(5, &mut |_| Ok::<_, ()>(vec![0; length]));
        let reason = TileError::TileLength { expected: 160, found: length };
        assert_eq!(damaged, Err(GenerateError::Tile { tile, reason }));
    }
}

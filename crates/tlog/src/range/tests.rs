//! The compact range against the recursive definition.

use std::collections::HashMap;

use super::CompactRange;
use crate::limits::MAX_TREE_SIZE;
use crate::tests::{decimal_leaves, hash, naive_root};
use crate::{Hash, node_hash};

/// The recursive definition over `[start, end)`, which must not be empty, remembering the roots of
/// the left halves: those are the same in every larger tree.
fn remembered_root(
    leaves: &[Hash],
    start: usize,
    end: usize,
    seen: &mut HashMap<(usize, usize), Hash>,
) -> Hash {
    if end - start == 1 {
        return leaves[start];
    }
    if let Some(root) = seen.get(&(start, end)) {
        return *root;
    }
    let middle = start + (end - start).next_power_of_two() / 2;
    let left = remembered_root(leaves, start, middle, seen);
    seen.insert((start, middle), left);
    node_hash(&left, &remembered_root(leaves, middle, end, seen))
}

#[test]
fn equals_the_naive_root_for_every_size_to_4096() {
    let leaves = decimal_leaves(1 << 12);
    let mut range = CompactRange::new();
    let mut seen = HashMap::new();
    assert_eq!(range.root(), naive_root(&[]));
    for (size, leaf) in (1..).zip(&leaves) {
        range.push(*leaf);
        assert_eq!(range.root(), remembered_root(&leaves, 0, size, &mut seen), "size {size}");
        assert_eq!(range.size(), u64::try_from(size).unwrap());
        assert_eq!(CompactRange::from_parts(range.size(), range.hashes().to_vec()).as_ref(), Some(&range));
    }
}

#[test]
fn equals_the_naive_root_for_sampled_sizes_to_2_17() {
    let samples = [4097, 8191, 12_345, 32_768, 65_535, 65_536, 65_537, 99_999, 131_071, 131_072];
    let leaves = decimal_leaves(1 << 17);
    let mut range = CompactRange::new();
    let mut compared = 0;
    for (size, leaf) in (1..).zip(&leaves) {
        range.push(*leaf);
        if samples.contains(&size) {
            assert_eq!(range.root(), naive_root(&leaves[..size]), "size {size}");
            compared += 1;
        }
    }
    assert_eq!(compared, samples.len());
}

#[test]
fn known_roots_of_decimal_entries() {
    let known = [
        (256, "828515d033c19d8c901f37eccb8aed919667703486f8d2fff1cf7040321c5db1"),
        (257, "1eda049a4351d86f76252bd7ec0b7746ad75b7fa0316ad5f541dbda458a312c4"),
        (70_000, "1a4cdfcb66374a0c0dcbef49acbd4976d13ee864fb3cb241fc943cad04f02f7e"),
    ];
    for (size, root) in known {
        let mut range = CompactRange::new();
        for leaf in decimal_leaves(size) {
            range.push(leaf);
        }
        assert_eq!(range.root(), hash(root), "size {size}");
    }
}

#[test]
fn parts_that_do_not_fit_are_refused() {
    assert_eq!(CompactRange::from_parts(0, vec![]), Some(CompactRange::new()));
    assert_eq!(CompactRange::from_parts(0, vec![[0; 32]]), None);
    assert_eq!(CompactRange::from_parts(5, vec![[0; 32]]), None);
    assert_eq!(CompactRange::from_parts(5, vec![[0; 32]; 3]), None);
    assert!(CompactRange::from_parts(MAX_TREE_SIZE, vec![[0; 32]; 63]).is_some());
    assert_eq!(CompactRange::from_parts(MAX_TREE_SIZE + 1, vec![[0; 32]]), None);
}

#[test]
fn pushing_at_the_largest_size_merges_everything() {
    let mut range = CompactRange::from_parts(MAX_TREE_SIZE, vec![[0; 32]; 63]).unwrap();
    range.push([0; 32]);
    assert_eq!((range.size(), range.hashes().len()), (MAX_TREE_SIZE + 1, 1));
}

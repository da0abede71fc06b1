//! Bipartite matching: whether each of some can have one of others to itself.

/// Whether there is an assignment of each of `these` to an element of `those` of its own that `fits` it.
///
/// Augmenting paths (Kuhn), at most |these| × |those| steps for each of `these`: greedy choice would dead-end, and
/// trying all assignments would take time beyond any bound. `fits` is asked once for each pair.
pub(super) fn each_has_its_own<A, B>(these: &[A], those: &[B], fits: impl Fn(&A, &B) -> bool) -> bool {
    if these.len() > those.len() {
        return false;
    }
    let edges: Vec<Vec<usize>> = these
        .iter()
        .map(|this| those.iter().enumerate().filter(|(_, that)| fits(this, that)).map(|(at, _)| at).collect())
        .collect();
    let mut taken_by: Vec<Option<usize>> = vec![None; those.len()];
    (0..these.len()).all(|this| assign(this, &edges, &mut taken_by, &mut vec![false; those.len()]))
}

/// Gives `this` one of those, moving earlier ones elsewhere where they can; `tried` are those asked on this path.
fn assign(this: usize, edges: &[Vec<usize>], taken_by: &mut [Option<usize>], tried: &mut [bool]) -> bool {
    for &that in edges.get(this).map(Vec::as_slice).unwrap_or_default() {
        let Some(seen) = tried.get_mut(that) else { continue };
        if core::mem::replace(seen, true) {
            continue;
        }
        let holder = taken_by.get(that).copied().flatten();
        if holder.is_none_or(|holder| assign(holder, edges, taken_by, tried)) {
            if let Some(slot) = taken_by.get_mut(that) {
                *slot = Some(this);
            }
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Every assignment, tried.
    fn brute(edges: &[Vec<bool>], taken: &mut Vec<usize>) -> bool {
        let Some(row) = edges.get(taken.len()) else { return true };
        (0..row.len()).any(|at| {
            if !row[at] || taken.contains(&at) {
                return false;
            }
            taken.push(at);
            let found = brute(edges, taken);
            taken.pop();
            found
        })
    }

    #[test]
    fn a_greedy_choice_is_taken_back() {
        let fits = |this: &&str, that: &char| this.contains(*that);
        assert!(each_has_its_own(&["ab", "a"], &['a', 'b'], fits));
        assert!(each_has_its_own(&["abc", "ab", "a"], &['a', 'b', 'c'], fits));
        assert!(!each_has_its_own(&["ab", "a", "b"], &['a', 'b', 'c'], fits));
        assert!(!each_has_its_own(&["a", "a"], &['a'], fits));
        assert!(each_has_its_own::<&str, char>(&[], &['a'], fits));
    }

    proptest! {
        #[test]
        fn it_finds_an_assignment_exactly_where_there_is_one(
            edges in (0_usize..6, 0_usize..6).prop_flat_map(|(rows, columns)| {
                proptest::collection::vec(proptest::collection::vec(any::<bool>(), columns), rows)
            }),
        ) {
            let columns: Vec<usize> = (0..edges.first().map_or(0, Vec::len)).collect();
            prop_assert_eq!(
                each_has_its_own(&edges, &columns, |row, at| row[*at]),
                brute(&edges, &mut Vec::new())
            );
        }
    }
}

//! Roots that this log issued: only a chain that hangs on one of them may be presented.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::limits::{ENDED_DELEGATION_KEPT_S, ROOTS};

/// Where the log first recorded a root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issued {
    /// Index of that entry.
    pub index: u64,
    /// Its time, ms.
    pub at_ms: u64,
    /// The first second at which the root no longer holds.
    pub exp: u64,
}

/// Roots by token digest, until some time after their end. Never more than [`ROOTS`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Roots {
    by_digest: BTreeMap<String, Issued>,
    by_end: BTreeSet<(u64, String)>,
}

impl Roots {
    /// The root with this token digest.
    pub fn get(&self, digest: &str) -> Option<&Issued> {
        self.by_digest.get(digest)
    }

    /// Remembers a root the first time that it is recorded; forgets those that ended a while before `now_s`.
    pub fn note(&mut self, digest: &str, issued: Issued, now_s: u64) {
        if !self.by_digest.contains_key(digest) {
            self.by_end.insert((issued.exp, digest.to_owned()));
            self.by_digest.insert(digest.to_owned(), issued);
        }
        let oldest = now_s.saturating_sub(ENDED_DELEGATION_KEPT_S);
        while self.by_end.first().is_some_and(|(exp, _)| *exp < oldest) || self.by_end.len() > ROOTS {
            let first = self.by_end.pop_first();
            first.and_then(|(_, digest)| self.by_digest.remove(&digest));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_record_counts_and_what_ended_is_forgotten() {
        let mut roots = Roots::default();
        let issued = |index, exp| Issued { index, at_ms: 1_000, exp };
        roots.note("a", issued(1, 100), 0);
        roots.note("a", issued(7, 100), 0);
        assert_eq!(roots.get("a").map(|issued| issued.index), Some(1));
        roots.note("b", issued(2, 10_000), 100 + ENDED_DELEGATION_KEPT_S);
        assert!(roots.get("a").is_some());
        roots.note("c", issued(3, 10_000), 101 + ENDED_DELEGATION_KEPT_S);
        assert!(roots.get("a").is_none() && roots.get("b").is_some());
    }

    #[test]
    fn beyond_the_limit_the_one_that_ends_first_goes() {
        let mut roots = Roots::default();
        for n in 0..=ROOTS as u64 {
            roots.note(&format!("{n}"), Issued { index: n, at_ms: 0, exp: 1_000 + n }, 0);
            assert_eq!(roots.get("0").is_some(), n < ROOTS as u64);
        }
        assert_eq!((roots.by_digest.len(), roots.by_end.len()), (ROOTS, ROOTS));
    }
}

//! The replay windows of bound keys: which counters of their proofs were used (DESIGN §7).

use std::collections::{BTreeMap, BTreeSet};

use evidence::limits::POP_WINDOW;
use serde::{Deserialize, Serialize};

use crate::limits::{COUNTED_KEYS_MAX, ENDED_DELEGATION_KEPT_S};

/// Lowest missing counter, and the used ones above it. Never holds more than [`POP_WINDOW`] numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// The lowest counter that was never used.
    pub missing: u64,
    /// Used counters above it.
    pub above: BTreeSet<u64>,
    /// The first second at which no delegation is bound to the key any more, as far as the log knows.
    pub until: u64,
}

impl Window {
    /// Whether a proof with this counter may be accepted: unseen, and not too far past the lowest missing.
    pub fn admits(&self, counter: u64) -> bool {
        counter >= self.missing && counter - self.missing <= POP_WINDOW && !self.above.contains(&counter)
    }

    /// Marks a counter as used.
    pub fn take(&mut self, counter: u64) {
        if !self.admits(counter) {
            return;
        }
        self.above.insert(counter);
        while self.above.remove(&self.missing) {
            self.missing += 1;
        }
    }

    /// One past the highest counter used: where the holder's next proof starts.
    pub fn next(&self) -> u64 {
        self.above.last().map_or(self.missing, |last| last + 1)
    }

    /// Counters skipped so far: holes when the run ends.
    pub fn holes(&self) -> Vec<u64> {
        let end = self.above.last().copied().unwrap_or(self.missing);
        (self.missing..end).filter(|counter| !self.above.contains(counter)).collect()
    }
}

/// The windows of all keys that delegations are bound to, by thumbprint.
///
/// A window outlives its key's delegations for a while: without it, proofs that are still fresh could be used again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Windows(BTreeMap<String, Window>);

impl Windows {
    /// The window of a key that some delegation is bound to.
    pub fn get(&self, thumbprint: &str) -> Option<&Window> {
        self.0.get(thumbprint)
    }

    /// Whether this key is known already, or one more can be remembered at `now_s`.
    pub fn has_room(&self, thumbprint: &str, now_s: u64) -> bool {
        self.0.len() < COUNTED_KEYS_MAX
            || self.0.contains_key(thumbprint)
            || self.0.values().any(|window| is_over(window, now_s))
    }

    /// A delegation that ends at `exp` is bound to this key.
    pub fn bind(&mut self, thumbprint: &str, exp: u64, now_s: u64) {
        if self.0.len() >= COUNTED_KEYS_MAX && !self.0.contains_key(thumbprint) {
            self.0.retain(|_, window| !is_over(window, now_s));
        }
        let window = self.0.entry(thumbprint.to_owned()).or_default();
        window.until = window.until.max(exp);
    }

    /// Whether a proof of this key with this counter may be accepted.
    pub fn admits(&self, thumbprint: &str, counter: u64) -> bool {
        self.0.get(thumbprint).is_some_and(|window| window.admits(counter))
    }

    /// Marks a counter of a key as used.
    pub fn take(&mut self, thumbprint: &str, counter: u64) {
        if let Some(window) = self.0.get_mut(thumbprint) {
            window.take(counter);
        }
    }

    /// Where the next proof of a key starts.
    pub fn next(&self, thumbprint: &str) -> u64 {
        self.0.get(thumbprint).map_or(0, Window::next)
    }
}

fn is_over(window: &Window, now_s: u64) -> bool {
    window.until.saturating_add(ENDED_DELEGATION_KEPT_S) < now_s
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_counter_is_one_past_the_highest() {
        let mut windows = Windows::default();
        assert_eq!(windows.next("k"), 0);
        windows.take("k", 0);
        assert!(!windows.admits("k", 0), "no delegation is bound to this key");
        windows.bind("k", 100, 0);
        windows.take("k", 0);
        assert_eq!(windows.next("k"), 1);
        windows.take("k", 5);
        assert_eq!((windows.next("k"), windows.get("k").unwrap().holes()), (6, vec![1, 2, 3, 4]));
    }

    #[test]
    fn windows_are_kept_until_their_keys_are_over_and_bounded() {
        let mut windows = Windows::default();
        for n in 0..COUNTED_KEYS_MAX {
            assert!(windows.has_room(&format!("{n}"), 0));
            windows.bind(&format!("{n}"), 100 + n as u64, 0);
        }
        let over = 101 + ENDED_DELEGATION_KEPT_S;
        assert!(!windows.has_room("more", over - 1) && windows.has_room("0", 0));
        assert!(windows.has_room("more", over));
        windows.bind("more", 10_000, over);
        assert!(windows.get("0").is_none() && windows.get("1").is_some());
        windows.bind("1", 50, over);
        assert_eq!(windows.get("1").unwrap().until, 101, "an earlier end takes nothing away");
    }

    #[test]
    fn a_counter_is_used_once_and_within_the_window() {
        let mut window = Window::default();
        assert!(window.admits(0) && window.admits(POP_WINDOW) && !window.admits(POP_WINDOW + 1));
        window.take(1);
        assert!(!window.admits(1));
        assert_eq!(window.holes(), [0]);
        window.take(0);
        assert_eq!(window.missing, 2);
        assert!(window.above.is_empty());
        assert!(!window.admits(0) && !window.admits(1) && window.admits(2));
        for counter in 3..=2 + POP_WINDOW {
            window.take(counter);
        }
        assert!(!window.admits(3 + POP_WINDOW), "2 is missing, so the window does not move");
        assert_eq!(window.above.len() as u64, POP_WINDOW);
        window.take(2);
        assert!(window.admits(3 + POP_WINDOW));
        assert!(window.holes().is_empty());
    }
}

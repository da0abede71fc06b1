//! The replay window of one leaf key: which counters of its proofs were used (DESIGN §7).

use std::collections::BTreeSet;

use evidence::limits::POP_WINDOW;
use serde::{Deserialize, Serialize};

/// Lowest missing counter, and the used ones above it. Never holds more than [`POP_WINDOW`] numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// The lowest counter that was never used.
    pub missing: u64,
    /// Used counters above it.
    pub above: BTreeSet<u64>,
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

    /// Counters skipped so far: holes when the run ends.
    pub fn holes(&self) -> Vec<u64> {
        let end = self.above.last().copied().unwrap_or(self.missing);
        (self.missing..end).filter(|counter| !self.above.contains(counter)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

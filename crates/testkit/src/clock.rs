//! A clock that moves when it is told to.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Milliseconds since 1970, moved by hand. Clones show the same time.
#[derive(Debug, Clone)]
pub struct HandClock(Arc<AtomicU64>);

impl HandClock {
    /// Starts at a time.
    pub fn at(ms: u64) -> Self {
        Self(Arc::new(AtomicU64::new(ms)))
    }

    /// The time it shows, ms.
    pub fn now_ms(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    /// Moves it forward and gives the new time.
    pub fn advance(&self, ms: u64) -> u64 {
        self.0.fetch_add(ms, Ordering::SeqCst) + ms
    }

    /// Sets it to any time, also an earlier one.
    pub fn set(&self, ms: u64) {
        self.0.store(ms, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_show_the_same_time() {
        let clock = HandClock::at(10);
        let other = clock.clone();
        assert_eq!(clock.advance(5), 15);
        assert_eq!(other.now_ms(), 15);
        other.set(1);
        assert_eq!(clock.now_ms(), 1);
    }
}

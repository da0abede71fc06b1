//! The one place that reads the clock.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970; 0 should the machine's clock stand before that.
pub(crate) fn now_ms() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "the binary reads the clock here and hands the time down")]
    let now = SystemTime::now();
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Whole seconds since 1970.
pub(crate) fn now_s() -> u64 {
    now_ms() / 1_000
}

/// The machine's clocks, for the log. Monotonic time counts from the start of the process and stands still while the
/// machine sleeps, so that a sleep is recorded as the moved clock that it is, and costs no run its lease.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SystemClock(Instant);

impl SystemClock {
    /// Begins to count.
    pub(crate) fn start() -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "the binary reads the clock here and hands the time down"
        )]
        let now = Instant::now();
        Self(now)
    }
}

impl recorder::Clock for SystemClock {
    fn wall_ms(&self) -> u64 {
        now_ms()
    }

    fn monotonic_ms(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

//! A stopwatch for the benches: after a warm-up every call is timed by itself, and the figures are shown as they
//! fell. Nothing is averaged, fitted or left out.

use std::fmt;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// The times of many calls, shortest first.
pub(crate) struct Times(Vec<Duration>);

impl Times {
    /// From times in any order.
    pub(crate) fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self(times)
    }

    /// The time that this share (per cent) of the calls did not exceed: nearest rank.
    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        let rank = (self.0.len() * percent).div_ceil(100);
        self.0.get(rank.saturating_sub(1)).copied().unwrap_or_default()
    }
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = |time: Duration| time.as_secs_f64() * 1e6;
        let (p50, p99) = (micros(self.percentile(50)), micros(self.percentile(99)));
        write!(f, "p50 {p50:9.1} µs   p99 {p99:9.1} µs   n {}", self.0.len())
    }
}

/// Calls `call` for `warm_up` and then `count` times; the time of each of the latter.
pub(crate) fn time<T>(warm_up: usize, count: usize, mut call: impl FnMut() -> T) -> Times {
    for _ in 0..warm_up {
        black_box(call());
    }
    let times = (0..count).map(|_| {
        let start = now();
        black_box(call());
        start.elapsed()
    });
    Times::of(times.collect())
}

/// The stopwatch's own clock.
#[expect(
    clippy::disallowed_methods,
    reason = "a bench measures time; nothing it measures reads a clock by itself"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Whether to measure: `cargo bench` says so. Anything else only wants to see that the bench runs.
pub(crate) fn is_asked_for() -> bool {
    std::env::args().any(|argument| argument == "--bench")
}

/// What this was measured on.
pub(crate) fn machine() -> String {
    let cpus = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("unknown processor", |(_, model)| model);
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("unknown");
    format!("{model}, {cores} cores, load before {load}")
}

//! Limits of what this crate accepts, beside those that it shares with others (`evidence::limits`).

/// Longest trust policy file, bytes.
pub const TRUST_MAX_BYTES: usize = 65_536;
/// Most logs in a trust policy (C2SP tlog-policy asks for at least 32).
pub const TRUST_LOGS_MAX: usize = 64;
/// Most pinned keys.
pub const TRUST_PINS_MAX: usize = 1_024;
/// Largest opened value in a bundle, bytes (format §3): no sealed body could hold a larger one.
pub const OPENED_VALUE_MAX_BYTES: usize = 1_048_576;
/// Furthest that the first entry of a root may lie from when it was issued, ms (format §10 step 10).
pub const ISSUANCE_AGE_MAX_MS: u64 = 60_000;
/// How long after its end a signed order may be written, seconds: the skew allowed, and the time in the queue.
pub(crate) const ORDER_LATE_S: u64 = 90;

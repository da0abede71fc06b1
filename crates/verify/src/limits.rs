//! Limits of what this crate accepts beyond the evidence format's own (`evidence::limits`).

/// Longest trust policy file, bytes.
pub const TRUST_MAX_BYTES: usize = 65_536;
/// Most logs in a trust policy (C2SP tlog-policy asks for at least 32).
pub const TRUST_LOGS_MAX: usize = 64;
/// Most pinned keys.
pub const TRUST_PINS_MAX: usize = 1_024;

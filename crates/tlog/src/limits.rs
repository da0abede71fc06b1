//! Limits on what this crate accepts from outside; each is tested at the boundary and one past it.

/// Largest tree size, 2^63 − 1: every size and index fits a signed 64-bit integer of other
/// implementations and databases, and the next power of two still fits `u64`.
pub const MAX_TREE_SIZE: u64 = i64::MAX as u64;

/// Hashes in a full tile, entries in a full bundle (tlog-tiles).
pub const TILE_WIDTH: u16 = 256;

/// Highest tile level that a path may name (tlog-tiles).
pub const MAX_TILE_LEVEL: u8 = 63;

/// Longest tile or bundle path, bytes. The longest one that names anything has 52.
pub const MAX_TILE_PATH_BYTES: usize = 64;

/// Longest entry, bytes: its length is a `u16` in the entry bundle (tlog-tiles).
pub const MAX_ENTRY_BYTES: usize = 65_535;

/// Longest signed note, bytes.
pub const MAX_NOTE_BYTES: usize = 1_000_000;

/// Most signature lines in a note. Verifiers must accept at least 16 (signed-note).
pub const MAX_NOTE_SIGNATURES: usize = 100;

/// Longest key name and longest checkpoint origin, bytes.
pub const MAX_KEY_NAME_BYTES: usize = 255;

/// Longest verifier key text, bytes: room for a name, an id and an ML-DSA-44 key (1,312 bytes).
pub const MAX_VERIFIER_KEY_BYTES: usize = 4_096;

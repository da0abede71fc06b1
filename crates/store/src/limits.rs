//! Limits of the store; each is tested at the boundary and one past it.

/// Length of a wrapped entry key, bytes (nonce ‖ ciphertext ‖ tag; the store does not look inside).
pub const WRAPPED_KEY_LEN: usize = 72;

/// Longest entry, bytes: its length is a `u16` in the entry bundle (C2SP tlog-tiles).
pub const MAX_ENTRY_BYTES: usize = tlog::limits::MAX_ENTRY_BYTES;

/// Longest sealed body, bytes: an artifact of 1 MiB, with room for padding and the seal.
pub const MAX_BODY_BYTES: usize = (1 << 20) + (64 << 10);

/// A batch takes no further draft once it holds this many entries.
pub const BATCH_ENTRIES: usize = 4_096;

/// A batch takes no further draft once it holds this many bytes of entries, bodies and keys.
pub const BATCH_BYTES: usize = 8 << 20;

/// Most entries that one draft may push.
pub const MAX_DRAFT_ENTRIES: usize = 4_096;

/// Most bytes of entries, bodies and keys that one draft may push.
pub const MAX_DRAFT_BYTES: usize = 8 << 20;

/// Longest journal frame, bytes: a batch that is one byte short of full and takes the largest draft,
/// with the lengths, header and hash around them.
pub const MAX_FRAME_BYTES: usize = 17 << 20;

/// Smallest segment that a configuration may ask for, bytes.
pub const MIN_SEGMENT_BYTES: u64 = 4_096;

/// Largest segment that a configuration may ask for, bytes; recovery reads a segment whole.
pub const MAX_SEGMENT_BYTES: u64 = 1 << 30;

/// One publication takes no further journal frame once it has this many bytes of them.
pub const PUBLISH_BYTES: u64 = 32 << 20;

/// Longest body bundle, bytes: 256 of the longest bodies with their lengths, and the hash.
pub(crate) const MAX_BODY_BUNDLE_BYTES: u64 = 256 * (MAX_BODY_BYTES as u64 + 4) + 32;

/// Longest entry bundle, bytes: 256 of the longest entries with their lengths.
pub(crate) const MAX_ENTRY_BUNDLE_BYTES: u64 = 256 * (MAX_ENTRY_BYTES as u64 + 2);

/// Longest tile, bytes.
pub(crate) const MAX_TILE_BYTES: u64 = 256 * 32;

/// Longest of the small files (`head`, `LOCK`, `checkpoint`), bytes.
pub(crate) const MAX_SMALL_FILE_BYTES: u64 = tlog::limits::MAX_NOTE_BYTES as u64;

/// Most tiles that are compared with what lies below them to name a damaged one: those of a million entries.
pub(crate) const CULPRIT_TILES_MAX: usize = 4_096;

//! Limits of the recorder: how long, how many, how often.

/// How often a decision is made again because the state changed under it.
pub const STALE_RETRIES_MAX: usize = 8;
/// How often of these it may be overtaken by entries at log level, before those are held up for it.
pub const OVERTAKEN_MAX: usize = 3;
/// How long a run may be without its lease, counted from serving after a restart, ms. DESIGN §6.
pub const LEASE_GRACE_MS: u64 = 30_000;
/// A wall clock that moves this much against the monotonic one is recorded before anything else. DESIGN §6.
pub const CLOCK_JUMP_MS: u64 = 5_000;
/// Refusals of one source recorded one by one before they are counted instead.
pub const REFUSAL_BURST: u32 = 32;
/// Refusals of one source recorded one by one per second after the burst.
pub const REFUSALS_PER_SECOND: u32 = 4;
/// Answered acts of one run kept for retries.
pub const RECENT_ACTS: usize = 1_024;
/// How long a delegation or mandate that has ended is remembered, seconds.
pub const ENDED_DELEGATION_KEPT_S: u64 = 3_600;
/// Parts of lists of artifacts of one run remembered, so that one that is sent again is not recorded again.
pub const PARTS_KEPT: usize = 64;
/// Late outcomes of one act.
pub const LATE_MAX: usize = 4;
/// Acts listed in a manifest by id; more are counted and digested.
pub const OPEN_ACTS_LISTED: usize = 256;
/// Ended runs kept for late outcomes.
pub const ENDED_RUNS: usize = 1_024;
/// Servers, each with one command, whose definitions are remembered; beyond it the one not seen for longest is
/// forgotten.
pub const SERVERS: usize = 1_024;
/// Names of definitions remembered of all servers together; beyond it a server is forgotten, as above.
pub const DEFINED_NAMES: usize = 16_384;
/// Names of definitions remembered of one server: what it offers beyond is recorded and not compared.
pub const DEFINED_NAMES_OF_ONE: usize = 2_048;
/// Tasks kept after their last use.
pub const TASKS: usize = 4_096;
/// Streams of one run.
pub const STREAMS_MAX: usize = 256;
/// Open acts of one run.
pub const OPEN_ACTS_MAX: usize = 4_096;
/// Life of a root delegation that only the operating system vouches for, seconds.
pub const PEER_ROOT_S: u64 = 8 * 3_600;
/// Entries after which the control state is written again.
pub const SNAPSHOT_EVERY: u64 = 8_192;
/// Verified chains kept, by the digest of their leaf.
pub const CHAIN_CACHE: usize = 4_096;
/// Bytes of the tokens of the verified chains kept.
pub const CHAIN_CACHE_BYTES: usize = 16 * 1_024 * 1_024;
/// Links of chains that one run knows at a time.
pub const LINKS_MAX: usize = 512;
/// Child runs that one run announces.
pub const CHILDREN_MAX: usize = 1_024;
/// Roots remembered as issued here; beyond it the one that ends first is forgotten, and cannot be presented again.
pub const ROOTS: usize = 16_384;
/// Keys bound to delegations whose counters are remembered at a time; no further key is bound until one is over.
pub const COUNTED_KEYS_MAX: usize = 65_536;
/// Mandates in force at a time.
pub const MANDATES_MAX: usize = 1_024;
/// Revocations that a log can have.
pub const REVOCATIONS_MAX: usize = 65_536;
/// Halts in force at a time.
pub const HALTS_MAX: usize = 1_024;
/// Signed revocations and halts remembered as carried out; beyond it the one that ends first is forgotten.
pub const CARRIED_OUT: usize = 16_384;
/// Longest reason of a revocation, halt or resume, bytes: that of a claim (format §6).
pub const WHY_MAX_BYTES: usize = 4_096;
/// Longest text of an outcome's detail, a gap's reason and the like, bytes.
pub const TEXT_MAX_BYTES: usize = 2_048;
/// Longest correlators (what client and agent say of themselves) and enforcement points, bytes; longer ones are
/// kept as their digest.
pub const CORRELATORS_MAX_BYTES: usize = 8_192;

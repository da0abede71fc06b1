//! Limits of the index and of its answers; each is tested at the boundary and one past it.

/// Entries folded in one transaction while catching up or rebuilding. Reference: storage §3.1.
pub const BATCH_ENTRIES: u64 = 20_000;

/// Entries read from the store at a time while folding.
pub(crate) const READ_ENTRIES: usize = 256;

/// Rows of a bounded answer when the caller names no limit.
pub const ROWS_DEFAULT: u64 = 100;

/// Most rows of a bounded answer, whatever the caller asks for.
pub const ROWS_MAX: u64 = 1_000;

/// Longest arguments that a row of a list shows, bytes of JSON; longer ones stay in the answer about the action.
pub const ROW_ARGS_MAX_BYTES: usize = 200;

/// Most gaps and refusals beside the actions that a list of actions names.
pub const REMARKS_MAX: u64 = 100;

/// Most identities that one name may stand for in a query; more are left out, and the answer says so.
pub const NAMES_MAX: usize = 16;

/// Longest text that is interned in the index (the longest identifier of a principal is 2,048 bytes, and
/// its issuer and its own name are interned as one text). Longer ones are not indexed.
pub const INTERNED_MAX_BYTES: usize = 8_192;

/// Interned texts kept in memory; the map is emptied when it is full.
pub(crate) const INTERNED_CACHED: usize = 65_536;

/// Read-only connections kept open between queries.
pub(crate) const IDLE_CONNECTIONS: usize = 8;

/// Other decisions, and later entries, about one act that the answer about it names.
pub const LATE_FACTS_MAX: u64 = 100;

/// Ranges of counters that the index keeps for one holder in one run; with more holes than that, the rest is not told
/// apart.
pub const COUNTER_RANGES_MAX: usize = 256;

/// Most orders about one thing (a token, a key, a task …) that an answer looks at.
pub const ORDERS_MAX: u64 = 1_000;

/// How long before or after the time asked for a delegation may have ended or begun to be named as one that could not
/// be used then: the longest life of a root, seconds.
pub const ALLOWED_AROUND_S: u64 = 86_400;

/// Most delegations in one tree of an answer, over all its levels.
pub const TREE_NODES_MAX: u64 = 1_000;

/// Most runs that an answer names for one delegation or key.
pub const RUNS_NAMED_MAX: u64 = 64;

/// Most chains that are looked at to find the acts a revocation puts in doubt.
pub const DOUBT_CHAINS_MAX: u64 = 1_024;

/// Most delegations of one identity that are checked to count those that are live.
pub const LIVE_CHECKED_MAX: u64 = 256;

/// Most delegations of one run that are checked to find the orders about it.
pub const RUN_CHAINS_MAX: u64 = 64;

/// Entries kept open while one answer is made; all are let go when there are more.
pub(crate) const OPENED_CACHED: usize = 256;

/// Most tools of a server that `<server>#*` stands for in a question.
pub const TOOLS_MAX: u64 = 256;

/// Most actions that one walk of the index looks at for those that meet further conditions; the answer says how far it
/// got.
pub const SCANNED_MAX: u64 = 100_000;

/// Changes of definitions and of what servers are that the answer about one act names: the latest.
pub const CHANGES_NAMED_MAX: u64 = 16;

/// Attempts of one act, and answers of people within it, that a row of a list names.
pub const ATTEMPTS_MAX: u64 = 16;

/// Artifacts of one act that a row of a list shows; it counts all.
pub const ARTIFACTS_SHOWN_MAX: usize = 3;

/// Most parts of one list of artifacts that an answer puts together: 65,536 artifacts.
pub const PARTS_MAX: u64 = 256;

/// Withdrawals of one artifact, and acts that had or made it, that an answer names beside it.
pub const BESIDE_MAX: u64 = 4;

/// How many places before an act where a URI stands are looked at for the version that its task had last.
pub const VERSIONS_MAX: u64 = 64;

/// Runs of one task whose holders the list of tasks names.
pub const TASK_RUNS_MAX: u64 = 16;

/// Acts without outcome that the list of gaps names for one ended run; it counts all.
pub const OPEN_NAMED_MAX: u64 = 64;

/// Changes of one server in the configuration of a client that are looked at to say in which direction the last went.
pub const REWIRED_MAX: u64 = 64;

/// Identities whose names begin alike that one question may be about (`agent/*`): those that acted last.
pub const ALIKE_MAX: u64 = 256;

/// Servers that one answer about definitions tells of.
pub const SERVERS_MAX: u64 = 64;

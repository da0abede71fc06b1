//! Every limit of this crate, in one place. Sizes are bytes, times carry their unit.

use std::time::Duration;

/// Longest MCP frame without its newline, in both directions. A longer one is refused or dropped, and recorded.
pub const FRAME_MAX: usize = 16 * 1_024 * 1_024;
/// Largest body of a request to the server, and of its answer (`docs/api.md`).
pub const BODY_MAX: usize = 16 * 1_024 * 1_024;
/// Largest line of a streamed answer of the server.
pub const LINE_MAX: usize = 1_024 * 1_024;
/// Longest JSON-RPC id, as written in the frame.
pub const ID_MAX: usize = 1_024;
/// Longest method name of a frame.
pub const METHOD_MAX: usize = 256;
/// Longest tool name (MCP: 1 to 128 of `[A-Za-z0-9_.-]`).
pub const TOOL_NAME_MAX: usize = 128;
/// Longest alias of a wrapped server.
pub const ALIAS_MAX: usize = 64;
/// Largest `_meta` or `clientInfo` that is recorded; of a larger one only its size.
pub const CORRELATOR_MAX: usize = 8 * 1_024;
/// Largest result whose text is sent to the server; of a larger one only digest and size.
pub const RESULT_TEXT_MAX: usize = 1_024 * 1_024;
/// Most requests of a client that may be open at one time; one more is refused.
pub const OPEN_MAX: usize = 1_024;
/// Most requests of a wrapped server (pings) that may await the client's answer.
pub const SERVER_OPEN_MAX: usize = 64;
/// Most decisions asked for at one time. Below the window of 64 within which the counters of proofs may arrive
/// out of order, so that concurrency alone never has one refused.
pub const DECIDING_MAX: usize = 32;
/// Most observations on their way to the server at one time; more are only counted.
pub const OBSERVING_MAX: usize = 64;
/// Most tool definitions whose digests are kept per wrapped server.
pub const DEFINITIONS_MAX: usize = 4_096;
/// Most tool definitions that are listed one by one in a `definitions` observation.
pub const DEFINITIONS_LISTED_MAX: usize = 256;
/// Most frame digests that go into the digest of a gap; more are only counted.
pub const GAP_LIST_MAX: usize = 4_096;
/// Most runs that are open at one time for keys that calls presented. The one longest idle is ended for a new one;
/// where none is idle, the new one is refused.
pub const PRESENTED_RUNS_MAX: usize = 32;
/// Longest text handed over with a chain.
pub const HANDOFF_MAX: usize = 1_024 * 1_024;
/// Most acts with a presented proof that are remembered, each until its proof has ended for everybody.
pub const PRESENTED_ACTS_MAX: usize = 65_536;
/// Most chains of one presented key that are known to be known to the server; more are told to it again.
pub const PRESENTED_LEAVES_MAX: usize = 1_024;
/// Idle connections to the server that are kept for the next request.
pub const IDLE_CONNECTIONS_MAX: usize = 16;
/// Frames waiting to be written to the client or to the wrapped server.
pub const QUEUE_FRAMES: usize = 64;
/// A delegation that ends within this many seconds is renewed before it is used.
pub const RENEW_BEFORE_S: u64 = 60;
/// How long the server may take to answer a request.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// A lease that stays silent for longer than this is lost (the server writes a line every 5 s).
pub const LEASE_SILENCE: Duration = Duration::from_secs(15);
/// First pause before the server is tried again; each further one is twice as long.
pub const RETRY_FIRST: Duration = Duration::from_millis(50);
/// Longest pause between two tries.
pub const RETRY_MAX: Duration = Duration::from_secs(2);
/// How long a call waits for a deeds server that is away, once per outage, before it is refused.
pub const RECONNECT_WAIT: Duration = Duration::from_secs(5);
/// How long a result waits for its outcome to be recorded before the caller is told that it is withheld.
pub const RESULT_HOLD: Duration = Duration::from_mins(1);
/// How long a wrapped server may take to exit after its input closed, and again after SIGTERM.
pub const EXIT_WAIT: Duration = Duration::from_secs(2);
/// How long the end of a wrap waits for decisions, outcomes and receipts that are on their way, each.
pub const DRAIN_WAIT: Duration = Duration::from_secs(5);

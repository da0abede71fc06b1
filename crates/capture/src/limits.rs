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
/// Longest media type that is recorded of an artifact.
pub const MEDIA_TYPE_MAX: usize = 256;
/// Longest id of a task.
pub const TASK_ID_MAX: usize = 1_024;
/// Most tasks that are followed, with those that have ended and are remembered. One more ends as `unknown` at once.
pub const TASKS_MAX: usize = 1_024;
/// Most attempts that wait to be tried again; the oldest is forgotten for a new one.
pub const ATTEMPTS_MAX: usize = 1_024;
/// How long an attempt may be tried again.
pub const ATTEMPT_WAIT: Duration = Duration::from_hours(1);
/// Most messages in one batch (2025-03-26).
pub const BATCH_MAX: usize = 64;
/// Most requests of a client that may be open at one time; one more is refused.
pub const OPEN_MAX: usize = 1_024;
/// Most requests of a wrapped server that may be undecided or await the client's answer.
pub const SERVER_OPEN_MAX: usize = 64;
/// Most requests of a wrapped server whose decisions are asked for at one time: fewer than [`DECIDING_MAX`], so that
/// a server that asks for much leaves room for its client.
pub const ASKING_MAX: usize = 8;
/// Most requests to the client in one `input_required` result, most that await an answer for one task, and most
/// answers in one request.
pub const INPUT_REQUESTS_MAX: usize = 64;
/// Longest name of such a request.
pub const INPUT_KEY_MAX: usize = 1_024;
/// Largest content of an elicitation answer that is recorded; of a larger one only digest and size.
pub const HUMAN_INPUT_MAX: usize = 8 * 1_024;
/// Most decisions asked for at one time. Below the window of 64 within which the counters of proofs may arrive
/// out of order, so that concurrency alone never has one refused.
pub const DECIDING_MAX: usize = 32;
/// Most observations on their way to the server at one time.
pub const OBSERVING_MAX: usize = 64;
/// Most dropped frames that are recorded one by one within [`DROPPING_PAUSE`]; more are only counted.
pub const DROPPING_MAX: usize = 64;
/// How long the place of a frame that was recorded by itself stays taken.
pub const DROPPING_PAUSE: Duration = Duration::from_secs(1);
/// How long frames are counted before that is recorded; at the end of a wrap it is recorded at once.
pub const CROWD_PAUSE: Duration = Duration::from_secs(10);
/// Most definitions of one list (tools, resources, resource templates, prompts) whose digests are kept.
pub const DEFINITIONS_MAX: usize = 4_096;
/// Most definitions that are told to the server at one time (`docs/api.md`).
pub const DEFINITIONS_TOLD_MAX: usize = evidence::limits::DEFINITIONS_MAX;
/// Most bytes of their names and digests in one message: what fits into one entry.
pub const DEFINITIONS_BYTES_TOLD_MAX: usize = evidence::limits::DEFINITIONS_MAX_BYTES;
/// Longest name of a definition (a URI may be one) that is kept.
pub const DEFINITION_NAME_MAX: usize = evidence::limits::DEFINITION_NAME_MAX_BYTES;
/// Most messages about definitions that wait to be told.
pub const DEFINITIONS_QUEUE_MAX: usize = 256;
/// How long acts wait for what the server is to be known and told, once: from its first message, or from the first
/// act where that comes before.
pub const FACTS_WAIT: Duration = Duration::from_secs(5);
/// Most processes that are looked through for the one that is the server.
pub const PROCESSES_MAX: usize = 64;
/// Most open files of one of them that are looked at.
pub const OPEN_FILES_MAX: usize = 4_096;
/// Longest command line of one of them.
pub const PROCESS_ARGUMENTS_MAX: u64 = 256 * 1_024;
/// Most Python distributions in one place that are looked through.
pub const DISTRIBUTIONS_MAX: usize = 1_024;
/// Most files of a package.
pub const PACKAGE_FILES_MAX: usize = 20_000;
/// Most bytes of a package's files together.
pub const PACKAGE_BYTES_MAX: u64 = 64 * 1_024 * 1_024;
/// How deep the directories of a package may be nested.
pub const PACKAGE_DEPTH_MAX: usize = 32;
/// Largest file that describes a package.
pub const PACKAGE_MANIFEST_MAX: u64 = 4 * 1_024 * 1_024;
/// How long the client's messages wait for room in the queue to a server that reads nothing, once until it reads again.
pub const DEAF_WAIT: Duration = Duration::from_secs(30);
/// A part of a frame that gets no further byte for this long is recorded.
pub const FRAME_SILENCE: Duration = Duration::from_secs(30);
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
/// Most paths that `deeds run` may be told to watch.
pub const DECLARED_MAX: usize = 64;
/// Most files and directories below them.
pub const FILES_MAX: usize = 100_000;
/// Most bytes in those files, each time they are read.
pub const FILES_BYTES_MAX: u64 = 16 * 1_024 * 1_024 * 1_024;
/// Deepest file below a declared directory: its own files are at depth 1.
pub const FILES_DEPTH_MAX: usize = 64;
/// Most threads that read files.
pub const FILES_THREADS_MAX: usize = 8;
/// Longest URI of an artifact.
pub const ARTIFACT_URI_MAX: usize = evidence::limits::ARTIFACT_URI_MAX_BYTES;
/// Most artifacts in one decision, outcome or part of a longer list.
pub const ARTIFACTS_MAX: usize = evidence::limits::ARTIFACTS_MAX;
/// Most bytes of JSON in the artifacts of one result.
pub const ARTIFACTS_BYTES_MAX: usize = 24 * 1_024;
/// Most files that a tool call names and `deeds wrap --files` looks at.
pub const CALL_FILES_MAX: usize = 64;
/// Largest of them that is read.
pub const CALL_FILE_BYTES_MAX: u64 = 64 * 1_024 * 1_024;
/// Most that the artifacts in one list may weigh: about the bytes that they take in a sealed body, where other fields
/// need room beside them.
pub const ARTIFACTS_WEIGHT_MAX: usize = 40 * 1_024;
/// Longest text that says why an outcome is what it is.
pub const DETAIL_MAX: usize = 2_048;
/// Longest value of a CI variable or claim that is recorded; a longer one is left out, and said to be.
pub const ASSERTED_VALUE_MAX: usize = 256;
/// Longest job token.
pub const OIDC_TOKEN_MAX: usize = 16 * 1_024;
/// Most audiences of a job token that are recorded.
pub const OIDC_AUDIENCES_MAX: usize = 8;
/// How long the end of a command waits for its outcome to be durable before it says that it is not.
pub const OUTCOME_WAIT: Duration = Duration::from_mins(1);

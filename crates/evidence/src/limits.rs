//! Every limit of the evidence format, in one place (`docs/format.md`). Sizes are bytes.

/// Largest entry (log leaf). Format §2.
pub const ENTRY_MAX_BYTES: usize = 1_024;
/// Most causes of one entry. Format §2.
pub const CAUSES_MAX: usize = 8;
/// Most fields of one entry: ids 0 to 63. Format §3.
pub const FIELDS_MAX: usize = 64;
/// Largest sealed body. Format §3.
pub const BODY_MAX_BYTES: usize = 65_536;
/// Largest content of a body before compression; bounds what a hostile body can make a reader allocate.
pub const BODY_CONTENT_MAX_BYTES: usize = 1_048_576;
/// Bodies are padded to a multiple of this before sealing, so that their length says little. Format §3.
pub const BODY_PADDING_BYTES: usize = 256;
/// Largest value that is sealed in full; a longer argument or result is kept as its digest alone.
pub const VALUE_SEALED_MAX_BYTES: usize = 24_576;
/// Deepest nesting of JSON accepted anywhere. Format, conventions.
pub const JSON_DEPTH_MAX: usize = 64;
/// Largest integer magnitude that I-JSON can carry exactly.
pub const JSON_INTEGER_MAX: u64 = 1 << 53;
/// Largest signed object (JWS compact). Reference: delegation §4.
pub const TOKEN_MAX_BYTES: usize = 16_384;
/// Most tools in one scope. Reference: delegation §4.
pub const SCOPE_TOOLS_MAX: usize = 256;
/// Most constraints per tool, those within `all` and `any` counted too. Format §6.
pub const SCOPE_CONSTRAINTS_MAX: usize = 64;
/// Most scalars or host patterns in one constraint (`one_of`, `host_in` and their like). Format §6.
pub const SCOPE_VALUES_MAX: usize = 256;
/// Most clauses of one `all` or `any`. Format §6.
pub const SCOPE_CLAUSES_MAX: usize = 16;
/// Deepest nesting of constraints: `all` of `exact` is 2. Format §6.
pub const SCOPE_NESTING_MAX: usize = 8;
/// Longest string inside a scope.
pub const SCOPE_STRING_MAX_BYTES: usize = 4_096;
/// Longest *decimal*, as bound or as argument. Format §6.
pub const DECIMAL_MAX_BYTES: usize = 64;
/// Longest *host*. Format §6.
pub const HOST_MAX_BYTES: usize = 253;
/// Longest label of a *host*. Format §6.
pub const HOST_LABEL_MAX_BYTES: usize = 63;
/// Most digits of the port of a *URL*. Format §6.
pub const PORT_MAX_DIGITS: usize = 5;
/// Longest tool URI.
pub const TOOL_URI_MAX_BYTES: usize = 1_024;
/// Deepest chain. Reference: delegation §4.
pub const CHAIN_DEPTH_MAX: u64 = 8;
/// Most tokens of a chain: a root and one link for each step of depth. Format §6.
pub const CHAIN_LINKS_MAX: usize = 9;
/// Largest chain: the sum of its tokens. Format §6.
pub const CHAIN_MAX_BYTES: usize = 65_536;
/// Longest life of a root delegation given by a human, seconds.
pub const ROOT_HUMAN_MAX_S: u64 = 86_400;
/// Longest life of any other root delegation, seconds.
pub const ROOT_SERVICE_MAX_S: u64 = 3_600;
/// Longest life of a root request, seconds.
pub const REQUEST_MAX_S: u64 = 300;
/// Longest life of a mandate, seconds: 35 days. Format §6.
pub const MANDATE_MAX_S: u64 = 3_024_000;
/// Most holders that one mandate names. Format §6.
pub const MANDATE_HOLDERS_MAX: usize = 64;
/// Longest life of a signed revocation or halt, seconds: how long it may be handed in. Format §6.
pub const ORDER_MAX_S: u64 = 300;
/// Most tools that one `apv` names. Format §6.
pub const APPROVAL_TOOLS_MAX: usize = 256;
/// Most approvals that one `apv` may ask for (`m`). Format §6.
pub const APPROVALS_MAX: u64 = 16;
/// Most approvers that one `apv` names. Format §6.
pub const APPROVERS_MAX: usize = 64;
/// Longest life of a proof of possession, seconds.
pub const POP_MAX_S: u64 = 60;
/// Clock skew allowed between signer and log, seconds.
pub const SKEW_S: u64 = 30;
/// How far past its lowest missing counter a holder may be. DESIGN §7.
pub const POP_WINDOW: u64 = 64;
/// Furthest that `decided_at_ms` may lie from the entry's `observed_ms`. Format §10.
pub const DECISION_AGE_MAX_MS: u64 = 60_000;
/// Largest bundle. Format §9.
pub const BUNDLE_MAX_BYTES: usize = 16 * 1_024 * 1_024;
/// Most entries in a bundle. Format §9.
pub const BUNDLE_ENTRIES_MAX: usize = 20_000;
/// Longest Merkle path: a tree of 2^63 leaves.
pub const PATH_MAX: usize = 63;
/// Longest identifier of a principal or holder (`iss`, `sub`, `id`).
pub const PRINCIPAL_ID_MAX_BYTES: usize = 2_048;
/// Most artifacts in one list. Format §5.
pub const ARTIFACTS_MAX: usize = 256;
/// Longest URI of an artifact. Format §5.
pub const ARTIFACT_URI_MAX_BYTES: usize = 2_048;
/// Longest media type of an artifact.
pub const ARTIFACT_MEDIA_TYPE_MAX_BYTES: usize = 256;
/// Most names in one `definitions` observation, and most that it says are gone. Format §5.
pub const DEFINITIONS_MAX: usize = 256;
/// Longest name of a definition.
pub const DEFINITION_NAME_MAX_BYTES: usize = 2_048;
/// Largest JCS of the names of one `definitions` observation with their digests, and of those that are gone: so much
/// fits a sealed body whatever it holds.
pub const DEFINITIONS_MAX_BYTES: usize = 49_152;
/// Differences of one list that are recorded one by one; more are one entry with their count. Format §5.
pub const DEFINITIONS_CHANGED_MAX: usize = 64;

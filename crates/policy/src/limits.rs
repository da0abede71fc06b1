//! Limits of the policy crate: everything that comes from a policy directory, a proposed act or a
//! recorded request is hostile until it has passed one of these.

/// Files in one policy set, the built-in schema included when the directory has none.
pub const POLICY_FILES_MAX: usize = 256;
/// Bytes of one policy file.
pub const POLICY_FILE_BYTES_MAX: usize = 128 * 1024;
/// Bytes of all files of one policy set together.
pub const POLICY_TOTAL_BYTES_MAX: usize = 256 * 1024;
/// Bytes of a policy file's name.
pub const POLICY_FILE_NAME_MAX: usize = 128;
/// Policies in one policy set.
pub const POLICIES_MAX: usize = 1_000;
/// Bytes of a policy's `@id`.
pub const POLICY_ID_MAX: usize = 128;
/// Brackets inside one another in a policy or a schema.
pub const NESTING_MAX: usize = 64;
/// Words and signs that one expression of a policy may string together, brackets around it included.
pub const EXPRESSION_TOKENS_MAX: usize = 2_000;
/// Objects and arrays inside one another in a policy's JSON form, two for each operator inside another, up to which
/// an outlook is given on its condition; a deeper one counts as open.
pub const FORESEEN_DEPTH_MAX: usize = 256;
/// Bytes of stack on which a policy set is loaded; the deepest expression allowed needs less.
pub const LOAD_STACK_BYTES: usize = 64 * 1024 * 1024;
/// Rows of the class table.
pub const CLASS_ROWS_MAX: usize = 4_096;

/// Bytes of the alias in `stdio:<alias>` and `run:<alias>`, as `deeds wrap` and `deeds run` take it.
pub const ALIAS_MAX: usize = 64;
/// Bytes of a tool URI.
pub const TOOL_URI_MAX: usize = 2_048;
/// Bytes of each other string that names something in a request: issuer, key, run, purpose, …
pub const NAME_MAX: usize = 2_048;
/// Tools that the delegation lists.
pub const DELEGATED_TOOLS_MAX: usize = 1_024;
/// Holders that the delegation lists: one for each link of the longest chain, the root and 8 below it.
pub const DELEGATION_HOLDERS_MAX: usize = 9;

/// Tags that the arguments of one call become, derived ones (`.count`, `.norm`) included.
pub const ARG_TAGS_MAX: usize = 1_024;
/// Bytes of one tag's name.
pub const ARG_NAME_MAX: usize = 512;
/// Bytes of one argument's value as text.
pub const ARG_VALUE_MAX: usize = 256 * 1024;
/// Bytes of all tag names and values of one call together.
pub const ARGS_TOTAL_MAX: usize = 512 * 1024;
/// Objects and arrays inside one another, the argument object itself being the first.
pub const ARG_DEPTH_MAX: usize = 32;
/// Bytes of a path before and after it is resolved, as on Linux.
pub const PATH_MAX: usize = 4_096;
/// The largest integer (and, negated, the smallest) that every JSON reader holds exactly: 2^53.
pub const INTEGER_MAX: u64 = 1 << 53;

/// Entities in a recorded request that is replayed.
pub const REPLAY_ENTITIES_MAX: usize = 256;
/// Evaluation errors that a decision keeps.
pub const ERRORS_MAX: usize = 16;
/// Bytes of each evaluation error that a decision keeps.
pub const ERROR_TEXT_MAX: usize = 1_024;
/// Problems that a refused policy set lists; the rest is counted.
pub const FINDINGS_MAX: usize = 100;

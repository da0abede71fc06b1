//! What a decision says, and the reasons why it can be no.

use serde::Serialize;
use serde_json::Value;

use crate::classes::ClassOf;

/// Codes of [`Reason`]. They are part of the record: none is ever given another meaning.
pub mod reason {
    /// No policy permits the act.
    pub const NOT_PERMITTED: &str = "not-permitted";
    /// At least one policy forbids the act.
    pub const FORBIDDEN: &str = "forbidden";
    /// A policy or the request could not be evaluated.
    pub const POLICY_ERROR: &str = "policy-error";
    /// A policy that permits the act demands something that nobody here can do.
    pub const UNKNOWN_OBLIGATION: &str = "unknown-obligation";
    /// The policy schema has no such operation.
    pub const OPERATION_UNKNOWN: &str = "operation-unknown";
    /// The tool is not named `<server>#<tool>`.
    pub const TOOL_INVALID: &str = "tool-invalid";
    /// A name in the request (principal, agent, run, …) is empty, too long or ambiguous.
    pub const REQUEST_INVALID: &str = "request-invalid";
    /// The arguments are not an object, or hold something that readers disagree on.
    pub const ARGS_INVALID: &str = "args-invalid";
    /// The arguments are too many, too long or too deep.
    pub const ARGS_LIMIT: &str = "args-limit";
    /// A path argument has no normal form: it is relative, climbs out of its root, or is malformed.
    pub const PATH_ESCAPES: &str = "path-escapes";

    pub(crate) const ALL: [&str; 10] = [
        NOT_PERMITTED,
        FORBIDDEN,
        POLICY_ERROR,
        UNKNOWN_OBLIGATION,
        OPERATION_UNKNOWN,
        TOOL_INVALID,
        REQUEST_INVALID,
        ARGS_INVALID,
        ARGS_LIMIT,
        PATH_ESCAPES,
    ];
}

/// Yes or no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Permitted by at least one policy, forbidden by none, no evaluation error, every obligation known.
    Allow,
    /// Everything else.
    Deny,
}

impl Verdict {
    /// `allow` or `deny`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }
}

/// Why a verdict is [`Verdict::Deny`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// One of [`reason`].
    pub code: &'static str,
    /// For people; may quote what the caller sent, shortened and with control characters escaped.
    pub text: String,
}

/// What the policy set says about one proposed act.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Decision {
    /// Yes or no.
    pub verdict: Verdict,
    /// There exactly when the verdict is no.
    pub reason: Option<Reason>,
    /// Ids of the policies that decided, sorted: the permits of an allow, the forbids of a deny.
    pub determining: Vec<String>,
    /// Evaluation errors, sorted; any of them denies.
    pub errors: Vec<String>,
    /// Obligations of the determining policies, sorted.
    pub obligations: Vec<String>,
    /// The exact evaluated request with `principal`, `action`, `resource`, `context`, `entities`;
    /// or, when the act was refused before any policy was asked, `action`, `resource`, `refused`.
    pub request: Value,
    /// What the class table says about the tool.
    pub class: ClassOf,
}

/// A no that needs no policy: the act cannot be put to them at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: &'static str,
    pub(crate) text: String,
}

impl Refusal {
    pub(crate) fn new(code: &'static str, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }
}

//! Verdicts of decisions and statuses of outcomes (DESIGN §3, §4).

use crate::label::labels;

labels! {
    /// What a decision says.
    Verdict {
        /// The act may go.
        Allow = "allow",
        /// It may not.
        Deny = "deny",
    }
}

labels! {
    /// What came of an act.
    Status {
        /// A result without error.
        Ok = "ok",
        /// The tool ran and reported an error (`isError`, non-zero exit).
        ToolError = "tool-error",
        /// The target refused with a protocol error.
        RefusedByTarget = "refused-by-target",
        /// The target asks for input first; the retry is a new attempt of the same act.
        InputRequired = "input-required",
        /// Cancelled before a result came.
        Cancelled = "cancelled",
        /// Positively known never to have reached the target.
        NotForwarded = "not-forwarded",
        /// Anything else: lost connection, crash, dropped permit.
        Unknown = "unknown",
    }
}

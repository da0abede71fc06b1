//! Why there is no bundle.

use evidence::limits::{BUNDLE_ENTRIES_MAX, BUNDLE_MAX_BYTES};
use lineage::LineageError;
use verify::Finding;

/// Why a bundle is not made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// Not a way to name an action or run.
    #[error("`{0}` names no action or run: write `@` and a log position, or the id of an action or run")]
    Subject(String),
    /// A field to be withheld that no action has.
    #[error("no entry of an action has a field `{0}` to withhold; `deeds entry` shows the names")]
    UnknownField(String),
    /// The index or the log cannot be read, or has no such subject.
    #[error(transparent)]
    Lineage(#[from] LineageError),
    /// The log cannot be read.
    #[error(transparent)]
    Read(#[from] store::ReadError),
    /// More entries than a bundle may have.
    #[error(
        "the proof would need more than the {BUNDLE_ENTRIES_MAX} entries that one file may have: prove a shorter run"
    )]
    TooMany,
    /// More bytes than a bundle may have.
    #[error(
        "the proof would have {0} bytes, more than the {BUNDLE_MAX_BYTES} of one file: withhold large fields, or prove \
         one action"
    )]
    TooLong(usize),
    /// No checkpoint covers it in time.
    #[error(
        "the first {needed} entries are needed and {published} are published: the log does not get on, see its \
         messages and try again"
    )]
    Unpublished {
        /// Entries that must be under a checkpoint.
        needed: u64,
        /// Entries that are.
        published: u64,
    },
    /// What the proof shows does not verify.
    #[error("the proof would not verify, so there is none: {}", list(.0))]
    NotVerified(Vec<Finding>),
}

fn list(findings: &[Finding]) -> String {
    let one = |finding: &Finding| match finding.index {
        Some(index) => format!("{} at @{index} ({})", finding.code.name(), finding.text),
        None => format!("{} ({})", finding.code.name(), finding.text),
    };
    findings.iter().map(one).collect::<Vec<_>>().join("; ")
}

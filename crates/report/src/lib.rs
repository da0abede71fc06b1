//! Evidence files made from the log: one file that a stranger verifies without trusting who made it.
//!
//! [`prove`] plans which entries a bundle (format §9) needs and how much of each is shown, waits until they are
//! published, and hands the file out only after the verifier that an auditor runs has found nothing wrong with it.

#![forbid(unsafe_code)]

mod assemble;
mod error;
mod limits_of;
mod plan;
mod withhold;

use std::time::Duration;

use evidence::id::{self, Id};
use evidence::limits::BUNDLE_MAX_BYTES;
use lineage::{Index, LineageError, Which};
use verify::{Report, Severity, TrustRoots, Verdict};

pub use error::ReportError;
pub use limits_of::limits_of;

use plan::Plan;
use withhold::Withhold;

/// What a bundle is to be about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// An action, by the position of its decision or outcome, or by its `act_id`.
    Action(Which),
    /// A run.
    Run(Id),
}

/// How a bundle is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Names of fields of actions that are not shown: `args`, `result` …. Display names never are.
    pub withhold: Vec<String>,
    /// How long to wait until the entries are under a checkpoint.
    pub publish_timeout: Duration,
}

/// A bundle, and what verifying it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// The file (format §9).
    pub bytes: Vec<u8>,
    /// What a verifier without pinned keys says of it: verified, with its notes.
    pub report: Report,
}

impl Subject {
    /// Reads `@123` (an action by position), or the UUID of an action or a run.
    pub fn resolve(index: &Index, text: &str) -> Result<Self, ReportError> {
        if let Some(position) = text.strip_prefix('@') {
            let position = position.parse().map_err(|_| ReportError::Subject(shorten(text)))?;
            return Ok(Self::Action(Which::Index(position)));
        }
        let id = id::parse(text).ok_or_else(|| ReportError::Subject(shorten(text)))?;
        index.fold_until(index.reader().size())?;
        match index.run(&id) {
            Ok(_) => Ok(Self::Run(id)),
            Err(LineageError::NotFound { .. }) => Ok(Self::Action(Which::Act(id))),
            Err(error) => Err(error.into()),
        }
    }
}

/// Makes the bundle about `subject`, as the log stands now.
///
/// Fails with [`ReportError::NotVerified`] rather than hand out a file that does not verify: then the log itself has
/// something wrong with it, or what was withheld is needed.
pub fn prove(index: &Index, subject: Subject, options: &Options) -> Result<Proof, ReportError> {
    let withhold = Withhold::parse(&options.withhold)?;
    index.fold_until(index.reader().size())?;
    let plan = Plan::of(index, subject)?;
    let needed = plan.size();
    if !index.reader().wait_published(needed, options.publish_timeout) {
        return Err(ReportError::Unpublished { needed, published: index.reader().published_size() });
    }
    let bytes = assemble::bundle(index, plan, &withhold)?.encode();
    check_length(bytes.len())?;
    let report = verify::verify_bundle(&bytes, &TrustRoots::default());
    if report.verdict != Verdict::Verified {
        let errors = report.findings.into_iter().filter(|finding| finding.severity == Severity::Error);
        return Err(ReportError::NotVerified(errors.collect()));
    }
    Ok(Proof { bytes, report })
}

fn shorten(text: &str) -> String {
    text.chars().take(80).collect()
}

fn check_length(bytes: usize) -> Result<(), ReportError> {
    if bytes > BUNDLE_MAX_BYTES { Err(ReportError::TooLong(bytes)) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_has_a_bounded_length() {
        assert!(check_length(BUNDLE_MAX_BYTES).is_ok());
        assert!(matches!(check_length(BUNDLE_MAX_BYTES + 1), Err(ReportError::TooLong(_))));
    }
}

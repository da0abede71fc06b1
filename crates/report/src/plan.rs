//! Which entries a bundle needs, and how much of each is shown (format §9, §10).

use std::collections::BTreeMap;

use evidence::Kind;
use evidence::id::{Id, LOG_LEVEL};
use evidence::limits::BUNDLE_ENTRIES_MAX;
use lineage::{Index, LineageError, Record};
use verify::bundle;

use crate::Subject;
use crate::error::ReportError;

/// How much of an entry is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Show {
    /// That it is there.
    Nothing,
    /// These fields.
    Only(&'static [&'static str]),
    /// Everything that is not withheld.
    All,
}

/// One entry of the bundle to be.
#[derive(Debug)]
pub(crate) struct Planned {
    pub(crate) record: Record,
    pub(crate) show: Show,
}

/// The entries of a bundle by position.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) subject: bundle::Subject,
    pub(crate) entries: BTreeMap<u64, Planned>,
}

/// The action that a bundle is about.
struct Asked {
    decided: u64,
    finished: Option<u64>,
    act_id: Id,
    /// Token digest of its delegation.
    chain: Option<String>,
}

impl Plan {
    /// Reads what the subject needs.
    pub(crate) fn of(index: &Index, subject: Subject) -> Result<Self, ReportError> {
        let (run, asked) = match subject {
            Subject::Run(run) => (run, None),
            Subject::Action(which) => {
                let located = index.locate(which)?;
                let decision = index.record(located.decided)?;
                let (run, act_id) = named(&decision)?;
                let chain = decision.text("chain");
                (run, Some(Asked { decided: located.decided, finished: located.finished, act_id, chain }))
            }
        };
        let subject = match &asked {
            Some(asked) => bundle::Subject::Action(asked.act_id),
            None => bundle::Subject::Run(run),
        };
        let mut plan = Self { subject, entries: BTreeMap::new() };
        plan.add_run(index, &run, asked.as_ref())?;
        plan.add_log_level(index)?;
        check_count(plan.entries.len())?;
        Ok(plan)
    }

    /// Entries that must be under the checkpoint.
    pub(crate) fn size(&self) -> u64 {
        self.entries.last_key_value().map_or(0, |(last, _)| last + 1)
    }

    /// Every entry of every stream of the run.
    fn add_run(&mut self, index: &Index, run: &Id, asked: Option<&Asked>) -> Result<(), ReportError> {
        let positions = index.chain_of(run, 0, u64::MAX, past_limit())?;
        if positions.is_empty() || *run == LOG_LEVEL {
            // the index has no such run; asking it for the run says so in its own words
            index.run(run)?;
        }
        check_count(positions.len())?;
        for position in positions {
            let record = index.record(position)?;
            let show = asked.map_or(Show::All, |asked| show_for(&record, asked));
            self.entries.insert(position, Planned { record, show });
        }
        Ok(())
    }

    /// The log-level chain from entry 0 as far as a shown decision or delegation relies on it: genesis, the keys
    /// registered by then, and the policies.
    fn add_log_level(&mut self, index: &Index) -> Result<(), ReportError> {
        // the two genesis entries are needed in any case
        let until = self.last_shown(&[Kind::Decided, Kind::Delegated]).max(2);
        let positions = index.chain_of(&LOG_LEVEL, 0, until, past_limit())?;
        check_count(positions.len())?;
        let policies = self.policies_used(index, &positions)?;
        for position in positions {
            let record = index.record(position)?;
            let show = match record.kind() {
                Some(Kind::LogGenesis | Kind::KeyOrTrustChanged) => Show::All,
                Some(Kind::PolicyActivated) if policies.contains(&position) => {
                    Show::Only(&["policy_digest", "files"])
                }
                // that it is another one than the one used is for everybody to see; what it says is not
                Some(Kind::PolicyActivated) => Show::Only(&["policy_digest"]),
                _ => Show::Nothing,
            };
            self.entries.insert(position, Planned { record, show });
        }
        Ok(())
    }

    /// Position of the last shown entry of these kinds; 0 when there is none.
    fn last_shown(&self, kinds: &[Kind]) -> u64 {
        self.shown(kinds).last().unwrap_or(0)
    }

    fn shown<'a>(&'a self, kinds: &'a [Kind]) -> impl Iterator<Item = u64> + 'a {
        self.entries
            .iter()
            .filter(|(_, planned)| planned.show != Show::Nothing)
            .filter(|(_, planned)| planned.record.kind().is_some_and(|kind| kinds.contains(&kind)))
            .map(|(position, _)| *position)
    }

    /// Positions of the policies that were in force at a shown decision.
    fn policies_used(&self, index: &Index, log_level: &[u64]) -> Result<Vec<u64>, LineageError> {
        let mut activated = Vec::new();
        for position in log_level {
            if index.record(*position)?.kind() == Some(Kind::PolicyActivated) {
                activated.push(*position);
            }
        }
        let before = |decision: u64| activated.iter().rev().find(|policy| **policy < decision).copied();
        Ok(self.shown(&[Kind::Decided]).filter_map(before).collect())
    }
}

/// Of a run that one action belongs to: how it began, ended and was interrupted; of its other acts only that they
/// are there.
fn show_for(record: &Record, asked: &Asked) -> Show {
    let shown = match record.kind() {
        Some(Kind::RunStarted | Kind::RunEnded | Kind::Gap) => true,
        Some(Kind::Delegated) => asked.chain.is_some() && record.text("digest") == asked.chain,
        Some(Kind::Decided) => record.index == asked.decided,
        Some(Kind::Finished) => Some(record.index) == asked.finished,
        Some(Kind::Observed) => record.id("act_id") == Some(asked.act_id),
        _ => false,
    };
    if shown { Show::All } else { Show::Nothing }
}

/// The run and the act of a decision, as far as it is open.
fn named(decision: &Record) -> Result<(Id, Id), LineageError> {
    let run = decision.entry.as_ref().map(|entry| entry.run);
    run.zip(decision.id("act_id")).ok_or_else(|| LineageError::NotFound {
        what: "act_id that is open in the decision",
        name: format!("@{}", decision.index),
        size: decision.index + 1,
        advice: "its fields were erased or are damaged, see `deeds entry`",
    })
}

/// One more than fits, so that too many is seen.
fn past_limit() -> u64 {
    u64::try_from(BUNDLE_ENTRIES_MAX).unwrap_or(u64::MAX).saturating_add(1)
}

fn check_count(entries: usize) -> Result<(), ReportError> {
    if entries > BUNDLE_ENTRIES_MAX { Err(ReportError::TooMany) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_has_a_bounded_number_of_entries() {
        assert!(check_count(BUNDLE_ENTRIES_MAX).is_ok());
        assert!(matches!(check_count(BUNDLE_ENTRIES_MAX + 1), Err(ReportError::TooMany)));
    }
}

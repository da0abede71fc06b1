//! Which entries a bundle needs, and how much of each is shown (format §9, §10).

mod log_level;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use evidence::Kind;
use evidence::id::{Id, LOG_LEVEL};
use evidence::limits::{BUNDLE_ENTRIES_MAX, BUNDLE_MAX_BYTES};
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
    /// Bytes of the file at most, as far as it is planned.
    weight: usize,
    /// Bytes of an inclusion path at most.
    path: usize,
}

/// What a plan takes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// What there is room for, too: sub-runs and what the log learnt later.
    Room,
    /// What the checks cannot do without.
    Needed,
}

/// The action that a bundle is about.
struct Asked {
    decided: u64,
    finished: Option<u64>,
    act_id: Id,
    /// Positions of the delegations it was done under.
    links: Vec<u64>,
}

/// What is looked for at log level on behalf of the delegations that are shown.
#[derive(Debug, Default)]
struct Wanted {
    /// Runs in which their roots were recorded first.
    issuances: BTreeSet<Id>,
    /// Positions of the mandates behind them.
    mandates: BTreeSet<u64>,
    /// Positions of the orders about them.
    orders: BTreeSet<u64>,
}

/// Bytes of a file beside its items, with room for the signed note.
const FRAME_BYTES: usize = 65_536;

/// The part of the limits that sub-runs may fill; the rest is for what came before and after them.
const SUB_RUNS: (usize, usize) = (3, 4);

impl Plan {
    /// Reads what the subject needs.
    pub(crate) fn of(index: &Index, subject: Subject) -> Result<Self, ReportError> {
        let plan = Self::build(index, subject, Extent::Room)?;
        if plan.fits(0, 0) {
            return Ok(plan);
        }
        let plan = Self::build(index, subject, Extent::Needed)?;
        check_count(plan.entries.len())?;
        Ok(plan)
    }

    fn build(index: &Index, subject: Subject, extent: Extent) -> Result<Self, ReportError> {
        let (run, asked) = match subject {
            Subject::Run(run) => (run, None),
            Subject::Action(which) => {
                let located = index.locate(which)?;
                let decision = index.record(located.decided)?;
                let (run, act_id) = named(&decision)?;
                let links = match decision.text("chain") {
                    Some(leaf) => index.links_in(&run, &leaf, located.decided)?,
                    None => Vec::new(),
                };
                let asked = Asked { decided: located.decided, finished: located.finished, act_id, links };
                (run, Some(asked))
            }
        };
        let subject = match &asked {
            Some(asked) => bundle::Subject::Action(asked.act_id),
            None => bundle::Subject::Run(run),
        };
        let depth = u64::BITS - index.reader().size().leading_zeros() + 1;
        let path = 34 * usize::try_from(depth).unwrap_or(64);
        let mut plan = Self { subject, entries: BTreeMap::new(), weight: FRAME_BYTES, path };
        plan.add_run(index, &run, asked.as_ref())?;
        if asked.is_none() && extent == Extent::Room {
            plan.add_sub_runs(index, &run)?;
        }
        let wanted = plan.wanted(index, asked.as_ref())?;
        plan.add_issuances(index, &wanted)?;
        plan.add_log_level(index, &wanted, extent)?;
        Ok(plan)
    }

    /// Entries that must be under the checkpoint.
    pub(crate) fn size(&self) -> u64 {
        self.entries.last_key_value().map_or(0, |(last, _)| last + 1)
    }

    fn insert(&mut self, record: Record, show: Show) {
        let planned = Planned { record, show };
        self.weight += self.path + planned.weight();
        self.entries.insert(planned.record.index, planned);
    }

    /// Whether this and so much more is within the limits of one file.
    fn fits(&self, entries: usize, bytes: usize) -> bool {
        self.entries.len().saturating_add(entries) <= BUNDLE_ENTRIES_MAX
            && self.weight.saturating_add(bytes) <= BUNDLE_MAX_BYTES
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
            self.insert(record, show);
        }
        Ok(())
    }

    /// The runs that a run announces, and those that they announce, as far as there is room: one that does not fit is
    /// left out whole, and the verifier says so.
    fn add_sub_runs(&mut self, index: &Index, run: &Id) -> Result<(), ReportError> {
        let (part, whole) = SUB_RUNS;
        let (entries_max, bytes_max) = (BUNDLE_ENTRIES_MAX / whole * part, BUNDLE_MAX_BYTES / whole * part);
        let mut waiting = VecDeque::from([*run]);
        let mut taken = BTreeSet::from([*run]);
        while let Some(parent) = waiting.pop_front() {
            for child in index.children_of(&parent, past_limit())? {
                let positions = index.chain_of(&child.run, 0, u64::MAX, past_limit())?;
                let count = self.entries.len().saturating_add(positions.len());
                if child.run == LOG_LEVEL || count > entries_max || taken.contains(&child.run) {
                    continue;
                }
                let records: Result<Vec<Record>, LineageError> =
                    positions.into_iter().map(|position| index.record(position)).collect();
                let planned: Vec<Planned> =
                    records?.into_iter().map(|record| Planned { record, show: Show::All }).collect();
                let bytes: usize = planned.iter().map(|planned| planned.weight() + self.path).sum();
                if self.weight.saturating_add(bytes) > bytes_max {
                    continue;
                }
                for planned in planned {
                    self.insert(planned.record, planned.show);
                }
                taken.insert(child.run);
                waiting.push_back(child.run);
            }
        }
        Ok(())
    }

    /// What the delegations that are shown need elsewhere.
    fn wanted(&self, index: &Index, asked: Option<&Asked>) -> Result<Wanted, ReportError> {
        let mut wanted = Wanted::default();
        let leaf = asked.and_then(|asked| asked.links.last());
        let shown: Vec<u64> = match (asked, leaf) {
            // the leaf stands for its whole chain
            (Some(_), leaf) => leaf.copied().into_iter().collect(),
            (None, _) => self.shown(&[Kind::Delegated]).collect(),
        };
        for position in shown {
            let Some(digest) = self.entries.get(&position).and_then(|planned| planned.record.text("digest"))
            else {
                continue;
            };
            let needs = index.needs_of(&digest)?;
            wanted.issuances.extend(needs.issuance);
            wanted.mandates.extend(needs.mandate);
            wanted.orders.extend(needs.orders);
        }
        Ok(wanted)
    }

    /// The runs in which roots were issued: how each began and ended, and the root; of anything else in it that it is
    /// there.
    fn add_issuances(&mut self, index: &Index, wanted: &Wanted) -> Result<(), ReportError> {
        let roots: BTreeSet<String> = self
            .shown(&[Kind::Delegated])
            .filter_map(|position| self.entries.get(&position)?.record.text("digest"))
            .collect();
        for run in &wanted.issuances {
            let positions = index.chain_of(run, 0, u64::MAX, past_limit())?;
            let there = positions.first().is_some_and(|first| self.entries.contains_key(first));
            // without it the verifier notes that the issuance is not shown
            if there || !self.fits(positions.len(), positions.len().saturating_mul(self.path + 1_024)) {
                continue;
            }
            for position in positions {
                let record = index.record(position)?;
                let show = match record.kind() {
                    Some(Kind::RunStarted | Kind::RunEnded) => Show::All,
                    Some(Kind::Delegated) if record.text("digest").is_some_and(|of| roots.contains(&of)) => {
                        Show::All
                    }
                    _ => Show::Nothing,
                };
                self.insert(record, show);
            }
        }
        Ok(())
    }

    fn shown<'a>(&'a self, kinds: &'a [Kind]) -> impl Iterator<Item = u64> + 'a {
        self.entries
            .iter()
            .filter(|(_, planned)| planned.show != Show::Nothing)
            .filter(|(_, planned)| planned.record.kind().is_some_and(|kind| kinds.contains(&kind)))
            .map(|(position, _)| *position)
    }
}

impl Planned {
    /// Bytes of the item at most, without its path.
    fn weight(&self) -> usize {
        let Some(fields) = self.record.fields().filter(|_| self.show != Show::Nothing) else {
            return self.record.bytes.len() + 32;
        };
        let shown: usize = fields.iter().map(|field| field.value.len() + 40).sum();
        self.record.bytes.len() + 32 + shown
    }
}

/// Of a run that one action belongs to: how it began, ended and was interrupted; of its other acts only that they
/// are there, of its sub-runs which they are.
fn show_for(record: &Record, asked: &Asked) -> Show {
    let shown = match record.kind() {
        Some(Kind::RunStarted | Kind::RunEnded | Kind::Gap) => true,
        Some(Kind::ChildStarted) => return Show::Only(&["child", "delegation", "by"]),
        Some(Kind::Delegated) => asked.links.contains(&record.index),
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
        advice: "its fields were erased or are damaged, see `deeds entry`".into(),
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

    #[test]
    fn what_is_optional_is_taken_as_far_as_both_limits_allow() {
        let plan = Plan {
            subject: bundle::Subject::Run([7; 16]),
            entries: BTreeMap::new(),
            weight: FRAME_BYTES,
            path: 34,
        };
        assert!(plan.fits(BUNDLE_ENTRIES_MAX, 0) && !plan.fits(BUNDLE_ENTRIES_MAX + 1, 0));
        let room = BUNDLE_MAX_BYTES - FRAME_BYTES;
        assert!(plan.fits(0, room) && !plan.fits(0, room + 1));
    }
}

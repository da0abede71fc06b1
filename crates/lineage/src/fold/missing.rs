//! What may be missing or unknown, at the entry that shows it: one row each, so that all of it is found in order.

use evidence::{Entry, Kind};
use rusqlite::params;

use super::{Folder, Result, sql};
use crate::fold::ranges::Ranges;
use crate::record::Record;

/// What is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum What {
    /// The recorder could not reach the server.
    Gap = 1,
    /// Nobody knows what came of an act.
    Outcome = 2,
    /// Refusals that were counted instead of recorded.
    Refusals = 3,
    /// A run ended with acts that have no outcome.
    Open = 4,
    /// A run ended, and counters below its highest were not used in it. Another run may have them.
    Counters = 5,
    /// A run ended because its recorder was gone.
    Lost = 6,
    /// The clock was set.
    Clock = 7,
    /// A definition, or what a server is, changed.
    Definition = 8,
}

impl What {
    const ALL: [Self; 8] = [
        Self::Gap,
        Self::Outcome,
        Self::Refusals,
        Self::Open,
        Self::Counters,
        Self::Lost,
        Self::Clock,
        Self::Definition,
    ];

    /// What a column holds.
    pub(crate) fn of(code: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|what| i64::from(*what as u8) == code)
    }
}

impl Folder<'_> {
    /// The rows that an entry makes by itself.
    pub(super) fn maybe_missing(&self, record: &Record, entry: &Entry, run: i64) -> Result<()> {
        let what = match entry.kind() {
            Some(Kind::Gap) => What::Gap,
            Some(Kind::ClockAdjusted) => What::Clock,
            Some(Kind::DefinitionChanged) => What::Definition,
            Some(Kind::Observed) if record.text("subtype").as_deref() == Some("refusals") => What::Refusals,
            Some(Kind::RunEnded) if entry.stream == 0 => {
                if record.text("reason").as_deref() == Some("lost") {
                    self.is_missing(record, entry, run, What::Lost)?;
                }
                if self.has_open(run)? {
                    self.is_missing(record, entry, run, What::Open)?;
                }
                if !self.has_holes(run)? {
                    return Ok(());
                }
                What::Counters
            }
            _ => return Ok(()),
        };
        self.is_missing(record, entry, run, what)
    }

    pub(super) fn is_missing(&self, record: &Record, entry: &Entry, run: i64, what: What) -> Result<()> {
        self.tx
            .prepare_cached("INSERT OR IGNORE INTO missing VALUES(?1, ?2, ?3, ?4, ?5)")?
            .execute(params![sql(record.index), what as u8, record.leaf, run, sql(entry.observed_ms)])
            .map(|_| ())
    }

    fn has_open(&self, run: i64) -> Result<bool> {
        let known: i64 = self
            .tx
            .prepare_cached("SELECT actions - refused - outcomes FROM runs WHERE id = ?1")?
            .query_row([run], |row| row.get(0))?;
        let new = self.batch.runs.get(&run).copied().unwrap_or_default();
        Ok(known + new.actions - new.refused - new.outcomes > 0)
    }

    fn has_holes(&self, run: i64) -> Result<bool> {
        // what the transaction has gathered takes the place of what the table has
        let mine = |((of, _), ranges): (&(i64, i64), &Ranges)| *of == run && ranges.missing().is_some();
        if self.batch.counters.iter().any(mine) {
            return Ok(true);
        }
        let known: Vec<(i64, String)> = self
            .tx
            .prepare_cached("SELECT key, ranges FROM counters WHERE run = ?1")?
            .query_map([run], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_>>()?;
        Ok(known.into_iter().any(|(key, ranges)| {
            let ranges: Ranges = serde_json::from_str(&ranges).unwrap_or_default();
            !self.batch.counters.contains_key(&(run, key)) && ranges.missing().is_some()
        }))
    }
}

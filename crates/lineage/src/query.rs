//! Queries: the index says where to look, the log says what is there.
//!
//! A row of the index is believed only as far as a position: the entry at that position is read again, its leaf hash
//! is compared with the indexed one, and its fields are opened and compared with what the entry commits to. So a
//! damaged index can leave something out, and never invent it. Counts, times of first and last use and lists of tools
//! are the index's own.

mod actions;
mod allowed;
mod artifacts;
mod authority;
mod beside;
mod chains;
mod definitions;
mod delegations;
mod doubt;
mod entries;
mod gaps;
mod identities;
mod needs;
mod overview;
mod remarks;
mod rewired;
mod run;
mod select;
mod standing;
mod tasks;
mod trace;
mod who;

use evidence::id::Id;
use evidence::label::Assurance;
use rusqlite::{Connection, OptionalExtension as _, params};
use serde_json::Value;

pub use actions::{ActionRow, Actions, DidFilter, OutcomeRow, Whose};
pub use allowed::{Allowed, AllowedRow, AllowedTool, RunsEnded};
pub use artifacts::Withdrawn;
pub use authority::{
    Authority, BreakGlass, Committed, DecisionPart, DelegationPart, LinkCheck, LinkPart, Located,
    MandatePart, OutcomePart, PrincipalPart, RevocationRow, RevocationsPart, RunPart, ToolPart, Which,
};
pub use beside::{ArtifactsOf, Beside, ChangeRow, HumanInput};
pub use definitions::{DefinedRow, Definitions, ServerRow};
pub use delegations::{DelegationNode, Delegations, DelegationsFilter};
pub use doubt::{Doubt, DoubtFilter, DoubtRow, RevocationPart};
pub use entries::{EntryAnswer, FieldShown, PrincipalRow, Principals};
pub use gaps::{GapRow, Gaps, GapsFilter};
pub use identities::{Identities, IdentitiesFilter, IdentityRow};
pub use needs::{ChildRun, Needs};
pub use overview::{PolicyRow, Status};
pub use remarks::RemarkRow;
pub use run::{ChildRow, RunAnswer, RunRow, Runs, RunsFilter, StreamRow};
pub use select::OutcomeIs;
pub use tasks::{TaskRow, Tasks, TasksFilter};
pub use trace::{ArtifactRow, Direction, Latest, Replaced, Trace, TraceFilter, TraceOf, TraceRow};

use crate::answer::Margin;
use crate::error::LineageError;
use crate::fold::sql;
use crate::index::Index;
use crate::limits::{ROWS_DEFAULT, ROWS_MAX};
use crate::record::Record;

/// A position as the index has it: where, and the leaf hash that must be found there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct At {
    pub(crate) index: u64,
    pub(crate) leaf: [u8; 32],
}

impl Index {
    /// Positions of a run's entries in `[from, until)` in ascending order, at most `max`. All streams of the run; for
    /// [`evidence::id::LOG_LEVEL`] the log-level chain. Nothing is read from the log.
    pub fn chain_of(&self, run: &Id, from: u64, until: u64, max: u64) -> Result<Vec<u64>, LineageError> {
        self.read(|db, _| {
            let Some(run) = run_row(db, run)? else { return Ok(Vec::new()) };
            db.prepare_cached(
                "SELECT idx FROM chain WHERE run = ?1 AND idx >= ?2 AND idx < ?3 ORDER BY idx LIMIT ?4",
            )?
            .query_map([run, sql(from), sql(until), sql(max)], |row| unsigned(row, 0))?
            .collect()
        })
    }

    /// The entry at a position, if it is the one that was indexed.
    pub(crate) fn expect(&self, at: At, margin: &mut Margin) -> Result<Option<Record>, LineageError> {
        if let Some(record) = margin.opened(at.index, &at.leaf) {
            return Ok(Some(record));
        }
        let record = self.record(at.index)?;
        if record.leaf != at.leaf {
            margin.finding(
                "index-mismatch",
                Some(at.index),
                "the entry here is not the one that the index was made from: rebuild it with `deeds reindex`",
            );
            return Ok(None);
        }
        margin.note(&record);
        margin.keep(&record);
        Ok(Some(record))
    }
}

/// Cuts a list that was asked for with one element more than fits, and says so.
pub(crate) fn cut<T>(list: &mut Vec<T>, max: u64, what: &str, margin: &mut Margin) {
    let max_len = usize::try_from(max).unwrap_or(usize::MAX);
    if list.len() > max_len {
        list.truncate(max_len);
        margin.left_out.push(format!("{what} beyond the first {max}"));
    }
}

/// A time in seconds for a text that people read, UTC: `2026-11-03 02:00:00Z`.
pub(crate) fn utc(seconds: u64) -> String {
    let at = i64::try_from(seconds).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    at.map_or_else(|| format!("{seconds} s"), |at| at.strftime("%Y-%m-%d %H:%M:%SZ").to_string())
}

/// How many rows an answer gives.
pub(crate) fn rows(limit: Option<u64>) -> u64 {
    limit.unwrap_or(ROWS_DEFAULT).clamp(1, ROWS_MAX)
}

/// A position or count from its column.
pub(crate) fn unsigned(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let number: i64 = row.get(column)?;
    u64::try_from(number).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, number))
}

/// A position that may be absent.
pub(crate) fn optional(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<Option<u64>> {
    let number: Option<i64> = row.get(column)?;
    number
        .map(|n| u64::try_from(n).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, n)))
        .transpose()
}

/// The id of a run in the index.
pub(crate) fn run_row(db: &Connection, run: &Id) -> rusqlite::Result<Option<i64>> {
    db.prepare_cached("SELECT id FROM runs WHERE run = ?1")?
        .query_row(params![run], |row| row.get(0))
        .optional()
}

/// A label in the `assurance` field of a decision.
pub(crate) fn assurance(decision: &Record, of: &str) -> Option<Assurance> {
    let field = decision.value("assurance")?;
    field.get(of).and_then(Value::as_str).and_then(Assurance::parse)
}

/// The assurance that goes with a principal for which there is only an evidence grade.
pub(crate) fn assurance_of_grade(grade: Option<&str>) -> Option<Assurance> {
    match grade {
        // a key that the log registered speaks for the principal
        Some("key-signed") => Some(Assurance::IssuerAsserted),
        // the operating system vouches for a user id; who that is, is concluded
        Some("issuer-only") => Some(Assurance::Inferred),
        _ => None,
    }
}

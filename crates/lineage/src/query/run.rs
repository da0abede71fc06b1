//! Runs: the list, and one in full.

use std::collections::BTreeSet;

use evidence::id::{self, Id};
use evidence::kind::Vantage;
use rusqlite::{Connection, OptionalExtension as _, params};
use serde::Serialize;

use super::chains::interned;
use super::remarks::RemarkRow;
use super::select::Stretch;
use super::{At, assurance_of_grade, cut, optional, rows, unsigned};
use crate::answer::{Answer, Fact, Margin};
use crate::error::LineageError;
use crate::fold::{Dim, sql};
use crate::index::Index;
use crate::limits::ROWS_MAX;
use crate::record::Record;

/// Which runs to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunsFilter {
    /// Only those of one task.
    pub task: Option<Id>,
    /// Those too in which nothing was done but a root issued.
    pub issued: bool,
    /// Only runs started at or after this time on the log's clock, ms.
    pub from_ms: Option<u64>,
    /// Only runs started before this time, ms.
    pub to_ms: Option<u64>,
    /// Rows wanted; within 1 and [`ROWS_MAX`], else it is brought there.
    pub limit: Option<u64>,
    /// Only runs started below this position: the `next` of the answer before.
    pub before: Option<u64>,
}

/// Answer of [`Index::runs`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Runs {
    /// Newest first.
    pub runs: Vec<RunRow>,
    /// `before` for the rows that follow; absent when there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

/// One run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunRow {
    /// Its id.
    pub run: String,
    /// Position of its first entry.
    pub started: u64,
    /// The log's clock then, ms.
    pub started_ms: u64,
    /// Where the recorder stood.
    pub vantage: &'static str,
    /// Position of its manifest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<u64>,
    /// The log's clock then, ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_ms: Option<u64>,
    /// Why it ended: `closed`, `lost` …; nothing while it is open.
    pub reason: Fact,
    /// Its task.
    pub task: Fact,
    /// The run that handed the work over to it, at the entry in which that one says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<Fact>,
    /// Whether somebody broke the glass for it: a root on the person's own authority, whose review is open.
    #[serde(skip_serializing_if = "core::ops::Not::not")]
    pub break_glass: bool,
    /// On whose authority.
    pub initiator: Fact,
    /// How well that is evidenced.
    pub grade: Fact,
    /// The agent.
    pub holder: Fact,
    /// What it uses: alias, command, digests.
    pub servers: Fact,
    /// What set it off.
    pub trigger: Fact,
    /// Acts decided.
    pub actions: u64,
    /// Of those, refused.
    pub refused: u64,
    /// Of those, allowed and without outcome so far.
    pub open: u64,
    /// Times in which its recorder could not reach the server; what happened then is not among the actions.
    pub gap_entries: u64,
}

/// One stream of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct StreamRow {
    /// Its number.
    pub stream: u64,
    /// Its entries.
    pub entries: u64,
    /// Position of the last of them.
    pub last: u64,
    /// Whether its end is recorded, by a manifest of its own or by that of the run.
    pub closed: bool,
}

/// Answer of [`Index::run`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunAnswer {
    /// As in the list.
    #[serde(flatten)]
    pub row: RunRow,
    /// The model.
    pub model: Fact,
    /// The prompt.
    pub prompt: Fact,
    /// What the agent is defined by.
    pub agent_definition: Fact,
    /// What the operating system says of the process that started it.
    pub client: Fact,
    /// Its streams.
    pub streams: Vec<StreamRow>,
    /// Positions of its delegations.
    pub delegations: Vec<u64>,
    /// Positions of its allowed acts without outcome.
    pub open_actions: Vec<u64>,
    /// Positions of its gaps.
    pub gaps: Vec<u64>,
    /// Positions of its observations (counted refusals, late outcomes, refused frames).
    pub observations: Vec<u64>,
    /// Runs that it handed work over to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<ChildRow>,
    /// Orders about its delegations, and counters that are missing at its end.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<RemarkRow>,
}

/// A run that another one announces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChildRow {
    /// Position of the entry that announces it.
    pub index: u64,
    /// Its id.
    pub run: String,
}

#[derive(Debug, Clone)]
struct IndexedRun {
    id: i64,
    started: u64,
    ended: Option<u64>,
    actions: u64,
    refused: u64,
    outcomes: u64,
}

struct Details {
    streams: Vec<StreamRow>,
    delegations: Vec<u64>,
    open_actions: Vec<u64>,
    gaps: Vec<u64>,
    observations: Vec<u64>,
}

impl Index {
    /// Lists runs, newest first.
    pub fn runs(&self, filter: &RunsFilter) -> Result<Answer<Runs>, LineageError> {
        let limit = rows(filter.limit);
        let (size, mut found) = self.read(|db, size| Ok((size, select(db, filter, limit + 1)?)))?;
        let mut margin = Margin::default();
        let more = u64::try_from(found.len()).unwrap_or(u64::MAX) > limit;
        found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        let next = found.last().filter(|_| more).map(|row| row.started);
        if let Some(next) = next {
            margin.left_out.push(format!("older runs, those before @{next}"));
        }
        let mut runs = Vec::new();
        for row in &found {
            runs.extend(self.run_facts(row, &mut margin)?.map(|(row, _)| row));
        }
        Ok(margin.answer(size, Runs { runs, next }))
    }

    /// One run in full.
    pub fn run(&self, run: &Id) -> Result<Answer<RunAnswer>, LineageError> {
        let (size, found) = self.read(|db, size| {
            let row = select_one(db, run)?;
            let details = row.as_ref().map(|row| details(db, row)).transpose()?;
            Ok((size, row.zip(details)))
        })?;
        let not_found = || LineageError::NotFound {
            what: "run",
            name: id::text(run),
            size,
            advice: "`deeds runs` lists those there are".into(),
        };
        let (row, mut details) = found.ok_or_else(not_found)?;
        let mut margin = Margin::default();
        let (facts, started) = self.run_facts(&row, &mut margin)?.ok_or_else(not_found)?;
        for (list, what) in [
            (&mut details.delegations, "delegations"),
            (&mut details.open_actions, "open actions"),
            (&mut details.gaps, "gaps"),
            (&mut details.observations, "observations"),
        ] {
            cut(list, ROWS_MAX, what, &mut margin);
        }
        if !details.gaps.is_empty() {
            margin
                .left_out
                .push(format!("what happened during the {} recorded gaps of this run", details.gaps.len()));
        }
        let mut children = self.children_of(run, ROWS_MAX + 1)?;
        cut(&mut children, ROWS_MAX, "runs that it handed work over to", &mut margin);
        let remarks = self.orders_and_counters(&BTreeSet::from([*run]), &mut margin)?;
        let content = RunAnswer {
            children: children
                .iter()
                .map(|child| ChildRow { index: child.index, run: id::text(&child.run) })
                .collect(),
            remarks,
            model: Fact::of(&started, "model"),
            prompt: Fact::of(&started, "prompt"),
            agent_definition: Fact::of(&started, "agent_definition"),
            client: Fact::of(&started, "client").assured(Some(evidence::label::Assurance::Inferred)),
            row: facts,
            streams: details.streams,
            delegations: details.delegations,
            open_actions: details.open_actions,
            gaps: details.gaps,
            observations: details.observations,
        };
        Ok(margin.answer(size, content))
    }

    /// A run's facts and its first entry, from the log.
    fn run_facts(
        &self,
        row: &IndexedRun,
        margin: &mut Margin,
    ) -> Result<Option<(RunRow, Record)>, LineageError> {
        let started = self.record(row.started)?;
        margin.note(&started);
        let ended = row.ended.map(|index| self.record(index)).transpose()?;
        let Some(entry) = &started.entry else { return Ok(None) };
        let grade = started.text("evidence_grade");
        let facts = RunRow {
            run: id::text(&entry.run),
            started: started.index,
            started_ms: entry.observed_ms,
            vantage: Vantage::name_of(entry.vantage),
            ended: row.ended,
            ended_ms: ended.as_ref().and_then(|ended| Some(ended.entry.as_ref()?.observed_ms)),
            reason: ended.as_ref().map_or_else(|| Fact::missing("none", None), |end| Fact::of(end, "reason")),
            task: Fact::of(&started, "txn"),
            parent: self.parent_of(&entry.run, margin)?,
            break_glass: self.read(|db, _| is_break_glass(db, row.id))?,
            initiator: Fact::of(&started, "initiator").assured(assurance_of_grade(grade.as_deref())),
            grade: Fact::of(&started, "evidence_grade"),
            holder: Fact::of(&started, "holder").assured(holder_assurance(&started)),
            servers: Fact::of(&started, "servers"),
            trigger: Fact::of(&started, "trigger"),
            actions: row.actions,
            refused: row.refused,
            open: row.actions.saturating_sub(row.refused).saturating_sub(row.outcomes),
            gap_entries: self.read(|db, _| gaps(db, row.id))?,
        };
        Ok(Some((facts, started)))
    }
}

/// The assurance that a holder object carries itself.
pub(super) fn holder_assurance(record: &Record) -> Option<evidence::label::Assurance> {
    let holder = record.typed::<evidence::Holder>("holder")?;
    evidence::label::Assurance::parse(&holder.asr)
}

const COLUMNS: &str = "id, started, ended, actions, refused, outcomes";

fn indexed_run(row: &rusqlite::Row<'_>) -> rusqlite::Result<IndexedRun> {
    Ok(IndexedRun {
        id: row.get(0)?,
        started: unsigned(row, 1)?,
        ended: optional(row, 2)?,
        actions: unsigned(row, 3)?,
        refused: unsigned(row, 4)?,
        outcomes: unsigned(row, 5)?,
    })
}

/// A run in which a root was issued and nothing else happened.
pub(crate) const ISSUANCE: &str = "issued = 1 AND actions = 0";

fn select(db: &Connection, filter: &RunsFilter, max: u64) -> rusqlite::Result<Vec<IndexedRun>> {
    let stretch = Stretch::of(db, filter.from_ms, filter.to_ms, filter.before)?;
    let mut values = stretch.values().to_vec();
    values.push(sql(max));
    if let Some(task) = &filter.task {
        let Some(task) = interned(db, Dim::Task, &id::text(task))? else { return Ok(Vec::new()) };
        values.push(task);
    }
    db.prepare_cached(&statement(filter.task.is_some(), filter.issued))?
        .query_map(rusqlite::params_from_iter(values), indexed_run)?
        .collect()
}

fn statement(of_task: bool, issued: bool) -> String {
    let task = if of_task { "task = ?6 AND " } else { "" };
    let shown = if issued { "1".to_owned() } else { format!("NOT ({ISSUANCE})") };
    format!(
        "SELECT {COLUMNS} FROM runs WHERE {task}started >= ?1 AND started < ?2 AND started_ms >= ?3
         AND started_ms < ?4 AND {shown} ORDER BY started DESC LIMIT ?5"
    )
}

fn select_one(db: &Connection, run: &Id) -> rusqlite::Result<Option<IndexedRun>> {
    let query = format!("SELECT {COLUMNS} FROM runs WHERE run = ?1 AND started IS NOT NULL");
    db.prepare_cached(&query)?.query_row(params![run], indexed_run).optional()
}

fn is_break_glass(db: &Connection, run: i64) -> rusqlite::Result<bool> {
    db.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM delegations JOIN links USING(token) WHERE delegations.run = ?1 AND links.glass)",
    )?
    .query_row([run], |row| row.get(0))
}

fn gaps(db: &Connection, run: i64) -> rusqlite::Result<u64> {
    db.prepare_cached("SELECT COUNT(*) FROM remarks WHERE run = ?1 AND kind = ?2")?
        .query_row([run, i64::from(evidence::Kind::Gap.code())], |row| unsigned(row, 0))
}

fn details(db: &Connection, run: &IndexedRun) -> rusqlite::Result<Details> {
    let remarks = |kind: evidence::Kind| {
        positions(
            db,
            "SELECT idx FROM remarks WHERE run = ?1 AND kind = ?3 ORDER BY idx LIMIT ?2",
            &[run.id, sql(ROWS_MAX + 1), i64::from(kind.code())],
        )
    };
    Ok(Details {
        streams: streams(db, run)?,
        delegations: positions(
            db,
            "SELECT idx FROM delegations WHERE run = ?1 ORDER BY idx LIMIT ?2",
            &[run.id, sql(ROWS_MAX + 1)],
        )?,
        open_actions: positions(
            db,
            "SELECT decided FROM actions WHERE run = ?1 AND verdict = 'allow' AND finished IS NULL
             ORDER BY decided LIMIT ?2",
            &[run.id, sql(ROWS_MAX + 1)],
        )?,
        gaps: remarks(evidence::Kind::Gap)?,
        observations: remarks(evidence::Kind::Observed)?,
    })
}

fn positions(db: &Connection, query: &str, values: &[i64]) -> rusqlite::Result<Vec<u64>> {
    db.prepare_cached(query)?.query_map(rusqlite::params_from_iter(values), |row| unsigned(row, 0))?.collect()
}

/// A stream is closed by the run's manifest if that comes after its last entry, or by a manifest of its own.
fn streams(db: &Connection, run: &IndexedRun) -> rusqlite::Result<Vec<StreamRow>> {
    db.prepare_cached("SELECT stream, entries, last, ended FROM streams WHERE run = ?1 ORDER BY stream")?
        .query_map([run.id], |row| {
            let last = unsigned(row, 2)?;
            let closed = optional(row, 3)? == Some(last) || run.ended.is_some_and(|ended| ended >= last);
            Ok(StreamRow { stream: unsigned(row, 0)?, entries: unsigned(row, 1)?, last, closed })
        })?
        .collect()
}

/// Where a run and its stream are, for the answer about one action.
pub(super) fn writer_of(db: &Connection, run: &Id, stream: u64) -> rusqlite::Result<Option<u64>> {
    let own = db
        .prepare_cached(
            "SELECT streams.started FROM streams JOIN runs ON runs.id = streams.run
             WHERE runs.run = ?1 AND streams.stream IN (?2, 0) AND streams.started IS NOT NULL
             ORDER BY streams.stream DESC LIMIT 1",
        )?
        .query_row(params![run, sql(stream)], |row| unsigned(row, 0))
        .optional()?;
    Ok(own)
}

/// Used where a position is known to be indexed with a leaf hash.
pub(super) fn at(row: &rusqlite::Row<'_>) -> rusqlite::Result<At> {
    Ok(At { index: unsigned(row, 0)?, leaf: row.get(1)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_listed_in_order_from_an_index() {
        let db = crate::schema::in_memory();
        for (of_task, index) in [(false, "runs_started"), (true, "runs_task")] {
            let plan = crate::schema::plan(&db, &statement(of_task, false));
            assert!(plan.contains(index) && !plan.contains("TEMP B-TREE"), "{plan}");
        }
    }
}

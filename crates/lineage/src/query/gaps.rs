//! `gaps`: whatever may be missing from the record, or unknown in it.

use evidence::id::{self, Id};
use rusqlite::{Connection, OptionalExtension as _, params, params_from_iter};
use serde::Serialize;
use serde_json::json;

use super::beside::{ChangeRow, change_row};
use super::remarks::holes_of;
use super::run::holder_assurance;
use super::select::Stretch;
use super::{At, assurance, assurance_of_grade, rows, run_row, unsigned};
use crate::answer::{Answer, Fact, Margin};
use crate::error::LineageError;
use crate::fold::missing::What;
use crate::fold::sql;
use crate::index::Index;
use crate::limits::OPEN_NAMED_MAX;
use crate::record::Record;

/// Which gaps to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GapsFilter {
    /// First moment on the log's clock, ms.
    pub from_ms: Option<u64>,
    /// First moment after the range, ms.
    pub to_ms: Option<u64>,
    /// Rows wanted; within 1 and [`crate::limits::ROWS_MAX`], else it is brought there.
    pub limit: Option<u64>,
    /// Only what was recorded below this position: the `next` of the answer before.
    pub before: Option<u64>,
}

/// Answer of [`Index::gaps`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Gaps {
    /// Newest first.
    pub gaps: Vec<GapRow>,
    /// `before` for the rows that follow; absent when there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

/// Something that may be missing or unknown.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GapRow {
    /// Position of the entry that shows it.
    pub index: u64,
    /// The log's clock then, ms.
    pub at_ms: u64,
    /// `gap` (the recorder could not reach the server), `outcome-unknown`, `no-outcome` (acts that were open when
    /// their run ended), `refusals` (counted, not recorded one by one), `counter-hole` (proofs that their holder
    /// counted and that are not recorded), `run-lost` (its recorder was gone), `clock-adjusted`,
    /// `definition-changed`, `client-config-changed`.
    pub what: &'static str,
    /// Its run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// Decisions of the acts that it is about, at most [`OPEN_NAMED_MAX`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub actions: Vec<u64>,
    /// Where an outcome was reported after all; it does not take the place of the unknown one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub late: Vec<u64>,
    /// The agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub holder: Option<Fact>,
    /// For whom.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub principal: Option<Fact>,
    /// The tool, of one act.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool: Option<Fact>,
    /// Why, or what is known of it.
    pub why: Fact,
    /// How many calls, acts, frames or proofs it stands for.
    pub count: Fact,
    /// Of refusals: whose they are, a run's or a user's (`uid:1000`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Fact>,
    /// What changed, of a definition or configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change: Option<ChangeRow>,
}

/// A row of the index.
#[derive(Clone, Copy)]
struct Indexed {
    at: At,
    what: What,
    run: i64,
}

const MISSING: &str =
    "SELECT idx, leaf, what, run FROM missing WHERE idx >= ?1 AND idx < ?2 AND observed_ms >= ?3
    AND observed_ms < ?4 ORDER BY idx DESC, what DESC LIMIT ?5";

/// Most rows that one entry makes.
const OF_ONE_ENTRY: u64 = 3;

impl Index {
    /// Lists what may be missing or unknown, newest first.
    pub fn gaps(&self, filter: &GapsFilter) -> Result<Answer<Gaps>, LineageError> {
        let limit = rows(filter.limit);
        let (size, mut found) = self.read(|db, size| Ok((size, select(db, filter, limit)?)))?;
        let mut margin = Margin::default();
        let next = page(&mut found, limit);
        if let Some(next) = next {
            margin.left_out.push(format!("what was recorded before @{next}"));
        }
        let mut gaps = Vec::new();
        for row in found {
            if let Some(record) = self.expect(row.at, &mut margin)? {
                gaps.extend(self.gap_rows(&row, &record, &mut margin)?);
            }
        }
        Ok(margin.answer(size, Gaps { gaps, next }))
    }

    /// What one row of the index stands for; nothing where it has been filled since.
    fn gap_rows(
        &self,
        row: &Indexed,
        record: &Record,
        margin: &mut Margin,
    ) -> Result<Vec<GapRow>, LineageError> {
        Ok(match row.what {
            What::Gap => {
                let counted = Fact::of(record, "count");
                vec![self.of_run(
                    row,
                    GapRow::new(record, "gap", Fact::of(record, "reason"), counted),
                    margin,
                )?]
            }
            What::Refusals => vec![self.refusals(row, record, margin)?],
            What::Lost => {
                let none = Fact::missing("none", None);
                vec![self.of_run(
                    row,
                    GapRow::new(record, "run-lost", Fact::of(record, "reason"), none),
                    margin,
                )?]
            }
            What::Outcome => vec![self.unknown_outcome(row, record, margin)?],
            What::Open => self.without_outcome(row, record, margin)?,
            What::Counters => self.holes(row, record, margin)?,
            What::Clock => vec![clock_adjusted(record)],
            What::Definition => {
                let wrapped = self.wrapped_since(record, margin)?;
                vec![changed(record, wrapped)]
            }
        })
    }

    /// Refusals that were counted, and single ones of what could become no act. They stand in their run, or, where that
    /// had ended or is none, at log level; then their source says whose they are.
    fn refusals(&self, row: &Indexed, record: &Record, margin: &mut Margin) -> Result<GapRow, LineageError> {
        let source = record.text("source").and_then(|source| id::parse(&source));
        let run = match source {
            Some(run) => self.read(|db, _| run_row(db, &run))?,
            None => None,
        };
        let mut gap = GapRow::new(record, "refusals", Fact::of(record, "payload"), Fact::of(record, "count"));
        gap.source = Some(Fact::of(record, "source")).filter(|source| source.missing != Some("none"));
        gap.run = gap.run.or(run.and(source).as_ref().map(id::text));
        self.of_run(&Indexed { run: run.unwrap_or(row.run), ..*row }, gap, margin)
    }

    /// Who acts in a run, for whom: from the entry that begins it.
    fn of_run(&self, row: &Indexed, mut gap: GapRow, margin: &mut Margin) -> Result<GapRow, LineageError> {
        let started: Option<u64> = self.read(|db, _| {
            db.prepare_cached("SELECT started FROM runs WHERE id = ?1 AND started IS NOT NULL")?
                .query_row([row.run], |row| unsigned(row, 0))
                .optional()
        })?;
        if let Some(started) = started.map(|index| self.record(index)).transpose()? {
            margin.note(&started);
            let grade = assurance_of_grade(started.text("evidence_grade").as_deref());
            gap.holder = Some(Fact::of(&started, "holder").assured(holder_assurance(&started)));
            gap.principal = Some(Fact::of(&started, "initiator").assured(grade));
        }
        Ok(gap)
    }

    fn unknown_outcome(
        &self,
        row: &Indexed,
        record: &Record,
        margin: &mut Margin,
    ) -> Result<GapRow, LineageError> {
        let none = Fact::missing("none", None);
        let mut gap = GapRow::new(record, "outcome-unknown", Fact::of(record, "detail"), none);
        let decided = self.read(|db, _| {
            db.prepare_cached("SELECT decided, leaf FROM actions WHERE finished = ?1")?
                .query_row([sql(record.index)], super::run::at)
                .optional()
        })?;
        if let Some(decision) = decided.map_or(Ok(None), |at| self.expect(at, margin))? {
            gap.actions.push(decision.index);
            gap.holder = Some(Fact::of(&decision, "holder").assured(assurance(&decision, "holder")));
            gap.principal = Some(Fact::of(&decision, "principal").assured(assurance(&decision, "principal")));
            gap.tool = Some(Fact::of(&decision, "tool"));
            let act = decision.id("act_id");
            gap.late = self.read(|db, _| late_outcomes(db, row.run, act))?;
        }
        Ok(gap)
    }

    fn without_outcome(
        &self,
        row: &Indexed,
        record: &Record,
        margin: &mut Margin,
    ) -> Result<Vec<GapRow>, LineageError> {
        let (count, actions) = self.read(|db, _| open_of(db, row.run))?;
        if count == 0 {
            return Ok(Vec::new());
        }
        let why = Fact::recorded("the run ended before they had an outcome", record.index);
        let mut gap = GapRow::new(record, "no-outcome", why, Fact::recorded(count, record.index));
        gap.actions = actions;
        Ok(vec![self.of_run(row, gap, margin)?])
    }

    fn holes(
        &self,
        row: &Indexed,
        record: &Record,
        margin: &mut Margin,
    ) -> Result<Vec<GapRow>, LineageError> {
        let Some(entry) = &record.entry else { return Ok(Vec::new()) };
        let mut gaps = Vec::new();
        for (why, count) in self.read(|db, _| holes_of(db, &entry.run))? {
            let why = Fact::recorded(why, record.index);
            let gap = GapRow::new(record, "counter-hole", why, Fact::recorded(count, record.index));
            gaps.push(self.of_run(row, gap, margin)?);
        }
        Ok(gaps)
    }
}

impl GapRow {
    fn new(record: &Record, what: &'static str, why: Fact, count: Fact) -> Self {
        let entry = record.entry.as_ref();
        let run = entry.map(|entry| entry.run).filter(|run| *run != id::LOG_LEVEL);
        Self {
            index: record.index,
            at_ms: entry.map_or(0, |entry| entry.observed_ms),
            what,
            run: run.as_ref().map(id::text),
            actions: Vec::new(),
            late: Vec::new(),
            holder: None,
            principal: None,
            tool: None,
            why,
            count,
            source: None,
            change: None,
        }
    }
}

fn clock_adjusted(record: &Record) -> GapRow {
    let moved = record.number("before_ms").zip(record.number("after_ms"));
    let why = match moved {
        Some((before, after)) => {
            let value = json!({"before_ms": before, "after_ms": after, "reason": record.value("reason")});
            Fact::recorded(value, record.index)
        }
        None => Fact::of(record, "reason"),
    };
    GapRow::new(record, "clock-adjusted", why, Fact::missing("none", None))
}

fn changed(record: &Record, wrapped: Option<bool>) -> GapRow {
    let client = record.text("what").as_deref() == Some("client-config");
    let what = if client { "client-config-changed" } else { "definition-changed" };
    let change = change_row(record).map(|row| ChangeRow { wrapped, ..row });
    GapRow { change, ..GapRow::new(record, what, Fact::of(record, "name"), Fact::of(record, "count")) }
}

/// A page never ends between rows of one entry. The `before` of the next page, if any.
fn page(found: &mut Vec<Indexed>, limit: u64) -> Option<u64> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let last = found.get(limit.checked_sub(1)?)?.at.index;
    let end = found.iter().take_while(|row| row.at.index >= last).count();
    let more = found.len() > end;
    found.truncate(end);
    more.then_some(last)
}

fn select(db: &Connection, filter: &GapsFilter, limit: u64) -> rusqlite::Result<Vec<Indexed>> {
    let mut values = Stretch::of(db, filter.from_ms, filter.to_ms, filter.before)?.values().to_vec();
    values.push(sql(limit + OF_ONE_ENTRY));
    db.prepare_cached(MISSING)?
        .query_map(params_from_iter(values), |row| {
            let at = super::run::at(row)?;
            Ok(What::of(row.get(2)?).zip(Some(row.get(3)?)).map(|(what, run)| Indexed { at, what, run }))
        })?
        .filter_map(Result::transpose)
        .collect()
}

/// Where the outcome of an act was reported after it was set to unknown.
fn late_outcomes(db: &Connection, run: i64, act: Option<Id>) -> rusqlite::Result<Vec<u64>> {
    let Some(act) = act else { return Ok(Vec::new()) };
    db.prepare_cached(
        "SELECT idx FROM remarks WHERE act_id = ?1 AND run = ?2 AND subtype = 'late-outcome' ORDER BY idx LIMIT ?3",
    )?
    .query_map(params![act, run, sql(OPEN_NAMED_MAX)], |row| unsigned(row, 0))?
    .collect()
}

/// Acts of a run that were allowed and have no outcome: how many, and the first of them.
fn open_of(db: &Connection, run: i64) -> rusqlite::Result<(u64, Vec<u64>)> {
    let open = "FROM actions WHERE run = ?1 AND verdict = 'allow' AND finished IS NULL";
    let count =
        db.prepare_cached(&format!("SELECT COUNT(*) {open}"))?.query_row([run], |row| unsigned(row, 0))?;
    let actions = db
        .prepare_cached(&format!("SELECT decided {open} ORDER BY decided LIMIT ?2"))?
        .query_map([run, sql(OPEN_NAMED_MAX)], |row| unsigned(row, 0))?
        .collect::<rusqlite::Result<_>>()?;
    Ok((count, actions))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_found_in_order() {
        let plan = crate::schema::plan(&crate::schema::in_memory(), MISSING);
        assert!(plan.contains("SEARCH missing USING PRIMARY KEY") && !plan.contains("TEMP"), "{plan}");
    }
}

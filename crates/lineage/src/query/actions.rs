//! `did`: what somebody did, one row per action, newest first.

use std::collections::{BTreeMap, BTreeSet};

use evidence::id::{self, Id};
use evidence::kind::Vantage;
use rusqlite::{Connection, params_from_iter};
use serde::Serialize;

use super::chains::interned;
use super::remarks::RemarkRow;
use super::who::{Column, whose_actions};
use super::{At, assurance, rows, run_row, unsigned};
use crate::answer::{Answer, Fact, Margin};
use crate::error::LineageError;
use crate::fold::{Dim, sql};
use crate::index::{Index, meta};
use crate::limits::{NAMES_MAX, ROW_ARGS_MAX_BYTES};
use crate::record::Record;

/// Whose actions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Whose {
    /// Everybody's.
    #[default]
    All,
    /// A principal's (by `sub`, by `<iss> <sub>`, or by key thumbprint), a holder's (by id or key thumbprint), those
    /// under one delegation (by token digest), or a run's.
    Who(String),
    /// One run's.
    Run(Id),
    /// One task's.
    Task(Id),
    /// On one tool, by its URI.
    Tool(String),
}

/// What to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DidFilter {
    /// Whose.
    pub whose: Whose,
    /// First moment on the log's clock, ms.
    pub from_ms: Option<u64>,
    /// First moment after the range, ms.
    pub to_ms: Option<u64>,
    /// Rows wanted; within 1 and [`crate::limits::ROWS_MAX`], else it is brought there.
    pub limit: Option<u64>,
    /// Only actions decided below this position: the `next` of the answer before.
    pub before: Option<u64>,
}

/// Answer of [`Index::did`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Actions {
    /// Newest first.
    pub actions: Vec<ActionRow>,
    /// What is recorded of the same runs and is no action: gaps, refusals of what could not become one, orders about
    /// their delegations, counters that are missing. Oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<RemarkRow>,
    /// `before` for the rows that follow; absent when there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

/// One action.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ActionRow {
    /// Position of the decision.
    pub index: u64,
    /// The log's clock, ms.
    pub observed_ms: u64,
    /// Where the recorder stood.
    pub vantage: &'static str,
    /// The act.
    pub act_id: Fact,
    /// Its run.
    pub run: String,
    /// The run that handed the work over to this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_run: Option<Fact>,
    /// Its task.
    pub task: Fact,
    /// Whether somebody broke the glass for it: a root on the person's own authority, whose review is open.
    #[serde(skip_serializing_if = "core::ops::Not::not")]
    pub break_glass: bool,
    /// On whose authority.
    pub principal: Fact,
    /// By which agent.
    pub holder: Fact,
    /// The tool's URI.
    pub tool: Fact,
    /// What the tool is, by the class table.
    pub class: Fact,
    /// base64url digest of the arguments.
    pub args_digest: Fact,
    /// The arguments, where they are short; nothing where they are longer than [`ROW_ARGS_MAX_BYTES`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub args: Option<Fact>,
    /// `allow` or `deny`.
    pub verdict: Fact,
    /// Why not, for a refusal: {code, step, text}.
    pub reason: Fact,
    /// What came of it.
    pub outcome: OutcomeRow,
}

/// What came of an action.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OutcomeRow {
    /// A status, or `open` while there is none; nothing for a refusal.
    pub status: Fact,
    /// Position of the outcome.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<u64>,
}

/// A row of the index: where the decision is, and where its outcome.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Indexed {
    pub(crate) decided: At,
    pub(crate) finished: Option<At>,
}

impl Index {
    /// Lists actions, newest first. [`LineageError::NotFound`] when the log knows nobody or nothing of that name.
    pub fn did(&self, filter: &DidFilter) -> Result<Answer<Actions>, LineageError> {
        let limit = rows(filter.limit);
        let (size, found) = self.read(|db, size| {
            let columns = columns(db, &filter.whose)?;
            Ok((size, columns.map(|columns| select_all(db, filter, &columns, limit + 1)).transpose()?))
        })?;
        let Some((mut indexed, names_cut)) = found else { return Err(not_found(&filter.whose, size)) };
        let mut margin = Margin::default();
        if names_cut {
            margin.left_out.push(format!("the name stands for more than {NAMES_MAX} identities"));
        }
        let more = u64::try_from(indexed.len()).unwrap_or(u64::MAX) > limit;
        indexed.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        let next = indexed.last().filter(|_| more).map(|row| row.decided.index);
        if let Some(next) = next {
            margin.left_out.push(format!("older actions, those before @{next}"));
        }
        let mut actions = Vec::new();
        for row in indexed {
            actions.extend(self.action(row, &mut margin)?);
        }
        let mut runs: BTreeSet<Id> = actions.iter().filter_map(|action| id::parse(&action.run)).collect();
        let mut parents = BTreeMap::new();
        for run in &runs {
            parents.extend(self.parent_of(run, &mut margin)?.map(|parent| (id::text(run), parent)));
        }
        for action in &mut actions {
            action.parent_run = parents.get(&action.run).cloned();
        }
        if let Whose::Run(run) = filter.whose {
            runs.insert(run);
        }
        let remarks = self.remarks(&runs, &mut margin)?;
        Ok(margin.answer(size, Actions { actions, remarks, next }))
    }

    /// The run that handed work over to this one, as it says itself.
    pub(crate) fn parent_of(&self, run: &Id, margin: &mut Margin) -> Result<Option<Fact>, LineageError> {
        let found = self.read(|db, _| announced(db, run))?;
        let record = found.map_or(Ok(None), |at| self.expect(at, margin))?;
        Ok(record
            .and_then(|record| Some(Fact::recorded(id::text(&record.entry.as_ref()?.run), record.index))))
    }

    /// One row of the answer, read from the log, but for its run's parent.
    pub(crate) fn action(
        &self,
        row: Indexed,
        margin: &mut Margin,
    ) -> Result<Option<ActionRow>, LineageError> {
        let Some(decision) = self.expect(row.decided, margin)? else { return Ok(None) };
        let finished = match row.finished {
            Some(at) => self.expect(at, margin)?,
            None => None,
        };
        let Some(entry) = &decision.entry else { return Ok(None) };
        Ok(Some(ActionRow {
            index: decision.index,
            observed_ms: entry.observed_ms,
            vantage: Vantage::name_of(entry.vantage),
            act_id: Fact::of(&decision, "act_id"),
            run: id::text(&entry.run),
            parent_run: None,
            task: Fact::of(&decision, "txn"),
            break_glass: self.read(|db, _| is_break_glass(db, decision.index))?,
            principal: Fact::of(&decision, "principal").assured(assurance(&decision, "principal")),
            holder: Fact::of(&decision, "holder").assured(assurance(&decision, "holder")),
            tool: Fact::of(&decision, "tool"),
            class: Fact::of(&decision, "class"),
            args_digest: Fact::of(&decision, "args_digest"),
            args: Some(Fact::of(&decision, "args"))
                .filter(|args| args.value.to_string().len() <= ROW_ARGS_MAX_BYTES),
            verdict: Fact::of(&decision, "verdict"),
            reason: Fact::of(&decision, "reason"),
            outcome: OutcomeRow {
                status: status(&decision, finished.as_ref()),
                index: finished.map(|finished| finished.index),
            },
        }))
    }
}

/// Where another run announces this one.
pub(super) fn announced(db: &Connection, run: &Id) -> rusqlite::Result<Option<At>> {
    use rusqlite::OptionalExtension as _;
    let Some(run) = run_row(db, run)? else { return Ok(None) };
    db.prepare_cached("SELECT idx, leaf FROM children WHERE child = ?1 ORDER BY idx LIMIT 1")?
        .query_row([run], super::run::at)
        .optional()
}

/// Whether an act was done under a root that a person took on its own authority.
fn is_break_glass(db: &Connection, decided: u64) -> rusqlite::Result<bool> {
    use rusqlite::OptionalExtension as _;
    let found: Option<bool> = db
        .prepare_cached(
            "SELECT links.glass FROM links JOIN actions ON actions.token = links.token WHERE actions.decided = ?1",
        )?
        .query_row([sql(decided)], |row| row.get(0))
        .optional()?;
    Ok(found.unwrap_or(false))
}

/// The status of an action: what its outcome says, `open` while it has none, nothing for a refusal.
pub(crate) fn status(decision: &Record, finished: Option<&Record>) -> Fact {
    match finished {
        Some(finished) => Fact::of(finished, "status"),
        None if decision.text("verdict").as_deref() == Some("deny") => {
            Fact::missing("none", Some(decision.index))
        }
        None => Fact::recorded("open", decision.index),
    }
}

fn not_found(whose: &Whose, size: u64) -> LineageError {
    let (what, name, advice) = match whose {
        Whose::All => ("action", "any".into(), "record one first"),
        Whose::Who(name) => (
            "principal or agent",
            name.clone(),
            "`deeds runs` and `deeds principal list` name those there are",
        ),
        Whose::Run(run) => ("run", id::text(run), "`deeds runs` lists those there are"),
        Whose::Task(task) => ("task", id::text(task), "`deeds runs` names those there are"),
        Whose::Tool(tool) => ("action on the tool", tool.clone(), "write its URI, `<server>#<tool>`"),
    };
    LineageError::NotFound { what, name, size, advice }
}

/// The conditions that select somebody's actions, several where a name is ambiguous; each is answered from the
/// column's own index. `None` when there is nobody; the flag says that a name stands for more identities than are
/// looked for.
fn columns(db: &Connection, whose: &Whose) -> rusqlite::Result<Option<(Vec<Column>, bool)>> {
    let found: Vec<Column> = match whose {
        Whose::All => return Ok(Some((Vec::new(), false))),
        Whose::Run(run) => run_row(db, run)?.map(|run| ("run", run)).into_iter().collect(),
        Whose::Task(task) => {
            interned(db, Dim::Task, &id::text(task))?.map(|id| ("task", id)).into_iter().collect()
        }
        Whose::Tool(tool) => interned(db, Dim::Tool, tool)?.map(|id| ("tool", id)).into_iter().collect(),
        Whose::Who(name) => {
            let named = whose_actions(db, name)?;
            return Ok((!named.columns.is_empty()).then_some((named.columns, named.cut)));
        }
    };
    Ok((!found.is_empty()).then_some((found, false)))
}

fn select_all(
    db: &Connection,
    filter: &DidFilter,
    (columns, cut): &(Vec<Column>, bool),
    max: u64,
) -> rusqlite::Result<(Vec<Indexed>, bool)> {
    let bounds = positions(db, filter)?;
    if columns.is_empty() {
        return Ok((select(db, filter, bounds, None, max)?, *cut));
    }
    let mut found = Vec::new();
    for column in columns {
        found.extend(select(db, filter, bounds, Some(*column), max)?);
    }
    // somebody can be principal and holder of one action
    found.sort_by_key(|row| core::cmp::Reverse(row.decided.index));
    found.dedup_by_key(|row| row.decided.index);
    found.truncate(usize::try_from(max).unwrap_or(usize::MAX));
    Ok((found, *cut))
}

fn select(
    db: &Connection,
    filter: &DidFilter,
    (from, until): (i64, i64),
    column: Option<Column>,
    max: u64,
) -> rusqlite::Result<Vec<Indexed>> {
    let query = statement(column.map(|(name, _)| name));
    let times = (sql(filter.from_ms.unwrap_or(0)), filter.to_ms.map_or(i64::MAX, sql));
    let mut values = vec![from, until, times.0, times.1, sql(max)];
    values.extend(column.map(|(_, id)| id));
    db.prepare_cached(&query)?.query_map(params_from_iter(values), indexed)?.collect()
}

fn statement(column: Option<&str>) -> String {
    let condition = column.map_or_else(String::new, |name| format!("{name} = ?6 AND "));
    format!(
        "SELECT decided, leaf, finished, finished_leaf FROM actions WHERE {condition}decided >= ?1 AND decided < ?2
         AND observed_ms >= ?3 AND observed_ms < ?4 ORDER BY decided DESC LIMIT ?5"
    )
}

/// Reads `decided, leaf, finished, finished_leaf`.
pub(crate) fn indexed(row: &rusqlite::Row<'_>) -> rusqlite::Result<Indexed> {
    let finished = match (super::optional(row, 2)?, row.get::<_, Option<[u8; 32]>>(3)?) {
        (Some(index), Some(leaf)) => Some(At { index, leaf }),
        _ => None,
    };
    Ok(Indexed { decided: At { index: unsigned(row, 0)?, leaf: row.get(1)? }, finished })
}

/// The positions between which a time range lies.
fn positions(db: &Connection, filter: &DidFilter) -> rusqlite::Result<(i64, i64)> {
    use rusqlite::OptionalExtension as _;
    let first_from = |second: u64| -> rusqlite::Result<Option<i64>> {
        db.prepare_cached("SELECT first FROM seconds WHERE second >= ?1 ORDER BY second LIMIT 1")?
            .query_row([sql(second)], |row| row.get(0))
            .optional()
    };
    // nothing in the log reaches that time: nothing is selected
    let from = filter.from_ms.map_or(Ok(Some(0)), |from| first_from(from / 1_000))?.unwrap_or(i64::MAX);
    let mut until = filter.before.map_or(i64::MAX, sql);
    if let Some(to) = filter.to_ms
        && let Some(first_after) = first_from(to / 1_000 + 1)?
    {
        // entries written while the clock was behind may lie anywhere up to here
        until = until.min(first_after.max(meta::<i64>(db, "behind")?.unwrap_or(0)));
    }
    Ok((from, until))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_selection_walks_its_own_index_in_order() {
        let db = crate::schema::in_memory();
        for column in ["run", "task", "tool", "principal", "holder"] {
            let plan = crate::schema::plan(&db, &statement(Some(column)));
            assert!(plan.contains(&format!("SEARCH actions USING INDEX actions_{column} ")), "{plan}");
            assert!(!plan.contains("TEMP B-TREE"), "{plan}");
        }
        let plan = crate::schema::plan(&db, &statement(None));
        assert!(plan.contains("SEARCH actions USING INTEGER PRIMARY KEY"), "{plan}");
    }
}

//! `tasks`: one row per task.

use rusqlite::{Connection, params_from_iter};
use serde::Serialize;

use super::run::{ISSUANCE, holder_assurance};
use super::select::Stretch;
use super::{assurance_of_grade, rows, unsigned};
use crate::answer::{Answer, Fact, Margin};
use crate::error::LineageError;
use crate::fold::sql;
use crate::index::Index;
use crate::limits::TASK_RUNS_MAX;

/// Which tasks to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TasksFilter {
    /// Only tasks of which something was recorded at or after this time on the log's clock, ms.
    pub from_ms: Option<u64>,
    /// Only tasks that began before this time, ms.
    pub to_ms: Option<u64>,
    /// Rows wanted; within 1 and [`crate::limits::ROWS_MAX`], else it is brought there.
    pub limit: Option<u64>,
    /// Only tasks begun below this position: the `next` of the answer before.
    pub before: Option<u64>,
}

/// Answer of [`Index::tasks`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Tasks {
    /// Newest first, by where they began. A task in which nothing was done but a root issued is none.
    pub tasks: Vec<TaskRow>,
    /// `before` for the rows that follow; absent when there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

/// One task.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TaskRow {
    /// Its id (`txn`).
    pub task: String,
    /// Where it began: the start of its first run.
    pub started: u64,
    /// The log's clock then, ms.
    pub started_ms: u64,
    /// Its last start of a run or decision.
    pub last: u64,
    /// The log's clock then, ms.
    pub last_ms: u64,
    /// On whose authority, as its first run has it.
    pub initiator: Fact,
    /// How well that is evidenced.
    pub grade: Fact,
    /// The agents of its runs, each once, in the order in which they came.
    pub holders: Vec<Fact>,
    /// What its runs use: aliases.
    pub servers: Vec<String>,
    /// Its runs.
    pub runs: u64,
    /// Of those, not ended.
    pub open_runs: u64,
    /// Acts decided.
    pub actions: u64,
    /// Of those, refused.
    pub refused: u64,
    /// Of those, allowed and without outcome so far.
    pub open: u64,
    /// Acts of which nobody knows what came of them.
    pub unknown: u64,
}

struct Indexed {
    id: i64,
    text: String,
    first: (u64, u64),
    last: (u64, u64),
}

/// Sums over the runs of a task.
struct Sums {
    runs: u64,
    open_runs: u64,
    actions: u64,
    refused: u64,
    outcomes: u64,
    unknown: u64,
}

/// Who acts in a task, with what.
struct Members {
    initiator: Fact,
    grade: Fact,
    holders: Vec<Fact>,
    servers: Vec<String>,
}

impl Index {
    /// Lists tasks, newest first.
    pub fn tasks(&self, filter: &TasksFilter) -> Result<Answer<Tasks>, LineageError> {
        let limit = rows(filter.limit);
        let (size, mut found) = self.read(|db, size| Ok((size, select(db, filter, limit + 1)?)))?;
        let mut margin = Margin::default();
        let more = u64::try_from(found.len()).unwrap_or(u64::MAX) > limit;
        found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        let next = found.last().filter(|_| more).map(|row| row.first.0);
        if let Some(next) = next {
            margin.left_out.push(format!("older tasks, those begun before @{next}"));
        }
        let mut tasks = Vec::new();
        for row in found {
            tasks.push(self.task_row(&row, &mut margin)?);
        }
        Ok(margin.answer(size, Tasks { tasks, next }))
    }

    fn task_row(&self, row: &Indexed, margin: &mut Margin) -> Result<TaskRow, LineageError> {
        let sums = self.read(|db, _| sums(db, row.id))?;
        let members = self.members(row, margin)?;
        Ok(TaskRow {
            task: row.text.clone(),
            started: row.first.0,
            started_ms: row.first.1,
            last: row.last.0,
            last_ms: row.last.1,
            initiator: members.initiator,
            grade: members.grade,
            holders: members.holders,
            servers: members.servers,
            runs: sums.runs,
            open_runs: sums.open_runs,
            actions: sums.actions,
            refused: sums.refused,
            open: sums.actions.saturating_sub(sums.refused).saturating_sub(sums.outcomes),
            unknown: sums.unknown,
        })
    }

    /// Who acts in a task: from the entries that begin its first runs.
    fn members(&self, row: &Indexed, margin: &mut Margin) -> Result<Members, LineageError> {
        let mut starts = self.read(|db, _| starts(db, row.id))?;
        let what = format!("the agents of further runs of the task @{}: runs", row.first.0);
        super::cut(&mut starts, TASK_RUNS_MAX, &what, margin);
        let none = || Fact::missing("none", None);
        let mut members =
            Members { initiator: none(), grade: none(), holders: Vec::new(), servers: Vec::new() };
        for (n, started) in starts.into_iter().enumerate() {
            let record = self.record(started)?;
            margin.note(&record);
            if n == 0 {
                let grade = record.text("evidence_grade");
                members.initiator =
                    Fact::of(&record, "initiator").assured(assurance_of_grade(grade.as_deref()));
                members.grade = Fact::of(&record, "evidence_grade");
            }
            let holder = Fact::of(&record, "holder").assured(holder_assurance(&record));
            let id = |fact: &Fact| fact.value.get("id").cloned();
            if members.holders.iter().all(|known| id(known) != id(&holder)) {
                members.holders.push(holder);
            }
            let servers = record.value("servers").unwrap_or_default();
            for alias in
                servers.as_array().into_iter().flatten().filter_map(|server| server.get("alias")?.as_str())
            {
                if members.servers.iter().all(|known| known != alias) {
                    members.servers.push(alias.to_owned());
                }
            }
        }
        Ok(members)
    }
}

/// Tasks in which something was done, newest first.
fn statement() -> String {
    format!(
        "SELECT id, val, first, first_ms, last, last_ms FROM tasks JOIN dict USING(id)
         WHERE first < ?1 AND first_ms < ?2 AND last_ms >= ?3
         AND EXISTS (SELECT 1 FROM runs WHERE task = tasks.id AND started IS NOT NULL AND NOT ({ISSUANCE}))
         ORDER BY first DESC LIMIT ?4"
    )
}

fn select(db: &Connection, filter: &TasksFilter, max: u64) -> rusqlite::Result<Vec<Indexed>> {
    // a task that began in time may have gone on: only the upper end of the stretch is one of positions
    let [_, until, _, to_ms] = Stretch::of(db, None, filter.to_ms, filter.before)?.values();
    let values = [until, to_ms, sql(filter.from_ms.unwrap_or(0)), sql(max)];
    db.prepare_cached(&statement())?
        .query_map(params_from_iter(values), |row| {
            Ok(Indexed {
                id: row.get(0)?,
                text: row.get(1)?,
                first: (unsigned(row, 2)?, unsigned(row, 3)?),
                last: (unsigned(row, 4)?, unsigned(row, 5)?),
            })
        })?
        .collect()
}

fn sums(db: &Connection, task: i64) -> rusqlite::Result<Sums> {
    let unknown = db
        .prepare_cached("SELECT COUNT(*) FROM actions WHERE task = ?1 AND status = 'unknown'")?
        .query_row([task], |row| unsigned(row, 0))?;
    db.prepare_cached(&format!(
        "SELECT COUNT(*), IFNULL(SUM(ended IS NULL), 0), IFNULL(SUM(actions), 0), IFNULL(SUM(refused), 0),
         IFNULL(SUM(outcomes), 0) FROM runs
         WHERE task = ?1 AND started IS NOT NULL AND NOT ({ISSUANCE})"
    ))?
    .query_row([task], |row| {
        Ok(Sums {
            runs: unsigned(row, 0)?,
            open_runs: unsigned(row, 1)?,
            actions: unsigned(row, 2)?,
            refused: unsigned(row, 3)?,
            outcomes: unsigned(row, 4)?,
            unknown,
        })
    })
}

fn starts(db: &Connection, task: i64) -> rusqlite::Result<Vec<u64>> {
    db.prepare_cached(&format!(
        "SELECT started FROM runs WHERE task = ?1 AND started IS NOT NULL AND NOT ({ISSUANCE})
         ORDER BY started LIMIT ?2"
    ))?
    .query_map([task, sql(TASK_RUNS_MAX + 1)], |row| unsigned(row, 0))?
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_are_listed_in_order_from_an_index() {
        let db = crate::schema::in_memory();
        let plan = crate::schema::plan(&db, &statement());
        assert!(plan.contains("tasks_first") && plan.contains("runs_task"), "{plan}");
        assert!(!plan.contains("TEMP B-TREE") && !plan.contains("SCAN"), "{plan}");
        let unknown = "SELECT COUNT(*) FROM actions WHERE task = ?1 AND status = 'unknown'";
        assert!(crate::schema::plan(&db, unknown).contains("actions_unknown"));
    }
}

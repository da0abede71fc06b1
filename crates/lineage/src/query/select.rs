//! Which actions a question is about: one index of the table is walked in the order of the log, the other conditions
//! filter what it gives, and the walk is bounded.

use evidence::tool::{ANY, Scheme};
use rusqlite::types::Value as Sql;
use rusqlite::{Connection, OptionalExtension as _, params, params_from_iter};

use super::actions::Indexed;
use super::{At, optional, unsigned};
use crate::fold::{Dim, sql};
use crate::index::meta;
use crate::limits::{NAMES_MAX, SCANNED_MAX, TOOLS_MAX};

/// Which outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutcomeIs {
    /// None so far, though the act was allowed.
    Open,
    /// One of this status.
    Status(evidence::Status),
}

impl OutcomeIs {
    /// `open`, or a status of format §5, kind 6.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "open" => Some(Self::Open),
            word => evidence::Status::parse(word).map(Self::Status),
        }
    }
}

/// A stretch of the log: positions `[from, until)`, and the log's clock at them, `[from_ms, to_ms)`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stretch {
    from: i64,
    until: i64,
    from_ms: i64,
    to_ms: i64,
}

impl Stretch {
    /// From positions and times that somebody asked for.
    pub(crate) fn of(
        db: &Connection,
        from_ms: Option<u64>,
        to_ms: Option<u64>,
        before: Option<u64>,
    ) -> rusqlite::Result<Self> {
        let first_from = |second: u64| -> rusqlite::Result<Option<i64>> {
            db.prepare_cached("SELECT first FROM seconds WHERE second >= ?1 ORDER BY second LIMIT 1")?
                .query_row([sql(second)], |row| row.get(0))
                .optional()
        };
        // nothing in the log reaches that time: nothing is selected
        let from = from_ms.map_or(Ok(Some(0)), |from| first_from(from / 1_000))?.unwrap_or(i64::MAX);
        let mut until = before.map_or(i64::MAX, sql);
        if let Some(to) = to_ms
            && let Some(first_after) = first_from(to / 1_000 + 1)?
        {
            // entries written while the clock was behind may lie anywhere up to here
            until = until.min(first_after.max(meta::<i64>(db, "behind")?.unwrap_or(0)));
        }
        Ok(Self { from, until, from_ms: sql(from_ms.unwrap_or(0)), to_ms: to_ms.map_or(i64::MAX, sql) })
    }

    /// As parameters `?1` to `?4`.
    pub(crate) fn values(&self) -> [i64; 4] {
        [self.from, self.until, self.from_ms, self.to_ms]
    }
}

/// A condition on a row of `actions`, which one of its indexes answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Condition {
    /// A column has one of these ids.
    Column(&'static str, Vec<i64>),
    /// Somebody: principal or holder or run or token, each with its id; several for a name that stands for several.
    Who(Vec<(&'static str, i64)>),
    /// It was allowed and has no outcome.
    Open,
    /// It has an outcome of this status.
    Status(&'static str),
    Refused,
    Allowed,
}

/// An index to walk: its name, what it is asked for, and how that is spelt.
type Walk = (&'static str, Vec<Sql>, String);

impl Condition {
    /// How few rows it is expected to leave: the lowest is walked, the others filter.
    fn rank(&self) -> u8 {
        match self {
            Self::Column("run", _) => 0,
            Self::Open => 1,
            Self::Status(status) if *status != OK => 2,
            Self::Column("task", _) => 3,
            Self::Who(_) => 4,
            Self::Column("tool", _) => 5,
            Self::Column(..) => 6,
            Self::Refused => 7,
            Self::Status(_) | Self::Allowed => u8::MAX,
        }
    }

    /// The walks that give every row of the condition, each in the order of the log; none where nearly all rows are.
    fn walks(&self) -> Vec<Walk> {
        let column = |(name, id): (&'static str, i64)| {
            (index_of(name), vec![Sql::Integer(id)], format!("{name} = ?5"))
        };
        match self {
            Self::Column(name, ids) => ids.iter().map(|id| column((*name, *id))).collect(),
            Self::Who(columns) => columns.iter().copied().map(column).collect(),
            Self::Open => vec![("actions_open", vec![], OPEN.to_owned())],
            Self::Refused => vec![("actions_refused", vec![], "verdict = 'deny'".to_owned())],
            Self::Status(status) if *status != OK => {
                // the second half is how the index is written down
                let text = "status = ?5 AND status <> 'ok'".to_owned();
                vec![("actions_status", vec![Sql::Text((*status).to_owned())], text)]
            }
            Self::Status(_) | Self::Allowed => Vec::new(),
        }
    }

    /// As a filter; everything in it is ours.
    fn filter(&self) -> String {
        let one_of = |name: &str, ids: &[i64]| {
            let ids: Vec<String> = ids.iter().map(i64::to_string).collect();
            format!("{name} IN ({})", ids.join(", "))
        };
        match self {
            Self::Column(name, ids) => one_of(name, ids),
            Self::Who(columns) => {
                let each: Vec<String> = columns.iter().map(|(name, id)| format!("{name} = {id}")).collect();
                format!("({})", each.join(" OR "))
            }
            Self::Open => OPEN.to_owned(),
            Self::Status(status) => format!("status = '{status}'"),
            Self::Refused => "verdict = 'deny'".to_owned(),
            Self::Allowed => "verdict = 'allow'".to_owned(),
        }
    }
}

/// Status of nearly all acts.
const OK: &str = "ok";

/// How an act without outcome is written down in its index.
const OPEN: &str = "verdict = 'allow' AND finished IS NULL";

fn index_of(column: &str) -> &'static str {
    match column {
        "run" => "actions_run",
        "task" => "actions_task",
        "tool" => "actions_tool",
        "principal" => "actions_principal",
        "token" => "actions_token",
        _ => "actions_holder",
    }
}

/// What was selected.
#[derive(Debug, Default)]
pub(crate) struct Selected {
    /// Newest first.
    pub(crate) rows: Vec<Indexed>,
    /// The walk was bounded: what lies before this position was not looked at.
    pub(crate) searched_to: Option<u64>,
}

/// The newest actions that meet all conditions, at most `max`.
pub(crate) fn select(
    db: &Connection,
    conditions: &[Condition],
    stretch: Stretch,
    max: u64,
) -> rusqlite::Result<Selected> {
    let driver = conditions.iter().filter(|one| one.rank() < u8::MAX).min_by_key(|one| one.rank());
    let filters: Vec<&Condition> =
        conditions.iter().filter(|one| driver.is_none_or(|driver| *one != driver)).collect();
    let walks = driver.map_or_else(|| vec![(ALL, Vec::new(), "1".to_owned())], Condition::walks);
    let mut found = Selected::default();
    for walk in &walks {
        let (rows, searched_to) = walked(db, walk, &filters, stretch, max)?;
        found.rows.extend(rows);
        found.searched_to = found.searched_to.max(searched_to);
    }
    // somebody can be principal and holder of one action
    found.rows.sort_by_key(|row| core::cmp::Reverse(row.decided.index));
    found.rows.dedup_by_key(|row| row.decided.index);
    // where one walk stopped, the others count no further
    found.rows.retain(|row| found.searched_to.is_none_or(|to| row.decided.index >= to));
    found.rows.truncate(usize::try_from(max).unwrap_or(usize::MAX));
    Ok(found)
}

/// Stands for the table itself, in the order of the log.
const ALL: &str = "";

fn walked(
    db: &Connection,
    (index, values, condition): &Walk,
    filters: &[&Condition],
    stretch: Stretch,
    max: u64,
) -> rusqlite::Result<(Vec<Indexed>, Option<u64>)> {
    let mut bound: Vec<Sql> = stretch.values().map(Sql::Integer).to_vec();
    bound.extend(values.iter().cloned());
    let query = statement(index, condition, filters, bound.len());
    let mut asked = bound.clone();
    asked.push(Sql::Integer(sql(max)));
    let rows: Vec<Indexed> = db
        .prepare_cached(&query)?
        .query_map(params_from_iter(asked), indexed)?
        .collect::<rusqlite::Result<_>>()?;
    if filters.is_empty() || u64::try_from(rows.len()).unwrap_or(u64::MAX) >= max {
        return Ok((rows, None));
    }
    // fewer than wanted: either there are no more, or the walk was long enough
    let last = db
        .prepare_cached(&end_of_walk(index, condition))?
        .query_row(params_from_iter(bound), |row| unsigned(row, 0))
        .optional()?;
    Ok((rows, last))
}

/// The rows of a walk that pass the filters. The inner query is as long as a walk may be; SQLite runs it step by step,
/// and no further than the outer one needs.
fn statement(index: &str, condition: &str, filters: &[&Condition], values: usize) -> String {
    let limit = values + 1;
    let inner = inner(index, condition);
    if filters.is_empty() {
        return format!("SELECT decided, leaf, finished, finished_leaf {inner} LIMIT ?{limit}");
    }
    let filters: Vec<String> = filters.iter().map(|filter| filter.filter()).collect();
    format!(
        "SELECT decided, leaf, finished, finished_leaf FROM (SELECT * {inner} LIMIT {SCANNED_MAX}) WHERE {}
         LIMIT ?{limit}",
        filters.join(" AND ")
    )
}

fn inner(index: &str, condition: &str) -> String {
    let by = if index == ALL { String::new() } else { format!(" INDEXED BY {index}") };
    format!(
        "FROM actions{by} WHERE {condition} AND decided >= ?1 AND decided < ?2 AND observed_ms >= ?3
         AND observed_ms < ?4 ORDER BY decided DESC"
    )
}

fn end_of_walk(index: &str, condition: &str) -> String {
    format!("SELECT decided {} LIMIT 1 OFFSET {}", inner(index, condition), SCANNED_MAX - 1)
}

/// Reads `decided, leaf, finished, finished_leaf`.
pub(crate) fn indexed(row: &rusqlite::Row<'_>) -> rusqlite::Result<Indexed> {
    let finished = match (optional(row, 2)?, row.get::<_, Option<[u8; 32]>>(3)?) {
        (Some(index), Some(leaf)) => Some(At { index, leaf }),
        _ => None,
    };
    Ok(Indexed { decided: At { index: unsigned(row, 0)?, leaf: row.get(1)? }, finished })
}

/// The principals of a name; one more than are looked for where there are more.
pub(crate) fn principals(db: &Connection, name: &str) -> rusqlite::Result<Vec<i64>> {
    db.prepare_cached("SELECT id FROM names WHERE name = ?1 AND kind = ?2 LIMIT ?3")?
        .query_map(params![name, Dim::Principal as u8, sql(NAMES_MAX as u64 + 1)], |row| row.get(0))?
        .collect()
}

/// The tools of a URI: one, or all of a server (`<server>#*`). A name without `#` is that of a tool, at whatever
/// server; where there is none, that of a server. One more than are looked for where there are more.
pub(crate) fn tools(db: &Connection, name: &str) -> rusqlite::Result<Vec<i64>> {
    if name.contains('#') {
        return tools_of_uri(db, name);
    }
    let named = tools_named(db, name)?;
    if !named.is_empty() {
        return Ok(named);
    }
    let schemes = [Scheme::Stdio, Scheme::Run].map(|scheme| scheme.server(name));
    let mut found = Vec::new();
    for server in schemes.iter().map(String::as_str).chain([name]) {
        found.extend(tools_of_uri(db, &format!("{server}#{ANY}"))?);
    }
    Ok(found)
}

/// Tools with a name, whatever their server. Of tools there are few: all are looked at, but no more than a walk may be
/// long.
pub(crate) fn tools_named(db: &Connection, name: &str) -> rusqlite::Result<Vec<i64>> {
    // the rows of scopes that stand for all tools have no tool's name
    if name == ANY {
        return Ok(Vec::new());
    }
    db.prepare_cached(NAMED)?
        .query_map(params![Dim::Tool as u8, sql(SCANNED_MAX), name, sql(TOOLS_MAX + 1)], |row| row.get(0))?
        .collect()
}

const NAMED: &str = "SELECT id FROM (SELECT id, val FROM dict WHERE kind = ?1 LIMIT ?2)
    WHERE substr(val, -length(?3) - 1) = '#' || ?3 LIMIT ?4";

fn tools_of_uri(db: &Connection, uri: &str) -> rusqlite::Result<Vec<i64>> {
    let Some(server) = uri.strip_suffix('*').filter(|server| server.ends_with('#')) else {
        return Ok(super::chains::interned(db, Dim::Tool, uri)?.into_iter().collect());
    };
    // `$` follows `#`; the row of a scope that names all tools is no tool
    let end = format!("{}$", server.trim_end_matches('#'));
    db.prepare_cached(
        "SELECT id FROM dict WHERE kind = ?1 AND val >= ?2 AND val < ?3 AND val <> ?4 LIMIT ?5",
    )?
    .query_map(params![Dim::Tool as u8, server, end, uri, sql(TOOLS_MAX + 1)], |row| row.get(0))?
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(index: &str, condition: &str, filters: &[&Condition], values: usize) -> String {
        crate::schema::plan(&crate::schema::in_memory(), &statement(index, condition, filters, values))
    }

    #[test]
    fn each_condition_walks_its_own_index_in_order() {
        let columns = ["run", "task", "tool", "principal", "holder", "token"];
        let mut conditions: Vec<Condition> =
            columns.iter().map(|name| Condition::Column(name, vec![1])).collect();
        conditions.extend([Condition::Refused, Condition::Status("unknown"), Condition::Open]);
        conditions.push(Condition::Who(vec![("principal", 1), ("holder", 2)]));
        let allowed = Condition::Allowed;
        for condition in conditions {
            for (index, values, text) in condition.walks() {
                for filters in [&[][..], &[&allowed][..]] {
                    let plan = plan(index, &text, filters, 4 + values.len());
                    assert!(plan.contains(index), "{plan}");
                    // the few open acts are sorted; those of a delegation stand in the order of their own times
                    if !["actions_open", "actions_token"].contains(&index) {
                        assert!(!plan.contains("TEMP B-TREE"), "{plan}");
                    }
                }
            }
        }
        assert!(plan(ALL, "1", &[], 4).contains("SEARCH actions USING INTEGER PRIMARY KEY"));
    }

    #[test]
    fn a_filtered_walk_is_not_laid_down_first() {
        let allowed = Condition::Allowed;
        let plan = plan("actions_tool", "tool = ?5", &[&allowed], 5);
        assert!(plan.contains("CO-ROUTINE") && !plan.contains("MATERIALIZE"), "{plan}");
        let end = crate::schema::plan(&crate::schema::in_memory(), &end_of_walk("actions_tool", "tool = ?5"));
        assert!(end.contains("actions_tool") && !end.contains("TEMP B-TREE"), "{end}");
    }

    #[test]
    fn the_condition_that_leaves_least_is_walked() {
        let run = Condition::Column("run", vec![1]);
        let tool = Condition::Column("tool", vec![1]);
        let order = [
            run,
            Condition::Open,
            Condition::Status("unknown"),
            Condition::Column("task", vec![1]),
            Condition::Who(vec![("holder", 1)]),
            tool,
            Condition::Column("principal", vec![1]),
            Condition::Refused,
        ];
        assert!(order.is_sorted_by_key(Condition::rank));
        assert!(Condition::Allowed.walks().is_empty() && Condition::Status(OK).walks().is_empty());
    }
}

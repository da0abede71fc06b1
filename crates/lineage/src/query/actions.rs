//! `did`: what somebody did, one row per action, newest first.

use std::collections::{BTreeMap, BTreeSet};

use evidence::Verdict;
use evidence::id::{self, Id};
use evidence::kind::Vantage;
use rusqlite::Connection;
use serde::Serialize;

use super::beside::Beside;
use super::chains::{interned, text_of};
use super::remarks::RemarkRow;
use super::select::{Condition, OutcomeIs, Stretch, principals, select, tools, tools_named};
use super::who::whose_actions;
use super::{At, assurance, rows, run_row};
use crate::answer::{Answer, Fact, Margin};
use crate::error::LineageError;
use crate::fold::{Dim, sql};
use crate::index::Index;
use crate::limits::{NAMES_MAX, ROW_ARGS_MAX_BYTES, TOOLS_MAX};
use crate::record::Record;

/// Whose actions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Whose {
    /// Everybody's.
    #[default]
    All,
    /// A principal's (by `sub`, by `<iss> <sub>`, or by key thumbprint), a holder's (by id or key thumbprint), those
    /// under one delegation (by token digest), or a run's; `<start>*`: of everybody whose name begins like that.
    Who(String),
    /// One run's.
    Run(Id),
    /// One task's.
    Task(Id),
}

/// What to list: actions that meet every condition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DidFilter {
    /// Whose.
    pub whose: Whose,
    /// On one tool, by its URI, or on all tools of a server: `<server>#*`. Without `#`: on tools of that name at any
    /// server, or, where no tool is named so, on all tools of the server.
    pub tool: Option<String>,
    /// On whose authority: `sub`, `<iss> <sub>`, or a thumbprint.
    pub principal: Option<String>,
    /// Allowed or refused.
    pub verdict: Option<Verdict>,
    /// What came of it.
    pub outcome: Option<OutcomeIs>,
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
    /// What stands beside it in the log.
    #[serde(flatten)]
    pub beside: Beside,
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
    /// Lists actions, newest first. [`LineageError::NotFound`] when the log knows nobody or nothing of a name.
    pub fn did(&self, filter: &DidFilter) -> Result<Answer<Actions>, LineageError> {
        let limit = rows(filter.limit);
        let (size, found) = self.read(|db, size| {
            let conditions = match conditions(db, filter)? {
                Ok(conditions) => conditions,
                Err(absent) => return Ok((size, Err(absent))),
            };
            let stretch = Stretch::of(db, filter.from_ms, filter.to_ms, filter.before)?;
            let selected = select(db, &conditions.all, stretch, limit + 1)?;
            Ok((size, Ok((selected, conditions.cut))))
        })?;
        let (selected, names_cut) = match found {
            Ok(found) => found,
            Err(absent) => return Err(self.not_found(absent, filter, size)?),
        };
        let mut indexed = selected.rows;
        let mut margin = Margin::default();
        margin.left_out.extend(names_cut);
        let more = u64::try_from(indexed.len()).unwrap_or(u64::MAX) > limit;
        indexed.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        let next = match indexed.last().filter(|_| more) {
            Some(row) => Some(row.decided.index),
            None => selected.searched_to,
        };
        match (next, more) {
            (Some(next), true) => margin.left_out.push(format!("older actions, those before @{next}")),
            (Some(next), false) => {
                margin.left_out.push(format!("what lies before @{next}: so far was searched"));
            }
            (None, _) => {}
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

    /// Which name of a question the log does not know, and what may be meant instead.
    fn not_found(&self, absent: Absent, filter: &DidFilter, size: u64) -> Result<LineageError, LineageError> {
        let near = match (absent, &filter.tool) {
            (Absent::Tool, Some(tool)) => self.read(|db, _| near(db, tool))?,
            _ => Vec::new(),
        };
        Ok(not_found(absent, filter, size, &near))
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
                index: finished.as_ref().map(|finished| finished.index),
            },
            beside: self.beside(&decision, finished.as_ref(), margin)?,
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

/// Tools that are named instead of one that nothing was done on.
const NEAR_MAX: usize = 3;

/// What is not there where a tool is not.
const TOOL: &str = "action on the tool";

/// Which name of a question the log does not know.
#[derive(Debug, Clone, Copy)]
enum Absent {
    Whose,
    Tool,
    Principal,
}

/// URIs of tools with the same name at other servers, at most [`NEAR_MAX`].
fn near(db: &Connection, uri: &str) -> rusqlite::Result<Vec<String>> {
    let Some((_, name)) = uri.split_once('#') else { return Ok(Vec::new()) };
    let ids = tools_named(db, name)?;
    let named = ids.into_iter().map(|id| text_of(db, id)).collect::<rusqlite::Result<Vec<_>>>()?;
    let tools = named.into_iter().flatten().filter(|tool| !tool.ends_with("#*"));
    Ok(tools.take(NEAR_MAX).collect())
}

fn not_found(absent: Absent, filter: &DidFilter, size: u64, near: &[String]) -> LineageError {
    let people = "`deeds runs` and `deeds principal list` name those there are";
    let (what, name, advice) = match (absent, &filter.whose) {
        (Absent::Tool, _) if !near.is_empty() => {
            let near: Vec<String> = near.iter().map(|uri| format!("`{uri}`")).collect();
            let advice = format!("did you mean {}?", near.join(" or "));
            let name = filter.tool.clone().unwrap_or_default();
            return LineageError::NotFound { what: TOOL, name, size, advice: advice.into() };
        }
        (Absent::Tool, _) => (
            TOOL,
            filter.tool.clone().unwrap_or_default(),
            "write its name, its URI `<server>#<tool>`, or `<server>#*`; `deeds did` shows those that were used",
        ),
        (Absent::Principal, _) => ("principal", filter.principal.clone().unwrap_or_default(), people),
        (Absent::Whose, Whose::All) => ("action", "any".into(), "record one first"),
        (Absent::Whose, Whose::Who(name)) => ("principal or agent", name.clone(), people),
        (Absent::Whose, Whose::Run(run)) => ("run", id::text(run), "`deeds runs` lists those there are"),
        (Absent::Whose, Whose::Task(task)) => ("task", id::text(task), "`deeds tasks` lists those there are"),
    };
    LineageError::NotFound { what, name, size, advice: advice.into() }
}

/// What selects the actions, and what of the names was not looked for.
struct Conditions {
    all: Vec<Condition>,
    cut: Vec<String>,
}

fn conditions(db: &Connection, filter: &DidFilter) -> rusqlite::Result<Result<Conditions, Absent>> {
    let mut found = Conditions { all: Vec::new(), cut: Vec::new() };
    let more_names = |max: u64| format!("the name stands for more than {max} identities");
    match &filter.whose {
        Whose::All => {}
        Whose::Run(run) => match run_row(db, run)? {
            Some(run) => found.all.push(Condition::Column("run", vec![run])),
            None => return Ok(Err(Absent::Whose)),
        },
        Whose::Task(task) => match interned(db, Dim::Task, &id::text(task))? {
            Some(task) => found.all.push(Condition::Column("task", vec![task])),
            None => return Ok(Err(Absent::Whose)),
        },
        Whose::Who(name) => {
            let named = whose_actions(db, name)?;
            if named.columns.is_empty() {
                return Ok(Err(Absent::Whose));
            }
            found.cut.extend(named.cut.then(|| more_names(named.columns.len() as u64)));
            found.all.push(Condition::Who(named.columns));
        }
    }
    if let Some(uri) = &filter.tool {
        let mut tools = tools(db, uri)?;
        if tools.is_empty() {
            return Ok(Err(Absent::Tool));
        }
        let max = usize::try_from(TOOLS_MAX).unwrap_or(usize::MAX);
        found.cut.extend((tools.len() > max).then(|| format!("tools of the server beyond {TOOLS_MAX}")));
        tools.truncate(max);
        found.all.push(Condition::Column("tool", tools));
    }
    if let Some(name) = &filter.principal {
        let mut ids = principals(db, name)?;
        if ids.is_empty() {
            return Ok(Err(Absent::Principal));
        }
        found.cut.extend((ids.len() > NAMES_MAX).then(|| more_names(NAMES_MAX as u64)));
        ids.truncate(NAMES_MAX);
        found.all.push(Condition::Column("principal", ids));
    }
    found.all.extend(filter.verdict.map(|verdict| match verdict {
        Verdict::Allow => Condition::Allowed,
        Verdict::Deny => Condition::Refused,
    }));
    found.all.extend(filter.outcome.map(|outcome| match outcome {
        OutcomeIs::Open => Condition::Open,
        OutcomeIs::Status(status) => Condition::Status(status.as_str()),
    }));
    Ok(Ok(found))
}

//! `delegations`: who gave what to whom, as trees, with what of it was used.

use std::collections::BTreeSet;

use evidence::Scope;
use evidence::delegation::{Link as Claims, Mandate};
use evidence::id::{self, Id};
use evidence::jws::{self, Signed};
use evidence::label::{Assurance, Check};
use evidence::tool::{ANY, split};
use rusqlite::{Connection, OptionalExtension as _, params};
use serde::Serialize;
use serde_json::json;

use super::chains::{Genesis, Until, captured, interned, text_of};
use super::standing::UNKNOWN;
use super::who::{Column, whose_links};
use super::{assurance_of_grade, cut, rows, run_row, unsigned};
use crate::answer::{Answer, Fact, Margin};
use crate::error::LineageError;
use crate::fold::links::LinkKind;
use crate::fold::{Dim, sql};
use crate::index::Index;
use crate::limits::{NAMES_MAX, RUNS_NAMED_MAX, TREE_NODES_MAX};
use crate::record::Record;

/// Which delegations: those that fit everything asked for, with all that was made below them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DelegationsFilter {
    /// Those of a principal, holder, key, token digest or run.
    pub who: Option<String>,
    /// Those of one task.
    pub task: Option<Id>,
    /// Those used in one run.
    pub run: Option<Id>,
    /// The time at which their state is told, ms.
    pub now_ms: u64,
    /// Trees wanted; within 1 and [`crate::limits::ROWS_MAX`], else it is brought there.
    pub limit: Option<u64>,
    /// Only trees whose top was recorded below this position: the `next` of the answer before.
    pub before: Option<u64>,
}

/// Answer of [`Index::delegations`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Delegations {
    /// Mandates and roots (or what was asked for), newest first, each with what was made below it.
    pub tree: Vec<DelegationNode>,
    /// `before` for the trees that follow; absent when there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

/// One delegation or mandate.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DelegationNode {
    /// Its token digest.
    pub digest: String,
    /// Position of its first entry.
    pub index: u64,
    /// `mandate`, `root` or `child`.
    pub kind: &'static str,
    /// Who holds it; of a mandate the ids that may ask for roots.
    pub holder: Fact,
    /// On whose authority.
    pub principal: Fact,
    /// The task; nothing for a mandate.
    pub txn: Option<String>,
    /// Why it was given.
    pub purpose: String,
    /// When it was signed, seconds.
    pub iat: u64,
    /// The first second at which it no longer holds.
    pub exp: u64,
    /// As in `allowed`.
    pub state: &'static str,
    /// Why it is not live.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Of its signature and, for a child, of all above it.
    pub check: &'static str,
    /// Acts allowed under this very link.
    pub used: u64,
    /// Acts allowed under links below it.
    pub used_below: u64,
    /// Acts refused under this very link.
    pub refused: u64,
    /// Rows of its scope of which no tool was ever used, here or below.
    pub unused: Vec<String>,
    /// Runs that use it, oldest first.
    pub runs: Vec<String>,
    /// What was made below it, oldest first.
    pub children: Vec<DelegationNode>,
}

/// What the index knows of one link.
struct Row {
    index: u64,
    kind: LinkKind,
    uses: Vec<(i64, u64, u64)>,
    runs: Vec<Id>,
    children: Vec<i64>,
}

/// What one tree is built with.
struct Build<'a> {
    genesis: Option<&'a Genesis>,
    now_ms: u64,
    /// Nodes that the answer may still have.
    room: u64,
    margin: Margin,
}

impl Index {
    /// Delegations as trees. [`LineageError::NotFound`] when the log knows nobody or nothing of the name asked for.
    pub fn delegations(&self, filter: &DelegationsFilter) -> Result<Answer<Delegations>, LineageError> {
        let limit = rows(filter.limit);
        let (size, found) = self.read(|db, size| {
            let Some((selection, names_cut)) = selected(db, filter)? else { return Ok((size, None)) };
            Ok((size, Some((tops(db, &selection, filter.before, limit + 1)?, names_cut))))
        })?;
        let Some((mut tops, names_cut)) = found else { return Err(not_found(filter, size)) };
        let genesis = self.genesis()?;
        let mut build = Build {
            genesis: genesis.as_ref(),
            now_ms: filter.now_ms,
            room: TREE_NODES_MAX,
            margin: Margin::default(),
        };
        if names_cut {
            build.margin.left_out.push(format!("the name stands for more than {NAMES_MAX} identities"));
        }
        let more = u64::try_from(tops.len()).unwrap_or(u64::MAX) > limit;
        tops.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        let (mut tree, mut last, mut full) = (Vec::new(), None, false);
        for (token, index) in tops {
            if build.room == 0 {
                full = true;
                break;
            }
            last = Some(index);
            tree.extend(self.node(token, &mut build)?.map(|(node, _)| node));
        }
        let next = last.filter(|_| more || full);
        let mut margin = build.margin;
        if let Some(next) = next {
            margin.left_out.push(format!("older delegations, those before @{next}"));
        }
        Ok(margin.answer(size, Delegations { tree, next }))
    }

    /// A link with everything below it, and the tools used in it or below.
    fn node(
        &self,
        token: i64,
        build: &mut Build<'_>,
    ) -> Result<Option<(DelegationNode, BTreeSet<String>)>, LineageError> {
        build.room = build.room.saturating_sub(1);
        let (digest, row) = self.read(|db, _| Ok((text_of(db, token)?, read_row(db, token)?)))?;
        let (Some(digest), Some(mut row)) = (digest, row) else { return Ok(None) };
        let mut used = self.read(|db, _| tools_of(db, &row.uses))?;
        let Some((mut node, scope)) = (match row.kind {
            LinkKind::Mandate => self.mandate_node(&digest, &row, build)?,
            LinkKind::Root | LinkKind::Child => self.link_node(&digest, &row, build)?,
        }) else {
            return Ok(None);
        };
        cut(&mut row.runs, RUNS_NAMED_MAX, "runs that use one delegation", &mut build.margin);
        node.runs = row.runs.iter().map(id::text).collect();
        let wanted = row.children.len();
        // newest first, so that those are there where not all are
        for child in row.children {
            if build.room == 0 {
                let text =
                    format!("delegations below @{} beyond the {TREE_NODES_MAX} of one answer", row.index);
                build.margin.left_out.push(text);
                break;
            }
            let Some((child, below)) = self.node(child, build)? else { continue };
            node.used_below += child.used + child.used_below;
            used.extend(below);
            node.children.push(child);
        }
        node.children.reverse();
        // what is below and not shown may use anything
        if node.children.len() == wanted {
            node.unused =
                scope.tools().filter(|row| !is_used(row, &scope, &used)).map(str::to_owned).collect();
        }
        Ok(Some((node, used)))
    }

    fn link_node(
        &self,
        digest: &str,
        row: &Row,
        build: &mut Build<'_>,
    ) -> Result<Option<(DelegationNode, Scope)>, LineageError> {
        let recorded = self.chain_to(digest, None, build.genesis, &mut build.margin)?;
        let (Some(record), Some(link)) = (recorded.leaf(), recorded.claims.last()) else { return Ok(None) };
        let behind = self.behind(&recorded, build.genesis, &mut build.margin)?;
        let (state, why) = match recorded.sound() {
            Some(chain) => {
                let knowledge = self.knowledge(chain, Until::at(build.now_ms), &mut build.margin)?;
                let standing = knowledge.standing(chain, build.now_ms / 1_000);
                (standing.state, standing.why)
            }
            None => (UNKNOWN, Some("its signatures do not hold, or could not be checked".to_owned())),
        };
        let check = captured(recorded.sound().is_some());
        let holder = link.holder();
        let root = recorded.claims.first().and_then(Claims::as_root);
        let principal = match (root, recorded.root()) {
            (Some(root), Some(record)) => Fact::recorded(json!(root.principal), record.index)
                .assured(assurance_of_grade(record.text("evidence_grade").as_deref()))
                .checked(behind.asked(recorded.chain.as_ref())),
            _ => Fact::missing("unknown", None),
        };
        let holder =
            Fact::recorded(json!(holder), record.index).assured(Assurance::parse(&holder.asr)).checked(check);
        let node = DelegationNode {
            txn: Some(id::text(link.txn())),
            purpose: link.purpose().to_owned(),
            iat: link.iat(),
            exp: link.exp(),
            state,
            why,
            check: check.as_str(),
            ..empty(digest, row, holder, principal)
        };
        Ok(Some((node, link.scope().clone())))
    }

    fn mandate_node(
        &self,
        digest: &str,
        row: &Row,
        build: &mut Build<'_>,
    ) -> Result<Option<(DelegationNode, Scope)>, LineageError> {
        let record = self.record(row.index)?;
        build.margin.note(&record);
        let Some(mandate) = read_mandate(&record, digest) else { return Ok(None) };
        let standing = self.mandate_standing(&record, build.genesis, build.now_ms, &mut build.margin)?;
        let check = captured(standing.state != UNKNOWN);
        let node = DelegationNode {
            purpose: mandate.purpose,
            iat: mandate.iat,
            exp: mandate.exp,
            state: standing.state,
            why: standing.why,
            check: check.as_str(),
            ..empty(
                digest,
                row,
                Fact::recorded(json!(mandate.holders), row.index).checked(check),
                Fact::recorded(json!(mandate.principal), row.index)
                    .assured(Some(Assurance::IssuerAsserted))
                    .checked(check),
            )
        };
        Ok(Some((node, mandate.scope)))
    }
}

/// What comes from the index; everything else is filled in from the log.
fn empty(digest: &str, row: &Row, holder: Fact, principal: Fact) -> DelegationNode {
    DelegationNode {
        digest: digest.to_owned(),
        index: row.index,
        kind: row.kind.as_str(),
        holder,
        principal,
        txn: None,
        purpose: String::new(),
        iat: 0,
        exp: 0,
        state: UNKNOWN,
        why: None,
        check: Check::NotChecked.as_str(),
        used: row.uses.iter().map(|(_, allowed, _)| allowed).sum(),
        used_below: 0,
        refused: row.uses.iter().map(|(_, _, refused)| refused).sum(),
        unused: Vec::new(),
        runs: Vec::new(),
        children: Vec::new(),
    }
}

fn read_mandate(record: &Record, digest: &str) -> Option<Mandate> {
    let signed = Signed::parse(&record.text("token")?, jws::MANDATE).ok()?;
    if signed.digest() != digest {
        return None;
    }
    Mandate::parse(signed.unverified()).ok()
}

/// Whether a row of a scope was used: its tool, or, for a whole server, a tool of it that no narrower row governs.
fn is_used(row: &str, scope: &Scope, used: &BTreeSet<String>) -> bool {
    match split(row) {
        Some((server, ANY)) => used.iter().any(|tool| {
            split(tool).is_some_and(|(of, _)| of == server) && !scope.tools().any(|exact| exact == tool)
        }),
        _ => used.contains(row),
    }
}

fn not_found(filter: &DelegationsFilter, size: u64) -> LineageError {
    let (what, name) = match filter {
        DelegationsFilter { who: Some(who), .. } => ("principal, agent, key, delegation or run", who.clone()),
        DelegationsFilter { run: Some(run), .. } => ("run", id::text(run)),
        DelegationsFilter { task, .. } => ("task", task.as_ref().map(id::text).unwrap_or_default()),
    };
    LineageError::NotFound { what, name, size, advice: "`deeds delegations` lists all there are".into() }
}

/// What selects delegations: each list names one asked-for thing, by the columns that it may stand for.
type Selection = Vec<Vec<Column>>;

/// No list for all delegations; `None` where nobody has the name. The flag says that a name stands for more than are
/// looked for.
fn selected(db: &Connection, filter: &DelegationsFilter) -> rusqlite::Result<Option<(Selection, bool)>> {
    let (mut selection, mut cut) = (Vec::new(), false);
    if let Some(who) = &filter.who {
        let named = whose_links(db, who)?;
        cut = named.cut;
        selection.push(named.columns);
    }
    if let Some(task) = &filter.task {
        let task = interned(db, Dim::Task, &id::text(task))?;
        selection.push(task.map(|task| ("task", task)).into_iter().collect());
    }
    if let Some(run) = &filter.run {
        selection.push(run_row(db, run)?.map(|run| ("run", run)).into_iter().collect());
    }
    let all_known = selection.iter().all(|columns| !columns.is_empty());
    Ok(all_known.then_some((selection, cut)))
}

/// Tops of trees, newest first: links that are selected, and none above them is.
fn tops(
    db: &Connection,
    selection: &Selection,
    before: Option<u64>,
    max: u64,
) -> rusqlite::Result<Vec<(i64, u64)>> {
    let query = if selection.is_empty() {
        "SELECT token, idx FROM links WHERE parent IS NULL AND idx < ?1 ORDER BY idx DESC LIMIT ?2".to_owned()
    } else {
        statement(selection)
    };
    // not kept prepared: the ids of what is selected stand in it
    db.prepare(&query)?
        .query_map([before.map_or(i64::MAX, sql), sql(max)], |row| Ok((row.get(0)?, unsigned(row, 1)?)))?
        .collect()
}

/// Selected links that stand below no other selected one.
fn statement(selection: &Selection) -> String {
    let (own, above) = (condition(selection, "links"), condition(selection, "above"));
    format!(
        "SELECT token, idx FROM links WHERE {own} AND idx < ?1 AND NOT EXISTS (
           WITH RECURSIVE up(token, parent) AS (
             SELECT above.token, above.parent FROM links AS above WHERE above.token = links.parent
             UNION ALL SELECT above.token, above.parent FROM links AS above JOIN up ON above.token = up.parent)
           SELECT 1 FROM up JOIN links AS above ON above.token = up.token WHERE {above})
         ORDER BY idx DESC LIMIT ?2"
    )
}

fn condition(selection: &Selection, table: &str) -> String {
    let one = |(column, id): &Column| match *column {
        "run" => format!("{table}.token IN (SELECT token FROM delegations WHERE run = {id})"),
        column => format!("{table}.{column} = {id}"),
    };
    let any =
        |columns: &Vec<Column>| format!("({})", columns.iter().map(one).collect::<Vec<_>>().join(" OR "));
    selection.iter().map(any).collect::<Vec<_>>().join(" AND ")
}

fn read_row(db: &Connection, token: i64) -> rusqlite::Result<Option<Row>> {
    let found = db
        .prepare_cached("SELECT idx, kind FROM links WHERE token = ?1")?
        .query_row([token], |row| Ok((unsigned(row, 0)?, row.get::<_, i64>(1)?)))
        .optional()?;
    let Some((index, kind)) = found else { return Ok(None) };
    let uses = db
        .prepare_cached("SELECT tool, allowed, refused FROM uses WHERE token = ?1")?
        .query_map([token], |row| Ok((row.get(0)?, unsigned(row, 1)?, unsigned(row, 2)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let runs = db
        .prepare_cached(
            "SELECT runs.run FROM delegations JOIN runs ON runs.id = delegations.run
             WHERE delegations.token = ?1 AND runs.issued = 0 AND runs.started IS NOT NULL
             GROUP BY runs.id ORDER BY runs.started LIMIT ?2",
        )?
        .query_map(params![token, sql(RUNS_NAMED_MAX + 1)], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let children = db
        .prepare_cached("SELECT token FROM links WHERE parent = ?1 ORDER BY idx DESC LIMIT ?2")?
        .query_map(params![token, sql(TREE_NODES_MAX + 1)], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    Ok(LinkKind::of(kind).map(|kind| Row { index, kind, uses, runs, children }))
}

/// URIs of the tools that were used.
fn tools_of(db: &Connection, uses: &[(i64, u64, u64)]) -> rusqlite::Result<BTreeSet<String>> {
    let mut tools = BTreeSet::new();
    for (tool, allowed, _) in uses {
        if *allowed > 0 {
            tools.extend(text_of(db, *tool)?);
        }
    }
    Ok(tools)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_reads_all_delegations_to_find_some() {
        let db = crate::schema::in_memory();
        let columns: Vec<Column> =
            ["principal", "holder", "key", "task", "token", "run"].map(|name| (name, 1)).into();
        let mut selections: Vec<Selection> = columns.iter().map(|column| vec![vec![*column]]).collect();
        selections.extend([vec![columns.clone()], columns.iter().map(|column| vec![*column]).collect()]);
        for selection in selections {
            let plan = crate::schema::plan(&db, &statement(&selection));
            assert!(!plan.contains("SCAN links") && !plan.contains("SCAN above"), "{selection:?}: {plan}");
        }
    }

    #[test]
    fn a_row_is_used_by_what_it_governs() {
        let scope =
            Scope::parse(&json!({"stdio:fs#*": {}, "stdio:fs#rm": {}, "stdio:edr#isolate": {}})).unwrap();
        let used = |tool: &str| -> Vec<String> {
            let tools = BTreeSet::from([tool.to_owned()]);
            scope.tools().filter(|row| is_used(row, &scope, &tools)).map(str::to_owned).collect()
        };
        assert_eq!(used("stdio:fs#rm"), ["stdio:fs#rm"]);
        assert_eq!(used("stdio:fs#read"), ["stdio:fs#*"]);
        assert_eq!(used("stdio:edr#isolate"), ["stdio:edr#isolate"]);
        assert!(used("stdio:edr#release").is_empty());
    }
}

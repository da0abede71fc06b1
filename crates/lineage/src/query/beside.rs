//! What stands beside an act in the log: other attempts, changed definitions, what people answered within it, its
//! artifacts, and which of them were withdrawn.

use std::collections::BTreeSet;

use evidence::definition::List;
use evidence::id::{self, Id};
use evidence::label::Assurance;
use evidence::tool;
use rusqlite::{Connection, OptionalExtension as _, params};
use serde::Serialize;
use serde_json::{Value, json};

use super::artifacts::Withdrawn;
use super::run::at;
use super::{At, cut, run_row, unsigned};
use crate::answer::{Fact, Margin};
use crate::artifact::{listed, many};
use crate::error::LineageError;
use crate::fold::definitions::{code, what};
use crate::fold::sql;
use crate::index::Index;
use crate::limits::{ARTIFACTS_SHOWN_MAX, ATTEMPTS_MAX, CHANGES_NAMED_MAX, LATE_FACTS_MAX};
use crate::record::Record;

/// What stands beside an act. Members without anything in them are left out.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Beside {
    /// Decisions of other attempts of the same act.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<u64>,
    /// Changes, seen in its own run before it, of what it names and of what its server is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub definition_changes: Vec<u64>,
    /// What somebody at the client answered within it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub human_inputs: Vec<u64>,
    /// Its artifacts in short.
    #[serde(flatten)]
    pub artifacts: ArtifactsOf,
}

/// The artifacts of an act in short.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct ArtifactsOf {
    /// {count, artifacts: the first of them}.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inputs: Option<Fact>,
    /// {count, brought?, artifacts: the first of them}; `brought` is how many of them have no `change`: they were read
    /// or came with an answer, and are nothing that the act made. Of a list in parts that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outputs: Option<Fact>,
    /// Withdrawals of any of its artifacts, its result too.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub withdrawn: Vec<Withdrawn>,
}

/// A definition, or what a server or the configuration of a client is, that changed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ChangeRow {
    /// Position.
    pub index: u64,
    /// The log's clock then, ms.
    pub at_ms: u64,
    /// `tool`, `server-executable`, `client-config` …
    pub what: Fact,
    /// Of which name.
    pub name: Fact,
    /// The part of tool URIs before `#`.
    pub server: Fact,
    /// Digest before; nothing for what is new.
    pub old: Fact,
    /// Digest since; nothing for what is gone.
    pub new: Fact,
    /// The entry that `old` was taken from.
    pub since: Fact,
    /// How many changed at once.
    pub count: Fact,
    /// Of the configuration of a client: whether the server there is wrapped since. Concluded from the changes of the
    /// same server before it, which alternate; nothing where they do not show it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wrapped: Option<bool>,
    /// The run that saw it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
}

/// What somebody at the client answered, as the client says.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HumanInput {
    /// Position.
    pub index: u64,
    /// The log's clock then, ms.
    pub at_ms: u64,
    /// {how, mode, key, action, content}. It is never an approval.
    pub said: Fact,
}

/// What an act names at its server, for which there are definitions.
#[derive(Debug, Clone)]
pub(super) struct Target {
    /// The part of its URI before `#`.
    pub(super) server: String,
    /// List and mark of the name; of an act that names nothing which is listed 0 and 0.
    list: u8,
    name: i64,
}

/// Changes that one run saw before an act, latest first.
const CHANGES_OF_RUN: &str = "SELECT idx, leaf FROM changes INDEXED BY changes_run
    WHERE run = ?1 AND idx < ?2 AND (what = ?3 OR what = ?4 AND name = ?5) ORDER BY idx DESC LIMIT ?6";

/// Changes of one server before an act, whoever saw them, latest first.
const CHANGES_OF_SERVER: &str = "SELECT idx, leaf FROM changes INDEXED BY changes_server
    WHERE server = ?1 AND idx < ?2 AND (what = ?3 OR what = ?4 AND name = ?5) ORDER BY idx DESC LIMIT ?6";

/// Other decisions that share the id of an act, or whose cause is an outcome of one of them.
const ATTEMPTS: &str = "SELECT decided, act_id, retry_of FROM actions
    WHERE act_id = ?1 OR retry_of = ?2 OR decided = ?3 ORDER BY decided LIMIT ?4";

/// What the index says of one act.
struct Found {
    attempts: Vec<u64>,
    changes: Vec<At>,
    human: Vec<At>,
    any_withdrawn: bool,
}

impl Index {
    /// What stands beside an act; short, for a row of a list.
    pub(super) fn beside(
        &self,
        decision: &Record,
        finished: Option<&Record>,
        margin: &mut Margin,
    ) -> Result<Beside, LineageError> {
        let Some(entry) = &decision.entry else { return Ok(Beside::default()) };
        let (act, target) = (decision.id("act_id"), self.target(decision));
        let Found { mut attempts, mut changes, mut human, any_withdrawn } =
            self.read(|db, _| found(db, &entry.run, decision.index, act, target.as_ref()))?;
        cut(&mut attempts, ATTEMPTS_MAX, "other attempts of one act", margin);
        cut(&mut changes, CHANGES_NAMED_MAX, "changed definitions before one act", margin);
        cut(&mut human, ATTEMPTS_MAX, "answers of people within one act", margin);
        let mut artifacts = in_short(decision, finished);
        if any_withdrawn {
            artifacts.withdrawn = self.withdrawn_of(decision, finished, margin)?;
        }
        Ok(Beside {
            attempts,
            definition_changes: self.positions(changes, margin)?,
            human_inputs: self.positions(human, margin)?,
            artifacts,
        })
    }

    /// The artifacts of an act in short, and which of them were withdrawn.
    pub(super) fn artifacts_of(
        &self,
        decision: &Record,
        finished: Option<&Record>,
        margin: &mut Margin,
    ) -> Result<ArtifactsOf, LineageError> {
        let withdrawn = self.withdrawn_of(decision, finished, margin)?;
        Ok(ArtifactsOf { withdrawn, ..in_short(decision, finished) })
    }

    /// Withdrawals of any artifact of an act, each once.
    fn withdrawn_of(
        &self,
        decision: &Record,
        finished: Option<&Record>,
        margin: &mut Margin,
    ) -> Result<Vec<Withdrawn>, LineageError> {
        let mut entries = self.parts(decision, finished, margin)?;
        entries.push(decision.clone());
        entries.extend(finished.cloned());
        let mut withdrawn: Vec<Withdrawn> = Vec::new();
        for entry in entries {
            for found in self.withdrawn_in(&entry, margin)? {
                if withdrawn.iter().all(|known| known.index != found.index) {
                    withdrawn.push(found);
                }
            }
        }
        withdrawn.sort_by_key(|found| found.index);
        Ok(withdrawn)
    }

    /// The changes before an act of what it names and of what its server is, latest first, whichever run saw them.
    pub(super) fn changes_before(
        &self,
        decision: &Record,
        margin: &mut Margin,
    ) -> Result<Vec<ChangeRow>, LineageError> {
        let (Some(entry), Some(target)) = (&decision.entry, self.target(decision)) else {
            return Ok(Vec::new());
        };
        let mut found = self.read(|db, _| {
            let server = server_of(db, &target.server, &entry.run, entry.stream)?;
            server.map_or_else(
                || Ok(Vec::new()),
                |server| changes(db, CHANGES_OF_SERVER, server, decision.index, &target),
            )
        })?;
        cut(&mut found, CHANGES_NAMED_MAX, "changed definitions before the act", margin);
        let mut rows = Vec::new();
        for at in found {
            rows.extend(self.expect(at, margin)?.as_ref().and_then(change_row));
        }
        Ok(rows)
    }

    /// What somebody at the client answered within an act, oldest first.
    pub(super) fn human_inputs(
        &self,
        decision: &Record,
        margin: &mut Margin,
    ) -> Result<Vec<HumanInput>, LineageError> {
        let (Some(entry), act) = (&decision.entry, decision.id("act_id")) else { return Ok(Vec::new()) };
        let mut found = self.read(|db, _| {
            let run = run_row(db, &entry.run)?.unwrap_or_default();
            human_inputs(db, run, act, LATE_FACTS_MAX)
        })?;
        cut(&mut found, LATE_FACTS_MAX, "answers of people within the act", margin);
        let mut said = Vec::new();
        for at in found {
            said.extend(self.expect(at, margin)?.map(|record| HumanInput {
                index: record.index,
                at_ms: record.entry.as_ref().map_or(0, |entry| entry.observed_ms),
                said: Fact::of(&record, "payload").assured(Some(Assurance::Asserted)),
            }));
        }
        Ok(said)
    }

    /// Decisions of other attempts of an act, oldest first; one more than `max` where there are more.
    pub(super) fn attempts(&self, decided: u64, act: Option<Id>, max: u64) -> Result<Vec<u64>, LineageError> {
        self.read(|db, _| attempts(db, decided, act, max))
    }

    /// The positions of entries that are the ones indexed.
    fn positions(&self, list: Vec<At>, margin: &mut Margin) -> Result<Vec<u64>, LineageError> {
        let mut positions = Vec::new();
        for at in list {
            positions.extend(self.expect(at, margin)?.map(|record| record.index));
        }
        positions.sort_unstable();
        Ok(positions)
    }

    /// What an act names: a tool by its URI, a resource or a prompt by its arguments.
    fn target(&self, decision: &Record) -> Option<Target> {
        let uri = decision.text("tool")?;
        let (server, name) = tool::split(&uri)?;
        let argument = |member: &str| decision.value("args")?.get(member)?.as_str().map(str::to_owned);
        let named = match decision.text("operation").as_deref() {
            Some("tools/call") => Some((List::Tool, name.to_owned())),
            Some("resources/read") => argument("uri").map(|uri| (List::Resource, uri)),
            Some("prompts/get") => argument("name").map(|name| (List::Prompt, name)),
            _ => None,
        };
        let (list, name) = named.map_or((0, 0), |(list, name)| (code(list), self.mark(&name)));
        Some(Target { server: server.to_owned(), list, name })
    }
}

/// A change as its entry tells it.
pub(super) fn change_row(record: &Record) -> Option<ChangeRow> {
    let entry = record.entry.as_ref()?;
    let of = |name: &str| Fact::of(record, name);
    Some(ChangeRow {
        index: record.index,
        at_ms: entry.observed_ms,
        what: of("what"),
        name: of("name"),
        server: of("server"),
        old: of("old"),
        new: of("new"),
        since: of("since"),
        count: of("count"),
        wrapped: None,
        run: (entry.run != id::LOG_LEVEL).then(|| id::text(&entry.run)),
    })
}

fn in_short(decision: &Record, finished: Option<&Record>) -> ArtifactsOf {
    ArtifactsOf {
        inputs: short(decision, "inputs"),
        outputs: finished.and_then(|finished| short(finished, "outputs")),
        withdrawn: Vec::new(),
    }
}

/// A list of artifacts in short: how many, and the first of them.
fn short(record: &Record, field: &str) -> Option<Fact> {
    if let Some((count, _)) = many(record, field) {
        return Some(Fact::recorded(json!({"count": count, "artifacts": []}), record.index));
    }
    let all: Vec<Value> = listed(record)
        .into_iter()
        .filter(|(role, _)| role.field() == Some(field))
        .map(|(_, artifact)| artifact.value)
        .collect();
    if all.is_empty() {
        // closed, or of no such kind: said as other facts are
        return Some(Fact::of(record, field)).filter(|fact| !matches!(fact.missing, None | Some("none")));
    }
    let shown: Vec<&Value> = all.iter().take(ARTIFACTS_SHOWN_MAX).collect();
    let brought = all.iter().filter(|artifact| artifact.get("change").is_none()).count();
    let told = if field == "outputs" && brought > 0 {
        json!({"count": all.len(), "brought": brought, "artifacts": shown})
    } else {
        json!({"count": all.len(), "artifacts": shown})
    };
    Some(Fact::recorded(told, record.index))
}

fn found(
    db: &Connection,
    run: &Id,
    decided: u64,
    act: Option<Id>,
    target: Option<&Target>,
) -> rusqlite::Result<Found> {
    let run = run_row(db, run)?.unwrap_or_default();
    Ok(Found {
        attempts: attempts(db, decided, act, ATTEMPTS_MAX)?,
        changes: target
            .map_or_else(|| Ok(Vec::new()), |target| changes(db, CHANGES_OF_RUN, run, decided, target))?,
        human: human_inputs(db, run, act, ATTEMPTS_MAX)?,
        any_withdrawn: db
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM withdrawals)")?
            .query_row([], |row| row.get(0))?,
    })
}

fn changes(
    db: &Connection,
    query: &str,
    of: i64,
    decided: u64,
    target: &Target,
) -> rusqlite::Result<Vec<At>> {
    db.prepare_cached(query)?
        .query_map(
            params![of, sql(decided), what::WHOLE, target.list, target.name, sql(CHANGES_NAMED_MAX + 1)],
            at,
        )?
        .collect()
}

/// What people answered within an act, oldest first.
pub(super) fn human_inputs(
    db: &Connection,
    run: i64,
    act: Option<Id>,
    max: u64,
) -> rusqlite::Result<Vec<At>> {
    let Some(act) = act else { return Ok(Vec::new()) };
    db.prepare_cached(
        "SELECT idx, leaf FROM remarks WHERE act_id = ?1 AND run = ?2 AND subtype = 'human-input'
         ORDER BY idx LIMIT ?3",
    )?
    .query_map(params![act, run, sql(max + 1)], at)?
    .collect()
}

fn attempts(db: &Connection, decided: u64, act: Option<Id>, max: u64) -> rusqlite::Result<Vec<u64>> {
    let own: Option<Option<i64>> = db
        .prepare_cached("SELECT retry_of FROM actions WHERE decided = ?1")?
        .query_row([sql(decided)], |row| row.get(0))
        .optional()?;
    let mut known = BTreeSet::from([decided]);
    let mut open = vec![(decided, act, own.flatten())];
    while let Some((decided, act, retry_of)) = open.pop() {
        let near: Vec<(u64, Option<Id>, Option<i64>)> = db
            .prepare_cached(ATTEMPTS)?
            .query_map(params![act, sql(decided), retry_of, sql(max + 2)], |row| {
                Ok((unsigned(row, 0)?, row.get(1)?, row.get(2)?))
            })?
            .collect::<rusqlite::Result<_>>()?;
        for one in near {
            // one more than is wanted says that there are more
            if u64::try_from(known.len()).unwrap_or(u64::MAX) <= max + 1 && known.insert(one.0) {
                open.push(one);
            }
        }
    }
    known.remove(&decided);
    Ok(known.into_iter().collect())
}

/// The server with a URI that a writer of a run talks to.
fn server_of(db: &Connection, uri: &str, run: &Id, stream: u64) -> rusqlite::Result<Option<i64>> {
    let Some(run) = run_row(db, run)? else { return Ok(None) };
    let command: Option<i64> = db
        .prepare_cached(
            "SELECT command FROM streams WHERE run = ?1 AND stream IN (?2, 0) AND command IS NOT NULL
             ORDER BY stream DESC LIMIT 1",
        )?
        .query_row([run, sql(stream)], |row| row.get(0))
        .optional()?;
    db.prepare_cached("SELECT id FROM servers WHERE uri = ?1 AND command = ?2")?
        .query_row(params![uri, command.unwrap_or(0)], |row| row.get(0))
        .optional()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_beside_an_act_is_found_without_reading_all() {
        let db = crate::schema::in_memory();
        for query in [CHANGES_OF_RUN, CHANGES_OF_SERVER, ATTEMPTS] {
            let plan = crate::schema::plan(&db, query);
            assert!(!plan.contains("SCAN"), "{plan}");
        }
        for query in [CHANGES_OF_RUN, CHANGES_OF_SERVER] {
            assert!(!crate::schema::plan(&db, query).contains("TEMP B-TREE"));
        }
    }
}

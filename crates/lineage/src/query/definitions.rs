//! `definitions`: what is known of each server: what it offers, what it is, since when, and what changed.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use evidence::definition::List;
use evidence::id;
use rusqlite::{Connection, params};
use serde::Serialize;
use serde_json::Value;

use super::allowed::InForce;
use super::beside::{ChangeRow, change_row};
use super::run::{at, writer_of};
use super::{At, cut, optional, unsigned};
use crate::answer::{Answer, Fact, Margin};
use crate::error::LineageError;
use crate::fold::definitions::{list_of, what};
use crate::fold::sql;
use crate::index::Index;
use crate::limits::{ROWS_DEFAULT, ROWS_MAX, SERVERS_MAX};

/// Answer of [`Index::definitions`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Definitions {
    /// The one last told of first. Servers of one URI that are started with other commands are others.
    pub servers: Vec<ServerRow>,
    /// Changes of the configurations of clients, latest first; only where no server was asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub client_configs: Vec<ChangeRow>,
    /// Digest of the policy set whose class table `class` is from.
    pub policy_digest: Fact,
}

/// One server.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ServerRow {
    /// The part of its tools' URIs before `#`.
    pub server: String,
    /// The command that it is started with, as the run that last told of it has it.
    pub command: Fact,
    /// Where it was first told of.
    pub first: u64,
    /// Where it was last told of.
    pub last: u64,
    /// What it is (`command`, `executable`, `package`, `environment`) and what it offers, by list and name.
    pub definitions: Vec<DefinedRow>,
    /// What changed, latest first.
    pub changes: Vec<ChangeRow>,
}

/// One name of a server.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DefinedRow {
    /// `server`, `tool`, `prompt`, `resource` or `resource-template`.
    pub list: &'static str,
    /// Its name.
    pub name: String,
    /// Digest string of the definition; its `index` is the entry since which it is this one.
    pub digest: Fact,
    /// Where it was last told.
    pub last: u64,
    /// Where it was told to be gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gone: Option<u64>,
    /// Of a tool: {classes, classified, why}, by the active class table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<Fact>,
    /// Of a tool: the classes to pin it with: those it has, or had under the definition before; empty where it has no
    /// row.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pin_classes: Option<Vec<String>>,
}

struct Indexed {
    id: i64,
    uri: String,
    first: u64,
    last: u64,
}

/// A name as the index has it: marks and positions.
struct Marked {
    list: List,
    name: i64,
    digest: i64,
    since: u64,
    last: u64,
    gone: Option<u64>,
}

const NAMES: &str = "SELECT list, name, digest, since, last, gone FROM defined WHERE server = ?1
    ORDER BY gone IS NOT NULL, list, since LIMIT ?2";

const CHANGES: &str = "SELECT idx, leaf FROM changes WHERE server = ?1 ORDER BY idx DESC LIMIT ?2";

impl Index {
    /// What is known of every server, or of those with a URI. [`LineageError::NotFound`] for a server that no list was
    /// recorded of.
    pub fn definitions(&self, server: Option<&str>) -> Result<Answer<Definitions>, LineageError> {
        let (size, mut found) = self.read(|db, size| Ok((size, servers(db, server)?)))?;
        if let Some(server) = server.filter(|_| found.is_empty()) {
            return Err(LineageError::NotFound {
                what: "server with known definitions",
                name: server.to_owned(),
                size,
                advice:
                    "write the part of its tools' URIs before `#`; `deeds definitions` lists those there are"
                        .into(),
            });
        }
        let mut margin = Margin::default();
        cut(&mut found, SERVERS_MAX, "servers", &mut margin);
        let policies = self.policies_at(u64::MAX, &mut margin)?;
        let mut rows = Vec::new();
        for one in &found {
            rows.push(self.server_row(one, &policies, &mut margin)?);
        }
        let client_configs = if server.is_none() { self.client_configs(&mut margin)? } else { Vec::new() };
        let policy_digest = policies.digest;
        Ok(margin.answer(size, Definitions { servers: rows, client_configs, policy_digest }))
    }

    fn server_row(
        &self,
        one: &Indexed,
        policies: &InForce,
        margin: &mut Margin,
    ) -> Result<ServerRow, LineageError> {
        let (mut names, mut changes) = self.read(|db, _| Ok((names(db, one.id)?, changes(db, one.id)?)))?;
        cut(&mut names, ROWS_MAX, &format!("names of `{}`", one.uri), margin);
        cut(&mut changes, ROWS_DEFAULT, &format!("changes of `{}`", one.uri), margin);
        let changes = self.change_rows(changes, margin)?;
        let mut told: BTreeMap<u64, Told> = BTreeMap::new();
        let mut definitions = Vec::new();
        for name in &names {
            let known = match told.entry(name.since) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => new.insert(self.told(name.since, margin)?),
            };
            let Some((text, digest)) = known.find(name) else {
                margin.finding(
                    "index-mismatch",
                    Some(name.since),
                    "the entry here does not tell what the index has of it: rebuild it with `deeds reindex`",
                );
                continue;
            };
            definitions.push(defined_row(name, text, digest, &one.uri, policies, &changes));
        }
        definitions.sort_by(|a, b| (order(a), &a.name).cmp(&(order(b), &b.name)));
        Ok(ServerRow {
            server: one.uri.clone(),
            command: self.command_at(one.last)?,
            first: one.first,
            last: one.last,
            definitions,
            changes,
        })
    }

    /// The names that an observation tells, by their marks.
    fn told(&self, index: u64, margin: &mut Margin) -> Result<Told, LineageError> {
        let record = self.record(index)?;
        margin.note(&record);
        let payload = record.value("payload").unwrap_or_default();
        let list = payload.get("list").and_then(Value::as_str).and_then(List::parse);
        let names = payload.get("names").and_then(Value::as_object);
        let names = names.into_iter().flatten().filter_map(|(name, digest)| {
            let digest = digest.as_str()?;
            Some(((self.mark(name), self.mark(digest)), (name.clone(), digest.to_owned())))
        });
        Ok(Told { list, names: names.collect() })
    }

    /// The command of the writer of an entry.
    fn command_at(&self, index: u64) -> Result<Fact, LineageError> {
        let Some(entry) = self.record(index)?.entry else { return Ok(Fact::missing("none", None)) };
        let started = self.read(|db, _| writer_of(db, &entry.run, entry.stream))?;
        let Some(started) = started.map(|index| self.record(index)).transpose()? else {
            return Ok(Fact::missing("none", None));
        };
        let servers = Fact::of(&started, "servers");
        Ok(match servers.value.pointer("/0/command") {
            Some(command) => Fact::recorded(command.clone(), started.index),
            None => servers,
        })
    }

    fn change_rows(&self, list: Vec<At>, margin: &mut Margin) -> Result<Vec<ChangeRow>, LineageError> {
        let mut rows = Vec::new();
        for at in list {
            let Some(record) = self.expect(at, margin)? else { continue };
            let wrapped = self.wrapped_since(&record, margin)?;
            rows.extend(change_row(&record).map(|row| ChangeRow { wrapped, ..row }));
        }
        Ok(rows)
    }

    fn client_configs(&self, margin: &mut Margin) -> Result<Vec<ChangeRow>, LineageError> {
        let mut found = self.read(|db, _| {
            let Some(run) = super::run_row(db, &id::LOG_LEVEL)? else { return Ok(Vec::new()) };
            db.prepare_cached(
                "SELECT idx, leaf FROM changes WHERE run = ?1 AND what = ?2 ORDER BY idx DESC LIMIT ?3",
            )?
            .query_map(params![run, what::CLIENT, sql(ROWS_DEFAULT + 1)], at)?
            .collect()
        })?;
        cut(&mut found, ROWS_DEFAULT, "changes of the configurations of clients", margin);
        self.change_rows(found, margin)
    }
}

/// What one observation tells: by the marks of name and digest, the two themselves.
struct Told {
    list: Option<List>,
    names: BTreeMap<(i64, i64), (String, String)>,
}

impl Told {
    fn find(&self, name: &Marked) -> Option<(&str, &str)> {
        let found = self.names.get(&(name.name, name.digest)).filter(|_| self.list == Some(name.list))?;
        Some((&found.0, &found.1))
    }
}

fn defined_row(
    name: &Marked,
    text: &str,
    digest: &str,
    server: &str,
    policies: &InForce,
    changes: &[ChangeRow],
) -> DefinedRow {
    let set = policies.set.as_ref().filter(|_| name.list == List::Tool && name.gone.is_none());
    let uri = format!("{server}#{text}");
    let class = set.map(|set| set.classify(&uri, Some(digest)));
    let pin_classes = class.as_ref().zip(set).map(|(class, set)| {
        let before = changes
            .iter()
            .filter(|change| change.name.text() == Some(text) && change.what.text() == Some("tool"))
            .filter_map(|change| change.old.text().map(|old| set.classify(&uri, Some(old))));
        let row = core::iter::once(class.clone()).chain(before).find(|class| class.classified);
        row.map(|class| class.classes).unwrap_or_default()
    });
    DefinedRow {
        list: name.list.as_str(),
        name: text.to_owned(),
        digest: Fact::recorded(digest, name.since),
        last: name.last,
        gone: name.gone,
        class: class
            .zip(policies.digest.index)
            .map(|(class, index)| Fact::recorded(serde_json::to_value(class).unwrap_or_default(), index)),
        pin_classes,
    }
}

/// What a server is comes first, then what it offers, then what is gone.
fn order(row: &DefinedRow) -> (bool, usize) {
    let lists = [List::Server, List::Tool, List::Prompt, List::Resource, List::ResourceTemplate];
    (row.gone.is_some(), lists.iter().position(|list| list.as_str() == row.list).unwrap_or(lists.len()))
}

fn servers(db: &Connection, uri: Option<&str>) -> rusqlite::Result<Vec<Indexed>> {
    let condition = if uri.is_some() { "uri = ?2" } else { "?2 IS NULL" };
    db.prepare_cached(&format!(
        "SELECT id, uri, first, last FROM servers WHERE {condition} ORDER BY last DESC LIMIT ?1"
    ))?
    .query_map(params![sql(SERVERS_MAX + 1), uri], |row| {
        Ok(Indexed { id: row.get(0)?, uri: row.get(1)?, first: unsigned(row, 2)?, last: unsigned(row, 3)? })
    })?
    .collect()
}

fn names(db: &Connection, server: i64) -> rusqlite::Result<Vec<Marked>> {
    db.prepare_cached(NAMES)?
        .query_map([server, sql(ROWS_MAX + 1)], |row| {
            let list = list_of(row.get(0)?);
            let (since, last, gone) = (unsigned(row, 3)?, unsigned(row, 4)?, optional(row, 5)?);
            let (name, digest) = (row.get(1)?, row.get(2)?);
            Ok(list.map(|list| Marked { list, name, digest, since, last, gone }))
        })?
        .filter_map(Result::transpose)
        .collect()
}

fn changes(db: &Connection, server: i64) -> rusqlite::Result<Vec<At>> {
    db.prepare_cached(CHANGES)?.query_map([server, sql(ROWS_DEFAULT + 1)], at)?.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_of_a_server_is_found_by_its_id() {
        let db = crate::schema::in_memory();
        for query in [NAMES, CHANGES] {
            assert!(!crate::schema::plan(&db, query).contains("SCAN"));
        }
    }
}

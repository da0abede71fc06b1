//! What servers offer and are: the last digest of each name, since when it is that, and every recorded change.

use evidence::definition::List;
use evidence::{Entry, id, json};
use rusqlite::{OptionalExtension as _, params};
use serde_json::Value;

use super::{Folder, Result, sql};
use crate::limits::INTERNED_MAX_BYTES;
use crate::record::Record;

/// A list as its column holds it.
pub(crate) fn code(list: List) -> u8 {
    match list {
        List::Tool => 1,
        List::Resource => 2,
        List::ResourceTemplate => 3,
        List::Prompt => 4,
        List::Server => 5,
    }
}

/// The list that a column holds.
pub(crate) fn list_of(column: i64) -> Option<List> {
    List::ALL.into_iter().find(|list| i64::from(code(*list)) == column)
}

/// `what` of a change, as its column holds it: a list for one name of it; beyond, what concerns all acts on a server.
pub(crate) mod what {
    use evidence::definition::{CLIENT_CONFIG, List};

    /// What the server is, or many definitions at once.
    pub(crate) const WHOLE: u8 = 5;
    /// The configuration of a client.
    pub(crate) const CLIENT: u8 = 6;

    /// Of the word in an entry.
    pub(crate) fn of(word: &str) -> u8 {
        match List::parse(word) {
            Some(list) => super::code(list),
            None if word == CLIENT_CONFIG => CLIENT,
            None => WHOLE,
        }
    }
}

impl Folder<'_> {
    /// The mark of the command that a run is started with.
    pub(super) fn command(&self, record: &Record) -> Option<i64> {
        let servers = record.value("servers")?;
        let command = servers.get(0)?.get("command")?;
        Some(self.opener.mark(&json::jcs_text(command)))
    }

    /// What a server offers, or is, as a list told it.
    pub(super) fn definitions(&mut self, record: &Record, entry: &Entry, run: i64) -> Result<()> {
        let payload = record.value("payload").unwrap_or_default();
        let text = |name: &str| payload.get(name).and_then(Value::as_str);
        let Some(list) = text("list").and_then(List::parse) else { return Ok(()) };
        let Some(server) = self.server(text("server"), entry, run, record.index)? else { return Ok(()) };
        let at = sql(record.index);
        let names = payload.get("names").and_then(Value::as_object);
        for (name, digest) in names.into_iter().flatten() {
            let Some(digest) = digest.as_str() else { continue };
            self.tx
                .prepare_cached(
                    "INSERT INTO defined VALUES(?1, ?2, ?3, ?4, ?5, ?5, NULL)
                     ON CONFLICT(server, list, name) DO UPDATE SET
                     since = CASE WHEN digest = ?4 AND gone IS NULL THEN since ELSE ?5 END,
                     digest = ?4, last = ?5, gone = NULL",
                )?
                .execute(params![server, code(list), self.opener.mark(name), self.opener.mark(digest), at])?;
        }
        let gone = payload.get("gone").and_then(Value::as_array);
        for name in gone.into_iter().flatten().filter_map(Value::as_str) {
            self.tx
                .prepare_cached(
                    "UPDATE defined SET gone = ?4 WHERE server = ?1 AND list = ?2 AND name = ?3 AND gone IS NULL",
                )?
                .execute(params![server, code(list), self.opener.mark(name), at])?;
        }
        if payload.get("complete").and_then(Value::as_bool) == Some(true) {
            self.tx
                .prepare_cached(
                    "UPDATE defined SET gone = ?3 WHERE server = ?1 AND list = ?2 AND last < ?3 AND gone IS NULL",
                )?
                .execute(params![server, code(list), at])?;
        }
        Ok(())
    }

    /// A change of a definition, or of what a server or the configuration of a client is.
    pub(super) fn definition_changed(&mut self, record: &Record, entry: &Entry, run: i64) -> Result<()> {
        let word = record.text("what").unwrap_or_default();
        let server = match entry.run {
            id::LOG_LEVEL => None,
            _ => self.server(record.text("server").as_deref(), entry, run, record.index)?,
        };
        let name = record.text("name").map(|name| self.opener.mark(&name));
        self.tx
            .prepare_cached("INSERT INTO changes VALUES(?1, ?2, ?3, ?4, ?5, ?6)")?
            .execute(params![sql(record.index), record.leaf, run, server, what::of(&word), name])
            .map(|_| ())
    }

    /// The id of a server: its URI, and the command that this writer of the run was started with.
    fn server(&self, uri: Option<&str>, entry: &Entry, run: i64, index: u64) -> Result<Option<i64>> {
        let Some(uri) = uri.filter(|uri| uri.len() <= INTERNED_MAX_BYTES) else { return Ok(None) };
        // 0 is the mark of no command, as far as anybody will ever see
        let command = self.command_of(run, entry.stream)?.unwrap_or(0);
        self.tx
            .prepare_cached(
                "INSERT INTO servers(uri, command, first, last) VALUES(?1, ?2, ?3, ?3)
                 ON CONFLICT(uri, command) DO UPDATE SET last = ?3",
            )?
            .execute(params![uri, command, sql(index)])?;
        self.tx
            .prepare_cached("SELECT id FROM servers WHERE uri = ?1 AND command = ?2")?
            .query_row(params![uri, command], |row| row.get(0))
            .optional()
    }

    fn command_of(&self, run: i64, stream: u64) -> Result<Option<i64>> {
        for stream in [stream, 0] {
            let new = self.batch.streams.get(&(run, stream)).and_then(|seen| seen.command);
            let known = match new {
                Some(command) => Some(command),
                None => self
                    .tx
                    .prepare_cached("SELECT command FROM streams WHERE run = ?1 AND stream = ?2")?
                    .query_row([run, sql(stream)], |row| row.get(0))
                    .optional()?
                    .flatten(),
            };
            if known.is_some() {
                return Ok(known);
            }
        }
        Ok(None)
    }
}

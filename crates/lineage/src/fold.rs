//! From entries to rows: one entry at a time, in log order, inside one transaction per batch.

use std::collections::{HashMap, HashSet};

use evidence::id::{self, Id};
use evidence::{Cause, Entry, Holder, Kind, Principal, json};
use rusqlite::{OptionalExtension as _, Transaction, params};
use serde_json::json;

use crate::limits::{INTERNED_CACHED, INTERNED_MAX_BYTES};
use crate::record::{Opener, Record};
use batch::Batch;

mod artifacts;
pub(crate) mod batch;
pub(crate) mod definitions;
pub(crate) mod links;
pub(crate) mod missing;
pub(crate) mod orders;
pub(crate) mod ranges;

/// Binds an outcome to its decision. The `+` keep the search to the index on `h`, which names one decision; the one on
/// `run` would read all decisions of the run for each outcome.
const BIND_OUTCOME: &str = "UPDATE actions SET finished = ?4, finished_leaf = ?5, status = ?6
    WHERE h = ?1 AND leaf = ?2 AND +run = ?3 AND +finished IS NULL";

/// The attempt whose outcome, which asked for more, is the cause of a decision. Few outcomes do, and they have an index
/// of their own.
const RETRIED: &str = "SELECT decided FROM actions INDEXED BY actions_asked
    WHERE run = ?1 AND finished_leaf = ?2 AND status = 'input-required'";

/// What an interned text names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub(crate) enum Dim {
    /// A task (`txn`).
    Task = 1,
    /// A tool URI.
    Tool = 2,
    /// A principal: the JSON array of `iss` and `sub`.
    Principal = 3,
    /// A holder id.
    Holder = 4,
    /// Thumbprint of a key.
    Key = 5,
    /// Token digest of a delegation or mandate.
    Token = 6,
    /// Whose counter: the signer's thumbprint and the audience of its proofs.
    Counter = 7,
}

/// What the fold carries from entry to entry; also in the file, in the same transaction as the rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Entries folded.
    pub(crate) applied: u64,
    /// Leaf hash of the last of them.
    pub(crate) last_leaf: Option<[u8; 32]>,
    /// Latest second of the log's clock so far.
    pub(crate) second: Option<u64>,
    /// Position after the last entry whose clock was behind that (after a `clock-adjusted` entry); 0 for none.
    pub(crate) behind: u64,
}

/// Ids of interned texts and of runs, as far as they are kept in memory.
#[derive(Debug, Default)]
pub(crate) struct Interned {
    texts: HashMap<(u8, String), i64>,
    runs: HashMap<Id, i64>,
    /// Names, users of keys and tools used that are in their tables already.
    names: HashSet<(u8, i64, String)>,
    users: HashSet<(i64, i64)>,
    touched: HashSet<(u8, i64, i64)>,
}

/// Folds into one transaction.
pub(crate) struct Folder<'a> {
    pub(crate) tx: &'a Transaction<'a>,
    pub(crate) interned: &'a mut Interned,
    /// Makes the marks.
    pub(crate) opener: &'a Opener,
    pub(crate) progress: Progress,
    /// What changes with nearly every entry, written once per transaction.
    pub(crate) batch: Batch,
}

type Result<T> = rusqlite::Result<T>;

/// Why a run ended in which nothing but a root was issued (format §5, kind 3).
const ISSUED: &str = "issued";

/// Status of an act of which nobody knows what came of it.
const UNKNOWN: &str = "unknown";

impl Folder<'_> {
    /// Folds the next entry.
    pub(crate) fn apply(&mut self, record: &Record) -> Result<()> {
        if let Some(entry) = &record.entry {
            let run = self.run(&entry.run)?;
            self.batch.count(entry.kind);
            self.clock(entry, record.index)?;
            self.chain(entry, run, record.index)?;
            self.maybe_missing(record, entry, run)?;
            match entry.kind() {
                Some(Kind::RunStarted) => self.run_started(record, entry, run)?,
                Some(Kind::Delegated) => self.delegated(record, entry, run)?,
                Some(Kind::Revoked) => self.revoked(record, entry)?,
                Some(Kind::HaltedOrResumed) => self.halted_or_resumed(record, entry)?,
                Some(Kind::ChildStarted) => self.child_started(record, run)?,
                Some(Kind::Decided) => self.decided(record, entry, run)?,
                Some(Kind::Finished) => self.finished(record, entry, run)?,
                Some(Kind::Observed) => self.observed(record, entry, run)?,
                Some(Kind::Gap | Kind::ClockAdjusted) => self.remark(record, entry, run)?,
                Some(Kind::DefinitionChanged) => self.definition_changed(record, entry, run)?,
                Some(Kind::LabelChanged) => self.label_changed(record, entry)?,
                Some(Kind::PolicyActivated) => self.policy_activated(record, entry)?,
                Some(Kind::KeyOrTrustChanged) => self.key_changed(record, entry)?,
                Some(Kind::RunEnded) => self.run_ended(record, entry, run)?,
                _ => {}
            }
        }
        self.progress.applied = record.index + 1;
        self.progress.last_leaf = Some(record.leaf);
        Ok(())
    }

    /// One row per second of the clock's furthest reading, so that a time finds a position. Entries written while
    /// the clock was behind that reading (it was set back) are found because no upper bound lies below them.
    fn clock(&mut self, entry: &Entry, index: u64) -> Result<()> {
        let second = entry.observed_ms / 1_000;
        if self.progress.second.is_none_or(|latest| second > latest) {
            self.progress.second = Some(second);
            self.tx
                .prepare_cached("INSERT INTO seconds VALUES(?1, ?2)")?
                .execute([sql(second), sql(index)])?;
        } else if self.progress.second.is_some_and(|latest| second < latest) {
            self.progress.behind = index + 1;
        }
        Ok(())
    }

    fn chain(&mut self, entry: &Entry, run: i64, index: u64) -> Result<()> {
        self.tx.prepare_cached("INSERT INTO chain VALUES(?1, ?2)")?.execute([run, sql(index)])?;
        self.batch.stream(run, entry.stream, index);
        Ok(())
    }

    fn run_started(&mut self, record: &Record, entry: &Entry, run: i64) -> Result<()> {
        let task = self.task(record)?;
        if let Some(initiator) = record.typed::<Principal>("initiator") {
            self.principal(&initiator)?;
        }
        if let Some(holder) = self.holder(record)? {
            self.saw_holder(&holder, entry, record.index);
            self.used_key(holder.key, run)?;
        }
        let command = self.command(record);
        if let Some(stream) = self.batch.streams.get_mut(&(run, entry.stream)) {
            (stream.started, stream.command) = (Some(record.index), command.or(stream.command));
        }
        if let Some(task) = task {
            self.batch.task(task, record.index, entry.observed_ms);
        }
        // a writer that joins later starts a stream, not the run
        self.tx
            .prepare_cached(
                "UPDATE runs SET started = ?2, task = ?3, started_ms = ?4 WHERE id = ?1 AND started IS NULL",
            )?
            .execute(params![run, sql(record.index), task, sql(entry.observed_ms)])
            .map(|_| ())
    }

    fn run_ended(&mut self, record: &Record, entry: &Entry, run: i64) -> Result<()> {
        if let Some(stream) = self.batch.streams.get_mut(&(run, entry.stream)) {
            stream.ended = Some(record.index);
        }
        if entry.stream == 0 {
            let issued = record.text("reason").as_deref() == Some(ISSUED);
            self.tx
                .prepare_cached("UPDATE runs SET ended = ?2, issued = ?3 WHERE id = ?1 AND ended IS NULL")?
                .execute(params![run, sql(record.index), issued])?;
        }
        Ok(())
    }

    fn decided(&mut self, record: &Record, entry: &Entry, run: i64) -> Result<()> {
        let task = self.task(record)?;
        let tool = record.text("tool").map(|uri| self.text(Dim::Tool, &uri)).transpose()?.flatten();
        let principal = self.named_principal(record)?;
        let holder = self.holder(record)?;
        let token = record.text("chain").map(|digest| self.text(Dim::Token, &digest)).transpose()?.flatten();
        let verdict = bounded(record.text("verdict"));
        let tally = self.batch.runs.entry(run).or_default();
        tally.actions += 1;
        tally.refused += i64::from(verdict.as_deref() == Some("deny"));
        if let Some(task) = task {
            self.batch.task(task, record.index, entry.observed_ms);
        }
        self.artifacts(record);
        let retry_of = self.retry_of(entry, run)?;
        self.tx
            .prepare_cached(
                "INSERT INTO actions VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, NULL, NULL, NULL, ?12, ?13,
                 ?14)",
            )?
            .execute(params![
                sql(record.index),
                record.leaf,
                start_of(&record.leaf),
                record.id("act_id"),
                run,
                task,
                tool,
                principal,
                holder.map(|holder| holder.id),
                verdict,
                sql(entry.observed_ms),
                token,
                sql(record.number("decided_at_ms").unwrap_or(entry.observed_ms)),
                retry_of,
            ])?;
        let act = batch::Act { token, tool, principal, holder, allowed: verdict.as_deref() == Some("allow") };
        self.acted(&act, entry, record.index, run)?;
        self.counted(record, run)
    }

    /// The earlier attempt that a decision tries again, as its cause says.
    fn retry_of(&self, entry: &Entry, run: i64) -> Result<Option<i64>> {
        let [Cause::Here(outcome)] = entry.causes.as_slice() else { return Ok(None) };
        self.tx.prepare_cached(RETRIED)?.query_row(params![run, outcome], |row| row.get(0)).optional()
    }

    fn finished(&mut self, record: &Record, entry: &Entry, run: i64) -> Result<()> {
        let [Cause::Here(decision)] = entry.causes.as_slice() else { return Ok(()) };
        let status = bounded(record.text("status"));
        // the first outcome stands; a second one is a finding of verification, not another answer
        let bound = self.tx.prepare_cached(BIND_OUTCOME)?.execute(params![
            start_of(decision),
            decision,
            run,
            sql(record.index),
            record.leaf,
            status,
        ])?;
        if bound == 1 {
            self.batch.runs.entry(run).or_default().outcomes += 1;
            self.artifacts(record);
            if status.as_deref() == Some(UNKNOWN) {
                self.is_missing(record, entry, run, missing::What::Outcome)?;
            }
        }
        Ok(())
    }

    fn observed(&mut self, record: &Record, entry: &Entry, run: i64) -> Result<()> {
        match record.text("subtype").as_deref() {
            Some("artifacts") => self.artifacts(record),
            Some("definitions") => self.definitions(record, entry, run)?,
            _ => {}
        }
        self.remark(record, entry, run)
    }

    fn remark(&mut self, record: &Record, entry: &Entry, run: i64) -> Result<()> {
        self.tx
            .prepare_cached("INSERT INTO remarks VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)")?
            .execute(params![
                sql(record.index),
                record.leaf,
                run,
                sql(entry.kind),
                bounded(record.text("subtype")),
                record.id("act_id"),
                record.number("count").map(sql),
            ])
            .map(|_| ())
    }

    fn policy_activated(&self, record: &Record, entry: &Entry) -> Result<()> {
        self.tx
            .prepare_cached("INSERT INTO policies VALUES(?1, ?2, ?3, ?4)")?
            .execute(params![
                sql(record.index),
                record.leaf,
                bounded(record.text("policy_digest")),
                sql(entry.observed_ms)
            ])
            .map(|_| ())
    }

    fn key_changed(&mut self, record: &Record, entry: &Entry) -> Result<()> {
        let thumbprint = bounded(record.text("thumbprint"));
        let principal = self.named_principal(record)?;
        if let Some(id) = principal {
            self.saw(Dim::Principal, id, entry, record.index);
            if let Some(thumbprint) = &thumbprint {
                self.name(thumbprint, Dim::Principal, id)?;
            }
        }
        if let Some(key) = thumbprint.as_deref().map(|key| self.text(Dim::Key, key)).transpose()?.flatten() {
            self.saw(Dim::Key, key, entry, record.index);
        }
        self.tx
            .prepare_cached("INSERT INTO keys VALUES(?1, ?2, ?3, ?4, ?5, ?6)")?
            .execute(params![
                sql(record.index),
                record.leaf,
                thumbprint,
                bounded(record.text("change")),
                principal,
                sql(entry.observed_ms)
            ])
            .map(|_| ())
    }

    fn task(&mut self, record: &Record) -> Result<Option<i64>> {
        Ok(record.id("txn").map(|txn| self.text(Dim::Task, &id::text(&txn))).transpose()?.flatten())
    }

    /// The principal that the entry's field of that name is.
    fn named_principal(&mut self, record: &Record) -> Result<Option<i64>> {
        let who = record.typed::<Principal>("principal");
        Ok(who.map(|who| self.principal(&who)).transpose()?.flatten())
    }

    fn principal(&mut self, who: &Principal) -> Result<Option<i64>> {
        let id = self.text(Dim::Principal, &principal_text(&who.iss, &who.sub))?;
        if let Some(id) = id {
            self.name(&who.sub, Dim::Principal, id)?;
            self.name(&format!("{} {}", who.iss, who.sub), Dim::Principal, id)?;
            if let Some(key) = &who.key {
                self.name(key, Dim::Principal, id)?;
            }
        }
        Ok(id)
    }

    /// The holder that the entry names, and its key.
    fn holder(&mut self, record: &Record) -> Result<Option<HolderIds>> {
        let Some(holder) = record.typed::<Holder>("holder") else { return Ok(None) };
        let Some(id) = self.text(Dim::Holder, &holder.id)? else { return Ok(None) };
        self.name(&holder.id, Dim::Holder, id)?;
        self.name(&holder.key, Dim::Holder, id)?;
        Ok(Some(HolderIds { id, key: self.text(Dim::Key, &holder.key)? }))
    }

    /// A name under which a query may ask for an interned text.
    fn name(&mut self, name: &str, kind: Dim, id: i64) -> Result<()> {
        if name.len() > INTERNED_MAX_BYTES
            || !batch::remember(&mut self.interned.names, (kind as u8, id, name.to_owned()))
        {
            return Ok(());
        }
        self.tx
            .prepare_cached("INSERT OR IGNORE INTO names VALUES(?1, ?2, ?3)")?
            .execute(params![name, kind as u8, id])
            .map(|_| ())
    }

    /// The id of a text, given to it at its first use; nothing for one that is too long to be indexed.
    fn text(&mut self, kind: Dim, text: &str) -> Result<Option<i64>> {
        if text.len() > INTERNED_MAX_BYTES {
            return Ok(None);
        }
        if let Some(id) = self.interned.texts.get(&(kind as u8, text.to_owned())) {
            return Ok(Some(*id));
        }
        let known = self
            .tx
            .prepare_cached("SELECT id FROM dict WHERE kind = ?1 AND val = ?2")?
            .query_row(params![kind as u8, text], |row| row.get(0))
            .optional()?;
        let id = if let Some(id) = known {
            id
        } else {
            self.tx
                .prepare_cached("INSERT INTO dict(kind, val) VALUES(?1, ?2)")?
                .execute(params![kind as u8, text])?;
            self.tx.last_insert_rowid()
        };
        if self.interned.texts.len() >= INTERNED_CACHED {
            self.interned.texts.clear();
        }
        self.interned.texts.insert((kind as u8, text.to_owned()), id);
        Ok(Some(id))
    }

    fn run(&mut self, run: &Id) -> Result<i64> {
        if let Some(id) = self.interned.runs.get(run) {
            return Ok(*id);
        }
        self.tx.prepare_cached("INSERT OR IGNORE INTO runs(run) VALUES(?1)")?.execute([run])?;
        let id: i64 = self
            .tx
            .prepare_cached("SELECT id FROM runs WHERE run = ?1")?
            .query_row([run], |row| row.get(0))?;
        if self.interned.runs.len() >= INTERNED_CACHED {
            self.interned.runs.clear();
        }
        self.interned.runs.insert(*run, id);
        Ok(id)
    }
}

/// A holder and its key, interned.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HolderIds {
    pub(crate) id: i64,
    pub(crate) key: Option<i64>,
}

/// How a principal is written in the index.
pub(crate) fn principal_text(iss: &str, sub: &str) -> String {
    json::jcs_text(&json!([iss, sub]))
}

/// A position or time as SQLite keeps it. Neither reaches 2^63; what a hostile entry says beyond that is shown as
/// the log has it and only sorted wrongly here.
pub(crate) fn sql(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The first 8 bytes of a leaf hash: enough to find it, never enough to be it.
pub(crate) fn start_of(leaf: &[u8; 32]) -> i64 {
    leaf.first_chunk::<8>().map_or(0, |start| i64::from_be_bytes(*start))
}

fn bounded(text: Option<String>) -> Option<String> {
    text.filter(|text| text.len() <= INTERNED_MAX_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_is_bound_without_reading_its_run() {
        let plan = crate::schema::plan(&crate::schema::in_memory(), BIND_OUTCOME);
        assert!(plan.contains("SEARCH actions USING INDEX actions_h (h=?)"), "{plan}");
        let plan = crate::schema::plan(&crate::schema::in_memory(), RETRIED);
        assert!(plan.contains("actions_asked (run=? AND finished_leaf=?)"), "{plan}");
    }
}

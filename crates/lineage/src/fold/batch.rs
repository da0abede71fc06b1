//! What changes with nearly every entry (last uses, counts, counters), and rows that are best written in the order of
//! their keys: kept in memory, written once per transaction.

use std::collections::HashMap;

use evidence::Entry;
use evidence::delegation::Pop;
use evidence::jws::{self, Signed};
use rusqlite::{OptionalExtension as _, params};
use serde_json::Value;

use super::ranges::Ranges;
use super::{Dim, Folder, HolderIds, Result, sql};
use crate::limits::INTERNED_CACHED;
use crate::record::Record;

/// What a transaction has gathered so far.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    seen: HashMap<(u8, i64), Seen>,
    /// Acts allowed and refused, by delegation and tool.
    uses: HashMap<(i64, i64), (u64, u64)>,
    /// Counters used, by run and by whose they are.
    pub(super) counters: HashMap<(i64, i64), Ranges>,
    /// Entries by kind.
    counts: HashMap<u64, u64>,
    pub(super) streams: HashMap<(i64, u64), StreamSeen>,
    /// Acts by run.
    pub(super) runs: HashMap<i64, Tally>,
    tasks: HashMap<i64, Seen>,
    /// Mark of a digest, position, role.
    pub(super) digests: Vec<(i64, i64, u8)>,
    /// Mark of a URI, position, role, mark of the digest.
    pub(super) uris: Vec<(i64, i64, u8, Option<i64>)>,
}

/// What is new of a stream.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct StreamSeen {
    entries: u64,
    last: u64,
    pub(super) started: Option<u64>,
    pub(super) ended: Option<u64>,
    pub(super) command: Option<i64>,
}

/// What is new of the acts of a run.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tally {
    pub(super) actions: i64,
    pub(super) refused: i64,
    pub(super) outcomes: i64,
}

/// First and last time that an identity appears.
#[derive(Debug, Clone, Copy)]
struct Seen {
    first: (u64, u64),
    last: (u64, u64),
}

/// What the fold needs of a decision once everything in it is interned.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Act {
    pub(crate) token: Option<i64>,
    pub(crate) tool: Option<i64>,
    pub(crate) principal: Option<i64>,
    pub(crate) holder: Option<HolderIds>,
    pub(crate) allowed: bool,
}

impl Batch {
    pub(super) fn count(&mut self, kind: u64) {
        *self.counts.entry(kind).or_default() += 1;
    }

    pub(super) fn stream(&mut self, run: i64, stream: u64, index: u64) {
        let seen = self.streams.entry((run, stream)).or_default();
        (seen.entries, seen.last) = (seen.entries + 1, index);
    }

    pub(super) fn task(&mut self, task: i64, index: u64, now_ms: u64) {
        let now = (index, now_ms);
        self.tasks.entry(task).or_insert(Seen { first: now, last: now }).last = now;
    }
}

impl Folder<'_> {
    /// An identity appears in an entry.
    pub(super) fn saw(&mut self, what: Dim, id: i64, entry: &Entry, index: u64) {
        let now = (index, entry.observed_ms);
        let seen = self.batch.seen.entry((what as u8, id)).or_insert(Seen { first: now, last: now });
        seen.last = now;
    }

    pub(super) fn saw_holder(&mut self, holder: &HolderIds, entry: &Entry, index: u64) {
        self.saw(Dim::Holder, holder.id, entry, index);
        if let Some(key) = holder.key {
            self.saw(Dim::Key, key, entry, index);
        }
    }

    /// A run whose acts this key proves.
    pub(super) fn used_key(&mut self, key: Option<i64>, run: i64) -> Result<()> {
        let Some(key) = key else { return Ok(()) };
        if !remember(&mut self.interned.users, (key, run)) {
            return Ok(());
        }
        self.tx.prepare_cached("INSERT OR IGNORE INTO users VALUES(?1, ?2)")?.execute([key, run]).map(|_| ())
    }

    /// Who acted, under which delegation, with which tool.
    pub(super) fn acted(&mut self, act: &Act, entry: &Entry, index: u64, run: i64) -> Result<()> {
        if let Some(principal) = act.principal {
            self.saw(Dim::Principal, principal, entry, index);
        }
        if let Some(holder) = &act.holder {
            self.saw_holder(holder, entry, index);
            self.used_key(holder.key, run)?;
        }
        if let Some(token) = act.token {
            // 0 is the id of no text: a tool that is not known or not indexed
            let uses = self.batch.uses.entry((token, act.tool.unwrap_or(0))).or_default();
            if act.allowed {
                uses.0 += 1;
            } else {
                uses.1 += 1;
            }
        }
        let Some(tool) = act.tool.filter(|_| act.allowed) else { return Ok(()) };
        let holder = act.holder;
        let users = [
            (Dim::Principal, act.principal),
            (Dim::Holder, holder.map(|holder| holder.id)),
            (Dim::Key, holder.and_then(|holder| holder.key)),
        ];
        for (what, id) in users {
            if let Some(id) = id {
                self.touch(what, id, tool)?;
            }
        }
        Ok(())
    }

    fn touch(&mut self, what: Dim, id: i64, tool: i64) -> Result<()> {
        if !remember(&mut self.interned.touched, (what as u8, id, tool)) {
            return Ok(());
        }
        self.tx
            .prepare_cached("INSERT OR IGNORE INTO touched VALUES(?1, ?2, ?3)")?
            .execute(params![what as u8, id, tool])
            .map(|_| ())
    }

    /// The counter of a proof that its holder signed, whatever became of the act (format §10 step 11).
    pub(super) fn counted(&mut self, record: &Record, run: i64) -> Result<()> {
        let credential = record.value("credential").unwrap_or_default();
        if !matches!(credential.get("pop").and_then(Value::as_str), Some("verified" | "signed")) {
            return Ok(());
        }
        let signed = record.text("pop").and_then(|token| Signed::parse(&token, jws::POP).ok());
        let Some((kid, pop)) =
            signed.and_then(|signed| Some((signed.kid().to_owned(), Pop::parse(signed.unverified()).ok()?)))
        else {
            return Ok(());
        };
        let Some(key) = self.text(Dim::Counter, &format!("{kid} {}", pop.audience))? else { return Ok(()) };
        if !self.batch.counters.contains_key(&(run, key)) {
            let known = self.counters(run, key)?;
            self.batch.counters.insert((run, key), known);
        }
        self.batch.counters.entry((run, key)).or_default().insert(pop.counter);
        Ok(())
    }

    fn counters(&self, run: i64, key: i64) -> Result<Ranges> {
        let known: Option<String> = self
            .tx
            .prepare_cached("SELECT ranges FROM counters WHERE run = ?1 AND key = ?2")?
            .query_row([run, key], |row| row.get(0))
            .optional()?;
        Ok(known.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default())
    }

    /// Writes what was gathered, in the transaction of the entries that it comes from.
    pub(crate) fn flush(&mut self) -> Result<()> {
        let batch = core::mem::take(&mut self.batch);
        self.flush_identities(&batch)?;
        self.flush_runs(&batch)?;
        self.flush_artifacts(batch.digests, batch.uris)?;
        let mut counted = self
            .tx
            .prepare_cached("INSERT INTO counts VALUES(?1, ?2) ON CONFLICT(kind) DO UPDATE SET n = n + ?2")?;
        for (kind, n) in batch.counts {
            counted.execute([sql(kind), sql(n)])?;
        }
        let mut ranges_of = self.tx.prepare_cached("INSERT OR REPLACE INTO counters VALUES(?1, ?2, ?3)")?;
        for ((run, key), ranges) in batch.counters {
            ranges_of.execute(params![run, key, serde_json::to_string(&ranges).unwrap_or_default()])?;
        }
        Ok(())
    }

    fn flush_identities(&self, batch: &Batch) -> Result<()> {
        let mut last = self.tx.prepare_cached(
            "INSERT INTO seen VALUES(?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT(what, id) DO UPDATE SET last = ?5, last_ms = ?6",
        )?;
        for ((what, id), seen) in &batch.seen {
            let (first, latest) = (seen.first, seen.last);
            last.execute(params![what, id, sql(first.0), sql(first.1), sql(latest.0), sql(latest.1)])?;
        }
        let mut used = self.tx.prepare_cached(
            "INSERT INTO uses VALUES(?1, ?2, ?3, ?4) ON CONFLICT(token, tool)
             DO UPDATE SET allowed = allowed + ?3, refused = refused + ?4",
        )?;
        for ((token, tool), (allowed, refused)) in &batch.uses {
            used.execute([*token, *tool, sql(*allowed), sql(*refused)])?;
        }
        Ok(())
    }

    fn flush_runs(&self, batch: &Batch) -> Result<()> {
        let mut streams = self.tx.prepare_cached(
            "INSERT INTO streams VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)
             ON CONFLICT(run, stream) DO UPDATE SET entries = entries + ?5, last = ?6, started = IFNULL(?3, started),
             ended = IFNULL(?4, ended), command = IFNULL(?7, command)",
        )?;
        for ((run, stream), seen) in &batch.streams {
            let (started, ended) = (seen.started.map(sql), seen.ended.map(sql));
            let (entries, last) = (sql(seen.entries), sql(seen.last));
            streams.execute(params![run, sql(*stream), started, ended, entries, last, seen.command])?;
        }
        let mut runs = self.tx.prepare_cached(
            "UPDATE runs SET actions = actions + ?2, refused = refused + ?3, outcomes = outcomes + ?4 WHERE id = ?1",
        )?;
        for (run, tally) in &batch.runs {
            runs.execute([*run, tally.actions, tally.refused, tally.outcomes])?;
        }
        let mut tasks = self.tx.prepare_cached(
            "INSERT INTO tasks VALUES(?1, ?2, ?3, ?4, ?5) ON CONFLICT(id) DO UPDATE SET last = ?4, last_ms = ?5",
        )?;
        for (task, seen) in &batch.tasks {
            let (first, last) = (seen.first, seen.last);
            tasks.execute([*task, sql(first.0), sql(first.1), sql(last.0), sql(last.1)])?;
        }
        Ok(())
    }

    /// In the order of their keys, which are random: neighbours meet on one page.
    fn flush_artifacts(
        &self,
        mut digests: Vec<(i64, i64, u8)>,
        mut uris: Vec<(i64, i64, u8, Option<i64>)>,
    ) -> Result<()> {
        digests.sort_unstable();
        uris.sort_unstable();
        let mut add = self.tx.prepare_cached("INSERT OR IGNORE INTO digests VALUES(?1, ?2, ?3)")?;
        for row in digests {
            add.execute(row)?;
        }
        let mut add = self.tx.prepare_cached("INSERT OR IGNORE INTO uris VALUES(?1, ?2, ?3, ?4)")?;
        for row in uris {
            add.execute(row)?;
        }
        Ok(())
    }
}

/// Whether this is new to a cache of what is in the file already; a full one is emptied.
pub(super) fn remember<T: Eq + core::hash::Hash>(known: &mut std::collections::HashSet<T>, one: T) -> bool {
    if known.contains(&one) {
        return false;
    }
    if known.len() >= INTERNED_CACHED {
        known.clear();
    }
    known.insert(one)
}

//! `status`: counts.

use std::collections::BTreeMap;

use evidence::{Digest, Kind};
use rusqlite::{Connection, OptionalExtension as _};
use serde::Serialize;

use super::{At, unsigned};
use crate::answer::{Answer, Fact, Margin};
use crate::error::LineageError;
use crate::index::Index;

/// Answer of [`Index::status`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Status {
    /// Leaf hash of entry 0, hex; nothing while the log is empty.
    pub log_id: Option<String>,
    /// Entries in the log.
    pub sequenced: u64,
    /// Entries under the newest checkpoint.
    pub published: u64,
    /// Entries by name of their kind; `uninterpreted` for unknown ones.
    pub entries: BTreeMap<&'static str, u64>,
    /// Runs that were started, but for those in which nothing was done but a root issued.
    pub runs: u64,
    /// Of those, not ended.
    pub open_runs: u64,
    /// Allowed acts without outcome.
    pub open_actions: u64,
    /// The policy in force.
    pub policy: Option<PolicyRow>,
}

/// A policy set that was activated.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PolicyRow {
    /// Position that activated it.
    pub index: u64,
    /// Its digest.
    pub digest: Fact,
    /// Where it came from.
    pub source: Fact,
}

struct Counts {
    entries: Vec<(u64, u64)>,
    runs: u64,
    open_runs: u64,
    open_actions: u64,
    policy: Option<At>,
}

impl Index {
    /// Counts, and the policy in force.
    pub fn status(&self) -> Result<Answer<Status>, LineageError> {
        let (size, counts) = self.read(|db, size| Ok((size, counts(db)?)))?;
        let mut margin = Margin::default();
        let policy = match counts.policy {
            Some(at) => self.expect(at, &mut margin)?,
            None => None,
        };
        let reader = self.reader();
        let mut entries = BTreeMap::new();
        for (kind, n) in counts.entries {
            *entries.entry(Kind::from_code(kind).map_or("uninterpreted", Kind::name)).or_insert(0) += n;
        }
        let status = Status {
            log_id: reader.log_id().map(|id| Digest(id).hex()),
            sequenced: reader.size(),
            published: reader.published_size(),
            entries,
            runs: counts.runs,
            open_runs: counts.open_runs,
            open_actions: counts.open_actions,
            policy: policy.map(|record| PolicyRow {
                index: record.index,
                digest: Fact::of(&record, "policy_digest"),
                source: Fact::of(&record, "source"),
            }),
        };
        Ok(margin.answer(size, status))
    }
}

fn counts(db: &Connection) -> rusqlite::Result<Counts> {
    let one = |query: &str| db.prepare_cached(query)?.query_row([], |row| unsigned(row, 0));
    Ok(Counts {
        entries: db
            .prepare_cached("SELECT kind, n FROM counts")?
            .query_map([], |row| Ok((unsigned(row, 0)?, unsigned(row, 1)?)))?
            .collect::<rusqlite::Result<_>>()?,
        runs: one(
            "SELECT COUNT(*) FROM runs WHERE started IS NOT NULL AND NOT (issued = 1 AND actions = 0)",
        )?,
        open_runs: one("SELECT COUNT(*) FROM runs WHERE started IS NOT NULL AND ended IS NULL")?,
        open_actions: one("SELECT COUNT(*) FROM actions WHERE verdict = 'allow' AND finished IS NULL")?,
        policy: db
            .prepare_cached("SELECT idx, leaf FROM policies ORDER BY idx DESC LIMIT 1")?
            .query_row([], super::run::at)
            .optional()?,
    })
}

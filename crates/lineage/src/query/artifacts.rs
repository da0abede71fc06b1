//! The artifacts of one act, wherever they are recorded, and what of them was withdrawn.

use std::collections::BTreeMap;

use evidence::id::Id;
use evidence::label::Assurance;
use evidence::{Digest, json};
use rusqlite::{Connection, params};
use serde::Serialize;
use serde_json::Value;

use super::run::at;
use super::{At, cut};
use crate::answer::{Fact, Margin};
use crate::artifact::{self, Artifact, Role, canonical, listed, many};
use crate::error::LineageError;
use crate::fold::sql;
use crate::index::Index;
use crate::limits::{BESIDE_MAX, PARTS_MAX};
use crate::record::Record;

/// That an artifact is not to be relied on any more.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Withdrawn {
    /// Position.
    pub index: u64,
    /// The log's clock then, ms.
    pub at_ms: u64,
    /// What was withdrawn: {uri?, digest?}.
    pub artifact: Fact,
    /// Why.
    pub why: Fact,
    /// By whom.
    pub by: Fact,
}

/// An artifact, the entry that names it, and on which side of its act.
#[derive(Debug, Clone)]
pub(crate) struct Placed {
    pub(crate) role: Role,
    pub(crate) index: u64,
    pub(crate) artifact: Artifact,
}

/// Withdrawals by what they are about: of a name every version, of bytes wherever they are, of both that version there.
const WITHDRAWN: &str = "SELECT idx, leaf FROM withdrawals WHERE uri = ?1 AND (digest IS NULL OR digest = ?2)
    UNION SELECT idx, leaf FROM withdrawals WHERE digest = ?2 AND (uri IS NULL OR uri = ?1) ORDER BY 1 LIMIT ?3";

/// Withdrawals of anything that an entry lists.
const WITHDRAWN_IN: &str = "SELECT w.idx, w.leaf FROM withdrawals AS w
    WHERE EXISTS (SELECT 1 FROM uris WHERE mark = w.uri AND idx = ?1)
       OR EXISTS (SELECT 1 FROM digests WHERE mark = w.digest AND idx = ?1) LIMIT ?2";

impl Index {
    /// The withdrawals of an artifact: by its name, by its bytes, or both.
    pub(super) fn withdrawals(
        &self,
        uri: Option<&str>,
        digest: Option<&str>,
        margin: &mut Margin,
    ) -> Result<Vec<Withdrawn>, LineageError> {
        let marks = (uri.map(|uri| self.mark(&canonical(uri))), digest.map(|digest| self.mark(digest)));
        let mut found = self.read(|db, _| {
            db.prepare_cached(WITHDRAWN)?
                .query_map(params![marks.0, marks.1, sql(BESIDE_MAX + 1)], at)?
                .collect::<rusqlite::Result<Vec<At>>>()
        })?;
        cut(&mut found, BESIDE_MAX, "withdrawals of one artifact", margin);
        let own = Artifact {
            uri: uri.map(str::to_owned),
            digest: digest.map(str::to_owned),
            ..Artifact::default()
        };
        let mut withdrawn = Vec::new();
        for at in found {
            withdrawn.extend(self.expect(at, margin)?.and_then(|record| withdrawal(&record, &own)));
        }
        Ok(withdrawn)
    }

    /// The withdrawals of artifacts that an entry lists, which may be many; each once.
    pub(super) fn withdrawn_in(
        &self,
        record: &Record,
        margin: &mut Margin,
    ) -> Result<Vec<Withdrawn>, LineageError> {
        let mut found = self.read(|db, _| {
            db.prepare_cached(WITHDRAWN_IN)?
                .query_map([sql(record.index), sql(BESIDE_MAX + 1)], at)?
                .collect::<rusqlite::Result<Vec<At>>>()
        })?;
        cut(&mut found, BESIDE_MAX, "withdrawals of artifacts of one act", margin);
        let own = listed(record);
        let mut withdrawn = Vec::new();
        for at in found {
            let Some(entry) = self.expect(at, margin)? else { continue };
            withdrawn.extend(own.iter().find_map(|(_, artifact)| withdrawal(&entry, artifact)));
        }
        Ok(withdrawn)
    }

    /// The entries in which parts of an act's lists are recorded: those of inputs lie between the attempt before and
    /// the decision, those of outputs between the decision and the outcome.
    pub(super) fn parts(
        &self,
        decision: &Record,
        finished: Option<&Record>,
        margin: &mut Margin,
    ) -> Result<Vec<Record>, LineageError> {
        let long = |record: &Record, field: &str| many(record, field).is_some();
        if !long(decision, "inputs") && !finished.is_some_and(|finished| long(finished, "outputs")) {
            return Ok(Vec::new());
        }
        let (Some(act), Some(entry)) = (decision.id("act_id"), &decision.entry) else {
            return Ok(Vec::new());
        };
        let until = finished.map_or(u64::MAX, |finished| finished.index);
        let mut found = self.read(|db, _| parts_of(db, &act, &entry.run, decision.index, until))?;
        cut(&mut found, PARTS_MAX, "parts of the lists of artifacts", margin);
        let mut parts = Vec::new();
        for at in found {
            parts.extend(self.expect(at, margin)?);
        }
        Ok(parts)
    }

    /// All artifacts of an act, inputs first, in the order of its lists. A list in parts that is not what decision or
    /// outcome commit to is a finding.
    pub(super) fn all_artifacts(
        &self,
        decision: &Record,
        finished: Option<&Record>,
        margin: &mut Margin,
    ) -> Result<Vec<Placed>, LineageError> {
        let mut found = Vec::new();
        let parts = self.parts(decision, finished, margin)?;
        let (before, after): (Vec<Record>, Vec<Record>) =
            parts.into_iter().partition(|part| part.index < decision.index);
        let sides =
            [(Some(decision), "inputs", Role::Input, before), (finished, "outputs", Role::Output, after)];
        for (record, field, role, parts) in sides {
            let Some(record) = record else { continue };
            if let Some((count, digest)) = many(record, field) {
                let (placed, whole) = put_together(&parts, role);
                if !whole_is(&whole, count, &digest) {
                    let text =
                        format!("the parts of its {field} are not the list of {count} that it commits to");
                    margin.finding("artifacts-mismatch", Some(record.index), text);
                }
                found.extend(placed);
            }
            let own = listed(record).into_iter();
            found.extend(own.map(|(role, artifact)| Placed { role, index: record.index, artifact }));
        }
        Ok(found)
    }
}

/// What an entry withdraws, if an artifact is of it.
fn withdrawal(record: &Record, artifact: &Artifact) -> Option<Withdrawn> {
    let what = record.value("artifact")?;
    let text = |name: &str| what.get(name).and_then(Value::as_str);
    artifact.is(text("uri"), text("digest")).then(|| Withdrawn {
        index: record.index,
        at_ms: record.entry.as_ref().map_or(0, |entry| entry.observed_ms),
        artifact: Fact::recorded(what.clone(), record.index),
        why: Fact::of(record, "why"),
        by: Fact::of(record, "by").assured(record.text("assurance").as_deref().and_then(Assurance::parse)),
    })
}

/// Parts in their own order, each once, and all of their list.
fn put_together(parts: &[Record], role: Role) -> (Vec<Placed>, Vec<Value>) {
    let mut by_number: BTreeMap<u64, (u64, Value)> = BTreeMap::new();
    for record in parts {
        if let Some((_, number, list)) = artifact::part(record).filter(|(side, _, _)| *side == role) {
            by_number.entry(number).or_insert((record.index, list));
        }
    }
    let (mut placed, mut whole) = (Vec::new(), Vec::new());
    for (index, list) in by_number.into_values() {
        let Value::Array(list) = list else { continue };
        for value in list {
            whole.push(value.clone());
            placed.extend(Artifact::of(value).map(|artifact| Placed { role, index, artifact }));
        }
    }
    (placed, whole)
}

/// Whether a list is the one whose length and digest an entry names.
fn whole_is(list: &[Value], count: u64, digest: &str) -> bool {
    u64::try_from(list.len()).is_ok_and(|length| length == count)
        && Digest::of(json::jcs_text(&Value::Array(list.to_vec())).as_bytes()).to_string() == digest
}

fn parts_of(db: &Connection, act: &Id, run: &Id, decided: u64, until: u64) -> rusqlite::Result<Vec<At>> {
    let Some(run) = super::run_row(db, run)? else { return Ok(Vec::new()) };
    // an earlier attempt of the same act has parts of its own
    let before: i64 = db
        .prepare_cached(
            "SELECT IFNULL(MAX(decided), 0) FROM actions WHERE act_id = ?1 AND +run = ?2 AND decided < ?3",
        )?
        .query_row(params![act, run, sql(decided)], |row| row.get(0))?;
    let after: i64 = db
        .prepare_cached("SELECT MIN(decided) FROM actions WHERE act_id = ?1 AND +run = ?2 AND decided > ?3")?
        .query_row(params![act, run, sql(decided)], |row| row.get::<_, Option<i64>>(0))?
        .unwrap_or(i64::MAX);
    db.prepare_cached(
        "SELECT idx, leaf FROM remarks WHERE act_id = ?1 AND run = ?2 AND subtype = 'artifacts' AND idx > ?3
         AND idx < ?4 ORDER BY idx LIMIT ?5",
    )?
    .query_map(params![act, run, before, sql(until).min(after), sql(PARTS_MAX + 1)], at)?
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn withdrawals_are_found_by_their_marks() {
        let db = crate::schema::in_memory();
        let plan = crate::schema::plan(&db, WITHDRAWN);
        assert!(plan.contains("withdrawals_uri") && plan.contains("withdrawals_digest"), "{plan}");
        let plan = crate::schema::plan(&db, WITHDRAWN_IN);
        assert!(plan.contains("SEARCH uris") && plan.contains("SEARCH digests"), "{plan}");
    }
}

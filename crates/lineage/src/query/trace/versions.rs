//! The other bytes that the name of an artifact stood for: after an act had or made it, or between two acts of a task.

use rusqlite::{Connection, params};
use serde::Serialize;
use serde_json::Value;

use super::{ActAt, act_of, place};
use crate::answer::Margin;
use crate::artifact::{Artifact, Role, canonical};
use crate::error::LineageError;
use crate::fold::sql;
use crate::index::Index;
use crate::limits::VERSIONS_MAX;
use crate::query::artifacts::Placed;
use crate::query::unsigned;

/// That a name stood for other bytes than an act had or made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Replaced {
    /// `since`: later; `between`: after the same task, or the same act, had it and before this use.
    pub when: &'static str,
    /// Position of the entry that shows the other bytes.
    pub index: u64,
    /// Decision of the act that wrote them; nothing where they were only found: no act that is recorded wrote them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<u64>,
    /// Their digest string; nothing where they are gone or were not seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

/// Media type of a directory, whose digest is that of all that it holds.
const DIRECTORY: &str = "inode/directory";

const SINCE: &str = "since";
const BETWEEN: &str = "between";

/// Other versions after a position: what was written, and what was found with another digest.
const LATER: &str = "SELECT idx, role FROM uris WHERE mark = ?1 AND idx > ?2
    AND (digest <> ?3 OR digest IS NULL AND role = 2) ORDER BY idx LIMIT ?4";

/// Every place before a position.
const EARLIER: &str =
    "SELECT idx, role, digest FROM uris WHERE mark = ?1 AND idx < ?2 ORDER BY idx DESC LIMIT ?3";

impl Index {
    /// The other bytes that matter to one artifact of an act; `outputs` are those of the act.
    pub(super) fn replaced(
        &self,
        placed: &Placed,
        own: &ActAt,
        outputs: &[Artifact],
        margin: &mut Margin,
    ) -> Result<Vec<Replaced>, LineageError> {
        let (Some(uri), Some(digest)) = (&placed.artifact.uri, &placed.artifact.digest) else {
            return Ok(Vec::new());
        };
        let mut found = Vec::new();
        let written = outputs.iter().find(|output| output.is(Some(uri), None));
        if placed.role == Role::Input {
            found.extend(self.changed_between(uri, digest, placed, own, margin)?);
            if let (Some(written), Some(end)) = (written, own.indexed.finished)
                && written.before.as_ref().is_some_and(|before| before != digest)
            {
                let digest = written.before.clone();
                found.push(Replaced { when: BETWEEN, index: end.index, by: None, digest });
            }
        }
        // what the act itself wrote over is no news
        if placed.role == Role::Output || written.is_none() {
            found.extend(self.changed_since(uri, digest, placed.index, own, margin)?);
        }
        Ok(found)
    }

    fn changed_since(
        &self,
        uri: &str,
        digest: &str,
        from: u64,
        own: &ActAt,
        margin: &mut Margin,
    ) -> Result<Option<Replaced>, LineageError> {
        let marks = (self.mark(&canonical(uri)), self.mark(digest));
        let found = self.read(|db, _| later(db, marks, from))?;
        for (index, role) in found {
            let act = self.read(|db, _| act_of(db, index, role))?;
            if act.is_some_and(|act| act.decided() == own.decided()) {
                continue;
            }
            let others = self.matching(index, role, Some(uri), None, margin)?;
            let Some(other) = others.into_iter().find(|other| other.digest.as_deref() != Some(digest)) else {
                continue;
            };
            let by = act.filter(|_| role == Role::Output).map(|act| act.decided());
            return Ok(Some(Replaced { when: SINCE, index, by, digest: other.digest }));
        }
        Ok(None)
    }

    /// The version that the same task had last is another one, and nobody in the task replaced it.
    fn changed_between(
        &self,
        uri: &str,
        digest: &str,
        placed: &Placed,
        own: &ActAt,
        margin: &mut Margin,
    ) -> Result<Option<Replaced>, LineageError> {
        let marks = (self.mark(&canonical(uri)), self.mark(digest));
        let found = self.read(|db, _| earlier(db, marks.0, placed.index))?;
        let mut writer = None;
        for (index, role, mark) in found {
            let act = self.read(|db, _| act_of(db, index, role))?;
            let Some(act) = act.filter(|act| act.decided() != own.decided()) else { continue };
            if own.task.is_none() || act.task != own.task {
                if role == Role::Output && mark == Some(marks.1) && writer.is_none() {
                    writer = Some(act.decided());
                }
                continue;
            }
            let others = self.matching(index, role, Some(uri), None, margin)?;
            let other = others.into_iter().next().and_then(|other| other.digest);
            // seen as it was used, or not seen at all
            return Ok(other.filter(|other| other != digest).map(|other| Replaced {
                when: BETWEEN,
                index,
                by: writer,
                digest: Some(other),
            }));
        }
        Ok(None)
    }
}

/// Findings about an input: that it was replaced between, and, where `since` is asked for, that it was later.
pub(super) fn tell(replaced: &[Replaced], placed: &Placed, own: u64, since: bool, margin: &mut Margin) {
    if placed.role != Role::Input {
        return;
    }
    let uri = placed.artifact.uri.as_deref().unwrap_or_default();
    // a directory goes on changing with whatever is in it
    let since = since && placed.artifact.value.get("media_type").and_then(Value::as_str) != Some(DIRECTORY);
    for other in replaced {
        let at = other.index;
        match (other.when, other.by) {
            (BETWEEN, Some(by)) => {
                let text = format!(
                    "`{uri}` had other bytes at @{at} than when @{own} had it: @{by}, of another task, wrote it in between"
                );
                margin.found("replaced-between", Some(own), text);
            }
            (BETWEEN, None) => {
                let text = format!(
                    "`{uri}` had other bytes at @{at} than when @{own} had it, and no act that is recorded wrote it in \
                     between"
                );
                margin.found("replaced-between", Some(own), text);
            }
            (_, Some(by)) if since => {
                let text = format!("`{uri}`, which @{own} had, was replaced since by @{by}");
                margin.found("replaced-since", Some(at), text);
            }
            (_, None) if since => {
                let text = format!(
                    "`{uri}`, which @{own} had, has other bytes since @{at}, and no act that is recorded wrote them"
                );
                margin.found("replaced-since", Some(at), text);
            }
            _ => {}
        }
    }
}

fn later(db: &Connection, (uri, digest): (i64, i64), from: u64) -> rusqlite::Result<Vec<(u64, Role)>> {
    db.prepare_cached(LATER)?
        .query_map(params![uri, sql(from), digest, sql(VERSIONS_MAX)], place)?
        .filter_map(Result::transpose)
        .collect()
}

fn earlier(db: &Connection, uri: i64, from: u64) -> rusqlite::Result<Vec<(u64, Role, Option<i64>)>> {
    db.prepare_cached(EARLIER)?
        .query_map(params![uri, sql(from), sql(VERSIONS_MAX)], |row| {
            Ok(Role::of(row.get(1)?).map(|role| (role, unsigned(row, 0), row.get(2))))
        })?
        .filter_map(Result::transpose)
        .map(|row| row.and_then(|(role, index, digest)| Ok((index?, role, digest?))))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_order() {
        let db = crate::schema::in_memory();
        for query in [LATER, EARLIER] {
            let plan = crate::schema::plan(&db, query);
            assert!(plan.contains("USING PRIMARY KEY (mark=? AND idx") && !plan.contains("TEMP"), "{plan}");
        }
    }
}

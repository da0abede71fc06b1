//! `trace`: one hop over artifacts. Of an artifact the acts that made it and those that had it; of an act what it had
//! and what came of it. Whether any of that was withdrawn, or replaced by other bytes.

mod versions;

use evidence::id::{self, Id};
use evidence::limits::ARTIFACT_URI_MAX_BYTES;
use evidence::{Digest, Verdict};
use rusqlite::{Connection, OptionalExtension as _, params};
use serde::Serialize;
use serde_json::{Value, json};

use super::actions::{ActionRow, Indexed};
use super::artifacts::{Placed, Withdrawn};
use super::authority::Which;
use super::select::indexed;
use super::{rows, unsigned};
use crate::answer::{Answer, Fact, Margin};
use crate::artifact::{Artifact, Role, canonical, file_uri, listed};
use crate::error::LineageError;
use crate::fold::sql;
use crate::index::Index;
use crate::limits::BESIDE_MAX;
use crate::record::Record;

pub use versions::Replaced;

/// Where to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TraceOf {
    /// At an act.
    Act(Which),
    /// At every version of a name.
    Uri(String),
    /// At bytes, by their digest string, wherever they are.
    Digest(String),
}

impl TraceOf {
    /// `@42` or `42`, the id of an act, a digest string, an absolute path, or a URI.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('@').unwrap_or(text);
        if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return digits.parse().ok().map(|index| Self::Act(Which::Index(index)));
        }
        if let Some(act) = id::parse(text) {
            return Some(Self::Act(Which::Act(act)));
        }
        if text.starts_with("sha256:") {
            return Digest::parse(text).ok().map(|digest| Self::Digest(digest.to_string()));
        }
        let uri =
            if text.starts_with('/') { file_uri(text.as_bytes()) } else { canonical(text).into_owned() };
        (is_uri(&uri) && uri.len() <= ARTIFACT_URI_MAX_BYTES).then_some(Self::Uri(uri))
    }
}

/// Whether a text begins as RFC 3986 §3.1 has it.
fn is_uri(text: &str) -> bool {
    text.split_once(':').is_some_and(|(scheme, _)| {
        scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
    })
}

/// Which way to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// To where it came from.
    Up,
    /// To what came of it.
    Down,
}

/// What to trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceFilter {
    /// From where.
    pub of: TraceOf,
    /// One way; both where nothing is said.
    pub direction: Option<Direction>,
    /// Rows wanted; within 1 and [`crate::limits::ROWS_MAX`], else it is brought there.
    pub limit: Option<u64>,
    /// Of an artifact: only what was recorded below this position, the `next` of the answer before.
    pub before: Option<u64>,
}

/// Answer of [`Index::trace`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Trace {
    /// What was asked for: {act} (position of its decision), {uri} or {digest}.
    pub of: Value,
    /// The act, where one was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub act: Option<ActionRow>,
    /// Of an act: its artifacts, inputs first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifacts: Option<Vec<ArtifactRow>>,
    /// Of an artifact: the acts that made or had it, newest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acts: Option<Vec<TraceRow>>,
    /// Of a name: what the newest entry that has it says of it, whichever rows were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latest: Option<Latest>,
    /// Withdrawals of the artifact asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub withdrawn: Vec<Withdrawn>,
    /// `before` for the rows that follow; absent when there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

/// What is last recorded of a name.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Latest {
    /// Position of the entry.
    pub index: u64,
    /// `input`: an act found it like this; `output`: an act made it, or left it, like this.
    pub role: &'static str,
    /// Decision of that act.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub act: Option<u64>,
    /// {uri, digest, size, media_type, change, before} as recorded.
    pub artifact: Fact,
}

/// An artifact of the act asked for.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ArtifactRow {
    /// `input`, `output` or `result`.
    pub role: &'static str,
    /// {uri, digest, size, media_type, change, before} as recorded; of a result the digest.
    pub artifact: Fact,
    /// Of an input: the latest acts before that made these bytes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub made_by: Vec<u64>,
    /// Of what came of it: the first acts after that had these bytes as input.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub used_by: Vec<u64>,
    /// Other bytes that the name stood for, where that matters.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub replaced: Vec<Replaced>,
    /// Its withdrawals.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub withdrawn: Vec<Withdrawn>,
}

/// An act that made or had the artifact asked for.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TraceRow {
    /// Position of the entry that says so.
    pub index: u64,
    /// `input`, `output` or `result`.
    pub role: &'static str,
    /// The artifacts of the act that are the one asked for; more than one where the same bytes have several names.
    pub artifacts: Vec<Fact>,
    /// The act; nothing for a part of a list whose decision never came.
    pub act: Option<ActionRow>,
    /// Other bytes that a name stood for, where that matters.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub replaced: Vec<Replaced>,
    /// Withdrawals of these artifacts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub withdrawn: Vec<Withdrawn>,
}

/// An act as the index has it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ActAt {
    pub(crate) indexed: Indexed,
    task: Option<i64>,
}

impl ActAt {
    fn decided(&self) -> u64 {
        self.indexed.decided.index
    }
}

/// The rows of an artifact by digest or by name, newest first.
fn statement(table: &str) -> String {
    format!(
        "SELECT idx, role FROM {table} WHERE mark = ?1 AND idx < ?2 AND role >= ?3 AND role <= ?4
         ORDER BY idx DESC LIMIT ?5"
    )
}

impl Index {
    /// One hop from an act or an artifact. [`LineageError::NotFound`] when there is no such act; an artifact that
    /// nothing names has no acts.
    pub fn trace(&self, filter: &TraceFilter) -> Result<Answer<Trace>, LineageError> {
        match &filter.of {
            TraceOf::Act(which) => self.trace_act(*which, filter),
            TraceOf::Uri(uri) => self.trace_artifact(Some(uri), None, filter),
            TraceOf::Digest(digest) => self.trace_artifact(None, Some(digest), filter),
        }
    }

    fn trace_act(&self, which: Which, filter: &TraceFilter) -> Result<Answer<Trace>, LineageError> {
        let (size, place) = self.place(which)?;
        let mut margin = Margin::default();
        let decision = self.expect(place.decided, &mut margin)?;
        let finished = place.finished.map_or(Ok(None), |at| self.expect(at, &mut margin))?;
        let act = self.action(place, &mut margin)?;
        let mut shown = Vec::new();
        if let Some(decision) = decision {
            let mut all = self.all_artifacts(&decision, finished.as_ref(), &mut margin)?;
            let outputs: Vec<Artifact> = outputs(&all);
            all.retain(|one| filter.direction.is_none_or(|way| way == way_to(one.role)));
            super::cut(&mut all, rows(filter.limit), "artifacts of the act", &mut margin);
            let own = self.read(|db, _| act_of(db, decision.index, Role::Input))?;
            for one in &all {
                shown.extend(own.map(|own| self.artifact_row(one, &own, &outputs, &mut margin)).transpose()?);
            }
        }
        let of = json!({"act": place.decided.index});
        let artifacts = Some(shown);
        Ok(margin.answer(
            size,
            Trace { of, act, artifacts, acts: None, latest: None, withdrawn: Vec::new(), next: None },
        ))
    }

    fn artifact_row(
        &self,
        placed: &Placed,
        own: &ActAt,
        outputs: &[Artifact],
        margin: &mut Margin,
    ) -> Result<ArtifactRow, LineageError> {
        let artifact = &placed.artifact;
        let digest = artifact.digest.as_deref();
        let near = |role: Role| match digest {
            Some(digest) if (placed.role == Role::Input) == (role != Role::Input) => {
                self.neighbours(digest, placed.index, own.decided(), role, &mut Margin::default())
            }
            _ => Ok(Vec::new()),
        };
        let withdrawn = self.withdrawals(artifact.uri.as_deref(), digest, margin)?;
        let replaced = self.replaced(placed, own, outputs, margin)?;
        let verb = match placed.role {
            Role::Input => "had",
            Role::Output if artifact.value.get("change").is_none() => "brought",
            _ => "made",
        };
        tell_withdrawn(&withdrawn, &format!("what @{} {verb}", own.decided()), margin);
        versions::tell(&replaced, placed, own.decided(), true, margin);
        Ok(ArtifactRow {
            role: placed.role.as_str(),
            made_by: near(Role::Output)?,
            used_by: near(Role::Input)?,
            artifact: Fact::recorded(artifact.value.clone(), placed.index),
            replaced,
            withdrawn,
        })
    }

    /// Acts near a position that have bytes on a side: the latest before it that made them, or the first after it that
    /// had them.
    fn neighbours(
        &self,
        digest: &str,
        from: u64,
        own: u64,
        side: Role,
        margin: &mut Margin,
    ) -> Result<Vec<u64>, LineageError> {
        let mark = self.mark(digest);
        let found = self.read(|db, _| neighbours(db, mark, from, side))?;
        let mut acts = Vec::new();
        for (index, role) in found {
            let Some(act) = self.read(|db, _| act_of(db, index, role))?.filter(|act| act.decided() != own)
            else {
                continue;
            };
            if !acts.contains(&act.decided())
                && !self.matching(index, role, None, Some(digest), margin)?.is_empty()
            {
                acts.push(act.decided());
            }
        }
        acts.sort_unstable();
        Ok(acts)
    }

    fn trace_artifact(
        &self,
        uri: Option<&String>,
        digest: Option<&String>,
        filter: &TraceFilter,
    ) -> Result<Answer<Trace>, LineageError> {
        let (table, mark) = match (uri, digest) {
            (Some(uri), _) => ("uris", self.mark(uri)),
            (None, digest) => ("digests", self.mark(digest.map_or("", String::as_str))),
        };
        let limit = rows(filter.limit);
        let roles = match filter.direction {
            None => (Role::Input, Role::Result),
            Some(Direction::Down) => (Role::Input, Role::Input),
            Some(Direction::Up) => (Role::Output, Role::Result),
        };
        let before = filter.before.map_or(i64::MAX, sql);
        let (size, mut found) =
            self.read(|db, size| Ok((size, places(db, table, mark, before, roles, limit)?)))?;
        let mut margin = Margin::default();
        let next = page(&mut found, limit);
        if let Some(next) = next {
            margin.left_out.push(format!("older acts, those recorded before @{next}"));
        }
        let (uri, digest) = (uri.map(String::as_str), digest.map(String::as_str));
        let withdrawn = self.withdrawals(uri, digest, &mut margin)?;
        let named = uri.or(digest).unwrap_or_default();
        tell_withdrawn(&withdrawn, &format!("`{named}`"), &mut margin);
        let mut acts: Vec<TraceRow> = Vec::new();
        for (index, role) in found {
            let Some(row) = self.trace_row(index, role, uri, digest, &mut margin)? else { continue };
            let others =
                row.withdrawn.iter().filter(|one| withdrawn.iter().all(|told| told.index != one.index));
            let others: Vec<Withdrawn> = others.cloned().collect();
            tell_withdrawn(&others, &format!("what @{index} names"), &mut margin);
            let decided = |row: &TraceRow| row.act.as_ref().map(|act| act.index);
            // parts of one list are told together
            match acts.iter_mut().find(|known| {
                known.role == row.role && decided(known).is_some() && decided(known) == decided(&row)
            }) {
                Some(known) => known.artifacts.extend(row.artifacts),
                None => acts.push(row),
            }
        }
        let latest = uri.map_or(Ok(None), |uri| self.latest(uri, &mut margin))?;
        let of = uri.map_or_else(|| json!({"digest": digest}), |uri| json!({"uri": uri}));
        let acts = Some(acts);
        Ok(margin.answer(size, Trace { of, act: None, artifacts: None, acts, latest, withdrawn, next }))
    }

    /// The newest entry that has a name.
    fn latest(&self, uri: &str, margin: &mut Margin) -> Result<Option<Latest>, LineageError> {
        let (mark, all) = (self.mark(uri), (Role::Input, Role::Output));
        for (index, role) in self.read(|db, _| places(db, "uris", mark, i64::MAX, all, 1))? {
            let found = self.matching(index, role, Some(uri), None, margin)?.into_iter().next();
            let Some(artifact) = found else { continue };
            let act = self.read(|db, _| act_of(db, index, role))?.map(|act| act.decided());
            let artifact = Fact::recorded(artifact.value, index);
            return Ok(Some(Latest { index, role: role.as_str(), act, artifact }));
        }
        Ok(None)
    }

    fn trace_row(
        &self,
        index: u64,
        role: Role,
        uri: Option<&str>,
        digest: Option<&str>,
        margin: &mut Margin,
    ) -> Result<Option<TraceRow>, LineageError> {
        let matching = self.matching(index, role, uri, digest, margin)?;
        if matching.is_empty() {
            return Ok(None);
        }
        let at = self.read(|db, _| act_of(db, index, role))?;
        let act = at.map_or(Ok(None), |at| self.action(at.indexed, margin))?;
        let mut row = TraceRow {
            index,
            role: role.as_str(),
            artifacts: Vec::new(),
            act,
            replaced: Vec::new(),
            withdrawn: Vec::new(),
        };
        let finished = at.and_then(|at| at.indexed.finished).map(|at| self.expect(at, margin)).transpose()?;
        let outputs: Vec<Artifact> = finished
            .flatten()
            .map(|record| listed(&record).into_iter().filter(|(role, _)| *role == Role::Output).collect())
            .map(|list: Vec<_>| list.into_iter().map(|(_, artifact)| artifact).collect())
            .unwrap_or_default();
        let allowed = row.act.as_ref().is_some_and(|act| act.verdict.text() == Some(Verdict::Allow.as_str()));
        for artifact in matching {
            row.artifacts.push(Fact::recorded(artifact.value.clone(), index));
            for withdrawn in self.withdrawals(artifact.uri.as_deref(), artifact.digest.as_deref(), margin)? {
                if row.withdrawn.iter().all(|known| known.index != withdrawn.index) {
                    row.withdrawn.push(withdrawn);
                }
            }
            let placed = Placed { role, index, artifact };
            if let Some(at) = at.filter(|_| allowed) {
                let replaced = self.replaced(&placed, &at, &outputs, margin)?;
                versions::tell(&replaced, &placed, at.decided(), digest.is_some(), margin);
                row.replaced.extend(replaced);
            }
        }
        Ok(Some(row))
    }

    /// The artifacts that an entry really lists on a side, of those that the index says it may.
    fn matching(
        &self,
        index: u64,
        role: Role,
        uri: Option<&str>,
        digest: Option<&str>,
        margin: &mut Margin,
    ) -> Result<Vec<Artifact>, LineageError> {
        let record: Record = self.record(index)?;
        margin.note(&record);
        let own = listed(&record).into_iter().filter(|(side, _)| *side == role);
        Ok(own.map(|(_, artifact)| artifact).filter(|artifact| artifact.is(uri, digest)).collect())
    }
}

fn outputs(all: &[Placed]) -> Vec<Artifact> {
    all.iter().filter(|one| one.role == Role::Output).map(|one| one.artifact.clone()).collect()
}

fn way_to(role: Role) -> Direction {
    if role == Role::Input { Direction::Up } else { Direction::Down }
}

fn tell_withdrawn(withdrawn: &[Withdrawn], what: &str, margin: &mut Margin) {
    for found in withdrawn {
        let why = found.why.text().unwrap_or("no reason is shown");
        margin.found("withdrawn", Some(found.index), format!("{what} was withdrawn: {why}"));
    }
}

/// A page never ends between rows of one entry. The `before` of the next page, if any.
fn page(found: &mut Vec<(u64, Role)>, limit: u64) -> Option<u64> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let last = found.get(limit.checked_sub(1)?)?.0;
    let end = found.iter().take_while(|(index, _)| *index >= last).count();
    let more = found.len() > end;
    found.truncate(end);
    more.then_some(last)
}

fn places(
    db: &Connection,
    table: &str,
    mark: i64,
    before: i64,
    (from, to): (Role, Role),
    limit: u64,
) -> rusqlite::Result<Vec<(u64, Role)>> {
    // one entry has at most one row for each role
    let max = sql(limit + Role::ALL.len() as u64);
    db.prepare_cached(&statement(table))?
        .query_map(params![mark, before, from as u8, to as u8, max], place)?
        .filter_map(Result::transpose)
        .collect()
}

fn place(row: &rusqlite::Row<'_>) -> rusqlite::Result<Option<(u64, Role)>> {
    let index = unsigned(row, 0)?;
    Ok(Role::of(row.get(1)?).map(|role| (index, role)))
}

/// Where bytes stand near a position: before it as what an act made, or after it as what an act had.
fn neighbours(db: &Connection, mark: i64, from: u64, side: Role) -> rusqlite::Result<Vec<(u64, Role)>> {
    let query = if side == Role::Input { NEXT_USES } else { LAST_MAKERS };
    db.prepare_cached(query)?
        .query_map(params![mark, sql(from), sql(BESIDE_MAX)], place)?
        .filter_map(Result::transpose)
        .collect()
}

const NEXT_USES: &str =
    "SELECT idx, role FROM digests WHERE mark = ?1 AND idx > ?2 AND role = 1 ORDER BY idx LIMIT ?3";

const LAST_MAKERS: &str =
    "SELECT idx, role FROM digests WHERE mark = ?1 AND idx < ?2 AND role > 1 ORDER BY idx DESC LIMIT ?3";

/// The act that an entry with artifacts belongs to: it is its decision or its outcome; a part of inputs belongs to the
/// next decision about its act, a part of outputs to the last.
pub(crate) fn act_of(db: &Connection, index: u64, role: Role) -> rusqlite::Result<Option<ActAt>> {
    let read = |row: &rusqlite::Row<'_>| Ok(ActAt { indexed: indexed(row)?, task: row.get(4)? });
    let columns = "SELECT decided, leaf, finished, finished_leaf, task FROM actions";
    let direct = if role == Role::Input { "decided" } else { "finished" };
    let found = db
        .prepare_cached(&format!("{columns} WHERE {direct} = ?1"))?
        .query_row([sql(index)], read)
        .optional()?;
    if found.is_some() {
        return Ok(found);
    }
    let part: Option<(Option<Id>, i64)> = db
        .prepare_cached("SELECT act_id, run FROM remarks WHERE idx = ?1")?
        .query_row([sql(index)], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((Some(act), run)) = part else { return Ok(None) };
    let order = if role == Role::Input {
        "AND decided > ?3 ORDER BY decided LIMIT 1"
    } else {
        "AND decided < ?3 ORDER BY decided DESC LIMIT 1"
    };
    db.prepare_cached(&format!("{columns} WHERE act_id = ?1 AND +run = ?2 {order}"))?
        .query_row(params![act, run, sql(index)], read)
        .optional()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_traced_is_told_by_its_spelling() {
        let act = |text| TraceOf::parse(text) == Some(TraceOf::Act(Which::Index(42)));
        assert!(act("@42") && act("42"));
        let uuid = "01890a5d-ac96-774b-bcce-b302099a8057";
        assert!(matches!(TraceOf::parse(uuid), Some(TraceOf::Act(Which::Act(_)))));
        let digest = format!("sha256:{}", "a".repeat(64));
        assert_eq!(TraceOf::parse(&digest), Some(TraceOf::Digest(digest.clone())));
        let uri = |text: &str| match TraceOf::parse(text) {
            Some(TraceOf::Uri(uri)) => uri,
            other => panic!("{other:?}"),
        };
        assert_eq!(uri("/srv/a b"), "file:///srv/a%20b");
        assert_eq!(uri("file:/srv/a%62"), "file:///srv/ab");
        assert_eq!(uri("https://x/y#z"), "https://x/y#z");
        for wrong in ["", "@", "@x", "sha256:aa", "relative/path", "1:x", "a b:c", ":"] {
            assert_eq!(TraceOf::parse(wrong), None, "{wrong}");
        }
        let longest = format!("x:{}", "y".repeat(ARTIFACT_URI_MAX_BYTES - 2));
        assert!(TraceOf::parse(&longest).is_some() && TraceOf::parse(&format!("{longest}y")).is_none());
    }

    #[test]
    fn a_page_ends_between_entries() {
        let rows = [(9, Role::Result), (9, Role::Output), (7, Role::Output), (5, Role::Output)];
        let mut found = rows.to_vec();
        assert_eq!((page(&mut found, 1), found.len()), (Some(9), 2));
        let mut found = rows.to_vec();
        assert_eq!((page(&mut found, 3), found.len()), (Some(7), 3));
        let mut found = rows.to_vec();
        assert_eq!((page(&mut found, 4), found.len()), (None, 4));
    }

    #[test]
    fn an_artifact_is_found_in_order_without_reading_all() {
        let db = crate::schema::in_memory();
        let by_table = ["uris", "digests"].map(statement);
        for query in by_table.iter().map(String::as_str).chain([NEXT_USES, LAST_MAKERS]) {
            let plan = crate::schema::plan(&db, query);
            assert!(plan.contains("USING PRIMARY KEY (mark=? AND idx"), "{plan}");
            assert!(!plan.contains("TEMP B-TREE"), "{plan}");
        }
    }
}

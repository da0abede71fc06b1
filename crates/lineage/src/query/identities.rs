//! `identities`: every principal, holder and key that the log has seen, what they hold, and what of it they use.

use std::collections::BTreeSet;

use evidence::delegation::Link as Claims;
use evidence::id::{self, Id};
use evidence::jws::{self, Signed};
use evidence::label::Assurance;
use evidence::tool::{ANY, split};
use evidence::{Holder, Kind, Principal};
use rusqlite::{Connection, OptionalExtension as _, params};
use serde::Serialize;
use serde_json::json;

use super::chains::{Genesis, Until, text_of};
use super::entries::registered_as;
use super::run::ISSUANCE;
use super::standing::{HALTED, LIVE, REVOKED, revocation};
use super::{At, assurance, assurance_of_grade, cut, rows, unsigned};
use crate::answer::{Answer, Fact, Margin};
use crate::error::LineageError;
use crate::fold::links::LinkKind;
use crate::fold::orders::{HALT_AGENT, HALT_ALL, HALT_PRINCIPAL};
use crate::fold::{Dim, sql};
use crate::index::Index;
use crate::limits::{LIVE_CHECKED_MAX, RUNS_NAMED_MAX};
use crate::record::Record;

/// Identities that one entry may be the last appearance of; pages are cut between entries.
const OF_ONE_ENTRY: u64 = 16;

/// A key, principal or agent that nothing live is held by, and nothing speaks against.
const IDLE: &str = "idle";
/// A key that was registered and is not any more.
const RETIRED: &str = "retired";

/// Which identities.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct IdentitiesFilter {
    /// The time at which age and state are told, ms.
    pub now_ms: u64,
    /// Rows wanted; within 1 and [`crate::limits::ROWS_MAX`], else it is brought there. A page may have a few more:
    /// those last seen in one entry stay together.
    pub limit: Option<u64>,
    /// Only identities last seen below this position: the `next` of the answer before.
    pub before: Option<u64>,
}

/// Answer of [`Index::identities`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Identities {
    /// Last seen first.
    pub identities: Vec<IdentityRow>,
    /// `before` for the rows that follow; absent when there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

/// One identity. Counts, times and lists of tools come from the index; who it is, from the log.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct IdentityRow {
    /// `key`, `principal` or `holder`.
    pub what: &'static str,
    /// Thumbprint, `<iss> <sub>`, or holder id.
    pub id: String,
    /// `human`, `service`, `agent` …; nothing for a key of which only the thumbprint is known.
    pub kind: Option<String>,
    /// How strongly it is known: a word of format §7, or `unknown`.
    pub label: &'static str,
    /// The log's clock when it first appears, ms.
    pub first_ms: u64,
    /// And when it last does.
    pub last_ms: u64,
    /// Position of the entry in which it last does.
    pub last_index: u64,
    /// Time since it first appeared, ms.
    pub age_ms: u64,
    /// The registered principal behind it; missing where there is none.
    pub owner: Fact,
    /// Live delegations that it holds; of a principal: that it gave.
    pub delegations: u64,
    /// Tools that it was ever granted; of a principal: that it granted.
    pub granted: Vec<String>,
    /// Those of them that were never used.
    pub never_used: Vec<String>,
    /// Runs that it acted in.
    pub runs: u64,
    /// Of a key: the runs that use it, where they are more than one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shared: Vec<String>,
    /// `live`, `idle`, `revoked`, `halted`, or `retired`.
    pub state: &'static str,
}

/// A row of `seen`, with its name.
struct Seen {
    what: Dim,
    id: i64,
    text: String,
    first_ms: u64,
    last: u64,
    last_ms: u64,
}

/// What an entry says of an identity.
#[derive(Default)]
struct Said {
    kind: Option<String>,
    label: Option<Assurance>,
}

impl Index {
    /// Every identity that the log has seen, last seen first.
    pub fn identities(&self, filter: &IdentitiesFilter) -> Result<Answer<Identities>, LineageError> {
        let limit = rows(filter.limit);
        let before = filter.before;
        let (size, mut seen) = self.read(|db, size| Ok((size, select(db, before, limit + OF_ONE_ENTRY)?)))?;
        let mut margin = Margin::default();
        let next = cut_page(&mut seen, limit);
        if let Some(next) = next {
            margin.left_out.push(format!("identities last seen before @{next}"));
        }
        let genesis = self.genesis()?;
        let mut identities = Vec::new();
        for seen in seen {
            identities.push(self.identity(&seen, filter.now_ms, genesis.as_ref(), &mut margin)?);
        }
        Ok(margin.answer(size, Identities { identities, next }))
    }

    fn identity(
        &self,
        seen: &Seen,
        now_ms: u64,
        genesis: Option<&Genesis>,
        margin: &mut Margin,
    ) -> Result<IdentityRow, LineageError> {
        let said = self.said_of(seen, margin)?;
        let (granted, touched, mut runs) = self.read(|db, _| {
            let column = |table| tools(db, table, seen.what, seen.id);
            Ok((column("granted")?, column("touched")?, runs(db, seen)?))
        })?;
        let count = self.read(|db, _| run_count(db, seen))?;
        let live = self.live(seen, now_ms, genesis, margin)?;
        let owner = self.owner_of(seen, genesis, margin)?;
        let state = self.identity_state(seen, now_ms, live, margin)?;
        let shared = if seen.what == Dim::Key && count > 1 {
            cut(&mut runs, RUNS_NAMED_MAX, "runs that use one key", margin);
            runs.iter().map(id::text).collect()
        } else {
            Vec::new()
        };
        Ok(IdentityRow {
            what: word(seen.what),
            id: name_of(seen),
            kind: said.kind,
            label: said.label.map_or("unknown", Assurance::as_str),
            first_ms: seen.first_ms,
            last_ms: seen.last_ms,
            last_index: seen.last,
            age_ms: now_ms.saturating_sub(seen.first_ms),
            owner,
            delegations: live,
            never_used: granted.iter().filter(|row| !is_touched(row, &touched)).cloned().collect(),
            granted: granted.into_iter().collect(),
            runs: count,
            shared,
            state,
        })
    }

    /// What the last entry that names it says it is.
    fn said_of(&self, seen: &Seen, margin: &mut Margin) -> Result<Said, LineageError> {
        let record = self.record(seen.last)?;
        margin.note(&record);
        Ok(match seen.what {
            Dim::Principal => said_of_principal(&record, &seen.text),
            Dim::Holder => said_of_holder(&record, |holder| holder.id == seen.text),
            _ => match self.owner(&seen.text, Until::END, margin)? {
                Some(owner) => {
                    let registration = self.record(owner.index)?;
                    Said {
                        kind: Some(owner.principal.kind.as_str().to_owned()),
                        label: registered_as(&registration),
                    }
                }
                None => said_of_holder(&record, |holder| holder.key == seen.text),
            },
        })
    }

    /// The registered principal behind an identity: whose key it is, or who gave the last delegation it holds.
    fn owner_of(
        &self,
        seen: &Seen,
        genesis: Option<&Genesis>,
        margin: &mut Margin,
    ) -> Result<Fact, LineageError> {
        let registration = self.read(|db, _| registration(db, seen))?;
        if let Some(record) = registration.map_or(Ok(None), |at| self.expect(at, margin))? {
            return Ok(Fact::of(&record, "principal").assured(registered_as(&record)));
        }
        let Some(token) = self.read(|db, _| last_link(db, seen))? else {
            return Ok(Fact::missing("none", None));
        };
        let Some(digest) = self.read(|db, _| text_of(db, token))? else {
            return Ok(Fact::missing("none", None));
        };
        let recorded = self.chain_to(&digest, None, genesis, margin)?;
        let (Some(root), Some(record)) = (recorded.claims.first().and_then(Claims::as_root), recorded.root())
        else {
            return Ok(Fact::missing("none", None));
        };
        // a user id of the operating system is nobody's name
        if root.source.request().is_none() {
            return Ok(Fact::missing("none", Some(record.index)));
        }
        let behind = self.behind(&recorded, genesis, margin)?;
        let grade = record.text("evidence_grade");
        Ok(Fact::recorded(json!(root.principal), record.index)
            .assured(assurance_of_grade(grade.as_deref()))
            .checked(behind.asked(recorded.chain.as_ref())))
    }

    /// Delegations that could be used now.
    fn live(
        &self,
        seen: &Seen,
        now_ms: u64,
        genesis: Option<&Genesis>,
        margin: &mut Margin,
    ) -> Result<u64, LineageError> {
        let mut tokens = self.read(|db, _| unexpired(db, seen, now_ms / 1_000))?;
        cut(&mut tokens, LIVE_CHECKED_MAX, "delegations of one identity", margin);
        let mut live = 0;
        for token in tokens {
            let Some(digest) = self.read(|db, _| text_of(db, token))? else { continue };
            let recorded = self.chain_to(&digest, None, genesis, margin)?;
            let Some(chain) = recorded.sound() else { continue };
            let knowledge = self.knowledge(chain, Until::at(now_ms), margin)?;
            live += u64::from(knowledge.standing(chain, now_ms / 1_000).state == LIVE);
        }
        Ok(live)
    }

    fn identity_state(
        &self,
        seen: &Seen,
        now_ms: u64,
        live: u64,
        margin: &mut Margin,
    ) -> Result<&'static str, LineageError> {
        for at in self.read(|db, _| revocations(db, seen, now_ms))? {
            let record = self.expect(at, margin)?;
            if record.as_ref().and_then(revocation).is_some_and(|(_, _, eff)| eff <= now_ms / 1_000) {
                return Ok(REVOKED);
            }
        }
        for at in self.read(|db, _| halts(db, seen, now_ms))? {
            if self.expect(at, margin)?.as_ref().and_then(super::standing::halt).is_some() {
                return Ok(HALTED);
            }
        }
        let registered = match seen.what {
            Dim::Key => match self.owner(&seen.text, Until::at(now_ms), margin)? {
                Some(_) => Some(self.registered(&seen.text, Until::at(now_ms), margin)?.is_some()),
                None => None,
            },
            _ => None,
        };
        Ok(match registered {
            Some(false) => RETIRED,
            Some(true) => LIVE,
            None if live > 0 => LIVE,
            None => IDLE,
        })
    }
}

/// A page never ends between identities that were last seen in one entry. The `before` of the next page, if any.
fn cut_page(seen: &mut Vec<Seen>, limit: u64) -> Option<u64> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let last = seen.get(limit.checked_sub(1)?)?.last;
    let end = seen.iter().take_while(|row| row.last >= last).count();
    let more = seen.len() > end;
    seen.truncate(end);
    more.then_some(last)
}

fn word(what: Dim) -> &'static str {
    match what {
        Dim::Principal => "principal",
        Dim::Holder => "holder",
        _ => "key",
    }
}

/// A principal is written as `<iss> <sub>`, which is how `who` takes it.
fn name_of(seen: &Seen) -> String {
    let pair =
        (seen.what == Dim::Principal).then(|| serde_json::from_str::<[String; 2]>(&seen.text).ok()).flatten();
    pair.map_or_else(|| seen.text.clone(), |[iss, sub]| format!("{iss} {sub}"))
}

fn said_of_principal(record: &Record, text: &str) -> Said {
    let is_it = |who: &Principal| crate::fold::principal_text(&who.iss, &who.sub) == text;
    let field = ["principal", "initiator", "by"]
        .into_iter()
        .find_map(|name| Some((name, record.typed::<Principal>(name).filter(&is_it)?)));
    let Some((name, principal)) = field else { return Said::default() };
    let label = match record.kind() {
        Some(Kind::Decided) => assurance(record, "principal"),
        Some(Kind::KeyOrTrustChanged) if name == "principal" => registered_as(record),
        Some(Kind::Delegated) if record.value("evidence_grade").is_none() => Some(Assurance::IssuerAsserted),
        Some(Kind::Delegated | Kind::RunStarted) => {
            assurance_of_grade(record.text("evidence_grade").as_deref())
        }
        _ => registered_as(record),
    };
    Said { kind: Some(principal.kind.as_str().to_owned()), label }
}

fn said_of_holder(record: &Record, is_it: impl Fn(&Holder) -> bool) -> Said {
    let Some(holder) = record.typed::<Holder>("holder").filter(is_it) else { return Said::default() };
    // a token may claim more for its holder than its signer can vouch for
    let effective = record
        .text("token")
        .and_then(|token| Signed::parse(&token, jws::DELEGATION).ok())
        .and_then(|signed| Claims::parse(signed.unverified()).ok())
        .map(|link| link.holder().asr);
    let label = Assurance::parse(&effective.unwrap_or(holder.asr));
    Said { kind: Some(holder.kind.as_str().to_owned()), label }
}

/// Whether a granted row was used: its tool, or any tool of its server.
fn is_touched(row: &str, touched: &BTreeSet<String>) -> bool {
    match split(row) {
        Some((server, ANY)) => touched.iter().any(|tool| split(tool).is_some_and(|(of, _)| of == server)),
        _ => touched.contains(row),
    }
}

fn select(db: &Connection, before: Option<u64>, max: u64) -> rusqlite::Result<Vec<Seen>> {
    db.prepare_cached(
        "SELECT what, id, val, first_ms, last, last_ms FROM seen JOIN dict USING(id)
         WHERE last < ?1 ORDER BY last DESC, what, id LIMIT ?2",
    )?
    .query_map([before.map_or(i64::MAX, sql), sql(max)], |row| {
        let what = row.get::<_, u8>(0)?;
        Ok(Seen {
            what: [Dim::Principal, Dim::Holder]
                .into_iter()
                .find(|dim| *dim as u8 == what)
                .unwrap_or(Dim::Key),
            id: row.get(1)?,
            text: row.get(2)?,
            first_ms: unsigned(row, 3)?,
            last: unsigned(row, 4)?,
            last_ms: unsigned(row, 5)?,
        })
    })?
    .collect()
}

fn tools(db: &Connection, table: &str, what: Dim, id: i64) -> rusqlite::Result<BTreeSet<String>> {
    let query = format!(
        "SELECT val FROM {table} JOIN dict ON dict.id = {table}.tool WHERE what = ?1 AND {table}.id = ?2"
    );
    db.prepare_cached(&query)?.query_map(params![what as u8, id], |row| row.get(0))?.collect()
}

/// The runs that use a key, oldest first. Nobody acts in those in which a root was issued to it.
fn runs(db: &Connection, seen: &Seen) -> rusqlite::Result<Vec<Id>> {
    db.prepare_cached(&format!(
        "SELECT runs.run FROM users JOIN runs ON runs.id = users.run WHERE key = ?1 AND NOT ({ISSUANCE})
         ORDER BY runs.started LIMIT ?2",
    ))?
    .query_map([seen.id, sql(RUNS_NAMED_MAX + 1)], |row| row.get(0))?
    .collect()
}

fn run_count(db: &Connection, seen: &Seen) -> rusqlite::Result<u64> {
    let of_key = format!(
        "SELECT COUNT(*) FROM users JOIN runs ON runs.id = users.run WHERE key = ?1 AND NOT ({ISSUANCE})"
    );
    let query = match seen.what {
        Dim::Key => &of_key,
        Dim::Holder => "SELECT COUNT(DISTINCT run) FROM actions WHERE holder = ?1",
        _ => "SELECT COUNT(DISTINCT run) FROM actions WHERE principal = ?1",
    };
    db.prepare_cached(query)?.query_row([seen.id], |row| unsigned(row, 0))
}

/// The last change of a registered key: of the key itself, or of a key of the principal.
fn registration(db: &Connection, seen: &Seen) -> rusqlite::Result<Option<At>> {
    let query = match seen.what {
        Dim::Key => "SELECT idx, leaf FROM keys WHERE thumbprint = ?1 ORDER BY idx DESC LIMIT 1",
        Dim::Principal => "SELECT idx, leaf FROM keys WHERE principal = ?1 ORDER BY idx DESC LIMIT 1",
        _ => return Ok(None),
    };
    let value: &dyn rusqlite::ToSql = if seen.what == Dim::Key { &seen.text } else { &seen.id };
    db.prepare_cached(query)?.query_row([value], super::run::at).optional()
}

fn column(seen: &Seen) -> &'static str {
    word(seen.what)
}

fn last_link(db: &Connection, seen: &Seen) -> rusqlite::Result<Option<i64>> {
    let query = format!(
        "SELECT token FROM links WHERE {} = ?1 AND kind <> ?2 ORDER BY exp DESC, idx DESC LIMIT 1",
        column(seen)
    );
    db.prepare_cached(&query)?
        .query_row(params![seen.id, LinkKind::Mandate as u8], |row| row.get(0))
        .optional()
}

fn unexpired(db: &Connection, seen: &Seen, now_s: u64) -> rusqlite::Result<Vec<i64>> {
    let query =
        format!("SELECT token FROM links WHERE {} = ?1 AND exp > ?2 AND kind <> ?3 LIMIT ?4", column(seen));
    db.prepare_cached(&query)?
        .query_map(params![seen.id, sql(now_s), LinkKind::Mandate as u8, sql(LIVE_CHECKED_MAX + 1)], |row| {
            row.get(0)
        })?
        .collect()
}

/// Revocations that name the identity itself, the first to take effect.
fn revocations(db: &Connection, seen: &Seen, now_ms: u64) -> rusqlite::Result<Vec<At>> {
    let what = match seen.what {
        Dim::Key => "holder-key",
        Dim::Principal => "principal",
        _ => return Ok(Vec::new()),
    };
    db.prepare_cached(
        "SELECT idx, leaf FROM revocations WHERE what = ?1 AND target = ?2 AND observed_ms <= ?3 ORDER BY eff LIMIT 1",
    )?
    .query_map(params![what, seen.text, sql(now_ms)], super::run::at)?
    .collect()
}

/// Halts in force that name the identity itself, or everybody.
fn halts(db: &Connection, seen: &Seen, now_ms: u64) -> rusqlite::Result<Vec<At>> {
    let what = match seen.what {
        Dim::Holder => HALT_AGENT,
        Dim::Principal => HALT_PRINCIPAL,
        _ => return Ok(Vec::new()),
    };
    db.prepare_cached(
        "SELECT idx, leaf FROM halts WHERE (what = ?1 AND target = ?2 OR what = ?3) AND observed_ms <= ?4
         AND NOT EXISTS (SELECT 1 FROM halts AS later WHERE later.lifts = halts.idx AND later.observed_ms <= ?4)
         ORDER BY idx LIMIT 1",
    )?
    .query_map(params![what, seen.text, HALT_ALL, sql(now_ms)], super::run::at)?
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(last: u64) -> Seen {
        Seen { what: Dim::Key, id: 0, text: String::new(), first_ms: 0, last, last_ms: 0 }
    }

    #[test]
    fn a_page_ends_between_entries() {
        let page = |lasts: &[u64], limit| {
            let mut rows: Vec<Seen> = lasts.iter().map(|last| row(*last)).collect();
            let next = cut_page(&mut rows, limit);
            (rows.len(), next)
        };
        assert_eq!(page(&[9, 8, 7], 3), (3, None));
        assert_eq!(page(&[9, 8, 7, 6], 3), (3, Some(7)));
        assert_eq!(page(&[9, 7, 7, 7, 6], 2), (4, Some(7)));
        assert_eq!(page(&[9, 7, 7, 7], 2), (4, None));
        assert_eq!(page(&[], 2), (0, None));
    }
}

//! `doubt`: the acts that a revocation puts in doubt: allowed at or after the time from which it is in effect, before
//! it was known.

use std::collections::BTreeMap;

use evidence::Principal;
use evidence::delegation::{Target, What};
use evidence::id;
use evidence::jws::{self, Signed};
use evidence::label::Check;
use rusqlite::{Connection, params};
use serde::Serialize;
use serde_json::{Value, json};
use verify::chain::{self, Chain};
use verify::orders::Orders;

use super::actions::{Indexed, status};
use super::chains::{Genesis, Until, interned, text_of};
use super::select::indexed;
use super::standing::{Knowledge, revocation};
use super::{cut, rows, unsigned};
use crate::answer::{Answer, Fact, Margin};
use crate::error::LineageError;
use crate::fold::orders::target_text;
use crate::fold::{Dim, sql};
use crate::index::Index;
use crate::limits::DOUBT_CHAINS_MAX;
use crate::record::Record;

/// Which revocation, and which of its acts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DoubtFilter {
    /// Position of the revocation.
    pub revocation: u64,
    /// Rows wanted; within 1 and [`crate::limits::ROWS_MAX`], else it is brought there.
    pub limit: Option<u64>,
    /// Only acts decided below this position: the `next` of the answer before.
    pub before: Option<u64>,
}

/// Answer of [`Index::doubt`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Doubt {
    /// The revocation.
    pub revocation: RevocationPart,
    /// Newest first.
    pub actions: Vec<DoubtRow>,
    /// All of them, of which `actions` are a page.
    pub count: u64,
    /// `before` for the rows that follow; absent when there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

/// A revocation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RevocationPart {
    /// Position.
    pub index: u64,
    /// The log's clock, ms.
    pub observed_ms: u64,
    /// `delegation`, `lineage`, `holder-key`, `principal`, `issuer-key` or `tenant`.
    pub what: Fact,
    /// What it names.
    pub target: Fact,
    /// From when it is in effect, seconds.
    pub eff: Fact,
    /// The reason given.
    pub why: Fact,
    /// Who gave the order: whose key signed it, else whom the log recorded.
    pub by: Fact,
}

/// One act in doubt.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DoubtRow {
    /// Position of the decision.
    pub index: u64,
    /// The act.
    pub act_id: Fact,
    /// The tool's URI.
    pub tool: Fact,
    /// Who acted.
    pub holder: Fact,
    /// When it was decided, ms.
    pub at_ms: u64,
    /// What came of it.
    pub status: Fact,
    /// Token digest of the link that the revocation fits: of the mandate where it is that, of the root where what
    /// stands behind it was revoked.
    pub link: String,
}

/// A revocation as the search uses it.
struct Order {
    index: u64,
    what: What,
    target: Target,
    eff: u64,
}

impl Index {
    /// The acts that a revocation puts in doubt, newest first. [`LineageError::NotFound`] where there is no revocation
    /// at that position.
    pub fn doubt(&self, filter: &DoubtFilter) -> Result<Answer<Doubt>, LineageError> {
        let limit = rows(filter.limit);
        let size = self.read(|_, size| Ok(size))?;
        let not_found = || LineageError::NotFound {
            what: "revocation",
            name: format!("@{}", filter.revocation),
            size,
            advice: "`deeds delegations` names the revocation of each that was revoked".into(),
        };
        if filter.revocation >= size {
            return Err(not_found());
        }
        let record = self.record(filter.revocation)?;
        let entry = record
            .entry
            .as_ref()
            .filter(|entry| entry.kind() == Some(evidence::Kind::Revoked) && entry.run == id::LOG_LEVEL);
        let entry = entry.ok_or_else(not_found)?;
        let mut margin = Margin::default();
        margin.note(&record);
        let genesis = self.genesis()?;
        let signer = self.signer(&record, genesis.as_ref(), &mut margin)?;
        let part = revocation_part(&record, entry.observed_ms, signer);
        let empty = |part| Doubt { revocation: part, actions: Vec::new(), count: 0, next: None };
        let Some((what, target, eff)) = revocation(&record) else {
            margin
                .left_out
                .push("the acts it is about: its fields are closed, or not as the format says".into());
            return Ok(margin.answer(size, empty(part)));
        };
        let order = Order { index: record.index, what, target, eff };
        let links = self.doubted_links(&order, genesis.as_ref(), &mut margin)?;
        let count = self.read(|db, _| count(db, &links, &order))?;
        let mut found = self.read(|db, _| select(db, &links, &order, filter.before, limit + 1))?;
        let more = u64::try_from(found.len()).unwrap_or(u64::MAX) > limit;
        found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        let next = found.last().filter(|_| more).map(|(row, _)| row.decided.index);
        if let Some(next) = next {
            margin.left_out.push(format!("older acts, those before @{next}"));
        }
        let mut actions = Vec::new();
        for (row, token) in found {
            let link = links.get(&token).cloned().unwrap_or_default();
            actions.extend(self.doubt_row(row, link, &mut margin)?);
        }
        Ok(margin.answer(size, Doubt { revocation: part, actions, count, next }))
    }

    /// Who signed a revocation, where somebody did and the order holds.
    fn signer(
        &self,
        record: &Record,
        genesis: Option<&Genesis>,
        margin: &mut Margin,
    ) -> Result<Option<Principal>, LineageError> {
        let (Some(token), Some(genesis)) = (record.text("token"), genesis) else { return Ok(None) };
        let kid =
            Signed::parse(&token, jws::REVOCATION).map(|signed| signed.kid().to_owned()).unwrap_or_default();
        let known = self.registered(&kid, Until::below(record.index), margin)?;
        let checked = chain::revocation(&token, &genesis.anchor(), |key| known.as_ref()?.for_key(key));
        let (signed, signer) = match checked {
            Ok(checked) => checked,
            Err(failure) => {
                margin.failed(&failure, record.index);
                return Ok(None);
            }
        };
        if revocation(record) != Some((signed.what, signed.target, signed.eff)) {
            let text = "what was signed is another order than the one recorded";
            margin.finding("order-binding", Some(record.index), text);
            return Ok(None);
        }
        Ok(Some(signer))
    }

    /// Delegations under which something was done that the revocation may be about, each with the link that it fits.
    fn doubted_links(
        &self,
        order: &Order,
        genesis: Option<&Genesis>,
        margin: &mut Margin,
    ) -> Result<BTreeMap<i64, String>, LineageError> {
        let mut tokens = self.read(|db, _| candidates(db, order))?;
        cut(&mut tokens, DOUBT_CHAINS_MAX, "delegations that may be concerned", margin);
        let mut links = BTreeMap::new();
        for token in tokens {
            if let Some(link) = self.fits(token, order, genesis, margin)? {
                links.insert(token, link);
            }
        }
        Ok(links)
    }

    /// The link of a chain that a revocation fits.
    fn fits(
        &self,
        token: i64,
        order: &Order,
        genesis: Option<&Genesis>,
        margin: &mut Margin,
    ) -> Result<Option<String>, LineageError> {
        let Some(digest) = self.read(|db, _| text_of(db, token))? else { return Ok(None) };
        let recorded = self.chain_to(&digest, None, genesis, margin)?;
        let Some(chain) = recorded.sound() else { return Ok(None) };
        let knowledge = self.knowledge(chain, Until::END, margin)?;
        let mut alone = Orders::default();
        alone.revoke(order.index, order.what, order.target.clone(), order.eff);
        Ok(knowledge.fits(&alone, chain, order.eff).then(|| link_of(chain, order)))
    }

    fn doubt_row(
        &self,
        row: Indexed,
        link: String,
        margin: &mut Margin,
    ) -> Result<Option<DoubtRow>, LineageError> {
        let Some(decision) = self.expect(row.decided, margin)? else { return Ok(None) };
        let finished = row.finished.map_or(Ok(None), |at| self.expect(at, margin))?;
        let observed_ms = decision.entry.as_ref().map_or(0, |entry| entry.observed_ms);
        Ok(Some(DoubtRow {
            index: decision.index,
            act_id: Fact::of(&decision, "act_id"),
            tool: Fact::of(&decision, "tool"),
            holder: Fact::of(&decision, "holder").assured(super::assurance(&decision, "holder")),
            at_ms: decision.number("decided_at_ms").unwrap_or(observed_ms),
            status: status(&decision, finished.as_ref()),
            link,
        }))
    }
}

impl Knowledge {
    /// Whether orders take a chain away, from some time at or after `from_s` on.
    fn fits(&self, orders: &Orders, chain: &Chain, from_s: u64) -> bool {
        let at_s = from_s.max(chain.exp());
        self.with(|known| orders.revoked(chain, at_s, known.root_logged_s, known.owner)).is_some()
    }
}

/// The link that a revocation is about.
fn link_of(chain: &Chain, order: &Order) -> String {
    let root = &chain.root_link().digest;
    let Target::Text(target) = &order.target else { return root.clone() };
    let link = match order.what {
        // not one of the chain: the mandate that its root names
        What::Delegation => return target.clone(),
        What::HolderKey => chain.links().find(|link| link.claims.holder().key == *target),
        What::Lineage | What::Principal | What::IssuerKey | What::Tenant => None,
    };
    link.map_or_else(|| root.clone(), |link| link.digest.clone())
}

fn revocation_part(record: &Record, observed_ms: u64, signer: Option<Principal>) -> RevocationPart {
    let by = match signer {
        Some(signer) => Fact::recorded(json!(signer), record.index).checked(Check::VerifiedCaptured),
        None => Fact::of(record, "by"),
    };
    let label = record.value("assurance");
    let label = label
        .as_ref()
        .and_then(|value| value.as_str().or_else(|| value.get("principal").and_then(Value::as_str)));
    RevocationPart {
        index: record.index,
        observed_ms,
        what: Fact::of(record, "what"),
        target: Fact::of(record, "target"),
        eff: Fact::of(record, "eff"),
        why: Fact::of(record, "why"),
        by: by.assured(label.and_then(evidence::label::Assurance::parse)),
    }
}

/// Links that name a principal, and roots that rest on a request or mandate signed with a key of it.
const OF_PRINCIPAL: &str = "principal = ?1 OR token IN (SELECT sources.token FROM keys JOIN dict
    ON dict.kind = 5 AND dict.val = keys.thumbprint JOIN sources ON sources.key = dict.id WHERE keys.principal = ?1)";

/// Delegations with an allowed act below the revocation that it may fit: a superset, each of which is checked. The
/// most recently made first.
fn candidates(db: &Connection, order: &Order) -> rusqlite::Result<Vec<i64>> {
    let target = target_text(&order.target);
    let start = match order.what {
        What::Delegation => interned(db, Dim::Token, &target)?.map(|id| ("token = ?1", id)),
        What::Lineage => interned(db, Dim::Task, &target)?.map(|id| ("task = ?1", id)),
        What::HolderKey => interned(db, Dim::Key, &target)?.map(|id| ("key = ?1", id)),
        What::Principal => interned(db, Dim::Principal, &target)?.map(|id| (OF_PRINCIPAL, id)),
        What::IssuerKey | What::Tenant => Some(("kind = ?1", 1)),
    };
    let Some((condition, id)) = start else { return Ok(Vec::new()) };
    db.prepare_cached(&statement(condition))?
        .query_map(params![id, from_ms(order), sql(order.index), sql(DOUBT_CHAINS_MAX + 1)], |row| {
            row.get(0)
        })?
        .collect()
}

fn statement(condition: &str) -> String {
    format!(
        "WITH RECURSIVE down(token) AS (
           SELECT token FROM links WHERE {condition}
           UNION SELECT links.token FROM links JOIN down ON links.parent = down.token)
         SELECT links.token FROM links JOIN down ON links.token = down.token
         WHERE EXISTS (SELECT 1 FROM actions WHERE actions.token = links.token AND verdict = 'allow' AND at_ms >= ?2
           AND decided < ?3)
         ORDER BY links.idx DESC LIMIT ?4"
    )
}

fn from_ms(order: &Order) -> i64 {
    sql(order.eff.saturating_mul(1_000))
}

fn count(db: &Connection, links: &BTreeMap<i64, String>, order: &Order) -> rusqlite::Result<u64> {
    let mut all = 0;
    for token in links.keys() {
        all += db
            .prepare_cached(
                "SELECT COUNT(*) FROM actions WHERE token = ?1 AND verdict = 'allow' AND at_ms >= ?2 AND decided < ?3",
            )?
            .query_row(params![token, from_ms(order), sql(order.index)], |row| unsigned(row, 0))?;
    }
    Ok(all)
}

/// The newest acts under any of the links.
fn select(
    db: &Connection,
    links: &BTreeMap<i64, String>,
    order: &Order,
    before: Option<u64>,
    max: u64,
) -> rusqlite::Result<Vec<(Indexed, i64)>> {
    let below = before.map_or(order.index, |before| before.min(order.index));
    let max_len = usize::try_from(max).unwrap_or(usize::MAX);
    let mut found: Vec<(Indexed, i64)> = Vec::new();
    for token in links.keys() {
        let mut statement = db.prepare_cached(
            "SELECT decided, leaf, finished, finished_leaf FROM actions WHERE token = ?1 AND verdict = 'allow'
             AND at_ms >= ?2 AND decided < ?3 ORDER BY decided DESC LIMIT ?4",
        )?;
        let values = params![token, from_ms(order), sql(below), sql(max)];
        let rows = statement.query_map(values, |row| Ok((indexed(row)?, *token)))?;
        found.extend(rows.collect::<rusqlite::Result<Vec<_>>>()?);
        // no more than a page of each is kept while the others are looked through
        found.sort_unstable_by_key(|(row, _)| core::cmp::Reverse(row.decided.index));
        found.truncate(max_len);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_hangs_on_the_target_is_looked_at() {
        let db = crate::schema::in_memory();
        assert!(OF_PRINCIPAL.contains(&format!("dict.kind = {}", Dim::Key as u8)));
        for condition in ["token = ?1", "task = ?1", "key = ?1", OF_PRINCIPAL] {
            let plan = crate::schema::plan(&db, &statement(condition));
            assert!(!plan.contains("SCAN links") && !plan.contains("SCAN actions"), "{condition}: {plan}");
        }
    }
}

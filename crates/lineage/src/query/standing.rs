//! Whether a chain could be used at a time: what the log knew then of its keys, of revocations and of halts.

use std::collections::{BTreeMap, BTreeSet};

use evidence::delegation::{On, Target, What};
use evidence::id;
use rusqlite::{Connection, params};
use verify::chain::{self, Chain, Failure, Known, Step};
use verify::orders::Orders;

use super::chains::{Genesis, Until};
use super::run::at;
use super::{At, utc};
use crate::answer::Margin;
use crate::error::LineageError;
use crate::fold::orders::{HALT_AGENT, HALT_ALL, HALT_PRINCIPAL};
use crate::fold::{principal_text, sql};
use crate::index::Index;
use crate::limits::ORDERS_MAX;
use crate::record::Record;

/// Positions by what was looked for.
type Found = rusqlite::Result<Vec<Vec<At>>>;

/// What a chain is: a word of the answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) state: &'static str,
    /// Why it is not live, for people.
    pub(crate) why: Option<String>,
}

pub(crate) const LIVE: &str = "live";
pub(crate) const NOT_YET: &str = "not-yet";
pub(crate) const EXPIRED: &str = "expired";
pub(crate) const REVOKED: &str = "revoked";
pub(crate) const HALTED: &str = "halted";
pub(crate) const KEY_RETIRED: &str = "key-retired";
/// Its signatures do not hold, or could not be checked.
pub(crate) const UNKNOWN: &str = "unknown";

/// What is known beside a chain, as far as it is about the chain.
#[derive(Debug, Default)]
pub(crate) struct Knowledge {
    registered: BTreeSet<String>,
    owners: BTreeMap<String, (String, String)>,
    pub(crate) orders: Orders,
    root_logged_s: Option<u64>,
    /// The entries behind `orders`, and those that lift a halt.
    pub(crate) entries: BTreeMap<u64, Record>,
}

impl Knowledge {
    /// Hands it over in the terms of the checks.
    pub(crate) fn with<T>(&self, ask: impl FnOnce(&Known<'_>) -> T) -> T {
        let registered = |thumbprint: &str| self.registered.contains(thumbprint);
        let owner = |thumbprint: &str| self.owners.get(thumbprint).cloned();
        ask(&Known {
            registered: &registered,
            owner: &owner,
            orders: &self.orders,
            root_logged_s: self.root_logged_s,
        })
    }

    /// Whether, and why not, a chain could be used at a time.
    pub(crate) fn standing(&self, chain: &Chain, at_s: u64) -> Standing {
        match self.with(|known| chain::in_force(chain, at_s, known)) {
            Ok(()) => Standing { state: LIVE, why: None },
            Err(failure) => {
                let state = state_of(&failure, chain, at_s);
                Standing { state, why: Some(told_as(state, chain).unwrap_or(failure.text)) }
            }
        }
    }

    /// The revocation that fits a chain at a time, and what of it it takes away.
    pub(crate) fn revoked(&self, chain: &Chain, at_s: u64) -> Option<(u64, String)> {
        self.with(|known| known.orders.revoked(chain, at_s, known.root_logged_s, known.owner))
    }
}

fn state_of(failure: &Failure, chain: &Chain, at_s: u64) -> &'static str {
    match failure.step {
        Step::DelegationTime if at_s >= chain.exp() => EXPIRED,
        Step::DelegationTime => NOT_YET,
        Step::PrincipalRetired => KEY_RETIRED,
        Step::Revoked => REVOKED,
        Step::Halted => HALTED,
        _ => UNKNOWN,
    }
}

/// Why a chain does not hold yet or any more: the checks' own text speaks of an act, and nobody acts here.
fn told_as(state: &str, chain: &Chain) -> Option<String> {
    match state {
        EXPIRED => Some(format!("it held until {}", utc(chain.exp()))),
        NOT_YET => Some(format!("it holds from {} on", utc(from(chain)))),
        _ => None,
    }
}

/// The second from which on every link holds.
fn from(chain: &Chain) -> u64 {
    chain.links().map(|link| link.claims.nbf()).max().unwrap_or_default()
}

impl Index {
    /// What the log says, up to a point, of the keys behind a chain and of orders that are about it.
    pub(crate) fn knowledge(
        &self,
        chain: &Chain,
        until: Until,
        margin: &mut Margin,
    ) -> Result<Knowledge, LineageError> {
        let mut knowledge = Knowledge::default();
        for kid in chain.root().source.keys() {
            if self.registered(kid, until, margin)?.is_some() {
                knowledge.registered.insert(kid.to_owned());
            }
            if let Some(owner) = self.owner(kid, until, margin)? {
                knowledge.owners.insert(kid.to_owned(), (owner.principal.iss, owner.principal.sub));
            }
        }
        let logged = self.read(|db, _| first_entry(db, &chain.root_link().digest))?;
        let logged = logged.map_or(Ok(None), |at| self.expect(at, margin))?;
        knowledge.root_logged_s = logged.and_then(|record| Some(record.entry?.observed_ms / 1_000));
        let targets = knowledge.targets(chain);
        self.take_revocations(&mut knowledge, &targets, until, margin)?;
        let root = chain.root();
        let mut halts: Vec<(&str, String)> =
            chain.links().map(|link| (HALT_AGENT, link.claims.holder().id)).collect();
        halts.push((HALT_PRINCIPAL, principal_text(&root.principal.iss, &root.principal.sub)));
        halts.push((HALT_ALL, String::new()));
        self.take_halts(&mut knowledge, &halts, until, margin)?;
        Ok(knowledge)
    }

    /// Whether, and why not, roots could be had under a mandate at a time.
    pub(crate) fn mandate_standing(
        &self,
        record: &Record,
        genesis: Option<&Genesis>,
        at_ms: u64,
        margin: &mut Margin,
    ) -> Result<Standing, LineageError> {
        let unknown = |why: &str| Standing { state: UNKNOWN, why: Some(why.to_owned()) };
        let (Some(genesis), Some(token)) = (genesis, record.text("token")) else {
            return Ok(unknown("its token, or the issuer's key, is closed"));
        };
        let Ok(signed) = evidence::jws::Signed::parse(&token, evidence::jws::MANDATE) else {
            return Ok(unknown("its token is no mandate that this version can read"));
        };
        let known = self.registered(signed.kid(), Until::below(record.index), margin)?;
        let checked = chain::mandate(&token, &genesis.anchor(), |kid| known.as_ref()?.for_key(kid));
        let mandated = match checked {
            Ok(mandated) => mandated,
            Err(failure) => {
                margin.failed(&failure, record.index);
                return Ok(unknown(&failure.text));
            }
        };
        let (mandate, at_s) = (&mandated.mandate, at_ms / 1_000);
        let until = Until::at(at_ms);
        let because = |state, why: String| Standing { state, why: Some(why) };
        if at_s >= mandate.exp {
            return Ok(because(EXPIRED, format!("it held until {}", utc(mandate.exp))));
        }
        if at_s < mandate.nbf {
            return Ok(because(NOT_YET, format!("it holds from {} on", utc(mandate.nbf))));
        }
        if self.registered(signed.kid(), until, margin)?.is_none() {
            return Ok(because(
                KEY_RETIRED,
                format!("the key `{}` is not registered any more", signed.kid()),
            ));
        }
        let who = principal_text(&mandate.principal.iss, &mandate.principal.sub);
        let targets = vec![
            (What::Delegation, mandated.digest.clone()),
            (What::Principal, who.clone()),
            (What::Tenant, mandate.tenant.clone()),
        ];
        let mut knowledge = Knowledge::default();
        self.take_revocations(&mut knowledge, &targets, until, margin)?;
        self.take_halts(&mut knowledge, &[(HALT_PRINCIPAL, who), (HALT_ALL, String::new())], until, margin)?;
        // each was looked up by what it is about, so the first that is in effect fits
        let revoked = knowledge.orders.revocations().find(|(_, _, _, eff)| *eff <= at_s);
        if let Some((index, what, _, _)) = revoked {
            return Ok(because(REVOKED, format!("it was revoked (@{index}, {})", what.as_str())));
        }
        if let Some((index, _)) = knowledge.orders.halts().next() {
            return Ok(because(HALTED, format!("it is halted (@{index})")));
        }
        Ok(Standing { state: LIVE, why: None })
    }

    fn take_revocations(
        &self,
        knowledge: &mut Knowledge,
        targets: &[(What, String)],
        until: Until,
        margin: &mut Margin,
    ) -> Result<(), LineageError> {
        let find = |db: &Connection, (what, target): &(What, String)| revocations(db, *what, target, until);
        for mut found in self.read(|db, _| targets.iter().map(|one| find(db, one)).collect::<Found>())? {
            super::cut(&mut found, ORDERS_MAX, "revocations of one thing", margin);
            for at in found {
                let Some(record) = self.expect(at, margin)? else { continue };
                if let Some((what, target, eff)) = revocation(&record) {
                    knowledge.orders.revoke(record.index, what, target, eff);
                    knowledge.entries.insert(record.index, record);
                }
            }
        }
        Ok(())
    }

    fn take_halts(
        &self,
        knowledge: &mut Knowledge,
        on: &[(&str, String)],
        until: Until,
        margin: &mut Margin,
    ) -> Result<(), LineageError> {
        let find = |db: &Connection, (what, target): &(&str, String)| halts(db, what, target, until);
        for mut found in self.read(|db, _| on.iter().map(|one| find(db, one)).collect::<Found>())? {
            super::cut(&mut found, ORDERS_MAX, "halts of one thing", margin);
            for at in found {
                let Some(record) = self.expect(at, margin)? else { continue };
                let Some(on) = halt(&record) else { continue };
                knowledge.orders.halt(record.index, on);
                if let Some(lifted) = self.lifted(record.index, until, margin)? {
                    knowledge.orders.resume(record.index);
                    knowledge.entries.insert(lifted.index, lifted);
                }
                knowledge.entries.insert(record.index, record);
            }
        }
        Ok(())
    }

    /// The entry that lifts a halt.
    fn lifted(&self, halt: u64, until: Until, margin: &mut Margin) -> Result<Option<Record>, LineageError> {
        let found = self.read(|db, _| lift(db, halt, until))?;
        let Some(record) = found.map_or(Ok(None), |at| self.expect(at, margin))? else { return Ok(None) };
        let lifts =
            record.text("change").as_deref() == Some("resumed") && record.number("halt") == Some(halt);
        Ok(lifts.then_some(record))
    }
}

impl Knowledge {
    /// What a revocation must be about to fit a chain, as the index spells it.
    fn targets(&self, chain: &Chain) -> Vec<(What, String)> {
        let root = chain.root();
        let mut targets: Vec<(What, String)> = Vec::new();
        for link in chain.links() {
            targets.push((What::Delegation, link.digest.clone()));
            targets.push((What::HolderKey, link.claims.holder().key));
        }
        targets.extend(root.source.mandate().map(|mandate| (What::Delegation, mandate.digest.clone())));
        targets.push((What::Lineage, id::text(&root.txn)));
        targets.push((What::IssuerKey, chain.root_link().kid.clone()));
        targets.push((What::Tenant, root.tenant.clone()));
        let named = (root.principal.iss.clone(), root.principal.sub.clone());
        let principals: BTreeSet<_> = core::iter::once(&named).chain(self.owners.values()).collect();
        targets.extend(principals.into_iter().map(|(iss, sub)| (What::Principal, principal_text(iss, sub))));
        targets
    }
}

/// What a kind 4 entry says, where it says it as the format does.
pub(crate) fn revocation(record: &Record) -> Option<(What, Target, u64)> {
    let what = What::parse(&record.text("what")?)?;
    let target = Target::from_json(&record.value("target")?, what).ok()?;
    Some((what, target, record.number("eff")?))
}

/// What a kind 20 entry stops, where it is one that halts.
pub(crate) fn halt(record: &Record) -> Option<On> {
    if record.text("change").as_deref() != Some("halted") {
        return None;
    }
    On::from_json(&record.value("on")?).ok()
}

fn first_entry(db: &Connection, digest: &str) -> rusqlite::Result<Option<At>> {
    use rusqlite::OptionalExtension as _;
    let Some(token) = super::chains::interned(db, crate::fold::Dim::Token, digest)? else { return Ok(None) };
    db.prepare_cached("SELECT idx, leaf FROM links WHERE token = ?1")?.query_row([token], at).optional()
}

fn revocations(db: &Connection, what: What, target: &str, until: Until) -> rusqlite::Result<Vec<At>> {
    db.prepare_cached(
        "SELECT idx, leaf FROM revocations WHERE what = ?1 AND target = ?2 AND idx < ?3 AND observed_ms <= ?4
         ORDER BY eff, idx LIMIT ?5",
    )?
    .query_map(params![what.as_str(), target, sql(until.below), sql(until.at_ms), sql(ORDERS_MAX + 1)], at)?
    .collect()
}

fn halts(db: &Connection, what: &str, target: &str, until: Until) -> rusqlite::Result<Vec<At>> {
    db.prepare_cached(
        "SELECT idx, leaf FROM halts WHERE what = ?1 AND target = ?2 AND idx < ?3 AND observed_ms <= ?4
         ORDER BY idx DESC LIMIT ?5",
    )?
    .query_map(params![what, target, sql(until.below), sql(until.at_ms), sql(ORDERS_MAX + 1)], at)?
    .collect()
}

fn lift(db: &Connection, halt: u64, until: Until) -> rusqlite::Result<Option<At>> {
    use rusqlite::OptionalExtension as _;
    db.prepare_cached(
        "SELECT idx, leaf FROM halts WHERE lifts = ?1 AND idx > ?1 AND idx < ?2 AND observed_ms <= ?3
         ORDER BY idx LIMIT 1",
    )?
    .query_row(params![sql(halt), sql(until.below), sql(until.at_ms)], at)
    .optional()
}

//! Chains as the log has them, checked with the functions that the recorder and the offline audit use.

use evidence::Principal;
use evidence::delegation::Link as Claims;
use evidence::id::{Id, LOG_LEVEL};
use evidence::jws::{self, Jwk, Signed};
use evidence::label::Check;
use evidence::limits::CHAIN_LINKS_MAX;
use rusqlite::{Connection, OptionalExtension as _, params};
use verify::chain::{self, Anchor, Chain, Failure, Mandated, Request};

use super::run::at;
use super::{At, run_row};
use crate::answer::Margin;
use crate::error::LineageError;
use crate::fold::{Dim, sql};
use crate::index::Index;
use crate::record::Record;

/// What the genesis says of this log, as far as chains hang on it.
#[derive(Debug, Clone)]
pub(crate) struct Genesis {
    issuer: String,
    key: Jwk,
    tenant: String,
}

impl Genesis {
    pub(crate) fn anchor(&self) -> Anchor<'_> {
        Anchor { issuer: &self.issuer, issuer_key: &self.key, tenant: &self.tenant }
    }
}

/// Up to where the log is looked at: entries below a position that were written by a time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Until {
    pub(crate) below: u64,
    /// The log's clock, ms.
    pub(crate) at_ms: u64,
}

impl Until {
    /// All of it.
    pub(crate) const END: Self = Self { below: u64::MAX, at_ms: u64::MAX };

    pub(crate) fn below(below: u64) -> Self {
        Self { below, ..Self::END }
    }

    pub(crate) fn at(at_ms: u64) -> Self {
        Self { at_ms, ..Self::END }
    }
}

/// Where a chain was used.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) run: Id,
    /// Its entries lie below this position.
    pub(crate) below: u64,
}

/// A chain as the log has it, and how far it was found to hold.
#[derive(Debug, Default)]
pub(crate) struct Recorded {
    /// The entries of its links, root first.
    pub(crate) records: Vec<Record>,
    /// What their tokens say, which alone proves nothing; one for each record.
    pub(crate) claims: Vec<Claims>,
    /// The links that were checked, from the root on; nothing where the root does not hold.
    pub(crate) chain: Option<Chain>,
    /// An entry that is one of another run than asked for.
    pub(crate) elsewhere: Option<u64>,
}

impl Recorded {
    /// The chain from its root to its leaf, where all of it holds.
    pub(crate) fn sound(&self) -> Option<&Chain> {
        self.chain.as_ref().filter(|chain| chain.count() == self.records.len())
    }

    /// Of what the signature on the link at a place of the chain covers.
    pub(crate) fn signed(&self, place: usize) -> Check {
        captured(self.chain.as_ref().is_some_and(|chain| place < chain.count()))
    }

    /// The entry of the leaf.
    pub(crate) fn leaf(&self) -> Option<&Record> {
        self.records.last()
    }

    /// The entry of the root.
    pub(crate) fn root(&self) -> Option<&Record> {
        self.records.first().filter(|_| self.claims.first().is_some_and(|claims| claims.as_root().is_some()))
    }
}

/// What was found behind a root.
#[derive(Debug, Default)]
pub(crate) struct Behind {
    /// The signed request, where it holds and the root is within it.
    pub(crate) request: Option<Request>,
    /// The entry of the mandate that the root names.
    pub(crate) mandate: Option<Record>,
    /// The mandate, where it holds and the root is under it.
    pub(crate) mandated: Option<Mandated>,
    /// The key that signed the request.
    pub(crate) registered: Option<Registered>,
    /// The principal's own key, where a mandate stands behind the root: `registered` is then that of who asked.
    pub(crate) mandate_key: Option<Registered>,
}

impl Behind {
    /// Of what the principal's own signature covers: that on the request, or on the mandate.
    pub(crate) fn asked(&self, chain: Option<&Chain>) -> Check {
        let under_mandate = chain.is_some_and(|chain| chain.root().source.mandate().is_some());
        captured(if under_mandate { self.mandated.is_some() } else { self.request.is_some() })
    }
}

/// A principal's key as the log had it registered.
#[derive(Debug, Clone)]
pub(crate) struct Registered {
    pub(crate) thumbprint: String,
    /// Position of its registration.
    pub(crate) index: u64,
    pub(crate) principal: Principal,
    key: Jwk,
}

/// Something that a check established, with a key as the log recorded it, or not.
pub(crate) fn captured(holds: bool) -> Check {
    if holds { Check::VerifiedCaptured } else { Check::NotChecked }
}

impl Index {
    /// What chains hang on; nothing where the log has not got that far, or the fields are closed.
    pub(crate) fn genesis(&self) -> Result<Option<Genesis>, LineageError> {
        if self.reader().size() < 2 {
            return Ok(None);
        }
        let record = self.record(1)?;
        let key = record.value("issuer_key").and_then(|key| Jwk::parse(&key).ok());
        let names = record.text("issuer").zip(record.text("tenant"));
        Ok(names.zip(key).map(|((issuer, tenant), key)| Genesis { issuer, key, tenant }))
    }

    /// The chain that ends in a token digest. Its links are looked for in the run where it was used; without a place,
    /// wherever each was recorded first.
    pub(crate) fn chain_to(
        &self,
        leaf: &str,
        place: Option<Place>,
        genesis: Option<&Genesis>,
        margin: &mut Margin,
    ) -> Result<Recorded, LineageError> {
        let mut found = Recorded::default();
        let mut tokens = Vec::new();
        let mut next = Some(leaf.to_owned());
        while let Some(digest) = next.take().filter(|_| tokens.len() < CHAIN_LINKS_MAX) {
            let Some((record, here)) = self.link_entry(&digest, place, margin)? else {
                if let Some(below) = found.records.last() {
                    let text = format!(
                        "the delegation `{digest}` that it was made below is not in the log before it"
                    );
                    margin.finding("link-missing", Some(below.index), text);
                }
                break;
            };
            if !here {
                found.elsewhere = found.elsewhere.or(Some(record.index));
            }
            let Some((token, claims)) = read_token(&record, &digest, margin) else { break };
            next = claims.parent().map(str::to_owned);
            found.records.push(record);
            found.claims.push(claims);
            tokens.push(token);
        }
        found.records.reverse();
        found.claims.reverse();
        tokens.reverse();
        match genesis {
            Some(genesis) if found.root().is_some() => found.check(&tokens, genesis, margin),
            Some(_) => {}
            None => margin.left_out.push("the check of the delegations: the issuer's key is closed".into()),
        }
        Ok(found)
    }

    /// The entry of a link, and whether it is one of the run asked for.
    fn link_entry(
        &self,
        digest: &str,
        place: Option<Place>,
        margin: &mut Margin,
    ) -> Result<Option<(Record, bool)>, LineageError> {
        let Some((at, here)) = self.read(|db, _| link_at(db, digest, place))? else { return Ok(None) };
        Ok(self.expect(at, margin)?.map(|record| (record, here)))
    }

    /// What stands behind the root of a chain: the principal's request, and the mandate where it names one.
    pub(crate) fn behind(
        &self,
        recorded: &Recorded,
        genesis: Option<&Genesis>,
        margin: &mut Margin,
    ) -> Result<Behind, LineageError> {
        let mut behind = Behind::default();
        let (Some(chain), Some(record), Some(genesis)) = (&recorded.chain, recorded.root(), genesis) else {
            return Ok(behind);
        };
        let Some(named) = chain.root().source.request() else { return Ok(behind) };
        if let Some(mandate) = chain.root().source.mandate() {
            self.mandate(&mut behind, &mandate.digest, record.index, genesis, margin)?;
        }
        let Some(token) = record.text("request") else {
            let text = "the principal's signed request is not there";
            margin.finding("request-missing", Some(record.index), text);
            return Ok(behind);
        };
        behind.registered = self.registered(&named.kid, Until::below(record.index), margin)?;
        let known = behind.registered.as_ref();
        let request = chain::root_request(&token, &genesis.issuer, |thumbprint| known?.for_key(thumbprint))
            .and_then(|request| {
                chain::within_request(chain.root_link(), &request, behind.mandated.as_ref()).map(|()| request)
            });
        match request {
            Ok(request) => behind.request = Some(request),
            Err(failure) => {
                // a root that is not as its request says is not under its mandate either
                behind.mandated = None;
                margin.failed(&failure, record.index);
            }
        }
        Ok(behind)
    }

    /// The mandate with a token digest, recorded before its root, and the key that signed it.
    fn mandate(
        &self,
        behind: &mut Behind,
        digest: &str,
        below: u64,
        genesis: &Genesis,
        margin: &mut Margin,
    ) -> Result<(), LineageError> {
        let found = self.link_entry(digest, None, margin)?.map(|(record, _)| record);
        let at_log_level =
            |record: &Record| record.entry.as_ref().is_some_and(|entry| entry.run == LOG_LEVEL);
        let Some(record) = found.filter(|record| record.index < below && at_log_level(record)) else {
            margin.finding(
                "mandate-missing",
                Some(below),
                "the mandate it names is not in the log before it",
            );
            return Ok(());
        };
        let record = behind.mandate.insert(record);
        let Some(token) = record.text("token") else { return Ok(()) };
        let kid =
            Signed::parse(&token, jws::MANDATE).map(|signed| signed.kid().to_owned()).unwrap_or_default();
        behind.mandate_key = self.registered(&kid, Until::below(record.index), margin)?;
        let known = behind.mandate_key.as_ref();
        match chain::mandate(&token, &genesis.anchor(), |thumbprint| known?.for_key(thumbprint)) {
            Ok(mandated) => behind.mandated = Some(mandated),
            Err(failure) => margin.failed(&failure, record.index),
        }
        Ok(())
    }

    /// The key with this thumbprint, if it is registered there.
    pub(crate) fn registered(
        &self,
        thumbprint: &str,
        until: Until,
        margin: &mut Margin,
    ) -> Result<Option<Registered>, LineageError> {
        let found = self.read(|db, _| last_change(db, thumbprint, until))?;
        let Some(record) = found.map_or(Ok(None), |at| self.expect(at, margin))? else { return Ok(None) };
        Ok(Registered::read(&record, thumbprint, margin))
    }

    /// Whose key this is or was: by its last registration, whether or not it was retired since.
    pub(crate) fn owner(
        &self,
        thumbprint: &str,
        until: Until,
        margin: &mut Margin,
    ) -> Result<Option<Registered>, LineageError> {
        let found = self.read(|db, _| last_registration(db, thumbprint, until))?;
        let Some(record) = found.map_or(Ok(None), |at| self.expect(at, margin))? else { return Ok(None) };
        Ok(Registered::read(&record, thumbprint, margin))
    }
}

impl Recorded {
    fn check(&mut self, tokens: &[String], genesis: &Genesis, margin: &mut Margin) {
        let anchor = genesis.anchor();
        let failure = match chain::chain(tokens, &anchor) {
            Ok(chain) => {
                self.chain = Some(chain);
                return;
            }
            Err(failure) => failure,
        };
        // the links above the first that fails hold all the same
        let holds =
            (1..tokens.len()).rev().find_map(|count| chain::chain(tokens.get(..count)?, &anchor).ok());
        let bad = holds.as_ref().map_or(0, Chain::count);
        margin.finding(failure.step.name(), self.records.get(bad).map(|record| record.index), failure.text);
        self.chain = holds;
    }
}

impl Registered {
    fn read(record: &Record, thumbprint: &str, margin: &mut Margin) -> Option<Self> {
        if record.text("change").as_deref() != Some("principal-registered") {
            return None;
        }
        let key = record.value("key").and_then(|key| Jwk::parse(&key).ok());
        let (principal, key) = record.typed::<Principal>("principal").zip(key)?;
        if key.thumbprint() != thumbprint {
            margin.finding("key-thumbprint", Some(record.index), "its thumbprint is not that of its key");
            return None;
        }
        Some(Self { thumbprint: thumbprint.to_owned(), index: record.index, principal, key })
    }

    pub(crate) fn for_key(&self, thumbprint: &str) -> Option<(Principal, Jwk)> {
        (self.thumbprint == thumbprint).then(|| (self.principal.clone(), self.key.clone()))
    }
}

impl Margin {
    /// A check that failed, at the entry it is about.
    pub(crate) fn failed(&mut self, failure: &Failure, index: u64) {
        self.finding(failure.step.name(), Some(index), failure.text.clone());
    }
}

/// The token of an entry and its claims, nothing of which is checked here but that it is the one looked for.
fn read_token(record: &Record, digest: &str, margin: &mut Margin) -> Option<(String, Claims)> {
    let Some(token) = record.text("token") else {
        margin.left_out.push(format!("the check of the delegation @{}: its token is closed", record.index));
        return None;
    };
    let signed = Signed::parse(&token, jws::DELEGATION);
    let claims = signed.as_ref().ok().and_then(|signed| Claims::parse(signed.unverified()).ok());
    let (Ok(signed), Some(claims)) = (signed, claims) else {
        let text = "its token is no delegation that this version can read";
        margin.finding("delegation-malformed", Some(record.index), text);
        return None;
    };
    if signed.digest() != digest {
        margin.finding("delegation-digest", Some(record.index), "its token has another digest");
        return None;
    }
    Some((token, claims))
}

fn link_at(db: &Connection, digest: &str, place: Option<Place>) -> rusqlite::Result<Option<(At, bool)>> {
    let Some(token) = interned(db, Dim::Token, digest)? else { return Ok(None) };
    let Some(place) = place else {
        let first = db
            .prepare_cached("SELECT idx, leaf FROM links WHERE token = ?1")?
            .query_row([token], at)
            .optional()?;
        return Ok(first.map(|at| (at, true)));
    };
    let run = run_row(db, &place.run)?.unwrap_or_default();
    let here = db
        .prepare_cached(
            "SELECT idx, leaf FROM delegations WHERE token = ?1 AND run = ?2 AND idx < ?3 ORDER BY idx DESC LIMIT 1",
        )?
        .query_row(params![token, run, sql(place.below)], at)
        .optional()?;
    if let Some(at) = here {
        return Ok(Some((at, true)));
    }
    let elsewhere = db
        .prepare_cached(
            "SELECT idx, leaf FROM delegations WHERE token = ?1 AND idx < ?2 ORDER BY idx DESC LIMIT 1",
        )?
        .query_row(params![token, sql(place.below)], at)
        .optional()?;
    Ok(elsewhere.map(|at| (at, false)))
}

fn last_change(db: &Connection, thumbprint: &str, until: Until) -> rusqlite::Result<Option<At>> {
    db.prepare_cached(
        "SELECT idx, leaf FROM keys WHERE thumbprint = ?1 AND idx < ?2 AND observed_ms <= ?3 ORDER BY idx DESC LIMIT 1",
    )?
    .query_row(params![thumbprint, sql(until.below), sql(until.at_ms)], at)
    .optional()
}

fn last_registration(db: &Connection, thumbprint: &str, until: Until) -> rusqlite::Result<Option<At>> {
    db.prepare_cached(
        "SELECT idx, leaf FROM keys WHERE thumbprint = ?1 AND idx < ?2 AND observed_ms <= ?3
         AND change = 'principal-registered' ORDER BY idx DESC LIMIT 1",
    )?
    .query_row(params![thumbprint, sql(until.below), sql(until.at_ms)], at)
    .optional()
}

/// The id of an interned text.
pub(crate) fn interned(db: &Connection, kind: Dim, text: &str) -> rusqlite::Result<Option<i64>> {
    db.prepare_cached("SELECT id FROM dict WHERE kind = ?1 AND val = ?2")?
        .query_row(params![kind as u8, text], |row| row.get(0))
        .optional()
}

/// The text behind an id.
pub(crate) fn text_of(db: &Connection, id: i64) -> rusqlite::Result<Option<String>> {
    db.prepare_cached("SELECT val FROM dict WHERE id = ?1")?.query_row([id], |row| row.get(0)).optional()
}

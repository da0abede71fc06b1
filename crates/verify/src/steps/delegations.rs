//! Step 10: every root shown is the issuer's and goes no further than what a registered key signed for, and every
//! child is its parent's holder's and goes no further than its parent.

use std::collections::{BTreeMap, BTreeSet};

use evidence::delegation::{Mandate, Named, Root};
use evidence::id::{Id, LOG_LEVEL};
use evidence::jws::Signed;
use evidence::{Entry, Kind};
use serde_json::Value;

use crate::chain::{self, Below, Chain, Failure, Link, failure};
use crate::finding::{Code, Findings, Severity};
use crate::genesis::Genesis;
use crate::items::{Items, Seen};
use crate::limits::ISSUANCE_AGE_MAX_MS;
use crate::steps::keys::Register;
use crate::steps::mandates;

/// A delegation without errors, with the links above it, which have none either.
pub(crate) struct Held {
    index: u64,
    /// Ends in this delegation.
    pub(crate) chain: Chain,
    /// Bytes of each token of the chain, root first.
    lengths: Vec<usize>,
    /// Whether the issuer's signature on the root was checked: its key may be withheld.
    pub(crate) signature_checked: bool,
}

/// A mandate without errors.
struct Standing {
    index: u64,
    mandate: Mandate,
}

/// What is sound by step 10.
#[derive(Default)]
pub(crate) struct Delegations {
    /// By run and token digest; the first entry of each.
    held: BTreeMap<(Id, String), Held>,
    /// By token digest; the first entry of each.
    mandates: BTreeMap<String, Standing>,
    /// When the log first recorded each root, ms, by token digest.
    recorded_ms: BTreeMap<String, u64>,
}

impl Delegations {
    /// The delegation with this token digest that the entry at `index` of `run` could rely on.
    pub(crate) fn find(&self, digest: &str, run: &Id, index: u64) -> Option<&Held> {
        self.held.get(&(*run, digest.to_owned())).filter(|held| held.index < index)
    }

    /// When the log first recorded a root, s.
    pub(crate) fn recorded_s(&self, digest: &str) -> Option<u64> {
        self.recorded_ms.get(digest).map(|ms| ms / 1_000)
    }

    /// The mandate with this token digest that the entry at `index` could rely on, with its index.
    pub(crate) fn mandate(&self, digest: &str, index: u64) -> Option<(u64, &Mandate)> {
        let standing = self.mandates.get(digest).filter(|standing| standing.index < index)?;
        Some((standing.index, &standing.mandate))
    }
}

/// What the checks of one entry are made with.
struct Context<'c> {
    genesis: &'c Genesis,
    register: &'c Register,
    /// What is sound of the entries before.
    sound: Delegations,
    /// Token digests of the roots so far.
    roots: BTreeSet<String>,
}

/// A delegation that is not malformed, and the links above it.
struct Placed {
    chain: Chain,
    lengths: Vec<usize>,
    signature_checked: bool,
}

/// Step 10.
pub(crate) fn check(
    items: &Items<'_>,
    genesis: &Genesis,
    register: &Register,
    findings: &mut Findings,
) -> Delegations {
    let mut context = Context { genesis, register, sound: Delegations::default(), roots: BTreeSet::new() };
    for (seen, entry) in items.of_kind(Kind::Delegated) {
        let Some(token) = seen.value("token") else { continue };
        let failures = if entry.run == LOG_LEVEL {
            context.take_mandate(seen, &token)
        } else {
            context.take_delegation(seen, entry, &token)
        };
        for failure in failures {
            findings.at(seen.index, failure.step, failure.text);
        }
    }
    context.sound
}

fn is_sound(failures: &[Failure]) -> bool {
    failures.iter().all(|failure| failure.step.severity() == Severity::Note)
}

impl Context<'_> {
    fn take_mandate(&mut self, seen: &Seen<'_>, token: &Value) -> Vec<Failure> {
        let (mandated, failures) = mandates::check_one(seen, token, self.genesis, self.register);
        if let (Some(mandated), true) = (mandated, is_sound(&failures)) {
            let standing = Standing { index: seen.index, mandate: mandated.mandate };
            self.sound.mandates.entry(mandated.digest).or_insert(standing);
        }
        failures
    }

    fn take_delegation(&mut self, seen: &Seen<'_>, entry: &Entry, token: &Value) -> Vec<Failure> {
        let token = token.as_str().unwrap_or_default();
        let (placed, failures) = self.check_delegation(seen, entry, token);
        if let (Some(placed), true) = (placed, is_sound(&failures)) {
            let Placed { chain, lengths, signature_checked } = placed;
            let digest = chain.leaf().digest.clone();
            if chain.count() == 1 {
                let first = self.sound.recorded_ms.entry(digest.clone()).or_insert(entry.observed_ms);
                *first = entry.observed_ms.min(*first);
            }
            let held = Held { index: seen.index, chain, lengths, signature_checked };
            self.sound.held.entry((entry.run, digest)).or_insert(held);
        }
        failures
    }

    /// The delegation, unless it is malformed or has no parent, and all that there is to say about it.
    fn check_delegation(
        &mut self,
        seen: &Seen<'_>,
        entry: &Entry,
        token: &str,
    ) -> (Option<Placed>, Vec<Failure>) {
        let signed = match chain::parse_signed(token) {
            Ok(signed) => signed,
            Err(failure) => return (None, vec![failure]),
        };
        let mut failures: Vec<Failure> = check_digest(seen, &signed).err().into_iter().collect();
        let link = match self.parse(&signed) {
            Ok(link) => link,
            Err(failure) => {
                failures.push(failure);
                return (None, failures);
            }
        };
        let placed = match Chain::of(link.clone()) {
            Some(chain) => {
                failures.extend(self.check_root(seen, entry, &signed, &chain));
                let signature_checked = self.genesis.issuer_key.is_some();
                Ok((Placed { chain, lengths: vec![token.len()], signature_checked }, Vec::new()))
            }
            None => self.place_child((&entry.run, seen.index), &signed, link, token.len()),
        };
        match placed {
            Ok((placed, more)) => {
                failures.extend(more);
                (Some(placed), failures)
            }
            Err(failure) => {
                failures.push(failure);
                (None, failures)
            }
        }
    }

    /// Claims, rules, and for a root what the genesis says of issuer and tenant.
    fn parse(&self, signed: &Signed) -> Result<Link, Failure> {
        let link = chain::parse_link(signed)?;
        if let Some(root) = link.claims.as_root() {
            chain::of_log(root, &self.genesis.stated())?;
        }
        Ok(link)
    }

    fn check_root(&mut self, seen: &Seen<'_>, entry: &Entry, signed: &Signed, chain: &Chain) -> Vec<Failure> {
        let root = chain.root();
        let signature = match &self.genesis.issuer_key {
            Some(key) => chain::signed_by_issuer(signed, key),
            None => Err(without_issuer_key(self.genesis)),
        };
        let mut failures: Vec<Failure> = signature.err().into_iter().collect();
        match root.source.request() {
            None => {
                let text = "only the operating system vouches for who stands behind this delegation: a user id, not a \
                            person";
                failures.push(failure(Code::PrincipalInferred, text));
            }
            Some(named) => failures.extend(self.check_request(seen, root, named)),
        }
        failures.extend(self.check_mandate(seen, root).err());
        let issued_ms = root.iat.saturating_mul(1_000);
        let first = self.roots.insert(chain.leaf().digest.clone());
        if first && entry.observed_ms.abs_diff(issued_ms) > ISSUANCE_AGE_MAX_MS {
            let text = "this delegation was issued long before or after it was recorded: the entry of its issuance is not \
                        shown";
            failures.push(failure(Code::IssuanceNotShown, text));
        }
        failures
    }

    fn check_request(&self, seen: &Seen<'_>, root: &Root, named: &Named) -> Vec<Failure> {
        let Some(request) = seen.value("request") else {
            let text = "the signed request, on which this delegation rests, is not shown: ask for it";
            return vec![failure(Code::RequestMissing, text)];
        };
        let token = request.as_str().unwrap_or_default();
        let (signed, asked) = match chain::parse_request(token, &root.issuer) {
            Ok((signed, asked)) if signed.digest() == named.digest => (signed, asked),
            Ok(_) => {
                let text =
                    "the request shown is not the one that the delegation names: ask for the right one";
                return vec![failure(Code::RequestMalformed, text)];
            }
            Err(failure) => return vec![failure],
        };
        let mut failures = Vec::new();
        match self.register.at(signed.kid(), seen.index) {
            None => failures.push(chain::unregistered(signed.kid())),
            Some(registered) => {
                failures.extend(chain::signed_by_principal(&signed, &registered.key).err());
                // under a mandate the authority is of whoever signed that
                if root.source.mandate().is_none() && !registered.is_of(&root.principal) {
                    failures.push(chain::other_principal());
                }
            }
        }
        failures.extend(chain::within(root, &asked, &named.digest).err());
        failures
    }

    fn check_mandate(&self, seen: &Seen<'_>, root: &Root) -> Result<(), Failure> {
        let Some(named) = root.source.mandate() else { return Ok(()) };
        let Some((_, mandate)) = self.sound.mandate(&named.digest, seen.index) else {
            let text =
                "the mandate that this delegation was issued under was not recorded before it, or has errors";
            return Err(failure(Code::MandateMissing, text));
        };
        if self.register.at(&named.kid, seen.index).is_none() {
            let text =
                "the key that signed the mandate was no longer registered when this delegation was issued";
            return Err(failure(Code::MandateBinding, text));
        }
        let asker = root.source.request().and_then(|request| self.register.at(&request.kid, seen.index));
        // whoever is registered without a name is nobody whom a mandate could name
        chain::under(root, named, mandate, asker.map(|asker| asker.owner().unwrap_or_default()))
    }

    /// A child below its parent, and what is wrong with it there; a failure where no parent is known.
    fn place_child(
        &self,
        (run, index): (&Id, u64),
        signed: &Signed,
        link: Link,
        length: usize,
    ) -> Result<(Placed, Vec<Failure>), Failure> {
        let missing = || {
            let text = "the delegation above this one was not recorded before it in this run, or has errors";
            failure(Code::LinkMissing, text)
        };
        let child = link.claims.as_child().ok_or_else(missing)?;
        let parent = self.sound.find(&child.parent, run, index).ok_or_else(missing)?;
        let lengths: Vec<usize> = parent.lengths.iter().copied().chain([length]).collect();
        let mut failures: Vec<Failure> = chain::sized(lengths.iter().copied()).err().into_iter().collect();
        let below = Below { signed, child, digest: &link.digest, above: &parent.chain };
        failures.extend(chain::faults(&below));
        let signature_checked = parent.signature_checked;
        Ok((Placed { chain: parent.chain.and(link), lengths, signature_checked }, failures))
    }
}

/// The recorded digest, where there is one, is the token's.
pub(crate) fn check_digest(seen: &Seen<'_>, signed: &Signed) -> Result<(), Failure> {
    if seen.value("digest").is_some_and(|recorded| recorded != signed.digest()) {
        let text = "the recorded digest is not that of the delegation: one of them was mixed up";
        return Err(failure(Code::DelegationDigest, text));
    }
    Ok(())
}

fn without_issuer_key(genesis: &Genesis) -> Failure {
    if genesis.has_issuer_key {
        let text =
            "the issuer's key that the log recorded is not a usable one: nothing can be signed with it";
        return failure(Code::DelegationSignature, text);
    }
    let text = "the issuer's key is withheld: that the issuer signed this delegation was not checked";
    failure(Code::IssuerKeyMissing, text)
}

//! Step 10: every delegation shown is the issuer's, and goes no further than the principal's signed request.

use std::collections::BTreeMap;

use evidence::Kind;
use evidence::delegation::Source;
use evidence::id::Id;
use evidence::jws::Signed;
use serde_json::Value;

use crate::chain::{self, Delegation, Failure, failure};
use crate::finding::{Code, Findings, Severity};
use crate::genesis::Genesis;
use crate::items::{Items, Seen};
use crate::steps::keys::Register;

/// A delegation without errors.
pub(crate) struct Held {
    index: u64,
    run: Id,
    pub(crate) delegation: Delegation,
    /// Whether the issuer's signature was checked: its key may be withheld.
    pub(crate) signature_checked: bool,
}

impl Held {
    /// The thumbprint of the key that signed the request behind it; none where there is no such request.
    pub(crate) fn request_key(&self) -> Option<&str> {
        match &self.delegation.root.source {
            Source::KeyRequest { kid, .. } => Some(kid),
            Source::PeerCredentials { .. } => None,
        }
    }
}

/// Delegations without errors, by token digest.
#[derive(Default)]
pub(crate) struct Delegations(BTreeMap<String, Vec<Held>>);

impl Delegations {
    /// The delegation with this token digest that the entry at `index` of `run` could rely on.
    pub(crate) fn find(&self, digest: &str, run: &Id, index: u64) -> Option<&Held> {
        self.0.get(digest)?.iter().find(|held| held.run == *run && held.index < index)
    }
}

/// Step 10.
pub(crate) fn check(
    items: &Items<'_>,
    genesis: &Genesis,
    register: &Register,
    findings: &mut Findings,
) -> Delegations {
    let mut delegations = Delegations::default();
    for (seen, entry) in items.of_kind(Kind::Delegated) {
        let Some(token) = seen.value("token") else { continue };
        let (delegation, failures) = check_one(seen, &token, genesis, register);
        let sound = failures.iter().all(|failure| failure.step.severity() == Severity::Note);
        for failure in failures {
            findings.at(seen.index, failure.step, failure.text);
        }
        if let (Some(delegation), true) = (delegation, sound) {
            let signature_checked = genesis.issuer_key.is_some();
            let held = Held { index: seen.index, run: entry.run, delegation, signature_checked };
            delegations.0.entry(held.delegation.digest.clone()).or_default().push(held);
        }
    }
    delegations
}

/// The delegation, unless it is malformed, and all that there is to say about it.
fn check_one(
    seen: &Seen<'_>,
    token: &Value,
    genesis: &Genesis,
    register: &Register,
) -> (Option<Delegation>, Vec<Failure>) {
    let signed = match chain::parse_signed_delegation(token.as_str().unwrap_or_default()) {
        Ok(signed) => signed,
        Err(failure) => return (None, vec![failure]),
    };
    let mut failures: Vec<Failure> = check_digest(seen, &signed).err().into_iter().collect();
    let delegation = match parse_root(&signed, genesis) {
        Ok(delegation) => delegation,
        Err(failure) => {
            failures.push(failure);
            return (None, failures);
        }
    };
    let signature = match &genesis.issuer_key {
        Some(key) => chain::signed_by_issuer(&signed, key),
        None => Err(without_issuer_key(genesis)),
    };
    failures.extend(signature.err());
    failures.extend(check_source(seen, &delegation, register));
    (Some(delegation), failures)
}

fn check_digest(seen: &Seen<'_>, signed: &Signed) -> Result<(), Failure> {
    if seen.value("digest").is_some_and(|recorded| recorded != signed.digest()) {
        let text = "the recorded digest is not that of the delegation: one of them was mixed up";
        return Err(failure(Code::DelegationDigest, text));
    }
    Ok(())
}

/// Claims, rules, and what the genesis says of issuer and tenant.
fn parse_root(signed: &Signed, genesis: &Genesis) -> Result<Delegation, Failure> {
    let delegation = chain::parse_root(signed)?;
    // neither claim is ever empty, so what the genesis states otherwise than as text equals neither
    if let Some(issuer) = &genesis.issuer {
        chain::issued_by(&delegation.root, issuer.as_str().unwrap_or_default())?;
    }
    if let Some(tenant) = &genesis.tenant {
        chain::of_tenant(&delegation.root, tenant.as_str().unwrap_or_default())?;
    }
    Ok(delegation)
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

fn check_source(seen: &Seen<'_>, delegation: &Delegation, register: &Register) -> Vec<Failure> {
    let Source::KeyRequest { digest, .. } = &delegation.root.source else {
        let text = "only the operating system vouches for who stands behind this delegation: a user id, not a person";
        return vec![failure(Code::PrincipalInferred, text)];
    };
    let Some(request) = seen.value("request") else {
        let text = "the principal's signed request, on which this delegation rests, is not shown: ask for it";
        return vec![failure(Code::RequestMissing, text)];
    };
    let token = request.as_str().unwrap_or_default();
    let (signed, asked) = match chain::parse_request(token, &delegation.root.issuer) {
        Ok((signed, asked)) if signed.digest() == *digest => (signed, asked),
        Ok(_) => {
            let text = "the request shown is not the one that the delegation names: ask for the right one";
            return vec![failure(Code::RequestMalformed, text)];
        }
        Err(failure) => return vec![failure],
    };
    let mut failures = Vec::new();
    match register.at(signed.kid(), seen.index) {
        None => failures.push(chain::unregistered(signed.kid())),
        Some(registered) => {
            failures.extend(chain::signed_by_principal(&signed, &registered.key).err());
            if !registered.is_of(&delegation.root.principal) {
                failures.push(chain::other_principal());
            }
        }
    }
    failures.extend(chain::within(&delegation.root, &asked, digest).err());
    failures
}

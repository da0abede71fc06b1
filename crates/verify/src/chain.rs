//! The checks of delegations, of the chains they form, and of acts under them (format §6, §10 steps 10 to 12).
//!
//! There is one set of them: the recorder calls them before an act is let go, and the bundle check calls the same
//! functions years later. Times come in as arguments, so both reach the same answer.
//!
//! The public functions stop at the first check that fails. The bundle check calls the parts one by one, because it
//! has to name everything that is wrong. Which part is where: `link` a child under its parent, `request`
//! what a root rests on, `mandate` standing authorities, `order` revocations and halts, `pop` proofs of possession,
//! `act` all of it for one act.

mod act;
mod link;
mod mandate;
mod order;
mod pop;
mod request;

use std::sync::Arc;

use evidence::Holder;
use evidence::delegation::{Link as Claims, Root};
use evidence::jws::{self, Jwk, Signed};
use evidence::limits::{CHAIN_LINKS_MAX, CHAIN_MAX_BYTES};
use serde_json::Value;

pub use act::{Act, Known, Proven, act, covered, in_force, possession, proof_for, signed_proof};
pub(crate) use act::{in_scope, in_time, named_for_approval};
pub(crate) use link::{Below, faults};
pub use mandate::{Mandated, mandate};
pub(crate) use mandate::{mandate_of_another, parse_mandate, signed_mandate, under, unregistered_mandate};
pub use order::{halt, order_fresh, revocation};
pub(crate) use order::{parse_halt, parse_revocation, revoked_signer, signed_order, unregistered_order};
pub(crate) use pop::{Binding, bound, parse_pop, pop_in_time, proven_by_holder};
pub use request::{Request, request_fresh, root_request, within_request};
pub(crate) use request::{other_principal, parse_request, signed_by_principal, unregistered, within};

/// Which check failed. Its `name()` is the finding code of format §10, and the `step` of a recorded refusal.
pub use crate::finding::Code as Step;

/// A check that failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Failure {
    /// Which one.
    pub step: Step,
    /// What is wrong, and what to do about it.
    pub text: String,
}

/// What every chain of a log hangs on: its genesis (format §5, kind 1).
#[derive(Debug, Clone, Copy)]
pub struct Anchor<'a> {
    /// `iss` of roots, audience of everything.
    pub issuer: &'a str,
    /// Signs roots.
    pub issuer_key: &'a Jwk,
    /// Whose log it is.
    pub tenant: &'a str,
}

/// What a genesis says as far as it is shown; what is not shown is not compared.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Stated<'a> {
    pub(crate) issuer: Option<&'a str>,
    pub(crate) tenant: Option<&'a str>,
}

/// One link of a chain that was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// What it says.
    pub claims: Claims,
    /// Its token digest, by which proofs, children, decisions and revocations name it.
    pub digest: String,
    /// Thumbprint of the key that signed it.
    pub kid: String,
}

/// Links from a root to a leaf, each the parent of the next. Never empty. Cloning it copies no link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    top: Arc<Link>,
    /// The claims of `top`, which is a root.
    root: Arc<Root>,
    /// Children, from the one below the root to the leaf.
    below: Vec<Arc<Link>>,
}

impl Chain {
    /// A chain of one; nothing for a child.
    pub(crate) fn of(top: Link) -> Option<Self> {
        let root = Arc::new(top.claims.as_root()?.clone());
        Some(Self { top: Arc::new(top), root, below: Vec::new() })
    }

    /// This chain with one more link below its leaf.
    pub(crate) fn and(&self, leaf: Link) -> Self {
        let mut longer = self.clone();
        longer.below.push(Arc::new(leaf));
        longer
    }

    /// All links, root first.
    pub fn links(&self) -> impl DoubleEndedIterator<Item = &Link> {
        core::iter::once(&*self.top).chain(self.below.iter().map(|link| &**link))
    }

    /// The first link.
    pub fn root_link(&self) -> &Link {
        &self.top
    }

    /// The claims of the first link.
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// The last link: the root itself in a chain of one.
    pub fn leaf(&self) -> &Link {
        self.below.last().unwrap_or(&self.top)
    }

    /// Number of links, at least 1.
    pub fn count(&self) -> usize {
        self.below.len() + 1
    }

    /// Who acts: the leaf's effective holder (format §6).
    pub fn holder(&self) -> Holder {
        self.leaf().claims.holder()
    }

    /// Token digests, root first.
    pub fn digests(&self) -> impl Iterator<Item = &str> {
        self.links().map(|link| link.digest.as_str())
    }

    /// Whether a link has this token digest.
    pub fn contains(&self, digest: &str) -> bool {
        self.digests().any(|known| known == digest)
    }

    /// Whether two links are bound to one key: then nobody can tell their holders apart.
    pub fn shares_key(&self) -> bool {
        let mut keys: Vec<Holder> = self.links().map(|link| link.claims.holder()).collect();
        keys.sort_by(|one, other| one.key.cmp(&other.key));
        keys.windows(2).any(|pair| matches!(pair, [one, next] if one.key == next.key))
    }

    /// The first second at which some link no longer holds.
    pub fn exp(&self) -> u64 {
        self.links().map(|link| link.claims.exp()).min().unwrap_or_default()
    }
}

/// Checks a chain of compact tokens, root first (format §6, *Chain*). Whether it holds at a time is [`in_force`].
pub fn chain<S: AsRef<str>>(tokens: &[S], anchor: &Anchor<'_>) -> Result<Chain, Failure> {
    sized(tokens.iter().map(|token| token.as_ref().len()))?;
    let mut tokens = tokens.iter().map(AsRef::as_ref);
    let first = tokens
        .next()
        .ok_or_else(|| failure(Step::ChainSize, "the chain has no link: present it from its root on"))?;
    let mut chain = root(first, anchor)?;
    for token in tokens {
        chain = child(&chain, token)?;
    }
    Ok(chain)
}

/// Checks a root by itself: shape, rules, the log's issuer and tenant, signature. Gives a chain of one.
pub fn root(token: &str, anchor: &Anchor<'_>) -> Result<Chain, Failure> {
    let signed = parse_signed(token)?;
    let link = parse_link(&signed)?;
    let chain = Chain::of(link).ok_or_else(|| {
        failure(
            Step::DelegationMalformed,
            "the chain begins with a child: present it from its root on, which is issued by this log",
        )
    })?;
    of_log(chain.root(), &anchor.into())?;
    signed_by_issuer(&signed, anchor.issuer_key)?;
    Ok(chain)
}

/// One more link below a chain that was checked.
fn child(above: &Chain, token: &str) -> Result<Chain, Failure> {
    let signed = parse_signed(token)?;
    let link = parse_link(&signed)?;
    let Claims::Child(claims) = &link.claims else {
        let text = "the chain has a second root: one chain has one root, and children below it";
        return Err(failure(Step::DelegationMalformed, text));
    };
    let below = Below { signed: &signed, child: claims, digest: &link.digest, above };
    match faults(&below).into_iter().next() {
        Some(failure) => Err(failure),
        None => Ok(above.and(link)),
    }
}

/// Whether a chain of tokens of these lengths is within the limits.
pub(crate) fn sized(lengths: impl ExactSizeIterator<Item = usize>) -> Result<(), Failure> {
    let count = lengths.len();
    if count > CHAIN_LINKS_MAX {
        let text =
            format!("the chain has {count} links, more than the {CHAIN_LINKS_MAX} that the format allows");
        return Err(failure(Step::ChainSize, text));
    }
    let bytes: usize = lengths.sum();
    if bytes > CHAIN_MAX_BYTES {
        let text =
            format!("the chain has {bytes} bytes, more than the {CHAIN_MAX_BYTES} that the format allows");
        return Err(failure(Step::ChainSize, text));
    }
    Ok(())
}

/// Shape of a signed delegation; neither its claims nor its signature are checked yet.
pub(crate) fn parse_signed(token: &str) -> Result<Signed, Failure> {
    Signed::parse(token, jws::DELEGATION).map_err(|error| malformed(&error.to_string()))
}

/// Claims and rules of a delegation by itself; its signature is not checked yet.
pub(crate) fn parse_link(signed: &Signed) -> Result<Link, Failure> {
    let claims = Claims::parse(signed.unverified()).map_err(|error| malformed(&error.to_string()))?;
    if !are_plain(signed, &["prin", "hld"]) {
        return Err(malformed("its principal or holder is no object of strings"));
    }
    if claims.as_child().is_some_and(|child| child.delegator != signed.kid()) {
        return Err(malformed("its issuer is not the key that it names as its signer"));
    }
    Ok(Link { claims, digest: signed.digest(), kid: signed.kid().to_owned() })
}

fn malformed(why: &str) -> Failure {
    failure(Step::DelegationMalformed, format!("the delegation is not an acceptable one: {why}"))
}

/// Whether these members of `deeds`, where they are there, are objects of strings (and an absent key perhaps null).
///
/// Reading JSON into types also takes lists for objects and objects for words, which the format does not.
fn are_plain(signed: &Signed, names: &[&str]) -> bool {
    let own = signed.unverified().get("deeds");
    let is_plain = |value: &Value| {
        let members = value.as_object();
        members.is_some_and(|members| members.values().all(|value| value.is_string() || value.is_null()))
    };
    names.iter().filter_map(|name| own?.get(*name)).all(is_plain)
}

/// The rules that a root is issued by the log's issuer, for the log's tenant.
pub(crate) fn of_log(root: &Root, stated: &Stated<'_>) -> Result<(), Failure> {
    stated.fits(&root.issuer, &root.tenant).map_err(|why| malformed(&why))
}

impl Stated<'_> {
    /// Whether something is for this log.
    pub(crate) fn fits(&self, issuer: &str, tenant: &str) -> Result<(), String> {
        if let Some(expected) = self.issuer.filter(|expected| *expected != issuer) {
            return Err(format!("it is for the issuer `{issuer}`, not for this log's `{expected}`"));
        }
        if let Some(expected) = self.tenant.filter(|expected| *expected != tenant) {
            return Err(format!("it is for the tenant `{tenant}`, not for this log's `{expected}`"));
        }
        Ok(())
    }
}

impl<'a> From<&Anchor<'a>> for Stated<'a> {
    fn from(anchor: &Anchor<'a>) -> Self {
        Self { issuer: Some(anchor.issuer), tenant: Some(anchor.tenant) }
    }
}

/// The issuer's signature on a root.
pub(crate) fn signed_by_issuer(signed: &Signed, issuer_key: &Jwk) -> Result<(), Failure> {
    signed.verify(issuer_key).map(|_| ()).map_err(|error| {
        let text =
            format!("the issuer's signature on the delegation is wrong: {error}; it was altered or forged");
        failure(Step::DelegationSignature, text)
    })
}

/// One check that failed.
pub(crate) fn failure(step: Step, text: impl Into<String>) -> Failure {
    Failure { step, text: text.into() }
}

#[cfg(test)]
mod tests;

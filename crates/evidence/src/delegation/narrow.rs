//! Making a child: a holder narrows its authority for another key, offline (format §6, Child delegation).

use ed25519_dalek::SigningKey;

use super::{Approvals, Child, ClaimError, Link};
use crate::digest::Digest;
use crate::id::{self, Id};
use crate::jws::{self, Jwk, JwsError, Signed};
use crate::label::Assurance;
use crate::limits::{CHAIN_LINKS_MAX, CHAIN_MAX_BYTES, SKEW_S, TOKEN_MAX_BYTES};
use crate::principal::{Holder, PrincipalKind};
use crate::scope::Scope;
use crate::span::Span;

/// What a holder states when it narrows its authority for another key.
#[derive(Debug, Clone)]
pub struct Narrowing<'a> {
    /// UUID of the child.
    pub jti: Id,
    /// Now, seconds.
    pub iat: u64,
    /// Life of the child, seconds; cut where its parent ends.
    pub ttl: u64,
    /// The key that the child is to be bound to.
    pub cnf: Jwk,
    /// How deep the chain may grow; the parent's where absent.
    pub max_depth: Option<u64>,
    /// What is to be allowed; what the parent allows where absent.
    pub scope: Option<Scope>,
    /// What for; the parent's purpose where absent.
    pub purpose: Option<String>,
    /// Who the holder of that key is: id, kind and instance, as the delegator says.
    pub holder: (String, PrincipalKind, String),
    /// The text that goes with the work.
    pub handoff: Option<&'a str>,
    /// Which acts need approvals as well; the parent's where absent.
    pub approvals: Option<Approvals>,
}

/// Why no child was made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NarrowError {
    /// No token.
    #[error("the chain is empty: a delegation to narrow is needed")]
    Empty,
    /// As long as a chain can be.
    #[error("the chain has {0} delegations, and no chain has more than {CHAIN_LINKS_MAX}")]
    TooLong(usize),
    /// A token of the chain is no signed delegation.
    #[error("delegation {at} of the chain, counted from 1: {error}")]
    Token {
        /// Its place, from 1.
        at: usize,
        /// What is wrong with it.
        error: JwsError,
    },
    /// A token of the chain breaks the rules of a delegation, or does not fit its parent.
    #[error("delegation {at} of the chain, counted from 1: {text}")]
    Link {
        /// Its place, from 1.
        at: usize,
        /// What is wrong with it.
        text: String,
    },
    /// The chain is somebody else's.
    #[error(
        "the chain is bound to key `{bound}`, not to `{key}`: sign with the private key of its last holder"
    )]
    OtherKey {
        /// Thumbprint that the last delegation names.
        bound: String,
        /// Thumbprint of the key given.
        key: String,
    },
    /// The parent lets nobody delegate further.
    #[error(
        "the chain may be {max_depth} deep and is: ask for a delegation with a higher depth to hand work on"
    )]
    Terminal {
        /// Deepest chain allowed.
        max_depth: u64,
    },
    /// A lower ceiling than the child's own place in the chain.
    #[error("a maximum depth of {asked} is below the child's own depth of {depth}")]
    Shallow {
        /// What was asked for.
        asked: u64,
        /// The child's place.
        depth: u64,
    },
    /// Nothing is left of the parent.
    #[error("the delegation to narrow ended {0} ago: get a new one")]
    Ended(Span),
    /// The clock is behind.
    #[error("the delegation to narrow was made {0} from now, as the clock here goes: correct the clock")]
    Early(Span),
    /// No life asked for.
    #[error("a delegation that lives 0 s allows nothing: give it a longer life")]
    NoLife,
    /// More than the parent allows.
    #[error("the child does not fit its parent: {0}")]
    Wider(String),
    /// A value that no child can have.
    #[error("the child would not be a delegation: {0}")]
    Rules(ClaimError),
    /// Too large to be presented.
    #[error("the {what} would have {size} bytes, more than the {most} allowed: name fewer tools or values")]
    TooLarge {
        /// Token or chain.
        what: &'static str,
        /// Its size.
        size: usize,
        /// The limit.
        most: usize,
    },
    /// The child's UUID is in the chain already.
    #[error("the UUID `{0}` names a delegation of this chain already: draw a new one")]
    Repeated(String),
}

/// Makes a child below the leaf of `chain` (compact tokens, root first), signed by `key`, which must be the leaf's.
///
/// Offline. Whatever a verifier would refuse of the chain that results is refused here, but for the root's signature,
/// which takes the issuer's key. Gives the child's token.
pub fn delegate(
    chain: &[String],
    key: &SigningKey,
    narrowing: &Narrowing<'_>,
) -> Result<String, NarrowError> {
    let links = read_chain(chain)?;
    let (parent, parent_digest) = links.last().ok_or(NarrowError::Empty)?;
    check_key(parent, key)?;
    let child = narrowed(parent, parent_digest, narrowing)?;
    if let Some(misfit) = child.misfits(parent, parent_digest).first() {
        return Err(NarrowError::Wider(misfit.text.clone()));
    }
    if links.iter().any(|(link, _)| link.jti() == child.jti) {
        return Err(NarrowError::Repeated(child.jti));
    }
    let token = child.sign(key);
    check_size(chain, &token)?;
    // what was made is read back as a verifier will read it
    let signed = Signed::parse(&token, jws::DELEGATION)
        .map_err(|error| NarrowError::Token { at: links.len() + 1, error })?;
    Child::parse(signed.unverified()).map_err(NarrowError::Rules)?;
    Ok(token)
}

/// The links with their digests, each child held against its parent.
fn read_chain(chain: &[String]) -> Result<Vec<(Link, String)>, NarrowError> {
    if chain.len() >= CHAIN_LINKS_MAX {
        return Err(NarrowError::TooLong(chain.len()));
    }
    let mut links: Vec<(Link, String)> = Vec::with_capacity(chain.len());
    for (at, token) in (1..).zip(chain) {
        let broken = |text: String| NarrowError::Link { at, text };
        let signed =
            Signed::parse(token, jws::DELEGATION).map_err(|error| NarrowError::Token { at, error })?;
        let link = Link::parse(signed.unverified()).map_err(|error| broken(error.to_string()))?;
        match (links.last(), &link) {
            (None, Link::Root(_)) => {}
            (None, Link::Child(_)) => return Err(broken("a chain begins with a root delegation".into())),
            (Some(_), Link::Root(_)) => return Err(broken("only the first is a root delegation".into())),
            (Some((parent, digest)), Link::Child(child)) => {
                if let Some(misfit) = child.misfits(parent, digest).first() {
                    return Err(broken(misfit.text.clone()));
                }
                signed.verify(parent.cnf()).map_err(|error| NarrowError::Token { at, error })?;
            }
        }
        if links.iter().any(|(above, _)| above.jti() == link.jti()) {
            return Err(broken("its UUID is that of a delegation above it".into()));
        }
        links.push((link, signed.digest()));
    }
    Ok(links)
}

fn check_key(parent: &Link, key: &SigningKey) -> Result<(), NarrowError> {
    let (bound, key) = (parent.cnf().thumbprint(), Jwk::of(key).thumbprint());
    if bound == key { Ok(()) } else { Err(NarrowError::OtherKey { bound, key }) }
}

fn narrowed(parent: &Link, parent_digest: &str, asked: &Narrowing<'_>) -> Result<Child, NarrowError> {
    let depth = parent.depth() + 1;
    if depth > parent.max_depth() {
        return Err(NarrowError::Terminal { max_depth: parent.max_depth() });
    }
    let max_depth = asked.max_depth.unwrap_or(parent.max_depth());
    if max_depth < depth {
        return Err(NarrowError::Shallow { asked: max_depth, depth });
    }
    let (iat, exp) = life(parent, asked)?;
    let (id, kind, inst) = asked.holder.clone();
    let asr = Assurance::DelegatorAsserted.as_str().to_owned();
    Ok(Child {
        jti: id::text(&asked.jti),
        delegator: parent.cnf().thumbprint(),
        audience: parent.audience().to_owned(),
        iat,
        nbf: iat,
        exp,
        parent: parent_digest.to_owned(),
        depth,
        max_depth,
        scope: asked.scope.clone().unwrap_or_else(|| parent.scope().clone()),
        tenant: parent.tenant().to_owned(),
        txn: *parent.txn(),
        purpose: asked.purpose.clone().unwrap_or_else(|| parent.purpose().to_owned()),
        holder: Holder { id, inst, kind, asr, key: asked.cnf.thumbprint() },
        handoff: asked.handoff.map(|text| Digest::of(text.as_bytes()).to_string()),
        approvals: asked.approvals.clone().or_else(|| parent.approvals().cloned()),
        cnf: asked.cnf.clone(),
    })
}

/// From when to when the child lives; a clock a little behind that of the parent's signer is taken for its.
fn life(parent: &Link, asked: &Narrowing<'_>) -> Result<(u64, u64), NarrowError> {
    if asked.ttl == 0 {
        return Err(NarrowError::NoLife);
    }
    if asked.iat >= parent.exp() {
        return Err(NarrowError::Ended(Span::between(asked.iat, parent.exp())));
    }
    if asked.iat.saturating_add(SKEW_S) < parent.iat() {
        return Err(NarrowError::Early(Span::between(parent.iat(), asked.iat)));
    }
    let iat = asked.iat.max(parent.iat());
    Ok((iat, iat.saturating_add(asked.ttl).min(parent.exp())))
}

fn check_size(chain: &[String], token: &str) -> Result<(), NarrowError> {
    let fits = |what, size, most| {
        if size <= most { Ok(()) } else { Err(NarrowError::TooLarge { what, size, most }) }
    };
    fits("delegation", token.len(), TOKEN_MAX_BYTES)?;
    fits("chain", chain.iter().map(String::len).sum::<usize>() + token.len(), CHAIN_MAX_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_limited_at_the_boundary() {
        let text = |len: usize| "x".repeat(len);
        assert_eq!(check_size(&[], &text(TOKEN_MAX_BYTES)), Ok(()));
        assert!(check_size(&[], &text(TOKEN_MAX_BYTES + 1)).is_err());
        let chain = vec![text(CHAIN_MAX_BYTES / 8); 7];
        assert_eq!(check_size(&chain, &text(CHAIN_MAX_BYTES / 8)), Ok(()));
        assert!(check_size(&chain, &text(CHAIN_MAX_BYTES / 8 + 1)).is_err());
    }
}

//! The delegation that a call presents in its `_meta`, read strictly and checked as far as it must be before a run
//! may be opened for it. Everything else is checked by the server, which decides.

use core::fmt::Display;

use evidence::delegation::Pop;
use evidence::id::Id;
use evidence::jws::{self, Jwk, Signed};
use evidence::limits::{CHAIN_LINKS_MAX, CHAIN_MAX_BYTES, TOKEN_MAX_BYTES};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::members::Members;
use super::proxy::shown;
use crate::limits::HANDOFF_MAX;
use crate::run::holder::Proof;

/// The key of `_meta` that carries it.
pub(crate) const META_KEY: &str = "dev.deeds/delegation";

/// Longest reason that is told and recorded, characters.
const WHY_MAX: usize = 400;

/// Why what a call presents is not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unfit {
    /// The step that failed.
    pub(crate) step: String,
    /// What happened and what to do.
    pub(crate) why: String,
}

impl Unfit {
    pub(crate) fn new(step: &str, why: impl Into<String>) -> Self {
        Self { step: step.to_owned(), why: why.into().chars().take(WHY_MAX).collect() }
    }
}

/// A chain, by value or by reference, with a proof of possession for one act.
#[derive(Debug)]
pub(crate) struct Presented {
    /// Token digest of the leaf.
    pub(crate) leaf: String,
    /// The chain, where it came by value.
    pub(crate) chain: Option<Chain>,
    /// The text handed over with it.
    pub(crate) handoff: Option<String>,
    /// Claims of the proof; believed only behind [`Presented::is_signed_by`].
    pub(crate) claims: Pop,
    text: String,
    pop: Signed,
}

/// A chain, and what its leaf says: nothing of it is checked but the key, by the proof.
#[derive(Debug)]
pub(crate) struct Chain {
    /// Every link (JWS), root first.
    pub(crate) tokens: Vec<String>,
    /// The key that the leaf is bound to.
    pub(crate) key: Jwk,
    /// The task, and the holders from the root down, one who passes authority on to itself once: a run is of one of
    /// each.
    pub(crate) bound_to: (String, Vec<String>),
}

/// The members as they were written.
#[derive(Default)]
struct Raw {
    chain: Option<Vec<String>>,
    reference: Option<String>,
    pop: Option<String>,
    handoff: Option<String>,
}

impl Raw {
    /// Reads the member, whose text was checked for strict JSON with the frame. An error never quotes a value: what
    /// is refused is recorded, and tokens are not.
    fn read(member: &str) -> Result<Self, String> {
        let members = Members::of(member).ok_or_else(|| format!("`{META_KEY}` is not an object"))?;
        let mut raw = Self::default();
        for (name, text) in members.iter() {
            let read = match name {
                "chain" => read(text, &mut raw.chain),
                "ref" => read(text, &mut raw.reference),
                "pop" => read(text, &mut raw.pop),
                "handoff" => read(text, &mut raw.handoff),
                other => return Err(format!("`{META_KEY}` has an unknown member `{}`", shown(other))),
            };
            read.ok_or_else(|| format!("`{name}` of `{META_KEY}` is not what it should be"))?;
        }
        if raw.handoff.as_ref().is_some_and(|text| text.len() > HANDOFF_MAX) {
            return Err(format!("the handoff is longer than the {HANDOFF_MAX} bytes allowed"));
        }
        Ok(raw)
    }
}

fn read<T: DeserializeOwned>(text: &str, into: &mut Option<T>) -> Option<()> {
    *into = Some(serde_json::from_str(text).ok()?);
    Some(())
}

impl Presented {
    /// Reads the member.
    pub(crate) fn parse(member: &str) -> Result<Self, Unfit> {
        let malformed = |why: &str| Unfit::new("delegation-malformed", why);
        let raw = Raw::read(member).map_err(|why| malformed(&why))?;
        let (leaf, chain) = match (raw.chain, raw.reference) {
            (Some(tokens), None) => {
                let (leaf, chain) = Chain::of(tokens)?;
                (leaf, Some(chain))
            }
            (None, Some(leaf)) if evidence::base64url::decode_32(&leaf).is_some() => (leaf, None),
            (None, Some(_)) => return Err(malformed("`ref` is not the token digest of a delegation")),
            _ => return Err(malformed(&format!("`{META_KEY}` has not exactly one of `chain` and `ref`"))),
        };
        let text = raw.pop.ok_or_else(|| Unfit::new("pop-malformed", "a proof of possession is missing"))?;
        let wrong =
            |why: &dyn Display| Unfit::new("pop-malformed", format!("the proof of possession: {why}"));
        let pop = Signed::parse(&text, jws::POP).map_err(|error| wrong(&error))?;
        let claims = Pop::parse(pop.unverified()).map_err(|error| wrong(&error))?;
        Ok(Self { leaf, chain, handoff: raw.handoff, claims, text, pop })
    }

    /// Thumbprint of the key that the proof says it is signed with.
    pub(crate) fn kid(&self) -> &str {
        self.pop.kid()
    }

    /// The act that the proof is for.
    pub(crate) fn act_id(&self) -> Id {
        self.claims.act_id
    }

    /// The proof must be signed by the key that the leaf is bound to, and be for this leaf: a chain alone is no
    /// secret, and whoever shows one without its key gets no run for it.
    pub(crate) fn is_signed_by(&self, key: &Jwk) -> Result<(), Unfit> {
        self.pop.verify(key).map_err(|error| {
            Unfit::new(
                "pop-signature",
                format!("the proof of possession: {error}; sign it with the leaf's key"),
            )
        })?;
        if self.claims.leaf == self.leaf {
            return Ok(());
        }
        Err(Unfit::new(
            "pop-binding",
            "the proof of possession is for another delegation than the one presented",
        ))
    }

    /// The proof, to ask with.
    pub(crate) fn proof(&self) -> Proof {
        Proof {
            act_id: evidence::id::text(&self.claims.act_id),
            delegation: self.leaf.clone(),
            pop: self.text.clone(),
            counter: None,
        }
    }
}

impl Chain {
    /// A chain that is within the limits, and the token digest of its leaf.
    fn of(tokens: Vec<String>) -> Result<(String, Self), Unfit> {
        let bytes: usize = tokens.iter().map(String::len).sum();
        if tokens.len() > CHAIN_LINKS_MAX || bytes > CHAIN_MAX_BYTES {
            let limits = format!("{CHAIN_LINKS_MAX} tokens and {CHAIN_MAX_BYTES} bytes");
            let found = format!("{} tokens and {bytes} bytes", tokens.len());
            return Err(Unfit::new("chain-size", format!("a chain of {found} is over the {limits} allowed")));
        }
        let malformed = |why: String| Unfit::new("delegation-malformed", why);
        if tokens.iter().any(|token| token.len() > TOKEN_MAX_BYTES) {
            return Err(malformed(format!(
                "a delegation is longer than the {TOKEN_MAX_BYTES} bytes allowed"
            )));
        }
        let leaf = tokens.last().ok_or_else(|| malformed("the chain is empty".into()))?;
        let leaf = Signed::parse(leaf, jws::DELEGATION)
            .map_err(|error| malformed(format!("the last delegation of the chain: {error}")))?;
        let claims = Value::Object(leaf.unverified().clone());
        let jwk = claims.pointer("/cnf/jwk").unwrap_or(&Value::Null);
        let key = Jwk::parse(jwk)
            .map_err(|error| malformed(format!("the key that the last delegation is bound to: {error}")))?;
        let bound_to = (said(&leaf, "/deeds/txn"), holders(&tokens));
        Ok((leaf.digest(), Self { tokens, key, bound_to }))
    }
}

/// Whose the links are, as they say themselves. What cannot be read is the server's to refuse.
fn holders(tokens: &[String]) -> Vec<String> {
    let links = tokens.iter().filter_map(|token| Signed::parse(token, jws::DELEGATION).ok());
    let mut holders: Vec<String> = links.map(|link| said(&link, "/deeds/hld/id")).collect();
    holders.dedup();
    holders
}

fn said(link: &Signed, path: &str) -> String {
    let claims = Value::Object(link.unverified().clone());
    claims.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests;

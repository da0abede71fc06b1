//! Child delegations (format §6): what a holder signs for another key, with no call to any server.

use ed25519_dalek::SigningKey;
use serde_json::{Map, Value, json};

use super::claims::{ClaimError, Claims, check, check_life, details, key_urn, put};
use super::{Approvals, BREAK_GLASS, Link};
use crate::id::{self, Id};
use crate::jws::{self, Jwk};
use crate::label::Assurance;
use crate::limits::CHAIN_DEPTH_MAX;
use crate::principal::Holder;
use crate::scope::Scope;
use crate::span::Span;

/// A child delegation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Child {
    /// UUID of this token.
    pub jti: String,
    /// Thumbprint of the key that signed it, which its parent is bound to.
    pub delegator: String,
    /// Where it may be used.
    pub audience: String,
    /// Seconds.
    pub iat: u64,
    /// Seconds.
    pub nbf: u64,
    /// Seconds; the first second at which it no longer holds.
    pub exp: u64,
    /// The holder's key.
    pub cnf: Jwk,
    /// Token digest of its parent.
    pub parent: String,
    /// Links above it.
    pub depth: u64,
    /// How deep the chain may grow.
    pub max_depth: u64,
    /// What it allows.
    pub scope: Scope,
    /// The tenant.
    pub tenant: String,
    /// The task.
    pub txn: Id,
    /// What for.
    pub purpose: String,
    /// Who holds it, as the delegator names it; see [`Child::effective_holder`].
    pub holder: Holder,
    /// Digest string of the text that goes with the work.
    pub handoff: Option<String>,
    /// Which acts need approvals as well.
    pub approvals: Option<Approvals>,
}

/// A rule between a child and its parent that does not hold (format §6, Chain).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Misfit {
    /// The code of the format: `link-parent`, `link-depth`, `link-time`, `link-binding`, `link-scope`,
    /// `link-approvals`.
    pub code: &'static str,
    /// What does not fit, for people.
    pub text: String,
}

impl Child {
    /// Signs it with the key that the parent is bound to.
    pub fn sign(&self, key: &SigningKey) -> String {
        jws::sign(jws::DELEGATION, &self.to_claims(), key)
    }

    pub(super) fn to_claims(&self) -> Value {
        let mut own = Map::from_iter([
            ("tenant".to_owned(), json!(self.tenant)),
            ("txn".to_owned(), id::text(&self.txn).into()),
            ("purpose".to_owned(), json!(self.purpose)),
            ("hld".to_owned(), json!(self.holder)),
        ]);
        put(&mut own, "handoff", self.handoff.clone().map(Value::String));
        put(&mut own, "apv", self.approvals.as_ref().map(Approvals::to_json));
        json!({
            "v": 1, "jti": self.jti, "iss": key_urn(&self.delegator), "aud": [self.audience],
            "iat": self.iat, "nbf": self.nbf, "exp": self.exp, "cnf": {"jwk": self.cnf.to_json()},
            "par_hash": self.parent, "del_depth": self.depth, "del_max_depth": self.max_depth,
            "authorization_details": details(&self.scope), "deeds": own,
        })
    }

    /// Reads the claims and checks the rules of a child alone (format §6).
    pub fn parse(claims: &Map<String, Value>) -> Result<Self, ClaimError> {
        let claims = Claims(claims);
        let own = claims.object("deeds")?;
        let child = Self {
            jti: claims.uuid_text("jti")?,
            delegator: claims.issuing_key()?,
            audience: claims.sole_audience()?,
            iat: claims.number("iat")?,
            nbf: claims.number("nbf")?,
            exp: claims.number("exp")?,
            cnf: claims.bound_key()?,
            parent: claims.text("par_hash")?,
            depth: claims.number("del_depth")?,
            max_depth: claims.number("del_max_depth")?,
            scope: claims.scope()?,
            tenant: own.text("tenant")?,
            txn: own.uuid("txn")?,
            purpose: own.text("purpose")?,
            holder: own.typed("hld")?,
            handoff: own.optional("handoff", Claims::digest)?,
            approvals: Approvals::of(own)?,
        };
        claims.check_version()?;
        check(
            !own.0.contains_key("prin") && !own.0.contains_key("src"),
            "it is a child and states a principal or a source: only a root does",
        )?;
        child.check_rules()?;
        Ok(child)
    }

    pub(super) fn check_rules(&self) -> Result<(), ClaimError> {
        check(self.nbf <= self.exp, "it ends before it begins")?;
        check_life(self.iat, self.exp, u64::MAX)?;
        check(
            1 <= self.depth && self.depth <= self.max_depth && self.max_depth <= CHAIN_DEPTH_MAX,
            &format!("its depth is not from 1 to its own maximum, which is at most {CHAIN_DEPTH_MAX}"),
        )?;
        check(self.holder.key == self.cnf.thumbprint(), "its holder's key is not the key it is bound to")
    }

    /// The holder as far as a delegator can vouch for it: never better than `delegator-asserted` (format §6).
    pub fn effective_holder(&self) -> Holder {
        let beyond = [Assurance::Attested.as_str(), Assurance::IssuerAsserted.as_str()];
        let mut holder = self.holder.clone();
        if beyond.contains(&holder.asr.as_str()) {
            Assurance::DelegatorAsserted.as_str().clone_into(&mut holder.asr);
        }
        holder
    }

    /// Every rule towards the parent that does not hold, one for each code, in the order of the format (§6, Chain).
    ///
    /// Not the signature, nor that the header's `kid` is the `delegator`: those need the token.
    pub fn misfits(&self, parent: &Link, parent_digest: &str) -> Vec<Misfit> {
        [
            ("link-parent", self.parent_misfit(parent, parent_digest)),
            ("link-depth", self.depth_misfit(parent)),
            ("link-time", self.time_misfit(parent)),
            ("link-binding", self.binding_misfit(parent)),
            ("link-scope", self.scope_misfit(parent)),
            ("link-approvals", self.approvals_misfit(parent)),
        ]
        .into_iter()
        .filter_map(|(code, text)| text.map(|text| Misfit { code, text }))
        .collect()
    }

    fn parent_misfit(&self, parent: &Link, parent_digest: &str) -> Option<String> {
        if self.parent != parent_digest {
            return Some(format!("it names `{}` as its parent, not `{parent_digest}`", self.parent));
        }
        let bound = parent.cnf().thumbprint();
        (self.delegator != bound)
            .then(|| format!("it is signed by key `{}`, its parent is bound to `{bound}`", self.delegator))
    }

    fn depth_misfit(&self, parent: &Link) -> Option<String> {
        if parent.depth().checked_add(1) != Some(self.depth) {
            return Some(format!(
                "its depth is {}, one more than its parent's {} is expected",
                self.depth,
                parent.depth()
            ));
        }
        (self.max_depth > parent.max_depth()).then(|| {
            format!("it allows chains {} deep, its parent at most {}", self.max_depth, parent.max_depth())
        })
    }

    fn time_misfit(&self, parent: &Link) -> Option<String> {
        if self.exp > parent.exp() {
            return Some(format!("it ends {} after its parent", Span::between(self.exp, parent.exp())));
        }
        (self.iat < parent.iat())
            .then(|| format!("it was made {} before its parent", Span::between(self.iat, parent.iat())))
    }

    fn binding_misfit(&self, parent: &Link) -> Option<String> {
        let texts = [
            ("tenant", self.tenant.as_str(), parent.tenant()),
            ("audience", self.audience.as_str(), parent.audience()),
        ];
        if let Some((what, own, above)) = texts.into_iter().find(|(_, own, above)| own != above) {
            return Some(format!("its {what} is `{own}`, its parent's `{above}`"));
        }
        if self.txn != *parent.txn() {
            return Some(format!(
                "its task is `{}`, its parent's `{}`",
                id::text(&self.txn),
                id::text(parent.txn())
            ));
        }
        ((self.purpose == BREAK_GLASS) != (parent.purpose() == BREAK_GLASS)).then(|| {
            format!(
                "its purpose is `{}`, its parent's `{}`: `{BREAK_GLASS}` is neither taken up nor dropped on the way",
                self.purpose,
                parent.purpose()
            )
        })
    }

    fn scope_misfit(&self, parent: &Link) -> Option<String> {
        let excess = self.scope.excess(parent.scope());
        (!excess.is_empty()).then(|| format!("it allows more than its parent: {}", excess.join("; ")))
    }

    fn approvals_misfit(&self, parent: &Link) -> Option<String> {
        (!Approvals::kept(self.approvals.as_ref(), parent.approvals())).then(|| {
            "it asks for fewer approvals than its parent: keep every tool, name no other approver, \
             and neither lower `m` nor raise `ttl`"
                .to_owned()
        })
    }
}

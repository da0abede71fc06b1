//! Root delegations (format §6): what the issuer signs on a principal's authority.

use ed25519_dalek::SigningKey;
use serde_json::{Map, Value, json};

use super::claims::{ClaimError, Claims, check, check_life, details, put};
use super::{Approvals, BREAK_GLASS, Source};
use crate::id::{self, Id};
use crate::jws::{self, Jwk};
use crate::limits::{CHAIN_DEPTH_MAX, ROOT_HUMAN_MAX_S, ROOT_SERVICE_MAX_S};
use crate::principal::{Holder, Principal, PrincipalKind};
use crate::scope::Scope;

/// A root delegation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// UUID of this token.
    pub jti: String,
    /// Who issued it, and where it may be used.
    pub issuer: String,
    /// Seconds.
    pub iat: u64,
    /// Seconds.
    pub nbf: u64,
    /// Seconds; the first second at which it no longer holds.
    pub exp: u64,
    /// The holder's key.
    pub cnf: Jwk,
    /// How deep a chain may grow below it.
    pub max_depth: u64,
    /// What it allows.
    pub scope: Scope,
    /// The tenant.
    pub tenant: String,
    /// The task.
    pub txn: Id,
    /// What for.
    pub purpose: String,
    /// On whose authority.
    pub principal: Principal,
    /// Who holds it.
    pub holder: Holder,
    /// What the issuer relied on.
    pub source: Source,
    /// The reason that a person gave; a break-glass root must have one.
    pub why: Option<String>,
    /// Digest string of the instruction.
    pub intent: Option<String>,
    /// Which acts need approvals as well.
    pub approvals: Option<Approvals>,
}

impl Root {
    /// Signs it with the issuer's key.
    pub fn sign(&self, issuer_key: &SigningKey) -> String {
        jws::sign(jws::DELEGATION, &self.to_claims(), issuer_key)
    }

    pub(super) fn to_claims(&self) -> Value {
        let mut own = Map::from_iter([
            ("tenant".to_owned(), json!(self.tenant)),
            ("txn".to_owned(), id::text(&self.txn).into()),
            ("purpose".to_owned(), json!(self.purpose)),
            ("prin".to_owned(), json!(self.principal)),
            ("hld".to_owned(), json!(self.holder)),
            ("src".to_owned(), self.source.to_json()),
        ]);
        put(&mut own, "why", self.why.clone().map(Value::String));
        put(&mut own, "intent", self.intent.clone().map(Value::String));
        put(&mut own, "apv", self.approvals.as_ref().map(Approvals::to_json));
        json!({
            "v": 1, "jti": self.jti, "iss": self.issuer, "aud": [self.issuer],
            "iat": self.iat, "nbf": self.nbf, "exp": self.exp, "cnf": {"jwk": self.cnf.to_json()},
            "del_depth": 0, "del_max_depth": self.max_depth, "authorization_details": details(&self.scope),
            "deeds": own,
        })
    }

    /// Reads the claims and checks the rules of a root (format §6).
    pub fn parse(claims: &Map<String, Value>) -> Result<Self, ClaimError> {
        let claims = Claims(claims);
        let own = claims.object("deeds")?;
        let root = Self {
            jti: claims.uuid_text("jti")?,
            issuer: claims.text("iss")?,
            iat: claims.number("iat")?,
            nbf: claims.number("nbf")?,
            exp: claims.number("exp")?,
            cnf: claims.bound_key()?,
            max_depth: claims.number("del_max_depth")?,
            scope: claims.scope()?,
            tenant: own.text("tenant")?,
            txn: own.uuid("txn")?,
            purpose: own.text("purpose")?,
            principal: own.principal("prin")?,
            holder: own.typed("hld")?,
            source: Source::parse(own)?,
            why: own.optional("why", Claims::text)?,
            intent: own.optional("intent", Claims::digest)?,
            approvals: Approvals::of(own)?,
        };
        claims.check_version()?;
        check(claims.sole_audience()? == root.issuer, "its audience is not its issuer alone")?;
        check(claims.number("del_depth")? == 0 && !claims.0.contains_key("par_hash"), "it is not a root")?;
        root.check_rules()?;
        Ok(root)
    }

    fn check_rules(&self) -> Result<(), ClaimError> {
        let own_authority = self.source.mandate().is_none();
        let longest = match self.principal.kind {
            PrincipalKind::Human | PrincipalKind::Unknown if own_authority => ROOT_HUMAN_MAX_S,
            _ => ROOT_SERVICE_MAX_S,
        };
        check(self.nbf <= self.exp, "it ends before it begins")?;
        check_life(self.iat, self.exp, longest)?;
        check(self.max_depth <= CHAIN_DEPTH_MAX, "it allows a deeper chain than the format")?;
        check(self.holder.key == self.cnf.thumbprint(), "its holder's key is not the key it is bound to")?;
        let signed_by_a_person = matches!(self.source, Source::KeyRequest(_))
            && self.principal.kind == PrincipalKind::Human
            && self.why.is_some();
        check(
            self.purpose != BREAK_GLASS || signed_by_a_person,
            "break-glass is for a person who signs for it and says why",
        )
    }
}

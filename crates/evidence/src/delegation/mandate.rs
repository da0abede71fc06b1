//! Mandates (format §6): a standing authority, under which services get short roots while nobody is there.

use ed25519_dalek::SigningKey;
use serde_json::{Map, Value, json};

use super::claims::{ClaimError, Claims, check, check_life, details, key_urn, put};
use super::{Approvals, BREAK_GLASS};
use crate::jws;
use crate::limits::{CHAIN_DEPTH_MAX, MANDATE_HOLDERS_MAX, MANDATE_MAX_S, ROOT_SERVICE_MAX_S};
use crate::principal::{self, Principal};
use crate::scope::Scope;

/// A mandate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mandate {
    /// UUID of this token.
    pub jti: String,
    /// Thumbprint of the key that signs it.
    pub key: String,
    /// The issuer whose roots it is for.
    pub audience: String,
    /// Seconds.
    pub iat: u64,
    /// Seconds.
    pub nbf: u64,
    /// Seconds; the first second at which it no longer holds.
    pub exp: u64,
    /// How deep a chain may grow below a root under it.
    pub max_depth: u64,
    /// What roots under it may allow.
    pub scope: Scope,
    /// The tenant.
    pub tenant: String,
    /// On whose authority; its `key` is [`Mandate::key`].
    pub principal: Principal,
    /// What for.
    pub purpose: String,
    /// `sub` of each registered principal of this issuer that may get roots.
    pub holders: Vec<String>,
    /// Longest life of a root under it, seconds.
    pub root_ttl: u64,
    /// Which acts need approvals as well.
    pub approvals: Option<Approvals>,
}

impl Mandate {
    /// Signs it with the principal's key.
    pub fn sign(&self, key: &SigningKey) -> String {
        jws::sign(jws::MANDATE, &self.to_claims(), key)
    }

    pub(super) fn to_claims(&self) -> Value {
        let mut own = Map::from_iter([
            ("tenant".to_owned(), json!(self.tenant)),
            ("prin".to_owned(), json!(self.principal)),
            ("purpose".to_owned(), json!(self.purpose)),
            ("hld".to_owned(), json!(self.holders)),
            ("root_ttl".to_owned(), json!(self.root_ttl)),
        ]);
        put(&mut own, "apv", self.approvals.as_ref().map(Approvals::to_json));
        json!({
            "v": 1, "jti": self.jti, "iss": key_urn(&self.key), "aud": self.audience,
            "iat": self.iat, "nbf": self.nbf, "exp": self.exp, "del_max_depth": self.max_depth,
            "authorization_details": details(&self.scope), "deeds": own,
        })
    }

    /// Reads the claims and checks the rules of a mandate (format §6).
    pub fn parse(claims: &Map<String, Value>) -> Result<Self, ClaimError> {
        let claims = Claims(claims);
        let own = claims.object("deeds")?;
        let mandate = Self {
            jti: claims.uuid_text("jti")?,
            key: claims.issuing_key()?,
            audience: claims.text("aud")?,
            iat: claims.number("iat")?,
            nbf: claims.number("nbf")?,
            exp: claims.number("exp")?,
            max_depth: claims.number("del_max_depth")?,
            scope: claims.scope()?,
            tenant: own.text("tenant")?,
            principal: own.principal("prin")?,
            purpose: own.text("purpose")?,
            holders: own.texts("hld", MANDATE_HOLDERS_MAX, principal::is_identifier)?,
            root_ttl: own.number("root_ttl")?,
            approvals: Approvals::of(own)?,
        };
        claims.check_version()?;
        mandate.check_rules()?;
        Ok(mandate)
    }

    fn check_rules(&self) -> Result<(), ClaimError> {
        check(self.nbf <= self.exp, "it ends before it begins")?;
        check_life(self.iat, self.exp, MANDATE_MAX_S)?;
        check(self.max_depth <= CHAIN_DEPTH_MAX, "it allows a deeper chain than the format")?;
        check(
            self.principal.key.as_ref() == Some(&self.key),
            "its principal's key is not the key that signs it",
        )?;
        check(
            (1..=ROOT_SERVICE_MAX_S).contains(&self.root_ttl),
            &format!("roots under it live from 1 to {ROOT_SERVICE_MAX_S} s"),
        )?;
        check(self.purpose != BREAK_GLASS, "break-glass is no purpose of a standing authority")
    }
}

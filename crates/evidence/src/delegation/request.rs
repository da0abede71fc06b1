//! Requests for root delegations (format §6): what a registered key signs to get one.

use ed25519_dalek::SigningKey;
use serde_json::{Map, Value, json};

use super::Approvals;
use super::claims::{ClaimError, Claims, check, check_life, details, key_urn, put};
use crate::id::{self, Id};
use crate::jws::{self, Jwk};
use crate::limits::REQUEST_MAX_S;
use crate::principal::{self, PrincipalKind};
use crate::scope::Scope;

/// A principal's signed request for a root delegation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootRequest {
    /// UUID of this request.
    pub jti: String,
    /// Thumbprint of the key that signs it.
    pub key: String,
    /// The issuer that is asked.
    pub audience: String,
    /// Seconds.
    pub iat: u64,
    /// Seconds.
    pub exp: u64,
    /// The key that the root is to be bound to.
    pub cnf: Jwk,
    /// Deepest chain wanted.
    pub max_depth: u64,
    /// What is to be allowed.
    pub scope: Scope,
    /// Life of the root, seconds.
    pub ttl: u64,
    /// The tenant.
    pub tenant: String,
    /// The task it continues, if any.
    pub txn: Option<Id>,
    /// What for.
    pub purpose: String,
    /// Who the principal says holds the key.
    pub holder: Option<(String, PrincipalKind)>,
    /// The reason that the principal gives.
    pub why: Option<String>,
    /// Digest string of the instruction.
    pub intent: Option<String>,
    /// Which acts need approvals as well.
    pub approvals: Option<Approvals>,
    /// Token digest of the mandate that it asks under.
    pub mandate: Option<String>,
}

impl RootRequest {
    /// Signs it with the registered key.
    pub fn sign(&self, key: &SigningKey) -> String {
        jws::sign(jws::ROOT_REQUEST, &self.to_claims(), key)
    }

    pub(super) fn to_claims(&self) -> Value {
        let mut own = Map::from_iter([
            ("tenant".to_owned(), self.tenant.clone().into()),
            ("purpose".to_owned(), self.purpose.clone().into()),
        ]);
        put(&mut own, "txn", self.txn.map(|txn| id::text(&txn).into()));
        put(&mut own, "hld", self.holder.as_ref().map(|(id, kind)| json!({"id": id, "kind": kind})));
        put(&mut own, "why", self.why.clone().map(Value::String));
        put(&mut own, "intent", self.intent.clone().map(Value::String));
        put(&mut own, "apv", self.approvals.as_ref().map(Approvals::to_json));
        put(&mut own, "mandate", self.mandate.clone().map(Value::String));
        json!({
            "v": 1, "jti": self.jti, "iss": key_urn(&self.key), "aud": self.audience,
            "iat": self.iat, "exp": self.exp, "cnf": {"jwk": self.cnf.to_json()}, "del_max_depth": self.max_depth,
            "authorization_details": details(&self.scope), "ttl": self.ttl, "deeds": own,
        })
    }

    /// Reads the claims and checks the rules of a request (format §6).
    pub fn parse(claims: &Map<String, Value>) -> Result<Self, ClaimError> {
        let claims = Claims(claims);
        let own = claims.object("deeds")?;
        let request = Self {
            jti: claims.uuid_text("jti")?,
            key: claims.issuing_key()?,
            audience: claims.text("aud")?,
            iat: claims.number("iat")?,
            exp: claims.number("exp")?,
            cnf: claims.bound_key()?,
            max_depth: claims.number("del_max_depth")?,
            scope: claims.scope()?,
            ttl: claims.number("ttl")?,
            tenant: own.text("tenant")?,
            txn: own.optional("txn", Claims::uuid)?,
            purpose: own.text("purpose")?,
            holder: own.optional("hld", named_holder)?,
            why: own.optional("why", Claims::text)?,
            intent: own.optional("intent", Claims::digest)?,
            approvals: Approvals::of(own)?,
            mandate: own.optional("mandate", Claims::text)?,
        };
        claims.check_version()?;
        check_life(request.iat, request.exp, REQUEST_MAX_S)?;
        Ok(request)
    }
}

fn named_holder(own: Claims<'_>, name: &str) -> Result<(String, PrincipalKind), ClaimError> {
    let holder = own.object(name)?;
    let kind = holder.typed("kind")?;
    let id = holder.text("id")?;
    check(holder.0.len() == 2 && principal::is_identifier(&id), "its holder is not an id and a kind")?;
    Ok((id, kind))
}

//! The claims of delegations, root requests and proofs of possession (format §6), parsed once into types.
//!
//! Parsing checks shape and the rules that concern one object alone. Whether an object is signed by the right key,
//! fits the objects around it and holds at a time is for `verify`.

use ed25519_dalek::SigningKey;
use serde_json::{Map, Value, json};

use crate::id::{self, Id};
use crate::jws::{self, Jwk};
use crate::limits::{
    CHAIN_DEPTH_MAX, JSON_INTEGER_MAX, POP_MAX_S, PRINCIPAL_ID_MAX_BYTES, REQUEST_MAX_S, ROOT_HUMAN_MAX_S,
    ROOT_SERVICE_MAX_S, SCOPE_STRING_MAX_BYTES,
};
use crate::principal::{Holder, Principal, PrincipalKind};
use crate::scope::Scope;

const DETAIL: &str = "attenuating_agent_token";
const THUMBPRINT_URN: &str = "urn:ietf:params:oauth:jwk-thumbprint:sha-256:";

/// Why claims are not those of the object they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ClaimError(String);

/// What stands behind a root delegation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A request signed by a registered key.
    KeyRequest {
        /// Thumbprint of that key.
        kid: String,
        /// `jti` of the request.
        jti: String,
        /// Token digest of the request.
        digest: String,
    },
    /// The operating system vouches for the user id of the peer, and for nothing else.
    PeerCredentials {
        /// The user id.
        uid: u64,
    },
}

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
    /// Why.
    pub purpose: String,
    /// On whose authority.
    pub principal: Principal,
    /// Who holds it.
    pub holder: Holder,
    /// What the issuer relied on.
    pub source: Source,
}

/// A principal's signed request for a root delegation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootRequest {
    /// UUID of this request.
    pub jti: String,
    /// Thumbprint of the principal's key.
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
    /// Why.
    pub purpose: String,
    /// Who the principal says holds the key.
    pub holder: Option<(String, PrincipalKind)>,
}

/// A proof of possession for one act.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pop {
    /// 128 bits of randomness, spelled as the signer likes.
    pub jti: String,
    /// Seconds.
    pub iat: u64,
    /// Seconds.
    pub exp: u64,
    /// The enforcement point.
    pub audience: String,
    /// Token digest of the leaf delegation.
    pub leaf: String,
    /// Tool URI.
    pub tool: String,
    /// base64url SHA-256 of the JCS of the arguments.
    pub args_digest: String,
    /// The act.
    pub act_id: Id,
    /// The holder's own counter for this key and audience.
    pub counter: u64,
}

impl Root {
    /// Signs it with the issuer's key.
    pub fn sign(&self, issuer_key: &SigningKey) -> String {
        jws::sign(jws::DELEGATION, &self.to_claims(), issuer_key)
    }

    fn to_claims(&self) -> Value {
        let source = match &self.source {
            Source::KeyRequest { kid, jti, digest } => json!({
                "t": "key-request", "iss": format!("{THUMBPRINT_URN}{kid}"), "kid": kid, "jti": jti, "d": digest}),
            Source::PeerCredentials { uid } => json!({"t": "peer-cred", "uid": uid}),
        };
        json!({
            "v": 1, "jti": self.jti, "iss": self.issuer, "aud": [self.issuer],
            "iat": self.iat, "nbf": self.nbf, "exp": self.exp, "cnf": {"jwk": self.cnf.to_json()},
            "del_depth": 0, "del_max_depth": self.max_depth, "authorization_details": details(&self.scope),
            "deeds": {"tenant": self.tenant, "txn": id::text(&self.txn), "purpose": self.purpose,
                "prin": self.principal, "hld": self.holder, "src": [source]},
        })
    }

    /// Reads the claims and checks the rules of a root.
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
            source: own.source()?,
        };
        check(claims.number("v")? == 1, "its version is not 1")?;
        check(claims.0.get("aud") == Some(&json!([root.issuer])), "its audience is not its issuer alone")?;
        check(claims.number("del_depth")? == 0 && claims.0.get("par_hash").is_none(), "it is not a root")?;
        root.check_rules()?;
        Ok(root)
    }

    fn check_rules(&self) -> Result<(), ClaimError> {
        let longest = match self.principal.kind {
            PrincipalKind::Human | PrincipalKind::Unknown => ROOT_HUMAN_MAX_S,
            _ => ROOT_SERVICE_MAX_S,
        };
        check(self.nbf <= self.exp, "it ends before it begins")?;
        check(
            self.exp.checked_sub(self.iat).is_some_and(|life| life <= longest),
            &format!("it lives longer than the {longest} s allowed"),
        )?;
        check(self.max_depth <= CHAIN_DEPTH_MAX, "it allows a deeper chain than the format")?;
        check(self.holder.key == self.cnf.thumbprint(), "its holder's key is not the key it is bound to")
    }
}

impl RootRequest {
    /// Signs it with the principal's key.
    pub fn sign(&self, key: &SigningKey) -> String {
        jws::sign(jws::ROOT_REQUEST, &self.to_claims(), key)
    }

    fn to_claims(&self) -> Value {
        let mut own = Map::from_iter([
            ("tenant".to_owned(), self.tenant.clone().into()),
            ("purpose".to_owned(), self.purpose.clone().into()),
        ]);
        if let Some(txn) = &self.txn {
            own.insert("txn".into(), id::text(txn).into());
        }
        if let Some((id, kind)) = &self.holder {
            own.insert("hld".into(), json!({"id": id, "kind": kind}));
        }
        json!({
            "v": 1, "jti": self.jti, "iss": format!("{THUMBPRINT_URN}{}", self.key), "aud": self.audience,
            "iat": self.iat, "exp": self.exp, "cnf": {"jwk": self.cnf.to_json()}, "del_max_depth": self.max_depth,
            "authorization_details": details(&self.scope), "ttl": self.ttl, "deeds": own,
        })
    }

    /// Reads the claims and checks the rules of a request.
    pub fn parse(claims: &Map<String, Value>) -> Result<Self, ClaimError> {
        let claims = Claims(claims);
        let own = claims.object("deeds")?;
        let issuer = claims.text("iss")?;
        let request = Self {
            jti: claims.uuid_text("jti")?,
            key: issuer
                .strip_prefix(THUMBPRINT_URN)
                .map(str::to_owned)
                .ok_or_else(|| ClaimError("its issuer is not the thumbprint of a key".into()))?,
            audience: claims.text("aud")?,
            iat: claims.number("iat")?,
            exp: claims.number("exp")?,
            cnf: claims.bound_key()?,
            max_depth: claims.number("del_max_depth")?,
            scope: claims.scope()?,
            ttl: claims.number("ttl")?,
            tenant: own.text("tenant")?,
            txn: own.0.contains_key("txn").then(|| own.uuid("txn")).transpose()?,
            purpose: own.text("purpose")?,
            holder: own.0.contains_key("hld").then(|| own.named_holder()).transpose()?,
        };
        check(claims.number("v")? == 1, "its version is not 1")?;
        check(
            request.exp.checked_sub(request.iat).is_some_and(|life| life <= REQUEST_MAX_S),
            &format!("it lives longer than the {REQUEST_MAX_S} s allowed"),
        )?;
        Ok(request)
    }
}

impl Pop {
    /// Signs it with the leaf's key.
    pub fn sign(&self, key: &SigningKey) -> String {
        let claims = json!({
            "jti": self.jti, "iat": self.iat, "exp": self.exp, "aud": self.audience, "gth": self.leaf, "tool": self.tool,
            "hta_s256": self.args_digest, "act_id": id::text(&self.act_id), "ctr": self.counter,
        });
        jws::sign(jws::POP, &claims, key)
    }

    /// Reads the claims and checks the rules of a proof.
    pub fn parse(claims: &Map<String, Value>) -> Result<Self, ClaimError> {
        let claims = Claims(claims);
        let pop = Self {
            jti: claims.text("jti")?,
            iat: claims.number("iat")?,
            exp: claims.number("exp")?,
            audience: claims.text("aud")?,
            leaf: claims.text("gth")?,
            tool: claims.text("tool")?,
            args_digest: claims.text("hta_s256")?,
            act_id: claims.uuid("act_id")?,
            counter: claims.number("ctr")?,
        };
        check(
            pop.exp.checked_sub(pop.iat).is_some_and(|life| life <= POP_MAX_S),
            &format!("it lives longer than the {POP_MAX_S} s allowed"),
        )?;
        Ok(pop)
    }
}

/// The token digest's input for arguments: base64url SHA-256 of their JCS. Absent arguments are `{}`.
pub fn args_digest(args: &Map<String, Value>) -> String {
    let canonical = crate::json::jcs(&Value::Object(args.clone()));
    crate::base64url::encode(&crate::digest::Digest::of(&canonical).0)
}

fn details(scope: &Scope) -> Value {
    json!([{"type": DETAIL, "tools": scope.to_json()}])
}

fn check(holds: bool, otherwise: &str) -> Result<(), ClaimError> {
    if holds { Ok(()) } else { Err(ClaimError(otherwise.to_owned())) }
}

/// Reads claims by name and type; a missing claim and one of another type get the same plain error.
struct Claims<'a>(&'a Map<String, Value>);

impl<'a> Claims<'a> {
    fn wrong(name: &str, expected: &str) -> ClaimError {
        ClaimError(format!("its claim `{name}` is not {expected}"))
    }

    fn text(&self, name: &str) -> Result<String, ClaimError> {
        let text = self.0.get(name).and_then(Value::as_str);
        let text = text.filter(|text| text.len() <= SCOPE_STRING_MAX_BYTES && !text.is_empty());
        text.map(str::to_owned).ok_or_else(|| Self::wrong(name, "a text of acceptable length"))
    }

    fn number(&self, name: &str) -> Result<u64, ClaimError> {
        let number = self.0.get(name).and_then(Value::as_u64).filter(|number| *number <= JSON_INTEGER_MAX);
        number.ok_or_else(|| Self::wrong(name, "a whole number within 2^53"))
    }

    fn uuid(&self, name: &str) -> Result<Id, ClaimError> {
        let text = self.0.get(name).and_then(Value::as_str);
        text.and_then(id::parse).ok_or_else(|| Self::wrong(name, "a lower-case UUID"))
    }

    fn uuid_text(&self, name: &str) -> Result<String, ClaimError> {
        self.uuid(name).map(|id| id::text(&id))
    }

    fn object(&self, name: &str) -> Result<Claims<'a>, ClaimError> {
        self.0.get(name).and_then(Value::as_object).map(Claims).ok_or_else(|| Self::wrong(name, "an object"))
    }

    fn bound_key(&self) -> Result<Jwk, ClaimError> {
        let key = self.object("cnf")?;
        let jwk =
            key.0.get("jwk").filter(|_| key.0.len() == 1).ok_or_else(|| Self::wrong("cnf", "one key"))?;
        Jwk::parse(jwk).map_err(|error| ClaimError(format!("its bound key: {error}")))
    }

    fn scope(&self) -> Result<Scope, ClaimError> {
        let wrong = || Self::wrong("authorization_details", "exactly one detail of the expected type");
        let list = self.0.get("authorization_details").and_then(Value::as_array).ok_or_else(wrong)?;
        let [Value::Object(detail)] = list.as_slice() else { return Err(wrong()) };
        if detail.len() != 2 || detail.get("type").and_then(Value::as_str) != Some(DETAIL) {
            return Err(wrong());
        }
        Scope::parse(detail.get("tools").ok_or_else(wrong)?).map_err(|error| ClaimError(error.to_string()))
    }

    fn typed<T: serde::de::DeserializeOwned>(&self, name: &str) -> Result<T, ClaimError> {
        let value = self.0.get(name).cloned().unwrap_or_default();
        // a list would be taken for an object, member by member
        if value.is_array() {
            return Err(Self::wrong(name, "as the format says"));
        }
        serde_json::from_value(value).map_err(|_| Self::wrong(name, "as the format says"))
    }

    fn principal(&self, name: &str) -> Result<Principal, ClaimError> {
        let principal: Principal = self.typed(name)?;
        check(
            principal.is_well_formed(),
            "its principal's identifiers are empty, too long or not printable",
        )?;
        Ok(principal)
    }

    fn named_holder(&self) -> Result<(String, PrincipalKind), ClaimError> {
        let holder = self.object("hld")?;
        let kind = holder.typed("kind")?;
        let id = holder.text("id")?;
        check(
            holder.0.len() == 2 && id.len() <= PRINCIPAL_ID_MAX_BYTES && !id.chars().any(char::is_control),
            "its holder is not an id and a kind",
        )?;
        Ok((id, kind))
    }

    fn source(&self) -> Result<Source, ClaimError> {
        let wrong = || Self::wrong("src", "exactly one source that this version knows");
        let list = self.0.get("src").and_then(Value::as_array).ok_or_else(wrong)?;
        let [Value::Object(source)] = list.as_slice() else { return Err(wrong()) };
        let source = Claims(source);
        match source.text("t")?.as_str() {
            "key-request" => {
                let kid = source.text("kid")?;
                check(source.text("iss")? == format!("{THUMBPRINT_URN}{kid}"), "its source names two keys")?;
                Ok(Source::KeyRequest { kid, jti: source.uuid_text("jti")?, digest: source.text("d")? })
            }
            "peer-cred" => Ok(Source::PeerCredentials { uid: source.number("uid")? }),
            _ => Err(wrong()),
        }
    }
}

#[cfg(test)]
mod tests;

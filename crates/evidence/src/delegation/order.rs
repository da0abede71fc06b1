//! Orders (format §6): revocations, and halts with their resumption, signed by a registered key.

use ed25519_dalek::SigningKey;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::claims::{ClaimError, Claims, check, check_life, key_urn, put};
use crate::jws;
use crate::limits::ORDER_MAX_S;
use crate::{base64url, id};

/// What a revocation takes away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// One delegation or mandate, by token digest.
    Delegation,
    /// Every delegation of a task, by `txn`.
    Lineage,
    /// Every delegation that is bound to a key, by thumbprint.
    HolderKey,
    /// A principal's authority.
    Principal,
    /// The roots that an issuer key signed, by thumbprint.
    IssuerKey,
    /// Everything of a tenant.
    Tenant,
}

impl What {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Delegation, Self::Lineage, Self::HolderKey, Self::Principal, Self::IssuerKey, Self::Tenant];

    /// The word used in JSON and text.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Delegation => "delegation",
            Self::Lineage => "lineage",
            Self::HolderKey => "holder-key",
            Self::Principal => "principal",
            Self::IssuerKey => "issuer-key",
            Self::Tenant => "tenant",
        }
    }

    /// What this word means.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|what| what.as_str() == text)
    }
}

/// What is revoked.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Target {
    /// A digest, thumbprint, task or tenant.
    Text(String),
    /// A principal.
    Principal {
        /// Who vouches for it.
        iss: String,
        /// The identifier there.
        sub: String,
    },
}

impl Target {
    /// Reads the target of a revocation of `what`: for a principal {iss, sub}, else text of the form that names it.
    pub fn from_json(value: &Value, what: What) -> Result<Self, ClaimError> {
        if what == What::Principal {
            let members = value.as_object().ok_or_else(|| wrong(what, "an object {iss, sub}"))?;
            let (iss, sub) = Claims(members).identity(0)?;
            return Ok(Self::Principal { iss, sub });
        }
        let members = Map::from_iter([("d".to_owned(), value.clone())]);
        let text = Claims(&members).text("d")?;
        let is_digest = || base64url::decode_32(&text).is_some();
        match what {
            What::Delegation if !is_digest() => Err(wrong(what, "a token digest")),
            What::HolderKey | What::IssuerKey if !is_digest() => Err(wrong(what, "the thumbprint of a key")),
            What::Lineage if id::parse(&text).is_none() => Err(wrong(what, "a task: a lower-case UUID")),
            _ => Ok(Self::Text(text)),
        }
    }

    /// As `d` of a revocation or `target` of its entry.
    pub fn to_json(&self) -> Value {
        json!(self)
    }
}

fn wrong(what: What, expected: &str) -> ClaimError {
    ClaimError(format!("the target of a revocation of a {} is not {expected}", what.as_str()))
}

/// A signed revocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// UUID of this order.
    pub jti: String,
    /// Thumbprint of the key that signs it.
    pub key: String,
    /// The issuer that it is for.
    pub audience: String,
    /// Seconds.
    pub iat: u64,
    /// Seconds; until then it may be handed in.
    pub exp: u64,
    /// What it takes away.
    pub what: What,
    /// Which.
    pub target: Target,
    /// From when on, seconds; before or after `iat`.
    pub eff: u64,
    /// Why.
    pub why: String,
    /// The tenant.
    pub tenant: String,
}

impl Revocation {
    /// Signs it with a registered key.
    pub fn sign(&self, key: &SigningKey) -> String {
        jws::sign(jws::REVOCATION, &self.to_claims(), key)
    }

    pub(super) fn to_claims(&self) -> Value {
        json!({
            "v": 1, "jti": self.jti, "iss": key_urn(&self.key), "aud": self.audience, "iat": self.iat,
            "exp": self.exp, "k": self.what.as_str(), "d": self.target.to_json(), "eff": self.eff,
            "why": self.why, "deeds": {"tenant": self.tenant},
        })
    }

    /// Reads the claims and checks the rules of a revocation (format §6).
    pub fn parse(claims: &Map<String, Value>) -> Result<Self, ClaimError> {
        let claims = Claims(claims);
        let what = What::parse(&claims.text("k")?)
            .ok_or_else(|| Claims::wrong("k", "a kind of revocation that this version knows"))?;
        let revocation = Self {
            jti: claims.uuid_text("jti")?,
            key: claims.issuing_key()?,
            audience: claims.text("aud")?,
            iat: claims.number("iat")?,
            exp: claims.number("exp")?,
            what,
            target: Target::from_json(claims.0.get("d").unwrap_or(&Value::Null), what)?,
            eff: claims.number("eff")?,
            why: claims.text("why")?,
            tenant: claims.object("deeds")?.text("tenant")?,
        };
        claims.check_version()?;
        check_life(revocation.iat, revocation.exp, ORDER_MAX_S)?;
        Ok(revocation)
    }
}

/// Whom a halt stops.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "t", rename_all = "lowercase", deny_unknown_fields)]
pub enum On {
    /// Every chain with a link whose holder has this id.
    Agent {
        /// The id.
        id: String,
    },
    /// Every chain whose root names this principal.
    Principal {
        /// Who vouches for it.
        iss: String,
        /// The identifier there.
        sub: String,
    },
    /// Every chain.
    All,
}

impl On {
    /// Reads `on` of a halt or of its entry.
    pub fn from_json(value: &Value) -> Result<Self, ClaimError> {
        let wrong = || Claims::wrong("on", "an agent, a principal or all");
        let members = value.as_object().ok_or_else(wrong)?;
        let claims = Claims(members);
        match members.get("t").and_then(Value::as_str) {
            Some("agent") if members.len() == 2 => Ok(Self::Agent { id: claims.text("id")? }),
            Some("principal") => claims.identity(1).map(|(iss, sub)| Self::Principal { iss, sub }),
            Some("all") if members.len() == 1 => Ok(Self::All),
            _ => Err(wrong()),
        }
    }

    /// As `on` of a halt or of its entry.
    pub fn to_json(&self) -> Value {
        json!(self)
    }
}

/// What an order about a halt does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HaltAct {
    /// Stops.
    Halt,
    /// Lifts a halt.
    Resume,
}

impl HaltAct {
    /// The word used as `act`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Halt => "halt",
            Self::Resume => "resume",
        }
    }

    /// The word used as `change` of the entry (kind 20).
    pub fn change(self) -> &'static str {
        match self {
            Self::Halt => "halted",
            Self::Resume => "resumed",
        }
    }
}

/// A signed order to halt or to resume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HaltOrder {
    /// UUID of this order.
    pub jti: String,
    /// Thumbprint of the key that signs it.
    pub key: String,
    /// The issuer that it is for.
    pub audience: String,
    /// Seconds.
    pub iat: u64,
    /// Seconds; until then it may be handed in.
    pub exp: u64,
    /// Halt or resume.
    pub act: HaltAct,
    /// Whom.
    pub on: On,
    /// Why.
    pub why: String,
    /// The tenant.
    pub tenant: String,
    /// Log index of the halt that is lifted: of a resume, and there always.
    pub halt: Option<u64>,
}

impl HaltOrder {
    /// Signs it with a registered key.
    pub fn sign(&self, key: &SigningKey) -> String {
        jws::sign(jws::HALT, &self.to_claims(), key)
    }

    pub(super) fn to_claims(&self) -> Value {
        let mut own = Map::from_iter([("tenant".to_owned(), json!(self.tenant))]);
        put(&mut own, "halt", self.halt.map(Value::from));
        json!({
            "v": 1, "jti": self.jti, "iss": key_urn(&self.key), "aud": self.audience, "iat": self.iat,
            "exp": self.exp, "act": self.act.as_str(), "on": self.on.to_json(), "why": self.why, "deeds": own,
        })
    }

    /// Reads the claims and checks the rules of a halt (format §6).
    pub fn parse(claims: &Map<String, Value>) -> Result<Self, ClaimError> {
        let claims = Claims(claims);
        let own = claims.object("deeds")?;
        let act = match claims.text("act")?.as_str() {
            "halt" => HaltAct::Halt,
            "resume" => HaltAct::Resume,
            _ => return Err(Claims::wrong("act", "`halt` or `resume`")),
        };
        let order = Self {
            jti: claims.uuid_text("jti")?,
            key: claims.issuing_key()?,
            audience: claims.text("aud")?,
            iat: claims.number("iat")?,
            exp: claims.number("exp")?,
            act,
            on: On::from_json(claims.0.get("on").unwrap_or(&Value::Null))?,
            why: claims.text("why")?,
            tenant: own.text("tenant")?,
            halt: own.optional("halt", Claims::number)?,
        };
        claims.check_version()?;
        check_life(order.iat, order.exp, ORDER_MAX_S)?;
        check(
            order.halt.is_some() == (order.act == HaltAct::Resume),
            "an order to resume names the halt that it lifts, and an order to halt names none",
        )?;
        Ok(order)
    }
}

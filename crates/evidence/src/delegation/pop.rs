//! Proofs of possession (format §6): what the leaf key signs for every act.

use ed25519_dalek::SigningKey;
use serde_json::{Map, Value, json};

use super::claims::{ClaimError, Claims, check_life};
use crate::id::{self, Id};
use crate::jws;
use crate::limits::POP_MAX_S;

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

impl Pop {
    /// Signs it with the leaf's key.
    pub fn sign(&self, key: &SigningKey) -> String {
        let claims = json!({
            "jti": self.jti, "iat": self.iat, "exp": self.exp, "aud": self.audience, "gth": self.leaf,
            "tool": self.tool, "hta_s256": self.args_digest, "act_id": id::text(&self.act_id), "ctr": self.counter,
        });
        jws::sign(jws::POP, &claims, key)
    }

    /// Reads the claims and checks the rules of a proof (format §6).
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
        check_life(pop.iat, pop.exp, POP_MAX_S)?;
        Ok(pop)
    }
}

//! JWS compact, the one profile that deeds signs with (format §6): `alg` exactly `Ed25519`.
//!
//! Parsing checks the shape before any signature, and the signature before any claim is believed:
//! [`Signed::parse`] gives an object whose claims can be read only through [`Signed::verify`] or, where a key
//! must be selected first, [`Signed::unverified`].

use core::fmt;

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use serde_json::{Map, Value, json};

use crate::base64url;
use crate::digest::Digest;
use crate::json;
use crate::limits::TOKEN_MAX_BYTES;

/// `typ` of a root or child delegation.
pub const DELEGATION: &str = "deeds-delegation+jwt";
/// `typ` of the request for a root delegation.
pub const ROOT_REQUEST: &str = "deeds-root-request+jwt";
/// `typ` of a proof of possession.
pub const POP: &str = "deeds-pop+jwt";
/// `typ` of a standing authority.
pub const MANDATE: &str = "deeds-mandate+jwt";
/// `typ` of a signed revocation.
pub const REVOCATION: &str = "deeds-revocation+jwt";
/// `typ` of a signed order to halt or resume.
pub const HALT: &str = "deeds-halt+jwt";
/// `typ` of the proof that a key to be registered is held.
pub const KEY_PROOF: &str = "deeds-key-proof+jwt";

/// Why bytes are not an acceptable signed object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JwsError {
    /// Longer than [`TOKEN_MAX_BYTES`].
    #[error("a signed object of {0} bytes is longer than the {TOKEN_MAX_BYTES} allowed")]
    TooLong(usize),
    /// Shape, header or payload outside the profile.
    #[error("not an acceptable signed object: {0}")]
    Malformed(String),
    /// The header names another key.
    #[error("signed with key `{found}`, not with `{expected}`")]
    OtherKey {
        /// `kid` of the header.
        found: String,
        /// Thumbprint of the key it was checked with.
        expected: String,
    },
    /// The signature does not hold.
    #[error("the signature does not hold")]
    Signature,
}

/// A public Ed25519 key as a JWK (RFC 8037), strictly parsed.
#[derive(Clone, PartialEq, Eq)]
pub struct Jwk(VerifyingKey);

impl Jwk {
    /// The public half of a signing key.
    pub fn of(key: &SigningKey) -> Self {
        Self(key.verifying_key())
    }

    /// Wraps a public key; nothing for a weak one, whose signatures prove nothing.
    pub fn from_bytes(bytes: &[u8; 32]) -> Option<Self> {
        if !is_canonical(bytes) {
            return None;
        }
        VerifyingKey::from_bytes(bytes).ok().filter(|key| !key.is_weak()).map(Self)
    }

    /// Parses a JWK with exactly the members `alg`, `crv`, `kty`, `x`.
    pub fn parse(value: &Value) -> Result<Self, JwsError> {
        let wrong =
            || JwsError::Malformed("a key must be a public Ed25519 JWK with alg, crv, kty and x".into());
        let members = value.as_object().filter(|members| members.len() == 4).ok_or_else(wrong)?;
        let text = |name| members.get(name).and_then(Value::as_str);
        if (text("alg"), text("crv"), text("kty")) != (Some("Ed25519"), Some("Ed25519"), Some("OKP")) {
            return Err(wrong());
        }
        text("x").and_then(base64url::decode_32).and_then(|x| Self::from_bytes(&x)).ok_or_else(wrong)
    }

    /// The JWK as JSON.
    pub fn to_json(&self) -> Value {
        json!({"alg": "Ed25519", "crv": "Ed25519", "kty": "OKP", "x": base64url::encode(self.0.as_bytes())})
    }

    /// The RFC 7638 SHA-256 thumbprint, base64url.
    pub fn thumbprint(&self) -> String {
        let members = json!({"crv": "Ed25519", "kty": "OKP", "x": base64url::encode(self.0.as_bytes())});
        base64url::encode(&Digest::of(&json::jcs(&members)).0)
    }

    /// The key itself.
    pub fn key(&self) -> &VerifyingKey {
        &self.0
    }
}

/// Whether the y coordinate is below the field's prime 2^255 - 19 (RFC 8032 §5.1.3): one key, one spelling.
fn is_canonical(bytes: &[u8; 32]) -> bool {
    let [first, middle @ .., last] = bytes;
    !(last & 0x7f == 0x7f && middle.iter().all(|byte| *byte == 0xff) && *first >= 0xed)
}

impl fmt::Debug for Jwk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Jwk({})", self.thumbprint())
    }
}

/// Signs `payload` as an object of type `typ`.
pub fn sign(typ: &str, payload: &Value, key: &SigningKey) -> String {
    let header = json!({"alg": "Ed25519", "kid": Jwk::of(key).thumbprint(), "typ": typ});
    let input =
        format!("{}.{}", base64url::encode(&json::jcs(&header)), base64url::encode(&json::jcs(payload)));
    let signature = key.sign(input.as_bytes());
    format!("{input}.{}", base64url::encode(&signature.to_bytes()))
}

/// A signed object of the right shape, whose signature has not been checked yet.
#[derive(Debug, Clone)]
pub struct Signed {
    input: String,
    signature: [u8; 64],
    kid: String,
    claims: Map<String, Value>,
}

impl Signed {
    /// Parses a JWS compact of type `typ`.
    pub fn parse(text: &str, typ: &str) -> Result<Self, JwsError> {
        if text.len() > TOKEN_MAX_BYTES {
            return Err(JwsError::TooLong(text.len()));
        }
        let (input, signature) =
            text.rsplit_once('.').ok_or_else(|| malformed("three segments are expected"))?;
        let (header, payload) =
            input.split_once('.').ok_or_else(|| malformed("three segments are expected"))?;
        let kid = parse_header(&segment(header)?, typ)?;
        let signature = segment(signature)?.try_into().map_err(|_| malformed("a signature has 64 bytes"))?;
        let claims = json::parse(&segment(payload)?).map_err(|error| malformed(&error.to_string()))?;
        let Value::Object(claims) = claims else { return Err(malformed("the payload is not an object")) };
        Ok(Self { input: input.to_owned(), signature, kid, claims })
    }

    /// The thumbprint of the key that the header names.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// Digest of the signing input: the token's name. (Never of the whole token: a signature can have twins.)
    pub fn digest(&self) -> String {
        base64url::encode(&Digest::of(self.input.as_bytes()).0)
    }

    /// Claims that nothing vouches for yet: for selecting a key, and for reading what was checked elsewhere.
    pub fn unverified(&self) -> &Map<String, Value> {
        &self.claims
    }

    /// The claims, if `key` signed them.
    pub fn verify(&self, key: &Jwk) -> Result<&Map<String, Value>, JwsError> {
        let expected = key.thumbprint();
        if self.kid != expected {
            return Err(JwsError::OtherKey { found: self.kid.clone(), expected });
        }
        key.0
            .verify_strict(self.input.as_bytes(), &Signature::from_bytes(&self.signature))
            .map_err(|_| JwsError::Signature)?;
        Ok(&self.claims)
    }
}

fn parse_header(bytes: &[u8], typ: &str) -> Result<String, JwsError> {
    let header = json::parse(bytes).map_err(|error| malformed(&error.to_string()))?;
    let members = header.as_object().filter(|members| members.len() == 3);
    let members = members.ok_or_else(|| malformed("the header has members other than alg, kid and typ"))?;
    let text = |name| members.get(name).and_then(Value::as_str);
    if text("alg") != Some("Ed25519") {
        return Err(malformed("the algorithm is not Ed25519"));
    }
    if text("typ") != Some(typ) {
        return Err(malformed(&format!("the type is not {typ}")));
    }
    text("kid").map(str::to_owned).ok_or_else(|| malformed("the header names no key"))
}

fn segment(text: &str) -> Result<Vec<u8>, JwsError> {
    base64url::decode(text)
        .filter(|bytes| !bytes.is_empty())
        .ok_or_else(|| malformed("a segment is not base64url without padding"))
}

fn malformed(what: &str) -> JwsError {
    JwsError::Malformed(what.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(n: u8) -> SigningKey {
        SigningKey::from_bytes(&[n; 32])
    }

    #[test]
    fn thumbprint_known_answer() {
        let jwk = Jwk::parse(&json!({"alg":"Ed25519","crv":"Ed25519","kty":"OKP",
            "x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}));
        assert_eq!(jwk.unwrap().thumbprint(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }

    #[test]
    fn the_example_of_rfc_7638_hashes_as_it_says() {
        // §3.1, an RSA key: no key of ours, but the same JCS and the same hash
        let n = concat!(
            "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRX",
            "jBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaS",
            "qzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksIN",
            "HaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
        );
        let members = json!({"n": n, "kty": "RSA", "e": "AQAB"});
        let thumbprint = base64url::encode(&Digest::of(&json::jcs(&members)).0);
        assert_eq!(thumbprint, "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    }

    #[test]
    fn a_token_is_named_by_what_is_signed_not_by_the_signature() {
        let token = sign(DELEGATION, &json!({"a": 1}), &key(1));
        let (input, _) = token.rsplit_once('.').unwrap();
        let twin = format!("{input}.{}", base64url::encode(&[7; 64]));
        let digest = |token: &str| Signed::parse(token, DELEGATION).unwrap().digest();
        assert_eq!(digest(&twin), digest(&token));
        assert_eq!(digest(&token), base64url::encode(&Digest::of(input.as_bytes()).0));
        assert_ne!(digest(&sign(DELEGATION, &json!({"a": 2}), &key(1))), digest(&token));
    }

    #[test]
    fn signed_objects_verify_for_their_key_and_type_only() {
        let token = sign(POP, &json!({"a": 1}), &key(1));
        let signed = Signed::parse(&token, POP).unwrap();
        assert_eq!(signed.verify(&Jwk::of(&key(1))).unwrap().get("a"), Some(&json!(1)));
        assert!(matches!(signed.verify(&Jwk::of(&key(2))), Err(JwsError::OtherKey { .. })));
        assert!(Signed::parse(&token, DELEGATION).is_err());
    }

    #[test]
    fn headers_outside_the_profile_are_refused() {
        let with_header = |header: &str| {
            let token = sign(POP, &json!({}), &key(1));
            let (_, rest) = token.split_once('.').unwrap();
            Signed::parse(&format!("{}.{rest}", base64url::encode(header.as_bytes())), POP)
        };
        for header in [
            r#"{"alg":"none","kid":"k","typ":"deeds-pop+jwt"}"#,
            r#"{"alg":"HS256","kid":"k","typ":"deeds-pop+jwt"}"#,
            r#"{"alg":"EdDSA","kid":"k","typ":"deeds-pop+jwt"}"#,
            r#"{"alg":"Ed25519","kid":"k","typ":"deeds-pop+jwt","jku":"http://127.0.0.1/"}"#,
            r#"{"alg":"Ed25519","kid":"k","typ":"deeds-pop+jwt","crit":[]}"#,
            r#"{"alg":"Ed25519","alg":"Ed25519","kid":"k","typ":"deeds-pop+jwt"}"#,
            r#"{"alg":"Ed25519","typ":"deeds-pop+jwt"}"#,
        ] {
            assert!(with_header(header).is_err(), "{header}");
        }
    }

    #[test]
    fn size_is_limited_at_the_boundary() {
        let fitting = |len: usize| {
            let mut pad = String::new();
            loop {
                let token = sign(POP, &json!({"pad": pad}), &key(1));
                if token.len() >= len {
                    return token;
                }
                pad.push_str(&"x".repeat((len - token.len()) / 2 + 1));
            }
        };
        let token = fitting(TOKEN_MAX_BYTES + 1);
        assert!(matches!(Signed::parse(&token, POP), Err(JwsError::TooLong(_))));
        assert!(Signed::parse(&sign(POP, &json!({"pad": "x".repeat(12_000)}), &key(1)), POP).is_ok());
    }

    #[test]
    fn weak_keys_are_no_keys() {
        assert!(Jwk::from_bytes(&[0; 32]).is_none());
        let mut identity = [0; 32];
        identity[0] = 1;
        assert!(Jwk::from_bytes(&identity).is_none());
        let mut beyond = [0xff; 32];
        (beyond[0], beyond[31]) = (0xf0, 0x7f);
        assert!(
            Jwk::from_bytes(&beyond).is_none(),
            "a coordinate at or above the prime has another spelling"
        );
    }

    proptest! {
        #[test]
        fn no_mutation_verifies(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let token = sign(POP, &json!({"a": 1, "b": "text"}), &key(1));
            let mut bytes = token.clone().into_bytes();
            let at = at.index(bytes.len());
            prop_assume!(bytes[at] != byte);
            bytes[at] = byte;
            if let Ok(text) = String::from_utf8(bytes)
                && let Ok(signed) = Signed::parse(&text, POP)
            {
                prop_assert!(signed.verify(&Jwk::of(&key(1))).is_err());
            }
        }

        #[test]
        fn never_panics(text in "\\PC{0,200}") {
            let _ = Signed::parse(&text, POP);
        }
    }
}

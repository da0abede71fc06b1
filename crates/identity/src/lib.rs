//! Credentials to principals: local key principals and the peer credentials of a socket.
//!
//! Nothing a client says about itself arrives here. What arrives is a signed request, checked with a key that was
//! registered by a logged event, or what the operating system says of the other end of a socket.

#![forbid(unsafe_code)]

mod register;

use evidence::jws::{self, Jwk, Signed};
use evidence::label::{Assurance, Grade};
use evidence::principal::{Principal, PrincipalKind};
pub use register::{Register, Registered};
use serde_json::Value;
use verify::chain::{self, Anchor, Failure, Mandated, Request, Step};

/// What the kernel says of the process at the other end of a Unix socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Its user id.
    pub uid: u32,
    /// Its process id, where the kernel tells.
    pub pid: Option<i32>,
}

/// On whose authority a root is issued, and how well that is known.
#[derive(Debug, Clone)]
pub struct Identified {
    /// Who: the one who signed the request, or whose mandate the request was made under.
    pub principal: Principal,
    /// How the identity is known.
    pub assurance: Assurance,
    /// What evidence the root delegation will rest on.
    pub grade: Grade,
    /// The signed request, where there is one. Its `principal` is who signed it, under a mandate somebody else than
    /// the principal of the root.
    pub request: Option<Request>,
    /// The mandate that the request was made under, where it names one.
    pub mandated: Option<Mandated>,
    /// What a reader must not conclude.
    pub caveat: &'static str,
}

/// The principal that a user id stands for: nobody in particular.
///
/// The kernel attests the uid. That a person sits behind it, and which, is inferred at best, so the kind is
/// unknown and the label `inferred`.
pub fn peer_principal(issuer: &str, uid: u32) -> Principal {
    Principal { kind: PrincipalKind::Unknown, iss: issuer.to_owned(), sub: format!("uid:{uid}"), key: None }
}

/// What a reader must not conclude from how a root came about: by a signed request or the uid of the peer alone,
/// and, where `by_mandate`, under a standing authority.
pub fn caveat(grade: Grade, by_mandate: bool) -> &'static str {
    match (grade, by_mandate) {
        (Grade::KeySigned, true) => {
            "a service asked under a standing authority; the principal's signature is on that, not on this"
        }
        (Grade::KeySigned, false) => {
            "the signature proves the key; a key file that others can read does not prove the person"
        }
        (Grade::IssuerOnly, _) => "the kernel attests the user id; the person behind it is inferred",
    }
}

/// Identifies the authority behind a new root: by a signed root request where one is given, else by the peer.
///
/// A request that does not verify is an error: it never falls back to the weaker credential. One that names a mandate
/// stands on that: `mandate` finds its token by digest, and the mandate is checked again with the keys that are
/// registered now. That the root then issued is under it is `verify::chain::within_request`.
pub fn identify(
    register: &Register,
    anchor: &Anchor<'_>,
    root_request: Option<&str>,
    mandate: impl FnOnce(&str) -> Option<String>,
    peer: Peer,
    now_s: u64,
) -> Result<Identified, Failure> {
    let Some(token) = root_request else {
        return Ok(Identified {
            principal: peer_principal(anchor.issuer, peer.uid),
            assurance: Assurance::Inferred,
            grade: Grade::IssuerOnly,
            request: None,
            mandated: None,
            caveat: caveat(Grade::IssuerOnly, false),
        });
    };
    let registered = |kid: &str| register.get(kid).map(|known| (known.principal.clone(), known.key.clone()));
    let request = chain::root_request(token, anchor.issuer, registered)?;
    chain::request_fresh(&request.request, now_s)?;
    let mandated = match &request.request.mandate {
        Some(digest) => {
            let token = mandate(digest).ok_or_else(|| unknown_mandate(digest))?;
            Some(chain::mandate(&token, anchor, registered)?)
        }
        None => None,
    };
    let behind = mandated.as_ref().map_or(&request.principal, |mandated| &mandated.mandate.principal);
    Ok(Identified {
        principal: behind.clone(),
        assurance: Assurance::IssuerAsserted,
        grade: Grade::KeySigned,
        caveat: caveat(Grade::KeySigned, mandated.is_some()),
        request: Some(request),
        mandated,
    })
}

fn unknown_mandate(digest: &str) -> Failure {
    let digest: String = digest.chars().take(64).collect();
    let text = format!("no mandate `{digest}` is known to this log: hand it in with `deeds mandate` first");
    Failure { step: Step::MandateMissing, text }
}

/// Why a key is not registered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegistrationError {
    /// The name cannot stand for a principal.
    #[error(
        "`{0}` cannot name a principal: use 1 to 64 of a-z, 0-9, `.`, `_`, `@` and `-`, starting with a letter or digit"
    )]
    Name(String),
    /// The key is not a public Ed25519 JWK.
    #[error("the key of `{0}` is not usable: {1}")]
    Key(String, String),
    /// The proof that the key is held does not hold.
    #[error("the proof that the key of `{0}` is held does not hold: {1}; sign it again with that key")]
    Proof(String, String),
}

/// Checks the name, the key and the proof that it is held; gives the principal and its key.
///
/// The proof is a `deeds-key-proof+jwt` with `aud` (this issuer), `sub` (the name) and `iat` (at most 300 s old).
pub fn registration(
    issuer: &str,
    kind: PrincipalKind,
    sub: &str,
    key: &Value,
    proof: &str,
    now_s: u64,
) -> Result<(Principal, Jwk), RegistrationError> {
    if !is_name(sub) {
        return Err(RegistrationError::Name(sub.chars().take(80).collect()));
    }
    let key = Jwk::parse(key).map_err(|error| RegistrationError::Key(sub.to_owned(), error.to_string()))?;
    let wrong = |why: &str| RegistrationError::Proof(sub.to_owned(), why.to_owned());
    let signed = Signed::parse(proof, jws::KEY_PROOF).map_err(|error| wrong(&error.to_string()))?;
    let claims = signed.verify(&key).map_err(|error| wrong(&error.to_string()))?;
    let text = |name| claims.get(name).and_then(Value::as_str);
    if text("aud") != Some(issuer) || text("sub") != Some(sub) {
        return Err(wrong("it was made for another log or another name"));
    }
    let iat = claims.get("iat").and_then(Value::as_u64).unwrap_or_default();
    if now_s.abs_diff(iat) > evidence::limits::REQUEST_MAX_S {
        return Err(wrong("it is too old, or the two clocks differ"));
    }
    let principal =
        Principal { kind, iss: issuer.to_owned(), sub: sub.to_owned(), key: Some(key.thumbprint()) };
    Ok((principal, key))
}

fn is_name(sub: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    (1..=64).contains(&sub.len())
        && sub.bytes().all(|byte| plain(byte) || b"._@-".contains(&byte))
        && sub.bytes().next().is_some_and(plain)
}

#[cfg(test)]
mod tests;

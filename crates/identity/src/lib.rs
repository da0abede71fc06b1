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
use verify::chain::{self, Failure, Request};

/// What the kernel says of the process at the other end of a Unix socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Its user id.
    pub uid: u32,
    /// Its process id, where the kernel tells.
    pub pid: Option<i32>,
}

/// On whose authority a run acts, and how well that is known.
#[derive(Debug, Clone)]
pub struct Identified {
    /// Who.
    pub principal: Principal,
    /// How the identity is known.
    pub assurance: Assurance,
    /// What evidence the root delegation will rest on.
    pub grade: Grade,
    /// The principal's own signed request, where there is one.
    pub request: Option<Request>,
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

/// Identifies the authority behind a new run: by a signed root request where one is given, else by the peer.
///
/// A request that does not verify is an error: it never falls back to the weaker credential.
pub fn identify(
    register: &Register,
    issuer: &str,
    root_request: Option<&str>,
    peer: Peer,
    now_s: u64,
) -> Result<Identified, Failure> {
    let Some(token) = root_request else {
        return Ok(Identified {
            principal: peer_principal(issuer, peer.uid),
            assurance: Assurance::Inferred,
            grade: Grade::IssuerOnly,
            request: None,
            caveat: "the kernel attests the user id; the person behind it is inferred",
        });
    };
    let request = chain::root_request(token, issuer, |kid| {
        register.get(kid).map(|known| (known.principal.clone(), known.key.clone()))
    })?;
    chain::request_fresh(&request.request, now_s)?;
    Ok(Identified {
        principal: request.principal.clone(),
        assurance: Assurance::IssuerAsserted,
        grade: Grade::KeySigned,
        request: Some(request),
        caveat: "the signature proves the key; a key file that others can read does not prove the person",
    })
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

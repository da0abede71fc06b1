//! A signed request identifies its key's principal; nothing weaker ever replaces it.

use ed25519_dalek::SigningKey;
use evidence::delegation::RootRequest;
use evidence::{Scope, id};
use serde_json::json;
use verify::chain::Step;

use super::*;

const ISSUER: &str = "deeds://deeds.local/0123456789abcdef";
const NOW_S: u64 = 1_795_000_000;
const PEER: Peer = Peer { uid: 1000, pid: Some(1) };

fn key(n: u8) -> SigningKey {
    SigningKey::from_bytes(&[n; 32])
}

fn proof(sub: &str, iat: u64, signer: u8) -> String {
    jws::sign(jws::KEY_PROOF, &json!({"aud": ISSUER, "sub": sub, "iat": iat}), &key(signer))
}

fn register(sub: &str) -> Register {
    let jwk = Jwk::of(&key(1)).to_json();
    let (principal, key) =
        registration(ISSUER, PrincipalKind::Human, sub, &jwk, &proof(sub, NOW_S, 1), NOW_S).unwrap();
    let mut register = Register::new();
    register.add(principal, key, 2);
    register
}

fn request(signer: u8, iat: u64) -> String {
    RootRequest {
        jti: id::text(&id::uuid_v7(1, &[1; 10])),
        key: Jwk::of(&key(signer)).thumbprint(),
        audience: ISSUER.into(),
        iat,
        exp: iat + 300,
        cnf: Jwk::of(&key(9)),
        max_depth: 0,
        scope: Scope::server("stdio:fs"),
        ttl: 3600,
        tenant: "local".into(),
        txn: None,
        purpose: "tests".into(),
        holder: None,
    }
    .sign(&key(signer))
}

#[test]
fn a_registered_key_identifies_its_principal() {
    let register = register("ciso");
    let identified = identify(&register, ISSUER, Some(&request(1, NOW_S)), PEER, NOW_S).unwrap();
    assert_eq!(identified.principal.sub, "ciso");
    assert_eq!(identified.grade, Grade::KeySigned);
}

#[test]
fn a_request_that_fails_never_falls_back_to_the_peer() {
    let mut register = register("ciso");
    let step = |register: &Register, token: &str, now| {
        identify(register, ISSUER, Some(token), PEER, now).map(|_| ()).map_err(|failure| failure.step)
    };
    assert_eq!(step(&register, &request(2, NOW_S), NOW_S), Err(Step::RequestKey));
    assert_eq!(step(&register, "not a token", NOW_S), Err(Step::RequestMalformed));
    assert!(step(&register, &request(1, NOW_S), NOW_S + 400).is_err());
    assert!(step(&register, &request(1, NOW_S), NOW_S - 400).is_err());
    assert!(register.retire(&Jwk::of(&key(1)).thumbprint(), 7));
    assert_eq!(step(&register, &request(1, NOW_S), NOW_S), Err(Step::RequestKey));
}

#[test]
fn a_user_id_is_nobody_in_particular() {
    let identified = identify(&Register::new(), ISSUER, None, PEER, NOW_S).unwrap();
    assert_eq!(identified.principal.kind, PrincipalKind::Unknown);
    assert_eq!(identified.principal.sub, "uid:1000");
    assert_eq!(identified.assurance, Assurance::Inferred);
    assert_eq!(identified.grade, Grade::IssuerOnly);
}

#[test]
fn registrations_need_a_name_a_key_and_a_fresh_proof() {
    let jwk = Jwk::of(&key(1)).to_json();
    let attempt = |sub: &str, jwk: &Value, proof: &str| {
        registration(ISSUER, PrincipalKind::Service, sub, jwk, proof, NOW_S).map(|_| ())
    };
    assert_eq!(attempt("svc-1", &jwk, &proof("svc-1", NOW_S, 1)), Ok(()));
    for name in ["", "uid:1000", "Ciso", "-x", "a b", &"x".repeat(65)] {
        assert!(
            matches!(attempt(name, &jwk, &proof(name, NOW_S, 1)), Err(RegistrationError::Name(_))),
            "{name}"
        );
    }
    assert!(attempt(&"x".repeat(64), &jwk, &proof(&"x".repeat(64), NOW_S, 1)).is_ok());
    assert!(matches!(attempt("a", &json!({}), &proof("a", NOW_S, 1)), Err(RegistrationError::Key(..))));
    for wrong in [proof("b", NOW_S, 1), proof("a", NOW_S, 2), proof("a", NOW_S - 301, 1), "x".into()] {
        assert!(matches!(attempt("a", &jwk, &wrong), Err(RegistrationError::Proof(..))));
    }
}

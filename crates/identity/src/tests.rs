//! A signed request identifies its key's principal; nothing weaker ever replaces it.

use ed25519_dalek::SigningKey;
use evidence::delegation::{Mandate, RootRequest};
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

fn issuer_key() -> Jwk {
    Jwk::of(&key(5))
}

fn identified(register: &Register, token: Option<&str>, now_s: u64) -> Result<Identified, Failure> {
    under(register, token, &[], now_s)
}

fn under(
    register: &Register,
    token: Option<&str>,
    mandates: &[&str],
    now_s: u64,
) -> Result<Identified, Failure> {
    let issuer_key = issuer_key();
    let anchor = Anchor { issuer: ISSUER, issuer_key: &issuer_key, tenant: "local" };
    let digest = |token: &str| Signed::parse(token, jws::MANDATE).unwrap().digest();
    let find =
        |wanted: &str| mandates.iter().find(|token| digest(token) == wanted).map(|token| (*token).to_owned());
    identify(register, &anchor, token, find, PEER, now_s)
}

fn request(signer: u8, iat: u64) -> String {
    plain_request(signer, iat).sign(&key(signer))
}

fn plain_request(signer: u8, iat: u64) -> RootRequest {
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
        why: None,
        intent: None,
        approvals: None,
        mandate: None,
    }
}

#[test]
fn a_registered_key_identifies_its_principal() {
    let register = register("ciso");
    let identified = identified(&register, Some(&request(1, NOW_S)), NOW_S).unwrap();
    assert_eq!(identified.principal.sub, "ciso");
    assert_eq!(identified.grade, Grade::KeySigned);
}

#[test]
fn a_request_that_fails_never_falls_back_to_the_peer() {
    let mut register = register("ciso");
    let step = |register: &Register, token: &str, now| {
        identified(register, Some(token), now).map(|_| ()).map_err(|failure| failure.step)
    };
    assert_eq!(step(&register, &request(2, NOW_S), NOW_S), Err(Step::RequestKey));
    assert_eq!(step(&register, "not a token", NOW_S), Err(Step::RequestMalformed));
    assert!(step(&register, &request(1, NOW_S), NOW_S + 400).is_err());
    assert!(step(&register, &request(1, NOW_S), NOW_S - 400).is_err());
    assert!(register.retire(&Jwk::of(&key(1)).thumbprint(), 7));
    assert_eq!(step(&register, &request(1, NOW_S), NOW_S), Err(Step::RequestKey));
}

#[test]
fn a_request_under_a_mandate_stands_on_who_signed_that() {
    let mut register = register("ciso");
    let service = Jwk::of(&key(3)).to_json();
    let (principal, jwk) = registration(
        ISSUER,
        PrincipalKind::Service,
        "playbook",
        &service,
        &proof("playbook", NOW_S, 3),
        NOW_S,
    )
    .unwrap();
    register.add(principal, jwk, 3);
    let person = register.get(&Jwk::of(&key(1)).thumbprint()).unwrap().principal.clone();
    let mandate = Mandate {
        jti: id::text(&id::uuid_v7(1, &[2; 10])),
        key: Jwk::of(&key(1)).thumbprint(),
        audience: ISSUER.into(),
        iat: NOW_S,
        nbf: NOW_S,
        exp: NOW_S + 1_000,
        max_depth: 2,
        scope: Scope::server("stdio:fs"),
        tenant: "local".into(),
        principal: person.clone(),
        purpose: "tests".into(),
        holders: vec!["playbook".into()],
        root_ttl: 600,
        approvals: None,
    }
    .sign(&key(1));
    let digest = Signed::parse(&mandate, jws::MANDATE).unwrap().digest();
    let asked = RootRequest { mandate: Some(digest), ..plain_request(3, NOW_S) }.sign(&key(3));
    let found = under(&register, Some(&asked), &[&mandate], NOW_S).unwrap();
    assert_eq!(found.principal, person);
    assert_eq!(found.request.unwrap().principal.sub, "playbook");
    assert!(found.mandated.is_some() && found.caveat.contains("standing authority"));

    let step = |register: &Register, mandates: &[&str]| {
        under(register, Some(&asked), mandates, NOW_S).map(|_| ()).map_err(|failure| failure.step)
    };
    assert_eq!(step(&register, &[]), Err(Step::MandateMissing));
    register.retire(&Jwk::of(&key(1)).thumbprint(), 9);
    assert_eq!(step(&register, &[&mandate]), Err(Step::MandateKey), "whoever signed it is gone");
}

#[test]
fn a_user_id_is_nobody_in_particular() {
    let identified = identified(&Register::new(), None, NOW_S).unwrap();
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

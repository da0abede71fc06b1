//! Signed claims round-trip, and every rule refuses what breaks it.

mod chains;
mod objects;
mod roots;

use ed25519_dalek::SigningKey;
use serde_json::json;

use super::*;
use crate::id;
use crate::jws::{self, Jwk};
use crate::principal::{Holder, Principal, PrincipalKind};
use crate::scope::Scope;

const ISSUER: &str = "deeds://deeds.local/0123456789abcdef";
const NOW: u64 = 1_795_000_000;

fn key(n: u8) -> SigningKey {
    SigningKey::from_bytes(&[n; 32])
}

fn thumbprint(n: u8) -> String {
    Jwk::of(&key(n)).thumbprint()
}

fn uuid(n: u8) -> String {
    id::text(&id::uuid_v7(1, &[n; 10]))
}

fn holder(id: &str, asr: &str, n: u8) -> Holder {
    Holder {
        id: id.into(),
        inst: "1".into(),
        kind: PrincipalKind::Agent,
        asr: asr.into(),
        key: thumbprint(n),
    }
}

fn approvals() -> Approvals {
    Approvals {
        tools: vec!["stdio:fs#write".into(), "stdio:pay#*".into()],
        m: 2,
        by: vec!["group:finance".into(), "ciso".into()],
        ttl: 600,
    }
}

fn named(n: u8) -> Named {
    Named { kid: thumbprint(n), jti: uuid(n), digest: format!("digest {n}") }
}

/// A root bound to key 2, issued by key 1 on the word of the operating system.
fn root() -> Root {
    Root {
        jti: uuid(1),
        issuer: ISSUER.into(),
        iat: NOW,
        nbf: NOW,
        exp: NOW + 3_600,
        cnf: Jwk::of(&key(2)),
        max_depth: 3,
        scope: Scope::server("stdio:fs"),
        tenant: "local".into(),
        txn: id::uuid_v7(1, &[2; 10]),
        purpose: "tests".into(),
        principal: Principal {
            kind: PrincipalKind::Human,
            iss: ISSUER.into(),
            sub: "ciso".into(),
            key: Some(thumbprint(3)),
        },
        holder: holder("agent", "inferred", 2),
        source: Source::PeerCredentials { uid: 1000 },
        why: None,
        intent: None,
        approvals: None,
    }
}

fn object(value: Value) -> Map<String, Value> {
    let Value::Object(members) = value else { panic!("claims are an object") };
    members
}

/// Changes that each break an object: the name of a member below the claims, and what it becomes.
fn all_refused<T: core::fmt::Debug>(
    claims: &Value,
    parse: impl Fn(&Map<String, Value>) -> Result<T, ClaimError>,
    changes: &[(&str, Value)],
) {
    assert!(parse(&object(claims.clone())).is_ok(), "{claims}");
    for (pointer, value) in changes {
        let mut changed = claims.clone();
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        let parent = changed.pointer_mut(parent).and_then(Value::as_object_mut).unwrap();
        match value {
            // absent
            Value::String(text) if text == "-" => drop(parent.remove(name).unwrap()),
            value => drop(parent.insert(name.into(), value.clone())),
        }
        let parsed = parse(&object(changed));
        assert!(parsed.is_err(), "{pointer} = {value}: {parsed:?}");
    }
}

fn absent() -> Value {
    "-".into()
}

//! Signed revocations: altered claims under a registered key; one that is taken comes back from its own claims.

use crate::draw::{
    ISSUER, MADE, Result, TENANT, Unstructured, alter, key, mutate, principal, thumbprint, urn, uuid,
};
use evidence::delegation::Revocation;
use evidence::jws::{self, Jwk, Signed};
use serde_json::{Value, json};
use verify::chain::{Anchor, revocation};

/// Takes one input.
pub fn input(data: &[u8]) {
    if let Ok(claims) = evidence::json::parse(data) {
        let _ = take(&jws::sign(jws::REVOCATION, &claims, &key(1)));
    }
    let _ = run(&mut Unstructured::new(data));
}

fn take(token: &str) -> Option<Revocation> {
    let issuer_key = Jwk::of(&key(0));
    let anchor = Anchor { issuer: ISSUER, issuer_key: &issuer_key, tenant: TENANT };
    let registered = |kid: &str| {
        let principal = serde_json::from_value(principal()).ok()?;
        (kid == thumbprint(1)).then(|| (principal, Jwk::of(&key(1))))
    };
    revocation(token, &anchor, registered).ok().map(|(order, _)| order)
}

fn run(u: &mut Unstructured<'_>) -> Result<()> {
    let (mut claims, sound) = draw(u)?;
    let altered = alter(u, &mut claims)?;
    let token = jws::sign(jws::REVOCATION, &claims, &key(1));
    let taken = take(&token);
    assert!(taken.is_some() || altered || !sound, "a sound order was refused");
    let Some(taken) = taken else { return Ok(()) };
    assert!(taken.audience == ISSUER && taken.tenant == TENANT && taken.key == thumbprint(1));
    assert!(taken.exp.saturating_sub(taken.iat) <= evidence::limits::ORDER_MAX_S);
    let signed = Signed::parse(&taken.sign(&key(1)), jws::REVOCATION).expect("it was just signed");
    assert_eq!(Revocation::parse(signed.unverified()), Ok(taken));
    assert!(take(&mutate(u, &token)?).is_none(), "a mutated order was taken");
    Ok(())
}

/// Claims, and whether they are sound.
fn draw(u: &mut Unstructured<'_>) -> Result<(Value, bool)> {
    let targets = [
        ("delegation", json!(thumbprint(3))),
        ("lineage", json!(uuid(99))),
        ("holder-key", json!(thumbprint(2))),
        ("principal", json!({"iss": ISSUER, "sub": "ana"})),
        ("issuer-key", json!(thumbprint(0))),
        ("tenant", json!(TENANT)),
    ];
    // Now and then a target of another kind.
    let ((what, own), (_, other)) = (u.choose(&targets)?, u.choose(&targets)?);
    let (target, eff) = (if u.ratio(1, 4)? { other } else { own }, u.arbitrary::<u64>()?);
    let claims = json!({
        "v": 1, "jti": uuid(1), "iss": urn(1), "aud": ISSUER, "iat": MADE, "exp": MADE + 300, "k": what,
        "d": target, "eff": eff, "why": "lost", "deeds": {"tenant": TENANT},
    });
    Ok((claims, target == own && eff <= evidence::limits::JSON_INTEGER_MAX))
}

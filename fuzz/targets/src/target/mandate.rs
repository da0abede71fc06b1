//! Mandates: altered claims under the principal's signature; one that is taken names that principal and keeps its
//! limits, and comes back from its own claims.

use crate::draw::{
    ISSUER, Result, TENANT, Unstructured, alter, key, mandate, mutate, principal, scope, thumbprint,
};
use evidence::delegation::Mandate;
use evidence::jws::{self, Jwk, Signed};
use evidence::limits::{MANDATE_MAX_S, ROOT_SERVICE_MAX_S};
use evidence::{Principal, Scope};
use verify::chain::Anchor;

/// Takes one input.
pub fn input(data: &[u8]) {
    if let Ok(claims) = evidence::json::parse(data) {
        let _ = take(&jws::sign(jws::MANDATE, &claims, &key(1)));
    }
    let _ = run(&mut Unstructured::new(data));
}

fn ana() -> Principal {
    serde_json::from_value(principal()).expect("a principal")
}

fn take(token: &str) -> Option<Mandate> {
    let issuer_key = Jwk::of(&key(0));
    let anchor = Anchor { issuer: ISSUER, issuer_key: &issuer_key, tenant: TENANT };
    let registered = |kid: &str| (kid == thumbprint(1)).then(|| (ana(), Jwk::of(&key(1))));
    verify::chain::mandate(token, &anchor, registered).ok().map(|mandated| mandated.mandate)
}

fn run(u: &mut Unstructured<'_>) -> Result<()> {
    let scope = scope(u)?;
    let mut claims = mandate(&scope);
    let altered = alter(u, &mut claims)?;
    let token = jws::sign(jws::MANDATE, &claims, &key(1));
    let taken = take(&token);
    assert!(taken.is_some() || altered || Scope::parse(&scope).is_err(), "a sound mandate was refused");
    let Some(taken) = taken else { return Ok(()) };
    assert!(taken.principal.same(&ana()) && taken.tenant == TENANT && taken.audience == ISSUER);
    assert!(taken.exp.saturating_sub(taken.iat) <= MANDATE_MAX_S);
    assert!((1..=ROOT_SERVICE_MAX_S).contains(&taken.root_ttl));
    let signed = Signed::parse(&taken.sign(&key(1)), jws::MANDATE).expect("it was just signed");
    assert_eq!(Mandate::parse(signed.unverified()), Ok(taken));
    assert!(take(&mutate(u, &token)?).is_none(), "a mutated mandate was taken");
    Ok(())
}

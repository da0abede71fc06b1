//! One delegation: as text that nothing vouches for, and as altered claims under a good signature.

use crate::draw::{ISSUER, Result, TENANT, Unstructured, alter, key, mutate, root, scope};
use evidence::Scope;
use evidence::delegation::Link;
use evidence::jws::{self, Jwk, Signed};
use verify::chain::{Anchor, chain};

/// Takes one input.
pub fn input(data: &[u8]) {
    let issuer_key = Jwk::of(&key(0));
    let anchor = Anchor { issuer: ISSUER, issuer_key: &issuer_key, tenant: TENANT };
    if let Ok(text) = core::str::from_utf8(data) {
        assert!(verify::chain::root(text, &anchor).is_err(), "nobody has the issuer's key");
    }
    if let Ok(claims) = evidence::json::parse(data) {
        check(&jws::sign(jws::DELEGATION, &claims, &key(0)), &anchor);
    }
    let _ = run(&mut Unstructured::new(data), &anchor);
}

fn run(u: &mut Unstructured<'_>, anchor: &Anchor<'_>) -> Result<()> {
    let scope = scope(u)?;
    let mut claims = root(&scope);
    let altered = alter(u, &mut claims)?;
    let token = jws::sign(jws::DELEGATION, &claims, &key(0));
    let accepted = check(&token, anchor);
    assert!(accepted || altered || Scope::parse(&scope).is_err(), "a sound root was refused");
    if accepted {
        assert!(verify::chain::root(&mutate(u, &token)?, anchor).is_err(), "a mutated token verified");
    }
    Ok(())
}

/// Whether the token is a root; what it says then is what signing it again would say.
fn check(token: &str, anchor: &Anchor<'_>) -> bool {
    let Ok(accepted) = verify::chain::root(token, anchor) else { return false };
    assert_eq!(chain(&[token], anchor).as_ref(), Ok(&accepted));
    let again = accepted.root().sign(&key(0));
    let signed = Signed::parse(&again, jws::DELEGATION).expect("it was just signed");
    assert_eq!(Link::parse(signed.unverified()).as_ref(), Ok(&accepted.leaf().claims));
    assert!(accepted.root().max_depth <= evidence::limits::CHAIN_DEPTH_MAX);
    true
}

//! A chain of links, each altered or not, and an act under it: whatever the leaf permits every link above it permits,
//! what a holder makes with `delegate` verifies, and no mutated chain does.

use crate::draw::{
    ISSUER, MADE, Result, TENANT, Unstructured, alter, arguments, child, key, mutate, root, scope, tool, uuid,
};
use evidence::delegation::{Narrowing, What, delegate};
use evidence::jws::{self, Jwk, Signed};
use evidence::limits::CHAIN_LINKS_MAX;
use evidence::principal::PrincipalKind;
use evidence::{Scope, id};
use serde_json::Value;
use verify::chain::{Anchor, Chain, Known, Step, chain, covered, in_force};
use verify::orders::Orders;

/// Takes one input.
pub fn input(data: &[u8]) {
    let _ = run(&mut Unstructured::new(data));
}

fn run(u: &mut Unstructured<'_>) -> Result<()> {
    let issuer_key = Jwk::of(&key(0));
    let anchor = Anchor { issuer: ISSUER, issuer_key: &issuer_key, tenant: TENANT };
    let Drawn { tokens, scope, sound } = draw(u)?;
    let chain = verify::chain::chain(&tokens, &anchor);
    assert!(chain.is_ok() || !sound, "a sound chain was refused: {chain:?}");
    let Ok(chain) = chain else { return Ok(()) };
    assert_eq!(chain.count(), tokens.len());
    narrows(u, &chain)?;
    holds(u, &chain)?;
    grows(u, &tokens, &scope, &chain, &anchor)?;
    let mut mutated = tokens;
    let at = u.choose_index(mutated.len())?;
    mutated[at] = mutate(u, &mutated[at])?;
    assert!(verify::chain::chain(&mutated, &anchor).is_err(), "a mutated chain verified");
    Ok(())
}

struct Drawn {
    tokens: Vec<String>,
    /// Of the last link, unless that was altered.
    scope: Value,
    /// Nothing was altered that has to be as it is.
    sound: bool,
}

/// Links signed by the keys that should sign them.
fn draw(u: &mut Unstructured<'_>) -> Result<Drawn> {
    let count = u.int_in_range(1..=10_u8)?;
    let (mut tokens, mut tools, mut parent) = (Vec::new(), scope(u)?, String::new());
    let mut sound = Scope::parse(&tools).is_ok() && usize::from(count) <= CHAIN_LINKS_MAX;
    for depth in 0..count {
        if depth > 0 && u.ratio(1, 3)? {
            sound &= !alter(u, &mut tools)?;
        }
        let mut claims = if depth == 0 { root(&tools) } else { child(depth, &parent, &tools) };
        if u.ratio(1, 4)? {
            sound &= !alter(u, &mut claims)?;
        }
        let signer = if depth == 0 { 0 } else { 1 + depth };
        let token = jws::sign(jws::DELEGATION, &claims, &key(signer));
        parent = Signed::parse(&token, jws::DELEGATION).map(|signed| signed.digest()).unwrap_or_default();
        tokens.push(token);
    }
    Ok(Drawn { tokens, scope: tools, sound })
}

fn narrows(u: &mut Unstructured<'_>, chain: &Chain) -> Result<()> {
    for _ in 0..4 {
        let (tool, args) = (tool(u)?, arguments(u)?);
        let permits = |scope: &Scope| scope.permits(&tool, &args).is_ok();
        let leaf = permits(chain.leaf().claims.scope());
        assert!(!leaf || chain.links().all(|link| permits(link.claims.scope())));
        assert!(leaf || covered(chain, &tool, Some(&args)).is_err());
    }
    Ok(())
}

fn holds(u: &mut Unstructured<'_>, chain: &Chain) -> Result<()> {
    assert!(chain.links().all(|link| chain.exp() <= link.claims.exp()));
    let at_s = MADE + u.int_in_range(0..=4_000)?;
    let mut orders = Orders::default();
    let known = |orders: &_| {
        let known = Known { registered: &|_| true, owner: &|_| None, orders, root_logged_s: None };
        in_force(chain, at_s, &known)
    };
    let before = known(&orders);
    assert!(before.is_err() || at_s < chain.exp());
    let digests: Vec<&str> = chain.digests().collect();
    let target = evidence::delegation::Target::Text((*u.choose(&digests)?).to_owned());
    orders.revoke(7, What::Delegation, target, MADE + u.int_in_range(0..=4_000)?);
    let effective = orders.revocations().all(|(_, _, _, eff)| eff <= at_s);
    let expected = if effective { Err(Step::Revoked) } else { Ok(()) };
    assert_eq!(before.clone().and_then(|()| known(&orders)).map_err(|failure| failure.step), {
        before.map_err(|failure| failure.step).and(expected)
    });
    Ok(())
}

/// What the leaf's holder makes of it verifies below it.
fn grows(
    u: &mut Unstructured<'_>,
    tokens: &[String],
    scope: &Value,
    above: &Chain,
    anchor: &Anchor<'_>,
) -> Result<()> {
    let (Ok(holder), Ok(next)) = (u8::try_from(tokens.len() + 1), u8::try_from(tokens.len() + 2)) else {
        return Ok(());
    };
    let mut asked = scope.clone();
    alter(u, &mut asked)?;
    let narrowing = Narrowing {
        jti: id::parse(&uuid(60)).unwrap_or_default(),
        iat: MADE + u.int_in_range(0..=4_000)?,
        ttl: u.int_in_range(0..=10_000)?,
        cnf: Jwk::of(&key(next)),
        max_depth: u.ratio(1, 3)?.then_some(u.int_in_range(0..=9)?),
        scope: Scope::parse(&asked).ok(),
        purpose: u.ratio(1, 4)?.then(|| "other".to_owned()),
        holder: ("agent:next".to_owned(), PrincipalKind::Agent, "i".to_owned()),
        handoff: u.ratio(1, 4)?.then_some("go on"),
        approvals: None,
    };
    let Ok(token) = delegate(tokens, &key(holder), &narrowing) else { return Ok(()) };
    let longer: Vec<&str> = tokens.iter().map(String::as_str).chain([token.as_str()]).collect();
    match chain(&longer, anchor) {
        Ok(longer) => assert_eq!(longer.count(), above.count() + 1),
        Err(failure) => panic!("a child that was made does not verify: {failure}"),
    }
    Ok(())
}

//! Orders to halt and to resume: altered claims under a registered key; one that is taken comes back from its own
//! claims.

use crate::draw::{
    ISSUER, MADE, Result, TENANT, Unstructured, alter, key, mutate, principal, thumbprint, urn, uuid,
};
use evidence::delegation::HaltOrder;
use evidence::jws::{self, Jwk, Signed};
use serde_json::{Value, json};
use verify::chain::{Anchor, halt};

/// Takes one input.
pub fn input(data: &[u8]) {
    if let Ok(claims) = evidence::json::parse(data) {
        let _ = take(&jws::sign(jws::HALT, &claims, &key(1)));
    }
    let _ = run(&mut Unstructured::new(data));
}

fn take(token: &str) -> Option<HaltOrder> {
    let issuer_key = Jwk::of(&key(0));
    let anchor = Anchor { issuer: ISSUER, issuer_key: &issuer_key, tenant: TENANT };
    let registered = |kid: &str| {
        let principal = serde_json::from_value(principal()).ok()?;
        (kid == thumbprint(1)).then(|| (principal, Jwk::of(&key(1))))
    };
    halt(token, &anchor, registered).ok().map(|(order, _)| order)
}

fn run(u: &mut Unstructured<'_>) -> Result<()> {
    let (mut claims, sound) = draw(u)?;
    let altered = alter(u, &mut claims)?;
    let token = jws::sign(jws::HALT, &claims, &key(1));
    let taken = take(&token);
    assert!(taken.is_some() || altered || !sound, "a sound order was refused");
    let Some(taken) = taken else { return Ok(()) };
    assert!(taken.audience == ISSUER && taken.tenant == TENANT && taken.key == thumbprint(1));
    assert!(taken.exp.saturating_sub(taken.iat) <= evidence::limits::ORDER_MAX_S);
    let signed = Signed::parse(&taken.sign(&key(1)), jws::HALT).expect("it was just signed");
    assert_eq!(HaltOrder::parse(signed.unverified()), Ok(taken));
    assert!(take(&mutate(u, &token)?).is_none(), "a mutated order was taken");
    Ok(())
}

/// Claims, and whether they are sound.
fn draw(u: &mut Unstructured<'_>) -> Result<(Value, bool)> {
    let on = [
        json!({"t": "agent", "id": "agent:2"}),
        json!({"t": "principal", "iss": ISSUER, "sub": "ana"}),
        json!({"t": "all"}),
    ];
    let act = u.choose(&["halt", "resume"])?;
    let mut order = json!({
        "v": 1, "jti": uuid(1), "iss": urn(1), "aud": ISSUER, "iat": MADE, "exp": MADE + 300, "act": act,
        "on": u.choose(&on)?, "why": "stop", "deeds": {"tenant": TENANT},
    });
    let (names_a_halt, halt) = (u.ratio(7, 8)? == (*act == "resume"), u.arbitrary::<u64>()?);
    if names_a_halt {
        order["deeds"]["halt"] = json!(halt);
    }
    let sound = names_a_halt == (*act == "resume") && halt <= evidence::limits::JSON_INTEGER_MAX;
    Ok((order, sound))
}

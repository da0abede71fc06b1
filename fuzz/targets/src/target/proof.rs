//! Proofs of possession: altered claims under the holder's signature prove an act only where they name it.

use crate::draw::{
    ISSUER, MADE, Result, SERVER, TENANT, Unstructured, alter, arguments, key, mutate, root, uuid,
};
use evidence::delegation::args_digest;
use evidence::id;
use evidence::jws::{self, Jwk};
use serde_json::json;
use verify::chain::{Act, Anchor, Chain, possession, signed_proof};

/// Takes one input.
pub fn input(data: &[u8]) {
    let issuer_key = Jwk::of(&key(0));
    let anchor = Anchor { issuer: ISSUER, issuer_key: &issuer_key, tenant: TENANT };
    let token = jws::sign(jws::DELEGATION, &root(&json!({format!("{SERVER}#*"): {}})), &key(0));
    let chain = verify::chain::root(&token, &anchor).expect("the root is sound");
    if let Ok(text) = core::str::from_utf8(data) {
        assert!(signed_proof(&chain, text).is_err(), "nobody has the holder's key");
    }
    if let Ok(claims) = evidence::json::parse(data) {
        let _ = signed_proof(&chain, &jws::sign(jws::POP, &claims, &key(2)));
    }
    let _ = run(&mut Unstructured::new(data), &chain);
}

fn run(u: &mut Unstructured<'_>, chain: &Chain) -> Result<()> {
    let (tool, args, act_id) =
        (format!("{SERVER}#read"), arguments(u)?, id::parse(&uuid(50)).unwrap_or_default());
    let digest = args_digest(&args);
    let act = Act {
        tool: &tool,
        args: u.ratio(3, 4)?.then_some(&args),
        args_digest: &digest,
        act_id,
        at_ms: (MADE + u.int_in_range(0..=200)?) * 1_000,
    };
    let mut claims = json!({
        "jti": "nonce", "iat": MADE + 60, "exp": MADE + 120, "aud": ISSUER, "gth": chain.leaf().digest, "tool": tool,
        "hta_s256": digest, "act_id": uuid(50), "ctr": u.arbitrary::<u64>()?,
    });
    if u.ratio(1, 2)? {
        alter(u, &mut claims)?;
    }
    let signer = if u.ratio(1, 8)? { 3 } else { 2 };
    let proof = jws::sign(jws::POP, &claims, &key(signer));
    let Ok(pop) = possession(chain, &proof, &act) else { return Ok(()) };
    assert_eq!(signer, 2);
    assert!(
        pop.leaf == chain.leaf().digest && pop.tool == tool && pop.act_id == act_id && pop.audience == ISSUER
    );
    assert!(pop.args_digest == digest && pop.exp.saturating_sub(pop.iat) <= evidence::limits::POP_MAX_S);
    assert!(possession(chain, &mutate(u, &proof)?, &act).is_err(), "a mutated proof was taken");
    Ok(())
}

//! What a call may present, and that nothing of it is quoted.

use ed25519_dalek::SigningKey;
use serde_json::json;

use super::*;

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

/// A leaf bound to a key.
fn leaf(seed: u8) -> String {
    let claims = json!({"cnf": {"jwk": Jwk::of(&key(seed)).to_json()},
        "deeds": {"txn": "t", "hld": {"id": "agent"}}});
    jws::sign(jws::DELEGATION, &claims, &key(9))
}

fn digest(token: &str) -> String {
    Signed::parse(token, jws::DELEGATION).unwrap().digest()
}

fn pop(leaf: &str, seed: u8) -> String {
    let pop = Pop {
        jti: "j".into(),
        iat: 1,
        exp: 61,
        audience: "a".into(),
        leaf: leaf.into(),
        tool: "stdio:fs#read".into(),
        args_digest: "d".into(),
        act_id: [7; 16],
        counter: 3,
    };
    pop.sign(&key(seed))
}

fn step(member: &Value) -> String {
    Presented::parse(&member.to_string()).unwrap_err().step
}

#[test]
fn a_chain_by_value_and_one_by_reference_are_read() {
    let token = leaf(1);
    let digest = digest(&token);
    let member = json!({"chain": ["root", token], "pop": pop(&digest, 1), "handoff": "do it"});
    let by_value = Presented::parse(&member.to_string()).unwrap();
    let chain = by_value.chain.as_ref().unwrap();
    assert_eq!((chain.tokens.len(), chain.key.thumbprint()), (2, Jwk::of(&key(1)).thumbprint()));
    assert_eq!(chain.bound_to, ("t".into(), vec!["agent".into()]));
    assert_eq!((by_value.leaf.as_str(), by_value.handoff.as_deref()), (digest.as_str(), Some("do it")));
    assert_eq!((by_value.kid(), by_value.act_id()), (Jwk::of(&key(1)).thumbprint().as_str(), [7; 16]));
    let by_ref = Presented::parse(&json!({"ref": digest, "pop": pop(&digest, 1)}).to_string()).unwrap();
    assert_eq!((by_ref.leaf.as_str(), by_ref.chain.is_none()), (digest.as_str(), true));
    let proof = by_ref.proof();
    assert_eq!((proof.delegation, proof.pop, proof.counter), (digest.clone(), pop(&digest, 1), None));
    assert_eq!(proof.act_id, "07070707-0707-0707-0707-070707070707");
}

#[test]
fn the_proof_must_be_signed_by_the_leaf_key_for_this_leaf() {
    let digest = digest(&leaf(1));
    let shown = |leaf: &str, seed| {
        let member = json!({"ref": digest, "pop": pop(leaf, seed)}).to_string();
        Presented::parse(&member).unwrap().is_signed_by(&Jwk::of(&key(1))).map_err(|unfit| unfit.step)
    };
    assert_eq!(shown(&digest, 1), Ok(()));
    assert_eq!(shown(&digest, 2), Err("pop-signature".into()));
    assert_eq!(shown("another", 1), Err("pop-binding".into()));
}

#[test]
fn other_shapes_are_refused_with_their_step() {
    let token = leaf(1);
    let digest = digest(&token);
    let pop = pop(&digest, 1);
    let delegation = jws::sign(jws::DELEGATION, &json!({"cnf": {}}), &key(9));
    for member in [
        json!(null),
        json!([token, pop]),
        json!({}),
        json!({"pop": pop}),
        json!({"chain": [token], "ref": digest, "pop": pop}),
        json!({"chain": token, "pop": pop}),
        json!({"chain": null, "pop": pop}),
        json!({"chain": [], "pop": pop}),
        json!({"chain": [7], "pop": pop}),
        json!({"chain": ["x"], "pop": pop}),
        json!({"chain": [delegation], "pop": pop}),
        json!({"chain": [pop], "pop": pop}),
        json!({"ref": "x", "pop": pop}),
        json!({"ref": digest, "pop": pop, "act": "x"}),
        json!({"ref": digest, "pop": pop, "handoff": 7}),
        json!({"ref": digest, "pop": [pop]}),
    ] {
        assert_eq!(step(&member), "delegation-malformed", "{member}");
    }
    for member in [
        json!({"ref": digest}),
        json!({"ref": digest, "pop": ""}),
        json!({"ref": digest, "pop": token}),
        json!({"ref": digest, "pop": jws::sign(jws::POP, &json!({}), &key(1))}),
    ] {
        assert_eq!(step(&member), "pop-malformed", "{member}");
    }
}

#[test]
fn sizes_are_limited_at_the_boundary() {
    let token = leaf(1);
    let pop = pop(&digest(&token), 1);
    let chain = |links: Vec<String>| Presented::parse(&json!({"chain": links, "pop": pop}).to_string());
    let of = |count: usize| {
        let mut links = vec!["x".to_owned(); count - 1];
        links.push(token.clone());
        links
    };
    assert!(chain(of(CHAIN_LINKS_MAX)).is_ok());
    assert_eq!(chain(of(CHAIN_LINKS_MAX + 1)).unwrap_err().step, "chain-size");
    let filled = |bytes: usize| {
        let mut links = vec!["x".repeat(TOKEN_MAX_BYTES); 3];
        links.push("x".repeat(bytes - 3 * TOKEN_MAX_BYTES - token.len()));
        links.push(token.clone());
        links
    };
    assert!(chain(filled(CHAIN_MAX_BYTES)).is_ok());
    assert_eq!(chain(filled(CHAIN_MAX_BYTES + 1)).unwrap_err().step, "chain-size");
    let long = |bytes: usize| vec!["x".repeat(bytes), token.clone()];
    assert!(chain(long(TOKEN_MAX_BYTES)).is_ok());
    assert_eq!(chain(long(TOKEN_MAX_BYTES + 1)).unwrap_err().step, "delegation-malformed");
    let handoff = |bytes: usize| {
        let member = json!({"chain": [token], "pop": pop, "handoff": "x".repeat(bytes)});
        Presented::parse(&member.to_string())
    };
    assert!(handoff(HANDOFF_MAX).is_ok());
    assert_eq!(handoff(HANDOFF_MAX + 1).unwrap_err().step, "delegation-malformed");
}

#[test]
fn a_refusal_quotes_no_token_and_is_bounded() {
    let token = leaf(1);
    let secret = "s".repeat(5_000);
    for member in [
        json!({"chain": token, "pop": "x"}),
        json!({"chain": [secret], "pop": "x"}),
        json!({"chain": [token], "pop": secret}),
        json!({"ref": token, "pop": "x"}),
        json!({secret.clone(): 1}),
    ] {
        let why = Presented::parse(&member.to_string()).unwrap_err().why;
        assert!(why.len() < 500 && !why.contains(&token) && !why.contains(&secret), "{why}");
    }
}

//! What the targets for delegations share: keys, sound claims to start from, and values drawn so that the fuzzer is
//! among the format's own words at once instead of having to find them.

pub use arbitrary::{Result, Unstructured};
use ed25519_dalek::SigningKey;
use evidence::jws::Jwk;
use serde_json::{Map, Value, json};

pub const ISSUER: &str = "deeds://deeds.local/00112233";
pub const TENANT: &str = "local";
/// When everything here was made, seconds.
pub const MADE: u64 = 1_790_000_000;
pub const SERVER: &str = "stdio:fs";

/// Key 0 is the issuer's, key 1 the principal's, key `2 + n` that of the holder of link `n`.
pub fn key(n: u8) -> SigningKey {
    SigningKey::from_bytes(&[n + 1; 32])
}

pub fn thumbprint(n: u8) -> String {
    Jwk::of(&key(n)).thumbprint()
}

pub fn urn(n: u8) -> String {
    format!("urn:ietf:params:oauth:jwk-thumbprint:sha-256:{}", thumbprint(n))
}

pub fn uuid(n: u8) -> String {
    format!("01890a5d-ac96-774b-bcce-b302099a80{n:02x}")
}

pub fn principal() -> Value {
    json!({"kind": "human", "iss": ISSUER, "sub": "ana", "key": thumbprint(1)})
}

pub fn details(scope: &Value) -> Value {
    json!([{"type": "attenuating_agent_token", "tools": scope}])
}

fn holder(n: u8, asr: &str) -> Value {
    json!({"id": format!("agent:{n}"), "inst": "i", "kind": "agent", "asr": asr, "key": thumbprint(n)})
}

pub fn root(scope: &Value) -> Value {
    json!({
        "v": 1, "jti": uuid(0), "iss": ISSUER, "aud": [ISSUER], "iat": MADE, "nbf": MADE, "exp": MADE + 3_600,
        "cnf": {"jwk": Jwk::of(&key(2)).to_json()}, "del_depth": 0, "del_max_depth": 8,
        "authorization_details": details(scope),
        "deeds": {
            "tenant": TENANT, "txn": uuid(99), "purpose": "review", "prin": principal(),
            "hld": holder(2, "delegator-asserted"),
            "src": [{"t": "key-request", "iss": urn(1), "kid": thumbprint(1), "jti": uuid(98), "d": thumbprint(9)}],
        },
    })
}

/// The link at this depth, below the parent with this digest.
pub fn child(depth: u8, parent: &str, scope: &Value) -> Value {
    json!({
        "v": 1, "jti": uuid(depth), "iss": urn(1 + depth), "aud": [ISSUER], "iat": MADE, "nbf": MADE,
        "exp": MADE + 3_600 - u64::from(depth), "cnf": {"jwk": Jwk::of(&key(2 + depth)).to_json()},
        "par_hash": parent, "del_depth": depth, "del_max_depth": 8, "authorization_details": details(scope),
        "deeds": {
            "tenant": TENANT, "txn": uuid(99), "purpose": "review",
            "hld": holder(2 + depth, "delegator-asserted"),
        },
    })
}

pub fn mandate(scope: &Value) -> Value {
    json!({
        "v": 1, "jti": uuid(7), "iss": urn(1), "aud": ISSUER, "iat": MADE, "nbf": MADE, "exp": MADE + 86_400,
        "del_max_depth": 2, "authorization_details": details(scope),
        "deeds": {"tenant": TENANT, "prin": principal(), "purpose": "release", "hld": ["svc:ci"], "root_ttl": 600},
    })
}

/// Words and numbers that mean something to the format, and a few that are almost it.
pub fn scalar(u: &mut Unstructured<'_>) -> Result<Value> {
    Ok(match u.int_in_range(0..=5)? {
        0 => Value::Null,
        1 => Value::Bool(u.arbitrary()?),
        2 => json!(u.int_in_range(-3..=3_i64)?),
        3 => (*u.choose(&[
            json!(0.5),
            json!(-0.0),
            json!(1.5),
            json!(9_007_199_254_740_992_u64),
            json!(9_007_199_254_740_993_u64),
            json!(-9_007_199_254_740_993_i64),
            json!(u64::MAX),
            json!(1e300),
            json!(MADE),
            json!(MADE + 3_600),
        ])?)
        .clone(),
        4 => json!(u.arbitrary::<&str>()?),
        _ => json!(*u.choose(&[
            "",
            "a",
            "ab",
            "ws-1",
            "0",
            "-0",
            "1.50",
            "1.5",
            "0.1",
            "00",
            "/",
            "/srv",
            "/srv/a",
            "srv/a",
            "/srv/..",
            "/srv//a",
            "example.com",
            "*.example.com",
            "a.example.com",
            "EXAMPLE.com",
            "https://a.example.com/x",
            "https://a.example.com:8443",
            "http://user@example.com",
            "break-glass",
            "é",
            "\u{0}",
            TENANT,
            ISSUER,
        ])?),
    })
}

fn scalars(u: &mut Unstructured<'_>) -> Result<Value> {
    let count = u.int_in_range(0..=3)?;
    (0..count).map(|_| scalar(u)).collect::<Result<Vec<_>>>().map(Value::Array)
}

/// A constraint of any type, mostly of the right shape.
pub fn constraint(u: &mut Unstructured<'_>, depth: u8) -> Result<Value> {
    let most = if depth < 3 { 13 } else { 11 };
    let mut rule = match u.int_in_range(0..=most)? {
        0 => json!({"constraint_type": "exact", "value": scalar(u)?}),
        1 => json!({"constraint_type": "one_of", "values": scalars(u)?}),
        2 => json!({"constraint_type": "not_one_of", "excluded": scalars(u)?}),
        3 => bounds(u, "range")?,
        4 => bounds(u, "decimal_range")?,
        5 => json!({"constraint_type": "prefix", "prefix": scalar(u)?}),
        6 => json!({"constraint_type": "path_under", "path": scalar(u)?}),
        7 => json!({"constraint_type": "host_in", "hosts": scalars(u)?}),
        8 => json!({"constraint_type": "contains", "required": scalars(u)?}),
        9 => json!({"constraint_type": "subset", "allowed": scalars(u)?}),
        10 => json!({"constraint_type": "wildcard"}),
        11 => json!({"constraint_type": scalar(u)?}),
        kind => {
            let count = u.int_in_range(0..=3)?;
            let parts = (0..count).map(|_| constraint(u, depth + 1)).collect::<Result<Vec<_>>>()?;
            json!({"constraint_type": if kind == 12 { "all" } else { "any" }, "constraints": parts})
        }
    };
    if u.ratio(1, 4)? {
        rule["optional"] = Value::Bool(u.arbitrary()?);
    }
    Ok(rule)
}

fn bounds(u: &mut Unstructured<'_>, kind: &str) -> Result<Value> {
    let mut rule = json!({"constraint_type": kind});
    for (bound, inclusive) in [("min", "min_inclusive"), ("max", "max_inclusive")] {
        if u.ratio(3, 4)? {
            rule[bound] = scalar(u)?;
            if u.ratio(1, 4)? {
                rule[inclusive] = Value::Bool(u.arbitrary()?);
            }
        }
    }
    Ok(rule)
}

const ARGUMENTS: [&str; 3] = ["a", "b", "path"];

/// A tools object over few tools and few argument names, so that two of them often meet.
pub fn scope(u: &mut Unstructured<'_>) -> Result<Value> {
    let mut tools = Map::new();
    for tool in ["*", "read", "write"] {
        if u.ratio(1, 2)? {
            let mut row = Map::new();
            for name in ARGUMENTS {
                if u.ratio(1, 3)? {
                    row.insert(name.to_owned(), constraint(u, 0)?);
                }
            }
            tools.insert(format!("{SERVER}#{tool}"), Value::Object(row));
        }
    }
    Ok(Value::Object(tools))
}

pub fn tool(u: &mut Unstructured<'_>) -> Result<String> {
    Ok(format!("{SERVER}#{}", u.choose(&["read", "write", "other"])?))
}

/// Arguments for such a scope.
pub fn arguments(u: &mut Unstructured<'_>) -> Result<Map<String, Value>> {
    let mut args = Map::new();
    for name in ARGUMENTS {
        if u.ratio(1, 2)? {
            let value = if u.ratio(1, 3)? { scalars(u)? } else { scalar(u)? };
            args.insert(name.to_owned(), value);
        }
    }
    Ok(args)
}

/// Replaces, removes or adds up to three members, wherever they are; says whether the claims are others now.
pub fn alter(u: &mut Unstructured<'_>, claims: &mut Value) -> Result<bool> {
    let before = claims.clone();
    for _ in 0..u.int_in_range(0..=3)? {
        alter_one(u, claims)?;
    }
    Ok(*claims != before)
}

fn alter_one(u: &mut Unstructured<'_>, at: &mut Value) -> Result<()> {
    let deeper = u.ratio(2, 3)?;
    match at {
        Value::Object(members) if deeper && !members.is_empty() => {
            let names: Vec<String> = members.keys().cloned().collect();
            let name = u.choose(&names)?;
            if u.ratio(1, 6)? {
                members.remove(name);
            } else if let Some(member) = members.get_mut(name) {
                alter_one(u, member)?;
            }
        }
        Value::Array(items) if deeper && !items.is_empty() => {
            let index = u.choose_index(items.len())?;
            alter_one(u, &mut items[index])?;
        }
        Value::Object(members) if u.ratio(1, 2)? => {
            let name = *u.choose(&[
                "par_hash",
                "why",
                "apv",
                "handoff",
                "intent",
                "src",
                "hld",
                "extra",
                "del_depth",
            ])?;
            let value = match name {
                "apv" => json!({"tools": [tool(u)?], "m": scalar(u)?, "by": ["ana"], "ttl": scalar(u)?}),
                _ => scalar(u)?,
            };
            members.insert(name.to_owned(), value);
        }
        other => *other = if u.ratio(1, 4)? { scope(u)? } else { scalar(u)? },
    }
    Ok(())
}

/// Some other text of the same length: one byte replaced, still characters of a token.
pub fn mutate(u: &mut Unstructured<'_>, token: &str) -> Result<String> {
    let mut bytes = token.as_bytes().to_vec();
    let at = u.choose_index(bytes.len())?;
    let other = *u.choose(b"ABCZaz019-_.=+/ ")?;
    bytes[at] = if bytes[at] == other { b'Q' } else { other };
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

//! Signed claims round-trip, and every rule refuses what breaks it.

use super::*;

fn key(n: u8) -> SigningKey {
    SigningKey::from_bytes(&[n; 32])
}

fn root() -> Root {
    let cnf = Jwk::of(&key(2));
    Root {
        jti: id::text(&id::uuid_v7(1, &[1; 10])),
        issuer: "deeds://deeds.local/0123456789abcdef".into(),
        iat: 1_795_000_000,
        nbf: 1_795_000_000,
        exp: 1_795_000_000 + ROOT_HUMAN_MAX_S,
        max_depth: 0,
        scope: Scope::server("stdio:fs"),
        tenant: "local".into(),
        txn: id::uuid_v7(1, &[2; 10]),
        purpose: "tests".into(),
        principal: Principal {
            kind: PrincipalKind::Human,
            iss: "deeds://deeds.local/0123456789abcdef".into(),
            sub: "ciso".into(),
            key: Some(Jwk::of(&key(3)).thumbprint()),
        },
        holder: Holder {
            id: "agent".into(),
            inst: "1".into(),
            kind: PrincipalKind::Agent,
            asr: "inferred".into(),
            key: cnf.thumbprint(),
        },
        cnf,
        source: Source::PeerCredentials { uid: 1000 },
    }
}

fn claims(root: &Root) -> Map<String, Value> {
    let Value::Object(claims) = root.to_claims() else { panic!("claims are an object") };
    claims
}

#[test]
fn roots_round_trip_and_keep_their_rules() {
    let root = root();
    let signed = jws::Signed::parse(&root.sign(&key(1)), jws::DELEGATION).unwrap();
    assert_eq!(Root::parse(signed.verify(&Jwk::of(&key(1))).unwrap()), Ok(root.clone()));

    let breaking = |change: fn(&mut Map<String, Value>)| {
        let mut claims = claims(&root);
        change(&mut claims);
        Root::parse(&claims)
    };
    let broken: [fn(&mut Map<String, Value>); 14] = [
        |c| drop(c.insert("v".into(), 2.into())),
        |c| drop(c.insert("aud".into(), json!(["deeds://elsewhere"]))),
        |c| drop(c.insert("aud".into(), json!("deeds://deeds.local/0123456789abcdef"))),
        |c| drop(c.insert("del_depth".into(), 1.into())),
        |c| drop(c.insert("par_hash".into(), "x".into())),
        |c| drop(c.insert("exp".into(), (1_795_000_001 + ROOT_HUMAN_MAX_S).into())),
        |c| drop(c.insert("exp".into(), 1_794_999_999_u64.into())),
        |c| drop(c.insert("exp".into(), u64::MAX.into())),
        |c| drop(c.insert("del_max_depth".into(), (CHAIN_DEPTH_MAX + 1).into())),
        |c| drop(c.insert("iat".into(), "1795000000".into())),
        |c| drop(c.insert("jti".into(), "not-a-uuid".into())),
        |c| drop(c.insert("authorization_details".into(), json!([]))),
        |c| c["cnf"]["jwk"]["d"] = "private".into(),
        |c| c["deeds"]["hld"]["key"] = "another".into(),
    ];
    for (n, change) in broken.into_iter().enumerate() {
        assert!(breaking(change).is_err(), "change {n}");
    }
}

#[test]
fn services_get_shorter_roots() {
    let mut root = root();
    root.principal.kind = PrincipalKind::Service;
    root.exp = root.iat + ROOT_SERVICE_MAX_S;
    assert!(Root::parse(&claims(&root)).is_ok());
    root.exp += 1;
    assert!(Root::parse(&claims(&root)).is_err());
}

#[test]
fn requests_round_trip() {
    let request = RootRequest {
        jti: id::text(&id::uuid_v7(1, &[1; 10])),
        key: Jwk::of(&key(3)).thumbprint(),
        audience: "deeds://deeds.local/0123456789abcdef".into(),
        iat: 1_795_000_000,
        exp: 1_795_000_000 + REQUEST_MAX_S,
        cnf: Jwk::of(&key(2)),
        max_depth: 0,
        scope: Scope::server("stdio:fs"),
        ttl: 3_600,
        tenant: "local".into(),
        txn: Some(id::uuid_v7(1, &[2; 10])),
        purpose: "tests".into(),
        holder: Some(("containment-agent".into(), PrincipalKind::Agent)),
    };
    let parse = |request: &RootRequest| {
        let signed = jws::Signed::parse(&request.sign(&key(3)), jws::ROOT_REQUEST).unwrap();
        RootRequest::parse(signed.unverified())
    };
    assert_eq!(parse(&request), Ok(request.clone()));
    let bare = RootRequest { txn: None, holder: None, ..request.clone() };
    assert_eq!(parse(&bare), Ok(bare.clone()));
    assert!(parse(&RootRequest { exp: request.exp + 1, ..request }).is_err());
}

#[test]
fn proofs_round_trip_and_are_short_lived() {
    let args = Map::from_iter([("ticket".to_owned(), json!("T-1")), ("body".to_owned(), json!("hello"))]);
    assert_eq!(args_digest(&args), "n27PSDikVSDJK4WYXwGwjZv9No47BMp9HPSrjZYlTBw");
    let pop = Pop {
        jti: "random".into(),
        iat: 1_795_000_000,
        exp: 1_795_000_000 + POP_MAX_S,
        audience: "deeds://deeds.local/0123456789abcdef".into(),
        leaf: "leaf".into(),
        tool: "stdio:fs#read_file".into(),
        args_digest: args_digest(&args),
        act_id: id::uuid_v7(1, &[4; 10]),
        counter: 0,
    };
    let parse =
        |pop: &Pop| Pop::parse(jws::Signed::parse(&pop.sign(&key(2)), jws::POP).unwrap().unverified());
    assert_eq!(parse(&pop), Ok(pop.clone()));
    assert!(parse(&Pop { exp: pop.exp + 1, ..pop }).is_err());
}

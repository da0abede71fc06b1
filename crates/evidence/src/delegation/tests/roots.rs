//! Roots, the requests behind them, and proofs.

use super::*;
use crate::limits::{CHAIN_DEPTH_MAX, POP_MAX_S, REQUEST_MAX_S, ROOT_HUMAN_MAX_S, ROOT_SERVICE_MAX_S};

fn parse(root: &Root) -> Result<Root, ClaimError> {
    Root::parse(&object(root.to_claims()))
}

#[test]
fn roots_round_trip_and_keep_their_rules() {
    let bare = root();
    let signed = jws::Signed::parse(&bare.sign(&key(1)), jws::DELEGATION).unwrap();
    assert_eq!(Root::parse(signed.verify(&Jwk::of(&key(1))).unwrap()), Ok(bare.clone()));
    let full = Root {
        source: Source::Mandate { mandate: named(4), request: named(5) },
        why: Some("the pager".into()),
        intent: Some(crate::Digest::of(b"instruction").to_string()),
        approvals: Some(approvals()),
        ..bare.clone()
    };
    for root in [&bare, &full, &Root { source: Source::KeyRequest(named(3)), ..full.clone() }] {
        assert_eq!(parse(root), Ok(root.clone()));
        assert_eq!(Link::parse(&object(root.to_claims())), Ok(Link::Root(root.clone())));
    }
    all_refused(
        &full.to_claims(),
        Root::parse,
        &[
            ("/v", json!(2)),
            ("/v", absent()),
            ("/jti", json!("not-a-uuid")),
            ("/jti", json!("0199A0C0-0000-7000-8000-00000000000A")),
            ("/iss", json!("")),
            ("/aud", json!(["deeds://elsewhere"])),
            ("/aud", json!([ISSUER, ISSUER])),
            ("/aud", json!(ISSUER)),
            ("/iat", json!("1795000000")),
            ("/iat", json!(-1)),
            ("/nbf", json!(NOW + 3_601)),
            ("/exp", json!(NOW - 1)),
            ("/exp", json!(u64::MAX)),
            ("/exp", json!(1_795_000_060.5)),
            ("/del_depth", json!(1)),
            ("/del_depth", absent()),
            ("/del_max_depth", json!(CHAIN_DEPTH_MAX + 1)),
            ("/par_hash", json!("x")),
            ("/par_hash", json!(null)),
            ("/authorization_details", json!([])),
            ("/authorization_details/0/type", json!("other")),
            ("/authorization_details/0/more", json!(1)),
            ("/cnf/jwk/d", json!("private")),
            ("/cnf/kid", json!("x")),
            ("/deeds/tenant", json!("x".repeat(4_097))),
            ("/deeds/purpose", json!("")),
            ("/deeds/txn", json!("task")),
            ("/deeds/prin/more", json!(1)),
            ("/deeds/prin/sub", json!("a\u{7}b")),
            ("/deeds/hld/key", json!("another")),
            ("/deeds/hld/more", json!(1)),
            ("/deeds/hld", json!(["agent", "1", "agent", "inferred", thumbprint(2)])),
            ("/deeds/why", json!("")),
            ("/deeds/why", json!(null)),
            ("/deeds/intent", json!("instruction")),
            ("/deeds/apv", json!(null)),
            ("/deeds/apv", json!([])),
        ],
    );
}

#[test]
fn sources_are_one_of_three_lists() {
    let request = root_with(Source::KeyRequest(named(3)));
    let mandate = root_with(Source::Mandate { mandate: named(4), request: named(5) });
    let peer = root_with(Source::PeerCredentials { uid: 7 });
    let source = |root: &Root| root.to_claims()["deeds"]["src"].clone();
    let item = |root: &Root, at: usize| source(root)[at].clone();
    for wrong in [
        json!([]),
        json!({}),
        json!(null),
        json!([item(&request, 0), item(&mandate, 0)]),
        json!([item(&mandate, 0)]),
        json!([item(&mandate, 0), item(&mandate, 0)]),
        json!([item(&request, 0), item(&request, 0)]),
        json!([item(&peer, 0), item(&request, 0)]),
        json!([item(&mandate, 0), item(&request, 0), item(&request, 0)]),
        json!([{"t": "oidc"}]),
        json!([{"t": "peer-cred", "uid": -1}]),
        json!(["peer-cred"]),
    ] {
        all_refused(&request.to_claims(), Root::parse, &[("/deeds/src", wrong)]);
    }
    all_refused(
        &mandate.to_claims(),
        Root::parse,
        &[
            ("/deeds/src/0/kid", json!(thumbprint(9))),
            ("/deeds/src/0/iss", json!(thumbprint(4))),
            ("/deeds/src/1/jti", json!("x")),
            ("/deeds/src/1/d", absent()),
        ],
    );
    assert_eq!(mandate.source.keys().collect::<Vec<_>>(), [thumbprint(4), thumbprint(5)]);
    assert_eq!(request.source.keys().collect::<Vec<_>>(), [thumbprint(3)]);
    assert_eq!(peer.source.keys().count(), 0);
    assert_eq!((request.source.request(), request.source.mandate()), (Some(&named(3)), None));
    assert_eq!((mandate.source.request(), mandate.source.mandate()), (Some(&named(5)), Some(&named(4))));
    assert_eq!((peer.source.request(), peer.source.mandate()), (None, None));
}

fn root_with(source: Source) -> Root {
    Root { source, ..root() }
}

#[test]
fn only_a_persons_own_root_lives_long() {
    let lives = |kind, source: Source, seconds| {
        let mut root = root_with(source);
        root.principal.kind = kind;
        root.exp = root.iat + seconds;
        parse(&root).is_ok()
    };
    let peer = || Source::PeerCredentials { uid: 1 };
    let mandate = || Source::Mandate { mandate: named(4), request: named(5) };
    for kind in [PrincipalKind::Human, PrincipalKind::Unknown] {
        assert!(lives(kind, peer(), ROOT_HUMAN_MAX_S));
        assert!(!lives(kind, peer(), ROOT_HUMAN_MAX_S + 1));
        assert!(lives(kind, mandate(), ROOT_SERVICE_MAX_S));
        assert!(!lives(kind, mandate(), ROOT_SERVICE_MAX_S + 1));
    }
    for kind in
        [PrincipalKind::Service, PrincipalKind::Workflow, PrincipalKind::Schedule, PrincipalKind::Agent]
    {
        assert!(lives(kind, peer(), ROOT_SERVICE_MAX_S));
        assert!(!lives(kind, peer(), ROOT_SERVICE_MAX_S + 1));
    }
    assert!(parse(&Root { max_depth: CHAIN_DEPTH_MAX, ..root() }).is_ok());
}

#[test]
fn break_glass_takes_a_persons_signature_and_a_reason() {
    let broken = Root {
        purpose: BREAK_GLASS.into(),
        why: Some("the pager".into()),
        source: Source::KeyRequest(named(3)),
        ..root()
    };
    assert!(parse(&broken).is_ok());
    assert!(parse(&Root { why: None, ..broken.clone() }).is_err());
    for source in
        [Source::PeerCredentials { uid: 1 }, Source::Mandate { mandate: named(4), request: named(5) }]
    {
        assert!(parse(&Root { source, ..broken.clone() }).is_err());
    }
    let mut service = broken;
    for kind in [PrincipalKind::Service, PrincipalKind::Unknown] {
        service.principal.kind = kind;
        assert!(parse(&service).is_err());
    }
}

fn request() -> RootRequest {
    RootRequest {
        jti: uuid(1),
        key: thumbprint(3),
        audience: ISSUER.into(),
        iat: NOW,
        exp: NOW + REQUEST_MAX_S,
        cnf: Jwk::of(&key(2)),
        max_depth: 0,
        scope: Scope::server("stdio:fs"),
        ttl: 3_600,
        tenant: "local".into(),
        txn: Some(id::uuid_v7(1, &[2; 10])),
        purpose: "tests".into(),
        holder: Some(("containment-agent".into(), PrincipalKind::Agent)),
        why: Some("the pager".into()),
        intent: Some(crate::Digest::of(b"instruction").to_string()),
        approvals: Some(approvals()),
        mandate: Some("digest".into()),
    }
}

#[test]
fn requests_round_trip() {
    let parse = |request: &RootRequest| {
        let signed = jws::Signed::parse(&request.sign(&key(3)), jws::ROOT_REQUEST).unwrap();
        RootRequest::parse(signed.verify(&Jwk::of(&key(3))).unwrap())
    };
    let full = request();
    assert_eq!(parse(&full), Ok(full.clone()));
    let bare = RootRequest {
        txn: None,
        holder: None,
        why: None,
        intent: None,
        approvals: None,
        mandate: None,
        ..full.clone()
    };
    assert_eq!(parse(&bare), Ok(bare.clone()));
    assert_eq!(bare.to_claims()["deeds"], json!({"tenant": "local", "purpose": "tests"}));
    all_refused(
        &full.to_claims(),
        RootRequest::parse,
        &[
            ("/v", json!(0)),
            ("/iss", json!(thumbprint(3))),
            ("/iss", json!("urn:ietf:params:oauth:jwk-thumbprint:sha-256:")),
            ("/aud", json!([ISSUER])),
            ("/exp", json!(NOW + REQUEST_MAX_S + 1)),
            ("/exp", json!(NOW - 1)),
            ("/ttl", absent()),
            ("/ttl", json!("60")),
            ("/deeds/hld", json!({"id": "a"})),
            ("/deeds/hld", json!({"id": "a", "kind": "robot"})),
            ("/deeds/hld", json!({"id": "a", "kind": "agent", "more": 1})),
            ("/deeds/hld", json!({"id": "a\n", "kind": "agent"})),
            ("/deeds/hld", json!({"id": "x".repeat(2_049), "kind": "agent"})),
            ("/deeds/hld", json!(null)),
            ("/deeds/txn", json!(null)),
            ("/deeds/intent", json!("sha256:00")),
            ("/deeds/mandate", json!("")),
            ("/deeds/apv", json!({})),
        ],
    );
}

#[test]
fn proofs_round_trip_and_are_short_lived() {
    let args = object(json!({"ticket": "T-1", "body": "hello"}));
    assert_eq!(args_digest(&args), "n27PSDikVSDJK4WYXwGwjZv9No47BMp9HPSrjZYlTBw");
    let pop = Pop {
        jti: "random".into(),
        iat: NOW,
        exp: NOW + POP_MAX_S,
        audience: ISSUER.into(),
        leaf: "leaf".into(),
        tool: "stdio:fs#read_file".into(),
        args_digest: args_digest(&args),
        act_id: id::uuid_v7(1, &[4; 10]),
        counter: 0,
    };
    let signed = jws::Signed::parse(&pop.sign(&key(2)), jws::POP).unwrap();
    assert_eq!(Pop::parse(signed.unverified()), Ok(pop.clone()));
    all_refused(
        &Value::Object(signed.unverified().clone()),
        Pop::parse,
        &[
            ("/exp", json!(NOW + POP_MAX_S + 1)),
            ("/exp", json!(NOW - 1)),
            ("/jti", json!("")),
            ("/act_id", json!("x")),
            ("/ctr", json!(-1)),
            ("/ctr", json!(1.0)),
            ("/gth", absent()),
        ],
    );
}

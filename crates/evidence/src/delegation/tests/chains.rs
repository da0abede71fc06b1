//! Children: their own rules, the rules towards their parents, and making them.

use proptest::prelude::*;

use super::*;
use crate::jws::{JwsError, Signed};
use crate::limits::{CHAIN_DEPTH_MAX, CHAIN_LINKS_MAX, CHAIN_MAX_BYTES, SKEW_S, TOKEN_MAX_BYTES};
use crate::span::Span;
use crate::testing::{Choices, cases, scopes};

/// Breaks one rule of a child.
type Change = fn(&mut Child);

fn child() -> Child {
    Child {
        jti: uuid(2),
        delegator: thumbprint(2),
        audience: ISSUER.into(),
        iat: NOW + 10,
        nbf: NOW + 10,
        exp: NOW + 3_600,
        cnf: Jwk::of(&key(4)),
        parent: "parent".into(),
        depth: 1,
        max_depth: 3,
        scope: Scope::server("stdio:fs"),
        tenant: "local".into(),
        txn: root().txn,
        purpose: "a part of it".into(),
        holder: holder("helper", "delegator-asserted", 4),
        handoff: Some(crate::Digest::of(b"do this").to_string()),
        approvals: Some(approvals()),
    }
}

/// What gives a child for key `n` and no more.
fn narrowing<'a>(n: u8) -> Narrowing<'a> {
    Narrowing {
        jti: id::uuid_v7(u64::from(n), &[n; 10]),
        iat: NOW + 10,
        ttl: 60,
        cnf: Jwk::of(&key(n)),
        max_depth: None,
        scope: None,
        purpose: None,
        holder: ("helper".into(), PrincipalKind::Agent, "7".into()),
        handoff: None,
        approvals: None,
    }
}

fn read(token: &str) -> (Link, String) {
    let signed = Signed::parse(token, jws::DELEGATION).unwrap();
    (Link::parse(signed.unverified()).unwrap(), signed.digest())
}

#[test]
fn children_round_trip_and_keep_their_rules() {
    let full = child();
    let signed = Signed::parse(&full.sign(&key(2)), jws::DELEGATION).unwrap();
    assert_eq!(Child::parse(signed.verify(&Jwk::of(&key(2))).unwrap()), Ok(full.clone()));
    let bare = Child { handoff: None, approvals: None, ..full.clone() };
    assert_eq!(Link::parse(&object(bare.to_claims())), Ok(Link::Child(bare)));
    let deepest = Child { depth: CHAIN_DEPTH_MAX, max_depth: CHAIN_DEPTH_MAX, ..full.clone() };
    assert!(Child::parse(&object(deepest.to_claims())).is_ok());
    all_refused(
        &full.to_claims(),
        Child::parse,
        &[
            ("/v", json!(2)),
            ("/jti", json!("x")),
            ("/iss", json!(ISSUER)),
            ("/iss", json!(thumbprint(2))),
            ("/aud", json!([])),
            ("/aud", json!([ISSUER, ISSUER])),
            ("/aud", json!([1])),
            ("/aud", json!([""])),
            ("/aud", json!(ISSUER)),
            ("/nbf", json!(NOW + 3_601)),
            ("/exp", json!(NOW + 9)),
            ("/par_hash", absent()),
            ("/par_hash", json!("")),
            ("/par_hash", json!(null)),
            ("/del_depth", json!(0)),
            ("/del_depth", json!(4)),
            ("/del_depth", absent()),
            ("/del_max_depth", json!(CHAIN_DEPTH_MAX + 1)),
            ("/del_max_depth", json!(0)),
            ("/cnf", absent()),
            ("/deeds/prin", json!(root().principal)),
            ("/deeds/prin", json!(null)),
            ("/deeds/src", json!([])),
            ("/deeds/hld/key", json!(thumbprint(5))),
            ("/deeds/hld", absent()),
            ("/deeds/handoff", json!("do this")),
            ("/deeds/txn", absent()),
            ("/deeds/apv", json!({})),
        ],
    );
}

#[test]
fn a_parent_vouches_for_no_more_than_a_name() {
    for (claimed, effective) in [
        ("attested", "delegator-asserted"),
        ("issuer-asserted", "delegator-asserted"),
        ("delegator-asserted", "delegator-asserted"),
        ("shared-secret", "shared-secret"),
        ("asserted", "asserted"),
        ("inferred", "inferred"),
    ] {
        let child = Child { holder: holder("helper", claimed, 4), ..child() };
        assert_eq!(child.effective_holder(), holder("helper", effective, 4));
        assert_eq!(Link::Child(child.clone()).holder(), holder("helper", effective, 4));
        assert_eq!(child.holder.asr, claimed, "what the token says is kept");
    }
    let attested = Root { holder: holder("agent", "attested", 2), ..root() };
    assert_eq!(Link::Root(attested).holder().asr, "attested");
}

#[test]
fn links_read_alike() {
    let (root, child) = (Link::Root(root()), Link::Child(child()));
    assert_eq!((root.depth(), child.depth()), (0, 1));
    assert_eq!((root.parent(), child.parent()), (None, Some("parent")));
    assert_eq!((root.audience(), child.audience()), (ISSUER, ISSUER));
    assert_eq!((root.jti(), child.jti()), (uuid(1).as_str(), uuid(2).as_str()));
    assert!(root.as_root().is_some() && root.as_child().is_none());
    assert!(child.as_child().is_some() && child.as_root().is_none());
    assert_eq!(child.approvals(), Some(&approvals()));
    assert_eq!(child.nbf(), NOW + 10);
}

#[test]
fn each_rule_towards_the_parent_has_its_code() {
    let parent = Link::Root(Root { approvals: Some(approvals()), ..root() });
    let codes = |change: fn(&mut Child)| {
        let mut child = child();
        change(&mut child);
        child.misfits(&parent, "parent").into_iter().map(|misfit| misfit.code).collect::<Vec<_>>()
    };
    assert!(codes(|_| {}).is_empty());
    assert!(codes(|child| child.iat = NOW).is_empty());
    let cases: [(Change, &str); 15] = [
        (|child| child.parent = "another".into(), "link-parent"),
        (|child| child.delegator = thumbprint(9), "link-parent"),
        (|child| child.depth = 2, "link-depth"),
        (|child| child.max_depth = 4, "link-depth"),
        (|child| child.exp += 1, "link-time"),
        (|child| child.iat = NOW - 1, "link-time"),
        (|child| child.tenant = "other".into(), "link-binding"),
        (|child| child.txn = [9; 16], "link-binding"),
        (|child| child.audience = "deeds://elsewhere".into(), "link-binding"),
        (|child| child.purpose = BREAK_GLASS.into(), "link-binding"),
        (|child| child.scope = Scope::server("stdio:git"), "link-scope"),
        (|child| child.approvals = None, "link-approvals"),
        (|child| child.approvals.as_mut().unwrap().m = 1, "link-approvals"),
        (|child| drop(child.approvals.as_mut().unwrap().tools.pop()), "link-approvals"),
        (|child| child.approvals.as_mut().unwrap().by.push("x".into()), "link-approvals"),
    ];
    for (change, code) in cases {
        assert_eq!(codes(change), [code]);
    }
    let all = codes(|child| {
        (child.parent, child.tenant) = ("another".into(), "other".into());
        (child.depth, child.exp) = (2, NOW + 9_999);
        (child.scope, child.approvals) = (Scope::server("s"), None);
    });
    let order = ["link-parent", "link-depth", "link-time", "link-binding", "link-scope", "link-approvals"];
    assert_eq!(all, order);
    let broken = Link::Root(Root { purpose: BREAK_GLASS.into(), ..root() });
    assert_eq!(child().misfits(&broken, "parent")[0].code, "link-binding");
}

#[test]
fn a_holder_narrows_its_authority_offline() {
    let root = Root { approvals: Some(approvals()), ..root() };
    let mut chain = vec![root.sign(&key(1))];
    let scope = json!({"stdio:fs#read": {"path": {"constraint_type": "path_under", "path": "/srv"}}});
    let asked = Narrowing {
        scope: Some(Scope::parse(&scope).unwrap()),
        purpose: Some("read the reports".into()),
        handoff: Some("read /srv/report.txt"),
        max_depth: Some(2),
        ..narrowing(4)
    };
    chain.push(delegate(&chain, &key(2), &asked).unwrap());
    let (link, digest) = read(&chain[1]);
    let made = link.as_child().unwrap();
    let (parent, parent_digest) = read(&chain[0]);
    assert!(made.misfits(&parent, &parent_digest).is_empty());
    assert!(Signed::parse(&chain[1], jws::DELEGATION).unwrap().verify(&Jwk::of(&key(2))).is_ok());
    assert_eq!((made.depth, made.max_depth, made.iat, made.exp), (1, 2, NOW + 10, NOW + 70));
    assert_eq!(made.handoff, Some(crate::Digest::of(b"read /srv/report.txt").to_string()));
    assert_eq!(made.approvals, root.approvals, "what needs approval still does");
    assert_eq!(made.holder, Holder { inst: "7".into(), ..holder("helper", "delegator-asserted", 4) });
    assert_eq!(made.purpose, "read the reports");
    // and once more: everything that is not stated is the parent's, but for what is left of its life
    chain.push(delegate(&chain, &key(4), &Narrowing { ttl: 1_000, iat: NOW + 60, ..narrowing(5) }).unwrap());
    let (last, _) = read(&chain[2]);
    assert_eq!((last.exp(), last.max_depth(), last.depth()), (NOW + 70, 2, 2));
    assert_eq!((last.scope(), last.purpose()), (link.scope(), link.purpose()));
    assert_eq!(last.parent(), Some(digest.as_str()));
}

#[test]
fn what_a_verifier_would_refuse_is_not_made() {
    let chain = [root().sign(&key(1))];
    let make = |asked: &Narrowing<'_>| delegate(&chain, &key(2), asked).unwrap_err();
    let says = |asked: &Narrowing<'_>, text: &str| {
        let error = make(asked).to_string();
        assert!(error.contains(text), "{error}");
    };
    assert_eq!(delegate(&[], &key(2), &narrowing(4)), Err(NarrowError::Empty));
    let others = delegate(&chain, &key(3), &narrowing(4));
    assert_eq!(others, Err(NarrowError::OtherKey { bound: thumbprint(2), key: thumbprint(3) }));
    assert_eq!(make(&Narrowing { ttl: 0, ..narrowing(4) }), NarrowError::NoLife);
    let ended = Narrowing { iat: NOW + 3_600, ..narrowing(4) };
    assert_eq!(make(&ended), NarrowError::Ended(Span(0)));
    let early = Narrowing { iat: NOW - SKEW_S - 1, ..narrowing(4) };
    assert_eq!(make(&early), NarrowError::Early(Span(SKEW_S + 1)));
    let behind = delegate(&chain, &key(2), &Narrowing { iat: NOW - SKEW_S, ..narrowing(4) }).unwrap();
    assert_eq!(read(&behind).0.iat(), NOW);
    let shallow = Narrowing { max_depth: Some(0), ..narrowing(4) };
    assert_eq!(make(&shallow), NarrowError::Shallow { asked: 0, depth: 1 });
    says(&Narrowing { max_depth: Some(4), ..narrowing(4) }, "it allows chains 4 deep, its parent at most 3");
    let wider = Narrowing { scope: Some(Scope::server("stdio:git")), ..narrowing(4) };
    says(&wider, "it allows more than its parent: the tool `stdio:git#*`");
    says(&Narrowing { purpose: Some(BREAK_GLASS.into()), ..narrowing(4) }, "break-glass");
    says(&Narrowing { purpose: Some(String::new()), ..narrowing(4) }, "`purpose`");
    let loose = Approvals { tools: vec!["s".into()], ..approvals() };
    says(&Narrowing { approvals: Some(loose), ..narrowing(4) }, "`tools`");
    let root_id = Narrowing { jti: id::parse(&uuid(1)).unwrap(), ..narrowing(4) };
    assert_eq!(make(&root_id), NarrowError::Repeated(uuid(1)));
    let strict = [Root { approvals: Some(approvals()), ..root() }.sign(&key(1))];
    let lax = Approvals { m: 1, ..approvals() };
    let error = delegate(&strict, &key(2), &Narrowing { approvals: Some(lax), ..narrowing(4) });
    assert!(error.unwrap_err().to_string().contains("fewer approvals"));
    let terminal = [Root { max_depth: 0, ..root() }.sign(&key(1))];
    assert_eq!(delegate(&terminal, &key(2), &narrowing(4)), Err(NarrowError::Terminal { max_depth: 0 }));
}

#[test]
fn a_broken_chain_is_not_continued() {
    let root = root().sign(&key(1));
    let first = delegate(std::slice::from_ref(&root), &key(2), &narrowing(4)).unwrap();
    let second = delegate(&[root.clone(), first.clone()], &key(4), &narrowing(5)).unwrap();
    let fails = |chain: &[&String], at: usize| {
        let chain: Vec<String> = chain.iter().map(|token| (*token).clone()).collect();
        match delegate(&chain, &key(5), &narrowing(6)) {
            Err(NarrowError::Link { at: found, .. } | NarrowError::Token { at: found, .. }) => {
                assert_eq!(found, at);
            }
            other => panic!("{other:?}"),
        }
    };
    let chain = [&root, &first, &second].map(Clone::clone);
    assert!(delegate(&chain, &key(5), &narrowing(6)).is_ok());
    fails(&[&first, &second], 1);
    fails(&[&root, &second], 2);
    fails(&[&root, &second, &first], 2);
    fails(&[&root, &root, &first, &second], 2);
    fails(&[&root, &first, &first, &second], 3);
    fails(&[&root, &first, &second, &String::from("no token")], 4);
    fails(&[&first.replace('.', "")], 1);
    // the same claims, signed by a key that nobody delegated to
    let (Link::Child(claims), _) = read(&second) else { panic!("a child") };
    let forged = claims.sign(&key(9));
    let chain = [&root, &first, &forged].map(Clone::clone);
    let error = delegate(&chain, &key(5), &narrowing(6)).unwrap_err();
    assert!(matches!(error, NarrowError::Token { at: 3, error: JwsError::OtherKey { .. } }), "{error:?}");
}

#[test]
fn chains_end_at_their_limits() {
    let mut chain = vec![Root { max_depth: CHAIN_DEPTH_MAX, ..root() }.sign(&key(1))];
    let mut holder = 2;
    while chain.len() < CHAIN_LINKS_MAX {
        chain.push(delegate(&chain, &key(holder), &narrowing(holder + 1)).unwrap());
        holder += 1;
    }
    let full = delegate(&chain, &key(holder), &narrowing(holder + 1));
    assert_eq!(full, Err(NarrowError::TooLong(CHAIN_LINKS_MAX)));

    // large links: three and a root fill a chain, and one alone can be too large
    let tools = |len: usize| -> Scope {
        let tools = (0..len).map(|n| (format!("stdio:fs#{n:0>60}"), json!({})));
        Scope::parse(&Value::Object(tools.collect())).unwrap()
    };
    let large = |n: u8, tools: Scope| Narrowing { scope: Some(tools), ..narrowing(n) };
    let first = vec![Root { max_depth: 8, ..root() }.sign(&key(1))];
    let made = delegate(&first, &key(2), &large(3, tools(151))).unwrap();
    assert!(made.len() <= TOKEN_MAX_BYTES && made.len() > TOKEN_MAX_BYTES - 800, "{}", made.len());
    let beyond = delegate(&first, &key(2), &large(3, tools(170))).unwrap_err();
    assert!(matches!(beyond, NarrowError::TooLarge { what: "delegation", most: TOKEN_MAX_BYTES, .. }));
    let mut chain = first;
    let error = (2..).find_map(|n| match delegate(&chain, &key(n), &large(n + 1, tools(151))) {
        Ok(token) => {
            chain.push(token);
            None
        }
        Err(error) => Some(error),
    });
    assert_eq!(chain.len(), 4);
    assert!(
        matches!(error, Some(NarrowError::TooLarge { what: "chain", most: CHAIN_MAX_BYTES, .. })),
        "{error:?}"
    );
}

proptest! {
    #![proptest_config(cases(500))]

    #[test]
    fn what_is_made_reads_back_and_fits(seed in any::<u64>(), links in 1_u8..5) {
        let mut choices = Choices(seed);
        let mut scope = scopes::scope(&mut choices);
        let first = Root { scope: Scope::parse(&scope).unwrap(), max_depth: 6, ..root() };
        let mut chain = vec![first.sign(&key(1))];
        for n in 2..2 + links {
            scope = scopes::narrower_scope(&mut choices, &scope);
            let asked = Narrowing {
                iat: NOW + u64::from(n),
                ttl: u64::try_from(choices.below(9_999)).unwrap() + 1,
                scope: choices.one_in(2).then(|| Scope::parse(&scope).unwrap()),
                handoff: choices.one_in(2).then_some("text"),
                ..narrowing(n + 1)
            };
            let made = match delegate(&chain, &key(n), &asked) {
                Err(NarrowError::Ended(_)) => break,
                made => made.unwrap(),
            };
            let (parent, digest) = read(chain.last().unwrap());
            let (link, _) = read(&made);
            let child = link.as_child().unwrap();
            prop_assert_eq!(child.misfits(&parent, &digest), []);
            prop_assert!(child.exp <= parent.exp() && child.exp <= asked.iat + asked.ttl);
            prop_assert_eq!(child.scope.to_json(), asked.scope.as_ref().unwrap_or(parent.scope()).to_json());
            scope = child.scope.to_json();
            chain.push(made);
        }
    }

    #[test]
    fn no_wider_scope_is_made(seed in any::<u64>()) {
        let mut choices = Choices(seed);
        let [above, below] = [(); 2].map(|()| Scope::parse(&scopes::scope(&mut choices)).unwrap());
        let chain = [Root { scope: above.clone(), ..root() }.sign(&key(1))];
        let made = delegate(&chain, &key(2), &Narrowing { scope: Some(below.clone()), ..narrowing(4) });
        prop_assert_eq!(made.is_ok(), below.within(&above));
    }

    #[test]
    fn no_claims_make_a_parser_panic(at in any::<prop::sample::Index>(), junk in "[{\\[\"a-z0-9.,:\\]}-]{0,9}") {
        let texts = [root().to_claims(), child().to_claims()].map(|claims| claims.to_string());
        for text in texts {
            let at = at.index(text.len());
            let mangled = format!("{}{junk}{}", &text[..at], &text[at..]);
            if let Ok(Value::Object(claims)) = crate::json::parse(mangled.as_bytes()) {
                let _ = Link::parse(&claims);
                let _ = RootRequest::parse(&claims);
                let _ = Mandate::parse(&claims);
                let _ = Revocation::parse(&claims);
                let _ = HaltOrder::parse(&claims);
                let _ = Pop::parse(&claims);
            }
        }
    }
}

//! Chains that are no chains: forged, spliced, widened, mistaken for something else (reference §10, rows 1, 2, 5, 7,
//! 8, 10, 13). Each is refused when it is presented, and the refusal is on record with the step.

use std::time::Duration;

use super::making::*;
use super::*;
use evidence::delegation::{Approvals, BREAK_GLASS};

/// A person, a root of hers three deep, and its holder's child.
async fn family(bench: &Bench) -> (Held, Held) {
    let person = register(bench, "ciso", 11).await;
    let root = bench.issued(&person, 20, |_| {}).await;
    let child = root.child(bench, 21);
    (root, child)
}

#[tokio::test(flavor = "multi_thread")]
async fn row_1_only_ed25519_strictly() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let (root, child) = family(&bench).await;
    let token = child.tokens.last().unwrap();
    let kid = Jwk::of(&root.key).thumbprint();
    for alg in ["none", "None", "", "HS256", "ES256", "EdDSA", "ed25519", "RS256"] {
        let header = json!({"alg": alg, "kid": kid, "typ": jws::DELEGATION}).to_string();
        let forged = root.and(with_header(token, &header, &root.key), 21);
        bench.not_taken(&forged, "delegation-malformed").await;
    }
    // another key type than the format's
    for (name, value) in [("alg", "EdDSA"), ("crv", "Ed448"), ("kty", "EC"), ("x", "AA")] {
        let forged = root.altered(&bench, 21, |claims| claims["cnf"]["jwk"][name] = json!(value));
        bench.not_taken(&forged, "delegation-malformed").await;
    }
    // a public key of small order, for which signatures can be made without a private one
    let mut identity = [0_u8; 32];
    identity[0] = 1;
    let weak = root.altered(&bench, 21, |claims| {
        claims["cnf"]["jwk"]["x"] = json!(evidence::base64url::encode(&identity));
    });
    bench.not_taken(&weak, "delegation-malformed").await;
    // S + L: the same equation, another signature; R of small order; all zero
    let order: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let malleable = with_signature(token, |bytes| {
        let mut carry = 0_u16;
        for (byte, add) in bytes[32..].iter_mut().zip(order) {
            carry += u16::from(*byte) + u16::from(add);
            *byte = (carry & 0xff) as u8;
            carry >>= 8;
        }
    });
    let small = with_signature(token, |bytes| bytes[..32].copy_from_slice(&identity));
    let zero = with_signature(token, |bytes| bytes.fill(0));
    for forged in [malleable, small, zero] {
        bench.not_taken(&root.and(forged, 21), "delegation-signature").await;
    }
    let short = format!("{}.AAAA", token.rsplit_once('.').unwrap().0);
    bench.not_taken(&root.and(short, 21), "delegation-malformed").await;
    bench.opened(&child).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn row_2_headers_name_a_key_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let (root, child) = family(&bench).await;
    let token = child.tokens.last().unwrap();
    for kid in ["../../etc/passwd", "' OR 1=1 --", "", &Jwk::of(&key(2)).thumbprint()] {
        let header = json!({"alg": "Ed25519", "kid": kid, "typ": jws::DELEGATION}).to_string();
        let forged = with_header(token, &header, &root.key);
        // a child's issuer is the key that its header names
        bench.not_taken(&root.and(forged, 21), "delegation-malformed").await;
    }
    let kid = Jwk::of(&root.key).thumbprint();
    for more in [
        r#""jwk":{"kty":"OKP"}"#,
        r#""jku":"http://169.254.169.254/""#,
        r#""x5u":"https://evil.example/""#,
        r#""x5c":[]"#,
        r#""crit":["exp"]"#,
        r#""b64":false"#,
        &format!(r#""kid":"{kid}""#),
    ] {
        let header = format!(r#"{{"alg":"Ed25519","kid":"{kid}","typ":"deeds-delegation+jwt",{more}}}"#);
        let forged = with_header(token, &header, &root.key);
        bench.not_taken(&root.and(forged, 21), "delegation-malformed").await;
    }
    // the root: another key under the right name, the right key under another name, a key of this log that is no issuer
    let root_token = &root.tokens[0];
    let issuer = Jwk::of(&key(2)).thumbprint();
    let header = |kid: &str| json!({"alg": "Ed25519", "kid": kid, "typ": jws::DELEGATION}).to_string();
    for (kid, signer) in [
        (issuer.as_str(), key(9)),
        ("../issuer", key(2)),
        (&Jwk::of(&key(1)).thumbprint(), key(1)),
        (&Jwk::of(&key(11)).thumbprint(), key(11)),
    ] {
        let forged = Held { tokens: vec![with_header(root_token, &header(kid), &signer)], key: key(20) };
        bench.not_taken(&forged, "delegation-signature").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn row_5_a_signed_object_is_of_one_type() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let (root, child) = family(&bench).await;
    let person = key(11);
    let request = asked(&bench, &person, 20).sign(&person);
    let standing = mandate(&bench, &person, "ciso", "playbook").sign(&person);
    let run = bench.opened(&child).await;
    let act = bench.act(&run, &child, "stdio:fs#read_file", "{}", 0);
    for other in [&act.pop, &request, &standing] {
        bench.not_taken(&root.and(other.clone(), 21), "delegation-malformed").await;
        let alone = Held { tokens: vec![other.clone()], key: key(21) };
        bench.not_taken(&alone, "delegation-malformed").await;
    }
    for other in [&child.tokens[1], &request, &standing] {
        let act_id = bench.recorder.new_id();
        bench.denied(Request { act_id, pop: other.clone(), ..act.clone() }, "pop-malformed").await;
    }
    for other in [&child.tokens[1], &act.pop, &standing] {
        let open = OpenRun { root_request: Some(other.clone()), ..open_fs() };
        bench.not_opened(open, "request-malformed").await;
    }
    for other in [&child.tokens[1], &act.pop, &request] {
        let before = bench.recorder.reader().size();
        let refused = bench.recorder.register_mandate(other, PEER).await.unwrap_err();
        bench.on_record(before, &refused, "mandate-malformed");
    }
    // the types' names in other spellings
    for typ in ["JWT", "", "deeds-pop+jwt", "application/deeds-delegation+jwt", "Deeds-Delegation+JWT"] {
        let header =
            json!({"alg": "Ed25519", "kid": Jwk::of(&root.key).thumbprint(), "typ": typ}).to_string();
        let forged = with_header(&child.tokens[1], &header, &root.key);
        bench.not_taken(&root.and(forged, 21), "delegation-malformed").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn row_7_a_chain_is_not_spliced() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let (root, child) = family(&bench).await;
    let grandchild = child.child(&bench, 22);
    // the same holder, another root of hers
    let other = bench.issued(&key(11), 20, |_| {}).await;
    let chain = |tokens: &[&String], seed: u8| Held {
        tokens: tokens.iter().map(|token| (*token).clone()).collect(),
        key: key(seed),
    };
    let (r, c, g) = (&root.tokens[0], &child.tokens[1], &grandchild.tokens[2]);
    bench.not_taken(&chain(&[&other.tokens[0], c], 21), "link-parent").await;
    bench.not_taken(&chain(&[r, g], 22), "link-parent").await;
    bench.not_taken(&chain(&[r, g, c], 21), "link-parent").await;
    bench.not_taken(&chain(&[r, c, g, c], 21), "link-parent").await;
    bench.not_taken(&chain(&[r, c, c], 21), "link-parent").await;
    bench.not_taken(&chain(&[r, &other.tokens[0], c], 21), "delegation-malformed").await;
    bench.not_taken(&chain(&[c, g], 22), "delegation-malformed").await;
    bench.not_taken(&chain(&[], 22), "chain-size").await;
    // task and tenant swapped, by the rightful holder
    let txn = bench.recorder.new_id();
    bench.not_taken(&root.forged(&bench, 21, |child| child.txn = txn), "link-binding").await;
    bench.not_taken(&root.forged(&bench, 21, |child| child.tenant = "b".into()), "link-binding").await;
    // the digest of a token written in another way
    let again = root.forged(&bench, 21, |child| {
        let text = format!("{} ", root.tokens[0]);
        child.parent = evidence::base64url::encode(&Digest::of(text.as_bytes()).0);
    });
    bench.not_taken(&again, "link-parent").await;
    // somebody else's key below the root
    let stolen = Held { tokens: root.tokens.clone(), key: key(99) }.child_of_another(&bench, &root);
    bench.not_taken(&stolen, "link-parent").await;
    // the same id twice
    let id = child.link().jti().to_owned();
    bench.not_taken(&child.forged(&bench, 22, |child| child.jti = id), "chain-repeated").await;
    // shortened to an ancestor it is the ancestor's, and needs the ancestor's key
    bench.not_opened(OpenRun { key: Jwk::of(&key(22)), ..under(&child) }, "holder-key").await;
    let run = bench.opened(&child).await;
    let act = bench.act(&run, &grandchild, "stdio:fs#read_file", "{}", 0);
    bench.denied(Request { delegation: child.leaf(), ..act }, "pop-signature").await;
}

impl Held {
    /// A child of `parent` signed with a key that the parent is not bound to.
    fn child_of_another(&self, bench: &Bench, parent: &Held) -> Self {
        let evidence::delegation::Link::Child(mut child) = parent.child(bench, 21).link() else {
            panic!("a child")
        };
        child.delegator = Jwk::of(&self.key).thumbprint();
        parent.and(child.sign(&self.key), 21)
    }
}

const ISOLATE: &str = "stdio:fs#isolate_host";

/// One constraint of a few types, each on an argument of its own.
fn constrained() -> Value {
    json!({
        "host": {"constraint_type": "one_of", "values": ["ws-1", "ws-2"]},
        "n": {"constraint_type": "range", "min": 1, "max": 10, "max_inclusive": false},
        "any": {"constraint_type": "any", "constraints": [{"constraint_type": "exact", "value": 1}]},
        "all": {"constraint_type": "all", "constraints": [{"constraint_type": "prefix", "prefix": "a"}]},
    })
}

fn two_approvals() -> Approvals {
    Approvals { tools: vec!["stdio:fs#pay".into()], m: 2, by: vec!["group:a".into()], ttl: 600 }
}

/// A root that allows one tool, so constrained, and demands approvals.
async fn narrow_root(bench: &Bench) -> Held {
    let person = register(bench, "ciso", 11).await;
    let narrow = |request: &mut evidence::delegation::RootRequest| {
        request.scope = scope(ISOLATE, &constrained());
        request.approvals = Some(two_approvals());
    };
    bench.issued(&person, 20, narrow).await
}

#[tokio::test(flavor = "multi_thread")]
async fn row_8_a_childs_arguments_are_never_wider() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let root = narrow_root(&bench).await;
    let wider: [fn(&mut Value); 11] = [
        |row| row["host"] = json!({"constraint_type": "wildcard"}),
        |row| row["host"]["values"] = json!(["ws-1", "dc-1"]),
        |row| row["host"] = json!({"constraint_type": "prefix", "prefix": "ws-1"}),
        |row| row["host"]["optional"] = json!(true),
        |row| row["n"]["max_inclusive"] = json!(true),
        |row| row["n"] = json!({"constraint_type": "range", "min": 1}),
        |row| {
            row["any"]["constraints"] =
                json!([{"constraint_type": "exact", "value": 1}, {"constraint_type": "exact", "value": 2}]);
        },
        |row| row["all"]["constraints"] = json!([{"constraint_type": "wildcard"}]),
        |row| drop(row.as_object_mut().unwrap().remove("n")),
        |row| row["more"] = json!({"constraint_type": "wildcard"}),
        |row| *row = json!({}),
    ];
    for change in wider {
        let mut row = constrained();
        change(&mut row);
        let held = root.forged(&bench, 21, |child| child.scope = scope(ISOLATE, &row));
        bench.not_taken(&held, "link-scope").await;
    }
    bench.opened(&root.child(&bench, 21)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn row_8_a_childs_tools_are_its_parents_byte_for_byte() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let root = narrow_root(&bench).await;
    let row = constrained();
    for tools in [
        json!({"stdio:fs#*": {}}),
        json!({"stdio:fs#isolate_host": row, "stdio:fs#other": {}}),
        json!({"stdio:fs#Isolate_Host": row}),
        json!({"stdio:fs#isolate%5Fhost": row}),
        json!({"STDIO:fs#isolate_host": row}),
    ] {
        let tools = Scope::parse(&tools).unwrap();
        bench.not_taken(&root.forged(&bench, 21, |child| child.scope = tools), "link-scope").await;
    }
    let homoglyph = root.altered(&bench, 21, |claims| {
        claims["authorization_details"][0]["tools"] = json!({"stdio:fs#is\u{43e}late_host": row});
    });
    bench.not_taken(&homoglyph, "delegation-malformed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn row_8_what_no_scope_can_say_is_none() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let root = narrow_root(&bench).await;
    for (name, value) in [
        ("host", json!({"constraint_type": "regex", "pattern": ".*"})),
        ("n", json!({"constraint_type": "range", "min": 1, "max": 9_007_199_254_740_994_u64})),
        ("n", json!({"constraint_type": "range", "min": 0.5, "max": 1})),
        ("n", json!({"constraint_type": "range", "min": "NaN", "max": 1})),
        ("n", json!({"constraint_type": "range"})),
        ("host", json!({"constraint_type": "exact", "value": "ws-1", "also": 1})),
    ] {
        let forged = root.altered(&bench, 21, |claims| {
            claims["authorization_details"][0]["tools"][ISOLATE][name] = value;
        });
        bench.not_taken(&forged, "delegation-malformed").await;
    }
    // 2^53 + 1, which a parser that reads doubles would take for 2^53
    let plain = root.altered(&bench, 21, |claims| {
        claims["authorization_details"][0]["tools"][ISOLATE]["n"]["max"] = json!(7);
    });
    let (header, payload) = plain.tokens[1].split_once('.').unwrap();
    let text = |segment: &str| {
        String::from_utf8(evidence::base64url::decode(segment.split('.').next().unwrap()).unwrap()).unwrap()
    };
    let payload = text(payload).replace("\"max\":7,", "\"max\":9007199254740993,");
    assert!(payload.contains("9007199254740993"));
    bench.not_taken(&root.and(raw(&text(header), &payload, &root.key), 21), "delegation-malformed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn row_8_a_child_lives_no_longer_and_drops_no_approval() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let root = narrow_root(&bench).await;
    bench.not_taken(&root.forged(&bench, 21, |child| child.exp += 3_600), "link-time").await;
    let made = root.link().iat();
    bench.not_taken(&root.forged(&bench, 21, |child| child.iat = made - 1), "link-time").await;
    bench.not_taken(&root.forged(&bench, 21, |child| child.max_depth = 4), "link-depth").await;
    bench.not_taken(&root.forged(&bench, 21, |child| child.depth = 2), "link-depth").await;
    let elsewhere = "deeds://elsewhere".to_owned();
    bench.not_taken(&root.forged(&bench, 21, |child| child.audience = elsewhere), "link-binding").await;
    let two = root.altered(&bench, 21, |claims| {
        claims["aud"] = json!([claims["aud"][0], "deeds://elsewhere"]);
    });
    bench.not_taken(&two, "delegation-malformed").await;
    let glass = BREAK_GLASS.to_owned();
    bench.not_taken(&root.forged(&bench, 21, |child| child.purpose = glass), "link-binding").await;
    let approvals = two_approvals();
    for lowered in [
        None,
        Some(Approvals { m: 1, ..approvals.clone() }),
        Some(Approvals { tools: vec!["stdio:fs#other".into()], ..approvals.clone() }),
        Some(Approvals { by: vec!["group:b".into()], ..approvals.clone() }),
        Some(Approvals { ttl: 601, ..approvals.clone() }),
    ] {
        let forged = root.forged(&bench, 21, |child| child.approvals = lowered);
        bench.not_taken(&forged, "link-approvals").await;
    }
    bench.opened(&root.child(&bench, 21)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn row_10_a_chain_of_another_tenant_or_log_is_nothing_here() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let (root, child) = family(&bench).await;
    let evidence::delegation::Link::Root(claims) = root.link() else { panic!("a root") };
    let signed =
        |claims: evidence::delegation::Root| Held { tokens: vec![claims.sign(&key(2))], key: key(20) };
    let tenant = signed(evidence::delegation::Root { tenant: "b".into(), ..claims.clone() });
    bench.not_taken(&tenant, "delegation-malformed").await;
    let issuer = "deeds://deeds.local/0000000000000000".to_owned();
    let elsewhere = signed(evidence::delegation::Root { issuer, ..claims.clone() });
    bench.not_taken(&elsewhere, "delegation-malformed").await;
    // signed with the issuer's key, and never issued: what is not in the log is not valid
    let jti = id::text(&bench.recorder.new_id());
    let unlogged = signed(evidence::delegation::Root { jti, ..claims.clone() });
    bench.not_taken(&unlogged, "decision-delegation").await;

    // references are no oracle: what never was, what is not registered and what is another's get the same answer
    let text = |error: RecorderError| error.to_string();
    let mut answers = std::collections::BTreeSet::new();
    for leaf in [tenant.leaf(), unlogged.leaf(), child.leaf(), "x".repeat(43)] {
        let open = OpenRun { delegation: Some(Presented::Ref(leaf.clone())), ..under(&child) };
        let refused = bench.recorder.open_run(open, PEER).await.unwrap_err();
        assert_eq!(refused, RecorderError::DelegationUnknown(leaf.clone()));
        answers.insert(text(refused).replace(&leaf, "…"));
    }
    assert_eq!(answers.len(), 1);
    let kept = bench.recorder.keep_chain(child.tokens.clone(), PEER).await.unwrap();
    assert_eq!((kept.digest.clone(), kept.links), (child.leaf(), 2));
    let open = OpenRun { delegation: Some(Presented::Ref(kept.digest)), ..under(&child) };
    assert_eq!(bench.recorder.open_run(open, PEER).await.unwrap().renewal.digest, child.leaf());
}

#[tokio::test(flavor = "multi_thread")]
async fn row_13_what_is_too_much_is_refused_before_it_costs() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let (root, child) = family(&bench).await;
    let within = |held: Held, step: &'static str| {
        let bench = &bench;
        async move {
            let attempt = bench.not_taken(&held, step);
            tokio::time::timeout(Duration::from_secs(20), attempt).await.expect("in bounded time");
        }
    };
    let many = |count: usize| Held {
        tokens: std::iter::repeat_n(child.tokens[1].clone(), count).collect(),
        key: key(21),
    };
    within(many(10), "chain-size").await;
    within(many(10_000), "chain-size").await;
    within(Held { tokens: vec!["x".repeat(65_537)], key: key(21) }, "chain-size").await;
    within(Held { tokens: vec!["x".repeat(65_536)], key: key(21) }, "delegation-malformed").await;
    within(root.and("x".repeat(16_385), 21), "delegation-malformed").await;
    let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
    let header = json!({"alg": "Ed25519", "kid": Jwk::of(&root.key).thumbprint(), "typ": jws::DELEGATION});
    let deep = raw(&header.to_string(), &format!(r#"{{"x":{}}}"#, &deep[..9_000]), &root.key);
    within(root.and(deep, 21), "delegation-malformed").await;
    let nested = |depth: usize| {
        (1..depth).fold(
            json!({"constraint_type": "wildcard"}),
            |inner, _| json!({"constraint_type": "all", "constraints": [inner]}),
        )
    };
    let bomb = root.altered(&bench, 21, |claims| {
        claims["authorization_details"][0]["tools"] = json!({"stdio:fs#a": {"x": nested(9)}});
    });
    within(bomb, "delegation-malformed").await;
    // the deepest chain there can be stands; one more does not
    let person = key(11);
    let mut long = bench.issued(&person, 30, |request| request.max_depth = 8).await;
    for seed in 31..=38 {
        long = long.child(&bench, seed);
    }
    assert_eq!(bench.recorder.keep_chain(long.tokens.clone(), PEER).await.unwrap().links, 9);
    let evidence::delegation::Link::Child(leaf) = long.link() else { panic!("a child") };
    let beyond = evidence::delegation::Child {
        parent: long.leaf(),
        delegator: Jwk::of(&long.key).thumbprint(),
        jti: id::text(&bench.recorder.new_id()),
        ..leaf
    };
    within(long.and(beyond.sign(&long.key), 39), "chain-size").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn row_13_matching_of_clauses_does_not_blow_up() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let person = register(&bench, "ciso", 11).await;
    // every clause of the child fits all of the parent's but one that none fits: greedy matching would search long
    let clauses = |last: &str| {
        let mut clauses: Vec<Value> =
            (0..15).map(|_| json!({"constraint_type": "prefix", "prefix": "a"})).collect();
        clauses.push(json!({"constraint_type": "prefix", "prefix": last}));
        json!({"x": {"constraint_type": "all", "constraints": clauses}})
    };
    let root = bench.issued(&person, 20, |request| request.scope = scope("stdio:fs#a", &clauses("b"))).await;
    let wider = root.forged(&bench, 21, |child| child.scope = scope("stdio:fs#a", &clauses("a")));
    let attempt = bench.not_taken(&wider, "link-scope");
    tokio::time::timeout(Duration::from_secs(20), attempt).await.expect("in bounded time");
    let same = root.forged(&bench, 21, |child| child.scope = scope("stdio:fs#a", &clauses("bc")));
    bench.opened(&same).await;
}

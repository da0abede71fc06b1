//! Roots: issued on a signed request, under a mandate, or as break-glass; never otherwise (reference §10, row 11).

use evidence::delegation::{Approvals, BREAK_GLASS, Mandate, RootRequest, Source, Target, What};

use super::making::*;
use super::*;

const READ: &str = "stdio:fs#read_file";

async fn service(bench: &Bench, sub: &str, seed: u8) -> SigningKey {
    register_as(bench, PrincipalKind::Service, sub, seed).await
}

async fn not_issued(bench: &Bench, request: &RootRequest, signer: &SigningKey, step: &str) {
    let before = bench.recorder.reader().size();
    let refused = bench.recorder.issue(&request.sign(signer), PEER).await.map(drop).unwrap_err();
    assert!(matches!(refused, RecorderError::RequestRefused { .. }), "{refused:?}");
    bench.on_record(before, &refused, step);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_is_issued_in_a_run_of_its_own_that_ends_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let person = register(&bench, "ciso", 11).await;
    let before = bench.recorder.reader().size();
    let request = RootRequest { why: Some("drill".into()), ..asked(&bench, &person, 20) }.sign(&person);
    let issued = bench.recorder.issue(&request, PEER).await.unwrap();
    assert_eq!(bench.recorder.reader().size(), before + 3);
    assert_eq!(issued.index, before + 1);
    let kinds: Vec<_> = (before..before + 3).map(|index| bench.entry(index).0.kind().unwrap()).collect();
    assert_eq!(kinds, [Kind::RunStarted, Kind::Delegated, Kind::RunEnded]);
    for (seq, index) in (0..).zip(before..before + 3) {
        let (entry, _) = bench.entry(index);
        assert_eq!((entry.run, entry.stream, entry.seq), (issued.run, 0, seq));
    }
    assert_eq!(bench.field(issued.index, "request"), Some(json!(request)));
    assert_eq!(bench.field(issued.index, "digest"), Some(json!(issued.digest)));
    assert_eq!(bench.field(before + 2, "reason"), Some(json!("issued")));
    let (manifest, _) = bench.entry(before + 2);
    let listed = bench.field(before + 2, "streams").unwrap();
    assert_eq!(listed, json!([{"stream": 0, "count": 2, "last": Digest(manifest.prev).hex()}]));
    assert_eq!(manifest.prev, bench.entry(issued.index).0.leaf_hash());
    assert!(bench.recorder.control().run(&issued.run).is_none(), "nobody acts in it");
    let link = Held { tokens: vec![issued.token], key: key(20) }.link();
    let root = link.as_root().unwrap();
    assert_eq!((root.why.as_deref(), root.principal.sub.as_str()), (Some("drill"), "ciso"));
    assert_eq!((root.holder.id.as_str(), root.holder.asr.as_str()), ("agent-20", "delegator-asserted"));
    // who holds the key is not known where nobody says so
    let unnamed = bench.issued(&person, 21, |request| request.holder = None).await.link();
    let holder = unnamed.holder();
    assert_eq!((holder.id, holder.asr.as_str()), (format!("key:{}", holder.key), "inferred"));
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_do_not_hold_issue_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let person = register(&bench, "ciso", 11).await;
    let good = || asked(&bench, &person, 20);
    not_issued(&bench, &asked(&bench, &key(99), 20), &key(99), "request-key").await;
    not_issued(&bench, &good(), &key(99), "request-malformed").await;
    let elsewhere = RootRequest { audience: "deeds://elsewhere".into(), ..good() };
    not_issued(&bench, &elsewhere, &person, "request-malformed").await;
    not_issued(&bench, &RootRequest { tenant: "b".into(), ..good() }, &person, "request-binding").await;
    let unknown = RootRequest { mandate: Some("x".repeat(43)), ..good() };
    not_issued(&bench, &unknown, &person, "mandate-missing").await;
    let old = good();
    bench.clock.advance(331_000);
    not_issued(&bench, &old, &person, "request-binding").await;
    // nothing that a caller says beside the request counts: nested actors, a principal, a source
    let mut claims = {
        let signed = jws::Signed::parse(&good().sign(&person), jws::ROOT_REQUEST).unwrap();
        Value::Object(signed.unverified().clone())
    };
    claims["act"] = json!({"sub": "somebody", "act": {"sub": "else"}});
    claims["deeds"]["prin"] = json!({"kind": "human", "iss": "https://id", "sub": "ceo"});
    claims["deeds"]["src"] = json!([{"t": "oidc"}]);
    let issued = bench.recorder.issue(&jws::sign(jws::ROOT_REQUEST, &claims, &person), PEER).await.unwrap();
    assert_eq!(issued.principal.sub, "ciso");
    let link = Held { tokens: vec![issued.token], key: key(20) }.link();
    assert!(matches!(link.as_root().unwrap().source, Source::KeyRequest(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_issuer_key_is_revoked_nothing_is_issued_and_what_was_logged_stands() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let person = register(&bench, "ciso", 11).await;
    let root = bench.issued(&person, 20, |_| {}).await;
    let run = bench.opened(&root).await;
    bench.clock.advance(10_000);
    let now = bench.clock.wall_ms() / 1_000;
    let revoke = |eff| Revoke {
        what: What::IssuerKey,
        target: Target::Text(Jwk::of(&key(2)).thumbprint()),
        eff: Some(eff),
        why: "the key was copied".into(),
        token: None,
    };
    bench.recorder.revoke(revoke(now - 5), PEER).await.unwrap();
    bench.allowed(bench.act(&run, &root, READ, "{}", 0)).await.leased();
    not_issued(&bench, &asked(&bench, &person, 21), &person, "revoked").await;
    bench.not_opened(open_fs(), "revoked").await;
    // from before the log recorded the root: it falls too
    bench.recorder.revoke(revoke(now - 20), PEER).await.unwrap();
    bench.denied(bench.act(&run, &root, READ, "{}", 1), "revoked").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn break_glass_is_a_persons_own_word_with_a_reason() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let person = register(&bench, "noor", 11).await;
    let machine = service(&bench, "playbook", 12).await;
    let glass = |signer: &SigningKey, why: Option<&str>| RootRequest {
        purpose: BREAK_GLASS.into(),
        why: why.map(str::to_owned),
        ..asked(&bench, signer, 20)
    };
    not_issued(&bench, &glass(&person, None), &person, "request-binding").await;
    not_issued(&bench, &glass(&machine, Some("now")), &machine, "request-binding").await;
    bench.not_opened(OpenRun { purpose: BREAK_GLASS.into(), ..open_fs() }, "request-binding").await;
    let request = glass(&person, Some("the controller is on fire")).sign(&person);
    let issued = bench.recorder.issue(&request, PEER).await.unwrap();
    let root = Held { tokens: vec![issued.token], key: key(20) };
    let run = bench.opened(&root.child(&bench, 21)).await;
    let child = root.child(&bench, 21);
    let index = bench.recorder.take_chain(run.run, 0, child.presented(), PEER).await.unwrap().index;
    assert!(index > run.renewal.index);
    let act = bench.allowed(bench.act(&run, &child, READ, "{}", 0)).await.leased().index;
    let asked = bench.field(act, "request").unwrap()["context"]["delegation"]["purpose"].clone();
    assert_eq!(asked, BREAK_GLASS);
}

/// A person's mandate on record, for the service `playbook`, whose key is `[12; 32]`.
async fn standing(bench: &Bench, change: impl FnOnce(&mut Mandate)) -> (SigningKey, SigningKey, Registered) {
    let person = register(bench, "ciso", 11).await;
    let machine = service(bench, "playbook", 12).await;
    let mut mandate = mandate(bench, &person, "ciso", "playbook");
    change(&mut mandate);
    let registered = bench.recorder.register_mandate(&mandate.sign(&person), PEER).await.unwrap();
    (person, machine, registered)
}

fn under_mandate(bench: &Bench, signer: &SigningKey, mandate: &Registered) -> RootRequest {
    RootRequest {
        mandate: Some(mandate.digest.clone()),
        holder: None,
        max_depth: 2,
        ..asked(bench, signer, 20)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mandate_stands_behind_short_roots() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let (_, machine, registered) = standing(&bench, |_| {}).await;
    let (entry, _) = bench.entry(registered.index);
    assert_eq!((entry.kind(), entry.run), (Some(Kind::Delegated), id::LOG_LEVEL));
    assert_eq!(bench.field(registered.index, "digest"), Some(json!(registered.digest)));
    assert_eq!(bench.field(registered.index, "principal").unwrap()["sub"], "ciso");
    for absent in ["request", "holder", "txn"] {
        assert_eq!(bench.field(registered.index, absent), None);
    }
    let request = under_mandate(&bench, &machine, &registered).sign(&machine);
    let issued = bench.recorder.issue(&request, PEER).await.unwrap();
    assert_eq!((issued.principal.sub.as_str(), issued.grade), ("ciso", "key-signed"));
    assert_eq!(issued.exp, bench.clock.wall_ms() / 1_000 + 900, "as long as the mandate lets a root live");
    let root = Held { tokens: vec![issued.token], key: key(20) };
    let claims = root.link();
    let source = &claims.as_root().unwrap().source;
    assert_eq!(source.mandate().unwrap().digest, registered.digest);
    assert_eq!(source.request().unwrap().kid, Jwk::of(&machine).thumbprint());
    let holder = claims.holder();
    assert_eq!((holder.id.as_str(), holder.asr.as_str()), ("playbook", "issuer-asserted"));
    assert_eq!(holder.kind, PrincipalKind::Service);
    let child = root.child(&bench, 21);
    let run = bench.opened(&child).await;
    let index = bench.allowed(bench.act(&run, &child, READ, "{}", 0)).await.leased().index;
    assert_eq!(bench.field(index, "credential").unwrap()["type"], "mandate");
    assert_eq!(bench.field(index, "principal").unwrap()["sub"], "ciso");
    assert!(
        bench.field(index, "assurance").unwrap()["note"].as_str().unwrap().contains("standing authority")
    );
    // a wrap can ask under it too
    let open = OpenRun {
        root_request: Some(under_mandate(&bench, &machine, &registered).sign(&machine)),
        key: Jwk::of(&key(20)),
        ..open_fs()
    };
    let run = bench.recorder.open_run(open, PEER).await.unwrap();
    assert_eq!((run.principal.sub.as_str(), run.renewal.holder.id.as_str()), ("ciso", "playbook"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_mandate_is_on_record_once() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let person = register(&bench, "ciso", 11).await;
    let token = mandate(&bench, &person, "ciso", "playbook").sign(&person);
    let first = bench.recorder.register_mandate(&token, PEER).await.unwrap();
    let size = bench.recorder.reader().size();
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let (recorder, token) = (bench.recorder.clone(), token.clone());
            tokio::spawn(async move { recorder.register_mandate(&token, PEER).await.unwrap() })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap(), first);
    }
    assert_eq!(bench.recorder.reader().size(), size);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mandate_gives_no_more_than_it_says_and_to_nobody_else() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let approvals = Approvals { tools: vec!["stdio:fs#pay".into()], m: 1, by: vec!["a".into()], ttl: 60 };
    let demanded = approvals.clone();
    let (person, machine, registered) = standing(&bench, |mandate| {
        mandate.scope = scope(READ, &json!({}));
        mandate.approvals = Some(demanded);
    })
    .await;
    let stranger = service(&bench, "stranger", 13).await;
    let good = |signer: &SigningKey| RootRequest {
        scope: scope(READ, &json!({})),
        approvals: Some(approvals.clone()),
        ..under_mandate(&bench, signer, &registered)
    };
    bench.recorder.issue(&good(&machine).sign(&machine), PEER).await.unwrap();
    not_issued(&bench, &good(&stranger), &stranger, "mandate-binding").await;
    not_issued(&bench, &good(&person), &person, "mandate-binding").await;
    let other_holder =
        RootRequest { holder: Some(("stranger".into(), PrincipalKind::Service)), ..good(&machine) };
    not_issued(&bench, &other_holder, &machine, "mandate-binding").await;
    for wider in [
        RootRequest { scope: Scope::server("stdio:fs"), ..good(&machine) },
        RootRequest { max_depth: 3, ..good(&machine) },
        RootRequest { purpose: "another".into(), ..good(&machine) },
        RootRequest { approvals: None, ..good(&machine) },
        RootRequest { approvals: Some(Approvals { ttl: 61, ..approvals.clone() }), ..good(&machine) },
    ] {
        not_issued(&bench, &wider, &machine, "mandate-binding").await;
    }
    // it ends, and so does whoever signed it
    let exp = registered.exp * 1_000;
    bench.clock.advance(exp - 10_000 - bench.clock.wall_ms());
    let last = bench.recorder.issue(&good(&machine).sign(&machine), PEER).await.unwrap();
    assert_eq!(last.exp, registered.exp, "no root outlives its mandate");
    bench.recorder.retire_principal(&Jwk::of(&person).thumbprint(), PEER).await.unwrap();
    not_issued(&bench, &good(&machine), &machine, "mandate-key").await;
    let root = Held { tokens: vec![last.token], key: key(20) };
    bench.not_taken(&root, "principal-retired").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mandate_that_is_over_or_revoked_gives_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let (person, machine, registered) = standing(&bench, |_| {}).await;
    let request = || under_mandate(&bench, &machine, &registered);
    let issued = bench.recorder.issue(&request().sign(&machine), PEER).await.unwrap();
    let root = Held { tokens: vec![issued.token], key: key(20) };
    let run = bench.opened(&root).await;
    let revoke = Revoke {
        what: What::Delegation,
        target: Target::Text(registered.digest.clone()),
        eff: None,
        why: "over".into(),
        token: None,
    };
    bench.recorder.revoke(revoke, PEER).await.unwrap();
    not_issued(&bench, &request(), &machine, "revoked").await;
    bench.denied(bench.act(&run, &root, READ, "{}", 0), "revoked").await;

    let before = bench.recorder.reader().size();
    let future = mandate(&bench, &person, "ciso", "playbook");
    let recorder = &bench.recorder;
    let refused =
        |token: String| async move { recorder.register_mandate(&token, PEER).await.map(drop).unwrap_err() };
    let now = bench.clock.wall_ms() / 1_000;
    let over = Mandate { iat: now - 100, nbf: now - 100, exp: now, ..future.clone() };
    bench.on_record(before, &refused(over.sign(&person)).await, "delegation-time");
    for (wrong, signer, step) in [
        (Mandate { tenant: "b".into(), ..future.clone() }, &person, "mandate-malformed"),
        (Mandate { exp: future.iat + 3_024_001, ..future.clone() }, &person, "mandate-malformed"),
        (Mandate { purpose: BREAK_GLASS.into(), ..future.clone() }, &person, "mandate-malformed"),
        (mandate(&bench, &machine, "ciso", "playbook"), &machine, "mandate-binding"),
        (mandate(&bench, &key(99), "ciso", "playbook"), &key(99), "mandate-key"),
    ] {
        let before = bench.recorder.reader().size();
        bench.on_record(before, &refused(wrong.sign(signer)).await, step);
    }
    let later = Mandate { nbf: now + 1_000, ..future };
    let registered = bench.recorder.register_mandate(&later.sign(&person), PEER).await.unwrap();
    not_issued(&bench, &under_mandate(&bench, &machine, &registered), &machine, "mandate-binding").await;
}

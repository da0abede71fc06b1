//! Acts: permitted once, refused with a reason, recorded before they go.

use evidence::Status;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_permitted_act_is_recorded_before_and_after() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let run = bench.run().await;
    let permit = bench.allowed(bench.call(&run, "read_file", &json!({"path": "/work/a"}), 0)).await;
    let (index, leaf) = (permit.index, permit.leaf);
    assert_eq!(bench.recorder.reader().size(), index + 1, "the decision is durable when the permit is given");
    let receipt = permit.receipt.clone().unwrap();
    receipt.verify(&leaf, &SigningKey::from_bytes(&[1; 32]).verifying_key()).unwrap();
    let finished = permit.finish(bench.outcome(Status::Ok)).unwrap().wait().await.unwrap();
    assert_eq!((finished.index, finished.late), (index + 1, false));
    let (entry, _) = bench.entry(finished.index);
    assert_eq!(entry.causes, [evidence::Cause::Here(leaf)]);
    assert_eq!(bench.field(index, "verdict"), Some(json!("allow")));
    assert_eq!(bench.field(index, "args"), Some(json!({"path": "/work/a"})));
    assert_eq!(bench.field(finished.index, "status"), Some(json!("ok")));
    assert_eq!(
        bench.kinds(),
        [
            Kind::LogGenesis,
            Kind::LogGenesis,
            Kind::PolicyActivated,
            Kind::RunStarted,
            Kind::Delegated,
            Kind::Decided,
            Kind::Finished
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_permit_ends_in_an_unknown_outcome() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let run = bench.run().await;
    let permit = bench.allowed(bench.call(&run, "read_file", &json!({}), 0)).await;
    let index = permit.index;
    drop(permit);
    bench.recorder.reader().wait_size_above(index + 1, std::time::Duration::from_secs(10));
    assert_eq!(bench.field(index + 1, "status"), Some(json!("unknown")));
    assert!(bench.recorder.control().run(&run.run).unwrap().open.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_gets_the_first_answer_and_a_replay_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let run = bench.run().await;
    let call = bench.call(&run, "read_file", &json!({}), 0);
    let first = bench.allowed(call.clone()).await.leased().index;
    assert_eq!(bench.allowed(call.clone()).await.leased().index, first);
    assert_eq!(bench.recorder.reader().size(), first + 1, "a retry writes nothing");
    bench.clock.advance(120_000);
    assert_eq!(bench.allowed(call.clone()).await.leased().index, first, "however late it comes");

    let other_act = Request { act_id: bench.recorder.new_id(), ..call.clone() };
    assert_eq!(bench.refused(other_act).await.reason.step, "pop-binding");
    let same_counter = bench.call(&run, "read_file", &json!({}), 0);
    let refused = bench.refused(same_counter).await;
    assert_eq!(refused.reason.code, "proof-replayed");
    assert_eq!(bench.field(refused.index.unwrap(), "verdict"), Some(json!("deny")));
    let same_act = bench.call_of(&run, "read_file", &json!({}), 1, call.act_id);
    assert_eq!(bench.refused(same_act).await.reason.code, "act-decided");
    let window = evidence::limits::POP_WINDOW;
    assert_eq!(
        bench.refused(bench.call(&run, "read_file", &json!({}), 2 + window)).await.reason.code,
        "proof-replayed"
    );
    bench.allowed(bench.call(&run, "read_file", &json!({}), 1 + window)).await.leased();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_hundred_replays_at_once_exactly_one_is_permitted() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let run = bench.run().await;
    let calls: Vec<Request> = (0..100).map(|_| bench.call(&run, "read_file", &json!({}), 0)).collect();
    let tasks: Vec<_> = calls
        .into_iter()
        .map(|call| {
            let recorder = bench.recorder.clone();
            tokio::spawn(async move { recorder.begin(call, PEER).await })
        })
        .collect();
    let mut allowed = 0;
    for task in tasks {
        if let Answer::Allowed(permit) = task.await.unwrap().unwrap() {
            permit.leased();
            allowed += 1;
        }
    }
    assert_eq!(allowed, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_authorized_is_refused_and_recorded_with_the_step() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let run = bench.run().await;
    let base = || bench.call(&run, "read_file", &json!({"path": "/work/a"}), 0);
    let other_tool = Request { tool: "stdio:fs#write_file".into(), ..base() };
    let other_args = Request { args: Some(json!({"path": "/etc/passwd"}).to_string()), ..base() };
    let twice = Request { args: Some(r#"{"path":"/work/a","path":"/etc/passwd"}"#.into()), ..base() };
    let big = Request { args: Some(r#"{"n":9007199254740993}"#.into()), ..base() };
    let not_object = Request { args: Some("[1]".into()), ..base() };
    let no_token = Request { delegation: "unknown".into(), ..base() };
    let bad_proof = Request { pop: "x.y.z".into(), ..base() };
    for (request, step) in [
        (other_tool, "pop-binding"),
        (other_args, "pop-binding"),
        (twice, "arguments"),
        (big, "arguments"),
        (not_object, "arguments"),
        (no_token, "decision-delegation"),
        (bad_proof, "pop-malformed"),
    ] {
        let refused = bench.refused(request).await;
        assert_eq!(refused.reason.step, step, "{:?}", refused.reason);
        let index = refused.index.unwrap();
        assert_eq!(bench.field(index, "reason").unwrap()["step"], step);
        assert!(refused.receipt.is_some());
    }
    // the holder signed some of those, so their counter is used up, and only that one
    let again = bench.call(&run, "read_file", &json!({}), 0);
    assert_eq!(bench.refused(again).await.reason.code, "proof-replayed");
    bench.allowed(bench.call(&run, "read_file", &json!({}), 1)).await.leased();
}

#[tokio::test(flavor = "multi_thread")]
async fn proofs_are_fresh_or_refused() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let run = bench.run().await;
    let within = bench.call(&run, "read_file", &json!({}), 0);
    bench.clock.advance(30_000);
    bench.allowed(within).await.leased();
    let late = bench.call(&run, "read_file", &json!({}), 1);
    bench.clock.advance(31_000);
    assert_eq!(bench.refused(late).await.reason.step, "pop-time");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scope_signed_by_a_person_holds_every_call() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let key = register(&bench, "ciso", 11).await;
    let scope = json!({"stdio:fs#isolate_host": {"host": {"constraint_type": "prefix", "prefix": "ws-"}}});
    let open = OpenRun { root_request: Some(root_request(&bench, &key, &scope)), ..open_fs() };
    let run = bench.recorder.open_run(open, PEER).await.unwrap();
    assert_eq!(run.grade, "key-signed");
    assert_eq!(run.principal.sub, "ciso");
    assert_eq!(run.renewal.holder.id, "containment-agent");
    assert_eq!(run.renewal.holder.asr, "delegator-asserted");
    bench.allowed(bench.call(&run, "isolate_host", &json!({"host": "ws-1"}), 0)).await.leased();
    let refused = bench.refused(bench.call(&run, "isolate_host", &json!({"host": "dc-1"}), 1)).await;
    assert_eq!(refused.reason.step, "scope");
    let refused = bench.refused(bench.call(&run, "release_host", &json!({"host": "ws-1"}), 2)).await;
    assert_eq!(refused.reason.step, "scope");

    bench.recorder.retire_principal(&Jwk::of(&key).thumbprint(), PEER).await.unwrap();
    let refused = bench.refused(bench.call(&run, "isolate_host", &json!({"host": "ws-2"}), 3)).await;
    assert_eq!(refused.reason.step, "principal-retired");
    // refused acts used their counters too, so none is missing in the end
    let thumbprint = Jwk::of(&agent_key()).thumbprint();
    assert_eq!(bench.recorder.control().windows.get(&thumbprint).unwrap().missing, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_do_not_hold_are_refused_and_recorded() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let scope = json!({"stdio:fs#read_file": {}});
    let stranger = SigningKey::from_bytes(&[12; 32]);
    let before = bench.recorder.reader().size();
    let open = OpenRun { root_request: Some(root_request(&bench, &stranger, &scope)), ..open_fs() };
    let error = bench.recorder.open_run(open, PEER).await.unwrap_err();
    assert!(matches!(error, RecorderError::RequestRefused { step: "request-key", .. }), "{error:?}");
    assert_eq!(bench.field(before, "subtype"), Some(json!("refusals")));

    let key = register(&bench, "ciso", 11).await;
    let request = root_request(&bench, &key, &scope);
    let wider =
        OpenRun { root_request: Some(request.clone()), scope: Some(Scope::server("stdio:fs")), ..open_fs() };
    let error = bench.recorder.open_run(wider, PEER).await.unwrap_err();
    assert!(matches!(error, RecorderError::RequestRefused { step: "request-binding", .. }), "{error:?}");
    let other_key = OpenRun { root_request: Some(request), key: Jwk::of(&stranger), ..open_fs() };
    assert!(bench.recorder.open_run(other_key, PEER).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_stands_for_one_principal_once() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let key = register(&bench, "ciso", 11).await;
    let size = bench.recorder.reader().size();
    register(&bench, "ciso", 11).await;
    assert_eq!(bench.recorder.reader().size(), size, "registered already, nothing is written");
    let again = |sub: &str| {
        let claims =
            json!({"aud": bench.recorder.names().issuer, "sub": sub, "iat": bench.clock.wall_ms() / 1_000});
        let proof = jws::sign(jws::KEY_PROOF, &claims, &key);
        let key = Jwk::of(&key).to_json();
        Registration { kind: PrincipalKind::Human, sub: sub.into(), key, proof, display: None }
    };
    let renamed = bench.recorder.register_principal(&again("x3"), PEER).await;
    assert!(matches!(renamed, Err(RecorderError::KeyTaken(_))), "{renamed:?}");
    bench.recorder.retire_principal(&Jwk::of(&key).thumbprint(), PEER).await.unwrap();
    let revived = bench.recorder.register_principal(&again("ciso"), PEER).await;
    assert!(matches!(revived, Err(RecorderError::KeyTaken(_))), "{revived:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_refusals_is_counted() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let run = bench.run().await;
    let before = bench.recorder.reader().size();
    for counter in 0..50 {
        let call = Request { pop: "x.y.z".into(), ..bench.call(&run, "read_file", &json!({}), counter) };
        let refused = bench.refused(call).await;
        assert_eq!(refused.index.is_some(), counter < 32, "{counter}");
    }
    assert_eq!(bench.recorder.reader().size(), before + 32);
    bench.recorder.flush_refusals(None).await.unwrap();
    assert_eq!(bench.field(before + 32, "subtype"), Some(json!("refusals")));
    assert_eq!(bench.field(before + 32, "count"), Some(json!(18)));
    assert_eq!(bench.entry(before + 32).0.run, run.run);
}

#[tokio::test(flavor = "multi_thread")]
async fn long_arguments_are_known_by_their_digest() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let run = bench.run().await;
    let args = |len: usize| json!({"content": "x".repeat(len)});
    let fits = evidence::limits::VALUE_SEALED_MAX_BYTES - args(0).to_string().len();
    let permit = bench.allowed(bench.call(&run, "write_file", &args(fits), 0)).await;
    assert_eq!(permit.capture.args, Mode::Sealed);
    assert!(bench.field(permit.leased().index, "args").is_some());
    let permit = bench.allowed(bench.call(&run, "write_file", &args(fits + 1), 1)).await;
    assert_eq!(permit.capture.args, Mode::Digest);
    let index = permit.leased().index;
    assert!(bench.field(index, "args").is_none());
    assert!(bench.field(index, "args_digest").is_some());
}

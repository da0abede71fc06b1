//! What somebody tried, or could: each of these went through once.

use evidence::Status;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_used_proof_is_an_answer_to_its_own_question_alone() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let run = bench.run().await;
    let call = bench.call(&run, "read_file", &json!({}), 0);
    let permit = bench.allowed(call.clone()).await;
    let other_tool = Request { tool: "stdio:fs#delete_everything".into(), ..call.clone() };
    assert_eq!(bench.refused(other_tool).await.reason.code, "act-decided");
    let other_args = Request { args: Some(json!({"path": "/etc"}).to_string()), ..call.clone() };
    assert_eq!(bench.refused(other_args).await.reason.code, "act-decided");
    permit.finish(bench.outcome(Status::Ok)).unwrap().wait().await.unwrap();
    assert_eq!(bench.refused(call).await.reason.code, "act-finished");
}

#[tokio::test(flavor = "multi_thread")]
async fn joining_a_run_does_not_take_over_its_authority() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let key = register(&bench, "ciso", 11).await;
    let scope = json!({"stdio:fs#read_file": {}});
    let open = OpenRun { root_request: Some(root_request(&bench, &key, &scope)), ..open_fs() };
    let run = bench.recorder.open_run(open, PEER).await.unwrap();
    let join = OpenRun { join: Some(run.run), scope: Some(Scope::server("stdio:prod")), ..open_fs() };
    let refused = bench.recorder.open_run(join, PEER).await.unwrap_err();
    assert!(matches!(refused, RecorderError::RequestRefused { step: "request-binding", .. }), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_renewal_decisions_speak_of_the_new_key() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let mut run = bench.run().await;
    let fresh = SigningKey::from_bytes(&[8; 32]);
    let open = OpenRun { key: Jwk::of(&fresh), ..open_fs() };
    run.renewal = bench.recorder.renew(run.run, 0, open, PEER).await.unwrap();
    let mut call = bench.call(&run, "read_file", &json!({}), 0);
    let signed = jws::Signed::parse(&call.pop, jws::POP).unwrap();
    call.pop = Pop::parse(signed.unverified()).unwrap().sign(&fresh);
    let index = bench.allowed(call).await.leased().index;
    assert_eq!(bench.field(index, "holder").unwrap()["key"], Jwk::of(&fresh).thumbprint());
    assert_eq!(bench.field(index, "chain"), bench.field(run.renewal.index, "digest"));
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_calls_do_not_leave_holes_that_stop_later_ones() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let run = bench.run().await;
    let bad = Request {
        args: Some(r#"{"n":12345678901234567890}"#.into()),
        ..bench.call(&run, "a", &json!({}), 0)
    };
    assert_eq!(bench.refused(bad).await.reason.code, "args-invalid");
    for counter in 1..=evidence::limits::POP_WINDOW + 4 {
        bench.allowed(bench.call(&run, "read_file", &json!({}), counter)).await.leased();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_act_is_never_forgotten() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let run = bench.run().await;
    let first = bench.call(&run, "read_file", &json!({}), 0);
    let index = bench.allowed(first.clone()).await.leased().index;
    let others = limits::RECENT_ACTS as u64 + 1;
    for counter in 1..=others {
        let permit = bench.allowed(bench.call(&run, "read_file", &json!({}), counter)).await;
        permit.finish(bench.outcome(Status::Ok)).unwrap().wait().await.unwrap();
    }
    assert!(bench.recorder.control().run(&run.run).unwrap().recent.len() <= limits::RECENT_ACTS);
    assert_eq!(bench.allowed(first.clone()).await.leased().index, index, "a retry still finds it");
    let again = bench.call_of(&run, "read_file", &json!({}), others + 1, first.act_id);
    assert_eq!(bench.refused(again).await.reason.code, "act-decided");
}

#[tokio::test(flavor = "multi_thread")]
async fn late_outcomes_are_bounded_and_the_run_can_end() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let run = bench.run().await;
    let call = bench.call(&run, "read_file", &json!({}), 0);
    let act_id = call.act_id;
    let permit = bench.allowed(call).await;
    let decision = permit.index;
    permit.finish(bench.outcome(Status::Unknown)).unwrap().wait().await.unwrap();
    for _ in 0..limits::LATE_MAX {
        let late = bench.recorder.finish(run.run, act_id, decision, bench.outcome(Status::Ok)).unwrap();
        assert!(late.wait().await.unwrap().late);
    }
    let more = bench.recorder.finish(run.run, act_id, decision, bench.outcome(Status::Ok)).unwrap();
    assert!(matches!(more.wait().await, Err(RecorderError::ActUnknown(..))));
    assert!(bench.recorder.end_stream(run.run, 0, "closed", 0).await.unwrap().index.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_set_back_while_nobody_served_does_not_stop_the_log() {
    let directory = tempfile::tempdir().unwrap();
    let one = bench(directory.path()).await;
    let clock = one.clock.clone();
    drop(one);
    clock.wall.set(START_MS - 7_200_000);
    let two = reopened(directory.path(), clock).await;
    let size = two.recorder.reader().size();
    let run = two.run().await;
    assert_eq!(two.entry(size).0.kind(), Some(Kind::ClockAdjusted));
    two.allowed(two.call(&run, "read_file", &json!({}), 0)).await.leased();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_of_other_entries_is_not_used() {
    let directory = tempfile::tempdir().unwrap();
    let one = bench(directory.path()).await;
    one.run().await;
    let live = one.recorder.control().clone();
    let clock = one.clock.clone();
    drop(one);
    // as long as this log and of its id, but it ends with an entry that recovery had to move aside
    let other = control::Control { last_leaf: [9; 32], log: control::Head::default(), ..live.clone() };
    control::save(&directory.path().join("local/control.json"), &other).unwrap();
    let two = reopened(directory.path(), clock).await;
    assert_eq!(*two.recorder.control(), live);
}

#[tokio::test(flavor = "multi_thread")]
async fn wraps_started_together_share_one_task() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let opens: Vec<_> = (0..16)
        .map(|n| {
            let recorder = bench.recorder.clone();
            let mut open = open_fs();
            open.server.alias = format!("fs{n}");
            tokio::spawn(async move { recorder.open_run(open, PEER).await.unwrap().renewal.txn })
        })
        .collect();
    let mut tasks = std::collections::BTreeSet::new();
    for open in opens {
        tasks.insert(open.await.unwrap());
    }
    assert_eq!(tasks.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_has_one_key_in_force() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let first = register(&bench, "ciso", 11).await;
    let other = SigningKey::from_bytes(&[12; 32]);
    let claims =
        json!({"aud": bench.recorder.names().issuer, "sub": "ciso", "iat": bench.clock.wall_ms() / 1_000});
    let second = Registration {
        kind: PrincipalKind::Human,
        sub: "ciso".into(),
        key: Jwk::of(&other).to_json(),
        proof: jws::sign(jws::KEY_PROOF, &claims, &other),
        display: None,
    };
    let refused = bench.recorder.register_principal(&second, PEER).await;
    assert!(matches!(refused, Err(RecorderError::KeyTaken(_))), "{refused:?}");
    bench.recorder.retire_principal(&Jwk::of(&first).thumbprint(), PEER).await.unwrap();
    bench.recorder.register_principal(&second, PEER).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn while_policies_change_every_decision_names_the_one_in_force_at_its_place() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let run = bench.run().await;
    let set = |n: u64| {
        let text = format!("@id(\"all{n}\") permit (principal, action, resource);");
        let files = vec![policy::PolicyFile { path: "all.cedar".into(), text }];
        Arc::new(PolicySet::from_files(files).unwrap())
    };
    let recorder = bench.recorder.clone();
    let changing = tokio::spawn(async move {
        for n in 0..20 {
            recorder.activate(set(n), "test", PEER).await.unwrap();
        }
    });
    for counter in 0..60 {
        match bench.recorder.begin(bench.call(&run, "read_file", &json!({}), counter), PEER).await {
            Ok(Answer::Allowed(permit)) => drop(permit.leased()),
            Ok(Answer::Refused(refusal)) => panic!("{refusal:?}"),
            Err(error) => assert_eq!(error, RecorderError::Busy),
        }
    }
    changing.await.unwrap();
    let mut in_force = None;
    for index in 0..bench.recorder.reader().size() {
        match bench.entry(index).0.kind() {
            Some(Kind::PolicyActivated) => in_force = bench.field(index, "policy_digest"),
            Some(Kind::Decided) => assert_eq!(bench.field(index, "policy_digest"), in_force, "@{index}"),
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_floods_the_log_level_cannot_keep_others_from_acting() {
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let run = bench.run().await;
    let (over, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut floods = tokio::task::JoinSet::new();
    for n in 0..16_u32 {
        let (recorder, over, written) = (bench.recorder.clone(), Arc::clone(&over), Arc::clone(&written));
        floods.spawn(async move {
            let withdraw = Withdraw { uri: Some(format!("x{n}")), digest: None, why: "noise".into() };
            while !over.load(Ordering::Relaxed) {
                recorder.withdraw(&withdraw, PEER).await.unwrap();
                written.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    while written.load(Ordering::Relaxed) < 32 {
        tokio::task::yield_now().await;
    }
    for counter in 0..20 {
        bench.allowed(bench.call(&run, "read_file", &json!({}), counter)).await.leased();
        let open = OpenRun { join: Some(run.run), ..open_fs() };
        bench.recorder.open_run(open, PEER).await.unwrap();
        bench.recorder.renew(run.run, 0, open_fs(), PEER).await.unwrap();
    }
    over.store(true, Ordering::Relaxed);
    while let Some(flood) = floods.join_next().await {
        flood.unwrap();
    }
    assert_eq!(bench.recorder.control().run(&run.run).unwrap().streams.len(), 21);
}

//! Runs, leases, restarts and clocks: what outlives a writer, and what ends with it.

use evidence::Status;

use super::*;

/// The state that grew with the log is the state that the log alone gives.
fn assert_rebuilds(directory: &Path, live: &control::Control) {
    let snapshot = directory.join("local/control.json");
    assert_eq!(control::load(&snapshot).unwrap().as_ref(), Some(live));
    std::fs::remove_file(snapshot).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_state_is_rebuilt_from_the_log_alone() {
    let directory = tempfile::tempdir().unwrap();
    let one = bench(directory.path()).await;
    let key = register(&one, "ciso", 11).await;
    let run = one.run().await;
    let open = one.call(&run, "read_file", &json!({}), 0);
    one.allowed(open).await.leased();
    let done = one.allowed(one.call(&run, "read_file", &json!({}), 2)).await;
    done.finish(one.outcome(Status::Ok)).unwrap().wait().await.unwrap();
    let refused = Request { pop: "x.y.z".into(), ..one.call(&run, "read_file", &json!({}), 3) };
    one.refused(refused).await;
    one.recorder.retire_principal(&Jwk::of(&key).thumbprint(), PEER).await.unwrap();
    let live = one.recorder.control().clone();
    let clock = one.clock.clone();
    drop(one);
    assert_rebuilds(directory.path(), &live);
    let two = reopened(directory.path(), clock).await;
    assert_eq!(*two.recorder.control(), live);
    // the counters are remembered: what was used stays used, what is missing may come
    assert_eq!(two.refused(two.call(&run, "read_file", &json!({}), 0)).await.reason.code, "proof-replayed");
    two.allowed(two.call(&run, "read_file", &json!({}), 1)).await.leased();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_lease_ends_the_run_after_its_grace_and_later_outcomes_stand_beside() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let run = bench.run().await;
    let lease = bench.recorder.lease(run.run, 0).unwrap();
    let call = bench.call(&run, "read_file", &json!({}), 0);
    let act_id = call.act_id;
    let decision = bench.allowed(call).await.leased().index;
    bench.clock.advance(120_000);
    assert_eq!(bench.recorder.sweep().await.unwrap(), 0, "held, so it lives");
    drop(lease);
    bench.clock.advance(limits::LEASE_GRACE_MS - 1);
    assert_eq!(bench.recorder.sweep().await.unwrap(), 0);
    bench.clock.advance(1);
    assert_eq!(bench.recorder.sweep().await.unwrap(), 1);
    let ended = bench.recorder.control().run(&run.run).unwrap().ended.unwrap();
    assert_eq!(bench.field(ended, "reason"), Some(json!("lost")));
    assert_eq!(bench.field(ended - 1, "status"), Some(json!("unknown")));
    assert_eq!(bench.field(ended, "open_actions"), Some(json!([id::text(&act_id)])));
    let (manifest, _) = bench.entry(ended);
    let listed = bench.field(ended, "streams").unwrap();
    assert_eq!(listed[0]["count"], manifest.seq);
    assert_eq!(listed[0]["last"], Digest(manifest.prev).hex());

    let outcome = bench.outcome(Status::Ok);
    let late =
        bench.recorder.finish(run.run, act_id, decision, outcome.clone()).unwrap().wait().await.unwrap();
    assert!(late.late);
    let (entry, _) = bench.entry(late.index);
    assert_eq!((entry.stream, entry.seq), (1, 0));
    assert_eq!(bench.field(late.index, "subtype"), Some(json!("late-outcome")));
    assert_eq!(bench.entry(late.index + 1).0.kind(), Some(Kind::RunEnded), "its stream is closed at once");
    let again = bench.recorder.finish(run.run, act_id, decision, outcome).unwrap().wait().await.unwrap();
    assert_eq!((again.index, again.late), (late.index, false), "sent again, it is the same event");
    assert!(matches!(
        bench.recorder.begin(bench.call(&run, "read_file", &json!({}), 1), PEER).await,
        Err(RecorderError::RunEnded(_))
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_sent_again_after_a_restart_is_the_same_entry() {
    let directory = tempfile::tempdir().unwrap();
    let one = bench(directory.path()).await;
    let run = one.run().await;
    let call = one.call(&run, "read_file", &json!({}), 0);
    let act_id = call.act_id;
    let permit = one.allowed(call).await;
    let decision = permit.index;
    let outcome = one.outcome(Status::Ok);
    let first = permit.finish(outcome.clone()).unwrap().wait().await.unwrap();
    let clock = one.clock.clone();
    drop(one);
    let two = reopened(directory.path(), clock).await;
    let again = two.recorder.finish(run.run, act_id, decision, outcome).unwrap().wait().await.unwrap();
    assert_eq!((again.index, again.late), (first.index, false));
    let leaf = two.entry(first.index).0.leaf_hash();
    again.receipt.unwrap().verify(&leaf, &SigningKey::from_bytes(&[1; 32]).verifying_key()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_open_runs_have_their_grace() {
    let directory = tempfile::tempdir().unwrap();
    let one = bench(directory.path()).await;
    let run = one.run().await;
    one.allowed(one.call(&run, "read_file", &json!({}), 0)).await.leased();
    let clock = one.clock.clone();
    drop(one);
    clock.advance(3_600_000);
    let two = reopened(directory.path(), clock).await;
    assert_eq!(two.recorder.sweep().await.unwrap(), 0, "counted from serving");
    two.clock.advance(limits::LEASE_GRACE_MS);
    assert_eq!(two.recorder.sweep().await.unwrap(), 1);
    assert!(two.recorder.control().run(&run.run).unwrap().ended.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_moved_clock_is_recorded_before_anything_else() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let run = bench.run().await;
    bench.clock.advance(60_000);
    bench.allowed(bench.call(&run, "read_file", &json!({}), 0)).await.leased();
    bench.clock.wall.set(START_MS - 3_600_000);
    let index = bench.recorder.reader().size();
    // the delegation does not hold an hour before it was given: a moved clock fails closed
    assert_eq!(
        bench.refused(bench.call(&run, "read_file", &json!({}), 1)).await.reason.step,
        "delegation-time"
    );
    assert_eq!(bench.entry(index).0.kind(), Some(Kind::ClockAdjusted));
    assert_eq!(bench.field(index, "after_ms"), Some(json!(START_MS - 3_600_000)));
    assert_eq!(bench.entry(index).0.observed_ms, START_MS - 3_600_000);
    let times: Vec<u64> =
        (index..bench.recorder.reader().size()).map(|at| bench.entry(at).0.observed_ms).collect();
    assert!(times.is_sorted(), "behind the adjustment time does not fall again: {times:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_of_one_client_share_a_task_and_an_alias_is_one_command() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let one = bench.run().await;
    let mut other = open_fs();
    other.server.alias = "time".into();
    let two = bench.recorder.open_run(other, PEER).await.unwrap();
    assert_eq!(one.renewal.txn, two.renewal.txn);
    assert_eq!(one.renewal.holder.id, two.renewal.holder.id);
    assert_ne!(one.run, two.run);
    let mut clash = open_fs();
    clash.server.command = vec!["something-else".into()];
    assert!(matches!(bench.recorder.open_run(clash.clone(), PEER).await, Err(RecorderError::AliasTaken(_))));
    clash.client.start = Some(100);
    let stranger = bench.recorder.open_run(clash, PEER).await.unwrap();
    assert_ne!(one.renewal.txn, stranger.renewal.txn);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_joins_has_its_own_stream() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let one = bench.run().await;
    let two = bench.recorder.open_run(OpenRun { join: Some(one.run), ..open_fs() }, PEER).await.unwrap();
    assert_eq!((two.run, two.stream), (one.run, 1));
    assert_eq!(one.renewal.txn, two.renewal.txn);
    let call = bench.call(&two, "read_file", &json!({}), 0);
    bench.allowed(call).await.leased();
    let ended = bench.recorder.end_stream(one.run, 0, "closed", 0).await.unwrap();
    assert_eq!(ended.abandoned.len(), 1);
    let streams = bench.field(ended.index.unwrap(), "streams").unwrap();
    assert_eq!(streams.as_array().unwrap().len(), 2);
    let again = bench.recorder.end_stream(one.run, 0, "closed", 0).await;
    assert!(matches!(again, Err(RecorderError::RunEnded(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_policy_is_in_force_from_its_entry_on() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let run = bench.run().await;
    bench.allowed(bench.call(&run, "read_file", &json!({}), 0)).await.leased();
    let files = vec![policy::PolicyFile {
        path: "deny.cedar".into(),
        text: "@id(\"none\") forbid (principal, action, resource);".into(),
    }];
    let set = Arc::new(PolicySet::from_files(files).unwrap());
    let active = bench.recorder.activate(Arc::clone(&set), "test", PEER).await.unwrap();
    let again = bench.recorder.activate(set, "test", PEER).await.unwrap();
    assert_eq!(active.index, again.index, "the set in force is not activated twice");
    let refused = bench.refused(bench.call(&run, "read_file", &json!({}), 1)).await;
    assert_eq!(refused.reason.step, "policy");
    let index = refused.index.unwrap();
    assert_eq!(bench.field(index, "determining"), Some(json!(["none"])));
    assert_eq!(bench.field(index, "revocations"), Some(json!({"index": active.index})));
    assert_eq!(bench.field(index, "policy_digest"), bench.field(active.index, "policy_digest"));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_key_does_not_open_this_log() {
    let directory = tempfile::tempdir().unwrap();
    let clock = bench(directory.path()).await.clock;
    std::fs::remove_file(directory.path().join("local/control.json")).unwrap();
    let parts = Parts {
        data: directory.path().to_owned(),
        keys: Keys {
            log: SigningKey::from_bytes(&[1; 32]),
            issuer: SigningKey::from_bytes(&[2; 32]),
            kek: Zeroizing::new([4; 32]),
        },
        clock: Arc::new(clock.clone()),
        entropy: Arc::new(Seeded(Mutex::new(SeededRandom::named("other")))),
        policy: None,
        peer: PEER,
        segment_bytes: None,
    };
    assert!(matches!(Recorder::open(parts).await, Err(OpenError::OtherKeys("tenant key"))));
    reopened(directory.path(), clock).await;
}

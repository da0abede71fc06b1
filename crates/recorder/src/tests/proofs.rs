//! Proofs of possession: for one act, once, at its time (reference §10, rows 1, 2, 6, 6b, and the counter).

use super::making::*;
use super::*;

const READ: &str = "stdio:fs#read_file";

/// A run of a child's holder, and that child.
async fn acting(bench: &Bench) -> (Opened, Held) {
    let person = register(bench, "ciso", 11).await;
    let child = bench.issued(&person, 20, |_| {}).await.child(bench, 21);
    (bench.opened(&child).await, child)
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_1_and_2_a_proof_is_signed_strictly_by_the_leaf_key() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let (run, held) = acting(&bench).await;
    let kid = Jwk::of(&held.key).thumbprint();
    let act = || bench.act(&run, &held, READ, "{}", 0);
    for header in [
        json!({"alg": "none", "kid": kid, "typ": jws::POP}),
        json!({"alg": "HS256", "kid": kid, "typ": jws::POP}),
        json!({"alg": "EdDSA", "kid": kid, "typ": jws::POP}),
        json!({"alg": "Ed25519", "kid": kid, "typ": jws::DELEGATION}),
        json!({"alg": "Ed25519", "kid": kid, "typ": jws::POP, "jku": "http://[::1]/"}),
        json!({"alg": "Ed25519", "typ": jws::POP}),
    ] {
        let act = act();
        let pop = with_header(&act.pop, &header.to_string(), &held.key);
        bench.denied(Request { pop, ..act }, "pop-malformed").await;
    }
    let stranger = act();
    let header = json!({"alg": "Ed25519", "kid": kid, "typ": jws::POP}).to_string();
    let pop = with_header(&stranger.pop, &header, &key(99));
    bench.denied(Request { pop, ..stranger }, "pop-signature").await;
    let parent = act();
    let header = json!({"alg": "Ed25519", "kid": Jwk::of(&key(20)).thumbprint(), "typ": jws::POP});
    let pop = with_header(&parent.pop, &header.to_string(), &key(20));
    bench.denied(Request { pop, ..parent }, "pop-signature").await;
    let zero = act();
    let pop = with_signature(&zero.pop, |bytes| bytes.fill(0));
    bench.denied(Request { pop, ..zero }, "pop-signature").await;
    // none of them was the holder's, so its first counter is still its own
    bench.allowed(act()).await.leased();
}

#[tokio::test(flavor = "multi_thread")]
async fn row_6_a_proof_is_for_one_act() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let (run, held) = acting(&bench).await;
    let altered: [fn(&mut Pop); 4] = [
        |pop| pop.tool = "stdio:fs#delete".into(),
        |pop| pop.args_digest = args_digest(json!({"path": "/etc"}).as_object().unwrap()),
        |pop| pop.act_id = [7; 16],
        |pop| pop.leaf = "x".repeat(43),
    ];
    for (counter, change) in (0..).zip(altered) {
        let act = bench.act_with(&run, &held, (READ, "{}"), counter, change);
        let index = bench.denied(act, "pop-binding").await;
        assert_eq!(bench.field(index, "credential").unwrap()["pop"], "signed", "its counter is used up");
    }
    assert_eq!(bench.recorder.control().windows.next(&Jwk::of(&held.key).thumbprint()), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn row_6_a_proof_permits_once_wherever_it_is_shown() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let (run, held) = acting(&bench).await;
    let act = bench.act(&run, &held, READ, "{}", 0);
    let index = bench.allowed(act.clone()).await.leased().index;
    // the same connection asks again and hears the same; another one, by the same proof and act, is a replay
    assert_eq!(bench.allowed(act.clone()).await.leased().index, index);
    let joined = OpenRun { join: Some(run.run), ..under(&held) };
    let other = bench.recorder.open_run(joined, PEER).await.unwrap();
    assert_eq!((other.run, other.stream), (run.run, 1));
    bench.denied(Request { stream: 1, ..act.clone() }, "pop-replayed").await;
    // and so is one in another run under the same chain
    let second = bench.opened(&held).await;
    bench.denied(Request { run: second.run, ..act.clone() }, "pop-replayed").await;
    // the same chain came into the joined run once
    let links = bench.recorder.control().run(&run.run).unwrap().delegations.len();
    assert_eq!(links, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn row_6_of_two_connections_at_once_one_is_permitted() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let (run, held) = acting(&bench).await;
    bench.recorder.open_run(OpenRun { join: Some(run.run), ..under(&held) }, PEER).await.unwrap();
    for counter in 0..20 {
        let act = bench.act(&run, &held, READ, "{}", counter);
        let tasks: Vec<_> = [0, 1]
            .into_iter()
            .map(|stream| {
                let (recorder, act) = (bench.recorder.clone(), Request { stream, ..act.clone() });
                tokio::spawn(async move { recorder.begin(act, PEER).await.unwrap() })
            })
            .collect();
        let mut permits = 0;
        for task in tasks {
            match task.await.unwrap() {
                Answer::Allowed(permit) => drop(permit.leased()),
                Answer::Refused(refusal) => {
                    assert_eq!(refusal.reason.step, "pop-replayed");
                    continue;
                }
            }
            permits += 1;
        }
        assert_eq!(permits, 1, "{counter}");
        bench.clock.advance(250);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn row_6_of_a_hundred_at_once_exactly_one_decision_allows() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let (run, held) = acting(&bench).await;
    let second = bench.opened(&held).await;
    let act = bench.act(&run, &held, READ, "{}", 0);
    // one proof: asked again as it is, and in another run
    let asked = (0..100).map(|n| match n % 2 {
        0 => act.clone(),
        _ => Request { run: second.run, ..act.clone() },
    });
    let tasks: Vec<_> = asked
        .map(|act| {
            let recorder = bench.recorder.clone();
            tokio::spawn(async move { recorder.begin(act, PEER).await.unwrap() })
        })
        .collect();
    let mut permitted = std::collections::BTreeSet::new();
    for task in tasks {
        if let Answer::Allowed(permit) = task.await.unwrap() {
            permitted.insert(permit.leased().index);
        }
    }
    assert_eq!(permitted.len(), 1, "the first answer, as often as it is asked for: {permitted:?}");
    let allowed = (0..bench.recorder.reader().size())
        .filter(|index| bench.entry(*index).0.kind() == Some(Kind::Decided))
        .filter(|index| bench.field(*index, "verdict") == Some(json!("allow")));
    assert_eq!(allowed.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn row_6_a_restart_forgets_no_proof() {
    let directory = tempfile::tempdir().unwrap();
    let mut bench = bench(directory.path()).await;
    let (run, held) = acting(&bench).await;
    let act = bench.act(&run, &held, READ, "{}", 0);
    let index = bench.allowed(act.clone()).await.leased().index;
    for with_snapshot in [true, false] {
        bench = restarted(bench, directory.path(), with_snapshot).await;
        let again = bench.allowed(act.clone()).await.leased().index;
        assert_eq!(again, index, "its own question, the first answer");
        let other = Request { act_id: bench.recorder.new_id(), ..act.clone() };
        bench.denied(other, "pop-binding").await;
        bench.denied(bench.act(&run, &held, READ, "{}", 0), "pop-replayed").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn row_6b_arguments_that_mean_the_same_are_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let (run, held) = acting(&bench).await;
    let proven = r#"{"n":1,"path":"/work/a"}"#;
    for (counter, spelled) in (0..).zip([
        proven,
        r#"{"path":"/work/a","n":1}"#,
        r#"{ "n" : 1.0 , "path" : "\u002fwork/a" }"#,
        r#"{"n":1e0,"path":"\/work\/a"}"#,
    ]) {
        let act = bench.act(&run, &held, READ, proven, counter);
        bench.allowed(Request { args: Some(spelled.into()), ..act }).await.leased();
    }
    let twice = r#"{"n":1,"n":1,"path":"/work/a"}"#;
    let act = bench.act(&run, &held, READ, proven, 4);
    bench.denied(Request { args: Some(twice.into()), ..act }, "arguments").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_numbers_that_one_digest_would_merge_are_not_decided_on() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let (run, held) = acting(&bench).await;
    // each has the JCS, and so the digest, of a number that it is not
    for (counter, (spelled, proven)) in (0..).zip([
        (r#"{"amount":0.1000000000000000055}"#, r#"{"amount":0.1}"#),
        (r#"{"amount":9007199254740993}"#, r#"{"amount":9007199254740992}"#),
        (r#"{"amount":-0}"#, r#"{"amount":0}"#),
        (r#"{"amount":1e400}"#, r#"{"amount":1}"#),
    ]) {
        let act = bench.act(&run, &held, READ, proven, counter);
        let index = bench.denied(Request { args: Some(spelled.into()), ..act }, "arguments").await;
        assert_eq!(bench.field(index, "args"), None, "what cannot be decided on is known by its frame");
    }
    bench.allowed(bench.act(&run, &held, READ, r#"{"amount":0.10}"#, 4)).await.leased();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_counter_is_within_the_window_and_a_hole_stays_visible() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let (run, held) = acting(&bench).await;
    let window = evidence::limits::POP_WINDOW;
    bench.denied(bench.act(&run, &held, READ, "{}", window + 1), "pop-replayed").await;
    bench.allowed(bench.act(&run, &held, READ, "{}", window)).await.leased();
    bench.allowed(bench.act(&run, &held, READ, "{}", 0)).await.leased();
    bench.denied(bench.act(&run, &held, READ, "{}", window), "pop-replayed").await;
    bench.denied(bench.act(&run, &held, READ, "{}", 0), "pop-replayed").await;
    bench.allowed(bench.act(&run, &held, READ, "{}", 2)).await.leased();
    let renewed = bench.recorder.take_chain(run.run, 0, held.presented(), PEER).await.unwrap();
    assert_eq!(renewed.next_counter, window + 1);
    assert_eq!(renewed.index, run.renewal.index, "the run has had this chain from the start");
    let ended = bench.recorder.end_stream(run.run, 0, "closed", 0).await.unwrap();
    assert_eq!(bench.field(ended.index.unwrap(), "reason"), Some(json!("closed")));
    let thumbprint = Jwk::of(&held.key).thumbprint();
    let mut missing: Vec<u64> = (1..window).collect();
    missing.remove(1);
    let control = bench.recorder.control();
    assert_eq!(control.windows.get(&thumbprint).unwrap().holes(), missing);
}

#[tokio::test(flavor = "multi_thread")]
async fn windows_outlive_the_runs_of_their_keys() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let (run, held) = acting(&bench).await;
    let act = bench.act(&run, &held, READ, "{}", 0);
    bench.allowed(act.clone()).await.leased();
    bench.recorder.end_stream(run.run, 0, "closed", 0).await.unwrap();
    // so many others have ended since that with one more the run is forgotten here
    changed(&bench, |control| control.ended.extend((1..limits::ENDED_RUNS).map(|n| n.to_string())));
    let other = bench.run().await;
    bench.recorder.end_stream(other.run, 0, "closed", 0).await.unwrap();
    assert!(bench.recorder.control().run(&run.run).is_none());
    let again = bench.opened(&held).await;
    assert_eq!(again.renewal.next_counter, 1);
    bench.denied(Request { run: again.run, ..act }, "pop-replayed").await;
}

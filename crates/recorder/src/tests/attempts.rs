//! Several attempts at one act: each has its own decision and its own outcome.

use std::collections::BTreeMap;

use evidence::delegation::On;
use evidence::{Cause, Status};

use super::making::*;
use super::*;

/// Decides the first attempt at reading `/work/a`, which the target answers by asking for input.
async fn first(bench: &Bench, run: &Opened) -> (Request, u64, Finished) {
    let call = bench.call(run, "read_file", &json!({"path": "/work/a"}), 0);
    let permit = bench.allowed(call.clone()).await;
    let index = permit.index;
    let asked = permit.finish(bench.outcome(Status::InputRequired)).unwrap().wait().await.unwrap();
    (call, index, asked)
}

/// A further attempt at the same, under the same id.
fn again(bench: &Bench, run: &Opened, first: &Request, counter: u64, decision: u64) -> Request {
    let args = serde_json::from_str(first.args.as_deref().unwrap()).unwrap();
    let call = bench.call_of(run, "read_file", &args, counter, first.act_id);
    Request { retry_of: Some(decision), ..call }
}

/// How many outcomes each permitted decision of the log has.
fn outcomes(bench: &Bench) -> BTreeMap<u64, usize> {
    let entries = || (0..bench.recorder.reader().size()).map(|index| (index, bench.entry(index).0));
    let allowed = entries().filter(|(index, entry)| {
        entry.kind() == Some(Kind::Decided) && bench.field(*index, "verdict") == Some(json!("allow"))
    });
    let of = |leaf| {
        let finished = entries().filter(|(_, entry)| entry.kind() == Some(Kind::Finished));
        finished.filter(|(_, entry)| entry.causes == [Cause::Here(leaf)]).count()
    };
    allowed.map(|(index, entry)| (index, of(entry.leaf_hash()))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_further_attempt_follows_the_outcome_before_and_each_has_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let run = bench.run().await;
    let (call, one, asked) = first(&bench, &run).await;
    let permit = bench.allowed(again(&bench, &run, &call, 1, one)).await;
    let two = permit.index;
    assert_eq!(bench.entry(two).0.causes, [Cause::Here(bench.entry(asked.index).0.leaf_hash())]);
    assert_eq!(bench.field(two, "act_id"), bench.field(one, "act_id"));
    {
        let control = bench.recorder.control();
        let open = &control.run(&run.run).unwrap().open;
        assert_eq!(open.keys().copied().collect::<Vec<_>>(), [two]);
    }
    let asked_again = permit.finish(bench.outcome(Status::InputRequired)).unwrap().wait().await.unwrap();
    let permit = bench.allowed(again(&bench, &run, &call, 2, two)).await;
    let three = permit.index;
    assert_eq!(bench.entry(three).0.causes, [Cause::Here(bench.entry(asked_again.index).0.leaf_hash())]);
    let done = permit.finish(bench.outcome(Status::Ok)).unwrap().wait().await.unwrap();
    assert_eq!(bench.entry(done.index).0.causes, [Cause::Here(bench.entry(three).0.leaf_hash())]);
    assert_eq!(outcomes(&bench), BTreeMap::from([(one, 1), (two, 1), (three, 1)]));
    bench.recorder.end_stream(run.run, 0, "closed", 0).await.unwrap();
    let (errors, notes) = findings(&bench);
    assert!(errors.is_empty(), "{errors:#?}");
    assert!(!notes.contains("outcome-open"), "{notes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_asked_for_input_is_tried_again_and_nothing_else_under_its_name() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let run = bench.run().await;
    let elsewhere = bench.run().await;
    let (_, other_run, _) = first(&bench, &elsewhere).await;
    // the two runs share a key, and so its counters
    let call = bench.call(&run, "read_file", &json!({"path": "/work/a"}), 1);
    let permit = bench.allowed(call.clone()).await;
    let one = permit.index;
    let retry = |decision| again(&bench, &run, &call, 2, decision);
    let fresh = |request: Request| {
        let args = serde_json::from_str(request.args.as_deref().unwrap()).unwrap();
        Request { retry_of: request.retry_of, ..bench.call(&run, "read_file", &args, 2) }
    };
    let size = bench.recorder.reader().size();
    // it is open; in another run; not there; no decision
    for decision in [one, other_run, 1 << 40, 0] {
        let tried = bench.recorder.begin(fresh(retry(decision)), PEER).await;
        assert!(matches!(tried, Err(RecorderError::Invalid(_))), "{decision} {tried:?}");
    }
    permit.finish(bench.outcome(Status::InputRequired)).unwrap().wait().await.unwrap();
    let other_args = bench.call(&run, "read_file", &json!({"path": "/work/b"}), 2);
    let other_tool = bench.call(&run, "write_file", &json!({"path": "/work/a"}), 2);
    for other in [other_args, other_tool] {
        let tried = bench.recorder.begin(Request { retry_of: Some(one), ..other }, PEER).await;
        assert!(matches!(tried, Err(RecorderError::Invalid(_))), "{tried:?}");
    }
    assert_eq!(bench.recorder.reader().size(), size + 1, "the outcome, and nothing of all that");
    // and the counter is unused still
    let permit = bench.allowed(retry(one)).await;
    let two = permit.index;
    permit.finish(bench.outcome(Status::Ok)).unwrap().wait().await.unwrap();
    for status in [Status::ToolError, Status::Unknown, Status::Cancelled] {
        let counter = bench.recorder.control().windows.next(&Jwk::of(&agent_key()).thumbprint());
        let call = bench.call(&run, "read_file", &json!({}), counter);
        let permit = bench.allowed(call).await;
        let ended = permit.index;
        permit.finish(bench.outcome(status)).unwrap().wait().await.unwrap();
        let more = bench.call(&run, "read_file", &json!({}), counter + 1);
        let tried = bench.recorder.begin(Request { retry_of: Some(ended), ..more }, PEER).await;
        assert!(matches!(tried, Err(RecorderError::Invalid(_))), "{status} {tried:?}");
    }
    assert!(outcomes(&bench).values().all(|count| *count == 1) && outcomes(&bench).contains_key(&two));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_act_has_one_attempt_at_a_time_under_its_id() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let run = bench.run().await;
    let (call, one, asked) = first(&bench, &run).await;
    let plain = Request { retry_of: None, ..again(&bench, &run, &call, 1, one) };
    assert_eq!(bench.refused(plain).await.reason.code, "act-finished", "it says nothing of trying again");
    assert_eq!(
        bench.refused(call.clone()).await.reason.code,
        "act-finished",
        "the first question is answered"
    );

    let permit = bench.allowed(again(&bench, &run, &call, 1, one)).await;
    let two = permit.index;
    // a second attempt after the same outcome, while the first is open, and when it is done
    assert_eq!(bench.refused(again(&bench, &run, &call, 2, one)).await.reason.code, "act-decided");
    permit.finish(bench.outcome(Status::InputRequired)).unwrap().wait().await.unwrap();
    assert_eq!(bench.refused(again(&bench, &run, &call, 2, one)).await.reason.code, "act-finished");
    // under an id of its own it is an act of its own, which follows the same
    let own = bench.call(&run, "read_file", &json!({"path": "/work/a"}), 2);
    let own = bench.allowed(Request { retry_of: Some(one), ..own }).await.leased().index;
    assert_eq!(bench.entry(own).0.causes, [Cause::Here(bench.entry(asked.index).0.leaf_hash())]);
    // and not under the id of a third
    let third = bench.call(&run, "list", &json!({}), 3);
    bench.allowed(third.clone()).await.leased();
    let args = json!({"path": "/work/a"});
    let borrowed = bench.call_of(&run, "read_file", &args, 4, third.act_id);
    let refused = bench.refused(Request { retry_of: Some(two), ..borrowed }).await;
    assert_eq!(refused.reason.code, "act-decided");
    bench.allowed(again(&bench, &run, &call, 4, two)).await.leased();
    bench.recorder.end_stream(run.run, 0, "closed", 0).await.unwrap();
    assert!(outcomes(&bench).values().all(|count| *count == 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_further_attempts_at_once_one_is_permitted() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let run = bench.run().await;
    let (call, one, _) = first(&bench, &run).await;
    let calls: Vec<Request> = (1..=50).map(|counter| again(&bench, &run, &call, counter, one)).collect();
    let tasks: Vec<_> = calls
        .into_iter()
        .map(|call| {
            let recorder = bench.recorder.clone();
            tokio::spawn(async move { recorder.begin(call, PEER).await.unwrap() })
        })
        .collect();
    let mut permits = Vec::new();
    for task in tasks {
        if let Answer::Allowed(permit) = task.await.unwrap() {
            permits.push(permit.leased().index);
        }
    }
    assert_eq!(permits.len(), 1, "{permits:?}");
    assert_eq!(bench.recorder.control().run(&run.run).unwrap().open.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_further_attempt_need_not_wait_until_the_outcome_is_durable() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let run = bench.run().await;
    let call = bench.call(&run, "read_file", &json!({"path": "/work/a"}), 0);
    let mut permit = bench.allowed(call.clone()).await;
    for counter in 1..40 {
        let before = permit.index;
        // enqueued: the result may go to the caller, who may come back at once
        let outcome = permit.finish(bench.outcome(Status::InputRequired)).unwrap();
        permit = bench.allowed(again(&bench, &run, &call, counter, before)).await;
        let asked = outcome.wait().await.unwrap();
        let cause = bench.entry(asked.index).0.leaf_hash();
        assert_eq!(bench.entry(permit.index).0.causes, [Cause::Here(cause)]);
        assert!(asked.index < permit.index);
    }
    drop(permit.leased());
    bench.recorder.end_stream(run.run, 0, "closed", 0).await.unwrap();
    assert!(outcomes(&bench).values().all(|count| *count == 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_goes_to_the_attempt_whose_decision_it_names() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let run = bench.run().await;
    let call = bench.call(&run, "read_file", &json!({"path": "/work/a"}), 0);
    let permit = bench.allowed(call.clone()).await;
    let one = permit.index;
    let asked = bench.outcome(Status::InputRequired);
    let written = permit.finish(asked.clone()).unwrap().wait().await.unwrap();
    let two = bench.allowed(again(&bench, &run, &call, 1, one)).await.leased().index;
    let finish =
        |decision, outcome| bench.recorder.finish(run.run, call.act_id, decision, outcome).map(Durable::wait);
    // the same event of the first attempt again is the same entry; another one stands beside it
    let repeated = finish(one, asked).unwrap().await.unwrap();
    assert_eq!((repeated.index, repeated.late), (written.index, false));
    let beside = finish(one, bench.outcome(Status::Ok)).unwrap().await.unwrap();
    assert!(beside.late);
    let is_open = || bench.recorder.control().run(&run.run).unwrap().open.contains_key(&two);
    assert!(is_open(), "none of that was about the second");
    for (decision, act_id) in [(two + 1, call.act_id), (two, bench.recorder.new_id())] {
        let wrong = bench.recorder.finish(run.run, act_id, decision, bench.outcome(Status::Ok)).map(drop);
        assert!(matches!(wrong, Err(RecorderError::ActUnknown(..))), "{wrong:?}");
    }
    assert!(is_open());
    let done = finish(two, bench.outcome(Status::Ok)).unwrap().await.unwrap();
    assert_eq!(bench.entry(done.index).0.causes, [Cause::Here(bench.entry(two).0.leaf_hash())]);
    assert!(!is_open() && !done.late);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_question_gets_its_own_answer_after_a_restart_too() {
    let directory = tempfile::tempdir().unwrap();
    let mut bench = bench(directory.path()).await;
    let run = bench.run().await;
    let (call, one, _) = first(&bench, &run).await;
    let retry = again(&bench, &run, &call, 1, one);
    let two = bench.allowed(retry.clone()).await.leased().index;
    for with_snapshot in [true, false] {
        bench = restarted(bench, directory.path(), with_snapshot).await;
        let size = bench.recorder.reader().size();
        assert_eq!(bench.allowed(retry.clone()).await.leased().index, two);
        // what it says that it follows is no part of the question
        let unsaid = Request { retry_of: None, ..retry.clone() };
        assert_eq!(bench.allowed(unsaid).await.leased().index, two);
        assert_eq!(bench.recorder.reader().size(), size, "nothing is written for it");
        assert_eq!(bench.refused(again(&bench, &run, &call, 2, one)).await.reason.code, "act-decided");
        bench.clock.advance(250);
    }
    let lease = bench.recorder.lease(run.run, 0).unwrap();
    drop(lease);
    bench.clock.advance(limits::LEASE_GRACE_MS);
    assert_eq!(bench.recorder.sweep().await.unwrap(), 1);
    let ended = bench.recorder.control().run(&run.run).unwrap().ended.unwrap();
    assert_eq!(bench.field(ended, "open_actions"), Some(json!([id::text(&call.act_id)])));
    assert_eq!(outcomes(&bench), BTreeMap::from([(one, 1), (two, 1)]));
    let late = bench.recorder.finish(run.run, call.act_id, two, bench.outcome(Status::Ok)).unwrap();
    let late = late.wait().await.unwrap();
    assert!(late.late);
    assert_eq!(bench.entry(late.index).0.causes, [Cause::Here(bench.entry(two).0.leaf_hash())]);
    let (errors, _) = findings(&bench);
    assert!(errors.is_empty(), "{errors:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_was_refused_in_between_ends_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let person = register(&bench, "ciso", 11).await;
    let run = bench.run().await;
    let (call, one, asked) = first(&bench, &run).await;
    let halt = bench.recorder.halt(On::All, "stop", None, PEER).await.unwrap();
    let refused = bench.denied(again(&bench, &run, &call, 1, one), "halted").await;
    assert_eq!(bench.entry(refused).0.causes, [Cause::Here(bench.entry(asked.index).0.leaf_hash())]);
    let order = resume_order(&bench, &person, &On::All, halt).sign(&person);
    bench.recorder.resume(halt, "go on", &order, PEER).await.unwrap();
    bench.allowed(again(&bench, &run, &call, 2, one)).await.leased();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_waits_to_be_tried_again_is_forgotten_last() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let run = bench.run().await;
    let (call, one, _) = first(&bench, &run).await;
    let name = id::text(&run.run);
    let more = |end: control::End| {
        changed(&bench, |control| {
            let run = control.runs.get_mut(&name).unwrap();
            let mut known = run.recent.front().unwrap().clone();
            known.act_id = "another".into();
            known.ended.as_mut().unwrap().end = end;
            let last = run.recent.back().unwrap().index;
            run.recent.extend(
                (1..limits::RECENT_ACTS as u64)
                    .map(|n| control::Answered { index: last + n, ..known.clone() }),
            );
        });
    };
    let knows = || bench.recorder.control().run(&run.run).unwrap().attempt(one).is_some();
    more(control::End::Final);
    bench.allowed(bench.call(&run, "read_file", &json!({}), 1)).await.leased();
    assert!(knows());
    changed(&bench, |control| control.runs.get_mut(&name).unwrap().recent.truncate(1));
    changed(&bench, |control| control.runs.get_mut(&name).unwrap().open.clear());
    more(control::End::InputRequired);
    bench.allowed(bench.call(&run, "read_file", &json!({}), 2)).await.leased();
    assert!(!knows(), "all wait, so the oldest goes");
    let tried = bench.recorder.begin(again(&bench, &run, &call, 3, one), PEER).await;
    assert!(matches!(tried, Err(RecorderError::Invalid(_))), "{tried:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_uri_is_for_one_operation() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let run = bench.run().await;
    for (counter, (tool, operation, fits)) in (0..).zip([
        ("resources/read", "resources/read", true),
        ("resources/read", "tools/call", false),
        ("resources/read", "prompts/get", false),
        ("read_file", "resources/read", false),
        ("read_file", "", false),
    ]) {
        let call = bench.call(&run, tool, &json!({}), counter);
        let call = Request { operation: operation.into(), ..call };
        if fits {
            bench.allowed(call).await.leased();
            continue;
        }
        let refused = bench.refused(call).await;
        assert_eq!((refused.reason.code.as_str(), refused.reason.step.as_str()), ("malformed", "begin"));
        assert_eq!(bench.field(refused.index.unwrap(), "verdict"), Some(json!("deny")));
    }
}

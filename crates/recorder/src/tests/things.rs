//! What acts work on and bring about: artifacts in decisions, outcomes and parts, and withdrawals.

use evidence::artifact::{self, Role};
use evidence::limits::ARTIFACTS_MAX;
use evidence::{Cause, Status};

use super::making::*;
use super::*;

fn listed(artifacts: &Value) -> Artifacts {
    Artifacts::from_json(artifacts).unwrap()
}

fn digest(text: &str) -> String {
    Digest::of(text.as_bytes()).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_act_reads_and_writes_is_on_record_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let run = bench.run().await;
    let inputs = json!([{"uri": "file:///w/a", "digest": digest("a"), "size": 1}]);
    let batch = Batch { digest: Digest::of(b"frame"), position: 1, count: 2 };
    let call = bench.call(&run, "write_file", &json!({"path": "/w/a"}), 0);
    let call = Request { inputs: listed(&inputs), batch: Some(batch), ..call };
    let permit = bench.allowed(call).await;
    let decided = permit.index;
    assert_eq!(bench.field(decided, "inputs"), Some(inputs));
    let expected = json!({"digest": digest("frame"), "position": 1, "count": 2});
    assert_eq!(bench.field(decided, "batch"), Some(expected));

    let outputs = json!([
        {"uri": "file:///w/a", "digest": digest("b"), "change": "modified", "before": digest("a")},
        {"uri": "file:///w/b", "change": "deleted", "before": digest("c")},
    ]);
    let outcome = Outcome {
        outputs: listed(&outputs),
        parts: Some(Progress { count: 3, digest: Digest::of(b"parts") }),
        sent_frame_digest: Some(digest("stripped")),
        duration_us: Some(7),
        ..bench.outcome(Status::Ok)
    };
    let finished = permit.finish(outcome).unwrap().wait().await.unwrap().index;
    assert_eq!(bench.field(finished, "outputs"), Some(outputs));
    assert_eq!(bench.field(finished, "sent_frame_digest"), Some(json!(digest("stripped"))));
    let duration = json!({"us": 7, "parts": {"count": 3, "digest": digest("parts")}});
    assert_eq!(bench.field(finished, "duration"), Some(duration));
    let plain = bench.allowed(bench.call(&run, "write_file", &json!({}), 1)).await;
    let decided = plain.index;
    let finished = plain.finish(bench.outcome(Status::Ok)).unwrap().wait().await.unwrap().index;
    let names = ["inputs", "batch", "outputs", "sent_frame_digest", "duration"];
    assert!(names.iter().all(|name| bench.field(decided, name).or(bench.field(finished, name)).is_none()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_list_is_recorded_in_parts_and_named_by_its_digest() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let run = bench.run().await;
    let all: Vec<Value> = (0..=ARTIFACTS_MAX)
        .map(|n| json!({"uri": format!("file:///w/{n}"), "digest": digest(&n.to_string())}))
        .collect();
    let call = bench.call(&run, "command", &json!({}), 0);
    let mut parts = Vec::new();
    for (part, items) in (0..).zip(all.chunks(ARTIFACTS_MAX)) {
        let artifacts = artifact::List::from_json(&json!(items)).unwrap();
        let part = ArtifactsPart { act_id: call.act_id, role: Role::Inputs, part, artifacts };
        parts.push(bench.recorder.artifacts(run.run, 0, part).await.unwrap());
    }
    let payload = bench.field(parts[0], "payload").unwrap();
    assert_eq!((&payload["role"], &payload["part"]), (&json!("inputs"), &json!(0)));
    assert_eq!(payload["artifacts"].as_array().unwrap().len(), ARTIFACTS_MAX, "whole, however long it is");
    assert!(bench.entry(parts[0]).0.causes.is_empty(), "nothing was decided yet");
    let count_digest =
        json!({"count": all.len(), "digest": Digest::of(&evidence::json::jcs(&json!(all))).to_string()});
    let permit = bench.allowed(Request { inputs: listed(&count_digest), ..call.clone() }).await;
    let decided = permit.index;
    assert_eq!(bench.field(decided, "inputs"), Some(count_digest.clone()));
    let part = ArtifactsPart {
        act_id: call.act_id,
        role: Role::Outputs,
        part: 0,
        artifacts: artifact::List::from_json(&json!([all[0]])).unwrap(),
    };
    let output = bench.recorder.artifacts(run.run, 0, part.clone()).await.unwrap();
    assert_eq!(bench.entry(output).0.causes, [Cause::Here(bench.entry(decided).0.leaf_hash())]);
    assert_eq!(bench.field(output, "act_id"), Some(json!(id::text(&call.act_id))));
    permit.finish(bench.outcome(Status::Ok)).unwrap().wait().await.unwrap();
    bench.recorder.end_stream(run.run, 0, "closed", 0).await.unwrap();
    let (errors, _) = findings(&bench);
    assert!(errors.is_empty(), "{errors:#?}");
    let ended = bench.recorder.artifacts(run.run, 0, part).await;
    assert!(matches!(ended, Err(RecorderError::RunEnded(_))), "{ended:?}");
}

/// Names that no compression shortens enough.
fn endless() -> Value {
    let uri = |n: usize| {
        let noise: String = (0..31).map(|part| Digest::of(format!("{n} {part}").as_bytes()).hex()).collect();
        json!({"uri": format!("file:///{noise}"), "digest": digest(&n.to_string())})
    };
    Value::Array((0..ARTIFACTS_MAX).map(uri).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_is_recorded_even_where_its_outputs_are_too_long_for_an_entry() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let run = bench.run().await;
    let inputs = Request { inputs: listed(&endless()), ..bench.call(&run, "x", &json!({}), 0) };
    let refused = bench.recorder.begin(inputs, PEER).await;
    assert!(matches!(refused, Err(RecorderError::Invalid(_))), "before the act it can still be refused");
    let permit = bench.allowed(bench.call(&run, "x", &json!({}), 0)).await;
    let outcome = Outcome { outputs: listed(&endless()), ..bench.outcome(Status::Ok) };
    let finished = permit.finish(outcome).unwrap().wait().await.unwrap().index;
    assert_eq!(bench.field(finished, "status"), Some(json!("ok")));
    let outputs = bench.field(finished, "outputs").unwrap();
    let whole = Digest::of(&evidence::json::jcs(&endless())).to_string();
    assert!(outputs["unknown"].as_str().unwrap().contains(&whole), "{outputs}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_artifact_is_withdrawn_by_name_or_by_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let withdraw = |uri: Option<&str>, bytes: Option<&str>, why: &str| Withdraw {
        uri: uri.map(str::to_owned),
        digest: bytes.map(|bytes| Digest::of(bytes.as_bytes())),
        why: why.into(),
    };
    let both = withdraw(Some("file:///w/a"), Some("a"), "poisoned");
    for (asked, artifact) in [
        (both.clone(), json!({"uri": "file:///w/a", "digest": digest("a")})),
        (Withdraw { digest: None, ..both.clone() }, json!({"uri": "file:///w/a"})),
        (Withdraw { uri: None, ..both }, json!({"digest": digest("a")})),
    ] {
        let index = bench.recorder.withdraw(&asked, PEER).await.unwrap();
        let (entry, _) = bench.entry(index);
        assert_eq!((entry.kind(), entry.run), (Some(Kind::LabelChanged), id::LOG_LEVEL));
        assert_eq!(bench.field(index, "change"), Some(json!("withdrawn")));
        assert_eq!(bench.field(index, "artifact"), Some(artifact));
        assert_eq!(bench.field(index, "why"), Some(json!("poisoned")));
        assert_eq!(bench.field(index, "by").unwrap()["kind"], "unknown");
        assert_eq!(bench.field(index, "assurance"), Some(json!("inferred")));
    }
    let size = bench.recorder.reader().size();
    for wrong in [
        withdraw(None, None, "x"),
        withdraw(Some(""), None, "x"),
        withdraw(Some("a\nb"), None, "x"),
        withdraw(Some("a"), None, ""),
        withdraw(Some("a"), None, &"x".repeat(limits::WHY_MAX_BYTES + 1)),
    ] {
        let refused = bench.recorder.withdraw(&wrong, PEER).await;
        assert!(matches!(refused, Err(RecorderError::Invalid(_))), "{wrong:?}");
    }
    let longest = withdraw(Some("a"), None, &"x".repeat(limits::WHY_MAX_BYTES));
    bench.recorder.withdraw(&longest, PEER).await.unwrap();
    assert_eq!(bench.recorder.reader().size(), size + 1);
    let (errors, _) = findings(&bench);
    assert!(errors.is_empty(), "{errors:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_is_sent_again_is_recorded_once() {
    let directory = tempfile::tempdir().unwrap();
    let mut bench = bench(directory.path()).await;
    let run = bench.run().await;
    let part = |call: &Request, part: u64, uri: &str| ArtifactsPart {
        act_id: call.act_id,
        role: Role::Inputs,
        part,
        artifacts: artifact::List::from_json(&json!([{"uri": uri}])).unwrap(),
    };
    let call = bench.call(&run, "x", &json!({}), 0);
    let first = bench.recorder.artifacts(run.run, 0, part(&call, 0, "a")).await.unwrap();
    for with_snapshot in [true, false] {
        assert_eq!(bench.recorder.artifacts(run.run, 0, part(&call, 0, "a")).await, Ok(first));
        bench = restarted(bench, directory.path(), with_snapshot).await;
    }
    // another number, other artifacts, another act and another side are other parts
    let other = bench.call(&run, "x", &json!({}), 1);
    let outputs = ArtifactsPart { role: Role::Outputs, ..part(&call, 0, "a") };
    for differs in [part(&call, 1, "a"), part(&call, 0, "b"), part(&other, 0, "a"), outputs] {
        let index = bench.recorder.artifacts(run.run, 0, differs.clone()).await.unwrap();
        assert_eq!(index + 1, bench.recorder.reader().size());
        assert_eq!(bench.recorder.artifacts(run.run, 0, differs).await, Ok(index));
    }
    // and a further attempt has parts of its own
    let permit = bench.allowed(call.clone()).await;
    let outcome = bench.outcome(Status::InputRequired);
    permit.finish(outcome).unwrap().wait().await.unwrap();
    let again = bench.recorder.artifacts(run.run, 0, part(&call, 0, "a")).await.unwrap();
    assert_eq!(again + 1, bench.recorder.reader().size());
    // no more than so many are remembered
    for n in 0..limits::PARTS_KEPT as u64 {
        bench.recorder.artifacts(run.run, 0, part(&other, 1_000 + n, "a")).await.unwrap();
    }
    assert_eq!(bench.recorder.control().run(&run.run).unwrap().parts.len(), limits::PARTS_KEPT);
    let forgotten = bench.recorder.artifacts(run.run, 0, part(&call, 0, "a")).await.unwrap();
    assert_eq!(forgotten + 1, bench.recorder.reader().size());
}

//! Several attempts at one act over HTTP, and what an act says of itself.

use capture::api::{self, Begun};
use evidence::{Digest, Status, id};
use serde_json::{Value, json};

use crate::support::{Bench, Wrap, bench};

async fn allowed(bench: &Bench, wrap: &Wrap, call: &api::Begin) -> u64 {
    match bench.client().await.begin(wrap.run(), call).await.unwrap() {
        Begun::Allow(allowed) => allowed.index,
        Begun::Deny(denied) => panic!("{denied:?}"),
    }
}

async fn finished(bench: &Bench, wrap: &Wrap, call: &api::Begin, decision: u64, status: Status) -> u64 {
    let finish = api::Finish { status, ..wrap.outcome(bench, decision, "{}") };
    let client = bench.client().await;
    let enqueued = client.finish(wrap.run(), &call.act_id, &finish).await.unwrap();
    enqueued.durable().await.unwrap().index
}

/// The entries that name this one as their cause.
fn caused(bench: &Bench, index: u64) -> Vec<u64> {
    let reader = bench.recorder.reader();
    let entry = |index: u64| evidence::Entry::decode(&reader.entry(index).unwrap()).unwrap();
    let leaf = entry(index).leaf_hash();
    let names = |other: &u64| entry(*other).causes.contains(&evidence::Cause::Here(leaf));
    (0..reader.size()).filter(names).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_act_is_tried_again_under_its_id_and_every_attempt_has_one_outcome() {
    let bench = bench().await;
    let mut wrap = bench.wrap(7).await;
    let args = json!({"path": "a"});
    let call = wrap.call(&bench, "read_file", &args);
    let one = allowed(&bench, &wrap, &call).await;
    let retry = |wrap: &mut Wrap, decision| api::Begin {
        retry_of: Some(decision),
        ..wrap.call_of(&bench, "read_file", &args, id::parse(&call.act_id).unwrap())
    };
    // it has no outcome yet
    let early = retry(&mut wrap, one);
    let size = bench.recorder.reader().size();
    let refused = bench.client().await.begin(wrap.run(), &early).await.unwrap_err();
    assert_eq!(refused.code(), Some("invalid"));
    assert_eq!(
        bench.field(size, "payload").unwrap()["reason"],
        "invalid",
        "on record before it was answered"
    );

    let asked = finished(&bench, &wrap, &call, one, Status::InputRequired).await;
    let two = allowed(&bench, &wrap, &early).await;
    assert_eq!(caused(&bench, asked), [two]);
    assert_eq!(allowed(&bench, &wrap, &early).await, two, "the same question, the same answer");
    // an outcome names its decision: another one of the act is not taken for it
    let unknown = api::Finish { status: Status::Ok, ..wrap.outcome(&bench, two + 9, "{}") };
    let path = wrap.path(&format!("actions/{}/outcome", call.act_id));
    let got = bench.post(&path, &serde_json::to_value(&unknown).unwrap()).await;
    assert_eq!(got.problem(), (404, "act-unknown".to_owned()));
    let done = finished(&bench, &wrap, &call, two, Status::Ok).await;
    assert_eq!((caused(&bench, one), caused(&bench, two)), (vec![asked], vec![done]));
    // nothing more under this name, and nothing after what is done
    let again = retry(&mut wrap, one);
    match bench.client().await.begin(wrap.run(), &again).await.unwrap() {
        Begun::Deny(denied) => assert_eq!(denied.reason.code, "act-finished"),
        Begun::Allow(allowed) => panic!("{allowed:?}"),
    }
    let mut own = wrap.call(&bench, "read_file", &args);
    own.retry_of = Some(two);
    let refused = bench.client().await.begin(wrap.run(), &own).await.unwrap_err();
    assert_eq!(refused.code(), Some("invalid"));
    let end = api::EndRun { stream: 0, reason: "closed".into(), gaps: 0 };
    let ended = bench.client().await.end_run(wrap.run(), &end).await.unwrap();
    assert!(ended.abandoned.is_empty(), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_uri_is_for_one_operation_and_another_is_malformed() {
    let bench = bench().await;
    let mut wrap = bench.wrap(7).await;
    for (tool, operation, fits) in [
        ("resources/read", "resources/read", true),
        ("read_file", "tools/call", true),
        ("resources/read", "tools/call", false),
        ("resources/read", "prompts/get", false),
        ("read_file", "resources/read", false),
        ("read_file", "read_file", false),
    ] {
        let call = api::Begin { operation: operation.into(), ..wrap.call(&bench, tool, &json!({})) };
        if fits {
            let index = allowed(&bench, &wrap, &call).await;
            assert_eq!(bench.field(index, "operation"), Some(json!(operation)));
            continue;
        }
        let size = bench.recorder.reader().size();
        let got = bench.post(&wrap.path("actions"), &serde_json::to_value(&call).unwrap()).await;
        assert_eq!(got.problem(), (400, "malformed".to_owned()), "{tool} {operation}");
        assert_eq!(bench.recorder.reader().size(), size + 1);
        assert_eq!(bench.field(size, "payload").unwrap()["reason"], "malformed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn artifacts_parts_and_batches_are_recorded_and_checked() {
    let bench = bench().await;
    let mut wrap = bench.wrap(7).await;
    let digest = Digest::of(b"x").to_string();
    let call = wrap.call(&bench, "write_file", &json!({}));
    let good = serde_json::to_value(&call).unwrap();
    let path = wrap.path("actions");
    let uris = |count: usize| Value::Array(vec![json!({"uri": "file:///a"}); count]);
    for (member, value) in [
        ("inputs", uris(257)),
        ("inputs", json!([{"uri": ""}])),
        ("inputs", json!([{"uri": "x".repeat(2_049)}])),
        ("inputs", json!([{"uri": "a\tb"}])),
        ("inputs", json!([{"uri": "a", "digest": "md5:00"}])),
        ("inputs", json!([{"uri": "a", "digest": digest, "change": "deleted"}])),
        ("inputs", json!([{"uri": "a", "mode": 7}])),
        ("inputs", json!({"count": 256, "digest": digest})),
        ("inputs", json!({"count": 257, "digest": "x"})),
        ("batch", json!({"digest": digest, "position": 2, "count": 2})),
        ("batch", json!({"digest": "x", "position": 0, "count": 2})),
        ("batch", json!({"digest": digest, "position": 0, "count": 1_u64 << 54})),
        ("retry_of", json!("@7")),
    ] {
        let mut body = good.clone();
        body[member] = value;
        let got = bench.post(&path, &body).await;
        assert_eq!(got.problem(), (400, "malformed".to_owned()), "{member}");
    }
    let mut body = good;
    body["inputs"] = uris(256);
    body["batch"] = json!({"digest": digest, "position": 1, "count": 2});
    let begun = bench.post(&path, &body).await.json();
    assert_eq!(begun["verdict"], "allow");
    let decision = begun["index"].as_u64().unwrap();
    assert_eq!(bench.field(decision, "inputs"), Some(uris(256)));
    assert_eq!(bench.field(decision, "batch"), Some(body["batch"].clone()));

    let path = wrap.path(&format!("actions/{}/outcome", call.act_id));
    let good = serde_json::to_value(wrap.outcome(&bench, decision, "{}")).unwrap();
    for (member, value) in [
        ("outputs", uris(257)),
        ("outputs", json!([{"uri": "a", "size": -1}])),
        ("parts", json!({"count": 1, "digest": "x"})),
        ("parts", json!({"count": 1_u64 << 54, "digest": digest})),
        ("sent_frame_digest", json!("x")),
    ] {
        let mut body = good.clone();
        body[member] = value;
        assert_eq!(bench.post(&path, &body).await.problem(), (400, "malformed".to_owned()), "{member}");
    }
    let mut body = good;
    body["outputs"] = json!({"count": 300, "digest": digest});
    body["parts"] = json!({"count": 2, "digest": digest});
    body["sent_frame_digest"] = json!(digest);
    assert_eq!(bench.post(&path, &body).await.status, 200, "none of them used up the permit");
    let finished = bench.recorder.reader().size() - 1;
    assert_eq!(bench.field(finished, "outputs"), Some(body["outputs"].clone()));
    assert_eq!(bench.field(finished, "duration"), Some(json!({"us": 7, "parts": body["parts"]})));
    assert_eq!(bench.field(finished, "sent_frame_digest"), Some(json!(digest)));
}

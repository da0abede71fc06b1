//! Runs and acts: what a wrap does, in order and out of it.

use capture::api::{self, Begun};
use ed25519_dalek::SigningKey;
use evidence::delegation::RootRequest;
use evidence::entry::leaf_hash;
use evidence::id;
use evidence::jws::Jwk;
use evidence::principal::PrincipalKind;
use evidence::{Digest, Scope};
use serde_json::{Value, json};
use store::Receipt;
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;

use crate::support::{Bench, PATIENCE, Wrap, bench, log_key, opening};

async fn allowed(bench: &Bench, wrap: &Wrap, call: &api::Begin) -> api::Allowed {
    match bench.client().await.begin(wrap.run(), call).await.unwrap() {
        Begun::Allow(allowed) => allowed,
        Begun::Deny(denied) => panic!("{denied:?}"),
    }
}

fn verify(bench: &Bench, receipt: &Value) -> Receipt {
    let receipt: Receipt = serde_json::from_value(receipt.clone()).unwrap();
    let leaf = leaf_hash(&bench.recorder.reader().entry(receipt.index).unwrap());
    receipt.verify(&leaf, &log_key().verifying_key()).unwrap();
    receipt
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_opened_begun_and_finished_with_receipts() {
    let bench = bench().await;
    let client = bench.client().await;
    let hello = client.hello().await.unwrap();
    assert_eq!((hello.api, hello.server.as_str(), hello.version.as_str()), (1, "deeds", "1.2.3"));
    assert_eq!(hello.log_id, Digest(bench.recorder.names().log_id).hex());
    let mut wrap = bench.wrap(7).await;
    assert_eq!(wrap.opened.receipts.len(), 2);
    assert_eq!(verify(&bench, &wrap.opened.receipts[0]).index, wrap.opened.index);
    let call = wrap.call(&bench, "read_file", &json!({"path": "a"}));
    let begun = allowed(&bench, &wrap, &call).await;
    assert_eq!(verify(&bench, &begun.receipt).index, begun.index);
    assert_eq!(
        bench.field(begun.index, "enforcement_point"),
        Some(json!({"id": "deeds wrap", "version": "9"}))
    );
    assert_eq!(bench.field(begun.index, "args"), Some(json!({"path": "a"})));
    let finish = wrap.outcome(&bench, begun.index, r#"{"content":[]}"#);
    let finished = client.finish(wrap.run(), &call.act_id, &finish).await.unwrap().durable().await.unwrap();
    assert_eq!(verify(&bench, &finished.receipt).index, finished.index);
    assert!(!finished.late);
    assert_eq!(bench.field(finished.index, "result"), Some(json!({"content": []})));
    let end = api::EndRun { stream: 0, reason: "closed".into(), gaps: 0 };
    let ended = client.end_run(wrap.run(), &end).await.unwrap();
    assert_eq!(bench.field(ended.index.unwrap(), "reason"), Some(json!("closed")));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_again_gets_the_first_answer() {
    let bench = bench().await;
    let mut wrap = bench.wrap(7).await;
    let call = wrap.call(&bench, "read_file", &json!({}));
    let first = allowed(&bench, &wrap, &call).await;
    let again = allowed(&bench, &wrap, &call).await;
    assert_eq!(first.index, again.index);
    let finish = wrap.outcome(&bench, first.index, "{}");
    let client = bench.client().await;
    let one = client.finish(wrap.run(), &call.act_id, &finish).await.unwrap().durable().await.unwrap();
    let size = bench.recorder.reader().size();
    let two = client.finish(wrap.run(), &call.act_id, &finish).await.unwrap().durable().await.unwrap();
    assert_eq!((one.index, two.late, bench.recorder.reader().size()), (two.index, false, size));
    verify(&bench, &one.receipt);
    assert_eq!(verify(&bench, &two.receipt).index, one.index);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_hangs_up_and_asks_again_still_has_its_permit() {
    let bench = bench().await;
    let mut wrap = bench.wrap(7).await;
    for _ in 0..10 {
        let call = wrap.call(&bench, "read_file", &json!({}));
        let body = serde_json::to_string(&call).unwrap();
        let path = wrap.path("actions");
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: deeds\r\ndeeds-api: 1\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let mut stream = UnixStream::connect(&bench.socket).await.unwrap();
        stream.write_all((head + &body).as_bytes()).await.unwrap();
        drop(stream);
        let begun = allowed(&bench, &wrap, &call).await;
        let finish = wrap.outcome(&bench, begun.index, "{}");
        let finished = bench.client().await.finish(wrap.run(), &call.act_id, &finish).await.unwrap();
        assert!(!finished.durable().await.unwrap().late);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_outside_the_scope_is_refused_and_recorded() {
    let bench = bench().await;
    let key = SigningKey::from_bytes(&[7; 32]);
    let scope = Some([("stdio:fs#read_file".to_owned(), json!({}))].into());
    let asked = api::OpenRun { scope, ..opening(&key, "fs", None) };
    let opened = bench.client().await.open_run(&asked).await.unwrap();
    let mut wrap = Wrap { key, opened, counter: 0 };
    let call = wrap.call(&bench, "write_file", &json!({}));
    let Begun::Deny(denied) = bench.client().await.begin(wrap.run(), &call).await.unwrap() else {
        panic!("allowed")
    };
    assert_eq!(denied.reason.step, "scope");
    assert_eq!(verify(&bench, &denied.receipt.unwrap()).index, denied.index.unwrap());
    assert_eq!(bench.field(denied.index.unwrap(), "verdict"), Some(json!("deny")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_cannot_be_decided_is_recorded_before_it_is_answered() {
    let bench = bench().await;
    let wrap = bench.wrap(7).await;
    let size = bench.recorder.reader().size();
    let got = bench.post(&wrap.path("actions"), &json!({"stream": 0, "rm": "-rf"})).await;
    assert_eq!(got.problem(), (400, "malformed".to_owned()));
    assert_eq!(bench.recorder.reader().size(), size + 1);
    assert_eq!(bench.field(size, "subtype"), Some(json!("refusals")));
    assert_eq!(bench.field(size, "payload").unwrap()["reason"], "malformed");
    assert_eq!(bench.field(size, "source"), Some(json!(wrap.run())));
    let unknown = format!("/v1/runs/{}/actions", id::text(&bench.new_id()));
    let call = serde_json::to_value(bench.wrap(8).await.call(&bench, "x", &json!({}))).unwrap();
    let size = bench.recorder.reader().size();
    assert_eq!(bench.post(&unknown, &call).await.problem(), (404, "run-unknown".to_owned()));
    assert_eq!(bench.field(size, "payload").unwrap()["reason"], "run-unknown");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_wraps_of_one_client_share_its_task_and_a_joined_stream_ends_alone() {
    let bench = bench().await;
    let (mut one, two) = (bench.wrap(7).await, bench.wrap(8).await);
    assert_eq!(one.opened.txn, two.opened.txn, "the parent process is the same");
    assert_ne!(one.opened.run, two.opened.run);
    let other = SigningKey::from_bytes(&[9; 32]);
    let client = bench.client().await;
    let stranger = api::OpenRun { parent_pid: 1, ..opening(&other, "fs", None) };
    assert_ne!(client.open_run(&stranger).await.unwrap().txn, one.opened.txn, "a claim alone is not used");
    let taken = api::OpenRun { command: vec!["rm".into()], ..opening(&other, "fs", None) };
    assert_eq!(client.open_run(&taken).await.unwrap_err().code(), Some("alias-taken"));
    let joined = client.open_run(&opening(&other, "git", Some(&one.opened.run))).await.unwrap();
    assert_eq!((joined.run.as_str(), joined.stream), (one.opened.run.as_str(), 1));
    let end = api::EndRun { stream: 1, reason: "closed".into(), gaps: 0 };
    let ended = client.end_run(&joined.run, &end).await.unwrap();
    assert_eq!((ended.index, ended.abandoned), (None, vec![]));
    let call = one.call(&bench, "read_file", &json!({}));
    allowed(&bench, &one, &call).await;
    let end = api::EndRun { stream: 0, reason: "closed".into(), gaps: 0 };
    let ended = client.end_run(&one.opened.run, &end).await.unwrap();
    assert!(ended.index.is_some());
    assert_eq!(ended.abandoned, [call.act_id]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delegation_is_renewed_for_the_same_task_and_purpose() {
    let bench = bench().await;
    let mut wrap = bench.wrap(7).await;
    bench.clock.advance(60_000);
    let key = SigningKey::from_bytes(&[70; 32]);
    let asked = api::Renew {
        stream: 0,
        key: Jwk::of(&key).to_json(),
        root_request: None,
        scope: None,
        delegation: None,
    };
    let renewed = bench.client().await.renew(wrap.run(), &asked).await.unwrap();
    assert_eq!(renewed.exp, wrap.opened.exp + 60);
    let token = evidence::jws::Signed::parse(&renewed.delegation, evidence::jws::DELEGATION).unwrap();
    assert_eq!(token.unverified()["deeds"]["purpose"], "tests");
    assert_eq!(token.unverified()["deeds"]["txn"], json!(wrap.opened.txn));
    (wrap.key, wrap.opened.delegation, wrap.counter) = (key, renewed.delegation, 0);
    let call = wrap.call(&bench, "read_file", &json!({}));
    allowed(&bench, &wrap, &call).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registered_key_signs_for_a_run_and_not_once_it_is_retired() {
    let bench = bench().await;
    let person = bench.register("ciso", 11).await;
    let key = SigningKey::from_bytes(&[7; 32]);
    let signed = || RootRequest {
        jti: id::text(&bench.new_id()),
        key: Jwk::of(&person).thumbprint(),
        audience: bench.recorder.names().issuer.clone(),
        iat: bench.now_s(),
        exp: bench.now_s() + 300,
        cnf: Jwk::of(&key),
        max_depth: 0,
        scope: Scope::parse(&json!({"stdio:fs#*": {}})).unwrap(),
        ttl: 3_600,
        tenant: "local".into(),
        txn: None,
        purpose: "containment".into(),
        holder: Some(("containment-agent".into(), PrincipalKind::Agent)),
        why: None,
        intent: None,
        approvals: None,
        mandate: None,
    };
    let client = bench.client().await;
    let with = |token: String| api::OpenRun { root_request: Some(token), ..opening(&key, "fs", None) };
    let opened = client.open_run(&with(signed().sign(&person))).await.unwrap();
    assert_eq!((opened.grade.as_str(), opened.principal.sub.as_str()), ("key-signed", "ciso"));
    assert_eq!(opened.holder.id, "containment-agent");
    let stranger = SigningKey::from_bytes(&[99; 32]);
    let asked = RootRequest { key: Jwk::of(&stranger).thumbprint(), ..signed() };
    assert_eq!(
        client.open_run(&with(asked.sign(&stranger))).await.unwrap_err().code(),
        Some("principal-unknown")
    );
    let mut broken = signed().sign(&person);
    broken.truncate(broken.len() - 2);
    assert_eq!(client.open_run(&with(broken)).await.unwrap_err().code(), Some("request-refused"));
    let path = format!("/v1/principals/{}", Jwk::of(&person).thumbprint());
    let retired: api::Written = client.delete_json(&path).await.unwrap();
    let list = bench.get(&format!("/v1/principals?wait={}", retired.index)).await.json();
    assert_eq!(list["principals"][0]["retired"], retired.index);
    let gone = client.open_run(&with(signed().sign(&person))).await.unwrap_err();
    assert_eq!(gone.code(), Some("principal-unknown"));
    assert_eq!(
        client.delete_json::<api::Written>(&path).await.unwrap_err().code(),
        Some("principal-unknown")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_lease_leaves_the_act_unknown_and_a_late_outcome_stands_beside_it() {
    let bench = bench().await;
    let mut wrap = bench.wrap(7).await;
    let client = bench.client().await;
    let lease = client.lease(wrap.run(), 0).await.unwrap();
    let call = wrap.call(&bench, "read_file", &json!({}));
    let begun = allowed(&bench, &wrap, &call).await;
    bench.clock.advance(120_000);
    assert_eq!(bench.recorder.sweep().await.unwrap(), 0, "held over its connection, so it lives");
    drop(lease);
    let swept = async {
        // the server hears of the lost connection in its own time; the grace period begins then
        while bench.recorder.sweep().await.unwrap() == 0 {
            bench.clock.advance(recorder::limits::LEASE_GRACE_MS);
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, swept).await.unwrap();
    let ended = bench.recorder.control().run(&id::parse(wrap.run()).unwrap()).unwrap().ended.unwrap();
    assert_eq!(bench.field(ended, "reason"), Some(json!("lost")));
    assert_eq!(bench.field(ended - 1, "status"), Some(json!("unknown")));
    let finish = wrap.outcome(&bench, begun.index, "{}");
    let late = client.finish(wrap.run(), &call.act_id, &finish).await.unwrap().durable().await.unwrap();
    assert!(late.late && late.index > ended);
    verify(&bench, &late.receipt);
    assert_eq!(client.lease(wrap.run(), 0).await.unwrap_err().code(), Some("run-ended"));
}

#[tokio::test(flavor = "multi_thread")]
async fn observations_and_gaps_go_into_the_run() {
    let bench = bench().await;
    let wrap = bench.wrap(7).await;
    let client = bench.client().await;
    let seen = api::Observe {
        stream: 0,
        subtype: "frame".into(),
        payload: json!({"method": "x"}),
        count: Some(2),
        act_id: None,
        frame_digest: None,
        refusal: false,
    };
    let seen = client.observe(wrap.run(), &seen).await.unwrap();
    assert_eq!(bench.field(seen.index.unwrap(), "payload"), Some(json!({"method": "x"})));
    let gap = api::Gap {
        stream: 0,
        reason: "server-unreachable".into(),
        from_ms: 1,
        to_ms: 2,
        count: 3,
        digest: None,
        detail: None,
    };
    let gap = client.gap(wrap.run(), &gap).await.unwrap();
    assert_eq!(bench.field(gap.index, "count"), Some(json!(3)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_that_is_not_strict_json_is_known_by_its_digest() {
    let bench = bench().await;
    let mut wrap = bench.wrap(7).await;
    let call = wrap.call(&bench, "read_file", &json!({}));
    let begun = allowed(&bench, &wrap, &call).await;
    let finish = wrap.outcome(&bench, begun.index, r#"{"a":1,"a":2}"#);
    let client = bench.client().await;
    let finished = client.finish(wrap.run(), &call.act_id, &finish).await.unwrap().durable().await.unwrap();
    assert_eq!(bench.field(finished.index, "result"), None);
    assert_eq!(bench.field(finished.index, "result_digest"), Some(json!(finish.result_digest.unwrap())));
}

//! Every problem that a caller can bring about, by its code.

use std::time::Duration;

use capture::api;
use ed25519_dalek::SigningKey;
use evidence::id;
use serde_json::{Value, json};
use web::Limits;

use crate::support::{bench, bench_with, opening, request};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_on_the_api_page_is_malformed_or_not_there() {
    let bench = bench().await;
    let wrap = bench.wrap(7).await;
    let unknown = id::text(&bench.new_id());
    let run = wrap.path("end");
    let end = |more: &str| format!(r#"{{"stream":0,"reason":"closed","gaps":0{more}}}"#);
    let cases: Vec<(&str, String, String, (u16, &str))> = vec![
        ("POST", run.clone(), "{".into(), (400, "malformed")),
        ("POST", run.clone(), String::new(), (400, "malformed")),
        ("POST", run.clone(), end(r#","x":1"#), (400, "malformed")),
        ("POST", run.clone(), end(r#","gaps":1"#), (400, "malformed")),
        ("POST", run.clone(), end("").replace("\"closed\"", "7"), (400, "malformed")),
        ("POST", run.clone(), end("").replace("closed", "\\ud800"), (400, "malformed")),
        ("POST", "/v1/runs/nobody/end".into(), end(""), (400, "malformed")),
        ("POST", "/v1/runs/%ff/end".into(), end(""), (400, "malformed")),
        (
            "POST",
            run.to_uppercase().replace("/V1/RUNS", "/v1/runs").replace("/END", "/end"),
            end(""),
            (400, "malformed"),
        ),
        ("POST", "/v1/policy".into(), r#"{"dir":"policy"}"#.into(), (400, "malformed")),
        ("GET", "/v1/did?whom=ana".into(), String::new(), (400, "malformed")),
        ("GET", format!("/v1/did?who=ana&run={unknown}"), String::new(), (400, "malformed")),
        ("GET", "/v1/runs?limit=-1".into(), String::new(), (400, "malformed")),
        ("GET", "/v1/entries/x".into(), String::new(), (400, "malformed")),
        ("GET", "/v1/authority/x".into(), String::new(), (400, "malformed")),
        ("GET", "/v1/entries/1000000".into(), String::new(), (404, "not-found")),
        ("GET", format!("/v1/authority/{unknown}"), String::new(), (404, "not-found")),
        ("GET", "/v1/nothing".into(), String::new(), (404, "not-found")),
        ("GET", "/nothing".into(), String::new(), (404, "not-found")),
        ("GET", "/log/tile/0".into(), String::new(), (404, "not-found")),
        ("PUT", "/v1/runs".into(), String::new(), (405, "method-not-allowed")),
        ("DELETE", "/log/checkpoint".into(), String::new(), (405, "method-not-allowed")),
        ("DELETE", "/v1/principals/abc".into(), String::new(), (404, "principal-unknown")),
    ];
    for (method, path, body, (status, code)) in cases {
        let got = bench.send(request(method, &path, body.as_bytes())).await;
        assert_eq!(got.problem(), (status, code.to_owned()), "{method} {path} {body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_streams_and_acts_that_are_not_there_are_named_as_such() {
    let bench = bench().await;
    let mut wrap = bench.wrap(7).await;
    let unknown = id::text(&bench.new_id());
    let call = serde_json::to_value(wrap.call(&bench, "read_file", &json!({}))).unwrap();
    let renew = json!({"stream": 0, "key": call_key(), "root_request": null, "scope": null});
    let finish = serde_json::to_value(wrap.outcome(&bench, 3, "{}")).unwrap();
    let bodies = [
        ("actions".to_owned(), call.clone()),
        ("delegations".to_owned(), renew),
        ("lease".to_owned(), json!({"stream": 0})),
        ("end".to_owned(), json!({"stream": 0, "reason": "closed", "gaps": 0})),
        ("observations".to_owned(), json!({"stream": 0, "subtype": "frame", "payload": {}})),
        ("gaps".to_owned(), json!({"stream": 0, "reason": "x", "from_ms": 0, "to_ms": 1, "count": 1})),
        (format!("actions/{unknown}/outcome"), finish.clone()),
    ];
    for (rest, body) in &bodies {
        let got = bench.post(&format!("/v1/runs/{unknown}/{rest}"), body).await;
        assert_eq!(got.problem(), (404, "run-unknown".to_owned()), "{rest}");
    }
    for rest in ["actions", "lease", "end", "observations", "gaps"] {
        let mut body = bodies.iter().find(|(name, _)| name == rest).unwrap().1.clone();
        body["stream"] = json!(9);
        assert_eq!(
            bench.post(&wrap.path(rest), &body).await.problem(),
            (404, "stream-unknown".to_owned()),
            "{rest}"
        );
    }
    let outcome = wrap.path(&format!("actions/{unknown}/outcome"));
    assert_eq!(bench.post(&outcome, &finish).await.problem(), (404, "act-unknown".to_owned()));
    assert_eq!(bench.post(&wrap.path("end"), &bodies[3].1).await.status, 200);
    for rest in ["actions", "lease", "end", "observations", "gaps"] {
        let body = &bodies.iter().find(|(name, _)| name == rest).unwrap().1;
        assert_eq!(
            bench.post(&wrap.path(rest), body).await.problem(),
            (409, "run-ended".to_owned()),
            "{rest}"
        );
    }
}

fn call_key() -> Value {
    evidence::jws::Jwk::of(&SigningKey::from_bytes(&[5; 32])).to_json()
}

#[tokio::test(flavor = "multi_thread")]
async fn members_are_checked_before_anything_is_recorded() {
    let bench = bench().await;
    let mut wrap = bench.wrap(7).await;
    let good = serde_json::to_value(opening(&SigningKey::from_bytes(&[8; 32]), "fs", None)).unwrap();
    let size = bench.recorder.reader().size();
    for (member, value) in [
        ("alias", json!("../fs")),
        ("alias", json!("FS")),
        ("purpose", json!("")),
        ("key", json!({"kty": "RSA"})),
        ("executable", json!("sha256:00")),
        ("config", json!("md5:00")),
        ("scope", json!({})),
        ("scope", json!({"stdio:fs#*": {"path": {"constraint_type": "regex"}}})),
        ("trigger", json!("boredom")),
        ("join", json!("x")),
        ("enforcement_point", json!({"id": "deeds wrap"})),
        ("parent_pid", json!(-1)),
    ] {
        let mut body = good.clone();
        body[member] = value;
        assert_eq!(bench.post("/v1/runs", &body).await.problem(), (400, "malformed".to_owned()), "{body}");
    }
    let observation = json!({"stream": 0, "subtype": "frame", "payload": {}, "frame_digest": "x"});
    assert_eq!(bench.post(&wrap.path("observations"), &observation).await.problem().1, "malformed");
    let agent = json!({"kind": "agent", "sub": "a", "key": call_key(), "proof": "x"});
    assert_eq!(bench.post("/v1/principals", &agent).await.problem().1, "malformed");
    assert_eq!(bench.recorder.reader().size(), size);
    let call = wrap.call(&bench, "read_file", &json!({}));
    let begun = bench.client().await.begin(wrap.run(), &call).await.unwrap();
    let api::Begun::Allow(begun) = begun else { panic!("{begun:?}") };
    let path = wrap.path(&format!("actions/{}/outcome", call.act_id));
    let finish = serde_json::to_value(wrap.outcome(&bench, begun.index, "{}")).unwrap();
    for (member, value, problem) in [
        ("event_id", json!("x"), (400, "malformed")),
        ("status", json!("fine"), (400, "malformed")),
        ("result_digest", json!("x"), (400, "malformed")),
        ("result", json!("[]"), (422, "invalid")),
        ("result_digest", Value::Null, (422, "invalid")),
        ("decision", json!(begun.index - 1), (404, "act-unknown")),
    ] {
        let mut body = finish.clone();
        body[member] = value;
        assert_eq!(bench.post(&path, &body).await.problem(), (problem.0, problem.1.to_owned()), "{body}");
    }
    assert_eq!(bench.post(&path, &finish).await.status, 200, "none of them used up the permit");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registration_without_its_proof_is_invalid() {
    let bench = bench().await;
    let key = SigningKey::from_bytes(&[11; 32]);
    let mut body = bench.registration("ciso", &key);
    body["sub"] = json!("ceo");
    assert_eq!(bench.post("/v1/principals", &body).await.problem(), (422, "invalid".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_version_is_told_which_one_is_spoken() {
    let bench = bench().await;
    for version in [None, Some("2"), Some("01"), Some("")] {
        let mut asked = hyper::Request::get("/v1/hello").header("host", "deeds");
        if let Some(version) = version {
            asked = asked.header(api::API_HEADER, version);
        }
        let got = bench.send(asked.body(http_body_util::Full::default()).unwrap()).await;
        assert_eq!(got.problem(), (426, "api-version".to_owned()), "{version:?}");
        assert_eq!(got.headers.get(api::API_HEADER).unwrap(), "1");
        assert_eq!(got.headers.get("upgrade").unwrap(), "deeds-api/1");
    }
    assert_eq!(bench.get("/v1/hello").await.headers.get(api::API_HEADER).unwrap(), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn waits_are_bounded() {
    let soon = Duration::from_millis(5);
    let bench = bench_with(Limits { folded: soon, published: soon, ..Limits::default() }).await;
    let got = bench.get("/v1/status?wait=1000").await;
    assert_eq!(got.problem(), (503, "not-folded".to_owned()));
    assert_eq!(got.headers.get("retry-after").unwrap(), "1");
    let got = bench.get("/v1/checkpoint?size=1000").await;
    assert_eq!(got.problem(), (503, "not-published".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_closed_says_so() {
    let bench = bench().await;
    let recorder = bench.recorder.clone();
    tokio::task::spawn_blocking(move || recorder.close()).await.unwrap();
    let body = serde_json::to_value(opening(&SigningKey::from_bytes(&[8; 32]), "fs", None)).unwrap();
    let (status, code) = bench.post("/v1/runs", &body).await.problem();
    assert_eq!((status, code.as_str()), (503, "log-unavailable"));
}

//! Several users: each speaks for its own runs, whatever the server has seen or forgotten.

use axum::Router;
use axum::body::Body;
use ed25519_dalek::SigningKey;
use evidence::id;
use http_body_util::BodyExt as _;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use recorder::Peer;
use serde_json::{Value, json};
use web::Limits;

use crate::support::{Bench, Got, bench, opening, request};

const ANA: u32 = 4_001;
const EVE: u32 = 4_002;

/// What a process of this user is answered by a server.
async fn as_user(server: &Router, uid: u32, path: &str, body: &Value) -> Got {
    let mut request = request("POST", path, body.to_string().as_bytes()).map(Body::new);
    request.extensions_mut().insert(Peer { uid, pid: None });
    let response = TowerToHyperService::new(server.clone()).call(request).await.unwrap();
    let (parts, body) = response.into_parts();
    Got { status: parts.status, headers: parts.headers, body: body.collect().await.unwrap().to_bytes() }
}

async fn opened(server: &Router, uid: u32, seed: u8, join: Option<&str>) -> Got {
    let asked = opening(&SigningKey::from_bytes(&[seed; 32]), "fs", join);
    as_user(server, uid, "/v1/runs", &serde_json::to_value(asked).unwrap()).await
}

fn run_of(got: &Got) -> String {
    got.json()["run"].as_str().unwrap().to_owned()
}

/// Everything that can be said about a run.
fn words(bench: &Bench) -> Vec<(&'static str, Value)> {
    let act = id::text(&bench.new_id());
    vec![
        ("observations", json!({"stream": 0, "subtype": "frame", "payload": {}})),
        ("gaps", json!({"stream": 0, "reason": "x", "from_ms": 0, "to_ms": 1, "count": 1})),
        ("artifacts", json!({"stream": 0, "act_id": act, "role": "inputs", "part": 0, "artifacts": []})),
        ("definitions", json!({"stream": 0, "list": "tool", "names": {}, "gone": [], "complete": true})),
        ("delegations", json!({"stream": 0})),
        ("actions", json!({"stream": 0})),
        ("lease", json!({"stream": 0})),
        ("end", json!({"stream": 0, "reason": "closed", "gaps": 0})),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_writes_about_a_run_of_another_user_before_or_after_a_restart() {
    let bench = bench().await;
    let first = bench.router(Limits::default());
    let run = run_of(&opened(&first, ANA, 1, None).await);
    let size = bench.recorder.reader().size();
    // the second server was started after the run was opened, and hears of Eve first
    let second = bench.router(Limits::default());
    for server in [&first, &second] {
        for (what, body) in words(&bench) {
            let got = as_user(server, EVE, &format!("/v1/runs/{run}/{what}"), &body).await;
            assert_eq!(got.problem(), (403, "peer-refused".into()), "{what}");
        }
        let joined = opened(server, EVE, 2, Some(&run)).await;
        assert_eq!(joined.problem(), (403, "peer-refused".into()));
        let spelt = format!("/v1/runs/%30{}/end", &run[1..]);
        let got = as_user(server, EVE, &spelt, &json!({"stream": 0, "reason": "x", "gaps": 0})).await;
        assert_eq!(got.problem(), (403, "peer-refused".into()), "the same run, spelt otherwise");
    }
    assert_eq!(bench.recorder.reader().size(), size, "and nothing is written");
    // neither did that make the run Eve's
    let (what, body) = words(&bench).remove(0);
    let seen = as_user(&second, ANA, &format!("/v1/runs/{run}/{what}"), &body).await;
    assert!(seen.status.is_success(), "{:?}", seen.body);
    assert_eq!(opened(&second, ANA, 3, Some(&run)).await.json()["stream"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn whose_a_run_is_stands_in_the_log() {
    let bench = bench().await;
    let got = opened(&bench.router(Limits::default()), ANA, 1, None).await;
    let index = got.json()["index"].as_u64().unwrap();
    let started = (0..=index).rev().find_map(|index| bench.field(index, "client")).unwrap();
    assert_eq!(started["uid"], ANA);
    let run = id::parse(&run_of(&got)).unwrap();
    assert_eq!(bench.recorder.control().run(&run).unwrap().uid, Some(ANA));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_entry_does_not_say_who_saw_is_reported_by_the_servers_own_user() {
    let bench = bench().await;
    let server = bench.router(Limits::default());
    let config = json!({"name": "codex:/home/ana/.codex/config.toml#fs", "old": null,
        "new": evidence::Digest::of(b"x").to_string()});
    let size = bench.recorder.reader().size();
    let got = as_user(&server, EVE, "/v1/definitions", &config).await;
    assert_eq!(got.problem(), (403, "peer-refused".into()));
    assert_eq!(bench.recorder.reader().size(), size);
    assert!(bench.post("/v1/definitions", &config).await.status.is_success());
    // a withdrawal says whose it is
    let withdraw = json!({"uri": "file:///a", "why": "poisoned"});
    let index = as_user(&server, EVE, "/v1/withdrawals", &withdraw).await.json()["index"].as_u64().unwrap();
    assert!(bench.field(index, "by").unwrap().to_string().contains(&EVE.to_string()));
}

//! What is written beside acts: parts of lists of artifacts, definitions, configurations and withdrawals.

use std::collections::BTreeMap;

use capture::api;
use ed25519_dalek::SigningKey;
use evidence::{Digest, id};
use serde_json::{Value, json};

use crate::support::{bench, opening};

fn digest(text: &str) -> String {
    Digest::of(text.as_bytes()).to_string()
}

fn defined(names: &[(&str, &str)]) -> api::Define {
    let names = names.iter().map(|(name, bytes)| ((*name).to_owned(), digest(bytes)));
    api::Define {
        stream: 0,
        list: api::Defined::Tool,
        names: names.collect::<BTreeMap<_, _>>(),
        gone: Vec::new(),
        complete: true,
        frame_digest: Some(digest("frame")),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn definitions_are_told_and_what_changed_is_answered() {
    let bench = bench().await;
    let client = bench.client().await;
    let one = bench.wrap(7).await;
    let first = client.define(one.run(), &defined(&[("read", "1")])).await.unwrap();
    assert!(first.changed.is_empty());
    assert_eq!(bench.field(first.index, "frame_digest"), Some(json!(digest("frame"))));
    let two = bench.wrap(8).await;
    let told = client.define(two.run(), &defined(&[("read", "2")])).await.unwrap();
    assert_eq!(told.changed, [told.index + 1]);
    let fields =
        ["what", "name", "old", "new", "server", "since"].map(|name| bench.field(told.index + 1, name));
    let expected = [
        json!("tool"),
        json!("read"),
        json!(digest("1")),
        json!(digest("2")),
        json!("stdio:fs"),
        json!(first.index),
    ];
    assert_eq!(fields, expected.map(Some));
    for list in
        [api::Defined::Resource, api::Defined::ResourceTemplate, api::Defined::Prompt, api::Defined::Server]
    {
        let names = [("executable", "1")];
        let told = client.define(one.run(), &api::Define { list, ..defined(&names) }).await.unwrap();
        let word = serde_json::to_value(list).unwrap();
        assert_eq!(bench.field(told.index, "payload").unwrap()["list"], word);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_of_lists_configurations_and_withdrawals_are_recorded() {
    let bench = bench().await;
    let client = bench.client().await;
    let wrap = bench.wrap(7).await;
    let artifact = json!({"uri": "file:///a", "digest": digest("a"), "size": 1, "change": "created"});
    let part = api::ArtifactsPart {
        stream: 0,
        act_id: id::text(&bench.new_id()),
        role: api::ArtifactRole::Outputs,
        part: 3,
        artifacts: vec![serde_json::from_value(artifact.clone()).unwrap()],
    };
    let index = client.artifacts(wrap.run(), &part).await.unwrap().index.unwrap();
    let payload = json!({"role": "outputs", "part": 3, "artifacts": [artifact]});
    assert_eq!(bench.field(index, "payload"), Some(payload));
    assert_eq!(bench.field(index, "act_id"), Some(json!(part.act_id)));

    let name = "codex:/home/m/.codex/config.toml#fs";
    let config =
        api::ClientConfigChanged { name: name.into(), old: Some(digest("a")), new: Some(digest("b")) };
    let index = client.client_config_changed(&config).await.unwrap().index;
    assert_eq!(bench.field(index, "what"), Some(json!("client-config")));
    assert_eq!(bench.field(index, "name"), Some(json!(name)));

    let withdraw = api::Withdraw { uri: None, digest: Some(digest("a")), why: "poisoned".into() };
    let got = bench.post("/v1/withdrawals", &serde_json::to_value(&withdraw).unwrap()).await;
    assert_eq!(got.status, 201);
    let index = got.json()["index"].as_u64().unwrap();
    assert_eq!(bench.field(index, "artifact"), Some(json!({"digest": digest("a")})));
    assert_eq!(client.withdraw(&withdraw).await.unwrap().index, index + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_as_the_page_says_is_refused_and_nothing_is_written() {
    let bench = bench().await;
    let wrap = bench.wrap(7).await;
    let (malformed, invalid) = ((400, "malformed"), (422, "invalid"));
    let act_id = id::text(&bench.new_id());
    let part = json!({"stream": 0, "act_id": act_id, "role": "inputs", "part": 0, "artifacts": []});
    let define = serde_json::to_value(defined(&[("a", "1")])).unwrap();
    let config = json!({"name": "x", "old": digest("a"), "new": null});
    let withdraw = json!({"uri": "file:///a", "digest": null, "why": "x"});
    let observe = json!({"stream": 0, "subtype": "frame", "payload": {}});
    let many: Value =
        (0..257).map(|n| (n.to_string(), json!(digest("x")))).collect::<serde_json::Map<_, _>>().into();
    let (artifacts, definitions) = (wrap.path("artifacts"), wrap.path("definitions"));
    let observations = wrap.path("observations");
    let size = bench.recorder.reader().size();
    for (path, good, member, value, (status, code)) in [
        (artifacts.as_str(), &part, "role", json!("both"), malformed),
        (&artifacts, &part, "part", json!(1_u64 << 54), malformed),
        (&artifacts, &part, "act_id", json!("x"), malformed),
        (&artifacts, &part, "artifacts", json!([{"uri": ""}]), malformed),
        (&artifacts, &part, "artifacts", Value::Array(vec![json!({"uri": "a"}); 257]), malformed),
        (&artifacts, &part, "artifacts", json!({"count": 300, "digest": digest("x")}), malformed),
        (&artifacts, &part, "more", json!(1), malformed),
        (&artifacts, &part, "stream", json!(9), (404, "stream-unknown")),
        (&definitions, &define, "list", json!("tools"), malformed),
        (&definitions, &define, "names", json!({"a": "x"}), malformed),
        (&definitions, &define, "frame_digest", json!("x"), malformed),
        (&definitions, &define, "names", many, invalid),
        (&definitions, &define, "names", json!({"": digest("x")}), invalid),
        (&definitions, &define, "names", json!({"x".repeat(2_049): digest("x")}), invalid),
        (&definitions, &define, "list", json!("server"), invalid),
        (&definitions, &define, "stream", json!(9), (404, "stream-unknown")),
        ("/v1/definitions", &config, "old", json!("x"), malformed),
        ("/v1/definitions", &config, "old", Value::Null, invalid),
        ("/v1/definitions", &config, "name", json!(""), invalid),
        ("/v1/withdrawals", &withdraw, "digest", json!("x"), malformed),
        ("/v1/withdrawals", &withdraw, "uri", Value::Null, invalid),
        ("/v1/withdrawals", &withdraw, "uri", json!("a\nb"), invalid),
        ("/v1/withdrawals", &withdraw, "why", json!(""), invalid),
        (&observations, &observe, "subtype", json!("definitions"), invalid),
        (&observations, &observe, "subtype", json!("artifacts"), invalid),
        (&observations, &observe, "subtype", json!("refusals"), invalid),
    ] {
        let mut body = good.clone();
        body[member] = value;
        assert_eq!(bench.post(path, &body).await.problem(), (status, code.to_owned()), "{path} {member}");
    }
    assert_eq!(bench.recorder.reader().size(), size);
    let nowhere = format!("/v1/runs/{act_id}");
    for (rest, body) in [("artifacts", &part), ("definitions", &define)] {
        let got = bench.post(&format!("{nowhere}/{rest}"), body).await;
        assert_eq!(got.problem(), (404, "run-unknown".to_owned()));
    }
    let end = json!({"stream": 0, "reason": "closed", "gaps": 0});
    assert_eq!(bench.post(&wrap.path("end"), &end).await.status, 200);
    for (rest, body) in [("artifacts", &part), ("definitions", &define)] {
        assert_eq!(bench.post(&wrap.path(rest), body).await.problem(), (409, "run-ended".to_owned()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_root_is_for_what_the_stream_wraps() {
    let bench = bench().await;
    let client = bench.client().await;
    let wrap = bench.wrap(7).await;
    let key = SigningKey::from_bytes(&[9; 32]);
    let joined = client.open_run(&opening(&key, "git", Some(wrap.run()))).await.unwrap();
    let command = api::OpenRun { scheme: api::Scheme::Run, ..opening(&key, "make", None) };
    let command = client.open_run(&command).await.unwrap();
    let wrong = api::OpenRun { scheme: api::Scheme::Run, ..opening(&key, "../make", None) };
    assert_eq!(client.open_run(&wrong).await.unwrap_err().code(), Some("malformed"));
    for (run, stream, scope) in [
        (wrap.run(), 0, "stdio:fs#*"),
        (joined.run.as_str(), 1, "stdio:git#*"),
        (command.run.as_str(), 0, "run:make#*"),
    ] {
        let key = evidence::jws::Jwk::of(&key).to_json();
        let asked = api::Renew { stream, key, root_request: None, scope: None, delegation: None };
        let renewed = client.renew(run, &asked).await.unwrap();
        let signed = evidence::jws::Signed::parse(&renewed.delegation, evidence::jws::DELEGATION).unwrap();
        let tools = signed.unverified()["authorization_details"][0]["tools"].clone();
        assert_eq!(tools, json!({scope: {}}));
    }
    assert_eq!(bench.field(command.index, "servers").unwrap()[0]["scheme"], "run");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_json_does_not_carry_exactly_is_not_recorded_as_another() {
    use evidence::limits::JSON_INTEGER_MAX as MOST;

    let bench = bench().await;
    let mut wrap = bench.wrap(7).await;
    let observed = |count: u64| json!({"stream": 0, "subtype": "frame", "payload": {}, "count": count});
    let gap = |member: &str, number: u64| {
        let mut gap = json!({"stream": 0, "reason": "x", "from_ms": 0, "to_ms": 0, "count": 0});
        gap[member] = json!(number);
        gap
    };
    let bodies = |number: u64| {
        let gaps = ["from_ms", "to_ms", "count"].map(|member| ("gaps", gap(member, number)));
        [("observations", observed(number))].into_iter().chain(gaps)
    };
    for (path, body) in bodies(MOST) {
        assert!(bench.post(&wrap.path(path), &body).await.status.is_success(), "{path} {body}");
    }
    let size = bench.recorder.reader().size();
    for (path, body) in bodies(MOST + 1).chain(bodies(u64::MAX)) {
        assert_eq!(bench.post(&wrap.path(path), &body).await.problem(), (400, "malformed".into()), "{path}");
    }
    let end = json!({"stream": 0, "reason": "closed", "gaps": u64::MAX});
    assert_eq!(bench.post(&wrap.path("end"), &end).await.problem(), (400, "malformed".into()));
    let call = wrap.call(&bench, "read_file", &json!({}));
    assert_eq!(bench.recorder.reader().size(), size);
    let got = bench.post(&wrap.path("actions"), &serde_json::to_value(&call).unwrap()).await.json();
    let finish =
        api::Finish { duration_us: MOST + 1, ..wrap.outcome(&bench, got["index"].as_u64().unwrap(), "{}") };
    let path = wrap.path(&format!("actions/{}/outcome", call.act_id));
    let got = bench.post(&path, &serde_json::to_value(&finish).unwrap()).await;
    assert_eq!(got.problem(), (400, "malformed".into()));
}

//! Answers, proofs, the policy and the log's files.

use capture::api::{self, Begun};
use evidence::{Digest, id};
use hyper::StatusCode;
use serde_json::{Value, json};
use verify::{TrustRoots, Verdict};

use crate::support::{Bench, bench};

/// A run with one finished and one refused call; the run, the act, and the positions of decision and outcome.
async fn story(bench: &Bench) -> (String, String, u64, u64) {
    let mut wrap = bench.wrap(7).await;
    let client = bench.client().await;
    let call = wrap.call(bench, "read_file", &json!({"path": "a"}));
    let Begun::Allow(begun) = client.begin(wrap.run(), &call).await.unwrap() else { panic!("denied") };
    let finish = wrap.outcome(bench, begun.index, r#"{"ok":true}"#);
    let finished = client.finish(wrap.run(), &call.act_id, &finish).await.unwrap().durable().await.unwrap();
    (wrap.opened.run.clone(), call.act_id, begun.index, finished.index)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_reflects_what_was_just_written() {
    let bench = bench().await;
    let (run, act_id, decided, finished) = story(&bench).await;
    let ask = async |path: &str| -> Value {
        let join = if path.contains('?') { '&' } else { '?' };
        let got = bench.get(&format!("{path}{join}wait={finished}")).await;
        assert_eq!(got.status, StatusCode::OK, "{path}: {:?}", got.body);
        let answer = got.json();
        assert!(answer["size"].as_u64().unwrap() > finished, "{path}");
        assert_eq!(answer["complete"], true, "{path}: {answer}");
        answer
    };
    let did = ask("/v1/did").await;
    assert_eq!(did["actions"][0]["index"], decided);
    assert_eq!(did["actions"][0]["outcome"]["status"]["value"], "ok");
    for path in [
        format!("/v1/did?run={run}"),
        "/v1/did?tool=stdio%3Afs%23read_file&limit=1&before=100".to_owned(),
        format!("/v1/did?who=uid%3A{}&from=0&to=99999999999999", rustix::process::geteuid().as_raw()),
        format!("/v1/did?run={run}&tool=stdio%3Afs%23*&verdict=allow&outcome=ok"),
        format!("/v1/did?principal=uid%3A{}&outcome=ok", rustix::process::geteuid().as_raw()),
    ] {
        assert_eq!(ask(&path).await["actions"].as_array().unwrap().len(), 1, "{path}");
    }
    assert!(ask("/v1/did?verdict=deny").await["actions"].as_array().unwrap().is_empty());
    assert_eq!(ask("/v1/runs").await["runs"][0]["run"], json!(run));
    assert_eq!(ask("/v1/runs?from=0&to=1").await["runs"], json!([]));
    assert_eq!(ask("/v1/tasks?from=0").await["tasks"][0]["actions"], 1);
    assert_eq!(ask("/v1/gaps?from=0&limit=3").await["gaps"], json!([]));
    assert_eq!(ask("/v1/definitions").await["servers"], json!([]));
    let result = Digest::of(br#"{"ok":true}"#).to_string().replace(':', "%3A");
    let traced = ask(&format!("/v1/trace?of={result}&direction=up")).await;
    assert_eq!(
        (&traced["acts"][0]["role"], &traced["acts"][0]["act"]["index"]),
        (&json!("result"), &json!(decided))
    );
    for of in [format!("@{decided}"), finished.to_string(), act_id.clone()] {
        let traced = ask(&format!("/v1/trace?of={of}")).await;
        assert_eq!(traced["of"], json!({"act": decided}));
    }
    assert_eq!(ask(&format!("/v1/runs/{run}")).await["run"], json!(run));
    assert_eq!(ask(&format!("/v1/authority/{decided}")).await["action"], decided);
    assert_eq!(ask(&format!("/v1/authority/{act_id}")).await["action"], decided);
    assert_eq!(ask(&format!("/v1/entries/{finished}")).await["kind"], "finished");
    assert_eq!(ask("/v1/status").await["open_actions"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_that_cannot_be_understood_are_malformed() {
    let bench = bench().await;
    for path in [
        "/v1/did?who=a&run=b",
        "/v1/did?verdict=maybe",
        "/v1/did?outcome=fine",
        "/v1/trace",
        "/v1/trace?of=relative/path",
        "/v1/trace?of=sha256%3Aaa",
        "/v1/trace?of=1&direction=sideways",
        "/v1/tasks?who=a",
        "/v1/gaps?from=yesterday",
    ] {
        assert_eq!(bench.get(path).await.problem(), (400, "malformed".to_owned()), "{path}");
    }
    for path in
        ["/v1/definitions?server=stdio%3Ax", "/v1/trace?of=0", "/v1/did?tool=x%23y", "/v1/did?principal=x"]
    {
        assert_eq!(bench.get(path).await.problem(), (404, "not-found".to_owned()), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn artifacts_are_traced_and_withdrawn() {
    let bench = bench().await;
    let mut wrap = bench.wrap(7).await;
    let client = bench.client().await;
    let file = |text: &str| api::Artifact {
        uri: "file:///srv/data".into(),
        digest: Some(Digest::of(text.as_bytes()).to_string()),
        size: None,
        media_type: None,
        change: None,
        before: None,
    };
    let mut acts = Vec::new();
    for (had, made) in [("v0", Some("v1")), ("v1", None)] {
        let mut call = wrap.call(&bench, "read_file", &json!({"path": had}));
        call.inputs = api::Artifacts::List(vec![file(had)]);
        let Begun::Allow(begun) = client.begin(wrap.run(), &call).await.unwrap() else { panic!("denied") };
        let mut finish = wrap.outcome(&bench, begun.index, "{}");
        let change = Some(api::Change::Modified);
        let written = made.map(|made| api::Artifact { change, ..file(made) });
        finish.outputs = api::Artifacts::List(written.into_iter().collect());
        client.finish(wrap.run(), &call.act_id, &finish).await.unwrap().durable().await.unwrap();
        acts.push(begun.index);
    }
    let asked = async |path: String| bench.get(&path).await.json();
    let size = bench.recorder.reader().size();
    let v1 = Digest::of(b"v1").to_string().replace(':', "%3A");
    let traced = asked(format!("/v1/trace?of={v1}&wait={}", size - 1)).await;
    let rows: Vec<(&Value, &Value)> =
        traced["acts"].as_array().unwrap().iter().map(|row| (&row["role"], &row["act"]["index"])).collect();
    assert_eq!(rows, [(&json!("input"), &json!(acts[1])), (&json!("output"), &json!(acts[0]))]);
    let withdrawn = client
        .withdraw(&api::Withdraw { uri: Some("file:///srv/data".into()), digest: None, why: "wrong".into() })
        .await
        .unwrap();
    let traced = asked(format!("/v1/trace?of=/srv/data&direction=down&wait={}", withdrawn.index)).await;
    assert_eq!(traced["withdrawn"][0]["index"], withdrawn.index);
    assert_eq!((&traced["findings"][0]["code"], &traced["complete"]), (&json!("withdrawn"), &json!(true)));
    let did = asked("/v1/did?limit=1".to_owned()).await;
    assert_eq!(did["actions"][0]["withdrawn"][0]["index"], withdrawn.index);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_principal_is_listed_with_its_label() {
    let bench = bench().await;
    bench.register("ciso", 11).await;
    let written = bench.recorder.reader().size() - 1;
    let list = bench.get(&format!("/v1/principals?wait={written}")).await.json();
    let row = &list["principals"][0];
    assert_eq!(row["principal"]["value"]["sub"], "ciso");
    assert_eq!((&row["index"], &row["retired"]), (&json!(written), &Value::Null));
    assert_eq!(row["label"], row["principal"]["assurance"]);
    assert!(row["label"].is_string(), "{row}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_verifies_without_the_server() {
    let bench = bench().await;
    let (run, act_id, decided, _) = story(&bench).await;
    for subject in [format!("@{decided}"), act_id, run] {
        let got = bench.post("/v1/prove", &json!({"subject": subject, "withhold": ["args"]})).await;
        assert_eq!(got.status, StatusCode::OK, "{:?}", got.body);
        assert_eq!(got.headers.get("content-type").unwrap(), "application/vnd.deeds.bundle");
        let report = verify::verify_bundle(&got.body, &TrustRoots::default());
        assert_eq!(report.verdict, Verdict::Verified, "{report:?}");
    }
    let got = bench.post("/v1/prove", &json!({"subject": format!("@{}", 1_000)})).await;
    assert_eq!(got.problem().0, 404);
    assert_eq!(bench.post("/v1/prove", &json!({"subject": "x"})).await.problem().1, "malformed");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_served_as_static_files() {
    let bench = bench().await;
    story(&bench).await;
    let size = bench.recorder.reader().size();
    let published = bench.get(&format!("/v1/checkpoint?size={size}")).await.json();
    assert_eq!(published["size"], size);
    // readers of tlog-tiles know nothing of our version header
    let plain = |path: &str| {
        let request = hyper::Request::get(path).header("host", "deeds");
        bench.send(request.body(http_body_util::Full::default()).unwrap())
    };
    let note = plain("/log/checkpoint").await;
    assert_eq!(note.headers.get("content-type").unwrap(), "text/plain; charset=utf-8");
    assert_eq!(published["checkpoint"].as_str().unwrap().as_bytes(), note.body);
    let tile = plain(&format!("/log/tile/0/000.p/{size}")).await;
    assert_eq!(tile.headers.get("content-type").unwrap(), "application/octet-stream");
    assert!(tile.headers.get("cache-control").unwrap().to_str().unwrap().contains("immutable"));
    let leaves: Vec<[u8; 32]> = tile.body.as_chunks().0.to_vec();
    assert_eq!(leaves.len() as u64, size);
    assert_eq!(tlog::root_of(&leaves), bench.recorder.reader().root(size).unwrap());
    let entries = plain(&format!("/log/tile/entries/000.p/{size}")).await;
    assert_eq!(
        &entries.body[2..],
        [
            &bench.recorder.reader().entry(0).unwrap()[..],
            &entries.body[2 + bench.recorder.reader().entry(0).unwrap().len()..]
        ]
        .concat()
    );
    for wrong in
        ["/log/tile/0/001", "/log/tile/0/..%2f..%2f..%2fLOCK", "/log/tile/0/%300", "/log/tile/../../LOCK"]
    {
        assert_eq!(plain(wrong).await.problem(), (404, "not-found".to_owned()), "{wrong}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_directory_comes_into_force() {
    let bench = bench().await;
    let shown = bench.get("/v1/policy").await.json();
    assert_eq!(shown["source"], "starter");
    let dir = bench.dir.path().join("policy");
    std::fs::create_dir(&dir).unwrap();
    let text = "@id(\"all\")\npermit(principal, action, resource);\n";
    std::fs::write(dir.join("all.cedar"), text).unwrap();
    let activated = bench.post("/v1/policy", &json!({"dir": dir})).await;
    assert_eq!(activated.status, StatusCode::OK, "{:?}", activated.body);
    let activated: api::ActivatedPolicy = serde_json::from_slice(&activated.body).unwrap();
    let shown: api::Policy = bench.client().await.get_json("/v1/policy").await.unwrap();
    assert_eq!(shown.digest, activated.digest);
    assert_eq!(shown.policies, [api::PolicyRow { id: "all".into(), effect: "permit".into() }]);
    assert_eq!(bench.field(activated.index, "policy_digest"), Some(json!(activated.digest)));
    std::fs::write(dir.join("all.cedar"), "permit(").unwrap();
    assert_eq!(
        bench.post("/v1/policy", &json!({"dir": dir})).await.problem(),
        (422, "policy-invalid".to_owned())
    );
    assert_eq!(bench.get("/v1/policy").await.json()["digest"], json!(activated.digest));
    let unknown = id::text(&bench.new_id());
    assert_eq!(bench.get(&format!("/v1/runs/{unknown}")).await.problem(), (404, "not-found".to_owned()));
}

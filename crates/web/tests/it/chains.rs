//! Delegations over the API: issued, kept, presented, handed on, revoked, halted.

use capture::api::{self, Begun, Presented};
use ed25519_dalek::SigningKey;
use evidence::delegation::{HaltAct, HaltOrder, Mandate, On, Revocation, Target, What};
use evidence::jws::Jwk;
use evidence::principal::{Principal, PrincipalKind};
use evidence::{Digest, id};
use http_body_util::Full;
use hyper::Request;
use hyper::body::Bytes;
use serde_json::{Value, json};

use crate::agent::{Agent, tools};
use crate::support::{Bench, Got, bench, request};

async fn allowed(bench: &Bench, run: &str, call: &api::Begin) -> u64 {
    match bench.client().await.begin(run, call).await.unwrap() {
        Begun::Allow(allowed) => allowed.index,
        Begun::Deny(denied) => panic!("{denied:?}"),
    }
}

async fn refused(bench: &Bench, run: &str, call: &api::Begin) -> api::Denied {
    match bench.client().await.begin(run, call).await.unwrap() {
        Begun::Allow(allowed) => panic!("{allowed:?}"),
        Begun::Deny(denied) => denied,
    }
}

async fn open(bench: &Bench, agent: &Agent) -> api::OpenedRun {
    bench.client().await.open_run(&agent.opening()).await.unwrap()
}

/// A begin whose chain and proof are in the head of the request.
fn by_headers(run: &str, call: &api::Begin) -> Request<Full<Bytes>> {
    let (leaf, pop) = (call.delegation.clone().unwrap(), call.pop.clone().unwrap());
    let body = api::Begin { delegation: None, pop: None, ..call.clone() };
    let mut request =
        request("POST", &format!("/v1/runs/{run}/actions"), &serde_json::to_vec(&body).unwrap());
    request.headers_mut().insert("deeds-delegation-ref", leaf.parse().unwrap());
    request.headers_mut().insert("deeds-delegation-pop", pop.parse().unwrap());
    request
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_is_issued_outside_a_run_and_used_in_one() {
    let bench = bench().await;
    let person = bench.register("ciso", 11).await;
    let key = SigningKey::from_bytes(&[21; 32]);
    let asked = bench.asked(&person, &key).sign(&person);
    let got = bench.post("/v1/delegations", &json!({ "root_request": asked })).await;
    assert_eq!(got.status, 201);
    let issued: api::IssuedDelegation = serde_json::from_slice(&got.body).unwrap();
    assert_eq!((issued.grade.as_str(), issued.principal.sub.as_str()), ("key-signed", "ciso"));
    assert_eq!((issued.exp, &issued.issuer), (bench.now_s() + 3_600, &bench.recorder.names().issuer));
    assert_eq!(bench.field(issued.index, "digest"), Some(json!(issued.digest)));
    let mut agent = Agent { key, chain: vec![issued.delegation], handoff: None, counter: 0 };
    assert_eq!(agent.leaf(), issued.digest);
    let opened = open(&bench, &agent).await;
    assert_eq!((&opened.txn, opened.holder.id.as_str()), (&issued.txn, "lead"));
    assert_eq!((opened.parent, opened.next_counter), (None, 0));
    let call = agent.call(&bench, "read_file", &json!({}));
    let index = allowed(&bench, &opened.run, &call).await;
    assert_eq!(bench.field(index, "credential").unwrap()["carrier"], "wrap");
    assert_eq!(open(&bench, &agent).await.next_counter, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_is_kept_and_named_by_its_leaf_in_a_run_and_in_headers() {
    let bench = bench().await;
    let person = bench.register("ciso", 11).await;
    let lead = bench.agent(&person, 21).await;
    let mut sub = lead.hand_on(&bench, 22, None);
    let kept = bench.client().await.keep_chain(sub.chain.clone()).await.unwrap();
    assert_eq!((kept.digest.as_str(), kept.links, kept.exp), (sub.leaf().as_str(), 2, bench.now_s() + 3_600));
    let by_ref = api::OpenRun { delegation: Some(Presented::Ref(sub.leaf())), ..sub.opening() };
    let opened = bench.client().await.open_run(&by_ref).await.unwrap();
    assert_eq!(opened.delegation, sub.chain[1]);
    // a further chain of the same holder is taken into the run with the first act that names it
    let mut further = lead.hand_on(&bench, 22, Some(tools(&["read_file"])));
    bench.client().await.keep_chain(further.chain.clone()).await.unwrap();
    let call = further.call(&bench, "read_file", &json!({}));
    let size = bench.recorder.reader().size();
    let got = bench.send(by_headers(&opened.run, &call)).await;
    assert_eq!((got.status.as_u16(), got.json()["verdict"].clone()), (200, json!("allow")));
    assert_eq!(bench.field(size, "digest"), Some(json!(further.leaf())), "first its link, then the decision");
    let index = got.json()["index"].as_u64().unwrap();
    assert_eq!(bench.field(index, "credential").unwrap()["carrier"], "http");
    // the same again is the same answer, by either way
    sub.counter = further.counter;
    assert_eq!(bench.send(by_headers(&opened.run, &call)).await.json()["index"], index);
    let next = sub.call(&bench, "read_file", &json!({}));
    assert_eq!(bench.send(by_headers(&opened.run, &next)).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn chain_and_proof_come_in_one_place_whole() {
    let bench = bench().await;
    let person = bench.register("ciso", 11).await;
    let mut agent = bench.agent(&person, 21).await;
    let run = open(&bench, &agent).await.run;
    let path = format!("/v1/runs/{run}/actions");
    let call = agent.call(&bench, "read_file", &json!({}));
    let body = serde_json::to_value(&call).unwrap();
    let with = |change: &dyn Fn(&mut Value)| {
        let mut body = body.clone();
        change(&mut body);
        serde_json::to_vec(&body).unwrap()
    };
    let without = |names: &[&str]| {
        with(&|body: &mut Value| {
            for name in names {
                body.as_object_mut().unwrap().remove(*name);
            }
        })
    };
    let size = bench.recorder.reader().size();
    let headers = |names: &[&str], body: Vec<u8>| {
        let mut request = request("POST", &path, &body);
        for name in names {
            let value = body_value(&call, name);
            request.headers_mut().append(hyper::header::HeaderName::try_from(*name).unwrap(), value);
        }
        request
    };
    let (leaf, pop) = ("deeds-delegation-ref", "deeds-delegation-pop");
    let bare = || without(&["delegation", "pop"]);
    let wrong = [
        headers(&[], bare()),
        headers(&[], without(&["pop"])),
        headers(&[], with(&|body| body["carrier"] = json!("http"))),
        headers(&[leaf], bare()),
        headers(&[pop], bare()),
        headers(&[leaf, pop], with(&|_| {})),
        headers(&[leaf, pop], without(&["pop"])),
        headers(&[leaf], without(&["delegation"])),
        headers(&[leaf, leaf, pop], bare()),
        headers(&[leaf, pop, pop], bare()),
    ];
    let count = wrong.len() as u64;
    for request in wrong {
        let shown = format!("{:?}", request.headers());
        assert_eq!(bench.send(request).await.problem(), (400, "malformed".to_owned()), "{shown}");
    }
    assert_eq!(bench.recorder.reader().size(), size + count, "each of them is on record");
    assert_eq!(bench.send(headers(&[leaf, pop], bare())).await.json()["verdict"], "allow");
    let meta =
        api::Begin { carrier: Some(api::Carrier::McpMeta), ..agent.call(&bench, "read_file", &json!({})) };
    let index = allowed(&bench, &run, &meta).await;
    assert_eq!(bench.field(index, "credential").unwrap()["carrier"], "mcp-meta");
}

fn body_value(call: &api::Begin, name: &str) -> hyper::header::HeaderValue {
    let text = if name.ends_with("ref") { &call.delegation } else { &call.pop };
    text.as_ref().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reference_that_is_not_known_is_answered_alike_everywhere() {
    let bench = bench().await;
    let other_log = crate::support::bench().await;
    let person = bench.register("ciso", 11).await;
    let stranger = other_log.register("ciso", 11).await;
    let mut agent = bench.agent(&person, 21).await;
    let run = open(&bench, &agent).await.run;
    // one that was never anything, and one that is well known to another log (of the same keys)
    drop(other_log.agent(&stranger, 22).await);
    let mut foreign = other_log.agent(&stranger, 21).await;
    foreign.chain = foreign.hand_on(&other_log, 21, None).chain;
    let nothing = Digest::of(b"x");
    let nothing = evidence::base64url::encode(&nothing.0);
    let mut answers = Vec::new();
    for leaf in [nothing, foreign.leaf()] {
        let opening = api::OpenRun { delegation: Some(Presented::Ref(leaf.clone())), ..agent.opening() };
        let opening = serde_json::to_value(opening).unwrap();
        let renew = json!({"stream": 0, "key": Jwk::of(&agent.key).to_json(), "delegation": {"ref": leaf}});
        let call =
            api::Begin { delegation: Some(leaf.clone()), ..agent.call(&bench, "read_file", &json!({})) };
        let got = [
            bench.post("/v1/runs", &opening).await,
            bench.post(&format!("/v1/runs/{run}/delegations"), &renew).await,
            bench.send(by_headers(&run, &call)).await,
        ];
        for got in got {
            assert_eq!(got.problem(), (404, "delegation-unknown".to_owned()));
            answers.push(text(&got).replace(&leaf, "LEAF"));
        }
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
    // by value, the root is what is not known
    let got = bench.post("/v1/delegations", &json!({"chain": foreign.chain})).await;
    assert_eq!(got.problem(), (404, "delegation-unknown".to_owned()));
    assert!(!text(&got).contains(&foreign.leaf()));
}

fn text(got: &Got) -> String {
    String::from_utf8(got.body.to_vec()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_hold_is_refused_with_its_step_and_recorded() {
    let bench = bench().await;
    let person = bench.register("ciso", 11).await;
    let lead = bench.agent(&person, 21).await;
    let mut sub = lead.hand_on(&bench, 22, None);
    let spliced =
        vec![sub.chain[0].clone(), bench.agent(&person, 23).await.hand_on(&bench, 22, None).chain[1].clone()];
    for (chain, step) in [
        (vec![], "chain-size"),
        (vec![lead.chain[0].clone(); 10], "chain-size"),
        (vec![sub.chain[1].clone()], "delegation-malformed"),
        (spliced, "link-parent"),
    ] {
        let size = bench.recorder.reader().size();
        let got = bench.post("/v1/delegations", &json!({ "chain": chain })).await;
        assert_eq!(got.problem(), (403, "delegation-refused".to_owned()), "{step}");
        assert!(text(&got).contains(step), "{step}: {}", text(&got));
        assert_eq!(bench.field(size, "payload").unwrap()["step"], step);
    }
    // another's key, another's run, and both ways at once
    let thief = api::OpenRun { key: Jwk::of(&lead.key).to_json(), ..sub.opening() };
    assert_eq!(bench.client().await.open_run(&thief).await.unwrap_err().code(), Some("delegation-refused"));
    let run = open(&bench, &lead).await.run;
    let renew = |chain: &Agent, scope| api::Renew {
        stream: 0,
        key: Jwk::of(&chain.key).to_json(),
        root_request: None,
        scope,
        delegation: Some(Presented::Chain(chain.chain.clone())),
    };
    let error = bench.client().await.renew(&run, &renew(&sub, None)).await.unwrap_err();
    assert_eq!(error.code(), Some("delegation-refused"));
    let scope = Some([("stdio:fs#*".to_owned(), json!({}))].into());
    let error = bench.client().await.renew(&run, &renew(&lead, scope)).await.unwrap_err();
    assert_eq!(error.code(), Some("invalid"));
    let text = api::OpenRun { handoff: Some("something else".into()), ..sub.opening() };
    assert_eq!(bench.client().await.open_run(&text).await.unwrap_err().code(), Some("delegation-refused"));
    let call = sub.call(&bench, "read_file", &json!({}));
    assert_eq!(refused(&bench, &run, &call).await.reason.step, "decision-delegation");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_run_is_announced_in_its_parents() {
    let bench = bench().await;
    let person = bench.register("ciso", 11).await;
    let lead = bench.agent(&person, 21).await;
    let parent = open(&bench, &lead).await;
    let sub = lead.hand_on(&bench, 22, Some(tools(&["read_file"])));
    let child = open(&bench, &sub).await;
    assert_eq!(child.parent.as_deref(), Some(parent.run.as_str()));
    assert_eq!((&child.txn, child.holder.asr.as_str()), (&parent.txn, "delegator-asserted"));
    let end = api::EndRun { stream: 0, reason: "closed".into(), gaps: 0 };
    let ended = bench.client().await.end_run(&parent.run, &end).await.unwrap().index.unwrap();
    assert_eq!(bench.field(ended, "children"), Some(json!([child.run])));
    let announced = (0..ended).find(|index| bench.field(*index, "child").is_some()).unwrap();
    assert_eq!(bench.field(announced, "handoff"), Some(json!("part 22 of the work")));
    // named parents must be open
    let named = api::OpenRun { parent: Some(parent.run.clone()), ..sub.opening() };
    assert_eq!(bench.client().await.open_run(&named).await.unwrap_err().code(), Some("run-ended"));
    let nobody = api::OpenRun { parent: Some(id::text(&bench.new_id())), ..sub.opening() };
    assert_eq!(bench.client().await.open_run(&nobody).await.unwrap_err().code(), Some("run-unknown"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_is_in_force_for_the_next_call_and_names_what_is_in_doubt() {
    let bench = bench().await;
    let client = bench.client().await;
    let person = bench.register("ciso", 11).await;
    let lead = bench.agent(&person, 21).await;
    let mut sub = lead.hand_on(&bench, 22, None);
    let run = open(&bench, &sub).await.run;
    let call = sub.call(&bench, "read_file", &json!({}));
    let decided = allowed(&bench, &run, &call).await;
    let stolen = bench.now_s() - 60;
    let revoke = api::Revoke {
        what: "delegation".into(),
        target: json!(lead.leaf()),
        eff: Some(stolen),
        why: "its key was stolen".into(),
        token: None,
    };
    let revoked = client.revoke(&revoke).await.unwrap();
    assert_eq!(revoked.eff, stolen);
    let denied = refused(&bench, &run, &sub.call(&bench, "read_file", &json!({}))).await;
    assert_eq!((denied.reason.code.as_str(), denied.reason.step.as_str()), ("delegation", "revoked"));
    let doubt = bench.get(&format!("/v1/doubt/{}?wait={}", revoked.index, revoked.index)).await.json();
    assert_eq!((&doubt["count"], &doubt["actions"][0]["index"]), (&json!(1), &json!(decided)));
    // signed, it must say the same
    let signed = Revocation {
        jti: id::text(&bench.new_id()),
        key: Jwk::of(&person).thumbprint(),
        audience: bench.recorder.names().issuer.clone(),
        iat: bench.now_s(),
        exp: bench.now_s() + 300,
        what: What::HolderKey,
        target: Target::Text(sub.thumbprint()),
        eff: bench.now_s(),
        why: "lost".into(),
        tenant: "local".into(),
    };
    let asked = api::Revoke {
        what: "holder-key".into(),
        target: json!(sub.thumbprint()),
        eff: None,
        why: "lost".into(),
        token: Some(signed.sign(&person)),
    };
    assert_eq!(client.revoke(&asked).await.unwrap().eff, bench.now_s());
    let other = api::Revoke { why: "found".into(), ..asked.clone() };
    assert_eq!(client.revoke(&other).await.unwrap_err().code(), Some("order-refused"));
    for (member, value) in [
        ("what", json!("everything")),
        ("target", json!(7)),
        ("target", json!("not a thumbprint")),
        ("eff", json!(-1)),
        ("token", json!({})),
    ] {
        let mut body = serde_json::to_value(&asked).unwrap();
        body[member] = value;
        assert_eq!(
            bench.post("/v1/revocations", &body).await.problem(),
            (400, "malformed".to_owned()),
            "{body}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_halt_stops_an_agent_until_a_person_signs_for_its_end() {
    let bench = bench().await;
    let client = bench.client().await;
    let person = bench.register("ciso", 11).await;
    let mut agent = bench.agent(&person, 21).await;
    let run = open(&bench, &agent).await.run;
    let on = On::Agent { id: "lead".into() };
    let halt = api::AddHalt { on: on.to_json(), why: "it went astray".into(), token: None };
    let halted = client.halt(&halt).await.unwrap().index;
    let denied = refused(&bench, &run, &agent.call(&bench, "read_file", &json!({}))).await;
    assert_eq!(denied.reason.step, "halted");
    let halts = client.halts().await.unwrap().halts;
    assert_eq!((halts.len(), halts[0].index, &halts[0].on), (1, halted, &on.to_json()));
    assert_eq!((halts[0].why.as_str(), halts[0].at_ms), ("it went astray", bench.clock.now_ms()));
    assert_eq!(halts[0].by.as_ref().map(|by| by.kind), Some(PrincipalKind::Unknown));
    let order = |halt: u64, key: &SigningKey| HaltOrder {
        jti: id::text(&bench.new_id()),
        key: Jwk::of(key).thumbprint(),
        audience: bench.recorder.names().issuer.clone(),
        iat: bench.now_s(),
        exp: bench.now_s() + 300,
        act: HaltAct::Resume,
        on: on.clone(),
        why: "seen to".into(),
        tenant: "local".into(),
        halt: Some(halt),
    };
    let resume = |token: String| api::Resume { token, why: "seen to".into() };
    let stranger = SigningKey::from_bytes(&[99; 32]);
    let by_stranger = resume(order(halted, &stranger).sign(&stranger));
    assert_eq!(client.resume(halted, &by_stranger).await.unwrap_err().code(), Some("order-refused"));
    let elsewhere = resume(order(halted + 100, &person).sign(&person));
    assert_eq!(client.resume(halted + 100, &elsewhere).await.unwrap_err().code(), Some("halt-unknown"));
    let got = bench.send(request("DELETE", "/v1/halts/x", br#"{"token":"t","why":"w"}"#)).await;
    assert_eq!(got.problem(), (404, "halt-unknown".to_owned()));
    assert_eq!(
        bench.send(request("DELETE", &format!("/v1/halts/{halted}"), b"")).await.problem().1,
        "malformed"
    );
    client.resume(halted, &resume(order(halted, &person).sign(&person))).await.unwrap();
    assert_eq!(client.halts().await.unwrap().halts, []);
    let call = agent.call(&bench, "read_file", &json!({}));
    allowed(&bench, &run, &call).await;
    let wrong = json!({"on": {"t": "everybody"}, "why": "x"});
    assert_eq!(bench.post("/v1/halts", &wrong).await.problem(), (400, "malformed".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_gets_roots_under_a_mandate() {
    let bench = bench().await;
    let client = bench.client().await;
    let person = bench.register("ciso", 11).await;
    let service = SigningKey::from_bytes(&[12; 32]);
    let mut registration = bench.registration("nightly", &service);
    registration["kind"] = json!("service");
    assert_eq!(bench.post("/v1/principals", &registration).await.status, 201);
    let issuer = bench.recorder.names().issuer.clone();
    let mandate = Mandate {
        jti: id::text(&bench.new_id()),
        key: Jwk::of(&person).thumbprint(),
        audience: issuer.clone(),
        iat: bench.now_s(),
        nbf: bench.now_s(),
        exp: bench.now_s() + 86_400,
        max_depth: 1,
        scope: tools(&["read_file"]),
        tenant: "local".into(),
        principal: Principal {
            kind: PrincipalKind::Human,
            iss: issuer,
            sub: "ciso".into(),
            key: Some(Jwk::of(&person).thumbprint()),
        },
        purpose: "nightly checks".into(),
        holders: vec!["nightly".into()],
        root_ttl: 600,
        approvals: None,
    };
    let token = mandate.sign(&person);
    let added = client.add_mandate(token.clone()).await.unwrap();
    assert_eq!(added.exp, mandate.exp);
    assert_eq!(client.add_mandate(token).await.unwrap(), added, "the same again");
    let agent = SigningKey::from_bytes(&[21; 32]);
    let asked = evidence::delegation::RootRequest {
        max_depth: 1,
        scope: tools(&["read_file"]),
        ttl: 600,
        purpose: "nightly checks".into(),
        holder: Some(("nightly".into(), PrincipalKind::Service)),
        mandate: Some(added.digest),
        ..bench.asked(&service, &agent)
    };
    let issued = client.issue(asked.sign(&service)).await.unwrap();
    assert_eq!((issued.principal.sub.as_str(), issued.exp), ("ciso", bench.now_s() + 600));
    let unknown = evidence::delegation::RootRequest { mandate: Some("A".repeat(43)), ..asked };
    assert_eq!(client.issue(unknown.sign(&service)).await.unwrap_err().code(), Some("request-refused"));
    let forged = Mandate { key: Jwk::of(&service).thumbprint(), ..mandate }.sign(&service);
    assert_eq!(client.add_mandate(forged).await.unwrap_err().code(), Some("request-refused"));
    for body in [json!({}), json!({"root_request": "x", "chain": []}), json!({"mandate": "x"})] {
        assert_eq!(bench.post("/v1/delegations", &body).await.problem(), (400, "malformed".to_owned()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_do_what_and_what_was_used_is_answered() {
    let bench = bench().await;
    let person = bench.register("ciso", 11).await;
    let lead = bench.agent(&person, 21).await;
    let mut sub = lead.hand_on(&bench, 22, Some(tools(&["read_file", "write_file"])));
    let run = open(&bench, &sub).await.run;
    let call = sub.call(&bench, "read_file", &json!({}));
    let index = allowed(&bench, &run, &call).await;
    let get = async |path: &str| {
        let sign = if path.contains('?') { '&' } else { '?' };
        let got = bench.get(&format!("{path}{sign}wait={index}")).await;
        assert_eq!(got.status, 200, "{path}: {:?}", got.body);
        let answer = got.json();
        assert!(answer["size"].as_u64() > Some(index), "{path}");
        answer
    };
    let allowed = get("/v1/allowed?who=sub-22").await;
    assert_eq!(allowed["delegations"][0]["digest"], sub.leaf());
    assert_eq!(
        (&allowed["delegations"][0]["state"], &allowed["delegations"][0]["used"]),
        (&json!("live"), &json!(1))
    );
    let past = get(&format!("/v1/allowed?who=sub-22&at={}", bench.clock.now_ms() - 3_600_000)).await;
    assert_ne!(past["delegations"][0]["state"], "live", "it was not given yet");
    bench.clock.advance(4_000_000);
    assert_eq!(get("/v1/allowed?who=sub-22").await["delegations"][0]["state"], "expired");
    for path in [
        "/v1/delegations".to_owned(),
        "/v1/delegations?who=ciso&limit=1".to_owned(),
        format!("/v1/delegations?task={}", sub.txn()),
        format!("/v1/delegations?run={run}"),
    ] {
        assert!(get(&path).await["tree"][0]["digest"].is_string(), "{path}");
    }
    let identities = get("/v1/identities?limit=100").await;
    let known = identities["identities"].as_array().unwrap();
    assert!(known.iter().any(|row| row["id"] == sub.thumbprint()), "{identities}");
    for (path, problem) in [
        ("/v1/allowed", (400, "malformed")),
        ("/v1/allowed?who=x&at=yesterday", (400, "malformed")),
        ("/v1/allowed?who=nobody", (404, "not-found")),
        ("/v1/delegations?run=x", (400, "malformed")),
        ("/v1/identities?who=x", (400, "malformed")),
        ("/v1/doubt/x", (400, "malformed")),
        ("/v1/doubt/0", (404, "not-found")),
    ] {
        assert_eq!(bench.get(path).await.problem(), (problem.0, problem.1.to_owned()), "{path}");
    }
}

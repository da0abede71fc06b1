//! Calls that present a delegation of their own: decided in a run of its key, under it alone, once.

use std::collections::BTreeSet;

use capture::limits::PRESENTED_RUNS_MAX;
use ed25519_dalek::SigningKey;
use evidence::Digest;
use evidence::delegation::{Pop, args_digest};
use evidence::id;
use evidence::jws::{self, Jwk, Signed};
use serde_json::{Value, json};

use crate::support::api::{ISSUER, guest_run};
use crate::support::wrapped::Wrapped;

const NOW_S: u64 = 1_800_000_000;

/// An agent with a key, a chain, and its own counter.
pub(crate) struct Agent {
    key: SigningKey,
    leaf: String,
    acts: u16,
}

impl Agent {
    pub(crate) fn new(seed: u8) -> Self {
        let mut bytes = [seed; 32];
        bytes[31] = 7;
        let key = SigningKey::from_bytes(&bytes);
        let leaf = leaf(&key, "task", 0);
        Self { key, leaf, acts: 0 }
    }

    fn digest(&self) -> String {
        Signed::parse(&self.leaf, jws::DELEGATION).unwrap().digest()
    }

    fn proof(&mut self, tool: &str) -> Pop {
        self.acts += 1;
        let mut act_id = [0; 16];
        act_id[..2].copy_from_slice(&self.acts.to_be_bytes());
        act_id[2..].copy_from_slice(&self.key.to_bytes()[..14]);
        Pop {
            jti: "j".into(),
            iat: NOW_S,
            exp: NOW_S + 60,
            audience: ISSUER.into(),
            leaf: self.digest(),
            tool: format!("stdio:sample#{tool}"),
            args_digest: args_digest(&serde_json::Map::new()),
            act_id,
            counter: u64::from(self.acts) - 1,
        }
    }

    fn by_value(&mut self, tool: &str) -> Value {
        let pop = self.proof(tool).sign(&self.key);
        json!({"chain": ["root", self.leaf], "pop": pop, "handoff": "do it"})
    }

    /// As [`Agent::by_value`], for an act with arguments.
    pub(crate) fn with_args(&mut self, name: &str, args: &Value) -> Value {
        let args_digest = args_digest(args.as_object().unwrap());
        let pop = Pop { args_digest, ..self.proof(name) }.sign(&self.key);
        json!({"chain": ["root", self.leaf], "pop": pop, "handoff": "do it"})
    }

    fn by_ref(&mut self, tool: &str) -> Value {
        let pop = self.proof(tool).sign(&self.key);
        json!({"ref": self.digest(), "pop": pop})
    }
}

/// A leaf delegation for a key; nobody here looks at its signature.
fn leaf(key: &SigningKey, txn: &str, n: u64) -> String {
    let claims = json!({"n": n, "cnf": {"jwk": Jwk::of(key).to_json()},
        "deeds": {"txn": txn, "hld": {"id": "agent"}}});
    jws::sign(jws::DELEGATION, &claims, &SigningKey::from_bytes(&[99; 32]))
}

fn frame(id: i64, tool: &str, member: &Value) -> String {
    let meta = json!({"dev.deeds/delegation": member, "progressToken": id});
    let params = json!({"name": tool, "_meta": meta});
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params}).to_string()
}

async fn call(wrapped: &mut Wrapped, id: i64, tool: &str, member: &Value) -> Value {
    wrapped.send(&frame(id, tool, member)).await;
    let answer = wrapped.next().await;
    assert_eq!(answer["id"], id);
    answer
}

fn is_allowed(answer: &Value) -> bool {
    answer["result"].get("isError").is_none()
}

/// The text of a refusal.
fn refusal(answer: &Value) -> &str {
    assert_eq!(answer["result"]["isError"], true, "{answer}");
    answer["result"]["content"][0]["text"].as_str().unwrap()
}

pub(crate) fn in_run(n: usize, event: &str) -> String {
    format!("{} {event}", guest_run(n))
}

/// Names of the events of which there are several kinds in each run.
fn count(wrapped: &Wrapped, event: &str) -> usize {
    wrapped.api.events().iter().filter(|(name, _)| name.rsplit(' ').next() == Some(event)).count()
}

#[tokio::test]
async fn a_call_is_decided_in_a_run_of_its_key_under_its_chain() {
    let mut wrapped = Wrapped::start();
    let mut agent = Agent::new(5);
    let member = agent.by_value("echo");
    let sent = frame(1, "echo", &member);
    assert!(is_allowed(&call(&mut wrapped, 1, "echo", &member).await));

    let open = wrapped.api.nth(&in_run(1, "open"), 0).await;
    assert_eq!(open["delegation"], json!({"chain": ["root", agent.leaf]}));
    assert_eq!((&open["key"], &open["handoff"]), (&Jwk::of(&agent.key).to_json(), &json!("do it")));
    assert_eq!((&open["alias"], &open["trigger"]), (&json!("sample"), &json!("agent")));
    assert_eq!((&open["join"], &open["scope"], &open["parent"]), (&Value::Null, &Value::Null, &Value::Null));
    wrapped.api.nth(&in_run(1, "lease"), 0).await;

    let begin = wrapped.api.nth(&in_run(1, "begin"), 0).await;
    let pop = member["pop"].as_str().unwrap();
    let claims = Signed::parse(pop, jws::POP).unwrap().unverified().clone();
    assert_eq!((&begin["pop"], &begin["act_id"]), (&member["pop"], &claims["act_id"]));
    assert_eq!((&begin["delegation"], &begin["carrier"]), (&json!(agent.digest()), &json!("mcp-meta")));
    assert_eq!(begin["frame_digest"], Digest::of(sent.as_bytes()).to_string());
    // the server gets the call without it, and the record only its digest
    let [seen] = wrapped.seen().try_into().unwrap();
    assert!(seen.contains(r#""_meta":{"progressToken":1}"#), "{seen}");
    assert_eq!(begin["sent_frame_digest"], Digest::of(seen.as_bytes()).to_string());
    let correlators = json!({"client": null, "meta": {"progressToken": 1}, "rpc_id": 1,
        "delegation": Digest::of(member.to_string().as_bytes()).to_string()});
    assert_eq!(begin["correlators"], correlators);
    let finish = wrapped.api.nth(&in_run(1, "finish"), 0).await;
    assert_eq!((&finish["act_id"], &finish["body"]["status"]), (&begin["act_id"], &json!("ok")));

    // calls that present nothing go on under the wrap's own
    wrapped.call(2, "echo", &json!({})).await;
    assert!(is_allowed(&wrapped.next().await));
    assert_eq!(wrapped.api.nth("begin", 0).await["carrier"], "wrap");
    wrapped.hang_up();
    wrapped.ended().await;
    assert_eq!(wrapped.api.nth(&in_run(1, "end"), 0).await["reason"], "closed");
    let order: Vec<String> = wrapped.api.events().into_iter().map(|(name, _)| name).collect();
    let at = |name: &str| order.iter().position(|event| event == name).unwrap();
    assert!(at(&in_run(1, "end")) < at("end"), "{order:?}");
}

#[tokio::test]
async fn further_calls_of_a_key_use_its_run_also_by_reference_and_under_further_chains() {
    let mut wrapped = Wrapped::start();
    let mut agent = Agent::new(5);
    let unknown = agent.by_ref("echo");
    let answer = call(&mut wrapped, 1, "echo", &unknown).await;
    assert!(refusal(&answer).contains("(step delegation-unknown)"), "{answer}");
    assert!(refusal(&answer).contains("present the chain by value. Recorded as @"), "{answer}");
    assert_eq!(count(&wrapped, "begin"), 0);
    for (id, member) in [(2, agent.by_value("echo")), (3, agent.by_ref("echo")), (4, agent.by_value("echo"))]
    {
        assert!(is_allowed(&call(&mut wrapped, id, "echo", &member).await), "{id}");
    }
    assert_eq!((count(&wrapped, "open"), count(&wrapped, "renew")), (2, 0));
    // a further chain of the same key and task is told once, and can be named then
    agent.leaf = leaf(&agent.key, "task", 1);
    for (id, member) in [(5, agent.by_value("echo")), (6, agent.by_ref("echo"))] {
        assert!(is_allowed(&call(&mut wrapped, id, "echo", &member).await), "{id}");
    }
    let renews = wrapped.api.bodies(&in_run(1, "renew"));
    assert_eq!(
        renews.iter().map(|renew| renew["delegation"].clone()).collect::<Vec<_>>(),
        [json!({"chain": ["root", agent.leaf]})]
    );
    assert_eq!(renews[0]["key"], Jwk::of(&agent.key).to_json());
    // one that the server does not know is refused with its words
    agent.leaf = leaf(&agent.key, "task", 2);
    let by_ref = agent.by_ref("echo");
    let answer = call(&mut wrapped, 7, "echo", &by_ref).await;
    assert!(refusal(&answer).contains("(step delegation-unknown): no delegation is known"), "{answer}");
    // a chain of another task is for a run of its own
    agent.leaf = leaf(&agent.key, "another", 0);
    for (id, member) in [(8, agent.by_value("echo")), (9, agent.by_ref("echo"))] {
        assert!(is_allowed(&call(&mut wrapped, id, "echo", &member).await), "{id}");
    }
    assert_eq!((count(&wrapped, "open"), wrapped.api.bodies(&in_run(2, "begin")).len()), (3, 2));
}

#[tokio::test]
async fn an_act_is_forwarded_once_however_often_its_proof_is_presented() {
    let mut wrapped = Wrapped::start();
    let mut agent = Agent::new(5);
    let member = agent.by_value("hang");
    wrapped.api.set(|behaviour| behaviour.hold_begin = true);
    for id in 1..4 {
        wrapped.send(&frame(id, "hang", &member)).await;
    }
    let mut refused = BTreeSet::new();
    for _ in 0..2 {
        let answer = wrapped.next().await;
        assert!(refusal(&answer).contains("(step pop-replayed): this act was presented before"), "{answer}");
        refused.insert(answer["id"].as_i64().unwrap());
    }
    wrapped.api.set(|behaviour| behaviour.hold_begin = false);
    wrapped.api.nth(&in_run(1, "decided"), 0).await;
    // also while it runs, under another proof, and for another tool
    let again = Pop { counter: 7, ..agent.proof("echo") };
    let first = Signed::parse(member["pop"].as_str().unwrap(), jws::POP).unwrap();
    let act_id = id::parse(first.unverified()["act_id"].as_str().unwrap()).unwrap();
    let pop = Pop { act_id, ..again }.sign(&agent.key);
    let answer = call(&mut wrapped, 9, "echo", &json!({"ref": agent.digest(), "pop": pop})).await;
    assert!(refusal(&answer).contains("pop-replayed"), "{answer}");
    while wrapped.seen().is_empty() {
        wrapped.ping().await;
    }
    assert_eq!((count(&wrapped, "begin"), count(&wrapped, "open"), wrapped.seen().len()), (1, 2, 1));
    assert_eq!(wrapped.api.bodies("observe").len(), 3);
}

#[tokio::test]
async fn a_proof_that_was_never_taken_may_be_presented_again() {
    let mut wrapped = Wrapped::start();
    let mut agent = Agent::new(5);
    let member = agent.by_value("counted");
    for id in 1..3 {
        let answer = call(&mut wrapped, id, "counted", &member).await;
        assert!(refusal(&answer).contains("step scope"), "{answer}");
    }
    assert_eq!(count(&wrapped, "begin"), 2);
    // a recorded refusal is an answer, and a log that stopped may have taken it
    for (id, tool) in [(3, "denied"), (4, "unavailable")] {
        let member = agent.by_ref(tool);
        assert!(!is_allowed(&call(&mut wrapped, id, tool, &member).await));
        let answer = call(&mut wrapped, id + 10, tool, &member).await;
        assert!(refusal(&answer).contains("pop-replayed"), "{answer}");
    }
}

#[tokio::test]
async fn a_lost_answer_is_settled_in_its_run_and_the_act_stays_used() {
    let mut wrapped = Wrapped::start();
    let mut agent = Agent::new(5);
    let first = agent.by_value("echo");
    assert!(is_allowed(&call(&mut wrapped, 1, "echo", &first).await));
    wrapped.api.set(|behaviour| behaviour.lose_begins = 1);
    let member = agent.by_ref("echo");
    let answer = call(&mut wrapped, 2, "echo", &member).await;
    assert!(refusal(&answer).contains("If the server did decide"), "{answer}");
    let finish = wrapped.api.nth(&in_run(1, "finish"), 1).await;
    assert_eq!(finish["body"]["status"], "not-forwarded");
    let answer = call(&mut wrapped, 3, "echo", &member).await;
    assert!(refusal(&answer).contains("pop-replayed"), "{answer}");
    assert_eq!(wrapped.seen().len(), 1);
    assert_eq!(count(&wrapped, "renew"), 0, "the wrap has no key to replace here");
}

#[tokio::test]
async fn what_does_not_hold_is_refused_with_its_step_and_recorded_without_tokens() {
    let mut wrapped = Wrapped::start();
    let mut agent = Agent::new(5);
    let mut other = Agent::new(6);
    let stolen = json!({"chain": ["root", agent.leaf], "pop": other.proof("echo").sign(&other.key)});
    let foreign = json!({"chain": ["root", agent.leaf], "pop": other.proof("echo").sign(&agent.key)});
    let proof = agent.proof("echo");
    let old = Pop { iat: NOW_S - 200, exp: NOW_S - 140, ..agent.proof("echo") }.sign(&agent.key);
    let early = Pop { iat: NOW_S + 200, exp: NOW_S + 260, ..proof }.sign(&agent.key);
    let chain = json!(["root", agent.leaf]);
    for (id, (member, step)) in [
        (json!({"chain": agent.leaf, "pop": "x"}), "delegation-malformed"),
        (json!({"chain": [agent.leaf], "pop": agent.leaf}), "pop-malformed"),
        (json!({"chain": vec![agent.leaf.clone(); 10], "pop": "x"}), "chain-size"),
        (stolen, "pop-signature"),
        (foreign, "pop-binding"),
        (json!({"chain": chain, "pop": old}), "pop-time"),
        (json!({"chain": chain, "pop": early}), "pop-time"),
    ]
    .into_iter()
    .enumerate()
    {
        let answer = call(&mut wrapped, i64::try_from(id).unwrap(), "echo", &member).await;
        let text = refusal(&answer);
        assert!(text.starts_with("deeds refused this call: ") && text.contains("Recorded as @"), "{text}");
        assert!(text.contains(&format!("(step {step})")), "{step}: {text}");
        let observed = wrapped.api.nth("observe", id).await;
        assert_eq!(
            (&observed["refusal"], &observed["payload"]["method"]),
            (&json!(true), &json!("tools/call"))
        );
        assert!(observed["payload"]["why"].as_str().unwrap().contains(step));
        for token in [&agent.leaf, member["pop"].as_str().unwrap()].iter().filter(|token| token.len() > 9) {
            assert!(!observed.to_string().contains(*token) && !text.contains(*token), "{observed}");
        }
    }
    // nobody but the key's holder brought about a run, and nothing was decided or forwarded
    assert!(count(&wrapped, "open") <= 2, "{:?}", wrapped.api.events());
    assert_eq!((count(&wrapped, "begin"), wrapped.seen().len()), (0, 0));
}

#[tokio::test]
async fn a_chain_that_the_server_refuses_gives_no_run_and_may_hold_later() {
    let mut wrapped = Wrapped::start();
    wrapped.ping().await;
    let mut agent = Agent::new(5);
    wrapped.api.set(|behaviour| behaviour.refuse_chains = Some((403, "delegation-refused")));
    let member = agent.by_value("echo");
    let answer = call(&mut wrapped, 1, "echo", &member).await;
    assert!(refusal(&answer).contains("refused at step link-scope: wider than its parent"), "{answer}");
    assert!(refusal(&answer).contains("Recorded as @"), "{answer}");
    wrapped.api.set(|behaviour| behaviour.refuse_chains = Some((503, "log-unavailable")));
    let answer = call(&mut wrapped, 2, "echo", &member).await;
    assert!(refusal(&answer).contains("no decision could be recorded"), "{answer}");
    wrapped.api.set(|behaviour| behaviour.refuse_chains = None);
    assert!(is_allowed(&call(&mut wrapped, 3, "echo", &member).await));
}

#[tokio::test]
async fn a_wrap_that_requires_a_delegation_takes_no_call_without_one() {
    let mut wrapped = Wrapped::start_with(&[], |options| {
        options.require_delegation = true;
        options.read_fail_open = vec!["stdio:sample#echo".into()];
    });
    wrapped.call(1, "echo", &json!({})).await;
    let answer = wrapped.next().await;
    assert!(refusal(&answer).contains("(step delegation-missing)"), "{answer}");
    assert!(
        refusal(&answer).contains("`dev.deeds/delegation`") && refusal(&answer).contains("Recorded as @")
    );
    assert_eq!(wrapped.api.bodies("observe").len(), 1);
    let member = Agent::new(5).by_value("echo");
    assert!(is_allowed(&call(&mut wrapped, 2, "echo", &member).await));
    assert_eq!((count(&wrapped, "begin"), wrapped.seen().len()), (1, 1));
}

#[tokio::test]
async fn a_call_with_a_delegation_never_goes_on_undecided() {
    let mut wrapped =
        Wrapped::start_with(&[], |options| options.read_fail_open = vec!["stdio:sample#echo".into()]);
    let mut agent = Agent::new(5);
    let first = agent.by_value("echo");
    assert!(is_allowed(&call(&mut wrapped, 1, "echo", &first).await));
    wrapped.api.stop().await;
    let (known, unknown) = (agent.by_ref("echo"), Agent::new(6).by_value("echo"));
    for (id, member) in [(2, &known), (3, &unknown)] {
        let answer = call(&mut wrapped, id, "echo", member).await;
        assert!(refusal(&answer).contains("no decision could be recorded"), "{answer}");
    }
    assert_eq!(wrapped.seen().len(), 1);
    // both runs come back, and what was never asked may be asked
    wrapped.api.listen();
    wrapped.api.nth("lease", 1).await;
    wrapped.api.nth(&in_run(1, "lease"), 1).await;
    wrapped.api.nth("gap", 0).await;
    for (id, member) in [(4, &known), (5, &unknown)] {
        assert!(is_allowed(&call(&mut wrapped, id, "echo", member).await), "{id}");
    }
}

#[tokio::test]
async fn calls_of_one_key_at_once_open_one_run() {
    let mut wrapped = Wrapped::start();
    let mut agent = Agent::new(5);
    for id in 0..20 {
        let member = agent.by_value("echo");
        wrapped.send(&frame(id, "echo", &member)).await;
    }
    for _ in 0..20 {
        assert!(is_allowed(&wrapped.next().await));
    }
    assert_eq!((count(&wrapped, "open"), count(&wrapped, "begin")), (2, 20));
}

#[tokio::test]
async fn the_number_of_runs_is_limited_and_only_an_idle_one_makes_room() {
    let mut wrapped = Wrapped::start();
    let agents = u8::try_from(PRESENTED_RUNS_MAX).unwrap();
    for seed in 0..agents {
        let member = Agent::new(seed).by_value("hang");
        wrapped.send(&frame(i64::from(seed), "hang", &member)).await;
        wrapped.api.nth(&in_run(usize::from(seed) + 1, "decided"), 0).await;
    }
    while wrapped.seen().len() < PRESENTED_RUNS_MAX {
        wrapped.ping().await;
    }
    let mut late = Agent::new(200);
    let member = late.by_value("echo");
    let answer = call(&mut wrapped, 1_000, "echo", &member).await;
    assert!(refusal(&answer).contains("(step run-full)"), "{answer}");
    assert_eq!(count(&wrapped, "open"), PRESENTED_RUNS_MAX + 1);
    // one call ends (its outcome is taken before the answer is seen, its receipt behind it)
    wrapped.send(r#"{"jsonrpc":"2.0","id":2000,"method":"tools/call","params":{"name":"emit","arguments":{"lines":["{\"jsonrpc\":\"2.0\",\"id\":3,\"result\":{}}"]}}}"#).await;
    let answers = [wrapped.next().await, wrapped.next().await];
    assert!(answers.iter().any(|answer| answer["id"] == 3), "{answers:?}");
    wrapped.api.nth(&in_run(4, "receipt"), 0).await;
    let mut id = 3_000;
    let mut answer = call(&mut wrapped, id, "echo", &member).await;
    while !is_allowed(&answer) {
        id += 1;
        answer = call(&mut wrapped, id, "echo", &member).await;
    }
    assert_eq!(wrapped.api.nth(&in_run(4, "end"), 0).await["reason"], "idle");
    assert_eq!(count(&wrapped, "end"), 1);
    // its key is as good as new
    let mut back = Agent::new(3);
    back.acts = 1;
    let reference = back.by_ref("echo");
    let answer = call(&mut wrapped, 4_000, "echo", &reference).await;
    assert!(refusal(&answer).contains("delegation-unknown"), "{answer}");
    let value = back.by_value("echo");
    assert!(is_allowed(&call(&mut wrapped, 4_001, "echo", &value).await), "the late one is idle by now");
}

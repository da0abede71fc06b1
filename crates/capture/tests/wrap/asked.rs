//! What a server asks of its client: decided first, answered by the client alone, recorded before the server sees it.

use std::time::Duration;

use capture::limits::{ASKING_MAX, HUMAN_INPUT_MAX, SERVER_OPEN_MAX};
use capture::mcp::{REFUSED, UNAVAILABLE};
use evidence::Digest;
use serde_json::{Value, json};

use crate::support::wrapped::Wrapped;

const ELICIT: &str = r#"{"jsonrpc":"2.0", "id":"e1","method":"elicitation/create","params":{"message":"name?","requestedSchema":{"type":"object"}}}"#;
const SAMPLE: &str = r#"{"jsonrpc":"2.0","id":7,"method":"sampling/createMessage","params":{"messages":[],"maxTokens":1,"_meta":{"a":1}}}"#;
const ROOTS: &str = r#"{"jsonrpc":"2.0","id":"r","method":"roots/list"}"#;

fn digest(text: &str) -> Value {
    json!(Digest::of(text.as_bytes()).to_string())
}

fn permitting(permits: &[&'static str]) -> Wrapped {
    let wrapped = Wrapped::start();
    wrapped.api.set(|behaviour| behaviour.permits = permits.to_vec());
    wrapped
}

/// Lets the server say these lines; gives the `count` that the client sees of them. What is decided first may come
/// after the answer to the call.
async fn emit(wrapped: &mut Wrapped, id: i64, lines: &[&str], count: usize) -> Vec<String> {
    wrapped.call(id, "emit", &json!({ "lines": lines })).await;
    let mut seen = Vec::new();
    let mut is_answered = false;
    while !is_answered || seen.len() < count {
        let line = wrapped.line().await;
        let frame: Value = serde_json::from_str(&line).unwrap();
        if frame["id"] == id && frame.get("result").is_some() {
            is_answered = true;
        } else {
            seen.push(line);
        }
    }
    seen
}

/// What the server has read, without the requests that made it speak.
fn read_by_server(wrapped: &Wrapped) -> Vec<String> {
    wrapped.seen().into_iter().filter(|line| !line.contains("\"tools/")).collect()
}

/// Begins of acts that the server asked for.
fn asked(wrapped: &Wrapped) -> Vec<Value> {
    let begins = wrapped.api.bodies("begin");
    begins.into_iter().filter(|begin| begin["operation"] != "tools/call").collect()
}

/// The outcome of an act that the server asked for.
async fn outcome(wrapped: &Wrapped, operation: &str) -> Value {
    let act =
        asked(wrapped).into_iter().find(|begin| begin["operation"] == operation).unwrap()["act_id"].clone();
    let mut n = 0;
    loop {
        let finish = wrapped.api.nth("finish", n).await;
        if finish["act_id"] == act {
            return finish["body"].clone();
        }
        n += 1;
    }
}

async fn until_read(wrapped: &mut Wrapped, count: usize) -> Vec<String> {
    let read = async {
        while read_by_server(wrapped).len() < count {
            wrapped.ping().await;
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(20), read).await;
    assert!(in_time.is_ok(), "the server has read {:#?}", read_by_server(wrapped));
    read_by_server(wrapped)
}

#[tokio::test]
async fn what_no_rule_permits_is_refused_and_the_client_never_sees_it() {
    let mut wrapped = Wrapped::start();
    assert_eq!(emit(&mut wrapped, 1, &[SAMPLE, ELICIT, ROOTS], 0).await, [] as [String; 0]);
    let refusals = until_read(&mut wrapped, 3).await;
    let mut ids = Vec::new();
    for refusal in &refusals {
        let refusal: Value = serde_json::from_str(refusal).unwrap();
        assert_eq!(refusal["error"]["code"], REFUSED);
        let text = refusal["error"]["message"].as_str().unwrap();
        assert!(text.contains("no rule permits it") && text.contains("Recorded as @"), "{text}");
        ids.push(refusal["id"].to_string());
    }
    ids.sort();
    assert_eq!(ids, ["\"e1\"", "\"r\"", "7"]);
    let mut tools: Vec<_> =
        asked(&wrapped).iter().map(|begin| begin["tool"].as_str().unwrap().to_owned()).collect();
    tools.sort();
    assert_eq!(
        tools,
        ["stdio:sample#elicitation/create", "stdio:sample#roots/list", "stdio:sample#sampling/createMessage"]
    );
    assert_eq!(wrapped.ping().await, [] as [Value; 0]);
}

#[tokio::test]
async fn a_permitted_request_and_its_answer_pass_byte_for_byte_and_are_recorded() {
    let mut wrapped = permitting(&["sampling/createMessage"]);
    wrapped.call(1, "emit", &json!({ "lines": [SAMPLE] })).await;
    let lines = [wrapped.line().await, wrapped.line().await];
    assert!(lines.contains(&SAMPLE.to_owned()), "{lines:?}");
    let begin = asked(&wrapped)[0].clone();
    assert_eq!(begin["args"], r#"{"messages":[],"maxTokens":1}"#);
    assert_eq!((&begin["frame_digest"], &begin["sent_frame_digest"]), (&digest(SAMPLE), &Value::Null));
    assert_eq!(begin["correlators"]["rpc_id"], 7);
    assert_eq!(begin["correlators"]["meta"], json!({"a": 1}));

    let answer = r#"{ "jsonrpc":"2.0","id":7,"result":{"role":"assistant","content":[] } }"#;
    wrapped.send(answer).await;
    let finish = outcome(&wrapped, "sampling/createMessage").await;
    assert_eq!(
        (&finish["status"], &finish["result"]),
        (&json!("ok"), &json!(r#"{"role":"assistant","content":[] }"#))
    );
    assert_eq!(finish["frame_digest"], digest(answer));
    assert_eq!(until_read(&mut wrapped, 1).await, [answer]);
    assert_eq!(wrapped.api.bodies("human-input"), [] as [Value; 0]);
}

#[tokio::test]
async fn the_server_sees_an_answer_only_after_its_outcome_is_enqueued() {
    let mut wrapped = permitting(&["roots/list"]);
    emit(&mut wrapped, 1, &[ROOTS], 1).await;
    wrapped.api.set(|behaviour| behaviour.hold_enqueued = true);
    let answer = r#"{"jsonrpc":"2.0","id":"r","result":{"roots":[]}}"#;
    wrapped.send(answer).await;
    outcome(&wrapped, "roots/list").await;
    wrapped.ping().await;
    assert_eq!(read_by_server(&wrapped), [] as [String; 0]);
    wrapped.api.set(|behaviour| behaviour.hold_enqueued = false);
    assert_eq!(until_read(&mut wrapped, 1).await, [answer]);
}

#[tokio::test]
async fn what_a_person_answers_is_recorded_before_the_server_sees_it() {
    let mut wrapped = permitting(&["elicitation/create"]);
    assert_eq!(emit(&mut wrapped, 1, &[ELICIT], 1).await, [ELICIT]);
    wrapped.api.set(|behaviour| behaviour.hold_observations = true);
    let answer = r#"{"jsonrpc":"2.0","id":"e1","result":{"action":"accept","content":{"name":"x"}}}"#;
    wrapped.send(answer).await;
    let said = wrapped.api.nth("human-input", 0).await;
    assert_eq!(said["act_id"], asked(&wrapped)[0]["act_id"]);
    assert_eq!(said["frame_digest"], digest(answer));
    assert_eq!(
        said["payload"],
        json!({"how": "request", "mode": "form", "key": null, "action": "accept", "content": {"name": "x"}})
    );
    wrapped.ping().await;
    assert_eq!((read_by_server(&wrapped).len(), wrapped.api.bodies("finish").len()), (0, 1));
    wrapped.api.set(|behaviour| behaviour.hold_observations = false);
    assert_eq!(outcome(&wrapped, "elicitation/create").await["status"], "ok");
    assert_eq!(until_read(&mut wrapped, 1).await, [answer]);

    // one that is long is known by its digest; one that was refused is what nobody said
    let long = json!({"action": "accept", "content": {"x": "y".repeat(HUMAN_INPUT_MAX)}});
    emit(&mut wrapped, 2, &[ELICIT], 1).await;
    wrapped.send(&json!({"jsonrpc": "2.0", "id": "e1", "result": long}).to_string()).await;
    let said = wrapped.api.nth("human-input", 1).await;
    assert_eq!(said["payload"]["content"]["digest"], digest(&long["content"].to_string()));
    emit(&mut wrapped, 3, &[&ELICIT.replace("e1", "e2")], 1).await;
    wrapped.send(r#"{"jsonrpc":"2.0","id":"e2","error":{"code":-1,"message":"no"}}"#).await;
    until_read(&mut wrapped, 3).await;
    assert_eq!(wrapped.api.bodies("human-input").len(), 2);
    assert_eq!(wrapped.statuses().iter().filter(|status| *status == "refused-by-target").count(), 1);
}

#[tokio::test]
async fn an_answer_that_cannot_be_recorded_is_withheld() {
    let mut wrapped = permitting(&["roots/list"]);
    emit(&mut wrapped, 1, &[ROOTS], 1).await;
    wrapped.api.set(|behaviour| behaviour.refuse_outcomes = true);
    wrapped.send(r#"{"jsonrpc":"2.0","id":"r","result":{"roots":["secret"]}}"#).await;
    let read: Value = serde_json::from_str(&until_read(&mut wrapped, 1).await[0]).unwrap();
    assert_eq!((&read["id"], &read["error"]["code"]), (&json!("r"), &json!(UNAVAILABLE)));
}

#[tokio::test]
async fn a_client_that_answers_twice_or_unasked_is_not_heard() {
    let mut wrapped = permitting(&["roots/list"]);
    let answer = r#"{"jsonrpc":"2.0","id":"r","result":{"roots":[]}}"#;
    wrapped.send(answer).await;
    emit(&mut wrapped, 1, &[ROOTS], 1).await;
    wrapped.send(answer).await;
    wrapped.send(answer).await;
    until_read(&mut wrapped, 1).await;
    for n in 0..2 {
        let observed = wrapped.api.nth("observe", n).await;
        assert_eq!(
            (&observed["payload"]["from"], &observed["frame_digest"]),
            (&json!("client"), &digest(answer))
        );
    }
    wrapped.ping().await;
    assert_eq!(read_by_server(&wrapped), [answer]);
    assert_eq!(wrapped.statuses(), ["ok", "ok"]);
}

#[tokio::test]
async fn a_request_taken_back_while_it_is_decided_is_never_seen() {
    let mut wrapped = permitting(&["roots/list"]);
    wrapped.call(1, "hang", &json!({})).await;
    wrapped.api.nth("decided", 0).await;
    wrapped.api.set(|behaviour| behaviour.hold_begin = true);
    let cancel = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"r"}}"#;
    let lines = format!("{ROOTS}\n{cancel}");
    wrapped
        .send(
            &json!({"jsonrpc": "2.0", "id": 5, "method": "tools/list", "params": {"say": lines}}).to_string(),
        )
        .await;
    assert_eq!(wrapped.next().await["id"], 5);
    wrapped.api.nth("begin", 1).await;
    wrapped.api.set(|behaviour| behaviour.hold_begin = false);
    assert_eq!(outcome(&wrapped, "roots/list").await["status"], "not-forwarded");
    assert_eq!(wrapped.ping().await, [] as [Value; 0]);
}

#[tokio::test]
async fn a_request_taken_back_later_is_cancelled_by_the_client_or_at_the_end() {
    let mut wrapped = permitting(&["roots/list", "sampling/createMessage"]);
    emit(&mut wrapped, 1, &[ROOTS, SAMPLE], 2).await;
    let cancels = [
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"r"}}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}"#,
    ];
    let seen = emit(&mut wrapped, 2, &cancels, 2).await;
    assert_eq!(seen.iter().filter(|line| cancels.contains(&line.as_str())).count(), 2, "{seen:?}");
    wrapped.send(r#"{"jsonrpc":"2.0","id":"r","error":{"code":1,"message":"cancelled"}}"#).await;
    assert_eq!(outcome(&wrapped, "roots/list").await["status"], "cancelled");
    wrapped.hang_up();
    wrapped.ended().await;
    assert_eq!(outcome(&wrapped, "sampling/createMessage").await["status"], "cancelled");
}

#[tokio::test]
async fn what_the_client_never_answers_is_unknown() {
    let mut wrapped = permitting(&["elicitation/create"]);
    emit(&mut wrapped, 1, &[ELICIT], 1).await;
    wrapped.hang_up();
    wrapped.ended().await;
    let finish = outcome(&wrapped, "elicitation/create").await;
    assert_eq!((&finish["status"], &finish["result"]), (&json!("unknown"), &Value::Null));
}

#[tokio::test]
async fn without_an_authority_of_its_own_the_wrap_denies() {
    let mut wrapped = Wrapped::start_with(&[], |options| options.require_delegation = true);
    wrapped.api.set(|behaviour| behaviour.permits = vec!["roots/list"]);
    let say = json!({"jsonrpc": "2.0", "id": 5, "method": "tools/list", "params": {"say": ROOTS}});
    wrapped.send(&say.to_string()).await;
    assert_eq!(wrapped.next().await["id"], 5);
    let observed = wrapped.api.nth("observe", 0).await;
    assert_eq!((&observed["payload"]["from"], &observed["frame_digest"]), (&json!("server"), &digest(ROOTS)));
    assert_eq!(observed["payload"]["method"], "roots/list");
    while !wrapped.seen().iter().any(|line| line.contains("own delegation")) {
        wrapped.ping().await;
    }
    assert_eq!(wrapped.api.bodies("begin"), [] as [Value; 0]);
}

#[tokio::test]
async fn open_requests_are_limited_and_an_id_is_open_once() {
    let mut wrapped = permitting(&["roots/list"]);
    let line = |id: usize| ROOTS.replace("\"r\"", &format!("\"r{id}\""));
    let lines: Vec<String> = (0..SERVER_OPEN_MAX).map(line).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    emit(&mut wrapped, 1, &lines, SERVER_OPEN_MAX).await;
    emit(&mut wrapped, 2, &[&line(3), &line(SERVER_OPEN_MAX)], 0).await;
    let refusals = until_read(&mut wrapped, 2).await;
    let refusals: Vec<Value> = refusals.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    // with the id of the open one, the server would take it for the answer
    assert_eq!((&refusals[0]["id"], &refusals[0]["error"]["code"]), (&Value::Null, &json!(-32_600)));
    assert_eq!(refusals[1]["id"], format!("r{SERVER_OPEN_MAX}"));
    // an answer makes room
    wrapped.send(r#"{"jsonrpc":"2.0","id":"r3","result":{"roots":[]}}"#).await;
    until_read(&mut wrapped, 3).await;
    assert_eq!(emit(&mut wrapped, 3, &[&line(SERVER_OPEN_MAX)], 1).await, [line(SERVER_OPEN_MAX)]);
}

#[tokio::test]
async fn a_server_that_asks_for_much_leaves_room_for_its_client() {
    let mut wrapped = permitting(&["roots/list"]);
    emit(&mut wrapped, 1, &[], 0).await;
    wrapped.api.set(|behaviour| behaviour.hold_begin = true);
    let lines: Vec<String> =
        (0..=ASKING_MAX).map(|id| ROOTS.replace("\"r\"", &format!("\"r{id}\""))).collect();
    emit_without_answer(&mut wrapped, &lines.join("\n")).await;
    wrapped.api.nth("begin", ASKING_MAX).await;
    wrapped.call(2, "echo", &json!({})).await;
    wrapped.api.nth("begin", ASKING_MAX + 1).await;
    assert_eq!(asked(&wrapped).len(), ASKING_MAX, "one waits for its turn, and the client does not");
    wrapped.api.set(|behaviour| behaviour.hold_begin = false);
    wrapped.api.nth("begin", ASKING_MAX + 2).await;
    assert_eq!(asked(&wrapped).len(), ASKING_MAX + 1);
}

#[tokio::test]
async fn no_answer_to_a_decision_is_no_permit() {
    let mut wrapped = permitting(&["roots/list"]);
    emit(&mut wrapped, 1, &[], 0).await;
    wrapped.api.set(|behaviour| behaviour.lose_begins = 1);
    emit_without_answer(&mut wrapped, ROOTS).await;
    let read = until_read(&mut wrapped, 1).await;
    let read: Value = serde_json::from_str(&read[0]).unwrap();
    assert_eq!((&read["id"], &read["error"]["code"]), (&json!("r"), &json!(UNAVAILABLE)));
    assert_eq!(outcome(&wrapped, "roots/list").await["status"], "not-forwarded");
}

/// Lets the server say a line without any call being decided.
async fn emit_without_answer(wrapped: &mut Wrapped, line: &str) {
    let say = json!({"jsonrpc": "2.0", "id": 900, "method": "tools/list", "params": {"say": line}});
    wrapped.send(&say.to_string()).await;
    assert_eq!(wrapped.next().await["id"], 900);
}

// ---- tasks that the client makes ----

const TASKED: &str = r#"{"jsonrpc":"2.0","id":"t","method":"elicitation/create","params":{"mode":"url","url":"https://x","message":"m","task":{"ttl":1}}}"#;
const PROMISE: &str =
    r#"{"jsonrpc":"2.0","id":"t","result":{"task":{"taskId":"T1","status":"working","ttl":1}}}"#;

async fn promised() -> Wrapped {
    let mut wrapped = permitting(&["elicitation/create"]);
    emit(&mut wrapped, 1, &[TASKED], 1).await;
    wrapped.send(PROMISE).await;
    assert_eq!(until_read(&mut wrapped, 1).await, [PROMISE]);
    wrapped
}

fn about(id: u64, method: &str, task: &str) -> String {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": {"taskId": task}}).to_string()
}

#[tokio::test]
async fn a_task_of_the_client_ends_when_its_result_is_seen() {
    let mut wrapped = promised().await;
    let get = about(31, "tasks/get", "T1");
    assert_eq!(emit(&mut wrapped, 2, &[&get], 1).await, [get]);
    let working = r#"{"jsonrpc":"2.0","id":31,"result":{"taskId":"T1","status":"working"}}"#;
    wrapped.send(working).await;
    assert_eq!(until_read(&mut wrapped, 2).await[1], working);
    assert_eq!(wrapped.statuses(), ["ok", "ok"], "only the calls that made the server speak have ended");

    emit(&mut wrapped, 3, &[&about(32, "tasks/result", "T1")], 1).await;
    let result = r#"{"jsonrpc":"2.0","id":32,"result":{"action":"accept"}}"#;
    wrapped.send(result).await;
    assert_eq!(until_read(&mut wrapped, 3).await[2], result);
    let said = wrapped.api.nth("human-input", 0).await;
    assert_eq!((&said["payload"]["how"], &said["payload"]["mode"]), (&json!("task"), &json!("url")));
    let finish = outcome(&wrapped, "elicitation/create").await;
    assert_eq!((&finish["status"], &finish["frame_digest"]), (&json!("ok"), &digest(result)));
}

#[tokio::test]
async fn a_result_after_the_end_of_a_task_is_recorded_beside_it() {
    let mut wrapped = promised().await;
    let done = r#"{"jsonrpc":"2.0","method":"notifications/tasks/status","params":{"taskId":"T1","status":"completed"}}"#;
    wrapped.send(done).await;
    assert_eq!(until_read(&mut wrapped, 2).await[1], done);
    assert_eq!(outcome(&wrapped, "elicitation/create").await["status"], "ok");
    emit(&mut wrapped, 2, &[&about(32, "tasks/result", "T1")], 1).await;
    let result = r#"{"jsonrpc":"2.0","id":32,"result":{"action":"decline"}}"#;
    wrapped.send(result).await;
    assert_eq!(until_read(&mut wrapped, 3).await[2], result);
    let told = wrapped.api.nth("task-result", 0).await;
    assert_eq!((&told["payload"]["task"], &told["frame_digest"]), (&json!("T1"), &digest(result)));
    assert_eq!(wrapped.api.nth("human-input", 0).await["payload"]["action"], "decline");
}

#[tokio::test]
async fn a_result_that_could_not_be_recorded_is_withheld_until_it_is() {
    let mut wrapped = promised().await;
    wrapped.api.set(|behaviour| behaviour.refuse_observations = true);
    emit(&mut wrapped, 2, &[&about(32, "tasks/result", "T1")], 1).await;
    wrapped.send(r#"{"jsonrpc":"2.0","id":32,"result":{"action":"accept"}}"#).await;
    let withheld: Value = serde_json::from_str(&until_read(&mut wrapped, 2).await[1]).unwrap();
    assert_eq!(withheld["error"]["code"], UNAVAILABLE, "{withheld}");
    emit(&mut wrapped, 3, &[&about(33, "tasks/result", "T1")], 1).await;
    wrapped.send(r#"{"jsonrpc":"2.0","id":33,"result":{"action":"accept"}}"#).await;
    let withheld: Value = serde_json::from_str(&until_read(&mut wrapped, 3).await[2]).unwrap();
    assert_eq!(withheld["error"]["code"], UNAVAILABLE, "{withheld}");
    wrapped.api.set(|behaviour| behaviour.refuse_observations = false);
    emit(&mut wrapped, 4, &[&about(34, "tasks/result", "T1")], 1).await;
    let result = r#"{"jsonrpc":"2.0","id":34,"result":{"action":"accept"}}"#;
    wrapped.send(result).await;
    assert_eq!(until_read(&mut wrapped, 4).await[3], result);
    assert_eq!(wrapped.api.bodies("task-result").len(), 1);
}

#[tokio::test]
async fn a_task_of_the_client_that_has_ended_when_it_begins_has_its_outcome_first() {
    let mut wrapped = permitting(&["elicitation/create"]);
    emit(&mut wrapped, 1, &[TASKED], 1).await;
    wrapped.api.set(|behaviour| behaviour.hold_enqueued = true);
    let ended = PROMISE.replace("working", "cancelled");
    wrapped.send(&ended).await;
    assert_eq!(outcome(&wrapped, "elicitation/create").await["status"], "cancelled");
    wrapped.ping().await;
    assert_eq!(read_by_server(&wrapped), [] as [String; 0]);
    wrapped.api.set(|behaviour| behaviour.hold_enqueued = false);
    assert_eq!(until_read(&mut wrapped, 1).await, [ended]);
    // what tells of it in two ways tells nothing
    emit(&mut wrapped, 2, &[&about(31, "tasks/get", "T1")], 1).await;
    wrapped.send(r#"{"jsonrpc":"2.0","id":31,"result":{"taskId":"T2","status":"working"}}"#).await;
    let withheld: Value = serde_json::from_str(&until_read(&mut wrapped, 2).await[1]).unwrap();
    assert_eq!(withheld["error"]["code"], UNAVAILABLE, "{withheld}");
}

#[tokio::test]
async fn a_cancelled_task_and_one_that_never_ends_have_their_outcomes() {
    let mut wrapped = promised().await;
    emit(&mut wrapped, 2, &[&TASKED.replace("\"t\"", "\"u\"")], 1).await;
    wrapped.send(&PROMISE.replace("\"t\"", "\"u\"").replace("T1", "T2")).await;
    until_read(&mut wrapped, 2).await;
    emit(&mut wrapped, 3, &[&about(33, "tasks/cancel", "T1")], 1).await;
    wrapped.send(r#"{"jsonrpc":"2.0","id":33,"result":{"taskId":"T1","status":"cancelled"}}"#).await;
    until_read(&mut wrapped, 3).await;
    wrapped.hang_up();
    wrapped.ended().await;
    let statuses = wrapped.statuses();
    assert_eq!(
        statuses.iter().filter(|status| *status != "ok").collect::<Vec<_>>(),
        ["cancelled", "unknown"]
    );
}

#[tokio::test]
async fn a_server_may_ask_only_about_tasks_that_were_made_of_its_requests() {
    let mut wrapped = promised().await;
    let seen =
        emit(&mut wrapped, 2, &[&about(41, "tasks/get", "T9"), &about(42, "tasks/list", "T1")], 0).await;
    assert_eq!(seen, [] as [String; 0]);
    let refusals = until_read(&mut wrapped, 3).await;
    let codes: Vec<Value> = refusals[1..]
        .iter()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["error"]["code"].clone())
        .collect();
    assert_eq!(codes, [json!(REFUSED), json!(-32_601)]);
}

#[tokio::test]
async fn a_task_of_another_request_is_not_followed() {
    let mut wrapped = promised().await;
    emit(&mut wrapped, 2, &[&TASKED.replace("\"t\"", "\"u\"")], 1).await;
    let again = PROMISE.replace("\"t\"", "\"u\"");
    wrapped.send(&again).await;
    assert_eq!(until_read(&mut wrapped, 2).await[1], again);
    let unknown =
        wrapped.api.bodies("finish").into_iter().find(|finish| finish["body"]["status"] == "unknown");
    assert!(unknown.unwrap()["body"]["detail"].as_str().unwrap().contains("task of another request"));
    assert_eq!(wrapped.api.bodies("human-input"), [] as [Value; 0]);
}

#[tokio::test]
async fn what_only_we_may_say_is_taken_out_of_both_sides() {
    let mut wrapped = permitting(&["roots/list"]);
    let request = |ours: &str| {
        format!(r#"{{"jsonrpc":"2.0","id":"r","method":"roots/list","params":{{"_meta":{{"a":1{ours}}}}}}}"#)
    };
    let asked_with = request(r#","dev.deeds/x":1"#);
    assert_eq!(emit(&mut wrapped, 1, &[&asked_with], 1).await, [request("")]);
    let begin = asked(&wrapped)[0].clone();
    assert_eq!(
        (&begin["frame_digest"], &begin["sent_frame_digest"]),
        (&digest(&asked_with), &digest(&request("")))
    );
    assert_eq!(begin["args"], "{}");

    let answer =
        |ours: &str| format!(r#"{{"jsonrpc":"2.0","id":"r","result":{{"roots":[{{"_meta":{{{ours}}}}}]}}}}"#);
    let answered_with = answer(r#""dev.deeds/y":{}"#);
    wrapped.send(&answered_with).await;
    assert_eq!(until_read(&mut wrapped, 1).await, [answer("")]);
    let finish = outcome(&wrapped, "roots/list").await;
    assert_eq!(
        (&finish["frame_digest"], &finish["sent_frame_digest"]),
        (&digest(&answered_with), &digest(&answer("")))
    );
}

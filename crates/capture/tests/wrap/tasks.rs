//! Acts that are answered with a task: they end when their end is first seen, whichever message shows it.

use capture::mcp::UNAVAILABLE;
use evidence::Digest;
use serde_json::{Value, json};

use super::acts::{request, result};
use super::presented::{Agent, in_run};
use crate::support::wrapped::Wrapped;

const WORKING: &str = r#"{"taskId":"t1","status":"working"}"#;
const DONE: &str =
    r#"{"resultType":"complete","taskId":"t1","status":"completed","result":{"content":[], "n":1.0}}"#;

/// Calls a tool that goes on as the task `t1`.
async fn begin(wrapped: &mut Wrapped, id: i64) -> String {
    let task = result(r#"{"resultType":"task","taskId":"t1","status":"working"}"#);
    wrapped.send(&request(id, "tools/call", &json!({"name": "t"}), &[&task])).await;
    let line = wrapped.line().await;
    assert!(line.contains(r#""taskId":"t1""#), "{line}");
    line
}

/// A request about `t1`, answered with this result.
fn about(id: i64, method: &str, answer: &str) -> String {
    request(id, method, &json!({"taskId": "t1"}), &[&result(answer)])
}

fn notification(method: &str, params: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","method":"{method}","params":{params}}}"#)
}

/// Makes the server say a line, beside everything else.
async fn let_say(wrapped: &mut Wrapped, id: i64, line: &str) {
    let sent = request(id, "ping", &json!({}), &[line, &result("{}")]);
    wrapped.send(&sent).await;
}

fn digest(text: &str) -> String {
    Digest::of(text.as_bytes()).to_string()
}

#[tokio::test]
async fn the_outcome_is_written_at_the_end_and_before_the_client_sees_it() {
    let mut wrapped = Wrapped::start();
    begin(&mut wrapped, 1).await;
    assert_eq!(wrapped.statuses(), [] as [String; 0]);
    // requests about it pass undecided
    wrapped.send(&about(2, "tasks/get", WORKING)).await;
    assert_eq!(wrapped.next().await["result"]["status"], "working");
    wrapped.api.set(|behaviour| behaviour.hold_enqueued = true);
    wrapped.send(&about(3, "tasks/get", DONE)).await;
    wrapped.api.nth("finish", 0).await;
    assert_eq!(wrapped.ping().await, [] as [Value; 0]);
    wrapped.api.set(|behaviour| behaviour.hold_enqueued = false);
    let line = wrapped.line().await;
    assert!(line.contains(DONE), "{line}");

    let finish = wrapped.api.nth("finish", 0).await;
    let body = &finish["body"];
    let inner = r#"{"content":[], "n":1.0}"#;
    assert_eq!((body["status"].as_str(), body["result"].as_str()), (Some("ok"), Some(inner)));
    assert_eq!(
        (&body["result_digest"], &body["frame_digest"]),
        (&json!(digest(inner)), &json!(digest(&line)))
    );
    assert_eq!(wrapped.api.bodies("begin").len(), 1);
    assert_eq!(finish["act_id"], wrapped.api.nth("begin", 0).await["act_id"]);

    // its end is seen again: nothing more happens
    wrapped.send(&about(4, "tasks/get", DONE)).await;
    assert_eq!(wrapped.next().await["id"], 4);
    wrapped.hang_up();
    wrapped.ended().await;
    assert_eq!((wrapped.api.bodies("finish").len(), wrapped.api.bodies("task-result").len()), (1, 0));
}

#[tokio::test]
async fn each_end_has_its_status_in_both_eras() {
    let failed = r#"{"taskId":"t1","status":"failed","error":{"code":1,"message":"x"}}"#;
    let tool_error = r#"{"taskId":"t1","status":"completed","result":{"content":[],"isError":true}}"#;
    let notified = |method: &str, params: &str| (method.to_owned(), params.to_owned());
    for ((method, text), status) in [
        (notified("tasks/get", failed), "refused-by-target"),
        (notified("tasks/get", tool_error), "tool-error"),
        (notified("tasks/get", r#"{"taskId":"t1","status":"failed"}"#), "tool-error"),
        (notified("tasks/cancel", r#"{"taskId":"t1","status":"cancelled"}"#), "cancelled"),
        (notified("tasks/result", r#"{"content":[],"isError":true}"#), "tool-error"),
        (notified("notifications/tasks", DONE), "ok"),
        (notified("notifications/tasks/status", r#"{"taskId":"t1","status":"cancelled"}"#), "cancelled"),
    ] {
        let mut wrapped = Wrapped::start();
        begin(&mut wrapped, 1).await;
        if method.starts_with("notifications/") {
            let_say(&mut wrapped, 2, &notification(&method, &text)).await;
            let told = [wrapped.next().await, wrapped.next().await];
            assert!(told.iter().any(|frame| frame["method"] == method.as_str()), "{told:?}");
        } else {
            wrapped.send(&about(2, &method, &text)).await;
            assert_eq!(wrapped.next().await["id"], 2);
        }
        assert_eq!(wrapped.statuses(), [status], "{method} {text}");
    }
}

#[tokio::test]
async fn a_task_of_the_revision_before_is_one_only_where_it_was_asked_for() {
    let mut wrapped = Wrapped::start();
    let task = result(r#"{"task":{"taskId":"t1","status":"working"}}"#);
    wrapped.send(&request(1, "tools/call", &json!({"name": "t", "task": {"ttl": 1}}), &[&task])).await;
    wrapped.next().await;
    assert_eq!(wrapped.statuses(), [] as [String; 0]);
    let mut other = Wrapped::start();
    other.send(&request(1, "tools/call", &json!({"name": "t"}), &[&task])).await;
    other.next().await;
    assert_eq!(other.statuses(), ["ok"], "a result like any other");

    // completed, without what came of it; that is recorded when it comes, once, and before the client sees it
    wrapped.send(&about(2, "tasks/get", r#"{"taskId":"t1","status":"completed"}"#)).await;
    wrapped.next().await;
    assert_eq!(wrapped.statuses(), ["ok"]);
    wrapped.api.set(|behaviour| behaviour.hold_observations = true);
    wrapped.send(&about(3, "tasks/result", r#"{"content":[]}"#)).await;
    let seen = wrapped.api.nth("task-result", 0).await;
    assert_eq!(wrapped.ping().await, [] as [Value; 0]);
    wrapped.api.set(|behaviour| behaviour.hold_observations = false);
    let line = wrapped.line().await;
    assert_eq!(seen["act_id"], wrapped.api.nth("begin", 0).await["act_id"]);
    assert_eq!(seen["frame_digest"], digest(&line));
    assert_eq!(
        seen["payload"],
        json!({"task": "t1", "status": "ok", "result_digest": digest(r#"{"content":[]}"#), "size": 14})
    );
    for (id, text) in [(4, r#"{"content":[]}"#), (5, r#"{"content":[],"isError":true}"#)] {
        wrapped.send(&about(id, "tasks/result", text)).await;
        wrapped.next().await;
    }
    let results = wrapped.api.bodies("task-result");
    assert_eq!((results.len(), &results[1]["payload"]["status"]), (2, &json!("tool-error")));
}

#[tokio::test]
async fn whatever_shows_the_end_waits_for_the_outcome() {
    let mut wrapped = Wrapped::start();
    begin(&mut wrapped, 1).await;
    wrapped.api.set(|behaviour| behaviour.hold_enqueued = true);
    let_say(&mut wrapped, 2, &notification("notifications/tasks", DONE)).await;
    assert_eq!(wrapped.next().await["id"], 2);
    wrapped.send(&about(3, "tasks/get", DONE)).await;
    wrapped.send(&about(4, "tasks/get", WORKING)).await;
    // what shows no end overtakes what waits
    assert_eq!(wrapped.next().await["id"], 4);
    assert_eq!(wrapped.ping().await, [] as [Value; 0]);
    wrapped.api.set(|behaviour| behaviour.hold_enqueued = false);
    let told = [wrapped.next().await, wrapped.next().await];
    assert!(told.iter().any(|frame| frame["id"] == 3), "{told:?}");
    assert!(told.iter().any(|frame| frame["method"] == "notifications/tasks"), "{told:?}");
    assert_eq!(wrapped.statuses(), ["ok"]);
}

#[tokio::test]
async fn an_end_whose_outcome_is_not_taken_is_withheld() {
    let mut wrapped = Wrapped::start();
    begin(&mut wrapped, 1).await;
    wrapped.api.set(|behaviour| behaviour.refuse_outcomes = true);
    for id in [2, 3] {
        wrapped.send(&about(id, "tasks/get", DONE)).await;
        let answer = wrapped.next().await;
        assert_eq!((&answer["id"], &answer["error"]["code"]), (&json!(id), &json!(UNAVAILABLE)));
    }
    let_say(&mut wrapped, 4, &notification("notifications/tasks", DONE)).await;
    assert_eq!(wrapped.next().await["id"], 4);
    wrapped.api.nth("observe", 0).await;
    assert_eq!(wrapped.ping().await, [] as [Value; 0]);
    assert_eq!(wrapped.api.bodies("finish").len(), 1);
}

#[tokio::test]
async fn an_error_about_a_task_is_not_its_end_and_one_never_seen_to_end_is_unknown() {
    let mut wrapped = Wrapped::start();
    begin(&mut wrapped, 1).await;
    let error = r#"{"jsonrpc":"2.0","id":$ID,"error":{"code":-32602,"message":"no such task"}}"#;
    wrapped.send(&request(2, "tasks/result", &json!({"taskId": "t1"}), &[error])).await;
    assert_eq!(wrapped.next().await["error"]["code"], -32_602);
    assert_eq!(wrapped.statuses(), [] as [String; 0]);
    wrapped.hang_up();
    wrapped.ended().await;
    assert_eq!(wrapped.statuses(), ["unknown"]);
    assert_eq!(wrapped.api.nth("finish", 0).await["body"]["detail"], "the task was not seen to end");
    let order: Vec<String> = wrapped.api.events().into_iter().map(|(name, _)| name).collect();
    let at = |name: &str| order.iter().position(|event| event == name).unwrap();
    assert!(at("finish") < at("end"), "{order:?}");
}

#[tokio::test]
async fn two_acts_have_no_task_in_common() {
    let mut wrapped = Wrapped::start();
    begin(&mut wrapped, 1).await;
    begin(&mut wrapped, 2).await;
    assert_eq!(wrapped.statuses(), ["unknown"]);
    let detail = wrapped.api.nth("finish", 0).await["body"]["detail"].clone();
    assert!(detail.as_str().unwrap().contains("the task of another call"), "{detail}");
    wrapped.send(&about(3, "tasks/get", DONE)).await;
    wrapped.next().await;
    let mut statuses = wrapped.statuses();
    statuses.sort();
    assert_eq!(statuses, ["ok", "unknown"]);
}

#[tokio::test]
async fn progress_belongs_to_the_act_until_its_task_ends() {
    let mut wrapped = Wrapped::start();
    let progress = notification("notifications/progress", r#"{"progressToken":"p","progress":1}"#);
    let task = result(r#"{"resultType":"task","taskId":"t1","status":"working"}"#);
    let params = json!({"name": "t", "_meta": {"progressToken": "p", "test/say": [progress, task]}});
    wrapped
        .send(&json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).to_string())
        .await;
    wrapped.next().await;
    wrapped.next().await;
    let_say(&mut wrapped, 2, &progress).await;
    wrapped.next().await;
    wrapped.next().await;
    wrapped.send(&about(3, "tasks/get", DONE)).await;
    wrapped.next().await;
    assert_eq!(wrapped.api.nth("finish", 0).await["body"]["parts"]["count"], 2);
}

fn with_delegation(sent: &str, member: &Value) -> String {
    let mut frame: Value = serde_json::from_str(sent).unwrap();
    frame["params"]["_meta"]["dev.deeds/delegation"] = member.clone();
    frame.to_string()
}

#[tokio::test]
async fn a_task_is_asked_about_under_the_authority_that_it_was_begun_under() {
    let mut wrapped = Wrapped::start();
    let (mut agent, mut other) = (Agent::new(5), Agent::new(6));
    let task = result(r#"{"resultType":"task","taskId":"t1","status":"working"}"#);
    let call = request(1, "tools/call", &json!({"name": "t"}), &[&task]);
    wrapped.send(&with_delegation(&call, &agent.with_args("t", &json!({})))).await;
    wrapped.next().await;
    // neither nobody nor another agent
    let args = json!({"taskId": "t1"});
    let nobody = about(2, "tasks/get", DONE);
    let stranger = with_delegation(&about(3, "tasks/get", DONE), &other.with_args("tasks/get", &args));
    for sent in [nobody, stranger] {
        wrapped.send(&sent).await;
        let refused = wrapped.next().await;
        assert!(refused["error"]["message"].as_str().unwrap().contains("(step task-foreign)"), "{refused}");
    }
    assert_eq!((wrapped.api.bodies("observe").len(), wrapped.seen().len()), (2, 1));
    // the agent's own question is an act, and shows the end of the other
    wrapped.send(&with_delegation(&about(4, "tasks/get", DONE), &agent.with_args("tasks/get", &args))).await;
    assert_eq!(wrapped.next().await["result"]["status"], "completed");
    let begins = wrapped.api.bodies(&in_run(1, "begin"));
    assert_eq!(begins[1]["tool"], "stdio:sample#tasks/get");
    let finished = wrapped.api.bodies(&in_run(1, "finish"));
    assert_eq!(finished.len(), 2);
    assert_eq!(
        (&finished[0]["act_id"], &finished[1]["act_id"]),
        (&begins[0]["act_id"], &begins[1]["act_id"])
    );

    // nor an agent about a task of the wrap's own
    let task = result(r#"{"resultType":"task","taskId":"t2","status":"working"}"#);
    wrapped.send(&request(5, "tools/call", &json!({"name": "t"}), &[&task])).await;
    wrapped.next().await;
    let args = json!({"taskId": "t2"});
    let sent = request(6, "tasks/get", &args, &[&result(WORKING)]);
    wrapped.send(&with_delegation(&sent, &other.with_args("tasks/get", &args))).await;
    assert!(wrapped.next().await["error"]["message"].as_str().unwrap().contains("task-foreign"));
}

#[tokio::test]
async fn a_question_about_a_task_has_its_outcome_also_where_what_it_showed_is_not_recorded() {
    let mut wrapped = Wrapped::start();
    let mut agent = Agent::new(5);
    let args = json!({"taskId": "t1"});
    let task = result(r#"{"resultType":"task","taskId":"t1","status":"working"}"#);
    let call = request(1, "tools/call", &json!({"name": "t"}), &[&task]);
    wrapped.send(&with_delegation(&call, &agent.with_args("t", &json!({})))).await;
    wrapped.next().await;
    let done = about(2, "tasks/get", r#"{"taskId":"t1","status":"completed"}"#);
    wrapped.send(&with_delegation(&done, &agent.with_args("tasks/get", &args))).await;
    assert_eq!(wrapped.next().await["result"]["status"], "completed");
    wrapped.api.set(|behaviour| behaviour.refuse_observations = true);
    let brought = about(3, "tasks/result", r#"{"content":[]}"#);
    wrapped.send(&with_delegation(&brought, &agent.with_args("tasks/result", &args))).await;
    assert_eq!(wrapped.next().await["error"]["code"], UNAVAILABLE);
    let last = wrapped.api.bodies(&in_run(1, "begin"))[2]["act_id"].clone();
    assert_eq!(wrapped.api.nth(&in_run(1, "finish"), 2).await["act_id"], last);
}

#[tokio::test]
async fn what_a_task_asks_of_the_client_is_decided_once_and_answered_in_an_update() {
    let mut wrapped = Wrapped::start();
    begin(&mut wrapped, 1).await;
    let asks = r#"{"taskId":"t1","status":"input_required","inputRequests":{"k":{"method":"elicitation/create","params":{"message":"?"}}}}"#;
    wrapped.send(&about(2, "tasks/get", asks)).await;
    let refused = wrapped.next().await;
    assert!(refused["error"]["message"].as_str().unwrap().contains("`elicitation/create`"), "{refused}");
    let_say(&mut wrapped, 3, &notification("notifications/tasks", asks)).await;
    assert_eq!(wrapped.next().await["id"], 3);
    wrapped.api.nth("observe", 0).await;

    wrapped.api.set(|behaviour| behaviour.permits = vec!["elicitation/create"]);
    for id in [4, 5] {
        wrapped.send(&about(id, "tasks/get", asks)).await;
        assert_eq!(wrapped.next().await["result"]["status"], "input_required");
    }
    let_say(&mut wrapped, 6, &notification("notifications/tasks", asks)).await;
    wrapped.next().await;
    wrapped.next().await;
    let asked = wrapped.api.bodies("begin");
    assert_eq!(asked.len(), 4, "refused twice, permitted once: {asked:?}");

    wrapped.api.set(|behaviour| behaviour.hold_observations = true);
    let params = json!({"taskId": "t1", "inputResponses": {"k": {"action": "decline"}}});
    wrapped.send(&request(7, "tasks/update", &params, &[&result("{}")])).await;
    let said = wrapped.api.nth("human-input", 0).await;
    wrapped.ping().await;
    assert!(!wrapped.seen().iter().any(|line| line.contains("tasks/update")), "it has not gone on");
    wrapped.api.set(|behaviour| behaviour.hold_observations = false);
    assert_eq!(wrapped.next().await["id"], 7);
    assert_eq!(said["act_id"], asked[3]["act_id"]);
    assert_eq!(
        said["payload"],
        json!({"how": "task", "mode": "form", "key": "k", "action": "decline", "content": null})
    );
    assert_eq!(wrapped.statuses(), ["ok"], "what was asked is answered, the task goes on");
    wrapped.send(&about(8, "tasks/get", DONE)).await;
    wrapped.next().await;
    assert_eq!(wrapped.statuses(), ["ok", "ok"]);
}

#[tokio::test]
async fn a_call_that_goes_on_undecided_has_no_task_here() {
    let mut wrapped = Wrapped::start_with(&[], |options| {
        options.read_fail_open = vec!["stdio:sample#unavailable".into()];
    });
    let task = result(r#"{"resultType":"task","taskId":"t1","status":"working"}"#);
    wrapped.send(&request(1, "tools/call", &json!({"name": "unavailable"}), &[&task])).await;
    assert_eq!(wrapped.next().await["result"]["taskId"], "t1");
    wrapped.send(&about(2, "tasks/get", DONE)).await;
    wrapped.next().await;
    assert_eq!(wrapped.api.nth("begin", 1).await["operation"], "tasks/get");
    let asks = r#"{"resultType":"input_required","inputRequests":{"k":{"method":"roots/list"}}}"#;
    wrapped.send(&request(3, "tools/call", &json!({"name": "unavailable"}), &[&result(asks)])).await;
    assert_eq!(wrapped.next().await["result"]["isError"], true);
}

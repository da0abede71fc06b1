//! Messages of a server that say one thing to one reader and another to another, that hide an end or a question, or
//! that cannot be read at all: nothing of a result and no question reaches the client behind them.

use capture::limits::{ASKING_MAX, INPUT_REQUESTS_MAX};
use capture::mcp::{REFUSED, UNAVAILABLE};
use serde_json::{Value, json};

use super::acts::{request, result};
use super::presented::{Agent, in_run};
use crate::support::wrapped::Wrapped;

const NOTHING: [Value; 0] = [];
const ELICIT: &str = r#"{"method":"elicitation/create","params":{"message":"?"}}"#;
const DONE: &str = r#"{"taskId":"t1","status":"completed","result":{"content":[]}}"#;

/// Calls a tool that goes on as the task `t1`.
async fn begin(wrapped: &mut Wrapped, id: i64) {
    let task = result(r#"{"resultType":"task","taskId":"t1","status":"working"}"#);
    wrapped.send(&request(id, "tools/call", &json!({"name": "t"}), &[&task])).await;
    assert_eq!(wrapped.next().await["result"]["taskId"], "t1");
}

fn about(id: i64, method: &str, answer: &str) -> String {
    request(id, method, &json!({"taskId": "t1"}), &[&result(answer)])
}

fn notification(params: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","method":"notifications/tasks","params":{params}}}"#)
}

/// Lets the server say lines beside everything else; gives what the client sees of them.
async fn told(wrapped: &mut Wrapped, id: i64, lines: &[&str]) -> Vec<Value> {
    let end = result("{}");
    let say: Vec<&str> = lines.iter().copied().chain([end.as_str()]).collect();
    wrapped.send(&request(id, "ping", &json!({}), &say)).await;
    let mut seen = Vec::new();
    loop {
        let frame = wrapped.next().await;
        if frame["id"] == id {
            return seen;
        }
        seen.push(frame);
    }
}

#[tokio::test]
async fn the_end_of_a_task_cannot_be_said_so_that_only_the_client_sees_it() {
    let mut wrapped = Wrapped::start();
    begin(&mut wrapped, 1).await;
    let disguises = [
        r#"{"taskId":"t1","status":"completed","result":{"content":[]},"task":{}}"#,
        r#"{"taskId":"t1","status":"completed","result":{"content":[]},"task":{"taskId":"x","status":"working"}}"#,
        r#"{"taskId":"t1","Status":"completed","result":{"content":[]}}"#,
        r#"{"taskId":"t1","status":"working","result":{"content":[]}}"#,
        r#"{"taskId":"t1","status":"done","result":{"content":[]}}"#,
        r#"{"taskId":"t1","status":"working","content":[{"type":"text","text":"x"}]}"#,
        r#"{"taskId":"t1","status":"cancelled","result":{"content":[]}}"#,
        r#"{"taskId":"t1","status":"completed","result":{"content":[],"IsError":true}}"#,
    ];
    for (id, disguise) in (10..).zip(disguises) {
        wrapped.send(&about(id, "tasks/get", disguise)).await;
        let refused = wrapped.next().await;
        assert_eq!(refused["error"]["code"], REFUSED, "{disguise}: {refused}");
        let seen = told(&mut wrapped, id + 100, &[&notification(disguise)]).await;
        assert_eq!(seen, NOTHING, "{disguise}");
    }
    assert_eq!(wrapped.statuses(), [] as [String; 0], "the task goes on");
    let goes_on = notification(r#"{"taskId":"t1","status":"working"}"#);
    assert_eq!(told(&mut wrapped, 300, &[&goes_on]).await.len(), 1);
    wrapped.send(&about(2, "tasks/get", DONE)).await;
    assert_eq!(wrapped.next().await["result"]["status"], "completed");
    assert_eq!(wrapped.statuses(), ["ok"]);
    wrapped.hang_up();
    wrapped.ended().await;
    let passed = wrapped.api.nth("traffic", 0).await["payload"]["server"].clone();
    assert_eq!(passed, json!({"notifications/tasks": 1}), "what is dropped has not passed");
}

#[tokio::test]
async fn an_answer_about_one_task_says_nothing_of_another() {
    let mut wrapped = Wrapped::start();
    begin(&mut wrapped, 1).await;
    let other = DONE.replace("t1", "t2");
    wrapped.send(&about(2, "tasks/get", &other)).await;
    assert_eq!(wrapped.next().await["error"]["code"], REFUSED);
    assert_eq!(wrapped.statuses(), [] as [String; 0]);
}

#[tokio::test]
async fn a_question_of_a_task_cannot_stand_where_only_the_client_reads_it() {
    let mut wrapped = Wrapped::start();
    begin(&mut wrapped, 1).await;
    let ask = format!(r#"{{"k":{ELICIT}}}"#);
    let disguises = [
        format!(
            r#"{{"inputRequests":{{}},"task":{{"taskId":"t1","status":"input_required","inputRequests":{ask}}}}}"#
        ),
        format!(r#"{{"taskId":"t1","status":"input_required","InputRequests":{ask}}}"#),
        format!(
            r#"{{"taskId":"t1","status":"completed","result":{{"resultType":"input_required","inputRequests":{ask}}}}}"#
        ),
    ];
    for (id, disguise) in (10..).zip(&disguises) {
        wrapped.send(&about(id, "tasks/get", disguise)).await;
        assert_eq!(wrapped.next().await["error"]["code"], REFUSED, "{disguise}");
        assert_eq!(told(&mut wrapped, id + 100, &[&notification(disguise)]).await, NOTHING, "{disguise}");
    }
    assert_eq!(wrapped.api.bodies("begin").len(), 1, "nothing of it could be decided");
}

#[tokio::test]
async fn an_end_beside_a_question_that_cannot_be_read_is_not_lost() {
    let mut wrapped = Wrapped::start();
    begin(&mut wrapped, 1).await;
    let bad = r#"{"taskId":"t1","status":"completed","result":{"content":[]},"inputRequests":7}"#;
    assert_eq!(told(&mut wrapped, 2, &[&notification(bad)]).await, NOTHING);
    wrapped.send(&about(3, "tasks/get", DONE)).await;
    let answer = wrapped.next().await;
    assert_eq!(answer["result"]["status"], "completed", "{answer}");
    assert_eq!(wrapped.statuses(), ["ok"]);
}

#[tokio::test]
async fn a_task_that_has_ended_when_it_begins_has_its_outcome_first() {
    let mut wrapped = Wrapped::start();
    wrapped.api.set(|behaviour| behaviour.hold_enqueued = true);
    let ended = r#"{"task":{"taskId":"t1","status":"completed","result":{"content":[]}}}"#;
    wrapped.send(&request(1, "tools/call", &json!({"name": "t", "task": {}}), &[&result(ended)])).await;
    let finish = wrapped.api.nth("finish", 0).await;
    assert_eq!(finish["body"]["status"], "ok");
    assert_eq!(wrapped.ping().await, NOTHING);
    wrapped.api.set(|behaviour| behaviour.hold_enqueued = false);
    assert_eq!(wrapped.next().await["result"]["task"]["status"], "completed");

    // a result of one that goes on is none
    let odd = r#"{"task":{"taskId":"t2","status":"working","result":{"content":[]}}}"#;
    wrapped.send(&request(2, "tools/call", &json!({"name": "t", "task": {}}), &[&result(odd)])).await;
    let refused = wrapped.next().await;
    assert_eq!(refused["error"]["code"], REFUSED, "{refused}");
    assert_eq!(wrapped.statuses(), ["ok", "unknown"]);
}

#[tokio::test]
async fn a_list_of_tasks_shows_no_end_before_its_outcome() {
    let mut wrapped = Wrapped::start();
    begin(&mut wrapped, 1).await;
    let with_result = format!(r#"{{"tasks":[{DONE}]}}"#);
    wrapped.send(&request(2, "tasks/list", &json!({}), &[&result(&with_result)])).await;
    assert_eq!(wrapped.next().await["error"]["code"], REFUSED);
    wrapped.api.set(|behaviour| behaviour.hold_enqueued = true);
    let list = r#"{"tasks":[{"taskId":"x","status":"working"},{"taskId":"t1","status":"failed"}]}"#;
    wrapped.send(&request(3, "tasks/list", &json!({}), &[&result(list)])).await;
    assert_eq!(wrapped.api.nth("finish", 0).await["body"]["status"], "tool-error");
    assert_eq!(wrapped.ping().await, NOTHING);
    wrapped.api.set(|behaviour| behaviour.hold_enqueued = false);
    assert_eq!(wrapped.next().await["result"]["tasks"][1]["status"], "failed");
}

#[tokio::test]
async fn a_result_whose_record_failed_is_recorded_before_it_is_shown_after_all() {
    let mut wrapped = Wrapped::start();
    begin(&mut wrapped, 1).await;
    wrapped.send(&about(2, "tasks/get", r#"{"taskId":"t1","status":"completed"}"#)).await;
    wrapped.next().await;
    wrapped.api.set(|behaviour| behaviour.refuse_observations = true);
    wrapped.send(&about(3, "tasks/result", r#"{"content":[]}"#)).await;
    assert_eq!(wrapped.next().await["error"]["code"], UNAVAILABLE);
    wrapped.send(&about(4, "tasks/result", r#"{"content":[]}"#)).await;
    let again = wrapped.next().await;
    assert_eq!(again["error"]["code"], UNAVAILABLE, "{again}");
    // and one that is being recorded is waited for by whoever brings the same
    wrapped.api.set(|behaviour| (behaviour.refuse_observations, behaviour.hold_observations) = (false, true));
    wrapped.send(&about(5, "tasks/result", r#"{"content":[]}"#)).await;
    wrapped.api.nth("task-result", 2).await;
    wrapped.send(&about(6, "tasks/result", r#"{"content":[]}"#)).await;
    assert_eq!(wrapped.ping().await, NOTHING);
    wrapped.api.set(|behaviour| behaviour.hold_observations = false);
    let mut answers = [wrapped.next().await, wrapped.next().await].map(|answer| answer["id"].as_i64());
    answers.sort_unstable();
    assert_eq!(answers, [Some(5), Some(6)]);
    assert_eq!(wrapped.api.bodies("task-result").len(), 3, "what is recorded is not recorded again");
}

#[tokio::test]
async fn the_error_that_asks_is_known_however_its_code_is_written_and_whatever_it_answers() {
    let mut wrapped = Wrapped::start();
    let error = |code: &str, data: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","id":$ID,"error":{{"code":{code},"message":"","{data}":{{"elicitations":[{{"mode":"url","url":"https://x"}}]}}}}}}"#
        )
    };
    for (id, code) in (1..).zip(["-32042.0", "-3.2042e4", "-32042"]) {
        wrapped.send(&request(id, "tools/call", &json!({"name": "t"}), &[&error(code, "data")])).await;
        assert_eq!(wrapped.next().await["result"]["isError"], true, "{code}");
        wrapped.send(&request(id + 10, "tools/list", &json!({}), &[&error(code, "data")])).await;
        assert_eq!(wrapped.next().await["error"]["code"], REFUSED, "{code}");
    }
    wrapped.send(&request(20, "tools/call", &json!({"name": "t"}), &[&error("-32042", "Data")])).await;
    let refused = wrapped.next().await;
    assert_eq!(refused["error"]["code"], REFUSED, "{refused}");
    let asked =
        wrapped.api.bodies("begin").iter().filter(|begin| begin["operation"] == "elicitation/create").count();
    assert_eq!(asked, 3);
    // look-alikes in an answer that passes
    wrapped.send(&request(21, "tools/list", &json!({}), &[&result(r#"{"InputRequests":{}}"#)])).await;
    assert_eq!(wrapped.next().await["error"]["code"], REFUSED);
}

#[tokio::test]
async fn an_answer_that_is_no_acceptable_message_ends_its_call() {
    let mut wrapped = Wrapped::start();
    let answers = [
        r#"{"jsonrpc":"2.0","id":$ID,"result":{"a":1,"a":2}}"#,
        r#"{"jsonrpc":"2.0","id":$ID,"result":{"a":"\ud800"}}"#,
        r#"{"jsonrpc":"1.0","id":$ID,"result":{}}"#,
    ];
    for (id, answer) in (1..).zip(answers) {
        wrapped.send(&request(id, "tools/call", &json!({"name": "t"}), &[answer])).await;
        let told = wrapped.next().await;
        assert_eq!((&told["id"], &told["error"]["code"]), (&json!(id), &json!(UNAVAILABLE)), "{told}");
    }
    assert_eq!(wrapped.statuses(), ["unknown", "unknown", "unknown"]);
    wrapped.send(&request(9, "tools/list", &json!({}), &[answers[0]])).await;
    assert_eq!(wrapped.next().await["error"]["code"], UNAVAILABLE);
    wrapped.api.nth("observe", 3).await;
}

#[tokio::test]
async fn more_answers_than_can_have_been_asked_for_are_refused_whole() {
    let mut wrapped = Wrapped::start();
    let sent = |id: i64, count: usize| {
        let answers: serde_json::Map<String, Value> =
            (0..count).map(|n| (n.to_string(), json!({"action": "accept"}))).collect();
        request(id, "tools/call", &json!({"name": "t", "inputResponses": answers}), &[&result("{}")])
    };
    wrapped.send(&sent(1, INPUT_REQUESTS_MAX + 1)).await;
    assert_eq!(wrapped.next().await["result"]["isError"], true);
    assert_eq!(wrapped.api.bodies("human-input"), NOTHING);
    wrapped.send(&sent(2, INPUT_REQUESTS_MAX)).await;
    assert_eq!(wrapped.next().await["result"], json!({}));
    assert_eq!(wrapped.api.bodies("human-input").len(), INPUT_REQUESTS_MAX);
}

#[tokio::test]
async fn a_task_waits_for_so_many_answers_at_one_time() {
    let mut wrapped = Wrapped::start();
    wrapped.api.set(|behaviour| behaviour.permits = vec!["elicitation/create"]);
    begin(&mut wrapped, 1).await;
    let asking = |from: usize, count: usize| {
        let asks: Vec<String> = (from..from + count).map(|n| format!(r#""k{n}":{ELICIT}"#)).collect();
        format!(r#"{{"taskId":"t1","status":"input_required","inputRequests":{{{}}}}}"#, asks.join(","))
    };
    wrapped.send(&about(2, "tasks/get", &asking(0, INPUT_REQUESTS_MAX))).await;
    assert_eq!(wrapped.next().await["result"]["status"], "input_required");
    wrapped.send(&about(3, "tasks/get", &asking(0, INPUT_REQUESTS_MAX))).await;
    assert_eq!(wrapped.next().await["result"]["status"], "input_required", "the same again");
    wrapped.send(&about(4, "tasks/get", &asking(INPUT_REQUESTS_MAX, 1))).await;
    assert_eq!(wrapped.next().await["error"]["code"], REFUSED);
    assert_eq!(wrapped.api.bodies("begin").len(), 1 + INPUT_REQUESTS_MAX);
}

#[tokio::test]
async fn what_tasks_ask_leaves_room_for_the_client() {
    let mut wrapped = Wrapped::start();
    begin(&mut wrapped, 1).await;
    wrapped.api.set(|behaviour| behaviour.hold_begin = true);
    let lines: Vec<String> = (0..=ASKING_MAX)
        .map(|n| {
            notification(&format!(
                r#"{{"taskId":"t1","status":"input_required","inputRequests":{{"k{n}":{ELICIT}}}}}"#
            ))
        })
        .collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    told(&mut wrapped, 2, &lines).await;
    wrapped.api.nth("begin", ASKING_MAX).await;
    wrapped.call(3, "echo", &json!({})).await;
    wrapped.api.nth("begin", ASKING_MAX + 1).await;
    let asked = |wrapped: &Wrapped| {
        wrapped.api.bodies("begin").iter().filter(|begin| begin["operation"] == "elicitation/create").count()
    };
    assert_eq!(asked(&wrapped), ASKING_MAX, "one waits for its turn, and the client does not");
    wrapped.api.set(|behaviour| behaviour.hold_begin = false);
    assert_eq!(wrapped.next().await["id"], 3);
}

/// Whoever asks about a task before it is there gets nothing of it once it is that of another.
#[tokio::test]
async fn a_question_that_waited_for_the_task_of_another_gets_nothing_of_it() {
    let mut wrapped = Wrapped::start();
    let mut agent = Agent::new(5);
    let args = json!({"taskId": "t1"});
    let params = json!({"taskId": "t1", "_meta": {"test/say": [], "dev.deeds/delegation": agent.with_args("tasks/result", &args)}});
    wrapped
        .send(&json!({"jsonrpc": "2.0", "id": 7, "method": "tasks/result", "params": params}).to_string())
        .await;
    while wrapped.seen().is_empty() {
        wrapped.ping().await;
    }
    begin(&mut wrapped, 1).await;
    let answer = r#"{"jsonrpc":"2.0","id":7,"result":{"content":[{"type":"text","text":"secret"}]}}"#;
    let mut seen = told(&mut wrapped, 2, &[answer]).await;
    if seen.is_empty() {
        seen.push(wrapped.next().await);
    }
    assert_eq!(seen[0]["error"]["code"], REFUSED, "{seen:?}");
    wrapped.send(&about(3, "tasks/get", DONE)).await;
    assert_eq!(wrapped.next().await["result"]["status"], "completed");
    assert_eq!(wrapped.statuses(), ["ok"]);
    assert_eq!(wrapped.api.nth(&in_run(1, "finish"), 0).await["body"]["status"], "unknown");
}

//! Acts that end because something is asked of the client first, and are tried again with its answers.

use capture::mcp::{REFUSED, UNAVAILABLE};
use serde_json::{Value, json};

use super::acts::result;
use super::presented::{Agent, in_run};
use crate::support::wrapped::Wrapped;

const ELICIT: &str = r#"{"method":"elicitation/create","params":{"mode":"form","message":"sure?"}}"#;

/// A call of `t` that the scripted server answers with this result, with further params.
fn call(id: i64, answer: &str, more: &Value) -> String {
    let mut params = json!({"name": "t", "arguments": {"a": 1}, "_meta": {"test/say": [result(answer)]}});
    let members = params.as_object_mut().unwrap();
    members.extend(more.as_object().unwrap().clone());
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params}).to_string()
}

fn asking(requests: &str, state: Option<&str>) -> String {
    let state = state.map(|state| format!(r#","requestState":"{state}""#)).unwrap_or_default();
    format!(r#"{{"resultType":"input_required","inputRequests":{{{requests}}}{state}}}"#)
}

/// The `n`-th begin of an act that is not asked for by the server.
async fn begin(wrapped: &Wrapped, n: usize) -> Value {
    let mut at = 0;
    let mut found = 0;
    loop {
        let begin = wrapped.api.nth("begin", at).await;
        if begin["operation"] == "tools/call" {
            if found == n {
                return begin;
            }
            found += 1;
        }
        at += 1;
    }
}

/// Index of the decision of an act.
fn decision(wrapped: &Wrapped, act_id: &Value) -> Value {
    let finished = wrapped.api.bodies("finish");
    finished.iter().find(|finish| finish["act_id"] == *act_id).unwrap()["body"]["decision"].clone()
}

#[tokio::test]
async fn a_retry_is_a_further_attempt_of_the_same_act() {
    let mut wrapped = Wrapped::start();
    wrapped.send(&call(1, r#"{"resultType":"input_required","requestState":"s\u0031"}"#, &json!({}))).await;
    assert_eq!(wrapped.next().await["result"]["requestState"], "s1");
    assert_eq!(wrapped.statuses(), ["input-required"]);
    let retry = call(2, r#"{"content":[]}"#, &json!({"requestState": "s1"}));
    wrapped.send(&retry).await;
    assert_eq!(wrapped.next().await["id"], 2);
    assert_eq!(wrapped.seen().last(), Some(&retry));
    let (first, second) = (begin(&wrapped, 0).await, begin(&wrapped, 1).await);
    assert_eq!(first["act_id"], second["act_id"]);
    assert_eq!((&first["args"], &second["args"]), (&json!(r#"{"a":1}"#), &json!(r#"{"a":1}"#)));
    assert_eq!((first.get("retry_of"), &second["retry_of"]), (None, &decision(&wrapped, &first["act_id"])));
    assert_eq!(wrapped.statuses(), ["input-required", "ok"]);

    // once is enough: the same again fits no attempt any more, and is an act of its own
    wrapped.send(&call(3, r#"{"content":[]}"#, &json!({"requestState": "s1"}))).await;
    wrapped.next().await;
    let third = begin(&wrapped, 2).await;
    assert_ne!(third["act_id"], first["act_id"]);
    assert_eq!(third.get("retry_of"), None);
}

#[tokio::test]
async fn a_retry_fits_by_state_arguments_and_who_tries() {
    let mut wrapped = Wrapped::start();
    wrapped.send(&call(1, &asking("", Some("s")), &json!({}))).await;
    wrapped.next().await;
    let mut agent = Agent::new(5);
    let member = agent.with_args("t", &json!({"a": 1}));
    let presented =
        json!({"requestState": "s", "_meta": {"dev.deeds/delegation": member, "test/say": [result("{}")]}});
    for (id, more) in [
        (2, json!({"requestState": "another"})),
        (3, json!({"requestState": "s", "arguments": {"a": 2}})),
        (4, json!({"inputResponses": {}})),
        (5, json!({})),
        (6, presented),
    ] {
        wrapped.send(&call(id, "{}", &more)).await;
        assert_eq!(wrapped.next().await["id"], id);
    }
    let guest = wrapped.api.nth(&in_run(1, "begin"), 0).await;
    for n in 1..5 {
        assert_eq!(begin(&wrapped, n).await.get("retry_of"), None, "{n}");
    }
    assert_eq!(guest.get("retry_of"), None);
    wrapped.send(&call(7, "{}", &json!({"requestState": "s"}))).await;
    wrapped.next().await;
    assert!(begin(&wrapped, 5).await["retry_of"].is_u64());
}

#[tokio::test]
async fn an_agent_tries_again_under_its_own_delegation() {
    let mut wrapped = Wrapped::start();
    let mut agent = Agent::new(5);
    for (id, more) in [(1, json!({})), (2, json!({"requestState": "s"}))] {
        let member = agent.with_args("t", &json!({"a": 1}));
        let meta = json!({"dev.deeds/delegation": member, "test/say": [result(&asking("", Some("s")))]});
        let mut more = more;
        more["_meta"] = meta;
        wrapped.send(&call(id, "{}", &more)).await;
        assert_eq!(wrapped.next().await["id"], id);
    }
    let first = wrapped.api.nth(&in_run(1, "decided"), 0).await;
    let (one, two) =
        (wrapped.api.nth(&in_run(1, "begin"), 0).await, wrapped.api.nth(&in_run(1, "begin"), 1).await);
    assert_eq!(two["retry_of"], first["index"]);
    assert_ne!(one["act_id"], two["act_id"], "its proof names the act");
}

#[tokio::test]
async fn what_is_asked_of_the_client_is_denied_until_it_is_permitted() {
    let mut wrapped = Wrapped::start();
    wrapped.send(&call(1, &asking(&format!(r#""k":{ELICIT}"#), Some("s")), &json!({}))).await;
    let refused = wrapped.next().await;
    assert_eq!(refused["result"]["isError"], true);
    let text = refused["result"]["content"][0]["text"].as_str().unwrap();
    assert!(text.contains("`elicitation/create`") && text.contains("refused by policy"), "{text}");
    assert_eq!(wrapped.statuses(), ["input-required"]);
    // the client never got the state, so nothing waits for it
    wrapped.send(&call(2, "{}", &json!({"requestState": "s"}))).await;
    wrapped.next().await;
    assert_eq!(begin(&wrapped, 1).await.get("retry_of"), None);
    // of another act the refusal is an error
    let params =
        json!({"name": "p", "_meta": {"test/say": [result(&asking(&format!(r#""k":{ELICIT}"#), None))]}});
    wrapped
        .send(&json!({"jsonrpc": "2.0", "id": 3, "method": "prompts/get", "params": params}).to_string())
        .await;
    assert_eq!(wrapped.next().await["error"]["code"], REFUSED);
}

#[tokio::test]
async fn one_that_is_denied_takes_the_others_with_it() {
    let mut wrapped = Wrapped::start();
    wrapped.api.set(|behaviour| behaviour.permits = vec!["roots/list"]);
    let requests = format!(r#""a":{{"method":"roots/list"}},"b":{ELICIT},"c":{{"method":"roots/list"}}"#);
    wrapped.send(&call(1, &asking(&requests, None), &json!({}))).await;
    assert_eq!(wrapped.next().await["result"]["isError"], true);
    let not_asked = wrapped.api.nth("finish", 1).await;
    assert_eq!(not_asked["body"]["status"], "not-forwarded");
    assert_eq!(wrapped.api.bodies("begin").len(), 3, "the third is not even asked for");
}

#[tokio::test]
async fn answers_are_recorded_before_the_retry_is_asked_for() {
    let mut wrapped = Wrapped::start();
    wrapped.api.set(|behaviour| behaviour.permits = vec!["elicitation/create", "roots/list"]);
    let requests = format!(r#""k":{ELICIT},"r":{{"method":"roots/list"}},"u":{{"method":"roots/list"}}"#);
    wrapped.send(&call(1, &asking(&requests, Some("s")), &json!({}))).await;
    assert_eq!(wrapped.next().await["result"]["resultType"], "input_required");
    let asked: Vec<Value> =
        wrapped.api.bodies("begin").into_iter().filter(|begin| begin["operation"] != "tools/call").collect();
    assert_eq!(asked.len(), 3);
    assert_eq!(asked[0]["tool"], "stdio:sample#elicitation/create");

    wrapped.api.set(|behaviour| behaviour.hold_observations = true);
    let answers =
        json!({"k": {"action": "accept", "content": {"n": 1}}, "r": {"roots": []}, "x": {"roots": []}});
    wrapped
        .send(&call(2, r#"{"content":[]}"#, &json!({"requestState": "s", "inputResponses": answers})))
        .await;
    let said = wrapped.api.nth("human-input", 0).await;
    assert_eq!(wrapped.ping().await, [] as [Value; 0]);
    assert_eq!((wrapped.api.bodies("begin").len(), wrapped.seen().len()), (4, 1), "nothing goes on before");
    assert_eq!(said["act_id"], asked[0]["act_id"]);
    assert_eq!(
        said["payload"],
        json!({"how": "retry", "mode": "form", "key": "k", "action": "accept", "content": {"n": 1}})
    );
    wrapped.api.set(|behaviour| behaviour.hold_observations = false);
    assert_eq!(wrapped.next().await["id"], 2);

    let order: Vec<String> = wrapped.api.events().into_iter().map(|(name, _)| name).collect();
    let last = |name: &str| order.iter().rposition(|event| event == name).unwrap();
    assert!(last("human-input") < last("begin"), "{order:?}");
    let status = |begin: &Value| {
        let finished = wrapped.api.bodies("finish");
        finished.iter().find(|finish| finish["act_id"] == begin["act_id"]).unwrap()["body"]["status"].clone()
    };
    assert_eq!([status(&asked[0]), status(&asked[1]), status(&asked[2])], ["ok", "ok", "cancelled"]);
    assert_eq!(wrapped.api.bodies("human-input").len(), 1, "roots are nothing that somebody said");
}

#[tokio::test]
async fn an_answer_that_fits_no_attempt_is_recorded_all_the_same_without_its_content() {
    let mut wrapped = Wrapped::start();
    let answers = json!({"k": {"action": "accept", "content": {"n": 1}}, "s": {"model": "m"}});
    wrapped.send(&call(1, "{}", &json!({"inputResponses": answers}))).await;
    wrapped.next().await;
    let said = wrapped.api.nth("human-input", 0).await;
    assert_eq!(said["act_id"], begin(&wrapped, 0).await["act_id"]);
    assert_eq!(
        (&said["payload"]["action"], &said["payload"]["content"]["size"]),
        (&json!("accept"), &json!(7))
    );
    assert_eq!(wrapped.api.bodies("human-input").len(), 1);
}

#[tokio::test]
async fn a_retry_without_a_decision_leaves_the_attempt_waiting() {
    let mut wrapped = Wrapped::start();
    wrapped.send(&call(1, &asking("", Some("s")), &json!({}))).await;
    wrapped.next().await;
    let refused = call(2, "{}", &json!({"requestState": "s", "inputResponses": {"k": {"action": "cancel"}}}));
    wrapped.api.set(|behaviour| behaviour.refuse_observations = true);
    wrapped.send(&refused).await;
    let answer = wrapped.next().await;
    assert_eq!(answer["result"]["isError"], true, "{answer}");
    assert!(answer.to_string().contains("could not be recorded"), "{answer}");
    assert_eq!(wrapped.seen().len(), 1);
    wrapped.api.set(|behaviour| behaviour.refuse_observations = false);
    wrapped.send(&call(3, "{}", &json!({"requestState": "s"}))).await;
    wrapped.next().await;
    assert!(begin(&wrapped, 1).await["retry_of"].is_u64());
}

#[tokio::test]
async fn a_retry_that_is_cancelled_while_it_is_decided_is_not_forwarded() {
    let mut wrapped = Wrapped::start();
    wrapped.send(&call(1, &asking("", Some("s")), &json!({}))).await;
    wrapped.next().await;
    wrapped.api.set(|behaviour| behaviour.hold_begin = true);
    wrapped.send(&call(2, "{}", &json!({"requestState": "s"}))).await;
    wrapped.api.nth("begin", 1).await;
    wrapped.cancel(2).await;
    // the id of the one being decided is taken
    wrapped.send(&call(2, "{}", &json!({"requestState": "s"}))).await;
    assert_eq!(wrapped.next().await["error"]["code"], -32_600);
    wrapped.api.set(|behaviour| behaviour.hold_begin = false);
    let finish = wrapped.api.nth("finish", 1).await;
    assert_eq!(finish["body"]["status"], "not-forwarded");
    assert_eq!((wrapped.ping().await, wrapped.seen().len()), (vec![], 1));
}

#[tokio::test]
async fn what_follows_an_attempt_that_the_log_has_forgotten_is_an_act_of_its_own() {
    let mut wrapped = Wrapped::start();
    wrapped.send(&call(1, &asking("", Some("s")), &json!({}))).await;
    wrapped.next().await;
    wrapped.api.set(|behaviour| behaviour.forget_attempts = true);
    let retry = call(2, r#"{"content":[]}"#, &json!({"requestState": "s"}));
    wrapped.send(&retry).await;
    assert_eq!(wrapped.next().await["id"], 2);
    assert_eq!(wrapped.seen().last(), Some(&retry));
    let (first, third) = (begin(&wrapped, 0).await, begin(&wrapped, 2).await);
    assert_eq!(third.get("retry_of"), None);
    assert_ne!(third["act_id"], first["act_id"]);
}

#[tokio::test]
async fn two_alike_are_tried_again_each_once() {
    let mut wrapped = Wrapped::start();
    for id in [1, 2] {
        wrapped.send(&call(id, &asking("", None), &json!({}))).await;
        wrapped.next().await;
    }
    for id in [3, 4, 5] {
        wrapped.send(&call(id, "{}", &json!({"inputResponses": {}}))).await;
        wrapped.next().await;
    }
    let mut retried = Vec::new();
    for n in 2..5 {
        retried.push(begin(&wrapped, n).await["retry_of"].clone());
    }
    assert!(retried[0].is_u64() && retried[1].is_u64() && retried[0] != retried[1]);
    assert_eq!(retried[2], Value::Null);
}

#[tokio::test]
async fn requests_that_are_none_are_not_passed_on() {
    let mut wrapped = Wrapped::start();
    for (id, requests) in [r#""k":{"method":"tools/call"}"#, r#""k":7"#].into_iter().enumerate() {
        wrapped.send(&call(i64::try_from(id).unwrap(), &asking(requests, None), &json!({}))).await;
        assert_eq!(wrapped.next().await["error"]["code"], REFUSED);
    }
    // asked for beside a result that says it is complete
    let text = format!(r#"{{"content":[],"inputRequests":{{"k":{ELICIT}}}}}"#);
    wrapped.send(&call(7, &text, &json!({}))).await;
    assert_eq!(wrapped.next().await["result"]["isError"], true);
    assert_eq!(wrapped.api.bodies("begin").len(), 3);
    assert_eq!(wrapped.statuses(), ["input-required", "input-required", "ok"]);
}

#[tokio::test]
async fn what_an_error_asks_of_the_client_is_decided_too() {
    let mut wrapped = Wrapped::start();
    let line = r#"{"jsonrpc":"2.0","id":$ID,"error":{"code":-32042,"message":"","data":{"elicitations":[{"mode":"url","url":"https://x"}]}}}"#;
    let params = json!({"name": "t", "_meta": {"test/say": [line]}});
    let sent =
        |id: i64| json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params}).to_string();
    wrapped.send(&sent(1)).await;
    assert_eq!(wrapped.next().await["result"]["isError"], true);
    wrapped.api.set(|behaviour| behaviour.permits = vec!["elicitation/create"]);
    wrapped.send(&sent(2)).await;
    assert_eq!(wrapped.next().await["error"]["code"], -32_042);
    let begins = wrapped.api.bodies("begin");
    assert_eq!(begins[3]["args"], r#"{"mode":"url","url":"https://x"}"#);
    assert_eq!(wrapped.api.nth("finish", 2).await["body"]["status"], "unknown");
}

#[tokio::test]
async fn what_nobody_answered_is_unknown_when_the_wrap_ends() {
    let mut wrapped = Wrapped::start();
    wrapped.api.set(|behaviour| behaviour.permits = vec!["elicitation/create"]);
    wrapped.send(&call(1, &asking(&format!(r#""k":{ELICIT}"#), Some("s")), &json!({}))).await;
    wrapped.next().await;
    wrapped.hang_up();
    wrapped.ended().await;
    assert_eq!(wrapped.statuses(), ["input-required", "unknown"]);
}

#[tokio::test]
async fn a_wrap_that_requires_a_delegation_lets_the_server_ask_for_nothing() {
    let mut wrapped = Wrapped::start_with(&[], |options| options.require_delegation = true);
    wrapped.api.set(|behaviour| behaviour.permits = vec!["elicitation/create"]);
    let member = Agent::new(5).with_args("t", &json!({"a": 1}));
    let line = result(&asking(&format!(r#""k":{ELICIT}"#), None));
    let more = json!({"_meta": {"dev.deeds/delegation": member, "test/say": [line]}});
    wrapped.send(&call(1, "{}", &more)).await;
    assert_eq!(wrapped.next().await["result"]["isError"], true);
    assert_eq!(wrapped.api.bodies("begin"), [] as [Value; 0]);
}

#[tokio::test]
async fn an_outcome_that_is_not_taken_withholds_what_is_asked() {
    let mut wrapped = Wrapped::start();
    wrapped.api.set(|behaviour| behaviour.refuse_outcomes = true);
    wrapped.send(&call(1, &asking("", Some("s")), &json!({}))).await;
    assert_eq!(wrapped.next().await["error"]["code"], UNAVAILABLE);
    wrapped.api.set(|behaviour| behaviour.refuse_outcomes = false);
    wrapped.send(&call(2, "{}", &json!({"requestState": "s"}))).await;
    wrapped.next().await;
    assert_eq!(begin(&wrapped, 1).await.get("retry_of"), None);
}

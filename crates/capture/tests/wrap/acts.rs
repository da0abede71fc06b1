//! Acts that are no tool calls: decided, recorded and refused like calls, each in the form of its method.

use capture::mcp::{REFUSED, UNAVAILABLE};
use evidence::Digest;
use serde_json::{Value, json};

use crate::support::wrapped::Wrapped;

fn digest(text: &str) -> String {
    Digest::of(text.as_bytes()).to_string()
}

/// A request that the scripted server answers with these lines.
pub(crate) fn request(id: i64, method: &str, params: &Value, say: &[&str]) -> String {
    let mut params = params.clone();
    params["_meta"] = json!({"test/say": say});
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string()
}

/// A line that answers with this result.
pub(crate) fn result(text: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":$ID,"result":{text}}}"#)
}

#[tokio::test]
async fn every_act_of_a_client_is_decided_before_it_is_forwarded() {
    let mut wrapped = Wrapped::start();
    for (id, (method, params)) in [
        ("resources/read", json!({"uri": "file:///x"})),
        ("prompts/get", json!({"name": "p", "arguments": {"a": "b"}})),
        (
            "completion/complete",
            json!({"ref": {"type": "ref/prompt", "name": "p"}, "argument": {"name": "a", "value": ""}}),
        ),
        ("tasks/get", json!({"taskId": "nobody's"})),
        ("tasks/result", json!({"taskId": "nobody's"})),
        ("tasks/cancel", json!({"taskId": "nobody's"})),
        ("tasks/update", json!({"taskId": "nobody's", "inputResponses": {}})),
    ]
    .into_iter()
    .enumerate()
    {
        wrapped.api.set(|behaviour| behaviour.hold_begin = true);
        let sent = request(i64::try_from(id).unwrap(), method, &params, &[&result("{}")]);
        wrapped.send(&sent).await;
        let begin = wrapped.api.nth("begin", id).await;
        assert_eq!(wrapped.ping().await, [] as [Value; 0]);
        assert_eq!(wrapped.seen().len(), id);
        wrapped.api.set(|behaviour| behaviour.hold_begin = false);
        assert_eq!(wrapped.next().await, json!({"jsonrpc": "2.0", "id": id, "result": {}}));
        assert_eq!(wrapped.seen()[id], sent);

        assert_eq!(begin["operation"], method);
        assert_eq!(begin["tool"], format!("stdio:sample#{method}"));
        let mut args = params;
        args.as_object_mut().unwrap().remove("inputResponses");
        assert_eq!(serde_json::from_str::<Value>(begin["args"].as_str().unwrap()).unwrap(), args);
        assert_eq!(begin["frame_digest"], digest(&sent));
        let finish = wrapped.api.nth("finish", id).await;
        assert_eq!((&finish["act_id"], &finish["body"]["status"]), (&begin["act_id"], &json!("ok")));
    }
}

#[tokio::test]
async fn arguments_are_byte_exact_where_nothing_was_taken_out() {
    let mut wrapped = Wrapped::start();
    wrapped
        .send(r#"{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri" : "file:///x","n":1.0, "answer":"{}"}}"#)
        .await;
    wrapped.next().await;
    assert_eq!(wrapped.api.nth("begin", 0).await["args"], r#"{"uri" : "file:///x","n":1.0, "answer":"{}"}"#);
}

#[tokio::test]
async fn refusals_are_errors_that_name_reason_index_and_next_step() {
    let mut wrapped = Wrapped::start();
    wrapped.api.set(|behaviour| behaviour.denies = vec!["resources/read"]);
    wrapped.send(&request(1, "resources/read", &json!({"uri": "file:///x"}), &[])).await;
    let refused = wrapped.next().await;
    let index = wrapped.api.nth("decided", 0).await["index"].clone();
    assert_eq!(refused["error"]["code"], REFUSED);
    let message = refused["error"]["message"].as_str().unwrap();
    assert!(
        message.contains("refused by policy") && message.contains(&format!("`deeds authority @{index}`"))
    );

    // what does not say what it is about reaches no decision
    wrapped.send(&request(2, "resources/read", &json!({}), &[])).await;
    let refused = wrapped.next().await;
    assert_eq!(refused["error"]["code"], REFUSED);
    assert!(refused["error"]["message"].as_str().unwrap().contains("`uri`"), "{refused}");
    assert_eq!(wrapped.api.nth("observe", 0).await["payload"]["method"], "resources/read");
    wrapped.ping().await;
    assert_eq!((wrapped.seen(), wrapped.statuses()), (vec![], vec![]));
}

#[tokio::test]
async fn without_a_server_to_decide_the_error_says_unavailable() {
    let mut wrapped = Wrapped::start();
    wrapped.ping().await;
    wrapped.api.set(|behaviour| behaviour.lose_begins = 1);
    wrapped.send(&request(1, "prompts/get", &json!({"name": "p"}), &[])).await;
    assert_eq!(wrapped.next().await["error"]["code"], UNAVAILABLE);
    assert_eq!(wrapped.api.nth("finish", 0).await["body"]["status"], "not-forwarded");
    assert_eq!(wrapped.seen(), [] as [String; 0]);
}

#[tokio::test]
async fn is_error_counts_for_tools_alone_and_errors_of_the_server_are_refusals_by_it() {
    let mut wrapped = Wrapped::start();
    let error = r#"{"jsonrpc":"2.0","id":$ID,"error":{"code":-32602,"message":"no"}}"#;
    for (id, (method, params, line)) in [
        ("resources/read", json!({"uri": "file:///x"}), result(r#"{"contents":[],"isError":true}"#)),
        ("prompts/get", json!({"name": "p"}), error.to_owned()),
        ("tools/call", json!({"name": "t"}), result(r#"{"content":[],"isError":true}"#)),
    ]
    .into_iter()
    .enumerate()
    {
        wrapped.send(&request(i64::try_from(id).unwrap(), method, &params, &[&line])).await;
        assert_eq!(wrapped.next().await["id"], id);
    }
    assert_eq!(wrapped.statuses(), ["ok", "refused-by-target", "tool-error"]);
}

#[tokio::test]
async fn what_was_read_is_recorded_by_the_digest_of_its_bytes() {
    let mut wrapped = Wrapped::start();
    let contents = r#"{"contents":[{"uri":"file:///x","mimeType":"text/plain","text":"\u00fc"},{"uri":"file:///y","blob":"AAEC"}]}"#;
    wrapped.send(&request(1, "resources/read", &json!({"uri": "file:///x"}), &[&result(contents)])).await;
    wrapped.next().await;
    let outputs = wrapped.api.nth("finish", 0).await["body"]["outputs"].clone();
    assert_eq!(
        outputs,
        json!([
            {"uri": "file:///x", "digest": digest("ü"), "size": 2, "media_type": "text/plain"},
            {"uri": "file:///y", "digest": Digest::of(&[0, 1, 2]).to_string(), "size": 3},
        ])
    );
    let embedded = r#"{"content":[{"type":"resource","resource":{"uri":"x:1","text":"t"}}]}"#;
    wrapped.send(&request(2, "tools/call", &json!({"name": "t"}), &[&result(embedded)])).await;
    wrapped.next().await;
    let outputs = wrapped.api.nth("finish", 1).await["body"]["outputs"].clone();
    assert_eq!(outputs, json!([{"uri": "x:1", "digest": digest("t"), "size": 1}]));

    let many: Vec<Value> = (0..257).map(|n| json!({"uri": format!("u:{n}")})).collect();
    let many = json!({"contents": many}).to_string();
    wrapped.send(&request(3, "resources/read", &json!({"uri": "file:///x"}), &[&result(&many)])).await;
    wrapped.next().await;
    let body = wrapped.api.nth("finish", 2).await["body"].clone();
    assert_eq!(body["outputs"].as_array().unwrap().len(), 256);
    assert_eq!(body["detail"], "256 of its 257 artifacts are recorded");
}

#[tokio::test]
async fn definitions_of_resources_and_prompts_are_known_by_uri_and_name() {
    let mut wrapped = Wrapped::start();
    let (resource, prompt) = (r#"{"uri":"file:///x","name": "x"}"#, r#"{"name":"p" }"#);
    let lists = [("resources/list", "resources", resource), ("prompts/list", "prompts", prompt)];
    for (id, (method, list, definition)) in lists.into_iter().enumerate() {
        let line = result(&format!(r#"{{"{list}":[{definition}]}}"#));
        wrapped.send(&request(i64::try_from(id).unwrap(), method, &json!({}), &[&line])).await;
        assert_eq!(wrapped.next().await["id"], id);
    }
    for (n, (method, params, expected)) in [
        ("resources/read", json!({"uri": "file:///x"}), json!(digest(r#"{"name":"x","uri":"file:///x"}"#))),
        ("resources/read", json!({"uri": "p"}), Value::Null),
        ("prompts/get", json!({"name": "p"}), json!(digest(r#"{"name":"p"}"#))),
        ("tools/call", json!({"name": "p"}), Value::Null),
    ]
    .into_iter()
    .enumerate()
    {
        wrapped.send(&request(10, method, &params, &[&result("{}")])).await;
        wrapped.next().await;
        assert_eq!(wrapped.api.nth("begin", n).await["definition_digest"], expected, "{method}");
    }
}

#[tokio::test]
async fn what_passes_undecided_passes_in_both_eras() {
    let mut wrapped = Wrapped::start();
    for (id, method) in [
        "initialize",
        "server/discover",
        "logging/setLevel",
        "tools/list",
        "resources/list",
        "resources/templates/list",
        "resources/subscribe",
        "resources/unsubscribe",
        "prompts/list",
        "subscriptions/listen",
        "tasks/list",
    ]
    .into_iter()
    .enumerate()
    {
        let sent = request(i64::try_from(id).unwrap(), method, &json!({}), &[&result("{}")]);
        wrapped.send(&sent).await;
        assert_eq!(wrapped.next().await["id"], id, "{method}");
        assert_eq!(wrapped.seen().last(), Some(&sent));
    }
    assert_eq!(wrapped.api.bodies("begin"), [] as [Value; 0]);
    for method in ["initialized", "progress", "roots/list_changed", "tasks/status"] {
        let sent =
            json!({"jsonrpc": "2.0", "method": format!("notifications/{method}"), "params": {"taskId": "t"}});
        wrapped.send(&sent.to_string()).await;
        wrapped.ping().await;
        assert_eq!(wrapped.seen().last(), Some(&sent.to_string()));
    }
}

#[tokio::test]
async fn an_answer_that_passes_asks_nothing_of_the_client() {
    let mut wrapped = Wrapped::start();
    let asks = r#"{"tools":[],"inputRequests":{"k":{"method":"roots/list"}}}"#;
    for (id, text) in [(1, asks), (2, r#"{"resultType":"input_required","requestState":"s"}"#)] {
        wrapped.send(&request(id, "tools/list", &json!({}), &[&result(text)])).await;
        let refused = wrapped.next().await;
        assert_eq!((&refused["id"], &refused["error"]["code"]), (&json!(id), &json!(REFUSED)));
    }
    assert_eq!(wrapped.api.nth("observe", 1).await["payload"]["from"], "server");
}

#[tokio::test]
async fn progress_is_counted_for_the_act_with_its_token() {
    let mut wrapped = Wrapped::start();
    let progress = |token: &str, n: u8| {
        format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":{token},"progress":{n}}}}}"#
        )
    };
    let lines = [progress("\"a\"", 1), progress("\"b\"", 1), progress("\"a\"", 2), result("{}")];
    let params = json!({"name": "t", "_meta": {"progressToken": "a", "test/say": lines}});
    wrapped
        .send(&json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).to_string())
        .await;
    for line in &lines[..3] {
        assert_eq!(wrapped.line().await, *line);
    }
    wrapped.next().await;
    let list = format!("{}\n{}\n", digest(&lines[0]), digest(&lines[2]));
    let parts = wrapped.api.nth("finish", 0).await["body"]["parts"].clone();
    assert_eq!(parts, json!({"count": 2, "digest": digest(&list)}));

    // the token is free again, and what is told by nobody's token is counted for nobody
    wrapped
        .send(&request(2, "tools/call", &json!({"name": "t"}), &[&progress("\"a\"", 3), &result("{}")]))
        .await;
    wrapped.next().await;
    wrapped.next().await;
    assert_eq!(wrapped.api.nth("finish", 1).await["body"].get("parts"), None);
}

#[tokio::test]
async fn an_answer_with_look_alikes_is_not_relayed() {
    let mut wrapped = Wrapped::start();
    let odd = r#"{"content":[],"InputRequests":{"k":{"method":"roots/list"}}}"#;
    wrapped.send(&request(1, "tools/call", &json!({"name": "t"}), &[&result(odd)])).await;
    let answer = wrapped.next().await;
    assert_eq!(answer["error"]["code"], REFUSED);
    assert!(answer["error"]["message"].as_str().unwrap().contains("`InputRequests`"), "{answer}");
    assert_eq!(wrapped.statuses(), ["unknown"]);
}

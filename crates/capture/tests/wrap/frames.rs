//! Frames that are no decided calls: what passes, what is refused or dropped, and that the latter is recorded.

use capture::limits::{DROPPING_MAX, FRAME_MAX, SERVER_OPEN_MAX};
use capture::mcp::REFUSED;
use evidence::Digest;
use serde_json::{Value, json};

use crate::support::wrapped::Wrapped;

/// The one frame observation so far, checked for its source.
async fn observed(wrapped: &Wrapped, n: usize, from: &str) -> Value {
    let observed = wrapped.api.nth("observe", n).await;
    assert_eq!(observed["subtype"], "frame");
    assert_eq!(observed["payload"]["from"], from);
    assert_eq!(observed["refusal"], true);
    observed
}

#[tokio::test]
async fn lifecycle_lists_and_known_notifications_pass_byte_for_byte() {
    let mut wrapped = Wrapped::start();
    let frames = [
        r#"{ "jsonrpc":"2.0","id":1,"method":"initialize","params":{"x": 1.0}}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/initialized" }"#,
        r#"{"jsonrpc":"2.0","method":"notifications/roots/list_changed","params":{}}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1, "progress":2}}"#,
        r#"{"id":2,"jsonrpc":"2.0","method":"tools/list","params":{"_meta":{"x":1}}}"#,
    ];
    for frame in frames {
        wrapped.send(frame).await;
    }
    assert_eq!(wrapped.next().await["id"], 1);
    assert_eq!(wrapped.next().await["id"], 2);
    assert_eq!(wrapped.seen(), frames);
}

#[tokio::test]
async fn other_methods_are_refused_and_recorded() {
    let mut wrapped = Wrapped::start();
    let frame = r#"{"jsonrpc":"2.0","id":"r","method":"resources/write","params":{"uri":"file:///x"}}"#;
    wrapped.send(frame).await;
    let refused = wrapped.next().await;
    assert_eq!((&refused["id"], &refused["error"]["code"]), (&json!("r"), &json!(REFUSED)));
    let message = refused["error"]["message"].as_str().unwrap();
    assert!(message.contains("`resources/write`") && message.contains("`deeds entry @11`"), "{message}");
    let observed = observed(&wrapped, 0, "client").await;
    assert_eq!(observed["payload"]["method"], "resources/write");
    assert_eq!(observed["frame_digest"], Digest::of(frame.as_bytes()).to_string());

    wrapped.send(r#"{"jsonrpc":"2.0","method":"notifications/unheard_of"}"#).await;
    let dropped = wrapped.api.nth("observe", 1).await;
    assert_eq!(dropped["payload"]["method"], "notifications/unheard_of");
    assert_eq!(wrapped.ping().await, [] as [Value; 0]);
    assert_eq!(wrapped.seen(), [] as [String; 0]);
}

#[tokio::test]
async fn a_tool_name_outside_the_grammar_is_refused_like_a_call() {
    let mut wrapped = Wrapped::start();
    wrapped.call(1, "resources/read", &json!({})).await;
    let refused = wrapped.next().await;
    assert_eq!(refused["result"]["isError"], true);
    assert!(refused["result"]["content"][0]["text"].as_str().unwrap().contains("@11"));
    observed(&wrapped, 0, "client").await;
    wrapped.ping().await;
    assert_eq!(wrapped.seen(), [] as [String; 0]);
    assert_eq!(wrapped.api.bodies("begin"), [] as [Value; 0]);
}

#[tokio::test]
async fn what_is_no_frame_is_answered_without_an_id_and_recorded() {
    let mut wrapped = Wrapped::start();
    for (n, (line, code)) in [
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping""#, -32_700),
        (r#"{"jsonrpc":"2.0","id":1,"id":1,"method":"ping"}"#, -32_700),
        (r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#, -32_600),
        (r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, -32_600),
    ]
    .into_iter()
    .enumerate()
    {
        wrapped.send(line).await;
        let error = wrapped.next().await;
        assert_eq!((&error["id"], &error["error"]["code"]), (&Value::Null, &json!(code)), "{line}");
        let observed = observed(&wrapped, n, "client").await;
        assert_eq!(observed["frame_digest"], Digest::of(line.as_bytes()).to_string());
    }
    wrapped.ping().await;
    assert_eq!(wrapped.seen(), [] as [String; 0]);
}

#[tokio::test]
async fn a_frame_over_the_limit_is_refused_skipped_and_recorded() {
    let mut wrapped = Wrapped::start();
    wrapped.send(&"x".repeat(FRAME_MAX + 1)).await;
    let error = wrapped.next().await;
    assert_eq!((&error["id"], &error["error"]["code"]), (&Value::Null, &json!(-32_600)));
    let observed = observed(&wrapped, 0, "client").await;
    assert!(observed["payload"]["why"].as_str().unwrap().contains("longer than"));
    assert_eq!(wrapped.ping().await, [] as [Value; 0]);
}

#[tokio::test]
async fn a_server_frame_over_the_limit_is_dropped_and_its_call_stays_open() {
    let mut wrapped = Wrapped::start();
    wrapped.call(1, "big", &json!({"bytes": FRAME_MAX + 1})).await;
    assert_eq!(wrapped.next().await["id"], 1);
    observed(&wrapped, 0, "server").await;
    assert_eq!(wrapped.statuses(), ["ok"]);
}

#[tokio::test]
async fn a_second_request_with_an_open_id_is_refused_and_the_first_lives() {
    let mut wrapped = Wrapped::start();
    wrapped.api.set(|behaviour| behaviour.hold_begin = true);
    wrapped.call(1, "echo", &json!({"first": true})).await;
    wrapped.api.nth("begin", 0).await;
    wrapped.call(1, "echo", &json!({"first": false})).await;
    let refused = wrapped.next().await;
    // with the id, the client would take it for the answer to the first
    assert_eq!((&refused["id"], &refused["error"]["code"]), (&Value::Null, &json!(-32_600)));
    assert!(refused["error"]["message"].as_str().unwrap().contains("id 1 is open already"));
    observed(&wrapped, 0, "client").await;
    wrapped.send(r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#).await;
    assert_eq!(wrapped.next().await["id"], Value::Null);
    wrapped.api.set(|behaviour| behaviour.hold_begin = false);
    let answer = wrapped.next().await;
    assert_eq!((&answer["id"], answer["result"].to_string().contains("true")), (&json!(1), true));
    assert_eq!(wrapped.seen().len(), 1);
}

#[tokio::test]
async fn what_the_server_says_unasked_is_dropped_and_recorded() {
    let mut wrapped = Wrapped::start();
    let lines = [
        r#"{"jsonrpc":"2.0","id":77,"result":{}}"#,
        r#"{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":"x"}}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/unheard_of"}"#,
        "Server running on stdio",
        r#"{"jsonrpc":"2.0","id":"s","method":"tools/call","params":{}}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{}}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"passes"}}"#,
    ];
    wrapped.call(1, "emit", &json!({ "lines": lines })).await;
    assert_eq!(wrapped.line().await, lines[6]);
    assert_eq!(wrapped.next().await["id"], 1);
    for n in 0..6 {
        observed(&wrapped, n, "server").await;
    }
    let mut recorded: Vec<_> = wrapped
        .api
        .bodies("observe")
        .iter()
        .map(|seen| seen["frame_digest"].as_str().unwrap().to_owned())
        .collect();
    let mut expected: Vec<_> =
        lines[..6].iter().map(|line| Digest::of(line.as_bytes()).to_string()).collect();
    recorded.sort();
    expected.sort();
    assert_eq!(recorded, expected);
    // the request was answered in the client's place
    wrapped.ping().await;
    let answer: Value = serde_json::from_str(&wrapped.seen()[1]).unwrap();
    assert_eq!((&answer["id"], &answer["error"]["code"]), (&json!("s"), &json!(-32_601)));
}

#[tokio::test]
async fn a_response_that_comes_before_its_call_was_forwarded_answers_nothing() {
    let mut wrapped = Wrapped::start();
    let forged = r#"{"jsonrpc":"2.0","id":2,"result":{"content":[]}}"#;
    wrapped.api.set(|behaviour| behaviour.hold_begin = true);
    wrapped.call(2, "echo", &json!({})).await;
    wrapped.api.nth("begin", 0).await;
    // the server guesses the id of the call that is still being decided
    wrapped
        .send(&format!(
            r#"{{"jsonrpc":"2.0","id":3,"method":"tools/list","params":{{"say":{}}}}}"#,
            json!(forged)
        ))
        .await;
    assert_eq!(wrapped.next().await["id"], 3);
    let observed = observed(&wrapped, 0, "server").await;
    assert_eq!(observed["frame_digest"], Digest::of(forged.as_bytes()).to_string());
    wrapped.api.set(|behaviour| behaviour.hold_begin = false);
    let answer = wrapped.line().await;
    assert!(answer.contains("text") && answer != forged, "{answer}");
}

#[tokio::test]
async fn a_ping_of_the_server_is_answered_by_the_client_once() {
    let mut wrapped = Wrapped::start();
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    wrapped.call(1, "emit", &json!({ "lines": [ping] })).await;
    assert_eq!(wrapped.line().await, ping);
    assert_eq!(wrapped.next().await["id"], 1);
    let pong = r#"{"jsonrpc":"2.0", "id":1,"result":{}}"#;
    wrapped.send(pong).await;
    wrapped.send(pong).await;
    observed(&wrapped, 0, "client").await;
    wrapped.ping().await;
    assert_eq!(wrapped.seen().iter().filter(|line| *line == pong).count(), 1);
}

#[tokio::test]
async fn pings_of_the_server_are_limited_in_number() {
    let mut wrapped = Wrapped::start();
    let pings: Vec<String> = (0..=SERVER_OPEN_MAX)
        .map(|id| json!({"jsonrpc": "2.0", "id": format!("p{id}"), "method": "ping"}).to_string())
        .collect();
    wrapped.call(1, "emit", &json!({ "lines": pings })).await;
    for ping in &pings[..SERVER_OPEN_MAX] {
        assert_eq!(wrapped.line().await, *ping);
    }
    assert_eq!(wrapped.next().await["id"], 1);
    let observed = observed(&wrapped, 0, "server").await;
    assert_eq!(observed["frame_digest"], Digest::of(pings[SERVER_OPEN_MAX].as_bytes()).to_string());
}

#[tokio::test]
async fn dropped_frames_that_come_too_fast_are_counted_and_told_together() {
    let mut wrapped = Wrapped::start();
    let lines = vec!["noise"; DROPPING_MAX + 3];
    wrapped.call(1, "emit", &json!({ "lines": lines })).await;
    assert_eq!(wrapped.next().await["id"], 1);
    wrapped.api.nth("observe", DROPPING_MAX - 1).await;
    wrapped.hang_up();
    wrapped.ended().await;
    let observed = wrapped.api.bodies("observe");
    assert_eq!(observed.len(), DROPPING_MAX + 1);
    let together = observed.last().unwrap();
    let list = format!("{}\n", Digest::of(b"noise")).repeat(3);
    assert_eq!((&together["count"], &together["payload"]["from"]), (&json!(3), &json!("server")));
    assert_eq!(together["payload"]["list_digest"], Digest::of(list.as_bytes()).to_string());
    assert_eq!(wrapped.api.nth("end", 0).await["gaps"], 0);
}

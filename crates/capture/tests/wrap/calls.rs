//! One tool call: decided before it is forwarded, recorded before its result is relayed.

use capture::limits::DECIDING_MAX;
use evidence::Digest;
use serde_json::{Value, json};

use crate::support::wrapped::Wrapped;

fn digest(text: &str) -> String {
    Digest::of(text.as_bytes()).to_string()
}

#[tokio::test]
async fn the_server_sees_a_call_only_after_its_decision() {
    let mut wrapped = Wrapped::start();
    wrapped.api.set(|behaviour| behaviour.hold_begin = true);
    wrapped.call(1, "echo", &json!({"a": 1})).await;
    wrapped.api.nth("begin", 0).await;
    // a pending decision holds up nothing else, and the server has not seen the call
    assert_eq!(wrapped.ping().await, [] as [Value; 0]);
    assert_eq!(wrapped.seen(), [] as [String; 0]);
    wrapped.api.set(|behaviour| behaviour.hold_begin = false);
    assert_eq!(wrapped.next().await["id"], 1);
    assert_eq!(wrapped.seen().len(), 1);
}

#[tokio::test]
async fn the_caller_sees_a_result_only_after_its_outcome_is_enqueued() {
    let mut wrapped = Wrapped::start();
    wrapped.api.set(|behaviour| behaviour.hold_enqueued = true);
    wrapped.call(1, "echo", &json!({})).await;
    wrapped.api.nth("finish", 0).await;
    assert_eq!(wrapped.ping().await, [] as [Value; 0]);
    // the receipt is not waited for
    wrapped.api.set(|behaviour| (behaviour.hold_enqueued, behaviour.hold_receipt) = (false, true));
    assert_eq!(wrapped.next().await["id"], 1);
    assert_eq!(wrapped.api.bodies("receipt"), [] as [Value; 0]);
    wrapped.api.set(|behaviour| behaviour.hold_receipt = false);
    wrapped.api.nth("receipt", 0).await;
}

#[tokio::test]
async fn an_allowed_call_is_byte_faithful_and_recorded_in_full() {
    let mut wrapped = Wrapped::start();
    wrapped
        .send(r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"clientInfo":{"name":"c","version":"1"}}}"#)
        .await;
    wrapped.next().await;
    let sent = r#"{"params" : {"arguments":{"n": 1.0, "s":"\u00fc"},"name":"echo", "_meta":{"progressToken":2}},"id":"x-1", "method":"tools/call","jsonrpc":"2.0"}"#;
    wrapped.send(sent).await;
    let got = wrapped.line().await;
    assert!(got.starts_with(r#"{"jsonrpc": "2.0","id":"x-1" ,"result":"#), "{got}");
    assert_eq!(wrapped.seen()[1], sent);

    let begin = wrapped.api.nth("begin", 0).await;
    assert_eq!(begin["tool"], "stdio:sample#echo");
    assert_eq!(begin["operation"], "tools/call");
    assert_eq!(begin["stream"], 2);
    assert_eq!(begin["args"], r#"{"n": 1.0, "s":"\u00fc"}"#);
    assert_eq!(begin["frame_digest"], digest(sent).as_str());
    assert_eq!(begin["sent_frame_digest"], Value::Null);
    assert_eq!(begin["definition_digest"], Value::Null);
    assert_eq!(begin["root_dir"], "/srv");
    let correlators =
        json!({"client": {"name": "c", "version": "1"}, "meta": {"progressToken": 2}, "rpc_id": "x-1"});
    assert_eq!(begin["correlators"], correlators);

    let finish = wrapped.api.nth("finish", 0).await;
    let result =
        got.strip_prefix(r#"{"jsonrpc": "2.0","id":"x-1" ,"result":"#).unwrap().strip_suffix('}').unwrap();
    assert_eq!(finish["act_id"], begin["act_id"]);
    let body = &finish["body"];
    assert_eq!((body["status"].as_str(), body["result"].as_str()), (Some("ok"), Some(result)));
    assert_eq!(body["result_digest"], digest(result).as_str());
    assert_eq!(body["result_size"], result.len());
    assert_eq!(body["frame_digest"], digest(&got).as_str());
    assert_eq!(body["duration_us"], 10);
}

#[tokio::test]
async fn definitions_are_known_from_the_list_that_was_relayed() {
    let mut wrapped = Wrapped::start();
    wrapped.send(r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#).await;
    let list = wrapped.line().await;
    let definition = r#"{"name": "echo", "inputSchema":{"type":"object"}}"#;
    assert!(list.contains(definition), "{list}");
    wrapped.call(2, "echo", &json!({})).await;
    let canonical = r#"{"inputSchema":{"type":"object"},"name":"echo"}"#;
    assert_eq!(wrapped.api.nth("begin", 0).await["definition_digest"], digest(canonical).as_str());
    wrapped.call(3, "unlisted", &json!({})).await;
    assert_eq!(wrapped.api.nth("begin", 1).await["definition_digest"], Value::Null);
}

#[tokio::test]
async fn our_meta_keys_never_reach_the_server() {
    let mut wrapped = Wrapped::start();
    let sent = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","_meta":{"dev.deeds/note":{"ref":"x"},"a":1}}}"#;
    wrapped.send(sent).await;
    wrapped.next().await;
    let forwarded =
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","_meta":{"a":1}}}"#;
    assert_eq!(wrapped.seen(), [forwarded]);
    let begin = wrapped.api.nth("begin", 0).await;
    assert_eq!(begin["frame_digest"], digest(sent).as_str());
    assert_eq!(begin["sent_frame_digest"], digest(forwarded).as_str());
    // nor with what passes undecided
    for (sent, forwarded) in [
        (
            r#"{"jsonrpc":"2.0","id":2,"method":"tools/list","params":{"_meta":{"dev.deeds/delegation":{"pop":"p"}}}}"#,
            r#"{"jsonrpc":"2.0","id":2,"method":"tools/list","params":{"_meta":{}}}"#,
        ),
        (
            r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"_meta":{"dev.deeds/x":1, "b":2},"p":1}}"#,
            r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"_meta":{"b":2},"p":1}}"#,
        ),
    ] {
        wrapped.send(sent).await;
        wrapped.ping().await;
        assert_eq!(wrapped.seen().last().map(String::as_str), Some(forwarded));
    }
}

#[tokio::test]
async fn a_refused_call_gets_a_tool_result_that_names_reason_index_and_next_step() {
    let mut wrapped = Wrapped::start();
    wrapped.call(1, "denied", &json!({})).await;
    let refused = wrapped.next().await;
    let index = wrapped.api.nth("decided", 0).await["index"].clone();
    let text = refused["result"]["content"][0]["text"].as_str().unwrap();
    assert_eq!(refused["result"]["isError"], true);
    assert_eq!(refused["result"].get("resultType"), None);
    assert!(text.contains("refused by the delegation (step scope): not in the scope. "), "{text}");
    assert!(text.contains(&format!("`deeds authority @{index}`")), "{text}");

    let meta = json!({"io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "modern"}});
    let params = json!({"name": "denied", "_meta": meta});
    wrapped
        .send(&json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": params}).to_string())
        .await;
    assert_eq!(wrapped.next().await["result"]["resultType"], "complete");
    assert_eq!(wrapped.api.nth("begin", 1).await["correlators"]["client"], json!({"name": "modern"}));

    // refusals have no outcome, and the server saw none of it
    wrapped.ping().await;
    assert_eq!((wrapped.seen(), wrapped.statuses()), (vec![], vec![]));
}

#[tokio::test]
async fn each_kind_of_answer_has_its_status() {
    let mut wrapped = Wrapped::start();
    for (id, tool) in [(1, "echo"), (2, "fail"), (3, "refuse"), (4, "ask_input")] {
        wrapped.call(id, tool, &json!({})).await;
        assert_eq!(wrapped.next().await["id"], id);
    }
    assert_eq!(wrapped.statuses(), ["ok", "tool-error", "refused-by-target", "input-required"]);
}

#[tokio::test]
async fn every_proof_has_its_own_counter_and_a_renewal_starts_a_fresh_key() {
    let mut wrapped = Wrapped::start();
    for id in 0..3 {
        wrapped.call(id, "echo", &json!({"id": id})).await;
        wrapped.next().await;
    }
    assert_eq!(wrapped.api.bodies("renew"), [] as [Value; 0]);
    wrapped.hang_up();
    wrapped.ended().await;

    // a delegation that ends within a minute of the hand clock is renewed before it is used
    let mut wrapped = Wrapped::start();
    wrapped.api.set(|behaviour| behaviour.exp = 1_800_000_060);
    for id in 0..2 {
        wrapped.call(id, "echo", &json!({})).await;
        wrapped.next().await;
    }
    let first = wrapped.api.nth("open", 0).await["key"].clone();
    let keys: Vec<Value> = wrapped.api.bodies("renew").iter().map(|renewal| renewal["key"].clone()).collect();
    assert_eq!(keys.len(), 2);
    assert!(!keys.contains(&first));
    let delegations: Vec<_> =
        wrapped.api.bodies("begin").iter().map(|begin| begin["delegation"].clone()).collect();
    assert_ne!(delegations[0], delegations[1]);
}

#[tokio::test]
async fn a_cancellation_that_overtakes_the_decision_holds_both_back() {
    let mut wrapped = Wrapped::start();
    wrapped.api.set(|behaviour| behaviour.hold_begin = true);
    wrapped.call(1, "echo", &json!({})).await;
    wrapped.api.nth("begin", 0).await;
    wrapped.cancel(1).await;
    wrapped.ping().await;
    wrapped.api.set(|behaviour| behaviour.hold_begin = false);
    let finish = wrapped.api.nth("finish", 0).await;
    assert_eq!(finish["body"]["status"], "not-forwarded");
    assert_eq!(finish["body"]["detail"], "cancelled before it was forwarded");
    // the server saw neither the call nor its cancellation, and the client gets no reply
    assert_eq!(wrapped.ping().await, [] as [Value; 0]);
    assert_eq!(wrapped.seen(), [] as [String; 0]);
    // the id is free again
    wrapped.call(1, "echo", &json!({})).await;
    assert_eq!(wrapped.next().await["id"], 1);
}

#[tokio::test]
async fn a_refusal_of_a_cancelled_call_is_not_told() {
    let mut wrapped = Wrapped::start();
    wrapped.api.set(|behaviour| behaviour.hold_begin = true);
    wrapped.call(1, "denied", &json!({})).await;
    wrapped.api.nth("begin", 0).await;
    wrapped.cancel(1).await;
    wrapped.ping().await;
    wrapped.api.set(|behaviour| behaviour.hold_begin = false);
    wrapped.api.nth("decided", 0).await;
    wrapped.call(2, "echo", &json!({})).await;
    assert_eq!(wrapped.next().await["id"], 2);
    assert_eq!(wrapped.ping().await, [] as [Value; 0]);
}

#[tokio::test]
async fn a_later_cancellation_is_forwarded_and_what_comes_of_it_is_recorded() {
    let mut wrapped = Wrapped::start();
    for (id, tool) in [(1, "error_on_cancel"), (2, "result_on_cancel")] {
        wrapped.call(id, tool, &json!({})).await;
        wrapped.api.nth("decided", usize::try_from(id).unwrap() - 1).await;
        // the call was queued before this ping, if it was queued at all; its cancellation follows it
        while !wrapped.seen().iter().any(|line| line.contains(tool)) {
            wrapped.ping().await;
        }
        wrapped.cancel(id).await;
        assert_eq!(wrapped.next().await["id"], id);
    }
    wrapped.call(3, "hang", &json!({})).await;
    while !wrapped.seen().iter().any(|line| line.contains("hang")) {
        wrapped.ping().await;
    }
    wrapped.cancel(3).await;
    wrapped.hang_up();
    wrapped.ended().await;
    assert_eq!(wrapped.seen().iter().filter(|line| line.contains("notifications/cancelled")).count(), 3);
    assert_eq!(wrapped.statuses(), ["cancelled", "ok", "cancelled"]);
}

#[tokio::test]
async fn only_so_many_decisions_are_asked_for_at_one_time() {
    let mut wrapped = Wrapped::start();
    wrapped.api.set(|behaviour| behaviour.hold_begin = true);
    for id in 0..=i64::try_from(DECIDING_MAX).unwrap() {
        wrapped.call(id, "echo", &json!({})).await;
    }
    wrapped.api.nth("begin", DECIDING_MAX - 1).await;
    wrapped.ping().await;
    assert_eq!(wrapped.api.bodies("begin").len(), DECIDING_MAX);
    wrapped.api.set(|behaviour| behaviour.hold_begin = false);
    for _ in 0..=DECIDING_MAX {
        wrapped.next().await;
    }
    assert_eq!(wrapped.api.bodies("begin").len(), DECIDING_MAX + 1);
}

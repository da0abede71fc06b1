//! Batches, which the revision 2025-03-26 alone has.

use capture::limits::BATCH_MAX;
use evidence::Digest;
use serde_json::{Value, json};

use super::acts::{request, result};
use crate::support::wrapped::Wrapped;

async fn speaking(version: &str) -> Wrapped {
    let mut wrapped = Wrapped::start();
    let line = result(&json!({"protocolVersion": version}).to_string());
    wrapped.send(&request(1, "initialize", &json!({}), &[&line])).await;
    wrapped.next().await;
    wrapped
}

#[tokio::test]
async fn each_message_of_a_batch_is_a_frame_of_its_own() {
    let mut wrapped = speaking("2025-03-26").await;
    let elements = [
        request(2, "tools/call", &json!({"name": "t"}), &[&result("{}")]),
        r#"{"jsonrpc":"2.0","method":"notifications/initialized" }"#.to_owned(),
        request(3, "resources/read", &json!({"uri": "x"}), &[&result("{}")]),
        request(4, "tools/list", &json!({}), &[&result("{}")]),
        r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#.to_owned(),
    ];
    let batch = format!("[{}]", elements.join(" , "));
    wrapped.send(&batch).await;
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(wrapped.next().await["id"].as_i64().unwrap_or(-1));
    }
    ids.sort_unstable();
    assert_eq!(ids, [-1, 2, 3, 4]);
    let mut seen = wrapped.seen()[1..].to_vec();
    let mut expected = elements[..4].to_vec();
    seen.sort();
    expected.sort();
    assert_eq!(seen, expected);
    let mut batches: Vec<(String, Value)> = wrapped
        .api
        .bodies("begin")
        .iter()
        .map(|begin| (begin["operation"].as_str().unwrap().to_owned(), begin["batch"].clone()))
        .collect();
    batches.sort_by(|one, other| other.0.cmp(&one.0));
    let digest = Digest::of(batch.as_bytes()).to_string();
    let place = |position: u64| json!({"digest": digest, "position": position, "count": 5});
    assert_eq!(batches, [("tools/call".to_owned(), place(0)), ("resources/read".to_owned(), place(2))]);
}

#[tokio::test]
async fn each_message_of_a_batch_of_the_server_is_a_frame_of_its_own() {
    let mut wrapped = speaking("2025-03-26").await;
    let told = r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"data": "x"}}"#;
    let asked = r#"{"jsonrpc":"2.0","id":"s","method":"roots/list"}"#;
    let batch = format!("[{told},{asked},{},7]", result("{}"));
    wrapped.send(&request(2, "tools/call", &json!({"name": "t"}), &[&batch])).await;
    assert_eq!(wrapped.line().await, told);
    assert_eq!(wrapped.next().await, json!({"jsonrpc": "2.0", "id": 2, "result": {}}));
    let begin = wrapped.api.nth("begin", 1).await;
    let digest = Digest::of(batch.replace("$ID", "2").as_bytes()).to_string();
    assert_eq!(begin["tool"], "stdio:sample#roots/list");
    assert_eq!(begin["batch"], json!({"digest": digest, "position": 1, "count": 4}));
    assert_eq!(wrapped.api.nth("observe", 0).await["payload"]["from"], "server");
    assert_eq!(wrapped.statuses(), ["ok"]);
}

#[tokio::test]
async fn other_revisions_have_none_and_large_ones_are_refused_whole() {
    let element = request(2, "tools/call", &json!({"name": "t"}), &[&result("{}")]);
    let mut newer = speaking("2025-06-18").await;
    newer.send(&format!("[{element}]")).await;
    assert_eq!(newer.next().await["error"]["code"], -32_600);
    assert_eq!((newer.api.bodies("begin").len(), newer.api.bodies("observe").len()), (0, 1));

    let mut wrapped = speaking("2025-03-26").await;
    let pings = |count: usize| {
        let pings: Vec<String> = (0..count)
            .map(|n| json!({"jsonrpc": "2.0", "id": format!("p{n}"), "method": "ping"}).to_string())
            .collect();
        format!("[{}]", pings.join(","))
    };
    wrapped.send(&pings(BATCH_MAX)).await;
    for _ in 0..BATCH_MAX {
        assert_eq!(wrapped.next().await["result"], json!({}));
    }
    for refused in [pings(BATCH_MAX + 1), "[]".to_owned()] {
        wrapped.send(&refused).await;
        assert_eq!(wrapped.next().await["error"]["code"], -32_600);
    }
    assert_eq!(wrapped.api.bodies("observe").len(), 2);
}

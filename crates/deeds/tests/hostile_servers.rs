//! A hostile MCP server behind the real program: each row of the table in `docs/mcp.md` happens as it says, is in the
//! log, and a second wrapped server of the same client notices nothing. The hostile server is
//! `peers/hostile_server.py`; `scripts/peers` installs a Python for it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at what it did not expect"
)]
#![allow(clippy::indexing_slicing, reason = "a test stops at what it did not expect")]
#![allow(clippy::disallowed_methods, reason = "the test measures how long others have to wait")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use capture::mcp::{REFUSED, UNAVAILABLE};
use serde_json::{Value, json};
use support::{Data, Mcp, PYTHON, peer, root};

/// JSON-RPC's own.
const NO_SUCH_METHOD: i64 = -32_601;

/// Calls of the second server that have to succeed while the first one does its worst.
const CALLS_BESIDE: usize = 20;
/// How long one of them may take: the log's disk is shared, and so is the machine, but nothing waits for the other.
const CALL_BESIDE_MAX: Duration = Duration::from_secs(5);
/// Half a minute without a byte, and some time to record it.
const HALF_A_FRAME_MAX: Duration = Duration::from_mins(1);

/// The hostile server behind `deeds wrap`; nothing where Python is not installed.
fn hostile(data: &Data) -> Option<Mcp> {
    let python = peer(PYTHON)?;
    let mut command = data.command();
    command.args(["wrap", "--name", "hostile", "--"]).arg(python).arg(root().join("peers/hostile_server.py"));
    Some(Mcp::start(&mut command))
}

/// A second wrapped server, called all the time until told to stop.
struct Beside {
    stop: Arc<AtomicBool>,
    calls: JoinHandle<usize>,
}

impl Beside {
    fn start(data: &Data) -> Self {
        let mut edr = data.edr(&[]);
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let calls = std::thread::spawn(move || {
            let mut calls = 0;
            while calls < CALLS_BESIDE || !told.load(Ordering::Relaxed) {
                let began = Instant::now();
                let done = edr.call("isolate_host", &json!({"host": format!("ws-{calls}")}));
                assert!(done.is_ok(), "call {calls} beside the hostile server: {done:?}");
                assert!(began.elapsed() < CALL_BESIDE_MAX, "call {calls} took {:?}", began.elapsed());
                calls += 1;
            }
            edr.close();
            calls
        });
        Self { stop, calls }
    }

    fn end(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        self.calls.join().unwrap()
    }
}

/// What the text of a call's result says: the frame that the hostile server got.
fn got(answer: &Value) -> Value {
    let text = answer
        .pointer("/result/content/0/text")
        .and_then(Value::as_str)
        .unwrap_or_else(|| panic!("{answer}"));
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn call(mcp: &mut Mcp, tool: &str) -> Value {
    mcp.request("tools/call", &json!({"name": tool, "arguments": {}})).expect("an answer")
}

/// Acts of the hostile server, by tool URI, oldest first.
fn acts(data: &Data, tool: &str) -> Vec<Value> {
    let did = data.json(&["did", "--limit", "1000"]);
    let uri = format!("stdio:hostile#{tool}");
    let mut rows = did["actions"].as_array().unwrap().clone();
    rows.retain(|row| row["tool"]["value"] == uri.as_str());
    rows.reverse();
    rows
}

/// Opened fields of the entries about frames, newest first.
fn observed(data: &Data, subtype: &str) -> Vec<Value> {
    let size = data.json(&["status"])["size"].as_u64().unwrap();
    let field = |entry: &Value, name: &str| -> Value {
        let fields = entry["fields"].as_array().cloned().unwrap_or_default();
        fields
            .into_iter()
            .find(|field| field["name"] == name)
            .map(|field| field["value"].clone())
            .unwrap_or_default()
    };
    let entries = (0..size).rev().map(|index| data.json(&["entry", &format!("@{index}")]));
    let about = entries.filter(|entry| entry["kind"] == "observed" && field(entry, "subtype") == subtype);
    about
        .map(|entry| {
            json!({
                "payload": field(&entry, "payload"), "count": field(&entry, "count"),
                "frame_digest": field(&entry, "frame_digest"),
            })
        })
        .collect()
}

#[test]
fn what_a_server_asks_for_is_refused_recorded_and_harms_nobody() {
    let data = Data::new();
    let Some(mut mcp) = hostile(&data) else { return };
    let beside = Beside::start(&data);

    let sampling = got(&call(&mut mcp, "sampling"));
    assert_eq!((&sampling["id"], &sampling["error"]["code"]), (&json!("asked-by-server"), &json!(REFUSED)));
    let unknown = got(&call(&mut mcp, "unknown_method"));
    assert_eq!(
        (&unknown["id"], &unknown["error"]["code"]),
        (&json!("asked-by-server"), &json!(NO_SUCH_METHOD))
    );
    let unasked = call(&mut mcp, "unasked_answer");
    assert_eq!(unasked["result"]["content"][0]["text"], "sent", "{unasked}");
    mcp.close();
    assert!(beside.end() >= CALLS_BESIDE);

    let denied = acts(&data, "sampling/createMessage");
    assert_eq!(denied.len(), 1, "{denied:?}");
    assert_eq!(denied[0]["verdict"]["value"], "deny", "{}", denied[0]);
    let frames: Vec<String> = observed(&data, "frame").iter().map(Value::to_string).collect();
    assert_eq!(frames.len(), 2, "{frames:?}");
    assert!(frames[1].contains("files/delete"), "{frames:?}");
    assert!(frames[0].contains("a response to a request that is not open"), "{frames:?}");
}

#[test]
fn ten_thousand_notifications_are_relayed_or_counted() {
    let data = Data::new();
    let Some(mut mcp) = hostile(&data) else { return };
    let beside = Beside::start(&data);
    // the client reads them all: they come before the answer
    assert_eq!(call(&mut mcp, "known_notifications")["result"]["content"][0]["text"], "sent");
    assert_eq!(mcp.passed("notifications/message"), 10_000);
    assert_eq!(call(&mut mcp, "unknown_notifications")["result"]["content"][0]["text"], "sent");
    assert_eq!(mcp.passed("notifications/noise"), 0);
    mcp.close();
    assert!(beside.end() >= CALLS_BESIDE);

    let traffic = observed(&data, "traffic");
    let of_server: Vec<_> =
        traffic.iter().filter_map(|one| one["payload"].pointer("/server/notifications~1message")).collect();
    assert_eq!(of_server, [&json!(10_000)], "{traffic:?}");
    // told one by one, told together by the wrap, and counted by the log where even that was too fast
    let count = |one: &Value| one["count"].as_u64().unwrap_or(1);
    let dropped = [observed(&data, "frame"), observed(&data, "refusals")].concat();
    assert_eq!(dropped.iter().map(count).sum::<u64>(), 10_000, "each is recorded or counted: {dropped:?}");
    assert!(dropped.len() < 3_000, "{} entries for a flood", dropped.len());
}

#[test]
fn fifty_megabytes_in_one_frame_are_skipped_and_the_caller_is_told() {
    let data = Data::new();
    let Some(mut mcp) = hostile(&data) else { return };
    let beside = Beside::start(&data);
    let told = call(&mut mcp, "huge_frame");
    assert_eq!(told["error"]["code"], UNAVAILABLE, "{told:.300}");
    assert_eq!(call(&mut mcp, "fine")["result"]["content"][0]["text"], "fine", "the server goes on");
    mcp.close();
    assert!(beside.end() >= CALLS_BESIDE);

    let rows = acts(&data, "huge_frame");
    assert_eq!(rows[0]["outcome"]["status"]["value"], "unknown", "{rows:?}");
    assert_eq!(acts(&data, "fine")[0]["outcome"]["status"]["value"], "ok");
    let frames = observed(&data, "frame");
    assert_eq!(frames.len(), 1, "{frames:?}");
    assert!(frames[0].to_string().contains("longer than the 16777216 bytes allowed"), "{}", frames[0]);
}

#[test]
fn half_a_frame_and_then_silence_is_recorded_and_nothing_of_it_passes() {
    let data = Data::new();
    let Some(mut mcp) = hostile(&data) else { return };
    let mut other = data.edr(&[]);
    mcp.send(&json!({"jsonrpc": "2.0", "id": 77, "method": "tools/call",
        "params": {"name": "half_a_frame", "arguments": {}}}));
    // the second server answers all the while, until the silence is in the log
    let began = Instant::now();
    let mut calls = 0;
    while observed(&data, "frame").is_empty() {
        assert!(began.elapsed() < HALF_A_FRAME_MAX, "nothing is recorded");
        let asked = Instant::now();
        other.call("isolate_host", &json!({"host": format!("ws-{calls}")})).unwrap();
        assert!(asked.elapsed() < CALL_BESIDE_MAX);
        calls += 1;
    }
    other.close();
    assert_eq!(mcp.rest(), Vec::<String>::new(), "nothing of half a frame is passed on");
    let frames = observed(&data, "frame");
    assert_eq!(frames.len(), 2, "once after the silence, once when the server ended: {frames:?}");
    let rows = acts(&data, "half_a_frame");
    assert_eq!(rows[0]["outcome"]["status"]["value"], "unknown", "{rows:?}");
    eprintln!("{calls} calls of the second server in {:?}", began.elapsed());
}

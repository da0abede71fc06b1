//! How a wrap starts and ends, whoever goes first.

use std::future::pending;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use capture::limits::{DEAF_WAIT, QUEUE_FRAMES};
use capture::mcp::{UNAVAILABLE, WrapError, wrap};
use serde_json::{Value, json};

use crate::support::api::{Api, ISSUER, RUN, TXN};
use crate::support::wrapped::{Wrapped, options};

async fn until_seen(wrapped: &mut Wrapped, what: &str) {
    while !wrapped.seen().iter().any(|line| line.contains(what)) {
        wrapped.ping().await;
    }
}

#[tokio::test]
async fn a_server_that_exits_leaves_unknown_outcomes_and_answers_for_all() {
    let mut wrapped = Wrapped::start();
    wrapped.call(1, "hang", &json!({})).await;
    until_seen(&mut wrapped, "hang").await;
    wrapped.call(2, "exit", &json!({})).await;
    let (code, mut rest) = wrapped.ended().await;
    assert_eq!(code, 7);
    rest.sort_by_key(|frame| frame["id"].as_i64());
    for (frame, id) in rest.iter().zip([1, 2]) {
        assert_eq!((&frame["id"], &frame["error"]["code"]), (&json!(id), &json!(UNAVAILABLE)));
    }
    assert_eq!(rest.len(), 2);
    assert_eq!(wrapped.statuses(), ["unknown", "unknown"]);
    assert_eq!(wrapped.api.nth("end", 0).await, json!({"stream": 2, "reason": "server-exited", "gaps": 0}));
}

#[tokio::test]
async fn outcomes_are_recorded_before_the_run_ends() {
    let mut wrapped = Wrapped::start();
    wrapped.call(1, "exit", &json!({})).await;
    wrapped.ended().await;
    let order: Vec<String> = wrapped.api.events().into_iter().map(|(name, _)| name).collect();
    let at = |name: &str| order.iter().position(|event| event == name).unwrap();
    assert!(at("finish") < at("receipt") && at("receipt") < at("end"), "{order:?}");
}

#[tokio::test]
async fn a_call_that_is_being_decided_when_the_server_exits_is_not_forwarded() {
    let mut wrapped = Wrapped::start();
    wrapped.call(1, "exit", &json!({})).await;
    wrapped.api.nth("decided", 0).await;
    wrapped.api.set(|behaviour| behaviour.hold_begin = true);
    wrapped.call(2, "echo", &json!({})).await;
    wrapped.api.nth("finish", 0).await;
    wrapped.api.set(|behaviour| behaviour.hold_begin = false);
    let (_, rest) = wrapped.ended().await;
    assert_eq!(rest.len(), 2);
    assert!(rest.iter().all(|frame| frame["error"]["code"] == UNAVAILABLE), "{rest:?}");
    assert_eq!(wrapped.statuses(), ["unknown", "not-forwarded"]);
    assert!(!wrapped.seen().iter().any(|line| line.contains("echo")));
}

#[tokio::test]
async fn a_client_that_hangs_up_leaves_what_came_and_unknown_for_the_rest() {
    let mut wrapped = Wrapped::start();
    wrapped.call(1, "hang", &json!({})).await;
    wrapped.call(2, "answer_at_end", &json!({})).await;
    until_seen(&mut wrapped, "hang").await;
    until_seen(&mut wrapped, "answer_at_end").await;
    wrapped.hang_up();
    let (code, rest) = wrapped.ended().await;
    assert_eq!(code, 0);
    assert_eq!(rest.iter().map(|frame| frame["id"].clone()).collect::<Vec<_>>(), [json!(2)]);
    let finished = wrapped.api.bodies("finish");
    let status = |tool: &str| {
        let act =
            wrapped.api.bodies("begin").into_iter().find(|begin| begin["tool"] == tool).unwrap()["act_id"]
                .clone();
        finished.iter().find(|finish| finish["act_id"] == act).unwrap()["body"]["status"].clone()
    };
    assert_eq!(
        (status("stdio:sample#hang"), status("stdio:sample#answer_at_end")),
        (json!("unknown"), json!("ok"))
    );
    assert_eq!(wrapped.api.nth("end", 0).await["reason"], "closed");
    assert_eq!(wrapped.seen().last().map(String::as_str), Some("end of input"));
}

#[tokio::test]
async fn what_was_sent_before_the_hang_up_is_still_decided_and_done() {
    let mut wrapped = Wrapped::start();
    wrapped.call(1, "echo", &json!({})).await;
    wrapped.hang_up();
    let (_, rest) = wrapped.ended().await;
    assert_eq!(rest[0]["id"], 1);
    assert_eq!(wrapped.statuses(), ["ok"]);
}

#[tokio::test]
async fn a_server_that_does_not_exit_is_asked_with_a_signal() {
    let mut wrapped = Wrapped::start_with(&["linger"], |_| {});
    wrapped.call(1, "hang", &json!({})).await;
    until_seen(&mut wrapped, "hang").await;
    wrapped.hang_up();
    assert_eq!(wrapped.ended().await.0, 128 + 15);
    assert_eq!(wrapped.statuses(), ["unknown"]);
}

#[tokio::test]
async fn a_client_that_asks_and_hangs_up_still_gets_every_answer() {
    let mut wrapped = Wrapped::start();
    let name = |n: usize| format!("{n:0500}");
    // more than the queue and the pipe to a client hold that does not read yet
    for n in 0..300 {
        wrapped.send(&json!({"jsonrpc": "2.0", "id": name(n), "method": "ping"}).to_string()).await;
    }
    wrapped.hang_up();
    let (code, rest) = wrapped.ended().await;
    assert_eq!(code, 0);
    let answered: Vec<&str> = rest.iter().map(|frame| frame["id"].as_str().unwrap()).collect();
    assert_eq!(answered, (0..300).map(name).collect::<Vec<_>>());
    assert_eq!(wrapped.api.nth("end", 0).await["reason"], "closed");
}

#[tokio::test]
async fn a_run_with_nothing_under_way_ends_before_a_server_that_takes_its_time() {
    let mut wrapped = Wrapped::start_with(&["linger"], |_| {});
    wrapped.call(1, "echo", &json!({})).await;
    assert_eq!(wrapped.next().await["id"], 1);
    wrapped.hang_up();
    // the server does not exit before it is asked with a signal, and that is two seconds later
    assert_eq!(wrapped.api.nth("end", 0).await["reason"], "closed");
    assert!(!wrapped.is_over(), "the wrap waits for its server");
    assert_eq!(wrapped.ended().await.0, 128 + 15);
    assert_eq!(wrapped.statuses(), ["ok"]);
    assert_eq!(wrapped.api.bodies("end").len(), 1);
}

#[tokio::test]
async fn a_request_to_stop_ends_the_wrap_like_a_hang_up() {
    let mut wrapped = Wrapped::start();
    wrapped.ping().await;
    wrapped.stop.take().unwrap().send(()).unwrap();
    assert_eq!(wrapped.ended().await.0, 0);
    assert_eq!(wrapped.api.nth("end", 0).await["reason"], "closed");
}

#[tokio::test]
async fn a_run_is_opened_with_everything_the_server_must_know() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let asked_here = Arc::clone(&asked);
    let scope = json!({"stdio:sample#echo": {}});
    let tools: capture::api::Tools = serde_json::from_value(scope.clone()).unwrap();
    let mut wrapped = Wrapped::start_with(&[], move |options| {
        options.run.scope = Some(tools);
        options.run.join = Some(RUN.into());
        options.run.root_request = Some(Arc::new(move |ask| {
            let asked = json!([ask.hello.issuer, ask.jwk, ask.scope, ask.alias, ask.txn]);
            asked_here.lock().unwrap().push(asked);
            Ok("signed".into())
        }));
    });
    wrapped.api.set(|behaviour| behaviour.exp = 1_800_000_060);
    let open = wrapped.api.nth("open", 0).await;
    assert_eq!(
        (&open["alias"], &open["scope"], &open["root_request"]),
        (&json!("sample"), &scope, &json!("signed"))
    );
    assert_eq!(
        (&open["join"], &open["parent_pid"], &open["purpose"]),
        (&json!(RUN), &json!(1), &json!("test"))
    );
    assert_eq!(open["enforcement_point"], json!({"id": "deeds wrap", "version": "0.0.0"}));
    assert_eq!(asked.lock().unwrap()[0], json!([ISSUER, open["key"], scope, "sample", Value::Null]));
    assert_eq!(wrapped.api.nth("lease", 0).await, json!({"stream": 2}));

    // a renewal is signed for again, and names the task
    wrapped.call(1, "echo", &json!({})).await;
    assert_eq!(wrapped.next().await["id"], 1);
    let renew = wrapped.api.nth("renew", 0).await;
    assert_eq!((&renew["root_request"], &renew["scope"]), (&json!("signed"), &scope));
    assert_eq!(asked.lock().unwrap()[1], json!([ISSUER, renew["key"], scope, "sample", TXN]));
}

#[tokio::test]
async fn nothing_starts_without_a_deeds_server() {
    let dir = tempfile::tempdir().unwrap();
    let options = options(dir.path().join("deeds.sock"), &dir.path().join("seen"), &[]);
    let error = wrap(options, tokio::io::empty(), tokio::io::sink(), pending()).await.unwrap_err();
    assert!(error.to_string().contains("cannot be reached"), "{error}");
    assert!(!Path::new(&dir.path().join("seen")).exists());
}

#[tokio::test]
async fn a_command_that_does_not_start_ends_the_run_with_that_reason() {
    let dir = tempfile::tempdir().unwrap();
    let api = Api::start(&dir.path().join("deeds.sock"));
    let mut options = options(dir.path().join("deeds.sock"), &dir.path().join("seen"), &[]);
    options.run.command = vec![dir.path().join("missing").display().to_string()];
    let error = wrap(options, tokio::io::empty(), tokio::io::sink(), pending()).await.unwrap_err();
    assert!(matches!(&error, WrapError::Spawn { .. }), "{error}");
    assert_eq!(api.nth("end", 0).await["reason"], "not-started");
}

#[tokio::test]
async fn a_server_that_never_reads_keeps_nobody_from_hanging_up() {
    let mut wrapped = Wrapped::start_with(&["deaf"], |_| {});
    let filler = "x".repeat(16 * 1_024);
    let told = json!({"jsonrpc": "2.0", "method": "notifications/initialized", "params": {"x": filler}});
    // what fits into the pipe, the queue and the writer between them, and a little more
    for _ in 0..QUEUE_FRAMES + 6 {
        wrapped.send(&told.to_string()).await;
    }
    wrapped.send(r#"{"jsonrpc":"2.0","id":"p","method":"ping"}"#).await;
    tokio::time::pause();
    for _ in 0..=DEAF_WAIT.as_secs() / 5 {
        tokio::time::advance(Duration::from_secs(5)).await;
        // the lease is kept meanwhile
        for _ in 0..1_000 {
            tokio::task::yield_now().await;
        }
    }
    tokio::time::resume();
    let refused = wrapped.next().await;
    assert_eq!((&refused["id"], &refused["error"]["code"]), (&json!("p"), &json!(UNAVAILABLE)), "{refused}");
    let observed = wrapped.api.nth("observe", 0).await;
    assert_eq!(observed["payload"]["from"], "client");
    wrapped.hang_up();
    assert_eq!(wrapped.ended().await.0, 128 + 15);
}

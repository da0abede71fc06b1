//! The end of the server: what is under way ends, what hangs is dropped, and nobody waits for ever.

use std::time::Duration;

use http_body_util::BodyExt as _;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::timeout;
use web::Limits;

use crate::support::{PATIENCE, bench_with, dial, request};

const DRAIN: Duration = Duration::from_millis(200);

fn short_drain() -> Limits {
    Limits { drain: DRAIN, ..Limits::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn leases_and_half_sent_requests_do_not_hold_the_server() {
    let mut bench = bench_with(short_drain()).await;
    let wrap = bench.wrap(7).await;
    let mut lease = dial(&bench.socket).await;
    let asked = request("POST", &wrap.path("lease"), br#"{"stream":0}"#);
    let mut lines = lease.send_request(asked).await.unwrap().into_body();
    let first = timeout(PATIENCE, lines.frame()).await.unwrap().unwrap().unwrap().into_data().unwrap();
    assert_eq!(first, "{\"lease\":\"held\"}\n");
    let mut head = UnixStream::connect(&bench.socket).await.unwrap();
    head.write_all(b"GET /v1/hello HTT").await.unwrap();
    let mut body = UnixStream::connect(&bench.socket).await.unwrap();
    let half = "POST /v1/prove HTTP/1.1\r\nhost: deeds\r\ndeeds-api: 1\r\ncontent-length: 10\r\n\
        expect: 100-continue\r\n\r\n";
    body.write_all(half.as_bytes()).await.unwrap();
    // this comes once the server waits for the body
    let mut go_on = [0; "HTTP/1.1 100 Continue\r\n\r\n".len()];
    timeout(PATIENCE, body.read_exact(&mut go_on)).await.unwrap().unwrap();
    body.write_all(b"{").await.unwrap();

    bench.shutdown.begin();
    timeout(PATIENCE, &mut bench.serving).await.unwrap().unwrap();
    let last = timeout(PATIENCE, lines.frame()).await.unwrap();
    assert!(last.is_none(), "the lease ends like any body: {last:?}");
    let mut said = Vec::new();
    // the answer, and then the end or a reset: the server closes without reading the rest
    let _ = timeout(PATIENCE, body.read_to_end(&mut said)).await.unwrap();
    let said = String::from_utf8(said).unwrap();
    assert!(said.starts_with("HTTP/1.1 503 ") && said.contains("\"stopping\""), "{said}");
    let mut nothing = Vec::new();
    let read = timeout(PATIENCE, head.read_to_end(&mut nothing)).await.unwrap();
    assert!(read.is_err() || nothing.is_empty(), "{nothing:?}");
    assert!(UnixStream::connect(&bench.socket).await.is_err(), "nobody listens any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_under_way_is_given_before_the_end() {
    let mut bench = bench_with(Limits { drain: PATIENCE, ..Limits::default() }).await;
    let mut connection = dial(&bench.socket).await;
    let asked = request("POST", "/v1/policy", br#"{"dir":"/held"}"#);
    let asked = tokio::spawn(async move { connection.send_request(asked).await.unwrap().status() });
    timeout(PATIENCE, bench.held.begun.notified()).await.unwrap();
    bench.shutdown.begin();
    // the server listens no more, and still has an answer to give
    while UnixStream::connect(&bench.socket).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(!bench.serving.is_finished());
    bench.held.go.notify_one();
    assert_eq!(timeout(PATIENCE, asked).await.unwrap().unwrap(), 200);
    timeout(PATIENCE, &mut bench.serving).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_ends_with_its_run() {
    let bench = bench_with(Limits { lease_line: Duration::from_millis(10), ..short_drain() }).await;
    let wrap = bench.wrap(7).await;
    let mut lease = dial(&bench.socket).await;
    let asked = request("POST", &wrap.path("lease"), br#"{"stream":0}"#);
    let mut lines = lease.send_request(asked).await.unwrap().into_body();
    for _ in 0..3 {
        let line = timeout(PATIENCE, lines.frame()).await.unwrap().unwrap().unwrap().into_data().unwrap();
        assert_eq!(line, "{\"lease\":\"held\"}\n");
    }
    let end = json!({"stream": 0, "reason": "closed", "gaps": 0});
    assert_eq!(bench.post(&wrap.path("end"), &end).await.status, 200);
    let ended = async { while lines.frame().await.is_some() {} };
    timeout(PATIENCE, ended).await.unwrap();
}

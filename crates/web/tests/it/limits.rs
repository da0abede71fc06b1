//! Sizes, times and numbers, each at its limit and one past it.

use std::time::Duration;

use capture::api;
use hyper::StatusCode;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::timeout;
use web::Limits;

use crate::support::{PATIENCE, bench, bench_with, dial, request, whole};

/// What the server says until it closes the connection.
async fn rest(stream: &mut UnixStream) -> String {
    let mut bytes = Vec::new();
    // it may end with a reset, where the server closes without reading what else was sent
    let _ = timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_may_have_its_limit_and_not_a_byte_more() {
    let bench = bench_with(Limits { body_bytes: 1_000, ..Limits::default() }).await;
    let fits = bench.send(request("POST", "/v1/prove", &[b' '; 1_000])).await;
    assert_eq!(fits.problem().1, "malformed");
    let over = bench.send(request("POST", "/v1/prove", &[b' '; 1_001])).await;
    assert_eq!(over.problem(), (413, "too-large".to_owned()));
    // without a length in front the limit is met on the way
    let mut stream = UnixStream::connect(&bench.socket).await.unwrap();
    let head = "POST /v1/prove HTTP/1.1\r\nhost: deeds\r\ndeeds-api: 1\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(format!("3e9\r\n{}\r\n", " ".repeat(1_001)).as_bytes()).await.unwrap();
    assert!(rest(&mut stream).await.starts_with("HTTP/1.1 413 "));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_may_have_its_limit_and_not_a_byte_more() {
    let bench = bench().await;
    let fixed = "GET".len()
        + "/v1/hello".len()
        + ("host".len() + "deeds".len() + 4)
        + (api::API_HEADER.len() + 1 + 4)
        + ("content-length".len() + 1 + 4)
        + ("x".len() + 4);
    for (bytes, status) in [(web::limits::HEAD_MAX_BYTES, 200), (web::limits::HEAD_MAX_BYTES + 1, 431)] {
        let mut asked = request("GET", "/v1/hello", b"");
        asked.headers_mut().insert("content-length", "0".parse().unwrap());
        asked.headers_mut().insert("x", "x".repeat(bytes - fixed).parse().unwrap());
        let got = bench.send(asked).await;
        assert_eq!(got.status.as_u16(), status, "{bytes}");
        if status == 431 {
            assert_eq!(got.problem().1, "head-too-large");
        }
    }
    let mut far = UnixStream::connect(&bench.socket).await.unwrap();
    let head = format!("GET /v1/hello HTTP/1.1\r\nx: {}\r\n", "x".repeat(4 * web::limits::HEAD_MAX_BYTES));
    // the server may close before all of it is written
    let _ = far.write_all(head.as_bytes()).await;
    let mut said = Vec::new();
    let _ = timeout(PATIENCE, far.read_to_end(&mut said)).await.unwrap();
    assert!(said.is_empty() || said.starts_with(b"HTTP/1.1 431 "), "{}", String::from_utf8_lossy(&said));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_number_of_headers_is_limited() {
    let bench = bench().await;
    let with = |more: usize| {
        let mut asked = request("GET", "/v1/hello", b"");
        for n in 0..more {
            let name = hyper::header::HeaderName::from_bytes(format!("x-{n}").as_bytes()).unwrap();
            asked.headers_mut().insert(name, "1".parse().unwrap());
        }
        asked
    };
    assert_eq!(bench.send(with(web::limits::HEADERS_MAX - 2)).await.status, StatusCode::OK);
    let over = bench.send(with(web::limits::HEADERS_MAX - 1)).await;
    assert_eq!(over.status, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_stops_arriving_is_not_waited_for() {
    let bench = bench_with(Limits { request: Duration::from_millis(60), ..Limits::default() }).await;
    let mut body = UnixStream::connect(&bench.socket).await.unwrap();
    let head = "POST /v1/prove HTTP/1.1\r\nhost: deeds\r\ndeeds-api: 1\r\ncontent-length: 10\r\n\r\n{";
    body.write_all(head.as_bytes()).await.unwrap();
    let said = rest(&mut body).await;
    assert!(said.starts_with("HTTP/1.1 408 ") && said.contains("too-slow"), "{said}");
    let mut head = UnixStream::connect(&bench.socket).await.unwrap();
    head.write_all(b"GET /v1/hello HTT").await.unwrap();
    assert_eq!(rest(&mut head).await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_may_be_idle_for_longer_than_a_request_may_take() {
    let limit = Duration::from_millis(30);
    let bench = bench_with(Limits { request: limit, ..Limits::default() }).await;
    let mut idle = dial(&bench.socket).await;
    assert_eq!(whole(idle.send_request(request("GET", "/v1/hello", b"")).await.unwrap()).await.status, 200);
    // another connection that is cut off for its slowness shows that the limit has passed, twice over
    for _ in 0..2 {
        let mut slow = UnixStream::connect(&bench.socket).await.unwrap();
        slow.write_all(b"GET /v1/hello HTT").await.unwrap();
        assert_eq!(rest(&mut slow).await, "");
    }
    idle.ready().await.unwrap();
    assert_eq!(whole(idle.send_request(request("GET", "/v1/hello", b"")).await.unwrap()).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_too_many_is_told_so() {
    let bench = bench_with(Limits { connections: 2, ..Limits::default() }).await;
    let (mut one, mut two) = (dial(&bench.socket).await, dial(&bench.socket).await);
    for open in [&mut one, &mut two] {
        let got = whole(open.send_request(request("GET", "/v1/hello", b"")).await.unwrap()).await;
        assert_eq!(got.status, StatusCode::OK);
    }
    let got = bench.get("/v1/hello").await;
    assert_eq!(got.problem(), (503, "too-many-connections".to_owned()));
    assert_eq!(got.headers.get("retry-after").unwrap(), "1");
    drop(one);
    let freed = async {
        while bench.get("/v1/hello").await.status != StatusCode::OK {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, freed).await.unwrap();
}

//! Tests of the handshake with servers of another kind, and of what an error shows of a log.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixListener;
use std::thread;

use serde_json::json;

use super::*;

/// A data directory whose socket gives this one answer to whatever is asked.
fn answering(status: &str, body: &str) -> (tempfile::TempDir, Config) {
    let dir = tempfile::tempdir().unwrap();
    let config = Config { data: dir.path().to_owned(), ..Config::default() };
    let listener = UnixListener::bind(config.socket()).unwrap();
    let answer = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut lines = BufReader::new(&stream).lines();
        while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
        (&stream).write_all(answer.as_bytes()).unwrap();
    });
    (dir, config)
}

fn hello(server: &str, api: u32) -> String {
    json!({"server": server, "version": "9.9.9", "api": api, "pid": 7, "origin": "o", "log_id": "", "log_vkey": "",
        "issuer": "i", "tenant": "local", "issuer_key": {}, "policy": {"digest": "", "source": ""}, "size": 2,
        "published": 2, "policy_warnings": []})
    .to_string()
}

#[tokio::test]
async fn a_server_of_this_version_is_taken() {
    let (_dir, config) = answering("200 OK", &hello("deeds", API_VERSION));
    assert_eq!(connect_running(&config).await.unwrap().hello.pid, 7);
}

#[tokio::test]
async fn another_api_or_another_program_is_refused_with_both_versions_named() {
    for (server, api) in [("deeds", API_VERSION + 1), ("needs", API_VERSION)] {
        let (_dir, config) = answering("200 OK", &hello(server, api));
        let error = connect_or_begin(&config).await.unwrap_err().to_string();
        assert!(error.contains(&format!("{server} 9.9.9 with API {api}")), "{error}");
        assert!(error.contains(env!("CARGO_PKG_VERSION")) && error.contains("stop that server"), "{error}");
    }
}

#[tokio::test]
async fn a_server_that_refuses_the_version_is_quoted() {
    let problem = json!({"type": "urn:deeds:error:api-version", "title": "t", "status": 426, "code": "api-version",
        "detail": "the client is too old"});
    let (_dir, config) = answering("426 Upgrade Required", &problem.to_string());
    let error = connect_or_begin(&config).await.unwrap_err().to_string();
    assert!(error.contains("the client is too old") && error.contains("API 1"), "{error}");
}

#[test]
fn an_error_shows_the_end_of_what_the_log_says_since_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("serve.log");
    assert!(tail(&path, 0).contains("cannot be read"));
    std::fs::write(&path, "before\nafter \u{1b}[2J\n").unwrap();
    assert_eq!(tail(&path, 7), "after \\u{1b}[2J");
    assert_eq!(tail(&path, 99), "(nothing)");
    std::fs::write(&path, format!("{}end", "x".repeat(50_000))).unwrap();
    let limit = usize::try_from(LOG_TAIL_BYTES).unwrap();
    assert_eq!((tail(&path, 0).len(), tail(&path, 0).ends_with("xend")), (limit, true));
}

#[test]
fn the_first_line_of_why_a_server_did_not_start_quotes_no_file() {
    let log = Path::new("/d/serve.log");
    let said = "INFO error: serving\nerror: old\nerror: the policy in `/p` cannot be used: 1 error: to mend:\n  a:1:2: it \
                says `secret`\n  b";
    assert_eq!(
        why(said, log),
        ": the policy in `/p` cannot be used: 1 error: to mend; its log is `/d/serve.log`\n  a:1:2: it says `secret`\n  b"
    );
    assert_eq!(why("error: x", log), ": x; its log is `/d/serve.log`");
    assert_eq!(why("INFO x", log), "; its log `/d/serve.log` ends with:\nINFO x");
    let below = |lines: usize| why(&format!("error: x{}", "\n  y".repeat(lines)), log);
    assert_eq!(below(LOG_LINES_SHOWN).lines().count(), LOG_LINES_SHOWN + 1);
    assert_eq!(below(LOG_LINES_SHOWN + 1), format!("{}\n  …", below(LOG_LINES_SHOWN)));
    assert_eq!(why(&"i\n".repeat(50), log).lines().count(), LOG_LINES_SHOWN + 1);
}

#[tokio::test]
async fn waiting_ends_when_the_condition_holds_or_the_time_is_over() {
    let mut looks = 0;
    let third = || {
        looks += 1;
        looks == 3
    };
    assert!(until(Duration::from_mins(1), third).await);
    assert_eq!(looks, 3);
    assert!(!until(Duration::ZERO, || false).await);
}

//! `deeds serve` as a process: one per data directory, stopped within 5 s, and the same log and policy afterwards.

#![expect(
    clippy::unwrap_used,
    reason = "lints excuse tests, but not the functions that tests in `tests/` share"
)]

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::{Duration, Instant};

use capture::api::{EnforcementPoint, OpenRun, OpenedRun};
use capture::client::Client;
use evidence::jws::Jwk;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;

struct Server {
    child: Child,
    /// Kept open: a server whose messages nobody reads must not end for that.
    said: BufReader<ChildStderr>,
}

fn command(data: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_deeds"));
    command.arg("serve").arg("--data").arg(data).args(more);
    command
        .env_clear()
        .env("DEEDS_LOG", "info")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}

/// Starts a server and waits until it says that it serves.
fn start(data: &Path, more: &[&str]) -> Server {
    let mut child = command(data, more).spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let mut lines = String::new();
    while !lines.contains("serving") {
        assert_ne!(said.read_line(&mut lines).unwrap(), 0, "the server ended: {lines}");
    }
    Server { child, said }
}

impl Server {
    /// Ends it as a service manager does; the exit code, and how long it took.
    fn stop(mut self) -> (Option<i32>, Duration) {
        #[expect(clippy::disallowed_methods, reason = "the time that a process takes is what is tested")]
        let began = Instant::now();
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        let ended = self.child.wait().unwrap();
        let took = began.elapsed();
        let mut rest = String::new();
        self.said.read_to_string(&mut rest).unwrap();
        assert!(!rest.contains("panicked"), "{rest}");
        (ended.code(), took)
    }
}

async fn client(data: &Path) -> Client {
    Client::connect(data.join("deeds.sock")).await.unwrap()
}

async fn open_run(client: &Client) -> OpenedRun {
    let key = ed25519_dalek::SigningKey::from_bytes(&[7; 32]);
    let asked = OpenRun {
        alias: "fs".into(),
        scheme: capture::api::Scheme::Stdio,
        command: vec!["server".into()],
        executable: None,
        config: None,
        key: Jwk::of(&key).to_json(),
        root_request: None,
        scope: None,
        purpose: "tests".into(),
        trigger: None,
        join: None,
        parent_pid: 1,
        enforcement_point: EnforcementPoint { id: "test".into(), version: "0".into() },
        delegation: None,
        handoff: None,
        parent: None,
    };
    client.open_run(&asked).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_stops_in_time_whatever_is_open_and_goes_on_with_its_log() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path(), &[]);
    let first = client(dir.path()).await;
    let hello = first.hello().await.unwrap();
    assert_eq!(hello.pid, server.child.id());
    let run = open_run(&first).await;
    let _lease = first.lease(&run.run, run.stream).await.unwrap();
    let mut half = UnixStream::connect(dir.path().join("deeds.sock")).await.unwrap();
    half.write_all(b"POST /v1/runs HTTP/1.1\r\ncontent-length: 9\r\n").await.unwrap();
    let size = first.hello().await.unwrap().size;

    let (code, took) = server.stop();
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert!(!dir.path().join("deeds.sock").exists());

    let again = start(dir.path(), &[]);
    let second = client(dir.path()).await;
    let after = second.hello().await.unwrap();
    assert_eq!((after.log_id, after.log_vkey), (hello.log_id, hello.log_vkey));
    assert!(after.size >= size && after.published >= size, "it was published when it was closed");
    // the run outlives the server: its writer has the grace period to come back
    second.lease(&run.run, run.stream).await.unwrap();
    assert_eq!(again.stop().0, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_server_names_the_first_and_leaves_it_alone() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path(), &[]);
    let refused = command(dir.path(), &[]).output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains(&format!("(process {}) already serves", server.child.id())), "{said}");
    client(dir.path()).await.hello().await.unwrap();
    assert_eq!(server.stop().0, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_without_a_policy_keeps_the_one_in_force() {
    let dir = tempfile::tempdir().unwrap();
    let (data, policy) = (dir.path().join("data"), dir.path().join("policy"));
    std::fs::create_dir(&policy).unwrap();
    let text = "@id(\"none\")\nforbid(principal, action, resource);\n";
    std::fs::write(policy.join("none.cedar"), text).unwrap();
    let starter = start(&data, &[]);
    let built_in = client(&data).await.hello().await.unwrap().policy;
    starter.stop();
    let named = start(&data, &["--policy", policy.to_str().unwrap()]);
    let in_force = client(&data).await.hello().await.unwrap().policy;
    assert_ne!(in_force.digest, built_in.digest);
    named.stop();
    // neither the directory nor the snapshot of the control state is needed for it
    std::fs::remove_dir_all(&policy).unwrap();
    for snapshot in [true, false] {
        if !snapshot {
            std::fs::remove_file(data.join("local/control.json")).unwrap();
        }
        let plain = start(&data, &[]);
        assert_eq!(client(&data).await.hello().await.unwrap().policy, in_force);
        let answer: serde_json::Value = client(&data).await.get_json("/v1/status?wait=0").await.unwrap();
        assert_eq!(answer["entries"]["policy-activated"], json!(2), "nothing was activated again: {answer}");
        plain.stop();
    }
}

#[test]
fn a_missing_key_of_a_log_is_not_made_again() {
    let dir = tempfile::tempdir().unwrap();
    start(dir.path(), &[]).stop();
    std::fs::remove_file(dir.path().join("keys/issuer.key")).unwrap();
    let refused = command(dir.path(), &[]).output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("issuer.key` is missing"), "{said}");
}

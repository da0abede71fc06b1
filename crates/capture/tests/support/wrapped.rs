//! A wrap of the scripted MCP server; the test is its client.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use capture::api::Scheme;
use capture::mcp::{WrapError, WrapOptions, wrap};
use capture::run::{About, Ambient, RunOptions};
use ed25519_dalek::SigningKey;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream, Lines};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::api::Api;

const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Wrapped {
    pub(crate) api: Api,
    pub(crate) dir: tempfile::TempDir,
    to_wrap: Option<DuplexStream>,
    from_wrap: Lines<BufReader<DuplexStream>>,
    wrap: JoinHandle<Result<i32, WrapError>>,
    pub(crate) stop: Option<oneshot::Sender<()>>,
    pings: i64,
}

impl Wrapped {
    pub(crate) fn start() -> Self {
        Self::start_with(&[], |_| {})
    }

    pub(crate) fn start_with(server_args: &[&str], change: impl FnOnce(&mut WrapOptions)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let api = Api::start(&dir.path().join("deeds.sock"));
        Self::start_at(api, dir, server_args, change)
    }

    /// Starts a second wrap at the same deeds server.
    pub(crate) fn beside(&self) -> Self {
        let own_key = |options: &mut WrapOptions| options.run.key = SigningKey::from_bytes(&[2; 32]);
        Self::start_at(self.api.same(), tempfile::tempdir().unwrap(), &[], own_key)
    }

    fn start_at(
        api: Api,
        dir: tempfile::TempDir,
        server_args: &[&str],
        change: impl FnOnce(&mut WrapOptions),
    ) -> Self {
        let (stop, stopped) = oneshot::channel();
        let mut options = options(api.path(), &dir.path().join("seen"), server_args);
        let until_stopped = async move {
            if stopped.await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        change(&mut options);
        let (to_wrap, stdin) = tokio::io::duplex(64 * 1_024);
        let (stdout, from_wrap) = tokio::io::duplex(64 * 1_024);
        let wrap = tokio::spawn(wrap(options, stdin, stdout, until_stopped));
        let from_wrap = BufReader::new(from_wrap).lines();
        Self { api, dir, to_wrap: Some(to_wrap), from_wrap, wrap, stop: Some(stop), pings: 1_000_000 }
    }

    /// Sends one line.
    pub(crate) async fn send(&mut self, line: &str) {
        let to_wrap = self.to_wrap.as_mut().unwrap();
        to_wrap.write_all(line.as_bytes()).await.unwrap();
        to_wrap.write_all(b"\n").await.unwrap();
    }

    /// Calls a tool.
    pub(crate) async fn call(&mut self, id: i64, tool: &str, arguments: &Value) {
        let params = json!({"name": tool, "arguments": arguments});
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params}).to_string())
            .await;
    }

    pub(crate) async fn cancel(&mut self, id: i64) {
        let params = json!({"requestId": id});
        self.send(
            &json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params}).to_string(),
        )
        .await;
    }

    /// The next line, exactly.
    pub(crate) async fn line(&mut self) -> String {
        let line = timeout(PATIENCE, self.from_wrap.next_line()).await;
        let line = line.unwrap_or_else(|_| panic!("no line came; events: {:#?}", self.api.events()));
        line.unwrap().expect("the wrap has closed its output")
    }

    pub(crate) async fn next(&mut self) -> Value {
        serde_json::from_str(&self.line().await).unwrap()
    }

    /// Sends a ping and waits for its answer; gives what came before it. What the client sent before was handled
    /// by the wrap then, and what the wrap forwarded before was read by the server.
    pub(crate) async fn ping(&mut self) -> Vec<Value> {
        self.pings += 1;
        let id = self.pings;
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": "ping"}).to_string()).await;
        let mut before = Vec::new();
        loop {
            let frame = self.next().await;
            if frame["id"] == id {
                return before;
            }
            before.push(frame);
        }
    }

    /// What the wrapped server has read so far, without the pings of [`Wrapped::ping`].
    pub(crate) fn seen(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.dir.path().join("seen")).unwrap_or_default();
        text.lines().filter(|line| !line.contains(r#""method":"ping""#)).map(str::to_owned).collect()
    }

    /// Hangs up.
    pub(crate) fn hang_up(&mut self) {
        self.to_wrap = None;
    }

    /// Waits for the end of the wrap; its exit code, and what it still wrote.
    pub(crate) async fn ended(&mut self) -> (i32, Vec<Value>) {
        let mut rest = Vec::new();
        while let Some(line) =
            timeout(PATIENCE, self.from_wrap.next_line()).await.expect("the wrap ends").unwrap()
        {
            rest.push(serde_json::from_str(&line).unwrap());
        }
        let code = timeout(PATIENCE, &mut self.wrap).await.expect("the wrap ends").unwrap().unwrap();
        (code, rest)
    }

    /// Whether the wrap has returned.
    pub(crate) fn is_over(&self) -> bool {
        self.wrap.is_finished()
    }

    /// Statuses of the outcomes so far, in the order of their decisions.
    pub(crate) fn statuses(&self) -> Vec<String> {
        let mut finished: Vec<(u64, String)> = self
            .api
            .bodies("finish")
            .iter()
            .map(|event| &event["body"])
            .map(|body| (body["decision"].as_u64().unwrap(), body["status"].as_str().unwrap().to_owned()))
            .collect();
        finished.sort();
        finished.dedup();
        finished.into_iter().map(|(_, status)| status).collect()
    }
}

/// Options of a wrap as the binary would make them, with a hand clock and a counting source of randomness.
pub(crate) fn options(socket: PathBuf, seen: &Path, server_args: &[&str]) -> WrapOptions {
    let mut command = vec![scripted_mcp(), seen.display().to_string()];
    command.extend(server_args.iter().map(|&arg| arg.to_owned()));
    let (clock, drawn) = (AtomicU64::new(0), AtomicU64::new(0));
    WrapOptions {
        run: RunOptions {
            alias: "sample".into(),
            enforcement_point: "deeds wrap".into(),
            scheme: Scheme::Stdio,
            command,
            connect: Arc::new(move || {
                let socket = socket.clone();
                Box::pin(async move { Ok(socket) })
            }),
            key: SigningKey::from_bytes(&[1; 32]),
            delegation: None,
            parent: None,
            root_request: None,
            scope: None,
            join: None,
            receipts: None,
            about: About {
                purpose: "test".into(),
                parent_pid: 1,
                version: "0.0.0".into(),
                ..About::default()
            },
            ambient: Ambient {
                now_ms: Arc::new(|| 1_800_000_000_000),
                monotonic_us: Arc::new(move || clock.fetch_add(10, Ordering::Relaxed)),
                random: Arc::new(move |buffer| {
                    let n = drawn.fetch_add(1, Ordering::Relaxed);
                    buffer.fill(0xa5);
                    for (byte, part) in buffer.iter_mut().zip(n.to_be_bytes()) {
                        *byte = part;
                    }
                }),
            },
        },
        require_delegation: false,
        own_variables: Vec::new(),
        root_dir: Some("/srv".into()),
        files: false,
        read_fail_open: vec![],
    }
}

/// Path of the example that cargo builds beside the tests.
fn scripted_mcp() -> String {
    let test = std::env::current_exe().unwrap();
    let path = test.ancestors().nth(2).unwrap().join("examples/scripted_mcp");
    assert!(
        path.exists(),
        "{} is missing; build it with `cargo build -p capture --examples`",
        path.display()
    );
    path.display().to_string()
}

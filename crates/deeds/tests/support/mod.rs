//! What the tests of the whole program share: the binary, a data directory, a plain MCP client over a pipe.

#![allow(dead_code, reason = "each test binary uses its own part of this")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at what it did not expect"
)]
#![allow(clippy::indexing_slicing, reason = "a test stops at what it did not expect")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

/// The program under test.
pub(crate) const DEEDS: &str = env!("CARGO_BIN_EXE_deeds");

/// The checkout.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// A Python with what `peers/requirements.txt` locks.
pub(crate) const PYTHON: &str = ".peers/python/bin/python";
/// The official file server.
pub(crate) const FILESYSTEM: &str = ".peers/node/node_modules/.bin/mcp-server-filesystem";

/// A program by others, if it is installed. Says aloud when a test is skipped; in CI nothing is skipped.
pub(crate) fn peer(path: &str) -> Option<PathBuf> {
    let program = root().join(path);
    if program.exists() {
        return Some(program);
    }
    assert!(!in_ci(), "`{path}` is missing: run scripts/peers");
    eprintln!("SKIPPED: `{path}` is not installed; scripts/peers installs it");
    None
}

/// Whether a program that answers `-V` is on the path; in CI it has to be.
pub(crate) fn on_path(name: &str) -> bool {
    let found = Command::new(name).arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    assert!(found || !in_ci(), "`{name}` is missing: run scripts/peers");
    if !found {
        eprintln!("SKIPPED: `{name}` is not installed");
    }
    found
}

#[allow(clippy::disallowed_methods, reason = "a test asks whether it runs in CI")]
fn in_ci() -> bool {
    std::env::var("CI").as_deref() == Ok("true")
}

/// A data directory whose server is stopped when the test ends, however it ends.
pub(crate) struct Data {
    dir: tempfile::TempDir,
}

impl Data {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// A `deeds` command on this data directory, away from the configuration of whoever runs the tests.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(DEEDS);
        command
            .arg("--data")
            .arg(self.data())
            .env("XDG_CONFIG_HOME", self.dir.path().join("config"))
            .env("HOME", self.dir.path())
            .env_remove("DEEDS_POLICY")
            .env_remove("DEEDS_PRINCIPAL")
            .env_remove("DEEDS_DELEGATION")
            .current_dir(self.dir.path())
            .env_remove("DEEDS_RUN")
            .env_remove("DEEDS_CONFIG");
        command
    }

    /// The JSON answer of a command that succeeds.
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let output = self.command().arg("--json").args(args).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "deeds {args:?}: {}\n{text}\n{errors}", output.status);
        serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("deeds {args:?}: {error}\n{text}\n{errors}"))
    }

    /// What a command that fails says, with its exit code.
    pub(crate) fn refused(&self, args: &[&str]) -> String {
        let output = self.command().args(args).output().unwrap();
        assert_eq!(
            output.status.code(),
            Some(2),
            "deeds {args:?}: {}",
            String::from_utf8_lossy(&output.stdout)
        );
        String::from_utf8(output.stderr).unwrap()
    }

    /// A sample MCP server for isolating hosts, behind `deeds wrap` with these arguments.
    pub(crate) fn edr(&self, wrap: &[&str]) -> Mcp {
        let mut command = self.command();
        command.arg("wrap").args(["--name", "edr"]).args(wrap);
        command.args(["--", DEEDS, "player", "tool", "edr", "--journal", "edr.journal"]);
        Mcp::start(&mut command)
    }

    /// The process id of the server, as its lock file says.
    pub(crate) fn server_pid(&self) -> Option<i32> {
        let text = std::fs::read_to_string(self.data().join("LOCK")).ok()?;
        text.split_whitespace().skip_while(|word| *word != "pid").nth(1)?.parse().ok()
    }

    pub(crate) fn stop(&self) {
        let output = self.command().arg("stop").output().unwrap();
        assert!(output.status.success(), "deeds stop: {}", String::from_utf8_lossy(&output.stderr));
    }
}

/// Ends the server as a crash does.
pub(crate) fn kill_server(data: &Data) {
    let pid =
        data.server_pid().and_then(rustix::process::Pid::from_raw).expect("the server has a process id");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

impl Drop for Data {
    fn drop(&mut self) {
        drop(self.command().arg("stop").output());
    }
}

/// An MCP client (2025-11-25) that talks to a child process over its standard streams.
pub(crate) struct Mcp {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    next_id: u64,
    /// Methods of what came that was no answer waited for.
    came: Vec<String>,
}

impl Mcp {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let mut client = Self { child, stdin, stdout, next_id: 0, came: Vec::new() };
        let params = json!({"protocolVersion": "2025-11-25", "capabilities": {},
            "clientInfo": {"name": "test", "version": "0"}});
        let answer = client.request("initialize", &params).expect("the server answers initialize");
        assert!(answer.get("result").is_some(), "{answer}");
        client.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
        client
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn send(&mut self, frame: &Value) {
        let stdin = self.stdin.as_mut().expect("standard input is open");
        writeln!(stdin, "{frame}").unwrap();
        stdin.flush().unwrap();
    }

    /// Sends a request and waits for its answer; nothing when the other side hangs up.
    pub(crate) fn request(&mut self, method: &str, params: &Value) -> Option<Value> {
        self.next_id += 1;
        let id = self.next_id;
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}));
        loop {
            let mut line = String::new();
            if self.stdout.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            let answer: Value = serde_json::from_str(&line).unwrap();
            if answer.get("id") == Some(&json!(id)) {
                return Some(answer);
            }
            self.came.extend(answer["method"].as_str().map(str::to_owned));
        }
    }

    /// Calls a tool; `Ok` with its text, `Err` with the text of a refusal or error.
    pub(crate) fn call(&mut self, tool: &str, args: &Value) -> Result<String, String> {
        let params = json!({"name": tool, "arguments": args});
        let answer = self.request("tools/call", &params).ok_or("the server hung up")?;
        let text =
            |pointer: &str| answer.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        match answer.pointer("/result/isError").and_then(Value::as_bool) {
            Some(true) => Err(text("/result/content/0/text")),
            _ if answer.get("error").is_some() => Err(text("/error/message")),
            _ => Ok(text("/result/content/0/text")),
        }
    }

    /// How many frames with this method came while an answer was waited for.
    pub(crate) fn passed(&self, method: &str) -> usize {
        self.came.iter().filter(|came| *came == method).count()
    }

    /// Closes its standard input and waits until it has ended.
    pub(crate) fn close(self) {
        drop(self.rest());
    }

    /// Closes its standard input; the lines that still come until it has ended.
    pub(crate) fn rest(mut self) -> Vec<String> {
        drop(self.stdin.take());
        let rest = self.stdout.by_ref().lines().map_while(Result::ok).collect();
        self.child.wait().unwrap();
        rest
    }
}

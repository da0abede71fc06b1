//! What `deeds wrap` adds to an MCP call, and what one event costs on disk: the real binary, a real server process, a
//! real log. Beside it stands what one write and fdatasync of 4 KiB cost in the same directory: a decision is durable
//! before the call goes, so nothing can be added for less.
//!
//! `DEEDS_BENCH_DIR` names the directory of the log, where another disk than that of the build is meant.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a bench that cannot be set up should stop there"
)]

#[path = "../../verify/benches/measure/mod.rs"]
mod measure;

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use evidence::{Entry, Kind};
use measure::{Times, time};
use serde_json::{Value, json};

const DEEDS: &str = env!("CARGO_BIN_EXE_deeds");
const ECHO: &str = "--echo-server";
const SYNCS: usize = 200;

fn main() {
    if std::env::args().any(|argument| argument == ECHO) {
        return echo();
    }
    let asked = measure::is_asked_for();
    let (warm_up, calls) = if asked { (500, 3_000) } else { (2, 20) };
    if asked {
        println!("{}", measure::machine());
    }
    let parent = std::env::var_os("DEEDS_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    let dir = tempfile::tempdir_in(parent).unwrap();
    let before = syncs(dir.path());
    let direct = calls_of(&mut Server::direct(), warm_up, calls);
    let mut wrapped = Server::wrapped(dir.path());
    let with = calls_of(&mut wrapped, warm_up, calls);
    drop(wrapped);
    let after = syncs(dir.path());
    let size = stopped_size(dir.path());
    if !asked {
        return;
    }
    println!("one write + fdatasync, before      {before}");
    println!("one write + fdatasync, after       {after}");
    println!("tools/call, server alone           {direct}");
    println!("tools/call behind `deeds wrap`     {with}");
    for percent in [50, 99] {
        let added = with.percentile(percent).saturating_sub(direct.percentile(percent));
        println!("added, p{percent}                          {:9.1} µs", micros(added));
    }
    disk(dir.path(), size);
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// An MCP server that answers at once.
fn echo() {
    let mut output = std::io::stdout().lock();
    for line in std::io::stdin().lines() {
        let request: Value = serde_json::from_str(&line.unwrap()).unwrap();
        let Some(id) = request.get("id") else { continue };
        let result = match request["method"].as_str() {
            Some("initialize") => json!({"protocolVersion": "2025-11-25", "capabilities": {"tools": {}},
                "serverInfo": {"name": "echo", "version": "0"}}),
            Some("tools/list") => json!({"tools": [{"name": "echo", "inputSchema": {"type": "object"}}]}),
            _ => json!({"content": [{"type": "text", "text": "done"}], "isError": false}),
        };
        writeln!(output, "{}", json!({"jsonrpc": "2.0", "id": id, "result": result})).unwrap();
        output.flush().unwrap();
    }
}

/// A running MCP server, wrapped or not.
struct Server {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    id: u64,
}

impl Server {
    fn direct() -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg(ECHO);
        Self::start(command)
    }

    fn wrapped(dir: &Path) -> Self {
        let mut command = deeds(dir);
        command.args(["wrap", "--name", "echo", "--"]).arg(std::env::current_exe().unwrap()).arg(ECHO);
        Self::start(command)
    }

    fn start(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        let mut server = Self { child, input, output, id: 0 };
        let hello = json!({"protocolVersion": "2025-11-25", "capabilities": {},
            "clientInfo": {"name": "bench", "version": "0"}});
        server.ask("initialize", &hello);
        server.ask("tools/list", &json!({}));
        server
    }

    /// Asks and waits for the answer.
    fn ask(&mut self, method: &str, params: &Value) {
        self.id += 1;
        let request = json!({"jsonrpc": "2.0", "id": self.id, "method": method, "params": params});
        writeln!(self.input.as_mut().unwrap(), "{request}").unwrap();
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        let answer: Value = serde_json::from_str(&line).unwrap();
        assert!(answer["id"] == self.id && answer["result"]["isError"] != true, "{answer}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.input.take());
        self.child.wait().unwrap();
    }
}

fn calls_of(server: &mut Server, warm_up: usize, calls: usize) -> Times {
    let mut number = 0;
    time(warm_up, calls, || {
        number += 1;
        let path = format!("/srv/data/{number}.txt");
        let arguments = json!({"path": path, "text": "a line of some length, as files have"});
        server.ask("tools/call", &json!({"name": "echo", "arguments": arguments}));
    })
}

/// `deeds` on the log in this directory, with nothing of the environment's own.
fn deeds(dir: &Path) -> Command {
    let mut command = Command::new(DEEDS);
    command.env("XDG_CONFIG_HOME", dir).env("DEEDS_DATA", dir.join("data"));
    for name in ["DEEDS_POLICY", "DEEDS_PRINCIPAL", "DEEDS_DELEGATION", "DEEDS_RUN"] {
        command.env_remove(name);
    }
    command
}

/// How many entries the log has; then the server is stopped, so that all of them are where they stay.
fn stopped_size(dir: &Path) -> u64 {
    let status = deeds(dir).args(["status", "--json"]).output().unwrap();
    let status: Value = serde_json::from_slice(&status.stdout).unwrap();
    let size = ["size", "entries"].iter().find_map(|name| status[*name].as_u64());
    let stopped = deeds(dir).arg("stop").output().unwrap();
    assert!(stopped.status.success(), "{stopped:?}");
    size.unwrap_or_else(|| status.pointer("/log/size").and_then(Value::as_u64).unwrap())
}

/// What each part of the data directory takes for one event. Half of the events are decisions, half are outcomes.
/// The journal is apart: its segments are made whole, and dropped once what they hold is in the other files.
fn disk(dir: &Path, entries: u64) {
    println!("{entries} entries, file sizes (and blocks of the file system) for one event:");
    let data = dir.join("data");
    let (mut sum, mut blocks) = (0, 0);
    for part in
        ["local/log/tile/entries", "local/log/tile", "local/bodies", "local/keys", "local/checkpoints"]
            .into_iter()
            .chain(["index.sqlite", "index.sqlite-wal", "local/journal"])
    {
        let mut found = size(&data.join(part));
        if part == "local/log/tile" {
            // the hashes alone
            let entries = size(&data.join("local/log/tile/entries"));
            found = (found.0 - entries.0, found.1 - entries.1);
        }
        println!("  {part:24} {:7} ({})", found.0 / entries, found.1 / entries);
        if !matches!(part, "local/journal" | "index.sqlite-wal") {
            (sum, blocks) = (sum + found.0, blocks + found.1);
        }
    }
    println!("  {:24} {:7} ({})", "all that stays", sum / entries, blocks / entries);
    kinds(&data.join("local"));
}

/// Entry and sealed body of one decision and of one outcome, of those in full bundles.
fn kinds(log: &Path) {
    let mut sizes = Vec::new();
    for bundle in 0..1_000 {
        let entries = fs::read(log.join(format!("log/tile/entries/{bundle:03}")));
        let bodies = fs::read(log.join(format!("bodies/{bundle:03}")));
        let (Ok(entries), Ok(bodies)) = (entries, bodies) else { break };
        let (mut entries, mut bodies) = (entries.as_slice(), bodies.as_slice());
        while !entries.is_empty() {
            let (entry, body) = (prefixed(&mut entries, 2), prefixed(&mut bodies, 4));
            sizes.push((Entry::decode(entry).unwrap().kind, entry.len(), body.len()));
        }
    }
    for kind in [Kind::Decided, Kind::Finished] {
        let of_kind = || sizes.iter().filter(|(code, ..)| *code == u64::from(kind.code()));
        let count = of_kind().count().max(1);
        let entry = of_kind().map(|(_, entry, _)| entry).sum::<usize>() / count;
        let body = of_kind().map(|(.., body)| body).sum::<usize>() / count;
        println!("  one {:20} {entry:7} its entry, {body} its body, of {count}", kind.name());
    }
}

/// What stands behind a length of this many bytes.
fn prefixed<'a>(bytes: &mut &'a [u8], width: usize) -> &'a [u8] {
    let (length, rest) = bytes.split_at(width);
    let length = length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
    let (value, rest) = rest.split_at(length);
    *bytes = rest;
    value
}

/// Bytes of a file, or of all files below a directory: their lengths, and what the file system gave them.
fn size(path: &Path) -> (u64, u64) {
    let Ok(found) = fs::symlink_metadata(path) else { return (0, 0) };
    if !found.is_dir() {
        return (found.len(), found.blocks() * 512);
    }
    let below = fs::read_dir(path).unwrap().map(|entry| size(&entry.unwrap().path()));
    below.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
}

/// The device: writes of 4 KiB, each synced.
fn syncs(dir: &Path) -> Times {
    let path = dir.join("sync");
    let mut file = File::create(&path).unwrap();
    let times = time(10, SYNCS, || {
        file.write_all(&[7; 4_096]).unwrap();
        file.sync_data().unwrap();
    });
    fs::remove_file(path).unwrap();
    times
}

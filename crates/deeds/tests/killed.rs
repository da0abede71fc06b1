//! `delegate`, `mandate`, `revoke` and `halt` are killed (SIGKILL) at each system call that changes anything, in the
//! server and in the command: what they did is there whole or not at all, also after the index and the snapshot of
//! the control state were thrown away. Needs strace; `scripts/peers` installs it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at what it did not expect"
)]
#![allow(clippy::indexing_slicing, reason = "a test stops at what it did not expect")]

mod support;

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use serde_json::Value;
use support::{DEEDS, Data, on_path};

/// Calls behind which something may have changed. Each is cut at its first, second, … occurrence in any thread.
const STEPS: [&str; 7] = ["write", "writev", "pwrite64", "fdatasync", "fsync", "rename", "sendto"];

/// Occurrences of one call that an operation may take in one thread; more would mean that the loop never ends.
const OCCURRENCES_MAX: u32 = 64;

/// How long a command may take before the tracer is ended.
const PATIENCE: Duration = Duration::from_secs(5);

/// One operation and what it leaves in the log when it was carried out.
struct Operation {
    name: &'static str,
    kinds: &'static [&'static str],
}

const OPERATIONS: [Operation; 4] = [
    Operation { name: "delegate", kinds: &["run-started", "delegated", "run-ended"] },
    Operation { name: "mandate", kinds: &["delegated"] },
    Operation { name: "revoke", kinds: &["revoked"] },
    Operation { name: "halt", kinds: &["halted-or-resumed"] },
];

/// Kills a process as it enters the nth call of this name.
fn inject(step: &str, nth: u32) -> [String; 4] {
    let inject = format!("inject={step}:signal=SIGKILL:when={nth}");
    ["-e".into(), format!("trace={step}"), "-e".into(), inject]
}

/// strace on the server, once it watches.
fn watch(data: &Data, step: &str, nth: u32) -> Child {
    let pid = data.server_pid().unwrap().to_string();
    let mut tracer = Command::new("strace")
        .args(["-f", "-p", &pid, "-o", "/dev/null"])
        .args(inject(step, nth))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(tracer.stderr.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("attached"), "strace: {line}");
    tracer
}

/// What the command says. A server that is killed while it is traced may not be quite gone, its socket open, before
/// the tracer is: then that goes first.
fn carried_out(mut command: Command, tracer: &mut Child) -> Output {
    let (done, waiting) = channel();
    let asked = thread::spawn(move || done.send(command.output().unwrap()));
    let output = waiting.recv_timeout(PATIENCE).or_else(|_| {
        tracer.kill().unwrap();
        waiting.recv()
    });
    asked.join().unwrap().unwrap();
    output.unwrap()
}

fn is_running(data: &Data) -> bool {
    let pid = data.server_pid().and_then(rustix::process::Pid::from_raw);
    pid.is_some_and(|pid| {
        rustix::process::test_kill_process(pid).is_ok() && !is_zombie(pid.as_raw_nonzero().get())
    })
}

fn is_zombie(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_none_or(|rest| rest.trim_start().starts_with(['Z', 'X']))
}

fn size(data: &Data) -> u64 {
    data.json(&["status"])["size"].as_u64().unwrap_or_else(|| panic!("{}", data.json(&["status"])))
}

/// Kinds of the entries from `first` on.
fn kinds(data: &Data, first: u64) -> Vec<String> {
    (first..size(data))
        .map(|index| {
            let entry = data.json(&["entry", &format!("@{index}")]);
            entry["kind"].as_str().unwrap_or_else(|| panic!("{entry}")).to_owned()
        })
        .collect()
}

fn target(round: u32) -> String {
    evidence::base64url::encode(&evidence::Digest::of(&round.to_be_bytes()).0)
}

/// The operation as a person would type it; `round` makes it another one each time.
fn command(data: &Data, operation: &str, round: u32) -> Command {
    let mut command = data.command();
    command.arg("--json");
    let person = data.path().join("maya.key");
    let (agent, revoked) = (format!("agent-{round}"), target(round));
    let given = data.path().join("given.json");
    match operation {
        "delegate" => command
            .args([
                "delegate",
                "--force",
                "--new-key",
                "--agent",
                &agent,
                "--tool",
                "stdio:fs#*",
                "--ttl",
                "15m",
                "--as",
            ])
            .arg(person)
            .arg("-o")
            .arg(given),
        "mandate" => command
            .args(["mandate", "--for", "rota", "--tool", "stdio:fs#*", "--purpose", &agent, "--as"])
            .arg(person),
        "revoke" => command
            .args(["revoke", &revoked, "--what", "holder-key", "--why", "it was lost", "--as"])
            .arg(person),
        "halt" => {
            command.args(["halt", &agent, "--only", "agent", "--why", "it misbehaves", "--as"]).arg(person)
        }
        other => panic!("{other}"),
    };
    command
}

fn prepared() -> Data {
    let data = Data::new();
    let key = data.path().join("maya.key");
    data.json(&["principal", "add", "maya", "--key", key.to_str().unwrap()]);
    let key = data.path().join("rota.key");
    data.json(&["principal", "add", "rota", "--kind", "service", "--key", key.to_str().unwrap()]);
    data
}

/// What people are told of authority and orders.
fn answers(data: &Data) -> [Value; 3] {
    let mut delegations = data.json(&["delegations", "--limit", "1000"]);
    // when it was asked, and what follows from that, is not part of what is known
    forget(&mut delegations, &["at_ms", "now_ms"]);
    let mut halts = data.json(&["halts"]);
    forget(&mut halts, &["now_ms"]);
    let mut principals = data.json(&["principal", "list"]);
    forget(&mut principals, &["now_ms"]);
    [delegations, halts, principals]
}

fn forget(value: &mut Value, names: &[&str]) {
    match value {
        Value::Object(members) => {
            members.retain(|name, _| !names.contains(&name.as_str()));
            members.values_mut().for_each(|value| forget(value, names));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| forget(item, names)),
        _ => {}
    }
}

/// Whether the operation is there after the server was killed under it, or not; nothing else is accepted.
fn is_there(data: &Data, operation: &Operation, before: u64, output: &Output) -> bool {
    let added = kinds(data, before);
    let there = added == operation.kinds;
    assert!(there || added.is_empty(), "{}: {added:?}", operation.name);
    assert!(there || !output.status.success(), "{}: it was acknowledged, and it is lost", operation.name);
    there
}

fn check_effect(data: &Data, operation: &Operation, round: u32, there: bool) {
    match operation.name {
        "halt" => {
            let halts = data.json(&["halts"]).to_string();
            assert_eq!(halts.contains(&format!("agent-{round}\"")), there, "{halts}");
        }
        "delegate" => {
            let known = data.json(&["delegations", "--limit", "1000"]).to_string();
            assert_eq!(known.contains(&format!("agent-{round}\"")), there, "agent-{round} in {known}");
        }
        _ => {}
    }
}

#[test]
fn an_order_that_the_server_dies_under_is_there_whole_or_not_at_all() {
    if !on_path("strace") {
        return;
    }
    let data = prepared();
    let (mut round, mut killed, mut made) = (0, 0, 0);
    for operation in &OPERATIONS {
        for step in STEPS {
            for nth in 1.. {
                assert!(nth < OCCURRENCES_MAX, "{} never ends at {step}", operation.name);
                round += 1;
                let before = size(&data);
                let mut tracer = watch(&data, step, nth);
                let output = carried_out(command(&data, operation.name, round), &mut tracer);
                let survived = output.status.success() && is_running(&data);
                tracer.kill().unwrap();
                tracer.wait().unwrap();
                let there = is_there(&data, operation, before, &output);
                check_effect(&data, operation, round, there);
                made += u32::from(there);
                killed += u32::from(!survived);
                if survived {
                    break;
                }
            }
        }
    }
    eprintln!("{round} orders, {killed} times killed, {made} carried out");
    assert!(killed > 20, "the kills took effect: {killed}");
    check_rebuilt(&data);
}

/// The same answers from a rebuilt index and from a control state that was folded anew.
fn check_rebuilt(data: &Data) {
    let known = answers(data);
    data.json(&["reindex"]);
    assert_eq!(answers(data), known, "after deeds reindex");
    data.stop();
    std::fs::remove_file(data.data().join("local/control.json")).unwrap();
    assert_eq!(answers(data), known, "without the snapshot");
}

#[test]
fn a_delegation_file_that_is_being_replaced_is_the_old_or_the_new_one() {
    if !on_path("strace") {
        return;
    }
    let data = prepared();
    let root = data.path().join("root.json");
    let mut first = data.command();
    first.args([
        "--json",
        "delegate",
        "--new-key",
        "--agent",
        "a",
        "--max-depth",
        "2",
        "--tool",
        "stdio:fs#*",
        "--as",
    ]);
    assert!(first.arg(data.path().join("maya.key")).arg("-o").arg(&root).status().unwrap().success());
    let (mut old, mut new) = (0, 0);
    for step in ["openat", "write", "fsync", "fdatasync", "rename", "renameat", "renameat2", "close"] {
        for nth in 1..OCCURRENCES_MAX {
            let file = data.path().join("child.json");
            std::fs::copy(&root, &file).unwrap();
            let before = std::fs::read(&file).unwrap();
            let mut traced = Command::new("strace");
            traced
                .args(["-f", "-o", "/dev/null"])
                .args(inject(step, nth))
                .arg(DEEDS)
                .arg("--data")
                .arg(data.data());
            traced.args(["delegate", "--force", "--new-key", "--agent", "b", "--tool", "stdio:fs#read_file"]);
            traced.arg("--from");
            traced.arg(&root).arg("-o").arg(&file).stdout(Stdio::null()).stderr(Stdio::null());
            let survived = traced.status().unwrap().success();
            let after = std::fs::read(&file).unwrap();
            if after == before {
                assert!(!survived);
                old += 1;
            } else {
                let given: Value = serde_json::from_slice(&after).expect("a whole file");
                assert_eq!(given["chain"].as_array().unwrap().len(), 2);
                assert!(given["key"]["d"].is_string());
                new += 1;
            }
            if survived {
                break;
            }
        }
    }
    eprintln!("{old} times the old file, {new} times the new one");
    assert!(old > 5 && new > 0, "{old} {new}");
    let left: Vec<_> =
        std::fs::read_dir(data.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    eprintln!("beside it: {left:?}");
}

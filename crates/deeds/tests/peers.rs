//! deeds between programs that others wrote: official MCP clients in Python, official MCP servers, strace, and the
//! second verifier. `scripts/peers` installs them; without them these tests say so and pass, and fail with `CI=true`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at what it did not expect"
)]
#![allow(clippy::indexing_slicing, reason = "a test stops at what it did not expect")]

mod support;

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use serde_json::Value;
use support::{DEEDS, Data, FILESYSTEM, PYTHON, on_path, peer, root};

const TIME: &str = ".peers/python/bin/mcp-server-time";

/// The JSON that a client prints about what it saw.
fn seen(command: &mut Command) -> Value {
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{errors}", output.status);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}\n{errors}"))
}

/// Python client → deeds wrap → wrapped command.
fn client(script: &str, data: &Data, before: &[&str], wrapped: &[&str]) -> Command {
    let mut command = Command::new(root().join(PYTHON));
    command.arg(root().join("peers").join(script)).args(before);
    command.arg(DEEDS).arg("--data").arg(data.data()).args(["wrap", "--"]).args(wrapped);
    command
}

#[test]
fn a_file_server_behind_wrap_behaves_and_what_policy_forbids_does_not_happen() {
    let (Some(_), Some(server)) = (peer(PYTHON), peer(FILESYSTEM)) else { return };
    let data = Data::new();
    let files = data.path().join("files");
    std::fs::create_dir_all(files.join("secret")).unwrap();
    let files = files.canonicalize().unwrap();
    std::fs::write(files.join("hello.txt"), "hello\n").unwrap();
    let policy = data.path().join("policy");
    std::fs::create_dir(&policy).unwrap();
    let forbid = format!(
        "@id(\"all\") permit (principal, action, resource);\n\
         @id(\"no-secrets\") forbid (principal, action, resource == Deeds::Tool::\"stdio:mcp-server-filesystem#write_file\")\n\
         when {{ context.args.hasTag(\"path.norm\") && context.args.getTag(\"path.norm\") like \"{}/secret/*\" }};\n",
        files.display()
    );
    std::fs::write(policy.join("files.cedar"), forbid).unwrap();
    data.json(&["policy", "activate", policy.to_str().unwrap()]);

    let dir = files.to_str().unwrap();
    let saw = seen(&mut client("filesystem_client.py", &data, &[dir], &[server.to_str().unwrap(), dir]));
    assert_eq!(saw["protocol"], "2025-11-25");
    assert!(saw["tools"].as_array().unwrap().contains(&"write_file".into()));
    assert!(saw["list"]["text"].as_str().unwrap().contains("hello.txt"));
    assert_eq!(saw["read"]["text"], "hello\n");
    assert_eq!(saw["write"]["error"], false);
    assert_eq!(std::fs::read_to_string(files.join("made.txt")).unwrap(), "made\n");
    for refused in ["forbidden", "sneaky"] {
        assert_eq!(saw[refused]["error"], true, "{saw}");
        assert!(
            saw[refused]["text"].as_str().unwrap().contains("no-secrets")
                || saw[refused]["text"].as_str().unwrap().contains('@')
        );
    }
    assert_eq!(saw["missing"]["error"], true);
    assert_eq!(
        std::fs::read_dir(files.join("secret")).unwrap().count(),
        0,
        "what was refused did not happen"
    );

    let did = data.json(&["did"]);
    let rows = did["actions"].as_array().unwrap();
    assert_eq!(rows.len(), 6, "{did}");
    assert!(rows.iter().all(|row| row["args_digest"]["value"].is_string()), "{did}");
    let count = |pointer: &str, value: &str| {
        rows.iter().filter(|row| row.pointer(pointer).is_some_and(|found| found == value)).count()
    };
    assert_eq!((count("/verdict/value", "allow"), count("/verdict/value", "deny")), (4, 2), "{did}");
    assert_eq!(
        (count("/outcome/status/value", "ok"), count("/outcome/status/value", "tool-error")),
        (3, 1),
        "{did}"
    );
}

#[test]
fn a_stateless_client_and_server_speak_through_wrap() {
    let (Some(_), Some(server)) = (peer(PYTHON), peer(TIME)) else { return };
    let data = Data::new();
    let saw = seen(&mut client("time_client.py", &data, &[], &[server.to_str().unwrap()]));
    assert_eq!(saw["protocol"], "2026-07-28");
    assert_eq!(saw["now"]["error"], false);
    let did = data.json(&["did"]);
    assert_eq!(did["actions"][0]["outcome"]["status"]["value"], "ok", "{did}");
    assert!(did["actions"][0]["tool"]["value"].as_str().unwrap().ends_with("#get_current_time"), "{did}");
}

#[test]
fn the_journal_is_synced_before_the_server_reads_the_call() {
    let (Some(_), Some(server)) = (peer(PYTHON), peer(TIME)) else { return };
    if !on_path("strace") {
        return;
    }
    let data = Data::new();
    let trace = data.path().join("trace");
    let inner = client("time_client.py", &data, &[], &[server.to_str().unwrap()]);
    let mut traced = Command::new("strace");
    traced.args(["-f", "-ttt", "-s", "4096", "-e", "trace=fdatasync,read,write,writev", "-o"]).arg(&trace);
    traced.arg(inner.get_program()).args(inner.get_args());
    // strace follows the server too, which outlives the client: it ends when that is stopped
    let mut tracer = traced.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(tracer.stdout.take().unwrap()).read_line(&mut line).unwrap();
    data.stop();
    tracer.wait().unwrap();
    let saw: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(saw["now"]["error"], false);
    let lines: Vec<String> =
        String::from_utf8_lossy(&std::fs::read(&trace).unwrap()).lines().map(str::to_owned).collect();
    // The frame is written exactly twice: by the client to the wrap, and by the wrap to the server's process.
    let frame = |line: &str, call: &str| {
        line.contains(call)
            && line.contains("\\\"method\\\":\\\"tools/call\\\"")
            && !line.contains("POST /v1")
    };
    let positions =
        |call: &str| -> Vec<usize> { (0..lines.len()).filter(|at| frame(&lines[*at], call)).collect() };
    let (written, read) = (positions("write"), positions("read"));
    assert_eq!(written.len(), 2, "{:?}", written.iter().map(|at| &lines[*at]).collect::<Vec<_>>());
    let synced =
        lines[written[0]..written[1]].iter().any(|line| line.contains("fdatasync") && line.ends_with("= 0"));
    assert!(synced, "a journal sync returns between the two:\n{}", lines[written[0]..=written[1]].join("\n"));
    assert!(read.last().is_some_and(|last| *last > written[1]), "the server's process reads it after that");
}

#[test]
fn the_second_verifier_agrees_on_every_vector() {
    let Some(python) = peer(PYTHON) else { return };
    let verifier = root().join("tools/verify.py");
    let run = |args: &[&str]| {
        let output = Command::new(&python).arg(&verifier).args(args).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
        text
    };
    let vectors = root().join("vectors/v0");
    eprintln!("{}", run(&["--vectors", vectors.to_str().unwrap()]));
    // every byte of two bundles that verify; the Rust test does the same with every small vector
    for name in ["genesis-alone", "action-pinned"] {
        eprintln!("{}", run(&["--flip", vectors.join(name).with_extension("deeds").to_str().unwrap()]));
    }
}

#[test]
fn the_programs_in_python_pass_their_own_tests() {
    let Some(python) = peer(PYTHON) else { return };
    for tests in ["tools", "clients/python"] {
        let mut suite = Command::new(&python);
        suite.args(["-m", "unittest", "discover"]).current_dir(root().join(tests));
        let output = suite.output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{tests}: {text}");
        assert!(!text.contains("Ran 0 tests"), "{tests}: {text}");
    }
}

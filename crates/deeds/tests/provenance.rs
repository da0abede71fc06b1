//! Where things come from, as people ask for it: a command behind `deeds run`, its files, a withdrawal, what may be
//! missing, tasks, filters. Against the real program and server.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at what it did not expect"
)]

mod support;

use std::fs;

use serde_json::{Value, json};
use support::Data;

/// A data directory, and a directory with one file in which commands run.
fn place() -> (Data, std::path::PathBuf) {
    let data = Data::new();
    let work = data.path().canonicalize().unwrap().join("work");
    fs::create_dir(&work).unwrap();
    fs::write(work.join("in.csv"), "one\n").unwrap();
    (data, work)
}

/// Runs a shell script behind `deeds run`, with the files that it reads and writes.
fn run(data: &Data, work: &std::path::Path, files: &[&str], script: &str) -> Option<i32> {
    let mut command = data.command();
    command.current_dir(work).arg("run").args(files).args(["--", "sh", "-c", script]);
    command.output().unwrap().status.code()
}

/// The JSON of a command in a directory, and its exit code.
fn asked(data: &Data, work: &std::path::Path, args: &[&str]) -> (Value, i32) {
    let output = data.command().current_dir(work).arg("--json").args(args).output().unwrap();
    let code = output.status.code().unwrap();
    let json = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{args:?}: {error}\n{}", String::from_utf8_lossy(&output.stderr)));
    (json, code)
}

#[test]
fn from_a_file_to_the_command_that_made_it_and_on_to_what_must_be_recalled() {
    let (data, work) = place();
    let both = ["--reads", "in.csv", "--writes", "out.txt"];
    assert_eq!(run(&data, &work, &both, "cat in.csv in.csv > out.txt"), Some(0));
    assert_eq!(run(&data, &work, &["--reads", "out.txt"], "exit 3"), Some(3));

    let (traced, code) = asked(&data, &work, &["trace", "out.txt", "--up"]);
    assert_eq!(code, 0, "{traced}");
    let row = &traced["acts"][0];
    let made = row["act"]["index"].as_u64().unwrap();
    assert_eq!(
        (&row["role"], &row["artifacts"][0]["value"]["change"]),
        (&json!("output"), &json!("created"))
    );
    let digest = row["artifacts"][0]["value"]["digest"].as_str().unwrap().to_owned();
    // by its digest, and one hop down from the act
    let (by_digest, _) = asked(&data, &work, &["trace", &digest]);
    let roles: Vec<&Value> = by_digest["acts"].as_array().unwrap().iter().map(|row| &row["role"]).collect();
    assert_eq!(roles, ["input", "output"]);
    let (act, _) = asked(&data, &work, &["trace", &format!("@{made}"), "--down"]);
    assert_eq!(act["artifacts"][0]["used_by"].as_array().unwrap().len(), 1);

    let (withdrawn, code) = asked(&data, &work, &["withdraw", "in.csv", "--why", "wrong figures"]);
    assert_eq!((code, &withdrawn["had"]["acts"][0]["act"]["index"]), (0, &json!(made)));
    let (traced, code) = asked(&data, &work, &["trace", "in.csv"]);
    assert_eq!((code, &traced["withdrawn"][0]["index"]), (1, &withdrawn["index"]));
    assert!(data.refused(&["withdraw", "@3", "--why", "x"]).contains("is an act"));
    let text = data.command().current_dir(&work).args(["did"]).output().unwrap();
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains("was withdrawn") && text.contains("wrong figures"), "{text}");
}

#[test]
fn filters_tasks_and_names_of_entries() {
    let (data, work) = place();
    for script in ["true", "exit 1"] {
        run(&data, &work, &["--name", "build", "--reads", "in.csv"], script);
    }
    let did = |args: &[&str]| -> Vec<u64> {
        let (answer, code) = asked(&data, &work, &[&["did"], args].concat());
        assert_eq!(code, 0, "{args:?}: {answer}");
        answer["actions"].as_array().unwrap().iter().map(|row| row["index"].as_u64().unwrap()).collect()
    };
    let all = did(&[]);
    assert_eq!(all.len(), 2);
    assert_eq!(did(&["--outcome", "tool-error"]), all[..1]);
    assert_eq!(did(&["--outcome", "ok", "--verdict", "allowed", "--tool", "run:build#*"]), all[1..]);
    assert!(did(&["--verdict", "denied"]).is_empty());
    // an entry names its run and its task
    let at = format!("@{}", all[1]);
    assert_eq!(did(&[&at]), all[1..]);
    assert_eq!(did(&["--run", &at, "--from", "1h"]), all[1..]);
    assert_eq!(did(&["--task", &at]), all);
    let (tasks, _) = asked(&data, &work, &["tasks"]);
    let task = &tasks["tasks"][0];
    assert_eq!(
        (&task["runs"], &task["actions"], &task["servers"]),
        (&json!(2), &json!(2), &json!(["build"]))
    );
    let (runs, _) = asked(&data, &work, &["runs", "--task", &at, "--from", "1h"]);
    assert_eq!(runs["runs"].as_array().unwrap().len(), 2);
    let error = data.refused(&["did", "--run", "@0"]);
    assert!(error.contains("@0 is of no run") && error.contains("log-genesis"), "{error}");
    let error = data.refused(&["did", "--tool", "build#nothing"]);
    assert!(error.contains("stdio:build#nothing"), "{error}");
    let error = data.refused(&["trace", "@0"]);
    assert!(error.contains("no action but an entry of the kind `log-genesis`"), "{error}");
    let (gaps, code) = asked(&data, &work, &["gaps"]);
    assert_eq!((code, &gaps["gaps"]), (0, &json!([])));
}

#[test]
fn a_file_is_compared_with_what_is_recorded_of_it() {
    let (data, work) = place();
    assert_eq!(run(&data, &work, &["--name", "build", "--writes", "out.txt"], "echo x > out.txt"), Some(0));
    let (same, code) = asked(&data, &work, &["trace", "out.txt"]);
    assert_eq!((code, &same["on_disk"]["is"]), (0, &json!("as-recorded")));
    let digest = same["on_disk"]["digest"].as_str().unwrap().to_owned();
    assert_eq!(same["latest"]["artifact"]["value"]["digest"], json!(digest));
    // as `sha256sum` prints it
    let (bare, _) = asked(&data, &work, &["trace", digest.trim_start_matches("sha256:")]);
    assert_eq!((&bare["of"]["digest"], bare["acts"].as_array().unwrap().len()), (&json!(digest), 1));
    assert!(data.refused(&["trace", &"0f".repeat(20)]).contains("git's ids are not recorded"));

    fs::write(work.join("out.txt"), "y\n").unwrap();
    let (other, code) = asked(&data, &work, &["trace", "out.txt", "--down"]);
    assert_eq!((code, &other["on_disk"]["is"], &other["acts"]), (0, &json!("changed"), &json!([])));
    fs::remove_file(work.join("out.txt")).unwrap();
    assert_eq!(asked(&data, &work, &["trace", "out.txt"]).0["on_disk"], json!({"is": "gone"}));
    let text = data.command().current_dir(&work).args(["trace", "in.csv"]).output().unwrap();
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(
        text.contains("`deeds wrap --files`") && text.contains("asks where its bytes are known"),
        "{text}"
    );

    // the tool, the server and the program of the agent by the names that people know
    let did = |args: &[&str]| {
        asked(&data, &work, &[&["did"], args].concat()).0["actions"].as_array().unwrap().len()
    };
    assert_eq!(
        [did(&["--tool", "build"]), did(&["--tool", "command/run"]), did(&["--verdict", "deny"])],
        [1, 1, 0]
    );
    let (all, _) = asked(&data, &work, &["did"]);
    let agent = all["actions"][0]["holder"]["value"]["id"].as_str().unwrap();
    let program = format!("{}/*", agent.rsplit_once('/').unwrap().0);
    assert_eq!(did(&[&program]), 1);
    assert!(
        data.refused(&["did", "--tool", "other#command/run"])
            .contains("did you mean `run:build#command/run`?")
    );
    let (allowed, _) = asked(&data, &work, &["allowed", agent]);
    assert_eq!(allowed["delegations"][0]["runs_ended"]["count"], 1, "{allowed}");
}

#[test]
fn an_index_that_is_thrown_away_says_the_same_and_nothing_on_a_pipe() {
    let (data, work) = place();
    run(&data, &work, &["--writes", "out.txt"], "echo x > out.txt");
    let before = asked(&data, &work, &["trace", "out.txt"]).0;
    let output = data.command().arg("reindex").output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    assert_eq!(asked(&data, &work, &["trace", "out.txt"]).0["acts"], before["acts"]);
}

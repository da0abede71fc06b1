//! The server is started by whoever needs it: once, for all of them, and again after it was stopped or killed.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at what it did not expect"
)]

use std::path::Path;
use std::process::{Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

fn deeds(home: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_deeds"));
    command.args(args).current_dir(home).env_clear().env("HOME", home).env("DEEDS_DATA", home.join("data"));
    command
}

fn said(output: &Output) -> String {
    format!(
        "{}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

fn json(output: &Output) -> Value {
    assert!(output.status.success(), "{}", said(output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Stops the server of a directory when the test ends, however it ends.
struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn ask(&self, args: &[&str]) -> Value {
        json(&deeds(self.0.path(), args).output().unwrap())
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        drop(deeds(self.0.path(), &["stop"]).output());
    }
}

#[test]
fn of_many_starters_at_once_one_starts_and_all_are_served() {
    let home = Home::new();
    let starters: Vec<_> = (0..8)
        .map(|n| {
            let mut command = deeds(home.0.path(), &["principal", "add", &format!("p{n}"), "--json"]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    let answers: Vec<Value> =
        starters.into_iter().map(|starter| json(&starter.wait_with_output().unwrap())).collect();
    assert!(
        answers.iter().all(|answer| answer["principal"]["iss"] == answers[0]["principal"]["iss"]),
        "{answers:?}"
    );
    assert_eq!(home.ask(&["principal", "list", "--json"])["principals"].as_array().unwrap().len(), 8);
    let log = std::fs::read_to_string(home.0.path().join("data/serve.log")).unwrap();
    assert_eq!(log.matches("serving").count(), 1, "{log}");

    let stopped = home.ask(&["stop", "--json"]);
    assert_eq!(stopped["stopped"], true);
    assert_eq!(home.ask(&["stop", "--json"])["stopped"], false);
}

#[test]
fn the_server_outlives_its_starter_and_comes_back_after_a_kill() {
    let home = Home::new();
    home.ask(&["principal", "add", "ana", "--json"]);
    let before = home.ask(&["status", "--json"]);
    // the starter has ended by now; the server has not
    assert_eq!(home.ask(&["status", "--json"])["log_id"], before["log_id"]);
    let log = std::fs::read_to_string(home.0.path().join("data/LOCK")).unwrap();
    let pid = log.split_whitespace().skip_while(|word| *word != "pid").nth(1).unwrap();
    kill_process(Pid::from_raw(pid.parse().unwrap()).unwrap(), Signal::KILL).unwrap();
    assert_eq!(home.ask(&["status", "--json"])["log_id"], before["log_id"]);
    let again = std::fs::read_to_string(home.0.path().join("data/serve.log")).unwrap();
    assert_eq!(again.matches("serving").count(), 2, "{again}");
}

#[test]
fn a_server_that_cannot_start_says_why() {
    let home = Home::new();
    let mut command = deeds(home.0.path(), &["principal", "add", "ana"]);
    let output = command.env("DEEDS_POLICY", home.0.path().join("no-policy")).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("did not start") && error.contains("no-policy"), "{error}");
    assert_eq!(error.matches("no-policy").count(), 1, "told once: {error}");
}

#[test]
fn a_policy_that_broke_is_named_on_the_first_line_and_quoted_only_below_it() {
    let home = Home::new();
    let dir = home.0.path().join("policy");
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("a.cedar"), "@id(\"only\") permit (principal, action, resource);\n").unwrap();
    home.ask(&["policy", "activate", "policy", "--json"]);
    home.ask(&["stop", "--json"]);
    std::fs::write(dir.join("a.cedar"), "@id(\"x\") forbid (principal, action, resource == zebra);\n")
        .unwrap();
    let output = deeds(home.0.path(), &["status"]).env("DEEDS_POLICY", &dir).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    let error = String::from_utf8_lossy(&output.stderr);
    let (first, below) = error.split_once('\n').unwrap();
    let named =
        format!("the policy in `{0}` cannot be used (`deeds policy check {0}` shows why)", dir.display());
    assert!(first.contains(&named) && first.contains("serve.log") && !first.contains("zebra"), "{error}");
    assert!(below.contains("a.cedar:1:") && below.contains("zebra"), "{error}");
}

#[test]
fn a_server_that_was_started_by_hand_with_a_policy_is_said_to_bring_it_back() {
    let home = Home::new();
    for name in ["by-hand", "other"] {
        let dir = home.0.path().join(name);
        std::fs::create_dir(&dir).unwrap();
        let rule = format!("@id(\"{name}\") permit (principal, action, resource);\n");
        std::fs::write(dir.join("a.cedar"), rule).unwrap();
    }
    // as by hand: the directory is in nobody's configuration, and in no variable of those who ask afterwards
    let by_hand = home.0.path().join("by-hand");
    let mut first = deeds(home.0.path(), &["principal", "add", "ana", "--json"]);
    json(&first.env("DEEDS_POLICY", &by_hand).output().unwrap());
    let other = home.ask(&["policy", "activate", "other", "--json"]);
    assert_eq!(other["at_next_start"]["dir"], by_hand.to_str().unwrap(), "{other}");
    assert_eq!(other["at_next_start"]["named_by"], "the start of the server");
    let back = home.ask(&["policy", "activate", "by-hand", "--json"]);
    assert_eq!(back["at_next_start"], Value::Null, "{back}");
    home.ask(&["stop", "--json"]);
    let unnamed = home.ask(&["policy", "activate", "other", "--json"]);
    assert_eq!(unnamed["at_next_start"], Value::Null, "{unnamed}");
}

#[test]
fn principals_are_registered_once_and_retired() {
    let home = Home::new();
    let added = home.ask(&["principal", "add", "ana", "--kind", "human", "--json"]);
    assert_eq!((&added["made"], &added["principal"]["sub"]), (&true.into(), &"ana".into()));
    let key = home.0.path().join(".config/deeds/keys/ana.key");
    assert_eq!(added["key_file"], key.to_str().unwrap());

    // once more with the key that is there: it stays as it is
    let text = std::fs::read_to_string(&key).unwrap();
    let again = home.ask(&["principal", "add", "ana", "--json"]);
    assert_eq!((&again["made"], &again["principal"]), (&false.into(), &added["principal"]));
    assert_eq!(std::fs::read_to_string(&key).unwrap(), text);

    let list = home.ask(&["principal", "list", "--json"]);
    assert_eq!(list["principals"].as_array().unwrap().len(), 1);
    let retired = home.ask(&["principal", "retire", "ana", "--json"]);
    assert_eq!(retired["thumbprint"], added["principal"]["key"]);
    let nobody = deeds(home.0.path(), &["principal", "retire", "ana"]).output().unwrap();
    assert!(said(&nobody).contains("no key of `ana` is in force"), "{}", said(&nobody));
}

#[test]
fn a_policy_is_activated_shown_and_kept_over_a_restart() {
    let home = Home::new();
    let dir = home.0.path().join("policy");
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("a.cedar"), "@id(\"only\") permit (principal, action, resource);\n").unwrap();
    let activated = home.ask(&["policy", "activate", "policy", "--json"]);
    let shown = home.ask(&["policy", "show", "--json"]);
    assert_eq!((&shown["digest"], &shown["policies"][0]["id"]), (&activated["digest"], &"only".into()));
    home.ask(&["stop", "--json"]);
    assert_eq!(home.ask(&["policy", "show", "--json"])["digest"], activated["digest"]);

    std::fs::write(dir.join("b.cedar"), "permit (principal, action, resource);\n").unwrap();
    let refused = deeds(home.0.path(), &["policy", "activate", "policy"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
    assert!(said(&refused).contains("b.cedar"), "{}", said(&refused));
    assert_eq!(home.ask(&["policy", "show", "--json"])["digest"], activated["digest"]);
}

//! The command line as people meet it: help of every command, errors, exit codes. No server is started.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at what it did not expect"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use insta::assert_snapshot;

/// Runs `deeds` in a directory of its own, away from the configuration of whoever runs the tests.
fn deeds(home: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_deeds"))
        .args(args)
        .current_dir(home)
        .env_clear()
        .env("HOME", home)
        .output()
        .unwrap()
}

/// Exit code and both streams, with the directory's own name taken out.
fn said(home: &Path, args: &[&str]) -> String {
    let output = deeds(home, args);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(home.to_str().unwrap(), "HOME");
    let code = output.status.code().unwrap();
    format!("exit {code}\n--- stdout\n{}--- stderr\n{}", text(&output.stdout), text(&output.stderr))
}

fn home() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn help_teaches_every_command() {
    let home = home();
    for command in [
        "",
        "init",
        "doctor",
        "install",
        "completions",
        "man",
        "serve",
        "stop",
        "wrap",
        "run",
        "runs",
        "tasks",
        "did",
        "gaps",
        "trace",
        "withdraw",
        "definitions",
        "authority",
        "delegate",
        "mandate",
        "revoke",
        "doubt",
        "halt",
        "halts",
        "resume",
        "allowed",
        "delegations",
        "identities",
        "entry",
        "prove",
        "verify",
        "principal",
        "principal add",
        "principal list",
        "principal retire",
        "policy",
        "policy show",
        "policy check",
        "policy activate",
        "status",
        "reindex",
        "demo",
    ] {
        let mut args: Vec<&str> = command.split_whitespace().collect();
        args.push("--help");
        let output = deeds(home.path(), &args);
        assert!(output.status.success() && output.stderr.is_empty(), "{command}");
        let help = String::from_utf8(output.stdout).unwrap();
        assert!(command.is_empty() || help.contains("Example") || help.contains("Commands:"), "{command}");
        assert_snapshot!(format!("help {command}").trim().replace(' ', "_"), help);
    }
}

#[test]
fn the_short_help_lists_the_commands_and_hides_the_players() {
    let home = home();
    let help = String::from_utf8(deeds(home.path(), &["-h"]).stdout).unwrap();
    assert!(help.contains("wrap") && !help.contains("player"), "{help}");
    assert!(deeds(home.path(), &["player", "tool", "--help"]).status.success());
}

#[test]
fn wrong_names_are_explained_and_exit_with_2() {
    let home = home();
    let path = home.path();
    assert_snapshot!("authority_without_at", said(path, &["authority", "42"]));
    assert_snapshot!("entry_with_a_word", said(path, &["entry", "@first"]));
    assert_snapshot!("did_with_a_bad_tool", said(path, &["did", "--tool", "fs#"]));
    assert_snapshot!("trace_with_a_bad_digest", said(path, &["trace", "sha256:abc"]));
    assert_snapshot!("did_with_a_bad_time", said(path, &["did", "--from", "yesterday"]));
    assert_snapshot!("wrap_without_a_command", said(path, &["wrap", "--name", "fs"]));
    assert_snapshot!("wrap_with_a_bad_alias", said(path, &["wrap", "--name", "F S", "--", "true"]));
    assert_snapshot!("wrap_that_names_an_agent_alone", said(path, &["wrap", "--agent", "bot", "--", "true"]));
    assert_snapshot!("prove_without_a_file", said(path, &["prove", "@42"]));
}

#[test]
fn misspelt_settings_are_refused_before_anything_is_done() {
    let home = home();
    let config = home.path().join(".config/deeds");
    fs::create_dir_all(&config).unwrap();
    fs::write(config.join("config.toml"), "dta = \"/srv/deeds\"\n").unwrap();
    assert_snapshot!("config_with_a_typing_error", said(home.path(), &["status"]));
    fs::write(config.join("config.toml"), "log = \"deeds=loud\"\n").unwrap();
    assert_snapshot!("config_with_a_bad_filter", said(home.path(), &["status"]));
    assert_snapshot!("config_that_is_not_there", said(home.path(), &["status", "--config", "none.toml"]));
    assert!(!home.path().join(".local").exists(), "no data directory was made");
}

#[test]
fn a_key_that_others_can_read_is_refused_before_the_server_is_started() {
    let home = home();
    let key = home.path().join("ciso.key");
    fs::write(&key, "deeds-key-ed25519 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA ciso\n").unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    assert_snapshot!(
        "key_that_others_can_read",
        said(home.path(), &["wrap", "--principal", "ciso.key", "--", "true"])
    );
    assert_snapshot!(
        "key_that_is_not_there",
        said(home.path(), &["wrap", "--principal", "no.key", "--", "true"])
    );
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&key, "-----BEGIN PRIVATE KEY-----\n").unwrap();
    assert_snapshot!(
        "key_of_another_format",
        said(home.path(), &["wrap", "--principal", "ciso.key", "--", "true"])
    );
    assert!(!home.path().join(".local").exists(), "no server was started");
}

#[test]
fn a_command_that_cannot_be_asked_for_ends_with_125_and_is_not_started() {
    let home = home();
    let path = home.path();
    fs::create_dir_all(path.join("d/".repeat(66))).unwrap();
    for (name, args) in [
        ("run_with_a_bad_alias", &["run", "--name", "F S", "--", "touch", "made"][..]),
        ("run_without_an_alias", &["run", "--", "@"]),
        ("run_with_a_token_that_is_none", &["run", "--oidc-token-file", "token", "--", "touch", "made"]),
        ("run_that_names_an_agent_alone", &["run", "--agent", "bot", "--", "touch", "made"]),
    ] {
        fs::write(path.join("token"), "ghp_0123").unwrap();
        assert_snapshot!(name, said(path, args));
    }
    // how the command line must look is said by the same code as for every other command
    assert_snapshot!("run_without_a_command", said(path, &["run", "--writes", "."]));
    assert!(!path.join("made").exists() && !path.join(".local").exists(), "nothing was started");
}

#[test]
fn a_data_directory_that_cannot_be_is_named() {
    let home = home();
    fs::write(home.path().join("file"), "").unwrap();
    assert_snapshot!(
        "data_below_a_file",
        said(home.path(), &["principal", "add", "ana", "--data", "file/data"])
    );
    let long = "d".repeat(120);
    assert_snapshot!(
        "data_too_deep_for_a_socket",
        said(home.path(), &["runs", "--data", &format!("/{long}")])
    );
}

#[test]
fn questions_about_a_log_that_is_not_there_make_none() {
    let home = home();
    assert_snapshot!("runs_without_a_log", said(home.path(), &["runs", "--data", "nowhere"]));
    fs::write(
        home.path().join("ana.key"),
        "deeds-key-ed25519 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA ana\n",
    )
    .unwrap();
    fs::set_permissions(home.path().join("ana.key"), fs::Permissions::from_mode(0o600)).unwrap();
    for line in [
        "did",
        "delegate --as ana.key --new-key --tool edr#isolate -o out",
        "mandate --as ana.key --for bot --tool edr#isolate --purpose test",
        "revoke ana --why test",
        "doubt @1",
        "halt all --why test",
        "halts",
        "resume all --as ana.key --why test",
        "allowed ana",
        "delegations",
        "identities",
        "authority @1",
        "entry @1",
        "prove @1 -o x",
        "status",
        "policy show",
        "principal list",
        "principal retire ana",
    ] {
        let args: Vec<&str> = line.split(' ').collect();
        let said = said(home.path(), &[&args[..], &["--data", "nowhere"]].concat());
        assert!(said.starts_with("exit 2\n") && said.contains("there is no log in"), "{line}: {said}");
    }
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1, "nothing but the key");
}

#[test]
fn delegations_and_orders_that_cannot_be_meant_are_explained() {
    let home = home();
    let path = home.path();
    assert_snapshot!("delegate_on_nobodys_authority", said(path, &["delegate", "--new-key", "-o", "x"]));
    assert_snapshot!("delegate_to_nobody", said(path, &["delegate", "--from", "x", "-o", "y"]));
    assert_snapshot!(
        "delegate_with_a_limit_before_its_tool",
        said(path, &["delegate", "--from", "x", "--new-key", "--arg", "n=1", "--tool", "a#b", "-o", "y"])
    );
    assert_snapshot!(
        "delegate_with_a_bad_limit",
        said(
            path,
            &["delegate", "--from", "x", "--new-key", "--tool", "a#b", "--arg", "n=range:5", "-o", "y"]
        )
    );
    assert_snapshot!(
        "delegate_from_a_missing_file",
        said(path, &["delegate", "--from", "x", "--new-key", "--agent", "bot", "-o", "y"])
    );
    assert_snapshot!(
        "break_glass_without_a_reason",
        said(path, &["delegate", "--as", "k", "--purpose", "break-glass", "--new-key", "-o", "y"])
    );
    assert_snapshot!(
        "wrap_under_a_missing_delegation",
        said(path, &["wrap", "--delegation", "x", "--", "true"])
    );
    assert_snapshot!(
        "wrap_with_two_authorities",
        said(path, &["wrap", "--delegation", "x", "--principal", "k", "--", "true"])
    );
    assert_snapshot!(
        "mandate_that_stands_too_long",
        said(path, &["mandate", "--for", "b", "--purpose", "p", "--ttl", "36d"])
    );
    assert_snapshot!("revoke_without_a_reason", said(path, &["revoke", "tenant"]));
    assert_snapshot!("resume_without_a_key", said(path, &["resume", "all", "--why", "x"]));
    assert!(!path.join(".local").exists() && !path.join("y").exists(), "nothing was made");
}

#[test]
fn stopping_what_does_not_run_is_fine() {
    let home = home();
    assert_snapshot!("stop_without_a_server", said(home.path(), &["stop"]));
    assert_snapshot!("stop_without_a_server_json", said(home.path(), &["stop", "--json"]));
}

#[test]
fn verify_tells_failed_from_unreadable_and_from_misused() {
    let home = home();
    fs::write(home.path().join("junk.deeds"), "no evidence at all, but longer than a digest").unwrap();
    assert_snapshot!("verify_junk", said(home.path(), &["verify", "junk.deeds"]));
    let json = deeds(home.path(), &["verify", "--json", "junk.deeds"]);
    let report: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!((json.status.code(), &report["verdict"]), (Some(2), &"unreadable".into()));
    let codes: Vec<_> = report["findings"].as_array().unwrap().iter().map(|found| &found["code"]).collect();
    assert!(codes.contains(&&"bundle-malformed".into()), "{report}");
    assert_snapshot!("verify_a_missing_file", said(home.path(), &["verify", "none.deeds", "junk.deeds"]));
    assert_snapshot!(
        "verify_with_a_bad_pin",
        said(home.path(), &["verify", "--pin-key", "abc", "junk.deeds"])
    );
    assert_snapshot!(
        "verify_with_a_bad_log_key",
        said(home.path(), &["verify", "--log-key", "abc", "junk.deeds"])
    );
    fs::write(home.path().join("trust"), "witness x\nquorum none\n").unwrap();
    assert_snapshot!(
        "verify_with_witnesses",
        said(home.path(), &["verify", "--trust", "trust", "junk.deeds"])
    );
}

#[test]
fn policies_are_checked_without_a_server() {
    let home = home();
    let dir = home.path().join("policy");
    fs::create_dir(&dir).unwrap();
    let rule = "@id(\"all\")\npermit (principal, action in Deeds::Action::\"act\", resource);\n";
    fs::write(dir.join("a.cedar"), rule).unwrap();
    assert_snapshot!("policy_check_sound", said(home.path(), &["policy", "check", "policy"]));
    fs::write(dir.join("a.cedar"), "@id(\"all\")\npermit (principal, action, resource);\n").unwrap();
    assert_snapshot!("policy_check_warned", said(home.path(), &["policy", "check", "policy"]));
    let json = deeds(home.path(), &["policy", "check", "policy", "--json"]);
    let report: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!((json.status.code(), &report["accepted"]), (Some(0), &true.into()));
    let span = ["line", "column", "end_line", "end_column"].map(|name| report["warnings"][0][name].as_u64());
    assert_eq!(span, [Some(2), Some(20), Some(2), Some(26)]);
    fs::write(dir.join("b.cedar"), "permit (principal, action, resource) when { context.nothing };\n")
        .unwrap();
    fs::write(dir.join("classes.toml"), "[[tool]]\nuri = \"stdio:日本#x\"\nclasses = [\"raed\"]\n").unwrap();
    assert_snapshot!("policy_check_refused", said(home.path(), &["policy", "check", "policy"]));
    assert_snapshot!("policy_activate_refused", said(home.path(), &["policy", "activate", "policy"]));
    let json = deeds(home.path(), &["policy", "check", "policy", "--json"]);
    let report: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!((json.status.code(), &report["accepted"]), (Some(1), &false.into()));
    let places = report["findings"].as_array().unwrap().iter().map(|finding| {
        let at = |name: &str| finding[name].as_u64().unwrap();
        (finding["file"].as_str().unwrap(), at("line"), at("column"), at("end_line"), at("end_column"))
    });
    assert_eq!(places.collect::<Vec<_>>(), [("b.cedar", 1, 1, 1, 63), ("classes.toml", 3, 12, 3, 18)]);
    assert_snapshot!("policy_check_nowhere", said(home.path(), &["policy", "check", "none"]));
}

#[test]
fn output_that_nobody_reads_is_no_error() {
    let home = home();
    let mut child = Command::new(env!("CARGO_BIN_EXE_deeds"))
        .args(["stop", "--json"])
        .env_clear()
        .env("HOME", home.path())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.is_empty()), (Some(0), true));
}

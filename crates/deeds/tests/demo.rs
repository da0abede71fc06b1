//! The demo plays story 4 as it is told: counts, reasons, outcomes, verdicts, and the lines that are still to come.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at what it did not expect"
)]

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

/// Runs the demo with a temporary directory of its own, so that what it leaves behind can be seen.
fn demo(temp: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_deeds"))
        .arg("demo")
        .args(args)
        .env("TMPDIR", temp)
        .env("HOME", temp)
        .env_remove("DEEDS_RUN")
        .output()
        .unwrap()
}

/// A step of the account.
fn step<'a>(account: &'a Value, name: &str) -> &'a Value {
    let steps = account["steps"].as_array().unwrap();
    let step = steps.iter().find(|step| step["step"] == name).unwrap_or_else(|| panic!("no step `{name}`"));
    &step["observed"]
}

fn list<'a>(value: &'a Value, name: &str) -> &'a Vec<Value> {
    value[name].as_array().unwrap_or_else(|| panic!("no list `{name}` in {value}"))
}

#[test]
fn the_demo_tells_story_4_and_leaves_nothing_behind() {
    let temp = tempfile::tempdir().unwrap();
    let output = demo(temp.path(), &["--json"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{}\n{said}", String::from_utf8_lossy(&output.stdout));
    let account: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&account["story"], &account["as_told"], &account["kept"]),
        (&json!(4), &json!(true), &Value::Null)
    );
    check_actions(&account);
    check_refusals(&account);
    check_the_unknown(&account);
    check_authority(&account);
    check_proof(&account);
    check_what_is_still_to_come(&account);
    assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 0, "the demo cleans up");
}

fn check_actions(account: &Value) {
    let record = step(account, "record");
    let actions = list(record, "actions");
    let count = |tool: &str, verdict: &str, status: &str| {
        let matches = |action: &&Value| {
            action["tool"] == tool && action["verdict"] == verdict && action["status"] == status
        };
        actions.iter().filter(matches).count()
    };
    assert_eq!(count("stdio:edr#isolate_host", "allow", "ok"), 14);
    assert_eq!(count("stdio:edr#isolate_host", "allow", "unknown"), 1);
    assert_eq!(count("stdio:edr#isolate_host", "deny", ""), 1);
    assert_eq!(count("stdio:edr#release_host", "allow", "ok"), 3);
    assert_eq!(count("stdio:idp#disable_user", "deny", ""), 1);
    assert_eq!(count("stdio:ticket#create", "allow", "ok"), 1);
    assert_eq!(actions.len(), 21);
    assert_eq!((&record["allowed"], &record["refused"]), (&json!(19), &json!(2)));
    let decisions: Vec<u64> = actions.iter().map(|action| action["decision"].as_u64().unwrap()).collect();
    assert!(decisions.is_sorted(), "{decisions:?}");
    // three wraps of one client: three runs, one task
    let runs = record["runs"]["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 3, "{runs:?}");
    assert!(runs.iter().all(|run| run["task"]["value"] == record["task"]));
    assert!(runs.iter().all(|run| run["holder"]["value"]["id"] == "containment-agent"));
    assert!(runs.iter().all(|run| run["initiator"]["value"]["sub"] == "ciso"));
    assert!(
        runs.iter().all(|run| run["grade"]["value"] == "key-signed" && run["trigger"]["value"] == "event")
    );
}

fn check_refusals(account: &Value) {
    let refused = list(step(account, "refused"), "actions");
    let by_tool = |tool: &str| refused.iter().find(|action| action["tool"] == tool).unwrap();
    let controller = by_tool("stdio:edr#isolate_host");
    assert_eq!(
        (&controller["args"], &controller["reason"]["step"]),
        (&json!({"host": "dc-01"}), &json!("scope"))
    );
    let user = by_tool("stdio:idp#disable_user");
    assert!(user["reason"]["text"].as_str().unwrap().contains("external-needs-a-person"), "{user}");
    for action in refused {
        let told = action["told"].as_str().unwrap();
        assert!(
            told.contains(&format!("@{}", action["decision"])),
            "the agent is told where to look: {told}"
        );
        assert_eq!(action["succeeded"], false);
    }
}

fn check_the_unknown(account: &Value) {
    let observed = step(account, "undone-and-unknown");
    let hosts = |name: &str| -> Vec<&Value> {
        list(observed, name).iter().map(|done| &done["args"]["host"]).collect()
    };
    assert_eq!(hosts("released"), ["ws-0114", "ws-0113", "ws-0112"], "the last isolated first");
    assert_eq!(hosts("killed"), ["ws-0115"]);
    assert_eq!(observed["killed"][0]["status"], "unknown");
    assert_eq!(observed["ticket"][0]["args"]["run"], observed["run"]);
    let journal = list(observed, "edr_journal");
    assert!(journal.contains(&json!("ws-0115")), "the tool had accepted it: {journal:?}");
    assert!(!journal.contains(&json!("dc-01")), "what was refused never reached the tool: {journal:?}");
}

fn check_authority(account: &Value) {
    let authority = step(account, "authority");
    assert_eq!(authority["principal"]["principal"]["value"]["sub"], "ciso");
    assert_eq!(authority["principal"]["principal"]["value"]["key"], step(account, "person")["key"]);
    assert_eq!(authority["run"]["holder"]["value"]["id"], "containment-agent");
    assert_eq!(authority["run"]["holder"]["assurance"], "delegator-asserted");
    assert_eq!(authority["delegation"]["scope"]["value"]["constraints"]["host"]["prefix"], "ws-");
    assert_eq!(authority["tool"]["uri"]["value"], "stdio:edr#isolate_host");
    assert_eq!(authority["decision"]["verdict"]["value"], "allow");
    assert_eq!(authority["decision"]["policy_digest"]["value"], step(account, "server")["policy"]);
    assert_eq!(authority["decision"]["determining"]["value"], json!(["containment.allow"]));
    assert!(authority["decision"]["index"].is_u64());
    assert_eq!(authority["outcome"]["status"]["value"], "ok");
    assert_eq!(authority["committed"]["state"], "included");
    assert!(!list(authority, "not_proven").is_empty());
}

fn check_proof(account: &Value) {
    let verified = step(account, "verified");
    assert_eq!(verified["server_stopped"], true);
    let report = &verified["verify"]["report"];
    assert_eq!((&verified["verify"]["exit"], &report["verdict"]), (&json!(0), &json!("verified")));
    let notes: Vec<&Value> = list(report, "findings").iter().map(|found| &found["code"]).collect();
    assert!(notes.contains(&&json!("unwitnessed")), "{notes:?}");
    assert!(!notes.contains(&&json!("log-key-captured")), "the log's key was pinned: {notes:?}");
    assert!(!notes.contains(&&json!("open-run")), "the run has ended: {notes:?}");

    let tampered = step(account, "tampered");
    let report = &tampered["verify"]["report"];
    assert_eq!((&tampered["verify"]["exit"], &report["verdict"]), (&json!(1), &json!("failed")));
    let errors: Vec<&Value> = list(report, "findings")
        .iter()
        .filter(|found| found["severity"] == "error")
        .map(|found| &found["code"])
        .collect();
    assert!(
        errors.contains(&&json!("bundle-digest")) && errors.contains(&&json!("fields-root")),
        "{errors:?}"
    );
}

fn check_what_is_still_to_come(account: &Value) {
    let lines = list(account, "not_yet");
    for word in ["mandate", "ir-playbook", "21st host", "breaks the glass", "journal"] {
        let found = lines.iter().filter(|line| line["line"].as_str().unwrap().contains(word)).count();
        assert_eq!(found, 1, "`{word}` in {lines:?}");
    }
    assert_eq!(lines.len(), 5);
    let checks = list(account, "checks");
    assert_eq!(checks.len(), 12, "{checks:?}");
    assert!(checks.iter().all(|check| check["holds"] == true), "{checks:?}");
}

#[test]
fn the_demo_in_words_explains_itself_and_keeps_its_directory_when_asked() {
    let temp = tempfile::tempdir().unwrap();
    let output = demo(temp.path(), &["--keep"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    for said in [
        "14 workstations isolated",
        "not yet: ",
        "the domain controller is refused by the delegation",
        "unknown",
        "What this does not prove",
        "verified (exit code 0)",
        "failed (exit code 1)",
        "What next",
        "deeds did --data",
    ] {
        assert!(text.contains(said), "`{said}` in\n{text}");
    }
    assert!(!text.contains("NOT as told"), "{text}");
    let kept: Vec<_> = std::fs::read_dir(temp.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    let [kept] = kept.as_slice() else { panic!("one directory is kept: {kept:?}") };
    assert!(kept.join("isolation.deeds").is_file() && kept.join("data").is_dir());
    assert!(!kept.join("data/deeds.sock").exists(), "the server is stopped");
    // the log outlives the demo: its server starts again on it, by itself
    let data = kept.join("data");
    let ask = |args: &[&str]| {
        let command =
            Command::new(env!("CARGO_BIN_EXE_deeds")).args(args).arg("--data").arg(&data).output().unwrap();
        assert_eq!(command.status.code(), Some(0), "{}", String::from_utf8_lossy(&command.stderr));
        command.stdout
    };
    let did: Value = serde_json::from_slice(&ask(&["did", "containment-agent", "--json"])).unwrap();
    assert_eq!(list(&did, "actions").len(), 21);
    ask(&["stop"]);
}

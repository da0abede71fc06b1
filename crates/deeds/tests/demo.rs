//! The demo plays story 4 as it is told: counts, reasons, outcomes, verdicts, chains, and the lines that are still to
//! come.

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
        // what somebody's shell says of delegations is not the demo's
        .env("DEEDS_DELEGATION", "/no/such/file")
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
    check_the_broken_glass(&account);
    check_the_unknown(&account);
    check_authority(&account);
    check_what_is_allowed_and_unused(&account);
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
    // the playbook's run, and one of the agent for each of its servers: one task, under one mandate
    let runs = record["runs"]["runs"].as_array().unwrap();
    let of = |holder: &str| -> Vec<&Value> {
        let acting =
            |run: &&Value| run["servers"]["value"].as_array().is_some_and(|servers| !servers.is_empty());
        runs.iter().filter(acting).filter(|run| run["holder"]["value"]["id"] == holder).collect()
    };
    assert_eq!((of("ir-playbook").len(), of("containment-agent").len()), (1, 2), "{runs:?}");
    assert!(runs.iter().all(|run| run["task"]["value"] == record["task"]));
    assert!(runs.iter().all(|run| run["initiator"]["value"]["sub"] == "ciso"));
    assert!(runs.iter().all(|run| run["grade"]["value"] == "key-signed"));
    assert!(of("containment-agent").iter().all(|run| run["trigger"]["value"] == "event"));
}

fn person<'a>(account: &'a Value, name: &str) -> &'a Value {
    list(step(account, "people"), "people").iter().find(|person| person["sub"] == name).unwrap()
}

fn check_the_broken_glass(account: &Value) {
    let broken = step(account, "break-glass");
    let action = &broken["action"];
    assert_eq!((&action["verdict"], &action["status"]), (&json!("allow"), &json!("ok")));
    assert_eq!(
        (&action["tool"], &action["args"]),
        (&json!("stdio:edr#isolate_host"), &json!({"host": "dc-01"}))
    );
    let authority = &broken["authority"];
    assert_eq!(authority["break_glass"]["review"], "open");
    assert!(authority["break_glass"]["why"].as_str().unwrap().contains("dc-01"));
    assert_eq!(authority["principal"]["principal"]["value"]["sub"], "noor");
    assert_eq!(authority["principal"]["principal"]["value"]["key"], person(account, "noor")["key"]);
    let chain = list(authority, "chain");
    assert_eq!((chain.len(), &authority["mandate"]), (1, &Value::Null), "her own root, under no mandate");
    assert_eq!(chain[0]["purpose"], "break-glass");
    assert_ne!(
        authority["delegation"]["task"]["value"],
        step(account, "record")["task"],
        "a task of its own"
    );
    assert_eq!(broken["given"]["links"], 1);
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
        list(&observed["parts"], name).iter().map(|done| &done["args"]["host"]).collect()
    };
    assert_eq!(hosts("release"), ["ws-0114", "ws-0113", "ws-0112"], "the last isolated first");
    assert_eq!(hosts("killed"), ["ws-0115"]);
    assert_eq!(observed["parts"]["killed"][0]["status"], "unknown");
    assert_eq!(observed["parts"]["ticket"][0]["args"]["run"], observed["run"]);
    assert_eq!(observed["parts"]["ticket"][0]["status"], "ok");
    let journal = list(observed, "edr_journal");
    assert!(journal.contains(&json!("ws-0115")), "the tool had accepted it: {journal:?}");
}

fn check_authority(account: &Value) {
    let authority = step(account, "authority");
    let mandate = step(account, "mandate");
    assert_eq!(authority["principal"]["principal"]["value"]["sub"], "ciso");
    assert_eq!(authority["principal"]["principal"]["value"]["key"], person(account, "ciso")["key"]);
    // the key by which the person stands behind it is the person's, not that of the service that asked
    let registered = &authority["principal"]["registered"]["value"];
    assert_eq!(registered["thumbprint"], person(account, "ciso")["key"]);
    assert_eq!(registered["index"], person(account, "ciso")["index"]);
    // the person signed a mandate; the machine decided under it
    assert_eq!(authority["principal"]["source"]["value"]["t"], "mandate");
    assert_eq!(
        (&authority["mandate"]["digest"], &authority["mandate"]["index"]),
        (&mandate["digest"], &mandate["index"])
    );
    assert_eq!(authority["mandate"]["principal"]["value"]["sub"], "ciso");
    assert_eq!(authority["mandate"]["holder"]["value"]["sub"], "ir-playbook");
    let chain = list(authority, "chain");
    let [root, leaf] = chain.as_slice() else { panic!("two links: {chain:?}") };
    assert_eq!(root["delegator"]["value"]["sub"], "ciso");
    assert_eq!(root["holder"]["value"]["id"], "ir-playbook");
    assert_eq!(leaf["delegator"]["value"]["id"], "ir-playbook");
    assert_eq!(
        (&leaf["holder"]["value"]["id"], &leaf["holder"]["assurance"]),
        (&json!("containment-agent"), &json!("delegator-asserted"))
    );
    assert_eq!((root["depth"].as_u64(), leaf["depth"].as_u64()), (Some(0), Some(1)));
    assert_ne!(root["key"], leaf["key"]);
    assert!(
        root["scope"].get("stdio:ticket#create").is_some()
            && leaf["scope"].get("stdio:ticket#create").is_none()
    );
    assert!(!list(leaf, "narrowed").is_empty());
    for link in chain {
        let signature = list(link, "checks").iter().find(|check| check["what"] == "signature").unwrap();
        assert_eq!(signature["check"], "verified-captured");
    }
    assert!(authority["parent_run"]["value"].is_string(), "a child run, announced by the playbook's");
    assert!(authority["handoff"]["value"]["text"].as_str().unwrap().contains("Alert 4711"));
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

fn check_what_is_allowed_and_unused(account: &Value) {
    let asked = step(account, "allowed");
    let delegations = list(&asked["allowed"], "delegations");
    assert!(
        !delegations.is_empty() && delegations.iter().all(|delegation| delegation["state"] == "live"),
        "{delegations:?}"
    );
    let tools: Vec<&Value> = delegations.iter().flat_map(|delegation| list(delegation, "tools")).collect();
    let tool = |name: &str| *tools.iter().find(|tool| tool["tool"] == name).unwrap();
    assert_eq!(tool("stdio:edr#isolate_host")["arguments"]["host"]["prefix"], "ws-");
    assert_eq!(tool("stdio:edr#isolate_host")["policy"], "always");
    assert_eq!(tool("stdio:idp#disable_user")["policy"], "never");
    let tree = list(&asked["delegations"], "tree");
    let [mandate] = tree.as_slice() else { panic!("one mandate: {tree:?}") };
    assert_eq!(mandate["kind"], "mandate");
    let [root] = list(mandate, "children").as_slice() else { panic!("one root: {mandate}") };
    assert_eq!(root["kind"], "root");
    let children = list(root, "children");
    assert_eq!(children.len(), 2, "one for each server of the agent");
    assert_eq!((root["used"].as_u64(), root["used_below"].as_u64()), (Some(1), Some(18)));
    let unused: Vec<&Value> = children.iter().flat_map(|child| list(child, "unused")).collect();
    assert_eq!(unused, ["stdio:idp#disable_user"]);
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
    for word in ["21st host", "journal"] {
        let found = lines.iter().filter(|line| line["line"].as_str().unwrap().contains(word)).count();
        assert_eq!(found, 1, "`{word}` in {lines:?}");
    }
    assert_eq!(lines.len(), 2);
    let checks = list(account, "checks");
    assert_eq!(checks.len(), 22, "{checks:?}");
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
        "BREAK-GLASS: dc-01 spreads the infection",
        "a machine asked, under a standing authority",
        "Delegation 2 of 2",
        "never used: idp#disable_user",
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
    assert_eq!(list(&did, "actions").len(), 20);
    ask(&["stop"]);
}

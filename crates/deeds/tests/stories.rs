//! The demo plays stories 1, 2, 3 and 5 as they are told: what is allowed, what is refused and by whom, what the
//! answers say afterwards, and which lines are still to come.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at what it did not expect"
)]

use std::process::Command;

use serde_json::{Value, json};

/// Plays a story in a temporary directory of its own; the account, after what every story must leave behind: nothing.
fn account(story: u8) -> Value {
    let temp = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_deeds"))
        .args(["demo", "--json", "--story", &story.to_string()])
        .env("TMPDIR", temp.path())
        .env("HOME", temp.path())
        .env_remove("DEEDS_RUN")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let told = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{told}\n{said}");
    assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 0, "the demo cleans up");
    let account: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&account["story"], &account["as_told"]), (&json!(story), &json!(true)), "{account}");
    account
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

/// The one act of a part.
fn only<'a>(value: &'a Value, part: &str) -> &'a Value {
    let [act] = list(value, part).as_slice() else { panic!("one `{part}`: {value}") };
    act
}

fn went(act: &Value) -> (&Value, &Value) {
    (&act["verdict"], &act["status"])
}

/// Which mechanisms the lines that are not played wait for.
fn awaited(account: &Value) -> Vec<&str> {
    let mut awaited: Vec<&str> =
        list(account, "not_yet").iter().map(|line| line["comes_with"].as_str().unwrap()).collect();
    awaited.sort_unstable();
    awaited
}

fn sub_of_root(authority: &Value) -> &Value {
    &authority["chain"][0]["delegator"]["value"]["sub"]
}

fn holders(authority: &Value) -> Vec<&str> {
    list(authority, "chain").iter().map(|link| link["holder"]["value"]["id"].as_str().unwrap()).collect()
}

fn check_proof(account: &Value) {
    let verified = step(account, "verified");
    assert_eq!(verified["server_stopped"], true);
    assert_eq!(verified["verify"]["exit"], 0);
    assert_eq!(verified["verify"]["report"]["verdict"], "verified");
}

#[test]
fn story_1_the_reply_waits_for_a_person_and_the_stranger_gets_nothing() {
    let account = account(1);
    let work = step(&account, "work");
    for part in ["ticket", "knowledge", "customer", "draft"] {
        assert_eq!(went(only(work, part)), (&json!("allow"), &json!("ok")), "{part}");
    }
    let refused = step(&account, "refused");
    let (evil, send) = (only(refused, "evil"), only(refused, "send"));
    assert_eq!((&evil["verdict"], &evil["reason"]["step"]), (&json!("deny"), &json!("scope")));
    assert_eq!(
        (&evil["args"]["to"], &send["args"]["to"]),
        (&json!("partner@evil.example"), &json!("dana@customer.example"))
    );
    assert!(send["reason"]["text"].as_str().unwrap().contains("mail-needs-an-approval"), "{send}");
    let lookup = step(&account, "lookup");
    let authority = &lookup["authority"];
    assert_eq!(
        (sub_of_root(authority), holders(authority)),
        (&json!("maya"), vec!["support-bot", "crm-lookup"])
    );
    assert!(authority["handoff"]["value"]["text"].as_str().unwrap().contains("customer of ticket T-4711"));
    assert!(authority["parent_run"]["value"].is_string(), "the bot's run announced it");
    assert_eq!(list(&lookup["did"], "actions").len(), 1);
    assert_eq!(list(step(&account, "left"), "actions").len(), 2);
    assert_eq!(
        awaited(&account),
        ["approvals", "approvals", "approvals", "capture from agents", "taint", "taint"]
    );
    check_proof(&account);
}

#[test]
fn story_3_amounts_and_vendors_hold_and_a_stolen_key_puts_its_acts_in_doubt() {
    let account = account(3);
    let work = step(&account, "work");
    assert_eq!(list(work, "look").len(), 2);
    assert_eq!(went(only(work, "exception")), (&json!("allow"), &json!("ok")));
    let refused = step(&account, "refused");
    for (part, at, value) in [("amount", "amount", "12000.00"), ("vendor", "vendor", "V-666")] {
        let act = only(refused, part);
        assert_eq!((&act["verdict"], &act["reason"]["step"]), (&json!("deny"), &json!("scope")), "{act}");
        assert_eq!(act["args"][at], value);
    }
    assert!(only(refused, "release")["reason"]["text"].as_str().unwrap().contains("release-needs-four-eyes"));
    let authority = step(&account, "authority");
    assert_eq!(
        (sub_of_root(authority), holders(authority)),
        (&json!("sofia"), vec!["ap-exceptions", "exception-bot"])
    );
    let kinds: Vec<&Value> =
        list(authority, "chain").iter().map(|link| &link["holder"]["value"]["kind"]).collect();
    assert_eq!(kinds, ["workflow", "service"]);
    let doubt = step(&account, "doubt");
    let mut doubted: Vec<u64> =
        list(&doubt["doubt"], "actions").iter().map(|act| act["index"].as_u64().unwrap()).collect();
    doubted.sort_unstable();
    assert_eq!((doubted.len(), json!(doubted)), (3, doubt["allowed"].clone()));
    assert_eq!(awaited(&account), ["approvals", "approvals", "approvals", "approvals", "budgets", "replay"]);
    check_proof(&account);
    assert_eq!(step(&account, "tampered")["verify"]["exit"], 1);
}

/// The artifact of an act with this role whose name ends so.
fn artifact<'a>(trace: &'a Value, role: &str, ending: &str) -> &'a Value {
    let named = |row: &&Value| {
        row["role"] == role
            && row["artifact"]["value"]["uri"].as_str().is_some_and(|uri| uri.ends_with(ending))
    };
    list(trace, "artifacts").iter().find(named).unwrap_or_else(|| panic!("no {role} `{ending}` in {trace}"))
}

#[test]
fn story_2_the_file_leads_back_to_the_job_the_commit_and_the_person() {
    let account = account(2);
    let work = step(&account, "work");
    for part in ["token", "script", "apply"] {
        assert_eq!(went(only(work, part)), (&json!("allow"), &json!("ok")), "{part}");
    }
    let script = only(work, "script");
    assert_eq!(script["tool"], "run:rotate#command/run");
    let root = only(step(&account, "refused"), "root");
    assert_eq!((&root["verdict"], &root["reason"]["step"]), (&json!("deny"), &json!("scope")));
    let trace = step(&account, "trace");
    let file = artifact(&trace["act"], "output", "config/token.ref");
    assert_eq!(file["artifact"]["value"]["change"], "modified");
    assert_ne!(file["artifact"]["value"]["before"], file["artifact"]["value"]["digest"]);
    let maker = |answer: &Value| list(answer, "acts")[0]["act"]["index"].clone();
    assert_eq!(
        (maker(&trace["file"]), maker(&trace["digest"])),
        (script["decision"].clone(), script["decision"].clone())
    );
    let authority = &trace["authority"];
    assert_eq!((sub_of_root(authority), holders(authority)), (&json!("ravi"), vec!["deploy.yml"]));
    let text = authority.to_string();
    for claimed in ["acme/payments", "8812", "3f1c0de5a1b2c3d4e5f60718293a4b5c6d7e8f90"] {
        assert!(text.contains(claimed), "`{claimed}`, as the job said");
    }
    assert_eq!(
        awaited(&account),
        ["approvals", "blast radius", "credentials", "credentials", "reconciliation", "reconciliation"]
    );
    check_proof(&account);
}

#[test]
fn story_5_the_report_leads_to_its_datasets_and_says_which_was_withdrawn() {
    let account = account(5);
    let work = step(&account, "work");
    assert_eq!(list(work, "read").len(), 2);
    for part in ["clean", "cleaned", "report", "publish"] {
        assert_eq!(went(only(work, part)), (&json!("allow"), &json!("ok")), "{part}");
    }
    let warehouse = only(step(&account, "refused"), "warehouse");
    assert_eq!((&warehouse["verdict"], &warehouse["reason"]["step"]), (&json!("deny"), &json!("scope")));
    let lineage = step(&account, "lineage");
    let published = artifact(&lineage["published"], "input", "reports/risk-2026-10.txt");
    let report = &list(&lineage["report"], "acts")[0];
    assert_eq!(report["act"]["index"], only(work, "report")["decision"]);
    assert_eq!(report["artifacts"][0]["value"]["digest"], published["artifact"]["value"]["digest"]);
    let made = artifact(&lineage["script"], "output", "clean/risk-2026-10.csv");
    assert_eq!(made["artifact"]["value"]["change"], "created");
    let withdrawn = step(&account, "withdrawn");
    let wrong = artifact(&withdrawn["script"], "input", "datasets/incidents-2026-10.csv");
    let sales = artifact(&withdrawn["script"], "input", "datasets/sales-2026-10.csv");
    assert_eq!((list(wrong, "withdrawn").len(), list(wrong, "replaced").len()), (1, 1), "{wrong}");
    assert!(sales.get("withdrawn").is_none() && sales.get("replaced").is_none(), "{sales}");
    assert_eq!(
        awaited(&account),
        ["approvals", "approvals", "capture from agents", "lineage over several hops", "privacy", "privacy"]
    );
    check_proof(&account);
}

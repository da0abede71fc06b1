//! Tests of the pages, from fixed answers of the shape that the server gives.

mod delegation;
mod provenance;

use insta::assert_snapshot;
use serde_json::{Value, json};

use super::*;

const RUN: &str = "01890a5d-ac96-774b-bcce-b302099a8057";
const TASK: &str = "01890a5d-ac96-774b-bcce-b302099a8058";
/// 2026-11-03 02:00:00Z
const AT_MS: u64 = 1_793_671_200_000;

/// A page without styles. No line ends in blanks, and no line is wider than asked where words can be broken.
fn plain(page: &str) -> String {
    let plain = anstream::adapter::strip_str(page).to_string();
    for line in plain.lines() {
        assert_eq!(line, line.trim_end(), "{plain}");
    }
    plain
}

fn fact(value: impl Into<Value>, index: u64) -> Value {
    json!({"value": value.into(), "check": "not-checked", "index": index})
}

fn labelled(value: impl Into<Value>, assurance: &str, check: &str, index: u64) -> Value {
    json!({"value": value.into(), "assurance": assurance, "check": check, "index": index})
}

fn missing(why: &str) -> Value {
    json!({"value": null, "missing": why, "check": "not-checked"})
}

fn unknown(why: &str, index: u64) -> Value {
    json!({"value": {"unknown": why}, "missing": "unknown", "check": "not-checked", "index": index})
}

fn principal() -> Value {
    json!({"kind": "human", "iss": "deeds://log", "sub": "ciso", "key": "k1"})
}

fn holder() -> Value {
    json!({"id": "containment-agent", "inst": "i", "kind": "agent", "asr": "delegator-asserted", "key": "k2"})
}

fn class() -> Value {
    json!({"classes": ["write"], "classified": true, "why": "the class table has a row for this tool"})
}

fn authority_answer() -> Value {
    json!({
        "size": 24, "complete": true, "action": 7, "act_id": fact("a1", 7),
        "principal": {
            "principal": labelled(principal(), "issuer-asserted", "verified-captured", 7),
            "grade": fact("key-signed", 7),
            "source": labelled(json!({"t": "key-request", "key": "k1", "request": "r1"}), "issuer-asserted", "verified-captured", 5),
            "registered": fact(json!({"thumbprint": "k1", "index": 3}), 3),
        },
        "delegation": {
            "index": 5, "digest": fact("d1", 5), "issuer": fact("deeds://log", 5),
            "purpose": fact("contain the hosts of alert 4711", 5),
            "scope": fact(json!({"tool": "stdio:edr#isolate_host",
                "constraints": {"host": {"constraint_type": "prefix", "prefix": "ws-"}}, "others": 3}), 5),
            "tools": fact(json!({"stdio:edr#isolate_host": {}}), 5),
            "life": fact(json!({"from": AT_MS / 1_000, "until": AT_MS / 1_000 + 3_600}), 5),
            "max_depth": fact(0, 5), "task": fact(TASK, 5),
        },
        "chain": [delegation::link(0, "ciso signs")],
        "mandate": null, "break_glass": null, "revocations": {"index": 3, "now": []},
        "parent_run": missing("none"), "handoff": missing("none"),
        "run": {
            "run": RUN, "stream": 0, "started": 4,
            "holder": labelled(holder(), "delegator-asserted", "verified-captured", 7),
            "key": fact("k2", 7),
            "servers": fact(json!([{"alias": "edr", "command": ["edr-server", "--x"]}]), 4),
            "trigger": fact("event", 4), "model": unknown("not seen by a wrap", 4), "prompt": missing("withheld"),
            "client": labelled(json!({"exe": "/usr/bin/agent", "label": "inferred", "pid": 77, "start": 9}), "inferred", "not-checked", 4),
            "correlators": missing("none"),
        },
        "tool": {
            "uri": fact("stdio:edr#isolate_host", 7), "operation": fact("tools/call", 7), "class": fact(class(), 7),
            "definition": fact("sha256:aa", 7), "args_digest": fact("b64", 7),
            "args": fact(json!({"host": "ws-0101\u{1b}[2J"}), 7),
        },
        "decision": {
            "index": 7, "leaf": "ff", "vantage": "harness", "observed_ms": AT_MS,
            "decided_at_ms": fact(AT_MS, 7), "verdict": fact("allow", 7), "reason": missing("none"),
            "policy_digest": fact("sha256:bb", 7), "policy_index": 2,
            "determining": fact(json!(["containment.allow"]), 7), "errors": fact(json!([]), 7),
            "revocations": fact(json!({"index": 3}), 7),
            "credential": fact(json!({"pid": 78, "pop": "verified", "type": "local-key", "uid": 1000}), 7),
        },
        "outcome": {"status": fact("ok", 8), "index": 8, "leaf": "ee", "result_digest": fact("sha256:cc", 8),
            "duration": fact(json!({"us": 1_234}), 8), "detail": missing("none")},
        "committed": {"state": "included", "size": 24,
            "root": {"value": "dd", "check": "verified-captured"}},
        "not_proven": ["That nothing went unrecorded: an act that bypassed the gate leaves no entry.",
            "That the log has no other history, as long as no witness cosigned it."],
    })
}

fn action(index: u64, tool: &str, verdict: &str, reason: &Value, status: &Value) -> Value {
    json!({"index": index, "observed_ms": AT_MS, "vantage": "harness", "act_id": fact("a", index), "run": RUN,
        "task": fact(TASK, index), "principal": labelled(principal(), "issuer-asserted", "not-checked", index),
        "holder": labelled(holder(), "delegator-asserted", "not-checked", index), "tool": fact(tool, index),
        "class": fact(class(), index), "args_digest": fact("YWFhYWFhYWFhYWFhYWFh", index),
        "args": fact(json!({"host": "ws-0101"}), index), "verdict": fact(verdict, index),
        "reason": reason, "outcome": {"status": status}})
}

fn actions_answer() -> Value {
    let reason = json!({"code": "scope", "step": "scope", "text": "the delegation allows the argument `host` only as text beginning with `ws-`"});
    let mut unclassified = action(5, "stdio:fs#read", "allow", &missing("none"), &fact("open", 5));
    unclassified["class"]["value"]["classified"] = json!(false);
    json!({"size": 12, "complete": false, "left_out": ["older actions, those before @5"], "next": 5,
    "remarks": [
        {"index": 3, "what": "gap", "run": RUN, "why": fact("server-unreachable", 3), "count": fact(2, 3)},
        {"index": 8, "what": "gap", "run": RUN, "why": fact("server-unreachable", 8), "count": fact(1, 8)},
        {"index": 6, "what": "refusal", "run": RUN, "why": fact(json!({"why": "unknown-method"}), 6), "count": missing("none")},
    ],
    "findings": [{"code": "body-damaged", "index": 9, "text": "the body does not open"}],
    "actions": [
        action(9, "stdio:edr#isolate_host", "deny", &fact(reason, 9), &missing("none")),
        action(7, "stdio:edr#isolate_host", "allow", &missing("none"), &fact("unknown", 8)),
        unclassified,
    ]})
}

#[test]
fn orders_about_a_run_are_told_as_what_they_are() {
    let mut answer = actions_answer();
    let remark = |index: u64, what: &str| json!({"index": index, "what": what, "run": RUN, "why": fact("too wide", index), "count": missing("none")});
    answer["remarks"] = json!([remark(10, "revoked"), remark(11, "halted"), remark(12, "resumed")]);
    let page = plain(&lists::actions(&answer, 100, ""));
    for told in ["1 revocation: @10 (too wide)", "1 halt: @11 (too wide)", "1 halt lifted: @12 (too wide)"] {
        assert!(page.contains(told) && !page.contains("refusal"), "{told}: {page}");
    }
}

#[test]
fn long_arguments_are_cut_and_not_left_out() {
    let mut answer = actions_answer();
    answer["actions"][0]["args"] = fact(json!({"path": format!("/srv/{}", "x".repeat(60))}), 9);
    let page = plain(&lists::actions(&answer, 160, ""));
    assert!(page.contains("path=/srv/xxxx") && page.contains('…'), "{page}");
}

#[test]
fn times_in_entries_are_for_people() {
    let entry =
        json!({"fields": [{"name": "eff", "value": AT_MS / 1_000, "check": "not-checked", "index": 9}]});
    assert!(plain(&tree::members(&entry, 80)).contains("2026-11-03 02:00:00Z"));
}

#[test]
fn the_authority_page_leads_from_person_to_tool_and_labels_every_fact() {
    let page = plain(&authority::page(&authority_answer(), 100));
    assert_snapshot!("authority", page);
    assert!(!page.contains('\u{1b}'));
}

#[test]
fn the_authority_page_keeps_facts_that_it_does_not_know_of() {
    let mut answer = authority_answer();
    answer["decision"]["verdict"] = fact("deny", 7);
    answer["decision"]["reason"] = fact(json!({"code": "forbidden", "step": "policy", "text": "no"}), 7);
    answer["outcome"] = json!({"status": missing("none")});
    answer["tool"]["novelty"] = fact("shown too", 7);
    answer["attempts"] = json!([3, 4]);
    let page = plain(&authority::page(&answer, 100));
    assert!(page.contains(": denied\n") && page.contains("other attempts of the same act: @3, @4"), "{page}");
    assert!(page.contains("no (forbidden, policy)") && page.contains("shown too"), "{page}");
    assert!(page.contains("none: the call never reached the server"), "{page}");
    assert_eq!(authority::verdict(&answer), Some("deny"));
}

#[test]
fn what_a_command_says_of_itself_is_told_in_lines() {
    let mut answer = authority_answer();
    let names: Vec<String> = (0..40).map(|n| format!("VARIABLE_{n}")).collect();
    let said = json!({"environment_names": names, "environment_more": 3,
        "ci": {"system": "github-actions", "run_id": "8812", "long": "x".repeat(500)}});
    answer["run"]["correlators"] = labelled(said, "asserted", "not-checked", 7);
    let page = plain(&authority::page(&answer, 100));
    assert!(page.contains("40 environment variables: VARIABLE_0, VARIABLE_1,"), "{page}");
    assert!(page.contains("VARIABLE_11 and 28 more") && !page.contains("VARIABLE_12"), "{page}");
    assert!(page.contains("run_id=8812") && page.contains("[asserted, not-checked, @7]"), "{page}");
    assert!(page.lines().all(|line| line.chars().count() <= 120), "{page}");
}

#[test]
fn at_80_columns_the_tool_is_read_and_the_program_of_the_agent() {
    let mut answer = actions_answer();
    for row in answer["actions"].as_array_mut().unwrap() {
        row["holder"]["value"]["id"] = json!("local:uid-1000/codex/3210709-3651052");
        row["principal"]["value"]["sub"] = json!("uid:1000");
        row["tool"]["value"] = json!("stdio:filesystem#write_file");
        row["outcome"]["status"] = fact("input-required", 7);
    }
    let page = plain(&lists::actions(&answer, 80, "deeds did"));
    assert_snapshot!("actions_of_a_laptop", page);
    for line in page.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
}

#[test]
fn a_page_of_half_an_answer_is_half_a_page() {
    for answer in [json!({}), json!([]), Value::Null, json!({"principal": 3, "tool": {"uri": 4}})] {
        assert!(!plain(&authority::page(&answer, 80)).is_empty());
        assert!(plain(&lists::actions(&answer, 80, "deeds did")).contains("No actions"));
        assert!(plain(&lists::runs(&answer, 80, "deeds runs", lists::Asked::default())).contains("No runs"));
        assert!(plain(&lists::principals(&answer, 80)).contains("No principals"));
    }
}

#[test]
fn actions_are_a_table_with_what_was_left_out_and_what_is_wrong() {
    let answer = actions_answer();
    assert_snapshot!("actions", plain(&lists::actions(&answer, 120, "deeds did")));
    assert!(lists::has_findings(&answer));
    assert_snapshot!("actions_narrow", plain(&lists::actions(&answer, 80, "deeds did")));
    for line in plain(&lists::actions(&answer, 80, "deeds did")).lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
}

#[test]
fn runs_are_a_table() {
    let run = |state: &Value, open: u64| {
        json!({"run": RUN, "started": 4, "started_ms": AT_MS, "vantage": "harness", "reason": state,
            "task": fact(TASK, 4), "initiator": labelled(principal(), "issuer-asserted", "not-checked", 4),
            "grade": fact("key-signed", 4), "holder": labelled(holder(), "delegator-asserted", "not-checked", 4),
            "servers": fact(json!([{"alias": "edr", "command": ["x"]}]), 4), "trigger": fact("event", 4),
            "actions": 18, "refused": 1, "open": open, "gap_entries": open})
    };
    let answer =
        json!({"size": 30, "complete": true, "runs": [run(&missing("none"), 2), run(&fact("lost", 9), 0)]});
    assert_snapshot!("runs", plain(&lists::runs(&answer, 100, "deeds runs", lists::Asked::default())));
}

#[test]
fn an_empty_page_of_runs_is_not_an_empty_log() {
    let before = lists::Asked { before: Some(0), narrowed: true };
    let answer = json!({"size": 3, "complete": true, "runs": []});
    assert!(plain(&lists::runs(&answer, 80, "deeds runs", before)).starts_with("No runs before @0.\n"));
    assert!(
        plain(&lists::runs(&answer, 80, "deeds runs", lists::Asked::default())).starts_with("No runs yet.")
    );
    let some = lists::Asked { before: None, narrowed: true };
    assert!(plain(&lists::runs(&answer, 80, "deeds runs", some)).starts_with("No runs like that."));
}

#[test]
fn the_status_says_what_its_numbers_count() {
    let status = json!({"size": 9, "complete": true, "log_id": "aa", "sequenced": 9, "published": 7, "runs": 2,
        "open_runs": 1, "entries": {"run-started": 2}, "checkpoint_ms": AT_MS, "data": "/d", "origin": "deeds.local/x",
        "log_vkey": "v", "server": {"version": "1", "pid": 7, "socket": "/d/deeds.sock"}});
    assert_snapshot!("status", plain(&status::page(&status, 100)));
}

#[test]
fn principals_and_policies_are_tables() {
    let ci = json!({"kind": "service", "sub": "ci", "iss": "i", "key": "k9"});
    let list = json!({"size": 10, "complete": true, "principals": [
        {"principal": fact(principal(), 3), "index": 3, "label": "inferred"},
        {"principal": fact(ci, 9), "index": 9, "label": "inferred", "retired": 9},
    ]});
    assert_snapshot!("principals", plain(&lists::principals(&list, 100)));
    let policy = json!({"digest": "sha256:aa", "source": "/etc/deeds/policy", "warnings": ["a.cedar:1:1: odd"],
        "policies": [{"id": "all", "effect": "permit"}, {"id": "no-secrets", "effect": "forbid"}]});
    assert_snapshot!("policy", plain(&lists::policy(&policy, 100)));
}

#[test]
fn any_answer_is_an_indented_list() {
    let field = |name: &str, mut fact: Value| {
        fact["name"] = json!(name);
        fact
    };
    let entry = json!({"size": 9, "complete": true, "index": 4, "kind": "run-started", "observed_ms": AT_MS,
        "content": "opened", "fields": [field("txn", fact(TASK, 4)), field("model", unknown("not seen", 4))],
        "streams": [], "entry": {"version": 0, "fields_root": "aa"}});
    assert_snapshot!("entry", plain(&tree::members(&entry, 100)));
}

#[test]
fn the_report_says_the_verdict_first_and_the_limits_last() {
    let report = verify::verify_bundle(b"no bundle at all", &verify::TrustRoots::default());
    assert_snapshot!("unreadable", plain(&report::text("a\u{7}.deeds", &report, 80)));
}

#[test]
fn the_report_names_every_holder_the_mandate_and_a_broken_glass() {
    let vectors = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors/v0");
    let page = |name: &str| {
        let bundle = std::fs::read(vectors.join(name)).unwrap();
        plain(&report::text(name, &verify::verify_bundle(&bundle, &verify::TrustRoots::default()), 200))
    };
    assert!(page("break-glass.deeds").contains("BREAK-GLASS: "), "{}", page("break-glass.deeds"));
    assert!(page("mandate.deeds").contains(", under a mandate, by "), "{}", page("mandate.deeds"));
    let links = page("chain-three-links.deeds");
    assert!(links.lines().any(|line| line.matches(" → ").count() == 2), "{links}");
}

#[test]
fn a_file_that_was_altered_says_what_of_it_still_stands() {
    let path =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors/v0/action-complete.deeds");
    let whole = std::fs::read(path).unwrap();
    let page = |bytes: &[u8]| {
        let report = verify::verify_bundle(bytes, &verify::TrustRoots::default());
        plain(&report::text("a.deeds", &report, 100))
    };
    // a byte of what is shown of the decision or of the outcome, and the digest at the end made again
    let altered = |what: &str, other: &str| {
        let at = whole.windows(what.len()).position(|window| window == what.as_bytes()).unwrap();
        let mut bytes = whole.clone();
        bytes[at..at + other.len()].copy_from_slice(other.as_bytes());
        let end = bytes.len() - 32;
        let digest = evidence::Digest::of(&bytes[..end]).0;
        bytes[end..].copy_from_slice(&digest);
        bytes
    };
    let decision = page(&altered("\"allow\"", "\"allot\""));
    assert_snapshot!("verify_altered_decision", decision);
    let outcome = page(&altered("\"ok\"", "\"no\""));
    assert_snapshot!("verify_altered_outcome", outcome);
    for page in [&decision, &outcome] {
        assert!(page.starts_with("a.deeds: failed\n  error "), "{page}");
        assert!(
            page.contains("What the file says. It failed: ") && page.contains("[its signature: "),
            "{page}"
        );
    }
    // without the digest made again
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    assert!(page(&flipped).contains("error bundle-digest") || page(&flipped).contains("unreadable"));
    assert!(!page(&whole).contains("What the file says"), "{}", page(&whole));
}

#[test]
fn deep_answers_end() {
    let mut deep = json!("x");
    for _ in 0..60 {
        deep = json!({"a": [deep]});
    }
    assert!(plain(&tree::members(&deep, 80)).contains('x'));
}

#[test]
fn findings_that_differ_in_nothing_but_the_entry_are_told_together() {
    let found = [
        ("a", None, "x"),
        ("b", Some(2), "y"),
        ("b", Some(3), "y"),
        ("c", Some(4), "y"),
        ("b", Some(9), "y"),
    ];
    assert_eq!(report::grouped(found.into_iter()), ["a: x", "b @2 to @3, @9: y", "c @4: y"]);
}

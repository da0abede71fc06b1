//! Tests of the pages about artifacts, definitions, tasks and gaps, and of what stands beside an act.

use insta::assert_snapshot;
use serde_json::{Value, json};

use super::{AT_MS, RUN, TASK, action, authority_answer, fact, holder, labelled, missing, plain, principal};
use crate::render::lists::Asked;
use crate::render::*;

fn digest(n: u8) -> String {
    format!("sha256:{}", format!("{n:02x}").repeat(32))
}

fn withdrawn(index: u64) -> Value {
    json!({"index": index, "at_ms": AT_MS, "artifact": fact(json!({"uri": "file:///srv/in.csv"}), index),
        "why": fact("the October figures are wrong", index), "by": fact(principal(), index)})
}

fn change(what: &str, name: &str, old: Option<u8>, new: Option<u8>) -> Value {
    let server = if what == "client-config" { missing("none") } else { fact("stdio:edr", 40) };
    let side = |side: Option<u8>| side.map_or_else(|| missing("none"), |n| fact(digest(n), 40));
    json!({"index": 40, "at_ms": AT_MS, "what": fact(what, 40), "name": fact(name, 40), "server": server,
        "old": side(old), "new": side(new), "since": fact(6, 40), "count": missing("none"), "run": RUN})
}

fn act(index: u64) -> Value {
    action(index, "run:report#command/run", "allow", &missing("none"), &fact("ok", index + 1))
}

fn row(role: &str, artifact: &Value, index: u64) -> Value {
    json!({"index": index, "role": role, "artifacts": [fact(artifact.clone(), index)], "act": act(index)})
}

/// Every width fits: only what cannot be broken is wider.
fn fits(page: &str, width: usize) -> String {
    let page = plain(page);
    for line in page.lines() {
        let long = line.split_whitespace().map(|word| word.chars().count()).max().unwrap_or_default();
        assert!(line.chars().count() <= width.max(long + 8), "{line}");
    }
    page
}

#[test]
fn the_acts_of_a_file_are_told_with_its_versions() {
    let mut old = row("input", &json!({"uri": "file:///srv/in.csv", "digest": digest(1), "size": 9}), 7);
    old["replaced"] = json!([{"when": "since", "index": 10, "by": 9, "digest": digest(2)}]);
    let mut new = row("input", &json!({"uri": "file:///srv/in.csv", "digest": digest(2)}), 12);
    new["replaced"] = json!([{"when": "between", "index": 7, "digest": digest(1)}]);
    let written =
        json!({"uri": "file:///srv/in.csv", "digest": digest(2), "change": "modified", "before": digest(1)});
    let never = json!({"index": 3, "role": "input", "act": null,
        "artifacts": [fact(json!({"uri": "file:///srv/in.csv"}), 3)]});
    let gone = json!({"uri": "file:///srv/in.csv", "change": "deleted", "before": digest(2)});
    let answer = json!({"size": 30, "complete": false, "of": {"uri": "file:///srv/in.csv"}, "withdrawn": [withdrawn(20)],
        "acts": [row("output", &gone, 14), new, row("output", &written, 9), old, never], "next": 3,
        "left_out": ["older acts, those recorded before @3"],
        "findings": [{"code": "withdrawn", "index": 20, "text": "told above"}]});
    assert_snapshot!("trace_file", fits(&trace::page(&answer, 120, "deeds trace in.csv"), 120));
    assert_snapshot!("trace_file_narrow", fits(&trace::page(&answer, 80, "deeds trace in.csv"), 80));
}

#[test]
fn the_acts_of_a_digest_are_told_with_its_names() {
    let answer = json!({"size": 30, "complete": true, "of": {"digest": digest(1)}, "acts": [
        row("result", &json!({"digest": digest(1)}), 12),
        {"index": 9, "role": "output", "act": act(9), "withdrawn": [withdrawn(20)], "artifacts": [
            fact(json!({"uri": "file:///srv/a", "digest": digest(1)}), 9),
            fact(json!({"uri": "https://example.org/b", "digest": digest(1)}), 9)]},
    ]});
    assert_snapshot!("trace_digest", fits(&trace::page(&answer, 100, "deeds trace x"), 100));
    let nothing = json!({"size": 30, "complete": true, "of": {"digest": digest(1)}, "acts": []});
    let page = fits(&trace::page(&nothing, 80, "deeds trace x"), 80);
    assert!(page.contains("No act that is recorded") && page.contains("deeds run"), "{page}");
    assert!(page.contains("deeds wrap --files"), "{page}");
}

#[test]
fn a_file_is_told_as_it_is_now_on_this_host() {
    let told = |is: &str, more: &Value| {
        let mut now = json!({"is": is});
        now.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let latest = json!({"index": 9, "role": "output", "act": 8, "artifact": fact(json!({"digest": digest(1)}), 9)});
        let answer = json!({"size": 30, "complete": true, "of": {"uri": "file:///srv/a"}, "acts": [], "latest": latest,
            "on_disk": now});
        let page = fits(&trace::page(&answer, 100, "deeds trace a"), 100);
        let at = page.find("now on this host:").unwrap();
        let end = page.find("Reflects").unwrap();
        page[at..end].split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let (bytes, none) = (json!({"digest": digest(2), "size": 5}), json!({}));
    let d = digest(2);
    for (is, more, said) in [
        ("as-recorded", &bytes, "the bytes that @9 recorded".to_owned()),
        ("as-recorded", &none, "gone, as @9 recorded".into()),
        (
            "changed",
            &bytes,
            format!("other bytes ({d}) than @9 recorded: changed since, by nothing that is recorded"),
        ),
        (
            "gone",
            &none,
            "not there any more; @9 recorded it: taken away since, by nothing that is recorded".into(),
        ),
        ("back", &bytes, format!("there again ({d}), though @9 recorded that it was deleted")),
        ("not-recorded", &bytes, format!("`deeds trace {d}` asks where its bytes are known")),
        ("nothing", &none, "no such file".into()),
        ("bytes-not-recorded", &bytes, format!("{d}; @9 recorded no digest to compare that with")),
        ("not-compared", &json!({"why": "a directory"}), "not compared with @9: a directory".into()),
    ] {
        assert_eq!(told(is, more), format!("now on this host: {said}"));
    }
}

#[test]
fn what_was_brought_is_told_apart_from_what_was_made() {
    let mut told = act(12);
    let read = json!({"uri": "demo://one", "digest": digest(1)});
    let made = json!({"uri": "file:///srv/out", "change": "created"});
    told["outputs"] = fact(json!({"count": 5, "brought": 4, "artifacts": [read, made]}), 13);
    let answer = json!({"size": 30, "complete": true, "actions": [told]});
    let page = fits(&lists::actions(&answer, 100, "deeds did"), 100);
    assert!(page.contains("made 1 artifact: /srv/out created; brought 4 artifacts: demo://one, …"), "{page}");
    told = act(12);
    told["outputs"] = fact(json!({"count": 1, "brought": 1, "artifacts": [read]}), 13);
    let page = fits(&lists::actions(&json!({"actions": [told]}), 100, "deeds did"), 100);
    assert!(page.contains("brought 1 artifact: demo://one") && !page.contains("made"), "{page}");

    let mut row = json!({"role": "output", "artifact": fact(read.clone(), 13)});
    let page = |row: &Value| {
        let answer =
            json!({"size": 40, "complete": true, "of": {"act": 12}, "act": act(12), "artifacts": [row]});
        fits(&trace::page(&answer, 80, ""), 80)
    };
    assert!(page(&row).contains("\nBrought\n  demo://one\n"), "{}", page(&row));
    row["artifact"] = fact(made, 13);
    assert!(page(&row).contains("\nMade\n  /srv/out (created)\n"), "{}", page(&row));
    let answer = json!({"size": 30, "complete": true, "of": {"digest": digest(1)}, "acts": [
        super::provenance::row("output", &read, 13)]});
    assert!(fits(&trace::page(&answer, 100, "x"), 100).contains("brought it"));
}

#[test]
fn an_act_is_told_with_all_it_had_and_made() {
    let artifact = |role: &str, value: Value| json!({"role": role, "artifact": fact(value, 12)});
    let mut had = artifact("input", json!({"uri": "file:///srv/in.csv", "digest": digest(1), "size": 9}));
    had["made_by"] = json!([5]);
    had["replaced"] = json!([{"when": "since", "index": 20, "by": 19, "digest": digest(3)}]);
    had["withdrawn"] = json!([withdrawn(21)]);
    let mut made = artifact(
        "output",
        json!({"uri": "file:///srv/out%20put", "digest": digest(2), "change": "modified", "before": digest(4)}),
    );
    made["used_by"] = json!([30, 31, 32]);
    let answer = json!({"size": 40, "complete": true, "of": {"act": 12}, "act": act(12),
        "artifacts": [had, made, artifact("result", json!({"digest": digest(9)}))]});
    assert_snapshot!("trace_act", fits(&trace::page(&answer, 80, ""), 80));
    let bare = json!({"size": 40, "complete": true, "of": {"act": 12}, "act": act(12), "artifacts": []});
    assert!(fits(&trace::page(&bare, 80, ""), 80).contains("No artifact of it is recorded"));
}

#[test]
fn what_stands_beside_an_act_is_told_below_it() {
    let mut told = act(12);
    told["inputs"] =
        fact(json!({"count": 1, "artifacts": [{"uri": "file:///srv/in.csv", "digest": digest(1)}]}), 12);
    told["outputs"] =
        fact(json!({"count": 5, "artifacts": [{"uri": "file:///srv/out", "change": "created"}]}), 13);
    told["attempts"] = json!([8, 9]);
    told["human_inputs"] = json!([11]);
    told["definition_changes"] = json!([4]);
    told["withdrawn"] = json!([withdrawn(20)]);
    let answer = json!({"size": 30, "complete": true, "actions": [told]});
    assert_snapshot!("beside_a_row", fits(&lists::actions(&answer, 80, "deeds did"), 80));

    let mut answer = authority_answer();
    answer["definition_changes"] = json!([change("tool", "isolate_host", Some(1), Some(2))]);
    let said = json!({"how": "elicitation", "action": "accept"});
    answer["human_inputs"] =
        json!([{"index": 6, "at_ms": AT_MS, "said": labelled(said, "asserted", "not-checked", 6)}]);
    answer["inputs"] = missing("erased");
    answer["outputs"] = fact(json!({"count": 300, "artifacts": []}), 8);
    answer["withdrawn"] = json!([withdrawn(20)]);
    let page = plain(&authority::page(&answer, 100));
    for line in [
        "changed before     @40 2026-11-03 02:00:00Z: tool isolate_host of edr:",
        "somebody answered  @6 {",
        "}; it is no approval",
        "had                artifacts that are erased",
        "made               300 artifacts",
        "withdrawn          /srv/in.csv was withdrawn @20: the October figures are wrong",
    ] {
        assert!(page.contains(line), "{line}\n{page}");
    }
}

#[test]
fn changes_are_told_in_words() {
    let told = |what, name, old, new| beside::change(&change(what, name, old, new));
    assert_eq!(told("tool", "ask", None, Some(1)), "tool ask of edr: new, sha256:010101010101…");
    assert_eq!(
        told("resource-template", "x", Some(1), None),
        "resource template x of edr: gone, was sha256:010101010101…"
    );
    assert_eq!(
        told("server-package", "stdio:edr", Some(1), Some(2)).split(':').next(),
        Some("the package of edr")
    );
    let mut many = change("definitions", "stdio:edr", None, None);
    many["count"] = fact(70, 40);
    assert_eq!(beside::change(&many), "70 definitions at once of edr");
    let mut config = change("client-config", "claude#fs", Some(1), Some(2));
    for (wrapped, said) in [(false, "no longer wrapped in"), (true, "wrapped again in")] {
        config["wrapped"] = json!(wrapped);
        let told = beside::change(&config);
        assert!(told.starts_with(&format!("{said} the configuration of claude#fs: sha256:0101")), "{told}");
    }
    let config = change("client-config", "claude-code:/home/m/.claude.json#fs", Some(1), None);
    assert!(
        beside::change(&config).starts_with("the configuration of claude-code:/home/m/.claude.json#fs: gone")
    );
}

#[test]
fn tasks_are_a_table() {
    let task = |open: u64, unknown: u64, holders: Value| {
        json!({"task": TASK, "started": 4, "started_ms": AT_MS, "last": 90, "last_ms": AT_MS + 600_000,
            "initiator": fact(principal(), 4), "grade": fact("key-signed", 4), "holders": holders,
            "servers": ["edr", "fs"], "runs": 2, "open_runs": open, "actions": 18, "refused": open, "open": open,
            "unknown": unknown})
    };
    let helper =
        json!({"id": "helper", "inst": "i", "kind": "agent", "asr": "delegator-asserted", "key": "k"});
    let both = json!([fact(holder(), 4), fact(helper, 9)]);
    let answer = json!({"size": 90, "complete": true,
        "tasks": [task(1, 2, both), task(0, 0, json!([fact(holder(), 4)]))]});
    assert_snapshot!("tasks", fits(&tasks::table(&answer, 100, "deeds tasks", Asked::default()), 100));
    let nothing = json!({"size": 3, "complete": true, "tasks": []});
    let page = plain(&tasks::table(&nothing, 80, "deeds tasks", Asked::default()));
    assert!(page.starts_with("No tasks yet. One begins with"), "{page}");
}

#[test]
fn gaps_say_what_is_missing_and_where_to_look() {
    let gap = |what: &str, why: Value, count: Value| {
        json!({"index": 50, "at_ms": AT_MS, "what": what, "run": RUN, "holder": fact(holder(), 4),
            "principal": fact(principal(), 4), "why": why, "count": count, "actions": []})
    };
    let none = || missing("none");
    let mut unknown = gap("outcome-unknown", fact("the server ended", 50), none());
    unknown["actions"] = json!([49]);
    unknown["tool"] = fact("stdio:edr#isolate_host", 49);
    let mut open = gap("no-outcome", fact("x", 50), fact(70, 50));
    open["actions"] = json!([3, 4, 9]);
    let mut changed = gap("definition-changed", fact("isolate_host", 50), none());
    changed["change"] = change("tool", "isolate_host", Some(1), Some(2));
    let mut config = gap("client-config-changed", fact("claude#fs", 50), none());
    config["change"] = change("client-config", "claude#fs", Some(1), None);
    let mut dropped = gap("client-config-changed", fact("claude#fs", 50), none());
    dropped["change"] = change("client-config", "claude#fs", Some(1), Some(2));
    dropped["change"]["wrapped"] = json!(false);
    let clock = fact(json!({"before_ms": AT_MS, "after_ms": AT_MS - 60_000, "reason": "set back"}), 50);
    let answer = json!({"size": 60, "complete": true, "gaps": [
        unknown, open, changed, config, gap("clock-adjusted", clock, none()),
        gap("gap", fact("server-unreachable", 50), fact(3, 50)),
        gap("gap", fact("server-unreachable", 50), none()),
        gap("refusals", fact(json!({"why": "scope"}), 50), fact(900, 50)),
        gap("counter-hole", fact("the key `k2` counted 2 more proofs than are recorded", 50), fact(2, 50)),
        gap("run-lost", fact("lost", 50), none()),
        json!({"index": 51, "at_ms": AT_MS, "what": "refusals", "count": fact(1, 51), "source": fact("uid:1000", 51),
            "why": fact(json!({"reason": "not-registered", "step": "principal", "text": "nobody has this key"}), 51)}),
        json!({"index": 52, "at_ms": AT_MS, "what": "refusals", "count": fact(70, 52), "source": fact("uid:1000", 52),
            "why": none()}),
        dropped,
    ]});
    assert_snapshot!("gaps", fits(&gaps::table(&answer, 100, "deeds gaps", Asked::default()), 100));
    assert_snapshot!("gaps_narrow", fits(&gaps::table(&answer, 80, "deeds gaps", Asked::default()), 80));
    let nothing = json!({"size": 3, "complete": true, "gaps": []});
    let asked =
        |before, narrowed| plain(&gaps::table(&nothing, 80, "deeds gaps", Asked { before, narrowed }));
    assert!(asked(None, false).starts_with("Nothing is known to be missing.\n"));
    assert!(asked(None, true).starts_with("Nothing of that time is known"));
    assert!(asked(Some(3), true).starts_with("No gaps before @3."));
    assert!(asked(None, false).contains("deeds doctor"));
}

fn known() -> Value {
    let defined = |list: &str, name: &str, n: u8| json!({"list": list, "name": name, "digest": fact(digest(n), 5), "last": 9});
    let tool = |name: &str, n: u8, classes: Value| {
        let mut row = defined("tool", name, n);
        let classified = classes.as_array().is_some_and(|list| !list.is_empty());
        row["class"] = fact(json!({"classes": ["write"], "classified": classified, "why": "w"}), 2);
        row["pin_classes"] = classes;
        row
    };
    let mut gone = defined("prompt", "ask", 5);
    gone["gone"] = json!(8);
    json!({"size": 60, "complete": true, "policy_digest": fact("sha256:p", 2), "servers": [
        {"server": "stdio:edr", "command": fact(json!(["edr-server", "--x"]), 3), "first": 4, "last": 9,
            "definitions": [defined("server", "executable", 1), tool("isolate_host", 2, json!(["write", "external"])),
                tool("say \"hi\"\u{7f}", 3, json!([])), gone],
            "changes": [change("server-executable", "stdio:edr", Some(9), Some(1))]},
        {"server": "stdio:edr", "command": missing("erased"), "first": 1, "last": 2, "definitions": [], "changes": []},
    ]})
}

#[test]
fn definitions_are_told_by_server() {
    let mut answer = known();
    answer["client_configs"] = json!([change("client-config", "claude#fs", Some(1), None)]);
    assert_snapshot!("definitions", fits(&definitions::page(&answer, 100), 100));
    let nothing = json!({"size": 3, "complete": true, "servers": []});
    assert!(plain(&definitions::page(&nothing, 80)).starts_with("No server has shown its definitions yet."));
}

#[test]
fn rows_that_pin_are_rows_that_a_policy_takes() {
    let rows = pin::table_rows(&known());
    assert_snapshot!("pin", rows);
    let file = |path: &str, text: &str| policy::PolicyFile { path: path.into(), text: text.into() };
    let rules =
        file("a.cedar", "@id(\"all\") permit (principal, action in Deeds::Action::\"act\", resource);");
    let set = policy::PolicySet::from_files(vec![rules, file("classes.toml", &rows)]).unwrap();
    let class = set.classify("stdio:edr#isolate_host", Some(&digest(2)));
    assert_eq!((class.classified, class.classes), (true, vec!["write".to_owned(), "external".to_owned()]));
    assert!(!set.classify("stdio:edr#isolate_host", Some(&digest(3))).classified);
    assert!(pin::table_rows(&json!({"servers": []})).is_empty());
}

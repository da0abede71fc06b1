//! What servers offer and are, since when, what changed; what of it answers about acts name.

use evidence::id::{self, LOG_LEVEL};
use evidence::{Digest, Kind};
use lineage::limits::{ATTEMPTS_MAX, CHANGES_NAMED_MAX, ROWS_DEFAULT, ROWS_MAX, SERVERS_MAX};
use lineage::{Beside, Definitions, DidFilter, Index, LineageError, Which};
use serde_json::{Value, json};

use crate::fold::folded;
use crate::log::{Call, Log, Run};

fn digest(text: &str) -> String {
    Digest::of(text.as_bytes()).to_string()
}

/// A list that the server of a run told: name and the text of its definition.
fn tell(log: &mut Log, run: &Run, list: &str, names: &[(&str, &str)], gone: &[&str], complete: bool) -> u64 {
    let names: serde_json::Map<String, Value> =
        names.iter().map(|(name, text)| ((*name).to_owned(), json!(digest(text)))).collect();
    let server = format!("stdio:{}", run.holder.id.rsplit('/').next().unwrap());
    let payload = json!({"server": server, "list": list, "names": names, "gone": gone, "complete": complete});
    log.append(
        (Kind::Observed, run.id, run.stream, &[]),
        &[("subtype", json!("definitions")), ("payload", payload)],
    )
}

fn change(log: &mut Log, run: &Run, what: &str, name: &str, old: &str, new: &str) -> u64 {
    let fields = [
        ("what", json!(what)),
        ("name", json!(name)),
        ("old", json!(digest(old))),
        ("new", json!(digest(new))),
        ("server", json!("stdio:fs")),
    ];
    log.append((Kind::DefinitionChanged, run.id, run.stream, &[]), &fields)
}

fn known(index: &Index) -> Definitions {
    let answer = index.definitions(Some("stdio:fs")).unwrap();
    assert!(answer.complete, "{:?} {:?}", answer.left_out, answer.findings);
    answer.content
}

/// List, name, since when, until when.
fn rows(known: &Definitions) -> Vec<(&'static str, &str, u64, Option<u64>)> {
    let rows = &known.servers[0].definitions;
    rows.iter().map(|row| (row.list, row.name.as_str(), row.digest.index.unwrap(), row.gone)).collect()
}

#[test]
fn each_name_is_known_since_its_digest_was_first_told() {
    let mut log = Log::new(1);
    let run = log.run("fs");
    let is = tell(&mut log, &run, "server", &[("executable", "e1"), ("command", "c1")], &[], true);
    let first = tell(&mut log, &run, "tool", &[("read", "r1"), ("write", "w1")], &[], true);
    let prompts = tell(&mut log, &run, "prompt", &[("ask", "p1")], &[], false);
    log.end(&run);
    let again = log.run("fs");
    let second = tell(&mut log, &again, "tool", &[("read", "r1"), ("write", "w2"), ("new", "n1")], &[], true);
    let changed = change(&mut log, &again, "tool", "write", "w1", "w2");
    let index = folded(&log);
    let answer = known(&index);
    assert_eq!(
        rows(&answer),
        [
            ("server", "command", is, None),
            ("server", "executable", is, None),
            ("tool", "new", second, None),
            ("tool", "read", first, None),
            ("tool", "write", second, None),
            ("prompt", "ask", prompts, None),
        ]
    );
    let server = &answer.servers[0];
    assert_eq!((server.first, server.last), (is, changed));
    assert_eq!(server.command.value, json!(["server", "fs"]));
    assert_eq!(server.changes.iter().map(|row| row.index).collect::<Vec<_>>(), [changed]);
    let write = server.definitions.iter().find(|row| row.name == "write").unwrap();
    assert_eq!((write.digest.text(), write.last), (Some(digest("w2").as_str()), second));

    // what a complete list does not have is gone, and so is what is said to be gone; a part of a list says neither
    let third = tell(&mut log, &again, "tool", &[("write", "w2")], &[], true);
    let fourth = tell(&mut log, &again, "prompt", &[("other", "p2")], &[], false);
    let fifth = tell(&mut log, &again, "prompt", &[], &["ask"], false);
    let answer = known(&folded(&log));
    assert_eq!(
        rows(&answer)[2..],
        [
            ("tool", "write", second, None),
            ("prompt", "other", fourth, None),
            ("tool", "new", second, Some(third)),
            ("tool", "read", first, Some(third)),
            ("prompt", "ask", prompts, Some(fifth)),
        ]
    );
    // it comes back as something new
    let back = tell(&mut log, &again, "tool", &[("write", "w2"), ("read", "r1")], &[], true);
    assert!(rows(&known(&folded(&log))).contains(&("tool", "read", back, None)));
}

#[test]
fn a_server_started_with_another_command_is_another() {
    let mut log = Log::new(1);
    let run = log.run("fs");
    tell(&mut log, &run, "tool", &[("read", "r1")], &[], true);
    let mut other = log.run("fs");
    // the same alias, and a writer of its own with another command
    other.stream = 1;
    let fields = [("servers", json!([{"alias": "fs", "command": ["another"]}])), ("joined", json!(1))];
    log.append((Kind::RunStarted, other.id, 1, &[]), &fields);
    let at = tell(&mut log, &other, "tool", &[("read", "x")], &[], true);
    let config =
        [("what", json!("client-config")), ("name", json!("claude#fs")), ("old", json!(digest("a")))];
    let config = log.append((Kind::DefinitionChanged, LOG_LEVEL, 0, &[]), &config);
    let index = folded(&log);
    let answer = known(&index);
    let commands: Vec<&Value> = answer.servers.iter().map(|server| &server.command.value).collect();
    assert_eq!(commands, [&json!(["another"]), &json!(["server", "fs"])]);
    assert_eq!(answer.servers[0].definitions[0].digest.index, Some(at));
    assert!(answer.client_configs.is_empty());
    let all = index.definitions(None).unwrap().content;
    assert_eq!((all.servers.len(), all.client_configs[0].index), (2, config));
    assert!(matches!(index.definitions(Some("stdio:x")), Err(LineageError::NotFound { .. })));
    assert!(folded(&Log::new(2)).definitions(None).unwrap().content.servers.is_empty());
}

#[test]
fn tools_are_told_with_the_classes_to_pin_them_with() {
    let mut log = Log::new(1);
    let classes = format!(
        "[[tool]]\nuri = \"stdio:fs#read\"\nclasses = [\"read\"]\n
         [[tool]]\nuri = \"stdio:fs#write\"\nclasses = [\"write\"]\ndefinition = \"{}\"\n",
        digest("w1")
    );
    log.activate_with("permit(principal, action, resource);", Some(&classes));
    let run = log.run("fs");
    tell(&mut log, &run, "tool", &[("read", "r1"), ("write", "w2"), ("rm", "x")], &[], true);
    change(&mut log, &run, "tool", "write", "w1", "w2");
    let answer = known(&folded(&log));
    let told = |name: &str| {
        let row = answer.servers[0].definitions.iter().find(|row| row.name == name).unwrap();
        (row.class.as_ref().unwrap().value["classified"].as_bool().unwrap(), row.pin_classes.clone().unwrap())
    };
    assert_eq!(told("read"), (true, vec!["read".to_owned()]));
    assert_eq!(told("write"), (false, vec!["write".to_owned()]));
    assert_eq!(told("rm"), (false, vec![]));
    assert_eq!(answer.policy_digest.text(), Some(log.policy.as_str()));
}

fn beside(log: &Log) -> Vec<(u64, Beside)> {
    let answer = folded(log).did(&DidFilter { limit: Some(1_000), ..DidFilter::default() }).unwrap();
    answer.content.actions.into_iter().map(|row| (row.index, row.beside)).collect()
}

#[test]
fn an_act_names_the_changes_its_run_saw_before_it() {
    let mut log = Log::new(1);
    let mut run = log.run("fs");
    let before = log.decide(&mut run, &Call::of("stdio:fs#write", "{}"));
    let tool = change(&mut log, &run, "tool", "write", "a", "b");
    let server = change(&mut log, &run, "server-executable", "stdio:fs", "a", "b");
    change(&mut log, &run, "tool", "other", "a", "b");
    change(&mut log, &run, "prompt", "write", "a", "b");
    let many = change(&mut log, &run, "definitions", "stdio:fs", "a", "b");
    let resource = change(&mut log, &run, "resource", "note://1", "a", "b");
    let after = log.decide(&mut run, &Call::of("stdio:fs#write", "{}"));
    let read =
        Call { operation: "resources/read", ..Call::of("stdio:fs#resources/read", r#"{"uri":"note://1"}"#) };
    let read = log.decide(&mut run, &read);
    let mut later = log.run("fs");
    let elsewhere = log.decide(&mut later, &Call::of("stdio:fs#write", "{}"));
    let rows = beside(&log);
    let named = |of: u64| rows.iter().find(|(at, _)| *at == of).unwrap().1.definition_changes.clone();
    assert_eq!(named(before), [] as [u64; 0]);
    assert_eq!(named(after), [tool, server, many]);
    assert_eq!(named(read), [server, many, resource]);
    assert_eq!(named(elsewhere), [] as [u64; 0]);
    // the answer about one act names those that other runs saw too
    let index = folded(&log);
    let changes = |of| -> Vec<u64> {
        let answer = index.authority(Which::Index(of)).unwrap().content;
        answer.definition_changes.iter().map(|row| row.index).collect()
    };
    assert_eq!((changes(elsewhere), changes(before)), (vec![many, server, tool], vec![]));

    for n in 0..CHANGES_NAMED_MAX - 3 {
        change(&mut log, &run, "tool", "write", &n.to_string(), "b");
    }
    log.decide(&mut run, &Call::of("stdio:fs#write", "{}"));
    let complete =
        |log: &Log| folded(log).did(&DidFilter { limit: Some(1), ..DidFilter::default() }).unwrap();
    assert_eq!(complete(&log).left_out.len(), 1, "older acts alone");
    change(&mut log, &run, "tool", "write", "x", "b");
    log.decide(&mut run, &Call::of("stdio:fs#write", "{}"));
    assert!(complete(&log).left_out.iter().any(|left| left.contains("changed definitions")));
}

#[test]
fn attempts_and_what_people_answered_belong_to_the_act() {
    let mut log = Log::new(1);
    let mut run = log.run("fs");
    let act = log.id();
    let answered = |log: &mut Log, of, answer: &str| {
        let payload = json!({"how": "elicitation", "action": "accept", "content": {"a": answer}});
        let fields =
            [("subtype", json!("human-input")), ("payload", payload), ("act_id", json!(id::text(&act)))];
        log.append((Kind::Observed, of, 0, &[]), &fields)
    };
    let call = |act_id, after| Call { act_id: Some(act_id), after, ..Call::of("stdio:fs#write", "{}") };
    let first = log.decide(&mut run, &call(act, None));
    let asked = log.finish(&run, first, act, "input-required", "{}");
    // answers that stand in another run are not of this act
    answered(&mut log, LOG_LEVEL, "elsewhere");
    let said = answered(&mut log, run.id, "yes");
    let second = log.decide(&mut run, &call(act, Some(asked)));
    let asked = log.finish(&run, second, act, "input-required", "{}");
    // a holder that chose another id: the cause alone tells
    let other = log.id();
    let third = log.decide(&mut run, &call(other, Some(asked)));
    let alone = log.decide(&mut run, &Call::of("stdio:fs#write", "{}"));
    let rows = beside(&log);
    let of = |at: u64| rows.iter().find(|(index, _)| *index == at).unwrap().1.clone();
    assert_eq!(of(first).attempts, [second, third]);
    assert_eq!(of(second).attempts, [first, third]);
    assert_eq!((of(third).attempts, of(third).human_inputs), (vec![first, second], vec![]));
    assert_eq!((of(alone).attempts, of(second).human_inputs), (vec![], vec![said]));
    let index = folded(&log);
    let authority = index.authority(Which::Index(second)).unwrap().content;
    assert_eq!(authority.attempts, [first, third]);
    assert_eq!(authority.human_inputs[0].said.value["content"]["a"], "yes");
    assert_eq!(
        authority.human_inputs[0].said.assurance.map(evidence::label::Assurance::as_str),
        Some("asserted")
    );
    assert!(!authority.outcome.late.contains(&said));
    // a cause that is no such outcome names nothing
    let stray = log.append((Kind::Observed, run.id, 0, &[]), &[("subtype", json!("frame"))]);
    let odd = log.id();
    let odd = log.decide(&mut run, &call(odd, Some(stray)));
    assert!(beside(&log).iter().find(|(at, _)| *at == odd).unwrap().1.attempts.is_empty());
}

#[test]
fn many_attempts_are_bounded() {
    let attempts = |count: u64| {
        let mut log = Log::new(1);
        let mut run = log.run("fs");
        let act = log.id();
        let mut after = None;
        for _ in 0..count {
            let call = Call { act_id: Some(act), after, ..Call::of("stdio:fs#write", "{}") };
            let decided = log.decide(&mut run, &call);
            after = Some(log.finish(&run, decided, act, "input-required", "{}"));
        }
        folded(&log).did(&DidFilter::default()).unwrap()
    };
    let at = attempts(ATTEMPTS_MAX + 1);
    assert!(at.complete && at.content.actions[0].beside.attempts.len() as u64 == ATTEMPTS_MAX);
    assert!(attempts(ATTEMPTS_MAX + 2).left_out[0].contains("attempts"));
}

#[test]
fn answers_about_definitions_are_bounded() {
    let mut log = Log::new(1);
    let run = log.run("fs");
    let names: Vec<String> = (0..=ROWS_MAX).map(|n| format!("t{n}")).collect();
    let named: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "x")).collect();
    for part in named[..named.len() - 1].chunks(250) {
        tell(&mut log, &run, "tool", part, &[], false);
    }
    log.at_once(|log| {
        for n in 0..ROWS_DEFAULT {
            change(log, &run, "tool", &format!("t{n}"), "a", "b");
        }
    });
    let at = folded(&log).definitions(Some("stdio:fs")).unwrap();
    assert!(at.complete, "{:?}", at.left_out);
    tell(&mut log, &run, "tool", &named[named.len() - 1..], &[], false);
    change(&mut log, &run, "tool", "t0", "b", "c");
    let past = folded(&log).definitions(Some("stdio:fs")).unwrap();
    assert_eq!(past.left_out.len(), 2, "{:?}", past.left_out);

    let servers = |count: u64| {
        let mut log = Log::new(1);
        for n in 0..count {
            let run = log.run(&format!("s{n}"));
            tell(&mut log, &run, "tool", &[("a", "b")], &[], true);
        }
        folded(&log).definitions(None).unwrap()
    };
    assert!(servers(SERVERS_MAX).complete);
    assert!(servers(SERVERS_MAX + 1).left_out[0].contains("servers"));
}

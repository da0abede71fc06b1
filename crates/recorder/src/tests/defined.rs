//! Definitions: what is told of a server, and what of it is a change.

use std::collections::BTreeMap;

use evidence::Cause;
use evidence::definition::List;
use evidence::limits::{DEFINITIONS_CHANGED_MAX, DEFINITIONS_MAX};

use super::making::*;
use super::*;

fn digest(text: &str) -> Digest {
    Digest::of(text.as_bytes())
}

fn told(list: List, names: &[(&str, &str)], complete: bool) -> Define {
    let names = names.iter().map(|(name, bytes)| ((*name).to_owned(), digest(bytes)));
    Define { list, names: names.collect(), gone: Vec::new(), complete, frame_digest: None }
}

fn tools(names: &[(&str, &str)]) -> Define {
    told(List::Tool, names, true)
}

async fn tells(bench: &Bench, run: &Opened, define: Define) -> Defined {
    bench.recorder.define(run.run, run.stream, define).await.unwrap()
}

/// The changes that an entry led to: what, name, old, new, since.
fn changes(bench: &Bench, told: &Defined) -> Vec<[Option<Value>; 5]> {
    let leaf = bench.entry(told.index).0.leaf_hash();
    let change = |index: &u64| {
        let (entry, _) = bench.entry(*index);
        assert_eq!(entry.kind(), Some(Kind::DefinitionChanged));
        assert_eq!(entry.causes, [Cause::Here(leaf)]);
        assert_eq!(bench.field(*index, "server"), Some(json!("stdio:fs")));
        ["what", "name", "old", "new", "since"].map(|name| bench.field(*index, name))
    };
    told.changed.iter().map(change).collect()
}

fn change(
    what: &str,
    name: &str,
    old: Option<&str>,
    new: Option<&str>,
    since: Option<u64>,
) -> [Option<Value>; 5] {
    let text = |bytes: &str| json!(digest(bytes).to_string());
    [Some(json!(what)), Some(json!(name)), old.map(text), new.map(text), since.map(Value::from)]
}

/// A run of the same server in a task of its own, started by another command.
fn by_command(command: &str, pid: i32) -> OpenRun {
    let open = open_fs();
    let server = Server { command: vec![command.into()], ..open.server };
    OpenRun { server, client: Client { pid: Some(pid), ..open.client }, ..open }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_sight_of_a_server_is_no_change_and_every_difference_later_is() {
    let directory = tempfile::tempdir().unwrap();
    let mut bench = bench(directory.path()).await;
    let run = bench.run().await;
    let first = tells(&bench, &run, tools(&[("read", "r1"), ("write", "w1")])).await;
    assert!(first.changed.is_empty());
    let payload = bench.field(first.index, "payload").unwrap();
    let names = json!({"read": digest("r1").to_string(), "write": digest("w1").to_string()});
    let expected =
        json!({"server": "stdio:fs", "list": "tool", "names": names, "gone": [], "complete": true});
    assert_eq!(payload, expected);
    assert_eq!(bench.field(first.index, "subtype"), Some(json!("definitions")));
    let second = tells(&bench, &run, tools(&[("read", "r1"), ("write", "w1")])).await;
    assert!(second.changed.is_empty());
    // other lists of the same server are first seen, each for itself
    assert!(tells(&bench, &run, told(List::Prompt, &[("read", "p")], true)).await.changed.is_empty());
    // in a run of its own, before and after a restart, from a snapshot and without
    let (mut since, mut version) = (second.index, 1);
    for with_snapshot in [None, Some(true), Some(false)] {
        if let Some(with_snapshot) = with_snapshot {
            bench = restarted(bench, directory.path(), with_snapshot).await;
        }
        let run = bench.run().await;
        let (old, new) = (format!("w{version}"), format!("w{}", version + 1));
        let third = tells(&bench, &run, tools(&[("read", "r1"), ("write", &new)])).await;
        assert_eq!(third.changed, [third.index + 1]);
        let expected = change("tool", "write", Some(&old), Some(&new), Some(since));
        assert_eq!(changes(&bench, &third), [expected]);
        assert_eq!(bench.entry(third.index + 1).0.run, run.run);
        (since, version) = (third.index, version + 1);
        bench.recorder.end_stream(run.run, 0, "closed", 0).await.unwrap();
    }
    let (errors, _) = findings(&bench);
    assert!(errors.is_empty(), "{errors:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_and_goes_is_a_change_where_the_whole_list_was_known() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let run = bench.run().await;
    let resource = |names: &[(&str, &str)], complete| told(List::Resource, names, complete);
    let one = tells(&bench, &run, resource(&[("file:///a", "1")], false)).await;
    // pages: what was not told yet may have been there
    let two = tells(&bench, &run, resource(&[("file:///b", "2")], false)).await;
    assert!(two.changed.is_empty());
    let whole = tells(&bench, &run, resource(&[("file:///b", "2"), ("file:///c", "3")], true)).await;
    let gone = change("resource", "file:///a", Some("1"), None, Some(one.index));
    assert_eq!(changes(&bench, &whole), [gone]);
    // now it is known what there is
    let more = tells(&bench, &run, resource(&[("file:///a", "1")], false)).await;
    assert_eq!(changes(&bench, &more), [change("resource", "file:///a", None, Some("1"), None)]);
    let less = Define { gone: vec!["file:///c".into(), "file:///never".into()], ..resource(&[], false) };
    let less = tells(&bench, &run, less).await;
    let gone = change("resource", "file:///c", Some("3"), None, Some(whole.index));
    assert_eq!(changes(&bench, &less), [gone]);
    // told as gone and as there: it is there
    let both = Define { gone: vec!["file:///a".into()], ..resource(&[("file:///a", "1")], false) };
    assert!(tells(&bench, &run, both).await.changed.is_empty());
    let nothing = tells(&bench, &run, resource(&[], true)).await;
    assert_eq!(nothing.changed.len(), 2);
    assert!(tells(&bench, &run, resource(&[], true)).await.changed.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn many_differences_of_a_list_are_one_entry() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let run = bench.run().await;
    let list = |count: usize, version: &str| {
        let names: BTreeMap<String, Digest> =
            (0..count).map(|n| (format!("tool-{n:03}"), digest(version))).collect();
        Define { names, ..tools(&[]) }
    };
    tells(&bench, &run, list(DEFINITIONS_CHANGED_MAX, "1")).await;
    let each = tells(&bench, &run, list(DEFINITIONS_CHANGED_MAX, "2")).await;
    assert_eq!(each.changed.len(), DEFINITIONS_CHANGED_MAX);
    tells(&bench, &run, list(DEFINITIONS_CHANGED_MAX + 1, "2")).await;
    let all = tells(&bench, &run, list(DEFINITIONS_CHANGED_MAX + 1, "3")).await;
    let many = [Some(json!("definitions")), Some(json!("stdio:fs")), None, None, None];
    assert_eq!(changes(&bench, &all), [many]);
    assert_eq!(bench.field(all.changed[0], "count"), Some(json!(DEFINITIONS_CHANGED_MAX + 1)));
    assert!(tells(&bench, &run, list(DEFINITIONS_CHANGED_MAX + 1, "3")).await.changed.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn another_command_behind_a_known_name_is_a_change_once() {
    let directory = tempfile::tempdir().unwrap();
    let mut bench = bench(directory.path()).await;
    let opened = |bench: &Bench, command: &str, pid| {
        let (recorder, open) = (bench.recorder.clone(), by_command(command, pid));
        async move { recorder.open_run(open, PEER).await.unwrap() }
    };
    let of = |command: &str| evidence::definition::command_digest(&[command.to_owned()]).to_string();
    let at = |bench: &Bench| {
        (0..bench.recorder.reader().size())
            .filter(|index| bench.entry(*index).0.kind() == Some(Kind::DefinitionChanged))
            .collect::<Vec<_>>()
    };
    let first = opened(&bench, "a", 1).await;
    assert!(at(&bench).is_empty(), "first sight");
    tells(&bench, &first, tools(&[("read", "of a")])).await;
    let again = opened(&bench, "a", 2).await;
    assert!(at(&bench).is_empty());
    let second = opened(&bench, "b", 3).await;
    let [changed] = at(&bench)[..] else { panic!("one change") };
    let (entry, _) = bench.entry(changed);
    assert_eq!((entry.run, entry.stream), (second.run, 0));
    assert_eq!(entry.causes, [Cause::Here(bench.entry(second.index).0.leaf_hash())]);
    for (name, value) in [
        ("what", json!("server-command")),
        ("name", json!("stdio:fs")),
        ("server", json!("stdio:fs")),
        ("old", json!(of("a"))),
        ("new", json!(of("b"))),
        ("since", json!(again.index)),
    ] {
        assert_eq!(bench.field(changed, name), Some(value), "{name}");
    }
    // the receipts of the opening are for all that it wrote
    assert_eq!(second.receipts.last().unwrap().index, changed);
    // what the one offers says nothing about the other
    assert!(tells(&bench, &second, tools(&[("read", "of b")])).await.changed.is_empty());
    for with_snapshot in [true, false] {
        bench = restarted(bench, directory.path(), with_snapshot).await;
        let back = opened(&bench, "a", 4).await;
        let there = opened(&bench, "b", 5).await;
        assert_eq!(at(&bench), [changed], "both are known");
        assert!(tells(&bench, &back, tools(&[("read", "of a")])).await.changed.is_empty());
        assert!(tells(&bench, &there, tools(&[("read", "of b")])).await.changed.is_empty());
    }
    // a writer that joins may bring another one too
    let joined = OpenRun { join: Some(first.run), ..by_command("a", 1) };
    let server = Server { alias: "mail".into(), ..joined.server.clone() };
    bench.recorder.open_run(OpenRun { server, ..joined }, PEER).await.unwrap();
    assert_eq!(at(&bench), [changed], "another name");
    bench.recorder.end_stream(first.run, 0, "closed", 0).await.unwrap();
    let (errors, _) = findings(&bench);
    assert!(errors.is_empty(), "{errors:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_known_by_what_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let run = bench.run().await;
    let server = |names: &[(&str, &str)]| told(List::Server, names, true);
    let one = tells(&bench, &run, server(&[("executable", "e1"), ("package", "p1")])).await;
    assert!(one.changed.is_empty());
    let two = tells(&bench, &run, server(&[("executable", "e2"), ("environment", "v1")])).await;
    let expected = [
        change("server-executable", "stdio:fs", Some("e1"), Some("e2"), Some(one.index)),
        change("server-package", "stdio:fs", Some("p1"), None, Some(one.index)),
    ];
    assert_eq!(changes(&bench, &two), expected, "what was not known before is no change");
    let control = bench.recorder.control();
    let wrapped = &control.run(&run.run).unwrap().servers[&0];
    assert_eq!(wrapped.fact("executable"), Some(digest("e2").to_string().as_str()));
    assert_eq!(wrapped.fact("package"), None);
    assert_eq!(wrapped.fact("command"), Some(open_fs().server.command_digest().as_str()));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_stream_speaks_of_its_own_server() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let run = bench.run().await;
    let open = open_fs();
    let server = Server { alias: "mail".into(), ..open.server.clone() };
    let joined =
        bench.recorder.open_run(OpenRun { join: Some(run.run), server, ..open.clone() }, PEER).await.unwrap();
    assert_eq!((joined.run, joined.stream), (run.run, 1));
    tells(&bench, &run, tools(&[("read", "fs")])).await;
    let other = tells(&bench, &joined, tools(&[("read", "mail")])).await;
    assert!(other.changed.is_empty());
    assert_eq!(bench.field(other.index, "payload").unwrap()["server"], "stdio:mail");
    // a command with the alias of a server is something else
    let command = Server { scheme: Scheme::Run, command: vec!["fs".into()], ..open.server.clone() };
    let ran = bench.recorder.open_run(OpenRun { server: command, ..open }, PEER).await.unwrap();
    assert_eq!(bench.field(ran.index, "servers").unwrap()[0]["scheme"], "run");
    let control = bench.recorder.control();
    let wrapped = &control.run(&ran.run).unwrap().servers[&0];
    assert_eq!(wrapped.server, "run:fs");
    let kinds = (0..control.size).filter(|at| bench.entry(*at).0.kind() == Some(Kind::DefinitionChanged));
    assert_eq!(kinds.count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_of_a_command_has_its_own_scope() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let open = open_fs();
    let server = Server { scheme: Scheme::Run, alias: "git".into(), ..open.server.clone() };
    let run = bench.recorder.open_run(OpenRun { server, ..open }, PEER).await.unwrap();
    let act = |tool: &str, counter| {
        let held = Held { tokens: vec![run.renewal.token.clone()], key: agent_key() };
        let args = r#"{"argv":["git","status"]}"#;
        let call = bench.act(&run, &held, tool, args, counter);
        Request { operation: evidence::tool::operation(tool).to_owned(), ..call }
    };
    bench.allowed(act("run:git#command/run", 0)).await.leased();
    for (counter, tool) in (1..).zip(["stdio:git#command/run", "run:hg#command/run", "stdio:git#status"]) {
        bench.denied(act(tool, counter), "scope").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_told_is_refused_and_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let run = bench.run().await;
    let size = bench.recorder.reader().size();
    let many = |count: usize| Define {
        names: (0..count).map(|n| (n.to_string(), digest("x"))).collect(),
        ..tools(&[])
    };
    for wrong in [many(DEFINITIONS_MAX + 1), tools(&[("", "x")]), told(List::Server, &[("pid", "x")], true)] {
        let refused = bench.recorder.define(run.run, 0, wrong).await;
        assert!(matches!(refused, Err(RecorderError::Invalid(_))), "{refused:?}");
    }
    let nowhere = bench.recorder.define(run.run, 7, tools(&[])).await;
    assert!(matches!(nowhere, Err(RecorderError::StreamUnknown(_, 7))), "{nowhere:?}");
    let nobody = bench.recorder.define([9; 16], 0, tools(&[])).await;
    assert!(matches!(nobody, Err(RecorderError::RunUnknown(_))), "{nobody:?}");
    for subtype in ["definitions", "artifacts", "late-outcome", "refusals"] {
        let seen = Observation {
            subtype: subtype.into(),
            payload: json!({}),
            count: None,
            act_id: None,
            frame_digest: None,
            refusal: false,
        };
        let refused = bench.recorder.observe(run.run, 0, seen).await;
        assert!(matches!(refused, Err(RecorderError::Invalid(_))), "{subtype}");
    }
    assert_eq!(bench.recorder.reader().size(), size);
    tells(&bench, &run, many(DEFINITIONS_MAX)).await;
    bench.recorder.end_stream(run.run, 0, "closed", 0).await.unwrap();
    let ended = bench.recorder.define(run.run, 0, tools(&[])).await;
    assert!(matches!(ended, Err(RecorderError::RunEnded(_))), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_with_observations_of_another_form_opens_again() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let run = bench.run().await;
    let fields = draft::Fields::new().text("subtype", "definitions").json("payload", &json!({"count": 2}));
    let place = draft::Place::harness(run.run, 0);
    let item = bench.recorder.0.sealer.item(Kind::Observed, place, fields).unwrap();
    bench.recorder.append(Draft::one(draft::Guard::RunOpen, item)).await.unwrap();
    let bench = restarted(bench, directory.path(), false).await;
    assert!(tells(&bench, &run, tools(&[("read", "1")])).await.changed.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_configuration_of_a_client_changes_at_log_level() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let name = "claude-code:/home/m/.claude.json#fs";
    let changed = |old: Option<&str>, new: Option<&str>| ConfigChanged {
        name: name.into(),
        old: old.map(digest),
        new: new.map(digest),
    };
    let index = bench.recorder.client_config_changed(changed(Some("a"), None)).await.unwrap();
    let (entry, _) = bench.entry(index);
    assert_eq!((entry.kind(), entry.run), (Some(Kind::DefinitionChanged), id::LOG_LEVEL));
    assert_eq!(bench.field(index, "what"), Some(json!("client-config")));
    assert_eq!(bench.field(index, "name"), Some(json!(name)));
    assert_eq!(bench.field(index, "old"), Some(json!(digest("a").to_string())));
    assert_eq!((bench.field(index, "new"), bench.field(index, "server")), (None, None));
    for wrong in [
        changed(None, None),
        changed(Some("a"), Some("a")),
        ConfigChanged { name: String::new(), ..changed(None, Some("a")) },
    ] {
        let refused = bench.recorder.client_config_changed(wrong).await;
        assert!(matches!(refused, Err(RecorderError::Invalid(_))), "{refused:?}");
    }
    assert_eq!(bench.recorder.reader().size(), index + 1);
}

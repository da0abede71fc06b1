//! Artifacts: one hop up and down, lists in parts, withdrawals, other bytes under the same name.

use evidence::id::{self, Id};
use evidence::{Digest, Kind, json as evidence_json};
use lineage::limits::{BESIDE_MAX, PARTS_MAX, ROWS_DEFAULT, VERSIONS_MAX};
use lineage::{Answer, DidFilter, Direction, Index, LineageError, Trace, TraceFilter, TraceOf, Which};
use serde_json::{Value, json};

use crate::fold::{folded, open};
use crate::log::{Call, Log, Run};

/// Digest string of some bytes.
pub(crate) fn digest(text: &str) -> String {
    Digest::of(text.as_bytes()).to_string()
}

/// A file with some bytes.
pub(crate) fn file(name: &str, text: &str) -> Value {
    json!({"uri": format!("file:///srv/{name}"), "digest": digest(text), "size": text.len()})
}

/// A file that an act wrote.
fn written(name: &str, text: &str, before: Option<&str>) -> Value {
    let mut file = file(name, text);
    file["change"] = json!(if before.is_some() { "modified" } else { "created" });
    if let Some(before) = before {
        file["before"] = json!(digest(before));
    }
    file
}

/// An allowed act with its artifacts: the positions of decision and outcome.
pub(crate) fn act(log: &mut Log, run: &mut Run, inputs: Value, outputs: &Value) -> (u64, u64) {
    let act_id = log.id();
    let call =
        Call { act_id: Some(act_id), inputs, ..Call::of("run:build#command/run", r#"{"argv":["x"]}"#) };
    let decided = log.decide(run, &call);
    let result = format!("result of {decided}");
    (decided, log.finish_with(run, (decided, act_id), "ok", &result, outputs))
}

pub(crate) fn withdraw(log: &mut Log, artifact: &Value, why: &str) -> u64 {
    let by = json!({"kind": "unknown", "iss": log.issuer, "sub": "uid:1000"});
    log.log_level(
        Kind::LabelChanged,
        &[
            ("change", json!("withdrawn")),
            ("artifact", artifact.clone()),
            ("why", json!(why)),
            ("by", by),
            ("assurance", json!("inferred")),
        ],
    )
}

fn asked(index: &Index, of: &str, direction: Option<Direction>) -> Answer<Trace> {
    let of = TraceOf::parse(of).unwrap();
    index.trace(&TraceFilter { of, direction, limit: None, before: None }).unwrap()
}

/// The acts of an answer with their roles.
fn acts(answer: &Answer<Trace>) -> Vec<(u64, &'static str)> {
    let rows = answer.content.acts.as_ref().unwrap();
    rows.iter().map(|row| (row.act.as_ref().unwrap().index, row.role)).collect()
}

fn codes(answer: &Answer<Trace>) -> Vec<&str> {
    answer.findings.iter().map(|finding| finding.code.as_str()).collect()
}

#[test]
fn what_was_read_is_not_what_was_made() {
    let mut log = Log::new(1);
    let mut run = log.run("build");
    let read = json!([file("a", "one"), written("b", "two", None), file("c", "three"), file("d", "four")]);
    let (act, _) = act(&mut log, &mut run, json!([file("a", "one")]), &read);
    let why = withdraw(&mut log, &json!({"uri": "file:///srv/c"}), "wrong");
    let index = folded(&log);
    let rows = index.did(&DidFilter::default()).unwrap().content.actions;
    let outputs = &rows[0].beside.artifacts.outputs.as_ref().unwrap().value;
    assert_eq!((&outputs["count"], &outputs["brought"]), (&json!(4), &json!(3)));
    assert_eq!(rows[0].beside.artifacts.inputs.as_ref().unwrap().value.get("brought"), None);
    let answer = asked(&index, &format!("@{act}"), None);
    let told: Vec<&str> = answer.findings.iter().map(|finding| finding.text.as_str()).collect();
    assert_eq!(answer.findings[0].index, Some(why));
    assert_eq!(told, [format!("what @{act} brought was withdrawn: wrong")]);
}

#[test]
fn from_an_artifact_to_the_acts_that_made_and_had_it() {
    let mut log = Log::new(1);
    let mut run = log.run("build");
    let (made, _) = act(&mut log, &mut run, json!([]), &json!([written("data.csv", "one", None)]));
    let (used, finished) = act(
        &mut log,
        &mut run,
        json!([file("data.csv", "one"), file("other", "x")]),
        &json!([written("report.pdf", "two", None)]),
    );
    let index = folded(&log);

    for of in ["/srv/data.csv", "file:///srv/data.csv", "file:/srv/d%61ta.csv", &digest("one")] {
        let answer = asked(&index, of, None);
        assert_eq!(acts(&answer), [(used, "input"), (made, "output")], "{of}");
        assert!(answer.complete && answer.findings.is_empty(), "{:?}", answer.findings);
        assert_eq!(acts(&asked(&index, of, Some(Direction::Up))), [(made, "output")]);
        assert_eq!(acts(&asked(&index, of, Some(Direction::Down))), [(used, "input")]);
    }
    let answer = asked(&index, "/srv/data.csv", Some(Direction::Up));
    let row = &answer.content.acts.unwrap()[0];
    assert_eq!(row.artifacts[0].value, written("data.csv", "one", None));
    let act = row.act.as_ref().unwrap();
    assert_eq!((act.tool.text(), act.outcome.status.text()), (Some("run:build#command/run"), Some("ok")));
    assert_eq!((&act.principal.value["sub"], act.holder.missing), (&json!("uid:1000"), None));

    // whatever was asked for, what is last recorded of a name
    for way in [None, Some(Direction::Up), Some(Direction::Down)] {
        let latest = asked(&index, "/srv/data.csv", way).content.latest.unwrap();
        assert_eq!((latest.index, latest.role, latest.act), (used, "input", Some(used)));
        assert_eq!(latest.artifact.value["digest"], json!(digest("one")));
    }
    let latest = asked(&index, "/srv/report.pdf", None).content.latest.unwrap();
    assert_eq!((latest.index, latest.role, latest.act), (finished, "output", Some(used)));
    assert!(asked(&index, &digest("one"), None).content.latest.is_none());
    assert!(asked(&index, "/srv/none", None).content.latest.is_none());

    // a result is bytes without a name
    let result = digest(&format!("result of {used}"));
    assert_eq!(acts(&asked(&index, &result, None)), [(used, "result")]);
    // nothing is known of anything else, which is no error
    for nothing in ["/srv/none", &digest("none"), "https://example.org/x"] {
        let answer = asked(&index, nothing, None);
        assert!(acts(&answer).is_empty() && answer.complete);
    }

    for of in [format!("@{used}"), used.to_string(), format!("@{finished}")] {
        let answer = asked(&index, &of, None);
        assert_eq!(answer.content.of, json!({"act": used}));
        let rows = answer.content.artifacts.unwrap();
        let told: Vec<_> = rows.iter().map(|row| (row.role, row.artifact.value["uri"].as_str())).collect();
        let named = |name| Some(name);
        assert_eq!(
            told,
            [
                ("input", named("file:///srv/data.csv")),
                ("input", named("file:///srv/other")),
                ("output", named("file:///srv/report.pdf")),
                ("result", None)
            ]
        );
        assert_eq!((rows[0].made_by.as_slice(), rows[1].made_by.len()), (&[made][..], 0));
        assert_eq!(answer.content.act.unwrap().index, used);
    }
    let up = asked(&index, &format!("@{used}"), Some(Direction::Up)).content.artifacts.unwrap();
    assert!(up.len() == 2 && up.iter().all(|row| row.role == "input"));
    let down = asked(&index, &format!("@{made}"), Some(Direction::Down)).content.artifacts.unwrap();
    assert_eq!((down[0].role, &down[0].used_by[..]), ("output", &[used][..]));
    let filter = |which| TraceFilter { of: TraceOf::Act(which), direction: None, limit: None, before: None };
    for nothing in [Which::Index(0), Which::Act([9; 16])] {
        assert!(matches!(index.trace(&filter(nothing)), Err(LineageError::NotFound { .. })));
    }
}

#[test]
fn rows_of_actions_tell_their_artifacts_in_short() {
    let mut log = Log::new(1);
    let mut run = log.run("build");
    let files: Vec<Value> = (0..5).map(|n| file(&format!("in-{n}"), "x")).collect();
    let (used, _) = act(&mut log, &mut run, json!(files), &json!([written("out", "y", None)]));
    let withdrawn = withdraw(&mut log, &json!({"uri": "file:///srv/in-4"}), "wrong figures");
    let index = folded(&log);
    let answer = index.did(&DidFilter::default()).unwrap();
    let beside = &answer.content.actions[0].beside.artifacts;
    assert_eq!(beside.inputs.as_ref().unwrap().value, json!({"count": 5, "artifacts": files[..3]}));
    assert_eq!(beside.outputs.as_ref().unwrap().value["count"], 1);
    assert_eq!((beside.withdrawn.len(), beside.withdrawn[0].index), (1, withdrawn));
    assert_eq!(beside.withdrawn[0].why.text(), Some("wrong figures"));
    let authority = index.authority(Which::Index(used)).unwrap().content;
    assert_eq!(
        (authority.artifacts.inputs.unwrap().value["count"].as_u64(), authority.artifacts.withdrawn[0].index),
        (Some(5), withdrawn)
    );
}

#[test]
fn what_is_withdrawn_is_said_wherever_it_is_met() {
    let mut log = Log::new(1);
    let mut run = log.run("build");
    let (old, _) = act(&mut log, &mut run, json!([file("a", "v1")]), &Value::Null);
    let (new, _) = act(&mut log, &mut run, json!([file("a", "v2")]), &Value::Null);
    let (copy, _) = act(&mut log, &mut run, json!([file("b", "v1")]), &Value::Null);
    let met = |log: &Log| -> Vec<u64> {
        let index = folded(log);
        let of = [old, new, copy];
        let hit =
            of.into_iter().filter(|at| codes(&asked(&index, &format!("@{at}"), None)).contains(&"withdrawn"));
        hit.collect()
    };
    assert_eq!(met(&log), [] as [u64; 0]);
    // that version there, these bytes wherever they are, every version of the name
    withdraw(&mut log, &json!({"uri": "file:///srv/b", "digest": digest("v1")}), "x");
    assert_eq!(met(&log), [copy]);
    let by_digest = asked(&folded(&log), &digest("v1"), None);
    assert_eq!(by_digest.content.withdrawn, []);
    let rows = by_digest.content.acts.unwrap();
    assert_eq!(rows.iter().map(|row| row.withdrawn.len()).collect::<Vec<_>>(), [1, 0]);
    withdraw(&mut log, &json!({"digest": digest("v1")}), "x");
    assert_eq!(met(&log), [old, copy]);
    withdraw(&mut log, &json!({"uri": "file:///srv/a"}), "x");
    assert_eq!(met(&log), [old, new, copy]);
    // a withdrawal that is not at log level is nobody's
    let fields = [("change", json!("withdrawn")), ("artifact", file("c", "v1"))];
    log.append((Kind::LabelChanged, run.id, 0, &[]), &fields);
    let answer = asked(&folded(&log), "/srv/a", None);
    assert_eq!((answer.content.withdrawn.len(), answer.complete), (1, true));
    assert!(codes(&answer).contains(&"withdrawn"));

    for _ in 2..=BESIDE_MAX {
        withdraw(&mut log, &json!({"uri": "file:///srv/b"}), "again");
    }
    assert!(asked(&folded(&log), &format!("@{copy}"), None).left_out[0].contains("withdrawals"));
}

#[test]
fn other_bytes_under_the_same_name_are_told() {
    let mut log = Log::new(1);
    let (mut load, mut other) = (log.run("build"), log.run("elsewhere"));
    let (first, _) = act(&mut log, &mut load, json!([file("set", "v1")]), &Value::Null);
    let index = folded(&log);
    assert!(codes(&asked(&index, &format!("@{first}"), None)).is_empty());

    // written by another task between two uses of one
    let (wrote, at) = act(&mut log, &mut other, json!([]), &json!([written("set", "v2", Some("v1"))]));
    let (second, _) = act(&mut log, &mut load, json!([file("set", "v2")]), &Value::Null);
    let index = folded(&log);
    let answer = asked(&index, &format!("@{first}"), None);
    assert_eq!((codes(&answer), answer.complete), (vec!["replaced-since"], true));
    let rows = answer.content.artifacts.unwrap();
    let since = &rows[0].replaced[0];
    assert_eq!(
        (since.when, since.by, since.index, &since.digest),
        ("since", Some(wrote), at, &Some(digest("v2")))
    );
    let answer = asked(&index, &format!("@{second}"), None);
    assert_eq!(codes(&answer), ["replaced-between"]);
    assert!(answer.findings[0].text.contains(&format!("@{wrote}, of another task")), "{:?}", answer.findings);
    // the history of a name is no finding, but a use in between is
    let answer = asked(&index, "/srv/set", Some(Direction::Down));
    assert_eq!((codes(&answer), acts(&answer).len()), (vec!["replaced-between"], 2));
    assert_eq!(codes(&asked(&index, &digest("v1"), Some(Direction::Down))), ["replaced-since"]);

    // found with other bytes, and nobody wrote them
    let (third, _) = act(&mut log, &mut load, json!([file("set", "v3")]), &Value::Null);
    let index = folded(&log);
    let answer = asked(&index, &format!("@{third}"), None);
    assert!(answer.findings[0].text.contains("no act that is recorded wrote it"), "{:?}", answer.findings);
    let answer = asked(&index, &format!("@{second}"), None);
    assert_eq!(codes(&answer), ["replaced-between", "replaced-since"]);
    assert!(answer.findings[1].text.contains("no act that is recorded"), "{:?}", answer.findings);

    // what a task writes itself it may use, and what an act itself writes over is no news
    let (fourth, _) =
        act(&mut log, &mut load, json!([file("set", "v3")]), &json!([written("set", "v4", Some("v3"))]));
    let (fifth, _) = act(&mut log, &mut load, json!([file("set", "v4")]), &Value::Null);
    let index = folded(&log);
    for quiet in [fourth, fifth] {
        assert!(codes(&asked(&index, &format!("@{quiet}"), None)).is_empty());
    }
    // other bytes were there when it wrote than when it was told what it has
    let (sixth, _) =
        act(&mut log, &mut load, json!([file("set", "v4")]), &json!([written("set", "v6", Some("v5"))]));
    let answer = asked(&folded(&log), &format!("@{sixth}"), None);
    assert_eq!(codes(&answer), ["replaced-between"]);
}

#[test]
fn what_a_task_had_last_is_looked_for_within_bounds() {
    let behind = |others: u64| {
        let mut log = Log::new(1);
        let (mut run, mut other) = (log.run("build"), log.run("elsewhere"));
        act(&mut log, &mut run, json!([file("set", "v1")]), &Value::Null);
        let last = log.at_once(|log| {
            for _ in 0..others {
                act(log, &mut other, json!([file("set", "v9")]), &Value::Null);
            }
            act(log, &mut run, json!([file("set", "v2")]), &Value::Null).0
        });
        let answer = asked(&folded(&log), &format!("@{last}"), None);
        codes(&answer).contains(&"replaced-between")
    };
    assert!(behind(VERSIONS_MAX - 1) && !behind(VERSIONS_MAX));
}

/// A list in parts as observations, and what decision or outcome say instead of it.
fn parts(log: &mut Log, run: &Run, act_id: &Id, role: &str, list: &[Value], size: usize) -> Value {
    for (part, artifacts) in list.chunks(size).enumerate() {
        log.append(
            (Kind::Observed, run.id, run.stream, &[]),
            &[
                ("subtype", json!("artifacts")),
                ("payload", json!({"role": role, "part": part, "artifacts": artifacts})),
                ("act_id", json!(id::text(act_id))),
            ],
        );
    }
    let digest = Digest::of(evidence_json::jcs_text(&json!(list)).as_bytes()).to_string();
    json!({"count": list.len(), "digest": digest})
}

#[test]
fn long_lists_are_put_together_from_their_parts() {
    let mut log = Log::new(1);
    let mut run = log.run("build");
    let files = |prefix: &str, n: usize| -> Vec<Value> {
        (0..n).map(|n| file(&format!("{prefix}-{n}"), &format!("{prefix} {n}"))).collect()
    };
    let (inputs, outputs) = (files("in", 7), files("out", 5));
    let act_id = log.id();
    // an attempt before it with parts of its own
    let early = parts(&mut log, &run, &act_id, "inputs", &inputs[..3], 2);
    let call = |inputs, after| Call {
        act_id: Some(act_id),
        inputs,
        after,
        ..Call::of("run:build#command/run", "{}")
    };
    let first = log.decide(&mut run, &call(early, None));
    let asked_more = log.finish(&run, first, act_id, "input-required", "{}");
    let said = parts(&mut log, &run, &act_id, "inputs", &inputs, 3);
    let decided = log.decide(&mut run, &call(said, Some(asked_more)));
    let said = parts(&mut log, &run, &act_id, "outputs", &outputs, 2);
    log.finish_with(&run, (decided, act_id), "ok", "{}", &said);
    let index = folded(&log);

    let answer = asked(&index, &format!("@{decided}"), None);
    assert!(answer.complete, "{:?} {:?}", answer.left_out, answer.findings);
    let told: Vec<Value> =
        answer.content.artifacts.unwrap().into_iter().map(|row| row.artifact.value).collect();
    assert_eq!(told[..12], [inputs.clone(), outputs.clone()].concat()[..]);
    assert_eq!(asked(&index, &format!("@{first}"), Some(Direction::Up)).content.artifacts.unwrap().len(), 3);
    assert_eq!(acts(&asked(&index, "/srv/in-6", None)), [(decided, "input")]);
    assert_eq!(acts(&asked(&index, "/srv/in-0", None)), [(decided, "input"), (first, "input")]);
    assert_eq!(acts(&asked(&index, &digest("out 4"), None)), [(decided, "output")]);
    let row = &index.did(&DidFilter::default()).unwrap().content.actions[0];
    assert_eq!(row.beside.artifacts.inputs.as_ref().unwrap().value, json!({"count": 7, "artifacts": []}));
    assert_eq!((row.index, &row.beside.attempts[..]), (decided, &[first][..]));
    // parts are no late facts
    let authority = index.authority(Which::Index(decided)).unwrap().content;
    assert!(authority.outcome.late.is_empty() && authority.attempts == [first]);

    let withdrawn = withdraw(&mut log, &json!({"digest": digest("in 6")}), "x");
    let row = &folded(&log).did(&DidFilter::default()).unwrap().content.actions[0].beside.artifacts.withdrawn;
    assert_eq!(row.iter().map(|row| row.index).collect::<Vec<_>>(), [withdrawn]);

    // a part is missing, or is another one than was committed to
    let act_id = log.id();
    let said = parts(&mut log, &run, &act_id, "inputs", &inputs, 3);
    let lie = json!({"count": 8, "digest": said["digest"]});
    let call = Call { act_id: Some(act_id), inputs: lie, ..Call::of("run:build#command/run", "{}") };
    let decided = log.decide(&mut run, &call);
    let answer = asked(&folded(&log), &format!("@{decided}"), None);
    assert!(!answer.complete && codes(&answer).contains(&"artifacts-mismatch"));
    // parts whose act was never decided
    let act_id = log.id();
    parts(&mut log, &run, &act_id, "inputs", &files("lost", 1), 1);
    let answer = asked(&folded(&log), "/srv/lost-0", None);
    assert_eq!(answer.content.acts.unwrap()[0].act, None);
}

#[test]
fn the_number_of_parts_is_bounded() {
    let told = |count: u64| {
        let mut log = Log::new(1);
        let mut run = log.run("build");
        let act_id = log.id();
        let decided = log.at_once(|log| {
            let list: Vec<Value> = (0..count).map(|n| file(&n.to_string(), "x")).collect();
            let inputs = parts(log, &run, &act_id, "inputs", &list, 1);
            let call = Call { act_id: Some(act_id), inputs, ..Call::of("run:build#command/run", "{}") };
            log.decide(&mut run, &call)
        });
        let filter = TraceFilter {
            of: TraceOf::Act(Which::Index(decided)),
            direction: None,
            limit: Some(1_000),
            before: None,
        };
        folded(&log).trace(&filter).unwrap()
    };
    let at = told(PARTS_MAX);
    assert!(at.complete, "{:?}", at.findings);
    let past = told(PARTS_MAX + 1);
    assert!(past.left_out[0].contains("parts of the lists"), "{:?}", past.left_out);
}

#[test]
fn long_histories_come_in_pages() {
    let mut log = Log::new(1);
    let mut run = log.run("build");
    let made: Vec<u64> = log.at_once(|log| {
        (0..ROWS_DEFAULT + 3).map(|_| act(log, &mut run, json!([file("a", "x")]), &Value::Null).0).collect()
    });
    let index = folded(&log);
    let page = |limit, before| {
        let of = TraceOf::Uri("file:///srv/a".into());
        index.trace(&TraceFilter { of, direction: None, limit, before }).unwrap()
    };
    let first = page(None, None);
    assert!(!first.complete && acts(&first).len() as u64 == ROWS_DEFAULT);
    let rest = page(None, first.content.next);
    assert!(rest.complete && rest.content.next.is_none());
    let all: Vec<u64> = [first, rest].iter().flat_map(|page| acts(page)).map(|(act, _)| act).rev().collect();
    assert_eq!(all, made);
    let act = index
        .trace(&TraceFilter {
            of: TraceOf::Act(Which::Index(made[0])),
            direction: None,
            limit: Some(1),
            before: None,
        })
        .unwrap();
    assert!(!act.complete && act.content.artifacts.unwrap().len() == 1);
}

#[test]
fn names_and_digests_of_artifacts_are_not_in_the_index() {
    let mut log = Log::new(1);
    let mut run = log.run("build");
    act(&mut log, &mut run, json!([file("salaries-of-2026", "secret")]), &Value::Null);
    withdraw(&mut log, &json!({"uri": "file:///srv/salaries-of-2026"}), "a leak of secrets");
    let index = open(&log);
    index.fold_until(u64::MAX).unwrap();
    drop(index);
    let path = log.dir.path().join("index/1/0.sqlite");
    let bytes = std::fs::read(path).unwrap();
    let holds = |text: &[u8]| bytes.windows(text.len()).any(|window| window == text);
    let raw = Digest::of(b"secret");
    for hidden in [&b"salaries"[..], b"a leak", raw.hex().as_bytes(), &raw.0[..8]] {
        assert!(!holds(hidden), "{}", String::from_utf8_lossy(hidden));
    }
    assert!(holds(b"run:build#command/run"));
}

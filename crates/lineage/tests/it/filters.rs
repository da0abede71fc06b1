//! Which actions are listed: every filter alone and together, and how far a filtered list looks.

use evidence::{Status, Verdict};
use lineage::limits::{ALIKE_MAX, SCANNED_MAX, TOOLS_MAX};
use lineage::{DidFilter, Index, LineageError, OutcomeIs, RunsFilter, Whose};
use serde_json::json;

use crate::fold::folded;
use crate::log::{Call, Log, Run, signing_key};

const READ: &str = "stdio:fs#read_file";
const WRITE: &str = "stdio:fs#write_file";

struct Scene {
    log: Log,
    runs: Vec<Run>,
    /// Position, run, tool, allowed, status.
    acts: Vec<(u64, usize, &'static str, bool, &'static str)>,
}

/// Acts of two people in two tasks, with every verdict and several outcomes.
fn scene() -> Scene {
    let mut log = Log::new(1);
    let maya = signing_key(30);
    log.key_change("principal-registered", "maya", &maya);
    let mut runs = vec![log.run("fs"), log.run_for("fs", "maya", &maya, &json!({"stdio:fs#*": {}}))];
    let mut acts = Vec::new();
    for n in 0..24_usize {
        let (run, tool) = (n % 2, if n % 3 == 0 { WRITE } else { READ });
        let status = ["ok", "unknown", "open", "tool-error"][n % 4];
        let refused = n % 5 == 0;
        let act_id = log.id();
        let call = Call {
            act_id: Some(act_id),
            refused: refused.then_some("forbidden"),
            ..Call::of(tool, r#"{"path":"x"}"#)
        };
        let decided = log.decide(&mut runs[run], &call);
        if !refused && status != "open" {
            log.finish(&runs[run], decided, act_id, status, "{}");
        }
        acts.push((decided, run, tool, !refused, if refused { "" } else { status }));
    }
    Scene { log, runs, acts }
}

fn found(index: &Index, filter: &DidFilter) -> Vec<u64> {
    let answer = index.did(filter).unwrap();
    assert!(answer.complete, "{:?}", answer.left_out);
    answer.content.actions.iter().map(|row| row.index).collect()
}

#[test]
fn every_filter_and_all_of_them_together() {
    let scene = scene();
    let index = folded(&scene.log);
    let whose = |run: usize| [Whose::All, Whose::Run(scene.runs[run].id), Whose::Task(scene.runs[run].txn)];
    let outcomes = [None, Some("ok"), Some("unknown"), Some("open"), Some("tool-error"), Some("cancelled")];
    for run in [0, 1] {
        for (place, whose) in whose(run).into_iter().enumerate() {
            for tool in [None, Some(READ), Some("stdio:fs#*")] {
                for principal in [None, Some("maya")] {
                    for verdict in [None, Some(Verdict::Allow), Some(Verdict::Deny)] {
                        for outcome in outcomes {
                            let filter = DidFilter {
                                whose: whose.clone(),
                                tool: tool.map(str::to_owned),
                                principal: principal.map(str::to_owned),
                                verdict,
                                outcome: outcome.map(|word| OutcomeIs::parse(word).unwrap()),
                                ..DidFilter::default()
                            };
                            let mut expected: Vec<u64> = scene
                                .acts
                                .iter()
                                .filter(|act| place == 0 || act.1 == run)
                                .filter(|act| tool != Some(READ) || act.2 == READ)
                                .filter(|act| principal.is_none() || act.1 == 1)
                                .filter(|act| verdict.is_none_or(|is| act.3 == (is == Verdict::Allow)))
                                .filter(|act| outcome.is_none_or(|is| act.4 == is))
                                .map(|act| act.0)
                                .collect();
                            expected.reverse();
                            assert_eq!(found(&index, &filter), expected, "{filter:?}");
                        }
                    }
                }
            }
        }
    }
    let who = DidFilter {
        whose: Whose::Who("maya".into()),
        verdict: Some(Verdict::Deny),
        limit: Some(1),
        ..DidFilter::default()
    };
    let first = index.did(&who).unwrap();
    let rest = index.did(&DidFilter { before: first.content.next, limit: None, ..who }).unwrap();
    let denied = scene.acts.iter().filter(|act| act.1 == 1 && !act.3).count();
    assert_eq!(first.content.actions.len() + rest.content.actions.len(), denied);
}

#[test]
fn names_that_nothing_has_are_said() {
    let scene = scene();
    let index = folded(&scene.log);
    let ask = |filter: DidFilter| match index.did(&filter) {
        Err(LineageError::NotFound { what, .. }) => what,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        ask(DidFilter { tool: Some("stdio:fs#nothing".into()), ..DidFilter::default() }),
        "action on the tool"
    );
    assert_eq!(
        ask(DidFilter { tool: Some("stdio:x#*".into()), ..DidFilter::default() }),
        "action on the tool"
    );
    assert_eq!(ask(DidFilter { principal: Some("nobody".into()), ..DidFilter::default() }), "principal");
    // an agent is no principal
    let holder = scene.runs[0].holder.id.clone();
    assert_eq!(ask(DidFilter { principal: Some(holder), ..DidFilter::default() }), "principal");
    assert_eq!(OutcomeIs::parse("ok"), Some(OutcomeIs::Status(Status::Ok)));
    assert_eq!((OutcomeIs::parse("open"), OutcomeIs::parse("no")), (Some(OutcomeIs::Open), None));
}

#[test]
fn a_tool_or_a_server_is_found_by_its_bare_name() {
    let mut scene = scene();
    let mut build = scene.log.run("build");
    let command = scene.log.decide(&mut build, &Call::of("run:build#command/run", "{}"));
    // a server that has the name of a tool: the tool is meant
    let mut odd = scene.log.run("write_file");
    scene.log.decide(&mut odd, &Call::of("stdio:write_file#other", "{}"));
    let index = folded(&scene.log);
    let by = |tool: &str| found(&index, &DidFilter { tool: Some(tool.into()), ..DidFilter::default() });
    let acts = |of: &str| -> Vec<u64> {
        scene.acts.iter().rev().filter(|act| of == "*" || act.2 == of).map(|act| act.0).collect()
    };
    assert_eq!(by("write_file"), acts(WRITE));
    for all in ["fs", "stdio:fs", "stdio:fs#*"] {
        assert_eq!(by(all), acts("*"), "{all}");
    }
    for same in ["build", "run:build", "command/run", "run:build#command/run"] {
        assert_eq!(by(same), [command], "{same}");
    }
    let error = |tool: &str| {
        let filter = DidFilter { tool: Some(tool.into()), ..DidFilter::default() };
        index.did(&filter).unwrap_err().to_string()
    };
    let near = error("stdio:files#write_file");
    assert!(near.ends_with("did you mean `stdio:fs#write_file`?"), "{near}");
    // no part of a name, nothing that stands for something in a pattern
    for nothing in ["file", "read%", "_ead_file", "*", "stdio:x#*", "x#nothing"] {
        assert!(error(nothing).contains("`deeds did` shows those"), "{nothing}");
    }
}

#[test]
fn agents_whose_ids_begin_alike_are_one_question() {
    let mut log = Log::new(1);
    let mut acts = Vec::new();
    for alias in ["fs", "fs2", "time"] {
        let mut run = log.run(alias);
        acts.push(log.decide(&mut run, &Call::of(&format!("stdio:{alias}#x"), "{}")));
    }
    let index = folded(&log);
    let by = |who: &str| {
        found(&index, &DidFilter { whose: Whose::Who(who.into()), limit: Some(10), ..DidFilter::default() })
    };
    let newest_first = |of: &[u64]| of.iter().rev().copied().collect::<Vec<_>>();
    assert_eq!(by("local:uid-1000/python/*"), newest_first(&acts));
    assert_eq!(by("local:uid-1000/python/fs*"), newest_first(&acts[..2]));
    assert_eq!(by("uid:1*"), newest_first(&acts), "principals too");
    for nobody in ["local:uid-2*", "*", "python*", "local:uid-1000/python/fs%*"] {
        let filter = DidFilter { whose: Whose::Who(nobody.into()), ..DidFilter::default() };
        assert!(matches!(index.did(&filter), Err(LineageError::NotFound { .. })), "{nobody}");
    }
}

#[test]
fn agents_whose_ids_begin_alike_are_bounded() {
    let mut log = Log::new(1);
    let more = |log: &mut Log, from: u64, to: u64| {
        log.at_once(|log| {
            for n in from..to {
                let mut run = log.run(&format!("a{n}"));
                log.decide(&mut run, &Call::of("stdio:fs#x", "{}"));
            }
        });
    };
    let filter = DidFilter {
        whose: Whose::Who("local:uid-1000/python/a*".into()),
        limit: Some(1_000),
        ..DidFilter::default()
    };
    more(&mut log, 0, ALIKE_MAX);
    assert_eq!(found(&folded(&log), &filter).len() as u64, ALIKE_MAX);
    more(&mut log, ALIKE_MAX, ALIKE_MAX + 1);
    let answer = folded(&log).did(&filter).unwrap();
    assert_eq!(answer.content.actions.len() as u64, ALIKE_MAX);
    assert!(answer.left_out[0].contains("more than 256 identities"), "{:?}", answer.left_out);
}

#[test]
fn tools_of_a_server_are_bounded() {
    let mut log = Log::new(1);
    let mut run = log.run("fs");
    let mut call = |log: &mut Log, from: u64, to: u64| {
        log.at_once(|log| {
            for n in from..to {
                log.decide(&mut run, &Call::of(&format!("stdio:fs#tool_{n}"), "{}"));
            }
        });
    };
    let filter = DidFilter { tool: Some("stdio:fs#*".into()), limit: Some(1_000), ..DidFilter::default() };
    call(&mut log, 0, TOOLS_MAX);
    assert_eq!(found(&folded(&log), &filter).len() as u64, TOOLS_MAX);
    call(&mut log, TOOLS_MAX, TOOLS_MAX + 1);
    let answer = folded(&log).did(&filter).unwrap();
    assert!(!answer.complete && answer.left_out[0].contains("tools of the server"), "{:?}", answer.left_out);
}

/// The rows of the index alone are enough to see how far a list looks: a log of that many acts would take minutes.
#[test]
fn a_list_that_finds_little_says_how_far_it_looked() {
    let mut log = Log::new(1);
    let mut run = log.run("fs");
    let first = log.decide(&mut run, &Call::of(READ, "{}"));
    let others = log.at_once(|log| {
        let tool = Call::of(WRITE, "{}");
        (0..20).map(|_| log.decide(&mut run, &tool)).collect::<Vec<_>>()
    });
    let index = folded(&log);
    drop(index);
    let database = rusqlite::Connection::open(log.dir.path().join("index/1/0.sqlite")).unwrap();
    // between the first act and the others stand as many of the same run as one walk looks at
    let last = i64::try_from(others[0]).unwrap();
    let many = i64::try_from(SCANNED_MAX).unwrap();
    let shift = "UPDATE actions SET decided = decided + ?1 WHERE decided >= ?2";
    database.execute_batch("DROP INDEX actions_h").unwrap();
    database.execute(shift, [2 * many, last]).unwrap();
    database
        .execute(
            "WITH RECURSIVE n(i) AS (SELECT ?2 UNION ALL SELECT i + 1 FROM n WHERE i < ?2 + ?1 - 1)
             INSERT INTO actions SELECT i, a.leaf, a.h, a.act_id, a.run, a.task, a.tool, a.principal, a.holder, a.verdict,
             a.observed_ms, NULL, NULL, NULL, a.token, a.at_ms, NULL FROM n, actions AS a WHERE a.decided = ?2 + 2 * ?1",
            [many, last],
        )
        .unwrap();
    drop(database);
    let index = crate::fold::open(&log);
    let filter = DidFilter { whose: Whose::Run(run.id), tool: Some(READ.into()), ..DidFilter::default() };
    let answer = index.did(&filter).unwrap();
    assert!(answer.content.actions.is_empty() && !answer.complete);
    assert!(answer.left_out[0].contains("so far was searched"), "{:?}", answer.left_out);
    // the 20 others and all but 20 of the many were looked at
    let next = answer.content.next.unwrap();
    assert_eq!(next, u64::try_from(last).unwrap() + 20);
    let rest = index.did(&DidFilter { before: Some(next), ..filter }).unwrap();
    assert_eq!(rest.content.actions.iter().map(|row| row.index).collect::<Vec<_>>(), [first]);
    assert!(rest.complete, "{:?}", rest.left_out);
}

#[test]
fn runs_are_selected_by_when_they_started() {
    let mut log = Log::new(1);
    let mut started = Vec::new();
    for _ in 0..4 {
        started.push((log.now_ms, log.run("fs").started));
        log.now_ms += 5_000;
    }
    let index = folded(&log);
    for (n, (ms, _)) in started.iter().enumerate() {
        let ask = |from_ms, to_ms| -> Vec<u64> {
            let filter = RunsFilter { from_ms, to_ms, ..RunsFilter::default() };
            index.runs(&filter).unwrap().content.runs.iter().map(|run| run.started).rev().collect()
        };
        let all: Vec<u64> = started.iter().map(|(_, at)| *at).collect();
        assert_eq!(ask(Some(*ms), None), all[n..]);
        assert_eq!(ask(Some(*ms + 1), None), all[n + 1..]);
        assert_eq!(ask(None, Some(*ms)), all[..n]);
        assert_eq!(ask(None, Some(*ms + 1)), all[..=n]);
    }
}

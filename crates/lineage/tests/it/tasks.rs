//! Tasks: one row each, who in it acts for whom, and what became of it.

use lineage::limits::{ROWS_DEFAULT, TASK_RUNS_MAX};
use lineage::{Answer, Tasks, TasksFilter};
use serde_json::json;

use crate::chains::ISOLATE;
use crate::fold::folded;
use crate::log::{Call, Log, signing_key};

fn tasks(log: &Log, filter: &TasksFilter) -> Answer<Tasks> {
    folded(log).tasks(filter).unwrap()
}

#[test]
fn a_task_sums_up_its_runs() {
    let mut log = Log::new(1);
    let maya = signing_key(30);
    log.key_change("principal-registered", "maya", &maya);
    let ask = log.ask("maya", &maya, "triage", signing_key(50), json!({ISOLATE: {}}));
    let root = log.issue(&ask);
    // a root that nobody used is no work
    assert!(tasks(&log, &TasksFilter::default()).content.tasks.is_empty());
    let mut run = log.open_under(&root, None, None);
    log.call(&mut run, ISOLATE, "{}");
    log.decide(&mut run, &Call { refused: Some("scope"), ..Call::of(ISOLATE, "{}") });
    let act = log.id();
    let decided = log.decide(&mut run, &Call { act_id: Some(act), ..Call::of(ISOLATE, "{}") });
    log.finish(&run, decided, act, "unknown", "{}");
    let last = log.decide(&mut run, &Call::of(ISOLATE, "{}"));
    let other = log.run("fs");
    log.end(&other);
    let answer = tasks(&log, &TasksFilter::default());
    assert!(answer.complete, "{:?}", answer.findings);
    let [alone, row] = answer.content.tasks.as_slice() else { panic!("{answer:?}") };
    assert_eq!((alone.started, alone.runs, alone.open_runs, alone.actions), (other.started, 1, 0, 0));
    assert_eq!(alone.servers, ["fs"]);
    assert_eq!(row.task, evidence::id::text(&run.txn));
    assert_eq!((row.actions, row.refused, row.open, row.unknown), (4, 1, 1, 1));
    assert_eq!((row.runs, row.open_runs, row.last), (1, 1, last));
    assert_eq!(row.initiator.value["sub"], "maya");
    assert_eq!(row.holders.iter().map(|holder| &holder.value["id"]).collect::<Vec<_>>(), ["triage"]);
}

#[test]
fn tasks_are_selected_by_their_span_and_come_in_pages() {
    let mut log = Log::new(1);
    let mut first = log.run("fs");
    let began = log.now_ms;
    log.now_ms += 60_000;
    let second = log.run("time");
    log.now_ms += 60_000;
    log.call(&mut first, "stdio:fs#read_file", "{}");
    let went_on = log.now_ms;
    let found = |filter: TasksFilter| -> Vec<u64> {
        tasks(&log, &filter).content.tasks.iter().map(|row| row.started).collect()
    };
    let all = [second.started, first.started];
    assert_eq!(found(TasksFilter::default()), all);
    let from = |from_ms| TasksFilter { from_ms: Some(from_ms), ..TasksFilter::default() };
    assert_eq!((found(from(began)), found(from(began + 90_000))), (all.to_vec(), vec![first.started]));
    assert!(found(from(went_on + 1)).is_empty());
    let to = |to_ms| TasksFilter { to_ms: Some(to_ms), ..TasksFilter::default() };
    assert_eq!((found(to(began)), found(to(began - 60_000))), (vec![first.started], vec![]));
    let page = tasks(&log, &TasksFilter { limit: Some(1), ..TasksFilter::default() });
    assert_eq!((page.complete, page.content.next), (false, Some(second.started)));
    assert_eq!(found(TasksFilter { before: page.content.next, ..TasksFilter::default() }), [first.started]);
}

#[test]
fn long_lists_of_tasks_are_bounded() {
    let mut log = Log::new(1);
    log.at_once(|log| {
        for _ in 0..=ROWS_DEFAULT {
            log.run("fs");
        }
    });
    let answer = tasks(&log, &TasksFilter::default());
    assert_eq!((answer.complete, answer.content.tasks.len() as u64), (false, ROWS_DEFAULT));
}

#[test]
fn agents_of_a_task_are_named_within_bounds() {
    let mut log = Log::new(1);
    let maya = signing_key(30);
    log.key_change("principal-registered", "maya", &maya);
    let ask = log.ask("maya", &maya, "triage", signing_key(50), json!({ISOLATE: {}}));
    let root = log.issue(&ask);
    for _ in 0..TASK_RUNS_MAX {
        log.open_under(&root, None, None);
    }
    let at = tasks(&log, &TasksFilter::default());
    assert!(at.complete && at.content.tasks[0].holders.len() == 1, "{:?}", at.left_out);
    log.open_under(&root, None, None);
    let past = tasks(&log, &TasksFilter::default());
    assert!(past.left_out[0].contains("agents of further runs"), "{:?}", past.left_out);
    assert_eq!(past.content.tasks[0].runs, TASK_RUNS_MAX + 1);
}

//! Queries against known content.

use evidence::label::Assurance;
use evidence::{Cause, Kind};
use lineage::limits::{INTERNED_MAX_BYTES, LATE_FACTS_MAX, NAMES_MAX, ROWS_DEFAULT, ROWS_MAX};
use lineage::{DidFilter, Index, LineageError, RunsFilter, Which, Whose};
use serde_json::json;

use crate::fold::folded;
use crate::log::{Call, Log, signing_key};

fn did(index: &Index, whose: Whose) -> Vec<u64> {
    let answer = index.did(&DidFilter { whose, ..DidFilter::default() }).unwrap();
    assert!(answer.complete, "{:?} {:?}", answer.left_out, answer.findings);
    answer.content.actions.iter().map(|row| row.index).collect()
}

#[test]
fn did_selects_by_run_task_tool_and_who() {
    let mut log = Log::new(1);
    let maya = signing_key(30);
    log.key_change("principal-registered", "maya", &maya);
    let mut fs = log.run("fs");
    let mut edr = log.run_for("edr", "maya", &maya, &json!({"stdio:edr#*": {}}));
    let (read, _) = log.call(&mut fs, "stdio:fs#read_file", "{}");
    let (isolate, _) = log.call(&mut edr, "stdio:edr#isolate_host", r#"{"host":"ws-1"}"#);
    let (write, _) = log.call(&mut fs, "stdio:fs#write_file", "{}");
    let index = folded(&log);

    assert_eq!(did(&index, Whose::All), [write, isolate, read]);
    assert_eq!(did(&index, Whose::Run(fs.id)), [write, read]);
    assert_eq!(did(&index, Whose::Task(edr.txn)), [isolate]);
    for maya in ["maya".to_owned(), format!("{} maya", log.issuer), edr.principal.key.clone().unwrap()] {
        assert_eq!(did(&index, Whose::Who(maya)), [isolate]);
    }
    assert_eq!(did(&index, Whose::Who("uid:1000".into())), [write, read]);
    assert_eq!(did(&index, Whose::Who(fs.holder.id.clone())), [write, read]);
    // both runs' holders have this key
    assert_eq!(did(&index, Whose::Who(fs.holder.key.clone())), [write, isolate, read]);

    for nobody in [Whose::Who("nobody".into()), Whose::Run([9; 16]), Whose::Task([9; 16])] {
        let error = index.did(&DidFilter { whose: nobody, ..DidFilter::default() }).unwrap_err();
        assert!(matches!(error, LineageError::NotFound { .. }), "{error}");
    }
}

#[test]
fn a_row_says_what_was_decided_and_what_came_of_it() {
    let mut log = Log::new(1);
    let mut run = log.run("fs");
    let (decided, finished) = log.call(&mut run, "stdio:fs#read_file", r#"{"b":1,"a":2}"#);
    let refused = log.decide(&mut run, &Call { refused: Some("forbidden"), ..Call::of("stdio:fs#rm", "{}") });
    let open = log.decide(&mut run, &Call::of("stdio:fs#read_file", "{}"));
    let index = folded(&log);
    let answer = index.did(&DidFilter::default()).unwrap();
    assert_eq!(answer.size, log.size());
    let [third, second, first] = answer.content.actions.as_slice() else { panic!("{answer:?}") };

    assert_eq!((third.index, second.index, first.index), (open, refused, decided));
    assert_eq!((first.verdict.text(), first.outcome.status.text()), (Some("allow"), Some("ok")));
    assert_eq!(first.outcome.index, Some(finished));
    assert_eq!(first.tool.text(), Some("stdio:fs#read_file"));
    assert_eq!(first.class.value["classified"], json!(false));
    let digest = evidence::delegation::args_digest(json!({"a": 2, "b": 1}).as_object().unwrap());
    assert_eq!(first.args_digest.text(), Some(digest.as_str()));
    assert_eq!(first.principal.assurance.map(Assurance::as_str), Some("inferred"));
    assert_eq!(first.principal.check.as_str(), "not-checked");
    assert_eq!(first.vantage, "harness");
    assert_eq!(first.args.as_ref().unwrap().value, json!({"a": 2, "b": 1}));

    assert_eq!((second.verdict.text(), second.outcome.status.missing), (Some("deny"), Some("none")));
    assert_eq!(second.reason.value["code"], json!("forbidden"));
    assert_eq!((third.outcome.status.text(), third.outcome.index), (Some("open"), None));

    let row = serde_json::to_value(first).unwrap();
    assert_eq!(row["tool"], json!({"value": "stdio:fs#read_file", "check": "not-checked", "index": decided}));
    assert_eq!(row["principal"]["assurance"], json!("inferred"));
}

#[test]
fn long_answers_come_in_pages() {
    let mut log = Log::new(1);
    let mut run = log.run("fs");
    let mut all: Vec<u64> =
        (0..ROWS_DEFAULT + 5).map(|_| log.decide(&mut run, &Call::of("stdio:fs#read_file", "{}"))).collect();
    all.reverse();
    let index = folded(&log);
    let page = |limit, before| {
        let whose = Whose::Run(run.id);
        index.did(&DidFilter { whose, limit, before, ..DidFilter::default() }).unwrap()
    };
    let first = page(None, None);
    assert_eq!(first.content.actions.len() as u64, ROWS_DEFAULT);
    assert!(!first.complete);
    let second = page(None, first.content.next);
    assert!(second.complete && second.content.next.is_none());
    let rows: Vec<u64> =
        [first, second].iter().flat_map(|page| &page.content.actions).map(|row| row.index).collect();
    assert_eq!(rows, all);
    assert_eq!(page(Some(0), None).content.actions.len(), 1);
    assert_eq!(page(Some(ROWS_MAX + 1), None).content.actions.len(), all.len());
    assert!(page(Some(all.len() as u64), None).complete);
    assert!(!page(Some(all.len() as u64 - 1), None).complete);
}

#[test]
fn times_select_even_after_the_clock_was_set_back() {
    let mut log = Log::new(1);
    let mut run = log.run("fs");
    let mut seen = Vec::new();
    for step in 0..60_u64 {
        if step == 30 {
            log.now_ms -= 20_000;
        }
        seen.push((log.now_ms, log.decide(&mut run, &Call::of("stdio:fs#read_file", "{}"))));
        log.now_ms += 900;
    }
    let index = folded(&log);
    let (first, last) =
        (seen.iter().map(|(ms, _)| *ms).min().unwrap(), seen.iter().map(|(ms, _)| *ms).max().unwrap());
    for from in (first - 2_000..last + 2_000).step_by(3_700) {
        for length in [1, 900, 5_000, 40_000] {
            let filter =
                DidFilter { from_ms: Some(from), to_ms: Some(from + length), ..DidFilter::default() };
            let found: Vec<u64> =
                index.did(&filter).unwrap().content.actions.iter().map(|row| row.index).collect();
            let mut expected: Vec<u64> =
                seen.iter().filter(|(ms, _)| (from..from + length).contains(ms)).map(|(_, at)| *at).collect();
            expected.reverse();
            assert_eq!(found, expected, "{from} + {length}");
        }
    }
}

#[test]
fn a_run_is_told_in_full() {
    let mut log = Log::new(1);
    let mut run = log.run("fs");
    log.call(&mut run, "stdio:fs#read_file", "{}");
    log.decide(&mut run, &Call { refused: Some("forbidden"), ..Call::of("stdio:fs#rm", "{}") });
    let open = log.decide(&mut run, &Call::of("stdio:fs#read_file", "{}"));
    let gap = log.append((Kind::Gap, run.id, 0, &[]), &[("reason", json!("server-unreachable"))]);
    let index = folded(&log);
    let answer = index.run(&run.id).unwrap();
    let told = &answer.content;
    assert_eq!(told.row.gap_entries, 1);
    // the list of actions names the gap too
    let beside = index.did(&DidFilter { whose: Whose::Run(run.id), ..DidFilter::default() }).unwrap();
    let [remark] = beside.content.remarks.as_slice() else { panic!("{beside:?}") };
    assert_eq!((remark.index, remark.what, remark.why.text()), (gap, "gap", Some("server-unreachable")));
    assert_eq!((told.row.actions, told.row.refused, told.row.open), (3, 1, 1));
    assert_eq!(
        (told.row.started, told.row.ended, told.row.reason.missing),
        (run.started, None, Some("none"))
    );
    assert_eq!(
        (&told.open_actions[..], &told.gaps[..], &told.delegations[..]),
        (&[open][..], &[gap][..], &[run.delegated][..])
    );
    assert_eq!(told.model.missing, Some("unknown"));
    assert_eq!(told.row.initiator.assurance.map(Assurance::as_str), Some("inferred"));
    assert!(!told.streams[0].closed);
    assert!(!answer.complete, "a gap is a part of the run that nobody recorded");

    let ended = log.end(&run);
    let late = log.append((Kind::Observed, run.id, 1, &[]), &[("subtype", json!("late-outcome"))]);
    index.fold_until(log.size()).unwrap();
    let told = index.run(&run.id).unwrap().content;
    assert_eq!((told.row.ended, told.row.reason.text()), (Some(ended), Some("closed")));
    assert_eq!(
        told.streams.iter().map(|row| (row.stream, row.closed)).collect::<Vec<_>>(),
        [(0, true), (1, false)]
    );
    assert_eq!(told.observations, [late]);
    assert!(matches!(index.run(&[9; 16]), Err(LineageError::NotFound { .. })));
    // the chain of log-level entries is no run
    assert!(matches!(index.run(&[0; 16]), Err(LineageError::NotFound { .. })));
}

#[test]
fn runs_are_listed_newest_first_and_by_task() {
    let mut log = Log::new(1);
    let (fs, time) = (log.run("fs"), log.run("time"));
    log.end(&fs);
    let index = folded(&log);
    let answer = index.runs(&RunsFilter::default()).unwrap();
    assert_eq!(
        answer.content.runs.iter().map(|row| row.started).collect::<Vec<_>>(),
        [time.started, fs.started]
    );
    assert_eq!(answer.content.runs[0].servers.value[0]["alias"], json!("time"));
    let first = index.runs(&RunsFilter { limit: Some(1), ..RunsFilter::default() }).unwrap();
    assert_eq!((first.complete, first.content.next), (false, Some(time.started)));
    let rest = index.runs(&RunsFilter { before: first.content.next, ..RunsFilter::default() }).unwrap();
    assert_eq!(rest.content.runs[0].started, fs.started);
    let task = index.runs(&RunsFilter { task: Some(fs.txn), ..RunsFilter::default() }).unwrap();
    assert_eq!(task.content.runs.len(), 1);
    assert!(task.content.runs[0].ended.is_some());

    let status = index.status().unwrap().content;
    assert_eq!((status.runs, status.open_runs, status.entries["run-started"]), (2, 1, 2));
    assert_eq!(status.policy.unwrap().digest.text(), Some(log.policy.as_str()));
}

#[test]
fn principals_are_shown_as_their_last_change_left_them() {
    let mut log = Log::new(1);
    let (maya, jonas) = (signing_key(30), signing_key(31));
    log.key_change("principal-registered", "maya", &maya);
    let second = log.key_change("principal-registered", "jonas", &jonas);
    let retired = log.key_change("principal-retired", "maya", &maya);
    let index = folded(&log);
    let rows = index.principals().unwrap().content.principals;
    assert_eq!(rows.iter().map(|row| row.index).collect::<Vec<_>>(), [retired, second]);
    assert_eq!((rows[0].change.text(), rows[0].retired), (Some("principal-retired"), Some(retired)));
    assert_eq!((rows[1].retired, rows[1].label), (None, "inferred"));
    assert_eq!(rows[1].principal.value["sub"], json!("jonas"));
    assert_eq!(rows[1].principal.assurance.map(Assurance::as_str), Some("inferred"));
    assert_eq!(rows[1].display.value, json!({"name": "Maya Example"}));
}

#[test]
fn an_entry_is_shown_with_every_field_and_the_exact_text() {
    let mut log = Log::new(1);
    let mut run = log.run("fs");
    let decided = log.decide(&mut run, &Call::of("stdio:fs#read_file", r#"{ "b": 1, "a": 2 }"#));
    let index = folded(&log);
    let shown = index.entry(decided).unwrap().content;
    assert_eq!((shown.kind, shown.content, shown.vantage), ("decided", "opened", Some("harness")));
    assert_eq!(shown.run, Some(evidence::id::text(&run.id)));
    assert_eq!(shown.leaf, evidence::Digest(log.leaf(decided)).hex());
    let field = |name: &str| shown.fields.iter().find(|field| field.name == name).unwrap();
    assert_eq!(field("args").exact.as_deref(), Some(r#"{ "b": 1, "a": 2 }"#));
    assert_eq!(field("args").fact.value, json!({"a": 2, "b": 1}));
    assert_eq!(field("tool").exact, None);
    assert_eq!(field("definition_digest").fact.missing, Some("unknown"));
    assert!(matches!(index.entry(log.size()), Err(LineageError::Read(_))));

    // a kind that this version does not interpret
    let note = log.append_sealed(
        (Kind::Note, run.id, 0, &[Cause::Here(log.leaf(0))]),
        &evidence::FieldSet::new(),
        None,
    );
    let answer = index.entry(note).unwrap();
    assert_eq!((answer.content.content, answer.complete), ("uninterpreted", false));
    assert_eq!(answer.content.causes, [evidence::Digest(log.leaf(0)).hex()]);
}

#[test]
fn a_name_stands_for_a_bounded_number_of_identities() {
    let mut log = Log::new(1);
    let mut run = log.run("fs");
    let mut add = |log: &mut Log, n: usize| {
        run.principal.iss = format!("https://id{n}.example");
        log.decide(&mut run, &Call::of("stdio:fs#read_file", "{}"))
    };
    // the run itself was started by the first of them
    for n in 1..NAMES_MAX {
        add(&mut log, n);
    }
    let index = folded(&log);
    let ask =
        || index.did(&DidFilter { whose: Whose::Who("uid:1000".into()), ..DidFilter::default() }).unwrap();
    assert!(ask().complete);
    assert_eq!(ask().content.actions.len(), NAMES_MAX - 1);
    add(&mut log, NAMES_MAX);
    index.fold_until(log.size()).unwrap();
    let answer = ask();
    assert!(!answer.complete && answer.left_out[0].contains("more than 16 identities"));
}

#[test]
fn texts_beyond_the_limit_are_not_indexed_and_not_lost() {
    let mut log = Log::new(1);
    let mut run = log.run("fs");
    let tool = |len: usize| format!("stdio:fs#{}", "x".repeat(len - "stdio:fs#".len()));
    let longest = log.decide(&mut run, &Call::of(&tool(INTERNED_MAX_BYTES), "{}"));
    let longer = log.decide(&mut run, &Call::of(&tool(INTERNED_MAX_BYTES + 1), "{}"));
    let index = folded(&log);
    let on = |len| index.did(&DidFilter { tool: Some(tool(len)), ..DidFilter::default() });
    assert_eq!(on(INTERNED_MAX_BYTES).unwrap().content.actions[0].index, longest);
    assert!(on(INTERNED_MAX_BYTES + 1).is_err());
    // it is found in every other way, and shown in full
    let rows = index.did(&DidFilter { whose: Whose::Run(run.id), ..DidFilter::default() }).unwrap();
    assert_eq!(rows.content.actions[0].index, longer);
    assert_eq!(rows.content.actions[0].tool.text().unwrap().len(), INTERNED_MAX_BYTES + 1);
}

#[test]
fn lists_within_an_answer_are_bounded() {
    let mut log = Log::new(1);
    let mut run = log.run("fs");
    let act = log.id();
    let decided = log.decide(&mut run, &Call { act_id: Some(act), ..Call::of("stdio:fs#read_file", "{}") });
    let observe = |log: &mut Log, n: u64| {
        for _ in 0..n {
            let fields = [("subtype", json!("frame")), ("act_id", json!(evidence::id::text(&act)))];
            log.append((Kind::Observed, run.id, 1, &[]), &fields);
        }
    };
    observe(&mut log, LATE_FACTS_MAX);
    let index = folded(&log);
    assert!(index.authority(Which::Index(decided)).unwrap().complete);
    observe(&mut log, 1);
    index.fold_until(log.size()).unwrap();
    let answer = index.authority(Which::Index(decided)).unwrap();
    assert_eq!((answer.complete, answer.content.outcome.late.len() as u64), (false, LATE_FACTS_MAX));

    observe(&mut log, ROWS_MAX - LATE_FACTS_MAX - 1);
    index.fold_until(log.size()).unwrap();
    assert!(index.run(&run.id).unwrap().complete);
    observe(&mut log, 1);
    index.fold_until(log.size()).unwrap();
    let answer = index.run(&run.id).unwrap();
    assert_eq!((answer.complete, answer.content.observations.len() as u64), (false, ROWS_MAX));
}

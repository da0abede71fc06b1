//! What may be missing or unknown: every kind of it, in order, in pages, and gone where it was filled.

use evidence::Kind;
use evidence::id::LOG_LEVEL;
use lineage::limits::OPEN_NAMED_MAX;
use lineage::{GapRow, GapsFilter, Index};
use serde_json::json;

use crate::fold::{folded, open};
use crate::log::{Call, Log};

const READ: &str = "stdio:fs#read_file";

fn gaps(index: &Index) -> Vec<GapRow> {
    let answer = index.gaps(&GapsFilter::default()).unwrap();
    assert!(answer.complete, "{:?} {:?}", answer.left_out, answer.findings);
    answer.content.gaps
}

fn told(rows: &[GapRow]) -> Vec<(u64, &'static str)> {
    rows.iter().map(|row| (row.index, row.what)).collect()
}

/// A log with one of each; the rows expected, newest first.
fn everything() -> (Log, Vec<(u64, &'static str)>) {
    let mut log = Log::new(1);
    let mut run = log.run("fs");
    log.call(&mut run, READ, "{}");
    let mut rows = Vec::new();
    let gap = [("reason", json!("server-unreachable")), ("count", json!(3))];
    rows.push((log.append((Kind::Gap, run.id, 0, &[]), &gap), "gap"));
    let act = log.id();
    let decided = log.decide(&mut run, &Call { act_id: Some(act), ..Call::of(READ, "{}") });
    rows.push((log.finish(&run, decided, act, "unknown", "{}"), "outcome-unknown"));
    let late = [("subtype", json!("late-outcome")), ("act_id", json!(evidence::id::text(&act)))];
    log.append((Kind::Observed, run.id, 1, &[]), &late);
    let refusals =
        [("subtype", json!("refusals")), ("count", json!(9)), ("payload", json!({"why": "scope"}))];
    rows.push((log.append((Kind::Observed, run.id, 0, &[]), &refusals), "refusals"));
    // a refused frame that is recorded by itself is no gap
    log.append((Kind::Observed, run.id, 0, &[]), &[("subtype", json!("frame"))]);
    let changed = [
        ("what", json!("tool")),
        ("name", json!("read_file")),
        ("old", json!("sha256:a")),
        ("new", json!("sha256:b")),
        ("server", json!("stdio:fs")),
    ];
    rows.push((log.append((Kind::DefinitionChanged, run.id, 0, &[]), &changed), "definition-changed"));
    let config = [("what", json!("client-config")), ("name", json!("claude#fs"))];
    rows.push((log.append((Kind::DefinitionChanged, LOG_LEVEL, 0, &[]), &config), "client-config-changed"));
    let adjusted = [("before_ms", json!(9)), ("after_ms", json!(5)), ("reason", json!("set back"))];
    rows.push((log.append((Kind::ClockAdjusted, LOG_LEVEL, 0, &[]), &adjusted), "clock-adjusted"));
    log.decide(&mut run, &Call::of(READ, "{}"));
    run.counter += 5;
    log.decide(&mut run, &Call { refused: Some("scope"), ..Call::of(READ, "{}") });
    let ended = log.end_because(&run, "lost");
    rows.extend([(ended, "no-outcome"), (ended, "counter-hole"), (ended, "run-lost")]);
    rows.reverse();
    (log, rows)
}

#[test]
fn each_kind_of_gap_is_told_where_it_shows() {
    let (log, expected) = everything();
    let rows = gaps(&folded(&log));
    assert_eq!(told(&rows), expected);
    // an index that grew by ones knows the same
    let index = open(&log);
    index.rebuild().unwrap();
    while index.fold(1).unwrap() > 0 {}
    assert_eq!(gaps(&index), rows);

    let of = |what: &str| rows.iter().find(|row| row.what == what).unwrap();
    let unknown = of("outcome-unknown");
    assert_eq!((unknown.tool.as_ref().unwrap().text(), unknown.actions.len()), (Some(READ), 1));
    assert_eq!(unknown.late, [unknown.index + 1]);
    assert_eq!(unknown.principal.as_ref().unwrap().value["sub"], "uid:1000");
    let hole = of("counter-hole");
    assert_eq!(hole.count.value, 5);
    assert!(hole.why.text().unwrap().contains("5 more proofs"), "{hole:?}");
    let open = of("no-outcome");
    assert_eq!((open.count.value.as_u64(), open.actions.len()), (Some(1), 1));
    assert!(open.holder.as_ref().unwrap().value["id"].as_str().unwrap().contains("fs"));
    assert_eq!((of("gap").why.text(), of("gap").count.value.as_u64()), (Some("server-unreachable"), Some(3)));
    assert_eq!(of("refusals").why.value["why"], "scope");
    assert_eq!(of("clock-adjusted").why.value["before_ms"], 9);
    assert_eq!((of("clock-adjusted").run.as_ref(), of("gap").run.is_some()), (None, true));
    let change = of("definition-changed").change.as_ref().unwrap();
    assert_eq!((change.name.text(), change.new.text()), (Some("read_file"), Some("sha256:b")));
    assert_eq!(of("client-config-changed").change.as_ref().unwrap().run, None);
}

#[test]
fn refusals_say_whose_they_are() {
    let mut log = Log::new(1);
    let run = log.run("fs");
    let id = evidence::id::text(&run.id);
    let refusals = |source: &str| {
        let of_uid = source.starts_with("uid:");
        let mut fields = vec![("subtype", json!("refusals")), ("count", json!(1)), ("source", json!(source))];
        let why = json!({"reason": "not-registered", "step": "principal", "text": "nobody has this key"});
        fields.extend(of_uid.then_some(("payload", why)));
        fields
    };
    // in its run, and at log level: of a run that had ended, of a user, of a run that this log does not have
    log.append((Kind::Observed, run.id, 0, &[]), &refusals(&id));
    log.end(&run);
    for source in [id.as_str(), "uid:1000", "01890a5d-ac96-774b-bcce-b302099a8057"] {
        log.append((Kind::Observed, LOG_LEVEL, 0, &[]), &refusals(source));
    }
    let rows = gaps(&folded(&log));
    let [unknown, user, late, own] = rows.as_slice() else { panic!("{rows:?}") };
    for row in [late, own] {
        assert_eq!(row.holder.as_ref().unwrap().value["id"], json!(run.holder.id), "{row:?}");
        assert_eq!((row.run.as_ref(), row.source.as_ref().unwrap().text()), (Some(&id), Some(&*id)));
        assert_eq!(row.why.missing, Some("none"));
    }
    assert_eq!((user.holder.as_ref(), user.run.as_ref()), (None, None));
    assert_eq!(user.source.as_ref().unwrap().text(), Some("uid:1000"));
    assert_eq!(user.why.value["reason"], "not-registered");
    assert_eq!((unknown.holder.as_ref(), unknown.run.as_ref()), (None, None));
}

#[test]
fn a_rewired_client_says_in_which_direction() {
    let mut log = Log::new(1);
    let mut change = |name: &str, old: Option<&str>, new: Option<&str>| {
        let mut fields = vec![("what", json!("client-config")), ("name", json!(name))];
        fields.extend(old.map(|old| ("old", json!(old))));
        fields.extend(new.map(|new| ("new", json!(new))));
        log.append((Kind::DefinitionChanged, LOG_LEVEL, 0, &[]), &fields);
    };
    change("claude#fs", Some("wrapped"), Some("plain"));
    change("codex#fs", Some("other"), None);
    change("claude#fs", Some("plain"), Some("wrapped"));
    change("claude#fs", Some("wrapped"), Some("plain"));
    let index = folded(&log);
    let wrapped: Vec<Option<bool>> =
        gaps(&index).iter().rev().map(|row| row.change.as_ref().unwrap().wrapped).collect();
    assert_eq!(wrapped, [Some(false), Some(false), Some(true), Some(false)]);
    let known = index.definitions(None).unwrap().content.client_configs;
    assert_eq!(known.iter().rev().map(|change| change.wrapped).collect::<Vec<_>>(), wrapped);
}

#[test]
fn gaps_come_in_pages_and_stretches_of_time() {
    let (log, expected) = everything();
    let index = folded(&log);
    let page = |limit, before| {
        index.gaps(&GapsFilter { limit: Some(limit), before, ..GapsFilter::default() }).unwrap()
    };
    let (mut all, mut before) = (Vec::new(), None);
    loop {
        let answer = page(2, before);
        all.extend(told(&answer.content.gaps));
        before = answer.content.next;
        assert_eq!(answer.complete, before.is_none());
        if before.is_none() {
            break;
        }
    }
    assert_eq!(all, expected);
    // all rows of one entry are on one page
    assert_eq!(page(1, None).content.gaps.len(), 3);
    let at = |n: usize| index.gaps(&GapsFilter::default()).unwrap().content.gaps[n].at_ms;
    let (oldest, second) = (at(expected.len() - 1), at(expected.len() - 2));
    let between = GapsFilter { from_ms: Some(oldest), to_ms: Some(second), ..GapsFilter::default() };
    assert_eq!(told(&index.gaps(&between).unwrap().content.gaps), expected[expected.len() - 1..]);
    let after = GapsFilter { from_ms: Some(oldest + 1), ..GapsFilter::default() };
    assert_eq!(told(&index.gaps(&after).unwrap().content.gaps), expected[..expected.len() - 1]);
}

#[test]
fn what_was_filled_since_is_no_gap() {
    let mut log = Log::new(1);
    let mut run = log.run("fs");
    // the key was used in another run meanwhile
    run.counter = 1;
    log.call(&mut run, READ, "{}");
    log.end(&run);
    let index = folded(&log);
    assert_eq!(told(&gaps(&index)), [(log.size() - 1, "counter-hole")]);
    let mut other = log.run("time");
    log.call(&mut other, "stdio:time#now", "{}");
    assert!(gaps(&folded(&log)).is_empty());
    // nor is anything about a run that ended as it should
    log.end(&other);
    assert!(gaps(&folded(&log)).is_empty());
}

#[test]
fn acts_without_outcome_are_counted_and_the_first_named() {
    let mut log = Log::new(1);
    let mut run = log.run("fs");
    log.at_once(|log| {
        for _ in 0..=OPEN_NAMED_MAX {
            log.decide(&mut run, &Call::of(READ, "{}"));
        }
    });
    log.end(&run);
    let rows = gaps(&folded(&log));
    assert_eq!(rows[0].count.value.as_u64(), Some(OPEN_NAMED_MAX + 1));
    assert_eq!(rows[0].actions.len() as u64, OPEN_NAMED_MAX);
}

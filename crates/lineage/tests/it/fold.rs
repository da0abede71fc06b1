//! Folding: incremental equals rebuilt, damage and foreign files are replaced, closed bodies stop nothing.

use std::fs;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use evidence::{FieldSet, Kind};
use lineage::{Content, DidFilter, Index, LineageError, Opener, RunsFilter};
use serde_json::json;

use crate::log::{Call, KEK, Log};

fn path(log: &Log) -> PathBuf {
    log.dir.path().join("index/1/0.sqlite")
}

pub(crate) fn open(log: &Log) -> Index {
    Index::open(&path(log), log.reader(), Opener::new(KEK)).unwrap()
}

pub(crate) fn folded(log: &Log) -> Index {
    let index = open(log);
    assert_eq!(index.fold_until(u64::MAX).unwrap(), log.size());
    index
}

fn busy_log(seed: u64) -> Log {
    let mut log = Log::new(seed);
    let mut run = log.run("fs");
    for n in 0..20 {
        log.call(&mut run, "stdio:fs#read_file", &format!(r#"{{"path":"/tmp/{n}"}}"#));
        log.decide(&mut run, &Call { refused: Some("forbidden"), ..Call::of("stdio:fs#write_file", "{}") });
    }
    log.end(&run);
    log
}

/// Everything the answers say, for comparing two indexes.
fn everything(index: &Index) -> serde_json::Value {
    json!([
        index.status().unwrap(),
        index.runs(&RunsFilter::default()).unwrap(),
        index.did(&DidFilter { limit: Some(1_000), ..DidFilter::default() }).unwrap(),
        index.principals().unwrap(),
    ])
}

#[test]
fn a_rebuilt_index_equals_one_that_grew() {
    let log = busy_log(1);
    let grown = open(&log);
    while grown.fold(7).unwrap() > 0 {}
    let grown_says = everything(&grown);
    assert_eq!(grown.rebuild().unwrap(), log.size());
    assert_eq!(everything(&grown), grown_says);

    let fresh = Index::open(&log.dir.path().join("another.sqlite"), log.reader(), Opener::new(KEK)).unwrap();
    fresh.fold_until(log.size()).unwrap();
    assert_eq!(everything(&fresh), grown_says);
}

#[test]
fn threads_share_an_index() {
    let mut log = busy_log(1);
    let index = folded(&log);
    let before = log.size();
    let mut run = log.run("time");
    log.call(&mut run, "stdio:time#now", "{}");
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            assert!(index.wait_applied(log.size(), Duration::from_mins(1)));
            index.did(&DidFilter::default()).unwrap()
        });
        assert_eq!(index.applied(), before);
        while index.fold(1).unwrap() > 0 {}
        let answer = asking.join().unwrap();
        assert_eq!(
            (answer.size, answer.content.actions[0].tool.text()),
            (log.size(), Some("stdio:time#now"))
        );
    });
}

#[test]
fn a_reopened_index_goes_on_where_it_stopped() {
    let mut log = busy_log(1);
    drop(folded(&log));
    let before = log.size();
    let mut run = log.run("time");
    log.call(&mut run, "stdio:time#now", "{}");
    let index = open(&log);
    assert_eq!(index.applied(), before);
    assert_eq!(index.fold(u64::MAX).unwrap(), log.size() - before);
    assert!(index.wait_applied(log.size(), Duration::from_secs(5)));
    assert!(!index.wait_applied(log.size() + 1, Duration::from_millis(1)));
}

#[test]
fn an_empty_log_is_folded_too() {
    let mut log = Log::empty(1);
    let index = open(&log);
    assert_eq!((index.fold(10).unwrap(), index.applied()), (0, 0));
    assert!(index.runs(&RunsFilter::default()).unwrap().content.runs.is_empty());
    drop(index);
    log.append((Kind::Observed, [7; 16], 0, &[]), &[("subtype", json!("frame"))]);
    assert_eq!(folded(&log).applied(), 1);
}

#[test]
fn the_index_of_another_log_is_replaced() {
    let (one, mut other) = (busy_log(1), busy_log(2));
    drop(folded(&one));
    fs::create_dir_all(path(&other).parent().unwrap()).unwrap();
    fs::copy(path(&one), path(&other)).unwrap();
    assert_eq!(open(&other).applied(), 0);

    // a log that has fewer entries than were folded, and one that is only longer
    let mut shorter = Log::new(1);
    fs::create_dir_all(path(&shorter).parent().unwrap()).unwrap();
    fs::copy(path(&one), path(&shorter)).unwrap();
    assert_eq!(open(&shorter).applied(), 0);
    shorter.activate("forbid(principal, action, resource);");
    drop(folded(&other));
    other.activate("forbid(principal, action, resource);");
    assert_eq!(open(&other).applied(), other.size() - 1);
}

fn overwrite(file: &Path, at: u64, bytes: &[u8]) {
    let mut file = fs::File::options().write(true).open(file).unwrap();
    file.seek(SeekFrom::Start(at)).unwrap();
    file.write_all(bytes).unwrap();
}

#[test]
fn a_damaged_file_is_made_anew() {
    let log = busy_log(1);
    let says = everything(&folded(&log));
    let file = path(&log);
    // not a database; a database with another schema; one whose pages are noise
    fs::write(&file, b"not a database at all, but long enough to be looked at as one").unwrap();
    assert_eq!(everything(&folded(&log)), says);
    overwrite(&file, 60, &[0, 0, 0, 99]);
    assert_eq!(everything(&folded(&log)), says);
    let pages = fs::metadata(&file).unwrap().len() / 4_096;
    for page in 1..pages {
        overwrite(&file, page * 4_096, &[0xa5; 4_096]);
    }
    assert_eq!(everything(&folded(&log)), says);
    // every single page
    for page in 0..pages {
        overwrite(&file, page * 4_096, &[0xff; 100]);
        let index = open(&log);
        index.fold_until(log.size()).unwrap();
        let answered = index.did(&DidFilter::default()).and_then(|_| index.runs(&RunsFilter::default()));
        match answered {
            // a query that met the damage: the next fold repairs it, though the log has nothing new
            Err(error) => {
                assert!(matches!(error, LineageError::Database { .. }), "{error}");
                index.fold_until(log.size()).unwrap();
            }
            // a page that these queries do not read
            Ok(_) => drop(index.rebuild().unwrap()),
        }
        assert_eq!(everything(&index), says, "page {page}");
    }
}

#[test]
fn damage_met_while_folding_is_repaired_by_the_fold() {
    let mut log = busy_log(1);
    drop(folded(&log));
    let pages = fs::metadata(path(&log)).unwrap().len() / 4_096;
    for page in 2..pages {
        overwrite(&path(&log), page * 4_096, &[0xa5; 4_096]);
    }
    let index = open(&log);
    let mut run = log.run("time");
    log.call(&mut run, "stdio:time#now", "{}");
    index.fold_until(log.size()).unwrap();
    let says = everything(&index);
    index.rebuild().unwrap();
    assert_eq!(everything(&index), says);
}

#[test]
fn bodies_that_do_not_open_stop_nothing() {
    let mut log = Log::new(1);
    let run = log.run("fs");
    let mut committed = FieldSet::new();
    assert!(committed.set(Kind::Gap, "reason", [1; 16], "\"server-unreachable\"".into()));
    let mut other = FieldSet::new();
    assert!(other.set(Kind::Gap, "reason", [1; 16], "\"nothing-happened\"".into()));
    let damaged = log.append_sealed((Kind::Gap, run.id, 0, &[]), &committed, Some(&other));
    let absent = log.append_sealed((Kind::Gap, run.id, 0, &[]), &committed, None);
    let index = folded(&log);
    assert!(matches!(index.record(damaged).unwrap().content, Content::Damaged(_)));
    assert_eq!(index.record(absent).unwrap().content, Content::Absent);

    let answer = index.entry(damaged).unwrap();
    assert_eq!(answer.content.content, "damaged");
    assert_eq!(answer.content.fields[0].fact.missing, Some("damaged"));
    assert!(answer.findings.iter().any(|finding| finding.code == "body-damaged"));
    assert!(!answer.complete);
    assert_eq!(index.run(&run.id).unwrap().content.gaps, [damaged, absent]);
}

#[test]
fn without_the_key_nothing_opens_and_nothing_fails() {
    let log = busy_log(1);
    let file = log.dir.path().join("closed.sqlite");
    let index = Index::open(&file, log.reader(), Opener::new([0; 32])).unwrap();
    assert_eq!(index.fold_until(log.size()).unwrap(), log.size());
    let answer = index.runs(&RunsFilter::default()).unwrap();
    assert_eq!(answer.content.runs[0].initiator.missing, Some("damaged"));
    assert!(!answer.complete);
}

#[test]
fn erasable_values_are_not_in_the_index() {
    let mut log = Log::new(1);
    log.key_change("principal-registered", "maya", &crate::log::signing_key(30));
    let mut run = log.run("fs");
    log.call(&mut run, "stdio:fs#read_file", r#"{"path":"/secret/place"}"#);
    folded(&log);
    let mut bytes = fs::read(path(&log)).unwrap();
    bytes.extend(fs::read(path(&log).with_extension("sqlite-wal")).unwrap_or_default());
    let holds = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(holds("stdio:fs#read_file") && holds("maya"));
    for text in ["/secret/place", "Maya Example", "maya@example.org", "a client", "done", "/home/maya"] {
        assert!(!holds(text), "{text}");
    }
}

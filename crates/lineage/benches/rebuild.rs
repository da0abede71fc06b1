//! What it costs to make the index anew: entries folded in a second, from a log on disk whose bodies are sealed.
//! DESIGN §12 wants 40,000 a second. And what pages of answers cost.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench that cannot be set up should stop there"
)]

#[path = "../tests/it/log.rs"]
#[expect(dead_code, clippy::indexing_slicing, reason = "made for the tests, which use all of it")]
mod log;
#[path = "../../verify/benches/measure/mod.rs"]
mod measure;

use evidence::{Digest, Verdict};
use lineage::{DidFilter, GapsFilter, Index, Opener, TasksFilter, TraceFilter, TraceOf};
use log::{KEK, Log};

/// Rebuilds that are measured.
const ROUNDS: usize = 5;
/// Acts of one run.
const ACTS: usize = 100;

fn main() {
    let asked = measure::is_asked_for();
    let (runs, rounds) = if asked { (150, ROUNDS) } else { (2, 1) };
    println!("{}", measure::machine());
    let log = log_of(runs);
    let path = log.dir.path().join("bench.sqlite");
    let index = Index::open(&path, log.reader(), Opener::new(KEK)).unwrap();
    index.fold_until(log.size()).unwrap();
    let in_a_second = |ns: u64| log.size() * 1_000_000_000 / ns.max(1);
    let mut best = 0;
    for _ in 0..rounds {
        let (start, busy) = (measure::now(), processor_ns());
        assert_eq!(index.rebuild().unwrap(), log.size());
        let speed = in_a_second(u64::try_from(start.elapsed().as_nanos()).unwrap());
        // what others do on the machine does not count here
        let own = in_a_second(processor_ns() - busy);
        println!("{} entries: {speed:7} entries/s, {own:7} in a second of processor time", log.size());
        best = best.max(own);
    }
    ask(&index, if asked { 200 } else { 1 });
    let file = rusqlite::Connection::open(&path).unwrap();
    let pages = |name| file.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).unwrap();
    let bytes = u64::try_from(pages("page_count") * pages("page_size")).unwrap() / log.size();
    println!("best {best:7} entries in a second of processor time, {bytes} bytes of index for each entry");
}

/// What it costs to answer: pages as people ask for them.
fn ask(index: &Index, count: usize) {
    let page = DidFilter { limit: Some(50), ..DidFilter::default() };
    let of_tool = DidFilter { tool: Some("stdio:fs#tool_7".into()), ..page.clone() };
    let denied = DidFilter { verdict: Some(Verdict::Deny), ..page.clone() };
    let result = Digest::of(br#"{"content":"done"}"#).to_string();
    let of = TraceOf::Digest(result);
    let traced = TraceFilter { of, direction: None, limit: Some(50), before: None };
    println!("did, 50 rows           {}", measure::time(3, count, || index.did(&page).unwrap()));
    println!("did of a tool, 50 rows {}", measure::time(3, count, || index.did(&of_tool).unwrap()));
    println!("did denied, no rows    {}", measure::time(3, count, || index.did(&denied).unwrap()));
    println!("trace, 50 acts         {}", measure::time(3, count, || index.trace(&traced).unwrap()));
    let tasks = TasksFilter { limit: Some(50), ..TasksFilter::default() };
    println!("tasks, 50 rows         {}", measure::time(3, count, || index.tasks(&tasks).unwrap()));
    let gaps = GapsFilter::default();
    println!("gaps, no rows          {}", measure::time(3, count, || index.gaps(&gaps).unwrap()));
}

/// Processor time of this thread so far (Linux).
fn processor_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}

/// A log of so many runs, each with its acts and their outcomes.
fn log_of(runs: usize) -> Log {
    let mut log = Log::new(1);
    log.at_once(|log| {
        for _ in 0..runs {
            let mut run = log.run("fs");
            for n in 0..ACTS {
                let tool = format!("stdio:fs#tool_{}", n % 20);
                log.call(&mut run, &tool, &format!(r#"{{"path":"/srv/data/{n}","text":"one two three"}}"#));
            }
            log.end(&run);
        }
    });
    log
}

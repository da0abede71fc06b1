//! Step 11, last part: holders count their proofs, so a proof that the log does not have leaves a hole.

use std::collections::{BTreeMap, BTreeSet};

use evidence::Kind;
use evidence::id::Id;
use serde_json::Value;

use crate::chain;
use crate::finding::{Code, Findings};
use crate::items::{Items, Seen};
use crate::steps::manifests;

/// What a decision says of a proof whose counter is used up.
const USED: [&str; 2] = ["verified", "signed"];

/// Step 11, counters: of every run that has an end.
pub(crate) fn check(items: &Items<'_>, findings: &mut Findings) {
    let manifests = manifests::of_runs(items);
    let mut counters: BTreeMap<_, BTreeSet<u64>> = BTreeMap::new();
    let withheld: BTreeSet<Id> = items
        .of_kind(Kind::Decided)
        .filter(|(seen, _)| withholds(seen))
        .map(|(_, entry)| entry.run)
        .collect();
    for (seen, entry) in items.of_kind(Kind::Decided) {
        if !manifests.contains_key(&entry.run) || withheld.contains(&entry.run) || !is_used(seen) {
            continue;
        }
        let token = seen.text("pop").unwrap_or_default();
        if let Ok((signed, pop)) = chain::parse_pop(&token) {
            let of = (entry.run, signed.kid().to_owned(), pop.audience);
            counters.entry(of).or_default().insert(pop.counter);
        }
    }
    for ((run, ..), used) in counters {
        // counters are a set from 0 on, without holes, if as many are there as the highest says
        let whole = used.last().is_none_or(|highest| *highest == used.len() as u64 - 1);
        if let (Some(manifest), false) = (manifests.get(&run), whole) {
            let text = "the holder counted proofs that the run does not have: what they asked for was refused \
                        unrecorded, was done in another run that shares the key, or was left out";
            findings.at(manifest.index, Code::CounterHole, text);
        }
    }
}

/// Whether a decision may have used a counter that is not shown: then a hole would say nothing.
fn withholds(seen: &Seen<'_>) -> bool {
    ["pop", "credential"].into_iter().any(|name| seen.value(name).is_none() && !seen.is_without(name))
}

fn is_used(seen: &Seen<'_>) -> bool {
    let credential = seen.value("credential").unwrap_or_default();
    credential.get("pop").and_then(Value::as_str).is_some_and(|pop| USED.contains(&pop))
}

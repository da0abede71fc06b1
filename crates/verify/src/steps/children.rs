//! Step 9, first part: what was handed over to a sub-agent is in its own run and in the run that announced it.

use std::collections::{BTreeMap, BTreeSet};

use evidence::id::{self, Id};
use evidence::{Digest, Entry, Kind, json};
use serde_json::Value;

use crate::chain::Chain;
use crate::finding::{Code, Findings};
use crate::items::{Items, Seen};
use crate::steps::delegations::Delegations;
use crate::steps::manifests;

/// The kind 19 entries of one run, by index, with the child that each names where it is shown.
type Announced<'s, 'a> = Vec<(&'s Seen<'a>, Option<Value>)>;

/// The runs of a bundle as far as this step looks at them.
struct Runs<'s, 'a> {
    /// The first entry of each run.
    first: BTreeMap<Id, (&'s Seen<'a>, &'s Entry)>,
    /// What closes each run that has an end.
    manifests: BTreeMap<Id, &'s Seen<'a>>,
    /// By the run that announces.
    announced: BTreeMap<Id, Announced<'s, 'a>>,
}

/// Step 9, children.
pub(crate) fn check(items: &Items<'_>, findings: &mut Findings) {
    let runs = Runs::of(items);
    for (run, children) in &runs.announced {
        for (seen, child) in children {
            check_text(seen, findings);
            if let Some(child) = child {
                check_child(seen, run, child, &runs, findings);
            }
        }
    }
    for (seen, entry) in items.of_kind(Kind::RunStarted) {
        if let Some(parent) = seen.value("parent") {
            check_parent(seen, &entry.run, &parent, &runs, findings);
        }
    }
    for (run, manifest) in &runs.manifests {
        let children = runs.announced.get(run).map_or(&[][..], Vec::as_slice);
        check_listed(manifest, children, findings);
    }
}

impl<'s, 'a> Runs<'s, 'a> {
    fn of(items: &'s Items<'a>) -> Self {
        let mut first = BTreeMap::new();
        for seen in &items.list {
            if let Ok(entry) = &seen.entry {
                first.entry(entry.run).or_insert((seen, entry));
            }
        }
        let mut announced: BTreeMap<Id, Announced<'s, 'a>> = BTreeMap::new();
        for (seen, entry) in items.of_kind(Kind::ChildStarted) {
            announced.entry(entry.run).or_default().push((seen, seen.value("child")));
        }
        Self { first, manifests: manifests::of_runs(items), announced }
    }
}

/// The run that an entry announces begins as a run, and says whose child it is.
fn check_child(seen: &Seen<'_>, run: &Id, child: &Value, runs: &Runs<'_, '_>, findings: &mut Findings) {
    let Some((first, entry)) = run_of(child).and_then(|child| runs.first.get(&child)) else {
        let text =
            "the run of this sub-agent is not shown: what it did with what was handed over is not known";
        findings.at(seen.index, Code::ChildNotShown, text);
        return;
    };
    let says = first.value("parent");
    let fits = says.is_none_or(|parent| run_of(&parent) == Some(*run));
    if entry.kind() != Some(Kind::RunStarted) || !fits {
        let text =
            "the run that is announced here does not begin as a child of this run: one of the two is false";
        findings.at(seen.index, Code::ChildMismatch, text);
    }
}

/// Step 9, what an announcement says of the delegation: after step 10, which says what is sound.
pub(crate) fn check_delegations(items: &Items<'_>, delegations: &Delegations, findings: &mut Findings) {
    let withheld: BTreeSet<Id> = items
        .of_kind(Kind::Delegated)
        .filter(|(seen, _)| seen.value("token").is_none())
        .map(|(_, entry)| entry.run)
        .collect();
    let shown: BTreeSet<Id> =
        items.list.iter().filter_map(|seen| seen.entry.as_ref().ok()).map(|entry| entry.run).collect();
    for (seen, _) in items.of_kind(Kind::ChildStarted) {
        let (Some(child), Some(digest)) = (seen.value("child"), seen.value("delegation")) else { continue };
        let Some(run) = run_of(&child).filter(|run| shown.contains(run) && !withheld.contains(run)) else {
            continue;
        };
        let held = digest.as_str().and_then(|digest| delegations.find(digest, &run, u64::MAX));
        if !held.is_some_and(|held| says_the_same(seen, &held.chain)) {
            let text = "the authority that is said to be handed over here is not what the child's run shows";
            findings.at(seen.index, Code::ChildMismatch, text);
        }
    }
}

/// Whether an announcement says of the leaf what the leaf says.
fn says_the_same(seen: &Seen<'_>, chain: &Chain) -> bool {
    let leaf = &chain.leaf().claims;
    let (holder, child) = (chain.holder(), leaf.as_child());
    let has = |value: &Value, name: &str, text: &str| value.get(name).and_then(Value::as_str) == Some(text);
    let is_holder = |value: &Value| {
        has(value, "id", &holder.id) && has(value, "key", &holder.key) && has(value, "asr", &holder.asr)
    };
    let handoff = child.and_then(|child| child.handoff.as_deref());
    let parent = child.map(|child| child.parent.as_str());
    seen.value("holder").is_none_or(|value| is_holder(&value))
        && seen.value("handoff_digest").is_none_or(|value| value.as_str() == handoff && handoff.is_some())
        && seen.value("by").is_none_or(|value| value.as_str() == parent && parent.is_some())
}

/// The text handed over is the one whose digest stands beside it.
fn check_text(seen: &Seen<'_>, findings: &mut Findings) {
    let (Some(text), Some(digest)) = (seen.value("handoff"), seen.value("handoff_digest")) else { return };
    let right = text.as_str().map(|text| Digest::of(text.as_bytes()).to_string());
    if right.is_none() || right.as_deref() != digest.as_str() {
        let text = "the text handed over is not the one whose digest was signed: it was altered";
        findings.at(seen.index, Code::ChildMismatch, text);
    }
}

/// The run that a child names as its parent announced it, once that run is complete.
fn check_parent(seen: &Seen<'_>, run: &Id, parent: &Value, runs: &Runs<'_, '_>, findings: &mut Findings) {
    let Some(parent) = run_of(parent).filter(|parent| runs.manifests.contains_key(parent)) else { return };
    let children = runs.announced.get(&parent).map_or(&[][..], Vec::as_slice);
    // an announcement whose child is withheld may be the one
    let announced =
        children.iter().any(|(_, child)| child.as_ref().is_none_or(|child| run_of(child) == Some(*run)));
    if !announced {
        let text = "the run that this one names as its parent never announced it: what was handed over was dropped from \
                    its record";
        findings.at(seen.index, Code::ChildUnannounced, text);
    }
}

/// A manifest lists the children that were announced before it.
fn check_listed(manifest: &Seen<'_>, children: &[(&Seen<'_>, Option<Value>)], findings: &mut Findings) {
    let Some(listed) = manifest.value("children") else { return };
    let before = children.iter().filter(|(seen, _)| seen.index < manifest.index);
    let Some(there) = before.map(|(_, child)| child.clone()).collect::<Option<Vec<Value>>>() else { return };
    if json::jcs(&listed) != json::jcs(&there.into()) {
        let text =
            "the run's end names other children than the run announced: some are missing or were added";
        findings.at(manifest.index, Code::ManifestMismatch, text);
    }
}

fn run_of(value: &Value) -> Option<Id> {
    value.as_str().and_then(id::parse)
}

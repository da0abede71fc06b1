//! Step 8: a run's manifest accounts for everything recorded of it.

use std::collections::BTreeMap;

use evidence::digest::hex;
use evidence::id::{Id, LOG_LEVEL};
use evidence::json;
use evidence::kind::Kind;
use serde_json::{Value, json};

use crate::finding::{Code, Findings};
use crate::items::{Items, Seen};

/// The entries of one run by stream, each by index and never empty.
type Streams<'s, 'a> = BTreeMap<u64, Vec<&'s Seen<'a>>>;

/// What closes each run that has an end, by run.
pub(crate) fn of_runs<'s, 'a>(items: &'s Items<'a>) -> BTreeMap<Id, &'s Seen<'a>> {
    let in_path = items.chains.iter().filter(|((run, stream), _)| *run != LOG_LEVEL && *stream == 0);
    in_path
        .filter_map(|((run, _), positions)| {
            let mut entries = positions.iter().filter_map(|at| items.at(*at));
            Some((*run, entries.find(|seen| is_manifest(seen))?))
        })
        .collect()
}

/// Step 8.
pub(crate) fn check(items: &Items<'_>, findings: &mut Findings) {
    let mut runs: BTreeMap<Id, Streams<'_, '_>> = BTreeMap::new();
    for ((run, stream), positions) in items.chains.iter().filter(|((run, _), _)| *run != LOG_LEVEL) {
        let entries = positions.iter().filter_map(|at| items.at(*at)).collect();
        runs.entry(*run).or_default().insert(*stream, entries);
    }
    for streams in runs.values() {
        check_run(streams, findings);
    }
}

fn check_run(streams: &Streams<'_, '_>, findings: &mut Findings) {
    for (stream, entries) in streams {
        check_stream(*stream, entries, findings);
    }
    let in_path = streams.get(&0).map_or(&[][..], Vec::as_slice);
    let Some(manifest) = manifest_of(in_path) else {
        let all = streams.values().flatten();
        let last = in_path.last().copied().or_else(|| all.copied().max_by_key(|seen| seen.index));
        if let Some(last) = last {
            let text = "the run has no end: it was still open, so more may have been recorded of it since";
            findings.at(last.index, Code::OpenRun, text);
        }
        return;
    };
    check_manifest(manifest, streams, findings);
    for entries in streams.values().filter(|entries| manifest_of(entries).is_none()) {
        if let Some(last) = entries.last().filter(|last| last.index > manifest.index) {
            let text = "this stream goes on after the run's end and has no end of its own: more may have been recorded";
            findings.at(last.index, Code::OpenStream, text);
        }
    }
}

/// What closes a stream: its first entry of that kind.
fn manifest_of<'s, 'a>(entries: &[&'s Seen<'a>]) -> Option<&'s Seen<'a>> {
    entries.iter().copied().find(|seen| is_manifest(seen))
}

/// Nothing follows the end of a stream, and the end of any but the first accounts for that stream alone.
fn check_stream(stream: u64, entries: &[&Seen<'_>], findings: &mut Findings) {
    for seen in entries.iter().skip_while(|seen| !is_manifest(seen)).skip(1) {
        let text = "the stream goes on after its end: this entry is not accounted for";
        findings.at(seen.index, Code::AfterManifest, text);
    }
    let Some(manifest) = manifest_of(entries).filter(|_| stream != 0) else { return };
    let Ok(entry) = &manifest.entry else { return };
    let own = json!([stated(stream, entry.seq, &entry.prev)]);
    if manifest.value("streams").is_some_and(|streams| json::jcs(&streams) != json::jcs(&own)) {
        let text = "the end of this stream accounts for something else than the entries of the stream";
        findings.at(manifest.index, Code::ManifestMismatch, text);
    }
}

fn check_manifest(manifest: &Seen<'_>, streams: &Streams<'_, '_>, findings: &mut Findings) {
    let Some(listed) = manifest.value("streams") else {
        let text =
            "the run's end does not show what it accounts for: whether entries are missing was not checked";
        findings.at(manifest.index, Code::ManifestWithheld, text);
        return;
    };
    let there: Vec<Value> =
        streams.iter().filter_map(|(stream, entries)| before(*stream, entries, manifest.index)).collect();
    if json::jcs(&listed) != json::jcs(&there.into()) {
        let text = "the run's end accounts for other entries than those in the bundle: some are missing or were added";
        findings.at(manifest.index, Code::ManifestMismatch, text);
    }
}

/// What a manifest at `index` has to say of a stream; nothing for one that began later.
fn before(stream: u64, entries: &[&Seen<'_>], index: u64) -> Option<Value> {
    let count = entries.partition_point(|seen| seen.index < index);
    let last = entries.get(count.checked_sub(1)?)?;
    Some(stated(stream, count as u64, &last.leaf))
}

/// What a manifest says of one stream.
fn stated(stream: u64, count: u64, last: &[u8; 32]) -> Value {
    json!({"stream": stream, "count": count, "last": hex(last)})
}

fn is_manifest(seen: &Seen<'_>) -> bool {
    seen.entry.as_ref().is_ok_and(|entry| entry.kind() == Some(Kind::RunEnded))
}

//! What stands beside an act: its artifacts in short, other attempts, changed definitions, answers of people, and what
//! was withdrawn.

use serde_json::Value;

use super::fact::{Fact, loose};
use super::lists::{number, rows, string};
use super::report::ranges;
use super::style::{BAD, DIM, WARN, paint};
use super::table::{Cell, styled};
use super::text::{count, safe, time};
use super::tree;

/// Beginnings of digests that tell one from another: `sha256:` and twelve digits.
const DIGEST_SHOWN: usize = 19;

/// Lines below a row of `deeds did`.
pub(crate) fn notes(action: &Value) -> Vec<Cell> {
    let mut notes = Vec::new();
    let both: Vec<String> =
        artifacts(action).into_iter().map(|(verb, told)| format!("{verb} {told}")).collect();
    if !both.is_empty() {
        notes.push(styled(both.join("; "), DIM));
    }
    for (member, told) in [
        ("attempts", "other attempts of this act:"),
        ("human_inputs", "somebody at the client answered within it:"),
    ] {
        let places = positions(action, member);
        if !places.is_empty() {
            notes.push(styled(format!("{told}{}", ranges(&places)), DIM));
        }
    }
    let changes = positions(action, "definition_changes");
    if !changes.is_empty() {
        notes.push(styled(format!("a definition changed before it:{}", ranges(&changes)), WARN));
    }
    notes.extend(rows(action, "withdrawn").iter().map(|found| styled(withdrawn(found), BAD)));
    notes
}

/// The lines of `deeds authority` about artifacts, below the outcome.
pub(crate) fn of_outcome(answer: &Value, width: usize) -> String {
    let mut out = String::new();
    for (verb, told) in artifacts(answer) {
        tree::line(&mut out, verb, &safe(&told), "", 1, width);
    }
    for found in rows(answer, "withdrawn") {
        tree::line(&mut out, "withdrawn", &paint(BAD, &safe(&withdrawn(found))), "", 1, width);
    }
    out
}

/// The lines of `deeds authority` about definitions that changed, below the tool.
pub(crate) fn of_tool(answer: &Value, width: usize) -> String {
    let mut out = String::new();
    for found in rows(answer, "definition_changes") {
        let told = format!("@{} {}: {}", number(found, "index"), time(number(found, "at_ms")), change(found));
        tree::line(&mut out, "changed before", &paint(WARN, &safe(&told)), "", 1, width);
    }
    out
}

/// The lines of `deeds authority` about what people answered, below the decision.
pub(crate) fn of_decision(answer: &Value, width: usize) -> String {
    let mut out = String::new();
    for found in rows(answer, "human_inputs") {
        let Some(said) = found.get("said").and_then(Fact::read) else { continue };
        let words = said.missing().unwrap_or_else(|| safe(&said.value().to_string()).into_owned());
        let told = format!("@{} {words}; it is no approval", number(found, "index"));
        tree::line(&mut out, "somebody answered", &told, &said.labels(), 1, width);
    }
    out
}

/// A withdrawal in words.
pub(crate) fn withdrawn(found: &Value) -> String {
    let artifact = found.get("artifact").and_then(Fact::read);
    let name = |member| artifact.and_then(|fact| fact.value().get(member)?.as_str().map(str::to_owned));
    let what = name("uri").map(|uri| place(&uri)).or_else(|| name("digest").map(|digest| start(&digest)));
    format!(
        "{} was withdrawn @{}: {}",
        what.unwrap_or_default(),
        number(found, "index"),
        loose(found, "why", "")
    )
}

/// A change in words: `tool write_file of fs: sha256:aa… → sha256:bb…`.
pub(crate) fn change(found: &Value) -> String {
    let (what, name, server) =
        (loose(found, "what", ""), loose(found, "name", ""), loose(found, "server", ""));
    let many = loose(found, "count", "");
    let subject = match what.as_str() {
        "definitions" => format!("{many} definitions at once"),
        "client-config" => match found.get("wrapped").and_then(Value::as_bool) {
            Some(false) => format!("no longer wrapped in the configuration of {name}"),
            Some(true) => format!("wrapped again in the configuration of {name}"),
            None => format!("the configuration of {name}"),
        },
        // the name of these is the server itself
        what if what.starts_with("server-") => format!("the {}", what.trim_start_matches("server-")),
        what => format!("{} {name}", what.replace('-', " ")),
    };
    let of = if server.is_empty() { String::new() } else { format!(" of {}", server_name(&server)) };
    let (old, new) = (loose(found, "old", ""), loose(found, "new", ""));
    let change = match (old.is_empty(), new.is_empty()) {
        (true, true) => String::new(),
        (true, false) => format!(": new, {}", start(&new)),
        (false, true) => format!(": gone, was {}", start(&old)),
        (false, false) => format!(": {} → {}", start(&old), start(&new)),
    };
    format!("{subject}{of}{change}")
}

/// A server's URI without the scheme that nearly all have.
pub(crate) fn server_name(uri: &str) -> &str {
    uri.strip_prefix("stdio:").unwrap_or(uri)
}

/// A file as its path, where that can be typed; any other URI as it is.
pub(crate) fn place(uri: &str) -> String {
    let path = lineage::file_path(uri).and_then(|path| String::from_utf8(path).ok());
    path.filter(|path| safe(path) == *path).unwrap_or_else(|| uri.to_owned())
}

/// The start of a digest.
pub(crate) fn start(digest: &str) -> String {
    let start: String = digest.chars().take(DIGEST_SHOWN).collect();
    if start.len() < digest.len() { format!("{start}…") } else { start }
}

/// The artifacts of an act in short, each group with its verb: what it had, what it made or changed, and what came with
/// an answer or was read, of which no change is recorded.
fn artifacts(answer: &Value) -> Vec<(&'static str, String)> {
    let mut told = Vec::new();
    for (member, verb) in [("inputs", "had"), ("outputs", "made")] {
        let Some(fact) = answer.get(member).and_then(Fact::read) else { continue };
        if let Some(missing) = fact.missing() {
            told.push((verb, format!("artifacts that are {missing}")));
            continue;
        }
        let (all, brought) = (number(fact.value(), "count"), number(fact.value(), "brought"));
        let shown = rows(fact.value(), "artifacts").iter();
        let (kept, read): (Vec<&Value>, Vec<&Value>) =
            shown.partition(|artifact| brought == 0 || artifact.get("change").is_some());
        let groups = [(verb, all.saturating_sub(brought), kept), ("brought", brought, read)];
        let there = groups.into_iter().filter(|(_, n, _)| *n > 0);
        told.extend(there.map(|(verb, n, shown)| (verb, short(n, &shown))));
    }
    told
}

/// `3 artifacts: /srv/a, /srv/b created, …`.
fn short(n: u64, shown: &[&Value]) -> String {
    let names: Vec<String> = shown.iter().copied().map(named).collect();
    let more = if (names.len() as u64) < n && !names.is_empty() { ", …" } else { "" };
    let list = if names.is_empty() { String::new() } else { format!(": {}{more}", names.join(", ")) };
    format!("{}{list}", count(n, "artifact", "artifacts"))
}

fn named(artifact: &Value) -> String {
    let name = place(&string(artifact, "uri"));
    let name = if name.is_empty() { start(&string(artifact, "digest")) } else { name };
    match string(artifact, "change").as_str() {
        "" => name,
        change => format!("{name} {change}"),
    }
}

fn positions(answer: &Value, member: &str) -> Vec<u64> {
    rows(answer, member).iter().filter_map(Value::as_u64).collect()
}

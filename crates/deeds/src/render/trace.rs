//! One step over artifacts: the acts of an artifact, or the artifacts of an act.

use serde_json::Value;

use super::beside::{place, start, withdrawn};
use super::fact::{Fact, loose, text as fact_text};
use super::lists::{day_line, further, margin, number, one_day, position, rows, string, tool, when, word};
use super::report::ranges;
use super::style::{BAD, DIM, GOOD, HEAD, PLAIN, WARN, of_word, paint, verdict};
use super::table::{Cell, Row, agent, cell, draw, left, styled, whole};
use super::text::{add, item, paragraph, safe};

/// What is known of files at all.
const KNOWN: &str = "Files are known of commands behind `deeds run`, under the paths it was told, and of servers \
    behind `deeds wrap --files`, where the arguments of a call name them. Of other calls the results are known, by \
    digest, and what is read of a server by its URI.";

/// `deeds trace`; `again` is the command that the answer came from.
pub(crate) fn page(answer: &Value, width: usize, again: &str) -> String {
    match answer.get("act").filter(|act| act.is_object()) {
        Some(act) => of_act(answer, act, width),
        None => of_artifact(answer, width, again),
    }
}

fn of_artifact(answer: &Value, width: usize, again: &str) -> String {
    let uri = answer.pointer("/of/uri").and_then(Value::as_str);
    let digest = answer.pointer("/of/digest").and_then(Value::as_str);
    let mut out = format!(
        "{}\n",
        paint(HEAD, &safe(&uri.map(place).or(digest.map(str::to_owned)).unwrap_or_default()))
    );
    for found in rows(answer, "withdrawn") {
        out.push_str(&item(&paint(BAD, &safe(&withdrawn(found))), 2, width));
    }
    let list = rows(answer, "acts");
    let below = further(answer, again) + &margin(&not_told(answer), width);
    if list.is_empty() {
        let told = format!("No act that is recorded had it, made it or answered with it. {KNOWN}");
        return out + &paragraph(&told, 0, width) + &on_disk(answer, width) + &below;
    }
    let acts: Vec<Value> =
        list.iter().filter_map(|row| row.get("act").filter(|act| act.is_object()).cloned()).collect();
    let day = one_day(&acts, "observed_ms");
    let head = [
        whole("ENTRY"),
        whole("TIME"),
        whole("HOW"),
        agent("AGENT"),
        left("FOR"),
        left("TOOL").last(),
        whole("VERDICT"),
        whole("OUTCOME"),
    ];
    let above: Vec<u64> = rows(answer, "withdrawn").iter().map(|found| number(found, "index")).collect();
    let view = View { same_day: day.is_some(), by_name: uri.is_some(), above: &above };
    let lines: Vec<Row> = list.iter().map(|row| act_row(row, view)).collect();
    let more = "Ask `deeds trace @ENTRY` what one of them had and made, `deeds authority @ENTRY` who stands behind it.";
    out.push_str(&day_line(day.as_deref()));
    out + &draw(&head, lines, width)
        + &on_disk(answer, width)
        + &below
        + &paragraph(&paint(DIM, more), 0, width)
}

/// What the file is on this host, compared with what is last recorded of its name.
fn on_disk(answer: &Value, width: usize) -> String {
    let Some(now) = answer.get("on_disk").filter(|now| now.is_object()) else { return String::new() };
    let at = answer.pointer("/latest/index").and_then(Value::as_u64).map(|at| format!("@{at}"));
    let at = at.unwrap_or_default();
    let (digest, why) = (string(now, "digest"), string(now, "why"));
    let (style, told) = match string(now, "is").as_str() {
        "as-recorded" if digest.is_empty() => (GOOD, format!("gone, as {at} recorded")),
        "as-recorded" => (GOOD, format!("the bytes that {at} recorded")),
        "changed" => (
            WARN,
            format!("other bytes ({digest}) than {at} recorded: changed since, by nothing that is recorded"),
        ),
        "gone" => (
            WARN,
            format!("not there any more; {at} recorded it: taken away since, by nothing that is recorded"),
        ),
        "back" => (WARN, format!("there again ({digest}), though {at} recorded that it was deleted")),
        "not-recorded" => (PLAIN, format!("`deeds trace {digest}` asks where its bytes are known")),
        "nothing" => (PLAIN, "no such file".to_owned()),
        "bytes-not-recorded" => (WARN, format!("{digest}; {at} recorded no digest to compare that with")),
        _ if at.is_empty() => (PLAIN, format!("not read: {why}")),
        _ => (WARN, format!("not compared with {at}: {why}")),
    };
    item(&format!("{} {}", paint(HEAD, "now on this host:"), paint(style, &safe(&told))), 0, width)
}

/// How the acts of an artifact are shown.
#[derive(Clone, Copy)]
struct View<'a> {
    same_day: bool,
    /// It was asked for by name, not by digest.
    by_name: bool,
    /// Withdrawals that stand above the table.
    above: &'a [u64],
}

fn act_row(row: &Value, View { same_day, by_name, above }: View<'_>) -> Row {
    let nothing = Value::Null;
    let act = row.get("act").unwrap_or(&nothing);
    let artifacts = rows(row, "artifacts");
    let change =
        artifacts.first().and_then(|fact| fact.pointer("/value/change")?.as_str()).unwrap_or_default();
    let status = act.get("outcome").map(|outcome| fact_text(outcome, "status", "")).unwrap_or_default();
    let mut line = if act.is_object() {
        Row::from(vec![
            position(act.get("index")),
            when(number(act, "observed_ms"), same_day),
            cell(how(&string(row, "role"), change)),
            cell(fact_text(act, "holder", "/id")),
            cell(fact_text(act, "principal", "/sub")),
            cell(tool(&fact_text(act, "tool", ""))),
            word(verdict(&fact_text(act, "verdict", "")).to_owned()),
            word(status),
        ])
    } else {
        // a part of a list whose decision never came
        let how = cell(how(&string(row, "role"), change));
        let row = Row::from(vec![position(row.get("index")), cell(""), how]);
        row.note(styled("in a list of an act that was never decided", WARN))
    };
    for fact in artifacts {
        let told = version(fact.get("value").unwrap_or(&nothing), by_name);
        line = told.into_iter().fold(line, |line, told| line.note(styled(told, DIM)));
    }
    // the later versions of a name stand above
    let other = replaced(row, |when| !by_name || when != "since");
    other.into_iter().chain(withdrawals(row, above)).fold(line, Row::note)
}

fn how(role: &str, change: &str) -> &'static str {
    match (role, change) {
        ("input", _) => "had it",
        ("result", _) => "answered",
        (_, "modified") => "changed it",
        (_, "deleted") => "deleted it",
        (_, "created") => "made it",
        // no change is recorded of it: it was read, or came with an answer
        _ => "brought it",
    }
}

/// A version of an artifact that was asked for by name, or the name of one that was asked for by digest; and what else
/// is known of it.
fn version(artifact: &Value, by_name: bool) -> Vec<String> {
    let (digest, name) = (string(artifact, "digest"), place(&string(artifact, "uri")));
    let is_gone = string(artifact, "change") == "deleted";
    let first = match (by_name, digest.is_empty(), name.is_empty()) {
        (true, false, _) => Some(digest),
        (true, true, _) => (!is_gone).then(|| "bytes that were not seen".to_owned()),
        (false, _, false) => Some(name),
        (false, _, true) => Some("its result".to_owned()),
    };
    let size = artifact.get("size").and_then(Value::as_u64).map(|size| format!("{size} bytes"));
    let before = Some(string(artifact, "before")).filter(|before| !before.is_empty());
    let before = before.map(|before| format!("before it {}", start(&before)));
    let more: Vec<String> = size.into_iter().chain(before).collect();
    first.into_iter().chain((!more.is_empty()).then(|| more.join(", "))).collect()
}

fn replaced(row: &Value, is_told: impl Fn(&str) -> bool) -> Vec<Cell> {
    let told = |other: &Value| {
        let (at, by) = (number(other, "index"), other.get("by").and_then(Value::as_u64));
        let digest = string(other, "digest");
        let now = if digest.is_empty() { String::new() } else { format!(" ({})", start(&digest)) };
        let text = match (string(other, "when").as_str(), by) {
            ("between", Some(by)) => {
                format!("it had other bytes at @{at}{now}; @{by}, of another task, wrote it since")
            }
            ("between", None) => {
                format!("it had other bytes at @{at}{now}, and no act that is recorded wrote it since")
            }
            (_, Some(by)) => format!("replaced since by @{by}{now}"),
            (_, None) => format!("has other bytes since @{at}{now}, which no act that is recorded wrote"),
        };
        styled(text, WARN)
    };
    rows(row, "replaced").iter().filter(|other| is_told(&string(other, "when"))).map(told).collect()
}

fn withdrawals(row: &Value, above: &[u64]) -> Vec<Cell> {
    let own = rows(row, "withdrawn").iter().filter(|found| !above.contains(&number(found, "index")));
    own.map(|found| styled(withdrawn(found), BAD)).collect()
}

fn of_act(answer: &Value, act: &Value, width: usize) -> String {
    let decided = fact_text(act, "verdict", "");
    let status = act.get("outcome").map(|outcome| fact_text(outcome, "status", "")).unwrap_or_default();
    let outcome = if status.is_empty() { String::new() } else { format!(", outcome {status}") };
    let title = format!(
        "{} {} by {} for {}: {}{}",
        paint(HEAD, &position_text(act)),
        safe(&fact_text(act, "tool", "")),
        safe(&fact_text(act, "holder", "/id")),
        safe(&fact_text(act, "principal", "/sub")),
        paint(of_word(&decided), &safe(verdict(&decided))),
        paint(of_word(&status), &safe(&outcome)),
    );
    let mut out = item(&title, 0, width);
    let list = rows(answer, "artifacts");
    for heading in ["Had", "Made", "Brought", "Answered"] {
        let own: Vec<&Value> = list.iter().filter(|row| side(row) == heading).collect();
        if own.is_empty() {
            continue;
        }
        add(&mut out, format_args!("\n{}\n", paint(HEAD, heading)));
        for row in own {
            out.push_str(&artifact(row, width));
        }
    }
    if list.is_empty() {
        out.push('\n');
        out.push_str(&paragraph(&format!("No artifact of it is recorded. {KNOWN}"), 0, width));
    }
    out.push('\n');
    out + &margin(&not_told(answer), width)
}

/// What an act has to do with one of its artifacts: the heading that it stands under.
fn side(row: &Value) -> &'static str {
    match string(row, "role").as_str() {
        "input" => "Had",
        "result" => "Answered",
        _ if row.pointer("/artifact/value/change").is_some() => "Made",
        _ => "Brought",
    }
}

/// An answer without the findings that its rows tell.
fn not_told(answer: &Value) -> Value {
    let told = ["withdrawn", "replaced-since", "replaced-between"];
    let mut rest = answer.clone();
    if let Some(findings) = rest.get_mut("findings").and_then(Value::as_array_mut) {
        findings.retain(|finding| !told.contains(&string(finding, "code").as_str()));
    }
    rest
}

fn artifact(row: &Value, width: usize) -> String {
    let nothing = Value::Null;
    let value = row.get("artifact").and_then(Fact::read).map_or(&nothing, |fact| fact.value());
    let (name, digest) = (place(&string(value, "uri")), string(value, "digest"));
    let change = string(value, "change");
    let size =
        value.get("size").and_then(Value::as_u64).map(|size| format!("{size} bytes")).unwrap_or_default();
    let first = if name.is_empty() { &digest } else { &name };
    let beside: Vec<&str> =
        [change.as_str(), size.as_str()].into_iter().filter(|text| !text.is_empty()).collect();
    let beside = if beside.is_empty() { String::new() } else { format!(" ({})", beside.join(", ")) };
    let mut out = item(&format!("{}{}", safe(first), paint(DIM, &safe(&beside))), 2, width);
    let mut note = |style, text: &str| {
        if !text.is_empty() {
            out.push_str(&item(&paint(style, &safe(text)), 6, width));
        }
    };
    if !name.is_empty() {
        note(DIM, &digest);
    }
    let before = string(value, "before");
    if !before.is_empty() {
        note(DIM, &format!("before it {}", start(&before)));
    }
    for (member, told) in [("made_by", "came of"), ("used_by", "used by")] {
        let acts: Vec<u64> = rows(row, member).iter().filter_map(Value::as_u64).collect();
        if !acts.is_empty() {
            note(DIM, &format!("{told}{}", ranges(&acts)));
        }
    }
    for cell in replaced(row, |_| true).into_iter().chain(withdrawals(row, &[])) {
        let (text, style) = cell.parts();
        note(style, text);
    }
    out
}

fn position_text(act: &Value) -> String {
    loose(act, "index", "").parse::<u64>().map(|index| format!("@{index}")).unwrap_or_default()
}

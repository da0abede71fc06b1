//! What may be missing from the record, or unknown in it.

use serde_json::Value;

use super::beside::change;
use super::fact::{Fact, loose};
use super::lists::{Asked, day_line, further, margin, number, one_day, position, rows, string, tool, when};
use super::report::ranges;
use super::style::{BAD, DIM, GOOD, WARN, paint};
use super::table::{Row, agent, cell, draw, left, styled, whole};
use super::text::{count, paragraph, time};

/// `deeds gaps`; `again` is the command that the answer came from.
pub(crate) fn table(answer: &Value, width: usize, again: &str, asked: Asked) -> String {
    let list = rows(answer, "gaps");
    let below = further(answer, again) + &margin(answer, width);
    let limit = "What went around deeds leaves no gap; `deeds doctor` says what is wired.";
    if list.is_empty() {
        let nothing = match asked {
            Asked { before: Some(before), .. } => format!("No gaps before @{before}."),
            Asked { narrowed: true, .. } => paint(GOOD, "Nothing of that time is known to be missing."),
            Asked { .. } => paint(GOOD, "Nothing is known to be missing."),
        };
        return format!("{nothing}\n{below}{}", paragraph(&paint(DIM, limit), 0, width));
    }
    let day = one_day(list, "at_ms");
    let head =
        [whole("ENTRY"), whole("TIME"), whole("WHAT"), agent("AGENT"), left("FOR"), left("TOOL").last()];
    let lines: Vec<Row> = list.iter().map(|gap| row(gap, day.is_some())).collect();
    let more = format!("`deeds entry @ENTRY` shows a record in full. {limit}");
    format!(
        "{}{}{below}{}",
        day_line(day.as_deref()),
        draw(&head, lines, width),
        paragraph(&paint(DIM, &more), 0, width)
    )
}

fn row(gap: &Value, same_day: bool) -> Row {
    let what = string(gap, "what");
    let style = match what.as_str() {
        "run-lost" | "counter-hole" => BAD,
        _ => WARN,
    };
    let row = Row::from(vec![
        position(gap.get("index")),
        when(number(gap, "at_ms"), same_day),
        styled(words(gap, &what), style),
        cell(loose(gap, "holder", "/id")),
        cell(whose(gap)),
        cell(tool(&loose(gap, "tool", ""))),
    ]);
    let about = about(gap, &what);
    if about.is_empty() { row } else { row.note(styled(about, DIM)) }
}

/// For whom, or, of refusals that belong to no run, who asked.
fn whose(gap: &Value) -> String {
    let principal = loose(gap, "principal", "/sub");
    let source = loose(gap, "source", "");
    if principal.is_empty() && source.starts_with("uid:") { source } else { principal }
}

fn words<'a>(gap: &Value, what: &'a str) -> &'a str {
    match what {
        "refusals" if !reason(gap).is_empty() => "refused",
        "gap" => "server unreachable",
        "outcome-unknown" => "outcome unknown",
        "no-outcome" => "no outcome",
        "refusals" => "refusals counted",
        "counter-hole" => "proofs missing",
        "run-lost" => "run lost",
        "clock-adjusted" => "clock set",
        "definition-changed" => "definition changed",
        "client-config-changed" => match gap.pointer("/change/wrapped").and_then(Value::as_bool) {
            Some(false) => "wrap dropped",
            Some(true) => "wrapped again",
            None => "client rewired",
        },
        what => what,
    }
}

fn about(gap: &Value, what: &str) -> String {
    let n = gap.get("count").and_then(Fact::read).and_then(|fact| fact.value().as_u64());
    let why = loose(gap, "why", "");
    let actions: Vec<u64> = rows(gap, "actions").iter().filter_map(Value::as_u64).collect();
    match what {
        "gap" => {
            let calls = n.map(|n| count(n, "call", "calls")).unwrap_or_default();
            match (why.as_str(), calls.as_str()) {
                ("server-unreachable", "") => "what happened meanwhile is not recorded".to_owned(),
                ("server-unreachable", calls) => format!("{calls} could not be decided or recorded"),
                (why, "") => why.to_owned(),
                (why, calls) => format!("{calls}: {why}"),
            }
        }
        "outcome-unknown" => {
            let late: Vec<u64> = rows(gap, "late").iter().filter_map(Value::as_u64).collect();
            let late =
                if late.is_empty() { String::new() } else { format!("; reported late:{}", ranges(&late)) };
            format!("the act{}: {}{late}", ranges(&actions), told(&why))
        }
        "no-outcome" => {
            let all = count(n.unwrap_or_default(), "act", "acts");
            format!("{all} without outcome when the run ended:{}", ranges(&actions))
        }
        "refusals" => {
            let reason = reason(gap);
            if !reason.is_empty() {
                return reason;
            }
            let why = loose(gap, "why", "/why");
            let because = if why.is_empty() {
                "; the reason of each is not recorded".to_owned()
            } else {
                format!(": {why}")
            };
            let all = count(n.unwrap_or_default(), "refusal", "refusals");
            format!("{all} counted instead of recorded one by one{because}")
        }
        "run-lost" => {
            "its recorder was gone for longer than its lease; what it did then is not recorded".to_owned()
        }
        "clock-adjusted" => {
            let at = |member: &str| gap.pointer(&format!("/why/value/{member}")).and_then(Value::as_u64);
            match (at("before_ms"), at("after_ms")) {
                (Some(before), Some(after)) => format!("from {} to {}", time(before), time(after)),
                _ => why,
            }
        }
        "definition-changed" | "client-config-changed" => gap.get("change").map(change).unwrap_or_default(),
        _ => why,
    }
}

/// Why something was refused that could become no act: `nobody has this key (not-registered, principal)`.
fn reason(gap: &Value) -> String {
    let [text, code, step] = ["/text", "/reason", "/step"].map(|member| loose(gap, "why", member));
    if code.is_empty() { code } else { format!("{text} ({code}, {step})") }
}

fn told(why: &str) -> &str {
    if why.is_empty() { "nobody knows what came of it" } else { why }
}

//! The page of `deeds doctor`.

use serde_json::Value;

use super::init::servers;
use super::style::{BAD, GOOD, HEAD, WARN, paint};
use super::text::{add, item, safe, wrap};

/// Blanks before a text, or the level of it.
const INDENT: usize = 9;

/// Topics in the order they are told.
const TOPICS: [(&str, &str); 7] = [
    ("wiring", "Wiring"),
    ("server", "Server"),
    ("policy", "Policy"),
    ("log", "Log"),
    ("disk", "Disk"),
    ("clock", "Clock"),
    ("keys", "Keys"),
];

/// What is wired; each topic with what was seen; what can be proven.
pub(crate) fn page(report: &Value, width: usize) -> String {
    let mut out = String::new();
    let checks = list(report, "checks");
    for (topic, title) in TOPICS {
        let of_topic: Vec<&Value> = checks.iter().filter(|check| text(check, "topic") == topic).collect();
        if of_topic.is_empty() {
            continue;
        }
        add(&mut out, format_args!("{}\n", paint(HEAD, title)));
        if topic == "wiring" {
            for file in list(report, "wiring") {
                let mut of_file = String::new();
                servers(&mut of_file, file);
                of_file.lines().for_each(|line| add(&mut out, format_args!("  {line}\n")));
            }
        }
        for check in of_topic {
            line(&mut out, check, width);
        }
    }
    for (member, title) in [("proves", "What this can prove"), ("does_not_prove", "What it cannot")] {
        add(&mut out, format_args!("{}\n", paint(HEAD, title)));
        for line in list(report, member).iter().filter_map(Value::as_str) {
            out.push_str(&item(&format!("· {}", safe(line)), 2, width));
        }
    }
    let wrong = report.get("wrong").and_then(Value::as_u64).unwrap_or_default();
    let (style, says) = match wrong {
        0 if nothing_wrapped(checks) => {
            (WARN, "Nothing is wrapped yet: `deeds init` shows what it would change.".to_owned())
        }
        0 => (GOOD, "Nothing is wrong.".to_owned()),
        1 => (BAD, "One thing is wrong.".to_owned()),
        n => (BAD, format!("{n} things are wrong.")),
    };
    add(&mut out, format_args!("\n{}\n", paint(style, &says)));
    out
}

/// Whether it was counted what is wrapped, and that is nothing. A machine on which all is well and nothing is recorded
/// is not what somebody who asks wants to hear of as fine.
fn nothing_wrapped(checks: &[Value]) -> bool {
    let counts = checks.iter().filter_map(|check| check.get("data")?.get("wrapped")?.as_u64());
    counts.max() == Some(0)
}

/// The level, and beside it the text, its further lines below its first.
fn line(out: &mut String, check: &Value, width: usize) {
    let mark = match text(check, "level") {
        "fine" => paint(GOOD, "ok   "),
        "note" => paint(WARN, "note "),
        _ => paint(BAD, "wrong"),
    };
    let lines = wrap(&safe(text(check, "text")), width.saturating_sub(INDENT));
    add(out, format_args!("  {mark}  {}\n", lines.join(&format!("\n{}", " ".repeat(INDENT)))));
}

fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value.get(member).and_then(Value::as_str).unwrap_or_default()
}

fn list<'a>(value: &'a Value, member: &str) -> &'a [Value] {
    value.get(member).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

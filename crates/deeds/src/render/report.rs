//! The report of `deeds verify`: the verdict first, then errors, then notes, then what was shown, then what even a
//! verified file does not prove.

use evidence::label::Check;
use verify::report::{ActionFacts, LogFacts, NOT_PROVEN};
use verify::{Finding, Report, Severity, Verdict};

use serde_json::Value;

use super::lists;
use super::style::{BAD, DIM, HEAD, WARN, of_word, paint};
use super::text::{add, count, cut, item, paragraph, safe, time, wrap};

/// Actions listed of one file; the JSON has them all.
const ACTIONS_MAX: usize = 20;

/// One file's report.
pub(crate) fn text(file: &str, report: &Report, width: usize) -> String {
    let verdict = report.verdict.as_str();
    let mut out =
        format!("{}: {}{}\n", paint(HEAD, &safe(file)), paint(of_word(verdict), verdict), by_whom(report));
    out.push_str(&lines(&report.findings, Severity::Error, width));
    out.push_str(&lines(&report.findings, Severity::Note, width));
    let shows = report.log.is_some() || !report.actions.is_empty();
    if report.verdict != Verdict::Verified && shows {
        add(&mut out, format_args!("  {}\n", paint(WARN, "Claimed by the file, not verified")));
    }
    if let Some(log) = &report.log {
        out.push_str(&log_line(log));
    }
    out.push_str(&actions(&report.actions, width));
    if report.verdict == Verdict::Verified {
        add(&mut out, format_args!("  {}\n", paint(WARN, "Even so, this does not prove")));
        for limit in NOT_PROVEN {
            for (n, line) in wrap(limit, width.saturating_sub(4)).iter().enumerate() {
                let mark = if n == 0 { "-" } else { " " };
                add(&mut out, format_args!("  {}\n", paint(DIM, &format!("{mark} {line}"))));
            }
        }
    }
    out
}

/// What a verdict rests on, where nobody said which log it should be.
fn by_whom(report: &Report) -> &'static str {
    let pinned = report.log.as_ref().is_some_and(|log| log.key == Check::VerifiedPinned);
    if report.verdict == Verdict::Verified && !pinned {
        ", against the key that the file itself names"
    } else {
        ""
    }
}

/// Findings that differ in nothing but the entry are told together: `withheld @2, @6, @15 to @41: …`.
pub(crate) fn grouped<'a>(findings: impl Iterator<Item = (&'a str, Option<u64>, &'a str)>) -> Vec<String> {
    let mut groups: Vec<(&str, &str, Vec<u64>)> = Vec::new();
    for (code, index, text) in findings {
        match groups.iter_mut().find(|(known, words, _)| (*known, *words) == (code, text)) {
            Some((_, _, places)) => places.extend(index),
            None => groups.push((code, text, index.into_iter().collect())),
        }
    }
    let told = |(code, text, places): &(&str, &str, Vec<u64>)| format!("{code}{}: {text}", ranges(places));
    groups.iter().map(told).collect()
}

/// ` @2, @6, @15 to @41`
pub(crate) fn ranges(places: &[u64]) -> String {
    let runs = places.chunk_by(|before, after| before.checked_add(1) == Some(*after));
    let shown = runs.filter_map(|run| match (run.first()?, run.last()?) {
        (first, last) if first == last => Some(format!("@{first}")),
        (first, last) => Some(format!("@{first} to @{last}")),
    });
    let shown: Vec<String> = shown.collect();
    if shown.is_empty() { String::new() } else { format!(" {}", shown.join(", ")) }
}

fn lines(findings: &[Finding], severity: Severity, width: usize) -> String {
    let (word, style) = match severity {
        Severity::Error => ("error", BAD),
        Severity::Note => ("note ", WARN),
    };
    let of_severity = findings.iter().filter(|finding| finding.severity == severity);
    let views = of_severity.map(|finding| (finding.code.name(), finding.index, finding.text.as_str()));
    let mut out = String::new();
    for told in grouped(views) {
        let text = wrap(&safe(&told), width.saturating_sub(8)).join("\n        ");
        add(&mut out, format_args!("  {} {text}\n", paint(style, word)));
    }
    out
}

fn log_line(log: &LogFacts) -> String {
    let size = log.size.map_or_else(|| "unknown size".to_owned(), |size| count(size, "entry", "entries"));
    let labels = paint(DIM, &format!("[{}]", log.key.as_str()));
    format!("  log {}, checkpoint of {size} {labels}\n", safe(&log.origin))
}

/// Two lines for each action that is shown: what was done, when and whether it was allowed; then for whom, by whom
/// and under which policy.
fn actions(actions: &[ActionFacts], width: usize) -> String {
    let shown: Vec<&ActionFacts> = actions.iter().filter(|action| !action.tool.value.is_null()).collect();
    let mut out: String = shown.iter().take(ACTIONS_MAX).map(|action| told(action, width)).collect();
    let withheld = actions.len() - shown.len();
    if withheld > 0 {
        add(&mut out, format_args!("  {} withheld\n", count(withheld as u64, "action", "actions")));
    }
    if let Some(more) = shown.len().checked_sub(ACTIONS_MAX).filter(|more| *more > 0) {
        add(
            &mut out,
            format_args!("  and {}; `--json` has them all\n", count(more as u64, "action", "actions")),
        );
    }
    out
}

fn told(action: &ActionFacts, width: usize) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let member = |value: &Value, name: &str| value.get(name).map(text).unwrap_or_default();
    let short = |value: &Value, max: usize| cut(&text(value), max).into_owned();
    let args = lists::arguments(&action.args.value);
    let args = args.unwrap_or_else(|| format!("args {}", short(&action.args_digest.value, 13)));
    let (verdict, status) = (text(&action.verdict.value), text(&action.status.value));
    let outcome = match (verdict.as_str(), status.as_str()) {
        ("deny", "") => String::new(),
        (_, "") => ", outcome not shown".to_owned(),
        (_, status) => format!(", outcome {}", paint(of_word(status), &safe(status))),
    };
    let reason = member(&action.reason.value, "text");
    let reason = if reason.is_empty() { reason } else { format!("; {reason}") };
    let what = format!(
        "@{} {} {} {}: {}{outcome}",
        action.index,
        time(action.observed_ms),
        safe(lists::tool(&text(&action.tool.value))),
        safe(&args),
        paint(of_word(&verdict), &safe(&verdict)),
    );
    let who = format!(
        "for {} [{}]{} by {}, policy {}{}",
        safe(&member(&action.principal.value, "sub")),
        action.principal.check.as_str(),
        if action.mandate.is_some() { ", under a mandate," } else { "" },
        safe(&holders(action)),
        safe(&short(&action.policy_digest.value, 20)),
        safe(&reason),
    );
    let glass = action
        .break_glass
        .as_ref()
        .map(|why| item(&format!("{} {} (review open)", paint(BAD, "BREAK-GLASS:"), safe(why)), 2, width));
    format!(
        "{}  {}      {}",
        glass.unwrap_or_default(),
        paragraph(&what, 6, width),
        paragraph(&who, 6, width)
    )
}

/// Who held the delegations, from the root's holder to the one who acted.
fn holders(action: &ActionFacts) -> String {
    let id = |value: &Value| value.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
    match action.chain.as_slice() {
        [] => id(&action.holder.value),
        chain => chain.iter().map(|link| id(&link.holder.value)).collect::<Vec<_>>().join(" → "),
    }
}

//! The report of `deeds verify`: the verdict first, then errors, then notes, then what was shown, then what even a
//! verified file does not prove.

use std::collections::BTreeSet;

use evidence::label::Check;
use verify::report::{ActionFacts, LogFacts, NOT_PROVEN};
use verify::{Code, Finding, Report, Severity, Verdict};

use serde_json::Value;

use super::lists;
use super::style::{BAD, DIM, HEAD, WARN, of_word, paint, verdict};
use super::text::{add, count, cut, item, paragraph, safe, time, wrap};

/// Actions listed of one file; the JSON has them all.
const ACTIONS_MAX: usize = 20;
/// Arguments listed of one action, and characters of each; the JSON has them whole.
const ARGUMENTS_MAX: usize = 8;
const ARGUMENT_MAX: usize = 200;

/// One file's report.
pub(crate) fn text(file: &str, report: &Report, width: usize) -> String {
    let verdict = report.verdict.as_str();
    let mut out =
        format!("{}: {}{}\n", paint(HEAD, &safe(file)), paint(of_word(verdict), verdict), by_whom(report));
    let altered = altered(&report.findings);
    // an entry whose fields were altered shows none, and withholds none either
    let told = |finding: &&Finding| {
        finding.code.name() != "withheld" || finding.index.is_none_or(|index| !altered.contains(&index))
    };
    let findings: Vec<&Finding> = report.findings.iter().filter(told).collect();
    out.push_str(&lines(&findings, Severity::Error, width));
    out.push_str(&lines(&findings, Severity::Note, width));
    let shows = report.log.is_some() || !report.actions.is_empty();
    if report.verdict != Verdict::Verified && shows {
        let heading =
            "What the file says. It failed: a label in brackets is about one signature, not about the file";
        out.push_str(&item(&paint(WARN, heading), 2, width));
    }
    if let Some(log) = &report.log {
        out.push_str(&log_line(log, report.verdict));
    }
    out.push_str(&actions(&report.actions, &altered, width));
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

/// Entries of which fields were shown that are not theirs.
fn altered(findings: &[Finding]) -> BTreeSet<u64> {
    let of_fields = |finding: &&Finding| ["fields-root", "field-json"].contains(&finding.code.name());
    findings.iter().filter(of_fields).filter_map(|finding| finding.index).collect()
}

fn lines(findings: &[&Finding], severity: Severity, width: usize) -> String {
    let (word, style) = match severity {
        Severity::Error => ("error", BAD),
        Severity::Note => ("note ", WARN),
    };
    let of_severity = findings.iter().filter(|finding| finding.severity == severity);
    let views = of_severity.map(|finding| (finding.code.name(), finding.index, said(finding)));
    let mut out = String::new();
    for told in grouped(views) {
        let text = wrap(&safe(&told), width.saturating_sub(8)).join("\n        ");
        add(&mut out, format_args!("  {} {text}\n", paint(style, word)));
    }
    out
}

/// What a finding says to a person. Of most entries of a run a file has only what proves that they are there: whoever
/// made it withheld nothing in particular, and it should not sound so.
fn said(finding: &Finding) -> &str {
    match finding.code {
        Code::Withheld => {
            "in the file without all that they say: that they are in the log is proven, what \
                                  is left out was not checked"
        }
        _ => &finding.text,
    }
}

/// Of a file that failed the label says what it is about: the signature under the checkpoint may hold all the same.
fn log_line(log: &LogFacts, verdict: Verdict) -> String {
    let size = log.size.map_or_else(|| "unknown size".to_owned(), |size| count(size, "entry", "entries"));
    let of = if verdict == Verdict::Verified { "" } else { "its signature: " };
    let labels = paint(DIM, &format!("[{of}{}]", log.key.as_str()));
    format!("  log {}, checkpoint of {size} {labels}\n", safe(&log.origin))
}

/// Two lines for each action that is shown: what was done, when and whether it was allowed; then for whom, by whom
/// and under which policy.
fn actions(actions: &[ActionFacts], altered: &BTreeSet<u64>, width: usize) -> String {
    let shown: Vec<&ActionFacts> = actions.iter().filter(|action| !action.tool.value.is_null()).collect();
    let mut out: String = shown.iter().take(ACTIONS_MAX).map(|action| told(action, width)).collect();
    let changed: Vec<u64> = actions
        .iter()
        .filter(|action| action.tool.value.is_null() && altered.contains(&action.index))
        .map(|action| action.index)
        .collect();
    if !changed.is_empty() {
        let n = count(changed.len() as u64, "action", "actions");
        let text = format!("{n} altered:{}; what the file shows of it is not used", ranges(&changed));
        out.push_str(&item(&paint(BAD, &text), 2, width));
    }
    let withheld = actions.len() - shown.len() - changed.len();
    if withheld > 0 {
        let n = count(withheld as u64, "more action is", "more actions are");
        add(&mut out, format_args!("  {n} in the file without saying what was done\n"));
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
    let each = if args.is_none() { arguments(&action.args.value, width) } else { String::new() };
    let args = args.unwrap_or_else(|| format!("args {}", short(&action.args_digest.value, 13)));
    let (decided, status) = (text(&action.verdict.value), text(&action.status.value));
    let outcome = match (decided.as_str(), status.as_str()) {
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
        paint(of_word(&decided), &safe(verdict(&decided))),
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
        "{}  {}{each}      {}",
        glass.unwrap_or_default(),
        paragraph(&what, 6, width),
        paragraph(&who, 6, width)
    )
}

/// Arguments that are too long for the line, each on its own.
fn arguments(args: &Value, width: usize) -> String {
    let Some(args) = args.as_object() else { return String::new() };
    let one = |(name, value): (&String, &Value)| {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let whole = safe(&format!("{}: {}", name, cut(&value, ARGUMENT_MAX))).into_owned();
        item(&paint(DIM, &whole), 6, width)
    };
    let mut out: String = args.iter().take(ARGUMENTS_MAX).map(one).collect();
    if let Some(more) = args.len().checked_sub(ARGUMENTS_MAX).filter(|more| *more > 0) {
        let n = count(more as u64, "argument", "arguments");
        out.push_str(&item(&format!("and {n}; `--json` has them all"), 6, width));
    }
    out
}

/// Who held the delegations, from the root's holder to the one who acted.
fn holders(action: &ActionFacts) -> String {
    let id = |value: &Value| value.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
    match action.chain.as_slice() {
        [] => id(&action.holder.value),
        chain => chain.iter().map(|link| id(&link.holder.value)).collect::<Vec<_>>().join(" → "),
    }
}

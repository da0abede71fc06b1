//! The page of `deeds authority`: person → delegation → agent run → tool, then decision, outcome, checkpoint, and
//! what all this does not prove. Every fact with its labels.

use serde_json::Value;

use super::fact::{Fact, text as fact_text};
use super::style::{DIM, HEAD, WARN, of_word, paint};
use super::text::{add, safe, wrap};
use super::{beside, chain, lists, tree};

/// The facts of each section in the order in which they are read: heading, member of the answer, its facts. What
/// an answer has beyond these follows them, so that nothing it says is dropped. The links of the chain stand between
/// the first section and the second.
const SECTIONS: [(&str, &str, &[&str]); 6] = [
    ("Person", "principal", &["principal", "grade", "source", "registered"]),
    (
        "Agent run",
        "run",
        &["holder", "run", "stream", "started", "servers", "trigger", "model", "prompt", "client"],
    ),
    ("Tool", "tool", &["uri", "operation", "class", "definition", "args", "args_digest"]),
    (
        "Decision",
        "decision",
        &[
            "index",
            "verdict",
            "reason",
            "decided_at_ms",
            "policy_digest",
            "policy_index",
            "determining",
            "errors",
        ],
    ),
    ("Outcome", "outcome", &["index", "status", "detail", "result_digest", "duration", "late"]),
    ("Checkpoint", "committed", &["state", "size", "root"]),
];

/// Sections that lead from one to the next.
const CHAIN: usize = 3;

/// The whole page.
pub(crate) fn page(answer: &Value, width: usize) -> String {
    let mut out = chain::break_glass(answer, width) + &title(answer);
    for (n, (heading, member, order)) in SECTIONS.iter().enumerate() {
        let Some(section) = answer.get(*member).and_then(Value::as_object) else { continue };
        let arrow = if n > 0 && n < CHAIN { "↓ " } else { "" };
        add(&mut out, format_args!("\n{}\n", paint(HEAD, &format!("{arrow}{heading}"))));
        let rest = section.keys().map(String::as_str).filter(|name| !order.contains(name));
        for name in order.iter().copied().chain(rest) {
            if let Some(fact) = section.get(name) {
                tree::member(&mut out, readable(name), &with_position(name, fact), 1, width);
            }
        }
        match *member {
            "principal" => out.push_str(&chain::sections(answer, width)),
            "run" => out.push_str(&chain::handed_over(answer, width)),
            "tool" => out.push_str(&beside::of_tool(answer, width)),
            "decision" => {
                out.push_str(&beside::of_decision(answer, width));
                out.push_str(&chain::revoked_since(answer, width));
            }
            "outcome" => {
                if verdict(answer) == Some("deny") {
                    tree::line(&mut out, "status", "none: the call never reached the server", "", 1, width);
                }
                out.push_str(&beside::of_outcome(answer, width));
            }
            _ => {}
        }
    }
    out.push_str(&not_proven(answer, width));
    out.push('\n');
    out.push_str(&lists::margin(answer, width));
    out
}

/// One sentence: what was done, whether it was allowed, what came of it.
fn title(answer: &Value) -> String {
    let part = |member: &str, name: &str, pointer: &str| {
        answer.get(member).map(|part| fact_text(part, name, pointer)).unwrap_or_default()
    };
    let at = answer.get("action").and_then(Value::as_u64).map(|at| format!("@{at}")).unwrap_or_default();
    let verdict = part("decision", "verdict", "");
    let allowed = match verdict.as_str() {
        "allow" => "allowed",
        "deny" => "denied",
        _ => "decision not shown",
    };
    let status = part("outcome", "status", "");
    let outcome = if status.is_empty() { String::new() } else { format!(", outcome {status}") };
    let mut out = format!(
        "{}  {} by {} for {}: {}{}\n",
        paint(HEAD, &at),
        safe(&part("tool", "uri", "")),
        safe(&part("run", "holder", "/id")),
        safe(&part("principal", "principal", "/sub")),
        paint(of_word(&verdict), allowed),
        paint(of_word(&status), &safe(&outcome)),
    );
    if let Some(attempts) = answer.get("attempts").and_then(Value::as_array) {
        let attempts: Vec<_> = attempts.iter().filter_map(Value::as_u64).map(|at| format!("@{at}")).collect();
        add(&mut out, format_args!("other attempts of the same act: {}\n", attempts.join(", ")));
    }
    out
}

fn readable(name: &str) -> &str {
    match name {
        "index" => "entry",
        "policy_index" => "policy since",
        "uri" => "tool",
        name => name,
    }
}

/// Positions that stand as plain numbers are shown as positions.
fn with_position(name: &str, fact: &Value) -> Value {
    match (name, fact.as_u64()) {
        ("index" | "policy_index" | "started", Some(index)) => Value::String(format!("@{index}")),
        ("size", Some(size)) => Value::String(format!("{size} entries")),
        _ => fact.clone(),
    }
}

fn not_proven(answer: &Value, width: usize) -> String {
    let sentences = answer.get("not_proven").and_then(Value::as_array);
    let sentences: Vec<&str> = sentences.into_iter().flatten().filter_map(Value::as_str).collect();
    if sentences.is_empty() {
        return String::new();
    }
    let mut out = format!("\n{}\n", paint(WARN, "What this does not prove"));
    for sentence in sentences {
        for (n, line) in wrap(&safe(sentence), width.saturating_sub(4)).iter().enumerate() {
            add(&mut out, format_args!("  {} {line}\n", if n == 0 { "-" } else { " " }));
        }
    }
    out
}

/// What the labels in brackets mean; printed under a page for people.
pub(crate) fn legend(width: usize) -> String {
    let text = "In brackets: how an identity is known (attested, issuer-asserted, delegator-asserted, asserted, \
                inferred), what was checked (verified-captured: a signature or proof, with the key recorded in the \
                log; not-checked: recorded by the server and committed to by the checkpoint, but not signed by \
                anyone else), and the log entry that says it.";
    wrap(text, width).iter().map(|line| paint(DIM, line) + "\n").collect()
}

/// The verdict of an answer about an action.
pub(crate) fn verdict(answer: &Value) -> Option<&str> {
    Fact::read(answer.get("decision")?.get("verdict")?)?.value().as_str()
}

//! The chain of an action: who gave what to whom, in what each link is narrower than the one above, and what was
//! checked. And what is loudest of all: that somebody broke the glass.

use serde_json::Value;

use super::describe;
use super::fact::{Fact, loose};
use super::lists::{number, rows, string, tool};
use super::style::{BAD, HEAD, WARN, paint};
use super::text::{add, paragraph, safe, time};
use super::tree;

/// Tools that are listed of a link; the JSON has them all.
const TOOLS_MAX: usize = 4;

/// Before everything else: that the act rests on a broken glass, why, and whether that was reviewed.
pub(crate) fn break_glass(answer: &Value, width: usize) -> String {
    let Some(broken) = answer.get("break_glass").filter(|broken| broken.is_object()) else {
        return String::new();
    };
    let text = format!(
        "{} {} (review: {})",
        paint(BAD, "BREAK-GLASS:"),
        safe(&loose(broken, "why", "")),
        paint(WARN, &safe(&loose(broken, "review", ""))),
    );
    paragraph(&text, 2, width)
}

/// Mandate and links, root first.
pub(crate) fn sections(answer: &Value, width: usize) -> String {
    let mut out = mandate(answer, width);
    let links = rows(answer, "chain");
    for (n, link) in links.iter().enumerate() {
        let place = if links.len() == 1 { String::new() } else { format!(" {} of {}", n + 1, links.len()) };
        add(&mut out, format_args!("\n{}\n", paint(HEAD, &format!("↓ Delegation{place}"))));
        add_link(&mut out, link, n == 0, width);
    }
    // what the last link says of this very tool
    if let Some(leaf) = answer.get("delegation") {
        for (name, shown) in [("scope", "for this tool"), ("task", "task")] {
            member(&mut out, leaf, name, shown, width);
        }
    }
    out
}

/// The run that handed the work over, and the text that went with it.
pub(super) fn handed_over(answer: &Value, width: usize) -> String {
    let mut out = String::new();
    member(&mut out, answer, "parent_run", "handed over by run", width);
    member(&mut out, answer, "handoff", "handed over", width);
    out
}

/// What has been revoked since the decision.
pub(super) fn revoked_since(answer: &Value, width: usize) -> String {
    let mut out = String::new();
    for revoked in answer.get("revocations").map_or(&[][..], |part| rows(part, "now")) {
        let in_doubt = revoked.get("in_doubt").and_then(Value::as_bool) == Some(true);
        let doubt = if in_doubt { "; this action is in doubt" } else { "" };
        let told = format!(
            "@{} {} from {} on: {}{doubt}",
            number(revoked, "index"),
            string(revoked, "what"),
            time(number(revoked, "eff").saturating_mul(1_000)),
            loose(revoked, "why", ""),
        );
        tree::line(&mut out, "revoked since", &paint(WARN, &safe(&told)), "", 1, width);
    }
    out
}

fn mandate(answer: &Value, width: usize) -> String {
    let Some(mandate) = answer.get("mandate").filter(|mandate| mandate.is_object()) else {
        return String::new();
    };
    let mut out = format!("\n{}\n", paint(HEAD, "↓ Mandate"));
    let told = "a machine asked, under a standing authority; nobody was asked for this act";
    tree::line(&mut out, "standing", &paint(WARN, told), "", 1, width);
    if let Some(index) = mandate.get("index").and_then(Value::as_u64) {
        tree::line(&mut out, "entry", &format!("@{index}"), "", 1, width);
    }
    for (name, shown) in [("principal", "given by"), ("holder", "may ask")] {
        member(&mut out, mandate, name, shown, width);
    }
    tree::line(&mut out, "until", &time(number(mandate, "exp").saturating_mul(1_000)), "", 1, width);
    tree::line(&mut out, "digest", &safe(&loose(mandate, "digest", "")), "", 1, width);
    out
}

fn add_link(out: &mut String, link: &Value, is_root: bool, width: usize) {
    if let Some(index) = link.get("index").and_then(Value::as_u64) {
        tree::line(out, "entry", &format!("@{index}"), "", 1, width);
    }
    member(out, link, "delegator", "given by", width);
    member(out, link, "holder", "to", width);
    tree::line(out, "tools", &tools(link), "", 1, width);
    let narrowed: Vec<&str> = rows(link, "narrowed").iter().filter_map(Value::as_str).collect();
    for (n, text) in narrowed.iter().enumerate() {
        tree::line(out, if n == 0 { "narrower" } else { "" }, &safe(text), "", 1, width);
    }
    if narrowed.is_empty() && !is_root {
        tree::line(out, "narrower", "in nothing but its time", "", 1, width);
    }
    tree::line(out, "until", &time(number(link, "exp").saturating_mul(1_000)), "", 1, width);
    member(out, link, "purpose", "purpose", width);
    let deeper = number(link, "max_depth").saturating_sub(number(link, "depth"));
    tree::line(out, "links below", &format!("at most {deeper}"), "", 1, width);
    if link.get("shares_key").and_then(Value::as_bool) == Some(true) {
        let told = "that of a link above: the two holders cannot be told apart";
        tree::line(out, "key", &paint(WARN, told), "", 1, width);
    } else {
        tree::line(out, "key", &safe(&loose(link, "key", "")), "", 1, width);
    }
    tree::line(out, "digest", &safe(&loose(link, "digest", "")), "", 1, width);
    let checks = rows(link, "checks").iter();
    let checks: Vec<String> =
        checks.map(|check| format!("{}: {}", string(check, "what"), string(check, "check"))).collect();
    if !checks.is_empty() {
        tree::line(out, "checked", &safe(&checks.join("; ")), "", 1, width);
    }
}

/// A fact with its labels, or a plain value.
fn member(out: &mut String, json: &Value, name: &str, shown: &str, width: usize) {
    let Some(found) = json.get(name).filter(|found| !found.is_null()) else { return };
    match Fact::read(found) {
        Some(fact) if fact.is_absent() => {}
        Some(fact) => {
            let value = match fact.missing() {
                Some(why) => paint(WARN, &why),
                None => in_words(name, fact.value()),
            };
            tree::line(out, shown, &value, &fact.labels(), 1, width);
        }
        None => tree::line(out, shown, &in_words(name, found), "", 1, width),
    }
}

/// A principal or a holder in words, whatever it is called here; anything else by its name.
fn in_words(name: &str, value: &Value) -> String {
    let is = |name: &str| value.get(name).is_some_and(Value::is_string);
    let name = if is("sub") {
        "principal"
    } else if is("asr") {
        "holder"
    } else {
        name
    };
    describe::value(name, value)
}

fn tools(link: &Value) -> String {
    let names: Vec<String> = match link.get("scope") {
        Some(Value::Object(tools)) => tools.keys().cloned().collect(),
        _ => rows(link, "scope").iter().filter_map(Value::as_str).map(str::to_owned).collect(),
    };
    let more = names.len().saturating_sub(TOOLS_MAX);
    let mut shown: Vec<&str> = names.iter().take(TOOLS_MAX).map(|uri| tool(uri)).collect();
    let rest = format!("and {more} more");
    if more > 0 {
        shown.push(&rest);
    }
    safe(&shown.join(", ")).into_owned()
}

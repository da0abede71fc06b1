//! Delegations as a tree: mandate, roots, children; what each was used for, and what never was.

use serde_json::Value;

use super::fact::{Fact, loose};
use super::lists::{further, margin, number, rows, string, tool};
use super::style::{DIM, HEAD, WARN, of_word, paint};
use super::text::{count, item, safe, time};

/// Deepest tree that is laid out: a mandate above the deepest chain.
const DEPTH_MAX: usize = 10;

/// `deeds delegations`; `again` is the command that the answer came from.
pub(crate) fn page(answer: &Value, width: usize, again: &str) -> String {
    let list = rows(answer, "tree");
    let below = further(answer, again) + &margin(answer, width);
    if list.is_empty() {
        return format!("No delegations match.\n{below}");
    }
    let mut out = String::new();
    for node in list {
        add_node(&mut out, node, 0, width);
    }
    out + &below
}

fn add_node(out: &mut String, node: &Value, depth: usize, width: usize) {
    let indent = 2 * depth;
    out.push_str(&item(&heading(node, depth), indent, width));
    for (style, note) in notes(node) {
        out.push_str(&item(&paint(style, &safe(&note)), indent + 4, width));
    }
    let children = rows(node, "children");
    if depth < DEPTH_MAX {
        for child in children {
            add_node(out, child, depth + 1, width);
        }
    } else if !children.is_empty() {
        let more = count(children.len() as u64, "delegation", "delegations");
        out.push_str(&item(&format!("and {more} below"), indent + 2, width));
    }
}

fn heading(node: &Value, depth: usize) -> String {
    let mark = if depth == 0 { "" } else { "└ " };
    let at = node.get("index").and_then(Value::as_u64).map(|at| format!("@{at}")).unwrap_or_default();
    let who = match string(node, "kind").as_str() {
        "mandate" => format!("mandate of {} for {}", loose(node, "principal", "/sub"), services(node)),
        "root" => format!("{} for {}", loose(node, "holder", "/id"), loose(node, "principal", "/sub")),
        _ => loose(node, "holder", "/id"),
    };
    let state = string(node, "state");
    format!(
        "{mark}{} {}: {}, until {}",
        paint(HEAD, &at),
        safe(&who),
        paint(of_word(&state), &safe(&state)),
        time(number(node, "exp").saturating_mul(1_000)),
    )
}

/// Who may ask for roots under a mandate.
fn services(node: &Value) -> String {
    let named = node.get("holder").and_then(Fact::read);
    let named = named.as_ref().and_then(|fact| fact.value().as_array());
    let named: Vec<&str> = named.into_iter().flatten().filter_map(Value::as_str).collect();
    if named.is_empty() { "services that are not known".to_owned() } else { named.join(", ") }
}

fn notes(node: &Value) -> Vec<(anstyle::Style, String)> {
    let mut notes = Vec::new();
    let (state, why) = (string(node, "state"), loose(node, "why", ""));
    // of one that has not begun or has ended, the times say it
    if !["live", "not-yet", "expired"].contains(&state.as_str()) {
        notes.push((WARN, why));
    }
    let purpose = loose(node, "purpose", "");
    if purpose == evidence::delegation::BREAK_GLASS {
        notes.push((super::style::BAD, "BREAK-GLASS".to_owned()));
    } else if !purpose.is_empty() {
        notes.push((DIM, format!("purpose: {purpose}")));
    }
    let (used, below, refused) = (number(node, "used"), number(node, "used_below"), number(node, "refused"));
    let acts = |n: u64| count(n, "act", "acts");
    let mut use_words = match (string(node, "kind").as_str(), below) {
        // nobody acts under a mandate itself
        ("mandate", below) => vec![format!("{} below", acts(below))],
        (_, 0) => vec![format!("used for {}", acts(used))],
        (_, below) => vec![format!("used for {}, {below} below", acts(used))],
    };
    if refused > 0 {
        use_words.push(format!("{refused} denied"));
    }
    notes.push((DIM, use_words.join(", ")));
    let unused: Vec<&str> = rows(node, "unused").iter().filter_map(Value::as_str).map(tool).collect();
    if !unused.is_empty() {
        notes.push((WARN, format!("never used: {}", unused.join(", "))));
    }
    notes.push((DIM, labelled("digest", &string(node, "digest"))));
    notes.push((DIM, labelled("key", &loose(node, "holder", "/key"))));
    notes.retain(|(_, note)| !note.is_empty());
    notes
}

/// What can be revoked, with its name; nothing where there is none.
fn labelled(name: &str, value: &str) -> String {
    if value.is_empty() { String::new() } else { format!("{name}: {value}") }
}

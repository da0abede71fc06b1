//! Every key, principal and holder that was seen.

use serde_json::Value;

use super::fact::{Fact, loose};
use super::lists::{further, margin, number, position, rows, string, tool, word};
use super::style::{DIM, WARN};
use super::table::{Row, cell, draw_id, right, styled, whole};
use super::text::{age, count};

/// The column of ids.
const ID: usize = 2;

/// `deeds identities`; `again` is the command that the answer came from.
pub(crate) fn table(answer: &Value, width: usize, again: &str) -> String {
    let list = rows(answer, "identities");
    let below = further(answer, again) + &margin(answer, width);
    if list.is_empty() {
        return format!("No identities were seen yet.\n{below}");
    }
    let head = [
        whole("LAST"),
        whole("WHAT"),
        right("ID"),
        whole("KIND"),
        whole("LABEL"),
        whole("AGE"),
        right("OWNER"),
        whole("HOLDS"),
        whole("STATE"),
    ];
    format!("{}{below}", draw_id(&head, ID, list.iter().map(row).collect(), width))
}

fn row(identity: &Value) -> Row {
    let held = amount(identity, "delegations");
    let owner = owner(identity);
    let row = Row::from(vec![
        position(identity.get("last_index")),
        cell(string(identity, "what")),
        cell(loose(identity, "id", "")),
        cell(loose(identity, "kind", "")),
        word(loose(identity, "label", "")),
        cell(age(number(identity, "age_ms"))),
        match &owner {
            Some(owner) => cell(owner.clone()),
            None => styled("nobody", WARN),
        },
        cell(held.to_string()),
        word(loose(identity, "state", "")),
    ]);
    notes(identity).into_iter().fold(row, Row::note)
}

fn notes(identity: &Value) -> Vec<super::table::Cell> {
    let mut notes = Vec::new();
    let never: Vec<&str> = rows(identity, "never_used").iter().filter_map(Value::as_str).map(tool).collect();
    if !never.is_empty() {
        notes.push(styled(format!("granted and never used: {}", never.join(", ")), WARN));
    }
    let shared = amount(identity, "shared");
    if shared > 1 {
        let runs = count(shared, "run", "runs");
        notes.push(styled(format!("one key for {runs}: they cannot be told apart"), WARN));
    }
    let granted = amount(identity, "granted");
    if granted > 0 {
        let runs = count(amount(identity, "runs"), "run", "runs");
        notes.push(styled(format!("{} granted, {runs}", count(granted, "tool", "tools")), DIM));
    }
    notes
}

/// The registered principal behind it.
fn owner(identity: &Value) -> Option<String> {
    let fact = Fact::read(identity.get("owner")?)?;
    fact.value().get("sub").and_then(Value::as_str).map(str::to_owned)
}

/// A number, or how many a list has.
fn amount(json: &Value, name: &str) -> u64 {
    match json.get(name) {
        Some(Value::Array(list)) => list.len() as u64,
        _ => number(json, name),
    }
}

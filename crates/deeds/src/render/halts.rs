//! Halts in force.

use serde_json::Value;

use super::fact::loose;
use super::lists::{margin, position, rows, string};
use super::style::{BAD, DIM};
use super::table::{Row, cell, draw, right, styled, whole};
use super::text::time;

/// Whom a halt stops, from its JSON.
pub(crate) fn whom(on: &Value) -> String {
    let text = |name: &str| on.get(name).and_then(Value::as_str).unwrap_or_default();
    match text("t") {
        "agent" => format!("{} (whoever acts under this name)", text("id")),
        "principal" => format!("{} (all who act for this principal)", text("sub")),
        "all" => "all (everybody)".to_owned(),
        _ => on.to_string(),
    }
}

/// `deeds halts`
pub(crate) fn table(answer: &Value, width: usize) -> String {
    let list = rows(answer, "halts");
    let below = margin(answer, width);
    if list.is_empty() {
        return format!("Nobody is halted.\n{below}");
    }
    let row = |halt: &Value| {
        let at_ms = halt.get("at_ms").and_then(Value::as_u64);
        Row::from(vec![
            position(halt.get("index")),
            cell(at_ms.map(time).unwrap_or_default()),
            styled(halt.get("on").map(whom).unwrap_or_default(), BAD),
            cell(loose(halt, "by", "/sub")),
        ])
        .note(styled(string(halt, "why"), DIM))
    };
    let head = [whole("ENTRY"), whole("SINCE"), right("HALTED"), right("BY")];
    let lift = "Lift one with `deeds resume @ENTRY --as KEYFILE --why …`.\n";
    format!("{}{lift}{below}", draw(&head, list.iter().map(row).collect(), width))
}

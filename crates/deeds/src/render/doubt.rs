//! Actions that a revocation puts in doubt.

use serde_json::Value;

use super::fact::loose;
use super::lists::{margin, number, position, rows, tool, word};
use super::style::{DIM, GOOD, WARN, paint};
use super::table::{Row, cell, draw, left, whole};
use super::text::{count, time};

/// `deeds doubt`, and what `deeds revoke` shows after it.
pub(crate) fn page(answer: &Value, width: usize) -> String {
    let list = rows(answer, "actions");
    let n = answer.get("count").and_then(Value::as_u64).unwrap_or(list.len() as u64);
    let below = margin(answer, width);
    if n == 0 {
        return format!("{}\n{below}", paint(GOOD, "No action is in doubt."));
    }
    let row = |action: &Value| {
        Row::from(vec![
            position(action.get("index")),
            cell(time(number(action, "at_ms"))),
            cell(loose(action, "holder", "/id")),
            cell(tool(&loose(action, "tool", ""))),
            word(loose(action, "status", "")),
        ])
    };
    let head = [whole("ENTRY"), whole("TIME"), left("AGENT"), left("TOOL"), whole("OUTCOME")];
    let told = format!(
        "{} in doubt: allowed before this revocation was known.",
        count(n, "action is", "actions are")
    );
    let more = paint(DIM, "Ask `deeds authority @ENTRY` who stands behind one of them.");
    format!("{}\n{}{below}{more}\n", paint(WARN, &told), draw(&head, list.iter().map(row).collect(), width))
}

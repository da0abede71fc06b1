//! Limits on arguments, in words.

use evidence::Scope;
use evidence::scope::Row;
use serde_json::{Map, Value};

/// `host: text that starts with "ws-"; note: anything (optional)`, or `any arguments`.
pub(crate) fn row(row: &Row) -> String {
    if row.is_empty() {
        return "any arguments".to_owned();
    }
    let one = |(name, constraint): (&String, &evidence::scope::Constraint)| {
        let optional = if constraint.is_optional() { " (optional)" } else { "" };
        format!("{name}{optional}: {}", constraint.describe())
    };
    row.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// The same from the JSON of an answer; what is no row of a tools object is shown as it is.
pub(crate) fn of_json(json: &Map<String, Value>) -> String {
    const TOOL: &str = "server#tool";
    let tools = Value::Object(Map::from_iter([(TOOL.to_owned(), Value::Object(json.clone()))]));
    let scope = Scope::parse(&tools).ok();
    match scope.as_ref().and_then(|scope| scope.row(TOOL)) {
        Some(found) => row(found),
        None => Value::Object(json.clone()).to_string(),
    }
}

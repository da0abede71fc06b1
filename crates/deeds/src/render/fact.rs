//! Facts: `{value, missing?, assurance?, check, index?}` as the server answers them.

use serde_json::Value;

use super::style::{DIM, WARN, of_word, paint};
use super::text::safe;

/// One fact of an answer, read from its JSON.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fact<'a> {
    value: &'a Value,
    missing: Option<&'a str>,
    assurance: Option<&'a str>,
    check: &'a str,
    index: Option<u64>,
}

impl<'a> Fact<'a> {
    /// The fact in a JSON object with `value` and `check`; nothing for other JSON.
    pub(crate) fn read(json: &'a Value) -> Option<Self> {
        let text = |name| json.get(name).and_then(Value::as_str);
        Some(Self {
            value: json.get("value")?,
            missing: text("missing"),
            assurance: text("assurance"),
            check: text("check")?,
            index: json.get("index").and_then(Value::as_u64),
        })
    }

    /// What is known.
    pub(crate) fn value(&self) -> &'a Value {
        self.value
    }

    /// Whether there is nothing of the kind, as opposed to something that is not known.
    pub(crate) fn is_absent(&self) -> bool {
        self.missing == Some("none")
    }

    /// Why nothing is known, in words.
    pub(crate) fn missing(&self) -> Option<String> {
        let word = self.missing?;
        let why = self.value.get("unknown").and_then(Value::as_str);
        Some(why.map_or_else(|| safe(word).into_owned(), |why| format!("unknown: {}", safe(why))))
    }

    /// Its labels in brackets: how it is known, what was checked, which entry says it.
    pub(crate) fn labels(&self) -> String {
        let mut words: Vec<String> = Vec::new();
        words.extend(self.assurance.map(str::to_owned));
        words.push(self.check.to_owned());
        words.extend(self.index.map(|index| format!("@{index}")));
        let weak = self.assurance.is_some_and(|word| of_word(word) == WARN);
        let style = if weak { WARN } else { DIM };
        paint(style, &format!("[{}]", safe(&words.join(", "))))
    }
}

/// The value of a fact at a JSON pointer below it, as text; for table cells.
pub(crate) fn text(json: &Value, member: &str, pointer: &str) -> String {
    let fact = json.get(member).and_then(Fact::read);
    let Some(fact) = fact else { return String::new() };
    match fact.value.pointer(pointer) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => fact.missing.filter(|why| *why != "none").unwrap_or_default().to_owned(),
        Some(other) => other.to_string(),
    }
}

/// As [`text`], of a member that is a fact or the value itself.
pub(crate) fn loose(json: &Value, member: &str, pointer: &str) -> String {
    let Some(found) = json.get(member) else { return String::new() };
    if Fact::read(found).is_some() {
        return text(json, member, pointer);
    }
    // of a plain text there is nothing below
    let value = if found.is_object() { found.pointer(pointer) } else { Some(found) };
    match value {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    }
}

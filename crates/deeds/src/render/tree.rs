//! Any answer as an indented list of names and values, facts with their labels.

use serde_json::Value;

use super::describe;
use super::fact::Fact;
use super::style::{DIM, HEAD, WARN, of_word, paint};
use super::text::{add, safe, wrap};

/// Columns that names take.
const NAME: usize = 18;
/// Fewest columns that values get.
const VALUE_MIN: usize = 30;
/// Deepest nesting that is laid out; what is deeper is printed as JSON.
const DEPTH_MAX: usize = 6;

/// All members of an object, one line or block each.
pub(crate) fn members(json: &Value, width: usize) -> String {
    let mut out = String::new();
    block(&mut out, json, 0, width);
    out
}

/// One named fact or value.
pub(crate) fn member(out: &mut String, name: &str, json: &Value, depth: usize, width: usize) {
    let shown = readable(name);
    if let Some(fact) = Fact::read(json) {
        return self::fact(out, name, &fact, depth, width);
    }
    match json {
        Value::Null => {}
        Value::Array(list) if list.iter().any(Value::is_object) && depth < DEPTH_MAX => {
            heading(out, &shown, depth);
            for (n, item) in list.iter().enumerate() {
                // a field of an entry is a fact that has its name with it
                if let (Some(name), Some(fact)) = (item.get("name").and_then(Value::as_str), Fact::read(item))
                {
                    self::fact(out, name, &fact, depth + 1, width);
                    continue;
                }
                heading(out, &format!("{}.", n + 1), depth + 1);
                block(out, item, depth + 2, width);
            }
        }
        Value::Object(members)
            if depth < DEPTH_MAX && describe::value(name, json) == safe(&json.to_string()) =>
        {
            if !members.is_empty() {
                heading(out, &shown, depth);
                block(out, json, depth + 1, width);
            }
        }
        _ => line(out, &shown, &plain(name, json), "", depth, width),
    }
}

/// One fact: name, value, labels. What there is none of is left out.
pub(crate) fn fact(out: &mut String, name: &str, fact: &Fact<'_>, depth: usize, width: usize) {
    if fact.is_absent() {
        return;
    }
    let value = match fact.missing() {
        Some(why) => paint(WARN, &why),
        None => plain(name, fact.value()),
    };
    line(out, &readable(name), &value, &fact.labels(), depth, width);
}

/// A name of the API as words; a time says so by itself.
fn readable(name: &str) -> String {
    safe(name.strip_suffix("_ms").unwrap_or(name)).replace('_', " ")
}

fn plain(name: &str, json: &Value) -> String {
    let words = describe::value(name, json);
    let style = of_word(&words);
    if style == super::style::PLAIN { words } else { paint(style, &words) }
}

fn block(out: &mut String, json: &Value, depth: usize, width: usize) {
    match json {
        Value::Object(members) => {
            for (name, value) in members {
                member(out, name, value, depth, width);
            }
        }
        other => line(out, "", &plain("", other), "", depth, width),
    }
}

fn heading(out: &mut String, text: &str, depth: usize) {
    add(out, format_args!("{}{}\n", "  ".repeat(depth), paint(HEAD, text)));
}

/// A name, its value wrapped beside it, labels after it or on a line of their own.
pub(crate) fn line(out: &mut String, name: &str, value: &str, labels: &str, depth: usize, width: usize) {
    let indent = "  ".repeat(depth);
    let column = indent.chars().count() + NAME + 1;
    let room = width.saturating_sub(column).max(VALUE_MIN);
    let mut lines = wrap(value, room);
    let visible = |text: &str| anstream::adapter::strip_str(text).to_string().chars().count();
    if !labels.is_empty() {
        match lines.last_mut() {
            Some(last) if visible(last) + 2 + visible(labels) <= room => *last = format!("{last}  {labels}"),
            _ => lines.push(labels.to_owned()),
        }
    }
    let name = format!("{name:NAME$}");
    for (n, text) in lines.iter().enumerate() {
        let left = if n == 0 { paint(DIM, &name) } else { " ".repeat(NAME) };
        add(out, format_args!("{indent}{left} {text}\n"));
    }
}

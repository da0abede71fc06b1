//! The arguments of a call as string tags, the generic carrier by which policies see them.
//!
//! Every scalar becomes one tag. Its name is the way to it: object keys joined by `.`, array
//! positions as `[0]`; `path`, `options.recursive`, `edits[2].oldText`. Every array has a tag
//! `<name>.count` besides. A `.`, `[` or `\` inside a key is written with a `\` before it, so no
//! two arguments share a name. Text stays as it is, numbers are their JCS text (RFC 8785),
//! `true`, `false` and `null` themselves.
//!
//! Strings that name paths (see [`is_path_key`]) have a tag `<name>.norm` besides: the path in the
//! normal form of [`normalise_path`], which is the one that policies should compare. A call whose
//! path has no normal form is refused, and so is one whose own arguments would occupy such a name.
//!
//! An array of paths (`paths`, or one under a name of a path) has `<name>.norm` for all of them at once: a line
//! break, each element's normal form and a line break after it. So `"*\n/srv/secret/*"` asks whether any of them
//! is under `/srv/secret`, however many there are. Where that tag is, a line break inside an element refuses the
//! call: it could pass one path off as two, or hide where one begins.

use std::collections::BTreeMap;

use serde_json::{Number, Value};

use crate::decision::{Refusal, reason};
use crate::error::shorten;
use crate::limits::{ARG_DEPTH_MAX, ARG_NAME_MAX, ARG_TAGS_MAX, ARG_VALUE_MAX, ARGS_TOTAL_MAX, INTEGER_MAX};
use crate::path::normalise_path;

/// Flattens an argument object into tags.
///
/// # Errors
/// A refusal with `args-limit`, `args-invalid` or `path-escapes`.
pub(crate) fn flatten(args: &Value, root: Option<&str>) -> Result<BTreeMap<String, String>, Refusal> {
    let Value::Object(members) = args else {
        return Err(Refusal::new(reason::ARGS_INVALID, "the arguments are not a JSON object"));
    };
    let mut walk = Walk { root, tags: BTreeMap::new(), total: 0 };
    for (key, value) in members {
        walk.value(escape(key), role_of(key), value, 1)?;
    }
    Ok(walk.tags)
}

/// What the name of a value says about the strings in it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Plain,
    /// The value is a path.
    Path,
    /// The elements of the value are paths.
    Paths,
}

/// Whether a string argument of this name is a path.
fn is_path_key(key: &str) -> bool {
    matches!(key, "path" | "file" | "filename" | "dir" | "directory" | "source" | "destination")
        || key.ends_with("_path")
}

fn role_of(key: &str) -> Role {
    match key {
        "paths" => Role::Paths,
        key if is_path_key(key) => Role::Path,
        _ => Role::Plain,
    }
}

fn escape(key: &str) -> String {
    let mut name = String::with_capacity(key.len());
    for c in key.chars() {
        if matches!(c, '.' | '[' | '\\') {
            name.push('\\');
        }
        name.push(c);
    }
    name
}

struct Walk<'a> {
    root: Option<&'a str>,
    tags: BTreeMap<String, String>,
    total: usize,
}

impl Walk<'_> {
    /// `depth` is the number of objects and arrays around the value.
    fn value(&mut self, name: String, role: Role, value: &Value, depth: usize) -> Result<(), Refusal> {
        match value {
            Value::Null => self.put(name, "null".to_owned()),
            Value::Bool(flag) => self.put(name, flag.to_string()),
            Value::Number(number) => {
                let text = number_text(&name, number)?;
                self.put(name, text)
            }
            Value::String(text) => self.text(name, role, text),
            Value::Array(items) => self.array(&name, role, items, depth).map(drop),
            Value::Object(members) => {
                check_depth(&name, depth)?;
                for (key, member) in members {
                    // Here alone could an argument pass itself off as a normal form.
                    if key == "norm" && role != Role::Plain {
                        return Err(refuse_reserved(&name));
                    }
                    self.value(format!("{name}.{}", escape(key)), role_of(key), member, depth + 1)?;
                }
                Ok(())
            }
        }
    }

    /// The normal form of every path in the array, those of arrays inside it too, each with a line break after it;
    /// nothing when the elements are no paths.
    fn array(&mut self, name: &str, role: Role, items: &[Value], depth: usize) -> Result<String, Refusal> {
        check_depth(name, depth)?;
        self.put(format!("{name}.count"), items.len().to_string())?;
        let of_items = if role == Role::Plain { Role::Plain } else { Role::Path };
        let mut lines = String::new();
        for (at, item) in items.iter().enumerate() {
            let of_item = format!("{name}[{at}]");
            match item {
                Value::Array(inner) => lines.push_str(&self.array(&of_item, of_items, inner, depth + 1)?),
                Value::String(text) if of_items == Role::Path => {
                    lines.push_str(&self.line(&of_item, text)?);
                    self.text(of_item, of_items, text)?;
                }
                other => self.value(of_item, of_items, other, depth + 1)?,
            }
        }
        if of_items == Role::Path {
            self.put(format!("{name}.norm"), format!("\n{lines}"))?;
        }
        Ok(lines)
    }

    /// The normal form of one path among several, and a line break.
    fn line(&self, name: &str, text: &str) -> Result<String, Refusal> {
        let norm = self.normal_form(name, text)?;
        if norm.contains('\n') {
            return Err(refuse_path(name, text, "contains a line break; name such a path alone"));
        }
        Ok(format!("{norm}\n"))
    }

    fn text(&mut self, name: String, role: Role, text: &str) -> Result<(), Refusal> {
        if role == Role::Path {
            let norm = self.normal_form(&name, text)?;
            self.put(format!("{name}.norm"), norm)?;
        }
        self.put(name, text.to_owned())
    }

    fn normal_form(&self, name: &str, text: &str) -> Result<String, Refusal> {
        normalise_path(text, self.root).map_err(|error| refuse_path(name, text, &error.to_string()))
    }

    fn put(&mut self, name: String, value: String) -> Result<(), Refusal> {
        let shown = || shorten(&name, 120);
        if name.len() > ARG_NAME_MAX {
            let text = format!("the name of argument `{}` is longer than {ARG_NAME_MAX} bytes", shown());
            return Err(Refusal::new(reason::ARGS_LIMIT, text));
        }
        if value.len() > ARG_VALUE_MAX {
            let text = format!("argument `{}` has {} bytes, more than {ARG_VALUE_MAX}", shown(), value.len());
            return Err(Refusal::new(reason::ARGS_LIMIT, text));
        }
        self.total += name.len() + value.len();
        if self.total > ARGS_TOTAL_MAX {
            let text = format!("the arguments have more than {ARGS_TOTAL_MAX} bytes together");
            return Err(Refusal::new(reason::ARGS_LIMIT, text));
        }
        if self.tags.len() >= ARG_TAGS_MAX {
            let text = format!("the arguments have more than {ARG_TAGS_MAX} values");
            return Err(Refusal::new(reason::ARGS_LIMIT, text));
        }
        self.tags.insert(name, value);
        Ok(())
    }
}

fn check_depth(name: &str, depth: usize) -> Result<(), Refusal> {
    if depth < ARG_DEPTH_MAX {
        return Ok(());
    }
    let text = format!("argument `{}` is nested deeper than {ARG_DEPTH_MAX}", shorten(name, 120));
    Err(Refusal::new(reason::ARGS_LIMIT, text))
}

fn refuse_path(name: &str, path: &str, why: &str) -> Refusal {
    let (name, path) = (shorten(name, 120), shorten(path, 120));
    Refusal::new(reason::PATH_ESCAPES, format!("argument `{name}`: path `{path}` {why}"))
}

fn refuse_reserved(name: &str) -> Refusal {
    let name = shorten(name, 120);
    let text = format!("argument `{name}` holds a member `norm`, a name kept for its resolved path");
    Refusal::new(reason::ARGS_INVALID, text)
}

/// The JCS text of a number. Beyond ±2^53 readers disagree on which integer the digits are, and a
/// policy could judge another number than the tool gets.
fn number_text(name: &str, number: &Number) -> Result<String, Refusal> {
    let exact = match (number.as_u64(), number.as_i64()) {
        (Some(n), _) => n <= INTEGER_MAX,
        (_, Some(n)) => n.unsigned_abs() <= INTEGER_MAX,
        (None, None) => true,
    };
    let refuse = |why: &str| {
        let name = shorten(name, 120);
        Refusal::new(reason::ARGS_INVALID, format!("argument `{name}`: number `{number}` {why}"))
    };
    if !exact {
        return Err(refuse("is beyond ±2^53, where readers disagree; send it as a string"));
    }
    serde_json_canonicalizer::to_string(number).map_err(|_| refuse("has no canonical form"))
}

#[cfg(test)]
#[path = "args/tests.rs"]
mod tests;

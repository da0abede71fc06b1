//! Pins put into the text of a class table: into the rows that are there, and below for what has none. Everything else
//! stays byte for byte.

use std::ops::Range;

use anyhow::{Context as _, anyhow};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::render::pin::{Pins, ToolPin, quoted, server_row, tool_row};

/// A class table with pins.
#[derive(Debug)]
pub(super) struct Put {
    pub(super) text: String,
    /// Rows that say something else than before.
    pub(super) changed: u64,
    /// Rows that were not there.
    pub(super) added: u64,
    /// Tools among those of which nobody has said what they do.
    pub(super) unclassified: u64,
}

/// A piece of the text, and what takes its place.
type Edit = (Range<usize>, String);

/// Puts the digests into a class table. The row of a tool gets its `definition`, and `pinned = true` unless it says
/// otherwise. The row of a server gets the digests that it names: which ones hold it is its owner's choice.
///
/// # Errors
/// When the text is not TOML.
pub(super) fn put(text: &str, pins: &[Pins]) -> anyhow::Result<Put> {
    let root = DeTable::parse(text).map_err(|error| {
        let before = error.span().and_then(|at| text.get(..at.start));
        let line = before.map_or(1, |before| before.matches('\n').count() + 1);
        anyhow!("the class table is not TOML: line {line}: {}", error.message())
    })?;
    let root = root.get_ref();
    let (mut edits, mut below) = (Vec::new(), String::new());
    let (mut changed, mut added, mut unclassified) = (0, 0, 0);
    for pins in pins {
        match row(root, "server", &pins.uri) {
            Some(row) => {
                let made = of_server(row, pins);
                changed += u64::from(!made.is_empty());
                edits.extend(made);
            }
            None if pins.facts.is_empty() => {}
            None => {
                server_row(&mut below, pins);
                added += 1;
            }
        }
        for tool in &pins.tools {
            if let Some(row) = row(root, "tool", &tool.uri) {
                let made = of_tool(text, row, tool)
                    .with_context(|| format!("cannot edit the row of `{}`", tool.uri))?;
                changed += u64::from(!made.is_empty());
                edits.extend(made);
            } else {
                let new = new_tool(root, pins, tool);
                unclassified += u64::from(new.classes.is_empty());
                tool_row(&mut below, &new);
                added += 1;
            }
        }
    }
    Ok(Put { text: edited(text, edits, &below), changed, added, unclassified })
}

/// From the last to the first, so that each stands where it did when it was made.
fn edited(text: &str, mut edits: Vec<Edit>, below: &str) -> String {
    edits.sort_by_key(|(at, _)| std::cmp::Reverse(at.start));
    let mut out = text.to_owned();
    for (at, new) in edits {
        out.replace_range(at, &new);
    }
    if !below.is_empty() && !out.ends_with('\n') && !out.is_empty() {
        out.push('\n');
    }
    out + below
}

/// The row of a list that is about this.
fn row<'a, 'b>(root: &'a DeTable<'b>, list: &str, uri: &str) -> Option<&'a Spanned<DeValue<'b>>> {
    let is_about = |row: &&Spanned<DeValue<'_>>| {
        let own = row.get_ref().as_table().and_then(|row| row.get("uri")?.get_ref().as_str());
        own == Some(uri)
    };
    root.get(list)?.get_ref().as_array()?.iter().find(is_about)
}

/// The digests that the row names and that differ.
fn of_server(row: &Spanned<DeValue<'_>>, pins: &Pins) -> Vec<Edit> {
    let Some(table) = row.get_ref().as_table() else { return Vec::new() };
    let differing = pins.facts.iter().filter_map(|(fact, digest)| {
        let value = table.get(*fact)?;
        (value.get_ref().as_str() != Some(digest)).then(|| (value.span(), quoted(digest)))
    });
    differing.collect()
}

/// The definition in its place, or behind what the row says first. Nothing where there is no such place.
fn of_tool(text: &str, row: &Spanned<DeValue<'_>>, tool: &ToolPin) -> Option<Vec<Edit>> {
    let table = row.get_ref().as_table()?;
    let mut edits = Vec::new();
    let mut missing = Vec::new();
    match table.get("definition") {
        Some(value) if value.get_ref().as_str() == Some(&tool.definition) => {}
        Some(value) => edits.push((value.span(), quoted(&tool.definition))),
        None => missing.push(format!("definition = {}", quoted(&tool.definition))),
    }
    if !table.contains_key("pinned") {
        missing.push("pinned = true".to_owned());
    }
    if missing.is_empty() {
        return Some(edits);
    }
    let anchors = ["uri", "classes"].into_iter().filter_map(|name| table.get_key_value(name));
    let (key, value) = anchors.max_by_key(|(_, value)| value.span().end)?;
    let end = value.span().end;
    let new = if text.get(row.span())?.starts_with('{') {
        (end, missing.iter().map(|line| format!(", {line}")).collect::<Vec<_>>().concat())
    } else {
        // lines of their own below that of the anchor, as far to the right; a comment behind it stays where it is
        let start = text.get(..key.span().start)?.rfind('\n').map_or(0, |at| at + 1);
        let indent: String =
            text.get(start..key.span().start)?.chars().take_while(|c| c.is_whitespace()).collect();
        let rest = text.get(end..)?;
        let line = rest.split('\n').next()?;
        let (line, newline) = line.strip_suffix('\r').map_or((line, "\n"), |line| (line, "\r\n"));
        let lines: Vec<String> = missing.iter().map(|line| format!("{newline}{indent}{line}")).collect();
        (end + line.len(), lines.concat())
    };
    edits.push((new.0..new.0, new.1));
    Some(edits)
}

/// The row that a tool gets: with the classes of the row for all tools of its server, where this table has one, for
/// it holds them no longer for a tool with a row of its own.
fn new_tool(root: &DeTable<'_>, pins: &Pins, tool: &ToolPin) -> ToolPin {
    let all = row(root, "tool", &format!("{}#*", pins.uri))
        .and_then(|row| row.get_ref().as_table()?.get("classes"));
    let words = |value: &Spanned<DeValue<'_>>| -> Option<Vec<String>> {
        value.get_ref().as_array()?.iter().map(|word| word.get_ref().as_str().map(str::to_owned)).collect()
    };
    let classes = all.and_then(words).unwrap_or_else(|| tool.classes.clone());
    ToolPin { uri: tool.uri.clone(), classes, definition: tool.definition.clone() }
}

#[cfg(test)]
mod tests;

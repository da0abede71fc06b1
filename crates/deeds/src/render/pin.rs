//! Rows of a class table that pin what is known of a server now (`docs/policy.md`, Pinned).

use serde_json::Value;

use super::fact::loose;
use super::lists::{number, rows, string};
use super::text::add;

/// Facts of a server that a row may pin, in the order in which they are written.
const FACTS: [&str; 4] = ["command", "executable", "package", "environment"];

/// What a class table can pin of one server.
#[derive(Debug)]
pub(crate) struct Pins {
    /// Its URI: `stdio:fs`.
    pub(crate) uri: String,
    /// What it is: names of [`FACTS`] with their digest strings.
    pub(crate) facts: Vec<(&'static str, String)>,
    pub(crate) tools: Vec<ToolPin>,
}

/// What a class table can pin of one tool.
#[derive(Debug)]
pub(crate) struct ToolPin {
    pub(crate) uri: String,
    /// Those that the policy in force gives it; empty where nobody has said what it does.
    pub(crate) classes: Vec<String>,
    /// Digest string.
    pub(crate) definition: String,
}

/// What is known of a server in an answer.
pub(crate) fn pins(server: &Value) -> Pins {
    let uri = string(server, "server");
    let known: Vec<&Value> =
        rows(server, "definitions").iter().filter(|row| row.get("gone").is_none()).collect();
    let fact = |name: &'static str| {
        let found = known.iter().find(|row| string(row, "list") == "server" && string(row, "name") == name);
        let digest = found.map(|row| loose(row, "digest", "")).unwrap_or_default();
        (!digest.is_empty()).then_some((name, digest))
    };
    let tool = |row: &&Value| ToolPin {
        uri: format!("{uri}#{}", string(row, "name")),
        classes: rows(row, "pin_classes").iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        definition: loose(row, "digest", ""),
    };
    let tools = known.iter().filter(|row| string(row, "list") == "tool").map(tool).collect();
    Pins { facts: FACTS.into_iter().filter_map(fact).collect(), tools, uri }
}

/// `deeds definitions SERVER --pin`: TOML, to be appended to `classes.toml`.
pub(crate) fn table_rows(answer: &Value) -> String {
    let servers = rows(answer, "servers");
    let mut out = String::new();
    let Some(server) = servers.first() else { return out };
    let pins = pins(server);
    add(
        &mut out,
        format_args!("# what the log knew of {} at @{}\n", comment(&pins.uri), number(answer, "size")),
    );
    if servers.len() > 1 {
        let others = servers.len() - 1;
        add(
            &mut out,
            format_args!("# of {others} more under this name, started with other commands, nothing\n"),
        );
    }
    if !pins.facts.is_empty() {
        let says = "what the server itself is: every act on it is denied while one of these differs";
        add(&mut out, format_args!("\n# {says}"));
        server_row(&mut out, &pins);
    }
    if !pins.tools.is_empty() {
        add(
            &mut out,
            format_args!("\n# its tools: a call is denied while the tool is defined in another way\n"),
        );
    }
    for tool in &pins.tools {
        tool_row(&mut out, tool);
    }
    out
}

/// The row of a server, on a new line.
pub(crate) fn server_row(out: &mut String, pins: &Pins) {
    add(out, format_args!("\n[[server]]\nuri = {}\n", quoted(&pins.uri)));
    for (fact, digest) in &pins.facts {
        add(out, format_args!("{fact} = {}\n", quoted(digest)));
    }
}

/// The row of a tool, on a new line.
pub(crate) fn tool_row(out: &mut String, tool: &ToolPin) {
    let classes: Vec<String> = tool.classes.iter().map(|class| quoted(class)).collect();
    add(out, format_args!("\n[[tool]]\nuri = {}\n", quoted(&tool.uri)));
    if classes.is_empty() {
        // a row needs classes: the worst case is what it is treated as now
        add(
            out,
            format_args!(
                "classes = [\"write\", \"external\", \"untrusted\"] # nobody has said what it does\n"
            ),
        );
    } else {
        add(out, format_args!("classes = [{}]\n", classes.join(", ")));
    }
    add(out, format_args!("definition = {}\npinned = true\n", quoted(&tool.definition)));
}

/// A TOML basic string. Whatever a terminal could act on is an escape.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            ' '..='~' => out.push(c),
            c => add(&mut out, format_args!("\\U{:08X}", u32::from(c))),
        }
    }
    out.push('"');
    out
}

/// Text in a comment: nothing that ends its line.
fn comment(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_quoted_text_is_read_back_as_it_was(text in "\\PC*|[\\x00-\\x7f\\u{80}-\\u{a0}\"\\\\]*") {
            let quoted = quoted(&text);
            prop_assert!(quoted.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
            let read: toml::Table = toml::from_str(&format!("t = {quoted}")).unwrap();
            prop_assert_eq!(read["t"].as_str(), Some(text.as_str()));
        }
    }
}

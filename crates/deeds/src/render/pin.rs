//! Rows of a class table that pin what is known of a server now (`docs/policy.md`, Pinned).

use serde_json::Value;

use super::fact::loose;
use super::lists::{number, rows, string};
use super::text::add;

/// Facts of a server that a row may pin, in the order in which they are written.
const FACTS: [&str; 4] = ["command", "executable", "package", "environment"];

/// `deeds definitions SERVER --pin`: TOML, to be appended to `classes.toml`.
pub(crate) fn table_rows(answer: &Value) -> String {
    let servers = rows(answer, "servers");
    let mut out = String::new();
    let Some(server) = servers.first() else { return out };
    let uri = string(server, "server");
    add(&mut out, format_args!("# what the log knew of {} at @{}\n", comment(&uri), number(answer, "size")));
    if servers.len() > 1 {
        let others = servers.len() - 1;
        add(
            &mut out,
            format_args!("# of {others} more under this name, started with other commands, nothing\n"),
        );
    }
    let known: Vec<&Value> =
        rows(server, "definitions").iter().filter(|row| row.get("gone").is_none()).collect();
    let facts = FACTS.map(|fact| {
        let found = known.iter().find(|row| string(row, "list") == "server" && string(row, "name") == fact);
        (fact, found.map(|row| loose(row, "digest", "")).unwrap_or_default())
    });
    if facts.iter().any(|(_, digest)| !digest.is_empty()) {
        add(&mut out, format_args!("\n[[server]]\nuri = {}\n", quoted(&uri)));
        for (fact, digest) in facts.iter().filter(|(_, digest)| !digest.is_empty()) {
            add(&mut out, format_args!("{fact} = {}\n", quoted(digest)));
        }
    }
    for tool in known.iter().filter(|row| string(row, "list") == "tool") {
        tool_row(&mut out, &uri, tool);
    }
    out
}

fn tool_row(out: &mut String, server: &str, tool: &Value) {
    let uri = format!("{server}#{}", string(tool, "name"));
    let classes: Vec<String> =
        rows(tool, "pin_classes").iter().filter_map(Value::as_str).map(quoted).collect();
    add(out, format_args!("\n[[tool]]\nuri = {}\n", quoted(&uri)));
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
    add(out, format_args!("definition = {}\npinned = true\n", quoted(&loose(tool, "digest", ""))));
}

/// A TOML basic string. Whatever a terminal could act on is an escape.
fn quoted(text: &str) -> String {
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

//! What is known of each server: what it is and offers, since when, and what changed.

use serde_json::Value;

use super::beside::{change, server_name, start};
use super::fact::loose;
use super::lists::{margin, number, rows, string};
use super::style::{DIM, HEAD, WARN, paint};
use super::table::{Row, cell, draw, right, styled, whole};
use super::text::{add, item, paragraph, safe, time};

/// `deeds definitions`
pub(crate) fn page(answer: &Value, width: usize) -> String {
    let servers = rows(answer, "servers");
    let below = margin(answer, width);
    let configs = changes("Client configurations that changed", rows(answer, "client_configs"), width);
    if servers.is_empty() {
        let told = "No server has shown its definitions yet. They are recorded when a client asks a wrapped server \
                    for its tools, resources or prompts.";
        return paragraph(told, 0, width) + &configs + &below;
    }
    let mut out: String = servers.iter().map(|one| server(one, width)).collect();
    out.push_str(&configs);
    out.push_str(&below);
    let more = "`deeds definitions --pin` prints rows for `classes.toml` of a policy: what changes afterwards is denied.";
    out + &paragraph(&paint(DIM, more), 0, width)
}

fn server(server: &Value, width: usize) -> String {
    let command = loose(server, "command", "");
    let command: Vec<String> = serde_json::from_str(&command).unwrap_or_default();
    let colon = if command.is_empty() { "" } else { ":" };
    let name = paint(HEAD, &safe(server_name(&string(server, "server"))));
    let mut out = item(&format!("{name}{colon} {}", safe(&command.join(" "))), 0, width);
    add(
        &mut out,
        format_args!(
            "{}\n",
            paint(
                DIM,
                &format!("first told @{}, last told @{}", number(server, "first"), number(server, "last"))
            )
        ),
    );
    let list = rows(server, "definitions");
    let tools = list.iter().any(|row| row.get("class").is_some());
    let mut head = vec![whole("WHAT"), right("NAME"), whole("SINCE"), whole("DIGEST")];
    if tools {
        head.push(right("CLASS"));
    }
    if !list.is_empty() {
        out.push_str(&draw(&head, list.iter().map(|one| row(one, tools)).collect(), width));
    }
    out.push_str(&changes("Changed", rows(server, "changes"), width));
    out.push('\n');
    out
}

fn row(one: &Value, tools: bool) -> Row {
    let what = string(one, "list").replace('-', " ");
    let gone = one.get("gone").and_then(Value::as_u64);
    let since = one.pointer("/digest/index").and_then(Value::as_u64);
    let mut cells = vec![
        cell(what),
        cell(string(one, "name")),
        match gone {
            Some(gone) => styled(format!("gone @{gone}"), WARN),
            None => cell(since.map(|at| format!("@{at}")).unwrap_or_default()),
        },
        cell(start(&loose(one, "digest", ""))),
    ];
    if tools {
        let classified = one.pointer("/class/value/classified").and_then(Value::as_bool);
        let classes = one.pointer("/class/value/classes").and_then(Value::as_array);
        let classes: Vec<&str> = classes.into_iter().flatten().filter_map(Value::as_str).collect();
        cells.push(match classified {
            Some(false) => styled("unclassified", WARN),
            _ => cell(classes.join(", ")),
        });
    }
    Row::from(cells)
}

fn changes(heading: &str, list: &[Value], width: usize) -> String {
    if list.is_empty() {
        return String::new();
    }
    let mut out = format!("{}\n", paint(WARN, heading));
    for found in list {
        let told = format!("@{} {}: {}", number(found, "index"), time(number(found, "at_ms")), change(found));
        out.push_str(&item(&safe(&told), 2, width));
    }
    out
}

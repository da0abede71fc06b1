//! Servers in JSON: `mcpServers` (Claude, Cursor) or `servers` (VS Code).

use std::collections::BTreeMap;

use super::super::jsonc::{Member, Node, Value, parse};
use super::super::places::Layout;
use super::{
    ARGS, COMMAND, Entry, Found, Kind, List, NO_TEXT, NO_TEXTS, Room, SERVERS_MAX, SHOWN, Text, Values,
    too_many,
};

/// The servers of a file.
pub(super) fn read(text: &str, layout: Layout) -> Result<Vec<Entry>, String> {
    // a client makes no difference between a file without content and none
    if text.trim_start_matches('\u{feff}').trim().is_empty() {
        return Ok(Vec::new());
    }
    let root = parse(text)?;
    let name = list_of(layout);
    let mut entries = servers(text, &root, name, None)?;
    if layout == Layout::ClaudeCode {
        if root.is_ambiguous("projects") {
            return Err("it has `projects` twice".to_owned());
        }
        for project in root.member("projects").map_or(&[][..], |projects| projects.node.members()) {
            entries.extend(servers(text, &project.node, name, Some(&project.key))?);
            if entries.len() > SERVERS_MAX {
                return Err(too_many());
            }
        }
    }
    twice(&mut entries);
    Ok(entries)
}

/// What is odd about a file without servers: a list of them that is none.
pub(super) fn odd(text: &str, layout: Layout) -> Option<String> {
    let root = parse(text).ok()?;
    let Value::Object(_) = &root.value else { return Some("it is not an object".to_owned()) };
    let name = list_of(layout);
    match &root.member(name)?.node.value {
        Value::Object(_) => None,
        _ => Some(format!("its `{name}` is not an object with a server for each name")),
    }
}

fn list_of(layout: Layout) -> &'static str {
    if layout == Layout::Servers { "servers" } else { "mcpServers" }
}

fn servers(text: &str, node: &Node, name: &str, project: Option<&str>) -> Result<Vec<Entry>, String> {
    if node.is_ambiguous(name) {
        return Err(format!("it has `{name}` twice"));
    }
    let Some(list) = node.member(name) else { return Ok(Vec::new()) };
    if list.node.members().len() > SERVERS_MAX {
        return Err(too_many());
    }
    let one = |member: &Member| Entry {
        name: member.key.clone(),
        project: project.map(str::to_owned),
        kind: kind(text, &member.node),
        at: member.key_at.start,
    };
    Ok(list.node.members().iter().map(one).collect())
}

/// Of servers with one name in one project nobody but the client knows which counts.
fn twice(entries: &mut [Entry]) {
    let mut counts: BTreeMap<(Option<String>, String), usize> = BTreeMap::new();
    let key = |entry: &Entry| (entry.project.clone(), entry.name.clone());
    for entry in entries.iter() {
        *counts.entry(key(entry)).or_default() += 1;
    }
    for entry in entries.iter_mut().filter(|entry| counts.get(&key(entry)).is_some_and(|count| *count > 1)) {
        entry.kind = Kind::Odd("its name stands there twice".to_owned());
    }
}

/// Where the values of a file stand.
pub(super) fn values(text: &str, layout: Layout) -> Values {
    let mut values = Values::default();
    let Ok(root) = parse(text) else { return values };
    let name = list_of(layout);
    let projects = root.member("projects").map_or(&[][..], |projects| projects.node.members());
    let lists = std::iter::once(&root).chain(projects.iter().map(|project| &project.node));
    let servers = lists.filter_map(|node| node.member(name)).flat_map(|list| list.node.members());
    let members = servers.flat_map(|server| server.node.members());
    let shown = members.filter(|member| SHOWN.contains(&member.key.as_str()));
    values.shown.extend(shown.map(|member| member.node.at.clone()));
    leaves(text, &root, &mut values);
    values
}

/// As deep as the reader goes, and no deeper.
fn leaves(text: &str, node: &Node, values: &mut Values) {
    match &node.value {
        Value::Object(members) => members.iter().for_each(|member| leaves(text, &member.node, values)),
        Value::Array(items) => items.iter().for_each(|item| leaves(text, item, values)),
        Value::Plain if matches!(text.get(node.at.clone()), Some("true" | "false" | "null")) => {}
        Value::String(_) | Value::Plain => values.all.push(node.at.clone()),
    }
}

fn kind(text: &str, server: &Node) -> Kind {
    for name in [COMMAND, ARGS, "type", "url"] {
        if server.is_ambiguous(name) {
            return Kind::Odd(format!("it has `{name}` twice"));
        }
    }
    let string = |name: &str| server.member(name).and_then(|member| member.node.text()).map(str::to_owned);
    let command = match server.member(COMMAND) {
        Some(member) => literal(&member.node).map(Some).ok_or_else(|| NO_TEXT.to_owned()),
        None => Ok(None),
    };
    let args = server.member(ARGS).map_or(Ok(None), |member| list(&member.node).map(Some));
    let sandboxed = server.member("sandboxEnabled").and_then(|member| text.get(member.node.at.clone()));
    Found {
        command,
        args,
        room: server
            .member(COMMAND)
            .map_or(Room { at: 0, before: String::new() }, |member| room(text, member)),
        url: string("url"),
        transport: string("type"),
        sandboxed: sandboxed == Some("true"),
    }
    .kind()
}

fn literal(node: &Node) -> Option<Text> {
    node.text().map(|text| Text { at: node.at.clone(), text: text.to_owned() })
}

fn list(node: &Node) -> Result<List, String> {
    let Value::Array(items) = &node.value else { return Err(NO_TEXTS.to_owned()) };
    let items: Option<Vec<Text>> = items.iter().map(literal).collect();
    items.map(|items| List { at: node.at.clone(), items }).ok_or_else(|| NO_TEXTS.to_owned())
}

/// Behind the command, laid out as the command is.
fn room(text: &str, command: &Member) -> Room {
    let before = text.get(..command.key_at.start).unwrap_or_default();
    let blanks = before.len() - before.trim_end_matches([' ', '\t', '\r', '\n']).len();
    let mut gap = before.get(before.len() - blanks..).unwrap_or_default();
    // of several line breaks the last one is enough
    if let Some(line) = gap.rfind('\n') {
        let line = if gap.get(..line).is_some_and(|gap| gap.ends_with('\r')) { line - 1 } else { line };
        gap = gap.get(line..).unwrap_or_default();
    }
    let colon = text.get(command.key_at.end..command.node.at.start).unwrap_or_default();
    let colon = if colon.trim() == ":" && !colon.contains('\n') { colon } else { ": " };
    if !gap.contains('\n') {
        gap = if colon.ends_with(' ') || !gap.is_empty() { " " } else { "" };
    }
    Room { at: command.node.at.end, before: format!(",{gap}\"{ARGS}\"{colon}") }
}

//! Servers in TOML: the tables `mcp_servers.*` of Codex.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{
    ARGS, COMMAND, Entry, Found, List, NO_TEXT, NO_TEXTS, Room, SERVERS_MAX, SHOWN, Text, Values, too_many,
};

type Key<'a> = Spanned<std::borrow::Cow<'a, str>>;

/// The servers of a file.
pub(super) fn read(text: &str) -> Result<Vec<Entry>, String> {
    // the parser takes a byte order mark as part of the first name
    let mark = text.len() - text.trim_start_matches('\u{feff}').len();
    let body = text.get(mark..).unwrap_or_default();
    let root = DeTable::parse(body).map_err(|error| {
        let line = error
            .span()
            .and_then(|at| body.get(..at.start))
            .map_or(1, |before| before.matches('\n').count() + 1);
        format!("it is not TOML: line {line}: {}", error.message())
    })?;
    let Some(servers) = root.get_ref().get("mcp_servers").and_then(|servers| servers.get_ref().as_table())
    else {
        return Ok(Vec::new());
    };
    if servers.len() > SERVERS_MAX {
        return Err(too_many());
    }
    let file = File { body, mark };
    Ok(servers.iter().map(|(name, server)| file.entry(name, server)).collect())
}

/// Where the values of a file stand.
pub(super) fn values(text: &str) -> Values {
    let mut values = Values::default();
    let mark = text.len() - text.trim_start_matches('\u{feff}').len();
    let body = text.get(mark..).unwrap_or_default();
    let Ok(root) = DeTable::parse(body) else { return values };
    let file = File { body, mark };
    let servers = root.get_ref().get("mcp_servers").and_then(|servers| servers.get_ref().as_table());
    let tables =
        servers.into_iter().flat_map(DeTable::values).filter_map(|server| server.get_ref().as_table());
    let shown = tables.flat_map(|table| SHOWN.iter().filter_map(|name| table.get(*name)));
    values.shown.extend(shown.map(|value| file.at(value.span())));
    root.get_ref().values().for_each(|value| file.leaves(value, &mut values));
    values
}

/// What is odd about a file without servers: a table of them that is none.
pub(super) fn odd(text: &str) -> Option<String> {
    let root = DeTable::parse(text.trim_start_matches('\u{feff}')).ok()?;
    let servers = root.get_ref().get("mcp_servers")?.get_ref();
    servers.as_table().is_none().then(|| "its `mcp_servers` is not a table".to_owned())
}

struct File<'a> {
    body: &'a str,
    /// Bytes before the body.
    mark: usize,
}

impl File<'_> {
    fn at(&self, span: Range<usize>) -> Range<usize> {
        span.start + self.mark..span.end + self.mark
    }

    fn entry(&self, name: &Key<'_>, server: &Spanned<DeValue<'_>>) -> Entry {
        let empty = DeTable::new();
        let table = server.get_ref().as_table().unwrap_or(&empty);
        let found = Found {
            command: table
                .get(COMMAND)
                .map(|value| self.text(value).ok_or_else(|| NO_TEXT.to_owned()))
                .transpose(),
            args: table.get(ARGS).map(|value| self.list(value)).transpose(),
            room: self.room(server, table),
            url: table.get("url").map(|url| url.get_ref().as_str().unwrap_or_default().to_owned()),
            transport: None,
            sandboxed: false,
        };
        Entry { name: name.get_ref().to_string(), project: None, kind: found.kind(), at: name.span().start }
    }

    fn text(&self, value: &Spanned<DeValue<'_>>) -> Option<Text> {
        let text = value.get_ref().as_str()?.to_owned();
        Some(Text { at: self.at(value.span()), text })
    }

    fn list(&self, value: &Spanned<DeValue<'_>>) -> Result<List, String> {
        let items =
            value.get_ref().as_array().map(|items| items.iter().map(|item| self.text(item)).collect());
        let items: Option<Vec<Text>> = items.flatten();
        items.map(|items| List { at: self.at(value.span()), items }).ok_or_else(|| NO_TEXTS.to_owned())
    }

    /// A line of its own below that of the command; within braces behind the command.
    fn room(&self, server: &Spanned<DeValue<'_>>, table: &DeTable<'_>) -> Room {
        let nowhere = Room { at: 0, before: String::new() };
        let Some((key, value)) = table.get_key_value(COMMAND) else { return nowhere };
        let (key, value) = (key.span(), value.span());
        if self.body.get(server.span()).is_some_and(|table| table.starts_with('{')) {
            return Room { at: value.end + self.mark, before: format!(", {ARGS} = ") };
        }
        let line = self.body.get(..key.start).and_then(|before| before.rfind('\n')).map_or(0, |at| at + 1);
        let prefix = self.body.get(line..key.start).unwrap_or_default();
        let rest = self.body.get(value.end..).unwrap_or_default();
        let (length, ended) = rest.find('\n').map_or((rest.len(), false), |at| (at, true));
        let dos = rest.get(..length).is_some_and(|rest| rest.ends_with('\r'));
        let (length, newline) = if ended && dos { (length - 1, "\r\n") } else { (length, "\n") };
        Room { at: value.end + length + self.mark, before: format!("{newline}{prefix}{ARGS} = ") }
    }

    /// As deep as the parser goes, and no deeper.
    fn leaves(&self, value: &Spanned<DeValue<'_>>, values: &mut Values) {
        match value.get_ref() {
            DeValue::Table(table) => table.values().for_each(|value| self.leaves(value, values)),
            DeValue::Array(items) => items.iter().for_each(|item| self.leaves(item, values)),
            DeValue::Boolean(_) => {}
            _ => values.all.push(self.at(value.span())),
        }
    }
}

//! Wrapping and unwrapping a server in the text of its configuration. Only its command and its list of arguments are
//! touched, piece by piece.

use super::entries::{List, Stdio, wrapped};
use super::splice::Splice;

/// What is put before a server's command: our program and its arguments up to the `--`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Prefix {
    pub(crate) program: String,
    pub(crate) args: Vec<String>,
}

impl Prefix {
    /// The whole command line once the server is wrapped.
    pub(super) fn before(&self, command: &[String]) -> Vec<String> {
        let own = std::iter::once(&self.program).chain(&self.args);
        own.chain(command).cloned().collect()
    }
}

/// Puts our program before a server's command.
pub(super) fn wrap(text: &str, server: &Stdio, prefix: &Prefix) -> Vec<Splice> {
    let new: Vec<String> = prefix.args.iter().chain([&server.command.text]).map(|arg| literal(arg)).collect();
    let program = Splice::replace(server.command.at.clone(), literal(&prefix.program));
    let args = match &server.args {
        None => Splice::insert(server.room.at, format!("{}[{}]", server.room.before, new.join(", "))),
        Some(list) => match list.items.first() {
            None => Splice::insert(list.at.start + 1, new.join(", ")),
            Some(first) => {
                let pad = format!(",{}", padding(text, list));
                Splice::insert(
                    first.at.start,
                    new.iter().flat_map(|arg| [arg.as_str(), &pad]).collect::<String>(),
                )
            }
        },
    };
    vec![program, args]
}

/// How the command and the arguments were written before they were wrapped.
#[derive(Debug, Clone, Copy)]
pub(super) struct Original<'a> {
    /// The command, with its quotation marks.
    pub(super) command: &'a str,
    /// The list of arguments as it was and as we left it, with its brackets.
    pub(super) args: Option<(&'a str, &'a str)>,
    /// What was put in where there was no list of arguments.
    pub(super) inserted: Option<&'a str>,
}

/// Takes our program away again. What was written by us and is still as we left it becomes what it was; of arguments
/// that somebody changed since, ours are taken out. Nothing when the server is not wrapped.
pub(super) fn unwrap(text: &str, server: &Stdio, original: Option<Original<'_>>) -> Option<Vec<Splice>> {
    let command = wrapped(&server.words())?.command.into_iter().next()?;
    let list = server.args.as_ref()?;
    // `wrapped` found a `--` and a command behind it among the items
    let dashes = list.items.iter().position(|item| item.text == "--")?;
    let (first, old) = (list.items.first()?, list.items.get(dashes + 1)?);
    let as_it_was =
        original.map(|original| original.command).filter(|literal| read(literal) == Some(command.clone()));
    let old_literal = as_it_was.or_else(|| text.get(old.at.clone()))?;
    let program = Splice::replace(server.command.at.clone(), old_literal);
    if let Some(inserted) = original.and_then(|original| original.inserted) {
        let end = server.room.at + inserted.len();
        if text.get(server.room.at..end) == Some(inserted) && end == list.at.end {
            return Some(vec![program, Splice::remove(server.room.at..end)]);
        }
    }
    if let Some((before, after)) = original.and_then(|original| original.args)
        && text.get(list.at.clone()) == Some(after)
    {
        return Some(vec![program, Splice::replace(list.at.clone(), before)]);
    }
    let ours = match list.items.get(dashes + 2) {
        Some(next) => first.at.start..next.at.start,
        None => first.at.start..end_of_last(text, list, old.at.end),
    };
    Some(vec![program, Splice::remove(ours)])
}

/// Behind the last item, and behind its comma if it has one.
fn end_of_last(text: &str, list: &List, end: usize) -> usize {
    let rest = text.get(end..list.at.end).unwrap_or_default();
    let blanks = rest.len() - rest.trim_start().len();
    if rest.trim_start().starts_with(',') { end + blanks + 1 } else { end }
}

/// What stands between two items: a line break where each has its own line, else what stands there already.
fn padding(text: &str, list: &List) -> String {
    let Some(first) = list.items.first() else { return String::new() };
    let before = text.get(list.at.start + 1..first.at.start).unwrap_or_default();
    if let Some(line) = before.rfind('\n') {
        let dos = before.get(..line).is_some_and(|before| before.ends_with('\r'));
        let indent = before.get(line + 1..).unwrap_or_default();
        // a comment may stand before the first item on its line
        let indent = if indent.trim().is_empty() { indent } else { " " };
        return format!("{}{indent}", if dos { "\r\n" } else { "\n" });
    }
    let between = list.items.get(1).and_then(|second| text.get(first.at.end..second.at.start));
    let between = between.and_then(|between| between.strip_prefix(',')).filter(|gap| gap.trim().is_empty());
    between.unwrap_or(" ").to_owned()
}

/// A text between quotation marks, for JSON and for TOML alike.
pub(super) fn literal(text: &str) -> String {
    let quoted = serde_json::Value::String(text.to_owned()).to_string();
    // TOML takes no delete character in a text
    quoted.replace('\u{7f}', "\\u007f")
}

/// The text of a literal of either language.
fn read(literal: &str) -> Option<String> {
    let of_toml = || {
        toml::from_str::<toml::Table>(&format!("v = {literal}")).ok()?.get("v")?.as_str().map(str::to_owned)
    };
    serde_json::from_str(literal).ok().or_else(of_toml)
}

#[cfg(test)]
mod tests;

//! The tools and servers that rules name by their URIs. A name of another form, or one that is spelt a little
//! otherwise, is no mistake to the engine: the rule is sound, and never applies.

use std::ops::Range;

use cedar_policy::{Policy, ResourceConstraint};

use crate::classes::{ClassTable, split_tool_uri};
use crate::diagnosis::{closest, distance};
use crate::error::{Finding, shorten};
use crate::files::{PolicyFile, is_policy_file};
use crate::fit::OPERATIONS;
use crate::limits::{ALIAS_MAX, TOOL_URI_MAX};
use crate::nesting;

/// What everything that a run of `deeds run` does is recorded as.
const COMMAND: &str = "command/run";
/// Bytes of a URI that a finding quotes.
const QUOTED_MAX: usize = 200;
/// Known tools that a finding lists.
const KNOWN_MAX: usize = 8;
/// Letters of an alias from which on another one beside it is taken for a misspelling.
const NEAR_FROM: usize = 4;

/// A `Deeds::Tool::"…"` or `Deeds::Server::"…"` in a rule.
struct Literal<'a> {
    file: &'a PolicyFile,
    span: Range<usize>,
    is_tool: bool,
    id: String,
}

/// A message and advice.
type Told = (String, String);

/// Names of a form that no tool or server has.
pub(crate) fn misspelt(files: &[PolicyFile], classes: &ClassTable) -> Vec<Finding> {
    let told = |literal: &Literal<'_>| {
        if literal.is_tool { wrong_tool(&literal.id, classes) } else { wrong_server(&literal.id) }
    };
    all(files, told)
}

/// Names of the right form that the class table does not know, beside others that it knows.
pub(crate) fn unknown(files: &[PolicyFile], classes: &ClassTable) -> Vec<Finding> {
    let told = |literal: &Literal<'_>| {
        let (server, tool) = if literal.is_tool {
            let (server, tool) = split_tool_uri(&literal.id)?;
            (server, Some(tool))
        } else {
            (literal.id.as_str(), None)
        };
        if !is_server(server) {
            return None;
        }
        unknown_server(server, classes).or_else(|| unknown_tool(server, tool?, classes))
    };
    all(files, told)
}

fn all(files: &[PolicyFile], told: impl Fn(&Literal<'_>) -> Option<Told>) -> Vec<Finding> {
    let policies = files.iter().filter(|file| is_policy_file(&file.path));
    let found = policies.flat_map(literals).filter_map(|literal| {
        let (message, help) = told(&literal)?;
        let Literal { file, span, .. } = literal;
        Some(Finding::at(&file.path, &file.text, span, message).help(Some(help)))
    });
    found.collect()
}

/// The literals of one file, by its tokens: a comment or a text that holds one is another token.
fn literals(file: &PolicyFile) -> Vec<Literal<'_>> {
    let blank = |token: &str| token.trim().is_empty() || token.starts_with("//");
    let tokens: Vec<_> = nesting::tokens(&file.text).filter(|(_, token)| !blank(token)).collect();
    let found = tokens.windows(7).filter_map(|seven| {
        let &[(from, "Deeds"), (_, ":"), (_, ":"), (_, kind), (_, ":"), (_, ":"), (at, text)] = seven else {
            return None;
        };
        let is_tool = kind == "Tool";
        if !is_tool && kind != "Server" {
            return None;
        }
        let id = unescaped(kind, text)?;
        Some(Literal { file, span: from..at + text.len(), is_tool, id })
    });
    found.collect()
}

/// The id in the text after a type. The engine takes escapes in it only as part of a rule.
fn unescaped(kind: &str, text: &str) -> Option<String> {
    let rule = format!("permit (principal, action, resource == Deeds::{kind}::{text});");
    match rule.parse::<Policy>().ok()?.resource_constraint() {
        ResourceConstraint::Eq(uid) => Some(uid.id().unescaped().to_owned()),
        _ => None,
    }
}

fn wrong_tool(uri: &str, classes: &ClassTable) -> Option<Told> {
    let message = format!("`{}` names no tool, so nothing ever matches it", shorten(uri, QUOTED_MAX));
    let Some((server, tool)) = uri.split_once('#') else {
        return Some((message, tool_alone(uri, classes)));
    };
    let server = if is_server(server) { Some(server.to_owned()) } else { meant(server, tool) };
    let help = match server {
        None => how_to_write(tool),
        Some(server) if tool.is_empty() || tool == "*" => whole(&server),
        Some(server) => {
            let is_run = server.starts_with("run:");
            let right = if is_run { format!("{server}#{COMMAND}") } else { format!("{server}#{tool}") };
            if right == uri && uri.len() <= TOOL_URI_MAX {
                return None;
            }
            did_you_mean(&right)
        }
    };
    Some((message, help))
}

/// Advice for what has no `#`: a server, or the mere name of a tool.
fn tool_alone(written: &str, classes: &ClassTable) -> String {
    if is_server(written) && is_own(written) {
        return whole(written);
    }
    let known = classes.tools_called(written);
    known.first().map_or_else(|| how_to_write(written), |uri| did_you_mean(uri))
}

fn wrong_server(uri: &str) -> Option<Told> {
    if is_server(uri) {
        return None;
    }
    let (server, tool) = uri.split_once('#').unwrap_or((uri, ""));
    let server = if is_server(server) { Some(server.to_owned()) } else { meant(server, tool) };
    let message = format!("`{}` names no server, so nothing ever matches it", shorten(uri, QUOTED_MAX));
    let help = "a server is written as the part of a tool before `#`, as in `stdio:files`";
    Some((message, server.map_or_else(|| help.to_owned(), |server| did_you_mean(&server))))
}

fn did_you_mean(right: &str) -> String {
    format!("did you mean `{}`?", shorten(right, QUOTED_MAX))
}

fn whole(server: &str) -> String {
    let server = shorten(server, QUOTED_MAX);
    format!("for every tool of the server write `resource in Deeds::Server::\"{server}\"`")
}

fn how_to_write(tool: &str) -> String {
    let tool = if tool.is_empty() || tool.contains(['#', ':']) { "<tool>" } else { tool };
    format!("a tool is written `stdio:<server>#{}`, as in `stdio:files#edit_file`", shorten(tool, QUOTED_MAX))
}

/// `<scheme>:…`, where the schemes of our own are followed by an alias.
fn is_server(server: &str) -> bool {
    let Some((scheme, rest)) = server.split_once(':') else { return false };
    let letters = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+.-".contains(&b);
    let first = scheme.bytes().next().is_some_and(|b| b.is_ascii_lowercase());
    let plain = |c: char| !c.is_whitespace() && !c.is_control() && c != '#';
    if is_own(server) {
        return is_alias(rest);
    }
    first && scheme.bytes().all(letters) && !rest.is_empty() && rest.chars().all(plain)
}

/// What deeds itself stands before.
fn is_own(server: &str) -> bool {
    server.starts_with("stdio:") || server.starts_with("run:")
}

/// An alias as `deeds wrap` and `deeds run` take it.
fn is_alias(alias: &str) -> bool {
    let fine = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    alias.len() <= ALIAS_MAX
        && alias.bytes().next().is_some_and(fine)
        && alias.bytes().all(|b| fine(b) || b"._-".contains(&b))
}

/// The server that was meant by what is none.
fn meant(server: &str, tool: &str) -> Option<String> {
    let small = server.trim().to_lowercase();
    let scheme = if tool == COMMAND { "run" } else { "stdio" };
    [small.clone(), format!("{scheme}:{small}")].into_iter().find(|server| is_server(server))
}

fn unknown_server(server: &str, classes: &ClassTable) -> Option<Told> {
    let (scheme, alias) = server.split_once(':')?;
    let told = |right: &str| {
        let message = format!(
            "the server `{}` is not in classes.toml: check the spelling",
            shorten(server, QUOTED_MAX)
        );
        Some((message, did_you_mean(right)))
    };
    if !is_own(server) && distance(scheme, "stdio") <= 2 && is_alias(alias) {
        return told(&format!("stdio:{alias}"));
    }
    let known = classes.known_servers();
    if !is_own(server) || alias.len() < NEAR_FROM || known.iter().any(|other| other == server) {
        return None;
    }
    let of_scheme = known.iter().filter_map(|other| other.strip_prefix(scheme)?.strip_prefix(':'));
    // Two servers that differ by a number are two servers.
    let letters = |name: &str| name.replace(|c: char| c.is_ascii_digit(), "");
    let others: Vec<String> =
        of_scheme.filter(|other| letters(other) != letters(alias)).map(str::to_owned).collect();
    told(&format!("{scheme}:{}", closest(alias, &others)?))
}

fn unknown_tool(server: &str, tool: &str, classes: &ClassTable) -> Option<Told> {
    let known = classes.tools_of(server);
    if known.is_empty()
        || known.iter().any(|other| other == tool)
        || OPERATIONS.iter().any(|(name, _)| *name == tool)
    {
        return None;
    }
    let near = closest(tool, &known);
    // A row for the whole server says that there are more tools than those with rows.
    if near.is_none() && classes.has_server_row(server) {
        return None;
    }
    let uri = format!("{server}#{tool}");
    let message = format!("classes.toml has no row for `{}`: check the spelling", shorten(&uri, QUOTED_MAX));
    let help = near.map_or_else(|| listed(&known), |near| did_you_mean(&format!("{server}#{near}")));
    Some((message, help))
}

fn listed(known: &[String]) -> String {
    let names: Vec<String> =
        known.iter().take(KNOWN_MAX).map(|name| format!("`{}`", shorten(name, QUOTED_MAX))).collect();
    let more = known.len().checked_sub(KNOWN_MAX).filter(|more| *more > 0);
    let more = more.map(|more| format!(" and {more} more")).unwrap_or_default();
    format!("of this server it knows {}{more}", names.join(", "))
}

#[cfg(test)]
#[path = "literals/tests.rs"]
mod tests;

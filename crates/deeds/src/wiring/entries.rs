//! The servers that a client's configuration names, and where in its text they stand. What comes out is the same for
//! JSON and TOML, so that they are wrapped, unwrapped and watched in one way.

mod json;
mod toml;

use std::ops::Range;
use std::path::Path;

use capture::mcp::alias_of;

use super::places::Layout;

/// Most servers that one configuration may name. Those of people have a dozen; a project's file is somebody else's.
const SERVERS_MAX: usize = 1_024;
/// Members of a server whose values are shown: what is to be changed, and what tells why it is not.
const SHOWN: [&str; 3] = [COMMAND, ARGS, "type"];

/// One server of a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// What the client calls it.
    pub(crate) name: String,
    /// The project that it is configured for, where one file has those of many.
    pub(crate) project: Option<String>,
    /// What it is.
    pub(crate) kind: Kind,
    /// Where it begins.
    at: usize,
}

/// What a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A command that the client starts.
    Stdio(Stdio),
    /// One that is reached by a URL: this one, or an empty text where it has none that can be read.
    Remote(String),
    /// One that is left alone, and why.
    Odd(String),
}

/// The command of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stdio {
    pub(super) command: Text,
    /// The list of arguments, if there is one.
    pub(super) args: Option<List>,
    /// Where a list of arguments belongs if there is none.
    pub(super) room: Room,
}

/// A text in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Text {
    /// With its quotation marks.
    pub(super) at: Range<usize>,
    pub(super) text: String,
}

/// A list of texts in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct List {
    /// With its brackets.
    pub(super) at: Range<usize>,
    pub(super) items: Vec<Text>,
}

/// Where a list can be put, and what stands before it then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Room {
    pub(super) at: usize,
    pub(super) before: String,
}

/// What was wrapped, as its command line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wrapped {
    /// The program that wraps it.
    pub(super) program: String,
    /// What that is told before the `--`.
    pub(super) own: Vec<String>,
    /// Our name for the server.
    pub(crate) alias: String,
    /// The server's command without us.
    pub(crate) command: Vec<String>,
}

impl Stdio {
    /// The command with its arguments.
    pub(crate) fn words(&self) -> Vec<String> {
        let args = self.args.iter().flat_map(|args| &args.items);
        std::iter::once(&self.command).chain(args).map(|text| text.text.clone()).collect()
    }

    /// What is behind `deeds wrap`, if this goes through it.
    pub(crate) fn wrapped(&self) -> Option<Wrapped> {
        wrapped(&self.words())
    }
}

/// What a command line wraps: a program called `deeds`, with `wrap` before the `--` that the server's command follows.
pub(super) fn wrapped(words: &[String]) -> Option<Wrapped> {
    let (program, args) = words.split_first()?;
    let end = args.iter().position(|arg| arg == "--")?;
    let (own, command) = (args.get(..end)?, args.get(end + 1..)?);
    let is_deeds = Path::new(program).file_name().is_some_and(|name| name == "deeds");
    if !is_deeds || !own.iter().any(|arg| arg == "wrap") || command.is_empty() {
        return None;
    }
    let alias = option(own, "--name").map(str::to_owned).or_else(|| alias_of(command).ok());
    Some(Wrapped {
        program: program.clone(),
        own: own.to_vec(),
        alias: alias.unwrap_or_default(),
        command: command.to_vec(),
    })
}

/// The value of an option, in either form.
pub(super) fn option<'a>(args: &'a [String], name: &str) -> Option<&'a str> {
    let apart = args.iter().zip(args.iter().skip(1)).find(|(option, _)| *option == name);
    let joined = || args.iter().find_map(|arg| arg.strip_prefix(name)?.strip_prefix('='));
    apart.map(|(_, value)| value.as_str()).or_else(joined)
}

/// The servers of a configuration, in the order of the text. The error says why it cannot be read.
pub(super) fn read(text: &str, layout: Layout) -> Result<Vec<Entry>, String> {
    let mut entries = match layout {
        Layout::ClaudeCode | Layout::McpServers | Layout::Servers => json::read(text, layout),
        Layout::Codex => toml::read(text),
    }?;
    entries.sort_by_key(|entry| entry.at);
    Ok(entries)
}

/// Where values stand that are not for showing, as far as they lie in some pieces of the text (in order, apart from
/// each other): all texts and numbers but the commands and arguments of servers. Clients keep tokens in many places.
pub(super) fn hidden(text: &str, layout: Layout, pieces: &[Range<usize>]) -> Vec<Range<usize>> {
    let values = match layout {
        Layout::ClaudeCode | Layout::McpServers | Layout::Servers => json::values(text, layout),
        Layout::Codex => toml::values(text),
    };
    let Values { all, mut shown } = values;
    shown.sort_by_key(|at| at.start);
    let is_in = |at: &Range<usize>, ranges: &[Range<usize>]| {
        let next = ranges.partition_point(|range| range.end <= at.start);
        ranges.get(next).is_some_and(|range| range.start < at.end)
    };
    all.into_iter().filter(|at| is_in(at, pieces) && !is_in(at, &shown)).collect()
}

/// Where the values of a configuration stand.
#[derive(Default)]
struct Values {
    /// All texts and numbers.
    all: Vec<Range<usize>>,
    /// Commands and arguments, and whatever else of a server is shown; none within another.
    shown: Vec<Range<usize>>,
}

fn too_many() -> String {
    format!("it names more than {SERVERS_MAX} servers")
}

/// What to say of a configuration in which no server was found.
pub(super) fn remark(text: &str, layout: Layout) -> String {
    if text.trim_start_matches('\u{feff}').trim().is_empty() {
        return "the file is empty".to_owned();
    }
    let odd = match layout {
        Layout::ClaudeCode | Layout::McpServers | Layout::Servers => json::odd(text, layout),
        Layout::Codex => toml::odd(text),
    };
    odd.unwrap_or_else(|| "it names no server".to_owned())
}

/// What kind of server has these members.
struct Found {
    command: Result<Option<Text>, String>,
    args: Result<Option<List>, String>,
    room: Room,
    url: Option<String>,
    transport: Option<String>,
    sandboxed: bool,
}

impl Found {
    fn kind(self) -> Kind {
        let stdio = self.transport.as_deref().is_none_or(|transport| transport == "stdio");
        match (self.command, self.args) {
            _ if !stdio || self.url.is_some() => Kind::Remote(self.url.unwrap_or_default()),
            (Err(why), _) | (_, Err(why)) => Kind::Odd(why),
            (Ok(None), _) => Kind::Odd("it has neither a command nor a URL".to_owned()),
            // in the sandbox of VS Code neither the socket nor a started server could be reached
            _ if self.sandboxed => Kind::Odd("its client runs it in a sandbox, and deeds with it".to_owned()),
            (Ok(Some(command)), Ok(args)) => Kind::Stdio(Stdio { command, args, room: self.room }),
        }
    }
}

const COMMAND: &str = "command";
const ARGS: &str = "args";
const NO_TEXT: &str = "its `command` is not a text";
const NO_TEXTS: &str = "its `args` are not a list of texts";

#[cfg(test)]
mod tests;

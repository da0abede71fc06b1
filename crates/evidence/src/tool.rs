//! Tool URIs (DESIGN §9): `<server>#<tool>`, compared byte for byte.

use crate::limits::TOOL_URI_MAX_BYTES;

/// Stands for every tool of a server.
pub const ANY: &str = "*";

/// Splits a tool URI into server and tool; nothing for text that is not one.
pub fn split(uri: &str) -> Option<(&str, &str)> {
    let (server, tool) = uri.split_once('#')?;
    let plain = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    (uri.len() <= TOOL_URI_MAX_BYTES && plain(server) && plain(tool) && !tool.contains('#'))
        .then_some((server, tool))
}

/// The URI of a tool of a stdio server.
pub fn stdio(alias: &str, tool: &str) -> String {
    format!("stdio:{alias}#{tool}")
}

/// The operation of a tool call.
pub const CALL: &str = "tools/call";

/// The operation of a command: the only one of a `run:` server.
pub const COMMAND: &str = "command/run";

/// The operation that a URI is for: the part after `#` where that has a `/`, which is a method or `command/run`;
/// everything else is a tool, and called (format §5, kind 5, 8).
pub fn operation(uri: &str) -> &str {
    split(uri).map(|(_, tool)| tool).filter(|tool| tool.contains('/')).unwrap_or(CALL)
}

/// The first word of the URIs of what an alias names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Scheme {
    /// An MCP server over its standard streams.
    #[default]
    Stdio,
    /// A command.
    Run,
}

impl Scheme {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stdio => "stdio",
            Self::Run => "run",
        }
    }

    /// The scheme with this word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Stdio, Self::Run].into_iter().find(|scheme| scheme.as_str() == word)
    }

    /// The part of tool URIs before `#`.
    pub fn server(self, alias: &str) -> String {
        format!("{}:{alias}", self.as_str())
    }

    /// Scheme and alias of the part of tool URIs before `#`; nothing for another text.
    pub fn of(server: &str) -> Option<(Self, &str)> {
        let (word, alias) = server.split_once(':')?;
        Self::parse(word).map(|scheme| (scheme, alias))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_says_which_operation_it_is_for() {
        for (uri, expected) in [
            ("stdio:fs#read_file", CALL),
            ("stdio:fs#*", CALL),
            ("stdio:fs#resources/read", "resources/read"),
            ("run:git#command/run", "command/run"),
            ("stdio:fs/x#read_file", CALL),
            ("no uri/at all", CALL),
            ("a#b#c/d", CALL),
        ] {
            assert_eq!(operation(uri), expected, "{uri}");
        }
    }

    #[test]
    fn a_scheme_and_an_alias_make_a_server() {
        assert_eq!(Scheme::default().server("fs"), "stdio:fs");
        assert_eq!(Scheme::parse("run").map(|scheme| scheme.server("git")), Some("run:git".into()));
        assert_eq!(Scheme::parse("http"), None);
        assert_eq!(Scheme::of("run:a:b"), Some((Scheme::Run, "a:b")));
        assert_eq!((Scheme::of("https://x"), Scheme::of("fs")), (None, None));
    }

    #[test]
    fn only_whole_uris_split() {
        assert_eq!(split("stdio:fs#read_file"), Some(("stdio:fs", "read_file")));
        assert_eq!(split("stdio:fs#*"), Some(("stdio:fs", ANY)));
        for wrong in ["stdio:fs", "#x", "stdio:fs#", "a b#c", "a#b#c", "é#x"] {
            assert_eq!(split(wrong), None, "{wrong}");
        }
        let long = |len: usize| format!("s#{}", "x".repeat(len - 2));
        assert!(split(&long(TOOL_URI_MAX_BYTES)).is_some());
        assert!(split(&long(TOOL_URI_MAX_BYTES + 1)).is_none());
    }
}

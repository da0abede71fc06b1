//! The class table `classes.toml`: what a tool is, said by whoever runs it and never by the tool.
//!
//! ```toml
//! [[tool]]
//! uri = "stdio:edr#isolate_host"
//! classes = ["write", "external"]
//! definition = "sha256:…"   # optional: the row holds only while the tool is defined like this
//!
//! pinned = true             # optional: without that definition its calls are denied
//!
//! [[tool]]
//! uri = "stdio:time#*"      # every tool of the server that has no row of its own
//! classes = ["read"]
//!
//! [[server]]                # what the server is; any of the four, or every act on it is denied
//! uri = "stdio:edr"
//! command = "sha256:…"
//! executable = "sha256:…"
//! package = "sha256:…"
//! environment = "sha256:…"
//! ```
//!
//! A tool without a row, or with another definition than its row names, is unclassified and treated
//! as everything that could go wrong: write, external and untrusted.

mod rows;

use std::collections::HashMap;

use crate::limits::TOOL_URI_MAX;
use crate::pinned::ServerPins;

/// Name of the class table within a policy set.
pub const CLASSES_FILE: &str = "classes.toml";

/// The classes in the order in which they are listed everywhere.
pub const CLASSES: [&str; 5] = ["read", "write", "destructive", "external", "untrusted"];

/// What an unclassified tool is treated as.
const UNCLASSIFIED: [&str; 3] = ["write", "external", "untrusted"];

/// Where a tool's classes come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClassSource {
    /// A row of its own.
    ToolRow,
    /// The row `<server>#*`.
    ServerRow,
    /// Neither: unclassified.
    NoRow,
    /// The row pins another definition than the tool has now: unclassified.
    DefinitionChanged,
    /// The row pins a definition, and the tool's is not known yet: unclassified.
    DefinitionUnknown,
}

impl ClassSource {
    const ALL: [Self; 5] =
        [Self::ToolRow, Self::ServerRow, Self::NoRow, Self::DefinitionChanged, Self::DefinitionUnknown];

    /// The word that policies compare: `tool-row`, `server-row`, `no-row`, `definition-changed`,
    /// `definition-unknown`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ToolRow => "tool-row",
            Self::ServerRow => "server-row",
            Self::NoRow => "no-row",
            Self::DefinitionChanged => "definition-changed",
            Self::DefinitionUnknown => "definition-unknown",
        }
    }

    pub(crate) fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|source| source.as_str() == word)
    }

    fn text(self) -> &'static str {
        match self {
            Self::ToolRow => "the class table has a row for this tool",
            Self::ServerRow => "the class table has a row for every tool of this server",
            Self::NoRow => "the class table has no row for this tool or its server",
            Self::DefinitionChanged => "the tool is no longer defined as its row in the class table pins it",
            Self::DefinitionUnknown => {
                "the class table pins the tool's definition, and no tool list has shown it yet"
            }
        }
    }
}

/// The classes of one tool at one decision.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ClassOf {
    /// Of [`CLASSES`], in that order.
    pub classes: Vec<String>,
    /// False: the classes are the worst case, not anybody's judgement.
    pub classified: bool,
    /// Where they come from.
    #[serde(skip)]
    pub source: ClassSource,
    /// The same, for people.
    pub why: String,
}

impl ClassOf {
    pub(crate) fn new(classes: Vec<String>, source: ClassSource) -> Self {
        let classified = matches!(source, ClassSource::ToolRow | ClassSource::ServerRow);
        Self { classes, classified, source, why: source.text().to_owned() }
    }

    fn unclassified(source: ClassSource) -> Self {
        Self::new(UNCLASSIFIED.map(str::to_owned).to_vec(), source)
    }
}

/// Splits a tool URI into server and tool name: `stdio:edr#isolate_host` at the first `#`.
/// `None` when either is empty, the tool is `*` (which means every tool), or the URI is too long.
pub(crate) fn split_tool_uri(uri: &str) -> Option<(&str, &str)> {
    let (server, tool) = uri.split_once('#')?;
    let sound = !server.is_empty() && !tool.is_empty() && tool != "*" && uri.len() <= TOOL_URI_MAX;
    sound.then_some((server, tool))
}

/// The rows of `classes.toml`.
#[derive(Debug, Default)]
pub(crate) struct ClassTable {
    tools: HashMap<String, Row>,
    servers: HashMap<String, Vec<String>>,
    pins: HashMap<String, ServerPins>,
}

#[derive(Debug)]
struct Row {
    classes: Vec<String>,
    definition: Option<String>,
    /// Calls of the tool are denied unless it is defined so.
    pinned: bool,
}

impl ClassTable {
    /// The classes of a tool whose definition has this digest, as far as it is known. A row of its
    /// own decides even when its pin fails: the server's row never stands in for it.
    pub(crate) fn classify(&self, uri: &str, definition: Option<&str>) -> ClassOf {
        if let Some(row) = self.tools.get(uri) {
            return match (&row.definition, definition) {
                (None, _) => ClassOf::new(row.classes.clone(), ClassSource::ToolRow),
                (Some(pin), Some(now)) if pin == now => {
                    ClassOf::new(row.classes.clone(), ClassSource::ToolRow)
                }
                (Some(_), Some(_)) => ClassOf::unclassified(ClassSource::DefinitionChanged),
                (Some(_), None) => ClassOf::unclassified(ClassSource::DefinitionUnknown),
            };
        }
        match split_tool_uri(uri).and_then(|(server, _)| self.servers.get(server)) {
            Some(classes) => ClassOf::new(classes.clone(), ClassSource::ServerRow),
            None => ClassOf::unclassified(ClassSource::NoRow),
        }
    }

    /// The classes that a tool can turn out to have: one, unless its row pins a definition and the tool's is not
    /// known.
    pub(crate) fn possible(&self, uri: &str, definition: Option<&str>) -> Vec<ClassOf> {
        let pin = self.tools.get(uri).and_then(|row| row.definition.as_deref());
        match (pin, definition) {
            (Some(pin), None) => vec![
                self.classify(uri, Some(pin)),
                ClassOf::unclassified(ClassSource::DefinitionChanged),
                ClassOf::unclassified(ClassSource::DefinitionUnknown),
            ],
            _ => vec![self.classify(uri, definition)],
        }
    }

    /// The definition without which a tool is not called.
    pub(crate) fn pinned_definition(&self, uri: &str) -> Option<&str> {
        self.tools.get(uri).filter(|row| row.pinned)?.definition.as_deref()
    }

    /// Names of the server's tools that have rows of their own, sorted.
    pub(crate) fn tools_of(&self, server: &str) -> Vec<String> {
        let own = self.tools.keys().filter_map(|uri| split_tool_uri(uri));
        let mut names: Vec<String> =
            own.filter(|(of, _)| *of == server).map(|(_, name)| name.to_owned()).collect();
        names.sort_unstable();
        names
    }

    /// URIs of the tools of this name that have rows of their own, sorted.
    pub(crate) fn tools_called(&self, name: &str) -> Vec<String> {
        let called = |uri: &&String| split_tool_uri(uri).is_some_and(|(_, tool)| tool == name);
        let mut uris: Vec<String> = self.tools.keys().filter(called).cloned().collect();
        uris.sort_unstable();
        uris
    }

    /// Whether there is a row `<server>#*`.
    pub(crate) fn has_server_row(&self, server: &str) -> bool {
        self.servers.contains_key(server)
    }

    /// Every server that any row is about, sorted.
    pub(crate) fn known_servers(&self) -> Vec<String> {
        let of_tools = self.tools.keys().filter_map(|uri| split_tool_uri(uri)).map(|(server, _)| server);
        let others = self.servers.keys().chain(self.pins.keys()).map(String::as_str);
        let mut servers: Vec<String> = of_tools.chain(others).map(str::to_owned).collect();
        servers.sort_unstable();
        servers.dedup();
        servers
    }

    /// What the server of a tool has to be.
    pub(crate) fn server_pins(&self, uri: &str) -> Option<(&str, &ServerPins)> {
        let (server, _) = uri.split_once('#')?;
        self.pins.get_key_value(server).map(|(server, pins)| (server.as_str(), pins))
    }
}

#[cfg(test)]
#[path = "classes/tests.rs"]
mod tests;

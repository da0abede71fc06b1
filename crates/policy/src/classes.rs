//! The class table `classes.toml`: what a tool is, said by whoever runs it and never by the tool.
//!
//! ```toml
//! [[tool]]
//! uri = "stdio:edr#isolate_host"
//! classes = ["write", "external"]
//! definition = "sha256:…"   # optional: the row holds only while the tool is defined like this
//!
//! [[tool]]
//! uri = "stdio:time#*"      # every tool of the server that has no row of its own
//! classes = ["read"]
//! ```
//!
//! A tool without a row, or with another definition than its row pins, is unclassified and treated
//! as everything that could go wrong: write, external and untrusted.

use std::collections::HashMap;

use serde::Deserialize;
use toml::Spanned;

use crate::error::{Finding, shorten};
use crate::limits::{CLASS_ROWS_MAX, TOOL_URI_MAX};

/// Name of the class table within a policy set.
pub const CLASSES_FILE: &str = "classes.toml";

/// The classes in the order in which they are listed everywhere.
pub const CLASSES: [&str; 4] = ["read", "write", "external", "untrusted"];

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
}

#[derive(Debug)]
struct Row {
    classes: Vec<String>,
    definition: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TableText {
    #[serde(default)]
    tool: Vec<RowText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RowText {
    uri: Spanned<String>,
    classes: Spanned<Vec<String>>,
    definition: Option<Spanned<String>>,
}

impl ClassTable {
    /// Parses the table; every problem is reported, not only the first.
    pub(crate) fn parse(text: &str) -> Result<Self, Vec<Finding>> {
        let parsed: TableText = toml::from_str(text).map_err(|error| {
            let offset = error.span().map_or(0, |span| span.start);
            vec![Finding::at(CLASSES_FILE, text, offset, error.message().replace('\n', ", "))]
        })?;
        if parsed.tool.len() > CLASS_ROWS_MAX {
            let message = format!("has {} rows, more than {CLASS_ROWS_MAX}", parsed.tool.len());
            return Err(vec![Finding::of_file(CLASSES_FILE, message)]);
        }
        let mut table = Self::default();
        let mut findings = Vec::new();
        for row in parsed.tool {
            if let Err((offset, message)) = table.add(row) {
                findings.push(Finding::at(CLASSES_FILE, text, offset, message));
            }
        }
        if findings.is_empty() { Ok(table) } else { Err(findings) }
    }

    /// The error is a byte offset and a message.
    fn add(&mut self, row: RowText) -> Result<(), (usize, String)> {
        let at = row.uri.span().start;
        let uri = row.uri.into_inner();
        let classes = check_classes(&row.classes)?;
        let definition = row.definition.map(check_definition).transpose()?;
        let twice = || Err((at, format!("`{}` has two rows; keep one", shorten(&uri, 200))));
        if let Some(server) = uri.strip_suffix("#*") {
            if server.is_empty() || server.contains('#') || uri.len() > TOOL_URI_MAX {
                return Err((at, bad_uri(&uri)));
            }
            if definition.is_some() {
                let message = "a row for a whole server cannot pin a definition; give the tool its own row";
                return Err((at, message.to_owned()));
            }
            return match self.servers.insert(server.to_owned(), classes) {
                None => Ok(()),
                Some(_) => twice(),
            };
        }
        if split_tool_uri(&uri).is_none() {
            return Err((at, bad_uri(&uri)));
        }
        match self.tools.insert(uri.clone(), Row { classes, definition }) {
            None => Ok(()),
            Some(_) => twice(),
        }
    }

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
}

fn bad_uri(uri: &str) -> String {
    let uri = shorten(uri, 200);
    format!("`{uri}` is not a tool; write `<server>#<tool>`, as in `stdio:edr#isolate_host`, or `<server>#*`")
}

/// The classes in canonical order.
fn check_classes(given: &Spanned<Vec<String>>) -> Result<Vec<String>, (usize, String)> {
    let at = given.span().start;
    let given = given.get_ref();
    if given.is_empty() {
        return Err((at, format!("names no class; choose from {}", CLASSES.join(", "))));
    }
    for (n, class) in given.iter().enumerate() {
        let shown = shorten(class, 60);
        if !CLASSES.contains(&class.as_str()) {
            return Err((at, format!("`{shown}` is no class; choose from {}", CLASSES.join(", "))));
        }
        if given.iter().take(n).any(|earlier| earlier == class) {
            return Err((at, format!("names `{shown}` twice")));
        }
    }
    Ok(CLASSES.iter().filter(|class| given.iter().any(|g| g == *class)).map(|c| (*c).to_owned()).collect())
}

fn check_definition(given: Spanned<String>) -> Result<String, (usize, String)> {
    let at = given.span().start;
    let digest = given.into_inner();
    let hex = digest.strip_prefix("sha256:").unwrap_or_default();
    if hex.len() == 64 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return Ok(digest);
    }
    let shown = shorten(&digest, 100);
    Err((at, format!("`{shown}` is not a digest; write `sha256:` and 64 lower-case hexadecimal digits")))
}

#[cfg(test)]
#[path = "classes/tests.rs"]
mod tests;

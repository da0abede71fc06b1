//! From the text of `classes.toml` to its rows; every problem is reported with its place.

use std::collections::hash_map::Entry;
use std::ops::Range;

use serde::Deserialize;
use toml::Spanned;

use super::{CLASSES, CLASSES_FILE, ClassTable, Row, split_tool_uri};
use crate::error::{Finding, shorten};
use crate::limits::{CLASS_ROWS_MAX, TOOL_URI_MAX};
use crate::pinned::ServerPins;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TableText {
    #[serde(default)]
    tool: Vec<ToolText>,
    #[serde(default)]
    server: Vec<ServerText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ToolText {
    uri: Spanned<String>,
    classes: Spanned<Vec<Spanned<String>>>,
    definition: Option<Spanned<String>>,
    pinned: Option<Spanned<bool>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ServerText {
    uri: Spanned<String>,
    command: Option<Spanned<String>>,
    executable: Option<Spanned<String>>,
    package: Option<Spanned<String>>,
    environment: Option<Spanned<String>>,
}

/// Where in the text, and what is wrong there.
type Wrong = (Range<usize>, String);

impl ClassTable {
    /// Parses the table; every problem is reported, not only the first.
    pub(crate) fn parse(text: &str) -> Result<Self, Vec<Finding>> {
        let parsed: TableText = toml::from_str(text).map_err(|error| {
            let span = error.span().unwrap_or(0..0);
            vec![Finding::at(CLASSES_FILE, text, span, error.message().replace('\n', ", "))]
        })?;
        let rows = parsed.tool.len() + parsed.server.len();
        if rows > CLASS_ROWS_MAX {
            let message = format!("the table has {rows} rows, more than {CLASS_ROWS_MAX}");
            return Err(vec![Finding::of_file(CLASSES_FILE, message)]);
        }
        let mut table = Self::default();
        let tools: Vec<Wrong> = parsed.tool.into_iter().filter_map(|row| table.add_tool(row).err()).collect();
        let servers: Vec<Wrong> =
            parsed.server.into_iter().filter_map(|row| table.add_server(row).err()).collect();
        let findings: Vec<Finding> = tools
            .into_iter()
            .chain(servers)
            .map(|(span, message)| Finding::at(CLASSES_FILE, text, span, message))
            .collect();
        if findings.is_empty() { Ok(table) } else { Err(findings) }
    }

    fn add_tool(&mut self, row: ToolText) -> Result<(), Wrong> {
        let at = row.uri.span();
        let uri = row.uri.into_inner();
        let classes = check_classes(&row.classes)?;
        let definition = row.definition.map(check_digest).transpose()?;
        let pinned = row.pinned.as_ref().is_some_and(|pinned| *pinned.get_ref());
        if let Some(server) = uri.strip_suffix("#*") {
            if !is_server(server) {
                return Err((at, bad_uri(&uri)));
            }
            if definition.is_some() || pinned {
                let message = "a row for a whole server cannot pin a definition; give the tool its own row";
                return Err((at, message.to_owned()));
            }
            return new(self.servers.entry(server.to_owned()), classes, &uri, at);
        }
        if split_tool_uri(&uri).is_none() {
            return Err((at, bad_uri(&uri)));
        }
        if pinned && definition.is_none() {
            let message = "`pinned` needs a `definition`: the digest that the tool is pinned to";
            return Err((row.pinned.map_or(at, |pinned| pinned.span()), message.to_owned()));
        }
        new(self.tools.entry(uri.clone()), Row { classes, definition, pinned }, &uri, at)
    }

    fn add_server(&mut self, row: ServerText) -> Result<(), Wrong> {
        let at = row.uri.span();
        let uri = row.uri.into_inner();
        if !is_server(&uri) {
            let shown = shorten(&uri, 200);
            let message =
                format!("`{shown}` is not a server; write what stands before `#`, as in `stdio:fs`");
            return Err((at, message));
        }
        let pins = ServerPins {
            command: row.command.map(check_digest).transpose()?,
            executable: row.executable.map(check_digest).transpose()?,
            package: row.package.map(check_digest).transpose()?,
            environment: row.environment.map(check_digest).transpose()?,
        };
        if pins == ServerPins::default() {
            let message = "the row pins nothing; give it `command`, `executable`, `package` or `environment`, or take it out";
            return Err((at, message.to_owned()));
        }
        new(self.pins.entry(uri.clone()), pins, &uri, at)
    }
}

fn new<T>(entry: Entry<'_, String, T>, row: T, uri: &str, at: Range<usize>) -> Result<(), Wrong> {
    match entry {
        Entry::Occupied(_) => Err((at, format!("`{}` has two rows; keep one", shorten(uri, 200)))),
        Entry::Vacant(free) => {
            free.insert(row);
            Ok(())
        }
    }
}

fn is_server(uri: &str) -> bool {
    !uri.is_empty() && !uri.contains('#') && uri.len() + "#*".len() <= TOOL_URI_MAX
}

fn bad_uri(uri: &str) -> String {
    let uri = shorten(uri, 200);
    format!("`{uri}` is not a tool; write `<server>#<tool>`, as in `stdio:edr#isolate_host`, or `<server>#*`")
}

/// The classes in canonical order.
fn check_classes(given: &Spanned<Vec<Spanned<String>>>) -> Result<Vec<String>, Wrong> {
    let classes = given.get_ref();
    let named = |class: &str| classes.iter().find(|given| given.get_ref() == class);
    if classes.is_empty() {
        return Err((given.span(), format!("the row names no class; choose from {}", CLASSES.join(", "))));
    }
    for (n, class) in classes.iter().enumerate() {
        let (at, class) = (class.span(), class.get_ref());
        let shown = shorten(class, 60);
        if !CLASSES.contains(&class.as_str()) {
            return Err((at, format!("`{shown}` is no class; choose from {}", CLASSES.join(", "))));
        }
        if classes.iter().take(n).any(|earlier| earlier.get_ref() == class) {
            return Err((at, format!("the row names `{shown}` twice")));
        }
    }
    // A rule about writing means this too, and the two would come apart in silence.
    if let (Some(class), None) = (named("destructive"), named("write")) {
        return Err((class.span(), "what is `destructive` writes; name `write` too".to_owned()));
    }
    Ok(CLASSES.iter().filter(|class| named(class).is_some()).map(|class| (*class).to_owned()).collect())
}

fn check_digest(given: Spanned<String>) -> Result<String, Wrong> {
    let at = given.span();
    let digest = given.into_inner();
    let hex = digest.strip_prefix("sha256:").unwrap_or_default();
    if hex.len() == 64 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return Ok(digest);
    }
    let shown = shorten(&digest, 100);
    Err((at, format!("`{shown}` is not a digest; write `sha256:` and 64 lower-case hexadecimal digits")))
}

//! The policy directory that a new installation begins with, and class table rows for well-known MCP servers.
//!
//! Useful at once: reads pass, and so do writes that can be taken back and tools nobody has classified, each permitted
//! by a rule whose name says so; what is destructive or external waits for a rule, and so does all that a server asks
//! for. The rows are our judgement of what the tools do, by name; what a server says of its own tools takes no part.

use crate::classes::CLASSES_FILE;
use crate::files::PolicyFile;
use crate::limits::TOOL_URI_MAX;

/// The files of the directory. The class table is a head without rows; rows of [`rows_for`] are written below it.
pub fn files() -> [PolicyFile; 2] {
    let file = |path: &str, text: &str| PolicyFile { path: path.to_owned(), text: text.to_owned() };
    [
        file("starter.cedar", include_str!("starter/starter.cedar")),
        file(CLASSES_FILE, include_str!("starter/classes.toml")),
    ]
}

/// The rows of the class table for a server that is run from this package: npm, PyPI or container image, with or
/// without a version. `alias` is the name that the server is wrapped under.
///
/// The name alone is looked at: which registry it comes from is for the caller to know. `None` for a package that is
/// not known, and for an alias that is not made of `[A-Za-z0-9._-]`.
pub fn rows_for(package: &str, alias: &str) -> Option<String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if alias.is_empty() || alias.len() > TOOL_URI_MAX / 2 || !alias.bytes().all(plain) {
        return None;
    }
    let name = without_version(package);
    // Python's names are the same with either.
    let name = if name.contains('/') { name.to_owned() } else { name.replace('_', "-") };
    let known = KNOWN.iter().find(|known| known.packages.contains(&name.as_str()))?;
    let [published, ..] = known.packages else { return None };
    let note = known.note.iter().map(|note| format!("# {note}\n")).collect::<Vec<_>>().concat();
    let row = |tool: &str, classes: &str| {
        format!("[[tool]]\nuri = \"stdio:{alias}#{tool}\"\nclasses = [{classes}]\n\n")
    };
    let rows = known.rows.iter().flat_map(|(tools, classes)| {
        let classes: Vec<String> = classes.iter().map(|class| format!("\"{class}\"")).collect();
        let classes = classes.join(", ");
        tools.iter().map(move |tool| row(tool, &classes))
    });
    Some(format!("# {published}\n{note}{}", rows.collect::<String>()))
}

/// `@scope/name@1.2`, `name==1.2`, `name[extra]>=1` and `name:tag` without what follows the name.
fn without_version(package: &str) -> &str {
    let scope = usize::from(package.starts_with('@'));
    let end = package
        .char_indices()
        .skip(scope)
        .find(|(_, c)| matches!(c, '@' | '=' | '<' | '>' | '!' | '~' | '[' | ';' | ':' | ' '));
    end.and_then(|(end, _)| package.get(..end)).unwrap_or(package)
}

/// A server whose tools are known.
struct Known {
    /// The name that it is published under, and those of the same server in other places.
    packages: &'static [&'static str],
    note: &'static [&'static str],
    rows: &'static [(&'static [&'static str], &'static [&'static str])],
}

const READ: &[&str] = &["read"];
const WRITE: &[&str] = &["write"];
const DESTRUCTIVE: &[&str] = &["write", "destructive"];
const FOREIGN: &[&str] = &["read", "untrusted"];

const KNOWN: [Known; 7] = [
    Known {
        packages: &["@modelcontextprotocol/server-filesystem", "mcp/filesystem"],
        note: &[
            "Where strangers' files lie in its directories (downloads), put `untrusted` on what reads them.",
            "write_file replaces a file without asking: put `destructive` on it where there is no copy.",
        ],
        rows: &[
            (
                &[
                    "read_file",
                    "read_text_file",
                    "read_media_file",
                    "read_multiple_files",
                    "list_directory",
                    "list_directory_with_sizes",
                    "directory_tree",
                    "search_files",
                    "get_file_info",
                    "list_allowed_directories",
                ],
                READ,
            ),
            (&["write_file", "edit_file", "create_directory", "move_file"], WRITE),
        ],
    },
    Known {
        packages: &["mcp-server-git", "mcp/git"],
        note: &["Commits are other people's words too, so what shows them is `untrusted`."],
        rows: &[
            (&["git_status", "git_branch", "git_diff_unstaged", "git_diff_staged"], READ),
            (&["git_log", "git_show", "git_diff"], FOREIGN),
            (&["git_add", "git_commit", "git_reset", "git_checkout", "git_create_branch", "git_init"], WRITE),
        ],
    },
    Known {
        packages: &["@modelcontextprotocol/server-memory", "mcp/memory"],
        note: &["What it forgets is gone, so forgetting is `destructive`."],
        rows: &[
            (&["read_graph", "search_nodes", "open_nodes"], READ),
            (&["create_entities", "create_relations", "add_observations"], WRITE),
            (&["delete_entities", "delete_observations", "delete_relations"], DESTRUCTIVE),
        ],
    },
    Known {
        packages: &["mcp-server-time", "mcp/time"],
        note: &[],
        rows: &[(&["get_current_time", "convert_time"], READ)],
    },
    Known {
        packages: &["mcp-server-fetch", "mcp/fetch"],
        note: &[
            "What it brings is written by strangers. An address can carry data out: put `external` on it to stop that.",
        ],
        rows: &[(&["fetch", "prompts/get"], FOREIGN)],
    },
    Known {
        packages: &["@modelcontextprotocol/server-everything", "mcp/everything"],
        note: &["A server to try things with. get-env shows the server's environment, secrets included."],
        rows: &[
            (
                &[
                    "echo",
                    "get-annotated-message",
                    "get-env",
                    "get-resource-links",
                    "get-resource-reference",
                    "get-roots-list",
                    "get-structured-content",
                    "get-sum",
                    "get-tiny-image",
                    "simulate-research-query",
                    "trigger-elicitation-request",
                    "trigger-elicitation-request-async",
                    "trigger-long-running-operation",
                    "trigger-sampling-request",
                    "trigger-sampling-request-async",
                    "trigger-url-elicitation",
                    "resources/read",
                    "prompts/get",
                    "completion/complete",
                ],
                READ,
            ),
            (&["toggle-simulated-logging", "toggle-subscriber-updates"], WRITE),
            (&["gzip-file-as-resource"], &["read", "write", "untrusted"]),
        ],
    },
    Known {
        packages: &["@modelcontextprotocol/server-sequential-thinking", "mcp/sequentialthinking"],
        note: &["It keeps what the agent thinks, in its own memory."],
        rows: &[(&["sequentialthinking"], READ)],
    },
];

#[cfg(test)]
#[path = "starter/tests.rs"]
mod tests;

//! Where MCP clients keep the configuration of their servers, on Linux and macOS. Windows has other places, and
//! commands of its own (`cmd /c npx …`); both are out of scope.

use std::path::{Path, PathBuf};

use crate::environment::Environment;

/// Directories above the current one that are looked at for configurations of a project.
const PROJECT_DEPTH_MAX: usize = 64;
/// Profiles of one VS Code that are looked at.
const PROFILES_MAX: usize = 64;

/// A client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Client {
    /// Claude Code
    ClaudeCode,
    /// Claude Desktop
    ClaudeDesktop,
    /// Cursor
    Cursor,
    /// Visual Studio Code
    #[value(name = "vscode")]
    VsCode,
    /// Codex
    Codex,
}

/// All clients.
pub(crate) const CLIENTS: [Client; 5] =
    [Client::ClaudeCode, Client::ClaudeDesktop, Client::Cursor, Client::VsCode, Client::Codex];

impl Client {
    /// For machines and for the command line.
    pub(crate) fn id(self) -> &'static str {
        match self {
            Self::ClaudeCode => "claude-code",
            Self::ClaudeDesktop => "claude-desktop",
            Self::Cursor => "cursor",
            Self::VsCode => "vscode",
            Self::Codex => "codex",
        }
    }

    /// For people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::ClaudeCode => "Claude Code",
            Self::ClaudeDesktop => "Claude Desktop",
            Self::Cursor => "Cursor",
            Self::VsCode => "VS Code",
            Self::Codex => "Codex",
        }
    }

    /// The client of an [`Client::id`].
    pub(crate) fn of(id: &str) -> Option<Self> {
        CLIENTS.into_iter().find(|client| client.id() == id)
    }
}

/// How a configuration names its servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// JSON: `mcpServers`, and `projects.*.mcpServers`.
    ClaudeCode,
    /// JSON: `mcpServers`.
    McpServers,
    /// JSON with comments: `servers`.
    Servers,
    /// TOML: `[mcp_servers.*]`.
    Codex,
}

impl Layout {
    /// That of a client's own file. A project's `.mcp.json` is one of Claude Code without projects, so it reads both.
    pub(crate) fn of(client: Client) -> Self {
        match client {
            Client::ClaudeCode => Self::ClaudeCode,
            Client::ClaudeDesktop | Client::Cursor => Self::McpServers,
            Client::VsCode => Self::Servers,
            Client::Codex => Self::Codex,
        }
    }
}

/// A file that may name servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) client: Client,
    pub(crate) path: PathBuf,
    pub(crate) layout: Layout,
    /// Whether it belongs to a project, so that others may have it too.
    pub(crate) shared: bool,
}

/// Every place where a client could have its configuration, whether there is a file or not.
pub(crate) fn all(environment: &Environment, current_dir: &Path) -> Vec<Place> {
    let projects = projects(current_dir, environment.home().as_deref());
    let mut places = Vec::new();
    for client in CLIENTS {
        let layout = Layout::of(client);
        let own = own(client, environment).into_iter();
        places.extend(own.map(|path| Place { client, path, layout, shared: false }));
        let Some((below, layout)) = below_project(client) else { continue };
        let shared = projects.iter().map(|project| project.join(below));
        // started in the home directory, the user's file would be found as that of a project too
        let shared: Vec<_> = shared.filter(|path| places.iter().all(|place| place.path != *path)).collect();
        places.extend(shared.into_iter().map(|path| Place { client, path, layout, shared: true }));
    }
    places
}

/// Files of the user.
fn own(client: Client, environment: &Environment) -> Vec<PathBuf> {
    let Some(home) = environment.home() else { return Vec::new() };
    let config = environment.config_home().unwrap_or_else(|| home.join(".config"));
    let mac = home.join("Library/Application Support");
    match client {
        // https://code.claude.com/docs/en/mcp (scopes `user` and `local`) and /en/settings (CLAUDE_CONFIG_DIR)
        Client::ClaudeCode => {
            let dir = environment.absolute("CLAUDE_CONFIG_DIR").unwrap_or(home);
            vec![dir.join(".claude.json")]
        }
        // https://modelcontextprotocol.io/docs/develop/connect-local-servers (macOS); on Linux the application keeps
        // its files where Electron puts them
        Client::ClaudeDesktop => {
            let file = "Claude/claude_desktop_config.json";
            vec![config.join(file), mac.join(file)]
        }
        // https://cursor.com/docs/mcp
        Client::Cursor => vec![home.join(".cursor/mcp.json")],
        // https://code.visualstudio.com/docs/agents/reference/mcp-configuration and /docs/configure/profiles
        Client::VsCode => [&config, &mac]
            .iter()
            .flat_map(|base| ["Code/User", "Code - Insiders/User"].map(|user| base.join(user)))
            .flat_map(|user| std::iter::once(user.join("mcp.json")).chain(profiles(&user)))
            .collect(),
        // https://developers.openai.com/codex/mcp and /codex/config-file/environment-variables (CODEX_HOME)
        Client::Codex => {
            let dir = environment.absolute("CODEX_HOME").unwrap_or_else(|| home.join(".codex"));
            vec![dir.join("config.toml")]
        }
    }
}

/// The file in a project's directory; from the same pages.
fn below_project(client: Client) -> Option<(&'static str, Layout)> {
    match client {
        Client::ClaudeCode => Some((".mcp.json", Layout::McpServers)),
        Client::ClaudeDesktop => None,
        Client::Cursor => Some((".cursor/mcp.json", Layout::McpServers)),
        Client::VsCode => Some((".vscode/mcp.json", Layout::Servers)),
        Client::Codex => Some((".codex/config.toml", Layout::Codex)),
    }
}

fn profiles(user: &Path) -> Vec<PathBuf> {
    let found = std::fs::read_dir(user.join("profiles")).into_iter().flatten().flatten();
    let mut all: Vec<_> = found.take(PROFILES_MAX).map(|entry| entry.path().join("mcp.json")).collect();
    all.sort();
    all
}

/// The current directory, and the ones above it as far as the root of the repository, where it is in one. The home
/// directory is nobody's project.
fn projects(current_dir: &Path, home: Option<&Path>) -> Vec<PathBuf> {
    let above: Vec<&Path> = current_dir
        .ancestors()
        .take(PROJECT_DEPTH_MAX)
        .take_while(|dir| Some(*dir) != home || *dir == current_dir)
        .collect();
    let root = above.iter().position(|dir| dir.join(".git").exists()).unwrap_or(0);
    above.into_iter().take(root + 1).map(Path::to_path_buf).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_reaches_up_to_its_repository_and_not_into_the_home_directory() {
        let home = tempfile::tempdir().unwrap();
        let deep = home.path().join("work/repo/a/b");
        std::fs::create_dir_all(&deep).unwrap();
        assert_eq!(projects(&deep, Some(home.path())), std::slice::from_ref(&deep));
        std::fs::create_dir(home.path().join("work/repo/.git")).unwrap();
        let found = projects(&deep, Some(home.path()));
        assert_eq!(found, ["work/repo/a/b", "work/repo/a", "work/repo"].map(|below| home.path().join(below)));
        // a home directory under version control is no project of whatever lies below
        std::fs::remove_dir(home.path().join("work/repo/.git")).unwrap();
        std::fs::create_dir(home.path().join(".git")).unwrap();
        assert_eq!(projects(&deep, Some(home.path())), [deep]);
        assert_eq!(projects(home.path(), Some(home.path())), [home.path()]);
    }

    #[test]
    fn each_client_is_looked_for_where_its_documentation_says() {
        let home = tempfile::tempdir().unwrap();
        let text = home.path().to_str().unwrap();
        std::fs::create_dir_all(home.path().join(".config/Code/User/profiles/-5a3f")).unwrap();
        let places = all(&Environment::of(&[("HOME", text)]), Path::new("/srv/p"));
        let found: Vec<_> = places
            .iter()
            .map(|place| (place.client.id(), place.path.to_str().unwrap().replace(text, "~"), place.shared))
            .collect();
        let expected = [
            ("claude-code", "~/.claude.json", false),
            ("claude-code", "/srv/p/.mcp.json", true),
            ("claude-desktop", "~/.config/Claude/claude_desktop_config.json", false),
            ("claude-desktop", "~/Library/Application Support/Claude/claude_desktop_config.json", false),
            ("cursor", "~/.cursor/mcp.json", false),
            ("cursor", "/srv/p/.cursor/mcp.json", true),
            ("vscode", "~/.config/Code/User/mcp.json", false),
            ("vscode", "~/.config/Code/User/profiles/-5a3f/mcp.json", false),
            ("vscode", "~/.config/Code - Insiders/User/mcp.json", false),
            ("vscode", "~/Library/Application Support/Code/User/mcp.json", false),
            ("vscode", "~/Library/Application Support/Code - Insiders/User/mcp.json", false),
            ("vscode", "/srv/p/.vscode/mcp.json", true),
            ("codex", "~/.codex/config.toml", false),
            ("codex", "/srv/p/.codex/config.toml", true),
        ];
        assert_eq!(found, expected.map(|(client, path, shared)| (client, path.to_owned(), shared)));
    }

    #[test]
    fn variables_move_the_places() {
        let environment = Environment::of(&[
            ("HOME", "/h"),
            ("XDG_CONFIG_HOME", "/x"),
            ("CLAUDE_CONFIG_DIR", "/c"),
            ("CODEX_HOME", "/o"),
        ]);
        // and in the home directory nothing is found twice
        let places = all(&environment, Path::new("/h"));
        let has = |path: &str| places.iter().filter(|place| place.path == Path::new(path)).count();
        for path in ["/c/.claude.json", "/x/Claude/claude_desktop_config.json", "/x/Code/User/mcp.json"] {
            assert_eq!(has(path), 1, "{path}");
        }
        assert_eq!(
            (has("/o/config.toml"), has("/h/.cursor/mcp.json"), has("/h/.codex/config.toml")),
            (1, 1, 1)
        );
    }
}

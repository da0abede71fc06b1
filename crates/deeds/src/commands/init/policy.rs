//! The starter policy that `deeds init` offers: written once, never over anything, with rows for the servers that are
//! recognised.

use std::fs::DirBuilder;
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use ::policy::{CLASSES_FILE, PolicyFile, starter};
use anyhow::Context as _;
use serde_json::{Value, json};

use crate::cli::InitArgs;
use crate::clock;
use crate::config::{Config, check_text};
use crate::files::{Existing, SHARED, write_whole};
use crate::wiring::{FilePlan, Records, ServerState, write_own};

/// Words of a command that may name its package, beside the program itself.
const PACKAGE_WORDS: usize = 3;
/// Words that runners have before the package.
const RUNNER_WORDS: [&str; 5] = ["tool", "run", "exec", "x", "dlx"];
/// Where npm publishes the servers whose programs are called `mcp-server-…`.
const NPM_SCOPE: &str = "@modelcontextprotocol/";

/// What is offered.
#[derive(Debug)]
pub(super) struct Offer {
    dir: PathBuf,
    /// What would be written; nothing where the directory has something in it.
    files: Vec<PolicyFile>,
    /// Our configuration and the line it would get; nothing where it names a policy.
    line: Option<(PathBuf, String)>,
    /// The directory that is configured already.
    configured: Option<PathBuf>,
}

/// What there is to offer; nothing where no server is found, and where another user's server decides.
pub(super) fn offer(config: &Config, args: &InitArgs, plans: &[FilePlan]) -> anyhow::Result<Option<Offer>> {
    let servers = servers(plans);
    if servers.is_empty() || config.is_system_client() {
        return Ok(None);
    }
    let own = config.dir()?;
    let named = args.policy.as_deref().map(std::path::absolute).transpose()?;
    let dir = named.or_else(|| config.policy.clone()).unwrap_or_else(|| own.join("policy"));
    let path = config.file.clone().unwrap_or_else(|| own.join("config.toml"));
    let line = config.policy.is_none().then(|| setting(&path, &dir)).transpose()?;
    let files = if is_unused(&dir)? { files(&servers) } else { Vec::new() };
    Ok(Some(Offer { dir, files, line: line.map(|line| (path, line)), configured: config.policy.clone() }))
}

/// Each server once, with our name for it and its command.
fn servers(plans: &[FilePlan]) -> Vec<(String, Vec<String>)> {
    let mut all: Vec<(String, Vec<String>)> = Vec::new();
    for server in plans.iter().flat_map(|plan| &plan.servers) {
        if let ServerState::ToWrap(alias) | ServerState::Wrapped(alias) = &server.state
            && all.iter().all(|(known, _)| known != alias)
        {
            all.push((alias.clone(), server.command.clone()));
        }
    }
    all
}

fn setting(config: &Path, dir: &Path) -> anyhow::Result<String> {
    // a path of the file is relative to the file's directory
    let below = config.parent().and_then(|base| dir.strip_prefix(base).ok()).unwrap_or(dir);
    let text = below.to_str().context("the path of the policy directory is not UTF-8 text")?;
    Ok(format!("policy = {}", Value::from(text)))
}

fn is_unused(dir: &Path) -> anyhow::Result<bool> {
    match std::fs::read_dir(dir) {
        Ok(mut found) => Ok(found.next().is_none()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error).with_context(|| format!("cannot look into `{}`", dir.display())),
    }
}

/// The starter files; below the head of the class table rows for what is recognised, and for the rest rows to fill in.
fn files(servers: &[(String, Vec<String>)]) -> Vec<PolicyFile> {
    let mut rows = String::new();
    for (alias, command) in servers {
        let known = candidates(command).iter().find_map(|package| starter::rows_for(package, alias));
        rows.push('\n');
        rows.push_str(known.unwrap_or_else(|| unknown(alias)).trim_end());
        rows.push('\n');
    }
    let with_rows = |mut file: PolicyFile| {
        if file.path == CLASSES_FILE {
            file.text.push_str(&rows);
        }
        file
    };
    starter::files().into_iter().map(with_rows).collect()
}

fn unknown(alias: &str) -> String {
    format!(
        "# {alias}: its tools are not known here. Say what they are and take the marks away, tool by tool or for all:\n\
         # [[tool]]\n# uri = \"stdio:{alias}#*\"\n# classes = [\"read\", \"write\"]\n"
    )
}

/// Words of a command that could be the name of its package.
fn candidates(command: &[String]) -> Vec<String> {
    let Some((program, args)) = command.split_first() else { return Vec::new() };
    let name = |word: &str| word.rsplit('/').next().unwrap_or_default().to_owned();
    let is_container = matches!(name(program).as_str(), "docker" | "podman");
    let words = args.iter().filter(|word| !word.starts_with('-') && !RUNNER_WORDS.contains(&word.as_str()));
    let words = words.take(if is_container { args.len() } else { PACKAGE_WORDS }).cloned();
    let mut all: Vec<String> = std::iter::once(name(program)).chain(words).collect();
    let of_npm = name(program).strip_prefix("mcp-").map(|server| format!("{NPM_SCOPE}{server}"));
    all.extend(of_npm);
    all
}

impl Offer {
    /// As it would be.
    pub(super) fn shown(&self) -> Value {
        self.report(false, None)
    }

    /// Writes what is not there yet, and tells what became of it.
    pub(super) fn carry_out(&self, records: &mut Records) -> Value {
        let written = self.write(records);
        self.report(written.is_ok(), written.as_ref().err().map(crate::chain).as_deref())
    }

    fn write(&self, records: &mut Records) -> anyhow::Result<()> {
        if !self.files.is_empty() {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(&self.dir);
            made.with_context(|| format!("cannot make `{}`", self.dir.display()))?;
        }
        for file in &self.files {
            let path = self.dir.join(&file.path);
            write_whole(&path, file.text.as_bytes(), SHARED, Existing::Refuse)
                .with_context(|| format!("cannot write `{}`", path.display()))?;
        }
        // only once the directory is whole: a server that starts in between finds either none or all of it
        if let Some((path, line)) = &self.line {
            write_own(path, line, records, clock::now_ms(), check_text)?;
        }
        Ok(())
    }

    fn report(&self, written: bool, error: Option<&str>) -> Value {
        let files: Vec<&str> = self.files.iter().map(|file| file.path.as_str()).collect();
        json!({
            "dir": self.dir,
            "files": files,
            "configured": self.configured,
            "config": self.line.as_ref().map(|(path, _)| path),
            "line": self.line.as_ref().map(|(_, line)| line),
            "written": written,
            "error": error,
        })
    }
}

#[cfg(test)]
mod tests {
    use ::policy::PolicySet;

    use super::*;

    fn words(command: &str) -> Vec<String> {
        command.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn packages_are_recognised_however_they_are_run() {
        for command in [
            "npx -y @modelcontextprotocol/server-filesystem@2026.8.31 /srv",
            "/usr/local/bin/mcp-server-filesystem /srv",
            "docker run -i --rm --mount type=bind,src=/a,dst=/b -e X=y mcp/filesystem /b",
            "pnpm dlx @modelcontextprotocol/server-filesystem .",
        ] {
            let text = files(&[("fs".to_owned(), words(command))]).pop().unwrap().text;
            assert!(
                text.contains("uri = \"stdio:fs#write_file\"\nclasses = [\"write\"]"),
                "{command}: {text}"
            );
        }
        for command in [
            "uvx mcp-server-git",
            "python3 -m mcp_server_git",
            "uv tool run mcp-server-git==1 --repository .",
        ] {
            let text = files(&[("repo".to_owned(), words(command))]).pop().unwrap().text;
            assert!(text.contains("uri = \"stdio:repo#git_commit\""), "{command}: {text}");
        }
        // a word far behind is an argument and no package
        let text = files(&[("x".to_owned(), words("mine a b c d mcp-server-git"))]).pop().unwrap().text;
        assert!(text.contains("\n# x: its tools are not known here"), "{text}");
    }

    #[test]
    fn what_is_written_is_a_sound_policy() {
        let dir = tempfile::tempdir().unwrap();
        let servers = [
            ("fs".to_owned(), words("npx @modelcontextprotocol/server-filesystem /srv")),
            ("own".to_owned(), words("./server.py")),
        ];
        for file in files(&servers) {
            assert!(file.text.ends_with('\n') && !file.text.ends_with("\n\n"), "{}", file.path);
            std::fs::write(dir.path().join(&file.path), file.text).unwrap();
        }
        PolicySet::load(dir.path()).unwrap();
        assert!(!is_unused(dir.path()).unwrap());
        assert!(is_unused(&dir.path().join("other")).unwrap());
    }

    #[test]
    fn a_directory_beside_the_configuration_is_named_from_there() {
        let config = Path::new("/h/.config/deeds/config.toml");
        assert_eq!(setting(config, Path::new("/h/.config/deeds/policy")).unwrap(), "policy = \"policy\"");
        assert_eq!(setting(config, Path::new("/srv/a \"b\"")).unwrap(), "policy = \"/srv/a \\\"b\\\"\"");
    }
}

//! The starter policy that `deeds init` offers: written once, never over anything, with rows for the servers that are
//! recognised; rows of servers that came later are added below what its owner made of it.

use std::fs::DirBuilder;
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use ::policy::{CLASSES_FILE, PolicyFile, starter};
use anyhow::Context as _;
use serde_json::{Value, json};

use crate::cli::InitArgs;
use crate::clock;
use crate::commands::class_table::ClassTable;
use crate::config::{Config, check_text};
use crate::files::{Existing, SHARED, read_limited, write_whole};
use crate::wiring::{FilePlan, Records, ServerState, write_own};

/// Words of a command that may name its package, beside the program itself.
const PACKAGE_WORDS: usize = 3;
/// Words that runners have before the package.
const RUNNER_WORDS: [&str; 5] = ["tool", "run", "exec", "x", "dlx"];
/// Directories above a script that are looked at for its package.
const PACKAGE_DEPTH_MAX: usize = 8;
/// Largest `package.json` that is read, bytes.
const PACKAGE_MAX_BYTES: usize = 1_024 * 1_024;
/// Where npm publishes the servers whose programs are called `mcp-server-…`.
const NPM_SCOPE: &str = "@modelcontextprotocol/";

/// What is offered.
#[derive(Debug)]
pub(super) struct Offer {
    dir: PathBuf,
    /// What would be written; nothing where the directory has something in it.
    files: Vec<PolicyFile>,
    /// What a class table of an earlier time lacks.
    lacking: Lacking,
    /// Our configuration and the line it would get; nothing where it names a policy.
    line: Option<(PathBuf, String)>,
    /// The directory that is configured already.
    configured: Option<PathBuf>,
}

/// Rows for the servers that a class table says nothing of.
#[derive(Debug, Default)]
struct Lacking {
    /// The table, and what is put below it.
    add: Option<(ClassTable, String)>,
    /// Rows that are only shown, because its owner has begun to say something of these servers.
    by_hand: Option<String>,
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
    let unused = is_unused(&dir)?;
    let files = if unused { files(&servers) } else { Vec::new() };
    let lacking = if unused { Lacking::default() } else { lacking(&dir, &servers) };
    Ok(Some(Offer {
        dir,
        files,
        lacking,
        line: line.map(|line| (path, line)),
        configured: config.policy.clone(),
    }))
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
    let rows: String = servers.iter().map(|(alias, command)| rows(alias, command)).collect();
    let with_rows = |mut file: PolicyFile| {
        if file.path == CLASSES_FILE {
            file.text.push_str(&rows);
        }
        file
    };
    starter::files().into_iter().map(with_rows).collect()
}

/// The rows of one server below a blank line; the first line names it.
fn rows(alias: &str, command: &[String]) -> String {
    let known = candidates(command).iter().find_map(|package| starter::rows_for(package, alias));
    let known = known.map(|rows| rows.replacen("# ", &format!("# {alias}: "), 1));
    format!("\n{}\n", known.unwrap_or_else(|| unknown(alias)).trim_end())
}

/// What is missing in a class table that began as the one that is written here. Nothing in it is touched: rows of a
/// server that no row is about go below the last line, if the policy is sound with them; others are for its owner.
fn lacking(dir: &Path, servers: &[(String, Vec<String>)]) -> Lacking {
    let head = starter::files().into_iter().find(|file| file.path == CLASSES_FILE);
    let (Ok(table), Some(head)) = (ClassTable::read(dir), head) else { return Lacking::default() };
    if table.text.lines().next() != head.text.lines().next() {
        return Lacking::default();
    }
    let about = uris(&table.text);
    let is_about = |alias: &str| {
        let server = format!("stdio:{alias}");
        about.iter().any(|uri| uri.split('#').next() == Some(server.as_str()))
    };
    let is_told = |alias: &str| table.text.contains(&format!("\"stdio:{alias}#"));
    let new = servers.iter().filter(|(alias, _)| !is_told(alias));
    let (begun, none): (Vec<_>, Vec<_>) = new.partition(|(alias, _)| is_about(alias));
    let rows_of = |servers: &[&(String, Vec<String>)]| -> Option<String> {
        let rows: String = servers.iter().map(|(alias, command)| rows(alias, command)).collect();
        (!rows.is_empty()).then_some(rows)
    };
    let mut by_hand = rows_of(&begun);
    let add = rows_of(&none).and_then(|rows| {
        let end = if table.text.ends_with('\n') { "" } else { "\n" };
        let below = format!("{end}{rows}");
        if table.check(&format!("{}{below}", table.text)).is_ok() {
            return Some((table, below));
        }
        by_hand = Some(format!("{}{rows}", by_hand.take().unwrap_or_default()));
        None
    });
    Lacking { add, by_hand }
}

/// What the rows of a class table are about; nothing where it is no TOML.
fn uris(text: &str) -> Vec<String> {
    let table: toml::Table = toml::from_str(text).unwrap_or_default();
    let rows = ["tool", "server"].into_iter().filter_map(|kind| table.get(kind)?.as_array()).flatten();
    rows.filter_map(|row| Some(row.get("uri")?.as_str()?.to_owned())).collect()
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
    all.extend(
        args.iter().filter(|arg| is_script(arg)).take(1).filter_map(|script| package_of(Path::new(script))),
    );
    all
}

fn is_script(word: &str) -> bool {
    Path::new(word).extension().is_some_and(|end| ["js", "mjs", "cjs"].iter().any(|known| end == *known))
}

/// The name in the nearest `package.json` above a script. A relative path starts where the client does, which is not
/// known here.
fn package_of(script: &Path) -> Option<String> {
    let dirs = script.ancestors().skip(1).take(PACKAGE_DEPTH_MAX);
    let file =
        dirs.map(|dir| dir.join("package.json")).find(|file| script.is_absolute() && file.is_file())?;
    let package: Value = serde_json::from_slice(&read_limited(&file, PACKAGE_MAX_BYTES).ok()?).ok()?;
    package.get("name").and_then(Value::as_str).map(str::to_owned)
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
        if let Some((table, rows)) = &self.lacking.add {
            table.replace(&format!("{}{rows}", table.text))?;
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
            "rows": self.lacking.by_hand,
            "added": self.lacking.add.as_ref().map(|(table, rows)| json!({
                "path": table.path, "rows": rows, "lines_before": table.text.lines().count(),
            })),
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
    fn a_script_is_known_by_the_package_that_it_lies_in() {
        let dir = tempfile::tempdir().unwrap();
        let package = dir.path().join("node_modules/@modelcontextprotocol/server-filesystem");
        std::fs::create_dir_all(package.join("dist")).unwrap();
        let name = "{\"name\": \"@modelcontextprotocol/server-filesystem\"}";
        std::fs::write(package.join("package.json"), name).unwrap();
        let command = format!("node {} /srv", package.join("dist/index.js").display());
        let text = rows("fs", &words(&command));
        assert!(
            text.starts_with("\n# fs: @modelcontextprotocol/server-filesystem\n")
                && text.contains("stdio:fs#write_file"),
            "{text}"
        );
        assert!(rows("fs", &words("node dist/index.js")).contains("# fs: its tools are not known"));
    }

    #[test]
    fn rows_are_added_for_servers_that_came_later() {
        let dir = tempfile::tempdir().unwrap();
        let classes = dir.path().join(CLASSES_FILE);
        let first = ("own".to_owned(), words("./server.py"));
        for file in files(std::slice::from_ref(&first)) {
            std::fs::write(dir.path().join(&file.path), file.text).unwrap();
        }
        let none = lacking(dir.path(), std::slice::from_ref(&first));
        assert!(none.add.is_none() && none.by_hand.is_none(), "{none:?}");
        let later = ("repo".to_owned(), words("uvx mcp-server-git"));
        let both = [first, later];
        let (table, rows) = lacking(dir.path(), &both).add.unwrap();
        assert!(rows.contains("stdio:repo#git_commit") && !rows.contains("stdio:own#"), "{rows}");
        table.replace(&format!("{}{rows}", table.text)).unwrap();
        PolicySet::load(dir.path()).unwrap();
        let again = lacking(dir.path(), &both);
        assert!(again.add.is_none() && again.by_hand.is_none(), "{again:?}");
        // without a line break at the end, and with one server that its owner has begun to describe in another way
        let text =
            format!("{}[[server]]\nuri = 'stdio:repo'\npackage = 'sha256:{}'", table.text, "0".repeat(64));
        std::fs::write(&classes, &text).unwrap();
        let third = ("mem".to_owned(), words("mcp-server-memory"));
        let told = lacking(dir.path(), &[both[1].clone(), third.clone()]);
        assert!(told.by_hand.unwrap().contains("stdio:repo#git_commit"));
        let (table, rows) = told.add.unwrap();
        assert!(rows.contains("stdio:mem#delete_entities") && !rows.contains("stdio:repo#"), "{rows}");
        assert!(table.check(&format!("{text}{rows}")).is_ok());
        // nothing is put below what cannot be used
        std::fs::write(&classes, format!("{text}\n[[tool]\n")).unwrap();
        let told = lacking(dir.path(), std::slice::from_ref(&third));
        assert!(told.add.is_none() && told.by_hand.unwrap().contains("stdio:mem#"));
        // what began otherwise is somebody's own
        std::fs::write(&classes, "# mine\n").unwrap();
        let told = lacking(dir.path(), &both);
        assert!(told.add.is_none() && told.by_hand.is_none(), "{told:?}");
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

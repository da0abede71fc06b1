//! The processes that a command has started, as `/proc` shows them.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::files;
use crate::limits::{OPEN_FILES_MAX, PROCESS_ARGUMENTS_MAX, PROCESSES_MAX};

/// What runs scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Interpreter {
    Node,
    Python,
}

/// One process.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Process {
    /// The file that it executes.
    pub(super) executable: PathBuf,
    /// Its words, the program first.
    pub(super) arguments: Vec<String>,
    /// Its working directory.
    pub(super) directory: PathBuf,
}

impl Process {
    fn read(proc: &Path, pid: u32) -> Option<Self> {
        let dir = proc.join(pid.to_string());
        let words = files::bytes(&dir.join("cmdline"), PROCESS_ARGUMENTS_MAX)?;
        let words = words.split(|byte| *byte == 0).map(|word| String::from_utf8(word.to_vec()));
        Some(Self {
            executable: fs::read_link(dir.join("exe")).ok()?,
            arguments: words.collect::<Result<_, _>>().ok()?,
            directory: fs::read_link(dir.join("cwd")).ok()?,
        })
    }

    /// What it runs scripts with, by the name of its executable.
    pub(super) fn interpreter(&self) -> Option<Interpreter> {
        let name = self.executable.file_name()?.as_bytes();
        match name {
            b"node" | b"nodejs" => Some(Interpreter::Node),
            _ if name.starts_with(b"python") => Some(Interpreter::Python),
            _ => None,
        }
    }

    /// A file or directory that it names, with symbolic links followed.
    pub(super) fn resolve(&self, path: &str) -> Option<PathBuf> {
        let given = self.directory.join(path);
        // `node server` runs `server.js`
        fs::canonicalize(&given).or_else(|_| fs::canonicalize(format!("{}.js", given.display()))).ok()
    }
}

/// The started process and those below it that hold its input, the deepest first: the server is the one that was
/// started last on the way there, not a helper of its own, which it would not let read what its client says. Some
/// servers move their streams elsewhere once they run, so that it does not matter under which number they hold it.
pub(super) fn servers(proc: &Path, started: u32, input: &Path) -> Vec<Process> {
    let children = children(proc);
    let mut found = vec![started];
    let mut at = 0;
    while let Some(parent) = found.get(at) {
        let below: Vec<u32> = children.get(parent).cloned().unwrap_or_default();
        found.extend(below.into_iter().filter(|pid| *pid != started));
        found.truncate(PROCESSES_MAX);
        at += 1;
    }
    let holds = |pid: u32| pid == started || holds(&proc.join(pid.to_string()).join("fd"), input);
    found.iter().rev().filter(|pid| holds(**pid)).filter_map(|pid| Process::read(proc, *pid)).collect()
}

/// Whether one of the open files is this one, by the name that the kernel gives it.
fn holds(files: &Path, input: &Path) -> bool {
    let open = fs::read_dir(files).into_iter().flatten().flatten().take(OPEN_FILES_MAX);
    open.into_iter().any(|file| fs::read_link(file.path()).is_ok_and(|name| name == input))
}

/// Processes by parent, each list in ascending order.
fn children(proc: &Path) -> BTreeMap<u32, Vec<u32>> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for entry in fs::read_dir(proc).into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        if let Some(parent) = parent(&entry.path()) {
            children.entry(parent).or_default().push(pid);
        }
    }
    for pids in children.values_mut() {
        pids.sort_unstable();
    }
    children
}

/// The parent, from `stat`: after the name in parentheses, which may hold anything, the state and then the parent.
fn parent(dir: &Path) -> Option<u32> {
    let stat = files::bytes(&dir.join("stat"), PROCESS_ARGUMENTS_MAX)?;
    let after = stat.iter().rposition(|byte| *byte == b')')?;
    let rest = core::str::from_utf8(stat.get(after + 1..)?).ok()?;
    rest.split_whitespace().nth(1)?.parse().ok()
}

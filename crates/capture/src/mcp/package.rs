//! Which package the wrapped server comes from: that of the script which an interpreter runs (Linux).
//!
//! A command such as `npx` or `uvx` starts further processes, and the last of those that hold its standard input is
//! the server. Its script leads to a package: for Node.js the nearest `package.json` with a name, for Python the
//! distribution whose `RECORD` lists it. All of it is a look at this host from outside: what cannot be found out
//! stays unknown.

mod files;
mod process;
mod python;

use std::path::{Path, PathBuf};

use self::process::{Interpreter, Process};

/// A server that was started.
#[derive(Debug, Clone)]
pub(crate) struct Started {
    /// The process.
    pub(crate) pid: u32,
    /// Its standard input, by the name that the kernel gives.
    pub(crate) input: PathBuf,
}

/// Digest string of the package of a server.
pub(crate) fn digest(started: &Started) -> Option<String> {
    digest_in(Path::new("/proc"), started)
}

fn digest_in(proc: &Path, started: &Started) -> Option<String> {
    process::servers(proc, started.pid, &started.input).iter().find_map(of_process)
}

fn of_process(process: &Process) -> Option<String> {
    match process.interpreter()? {
        Interpreter::Node => files::digest(&files::code_in(&node_package(&node_script(process)?)?)?),
        Interpreter::Python => files::digest(&python::own_files(process)?),
    }
}

/// Options of Node.js that take the argument after them.
const NODE_WITH_VALUE: [&str; 9] = [
    "-r",
    "--require",
    "--import",
    "--loader",
    "--experimental-loader",
    "-C",
    "--conditions",
    "--env-file",
    "--title",
];

/// The script that Node.js runs, with symbolic links followed (`npx` goes through one).
fn node_script(process: &Process) -> Option<PathBuf> {
    let mut arguments = process.arguments.iter().skip(1).map(String::as_str);
    loop {
        match arguments.next()? {
            "-e" | "--eval" | "-p" | "--print" | "-" | "-i" | "--interactive" => return None,
            "--" => return process.resolve(arguments.next()?),
            option if NODE_WITH_VALUE.contains(&option) => drop(arguments.next()),
            option if option.starts_with('-') => {}
            script => return process.resolve(script),
        }
    }
}

/// The directory of the package that a script belongs to. Directories above a `node_modules` belong to others.
fn node_package(script: &Path) -> Option<PathBuf> {
    script
        .ancestors()
        .skip(usize::from(!script.is_dir()))
        .take_while(|dir| !dir.ends_with("node_modules"))
        .find(|dir| is_named(dir))
        .map(Path::to_path_buf)
}

/// Whether a directory has a `package.json` with a name. Those without one only say how files are to be read.
fn is_named(dir: &Path) -> bool {
    let Some(text) = files::text(&dir.join("package.json")) else { return false };
    let Ok(manifest) = serde_json::from_str::<serde_json::Value>(&text) else { return false };
    manifest.get("name").is_some_and(serde_json::Value::is_string)
}

#[cfg(test)]
mod tests;

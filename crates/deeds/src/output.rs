//! The one place that writes to standard output. Data goes there; everything else goes to standard error.

use std::io::{self, ErrorKind, IsTerminal as _, Write as _};

use anyhow::Context as _;
use serde::Serialize;

use crate::render::text::wrap_lines;

/// Columns assumed where standard output is no terminal: wide enough not to cut what a program reads.
const WIDE: usize = 10_000;
/// Fewest columns that text is laid out for.
const NARROW: usize = 60;

/// In which form results are printed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    /// Whether JSON was asked for.
    pub(crate) json: bool,
    /// Columns of the terminal.
    pub(crate) width: usize,
}

impl Output {
    /// For the terminal that standard output leads to, if it leads to one.
    pub(crate) fn new(json: bool) -> Self {
        let stdout = io::stdout();
        let columns = || rustix::termios::tcgetwinsize(&stdout).map_or(100, |size| usize::from(size.ws_col));
        Self { json, width: if stdout.is_terminal() { columns().max(NARROW) } else { WIDE } }
    }
}

/// Prints text, which may hold styles: they are kept where the terminal shows them and the user wants them.
pub(crate) fn print_text(text: &str) -> anyhow::Result<()> {
    let mut stdout = anstream::stdout().lock();
    written(stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()))
}

/// Prints bytes as they are, with a newline after them.
pub(crate) fn print_raw(bytes: &[u8]) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    let newline: &[u8] = if bytes.ends_with(b"\n") { b"" } else { b"\n" };
    written(stdout.write_all(bytes).and_then(|()| stdout.write_all(newline)).and_then(|()| stdout.flush()))
}

/// Prints a value as one line of JSON.
pub(crate) fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    print_raw(&serde_json::to_vec(value)?)
}

/// Prints a remark for people to standard error, wrapped to the terminal. It may get lost; nothing depends on it.
pub(crate) fn remark(text: &str) {
    let stderr = io::stderr();
    let columns = || rustix::termios::tcgetwinsize(&stderr).map_or(100, |size| usize::from(size.ws_col));
    let width = if stderr.is_terminal() { columns().max(NARROW) } else { WIDE };
    let _ = writeln!(anstream::stderr().lock(), "{}", wrap_lines(text, width));
}

/// Prints a value as one line of JSON to standard error, where standard output is somebody else's.
pub(crate) fn remark_json(value: &serde_json::Value) {
    let _ = writeln!(io::stderr().lock(), "{value}");
}

/// How far something is that may take long, on one line of a terminal. Where standard error is none, nothing is said.
pub(crate) struct Progress {
    what: &'static str,
    shown: bool,
}

impl Progress {
    /// For something that has not begun.
    pub(crate) fn new(what: &'static str) -> Self {
        Self { what, shown: false }
    }

    /// Says how far it is.
    pub(crate) fn at(&mut self, done: u64, all: u64) {
        if io::stderr().is_terminal() {
            // back to the beginning of the line, which is cleared
            let percent = done.saturating_mul(100).checked_div(all).unwrap_or(100).min(100);
            let line = format!("\r\x1b[K{}: {percent} % ({done} of {all} entries)", self.what);
            let _ = anstream::stderr().lock().write_all(line.as_bytes());
            self.shown = true;
        }
    }

    /// Takes the line away.
    pub(crate) fn end(&mut self) {
        if self.shown {
            let _ = io::stderr().lock().write_all(b"\r\x1b[K");
            self.shown = false;
        }
    }
}

/// A reader that has seen enough is no error; the exit code still says what was found.
fn written(result: io::Result<()>) -> anyhow::Result<()> {
    match result {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => other.context("cannot write to standard output"),
    }
}

//! Programs that a test puts where others may start them.

use std::path::Path;
use std::process::Command;

/// Copies a program, with its mode.
///
/// Another process does it. Had this one the file open for writing while another thread starts a process, that process
/// would hold it open until its own program runs, and nobody could start the copy meanwhile ("text file busy").
///
/// # Panics
/// When it cannot be copied.
pub fn copy_program(from: impl AsRef<Path>, to: impl AsRef<Path>) {
    let copied = Command::new("cp").arg("-p").arg("--").arg(from.as_ref()).arg(to.as_ref()).status();
    assert!(copied.is_ok_and(|status| status.success()), "the program was not copied");
}

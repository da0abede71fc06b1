//! The command as a child process: its standard streams are ours, and signals that ask us to end go to it.

use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use super::stop::Stop;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// It has ended, and the operating system does not say how.
    Unknown,
}

/// Starts the command. It gets our environment but for `own_variables`: on whose authority it was started is none of
/// its business. If we are killed, it goes on.
pub(crate) fn start(argv: &[String], cwd: &str, own_variables: &[String]) -> io::Result<Child> {
    let mut command = Command::new(argv.first().map(String::as_str).unwrap_or_default());
    for name in own_variables {
        command.env_remove(name);
    }
    command.args(argv.get(1..).unwrap_or_default()).current_dir(cwd).spawn()
}

/// Waits for its end and passes signals on meanwhile.
pub(crate) async fn wait(mut child: Child, stop: &mut Stop) -> Exit {
    loop {
        tokio::select! {
            ended = child.wait() => return ended.map_or(Exit::Unknown, Exit::of),
            Some(signal) = stop.next() => {
                if !signal.shared {
                    pass_on(&child, signal.number);
                }
            }
        }
    }
}

fn pass_on(child: &Child, signal: i32) {
    // as long as it was not waited for, its number stands for no other process
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
    if let (Some(pid), Some(signal)) = (pid, Signal::from_named_raw(signal))
        && let Err(error) = kill_process(pid, signal)
    {
        tracing::warn!(%error, ?signal, "a signal could not be passed on to the command");
    }
}

impl Exit {
    fn of(status: ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(code), _) => Self::Code(code),
            (None, Some(signal)) => Self::Signal(signal),
            (None, None) => Self::Unknown,
        }
    }

    /// The exit code that says the same: 128 and the signal's number where one ended it, as shells have it.
    pub fn code(self) -> u8 {
        let code = match self {
            Self::Code(code) => code,
            Self::Signal(signal) => 128 + signal,
            Self::Unknown => 1,
        };
        u8::try_from(code).unwrap_or(1)
    }
}

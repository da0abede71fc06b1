//! A player and all that it starts: one process group, seen to its end.
//!
//! A wrap that outlived the stage would start the server again that it is used to. So the whole family must be gone
//! before the server is stopped. Each of them inherits one pipe as standard error: when that ends, all have ended,
//! whoever was to wait for them.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, ChildStderr, Command};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::processes;

/// How long the family may take to end after SIGTERM; a wrap tells the server that its run has ended.
const END_MAX: Duration = Duration::from_secs(5);

/// A process group that was started from here.
pub(super) struct Family {
    group: Pid,
    /// Copies what they say to a file; ends when the last of them has ended.
    said: JoinHandle<std::io::Result<()>>,
}

impl Family {
    /// Starts the head of the family; its standard output is piped, what all of them say goes to `log`.
    pub(super) fn start(mut command: Command, log: &Path) -> anyhow::Result<(Self, Child)> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut head = command.kill_on_drop(true).spawn().context("cannot start the player")?;
        let group = head.id().and_then(processes::pid).context("the player ended at once")?;
        let said = head.stderr.take().context("the player has no standard error")?;
        Ok((Self { group, said: tokio::spawn(copy(said, log.to_owned())) }, head))
    }

    /// Ends whoever is still there: asked first, then forced.
    pub(super) async fn end(mut self) -> anyhow::Result<()> {
        for signal in [Signal::TERM, Signal::KILL] {
            if self.said.is_finished() {
                break;
            }
            match kill_process_group(self.group, signal) {
                Ok(()) | Err(Errno::SRCH) => {}
                Err(error) => return Err(error).context("cannot end a player and what it started"),
            }
            if timeout(END_MAX, &mut self.said).await.is_ok() {
                break;
            }
        }
        Ok(())
    }
}

async fn copy(mut said: ChildStderr, log: PathBuf) -> std::io::Result<()> {
    let mut log = OpenOptions::new().create(true).append(true).open(log)?;
    let mut buffer = [0; 4_096];
    loop {
        let length = said.read(&mut buffer).await?;
        if length == 0 {
            return Ok(());
        }
        log.write_all(buffer.get(..length).unwrap_or_default())?;
    }
}

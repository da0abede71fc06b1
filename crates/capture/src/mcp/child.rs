//! The wrapped server as a child process: started with the command as given, ended the way MCP clients do it.

use std::process::{ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::WrapError;
use super::package::Started;
use crate::limits::EXIT_WAIT;

/// Starts the server with piped standard input and output; its standard error is ours, and its environment too but for
/// `own_variables`: where a delegation lies is none of its business.
pub(crate) fn spawn(command: &[String], own_variables: &[String]) -> Result<Child, WrapError> {
    let program = command.first().cloned().unwrap_or_default();
    let mut child = Command::new(&program);
    for name in own_variables {
        child.env_remove(name);
    }
    child
        .args(command.get(1..).unwrap_or_default())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .spawn()
        .map_err(|source| WrapError::Spawn { program, source })
}

/// What the server was started as. To be asked before its input is taken.
pub(crate) fn started(child: &Child) -> Option<Started> {
    let input = rustix::fs::fstat(child.stdin.as_ref()?).ok()?.st_ino;
    Some(Started { pid: child.id()?, input: format!("pipe:[{input}]").into() })
}

/// Waits for the server, whose input is closed by now, to exit; then asks it to (SIGTERM); then ends it (SIGKILL).
/// Returns its exit code, 128 + signal when a signal ended it.
pub(crate) async fn stop(child: &mut Child) -> i32 {
    if let Ok(Ok(status)) = timeout(EXIT_WAIT, child.wait()).await {
        return code(status);
    }
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
    if let Some(pid) = pid {
        // it may have exited this moment; then there is nobody to signal, and `wait` says so
        let _ = kill_process(pid, Signal::TERM);
    }
    if let Ok(Ok(status)) = timeout(EXIT_WAIT, child.wait()).await {
        return code(status);
    }
    let _ = child.start_kill();
    child.wait().await.map_or(1, code)
}

fn code(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt as _;
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1)
}

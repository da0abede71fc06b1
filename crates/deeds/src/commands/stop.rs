//! `deeds stop`: ends the server and waits until it is gone.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use capture::client::ClientError;
use serde_json::json;

use crate::Outcome;
use crate::config::Config;
use crate::connect::{Server, connect_running, until};
use crate::output::{Output, print_json, print_text};
use crate::processes;

/// How long a server may take to end: it promises 5 s.
const STOP_MAX: Duration = Duration::from_secs(10);

/// Stops the server of the data directory, if it runs.
pub(crate) async fn run(config: &Config, output: Output) -> anyhow::Result<Outcome> {
    let stopped = stop(config).await?;
    if output.json {
        print_json(&json!({"stopped": stopped.is_some(), "pid": stopped}))?;
    } else {
        let data = config.data.display();
        print_text(&match stopped {
            Some(pid) => format!("Stopped the server of `{data}` (process {pid}).\n"),
            None => format!("No server is running for `{data}`.\n"),
        })?;
    }
    Ok(Outcome::Fine)
}

/// Ends the server; gives its process id, or nothing when none was running.
pub(crate) async fn stop(config: &Config) -> anyhow::Result<Option<u32>> {
    let hello = match connect_running(config).await {
        Ok(Server { hello, .. }) => hello,
        Err(error) if matches!(error.downcast_ref(), Some(ClientError::Unreachable { .. })) => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let pid = processes::pid(hello.pid)
        .with_context(|| format!("the server calls itself process {}, which cannot be stopped", hello.pid))?;
    processes::terminate(pid).with_context(|| format!("cannot stop process {}", hello.pid))?;
    let gone = until(STOP_MAX, || processes::is_gone(pid)).await;
    ensure!(
        gone,
        "the server (process {}) was asked to end and still runs after {} s",
        hello.pid,
        STOP_MAX.as_secs()
    );
    Ok(Some(hello.pid))
}

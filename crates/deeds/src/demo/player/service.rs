//! The sample service: starts because of an alert, gets a short root under a mandate, hands parts of it to an agent,
//! starts that one and waits for it, then does its own share.
//!
//! Everything it does with delegations it does with the `deeds` command, as a shell script would.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};

use super::agent::{self, Playbook};

/// Largest plan, bytes.
const PLAN_MAX_BYTES: usize = 1_024 * 1_024;

/// What the service is to do.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Plan {
    /// The command that gets the root.
    pub(crate) root: Vec<String>,
    /// The commands that make the agent's delegations, once the service's own servers run.
    pub(crate) hand_over: BTreeMap<String, Vec<String>>,
    /// The agent's command.
    pub(crate) agent: Vec<String>,
    /// Its own servers, and its own calls once the agent has ended.
    pub(crate) own: Playbook,
}

/// Plays the plan.
pub(super) fn play(path: &Path) -> anyhow::Result<()> {
    let bytes = crate::files::read_limited(path, PLAN_MAX_BYTES)?;
    let plan: Plan = serde_json::from_slice(&bytes).context("the plan cannot be read")?;
    run(&plan.root, Stdio::null())?;
    // its own run opens here: from now on what it hands over is announced in it
    let mut servers = agent::start(&plan.own)?;
    for command in plan.hand_over.values() {
        run(command, Stdio::null())?;
    }
    // the agent reports to the same reader
    std::io::stdout().flush()?;
    run(&plan.agent, Stdio::inherit())?;
    agent::call_all(&plan.own, &mut servers)?;
    agent::close(servers)
}

fn run(command: &[String], stdout: Stdio) -> anyhow::Result<()> {
    let (program, arguments) = command.split_first().context("an empty command")?;
    let status = Command::new(program).args(arguments).stdin(Stdio::null()).stdout(stdout).status();
    let status = status.with_context(|| format!("cannot start `{program}`"))?;
    ensure!(status.success(), "`{}` ended with {status}", command.join(" "));
    Ok(())
}

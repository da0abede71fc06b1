//! The sample agent: works through a playbook, one call after the other, and reports each answer on a line.
//!
//! It is a plain MCP client. That its servers are wrapped it need not know; it asks `deeds` only for the run that
//! its ticket should name, as any program of its user can.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::client::McpClient;

/// Largest playbook, bytes.
const PLAYBOOK_MAX_BYTES: usize = 1_024 * 1_024;

/// What the agent is to do.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Playbook {
    /// What the agent calls itself.
    pub(crate) name: String,
    /// Its MCP servers: name to command.
    pub(crate) servers: BTreeMap<String, Vec<String>>,
    /// The command that lists runs as JSON.
    pub(crate) runs: Vec<String>,
    /// The calls, in order.
    pub(crate) calls: Vec<Call>,
}

/// One call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Call {
    /// Which part of the story it belongs to.
    pub(crate) part: String,
    /// The MCP server.
    pub(crate) server: String,
    /// The tool.
    pub(crate) tool: String,
    /// Its arguments.
    pub(crate) args: Value,
    /// Name of an argument that is to hold the run of the MCP server `edr`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) run_as: Option<String>,
}

/// What came back for one call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Reported {
    /// As made, with the run filled in.
    #[serde(flatten)]
    pub(crate) call: Call,
    /// The JSON-RPC response; nothing when the server hung up without one.
    pub(crate) response: Option<Value>,
}

impl Reported {
    /// Whether the tool answered and reports success.
    pub(crate) fn succeeded(&self) -> bool {
        let result = self.response.as_ref().and_then(|response| response.get("result"));
        result.is_some_and(|result| result.get("isError").and_then(Value::as_bool) != Some(true))
    }

    /// The words of the answer.
    pub(crate) fn words(&self) -> &str {
        let Some(response) = &self.response else { return "the server hung up without an answer" };
        let words = response.pointer("/result/content/0/text").or_else(|| response.pointer("/error/message"));
        words.and_then(Value::as_str).unwrap_or_default()
    }
}

/// The servers of a playbook, running.
pub(super) type Servers<'a> = BTreeMap<&'a str, McpClient>;

/// Plays the playbook.
pub(super) fn play(path: &Path) -> anyhow::Result<()> {
    let bytes = crate::files::read_limited(path, PLAYBOOK_MAX_BYTES)?;
    let playbook: Playbook = serde_json::from_slice(&bytes).context("the playbook cannot be read")?;
    let mut servers = start(&playbook)?;
    call_all(&playbook, &mut servers)?;
    close(servers)
}

/// Starts its servers.
pub(super) fn start(playbook: &Playbook) -> anyhow::Result<Servers<'_>> {
    let mut servers = Servers::new();
    for (name, command) in &playbook.servers {
        servers.insert(name, McpClient::start(command, &playbook.name)?);
    }
    Ok(servers)
}

/// Makes its calls, and reports each answer on a line.
pub(super) fn call_all(playbook: &Playbook, servers: &mut Servers<'_>) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    for call in &playbook.calls {
        let server = servers.get_mut(call.server.as_str());
        let server = server.with_context(|| format!("no MCP server is called `{}`", call.server))?;
        let call = with_run(call, &playbook.runs)?;
        let response = server.call(&call.tool, &call.args)?;
        serde_json::to_writer(&mut out, &Reported { call, response })?;
        writeln!(out)?;
        out.flush()?;
    }
    Ok(())
}

/// Hangs up on all of them.
pub(super) fn close(servers: Servers<'_>) -> anyhow::Result<()> {
    servers.into_values().try_for_each(McpClient::close)
}

fn with_run(call: &Call, command: &[String]) -> anyhow::Result<Call> {
    let mut call = call.clone();
    if let (Some(name), Some(args)) = (&call.run_as, call.args.as_object_mut()) {
        args.insert(name.clone(), json!(run_of("edr", command)?));
    }
    Ok(call)
}

/// The newest run that uses a server of this alias.
fn run_of(alias: &str, command: &[String]) -> anyhow::Result<String> {
    let (program, arguments) = command.split_first().context("no command that lists runs")?;
    let output = Command::new(program).args(arguments).output().context("cannot list the runs")?;
    let answer: Value = serde_json::from_slice(&output.stdout).context("the list of runs cannot be read")?;
    let runs = answer.get("runs").and_then(Value::as_array).context("there is no list of runs")?;
    let uses = |run: &&Value| run.pointer("/servers/value/0/alias").and_then(Value::as_str) == Some(alias);
    let run = runs.iter().find(uses).and_then(|run| run.get("run")?.as_str());
    run.map(str::to_owned).with_context(|| format!("no run uses `{alias}`"))
}

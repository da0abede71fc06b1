//! The sample agent (or service, or workflow): works through a playbook, one step after the other, and reports on a
//! line what came of each.
//!
//! It is a plain MCP client. That its servers are wrapped it need not know. What it does with delegations it does with
//! the `deeds` command, as a shell script would.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use evidence::tool;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::client::McpClient;

/// Largest playbook, bytes.
const PLAYBOOK_MAX_BYTES: usize = 1_024 * 1_024;

/// What is to be done.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Playbook {
    /// What the player calls itself.
    pub(crate) name: String,
    /// Its MCP servers: name to command. Each is started when it is first named in a step.
    pub(crate) servers: BTreeMap<String, Vec<String>>,
    /// The command that lists runs as JSON.
    pub(crate) runs: Vec<String>,
    /// The steps, in order.
    pub(crate) steps: Vec<Step>,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Step {
    /// Starts a server: its run opens here.
    Open(String),
    /// Calls a tool, and reports the answer.
    Call(Call),
    /// Runs a command that must succeed; nothing is reported.
    Command(Vec<String>),
    /// Starts another player, which reports to the same reader, and waits until it has ended.
    Player(Vec<String>),
    /// Runs a command that is an act of its own (`deeds run`), and reports what it said and how it ended.
    Act(Act),
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

/// One command that is an act.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Act {
    /// Which part of the story it belongs to.
    pub(crate) part: String,
    /// Its tool URI, as the log will have it.
    pub(crate) uri: String,
    /// The command. `{part}` stands for the last word that was answered in that part.
    pub(crate) command: Vec<String>,
}

/// What came of one call or act.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Reported {
    /// Which part of the story it belongs to.
    pub(crate) part: String,
    /// Its tool URI.
    pub(crate) uri: String,
    /// The arguments of a call, with the run filled in; the words of the command that was run.
    pub(crate) args: Value,
    /// Of a call: the JSON-RPC response, or nothing when the server hung up without one. Of a command: {exit, said}.
    pub(crate) response: Option<Value>,
}

impl Reported {
    /// Whether it reports success.
    pub(crate) fn succeeded(&self) -> bool {
        let Some(response) = &self.response else { return false };
        if let Some(exit) = response.get("exit") {
            return *exit == 0;
        }
        let result = response.get("result");
        result.is_some_and(|result| result.get("isError").and_then(Value::as_bool) != Some(true))
    }

    /// The words of the answer.
    pub(crate) fn words(&self) -> &str {
        let Some(response) = &self.response else { return "the server hung up without an answer" };
        let places = ["/result/content/0/text", "/error/message", "/said"];
        places.iter().find_map(|place| response.pointer(place)?.as_str()).unwrap_or_default()
    }
}

/// A player at work.
struct Player<'a> {
    playbook: &'a Playbook,
    servers: BTreeMap<&'a str, McpClient>,
    /// The last word that was answered, by part.
    last: BTreeMap<String, String>,
}

/// Plays the playbook.
pub(super) fn play(path: &Path) -> anyhow::Result<()> {
    let bytes = crate::files::read_limited(path, PLAYBOOK_MAX_BYTES)?;
    let playbook: Playbook = serde_json::from_slice(&bytes).context("the playbook cannot be read")?;
    let mut player = Player { playbook: &playbook, servers: BTreeMap::new(), last: BTreeMap::new() };
    for step in &playbook.steps {
        player.take(step)?;
    }
    player.servers.into_values().try_for_each(McpClient::close)
}

impl<'a> Player<'a> {
    fn take(&mut self, step: &'a Step) -> anyhow::Result<()> {
        match step {
            Step::Open(server) => self.server(server).map(drop),
            Step::Call(call) => {
                let reported = self.call(call)?;
                self.report(&reported)
            }
            Step::Command(command) => run(command, Stdio::null()),
            // it reports to the same reader
            Step::Player(command) => run(command, Stdio::inherit()),
            Step::Act(act) => {
                let reported = self.act(act)?;
                self.report(&reported)
            }
        }
    }

    fn server(&mut self, name: &'a str) -> anyhow::Result<&mut McpClient> {
        if !self.servers.contains_key(name) {
            let command = self.playbook.servers.get(name);
            let command = command.with_context(|| format!("no MCP server is called `{name}`"))?;
            self.servers.insert(name, McpClient::start(command, &self.playbook.name)?);
        }
        self.servers.get_mut(name).context("the server is gone")
    }

    fn call(&mut self, call: &'a Call) -> anyhow::Result<Reported> {
        let mut args = call.args.clone();
        if let (Some(name), Some(args)) = (&call.run_as, args.as_object_mut()) {
            args.insert(name.clone(), json!(run_of("edr", &self.playbook.runs)?));
        }
        let response = self.server(&call.server)?.call(&call.tool, &args)?;
        Ok(Reported { part: call.part.clone(), uri: tool::stdio(&call.server, &call.tool), args, response })
    }

    fn act(&self, act: &Act) -> anyhow::Result<Reported> {
        let words: Vec<String> = act.command.iter().map(|word| self.filled(word)).collect();
        let (program, arguments) = words.split_first().context("an act without a command")?;
        let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
        let output = output.with_context(|| format!("cannot start `{program}`"))?;
        let said =
            [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).trim().to_owned());
        let said = said.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join("\n");
        let response = Some(json!({"exit": output.status.code(), "said": said}));
        // what `deeds run` was told for itself is the story's own business
        let run =
            words.iter().position(|word| word == "--").and_then(|at| words.get(at + 1..)).unwrap_or(&words);
        Ok(Reported { part: act.part.clone(), uri: act.uri.clone(), args: json!(run), response })
    }

    fn filled(&self, word: &str) -> String {
        let mut filled = word.to_owned();
        for (part, last) in &self.last {
            filled = filled.replace(&format!("{{{part}}}"), last);
        }
        filled
    }

    fn report(&mut self, reported: &Reported) -> anyhow::Result<()> {
        let last = reported.words().split_whitespace().next_back().unwrap_or_default().to_owned();
        self.last.insert(reported.part.clone(), last);
        let mut out = std::io::stdout().lock();
        serde_json::to_writer(&mut out, reported)?;
        writeln!(out)?;
        Ok(out.flush()?)
    }
}

fn run(command: &[String], stdout: Stdio) -> anyhow::Result<()> {
    let (program, arguments) = command.split_first().context("an empty command")?;
    let status = Command::new(program).args(arguments).stdin(Stdio::null()).stdout(stdout).status();
    let status = status.with_context(|| format!("cannot start `{program}`"))?;
    ensure!(status.success(), "`{}` ended with {status}", command.join(" "));
    Ok(())
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

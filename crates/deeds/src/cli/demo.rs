//! `deeds demo` and the parts in it that are processes of their own.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// The stories in their order.
const STORIES: [&str; 5] = [
    "a reply that a person approved",
    "a pipeline that rotated a token",
    "a payment exception",
    "a playbook that quarantined hosts",
    "a report that a model wrote",
];

/// The number of a story; the error names them all.
fn story(text: &str) -> Result<u8, String> {
    let number = text.parse::<u8>().ok().filter(|number| (1..=STORIES.len()).contains(&usize::from(*number)));
    number.ok_or_else(|| {
        let told = STORIES.iter().enumerate().map(|(n, told)| format!("{} {told}", n + 1));
        format!("the stories are {}", told.collect::<Vec<_>>().join(", "))
    })
}

/// `deeds demo`
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Which story: 1 a reply that a person approved, 2 a pipeline that rotated a token, 3 a payment exception,
    /// 4 a playbook that quarantined hosts, 5 a report that a model wrote
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = story)]
    pub(crate) story: u8,
    /// Keep the directory, to look around in it afterwards
    #[arg(long)]
    pub(crate) keep: bool,
}

/// `deeds player`
#[derive(Debug, Subcommand)]
pub(crate) enum PlayerCommand {
    /// A sample MCP server
    Tool(ToolPlayerArgs),
    /// An agent, a service or a workflow that works through a playbook
    Agent(AgentPlayerArgs),
}

/// A sample MCP server.
#[derive(Debug, Args)]
pub(crate) struct ToolPlayerArgs {
    /// Which one
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// The server's own journal of what it did: one JSON object a line
    #[arg(long, value_name = "FILE")]
    pub(crate) journal: PathBuf,
    /// JSON file with what the server knows, by the values that it is asked for
    #[arg(long, value_name = "FILE")]
    pub(crate) data: Option<PathBuf>,
    /// Kill the own process, without an answer, after doing a call with this value among its arguments
    #[arg(long, value_name = "VALUE")]
    pub(crate) die_on: Option<String>,
}

/// A sample agent, service or workflow.
#[derive(Debug, Args)]
pub(crate) struct AgentPlayerArgs {
    /// JSON file with what to do
    #[arg(long, value_name = "FILE")]
    pub(crate) playbook: PathBuf,
}

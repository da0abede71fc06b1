//! `deeds demo` and the parts in it that are processes of their own.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `deeds demo`
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Keep the directory, to look around in it afterwards
    #[arg(long)]
    pub(crate) keep: bool,
}

/// `deeds player`
#[derive(Debug, Subcommand)]
pub(crate) enum PlayerCommand {
    /// An MCP server that isolates hosts, as endpoint detection does
    Edr(ToolPlayerArgs),
    /// An MCP server that disables users, as an identity provider does
    Idp(ToolPlayerArgs),
    /// An MCP server that creates tickets
    Ticket(ToolPlayerArgs),
    /// An agent that works through a playbook, calling wrapped MCP servers
    Agent(AgentPlayerArgs),
    /// A service that gets a root under a mandate, hands parts of it to an agent, and starts it
    Service(AgentPlayerArgs),
}

/// A sample MCP server.
#[derive(Debug, Args)]
pub(crate) struct ToolPlayerArgs {
    /// The server's own journal of what it did: one JSON object a line
    #[arg(long, value_name = "FILE")]
    pub(crate) journal: PathBuf,
    /// Kill the own process, without an answer, after doing a call with this value among its arguments
    #[arg(long, value_name = "VALUE")]
    pub(crate) die_on: Option<String>,
}

/// The sample agent, or the sample service.
#[derive(Debug, Args)]
pub(crate) struct AgentPlayerArgs {
    /// JSON file with what to do
    #[arg(long, value_name = "FILE")]
    pub(crate) playbook: PathBuf,
}

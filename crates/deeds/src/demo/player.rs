//! The players: sample MCP servers, and sample agents, services and workflows, each a process of its own. They know
//! nothing of the log; what they say and do reaches it through the `deeds` command alone.

pub(crate) mod agent;
mod client;
mod effect;
mod sample;
mod server;

use crate::Outcome;
use crate::cli::PlayerCommand;

/// Plays one part.
pub(crate) fn run(player: &PlayerCommand) -> anyhow::Result<Outcome> {
    match player {
        PlayerCommand::Tool(args) => server::serve(sample::named(&args.name)?, args)?,
        PlayerCommand::Agent(args) => agent::play(&args.playbook)?,
    }
    Ok(Outcome::Fine)
}

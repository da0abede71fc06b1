//! The players: sample MCP servers, a sample agent and a sample service, each a process of its own. They know nothing
//! of the log; what they say and do reaches it through the `deeds` command alone.

pub(crate) mod agent;
mod client;
mod server;
pub(crate) mod service;

use crate::Outcome;
use crate::cli::PlayerCommand;

/// Plays one part.
pub(crate) fn run(player: &PlayerCommand) -> anyhow::Result<Outcome> {
    match player {
        PlayerCommand::Edr(args) => server::serve(&server::EDR, args)?,
        PlayerCommand::Idp(args) => server::serve(&server::IDP, args)?,
        PlayerCommand::Ticket(args) => server::serve(&server::TICKET, args)?,
        PlayerCommand::Agent(args) => agent::play(&args.playbook)?,
        PlayerCommand::Service(args) => service::play(&args.playbook)?,
    }
    Ok(Outcome::Fine)
}

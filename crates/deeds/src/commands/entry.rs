//! `deeds entry`.

use super::answer;
use crate::Outcome;
use crate::cli::EntryArgs;
use crate::config::Config;
use crate::connect::connect;
use crate::output::Output;
use crate::render::tree;

/// Shows one entry.
pub(crate) async fn run(config: &Config, args: &EntryArgs, output: Output) -> anyhow::Result<Outcome> {
    let server = connect(config).await?;
    answer(&server.client, &format!("/v1/entries/{}", args.entry), output, tree::members).await
}

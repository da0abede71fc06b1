//! `deeds runs`.

use super::{Query, answer};
use crate::Outcome;
use crate::cli::RunsArgs;
use crate::config::Config;
use crate::connect::connect;
use crate::output::Output;
use crate::render::lists;

/// Lists runs.
pub(crate) async fn run(config: &Config, args: &RunsArgs, output: Output) -> anyhow::Result<Outcome> {
    let server = connect(config).await?;
    answer(&server.client, &Query::new("/v1/runs").page(&args.page).0, output, lists::runs).await
}

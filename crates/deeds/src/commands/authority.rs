//! `deeds authority`.

use super::answer;
use crate::Outcome;
use crate::cli::ActionArgs;
use crate::config::Config;
use crate::connect::connect;
use crate::output::Output;
use crate::render::authority;

/// Shows who stands behind an action.
pub(crate) async fn run(config: &Config, args: &ActionArgs, output: Output) -> anyhow::Result<Outcome> {
    let server = connect(config).await?;
    answer(&server.client, &path(&args.action.path()), output, authority::page).await
}

/// The API path of the answer.
pub(crate) fn path(action: &str) -> String {
    format!("/v1/authority/{action}")
}

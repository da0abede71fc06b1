//! `deeds runs`.

use serde_json::Value;

use super::{Again, Query, answer};
use crate::Outcome;
use crate::cli::RunsArgs;
use crate::config::Config;
use crate::connect::connect;
use crate::output::Output;
use crate::render::lists;

/// Lists runs.
pub(crate) async fn run(config: &Config, args: &RunsArgs, output: Output) -> anyhow::Result<Outcome> {
    let server = connect(config).await?;
    let again = Again::new(config, "runs").limit(&args.page).0;
    let before = args.page.before;
    let page = |value: &Value, width| lists::runs(value, width, &again, before);
    answer(&server.client, &Query::new("/v1/runs").page(&args.page).0, output, page).await
}

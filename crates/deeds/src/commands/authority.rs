//! `deeds authority`.

use serde_json::Value;

use super::{ask, no_action};
use crate::Outcome;
use crate::cli::ActionArgs;
use crate::config::Config;
use crate::connect::connect;
use crate::names::Action;
use crate::output::Output;
use crate::render::authority;

/// Columns that the legend takes at most.
const LEGEND_WIDTH: usize = 100;

/// Shows who stands behind an action.
pub(crate) async fn run(config: &Config, args: &ActionArgs, output: Output) -> anyhow::Result<Outcome> {
    let server = connect(config).await?;
    let page = |value: &Value, width| {
        format!("{}\n{}", authority::page(value, width), authority::legend(width.min(LEGEND_WIDTH)))
    };
    let answered = ask(&server, &path(&args.action.path()), output, page).await;
    match (answered, &args.action) {
        (Err(error), Action::At(index)) => match error.downcast() {
            Ok(error) => Err(no_action(&server.client, *index, error).await),
            Err(error) => Err(error),
        },
        (answered, _) => answered,
    }
}

/// The API path of the answer.
pub(crate) fn path(action: &str) -> String {
    format!("/v1/authority/{action}")
}

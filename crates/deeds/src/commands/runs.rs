//! `deeds runs`.

use serde_json::Value;

use super::{Again, Query, ask, check_times, maybe_task};
use crate::cli::RunsArgs;
use crate::config::Config;
use crate::connect::connect;
use crate::names::RunName;
use crate::output::Output;
use crate::render::lists;
use crate::{Outcome, clock};

/// Lists runs.
pub(crate) async fn run(config: &Config, args: &RunsArgs, output: Output) -> anyhow::Result<Outcome> {
    let now_ms = clock::now_ms();
    check_times(&args.stretch, now_ms)?;
    let server = connect(config).await?;
    let path = Query::new("/v1/runs")
        .maybe("task", maybe_task(&server.client, args.task.as_ref()).await?)
        .stretch(&args.stretch, now_ms)
        .page(&args.page);
    let again = Again::new(config, "runs")
        .maybe("--task", args.task.as_ref().map(RunName::to_string))
        .stretch(&args.stretch, now_ms)
        .limit(&args.page)
        .0;
    let asked = lists::Asked {
        before: args.page.before,
        narrowed: args.task.is_some() || args.stretch.from.is_some() || args.stretch.to.is_some(),
    };
    let page = |value: &Value, width| lists::runs(value, width, &again, asked);
    ask(&server, &path.0, output, page).await
}

//! `deeds allowed`, `deeds delegations` and `deeds identities`: who may do what, and what of it was ever used.

use serde_json::Value;

use super::{Again, Query, answer, run_id};
use crate::Outcome;
use crate::cli::{AllowedArgs, DelegationsArgs, IdentitiesArgs};
use crate::clock;
use crate::config::Config;
use crate::connect::connect;
use crate::names::Who;
use crate::output::Output;
use crate::render::{allowed, delegations, identities};

/// Shows what somebody may do.
pub(crate) async fn allowed(config: &Config, args: &AllowedArgs, output: Output) -> anyhow::Result<Outcome> {
    let server = connect(config).await?;
    let at = args.at.map(|at| at.ms(clock::now_ms()).to_string());
    let path = Query::new("/v1/allowed").with("who", args.who.text()).maybe("at", at);
    let page = |value: &Value, width| allowed::page(value, args.who.text(), width);
    answer(&server.client, &path.0, output, page).await
}

/// Lists delegations as a tree.
pub(crate) async fn delegations(
    config: &Config,
    args: &DelegationsArgs,
    output: Output,
) -> anyhow::Result<Outcome> {
    let server = connect(config).await?;
    let run = match &args.run {
        Some(name) => Some(run_id(&server.client, name).await?),
        None => None,
    };
    let who = args.who.as_ref().map(Who::text);
    let path = Query::new("/v1/delegations")
        .maybe("who", who.map(str::to_owned))
        .maybe("run", run)
        .maybe("task", args.task.as_ref().map(|task| task.0.clone()))
        .page(&args.page);
    let mut again = Again::new(config, "delegations");
    if let Some(who) = who {
        again = again.word(who);
    }
    let again = again
        .maybe("--run", args.run.as_ref().map(ToString::to_string))
        .maybe("--task", args.task.as_ref().map(|task| task.0.clone()))
        .limit(&args.page)
        .0;
    let page = |value: &Value, width| delegations::page(value, width, &again);
    answer(&server.client, &path.0, output, page).await
}

/// Lists identities.
pub(crate) async fn identities(
    config: &Config,
    args: &IdentitiesArgs,
    output: Output,
) -> anyhow::Result<Outcome> {
    let server = connect(config).await?;
    let path = Query::new("/v1/identities").page(&args.page);
    let again = Again::new(config, "identities").limit(&args.page).0;
    let page = |value: &Value, width| identities::table(value, width, &again);
    answer(&server.client, &path.0, output, page).await
}

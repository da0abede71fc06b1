//! `deeds allowed`, `deeds delegations` and `deeds identities`: who may do what, and what of it was ever used.

use serde_json::Value;

use super::{Again, Query, ask, maybe_run, maybe_task, who};
use crate::Outcome;
use crate::cli::{AllowedArgs, DelegationsArgs, IdentitiesArgs};
use crate::clock;
use crate::config::Config;
use crate::connect::connect;
use crate::output::Output;
use crate::render::{allowed, delegations, identities};

/// Shows what somebody may do.
pub(crate) async fn allowed(config: &Config, args: &AllowedArgs, output: Output) -> anyhow::Result<Outcome> {
    let server = connect(config).await?;
    let at = args.at.map(|at| at.ms(clock::now_ms()).to_string());
    let named = who(&server.client, &args.who).await?;
    let path = Query::new("/v1/allowed").with("who", &named).maybe("at", at);
    let page = |value: &Value, width| allowed::page(value, &args.who.to_string(), width);
    ask(&server, &path.0, output, page).await
}

/// Lists delegations as a tree.
pub(crate) async fn delegations(
    config: &Config,
    args: &DelegationsArgs,
    output: Output,
) -> anyhow::Result<Outcome> {
    let server = connect(config).await?;
    let client = &server.client;
    let named = match &args.who {
        Some(named) => Some(who(client, named).await?),
        None => None,
    };
    let path = Query::new("/v1/delegations")
        .maybe("who", named)
        .maybe("run", maybe_run(client, args.run.as_ref()).await?)
        .maybe("task", maybe_task(client, args.task.as_ref()).await?)
        .page(&args.page);
    let mut again = Again::new(config, "delegations");
    if let Some(who) = &args.who {
        again = again.word(&who.to_string());
    }
    let again = again
        .maybe("--run", args.run.as_ref().map(ToString::to_string))
        .maybe("--task", args.task.as_ref().map(ToString::to_string))
        .limit(&args.page)
        .0;
    let page = |value: &Value, width| delegations::page(value, width, &again);
    ask(&server, &path.0, output, page).await
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
    ask(&server, &path.0, output, page).await
}

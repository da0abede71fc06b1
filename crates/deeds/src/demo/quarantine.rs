//! Story 4: the playbook that quarantined hosts.

mod act;
mod glass;
mod question;
mod story;

use super::Script;
use super::act::register;
use super::ask;
use super::narrator::{Narrator, Next};
use super::proof;
use super::stage::Stage;
use crate::connect::Server;

pub(super) const SCRIPT: Script = story::SCRIPT;

/// The story, act by act.
pub(super) async fn play(stage: &Stage, server: &Server, narrator: &mut Narrator) -> anyhow::Result<()> {
    register(stage, &story::REGISTERED, story::WHO, narrator).await?;
    let mandate = act::sign_mandate(stage, narrator).await?;
    let reported = act::run_service(stage, &mandate, narrator).await?;
    let task = ask::task(server, story::AGENT, &reported).await?;
    act::show_refusals(stage, &task, narrator)?;
    let broken = glass::breaks(stage, server, narrator).await?;
    narrator.remember(next(server, &task, broken)?);
    act::show_undone_and_unknown(stage, &task, narrator)?;
    act::show_record(&task, narrator)?;
    let isolation = question::authority(server, &task, narrator).await?;
    question::allowed(server, narrator).await?;
    let bundle = proof::prove(stage, server, isolation, "isolation.deeds", narrator).await?;
    proof::verify_without_server(stage, server, &bundle, narrator).await?;
    let names = proof::Forgery { argument: "host", value: &story::host(1), forged: &story::host(0) };
    proof::tamper(stage, server, &bundle, &names, narrator).await
}

/// What there is to ask about afterwards.
fn next(server: &Server, task: &ask::Task, broken: u64) -> anyhow::Result<Next> {
    let authority = |index: u64| format!("authority @{index}");
    Ok(Next {
        questions: vec![
            (authority(task.first("controller")?.index), "a refused call"),
            (authority(task.first("killed")?.index), "outcome unknown"),
            (authority(broken), "broken glass"),
            ("identities".to_owned(), ""),
        ],
        bundles: &["isolation.deeds", "forged.deeds"],
        log_vkey: server.hello.log_vkey.clone(),
    })
}

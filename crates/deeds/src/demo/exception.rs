//! Story 3: the payment exception, as far as it can be played: amounts and vendors within a delegation, a payment that
//! waits for two approvals, and a key whose revocation, dated back, puts what it did in doubt.

mod story;

use std::collections::BTreeMap;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::act::{does, play as watch, register, show, told};
use super::ask::{self, Done, Task};
use super::narrator::{Narrator, Next};
use super::player::agent::Step;
use super::stage::{Stage, Wrapped};
use super::{Script, proof};
use crate::commands::authority;
use crate::connect::Server;
use crate::render;

pub(super) const SCRIPT: Script = story::SCRIPT;

/// The story, act by act.
pub(super) async fn play(stage: &Stage, server: &Server, narrator: &mut Narrator) -> anyhow::Result<()> {
    register(stage, &story::REGISTERED, story::WHO, narrator).await?;
    delegate(stage, narrator).await?;
    let task = let_through(stage, server, narrator).await?;
    show_refusals(stage, &task, narrator)?;
    let key = authority_of(server, &task, narrator).await?;
    let revoked = revoke(stage, server, &task, &key, narrator).await?;
    let exception = task.first("exception")?.index;
    narrator.remember(next(server, &task, revoked)?);
    let bundle = proof::prove(stage, server, exception, "exception.deeds", narrator).await?;
    proof::verify_without_server(stage, server, &bundle, narrator).await?;
    let names = proof::Forgery { argument: "amount", value: "9800.00", forged: "9800.01" };
    proof::tamper(stage, server, &bundle, &names, narrator).await
}

/// Sofia gives the workflow a part of her authority.
async fn delegate(stage: &Stage, narrator: &mut Narrator) -> anyhow::Result<()> {
    narrator.begin("What the workflow is given", story::GIVEN_SAYS)?;
    let mut words = vec!["delegate", "--as", "sofia.key", "--new-key", "--agent", story::WORKFLOW];
    words.extend(["--kind", "workflow"]);
    words.extend(story::GIVEN);
    words.extend([
        "--ttl",
        "8h",
        "--max-depth",
        "1",
        "--purpose",
        "payment exceptions",
        "-o",
        "workflow.delegation",
    ]);
    let given = does(stage, &words, narrator).await?;
    narrator.observed("given", &given);
    Ok(())
}

/// The workflow hands the work to the service account, which looks at the invoice and lets it through.
async fn let_through(stage: &Stage, server: &Server, narrator: &mut Narrator) -> anyhow::Result<Task> {
    narrator.begin("An invoice that does not match its order", story::WORK_SAYS)?;
    let mut servers = BTreeMap::new();
    for (alias, player) in [("erp", &["--data", "erp.json"][..]), ("bank", &[])] {
        let player = player.iter().map(|word| (*word).to_owned()).collect();
        let wrapped =
            Wrapped { alias, delegation: "bot.delegation", trigger: "event", player, ..Wrapped::default() };
        servers.insert(alias.to_owned(), stage.wrap(&wrapped)?);
    }
    stage.plan(story::BOT, servers, story::calls().into_iter().map(Step::Call).collect())?;
    let mut hand_over = stage.command(&["delegate", "--from", "workflow.delegation", "--new-key"])?;
    hand_over.extend(story::HANDED_OVER.map(str::to_owned));
    let steps = vec![Step::Command(hand_over), Step::Player(stage.player(story::BOT)?)];
    stage.plan(story::WORKFLOW, BTreeMap::new(), steps)?;

    narrator.command(&format!(
        "deeds delegate --from workflow.delegation --new-key {}",
        story::HANDED_OVER.join(" ")
    ))?;
    narrator.command("deeds wrap --name erp --delegation bot.delegation -- erp-server")?;
    let reported = watch(stage, story::WORKFLOW, story::calls().len(), narrator).await?;
    let task = ask::task(server, story::BOT, &reported).await?;
    show(&task, &["look", "exception"], narrator)?;
    narrator
        .check("the exception within the bounds is let through", task.all("exception", Done::succeeded))?;
    narrator.observed("work", &told(&task, &["look", "exception"]));
    Ok(task)
}

/// What is outside the bounds, and what waits for two people.
fn show_refusals(stage: &Stage, task: &Task, narrator: &mut Narrator) -> anyhow::Result<()> {
    narrator.begin("What it was not allowed to do", story::REFUSED_SAYS)?;
    show(task, &["amount", "vendor", "release"], narrator)?;
    narrator.check(
        "too much money is refused by the delegation",
        task.all("amount", |done| done.refused_at("scope")),
    )?;
    narrator.check(
        "a vendor that is not on the list is refused by the delegation",
        task.all("vendor", |done| done.refused_at("scope")),
    )?;
    narrator.check(
        "the release is refused by policy, because nobody approved it",
        task.all("release", |done| done.refused_by(story::APPROVAL_POLICY)),
    )?;
    let journal = std::fs::read_to_string(stage.journal("bank")).context("the bank kept no journal")?;
    narrator.check("the bank was asked for nothing", journal.is_empty())?;
    for line in story::NOT_YET {
        narrator.not_yet(line)?;
    }
    narrator.observed("refused", &told(task, &["amount", "vendor", "release"]));
    Ok(())
}

/// Who stands behind the exception; gives the thumbprint of the key that signed for it.
async fn authority_of(server: &Server, task: &Task, narrator: &mut Narrator) -> anyhow::Result<String> {
    let exception = task.first("exception")?.index;
    narrator.begin("Who started it, and under which identity was it done?", story::AUTHORITY_SAYS)?;
    narrator.command(&format!("deeds authority @{exception}"))?;
    let answer: Value = server.client.get_json(&authority::path(&exception.to_string())).await?;
    narrator.page(&render::authority::page(&answer, narrator.width() - 2))?;
    narrator.check(
        "the chain leads from Sofia over the workflow to the service account",
        story::leads(&answer),
    )?;
    let key =
        answer.pointer("/chain/1/key").and_then(Value::as_str).context("the chain names no key")?.to_owned();
    narrator.observed("authority", &answer);
    Ok(key)
}

/// The key turns out to have been stolen a day ago; gives the position of the revocation.
async fn revoke(
    stage: &Stage,
    server: &Server,
    task: &Task,
    key: &str,
    narrator: &mut Narrator,
) -> anyhow::Result<u64> {
    narrator.begin("The key was not only its owner's", story::REVOKED_SAYS)?;
    let words = ["revoke", key, "--effective", "24h", "--why", story::WHY, "--as", "sofia.key"];
    let revoked = does(stage, &words, narrator).await?;
    let index = revoked.get("index").and_then(Value::as_u64).context("the revocation has no entry")?;
    narrator.command(&format!("deeds doubt @{index}"))?;
    let doubt: Value = server.client.get_json(&format!("/v1/doubt/{index}?limit=50&wait={index}")).await?;
    narrator.page(&render::doubt::page(&doubt, narrator.width() - 2))?;
    let rows = doubt.get("actions").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let mut named: Vec<u64> = rows.iter().filter_map(|row| row.get("index")?.as_u64()).collect();
    named.sort_unstable();
    let allowed: Vec<u64> =
        task.done.iter().filter(|done| done.verdict == "allow").map(|done| done.index).collect();
    narrator.check(
        "what it was allowed to do since then is in doubt, all of it and nothing else",
        named == allowed,
    )?;
    narrator.observed("doubt", &json!({"revoked": revoked, "doubt": doubt, "allowed": allowed}));
    Ok(index)
}

fn next(server: &Server, task: &Task, revoked: u64) -> anyhow::Result<Next> {
    Ok(Next {
        questions: vec![
            (format!("authority @{}", task.first("exception")?.index), "the exception"),
            (format!("authority @{}", task.first("release")?.index), "the payment that waits"),
            (format!("doubt @{revoked}"), "what the revocation puts in doubt"),
        ],
        bundles: &["exception.deeds", "forged.deeds"],
        log_vkey: server.hello.log_vkey.clone(),
    })
}

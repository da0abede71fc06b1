//! Story 1: the reply that a person approved, as far as it can be played: what the bot and its sub-agent may do, what
//! they do, and what is refused. That a person approves comes later.

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
    let task = answer_the_ticket(stage, server, narrator).await?;
    show_refusals(stage, &task, narrator)?;
    who_may_do_what(server, &task, narrator).await?;
    what_left(server, narrator).await?;
    let draft = task.first("draft")?.index;
    narrator.remember(next(server, &task)?);
    let bundle = proof::prove(stage, server, draft, "draft.deeds", narrator).await?;
    proof::verify_without_server(stage, server, &bundle, narrator).await
}

/// Maya gives the bot a part of her authority.
async fn delegate(stage: &Stage, narrator: &mut Narrator) -> anyhow::Result<()> {
    narrator.begin("What the bot is given", story::GIVEN_SAYS)?;
    let mut words = vec!["delegate", "--as", "maya.key", "--new-key", "--agent", story::BOT];
    words.extend(story::GIVEN);
    words.extend([
        "--ttl",
        "1h",
        "--max-depth",
        "2",
        "--purpose",
        "answer T-4711",
        "-o",
        "support.delegation",
    ]);
    let given = does(stage, &words, narrator).await?;
    narrator.observed("given", &given);
    Ok(())
}

/// The bot reads the ticket, has a sub-agent read the customer, and drafts a reply.
async fn answer_the_ticket(stage: &Stage, server: &Server, narrator: &mut Narrator) -> anyhow::Result<Task> {
    narrator.begin("The bot answers the ticket", story::WORK_SAYS)?;
    let wrapped = |alias, delegation, player: &[&str]| {
        let player = player.iter().map(|word| (*word).to_owned()).collect();
        stage.wrap(&Wrapped { alias, delegation, trigger: "human", player, ..Wrapped::default() })
    };
    let lookup =
        BTreeMap::from([("crm".to_owned(), wrapped("crm", "lookup.delegation", &["--data", "crm.json"])?)]);
    stage.plan(story::LOOKUP, lookup, story::lookup_calls().into_iter().map(Step::Call).collect())?;

    let mut hand_over = stage.command(&["delegate", "--from", "support.delegation", "--new-key"])?;
    hand_over.extend(story::HANDED_OVER.map(str::to_owned));
    let mut servers = BTreeMap::new();
    for (alias, player) in
        [("crm", &["--data", "crm.json"][..]), ("kb", &["--data", "kb.json"]), ("mail", &[])]
    {
        servers.insert(alias.to_owned(), wrapped(alias, "support.delegation", player)?);
    }
    let mut steps: Vec<Step> = story::first_calls().into_iter().map(Step::Call).collect();
    steps.extend([Step::Command(hand_over), Step::Player(stage.player(story::LOOKUP)?)]);
    steps.extend(story::last_calls().into_iter().map(Step::Call));
    stage.plan(story::BOT, servers, steps)?;

    let expected = story::first_calls().len() + story::lookup_calls().len() + story::last_calls().len();
    narrator.command("deeds wrap --name crm --delegation support.delegation -- crm-server")?;
    narrator.command(&format!(
        "deeds delegate --from support.delegation --new-key {}",
        story::HANDED_OVER_SHOWN
    ))?;
    let reported = watch(stage, story::BOT, expected, narrator).await?;
    let task = ask::task(server, story::BOT, &reported).await?;
    show(&task, &["ticket", "knowledge", "customer", "draft"], narrator)?;
    narrator.check("the sub-agent read the customer", task.all("customer", Done::succeeded))?;
    narrator.check("the draft is written", task.all("draft", Done::succeeded))?;
    narrator.not_yet(story::NO_VERSIONS)?;
    narrator.observed("work", &told(&task, &["ticket", "knowledge", "customer", "draft"]));
    Ok(task)
}

/// What the ticket talked the bot into, and what waits for a person.
fn show_refusals(stage: &Stage, task: &Task, narrator: &mut Narrator) -> anyhow::Result<()> {
    narrator.begin("What it was not allowed to do", story::REFUSED_SAYS)?;
    show(task, &["evil", "send"], narrator)?;
    narrator.check(
        "the mail to the stranger is refused by the delegation",
        task.all("evil", |done| done.refused_at("scope")),
    )?;
    narrator.check(
        "the mail to the customer is refused by policy, because nobody approved it",
        task.all("send", |done| done.refused_by(story::APPROVAL_POLICY)),
    )?;
    let journal =
        std::fs::read_to_string(stage.journal("mail")).context("the mail server kept no journal")?;
    narrator.check("neither reached the mail server", !journal.contains("\"send\""))?;
    for line in [story::NO_APPROVAL, story::NO_ARTIFACT, story::NO_TAINT, story::NO_REPLAY] {
        narrator.not_yet(line)?;
    }
    narrator.observed("refused", &told(task, &["evil", "send"]));
    Ok(())
}

/// What the sub-agent was allowed to do, and that it did no more.
async fn who_may_do_what(server: &Server, task: &Task, narrator: &mut Narrator) -> anyhow::Result<()> {
    narrator.begin("What was crm-lookup allowed to do, and did it do more?", story::LOOKUP_SAYS)?;
    let width = narrator.width();
    narrator.command(&format!("deeds allowed {}", story::LOOKUP))?;
    let allowed: Value = server.client.get_json(&format!("/v1/allowed?who={}", story::LOOKUP)).await?;
    narrator.page(&render::allowed::page(&allowed, story::LOOKUP, width - 2))?;
    narrator.command(&format!("deeds did {}", story::LOOKUP))?;
    let did: Value = server.client.get_json(&format!("/v1/did?who={}&limit=50", story::LOOKUP)).await?;
    narrator.page(&render::lists::actions(&did, width - 2, ""))?;
    let customer = task.first("customer")?.index;
    let answer: Value = server.client.get_json(&authority::path(&customer.to_string())).await?;
    narrator.check("its chain leads from Maya over support-bot to it", story::leads(&answer))?;
    let mut tools = story::tools_of(&allowed);
    tools.sort_unstable();
    narrator.check("it may use the two crm tools and nothing else", tools == story::LOOKUP_TOOLS)?;
    let acts = did.get("actions").and_then(Value::as_array).map_or(0, Vec::len);
    narrator.check("it made one call", acts == story::lookup_calls().len())?;
    narrator.observed("lookup", &json!({"allowed": allowed, "did": did, "authority": answer}));
    Ok(())
}

/// Whether anything was sent at all.
async fn what_left(server: &Server, narrator: &mut Narrator) -> anyhow::Result<()> {
    narrator.begin("What personal data left acme, and to whom?", story::LEFT_SAYS)?;
    narrator.command("deeds did --tool stdio:mail#send")?;
    let sent: Value = server.client.get_json("/v1/did?tool=stdio%3Amail%23send&limit=50").await?;
    narrator.page(&render::lists::actions(&sent, narrator.width() - 2, ""))?;
    let rows = sent.get("actions").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let denied = |row: &Value| render::fact::text(row, "verdict", "") == "deny";
    narrator.check("no mail was let out", rows.len() == 2 && rows.iter().all(denied))?;
    narrator.not_yet(story::NO_CAUSE)?;
    narrator.observed("left", &sent);
    Ok(())
}

fn next(server: &Server, task: &Task) -> anyhow::Result<Next> {
    Ok(Next {
        questions: vec![
            (format!("authority @{}", task.first("evil")?.index), "the mail to a stranger"),
            (format!("authority @{}", task.first("customer")?.index), "what the sub-agent read"),
            (format!("delegations {}", story::PERSON), ""),
        ],
        bundles: &["draft.deeds"],
        log_vkey: server.hello.log_vkey.clone(),
    })
}

//! Story 5: the report that a model wrote, as far as it can be played: a mandate, a schedule, an agent with two
//! sub-agents, files with digests before and after, and a dataset that is withdrawn later.

mod story;

use std::collections::BTreeMap;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::act::{asks, does, play as watch, register, show, told};
use super::ask::{self, Done, Task};
use super::narrator::{Narrator, Next};
use super::player::agent::{Act, Step};
use super::stage::{Stage, Wrapped};
use super::trace;
use super::{Script, proof};
use crate::connect::Server;

pub(super) const SCRIPT: Script = story::SCRIPT;

/// The story, act by act.
pub(super) async fn play(stage: &Stage, server: &Server, narrator: &mut Narrator) -> anyhow::Result<()> {
    register(stage, &story::REGISTERED, story::WHO, narrator).await?;
    let mandate = sign_mandate(stage, narrator).await?;
    let task = write_report(stage, server, &mandate, narrator).await?;
    show_refusal(stage, &task, narrator)?;
    let wrong = trace_back(stage, &task, narrator).await?;
    withdraw(stage, &task, &wrong, narrator).await?;
    let published = task.first("publish")?.index;
    narrator.remember(next(server, &task)?);
    let bundle = proof::prove(stage, server, published, "report.deeds", narrator).await?;
    proof::verify_without_server(stage, server, &bundle, narrator).await
}

/// Amara says what may be done while she is not there; gives the mandate's digest.
async fn sign_mandate(stage: &Stage, narrator: &mut Narrator) -> anyhow::Result<String> {
    narrator.begin("A mandate for the schedule", story::MANDATE_SAYS)?;
    let mut words = vec!["mandate", "--as", "amara.key", "--for", story::SCHEDULE];
    words.extend(story::GIVEN);
    words.extend(["--root-ttl", "1h", "--max-depth", "2"]);
    let signed = does(stage, &words, narrator).await?;
    narrator.observed("mandate", &signed);
    Ok(signed.get("digest").and_then(Value::as_str).context("the mandate has no digest")?.to_owned())
}

/// The schedule starts the agent, which has one sub-agent read and another write.
async fn write_report(
    stage: &Stage,
    server: &Server,
    mandate: &str,
    narrator: &mut Narrator,
) -> anyhow::Result<Task> {
    narrator.begin("The report is written", story::WORK_SAYS)?;
    plan_sub_agents(stage)?;
    plan_agent(stage)?;
    plan_schedule(stage, mandate)?;
    for line in [
        "deeds delegate --as monthly-risk.key --mandate DIGEST --new-key -o schedule.delegation",
        "deeds wrap --files --name files --delegation loader.delegation -- files-server",
        "deeds run --name clean --delegation agent.delegation --reads datasets --writes clean -- ./clean.sh",
    ] {
        narrator.command(line)?;
    }
    let expected = story::loader_calls().len() + 1 + story::writer_calls().len() + 1;
    let reported = watch(stage, story::SCHEDULE, expected, narrator).await?;
    let task = ask::task(server, story::AGENT, &reported).await?;
    let parts = ["read", "clean", "cleaned", "report", "publish"];
    show(&task, &parts, narrator)?;
    for (part, what) in [
        ("read", "the loader read both datasets"),
        ("clean", "the script cleaned them"),
        ("report", "the writer wrote the report"),
        ("publish", "the report is published"),
    ] {
        narrator.check(what, task.all(part, Done::succeeded))?;
    }
    narrator.observed("work", &told(&task, &parts));
    Ok(task)
}

/// A sample server behind `deeds wrap --files`.
fn wrapped(stage: &Stage, alias: &str, delegation: &str, player: &[&str]) -> anyhow::Result<Vec<String>> {
    let player = player.iter().map(|word| (*word).to_owned()).collect();
    stage.wrap(&Wrapped { alias, delegation, trigger: "schedule", options: &["--files"], player })
}

fn plan_sub_agents(stage: &Stage) -> anyhow::Result<()> {
    let files = |delegation| wrapped(stage, "files", delegation, &[]);
    let loader = BTreeMap::from([("files".to_owned(), files("loader.delegation")?)]);
    stage.plan(story::LOADER, loader, story::loader_calls().into_iter().map(Step::Call).collect())?;
    let warehouse = wrapped(stage, "warehouse", "writer.delegation", &["--data", "warehouse.json"])?;
    let writer = BTreeMap::from([
        ("files".to_owned(), files("writer.delegation")?),
        ("warehouse".to_owned(), warehouse),
    ]);
    stage.plan(story::WRITER, writer, story::writer_calls().into_iter().map(Step::Call).collect())
}

/// Hands on what each sub-agent needs, one after the other, and publishes.
fn plan_agent(stage: &Stage) -> anyhow::Result<()> {
    let hand_over = |who: &str, tools: &[&str]| {
        let file = format!("{who}.delegation");
        let mut words = vec!["delegate", "--from", "agent.delegation", "--new-key", "--agent", who];
        words.extend(tools);
        words.extend(["-o", &file]);
        stage.command(&words).map(Step::Command)
    };
    let run = ["run", "--name", "clean", "--delegation", "agent.delegation", "--trigger", "schedule"];
    let mut command = stage.command(&run)?;
    command.extend(["--reads", "datasets", "--writes", "clean", "--", "./clean.sh"].map(str::to_owned));
    let steps = vec![
        // its own run opens here: from then on what it hands over is announced in it
        Step::Open("publish".to_owned()),
        hand_over(story::LOADER, &story::LOADER_GIVEN)?,
        Step::Player(stage.player(story::LOADER)?),
        Step::Act(Act { part: "clean".into(), uri: story::CLEAN.into(), command }),
        hand_over(story::WRITER, &story::WRITER_GIVEN)?,
        Step::Player(stage.player(story::WRITER)?),
        Step::Call(story::publish()),
    ];
    let publish = wrapped(stage, "publish", "agent.delegation", &[])?;
    stage.plan(story::AGENT, BTreeMap::from([("publish".to_owned(), publish)]), steps)
}

fn plan_schedule(stage: &Stage, mandate: &str) -> anyhow::Result<()> {
    let root = [
        "delegate",
        "--as",
        "monthly-risk.key",
        "--mandate",
        mandate,
        "--new-key",
        "-o",
        "schedule.delegation",
    ];
    let on = ["delegate", "--from", "schedule.delegation", "--new-key", "--agent", story::AGENT];
    let mut on = stage.command(&on)?;
    on.extend(["-o", "agent.delegation"].map(str::to_owned));
    let steps = vec![
        Step::Command(stage.command(&root)?),
        Step::Command(on),
        Step::Player(stage.player(story::AGENT)?),
    ];
    stage.plan(story::SCHEDULE, BTreeMap::new(), steps)
}

/// What the writer tried.
fn show_refusal(stage: &Stage, task: &Task, narrator: &mut Narrator) -> anyhow::Result<()> {
    narrator.begin("What it was not allowed to do", story::REFUSED_SAYS)?;
    show(task, &["warehouse"], narrator)?;
    narrator.check(
        "asking the warehouse is refused by the delegation",
        task.all("warehouse", |done| done.refused_at("scope")),
    )?;
    let journal =
        std::fs::read_to_string(stage.journal("warehouse")).context("the warehouse kept no journal")?;
    narrator.check("the warehouse was asked for nothing", journal.is_empty())?;
    narrator.observed("refused", &told(task, &["warehouse"]));
    Ok(())
}

/// From the report to its sources; gives the digest of the dataset that will turn out to be wrong.
async fn trace_back(stage: &Stage, task: &Task, narrator: &mut Narrator) -> anyhow::Result<String> {
    narrator.begin("Which data is the report made of?", story::LINEAGE_SAYS)?;
    let publish = format!("@{}", task.first("publish")?.index);
    let published = asks(stage, &["trace", &publish], narrator).await?;
    let sent = trace::artifact(&published, "input", story::REPORT);
    let sent = sent.and_then(trace::digest).context("the publication names no report")?.to_owned();
    let report = asks(stage, &["trace", &sent, "--up"], narrator).await?;
    narrator.check(
        "the bytes that were distributed are those that the writer wrote",
        trace::acts(&report, "output") == [task.first("report")?.index],
    )?;
    let run = task.first("report")?.run.clone();
    asks(stage, &["did", "--run", &run], narrator).await?;
    let cleaned = does(stage, &["trace", story::CLEANED, "--up"], narrator).await?;
    let clean = task.first("clean")?.index;
    narrator.check(
        "what the writer had read was made by the script",
        trace::acts(&cleaned, "output") == [clean],
    )?;
    let script = asks(stage, &["trace", &format!("@{clean}")], narrator).await?;
    let sales = trace::artifact(&script, "input", "sales-2026-10.csv").and_then(trace::digest);
    let wrong = trace::artifact(&script, "input", story::WRONG).and_then(trace::digest);
    narrator.check("the script had both datasets, with these digests", sales.is_some() && wrong.is_some())?;
    let wrong = wrong.context("the script did not have the dataset")?.to_owned();
    narrator.observed(
        "lineage",
        &json!({"published": published, "report": report, "cleaned": cleaned, "script": script}),
    );
    Ok(wrong)
}

/// The dataset is withdrawn, and its file corrected.
async fn withdraw(stage: &Stage, task: &Task, wrong: &str, narrator: &mut Narrator) -> anyhow::Result<()> {
    narrator.begin("A dataset turns out to be wrong", story::WITHDRAWN_SAYS)?;
    let withdrawn = does(stage, &["withdraw", wrong, "--why", story::WHY], narrator).await?;
    let run = ["run", "--name", "correct", "--principal", "amara.key", "--agent", story::PERSON];
    let mut correct = run.to_vec();
    correct.extend(["--trigger", "human", "--writes", "datasets"]);
    narrator.command(&format!("deeds {} -- ./correct.sh", correct.join(" ")))?;
    let corrected = stage.acts(&correct, &["./correct.sh"]).await?;
    narrator.show(&corrected)?;
    let used = asks(stage, &["trace", wrong, "--down"], narrator).await?;
    let mut users = trace::acts(&used, "input");
    users.dedup();
    let readers =
        [task.part("read").last().map(|done| done.index).unwrap_or_default(), task.first("clean")?.index];
    narrator.check("exactly the loader and the script had the bytes that are withdrawn", users == readers)?;
    let clean = format!("@{}", task.first("clean")?.index);
    let script = does(stage, &["trace", &clean], narrator).await?;
    let input =
        trace::artifact(&script, "input", story::WRONG).context("the script did not have the dataset")?;
    narrator.check(
        "the answer about the script says that its input was withdrawn",
        trace::says(input, "withdrawn"),
    )?;
    narrator.check("and that the file has other bytes now", trace::says(input, "replaced"))?;
    for line in story::NOT_YET {
        narrator.not_yet(line)?;
    }
    narrator.observed("withdrawn", &json!({"withdrawn": withdrawn, "used": used, "script": script}));
    Ok(())
}

fn next(server: &Server, task: &Task) -> anyhow::Result<Next> {
    Ok(Next {
        questions: vec![
            (format!("trace @{}", task.first("publish")?.index), "the publication"),
            (format!("trace @{}", task.first("clean")?.index), "the script and its datasets"),
            (format!("delegations {}", story::PERSON), ""),
        ],
        bundles: &["report.deeds"],
        log_vkey: server.hello.log_vkey.clone(),
    })
}

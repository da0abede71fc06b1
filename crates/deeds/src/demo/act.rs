//! The acts of the story up to the questions: server, person, agent, refusals, undoing, the unknown.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use evidence::principal::PrincipalKind;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::time::timeout;

use super::ask::Task;
use super::narrator::Narrator;
use super::player::agent::Reported;
use super::stage::Stage;
use super::story;
use crate::commands::{authority, principal};
use crate::connect::{Server, connect_or_begin};
use crate::render::{self, lists};
use crate::{entropy, keys};

/// How long the agent may take for one call, or to end.
const AGENT_PATIENCE: Duration = Duration::from_mins(1);

/// A server of its own, with the story's policy.
pub(super) async fn start_server(stage: &Stage, narrator: &mut Narrator) -> anyhow::Result<Server> {
    narrator.begin(
        "A server that keeps the log",
        "The server decides every call and keeps an append-only log whose entries cannot be changed without breaking a signed tree head. Its policy is \
         a directory of Cedar files; the log names the policy's digest from its first decision on.",
    )?;
    narrator.command("deeds serve --policy policy")?;
    narrator.progress("starting the server");
    let server = connect_or_begin(&stage.config).await?;
    let hello = &server.hello;
    narrator.show(&format!(
        "log {}, process {}, over a Unix socket for this user alone",
        hello.origin, hello.pid
    ))?;
    narrator.show(&format!("policy {}", hello.policy.digest))?;
    narrator.observed(
        "server",
        &json!({"origin": hello.origin, "log_id": hello.log_id, "policy": hello.policy.digest, "pid": hello.pid}),
    );
    Ok(server)
}

/// The person whose key signs the delegation.
pub(super) async fn register_person(
    stage: &Stage,
    server: &Server,
    narrator: &mut Narrator,
) -> anyhow::Result<()> {
    narrator.begin(
        "A person who answers for it",
        "The ciso registers a key. What the agent may do rests on that key's signature. The scope she signs: isolate \
         and release hosts whose name begins with ws-, create tickets, disable users; nothing else.",
    )?;
    narrator.command("deeds principal add ciso --kind human --key ciso.key")?;
    let key = keys::create(&stage.key(), &*entropy::seed()?, story::PERSON)?;
    let added = principal::register(server, PrincipalKind::Human, story::PERSON, None, &key).await?;
    let thumbprint = key.public().thumbprint();
    narrator.show(&format!("registered at @{} with key {thumbprint}", added.index))?;
    narrator.show(&format!("note: {}", keys::SAME_USER_WARNING))?;
    for line in story::NO_MANDATE {
        narrator.not_yet(line)?;
    }
    narrator.observed("person", &json!({"index": added.index, "key": thumbprint, "sub": story::PERSON}));
    Ok(())
}

/// The agent plays its playbook; gives what it was answered, call by call.
pub(super) async fn run_agent(stage: &Stage, narrator: &mut Narrator) -> anyhow::Result<Vec<Reported>> {
    narrator.begin(
        "An agent at work",
        "containment-agent starts three MCP servers (edr, idp, ticket), each behind `deeds wrap`. To the agent they \
         look like any MCP server. Each wrap has a key of its own, gets a delegation for it on the ciso's signed \
         request, and proves that it holds the key at every call.",
    )?;
    narrator.command("deeds wrap --name edr --principal ciso.key --scope scope.json -- edr-server")?;
    narrator.progress("starting the agent");
    let reported = play(stage, narrator).await?;
    let isolated = reported.iter().filter(|done| done.call.part == "isolate" && done.succeeded()).count();
    let hosts = format!("{} to {}", story::host(1), story::host(story::ISOLATED));
    narrator.show(&format!("{isolated} workstations isolated ({hosts})"))?;
    narrator.check(
        &format!("{} hosts are isolated", story::ISOLATED),
        u32::try_from(isolated)? == story::ISOLATED,
    )?;
    narrator.not_yet(story::NO_RATE)?;
    narrator.observed("agent", &json!({"calls": reported.len(), "isolated": isolated}));
    Ok(reported)
}

async fn play(stage: &Stage, narrator: &mut Narrator) -> anyhow::Result<Vec<Reported>> {
    let mut agent = stage.start_agent()?;
    let mut lines = BufReader::new(agent.stdout.take().context("the agent has no standard output")?).lines();
    let expected = story::calls().len();
    let mut reported: Vec<Reported> = Vec::new();
    let patience = || format!("the agent says nothing for {} s", AGENT_PATIENCE.as_secs());
    while let Some(line) = timeout(AGENT_PATIENCE, lines.next_line()).await.with_context(patience)?? {
        reported.push(serde_json::from_str(&line).context("the agent's report cannot be read")?);
        narrator.progress(&format!("{} of {expected} calls", reported.len()));
    }
    let status = timeout(AGENT_PATIENCE, agent.wait()).await.with_context(patience)??;
    ensure!(status.success(), "the agent ended with {status}");
    ensure!(reported.len() == expected, "the agent made {} of {expected} calls", reported.len());
    Ok(reported)
}

/// What was refused, by whom, and how the agent was told.
pub(super) fn show_refusals(task: &Task, narrator: &mut Narrator) -> anyhow::Result<()> {
    narrator.begin(
        "What it was not allowed to do",
        "The agent also tried a domain controller and a user account. The first is outside what the ciso signed; the \
         second is inside, but the policy keeps tools with effects outside for people. The tools never saw either \
         call, and both refusals are in the log.",
    )?;
    for part in ["controller", "user"] {
        for done in task.part(part) {
            narrator.show(&format!("@{} {}", done.index, done.reported.words()))?;
        }
    }
    let all = |part: &str, holds: &dyn Fn(&super::ask::Done) -> bool| {
        let part = task.part(part);
        !part.is_empty() && part.iter().all(|done| done.verdict == "deny" && holds(done))
    };
    narrator.check(
        "the domain controller is refused by the delegation",
        all("controller", &|done| done.step == "scope"),
    )?;
    narrator.check(
        "disabling a user is refused by policy",
        all("user", &|done| done.reason.contains(story::EXTERNAL_POLICY)),
    )?;
    narrator.not_yet(story::NO_BREAK_GLASS)?;
    let refused: Vec<Value> =
        task.done.iter().filter(|done| done.verdict == "deny").map(super::ask::Done::to_json).collect();
    narrator.observed("refused", &json!({"actions": refused}));
    Ok(())
}

/// The ticket, the releases, and the isolation whose tool died.
pub(super) fn show_undone_and_unknown(
    stage: &Stage,
    task: &Task,
    narrator: &mut Narrator,
) -> anyhow::Result<()> {
    narrator.begin(
        "What was undone, and what nobody knows",
        "A ticket names the run. Three hosts were released, the last isolated first. Then the EDR server accepted one \
         more isolation and was killed before it answered. Did it happen? deeds does not guess: it records unknown.",
    )?;
    for part in ["ticket", "release", "killed"] {
        for done in task.part(part) {
            let call = &done.reported.call;
            narrator.show(&format!(
                "@{} {}/{} {}: {}",
                done.index, call.server, call.tool, call.args, done.status
            ))?;
        }
    }
    let isolated_run = task.part("isolate").first().map(|done| done.run.clone()).unwrap_or_default();
    let named = |done: &&super::ask::Done| done.reported.call.args.get("run") == Some(&json!(isolated_run));
    narrator.check("the ticket names the run of the isolations", task.part("ticket").iter().any(named))?;
    let status = |part: &str, status: &str| {
        let part = task.part(part);
        !part.is_empty() && part.iter().all(|done| done.verdict == "allow" && done.status == status)
    };
    narrator.check("the releases are done", status("release", "ok"))?;
    narrator.check("the outcome of the last isolation is unknown", status("killed", "unknown"))?;
    let reached = journal(stage)?;
    let accepted = reached.contains(&story::host(story::LAST_HOST));
    narrator.show(&format!(
        "the EDR server's own journal {} {}; the log cannot know that by itself",
        if accepted { "has" } else { "does not have" },
        story::host(story::LAST_HOST)
    ))?;
    narrator.not_yet(story::NO_RECONCILIATION)?;
    narrator
        .check("the domain controller never reached the EDR server", !reached.contains(story::CONTROLLER))?;
    let pick = |part: &str| task.part(part).into_iter().map(super::ask::Done::to_json).collect::<Vec<_>>();
    narrator.observed(
        "undone-and-unknown",
        &json!({"ticket": pick("ticket"), "released": pick("release"), "killed": pick("killed"),
            "run": isolated_run, "edr_journal": reached}),
    );
    Ok(())
}

/// The hosts that the EDR server says it was asked about.
fn journal(stage: &Stage) -> anyhow::Result<BTreeSet<String>> {
    let text = fs::read_to_string(stage.journal("edr")).context("the EDR server kept no journal")?;
    let hosts = text.lines().map(|line| {
        let line: Value = serde_json::from_str(line).context("a line of the journal is not JSON")?;
        Ok(line.pointer("/args/host").and_then(Value::as_str).unwrap_or_default().to_owned())
    });
    hosts.collect()
}

/// The whole task as the log has it.
pub(super) fn show_record(task: &Task, narrator: &mut Narrator) -> anyhow::Result<()> {
    narrator.begin("What the log has", "Everything above comes from one question to the log:")?;
    narrator.command(&format!("deeds did --task {}", task.id))?;
    let width = narrator.width();
    narrator.page(&lists::actions(&task.answer, width - 2, ""))?;
    let allowed = task.done.iter().filter(|done| done.verdict == "allow").count();
    let isolated = task.part("isolate");
    let fine = isolated.iter().filter(|done| done.verdict == "allow" && done.status == "ok").count();
    narrator.check(
        &format!("all {} isolations are allowed and done", story::ISOLATED),
        u32::try_from(fine)? == story::ISOLATED,
    )?;
    narrator.observed(
        "record",
        &json!({"task": task.id, "allowed": allowed, "refused": task.done.len() - allowed, "isolated": fine,
            "runs": task.runs, "actions": task.done.iter().map(super::ask::Done::to_json).collect::<Vec<_>>()}),
    );
    Ok(())
}

/// Who stands behind one isolation; gives the position of its decision.
pub(super) async fn ask_for_authority(
    server: &Server,
    task: &Task,
    narrator: &mut Narrator,
) -> anyhow::Result<u64> {
    let isolation =
        task.part("isolate").first().map(|done| done.index).context("no isolation was recorded")?;
    narrator.begin(
        "Under whose authority?",
        "One isolation, from the person down to the tool. Every fact says how it is known and what was checked.",
    )?;
    narrator.command(&format!("deeds authority @{isolation}"))?;
    // so that the answer names the signed checkpoint that covers the isolation
    narrator.progress("waiting for a signed checkpoint");
    let size = server.client.hello().await?.size;
    let _: Value = server.client.get_json(&format!("/v1/checkpoint?size={size}")).await?;
    let answer: Value = server.client.get_json(&authority::path(&isolation.to_string())).await?;
    let width = narrator.width();
    narrator.page(&render::authority::page(&answer, width - 2))?;
    narrator.page(&render::authority::legend(width - 2))?;
    let covered = answer.pointer("/committed/state").and_then(Value::as_str) == Some("included");
    narrator.check("a signed checkpoint covers the isolation", covered)?;
    narrator.check("the isolation was allowed", render::authority::verdict(&answer) == Some("allow"))?;
    narrator.observed("authority", &answer);
    Ok(isolation)
}

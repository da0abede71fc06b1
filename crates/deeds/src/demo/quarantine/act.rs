//! The acts of the story up to the questions: mandate, agent, refusals, undoing, the unknown.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::story;
use crate::demo::act::{play, show, told};
use crate::demo::ask::{Done, Task};
use crate::demo::narrator::Narrator;
use crate::demo::player::agent::{Reported, Step};
use crate::demo::stage::{Stage, Wrapped};
use crate::render::lists;

/// The standing authority, signed while everybody is awake; gives its token digest.
pub(super) async fn sign_mandate(stage: &Stage, narrator: &mut Narrator) -> anyhow::Result<String> {
    narrator.begin(
        "A mandate, signed before anything happened",
        "The ciso says what may be done while nobody is there: isolate and release hosts whose name begins with ws-, \
         create tickets, disable users; nothing else. Under it ir-playbook may get delegations of 15 minutes, and \
         pass them on over one link. The ciso renews it monthly.",
    )?;
    let mandate = [
        "mandate",
        "--as",
        "ciso.key",
        "--for",
        story::SERVICE,
        "--scope",
        "scope.json",
        "--purpose",
        story::PURPOSE,
        "--root-ttl",
        "15m",
        "--ttl",
        "30d",
        "--max-depth",
        "1",
    ];
    narrator.command(
        "deeds mandate --as ciso.key --for ir-playbook --scope scope.json --purpose 'contain infected hosts' \
         --root-ttl 15m --ttl 30d --max-depth 1",
    )?;
    let signed = stage.deeds(&mandate).await?;
    let digest =
        signed.get("digest").and_then(Value::as_str).context("the mandate has no digest")?.to_owned();
    let index = signed.get("index").and_then(Value::as_u64).context("the mandate has no entry")?;
    narrator.show(&format!("mandate {digest} at @{index}"))?;
    narrator.observed("mandate", &signed);
    Ok(digest)
}

/// The service gets its root and hands parts of it to the agent, which plays its playbook; gives what both were
/// answered, call by call.
pub(super) async fn run_service(
    stage: &Stage,
    mandate: &str,
    narrator: &mut Narrator,
) -> anyhow::Result<Vec<Reported>> {
    narrator.begin(
        "An agent at work",
        "The alert starts ir-playbook. It gets a root under the mandate, wraps the ticket server for itself, makes a \
         narrower delegation with a key of its own for each server of the agent, and starts containment-agent. To that \
         one the servers (edr, idp) look like any MCP server; `deeds wrap` proves at every call that it holds the key.",
    )?;
    plan_service(stage, mandate)?;
    for line in [
        "deeds delegate --as ir-playbook.key --mandate DIGEST --new-key -o playbook.delegation",
        "deeds delegate --from playbook.delegation --new-key --agent containment-agent --handoff 'Alert 4711: …' \
         --tool stdio:edr#isolate_host --arg host=prefix:ws- … -o edr.delegation",
        "deeds wrap --name edr --delegation edr.delegation -- edr-server",
    ] {
        narrator.command(line)?;
    }
    narrator.progress("starting the playbook");
    let expected = story::agent_calls().len() + story::service_calls().len();
    let reported = play(stage, story::SERVICE, expected, narrator).await?;
    let isolated = reported.iter().filter(|done| done.part == "isolate" && done.succeeded()).count();
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

/// Tells the service under which mandate it acts: how to get its root, what to hand to the agent, what to do itself.
fn plan_service(stage: &Stage, mandate: &str) -> anyhow::Result<()> {
    let mut agent_servers = BTreeMap::new();
    let key = format!("{}.key", story::SERVICE);
    let root = ["delegate", "--as", &key, "--mandate", mandate, "--new-key", "-o", "playbook.delegation"];
    // its own run opens with its server: from then on what it hands over is announced in it
    let mut steps = vec![Step::Command(stage.command(&root)?), Step::Open("ticket".to_owned())];
    for (alias, tools) in story::handed_over() {
        let file = format!("{alias}.delegation");
        let mut hand_over = stage.command(&["delegate", "--from", "playbook.delegation", "--new-key"])?;
        hand_over
            .extend(["--agent", story::AGENT, "--handoff", story::HAND_OVER, "-o", &file].map(str::to_owned));
        hand_over.extend(tools.into_iter().map(str::to_owned));
        steps.push(Step::Command(hand_over));
        agent_servers.insert(alias.to_owned(), wrap(stage, alias, &file, "event")?);
    }
    stage.plan(story::AGENT, agent_servers, story::agent_calls().into_iter().map(Step::Call).collect())?;
    steps.push(Step::Player(stage.player(story::AGENT)?));
    steps.extend(story::service_calls().into_iter().map(Step::Call));
    let own = wrap(stage, "ticket", "playbook.delegation", "event")?;
    stage.plan(story::SERVICE, BTreeMap::from([("ticket".to_owned(), own)]), steps)
}

/// A tool of the story behind `deeds wrap`.
pub(super) fn wrap(
    stage: &Stage,
    alias: &str,
    delegation: &str,
    trigger: &str,
) -> anyhow::Result<Vec<String>> {
    let player = story::tool_arguments(alias);
    stage.wrap(&Wrapped { alias, delegation, trigger, player, ..Wrapped::default() })
}

/// What was refused, by whom, and how the agent was told.
pub(super) fn show_refusals(stage: &Stage, task: &Task, narrator: &mut Narrator) -> anyhow::Result<()> {
    narrator.begin(
        "What it was not allowed to do",
        "The agent also tried a domain controller and a user account. The first is outside what it was given, and \
         outside the mandate; the second is inside, but the policy keeps tools with effects outside for people. The \
         tools never saw either call, and both refusals are in the log.",
    )?;
    show(task, &["controller", "user"], narrator)?;
    narrator.check(
        "the domain controller is refused by the delegation",
        task.all("controller", |done| done.refused_at("scope")),
    )?;
    narrator.check(
        "disabling a user is refused by policy",
        task.all("user", |done| done.refused_by(story::EXTERNAL_POLICY)),
    )?;
    narrator.check(
        "the domain controller never reached the EDR server",
        !journal(stage)?.contains(story::CONTROLLER),
    )?;
    let refused: Vec<Value> =
        task.done.iter().filter(|done| done.verdict == "deny").map(Done::to_json).collect();
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
        "Three hosts were released, the last isolated first. Then the EDR server accepted one more isolation and was \
         killed before it answered. Did it happen? deeds does not guess: it records unknown. At the end ir-playbook \
         created a ticket that names the run.",
    )?;
    show(task, &["release", "killed", "ticket"], narrator)?;
    let isolated_run = task.part("isolate").first().map(|done| done.run.clone()).unwrap_or_default();
    let named = |done: &&Done| done.reported.args.get("run") == Some(&json!(isolated_run));
    narrator.check("the ticket names the run of the isolations", task.part("ticket").iter().any(named))?;
    narrator.check("the releases are done", task.all("release", Done::succeeded))?;
    narrator.check(
        "the outcome of the last isolation is unknown",
        task.all("killed", |done| done.verdict == "allow" && done.status == "unknown"),
    )?;
    let reached = journal(stage)?;
    let accepted = reached.contains(&story::host(story::LAST_HOST));
    narrator.show(&format!(
        "the EDR server's own journal {} {}; the log cannot know that by itself",
        if accepted { "has" } else { "does not have" },
        story::host(story::LAST_HOST)
    ))?;
    narrator.not_yet(story::NO_RECONCILIATION)?;
    let parts = told(task, &["ticket", "release", "killed"]);
    narrator.observed(
        "undone-and-unknown",
        &json!({"parts": parts, "run": isolated_run, "edr_journal": reached}),
    );
    Ok(())
}

/// The hosts that the EDR server says it was asked about.
pub(super) fn journal(stage: &Stage) -> anyhow::Result<BTreeSet<String>> {
    let text = fs::read_to_string(stage.journal("edr")).context("the EDR server kept no journal")?;
    let hosts = text.lines().map(|line| {
        let line: Value = serde_json::from_str(line).context("a line of the journal is not JSON")?;
        Ok(line.pointer("/args/host").and_then(Value::as_str).unwrap_or_default().to_owned())
    });
    hosts.collect()
}

/// The whole task as the log has it.
pub(super) fn show_record(task: &Task, narrator: &mut Narrator) -> anyhow::Result<()> {
    narrator.begin(
        "What the log has",
        "The whole task of the playbook and its agent, by one question to the log:",
    )?;
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
            "runs": task.runs, "actions": task.done.iter().map(Done::to_json).collect::<Vec<_>>()}),
    );
    Ok(())
}

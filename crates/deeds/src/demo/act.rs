//! The acts of the story up to the questions: server, people, mandate, agent, refusals, undoing, the unknown.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::time::timeout;

use super::ask::Task;
use super::narrator::Narrator;
use super::player::agent::Reported;
use super::stage::Stage;
use super::story;
use crate::connect::{Server, connect_or_begin};
use crate::keys;
use crate::render::lists;

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

/// Who there is, with a key each.
pub(super) async fn register_people(stage: &Stage, narrator: &mut Narrator) -> anyhow::Result<()> {
    narrator.begin(
        "Who answers for it",
        "Three keys are registered: of the ciso, of the service ir-playbook, and of Noor, who is on call. What an agent \
         may do rests on signatures by such keys.",
    )?;
    let mut people = Vec::new();
    for (name, kind) in story::REGISTERED {
        let key = format!("{name}.key");
        let add = ["principal", "add", name, "--kind", kind, "--key", &key];
        narrator.command(&format!("deeds {}", add.join(" ")))?;
        let added = stage.deeds(&add).await?;
        let thumbprint = added.pointer("/principal/key").cloned().unwrap_or_default();
        people.push(json!({"sub": name, "kind": kind, "index": added.get("index"), "key": thumbprint}));
    }
    narrator.show(&format!("note: {}", keys::SAME_USER_WARNING))?;
    narrator.observed("people", &json!({ "people": people }));
    Ok(())
}

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
    stage.plan_service(mandate)?;
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
    let reported = play(stage, "service", "service.json", expected, narrator).await?;
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

/// Runs a player to its end; gives what it was answered.
pub(super) async fn play(
    stage: &Stage,
    player: &str,
    told: &str,
    expected: usize,
    narrator: &mut Narrator,
) -> anyhow::Result<Vec<Reported>> {
    let mut head = stage.start_player(player, told)?;
    let mut lines = BufReader::new(head.stdout.take().context("the player has no standard output")?).lines();
    let mut reported: Vec<Reported> = Vec::new();
    let patience = || format!("the player says nothing for {} s", AGENT_PATIENCE.as_secs());
    while let Some(line) = timeout(AGENT_PATIENCE, lines.next_line()).await.with_context(patience)?? {
        reported.push(serde_json::from_str(&line).context("the player's report cannot be read")?);
        narrator.progress(&format!("{} of {expected} calls", reported.len()));
    }
    let status = timeout(AGENT_PATIENCE, head.wait()).await.with_context(patience)??;
    ensure!(status.success(), "the player ended with {status}");
    ensure!(reported.len() == expected, "the player made {} of {expected} calls", reported.len());
    Ok(reported)
}

/// What was refused, by whom, and how the agent was told.
pub(super) fn show_refusals(stage: &Stage, task: &Task, narrator: &mut Narrator) -> anyhow::Result<()> {
    narrator.begin(
        "What it was not allowed to do",
        "The agent also tried a domain controller and a user account. The first is outside what it was given, and \
         outside the mandate; the second is inside, but the policy keeps tools with effects outside for people. The \
         tools never saw either call, and both refusals are in the log.",
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
    narrator.check(
        "the domain controller never reached the EDR server",
        !journal(stage)?.contains(story::CONTROLLER),
    )?;
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
        "Three hosts were released, the last isolated first. Then the EDR server accepted one more isolation and was \
         killed before it answered. Did it happen? deeds does not guess: it records unknown. At the end ir-playbook \
         created a ticket that names the run.",
    )?;
    for part in ["release", "killed", "ticket"] {
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
    let pick = |part: &str| task.part(part).into_iter().map(super::ask::Done::to_json).collect::<Vec<_>>();
    narrator.observed(
        "undone-and-unknown",
        &json!({"ticket": pick("ticket"), "released": pick("release"), "killed": pick("killed"),
            "run": isolated_run, "edr_journal": reached}),
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
            "runs": task.runs, "actions": task.done.iter().map(super::ask::Done::to_json).collect::<Vec<_>>()}),
    );
    Ok(())
}

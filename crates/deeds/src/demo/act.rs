//! What every story does: a server that keeps the log, people with keys, players that are watched to their end.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::time::timeout;

use super::ask::{Done, Task};
use super::narrator::Narrator;
use super::player::agent::Reported;
use super::stage::Stage;
use crate::connect::{Server, connect_or_begin};
use crate::keys;

/// How long a player may take for one call, or to end.
const PATIENCE: Duration = Duration::from_mins(1);

/// A server of its own, with the story's policy.
pub(super) async fn start_server(stage: &Stage, narrator: &mut Narrator) -> anyhow::Result<Server> {
    narrator.begin(
        "A server that keeps the log",
        "The server decides every call and keeps an append-only log whose entries cannot be changed without breaking \
         a signed tree head. Its policy is a directory of Cedar files; the log names the policy's digest from its \
         first decision on.",
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

/// Registers keys of people and services: name and kind of each. `says` introduces them.
pub(super) async fn register(
    stage: &Stage,
    registered: &[(&str, &str)],
    says: &str,
    narrator: &mut Narrator,
) -> anyhow::Result<()> {
    narrator.begin("Who answers for it", says)?;
    let mut people = Vec::new();
    for (name, kind) in registered {
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

/// Runs a `deeds` command on the story's log, shown as a person would type it; gives its JSON answer.
pub(super) async fn does(stage: &Stage, words: &[&str], narrator: &mut Narrator) -> anyhow::Result<Value> {
    let plain = |word: &str| !word.contains([' ', '*', '\'', '(', ';']);
    let typed = |word: &&str| if plain(word) { (*word).to_owned() } else { format!("'{word}'") };
    narrator.command(&format!("deeds {}", words.iter().map(typed).collect::<Vec<_>>().join(" ")))?;
    stage.deeds(words).await
}

/// Asks as a person would and shows the answer; gives its JSON.
pub(super) async fn asks(stage: &Stage, words: &[&str], narrator: &mut Narrator) -> anyhow::Result<Value> {
    let answer = does(stage, words, narrator).await?;
    let page = stage.text(words).await?;
    narrator.page(&page)?;
    Ok(answer)
}

/// Runs a player to its end; gives what it was answered.
pub(super) async fn play(
    stage: &Stage,
    name: &str,
    expected: usize,
    narrator: &mut Narrator,
) -> anyhow::Result<Vec<Reported>> {
    let mut head = stage.start_player(name)?;
    let mut lines = BufReader::new(head.stdout.take().context("the player has no standard output")?).lines();
    let mut reported: Vec<Reported> = Vec::new();
    let patience = || format!("the player says nothing for {} s", PATIENCE.as_secs());
    while let Some(line) = timeout(PATIENCE, lines.next_line()).await.with_context(patience)?? {
        reported.push(serde_json::from_str(&line).context("the player's report cannot be read")?);
        narrator.progress(&format!("{} of {expected} calls", reported.len()));
    }
    let status = timeout(PATIENCE, head.wait()).await.with_context(patience)??;
    ensure!(status.success(), "the player ended with {status}");
    ensure!(reported.len() == expected, "the player made {} of {expected} calls", reported.len());
    Ok(reported)
}

/// What was refused, by whom, and how the agent was told; in these parts of the story.
pub(super) fn show(task: &Task, parts: &[&str], narrator: &mut Narrator) -> anyhow::Result<()> {
    parts.iter().flat_map(|part| task.part(part)).try_for_each(|done| narrator.show(&done.line()))
}

/// These parts for `--json`.
pub(super) fn told(task: &Task, parts: &[&str]) -> Value {
    let part = |part: &&str| ((*part).to_owned(), task.part(part).into_iter().map(Done::to_json).collect());
    Value::Object(parts.iter().map(part).collect())
}

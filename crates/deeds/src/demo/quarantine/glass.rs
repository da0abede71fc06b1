//! The person on call breaks the glass: a new root on her own authority, loudly marked.

use std::collections::BTreeMap;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::act::{journal, wrap};
use super::story;
use crate::commands::authority;
use crate::connect::Server;
use crate::demo::act::play;
use crate::demo::ask;
use crate::demo::narrator::Narrator;
use crate::demo::player::agent::Step;
use crate::demo::stage::Stage;
use crate::render;
use crate::render::fact;

/// Noor isolates the domain controller, in a process of her own; gives the position of the decision.
pub(super) async fn breaks(stage: &Stage, server: &Server, narrator: &mut Narrator) -> anyhow::Result<u64> {
    narrator.begin(
        "Noor breaks the glass",
        "The domain controller spreads the infection, and nobody's delegation covers it. Noor, on call, signs a \
         delegation for exactly this host, on her own authority. It is no exception to any check: it is a new root, \
         with a reason, and every answer about it says so first.",
    )?;
    let limit = format!("host={}", story::CONTROLLER);
    let delegate = [
        "delegate",
        "--as",
        "noor.key",
        "--purpose",
        evidence::delegation::BREAK_GLASS,
        "--why",
        story::WHY,
        "--new-key",
        "--agent",
        story::ON_CALL,
        "--kind",
        "human",
        "--tool",
        "stdio:edr#isolate_host",
        "--arg",
        &limit,
        "--ttl",
        "15m",
        "-o",
        "noor.delegation",
    ];
    narrator.command(&format!(
        "deeds delegate --as noor.key --purpose break-glass --why '{}' --new-key --agent noor --kind human --tool \
         stdio:edr#isolate_host --arg {limit} --ttl 15m -o noor.delegation",
        story::WHY
    ))?;
    let given = stage.deeds(&delegate).await?;
    let servers = BTreeMap::from([("edr".to_owned(), wrap(stage, "edr", "noor.delegation", "human")?)]);
    let calls = story::on_call_calls();
    let expected = calls.len();
    stage.plan(story::ON_CALL, servers, calls.into_iter().map(Step::Call).collect())?;
    let reported = play(stage, story::ON_CALL, expected, narrator).await?;
    let task = ask::task(server, story::ON_CALL, &reported).await?;
    let done = task.done.first().context("nothing of it was recorded")?;
    let answer: Value = server.client.get_json(&authority::path(&done.index.to_string())).await?;
    narrator.command(&format!("deeds authority @{}", done.index))?;
    let page = render::authority::page(&answer, narrator.width() - 2);
    // the whole page is shown for an isolation, below
    narrator.page(&page.lines().take_while(|line| !line.is_empty()).collect::<Vec<_>>().join("\n"))?;
    let review = answer.pointer("/break_glass/review").and_then(Value::as_str);
    let why = answer.pointer("/break_glass/why").and_then(Value::as_str);
    narrator.check("the answer says first that the glass was broken, and why", why == Some(story::WHY))?;
    narrator.check("the review is open", review == Some("open"))?;
    narrator.check(
        "it rests on Noor's own authority",
        answer.get("principal").map(|part| fact::text(part, "principal", "/sub")).as_deref()
            == Some(story::ON_CALL),
    )?;
    narrator.check(
        "the domain controller is isolated",
        done.verdict == "allow" && done.status == "ok" && journal(stage)?.contains(story::CONTROLLER),
    )?;
    narrator.observed("break-glass", &json!({"given": given, "action": done.to_json(), "authority": answer}));
    Ok(done.index)
}

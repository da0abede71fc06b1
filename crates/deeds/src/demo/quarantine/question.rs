//! The questions of the story: under whose authority, did a person or the machine decide, what may it do, and what of
//! that was never used.

use anyhow::Context as _;
use serde_json::{Value, json};

use super::story;
use crate::commands::authority;
use crate::connect::Server;
use crate::demo::ask::Task;
use crate::demo::narrator::Narrator;
use crate::render;

/// Who stands behind one isolation; gives the position of its decision.
pub(super) async fn authority(server: &Server, task: &Task, narrator: &mut Narrator) -> anyhow::Result<u64> {
    let isolation =
        task.part("isolate").first().map(|done| done.index).context("no isolation was recorded")?;
    narrator.begin(
        "Under whose authority, and did a person or the machine decide?",
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
    narrator.check("the chain leads from ciso over ir-playbook to containment-agent", leads(&answer))?;
    let machine =
        answer.pointer("/mandate/principal/value/sub").and_then(Value::as_str) == Some(story::PERSON);
    narrator.check("the machine decided, under the ciso's mandate", machine)?;
    let handed = answer.pointer("/handoff/value/text").and_then(Value::as_str) == Some(story::HAND_OVER);
    narrator.check("the text that ir-playbook handed over is in the record", handed)?;
    narrator.observed("authority", &answer);
    Ok(isolation)
}

/// Whether the links are those of the story, each narrower than the one above.
fn leads(answer: &Value) -> bool {
    let links = answer.get("chain").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let holder = |link: &Value| link.pointer("/holder/value/id").and_then(Value::as_str).map(str::to_owned);
    let narrowed =
        |link: &Value| link.get("narrowed").and_then(Value::as_array).is_some_and(|list| !list.is_empty());
    let [root, leaf] = links else { return false };
    root.pointer("/delegator/value/sub").and_then(Value::as_str) == Some(story::PERSON)
        && holder(root).as_deref() == Some(story::SERVICE)
        && holder(leaf).as_deref() == Some(story::AGENT)
        && narrowed(leaf)
}

/// What the agent may do, and what of it was never used.
pub(super) async fn allowed(server: &Server, narrator: &mut Narrator) -> anyhow::Result<()> {
    narrator.begin(
        "What may it do, and what of that was never used?",
        "The limits are those that every link allows. What the policy says of a tool is said only where no argument \
         could change it.",
    )?;
    let width = narrator.width();
    narrator.command(&format!("deeds allowed {}", story::AGENT))?;
    let allowed: Value = server.client.get_json(&format!("/v1/allowed?who={}", story::AGENT)).await?;
    narrator.page(&render::allowed::page(&allowed, story::AGENT, width - 2))?;
    narrator.command(&format!("deeds delegations {}", story::PERSON))?;
    let path = format!("/v1/delegations?who={}&limit=50", story::PERSON);
    let delegations: Value = server.client.get_json(&path).await?;
    narrator.page(&render::delegations::page(&delegations, width - 2, ""))?;
    let policy = |tool: &str| policy_of(&allowed, tool);
    narrator.check(
        "isolating is always allowed within the limits",
        policy("stdio:edr#isolate_host") == ["always"],
    )?;
    narrator.check(
        "disabling a user never is, whatever was delegated",
        policy(story::EXTERNAL_TOOL) == ["never"],
    )?;
    narrator.check(
        "the right to disable users was given and never used",
        unused(&delegations).iter().any(|tool| tool == story::EXTERNAL_TOOL),
    )?;
    narrator.observed("allowed", &json!({"allowed": allowed, "delegations": delegations}));
    Ok(())
}

/// What the policy says of a tool, once for each delegation that has it.
fn policy_of(allowed: &Value, tool: &str) -> Vec<String> {
    let delegations = allowed.get("delegations").and_then(Value::as_array).into_iter().flatten();
    let tools = delegations.filter_map(|delegation| delegation.get("tools")?.as_array()).flatten();
    let named = tools.filter(|row| row.get("tool").and_then(Value::as_str) == Some(tool));
    named.filter_map(|row| row.get("policy")?.as_str().map(str::to_owned)).collect()
}

/// Tools that were never used, of every delegation of the tree.
fn unused(delegations: &Value) -> Vec<String> {
    fn add(node: &Value, found: &mut Vec<String>) {
        let list = |name: &str| node.get(name).and_then(Value::as_array).into_iter().flatten();
        found.extend(list("unused").filter_map(Value::as_str).map(str::to_owned));
        for child in list("children") {
            add(child, found);
        }
    }
    let mut found = Vec::new();
    for node in delegations.get("tree").and_then(Value::as_array).into_iter().flatten() {
        add(node, &mut found);
    }
    found
}

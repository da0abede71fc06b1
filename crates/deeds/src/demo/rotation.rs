//! Story 2: the pipeline that rotated a token, as far as it can be played: a job with a key of its own, a script whose
//! files are recorded before and after, and the way back from a file to the commit.

mod story;

use std::collections::BTreeMap;

use anyhow::Context as _;
use ed25519_dalek::SigningKey;
use serde_json::{Value, json};

use super::act::{asks, does, play as watch, register, show, told};
use super::ask::{self, Done, Task};
use super::narrator::{Narrator, Next};
use super::player::agent::{Act, Step};
use super::stage::{Stage, Wrapped};
use super::trace;
use super::{Script, proof};
use crate::connect::Server;
use crate::{clock, entropy};

pub(super) const SCRIPT: Script = story::SCRIPT;

/// The story, act by act.
pub(super) async fn play(stage: &Stage, server: &Server, narrator: &mut Narrator) -> anyhow::Result<()> {
    register(stage, &story::REGISTERED, story::WHO, narrator).await?;
    delegate(stage, narrator).await?;
    let task = rotate(stage, server, narrator).await?;
    show_refusal(&task, narrator)?;
    let script = task.first("script")?.index;
    trace_back(stage, script, narrator).await?;
    narrator.remember(next(server, &task, script)?);
    let bundle = proof::prove(stage, server, script, "rotation.deeds", narrator).await?;
    proof::verify_and_explain(stage, server, &bundle, story::COUNTED, narrator).await
}

/// Ravi's merge gives the job a part of his authority.
async fn delegate(stage: &Stage, narrator: &mut Narrator) -> anyhow::Result<()> {
    narrator.begin("What the job is given", story::GIVEN_SAYS)?;
    let mut words = vec!["delegate", "--as", "ravi.key", "--new-key", "--agent", story::WORKFLOW];
    words.extend(["--kind", "workflow"]);
    words.extend(story::GIVEN);
    words.extend(["--ttl", "30m", "--purpose", "rotate payments-db", "-o", "job.delegation"]);
    let given = does(stage, &words, narrator).await?;
    narrator.observed("given", &given);
    Ok(())
}

/// The job asks the vault for a token, runs its script, applies the manifest; then a changed action asks for more.
async fn rotate(stage: &Stage, server: &Server, narrator: &mut Narrator) -> anyhow::Result<Task> {
    narrator.begin("The job at work", story::WORK_SAYS)?;
    write_token(stage)?;
    let mut servers = BTreeMap::new();
    for (alias, player) in [("vault", &["--data", "vault.json"][..]), ("k8s", &[])] {
        let player = player.iter().map(|word| (*word).to_owned()).collect();
        let options = if alias == "k8s" { &["--files"][..] } else { &[] };
        let wrapped = Wrapped { alias, delegation: "job.delegation", trigger: "event", options, player };
        servers.insert(alias.to_owned(), stage.wrap(&wrapped)?);
    }
    let shown = ["run", "--name", "rotate", "--delegation", "job.delegation", "--trigger", "event"];
    let mut command = stage.command(&shown)?;
    let files = ["--writes", "config", "--oidc-token-file", story::TOKEN, "--", "./rotate.sh", "{token}"];
    command.extend(files.map(str::to_owned));
    narrator.command(&format!(
        "deeds {} --writes config --oidc-token-file job.jwt -- ./rotate.sh FINGERPRINT",
        shown.join(" ")
    ))?;
    let act = Act { part: "script".into(), uri: story::ROTATE.into(), command };
    let steps = vec![
        Step::Call(story::rotate()),
        Step::Act(act),
        Step::Call(story::apply()),
        Step::Call(story::ask_for_root()),
    ];
    let expected = steps.len();
    stage.plan(story::WORKFLOW, servers, steps)?;
    let reported = watch(stage, story::WORKFLOW, expected, narrator).await?;
    let task = ask::task(server, story::WORKFLOW, &reported).await?;
    show(&task, &["token", "script", "apply"], narrator)?;
    narrator.check("the token is rotated", task.all("token", Done::succeeded))?;
    narrator.check("the script ran", task.all("script", Done::succeeded))?;
    narrator.check("the manifest is applied", task.all("apply", Done::succeeded))?;
    let fingerprint =
        task.first("token")?.reported.words().split(' ').next_back().unwrap_or_default().to_owned();
    let written = std::fs::read_to_string(stage.dir.join("config/token.ref"))?;
    narrator.check("the configuration has the new fingerprint", written.contains(&fingerprint))?;
    let gaps = does(stage, &["gaps"], narrator).await?;
    narrator.check("no numbered call of the job is missing from the log", !lists_holes(&gaps))?;
    narrator.observed("work", &told(&task, &["token", "script", "apply"]));
    Ok(task)
}

/// Whether an answer of `deeds gaps` lists counters that no recorded call has.
fn lists_holes(gaps: &Value) -> bool {
    let rows = gaps.get("gaps").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    rows.iter().any(|row| row.get("what").and_then(Value::as_str) == Some("counter-hole"))
}

/// The job's identity token, as a job gets it from where it runs.
fn write_token(stage: &Stage) -> anyhow::Result<()> {
    let issuer = SigningKey::from_bytes(&*entropy::seed()?);
    let token = evidence::jws::sign("JWT", &story::claims(clock::now_ms() / 1_000), &issuer);
    Ok(std::fs::write(stage.dir.join(story::TOKEN), token)?)
}

/// What the changed action asked for.
fn show_refusal(task: &Task, narrator: &mut Narrator) -> anyhow::Result<()> {
    narrator.begin("What it was not allowed to do", story::REFUSED_SAYS)?;
    show(task, &["root"], narrator)?;
    narrator.check(
        "reading payments-root is refused by the delegation",
        task.all("root", |done| done.refused_at("scope")),
    )?;
    for line in story::NOT_YET {
        narrator.not_yet(line)?;
    }
    narrator.observed("refused", &told(task, &["root"]));
    Ok(())
}

/// From the file back to the act, and to who stands behind it.
async fn trace_back(stage: &Stage, script: u64, narrator: &mut Narrator) -> anyhow::Result<()> {
    narrator.begin("What changed the token, triggered by whom, from which commit?", story::TRACE_SAYS)?;
    let traced = asks(stage, &["trace", "config/token.ref", "--up"], narrator).await?;
    narrator.check("the file leads to the script's act", trace::acts(&traced, "output") == [script])?;
    let digest = trace::output_digest(&traced).context("the act names no digest of the file")?;
    let by_digest = does(stage, &["trace", &digest, "--up"], narrator).await?;
    narrator.check("so does the digest of what is in it", trace::acts(&by_digest, "output") == [script])?;
    let act = format!("@{script}");
    let changed = asks(stage, &["trace", &act], narrator).await?;
    narrator.check(
        "only the one file was changed, and what was there before is known",
        trace::modified(&changed) == 1,
    )?;
    let authority = does(stage, &["authority", &act], narrator).await?;
    let claimed = authority.to_string();
    let sha = story::claims(0);
    let sha = sha.get("sha").and_then(Value::as_str).unwrap_or_default();
    narrator.check("the commit is there, as the job said it", claimed.contains(sha))?;
    let who = authority.pointer("/chain/0/delegator/value/sub").and_then(Value::as_str);
    narrator.check("it rests on Ravi's authority", who == Some(story::PERSON))?;
    narrator.observed(
        "trace",
        &json!({"file": traced, "digest": by_digest, "act": changed, "authority": authority}),
    );
    Ok(())
}

fn next(server: &Server, task: &Task, script: u64) -> anyhow::Result<Next> {
    Ok(Next {
        questions: vec![
            (format!("trace @{script}"), "what the script changed"),
            (format!("authority @{script}"), "who stands behind it"),
            (format!("authority @{}", task.first("root")?.index), "what the changed action asked for"),
        ],
        bundles: &["rotation.deeds"],
        log_vkey: server.hello.log_vkey.clone(),
    })
}

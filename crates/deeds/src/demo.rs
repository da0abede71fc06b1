//! `deeds demo`: the playbook that quarantines hosts (story 4), played by real processes through the real path in a
//! temporary directory. Nothing here decides, records or proves anything: it starts the programs, asks the
//! questions, and shows the answers.

mod act;
mod ask;
mod family;
mod narrator;
pub(crate) mod player;
mod proof;
mod stage;
mod story;

use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

use crate::Outcome;
use crate::cli::DemoArgs;
use crate::output::{Output, remark};
use narrator::Narrator;
use stage::Stage;

/// Plays the story; the outcome is a finding when something went otherwise than told.
pub(crate) async fn run(args: &DemoArgs, output: Output) -> anyhow::Result<Outcome> {
    let mut narrator = Narrator::new(output);
    let stage = Stage::open()?;
    let played = tokio::select! {
        played = play(&stage, &mut narrator) => played,
        why = interrupted() => Err(why),
    };
    // Whatever happened, all processes end and the directory goes, unless it was asked for.
    let failed = played.as_ref().is_err_and(|error| !error.is::<Interrupted>());
    let hints = if failed { stage.hints() } else { Vec::new() };
    let kept = stage.close(args.keep).await;
    if let Err(error) = played {
        narrator.clear();
        hints.iter().for_each(|hint| remark(hint));
        return Err(error);
    }
    let as_told = narrator.as_told();
    narrator.end(kept?.as_deref())?;
    Ok(if as_told { Outcome::Fine } else { Outcome::Finding })
}

/// The story, act by act.
async fn play(stage: &Stage, narrator: &mut Narrator) -> anyhow::Result<()> {
    narrator.say(story::OPENING)?;
    let server = act::start_server(stage, narrator).await?;
    act::register_person(stage, &server, narrator).await?;
    let reported = act::run_agent(stage, narrator).await?;
    let task = ask::task(&server, &reported).await?;
    act::show_refusals(&task, narrator)?;
    act::show_undone_and_unknown(stage, &task, narrator)?;
    act::show_record(&task, narrator)?;
    let isolation = act::ask_for_authority(&server, &task, narrator).await?;
    let bundle = proof::prove(stage, &server, isolation, narrator).await?;
    proof::verify_without_server(stage, &server, &bundle, narrator).await?;
    proof::tamper(stage, &server, &bundle, narrator).await
}

async fn interrupted() -> anyhow::Error {
    let waited = async {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        Ok::<(), std::io::Error>(())
    };
    match waited.await {
        Ok(()) => Interrupted.into(),
        Err(error) => anyhow::Error::from(error).context("cannot wait for signals"),
    }
}

/// Somebody pressed Ctrl-C.
#[derive(Debug, thiserror::Error)]
#[error("the demo was interrupted")]
struct Interrupted;

/// A line of the story that needs a mechanism which is not there yet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NotYet {
    /// What the story tells.
    line: &'static str,
    /// What it comes with.
    comes_with: &'static str,
}

impl NotYet {
    fn to_json(self) -> Value {
        json!({"line": self.line, "comes_with": self.comes_with})
    }
}

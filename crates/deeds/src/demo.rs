//! `deeds demo`: the playbook that quarantines hosts (story 4), played by real processes through the real path in a
//! temporary directory. Nothing here decides, records or proves anything: it starts the programs, asks the
//! questions, and shows the answers.

mod act;
mod ask;
mod family;
mod glass;
mod narrator;
pub(crate) mod player;
mod proof;
mod question;
mod stage;
mod story;

use anyhow::Context as _;
use serde_json::{Value, json};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::Outcome;
use crate::cli::DemoArgs;
use crate::connect::Server;
use crate::output::{Output, remark};
use narrator::Narrator;
use stage::Stage;

/// Plays the story; the outcome is a finding when something went otherwise than told.
pub(crate) async fn run(args: &DemoArgs, output: Output) -> anyhow::Result<Outcome> {
    let mut narrator = Narrator::new(output);
    let interruption = Interruption::listen()?;
    let stage = Stage::open()?;
    let played = perform(&stage, &mut narrator, interruption).await;
    // Whatever happened, all processes end and the directory goes, unless it was asked for.
    let failed = played.as_ref().is_err_and(|error| !error.is::<Interrupted>());
    let hints = if failed { stage.hints() } else { Vec::new() };
    let kept = stage.close(args.keep).await;
    if let Err(error) = played {
        narrator.clear();
        for hint in &hints {
            remark(hint);
        }
        return Err(error);
    }
    let as_told = narrator.as_told();
    narrator.end(kept?.as_deref())?;
    Ok(if as_told { Outcome::Fine } else { Outcome::Finding })
}

async fn perform(stage: &Stage, narrator: &mut Narrator, interruption: Interruption) -> anyhow::Result<()> {
    narrator.say(story::OPENING)?;
    // Not to be interrupted: a server that has been started but does not answer yet could not be stopped.
    let server = act::start_server(stage, narrator).await?;
    tokio::select! {
        played = play(stage, &server, narrator) => played,
        () = interruption.comes() => Err(Interrupted.into()),
    }
}

/// The story, act by act.
async fn play(stage: &Stage, server: &Server, narrator: &mut Narrator) -> anyhow::Result<()> {
    act::register_people(stage, narrator).await?;
    let mandate = act::sign_mandate(stage, narrator).await?;
    let reported = act::run_service(stage, &mandate, narrator).await?;
    let task = ask::task(server, story::AGENT, &reported).await?;
    act::show_refusals(stage, &task, narrator)?;
    let broken = glass::breaks(stage, server, narrator).await?;
    narrator.remember(task.next(server, broken)?);
    act::show_undone_and_unknown(stage, &task, narrator)?;
    act::show_record(&task, narrator)?;
    let isolation = question::authority(server, &task, narrator).await?;
    question::allowed(server, narrator).await?;
    let bundle = proof::prove(stage, server, isolation, narrator).await?;
    proof::verify_without_server(stage, server, &bundle, narrator).await?;
    proof::tamper(stage, server, &bundle, narrator).await
}

/// Ctrl-C, or a request to end.
struct Interruption {
    interrupt: Signal,
    terminate: Signal,
}

impl Interruption {
    /// From here on such a signal ends the demo in order instead of killing it.
    fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("cannot wait for signals");
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    async fn comes(mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
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

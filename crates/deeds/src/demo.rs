//! `deeds demo`: five stories, each played by real processes through the real path in a temporary directory. Nothing
//! here decides, records or proves anything: it starts the programs, asks the questions, and shows the answers.

mod act;
mod ask;
mod exception;
mod family;
mod narrator;
pub(crate) mod player;
mod proof;
mod quarantine;
mod reply;
mod report;
mod rotation;
mod stage;
mod trace;

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
    let mut narrator = Narrator::new(args.story, output);
    let interruption = Interruption::listen()?;
    let stage = Stage::open(script(args.story))?;
    let played = perform(args.story, &stage, &mut narrator, interruption).await;
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

/// What a story needs before it begins.
pub(crate) struct Script {
    /// What is told first.
    opening: &'static str,
    /// Files of the directory: path and text; what begins with `#!` can be run.
    files: &'static [(&'static str, &'static str)],
}

fn script(story: u8) -> &'static Script {
    match story {
        1 => &reply::SCRIPT,
        2 => &rotation::SCRIPT,
        3 => &exception::SCRIPT,
        5 => &report::SCRIPT,
        _ => &quarantine::SCRIPT,
    }
}

async fn perform(
    story: u8,
    stage: &Stage,
    narrator: &mut Narrator,
    interruption: Interruption,
) -> anyhow::Result<()> {
    narrator.say(script(story).opening)?;
    // Not to be interrupted: a server that has been started but does not answer yet could not be stopped.
    let server = act::start_server(stage, narrator).await?;
    tokio::select! {
        played = play(story, stage, &server, narrator) => played,
        () = interruption.comes() => Err(Interrupted.into()),
    }
}

async fn play(story: u8, stage: &Stage, server: &Server, narrator: &mut Narrator) -> anyhow::Result<()> {
    match story {
        1 => reply::play(stage, server, narrator).await,
        2 => rotation::play(stage, server, narrator).await,
        3 => exception::play(stage, server, narrator).await,
        5 => report::play(stage, server, narrator).await,
        _ => quarantine::play(stage, server, narrator).await,
    }
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

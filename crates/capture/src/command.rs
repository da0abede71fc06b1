//! `deeds run`: one command as one act — decided before it starts, its end recorded, with the files that it read and
//! changed.
//!
//! [`run`] below is the whole of it, top-down. The act is `command/run` on `run:<alias>#command/run`; its arguments are
//! `{"argv":[…],"cwd":"/absolute"}`. What files are is in [`crate::files`]; what is said about where the command runs,
//! in `correlators.rs`.

mod alias;
mod child;
mod ci;
mod correlators;
mod oidc;
mod outcome;
mod parts;
mod stop;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use evidence::{Digest, Status};
use serde_json::{Value, json};

use crate::api::{Allowed, Begun, Reason};
use crate::files::changes::{Changes, between, inputs};
use crate::files::declared::Roots;
use crate::files::snapshot::Snapshot;
use crate::files::walk::look;
use crate::files::{Declared, Extent, FilesError, Watch};
use crate::run::ask::Question;
use crate::run::gap::Missed;
use crate::run::own::Own;
use crate::run::{Held, OpenError, Run, RunOptions};
pub use alias::alias_of_program;
pub use child::Exit;
pub use ci::ci_job;
pub use oidc::{OidcError, job_token};
use stop::Stop;
pub use stop::{Signal, Signals, signals};

/// The operation of the act, and the part of its URI after `#`.
pub const OPERATION: &str = "command/run";

/// How to run one command.
#[derive(Debug)]
pub struct CommandOptions {
    /// Its run, of the scheme `run`. The command in it is what the alias stands for: the program alone.
    pub run: RunOptions,
    /// The command and its arguments.
    pub argv: Vec<String>,
    /// The working directory: absolute, and UTF-8 text because it is recorded as such.
    pub cwd: String,
    /// The files that it is said to read and write.
    pub files: Declared,
    /// Directories that are never looked at: where the log itself lies.
    pub passed_over: Vec<PathBuf>,
    /// Names of environment variables that are ours: the command does not get them.
    pub own_variables: Vec<String>,
    /// Names of the environment variables that it does get.
    pub environment_names: Vec<String>,
    /// The CI job that this says it runs in ([`ci_job`]).
    pub ci: Option<Value>,
    /// What the token of that job says ([`job_token`]).
    pub oidc: Option<Value>,
    /// How far looking at files has come.
    pub watch: Arc<Watch>,
}

/// Why a command was not run. Nothing was started.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// Its run could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The declared files cannot be looked at.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// No decision could be had.
    #[error("the command was not started, because no decision could be recorded: {0}")]
    NoDecision(String),
}

/// How it went.
#[derive(Debug)]
pub enum Ended {
    /// The decision is no.
    Denied {
        /// Log index of the decision; nothing when refusals of this source are being counted instead.
        index: Option<u64>,
        /// Why.
        reason: Reason,
        /// What the holder of a delegation file can do about it.
        hint: Option<&'static str>,
    },
    /// A signal came before the command was started.
    Interrupted {
        /// Which.
        signal: i32,
        /// Log index of the decision, where there was one. Its outcome is `not-forwarded`.
        decision: Option<u64>,
    },
    /// It was permitted, and could not be started.
    NotStarted {
        /// Log index of the decision. Its outcome is `not-forwarded`.
        decision: u64,
        /// What the operating system said.
        source: io::Error,
    },
    /// It ran.
    Ran(Ran),
}

/// A command that ran to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// Log index of the decision.
    pub decision: u64,
    /// Log index of the outcome; nothing where it is not known to be durable.
    pub outcome: Option<u64>,
    /// The outcome.
    pub status: Status,
    /// How it ended.
    pub exit: Exit,
    /// How many files are other than before, as far as was seen.
    pub changed: usize,
    /// What could not be seen.
    pub remarks: Vec<String>,
}

/// Runs one command, if it may run, and waits for its end. Signals that come are passed on to it.
pub async fn run(options: CommandOptions, signals: Signals) -> Result<Ended, CommandError> {
    // If we crash before the run is open, the log knows nothing, and nothing was done.
    let roots = Roots::resolve(&options.files, options.cwd.as_ref())?;
    let mut stop = Stop::new(signals, Arc::clone(&options.watch));
    let run = stop.during(Own::open(&options.run)).await?;
    // The log knows of the run. If we crash from here on, it ends as `lost` once its lease is not taken again.
    let act = CommandAct {
        held: Held::own(&run),
        act_id: run.setting.ambient.uuid(),
        options,
        roots: Arc::new(roots),
    };
    let ended = act.carry_out(&mut stop).await;
    run.end(if matches!(ended, Ok(Ended::Ran(_))) { "closed" } else { "not-started" }).await;
    ended
}

/// One command on its way.
struct CommandAct {
    held: Held,
    act_id: String,
    options: CommandOptions,
    roots: Arc<Roots>,
}

impl CommandAct {
    async fn carry_out(&self, stop: &mut Stop) -> Result<Ended, CommandError> {
        let before = stop.during(self.look()).await;
        if let Some(signal) = stop.asked() {
            return Ok(Ended::Interrupted { signal, decision: None });
        }
        if let Some(why) = before.cut {
            return Err(FilesError::TooMuch(why).into());
        }
        let allowed = match stop.during(self.ask(&before)).await? {
            Begun::Allow(allowed) => allowed,
            Begun::Deny(denied) => {
                let hint = self.run().own.as_ref().and_then(|own| own.hint(&denied.reason.step));
                return Ok(Ended::Denied { index: denied.index, reason: denied.reason, hint });
            }
        };
        // The permit is durable. If we crash now, its outcome becomes `unknown` although nothing was started: the
        // log cannot know that.
        if let Some(signal) = stop.asked() {
            let detail = format!("ended by signal {signal} before the command was started");
            self.not_started(&allowed, &detail, stop).await;
            return Ok(Ended::Interrupted { signal, decision: Some(allowed.index) });
        }
        let started_us = (self.run().setting.ambient.monotonic_us)();
        let CommandOptions { argv, cwd, own_variables, .. } = &self.options;
        let child = match child::start(argv, cwd, own_variables) {
            Ok(child) => child,
            Err(source) => {
                let detail = format!("the command did not start: {source}");
                self.not_started(&allowed, &detail, stop).await;
                return Ok(Ended::NotStarted { decision: allowed.index, source });
            }
        };
        // It runs. If we crash now, it goes on without us, and its outcome becomes `unknown`.
        let exit = child::wait(child, stop).await;
        let spent_us = (self.run().setting.ambient.monotonic_us)().saturating_sub(started_us);
        // It has ended. If we crash before the outcome is durable, that becomes `unknown` all the same.
        let after = stop.during(self.look()).await;
        Ok(Ended::Ran(self.record(&allowed, (exit, spent_us), (&before, &after), stop).await))
    }

    fn run(&self) -> &Arc<Run> {
        &self.held.run
    }

    async fn look(&self) -> Snapshot {
        let (roots, passed_over) = (Arc::clone(&self.roots), self.options.passed_over.clone());
        let watch = Arc::clone(&self.options.watch);
        let looked = tokio::task::spawn_blocking(move || look(&roots, &passed_over, Extent::FULL, &watch));
        let failed = |error: tokio::task::JoinError| Snapshot {
            cut: Some(format!("looking at the declared files failed: {error}")),
            ..Snapshot::default()
        };
        looked.await.unwrap_or_else(failed)
    }

    /// Asks for the decision. An error means that the command must not start.
    async fn ask(&self, before: &Snapshot) -> Result<Begun, CommandError> {
        let undecided = |why: String| CommandError::NoDecision(why);
        let args = json!({"argv": self.options.argv, "cwd": self.options.cwd});
        let text = args.to_string();
        let frame_digest = Digest::of(text.as_bytes()).to_string();
        // If we crash among the parts, they belong to an act that was never asked for, and say nothing.
        let inputs = parts::ahead(&self.held, &self.act_id, inputs(before, &self.roots)).await;
        let question = Question {
            operation: OPERATION.into(),
            tool: format!("{}:{}#{OPERATION}", self.run().setting.scheme.as_str(), self.run().setting.alias),
            act_id: Some(self.act_id.clone()),
            retry_of: None,
            args_digest: evidence::base64url::encode(&Digest::of(&evidence::json::jcs(&args)).0),
            args: Some(text),
            frame_digest: frame_digest.clone(),
            sent_frame_digest: None,
            definition_digest: None,
            root_dir: None,
            correlators: correlators::of(&self.options),
            inputs: inputs.map_err(|error| undecided(error.to_string()))?,
            batch: None,
        };
        self.held.ask(question, None).await.map_err(|none| {
            if none.is_in_doubt() {
                return undecided(format!(
                    "{none}; if the server did decide, the act is recorded as not forwarded"
                ));
            }
            self.run().miss(Missed::Refused, Some(&frame_digest));
            undecided(none.to_string())
        })
    }

    async fn not_started(&self, allowed: &Allowed, detail: &str, stop: &mut Stop) {
        let finish = self.run().unanswered(allowed.index, Status::NotForwarded, detail, 0);
        outcome::deliver(&self.held, &self.act_id, finish, stop).await;
    }

    /// Records what came of it. Whatever fails here, the command has ended, and its exit is what counts.
    async fn record(
        &self,
        allowed: &Allowed,
        end: (Exit, u64),
        looks: (&Snapshot, &Snapshot),
        stop: &mut Stop,
    ) -> Ran {
        let (before, after) = looks;
        let Changes { outputs, files } = between(before, after, &self.roots);
        let mut remarks = outcome::remarks(before, after);
        let (outputs, left_out) = parts::behind(&self.held, &self.act_id, outputs, stop).await;
        remarks.extend(left_out);
        let finish = outcome::finish(self.run(), allowed, end, (outputs, &remarks));
        let status = finish.status;
        let index = outcome::deliver(&self.held, &self.act_id, finish, stop).await;
        Ran { decision: allowed.index, outcome: index, status, exit: end.0, changed: files, remarks }
    }
}

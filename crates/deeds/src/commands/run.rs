//! `deeds run`: one command as one act.

mod asserted;
mod progress;
mod signals;
mod told;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use capture::api::Scheme;
use capture::command::{CommandOptions, alias_of_program};
use capture::files::Declared;
use capture::mcp::check_alias;
use serde_json::json;

use super::acting::{Actor, run_options};
use crate::Outcome;
use crate::cli::RunArgs;
use crate::config::{AUTHORITY, Config};
use crate::environment::Environment;
use crate::output::Output;
use progress::Progress;

/// Exit code where no decision could be had: nothing was started.
pub(crate) const NO_DECISION: u8 = 125;
/// Exit code where the decision was no.
const DENIED: u8 = 126;
/// Exit code where the command could not be started.
const NOT_STARTED: u8 = 127;

/// Runs the command, if it may run; the exit code is its own. An error means that it was not started.
pub(crate) async fn run(
    config: &Config,
    environment: &Environment,
    args: &RunArgs,
    output: Output,
) -> anyhow::Result<Outcome> {
    let options = options(config, environment, args)?;
    let progress = Progress::begin(!args.quiet);
    let options = CommandOptions { watch: progress.watch(), ..options };
    let (tell, signals) = capture::command::signals();
    signals::listen(&tell)?;
    let ended = capture::command::run(options, signals).await?;
    drop(progress);
    told::tell(&ended, config, args.quiet, output);
    Ok(Outcome::Code(told::code(&ended)))
}

fn options(config: &Config, environment: &Environment, args: &RunArgs) -> anyhow::Result<CommandOptions> {
    let program = args.command.first().context("there is no command: give one after `--`")?;
    let alias = match &args.name {
        Some(name) => check_alias(name).map_err(|why| anyhow!("`--name`: {why}"))?,
        None => alias_of_program(program).map_err(anyhow::Error::msg)?,
    };
    let cwd = std::env::current_dir().context("cannot find the working directory")?;
    let shown = |paths: &[PathBuf]| -> Vec<_> {
        paths.iter().map(|path| path.to_string_lossy().into_owned()).collect()
    };
    // its arguments are those of the act: the alias stands for the program, whatever it is told to do
    let actor = Actor {
        alias,
        scheme: Scheme::Run,
        enforcement_point: "deeds run",
        command: std::slice::from_ref(program),
        scope: None,
        settings: json!({"reads": shown(&args.reads), "writes": shown(&args.writes)}),
    };
    let taken = AUTHORITY.map(str::to_owned).to_vec();
    Ok(CommandOptions {
        run: run_options(config, &args.acting, actor)?,
        argv: args.command.clone(),
        cwd: cwd.to_str().context("the path of the working directory is not UTF-8 text")?.to_owned(),
        files: Declared { reads: args.reads.clone(), writes: args.writes.clone() },
        // what the log itself writes while the command runs did not come of the command
        passed_over: vec![config.data.clone()],
        environment_names: asserted::names(environment, &taken),
        own_variables: taken,
        ci: asserted::ci(environment),
        oidc: asserted::oidc(environment, args.oidc_token_file.as_deref())?,
        watch: Arc::default(),
    })
}

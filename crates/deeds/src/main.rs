//! The `deeds` binary: what it was asked for, done by one function each, and the exit code decided in one place.

mod arguments;
mod cli;
mod clock;
mod commands;
mod config;
mod connect;
mod delegation_file;
mod demo;
mod entropy;
mod environment;
mod files;
mod keys;
mod names;
mod output;
mod processes;
mod render;
mod serve;
mod telemetry;
mod wiring;

use std::process::ExitCode;

use clap::Parser as _;

use cli::{Cli, Command};
use config::Config;
use environment::Environment;
use output::Output;

/// What a command that could do its work has to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// All is well: exit code 0.
    Fine,
    /// It found something wrong: exit code 1.
    Finding,
    /// It found something that it could not even read: exit code 2.
    Unreadable,
    /// It stood in for another program, which ended with this code.
    Code(u8),
}

fn main() -> ExitCode {
    // clap answers `--help` and `--version` itself and ends a wrong command line with 2
    let cli = Cli::parse();
    match run(&cli) {
        Ok(outcome) => exit_code(outcome),
        Err(error) => {
            output::remark(&format!(
                "{}: {}",
                render::style::paint(render::style::BAD, "error"),
                chain(&error)
            ));
            // of a command that it stands in for, it must not speak with that command's codes
            let stands_in = matches!(cli.command, Command::Run(_));
            ExitCode::from(if stands_in { commands::run::NO_DECISION } else { 2 })
        }
    }
}

/// An error with its causes; a cause that the text above it tells already is not told twice. What the operating system
/// says reads as all else: without its number and its capital.
pub(crate) fn chain(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain() {
        let said = cause.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        if let Some(plain) = cause.downcast_ref::<std::io::Error>().and_then(|error| plain(error, &said)) {
            text = text.replace(&said, &plain);
        }
    }
    text
}

/// What the operating system says, as all else reads.
pub(crate) fn plain_io(error: &std::io::Error) -> String {
    let said = error.to_string();
    plain(error, &said).unwrap_or(said)
}

fn plain(error: &std::io::Error, said: &str) -> Option<String> {
    let said = said.strip_suffix(&format!(" (os error {})", error.raw_os_error()?))?;
    let mut letters = said.chars();
    let first = letters.next()?.to_lowercase();
    Some(first.chain(letters).collect())
}

fn exit_code(outcome: Outcome) -> ExitCode {
    match outcome {
        Outcome::Fine => ExitCode::SUCCESS,
        Outcome::Finding => ExitCode::from(1),
        Outcome::Unreadable => ExitCode::from(2),
        Outcome::Code(code) => ExitCode::from(code),
    }
}

fn run(cli: &Cli) -> anyhow::Result<Outcome> {
    let output = Output::new(cli.global.json);
    // What needs no server needs no data directory either.
    match &cli.command {
        Command::Verify(args) => return commands::verify::run(args, output),
        Command::Policy(cli::PolicyCommand::Check(cli::PolicyDirArgs { dir: Some(dir) })) => {
            return commands::policy::check(dir, output);
        }
        Command::Player(player) => return demo::player::run(player),
        Command::Demo(args) => return block_on(demo::run(args, output)),
        Command::Completions(args) => return commands::completions::run(args),
        Command::Man(args) => return commands::completions::man(args, output),
        Command::Install(args) => return commands::install::run(args, &Environment::read(), output),
        _ => {}
    }
    let environment = Environment::read();
    let config = Config::load(&cli.flags(), &environment)?;
    if let Command::Init(args) = &cli.command {
        return commands::init::run(&config, &environment, args, output);
    }
    if matches!(cli.command, Command::Doctor) {
        return block_on(commands::doctor::run(&config, &environment, output));
    }
    if let Command::Serve(args) = &cli.command {
        return commands::serve::run(&config, args);
    }
    telemetry::init(config.log.as_deref().unwrap_or("warn"))?;
    if let Command::Run(args) = &cli.command {
        return block_on(commands::run::run(&config, &environment, args, output));
    }
    block_on(ask(cli, &config, output))
}

/// The commands that talk to the server.
async fn ask(cli: &Cli, config: &Config, output: Output) -> anyhow::Result<Outcome> {
    match &cli.command {
        Command::Stop => commands::stop::run(config, output).await,
        Command::Wrap(args) => commands::wrap::run(config, args).await,
        Command::Runs(args) => commands::runs::run(config, args, output).await,
        Command::Tasks(args) => commands::tasks::run(config, args, output).await,
        Command::Did(args) => commands::did::run(config, args, output).await,
        Command::Gaps(args) => commands::gaps::run(config, args, output).await,
        Command::Trace(args) => commands::trace::run(config, args, output).await,
        Command::Withdraw(args) => commands::trace::withdraw(config, args, output).await,
        Command::Definitions(args) => commands::definitions::run(config, args, output).await,
        Command::Authority(args) => commands::authority::run(config, args, output).await,
        Command::Delegate(args) => commands::delegate::run(config, args, output).await,
        Command::Mandate(args) => commands::mandate::run(config, args, output).await,
        Command::Revoke(args) => commands::revoke::run(config, args, output).await,
        Command::Doubt(args) => commands::revoke::doubt(config, args, output).await,
        Command::Halt(args) => commands::halt::halt(config, args, output).await,
        Command::Halts => commands::halt::list(config, output).await,
        Command::Resume(args) => commands::halt::resume(config, args, output).await,
        Command::Allowed(args) => commands::allowed::allowed(config, args, output).await,
        Command::Delegations(args) => commands::allowed::delegations(config, args, output).await,
        Command::Identities(args) => commands::allowed::identities(config, args, output).await,
        Command::Entry(args) => commands::entry::run(config, args, output).await,
        Command::Prove(args) => commands::prove::run(config, args, output).await,
        Command::Principal(command) => commands::principal::run(config, command, output).await,
        Command::Policy(command) => commands::policy::run(config, command, output).await,
        Command::Status => commands::status::run(config, output).await,
        Command::Reindex => commands::reindex::run(config, output).await,
        Command::Init(_)
        | Command::Doctor
        | Command::Install(_)
        | Command::Completions(_)
        | Command::Man(_)
        | Command::Run(_)
        | Command::Serve(_)
        | Command::Verify(_)
        | Command::Demo(_)
        | Command::Player(_) => Ok(Outcome::Fine),
    }
}

fn block_on(work: impl Future<Output = anyhow::Result<Outcome>>) -> anyhow::Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let outcome = runtime.block_on(work);
    // a thread may still wait for a line from standard input that will never come
    runtime.shutdown_background();
    outcome
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn what_the_operating_system_says_reads_as_all_else() {
        let missing = std::fs::read("/no/such").context("cannot open `/no/such`").unwrap_err();
        assert_eq!(chain(&missing), "cannot open `/no/such`: no such file or directory");
        let gone = std::io::Error::from_raw_os_error(2);
        let told = anyhow::Error::new(std::io::Error::from_raw_os_error(2))
            .context(format!("no `x` ({gone}); make it"));
        assert_eq!(chain(&told), "no `x` (no such file or directory); make it");
        let own = anyhow::Error::new(std::io::Error::other("It names no file")).context("cannot write `x`");
        assert_eq!(chain(&own), "cannot write `x`: It names no file");
    }
}

//! Questions to the log, and what can be taken out of it.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::names::{Action, RunName, Subject, Time, Who};

/// Rows of a list that nobody set a limit for.
pub(crate) const LIMIT_DEFAULT: u32 = 50;

/// Which part of a list.
#[derive(Debug, Args)]
pub(crate) struct Page {
    /// How many to show at most, 1 to 1000
    #[arg(long, value_name = "N", default_value_t = LIMIT_DEFAULT, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) limit: u32,
    /// Only what came before this entry
    #[arg(long, value_name = "@N", value_parser = crate::names::position)]
    pub(crate) before: Option<u64>,
}

/// Which stretch of time.
#[derive(Debug, Args)]
pub(crate) struct Stretch {
    /// From this time: `2026-11-03T02:00:00Z`, or so long ago: `90m`, `2h`, `7d`
    #[arg(long, value_name = "TIME")]
    pub(crate) from: Option<Time>,
    /// Up to this time
    #[arg(long, value_name = "TIME")]
    pub(crate) to: Option<Time>,
}

/// `deeds runs`
#[derive(Debug, Args)]
pub(crate) struct RunsArgs {
    /// Only this task: its id, or an entry of it
    #[arg(long, value_name = "TASK|@N")]
    pub(crate) task: Option<RunName>,
    #[command(flatten)]
    pub(crate) stretch: Stretch,
    #[command(flatten)]
    pub(crate) page: Page,
}

/// `deeds did`
#[derive(Debug, Args)]
pub(crate) struct DidArgs {
    /// A principal, an agent, or a run: its id, or an entry of it; `'local:uid-1000/codex/*'`: all that begin so
    ///
    /// An agent that was given no name is called by its user, program and process: with `*` at the end a name stands
    /// for every process of the program.
    #[arg(value_name = "WHO|RUN|@N", allow_hyphen_values = true, conflicts_with_all = ["run", "task"])]
    pub(crate) who: Option<Who>,
    /// Only this run: its id, or an entry of it
    #[arg(long, value_name = "RUN|@N", conflicts_with = "task")]
    pub(crate) run: Option<RunName>,
    /// Only this task: its id, or an entry of it
    #[arg(long, value_name = "TASK|@N")]
    pub(crate) task: Option<RunName>,
    /// Only this tool, `fs#read_file` or `read_file`, or all of a server: `fs#*` or `fs`
    ///
    /// A name alone is that of a tool at any server; where no tool is called so, that of a server.
    #[arg(long, value_name = "TOOL", value_parser = crate::names::tool)]
    pub(crate) tool: Option<String>,
    /// Only on this principal's authority
    #[arg(long, value_name = "NAME|KEY", allow_hyphen_values = true, value_parser = crate::names::word)]
    pub(crate) principal: Option<String>,
    /// Only what was allowed, or only what was denied
    #[arg(long, value_name = "VERDICT")]
    pub(crate) verdict: Option<VerdictIs>,
    /// Only what ended like this, or is open
    #[arg(long, value_name = "OUTCOME")]
    pub(crate) outcome: Option<OutcomeIs>,
    #[command(flatten)]
    pub(crate) stretch: Stretch,
    #[command(flatten)]
    pub(crate) page: Page,
}

/// Whether an act was allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum VerdictIs {
    /// It was allowed
    #[value(alias = "allow")]
    Allowed,
    /// It was denied
    #[value(alias = "deny", alias = "refused")]
    Denied,
}

/// What came of an act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutcomeIs {
    /// A result without error
    Ok,
    /// The tool ran and reported an error
    ToolError,
    /// The server refused it
    RefusedByTarget,
    /// It asked for more first
    InputRequired,
    /// It was cancelled
    Cancelled,
    /// It never reached the server
    NotForwarded,
    /// Nobody knows
    Unknown,
    /// Nothing so far
    Open,
}

/// `deeds allowed`
#[derive(Debug, Args)]
pub(crate) struct AllowedArgs {
    /// A principal, a holder, a key by its thumbprint, a delegation by its digest, or a run
    #[arg(value_name = "WHO", allow_hyphen_values = true)]
    pub(crate) who: Who,
    /// At this time: `2026-11-03T02:00:00Z`, or so long ago: `90m`, `2h`, `7d` [default: now]
    #[arg(long, value_name = "TIME")]
    pub(crate) at: Option<Time>,
}

/// `deeds delegations`
#[derive(Debug, Args)]
pub(crate) struct DelegationsArgs {
    /// A principal, a holder, a key by its thumbprint, a delegation by its digest, or a run
    #[arg(value_name = "WHO", allow_hyphen_values = true, conflicts_with_all = ["run", "task"])]
    pub(crate) who: Option<Who>,
    /// Only those used in this run: its id, or an entry of it
    #[arg(long, value_name = "RUN|@N", conflicts_with = "task")]
    pub(crate) run: Option<RunName>,
    /// Only this task: its id, or an entry of it
    #[arg(long, value_name = "TASK|@N")]
    pub(crate) task: Option<RunName>,
    #[command(flatten)]
    pub(crate) page: Page,
}

/// `deeds identities`
#[derive(Debug, Args)]
pub(crate) struct IdentitiesArgs {
    #[command(flatten)]
    pub(crate) page: Page,
}

/// One action.
#[derive(Debug, Args)]
pub(crate) struct ActionArgs {
    /// The action: `@42`, or its id
    #[arg(value_name = "@N|ACT_ID")]
    pub(crate) action: Action,
}

/// One entry.
#[derive(Debug, Args)]
pub(crate) struct EntryArgs {
    /// The entry: `@42`
    #[arg(value_name = "@N", value_parser = crate::names::position)]
    pub(crate) entry: u64,
}

/// `deeds prove`
#[derive(Debug, Args)]
pub(crate) struct ProveArgs {
    /// The action (`@42`, or its id) or the run (its id, or the entry it started with)
    #[arg(value_name = "@N|ACT_ID|RUN")]
    pub(crate) subject: Subject,
    /// The file to write
    #[arg(long, short, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Values to leave out
    #[arg(long, value_name = "WHAT", value_delimiter = ',')]
    pub(crate) withhold: Vec<Withhold>,
    /// Replace the file if it is there
    #[arg(long)]
    pub(crate) force: bool,
}

/// What can be left out of a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Withhold {
    /// The arguments of every call
    Args,
    /// The result of every call
    Result,
}

/// `deeds verify`
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// Evidence files
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// File with keys to trust: lines `log <vkey>` and one `quorum none`, as in a C2SP tlog-policy
    #[arg(long, value_name = "FILE")]
    pub(crate) trust: Option<PathBuf>,
    /// Key of a log to trust
    #[arg(long, value_name = "VKEY")]
    pub(crate) log_key: Vec<String>,
    /// Thumbprint of a principal's key to trust
    #[arg(long, value_name = "THUMBPRINT", allow_hyphen_values = true, value_parser = crate::names::word)]
    pub(crate) pin_key: Vec<String>,
}

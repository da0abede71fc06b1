//! `deeds serve` and `deeds wrap`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::names::RunId;

/// `deeds serve`
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Policy directory to activate at start
    #[arg(long, value_name = "DIR")]
    pub(crate) policy: Option<PathBuf>,
    /// Leave the session of the process that started it
    #[arg(long, hide = true)]
    pub(crate) detach: bool,
}

/// `deeds wrap`
#[derive(Debug, Args)]
pub(crate) struct WrapArgs {
    /// Our name for the server [default: taken from the command]
    #[arg(long, value_name = "ALIAS")]
    pub(crate) name: Option<String>,
    /// Key file of the principal on whose authority the client acts [default: DEEDS_PRINCIPAL]
    #[arg(long, value_name = "KEYFILE", conflicts_with = "delegation")]
    pub(crate) principal: Option<PathBuf>,
    /// Who the principal says the client is; needs a principal
    #[arg(long, value_name = "ID")]
    pub(crate) agent: Option<String>,
    /// Delegation file to act under, as `deeds delegate` writes it [default: DEEDS_DELEGATION]
    #[arg(long, value_name = "FILE", conflicts_with_all = ["agent", "scope", "purpose", "why"])]
    pub(crate) delegation: Option<PathBuf>,
    /// Key file of the delegation, where its file has none
    #[arg(long, value_name = "KEYFILE", conflicts_with = "principal")]
    pub(crate) key: Option<PathBuf>,
    /// Refuse calls that present no delegation of their own
    #[arg(long)]
    pub(crate) require_delegation: bool,
    /// Run that handed the work over, where several could have [default: the latest that is open]
    #[arg(long, value_name = "RUN")]
    pub(crate) parent: Option<RunId>,
    /// JSON file with the tools that may be used and limits on their arguments [default: all of the server]
    #[arg(long, value_name = "FILE")]
    pub(crate) scope: Option<PathBuf>,
    /// What the client is to do, in a few words; `break-glass` for an emergency, with a person's key and `--why`
    #[arg(long, value_name = "TEXT")]
    pub(crate) purpose: Option<String>,
    /// Why; asked for with `--purpose break-glass`
    #[arg(long, value_name = "TEXT")]
    pub(crate) why: Option<String>,
    /// Why the client was started, if you know
    #[arg(long, value_name = "WHY")]
    pub(crate) trigger: Option<Trigger>,
    /// Directory that relative paths in arguments start from [default: where this command runs]
    #[arg(long, value_name = "DIR")]
    pub(crate) root: Option<PathBuf>,
    /// Append each signed receipt of the log to this file, one JSON object per line
    ///
    /// A receipt is the log's promise that an entry is durable. Kept outside the log, receipts show an entry that
    /// was lost or taken back.
    #[arg(long, value_name = "FILE")]
    pub(crate) receipts: Option<PathBuf>,
    /// The server's command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
}

/// Why a run was started.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Trigger {
    /// A person started it
    Human,
    /// A schedule did
    Schedule,
    /// An event did
    Event,
    /// Another agent did
    Agent,
}

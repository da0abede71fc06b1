//! Options of every command that acts through deeds: on whose authority, with which tools, what for.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::names::RunId;

/// What `deeds wrap` and `deeds run` act under, and what is recorded about the start.
#[derive(Debug, Args)]
pub(crate) struct ActingArgs {
    /// Key file of the principal on whose authority this acts [default: DEEDS_PRINCIPAL]
    #[arg(long, value_name = "KEYFILE", conflicts_with = "delegation")]
    pub(crate) principal: Option<PathBuf>,
    /// Who the principal says acts; needs a principal
    #[arg(long, value_name = "ID")]
    pub(crate) agent: Option<String>,
    /// Delegation file to act under, as `deeds delegate` writes it [default: DEEDS_DELEGATION]
    #[arg(long, value_name = "FILE", conflicts_with_all = ["agent", "scope", "purpose", "why"])]
    pub(crate) delegation: Option<PathBuf>,
    /// Key file of the delegation, where its file has none
    #[arg(long, value_name = "KEYFILE", conflicts_with = "principal")]
    pub(crate) key: Option<PathBuf>,
    /// Run that handed the work over, where several could have [default: the latest that is open]
    #[arg(long, value_name = "RUN")]
    pub(crate) parent: Option<RunId>,
    /// JSON file with the tools that may be used and limits on their arguments [default: all of what is run]
    #[arg(long, value_name = "FILE")]
    pub(crate) scope: Option<PathBuf>,
    /// What is to be done, in a few words; `break-glass` for an emergency, with a person's key and `--why`
    #[arg(long, value_name = "TEXT")]
    pub(crate) purpose: Option<String>,
    /// Why; asked for with `--purpose break-glass`
    #[arg(long, value_name = "TEXT")]
    pub(crate) why: Option<String>,
    /// Why this was started, if you know
    #[arg(long, value_name = "WHY")]
    pub(crate) trigger: Option<Trigger>,
    /// Append each signed receipt of the log to this file, one JSON object per line
    ///
    /// A receipt is the log's promise that an entry is durable. Kept outside the log, receipts show an entry that
    /// was lost or taken back.
    #[arg(long, value_name = "FILE")]
    pub(crate) receipts: Option<PathBuf>,
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

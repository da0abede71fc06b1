//! Questions about where things came from, what servers offer, what work was done, and what may be missing.

use std::path::PathBuf;

use clap::Args;

use super::{Page, Stretch};
use crate::names::Traced;

/// `deeds trace`
#[derive(Debug, Args)]
pub(crate) struct TraceArgs {
    /// A file, a URI, a digest (`sha256:…`), or an act by its entry (`@42`)
    ///
    /// 64 hex digits that no file here is called by are a digest too; a file of such a name that is gone is `./NAME`.
    #[arg(value_name = "FILE|URI|DIGEST|@N", allow_hyphen_values = true)]
    pub(crate) of: Traced,
    /// Only where it came from: the acts that made it, what an act had
    #[arg(long, conflicts_with = "down")]
    pub(crate) up: bool,
    /// Only what came of it: the acts that had it, what an act made
    #[arg(long)]
    pub(crate) down: bool,
    #[command(flatten)]
    pub(crate) page: Page,
}

/// `deeds withdraw`
#[derive(Debug, Args)]
pub(crate) struct WithdrawArgs {
    /// A file or URI (every version of it), or a digest (these bytes, wherever they are)
    #[arg(value_name = "FILE|URI|DIGEST", allow_hyphen_values = true)]
    pub(crate) artifact: Traced,
    /// Why; it is recorded
    #[arg(long, value_name = "TEXT")]
    pub(crate) why: String,
}

/// `deeds tasks`
#[derive(Debug, Args)]
pub(crate) struct TasksArgs {
    #[command(flatten)]
    pub(crate) stretch: Stretch,
    #[command(flatten)]
    pub(crate) page: Page,
}

/// `deeds gaps`
#[derive(Debug, Args)]
pub(crate) struct GapsArgs {
    #[command(flatten)]
    pub(crate) stretch: Stretch,
    #[command(flatten)]
    pub(crate) page: Page,
}

/// `deeds definitions`
#[derive(Debug, Args)]
pub(crate) struct DefinitionsArgs {
    /// One server: `fs`, or `stdio:fs` [default: all]
    #[arg(value_name = "SERVER", value_parser = crate::names::server)]
    pub(crate) server: Option<String>,
    /// Print rows for `classes.toml` that pin what is known now
    #[arg(long, conflicts_with = "json")]
    pub(crate) pin: bool,
    /// Put them into the class table of this policy directory (or this file) instead, in the rows that are there
    #[arg(long, value_name = "DIR", requires = "pin")]
    pub(crate) into: Option<PathBuf>,
}

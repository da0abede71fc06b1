//! `deeds run`.

use std::path::PathBuf;

use clap::Args;

use super::acting::ActingArgs;

/// What `deeds run --help` says after the options.
pub(crate) const AFTER: &str = "\
Exit code: that of the command, 128 and the signal's number where one ended it; and of deeds itself
  125  no decision could be had (no server, too many files, …); nothing was started
  126  the decision was no; nothing was started
  127  it was allowed, and could not be started
  2    the command line of deeds is wrong, as everywhere

More examples:
  deeds run --reads data.csv --writes out -- python clean.py
  deeds run --name rotate --trigger event --oidc-token-file token -- ./rotate.sh
  deeds trace prices.txt        what made it, and from what (as far as --reads names it)";

/// `deeds run`
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Our name for the command [default: the name of its program]
    #[arg(long, value_name = "ALIAS")]
    pub(crate) name: Option<String>,
    /// Files or directories that it reads: each file is recorded with its digest
    #[arg(long, value_name = "PATH", num_args = 1..)]
    pub(crate) reads: Vec<PathBuf>,
    /// Files or directories that it may change: what changed is recorded, with digests before and after [default: the
    /// working directory, where there is no `--reads` either]
    #[arg(long, value_name = "PATH", num_args = 1..)]
    pub(crate) writes: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) acting: ActingArgs,
    /// File with the token that a CI system gave this job [default: the token in DEEDS_OIDC_TOKEN]
    ///
    /// What it says of the job is recorded, as asserted, because nobody checks its signature; the token never is.
    #[arg(long, value_name = "FILE")]
    pub(crate) oidc_token_file: Option<PathBuf>,
    /// Say nothing when all is well
    #[arg(long)]
    pub(crate) quiet: bool,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
}

//! `deeds serve` and `deeds wrap`.

use std::path::PathBuf;

use clap::Args;

use super::acting::ActingArgs;

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
    #[command(flatten)]
    pub(crate) acting: ActingArgs,
    /// Refuse calls that present no delegation of their own
    #[arg(long)]
    pub(crate) require_delegation: bool,
    /// Directory that relative paths in arguments start from [default: where this command runs]
    #[arg(long, value_name = "DIR")]
    pub(crate) root: Option<PathBuf>,
    /// Record the files that calls name in their arguments, with digests before and after
    ///
    /// As this host sees them: the server may see another file system. A call and its answer wait until the files, at
    /// most 64 of at most 64 MiB, have been read.
    #[arg(long)]
    pub(crate) files: bool,
    /// The server's command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
}

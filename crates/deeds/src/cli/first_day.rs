//! `deeds init`, `deeds doctor`, `deeds install`, `deeds completions` and `deeds man`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::wiring::Client;

/// `deeds init`
#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// Only these clients [default: all]
    #[arg(value_name = "CLIENT", value_enum)]
    pub(crate) clients: Vec<Client>,
    /// Write it
    #[arg(long, conflicts_with = "undo")]
    pub(crate) apply: bool,
    /// Take back what `--apply` wrote
    #[arg(long, conflicts_with = "policy")]
    pub(crate) undo: bool,
    /// Where to write the starter policy [default: `policy` in the configuration directory]
    #[arg(long, value_name = "DIR")]
    pub(crate) policy: Option<PathBuf>,
}

/// `deeds install`
#[derive(Debug, Args)]
pub(crate) struct InstallArgs {
    /// A server for this machine, under its own user; needs systemd
    #[arg(long, required = true)]
    pub(crate) system: bool,
    /// Do it instead of showing it; needs root
    #[arg(long)]
    pub(crate) apply: bool,
    /// Take the set-up away again; the log and its keys stay
    #[arg(long, conflicts_with = "peers")]
    pub(crate) uninstall: bool,
    /// A user, by name or number, whose processes the server serves; may be repeated [default: who called sudo]
    #[arg(long = "peer", value_name = "USER")]
    pub(crate) peers: Vec<String>,
}

/// `deeds completions`
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL", value_enum)]
    pub(crate) shell: Shell,
}

/// Shells that completions are made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shell {
    /// Bash
    Bash,
    /// Z shell
    Zsh,
    /// Fish
    Fish,
}

/// `deeds man`
#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// The command whose page to print, as `delegate` or `policy check` [default: deeds itself]
    #[arg(value_name = "COMMAND", conflicts_with = "out")]
    pub(crate) command: Vec<String>,
    /// Write the pages of all commands into this directory
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}

//! `deeds principal` and `deeds policy`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// `deeds principal`
#[derive(Debug, Subcommand)]
pub(crate) enum PrincipalCommand {
    /// Register a principal and its key
    ///
    /// Makes the key file if it is not there, proves to the server that the key is held, and registers it. Keep the
    /// file where the agents' user cannot read it, or a signature proves the key and not the person.
    ///
    /// Example: deeds principal add ciso --kind human
    Add(PrincipalAddArgs),
    /// List the registered principals
    ///
    /// Example: deeds principal list
    List,
    /// Retire a principal's key: nothing new can rest on it
    ///
    /// What rested on it before stays as it was, and provable.
    ///
    /// Example: deeds principal retire ciso
    Retire(PrincipalRetireArgs),
}

/// `deeds principal add`
#[derive(Debug, Args)]
pub(crate) struct PrincipalAddArgs {
    /// Name within this log: lower-case letters, digits and `._@-`
    pub(crate) name: String,
    /// What the principal is
    #[arg(long, value_enum, default_value_t = PrincipalKind::Human)]
    pub(crate) kind: PrincipalKind,
    /// Key file [default: NAME.key in the configuration directory's `keys`]
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
    /// Name to show; it can be erased later
    #[arg(long, value_name = "TEXT")]
    pub(crate) display: Option<String>,
}

/// Kinds of principals that have keys of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PrincipalKind {
    /// A person
    Human,
    /// A service
    Service,
}

/// `deeds principal retire`
#[derive(Debug, Args)]
pub(crate) struct PrincipalRetireArgs {
    /// The principal's name, or the thumbprint of its key
    #[arg(value_name = "NAME|THUMBPRINT", allow_hyphen_values = true, value_parser = crate::names::word)]
    pub(crate) which: String,
}

/// `deeds policy`
#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Show the active policy
    ///
    /// Example: deeds policy show
    Show,
    /// Check a policy directory without activating it; needs no server
    ///
    /// Example: deeds policy check ./policy
    Check(PolicyDirArgs),
    /// Activate a policy directory
    ///
    /// The whole set is checked first; one error and the active policy stays. The activation is an entry in the log.
    /// A directory that the configuration names (`policy` in config.toml, DEEDS_POLICY, `serve --policy`) is activated
    /// again at the next start of the server; to keep another one, name it there.
    ///
    /// Example: deeds policy activate ./policy
    Activate(PolicyDirArgs),
}

/// A policy directory.
#[derive(Debug, Args)]
pub(crate) struct PolicyDirArgs {
    /// Directory with `*.cedar`, `classes.toml` and perhaps `schema.cedarschema` [default: the one that the
    /// configuration names]
    #[arg(value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
}

//! `deeds delegate` and `deeds mandate`.

use std::path::PathBuf;

use clap::{ArgGroup, Args, ValueEnum};

use super::tools::ToolsArgs;
use crate::names::{MandateName, RunId, Span};

/// `deeds delegate`
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("recipient").args(["to", "new_key"]).required(true))]
pub(crate) struct DelegateArgs {
    /// Key file of the registered principal on whose authority a root is issued [default: DEEDS_PRINCIPAL]
    #[arg(long = "as", value_name = "KEYFILE", conflicts_with_all = ["from", "key"])]
    pub(crate) principal: Option<PathBuf>,
    /// Mandate under which a service asks for a root without the person: its digest, or its entry
    #[arg(long, value_name = "DIGEST|@N", allow_hyphen_values = true, conflicts_with_all = ["from", "key", "agent", "kind"])]
    pub(crate) mandate: Option<MandateName>,
    /// Delegation file of which a part is passed on [default: DEEDS_DELEGATION]
    #[arg(long, value_name = "FILE")]
    pub(crate) from: Option<PathBuf>,
    /// Key file of the delegation that is passed on, where the delegation file has none
    #[arg(long, value_name = "KEYFILE")]
    pub(crate) key: Option<PathBuf>,
    /// Whose key: a file with a public JWK, or a key file
    #[arg(long, value_name = "FILE")]
    pub(crate) to: Option<PathBuf>,
    /// Make a new key and put it into the file that is written
    #[arg(long)]
    pub(crate) new_key: bool,
    /// Who you say will hold it
    #[arg(long, value_name = "ID")]
    pub(crate) agent: Option<String>,
    /// What the holder is
    #[arg(long, value_enum, default_value_t = HolderKind::Agent)]
    pub(crate) kind: HolderKind,
    #[command(flatten)]
    pub(crate) tools: ToolsArgs,
    /// How long it holds: `90s`, `15m`, `8h` [default: 1h for a root, the rest of the parent's time otherwise]
    #[arg(long, value_name = "TIME")]
    pub(crate) ttl: Option<Span>,
    /// How many links a chain may have below the root [default: 0 for a root, the parent's otherwise]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=8))]
    pub(crate) max_depth: Option<u8>,
    /// What for, in a few words; `break-glass` for an emergency, with `--why`
    #[arg(long, value_name = "TEXT")]
    pub(crate) purpose: Option<String>,
    /// Why; asked for with `--purpose break-glass`
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["from", "key"])]
    pub(crate) why: Option<String>,
    /// Instruction that goes with it: a text, or `@FILE`; the delegation carries its digest
    #[arg(long, value_name = "TEXT|@FILE")]
    pub(crate) handoff: Option<String>,
    /// Task that a root belongs to [default: a new one]
    #[arg(long, value_name = "TASK", conflicts_with_all = ["from", "key"])]
    pub(crate) task: Option<RunId>,
    /// The file to write
    #[arg(long, short, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Replace a delegation file that is there; the delegation in it is not revoked by that
    #[arg(long)]
    pub(crate) force: bool,
}

/// What can hold a delegation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum HolderKind {
    /// An AI agent
    Agent,
    /// A person
    Human,
    /// A service
    Service,
    /// A workflow
    Workflow,
    /// A schedule
    Schedule,
}

/// `deeds mandate`
#[derive(Debug, Args)]
pub(crate) struct MandateArgs {
    /// Key file of the registered principal whose authority it is [default: DEEDS_PRINCIPAL]
    #[arg(long = "as", value_name = "KEYFILE")]
    pub(crate) principal: Option<PathBuf>,
    /// Registered service that may get roots under it; may be repeated
    #[arg(long = "for", value_name = "NAME", required = true)]
    pub(crate) holders: Vec<String>,
    #[command(flatten)]
    pub(crate) tools: ToolsArgs,
    /// What for, in a few words
    #[arg(long, value_name = "TEXT")]
    pub(crate) purpose: String,
    /// How long it stands, at most 35 days
    #[arg(long, value_name = "TIME", default_value = "30d")]
    pub(crate) ttl: Span,
    /// How long each root under it holds, at most 1 h
    #[arg(long, value_name = "TIME", default_value = "15m")]
    pub(crate) root_ttl: Span,
    /// How many links a chain may have below a root
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=8))]
    pub(crate) max_depth: u8,
}

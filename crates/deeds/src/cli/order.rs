//! `deeds revoke`, `deeds doubt`, `deeds halt` and `deeds resume`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::names::{HaltName, Time};

/// `deeds revoke`
#[derive(Debug, Args)]
pub(crate) struct RevokeArgs {
    /// A delegation or mandate by its entry (`@42`), its digest or its token; a task, the thumbprint of a key, a
    /// principal, `issuer-key` or `tenant`
    #[arg(
        value_name = "@N|DIGEST|TASK|THUMBPRINT|NAME|issuer-key|tenant",
        allow_hyphen_values = true,
        value_parser = crate::names::word
    )]
    pub(crate) target: String,
    /// What the target is, where its spelling does not tell
    #[arg(long, value_name = "WHAT")]
    pub(crate) what: Option<Revoked>,
    /// From when on: `2026-11-03T02:00:00Z`, or so long ago: `2h` [default: now]
    #[arg(long, value_name = "TIME")]
    pub(crate) effective: Option<Time>,
    /// Why; it is recorded
    #[arg(long, value_name = "TEXT")]
    pub(crate) why: String,
    /// Key file of the registered principal who signs the order [default: DEEDS_PRINCIPAL, or nobody]
    ///
    /// Without a signature it is carried out all the same, and recorded as done by the user of this process.
    #[arg(long = "as", value_name = "KEYFILE")]
    pub(crate) principal: Option<PathBuf>,
}

/// What can be revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Revoked {
    /// A delegation with all below it, or a mandate with all roots under it
    Delegation,
    /// Every delegation of a task, later ones too
    Lineage,
    /// Every delegation bound to a key, with all below it
    HolderKey,
    /// Everything on a principal's authority
    Principal,
    /// Roots of the server's own key that the log had not recorded by then
    IssuerKey,
    /// Everything
    Tenant,
}

/// `deeds doubt`
#[derive(Debug, Args)]
pub(crate) struct DoubtArgs {
    /// The revocation
    #[arg(value_name = "@N", value_parser = crate::names::position)]
    pub(crate) revocation: u64,
}

/// `deeds halt`
#[derive(Debug, Args)]
pub(crate) struct HaltArgs {
    /// An agent, a principal (then everybody who acts for it), or `all`
    #[arg(value_name = "AGENT|PRINCIPAL|all")]
    pub(crate) name: String,
    /// Stop the name only as agent, or only as principal [default: as whatever it is]
    #[arg(long, value_name = "ROLE")]
    pub(crate) only: Option<HaltRole>,
    /// Why; it is recorded
    #[arg(long, value_name = "TEXT")]
    pub(crate) why: String,
    /// Key file of the registered principal who signs the order [default: DEEDS_PRINCIPAL, or nobody]
    #[arg(long = "as", value_name = "KEYFILE")]
    pub(crate) principal: Option<PathBuf>,
}

/// As what a name is halted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum HaltRole {
    /// Who acts under this name
    Agent,
    /// Everybody who acts for the principal of this name
    Principal,
}

/// `deeds resume`
#[derive(Debug, Args)]
pub(crate) struct ResumeArgs {
    /// The halt, or the name it stopped
    #[arg(value_name = "@N|NAME")]
    pub(crate) halt: HaltName,
    /// Key file of the registered person who signs [default: DEEDS_PRINCIPAL]
    #[arg(long = "as", value_name = "KEYFILE")]
    pub(crate) principal: Option<PathBuf>,
    /// Why; it is recorded
    #[arg(long, value_name = "TEXT")]
    pub(crate) why: String,
}

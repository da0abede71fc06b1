//! The command line: what can be asked for, and help that teaches.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::Flags;
use crate::names::{Action, RunId, RunName, Subject, Time, Who};

const ABOUT: &str = "What an AI agent did, whether it was allowed to, and under whose authority";

const LONG_ABOUT: &str = "\
deeds sits between an agent and its tools. Before each call it checks on whose authority the agent acts and \
whether the policy allows it, writes the decision to a tamper-evident log, and only then lets the call go. The \
answers come with proof that can be checked years later, without the server that wrote it.";

const AFTER_LONG: &str = "\
First steps:
  deeds demo                   see everything once, in a temporary directory
  deeds wrap -- npx -y NAME    put this where your MCP client names the command of a server
  deeds did                    what was done, allowed and refused
  deeds authority @42          who stands behind entry 42 of the log

Entries of the log are named by position: @42. Settings come from three places, the later wins:
the file $XDG_CONFIG_HOME/deeds/config.toml, the variables DEEDS_DATA, DEEDS_POLICY,
DEEDS_PRINCIPAL, DEEDS_LOG and DEEDS_RUN, and flags.

Exit code: 0 all is well, 1 there is a finding, 2 the command could not do its work.";

/// What was asked for.
#[derive(Debug, Parser)]
#[command(name = "deeds", version, about = ABOUT, long_about = LONG_ABOUT, after_long_help = AFTER_LONG)]
#[command(disable_help_subcommand = true, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Data directory: the log, its keys and the server's socket
    #[arg(long, value_name = "DIR", global = true, help_heading = "Everywhere")]
    pub(crate) data: Option<PathBuf>,
    /// Configuration file instead of the default one
    #[arg(long, value_name = "FILE", global = true, help_heading = "Everywhere")]
    pub(crate) config: Option<PathBuf>,
    /// Print JSON instead of text
    #[arg(long, global = true, help_heading = "Everywhere")]
    pub(crate) json: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the server that decides and keeps the log
    ///
    /// One server per data directory. It listens on a Unix socket in that directory, for your user alone. The
    /// other commands start it when they need it, so that you seldom have to.
    ///
    /// Example: deeds serve --policy ./policy
    Serve(ServeArgs),
    /// Stop the server
    ///
    /// Sends it SIGTERM and waits until it is gone. What was acknowledged is on disk already; nothing is lost. A wrap
    /// that is still running starts it again when it next needs it.
    ///
    /// Example: deeds stop
    Stop,
    /// Put deeds between an MCP client and a server
    ///
    /// Use it wherever a client names the command of a stdio MCP server. Frames pass byte for byte. Every tool
    /// call is decided and its decision is on disk before the server sees it. A refused call gets an answer that
    /// names the reason and the log entry.
    ///
    /// Example: deeds wrap --name files -- npx -y @modelcontextprotocol/server-filesystem /srv/data
    Wrap(WrapArgs),
    /// List runs: which client used which server, when, on whose authority
    ///
    /// A run is one execution of a wrapped server. Runs of one client belong to one task.
    ///
    /// Example: deeds runs --limit 5
    Runs(RunsArgs),
    /// Show what was done: by somebody, in a run, in a task, or at all
    ///
    /// One line per action, newest first: who, for whom, which tool, whether it was allowed, what came of it.
    ///
    /// Example: deeds did containment-agent --from 2h
    Did(DidArgs),
    /// Show under whose authority an action was taken, and whether it was allowed
    ///
    /// From the person through the delegation and the agent's run to the tool; then the decision with its policy,
    /// the outcome, the checkpoint that covers it, and what all this does not prove. Every fact carries its label:
    /// how it is known and what was checked.
    ///
    /// Example: deeds authority @42
    Authority(ActionArgs),
    /// Show one entry of the log, decoded
    ///
    /// Example: deeds entry @0
    Entry(EntryArgs),
    /// Write the evidence about an action or a run to one file
    ///
    /// The file holds the entries with proofs of inclusion under one signed checkpoint, the signed delegation and
    /// all that `deeds verify` needs. Withheld values stay out of it; what they are committed to stays provable.
    ///
    /// Example: deeds prove @42 -o action.deeds --withhold args,result
    Prove(ProveArgs),
    /// Check evidence files, without any server
    ///
    /// Needs no server, no network and no clock. Without pinned keys the keys recorded in the file are used and a
    /// note says so. The worst file decides the exit code: 0 verified, 1 failed, 2 unreadable.
    ///
    /// Example: deeds verify action.deeds --log-key 'deeds.local/0011223344556677+…'
    Verify(VerifyArgs),
    /// Register people and services by their keys
    ///
    /// A principal is who an agent acts for. With a registered key the delegation to the agent's run rests on that
    /// key's signature instead of on the user id of the process.
    #[command(subcommand)]
    Principal(PrincipalCommand),
    /// Show, check or activate a policy directory
    ///
    /// A policy is a directory of Cedar files with a table of tool classes. Every decision names the digest of the
    /// policy that made it, and activating another one is an entry in the log.
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Show the server, its log and its policy
    ///
    /// Example: deeds status
    Status,
    /// See it work: an incident playbook in a temporary directory
    ///
    /// Starts a server of its own, lets an agent isolate hosts through it, tries what is forbidden, kills a tool in
    /// the middle of a call, then asks under whose authority it all happened, proves it, and tampers with the
    /// proof. Nothing outside the temporary directory is touched.
    ///
    /// Example: deeds demo --keep
    Demo(DemoArgs),
    /// The parts of the demo that are processes of their own
    #[command(hide = true, subcommand)]
    Player(PlayerCommand),
}

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
    /// Key file of the principal on whose authority the client acts
    #[arg(long, value_name = "KEYFILE")]
    pub(crate) principal: Option<PathBuf>,
    /// Who the principal says the client is; needs a principal
    #[arg(long, value_name = "ID")]
    pub(crate) agent: Option<String>,
    /// JSON file with the tools that may be used and limits on their arguments [default: all of the server]
    #[arg(long, value_name = "FILE")]
    pub(crate) scope: Option<PathBuf>,
    /// What the client is to do, in a few words
    #[arg(long, value_name = "TEXT")]
    pub(crate) purpose: Option<String>,
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

/// Rows of a list that nobody set a limit for.
pub(crate) const LIMIT_DEFAULT: u32 = 50;

/// Which part of a list.
#[derive(Debug, Args)]
pub(crate) struct Page {
    /// How many to show at most
    #[arg(long, value_name = "N", default_value_t = LIMIT_DEFAULT, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) limit: u32,
    /// Only what came before this entry
    #[arg(long, value_name = "@N", value_parser = crate::names::position)]
    pub(crate) before: Option<u64>,
}

/// `deeds runs`
#[derive(Debug, Args)]
pub(crate) struct RunsArgs {
    #[command(flatten)]
    pub(crate) page: Page,
}

/// `deeds did`
#[derive(Debug, Args)]
pub(crate) struct DidArgs {
    /// A principal, an agent, or the id of a run
    #[arg(value_name = "WHO|RUN", conflicts_with_all = ["run", "task"])]
    pub(crate) who: Option<Who>,
    /// Only this run: its id, or the entry it started with
    #[arg(long, value_name = "RUN|@START", conflicts_with = "task")]
    pub(crate) run: Option<RunName>,
    /// Only this task
    #[arg(long, value_name = "TASK")]
    pub(crate) task: Option<RunId>,
    /// From this time: `2026-11-03T02:00:00Z`, or so long ago: `90m`, `2h`, `7d`
    #[arg(long, value_name = "TIME")]
    pub(crate) from: Option<Time>,
    /// Up to this time
    #[arg(long, value_name = "TIME")]
    pub(crate) to: Option<Time>,
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
    #[arg(long, value_name = "THUMBPRINT")]
    pub(crate) pin_key: Vec<String>,
}

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
    #[arg(value_name = "NAME|THUMBPRINT")]
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
    ///
    /// Example: deeds policy activate ./policy
    Activate(PolicyDirArgs),
}

/// A policy directory.
#[derive(Debug, Args)]
pub(crate) struct PolicyDirArgs {
    /// Directory with `*.cedar`, `classes.toml` and perhaps `schema.cedarschema`
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,
}

/// `deeds demo`
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Keep the directory, to look around in it afterwards
    #[arg(long)]
    pub(crate) keep: bool,
}

/// `deeds player`
#[derive(Debug, Subcommand)]
pub(crate) enum PlayerCommand {
    /// An MCP server that isolates hosts, as endpoint detection does
    Edr(ToolPlayerArgs),
    /// An MCP server that disables users, as an identity provider does
    Idp(ToolPlayerArgs),
    /// An MCP server that creates tickets
    Ticket(ToolPlayerArgs),
    /// An agent that works through a playbook, calling wrapped MCP servers
    Agent(AgentPlayerArgs),
}

/// A sample MCP server.
#[derive(Debug, Args)]
pub(crate) struct ToolPlayerArgs {
    /// The server's own journal of what it did: one JSON object a line
    #[arg(long, value_name = "FILE")]
    pub(crate) journal: PathBuf,
    /// Kill the own process, without an answer, after doing a call with this value among its arguments
    #[arg(long, value_name = "VALUE")]
    pub(crate) die_on: Option<String>,
}

/// The sample agent.
#[derive(Debug, Args)]
pub(crate) struct AgentPlayerArgs {
    /// JSON file with the commands of its MCP servers and the calls to make
    #[arg(long, value_name = "FILE")]
    pub(crate) playbook: PathBuf,
}

impl Cli {
    /// The flags that the configuration takes.
    pub(crate) fn flags(&self) -> Flags {
        let (policy, principal) = match &self.command {
            Command::Serve(args) => (args.policy.clone(), None),
            Command::Wrap(args) => (None, args.principal.clone()),
            _ => (None, None),
        };
        Flags { config: self.global.config.clone(), data: self.global.data.clone(), policy, principal }
    }
}

//! The command line: what can be asked for, and help that teaches.

mod acting;
mod ask;
mod delegate;
mod demo;
mod first_day;
mod order;
mod principal;
mod provenance;
mod run;
mod tools;
mod wrap;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

pub(crate) use acting::{ActingArgs, Trigger};
pub(crate) use ask::{
    ActionArgs, AllowedArgs, DelegationsArgs, DidArgs, EntryArgs, IdentitiesArgs, LIMIT_DEFAULT, Page,
    ProveArgs, RunsArgs, Stretch, VerdictIs, VerifyArgs, Withhold,
};
pub(crate) use delegate::{DelegateArgs, HolderKind, MandateArgs};
pub(crate) use demo::{DemoArgs, PlayerCommand, ToolPlayerArgs};
pub(crate) use first_day::{CompletionsArgs, InitArgs, InstallArgs, ManArgs, Shell};
pub(crate) use order::{DoubtArgs, HaltArgs, HaltRole, ResumeArgs, RevokeArgs, Revoked};
pub(crate) use principal::{
    PolicyCommand, PolicyDirArgs, PrincipalAddArgs, PrincipalCommand, PrincipalKind, PrincipalRetireArgs,
};
pub(crate) use provenance::{DefinitionsArgs, GapsArgs, TasksArgs, TraceArgs, WithdrawArgs};
pub(crate) use run::RunArgs;
pub(crate) use tools::ToolsArgs;
pub(crate) use wrap::{ServeArgs, WrapArgs};

use crate::config::Flags;

const ABOUT: &str = "What an AI agent did, whether it was allowed to, and under whose authority";

const LONG_ABOUT: &str = "\
deeds sits between an agent and its tools. Before each call it checks on whose authority the agent acts and \
whether the policy allows it, writes the decision to a tamper-evident log, and only then lets the call go. The \
answers come with proof that can be checked years later, without the server that wrote it.";

const AFTER_LONG: &str = "\
First steps:
  deeds demo                 see everything once, in a temporary directory
  deeds init                 find your MCP clients; shows what it would change
  deeds wrap -- npx -y NAME  put this where your client names a server's command
  deeds run -- ./deploy.sh   run a command of a pipeline through it
  deeds did                  what was done, allowed and refused
  deeds authority @42        who stands behind entry 42 of the log
  deeds delegate …           give an agent a part of your authority, for a while

Entries of the log are named by position: @42. Settings come from three places,
the later wins: the file $XDG_CONFIG_HOME/deeds/config.toml (or that of
--config or DEEDS_CONFIG), the variables DEEDS_DATA, DEEDS_SOCKET, DEEDS_POLICY,
DEEDS_PRINCIPAL, DEEDS_DELEGATION, DEEDS_LOG and DEEDS_RUN, and flags.

Exit code: 0 all is well, 1 there is a finding, 2 the command could not do its
work. `deeds wrap` and `deeds run` end with the code of what they started.";

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
    /// Find MCP clients on this machine and put deeds before their servers
    ///
    /// Looks for the configurations of Claude Code, Claude Desktop, Cursor, VS Code and Codex: those of the user, and
    /// those of the project in the current directory. Without `--apply` it shows what it would change and changes
    /// nothing. Only the command and the arguments of a server are edited; the originals are kept, and `--undo` puts
    /// them back. A starter policy is written beside the configuration, if there is none.
    ///
    /// Servers that are reached by a URL are listed and not covered yet.
    ///
    /// Example: deeds init claude-code --apply
    Init(InitArgs),
    /// Say what is wired, how the server is, and what this installation can and cannot prove
    ///
    /// Changes nothing and starts nothing. Needs no server: without one it says what can be seen without one. Exit code
    /// 1 when something is to be put right.
    ///
    /// Example: deeds doctor
    Doctor,
    /// Set up a server for this machine under its own user
    ///
    /// So that the log, its keys and the policy are out of reach of the user whom agents run as. Without `--apply` it
    /// shows each step and each file, for whoever prefers to do it by hand or with other tools.
    ///
    /// Example: sudo deeds install --system --peer ana --apply
    Install(InstallArgs),
    /// Print a completion script for a shell
    ///
    /// For this shell alone, or written to where your shell looks for such scripts.
    ///
    /// Example: source <(deeds completions bash)
    Completions(CompletionsArgs),
    /// Print the manual page of a command, or write those of all
    ///
    /// To read one at once: deeds man delegate | man -l -
    ///
    /// Example: deeds man --out ~/.local/share/man/man1
    Man(ManArgs),
    /// Run the server that decides and keeps the log
    ///
    /// One server per data directory. It listens on a Unix socket in that directory, for your user alone, unless the
    /// configuration names another `socket` or more `peers`. The other commands start it when they need it, so that
    /// you seldom have to.
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
    /// call (and whatever else of MCP does or reads something) is decided, and its decision is on disk before the
    /// server sees it. A refused call gets an answer that names the reason and the log entry.
    ///
    /// On whose authority the client acts is said by a delegation file (`--delegation`), or by a principal's key
    /// (`--principal`); without either the user id of this process vouches, and answers say so.
    ///
    /// Example: deeds wrap --name files -- npx -y @modelcontextprotocol/server-filesystem /srv/data
    Wrap(WrapArgs),
    /// Run a command as one act: decided first, recorded with the files that it changes
    ///
    /// For pipelines and playbooks. The command starts only once the decision is on disk and is yes; a refusal names
    /// the reason and the log entry. Its exit status is the outcome. The files under `--reads` and `--writes` are
    /// looked at before and after, and recorded by name and digest, never by content; so `deeds trace FILE` finds the
    /// command that made a file. Of the environment the names are recorded, never the values.
    ///
    /// Its tool URI in policies and scopes is `run:ALIAS#command/run`, its arguments are `argv` and `cwd`.
    ///
    /// Example: deeds run --reads raw.csv --writes prices.txt -- sh -c 'sort raw.csv > prices.txt'
    #[command(after_long_help = run::AFTER)]
    Run(RunArgs),
    /// List runs: which client used which server, when, on whose authority
    ///
    /// A run is one execution of a wrapped server or of a command. Runs of one client belong to one task.
    ///
    /// Example: deeds runs --limit 5
    Runs(RunsArgs),
    /// List tasks: who worked for whom, for how long, how much of it was denied or is unknown
    ///
    /// A task is all work under delegations of one root: the runs of one client, with those of its sub-agents.
    ///
    /// Example: deeds tasks --from 7d
    Tasks(TasksArgs),
    /// Show what was done: by somebody, in a run, in a task, or at all
    ///
    /// One line per action, newest first: who, for whom, which tool, whether it was allowed, what came of it. Filters
    /// can be combined.
    ///
    /// Example: deeds did containment-agent --from 2h --verdict denied
    Did(DidArgs),
    /// List whatever may be missing from the record, or unknown in it
    ///
    /// Acts with an unknown outcome or without one, refusals that were only counted, times in which the server could
    /// not be reached, runs that were lost, proofs that were counted and are not recorded, clocks that were set,
    /// definitions and client configurations that changed. What went around deeds leaves no gap.
    ///
    /// Example: deeds gaps --from 24h
    Gaps(GapsArgs),
    /// Follow a file, or any bytes, one step: which act made it, which had it, what an act had and made
    ///
    /// Of a file or URI: every act that names it, with the version it had or made. Of a digest: the same for these
    /// bytes, whatever they were called. Of an act: its inputs, outputs and result. It says what was withdrawn, and
    /// what was replaced by other bytes; that is a finding, with exit code 1. A file is read once more: whether it has
    /// the bytes that are last recorded of it, here and now.
    ///
    /// Example: deeds trace report.pdf --up
    Trace(TraceArgs),
    /// Say that a file, or bytes, are not to be relied on any more
    ///
    /// Nothing is deleted. Every answer about an act that had it or made it says so from now on; the acts that had it
    /// are listed at once.
    ///
    /// Example: deeds withdraw incidents-2026-10.csv --why "the October figures are wrong"
    Withdraw(WithdrawArgs),
    /// Show what is known of each server: what it is and offers, since when, what changed
    ///
    /// `--pin` prints rows for the class table of a policy, so that a change denies from then on. With `--into` the
    /// digests are put into the rows that the table has already, and rows below it for what has none; all else in it
    /// stays. A table takes one row for a tool, so printed rows are for what it says nothing of.
    ///
    /// Example: deeds definitions fs --pin --into policy
    Definitions(DefinitionsArgs),
    /// Show under whose authority an action was taken, and whether it was allowed
    ///
    /// From the person through the delegation and the agent's run to the tool; then the decision with its policy,
    /// the outcome, the checkpoint that covers it, and what all this does not prove. Every fact carries its label:
    /// how it is known and what was checked.
    ///
    /// Example: deeds authority @42
    Authority(ActionArgs),
    /// Give somebody's key a part of your authority, for a while
    ///
    /// Two ways. With `--as KEYFILE` a registered principal signs, and the server issues a root. With `--from FILE`
    /// whoever holds a delegation passes on a part of it, without asking any server: never more tools, never longer.
    /// Arguments are limited with `--arg NAME=LIMIT` after the tool they belong to; once one is named, all others are
    /// refused. The file that is written is what `deeds wrap` and `deeds delegate --from` take.
    ///
    /// Example: deeds delegate --as ciso.key --new-key --agent containment-agent --tool stdio:edr#isolate_host --arg
    /// host=prefix:ws- --ttl 15m -o containment.delegation
    #[command(after_help = tools::LIMITS)]
    Delegate(DelegateArgs),
    /// Sign a standing authority, from which services get short delegations
    ///
    /// A mandate says which registered services may act on your authority without you being there, with which tools,
    /// and for how long each time. It ends after 35 days at the latest.
    ///
    /// Example: deeds mandate --as ciso.key --for ir-playbook --tool stdio:edr#isolate_host --arg host=prefix:ws-
    /// --purpose "contain infected hosts" --root-ttl 15m --ttl 30d
    #[command(after_help = tools::LIMITS)]
    Mandate(MandateArgs),
    /// Take authority away, for good
    ///
    /// In force for the first decision after it is in the log. With `--effective` in the past (when a key was stolen)
    /// what was allowed since then is in doubt, and is listed.
    ///
    /// Example: deeds revoke noor --effective 2h --why "the laptop was stolen"
    Revoke(RevokeArgs),
    /// List the actions that a revocation puts in doubt
    ///
    /// Those that were allowed at or after its effective time, before anybody knew of it.
    ///
    /// Example: deeds doubt @57
    Doubt(DoubtArgs),
    /// Stop an agent, everybody who acts for somebody, or all, until it is lifted
    ///
    /// Whoever may talk to the server may stop; to go on takes the signature of a registered person.
    ///
    /// Example: deeds halt containment-agent --why "isolates the wrong hosts"
    Halt(HaltArgs),
    /// List the halts in force
    ///
    /// Example: deeds halts
    Halts,
    /// Lift a halt, signed by a registered person
    ///
    /// Example: deeds resume containment-agent --as ciso.key --why "the list of hosts was corrected"
    Resume(ResumeArgs),
    /// Show what somebody may do, now or at any time before
    ///
    /// One block for each delegation that could be used then, with its limits, and what the policy says of each tool:
    /// always, never, or depending on which policies.
    ///
    /// Example: deeds allowed containment-agent --at 2h
    Allowed(AllowedArgs),
    /// List delegations as a tree, with what was used of them and what never was
    ///
    /// Example: deeds delegations containment-agent
    Delegations(DelegationsArgs),
    /// List every key, principal and holder that was seen, with what they hold and never use
    ///
    /// Example: deeds identities --limit 20
    Identities(IdentitiesArgs),
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
    /// Throw the index away and make it anew from the log
    ///
    /// Answers come from an index that is folded from the log and can be rebuilt at any time; decisions never read it.
    /// The server is ended and started again; wraps wait for it.
    ///
    /// Example: deeds reindex
    Reindex,
    /// See it work: a story, played in a temporary directory
    ///
    /// One of five. The one without `--story` starts a server of its own, lets an agent isolate hosts through it, tries
    /// what is forbidden, kills a tool in the middle of a call, then asks under whose authority it all happened, proves
    /// it, and tampers with the proof. Nothing outside the temporary directory is touched.
    ///
    /// Example: deeds demo --keep
    Demo(DemoArgs),
    /// The parts of the demo that are processes of their own
    #[command(hide = true, subcommand)]
    Player(PlayerCommand),
}

impl Cli {
    /// The flags that the configuration takes.
    pub(crate) fn flags(&self) -> Flags {
        let mut flags =
            Flags { config: self.global.config.clone(), data: self.global.data.clone(), ..Flags::default() };
        match &self.command {
            Command::Serve(args) => flags.policy.clone_from(&args.policy),
            Command::Wrap(args) => {
                flags.principal.clone_from(&args.acting.principal);
                flags.delegation.clone_from(&args.acting.delegation);
            }
            Command::Run(args) => {
                flags.principal.clone_from(&args.acting.principal);
                flags.delegation.clone_from(&args.acting.delegation);
            }
            Command::Delegate(args) => {
                flags.principal.clone_from(&args.principal);
                flags.delegation.clone_from(&args.from);
            }
            Command::Mandate(args) => flags.principal.clone_from(&args.principal),
            Command::Revoke(args) => flags.principal.clone_from(&args.principal),
            Command::Halt(args) => flags.principal.clone_from(&args.principal),
            Command::Resume(args) => flags.principal.clone_from(&args.principal),
            _ => {}
        }
        flags
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_that_begins_with_a_hyphen_is_no_option() {
        let digest = format!("-u{}", "A".repeat(41));
        for line in [
            "did D",
            "did D --from 2h",
            "allowed D",
            "allowed --at 2h D",
            "delegations D",
            "revoke D --why x",
            "revoke --why x D",
            "principal retire D",
            "delegate --new-key --mandate D -o x",
            "verify --pin-key D x.deeds",
        ] {
            let line = format!("deeds {}", line.replace('D', &digest));
            assert!(Cli::try_parse_from(line.split(' ')).is_ok(), "{line}");
        }
        for line in
            ["did --frm 2h", "allowed -x", "revoke tenant --whi x", "revoke --whi x", "principal retire -x"]
        {
            assert!(Cli::try_parse_from(format!("deeds {line}").split(' ')).is_err(), "{line}");
        }
    }
}

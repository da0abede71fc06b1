//! The MCP stdio proxy behind `deeds wrap`: drop-in for the command of an MCP server.
//!
//! Read [`proxy`](self) top-down: `wrap` below opens the run, starts the server as a child process and moves frames
//! both ways until one side ends. `from_client.rs` and `from_server.rs` say what happens to each frame; `call.rs`
//! follows one act of the client to the server and `finish.rs` its answer back, `asked.rs` one act that the server
//! asks for. What comes later has files of its own: further attempts (`again.rs`, `attempts.rs`) with what was asked
//! of the client before (`asking.rs`, `inputs.rs`), and tasks (`tasks.rs`, `task_ends.rs`). The wrap acts under
//! `own.rs`; for agents that present a delegation with a call, `guests.rs` keeps a run for each of their keys.
//!
//! Three promises hold whatever happens. The other side never sees an act before the deeds server said that its
//! decision is durable; whoever asked for it never sees a result before its outcome is enqueued; an act that presents
//! a delegation is decided under that one alone, and forwarded once.

mod act;
mod again;
mod alias;
mod answer;
mod asked;
mod asking;
mod attempts;
mod call;
mod child;
mod crowd;
mod definitions;
mod facts;
mod files;
mod finish;
mod frame;
mod from_client;
mod from_server;
mod guests;
mod inputs;
mod look;
mod members;
mod meta;
mod methods;
mod open;
mod outputs;
mod package;
mod parts;
mod presented;
mod proxy;
mod record;
mod refuse;
mod reply;
mod responses;
mod strip;
mod task_ends;
mod tasks;
mod traffic;
mod write;

use core::fmt;
use core::future::Future;
use std::io;

use tokio::io::{AsyncRead, AsyncWrite};

use crate::run::own::Own;
use crate::run::{OpenError, RunOptions};
pub use alias::{alias_of, check_alias};
pub use facts::{ENVIRONMENT, environment_digest};
pub use frame::{Flaw, Frame, Id, Line, LineReader, Message, Rejected, Scan, Skipped};
#[doc(hidden)]
pub use look::{Look, look};
pub use reply::{REFUSED, UNAVAILABLE};
pub use strip::without_ours;

/// How to wrap one server.
pub struct WrapOptions {
    /// Its run. The alias is our name for the server ([`alias_of`], or chosen), the command runs it.
    pub run: RunOptions,
    /// Refuses calls that present no delegation of their own in `_meta`.
    pub require_delegation: bool,
    /// Names of environment variables that are ours: the wrapped server does not get them.
    pub own_variables: Vec<String>,
    /// The directory that paths in arguments are relative to, where one is declared.
    pub root_dir: Option<String>,
    /// Looks at the files that the arguments of tool calls name, before and after.
    pub files: bool,
    /// URIs of tools that go on undecided while the deeds server cannot be reached; reported as a gap afterwards.
    pub read_fail_open: Vec<String>,
}

impl fmt::Debug for WrapOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WrapOptions").field("run", &self.run).finish_non_exhaustive()
    }
}

/// Why a wrap could not start. Once it has started, nothing ends it but its client, its server or a signal.
#[derive(Debug, thiserror::Error)]
pub enum WrapError {
    /// Its run could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The wrapped server did not start.
    #[error("the MCP server `{program}` could not be started: {source}; check the command after `--`")]
    Spawn {
        /// First word of the command.
        program: String,
        /// What the operating system said.
        source: io::Error,
    },
}

/// Wraps one MCP server: speaks to the client over `stdin` and `stdout`, to the server over its standard streams.
/// When `stop` resolves (SIGTERM), the wrap ends as if the client had hung up. Returns the exit code for this
/// process: the server's own (128 + signal when a signal ended it).
pub async fn wrap<I, O, S>(options: WrapOptions, stdin: I, stdout: O, stop: S) -> Result<i32, WrapError>
where
    I: AsyncRead + Unpin + Send + 'static,
    O: AsyncWrite + Unpin + Send + 'static,
    S: Future<Output = ()>,
{
    // From here on the log knows of the run: whatever fails below ends it with a reason.
    let run = Own::open(&options.run).await?;
    let child = match child::spawn(&options.run.command, &options.own_variables) {
        Ok(child) => child,
        Err(error) => {
            run.end("not-started").await;
            return Err(error);
        }
    };
    let (proxy, queues) = proxy::Proxy::new(&options, run);
    Ok(proxy.carry(queues, child, stdin, stdout, stop).await)
}

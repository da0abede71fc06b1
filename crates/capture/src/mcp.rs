//! The MCP stdio proxy behind `deeds wrap`: drop-in for the command of an MCP server.
//!
//! Read [`proxy`](self) top-down: `wrap` below opens the run, starts the server as a child process and moves
//! frames both ways until one side ends; `proxy.rs` says what happens to each frame, `call.rs` follows one tool
//! call from the decision to the relayed result. The wrap acts under `own.rs`; for agents that present a delegation
//! with a call, `guests.rs` keeps a run for each of their keys.
//!
//! Three promises hold whatever happens. The wrapped server never sees a tool call before the deeds server said
//! that its decision is durable; the caller never sees a result before its outcome is enqueued; a call that presents
//! a delegation is decided under that one alone, and forwarded once.

mod acts;
mod alias;
mod answer;
mod ask;
mod call;
mod child;
mod definitions;
mod frame;
mod gap;
mod guests;
mod holder;
mod keeper;
mod members;
mod methods;
mod open;
mod outcome;
mod own;
mod presented;
mod proxy;
mod record;
mod reply;
mod run;
mod tasks;
mod tool_call;
mod write;

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use ed25519_dalek::SigningKey;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::api::{Hello, Receipt, Tools, Trigger};
use crate::client::ClientError;
pub use alias::{alias_of, check_alias};
pub use frame::{Flaw, Frame, Id, Line, LineReader, Message, Rejected};
pub use reply::{REFUSED, UNAVAILABLE};

/// A future that can be sent between threads.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;
/// Makes sure that the deeds server runs and gives the path of its socket. Called at the start and before each
/// try to reconnect.
pub type Connect = Arc<dyn Fn() -> BoxFuture<Result<PathBuf, String>> + Send + Sync>;
/// Signs a root request (JWS) for a key of the wrap, with the key of a registered principal.
pub type RootRequest = Arc<dyn Fn(&RootAsk<'_>) -> Result<String, String> + Send + Sync>;

/// What a root request is asked for.
#[derive(Debug)]
pub struct RootAsk<'a> {
    /// The server, its issuer and tenant.
    pub hello: &'a Hello,
    /// The key to bind, a public JWK.
    pub jwk: &'a Value,
    /// The tools asked for.
    pub scope: Option<&'a Tools>,
    /// The alias of the wrapped server, whose every tool is meant when there is no scope.
    pub alias: &'a str,
    /// The task, on a renewal.
    pub txn: Option<&'a str>,
}

/// A chain that somebody made for the wrap, as its file holds it.
pub struct Given {
    /// Every link (JWS), root first.
    pub chain: Vec<String>,
    /// The key that the leaf is bound to.
    pub key: SigningKey,
    /// The text handed over with the work, whose digest the leaf has.
    pub handoff: Option<String>,
}

impl fmt::Debug for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Given({} links)", self.chain.len())
    }
}

/// Reads the delegation that the wrap acts under, as it is now. Called at the start and when the chain is about to
/// end: a newer one, for the same key or for another, is taken then. May block.
pub type ReadDelegation = Arc<dyn Fn() -> Result<Given, String> + Send + Sync>;
/// Draws the next counter for a proof under the key with this thumbprint: at least the number given, which is where
/// the server stands, and never one that it gave before, to this process or another that uses the same key. May
/// block.
pub type NextCounter = Arc<dyn Fn(&str, u64) -> Result<u64, String> + Send + Sync>;

/// A delegation that the wrap acts under instead of roots of its own.
#[derive(Clone)]
pub struct DelegationSource {
    /// Reads it.
    pub read: ReadDelegation,
    /// Counts under its key.
    pub next_counter: NextCounter,
}

/// Takes each signed receipt that the log gives: the caller's own evidence that an entry must be there.
pub type Receipts = Arc<dyn Fn(&Receipt) + Send + Sync>;
/// A clock, in a unit that the place where it is used names.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;
/// Fills a buffer with randomness fit for keys.
pub type Random = Arc<dyn Fn(&mut [u8]) + Send + Sync>;

/// Time and randomness, handed in.
#[derive(Clone)]
pub struct Ambient {
    /// Wall clock, ms since 1970.
    pub now_ms: Clock,
    /// A clock that only goes forward, µs since some start.
    pub monotonic_us: Clock,
    /// Randomness for ids and keys.
    pub random: Random,
}

impl Ambient {
    /// A fresh UUIDv7.
    pub(crate) fn uuid(&self) -> String {
        evidence::id::text(&evidence::id::uuid_v7((self.now_ms)(), &self.random_bytes()))
    }

    pub(crate) fn random_bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        (self.random)(&mut bytes);
        bytes
    }
}

impl fmt::Debug for Ambient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ambient")
    }
}

/// What is recorded about the start of the run.
#[derive(Debug, Clone, Default)]
pub struct About {
    /// What the run is for.
    pub purpose: String,
    /// Why it was started, where known.
    pub trigger: Option<Trigger>,
    /// Digest string of the wrapped executable, where it can be seen.
    pub executable: Option<String>,
    /// Digest string of its configuration, where there is one.
    pub config: Option<String>,
    /// The process that started us.
    pub parent_pid: u32,
    /// Version of this program.
    pub version: String,
}

/// How to wrap one server.
pub struct WrapOptions {
    /// Our name for it ([`alias_of`], or chosen).
    pub alias: String,
    /// The command that runs it.
    pub command: Vec<String>,
    /// The way to the deeds server.
    pub connect: Connect,
    /// The wrap's own key, held in memory only; renewals draw fresh ones.
    pub key: SigningKey,
    /// The chain to act under. With it neither `key` nor `root_request` nor `scope` is used.
    pub delegation: Option<DelegationSource>,
    /// Refuses calls that present no delegation of their own in `_meta`.
    pub require_delegation: bool,
    /// The run that handed `delegation` over, where several could have.
    pub parent: Option<String>,
    /// Names of environment variables that are ours: the wrapped server does not get them.
    pub own_variables: Vec<String>,
    /// Signs root requests; without it the uid of this process vouches.
    pub root_request: Option<RootRequest>,
    /// Tools asked for; nothing means every tool of the alias.
    pub scope: Option<Tools>,
    /// The directory that paths in arguments are relative to, where one is declared.
    pub root_dir: Option<String>,
    /// URIs of tools that go on undecided while the deeds server cannot be reached; reported as a gap afterwards.
    pub read_fail_open: Vec<String>,
    /// The run to join, instead of opening one.
    pub join: Option<String>,
    /// Where receipts go, if the caller keeps them.
    pub receipts: Option<Receipts>,
    /// What is recorded about the start.
    pub about: About,
    /// Time and randomness.
    pub ambient: Ambient,
}

impl fmt::Debug for WrapOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WrapOptions")
            .field("alias", &self.alias)
            .field("command", &self.command)
            .finish_non_exhaustive()
    }
}

/// Why a wrap could not start. Once it has started, nothing ends it but its client, its server or a signal.
#[derive(Debug, thiserror::Error)]
pub enum WrapError {
    /// No deeds server, and none could be started.
    #[error("the deeds server cannot be reached: {0}")]
    Connect(String),
    /// The deeds server refused to open the run, or was lost on the way.
    #[error("no run could be opened: {0}")]
    Run(#[from] ClientError),
    /// The delegation to act under could not be read.
    #[error("the delegation to act under cannot be read: {0}")]
    Delegation(String),
    /// The principal's key could not sign the request for a root delegation.
    #[error("the request for a root delegation could not be signed: {0}")]
    RootRequest(String),
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
    let run = own::Own::open(&options).await?;
    let child = match child::spawn(&options.command, &options.own_variables) {
        Ok(child) => child,
        Err(error) => {
            run.end("not-started").await;
            return Err(error);
        }
    };
    let (proxy, queues) = proxy::Proxy::new(&options, run);
    Ok(proxy.carry(queues, child, stdin, stdout, stop).await)
}

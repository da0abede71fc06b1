//! What a run is opened with: the way to the deeds server, under what it acts, and what is said about its start.

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use std::path::PathBuf;
use std::sync::Arc;

use ed25519_dalek::SigningKey;
use serde_json::Value;

use crate::api::{Hello, Receipt, Scheme, Tools, Trigger};
use crate::client::ClientError;

/// A future that can be sent between threads.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;
/// Makes sure that the deeds server runs and gives the path of its socket. Called at the start and before each
/// try to reconnect. The first line of an error says what is wrong and what to do; clients that are refused meanwhile
/// are told it, so it quotes nothing of a policy or a configuration. Further lines may.
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
    /// What kind of thing acts.
    pub scheme: Scheme,
    /// Its alias. With the scheme it names the server whose every tool is meant when there is no scope.
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
    /// Digest string of how this program was set up for it, where that is known.
    pub config: Option<String>,
    /// Digest string of the variables of its environment that decide which code it loads.
    pub environment: Option<String>,
    /// The process that started us.
    pub parent_pid: u32,
    /// Version of this program.
    pub version: String,
}

/// How to open one run.
pub struct RunOptions {
    /// Our name for what acts in it: with `scheme` the part of tool URIs before `#`.
    pub alias: String,
    /// What kind of thing that is.
    pub scheme: Scheme,
    /// The command that runs it.
    pub command: Vec<String>,
    /// What decides and forwards, for example `deeds wrap`.
    pub enforcement_point: String,
    /// The way to the deeds server.
    pub connect: Connect,
    /// The run's own key, held in memory only; renewals draw fresh ones.
    pub key: SigningKey,
    /// The chain to act under. With it neither `key` nor `root_request` nor `scope` is used.
    pub delegation: Option<DelegationSource>,
    /// The run that handed `delegation` over, where several could have.
    pub parent: Option<String>,
    /// Signs root requests; without it the uid of this process vouches.
    pub root_request: Option<RootRequest>,
    /// Tools asked for; nothing means every tool of the alias.
    pub scope: Option<Tools>,
    /// The run to join, instead of opening one.
    pub join: Option<String>,
    /// Where receipts go, if the caller keeps them.
    pub receipts: Option<Receipts>,
    /// What is recorded about the start.
    pub about: About,
    /// Time and randomness.
    pub ambient: Ambient,
}

impl fmt::Debug for RunOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunOptions")
            .field("alias", &self.alias)
            .field("command", &self.command)
            .finish_non_exhaustive()
    }
}

/// Why a run could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
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
}

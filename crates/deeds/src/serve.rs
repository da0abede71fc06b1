//! `deeds serve`: the server put together, and taken apart again.
//!
//! Order matters both ways. Up: keys, then the lock (held by the store from here on), recovery, index, socket; so
//! whoever can connect is served by a whole server. Down: no new requests, those under way end, the socket goes, the
//! log is published and closed, the lock goes with the process.

mod background;
mod data;
pub(crate) mod index;
mod socket;
pub(crate) mod users;
mod watch;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use lineage::limits::BATCH_ENTRIES;
use lineage::{Index, LineageError, Opener};
use policy::{PolicyError, PolicySet};
use recorder::{Peer, Recorder, RecorderError};
use rustix::fs::Mode;
use tokio::net::UnixListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, sleep, timeout};
use web::{About, Activate, AppState, Limits, Shutdown};

use crate::cli::ServeArgs;
use crate::clock::SystemClock;
use crate::config::Config;
use crate::entropy::SystemEntropy;

/// How long a server that was started in the background waits for one that is just stopping: as long as that may
/// take, and a little.
const LOCK_WAIT: Duration = Duration::from_secs(6);
/// Pause between two tries to get the lock.
const LOCK_PAUSE: Duration = Duration::from_millis(100);
/// How long closing the log may take. With the drain of the connections before it, a stop stays below 5 s.
const CLOSE_MAX: Duration = Duration::from_millis(1_200);
/// How long the first answers may wait for an index that is made again: a log of a day is folded by then.
const CATCH_UP_MAX: Duration = Duration::from_secs(2);
/// How long threads that still wait for something may keep the process, after all is closed.
const LAST_MAX: Duration = Duration::from_millis(300);

/// Serves the data directory until a signal says to stop.
pub(crate) fn serve(config: &Config, args: &ServeArgs) -> anyhow::Result<()> {
    // whatever this process makes is its user's alone
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
    data::prepare(&config.data)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let served = runtime.block_on(run(config, args));
    runtime.shutdown_timeout(LAST_MAX);
    served
}

async fn run(config: &Config, args: &ServeArgs) -> anyhow::Result<()> {
    // first of all, so that a signal at any moment leads to an orderly stop
    let mut signals = Signals::listen()?;
    let peers = users::uids(&config.peers).context("cannot use `peers` of the configuration")?;
    let log = open(config, if args.detach { LOCK_WAIT } else { Duration::ZERO }).await?;
    let listener = socket::bind(&config.socket(), !peers.is_empty())?;
    tracing::info!(
        data = %config.data.display(),
        origin = log.recorder.names().origin,
        size = log.recorder.reader().size(),
        policy = log.recorder.policy()?.set.digest(),
        "serving"
    );
    let shutdown = Shutdown::default();
    let background = background::start(config, &log.recorder, &log.index)?;
    catch_up(&log).await;
    let serving = tokio::spawn(answer(&log, listener, peers, shutdown.clone()));
    signals.received().await;
    tracing::info!("stopping");
    shutdown.begin();
    // bounded by the drain limit; an error here can only be a bug that has been logged, and the log must be closed
    drop(serving.await);
    socket::remove(&config.socket());
    background.stop();
    close(log.recorder).await
}

/// Waits for the index, for a while: one that has just been thrown away would answer with nothing at first.
async fn catch_up(log: &Log) {
    let (index, size) = (Arc::clone(&log.index), log.recorder.reader().size());
    let folded = tokio::task::spawn_blocking(move || index.wait_applied(size, CATCH_UP_MAX)).await;
    if !folded.unwrap_or_default() {
        tracing::warn!(size, "the index is still being made; answers say how much of the log they reflect");
    }
}

/// A log that is being written, and the index over it.
struct Log {
    recorder: Recorder,
    index: Arc<Index>,
    vkey: String,
    policy_at_start: Option<String>,
}

/// Opens the log; while another process holds it, tries again for as long as `wait`.
async fn open(config: &Config, wait: Duration) -> anyhow::Result<Log> {
    let deadline = Instant::now() + wait;
    loop {
        match open_once(config).await {
            Err(error) if holder(&error).is_some() && Instant::now() < deadline => sleep(LOCK_PAUSE).await,
            opened => return opened,
        }
    }
}

async fn open_once(config: &Config) -> anyhow::Result<Log> {
    let keys = data::keys(&config.data)?;
    let origin = recorder::origin_of(&keys.log);
    let vkey = store::log_vkey(&origin, &keys.log.verifying_key());
    let vkey = vkey.with_context(|| format!("`{origin}` cannot name a log key"))?;
    let opener = Opener::new(*keys.kek);
    let policy = match &config.policy {
        Some(dir) => Some((load_policy(dir)?, dir.display().to_string())),
        None => None,
    };
    let parts = recorder::Parts {
        data: config.data.clone(),
        keys,
        clock: Arc::new(SystemClock::start()),
        entropy: Arc::new(SystemEntropy),
        policy,
        peer: own_peer(),
        segment_bytes: None,
    };
    let recorder = Recorder::open(parts).await.map_err(|error| name_key(&config.data, error))?;
    index::drop_if_marked(&config.data).context("the index that `deeds reindex` marked cannot be removed")?;
    let path = index::path(&config.data);
    let index = Index::open(&path, recorder.reader(), opener).map_err(|error| index_error(&path, error))?;
    // one batch at once: an index that cannot be written is found out before anybody is told to ask again later
    match index.fold(BATCH_ENTRIES) {
        Err(error @ (LineageError::Database { .. } | LineageError::File { .. })) => {
            return Err(index_error(&path, error));
        }
        // of the log itself: answers say which entry, and the rest is served
        Err(error) => tracing::error!(%error, "the index does not follow the log; answers stay behind"),
        Ok(_) => {}
    }
    let policy_at_start = config.policy.as_ref().map(|dir| dir.display().to_string());
    Ok(Log { recorder, index: Arc::new(index), vkey, policy_at_start })
}

/// The policy that the configuration names.
fn load_policy(dir: &Path) -> anyhow::Result<PolicySet> {
    PolicySet::load(dir).map_err(|error| {
        let name = dir.display();
        let refused = matches!(error, PolicyError::Refused(_));
        let error = anyhow::Error::new(error);
        // what cannot be read is named already
        if refused {
            let wrong =
                format!("the policy in `{name}` cannot be used (`deeds policy check {name}` shows why)");
            return error.context(wrong);
        }
        error
    })
}

/// What the database says comes with advice; what the operating system says does not.
fn index_error(path: &Path, error: LineageError) -> anyhow::Error {
    let is_file = matches!(error, LineageError::File { .. });
    let error = anyhow::Error::new(error);
    if !is_file {
        return error;
    }
    let name = path.display();
    error.context(format!("the index `{name}` cannot be used: remove it, and it is made again from the log"))
}

/// Says which file holds a key that is not the log's: only this program knows.
fn name_key(data: &Path, error: recorder::OpenError) -> anyhow::Error {
    let recorder::OpenError::OtherKeys(which) = &error else { return error.into() };
    let path = data::key_file(data, which);
    anyhow!("`{}` is not the {which} that this log was made with: restore it from a copy", path.display())
}

/// The process that holds the log, when that is why it cannot be opened.
pub(crate) fn holder(error: &anyhow::Error) -> Option<&str> {
    let store = match error.downcast_ref() {
        Some(recorder::OpenError::Store(error)) => Some(error),
        _ => error.downcast_ref(),
    };
    match store? {
        store::OpenError::Locked { holder, .. } => Some(holder),
        _ => None,
    }
}

/// This process, as the cause of what happens at its start.
fn own_peer() -> Peer {
    Peer {
        uid: rustix::process::geteuid().as_raw(),
        pid: Some(rustix::process::getpid().as_raw_nonzero().get()),
    }
}

/// Answers requests until the shutdown begins.
fn answer(
    log: &Log,
    listener: UnixListener,
    peers: Vec<u32>,
    shutdown: Shutdown,
) -> impl Future<Output = ()> + Send + use<> {
    let limits = Limits::default();
    let state = AppState::new(web::Parts {
        recorder: log.recorder.clone(),
        index: Arc::clone(&log.index),
        clock: Arc::new(SystemClock::start()),
        activate: activation(&log.recorder),
        about: About {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            log_vkey: log.vkey.clone(),
            policy_at_start: log.policy_at_start.clone(),
        },
        limits: limits.clone(),
        shutdown: shutdown.clone(),
    });
    web::serve_unix(listener, web::router(state), peers, limits, shutdown)
}

/// How a policy directory comes into force. Those whom a server serves beside its own user are those whom its policy
/// is for: they do not change it.
fn activation(recorder: &Recorder) -> Activate {
    let recorder = recorder.clone();
    Arc::new(move |dir: PathBuf, peer| {
        let recorder = recorder.clone();
        Box::pin(async move {
            if peer.uid != own_peer().uid && peer.uid != 0 {
                let text = "the policy of this server is changed by the user it runs as, or by root, and by nobody else";
                return Err(RecorderError::Policy(text.to_owned()));
            }
            let source = dir.display().to_string();
            let loaded = tokio::task::spawn_blocking(move || PolicySet::load(&dir)).await;
            let loaded = loaded.map_err(|error| RecorderError::Policy(error.to_string()))?;
            let set = loaded.map_err(|error| RecorderError::Policy(error.to_string()))?;
            recorder.activate(Arc::new(set), &source, peer).await
        })
    })
}

/// Publishes and closes the log. Where the disk is too slow for that, the process ends all the same: what was
/// acknowledged is durable already, and the next start recovers the rest.
async fn close(recorder: Recorder) -> anyhow::Result<()> {
    let closing = tokio::task::spawn_blocking(move || recorder.close());
    match timeout(CLOSE_MAX, closing).await {
        Ok(closed) => closed.map_err(|error| anyhow!("the log could not be closed: {error}")),
        Err(_) => {
            tracing::warn!("the log could not be published in time; the next start does that");
            Ok(())
        }
    }
}

/// The signals that stop the server.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    async fn received(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
}

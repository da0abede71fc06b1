//! A run at the deeds server: opening it, asking and telling the server things about it, ending it.

pub(crate) mod ask;
pub(crate) mod gap;
pub(crate) mod holder;
pub(crate) mod keeper;
mod options;
pub(crate) mod outcome;
pub(crate) mod own;
pub(crate) mod tasks;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use serde_json::Value;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use self::gap::{GapLog, Missed};
use self::keeper::{Link, keep};
pub use self::options::{
    About, Ambient, BoxFuture, Clock, Connect, DelegationSource, Given, NextCounter, OpenError, Random,
    ReadDelegation, Receipts, RootAsk, RootRequest, RunOptions,
};
use self::own::Own;
use self::tasks::Tasks;
use crate::api::{
    Define, DefinedAnswer, EndRun, EnforcementPoint, Observe, OpenRun, OpenedRun, Receipt, Scheme,
};
use crate::client::{Client, ClientError};
use crate::limits::{DRAIN_WAIT, RECONNECT_WAIT};

/// What all runs of one wrap have in common.
pub(crate) struct Setting {
    pub(crate) alias: String,
    pub(crate) scheme: Scheme,
    enforcement_point: String,
    pub(crate) command: Vec<String>,
    pub(crate) about: About,
    pub(crate) ambient: Ambient,
    pub(crate) receipts: Option<Receipts>,
    connect: Connect,
    connecting: tokio::sync::Mutex<()>,
}

impl Setting {
    pub(crate) fn of(options: &RunOptions) -> Self {
        Self {
            alias: options.alias.clone(),
            scheme: options.scheme,
            enforcement_point: options.enforcement_point.clone(),
            command: options.command.clone(),
            about: options.about.clone(),
            ambient: options.ambient.clone(),
            receipts: options.receipts.clone(),
            connect: Arc::clone(&options.connect),
            connecting: tokio::sync::Mutex::default(),
        }
    }

    /// Makes sure that the deeds server runs, and gives the path of its socket. Each try may start a server, so the
    /// runs of a wrap that lost theirs together take turns.
    pub(crate) async fn server(&self) -> Result<PathBuf, String> {
        let _turn = self.connecting.lock().await;
        (self.connect)().await
    }

    /// A request for a run for a key, under nothing yet.
    pub(crate) fn opening(&self, key: Value) -> OpenRun {
        OpenRun {
            alias: self.alias.clone(),
            scheme: self.scheme,
            command: self.command.clone(),
            executable: self.about.executable.clone(),
            config: self.about.config.clone(),
            key,
            root_request: None,
            scope: None,
            purpose: self.about.purpose.clone(),
            trigger: self.about.trigger,
            join: None,
            parent_pid: self.about.parent_pid,
            enforcement_point: EnforcementPoint {
                id: self.enforcement_point.clone(),
                version: self.about.version.clone(),
            },
            delegation: None,
            handoff: None,
            parent: None,
        }
    }
}

/// An open run.
pub(crate) struct Run {
    pub(crate) id: String,
    pub(crate) stream: u64,
    pub(crate) setting: Arc<Setting>,
    /// What the wrap acts under here; nothing in a run for a key that a call presented.
    pub(crate) own: Option<Own>,
    /// Outcomes on their way, and begins in doubt.
    pub(crate) deliveries: Tasks,
    /// Path of the server's socket, for messages.
    pub(crate) socket: String,
    link: watch::Sender<Link>,
    /// Whether a call has waited for the server in vain since it was last reached.
    given_up: AtomicBool,
    /// How far it was told here what the wrapped server is.
    pub(crate) facts_told: tokio::sync::Mutex<u8>,
    gaps: Mutex<GapLog>,
    gaps_written: AtomicU64,
    keeper: OnceLock<AbortHandle>,
}

/// A run that stays open for somebody: a call, a question in doubt, an outcome on its way. While there is one, the
/// run is not ended to make room for another.
#[derive(Clone)]
pub(crate) struct Held {
    pub(crate) run: Arc<Run>,
    pub(crate) _open: Arc<()>,
}

impl Held {
    /// Holds a run that only ends with the wrap.
    pub(crate) fn own(run: &Arc<Run>) -> Self {
        Self { run: Arc::clone(run), _open: Arc::new(()) }
    }
}

impl Run {
    /// Opens (or joins) a run and takes its lease. `own` makes of the answer what the wrap acts under in it.
    pub(crate) async fn open(
        setting: Arc<Setting>,
        client: Client,
        socket: String,
        request: &OpenRun,
        own: impl FnOnce(&OpenedRun) -> Result<Option<Own>, ClientError>,
    ) -> Result<Arc<Self>, ClientError> {
        let opened = client.open_run(request).await?;
        let (id, stream) = (opened.run.clone(), opened.stream);
        let held = match own(&opened) {
            Ok(own) => client.lease(&id, stream).await.map(|lease| (own, lease)),
            Err(error) => Err(error),
        };
        let (own, lease) = match held {
            Ok(held) => held,
            Err(error) => {
                // the log knows of the run already: it must not look open
                let end = EndRun { stream, reason: "not-started".into(), gaps: 0 };
                client.end_run(&id, &end).await?;
                return Err(error);
            }
        };
        let run = Arc::new(Self {
            id,
            stream,
            setting,
            own,
            deliveries: Tasks::default(),
            socket,
            link: watch::Sender::new(Link::Up(client)),
            given_up: AtomicBool::new(false),
            facts_told: tokio::sync::Mutex::default(),
            gaps: Mutex::default(),
            gaps_written: AtomicU64::new(0),
            keeper: OnceLock::new(),
        });
        let keeper = tokio::spawn(keep(Arc::clone(&run), lease));
        run.keeper.get_or_init(|| keeper.abort_handle());
        Ok(run)
    }

    /// Hands a receipt to the caller, if it keeps them.
    pub(crate) fn keep_receipt(&self, receipt: &Receipt) {
        if let Some(keep) = self.setting.receipts.as_ref().filter(|_| !receipt.is_null()) {
            keep(receipt);
        }
    }

    pub(crate) fn link_is(&self, link: Link) {
        self.link.send_replace(link);
    }

    /// The error of requests while the lease is lost. Of several lines the first says what is wrong; the others are
    /// for whoever keeps the server, and not for the client.
    pub(crate) fn unreachable(&self, why: &str) -> ClientError {
        let why = why.lines().next().unwrap_or_default().trim_end_matches(':').to_owned();
        ClientError::Unreachable { socket: self.socket.clone(), why }
    }

    /// The server; while it is away, as soon as it is back, if that is within [`RECONNECT_WAIT`].
    pub(crate) async fn server_soon(&self) -> Result<Client, ClientError> {
        match self.server_now() {
            Err(_) if self.is_away() => self.wait_for_link(self.link.subscribe()).await,
            known => known,
        }
    }

    /// What the link is now, for [`Run::server_after`].
    pub(crate) fn link_seen(&self) -> watch::Receiver<Link> {
        self.link.subscribe()
    }

    /// The server after a request that `error` kept from being sent: the link was lost since it was `seen`, which
    /// the keeper has noticed or is about to, and this waits until it is back.
    pub(crate) async fn server_after(
        &self,
        mut seen: watch::Receiver<Link>,
        error: ClientError,
    ) -> Result<Client, ClientError> {
        if self.given_up.load(Ordering::Relaxed) {
            return Err(self.why_away().unwrap_or(error));
        }
        let back = async {
            let _ = seen.changed().await;
            self.wait_for_link(seen).await
        };
        timeout(RECONNECT_WAIT, back).await.unwrap_or_else(|_| {
            self.given_up.store(true, Ordering::Relaxed);
            Err(self.why_away().unwrap_or(error))
        })
    }

    /// Waits while the link is down. One wait in vain is enough: whoever comes after it is refused at once, until
    /// the server was reached again.
    async fn wait_for_link(&self, mut link: watch::Receiver<Link>) -> Result<Client, ClientError> {
        let is_settled = |link: &Link| !matches!(link, Link::Down(_));
        if !self.given_up.load(Ordering::Relaxed)
            && timeout(RECONNECT_WAIT, link.wait_for(is_settled)).await.is_err()
        {
            self.given_up.store(true, Ordering::Relaxed);
        }
        self.server_now()
    }

    /// The next outage is waited for again.
    pub(crate) fn is_reached(&self) {
        self.given_up.store(false, Ordering::Relaxed);
    }

    fn is_away(&self) -> bool {
        self.why_away().is_some()
    }

    /// Why the lease is not back, as the last try to take it again found out.
    fn why_away(&self) -> Option<ClientError> {
        if let Link::Down(why) = &*self.link.borrow() { Some(why.clone()) } else { None }
    }

    /// The server, if it can be asked now.
    pub(crate) fn server_now(&self) -> Result<Client, ClientError> {
        match &*self.link.borrow() {
            Link::Up(client) => Ok(client.clone()),
            Link::Down(why) | Link::Ended(_, why) => Err(why.clone()),
        }
    }

    /// The server, as soon as it takes outcomes. Waits for ever while it is away.
    pub(crate) async fn server(&self) -> Client {
        let mut link = self.link.subscribe();
        loop {
            if let Link::Up(client) | Link::Ended(client, _) = &*link.borrow_and_update() {
                return client.clone();
            }
            if link.changed().await.is_err() {
                core::future::pending::<()>().await;
            }
        }
    }

    /// Records something seen beside the path. The index; nothing inside when it was counted, not recorded.
    pub(crate) async fn observe(&self, what: Observe) -> Result<Option<u64>, ClientError> {
        let client = self.server_now()?;
        Ok(client.observe(&self.id, &Observe { stream: self.stream, ..what }).await?.index)
    }

    /// Records something without which a message must not go on; waits for a server that is away as a decision would.
    pub(crate) async fn observe_soon(&self, what: Observe) -> Result<Option<u64>, ClientError> {
        let client = self.server_soon().await?;
        Ok(client.observe(&self.id, &Observe { stream: self.stream, ..what }).await?.index)
    }

    /// Records what the server of the run offers or is; waits for a deeds server that is away as a decision would.
    pub(crate) async fn define(&self, what: Define) -> Result<DefinedAnswer, ClientError> {
        let client = self.server_soon().await?;
        client.define(&self.id, &Define { stream: self.stream, ..what }).await
    }

    /// Remembers something that could not be recorded.
    pub(crate) fn miss(&self, what: Missed, frame_digest: Option<&str>) {
        self.gaps().miss(what, (self.setting.ambient.now_ms)(), frame_digest);
    }

    /// Tells the server what went unrecorded, if anything did and it can be told.
    pub(crate) async fn report_gap(&self) {
        let Ok(client) = self.server_now() else { return };
        let log = core::mem::take(&mut *self.gaps());
        let Some(gap) = log.report(self.stream, (self.setting.ambient.now_ms)()) else { return };
        match client.gap(&self.id, &gap).await {
            Ok(_) => {
                self.gaps_written.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => {
                tracing::warn!(%error, "a gap could not be recorded yet");
                self.gaps().put_back(log);
            }
        }
    }

    /// Starts [`Run::report_gap`] beside the path, where there is something to report.
    pub(crate) fn report_gap_soon(self: &Arc<Self>) {
        if !self.gaps().is_empty() {
            let run = Arc::clone(self);
            self.deliveries.spawn(async move { run.report_gap().await });
        }
    }

    /// Ends the run once what is on its way has arrived, or after a bounded wait: what the server then still
    /// finds open it sets to `unknown`.
    pub(crate) async fn end(&self, reason: &str) {
        if !self.deliveries.settle(DRAIN_WAIT).await {
            tracing::warn!("the run ends with outcomes whose receipts did not come in time");
        }
        let told = async {
            let client = self.server().await;
            self.report_gap().await;
            let gaps = self.gaps_written.load(Ordering::Relaxed);
            let end = EndRun { stream: self.stream, reason: reason.to_owned(), gaps };
            if let Err(error) = client.end_run(&self.id, &end).await {
                tracing::warn!(%error, "the end of the run could not be recorded");
            }
        };
        if timeout(DRAIN_WAIT, told).await.is_err() {
            tracing::warn!("the deeds server is away; it will record the run as lost");
        }
        self.deliveries.abort();
        if let Some(keeper) = self.keeper.get() {
            keeper.abort();
        }
    }

    fn gaps(&self) -> MutexGuard<'_, GapLog> {
        self.gaps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! The wrap's run at the deeds server: opening it, keeping its lease, coming back after the server was away.

use core::time::Duration;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use serde_json::Value;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use super::gap::{GapLog, Missed};
use super::holder::{Bound, Holder, fresh_key, jwk};
use super::tasks::Tasks;
use super::{Ambient, Connect, Receipts, RootAsk, RootRequest, WrapError, WrapOptions};
use crate::api::{EndRun, EnforcementPoint, Observe, OpenRun, OpenedRun, Receipt, Renew, Tools};
use crate::client::{Client, ClientError, Lease};
use crate::limits::{DRAIN_WAIT, RECONNECT_WAIT, RETRY_FIRST, RETRY_MAX};

/// The way to the server at this moment.
#[derive(Debug, Clone)]
pub(super) enum Link {
    /// The lease is held.
    Up(Client),
    /// It is not, and this is why; the keeper tries to get it back.
    Down(ClientError),
    /// The server says that the run is over. It still takes late outcomes.
    Ended(Client, ClientError),
}

/// An open run.
pub(crate) struct Run {
    pub(super) id: String,
    pub(super) stream: u64,
    pub(super) ambient: Ambient,
    pub(super) holder: Holder,
    /// Outcomes on their way, and begins in doubt.
    pub(super) deliveries: Tasks,
    txn: String,
    alias: String,
    scope: Option<Tools>,
    connect: Connect,
    /// Path of the server's socket, for messages.
    socket: String,
    root_request: Option<RootRequest>,
    link: watch::Sender<Link>,
    /// Whether a call has waited for the server in vain since it was last reached.
    given_up: AtomicBool,
    gaps: Mutex<GapLog>,
    gaps_written: AtomicU64,
    keeper: OnceLock<AbortHandle>,
    receipts: Option<Receipts>,
}

impl Run {
    /// Opens (or joins) the run and takes its lease.
    pub(crate) async fn open(options: &WrapOptions) -> Result<Arc<Self>, WrapError> {
        let socket = (options.connect)().await.map_err(WrapError::Connect)?;
        let shown = socket.display().to_string();
        let client = Client::connect(socket).await?;
        let key = jwk(&options.key);
        let scope = options.scope.as_ref();
        let root_request = match &options.root_request {
            Some(sign) => {
                let ask = RootAsk {
                    hello: &client.hello().await?,
                    jwk: &key,
                    scope,
                    alias: &options.alias,
                    txn: None,
                };
                Some(sign(&ask).map_err(WrapError::RootRequest)?)
            }
            None => None,
        };
        let opened = client.open_run(&opening(options, key, root_request)).await?;
        let (id, stream) = (opened.run.clone(), opened.stream);
        let run = match Self::new(options, opened, client.clone(), shown) {
            Ok(run) => client.lease(&id, stream).await.map(|lease| (Arc::new(run), lease)),
            Err(error) => Err(error),
        };
        let (run, lease) = match run {
            Ok(held) => held,
            Err(error) => {
                // the log knows of the run already: it must not look open
                let end = EndRun { stream, reason: "not-started".into(), gaps: 0 };
                client.end_run(&id, &end).await?;
                return Err(error.into());
            }
        };
        let keeper = tokio::spawn(keep(Arc::clone(&run), lease));
        run.keeper.get_or_init(|| keeper.abort_handle());
        Ok(run)
    }

    fn new(
        options: &WrapOptions,
        opened: OpenedRun,
        client: Client,
        socket: String,
    ) -> Result<Self, ClientError> {
        let bound = Bound::new(options.key.clone(), &opened.delegation, opened.exp)?;
        Ok(Self {
            id: opened.run,
            stream: opened.stream,
            ambient: options.ambient.clone(),
            holder: Holder::new(bound, opened.issuer),
            deliveries: Tasks::default(),
            txn: opened.txn,
            alias: options.alias.clone(),
            scope: options.scope.clone(),
            connect: Arc::clone(&options.connect),
            socket,
            root_request: options.root_request.clone(),
            link: watch::Sender::new(Link::Up(client)),
            given_up: AtomicBool::new(false),
            gaps: Mutex::default(),
            gaps_written: AtomicU64::new(0),
            keeper: OnceLock::new(),
            receipts: options.receipts.clone(),
        })
    }

    /// Hands a receipt to the caller, if it keeps them.
    pub(super) fn keep_receipt(&self, receipt: &Receipt) {
        if let Some(keep) = self.receipts.as_ref().filter(|_| !receipt.is_null()) {
            keep(receipt);
        }
    }

    /// The server; while it is away, as soon as it is back, if that is within [`RECONNECT_WAIT`].
    pub(super) async fn server_soon(&self) -> Result<Client, ClientError> {
        match self.server_now() {
            Err(_) if self.is_away() => self.wait_for_link(self.link.subscribe()).await,
            known => known,
        }
    }

    /// What the link is now, for [`Run::server_after`].
    pub(super) fn link_seen(&self) -> watch::Receiver<Link> {
        self.link.subscribe()
    }

    /// The server after a request that `error` kept from being sent: the link was lost since it was `seen`, which
    /// the keeper has noticed or is about to, and this waits until it is back.
    pub(super) async fn server_after(
        &self,
        mut seen: watch::Receiver<Link>,
        error: ClientError,
    ) -> Result<Client, ClientError> {
        if self.given_up.load(Ordering::Relaxed) {
            return Err(error);
        }
        let back = async {
            let _ = seen.changed().await;
            self.wait_for_link(seen).await
        };
        timeout(RECONNECT_WAIT, back).await.unwrap_or_else(|_| {
            self.given_up.store(true, Ordering::Relaxed);
            Err(error)
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
    pub(super) fn is_reached(&self) {
        self.given_up.store(false, Ordering::Relaxed);
    }

    fn is_away(&self) -> bool {
        matches!(&*self.link.borrow(), Link::Down(_))
    }

    /// The server, if it can be asked now.
    pub(super) fn server_now(&self) -> Result<Client, ClientError> {
        match &*self.link.borrow() {
            Link::Up(client) => Ok(client.clone()),
            Link::Down(why) | Link::Ended(_, why) => Err(why.clone()),
        }
    }

    /// The server, as soon as it takes outcomes. Waits for ever while it is away.
    pub(super) async fn server(&self) -> Client {
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

    /// Renews the delegation when it is due. A renewal that fails is an error only once the old one has ended.
    pub(super) async fn renew_if_due(&self, client: &Client) -> Result<(), ClientError> {
        if !self.holder.is_due(&self.ambient) {
            return Ok(());
        }
        let _one_at_a_time = self.holder.renewal.lock().await;
        if !self.holder.is_due(&self.ambient) {
            return Ok(());
        }
        match self.renewed(client).await {
            Ok(bound) => self.holder.replace(bound),
            Err(error) if self.holder.is_over(&self.ambient) => return Err(error),
            Err(error) => tracing::warn!(%error, "the delegation could not be renewed yet"),
        }
        Ok(())
    }

    async fn renewed(&self, client: &Client) -> Result<Bound, ClientError> {
        let key = fresh_key(&self.ambient);
        let public = jwk(&key);
        let scope = self.scope.as_ref();
        let root_request = match &self.root_request {
            Some(sign) => {
                let hello = client.hello().await?;
                let ask =
                    RootAsk { hello: &hello, jwk: &public, scope, alias: &self.alias, txn: Some(&self.txn) };
                Some(
                    sign(&ask).map_err(|why| {
                        ClientError::Answer(format!("no root request could be signed: {why}"))
                    })?,
                )
            }
            None => None,
        };
        let request = Renew { stream: self.stream, key: public, root_request, scope: self.scope.clone() };
        let renewed = client.renew(&self.id, &request).await?;
        Bound::new(key, &renewed.delegation, renewed.exp)
    }

    /// Records something seen beside the path. The index; nothing inside when it was counted, not recorded.
    pub(super) async fn observe(&self, what: Observe) -> Result<Option<u64>, ClientError> {
        let client = self.server_now()?;
        Ok(client.observe(&self.id, &Observe { stream: self.stream, ..what }).await?.index)
    }

    /// Remembers something that could not be recorded.
    pub(super) fn miss(&self, what: Missed, frame_digest: Option<&str>) {
        self.gaps().miss(what, (self.ambient.now_ms)(), frame_digest);
    }

    /// Tells the server what went unrecorded, if anything did and it can be told.
    pub(super) async fn report_gap(&self) {
        let Ok(client) = self.server_now() else { return };
        let log = core::mem::take(&mut *self.gaps());
        let Some(gap) = log.report(self.stream, (self.ambient.now_ms)()) else { return };
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
    pub(super) fn report_gap_soon(self: &Arc<Self>) {
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

    /// Takes the lease again, trying until the server is there; an error when the run is over.
    async fn reconnect(&self) -> (Client, Result<Lease, ClientError>) {
        let mut pause = RETRY_FIRST;
        loop {
            match self.retake().await {
                Ok((client, Err(error))) if !is_over(&error) => {
                    tracing::debug!(%error, "the lease could not be taken yet");
                    drop(client);
                }
                Ok(settled) => return settled,
                Err(why) => tracing::debug!(why, "the deeds server cannot be reached yet"),
            }
            pause = wait(pause).await;
        }
    }

    async fn retake(&self) -> Result<(Client, Result<Lease, ClientError>), String> {
        let socket = (self.connect)().await?;
        let client = Client::connect(socket).await.map_err(|error| error.to_string())?;
        let lease = client.lease(&self.id, self.stream).await;
        Ok((client, lease))
    }

    fn gaps(&self) -> MutexGuard<'_, GapLog> {
        self.gaps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Holds the lease for as long as the run is open, and takes it again whenever it was lost.
async fn keep(run: Arc<Run>, mut lease: Lease) {
    loop {
        let lost = loop {
            if let Err(error) = lease.held().await {
                break error;
            }
        };
        tracing::warn!(error = %lost, "the lease of the run is lost; calls are refused until it is back");
        let why = ClientError::Unreachable { socket: run.socket.clone(), why: lost.without_doubt() };
        run.link.send_replace(Link::Down(why));
        match run.reconnect().await {
            (client, Ok(again)) => {
                lease = again;
                run.is_reached();
                run.link.send_replace(Link::Up(client));
                run.report_gap_soon();
            }
            (client, Err(over)) => {
                tracing::warn!(error = %over, "the run is over; every further call is refused");
                run.link.send_replace(Link::Ended(client, over));
                return;
            }
        }
    }
}

/// Sleeps, and says how long to sleep the next time.
pub(super) async fn wait(pause: Duration) -> Duration {
    sleep(pause).await;
    (pause * 2).min(RETRY_MAX)
}

fn is_over(error: &ClientError) -> bool {
    matches!(error.code(), Some("run-unknown" | "run-ended"))
}

fn opening(options: &WrapOptions, key: Value, root_request: Option<String>) -> OpenRun {
    OpenRun {
        alias: options.alias.clone(),
        command: options.command.clone(),
        executable: options.about.executable.clone(),
        config: options.about.config.clone(),
        key,
        root_request,
        scope: options.scope.clone(),
        purpose: options.about.purpose.clone(),
        trigger: options.about.trigger,
        join: options.join.clone(),
        parent_pid: options.about.parent_pid,
        enforcement_point: EnforcementPoint {
            id: "deeds wrap".into(),
            version: options.about.version.clone(),
        },
    }
}

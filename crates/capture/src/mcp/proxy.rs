//! The proxy itself: two pumps, two queues, and how they start and end. What happens to each frame is said in
//! `from_client.rs` and `from_server.rs`; the answers of the server have `responses.rs`.

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::process::Child;
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::asked::Asked;
use super::attempts::Attempts;
use super::call::Going;
use super::crowd::Crowd;
use super::definitions::Definitions;
use super::facts::Facts;
use super::frame::{Flaw, Frame, Id, Line, LineReader};
use super::guests::Guests;
use super::inputs::Asks;
use super::meta::stripped;
use super::open::OpenRequests;
use super::parts::Parts;
use super::record::{Seen, Side};
use super::task_ends::{Ended, Following};
use super::tasks::TaskTable;
use super::traffic::Traffic;
use super::write::{Item, Progress, write_frames};
use super::{WrapOptions, child};
use crate::limits::{DEAF_WAIT, DECIDING_MAX, DRAIN_WAIT, EXIT_WAIT, OBSERVING_MAX, QUEUE_FRAMES};
use crate::run::tasks::Tasks;
use crate::run::{Ambient, Run};

/// One wrapped server and its client.
pub(crate) struct Proxy {
    /// The wrap's own run.
    pub(super) run: Arc<Run>,
    /// Runs for the keys of delegations that calls present.
    pub(super) guests: Guests,
    /// Calls that present no delegation are refused.
    pub(super) require_delegation: bool,
    pub(super) alias: String,
    pub(super) root_dir: Option<String>,
    /// Whether files that calls name are looked at.
    pub(super) files: bool,
    pub(super) read_fail_open: Vec<String>,
    /// Whether the server reads nothing although it was waited for.
    is_deaf: AtomicBool,
    /// At most [`DECIDING_MAX`] decisions are asked for at one time.
    pub(super) deciding: Semaphore,
    pub(super) observing: Arc<Semaphore>,
    /// Calls on their way to the server's queue.
    pub(super) calls: Tasks,
    /// Results and refusals on their way to the client's queue.
    pub(super) replies: Tasks,
    pub(super) to_client: mpsc::Sender<Item>,
    pub(super) to_server: mpsc::Sender<Item>,
    pub(super) open: Mutex<OpenRequests<Going>>,
    /// Acts that were answered with a task.
    tasks: Mutex<TaskTable<Following, Ended>>,
    /// Attempts that wait to be tried again.
    attempts: Mutex<Attempts<Asks>>,
    /// Progress of acts under way.
    parts: Mutex<Parts>,
    /// The revision agreed on with `initialize`.
    pub(super) version: Mutex<Option<String>>,
    pub(super) definitions: Mutex<Definitions>,
    pub(super) client_info: Mutex<Option<Value>>,
    /// What the server asks of its client.
    pub(super) asked: Asked,
    pub(super) facts: Facts,
    /// Frames that are dropped.
    pub(super) crowd: Crowd,
    pub(super) traffic: Mutex<Traffic>,
    /// Told when nothing that the server says is heard any more.
    hush: Notify,
}

/// The reading ends of the two queues.
pub(crate) struct Queues {
    to_client: mpsc::Receiver<Item>,
    to_server: mpsc::Receiver<Item>,
}

/// The server does not read what it is sent.
pub(super) struct Deaf;

/// The same in words.
pub(super) const DEAF: &str = "the MCP server does not read what it is sent, so this was not passed on";

/// Which side ended it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The client hung up, or this process was asked to stop.
    Closed,
    /// The server died, closed its output or stopped reading.
    ServerExited,
}

impl Proxy {
    pub(crate) fn new(options: &WrapOptions, run: Arc<Run>) -> (Arc<Self>, Queues) {
        let (to_client, client_queue) = mpsc::channel(QUEUE_FRAMES);
        let (to_server, server_queue) = mpsc::channel(QUEUE_FRAMES);
        let proxy = Self {
            guests: Guests::new(Arc::clone(&run.setting)),
            run,
            require_delegation: options.require_delegation,
            alias: options.run.alias.clone(),
            root_dir: options.root_dir.clone(),
            files: options.files,
            read_fail_open: options.read_fail_open.clone(),
            is_deaf: AtomicBool::new(false),
            deciding: Semaphore::new(DECIDING_MAX),
            observing: Arc::new(Semaphore::new(OBSERVING_MAX)),
            calls: Tasks::default(),
            replies: Tasks::default(),
            to_client,
            to_server,
            open: Mutex::default(),
            tasks: Mutex::default(),
            attempts: Mutex::default(),
            parts: Mutex::default(),
            version: Mutex::default(),
            definitions: Mutex::default(),
            client_info: Mutex::default(),
            asked: Asked::default(),
            facts: Facts::new(&options.run),
            crowd: Crowd::default(),
            traffic: Mutex::default(),
            hush: Notify::new(),
        };
        (Arc::new(proxy), Queues { to_client: client_queue, to_server: server_queue })
    }

    /// Moves frames until one side ends, then ends the other side and the run. Returns the server's exit code.
    pub(crate) async fn carry<I, O, S>(
        self: Arc<Self>,
        queues: Queues,
        mut child: Child,
        stdin: I,
        stdout: O,
        stop: S,
    ) -> i32
    where
        I: AsyncRead + Unpin + Send + 'static,
        O: AsyncWrite + Unpin + Send + 'static,
        S: Future<Output = ()>,
    {
        let started = child::started(&child);
        let mut client_writer = self.start_client_writer(queues.to_client, stdout);
        let mut server_writer = self.start_server_writer(queues.to_server, &mut child);
        let mut server_pump = self.start_server_pump(&mut child);
        let facts = tokio::spawn(Arc::clone(&self).find_out(started));
        let mut client_pump = tokio::spawn(Arc::clone(&self).pump_client(stdin));
        let end = tokio::select! {
            _ = &mut client_pump => End::Closed,
            _ = &mut client_writer => End::Closed,
            () = stop => End::Closed,
            _ = &mut server_pump => End::ServerExited,
            _ = &mut server_writer => End::ServerExited,
            _ = child.wait() => End::ServerExited,
        };
        client_pump.abort();
        if end == End::Closed {
            // what the client sent before it hung up is still decided, and forwarded where that is allowed
            self.calls.settle(DRAIN_WAIT).await;
        }
        close(&self.to_server, &mut server_writer).await;
        // Clients that hang up kill what they started within half a second, which many servers take to exit. Where
        // nothing is under way the end is recorded before that, and what the server says to nobody is not heard.
        let is_over = end == End::Closed && self.is_quiet();
        if is_over {
            // the frame that is being passed on still goes: its request is open no more
            self.hush.notify_one();
            finish_or_abort(&mut server_pump).await;
            self.end_runs(end, &facts).await;
        }
        let code = child::stop(&mut child).await;
        if !is_over {
            // what the server wrote before it exited is still in the pipe
            finish_or_abort(&mut server_pump).await;
            self.end_runs(end, &facts).await;
        }
        close(&self.to_client, &mut client_writer).await;
        self.calls.abort();
        self.replies.abort();
        self.asked.end();
        code
    }

    /// Whether the client waits for nothing: no answer, and no task to end.
    fn is_quiet(&self) -> bool {
        self.open().is_empty() && !self.tasks().is_any_open()
    }

    /// Records the outcomes of what is still open, and the end of the runs.
    async fn end_runs(self: &Arc<Self>, end: End, facts: &JoinHandle<()>) {
        self.finish_asked().await;
        self.finish_open(end).await;
        self.tell_the_rest(facts).await;
        let reason = if end == End::Closed { "closed" } else { "server-exited" };
        self.guests.end(reason).await;
        self.run.end(reason).await;
    }

    fn start_client_writer<O>(self: &Arc<Self>, queue: mpsc::Receiver<Item>, stdout: O) -> Writer
    where
        O: AsyncWrite + Unpin + Send + 'static,
    {
        let proxy = Arc::clone(self);
        tokio::spawn(async move {
            let note = |id: &Id, progress| match progress {
                Progress::Starting => proxy.asked.sending(id, (proxy.ambient().monotonic_us)()),
                Progress::NothingWritten => proxy.asked.unsent(id),
            };
            if let Err(error) = write_frames(queue, stdout, note).await {
                tracing::debug!(%error, "the client reads no more");
            }
        })
    }

    fn start_server_writer(self: &Arc<Self>, queue: mpsc::Receiver<Item>, child: &mut Child) -> Writer {
        let (proxy, stdin) = (Arc::clone(self), child.stdin.take());
        tokio::spawn(async move {
            let Some(stdin) = stdin else { return };
            let note = |id: &Id, progress| match progress {
                Progress::Starting => proxy.open().sending(id, (proxy.ambient().monotonic_us)()),
                Progress::NothingWritten => proxy.open().unsent(id),
            };
            if let Err(error) = write_frames(queue, stdin, note).await {
                tracing::warn!(%error, "the MCP server reads no more");
            }
        })
    }

    fn start_server_pump(self: &Arc<Self>, child: &mut Child) -> JoinHandle<()> {
        let (proxy, stdout) = (Arc::clone(self), child.stdout.take());
        tokio::spawn(async move {
            let Some(stdout) = stdout else { return };
            let mut lines = LineReader::new(stdout);
            loop {
                let line = tokio::select! {
                    line = lines.next() => line,
                    () = proxy.hush.notified() => return,
                };
                let Ok(Some(line)) = line else { return };
                proxy.from_server(line).await;
            }
        })
    }

    async fn pump_client<I: AsyncRead + Unpin>(self: Arc<Self>, stdin: I) {
        let mut lines = LineReader::new(stdin);
        while let Ok(Some(line)) = lines.next().await {
            if let Line::Stalled { bytes } = line {
                let why = Flaw::Stalled { bytes }.to_string();
                self.drop_frame(Seen { from: Side::Client, why, method: None, frame_digest: None });
            } else {
                self.from_client(line).await;
            }
        }
    }

    /// Records what is known of the server and its traffic, if there is still somebody to tell it to.
    async fn tell_the_rest(&self, facts: &JoinHandle<()>) {
        if self.run.server_now().is_ok() {
            self.server_is_known(&self.run).await;
            self.tell_traffic().await;
        }
        self.tell_crowd().await;
        self.crowd.end();
        facts.abort();
    }

    pub(super) async fn send_client(&self, bytes: Vec<u8>) {
        // an error means that the client is gone; whoever waits for the writer ends the wrap
        let _ = self.to_client.send(Item::plain(bytes)).await;
    }

    /// Passes a frame of the client on, byte for byte but for what in its `_meta` is meant for us. Gives it back where
    /// the server does not read.
    pub(super) async fn pass(&self, frame: Frame) -> Result<(), Frame> {
        let place = match self.server_place().await {
            Ok(place) => place,
            Err(Deaf) => return Err(frame),
        };
        let bytes = match stripped(&frame) {
            Ok(Some(clean)) => clean.into_bytes(),
            Ok(None) => frame.into_bytes(),
            // a slice of the frame is always found in it
            Err(why) => {
                tracing::error!(why, "a frame was not passed on");
                return Ok(());
            }
        };
        // without a place the server is gone; closing answers what is open
        if let Some(place) = place {
            place.send(Item::plain(bytes));
        }
        Ok(())
    }

    /// Passes a notification on.
    pub(super) async fn pass_or_drop(self: &Arc<Self>, frame: Frame, method: &str) {
        match self.pass(frame).await {
            Ok(()) => self.passes(Side::Client, method),
            Err(frame) => self.drop_frame(Seen::of(Side::Client, DEAF, &frame).method(method)),
        }
    }

    /// A place in the queue to the server for what the client sends, without which nothing more of the client is
    /// read; nothing when the server is gone. Whoever reads nothing for [`DEAF_WAIT`] is not waited for until it has
    /// read again: otherwise it would not be seen, either, that the client hangs up.
    pub(super) async fn server_place(&self) -> Result<Option<mpsc::Permit<'_, Item>>, Deaf> {
        let wait = if self.is_deaf.load(Ordering::Relaxed) { Duration::ZERO } else { DEAF_WAIT };
        let place = timeout(wait, self.server_slot()).await;
        self.is_deaf.store(place.is_err(), Ordering::Relaxed);
        place.map_err(|_| Deaf)
    }

    pub(super) async fn send_server(&self, bytes: Vec<u8>) {
        // an error means that the server is gone; closing answers what is open
        let _ = self.to_server.send(Item::plain(bytes)).await;
    }

    /// A place in the queue to the server; nothing when the server is gone.
    pub(super) async fn server_slot(&self) -> Option<mpsc::Permit<'_, Item>> {
        self.to_server.reserve().await.ok()
    }

    pub(super) fn ambient(&self) -> &Ambient {
        &self.run.setting.ambient
    }

    pub(super) fn open(&self) -> MutexGuard<'_, OpenRequests<Going>> {
        lock(&self.open)
    }

    pub(super) fn tasks(&self) -> MutexGuard<'_, TaskTable<Following, Ended>> {
        lock(&self.tasks)
    }

    pub(super) fn attempts(&self) -> MutexGuard<'_, Attempts<Asks>> {
        lock(&self.attempts)
    }

    pub(super) fn parts(&self) -> MutexGuard<'_, Parts> {
        lock(&self.parts)
    }

    pub(super) fn client_info(&self) -> Option<Value> {
        lock(&self.client_info).clone()
    }
}

type Writer = JoinHandle<()>;

/// Closes an output after what is queued, or ends its writer where nobody reads.
async fn close(queue: &mpsc::Sender<Item>, writer: &mut Writer) {
    let closed = async {
        if !writer.is_finished() && queue.send(Item::Close).await.is_ok() {
            let _ = (&mut *writer).await;
        }
    };
    if timeout(EXIT_WAIT, closed).await.is_err() {
        writer.abort();
    }
}

/// Waits for a pump that has been told to end, or has nothing left to read.
async fn finish_or_abort(pump: &mut JoinHandle<()>) {
    if !pump.is_finished() && timeout(EXIT_WAIT, &mut *pump).await.is_err() {
        pump.abort();
    }
}

pub(super) fn read(line: Line) -> Result<Frame, (Flaw, Option<String>)> {
    match line {
        Line::Complete(bytes) => Frame::parse(bytes).map_err(|rejected| {
            let digest = evidence::Digest::of(&rejected.bytes).to_string();
            (rejected.flaw, Some(digest))
        }),
        line => Err((flaw_of(&line), None)),
    }
}

/// What is wrong with a line that is not complete.
pub(super) fn flaw_of(line: &Line) -> Flaw {
    match line {
        Line::Stalled { bytes } => Flaw::Stalled { bytes: *bytes },
        Line::TooLong(_) | Line::Complete(_) => Flaw::TooLong,
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Words of the other side, bounded, for a message.
pub(super) fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

//! The proxy itself: two pumps, and what happens to each frame.
//!
//! Client to server: lifecycle, lists and known notifications pass byte for byte; `tools/call` is decided first
//! (`call.rs`); everything else is refused and recorded. Server to client: responses pass if they were asked for,
//! those to tool calls after their outcome is enqueued; known notifications pass; everything else is dropped or
//! refused, and recorded.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::process::Child;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::call::Permit;
use super::definitions::Definitions;
use super::frame::{Flaw, Frame, Id, Line, LineReader, Message};
use super::guests::Guests;
use super::members::Members;
use super::methods::{self, Route};
use super::open::{Answered, Cancel, NotOpened, OpenRequests};
use super::record::{Seen, Side};
use super::tool_call::stripped;
use super::write::{Item, Progress, write_frames};
use super::{WrapOptions, child, reply};
use crate::limits::{DECIDING_MAX, DRAIN_WAIT, EXIT_WAIT, OBSERVING_MAX, QUEUE_FRAMES, SERVER_OPEN_MAX};
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
    pub(super) read_fail_open: Vec<String>,
    /// At most [`DECIDING_MAX`] decisions are asked for at one time.
    pub(super) deciding: Semaphore,
    pub(super) observing: Arc<Semaphore>,
    /// Calls on their way to the server's queue.
    pub(super) calls: Tasks,
    /// Results and refusals on their way to the client's queue.
    pub(super) replies: Tasks,
    to_client: mpsc::Sender<Item>,
    to_server: mpsc::Sender<Item>,
    open: Mutex<OpenRequests<Permit>>,
    definitions: Mutex<Definitions>,
    client_info: Mutex<Option<Value>>,
    /// Pings of the server that the client has not answered yet.
    server_open: Mutex<HashSet<Id>>,
}

/// The reading ends of the two queues.
pub(crate) struct Queues {
    to_client: mpsc::Receiver<Item>,
    to_server: mpsc::Receiver<Item>,
}

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
            read_fail_open: options.read_fail_open.clone(),
            deciding: Semaphore::new(DECIDING_MAX),
            observing: Arc::new(Semaphore::new(OBSERVING_MAX)),
            calls: Tasks::default(),
            replies: Tasks::default(),
            to_client,
            to_server,
            open: Mutex::default(),
            definitions: Mutex::default(),
            client_info: Mutex::default(),
            server_open: Mutex::default(),
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
        let mut client_writer = start_client_writer(queues.to_client, stdout);
        let mut server_writer = self.start_server_writer(queues.to_server, &mut child);
        let mut server_pump = self.start_server_pump(&mut child);
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
        let code = child::stop(&mut child).await;
        // what the server wrote before it exited is still in the pipe
        if !server_pump.is_finished() && timeout(EXIT_WAIT, &mut server_pump).await.is_err() {
            server_pump.abort();
        }
        self.finish_open(end).await;
        let reason = if end == End::Closed { "closed" } else { "server-exited" };
        self.guests.end(reason).await;
        self.run.end(reason).await;
        close(&self.to_client, &mut client_writer).await;
        self.calls.abort();
        self.replies.abort();
        code
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
            while let Ok(Some(line)) = lines.next().await {
                proxy.from_server(line).await;
            }
        })
    }

    async fn pump_client<I: AsyncRead + Unpin>(self: Arc<Self>, stdin: I) {
        let mut lines = LineReader::new(stdin);
        while let Ok(Some(line)) = lines.next().await {
            self.from_client(line).await;
        }
    }

    // ---- client to server ----

    async fn from_client(self: &Arc<Self>, line: Line) {
        let frame = match read(line) {
            Ok(frame) => frame,
            Err((flaw, digest)) => return self.refuse_flawed(&flaw, digest).await,
        };
        match frame.message().clone() {
            Message::Request { id, method } => match methods::client_request(&method) {
                Route::Pass => self.pass_request(id, &method, frame).await,
                Route::Call => self.open_call(id, frame).await,
                Route::Refuse => self.refuse_method(id, &method, &frame).await,
            },
            Message::Notification { method } if method == methods::CANCELLED => self.cancel(frame).await,
            Message::Notification { method } if methods::client_notification(&method) => {
                self.pass(frame).await;
            }
            Message::Notification { method } => {
                let why = "this notification is not known, so it is not passed on";
                self.drop_frame(Seen::of(Side::Client, why, &frame).method(&method));
            }
            Message::Response { id, .. } => self.pass_pong(id, frame).await,
        }
    }

    async fn pass_request(self: &Arc<Self>, id: Id, method: &str, frame: Frame) {
        if method == methods::INITIALIZE {
            let info = frame.params().and_then(Members::of).and_then(|params| params.get("clientInfo"));
            *lock(&self.client_info) = info.map(super::tool_call::correlator);
        }
        match self.opened(|open| open.pass(&id, method)) {
            Ok(()) => self.pass(frame).await,
            Err(why) => self.refuse_unopened(why, &id, method, &frame).await,
        }
    }

    async fn open_call(self: &Arc<Self>, id: Id, frame: Frame) {
        match self.opened(|open| open.call(&id)) {
            Ok(()) => self.calls.spawn(Arc::clone(self).call_tool(id, frame)),
            Err(why) => self.refuse_unopened(why, &id, "tools/call", &frame).await,
        }
    }

    /// Opens a request. Where none may be opened any more, a cancelled call that never was answered makes room.
    fn opened(
        self: &Arc<Self>,
        request: impl Fn(&mut OpenRequests<Permit>) -> Result<(), NotOpened>,
    ) -> Result<(), NotOpened> {
        let opened = request(&mut self.open());
        if opened != Err(NotOpened::Full) {
            return opened;
        }
        let Some(cancelled) = self.open().give_up_cancelled() else { return opened };
        self.finish_unanswered(cancelled, End::Closed);
        request(&mut self.open())
    }

    /// A cancellation of a call that is still being decided stops here, together with the call: the server has
    /// seen neither. Any other goes on; it can not overtake its request, because both use one queue.
    async fn cancel(self: &Arc<Self>, frame: Frame) {
        let id = frame
            .params()
            .and_then(Members::of)
            .and_then(|params| params.get("requestId"))
            .and_then(Id::parse);
        let Some(id) = id else {
            let why = "a cancellation that names no request";
            return self.drop_frame(Seen::of(Side::Client, why, &frame).method(methods::CANCELLED));
        };
        let cancel = self.open().cancel(&id);
        if cancel == Cancel::Pass {
            self.pass(frame).await;
        }
    }

    async fn pass_pong(self: &Arc<Self>, id: Option<Id>, frame: Frame) {
        if id.is_some_and(|id| lock(&self.server_open).remove(&id)) {
            self.send_server(frame.into_bytes()).await;
        } else {
            self.drop_frame(Seen::of(Side::Client, "a response that the server did not ask for", &frame));
        }
    }

    async fn refuse_flawed(self: &Arc<Self>, flaw: &Flaw, digest: Option<String>) {
        let (code, why) = (flaw.code(), flaw.to_string());
        let seen = Seen { from: Side::Client, why: why.clone(), method: None, frame_digest: digest };
        self.refuse(seen, move |recorded| reply::error(None, code, &format!("{why}. {recorded}"))).await;
    }

    async fn refuse_method(self: &Arc<Self>, id: Id, method: &str, frame: &Frame) {
        let why = "this method is not decided by this version of deeds, so it does not pass";
        let text = format!("deeds refused `{}`: {why}", shown(method));
        let seen = Seen::of(Side::Client, why, frame).method(method);
        let answer =
            move |recorded: &str| reply::error(Some(&id), reply::REFUSED, &format!("{text}. {recorded}"));
        self.refuse(seen, answer).await;
    }

    /// A second request with the id of an open one is answered without an id: with it, the client would take the
    /// refusal for the answer to the first, which lives on.
    async fn refuse_unopened(self: &Arc<Self>, not_opened: NotOpened, id: &Id, method: &str, frame: &Frame) {
        let (id, code, why) = match not_opened {
            NotOpened::Duplicate => {
                (None, reply::INVALID_REQUEST, format!("a request with the id {id} is open already"))
            }
            NotOpened::Full => {
                (Some(id.clone()), reply::REFUSED, "too many requests are open; wait for answers".into())
            }
        };
        let seen = Seen::of(Side::Client, &why, frame).method(method);
        let answer = move |recorded: &str| reply::error(id.as_ref(), code, &format!("{why}. {recorded}"));
        self.refuse(seen, answer).await;
    }

    // ---- server to client ----

    async fn from_server(self: &Arc<Self>, line: Line) {
        let frame = match read(line) {
            Ok(frame) => frame,
            Err((flaw, frame_digest)) => {
                let seen = Seen { from: Side::Server, why: flaw.to_string(), method: None, frame_digest };
                return self.drop_frame(seen);
            }
        };
        match frame.message().clone() {
            Message::Response { id: Some(id), is_error } => self.answer(id, is_error, frame).await,
            Message::Response { id: None, .. } => {
                self.drop_frame(Seen::of(Side::Server, "a response that names no request", &frame));
            }
            Message::Notification { method } if methods::server_notification(&method) => {
                self.send_client(frame.into_bytes()).await;
            }
            Message::Notification { method } => {
                let why = "this notification is not known, so it is not passed on";
                self.drop_frame(Seen::of(Side::Server, why, &frame).method(&method));
            }
            Message::Request { id, method } => self.server_request(id, &method, frame).await,
        }
    }

    async fn answer(self: &Arc<Self>, id: Id, is_error: bool, frame: Frame) {
        let answered = self.open().answered(&id);
        match answered {
            Answered::Passed { method } => {
                if method == methods::TOOLS_LIST && !is_error {
                    // before the client can see the list, so that a call that follows it knows the definition
                    self.learn_definitions(&frame);
                }
                self.send_client(frame.into_bytes()).await;
            }
            Answered::Call { permit: Some(permit), cancelled, sent_us } => {
                let finish = self.outcome(&permit, &frame, cancelled, sent_us);
                self.replies.spawn(Arc::clone(self).relay(id, permit, finish, frame));
            }
            Answered::Call { permit: None, .. } => {
                self.open().relayed(&id);
                self.send_client(frame.into_bytes()).await;
            }
            Answered::Nothing => {
                self.drop_frame(Seen::of(Side::Server, "a response to a request that is not open", &frame));
            }
        }
    }

    fn learn_definitions(self: &Arc<Self>, list: &Frame) {
        let payload = {
            let mut definitions = lock(&self.definitions);
            definitions.learn(list).then(|| definitions.payload())
        };
        if let Some(payload) = payload {
            self.record_definitions(payload, list.digest());
        }
    }

    async fn server_request(self: &Arc<Self>, id: Id, method: &str, frame: Frame) {
        let passes = methods::server_request(method) && {
            let mut open = lock(&self.server_open);
            open.len() < SERVER_OPEN_MAX && open.insert(id.clone())
        };
        if passes {
            return self.send_client(frame.into_bytes()).await;
        }
        let why = "requests of a server to its client are not decided by this version of deeds, so they do not pass";
        self.drop_frame(Seen::of(Side::Server, why, &frame).method(method));
        let text = format!("deeds refused `{}`: {why}", shown(method));
        let refusal = Item::plain(reply::error(Some(&id), reply::REFUSED, &text));
        // never wait here: a server that does not read while it writes would hold up its own results
        if self.to_server.try_send(refusal).is_err() {
            tracing::debug!("a refusal to the MCP server was dropped because it does not read");
        }
    }

    // ---- shared ----

    pub(super) async fn send_client(&self, bytes: Vec<u8>) {
        // an error means that the client is gone; whoever waits for the writer ends the wrap
        let _ = self.to_client.send(Item::plain(bytes)).await;
    }

    /// Passes a frame of the client on, byte for byte but for what in its `_meta` is meant for us.
    async fn pass(&self, frame: Frame) {
        match stripped(&frame) {
            Ok(Some(clean)) => self.send_server(clean.into_bytes()).await,
            Ok(None) => self.send_server(frame.into_bytes()).await,
            // a slice of the frame is always found in it
            Err(why) => tracing::error!(why, "a frame was not passed on"),
        }
    }

    async fn send_server(&self, bytes: Vec<u8>) {
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

    pub(super) fn open(&self) -> MutexGuard<'_, OpenRequests<Permit>> {
        lock(&self.open)
    }

    pub(super) fn definition_of(&self, tool: &str) -> Option<String> {
        lock(&self.definitions).digest_of(tool)
    }

    pub(super) fn client_info(&self) -> Option<Value> {
        lock(&self.client_info).clone()
    }
}

type Writer = JoinHandle<()>;

fn start_client_writer<O>(queue: mpsc::Receiver<Item>, stdout: O) -> Writer
where
    O: AsyncWrite + Unpin + Send + 'static,
{
    tokio::spawn(async move {
        if let Err(error) = write_frames(queue, stdout, |_, _| {}).await {
            tracing::debug!(%error, "the client reads no more");
        }
    })
}

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

fn read(line: Line) -> Result<Frame, (Flaw, Option<String>)> {
    match line {
        Line::TooLong => Err((Flaw::TooLong, None)),
        Line::Complete(bytes) => Frame::parse(bytes).map_err(|rejected| {
            let digest = evidence::Digest::of(&rejected.bytes).to_string();
            (rejected.flaw, Some(digest))
        }),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Words of the other side, bounded, for a message.
pub(super) fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

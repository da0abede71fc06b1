//! A server of the API for tests. It decides by the tool's name, checks every proof of possession, and can be
//! held, made to lose an answer, stopped and started again on the same socket with the same state.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use ed25519_dalek::SigningKey;
use evidence::jws::{self, Jwk, Signed};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Bytes, Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::UnixListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};

/// One thing that happened, in order: what, and its body.
pub(crate) type Event = (String, Value);

pub(crate) const RUN: &str = "018f0000-0000-7000-8000-000000000001";
pub(crate) const TXN: &str = "018f0000-0000-7000-8000-000000000002";
pub(crate) const ISSUER: &str = "deeds://deeds.local/0000000000000000";

/// What the server does; change it at any time with [`Api::set`].
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each switch is one thing that a test turns on by name")]
pub(crate) struct Behaviour {
    /// Answers to begin wait while this is set.
    pub(crate) hold_begin: bool,
    /// The line `enqueued` waits while this is set.
    pub(crate) hold_enqueued: bool,
    /// The receipt waits while this is set.
    pub(crate) hold_receipt: bool,
    /// So many answers to begin are lost: the decision is made, the connection closes without a word.
    pub(crate) lose_begins: usize,
    /// So many answers to renewals are lost in the same way.
    pub(crate) lose_renewals: usize,
    /// Answers to observations wait while this is set.
    pub(crate) hold_observations: bool,
    /// 503 to every observation.
    pub(crate) refuse_observations: bool,
    /// Answers to definitions wait while this is set.
    pub(crate) hold_definitions: bool,
    /// What servers may ask of their clients; all else of that is denied.
    pub(crate) permits: Vec<&'static str>,
    /// Attempts that ended are not known any more.
    pub(crate) forget_attempts: bool,
    /// What is denied by policy: the part of its URI after `#`.
    pub(crate) denies: Vec<&'static str>,
    /// When delegations end, seconds.
    pub(crate) exp: u64,
    /// `run-ended` to every new lease.
    pub(crate) run_over: bool,
    /// 400 to every outcome.
    pub(crate) refuse_outcomes: bool,
    /// Where the server stands with the counter of every key.
    pub(crate) next_counter: u64,
    /// Refuses every chain that is presented, with this code and status.
    pub(crate) refuse_chains: Option<(u16, &'static str)>,
}

#[derive(Default)]
struct Log {
    /// Keys and tokens by token digest.
    keys: BTreeMap<String, Jwk>,
    tokens: BTreeMap<String, String>,
    counters: HashSet<(String, u64)>,
    /// Runs opened after the first one.
    guests: usize,
    /// First answers, by run and proof.
    decisions: BTreeMap<(String, String), Value>,
    /// Run, tool and arguments of each decision.
    attempts: BTreeMap<u64, (String, Value, Value)>,
    /// The status in which each has ended.
    statuses: BTreeMap<u64, String>,
    outcomes: BTreeMap<String, Value>,
    next_index: u64,
}

struct State {
    events: watch::Sender<Vec<Event>>,
    behaviour: watch::Sender<Behaviour>,
    log: Mutex<Log>,
    connections: Mutex<usize>,
}

pub(crate) struct Api {
    state: Arc<State>,
    path: PathBuf,
    accepting: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

impl Api {
    /// Starts listening.
    pub(crate) fn start(path: &Path) -> Self {
        let behaviour = Behaviour {
            hold_begin: false,
            hold_enqueued: false,
            hold_receipt: false,
            lose_begins: 0,
            lose_renewals: 0,
            hold_observations: false,
            refuse_observations: false,
            hold_definitions: false,
            permits: Vec::new(),
            forget_attempts: false,
            denies: Vec::new(),
            exp: 4_000_000_000,
            run_over: false,
            refuse_outcomes: false,
            next_counter: 0,
            refuse_chains: None,
        };
        let state = State {
            events: watch::Sender::new(Vec::new()),
            behaviour: watch::Sender::new(behaviour),
            log: Mutex::new(Log { next_index: 10, ..Log::default() }),
            connections: Mutex::new(0),
        };
        let mut api = Self { state: Arc::new(state), path: path.to_owned(), accepting: None };
        api.listen();
        api
    }

    /// The same server, for a second wrap.
    pub(crate) fn same(&self) -> Self {
        Self { state: Arc::clone(&self.state), path: self.path.clone(), accepting: None }
    }

    /// Path of its socket.
    pub(crate) fn path(&self) -> PathBuf {
        self.path.clone()
    }

    /// Listens (again).
    pub(crate) fn listen(&mut self) {
        let listener = UnixListener::bind(&self.path).unwrap();
        let state = Arc::clone(&self.state);
        let (stop, stopped) = oneshot::channel();
        let accepting = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            let mut stopped = pin!(async {
                if stopped.await.is_err() {
                    // nobody will stop it
                    std::future::pending::<()>().await;
                }
            });
            loop {
                let stream = tokio::select! {
                    biased;
                    () = &mut stopped => break,
                    Ok((stream, _)) = listener.accept() => stream,
                };
                *state.connections.lock().unwrap() += 1;
                let state = Arc::clone(&state);
                connections.spawn(async move {
                    let service = service_fn(|request| answer(Arc::clone(&state), request));
                    let connection = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service);
                    // an error here is a connection that a test closed
                    let _ = connection.await;
                });
            }
            connections.shutdown().await;
        });
        self.accepting = Some((stop, accepting));
    }

    /// As if killed: the socket is gone, every connection is broken.
    pub(crate) async fn stop(&mut self) {
        let (stop, accepting) = self.accepting.take().unwrap();
        stop.send(()).unwrap();
        accepting.await.unwrap();
        // gone already after `hide`
        let _ = std::fs::remove_file(&self.path);
    }

    /// Takes the socket away: no new connection, while those that are there live on.
    pub(crate) fn hide(&self) {
        std::fs::remove_file(&self.path).unwrap();
    }

    pub(crate) fn set(&self, change: impl FnOnce(&mut Behaviour)) {
        self.state.behaviour.send_modify(change);
    }

    pub(crate) fn connections(&self) -> usize {
        *self.state.connections.lock().unwrap()
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        self.state.events.borrow().clone()
    }

    /// Bodies of all events of one name.
    pub(crate) fn bodies(&self, name: &str) -> Vec<Value> {
        self.events().into_iter().filter(|(event, _)| event == name).map(|(_, body)| body).collect()
    }

    /// Waits until the `n`-th event of that name has happened; gives its body.
    pub(crate) async fn nth(&self, name: &str, n: usize) -> Value {
        let mut events = self.state.events.subscribe();
        let count = |events: &Vec<Event>| events.iter().filter(|(event, _)| event == name).count() > n;
        let waited = tokio::time::timeout(Duration::from_secs(20), events.wait_for(count)).await.map(|_| ());
        assert!(waited.is_ok(), "no event {name}[{n}] in {:#?}", self.events());
        self.bodies(name)[n].clone()
    }
}

type Answer = Result<Response<Lines>, io::Error>;

async fn answer(state: Arc<State>, request: Request<Incoming>) -> Answer {
    let (head, body) = request.into_parts();
    let api = head.headers.get("deeds-api").and_then(|value| value.to_str().ok());
    assert_eq!(api, Some("1"), "every request carries its version");
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let body: Value = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body)? };
    let path: Vec<&str> = head.uri.path().trim_start_matches('/').split('/').collect();
    let run = path.get(2).copied().unwrap_or_default();
    if head.method == Method::GET && path == ["v1", "hello"] {
        return Ok(ok(&hello()));
    }
    match path[..] {
        ["v1", "runs"] => Ok(open_run(&state, &body)),
        ["v1", "runs", _, "delegations"] => renew(&state, run, &body),
        ["v1", "runs", _, "lease"] => Ok(lease(&state, run, &body)),
        ["v1", "runs", _, "end"] => {
            state.note_in(run, "end", &body);
            Ok(ok(&json!({"index": 99})))
        }
        ["v1", "runs", _, "actions"] => begin(&state, run, body).await,
        ["v1", "runs", _, "actions", act_id, "outcome"] => outcome(&state, run, act_id, body).await,
        ["v1", "runs", _, "observations"] => {
            let subtype = body["subtype"].as_str().unwrap();
            state.note_in(run, if subtype == "frame" { "observe" } else { subtype }, &body);
            state.until(|behaviour| !behaviour.hold_observations).await;
            if state.now().refuse_observations {
                return Ok(problem(503, "log-unavailable", "the log cannot take entries now"));
            }
            Ok(ok(&json!({"index": state.log.lock().unwrap().index()})))
        }
        ["v1", "runs", _, "definitions"] => {
            state.note_in(run, "define", &body);
            state.until(|behaviour| !behaviour.hold_definitions).await;
            Ok(ok(&json!({"index": 3, "changed": []})))
        }
        ["v1", "runs", _, "artifacts"] => {
            state.note_in(run, "artifacts", &body);
            Ok(ok(&json!({"index": state.log.lock().unwrap().index()})))
        }
        ["v1", "runs", _, "gaps"] => {
            state.note_in(run, "gap", &body);
            Ok(ok(&json!({"index": state.log.lock().unwrap().index()})))
        }
        _ => Ok(problem(404, "not-found", "there is nothing at this path")),
    }
}

fn open_run(state: &State, body: &Value) -> Response<Lines> {
    let chain = &body["delegation"];
    if let (Some((status, code)), false) = (state.now().refuse_chains, chain.is_null()) {
        return problem(status, code, "the chain was refused at step link-scope: wider than its parent");
    }
    let guests = {
        let mut log = state.log.lock().unwrap();
        log.guests += 1;
        log.guests - 1
    };
    let run = if guests == 0 { RUN.to_owned() } else { guest_run(guests) };
    state.note_in(&run, "open", body);
    let delegation = state.delegation(&body["key"], chain);
    let thumbprint = Jwk::parse(&body["key"]).unwrap().thumbprint();
    let now = state.now();
    ok(&json!({
        "run": run, "stream": 2, "txn": TXN,
        "holder": {"id": "h", "inst": "i", "kind": "agent", "asr": "inferred", "key": thumbprint},
        "principal": {"kind": "unknown", "iss": ISSUER, "sub": "uid:0"},
        "grade": "issuer-only", "delegation": delegation, "exp": now.exp, "issuer": ISSUER,
        "index": 4, "lease_grace_ms": 30_000, "receipts": [], "parent": null, "next_counter": now.next_counter,
    }))
}

/// The run that is opened `n`-th after the first one.
pub(crate) fn guest_run(n: usize) -> String {
    format!("018f0000-0000-7000-8000-0000000001{n:02x}")
}

fn renew(state: &State, run: &str, body: &Value) -> Answer {
    state.note_in(run, "renew", body);
    let chain = &body["delegation"];
    if chain
        .get("ref")
        .is_some_and(|leaf| !state.log.lock().unwrap().tokens.contains_key(leaf.as_str().unwrap()))
    {
        return Ok(problem(404, "delegation-unknown", "no delegation is known by this digest"));
    }
    let delegation = state.delegation(&body["key"], chain);
    let now = state.now();
    let renewed =
        json!({"delegation": delegation, "exp": now.exp, "index": 5, "next_counter": now.next_counter});
    state.unless_lost(|behaviour| &mut behaviour.lose_renewals, &renewed)
}

fn lease(state: &State, run: &str, body: &Value) -> Response<Lines> {
    state.note_in(run, "lease", body);
    if state.now().run_over {
        return problem(409, "run-ended", "the run ended as lost");
    }
    let (lines, response) = streamed();
    tokio::spawn(async move {
        let mut beat = tokio::time::interval(Duration::from_secs(5));
        while lines.send(Bytes::from("{\"lease\":\"held\"}\n")).await.is_ok() {
            tokio::select! {
                _ = beat.tick() => {}
                () = lines.closed() => return,
            }
        }
    });
    response
}

async fn begin(state: &State, run: &str, body: Value) -> Answer {
    state.note_in(run, "begin", &body);
    state.until(|behaviour| !behaviour.hold_begin).await;
    let tool = body["tool"].as_str().unwrap().to_owned();
    if tool.ends_with("#unavailable") || tool.starts_with("run:unavailable#") {
        return Ok(problem(503, "log-unavailable", "the log cannot take entries now"));
    }
    let now = state.now();
    if now.forget_attempts && body["retry_of"].is_u64() {
        return Ok(problem(422, "invalid", "no such attempt"));
    }
    let decided = state.log.lock().unwrap().decide(run, &body, &now);
    state.note_in(run, "decided", &decided);
    state.unless_lost(|behaviour| &mut behaviour.lose_begins, &decided)
}

async fn outcome(state: &Arc<State>, run: &str, act_id: &str, body: Value) -> Answer {
    state.note_in(run, "finish", &json!({"act_id": act_id, "body": body.clone()}));
    if state.now().refuse_outcomes {
        return Ok(problem(400, "outcome-refused", "this outcome is not acceptable"));
    }
    state.until(|behaviour| !behaviour.hold_enqueued).await;
    let finished = state.log.lock().unwrap().finish(&body);
    let (lines, response) = streamed();
    let (state, run) = (Arc::clone(state), run.to_owned());
    let mut connection = JoinSet::new();
    connection.spawn(async move {
        let _ = lines.send(Bytes::from("{\"enqueued\":true}\n")).await;
        state.until(|behaviour| !behaviour.hold_receipt).await;
        if lines.send(Bytes::from(format!("{finished}\n"))).await.is_ok() {
            state.note_in(&run, "receipt", &finished);
        }
    });
    connection.detach_all();
    Ok(response)
}

impl State {
    /// What happens in another run than the first one has the name `<run> <event>`.
    fn note_in(&self, run: &str, name: &str, body: &Value) {
        let name = if run == RUN { name.to_owned() } else { format!("{run} {name}") };
        self.events.send_modify(|events| events.push((name, body.clone())));
    }

    fn now(&self) -> Behaviour {
        self.behaviour.borrow().clone()
    }

    async fn until(&self, is: impl FnMut(&Behaviour) -> bool) {
        self.behaviour.subscribe().wait_for(is).await.map(|_| ()).unwrap();
    }

    /// The answer, or a connection that closes without a word while there are answers to lose.
    fn unless_lost(&self, losses: impl Fn(&mut Behaviour) -> &mut usize, answer: &Value) -> Answer {
        let mut lost = false;
        self.behaviour.send_modify(|behaviour| {
            let left = losses(behaviour);
            lost = *left > 0;
            *left -= usize::from(lost);
        });
        if lost { Err(io::Error::other("the answer is lost")) } else { Ok(ok(answer)) }
    }

    /// Issues a delegation for a key, or takes the one presented, and remembers the key by it.
    fn delegation(&self, key: &Value, presented: &Value) -> String {
        let jwk = Jwk::parse(key).unwrap();
        let mut log = self.log.lock().unwrap();
        let issued =
            || jws::sign(jws::DELEGATION, &json!({"cnf": {"jwk": key}}), &SigningKey::from_bytes(&[3; 32]));
        let token = match (presented["chain"].as_array(), presented["ref"].as_str()) {
            (Some(chain), _) => chain.last().unwrap().as_str().unwrap().to_owned(),
            (None, Some(leaf)) => log.tokens[leaf].clone(),
            (None, None) => issued(),
        };
        let digest = Signed::parse(&token, jws::DELEGATION).unwrap().digest();
        log.keys.insert(digest.clone(), jwk);
        log.tokens.insert(digest, token.clone());
        token
    }
}

impl Log {
    fn index(&mut self) -> u64 {
        self.next_index += 1;
        self.next_index
    }

    /// Decides by the tool's name. The same act with the same proof again gets the first answer.
    fn decide(&mut self, run: &str, body: &Value, now: &Behaviour) -> Value {
        let act_id = body["act_id"].as_str().unwrap().to_owned();
        let asked = (run.to_owned(), body["pop"].as_str().unwrap().to_owned());
        if let Some(first) = self.decisions.get(&asked) {
            return first.clone();
        }
        let refused = |index: Option<u64>, step: &str, text: &str| {
            let code = if step == "policy" { "forbidden" } else { "delegation" };
            let reason = json!({"code": code, "step": step, "text": text});
            json!({"verdict": "deny", "index": index, "reason": reason, "receipt": {}})
        };
        let tool = body["tool"].as_str().unwrap();
        if tool.ends_with("#counted") {
            return refused(None, "scope", "not in the scope");
        }
        self.check_proof(body);
        self.check_retry(run, body);
        let index = self.index();
        self.attempts.insert(index, (run.to_owned(), body["tool"].clone(), body["args"].clone()));
        let answer = match tool.split_once('#').unwrap().1 {
            asked @ ("sampling/createMessage" | "elicitation/create" | "roots/list")
                if !now.permits.contains(&asked) =>
            {
                refused(Some(index), "policy", "no rule permits it")
            }
            name if now.denies.contains(&name) => refused(Some(index), "policy", "a rule forbids it"),
            "denied" => refused(Some(index), "scope", "not in the scope"),
            // of a command the alias says it
            "command/run" if tool.starts_with("run:denied#") => {
                refused(Some(index), "scope", "not in the scope")
            }
            "late" => refused(Some(index), "delegation-time", "the delegation has ended"),
            "replayed" => refused(Some(index), "pop-replayed", "the counter was used before"),
            _ => json!({"verdict": "allow", "index": index, "act_id": act_id, "class": {},
                "capture": {"args": "sealed", "result": "sealed"}, "receipt": {}}),
        };
        self.decisions.insert(asked, answer.clone());
        answer
    }

    /// A retry names the decision of an earlier attempt of the same, whose outcome was that it needs input.
    fn check_retry(&self, run: &str, body: &Value) {
        let Some(retried) = body["retry_of"].as_u64() else { return };
        assert_eq!(self.attempts[&retried], (run.to_owned(), body["tool"].clone(), body["args"].clone()));
        assert_eq!(self.statuses[&retried], "input-required");
    }

    fn check_proof(&mut self, body: &Value) {
        let signed = Signed::parse(body["pop"].as_str().unwrap(), jws::POP).unwrap();
        let delegation = body["delegation"].as_str().unwrap();
        let claims = signed.verify(&self.keys[delegation]).unwrap();
        let args = body["args"].as_str().unwrap_or("{}");
        let args = evidence::json::jcs(&evidence::json::parse(args.as_bytes()).unwrap());
        let digest = evidence::base64url::encode(&evidence::Digest::of(&args).0);
        assert_eq!(claims["aud"], ISSUER);
        assert_eq!(claims["gth"], delegation);
        assert_eq!(claims["tool"], body["tool"]);
        assert_eq!(claims["act_id"], body["act_id"]);
        assert_eq!(claims["hta_s256"], digest);
        let fresh = self.counters.insert((signed.kid().to_owned(), claims["ctr"].as_u64().unwrap()));
        assert!(fresh, "a counter is used once");
    }

    /// Records an outcome once; the same event again gets the same receipt.
    fn finish(&mut self, body: &Value) -> Value {
        let event = body["event_id"].as_str().unwrap().to_owned();
        if let Some(first) = self.outcomes.get(&event) {
            return first.clone();
        }
        let (decision, status) = (body["decision"].as_u64().unwrap(), body["status"].as_str().unwrap());
        let before = self.statuses.insert(decision, status.to_owned());
        assert_eq!(before, None, "a decision has one outcome");
        let finished = json!({"index": self.index(), "receipt": {"event": event}});
        self.outcomes.insert(event, finished.clone());
        finished
    }
}

fn hello() -> Value {
    json!({"server": "deeds", "version": "0.0.0", "api": 1, "pid": 1, "origin": "deeds.local/0000000000000000",
        "log_id": "00", "log_vkey": "v", "issuer": ISSUER, "tenant": "local", "issuer_key": {},
        "policy": {"digest": "d", "source": "starter"}, "size": 2, "published": 2, "policy_warnings": []})
}

fn ok(body: &Value) -> Response<Lines> {
    Response::new(Lines::whole(body))
}

fn problem(status: u16, code: &str, detail: &str) -> Response<Lines> {
    let body = json!({"type": format!("urn:deeds:error:{code}"), "title": code, "status": status, "code": code,
        "detail": detail});
    Response::builder().status(status).body(Lines::whole(&body)).unwrap()
}

fn streamed() -> (mpsc::Sender<Bytes>, Response<Lines>) {
    let (lines, source) = mpsc::channel(4);
    (lines, Response::new(Lines(source)))
}

/// A body that is sent as it comes.
struct Lines(mpsc::Receiver<Bytes>);

impl Lines {
    fn whole(body: &Value) -> Self {
        let (lines, source) = mpsc::channel(1);
        lines.try_send(Bytes::from(body.to_string())).unwrap();
        Self(source)
    }
}

impl Body for Lines {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        self.0.poll_recv(context).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }
}

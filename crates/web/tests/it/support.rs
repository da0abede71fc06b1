//! A server on a temporary directory, and what a wrap sends to it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use capture::api::{self, Begin, Finish, OpenedRun};
use capture::client::Client;
use ed25519_dalek::SigningKey;
use evidence::delegation::{Pop, args_digest};
use evidence::id::{self, Id};
use evidence::jws::{self, Jwk, Signed};
use evidence::{Digest, Status};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use lineage::{Index, Opener};
use policy::PolicySet;
use recorder::{Keys, Parts, Peer, Recorder, RecorderError};
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::{HandClock, SeededRandom};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use web::{About, AppState, Limits, Shutdown};
use zeroize::Zeroizing;

pub(crate) const START_MS: u64 = 1_795_000_000_000;
pub(crate) const KEK: [u8; 32] = [3; 32];
/// Nothing in these tests takes this long; what does hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Wall and monotonic time by hand.
#[derive(Clone)]
pub(crate) struct Hands(HandClock);

impl recorder::Clock for Hands {
    fn wall_ms(&self) -> u64 {
        self.0.now_ms()
    }

    fn monotonic_ms(&self) -> u64 {
        self.0.now_ms() - START_MS
    }
}

struct Seeded(Mutex<SeededRandom>);

impl recorder::Entropy for Seeded {
    fn fill(&self, buffer: &mut [u8]) {
        self.0.lock().unwrap().fill(buffer);
    }
}

pub(crate) struct Bench {
    pub(crate) recorder: Recorder,
    pub(crate) clock: HandClock,
    pub(crate) shutdown: Shutdown,
    pub(crate) serving: JoinHandle<()>,
    pub(crate) socket: PathBuf,
    pub(crate) dir: TempDir,
    pub(crate) held: Arc<Held>,
    index: Arc<Index>,
    random: Mutex<SeededRandom>,
}

/// An activation of the policy `/held` tells that it has begun, and ends when it is let go.
#[derive(Default)]
pub(crate) struct Held {
    pub(crate) begun: Notify,
    pub(crate) go: Notify,
}

pub(crate) fn log_key() -> SigningKey {
    SigningKey::from_bytes(&[1; 32])
}

pub(crate) async fn bench() -> Bench {
    bench_with(Limits::default()).await
}

pub(crate) async fn bench_with(limits: Limits) -> Bench {
    let dir = tempfile::tempdir().unwrap();
    let clock = HandClock::at(START_MS);
    let parts = Parts {
        data: dir.path().to_owned(),
        keys: Keys { log: log_key(), issuer: SigningKey::from_bytes(&[2; 32]), kek: Zeroizing::new(KEK) },
        clock: Arc::new(Hands(clock.clone())),
        entropy: Arc::new(Seeded(Mutex::new(SeededRandom::new(1)))),
        policy: Some((PolicySet::starter().unwrap(), "starter".into())),
        peer: Peer { uid: 1000, pid: Some(42) },
        segment_bytes: None,
    };
    let recorder = Recorder::open(parts).await.unwrap();
    let index = Index::open(&dir.path().join("index.sqlite"), recorder.reader(), Opener::new(KEK)).unwrap();
    let index = Arc::new(index);
    let shutdown = Shutdown::default();
    follow(Arc::clone(&index), shutdown.clone());
    let socket = dir.path().join("deeds.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let held = Arc::new(Held::default());
    let random = Mutex::new(SeededRandom::new(2));
    let serving = tokio::spawn(async {});
    let mut bench = Bench { recorder, clock, shutdown, serving, socket, dir, held, index, random };
    let (router, shutdown) = (bench.router(limits.clone()), bench.shutdown.clone());
    bench.serving = tokio::spawn(web::serve_unix(listener, router, Vec::new(), limits, shutdown));
    bench
}

fn follow(index: Arc<Index>, shutdown: Shutdown) {
    std::thread::spawn(move || {
        while !shutdown.has_begun() {
            let applied = index.applied();
            if index.reader().wait_size_above(applied, Duration::from_millis(100)) > applied {
                index.fold(1_000).unwrap();
            }
        }
    });
}

fn activation(recorder: &Recorder, held: &Arc<Held>) -> web::Activate {
    let (recorder, held) = (recorder.clone(), Arc::clone(held));
    Arc::new(move |dir, peer| {
        let (recorder, held) = (recorder.clone(), Arc::clone(&held));
        Box::pin(async move {
            if dir == Path::new("/held") {
                held.begun.notify_one();
                held.go.notified().await;
                return recorder.policy();
            }
            let set = PolicySet::load(&dir).map_err(|error| RecorderError::Policy(error.to_string()))?;
            recorder.activate(Arc::new(set), &dir.display().to_string(), peer).await
        })
    })
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.shutdown.begin();
        // before its directory goes
        self.recorder.close();
    }
}

/// One answer, whole.
pub(crate) struct Got {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Got {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.body)))
    }

    /// Status and code of a problem document, which is well-formed.
    pub(crate) fn problem(&self) -> (u16, String) {
        assert_eq!(self.headers.get("content-type").unwrap(), api::PROBLEM_JSON, "{:?}", self.body);
        let problem: api::Problem = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(problem.status, self.status.as_u16());
        assert_eq!(problem.kind, format!("urn:deeds:error:{}", problem.code));
        assert!(!problem.title.is_empty() && !problem.detail.is_empty());
        (problem.status, problem.code)
    }
}

pub(crate) type Connection = SendRequest<Full<Bytes>>;

pub(crate) async fn dial(socket: &Path) -> Connection {
    let stream = UnixStream::connect(socket).await.unwrap();
    let (sender, driver) = handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(driver);
    sender
}

pub(crate) fn request(method: &str, path: &str, body: &[u8]) -> Request<Full<Bytes>> {
    Request::builder()
        .method(method)
        .uri(path)
        .header("host", "deeds")
        .header(api::API_HEADER, api::API_VERSION)
        .body(Full::new(Bytes::copy_from_slice(body)))
        .unwrap()
}

pub(crate) async fn whole(response: Response<Incoming>) -> Got {
    let (status, headers) = (response.status(), response.headers().clone());
    let body = tokio::time::timeout(PATIENCE, response.into_body().collect()).await.unwrap().unwrap();
    Got { status, headers, body: body.to_bytes() }
}

impl Bench {
    /// The paths of a server on this log, which remembers nothing of another one.
    pub(crate) fn router(&self, limits: Limits) -> axum::Router {
        web::router(AppState::new(web::Parts {
            recorder: self.recorder.clone(),
            index: Arc::clone(&self.index),
            clock: Arc::new(Hands(self.clock.clone())),
            activate: activation(&self.recorder, &self.held),
            about: About {
                version: "1.2.3".into(),
                pid: std::process::id(),
                log_vkey: store::log_vkey(&self.recorder.names().origin, &log_key().verifying_key()).unwrap(),
                policy_at_start: None,
            },
            limits,
            shutdown: self.shutdown.clone(),
        }))
    }

    pub(crate) async fn client(&self) -> Client {
        Client::connect(self.socket.clone()).await.unwrap()
    }

    /// One request on a connection of its own.
    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Got {
        let mut connection = dial(&self.socket).await;
        whole(connection.send_request(request).await.unwrap()).await
    }

    pub(crate) async fn get(&self, path: &str) -> Got {
        self.send(request("GET", path, b"")).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Got {
        self.send(request("POST", path, body.to_string().as_bytes())).await
    }

    pub(crate) fn new_id(&self) -> Id {
        id::uuid_v7(self.clock.now_ms(), &self.random.lock().unwrap().array())
    }

    pub(crate) fn now_s(&self) -> u64 {
        self.clock.now_ms() / 1_000
    }

    /// A wrap of `fs` with an open run.
    pub(crate) async fn wrap(&self, seed: u8) -> Wrap {
        let key = SigningKey::from_bytes(&[seed; 32]);
        let opened = self.client().await.open_run(&opening(&key, "fs", None)).await.unwrap();
        Wrap { key, opened, counter: 0 }
    }

    /// An entry's field, opened.
    pub(crate) fn field(&self, index: u64, name: &str) -> Option<Value> {
        Opener::new(KEK).open(&self.recorder.reader(), index).unwrap().value(name)
    }

    /// Registers a person whose key is `[seed; 32]`.
    pub(crate) async fn register(&self, sub: &str, seed: u8) -> SigningKey {
        let key = SigningKey::from_bytes(&[seed; 32]);
        let got = self.post("/v1/principals", &self.registration(sub, &key)).await;
        assert_eq!(got.status, StatusCode::CREATED, "{:?}", got.body);
        key
    }

    pub(crate) fn registration(&self, sub: &str, key: &SigningKey) -> Value {
        let claims = json!({"aud": self.recorder.names().issuer, "sub": sub, "iat": self.now_s()});
        json!({"kind": "human", "sub": sub, "key": Jwk::of(key).to_json(), "display": {"name": "Ana"},
            "proof": jws::sign(jws::KEY_PROOF, &claims, key)})
    }
}

pub(crate) fn opening(key: &SigningKey, alias: &str, join: Option<&str>) -> api::OpenRun {
    api::OpenRun {
        alias: alias.into(),
        scheme: api::Scheme::Stdio,
        command: vec!["server-filesystem".into(), ".".into()],
        executable: None,
        config: None,
        key: Jwk::of(key).to_json(),
        root_request: None,
        scope: None,
        purpose: "tests".into(),
        trigger: Some(api::Trigger::Human),
        join: join.map(str::to_owned),
        parent_pid: std::os::unix::process::parent_id(),
        enforcement_point: api::EnforcementPoint { id: "deeds wrap".into(), version: "9".into() },
        delegation: None,
        handoff: None,
        parent: None,
    }
}

/// What a wrap knows of its run.
pub(crate) struct Wrap {
    pub(crate) key: SigningKey,
    pub(crate) opened: OpenedRun,
    pub(crate) counter: u64,
}

impl Wrap {
    pub(crate) fn run(&self) -> &str {
        &self.opened.run
    }

    pub(crate) fn path(&self, rest: &str) -> String {
        format!("/v1/runs/{}/{rest}", self.opened.run)
    }

    /// A call with a fresh proof.
    pub(crate) fn call(&mut self, bench: &Bench, tool: &str, args: &Value) -> Begin {
        self.call_of(bench, tool, args, bench.new_id())
    }

    /// The same of an act that has its id.
    pub(crate) fn call_of(&mut self, bench: &Bench, tool: &str, args: &Value, act_id: Id) -> Begin {
        let tool = format!("stdio:fs#{tool}");
        let leaf = Signed::parse(&self.opened.delegation, jws::DELEGATION).unwrap().digest();
        let pop = Pop {
            jti: self.counter.to_string(),
            iat: bench.now_s(),
            exp: bench.now_s() + 60,
            audience: self.opened.issuer.clone(),
            leaf: leaf.clone(),
            tool: tool.clone(),
            args_digest: args_digest(args.as_object().unwrap()),
            act_id,
            counter: self.counter,
        };
        self.counter += 1;
        Begin {
            stream: self.opened.stream,
            act_id: id::text(&act_id),
            operation: "tools/call".into(),
            tool,
            args: Some(args.to_string()),
            frame_digest: Digest::of(args.to_string().as_bytes()).to_string(),
            sent_frame_digest: None,
            definition_digest: None,
            delegation: Some(leaf),
            pop: Some(pop.sign(&self.key)),
            carrier: None,
            root_dir: Some("/work".into()),
            correlators: json!({"client": "test"}),
            inputs: capture::api::Artifacts::default(),
            batch: None,
            retry_of: None,
        }
    }

    pub(crate) fn outcome(&self, bench: &Bench, decision: u64, result: &str) -> Finish {
        Finish {
            stream: self.opened.stream,
            event_id: id::text(&bench.new_id()),
            decision,
            status: Status::Ok,
            result: Some(result.into()),
            result_digest: Some(Digest::of(result.as_bytes()).to_string()),
            result_size: result.len() as u64,
            frame_digest: None,
            duration_us: 7,
            detail: None,
            outputs: api::Artifacts::default(),
            parts: None,
            sent_frame_digest: None,
        }
    }
}

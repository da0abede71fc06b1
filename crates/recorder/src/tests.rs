//! The recorder over a real store: real files, real syncs, a hand clock.

mod acts;
mod attacks;
mod attempts;
mod audited;
mod authority;
mod defined;
mod handover;
mod hostile;
mod issuing;
mod limits_hold;
mod lives;
mod making;
mod ordered;
mod pinned;
mod presented;
mod proofs;
mod rebuilt;
mod things;
mod times;

use std::path::Path;
use std::sync::{Arc, Mutex};

use ed25519_dalek::SigningKey;
use evidence::artifact::Artifacts;
use evidence::delegation::{Pop, RootRequest, args_digest};
use evidence::id::{self, Id};
use evidence::jws::{self, Jwk};
use evidence::principal::PrincipalKind;
use evidence::tool::Scheme;
use evidence::{Digest, Entry, FieldSet, Kind, Scope};
use policy::PolicySet;
use serde_json::{Value, json};
use testkit::{HandClock, SeededRandom};
use zeroize::Zeroizing;

use super::*;

pub(crate) const START_MS: u64 = 1_795_000_000_000;
pub(crate) const PEER: Peer = Peer { uid: 1000, pid: Some(42) };
pub(crate) const AGENT_KEY: [u8; 32] = [7; 32];

/// Wall and monotonic time by hand.
#[derive(Clone)]
pub(crate) struct Hands {
    pub(crate) wall: HandClock,
    pub(crate) monotonic: HandClock,
}

impl Hands {
    pub(crate) fn advance(&self, ms: u64) {
        self.wall.advance(ms);
        self.monotonic.advance(ms);
    }
}

impl Clock for Hands {
    fn wall_ms(&self) -> u64 {
        self.wall.now_ms()
    }

    fn monotonic_ms(&self) -> u64 {
        self.monotonic.now_ms()
    }
}

struct Seeded(Mutex<SeededRandom>);

impl Entropy for Seeded {
    fn fill(&self, buffer: &mut [u8]) {
        self.0.lock().unwrap().fill(buffer);
    }
}

/// A recorder on a directory, and what a wrap would hold.
pub(crate) struct Bench {
    pub(crate) recorder: Recorder,
    pub(crate) clock: Hands,
}

pub(crate) async fn bench(directory: &Path) -> Bench {
    let clock = Hands { wall: HandClock::at(START_MS), monotonic: HandClock::at(1_000) };
    reopened(directory, clock).await
}

pub(crate) async fn reopened(directory: &Path, clock: Hands) -> Bench {
    let seed = format!("{}-{}", clock.wall_ms(), clock.monotonic_ms());
    let parts = Parts {
        data: directory.to_owned(),
        keys: Keys {
            log: SigningKey::from_bytes(&[1; 32]),
            issuer: SigningKey::from_bytes(&[2; 32]),
            kek: Zeroizing::new([3; 32]),
        },
        clock: Arc::new(clock.clone()),
        entropy: Arc::new(Seeded(Mutex::new(SeededRandom::named(&seed)))),
        policy: None,
        peer: PEER,
        segment_bytes: None,
    };
    Bench { recorder: Recorder::open(parts).await.unwrap(), clock }
}

pub(crate) fn agent_key() -> SigningKey {
    SigningKey::from_bytes(&AGENT_KEY)
}

pub(crate) fn open_fs() -> OpenRun {
    OpenRun {
        server: Server {
            scheme: Scheme::Stdio,
            alias: "fs".into(),
            command: vec!["server-filesystem".into(), ".".into()],
            executable: None,
            config: None,
        },
        key: Jwk::of(&agent_key()),
        root_request: None,
        scope: None,
        purpose: "tests".into(),
        trigger: None,
        join: None,
        client: Client { pid: Some(7), start: Some(99), exe: Some("/usr/bin/agent".into()) },
        delegation: None,
        handoff: None,
        parent: None,
    }
}

impl Bench {
    pub(crate) async fn run(&self) -> Opened {
        self.recorder.open_run(open_fs(), PEER).await.unwrap()
    }

    /// A call as a wrap makes it, with a fresh proof.
    pub(crate) fn call(&self, run: &Opened, tool: &str, args: &Value, counter: u64) -> Request {
        let act_id = self.recorder.new_id();
        self.call_of(run, tool, args, counter, act_id)
    }

    pub(crate) fn call_of(
        &self,
        run: &Opened,
        tool: &str,
        args: &Value,
        counter: u64,
        act_id: Id,
    ) -> Request {
        let tool = format!("stdio:fs#{tool}");
        let digest = jws::Signed::parse(&run.renewal.token, jws::DELEGATION).unwrap().digest();
        let now = self.clock.wall_ms() / 1_000;
        let pop = Pop {
            jti: format!("{counter}"),
            iat: now,
            exp: now + 60,
            audience: self.recorder.names().issuer.clone(),
            leaf: digest.clone(),
            tool: tool.clone(),
            args_digest: args_digest(args.as_object().unwrap()),
            act_id,
            counter,
        };
        Request {
            run: run.run,
            stream: run.stream,
            act_id,
            operation: "tools/call".into(),
            tool,
            args: Some(args.to_string()),
            frame_digest: Digest::of(args.to_string().as_bytes()).to_string(),
            sent_frame_digest: None,
            definition_digest: None,
            delegation: digest,
            pop: pop.sign(&agent_key()),
            carrier: Carrier::Wrap,
            root_dir: Some("/work".into()),
            correlators: json!({}),
            enforcement_point: json!({"id": "test", "version": "0"}),
            inputs: Artifacts::default(),
            batch: None,
            retry_of: None,
            malformed: None,
        }
    }

    pub(crate) async fn allowed(&self, request: Request) -> Permit {
        match self.recorder.begin(request, PEER).await.unwrap() {
            Answer::Allowed(permit) => permit,
            Answer::Refused(refusal) => panic!("refused: {refusal:?}"),
        }
    }

    pub(crate) async fn refused(&self, request: Request) -> Refusal {
        match self.recorder.begin(request, PEER).await.unwrap() {
            Answer::Allowed(permit) => panic!("allowed: {permit:?}"),
            Answer::Refused(refusal) => refusal,
        }
    }

    pub(crate) fn outcome(&self, status: evidence::Status) -> Outcome {
        Outcome::bare(self.recorder.new_id(), status)
    }

    /// An entry and its opened fields.
    pub(crate) fn entry(&self, index: u64) -> (Entry, FieldSet) {
        let reader = self.recorder.reader();
        let entry = Entry::decode(&reader.entry(index).unwrap()).unwrap();
        let store::KeySlot::Present(wrapped) = reader.key(index).unwrap() else { panic!("no key") };
        let log_id = if index == 0 { [0; 32] } else { self.recorder.names().log_id };
        let key = evidence::body::unwrap_key(&wrapped, &[3; 32], &log_id, &entry.event_id).unwrap();
        let binding = evidence::body::Binding {
            log_id: &log_id,
            event_id: &entry.event_id,
            fields_root: &entry.fields_root,
        };
        let fields =
            evidence::body::open(&reader.body(index).unwrap().unwrap(), &key, entry.fields, binding).unwrap();
        (entry, fields)
    }

    pub(crate) fn field(&self, index: u64, name: &str) -> Option<Value> {
        let (entry, fields) = self.entry(index);
        fields.get(entry.kind().unwrap(), name).map(|text| serde_json::from_str(text).unwrap())
    }

    pub(crate) fn kinds(&self) -> Vec<Kind> {
        (0..self.recorder.reader().size()).map(|index| self.entry(index).0.kind().unwrap()).collect()
    }
}

/// Registers a person whose key is `[seed; 32]`; gives the key.
pub(crate) async fn register(bench: &Bench, sub: &str, seed: u8) -> SigningKey {
    register_as(bench, PrincipalKind::Human, sub, seed).await
}

pub(crate) async fn register_as(bench: &Bench, kind: PrincipalKind, sub: &str, seed: u8) -> SigningKey {
    let key = SigningKey::from_bytes(&[seed; 32]);
    let claims =
        json!({"aud": bench.recorder.names().issuer, "sub": sub, "iat": bench.clock.wall_ms() / 1_000});
    let proof = jws::sign(jws::KEY_PROOF, &claims, &key);
    let jwk = Jwk::of(&key).to_json();
    let sub = sub.to_owned();
    let registration = Registration { kind, sub, key: jwk, proof, display: None };
    bench.recorder.register_principal(&registration, PEER).await.unwrap();
    key
}

pub(crate) fn root_request(bench: &Bench, key: &SigningKey, scope: &Value) -> String {
    let now = bench.clock.wall_ms() / 1_000;
    RootRequest {
        jti: id::text(&bench.recorder.new_id()),
        key: Jwk::of(key).thumbprint(),
        audience: bench.recorder.names().issuer.clone(),
        iat: now,
        exp: now + 300,
        cnf: Jwk::of(&agent_key()),
        max_depth: 0,
        scope: Scope::parse(scope).unwrap(),
        ttl: 3_600,
        tenant: "local".into(),
        txn: None,
        purpose: "tests".into(),
        holder: Some(("containment-agent".into(), PrincipalKind::Agent)),
        why: None,
        intent: None,
        approvals: None,
        mandate: None,
    }
    .sign(key)
}

//! What it costs to get a permit: `begin` on a real store, under a chain of three links, with a policy of 100 rules.
//! Beside it stands what one write and fdatasync of 4 KiB cost in the same directory, in the same run: a decision is
//! durable before the act, so no permit can be had for less.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench that cannot be set up should stop there"
)]

#[path = "../../verify/benches/measure/mod.rs"]
mod measure;

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ed25519_dalek::SigningKey;
use evidence::artifact::Artifacts;
use evidence::delegation::{Narrowing, Pop, RootRequest, args_digest, delegate};
use evidence::id::{self, Id};
use evidence::jws::{self, Jwk};
use evidence::principal::PrincipalKind;
use evidence::tool::Scheme;
use evidence::{Digest, Scope, Status};
use measure::Times;
use policy::{
    ActionRequest, PolicyFile, PolicySet, RequestAgent, RequestDelegation, RequestPrincipal, Verdict,
};
use recorder::{
    Answer, Carrier, Client, Clock, Entropy, Keys, OpenRun, Opened, Outcome, Parts, Peer, Presented,
    Recorder, Registration, Request, Server,
};
use serde_json::{Value, json};
use testkit::signing_key;
use zeroize::Zeroizing;

const PEER: Peer = Peer { uid: 1_000, pid: Some(42) };
const SERVER: &str = "stdio:edr";
const LINKS: usize = 3;
const SYNCS: usize = 200;

/// The time of the machine: a store that works at full speed needs a clock that moves.
struct Real(Instant);

impl Clock for Real {
    fn wall_ms(&self) -> u64 {
        now_ms()
    }

    fn monotonic_ms(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_millis()).unwrap()
    }
}

#[expect(clippy::disallowed_methods, reason = "a bench gives the recorder the time that a server would")]
fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

fn now_s() -> u64 {
    now_ms() / 1_000
}

fn new_id() -> Id {
    let mut random = [0; 10];
    getrandom::fill(&mut random).unwrap();
    id::uuid_v7(now_ms(), &random)
}

struct System;

impl Entropy for System {
    fn fill(&self, buffer: &mut [u8]) {
        getrandom::fill(buffer).unwrap();
    }
}

/// 100 rules: three that concern every act, the others for other tools, paths and people, as they are in a set that
/// has grown. All are evaluated for every act.
fn policy() -> PolicySet {
    let floor = "@id(\"allow\") permit (principal, action in Deeds::Action::\"act\", resource);
        @id(\"depth\") forbid (principal, action, resource)
          unless { context.delegation.depth <= context.delegation.max_depth };
        @id(\"expired\") forbid (principal, action, resource)
          unless { context.run.now < context.delegation.expires };\n";
    let others = (0..97).map(|n| format!("@id(\"rule-{n}\") forbid {};\n", rule(n)));
    let text = core::iter::once(floor.to_owned()).chain(others).collect();
    PolicySet::from_files(vec![PolicyFile { path: "bench.cedar".into(), text }]).unwrap()
}

fn rule(n: usize) -> String {
    match n % 4 {
        0 => format!("(principal, action, resource == Deeds::Tool::\"stdio:other#tool-{n}\")"),
        1 => format!("(principal, action, resource in Deeds::Server::\"https://service-{n}.example/mcp\")"),
        2 => format!(
            "(principal, action, resource) when {{ context.args.hasTag(\"path.norm\") && \
             context.args.getTag(\"path.norm\") like \"/srv/secret-{n}/*\" }}"
        ),
        _ => format!(
            "(principal, action, resource in Deeds::Class::\"external\") when {{ \
             principal.on_behalf_of.sub == \"person-{n}\" && context.delegation.depth > 0 }}"
        ),
    }
}

/// Somebody who acts: a chain of [`LINKS`] links from a person to its key, and an open run under it.
struct Caller {
    recorder: Recorder,
    key: SigningKey,
    opened: Opened,
    args: Value,
    counter: u64,
}

impl Caller {
    async fn new(recorder: &Recorder, person: &SigningKey, number: usize) -> Self {
        let holder = |depth: usize| signing_key(&format!("holder {number}, {depth}"));
        let now = now_s();
        let request = RootRequest {
            jti: id::text(&new_id()),
            key: Jwk::of(person).thumbprint(),
            audience: recorder.names().issuer.clone(),
            iat: now,
            exp: now + 300,
            cnf: Jwk::of(&holder(0)),
            max_depth: 8,
            scope: scope(0),
            ttl: 3_600,
            tenant: recorder.names().tenant.clone(),
            txn: None,
            purpose: "contain the infection of IR-4711".into(),
            holder: Some((format!("responder-{number}"), PrincipalKind::Agent)),
            why: None,
            intent: None,
            approvals: None,
            mandate: None,
        };
        let mut tokens = vec![recorder.issue(&request.sign(person), PEER).await.unwrap().token];
        for depth in 1..LINKS {
            let narrowing = Narrowing {
                jti: new_id(),
                iat: now,
                ttl: 3_600,
                cnf: Jwk::of(&holder(depth)),
                max_depth: None,
                scope: Some(scope(depth)),
                purpose: None,
                holder: (format!("responder-{number}/{depth}"), PrincipalKind::Agent, number.to_string()),
                handoff: None,
                approvals: None,
            };
            tokens.push(delegate(&tokens, &holder(depth - 1), &narrowing).unwrap());
        }
        let key = holder(LINKS - 1);
        let opened = recorder.open_run(run_under(tokens, &key), PEER).await.unwrap();
        Self { recorder: recorder.clone(), key, opened, args: arguments(), counter: 0 }
    }

    /// The next act, with its proof: the caller's part, which is not measured.
    fn request(&mut self) -> Request {
        let (tool, act_id) = (format!("{SERVER}#isolate_host"), new_id());
        let (now, text) = (now_s(), self.args.to_string());
        let pop = Pop {
            jti: format!("{:016x}", self.counter),
            iat: now,
            exp: now + 60,
            audience: self.opened.renewal.issuer.clone(),
            leaf: self.opened.renewal.digest.clone(),
            tool: tool.clone(),
            args_digest: args_digest(self.args.as_object().unwrap()),
            act_id,
            counter: self.opened.renewal.next_counter + self.counter,
        };
        self.counter += 1;
        Request {
            run: self.opened.run,
            stream: self.opened.stream,
            act_id,
            operation: "tools/call".into(),
            tool,
            frame_digest: Digest::of(text.as_bytes()).to_string(),
            args: Some(text),
            sent_frame_digest: None,
            definition_digest: None,
            delegation: pop.leaf.clone(),
            pop: pop.sign(&self.key),
            carrier: Carrier::Wrap,
            root_dir: None,
            correlators: json!({"request_id": self.counter}),
            enforcement_point: json!({"id": "bench", "version": "0"}),
            inputs: Artifacts::default(),
            batch: None,
            retry_of: None,
            malformed: None,
        }
    }

    /// `begin` until the permit, for each of `count` acts; each is finished, durably, before the next begins.
    async fn acts(&mut self, count: usize) -> Vec<Duration> {
        let mut times = Vec::with_capacity(count);
        for _ in 0..count {
            let request = self.request();
            let start = measure::now();
            let answer = self.recorder.begin(request, PEER).await.unwrap();
            times.push(start.elapsed());
            let Answer::Allowed(permit) = answer else { unreachable!("every act here is allowed") };
            let outcome = Outcome::bare(new_id(), Status::Ok);
            permit.finish(outcome).unwrap().wait().await.unwrap();
        }
        times
    }
}

fn arguments() -> Value {
    json!({"host": "ws-01.corp.example", "reason": "IR-4711: beacon to 203.0.113.9", "ttl_minutes": 60})
}

fn scope(depth: usize) -> Scope {
    let hosts: Vec<String> = (0..10 - depth).map(|n| format!("ws-{n:02}.corp.example")).collect();
    let tools = json!({format!("{SERVER}#isolate_host"): {
        "host": {"constraint_type": "one_of", "values": hosts},
        "reason": {"constraint_type": "prefix", "prefix": "IR-4711"},
        "ttl_minutes": {"constraint_type": "range", "min": 5, "max": 240 - 10 * depth},
    }});
    Scope::parse(&tools).unwrap()
}

fn run_under(tokens: Vec<String>, key: &SigningKey) -> OpenRun {
    OpenRun {
        server: Server {
            scheme: Scheme::Stdio,
            alias: "edr".into(),
            command: vec!["edr-mcp".into()],
            executable: None,
            config: None,
        },
        key: Jwk::of(key),
        root_request: None,
        scope: None,
        purpose: "bench".into(),
        trigger: None,
        join: None,
        client: Client { pid: Some(7), start: Some(99), exe: Some("/usr/bin/agent".into()) },
        delegation: Some(Presented::Chain(tokens)),
        handoff: None,
        parent: None,
    }
}

async fn open(data: &Path) -> Recorder {
    let keys = Keys { log: signing_key("log"), issuer: signing_key("issuer"), kek: Zeroizing::new([3; 32]) };
    let parts = Parts {
        data: data.to_owned(),
        keys,
        clock: Arc::new(Real(measure::now())),
        entropy: Arc::new(System),
        policy: Some((policy(), "bench".into())),
        peer: PEER,
        segment_bytes: None,
    };
    Recorder::open(parts).await.unwrap()
}

async fn person(recorder: &Recorder) -> SigningKey {
    let key = signing_key("ana");
    let claims = json!({"aud": recorder.names().issuer, "sub": "ana", "iat": now_s()});
    let registration = Registration {
        kind: PrincipalKind::Human,
        sub: "ana".into(),
        key: Jwk::of(&key).to_json(),
        proof: jws::sign(jws::KEY_PROOF, &claims, &key),
        display: None,
    };
    recorder.register_principal(&registration, PEER).await.unwrap();
    key
}

/// Write and fdatasync of 4 KiB, one after the other, in a file that grows as the journal does.
fn syncs(data: &Path, count: usize) -> Times {
    let mut file = File::create(data.join("sync-probe")).unwrap();
    let block = [0x5a_u8; 4_096];
    measure::time(count / 10, count, || {
        file.write_all(&block).unwrap();
        file.sync_data().unwrap();
    })
}

/// The policy's part alone, for an act as the callers make them.
fn decisions(count: usize) -> Times {
    let (set, args) = (policy(), arguments());
    let (tools, holders) = ([format!("{SERVER}#isolate_host")], ["a", "b", "c"].map(str::to_owned));
    let act = ActionRequest {
        principal: RequestPrincipal {
            kind: "human",
            iss: "deeds://deeds.local/0011223344556677",
            sub: "ana",
            assurance: "issuer-asserted",
            grade: "key-signed",
        },
        agent: RequestAgent { id: "responder", key: "thumbprint", assurance: "delegator-asserted" },
        operation: "tools/call",
        tool: &tools[0],
        definition: None,
        args: &args,
        delegation: RequestDelegation {
            leaf: "leaf",
            depth: 2,
            max_depth: 8,
            tools: &tools,
            holders: &holders,
            expires_ms: 1_800_000_000_000,
            txn: "01890a5d-ac96-774b-bcce-b302099a8063",
            purpose: Some("contain the infection of IR-4711"),
        },
        run: "01890a5d-ac96-774b-bcce-b302099a8057",
        now_ms: 1_790_000_000_000,
        root: None,
    };
    assert_eq!(set.decide(&act).verdict, Verdict::Allow);
    measure::time(count / 10, count, || set.decide(&act))
}

/// `clients` callers at once, each in a closed loop: the next act after the outcome of the last is durable.
/// Gives the times of `begin`, and how many acts a second were begun and finished.
async fn closed_loop(recorder: &Recorder, person: &SigningKey, clients: usize, acts: usize) -> (Times, f64) {
    let mut callers = Vec::new();
    for number in 0..clients {
        callers.push(Caller::new(recorder, person, clients * 1_000 + number).await);
    }
    together(&mut callers, acts / 10).await;
    let start = measure::now();
    let times = together(&mut callers, acts).await;
    let rate = f64::from(u32::try_from(times.len()).unwrap()) / start.elapsed().as_secs_f64();
    (Times::of(times), rate)
}

async fn together(callers: &mut Vec<Caller>, acts: usize) -> Vec<Duration> {
    let tasks: Vec<_> = callers
        .drain(..)
        .map(|mut caller| {
            tokio::spawn(async move {
                let times = caller.acts(acts).await;
                (caller, times)
            })
        })
        .collect();
    let mut all = Vec::new();
    for task in tasks {
        let (caller, times) = task.await.unwrap();
        callers.push(caller);
        all.extend(times);
    }
    all
}

/// `DEEDS_BENCH_DIR` names another disk than that of the build.
#[expect(clippy::disallowed_methods, reason = "a bench has no configuration to be handed")]
fn directory() -> PathBuf {
    std::env::var("DEEDS_BENCH_DIR").map_or_else(|_| env!("CARGO_TARGET_TMPDIR").into(), PathBuf::from)
}

#[tokio::main]
async fn main() {
    let measured = measure::is_asked_for();
    let (samples, acts): (usize, usize) = if measured { (SYNCS, 2_000) } else { (1, 1) };
    let data = tempfile::tempdir_in(directory()).unwrap();
    println!("machine: {}", measure::machine());
    println!("{:58} {}", "the policy decision by itself, 100 policies", decisions(samples * 10));
    let recorder = open(data.path()).await;
    let person = person(&recorder).await;
    for (clients, acts) in [(1, acts), (64, acts.div_ceil(10))] {
        println!("\n{:58} {}", "write + fdatasync of 4 KiB, before", syncs(data.path(), samples));
        let (times, rate) = closed_loop(&recorder, &person, clients, acts).await;
        println!("{:58} {times}", format!("begin to permit, {LINKS} links, 100 policies, {clients} at once"));
        println!("{:58} {rate:.0} acts/s, begun and finished", "");
        println!("{:58} {}", "write + fdatasync of 4 KiB, after", syncs(data.path(), samples));
    }
    recorder.close();
}

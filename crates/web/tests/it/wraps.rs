//! Wraps against the real server: under a chain of their own, and for agents that present theirs.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use capture::api;
use capture::api::Scheme;
use capture::mcp::{WrapError, WrapOptions, wrap};
use capture::run::{About, Ambient, DelegationSource, Given, RunOptions};
use ed25519_dalek::SigningKey;
use serde_json::{Value, json};
use testkit::SeededRandom;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream, Lines};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::agent::{Agent, tools};
use crate::support::{Bench, PATIENCE, bench};

/// A wrap of the scripted MCP server; the test is its client.
struct Wrapped {
    to_wrap: Option<DuplexStream>,
    from_wrap: Lines<BufReader<DuplexStream>>,
    wrap: JoinHandle<Result<i32, WrapError>>,
    seen: std::path::PathBuf,
    calls: i64,
}

impl Wrapped {
    fn start(bench: &Bench, seed: u8, change: impl FnOnce(&mut WrapOptions)) -> Self {
        // one for all: an alias stands for one command
        let seen = bench.dir.path().join("seen");
        let mut options = options(bench, seed, &seen);
        change(&mut options);
        let (to_wrap, stdin) = tokio::io::duplex(64 * 1_024);
        let (stdout, from_wrap) = tokio::io::duplex(64 * 1_024);
        let wrap = tokio::spawn(wrap(options, stdin, stdout, std::future::pending()));
        let from_wrap = BufReader::new(from_wrap).lines();
        Self { to_wrap: Some(to_wrap), from_wrap, wrap, seen, calls: 0 }
    }

    /// Sends a call, with what it carries in `_meta`; gives its id.
    async fn send(&mut self, tool: &str, member: Option<&Value>) -> i64 {
        self.calls += 1;
        let mut params = json!({"name": tool, "arguments": {}});
        if let Some(member) = member {
            params["_meta"] = json!({ "dev.deeds/delegation": member });
        }
        let frame = json!({"jsonrpc": "2.0", "id": self.calls, "method": "tools/call", "params": params});
        let to_wrap = self.to_wrap.as_mut().unwrap();
        to_wrap.write_all(format!("{frame}\n").as_bytes()).await.unwrap();
        self.calls
    }

    async fn next(&mut self) -> Value {
        let line = timeout(PATIENCE, self.from_wrap.next_line()).await.expect("an answer comes").unwrap();
        serde_json::from_str(&line.expect("the wrap is there")).unwrap()
    }

    /// The text of the refusal of a call; nothing where it was answered.
    async fn call(&mut self, tool: &str, member: Option<&Value>) -> Option<String> {
        let id = self.send(tool, member).await;
        let answer = self.next().await;
        assert_eq!(answer["id"], id);
        refusal(&answer)
    }

    /// Calls that the servers of all wraps saw.
    fn seen(&self) -> usize {
        std::fs::read_to_string(&self.seen).unwrap_or_default().matches("tools/call").count()
    }

    async fn hang_up(mut self) {
        self.to_wrap = None;
        assert_eq!(timeout(PATIENCE, self.wrap).await.expect("the wrap ends").unwrap().unwrap(), 0);
    }
}

fn refusal(answer: &Value) -> Option<String> {
    let text = answer["result"]["content"][0]["text"].as_str().unwrap_or_default();
    (answer["result"]["isError"] == true).then(|| text.to_owned())
}

fn options(bench: &Bench, seed: u8, seen: &Path) -> WrapOptions {
    let (socket, clock) = (bench.socket.clone(), bench.clock.clone());
    let random = Mutex::new(SeededRandom::new(u64::from(seed)));
    WrapOptions {
        run: RunOptions {
            alias: "fs".into(),
            enforcement_point: "deeds wrap".into(),
            scheme: Scheme::Stdio,
            command: vec![wrapped_mcp(), seen.display().to_string()],
            connect: Arc::new(move || {
                let socket = socket.clone();
                Box::pin(async move { Ok(socket) })
            }),
            key: SigningKey::from_bytes(&[seed; 32]),
            delegation: None,
            parent: None,
            root_request: None,
            scope: None,
            join: None,
            receipts: None,
            about: About {
                purpose: "tests".into(),
                parent_pid: std::os::unix::process::parent_id(),
                ..About::default()
            },
            ambient: Ambient {
                now_ms: Arc::new(move || clock.now_ms()),
                monotonic_us: Arc::new(|| 0),
                random: Arc::new(move |buffer| random.lock().unwrap().fill(buffer)),
            },
        },
        require_delegation: false,
        own_variables: Vec::new(),
        root_dir: None,
        files: false,
        read_fail_open: vec![],
    }
}

/// Path of the example that cargo builds beside the tests.
fn wrapped_mcp() -> String {
    let test = std::env::current_exe().unwrap();
    let path = test.ancestors().nth(2).unwrap().join("examples/wrapped_mcp");
    assert!(path.exists(), "{} is missing; build it with `cargo build -p web --examples`", path.display());
    path.display().to_string()
}

/// A delegation file that a test can replace, with the counter that all who read it share.
#[derive(Clone)]
struct File(Arc<Mutex<(Agent, BTreeMap<String, u64>)>>);

impl File {
    fn of(agent: &Agent) -> Self {
        Self(Arc::new(Mutex::new((agent.clone(), BTreeMap::new()))))
    }

    fn put(&self, agent: &Agent) {
        self.0.lock().unwrap().0 = agent.clone();
    }

    fn source(&self) -> DelegationSource {
        let (read, counted) = (self.clone(), self.clone());
        DelegationSource {
            read: Arc::new(move || {
                let agent = read.0.lock().unwrap().0.clone();
                Ok(Given { chain: agent.chain, key: agent.key, handoff: agent.handoff })
            }),
            next_counter: Arc::new(move |kid, floor| {
                let mut file = counted.0.lock().unwrap();
                let next = file.1.entry(kid.to_owned()).or_default();
                *next = floor.max(*next) + 1;
                Ok(*next - 1)
            }),
        }
    }
}

/// All entries that have a field, as (index, value).
fn fields(bench: &Bench, name: &str) -> Vec<(u64, Value)> {
    let size = bench.recorder.reader().size();
    (0..size).filter_map(|index| Some((index, bench.field(index, name)?))).collect()
}

fn revoke(what: &str, target: &str, why: &str) -> api::Revoke {
    api::Revoke { what: what.into(), target: json!(target), eff: None, why: why.into(), token: None }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_wraps_act_under_one_file_and_take_the_newer_chain_from_it() {
    let bench = bench().await;
    let person = bench.register("ciso", 11).await;
    let lead = bench.agent(&person, 21).await;
    let sub = lead.hand_on(&bench, 22, None);
    let file = File::of(&sub);
    let mut wraps: Vec<Wrapped> = (0..2)
        .map(|seed| Wrapped::start(&bench, seed, |options| options.run.delegation = Some(file.source())))
        .collect();
    for _ in 0..3 {
        for wrapped in &mut wraps {
            assert_eq!(wrapped.call("echo", None).await, None);
        }
    }
    let holders = fields(&bench, "holder");
    let deciders = fields(&bench, "verdict").len();
    assert_eq!(deciders, 6);
    assert!(holders.iter().any(|(_, holder)| holder["id"] == "sub-22" && holder["key"] == sub.thumbprint()));
    assert_eq!(bench.recorder.control().windows.next(&sub.thumbprint()), 6, "no counter twice, and no hole");
    // the chain ends within a minute, and the file holds a newer one of the same task
    bench.clock.advance(3_600_000 - 30_000);
    let fresh = evidence::delegation::RootRequest {
        txn: evidence::id::parse(&lead.txn()),
        ..bench.asked(&person, &lead.key)
    };
    let root = bench.client().await.issue(fresh.sign(&person)).await.unwrap().delegation;
    let again = Agent { chain: vec![root], ..lead.clone() }.hand_on(&bench, 22, None);
    file.put(&again);
    for wrapped in &mut wraps {
        assert_eq!(wrapped.call("echo", None).await, None);
    }
    bench.clock.advance(60_000);
    for wrapped in &mut wraps {
        assert_eq!(wrapped.call("echo", None).await, None);
    }
    assert_eq!(fields(&bench, "chain").iter().filter(|(_, leaf)| *leaf == json!(again.leaf())).count(), 4);
    // nothing newer: it ends
    bench.clock.advance(3_600_000);
    let text = wraps[0].call("echo", None).await.unwrap();
    assert!(text.contains("step delegation-time") && text.contains("holds no newer chain"), "{text}");
    for wrapped in wraps {
        wrapped.hang_up().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_counter_that_was_drawn_and_never_used_does_not_stop_the_key_for_good() {
    let bench = bench().await;
    let person = bench.register("ciso", 11).await;
    let lead = bench.agent(&person, 21).await;
    let file = File::of(&lead);
    // as a process does that dies in between
    assert_eq!((file.source().next_counter)(&lead.thumbprint(), 0), Ok(0));
    let mut wrapped = Wrapped::start(&bench, 1, |options| options.run.delegation = Some(file.source()));
    let mut refused = 0;
    for _ in 0..2 * evidence::limits::POP_WINDOW {
        if let Some(text) = wrapped.call("echo", None).await {
            assert!(text.contains("Another process may use the same key"), "{text}");
            refused += 1;
        }
    }
    assert_eq!(refused, 1, "the hole is found when it stands in the way, and filled");
    let control = bench.recorder.control();
    assert_eq!(control.windows.get(&lead.thumbprint()).unwrap().holes(), [] as [u64; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrap_under_a_child_is_a_child_run_and_ends_with_the_revocation_of_its_parent() {
    let bench = bench().await;
    let person = bench.register("ciso", 11).await;
    let lead = bench.agent(&person, 21).await;
    let sub = lead.hand_on(&bench, 22, Some(tools(&["echo"])));
    let mut above = Wrapped::start(&bench, 1, |options| {
        options.run.delegation = Some(File::of(&lead).source());
    });
    assert_eq!(above.call("echo", None).await, None);
    let mut below =
        Wrapped::start(&bench, 2, |options| options.run.delegation = Some(File::of(&sub).source()));
    assert_eq!(below.call("echo", None).await, None);
    let [(_, announced)] = fields(&bench, "child").try_into().unwrap();
    let parents = fields(&bench, "parent");
    assert_eq!(parents.len(), 1, "the run of the sub-agent names its parent's");
    let text = below.call("fail", None).await.unwrap();
    assert!(text.contains("refused by the delegation (step scope)"), "{text}");
    let client = bench.client().await;
    client.revoke(&revoke("holder-key", &lead.thumbprint(), "the lead went astray")).await.unwrap();
    for wrapped in [&mut above, &mut below] {
        let text = wrapped.call("echo", None).await.unwrap();
        assert!(text.contains("refused by the delegation (step revoked)"), "{text}");
        assert!(text.contains("Recorded as @"), "{text}");
    }
    below.hang_up().await;
    above.hang_up().await;
    let children: Vec<Value> = fields(&bench, "children").into_iter().map(|(_, children)| children).collect();
    assert!(children.contains(&json!([announced])), "{children:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_present_their_own_chains_by_value_and_by_reference() {
    let bench = bench().await;
    let person = bench.register("ciso", 11).await;
    let mut lead = bench.agent(&person, 21).await;
    let mut sub = lead.hand_on(&bench, 22, Some(tools(&["echo"])));
    let mut wrapped = Wrapped::start(&bench, 1, |options| options.require_delegation = true);
    let text = wrapped.call("echo", None).await.unwrap();
    assert!(text.contains("(step delegation-missing)") && text.contains("Recorded as @"), "{text}");
    let value = lead.member(&bench, "echo", &json!({}));
    assert_eq!(wrapped.call("echo", Some(&value)).await, None);
    let value = sub.member(&bench, "echo", &json!({}));
    assert_eq!(wrapped.call("echo", Some(&value)).await, None);
    let (_, pop) = sub.proof(&bench, "echo", &json!({}));
    let reference = json!({"ref": sub.leaf(), "pop": pop});
    assert_eq!(wrapped.call("echo", Some(&reference)).await, None);
    // its own chain decides: neither the lead's nor the wrap's is wide enough for it
    let value = sub.member(&bench, "fail", &json!({}));
    let text = wrapped.call("fail", Some(&value)).await.unwrap();
    assert!(text.contains("refused by the delegation (step scope)"), "{text}");
    assert_eq!(wrapped.seen(), 3);

    let carriers = fields(&bench, "credential");
    assert!(carriers.iter().all(|(_, credential)| credential["carrier"] == "mcp-meta"), "{carriers:?}");
    let [(_, child)] = fields(&bench, "child").try_into().unwrap();
    for (index, said) in fields(&bench, "correlators") {
        assert!(said["delegation"].as_str().unwrap().starts_with("sha256:"), "@{index} {said}");
        assert!(!said.to_string().contains("eyJ"), "@{index} {said}");
    }
    wrapped.hang_up().await;
    // every run was ended, the parent's with its child
    let ends = fields(&bench, "streams");
    assert_eq!(ends.len(), 3 + 1, "two presented, the wrap's own, and that of the root");
    let children: Vec<Value> = fields(&bench, "children").into_iter().map(|(_, children)| children).collect();
    assert!(children.contains(&json!([child])), "{children:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_proof_is_used_once_through_one_wrap_and_through_two() {
    let bench = bench().await;
    let person = bench.register("ciso", 11).await;
    let mut lead = bench.agent(&person, 21).await;
    let mut wraps: Vec<Wrapped> = (0..2).map(|seed| Wrapped::start(&bench, seed, |_| {})).collect();
    for _ in 0..5 {
        let member = lead.member(&bench, "echo", &json!({}));
        for wrapped in &mut wraps {
            wrapped.send("echo", Some(&member)).await;
            wrapped.send("echo", Some(&member)).await;
        }
        let mut refusals = Vec::new();
        for wrapped in &mut wraps {
            for _ in 0..2 {
                refusals.extend(refusal(&wrapped.next().await));
            }
        }
        assert_eq!(refusals.len(), 3, "{refusals:?}");
        assert!(
            refusals.iter().all(|text| text.contains("replayed") && text.contains("ecorded")),
            "{refusals:?}"
        );
    }
    assert_eq!(wraps[0].seen(), 5);
    assert_eq!(fields(&bench, "verdict").iter().filter(|(_, verdict)| verdict == "allow").count(), 5);
    // also for another tool, and when it comes again later
    let member = lead.member(&bench, "echo", &json!({}));
    let text = wraps[0].call("fail", Some(&member)).await.unwrap();
    assert!(text.contains("step pop-binding"), "{text}");
    assert!(
        wraps[1].call("echo", Some(&member)).await.unwrap().contains("replayed"),
        "its counter is used up"
    );
    bench.clock.advance(200_000);
    let text = wraps[0].call("echo", Some(&member)).await.unwrap();
    assert!(text.contains("step pop-time"), "{text}");
    for wrapped in wraps {
        wrapped.hang_up().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_agent_reads_why_and_others_go_on() {
    let bench = bench().await;
    let person = bench.register("ciso", 11).await;
    let lead = bench.agent(&person, 21).await;
    let mut middle = lead.hand_on(&bench, 22, None);
    let mut last = middle.hand_on(&bench, 23, None);
    let mut other = lead.hand_on(&bench, 24, None);
    let mut wrapped = Wrapped::start(&bench, 1, |_| {});
    for agent in [&mut middle, &mut last, &mut other] {
        let member = agent.member(&bench, "echo", &json!({}));
        assert_eq!(wrapped.call("echo", Some(&member)).await, None);
    }
    bench.client().await.revoke(&revoke("delegation", &middle.leaf(), "no longer needed")).await.unwrap();
    for agent in [&mut middle, &mut last] {
        let member = agent.member(&bench, "echo", &json!({}));
        let text = wrapped.call("echo", Some(&member)).await.unwrap();
        assert!(
            text.starts_with("deeds: this call was refused by the delegation (step revoked): "),
            "{text}"
        );
        assert!(text.contains("Recorded as @"), "{text}");
    }
    // one that comes new with it gets no run at all
    let mut late = middle.hand_on(&bench, 25, None);
    let member = late.member(&bench, "echo", &json!({}));
    let text = wrapped.call("echo", Some(&member)).await.unwrap();
    assert!(text.contains("step delegation-refused") && text.contains("step revoked"), "{text}");
    let member = other.member(&bench, "echo", &json!({}));
    assert_eq!(wrapped.call("echo", Some(&member)).await, None);
    assert_eq!(wrapped.call("echo", None).await, None, "the wrap's own goes on too");
    assert_eq!(wrapped.seen(), 5);
    wrapped.hang_up().await;
}

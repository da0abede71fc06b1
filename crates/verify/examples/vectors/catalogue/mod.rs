//! All vectors, by the step of format §10 that they are about.

mod attempts;
mod chains;
mod children;
mod container;
mod decisions;
mod delegations;
mod good;
mod log;
mod mandates;
mod orders;
mod outcomes;
mod runs;

use evidence::Scope;
use serde_json::{Value, json};
use testkit::{Call, LogBuilder, Parts, Person, TestRun};

/// Every log of the vectors grows from this.
const SEED: &str = "v0";
/// The tool that most calls are of.
const READ: &str = "stdio:fs#read_file";
/// The policy that most decisions are under.
const POLICY: &str = "@id(\"default\")\npermit(principal, action, resource);\n";
/// Codes of severity `note`; all others are errors.
const NOTES: [&str; 21] = [
    "log-key-captured",
    "unwitnessed",
    "entry-uninterpreted",
    "withheld",
    "open-run",
    "manifest-withheld",
    "open-stream",
    "issuer-key-missing",
    "principal-inferred",
    "decision-withheld",
    "scope-args-withheld",
    "outcome-open",
    "revocations-withheld",
    "policy-withheld",
    "child-not-shown",
    "issuance-not-shown",
    "in-doubt",
    "key-reused",
    "break-glass",
    "counter-hole",
    "order-withheld",
];

/// A finding that is expected: its log index, where it has one, and its code.
pub(crate) type Expected = (Option<u64>, &'static str);

/// One vector.
pub(crate) struct Vector {
    pub(crate) name: &'static str,
    pub(crate) description: &'static str,
    pub(crate) bundle: Vec<u8>,
    pub(crate) log_keys: Vec<String>,
    pub(crate) pin_keys: Vec<String>,
    pub(crate) verdict: &'static str,
    findings: Vec<Expected>,
}

impl Vector {
    /// Replaces the trust roots.
    fn trusting(mut self, log_keys: Vec<String>, pin_keys: Vec<String>) -> Self {
        self.log_keys = log_keys;
        self.pin_keys = pin_keys;
        self
    }

    /// The JSON file beside the bundle.
    pub(crate) fn expectation(&self) -> String {
        let mut findings = self.findings.clone();
        findings.sort_unstable();
        let findings: Vec<Value> = findings
            .iter()
            .map(|(index, code)| {
                let severity = if NOTES.contains(code) { "note" } else { "error" };
                json!({"severity": severity, "code": code, "index": index})
            })
            .collect();
        let all = json!({
            "description": self.description,
            "trust": {"log_keys": self.log_keys, "pin_keys": self.pin_keys},
            "expect": {"verdict": self.verdict, "findings": findings},
        });
        format!("{all:#}\n")
    }
}

/// Every vector, in the order of the steps.
pub(crate) fn all() -> Vec<Vector> {
    [
        good::vectors(),
        container::vectors(),
        log::vectors(),
        runs::vectors(),
        children::vectors(),
        mandates::vectors(),
        delegations::vectors(),
        chains::vectors(),
        decisions::vectors(),
        orders::vectors(),
        outcomes::vectors(),
        attempts::vectors(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A bundle that must verify against its log's key.
fn verified(
    name: &'static str,
    description: &'static str,
    log: &LogBuilder,
    parts: &Parts,
    notes: &[Expected],
) -> Vector {
    vector(name, description, log, parts.encode(), "verified", notes)
}

/// A bundle that must fail against its log's key.
fn failed(
    name: &'static str,
    description: &'static str,
    log: &LogBuilder,
    parts: &Parts,
    findings: &[Expected],
) -> Vector {
    vector(name, description, log, parts.encode(), "failed", findings)
}

/// Any bytes; `unwitnessed` is expected of whatever is readable.
fn vector(
    name: &'static str,
    description: &'static str,
    log: &LogBuilder,
    bundle: Vec<u8>,
    verdict: &'static str,
    findings: &[Expected],
) -> Vector {
    let mut findings = findings.to_vec();
    if verdict != "unreadable" {
        findings.push((None, "unwitnessed"));
    }
    let log_keys = vec![log.vkey().to_string()];
    Vector { name, description, bundle, log_keys, pin_keys: Vec::new(), verdict, findings }
}

/// A scope; one that includes nothing asked for where this is none.
fn scope(tools: &Value) -> Scope {
    Scope::parse(tools).unwrap_or_else(|_| Scope::server("stdio:none"))
}

/// A token with another token's signature.
fn with_signature_of(token: &str, other: &str) -> String {
    let (input, _) = token.rsplit_once('.').unwrap_or_default();
    let (_, signature) = other.rsplit_once('.').unwrap_or_default();
    format!("{input}.{signature}")
}

/// A finding at an index.
fn at(index: u64, code: &'static str) -> Expected {
    (Some(index), code)
}

/// A finding about the whole bundle.
fn whole(code: &'static str) -> Expected {
    (None, code)
}

/// A log in which a person has an agent at work.
#[derive(Clone)]
struct Scene {
    log: LogBuilder,
    person: Person,
    run: TestRun,
}

impl Scene {
    /// 0 and 1 genesis, 2 the person's key, 3 the policy.
    fn new() -> Self {
        let mut log = LogBuilder::new(SEED);
        let person = log.register("alice");
        log.activate(POLICY);
        let run = log.agent("helper", &person.principal);
        Self { log, person, run }
    }

    /// … 4 the run starts.
    fn started() -> Self {
        let mut scene = Self::new();
        scene.log.start(&scene.run);
        scene
    }

    /// … 5 the delegation.
    fn delegated() -> Self {
        let mut scene = Self::started();
        scene.log.delegate(&mut scene.run, &scene.person);
        scene
    }

    /// … 6 an allowed call, 7 its outcome.
    fn acted() -> (Self, Call) {
        let mut scene = Self::delegated();
        let call = scene.read();
        scene.log.act(&mut scene.run, &call);
        (scene, call)
    }

    /// … 8 the run ends.
    fn ended() -> (Self, Call) {
        let (mut scene, call) = Self::acted();
        scene.log.end(&scene.run);
        (scene, call)
    }

    /// A call that the delegation covers.
    fn read(&mut self) -> Call {
        self.log.call(READ, json!({"path": "/srv/report.txt"}))
    }

    /// Ends the run and shows everything.
    fn close(mut self) -> (LogBuilder, Parts) {
        self.log.end(&self.run);
        let parts = self.log.bundle();
        (self.log, parts)
    }
}

//! What stands in the entries: people, runs, delegations, calls. Every step gives a [`Draft`] or a claim object that
//! can be changed before it is signed or appended; the verbs that append do the usual thing.

use ed25519_dalek::{Signer as _, SigningKey};
use evidence::delegation::{Named, Pop, Root, RootRequest, Source, args_digest};
use evidence::digest::hex;
use evidence::id::{self, Id, LOG_LEVEL};
use evidence::jws::{self, Jwk, Signed};
use evidence::principal::PrincipalKind;
use evidence::{Digest, Holder, Kind, Principal, Scope, json};
use serde_json::{Map, Value, json};
use tlog::Hash;

use crate::log::{Draft, LogBuilder, Written};
use crate::random::signing_key;

/// Life of the roots given here, seconds.
const ROOT_S: u64 = 3_600;

/// A principal with a key.
#[derive(Debug, Clone)]
pub struct Person {
    /// Who.
    pub principal: Principal,
    /// The key.
    pub key: SigningKey,
}

/// A run and the agent in it.
#[derive(Debug, Clone)]
pub struct TestRun {
    /// The run.
    pub id: Id,
    /// The task.
    pub txn: Id,
    /// On whose authority.
    pub principal: Principal,
    /// Who holds the delegation.
    pub holder: Holder,
    /// The holder's key.
    pub key: SigningKey,
    /// What the root, or the child it works under, allows.
    pub scope: Scope,
    /// How deep the chain may grow.
    pub max_depth: u64,
    /// Token digest of the leaf delegation, once there is one.
    pub delegation: String,
    /// The tokens down to that leaf, root first.
    pub chain: Vec<String>,
    /// The signed request behind the root, where there is one.
    pub request: Option<String>,
    /// The run that handed the work over.
    pub parent: Option<Id>,
    /// The runs that this one announced.
    pub children: Vec<Id>,
    /// The holder's next counter.
    pub counter: u64,
    /// Stream of its decisions.
    pub stream: u64,
}

/// A tool call.
#[derive(Debug, Clone)]
pub struct Call {
    /// The act.
    pub act_id: Id,
    /// Tool URI.
    pub tool: String,
    /// Arguments.
    pub args: Map<String, Value>,
}

impl LogBuilder {
    /// A log with its two genesis entries.
    pub fn new(seed: &str) -> Self {
        let mut log = Self::empty(seed);
        let origin = log.origin.clone();
        log.append(
            Draft::new(Kind::LogGenesis)
                .with("part", &json!("retention-policy"))
                .with("origin", &json!(origin))
                .with("retention", &json!({"0": {"name": "default", "days": null}}))
                .with("format", &json!("0")),
        );
        log.append(log.trust_anchors());
        log
    }

    /// Entry 1.
    pub fn trust_anchors(&self) -> Draft {
        Draft::new(Kind::LogGenesis)
            .with("part", &json!("trust-anchors"))
            .with("origin", &json!(self.origin))
            .with("log_key", &json!(self.vkey().to_string()))
            .with("issuer", &json!(self.issuer))
            .with("issuer_key", &Jwk::of(&self.issuer_key).to_json())
            .with("tenant", &json!("local"))
            .with("offline_root", &json!({"unknown": "none was made"}))
            .with("format", &json!("0"))
    }

    /// A principal of this log's issuer, not registered yet.
    pub fn person(&self, sub: &str) -> Person {
        let key = signing_key(&format!("{} {sub}", self.origin));
        let principal = Principal {
            kind: PrincipalKind::Human,
            iss: self.issuer.clone(),
            sub: sub.to_owned(),
            key: Some(Jwk::of(&key).thumbprint()),
        };
        Person { principal, key }
    }

    /// `principal-registered` or `principal-retired`.
    pub fn key_change(&self, change: &str, person: &Person) -> Draft {
        let key = Jwk::of(&person.key);
        Draft::new(Kind::KeyOrTrustChanged)
            .with("change", &json!(change))
            .with("principal", &json!(person.principal))
            .with("key", &key.to_json())
            .with("thumbprint", &json!(key.thumbprint()))
    }

    /// Registers a new principal.
    pub fn register(&mut self, sub: &str) -> Person {
        let person = self.person(sub);
        self.append(self.key_change("principal-registered", &person));
        person
    }

    /// A policy of one file.
    pub fn policy_activation(&self, text: &str) -> Draft {
        let files =
            json!([{"path": "policy.cedar", "sha256": Digest::of(text.as_bytes()).hex(), "text": text}]);
        Draft::new(Kind::PolicyActivated)
            .with("policy_digest", &json!(policy_digest(&files)))
            .with("files", &files)
            .with("previous", &self.policy)
    }

    /// Activates a policy of one file.
    pub fn activate(&mut self, text: &str) -> u64 {
        let draft = self.policy_activation(text);
        let digest = draft.fields[&0].clone();
        self.policy = json::parse(digest.as_bytes()).unwrap();
        self.append(draft)
    }

    /// A run of a named agent, nothing of it recorded yet; its scope is every tool of `stdio:fs`.
    pub fn agent(&mut self, name: &str, principal: &Principal) -> TestRun {
        let key = signing_key(&format!("{} agent {name}", self.origin));
        let holder = Holder {
            id: name.to_owned(),
            inst: "1".to_owned(),
            kind: PrincipalKind::Agent,
            asr: "inferred".to_owned(),
            key: Jwk::of(&key).thumbprint(),
        };
        TestRun {
            id: self.id(),
            txn: self.id(),
            principal: principal.clone(),
            holder,
            key,
            scope: Scope::server("stdio:fs"),
            max_depth: 0,
            delegation: String::new(),
            chain: Vec::new(),
            request: None,
            parent: None,
            children: Vec::new(),
            counter: 0,
            stream: 0,
        }
    }

    /// The first entry of a run.
    pub fn run_started(&self, run: &TestRun) -> Draft {
        let draft = Draft::new(Kind::RunStarted)
            .run(run.id)
            .with("txn", &json!(id::text(&run.txn)))
            .with("initiator", &json!(run.principal))
            .with("holder", &json!(run.holder));
        match &run.parent {
            Some(parent) => draft.with("parent", &json!(id::text(parent))),
            None => draft,
        }
    }

    /// Starts a run.
    pub fn start(&mut self, run: &TestRun) -> u64 {
        self.append(self.run_started(run))
    }

    /// What a principal signs to have a root issued to a run.
    pub fn root_request(&mut self, run: &TestRun, person: &Person) -> RootRequest {
        let now = self.clock.now_ms() / 1_000;
        RootRequest {
            jti: id::text(&self.id()),
            key: Jwk::of(&person.key).thumbprint(),
            audience: self.issuer.clone(),
            iat: now,
            exp: now + 300,
            cnf: Jwk::of(&run.key),
            max_depth: run.max_depth,
            scope: run.scope.clone(),
            ttl: ROOT_S,
            tenant: "local".to_owned(),
            txn: None,
            purpose: "tests".to_owned(),
            holder: None,
            why: None,
            intent: None,
            approvals: None,
            mandate: None,
        }
    }

    /// The root that the issuer gives to a run.
    pub fn root_delegation(&mut self, run: &TestRun, source: Source) -> Root {
        let now = self.clock.now_ms() / 1_000;
        Root {
            jti: id::text(&self.id()),
            issuer: self.issuer.clone(),
            iat: now,
            nbf: now,
            exp: now + ROOT_S,
            cnf: Jwk::of(&run.key),
            max_depth: run.max_depth,
            scope: run.scope.clone(),
            tenant: "local".to_owned(),
            txn: run.txn,
            purpose: "tests".to_owned(),
            principal: run.principal.clone(),
            holder: run.holder.clone(),
            source,
            why: None,
            intent: None,
            approvals: None,
        }
    }

    /// The entry of a delegation; `request` is the principal's signed request.
    pub fn delegated(&self, run: &TestRun, token: &str, request: Option<&str>) -> Draft {
        Draft::new(Kind::Delegated)
            .run(run.id)
            .with("token", &json!(token))
            .with("digest", &json!(token_digest(token)))
            .with("request", &json!(request))
            .with("principal", &json!(run.principal))
            .with("holder", &json!(run.holder))
    }

    /// Has a principal sign for a run and records the root issued on it.
    pub fn delegate(&mut self, run: &mut TestRun, person: &Person) -> u64 {
        let request = self.root_request(run, person).sign(&person.key);
        let root = self.root_delegation(run, source_of(&request));
        self.record(run, &root, Some(&request))
    }

    /// Records a root that only the operating system vouches for.
    pub fn delegate_to_peer(&mut self, run: &mut TestRun, uid: u64) -> u64 {
        let root = self.root_delegation(run, Source::PeerCredentials { uid });
        self.record(run, &root, None)
    }

    /// Signs a root with the issuer's key and records it.
    pub fn record(&mut self, run: &mut TestRun, root: &Root, request: Option<&str>) -> u64 {
        let token = root.sign(&self.issuer_key);
        run.delegation = token_digest(&token);
        run.chain = vec![token.clone()];
        run.request = request.map(str::to_owned);
        self.append(self.delegated(run, &token, request))
    }

    /// A call that has not been decided.
    pub fn call(&mut self, tool: &str, args: Value) -> Call {
        let Value::Object(args) = args else { unreachable!("arguments are an object") };
        Call { act_id: self.id(), tool: tool.to_owned(), args }
    }

    /// The holder's proof for a call. Its counter goes up.
    pub fn pop(&mut self, run: &mut TestRun, call: &Call) -> Pop {
        let now = self.clock.now_ms() / 1_000;
        run.counter += 1;
        Pop {
            jti: hex(&self.random.array::<16>()),
            iat: now,
            exp: now + 60,
            audience: self.issuer.clone(),
            leaf: run.delegation.clone(),
            tool: call.tool.clone(),
            args_digest: args_digest(&call.args),
            act_id: call.act_id,
            counter: run.counter - 1,
        }
    }

    /// The entry of a decision on a call that was proven with `pop`.
    pub fn decided(&self, run: &TestRun, call: &Call, pop: &str, verdict: &str) -> Draft {
        Draft::new(Kind::Decided)
            .run(run.id)
            .stream(run.stream)
            .with("act_id", &json!(id::text(&call.act_id)))
            .with("txn", &json!(id::text(&run.txn)))
            .with("principal", &json!(run.principal))
            .with("holder", &json!(run.holder))
            .with(
                "assurance",
                &json!({"principal": "issuer-asserted", "holder": "inferred", "grade": "key-signed", "note": ""}),
            )
            .with("chain", &json!(run.delegation))
            .with("pop", &json!(pop))
            .with("decided_at_ms", &json!(self.clock.now_ms()))
            .with("operation", &json!("tools/call"))
            .with("tool", &json!(call.tool))
            .with("args", &Value::Object(call.args.clone()))
            .with("args_digest", &json!(args_digest(&call.args)))
            .with("policy_digest", &self.policy)
            .with("revocations", &json!({"index": self.last_log_level()}))
            .with("verdict", &json!(verdict))
            .with("determining", &json!(["default"]))
            .with(
                "credential",
                &json!({"type": "local-key", "uid": 1_000, "pid": 2, "pop": "verified", "carrier": "wrap"}),
            )
    }

    /// Index of the last log-level entry.
    pub fn last_log_level(&self) -> Option<usize> {
        let log_level =
            |written: &Written| written.entry.as_ref().is_some_and(|entry| entry.run == LOG_LEVEL);
        self.entries.iter().rposition(log_level)
    }

    /// Decides a call and gives the index of the decision.
    pub fn decide(&mut self, run: &mut TestRun, call: &Call, verdict: &str) -> u64 {
        let pop = self.pop(run, call).sign(&run.key);
        let draft = self.decided(run, call, &pop, verdict);
        self.append(draft)
    }

    /// The entry of an outcome.
    pub fn finished(&self, run: &TestRun, call: &Call, decision: Hash) -> Draft {
        let result = r#"{"content":[]}"#;
        Draft::new(Kind::Finished)
            .run(run.id)
            .stream(run.stream)
            .cause(decision)
            .with("act_id", &json!(id::text(&call.act_id)))
            .with("status", &json!("ok"))
            .raw("result", result)
            .with("result_digest", &json!(Digest::of(result.as_bytes()).to_string()))
    }

    /// Allows a call and records that it went well; gives the indexes of both.
    pub fn act(&mut self, run: &mut TestRun, call: &Call) -> (u64, u64) {
        let decision = self.decide(run, call, "allow");
        let draft = self.finished(run, call, self.leaf(decision));
        (decision, self.append(draft))
    }

    /// The manifest of a run as it stands.
    pub fn manifest(&self, run: &TestRun) -> Draft {
        let stream = |(stream, count, last): (u64, u64, Hash)| json!({"stream": stream, "count": count, "last": hex(&last)});
        let streams: Vec<Value> = self.streams(&run.id).into_iter().map(stream).collect();
        let children: Vec<String> = run.children.iter().map(id::text).collect();
        Draft::new(Kind::RunEnded)
            .run(run.id)
            .with("streams", &json!(streams))
            .with("children", &json!(children))
            .with("gaps", &json!(0))
            .with("reason", &json!("closed"))
            .with("open_actions", &json!([]))
    }

    /// Ends a run.
    pub fn end(&mut self, run: &TestRun) -> u64 {
        self.append(self.manifest(run))
    }
}

/// Digest of a policy's files (format §5, kind 10).
pub fn policy_digest(files: &Value) -> String {
    let named = |file: &Value| json!({"path": file["path"], "sha256": file["sha256"]});
    let list: Vec<Value> = files.as_array().unwrap().iter().map(named).collect();
    Digest::of(&json::jcs(&json!(list))).to_string()
}

/// The source of a root that rests on a signed request.
pub fn source_of(request: &str) -> Source {
    Source::KeyRequest(named(request, jws::ROOT_REQUEST))
}

/// How a root names a signed object of type `typ`.
pub fn named(token: &str, typ: &str) -> Named {
    let signed = Signed::parse(token, typ).unwrap();
    let jti = signed.unverified()["jti"].as_str().unwrap().to_owned();
    Named { kid: signed.kid().to_owned(), jti, digest: signed.digest() }
}

/// A signed object of type `typ` with another value at a place of its claims (a JSON pointer), signed again.
pub fn resigned(token: &str, typ: &str, key: &SigningKey, place: &str, value: Value) -> String {
    let mut claims = Value::Object(Signed::parse(token, typ).unwrap().unverified().clone());
    let (parent, name) = place.rsplit_once('/').unwrap();
    claims.pointer_mut(parent).unwrap()[name] = value;
    jws::sign(typ, &claims, key)
}

/// A signed object whose header and payload are exactly these texts, whatever they are.
pub fn signed_text(header: &str, payload: &str, key: &SigningKey) -> String {
    let encode = |text: &str| evidence::base64url::encode(text.as_bytes());
    let input = format!("{}.{}", encode(header), encode(payload));
    let signature = key.sign(input.as_bytes());
    format!("{input}.{}", evidence::base64url::encode(&signature.to_bytes()))
}

/// Digest over everything before the signature, whatever it is.
pub fn token_digest(token: &str) -> String {
    let (input, _) = token.rsplit_once('.').unwrap();
    evidence::base64url::encode(&Digest::of(input.as_bytes()).0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seed_determines_every_byte() {
        let build = |seed: &str| {
            let mut log = LogBuilder::new(seed);
            let person = log.register("alice");
            log.activate("permit(principal, action, resource);");
            let mut run = log.agent("agent", &person.principal);
            log.start(&run);
            log.delegate(&mut run, &person);
            let call = log.call("stdio:fs#read_file", json!({"path": "/a"}));
            let (decision, outcome) = log.act(&mut run, &call);
            assert_eq!((decision, outcome), (6, 7));
            log.end(&run);
            log.bundle().encode()
        };
        assert_eq!(build("one"), build("one"));
        assert_ne!(build("one"), build("two"));
    }
}

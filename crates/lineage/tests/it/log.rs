//! A real log on disk, written as the recorder writes: sealed bodies, chains, signed delegations and proofs.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::Duration;

use ed25519_dalek::SigningKey;
use evidence::body::{self, Binding};
use evidence::delegation::{Named, Pop, Root, RootRequest, Source, args_digest};
use evidence::id::{self, Id, LOG_LEVEL};
use evidence::jws::{self, Jwk, Signed};
use evidence::principal::{Holder, Principal, PrincipalKind};
use evidence::{Cause, Digest, Entry, FieldSet, Kind, Scope, Vantage, json};
use policy::{PolicyFile, PolicySet};
use serde_json::{Value, json};
use store::{Config, NewEntry, Prepare, Reader, Store};

/// The tenant's key-encryption key.
pub(crate) const KEK: [u8; 32] = [0x4b; 32];
/// The uid behind runs without a registered key.
pub(crate) const UID: u64 = 1000;

/// First time of every log, ms.
const EPOCH_MS: u64 = 1_767_225_600_000;

/// Appends what it is given.
pub(crate) struct Append;

impl Prepare for Append {
    type Draft = Vec<NewEntry>;
    type Reply = ();

    fn prepare(&mut self, draft: Vec<NewEntry>, _: u64, out: &mut Vec<NewEntry>) {
        out.extend(draft);
    }
}

/// A log under construction.
pub(crate) struct Log {
    pub(crate) store: Store<Append>,
    pub(crate) origin: String,
    pub(crate) issuer: String,
    /// The clock: every entry takes it and moves it on.
    pub(crate) now_ms: u64,
    pub(crate) policy: String,
    /// Leaf hash of entry 0.
    name: [u8; 32],
    next: u64,
    random: u64,
    heads: BTreeMap<(Id, u64), (u64, [u8; 32])>,
    leaves: Vec<[u8; 32]>,
    /// Position of the last log-level entry.
    anchor: u64,
    /// Entries that wait to be written together.
    waiting: Option<Vec<NewEntry>>,
    /// Runs that each run has announced.
    pub(crate) children: BTreeMap<Id, Vec<String>>,
    /// Last, because a store that is closed publishes what it has.
    pub(crate) dir: tempfile::TempDir,
}

/// What a run acts under.
pub(crate) struct Run {
    pub(crate) id: Id,
    pub(crate) stream: u64,
    pub(crate) txn: Id,
    pub(crate) principal: Principal,
    pub(crate) holder: Holder,
    pub(crate) grade: &'static str,
    pub(crate) token: String,
    pub(crate) digest: String,
    pub(crate) started: u64,
    pub(crate) delegated: u64,
    pub(crate) key: SigningKey,
    pub(crate) counter: u64,
}

/// A proposed act.
pub(crate) struct Call<'a> {
    pub(crate) tool: &'a str,
    pub(crate) args: &'a str,
    pub(crate) refused: Option<&'a str>,
    pub(crate) act_id: Option<Id>,
    pub(crate) operation: &'a str,
    /// The field `inputs`; null where there is none.
    pub(crate) inputs: Value,
    /// Position of the outcome that this tries again after.
    pub(crate) after: Option<u64>,
}

impl<'a> Call<'a> {
    pub(crate) fn of(tool: &'a str, args: &'a str) -> Self {
        let operation = "tools/call";
        Self { tool, args, refused: None, act_id: None, operation, inputs: Value::Null, after: None }
    }
}

pub(crate) fn signing_key(n: u8) -> SigningKey {
    SigningKey::from_bytes(&[n; 32])
}

fn log_key() -> SigningKey {
    signing_key(1)
}

pub(crate) fn issuer_key() -> SigningKey {
    signing_key(2)
}

impl Log {
    /// An empty log; `seed` tells its randomness from another's.
    pub(crate) fn empty(seed: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let origin = "deeds.local/test".to_owned();
        let mut serial = 0_u8;
        let random = Box::new(move |buffer: &mut [u8]| {
            serial = serial.wrapping_add(1);
            buffer.fill(serial);
        });
        let data: PathBuf = dir.path().join("data");
        std::fs::create_dir_all(&data).unwrap();
        let mut config = Config::new(data.join("local"), data, origin.clone(), log_key(), random);
        // nothing is published before a test asks for it
        (config.publish_interval, config.publish_entries) = (Duration::from_hours(24), u64::MAX);
        let store = Store::open(config).unwrap().start(Append);
        Self {
            dir,
            store,
            issuer: format!("deeds://{origin}"),
            origin,
            now_ms: EPOCH_MS,
            policy: String::new(),
            name: [0; 32],
            next: 0,
            random: seed << 32,
            heads: BTreeMap::new(),
            leaves: Vec::new(),
            anchor: 0,
            waiting: None,
            children: BTreeMap::new(),
        }
    }

    /// A log with its genesis and a policy.
    pub(crate) fn new(seed: u64) -> Self {
        let mut log = Self::empty(seed);
        let log_vkey =
            tlog::note::VerifierKey::ed25519(&log.origin, log_key().verifying_key()).unwrap().to_string();
        let (origin, issuer) = (log.origin.clone(), log.issuer.clone());
        log.log_level(
            Kind::LogGenesis,
            &[
                ("part", json!("retention-policy")),
                ("origin", json!(origin)),
                ("retention", json!({"0": {"name": "standard", "days": null}})),
                ("format", json!(0)),
            ],
        );
        log.log_level(
            Kind::LogGenesis,
            &[
                ("part", json!("trust-anchors")),
                ("origin", json!(origin)),
                ("log_key", json!(log_vkey)),
                ("issuer", json!(issuer)),
                ("issuer_key", Jwk::of(&issuer_key()).to_json()),
                ("tenant", json!("local")),
                ("offline_root", json!({"unknown": "none was named"})),
                ("format", json!(0)),
            ],
        );
        log.activate("permit(principal, action, resource);");
        log
    }

    pub(crate) fn reader(&self) -> Reader {
        self.store.reader()
    }

    pub(crate) fn size(&self) -> u64 {
        self.next
    }

    pub(crate) fn leaf(&self, index: u64) -> [u8; 32] {
        self.leaves[usize::try_from(index).unwrap()]
    }

    /// Waits until everything is under a checkpoint.
    pub(crate) fn publish(&self) {
        assert!(self.reader().wait_published(self.next, Duration::from_mins(1)));
    }

    pub(crate) fn activate(&mut self, text: &str) -> u64 {
        self.activate_with(text, None)
    }

    /// Activates rules with a class table.
    pub(crate) fn activate_with(&mut self, text: &str, classes: Option<&str>) -> u64 {
        let text = if text.contains("@id") { text.to_owned() } else { format!("@id(\"allow-all\")\n{text}") };
        let mut files = vec![PolicyFile { path: "policy.cedar".into(), text }];
        files.extend(classes.map(|text| PolicyFile { path: "classes.toml".into(), text: text.to_owned() }));
        let set = PolicySet::from_files(files).unwrap();
        let file = |file: &PolicyFile| {
            let sha256 = Digest::of(file.text.as_bytes()).hex();
            json!({"path": file.path, "sha256": sha256, "text": file.text})
        };
        let files: Vec<Value> = set.files().iter().map(file).collect();
        self.policy = set.digest();
        let policy = self.policy.clone();
        self.log_level(
            Kind::PolicyActivated,
            &[
                ("policy_digest", json!(policy)),
                ("files", json!(files)),
                ("source", json!("/home/maya/policy")),
                ("previous", Value::Null),
            ],
        )
    }

    /// Registers (or retires) the key of a person.
    pub(crate) fn key_change(&mut self, change: &str, sub: &str, key: &SigningKey) -> u64 {
        let principal = self.person(sub, key);
        let jwk = Jwk::of(key);
        self.log_level(
            Kind::KeyOrTrustChanged,
            &[
                ("change", json!(change)),
                ("principal", json!(principal)),
                ("key", jwk.to_json()),
                ("thumbprint", json!(jwk.thumbprint())),
                ("display", json!({"name": "Maya Example"})),
                ("by", json!({"kind": "unknown", "iss": self.issuer, "sub": "uid:1000"})),
                ("assurance", json!("inferred")),
            ],
        )
    }

    pub(crate) fn person(&self, sub: &str, key: &SigningKey) -> Principal {
        let thumbprint = Jwk::of(key).thumbprint();
        Principal {
            kind: PrincipalKind::Human,
            iss: self.issuer.clone(),
            sub: sub.to_owned(),
            key: Some(thumbprint),
        }
    }

    /// A run under a root that only the uid vouches for.
    pub(crate) fn run(&mut self, alias: &str) -> Run {
        let principal = Principal {
            kind: PrincipalKind::Unknown,
            iss: self.issuer.clone(),
            sub: format!("uid:{UID}"),
            key: None,
        };
        let scope = Scope::server(&format!("stdio:{alias}"));
        self.open_run(alias, principal, scope, None)
    }

    /// A run under a root that a registered person signed the request for.
    pub(crate) fn run_for(&mut self, alias: &str, sub: &str, key: &SigningKey, tools: &Value) -> Run {
        let principal = self.person(sub, key);
        self.open_run(alias, principal, Scope::parse(tools).unwrap(), Some(key))
    }

    fn open_run(
        &mut self,
        alias: &str,
        principal: Principal,
        scope: Scope,
        signer: Option<&SigningKey>,
    ) -> Run {
        let (run, txn, key) = (self.id(), self.id(), signing_key(40));
        let holder = Holder {
            id: format!("local:uid-{UID}/python/{alias}"),
            inst: "1".into(),
            kind: PrincipalKind::Agent,
            asr: "inferred".into(),
            key: Jwk::of(&key).thumbprint(),
        };
        let grade = if signer.is_some() { "key-signed" } else { "issuer-only" };
        let started = self.append(
            (Kind::RunStarted, run, 0, &[]),
            &[
                ("txn", json!(id::text(&txn))),
                ("initiator", json!(principal)),
                ("evidence_grade", json!(grade)),
                ("display", json!({"mail": "maya@example.org"})),
                ("trigger", json!("human")),
                ("agent_definition", json!({"unknown": "a proxy does not see it"})),
                ("model", json!({"unknown": "a proxy does not see it"})),
                ("prompt", json!({"unknown": "a proxy does not see it"})),
                ("servers", json!([{"alias": alias, "command": ["server", alias]}])),
                ("holder", json!(holder)),
                ("client", json!({"uid": UID, "pid": 7})),
            ],
        );
        let opened = Run {
            id: run,
            stream: 0,
            txn,
            principal,
            holder,
            grade,
            token: String::new(),
            digest: String::new(),
            started,
            delegated: 0,
            key,
            counter: 0,
        };
        self.delegate(opened, scope, signer)
    }

    fn delegate(&mut self, mut run: Run, scope: Scope, signer: Option<&SigningKey>) -> Run {
        let now_s = self.now_ms / 1_000;
        let request = signer.map(|signer| RootRequest {
            jti: id::text(&self.id()),
            key: Jwk::of(signer).thumbprint(),
            audience: self.issuer.clone(),
            iat: now_s,
            exp: now_s + 300,
            cnf: Jwk::of(&run.key),
            max_depth: 0,
            scope: scope.clone(),
            ttl: 3_600,
            tenant: "local".into(),
            txn: None,
            purpose: "tidy up".into(),
            holder: None,
            why: None,
            intent: None,
            approvals: None,
            mandate: None,
        });
        let signed = request.as_ref().zip(signer).map(|(request, signer)| request.sign(signer));
        let source = match (&request, &signed) {
            (Some(request), Some(token)) => Source::KeyRequest(Named {
                kid: request.key.clone(),
                jti: request.jti.clone(),
                digest: Signed::parse(token, jws::ROOT_REQUEST).unwrap().digest(),
            }),
            _ => Source::PeerCredentials { uid: UID },
        };
        let root = Root {
            jti: id::text(&self.id()),
            issuer: self.issuer.clone(),
            iat: now_s,
            nbf: now_s,
            exp: now_s + 3_600,
            cnf: Jwk::of(&run.key),
            max_depth: 0,
            scope,
            tenant: "local".into(),
            txn: run.txn,
            purpose: "tidy up".into(),
            principal: run.principal.clone(),
            holder: run.holder.clone(),
            source,
            why: None,
            intent: None,
            approvals: None,
        };
        run.token = root.sign(&issuer_key());
        run.digest = Signed::parse(&run.token, jws::DELEGATION).unwrap().digest();
        let cause = [Cause::Here(self.leaf(run.started))];
        run.delegated = self.append(
            (Kind::Delegated, run.id, run.stream, &cause),
            &[
                ("token", json!(run.token)),
                ("digest", json!(run.digest)),
                ("request", json!(signed)),
                ("evidence_grade", json!(run.grade)),
                ("principal", json!(run.principal)),
                ("holder", json!(run.holder)),
                ("txn", json!(id::text(&run.txn))),
                ("exp", json!(root.exp)),
            ],
        );
        run
    }

    /// Records a decision about a call.
    pub(crate) fn decide(&mut self, run: &mut Run, call: &Call<'_>) -> u64 {
        let act_id = call.act_id.unwrap_or_else(|| self.id());
        let args = json::parse(call.args.as_bytes()).unwrap();
        let args_digest = args_digest(args.as_object().unwrap());
        let now_s = self.now_ms / 1_000;
        let pop = Pop {
            jti: id::text(&self.id()),
            iat: now_s,
            exp: now_s + 60,
            audience: self.issuer.clone(),
            leaf: run.digest.clone(),
            tool: call.tool.to_owned(),
            args_digest: args_digest.clone(),
            act_id,
            counter: run.counter,
        };
        run.counter += 1;
        let mut fields = vec![
            ("act_id", json!(id::text(&act_id))),
            ("txn", json!(id::text(&run.txn))),
            ("principal", json!(run.principal)),
            ("holder", json!(run.holder)),
            (
                "assurance",
                json!({"principal": if run.grade == "key-signed" { "issuer-asserted" } else { "inferred" },
                "holder": "inferred", "grade": run.grade}),
            ),
            ("chain", json!(run.digest)),
            ("pop", json!(pop.sign(&run.key))),
            ("decided_at_ms", json!(self.now_ms)),
            ("operation", json!(call.operation)),
            ("tool", json!(call.tool)),
            ("definition_digest", json!({"unknown": "no list has shown it"})),
            ("class", json!({"classes": ["write"], "classified": false, "why": "no row"})),
            ("args_digest", json!(args_digest)),
            ("frame_digest", json!(Digest::of(call.args.as_bytes()).to_string())),
            ("request", json!({"args": args, "principal": run.principal})),
            ("policy_digest", json!(self.policy)),
            ("revocations", json!({"index": self.anchor})),
            ("verdict", json!(if call.refused.is_some() { "deny" } else { "allow" })),
            ("determining", json!(["allow-all"])),
            ("credential", json!({"type": "local-key", "uid": UID, "pop": "verified", "carrier": "wrap"})),
            ("correlators", json!({"clientInfo": {"name": "a client"}})),
        ];
        if let Some(code) = call.refused {
            fields.push(("reason", json!({"code": code, "step": "policy", "text": "not this one"})));
        }
        if !call.inputs.is_null() {
            fields.push(("inputs", call.inputs.clone()));
        }
        let raw = [("args", call.args.to_owned())];
        let causes: Vec<Cause> =
            call.after.map(|outcome| Cause::Here(self.leaf(outcome))).into_iter().collect();
        self.append_raw((Kind::Decided, run.id, run.stream, &causes), &fields, &raw)
    }

    /// Records the outcome of a decided act.
    pub(crate) fn finish(&mut self, run: &Run, decision: u64, act_id: Id, status: &str, result: &str) -> u64 {
        self.finish_with(run, (decision, act_id), status, result, &Value::Null)
    }

    /// Records an outcome with the field `outputs`, unless that is null.
    pub(crate) fn finish_with(
        &mut self,
        run: &Run,
        (decision, act_id): (u64, Id),
        status: &str,
        result: &str,
        outputs: &Value,
    ) -> u64 {
        let mut fields = vec![
            ("act_id", json!(id::text(&act_id))),
            ("status", json!(status)),
            ("result_digest", json!(Digest::of(result.as_bytes()).to_string())),
            ("duration", json!({"us": 1_500})),
        ];
        if !outputs.is_null() {
            fields.push(("outputs", outputs.clone()));
        }
        let cause = [Cause::Here(self.leaf(decision))];
        let raw = [("result", result.to_owned())];
        self.append_raw((Kind::Finished, run.id, run.stream, &cause), &fields, &raw)
    }

    /// An allowed call with its outcome: the positions of both.
    pub(crate) fn call(&mut self, run: &mut Run, tool: &str, args: &str) -> (u64, u64) {
        let act_id = self.id();
        let decided = self.decide(run, &Call { act_id: Some(act_id), ..Call::of(tool, args) });
        (decided, self.finish(run, decided, act_id, "ok", r#"{"content":"done"}"#))
    }

    /// Closes a run with its manifest.
    pub(crate) fn end(&mut self, run: &Run) -> u64 {
        self.end_because(run, "closed")
    }

    pub(crate) fn end_because(&mut self, run: &Run, reason: &str) -> u64 {
        let streams: Vec<Value> = self
            .heads
            .range((run.id, 0)..=(run.id, u64::MAX))
            .map(|((_, stream), (count, last))| json!({"stream": stream, "count": count, "last": Digest(*last).hex()}))
            .collect();
        self.append(
            (Kind::RunEnded, run.id, 0, &[]),
            &[
                ("streams", json!(streams)),
                ("children", json!(self.children.get(&run.id).cloned().unwrap_or_default())),
                ("gaps", json!(0)),
                ("reason", json!(reason)),
                ("open_actions", json!([])),
            ],
        )
    }

    pub(crate) fn log_level(&mut self, kind: Kind, fields: &[(&str, Value)]) -> u64 {
        self.anchor = self.append((kind, LOG_LEVEL, 0, &[]), fields);
        self.anchor
    }

    /// Appends an entry with fields in canonical form.
    pub(crate) fn append(&mut self, place: (Kind, Id, u64, &[Cause]), fields: &[(&str, Value)]) -> u64 {
        self.append_raw(place, fields, &[])
    }

    fn append_raw(
        &mut self,
        place: (Kind, Id, u64, &[Cause]),
        fields: &[(&str, Value)],
        raw: &[(&str, String)],
    ) -> u64 {
        let mut set = FieldSet::new();
        for (name, value) in fields {
            assert!(set.set(place.0, name, self.salt(), json::jcs_text(value)), "{name}");
        }
        for (name, text) in raw {
            assert!(set.set(place.0, name, self.salt(), text.clone()), "{name}");
        }
        let sealed = set.clone();
        self.append_sealed(place, &set, Some(&sealed))
    }

    /// Appends an entry that commits to `fields` with a body that has `sealed`, or without key and body.
    pub(crate) fn append_sealed(
        &mut self,
        (kind, run, stream, causes): (Kind, Id, u64, &[Cause]),
        fields: &FieldSet,
        sealed: Option<&FieldSet>,
    ) -> u64 {
        let event_id = self.id();
        let (seq, prev) = self.heads.get(&(run, stream)).copied().unwrap_or((0, self.name));
        let entry = Entry {
            kind: kind.code().into(),
            event_id,
            observed_ms: self.now_ms,
            run,
            stream,
            seq,
            prev,
            causes: causes.to_vec(),
            vantage: if run == LOG_LEVEL { Vantage::Log } else { Vantage::Harness }.code().into(),
            fields: fields.mask(),
            fields_root: fields.root(kind.code().into()),
            retention: 0,
        };
        let key: [u8; 32] = core::array::from_fn(|at| self.salt()[at % 16]);
        let binding = Binding { log_id: &self.name, event_id: &event_id, fields_root: &entry.fields_root };
        let body = sealed.map(|sealed| body::seal(sealed, &key, binding).unwrap()).unwrap_or_default();
        let wrapped = body::wrap_key(&key, &KEK, &[9; 24], &self.name, &event_id).unwrap();
        let leaf = entry.leaf_hash();
        let wrapped = sealed.map(|_| wrapped);
        self.write(vec![NewEntry { entry: entry.encode(), body, key: wrapped }]);
        if self.next == 0 {
            self.name = leaf;
        }
        self.heads.insert((run, stream), (seq + 1, leaf));
        self.leaves.push(leaf);
        self.next += 1;
        self.now_ms += 100;
        self.next - 1
    }

    /// Writes what `fill` appends in few batches: one sync for each instead of one for each entry.
    pub(crate) fn at_once<T>(&mut self, fill: impl FnOnce(&mut Self) -> T) -> T {
        self.waiting = Some(Vec::new());
        let filled = fill(self);
        for entry in self.waiting.take().unwrap_or_default().chunks(50) {
            self.write(entry.to_vec());
        }
        filled
    }

    fn write(&mut self, entries: Vec<NewEntry>) {
        if let Some(waiting) = &mut self.waiting {
            waiting.extend(entries);
            return;
        }
        let (done, waiting) = mpsc::channel();
        let deliver =
            move |result: Result<store::Sequenced<()>, store::AppendError>| done.send(result).unwrap();
        self.store.append(entries, deliver).unwrap();
        waiting.recv().unwrap().unwrap();
    }

    /// A fresh UUIDv7.
    pub(crate) fn id(&mut self) -> Id {
        let random = self.next_random().to_be_bytes();
        id::uuid_v7(self.now_ms, &core::array::from_fn(|at| random.get(at).copied().unwrap_or(7)))
    }

    fn salt(&mut self) -> [u8; 16] {
        let random = Digest::of(&self.next_random().to_be_bytes()).0;
        core::array::from_fn(|at| random[at])
    }

    fn next_random(&mut self) -> u64 {
        self.random += 1;
        self.random
    }
}

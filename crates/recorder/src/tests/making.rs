//! What principals, delegators and attackers make.

use std::collections::BTreeSet;

use ed25519_dalek::Signer as _;
use evidence::base64url;
use evidence::delegation::{Child, HaltAct, HaltOrder, Link, Mandate, Narrowing, On, RootRequest, delegate};
use testkit::{LogBuilder, Written};
use verify::{Severity, TrustRoots};

use super::*;

/// A chain and the private key of its leaf.
#[derive(Clone)]
pub(crate) struct Held {
    pub(crate) tokens: Vec<String>,
    pub(crate) key: SigningKey,
}

pub(crate) fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

pub(crate) fn digest(token: &str, typ: &str) -> String {
    jws::Signed::parse(token, typ).unwrap().digest()
}

impl Held {
    pub(crate) fn leaf(&self) -> String {
        digest(self.tokens.last().unwrap(), jws::DELEGATION)
    }

    pub(crate) fn link(&self) -> Link {
        let signed = jws::Signed::parse(self.tokens.last().unwrap(), jws::DELEGATION).unwrap();
        Link::parse(signed.unverified()).unwrap()
    }

    pub(crate) fn presented(&self) -> Presented {
        Presented::Chain(self.tokens.clone())
    }

    /// A child for the key `seed`, as its holder would make it.
    pub(crate) fn narrowed<'a>(
        &self,
        bench: &Bench,
        seed: u8,
        change: impl FnOnce(&mut Narrowing<'a>),
    ) -> Self {
        let mut narrowing = Narrowing {
            jti: bench.recorder.new_id(),
            iat: bench.clock.wall_ms() / 1_000,
            ttl: 600,
            cnf: Jwk::of(&key(seed)),
            max_depth: None,
            scope: None,
            purpose: None,
            holder: (format!("agent-{seed}"), PrincipalKind::Agent, "1".into()),
            handoff: None,
            approvals: None,
        };
        change(&mut narrowing);
        self.and(delegate(&self.tokens, &self.key, &narrowing).unwrap(), seed)
    }

    pub(crate) fn child(&self, bench: &Bench, seed: u8) -> Self {
        self.narrowed(bench, seed, |_| {})
    }

    /// A child that says something else than its holder would, signed with the right key all the same.
    pub(crate) fn forged(&self, bench: &Bench, seed: u8, change: impl FnOnce(&mut Child)) -> Self {
        let Link::Child(mut child) = self.child(bench, seed).link() else { panic!("a child") };
        change(&mut child);
        self.and(child.sign(&self.key), seed)
    }

    /// A child whose claims are altered as JSON.
    pub(crate) fn altered(&self, bench: &Bench, seed: u8, change: impl FnOnce(&mut Value)) -> Self {
        let honest = self.child(bench, seed);
        let signed = jws::Signed::parse(honest.tokens.last().unwrap(), jws::DELEGATION).unwrap();
        let mut claims = Value::Object(signed.unverified().clone());
        change(&mut claims);
        self.and(jws::sign(jws::DELEGATION, &claims, &self.key), seed)
    }

    pub(crate) fn and(&self, token: String, seed: u8) -> Self {
        let mut tokens = self.tokens.clone();
        tokens.push(token);
        Self { tokens, key: key(seed) }
    }
}

/// A run under a chain.
pub(crate) fn under(held: &Held) -> OpenRun {
    OpenRun { delegation: Some(held.presented()), key: Jwk::of(&held.key), ..open_fs() }
}

/// Signed by `signer`, for the key `seed`: every tool of `stdio:fs`, three deep.
pub(crate) fn asked(bench: &Bench, signer: &SigningKey, seed: u8) -> RootRequest {
    let now = bench.clock.wall_ms() / 1_000;
    RootRequest {
        jti: id::text(&bench.recorder.new_id()),
        key: Jwk::of(signer).thumbprint(),
        audience: bench.recorder.names().issuer.clone(),
        iat: now,
        exp: now + 300,
        cnf: Jwk::of(&key(seed)),
        max_depth: 3,
        scope: Scope::server("stdio:fs"),
        ttl: 3_600,
        tenant: "local".into(),
        txn: None,
        purpose: "tests".into(),
        holder: Some((format!("agent-{seed}"), PrincipalKind::Agent)),
        why: None,
        intent: None,
        approvals: None,
        mandate: None,
    }
}

/// A standing authority for `holder`.
pub(crate) fn mandate(bench: &Bench, signer: &SigningKey, principal: &str, holder: &str) -> Mandate {
    let now = bench.clock.wall_ms() / 1_000;
    let thumbprint = Jwk::of(signer).thumbprint();
    Mandate {
        jti: id::text(&bench.recorder.new_id()),
        key: thumbprint.clone(),
        audience: bench.recorder.names().issuer.clone(),
        iat: now,
        nbf: now,
        exp: now + 86_400,
        max_depth: 2,
        scope: Scope::server("stdio:fs"),
        tenant: "local".into(),
        principal: evidence::Principal {
            kind: PrincipalKind::Human,
            iss: bench.recorder.names().issuer.clone(),
            sub: principal.into(),
            key: Some(thumbprint),
        },
        purpose: "tests".into(),
        holders: vec![holder.into()],
        root_ttl: 900,
        approvals: None,
    }
}

/// What somebody signs to stop `on`.
pub(crate) fn halt_order(bench: &Bench, signer: &SigningKey, on: &On) -> HaltOrder {
    let now = bench.clock.wall_ms() / 1_000;
    HaltOrder {
        jti: id::text(&bench.recorder.new_id()),
        key: Jwk::of(signer).thumbprint(),
        audience: bench.recorder.names().issuer.clone(),
        iat: now,
        exp: now + 300,
        act: HaltAct::Halt,
        on: on.clone(),
        why: "stop".into(),
        tenant: "local".into(),
        halt: None,
    }
}

/// What somebody signs to let `on` go on.
pub(crate) fn resume_order(bench: &Bench, signer: &SigningKey, on: &On, halt: u64) -> HaltOrder {
    let why = "go on".into();
    HaltOrder { act: HaltAct::Resume, halt: Some(halt), why, ..halt_order(bench, signer, on) }
}

/// A scope of one row.
pub(crate) fn scope(tool: &str, row: &Value) -> Scope {
    Scope::parse(&json!({ tool: row })).unwrap()
}

/// Header and payload as given, signed with `key`.
pub(crate) fn raw(header: &str, payload: &str, key: &SigningKey) -> String {
    let input = format!("{}.{}", base64url::encode(header.as_bytes()), base64url::encode(payload.as_bytes()));
    let signature = key.sign(input.as_bytes());
    format!("{input}.{}", base64url::encode(&signature.to_bytes()))
}

/// The same token with another header.
pub(crate) fn with_header(token: &str, header: &str, key: &SigningKey) -> String {
    let payload = token.split('.').nth(1).unwrap();
    let payload = String::from_utf8(base64url::decode(payload).unwrap()).unwrap();
    raw(header, &payload, key)
}

/// The same token with another signature.
pub(crate) fn with_signature(token: &str, change: impl FnOnce(&mut [u8; 64])) -> String {
    let (input, signature) = token.rsplit_once('.').unwrap();
    let mut bytes: [u8; 64] = base64url::decode(signature).unwrap().try_into().unwrap();
    change(&mut bytes);
    format!("{input}.{}", base64url::encode(&bytes))
}

/// Stops the server and starts it anew, with the snapshot that the stop left or from the log alone: the state is the
/// one that grew with the log either way.
pub(crate) async fn restarted(bench: Bench, directory: &Path, with_snapshot: bool) -> Bench {
    let (live, clock) = (bench.recorder.control().clone(), bench.clock.clone());
    drop(bench);
    let snapshot = directory.join("local/control.json");
    assert_eq!(control::load(&snapshot).unwrap().as_ref(), Some(&live));
    if !with_snapshot {
        std::fs::remove_file(snapshot).unwrap();
    }
    // the seed of what is random next
    clock.advance(1);
    let again = reopened(directory, clock).await;
    assert_eq!(*again.recorder.control(), live);
    again
}

/// The codes that verifying the whole log finds: errors, notes.
pub(crate) fn findings(bench: &Bench) -> (Vec<String>, BTreeSet<&'static str>) {
    let mut log = LogBuilder::empty("audited");
    log.origin.clone_from(&bench.recorder.names().origin);
    log.log_key = key(1);
    for index in 0..bench.recorder.reader().size() {
        let (entry, fields) = bench.entry(index);
        log.push(Written::of(entry, fields));
    }
    let report = verify::verify_bundle(&log.bundle().encode(), &TrustRoots::default());
    let (errors, notes): (Vec<_>, Vec<_>) =
        report.findings.into_iter().partition(|finding| finding.severity == Severity::Error);
    let errors = errors.iter().map(|finding| format!("{finding:?}")).collect();
    (errors, notes.iter().map(|finding| finding.code.name()).collect())
}

/// Changes the state behind the log's back, to bring it near a limit without writing all that would lead there.
pub(crate) fn changed(bench: &Bench, change: impl FnOnce(&mut control::Control)) {
    change(&mut bench.recorder.0.control.write().unwrap());
}

impl Bench {
    /// A root that `signer` asked for, and what may hang below it.
    pub(crate) async fn issued(
        &self,
        signer: &SigningKey,
        seed: u8,
        change: impl FnOnce(&mut RootRequest),
    ) -> Held {
        let mut request = asked(self, signer, seed);
        change(&mut request);
        let issued = self.recorder.issue(&request.sign(signer), PEER).await.unwrap();
        Held { tokens: vec![issued.token], key: key(seed) }
    }

    pub(crate) async fn opened(&self, held: &Held) -> Opened {
        self.recorder.open_run(under(held), PEER).await.unwrap()
    }

    /// An act as the holder of a chain makes it.
    pub(crate) fn act(&self, run: &Opened, held: &Held, tool: &str, args: &str, counter: u64) -> Request {
        self.act_with(run, held, (tool, args), counter, |_| {})
    }

    /// The same with a proof that says something else than its holder would.
    pub(crate) fn act_with(
        &self,
        run: &Opened,
        held: &Held,
        (tool, args): (&str, &str),
        counter: u64,
        change: impl FnOnce(&mut Pop),
    ) -> Request {
        let now = self.clock.wall_ms() / 1_000;
        let digested = evidence::json::parse(args.as_bytes()).unwrap_or_default();
        let mut pop = Pop {
            jti: format!("{counter}"),
            iat: now,
            exp: now + 60,
            audience: self.recorder.names().issuer.clone(),
            leaf: held.leaf(),
            tool: tool.to_owned(),
            args_digest: args_digest(&digested.as_object().cloned().unwrap_or_default()),
            act_id: self.recorder.new_id(),
            counter,
        };
        let act_id = pop.act_id;
        change(&mut pop);
        Request {
            run: run.run,
            stream: run.stream,
            act_id,
            operation: "tools/call".into(),
            tool: tool.to_owned(),
            args: Some(args.to_owned()),
            frame_digest: Digest::of(args.as_bytes()).to_string(),
            sent_frame_digest: None,
            definition_digest: None,
            delegation: held.leaf(),
            pop: pop.sign(&held.key),
            carrier: Carrier::McpMeta,
            root_dir: Some("/work".into()),
            correlators: json!({}),
            enforcement_point: json!({"id": "test", "version": "0"}),
            inputs: Artifacts::default(),
            batch: None,
            retry_of: None,
            malformed: None,
        }
    }

    /// An act is refused, and the record names the step.
    pub(crate) async fn denied(&self, request: Request, step: &str) -> u64 {
        let refused = self.refused(request).await;
        assert_eq!(refused.reason.step, step, "{:?}", refused.reason);
        let index = refused.index.unwrap();
        assert_eq!(self.field(index, "verdict"), Some(json!("deny")));
        assert_eq!(self.field(index, "reason").unwrap()["step"], step);
        index
    }

    /// A run under a chain is refused, nothing but the refusal is written, and that names the step.
    pub(crate) async fn not_taken(&self, held: &Held, step: &str) {
        self.not_opened(under(held), step).await;
    }

    pub(crate) async fn not_opened(&self, open: OpenRun, step: &str) {
        let before = self.recorder.reader().size();
        let refused = self.recorder.open_run(open, PEER).await.map(|opened| opened.run).unwrap_err();
        self.on_record(before, &refused, step);
    }

    /// The one entry written since `before` is the refusal, and names the step.
    pub(crate) fn on_record(&self, before: u64, refused: &RecorderError, step: &str) {
        let reason = refused.refusal().unwrap_or_else(|| panic!("not a refusal: {refused:?}"));
        assert_eq!(reason.step, step, "{refused}");
        assert_eq!(self.recorder.reader().size(), before + 1, "{refused}");
        assert_eq!(self.field(before, "subtype"), Some(json!("refusals")));
        let payload = self.field(before, "payload").unwrap();
        assert_eq!((&payload["step"], &payload["reason"]), (&json!(step), &json!(reason.code)));
        // the rate rule would count the next ones of a long list
        self.clock.advance(250);
    }
}

//! Chains, mandates and orders for the tests: signed with real keys, recorded as the recorder does.

use ed25519_dalek::SigningKey;
use evidence::delegation::{
    Approvals, HaltAct, HaltOrder, Mandate, Named, Narrowing, On, Revocation, Root, RootRequest, Source,
    Target, What, delegate,
};
use evidence::id::{self, Id};
use evidence::jws::{self, Jwk, Signed};
use evidence::principal::{Holder, Principal, PrincipalKind};
use evidence::{Cause, Digest, Kind, Scope};
use serde_json::{Value, json};

use crate::log::{Log, Run, issuer_key};

/// A chain in somebody's hands.
#[derive(Clone)]
pub(crate) struct Held {
    pub(crate) chain: Vec<String>,
    pub(crate) request: Option<String>,
    pub(crate) principal: Principal,
    pub(crate) txn: Id,
    pub(crate) key: SigningKey,
    /// The run in which the root was issued.
    pub(crate) issuance: Id,
}

/// What is asked for.
pub(crate) struct Ask<'a> {
    /// Who signs the request.
    pub(crate) signer: &'a SigningKey,
    pub(crate) principal: Principal,
    /// The mandate under which it is asked.
    pub(crate) mandate: Option<&'a Mandated>,
    pub(crate) holder: &'a str,
    pub(crate) key: SigningKey,
    pub(crate) tools: Value,
    pub(crate) ttl: u64,
    pub(crate) purpose: &'a str,
    pub(crate) why: Option<&'a str>,
    pub(crate) approvals: Option<Approvals>,
}

/// A mandate in the log.
#[derive(Clone)]
pub(crate) struct Mandated {
    pub(crate) mandate: Mandate,
    pub(crate) digest: String,
    pub(crate) index: u64,
}

impl Held {
    pub(crate) fn token(&self) -> &str {
        self.chain.last().unwrap()
    }

    pub(crate) fn digest(&self) -> String {
        digest(self.token())
    }

    pub(crate) fn thumbprint(&self) -> String {
        Jwk::of(&self.key).thumbprint()
    }
}

/// Token digest of a delegation.
pub(crate) fn digest(token: &str) -> String {
    Signed::parse(token, jws::DELEGATION).unwrap().digest()
}

impl Log {
    /// What a person asks for herself: a root that may be passed on three times.
    pub(crate) fn ask<'a>(
        &self,
        sub: &str,
        signer: &'a SigningKey,
        holder: &'a str,
        key: SigningKey,
        tools: Value,
    ) -> Ask<'a> {
        Ask {
            signer,
            principal: self.person(sub, signer),
            mandate: None,
            holder,
            key,
            tools,
            ttl: 3_600,
            purpose: "ticket-triage",
            why: None,
            approvals: None,
        }
    }

    /// Issues a root outside any run that uses it: in a run of its own.
    pub(crate) fn issue(&mut self, ask: &Ask<'_>) -> Held {
        let held = self.sign_root(ask);
        let run = Run { id: held.issuance, ..self.run_of(&held) };
        self.start(&run, None);
        self.record_links(&run, &held);
        self.end_because(&run, "issued");
        held
    }

    /// A root that was issued, and of which nothing is recorded.
    pub(crate) fn sign_root(&mut self, ask: &Ask<'_>) -> Held {
        let now_s = self.now_ms / 1_000;
        let request = RootRequest {
            jti: id::text(&self.id()),
            key: Jwk::of(ask.signer).thumbprint(),
            audience: self.issuer.clone(),
            iat: now_s,
            exp: now_s + 300,
            cnf: Jwk::of(&ask.key),
            max_depth: 3,
            scope: Scope::parse(&ask.tools).unwrap(),
            ttl: ask.ttl,
            tenant: "local".into(),
            txn: None,
            purpose: ask.purpose.into(),
            holder: Some((ask.holder.into(), PrincipalKind::Agent)),
            why: ask.why.map(str::to_owned),
            intent: None,
            approvals: ask.approvals.clone(),
            mandate: ask.mandate.map(|mandate| mandate.digest.clone()),
        };
        let signed = request.sign(ask.signer);
        let named = Named {
            kid: request.key.clone(),
            jti: request.jti.clone(),
            digest: Signed::parse(&signed, jws::ROOT_REQUEST).unwrap().digest(),
        };
        let source = match ask.mandate {
            Some(mandate) => Source::Mandate {
                mandate: Named {
                    kid: mandate.mandate.key.clone(),
                    jti: mandate.mandate.jti.clone(),
                    digest: mandate.digest.clone(),
                },
                request: named,
            },
            None => Source::KeyRequest(named),
        };
        let root = Root {
            jti: id::text(&self.id()),
            issuer: self.issuer.clone(),
            iat: now_s,
            nbf: now_s,
            exp: now_s + ask.ttl,
            cnf: request.cnf.clone(),
            max_depth: 3,
            scope: request.scope.clone(),
            tenant: "local".into(),
            txn: self.id(),
            purpose: ask.purpose.into(),
            principal: ask.principal.clone(),
            holder: Holder {
                id: ask.holder.into(),
                inst: "1".into(),
                kind: PrincipalKind::Agent,
                asr: "delegator-asserted".into(),
                key: request.cnf.thumbprint(),
            },
            source,
            why: request.why.clone(),
            intent: None,
            approvals: request.approvals.clone(),
        };
        Held {
            chain: vec![root.sign(&issuer_key())],
            request: Some(signed),
            principal: ask.principal.clone(),
            txn: root.txn,
            key: ask.key.clone(),
            issuance: self.id(),
        }
    }

    /// Narrows what somebody holds for another key, offline.
    pub(crate) fn narrow(
        &mut self,
        from: &Held,
        holder: &str,
        key: SigningKey,
        tools: Option<Value>,
        handoff: Option<&str>,
    ) -> Held {
        let narrowing = Narrowing {
            jti: self.id(),
            iat: self.now_ms / 1_000,
            ttl: 1_800,
            cnf: Jwk::of(&key),
            max_depth: None,
            scope: tools.map(|tools| Scope::parse(&tools).unwrap()),
            purpose: None,
            holder: (holder.into(), PrincipalKind::Agent, "1".into()),
            handoff,
            approvals: None,
        };
        let token = delegate(&from.chain, &from.key, &narrowing).unwrap();
        let mut held = from.clone();
        held.chain.push(token);
        held.key = key;
        held
    }

    /// Opens a run under a chain; a parent announces it in its own run.
    pub(crate) fn open_under(&mut self, held: &Held, parent: Option<&Run>, handoff: Option<&str>) -> Run {
        let mut run = self.run_of(held);
        run.started = self.start(&run, parent);
        run.delegated = self.record_links(&run, held);
        let Some(parent) = parent else { return run };
        let mut fields = vec![
            ("child", json!(id::text(&run.id))),
            ("delegation", json!(run.digest)),
            ("holder", json!(run.holder)),
            ("by", json!(digest(&held.chain[held.chain.len() - 2]))),
        ];
        if let Some(text) = handoff {
            fields.push(("handoff_digest", json!(Digest::of(text.as_bytes()).to_string())));
            fields.push(("handoff", json!(text)));
        }
        let cause = [Cause::Here(self.leaf(run.delegated))];
        self.append((Kind::ChildStarted, parent.id, 0, &cause), &fields);
        self.children.entry(parent.id).or_default().push(id::text(&run.id));
        run
    }

    fn run_of(&mut self, held: &Held) -> Run {
        let leaf = evidence::delegation::Link::parse(
            Signed::parse(held.token(), jws::DELEGATION).unwrap().unverified(),
        )
        .unwrap();
        Run {
            id: self.id(),
            stream: 0,
            txn: held.txn,
            principal: held.principal.clone(),
            holder: leaf.holder(),
            grade: "key-signed",
            token: held.token().to_owned(),
            digest: held.digest(),
            started: 0,
            delegated: 0,
            key: held.key.clone(),
            counter: 0,
        }
    }

    fn start(&mut self, run: &Run, parent: Option<&Run>) -> u64 {
        let mut fields = vec![
            ("txn", json!(id::text(&run.txn))),
            ("initiator", json!(run.principal)),
            ("evidence_grade", json!(run.grade)),
            ("trigger", json!("agent")),
            ("servers", json!([])),
            ("holder", json!(run.holder)),
        ];
        fields.extend(parent.map(|parent| ("parent", json!(id::text(&parent.id)))));
        self.append((Kind::RunStarted, run.id, 0, &[]), &fields)
    }

    /// One entry for each link, root first; the position of the leaf's.
    pub(crate) fn record_links(&mut self, run: &Run, held: &Held) -> u64 {
        self.record_from(run, held, 0)
    }

    /// The entries of the links from a place of the chain on.
    pub(crate) fn record_from(&mut self, run: &Run, held: &Held, from: usize) -> u64 {
        let mut above = None;
        for (place, token) in held.chain.iter().enumerate().skip(from) {
            let signed = Signed::parse(token, jws::DELEGATION).unwrap();
            let link = evidence::delegation::Link::parse(signed.unverified()).unwrap();
            let holder = link.as_child().map_or_else(|| link.holder(), |child| child.holder.clone());
            let fields = [
                ("token", json!(token)),
                ("digest", json!(signed.digest())),
                ("request", json!(held.request.as_ref().filter(|_| place == 0))),
                ("evidence_grade", json!(run.grade)),
                ("principal", json!(held.principal)),
                ("holder", json!(holder)),
                ("txn", json!(id::text(&held.txn))),
                ("exp", json!(link.exp())),
            ];
            let causes: Vec<Cause> = above.map(|above| Cause::Here(self.leaf(above))).into_iter().collect();
            above = Some(self.append((Kind::Delegated, run.id, 0, &causes), &fields));
        }
        above.unwrap()
    }

    /// Registers a service.
    pub(crate) fn service(&mut self, sub: &str, key: &SigningKey) -> Principal {
        let principal = Principal { kind: PrincipalKind::Service, ..self.person(sub, key) };
        let jwk = Jwk::of(key);
        self.log_level(
            Kind::KeyOrTrustChanged,
            &[
                ("change", json!("principal-registered")),
                ("principal", json!(principal)),
                ("key", jwk.to_json()),
                ("thumbprint", json!(jwk.thumbprint())),
                ("assurance", json!("inferred")),
            ],
        );
        principal
    }

    /// A person's standing authority for services.
    pub(crate) fn mandate(
        &mut self,
        sub: &str,
        key: &SigningKey,
        holders: &[&str],
        tools: &Value,
    ) -> Mandated {
        let now_s = self.now_ms / 1_000;
        let mandate = Mandate {
            jti: id::text(&self.id()),
            key: Jwk::of(key).thumbprint(),
            audience: self.issuer.clone(),
            iat: now_s,
            nbf: now_s,
            exp: now_s + 30 * 86_400,
            max_depth: 3,
            scope: Scope::parse(tools).unwrap(),
            tenant: "local".into(),
            principal: self.person(sub, key),
            purpose: "nightly".into(),
            holders: holders.iter().map(|holder| (*holder).to_owned()).collect(),
            root_ttl: 900,
            approvals: None,
        };
        let token = mandate.sign(key);
        let digest = Signed::parse(&token, jws::MANDATE).unwrap().digest();
        let index = self.log_level(
            Kind::Delegated,
            &[
                ("token", json!(token)),
                ("digest", json!(digest)),
                ("principal", json!(mandate.principal)),
                ("evidence_grade", json!("key-signed")),
                ("exp", json!(mandate.exp)),
            ],
        );
        Mandated { mandate, digest, index }
    }

    /// Revokes something; signed where there is a key, else on the word of the operating system.
    pub(crate) fn revoke(
        &mut self,
        what: What,
        target: &Target,
        eff: u64,
        signer: Option<(&str, &SigningKey)>,
    ) -> u64 {
        let now_s = self.now_ms / 1_000;
        let by = signer.map_or_else(
            || json!({"kind": "unknown", "iss": self.issuer, "sub": "uid:1000"}),
            |(sub, key)| json!(self.person(sub, key)),
        );
        let token = signer.map(|(_, signer)| {
            let order = Revocation {
                jti: id::text(&self.id()),
                key: Jwk::of(signer).thumbprint(),
                audience: self.issuer.clone(),
                iat: now_s,
                exp: now_s + 300,
                what,
                target: target.clone(),
                eff,
                why: "key stolen".into(),
                tenant: "local".into(),
            };
            order.sign(signer)
        });
        self.log_level(
            Kind::Revoked,
            &[
                ("what", json!(what.as_str())),
                ("target", target.to_json()),
                ("eff", json!(eff)),
                ("why", json!("key stolen")),
                ("by", by),
                ("assurance", json!(if token.is_some() { "issuer-asserted" } else { "inferred" })),
                ("token", json!(token)),
            ],
        )
    }

    pub(crate) fn halt(&mut self, on: &On) -> u64 {
        let by = json!({"kind": "unknown", "iss": self.issuer, "sub": "uid:1000"});
        self.log_level(
            Kind::HaltedOrResumed,
            &[
                ("change", json!("halted")),
                ("on", on.to_json()),
                ("why", json!("it went wild")),
                ("by", by),
                ("token", Value::Null),
                ("assurance", json!("inferred")),
            ],
        )
    }

    pub(crate) fn resume(&mut self, halt: u64, on: &On, sub: &str, signer: &SigningKey) -> u64 {
        let now_s = self.now_ms / 1_000;
        let order = HaltOrder {
            jti: id::text(&self.id()),
            key: Jwk::of(signer).thumbprint(),
            audience: self.issuer.clone(),
            iat: now_s,
            exp: now_s + 300,
            act: HaltAct::Resume,
            on: on.clone(),
            why: "looked into it".into(),
            tenant: "local".into(),
            halt: Some(halt),
        };
        let token = order.sign(signer);
        self.log_level(
            Kind::HaltedOrResumed,
            &[
                ("change", json!("resumed")),
                ("on", on.to_json()),
                ("why", json!("looked into it")),
                ("by", json!(self.person(sub, signer))),
                ("token", json!(token)),
                ("assurance", json!("issuer-asserted")),
                ("halt", json!(halt)),
            ],
        )
    }
}

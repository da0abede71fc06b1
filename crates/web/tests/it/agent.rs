//! People who give authority, and agents who hold it and hand it on.

use capture::api::{self, Begin};
use ed25519_dalek::SigningKey;
use evidence::delegation::{Narrowing, Pop, RootRequest, args_digest, delegate};
use evidence::id::{self, Id};
use evidence::jws::{self, Jwk, Signed};
use evidence::principal::PrincipalKind;
use evidence::{Digest, Scope};
use serde_json::{Value, json};

use crate::support::{Bench, opening};

/// An agent with its key and the chain that ends in it.
#[derive(Clone)]
pub(crate) struct Agent {
    pub(crate) key: SigningKey,
    /// Root first.
    pub(crate) chain: Vec<String>,
    /// The text that came with the work.
    pub(crate) handoff: Option<String>,
    pub(crate) counter: u64,
}

pub(crate) fn tools(names: &[&str]) -> Scope {
    let rows = names.iter().map(|name| (format!("stdio:fs#{name}"), json!({})));
    Scope::parse(&Value::Object(rows.collect())).unwrap()
}

impl Bench {
    /// What a person signs to have a root issued for an agent's key.
    pub(crate) fn asked(&self, person: &SigningKey, agent: &SigningKey) -> RootRequest {
        RootRequest {
            jti: id::text(&self.new_id()),
            key: Jwk::of(person).thumbprint(),
            audience: self.recorder.names().issuer.clone(),
            iat: self.now_s(),
            exp: self.now_s() + 300,
            cnf: Jwk::of(agent),
            max_depth: 3,
            scope: tools(&["*"]),
            ttl: 3_600,
            tenant: "local".into(),
            txn: None,
            purpose: "containment".into(),
            holder: Some(("lead".into(), PrincipalKind::Agent)),
            why: None,
            intent: None,
            approvals: None,
            mandate: None,
        }
    }

    /// An agent with a root that a person asked for.
    pub(crate) async fn agent(&self, person: &SigningKey, seed: u8) -> Agent {
        let key = SigningKey::from_bytes(&[seed; 32]);
        let issued = self.client().await.issue(self.asked(person, &key).sign(person)).await.unwrap();
        Agent { key, chain: vec![issued.delegation], handoff: None, counter: 0 }
    }
}

impl Agent {
    /// Token digest of the leaf.
    pub(crate) fn leaf(&self) -> String {
        Signed::parse(self.chain.last().unwrap(), jws::DELEGATION).unwrap().digest()
    }

    /// The task.
    pub(crate) fn txn(&self) -> String {
        let leaf = Signed::parse(self.chain.last().unwrap(), jws::DELEGATION).unwrap();
        leaf.unverified()["deeds"]["txn"].as_str().unwrap().to_owned()
    }

    pub(crate) fn thumbprint(&self) -> String {
        Jwk::of(&self.key).thumbprint()
    }

    /// Hands work on to another key.
    pub(crate) fn hand_on(&self, bench: &Bench, seed: u8, scope: Option<Scope>) -> Self {
        let key = SigningKey::from_bytes(&[seed; 32]);
        let handoff = format!("part {seed} of the work");
        let narrowing = Narrowing {
            jti: bench.new_id(),
            iat: bench.now_s(),
            ttl: 3_600,
            cnf: Jwk::of(&key),
            max_depth: None,
            scope,
            purpose: None,
            holder: (format!("sub-{seed}"), PrincipalKind::Agent, "1".into()),
            handoff: Some(&handoff),
            approvals: None,
        };
        let child = delegate(&self.chain, &self.key, &narrowing).unwrap();
        let chain = self.chain.iter().cloned().chain([child]).collect();
        Self { key, chain, handoff: Some(handoff), counter: 0 }
    }

    /// A request for a run under its chain.
    pub(crate) fn opening(&self) -> api::OpenRun {
        api::OpenRun {
            delegation: Some(api::Presented::Chain(self.chain.clone())),
            handoff: self.handoff.clone(),
            ..opening(&self.key, "fs", None)
        }
    }

    /// A fresh proof for a call, and its act.
    pub(crate) fn proof(&mut self, bench: &Bench, tool: &str, args: &Value) -> (Id, String) {
        self.counter += 1;
        let pop = Pop {
            jti: self.counter.to_string(),
            iat: bench.now_s(),
            exp: bench.now_s() + 60,
            audience: bench.recorder.names().issuer.clone(),
            leaf: self.leaf(),
            tool: format!("stdio:fs#{tool}"),
            args_digest: args_digest(args.as_object().unwrap()),
            act_id: bench.new_id(),
            counter: self.counter - 1,
        };
        (pop.act_id, pop.sign(&self.key))
    }

    /// A call with a fresh proof, and that proof.
    pub(crate) fn call(&mut self, bench: &Bench, tool: &str, args: &Value) -> Begin {
        let (act_id, pop) = self.proof(bench, tool, args);
        Begin {
            stream: 0,
            act_id: id::text(&act_id),
            operation: "tools/call".into(),
            tool: format!("stdio:fs#{tool}"),
            args: Some(args.to_string()),
            frame_digest: Digest::of(args.to_string().as_bytes()).to_string(),
            sent_frame_digest: None,
            definition_digest: None,
            delegation: Some(self.leaf()),
            pop: Some(pop),
            carrier: None,
            root_dir: None,
            correlators: json!({}),
            inputs: capture::api::Artifacts::default(),
            batch: None,
            retry_of: None,
        }
    }

    /// What a call carries in `_meta`.
    pub(crate) fn member(&mut self, bench: &Bench, tool: &str, args: &Value) -> Value {
        let (_, pop) = self.proof(bench, tool, args);
        let mut member = json!({"chain": self.chain, "pop": pop});
        if let Some(handoff) = &self.handoff {
            member["handoff"] = json!(handoff);
        }
        member
    }
}

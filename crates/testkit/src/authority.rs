//! Authority that is handed on: children for sub-agents and their runs, mandates and the roots under them.

use evidence::delegation::{Child, Link, Mandate, Source};
use evidence::id;
use evidence::jws::{self, Jwk, Signed};
use evidence::{Kind, Scope};
use serde_json::json;
use tlog::Hash;

use crate::log::{Draft, LogBuilder};
use crate::story::{Person, TestRun, named, token_digest};

/// Life of the mandates given here, seconds.
const MANDATE_S: u64 = 30 * 86_400;

impl LogBuilder {
    /// A sub-agent of a run's agent, in a run of its own of the same task, nothing of which is recorded yet. It has
    /// no delegation: see [`LogBuilder::hand_over`].
    pub fn sub_agent(&mut self, parent: &TestRun, name: &str) -> TestRun {
        let mut run = self.agent(name, &parent.principal);
        run.txn = parent.txn;
        run.holder.asr = "delegator-asserted".into();
        run.scope = parent.scope.clone();
        run.max_depth = parent.max_depth;
        run.parent = Some(parent.id);
        run.request.clone_from(&parent.request);
        run
    }

    /// What the holder of a run's leaf signs to hand its authority to another run's agent.
    pub fn child_delegation(&mut self, parent: &TestRun, run: &TestRun) -> Child {
        let leaf = parent.chain.last().expect("a delegation to hand on");
        let signed = Signed::parse(leaf, jws::DELEGATION).expect("a delegation");
        let above = Link::parse(signed.unverified()).expect("claims of a delegation");
        let now = self.clock.now_ms() / 1_000;
        Child {
            jti: id::text(&self.id()),
            delegator: Jwk::of(&parent.key).thumbprint(),
            audience: above.audience().to_owned(),
            iat: now,
            nbf: now,
            exp: above.exp(),
            cnf: Jwk::of(&run.key),
            parent: token_digest(leaf),
            depth: above.depth() + 1,
            max_depth: run.max_depth,
            scope: run.scope.clone(),
            tenant: above.tenant().to_owned(),
            txn: run.txn,
            purpose: above.purpose().to_owned(),
            holder: run.holder.clone(),
            handoff: None,
            approvals: above.approvals().cloned(),
        }
    }

    /// The entry of any link in a run; `above` is the leaf hash of the entry of its parent.
    pub fn linked(&self, run: &TestRun, token: &str, above: Option<Hash>) -> Draft {
        let request = if above.is_none() { run.request.as_deref() } else { None };
        let mut draft = self.delegated(run, token, request);
        if let Ok(signed) = Signed::parse(token, jws::DELEGATION) {
            draft = draft.with("holder", &signed.unverified()["deeds"]["hld"]);
        }
        above.into_iter().fold(draft, Draft::cause)
    }

    /// Records every link of a chain in a run, root first, and has the run use it; gives the index of the last one.
    pub fn record_chain(&mut self, run: &mut TestRun, chain: Vec<String>) -> u64 {
        let mut above = None;
        let mut last = 0;
        for token in &chain {
            last = self.append(self.linked(run, token, above));
            above = Some(self.leaf(last));
        }
        run.delegation = token_digest(chain.last().expect("a link"));
        run.chain = chain;
        last
    }

    /// Signs a child with the parent's key and records its whole chain in the sub-agent's run.
    pub fn record_child(&mut self, parent: &TestRun, run: &mut TestRun, child: &Child) -> u64 {
        let mut chain = parent.chain.clone();
        chain.push(child.sign(&parent.key));
        self.record_chain(run, chain)
    }

    /// The usual hand-over: the child's run starts, records its chain, and the parent's run announces it. Gives the
    /// index of the announcement.
    pub fn hand_over(&mut self, parent: &mut TestRun, run: &mut TestRun) -> u64 {
        self.start(run);
        let child = self.child_delegation(parent, run);
        let leaf = self.record_child(parent, run, &child);
        self.announce(parent, run, leaf)
    }

    /// The entry in the parent's run that names a child's; `leaf` is the index of the child's leaf delegation.
    pub fn child_started(&self, parent: &TestRun, run: &TestRun, leaf: u64) -> Draft {
        Draft::new(Kind::ChildStarted)
            .run(parent.id)
            .cause(self.leaf(leaf))
            .with("child", &json!(id::text(&run.id)))
            .with("delegation", &json!(run.delegation))
            .with("holder", &json!(run.holder))
            .with("by", &json!(parent.delegation))
    }

    /// Announces a child's run in its parent's.
    pub fn announce(&mut self, parent: &mut TestRun, run: &TestRun, leaf: u64) -> u64 {
        parent.children.push(run.id);
        self.append(self.child_started(parent, run, leaf))
    }

    /// A standing authority of a person for services of this issuer.
    pub fn mandate(&mut self, person: &Person, holders: &[&str], scope: &Scope) -> Mandate {
        let now = self.clock.now_ms() / 1_000;
        Mandate {
            jti: id::text(&self.id()),
            key: Jwk::of(&person.key).thumbprint(),
            audience: self.issuer.clone(),
            iat: now,
            nbf: now,
            exp: now + MANDATE_S,
            max_depth: 3,
            scope: scope.clone(),
            tenant: "local".to_owned(),
            principal: person.principal.clone(),
            purpose: "tests".to_owned(),
            holders: holders.iter().map(|holder| (*holder).to_owned()).collect(),
            root_ttl: 3_600,
            approvals: None,
        }
    }

    /// The log-level entry of a mandate.
    pub fn mandated(&self, person: &Person, token: &str) -> Draft {
        Draft::new(Kind::Delegated)
            .with("token", &json!(token))
            .with("digest", &json!(token_digest(token)))
            .with("principal", &json!(person.principal))
    }

    /// A run of a registered service that works under somebody's mandate: its holder is the service.
    pub fn service(&mut self, service: &Person, mandator: &Person) -> TestRun {
        let mut run = self.agent(&service.principal.sub, &mandator.principal);
        run.holder.kind = service.principal.kind;
        run.holder.asr = "issuer-asserted".into();
        run
    }

    /// Has a service sign for a run under a mandate, and records the root issued on it.
    pub fn delegate_under(&mut self, run: &mut TestRun, service: &Person, mandate: &str) -> u64 {
        let mut request = self.root_request(run, service);
        request.mandate = Some(token_digest(mandate));
        let request = request.sign(&service.key);
        let root = self.root_delegation(run, source_under(mandate, &request));
        self.record(run, &root, Some(&request))
    }

    /// A run that ends as soon as its root is issued, as the log keeps it; the root can be used in other runs.
    pub fn issue(&mut self, run: &mut TestRun, person: &Person) -> u64 {
        self.start(run);
        let index = self.delegate(run, person);
        self.append(self.manifest(run).with("reason", &json!("issued")));
        index
    }

    /// A run that uses the chain of another one, without being its child.
    pub fn run_under(&mut self, other: &TestRun) -> TestRun {
        let mut run = other.clone();
        run.id = self.id();
        run.children = Vec::new();
        run.parent = None;
        run
    }
}

/// The source of a root that rests on a request under a mandate.
pub fn source_under(mandate: &str, request: &str) -> Source {
    Source::Mandate { mandate: named(mandate, jws::MANDATE), request: named(request, jws::ROOT_REQUEST) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hand_over_is_in_both_runs() {
        let mut log = LogBuilder::new("authority");
        let person = log.register("alice");
        let mut parent = log.agent("helper", &person.principal);
        parent.max_depth = 2;
        log.start(&parent);
        log.delegate(&mut parent, &person);
        let mut child = log.sub_agent(&parent, "searcher");
        let announced = log.hand_over(&mut parent, &mut child);
        assert_eq!((announced, parent.children.clone(), child.chain.len()), (8, vec![child.id], 2));
        let signed = Signed::parse(&child.chain[1], jws::DELEGATION).unwrap();
        signed.verify(&Jwk::of(&parent.key)).unwrap();
        let link = Link::parse(signed.unverified()).unwrap();
        assert_eq!((link.depth(), link.parent()), (1, Some(parent.delegation.as_str())));
    }
}

//! The cases of `vectors/v0/delegation/`: a chain and an act under it, without any log (format §11).

mod acts;
mod arguments;
mod chains;
mod constraints;
mod links;
mod orders;
mod tokens;

use evidence::Scope;
use evidence::delegation::{Child, Pop, Root, args_digest};
use evidence::id;
use evidence::json::parse_i_json;
use evidence::jws::Jwk;
use serde_json::{Map, Value, json};
use testkit::{LogBuilder, Person, SigningKey, TestRun, signed_text, source_of, token_digest};

/// The tool that most acts are of.
const READ: &str = "stdio:fs#read_file";
/// The arguments of most acts.
const ARGS: &str = r#"{"path":"/srv/report.txt"}"#;

/// One case, as it is written.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) json: Value,
}

impl Case {
    /// The file.
    pub(crate) fn text(&self) -> String {
        format!("{:#}\n", self.json)
    }
}

/// Every case.
pub(crate) fn all() -> Vec<Case> {
    [
        chains::cases(),
        tokens::cases(),
        links::cases(),
        constraints::cases(),
        arguments::cases(),
        acts::cases(),
        orders::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Somebody's agents, each below the one before, and what one of them wants to do.
#[derive(Clone)]
struct Scene {
    log: LogBuilder,
    person: Person,
    /// One for each link, root first.
    agents: Vec<TestRun>,
    chain: Vec<String>,
    registered: Vec<String>,
    at: u64,
    tool: String,
    args: String,
    act_id: evidence::id::Id,
    /// A proof of the usual kind, unless there is one here.
    pop: Option<String>,
    revocations: Vec<Value>,
    halts: Vec<Value>,
    logged_at: u64,
}

impl Scene {
    /// Without any delegation.
    fn new() -> Self {
        let mut log = LogBuilder::empty("delegation");
        let person = log.person("alice");
        let at = log.clock.now_ms() / 1_000;
        Self {
            registered: vec![Jwk::of(&person.key).thumbprint()],
            act_id: log.id(),
            log,
            person,
            agents: Vec::new(),
            chain: Vec::new(),
            at,
            tool: READ.to_owned(),
            args: ARGS.to_owned(),
            pop: None,
            revocations: Vec::new(),
            halts: Vec::new(),
            logged_at: at,
        }
    }

    /// With a root for every tool of `stdio:fs`, after a change.
    fn rooted(change: impl FnOnce(&mut Root)) -> Self {
        let mut scene = Self::new();
        let mut agent = scene.log.agent("agent 0", &scene.person.principal);
        agent.max_depth = 8;
        let request = scene.log.root_request(&agent, &scene.person).sign(&scene.person.key);
        let mut root = scene.log.root_delegation(&agent, source_of(&request));
        change(&mut root);
        scene.add(agent, root.sign(&scene.log.issuer_key));
        scene
    }

    /// With a usual chain of this many links.
    fn links(count: usize) -> Self {
        (1..count).fold(Self::rooted(|_| {}), |scene, _| scene.child(|_| {}))
    }

    /// With one more link, after a change, which its parent's holder signs.
    fn child(self, change: impl FnOnce(&mut Child)) -> Self {
        let key = self.leaf_key().clone();
        self.child_by(&key, change)
    }

    /// With one more link that a key signs; the child's issuer is that key unless the change says otherwise.
    fn child_by(mut self, key: &SigningKey, change: impl FnOnce(&mut Child)) -> Self {
        let (agent, mut child) = self.unsigned_child();
        child.delegator = Jwk::of(key).thumbprint();
        change(&mut child);
        self.add(agent, child.sign(key));
        self
    }

    /// What the leaf's holder could sign for the next agent.
    fn unsigned_child(&mut self) -> (TestRun, Child) {
        let mut parent =
            self.agents.last().cloned().unwrap_or_else(|| self.log.agent("nobody", &self.person.principal));
        parent.chain.clone_from(&self.chain);
        let agent = self.log.sub_agent(&parent, &format!("agent {}", self.agents.len()));
        let child = self.log.child_delegation(&parent, &agent);
        (agent, child)
    }

    fn add(&mut self, mut agent: TestRun, token: String) {
        agent.delegation = token_digest(&token);
        agent.counter = 0;
        self.agents.push(agent);
        self.chain.push(token);
    }

    fn leaf_key(&self) -> &SigningKey {
        self.agents.last().map_or(&self.log.issuer_key, |agent| &agent.key)
    }

    /// The token of the last link, replaced.
    fn leaf(mut self, change: impl FnOnce(&Self, &str) -> String) -> Self {
        let token = self.chain.last().cloned().unwrap_or_default();
        let changed = change(&self, &token);
        if let Some(last) = self.chain.last_mut() {
            *last = changed;
        }
        self
    }

    /// Another chain of the same tokens, or with others among them.
    fn chained(mut self, change: impl FnOnce(&mut Vec<String>)) -> Self {
        change(&mut self.chain);
        self
    }

    fn calls(mut self, tool: &str, args: &str) -> Self {
        tool.clone_into(&mut self.tool);
        args.clone_into(&mut self.args);
        self
    }

    fn at(mut self, at: u64) -> Self {
        self.at = at;
        self
    }

    /// The proof after a change, signed by the leaf's holder.
    fn proof(mut self, change: impl FnOnce(&mut Pop)) -> Self {
        let mut pop = self.usual_proof();
        change(&mut pop);
        self.pop = Some(pop.sign(self.leaf_key()));
        self
    }

    /// Made when the act is decided, by whoever holds the leaf.
    fn usual_proof(&self) -> Pop {
        let args = parse_i_json(self.args.as_bytes()).unwrap_or_default();
        Pop {
            jti: "00000000000000000000000000000000".into(),
            iat: self.at,
            exp: self.at + 60,
            audience: self.log.issuer.clone(),
            leaf: self
                .chain
                .last()
                .filter(|token| token.contains('.'))
                .map_or_else(|| "none".into(), |token| token_digest(token)),
            tool: self.tool.clone(),
            args_digest: args_digest(args.as_object().unwrap_or(&Map::new())),
            act_id: self.act_id,
            counter: 0,
        }
    }

    fn allowed(self, name: &str, description: &str, notes: &[&str]) -> Case {
        self.case(name, description, &json!({"allowed": true, "notes": notes}))
    }

    fn refused(self, name: &str, description: &str, step: &str) -> Case {
        self.case(name, description, &json!({"allowed": false, "step": step}))
    }

    fn case(self, name: &str, description: &str, expect: &Value) -> Case {
        let pop = self.pop.clone().unwrap_or_else(|| self.usual_proof().sign(self.leaf_key()));
        let json = json!({
            "description": description,
            "issuer": self.log.issuer,
            "tenant": "local",
            "issuer_key": Jwk::of(&self.log.issuer_key).to_json(),
            "registered": self.registered,
            "at": self.at,
            "chain": self.chain,
            "revocations": self.revocations,
            "halts": self.halts,
            "root_logged_at": self.logged_at,
            "act": {"tool": self.tool, "args": self.args, "act_id": id::text(&self.act_id), "pop": pop},
            "expect": expect,
        });
        Case { name: name.to_owned(), json }
    }
}

/// A scope of one tool with this row.
fn row(row: &Value) -> Scope {
    scope(&json!({READ: row}))
}

fn scope(tools: &Value) -> Scope {
    Scope::parse(tools).unwrap_or_else(|_| Scope::server("stdio:none"))
}

/// Header and payload of a token as text.
fn texts(token: &str) -> [String; 2] {
    let mut segments = token.split('.').map(|segment| {
        let bytes = evidence::base64url::decode(segment).unwrap_or_default();
        String::from_utf8(bytes).unwrap_or_default()
    });
    [segments.next().unwrap_or_default(), segments.next().unwrap_or_default()]
}

/// A token with another header and payload, signed again.
fn retold(token: &str, key: &SigningKey, change: impl FnOnce(&mut String, &mut String)) -> String {
    let [mut header, mut payload] = texts(token);
    change(&mut header, &mut payload);
    signed_text(&header, &payload, key)
}

/// A token with another claim at a JSON pointer, signed again.
fn reclaimed(token: &str, key: &SigningKey, place: &str, value: Value) -> String {
    testkit::resigned(token, evidence::jws::DELEGATION, key, place, value)
}

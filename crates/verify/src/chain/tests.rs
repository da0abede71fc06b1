//! The checks as the recorder calls them: each fails for its own reason, at its own boundary. What a bundle makes of
//! them is tested by the vectors.

use evidence::Scope;
use evidence::delegation::args_digest;
use evidence::principal::PrincipalKind;
use serde_json::json;
use testkit::{Call, LogBuilder, Person, TestRun, signing_key, source_of};

use super::*;

/// What the principal asks otherwise, and what the issuer gives otherwise.
type Case = (fn(&mut RootRequest), fn(&mut Root));

/// A person, an agent, and the call that the agent wants to make.
struct Scene {
    log: LogBuilder,
    person: Person,
    run: TestRun,
    call: Call,
}

impl Scene {
    fn new() -> Self {
        let mut log = LogBuilder::new("chain");
        let person = log.person("alice");
        let run = log.agent("agent", &person.principal);
        let call = log.call("stdio:fs#read_file", json!({"path": "/srv/a"}));
        Self { log, person, run, call }
    }

    fn request(&mut self, change: impl FnOnce(&mut RootRequest)) -> String {
        let mut request = self.log.root_request(&self.run, &self.person);
        change(&mut request);
        request.sign(&self.person.key)
    }

    fn checked_request(&self, token: &str) -> Result<Request, Failure> {
        let known = (self.person.principal.clone(), Jwk::of(&self.person.key));
        let thumbprint = known.1.thumbprint();
        root_request(token, &self.log.issuer, |kid| (kid == thumbprint).then_some(known))
    }

    fn delegation(&mut self, request: &str, change: impl FnOnce(&mut Root)) -> Delegation {
        let mut root = self.log.root_delegation(&self.run, source_of(request));
        change(&mut root);
        let token = root.sign(&self.log.issuer_key);
        let delegation = delegation(&token, &self.log.issuer, &Jwk::of(&self.log.issuer_key)).unwrap();
        self.run.delegation.clone_from(&delegation.digest);
        delegation
    }

    fn usual(&mut self) -> Delegation {
        let request = self.request(|_| {});
        self.delegation(&request, |_| {})
    }

    fn act(&self, delegation: &Delegation, pop: &Pop, at_s: u64) -> Result<Proven, Failure> {
        let digest = args_digest(&self.call.args);
        let wanted = Act {
            tool: &self.call.tool,
            args: Some(&self.call.args),
            args_digest: &digest,
            act_id: self.call.act_id,
            at_ms: at_s * 1_000 + 999,
        };
        act(delegation, &pop.sign(&self.run.key), &wanted)
    }
}

fn step<T: core::fmt::Debug>(result: Result<T, Failure>) -> &'static str {
    result.map_or_else(|failure| failure.step.name(), |_| "fine")
}

#[test]
fn a_delegation_is_the_issuers() {
    let mut scene = Scene::new();
    let request = scene.request(|_| {});
    let root = scene.log.root_delegation(&scene.run, source_of(&request));
    let (token, key) = (root.sign(&scene.log.issuer_key), Jwk::of(&scene.log.issuer_key));
    assert_eq!(delegation(&token, &scene.log.issuer, &key).unwrap().root, root);
    assert_eq!(step(delegation(&token, "deeds://elsewhere", &key)), "delegation-malformed");
    assert_eq!(step(delegation("nothing", &scene.log.issuer, &key)), "delegation-malformed");
    assert_eq!(step(delegation(&request, &scene.log.issuer, &key)), "delegation-malformed");
    let other = Jwk::of(&signing_key("other"));
    assert_eq!(step(delegation(&token, &scene.log.issuer, &other)), "delegation-signature");
}

#[test]
fn a_request_is_a_registered_principals() {
    let mut scene = Scene::new();
    let token = scene.request(|_| {});
    let request = scene.checked_request(&token).unwrap();
    assert_eq!(request.principal, scene.person.principal);
    let stranger = scene.log.person("mallory");
    let forged = scene.log.root_request(&scene.run, &stranger).sign(&stranger.key);
    assert_eq!(step(scene.checked_request(&forged)), "request-key");
    let named = scene.log.root_request(&scene.run, &scene.person).sign(&stranger.key);
    assert_eq!(step(scene.checked_request(&named)), "request-malformed");
    let elsewhere = scene.request(|request| request.audience = "deeds://elsewhere".into());
    assert_eq!(step(scene.checked_request(&elsewhere)), "request-malformed");
    let (input, _) = token.rsplit_once('.').unwrap();
    let (_, signature) = elsewhere.rsplit_once('.').unwrap();
    assert_eq!(step(scene.checked_request(&format!("{input}.{signature}"))), "request-signature");
}

#[test]
fn a_request_is_fresh_for_its_life_and_the_skew() {
    let mut scene = Scene::new();
    let request = scene.log.root_request(&scene.run, &scene.person);
    for (at, expected) in [
        (request.iat - 31, "request-binding"),
        (request.iat - 30, "fine"),
        (request.exp + 30, "fine"),
        (request.exp + 31, "request-binding"),
    ] {
        assert_eq!(step(request_fresh(&request, at)), expected, "{at}");
    }
}

#[test]
fn a_root_stays_within_its_request() {
    let binding = |ask: fn(&mut RootRequest), give: fn(&mut Root)| {
        let mut scene = Scene::new();
        let token = scene.request(ask);
        let request = scene.checked_request(&token).unwrap();
        let delegation = scene.delegation(&token, give);
        step(within_request(&delegation, &request))
    };
    assert_eq!(binding(|_| {}, |_| {}), "fine");
    assert_eq!(binding(|ask| ask.max_depth = 1, |_| {}), "fine");
    assert_eq!(
        binding(|_| {}, |root| (root.iat, root.nbf, root.exp) = (root.iat + 330, root.nbf, root.exp)),
        "fine"
    );
    let beyond: [Case; 11] = [
        (|ask| ask.scope = Scope::server("stdio:other"), |_| {}),
        (|ask| ask.ttl = 3_599, |_| {}),
        (|ask| ask.tenant = "other".into(), |_| {}),
        (|ask| ask.purpose = "other".into(), |_| {}),
        (|ask| ask.txn = Some([7; 16]), |_| {}),
        (|ask| ask.holder = Some(("agent".into(), PrincipalKind::Agent)), |_| {}),
        (|ask| ask.cnf = Jwk::of(&signing_key("other")), |_| {}),
        (|_| {}, |root| root.max_depth = 1),
        (|_| {}, |root| root.principal.sub = "bob".into()),
        (|_| {}, |root| root.iat += 331),
        (|_| {}, |root| root.source = Source::PeerCredentials { uid: 1 }),
    ];
    for (n, (ask, give)) in beyond.into_iter().enumerate() {
        assert_eq!(binding(ask, give), "request-binding", "case {n}");
    }
}

#[test]
fn an_act_is_covered_and_proven() {
    let mut scene = Scene::new();
    let delegation = scene.usual();
    let now = delegation.root.nbf;
    let pop = scene.log.pop(&mut scene.run, &scene.call);
    let proven = scene.act(&delegation, &pop, now).unwrap();
    assert_eq!((proven.pop, proven.arguments_checked), (pop.clone(), true));

    let with = |change: fn(&mut Pop)| {
        let mut changed = pop.clone();
        change(&mut changed);
        step(scene.act(&delegation, &changed, now))
    };
    assert_eq!(with(|pop| pop.iat += 30), "fine");
    assert_eq!(with(|pop| (pop.iat, pop.exp) = (pop.iat - 30, pop.iat + 1)), "fine");
    assert_eq!(with(|pop| pop.iat += 31), "pop-time");
    assert_eq!(with(|pop| pop.exp = pop.iat), "pop-time");
    assert_eq!(with(|pop| pop.exp += 1), "pop-malformed");
    assert_eq!(with(|pop| pop.leaf = "other".into()), "pop-binding");
    assert_eq!(with(|pop| pop.act_id = [7; 16]), "pop-binding");
    assert_eq!(with(|pop| pop.audience = "other".into()), "pop-binding");
    assert_eq!(with(|pop| pop.tool = "other".into()), "pop-binding");
    assert_eq!(with(|pop| pop.args_digest = "other".into()), "pop-binding");
    assert_eq!(
        step(possession(&delegation, "nothing", &act_of(&scene.call, &args_digest(&scene.call.args)))),
        "pop-malformed"
    );
    scene.run.key = signing_key("other");
    assert_eq!(step(scene.act(&delegation, &pop, now)), "pop-signature");
}

fn act_of<'a>(call: &'a Call, args_digest: &'a str) -> Act<'a> {
    Act { tool: &call.tool, args: Some(&call.args), args_digest, act_id: call.act_id, at_ms: 0 }
}

#[test]
fn a_delegation_holds_from_its_begin_less_the_skew_until_before_its_end() {
    let mut scene = Scene::new();
    let delegation = scene.usual();
    let (nbf, exp) = (delegation.root.nbf, delegation.root.exp);
    for (at, expected) in
        [(nbf - 31, "delegation-time"), (nbf - 30, "fine"), (exp - 1, "fine"), (exp, "delegation-time")]
    {
        let mut pop = scene.log.pop(&mut scene.run, &scene.call);
        (pop.iat, pop.exp) = (at, at + 60);
        assert_eq!(step(scene.act(&delegation, &pop, at)), expected, "{at}");
    }
}

#[test]
fn arguments_that_are_withheld_are_said_to_be_unchecked() {
    let mut scene = Scene::new();
    let row = json!({"path": {"constraint_type": "prefix", "prefix": "/srv/"}});
    scene.run.scope = Scope::parse(&json!({"stdio:fs#read_file": row, "stdio:fs#list": {}})).unwrap();
    let root = scene.usual().root;
    assert_eq!(in_scope(&root, "stdio:fs#read_file", None), Ok(false));
    assert_eq!(in_scope(&root, "stdio:fs#list", None), Ok(true));
    assert_eq!(in_scope(&root, "stdio:fs#read_file", Some(&scene.call.args)), Ok(true));
    let other = Map::from_iter([("path".to_owned(), json!("/etc/passwd"))]);
    assert_eq!(step(in_scope(&root, "stdio:fs#read_file", Some(&other))), "scope");
    assert_eq!(step(in_scope(&root, "stdio:fs#write_file", None)), "scope");
}

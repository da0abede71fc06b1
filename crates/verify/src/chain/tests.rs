//! The checks as the recorder calls them: each fails for its own reason, at its own boundary. What a bundle makes of
//! them is tested by the vectors.

use evidence::delegation::{
    Approvals, HaltOrder, Mandate, On, Pop, Revocation, RootRequest, Source, Target, What, args_digest,
};
use evidence::principal::PrincipalKind;
use evidence::{Principal, Scope};
use serde_json::{Map, json};
use testkit::{Call, LogBuilder, Person, TestRun, signing_key, source_of, source_under};

use super::*;
use crate::orders::Orders;

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

    fn root(&mut self, request: &str, change: impl FnOnce(&mut Root)) -> Chain {
        let mut root = self.log.root_delegation(&self.run, source_of(request));
        change(&mut root);
        let token = root.sign(&self.log.issuer_key);
        let chain = with_anchor(&self.log, |anchor| super::root(&token, anchor)).unwrap();
        self.run.delegation.clone_from(&chain.leaf().digest);
        self.run.chain = vec![token];
        chain
    }

    fn usual(&mut self) -> Chain {
        let request = self.request(|_| {});
        self.root(&request, |_| {})
    }

    fn act(&self, chain: &Chain, pop: &Pop, at_s: u64) -> Result<Proven, Failure> {
        self.act_known(chain, pop, at_s, &Orders::default())
    }

    fn act_known(&self, chain: &Chain, pop: &Pop, at_s: u64, orders: &Orders) -> Result<Proven, Failure> {
        let digest = args_digest(&self.call.args);
        let wanted = Act {
            tool: &self.call.tool,
            args: Some(&self.call.args),
            args_digest: &digest,
            act_id: self.call.act_id,
            at_ms: at_s * 1_000 + 999,
        };
        let known = Known { registered: &|_| true, owner: &|_| None, orders, root_logged_s: Some(at_s) };
        act(chain, &pop.sign(&self.run.key), &wanted, &known)
    }
}

fn with_anchor<T>(log: &LogBuilder, check: impl FnOnce(&Anchor<'_>) -> T) -> T {
    let issuer_key = Jwk::of(&log.issuer_key);
    check(&Anchor { issuer: &log.issuer, issuer_key: &issuer_key, tenant: "local" })
}

fn step<T: core::fmt::Debug>(result: Result<T, Failure>) -> &'static str {
    result.map_or_else(|failure| failure.step.name(), |_| "fine")
}

#[test]
fn a_root_is_the_issuers() {
    let mut scene = Scene::new();
    let request = scene.request(|_| {});
    let claims = scene.log.root_delegation(&scene.run, source_of(&request));
    let (token, key) = (claims.sign(&scene.log.issuer_key), Jwk::of(&scene.log.issuer_key));
    let (issuer, tenant) = (scene.log.issuer.as_str(), "local");
    let checked =
        |token: &str, issuer, issuer_key: &Jwk, tenant| root(token, &Anchor { issuer, issuer_key, tenant });
    assert_eq!(checked(&token, issuer, &key, tenant).unwrap().root(), &claims);
    assert_eq!(step(checked(&token, "deeds://elsewhere", &key, tenant)), "delegation-malformed");
    assert_eq!(step(checked(&token, issuer, &key, "other")), "delegation-malformed");
    assert_eq!(step(checked("nothing", issuer, &key, tenant)), "delegation-malformed");
    assert_eq!(step(checked(&request, issuer, &key, tenant)), "delegation-malformed");
    let other = Jwk::of(&signing_key("other"));
    assert_eq!(step(checked(&token, issuer, &other, tenant)), "delegation-signature");
}

#[test]
fn a_chain_has_links_and_knows_them() {
    let mut scene = Scene::new();
    scene.run.max_depth = 2;
    let top = scene.usual();
    assert_eq!((top.count(), top.exp()), (1, top.root().exp));
    assert_eq!(top.leaf(), top.root_link());
    let none: [&str; 0] = [];
    assert_eq!(step(with_anchor(&scene.log, |anchor| chain(&none, anchor))), "chain-size");

    let below = scene.log.sub_agent(&scene.run, "below");
    let mut child = scene.log.child_delegation(&scene.run, &below);
    child.exp -= 60;
    child.holder.asr = "attested".into();
    let tokens = [scene.run.chain[0].clone(), child.sign(&scene.run.key)];
    let chain = with_anchor(&scene.log, |anchor| chain(&tokens, anchor)).unwrap();
    let digests: Vec<&str> = chain.digests().collect();
    assert_eq!(digests, [top.leaf().digest.as_str(), chain.leaf().digest.as_str()]);
    assert!(chain.contains(digests[1]) && !top.contains(digests[1]));
    assert_eq!((chain.count(), chain.exp(), chain.shares_key()), (2, child.exp, false));
    assert_eq!((chain.holder().id.as_str(), chain.holder().asr.as_str()), ("below", "delegator-asserted"));
    assert_eq!(chain.leaf().kid, scene.run.holder.key);
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
        let chain = scene.root(&token, give);
        step(within_request(chain.root_link(), &request, None))
    };
    assert_eq!(binding(|_| {}, |_| {}), "fine");
    assert_eq!(binding(|ask| ask.max_depth = 1, |_| {}), "fine");
    assert_eq!(
        binding(|_| {}, |root| (root.iat, root.nbf, root.exp) = (root.iat + 330, root.nbf, root.exp)),
        "fine"
    );
    let demanded = || Approvals { tools: vec!["s#t".into()], m: 1, by: vec!["b".into()], ttl: 1 };
    let asked: fn(&mut RootRequest) = |ask| {
        ask.approvals = Some(Approvals { tools: vec!["s#t".into()], m: 1, by: vec!["b".into()], ttl: 1 });
    };
    let mut scene = Scene::new();
    let token = scene.request(asked);
    let request = scene.checked_request(&token).unwrap();
    let fits = scene.root(&token, |root| root.approvals = Some(demanded()));
    assert_eq!(step(within_request(fits.root_link(), &request, None)), "fine");
    let beyond: [Case; 16] = [
        (asked, |_| {}),
        (|ask| ask.mandate = Some("of somebody".into()), |_| {}),
        (|_| {}, |root| root.why = Some("because".into())),
        (|ask| ask.why = Some("because".into()), |root| root.why = Some("why not".into())),
        (|ask| ask.intent = Some(evidence::Digest::of(b"").to_string()), |_| {}),
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
    let now = delegation.root().nbf;
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
    let request = scene.request(|_| {});
    // made long before it begins, so that its begin is what counts
    let chain = scene.root(&request, |root| (root.nbf, root.exp) = (root.nbf + 60, root.exp + 60));
    let (iat, nbf, exp) = (chain.root().iat, chain.root().nbf, chain.root().exp);
    let at = |scene: &mut Scene, chain: &Chain, at: u64| {
        let mut pop = scene.log.pop(&mut scene.run, &scene.call);
        (pop.iat, pop.exp) = (at, at + 60);
        step(scene.act(chain, &pop, at))
    };
    for (when, expected) in
        [(nbf - 31, "delegation-time"), (nbf - 30, "fine"), (exp - 1, "fine"), (exp, "delegation-time")]
    {
        assert_eq!(at(&mut scene, &chain, when), expected, "{when}");
    }
    let early = scene.root(&request, |root| root.nbf -= 600);
    assert_eq!(at(&mut scene, &early, iat - 30), "fine");
    assert_eq!(at(&mut scene, &early, iat - 31), "delegation-time");
}

#[test]
fn what_is_revoked_or_halted_is_refused_with_its_position() {
    let mut scene = Scene::new();
    let chain = scene.usual();
    let now = chain.root().nbf;
    let pop = scene.log.pop(&mut scene.run, &scene.call);
    let mut orders = Orders::default();
    orders.revoke(7, What::Tenant, Target::Text("local".into()), now + 1);
    assert_eq!(step(scene.act_known(&chain, &pop, now, &orders)), "fine");
    orders.halt(8, On::All);
    let refused = scene.act_known(&chain, &pop, now, &orders).unwrap_err();
    assert_eq!(refused.step, Step::Halted);
    assert!(refused.text.contains("@8"), "{refused}");
    orders.revoke(9, What::Tenant, Target::Text("local".into()), now);
    let refused = scene.act_known(&chain, &pop, now, &orders).unwrap_err();
    assert_eq!(refused.step, Step::Revoked);
    assert!(refused.text.contains("@9") && refused.text.contains("`local`"), "{refused}");
}

/// A person, a service, and the person's mandate for it.
struct Standing {
    log: LogBuilder,
    person: Person,
    service: Person,
    token: String,
}

impl Standing {
    fn new(change: impl FnOnce(&mut Mandate)) -> Self {
        let mut log = LogBuilder::new("chain");
        let (person, mut service) = (log.person("alice"), log.person("nightly"));
        service.principal.kind = PrincipalKind::Service;
        let mut mandate = log.mandate(&person, &["nightly"], &Scope::server("stdio:fs"));
        change(&mut mandate);
        let token = mandate.sign(&person.key);
        Self { log, person, service, token }
    }

    fn registered(&self, kid: &str) -> Option<(Principal, Jwk)> {
        let people = [&self.person, &self.service];
        let known = people.into_iter().map(|person| (person.principal.clone(), Jwk::of(&person.key)));
        known.into_iter().find(|(_, key)| key.thumbprint() == kid)
    }

    fn mandated(&self) -> Result<Mandated, Failure> {
        with_anchor(&self.log, |anchor| mandate(&self.token, anchor, |kid| self.registered(kid)))
    }

    /// A root under the mandate, and the request for it.
    fn rooted(&mut self, change: impl FnOnce(&mut Root)) -> (Chain, Request) {
        let run = self.log.service(&self.service, &self.person);
        let mut request = self.log.root_request(&run, &self.service);
        request.mandate = Some(testkit::token_digest(&self.token));
        let request = request.sign(&self.service.key);
        let mut root = self.log.root_delegation(&run, source_under(&self.token, &request));
        change(&mut root);
        let token = root.sign(&self.log.issuer_key);
        let chain = with_anchor(&self.log, |anchor| super::root(&token, anchor)).unwrap();
        (chain, root_request(&request, &self.log.issuer, |kid| self.registered(kid)).unwrap())
    }
}

#[test]
fn a_mandate_is_its_principals() {
    let fine = Standing::new(|_| {});
    let mandated = fine.mandated().unwrap();
    assert_eq!(mandated.mandate.principal, fine.person.principal);
    assert_eq!(mandated.digest, testkit::token_digest(&fine.token));
    let unknown = with_anchor(&fine.log, |anchor| mandate(&fine.token, anchor, |_| None));
    assert_eq!(step(unknown), "mandate-key");
    let other = (fine.person.principal.clone(), Jwk::of(&signing_key("other")));
    assert_eq!(
        step(with_anchor(&fine.log, |anchor| mandate(&fine.token, anchor, |_| Some(other)))),
        "mandate-signature"
    );
    assert_eq!(
        step(Standing::new(|mandate| mandate.tenant = "other".into()).mandated()),
        "mandate-malformed"
    );
    assert_eq!(
        step(Standing::new(|mandate| mandate.audience = "other".into()).mandated()),
        "mandate-malformed"
    );
    assert_eq!(
        step(Standing::new(|mandate| mandate.principal.sub = "bob".into()).mandated()),
        "mandate-binding"
    );
}

#[test]
fn a_root_stays_under_its_mandate() {
    let mut standing = Standing::new(|_| {});
    let mandated = standing.mandated().unwrap();
    let (chain, request) = standing.rooted(|_| {});
    assert_eq!(step(within_request(chain.root_link(), &request, Some(&mandated))), "fine");
    assert_eq!(step(within_request(chain.root_link(), &request, None)), "mandate-missing");
    let other = Mandated { digest: "of another".into(), ..mandated.clone() };
    assert_eq!(step(within_request(chain.root_link(), &request, Some(&other))), "mandate-missing");
    let elsewhere = Mandated {
        mandate: Mandate { holders: vec!["weekly".into()], ..mandated.mandate.clone() },
        ..mandated.clone()
    };
    assert_eq!(step(within_request(chain.root_link(), &request, Some(&elsewhere))), "mandate-binding");
    let (named, request) = standing.rooted(|root| root.principal.sub = "bob".into());
    assert_eq!(step(within_request(named.root_link(), &request, Some(&mandated))), "mandate-binding");
}

#[test]
fn orders_are_those_of_a_registered_key_and_are_fresh() {
    let mut standing = Standing::new(|_| {});
    let person = standing.person.clone();
    let target = Target::Text("local".into());
    let claims = standing.log.revocation(&person, What::Tenant, &target, 7);
    let revoke = |claims: &Revocation, registered: &dyn Fn(&str) -> Option<(Principal, Jwk)>| {
        let token = claims.sign(&person.key);
        with_anchor(&standing.log, |anchor| revocation(&token, anchor, registered))
    };
    let known = |kid: &str| standing.registered(kid);
    assert_eq!(revoke(&claims, &known).unwrap(), (claims.clone(), person.principal.clone()));
    assert_eq!(step(revoke(&claims, &|_| None)), "order-key");
    let other = |_: &str| Some((person.principal.clone(), Jwk::of(&signing_key("other"))));
    assert_eq!(step(revoke(&claims, &other)), "order-signature");
    assert_eq!(
        step(revoke(&Revocation { tenant: "other".into(), ..claims.clone() }, &known)),
        "order-malformed"
    );

    let order = standing.log.clone().halt_order(&person, &On::All, Some(3));
    let check = |order: &HaltOrder| {
        let token = order.sign(&person.key);
        with_anchor(&standing.log, |anchor| halt(&token, anchor, known))
    };
    assert_eq!(check(&order).unwrap().0, order);
    assert_eq!(step(check(&HaltOrder { key: "another".into(), ..order.clone() })), "order-malformed");
    let revocation_as_halt = claims.sign(&person.key);
    assert_eq!(
        step(with_anchor(&standing.log, |anchor| halt(&revocation_as_halt, anchor, known))),
        "order-malformed"
    );

    for (at, expected) in [
        (claims.iat - 31, "order-binding"),
        (claims.iat - 30, "fine"),
        (claims.exp + 30, "fine"),
        (claims.exp + 31, "order-binding"),
    ] {
        assert_eq!(step(order_fresh(claims.iat, claims.exp, at)), expected, "{at}");
    }
}

#[test]
fn times_that_do_not_fit_are_told_as_spans() {
    let mut scene = Scene::new();
    let chain = scene.usual();
    let link = chain.root_link();
    let (iat, exp) = (link.claims.iat(), link.claims.exp());
    let told = |result: Result<(), Failure>| result.unwrap_err().text;
    assert_eq!(
        told(in_time(link, exp + 42)),
        "the delegation ended 42 s before this act was decided: get a new one"
    );
    assert_eq!(
        told(in_time(link, iat - 90)),
        "the delegation was made 1 min 30 s after this act was decided: compare the clocks"
    );
    let token = scene.request(|_| {});
    let later = scene.root(&token, |root| root.nbf = root.iat + 3_600);
    assert_eq!(
        told(in_time(later.root_link(), iat)),
        "the delegation begins to hold 1 h after this act was decided: wait for it, or compare the clocks"
    );
    let pop = scene.log.pop(&mut scene.run, &scene.call);
    assert_eq!(
        told(pop_in_time(&pop, pop.exp + 1)),
        "the proof of possession ended 1 s before this act was decided: make a new one for each act"
    );
    let lasting = Pop { exp: pop.iat + 60, ..pop };
    assert_eq!(
        told(pop_in_time(&lasting, lasting.iat + 31)),
        "the proof of possession was made 31 s before this act was decided, which is more than 30 s: make one for \
         each act, and compare the clocks"
    );
    assert_eq!(
        told(order_fresh(1_000, 1_300, 1_331)),
        "the order ended 31 s before it came here: sign a new one"
    );
    assert_eq!(
        told(order_fresh(1_000, 1_300, 900)),
        "the order was signed 1 min 40 s in the future: compare the two clocks"
    );
    let request = scene.log.root_request(&scene.run, &scene.person);
    assert_eq!(
        told(request_fresh(&request, request.exp + 60)),
        "the request ended 1 min before it came here: sign a new one"
    );
    assert_eq!(
        told(request_fresh(&request, request.iat - 60)),
        "the request was signed 1 min in the future: compare the two clocks"
    );
}

#[test]
fn arguments_that_are_withheld_are_said_to_be_unchecked() {
    let mut scene = Scene::new();
    let row = json!({"path": {"constraint_type": "prefix", "prefix": "/srv/"}});
    scene.run.scope = Scope::parse(&json!({"stdio:fs#read_file": row, "stdio:fs#list": {}})).unwrap();
    let chain = scene.usual();
    assert_eq!(covered(&chain, "stdio:fs#read_file", None), Ok(false));
    assert_eq!(covered(&chain, "stdio:fs#list", None), Ok(true));
    assert_eq!(covered(&chain, "stdio:fs#read_file", Some(&scene.call.args)), Ok(true));
    let other = Map::from_iter([("path".to_owned(), json!("/etc/passwd"))]);
    assert_eq!(step(covered(&chain, "stdio:fs#read_file", Some(&other))), "scope");
    assert_eq!(step(covered(&chain, "stdio:fs#write_file", None)), "scope");
}

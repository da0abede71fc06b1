//! Steps 11 and 12: revocations and halts, before acts and after them, and what was signed for them.

use evidence::delegation::{HaltOrder, On, Revocation, Target, What};
use evidence::jws::Jwk;
use evidence::principal::PrincipalKind;
use evidence::{Kind, Scope, id};
use serde_json::{Value, json};
use testkit::{Draft, LogBuilder, Person, TestRun, token_digest};

use super::{POLICY, READ, SEED, Vector, at, failed, verified, with_signature_of};

pub(super) fn vectors() -> Vec<Vector> {
    [
        revoked(),
        standing(),
        times(),
        issuer_keys(),
        halts(),
        others(),
        withheld(),
        signed(),
        resumes(),
        counters(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A helper with a root, and a searcher below it: 2 the person's key, 3 the policy, 4 the run, 5 the root, 6 the child.
#[derive(Clone)]
struct Scene {
    log: LogBuilder,
    person: Person,
    helper: TestRun,
    run: TestRun,
}

impl Scene {
    fn new() -> Self {
        let mut log = LogBuilder::new(SEED);
        let person = log.register("alice");
        log.activate(POLICY);
        let mut helper = log.agent("helper", &person.principal);
        helper.max_depth = 2;
        log.start(&helper);
        log.delegate(&mut helper, &person);
        let mut run = log.sub_agent(&helper, "searcher");
        (run.id, run.parent) = (helper.id, None);
        let child = log.child_delegation(&helper, &run);
        let token = child.sign(&helper.key);
        log.append(log.linked(&run, &token, Some(log.leaf(5))));
        run.delegation = token_digest(&token);
        run.chain = vec![helper.chain[0].clone(), token];
        Self { log, person, helper, run }
    }

    /// Now, in seconds: the time of every decision until the clock is moved.
    fn now(&self) -> u64 {
        self.log.clock.now_ms() / 1_000
    }

    fn revoke(&mut self, what: What, target: &Target, eff: u64) -> u64 {
        self.log.append(self.log.revoked(what, target, eff, None))
    }

    fn act(&mut self) {
        let call = self.log.call(READ, json!({"path": "/srv/report.txt"}));
        self.log.act(&mut self.run, &call);
    }

    fn end(mut self) -> LogBuilder {
        self.log.end(&self.run);
        self.log
    }
}

fn text(target: &str) -> Target {
    Target::Text(target.to_owned())
}

fn principal(person: &Person) -> Target {
    Target::Principal { iss: person.principal.iss.clone(), sub: person.principal.sub.clone() }
}

/// Everything that a revocation can be of, before the act at 8 and after it at 7.
fn revoked() -> Vec<Vector> {
    let before = |name, about, what, target: &dyn Fn(&Scene) -> Target| {
        let mut scene = Scene::new();
        let (target, now) = (target(&scene), scene.now());
        scene.revoke(what, &target, now);
        scene.act();
        let log = scene.end();
        failed(name, about, &log, &log.bundle(), &[at(8, "revoked")])
    };
    let after = |name, about, what, target: &dyn Fn(&Scene) -> Target| {
        let mut scene = Scene::new();
        let (target, now) = (target(&scene), scene.now());
        scene.act();
        scene.revoke(what, &target, now);
        let log = scene.end();
        verified(name, about, &log, &log.bundle(), &[at(7, "in-doubt")])
    };
    let root = |scene: &Scene| text(&scene.helper.delegation);
    let leaf = |scene: &Scene| text(&scene.run.delegation);
    let task = |scene: &Scene| text(&id::text(&scene.run.txn));
    let key = |scene: &Scene| text(&scene.helper.holder.key);
    let issuer = |scene: &Scene| text(&Jwk::of(&scene.log.issuer_key).thumbprint());
    vec![
        before("revoked", "The root of the chain had been revoked.", What::Delegation, &root),
        before("revoked-leaf", "The leaf of the chain had been revoked.", What::Delegation, &leaf),
        before("revoked-lineage", "The task had been revoked.", What::Lineage, &task),
        before(
            "revoked-holder-key",
            "A key that a link is bound to had been revoked.",
            What::HolderKey,
            &key,
        ),
        before(
            "revoked-principal",
            "The principal's authority had been revoked.",
            What::Principal,
            &|scene| principal(&scene.person),
        ),
        before(
            "revoked-issuer-key",
            "The issuer's key had been revoked from before the root was recorded.",
            What::IssuerKey,
            &issuer,
        ),
        before("revoked-tenant", "The tenant had been revoked.", What::Tenant, &|_| text("local")),
        after(
            "in-doubt",
            "The root was revoked after the act, for a time before it.",
            What::Delegation,
            &root,
        ),
        after(
            "in-doubt-lineage",
            "The task was revoked after the act, for a time before it.",
            What::Lineage,
            &task,
        ),
        after(
            "in-doubt-principal",
            "The principal was revoked after the act, for a time before it.",
            What::Principal,
            &|scene| principal(&scene.person),
        ),
    ]
}

/// A service's act under a mandate at 9, when something behind the root had been revoked at 8.
fn standing() -> Vec<Vector> {
    let case = |name, about, target: &dyn Fn(&Person, &str) -> (What, Target)| {
        let mut log = LogBuilder::new(SEED);
        let person = log.register("alice");
        let mut service = log.person("nightly");
        service.principal.kind = PrincipalKind::Service;
        log.append(log.key_change("principal-registered", &service));
        log.activate(POLICY);
        let mandate = log.mandate(&person, &["nightly"], &Scope::server("stdio:fs")).sign(&person.key);
        log.append(log.mandated(&person, &mandate));
        let mut run = log.service(&service, &person);
        log.start(&run);
        log.delegate_under(&mut run, &service, &mandate);
        let (what, target) = target(&service, &token_digest(&mandate));
        log.append(log.revoked(what, &target, log.clock.now_ms() / 1_000, None));
        let call = log.call(READ, json!({"path": "/srv/report.txt"}));
        log.act(&mut run, &call);
        log.end(&run);
        failed(name, about, &log, &log.bundle(), &[at(9, "revoked")])
    };
    vec![
        case("revoked-mandate", "The mandate behind the root had been revoked.", &|_, mandate| {
            (What::Delegation, text(mandate))
        }),
        case(
            "revoked-service",
            "The service whose key signed the request had been revoked.",
            &|service, _| (What::Principal, principal(service)),
        ),
    ]
}

/// The second from which a revocation holds.
fn times() -> Vec<Vector> {
    let revoked = |ahead: u64| {
        let mut scene = Scene::new();
        let (target, eff) = (text(&scene.helper.delegation), scene.now() + ahead);
        scene.revoke(What::Delegation, &target, eff);
        scene.log.clock.advance(1_000);
        scene.act();
        scene.end()
    };
    let (not_yet, now) = (revoked(2), revoked(1));
    let mut later = Scene::new();
    let (target, eff) = (text(&later.helper.delegation), later.now() + 1);
    later.act();
    later.revoke(What::Delegation, &target, eff);
    let later = later.end();
    vec![
        verified(
            "revoked-not-yet",
            "A revocation that holds from the second after the act.",
            &not_yet,
            &not_yet.bundle(),
            &[],
        ),
        failed(
            "revoked-now",
            "A revocation that holds from the second of the act.",
            &now,
            &now.bundle(),
            &[at(8, "revoked")],
        ),
        verified(
            "doubtless",
            "A later revocation, from the second after the act.",
            &later,
            &later.bundle(),
            &[],
        ),
    ]
}

/// What the log recorded before a key of the issuer was lost stands.
fn issuer_keys() -> Vec<Vector> {
    let case = |eff_after_record: bool| {
        let mut scene = Scene::new();
        // the root was recorded in second 0 of the log's first minute
        let eff = scene.now() + u64::from(eff_after_record);
        scene.log.clock.advance(10_000);
        let target = text(&Jwk::of(&scene.log.issuer_key).thumbprint());
        scene.revoke(What::IssuerKey, &target, eff);
        scene.act();
        scene.end()
    };
    let (spared, lost) = (case(true), case(false));
    vec![
        verified(
            "issuer-key-spared",
            "The issuer's key was revoked from the second after the root was recorded.",
            &spared,
            &spared.bundle(),
            &[],
        ),
        failed(
            "issuer-key-lost",
            "The issuer's key was revoked from the second in which the root was recorded.",
            &lost,
            &lost.bundle(),
            &[at(8, "revoked")],
        ),
    ]
}

fn halts() -> Vec<Vector> {
    let case = |name, about, on: &dyn Fn(&Scene) -> On, stopped: bool| {
        let mut scene = Scene::new();
        let on = on(&scene);
        scene.log.append(scene.log.halted(&on, None));
        scene.act();
        let log = scene.end();
        if stopped {
            failed(name, about, &log, &log.bundle(), &[at(8, "halted")])
        } else {
            verified(name, about, &log, &log.bundle(), &[])
        }
    };
    let agent = |id: &str| On::Agent { id: id.to_owned() };
    let of = |sub: &'static str| {
        move |scene: &Scene| On::Principal { iss: scene.person.principal.iss.clone(), sub: sub.to_owned() }
    };
    vec![
        case("halted", "The agent had been halted.", &|_| agent("searcher"), true),
        case("halted-above", "The agent above had been halted.", &|_| agent("helper"), true),
        case("halted-principal", "All who act for the principal had been halted.", &of("alice"), true),
        case("halted-all", "Everything had been halted.", &|_| On::All, true),
        case("halted-other", "Another agent had been halted.", &|_| agent("reader"), false),
        case(
            "halted-other-principal",
            "All who act for another principal had been halted.",
            &of("bob"),
            false,
        ),
    ]
}

/// Orders that do not touch an act.
fn others() -> Vec<Vector> {
    let mut elsewhere = Scene::new();
    let now = elsewhere.now();
    let (digest, key) =
        (text("47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"), elsewhere.helper.delegation.clone());
    elsewhere.revoke(What::Delegation, &digest, now);
    // a digest of one thing as the target of another
    elsewhere.revoke(What::HolderKey, &text(&key), now);
    elsewhere.revoke(What::Tenant, &text("other"), now);
    elsewhere.act();
    let elsewhere = elsewhere.end();
    let mut after = Scene::new();
    after.act();
    after.log.append(after.log.halted(&On::All, None));
    let after = after.end();
    vec![
        verified(
            "revoked-other",
            "Revocations of other things than this chain.",
            &elsewhere,
            &elsewhere.bundle(),
            &[],
        ),
        verified("halted-later", "Everything was halted after the act.", &after, &after.bundle(), &[]),
    ]
}

fn withheld() -> Vec<Vector> {
    let mut scene = Scene::new();
    let (target, now) = (text(&scene.helper.delegation), scene.now());
    scene.revoke(What::Delegation, &target, now);
    scene.log.append(scene.log.halted(&On::All, None));
    let log = scene.end();
    let hidden = log.bundle_showing(|_, name| !["target", "on"].contains(&name));
    let unknown = {
        let mut scene = Scene::new();
        let draft = scene.log.revoked(What::Tenant, &text("local"), scene.now(), None);
        scene.log.append(draft.with("what", &json!("everything")));
        let draft = scene.log.halted(&On::All, None);
        scene.log.append(draft.with("on", &json!({"t": "all", "but": "nobody"})));
        scene.act();
        scene.end()
    };
    vec![
        verified(
            "order-withheld",
            "What was revoked and who was halted is withheld.",
            &log,
            &hidden,
            &[at(7, "withheld"), at(7, "order-withheld"), at(8, "withheld"), at(8, "order-withheld")],
        ),
        verified(
            "order-unknown",
            "A revocation and a halt of what this version does not know take nothing away.",
            &unknown,
            &unknown.bundle(),
            &[at(7, "order-withheld"), at(8, "order-withheld")],
        ),
    ]
}

/// Orders that somebody signed, without any act.
struct Signed {
    log: LogBuilder,
    person: Person,
}

impl Signed {
    /// 2 the person's key.
    fn new() -> Self {
        let mut log = LogBuilder::new(SEED);
        let person = log.register("alice");
        Self { log, person }
    }

    /// At 3 a revocation of the tenant; the token is of what `order` makes of it, the entry what `entry` does.
    fn revocation(order: impl FnOnce(&mut Revocation), entry: impl FnOnce(Draft) -> Draft) -> LogBuilder {
        let mut signed = Self::new();
        let target = text("local");
        let mut claims = signed.log.revocation(&signed.person, What::Tenant, &target, 7);
        order(&mut claims);
        let token = claims.sign(&signed.person.key);
        let draft = signed.log.revoked(What::Tenant, &target, 7, Some(&token));
        signed.log.append(entry(draft));
        signed.log
    }

    /// At 3 a halt of all, likewise.
    fn halt(order: impl FnOnce(&mut HaltOrder), entry: impl FnOnce(Draft) -> Draft) -> LogBuilder {
        let mut signed = Self::new();
        let mut claims = signed.log.halt_order(&signed.person, &On::All, None);
        order(&mut claims);
        let token = claims.sign(&signed.person.key);
        let draft = signed.log.halted(&On::All, Some(&token));
        signed.log.append(entry(draft));
        signed.log
    }
}

fn signed() -> Vec<Vector> {
    let same = |draft: Draft| draft;
    let one = |name, about, log: &LogBuilder, code| failed(name, about, log, &log.bundle(), &[at(3, code)]);
    let both = {
        let mut log = Signed::revocation(|_| {}, same);
        let person = log.person("alice");
        let token = log.halt_order(&person, &On::All, None).sign(&person.key);
        log.append(log.halted(&On::All, Some(&token)));
        log
    };
    let mut stranger = Signed::new();
    stranger.person = stranger.log.person("mallory");
    let token = stranger.log.halt_order(&stranger.person, &On::All, None).sign(&stranger.person.key);
    stranger.log.append(stranger.log.halted(&On::All, Some(&token)));
    let mut forged = Signed::new();
    let mut claims = forged.log.revocation(&forged.person, What::Tenant, &text("local"), 7);
    let other = claims.sign(&forged.person.key);
    claims.exp -= 1;
    let token = with_signature_of(&claims.sign(&forged.person.key), &other);
    forged.log.append(forged.log.revoked(What::Tenant, &text("local"), 7, Some(&token)));
    let hidden = Signed::revocation(|order| order.eff = 8, same);
    let mallory = json!({"kind": "human", "iss": "deeds://elsewhere.test/log", "sub": "mallory"});
    let in_time = Signed::halt(|order| (order.iat, order.exp) = (order.iat - 390, order.iat - 90), same);
    let revoked_signer = |late: u64| {
        let mut signed = Signed::new();
        let issuer = signed.person.principal.iss.clone();
        let alice = Target::Principal { iss: issuer, sub: signed.person.principal.sub.clone() };
        let now_s = signed.log.clock.now_ms() / 1_000;
        signed.log.append(signed.log.revoked(What::Principal, &alice, now_s + late, None));
        let token = signed.log.halt_order(&signed.person, &On::All, None).sign(&signed.person.key);
        signed.log.append(signed.log.halted(&On::All, Some(&token)));
        signed.log
    };
    let (revoked_before, revoked_later) = (revoked_signer(0), revoked_signer(86_400));
    let hidden_parts = hidden.bundle_showing(|_, name| name != "eff");
    vec![
        verified(
            "orders-signed",
            "A revocation and a halt that a person signed.",
            &both,
            &both.bundle(),
            &[],
        ),
        one(
            "order-garbage",
            "A revocation whose token is no signed object.",
            &Signed::revocation(|_| {}, |draft| draft.with("token", &json!("a.b.c"))),
            "order-malformed",
        ),
        one(
            "order-long",
            "A revocation signed for 301 seconds.",
            &Signed::revocation(|order| order.exp = order.iat + 301, same),
            "order-malformed",
        ),
        one(
            "order-audience",
            "A halt for another issuer.",
            &Signed::halt(|order| order.audience = "deeds://elsewhere.test/log".into(), same),
            "order-malformed",
        ),
        one(
            "order-tenant",
            "A halt for another tenant.",
            &Signed::halt(|order| order.tenant = "other".into(), same),
            "order-malformed",
        ),
        failed(
            "order-key-revoked",
            "A halt signed by a person who was revoked before.",
            &revoked_before,
            &revoked_before.bundle(),
            &[at(4, "order-key")],
        ),
        verified(
            "order-key-revoked-later",
            "A halt signed by a person whose revocation takes effect a day later.",
            &revoked_later,
            &revoked_later.bundle(),
            &[],
        ),
        one("order-key", "A halt signed with a key that nobody registered.", &stranger.log, "order-key"),
        one(
            "order-signature",
            "A revocation with the signature of another one.",
            &forged.log,
            "order-signature",
        ),
        one(
            "order-effective",
            "A revocation recorded for another time than was signed.",
            &Signed::revocation(|order| order.eff = 8, same),
            "order-binding",
        ),
        one(
            "order-target",
            "A revocation recorded of something else than was signed.",
            &Signed::revocation(|order| order.target = text("other"), same),
            "order-binding",
        ),
        one(
            "order-by",
            "A halt recorded as given by somebody else than its signer.",
            &Signed::halt(|_| {}, |draft| draft.with("by", &mallory)),
            "order-binding",
        ),
        one(
            "order-unsigned-by",
            "A halt that nobody signed, recorded as given by a person.",
            &Signed::halt(|_| {}, |draft| draft.with("token", &Value::Null).with("by", &mallory)),
            "order-binding",
        ),
        one(
            "order-unsigned-assurance",
            "A halt that nobody signed, recorded as vouched for by the issuer.",
            &Signed::halt(
                |_| {},
                |draft| draft.with("token", &Value::Null).with("assurance", &json!("issuer-asserted")),
            ),
            "order-binding",
        ),
        one(
            "order-why",
            "A halt recorded with another reason than was signed.",
            &Signed::halt(|_| {}, |draft| draft.with("why", &json!("because"))),
            "order-binding",
        ),
        one(
            "order-late",
            "A halt recorded 91 seconds after its order ended.",
            &Signed::halt(|order| (order.iat, order.exp) = (order.iat - 391, order.iat - 91), same),
            "order-binding",
        ),
        verified(
            "order-just-in-time",
            "A halt recorded 90 seconds after its order ended.",
            &in_time,
            &in_time.bundle(),
            &[],
        ),
        one(
            "order-on",
            "A halt recorded of somebody else than was signed.",
            &Signed::halt(|order| order.on = On::Agent { id: "helper".into() }, same),
            "order-binding",
        ),
        one(
            "order-change",
            "A halt recorded on an order to resume.",
            &Signed::halt(
                |order| (order.act, order.halt) = (evidence::delegation::HaltAct::Resume, Some(2)),
                same,
            ),
            "order-binding",
        ),
        verified(
            "order-time-withheld",
            "A revocation whose time is withheld is not compared with what was signed.",
            &hidden,
            &hidden_parts,
            &[at(3, "withheld"), at(3, "order-withheld")],
        ),
    ]
}

/// A halt at 7, and at 8 what is meant to lift it, then an act at 9.
fn resumes() -> Vec<Vector> {
    let case = |token: &dyn Fn(&mut Scene) -> Option<String>, entry: &dyn Fn(Draft) -> Draft| {
        let mut scene = Scene::new();
        scene.log.append(scene.log.halted(&On::All, None));
        let token = token(&mut scene);
        let draft = scene.log.resumed(&On::All, 7, token.as_deref());
        scene.log.append(entry(draft));
        scene.act();
        scene.end()
    };
    let signed = |scene: &mut Scene| {
        let person = scene.person.clone();
        Some(scene.log.halt_order(&person, &On::All, Some(7)).sign(&person.key))
    };
    let lifted = case(&signed, &|draft| draft);
    let unsigned = case(&|_| None, &|draft| draft);
    let absent = case(&|_| None, &|draft| draft.without("token"));
    let hidden = unsigned.bundle_showing(|kind, name| (kind, name) != (Kind::HaltedOrResumed, "token"));
    let other = case(&signed, &|draft| draft.with("halt", &json!(6)));
    let unknown = case(&|_| None, &|draft| draft.with("token", &json!({"unknown": "lost"})));
    let lifted_by = |kind: PrincipalKind| {
        case(
            &move |scene: &mut Scene| {
                let mut newcomer = scene.log.person("newcomer");
                newcomer.principal.kind = kind;
                scene.log.append(scene.log.key_change("principal-registered", &newcomer));
                Some(scene.log.halt_order(&newcomer, &On::All, Some(7)).sign(&newcomer.key))
            },
            &|draft| draft,
        )
    };
    let (service, newcomer) = (lifted_by(PrincipalKind::Service), lifted_by(PrincipalKind::Human));
    vec![
        verified("resumed", "A halt that a person lifted before the act.", &lifted, &lifted.bundle(), &[]),
        failed(
            "order-unsigned",
            "A halt was lifted without a signature.",
            &unsigned,
            &unsigned.bundle(),
            &[at(8, "order-unsigned")],
        ),
        failed(
            "order-unsigned-unknown",
            "A halt was lifted by an entry that says that nobody knows who signed.",
            &unknown,
            &unknown.bundle(),
            &[at(8, "order-unsigned")],
        ),
        failed(
            "resumed-by-a-service",
            "A halt that a service lifted.",
            &service,
            &service.bundle(),
            &[at(9, "order-key")],
        ),
        failed(
            "resumed-by-a-newcomer",
            "A halt that somebody lifted who was registered after it.",
            &newcomer,
            &newcomer.bundle(),
            &[at(9, "order-key")],
        ),
        failed(
            "order-unsigned-absent",
            "A halt was lifted by an entry that has no token at all.",
            &absent,
            &absent.bundle(),
            &[at(8, "order-unsigned")],
        ),
        verified(
            "order-signature-withheld",
            "Whether somebody signed for lifting a halt is withheld.",
            &unsigned,
            &hidden,
            &[at(7, "withheld"), at(8, "withheld"), at(8, "order-withheld")],
        ),
        failed(
            "resumed-other",
            "An order that lifts this halt, recorded as lifting another one.",
            &other,
            &other.bundle(),
            &[at(8, "order-binding"), at(9, "halted")],
        ),
    ]
}

/// Holders count from 0.
fn counters() -> Vec<Vector> {
    let used = |numbers: [u64; 2], said: &str| {
        let mut scene = Scene::new();
        for number in numbers {
            let call = scene.log.call(READ, json!({"path": "/srv/report.txt"}));
            let mut pop = scene.log.pop(&mut scene.run, &call);
            pop.counter = number;
            let draft = scene.log.decided(&scene.run, &call, &pop.sign(&scene.run.key), "deny");
            let credential: Value =
                json!({"type": "local-key", "uid": 1_000, "pid": 2, "pop": said, "carrier": "wrap"});
            scene.log.append(draft.with("credential", &credential));
        }
        scene.end()
    };
    let (hole, late, whole, unused) = (
        used([0, 2], "verified"),
        used([1, 2], "signed"),
        used([1, 0], "signed"),
        used([0, 2], "not-accepted"),
    );
    let hidden = hole.bundle_showing(|kind, name| (kind, name) != (Kind::Decided, "credential"));
    vec![
        verified(
            "counter-hole",
            "The holder made a proof that the run does not have.",
            &hole,
            &hole.bundle(),
            &[at(9, "counter-hole")],
        ),
        verified(
            "counter-late",
            "The holder's first proof is not there.",
            &late,
            &late.bundle(),
            &[at(9, "counter-hole")],
        ),
        verified("counters", "The holder's proofs came in another order.", &whole, &whole.bundle(), &[]),
        verified(
            "counter-unused",
            "Proofs that were not accepted do not count.",
            &unused,
            &unused.bundle(),
            &[],
        ),
        verified(
            "counter-withheld",
            "Whether proofs were accepted is withheld.",
            &hole,
            &hidden,
            &[at(7, "withheld"), at(8, "withheld")],
        ),
    ]
}

//! Step 11: acts that were allowed and should not have been, or not on this evidence.

use evidence::Scope;
use evidence::delegation::Pop;
use serde_json::{Value, json};
use testkit::{Call, Draft, LogBuilder, signing_key};

use super::{READ, Scene, Vector, at, failed};

pub(super) fn vectors() -> Vec<Vector> {
    [delegations(), times(), records(), revocations(), scopes(), proofs(), policies()]
        .into_iter()
        .flatten()
        .collect()
}

/// Decides a call at the next index after changes to its proof and its entry, and records an outcome.
fn decide(scene: &mut Scene, call: &Call, pop: impl FnOnce(&mut Pop), entry: impl FnOnce(Draft) -> Draft) {
    let mut proof = scene.log.pop(&mut scene.run, call);
    pop(&mut proof);
    let draft = scene.log.decided(&scene.run, call, &proof.sign(&scene.run.key), "allow");
    let decision = scene.log.append(entry(draft));
    let outcome = scene.log.finished(&scene.run, call, scene.log.leaf(decision));
    scene.log.append(outcome);
}

/// One call at 6 under the usual delegation, with such changes.
fn decided(pop: impl FnOnce(&mut Pop), entry: impl FnOnce(Draft) -> Draft) -> Scene {
    let mut scene = Scene::delegated();
    let call = scene.read();
    decide(&mut scene, &call, pop, entry);
    scene
}

fn one(
    name: &'static str,
    description: &'static str,
    scene: Scene,
    index: u64,
    code: &'static str,
) -> Vector {
    let (log, parts) = scene.close();
    failed(name, description, &log, &parts, &[at(index, code)])
}

fn delegations() -> Vec<Vector> {
    let mut borrowed = Scene::delegated();
    let mut second = borrowed.log.agent("helper", &borrowed.person.principal);
    borrowed.log.end(&borrowed.run);
    second.delegation.clone_from(&borrowed.run.delegation);
    second.key = borrowed.run.key.clone();
    borrowed.run = second;
    borrowed.log.start(&borrowed.run);
    let call = borrowed.read();
    decide(&mut borrowed, &call, |_| {}, |entry| entry);
    let unknown = {
        let mut scene = Scene::started();
        scene.run.delegation = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU".into();
        let call = scene.read();
        decide(&mut scene, &call, |_| {}, |entry| entry);
        scene
    };
    let mut retired = Scene::delegated();
    retired.log.append(retired.log.key_change("principal-retired", &retired.person));
    let call = retired.read();
    decide(&mut retired, &call, |_| {}, |entry| entry);
    let excluded = {
        let (log, mut parts) = Scene::acted().0.close();
        parts.item(5).path.iter_mut().take(1).for_each(|hash| hash[0] ^= 1);
        failed(
            "delegation-not-included",
            "The delegation that a decision relies on is not shown to be in the log.",
            &log,
            &parts,
            &[at(5, "inclusion")],
        )
    };
    vec![
        excluded,
        one(
            "decision-other-run",
            "The decision relies on a delegation of another run.",
            borrowed,
            8,
            "decision-delegation",
        ),
        one(
            "decision-no-delegation",
            "The decision relies on a delegation that was never recorded.",
            unknown,
            5,
            "decision-delegation",
        ),
        one(
            "principal-retired",
            "The principal's key was retired before the decision.",
            retired,
            7,
            "principal-retired",
        ),
    ]
}

fn times() -> Vec<Vector> {
    let late =
        decided(|pop| (pop.iat, pop.exp) = (pop.iat + 62, pop.exp + 62), |entry| shifted(entry, 62_000));
    let undated = decided(|_| {}, |entry| entry.without("decided_at_ms"));
    let mut expired = Scene::delegated();
    expired.log.clock.advance(3_600_000);
    let call = expired.read();
    decide(&mut expired, &call, |_| {}, |entry| entry);
    let mut early = Scene::started();
    let request = early.log.root_request(&early.run, &early.person).sign(&early.person.key);
    let mut root = early.log.root_delegation(&early.run, testkit::source_of(&request));
    root.nbf += 31;
    early.log.record(&mut early.run, &root, Some(&request));
    let call = early.read();
    decide(&mut early, &call, |_| {}, |entry| entry);
    vec![
        one(
            "decision-time",
            "The decision is dated more than a minute from when it was recorded.",
            late,
            6,
            "decision-time",
        ),
        one("decision-undated", "The decision has no date.", undated, 6, "decision-time"),
        one(
            "delegation-expired",
            "The delegation ended in the second of the decision.",
            expired,
            6,
            "delegation-time",
        ),
        one(
            "delegation-early",
            "The delegation begins 31 seconds after the decision.",
            early,
            6,
            "delegation-time",
        ),
    ]
}

/// The same decision, dated later.
fn shifted(entry: Draft, ms: u64) -> Draft {
    let decided_at = entry.fields.get(&7).and_then(|text| text.parse::<u64>().ok()).unwrap_or_default();
    entry.with("decided_at_ms", &json!(decided_at + ms))
}

fn records() -> Vec<Vector> {
    let task = decided(|_| {}, |entry| entry.with("txn", &json!("01900000-0000-7000-8000-000000000000")));
    let holder = decided(|_| {}, |entry| entry.with("holder", &json!({"id": "somebody", "key": "else"})));
    let principal = decided(
        |_| {},
        |entry| {
            entry.with("principal", &json!({"kind": "human", "iss": "deeds://v0.test/log", "sub": "bob"}))
        },
    );
    vec![
        one(
            "decision-task",
            "The decision names another task than its delegation.",
            task,
            6,
            "decision-binding",
        ),
        one(
            "decision-holder",
            "The decision names another holder than its delegation.",
            holder,
            6,
            "decision-binding",
        ),
        one(
            "decision-principal",
            "The decision names another principal than its delegation.",
            principal,
            6,
            "decision-binding",
        ),
    ]
}

fn revocations() -> Vec<Vector> {
    let revoked =
        |index: Value| decided(|_| {}, move |entry| entry.with("revocations", &json!({"index": index})));
    let mut behind = Scene::delegated();
    behind.log.append(Draft::new(evidence::Kind::Gap));
    let call = behind.read();
    decide(&mut behind, &call, |_| {}, |entry| entry.with("revocations", &json!({"index": 3})));
    vec![
        one(
            "revocations-run",
            "The decision relies on an entry that is not of the log level.",
            revoked(json!(5)),
            6,
            "decision-revocations",
        ),
        one(
            "revocations-later",
            "The decision relies on an entry after itself.",
            revoked(json!(7)),
            6,
            "decision-revocations",
        ),
        one(
            "revocations-text",
            "The decision relies on no index at all.",
            revoked(json!("3")),
            6,
            "decision-revocations",
        ),
        one(
            "revocations-behind",
            "The decision did not take the last log-level entry before it into account.",
            behind,
            7,
            "decision-revocations",
        ),
    ]
}

fn scopes() -> Vec<Vector> {
    let mut tool = Scene::delegated();
    let call = tool.log.call("stdio:edr#isolate_host", json!({}));
    decide(&mut tool, &call, |_| {}, |entry| entry);
    let constrained = |args: Value| {
        let mut scene = Scene::started();
        let prefix = json!({READ: {"path": {"constraint_type": "prefix", "prefix": "/srv/"}}});
        scene.run.scope = Scope::parse(&prefix).unwrap_or_else(|_| Scope::server("stdio:none"));
        scene.log.delegate(&mut scene.run, &scene.person);
        let call = scene.log.call(READ, args);
        decide(&mut scene, &call, |_| {}, |entry| entry);
        scene
    };
    let unknown = constrained(json!({"unknown": "it was not there"}));
    let mut doubled = Scene::delegated();
    let call = doubled.log.call("stdio:fs#read#file", json!({}));
    decide(&mut doubled, &call, |_| {}, |entry| entry);
    let mut large = Scene::delegated();
    let call = large.log.call(READ, json!({"offset": 9_007_199_254_740_992_u64}));
    // one more than JCS could write
    decide(&mut large, &call, |_| {}, |entry| entry.raw("args", r#"{"offset":9007199254740993}"#));
    let mut inexact = Scene::delegated();
    let call = inexact.log.call(READ, json!({"offset": 0.1}));
    // JCS writes both alike
    decide(&mut inexact, &call, |_| {}, |entry| entry.raw("args", r#"{"offset":0.1000000000000000055}"#));
    let mut respelled = Scene::delegated();
    let call = respelled.log.call(READ, json!({"offset": 1, "path": "/srv"}));
    decide(&mut respelled, &call, |_| {}, |entry| entry.raw("args", r#"{"path":"\u002fsrv", "offset":1.0}"#));
    let (respelled, respelled_parts) = respelled.close();
    vec![
        one("scope-inexact", "A number that two readers could read differently.", inexact, 6, "scope"),
        super::verified(
            "arguments-respelled",
            "Arguments in another order and another spelling than those that the proof was made for.",
            &respelled,
            &respelled_parts,
            &[],
        ),
        one("scope-tool", "A tool of a server that the delegation does not name.", tool, 6, "scope"),
        one(
            "scope-argument",
            "An argument outside its constraint.",
            constrained(json!({"path": "/etc/passwd"})),
            6,
            "scope",
        ),
        one(
            "scope-unlisted",
            "An argument that the delegation does not list.",
            constrained(json!({"path": "/srv/a", "force": true})),
            6,
            "scope",
        ),
        one(
            "scope-missing",
            "An argument that the delegation demands is absent.",
            constrained(json!({})),
            6,
            "scope",
        ),
        one("scope-integer", "An integer beyond 2^53.", large, 6, "scope"),
        one(
            "scope-unknown",
            "Arguments that look like a value the log does not know are arguments all the same.",
            unknown,
            6,
            "scope",
        ),
        one("scope-tool-uri", "A call whose tool is no tool URI.", doubled, 6, "scope"),
    ]
}

fn proofs() -> Vec<Vector> {
    let missing = decided(|_| {}, |entry| entry.without("pop"));
    let decoy = decided(|_| {}, |entry| entry.with("pop", &Value::Null));
    let garbage = decided(|_| {}, |entry| entry.with("pop", &json!("a.b.c")));
    let long = decided(|pop| pop.exp = pop.iat + 61, |entry| entry);
    let empty = decided(|pop| pop.jti.clear(), |entry| entry);
    let mut forged = Scene::delegated();
    let call = forged.read();
    let pop = forged.log.pop(&mut forged.run, &call).sign(&signing_key("somebody else"));
    decide(&mut forged, &call, |_| {}, |entry| entry.with("pop", &json!(pop)));
    let act = decided(|pop| pop.act_id = [7; 16], |entry| entry);
    let audience = decided(|pop| pop.audience = "deeds://elsewhere.test/log".into(), |entry| entry);
    let tool = decided(|pop| pop.tool = "stdio:fs#write_file".into(), |entry| entry);
    let leaf = decided(|pop| pop.leaf = "another".into(), |entry| entry);
    let digest = decided(|pop| pop.args_digest = "another".into(), |entry| entry);
    let args = decided(|_| {}, |entry| entry.with("args", &json!({"path": "/etc/passwd"})));
    let stale = decided(|pop| (pop.iat, pop.exp) = (pop.iat - 31, pop.exp - 31), |entry| entry);
    let ahead = decided(|pop| pop.iat += 31, |entry| entry);
    let ended = decided(|pop| (pop.iat, pop.exp) = (pop.iat - 1, pop.iat), |entry| entry);
    vec![
        one("pop-missing", "The decision has no proof of possession.", missing, 6, "pop-missing"),
        one("pop-decoy", "A decoy in place of the proof.", decoy, 6, "pop-missing"),
        one("pop-garbage", "A proof that is no signed object.", garbage, 6, "pop-malformed"),
        one("pop-too-long", "A proof that lives a second too long.", long, 6, "pop-malformed"),
        one("pop-signature", "A proof that somebody else signed.", forged, 6, "pop-signature"),
        one("pop-act", "A proof for another act.", act, 6, "pop-binding"),
        one("pop-audience", "A proof for another enforcement point.", audience, 6, "pop-binding"),
        one("pop-tool", "A proof for another tool.", tool, 6, "pop-binding"),
        one("pop-leaf", "A proof under another delegation.", leaf, 6, "pop-binding"),
        one("pop-digest", "A proof for other arguments.", digest, 6, "pop-binding"),
        one("pop-arguments", "The arguments recorded are not those of the digest.", args, 6, "pop-binding"),
        one("pop-stale", "A proof made 31 seconds before.", stale, 6, "pop-time"),
        one("pop-ahead", "A proof made 31 seconds after.", ahead, 6, "pop-time"),
        one("pop-ended", "A proof that ended in the second of the decision.", ended, 6, "pop-time"),
        one("pop-empty-text", "A proof whose id is empty.", empty, 6, "pop-malformed"),
        replayed(),
        replayed_unseen(),
        used_by_refused(),
    ]
}

fn replayed() -> Vector {
    let (mut scene, _) = Scene::acted();
    let call = scene.read();
    decide(&mut scene, &call, |pop| pop.counter = 0, |entry| entry);
    one("pop-replayed", "Two allowed acts with one counter.", scene, 8, "pop-replayed")
}

/// The proof of an allowed decision counts, whatever else is withheld of it.
fn replayed_unseen() -> Vector {
    let (mut scene, _) = Scene::acted();
    let call = scene.read();
    decide(&mut scene, &call, |pop| pop.counter = 0, |entry| entry);
    let (log, mut parts) = scene.close();
    let hidden = log.bundle_showing(|_, name| name != "chain");
    parts.item(6).fields.clone_from(&hidden.clone().item(6).fields);
    let findings = [at(6, "withheld"), at(6, "decision-withheld"), at(8, "pop-replayed")];
    let about = "Two allowed acts with one counter; which delegation the first one relied on is withheld.";
    failed("pop-replayed-withheld", about, &log, &parts, &findings)
}

/// A counter that only a refused act used is free.
fn used_by_refused() -> Vector {
    let mut scene = Scene::delegated();
    let refused = scene.read();
    scene.log.decide(&mut scene.run, &refused, "deny");
    let call = scene.read();
    decide(&mut scene, &call, |pop| pop.counter = 0, |entry| entry);
    let (log, parts) = scene.close();
    super::verified(
        "pop-after-refusal",
        "An allowed act with the counter of a refused one.",
        &log,
        &parts,
        &[],
    )
}

fn policies() -> Vec<Vector> {
    let mut stale = Scene::delegated();
    let old = stale.log.policy.clone();
    stale.log.activate("@id(\"none\")\nforbid(principal, action, resource);\n");
    stale.log.policy = old;
    let call = stale.read();
    decide(&mut stale, &call, |_| {}, |entry| entry);
    let mut none = LogBuilder::new(super::SEED);
    let person = none.register("alice");
    let mut run = none.agent("helper", &person.principal);
    none.policy = json!("sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    none.start(&run);
    none.delegate(&mut run, &person);
    let mut none = Scene { log: none, person, run };
    let call = none.read();
    decide(&mut none, &call, |_| {}, |entry| entry);
    vec![
        one(
            "decision-old-policy",
            "Decided under the policy before the one that was active.",
            stale,
            7,
            "decision-policy",
        ),
        one(
            "decision-no-policy",
            "Decided under a policy, and none was ever activated.",
            none,
            5,
            "decision-policy",
        ),
    ]
}

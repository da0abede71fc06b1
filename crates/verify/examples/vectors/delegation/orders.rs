//! Revocations and halts: what fits, and from when on.

use evidence::id;
use serde_json::{Value, json};
use testkit::token_digest;

use super::{Case, Scene, chains};

pub(super) fn cases() -> Vec<Case> {
    [targets(), others(), times(), issuer_keys(), halts()].into_iter().flatten().collect()
}

/// A chain of three, in which something was revoked from now on.
fn revoked(what: &str, target: impl FnOnce(&Scene) -> Value) -> Scene {
    let mut scene = Scene::links(3);
    let target = target(&scene);
    scene.revocations.push(json!({"what": what, "target": target, "eff": scene.at}));
    scene
}

fn digest(link: usize) -> impl FnOnce(&Scene) -> Value {
    move |scene| json!(token_digest(&scene.chain[link]))
}

fn key(link: usize) -> impl FnOnce(&Scene) -> Value {
    move |scene| json!(scene.agents[link].holder.key)
}

fn principal(sub: &'static str) -> impl FnOnce(&Scene) -> Value {
    move |scene| json!({"iss": scene.log.issuer, "sub": sub})
}

fn issuer_key(scene: &Scene) -> Value {
    json!(evidence::jws::Jwk::of(&scene.log.issuer_key).thumbprint())
}

fn targets() -> Vec<Case> {
    let case = |name, about, scene: Scene| scene.refused(name, about, "revoked");
    let mut mandated = chains::mandated();
    let source = serde_json::from_str::<Value>(&super::texts(&mandated.chain[0])[1]).unwrap_or_default();
    let mandate = source["deeds"]["src"][0]["d"].clone();
    mandated.revocations.push(json!({"what": "delegation", "target": mandate, "eff": mandated.at}));
    vec![
        case("revoked-root", "The root was revoked.", revoked("delegation", digest(0))),
        case("revoked-middle", "The middle link was revoked.", revoked("delegation", digest(1))),
        case("revoked-leaf", "The leaf was revoked.", revoked("delegation", digest(2))),
        case("revoked-mandate", "The mandate that the root is under was revoked.", mandated),
        case(
            "revoked-task",
            "The task was revoked.",
            revoked("lineage", |scene| json!(id::text(&scene.agents[0].txn))),
        ),
        case(
            "revoked-key-middle",
            "The key that the middle link is bound to was revoked.",
            revoked("holder-key", key(1)),
        ),
        case(
            "revoked-key-leaf",
            "The key that the leaf is bound to was revoked.",
            revoked("holder-key", key(2)),
        ),
        case("revoked-principal", "The principal was revoked.", revoked("principal", principal("alice"))),
        case(
            "revoked-issuer-key",
            "The issuer's key was revoked, from before the root was recorded.",
            revoked("issuer-key", issuer_key),
        ),
        case("revoked-tenant", "The tenant was revoked.", revoked("tenant", |_| json!("local"))),
    ]
}

/// Revocations of something else.
fn others() -> Vec<Case> {
    let case = |name, about, scene: Scene| scene.allowed(name, about, &[]);
    vec![
        case(
            "revoked-other-delegation",
            "Another delegation was revoked.",
            revoked("delegation", |_| json!("47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU")),
        ),
        case(
            "revoked-key-as-delegation",
            "A key of the chain was revoked as if it were a delegation.",
            revoked("delegation", key(1)),
        ),
        case(
            "revoked-delegation-as-key",
            "A link of the chain was revoked as if it were a key.",
            revoked("holder-key", digest(1)),
        ),
        case(
            "revoked-other-principal",
            "Another principal was revoked.",
            revoked("principal", principal("bob")),
        ),
        case(
            "revoked-principal-key",
            "The principal's own key was revoked as a holder's: no link is bound to it.",
            revoked("holder-key", |scene| json!(scene.registered[0])),
        ),
        case("revoked-other-tenant", "Another tenant was revoked.", revoked("tenant", |_| json!("other"))),
        case(
            "revoked-holder-key-as-issuer-key",
            "A holder's key was revoked as if it were the issuer's.",
            revoked("issuer-key", key(0)),
        ),
    ]
}

fn times() -> Vec<Case> {
    let from = |ahead: i64| {
        let mut scene = Scene::links(3);
        let eff = scene.at.saturating_add_signed(ahead);
        let target = token_digest(&scene.chain[1]);
        scene.revocations.push(json!({"what": "delegation", "target": target, "eff": eff}));
        scene
    };
    let mut twice = from(1);
    let again = twice.revocations[0].clone();
    twice.revocations.insert(0, again);
    twice.revocations[0]["eff"] = json!(twice.at - 3_600);
    vec![
        from(-1).refused("revoked-before", "Revoked from the second before.", "revoked"),
        from(0).refused("revoked-now", "Revoked from this second.", "revoked"),
        from(1).allowed("revoked-after", "Revoked from the second after.", &[]),
        twice.refused(
            "revoked-twice",
            "Revoked twice, once from the second after and once from an hour ago.",
            "revoked",
        ),
    ]
}

fn issuer_keys() -> Vec<Case> {
    let logged = |ahead: i64| {
        let mut scene = revoked("issuer-key", issuer_key);
        scene.logged_at = scene.at.saturating_add_signed(ahead);
        scene
    };
    vec![
        logged(-1).allowed(
            "issuer-key-before",
            "The log recorded the root in the second before the issuer's key was revoked.",
            &[],
        ),
        logged(0).refused(
            "issuer-key-same",
            "The log recorded the root in the second in which the issuer's key was revoked.",
            "revoked",
        ),
    ]
}

fn halts() -> Vec<Case> {
    let halted = |on: Value| {
        let mut scene = Scene::links(3);
        scene.halts.push(on);
        scene
    };
    let issuer = Scene::new().log.issuer;
    let principal = |sub: &str| json!({"t": "principal", "iss": issuer, "sub": sub});
    let agent = |id: &str| json!({"t": "agent", "id": id});
    vec![
        halted(json!({"t": "all"})).refused("halted-all", "Everything is halted.", "halted"),
        halted(agent("agent 2")).refused("halted-agent", "The agent is halted.", "halted"),
        halted(agent("agent 0")).refused("halted-above", "The agent two above is halted.", "halted"),
        halted(principal("alice")).refused(
            "halted-principal",
            "All who act for the principal are halted.",
            "halted",
        ),
        halted(agent("agent 3")).allowed("halted-other", "Another agent is halted.", &[]),
        halted(principal("bob")).allowed(
            "halted-other-principal",
            "All who act for another principal are halted.",
            &[],
        ),
        halted(principal("agent 2")).allowed(
            "halted-agent-as-principal",
            "A principal with the agent's name is halted.",
            &[],
        ),
    ]
}

//! Proofs of possession, times, and which check comes first.

use serde_json::{Value, json};
use testkit::{resigned, signing_key, token_digest};

use super::{Case, READ, Scene, row};

pub(super) fn cases() -> Vec<Case> {
    [proofs(), bindings(), proof_times(), times(), scopes(), order()].into_iter().flatten().collect()
}

/// A proof with another claim, signed again by the leaf's holder.
fn claim(name: &str, about: &str, place: &str, value: Value) -> Case {
    let mut scene = Scene::links(2);
    let token = scene.usual_proof().sign(scene.leaf_key());
    scene.pop = Some(resigned(&token, evidence::jws::POP, scene.leaf_key(), place, value));
    scene.refused(name, about, "pop-malformed")
}

fn proofs() -> Vec<Case> {
    let signed_by = |name, about, step, key: &dyn Fn(&Scene) -> testkit::SigningKey| {
        let mut scene = Scene::links(2);
        scene.pop = Some(scene.usual_proof().sign(&key(&scene)));
        scene.refused(name, about, step)
    };
    let replaced = |name, about, step, token: &dyn Fn(&Scene) -> String| {
        let mut scene = Scene::links(2);
        scene.pop = Some(token(&scene));
        scene.refused(name, about, step)
    };
    vec![
        replaced("pop-empty", "No proof.", "pop-malformed", &|_| String::new()),
        replaced("pop-delegation", "The leaf itself as its proof.", "pop-malformed", &|scene| {
            scene.chain[1].clone()
        }),
        replaced("pop-altered", "A proof with another's signature.", "pop-signature", &|scene| {
            let (one, other) = (scene.usual_proof(), Scene::links(2).at(scene.at + 1).usual_proof());
            let (one, other) = (one.sign(scene.leaf_key()), other.sign(scene.leaf_key()));
            let input = one.rsplit_once('.').map_or("", |(input, _)| input).to_owned();
            format!("{input}.{}", other.rsplit_once('.').map_or("", |(_, signature)| signature))
        }),
        signed_by("pop-stranger", "A proof that a stranger signed.", "pop-signature", &|_| {
            signing_key("a stranger")
        }),
        signed_by("pop-parent", "A proof that the parent's holder signed.", "pop-signature", &|scene| {
            scene.agents[0].key.clone()
        }),
        signed_by("pop-principal", "A proof that the principal signed.", "pop-signature", &|scene| {
            scene.person.key.clone()
        }),
        claim("pop-life", "A proof that holds for 61 seconds.", "/exp", json!(1_795_000_061)),
        claim("pop-counter-negative", "A counter below 0.", "/ctr", json!(-1)),
        claim("pop-counter-huge", "A counter beyond 2^53.", "/ctr", json!(u64::MAX)),
        claim(
            "pop-act-upper-case",
            "An act in upper case.",
            "/act_id",
            json!("01900000-0000-7000-8000-00000000000A"),
        ),
        claim(
            "pop-audience-array",
            "An audience that is an array.",
            "/aud",
            json!(["deeds://delegation.test/log"]),
        ),
        claim("pop-jti-empty", "A proof with an empty id.", "/jti", json!("")),
    ]
}

fn bindings() -> Vec<Case> {
    let case = |name, about, change: &dyn Fn(&Scene, &mut evidence::delegation::Pop)| {
        let scene = Scene::links(2);
        let before = scene.clone();
        scene.proof(|pop| change(&before, pop)).refused(name, about, "pop-binding")
    };
    vec![
        case("pop-audience", "A proof for another enforcement point.", &|_, pop| {
            pop.audience = "deeds://elsewhere.test/log".into();
        }),
        case(
            "pop-audience-slash",
            "A proof for the enforcement point with a slash at its end.",
            &|_, pop| pop.audience.push('/'),
        ),
        case("pop-leaf", "A proof under the parent's delegation.", &|scene, pop| {
            pop.leaf = token_digest(&scene.chain[0]);
        }),
        case("pop-tool", "A proof for another tool.", &|_, pop| pop.tool = "stdio:fs#write_file".into()),
        case("pop-tool-case", "A proof for the tool in another case.", &|_, pop| {
            pop.tool = "stdio:fs#READ_file".into();
        }),
        case("pop-arguments", "A proof for other arguments.", &|_, pop| {
            pop.args_digest = "RBNvo1WzZ4oRRq0W9-hknpT7T8If536DEMBg9hyq_4o".into();
        }),
        case("pop-act", "A proof for another act.", &|_, pop| pop.act_id = [7; 16]),
    ]
}

fn proof_times() -> Vec<Case> {
    let made = |ahead: i64| {
        Scene::links(2).proof(|pop| {
            pop.iat = pop.iat.saturating_add_signed(ahead);
            pop.exp = pop.iat + 60;
        })
    };
    let ended = |left: u64| {
        Scene::links(2).proof(|pop| {
            pop.exp = pop.iat + left;
        })
    };
    vec![
        made(-30).allowed("pop-old-limit", "A proof made 30 seconds before.", &[]),
        made(-31).refused("pop-old", "A proof made 31 seconds before.", "pop-time"),
        made(30).allowed("pop-ahead-limit", "A proof made 30 seconds after.", &[]),
        made(31).refused("pop-ahead", "A proof made 31 seconds after.", "pop-time"),
        ended(1).allowed("pop-last-second", "A proof in its last second.", &[]),
        ended(0).refused("pop-ended", "A proof that ends in this second.", "pop-time"),
    ]
}

fn times() -> Vec<Case> {
    let begins = |ahead: u64| Scene::rooted(|root| root.nbf += ahead).child(|_| {});
    let made = |ahead: u64| {
        Scene::rooted(|root| {
            root.iat += ahead;
            root.exp += ahead;
        })
    };
    let child_made = |ahead: u64| Scene::links(1).child(|child| child.iat += ahead);
    let ends = |at: u64| {
        let scene = Scene::links(1).child(|child| child.exp -= 1_800);
        let at = scene.at + at;
        scene.at(at)
    };
    let far = |seconds: u64| {
        Scene::rooted(|root| {
            root.iat = seconds;
            root.nbf = seconds;
            root.exp = seconds + 600;
        })
    };
    vec![
        begins(30).allowed("time-begin-limit", "A root that begins in 30 seconds.", &[]),
        begins(31).refused("time-begin", "A root that begins in 31 seconds.", "delegation-time"),
        made(30).allowed("time-made-limit", "A root made 30 seconds from now.", &[]),
        made(31).refused("time-made", "A root made 31 seconds from now.", "delegation-time"),
        child_made(31).refused("time-made-child", "A child made 31 seconds from now.", "delegation-time"),
        ends(1_799).allowed("time-last-second", "A child in its last second.", &[]),
        ends(1_800).refused(
            "time-ended",
            "A child that ends in this second; its root goes on.",
            "delegation-time",
        ),
        far(1_795_000_000_000).refused(
            "time-milliseconds",
            "A root whose times are milliseconds.",
            "delegation-time",
        ),
        far((1 << 53) - 600).refused("time-largest", "A root that ends at 2^53.", "delegation-time"),
    ]
}

fn scopes() -> Vec<Case> {
    let path = |path: &str| row(&json!({"path": {"constraint_type": "path_under", "path": path}}));
    vec![
        Scene::links(2).calls("stdio:edr#isolate_host", "{}").refused(
            "scope-server",
            "A tool of another server.",
            "scope",
        ),
        Scene::links(1).child(|child| child.scope = path("/srv")).calls("stdio:fs#write_file", "{}").refused(
            "scope-tool",
            "A tool that the root has and the child does not.",
            "scope",
        ),
        Scene::rooted(|root| root.scope = path("/srv"))
            .child(|child| child.scope = path("/srv/data"))
            .refused("scope-argument", "An argument that the root allows and the child does not.", "scope"),
    ]
}

/// Acts with two things wrong: the first check that fails is the answer.
fn order() -> Vec<Case> {
    let stranger = |mut scene: Scene| {
        scene.pop = Some(scene.usual_proof().sign(&signing_key("a stranger")));
        scene
    };
    let late = |scene: Scene| {
        let at = scene.at + 3_600;
        scene.at(at)
    };
    let mut retired = late(Scene::links(2));
    retired.registered.clear();
    let mut revoked = Scene::links(2);
    revoked.registered.clear();
    revoked.revocations.push(json!({"what": "tenant", "target": "local", "eff": revoked.at}));
    let mut halted = Scene::links(2);
    halted.revocations.push(json!({"what": "tenant", "target": "local", "eff": halted.at}));
    halted.halts.push(json!({"t": "all"}));
    let mut stopped = Scene::links(2).calls(READ, "[]");
    stopped.halts.push(json!({"t": "all"}));
    let unproven = Scene::links(2).calls("stdio:edr#isolate_host", "{}").proof(|pop| pop.act_id = [7; 16]);
    let stale = Scene::links(2).proof(|pop| {
        (pop.iat, pop.exp) = (pop.iat - 60, pop.exp - 60);
        pop.act_id = [7; 16];
    });
    let forged = Scene::links(1).child(|child| child.exp += 1).leaf(|_, token| {
        let (input, _) = token.rsplit_once('.').unwrap_or_default();
        format!("{input}.{}", evidence::base64url::encode(&[7; 64]))
    });
    vec![
        stranger(late(Scene::links(2))).refused(
            "first-proof",
            "A stranger's proof under a chain that has ended.",
            "pop-signature",
        ),
        retired.refused(
            "first-time",
            "A chain that has ended, on a key that was retired.",
            "delegation-time",
        ),
        revoked.refused(
            "first-retired",
            "A key that was retired, of a tenant that was revoked.",
            "principal-retired",
        ),
        halted.refused("first-revoked", "What was revoked was halted as well.", "revoked"),
        stopped.refused("first-halted", "Everything is halted, and the arguments are no object.", "halted"),
        unproven.refused("first-scope", "A tool outside the scope, and a proof for another act.", "scope"),
        stale.refused("first-binding", "An old proof for another act.", "pop-binding"),
        forged.refused(
            "first-signature",
            "A child that outlives its root, with a signature that does not hold.",
            "delegation-signature",
        ),
        Scene::links(1)
            .child(|child| {
                child.depth = 2;
                child.exp += 1;
                child.tenant = "other".into();
            })
            .refused(
                "first-depth",
                "A child at a wrong depth that outlives its root, for another tenant.",
                "link-depth",
            ),
        Scene::links(1).child(|child| child.exp += 1).child(|child| child.txn = [7; 16]).refused(
            "first-link",
            "A child that outlives its root, above one for another task.",
            "link-time",
        ),
    ]
}

//! Children that do not fit the link above them.

use evidence::delegation::{Approvals, BREAK_GLASS, Child};
use serde_json::{Value, json};
use testkit::token_digest;

use super::{Case, READ, Scene, scope};

pub(super) fn cases() -> Vec<Case> {
    [spliced(), depths(), times(), bindings(), tools(), approvals(), repeated()]
        .into_iter()
        .flatten()
        .collect()
}

/// A root and a child after a change.
fn child(name: &str, about: &str, step: &str, change: impl FnOnce(&mut Child)) -> Case {
    Scene::links(1).child(change).refused(name, about, step)
}

/// Chains whose links are not each the parent of the next.
fn spliced() -> Vec<Case> {
    let reordered = Scene::links(3).chained(|chain| chain.swap(1, 2));
    let shortened = Scene::links(3).chained(|chain| drop(chain.remove(1)));
    let rootless = Scene::links(3).chained(|chain| drop(chain.remove(0)));
    let doubled = Scene::links(2).chained(|chain| chain.insert(0, chain[0].clone()));
    let cycle = Scene::links(3).chained(|chain| chain.push(chain[1].clone()));
    let truncated = {
        // what the holder of the leaf makes of the chain that it has
        let scene = Scene::links(3);
        let pop = scene.clone().proof(|pop| pop.leaf = token_digest(&scene.chain[1])).pop;
        let mut scene = scene.chained(|chain| drop(chain.pop()));
        scene.pop = pop;
        scene
    };
    let other_root = {
        let scene = Scene::links(2);
        let other = Scene::rooted(|root| root.purpose = "something else".into());
        scene.chained(|chain| chain[0].clone_from(&other.chain[0]))
    };
    let respelled = {
        // the digest of the claims instead of that of the token
        let mut scene = Scene::links(1);
        let [_, payload] = super::texts(&scene.chain[0]);
        let digest = evidence::base64url::encode(&evidence::Digest::of(payload.as_bytes()).0);
        scene = scene.child(|child| child.parent = digest);
        scene
    };
    let whole = {
        let scene = Scene::links(1);
        let digest = evidence::base64url::encode(&evidence::Digest::of(scene.chain[0].as_bytes()).0);
        scene.child(|child| child.parent = digest)
    };
    let grandparent = {
        let scene = Scene::links(2);
        let key = scene.agents[0].key.clone();
        scene.child_by(&key, |_| {})
    };
    let principal = {
        let scene = Scene::links(1);
        let key = scene.person.key.clone();
        scene.child_by(&key, |_| {})
    };
    vec![
        other_root.refused("splice-root", "A child below another root for the same key.", "link-parent"),
        shortened.refused("splice-shortened", "A chain without its middle link.", "link-parent"),
        reordered.refused("splice-reordered", "A chain with two links in each other's place.", "link-parent"),
        cycle.refused("splice-cycle", "A chain that comes back to one of its links.", "link-parent"),
        rootless.refused("splice-rootless", "A chain without its root.", "delegation-malformed"),
        doubled.refused("splice-two-roots", "A chain with its root twice.", "delegation-malformed"),
        truncated.refused(
            "splice-truncated",
            "A chain cut down to an ancestor, used with the leaf's key.",
            "pop-signature",
        ),
        respelled.refused(
            "parent-claims",
            "A parent named by the digest of its claims alone.",
            "link-parent",
        ),
        whole.refused("parent-whole", "A parent named by the digest of the whole token.", "link-parent"),
        grandparent.refused(
            "parent-key-above",
            "A child signed with the key that the link above its parent is bound to.",
            "link-parent",
        ),
        principal.refused(
            "parent-key-principal",
            "A child signed with the principal's own key.",
            "link-parent",
        ),
    ]
}

fn depths() -> Vec<Case> {
    let deep = |max: u64| Scene::rooted(|root| root.max_depth = max);
    let last = deep(1).child(|child| child.max_depth = 1);
    vec![
        child("depth-skipped", "A child at depth 2 below a root.", "link-depth", |child| child.depth = 2),
        deep(2).child(|child| child.max_depth = 3).refused(
            "depth-more",
            "A child that may be passed on further than its root.",
            "link-depth",
        ),
        deep(0).child(|child| child.max_depth = 1).refused(
            "depth-terminal",
            "A child of a root that may not be passed on.",
            "link-depth",
        ),
        last.clone().allowed("depth-limit", "A child at the depth that its root allows.", &[]),
        last.child(|child| (child.depth, child.max_depth) = (2, 2)).refused(
            "depth-beyond",
            "A grandchild below a child that may not be passed on.",
            "link-depth",
        ),
    ]
}

fn times() -> Vec<Case> {
    vec![
        child("link-ends-later", "A child that ends a second after its root.", "link-time", |child| {
            child.exp += 1;
        }),
        child("link-made-earlier", "A child that is a second older than its root.", "link-time", |child| {
            child.iat -= 1;
        }),
        Scene::links(1).child(|child| child.exp -= 1_800).child(|child| child.exp += 1).refused(
            "link-ends-later-below",
            "A grandchild that outlives the child, within the root.",
            "link-time",
        ),
        Scene::links(1).child(|child| child.nbf -= 3_600).allowed(
            "link-begins-earlier",
            "A child that would begin before its root: its root does not.",
            &[],
        ),
    ]
}

fn bindings() -> Vec<Case> {
    let broken = Scene::rooted(|root| {
        root.purpose = BREAK_GLASS.into();
        root.why = Some("the host is lost".into());
    });
    vec![
        child("link-other-tenant", "A child for another tenant.", "link-binding", |child| {
            child.tenant = "other".into();
        }),
        child("link-other-task", "A child for another task.", "link-binding", |child| child.txn = [7; 16]),
        child("link-other-audience", "A child for another audience.", "link-binding", |child| {
            child.audience = "deeds://elsewhere.test/log".into();
        }),
        child(
            "link-glass-taken",
            "A child that breaks the glass below a root that does not.",
            "link-binding",
            |child| {
                child.purpose = BREAK_GLASS.into();
            },
        ),
        broken.child(|child| child.purpose = "tests".into()).refused(
            "link-glass-dropped",
            "A child that hides that the glass was broken.",
            "link-binding",
        ),
    ]
}

/// Tools and rows; pairs of constraints have a file of their own.
fn tools() -> Vec<Case> {
    let case =
        |name, about, parent: Value, own: Value| {
            Scene::rooted(|root| root.scope = scope(&parent))
                .child(|child| child.scope = scope(&own))
                .refused(name, about, "link-scope")
        };
    let malformed =
        |name, about, tools: Value| {
            let mut scene = Scene::links(1);
            let key = scene.leaf_key().clone();
            scene = scene.child(|_| {});
            scene
                .leaf(|_, token| super::reclaimed(token, &key, "/authorization_details/0/tools", tools))
                .refused(name, about, "delegation-malformed")
        };
    let any = json!({"constraint_type": "wildcard"});
    let maybe = json!({"constraint_type": "wildcard", "optional": true});
    let server = "stdio:fs#*";
    let narrowed = Scene::rooted(|root| root.scope = scope(&json!({server: {}, READ: {"path": any}})));
    vec![
        case(
            "tool-added",
            "A tool that the root does not have.",
            json!({READ: {}}),
            json!({READ: {}, "stdio:fs#write_file": {}}),
        ),
        case(
            "tool-server",
            "All tools of a server, of which the root has one.",
            json!({READ: {}}),
            json!({server: {}}),
        ),
        case("tool-case", "A tool in another case.", json!({READ: {}}), json!({"stdio:fs#Read_file": {}})),
        case(
            "tool-percent",
            "A tool with a character written as its code.",
            json!({READ: {}}),
            json!({"stdio:fs#read%5Ffile": {}}),
        ),
        case(
            "tool-scheme-case",
            "A server in another case.",
            json!({READ: {}}),
            json!({"STDIO:fs#read_file": {}}),
        ),
        malformed(
            "tool-homoglyph",
            "A tool with a letter of another script.",
            json!({"stdio:fs#r\u{0435}ad_file": {}}),
        ),
        malformed("tool-space", "A tool with a space.", json!({"stdio:fs#read file": {}})),
        malformed("tools-none", "A child without tools.", json!({})),
        case(
            "row-opened",
            "Any arguments, where the root lists them.",
            json!({READ: {"path": any}}),
            json!({READ: {}}),
        ),
        case(
            "row-fewer",
            "A child that lists an argument less.",
            json!({READ: {"path": any, "limit": any}}),
            json!({READ: {"path": any}}),
        ),
        case(
            "row-more",
            "A child that lists an argument more.",
            json!({READ: {"path": any}}),
            json!({READ: {"path": any, "limit": any}}),
        ),
        case(
            "row-optional",
            "An argument that the child may leave out and the root demands.",
            json!({READ: {"path": any}}),
            json!({READ: {"path": maybe}}),
        ),
        narrowed.child(|child| child.scope = scope(&json!({server: {}}))).refused(
            "row-evaded",
            "All tools of a server, without the row that the root has for one of them.",
            "link-scope",
        ),
        Scene::rooted(|root| root.scope = scope(&json!({READ: {"path": maybe}})))
            .child(|child| child.scope = scope(&json!({READ: {"path": any}})))
            .allowed("row-demanded", "An argument that the root lets out and the child demands.", &[]),
        Scene::links(1).child(|child| child.scope = scope(&json!({READ: {"path": any}}))).allowed(
            "row-closed",
            "The child lists arguments of a tool that the root has with any.",
            &[],
        ),
    ]
}

fn approvals() -> Vec<Case> {
    let demanded = || Approvals {
        tools: vec!["stdio:fs#write_file".into(), "stdio:fs#move_file".into()],
        m: 2,
        by: vec!["group:owners".into(), "group:finance".into()],
        ttl: 600,
    };
    let case = |name, about, change: fn(&mut Child, Approvals)| {
        Scene::rooted(|root| root.approvals = Some(demanded()))
            .child(|child| change(child, demanded()))
            .refused(name, about, "link-approvals")
    };
    let stricter = Scene::rooted(|root| root.approvals = Some(demanded())).child(|child| {
        let mut approvals = demanded();
        approvals.tools.push("stdio:fs#create_directory".into());
        approvals.m = 3;
        approvals.by.pop();
        approvals.ttl = 60;
        child.approvals = Some(approvals);
    });
    let named = |name, about, tool: &str| {
        let approvals = Approvals { tools: vec![tool.to_owned()], ..demanded() };
        Scene::rooted(|root| root.approvals = Some(approvals)).refused(name, about, "approval")
    };
    let below = Scene::links(1)
        .child(|child| child.approvals = Some(Approvals { tools: vec![READ.into()], ..demanded() }));
    vec![
        case("approvals-dropped", "A child that demands no approvals.", |child, _| child.approvals = None),
        case("approvals-tool", "A child that demands none for one of the tools.", |child, mut approvals| {
            approvals.tools.pop();
            child.approvals = Some(approvals);
        }),
        case(
            "approvals-fewer",
            "A child that demands one approval instead of two.",
            |child, mut approvals| {
                approvals.m = 1;
                child.approvals = Some(approvals);
            },
        ),
        case("approvals-by", "A child that lets more approve.", |child, mut approvals| {
            approvals.by.push("group:everyone".into());
            child.approvals = Some(approvals);
        }),
        case("approvals-longer", "A child whose approvals hold a second longer.", |child, mut approvals| {
            approvals.ttl += 1;
            child.approvals = Some(approvals);
        }),
        stricter.allowed("approvals-more", "A child that demands more approvals; the tool needs none.", &[]),
        named("approval", "A tool that needs an approval.", READ),
        named("approval-server", "A tool of a server all of whose tools need an approval.", "stdio:fs#*"),
        below.refused("approval-below", "A tool for which the child demands an approval.", "approval"),
    ]
}

fn repeated() -> Vec<Case> {
    let mut scene = Scene::links(2);
    let jti = serde_json::from_str::<Value>(&super::texts(&scene.chain[1])[1]).unwrap_or_default();
    let jti = jti.get("jti").and_then(Value::as_str).unwrap_or_default().to_owned();
    scene = scene.child(|child| child.jti = jti);
    vec![scene.refused("chain-repeated", "A grandchild with the id of the child.", "chain-repeated")]
}

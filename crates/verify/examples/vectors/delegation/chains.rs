//! Chains that hold, and the limits of their size.

use evidence::delegation::{BREAK_GLASS, Source};
use evidence::jws::Jwk;
use evidence::principal::PrincipalKind;
use serde_json::{Value, json};
use testkit::{SigningKey, signing_key, source_under};

use super::{Case, READ, Scene, reclaimed, retold, row};

pub(super) fn cases() -> Vec<Case> {
    [plain(), noted(), sources(), sizes(), tokens()].into_iter().flatten().collect()
}

fn plain() -> Vec<Case> {
    let narrower = Scene::links(1)
        .child(|child| {
            child.scope = row(&json!({"path": {"constraint_type": "path_under", "path": "/srv"}}));
            child.exp -= 600;
            child.max_depth = 2;
        })
        .child(|child| {
            child.scope = row(&json!({"path": {"constraint_type": "exact", "value": "/srv/report.txt"}}));
            child.max_depth = 2;
            child.purpose = "one report".into();
        });
    let attested = Scene::links(1).child(|child| child.holder.asr = "attested".into());
    vec![
        Scene::links(1).allowed("chain-1", "A root alone.", &[]),
        Scene::links(3).allowed("chain-3", "A root, a child and a grandchild.", &[]),
        Scene::links(9).allowed("chain-9", "As many links as a chain can have.", &[]),
        narrower.allowed("chain-narrower", "Each link is narrower than the one above it.", &[]),
        attested.allowed("chain-attested", "A delegator that claims more of a holder than it can know.", &[]),
    ]
}

fn noted() -> Vec<Case> {
    let shared = |mut scene: Scene| {
        let key = scene.agents.first().map_or_else(|| signing_key("nobody"), |agent| agent.key.clone());
        let jwk = Jwk::of(&key);
        scene = scene.child(|child| {
            child.holder.key = jwk.thumbprint();
            child.cnf = jwk;
        });
        if let Some(last) = scene.agents.last_mut() {
            last.key = key;
        }
        scene
    };
    let broken = || {
        Scene::rooted(|root| {
            root.purpose = BREAK_GLASS.into();
            root.why = Some("the host is lost".into());
        })
    };
    vec![
        shared(Scene::links(1)).allowed("key-reused", "A sub-agent with its parent's key.", &["key-reused"]),
        shared(Scene::links(2)).allowed(
            "key-reused-above",
            "A sub-agent with the key of the agent two above.",
            &["key-reused"],
        ),
        broken().allowed("break-glass", "A person broke the glass and said why.", &["break-glass"]),
        shared(broken()).allowed("break-glass-key-reused", "Both at once.", &["key-reused", "break-glass"]),
    ]
}

fn sources() -> Vec<Case> {
    let mut peer = Scene::rooted(|root| {
        root.source = Source::PeerCredentials { uid: 1_000 };
        root.principal.kind = PrincipalKind::Unknown;
        root.principal.key = None;
    });
    peer.registered.clear();
    let mut mandated = mandated();
    let mut one_retired = mandated.clone();
    one_retired.registered.pop();
    mandated.registered.reverse();
    let mut retired = Scene::links(2);
    retired.registered = vec![Jwk::of(&signing_key("another person")).thumbprint()];
    vec![
        peer.allowed(
            "source-peer",
            "Only the operating system vouches for the principal: no key can be retired.",
            &[],
        ),
        mandated.allowed("source-mandate", "A root under a mandate; both keys are registered.", &[]),
        one_retired.refused(
            "source-mandate-retired",
            "The key that signed the request under a mandate was retired.",
            "principal-retired",
        ),
        retired.refused(
            "source-retired",
            "The key that signed the request was retired.",
            "principal-retired",
        ),
    ]
}

/// A root that a service asked for under the person's mandate.
pub(super) fn mandated() -> Scene {
    let mut scene = Scene::new();
    let service = scene.log.person("nightly");
    let mandate = scene.log.mandate(&scene.person, &["nightly"], &evidence::Scope::server("stdio:fs"));
    let mandate = mandate.sign(&scene.person.key);
    let mut agent = scene.log.service(&service, &scene.person);
    agent.max_depth = 3;
    let request = scene.log.root_request(&agent, &service).sign(&service.key);
    let root = scene.log.root_delegation(&agent, source_under(&mandate, &request));
    let token = root.sign(&scene.log.issuer_key);
    scene.add(agent, token);
    scene.registered.push(Jwk::of(&service.key).thumbprint());
    scene
}

fn sizes() -> Vec<Case> {
    let ten = Scene::links(9).chained(|chain| chain.extend(chain.last().cloned()));
    vec![
        ten.refused("chain-size-count", "Ten links.", "chain-size"),
        sized(65_536).allowed("chain-size-limit", "A chain of 65,536 bytes.", &[]),
        sized(65_537).refused("chain-size-bytes", "A chain of 65,537 bytes.", "chain-size"),
    ]
}

/// A chain of five links that are as long as this together.
fn sized(bytes: usize) -> Scene {
    let fits = |scene: &Scene| scene.chain.iter().map(String::len).sum::<usize>() == bytes;
    (0..4).map(|given| chain_of(bytes, given)).find(fits).unwrap_or_else(|| Scene::links(1))
}

fn chain_of(bytes: usize, given: usize) -> Scene {
    (1..=5).fold(Scene::new(), |scene, links| {
        let left = bytes - scene.chain.iter().map(String::len).sum::<usize>();
        // not every length is that of a token: the fourth link gives way until the fifth has one that is
        let share = if links == 4 { left / 2 - given } else { left / (6 - links) };
        let scene = if links == 1 { Scene::links(1) } else { scene.child(|_| {}) };
        let key = match links {
            1 => scene.log.issuer_key.clone(),
            _ => scene
                .agents
                .iter()
                .rev()
                .nth(1)
                .map_or_else(|| signing_key("nobody"), |agent| agent.key.clone()),
        };
        scene.leaf(|_, token| padded(token, &key, share))
    })
}

/// The same delegation with a claim that nobody reads, signed again: the longest of at most this many bytes.
fn padded(token: &str, key: &SigningKey, at_most: usize) -> String {
    let with = |length: usize| reclaimed(token, key, "/more", Value::String("x".repeat(length)));
    let room = at_most.saturating_sub(with(0).len()) * 3 / 4;
    let fits = (room.saturating_sub(4)..=room + 4).rev().map(with).find(|token| token.len() <= at_most);
    fits.unwrap_or_else(|| token.to_owned())
}

/// The limits of one token.
fn tokens() -> Vec<Case> {
    let long = |bytes: usize| {
        Scene::links(1).leaf(|scene, token| {
            let with = |spaces: usize, more: usize| {
                retold(token, &scene.log.issuer_key, |header, payload| {
                    header.push_str(&" ".repeat(spaces));
                    *payload = payload.replacen('{', &format!(r#"{{"more":"{}","#, "x".repeat(more)), 1);
                })
            };
            let room = (bytes - with(0, 0).len()) * 3 / 4;
            // a segment has no length of one more than a multiple of 4: spaces after the header make up for it
            let tokens = (0..3).flat_map(|spaces| (room - 4..=room).map(move |more| (spaces, more)));
            tokens
                .map(|(spaces, more)| with(spaces, more))
                .find(|token| token.len() == bytes)
                .unwrap_or_default()
        })
    };
    let texts = |bytes: usize| {
        Scene::links(1).leaf(|scene, token| {
            reclaimed(token, &scene.log.issuer_key, "/deeds/purpose", json!("x".repeat(bytes)))
        })
    };
    let named = |bytes: usize| {
        let tool = format!("s#{}", "x".repeat(bytes - 2));
        Scene::rooted(|root| root.scope = evidence::Scope::server("s")).calls(&tool, "{}")
    };
    vec![
        long(16_384).allowed("token-size-limit", "A token of 16,384 bytes.", &[]),
        long(16_385).refused("token-size", "A token of 16,385 bytes.", "delegation-malformed"),
        texts(4_096).allowed("text-limit", "A purpose of 4,096 bytes.", &[]),
        texts(4_097).refused("text-long", "A purpose of 4,097 bytes.", "delegation-malformed"),
        named(1_024).allowed("tool-limit", "A call of a tool whose URI has 1,024 bytes.", &[]),
        named(1_025).refused(
            "tool-long",
            "A call of a tool whose URI has 1,025 bytes: it is no tool URI.",
            "scope",
        ),
        Scene::links(1).calls(&format!("{READ}#x"), "{}").refused(
            "tool-two-hashes",
            "A call whose tool has two number signs.",
            "scope",
        ),
    ]
}

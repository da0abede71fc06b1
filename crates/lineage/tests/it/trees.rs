//! Delegations as trees with their use, and everybody whom the log has seen.

use evidence::delegation::{On, Target, What};
use evidence::jws::Jwk;
use lineage::{
    Answer, DelegationNode, Delegations, DelegationsFilter, Identities, IdentitiesFilter, IdentityRow, Index,
    LineageError, Opener,
};
use serde_json::json;

use crate::chains::{ISOLATE, RELEASE, scene, ws};
use crate::fold::folded;
use crate::held::{Ask, Held};
use crate::log::{Call, KEK, Log, signing_key};

fn trees(index: &Index, filter: &DelegationsFilter) -> Answer<Delegations> {
    index.delegations(filter).unwrap()
}

fn digests(nodes: &[DelegationNode]) -> Vec<&str> {
    nodes.iter().map(|node| node.digest.as_str()).collect()
}

fn everybody(index: &Index, now_ms: u64) -> Answer<Identities> {
    index.identities(&IdentitiesFilter { now_ms, ..IdentitiesFilter::default() }).unwrap()
}

fn one<'a>(answer: &'a Answer<Identities>, what: &str, id: &str) -> &'a IdentityRow {
    answer.content.identities.iter().find(|row| row.what == what && row.id == id).unwrap()
}

#[test]
fn a_tree_tells_what_was_used_and_what_never_was() {
    let mut scene = scene();
    for _ in 0..2 {
        scene.log.call(&mut scene.runs[1], ISOLATE, r#"{"host":"ws-1"}"#);
    }
    scene.log.call(&mut scene.runs[2], ISOLATE, r#"{"host":"ws-1"}"#);
    scene.log.decide(&mut scene.runs[0], &Call { refused: Some("forbidden"), ..Call::of(RELEASE, "{}") });
    let now_ms = scene.log.now_ms;
    let index = folded(&scene.log);
    let answer = trees(&index, &DelegationsFilter { now_ms, ..DelegationsFilter::default() });
    assert!(answer.complete, "{:?} {:?}", answer.left_out, answer.findings);
    let [root] = answer.content.tree.as_slice() else { panic!("{answer:?}") };
    let [child] = root.children.as_slice() else { panic!("{root:?}") };
    let [leaf] = child.children.as_slice() else { panic!("{child:?}") };
    assert_eq!([root.kind, child.kind, leaf.kind], ["root", "child", "child"]);
    assert_eq!([root.used, child.used, leaf.used], [0, 2, 1]);
    assert_eq!([root.used_below, child.used_below, leaf.used_below], [3, 1, 0]);
    assert_eq!([root.refused, child.refused, leaf.refused], [1, 0, 0]);
    // a refusal is no use
    assert_eq!(root.unused, [RELEASE]);
    assert!(child.unused.is_empty() && leaf.unused.is_empty());
    assert_eq!([root.state, child.state, leaf.state], ["live"; 3]);
    assert_eq!([root.check, child.check, leaf.check], ["verified-captured"; 3]);
    assert_eq!(root.principal.value["sub"], json!("maya"));
    assert_eq!(leaf.principal, root.principal);
    assert_eq!(leaf.holder.value["id"], json!("helper"));
    // the run of its issuance is not one that uses it
    let ids: Vec<String> = scene.runs.iter().map(|run| evidence::id::text(&run.id)).collect();
    assert_eq!(root.runs, ids);
    assert_eq!(leaf.runs, ids[2..]);

    let late = DelegationsFilter { now_ms: root.exp * 1_000, ..DelegationsFilter::default() };
    let answer = trees(&index, &late);
    assert_eq!(answer.content.tree[0].state, "expired");
    let why = answer.content.tree[0].why.as_deref().unwrap();
    assert!(why.starts_with("it held until 20") && why.ends_with('Z'), "{why}");
}

#[test]
fn trees_begin_where_they_were_asked_for() {
    let mut scene = scene();
    let other = scene.log.run("fs");
    let now_ms = scene.log.now_ms;
    let index = folded(&scene.log);
    let of = |who: &str| {
        trees(&index, &DelegationsFilter { who: Some(who.into()), now_ms, ..DelegationsFilter::default() })
    };
    let (root, child, leaf) = (scene.triage.digest(), scene.responder.digest(), scene.helper.digest());
    for who in ["maya", "triage"] {
        assert_eq!(digests(&of(who).content.tree), [root.as_str()], "{who}");
    }
    for who in ["responder", &child, &scene.responder.thumbprint()] {
        let answer = of(who);
        assert_eq!(digests(&answer.content.tree), [child.as_str()], "{who}");
        assert_eq!(digests(&answer.content.tree[0].children), [leaf.as_str()]);
    }
    assert_eq!(digests(&of("uid:1000").content.tree), [other.digest.as_str()]);
    let task = DelegationsFilter { task: Some(scene.triage.txn), now_ms, ..DelegationsFilter::default() };
    assert_eq!(digests(&trees(&index, &task).content.tree), [root.as_str()]);
    let run = DelegationsFilter { run: Some(scene.runs[2].id), now_ms, ..DelegationsFilter::default() };
    assert_eq!(digests(&trees(&index, &run).content.tree), [root.as_str()]);
    // all that is asked for has to fit
    let both = |task, who: &str| DelegationsFilter {
        task: Some(task),
        who: Some(who.into()),
        now_ms,
        ..DelegationsFilter::default()
    };
    assert_eq!(digests(&trees(&index, &both(scene.triage.txn, "responder")).content.tree), [child.as_str()]);
    assert!(trees(&index, &both(other.txn, "responder")).content.tree.is_empty());
    for nothing in [
        DelegationsFilter { who: Some("nobody".into()), ..DelegationsFilter::default() },
        DelegationsFilter { task: Some([9; 16]), ..DelegationsFilter::default() },
        DelegationsFilter { run: Some([9; 16]), ..DelegationsFilter::default() },
    ] {
        assert!(matches!(index.delegations(&nothing), Err(LineageError::NotFound { .. })));
    }
    // all, newest first, in pages
    let page = |before| {
        trees(&index, &DelegationsFilter { now_ms, limit: Some(1), before, ..DelegationsFilter::default() })
    };
    let first = page(None);
    assert_eq!((digests(&first.content.tree), first.complete), (vec![other.digest.as_str()], false));
    let second = page(first.content.next);
    assert_eq!((digests(&second.content.tree), second.complete), (vec![root.as_str()], true));
}

#[test]
fn a_name_of_several_shows_nothing_twice() {
    let mut scene = scene();
    // the sub-agent calls itself like the person whose authority it uses
    let child = scene.log.narrow(&scene.helper.clone(), "maya", signing_key(59), None, None);
    scene.log.open_under(&child, None, None);
    let who = DelegationsFilter { who: Some("maya".into()), ..DelegationsFilter::default() };
    let answer = trees(&folded(&scene.log), &who);
    assert_eq!(digests(&answer.content.tree), [scene.triage.digest()]);
}

#[test]
fn roots_stand_below_their_mandate() {
    let mut log = Log::new(1);
    let (maya, service) = (signing_key(30), signing_key(31));
    log.key_change("principal-registered", "maya", &maya);
    log.service("scheduler", &service);
    let mandate = log.mandate("maya", &maya, &["scheduler"], &json!({ISOLATE: {}, RELEASE: {}}));
    let mut held = Vec::new();
    for n in 0..3 {
        let ask = Ask {
            mandate: Some(&mandate),
            principal: log.person("maya", &maya),
            ttl: 900,
            purpose: "nightly",
            ..log.ask("scheduler", &service, "scheduler", signing_key(50 + n), json!({ISOLATE: {}}))
        };
        held.push(log.issue(&ask));
    }
    let mut run = log.open_under(&held[1], None, None);
    log.call(&mut run, ISOLATE, "{}");
    let index = folded(&log);
    let now_ms = log.now_ms;
    let state = |log: &Log| {
        let index = folded(log);
        let filter = DelegationsFilter { now_ms: log.now_ms, ..DelegationsFilter::default() };
        trees(&index, &filter).content.tree[0].state
    };
    let answer = trees(&index, &DelegationsFilter { now_ms, ..DelegationsFilter::default() });
    assert!(answer.complete, "{:?} {:?}", answer.left_out, answer.findings);
    let [top] = answer.content.tree.as_slice() else { panic!("{answer:?}") };
    assert_eq!((top.kind, top.digest.as_str(), top.state), ("mandate", mandate.digest.as_str(), "live"));
    assert_eq!((top.holder.value.clone(), top.txn.clone()), (json!(["scheduler"]), None));
    assert_eq!(digests(&top.children), held.iter().map(Held::digest).collect::<Vec<_>>());
    assert_eq!((top.used, top.used_below), (0, 1));
    assert_eq!(top.unused, [RELEASE]);
    assert_eq!(top.children.iter().map(|root| root.unused.len()).collect::<Vec<_>>(), [1, 0, 1]);

    let on = On::Principal { iss: log.issuer.clone(), sub: "maya".into() };
    let halt = log.halt(&on);
    assert_eq!(state(&log), "halted");
    log.resume(halt, &on, "maya", &maya);
    assert_eq!(state(&log), "live");
    let target = Target::Text(mandate.digest.clone());
    log.revoke(What::Delegation, &target, log.now_ms / 1_000 + 1, None);
    assert_eq!(state(&log), "live");
    log.now_ms += 2_000;
    assert_eq!(state(&log), "revoked");
    log.key_change("principal-retired", "maya", &maya);
    assert_eq!(state(&log), "key-retired");
    log.now_ms += 31 * 86_400_000;
    assert_eq!(state(&log), "expired");
}

#[test]
fn everybody_is_told_with_what_they_hold_and_do_not_use() {
    let mut scene = scene();
    scene.log.call(&mut scene.runs[0], ISOLATE, r#"{"host":"ws-1"}"#);
    let mut fs = scene.log.run("fs");
    let (last, _) = scene.log.call(&mut fs, "stdio:fs#read_file", "{}");
    let now_ms = scene.log.now_ms + 1_000;
    let index = folded(&scene.log);
    let answer = everybody(&index, now_ms);
    assert!(answer.complete, "{:?} {:?}", answer.left_out, answer.findings);

    let triage = one(&answer, "holder", "triage");
    assert_eq!(
        (triage.kind.as_deref(), triage.label, triage.state),
        (Some("agent"), "delegator-asserted", "live")
    );
    assert_eq!((triage.delegations, triage.runs), (1, 1));
    assert_eq!(
        (triage.granted.as_slice(), triage.never_used.as_slice()),
        ([ISOLATE, RELEASE].map(String::from).as_slice(), [RELEASE.to_owned()].as_slice())
    );
    assert_eq!(triage.owner.value["sub"], json!("maya"));
    assert_eq!(triage.owner.check.as_str(), "verified-captured");
    assert_eq!(one(&answer, "holder", "helper").label, "delegator-asserted");
    assert_eq!(one(&answer, "key", &scene.triage.thumbprint()).owner.value["sub"], json!("maya"));

    let maya = one(&answer, "principal", &format!("{} maya", scene.log.issuer));
    assert_eq!((maya.kind.as_deref(), maya.delegations), (Some("human"), 3));
    assert_eq!(maya.owner.value["sub"], json!("maya"));
    let key = one(&answer, "key", &Jwk::of(&signing_key(30)).thumbprint());
    assert_eq!(
        (key.state, key.kind.as_deref(), key.owner.value["sub"].clone()),
        ("live", Some("human"), json!("maya"))
    );

    // a user id is nobody's name, and what hangs on it has no owner
    for row in [
        one(&answer, "holder", &fs.holder.id),
        one(&answer, "key", &fs.holder.key),
        one(&answer, "principal", &format!("{} uid:1000", scene.log.issuer)),
    ] {
        assert_eq!(row.owner.missing, Some("none"), "{row:?}");
        assert_eq!(
            (row.last_index, row.last_ms),
            (last, index.record(last).unwrap().entry.unwrap().observed_ms)
        );
        assert_eq!(row.age_ms, now_ms - row.first_ms);
        assert!(row.never_used.is_empty(), "a whole server is used once a tool of it is");
    }
    // last seen first
    let order: Vec<u64> = answer.content.identities.iter().map(|row| row.last_index).collect();
    assert!(order.windows(2).all(|pair| pair[0] >= pair[1]), "{order:?}");
}

#[test]
fn keys_of_several_runs_are_shared_and_states_follow_orders() {
    let mut scene = scene();
    let twin = scene.log.narrow(&scene.triage, "twin", signing_key(51), None, None);
    let run = scene.log.open_under(&twin, Some(&scene.runs[0]), None);
    let state = |log: &Log, what: &str, id: &str| {
        let index = folded(log);
        let answer = everybody(&index, log.now_ms);
        one(&answer, what, id).state
    };
    let shared = scene.responder.thumbprint();
    let index = folded(&scene.log);
    let answer = everybody(&index, scene.log.now_ms);
    let row = one(&answer, "key", &shared);
    let ids = [&scene.runs[1], &run].map(|run| evidence::id::text(&run.id));
    assert_eq!((row.runs, row.shared.as_slice(), row.delegations), (2, ids.as_slice(), 2));
    let helper = one(&answer, "key", &scene.helper.thumbprint());
    assert!(helper.runs == 1 && helper.shared.is_empty(), "{helper:?}");
    let root = one(&answer, "key", &scene.triage.thumbprint());
    assert!(root.runs == 1 && root.shared.is_empty(), "nobody acts in the run of the issuance: {root:?}");

    let on = On::Agent { id: "twin".into() };
    let halt = scene.log.halt(&on);
    assert_eq!(state(&scene.log, "holder", "twin"), "halted");
    assert_eq!(state(&scene.log, "holder", "triage"), "live");
    scene.log.resume(halt, &on, "maya", &signing_key(30));
    assert_eq!(state(&scene.log, "holder", "twin"), "live");
    scene.log.revoke(What::HolderKey, &Target::Text(shared.clone()), scene.log.now_ms / 1_000, None);
    scene.log.now_ms += 1_000;
    assert_eq!(state(&scene.log, "key", &shared), "revoked");
    assert_eq!(state(&scene.log, "holder", "twin"), "idle");
    scene.log.key_change("principal-retired", "maya", &signing_key(30));
    assert_eq!(state(&scene.log, "key", &Jwk::of(&signing_key(30)).thumbprint()), "retired");
}

#[test]
fn identities_come_in_pages_that_lose_nobody() {
    let mut scene = scene();
    scene.log.call(&mut scene.runs[2], ISOLATE, r#"{"host":"ws-1"}"#);
    let index = folded(&scene.log);
    let all: Vec<(String, String)> = everybody(&index, 0)
        .content
        .identities
        .into_iter()
        .map(|row| (row.what.to_owned(), row.id))
        .collect();
    let (mut found, mut before) = (Vec::new(), None);
    loop {
        let page = index.identities(&IdentitiesFilter { now_ms: 0, limit: Some(1), before }).unwrap().content;
        found.extend(page.identities.into_iter().map(|row| (row.what.to_owned(), row.id)));
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    assert_eq!(found, all);
}

#[test]
fn an_index_that_grew_by_ones_tells_the_same_as_one_made_at_once() {
    let mut scene = scene();
    for run in 0..3 {
        scene.log.call(&mut scene.runs[run], ISOLATE, r#"{"host":"ws-1"}"#);
    }
    let maya = signing_key(30);
    let mandate = scene.log.mandate("maya", &maya, &["scheduler"], &json!({ISOLATE: {"host": ws("ws-")}}));
    let halt = scene.log.halt(&On::All);
    scene.log.resume(halt, &On::All, "maya", &maya);
    let target = Target::Text(scene.responder.digest());
    let revoked = scene.log.revoke(What::Delegation, &target, 0, Some(("maya", &maya)));
    scene.runs[2].counter += 1;
    scene.log.decide(&mut scene.runs[2], &Call { refused: Some("revoked"), ..Call::of(ISOLATE, "{}") });
    scene.log.end(&scene.runs[2]);
    let now_ms = scene.log.now_ms;
    let everything = |index: &Index| {
        json!([
            trees(index, &DelegationsFilter { now_ms, ..DelegationsFilter::default() }),
            everybody(index, now_ms),
            index.allowed("maya", now_ms).unwrap(),
            index.doubt(&lineage::DoubtFilter { revocation: revoked, ..Default::default() }).unwrap(),
            index.did(&lineage::DidFilter::default()).unwrap(),
            index.run(&scene.runs[2].id).unwrap(),
        ])
    };
    let grown = crate::fold::open(&scene.log);
    while grown.fold(1).unwrap() > 0 {}
    let says = everything(&grown);
    assert!(says.to_string().contains(&mandate.digest) && says.to_string().contains("counter-hole"));
    let fresh = Index::open(&scene.log.dir.path().join("fresh.sqlite"), scene.log.reader(), Opener::new(KEK))
        .unwrap();
    fresh.fold_until(scene.log.size()).unwrap();
    assert_eq!(everything(&fresh), says);
    grown.rebuild().unwrap();
    assert_eq!(everything(&grown), says);
}

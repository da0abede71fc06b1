//! The chain of an act, hop by hop: holders, scopes, labels, mandates, break-glass, sub-agents.

use evidence::Kind;
use evidence::delegation::{Approvals, Target, What};
use lineage::{Answer, Authority, DidFilter, Index, LinkPart, RunsFilter, Which, Whose};
use serde_json::{Value, json};

use crate::fold::folded;
use crate::held::{Ask, Held};
use crate::log::{Call, Log, Run, signing_key};

pub(crate) const ISOLATE: &str = "stdio:edr#isolate_host";
pub(crate) const RELEASE: &str = "stdio:edr#release_host";
const HANDOFF: &str = "isolate the two workstations of ticket 7";

/// Maya's authority, handed from a triage agent to a responder and on to its helper.
pub(crate) struct Scene {
    pub(crate) log: Log,
    pub(crate) triage: Held,
    pub(crate) responder: Held,
    pub(crate) helper: Held,
    pub(crate) runs: [Run; 3],
}

pub(crate) fn ws(prefix: &str) -> Value {
    json!({"constraint_type": "prefix", "prefix": prefix})
}

pub(crate) fn scene() -> Scene {
    let mut log = Log::new(1);
    let maya = signing_key(30);
    log.key_change("principal-registered", "maya", &maya);
    // longer than any request lives, and the policy is there
    log.now_ms += 700_000;
    let tools = json!({ISOLATE: {"host": ws("ws-")}, RELEASE: {"host": ws("ws-")}});
    let ask = log.ask("maya", &maya, "triage", signing_key(50), tools);
    let triage = log.issue(&ask);
    let first = log.open_under(&triage, None, None);
    let tools = json!({ISOLATE: {"host": ws("ws-1")}});
    let responder = log.narrow(&triage, "responder", signing_key(51), Some(tools), Some(HANDOFF));
    let second = log.open_under(&responder, Some(&first), Some(HANDOFF));
    let helper = log.narrow(&responder, "helper", signing_key(52), None, None);
    let third = log.open_under(&helper, Some(&second), None);
    Scene { log, triage, responder, helper, runs: [first, second, third] }
}

fn ask(index: &Index, at: u64) -> Answer<Authority> {
    index.authority(Which::Index(at)).unwrap()
}

fn codes(answer: &Answer<Authority>) -> Vec<&str> {
    answer.findings.iter().map(|finding| finding.code.as_str()).collect()
}

fn checks(link: &LinkPart) -> Vec<&'static str> {
    link.checks.iter().filter(|one| one.check == "verified-captured").map(|one| one.what).collect()
}

fn says(answer: &Answer<Authority>, text: &str) -> bool {
    answer.content.not_proven.iter().any(|limit| limit.contains(text))
}

#[test]
fn a_chain_of_three_is_told_hop_by_hop() {
    let mut scene = scene();
    let (decided, _) = scene.log.call(&mut scene.runs[2], ISOLATE, r#"{"host":"ws-14"}"#);
    let answer = ask(&folded(&scene.log), decided);
    assert!(answer.complete, "{:?} {:?}", answer.left_out, answer.findings);
    let said = &answer.content;
    let [root, child, leaf] = said.chain.as_slice() else { panic!("{:?}", said.chain) };

    let digests = [scene.triage.digest(), scene.responder.digest(), scene.helper.digest()];
    assert_eq!([&root.digest, &child.digest, &leaf.digest], digests.each_ref());
    assert_eq!([root.depth, child.depth, leaf.depth], [0, 1, 2]);
    assert_eq!(root.delegator.value["sub"], json!("maya"));
    assert_eq!(child.delegator.value["id"], json!("triage"));
    assert_eq!(leaf.delegator.value["id"], json!("responder"));
    assert_eq!(leaf.holder.value["id"], json!("helper"));
    assert_eq!(leaf.holder.assurance.unwrap().as_str(), "delegator-asserted");
    assert_eq!(leaf.key, scene.helper.thumbprint());
    for link in &said.chain {
        assert_eq!(link.delegator.check.as_str(), "verified-captured");
        assert_eq!(link.holder.check.as_str(), "verified-captured");
        assert!(!link.shares_key);
    }
    assert_eq!(checks(root), ["signature", "within", "time", "registered", "revocation", "scope"]);
    assert_eq!(checks(child), ["signature", "within", "time", "revocation", "scope"]);
    assert_eq!(checks(leaf), ["signature", "within", "time", "revocation", "scope", "possession"]);

    assert!(root.narrowed.is_empty(), "the root is what was asked for");
    let narrowed = child.narrowed.join("; ");
    assert!(narrowed.contains("ws-1"), "{narrowed}");
    let until = narrowed.split("until: ").nth(1).unwrap();
    assert!(until.contains("Z (of 20"), "times that people can read: {until}");
    assert_eq!(leaf.scope, json!({ISOLATE: {"host": ws("ws-1")}}));
    assert!(leaf.narrowed.iter().all(|text| !text.contains("host")), "{:?}", leaf.narrowed);

    assert_eq!(said.principal.principal.value["sub"], json!("maya"));
    assert_eq!(said.principal.principal.check.as_str(), "verified-captured");
    assert_eq!(said.delegation.digest.text(), Some(digests[2].as_str()));
    assert_eq!(said.delegation.scope.value["constraints"], json!({"host": ws("ws-1")}));
    assert_eq!(said.tool.uri.check.as_str(), "verified-captured");
    assert_eq!((&said.mandate, &said.break_glass), (&None, &None));
    assert!(said.revocations.now.is_empty());
    assert_eq!(said.parent_run.text(), Some(evidence::id::text(&scene.runs[1].id).as_str()));
    assert_eq!(said.handoff.missing, Some("none"));
    assert!(says(&answer, "only the delegator vouches") && !says(&answer, "tell their holders apart"));
}

#[test]
fn what_was_handed_over_is_checked_against_the_signed_digest() {
    let mut scene = scene();
    let (decided, _) = scene.log.call(&mut scene.runs[1], ISOLATE, r#"{"host":"ws-14"}"#);
    let answer = ask(&folded(&scene.log), decided);
    assert_eq!(answer.content.handoff.value["text"], json!(HANDOFF));
    assert_eq!(answer.content.handoff.check.as_str(), "verified-captured");

    // another text beside the same link
    let mut other = scene.log.narrow(&scene.triage, "other", signing_key(53), None, Some("only look"));
    let mut run = scene.log.open_under(&other, Some(&scene.runs[0]), Some("delete everything"));
    let (decided, _) = scene.log.call(&mut run, ISOLATE, r#"{"host":"ws-1"}"#);
    let answer = ask(&folded(&scene.log), decided);
    assert_eq!(codes(&answer), ["handoff-digest"]);
    assert_eq!(answer.content.handoff.check.as_str(), "not-checked");

    // a link that names a text which nobody recorded
    other = scene.log.narrow(&scene.triage, "other", signing_key(54), None, Some("only look"));
    let mut run = scene.log.open_under(&other, None, None);
    let (decided, _) = scene.log.call(&mut run, ISOLATE, r#"{"host":"ws-1"}"#);
    let answer = ask(&folded(&scene.log), decided);
    assert!(answer.complete && answer.content.handoff.value["text"].is_null());
    assert!(answer.content.handoff.value["digest"].as_str().unwrap().starts_with("sha256:"));
    assert_eq!(answer.content.parent_run.missing, Some("none"));
}

#[test]
fn a_shared_key_is_shown_as_what_it_is() {
    let mut scene = scene();
    let twin = scene.log.narrow(&scene.responder, "twin", signing_key(51), None, None);
    let mut run = scene.log.open_under(&twin, Some(&scene.runs[1]), None);
    let (decided, _) = scene.log.call(&mut run, ISOLATE, r#"{"host":"ws-1"}"#);
    let answer = ask(&folded(&scene.log), decided);
    assert_eq!(
        answer.content.chain.iter().map(|link| link.shares_key).collect::<Vec<_>>(),
        [false, true, true]
    );
    assert!(says(&answer, "tell their holders apart"));
}

#[test]
fn a_machine_that_asks_under_a_mandate_is_told_from_a_person() {
    let mut log = Log::new(1);
    let (maya, service) = (signing_key(30), signing_key(31));
    log.key_change("principal-registered", "maya", &maya);
    log.service("scheduler", &service);
    let tools = json!({ISOLATE: {"host": ws("ws-")}});
    let mandate = log.mandate("maya", &maya, &["scheduler"], &tools);
    let narrower = json!({ISOLATE: {"host": ws("ws-9")}});
    let ask_for = Ask {
        mandate: Some(&mandate),
        principal: log.person("maya", &maya),
        ttl: 900,
        purpose: "nightly",
        ..log.ask("scheduler", &service, "scheduler", signing_key(50), narrower)
    };
    let held = log.issue(&ask_for);
    let mut run = log.open_under(&held, None, None);
    let (decided, _) = log.call(&mut run, ISOLATE, r#"{"host":"ws-90"}"#);
    let answer = ask(&folded(&log), decided);
    assert!(answer.complete, "{:?} {:?}", answer.left_out, answer.findings);
    let part = answer.content.mandate.as_ref().unwrap();
    assert_eq!((part.digest.as_str(), part.index), (mandate.digest.as_str(), Some(mandate.index)));
    assert_eq!(part.principal.value["sub"], json!("maya"));
    assert_eq!(part.holder.value["sub"], json!("scheduler"));
    assert_eq!(part.holder.check.as_str(), "verified-captured");
    assert_eq!(answer.content.principal.source.value["t"], json!("mandate"));
    assert_eq!(answer.content.principal.principal.check.as_str(), "verified-captured");
    assert!(answer.content.chain[0].narrowed.join(" ").contains("ws-9"));
    assert!(says(&answer, "nobody was asked in person"));

    // a root that names a mandate which the log does not have
    let mut forged = mandate.clone();
    forged.digest = "A".repeat(43);
    let held = log.issue(&Ask { mandate: Some(&forged), ..ask_for });
    let mut run = log.open_under(&held, None, None);
    let (decided, _) = log.call(&mut run, ISOLATE, r#"{"host":"ws-90"}"#);
    let answer = ask(&folded(&log), decided);
    assert!(codes(&answer).contains(&"mandate-missing"), "{:?}", answer.findings);
    assert_eq!(answer.content.principal.principal.check.as_str(), "not-checked");
}

#[test]
fn breaking_the_glass_is_marked_everywhere() {
    let mut scene = scene();
    let maya = signing_key(30);
    let ask_for = Ask {
        purpose: "break-glass",
        why: Some("ransomware spreads"),
        ..scene.log.ask("maya", &maya, "triage", signing_key(60), json!({ISOLATE: {}}))
    };
    let held = scene.log.issue(&ask_for);
    let mut run = scene.log.open_under(&held, None, None);
    let (decided, _) = scene.log.call(&mut run, ISOLATE, r#"{"host":"dc-1"}"#);
    let index = folded(&scene.log);
    let answer = ask(&index, decided);
    let glass = answer.content.break_glass.as_ref().unwrap();
    assert_eq!((glass.why.as_deref(), glass.review), (Some("ransomware spreads"), "open"));
    assert!(answer.content.not_proven[0].contains("review is open"), "{:?}", answer.content.not_proven);
    assert!(index.run(&run.id).unwrap().content.row.break_glass);
    assert!(!index.run(&scene.runs[0].id).unwrap().content.row.break_glass);
    let did = index.did(&DidFilter { whose: Whose::Run(run.id), ..DidFilter::default() }).unwrap();
    assert!(did.content.actions[0].break_glass);
}

#[test]
fn a_link_that_is_wider_than_its_parent_is_a_finding_and_proves_nothing() {
    let mut scene = scene();
    let maya = signing_key(30);
    // a child of a wider root, whose parent hash is then the only thing that fits
    let wide = scene.log.ask("maya", &maya, "triage", signing_key(50), json!({"stdio:edr#*": {}}));
    let wide = scene.log.sign_root(&wide);
    let mut spliced = scene.log.narrow(&wide, "responder", signing_key(51), None, None);
    spliced.chain[0].clone_from(&scene.triage.chain[0]);
    spliced.request.clone_from(&scene.triage.request);
    let mut run = scene.log.open_under(&spliced, None, None);
    let (decided, _) = scene.log.call(&mut run, ISOLATE, r#"{"host":"ws-1"}"#);
    let answer = ask(&folded(&scene.log), decided);
    assert_eq!(codes(&answer), ["link-missing"]);
    assert_eq!(answer.content.tool.uri.check.as_str(), "not-checked");
    assert_eq!(answer.content.chain.len(), 1);
    assert!(checks(&answer.content.chain[0]).is_empty());
}

#[test]
fn a_delegation_of_another_run_is_a_finding() {
    let mut scene = scene();
    let mut run = scene.log.open_under(&scene.triage.clone(), None, None);
    run.digest = scene.helper.digest();
    run.key = signing_key(52);
    run.holder = scene.runs[2].holder.clone();
    let (decided, _) = scene.log.call(&mut run, ISOLATE, r#"{"host":"ws-1"}"#);
    assert_eq!(codes(&ask(&folded(&scene.log), decided)), ["decision-delegation"]);
}

#[test]
fn an_act_beyond_some_link_or_without_its_approval_is_a_finding() {
    let mut scene = scene();
    let (wide, _) = scene.log.call(&mut scene.runs[2], ISOLATE, r#"{"host":"ws-2"}"#);
    let maya = signing_key(30);
    let approvals = Approvals { tools: vec![ISOLATE.into()], m: 1, by: vec!["jonas".into()], ttl: 600 };
    let ask_for = Ask {
        approvals: Some(approvals),
        ..scene.log.ask("maya", &maya, "triage", signing_key(61), json!({ISOLATE: {}}))
    };
    let held = scene.log.issue(&ask_for);
    let mut run = scene.log.open_under(&held, None, None);
    let (unapproved, _) = scene.log.call(&mut run, ISOLATE, r#"{"host":"ws-2"}"#);
    let index = folded(&scene.log);
    assert_eq!(codes(&ask(&index, wide)), ["scope"]);
    assert_eq!(codes(&ask(&index, unapproved)), ["approval"]);
}

#[test]
fn later_revocations_put_an_act_in_doubt_and_earlier_ones_are_a_finding() {
    let mut scene = scene();
    let (decided, _) = scene.log.call(&mut scene.runs[2], ISOLATE, r#"{"host":"ws-1"}"#);
    let at_s = scene.log.now_ms / 1_000;
    let key = Target::Text(scene.responder.thumbprint());
    let back = scene.log.revoke(What::HolderKey, &key, at_s - 60, None);
    let later = scene.log.revoke(What::Tenant, &Target::Text("local".into()), at_s + 3_600, None);
    // of somebody else
    scene.log.revoke(What::HolderKey, &Target::Text("A".repeat(43)), at_s - 60, None);
    let (after, _) = scene.log.call(&mut scene.runs[2], ISOLATE, r#"{"host":"ws-1"}"#);
    let index = folded(&scene.log);
    let answer = ask(&index, decided);
    assert!(answer.complete, "{:?}", answer.findings);
    let now = &answer.content.revocations.now;
    assert_eq!(
        now.iter().map(|row| (row.index, row.in_doubt)).collect::<Vec<_>>(),
        [(back, true), (later, false)]
    );
    assert_eq!((now[0].what, now[0].why.text()), ("holder-key", Some("key stolen")));
    assert!(answer.content.not_proven[0].contains("in doubt"));

    // one that was allowed although it was revoked
    let answer = ask(&index, after);
    assert_eq!(codes(&answer), ["revoked"]);
    assert_eq!(answer.content.tool.uri.check.as_str(), "not-checked");
    assert_eq!(checks(&answer.content.chain[1]), ["signature", "within", "time", "scope"]);
}

#[test]
fn children_and_issuance_runs_stand_in_the_right_lists() {
    let mut scene = scene();
    scene.log.call(&mut scene.runs[1], ISOLATE, r#"{"host":"ws-1"}"#);
    scene.log.end(&scene.runs[1]);
    let index = folded(&scene.log);
    let listed = |issued: bool| -> Vec<u64> {
        let runs = index.runs(&RunsFilter { issued, ..RunsFilter::default() }).unwrap();
        runs.content.runs.iter().map(|row| row.started).collect()
    };
    let [first, second, third] = &scene.runs;
    assert_eq!(listed(false), [third.started, second.started, first.started]);
    assert_eq!(listed(true).len(), 4);
    assert_eq!(index.status().unwrap().content.runs, 3);
    let issuance = index.run(&scene.triage.issuance).unwrap().content;
    assert_eq!(issuance.row.reason.text(), Some("issued"));

    let told = index.run(&first.id).unwrap().content;
    assert_eq!(
        told.children.iter().map(|child| child.run.as_str()).collect::<Vec<_>>(),
        [evidence::id::text(&second.id)]
    );
    let told = index.run(&second.id).unwrap().content;
    assert_eq!(told.row.parent.as_ref().unwrap().text(), Some(evidence::id::text(&first.id).as_str()));
    assert!(told.row.ended_ms.is_some());
    let did = index.did(&DidFilter { whose: Whose::Run(second.id), ..DidFilter::default() }).unwrap();
    assert_eq!(did.content.actions[0].parent_run.as_ref().unwrap().text(), told.row.parent.unwrap().text());
    // by the digest of the delegation it was done under, and by the run
    for who in [scene.responder.digest(), evidence::id::text(&second.id)] {
        let same = index.did(&DidFilter { whose: Whose::Who(who), ..DidFilter::default() }).unwrap();
        assert_eq!(same.content.actions, did.content.actions);
    }
}

#[test]
fn counters_that_are_missing_at_the_end_are_a_remark() {
    let mut scene = scene();
    scene.log.call(&mut scene.runs[1], ISOLATE, r#"{"host":"ws-1"}"#);
    scene.runs[1].counter += 2;
    scene.log.decide(&mut scene.runs[1], &Call { refused: Some("forbidden"), ..Call::of(ISOLATE, "{}") });
    let whose = || DidFilter { whose: Whose::Run(scene.runs[1].id), ..DidFilter::default() };
    assert!(folded(&scene.log).did(&whose()).unwrap().content.remarks.is_empty(), "it may still use them");
    let ended = scene.log.end(&scene.runs[1]);
    let remarks = folded(&scene.log).did(&whose()).unwrap().content.remarks;
    let [hole] = remarks.as_slice() else { panic!("{remarks:?}") };
    assert_eq!((hole.index, hole.what, &hole.count.value), (ended, "counter-hole", &json!(2)));
    assert!(hole.why.text().unwrap().contains("the first of them 1"));

    // another run of the same key that used them fills the hole
    let mut again = scene.log.open_under(&scene.responder.clone(), None, None);
    again.counter = 1;
    scene.log.call(&mut again, ISOLATE, r#"{"host":"ws-1"}"#);
    scene.log.call(&mut again, ISOLATE, r#"{"host":"ws-1"}"#);
    assert!(folded(&scene.log).did(&whose()).unwrap().content.remarks.is_empty());
}

#[test]
fn an_erased_link_is_left_out_and_said() {
    let mut scene = scene();
    let held = scene.helper.clone();
    let record = folded(&scene.log).record(scene.runs[1].delegated).unwrap();
    let fields = record.fields().unwrap().clone();
    // a run whose middle link has lost its body
    let mut run = scene.log.open_under(&held, None, None);
    run.id = scene.log.id();
    scene.log.append(
        (Kind::RunStarted, run.id, 0, &[]),
        &[("txn", json!(evidence::id::text(&run.txn))), ("holder", json!(run.holder))],
    );
    scene.log.append_sealed((Kind::Delegated, run.id, 0, &[]), &fields, None);
    let leaf = folded(&scene.log).record(scene.runs[2].delegated).unwrap().fields().unwrap().clone();
    scene.log.append_sealed((Kind::Delegated, run.id, 0, &[]), &leaf, Some(&leaf));
    let (decided, _) = scene.log.call(&mut run, ISOLATE, r#"{"host":"ws-1"}"#);
    let answer = ask(&folded(&scene.log), decided);
    // the links above are those of another run: nothing here is called checked
    assert!(!answer.complete);
    assert!(codes(&answer).contains(&"decision-delegation"));
}

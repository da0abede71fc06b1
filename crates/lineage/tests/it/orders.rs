//! What somebody could do at a time, what a revocation puts in doubt, and what halts do to answers.

use evidence::delegation::{Approvals, On, Target, What};
use evidence::jws::Jwk;
use lineage::{Allowed, AllowedRow, Answer, DidFilter, Doubt, DoubtFilter, Index, LineageError, Whose};
use serde_json::json;

use crate::chains::{ISOLATE, RELEASE, Scene, scene, ws};
use crate::fold::folded;
use crate::held::Ask;
use crate::log::{Call, Log, signing_key};

fn at(index: &Index, who: &str, at_ms: u64) -> Answer<Allowed> {
    let answer = index.allowed(who, at_ms).unwrap();
    assert!(answer.complete, "{:?} {:?}", answer.left_out, answer.findings);
    answer
}

fn only(answer: &Answer<Allowed>) -> &AllowedRow {
    let [row] = answer.content.delegations.as_slice() else { panic!("{answer:?}") };
    row
}

fn states(answer: &Answer<Allowed>) -> Vec<(&str, &str)> {
    let name = |row: &AllowedRow| row.holder.value["id"].as_str().unwrap().to_owned();
    let mut found: Vec<(String, &str)> =
        answer.content.delegations.iter().map(|row| (name(row), row.state)).collect();
    found.sort();
    found.into_iter().map(|(name, state)| (&*name.leak(), state)).collect()
}

fn doubt(index: &Index, revocation: u64) -> Answer<Doubt> {
    index.doubt(&DoubtFilter { revocation, ..DoubtFilter::default() }).unwrap()
}

fn indexes(answer: &Answer<Doubt>) -> Vec<u64> {
    answer.content.actions.iter().map(|row| row.index).collect()
}

#[test]
fn allowed_tells_before_within_and_after() {
    let mut scene = scene();
    let before = scene.log.now_ms - 600_000;
    scene.log.call(&mut scene.runs[1], ISOLATE, r#"{"host":"ws-1"}"#);
    let within = scene.log.now_ms;
    scene.log.now_ms += 60_000;
    scene.log.call(&mut scene.runs[1], ISOLATE, r#"{"host":"ws-1"}"#);
    let eff = scene.log.now_ms / 1_000;
    let target = Target::Text(scene.responder.digest());
    scene.log.revoke(What::Delegation, &target, eff, None);
    scene.log.now_ms += 60_000;
    let after = scene.log.now_ms;
    let index = folded(&scene.log);

    for who in [scene.responder.digest(), scene.responder.thumbprint(), "responder".into()] {
        let answer = at(&index, &who, within);
        let row = only(&answer);
        assert_eq!((row.state, row.used, &row.why), ("live", 1, &None));
        assert_eq!(row.digest, scene.responder.digest());
        assert_eq!(row.principal.value["sub"], json!("maya"));
        assert_eq!(row.principal.check.as_str(), "verified-captured");
        let [tool] = row.tools.as_slice() else { panic!("{row:?}") };
        assert_eq!((tool.tool.as_str(), &tool.arguments), (ISOLATE, &json!({"host": ws("ws-1")})));
        assert_eq!((tool.policy, tool.approval), ("always", false));
        assert_eq!(answer.content.policy_digest.text(), Some(scene.log.policy.as_str()));

        assert_eq!(only(&at(&index, &who, before)).state, "not-yet");
        let answer = at(&index, &who, after);
        assert_eq!((only(&answer).state, only(&answer).used), ("revoked", 2));
        assert!(only(&answer).why.as_ref().unwrap().contains("revoked"));
        assert_eq!(only(&at(&index, &who, row.until * 1_000)).state, "expired");
    }
    // whoever is above is not touched, whoever is below is
    let all = [("helper", "revoked"), ("responder", "revoked"), ("triage", "live")];
    for who in
        ["maya".to_owned(), format!("{} maya", scene.log.issuer), Jwk::of(&signing_key(30)).thumbprint()]
    {
        assert_eq!(states(&at(&index, &who, after)), all);
    }
    // usable ones first
    assert_eq!(at(&index, "maya", after).content.delegations[0].state, "live");
    let run = evidence::id::text(&scene.runs[2].id);
    assert_eq!(states(&at(&index, &run, after)), all[..1], "the run acts with one of the three keys");
    assert!(matches!(index.allowed("nobody", after), Err(LineageError::NotFound { .. })));
    // a week later there is nothing to tell, except of the one that is named
    let later = after + 7 * 86_400_000;
    assert!(at(&index, "maya", later).content.delegations.is_empty());
    assert_eq!(only(&at(&index, &scene.responder.digest(), later)).state, "expired");
}

#[test]
fn a_delegation_whose_runs_are_over_says_so() {
    let mut log = Log::new(1);
    let run = log.run("fs");
    let other = log.run("time");
    let open = log.now_ms;
    log.now_ms += 60_000;
    let ended = log.end(&run);
    log.now_ms += 60_000;
    let index = folded(&log);
    let who = "uid:1000";
    assert!(at(&index, who, open).content.delegations.iter().all(|row| row.runs_ended.is_none()));
    let answer = at(&index, who, log.now_ms);
    let [first, second] = answer.content.delegations.as_slice() else { panic!("{answer:?}") };
    // it holds still; what somebody may still act under comes first
    assert_eq!((first.digest.as_str(), first.state, first.runs_ended), (other.digest.as_str(), "live", None));
    assert_eq!((second.digest.as_str(), second.state), (run.digest.as_str(), "live"));
    let over = second.runs_ended.unwrap();
    assert_eq!((over.count, over.index), (1, ended));
    assert!(over.at_ms > open && over.at_ms < log.now_ms);
}

#[test]
fn a_delegation_that_was_issued_ahead_is_not_over_with_a_run() {
    let mut scene = scene();
    for n in 0..3 {
        scene.log.end(&scene.runs[n]);
    }
    let index = folded(&scene.log);
    let answer = at(&index, "maya", scene.log.now_ms);
    for row in &answer.content.delegations {
        let ahead = row.digest == scene.triage.digest();
        assert_eq!(row.runs_ended.is_none(), ahead, "{row:?}");
    }
    assert_eq!(answer.content.delegations.len(), 3);
}

#[test]
fn what_was_not_known_then_is_said_beside_what_was() {
    let mut scene = scene();
    let then = scene.log.now_ms;
    scene.log.now_ms += 300_000;
    let eff = then / 1_000 - 10;
    let revoked =
        scene.log.revoke(What::Lineage, &Target::Text(evidence::id::text(&scene.triage.txn)), eff, None);
    let answer = at(&folded(&scene.log), "helper", then);
    assert_eq!(only(&answer).state, "live");
    assert!(only(&answer).why.as_ref().unwrap().contains(&format!("revoked later (@{revoked})")));
}

#[test]
fn keys_policies_approvals_and_halts_count_as_they_stood() {
    let mut scene = scene();
    let maya = signing_key(30);
    let forbid = format!(
        "@id(\"all\") permit(principal, action, resource);
         @id(\"no-release\") forbid(principal, action, resource == Deeds::Tool::\"{RELEASE}\");
         @id(\"not-dc\") forbid(principal, action, resource == Deeds::Tool::\"{ISOLATE}\")
           when {{ context.args.hasTag(\"host\") && context.args.getTag(\"host\") like \"dc-*\" }};"
    );
    let open = scene.log.now_ms - 1;
    scene.log.activate(&forbid);
    let ruled = scene.log.now_ms - 1;
    let on = On::Agent { id: "triage".into() };
    let halt = scene.log.halt(&on);
    let halted = scene.log.now_ms - 1;
    scene.log.resume(halt, &on, "maya", &maya);
    let resumed = scene.log.now_ms - 1;
    scene.log.key_change("principal-retired", "maya", &maya);
    let retired = scene.log.now_ms - 1;
    let index = folded(&scene.log);

    let policies = |at_ms: u64| -> Vec<(String, &'static str, Vec<String>)> {
        let answer = at(&index, "triage", at_ms);
        only(&answer)
            .tools
            .iter()
            .map(|tool| (tool.tool.clone(), tool.policy, tool.policies.clone()))
            .collect()
    };
    assert_eq!(policies(open).iter().map(|(_, policy, _)| *policy).collect::<Vec<_>>(), ["always", "always"]);
    let [(isolate, conditional, on_what), (release, never, because)] = policies(ruled).try_into().unwrap();
    assert_eq!((isolate.as_str(), conditional, on_what), (ISOLATE, "conditional", vec!["not-dc".to_owned()]));
    assert_eq!((release.as_str(), never, because), (RELEASE, "never", vec!["no-release".to_owned()]));

    assert_eq!(only(&at(&index, "triage", ruled)).state, "live");
    assert_eq!(
        states(&at(&index, "maya", halted)),
        [("helper", "halted"), ("responder", "halted"), ("triage", "halted")]
    );
    assert_eq!(only(&at(&index, "triage", resumed)).state, "live");
    assert_eq!(only(&at(&index, "triage", retired)).state, "key-retired");

    // before any policy there is nothing to ask, and that is said
    let none = index.allowed(&scene.triage.digest(), 0).unwrap();
    assert!(!none.complete && none.left_out[0].contains("policies"));
    assert_eq!(only(&none).tools[0].policy, "conditional");
}

#[test]
fn approvals_are_told_for_whole_servers_too() {
    let mut log = Log::new(1);
    let maya = signing_key(30);
    log.key_change("principal-registered", "maya", &maya);
    let approvals = Approvals { tools: vec![RELEASE.into()], m: 1, by: vec!["jonas".into()], ttl: 60 };
    let ask = Ask {
        approvals: Some(approvals),
        ..log.ask("maya", &maya, "triage", signing_key(50), json!({"stdio:edr#*": {}, ISOLATE: {}}))
    };
    log.issue(&ask);
    let answer = at(&folded(&log), "triage", log.now_ms);
    let tools: Vec<_> = only(&answer).tools.iter().map(|tool| (tool.tool.as_str(), tool.approval)).collect();
    assert_eq!(tools, [("stdio:edr#*", true), (ISOLATE, false)]);
}

/// Acts of all three, ten seconds apart: `[[of the first, second, third], …]`.
fn acts(scene: &mut Scene, rounds: usize) -> Vec<[u64; 3]> {
    (0..rounds)
        .map(|_| {
            scene.log.now_ms += 10_000;
            let [first, second, third] = &mut scene.runs;
            [first, second, third].map(|run| scene.log.call(run, ISOLATE, r#"{"host":"ws-1"}"#).0)
        })
        .collect()
}

#[test]
fn a_back_dated_revocation_puts_exactly_the_right_acts_in_doubt() {
    let mut scene = scene();
    let acts = acts(&mut scene, 4);
    let decided_at = |index: &Index, at: u64| index.record(at).unwrap().number("decided_at_ms").unwrap();
    let eff = decided_at(&folded(&scene.log), acts[2][0]) / 1_000;
    let refused = Call { refused: Some("forbidden"), ..Call::of(ISOLATE, "{}") };
    scene.log.decide(&mut scene.runs[1], &refused);
    let key = scene.log.revoke(What::HolderKey, &Target::Text(scene.responder.thumbprint()), eff, None);
    let index = folded(&scene.log);
    let answer = doubt(&index, key);
    assert!(answer.complete, "{:?} {:?}", answer.left_out, answer.findings);
    let expected = [acts[3][2], acts[3][1], acts[2][2], acts[2][1]];
    assert_eq!((indexes(&answer), answer.content.count), (expected.to_vec(), 4));
    for row in &answer.content.actions {
        assert_eq!(row.link, scene.responder.digest(), "the link that fits, for those below it too");
        assert_eq!((row.tool.text(), row.status.text()), (Some(ISOLATE), Some("ok")));
        assert_eq!(row.at_ms, decided_at(&index, row.index));
    }
    assert_eq!(answer.content.actions[0].holder.value["id"], json!("helper"));
    let part = &answer.content.revocation;
    assert_eq!((part.what.text(), &part.eff.value), (Some("holder-key"), &json!(eff)));
    assert_eq!((part.by.assurance.unwrap().as_str(), part.by.check.as_str()), ("inferred", "not-checked"));
}

#[test]
fn who_signed_a_revocation_is_checked() {
    let mut scene = scene();
    let target = Target::Text(scene.triage.digest());
    let signed = scene.log.revoke(What::Delegation, &target, 7, Some(("maya", &signing_key(30))));
    let forged = scene.log.revoke(What::Delegation, &target, 7, Some(("maya", &signing_key(66))));
    let index = folded(&scene.log);
    let answer = doubt(&index, signed);
    assert!(answer.complete, "{:?}", answer.findings);
    assert_eq!(answer.content.revocation.by.value["sub"], json!("maya"));
    assert_eq!(answer.content.revocation.by.check.as_str(), "verified-captured");
    let answer = doubt(&index, forged);
    assert_eq!(answer.findings[0].code, "order-key");
    assert_eq!(answer.content.revocation.by.check.as_str(), "not-checked");
}

#[test]
fn every_kind_of_revocation_finds_its_acts() {
    let mut scene = scene();
    let all: Vec<u64> = acts(&mut scene, 2).into_iter().flatten().collect();
    let newest = |of: &[usize]| -> Vec<u64> {
        let mut found: Vec<u64> = all.chunks(3).flat_map(|round| of.iter().map(|run| round[*run])).collect();
        found.sort_unstable_by(|one, other| other.cmp(one));
        found
    };
    let maya = Target::Principal { iss: scene.log.issuer.clone(), sub: "maya".into() };
    let issuer = Jwk::of(&crate::log::issuer_key()).thumbprint();
    let cases = [
        (What::Delegation, Target::Text(scene.helper.digest()), newest(&[2])),
        (What::Delegation, Target::Text(scene.triage.digest()), newest(&[0, 1, 2])),
        (What::Lineage, Target::Text(evidence::id::text(&scene.triage.txn)), newest(&[0, 1, 2])),
        (What::HolderKey, Target::Text(scene.helper.thumbprint()), newest(&[2])),
        (What::Principal, maya, newest(&[0, 1, 2])),
        (What::Tenant, Target::Text("local".into()), newest(&[0, 1, 2])),
        (What::IssuerKey, Target::Text(issuer.clone()), newest(&[0, 1, 2])),
        (What::Principal, Target::Principal { iss: scene.log.issuer.clone(), sub: "jonas".into() }, vec![]),
        (What::Tenant, Target::Text("another".into()), vec![]),
    ];
    for (what, target, expected) in cases {
        let revoked = scene.log.revoke(what, &target, 0, None);
        assert_eq!(indexes(&doubt(&folded(&scene.log), revoked)), expected, "{what:?} {target:?}");
    }
    // roots that the log had recorded before the issuer's key was lost stand
    let eff = scene.log.now_ms / 1_000 - 15;
    let revoked = scene.log.revoke(What::IssuerKey, &Target::Text(issuer), eff, None);
    assert!(indexes(&doubt(&folded(&scene.log), revoked)).is_empty());
}

#[test]
fn a_mandate_and_a_retired_asker_put_their_roots_in_doubt() {
    let mut log = Log::new(1);
    let (maya, service) = (signing_key(30), signing_key(31));
    log.key_change("principal-registered", "maya", &maya);
    let scheduler = log.service("scheduler", &service);
    let mandate = log.mandate("maya", &maya, &["scheduler"], &json!({ISOLATE: {}}));
    let ask = Ask {
        mandate: Some(&mandate),
        principal: log.person("maya", &maya),
        ttl: 900,
        purpose: "nightly",
        ..log.ask("scheduler", &service, "scheduler", signing_key(50), json!({ISOLATE: {}}))
    };
    let held = log.issue(&ask);
    let mut run = log.open_under(&held, None, None);
    let (decided, _) = log.call(&mut run, ISOLATE, "{}");
    log.key_change("principal-retired", "scheduler", &service);
    let of_mandate = log.revoke(What::Delegation, &Target::Text(mandate.digest.clone()), 0, None);
    let asker = Target::Principal { iss: scheduler.iss, sub: scheduler.sub };
    let of_asker = log.revoke(What::Principal, &asker, 0, None);
    let index = folded(&log);
    for (revocation, link) in [(of_mandate, &mandate.digest), (of_asker, &held.digest())] {
        let answer = doubt(&index, revocation);
        assert_eq!((indexes(&answer), &answer.content.actions[0].link), (vec![decided], link));
    }
}

#[test]
fn a_revocation_for_the_future_puts_nothing_in_doubt() {
    let mut scene = scene();
    acts(&mut scene, 2);
    let eff = scene.log.now_ms / 1_000 + 60;
    let revoked = scene.log.revoke(What::Delegation, &Target::Text(scene.triage.digest()), eff, None);
    // in force later: what is allowed in between is not in doubt
    acts(&mut scene, 2);
    let answer = doubt(&folded(&scene.log), revoked);
    assert_eq!((indexes(&answer), answer.content.count), (vec![], 0));
    let index = folded(&scene.log);
    assert_eq!(only(&at(&index, &scene.triage.digest(), (eff - 1) * 1_000)).state, "live");
    assert_eq!(only(&at(&index, &scene.triage.digest(), eff * 1_000)).state, "revoked");
}

#[test]
fn acts_in_doubt_come_in_pages_with_an_exact_count() {
    let mut scene = scene();
    let mut all: Vec<u64> = acts(&mut scene, 3).into_iter().flatten().collect();
    all.reverse();
    let revocation = scene.log.revoke(What::Tenant, &Target::Text("local".into()), 0, None);
    let index = folded(&scene.log);
    let page = |before| index.doubt(&DoubtFilter { revocation, limit: Some(4), before }).unwrap();
    let first = page(None);
    assert_eq!((indexes(&first), first.content.count, first.complete), (all[..4].to_vec(), 9, false));
    let second = page(first.content.next);
    assert_eq!((indexes(&second), second.content.count), (all[4..8].to_vec(), 9));
    let third = page(second.content.next);
    assert_eq!((indexes(&third), third.complete, third.content.next), (all[8..].to_vec(), true, None));
    for nothing in [0, all[0], scene.log.size()] {
        let error = index.doubt(&DoubtFilter { revocation: nothing, ..DoubtFilter::default() }).unwrap_err();
        assert!(matches!(error, LineageError::NotFound { .. }), "{error}");
    }
}

#[test]
fn orders_are_remarked_beside_the_acts_of_the_runs_they_are_about() {
    let mut scene = scene();
    scene.log.call(&mut scene.runs[1], ISOLATE, r#"{"host":"ws-1"}"#);
    let on = On::Agent { id: "responder".into() };
    let halt = scene.log.halt(&on);
    let resumed = scene.log.resume(halt, &on, "maya", &signing_key(30));
    let other = scene.log.halt(&On::Agent { id: "somebody else".into() });
    let revoked = scene.log.revoke(What::Delegation, &Target::Text(scene.helper.digest()), 0, None);
    let index = folded(&scene.log);
    let remarks = |run: usize| -> Vec<(u64, &'static str)> {
        let whose = Whose::Run(scene.runs[run].id);
        let did = index.did(&DidFilter { whose, ..DidFilter::default() }).unwrap();
        did.content.remarks.iter().map(|remark| (remark.index, remark.what)).collect()
    };
    assert_eq!(remarks(0), []);
    assert_eq!(remarks(1), [(halt, "halted"), (resumed, "resumed")]);
    assert_eq!(remarks(2), [(halt, "halted"), (resumed, "resumed"), (revoked, "revoked")]);
    assert!(remarks(2).iter().all(|(at, _)| *at != other));
    assert_eq!(index.run(&scene.runs[1].id).unwrap().content.remarks.len(), 2);
}

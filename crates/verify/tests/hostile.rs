//! No input stops the verifier, and what it reports of a damaged bundle is never `verified`.

use std::sync::LazyLock;

use evidence::label::Check;
use evidence::{Digest, Kind, id};
use proptest::prelude::*;
use serde_json::{Value, json};
use testkit::{Draft, LogBuilder, PartField, Parts};
use verify::{Report, TrustRoots, Verdict, verify_bundle};

/// A log with one act, its content without the digest, and trust in it.
static ACT: LazyLock<(Vec<u8>, TrustRoots)> = LazyLock::new(|| {
    let (log, parts) = one_act();
    (parts.content(), trust(&log))
});

fn one_act() -> (LogBuilder, Parts) {
    let mut log = LogBuilder::new("hostile");
    let person = log.register("alice");
    log.activate("permit(principal, action, resource);");
    let mut run = log.agent("helper", &person.principal);
    log.start(&run);
    log.delegate(&mut run, &person);
    let call = log.call("stdio:fs#read_file", json!({"path": "/srv/a"}));
    log.act(&mut run, &call);
    log.end(&run);
    let parts = log.bundle().about("action", call.act_id);
    (log, parts)
}

fn trust(log: &LogBuilder) -> TrustRoots {
    TrustRoots { log_keys: vec![log.vkey()], pinned_keys: Vec::new() }
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_unreadable(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        prop_assert_eq!(verify_bundle(&bytes, &TrustRoots::default()).verdict, Verdict::Unreadable);
        prop_assert_eq!(verify_bundle(&Parts::seal(bytes), &TrustRoots::default()).verdict, Verdict::Unreadable);
    }

    #[test]
    fn no_mutation_verifies(
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in proptest::option::weighted(0.1, any::<prop::sample::Index>()),
    ) {
        let (content, trust) = &*ACT;
        let mut bytes = content.clone();
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        prop_assume!(bytes != *content);
        prop_assert_ne!(verify_bundle(&Parts::seal(bytes), trust).verdict, Verdict::Verified);
    }

    #[test]
    fn values_of_any_type_in_any_field_are_judged(
        at in any::<prop::sample::Index>(),
        value in prop_oneof![
            Just(json!(1)), Just(json!(-1)), Just(json!("")), Just(json!([])), Just(json!({})), Just(json!([{}])),
            Just(json!(true)), Just(json!(1e300)), Just(json!(u64::MAX)), Just(json!({"unknown": "not seen"})),
        ],
    ) {
        let (mut log, _) = one_act();
        let index = at.index(log.entries.len());
        let fields = log.entries[index].fields.clone();
        let mut entry = log.entries[index].entry.clone().unwrap();
        let mut changed = evidence::FieldSet::new();
        for field in fields.iter() {
            changed.insert(evidence::Field { value: value.to_string(), ..field.clone() });
        }
        entry.fields_root = changed.root(entry.kind);
        log.entries[index] = testkit::Written::of(entry, changed);
        let run = |written: &testkit::Written| written.entry.as_ref().map(|entry| entry.run);
        let followed = log.entries[index + 1..].iter().any(|later| run(later) == run(&log.entries[index]));
        let report = verify_bundle(&log.bundle().encode(), &trust(&log));
        // the chain no longer fits, unless it is its last entry that changed
        prop_assert!(!followed || report.verdict == Verdict::Failed);
        prop_assert_ne!(report.verdict, Verdict::Unreadable);
    }

    #[test]
    fn trust_policies_never_panic(text in "\\PC{0,200}") {
        let _ = TrustRoots::parse(&text);
    }
}

#[expect(clippy::unwrap_used, reason = "the bundles here have a log and an action")]
fn labels(report: &Report) -> [Check; 4] {
    let action = report.actions.first().unwrap();
    [report.log.as_ref().unwrap().key, action.tool.check, action.principal.check, action.holder.check]
}

#[test]
fn facts_carry_what_they_were_checked_with() {
    let (log, parts) = one_act();
    let bytes = parts.encode();
    let person = evidence::jws::Jwk::of(&log.person("alice").key).thumbprint();
    let issuer = evidence::jws::Jwk::of(&log.issuer_key).thumbprint();
    let (pinned, captured, nothing) = (Check::VerifiedPinned, Check::VerifiedCaptured, Check::NotChecked);

    let log_alone = verify_bundle(&bytes, &trust(&log));
    assert_eq!(labels(&log_alone), [pinned, pinned, captured, captured]);
    let all = TrustRoots { pinned_keys: vec![person.clone(), issuer], ..trust(&log) };
    assert_eq!(labels(&verify_bundle(&bytes, &all)), [pinned; 4]);
    // what hangs on a captured log key is captured at best
    let person_alone = TrustRoots { log_keys: Vec::new(), pinned_keys: vec![person] };
    assert_eq!(labels(&verify_bundle(&bytes, &person_alone)), [captured; 4]);

    let action = log_alone.actions.first().unwrap();
    assert_eq!((action.index, action.outcome_index), (6, Some(7)));
    assert_eq!(action.status.value, "ok");
    assert_eq!(action.principal.value["sub"], "alice");
    assert_eq!(action.run, id::text(&log.entries[6].entry.as_ref().unwrap().run));
    assert_eq!(action.reason.value, Value::Null);
    assert_eq!(action.reason.check, nothing);
}

/// A log whose run has definitions that changed and a list of artifacts in parts, and whose log level says that a
/// client's configuration changed and an artifact was withdrawn. Also the indexes of those entries.
fn with_things() -> (LogBuilder, Vec<u64>) {
    let digest = |text: &str| json!(Digest::of(text.as_bytes()).to_string());
    let mut log = LogBuilder::new("things");
    let person = log.register("alice");
    log.activate("permit(principal, action, resource);");
    let changed = |what: &str, name: &str| {
        Draft::new(Kind::DefinitionChanged)
            .with("what", &json!(what))
            .with("name", &json!(name))
            .with("old", &digest("v1"))
            .with("new", &digest("v2"))
    };
    let mut things = vec![log.append(changed("client-config", "codex:/x#fs"))];
    let withdrawn = Draft::new(Kind::LabelChanged)
        .with("change", &json!("withdrawn"))
        .with("artifact", &json!({"uri": "file:///w/a"}))
        .with("why", &json!("poisoned"));
    things.push(log.append(withdrawn));
    let mut run = log.agent("helper", &person.principal);
    log.start(&run);
    log.delegate(&mut run, &person);
    let call = log.call("stdio:fs#read_file", json!({"path": "/srv/a"}));
    let seen = |subtype: &str, payload: &Value| {
        Draft::new(Kind::Observed).run(run.id).with("subtype", &json!(subtype)).with("payload", payload)
    };
    let list = json!({"server": "stdio:fs", "list": "tool", "names": {"read_file": digest("v2")}, "gone": [],
        "complete": true});
    let told = log.append(seen("definitions", &list));
    let differs = changed("tool", "read_file").run(run.id).cause(log.leaf(told));
    let differs = log.append(differs.with("server", &json!("stdio:fs")));
    let artifacts: Vec<Value> = (0..257).map(|n| json!({"uri": format!("file:///w/{n}")})).collect();
    let part = json!({"role": "inputs", "part": 0, "artifacts": artifacts});
    let part = log.append(seen("artifacts", &part).with("act_id", &json!(id::text(&call.act_id))));
    things.extend([told, differs, part]);
    let pop = log.pop(&mut run, &call).sign(&run.key);
    let inputs =
        json!({"count": 257, "digest": Digest::of(&evidence::json::jcs(&json!(artifacts))).to_string()});
    let decided = log.decided(&run, &call, &pop, "allow").with("inputs", &inputs);
    let decided = log.append(decided);
    let finished = log.finished(&run, &call, log.leaf(decided));
    log.append(finished);
    log.end(&run);
    things.push(decided);
    (log, things)
}

/// Whoever holds a bundle can leave nothing of definitions, artifacts and withdrawals out, and alter nothing.
#[test]
fn definitions_artifacts_and_withdrawals_are_held_as_all_else_is() {
    let (log, things) = with_things();
    let trust = trust(&log);
    let whole = log.bundle();
    let report = verify_bundle(&whole.encode(), &trust);
    assert_eq!(report.verdict, Verdict::Verified, "{:#?}", report.findings);
    let errors = |parts: &Parts| -> Vec<String> {
        let report = verify_bundle(&parts.encode(), &trust);
        assert_eq!(report.verdict, Verdict::Failed);
        let errors = report.findings.iter().filter(|finding| finding.severity == verify::Severity::Error);
        errors.map(|finding| finding.code.name().to_owned()).collect()
    };
    for index in things {
        let left_out = errors(&whole.clone().without(index));
        // of the log level the decision names the last one
        let shown = |code: &String| ["chain-hole", "decision-revocations"].contains(&code.as_str());
        assert!(left_out.iter().any(shown), "@{index}: {left_out:?}");
        let count = whole.clone().item(index).fields.as_ref().map_or(0, Vec::len);
        assert!(count > 0, "@{index} is shown");
        for at in 0..count {
            let mut altered = whole.clone();
            let fields = altered.item(index).fields.as_mut().unwrap();
            let PartField::Opened(_, value) = &mut fields[at] else { continue };
            *value = br#""another""#.to_vec();
            assert_eq!(errors(&altered)[0], "fields-root", "@{index}, field {at}");
            // nor is a field dropped, or added
            let mut shorter = whole.clone();
            shorter.item(index).fields.as_mut().unwrap().remove(at);
            assert_eq!(errors(&shorter)[0], "fields-malformed", "@{index}, field {at}");
        }
        let mut more = whole.clone();
        more.item(index).fields.as_mut().unwrap().push(PartField::Withheld([7; 32]));
        assert_eq!(errors(&more)[0], "fields-malformed", "@{index}");
        // an entry of another kind in its place is not the one that the log has
        let mut forged = whole.clone();
        let mut entry = log.entries[usize::try_from(index).unwrap()].entry.clone().unwrap();
        entry.kind = u64::from(Kind::Gap.code());
        forged.item(index).entry = entry.encode();
        assert!(errors(&forged).contains(&"inclusion".to_owned()), "@{index}");
    }
}

/// A service's sub-agent, under a root that the service got under a person's mandate.
#[expect(clippy::unwrap_used, reason = "the scope here is one")]
fn delegated() -> (LogBuilder, Parts) {
    let mut log = LogBuilder::new("delegated");
    let person = log.register("alice");
    let service = log.register("nightly");
    log.activate("permit(principal, action, resource);");
    let mandate = log.mandate(&person, &["nightly"], &evidence::Scope::server("stdio:fs")).sign(&person.key);
    log.append(log.mandated(&person, &mandate));
    let mut run = log.service(&service, &person);
    (run.max_depth, run.holder.kind) = (1, evidence::principal::PrincipalKind::Service);
    log.start(&run);
    log.delegate_under(&mut run, &service, &mandate);
    let mut below = log.sub_agent(&run, "reader");
    below.scope = evidence::Scope::parse(&json!({"stdio:fs#read_file": {}})).unwrap();
    log.hand_over(&mut run, &mut below);
    let call = log.call("stdio:fs#read_file", json!({"path": "/srv/a"}));
    log.act(&mut below, &call);
    log.end(&below);
    log.end(&run);
    let parts = log.bundle().about("action", call.act_id);
    (log, parts)
}

#[test]
fn facts_name_every_link_and_the_mandate() {
    let (log, parts) = delegated();
    let report = verify_bundle(&parts.encode(), &trust(&log));
    assert_eq!(report.verdict, Verdict::Verified, "{:#?}", report.findings);
    let action = report.actions.first().unwrap();
    let [root, child] = action.chain.as_slice() else { panic!("{:#?}", action.chain) };
    assert_eq!((root.depth, root.max_depth, child.depth, child.shares_key), (0, 1, 1, false));
    assert_eq!(root.delegator, action.principal);
    assert_eq!(child.delegator.value["id"], "nightly");
    assert_eq!(
        (child.holder.value["id"].as_str(), child.holder.assurance.as_deref()),
        (Some("reader"), Some("delegator-asserted"))
    );
    assert_eq!(child.tools, ["stdio:fs#read_file"]);
    assert!(root.narrowed.is_empty() && child.narrowed.len() == 1, "{:?}", child.narrowed);
    let mandate = action.mandate.as_ref().unwrap();
    assert_eq!((mandate.index, mandate.holders.as_slice()), (5, &["nightly".to_owned()][..]));
    assert_eq!(mandate.principal.value["sub"], "alice");
    assert_eq!(
        (root.holder.check, mandate.principal.check),
        (Check::VerifiedCaptured, Check::VerifiedCaptured)
    );
    assert_eq!(action.break_glass, None);

    // whose mandate it is hangs on her key, who holds what on the issuer's
    let person = evidence::jws::Jwk::of(&log.person("alice").key).thumbprint();
    let pinned = TrustRoots { pinned_keys: vec![person], ..trust(&log) };
    let pinned = verify_bundle(&parts.encode(), &pinned);
    let action = pinned.actions.first().unwrap();
    assert_eq!(action.principal.check, Check::VerifiedPinned);
    assert_eq!(action.chain.last().unwrap().holder.check, Check::VerifiedCaptured);
    let json = serde_json::to_value(&pinned).unwrap();
    assert_eq!(json["actions"][0]["mandate"]["principal"]["check"], "verified-pinned");
    assert_eq!(json["actions"][0]["chain"][1]["holder"]["value"]["id"], "reader");
}

#[test]
fn the_reason_for_breaking_the_glass_is_told() {
    let mut log = LogBuilder::new("glass");
    let person = log.register("alice");
    log.activate("permit(principal, action, resource);");
    let mut run = log.agent("helper", &person.principal);
    log.start(&run);
    let mut request = log.root_request(&run, &person);
    (request.purpose, request.why) = ("break-glass".into(), Some("the host is lost".into()));
    let request = request.sign(&person.key);
    let mut root = log.root_delegation(&run, testkit::source_of(&request));
    (root.purpose, root.why) = ("break-glass".into(), Some("the host is lost".into()));
    log.record(&mut run, &root, Some(&request));
    let call = log.call("stdio:fs#read_file", json!({}));
    log.act(&mut run, &call);
    log.end(&run);
    let report = verify_bundle(&log.bundle().encode(), &trust(&log));
    assert_eq!(report.actions.first().unwrap().break_glass.as_deref(), Some("the host is lost"));
}

/// Many children below one long chain: what is above them is kept once.
#[test]
fn many_children_of_a_long_chain_are_judged_soon() {
    let mut log = LogBuilder::new("many");
    let person = log.register("alice");
    log.activate("permit(principal, action, resource);");
    let mut run = log.agent("agent 0", &person.principal);
    run.max_depth = 8;
    let tools = (0..128).map(|n| (format!("stdio:fs#tool{n}"), json!({})));
    run.scope = evidence::Scope::parse(&Value::Object(tools.collect())).unwrap();
    log.start(&run);
    log.delegate(&mut run, &person);
    for depth in 1..8 {
        let mut below = log.sub_agent(&run, &format!("agent {depth}"));
        below.id = run.id;
        let token = log.child_delegation(&run, &below).sign(&run.key);
        let above = log.leaf(log.size() - 1);
        log.append(log.linked(&below, &token, Some(above)));
        below.chain = [run.chain.clone(), vec![token]].concat();
        run = below;
    }
    let above = log.leaf(log.size() - 1);
    for n in 0..300 {
        let mut below = log.sub_agent(&run, &format!("worker {n}"));
        below.id = run.id;
        below.scope = evidence::Scope::parse(&json!({"stdio:fs#tool0": {}})).unwrap();
        let token = log.child_delegation(&run, &below).sign(&run.key);
        log.append(log.linked(&below, &token, Some(above)));
    }
    let report = verify_bundle(&log.bundle().encode(), &trust(&log));
    assert_eq!(report.verdict, Verdict::Verified, "{:#?}", report.findings.last());
}

#[test]
fn nothing_is_verified_about_an_entry_that_is_not_shown_to_be_in_the_log() {
    let (log, mut parts) = one_act();
    parts.item(6).path[0][0] ^= 1;
    let report = verify_bundle(&parts.encode(), &trust(&log));
    let nothing = Check::NotChecked;
    assert_eq!(labels(&report), [Check::VerifiedPinned, nothing, nothing, nothing]);
    assert_eq!(report.verdict.exit_code(), 1);
}

#[test]
fn a_refusal_proves_nothing_about_whoever_was_named() {
    let mut log = LogBuilder::new("refusal");
    let person = log.register("alice");
    log.activate("forbid(principal, action, resource);");
    let mut run = log.agent("helper", &person.principal);
    log.start(&run);
    log.delegate(&mut run, &person);
    let call = log.call("stdio:fs#read_file", json!({}));
    log.decide(&mut run, &call, "deny");
    log.end(&run);
    let report = verify_bundle(&log.bundle().encode(), &trust(&log));
    let (pinned, nothing) = (Check::VerifiedPinned, Check::NotChecked);
    assert_eq!(report.verdict, Verdict::Verified);
    assert_eq!(labels(&report), [pinned, pinned, nothing, nothing]);
}

#[test]
fn the_report_is_plain_json() {
    let (log, parts) = one_act();
    let report = serde_json::to_value(verify_bundle(&parts.encode(), &trust(&log))).unwrap();
    assert_eq!(report["verdict"], "verified");
    assert_eq!(report["findings"][0]["code"], "unwitnessed");
    assert_eq!(report["findings"][0]["severity"], "note");
    assert_eq!(report["log"]["key"], "verified-pinned");
    assert_eq!(
        report["actions"][0]["tool"],
        json!({"value": "stdio:fs#read_file", "check": "verified-pinned"})
    );
    assert_eq!(report["actions"][0]["verdict"]["value"], "allow");
    let unreadable = serde_json::to_value(verify_bundle(b"", &trust(&log))).unwrap();
    assert_eq!((&unreadable["verdict"], &unreadable["log"]), (&json!("unreadable"), &Value::Null));
}

//! No input stops the verifier, and what it reports of a damaged bundle is never `verified`.

use std::sync::LazyLock;

use evidence::id;
use evidence::label::Check;
use proptest::prelude::*;
use serde_json::{Value, json};
use testkit::{LogBuilder, Parts};
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

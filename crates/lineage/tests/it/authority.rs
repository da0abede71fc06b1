//! The full answer about one action: labels, findings and limits.

use evidence::{Cause, Field, FieldSet, Kind};
use lineage::{Answer, Authority, Index, LineageError, Which};
use serde_json::json;

use crate::fold::folded;
use crate::log::{Call, Log, Run, signing_key};

const ROW: &str = "stdio:edr#isolate_host";

/// A person's key, a run she asked for that may isolate workstations, and an isolation.
fn isolation(log: &mut Log) -> (Run, u64, u64) {
    let maya = signing_key(30);
    log.key_change("principal-registered", "maya", &maya);
    let tools = json!({ROW: {"host": {"constraint_type": "prefix", "prefix": "ws-"}}});
    let mut run = log.run_for("edr", "maya", &maya, &tools);
    let (decided, finished) = log.call(&mut run, ROW, r#"{"host":"ws-14"}"#);
    (run, decided, finished)
}

fn ask(index: &Index, at: u64) -> Answer<Authority> {
    index.authority(Which::Index(at)).unwrap()
}

fn codes(answer: &Answer<Authority>) -> Vec<&str> {
    answer.findings.iter().map(|finding| finding.code.as_str()).collect()
}

#[test]
fn a_signed_action_is_checked_from_person_to_tool() {
    let mut log = Log::new(1);
    let (run, decided, finished) = isolation(&mut log);
    log.publish();
    let index = folded(&log);
    let answer = ask(&index, decided);
    assert!(answer.complete, "{:?} {:?}", answer.left_out, answer.findings);
    let said = &answer.content;

    assert_eq!(said.principal.principal.value["sub"], json!("maya"));
    assert_eq!(said.principal.principal.check.as_str(), "verified-captured");
    assert_eq!(said.principal.principal.assurance.unwrap().as_str(), "issuer-asserted");
    assert_eq!(said.principal.grade.text(), Some("key-signed"));
    assert_eq!(said.principal.source.value["t"], json!("key-request"));
    assert_eq!(said.principal.registered.value["index"], json!(3));

    assert_eq!(said.delegation.index, Some(run.delegated));
    assert_eq!(said.delegation.digest.text(), Some(run.digest.as_str()));
    assert_eq!(said.delegation.digest.check.as_str(), "verified-captured");
    assert_eq!(said.delegation.scope.value["tool"], json!(ROW));
    assert_eq!(said.delegation.scope.value["others"], json!(0));
    assert_eq!(said.delegation.tools.value[ROW]["host"]["prefix"], json!("ws-"));
    assert_eq!(said.delegation.scope.value["constraints"]["host"]["prefix"], json!("ws-"));

    assert_eq!((said.run.started, said.run.key.text()), (Some(run.started), Some(run.holder.key.as_str())));
    assert_eq!(said.run.key.check.as_str(), "verified-captured");
    assert_eq!(said.run.holder.check.as_str(), "not-checked", "only the issuer says who holds the key");
    assert_eq!(said.run.correlators.assurance.unwrap().as_str(), "asserted");
    assert_eq!(said.tool.uri.check.as_str(), "verified-captured");
    assert_eq!(said.tool.definition.missing, Some("unknown"));

    assert_eq!((said.decision.index, said.decision.verdict.text()), (decided, Some("allow")));
    assert_eq!(said.decision.verdict.check.as_str(), "not-checked");
    assert_eq!(said.decision.policy_index, Some(2));
    assert_eq!(said.decision.determining.value, json!(["allow-all"]));
    assert!(said.decision.request_digest.text().unwrap().starts_with("sha256:"));
    assert_eq!((said.outcome.index, said.outcome.status.text()), (Some(finished), Some("ok")));
    assert_eq!((said.committed.state, said.committed.size), ("included", Some(log.size())));
    assert_eq!(said.committed.root.check.as_str(), "verified-captured");

    // the outcome's position and the act name the same action
    assert_eq!(ask(&index, finished).content.action, decided);
    let act = evidence::id::parse(said.act_id.text().unwrap()).unwrap();
    assert_eq!(index.authority(Which::Act(act)).unwrap(), answer);
}

#[test]
fn every_limit_is_said() {
    let mut log = Log::new(1);
    let (_, decided, _) = isolation(&mut log);
    let mut fs = log.run("fs");
    let open = log.decide(&mut fs, &Call::of("stdio:fs#read_file", "{}"));
    let index = folded(&log);
    let says =
        |at: u64, text: &str| ask(&index, at).content.not_proven.iter().any(|limit| limit.contains(text));
    for text in [
        "whoever can read its file",
        "does not classify",
        "definition",
        "model and prompt",
        "asserted only",
        "target's own record",
        "bypasses the gate",
        "witness",
        "harness",
        "not evaluated again",
    ] {
        assert!(says(decided, text), "{text}");
    }
    assert!(says(open, "vouches for user id 1000"));
    assert!(says(open, "no outcome is recorded"));
    assert_eq!(ask(&index, open).content.committed.state, "sequenced");
    assert!(says(open, "not yet published"));
    log.publish();
    assert!(!says(open, "not yet published"));
}

#[test]
fn a_root_that_only_the_uid_vouches_for_is_never_called_verified() {
    let mut log = Log::new(1);
    let mut run = log.run("fs");
    let (decided, _) = log.call(&mut run, "stdio:fs#read_file", "{}");
    let index = folded(&log);
    let answer = ask(&index, decided);
    assert_eq!(codes(&answer), Vec::<&str>::new());
    let said = answer.content;
    assert_eq!(said.principal.principal.check.as_str(), "not-checked");
    assert_eq!(said.principal.principal.assurance.unwrap().as_str(), "inferred");
    assert_eq!(said.principal.source.value, json!({"t": "peer-cred", "uid": 1000}));
    assert_eq!(said.principal.registered.missing, Some("none"));
    // what the issuer and the holder signed is checked all the same
    assert_eq!(said.delegation.issuer.check.as_str(), "verified-captured");
    assert_eq!(said.tool.args_digest.check.as_str(), "verified-captured");
}

#[test]
fn a_refusal_is_told_with_its_reason_and_without_findings() {
    let mut log = Log::new(1);
    let (mut run, ..) = isolation(&mut log);
    let refused =
        log.decide(&mut run, &Call { refused: Some("delegation"), ..Call::of(ROW, r#"{"host":"dc-1"}"#) });
    let index = folded(&log);
    let answer = ask(&index, refused);
    assert_eq!(codes(&answer), Vec::<&str>::new());
    assert_eq!(answer.content.decision.reason.value["code"], json!("delegation"));
    assert_eq!(answer.content.outcome.status.missing, Some("none"));
    // outside the scope, so the check of the act as a whole did not pass
    assert_eq!(answer.content.tool.uri.check.as_str(), "not-checked");
    assert!(answer.content.not_proven.iter().any(|limit| limit.contains("another way")));
}

#[test]
fn an_act_beyond_its_delegation_is_a_finding() {
    let mut log = Log::new(1);
    let (mut run, ..) = isolation(&mut log);
    let (outside, _) = log.call(&mut run, ROW, r#"{"host":"dc-1"}"#);
    let (other_tool, _) = log.call(&mut run, "stdio:edr#release_host", "{}");
    let index = folded(&log);
    for at in [outside, other_tool] {
        let answer = ask(&index, at);
        assert_eq!(codes(&answer), ["scope"]);
        assert_eq!(answer.content.tool.uri.check.as_str(), "not-checked");
        assert!(!answer.complete);
    }
    assert_eq!(ask(&index, other_tool).content.delegation.scope.missing, Some("none"));
}

#[test]
fn keys_that_were_not_registered_prove_nothing() {
    let mut log = Log::new(1);
    let (maya, mallory) = (signing_key(30), signing_key(66));
    let mut forged = log.run_for("edr", "maya", &mallory, &json!({"stdio:edr#*": {}}));
    let (unregistered, _) = log.call(&mut forged, ROW, "{}");
    log.key_change("principal-registered", "maya", &maya);
    let mut run = log.run_for("edr", "maya", &maya, &json!({"stdio:edr#*": {}}));
    log.key_change("principal-retired", "maya", &maya);
    let (retired, _) = log.call(&mut run, ROW, "{}");
    let index = folded(&log);

    let answer = ask(&index, unregistered);
    assert_eq!(codes(&answer), ["request-key", "principal-retired"]);
    assert_eq!(answer.content.principal.principal.check.as_str(), "not-checked");
    assert_eq!(codes(&ask(&index, retired)), ["principal-retired"]);
}

#[test]
fn a_decision_under_another_policy_than_the_active_one_is_a_finding() {
    let mut log = Log::new(1);
    let (mut run, ..) = isolation(&mut log);
    let before = log.policy.clone();
    log.activate("forbid(principal, action, resource);");
    log.policy = before;
    let (stale, _) = log.call(&mut run, ROW, r#"{"host":"ws-1"}"#);
    assert_eq!(codes(&ask(&folded(&log), stale)), ["decision-policy"]);
}

#[test]
fn a_tampered_body_is_a_finding_and_its_facts_are_gone() {
    let mut log = Log::new(1);
    let (run, decided, _) = isolation(&mut log);
    let index = folded(&log);
    let original = index.record(decided).unwrap();
    let fields = original.fields().unwrap().clone();
    // the same entry, whose body says that another host was isolated
    let mut altered = FieldSet::new();
    for field in fields.iter() {
        let value = field.value.replace("ws-14", "ws-99");
        altered.insert(Field { value, ..field.clone() });
    }
    let tampered = log.append_sealed((Kind::Decided, run.id, 0, &[]), &fields, Some(&altered));
    index.fold_until(log.size()).unwrap();
    let answer = ask(&index, tampered);
    assert_eq!(codes(&answer), ["body-damaged"]);
    assert_eq!(answer.content.tool.args.missing, Some("damaged"));
    assert_eq!(answer.content.decision.verdict.missing, Some("damaged"));
    assert_eq!(answer.content.tool.uri.check.as_str(), "not-checked");
}

#[test]
fn a_row_that_was_written_into_the_index_invents_nothing() {
    let mut log = Log::new(1);
    let (_, decided, _) = isolation(&mut log);
    let index = folded(&log);
    let file = log.dir.path().join("index/1/0.sqlite");
    let db = rusqlite::Connection::open(&file).unwrap();
    db.execute(
        "UPDATE actions SET leaf = ?1, tool = NULL WHERE decided = ?2",
        rusqlite::params![[7_u8; 32], decided.cast_signed()],
    )
    .unwrap();
    let error = index.authority(Which::Index(decided)).unwrap_err();
    assert!(matches!(error, LineageError::NotFound { .. }));
    let rows = index.did(&lineage::DidFilter::default()).unwrap();
    assert!(rows.content.actions.is_empty() && !rows.complete);
    assert_eq!(rows.findings[0].code, "index-mismatch");
    index.rebuild().unwrap();
    assert_eq!(ask(&index, decided).content.action, decided);
}

#[test]
fn attempts_and_late_facts_are_named() {
    let mut log = Log::new(1);
    let (mut run, ..) = isolation(&mut log);
    let act = log.id();
    let call = |act_id| Call { act_id: Some(act_id), ..Call::of(ROW, r#"{"host":"ws-1"}"#) };
    let first = log.decide(&mut run, &call(act));
    log.finish(&run, first, act, "input-required", "{}");
    let second = log.decide(&mut run, &call(act));
    log.finish(&run, second, act, "unknown", "{}");
    let late = log.append(
        (Kind::Observed, run.id, 1, &[Cause::Here(log.leaf(second))]),
        &[("subtype", json!("late-outcome")), ("act_id", json!(evidence::id::text(&act)))],
    );
    let index = folded(&log);
    let answer = index.authority(Which::Act(act)).unwrap().content;
    assert_eq!((answer.action, &answer.attempts[..]), (second, &[first][..]));
    assert_eq!((answer.outcome.status.text(), &answer.outcome.late[..]), (Some("unknown"), &[late][..]));
    assert!(answer.not_proven.iter().any(|limit| limit.contains("may or may not")));
}

#[test]
fn what_is_no_action_is_not_found() {
    let mut log = Log::new(1);
    let (run, ..) = isolation(&mut log);
    let index = folded(&log);
    for which in [Which::Index(run.started), Which::Index(log.size()), Which::Act([9; 16])] {
        let error = index.authority(which).unwrap_err();
        assert!(matches!(error, LineageError::NotFound { .. }), "{error}");
    }
}

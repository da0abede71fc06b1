//! What a bundle shows, what it withholds, and when there is none.

use std::time::Duration;

use evidence::{Cause, Field, FieldSet, Kind};
use lineage::{Index, LineageError, Opener, Which};
use report::{Options, Proof, ReportError, Subject, limits_of, prove};
use serde_json::json;
use verify::bundle::{self, Bundle, Item, Shown};
use verify::{Code, TrustRoots, Verdict, verify_bundle};

use crate::log::{Call, KEK, Log, Run, signing_key};

const ISOLATE: &str = "stdio:edr#isolate_host";
const SECRET: &str = "ws-14";

fn open(log: &Log) -> Index {
    Index::open(&log.dir.path().join("index.sqlite"), log.reader(), Opener::new(KEK)).unwrap()
}

fn options(withhold: &[&str]) -> Options {
    Options {
        withhold: withhold.iter().map(|name| (*name).to_owned()).collect(),
        publish_timeout: Duration::from_mins(1),
    }
}

/// A log with a registered person, a run of hers with three isolations, and another run between them.
struct Scene {
    log: Log,
    run: Run,
    asked: u64,
    finished: u64,
    other: u64,
    refused: u64,
}

fn scene() -> Scene {
    let mut log = Log::new(1);
    let maya = signing_key(30);
    log.key_change("principal-registered", "maya", &maya);
    let tools = json!({ISOLATE: {"host": {"constraint_type": "prefix", "prefix": "ws-"}}});
    let mut run = log.run_for("edr", "maya", &maya, &tools);
    let mut unrelated = log.run("fs");
    let (other, _) = log.call(&mut run, ISOLATE, r#"{"host":"ws-2"}"#);
    log.activate("permit(principal, action, resource) when { true };");
    log.call(&mut unrelated, "stdio:fs#read_file", "{}");
    let (asked, finished) = log.call(&mut run, ISOLATE, &format!(r#"{{"host":"{SECRET}"}}"#));
    let refused = log
        .decide(&mut run, &Call { refused: Some("delegation"), ..Call::of(ISOLATE, r#"{"host":"dc-1"}"#) });
    log.end(&run);
    log.key_change("principal-registered", "jonas", &signing_key(31));
    Scene { log, run, asked, finished, other, refused }
}

fn decoded(proof: &Proof) -> Bundle {
    Bundle::decode(&proof.bytes).unwrap()
}

fn item(bundle: &Bundle, index: u64) -> &Item {
    bundle.items.iter().find(|item| item.index == index).unwrap()
}

/// Names of the fields that are open.
fn opened(item: &Item) -> Vec<&'static str> {
    let entry = evidence::Entry::decode(&item.entry).unwrap();
    let names = entry.kind().unwrap().fields();
    let fields = item.fields.as_deref().unwrap_or_default();
    evidence::field::ids(entry.fields)
        .zip(fields)
        .filter(|(_, shown)| matches!(shown, Shown::Opened { .. }))
        .map(|(id, _)| names[usize::from(id)])
        .collect()
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn an_action_is_proven_with_its_whole_run_around_it() {
    let scene = scene();
    let index = open(&scene.log);
    for which in [Which::Index(scene.asked), Which::Index(scene.finished)] {
        let proof = prove(&index, Subject::Action(which), &options(&[])).unwrap();
        assert_eq!(proof.report, verify_bundle(&proof.bytes, &TrustRoots::default()));
        assert_eq!(proof.report.verdict, Verdict::Verified);

        let bundle = decoded(&proof);
        let facts = proof.report.actions.iter().find(|action| action.index == scene.asked).unwrap();
        assert_eq!(facts.tool.value, json!(ISOLATE));
        assert_eq!(facts.status.value, json!("ok"));
        assert_eq!(facts.principal.check.as_str(), "verified-captured");
        assert!(
            matches!(bundle.subject, Some(bundle::Subject::Action(act)) if json!(evidence::id::text(&act)) == facts.act_id.value)
        );

        // the asked act is shown, others of the run only that they are there
        assert!(opened(item(&bundle, scene.asked)).contains(&"args"));
        assert!(opened(item(&bundle, scene.finished)).contains(&"result"));
        for hidden in [scene.other, scene.other + 1, scene.refused] {
            assert_eq!(item(&bundle, hidden).fields, None);
        }
        assert!(!holds(&proof.bytes, "ws-2") && !holds(&proof.bytes, "dc-1"));
        // the log-level chain ends with what the decision relied on: jonas came later
        assert!(holds(&proof.bytes, "maya") && !holds(&proof.bytes, "jonas"));
        // erasable names, the source of the policy and the policy before are never needed
        for never in
            ["Maya Example", "maya@example.org", "/home/maya", "permit(principal, action, resource);"]
        {
            assert!(!holds(&proof.bytes, never), "{never}");
        }
        assert!(holds(&proof.bytes, "when { true }"));
    }
}

#[test]
fn withheld_fields_stay_withheld_everywhere() {
    let scene = scene();
    let index = open(&scene.log);
    let subject = Subject::Action(Which::Index(scene.asked));
    let shown = prove(&index, subject, &options(&[])).unwrap();
    assert!(holds(&shown.bytes, SECRET) && holds(&shown.bytes, "done"));
    let proof = prove(&index, subject, &options(&["args", "result"])).unwrap();
    assert!(!holds(&proof.bytes, SECRET), "the evaluated request repeats the arguments");
    assert!(!holds(&proof.bytes, "done"));
    assert!(proof.report.has(Code::ScopeArgsWithheld));
    let limits = limits_of(&proof.report);
    assert!(limits.iter().any(
        |limit| limit.contains("arguments are withheld") && limit.contains(&format!("@{}", scene.asked))
    ));
    assert!(limits.iter().any(|limit| limit.contains("bypassed the gate")));

    let error = prove(&index, subject, &options(&["arguments"])).unwrap_err();
    assert!(matches!(error, ReportError::UnknownField(name) if name == "arguments"));
}

#[test]
fn what_the_checks_need_cannot_be_withheld() {
    let scene = scene();
    let index = open(&scene.log);
    let error = prove(&index, Subject::Action(Which::Index(scene.asked)), &options(&["pop"])).unwrap_err();
    let ReportError::NotVerified(findings) = &error else { panic!("{error}") };
    assert_eq!(findings.iter().map(|finding| finding.code).collect::<Vec<_>>(), [Code::PopMissing]);
    assert!(error.to_string().contains(&format!("pop-missing at @{}", scene.asked)));
}

#[test]
fn a_run_is_proven_with_all_its_acts() {
    let scene = scene();
    let index = open(&scene.log);
    let proof = prove(&index, Subject::Run(scene.run.id), &options(&["result"])).unwrap();
    let bundle = decoded(&proof);
    assert_eq!(bundle.subject, Some(bundle::Subject::Run(scene.run.id)));
    for act in [scene.other, scene.asked, scene.refused] {
        assert!(opened(item(&bundle, act)).contains(&"args"));
    }
    assert!(!proof.report.has(Code::OpenRun));
    assert_eq!(proof.report.actions.len(), 3);
    // two policies were in force during this run, and both are shown
    assert!(
        holds(&proof.bytes, "permit(principal, action, resource);") && holds(&proof.bytes, "when { true }")
    );
    assert!(!holds(&proof.bytes, "done") && !holds(&proof.bytes, "maya@example.org"));
}

#[test]
fn a_refusal_and_an_open_act_are_proven_as_what_they_are() {
    let mut scene = scene();
    let index = open(&scene.log);
    let proof = prove(&index, Subject::Action(Which::Index(scene.refused)), &options(&[])).unwrap();
    let facts = proof.report.actions.iter().find(|action| action.index == scene.refused).unwrap();
    assert_eq!((&facts.verdict.value, &facts.reason.value["code"]), (&json!("deny"), &json!("delegation")));

    let mut run = scene.log.run("fs");
    let open = scene.log.decide(&mut run, &Call::of("stdio:fs#read_file", "{}"));
    let proof = prove(&index, Subject::Action(Which::Index(open)), &options(&[])).unwrap();
    for note in [Code::OutcomeOpen, Code::OpenRun, Code::PrincipalInferred] {
        assert!(proof.report.has(note), "{}", note.name());
    }
    assert!(limits_of(&proof.report).iter().any(|limit| limit.contains("person is inferred")));
}

#[test]
fn keys_registered_and_delegations_given_later_do_not_get_in_the_way() {
    let mut scene = scene();
    let mut run = scene.log.run("fs");
    let (early, _) = scene.log.call(&mut run, "stdio:fs#read_file", "{}");
    let jonas = signing_key(32);
    scene.log.key_change("principal-registered", "jonas", &jonas);
    let late = scene.log.run_for("edr", "jonas", &jonas, &json!({"stdio:edr#*": {}}));
    let index = open(&scene.log);
    for subject in [Subject::Action(Which::Index(early)), Subject::Run(late.id), Subject::Run(run.id)] {
        let proof = prove(&index, subject, &options(&[])).unwrap();
        assert_eq!(proof.report.verdict, Verdict::Verified, "{:?}", proof.report.findings);
    }
}

#[test]
fn late_outcomes_of_the_act_are_shown_and_those_of_others_are_not() {
    let mut scene = scene();
    let act = scene.log.id();
    let mut run = scene.log.run("fs");
    let call = Call { act_id: Some(act), ..Call::of("stdio:fs#read_file", "{}") };
    let decided = scene.log.decide(&mut run, &call);
    scene.log.finish(&run, decided, act, "unknown", "{}");
    scene.log.end(&run);
    let observed = |log: &mut Log, of: [u8; 16], says: &str| {
        let cause = [Cause::Here(log.leaf(decided))];
        let fields = [
            ("subtype", json!("late-outcome")),
            ("act_id", json!(evidence::id::text(&of))),
            ("payload", json!({"result": says})),
        ];
        log.append((Kind::Observed, run.id, 1, &cause), &fields)
    };
    observed(&mut scene.log, act, "it did happen");
    observed(&mut scene.log, [8; 16], "something else");
    let index = open(&scene.log);
    let subject = Subject::Action(Which::Act(act));
    let proof = prove(&index, subject, &options(&[])).unwrap();
    assert!(holds(&proof.bytes, "it did happen") && !holds(&proof.bytes, "something else"));
    assert!(proof.report.has(Code::OpenStream));
    assert!(!holds(&prove(&index, subject, &options(&["result"])).unwrap().bytes, "it did happen"));
}

#[test]
fn a_log_that_contradicts_itself_yields_no_bundle() {
    let mut scene = scene();
    let mut run = scene.log.run("fs");
    let (outside, _) = scene.log.call(&mut run, "stdio:other#tool", "{}");
    let index = open(&scene.log);
    let error = prove(&index, Subject::Action(Which::Index(outside)), &options(&[])).unwrap_err();
    let ReportError::NotVerified(findings) = error else { panic!("{error}") };
    assert_eq!(findings.iter().map(|finding| finding.code).collect::<Vec<_>>(), [Code::Scope]);
}

#[test]
fn a_decision_whose_body_was_tampered_with_is_not_proven() {
    let mut scene = scene();
    let index = open(&scene.log);
    let fields = index.record(scene.asked).unwrap().fields().unwrap().clone();
    let mut altered = FieldSet::new();
    for field in fields.iter() {
        altered.insert(Field { value: field.value.replace(SECRET, "ws-99"), ..field.clone() });
    }
    let run = scene.log.run("fs");
    let tampered = scene.log.append_sealed((Kind::Decided, run.id, 0, &[]), &fields, Some(&altered));
    let error = prove(&index, Subject::Action(Which::Index(tampered)), &options(&[])).unwrap_err();
    assert!(matches!(error, ReportError::Lineage(LineageError::NotFound { .. })), "{error}");
    // the run it stands in is proven, with that entry closed
    let proof = prove(&index, Subject::Run(run.id), &options(&[])).unwrap();
    assert_eq!(item(&decoded(&proof), tampered).fields, None);
}

#[test]
fn subjects_are_named_by_position_or_id() {
    let scene = scene();
    let index = open(&scene.log);
    let resolve = |text: &str| Subject::resolve(&index, text);
    assert_eq!(resolve("@7").unwrap(), Subject::Action(Which::Index(7)));
    assert_eq!(resolve(&evidence::id::text(&scene.run.id)).unwrap(), Subject::Run(scene.run.id));
    let act = index.record(scene.asked).unwrap().id("act_id").unwrap();
    assert_eq!(resolve(&evidence::id::text(&act)).unwrap(), Subject::Action(Which::Act(act)));
    for wrong in ["", "@", "@x", "7", "maya"] {
        assert!(matches!(resolve(wrong), Err(ReportError::Subject(_))), "{wrong}");
    }
    for nothing in [Subject::Run([9; 16]), Subject::Run([0; 16]), Subject::Action(Which::Act([9; 16]))] {
        let error = prove(&index, nothing, &options(&[])).unwrap_err();
        assert!(matches!(error, ReportError::Lineage(LineageError::NotFound { .. })), "{error}");
    }
}

#[test]
fn every_flipped_byte_of_a_bundle_is_found() {
    let mut log = Log::new(1);
    let mut run = log.run("fs");
    let (asked, _) = log.call(&mut run, "stdio:fs#read_file", "{}");
    let index = open(&log);
    let proof = prove(&index, Subject::Action(Which::Index(asked)), &options(&[])).unwrap();
    for at in (0..proof.bytes.len()).step_by(97) {
        let mut bytes = proof.bytes.clone();
        bytes[at] ^= 1;
        assert_ne!(verify_bundle(&bytes, &TrustRoots::default()).verdict, Verdict::Verified, "byte {at}");
    }
}

#[test]
fn a_bundle_waits_for_its_checkpoint() {
    let mut log = Log::new(1);
    let mut run = log.run("fs");
    let (asked, _) = log.call(&mut run, "stdio:fs#read_file", "{}");
    let index = open(&log);
    let subject = Subject::Action(Which::Index(asked));
    match prove(&index, subject, &Options { publish_timeout: Duration::ZERO, ..options(&[]) }) {
        Err(ReportError::Unpublished { needed, published }) => {
            assert_eq!((published, needed), (0, log.size()));
        }
        // published between the question and the answer
        other => assert_eq!(other.unwrap().report.verdict, Verdict::Verified),
    }
    let proof = prove(&index, subject, &options(&[])).unwrap();
    assert_eq!(proof.report.log.unwrap().size, Some(log.size()));
}

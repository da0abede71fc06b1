//! Bundles about acts under chains: what they carry, that a stranger verifies them, and what they withhold.

use std::time::Duration;

use evidence::delegation::{On, Target, What};
use lineage::{Index, Opener, Which};
use report::{Options, Proof, Subject, limits_of, prove};
use serde_json::json;
use verify::bundle::{Bundle, Shown};
use verify::{Code, TrustRoots, Verdict, verify_bundle};

use crate::held::{Ask, Held};
use crate::log::{KEK, Log, Run, signing_key};

const ISOLATE: &str = "stdio:edr#isolate_host";
const HANDOFF: &str = "isolate the workstations of ticket 7";

/// Maya's authority, handed from a triage agent to a responder and on to its helper; each has acted.
struct Scene {
    log: Log,
    held: [Held; 3],
    runs: [Run; 3],
    acts: [u64; 3],
}

fn scene() -> Scene {
    let mut log = Log::new(1);
    let maya = signing_key(30);
    log.key_change("principal-registered", "maya", &maya);
    let tools = json!({ISOLATE: {"host": {"constraint_type": "prefix", "prefix": "ws-"}}});
    let ask = log.ask("maya", &maya, "triage", signing_key(50), tools);
    let triage = log.issue(&ask);
    // issued long before it is used
    log.now_ms += 600_000;
    let mut first = log.open_under(&triage, None, None);
    let responder = log.narrow(&triage, "responder", signing_key(51), None, Some(HANDOFF));
    let mut second = log.open_under(&responder, Some(&first), Some(HANDOFF));
    let helper = log.narrow(&responder, "helper", signing_key(52), None, None);
    let mut third = log.open_under(&helper, Some(&second), None);
    let acts =
        [&mut first, &mut second, &mut third].map(|run| log.call(run, ISOLATE, r#"{"host":"ws-14"}"#).0);
    for run in [&third, &second, &first] {
        log.end(run);
    }
    Scene { log, held: [triage, responder, helper], runs: [first, second, third], acts }
}

fn open(log: &Log) -> Index {
    let index = Index::open(&log.dir.path().join("index.sqlite"), log.reader(), Opener::new(KEK)).unwrap();
    index.fold_until(log.size()).unwrap();
    index
}

fn about(log: &Log, subject: Subject, withhold: &[&str]) -> Proof {
    log.publish();
    let options = Options {
        withhold: withhold.iter().map(|name| (*name).to_owned()).collect(),
        publish_timeout: Duration::from_mins(1),
    };
    prove(&open(log), subject, &options).unwrap()
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

fn notes(proof: &Proof, code: Code) -> Vec<Option<u64>> {
    proof.report.findings.iter().filter(|finding| finding.code == code).map(|finding| finding.index).collect()
}

/// Positions of the entries of a run in a bundle.
fn of_run(bundle: &Bundle, run: &Run) -> usize {
    let runs = bundle.items.iter().filter_map(|item| evidence::Entry::decode(&item.entry).ok());
    runs.filter(|entry| entry.run == run.id).count()
}

fn says(proof: &Proof, text: &str) -> bool {
    limits_of(&proof.report).iter().any(|limit| limit.contains(text))
}

#[test]
fn an_act_under_a_chain_of_three_is_proven_to_a_stranger() {
    let scene = scene();
    let proof = about(&scene.log, Subject::Action(Which::Index(scene.acts[2])), &[]);
    // bytes in, verdict out: there is no clock in between, and nothing else to look at
    assert_eq!(verify_bundle(&proof.bytes, &TrustRoots::default()), proof.report);
    assert_eq!(proof.report.verdict, Verdict::Verified);
    let facts = proof.report.actions.iter().find(|action| action.index == scene.acts[2]).unwrap();
    let digests: Vec<String> = scene.held.iter().map(Held::digest).collect();
    assert_eq!(facts.chain.iter().map(|link| link.digest.clone()).collect::<Vec<_>>(), digests);
    assert_eq!(facts.holder.check.as_str(), "verified-captured");
    assert_eq!(facts.principal.value["sub"], json!("maya"));
    for absent in [Code::IssuanceNotShown, Code::OrderWithheld, Code::InDoubt, Code::KeyReused] {
        assert!(!proof.report.has(absent), "{}", absent.name());
    }
    assert!(says(&proof, "vouches for the name of `helper` (and 1 more)"));
    // the run in which the root was issued is there as a whole, the other runs are not
    let bundle = Bundle::decode(&proof.bytes).unwrap();
    let issuance = Run { id: scene.held[0].issuance, ..scene.log_run() };
    assert_eq!((of_run(&bundle, &issuance), of_run(&bundle, &scene.runs[0])), (3, 0));
}

impl Scene {
    /// A run to take other members from.
    fn log_run(&self) -> Run {
        let run = &self.runs[0];
        Run {
            id: run.id,
            stream: run.stream,
            txn: run.txn,
            principal: run.principal.clone(),
            holder: run.holder.clone(),
            grade: run.grade,
            token: run.token.clone(),
            digest: run.digest.clone(),
            started: run.started,
            delegated: run.delegated,
            key: run.key.clone(),
            counter: run.counter,
        }
    }
}

#[test]
fn a_run_is_proven_with_its_sub_runs() {
    let scene = scene();
    let proof = about(&scene.log, Subject::Run(scene.runs[0].id), &[]);
    assert_eq!(proof.report.verdict, Verdict::Verified);
    assert!(!proof.report.has(Code::ChildNotShown), "{:?}", proof.report.findings);
    let proven: Vec<u64> = proof.report.actions.iter().map(|action| action.index).collect();
    assert_eq!(proven, scene.acts);
    assert!(holds(&proof.bytes, HANDOFF));
    // a sub-run alone says what is not shown of those below it only where something is not
    let proof = about(&scene.log, Subject::Run(scene.runs[2].id), &[]);
    assert!(!proof.report.has(Code::ChildNotShown));
    let proof = about(&scene.log, Subject::Action(Which::Index(scene.acts[0])), &[]);
    assert_eq!(notes(&proof, Code::ChildNotShown).len(), 1);
    assert!(says(&proof, "its run is not in this file"));
}

#[test]
fn what_was_handed_over_is_withheld_with_the_arguments() {
    let scene = scene();
    for withhold in ["args", "handoff"] {
        let proof = about(&scene.log, Subject::Run(scene.runs[0].id), &[withhold]);
        assert!(!holds(&proof.bytes, HANDOFF), "{withhold}");
        assert!(holds(&proof.bytes, &evidence::Digest::of(HANDOFF.as_bytes()).to_string()));
        assert_eq!(holds(&proof.bytes, r#"{"host":"ws-14"}"#), withhold == "handoff");
    }
}

#[test]
fn later_revocations_are_shown_and_put_the_act_in_doubt() {
    let mut scene = scene();
    let jonas = signing_key(33);
    scene.log.key_change("principal-registered", "jonas", &jonas);
    let unrelated = scene.log.key_change("principal-registered", "hannah", &signing_key(34));
    let eff = scene.log.now_ms / 1_000 - 300;
    let other =
        scene.log.revoke(What::HolderKey, &Target::Text("A".repeat(43)), eff, Some(("jonas", &jonas)));
    let key = Target::Text(scene.held[1].thumbprint());
    let subject = Subject::Action(Which::Index(scene.acts[2]));
    assert!(!about(&scene.log, subject, &[]).report.has(Code::InDoubt));
    let revoked = scene.log.revoke(What::HolderKey, &key, eff, Some(("jonas", &jonas)));
    let proof = about(&scene.log, subject, &[]);
    assert_eq!(proof.report.verdict, Verdict::Verified, "{:?}", proof.report.findings);
    assert_eq!(notes(&proof, Code::InDoubt), [Some(scene.acts[2])]);
    assert!(says(&proof, "is in doubt"));
    // who ordered it is shown and checked; of the other order only what it takes away
    let bundle = Bundle::decode(&proof.bytes).unwrap();
    let opened = |index: u64| -> usize {
        let item = bundle.items.iter().find(|item| item.index == index).unwrap();
        let fields = item.fields.as_deref().unwrap_or_default();
        fields.iter().filter(|shown| matches!(shown, Shown::Opened { .. })).count()
    };
    assert_eq!((opened(revoked), opened(other), opened(unrelated)), (7, 3, 0));
    assert!(holds(&proof.bytes, "jonas") && !holds(&proof.bytes, "hannah"));
    assert!(!proof.report.has(Code::OrderWithheld));
}

#[test]
fn halts_and_resumptions_between_are_carried() {
    let mut scene = scene();
    let mut run = scene.log.open_under(&scene.held[0].clone(), None, None);
    run.counter = 1;
    let on = On::Agent { id: "triage".into() };
    let halt = scene.log.halt(&on);
    scene.log.resume(halt, &on, "maya", &signing_key(30));
    let (act, _) = scene.log.call(&mut run, ISOLATE, r#"{"host":"ws-1"}"#);
    let proof = about(&scene.log, Subject::Action(Which::Index(act)), &[]);
    assert_eq!(proof.report.verdict, Verdict::Verified, "{:?}", proof.report.findings);
    assert!(holds(&proof.bytes, "it went wild") && holds(&proof.bytes, "looked into it"));
}

#[test]
fn mandate_break_glass_and_shared_keys_are_said() {
    let mut log = Log::new(1);
    let (maya, service) = (signing_key(30), signing_key(31));
    log.key_change("principal-registered", "maya", &maya);
    log.service("scheduler", &service);
    let mandate = log.mandate("maya", &maya, &["scheduler"], &json!({ISOLATE: {}}));
    let unused = log.mandate("maya", &maya, &["nobody-here"], &json!({ISOLATE: {}}));
    let ask = Ask {
        mandate: Some(&mandate),
        principal: log.person("maya", &maya),
        ttl: 900,
        purpose: "nightly",
        ..log.ask("scheduler", &service, "scheduler", signing_key(50), json!({ISOLATE: {}}))
    };
    let held = log.issue(&ask);
    let twin = log.narrow(&held, "twin", signing_key(50), None, None);
    let mut run = log.open_under(&twin, None, None);
    let (act, _) = log.call(&mut run, ISOLATE, "{}");
    let proof = about(&log, Subject::Action(Which::Index(act)), &[]);
    assert_eq!(proof.report.verdict, Verdict::Verified, "{:?}", proof.report.findings);
    assert_eq!(proof.report.actions[0].mandate.as_ref().unwrap().index, mandate.index);
    assert!(says(&proof, "nobody was asked in person") && says(&proof, "share a key"));
    assert!(!holds(&proof.bytes, "nobody-here"), "@{} is behind nothing that is shown", unused.index);

    let ask = Ask {
        purpose: "break-glass",
        why: Some("ransomware spreads"),
        ..log.ask("maya", &maya, "triage", signing_key(60), json!({ISOLATE: {}}))
    };
    let held = log.issue(&ask);
    let mut run = log.open_under(&held, None, None);
    let (act, _) = log.call(&mut run, ISOLATE, "{}");
    let proof = about(&log, Subject::Action(Which::Index(act)), &[]);
    assert_eq!(proof.report.actions[0].break_glass.as_deref(), Some("ransomware spreads"));
    assert!(says(&proof, "broke the glass"));
}

#[test]
fn every_flipped_byte_of_a_chain_is_found() {
    let scene = scene();
    let proof = about(&scene.log, Subject::Action(Which::Index(scene.acts[2])), &[]);
    for at in (0..proof.bytes.len()).step_by(389) {
        let mut bytes = proof.bytes.clone();
        bytes[at] ^= 1;
        assert_ne!(verify_bundle(&bytes, &TrustRoots::default()).verdict, Verdict::Verified, "byte {at}");
    }
}

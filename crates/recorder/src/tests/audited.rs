//! What is recorded here is what an auditor verifies, years later, from the entries alone.

use std::collections::BTreeSet;

use super::making::*;
use super::*;
use evidence::Status;
use evidence::delegation::{BREAK_GLASS, On, RootRequest, Target, What};

const READ: &str = "stdio:fs#read_file";

async fn done(bench: &Bench, act: Request) {
    bench.allowed(act).await.finish(bench.outcome(Status::Ok)).unwrap().wait().await.unwrap();
}

async fn closed(bench: &Bench, run: &Opened) {
    bench.recorder.end_stream(run.run, run.stream, "closed", 0).await.unwrap();
}

fn revoke(what: What, target: Target, eff: Option<u64>) -> Revoke {
    Revoke { what, target, eff, why: "lost".into(), token: None }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_with_its_children_verifies() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let person = register(&bench, "ciso", 11).await;
    let root = bench.issued(&person, 20, |_| {}).await;
    let parent = bench.opened(&root).await;
    let child = root.narrowed(&bench, 21, |child| child.handoff = Some("isolate ws-7"));
    let open = OpenRun { handoff: Some("isolate ws-7".into()), ..under(&child) };
    let run = bench.recorder.open_run(open, PEER).await.unwrap();
    let below = bench.opened(&child.child(&bench, 22)).await;
    done(&bench, bench.act(&parent, &root, READ, "{}", 0)).await;
    done(&bench, bench.act(&run, &child, READ, r#"{"path":"/work/a"}"#, 0)).await;
    bench.denied(bench.act(&run, &child, "stdio:other#x", "{}", 1), "scope").await;
    let again =
        bench.recorder.open_run(OpenRun { join: Some(run.run), ..under(&child) }, PEER).await.unwrap();
    done(&bench, bench.act(&again, &child, READ, "{}", 2)).await;
    let longer = child.narrowed(&bench, 23, |child| child.holder.0 = "agent-21".into());
    bench.recorder.take_chain(run.run, 0, longer.presented(), PEER).await.unwrap();
    done(&bench, bench.act(&run, &longer, READ, "{}", 0)).await;
    for run in [&below, &run, &parent] {
        closed(&bench, run).await;
    }
    let (errors, notes) = findings(&bench);
    assert!(errors.is_empty(), "{errors:#?}");
    assert_eq!(notes, BTreeSet::from(["log-key-captured", "unwitnessed"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn mandates_break_glass_shared_keys_and_holes_are_noted_and_no_errors() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let person = register(&bench, "ciso", 11).await;
    let machine = register_as(&bench, PrincipalKind::Service, "playbook", 12).await;
    let token = mandate(&bench, &person, "ciso", "playbook").sign(&person);
    let registered = bench.recorder.register_mandate(&token, PEER).await.unwrap();
    let request = RootRequest {
        mandate: Some(registered.digest),
        holder: None,
        max_depth: 2,
        ..asked(&bench, &machine, 20)
    };
    let issued = bench.recorder.issue(&request.sign(&machine), PEER).await.unwrap();
    let root = Held { tokens: vec![issued.token], key: key(20) };
    let shared = root.child(&bench, 20);
    let run = bench.opened(&shared).await;
    done(&bench, bench.act(&run, &shared, READ, "{}", 0)).await;
    closed(&bench, &run).await;
    let glass = bench
        .issued(&person, 30, |request| {
            request.purpose = BREAK_GLASS.into();
            request.why = Some("fire".into());
        })
        .await;
    let run = bench.opened(&glass).await;
    done(&bench, bench.act(&run, &glass, READ, "{}", 0)).await;
    done(&bench, bench.act(&run, &glass, READ, "{}", 2)).await;
    closed(&bench, &run).await;
    let own = bench.run().await;
    done(&bench, bench.call(&own, "read_file", &json!({}), 0)).await;
    closed(&bench, &own).await;
    let (errors, notes) = findings(&bench);
    assert!(errors.is_empty(), "{errors:#?}");
    let expected = [
        "break-glass",
        "counter-hole",
        "key-reused",
        "log-key-captured",
        "principal-inferred",
        "unwitnessed",
    ];
    assert_eq!(notes, BTreeSet::from(expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_verify_and_leave_what_they_reach_back_to_in_doubt() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let person = register(&bench, "ciso", 11).await;
    let root = bench.issued(&person, 20, |_| {}).await;
    let child = root.child(&bench, 21);
    let (above, run) = (bench.opened(&root).await, bench.opened(&child).await);
    done(&bench, bench.act(&run, &child, READ, "{}", 0)).await;
    bench.clock.advance(5_000);
    let halt = bench.recorder.halt(On::All, "stop", None, PEER).await.unwrap();
    bench.denied(bench.act(&run, &child, READ, "{}", 1), "halted").await;
    let now = bench.clock.wall_ms() / 1_000;
    let order = resume_order(&bench, &person, &On::All, halt);
    bench.recorder.resume(halt, "go on", &order.sign(&person), PEER).await.unwrap();
    done(&bench, bench.act(&run, &child, READ, "{}", 2)).await;
    let later = revoke(What::Delegation, Target::Text(child.leaf()), None);
    bench.recorder.revoke(Revoke { eff: Some(now + 1), ..later }, PEER).await.unwrap();
    done(&bench, bench.act(&run, &child, READ, "{}", 3)).await;
    let (errors, notes) = findings(&bench);
    assert!(errors.is_empty(), "{errors:#?}");
    assert!(!notes.contains("in-doubt"));
    let back = revoke(What::HolderKey, Target::Text(Jwk::of(&key(21)).thumbprint()), Some(now));
    bench.recorder.revoke(back, PEER).await.unwrap();
    let issuer = revoke(What::IssuerKey, Target::Text(Jwk::of(&key(2)).thumbprint()), Some(now));
    bench.recorder.revoke(issuer, PEER).await.unwrap();
    bench.denied(bench.act(&run, &child, READ, "{}", 4), "revoked").await;
    // recorded before the issuer's key was lost, the root stands
    done(&bench, bench.act(&above, &root, READ, "{}", 0)).await;
    closed(&bench, &run).await;
    closed(&bench, &above).await;
    let (errors, notes) = findings(&bench);
    assert!(errors.is_empty(), "{errors:#?}");
    assert_eq!(notes, BTreeSet::from(["in-doubt", "log-key-captured", "unwitnessed"]));
}

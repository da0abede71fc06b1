//! Whose authority an act is done under: that of the chain which is presented, never another (reference §10, rows 9
//! and 14), and what the record says of it.

use super::making::*;
use super::*;

const READ: &str = "stdio:fs#read_file";
const PAY: &str = "stdio:fs#pay";

#[tokio::test(flavor = "multi_thread")]
async fn row_9_the_chain_that_is_presented_decides() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let person = register(&bench, "ciso", 11).await;
    // the agent holds a broad chain and a narrow one of the same task, bound to the same key
    let txn = bench.recorder.new_id();
    let root = bench.issued(&person, 20, |request| request.txn = Some(txn)).await;
    let broad = root.child(&bench, 21);
    let narrow = root.narrowed(&bench, 21, |child| {
        child.scope = Some(scope(READ, &json!({"path": {"constraint_type": "prefix", "prefix": "/work/"}})));
    });
    let run = bench.opened(&broad).await;
    let taken = bench.recorder.take_chain(run.run, 0, narrow.presented(), PEER).await.unwrap();
    assert_eq!((taken.digest.clone(), taken.holder.id.as_str()), (narrow.leaf(), "agent-21"));
    let inside = r#"{"path":"/work/a"}"#;
    let outside = r#"{"path":"/etc/passwd"}"#;
    let index = bench.allowed(bench.act(&run, &narrow, READ, inside, 0)).await.leased().index;
    assert_eq!(bench.field(index, "chain"), Some(json!(narrow.leaf())));
    bench.denied(bench.act(&run, &narrow, READ, outside, 1), "scope").await;
    bench.denied(bench.act(&run, &narrow, PAY, "{}", 2), "scope").await;
    let swapped = Request { delegation: broad.leaf(), ..bench.act(&run, &narrow, PAY, "{}", 3) };
    bench.denied(swapped, "pop-binding").await;
    let other_args = Request { args: Some(inside.into()), ..bench.act(&run, &broad, READ, outside, 4) };
    bench.denied(other_args, "pop-binding").await;
    bench.allowed(bench.act(&run, &broad, PAY, "{}", 5)).await.leased();
    // a chain that the run was never shown is none of its own, however good it is
    let unseen = root.child(&bench, 21);
    bench.denied(bench.act(&run, &unseen, READ, "{}", 6), "decision-delegation").await;
    // and the text of a tool that names another task brings no authority of that task into this run
    let elsewhere = bench.issued(&person, 20, |_| {}).await.child(&bench, 21);
    let before = bench.recorder.reader().size();
    let refused = bench.recorder.take_chain(run.run, 0, elsewhere.presented(), PEER).await.unwrap_err();
    bench.on_record(before, &refused, "run-binding");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_of_one_task_one_principal_and_one_holder() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let person = register(&bench, "ciso", 11).await;
    let other = register(&bench, "cfo", 12).await;
    let txn = bench.recorder.new_id();
    let root = bench.issued(&person, 20, |request| request.txn = Some(txn)).await;
    let run = bench.opened(&root.child(&bench, 21)).await;
    let not_the_runs = [
        root.child(&bench, 22),
        bench.issued(&other, 20, |request| request.txn = Some(txn)).await.child(&bench, 21),
        bench.issued(&person, 20, |_| {}).await.child(&bench, 21),
        root.clone(),
    ];
    for held in not_the_runs {
        let before = bench.recorder.reader().size();
        let refused = bench.recorder.take_chain(run.run, 0, held.presented(), PEER).await.unwrap_err();
        bench.on_record(before, &refused, "run-binding");
        bench.not_opened(OpenRun { join: Some(run.run), ..under(&held) }, "run-binding").await;
    }
    // The run has the root's link on the way, and its holder does not act here: not even with its own key.
    let counter = bench.recorder.control().windows.next(&Jwk::of(&root.key).thumbprint());
    bench.denied(bench.act(&run, &root, READ, "{}", counter), "run-binding").await;
    assert_eq!(bench.recorder.control().windows.next(&Jwk::of(&root.key).thumbprint()), counter + 1);
    // another key of the same holder is welcome, whichever link of the task it comes by
    let same = root.narrowed(&bench, 23, |child| child.holder.0 = "agent-21".into());
    let taken = bench.recorder.take_chain(run.run, 0, same.presented(), PEER).await.unwrap();
    assert_eq!(bench.field(taken.index, "digest"), Some(json!(same.leaf())));
    bench.allowed(bench.act(&run, &same, READ, "{}", 0)).await.leased();
    for (run, stream, unknown) in [([7; 16], 0, true), (run.run, 9, false)] {
        let error = bench.recorder.take_chain(run, stream, same.presented(), PEER).await.unwrap_err();
        match error {
            RecorderError::RunUnknown(_) => assert!(unknown),
            RecorderError::StreamUnknown(..) => assert!(!unknown),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_names_root_and_leaf() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let person = register(&bench, "ciso", 11).await;
    let root = bench.issued(&person, 20, |request| request.purpose = "quarantine".into()).await;
    let child = root.child(&bench, 21).narrowed(&bench, 22, |child| child.purpose = Some("one host".into()));
    let run = bench.opened(&child).await;
    assert_eq!((run.grade, run.principal.sub.as_str()), ("key-signed", "ciso"));
    assert_eq!((run.renewal.holder.id.as_str(), run.renewal.exp), ("agent-22", child.link().exp()));
    let index = bench.allowed(bench.act(&run, &child, READ, "{}", 0)).await.leased().index;
    assert_eq!(bench.field(index, "principal").unwrap()["sub"], "ciso");
    assert_eq!(bench.field(index, "holder"), Some(json!(run.renewal.holder)));
    let credential = bench.field(index, "credential").unwrap();
    assert_eq!(
        (&credential["type"], &credential["carrier"], &credential["pop"]),
        (&json!("local-key"), &json!("mcp-meta"), &json!("verified"))
    );
    // the policy sees the depth, everybody on the way, and what the root is for
    let asked = bench.field(index, "request").unwrap()["context"]["delegation"].clone();
    assert_eq!(asked["depth"], 2);
    assert_eq!(asked["holders"], json!(["agent-20", "agent-21", "agent-22"]));
    assert_eq!(asked["purpose"], "quarantine");
    // the wrap's own delegation, where the operating system alone vouches
    let own = bench.run().await;
    let call = Request { carrier: Carrier::Http, ..bench.call(&own, "read_file", &json!({}), 0) };
    let credential = bench.field(bench.allowed(call).await.leased().index, "credential").unwrap();
    assert_eq!((&credential["type"], &credential["carrier"]), (&json!("peer-cred"), &json!("http")));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_link_is_recorded_once_in_a_run_below_its_parent() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let person = register(&bench, "ciso", 11).await;
    let root = bench.issued(&person, 20, |_| {}).await;
    let child = root.child(&bench, 21);
    let run = bench.opened(&child).await;
    let entry = |index: u64| bench.entry(index).0;
    assert_eq!(run.renewal.index, run.index + 2);
    assert_eq!(entry(run.index + 1).causes, [evidence::Cause::Here(entry(run.index).leaf_hash())]);
    assert_eq!(entry(run.index + 2).causes, [evidence::Cause::Here(entry(run.index + 1).leaf_hash())]);
    let issued = bench.recorder.control().roots.get(&root.leaf()).unwrap().index;
    assert!(issued < run.index);
    assert_eq!(bench.field(run.index + 1, "request"), bench.field(issued, "request"));
    assert!(bench.field(issued, "request").unwrap().is_string());
    assert_eq!(bench.field(run.index + 2, "request"), Some(json!(null)));
    assert_eq!(bench.field(run.index + 2, "holder").unwrap()["id"], "agent-21");
    assert_eq!(bench.field(run.index + 2, "principal").unwrap()["sub"], "ciso");

    // a longer chain of the same holder brings one entry, caused by the link that is there
    let longer = child.narrowed(&bench, 24, |child| child.holder.0 = "agent-21".into());
    let size = bench.recorder.reader().size();
    let taken = bench.recorder.take_chain(run.run, 0, longer.presented(), PEER).await.unwrap();
    assert_eq!((taken.index, bench.recorder.reader().size()), (size, size + 1));
    assert_eq!(entry(size).causes, [evidence::Cause::Here(entry(run.index + 2).leaf_hash())]);
    // again, by value or by reference: the same answer, and nothing is written
    for presented in [longer.presented(), Presented::Ref(longer.leaf())] {
        let again = bench.recorder.take_chain(run.run, 0, presented, PEER).await.unwrap();
        assert_eq!((again.index, bench.recorder.reader().size()), (size, size + 1));
    }
    // a hundred at once of one that is new: one entry
    let another = child.narrowed(&bench, 25, |child| child.holder.0 = "agent-21".into());
    let tasks: Vec<_> = (0..100)
        .map(|_| {
            let (recorder, presented) = (bench.recorder.clone(), another.presented());
            tokio::spawn(async move { recorder.take_chain(run.run, 0, presented, PEER).await.unwrap().index })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap(), size + 1);
    }
    assert_eq!(bench.recorder.reader().size(), size + 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn row_14_a_delegator_vouches_for_no_more_than_itself() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let person = register(&bench, "ciso", 11).await;
    let root = bench.issued(&person, 20, |_| {}).await;
    for (claimed, shown) in [
        ("attested", "delegator-asserted"),
        ("issuer-asserted", "delegator-asserted"),
        ("inferred", "inferred"),
    ] {
        let held = root.forged(&bench, 21, |child| child.holder.asr = claimed.into());
        let run = bench.opened(&held).await;
        assert_eq!(run.renewal.holder.asr, shown);
        let next = bench.recorder.control().windows.next(&Jwk::of(&held.key).thumbprint());
        let index = bench.allowed(bench.act(&run, &held, READ, "{}", next)).await.leased().index;
        assert_eq!(bench.field(index, "holder").unwrap()["asr"], shown);
        assert_eq!(bench.field(index, "assurance").unwrap()["holder"], shown);
        assert_eq!(
            bench.field(run.renewal.index, "holder").unwrap()["asr"],
            claimed,
            "as the token names it"
        );
    }
    // a holder names a key that is not the one it binds
    let borrowed = root.altered(&bench, 21, |claims| {
        claims["deeds"]["hld"]["key"] = json!(Jwk::of(&key(20)).thumbprint());
    });
    bench.not_taken(&borrowed, "delegation-malformed").await;
    // A sub-agent that uses its parent's key is permitted, and shown as that: one key, one counter.
    let shared = root.child(&bench, 20);
    let run = bench.opened(&shared).await;
    let index = bench.allowed(bench.act(&run, &shared, READ, "{}", 0)).await.leased().index;
    let tokens = bench.recorder.control().run(&run.run).unwrap().chain(&shared.leaf()).unwrap();
    let chain = bench.recorder.held_as(&shared.leaf(), &tokens).unwrap();
    assert!(chain.shares_key());
    assert_eq!(
        bench.field(index, "holder").unwrap()["key"],
        bench.field(run.index + 1, "holder").unwrap()["key"]
    );
    let own = bench.opened(&root).await;
    assert_eq!(own.renewal.next_counter, 1);
    bench.denied(bench.act(&own, &root, READ, "{}", 0), "pop-replayed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_link_is_asked_at_every_act() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let person = register(&bench, "ciso", 11).await;
    let approvals =
        evidence::delegation::Approvals { tools: vec![PAY.into()], m: 1, by: vec!["ciso".into()], ttl: 60 };
    let root = bench.issued(&person, 20, |request| request.approvals = Some(approvals)).await;
    let child = root.child(&bench, 21);
    let run = bench.opened(&child).await;
    bench.denied(bench.act(&run, &child, PAY, "{}", 0), "approval").await;
    bench.denied(bench.act(&run, &child, "stdio:other#x", "{}", 1), "scope").await;
    bench.denied(bench.act(&run, &child, "stdio:fs", "{}", 2), "scope").await;
    bench.allowed(bench.act(&run, &child, READ, "{}", 3)).await.leased();
    // the order of the steps: what is wrong first is the reason, and the proof is judged all the same
    bench.clock.advance(601_000);
    let late = bench.act(&run, &child, PAY, "{}", 4);
    let index = bench.denied(Request { args: Some("[1]".into()), ..late }, "delegation-time").await;
    assert_eq!(bench.field(index, "credential").unwrap()["pop"], "signed");
    let index = bench.denied(bench.act(&run, &child, PAY, "{}", 5), "delegation-time").await;
    assert_eq!(bench.field(index, "credential").unwrap()["pop"], "verified");
}

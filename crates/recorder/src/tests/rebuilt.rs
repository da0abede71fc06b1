//! The state is rebuilt from the log alone, whatever was recorded: with its snapshot, and without.

use evidence::Status;
use evidence::delegation::{On, Target, What};

use super::making::*;
use super::*;

const READ: &str = "stdio:fs#read_file";

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_that_changes_the_state_changes_it_again_from_the_log() {
    let directory = tempfile::tempdir().unwrap();
    let mut bench = bench(directory.path()).await;
    let person = register(&bench, "ciso", 11).await;
    let mandate = mandate(&bench, &person, "ciso", "playbook").sign(&person);
    let registered = bench.recorder.register_mandate(&mandate, PEER).await.unwrap();
    let root = bench.issued(&person, 20, |_| {}).await;
    let child = root.child(&bench, 21);
    let parent = bench.opened(&root).await;
    let run = bench.opened(&child).await;
    let permit = bench.allowed(bench.act(&run, &child, READ, "{}", 0)).await;
    permit.finish(bench.outcome(Status::Ok)).unwrap().wait().await.unwrap();
    bench.allowed(bench.act(&parent, &root, READ, "{}", 3)).await.leased();
    let revoke = |what, target| Revoke { what, target, eff: None, why: "lost".into(), token: None };
    let other = bench.issued(&person, 30, |_| {}).await;
    bench.recorder.revoke(revoke(What::Delegation, Target::Text(other.leaf())), PEER).await.unwrap();
    let nobody = Target::Principal { iss: "https://id".into(), sub: "nobody".into() };
    bench.recorder.revoke(revoke(What::Principal, nobody), PEER).await.unwrap();
    let agent = On::Agent { id: "agent-21".into() };
    let halt = bench.recorder.halt(agent.clone(), "stop", None, PEER).await.unwrap();
    let lifted = bench.recorder.halt(On::All, "stop", None, PEER).await.unwrap();
    let order = resume_order(&bench, &person, &On::All, lifted);
    bench.recorder.resume(lifted, "go on", &order.sign(&person), PEER).await.unwrap();
    for (counter, with_snapshot) in (4..).zip([true, false, false]) {
        bench = restarted(bench, directory.path(), with_snapshot).await;
        {
            let control = bench.recorder.control();
            assert_eq!(control.mandates[&registered.digest].index, registered.index);
            assert!(control.roots.get(&root.leaf()).is_some());
            assert_eq!(control.orders.revocations().count(), 2);
            let state = control.run(&parent.run).unwrap();
            assert_eq!(state.children, [id::text(&run.run)]);
            assert_eq!(control.run(&run.run).unwrap().parent, Some(id::text(&parent.run)));
        }
        assert_eq!(
            bench.recorder.halts().unwrap().iter().map(|halted| halted.index).collect::<Vec<_>>(),
            [halt]
        );
        assert_eq!(bench.recorder.register_mandate(&mandate, PEER).await.unwrap(), registered);
        // a reference is a cache, and gone with the process; by value the chain is known
        let open = OpenRun { delegation: Some(Presented::Ref(child.leaf())), ..under(&child) };
        let unknown = bench.recorder.open_run(open, PEER).await.map(drop);
        assert_eq!(unknown, Err(RecorderError::DelegationUnknown(child.leaf())));
        assert_eq!(bench.recorder.keep_chain(child.tokens.clone(), PEER).await.unwrap().links, 2);
        // what was ordered before the restart holds behind it, and what was not does not
        bench.denied(bench.act(&run, &child, READ, "{}", counter), "halted").await;
        bench.not_taken(&other, "revoked").await;
        bench.allowed(bench.act(&parent, &root, READ, "{}", counter)).await.leased();
    }
    let ended = bench.recorder.end_stream(parent.run, 0, "closed", 0).await.unwrap().index.unwrap();
    assert_eq!(bench.field(ended, "children"), Some(json!([id::text(&run.run)])));
}

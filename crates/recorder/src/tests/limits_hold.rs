//! Limits at their boundary and one past it.

use evidence::delegation::{On, Target, What};

use super::making::*;
use super::*;
use crate::chains::Cache;
use crate::control::{Link, Mandate};

#[tokio::test(flavor = "multi_thread")]
async fn a_run_knows_so_many_links_and_announces_so_many_children() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let person = register(&bench, "ciso", 11).await;
    let root = bench.issued(&person, 20, |_| {}).await;
    let run = bench.opened(&root).await;
    let name = id::text(&run.run);
    let fill = |count: usize, exp: u64| {
        changed(&bench, |control| {
            let links = &mut control.runs.get_mut(&name).unwrap().delegations;
            let known = links[&root.leaf()].clone();
            links.retain(|digest, _| *digest == root.leaf());
            links.extend((1..count).map(|n| (format!("{n}"), Link { exp, ..known.clone() })));
        });
    };
    let take = |seed: u8| {
        let held = root.narrowed(&bench, seed, |child| child.holder.0 = "agent-20".into());
        let recorder = bench.recorder.clone();
        async move { recorder.take_chain(run.run, 0, held.presented(), PEER).await.map(drop) }
    };
    let exp = root.link().exp();
    fill(limits::LINKS_MAX - 1, exp);
    take(31).await.unwrap();
    assert_eq!(take(32).await, Err(RecorderError::RunFull(name.clone(), "delegations")));
    let renewed = bench.recorder.renew(run.run, 0, open_fs(), PEER).await.map(drop);
    assert!(renewed.is_err(), "on another authority: {renewed:?}");
    // those that ended for good make room
    fill(limits::LINKS_MAX, bench.clock.wall_ms() / 1_000 - limits::ENDED_DELEGATION_KEPT_S - 1);
    take(33).await.unwrap();
    assert_eq!(bench.recorder.control().run(&run.run).unwrap().delegations.len(), 2);

    changed(&bench, |control| {
        let children = &mut control.runs.get_mut(&name).unwrap().children;
        *children = vec![String::new(); limits::CHILDREN_MAX - 1];
    });
    assert_eq!(bench.opened(&root.child(&bench, 41)).await.parent, Some(run.run));
    let beyond = bench.recorder.open_run(under(&root.child(&bench, 42)), PEER).await.map(drop);
    assert_eq!(beyond, Err(RecorderError::RunFull(name, "child runs")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_has_so_many_orders_mandates_and_counted_keys() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let person = register(&bench, "ciso", 11).await;
    let revoke = || {
        let target = Target::Text("another".into());
        let revoke = Revoke { what: What::Tenant, target, eff: None, why: "x".into(), token: None };
        bench.recorder.revoke(revoke, PEER)
    };
    changed(&bench, |control| {
        let orders = Arc::make_mut(&mut control.orders);
        // half of the room is for orders that somebody signed
        for n in 1..limits::REVOCATIONS_MAX as u64 / 2 {
            orders.revoke(1_000_000 + n, What::Tenant, Target::Text(format!("{n}")), 0);
        }
        for n in 1..limits::HALTS_MAX as u64 / 2 {
            orders.halt(1_000_000 + n, On::Agent { id: format!("{n}") });
        }
    });
    revoke().await.unwrap();
    assert!(matches!(revoke().await, Err(RecorderError::Invalid(_))));
    bench.recorder.halt(On::Agent { id: "x".into() }, "stop", None, PEER).await.unwrap();
    let beyond = bench.recorder.halt(On::Agent { id: "x".into() }, "stop", None, PEER).await;
    assert!(matches!(beyond, Err(RecorderError::Invalid(_))), "{beyond:?}");

    let now = bench.clock.wall_ms() / 1_000;
    changed(&bench, |control| {
        for n in 1..limits::MANDATES_MAX {
            let over = Mandate { token: String::new(), index: 0, exp: now + 1 };
            control.mandates.insert(format!("{n}"), over);
        }
    });
    let register = |seed: u64| {
        let mut mandate = mandate(&bench, &person, "ciso", "playbook");
        mandate.exp += seed;
        (bench.recorder.clone(), mandate.sign(&person))
    };
    let (recorder, token) = register(1);
    recorder.register_mandate(&token, PEER).await.unwrap();
    let (recorder, token) = register(2);
    let beyond = recorder.register_mandate(&token, PEER).await;
    assert!(matches!(beyond, Err(RecorderError::Invalid(_))), "{beyond:?}");
    bench.clock.advance(1_000);
    recorder.register_mandate(&token, PEER).await.unwrap();

    changed(&bench, |control| {
        for n in 0..limits::COUNTED_KEYS_MAX {
            control.windows.bind(&format!("{n}"), u64::MAX, 0);
        }
    });
    let open = OpenRun { key: Jwk::of(&key(77)), ..open_fs() };
    let beyond = bench.recorder.open_run(open, PEER).await.map(drop);
    assert!(matches!(beyond, Err(RecorderError::RunFull(_, "bound keys"))), "{beyond:?}");
    let beyond = bench.recorder.issue(&asked(&bench, &person, 78).sign(&person), PEER).await.map(drop);
    assert!(matches!(beyond, Err(RecorderError::RunFull(_, "bound keys"))), "{beyond:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn checked_chains_are_kept_within_bounds() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let person = register(&bench, "ciso", 11).await;
    let chain = |token: String| Arc::new(verify::chain::root(&token, &bench.recorder.anchor()).unwrap());
    let evidence::delegation::Link::Root(claims) = bench.issued(&person, 20, |_| {}).await.link() else {
        panic!("a root")
    };
    let root = |n: u64| {
        let jti = id::text(&id::uuid_v7(n, &[0; 10]));
        chain(evidence::delegation::Root { jti, ..claims.clone() }.sign(&key(2)))
    };
    let mut cache = Cache::default();
    let roots: Vec<_> = (0..=limits::CHAIN_CACHE as u64).map(root).collect();
    for root in &roots[..limits::CHAIN_CACHE] {
        cache.put(vec!["x".into()], Arc::clone(root));
    }
    assert!(cache.get(&roots[0].leaf().digest).is_some());
    cache.put(vec!["x".into()], Arc::clone(&roots[limits::CHAIN_CACHE]));
    assert!(cache.get(&roots[0].leaf().digest).is_none() && cache.get(&roots[1].leaf().digest).is_some());

    let mut cache = Cache::default();
    let half = "x".repeat(limits::CHAIN_CACHE_BYTES / 2);
    cache.put(vec![half.clone()], Arc::clone(&roots[0]));
    cache.put(vec![half.clone()], Arc::clone(&roots[1]));
    cache.put(vec![half], Arc::clone(&roots[1]));
    assert!(cache.get(&roots[0].leaf().digest).is_some(), "just full, and the same chain counts once");
    cache.put(vec!["x".into()], Arc::clone(&roots[2]));
    assert!(cache.get(&roots[0].leaf().digest).is_none() && cache.get(&roots[1].leaf().digest).is_some());
    cache.put(vec!["x".repeat(limits::CHAIN_CACHE_BYTES + 1)], Arc::clone(&roots[3]));
    assert!(
        roots[..4].iter().all(|root| cache.get(&root.leaf().digest).is_none()),
        "and nothing is left over"
    );
    cache.put(vec!["x".into()], Arc::clone(&roots[4]));
    assert!(cache.get(&roots[4].leaf().digest).is_some());
}

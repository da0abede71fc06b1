//! What a hostile holder, neighbour or clock could do to authority, orders and announcements.

use evidence::delegation::{On, Revocation, Target, What};

use super::making::*;
use super::*;

const READ: &str = "stdio:fs#read_file";

fn revoke(what: What, target: Target) -> Revoke {
    Revoke { what, target, eff: None, why: "lost".into(), token: None }
}

fn stop(bench: &Bench, signer: &SigningKey) -> String {
    halt_order(bench, signer, &On::All).sign(signer)
}

fn go_on(bench: &Bench, signer: &SigningKey, halt: u64) -> String {
    resume_order(bench, signer, &On::All, halt).sign(signer)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_set_back_lets_no_revocation_lapse() {
    // a step that is recorded, and one too small to be
    for back_ms in [3_600_000, 3_000] {
        let directory = tempfile::tempdir().unwrap();
        let bench = bench(directory.path()).await;
        let person = register(&bench, "ciso", 11).await;
        let held = bench.issued(&person, 20, |request| request.ttl = 80_000).await;
        let run = bench.opened(&held).await;
        bench.clock.advance(7_200_000);
        bench.allowed(bench.act(&run, &held, READ, "{}", 0)).await.leased();
        bench.recorder.revoke(revoke(What::Delegation, Target::Text(held.leaf())), PEER).await.unwrap();
        bench.denied(bench.act(&run, &held, READ, "{}", 1), "revoked").await;
        bench.clock.wall.set(bench.clock.wall_ms() - back_ms);
        bench.denied(bench.act(&run, &held, READ, "{}", 2), "revoked").await;
        let bench = restarted(bench, directory.path(), false).await;
        bench.denied(bench.act(&run, &held, READ, "{}", 3), "revoked").await;
        let open = bench.recorder.open_run(under(&held), PEER).await.map(drop);
        assert!(matches!(open, Err(RecorderError::DelegationRefused { step: "revoked", .. })), "{open:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_revoked_gives_no_orders() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let thief = register(&bench, "thief", 11).await;
    let person = register(&bench, "ciso", 12).await;
    let halt = bench.recorder.halt(On::All, "stop", None, PEER).await.unwrap();
    let iss = bench.recorder.names().issuer.clone();
    let gone = Target::Principal { iss, sub: "thief".into() };
    bench.recorder.revoke(revoke(What::Principal, gone), PEER).await.unwrap();
    let before = bench.recorder.reader().size();
    let token = go_on(&bench, &thief, halt);
    let lifted = bench.recorder.resume(halt, "go on", &token, PEER).await.unwrap_err();
    bench.on_record(before, &lifted, "order-key");
    let token = go_on(&bench, &person, halt);
    bench.recorder.resume(halt, "go on", &token, PEER).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn junk_orders_leave_room_for_those_that_stop_everything() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let person = register(&bench, "ciso", 11).await;
    // what a process that shares the server's user can write without any key
    changed(&bench, |control| {
        let orders = Arc::make_mut(&mut control.orders);
        for n in 0..limits::HALTS_MAX as u64 / 2 {
            orders.halt(1_000_000 + n, On::Agent { id: format!("{n}") });
        }
        for n in 0..limits::REVOCATIONS_MAX as u64 / 2 {
            orders.revoke(1_000_000 + n, What::Tenant, Target::Text(format!("{n}")), 0);
        }
    });
    let agent = On::Agent { id: "x".into() };
    assert!(matches!(bench.recorder.halt(agent, "x", None, PEER).await, Err(RecorderError::Invalid(_))));
    let other = revoke(What::Tenant, Target::Text("x".into()));
    assert!(matches!(bench.recorder.revoke(other, PEER).await, Err(RecorderError::Invalid(_))));
    // whoever signs has room still
    let token = stop(&bench, &person);
    bench.recorder.halt(On::All, "stop", Some(&token), PEER).await.unwrap();
    // and where that is used up too, everything can be stopped
    changed(&bench, |control| {
        let orders = Arc::make_mut(&mut control.orders);
        let all: Vec<u64> = orders.halts().filter(|(_, on)| **on == On::All).map(|(at, _)| at).collect();
        assert!(all.into_iter().all(|at| orders.resume(at)));
        for n in 0..limits::HALTS_MAX as u64 {
            orders.halt(2_000_000 + n, On::Agent { id: format!("{n}") });
        }
        for n in 0..limits::REVOCATIONS_MAX as u64 {
            orders.revoke(2_000_000 + n, What::Tenant, Target::Text(format!("{n}")), 0);
        }
    });
    bench.recorder.halt(On::All, "stop", None, PEER).await.unwrap();
    let token = stop(&bench, &person);
    for token in [None, Some(token.as_str())] {
        let again = bench.recorder.halt(On::All, "stop", token, PEER).await;
        assert!(matches!(again, Err(RecorderError::Invalid(_))), "{again:?}");
    }
    let tenant = || revoke(What::Tenant, Target::Text("local".into()));
    // one that ends nothing yet takes no such place
    let far = Revoke { eff: Some(1 << 50), ..tenant() };
    assert!(matches!(bench.recorder.revoke(far, PEER).await, Err(RecorderError::Invalid(_))));
    bench.recorder.revoke(tenant(), PEER).await.unwrap();
    assert!(matches!(bench.recorder.revoke(tenant(), PEER).await, Err(RecorderError::Invalid(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_order_is_carried_out_once() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let person = register(&bench, "ciso", 11).await;
    let order = stop(&bench, &person);
    let halt = bench.recorder.halt(On::All, "stop", Some(&order), PEER).await.unwrap();
    // a lost answer: the same order gets the same answer while it is in force
    let size = bench.recorder.reader().size();
    assert_eq!(bench.recorder.halt(On::All, "stop", Some(&order), PEER).await, Ok(halt));
    assert_eq!(bench.recorder.reader().size(), size);
    let token = go_on(&bench, &person, halt);
    bench.recorder.resume(halt, "go on", &token, PEER).await.unwrap();
    // whoever read it in the log cannot give it again in her name, after a restart neither
    let before = bench.recorder.reader().size();
    let refused = bench.recorder.halt(On::All, "stop", Some(&order), PEER).await.unwrap_err();
    bench.on_record(before, &refused, "order-binding");
    let now = bench.clock.wall_ms() / 1_000;
    let target = Target::Text("x".into());
    let gone = Revocation {
        jti: id::text(&bench.recorder.new_id()),
        key: Jwk::of(&person).thumbprint(),
        audience: bench.recorder.names().issuer.clone(),
        iat: now,
        exp: now + 300,
        what: What::Tenant,
        target: target.clone(),
        eff: now,
        why: "lost".into(),
        tenant: "local".into(),
    };
    let token = Some(gone.sign(&person));
    let gone = || Revoke { token: token.clone(), ..revoke(What::Tenant, target.clone()) };
    let revoked = bench.recorder.revoke(gone(), PEER).await.unwrap();
    let mut bench = bench;
    for with_snapshot in [true, false] {
        bench = restarted(bench, directory.path(), with_snapshot).await;
        let size = bench.recorder.reader().size();
        assert_eq!(bench.recorder.revoke(gone(), PEER).await.unwrap(), revoked);
        assert_eq!(bench.recorder.reader().size(), size);
        assert!(bench.recorder.halt(On::All, "stop", Some(&order), PEER).await.is_err());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn proofs_for_another_log_use_up_no_counter_here() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let person = register(&bench, "ciso", 11).await;
    let held = bench.issued(&person, 20, |_| {}).await;
    let run = bench.opened(&held).await;
    for counter in 0..3 {
        let elsewhere = |pop: &mut Pop| pop.audience = "deeds://another.log".into();
        let shown = bench.act_with(&run, &held, (READ, "{}"), counter, elsewhere);
        let index = bench.denied(shown, "pop-binding").await;
        assert_eq!(bench.field(index, "credential").unwrap()["pop"], "not-accepted");
    }
    bench.allowed(bench.act(&run, &held, READ, "{}", 0)).await.leased();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sub_agent_that_borrows_its_delegators_name_is_no_parent() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let person = register(&bench, "ciso", 11).await;
    let root = bench.issued(&person, 20, |_| {}).await;
    let genuine = bench.opened(&root).await;
    let worker = root.child(&bench, 21);
    let named_back = worker.narrowed(&bench, 22, |child| child.holder.0 = "agent-20".into());
    // into the delegator's own run it does not come
    let taken = bench.recorder.take_chain(genuine.run, 0, named_back.presented(), PEER).await.map(drop);
    let binding = |step: &str| step == "run-binding";
    assert!(
        matches!(&taken, Err(RecorderError::DelegationRefused { step, .. }) if binding(step)),
        "{taken:?}"
    );
    // and a run of its own is not the one that the delegator's other work came from
    let own = bench.opened(&named_back).await;
    assert_eq!(bench.opened(&root.child(&bench, 23)).await.parent, Some(genuine.run));
    let named = OpenRun { parent: Some(own.run), ..under(&root.child(&bench, 24)) };
    bench.not_opened(named, "parent-run").await;
    bench.recorder.end_stream(genuine.run, 0, "closed", 0).await.unwrap();
    assert_eq!(bench.opened(&root.child(&bench, 25)).await.parent, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_borrowed_name_leads_into_nobodys_run() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let person = register(&bench, "ciso", 11).await;
    let root = bench.issued(&person, 20, |_| {}).await;
    let victim = root.child(&bench, 21);
    let run = bench.opened(&victim).await;
    // a stranger below the same root names its own child like the victim
    let borrowed = root.child(&bench, 22).narrowed(&bench, 23, |child| child.holder.0 = "agent-21".into());
    let before = bench.recorder.reader().size();
    let taken = bench.recorder.take_chain(run.run, 0, borrowed.presented(), PEER).await.map(drop);
    bench.on_record(before, &taken.unwrap_err(), "run-binding");
    bench.not_opened(OpenRun { join: Some(run.run), ..under(&borrowed) }, "run-binding").await;
    // nor does somebody on the way act in the run of a sub-agent that bears the name
    let worker = root.child(&bench, 24);
    let named_back = worker.narrowed(&bench, 25, |child| child.holder.0 = "agent-20".into());
    let own = bench.opened(&named_back).await;
    bench.denied(bench.act(&own, &root, READ, "{}", 0), "run-binding").await;
    bench.allowed(bench.act(&own, &named_back, READ, "{}", 0)).await.leased();
    // who passes authority on to itself stays who it was
    let again = victim.narrowed(&bench, 26, |child| child.holder.0 = "agent-21".into());
    bench.recorder.take_chain(run.run, 0, again.presented(), PEER).await.unwrap();
    bench.allowed(bench.act(&run, &again, READ, "{}", 0)).await.leased();
    bench.allowed(bench.act(&run, &victim, READ, "{}", 0)).await.leased();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alias_outlives_a_flood_of_tasks_while_a_run_uses_it() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let person = register(&bench, "ciso", 11).await;
    let root = bench.issued(&person, 20, |_| {}).await;
    bench.opened(&root).await;
    changed(&bench, |control| {
        for n in 0..limits::TASKS as u64 {
            let task = control::Task {
                txn: format!("{n}"),
                holder: String::new(),
                aliases: std::collections::BTreeMap::new(),
                last: 1_000_000 + n,
            };
            control.tasks.insert(format!("{n}"), task);
        }
    });
    let other = bench.issued(&person, 30, |_| {}).await;
    bench.opened(&other).await;
    let mut swapped = under(&root.child(&bench, 21));
    swapped.server.command = vec!["something-else".into()];
    let swapped = bench.recorder.open_run(swapped, PEER).await.map(drop);
    assert!(matches!(swapped, Err(RecorderError::AliasTaken(_))), "{swapped:?}");
}

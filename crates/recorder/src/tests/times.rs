//! Time: every check at the time of the decision, which is recorded (reference §10, row 12).

use evidence::delegation::{Target, What};

use super::making::*;
use super::*;

const READ: &str = "stdio:fs#read_file";

async fn acting(bench: &Bench) -> (Opened, Held) {
    let person = register(bench, "ciso", 11).await;
    let child = bench.issued(&person, 20, |_| {}).await.child(bench, 21);
    (bench.opened(&child).await, child)
}

#[tokio::test(flavor = "multi_thread")]
async fn row_12_the_end_is_the_first_second_that_is_too_late() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let (run, held) = acting(&bench).await;
    let exp = held.link().exp();
    bench.clock.advance(exp * 1_000 - 1 - bench.clock.wall_ms());
    bench.allowed(bench.act(&run, &held, READ, "{}", 0)).await.leased();
    bench.clock.advance(1);
    bench.denied(bench.act(&run, &held, READ, "{}", 1), "delegation-time").await;
    bench.not_taken(&held, "delegation-time").await;
    // that the run has it is no reason to take it for one in force: the answer is the entry, the decision says no
    let taken = bench.recorder.take_chain(run.run, 0, held.presented(), PEER).await.unwrap();
    assert_eq!((taken.index, taken.exp), (run.renewal.index, exp));
}

#[tokio::test(flavor = "multi_thread")]
async fn row_12_thirty_seconds_between_clocks_are_accepted_and_no_more() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let person = register(&bench, "ciso", 11).await;
    let root = bench.issued(&person, 20, |_| {}).await;
    let now = || bench.clock.wall_ms() / 1_000;
    let dates: [fn(&mut evidence::delegation::Child, u64); 2] =
        [|child, at| child.iat = at, |child, at| child.nbf = at];
    for date in dates {
        bench.opened(&root.forged(&bench, 21, |child| date(child, now() + 30))).await;
        bench.not_taken(&root.forged(&bench, 21, |child| date(child, now() + 31)), "delegation-time").await;
    }
    // made in ms instead of seconds, it ends long after its parent
    let in_ms = root.forged(&bench, 21, |child| {
        (child.iat, child.nbf, child.exp) = (child.iat * 1_000, child.nbf * 1_000, child.exp * 1_000);
    });
    bench.not_taken(&in_ms, "link-time").await;
    let (run, held) = {
        let held = root.child(&bench, 21);
        (bench.opened(&held).await, held)
    };
    for (counter, (iat, exp, step)) in (0..).zip([
        (now() - 30, now() + 30, None),
        (now() + 30, now() + 60, None),
        (now() - 31, now() + 29, Some("pop-time")),
        (now() + 31, now() + 91, Some("pop-time")),
        (now() - 30, now(), Some("pop-time")),
        (now(), now() + 61, Some("pop-malformed")),
        (now() * 1_000, now() * 1_000 + 60, Some("pop-time")),
        (now(), u64::MAX, Some("pop-malformed")),
        (1 << 53, 1 << 53, Some("pop-time")),
        (now(), now() - 1, Some("pop-malformed")),
    ]) {
        let act = bench.act_with(&run, &held, (READ, "{}"), counter, |pop| (pop.iat, pop.exp) = (iat, exp));
        match step {
            None => drop(bench.allowed(act).await.leased()),
            Some(step) => drop(bench.denied(act, step).await),
        }
    }
    // beyond what JSON carries exactly, and a life that no root has
    for (name, value) in [("exp", json!(1_u64 << 60)), ("iat", json!(1.5)), ("nbf", json!(-1))] {
        let held = root.altered(&bench, 21, |claims| claims[name] = value);
        bench.not_taken(&held, "delegation-malformed").await;
    }
    let evidence::delegation::Link::Root(claims) = root.link() else { panic!("a root") };
    for exp in [claims.iat + 86_401, 1 << 53] {
        let tokens = vec![evidence::delegation::Root { exp, ..claims.clone() }.sign(&key(2))];
        bench.not_taken(&Held { tokens, key: key(20) }, "delegation-malformed").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn row_12_a_revocation_has_its_own_time() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let (run, held) = acting(&bench).await;
    let now = bench.clock.wall_ms() / 1_000;
    let revoke = |eff: u64| Revoke {
        what: What::Delegation,
        target: Target::Text(held.leaf()),
        eff: Some(eff),
        why: "lost".into(),
        token: None,
    };
    // from one second after the act: not yet
    let revoked = bench.recorder.revoke(revoke(now + 1), PEER).await.unwrap();
    assert_eq!(revoked.eff, now + 1);
    let index = bench.allowed(bench.act(&run, &held, READ, "{}", 0)).await.leased().index;
    assert_eq!(bench.field(index, "revocations"), Some(json!({"index": revoked.index})));
    bench.clock.advance(1_000);
    bench.denied(bench.act(&run, &held, READ, "{}", 1), "revoked").await;
    bench.not_taken(&held, "revoked").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn row_12_a_clock_set_back_revives_nothing_and_positions_never_fall() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let (run, held) = acting(&bench).await;
    let act = bench.act(&run, &held, READ, "{}", 0);
    bench.allowed(act.clone()).await.leased();
    bench.clock.advance(20_000);
    let later = bench.act(&run, &held, READ, "{}", 1);
    bench.allowed(later).await.leased();
    bench.clock.wall.set(START_MS);
    let replay = Request { act_id: bench.recorder.new_id(), ..act };
    let index = bench.denied(replay, "pop-binding").await;
    bench.denied(bench.act(&run, &held, READ, "{}", 0), "pop-replayed").await;
    assert_eq!(bench.entry(index - 1).0.kind(), Some(Kind::ClockAdjusted));
    let positions: Vec<u64> = (0..bench.recorder.reader().size())
        .filter_map(|index| bench.field(index, "revocations")?["index"].as_u64())
        .collect();
    assert!(positions.is_sorted() && positions.len() >= 4, "{positions:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn row_12_a_log_that_is_closed_permits_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let (run, held) = acting(&bench).await;
    bench.recorder.close();
    let begun = bench.recorder.begin(bench.act(&run, &held, READ, "{}", 0), PEER).await;
    assert!(begun.is_err(), "{begun:?}");
    let revoke = Revoke {
        what: What::Delegation,
        target: Target::Text(held.leaf()),
        eff: None,
        why: "lost".into(),
        token: None,
    };
    assert!(bench.recorder.revoke(revoke, PEER).await.is_err());
}

//! Revocations, halts and resumptions: in force for the next decision, on the word of whoever may give them.

use evidence::Status;
use evidence::delegation::{HaltOrder, On, Revocation, Target, What};

use super::making::*;
use super::*;

const READ: &str = "stdio:fs#read_file";

/// The person, the root and its run, the child and its run, the grandchild and its run.
struct Family {
    person: SigningKey,
    held: [Held; 3],
    runs: [Opened; 3],
    counter: u64,
}

async fn family(bench: &Bench) -> Family {
    let person = register(bench, "ciso", 11).await;
    let root = bench.issued(&person, 20, |_| {}).await;
    let child = root.child(bench, 21);
    let grandchild = child.child(bench, 22);
    let runs = [bench.opened(&root).await, bench.opened(&child).await, bench.opened(&grandchild).await];
    Family { person, held: [root, child, grandchild], runs, counter: 0 }
}

impl Family {
    /// Which of root, child and grandchild may act; those that may not are refused with `step`.
    async fn free(&mut self, bench: &Bench, step: &str) -> [bool; 3] {
        let mut free = [false; 3];
        for (at, (held, run)) in self.held.iter().zip(&self.runs).enumerate() {
            let act = bench.act(run, held, READ, "{}", self.counter);
            match bench.recorder.begin(act, PEER).await.unwrap() {
                Answer::Allowed(permit) => {
                    free[at] = true;
                    permit.finish(bench.outcome(Status::Ok)).unwrap().wait().await.unwrap();
                }
                Answer::Refused(refusal) => {
                    assert_eq!(refusal.reason.step, step, "{:?}", refusal.reason);
                    let index = refusal.index.unwrap();
                    assert_eq!(bench.field(index, "reason").unwrap()["step"], step);
                }
            }
        }
        self.counter += 1;
        bench.clock.advance(250);
        free
    }
}

fn revoke(what: What, target: &str) -> Revoke {
    Revoke { what, target: Target::Text(target.into()), eff: None, why: "lost".into(), token: None }
}

type Make = fn(&Bench, &Family) -> Revoke;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_revoked_takes_its_whole_lineage_with_it() {
    let issuer = |bench: &Bench| bench.recorder.names().issuer.clone();
    let cases: [(Make, [bool; 3]); 7] = [
        (|_, family| revoke(What::Delegation, &family.held[1].leaf()), [true, false, false]),
        (|_, family| revoke(What::Delegation, &family.held[2].leaf()), [true, true, false]),
        (|_, family| revoke(What::Delegation, &family.held[0].leaf()), [false; 3]),
        (
            |_, family| revoke(What::HolderKey, &Jwk::of(&family.held[1].key).thumbprint()),
            [true, false, false],
        ),
        (|_, family| revoke(What::Lineage, &id::text(family.held[0].link().txn())), [false; 3]),
        (|_, _| revoke(What::Tenant, "local"), [false; 3]),
        (|_, _| revoke(What::Tenant, "another"), [true; 3]),
    ];
    for (make, free) in cases {
        let directory = tempfile::tempdir().unwrap();
        let bench = bench(directory.path()).await;
        let mut family = family(&bench).await;
        assert_eq!(family.free(&bench, "").await, [true; 3]);
        bench.recorder.revoke(make(&bench, &family), PEER).await.unwrap();
        assert_eq!(family.free(&bench, "revoked").await, free);
        // a child that is made later stands below the same links
        let later = bench.recorder.keep_chain(family.held[2].child(&bench, 29).tokens, PEER).await;
        assert_eq!(later.is_ok(), free[2]);
    }
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let mut family = family(&bench).await;
    let target = Target::Principal { iss: issuer(&bench), sub: "ciso".into() };
    let whole = Revoke { what: What::Principal, target, eff: None, why: "gone".into(), token: None };
    bench.recorder.revoke(whole, PEER).await.unwrap();
    assert_eq!(family.free(&bench, "revoked").await, [false; 3]);
    let before = bench.recorder.reader().size();
    let again = asked(&bench, &family.person, 30).sign(&family.person);
    let refused = bench.recorder.issue(&again, PEER).await.map(drop).unwrap_err();
    bench.on_record(before, &refused, "revoked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_in_the_midst_of_acts_holds_from_its_entry_on() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let family = family(&bench).await;
    // all three act, as fast as they can, while the middle one is revoked
    let acting: Vec<_> = family
        .held
        .iter()
        .zip(&family.runs)
        .map(|(held, run)| {
            let acts: Vec<_> = (0..40).map(|counter| bench.act(run, held, READ, "{}", counter)).collect();
            let recorder = bench.recorder.clone();
            tokio::spawn(async move {
                for act in acts {
                    match recorder.begin(act, PEER).await {
                        Ok(Answer::Allowed(permit)) => drop(permit.leased()),
                        Ok(Answer::Refused(refusal)) => assert_eq!(refusal.reason.step, "revoked"),
                        Err(error) => assert_eq!(error, RecorderError::Busy),
                    }
                }
            })
        })
        .collect();
    let middle = family.held[1].leaf();
    let revoked = bench.recorder.revoke(revoke(What::Delegation, &middle), PEER).await.unwrap();
    for acting in acting {
        acting.await.unwrap();
    }
    let below = [middle, family.held[2].leaf()];
    let mut after = 0;
    for index in revoked.index + 1..bench.recorder.reader().size() {
        if bench.entry(index).0.kind() != Some(Kind::Decided) {
            continue;
        }
        assert_eq!(bench.field(index, "revocations"), Some(json!({"index": revoked.index})), "@{index}");
        let chain = bench.field(index, "chain").unwrap();
        let is_below = below.iter().any(|leaf| chain == json!(leaf));
        assert_eq!(bench.field(index, "verdict"), Some(json!(if is_below { "deny" } else { "allow" })));
        after += 1;
    }
    assert!(after > 0, "something was decided behind the revocation");
    // the refusals so far filled the rate of their runs
    bench.clock.advance(10_000);
    bench.denied(bench.act(&family.runs[1], &family.held[1], READ, "{}", 40), "revoked").await;
    bench.denied(bench.act(&family.runs[2], &family.held[2], READ, "{}", 40), "revoked").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_back_dated_revocation_says_so_and_undoes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let mut family = family(&bench).await;
    let allowed = bench.allowed(bench.act(&family.runs[1], &family.held[1], READ, "{}", 0)).await;
    let index = allowed.leased().index;
    family.counter = 1;
    let eff = bench.clock.wall_ms() / 1_000 - 86_400;
    let back = Revoke { eff: Some(eff), ..revoke(What::Delegation, &family.held[1].leaf()) };
    let revoked = bench.recorder.revoke(back, PEER).await.unwrap();
    assert_eq!(revoked.eff, eff);
    let field = |name| bench.field(revoked.index, name);
    assert_eq!(field("what"), Some(json!("delegation")));
    assert_eq!((field("target"), field("eff")), (Some(json!(family.held[1].leaf())), Some(json!(eff))));
    assert_eq!((field("token"), field("assurance")), (Some(json!(null)), Some(json!("inferred"))));
    assert_eq!(field("by").unwrap()["sub"], "uid:1000");
    assert_eq!(bench.field(index, "verdict"), Some(json!("allow")), "what was decided stays so, in doubt");
    assert_eq!(family.free(&bench, "revoked").await, [true, false, false]);
}

#[tokio::test(flavor = "multi_thread")]
async fn signed_revocations_say_what_is_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let mut family = family(&bench).await;
    let now = bench.clock.wall_ms() / 1_000;
    let good = Revocation {
        jti: id::text(&bench.recorder.new_id()),
        key: Jwk::of(&family.person).thumbprint(),
        audience: bench.recorder.names().issuer.clone(),
        iat: now,
        exp: now + 300,
        what: What::Delegation,
        target: Target::Text(family.held[2].leaf()),
        eff: now,
        why: "lost".into(),
        tenant: "local".into(),
    };
    let leaf = family.held[2].leaf();
    let asked = |order: &Revocation, signer: &SigningKey| Revoke {
        token: Some(order.sign(signer)),
        ..revoke(What::Delegation, &leaf)
    };
    let person = family.person.clone();
    let stranger = Revocation { key: Jwk::of(&key(99)).thumbprint(), ..good.clone() };
    let mut refused = vec![
        (asked(&good, &key(99)), "order-malformed"),
        (asked(&stranger, &key(99)), "order-key"),
        (asked(&Revocation { tenant: "b".into(), ..good.clone() }, &person), "order-malformed"),
        (asked(&Revocation { exp: now + 301, ..good.clone() }, &person), "order-malformed"),
        (asked(&Revocation { iat: now - 331, exp: now - 31, ..good.clone() }, &person), "order-binding"),
        (asked(&Revocation { iat: now + 32, exp: now + 300, ..good.clone() }, &person), "order-binding"),
        (asked(&Revocation { why: "else".into(), ..good.clone() }, &person), "order-binding"),
        (Revoke { eff: Some(now + 1), ..asked(&good, &person) }, "order-binding"),
        (Revoke { target: Target::Text(family.held[0].leaf()), ..asked(&good, &person) }, "order-binding"),
        (Revoke { what: What::HolderKey, ..asked(&good, &person) }, "order-binding"),
    ];
    let forged = with_signature(&good.sign(&person), |bytes| bytes[40] ^= 1);
    refused.push((Revoke { token: Some(forged), ..asked(&good, &person) }, "order-signature"));
    let pop = bench.act(&family.runs[0], &family.held[0], READ, "{}", 0).pop;
    refused.push((Revoke { token: Some(pop), ..asked(&good, &person) }, "order-malformed"));
    for (revoke, step) in refused {
        let before = bench.recorder.reader().size();
        let error = bench.recorder.revoke(revoke, PEER).await.unwrap_err();
        assert!(matches!(error, RecorderError::OrderRefused { .. }), "{error:?}");
        bench.on_record(before, &error, step);
    }
    // what nobody could read later is not recorded at all
    for wrong in [
        Revoke { why: String::new(), ..revoke(What::Tenant, "local") },
        Revoke { why: "x".repeat(limits::WHY_MAX_BYTES + 1), ..revoke(What::Tenant, "local") },
        Revoke { eff: Some(1 << 60), ..revoke(What::Tenant, "local") },
        revoke(What::Principal, "ciso"),
        revoke(What::Lineage, "no uuid"),
        revoke(What::HolderKey, "no thumbprint"),
    ] {
        let error = bench.recorder.revoke(wrong, PEER).await.unwrap_err();
        assert!(matches!(error, RecorderError::Invalid(_)), "{error:?}");
    }
    assert_eq!(family.free(&bench, "").await, [true; 3]);
    let why = "x".repeat(limits::WHY_MAX_BYTES);
    let signed = Revocation { why: why.clone(), ..good };
    let revoked = bench.recorder.revoke(Revoke { why, ..asked(&signed, &person) }, PEER).await.unwrap();
    assert_eq!(revoked.eff, now);
    assert_eq!(bench.field(revoked.index, "by").unwrap()["sub"], "ciso");
    assert_eq!(bench.field(revoked.index, "assurance"), Some(json!("issuer-asserted")));
    assert_eq!(bench.field(revoked.index, "token"), Some(json!(signed.sign(&person))));
    assert_eq!(family.free(&bench, "revoked").await, [true, true, false]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_halt_stops_until_it_is_lifted() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let mut family = family(&bench).await;
    let person = family.person.clone();
    let iss = bench.recorder.names().issuer.clone();
    for (on, free) in [
        (On::Agent { id: "agent-21".into() }, [true, false, false]),
        (On::Agent { id: "agent-22".into() }, [true, true, false]),
        (On::Agent { id: "agent-99".into() }, [true; 3]),
        (On::Principal { iss: iss.clone(), sub: "ciso".into() }, [false; 3]),
        (On::Principal { iss, sub: "cfo".into() }, [true; 3]),
        (On::All, [false; 3]),
    ] {
        let halt = bench.recorder.halt(on.clone(), "stop", None, PEER).await.unwrap();
        assert_eq!(bench.field(halt, "change"), Some(json!("halted")));
        assert_eq!(bench.field(halt, "assurance"), Some(json!("inferred")));
        let listed = bench.recorder.halts().unwrap();
        assert_eq!(listed.len(), 1);
        assert_eq!((listed[0].index, &listed[0].on, listed[0].why.as_str()), (halt, &on, "stop"));
        assert_eq!(listed[0].by.as_ref().unwrap().sub, "uid:1000");
        assert_eq!(listed[0].at_ms, bench.entry(halt).0.observed_ms);
        assert_eq!(family.free(&bench, "halted").await, free);
        // it stops acts: what is opened meanwhile is there when it is lifted
        bench.opened(&family.held[2].child(&bench, 29)).await;
        let order = resume_order(&bench, &person, &on, halt).sign(&person);
        let resumed = bench.recorder.resume(halt, "go on", &order, PEER).await.unwrap();
        assert_eq!(bench.field(resumed, "change"), Some(json!("resumed")));
        assert_eq!(
            (bench.field(resumed, "halt"), bench.field(resumed, "on")),
            (Some(json!(halt)), Some(on.to_json()))
        );
        assert!(bench.recorder.halts().unwrap().is_empty());
        assert_eq!(family.free(&bench, "").await, [true; 3]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_registered_person_lifts_a_halt_and_each_order_lifts_one() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let mut family = family(&bench).await;
    let person = family.person.clone();
    let machine = register_as(&bench, PrincipalKind::Service, "playbook", 12).await;
    // a service may stop everybody; it takes a person to go on
    let stop = halt_order(&bench, &machine, &On::All).sign(&machine);
    let halt = bench.recorder.halt(On::All, "stop", Some(&stop), PEER).await.unwrap();
    assert_eq!(bench.field(halt, "by").unwrap()["sub"], "playbook");
    let good = |signer: &SigningKey| resume_order(&bench, signer, &On::All, halt);
    let now = bench.clock.wall_ms() / 1_000;
    let agent = On::Agent { id: "agent-21".into() };
    for (order, signer, step) in [
        (good(&machine), &machine, "order-key"),
        (good(&key(99)), &key(99), "order-key"),
        (good(&person), &key(99), "order-malformed"),
        (halt_order(&bench, &person, &On::All), &person, "order-binding"),
        (HaltOrder { on: agent.clone(), ..good(&person) }, &person, "order-binding"),
        (HaltOrder { halt: Some(halt + 1), ..good(&person) }, &person, "order-binding"),
        (HaltOrder { why: "else".into(), ..good(&person) }, &person, "order-binding"),
        (HaltOrder { halt: None, ..good(&person) }, &person, "order-malformed"),
        (HaltOrder { iat: now - 400, exp: now - 100, ..good(&person) }, &person, "order-binding"),
    ] {
        let before = bench.recorder.reader().size();
        let error = bench.recorder.resume(halt, "go on", &order.sign(signer), PEER).await.unwrap_err();
        assert!(matches!(error, RecorderError::OrderRefused { .. }), "{error:?}");
        bench.on_record(before, &error, step);
    }
    assert_eq!(family.free(&bench, "halted").await, [false; 3]);
    let order = good(&person).sign(&person);
    bench.recorder.resume(halt, "go on", &order, PEER).await.unwrap();
    // stopped again: the old order names a halt that is lifted, and is no word about this one
    let again = bench.recorder.halt(On::All, "stop", None, PEER).await.unwrap();
    for (halt, step, unknown) in [(halt, "order-binding", true), (again, "order-binding", false)] {
        let before = bench.recorder.reader().size();
        let error = bench.recorder.resume(halt, "go on", &order, PEER).await.unwrap_err();
        assert_eq!(error == RecorderError::HaltUnknown(halt), unknown, "{error:?}");
        bench.on_record(before, &error, step);
    }
    assert_eq!(family.free(&bench, "halted").await, [false; 3]);
    // a halt that was signed to say something else is none
    for (on, why, token) in [
        (&agent, "stop", halt_order(&bench, &person, &On::All)),
        (&On::All, "else", halt_order(&bench, &person, &On::All)),
        (&On::All, "go on", resume_order(&bench, &person, &On::All, again)),
    ] {
        let before = bench.recorder.reader().size();
        let token = token.sign(&person);
        let error = bench.recorder.halt(on.clone(), why, Some(&token), PEER).await.unwrap_err();
        bench.on_record(before, &error, "order-binding");
    }
    bench.recorder.retire_principal(&Jwk::of(&person).thumbprint(), PEER).await.unwrap();
    let order = resume_order(&bench, &person, &On::All, again).sign(&person);
    let before = bench.recorder.reader().size();
    let error = bench.recorder.resume(again, "go on", &order, PEER).await.unwrap_err();
    bench.on_record(before, &error, "order-key");
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_do_not_keep_each_other_away() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let ordering: Vec<_> = (0..100)
        .map(|n| {
            let recorder = bench.recorder.clone();
            tokio::spawn(async move {
                if n % 2 == 0 {
                    let on = On::Agent { id: format!("agent-{n}") };
                    return recorder.halt(on, "stop", None, PEER).await.unwrap();
                }
                let revoke = revoke(What::Tenant, &format!("{n}"));
                recorder.revoke(revoke, PEER).await.unwrap().index
            })
        })
        .collect();
    let mut indexes = std::collections::BTreeSet::new();
    for order in ordering {
        indexes.insert(order.await.unwrap());
    }
    assert_eq!(indexes.len(), 100);
    assert_eq!(bench.recorder.halts().unwrap().len(), 50);
    assert_eq!(bench.recorder.control().orders.revocations().count(), 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_resumptions_at_once_one_lifts_the_halt() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let person = register(&bench, "ciso", 11).await;
    let halt = bench.recorder.halt(On::All, "stop", None, PEER).await.unwrap();
    let order = resume_order(&bench, &person, &On::All, halt).sign(&person);
    let resuming: Vec<_> = (0..20)
        .map(|_| {
            let (recorder, order) = (bench.recorder.clone(), order.clone());
            tokio::spawn(async move { recorder.resume(halt, "go on", &order, PEER).await })
        })
        .collect();
    let mut lifted = 0;
    for resumed in resuming {
        match resumed.await.unwrap() {
            Ok(_) => lifted += 1,
            Err(error) => assert_eq!(error, RecorderError::HaltUnknown(halt)),
        }
    }
    assert_eq!(lifted, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_person_signs_no_orders_any_more() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let family = family(&bench).await;
    let person = family.person.clone();
    let halt = bench.recorder.halt(On::All, "stop", None, PEER).await.unwrap();
    let iss = bench.recorder.names().issuer.clone();
    let target = Target::Principal { iss, sub: "ciso".into() };
    // not yet in force: the order of somebody who will be revoked tomorrow is good today
    let tomorrow = bench.clock.wall_ms() / 1_000 + 86_400;
    let revoke =
        |eff| Revoke { what: What::Principal, target: target.clone(), eff, why: "left".into(), token: None };
    bench.recorder.revoke(revoke(Some(tomorrow)), PEER).await.unwrap();
    let order = resume_order(&bench, &person, &On::All, halt).sign(&person);
    bench.recorder.resume(halt, "go on", &order, PEER).await.unwrap();
    let halt = bench.recorder.halt(On::All, "stop", None, PEER).await.unwrap();
    bench.recorder.revoke(revoke(None), PEER).await.unwrap();
    let order = resume_order(&bench, &person, &On::All, halt).sign(&person);
    let before = bench.recorder.reader().size();
    let error = bench.recorder.resume(halt, "go on", &order, PEER).await.unwrap_err();
    assert!(matches!(error, RecorderError::OrderRefused { .. }), "{error:?}");
    bench.on_record(before, &error, "order-key");
    assert_eq!(bench.recorder.halts().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_registered_after_a_halt_does_not_lift_it_unless_nobody_was_there() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let halt = bench.recorder.halt(On::All, "stop", None, PEER).await.unwrap();
    let first = register(&bench, "first", 31).await;
    let order = resume_order(&bench, &first, &On::All, halt).sign(&first);
    bench.recorder.resume(halt, "go on", &order, PEER).await.unwrap();
    let halt = bench.recorder.halt(On::All, "stop", None, PEER).await.unwrap();
    let second = register(&bench, "second", 32).await;
    let order = resume_order(&bench, &second, &On::All, halt).sign(&second);
    let before = bench.recorder.reader().size();
    let error = bench.recorder.resume(halt, "go on", &order, PEER).await.unwrap_err();
    bench.on_record(before, &error, "order-key");
    let order = resume_order(&bench, &first, &On::All, halt).sign(&first);
    bench.recorder.resume(halt, "go on", &order, PEER).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_halt_that_is_not_durable_yet_is_not_listed_and_hides_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let halt = bench.recorder.halt(On::All, "stop", None, PEER).await.unwrap();
    // the state takes what is in the queue before it is durable
    changed(&bench, |control| {
        Arc::make_mut(&mut control.orders).halt(halt + 1, On::Agent { id: "x".into() });
    });
    let listed: Vec<u64> = bench.recorder.halts().unwrap().iter().map(|halted| halted.index).collect();
    assert_eq!(listed, [halt]);
}

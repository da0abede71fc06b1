//! Proofs, counters and when a key is replaced.

use std::sync::atomic::{AtomicU64, Ordering};

use super::*;

fn ambient(now_ms: u64) -> Ambient {
    Ambient {
        now_ms: Arc::new(move || now_ms),
        monotonic_us: Arc::new(|| 0),
        random: Arc::new(|buffer| buffer.fill(7)),
    }
}

fn delegation(n: u8) -> String {
    jws::sign(jws::DELEGATION, &json!({ "n": n }), &SigningKey::from_bytes(&[9; 32]))
}

fn bound(n: u8, exp: u64) -> Bound {
    Bound::own(SigningKey::from_bytes(&[n; 32]), &delegation(n), exp).unwrap()
}

/// A given key whose counters come from a source that starts at `first`.
fn given(n: u8, floor: u64, first: u64) -> Bound {
    given_with(n, floor, &[], first)
}

fn given_with(n: u8, floor: u64, missing: &[u64], first: u64) -> Bound {
    let next = AtomicU64::new(first);
    let draw: NextCounter = Arc::new(move |kid, floor| {
        assert_eq!(kid, Jwk::of(&SigningKey::from_bytes(&[n; 32])).thumbprint());
        next.fetch_max(floor, Ordering::Relaxed);
        Ok(next.fetch_add(1, Ordering::Relaxed))
    });
    Bound::given(SigningKey::from_bytes(&[n; 32]), &delegation(n), 1_000, (floor, missing.to_vec()), draw)
        .unwrap()
}

const CLAIM: Claim<'_> = Claim { act_id: "act", tool: "stdio:fs#read", args_digest: "d" };

async fn prove(holder: &Holder) -> Proof {
    holder.prove(&CLAIM, &ambient(90_500)).await.unwrap()
}

fn counter(proof: &Proof) -> u64 {
    proof.counter.as_ref().unwrap().1
}

#[tokio::test]
async fn proofs_name_call_and_delegation_and_count_from_zero_for_each_key() {
    let holder = Holder::new(bound(1, 1_000), "deeds://x".into());
    let claims = |proof: &Proof, key: u8| {
        let signed = Signed::parse(&proof.pop, jws::POP).unwrap();
        let claims = signed.verify(&Jwk::of(&SigningKey::from_bytes(&[key; 32]))).unwrap().clone();
        assert_eq!(claims["gth"], proof.delegation.as_str());
        Value::Object(claims)
    };
    let first = claims(&prove(&holder).await, 1);
    let expected = json!({"jti": "BwcHBwcHBwcHBwcHBwcHBw", "iat": 90, "exp": 150, "aud": "deeds://x",
        "gth": leaf_digest(&delegation(1)).unwrap(), "tool": "stdio:fs#read",
        "hta_s256": "d", "act_id": "act", "ctr": 0});
    assert_eq!(first, expected);
    assert_eq!(claims(&prove(&holder).await, 1)["ctr"], 1);
    holder.replace(bound(2, 1_000));
    assert_eq!(claims(&prove(&holder).await, 2)["ctr"], 0);
}

#[tokio::test]
async fn renewal_is_due_a_minute_before_the_end_and_after_a_lost_proof() {
    for fate in [Fate::Unsent, Fate::InDoubt] {
        let holder = Holder::new(bound(1, 1_000), String::new());
        assert!(!holder.is_due(&ambient((1_000 - RENEW_BEFORE_S) * 1_000 - 1)));
        assert!(holder.is_due(&ambient((1_000 - RENEW_BEFORE_S) * 1_000)));
        assert!(!holder.is_over(&ambient(999_999)));
        assert!(holder.is_over(&ambient(1_000_000)));
        let proof = prove(&holder).await;
        holder.unused(&Proof { delegation: "another".into(), ..proof.clone() }, fate);
        holder.unused(&Proof { counter: None, ..proof.clone() }, fate);
        assert!(!holder.is_due(&ambient(0)));
        holder.unused(&proof, fate);
        assert!(holder.is_due(&ambient(0)));
    }
}

#[tokio::test]
async fn a_key_with_many_holes_is_replaced_before_the_window_is_full() {
    let holder = Holder::new(bound(1, 1_000), String::new());
    let proof = prove(&holder).await;
    for _ in 1..HOLES_MAX {
        holder.unused(&proof, Fate::Unrecorded);
        assert!(!holder.is_due(&ambient(0)));
    }
    holder.unused(&proof, Fate::Unrecorded);
    assert!(holder.is_due(&ambient(0)));
}

#[tokio::test]
async fn a_given_key_counts_from_where_server_and_source_stand_and_leaves_no_holes() {
    let holder = Holder::new(given(1, 5, 3), String::new());
    let mut proofs = Vec::new();
    for _ in 0..3 {
        proofs.push(prove(&holder).await);
    }
    assert_eq!(proofs.iter().map(counter).collect::<Vec<_>>(), [5, 6, 7]);
    holder.unused(&proofs[1], Fate::Unrecorded);
    holder.unused(&proofs[0], Fate::Unsent);
    holder.unused(&proofs[2], Fate::InDoubt);
    assert!(!holder.is_due(&ambient(0)), "nobody can replace the key");
    // also under another chain of the same key
    holder.replace(given(1, 6, 20));
    assert_eq!(counter(&prove(&holder).await), 5);
    assert_eq!(counter(&prove(&holder).await), 6);
    assert_eq!(counter(&prove(&holder).await), 20);
    // and not with another key
    holder.unused(&proofs[1], Fate::Unsent);
    holder.replace(given(2, 0, 0));
    holder.unused(&proofs[1], Fate::Unrecorded);
    assert_eq!(counter(&prove(&holder).await), 0);
}

#[tokio::test]
async fn a_given_key_that_is_out_of_step_asks_the_server_where_it_stands() {
    let holder = Holder::new(given(1, 0, 0), String::new());
    let (first, second) = (prove(&holder).await, prove(&holder).await);
    holder.unused(&first, Fate::Unrecorded);
    assert!(!holder.is_news(&first.delegation));
    holder.lost_step(&Proof { counter: Some(("another".into(), 0)), ..second.clone() });
    assert!(!holder.is_due(&ambient(0)));
    holder.lost_step(&second);
    assert!(holder.is_due(&ambient(0)) && holder.is_news(&first.delegation));
    holder.unused(&second, Fate::Unrecorded);
    holder.replace(given(1, 9, 2));
    assert!(!holder.is_due(&ambient(0)));
    assert_eq!(counter(&prove(&holder).await), 9, "what was believed free is not used again");
}

#[tokio::test]
async fn counters_that_somebody_left_unused_for_good_are_used_once_they_stand_in_the_way() {
    let holder = Holder::new(given(1, 9, 0), String::new());
    // they may be on their way from elsewhere
    holder.replace(given_with(1, 9, &[4, 6], 0));
    let proof = prove(&holder).await;
    assert_eq!(counter(&proof), 9);
    holder.lost_step(&proof);
    holder.replace(given_with(1, 9, &[6, 4], 10));
    let mut used = Vec::new();
    for _ in 0..4 {
        used.push(counter(&prove(&holder).await));
    }
    assert_eq!(used, [4, 6, 9, 10], "the refused one is still ours");
    holder.lost_step(&proof);
    assert_eq!(counter(&prove(&holder).await), 11, "nothing is free until the server has said so");
    holder.replace(given_with(2, 0, &[3], 1));
    assert_eq!(counter(&prove(&holder).await), 1, "another key has its own");
}

#[tokio::test]
async fn without_a_counter_there_is_no_proof() {
    let draw: NextCounter = Arc::new(|_, _| Err("the disk is full".into()));
    let bound =
        Bound::given(SigningKey::from_bytes(&[1; 32]), &delegation(1), 1_000, (0, vec![]), draw).unwrap();
    let error = Holder::new(bound, String::new()).prove(&CLAIM, &ambient(0)).await.unwrap_err();
    assert_eq!(error, "the disk is full");
}

#[test]
fn a_delegation_that_is_no_signed_object_is_refused() {
    assert!(Bound::own(SigningKey::from_bytes(&[1; 32]), "x", 1).is_err());
}

//! The wrap's own key and the delegation bound to it: proofs of possession, one per call (format §6).

use std::sync::{Mutex, MutexGuard, PoisonError};

use ed25519_dalek::SigningKey;
use evidence::jws::{self, Jwk, Signed};
use evidence::limits::{POP_MAX_S, POP_WINDOW};
use serde_json::{Value, json};

use super::Ambient;
use crate::client::ClientError;
use crate::limits::RENEW_BEFORE_S;

/// A key with its delegation, and the counter of its proofs.
pub(crate) struct Bound {
    key: SigningKey,
    /// Token digest of the delegation.
    delegation: String,
    /// When it ends, seconds.
    exp: u64,
    next_counter: u64,
    /// Proofs that the server counted or rejected without recording them: their counters stay unused.
    holes: u64,
}

impl Bound {
    /// Binds a key to the delegation that was issued for it.
    pub(crate) fn new(key: SigningKey, delegation: &str, exp: u64) -> Result<Self, ClientError> {
        let signed = Signed::parse(delegation, jws::DELEGATION)
            .map_err(|error| ClientError::Answer(format!("its delegation is not acceptable: {error}")))?;
        Ok(Self { key, delegation: signed.digest(), exp, next_counter: 0, holes: 0 })
    }
}

/// Holes of one key before it is replaced: with as many proofs under way, all stay within the server's window.
const HOLES_MAX: u64 = POP_WINDOW / 4;

/// The key that proves possession now. A renewal draws a fresh key, so that its counter starts from 0 again.
pub(crate) struct Holder {
    bound: Mutex<Bound>,
    /// The audience of proofs.
    audience: String,
    /// Held during a renewal, so that one is enough for all who wait.
    pub(crate) renewal: tokio::sync::Mutex<()>,
}

/// What a proof is about.
pub(crate) struct Claim<'a> {
    pub(crate) act_id: &'a str,
    pub(crate) tool: &'a str,
    /// b64url of SHA-256 of JCS of the arguments.
    pub(crate) args_digest: &'a str,
}

/// A proof, and the token digest of the delegation that it belongs to.
pub(crate) struct Proof {
    pub(crate) delegation: String,
    pub(crate) pop: String,
}

impl Holder {
    pub(crate) fn new(bound: Bound, audience: String) -> Self {
        Self { bound: Mutex::new(bound), audience, renewal: tokio::sync::Mutex::new(()) }
    }

    /// Signs a fresh proof with the next counter.
    pub(crate) fn prove(&self, claim: &Claim<'_>, ambient: &Ambient) -> Proof {
        let iat = (ambient.now_ms)() / 1_000;
        let jti = evidence::base64url::encode(&ambient.random_bytes::<16>());
        let mut bound = self.lock();
        let counter = bound.next_counter;
        bound.next_counter += 1;
        let payload = json!({
            "jti": jti, "iat": iat, "exp": iat + POP_MAX_S, "aud": self.audience, "gth": bound.delegation,
            "tool": claim.tool, "hta_s256": claim.args_digest, "act_id": claim.act_id, "ctr": counter,
        });
        Proof { delegation: bound.delegation.clone(), pop: jws::sign(jws::POP, &payload, &bound.key) }
    }

    /// Whether the delegation ends too soon for another call.
    pub(crate) fn is_due(&self, ambient: &Ambient) -> bool {
        self.lock().exp <= (ambient.now_ms)() / 1_000 + RENEW_BEFORE_S
    }

    /// Whether the delegation has ended.
    pub(crate) fn is_over(&self, ambient: &Ambient) -> bool {
        self.lock().exp <= (ambient.now_ms)() / 1_000
    }

    /// Asks for a renewal before the next proof, unless that has happened already.
    pub(crate) fn retire(&self, delegation: &str) {
        let mut bound = self.lock();
        if bound.delegation == delegation {
            bound.exp = 0;
        }
    }

    /// A proof was answered and not recorded, so its counter stays a hole. Before there are so many that later
    /// proofs would lie beyond the server's window, the next call starts with a fresh key.
    pub(crate) fn hole(&self, delegation: &str) {
        let mut bound = self.lock();
        if bound.delegation == delegation {
            bound.holes += 1;
            if bound.holes >= HOLES_MAX {
                bound.exp = 0;
            }
        }
    }

    /// Goes on with a renewed key.
    pub(crate) fn replace(&self, bound: Bound) {
        *self.lock() = bound;
    }

    fn lock(&self) -> MutexGuard<'_, Bound> {
        self.bound.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The public half of a key, as the API takes it.
pub(crate) fn jwk(key: &SigningKey) -> Value {
    Jwk::of(key).to_json()
}

/// A fresh key.
pub(crate) fn fresh_key(ambient: &Ambient) -> SigningKey {
    SigningKey::from_bytes(&ambient.random_bytes())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

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
        Bound::new(SigningKey::from_bytes(&[n; 32]), &delegation(n), exp).unwrap()
    }

    #[test]
    fn proofs_name_call_and_delegation_and_count_from_zero_for_each_key() {
        let holder = Holder::new(bound(1, 1_000), "deeds://x".into());
        let claim = Claim { act_id: "act", tool: "stdio:fs#read", args_digest: "d" };
        let prove = |key: u8| {
            let proof = holder.prove(&claim, &ambient(90_500));
            let signed = Signed::parse(&proof.pop, jws::POP).unwrap();
            let claims = signed.verify(&Jwk::of(&SigningKey::from_bytes(&[key; 32]))).unwrap().clone();
            assert_eq!(claims["gth"], proof.delegation.as_str());
            Value::Object(claims)
        };
        let first = prove(1);
        let expected = json!({"jti": "BwcHBwcHBwcHBwcHBwcHBw", "iat": 90, "exp": 150, "aud": "deeds://x",
            "gth": Signed::parse(&delegation(1), jws::DELEGATION).unwrap().digest(), "tool": "stdio:fs#read",
            "hta_s256": "d", "act_id": "act", "ctr": 0});
        assert_eq!(first, expected);
        assert_eq!(prove(1)["ctr"], 1);
        holder.replace(bound(2, 1_000));
        assert_eq!(prove(2)["ctr"], 0);
    }

    #[test]
    fn renewal_is_due_a_minute_before_the_end_and_after_a_lost_proof() {
        let holder = Holder::new(bound(1, 1_000), String::new());
        assert!(!holder.is_due(&ambient((1_000 - RENEW_BEFORE_S) * 1_000 - 1)));
        assert!(holder.is_due(&ambient((1_000 - RENEW_BEFORE_S) * 1_000)));
        assert!(!holder.is_over(&ambient(999_999)));
        assert!(holder.is_over(&ambient(1_000_000)));
        holder.retire("another");
        assert!(!holder.is_due(&ambient(0)));
        let delegation = holder.lock().delegation.clone();
        holder.retire(&delegation);
        assert!(holder.is_due(&ambient(0)));
    }

    #[test]
    fn a_key_with_many_holes_is_replaced_before_the_window_is_full() {
        let holder = Holder::new(bound(1, 1_000), String::new());
        let delegation = holder.lock().delegation.clone();
        holder.hole("another");
        for _ in 1..HOLES_MAX {
            holder.hole(&delegation);
            assert!(!holder.is_due(&ambient(0)));
        }
        holder.hole(&delegation);
        assert!(holder.is_due(&ambient(0)));
    }

    #[test]
    fn a_delegation_that_is_no_signed_object_is_refused() {
        assert!(Bound::new(SigningKey::from_bytes(&[1; 32]), "x", 1).is_err());
    }
}

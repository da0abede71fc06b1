//! The key that the wrap signs with and the delegation bound to it: proofs of possession, one per call (format §6).

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ed25519_dalek::SigningKey;
use evidence::jws::{self, Jwk, Signed};
use evidence::limits::{POP_MAX_S, POP_WINDOW};
use serde_json::{Value, json};

use super::{Ambient, NextCounter};
use crate::client::ClientError;
use crate::limits::RENEW_BEFORE_S;

/// A key with its delegation, and the counter of its proofs.
pub(crate) struct Bound {
    key: SigningKey,
    /// Thumbprint of the key.
    kid: String,
    /// Token digest of the delegation.
    delegation: String,
    /// When it ends, seconds.
    exp: u64,
    counters: Counters,
}

enum Counters {
    /// The key was drawn here, so nobody else counts under it.
    Own {
        next: u64,
        /// Proofs that the server counted or rejected without recording them: their counters stay unused.
        holes: u64,
    },
    /// The key was given: other processes may count under it too.
    Given {
        draw: NextCounter,
        /// One past the highest counter that the server had seen when the delegation was taken into the run.
        floor: u64,
        /// Not used up as far as is known: they go first, because no fresh key can leave their holes behind.
        free: BTreeSet<u64>,
        /// A counter was refused: nothing is free until the server has said where it stands.
        out_of_step: bool,
    },
}

impl Bound {
    /// Binds a key drawn here to the delegation that was issued for it.
    pub(crate) fn own(key: SigningKey, delegation: &str, exp: u64) -> Result<Self, ClientError> {
        Self::new(key, delegation, exp, Counters::Own { next: 0, holes: 0 })
    }

    /// Binds a given key to the delegation that somebody made for it. The server stands at `floor`, with counters
    /// below that are `missing`.
    pub(crate) fn given(
        key: SigningKey,
        delegation: &str,
        exp: u64,
        (floor, missing): (u64, Vec<u64>),
        draw: NextCounter,
    ) -> Result<Self, ClientError> {
        let free = missing.into_iter().collect();
        Self::new(key, delegation, exp, Counters::Given { draw, floor, free, out_of_step: false })
    }

    fn new(key: SigningKey, delegation: &str, exp: u64, counters: Counters) -> Result<Self, ClientError> {
        let delegation = leaf_digest(delegation)
            .map_err(|why| ClientError::Answer(format!("its delegation is not acceptable: {why}")))?;
        Ok(Self { kid: Jwk::of(&key).thumbprint(), key, delegation, exp, counters })
    }

    /// Takes over the unused counters of the same key. After a refusal of one, only what the server has not seen used
    /// is left of them, and with it what the server misses: that may be on its way from another process, but holes
    /// that somebody left for good would stop every later proof of this key.
    fn after(mut self, before: &mut Self) -> Self {
        let same_key = self.kid == before.kid;
        if let Counters::Given { free, floor, .. } = &mut self.counters {
            match &mut before.counters {
                Counters::Given { free: left, out_of_step: true, .. } if same_key => {
                    free.append(&mut left.split_off(floor));
                }
                Counters::Given { free: left, .. } if same_key => *free = core::mem::take(left),
                _ => free.clear(),
            }
        }
        self
    }
}

/// Token digest of a delegation.
pub(crate) fn leaf_digest(token: &str) -> Result<String, jws::JwsError> {
    Signed::parse(token, jws::DELEGATION).map(|signed| signed.digest())
}

/// Holes of one key before it is replaced: with as many proofs under way, all stay within the server's window.
const HOLES_MAX: u64 = POP_WINDOW / 4;

/// The key that proves possession now. A renewal of a root draws a fresh key, so that its counter starts from 0 again.
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
#[derive(Debug, Clone)]
pub(crate) struct Proof {
    pub(crate) act_id: String,
    pub(crate) delegation: String,
    pub(crate) pop: String,
    /// Key and counter, where the proof was signed here.
    pub(crate) counter: Option<(String, u64)>,
}

/// What became of a proof whose counter the server has not recorded as far as is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It certainly did not leave.
    Unsent,
    /// It was answered and its counter was not used up.
    Unrecorded,
    /// Whether it arrived is not known; it is asked about until it is.
    InDoubt,
}

/// What a counter is taken with.
enum Drawn {
    Counter(u64),
    From { draw: NextCounter, floor: u64 },
}

impl Holder {
    pub(crate) fn new(bound: Bound, audience: String) -> Self {
        Self { bound: Mutex::new(bound), audience, renewal: tokio::sync::Mutex::new(()) }
    }

    /// Signs a fresh proof with the next counter. An error says why there is no counter.
    pub(crate) async fn prove(&self, claim: &Claim<'_>, ambient: &Ambient) -> Result<Proof, String> {
        // key and counter go together, whatever replaces the key meanwhile
        let (key, kid, delegation, drawn) = self.draw();
        let counter = match drawn {
            Drawn::Counter(counter) => counter,
            Drawn::From { draw, floor } => {
                let kid = kid.clone();
                blocking(move || draw(&kid, floor)).await?
            }
        };
        let iat = (ambient.now_ms)() / 1_000;
        let payload = json!({
            "jti": evidence::base64url::encode(&ambient.random_bytes::<16>()), "iat": iat, "exp": iat + POP_MAX_S,
            "aud": self.audience, "gth": delegation, "tool": claim.tool, "hta_s256": claim.args_digest,
            "act_id": claim.act_id, "ctr": counter,
        });
        Ok(Proof {
            act_id: claim.act_id.to_owned(),
            pop: jws::sign(jws::POP, &payload, &key),
            delegation,
            counter: Some((kid, counter)),
        })
    }

    fn draw(&self) -> (SigningKey, String, String, Drawn) {
        let mut bound = self.lock();
        let drawn = match &mut bound.counters {
            Counters::Own { next, .. } => {
                *next += 1;
                Drawn::Counter(*next - 1)
            }
            Counters::Given { draw, floor, free, out_of_step } => match free.first().copied() {
                Some(counter) if !*out_of_step => {
                    free.remove(&counter);
                    Drawn::Counter(counter)
                }
                _ => Drawn::From { draw: Arc::clone(draw), floor: *floor },
            },
        };
        (bound.key.clone(), bound.kid.clone(), bound.delegation.clone(), drawn)
    }

    /// Whether the delegation ends too soon for another call, or the counter is to be asked for.
    pub(crate) fn is_due(&self, ambient: &Ambient) -> bool {
        let bound = self.lock();
        bound.exp <= (ambient.now_ms)() / 1_000 + RENEW_BEFORE_S || bound.is_out_of_step()
    }

    /// Whether the delegation has ended.
    pub(crate) fn is_over(&self, ambient: &Ambient) -> bool {
        self.lock().exp <= (ambient.now_ms)() / 1_000
    }

    /// Whether a given chain with this leaf is worth telling the server: another one, or one whose counter is lost.
    pub(crate) fn is_news(&self, leaf: &str) -> bool {
        let bound = self.lock();
        bound.delegation != leaf || bound.is_out_of_step()
    }

    /// Takes note of a proof whose counter is not recorded. A key drawn here is replaced before there are so many
    /// holes that later proofs would lie beyond the server's window, and at once where a proof may never have
    /// arrived; a counter of a given key is used for the next proof.
    pub(crate) fn unused(&self, proof: &Proof, fate: Fate) {
        let Some((kid, counter)) = &proof.counter else { return };
        let mut bound = self.lock();
        let bound = &mut *bound;
        match (&mut bound.counters, fate) {
            (Counters::Own { holes, .. }, _) if bound.delegation == proof.delegation => {
                *holes += 1;
                if fate != Fate::Unrecorded || *holes >= HOLES_MAX {
                    bound.exp = 0;
                }
            }
            (Counters::Given { free, .. }, Fate::Unsent | Fate::Unrecorded) if bound.kid == *kid => {
                free.insert(*counter);
            }
            _ => {}
        }
    }

    /// The server refused the counter of a proof. Of a given key somebody else may have used it, or left holes.
    pub(crate) fn lost_step(&self, proof: &Proof) {
        let Some((kid, counter)) = &proof.counter else { return };
        let mut bound = self.lock();
        let same_key = *kid == bound.kid;
        if let Counters::Given { free, out_of_step, .. } = &mut bound.counters
            && same_key
        {
            *out_of_step = true;
            free.insert(*counter);
        }
    }

    /// Goes on with a renewed key or delegation.
    pub(crate) fn replace(&self, bound: Bound) {
        let mut now = self.lock();
        *now = bound.after(&mut now);
    }

    fn lock(&self) -> MutexGuard<'_, Bound> {
        self.bound.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Bound {
    fn is_out_of_step(&self) -> bool {
        matches!(self.counters, Counters::Given { out_of_step: true, .. })
    }
}

/// Runs what may wait for a file on a thread of its own.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(error.to_string()))
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
mod tests;

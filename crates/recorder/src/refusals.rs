//! Refusals are evidence too; above a rate per source they are counted in one entry (DESIGN invariant 4).

use std::collections::BTreeMap;
use std::sync::{MutexGuard, PoisonError};

use evidence::id::{self, Id, LOG_LEVEL};
use evidence::{Digest, Kind};
use serde_json::{Value, json};

use crate::draft::{Draft, Fields, Guard, Place};
use crate::limits::{REFUSAL_BURST, REFUSALS_PER_SECOND};
use crate::outcome::bounded;
use crate::permit::Reason;
use crate::sequencing::Reply;
use crate::{Peer, Recorder, RecorderError};

/// Something malformed or unidentified that reached a decision point and could not become a decision.
#[derive(Debug, Clone)]
pub struct Malformed {
    /// Whose refusals are counted together: a run, or a user id.
    pub source: String,
    /// Why it was refused.
    pub reason: Reason,
    /// Digest string of what was refused.
    pub digest: String,
}

/// Rates by source.
#[derive(Debug, Default)]
pub(crate) struct Rates(BTreeMap<String, Rate>);

#[derive(Debug)]
struct Rate {
    /// Refusals that may still be recorded one by one, in thousandths.
    tokens: u64,
    refilled_ms: u64,
    counted: Option<Counted>,
}

/// Refusals that were counted instead of recorded.
#[derive(Debug, Clone)]
struct Counted {
    count: u64,
    first_ms: u64,
    last_ms: u64,
    /// SHA-256 chain over the digests of what was refused.
    list: [u8; 32],
}

const FULL: u64 = REFUSAL_BURST as u64 * 1_000;

impl Rate {
    fn refill(&mut self, monotonic_ms: u64) {
        let elapsed = monotonic_ms.saturating_sub(self.refilled_ms);
        self.tokens =
            self.tokens.saturating_add(elapsed.saturating_mul(u64::from(REFUSALS_PER_SECOND))).min(FULL);
        self.refilled_ms = monotonic_ms;
    }
}

impl Rates {
    /// Whether one more refusal of this source is recorded by itself; otherwise it is counted here.
    fn admit(&mut self, source: &str, digest: &str, wall_ms: u64, monotonic_ms: u64) -> bool {
        let rate = self.0.entry(source.to_owned()).or_insert(Rate {
            tokens: FULL,
            refilled_ms: monotonic_ms,
            counted: None,
        });
        rate.refill(monotonic_ms);
        if rate.tokens >= 1_000 {
            rate.tokens -= 1_000;
            return true;
        }
        let counted = rate.counted.get_or_insert(Counted {
            count: 0,
            first_ms: wall_ms,
            last_ms: wall_ms,
            list: [0; 32],
        });
        counted.count += 1;
        counted.last_ms = wall_ms;
        counted.list = Digest::of_parts(&[&counted.list, digest.as_bytes()]).0;
        false
    }

    /// Counts again what could not be written.
    fn put_back(&mut self, source: String, counted: Counted, monotonic_ms: u64) {
        let rate =
            self.0.entry(source).or_insert(Rate { tokens: 0, refilled_ms: monotonic_ms, counted: None });
        let merged = match rate.counted.take() {
            None => counted,
            Some(newer) => Counted {
                count: counted.count + newer.count,
                first_ms: counted.first_ms,
                last_ms: newer.last_ms,
                list: Digest::of_parts(&[&counted.list, &newer.list]).0,
            },
        };
        rate.counted = Some(merged);
    }

    fn take(&mut self, source: Option<&str>, monotonic_ms: u64) -> Vec<(String, Counted)> {
        for rate in self.0.values_mut() {
            rate.refill(monotonic_ms);
        }
        let wanted = |name: &str| source.is_none_or(|source| source == name);
        let taken = self
            .0
            .iter_mut()
            .filter(|(name, _)| wanted(name))
            .filter_map(|(name, rate)| rate.counted.take().map(|counted| (name.clone(), counted)))
            .collect();
        // a source whose burst is whole again has nothing left to remember
        self.0.retain(|_, rate| rate.tokens < FULL || rate.counted.is_some());
        taken
    }
}

impl Recorder {
    /// Whether a refusal of this source is recorded by itself; otherwise it has been counted.
    pub(crate) fn may_record_refusal(&self, source: &str, digest: &str) -> bool {
        let (wall, monotonic) = (self.0.clock.wall_ms(), self.0.clock.monotonic_ms());
        self.rates().admit(source, digest, wall, monotonic)
    }

    /// Records the refusal of something that could not become a decision. `None`: it was counted.
    pub async fn refuse_malformed(&self, malformed: &Malformed) -> Result<Option<u64>, RecorderError> {
        if !self.may_record_refusal(&malformed.source, &malformed.digest) {
            return Ok(None);
        }
        let payload = json!({"reason": malformed.reason.code, "step": malformed.reason.step,
            "text": bounded(&malformed.reason.text)});
        let now = json!(self.0.clock.wall_ms());
        let fields = Fields::new()
            .text("subtype", "refusals")
            .json("payload", &payload)
            .json("count", &json!(1))
            .json("first_ms", &now)
            .json("last_ms", &now)
            .text("list_digest", &malformed.digest)
            .text("source", &bounded(&malformed.source));
        let item = self.0.sealer.item(Kind::Observed, Place::LOG, fields)?;
        match self.append(Draft::one(Guard::None, item)).await? {
            Reply::Written(written) => Ok(Some(written.first)),
            _ => Err(RecorderError::LogUnavailable),
        }
    }

    /// Records a refusal before it is told; any other outcome passes as it is. `about` is what was refused.
    pub(crate) async fn on_record<T>(
        &self,
        outcome: Result<T, RecorderError>,
        about: &str,
        peer: Peer,
    ) -> Result<T, RecorderError> {
        if let Err(error) = &outcome
            && let Some(reason) = error.refusal()
        {
            let digest = Digest::of(about.as_bytes()).to_string();
            self.refuse_malformed(&Malformed { source: format!("uid:{}", peer.uid), reason, digest }).await?;
        }
        outcome
    }

    /// Writes down what was counted: of one source, or of all. What cannot be written now stays counted.
    pub async fn flush_refusals(&self, source: Option<&Id>) -> Result<(), RecorderError> {
        let source = source.map(id::text);
        let now = self.0.clock.monotonic_ms();
        let taken = self.rates().take(source.as_deref(), now);
        let mut failed = None;
        for (source, counted) in taken {
            if failed.is_none() {
                failed = self.write_counted(&source, &counted).await.err();
            }
            if failed.is_some() {
                self.rates().put_back(source, counted, now);
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// Into the chain of its run while that is open, so that the run's evidence is complete; else at log level.
    async fn write_counted(&self, source: &str, counted: &Counted) -> Result<(), RecorderError> {
        let places = id::parse(source).map(|run| (Place::log(run, 0), Guard::RunOpen));
        for (place, guard) in
            places.into_iter().chain([(Place { run: LOG_LEVEL, ..Place::LOG }, Guard::None)])
        {
            let fields = Fields::new()
                .text("subtype", "refusals")
                .json("count", &json!(counted.count))
                .json("first_ms", &json!(counted.first_ms))
                .json("last_ms", &json!(counted.last_ms))
                .json("list_digest", &Value::from(Digest(counted.list).to_string()))
                .text("source", &bounded(source));
            let item = self.0.sealer.item(Kind::Observed, place, fields)?;
            if matches!(self.append(Draft::one(guard, item)).await?, Reply::Written(_)) {
                return Ok(());
            }
        }
        Err(RecorderError::LogUnavailable)
    }

    fn rates(&self) -> MutexGuard<'_, Rates> {
        self.0.refusals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_recorded_and_the_rest_is_counted() {
        let mut rates = Rates::default();
        let admitted = (0..100).filter(|_| rates.admit("run", "sha256:00", 7, 1_000)).count();
        assert_eq!(admitted, 32);
        let taken = rates.take(Some("run"), 1_000);
        assert_eq!(taken.first().map(|(_, counted)| counted.count), Some(68));
        assert!(rates.take(None, 1_000).is_empty());
        let (source, counted) = taken.into_iter().next().unwrap();
        rates.put_back(source, counted, 1_000);
        let again = rates.take(Some("run"), 1_000);
        assert_eq!(
            again.first().map(|(_, counted)| counted.count),
            Some(68),
            "what was not written stays counted"
        );
        assert!(rates.admit("run", "sha256:00", 8, 1_250), "four a second come back");
        assert!(!rates.admit("run", "sha256:00", 8, 1_250));
        assert!(rates.admit("other", "sha256:00", 8, 1_250), "sources do not share");
    }
}

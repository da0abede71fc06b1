//! Refusals are evidence too; above a rate per source they are counted in one entry (DESIGN invariant 4).

use std::collections::BTreeMap;
use std::sync::PoisonError;

use evidence::id::{self, Id, LOG_LEVEL};
use evidence::{Digest, Kind};
use serde_json::{Value, json};

use crate::draft::{Draft, Fields, Guard, Place};
use crate::limits::{REFUSAL_BURST, REFUSALS_PER_SECOND};
use crate::outcome::bounded;
use crate::permit::Reason;
use crate::sequencing::Reply;
use crate::{Recorder, RecorderError};

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

impl Rates {
    /// Whether one more refusal of this source is recorded by itself; otherwise it is counted here.
    fn admit(&mut self, source: &str, digest: &str, wall_ms: u64, monotonic_ms: u64) -> bool {
        let rate = self.0.entry(source.to_owned()).or_insert(Rate {
            tokens: FULL,
            refilled_ms: monotonic_ms,
            counted: None,
        });
        let elapsed = monotonic_ms.saturating_sub(rate.refilled_ms);
        rate.tokens =
            rate.tokens.saturating_add(elapsed.saturating_mul(u64::from(REFUSALS_PER_SECOND))).min(FULL);
        rate.refilled_ms = monotonic_ms;
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

    fn take(&mut self, source: Option<&str>) -> Vec<(String, Counted)> {
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
        self.0.refusals.lock().unwrap_or_else(PoisonError::into_inner).admit(source, digest, wall, monotonic)
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

    /// Writes down what was counted: of one source, or of all.
    pub async fn flush_refusals(&self, source: Option<&Id>) -> Result<(), RecorderError> {
        let source = source.map(id::text);
        let taken = self.0.refusals.lock().unwrap_or_else(PoisonError::into_inner).take(source.as_deref());
        for (source, counted) in taken {
            let fields = Fields::new()
                .text("subtype", "refusals")
                .json("count", &json!(counted.count))
                .json("first_ms", &json!(counted.first_ms))
                .json("last_ms", &json!(counted.last_ms))
                .json("list_digest", &Value::from(Digest(counted.list).to_string()))
                .text("source", &bounded(&source));
            // into the chain of its run while that is open, so that the run's evidence is complete
            let run = id::parse(&source)
                .filter(|run| self.control().run(run).is_some_and(|run| run.ended.is_none()));
            let (place, guard) = match run {
                Some(run) => (Place::log(run, 0), Guard::RunOpen),
                None => (Place { run: LOG_LEVEL, ..Place::LOG }, Guard::None),
            };
            let item = self.0.sealer.item(Kind::Observed, place, fields)?;
            self.append(Draft::one(guard, item)).await?;
        }
        Ok(())
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
        let taken = rates.take(Some("run"));
        assert_eq!(taken.first().map(|(_, counted)| counted.count), Some(68));
        assert!(rates.take(None).is_empty());
        assert!(rates.admit("run", "sha256:00", 8, 1_250), "four a second come back");
        assert!(!rates.admit("run", "sha256:00", 8, 1_250));
        assert!(rates.admit("other", "sha256:00", 8, 1_250), "sources do not share");
    }
}

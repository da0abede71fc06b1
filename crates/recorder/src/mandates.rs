//! Mandates: standing authorities, recorded before any root is issued under them (format §6).

use evidence::Kind;
use evidence::label::Grade;
use evidence::span::Span;
use serde_json::json;
use verify::chain::{self, Mandated, Step};

use crate::draft::{Draft, Fields, Guard, Place};
use crate::limits::{MANDATES_MAX, STALE_RETRIES_MAX};
use crate::sequencing::Reply;
use crate::{Peer, Recorder, RecorderError};

/// A mandate that is on record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// Its token digest, by which requests name it.
    pub digest: String,
    /// Index of its entry.
    pub index: u64,
    /// The first second at which it no longer holds.
    pub exp: u64,
}

impl Recorder {
    /// Records a mandate. One that is on record already is answered as it stands.
    pub async fn register_mandate(&self, token: &str, peer: Peer) -> Result<Registered, RecorderError> {
        for _ in 0..STALE_RETRIES_MAX {
            let Mandated { mandate, digest } = self.on_record(self.mandate(token), token, peer).await?;
            if let Some(known) = self.control().mandates.get(&digest) {
                return Ok(Registered { digest, index: known.index, exp: known.exp });
            }
            self.check_room_for_mandate()?;
            let fields = Fields::new()
                .text("token", token)
                .text("digest", &digest)
                .text("evidence_grade", Grade::KeySigned.as_str())
                .json("principal", &json!(mandate.principal))
                .json("exp", &json!(mandate.exp));
            let item = self.0.sealer.item(Kind::Delegated, Place::LOG, fields)?;
            // After a crash before this is durable the mandate is not known, and no root is issued under it.
            let guard = Guard::NewMandate { digest: digest.clone(), key: mandate.key };
            if let Reply::Written(written) = self.append(Draft::one(guard, item)).await? {
                return Ok(Registered { digest, index: written.first, exp: mandate.exp });
            }
        }
        Err(RecorderError::Busy)
    }

    /// A mandate that holds by itself, and is not over.
    fn mandate(&self, token: &str) -> Result<Mandated, RecorderError> {
        let registered = |kid: &str| self.control().key(kid);
        let mandated = chain::mandate(token, &self.anchor(), registered);
        let mandated = mandated.map_err(|failure| RecorderError::request(&failure))?;
        let now_s = self.0.clock.wall_ms() / 1_000;
        if mandated.mandate.exp <= now_s {
            let text = format!(
                "the mandate ended {} ago: sign a new one",
                Span::between(mandated.mandate.exp, now_s)
            );
            return Err(RecorderError::RequestRefused { step: Step::DelegationTime.name(), text });
        }
        Ok(mandated)
    }

    fn check_room_for_mandate(&self) -> Result<(), RecorderError> {
        let now_s = self.0.clock.wall_ms() / 1_000;
        let in_force = self.control().mandates.values().filter(|mandate| mandate.exp > now_s).count();
        if in_force < MANDATES_MAX {
            return Ok(());
        }
        let text =
            format!("the log has its {MANDATES_MAX} mandates in force: name more tools or holders in one");
        Err(RecorderError::Invalid(text))
    }
}

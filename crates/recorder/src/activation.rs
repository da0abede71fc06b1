//! Policy comes into force by a logged event that pins every file of it.

use std::sync::{Arc, PoisonError};

use evidence::{Digest, Kind};
use policy::PolicySet;
use serde_json::{Value, json};

use crate::draft::{Draft, Fields, Guard, Place};
use crate::sequencing::Reply;
use crate::{Active, Peer, Recorder, RecorderError};

impl Recorder {
    /// Brings a policy set into force, unless it is already.
    pub async fn activate(
        &self,
        set: Arc<PolicySet>,
        source: &str,
        peer: Peer,
    ) -> Result<Active, RecorderError> {
        let _turn = self.0.activation.lock().await;
        let previous = self.control().policy.clone();
        let in_force = previous.as_ref().filter(|(digest, _)| *digest == set.digest());
        let index = match in_force {
            Some((_, index)) => *index,
            None => {
                let previous = previous.as_ref().map(|(digest, _)| digest.as_str());
                self.record_activation(&set, source, previous, peer).await?
            }
        };
        let active = Active { set, source: source.to_owned(), index };
        // Decisions made between the entry and this line still name the old set. They are made again: their draft
        // names the log-level position from before the entry.
        *self.0.policy.write().unwrap_or_else(PoisonError::into_inner) = active.clone();
        Ok(active)
    }

    async fn record_activation(
        &self,
        set: &PolicySet,
        source: &str,
        previous: Option<&str>,
        peer: Peer,
    ) -> Result<u64, RecorderError> {
        let fields = activation_fields(set, source, previous)
            .json("by", &json!(identity::peer_principal(&self.names().issuer, peer.uid)));
        let item = self.0.sealer.item(Kind::PolicyActivated, Place::LOG, fields)?;
        match self.append(Draft::one(Guard::None, item)).await? {
            Reply::Written(written) => Ok(written.first),
            _ => Err(RecorderError::LogUnavailable),
        }
    }
}

fn activation_fields(set: &PolicySet, source: &str, previous: Option<&str>) -> Fields {
    let files = set.files().iter().map(|file| {
        json!({"path": file.path, "sha256": Digest::of(file.text.as_bytes()).hex(), "text": file.text})
    });
    Fields::new()
        .text("policy_digest", &set.digest())
        .json("files", &Value::Array(files.collect()))
        .text("source", source)
        .json("engine", &json!(set.engine()))
        .json("previous", &previous.map_or(Value::Null, Value::from))
}

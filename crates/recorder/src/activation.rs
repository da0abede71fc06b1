//! Policy comes into force by a logged event that pins every file of it.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use evidence::{Digest, Kind};
use policy::PolicySet;
use serde_json::{Value, json};

use crate::draft::{Draft, Fields, Guard, Place};
use crate::sequencing::Reply;
use crate::{Active, Peer, Recorder, RecorderError};

/// Compiled sets and where they came from, by digest.
pub(crate) type Policies = BTreeMap<String, (Arc<PolicySet>, String)>;

impl Recorder {
    /// Keeps the set that is coming and the one that is in force, and no other.
    fn keep_policy(&self, set: &Arc<PolicySet>, source: &str, in_force: Option<&str>) {
        let mut policies = self.0.policies.write().unwrap_or_else(PoisonError::into_inner);
        policies.retain(|digest, _| Some(digest.as_str()) == in_force);
        policies.insert(set.digest(), (Arc::clone(set), source.to_owned()));
    }

    /// Brings a policy set into force, unless it is already.
    pub async fn activate(
        &self,
        set: Arc<PolicySet>,
        source: &str,
        peer: Peer,
    ) -> Result<Active, RecorderError> {
        let _turn = self.0.activation.lock().await;
        let previous = self.control().policy.clone();
        // known before its entry is written: the moment the control state names it, decisions find it
        self.keep_policy(&set, source, previous.as_ref().map(|(digest, _)| digest.as_str()));
        let in_force = previous.as_ref().filter(|(digest, _)| *digest == set.digest());
        let index = match in_force {
            Some((_, index)) => *index,
            None => {
                let previous = previous.as_ref().map(|(digest, _)| digest.as_str());
                self.record_activation(&set, source, previous, peer).await?
            }
        };
        Ok(Active { set, source: source.to_owned(), index })
    }

    /// The policy set in force, as the control state says: what is decided now is decided under this one.
    pub fn policy(&self) -> Result<Active, RecorderError> {
        let missing = || RecorderError::Policy("no policy set is in force yet".into());
        let (digest, index) = self.control().policy.clone().ok_or_else(missing)?;
        let policies = self.0.policies.read().unwrap_or_else(PoisonError::into_inner);
        let (set, source) = policies.get(&digest).cloned().ok_or_else(missing)?;
        Ok(Active { set, source, index })
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

//! Withdrawals: artifacts that are not to be relied on any more (format §5, kind 21).

use evidence::artifact::is_uri;
use evidence::label::Assurance;
use evidence::{Digest, Kind};
use serde_json::{Map, Value, json};

use crate::draft::{Draft, Fields, Guard, Place};
use crate::orders::check_why;
use crate::sequencing::Reply;
use crate::{Peer, Recorder, RecorderError};

/// An artifact to be withdrawn: what is named so, what has these bytes, or these bytes under this name.
#[derive(Debug, Clone)]
pub struct Withdraw {
    /// Its name: every version of it.
    pub uri: Option<String>,
    /// Of its bytes: wherever they are.
    pub digest: Option<Digest>,
    /// Why.
    pub why: String,
}

impl Recorder {
    /// Records that an artifact is withdrawn, on the word of the operating system. Gives the index of its entry.
    pub async fn withdraw(&self, withdraw: &Withdraw, peer: Peer) -> Result<u64, RecorderError> {
        check_why(&withdraw.why)?;
        let members = [
            ("uri", withdraw.uri.clone().map(Value::from)),
            ("digest", withdraw.digest.map(|digest| Value::from(digest.to_string()))),
        ];
        let artifact: Map<_, _> =
            members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
        if artifact.is_empty() || !withdraw.uri.as_deref().is_none_or(is_uri) {
            let text = "a withdrawal names an artifact: give its `uri`, the `digest` of its bytes, or both";
            return Err(RecorderError::Invalid(text.to_owned()));
        }
        let by = identity::peer_principal(&self.names().issuer, peer.uid);
        let fields = Fields::new()
            .text("change", "withdrawn")
            .json("artifact", &Value::Object(artifact))
            .text("why", &withdraw.why)
            .json("by", &json!(by))
            .text("assurance", Assurance::Inferred.as_str());
        let item = self.0.sealer.item(Kind::LabelChanged, Place::LOG, fields)?;
        match self.append(Draft::one(Guard::None, item)).await? {
            Reply::Written(written) => Ok(written.first),
            _ => Err(RecorderError::LogUnavailable),
        }
    }
}

//! What is seen in the path of a run and is no act: observations, and times in which nothing could be recorded.

use evidence::Kind;
use evidence::artifact::{List, Role};
use evidence::id::{self, Id};
use serde_json::{Value, json};

use crate::control::{ARTIFACTS, DEFINITIONS};
use crate::draft::{CauseRef, Draft, Fields, Guard, Item, Place};
use crate::outcome::bounded;
use crate::sequencing::Reply;
use crate::{Recorder, RecorderError};

/// Something that was seen and is not an act.
#[derive(Debug, Clone)]
pub struct Observation {
    /// What kind of thing.
    pub subtype: String,
    /// What was seen.
    pub payload: Value,
    /// How often.
    pub count: Option<u64>,
    /// The act it belongs to.
    pub act_id: Option<Id>,
    /// Digest string of the frame.
    pub frame_digest: Option<String>,
    /// It was refused: the rate rule for refusals applies.
    pub refusal: bool,
}

/// A part of a list of artifacts that is too long for its decision or outcome.
#[derive(Debug, Clone)]
pub struct ArtifactsPart {
    /// The act.
    pub act_id: Id,
    /// Before or after.
    pub role: Role,
    /// Number of the part, from 0.
    pub part: u64,
    /// Those of this part.
    pub artifacts: List,
}

/// Subtypes that say what is recorded in another way, or by the log alone.
const RESERVED: [&str; 4] = ["late-outcome", "refusals", DEFINITIONS, ARTIFACTS];

/// A time in which nothing could be recorded.
#[derive(Debug, Clone)]
pub struct Gap {
    /// Why.
    pub reason: String,
    /// From, ms.
    pub from_ms: u64,
    /// To, ms.
    pub to_ms: u64,
    /// How many acts went unrecorded, as far as known.
    pub count: u64,
    /// Digest string over what is known of them.
    pub digest: Option<String>,
    /// More.
    pub detail: Option<String>,
}

impl Recorder {
    /// Records that nothing could be recorded for a while.
    pub async fn record_gap(&self, run: Id, stream: u64, gap: Gap) -> Result<u64, RecorderError> {
        let fields = Fields::new()
            .text("reason", &bounded(&gap.reason))
            .json("from_ms", &json!(gap.from_ms))
            .json("to_ms", &json!(gap.to_ms))
            .json("count", &json!(gap.count))
            .maybe("digest", gap.digest.map(Value::from).as_ref())
            .maybe("detail", gap.detail.as_deref().map(bounded).map(Value::from).as_ref());
        self.append_to_run(Kind::Gap, Place::harness(run, stream), fields, None).await
    }

    /// Records something that was seen in the path and is not an act.
    pub async fn observe(
        &self,
        run: Id,
        stream: u64,
        seen: Observation,
    ) -> Result<Option<u64>, RecorderError> {
        if RESERVED.contains(&seen.subtype.as_str()) {
            let text = format!(
                "the subtype `{}` is the log's own, or has a path of its own: choose another, or use that",
                seen.subtype
            );
            return Err(RecorderError::Invalid(text));
        }
        let digest = seen.frame_digest.clone().unwrap_or_default();
        if seen.refusal && !self.may_record_refusal(&id::text(&run), &digest) {
            return Ok(None);
        }
        let payload = evidence::json::jcs_text(&seen.payload);
        let act_leaf = seen.act_id.and_then(|act| self.last_attempt(&run, &act));
        let fields = Fields::new()
            .text("subtype", &bounded(&seen.subtype))
            .raw("payload", &payload)
            .maybe("count", seen.count.map(Value::from).as_ref())
            .maybe("act_id", seen.act_id.as_ref().map(|act| Value::from(id::text(act))).as_ref())
            .maybe("frame_digest", seen.frame_digest.map(Value::from).as_ref());
        self.append_to_run(Kind::Observed, Place::harness(run, stream), fields, act_leaf).await.map(Some)
    }

    /// Records a part of a list of artifacts, whole: it is what the list is known by. Gives the index of its entry,
    /// which may be there already: whoever lost the answer sends the part again.
    pub async fn artifacts(&self, run: Id, stream: u64, part: ArtifactsPart) -> Result<u64, RecorderError> {
        let act_leaf = self.last_attempt(&run, &part.act_id);
        let payload = json!({"role": part.role.as_str(), "part": part.part,
            "artifacts": part.artifacts.to_json()});
        let fields = Fields::new()
            .text("subtype", ARTIFACTS)
            .json("payload", &payload)
            .text("act_id", &id::text(&part.act_id));
        let item = self.0.sealer.item(Kind::Observed, Place::harness(run, stream), fields)?;
        let item = act_leaf.map(CauseRef::Leaf).into_iter().fold(item, Item::caused_by);
        match self.append(Draft::one(Guard::NewPart, item)).await? {
            Reply::Written(written) => Ok(written.first),
            Reply::There(index) => Ok(index),
            _ => Err(RecorderError::RunEnded(id::text(&run))),
        }
    }

    /// The decision of the last attempt at an act, where it was decided lately: what is seen of an act follows that.
    fn last_attempt(&self, run: &Id, act: &Id) -> Option<[u8; 32]> {
        self.control().run(run)?.answered(&id::text(act)).map(|answered| answered.leaf)
    }

    async fn append_to_run(
        &self,
        kind: Kind,
        place: Place,
        fields: Fields,
        cause: Option<[u8; 32]>,
    ) -> Result<u64, RecorderError> {
        let mut item = self.0.sealer.item(kind, place, fields)?;
        if let Some(leaf) = cause {
            item = item.caused_by(CauseRef::Leaf(leaf));
        }
        match self.append(Draft::one(Guard::RunOpen, item)).await? {
            Reply::Written(written) => Ok(written.first),
            _ => Err(RecorderError::RunEnded(id::text(&place.run))),
        }
    }
}

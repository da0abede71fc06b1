//! How runs end: what is open becomes `unknown`, then the manifest is written.

use evidence::id::{self, Id};
use evidence::{Digest, Kind};
use serde_json::{Value, json};

use crate::control::{Head, Run};
use crate::draft::{Draft, Fields, Guard, Place};
use crate::limits::{OPEN_ACTS_LISTED, STALE_RETRIES_MAX};
use crate::outcome::bounded;
use crate::sequencing::Reply;
use crate::{Recorder, RecorderError};

/// A run, or a writer's part of it, that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Index of the manifest; nothing when other streams of the run go on.
    pub index: Option<u64>,
    /// Acts whose outcome had to be set to unknown.
    pub abandoned: Vec<String>,
}

/// What a `run-ended` entry says (format §5, kind 15).
#[derive(Debug, Clone, Default)]
pub(crate) struct Manifest {
    /// Each stream as it stands before the manifest.
    pub(crate) streams: Vec<(u64, Head)>,
    pub(crate) children: Vec<String>,
    pub(crate) gaps: u64,
    pub(crate) reason: String,
    pub(crate) open_actions: Vec<String>,
}

impl Manifest {
    pub(crate) fn new(reason: &str) -> Self {
        Self { reason: bounded(reason), ..Self::default() }
    }

    pub(crate) fn fields(&self) -> Fields {
        let streams = self.streams.iter().map(
            |(stream, head)| json!({"stream": stream, "count": head.count, "last": Digest(head.last).hex()}),
        );
        Fields::new()
            .json("streams", &Value::Array(streams.collect()))
            .json("children", &json!(self.children))
            .json("gaps", &json!(self.gaps))
            .text("reason", &self.reason)
            .json("open_actions", &listed_acts(&self.open_actions))
    }
}

impl Recorder {
    /// Ends the run of a writer, or the writer's part of it.
    ///
    /// The first stream ends the run: what is still open becomes `unknown`, then the manifest is written. Another
    /// stream just stops; its chain is listed in the manifest.
    pub async fn end_stream(
        &self,
        run: Id,
        stream: u64,
        reason: &str,
        gaps: u64,
    ) -> Result<Ended, RecorderError> {
        self.flush_refusals(Some(&run)).await?;
        let why = format!("the run ended ({}) before an outcome was reported", bounded(reason));
        if stream != 0 {
            let abandoned = self.abandon(run, Some(stream), &why).await?;
            self.forget_lease(run, stream);
            return Ok(Ended { index: None, abandoned });
        }
        let mut abandoned = Vec::new();
        for _ in 0..STALE_RETRIES_MAX {
            abandoned.extend(self.abandon(run, None, &why).await?);
            let manifest = self.manifest(run, reason, gaps, &abandoned)?;
            let streams = manifest.streams.iter().map(|(stream, head)| (*stream, head.count)).collect();
            let item = self.0.sealer.item(Kind::RunEnded, Place::log(run, 0), manifest.fields())?;
            match self.append(Draft::one(Guard::Ends { streams }, item)).await? {
                // only now: an end that failed half-way is finished by the next sweep
                Reply::Written(written) => {
                    self.forget_lease(run, stream);
                    return Ok(Ended { index: Some(written.first), abandoned });
                }
                Reply::Gone => return Err(RecorderError::RunEnded(id::text(&run))),
                _ => {}
            }
        }
        Err(RecorderError::Busy)
    }

    /// The manifest: every stream and child of the run as it stands; the guard holds it to that, since a child is
    /// announced in stream 0.
    fn manifest(
        &self,
        run: Id,
        reason: &str,
        gaps: u64,
        abandoned: &[String],
    ) -> Result<Manifest, RecorderError> {
        let control = self.control();
        let state: &Run = control.run(&run).ok_or_else(|| RecorderError::RunUnknown(id::text(&run)))?;
        Ok(Manifest {
            streams: state.streams.iter().map(|(stream, head)| (*stream, *head)).collect(),
            children: state.children.clone(),
            gaps: state.gaps.max(gaps),
            open_actions: abandoned.to_vec(),
            ..Manifest::new(reason)
        })
    }
}

/// Acts by id; many are counted and digested, because an entry has its limit.
fn listed_acts(acts: &[String]) -> Value {
    let listed = json!(acts);
    if acts.len() <= OPEN_ACTS_LISTED {
        return listed;
    }
    json!({"count": acts.len(), "digest": Digest::of(&evidence::json::jcs(&listed)).to_string()})
}

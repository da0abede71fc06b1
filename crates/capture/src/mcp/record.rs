//! What is refused or dropped without a decision is evidence too: it is recorded as an observation.

use std::sync::Arc;

use serde_json::json;

use super::frame::Frame;
use super::proxy::{Proxy, shown};
use super::reply;
use crate::api::Observe;
use crate::run::gap::Missed;

/// Who sent a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    Server,
}

/// A frame that did not pass.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) from: Side,
    pub(crate) why: String,
    pub(crate) method: Option<String>,
    /// Absent for a frame that was too long to be kept.
    pub(crate) frame_digest: Option<String>,
}

impl Seen {
    pub(crate) fn of(from: Side, why: &str, frame: &Frame) -> Self {
        Self { from, why: why.to_owned(), method: None, frame_digest: Some(frame.digest()) }
    }

    pub(crate) fn method(self, method: &str) -> Self {
        Self { method: Some(shown(method)), ..self }
    }

    fn observation(&self) -> Observe {
        let from = if self.from == Side::Client { "client" } else { "server" };
        Observe {
            stream: 0,
            subtype: "frame".into(),
            payload: json!({"from": from, "method": self.method, "why": self.why}),
            count: None,
            act_id: None,
            frame_digest: self.frame_digest.clone(),
            refusal: true,
        }
    }
}

impl Proxy {
    /// Records a refused frame of the client and answers it. `answer` gets the sentence that says where it is
    /// recorded. When too many are on their way, the client waits: it is the one who sends them.
    pub(super) async fn refuse(
        self: &Arc<Self>,
        seen: Seen,
        answer: impl FnOnce(&str) -> Vec<u8> + Send + 'static,
    ) {
        let Ok(turn) = Arc::clone(&self.observing).acquire_owned().await else { return };
        let proxy = Arc::clone(self);
        self.replies.spawn(async move {
            let recorded = proxy.record(&seen).await;
            drop(turn);
            proxy.send_client(answer(&recorded)).await;
        });
    }

    /// Records a frame; the sentence says where.
    pub(super) async fn record(&self, seen: &Seen) -> String {
        match self.run.observe(seen.observation()).await {
            Ok(index) => reply::recorded_at(index),
            Err(error) => {
                tracing::debug!(%error, "a refused frame could not be recorded");
                self.run.miss(Missed::Frame, seen.frame_digest.as_deref());
                "It could not be recorded now and will be counted in a gap; see `deeds did`.".into()
            }
        }
    }
}

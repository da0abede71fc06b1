//! What all routes share.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use capture::api::EnforcementPoint;
use evidence::id::Id;
use lineage::Index;
use recorder::{Active, Clock, Peer, Recorder, RecorderError};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::limits::{Limits, POINTS_MAX};
use crate::problem::{Code, Problem};

/// Loads a policy directory and brings it into force. Given by the binary: nothing here knows what a policy is.
pub type Activate = Arc<dyn Fn(PathBuf, Peer) -> Activation + Send + Sync>;
/// An activation under way.
pub type Activation = Pin<Box<dyn Future<Output = Result<Active, RecorderError>> + Send>>;

/// The word that everybody waits for who must stop with the server. Clones are one.
#[derive(Debug, Clone, Default)]
pub struct Shutdown(Arc<watch::Sender<bool>>);

impl Shutdown {
    /// Tells everybody. For good.
    pub fn begin(&self) {
        self.0.send_replace(true);
    }

    /// Whether it has begun.
    pub fn has_begun(&self) -> bool {
        *self.0.borrow()
    }

    /// Resolves when it begins, at once where it has.
    pub fn begun(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut told = self.0.subscribe();
        // the sender lives at least as long as the server; without one there is nothing left to wait for
        async move { drop(told.wait_for(|begun| *begun).await) }
    }
}

/// What the server says of itself.
#[derive(Debug, Clone)]
pub struct About {
    /// Version of the program.
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// The checkpoint key as a C2SP vkey.
    pub log_vkey: String,
    /// The policy directory that it was started with, where it was with one.
    pub policy_at_start: Option<String>,
}

/// What a server is made of.
pub struct Parts {
    /// The only thing that appends.
    pub recorder: Recorder,
    /// The index that answers come from.
    pub index: Arc<Index>,
    /// The clock of the log: what "now" means in a question.
    pub clock: Arc<dyn Clock>,
    /// How a policy directory comes into force.
    pub activate: Activate,
    /// What the server says of itself.
    pub about: About,
    /// Its limits.
    pub limits: Limits,
    /// When it stops.
    pub shutdown: Shutdown,
}

/// What all routes share. Clones are one.
#[derive(Clone)]
pub struct AppState(pub(crate) Arc<Shared>);

pub(crate) struct Shared {
    pub(crate) parts: Parts,
    points: Mutex<Points>,
}

impl AppState {
    /// Of these parts.
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(Shared { parts, points: Mutex::default() }))
    }

    pub(crate) fn recorder(&self) -> &Recorder {
        &self.0.parts.recorder
    }

    pub(crate) fn index(&self) -> &Arc<Index> {
        &self.0.parts.index
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.0.parts.limits
    }

    /// Now, ms.
    pub(crate) fn now_ms(&self) -> u64 {
        self.0.parts.clock.wall_ms()
    }

    pub(crate) fn remember_point(&self, run: Id, stream: u64, point: EnforcementPoint) {
        self.0.points.lock().unwrap_or_else(PoisonError::into_inner).put((run, stream), point);
    }

    /// What stands in the path of a stream: as it said when it was opened, where this server was there.
    pub(crate) fn point(&self, run: Id, stream: u64) -> Value {
        let points = self.0.points.lock().unwrap_or_else(PoisonError::into_inner);
        match points.by_stream.get(&(run, stream)) {
            Some(point) => json!({"id": point.id, "version": point.version}),
            None => json!({"unknown": "the server was started after the run was opened"}),
        }
    }
}

/// Enforcement points by stream, the latest ones.
#[derive(Debug, Default)]
struct Points {
    by_stream: BTreeMap<(Id, u64), EnforcementPoint>,
    order: VecDeque<(Id, u64)>,
}

impl Points {
    fn put(&mut self, stream: (Id, u64), point: EnforcementPoint) {
        if self.by_stream.insert(stream, point).is_none() {
            self.order.push_back(stream);
        }
        if self.order.len() > POINTS_MAX {
            self.order.pop_front().and_then(|oldest| self.by_stream.remove(&oldest));
        }
    }
}

/// Runs to its end, whether or not the caller stays to hear of it.
///
/// What the recorder does in several steps must not stop between them because a client hung up.
pub(crate) async fn to_the_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, RecorderError>> + Send + 'static,
) -> Result<T, Problem> {
    match tokio::spawn(work).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(failed()),
    }
}

/// Runs what blocks on a thread of its own.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Err(failed()))
}

fn failed() -> Problem {
    Problem::new(
        Code::Internal,
        "the server failed on this request: see its messages, and report it as a bug",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_enforcement_point_is_forgotten_first() {
        let mut points = Points::default();
        let point = EnforcementPoint { id: "deeds wrap".into(), version: "1".into() };
        let key = |n: usize| ([1; 16], n as u64);
        for n in 0..POINTS_MAX {
            points.put(key(n), point.clone());
            points.put(key(n), point.clone());
        }
        assert!(points.by_stream.contains_key(&key(0)));
        points.put(key(POINTS_MAX), point);
        assert!(!points.by_stream.contains_key(&key(0)) && points.by_stream.contains_key(&key(1)));
        assert_eq!((points.by_stream.len(), points.order.len()), (POINTS_MAX, POINTS_MAX));
    }

    #[tokio::test]
    async fn whoever_waits_for_the_end_hears_of_it_before_and_after() {
        let shutdown = Shutdown::default();
        let waiting = shutdown.begun();
        assert!(!shutdown.has_begun());
        shutdown.begin();
        waiting.await;
        shutdown.begun().await;
        assert!(shutdown.has_begun());
    }
}

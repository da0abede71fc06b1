//! Answers that come line by line: a lease that lasts, and the two lines of an outcome.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use capture::api::{EnqueuedLine, Finished, LeaseLine};
use evidence::id::Id;
use hyper::body::{Body, Bytes, Frame};
use recorder::{Lease, Recorder, RecorderError};
use serde::Serialize;
use tokio::task::JoinHandle;
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::state::AppState;

/// One line of NDJSON.
fn line(of: &impl Serialize) -> Bytes {
    let mut line = serde_json::to_vec(of).unwrap_or_default();
    line.push(b'\n');
    line.into()
}

/// A line at once and one every few seconds, for as long as the connection, the run and the server last.
///
/// It owns the lease: when the connection goes, hyper drops this, and the grace period begins.
pub(crate) struct LeaseBody {
    _lease: Lease,
    recorder: Recorder,
    run: Id,
    lines: Interval,
    shutdown: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl LeaseBody {
    pub(crate) fn new(state: &AppState, lease: Lease, run: Id) -> Self {
        let mut lines = interval(state.limits().lease_line);
        lines.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let shutdown = Box::pin(state.0.parts.shutdown.begun());
        Self { _lease: lease, recorder: state.recorder().clone(), run, lines, shutdown }
    }

    fn run_is_open(&self) -> bool {
        self.recorder.control().run(&self.run).is_some_and(|run| run.ended.is_none())
    }
}

impl Body for LeaseBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        if this.shutdown.as_mut().poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        ready!(this.lines.poll_tick(cx));
        let held = this.run_is_open().then(|| Ok(Frame::data(line(&LeaseLine { lease: "held".into() }))));
        Poll::Ready(held)
    }
}

/// `enqueued` at once, the receipt once the outcome is durable.
pub(crate) struct OutcomeBody {
    stage: Stage,
    durable: JoinHandle<Result<recorder::Finished, RecorderError>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Enqueued,
    Durable,
    Over,
}

impl OutcomeBody {
    pub(crate) fn new(durable: recorder::Durable) -> Self {
        // a task of its own: an outcome that comes late takes two steps to record, and the caller may be gone
        Self { stage: Stage::Enqueued, durable: tokio::spawn(durable.wait()) }
    }
}

impl Body for OutcomeBody {
    type Data = Bytes;
    /// The outcome could not be made durable. The connection breaks off: without its second line an outcome is to be
    /// sent again, and is then answered with what is known of it.
    type Error = RecorderError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RecorderError>>> {
        let this = self.get_mut();
        match this.stage {
            Stage::Enqueued => {
                this.stage = Stage::Durable;
                Poll::Ready(Some(Ok(Frame::data(line(&EnqueuedLine { enqueued: true })))))
            }
            Stage::Durable => {
                let finished = ready!(Pin::new(&mut this.durable).poll(cx));
                this.stage = Stage::Over;
                let finished = finished.unwrap_or(Err(RecorderError::LogUnavailable)).map(|finished| {
                    let receipt = serde_json::to_value(finished.receipt).unwrap_or_default();
                    Frame::data(line(&Finished { index: finished.index, receipt, late: finished.late }))
                });
                Poll::Ready(Some(finished))
            }
            Stage::Over => Poll::Ready(None),
        }
    }
}

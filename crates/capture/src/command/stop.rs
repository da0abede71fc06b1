//! Signals that ask us to end, while something of ours is under way.

use core::future::Future;
use std::sync::Arc;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout;

use crate::files::Watch;
use crate::limits::OUTCOME_WAIT;

/// A signal that asks to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signal {
    /// Its number.
    pub number: i32,
    /// The command got it already, because a terminal sends it to all that run in front.
    pub shared: bool,
}

/// The signals that came, in order.
pub type Signals = UnboundedReceiver<Signal>;

/// A way to tell of signals.
pub fn signals() -> (UnboundedSender<Signal>, Signals) {
    unbounded_channel()
}

pub(crate) struct Stop {
    signals: Signals,
    asked: Option<Signal>,
    watch: Arc<Watch>,
}

impl Stop {
    pub(crate) fn new(signals: Signals, watch: Arc<Watch>) -> Self {
        Self { signals, asked: None, watch }
    }

    /// Number of the first signal that came while no command ran.
    pub(crate) fn asked(&self) -> Option<i32> {
        self.asked.map(|signal| signal.number)
    }

    /// The next signal.
    pub(crate) async fn next(&mut self) -> Option<Signal> {
        self.signals.recv().await
    }

    /// Waits for something that the act does not depend on any more: for a while, and no longer than until a signal
    /// comes. Nothing where that was not long enough.
    pub(crate) async fn patiently<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            done = timeout(OUTCOME_WAIT, work) => done.ok(),
            Some(_) = self.signals.recv() => None,
        }
    }

    /// Waits for work of ours. It is never broken off, because what it has begun at the server must be known to the
    /// end; all of it is bounded. A signal ends looking at files early.
    pub(crate) async fn during<T>(&mut self, work: impl Future<Output = T>) -> T {
        tokio::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                Some(signal) = self.signals.recv() => {
                    self.asked.get_or_insert(signal);
                    self.watch.stop();
                }
            }
        }
    }
}

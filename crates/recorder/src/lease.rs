//! Leases: a run lives while its writer is connected, and for a grace period after it was lost (DESIGN §6).

use std::collections::BTreeMap;
use std::sync::PoisonError;

use evidence::id::{self, Id};

use crate::limits::LEASE_GRACE_MS;
use crate::{Recorder, RecorderError};

/// Leases by run and stream.
#[derive(Debug, Default)]
pub(crate) struct Leases(BTreeMap<(Id, u64), State>);

#[derive(Debug, Clone, Copy)]
enum State {
    /// By this many connections: a reconnect may come before the loss of the old one is seen.
    Held(u32),
    /// Since then (monotonic ms).
    Lost(u64),
}

/// Held while the writer of a stream is connected.
#[derive(Debug)]
pub struct Lease {
    recorder: Recorder,
    of: (Id, u64),
}

impl Drop for Lease {
    fn drop(&mut self) {
        let now = self.recorder.0.clock.monotonic_ms();
        let mut leases = self.recorder.0.leases.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(state) = leases.0.get_mut(&self.of) {
            *state = match *state {
                State::Held(connections) if connections > 1 => State::Held(connections - 1),
                State::Held(_) => State::Lost(now),
                lost @ State::Lost(_) => lost,
            };
        }
    }
}

impl Leases {
    /// Streams that have been without a lease for longer than the grace period.
    fn expired(&self, now: u64) -> Vec<(Id, u64)> {
        let lost_for = |state: &State| match state {
            State::Lost(since) => now.saturating_sub(*since),
            State::Held(_) => 0,
        };
        let expired = |state: &State| lost_for(state) >= LEASE_GRACE_MS;
        self.0.iter().filter(|(_, state)| expired(state)).map(|(of, _)| *of).collect()
    }
}

impl Recorder {
    /// Takes the lease of a stream; it is lost when the value is dropped.
    pub fn lease(&self, run: Id, stream: u64) -> Result<Lease, RecorderError> {
        self.acting(&run, stream)?;
        let mut leases = self.0.leases.lock().unwrap_or_else(PoisonError::into_inner);
        let state = leases.0.entry((run, stream)).or_insert(State::Held(0));
        *state = match *state {
            State::Held(connections) => State::Held(connections + 1),
            State::Lost(_) => State::Held(1),
        };
        Ok(Lease { recorder: self.clone(), of: (run, stream) })
    }

    /// A stream that nobody holds yet: its grace period starts now. For new streams, and for all after a restart.
    pub(crate) fn expect_lease(&self, run: Id, stream: u64) {
        let now = self.0.clock.monotonic_ms();
        let mut leases = self.0.leases.lock().unwrap_or_else(PoisonError::into_inner);
        leases.0.entry((run, stream)).or_insert(State::Lost(now));
    }

    /// The lease of a stream is not needed any more.
    pub(crate) fn forget_lease(&self, run: Id, stream: u64) {
        self.0.leases.lock().unwrap_or_else(PoisonError::into_inner).0.remove(&(run, stream));
    }

    /// Ends what has lost its lease: its open acts become `unknown`, and with its first stream the run ends as lost.
    ///
    /// To be called every second or so. Returns how many streams were ended.
    pub async fn sweep(&self) -> Result<usize, RecorderError> {
        let now = self.0.clock.monotonic_ms();
        let expired = self.0.leases.lock().unwrap_or_else(PoisonError::into_inner).expired(now);
        for (run, stream) in &expired {
            match self.end_stream(*run, *stream, "lost", 0).await {
                Ok(_) => {}
                Err(RecorderError::RunEnded(_) | RecorderError::RunUnknown(_)) => {
                    self.forget_lease(*run, *stream);
                }
                // one run that cannot be ended now must not keep the others
                Err(error) => {
                    tracing::warn!(%error, run = id::text(run), stream, "a lost run could not be ended yet");
                }
            }
        }
        Ok(expired.len())
    }
}

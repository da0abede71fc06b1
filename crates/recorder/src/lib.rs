//! The heart of deeds: identify, authorize, make the decision durable, and only then let the act go.
//!
//! Read [`Recorder::begin`] first: it is one tool call on one screen. Only this crate appends to the log. What a
//! decision needs to know of the past is the [`control`] state, a deterministic fold over the log that is changed on
//! the sequencer thread, so that what a decision consumes and the entry that records it are one atomic step.

#![forbid(unsafe_code)]

mod activation;
mod authorize;
mod chains;
mod children;
pub mod control;
mod decided;
mod definitions;
mod draft;
mod ends;
mod entries;
mod error;
mod genesis;
mod issue;
mod lease;
pub mod limits;
mod mandates;
mod observed;
mod open;
mod orders;
mod outcome;
mod permit;
mod principals;
mod refusals;
mod runs;
mod sequencing;
mod tasks;
mod withdrawals;

use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};

use control::Control;
use draft::{Draft, Sealer};
use evidence::id::Id;
use evidence::jws::Jwk;
use policy::PolicySet;
use sequencing::{Reply, Sequencing, Written};
use store::{Reader, Receipt, Store};
use tokio::sync::{RwLockWriteGuard, oneshot};

pub use authorize::Authorized;
pub use chains::{Kept, Presented, Renewal};
pub use decided::{Batch, Capture, Carrier, Mode, Request};
pub use definitions::{ConfigChanged, Define, Defined};
pub use ends::Ended;
pub use error::{OpenError, RecorderError};
pub use identity::Peer;
pub use issue::Issued;
pub use lease::Lease;
pub use mandates::Registered;
pub use observed::{ArtifactsPart, Gap, Observation};
pub use open::{Keys, Parts, origin_of};
pub use orders::{Halted, Revoke, Revoked};
pub use outcome::{Durable, Finished, Outcome, Progress};
pub use permit::{Answer, Leased, Permit, Reason, Refusal};
pub use principals::Registration;
pub use refusals::Malformed;
pub use runs::{Client, OpenRun, Opened, Server};
pub use withdrawals::Withdraw;

/// The clock of the log. Wall time is recorded; monotonic time shows when wall time was moved.
pub trait Clock: Send + Sync + 'static {
    /// Milliseconds since 1970-01-01T00:00:00Z.
    fn wall_ms(&self) -> u64;
    /// Milliseconds since some fixed moment; never set back.
    fn monotonic_ms(&self) -> u64;
}

/// A source of unpredictable bytes.
pub trait Entropy: Send + Sync + 'static {
    /// Fills the buffer.
    fn fill(&self, buffer: &mut [u8]);
}

/// What this log is called and which keys speak for it.
#[derive(Debug, Clone)]
pub struct Names {
    /// Origin of the log, which is also the name of its checkpoint key.
    pub origin: String,
    /// `iss` of root delegations and audience of requests and proofs.
    pub issuer: String,
    /// The tenant.
    pub tenant: String,
    /// Key that signs root delegations.
    pub issuer_key: Jwk,
    /// Leaf hash of entry 0.
    pub log_id: [u8; 32],
}

/// The policy set in force and the entry that activated it.
#[derive(Debug, Clone)]
pub struct Active {
    /// The compiled set.
    pub set: Arc<PolicySet>,
    /// Where it came from, for people.
    pub source: String,
    /// Index of its `policy-activated` entry.
    pub index: u64,
}

/// Records what agents do. Cheap to clone; all clones are one recorder.
#[derive(Clone)]
pub struct Recorder(Arc<Inner>);

struct Inner {
    names: Names,
    issuer_signer: ed25519_dalek::SigningKey,
    sealer: Sealer,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    /// Written only by the sequencer thread, in `prepare`; everyone else reads.
    control: Arc<RwLock<Control>>,
    /// Compiled policy sets by digest; which one is in force, the control state says.
    policies: RwLock<activation::Policies>,
    store: Store<Sequencing>,
    leases: Mutex<lease::Leases>,
    refusals: Mutex<refusals::Rates>,
    chains: Mutex<chains::Cache>,
    /// Policy sets come into force one at a time, so that the last one recorded is the one that decides.
    activation: tokio::sync::Mutex<()>,
    /// Shared by whoever writes at log level, taken by whoever was overtaken by that too often.
    level: tokio::sync::RwLock<()>,
}

impl Recorder {
    /// Decides one proposed act and makes the decision durable; the act may go only with the [`Permit`] returned.
    ///
    /// The same proof with the same `act_id` again is a retry: it gets the first answer and never a second permit.
    pub async fn begin(&self, request: Request, peer: Peer) -> Result<Answer, RecorderError> {
        for overtaken in 0..limits::STALE_RETRIES_MAX {
            let _undisturbed = self.undisturbed(overtaken).await;
            let (view, authorized) = self.looked(&request, peer)?;
            let decision = self.decide(&view, &request, &authorized)?;
            let refused = !decision.allows() && !self.is_retry(&request, &authorized);
            if refused && !self.may_record_refusal(&request.source(), &request.frame_digest) {
                return Ok(Answer::counted(decision.into_reason()));
            }
            let draft = self.decided_draft(&view, &request, &authorized, &decision)?;
            // Durable once this returns. After a crash before it: nothing is recorded, and nothing was permitted. After
            // a crash behind it: the log shows a decision without outcome, which recovery turns into `unknown`.
            match self.append(draft).await? {
                Reply::Written(written) => return Ok(self.answer(&request, decision, &written)),
                Reply::Repeat(first) => return Ok(self.first_answer(&request, &first)),
                Reply::Replayed(reason) => return self.refuse(&request, reason, peer).await,
                // something was revoked or halted, a policy or a key changed between our look at the state and our
                // turn: look again
                Reply::Stale => {}
                Reply::NoRetry => return Err(request.no_retry()),
                Reply::Late | Reply::Gone | Reply::Full(_) | Reply::There(_) => {
                    return Err(RecorderError::RunEnded(request.run_text()));
                }
            }
        }
        Err(RecorderError::Busy)
    }

    /// Reads the control state.
    pub fn control(&self) -> RwLockReadGuard<'_, Control> {
        self.0.control.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Names and keys of this log.
    pub fn names(&self) -> &Names {
        &self.0.names
    }

    /// Reads the log.
    pub fn reader(&self) -> Reader {
        self.0.store.reader()
    }

    /// Writes a snapshot of the control state, drains the queue, publishes and stops.
    pub fn close(&self) {
        self.0.store.close();
    }

    /// Reads entries of the log and opens them.
    fn entries(&self) -> entries::Opener {
        entries::Opener { reader: self.reader(), kek: Arc::clone(&self.0.sealer.kek) }
    }

    /// Queues a draft and waits until what it wrote is durable.
    async fn append(&self, draft: Draft) -> Result<Reply, RecorderError> {
        let _turn = if draft.is_log_level() { Some(self.0.level.read().await) } else { None };
        self.enqueue(draft)?.await.map_err(|_| RecorderError::LogUnavailable)?
    }

    /// Holds up what is written at log level, once that has overtaken somebody so often: each such entry makes stale
    /// what was looked at before it, and whoever writes many of them must not keep others from acting. Nothing is to be
    /// written at log level while it is held.
    async fn undisturbed(&self, overtaken: usize) -> Option<RwLockWriteGuard<'_, ()>> {
        if overtaken < limits::OVERTAKEN_MAX { None } else { Some(self.0.level.write().await) }
    }

    /// Queues a draft; the receiver resolves once what it wrote is durable.
    fn enqueue(
        &self,
        draft: Draft,
    ) -> Result<oneshot::Receiver<Result<Reply, RecorderError>>, RecorderError> {
        let (done, waiting) = oneshot::channel();
        let promised = draft.is_promised();
        let deliver = move |sequenced: Result<store::Sequenced<Reply>, store::AppendError>| {
            let reply = sequenced
                .map(|sequenced| with_receipts(sequenced.reply, sequenced.receipts))
                .map_err(|error| RecorderError::Log(error.to_string()));
            // nobody waits any more when the caller gave up; the entry stands all the same
            let _ = done.send(reply);
        };
        let queued = if promised {
            self.0.store.append_promised(draft, deliver)
        } else {
            self.0.store.append(draft, deliver)
        };
        queued.map_err(|_| RecorderError::Busy)?;
        Ok(waiting)
    }

    /// A fresh UUIDv7.
    fn new_id(&self) -> Id {
        let mut random = [0; 10];
        self.0.entropy.fill(&mut random);
        evidence::id::uuid_v7(self.0.clock.wall_ms(), &random)
    }
}

/// Hands each written entry its receipt; entries that the sequencer put in front of ours keep theirs to themselves.
fn with_receipts(reply: Reply, receipts: Vec<Receipt>) -> Reply {
    match reply {
        Reply::Written(written) => {
            let receipts = receipts.into_iter().filter(|receipt| receipt.index >= written.first).collect();
            Reply::Written(Written { receipts, ..written })
        }
        other => other,
    }
}

#[cfg(test)]
mod tests;

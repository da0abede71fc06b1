//! The append-only store: sequencer, journal, tiles, bodies, keys. Entries are opaque bytes.
//!
//! ```text
//! append ─▶ queue ─▶ sequencer: prepare ─▶ journal, one fdatasync ─▶ signed receipts
//!                                             │
//!                    publisher: read back, re-hash ─▶ tiles, bundles, bodies, keys ─▶ head ─▶ checkpoint
//! ```
//!
//! *Sequenced* entries are durable and have receipts; *published* ones are under a checkpoint. A reader
//! sees both alike. Start-up is recovery: [`Store::open`] brings a directory that a crash left behind to
//! the same state as one that was closed. What cannot be explained by a crash is refused.
//!
//! On disk, below the directory of the log:
//!
//! ```text
//! journal/<first index>.seg    frames of batches; dropped once everything in them is published
//! head                         the size and root that are committed to
//! log/{checkpoint,tile/…}      static files anyone may mirror (C2SP tlog-tiles)
//! checkpoints/<size>           every checkpoint
//! bodies/…                     sealed bodies, 256 a bundle
//! keys                         wrapped entry keys, the only table that changes
//! ```
//!
//! The store has no clock and no randomness of its own.

mod abort;
mod bodies;
mod bytes;
mod config;
mod error;
mod files;
mod head;
mod journal;
mod keys;
pub mod limits;
mod lock;
mod publish;
mod queue;
mod reader;
mod receipt;
mod recovery;
mod scan;
mod sequencer;
mod shared;
mod tiles;

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

pub use config::Config;
pub use error::{AppendError, Damage, FileError, OpenError, QueueFull, ReadError};
pub use journal::Random;
pub use keys::KeySlot;
pub use limits::WRAPPED_KEY_LEN;
pub use reader::Reader;
pub use receipt::{Receipt, ReceiptError};
pub use recovery::{Aside, Recovered};

use abort::fatal;
use ed25519_dalek::SigningKey;
use lock::Lock;
use queue::{Queue, Refused};
use recovery::Parts;
use sequencer::{Job, Sequencer};
use shared::Shared;

/// An entry to append. The store looks into none of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEntry {
    /// The bytes that the log commits to, at most [`limits::MAX_ENTRY_BYTES`].
    pub entry: Vec<u8>,
    /// The sealed body, at most [`limits::MAX_BODY_BYTES`]; empty when there is none.
    pub body: Vec<u8>,
    /// The wrapped key of the body.
    pub key: Option<[u8; WRAPPED_KEY_LEN]>,
}

/// Makes entries of drafts, in the order of the log. Owned by the sequencer thread; a panic in it ends
/// the process, because the caller's state would no longer match the log.
pub trait Prepare: Send + 'static {
    /// What callers queue.
    type Draft: Send + 'static;
    /// What they get back.
    type Reply: Send + 'static;

    /// Fills what only sequencing knows and updates the caller's own state. `next` is the index that the
    /// first pushed entry gets. May push none or several, within [`limits::MAX_DRAFT_ENTRIES`] and
    /// [`limits::MAX_DRAFT_BYTES`] (more ends the process), and leaves what is in `out` as it is. The
    /// reply is delivered only once everything pushed so far is durable.
    fn prepare(&mut self, draft: Self::Draft, next: u64, out: &mut Vec<NewEntry>) -> Self::Reply;

    /// Called after a batch is durable and answered; `size` is the size of the log then.
    fn durable(&mut self, size: u64) {
        let _ = size;
    }
}

/// What became of a draft.
#[derive(Clone, Debug)]
pub struct Sequenced<R> {
    /// The reply of [`Prepare::prepare`].
    pub reply: R,
    /// Index of its first entry; with none, the index the next entry of the log gets.
    pub first: u64,
    /// Number of its entries.
    pub count: u32,
    /// A receipt for each of its entries, in order.
    pub receipts: Vec<Receipt>,
}

/// A recovered log that nobody appends to yet. Holds the lock of the data directory.
pub struct Opening {
    parts: Parts,
}

/// A log that is being written. One for each data directory, whoever tries.
pub struct Store<P: Prepare> {
    shared: Arc<Shared>,
    queue: Arc<Queue<Job<P>>>,
    running: Mutex<Option<Running>>,
    signer: SigningKey,
}

/// The threads of a store, and the lock that they need.
struct Running {
    sequencer: JoinHandle<()>,
    publisher: JoinHandle<()>,
    lock: Lock,
}

/// The type of [`Store::open`] before it is known who prepares; there is no value of it.
#[derive(Debug)]
pub enum NotStarted {}

impl Prepare for NotStarted {
    type Draft = NotStarted;
    type Reply = NotStarted;

    fn prepare(&mut self, draft: NotStarted, _: u64, _: &mut Vec<NewEntry>) -> NotStarted {
        draft
    }
}

impl Store<NotStarted> {
    /// Takes the lock, recovers what a crash left behind, and refuses what no crash explains: damage, a
    /// rolled-back copy, the directory of another log.
    pub fn open(config: Config) -> Result<Opening, OpenError> {
        Ok(Opening { parts: recovery::recover(config)? })
    }
}

impl Opening {
    /// Durable entries in the log.
    pub fn size(&self) -> u64 {
        self.reader().size()
    }

    /// Reads the log, for a caller that rebuilds its own state before it goes on.
    pub fn reader(&self) -> Reader {
        Reader::new(self.parts.shared.clone())
    }

    /// What recovery found and did.
    pub fn recovered(&self) -> &Recovered {
        &self.parts.recovered
    }

    /// Starts the sequencer and the publisher.
    pub fn start<P: Prepare>(self, prepare: P) -> Store<P> {
        let Parts { lock, shared, journal, range, publisher, signer, publish_entries, queue_entries, .. } =
            self.parts;
        let queue = Arc::new(Queue::new(queue_entries));
        let sequencer = Sequencer {
            prepare,
            queue: queue.clone(),
            journal,
            range,
            shared: shared.clone(),
            signer: signer.clone(),
            publish_entries,
        };
        let running = Running {
            sequencer: spawn("store-sequencer", || sequencer.run()),
            publisher: spawn("store-publisher", || publisher.run()),
            lock,
        };
        Store { shared, queue, running: Mutex::new(Some(running)), signer }
    }
}

impl<P: Prepare> Store<P> {
    /// Queues a draft. `done` runs on the sequencer thread once the draft's entries are durable, so it
    /// hands the result over and returns; it does not run when the queue is full.
    pub fn append(
        &self,
        draft: P::Draft,
        done: impl FnOnce(Result<Sequenced<P::Reply>, AppendError>) + Send + 'static,
    ) -> Result<(), QueueFull> {
        self.queued(self.queue.push(Job { draft, done: Box::new(done) }))
    }

    /// The same for a draft whose room was promised when an earlier one was accepted (the outcome of a
    /// permitted act): it is taken in however full the queue is. The caller bounds how many it promises.
    pub fn append_promised(
        &self,
        draft: P::Draft,
        done: impl FnOnce(Result<Sequenced<P::Reply>, AppendError>) + Send + 'static,
    ) -> Result<(), QueueFull> {
        self.queued(self.queue.push_promised(Job { draft, done: Box::new(done) }))
    }

    fn queued(&self, pushed: Result<(), Refused<Job<P>>>) -> Result<(), QueueFull> {
        match pushed {
            Ok(()) => Ok(()),
            Err(Refused::Full(_)) => Err(QueueFull { waiting: self.queue.capacity() }),
            Err(Refused::Closed(job)) => {
                (job.done)(Err(AppendError::Closed));
                Ok(())
            }
        }
    }

    /// A receipt for an entry that is durable, for somebody who lost the first one. Until the entry is
    /// published it is the very same receipt, later one for a batch of this entry alone.
    pub fn receipt(&self, index: u64) -> Result<Receipt, ReadError> {
        self.reader().receipt(index, &self.signer)
    }

    /// Reads the log while it grows.
    pub fn reader(&self) -> Reader {
        Reader::new(self.shared.clone())
    }

    /// Asks for a checkpoint of what is durable now, unless the newest one has `size_at_least` entries
    /// already. Does not wait.
    pub fn publish(&self, size_at_least: u64) {
        self.shared.request(size_at_least);
    }

    /// Takes no more drafts, finishes those that are queued, publishes, and lets go of the lock. Later
    /// appends get [`AppendError::Closed`]; readers go on reading. Not to be called from `done` or
    /// [`Prepare`]: it waits for the thread that they run on.
    pub fn close(&self) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Running { sequencer, publisher, lock }) = running else { return };
        self.queue.close();
        // a panic in either thread has ended the process
        let _ = sequencer.join();
        self.shared.close();
        let _ = publisher.join();
        self.shared.stop();
        drop(lock);
    }
}

impl<P: Prepare> Drop for Store<P> {
    fn drop(&mut self) {
        self.close();
    }
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(body)
        .unwrap_or_else(|error| fatal(format_args!("cannot start the thread `{name}`: {error}")))
}

/// The key that checkpoints are verified with, as a C2SP vkey; `None` where `origin` cannot name a key.
pub fn log_vkey(origin: &str, key: &ed25519_dalek::VerifyingKey) -> Option<String> {
    tlog::note::VerifierKey::ed25519(origin, *key).ok().map(|key| key.to_string())
}

#[cfg(test)]
mod tests;

//! The sequencer: one thread that gives every entry its index and makes it durable.

use std::sync::Arc;

use ed25519_dalek::SigningKey;
use tlog::leaf_hash;
use tlog::range::CompactRange;

use crate::abort::{AbortOnPanic, fatal};
use crate::bytes::to_u64;
use crate::error::AppendError;
use crate::journal::Journal;
use crate::limits::{
    BATCH_BYTES, BATCH_ENTRIES, MAX_BODY_BYTES, MAX_DRAFT_BYTES, MAX_DRAFT_ENTRIES, MAX_ENTRY_BYTES,
};
use crate::queue::Queue;
use crate::receipt::{self, Receipt};
use crate::shared::Shared;
use crate::{NewEntry, Prepare, Sequenced};

/// What a caller wants to hear back.
pub(crate) type Done<R> = Box<dyn FnOnce(Result<Sequenced<R>, AppendError>) + Send>;

/// A draft in the queue.
pub(crate) struct Job<P: Prepare> {
    pub(crate) draft: P::Draft,
    pub(crate) done: Done<P::Reply>,
}

/// Owned by its thread.
pub(crate) struct Sequencer<P: Prepare> {
    pub(crate) prepare: P,
    pub(crate) queue: Arc<Queue<Job<P>>>,
    pub(crate) journal: Journal,
    /// The tree after the last durable entry.
    pub(crate) range: CompactRange,
    pub(crate) shared: Arc<Shared>,
    pub(crate) signer: SigningKey,
    /// When to wake the publisher.
    pub(crate) publish_entries: u64,
}

/// Drafts that were prepared together and become durable together.
struct Batch<R> {
    entries: Vec<NewEntry>,
    bytes: usize,
    answers: Vec<Answer<R>>,
}

/// What one draft came to, kept back until its batch is durable.
struct Answer<R> {
    reply: R,
    first: u64,
    count: usize,
    done: Done<R>,
}

impl<P: Prepare> Sequencer<P> {
    /// Runs until the queue is closed and empty.
    pub(crate) fn run(mut self) {
        let _guard = AbortOnPanic("sequencer");
        loop {
            // room for the next batch is made while nobody waits
            self.reserve();
            let Some(waiting) = self.queue.wait() else { break };
            // asked again: space may have been freed since
            if self.reserve() { self.sequence(waiting) } else { self.refuse(waiting) }
        }
        self.journal.close();
    }

    /// One batch: prepare, write, sync, sign, answer. The batch is what was queued while the one before
    /// was synced; nothing waits for a timer.
    fn sequence(&mut self, waiting: usize) {
        // A crash before the sync: the callers' state, the entries and the replies are gone together.
        let batch = self.prepare_batch(waiting);
        if batch.entries.is_empty() {
            // nothing to make durable, and everything before is
            return deliver(batch.answers, Vec::new());
        }
        let leaves: Vec<_> = batch.entries.iter().map(|entry| leaf_hash(&entry.entry)).collect();
        let first = self.range.size();
        for leaf in &leaves {
            self.range.push(*leaf);
        }
        let root = self.range.root();

        let appended = self.journal.append(first, root, &batch.entries).unwrap_or_else(|error| fatal(error));
        // A crash from here on: the entries are in the log, but nobody has a receipt for them.
        let log_id = *self.shared.log_id.get_or_init(|| leaves.first().copied().unwrap_or(root));
        self.shared.sequenced(appended.frame, appended.begun, self.publish_entries);

        deliver(batch.answers, receipt::issue(log_id, first, &leaves, root, &self.signer));
        self.prepare.durable(self.range.size());
    }

    fn prepare_batch(&mut self, waiting: usize) -> Batch<P::Reply> {
        let mut batch = Batch { entries: Vec::new(), bytes: 0, answers: Vec::new() };
        for _ in 0..waiting {
            if batch.entries.len() >= BATCH_ENTRIES || batch.bytes >= BATCH_BYTES {
                break;
            }
            let Some(job) = self.queue.pop() else { break };
            // ends the process before any callback is dropped: nobody hears of a failure that may not be one
            let _guard = AbortOnPanic("sequencer");
            let before = batch.entries.len();
            let first = self.range.size() + to_u64(before);
            let reply = self.prepare.prepare(job.draft, first, &mut batch.entries);
            let pushed = batch.entries.get(before..).unwrap_or_default();
            // the caller's state already counts on these entries: they can no longer be refused
            batch.bytes += check_limits(pushed).unwrap_or_else(|problem| fatal(problem));
            batch.answers.push(Answer { reply, first, count: pushed.len(), done: job.done });
        }
        batch
    }

    /// Whether the next batch has room on the disk.
    fn reserve(&mut self) -> bool {
        self.journal.reserve().unwrap_or_else(|error| fatal(error))
    }

    fn refuse(&self, waiting: usize) {
        for job in (0..waiting).map_while(|_| self.queue.pop()) {
            (job.done)(Err(AppendError::NoSpace { journal: self.journal.directory.clone() }));
        }
    }
}

/// Bytes that a draft pushed, or why that is more than a draft may push.
fn check_limits(pushed: &[NewEntry]) -> Result<usize, String> {
    if pushed.len() > MAX_DRAFT_ENTRIES {
        return Err(format!("one draft became {} entries, the most is {MAX_DRAFT_ENTRIES}", pushed.len()));
    }
    let mut bytes = 0;
    for NewEntry { entry, body, key } in pushed {
        if entry.len() > MAX_ENTRY_BYTES || body.len() > MAX_BODY_BYTES {
            return Err(format!(
                "an entry of {} bytes with a body of {}; the most is {MAX_ENTRY_BYTES} and {MAX_BODY_BYTES}",
                entry.len(),
                body.len()
            ));
        }
        bytes += entry.len() + body.len() + key.map_or(0, |key| key.len());
    }
    if bytes > MAX_DRAFT_BYTES {
        return Err(format!("one draft became {bytes} bytes, the most is {MAX_DRAFT_BYTES}"));
    }
    Ok(bytes)
}

/// Hands each draft its reply and the receipts of its entries.
fn deliver<R>(answers: Vec<Answer<R>>, receipts: Vec<Receipt>) {
    let mut receipts = receipts.into_iter();
    for Answer { reply, first, count, done } in answers {
        let receipts = receipts.by_ref().take(count).collect();
        // a draft is limited to 4,096 entries
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        done(Ok(Sequenced { reply, first, count, receipts }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(entry: usize, body: usize) -> NewEntry {
        NewEntry { entry: vec![0; entry], body: vec![0; body], key: None }
    }

    #[test]
    fn the_limits_of_a_draft_hold_at_the_boundary_and_one_past_it() {
        assert_eq!(check_limits(&vec![entry(1, 0); MAX_DRAFT_ENTRIES]), Ok(MAX_DRAFT_ENTRIES));
        assert!(check_limits(&vec![entry(1, 0); MAX_DRAFT_ENTRIES + 1]).is_err());
        assert_eq!(
            check_limits(&[entry(MAX_ENTRY_BYTES, MAX_BODY_BYTES)]),
            Ok(MAX_ENTRY_BYTES + MAX_BODY_BYTES)
        );
        assert!(check_limits(&[entry(MAX_ENTRY_BYTES + 1, 0)]).is_err());
        assert!(check_limits(&[entry(0, MAX_BODY_BYTES + 1)]).is_err());
        assert_eq!(check_limits(&vec![entry(0, 1 << 20); 8]), Ok(MAX_DRAFT_BYTES));
        assert!(check_limits(&[vec![entry(0, 1 << 20); 8], vec![entry(1, 0)]].concat()).is_err());
    }

    #[test]
    fn the_largest_batch_fits_a_frame() {
        use crate::journal::frame::encoded_length;
        let lengths = encoded_length(&vec![entry(0, 0); BATCH_ENTRIES - 1 + MAX_DRAFT_ENTRIES]);
        assert!(BATCH_BYTES - 1 + MAX_DRAFT_BYTES + lengths <= crate::limits::MAX_FRAME_BYTES);
    }
}

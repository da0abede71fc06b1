//! What a store is told when it is opened.

use std::path::PathBuf;
use std::time::Duration;

use ed25519_dalek::SigningKey;
use tlog::checkpoint::Checkpoint;
use tlog::note::VerifierKey;

use crate::error::OpenError;
use crate::journal::Random;
use crate::limits::{MAX_SEGMENT_BYTES, MIN_SEGMENT_BYTES};

/// Configuration of one log.
pub struct Config {
    /// Directory of the log: `<data>/local`.
    pub dir: PathBuf,
    /// Directory of the file `LOCK`: `<data>`.
    pub lock_dir: PathBuf,
    /// Name of the log and of its key, in checkpoints.
    pub origin: String,
    /// The log key: signs receipts and checkpoints.
    pub signer: SigningKey,
    /// Fills a slice with random bytes; for the ids of journal segments.
    pub random: Random,
    /// Bytes reserved for a journal segment. Below [`crate::limits::MAX_FRAME_BYTES`] a full disk may end
    /// the process where it would otherwise refuse an append.
    pub segment_bytes: u64,
    /// Entries after which a checkpoint is published.
    pub publish_entries: u64,
    /// Time after which what there is is published, when nobody waits for it.
    pub publish_interval: Duration,
    /// Appends that may wait for the sequencer.
    pub queue_entries: usize,
}

impl Config {
    /// The usual sizes and times: segments of 64 MiB, a checkpoint at 256 entries or after 10 s, 16,384
    /// waiting appends.
    pub fn new(dir: PathBuf, lock_dir: PathBuf, origin: String, signer: SigningKey, random: Random) -> Self {
        Self {
            dir,
            lock_dir,
            origin,
            signer,
            random,
            segment_bytes: 64 << 20,
            publish_entries: 256,
            publish_interval: Duration::from_secs(10),
            queue_entries: 16_384,
        }
    }

    /// Refuses what cannot work, before anything is touched. Gives the key that checkpoints are
    /// verified with.
    pub(crate) fn check(&self) -> Result<VerifierKey, OpenError> {
        let wrong = |problem: String| Err(OpenError::Config(problem));
        if !(MIN_SEGMENT_BYTES..=MAX_SEGMENT_BYTES).contains(&self.segment_bytes) {
            return wrong(format!(
                "a segment of {} bytes; choose {MIN_SEGMENT_BYTES} to {MAX_SEGMENT_BYTES}",
                self.segment_bytes
            ));
        }
        if self.publish_entries == 0 || self.publish_interval.is_zero() || self.queue_entries == 0 {
            return wrong(
                "publish_entries, publish_interval and queue_entries must be above zero".to_owned(),
            );
        }
        if let Err(error) = Checkpoint::new(&self.origin, 0, tlog::empty_root()) {
            return wrong(error.to_string());
        }
        VerifierKey::ed25519(&self.origin, self.signer.verifying_key())
            .or_else(|error| wrong(error.to_string()))
    }
}

//! What goes on beside the answers: the index follows the log, lost leases are swept up, and client configurations are
//! looked at.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use lineage::Index;
use lineage::limits::BATCH_ENTRIES;
use recorder::Recorder;
use tokio::task::AbortHandle;
use tokio::time::{MissedTickBehavior, interval};

use super::watch::watch;
use crate::config::Config;

/// How often lost leases are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// After how many sweeps refusals that were only counted are recorded.
const FLUSH_EVERY: u64 = 10;
/// Longest sleep of the fold, and its pause after an error.
const FOLD_PAUSE: Duration = Duration::from_secs(1);
/// How long entries gather before they are folded. A transaction for each entry would take a third as much processor
/// time as the acts themselves; an answer that waits for the index waits this much longer.
const GATHER: Duration = Duration::from_millis(10);

/// The work that is under way.
pub(crate) struct Background {
    stopping: Arc<AtomicBool>,
    sweeper: AbortHandle,
    watcher: AbortHandle,
}

impl Background {
    /// Stops it. A fold under way ends with its transaction, or with the process: either leaves the index whole.
    pub(crate) fn stop(self) {
        self.stopping.store(true, Ordering::Relaxed);
        self.sweeper.abort();
        self.watcher.abort();
    }
}

/// Starts it.
pub(crate) fn start(config: &Config, recorder: &Recorder, index: &Arc<Index>) -> anyhow::Result<Background> {
    let stopping = Arc::new(AtomicBool::new(false));
    let (told, folded) = (Arc::clone(&stopping), Arc::clone(index));
    std::thread::Builder::new()
        .name("fold".to_owned())
        .spawn(move || fold(&folded, &told))
        .context("cannot start the thread that folds the index")?;
    let sweeper = tokio::spawn(sweep(recorder.clone())).abort_handle();
    let watcher = tokio::spawn(watch(recorder.clone(), config.clone())).abort_handle();
    Ok(Background { stopping, sweeper, watcher })
}

fn fold(index: &Index, stopping: &AtomicBool) {
    let reader = index.reader();
    while !stopping.load(Ordering::Relaxed) {
        if reader.wait_size_above(index.applied(), FOLD_PAUSE) <= index.applied() {
            continue;
        }
        // nothing is ever above this: it is a pause that the end of the log cuts short
        reader.wait_size_above(u64::MAX, GATHER);
        if let Err(error) = index.fold(BATCH_ENTRIES) {
            tracing::error!(%error, "the index does not follow the log; answers stay behind");
            reader.wait_size_above(u64::MAX, FOLD_PAUSE);
        }
    }
}

async fn sweep(recorder: Recorder) {
    let mut ticks = interval(SWEEP_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for count in 1_u64.. {
        ticks.tick().await;
        match recorder.sweep().await {
            Ok(0) => {}
            Ok(ended) => tracing::info!(ended, "streams without a lease were ended"),
            Err(error) => tracing::warn!(%error, "lost leases could not be swept up yet"),
        }
        if count.is_multiple_of(FLUSH_EVERY)
            && let Err(error) = recorder.flush_refusals(None).await
        {
            tracing::warn!(%error, "counted refusals could not be recorded yet");
        }
    }
}

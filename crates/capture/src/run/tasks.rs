//! Background tasks that can be waited for together. Dropping the set ends what still runs.

use core::future::{Future, poll_fn};
use core::task::Poll;
use core::time::Duration;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::task::JoinSet;
use tokio::time::timeout;

/// A set of running tasks.
#[derive(Debug, Default)]
pub(crate) struct Tasks(Mutex<JoinSet<()>>);

impl Tasks {
    /// Starts a task, and forgets those that have ended.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut set = self.lock();
        while set.try_join_next().is_some() {}
        set.spawn(task);
    }

    /// Waits until all tasks, also those started meanwhile, have ended; false if that takes longer than `limit`.
    pub(crate) async fn settle(&self, limit: Duration) -> bool {
        let all = poll_fn(|context| {
            let mut set = self.lock();
            loop {
                match set.poll_join_next(context) {
                    Poll::Ready(Some(_)) => {}
                    Poll::Ready(None) => return Poll::Ready(()),
                    Poll::Pending => return Poll::Pending,
                }
            }
        });
        timeout(limit, all).await.is_ok()
    }

    /// Ends what still runs.
    pub(crate) fn abort(&self) {
        self.lock().abort_all();
    }

    fn lock(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

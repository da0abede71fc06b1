//! Outcomes on their way to the log: each is kept until its receipt is there, and sent again with the same id.

use tokio::sync::oneshot;

use super::gap::Missed;
use super::keeper::wait;
use super::{Held, Run};
use crate::api::Finish;
use crate::client::ClientError;
use crate::limits::RETRY_FIRST;

/// Resolves once the outcome is enqueued: only then may the caller see the result.
pub(crate) type Enqueued = oneshot::Receiver<Result<(), ClientError>>;

impl Held {
    /// Sends an outcome, in the background, for as long as it takes.
    pub(crate) fn deliver(&self, act_id: String, finish: Finish) -> Enqueued {
        let (tell, enqueued) = oneshot::channel();
        let held = self.clone();
        self.run.deliveries.spawn(async move { held.run.carry(&act_id, &finish, tell).await });
        enqueued
    }
}

impl Run {
    async fn carry(&self, act_id: &str, finish: &Finish, tell: oneshot::Sender<Result<(), ClientError>>) {
        let mut tell = Some(tell);
        // nobody listens any more when the caller is gone; the outcome is carried on all the same
        let mut tell_once = |result| {
            if let Some(tell) = tell.take() {
                let _ = tell.send(result);
            }
        };
        let mut pause = RETRY_FIRST;
        loop {
            let client = self.server().await;
            // The server may be killed between any two lines here. Until the receipt has come nothing is
            // certain, and sending the same event id again gives the same receipt.
            let error = match client.finish(&self.id, act_id, finish).await {
                Ok(enqueued) => {
                    tell_once(Ok(()));
                    match enqueued.durable().await {
                        Ok(finished) => return self.keep_receipt(&finished.receipt),
                        Err(error) => error,
                    }
                }
                Err(error) => error,
            };
            if !error.is_transient() {
                tracing::error!(%error, act_id, "an outcome was not taken");
                self.miss(Missed::Outcome, finish.frame_digest.as_deref());
                return tell_once(Err(error));
            }
            tracing::debug!(%error, act_id, "an outcome is sent again");
            pause = wait(pause).await;
        }
    }
}

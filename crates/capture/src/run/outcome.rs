//! Outcomes on their way to the log: each is kept until its receipt is there, and sent again with the same id.

use tokio::sync::oneshot;

use super::gap::Missed;
use super::keeper::wait;
use super::{Held, Run};
use crate::api::{Finish, Finished};
use crate::client::ClientError;
use crate::limits::RETRY_FIRST;

/// Resolves once the outcome is enqueued: only then may the caller see the result.
pub(crate) type Enqueued = oneshot::Receiver<Result<(), ClientError>>;
/// Resolves once the outcome is durable; to an error where it never will be.
pub(crate) type Durable = oneshot::Receiver<Finished>;

impl Held {
    /// Sends an outcome, in the background, for as long as it takes.
    pub(crate) fn deliver(&self, act_id: String, finish: Finish) -> Enqueued {
        self.deliver_to_end(act_id, finish).0
    }

    /// The same, for a caller that also wants to know where the outcome stands in the log.
    pub(crate) fn deliver_to_end(&self, act_id: String, finish: Finish) -> (Enqueued, Durable) {
        let ((tell, enqueued), (done, durable)) = (oneshot::channel(), oneshot::channel());
        let held = self.clone();
        self.run.deliveries.spawn(async move {
            if let Some(finished) = held.run.carry(&act_id, &finish, tell).await {
                // nobody may be listening
                let _ = done.send(finished);
            }
        });
        (enqueued, durable)
    }
}

impl Run {
    async fn carry(
        &self,
        act_id: &str,
        finish: &Finish,
        tell: oneshot::Sender<Result<(), ClientError>>,
    ) -> Option<Finished> {
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
                        Ok(finished) => {
                            self.keep_receipt(&finished.receipt);
                            return Some(finished);
                        }
                        Err(error) => error,
                    }
                }
                Err(error) => error,
            };
            if !error.is_transient() {
                tracing::error!(%error, act_id, "an outcome was not taken");
                self.miss(Missed::Outcome, finish.frame_digest.as_deref());
                tell_once(Err(error));
                return None;
            }
            tracing::debug!(%error, act_id, "an outcome is sent again");
            pause = wait(pause).await;
        }
    }
}

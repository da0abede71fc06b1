//! Keeping the lease of a run: taking it again whenever it was lost, until the server says that the run is over.

use core::time::Duration;
use std::sync::Arc;

use tokio::time::sleep;

use super::Run;
use crate::client::{Client, ClientError, Lease};
use crate::limits::{RETRY_FIRST, RETRY_MAX};

/// The way to the server at this moment.
#[derive(Debug, Clone)]
pub(crate) enum Link {
    /// The lease is held.
    Up(Client),
    /// It is not, and this is why; the keeper tries to get it back.
    Down(ClientError),
    /// The server says that the run is over. It still takes late outcomes.
    Ended(Client, ClientError),
}

/// Holds the lease for as long as the run is open, and takes it again whenever it was lost.
pub(crate) async fn keep(run: Arc<Run>, mut lease: Lease) {
    loop {
        let lost = loop {
            if let Err(error) = lease.held().await {
                break error;
            }
        };
        tracing::warn!(error = %lost, "the lease of the run is lost; calls are refused until it is back");
        run.link_is(Link::Down(run.unreachable(&lost.without_doubt())));
        match reconnect(&run).await {
            (client, Ok(again)) => {
                lease = again;
                run.is_reached();
                run.link_is(Link::Up(client));
                run.report_gap_soon();
            }
            (client, Err(over)) => {
                tracing::warn!(error = %over, "the run is over; every further call is refused");
                run.link_is(Link::Ended(client, over));
                return;
            }
        }
    }
}

/// Takes the lease again, trying until the server is there; an error when the run is over.
async fn reconnect(run: &Run) -> (Client, Result<Lease, ClientError>) {
    let mut pause = RETRY_FIRST;
    let mut told = String::new();
    loop {
        let why = match retake(run).await {
            Ok((_, Err(error))) if !is_over(&error) => error.without_doubt(),
            Ok(settled) => return settled,
            Err(why) => why,
        };
        // whoever is refused from now on hears what keeps the server away, and not only that it went
        if why != told {
            let away = run.unreachable(&why);
            tracing::warn!(error = %away, "the lease could not be taken again yet");
            run.link_is(Link::Down(away));
            told = why;
        }
        pause = wait(pause).await;
    }
}

async fn retake(run: &Run) -> Result<(Client, Result<Lease, ClientError>), String> {
    let socket = run.setting.server().await?;
    let client = Client::connect(socket).await.map_err(|error| error.without_doubt())?;
    let lease = client.lease(&run.id, run.stream).await;
    Ok((client, lease))
}

/// Sleeps, and says how long to sleep the next time.
pub(crate) async fn wait(pause: Duration) -> Duration {
    sleep(pause).await;
    (pause * 2).min(RETRY_MAX)
}

fn is_over(error: &ClientError) -> bool {
    matches!(error.code(), Some("run-unknown" | "run-ended"))
}

//! Frames that are dropped faster than it makes sense to record them one by one: counted, and told together from time
//! to time. However much a server or client sends, what it costs the log is bounded.

use std::sync::{Arc, Mutex};

use evidence::Digest;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;

use super::proxy::{Proxy, lock};
use super::record::{Seen, Side};
use crate::api::Observe;
use crate::limits::{CROWD_PAUSE, DROPPING_MAX, DROPPING_PAUSE};
use crate::run::gap::Missed;
use crate::run::tasks::Tasks;

/// What is dropped, and whose turn it is to be recorded by itself.
pub(crate) struct Crowd {
    turns: Arc<Semaphore>,
    counted: Mutex<Counted>,
    /// Pauses, after which a turn is given back or what was counted is told.
    pausing: Tasks,
}

impl Default for Crowd {
    fn default() -> Self {
        Self {
            turns: Arc::new(Semaphore::new(DROPPING_MAX)),
            counted: Mutex::default(),
            pausing: Tasks::default(),
        }
    }
}

#[derive(Default)]
struct Counted {
    client: Count,
    server: Count,
    /// Whether somebody will tell.
    telling: bool,
}

/// How many, and a digest over their digest strings, each followed by a line feed.
#[derive(Default)]
struct Count(u64, Sha256);

impl Counted {
    /// True for the caller who is to tell.
    fn add(&mut self, seen: &Seen) -> bool {
        let count = if seen.from == Side::Client { &mut self.client } else { &mut self.server };
        count.0 += 1;
        count.1.update(seen.frame_digest.as_deref().unwrap_or_default());
        count.1.update("\n");
        !core::mem::replace(&mut self.telling, true)
    }

    fn take(&mut self) -> Vec<Observe> {
        let Self { client, server, .. } = core::mem::take(self);
        [("client", client), ("server", server)]
            .into_iter()
            .filter_map(|(from, count)| count.told(from))
            .collect()
    }
}

impl Count {
    fn told(self, from: &str) -> Option<Observe> {
        let Self(count, digests) = self;
        let list_digest = Digest(digests.finalize().into()).to_string();
        let why = "they came faster than they are recorded one by one";
        (count > 0).then(|| Observe {
            stream: 0,
            subtype: "frame".into(),
            payload: json!({"from": from, "method": null, "why": why, "list_digest": list_digest}),
            count: Some(count),
            act_id: None,
            frame_digest: None,
            refusal: false,
        })
    }
}

impl Proxy {
    /// Records a frame that is dropped without an answer. Never waits: what comes too fast is only counted.
    pub(super) fn drop_frame(self: &Arc<Self>, seen: Seen) {
        let proxy = Arc::clone(self);
        match Arc::clone(&self.crowd.turns).try_acquire_owned() {
            Ok(turn) => self.replies.spawn(async move {
                proxy.record(&seen).await;
                proxy.crowd.give_back(turn);
            }),
            Err(_) if lock(&self.crowd.counted).add(&seen) => self.crowd.pausing.spawn(async move {
                sleep(CROWD_PAUSE).await;
                proxy.tell_crowd().await;
            }),
            Err(_) => {}
        }
    }

    /// Records what was counted.
    pub(super) async fn tell_crowd(&self) {
        let told = lock(&self.crowd.counted).take();
        for what in told {
            let count = what.count.unwrap_or_default();
            if let Err(error) = self.run.observe(what).await {
                tracing::debug!(%error, count, "dropped frames could not be recorded");
                (0..count).for_each(|_| self.run.miss(Missed::Frame, None));
            }
        }
    }
}

impl Crowd {
    fn give_back(&self, turn: OwnedSemaphorePermit) {
        self.pausing.spawn(async move {
            sleep(DROPPING_PAUSE).await;
            drop(turn);
        });
    }

    /// Nothing is waited for any more.
    pub(super) fn end(&self) {
        self.pausing.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_side_is_counted_and_told_once() {
        let mut counted = Counted::default();
        let seen = |from, digest: &str| Seen {
            from,
            why: "x".into(),
            method: None,
            frame_digest: Some(digest.to_owned()),
        };
        assert!(counted.add(&seen(Side::Server, "a")));
        assert!(!counted.add(&seen(Side::Server, "b")));
        assert!(!counted.add(&seen(Side::Client, "c")));
        let told = counted.take();
        let one =
            |what: &Observe| (what.payload["from"].clone(), what.count, what.payload["list_digest"].clone());
        assert_eq!(
            told.iter().map(one).collect::<Vec<_>>(),
            [
                (json!("client"), Some(1), json!(Digest::of(b"c\n").to_string())),
                (json!("server"), Some(2), json!(Digest::of(b"a\nb\n").to_string())),
            ]
        );
        assert_eq!(counted.take(), []);
        assert!(counted.add(&seen(Side::Server, "a")), "the next one is told again");
    }
}

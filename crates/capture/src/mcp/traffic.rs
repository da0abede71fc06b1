//! How many of the notifications that pass did so, by method. They are known methods alone, so these are few.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::proxy::{Proxy, lock};
use super::record::Side;
use crate::api::Observe;

/// Counts by side and method.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    client: BTreeMap<String, u64>,
    server: BTreeMap<String, u64>,
}

impl Traffic {
    fn count(&mut self, from: Side, method: &str) {
        let side = match from {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        };
        match side.get_mut(method) {
            Some(count) => *count += 1,
            None => drop(side.insert(method.to_owned(), 1)),
        }
    }

    /// What is recorded; nothing where nothing passed.
    fn payload(&self) -> Option<Value> {
        let any = !self.client.is_empty() || !self.server.is_empty();
        any.then(|| json!({"client": self.client, "server": self.server}))
    }
}

impl Proxy {
    /// A known notification is passed on.
    pub(super) fn passes(&self, from: Side, method: &str) {
        lock(&self.traffic).count(from, method);
    }

    /// Records, once at the end, what passed.
    pub(super) async fn tell_traffic(&self) {
        let Some(payload) = lock(&self.traffic).payload() else { return };
        let what = Observe {
            stream: 0,
            subtype: "traffic".into(),
            payload,
            count: None,
            act_id: None,
            frame_digest: None,
            refusal: false,
        };
        if let Err(error) = self.run.observe(what).await {
            tracing::debug!(%error, "the number of notifications could not be recorded");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_side_is_counted_by_method() {
        let mut traffic = Traffic::default();
        assert_eq!(traffic.payload(), None);
        for (side, method) in
            [(Side::Server, "a"), (Side::Client, "a"), (Side::Server, "b"), (Side::Server, "a")]
        {
            traffic.count(side, method);
        }
        assert_eq!(traffic.payload(), Some(json!({"client": {"a": 1}, "server": {"a": 2, "b": 1}})));
    }
}

//! Many clients at once.

use std::sync::Arc;

use capture::api::Begun;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::support::{PATIENCE, bench};

#[tokio::test(flavor = "multi_thread")]
async fn many_clients_are_answered_at_once() {
    let bench = Arc::new(bench().await);
    let mut clients = JoinSet::new();
    for seed in 1..=8 {
        let bench = Arc::clone(&bench);
        clients.spawn(async move {
            let client = bench.client().await;
            let mut wrap = bench.wrap(seed).await;
            let _lease = client.lease(wrap.run(), 0).await.unwrap();
            for _ in 0..40 {
                let call = wrap.call(&bench, "read_file", &json!({"path": "a"}));
                let Begun::Allow(begun) = client.begin(wrap.run(), &call).await.unwrap() else {
                    panic!("denied")
                };
                let finish = wrap.outcome(&bench, begun.index, "{}");
                let enqueued = client.finish(wrap.run(), &call.act_id, &finish).await.unwrap();
                // the next call does not wait for the receipt of this one
                tokio::spawn(enqueued.durable());
            }
        });
    }
    let all = async {
        while let Some(ended) = clients.join_next().await {
            ended.unwrap();
        }
    };
    timeout(PATIENCE, all).await.unwrap();
}

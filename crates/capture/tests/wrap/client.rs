//! The client of the API over a real socket: reuse of connections, restarts, problems.

use capture::client::{Client, ClientError};
use serde_json::{Value, json};

use crate::support::api::{Api, RUN};

#[tokio::test]
async fn one_connection_serves_request_after_request() {
    let dir = tempfile::tempdir().unwrap();
    let api = Api::start(&dir.path().join("deeds.sock"));
    let client = Client::connect(dir.path().join("deeds.sock")).await.unwrap();
    for _ in 0..5 {
        assert_eq!(client.hello().await.unwrap().server, "deeds");
    }
    assert_eq!(api.connections(), 1);
}

#[tokio::test]
async fn a_restart_of_the_server_costs_a_new_connection_and_no_error() {
    let dir = tempfile::tempdir().unwrap();
    let mut api = Api::start(&dir.path().join("deeds.sock"));
    let client = Client::connect(dir.path().join("deeds.sock")).await.unwrap();
    client.hello().await.unwrap();
    api.stop().await;
    let mut error = client.hello().await.unwrap_err();
    if matches!(error, ClientError::Lost(_)) {
        // it was written before the old connection was seen to be broken; now there is none left
        error = client.hello().await.unwrap_err();
    }
    assert!(matches!(error, ClientError::Unreachable { .. }), "{error}");
    api.listen();
    client.hello().await.unwrap();
    assert_eq!(api.connections(), 2);
}

#[tokio::test]
async fn problems_reach_the_caller_with_their_code() {
    let dir = tempfile::tempdir().unwrap();
    let _api = Api::start(&dir.path().join("deeds.sock"));
    let client = Client::connect(dir.path().join("deeds.sock")).await.unwrap();
    let error = client.get_json::<Value>("/v1/nothing?x=1").await.unwrap_err();
    assert_eq!(error.code(), Some("not-found"));
    assert_eq!(error.to_string(), "there is nothing at this path (not-found)");
    assert!(client.get_json::<Value>("not a path").await.is_err());
}

#[tokio::test]
async fn an_outcome_is_enqueued_before_it_is_durable_and_the_connection_is_used_again() {
    let dir = tempfile::tempdir().unwrap();
    let api = Api::start(&dir.path().join("deeds.sock"));
    let client = Client::connect(dir.path().join("deeds.sock")).await.unwrap();
    api.set(|behaviour| behaviour.hold_receipt = true);
    let finish = json!({"stream": 0, "event_id": "e", "decision": 3, "status": "ok"});
    let finish = serde_json::from_value(finish).unwrap();
    let enqueued = client.finish(RUN, "act", &finish).await.unwrap();
    assert_eq!(api.bodies("receipt"), [] as [Value; 0]);
    api.set(|behaviour| behaviour.hold_receipt = false);
    assert_eq!(enqueued.durable().await.unwrap().receipt, json!({"event": "e"}));
    client.hello().await.unwrap();
    assert_eq!(api.connections(), 1);
}

#[tokio::test]
async fn a_lease_lasts_until_the_server_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let mut api = Api::start(&dir.path().join("deeds.sock"));
    let client = Client::connect(dir.path().join("deeds.sock")).await.unwrap();
    let mut lease = client.lease(RUN, 0).await.unwrap();
    api.stop().await;
    // signs of life that were sent before are still there
    let lost = loop {
        if let Err(lost) = lease.held().await {
            break lost;
        }
    };
    assert!(matches!(lost, ClientError::Lost(_)), "{lost}");
}

//! Many calls at once, cancelled and answered in any order, while the deeds server comes and goes: what must hold
//! under every interleaving.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::support::wrapped::Wrapped;

const CALLS: i64 = 240;

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn every_permit_has_one_outcome_and_nothing_undecided_reaches_the_server() {
    let mut wrapped = Wrapped::start();
    let mut replies = wrapped.ping().await;
    for id in 0..CALLS {
        let tool = ["echo", "fail", "denied", "hang", "refuse"][usize::try_from(id % 5).unwrap()];
        wrapped.call(id, tool, &json!({ "id": id })).await;
        if id % 7 == 0 {
            wrapped.cancel(id).await;
        }
        if id % 80 == 40 {
            wrapped.api.stop().await;
        }
        if id % 80 == 60 {
            wrapped.api.listen();
            let leases = usize::try_from(id / 80).unwrap() + 1;
            wrapped.api.nth("lease", leases).await;
        }
        if id % 10 == 0 {
            replies.extend(wrapped.ping().await);
        }
    }
    wrapped.hang_up();
    let (code, rest) = wrapped.ended().await;
    assert_eq!(code, 0);
    replies.extend(rest);

    let mut permits = BTreeMap::new();
    let mut calls_of_act = BTreeMap::new();
    for begin in wrapped.api.bodies("begin") {
        let args: Value = serde_json::from_str(begin["args"].as_str().unwrap()).unwrap();
        calls_of_act.insert(begin["act_id"].to_string(), args["id"].as_i64().unwrap());
    }
    for decided in wrapped.api.bodies("decided").iter().filter(|decided| decided["verdict"] == "allow") {
        permits.insert(decided["act_id"].to_string(), decided["index"].as_u64().unwrap());
    }

    // every permit ends in exactly one outcome, bound to its decision
    let mut outcomes: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for finish in wrapped.api.bodies("finish") {
        let act = finish["act_id"].to_string();
        assert_eq!(finish["body"]["decision"].as_u64(), permits.get(&act).copied());
        outcomes.entry(act).or_default().insert(finish["body"]["event_id"].to_string());
    }
    let open: Vec<_> = permits.keys().filter(|act| !outcomes.contains_key(*act)).collect();
    assert_eq!(open, [] as [&String; 0]);
    assert!(outcomes.values().all(|events| events.len() == 1), "{outcomes:?}");

    // the server saw only permitted calls, each once
    let seen: Vec<i64> = wrapped
        .seen()
        .iter()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|frame| frame["method"] == "tools/call")
        .map(|frame| frame["id"].as_i64().unwrap())
        .collect();
    let permitted: BTreeSet<i64> = permits.keys().map(|act| calls_of_act[act]).collect();
    assert!(seen.iter().all(|id| permitted.contains(id)));
    assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), seen.len());

    // a call is answered at most once, and a result is relayed only for what the server saw
    let answered: Vec<i64> = replies.iter().filter_map(|reply| reply["id"].as_i64()).collect();
    assert_eq!(answered.iter().collect::<BTreeSet<_>>().len(), answered.len());
    let refused = |reply: &Value| {
        reply["result"]["content"][0]["text"].as_str().is_some_and(|text| text.starts_with("deeds"))
    };
    for reply in replies.iter().filter(|reply| !refused(reply)) {
        assert!(seen.contains(&reply["id"].as_i64().unwrap()), "{reply}");
    }
    assert!(!seen.is_empty() && replies.iter().any(refused));
}

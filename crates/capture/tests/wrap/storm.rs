//! Many calls at once, cancelled and answered in any order, while the deeds server comes and goes: what must hold
//! under every interleaving.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::acts::{request, result};
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

/// One request of the second storm: acts of all kinds, and later what follows on some of them.
fn request_of(id: i64) -> String {
    let (call, text) =
        (json!({"name": "t", "arguments": {"of": id / 10}}), |text: String| vec![result(&text)]);
    let of = id - 5;
    let (method, params, say) = match id % 10 {
        0 => ("tools/call", call, text("{}".into())),
        1 => ("resources/read", json!({"uri": "x"}), text(r#"{"contents":[{"uri":"x","text":""}]}"#.into())),
        2 => (
            "tools/call",
            call,
            text(format!(r#"{{"resultType":"task","taskId":"t{id}","status":"working"}}"#)),
        ),
        3 => {
            ("tools/call", call, text(format!(r#"{{"resultType":"input_required","requestState":"s{id}"}}"#)))
        }
        4 => {
            let asks = r#""inputRequests":{"k":{"method":"elicitation/create","params":{}}}"#;
            let asks = format!(r#"{{"resultType":"input_required","requestState":"s{id}",{asks}}}"#);
            ("tools/call", call, text(asks))
        }
        7 => {
            let done = format!(r#"{{"taskId":"t{of}","status":"completed","result":{{}}}}"#);
            let told = format!(r#"{{"jsonrpc":"2.0","method":"notifications/tasks","params":{done}}}"#);
            ("tasks/get", json!({"taskId": format!("t{of}")}), vec![told, result(&done)])
        }
        8 | 9 => {
            let mut params = call;
            params["requestState"] = json!(format!("s{of}"));
            params["inputResponses"] = json!({"k": {"action": "decline"}});
            ("tools/call", params, text("{}".into()))
        }
        _ => ("prompts/get", json!({"name": "p"}), Vec::new()),
    };
    let say: Vec<&str> = say.iter().map(String::as_str).collect();
    request(id, method, &params, &say)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn tasks_and_further_attempts_have_one_outcome_for_each_decision_too() {
    let mut wrapped = Wrapped::start();
    wrapped.api.set(|behaviour| behaviour.permits = vec!["elicitation/create"]);
    let mut replies = wrapped.ping().await;
    for id in 0..CALLS {
        let is_up = !(40..60).contains(&(id % 80));
        // some are tried again only after the answer that asks for it has come
        for of in [id - 5, id - 4].into_iter().filter(|of| is_up && id % 10 == 8 && of % 7 != 0) {
            while !replies.iter().any(|reply| reply["id"] == of) {
                replies.extend(wrapped.ping().await);
            }
        }
        wrapped.send(&request_of(id)).await;
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
        if id % 3 == 0 {
            replies.extend(wrapped.ping().await);
        }
    }
    wrapped.hang_up();
    let (_, rest) = wrapped.ended().await;
    replies.extend(rest);

    let mut decided: BTreeMap<u64, Value> = BTreeMap::new();
    for decision in wrapped.api.bodies("decided").iter().filter(|decision| decision["verdict"] == "allow") {
        decided.insert(decision["index"].as_u64().unwrap(), decision["act_id"].clone());
    }
    let mut outcomes: BTreeMap<u64, BTreeSet<String>> = BTreeMap::new();
    for finish in wrapped.api.bodies("finish") {
        let decision = finish["body"]["decision"].as_u64().unwrap();
        assert_eq!(decided.get(&decision), Some(&finish["act_id"]));
        outcomes.entry(decision).or_default().insert(finish["body"]["event_id"].to_string());
    }
    assert_eq!(decided.keys().collect::<Vec<_>>(), outcomes.keys().collect::<Vec<_>>());
    assert!(outcomes.values().all(|events| events.len() == 1), "{outcomes:?}");

    // the server saw only permitted acts and what passes about its tasks, each once
    let permitted: BTreeSet<i64> = wrapped
        .api
        .bodies("begin")
        .iter()
        .filter(|begin| decided.values().any(|act| *act == begin["act_id"]))
        .filter_map(|begin| begin["correlators"]["rpc_id"].as_i64())
        .collect();
    let seen: Vec<Value> = wrapped.seen().iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let mut ids = BTreeSet::new();
    for frame in seen.iter().filter(|frame| frame["id"].is_i64()) {
        let id = frame["id"].as_i64().unwrap();
        assert!(ids.insert(id), "{id} was forwarded twice");
        assert!(frame["method"] == "tasks/get" || permitted.contains(&id), "{frame}");
    }
    let answered: Vec<i64> = replies.iter().filter_map(|reply| reply["id"].as_i64()).collect();
    assert_eq!(answered.iter().collect::<BTreeSet<_>>().len(), answered.len());
    let retried = wrapped.api.bodies("begin").iter().filter(|begin| begin["retry_of"].is_u64()).count();
    assert!(retried > 0, "some were tried again");
    assert!(wrapped.api.bodies("finish").iter().any(|finish| finish["body"]["status"] == "input-required"));
}

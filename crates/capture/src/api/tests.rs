//! Answers read as the API page writes them, requests are closed.

use evidence::Status;
use serde_json::json;

use super::*;

#[test]
fn answers_read_as_the_api_page_writes_them() {
    let allow = json!({"verdict":"allow","index":7,"act_id":"a","class":{"classes":[]},
        "capture":{"args":"sealed","result":"digest"},"receipt":{"index":7}});
    let Begun::Allow(allowed) = serde_json::from_value(allow).unwrap() else { panic!("allowed") };
    assert_eq!((allowed.index, allowed.capture.result), (7, CaptureMode::Digest));
    let deny =
        json!({"verdict":"deny","index":null,"reason":{"code":"c","step":"s","text":"t"},"receipt":null});
    let Begun::Deny(denied) = serde_json::from_value(deny).unwrap() else { panic!("denied") };
    assert_eq!((denied.index, denied.receipt), (None, None));
    assert!(serde_json::from_value::<Begun>(json!({"verdict":"modify"})).is_err());
    let late = json!({"index":9,"receipt":{},"late":true});
    assert!(serde_json::from_value::<Finished>(late).unwrap().late);
}

#[test]
fn requests_with_unknown_members_are_refused() {
    assert!(serde_json::from_value::<EndRun>(json!({"stream":0,"reason":"closed","gaps":0})).is_ok());
    assert!(serde_json::from_value::<EndRun>(json!({"stream":0,"reason":"closed","gaps":0,"x":1})).is_err());
    let finish = json!({"stream":0,"event_id":"e","decision":3,"status":"input-required"});
    assert_eq!(serde_json::from_value::<Finish>(finish).unwrap().status, Status::InputRequired);
    let finish = json!({"stream":0,"event_id":"e","decision":3,"status":"fine"});
    assert!(serde_json::from_value::<Finish>(finish).unwrap_err().to_string().contains("`fine`"));
}

#[test]
fn a_chain_is_presented_in_exactly_one_way() {
    let presented = |value| serde_json::from_value::<Presented>(value);
    assert_eq!(presented(json!({"chain": ["a"]})).unwrap(), Presented::Chain(vec!["a".into()]));
    assert_eq!(serde_json::to_value(Presented::Ref("d".into())).unwrap(), json!({"ref": "d"}));
    for wrong in [json!({}), json!({"chain": [], "ref": "d"}), json!({"chain": "a"}), json!({"Ref": "d"})] {
        assert!(presented(wrong.clone()).is_err(), "{wrong}");
    }
    let added = |value| serde_json::from_value::<AddDelegation>(value);
    assert_eq!(added(json!({"root_request": "r"})).unwrap(), AddDelegation::RootRequest("r".into()));
    assert!(added(json!({"root_request": "r", "chain": []})).is_err());
}

#[test]
fn chain_and_proof_may_stay_out_of_a_begin() {
    let begin = json!({"stream": 0, "act_id": "a", "operation": "o", "tool": "t", "frame_digest": "f"});
    let begin: Begin = serde_json::from_value(begin).unwrap();
    assert_eq!((&begin.delegation, &begin.pop, begin.carrier), (&None, &None, None));
    let written = serde_json::to_value(Begin { carrier: Some(Carrier::McpMeta), ..begin }).unwrap();
    assert_eq!((&written["carrier"], written.get("pop")), (&json!("mcp-meta"), None));
}

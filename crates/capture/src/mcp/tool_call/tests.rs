//! Reading a tool call, and stripping our keys.

use proptest::prelude::*;

use super::*;

fn frame(params: &str) -> Frame {
    Frame::parse(
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}"#).into_bytes(),
    )
    .unwrap()
}

fn read(params: &str) -> Result<ToolCall, String> {
    ToolCall::read(&frame(params))
}

#[test]
fn a_call_keeps_the_exact_text_of_its_parts() {
    let call = read(r#"{"name":"a","arguments":{"n": 1.0},"_meta":{"progressToken":2}}"#).unwrap();
    assert_eq!(call.args.as_deref(), Some(r#"{"n": 1.0}"#));
    assert_eq!(
        (call.meta.as_deref(), call.stripped, call.modern),
        (Some(r#"{"progressToken":2}"#), None, false)
    );
    assert_eq!(read(r#"{"name":"a"}"#).unwrap().args, None);
}

#[test]
fn calls_that_policies_could_not_name_are_refused() {
    for wrong in [
        "{}",
        r#"{"name":7}"#,
        r#"{"name":""}"#,
        r#"{"name":"resources/read"}"#,
        r#"{"name":"a#b"}"#,
        r#"{"name":"é"}"#,
        r#"{"name":"a","arguments":null}"#,
        r#"{"name":"a","arguments":[1]}"#,
        r#"{"name":"a","Arguments":{}}"#,
        r#"{"name":"a","NAME":"b"}"#,
    ] {
        assert!(read(wrong).is_err(), "{wrong}");
    }
    let named = |len: usize| read(&format!(r#"{{"name":"{}"}}"#, "n".repeat(len)));
    assert!(named(TOOL_NAME_MAX).is_ok());
    assert!(named(TOOL_NAME_MAX + 1).is_err());
}

#[test]
fn our_keys_are_cut_out_and_every_other_byte_stays() {
    let params =
        r#"{ "name":"a", "_meta": {"dev.deeds/delegation":{"ref":"x"},"b" : 1.0,"dev.deeds/x":1,"c":"ü"} }"#;
    let sent = read(params).unwrap().stripped.unwrap();
    assert_eq!(
        sent,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{ "name":"a", "_meta": {"b":1.0,"c":"ü"} }}"#
    );
    let only = read(r#"{"name":"a","_meta":{"dev.deeds/x":1}}"#).unwrap();
    assert!(only.stripped.unwrap().ends_with(r#""_meta":{}}}"#));
    assert_eq!(read(r#"{"name":"a","_meta":{"dev.deedsx":1}}"#).unwrap().stripped, None);
}

#[test]
fn a_presented_delegation_is_told_by_its_digest_alone() {
    let member = r#"{"ref":"leaf-digest","pop":"the-proof"}"#;
    let params = format!(r#"{{"name":"a","_meta":{{"dev.deeds/delegation":{member},"progressToken":2}}}}"#);
    let call = read(&params).unwrap();
    assert_eq!(call.presented.as_deref(), Some(member));
    let said = call.correlators(Some(json!("client")), &json!(1));
    let expected = json!({"client": "client", "meta": {"progressToken": 2}, "rpc_id": 1,
        "delegation": Digest::of(member.as_bytes()).to_string()});
    assert_eq!(said, expected);
    assert_eq!(call.sent_digest(), Some(Digest::of(call.to_send(frame(&params)).as_slice()).to_string()));
    let look_alike = r#"{"name":"a","_meta":{"Dev.deeds/delegation":{}}}"#;
    assert!(read(look_alike).is_err());
}

#[test]
fn the_era_is_told_by_the_version_in_meta() {
    assert!(
        read(r#"{"name":"a","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}"#)
            .unwrap()
            .modern
    );
    assert!(!read(r#"{"name":"a","_meta":{}}"#).unwrap().modern);
}

#[test]
fn argument_digests_are_of_the_canonical_form() {
    let known = "n27PSDikVSDJK4WYXwGwjZv9No47BMp9HPSrjZYlTBw";
    assert_eq!(args_digest(Some(r#"{"ticket":"T-1","body":"hello"}"#)), known);
    assert_eq!(args_digest(Some(r#"{ "body" : "hello", "ticket":"T-1" }"#)), known);
    assert_eq!(args_digest(None), args_digest(Some("{}")));
}

#[test]
fn claims_are_recorded_whole_up_to_the_limit() {
    let text = |len: usize| format!("\"{}\"", "x".repeat(len - 2));
    assert!(correlator(&text(CORRELATOR_MAX)).is_string());
    assert!(correlator(&text(CORRELATOR_MAX + 1)).get("unknown").is_some());
}

proptest! {
    #[test]
    fn stripping_leaves_valid_frames_without_our_keys(
        keys in proptest::collection::btree_set("(dev\\.deeds/)?[a-z\"\\\\é]{1,5}", 0..6)
    ) {
        let meta: serde_json::Map<String, Value> = keys.iter().map(|key| (key.clone(), json!({"v": key}))).collect();
        let params = json!({"name": "a", "_meta": meta}).to_string();
        let call = read(&params).unwrap();
        let ours = keys.iter().filter(|key| key.starts_with(OUR_META)).count();
        prop_assert_eq!(call.stripped.is_some(), ours > 0);
        let sent = frame_of(call.to_send(frame(&params)));
        let sent: Value = serde_json::from_str(sent.params().unwrap()).unwrap();
        let kept = sent["_meta"].as_object().unwrap();
        prop_assert_eq!(kept.len(), keys.len() - ours);
        for (key, value) in kept {
            prop_assert_eq!(value, &json!({"v": key}));
        }
    }
}

fn frame_of(bytes: Vec<u8>) -> Frame {
    Frame::parse(bytes).unwrap()
}

//! Reading acts, and stripping our keys.

use proptest::prelude::*;

use super::super::meta::OUR_META;
use super::*;
use crate::limits::CORRELATOR_MAX;

fn frame(params: &str) -> Frame {
    Frame::parse(
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}"#).into_bytes(),
    )
    .unwrap()
}

fn read(params: &str) -> Result<Act, String> {
    Act::read(&frame(params))
}

fn act(method: &str, params: &str) -> Result<Act, String> {
    let text = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#);
    Act::read(&Frame::parse(text.into_bytes()).unwrap())
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

#[test]
fn other_acts_have_their_params_as_arguments_without_what_belongs_to_the_attempt() {
    let read = act("resources/read", r#"{"uri": "file:///x" , "n":1.0}"#).unwrap();
    assert_eq!((read.operation.as_str(), read.name.as_str()), ("resources/read", "resources/read"));
    assert_eq!(read.args.as_deref(), Some(r#"{"uri": "file:///x" , "n":1.0}"#), "exact where nothing is cut");
    assert_eq!(read.defined, Some((Defined::Resource, "file:///x".into())));
    assert_eq!(read.tool("fs"), "stdio:fs#resources/read");

    let params = r#"{"_meta":{"progressToken":"p"},"name":"hi","arguments": {"a": "b"},"inputResponses":{},"requestState":"s"}"#;
    let get = act("prompts/get", params).unwrap();
    assert_eq!(get.args.as_deref(), Some(r#"{"name":"hi","arguments":{"a": "b"}}"#));
    assert_eq!(get.defined, Some((Defined::Prompt, "hi".into())));
    assert_eq!(get.progress_token, Some(Id::Text("p".into())));
    assert_eq!(get.input_responses.as_deref(), Some("{}"));
    assert_eq!(get.request_state, Some(Digest::of(b"s").to_string()));
    let escaped =
        act("prompts/get", r#"{"name":"hi","arguments":{"a":"b"},"requestState":"\u0073"}"#).unwrap();
    assert_eq!(escaped.args_digest(), get.args_digest());
    assert_eq!(escaped.request_state, get.request_state);

    let complete = act("completion/complete", r#"{"ref":{"type":"ref/prompt","name":"hi"}}"#).unwrap();
    assert_eq!((complete.defined, complete.task), (None, None));
    let bare = Frame::parse(br#"{"jsonrpc":"2.0","id":1,"method":"completion/complete"}"#.to_vec()).unwrap();
    assert_eq!(Act::read(&bare).unwrap().args, None);
}

#[test]
fn a_retry_of_a_tool_call_has_the_same_arguments() {
    let first = read(r#"{"name":"a","arguments":{"n":1}}"#).unwrap();
    let retry =
        read(r#"{"name":"a","inputResponses":{"k":{}},"arguments":{ "n" : 1 },"requestState":"s"}"#).unwrap();
    assert_eq!(first.args_digest(), retry.args_digest());
    assert_eq!(
        (retry.wants_task, read(r#"{"name":"a","task":{"ttl":1}}"#).unwrap().wants_task),
        (false, true)
    );
}

#[test]
fn acts_that_do_not_say_what_they_are_about_are_refused() {
    for (method, params) in [
        ("resources/read", "{}"),
        ("resources/read", r#"{"uri":7}"#),
        ("resources/read", r#"{"uri":"a","URI":"b"}"#),
        ("prompts/get", r#"{"arguments":{}}"#),
        ("tasks/get", "{}"),
        ("tasks/result", r#"{"taskId":""}"#),
        ("tasks/cancel", r#"{"taskId":1}"#),
        ("tasks/update", r#"{"taskId":"t","inputResponses":[]}"#),
        ("prompts/get", r#"{"name":"a","requestState":{}}"#),
        ("prompts/get", r#"{"name":"a","inputresponses":{}}"#),
    ] {
        assert!(act(method, params).is_err(), "{method} {params}");
    }
    let named = |len: usize| act("tasks/get", &format!(r#"{{"taskId":"{}"}}"#, "t".repeat(len)));
    assert_eq!(named(TASK_ID_MAX).unwrap().task.map(|task| task.len()), Some(TASK_ID_MAX));
    assert!(named(TASK_ID_MAX + 1).is_err());
}

#[test]
fn what_a_server_asks_has_its_params_as_arguments() {
    let asked = Act::asked_by_server("elicitation/create", Some(r#"{"message":"?","_meta":{"a":1}}"#));
    assert_eq!(asked.args.as_deref(), Some(r#"{"message":"?"}"#));
    assert_eq!(asked.tool("fs"), "stdio:fs#elicitation/create");
    assert_eq!(asked.correlators(None, &json!(1))["meta"], json!({"a": 1}));
}

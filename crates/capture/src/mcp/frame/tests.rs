//! What is an acceptable frame, and that its bytes are kept.

use proptest::prelude::*;

use super::*;

fn parse(text: &str) -> Result<Frame, Flaw> {
    Frame::parse(text.as_bytes().to_vec()).map_err(|rejected| {
        assert_eq!(rejected.bytes, text.as_bytes());
        rejected.flaw
    })
}

fn message(text: &str) -> Message {
    parse(text).unwrap().message().clone()
}

#[test]
fn the_three_kinds_of_message() {
    assert_eq!(
        message(r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#),
        Message::Request { id: Id::Number(1), method: "tools/list".into() }
    );
    assert_eq!(
        message(r#"{"method":"notifications/initialized","jsonrpc":"2.0"}"#),
        Message::Notification { method: "notifications/initialized".into() }
    );
    assert_eq!(
        message(r#"{"jsonrpc":"2.0","id":"a","result":{}}"#),
        Message::Response { id: Some(Id::Text("a".into())), is_error: false }
    );
    assert_eq!(
        message(r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"x"}}"#),
        Message::Response { id: None, is_error: true }
    );
}

#[test]
fn parts_keep_their_exact_text() {
    let frame = parse(r#" {"jsonrpc":"2.0","id":1, "params" : {"a": 1.0} ,"method":"x"}"#).unwrap();
    assert_eq!(frame.params(), Some(r#"{"a": 1.0}"#));
    let params = frame.params().unwrap();
    assert_eq!(
        frame.with_replaced(params, "{}").unwrap(),
        r#" {"jsonrpc":"2.0","id":1, "params" : {} ,"method":"x"}"#
    );
    let frame = parse(r#"{"jsonrpc":"2.0","id":1,"result":[ 1 ]}"#).unwrap();
    assert_eq!((frame.params(), frame.body()), (None, Some("[ 1 ]")));
    assert_eq!(parse(r#"{"jsonrpc":"2.0","id":1,"method":"x","params":null}"#).unwrap().params(), None);
}

#[test]
fn what_two_parsers_could_read_differently_is_refused() {
    for wrong in [
        r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"x"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"a":{"b":1,"b":2}}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"a":{"b":1,"\u0062":2}}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"x","Params":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"a":"\ud800"}}"#,
        r#"{"jsonrpc":"2.0","id":null,"method":"x"}"#,
        r#"{"jsonrpc":"2.0","id":1.5,"method":"x"}"#,
        r#"{"jsonrpc":"2.0","id":1e0,"method":"x"}"#,
        r#"{"jsonrpc":"2.0","id":-0,"method":"x"}"#,
        r#"{"jsonrpc":"2.0","id":18446744073709551615,"method":"x"}"#,
        r#"{"jsonrpc":"2.0","id":[1],"method":"x"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"x","result":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{}}"#,
        r#"{"jsonrpc":"2.0","id":1}"#,
        r#"{"jsonrpc":"2.0","result":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":7}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":""}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"x","params":[1]}"#,
        r#"{"jsonrpc":"1.0","id":1,"method":"x"}"#,
        r#"{"id":1,"method":"x"}"#,
        r#""text""#,
        "",
    ] {
        assert!(parse(wrong).is_err(), "{wrong}");
    }
    assert_eq!(parse(r#"[{"jsonrpc":"2.0","id":1,"method":"x"}]"#), Err(Flaw::Batch));
    assert!(Frame::parse(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xff\"}".to_vec()).is_err());
}

/// Python's text mode ends lines at a carriage return, which JSON allows between tokens: what is one harmless
/// message here would be two there, the second one a call that nobody decided.
#[test]
fn a_message_smuggled_between_carriage_returns_is_refused() {
    let inner = r#"{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"x"}}"#;
    let outer = format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\",\"params\":{{\"a\":\r{inner}\r}}}}"
    );
    assert!(matches!(parse(&outer), Err(Flaw::Envelope(why)) if why.contains("carriage return")));
    assert!(parse("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"x\"}\r").is_ok());
}

#[test]
fn flaws_have_the_codes_of_the_protocol() {
    assert_eq!(parse("{").unwrap_err().code(), -32_700);
    assert_eq!(parse("[]").unwrap_err().code(), -32_600);
    assert_eq!(Flaw::TooLong.code(), -32_600);
}

#[test]
fn limits_hold_at_the_boundary() {
    let with_id =
        |len: usize| parse(&format!(r#"{{"jsonrpc":"2.0","id":"{}","method":"x"}}"#, "i".repeat(len - 2)));
    assert!(with_id(ID_MAX).is_ok());
    assert!(with_id(ID_MAX + 1).is_err());
    let with_method =
        |len: usize| parse(&format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{}"}}"#, "m".repeat(len)));
    assert!(with_method(METHOD_MAX).is_ok());
    assert!(with_method(METHOD_MAX + 1).is_err());
    let nested = |depth: usize| {
        let params = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        parse(&format!(r#"{{"jsonrpc":"2.0","id":1,"method":"x","params":{{"a":{params}}}}}"#))
    };
    assert!(nested(62).is_ok());
    assert!(nested(63).is_err());
    let long = |len: usize| {
        let start = r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"a":""#;
        parse(&format!("{start}{}\"}}}}", "x".repeat(len - start.len() - 3)))
    };
    assert!(long(FRAME_MAX).is_ok());
    assert_eq!(long(FRAME_MAX + 1), Err(Flaw::TooLong));
}

#[test]
fn ids_are_told_apart_by_type_and_written_back_as_they_mean() {
    assert_ne!(Id::parse("1"), Id::parse("\"1\""));
    assert_eq!(Id::parse(r#""\u0061""#), Some(Id::Text("a".into())));
    assert_eq!(Id::Text("a\"b".into()).to_string(), r#""a\"b""#);
    assert_eq!(Id::Number(-7).to_string(), "-7");
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map("[a-z]{1,6}", inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic_and_come_back(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        match Frame::parse(bytes.clone()) {
            Ok(frame) => prop_assert_eq!(frame.into_bytes(), bytes),
            Err(rejected) => prop_assert_eq!(rejected.bytes, bytes),
        }
    }

    #[test]
    fn accepted_frames_keep_their_bytes(id in any::<i64>(), value in json_value(), pad in "[ \t]{0,3}") {
        let text = format!(r#"{pad}{{"jsonrpc":"2.0",{pad}"id":{id},"method":"x","params":{pad}{{"a":{value}}}}}"#);
        let frame = parse(&text).unwrap();
        prop_assert_eq!(frame.params().unwrap(), format!(r#"{{"a":{value}}}"#));
        prop_assert_eq!(frame.message(), &Message::Request { id: Id::Number(id), method: "x".into() });
        prop_assert_eq!(frame.into_bytes(), text.into_bytes());
    }
}

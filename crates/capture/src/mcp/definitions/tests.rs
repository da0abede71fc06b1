use serde_json::{Value, json};

use super::*;

fn frame(text: &str) -> Frame {
    Frame::parse(text.as_bytes().to_vec()).unwrap()
}

fn digest(text: &str) -> String {
    Digest::of(text.as_bytes()).to_string()
}

/// Asks for a page of a list and takes the answer; what is told of it then.
fn page(definitions: &mut Definitions, list: Defined, cursor: Option<&str>, result: &str) -> Vec<Define> {
    let id = Id::Number(1);
    let params = json!({ "cursor": cursor });
    let params = if cursor.is_some() { params } else { json!({}) };
    definitions
        .ask(&id, &frame(&json!({"jsonrpc": "2.0", "id": 1, "method": "x", "params": params}).to_string()));
    let response = frame(&format!(r#"{{"jsonrpc":"2.0","id":1,"result":{result}}}"#));
    definitions.answered(&id, list, Some(&response));
    definitions.queue.drain(..).collect()
}

fn tools(definitions: &mut Definitions, tools: &str) -> Vec<Define> {
    page(definitions, Defined::Tool, None, &format!(r#"{{"tools":{tools}}}"#))
}

fn names(message: &Define) -> Vec<&str> {
    message.names.keys().map(String::as_str).collect()
}

fn many(count: usize, version: u32) -> String {
    let tools: Vec<Value> = (0..count).map(|n| json!({"name": format!("t{n:04}"), "v": version})).collect();
    Value::from(tools).to_string()
}

#[test]
fn what_is_known_is_not_told_again_in_whatever_order_its_members_come() {
    let mut definitions = Definitions::default();
    let told = tools(&mut definitions, r#"[ {"name": "a", "x":1.0} ,{"name":"b","y":{"d":1,"c":[]}}]"#);
    let canonical = digest(r#"{"name":"a","x":1}"#);
    assert_eq!((told.len(), told[0].complete, told[0].list), (1, true, Defined::Tool));
    assert_eq!((told[0].names.get("a"), names(&told[0])), (Some(&canonical), vec!["a", "b"]));
    assert_eq!(definitions.digest_of(Defined::Tool, "a"), Some(canonical));
    assert_eq!(definitions.digest_of(Defined::Tool, "c"), None);
    assert_eq!(definitions.digest_of(Defined::Prompt, "a"), None);
    let reordered = r#"[{"y":{"c":[],"d":1},"name":"b"}, {"x":1, "name":"a"}]"#;
    assert_eq!(tools(&mut definitions, reordered), []);
}

#[test]
fn what_readers_may_understand_differently_is_compared_byte_by_byte() {
    let mut definitions = Definitions::default();
    let told = tools(&mut definitions, r#"[{"name":"a","x":0.1000000000000000055}]"#);
    assert_eq!(told[0].names.get("a"), Some(&digest(r#"{"name":"a","x":0.1000000000000000055}"#)));
    let told = tools(&mut definitions, r#"[{"name":"a","x":0.1}]"#);
    assert_eq!(told[0].names.get("a"), Some(&digest(r#"{"name":"a","x":0.1}"#)));
}

#[test]
fn a_change_is_told_with_the_whole_and_what_is_gone() {
    let mut definitions = Definitions::default();
    tools(&mut definitions, r#"[{"name":"a"},{"name":"b"}]"#);
    let told = tools(&mut definitions, r#"[{"name":"b","v":2}]"#);
    assert_eq!((names(&told[0]), &told[0].gone, told[0].complete), (vec!["b"], &vec!["a".to_owned()], true));
    assert_eq!(definitions.digest_of(Defined::Tool, "a"), None);
    let told = tools(&mut definitions, "[]");
    assert_eq!((names(&told[0]), &told[0].gone, told[0].complete), (vec![], &vec!["b".to_owned()], true));
    assert_eq!(tools(&mut definitions, "[]"), []);
}

#[test]
fn a_list_without_anything_is_told_once_as_a_whole() {
    let mut definitions = Definitions::default();
    let told = tools(&mut definitions, "[]");
    assert_eq!((told.len(), told[0].complete, told[0].names.len()), (1, true, 0));
    assert_eq!(tools(&mut definitions, "[]"), []);
}

#[test]
fn each_list_has_its_own_names() {
    let mut definitions = Definitions::default();
    for (list, result, name) in [
        (Defined::Resource, r#"{"resources":[{"uri":"file:///a","name":"n"}]}"#, "file:///a"),
        (
            Defined::ResourceTemplate,
            r#"{"resourceTemplates":[{"uriTemplate":"file:///{x}"}]}"#,
            "file:///{x}",
        ),
        (Defined::Prompt, r#"{"prompts":[{"name":"two words"}]}"#, "two words"),
    ] {
        let told = page(&mut definitions, list, None, result);
        assert_eq!((told[0].list, names(&told[0])), (list, vec![name]));
        assert!(definitions.digest_of(list, name).is_some());
    }
}

#[test]
fn pages_that_follow_each_other_are_one_list() {
    let mut definitions = Definitions::default();
    let mut next = |cursor, result: &str| page(&mut definitions, Defined::Tool, cursor, result);
    let first = next(None, r#"{"tools":[{"name":"a"}],"nextCursor":"2"}"#);
    assert_eq!((names(&first[0]), first[0].complete), (vec!["a"], false));
    let last = next(Some("2"), r#"{"tools":[{"name":"b"}]}"#);
    assert_eq!((names(&last[0]), last[0].complete), (vec!["a", "b"], true));

    // the same again says nothing new; the second page without `b` says that it is gone
    assert_eq!(next(None, r#"{"tools":[{"name":"a"}],"nextCursor":"2"}"#), []);
    assert_eq!(next(Some("2"), r#"{"tools":[{"name":"b"}],"nextCursor":null}"#), []);
    assert_eq!(next(None, r#"{"tools":[{"name":"a"}],"nextCursor":"2"}"#), []);
    let last = next(Some("2"), r#"{"tools":[]}"#);
    assert_eq!((names(&last[0]), &last[0].gone), (vec!["a"], &vec!["b".to_owned()]));
}

#[test]
fn a_page_out_of_turn_says_nothing_of_the_whole() {
    let mut definitions = Definitions::default();
    let mut next = |cursor, result: &str| page(&mut definitions, Defined::Tool, cursor, result);
    next(None, r#"{"tools":[{"name":"a"}],"nextCursor":"2"}"#);
    let stray = next(Some("3"), r#"{"tools":[{"name":"c"}]}"#);
    assert_eq!((names(&stray[0]), stray[0].complete, stray[0].gone.len()), (vec!["c"], false, 0));
    // the walk was left: its second page alone is not the rest of the list
    let late = next(Some("2"), r#"{"tools":[{"name":"b"}]}"#);
    assert_eq!((names(&late[0]), late[0].complete), (vec!["b"], false));
}

#[test]
fn a_name_defined_in_two_ways_is_unknown_in_one_page_and_across_pages() {
    let mut definitions = Definitions::default();
    tools(&mut definitions, r#"[{"name":"a"},{"name":"b"},{"name":"b"}]"#);
    assert!(definitions.digest_of(Defined::Tool, "b").is_some(), "twice the same is no doubt");
    let told = tools(&mut definitions, r#"[{"name":"a","v":1},{"name":"a","v":2},{"name":"b"}]"#);
    assert_eq!((names(&told[0]), &told[0].gone, told[0].complete), (vec![], &vec!["a".to_owned()], false));
    assert_eq!(definitions.digest_of(Defined::Tool, "a"), None);

    let mut next = |cursor, result: &str| page(&mut definitions, Defined::Tool, cursor, result);
    next(None, r#"{"tools":[{"name":"a"}],"nextCursor":"2"}"#);
    let last = next(Some("2"), r#"{"tools":[{"name":"a","v":2},{"name":"b"}]}"#);
    assert_eq!((&last[0].gone, last[0].complete), (&vec!["a".to_owned()], false));
}

#[test]
fn a_large_list_is_told_in_parts_and_never_as_a_whole() {
    let mut definitions = Definitions::default();
    let told = tools(&mut definitions, &many(DEFINITIONS_TOLD_MAX, 1));
    assert_eq!((told.len(), told[0].complete), (1, true));
    let mut definitions = Definitions::default();
    let told = tools(&mut definitions, &many(DEFINITIONS_TOLD_MAX + 1, 1));
    let sizes: Vec<usize> = told.iter().map(|message| message.names.len()).collect();
    assert_eq!((sizes, told.iter().any(|message| message.complete)), (vec![DEFINITIONS_TOLD_MAX, 1], false));
    // what is gone is known all the same, and counts as well
    let told = tools(&mut definitions, "[]");
    let gone: Vec<usize> = told.iter().map(|message| message.gone.len()).collect();
    assert_eq!((gone, told[0].complete), (vec![DEFINITIONS_TOLD_MAX, 1], false));
}

#[test]
fn long_names_are_told_in_smaller_parts() {
    let uris: Vec<Value> =
        (0..30).map(|n| json!({"uri": format!("x:{n:02}{}", "y".repeat(DEFINITION_NAME_MAX - 4))})).collect();
    let mut definitions = Definitions::default();
    let told = page(&mut definitions, Defined::Resource, None, &json!({ "resources": uris }).to_string());
    let sizes: Vec<usize> = told.iter().map(|message| message.names.len()).collect();
    assert_eq!(sizes.iter().sum::<usize>(), 30);
    assert!(
        sizes.iter().all(|size| size * (DEFINITION_NAME_MAX + 80) <= DEFINITIONS_BYTES_TOLD_MAX),
        "{sizes:?}"
    );
    // nor do names that take more room than their bytes
    let uris: Vec<Value> = (0..30)
        .map(|n| json!({"uri": format!("x:{n:02}{}", "\u{1}".repeat(DEFINITION_NAME_MAX - 4))}))
        .collect();
    let told = page(&mut definitions, Defined::Resource, None, &json!({ "resources": uris }).to_string());
    let recorded = |message: &Define| {
        evidence::json::jcs(&json!(message.names)).len() + evidence::json::jcs(&json!(message.gone)).len()
    };
    assert!(told.len() > 7 && told.iter().all(|message| recorded(message) <= DEFINITIONS_BYTES_TOLD_MAX));
    let longer = json!({"resources": [{"uri": "y".repeat(DEFINITION_NAME_MAX + 1)}]}).to_string();
    let told = page(&mut Definitions::default(), Defined::Resource, None, &longer);
    assert_eq!(told[0].names.len(), 0);
}

#[test]
fn odd_lists_are_ignored_and_the_number_of_names_is_limited() {
    let mut definitions = Definitions::default();
    for odd in ["7", "{}", r#"[7,{"name":7},{"nome":"a"},{"name":"not a tool"}]"#] {
        assert!(tools(&mut definitions, odd).iter().all(|message| message.names.is_empty()), "{odd}");
    }
    tools(&mut definitions, &many(DEFINITIONS_MAX + 1, 1));
    assert_eq!(definitions.lists[&Defined::Tool].known.len(), DEFINITIONS_MAX);
    assert!(tools(&mut definitions, &many(DEFINITIONS_MAX + 1, 2)).iter().all(|message| !message.complete));
    assert_eq!(definitions.lists[&Defined::Tool].known.len(), DEFINITIONS_MAX);
}

#[test]
fn what_could_not_be_told_is_told_again_with_the_next_list() {
    let mut definitions = Definitions::default();
    tools(&mut definitions, r#"[{"name":"a"}]"#);
    definitions.untold(Defined::Tool);
    assert_eq!(names(&tools(&mut definitions, r#"[{"name":"a"}]"#)[0]), ["a"]);

    // more than may wait is not kept: it is told again too
    let id = Id::Number(1);
    for version in 0..=u32::try_from(DEFINITIONS_QUEUE_MAX).unwrap() {
        definitions.ask(&id, &frame(r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#));
        let text = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"tools":{}}}}}"#, many(1, version));
        definitions.answered(&id, Defined::Tool, Some(&frame(&text)));
    }
    assert_eq!(definitions.queue.len(), DEFINITIONS_QUEUE_MAX);
    assert!(!definitions.lists[&Defined::Tool].is_told);
}

#[test]
fn an_answer_to_no_request_for_a_list_and_an_error_teach_nothing() {
    let mut definitions = Definitions::default();
    let (id, list) = (Id::Number(1), frame(r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"a"}]}}"#));
    definitions.answered(&id, Defined::Tool, Some(&list));
    definitions.ask(&id, &frame(r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#));
    definitions.answered(&id, Defined::Tool, None);
    definitions.answered(&id, Defined::Tool, Some(&list));
    assert!(definitions.lists.is_empty() && definitions.asked.is_empty() && definitions.queue.is_empty());
}

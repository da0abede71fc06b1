//! What the server offers and is: told to the deeds server in the order in which it was seen, before it matters.

use evidence::Digest;
use serde_json::{Value, json};

use crate::support::wrapped::Wrapped;

fn digest(text: &str) -> Value {
    json!(Digest::of(text.as_bytes()).to_string())
}

async fn list(wrapped: &mut Wrapped, method: &str, cursor: Option<&str>, answer: &str) {
    let params = json!({"cursor": cursor, "answer": answer});
    let params = if cursor.is_some() { params } else { json!({"answer": answer}) };
    wrapped.send(&json!({"jsonrpc": "2.0", "id": 77, "method": method, "params": params}).to_string()).await;
    assert_eq!(wrapped.next().await["id"], 77);
}

/// The `n`-th list that was told, apart from what the server is.
async fn told(wrapped: &Wrapped, n: usize) -> Value {
    let mut lists = 0;
    for at in 0.. {
        let define = wrapped.api.nth("define", at).await;
        lists += usize::from(define["list"] != "server");
        if lists > n {
            return define;
        }
    }
    unreachable!()
}

#[tokio::test]
async fn each_list_is_told_once_with_the_digests_of_its_definitions() {
    let mut wrapped = Wrapped::start();
    let cases = [
        ("tools/list", "tool", r#"{"tools":[{"name": "a"}]}"#, "a", r#"{"name":"a"}"#),
        ("resources/list", "resource", r#"{"resources":[{"uri":"x:1" }]}"#, "x:1", r#"{"uri":"x:1"}"#),
        (
            "resources/templates/list",
            "resource-template",
            r#"{"resourceTemplates":[{"uriTemplate":"x:{n}"}]}"#,
            "x:{n}",
            r#"{"uriTemplate":"x:{n}"}"#,
        ),
        ("prompts/list", "prompt", r#"{"prompts":[{"name":"p"}]}"#, "p", r#"{"name":"p"}"#),
    ];
    for (n, (method, word, answer, name, definition)) in cases.into_iter().enumerate() {
        list(&mut wrapped, method, None, answer).await;
        let define = told(&wrapped, n).await;
        assert_eq!(
            (&define["list"], &define["complete"], &define["stream"]),
            (&json!(word), &json!(true), &json!(2))
        );
        assert_eq!(define["names"], json!({ (name): digest(definition) }));
        list(&mut wrapped, method, None, answer).await;
    }
    wrapped.hang_up();
    wrapped.ended().await;
    assert_eq!(wrapped.api.bodies("define").len(), cases.len() + 1, "nothing is told twice");
}

#[tokio::test]
async fn changes_are_told_in_order_however_long_one_takes() {
    let mut wrapped = Wrapped::start();
    list(&mut wrapped, "tools/list", None, r#"{"tools":[]}"#).await;
    told(&wrapped, 0).await;
    wrapped.api.set(|behaviour| behaviour.hold_definitions = true);
    for version in 1..4 {
        list(&mut wrapped, "tools/list", None, &format!(r#"{{"tools":[{{"name":"a","v":{version}}}]}}"#))
            .await;
    }
    wrapped.api.set(|behaviour| behaviour.hold_definitions = false);
    for version in 1..4 {
        let define = told(&wrapped, version).await;
        assert_eq!(define["names"]["a"], digest(&format!(r#"{{"name":"a","v":{version}}}"#)));
    }
}

#[tokio::test]
async fn pages_make_one_list_and_what_is_gone_is_said() {
    let mut wrapped = Wrapped::start();
    list(&mut wrapped, "prompts/list", None, r#"{"prompts":[{"name":"a"}],"nextCursor":"c"}"#).await;
    list(&mut wrapped, "prompts/list", Some("c"), r#"{"prompts":[{"name":"b"}]}"#).await;
    let whole = told(&wrapped, 1).await;
    assert_eq!((&whole["complete"], whole["names"].as_object().unwrap().len()), (&json!(true), 2));
    list(&mut wrapped, "prompts/list", None, r#"{"prompts":[{"name":"b"}]}"#).await;
    let less = told(&wrapped, 2).await;
    assert_eq!((&less["gone"], &less["complete"]), (&json!(["a"]), &json!(true)));
}

#[tokio::test]
async fn what_the_server_is_is_told_before_the_first_act_is_asked_for() {
    let mut wrapped = Wrapped::start_with(&[], |options| {
        options.run.about.executable = Some(Digest::of(b"executable").to_string());
        options.run.about.environment = Some(Digest::of(b"environment").to_string());
    });
    wrapped.api.set(|behaviour| behaviour.hold_definitions = true);
    wrapped.ping().await;
    let facts = wrapped.api.nth("define", 0).await;
    assert_eq!((&facts["list"], &facts["complete"]), (&json!("server"), &json!(true)));
    let names = facts["names"].as_object().unwrap();
    assert_eq!(names.keys().collect::<Vec<_>>(), ["command", "environment", "executable"]);
    assert_eq!(names["executable"], digest("executable"));
    wrapped.call(1, "echo", &json!({})).await;
    wrapped.ping().await;
    assert_eq!(wrapped.api.bodies("begin"), [] as [Value; 0]);
    wrapped.api.set(|behaviour| behaviour.hold_definitions = false);
    assert_eq!(wrapped.next().await["id"], 1);
    wrapped.call(2, "echo", &json!({})).await;
    assert_eq!(wrapped.next().await["id"], 2);
    wrapped.hang_up();
    wrapped.ended().await;
    assert_eq!(wrapped.api.bodies("define").len(), 1);
}

#[tokio::test]
async fn an_act_before_the_server_has_said_anything_does_not_wait_for_it() {
    let mut wrapped = Wrapped::start();
    wrapped.call(1, "hang", &json!({})).await;
    wrapped.api.nth("begin", 0).await;
    let early = wrapped.api.nth("define", 0).await;
    assert_eq!((&early["list"], &early["complete"]), (&json!("server"), &json!(false)));
    wrapped.ping().await;
    assert_eq!(wrapped.api.nth("define", 1).await["complete"], true);
}

#[tokio::test]
async fn a_run_in_which_nothing_happened_says_what_the_server_was() {
    let mut wrapped = Wrapped::start();
    wrapped.api.nth("lease", 0).await;
    wrapped.hang_up();
    wrapped.ended().await;
    let order: Vec<String> = wrapped.api.events().into_iter().map(|(name, _)| name).collect();
    assert_eq!(order, ["open", "lease", "define", "end"]);
}

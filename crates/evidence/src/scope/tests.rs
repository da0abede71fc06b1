//! Rows of the two tables of format §6, one test each, and the shape of scopes.

mod algebra;
mod differences;
mod limits;
mod tables;

use serde_json::json;

use super::*;

fn scope(value: &Value) -> Scope {
    Scope::parse(value).unwrap_or_else(|error| panic!("{value}: {error}"))
}

/// A scope whose one argument `a` is held to this.
fn held(constraint: &Value) -> Scope {
    scope(&json!({"s#t": {"a": constraint}}))
}

fn args(value: Value) -> Map<String, Value> {
    let Value::Object(members) = value else { panic!("arguments are an object") };
    members
}

#[test]
fn a_closed_row_lists_every_argument() {
    let scope = scope(&json!({"stdio:edr#isolate_host": {
        "host": {"constraint_type": "prefix", "prefix": "ws-"},
        "why": {"constraint_type": "wildcard", "optional": true},
    }}));
    let permits = |value| scope.permits("stdio:edr#isolate_host", &args(value));
    assert_eq!(permits(json!({"host": "ws-1"})), Ok(()));
    assert_eq!(permits(json!({"host": "ws-1", "why": {}})), Ok(()));
    assert!(matches!(permits(json!({"host": "dc-1"})), Err(Denial::Value { .. })));
    assert_eq!(permits(json!({"host": "ws-1", "force": true})), Err(Denial::Unlisted("force".into())));
    assert_eq!(permits(json!({"why": 1})), Err(Denial::Missing("host".into())));
    assert!(matches!(scope.permits("stdio:edr#release_host", &Map::new()), Err(Denial::Tool(_))));
}

#[test]
fn an_exact_row_beats_the_row_of_its_server() {
    let scope = scope(&json!({"s#*": {}, "s#pay": {"n": {"constraint_type": "exact", "value": 1}}}));
    assert!(scope.permits("s#other", &args(json!({"anything": 1}))).is_ok());
    assert!(scope.permits("s#pay", &args(json!({"n": 1.0}))).is_ok());
    assert!(scope.permits("s#pay", &args(json!({"n": "1"}))).is_err());
}

#[test]
fn tool_names_are_compared_byte_for_byte() {
    let scope = scope(&json!({"stdio:fs#read": {}}));
    for alias in ["stdio:FS#read", "stdio:fs#Read", "stdio:fs#re%61d", "stdio:fs/#read", "stdio:fs#reаd"] {
        assert!(scope.permits(alias, &Map::new()).is_err(), "{alias}");
    }
}

#[test]
fn a_whole_server_is_within_a_whole_server_only() {
    assert!(scope(&json!({"s#t": {}})).within(&scope(&json!({"s#*": {}}))));
    assert!(!scope(&json!({"s#*": {}})).within(&scope(&json!({"s#t": {}}))));
    assert!(!scope(&json!({"s#*": {}})).within(&scope(&json!({"r#*": {}}))));
    assert!(Scope::server("s").within(&scope(&json!({"s#*": {}}))));
    let narrower = scope(&json!({"s#*": {}, "s#t": {"a": {"constraint_type": "exact", "value": 1}}}));
    assert!(narrower.within(&Scope::server("s")));
    assert!(!Scope::server("s").within(&narrower), "the server's row governs `s#t` too");
    assert!(!scope(&json!({"s#t": {}})).within(&narrower));
}

#[test]
fn rows_have_the_names_of_their_parents() {
    let any = json!({"constraint_type": "wildcard"});
    let maybe = json!({"constraint_type": "wildcard", "optional": true});
    let row = |row: Value| scope(&json!({"s#t": row}));
    let parent = row(json!({"a": any, "b": maybe}));
    assert!(row(json!({"a": any, "b": maybe})).within(&parent));
    assert!(row(json!({"a": any, "b": any})).within(&parent), "what was optional may be demanded");
    assert!(!row(json!({"a": maybe, "b": maybe})).within(&parent), "what was demanded stays so");
    assert!(!row(json!({"a": any})).within(&parent));
    assert!(!row(json!({"a": any, "b": any, "c": any})).within(&parent));
    assert!(!row(json!({"a": any, "c": any})).within(&parent));
    assert!(!row(json!({})).within(&parent));
    assert!(parent.within(&row(json!({}))));
}

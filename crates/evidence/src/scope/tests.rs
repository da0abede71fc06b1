//! The algebra of scopes: what a narrower scope permits, the wider one permits.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn scope(value: &Value) -> Scope {
    Scope::parse(value).unwrap()
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
fn malformed_scopes_are_refused() {
    let constraint = |value: Value| Scope::parse(&json!({"s#t": {"a": value}}));
    for wrong in [
        json!({"constraint_type": "regex", "pattern": ".*"}),
        json!({"constraint_type": "exact"}),
        json!({"constraint_type": "exact", "value": 1.5}),
        json!({"constraint_type": "exact", "value": [1]}),
        json!({"constraint_type": "exact", "value": 9_007_199_254_740_993_u64}),
        json!({"constraint_type": "one_of", "values": []}),
        json!({"constraint_type": "one_of", "values": vec![0; SCOPE_VALUES_MAX + 1]}),
        json!({"constraint_type": "prefix", "prefix": "x".repeat(SCOPE_STRING_MAX_BYTES + 1)}),
        json!({"constraint_type": "wildcard", "more": 1}),
        json!({"constraint_type": "wildcard", "optional": "yes"}),
        json!("wildcard"),
    ] {
        assert!(constraint(wrong.clone()).is_err(), "{wrong}");
    }
    assert!(constraint(json!({"constraint_type": "one_of", "values": vec![0; SCOPE_VALUES_MAX]})).is_ok());
    assert!(Scope::parse(&json!({})).is_err());
    assert!(Scope::parse(&json!({"no-hash": {}})).is_err());
    let tools = |n: usize| (0..n).map(|i| (format!("s#{i}"), json!({}))).collect::<Map<_, _>>();
    assert!(Scope::parse(&tools(SCOPE_TOOLS_MAX).into()).is_ok());
    assert!(Scope::parse(&tools(SCOPE_TOOLS_MAX + 1).into()).is_err());
    let row = |n: usize| {
        (0..n).map(|i| (i.to_string(), json!({"constraint_type": "wildcard"}))).collect::<Map<_, _>>()
    };
    assert!(Scope::parse(&json!({"s#t": row(SCOPE_CONSTRAINTS_MAX)})).is_ok());
    assert!(Scope::parse(&json!({"s#t": row(SCOPE_CONSTRAINTS_MAX + 1)})).is_err());
}

#[test]
fn a_whole_server_is_within_a_whole_server_only() {
    assert!(scope(&json!({"s#t": {}})).within(&scope(&json!({"s#*": {}}))));
    assert!(!scope(&json!({"s#*": {}})).within(&scope(&json!({"s#t": {}}))));
    assert!(!scope(&json!({"s#*": {}})).within(&scope(&json!({"r#*": {}}))));
    assert!(Scope::server("s").within(&scope(&json!({"s#*": {}}))));
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!("a")),
        Just(json!("ab")),
        Just(json!("b")),
        Just(json!(1)),
        Just(json!(null)),
        Just(json!([]))
    ]
}

fn constraint() -> impl Strategy<Value = Value> {
    let scalar = || value().prop_filter("a scalar", |value| !value.is_array());
    let rule = prop_oneof![
        scalar().prop_map(|value| json!({"constraint_type": "exact", "value": value})),
        proptest::collection::vec(scalar(), 1..3)
            .prop_map(|values| json!({"constraint_type": "one_of", "values": values})),
        "a?b?".prop_map(|prefix| json!({"constraint_type": "prefix", "prefix": prefix})),
        Just(json!({"constraint_type": "wildcard"})),
    ];
    (rule, any::<bool>()).prop_map(|(mut rule, optional)| {
        if optional {
            rule["optional"] = true.into();
        }
        rule
    })
}

fn scopes() -> impl Strategy<Value = Scope> {
    let row = proptest::collection::btree_map("[xy]", constraint(), 0..3);
    let tool = prop_oneof![Just("s#t"), Just("s#u"), Just("s#*")];
    proptest::collection::btree_map(tool, row, 1..3).prop_map(|tools| scope(&json!(tools)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn what_the_inner_permits_the_outer_permits(
        inner in scopes(),
        outer in scopes(),
        tool in prop_oneof![Just("s#t"), Just("s#u"), Just("s#v")],
        call in proptest::collection::btree_map("[xyz]", value(), 0..3),
    ) {
        let call = args(json!(call));
        if inner.within(&outer) && inner.permits(tool, &call).is_ok() {
            prop_assert_eq!(outer.permits(tool, &call), Ok(()));
        }
    }

    #[test]
    fn within_is_reflexive_and_json_round_trips(scope in scopes()) {
        prop_assert!(scope.within(&scope));
        prop_assert_eq!(Scope::parse(&scope.to_json()), Ok(scope));
    }
}

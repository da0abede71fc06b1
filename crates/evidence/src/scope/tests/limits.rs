//! What is no scope, and every limit at its boundary and one past it.

use super::*;
use crate::limits::{
    DECIMAL_MAX_BYTES, HOST_LABEL_MAX_BYTES, HOST_MAX_BYTES, JSON_INTEGER_MAX, PORT_MAX_DIGITS,
    SCOPE_CLAUSES_MAX, SCOPE_CONSTRAINTS_MAX, SCOPE_NESTING_MAX, SCOPE_STRING_MAX_BYTES, SCOPE_TOOLS_MAX,
    SCOPE_VALUES_MAX,
};

fn parse(constraint: &Value) -> Result<Scope, ScopeError> {
    Scope::parse(&json!({"s#t": {"a": constraint}}))
}

fn accepted(constraint: &Value) {
    assert!(parse(constraint).is_ok(), "{constraint}: {:?}", parse(constraint));
}

fn refused(constraint: &Value) {
    assert!(parse(constraint).is_err(), "{constraint}");
}

#[test]
fn constraints_have_their_members_and_no_others() {
    for wrong in [
        json!({"constraint_type": "regex", "pattern": ".*"}),
        json!({"constraint_type": "Exact", "value": 1}),
        json!({"constraint_type": 1}),
        json!({"value": 1}),
        json!({}),
        json!("wildcard"),
        json!(null),
        json!({"constraint_type": "exact"}),
        json!({"constraint_type": "exact", "value": 1.5}),
        json!({"constraint_type": "exact", "value": 1.0}),
        json!({"constraint_type": "exact", "value": -0.0}),
        json!({"constraint_type": "exact", "value": [1]}),
        json!({"constraint_type": "exact", "value": 1, "values": [1]}),
        json!({"constraint_type": "one_of", "values": [{}]}),
        json!({"constraint_type": "one_of", "excluded": [1]}),
        json!({"constraint_type": "not_one_of", "excluded": "a"}),
        json!({"constraint_type": "range"}),
        json!({"constraint_type": "range", "min": "1"}),
        json!({"constraint_type": "range", "min": 1.5}),
        json!({"constraint_type": "range", "min": null}),
        json!({"constraint_type": "range", "min": 1, "min_inclusive": 1}),
        json!({"constraint_type": "range", "min": 1, "max_inclusive": true}),
        json!({"constraint_type": "range", "min_inclusive": true}),
        json!({"constraint_type": "decimal_range", "min": 1}),
        json!({"constraint_type": "decimal_range", "min": "1e3"}),
        json!({"constraint_type": "decimal_range", "max": ""}),
        json!({"constraint_type": "prefix", "prefix": 1}),
        json!({"constraint_type": "path_under", "path": ""}),
        json!({"constraint_type": "path_under", "path": "/a/"}),
        json!({"constraint_type": "path_under", "path": "a/../b"}),
        json!({"constraint_type": "path_under", "path": "a\\b"}),
        json!({"constraint_type": "host_in", "hosts": []}),
        json!({"constraint_type": "host_in", "hosts": "a"}),
        json!({"constraint_type": "host_in", "hosts": ["Example.org"]}),
        json!({"constraint_type": "host_in", "hosts": ["*"]}),
        json!({"constraint_type": "host_in", "hosts": ["*."]}),
        json!({"constraint_type": "host_in", "hosts": ["*.*.org"]}),
        json!({"constraint_type": "host_in", "hosts": ["a*.org"]}),
        json!({"constraint_type": "host_in", "hosts": ["a..org"]}),
        json!({"constraint_type": "host_in", "hosts": ["https://a"]}),
        json!({"constraint_type": "contains", "required": []}),
        json!({"constraint_type": "subset", "allowed": [[]]}),
        json!({"constraint_type": "wildcard", "more": 1}),
        json!({"constraint_type": "wildcard", "optional": "yes"}),
        json!({"constraint_type": "wildcard", "optional": null}),
        json!({"constraint_type": "all", "constraints": {}}),
        json!({"constraint_type": "any", "constraints": ["wildcard"]}),
        json!({"constraint_type": "all", "constraints": [{"constraint_type": "wildcard", "optional": true}]}),
        json!({"constraint_type": "any", "constraints": [{"constraint_type": "wildcard", "optional": false}]}),
    ] {
        refused(&wrong);
    }
    for fine in [
        json!({"constraint_type": "exact", "value": "", "optional": false}),
        json!({"constraint_type": "prefix", "prefix": ""}),
        json!({"constraint_type": "range", "max": 0, "max_inclusive": true}),
        json!({"constraint_type": "path_under", "path": "/"}),
        json!({"constraint_type": "any", "constraints": [{"constraint_type": "wildcard"}], "optional": true}),
    ] {
        accepted(&fine);
    }
    assert!(Scope::parse(&json!({"s#t": {"": {"constraint_type": "wildcard"}}})).is_ok());
}

#[test]
fn errors_name_the_argument_and_what_to_do() {
    let text = |constraint: &Value| parse(constraint).unwrap_err().to_string();
    assert_eq!(
        text(&json!({"constraint_type": "regex", "pattern": "x"})),
        "not a scope: the constraint of `a` is of a type that this version does not know: `regex`"
    );
    assert_eq!(
        text(&json!({"constraint_type": "prefix"})),
        "not a scope: the constraint of `a` lacks its `prefix`"
    );
    assert_eq!(
        text(&json!({"constraint_type": "wildcard", "prefix": "x"})),
        "not a scope: the constraint of `a` has a member that does not belong there: `prefix`"
    );
}

#[test]
fn lists_and_strings_are_limited() {
    for (kind, member) in
        [("one_of", "values"), ("not_one_of", "excluded"), ("contains", "required"), ("subset", "allowed")]
    {
        let list = |len: usize| json!({"constraint_type": kind, member: vec![0; len]});
        refused(&list(0));
        accepted(&list(SCOPE_VALUES_MAX));
        refused(&list(SCOPE_VALUES_MAX + 1));
    }
    let hosts = |len: usize| json!({"constraint_type": "host_in", "hosts": vec!["a"; len]});
    accepted(&hosts(SCOPE_VALUES_MAX));
    refused(&hosts(SCOPE_VALUES_MAX + 1));
    for (kind, member) in [("prefix", "prefix"), ("exact", "value"), ("path_under", "path")] {
        let string = |len: usize| json!({"constraint_type": kind, member: "x".repeat(len)});
        accepted(&string(SCOPE_STRING_MAX_BYTES));
        refused(&string(SCOPE_STRING_MAX_BYTES + 1));
    }
    let name =
        |len: usize| Scope::parse(&json!({"s#t": {"é".repeat(len / 2): {"constraint_type": "wildcard"}}}));
    assert!(name(SCOPE_STRING_MAX_BYTES).is_ok());
    assert!(name(SCOPE_STRING_MAX_BYTES + 2).is_err());
    let bound = |len: usize| json!({"constraint_type": "decimal_range", "min": "1".repeat(len)});
    accepted(&bound(DECIMAL_MAX_BYTES));
    refused(&bound(DECIMAL_MAX_BYTES + 1));
}

#[test]
fn integers_are_within_two_to_the_53() {
    let most = i64::try_from(JSON_INTEGER_MAX).unwrap();
    for (kind, member) in [("exact", "value"), ("range", "min"), ("range", "max")] {
        for n in [most, -most] {
            accepted(&json!({"constraint_type": kind, member: n}));
            refused(&json!({"constraint_type": kind, member: n + n.signum()}));
        }
    }
    refused(&json!({"constraint_type": "exact", "value": u64::MAX}));
    refused(&json!({"constraint_type": "exact", "value": 1e20}));
}

#[test]
fn hosts_are_limited() {
    let hosts = |host: String| json!({"constraint_type": "host_in", "hosts": [host]});
    accepted(&hosts("a".repeat(HOST_LABEL_MAX_BYTES)));
    refused(&hosts("a".repeat(HOST_LABEL_MAX_BYTES + 1)));
    let long = |len: usize| format!("{}{}", "a.".repeat(len / 2 - 1), "b".repeat(2 + len % 2));
    accepted(&hosts(long(HOST_MAX_BYTES)));
    accepted(&hosts(format!("*.{}", long(HOST_MAX_BYTES))));
    refused(&hosts(long(HOST_MAX_BYTES + 1)));
    let pattern = held(&json!({"constraint_type": "host_in", "hosts": ["a"]}));
    let port = |digits: usize| {
        pattern.permits("s#t", &args(json!({"a": format!("http://a:{}", "1".repeat(digits))})))
    };
    assert!(port(PORT_MAX_DIGITS).is_ok());
    assert!(port(PORT_MAX_DIGITS + 1).is_err());
}

#[test]
fn clauses_nest_and_count_up_to_a_limit() {
    let any = json!({"constraint_type": "wildcard"});
    let clauses = |len: usize| json!({"constraint_type": "any", "constraints": vec![any.clone(); len]});
    refused(&clauses(0));
    accepted(&clauses(SCOPE_CLAUSES_MAX));
    refused(&clauses(SCOPE_CLAUSES_MAX + 1));
    let nested = |levels: usize| {
        (1..levels).fold(
            json!({"constraint_type": "wildcard"}),
            |inner, _| json!({"constraint_type": "all", "constraints": [inner]}),
        )
    };
    accepted(&nested(SCOPE_NESTING_MAX));
    refused(&nested(SCOPE_NESTING_MAX + 1));
    // three of 16 and their three heads, and the rest directly under names
    let row = |rest: usize| {
        let wide = (0..3).map(|n| (format!("w{n}"), clauses(SCOPE_CLAUSES_MAX)));
        let rest = (0..rest).map(|n| (n.to_string(), json!({"constraint_type": "wildcard"})));
        Scope::parse(&json!({"s#t": wide.chain(rest).collect::<Map<_, _>>()}))
    };
    let left = SCOPE_CONSTRAINTS_MAX - 3 * (SCOPE_CLAUSES_MAX + 1);
    assert!(row(left).is_ok());
    assert!(row(left + 1).is_err());
}

#[test]
fn tools_and_rows_are_limited() {
    assert!(Scope::parse(&json!({})).is_err());
    assert!(Scope::parse(&json!([])).is_err());
    assert!(Scope::parse(&json!({"no-hash": {}})).is_err());
    assert!(Scope::parse(&json!({"s#t": []})).is_err());
    let tools = |n: usize| (0..n).map(|i| (format!("s#{i}"), json!({}))).collect::<Map<_, _>>();
    assert!(Scope::parse(&tools(SCOPE_TOOLS_MAX).into()).is_ok());
    assert!(Scope::parse(&tools(SCOPE_TOOLS_MAX + 1).into()).is_err());
    let row = |n: usize| {
        (0..n).map(|i| (i.to_string(), json!({"constraint_type": "wildcard"}))).collect::<Map<_, _>>()
    };
    assert!(
        Scope::parse(&json!({"s#t": row(SCOPE_CONSTRAINTS_MAX), "s#u": row(SCOPE_CONSTRAINTS_MAX)})).is_ok()
    );
    assert!(Scope::parse(&json!({"s#t": row(SCOPE_CONSTRAINTS_MAX + 1)})).is_err());
}

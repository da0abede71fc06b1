//! What people are told about two scopes.

use super::*;

#[test]
fn a_difference_says_what_became_narrower() {
    let parent = Scope::server("stdio:edr");
    let child = scope(&json!({"stdio:edr#isolate_host": {
        "host": {"constraint_type": "prefix", "prefix": "ws-"},
        "note": {"constraint_type": "wildcard", "optional": true},
    }}));
    assert_eq!(
        child.difference(&parent),
        [
            "tools: only stdio:edr#isolate_host (of stdio:edr#*)",
            "arguments: only `host`, `note` (were any)",
            "host: text that starts with `ws-` (was anything)",
        ]
    );
    let grandchild = scope(&json!({"stdio:edr#isolate_host": {
        "host": {"constraint_type": "one_of", "values": ["ws-1", "ws-2"]},
        "note": {"constraint_type": "prefix", "prefix": "x"},
    }}));
    assert_eq!(
        grandchild.difference(&child),
        [
            r#"host: one of ["ws-1","ws-2"] (was text that starts with `ws-`)"#,
            "note: text that starts with `x`, always there (was anything, optional)",
        ]
    );
    assert!(child.difference(&child).is_empty());
    assert!(parent.difference(&parent).is_empty());
}

#[test]
fn a_difference_among_several_tools_names_them() {
    let any = json!({"constraint_type": "wildcard"});
    let maybe = json!({"constraint_type": "wildcard", "optional": true});
    let parent = scope(&json!({"s#a": {"x": maybe}, "s#b": {}, "s#c": {}}));
    let child = scope(&json!({"s#a": {"x": any}, "s#b": {}}));
    assert_eq!(
        child.difference(&parent),
        ["tools: only s#a, s#b (of s#a, s#b, s#c)", "s#a, x: always there (was optional)"]
    );
    let tightened = scope(&json!({"s#*": {}, "s#a": {"x": {"constraint_type": "exact", "value": 1}}}));
    assert_eq!(
        tightened.difference(&Scope::server("s")),
        ["s#a, arguments: only `x` (were any)", "s#a, x: exactly 1 (was anything)"]
    );
}

#[test]
fn excess_says_what_would_be_wider() {
    let parent = scope(&json!({"s#a": {"x": {"constraint_type": "prefix", "prefix": "ws-"}}}));
    let check = |child: Value, expected: &[&str]| assert_eq!(scope(&child).excess(&parent), expected);
    check(json!({"s#a": {"x": {"constraint_type": "exact", "value": "ws-1"}}}), &[]);
    check(json!({"s#b": {}}), &["the tool `s#b`"]);
    check(
        json!({"s#*": {}}),
        &["the tool `s#*`", "any arguments of `s#a`, where the parent allows only `x`"],
    );
    check(
        json!({"s#a": {"y": {"constraint_type": "wildcard"}}}),
        &["the argument `y` of `s#a`", "`s#a` without its argument `x`, which the parent's row lists"],
    );
    check(
        json!({"s#a": {"x": {"constraint_type": "exact", "value": "dc-1", "optional": true}}}),
        &[
            "the argument `x` of `s#a` as exactly \"dc-1\", or left out, where the parent allows text that starts with `ws-`",
        ],
    );
}

#[test]
fn every_rule_has_words() {
    let words = |constraint: Value| {
        let scope = held(&constraint);
        scope.row("s#t").unwrap()["a"].describe()
    };
    for (constraint, expected) in [
        (json!({"constraint_type": "exact", "value": "a"}), "exactly \"a\""),
        (json!({"constraint_type": "one_of", "values": ["a", 1]}), "one of [\"a\",1]"),
        (json!({"constraint_type": "not_one_of", "excluded": [null]}), "anything but [null]"),
        (
            json!({"constraint_type": "range", "min": 1, "max": 9, "max_inclusive": false}),
            "a number from 1 below 9",
        ),
        (json!({"constraint_type": "range", "min": 1, "min_inclusive": false}), "a number above 1"),
        (json!({"constraint_type": "decimal_range", "max": "9.50"}), "a decimal number up to 9.50"),
        (json!({"constraint_type": "prefix", "prefix": "ws-"}), "text that starts with `ws-`"),
        (json!({"constraint_type": "path_under", "path": "/srv"}), "`/srv` or a path under it"),
        (json!({"constraint_type": "host_in", "hosts": ["a", "*.b"]}), "a host or URL of `a`, `*.b`"),
        (json!({"constraint_type": "contains", "required": ["a"]}), "a list with each of [\"a\"]"),
        (json!({"constraint_type": "subset", "allowed": ["a"]}), "a list of nothing but [\"a\"]"),
        (json!({"constraint_type": "wildcard"}), "anything"),
        (
            json!({"constraint_type": "any", "constraints": [
                {"constraint_type": "exact", "value": 1},
                {"constraint_type": "all", "constraints": [
                    {"constraint_type": "prefix", "prefix": "a"},
                    {"constraint_type": "not_one_of", "excluded": ["ab"]},
                ]},
            ]}),
            "exactly 1 or (text that starts with `a` and anything but [\"ab\"])",
        ),
    ] {
        assert_eq!(words(constraint), expected);
    }
}

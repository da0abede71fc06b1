//! The two tables, row by row, with what passes and what does not.

use super::*;

fn check(constraint: &Value, pass: &[Value], fail: &[Value]) {
    let scope = held(constraint);
    for value in pass {
        assert_eq!(scope.permits("s#t", &args(json!({"a": value}))), Ok(()), "{constraint} {value}");
    }
    for value in fail {
        let denied = scope.permits("s#t", &args(json!({"a": value})));
        assert!(matches!(denied, Err(Denial::Value { .. })), "{constraint} {value}: {denied:?}");
    }
}

fn one_of(values: &Value) -> Value {
    json!({"constraint_type": "one_of", "values": values})
}

fn not_one_of(values: &Value) -> Value {
    json!({"constraint_type": "not_one_of", "excluded": values})
}

fn exact(value: &Value) -> Value {
    json!({"constraint_type": "exact", "value": value})
}

fn prefix(text: &str) -> Value {
    json!({"constraint_type": "prefix", "prefix": text})
}

fn path(text: &str) -> Value {
    json!({"constraint_type": "path_under", "path": text})
}

fn hosts(patterns: &[&str]) -> Value {
    json!({"constraint_type": "host_in", "hosts": patterns})
}

fn contains(values: &Value) -> Value {
    json!({"constraint_type": "contains", "required": values})
}

fn subset(values: &Value) -> Value {
    json!({"constraint_type": "subset", "allowed": values})
}

fn all(clauses: impl Into<Vec<Value>>) -> Value {
    json!({"constraint_type": "all", "constraints": clauses.into()})
}

fn any(clauses: impl Into<Vec<Value>>) -> Value {
    json!({"constraint_type": "any", "constraints": clauses.into()})
}

fn wildcard() -> Value {
    json!({"constraint_type": "wildcard"})
}

/// A range of either type from its members in short.
fn range(kind: &str, mut members: Value) -> Value {
    members["constraint_type"] = kind.into();
    members
}

#[test]
fn scalars_are_equal_as_jcs_writes_them() {
    check(&exact(&json!(1)), &[json!(1), json!(1.0)], &[json!("1"), json!(true), json!([1]), json!(null)]);
    check(&exact(&json!("é")), &[json!("\u{e9}")], &[json!("e\u{301}"), json!("É")]);
    check(&exact(&json!(null)), &[json!(null)], &[json!(0), json!(""), json!(false)]);
    check(&exact(&json!(0)), &[json!(-0.0)], &[json!("0")]);
    check(&one_of(&json!(["a", 2, null])), &[json!("a"), json!(2.0), json!(null)], &[json!("b"), json!([])]);
    check(
        &not_one_of(&json!(["a", 2])),
        &[json!("b"), json!([]), json!("2"), json!({})],
        &[json!("a"), json!(2.0)],
    );
}

#[test]
fn ranges_pass_numbers_within_their_bounds() {
    let inclusive = range("range", json!({"min": -1, "max": 10}));
    check(
        &inclusive,
        &[json!(-1), json!(10), json!(10.0), json!(0.5)],
        &[
            json!(-2),
            json!(-1.000_000_1),
            json!(10.000_000_001),
            json!(11),
            json!("5"),
            json!(null),
            json!([5]),
        ],
    );
    let exclusive =
        range("range", json!({"min": 0, "min_inclusive": false, "max": 1, "max_inclusive": false}));
    check(&exclusive, &[json!(0.5), json!(1e-300)], &[json!(0), json!(-0.0), json!(1), json!(1.0)]);
    check(&range("range", json!({"max": 3})), &[json!(-1e300), json!(3)], &[json!(4)]);
    let largest = range("range", json!({"max": 9_007_199_254_740_992_u64}));
    check(&largest, &[json!(9_007_199_254_740_992_u64)], &[json!(9.1e15), json!(1e300)]);
}

#[test]
fn decimal_ranges_compare_exactly() {
    let range = range("decimal_range", json!({"min": "0.10", "max": "10000.00", "max_inclusive": false}));
    check(
        &range,
        &[json!("0.1"), json!("9999.999"), json!(0.1), json!(9999), json!("0.100")],
        &[
            json!("10000"),
            json!(10_000),
            json!("0.0999999999999999999999"),
            json!(0.099_999_999_999),
            json!("1e3"),
            json!("+1"),
            json!("01"),
            json!(" 1"),
            json!(true),
            json!("1".repeat(65)),
        ],
    );
    // doubles would call these two one number
    let beyond = super::tables::range("decimal_range", json!({"max": "9007199254740992.5"}));
    check(
        &beyond,
        &[json!("9007199254740992.5")],
        &[json!("9007199254740992.51"), json!("9007199254740993")],
    );
}

#[test]
fn prefixes_are_of_bytes() {
    check(&prefix("ws-"), &[json!("ws-"), json!("ws-1")], &[json!("WS-1"), json!("ws"), json!(["ws-1"])]);
    check(&prefix(""), &[json!(""), json!("x")], &[json!(1), json!(null)]);
}

#[test]
fn paths_are_plain_and_below() {
    let below = path("/srv/data");
    check(
        &below,
        &[json!("/srv/data"), json!("/srv/data/a"), json!("/srv/data/a b/ü/...")],
        &[
            json!("/srv"),
            json!("/srv/database"),
            json!("/srv/data/"),
            json!("/srv//data/a"),
            json!("/srv/data/../x"),
            json!("/srv/data/./x"),
            json!("/srv/data/.."),
            json!("/srv/data/a\\b"),
            json!("/srv/data/a\u{0}b"),
            json!("/srv/data/a\nb"),
            json!("/srv/data/\u{7f}"),
            json!("srv/data/a"),
            json!("/SRV/data"),
            json!(""),
            json!(1),
        ],
    );
    check(&path("/"), &[json!("/"), json!("/a/b")], &[json!("a"), json!("//"), json!("")]);
    check(&path("a/b"), &[json!("a/b"), json!("a/b/c")], &[json!("/a/b"), json!("a"), json!("a/bc")]);
    let long = |len: usize| json!(format!("/{}", "x".repeat(len - 1)));
    check(
        &path("/"),
        &[long(crate::limits::SCOPE_STRING_MAX_BYTES)],
        &[long(crate::limits::SCOPE_STRING_MAX_BYTES + 1)],
    );
}

#[test]
fn hosts_have_one_reading() {
    let hosts = hosts(&["api.example.com", "*.example.org"]);
    check(
        &hosts,
        &[
            json!("api.example.com"),
            json!("API.Example.COM"),
            json!("a.example.org"),
            json!("a.b.example.org"),
            json!("https://api.example.com"),
            json!("http://api.example.com:8443/x?y#z"),
            json!("https://api.example.com?x=http://evil.test"),
            json!("https://api.example.com#@evil.test"),
            json!("https://A.EXAMPLE.ORG/"),
        ],
        &[
            json!("example.org"),
            json!(".example.org"),
            json!("aexample.org"),
            json!("api.example.com."),
            json!("api.example.com:443"),
            json!("evil.test"),
            json!("https://evil.test/api.example.com"),
            json!("https://api.example.com@evil.test/"),
            json!("https://api.example.com:pw@evil.test/"),
            json!("https://api.example.com\\@evil.test/"),
            json!("https://api.example.com%2eevil.test/"),
            json!("https://api.example.com:/"),
            json!("https://api.example.com:123456/"),
            json!("https://api.example.com:1a/"),
            json!("HTTPS://api.example.com/"),
            json!("ftp://api.example.com/"),
            json!("//api.example.com/"),
            json!("https:/api.example.com/"),
            json!("https://api.example.com/a b"),
            json!("https://api.example.com/ü"),
            json!("https://api.example.com/\n"),
            json!(" https://api.example.com/"),
            json!("https://"),
            json!(""),
            json!(["api.example.com"]),
        ],
    );
}

#[test]
fn lists_contain_or_are_subsets() {
    check(
        &contains(&json!(["a", 1])),
        &[json!(["a", 1]), json!([1.0, [], "x", "a", "a"])],
        &[json!(["a"]), json!([["a", 1]]), json!("a"), json!([]), json!({"a": 1})],
    );
    check(
        &subset(&json!(["a", 1])),
        &[json!([]), json!(["a"]), json!([1.0, "a", 1])],
        &[json!(["b"]), json!(["a", []]), json!("a"), json!(null), json!({})],
    );
}

#[test]
fn clauses_all_or_any() {
    check(&wildcard(), &[json!(null), json!({"x": [1]})], &[]);
    let both = all([prefix("a"), not_one_of(&json!(["ab"]))]);
    check(&both, &[json!("a"), json!("abc")], &[json!("ab"), json!("b"), json!(1)]);
    let either = any([prefix("a"), exact(&json!(1))]);
    check(&either, &[json!("abc"), json!(1)], &[json!("b"), json!(2), json!(null)]);
    check(&all([any([exact(&json!(1)), exact(&json!(2))]), exact(&json!(2))]), &[json!(2)], &[json!(1)]);
}

/// Every type, once.
fn examples() -> Vec<Value> {
    vec![
        exact(&json!("x")),
        one_of(&json!(["x"])),
        not_one_of(&json!(["x"])),
        range("range", json!({"min": 1})),
        range("decimal_range", json!({"min": "1"})),
        prefix("x"),
        path("x"),
        hosts(&["x"]),
        contains(&json!(["x"])),
        subset(&json!(["x"])),
        wildcard(),
        all([exact(&json!("x"))]),
        any([exact(&json!("x"))]),
    ]
}

/// Which pairs of types may be within, written out as a second reading of the table.
fn may_be_within(child: &str, parent: &str) -> bool {
    let parents: &[&str] = match child {
        "exact" => &["exact", "one_of", "range", "decimal_range", "prefix", "path_under", "host_in"],
        "one_of" => &["one_of", "decimal_range", "prefix", "path_under", "host_in"],
        "range" => &["range", "decimal_range"],
        other => &[other],
    };
    parent == "wildcard" || (child != "wildcard" && parents.contains(&parent))
}

#[test]
fn pairs_that_are_not_listed_are_refused() {
    let kind = |value: &Value| value["constraint_type"].as_str().unwrap().to_owned();
    for child in examples() {
        for parent in examples() {
            let (child_kind, parent_kind) = (kind(&child), kind(&parent));
            // these examples are of text, and no text is in a range
            let listed = may_be_within(&child_kind, &parent_kind)
                && !(matches!(child_kind.as_str(), "exact" | "one_of")
                    && matches!(parent_kind.as_str(), "range" | "decimal_range"));
            assert_eq!(held(&child).within(&held(&parent)), listed, "{child} in {parent}");
        }
    }
}

fn within(pairs: &[(Value, Value)]) {
    for (child, parent) in pairs {
        assert!(held(child).within(&held(parent)), "{child} is within {parent}");
    }
}

fn beyond(pairs: &[(Value, Value)]) {
    for (child, parent) in pairs {
        assert!(!held(child).within(&held(parent)), "{child} is not within {parent}");
    }
}

#[test]
fn a_value_is_within_what_it_passes() {
    let amount = range("decimal_range", json!({"min": "1", "max": "10.00"}));
    within(&[
        (exact(&json!("a")), exact(&json!("a"))),
        (exact(&json!("a")), one_of(&json!(["b", "a"]))),
        (exact(&json!(10)), range("range", json!({"max": 10}))),
        (exact(&json!(10)), amount.clone()),
        (exact(&json!("10.0")), amount.clone()),
        (exact(&json!("ab")), prefix("a")),
        (exact(&json!("/a/b")), path("/a")),
        (exact(&json!("https://a.example.org/x")), hosts(&["*.example.org"])),
        (one_of(&json!(["a", "b"])), one_of(&json!(["c", "b", "a"]))),
        (one_of(&json!([1, "1.5"])), amount.clone()),
        (one_of(&json!(["ab", "ac"])), prefix("a")),
        (one_of(&json!(["/a", "/a/b"])), path("/a")),
        (one_of(&json!(["x", "http://x:1"])), hosts(&["x"])),
    ]);
    beyond(&[
        (exact(&json!("a")), exact(&json!("b"))),
        (exact(&json!(1)), exact(&json!("1"))),
        (exact(&json!("a")), one_of(&json!(["b"]))),
        (exact(&json!("10")), range("range", json!({"max": 10}))),
        (exact(&json!(11)), range("range", json!({"max": 10}))),
        (exact(&json!("10.01")), amount.clone()),
        (exact(&json!("b")), prefix("a")),
        (exact(&json!("/ab")), path("/a")),
        (exact(&json!("example.org")), hosts(&["*.example.org"])),
        (one_of(&json!(["a", "b"])), one_of(&json!(["a"]))),
        (one_of(&json!(["a"])), exact(&json!("a"))),
        (one_of(&json!([1])), range("range", json!({"max": 10}))),
        (one_of(&json!([1, "11"])), amount),
        (one_of(&json!(["ab", "b"])), prefix("a")),
        (one_of(&json!(["/a", "/b"])), path("/a")),
        (one_of(&json!(["x", "y"])), hosts(&["x"])),
        (exact(&json!("a")), not_one_of(&json!(["b"]))),
        (exact(&json!("a")), any([exact(&json!("a"))])),
        (exact(&json!("a")), all([exact(&json!("a"))])),
    ]);
}

#[test]
fn exclusions_and_demands_only_grow() {
    within(&[
        (not_one_of(&json!(["a", "b"])), not_one_of(&json!(["a"]))),
        (contains(&json!(["a", "b"])), contains(&json!(["b"]))),
        (subset(&json!(["a"])), subset(&json!(["b", "a"]))),
        (prefix("ws-1"), prefix("ws-")),
        (prefix("a"), prefix("")),
        (path("/a/b"), path("/a")),
        (path("/a"), path("/")),
        (path("a/b"), path("a")),
    ]);
    beyond(&[
        (not_one_of(&json!(["a"])), not_one_of(&json!(["a", "b"]))),
        (not_one_of(&json!(["a"])), one_of(&json!(["b"]))),
        (one_of(&json!(["b"])), not_one_of(&json!(["a"]))),
        (contains(&json!(["a"])), contains(&json!(["a", "b"]))),
        (subset(&json!(["a", "c"])), subset(&json!(["a", "b"]))),
        (prefix("ws"), prefix("ws-")),
        (prefix("/a/b"), path("/a")),
        (path("/ab"), path("/a")),
        (path("/"), path("/a")),
        (path("a"), path("/")),
        (wildcard(), prefix("")),
    ]);
}

#[test]
fn bounds_only_tighten() {
    let open = json!({"min": 1, "max": 9});
    let pairs_within = [
        (json!({"min": 1, "max": 9}), open.clone()),
        (json!({"min": 2, "max": 8}), open.clone()),
        (json!({"min": 1, "min_inclusive": false, "max": 9, "max_inclusive": false}), open.clone()),
        (json!({"min": 5, "max": 4}), open.clone()),
        (json!({"min": 1, "max": 2}), json!({"min": 0})),
        (json!({"min": 2}), json!({"min": 1, "min_inclusive": false})),
        (json!({"min": 1, "min_inclusive": false}), json!({"min": 1, "min_inclusive": false})),
    ];
    let pairs_beyond = [
        (json!({"min": 0, "max": 9}), open.clone()),
        (json!({"min": 1, "max": 10}), open.clone()),
        (json!({"min": 1}), open.clone()),
        (json!({"max": 9}), open),
        (json!({"min": 1}), json!({"min": 1, "min_inclusive": false})),
        (json!({"max": 1}), json!({"max": 1, "max_inclusive": false})),
        (json!({"min": 1}), json!({"max": 9})),
    ];
    let decimals = |members: &Value| {
        let mut members = members.clone();
        for bound in ["min", "max"] {
            if let Some(n) = members.get(bound).cloned() {
                members[bound] = format!("{n}.0").into();
            }
        }
        range("decimal_range", members)
    };
    let in_kinds = |(child, parent): &(Value, Value)| {
        [
            (range("range", child.clone()), range("range", parent.clone())),
            (range("range", child.clone()), decimals(parent)),
            (decimals(child), decimals(parent)),
        ]
    };
    within(&pairs_within.iter().flat_map(in_kinds).collect::<Vec<_>>());
    beyond(&pairs_beyond.iter().flat_map(in_kinds).collect::<Vec<_>>());
    beyond(&[(
        range("decimal_range", json!({"min": "2", "max": "8"})),
        range("range", json!({"min": 1, "max": 9})),
    )]);
}

#[test]
fn host_patterns_cover_what_lies_below_them() {
    within(&[
        (hosts(&["a.example.org"]), hosts(&["a.example.org"])),
        (hosts(&["a.example.org", "x.a.example.org"]), hosts(&["b", "*.example.org"])),
        (hosts(&["*.example.org"]), hosts(&["*.example.org"])),
        (hosts(&["*.a.example.org"]), hosts(&["*.example.org"])),
    ]);
    beyond(&[
        (hosts(&["example.org"]), hosts(&["*.example.org"])),
        (hosts(&["*.example.org"]), hosts(&["example.org"])),
        (hosts(&["*.org"]), hosts(&["*.example.org"])),
        (hosts(&["*.badexample.org"]), hosts(&["*.example.org"])),
        (hosts(&["a.example.org", "b"]), hosts(&["*.example.org"])),
    ]);
}

#[test]
fn clauses_are_assigned_or_covered() {
    let (a, ab, abc) = (prefix("a"), prefix("ab"), prefix("abc"));
    let excluding = not_one_of(&json!(["abcd"]));
    within(&[
        (all([abc.clone(), ab.clone()]), all([ab.clone(), a.clone()])),
        (all([abc.clone(), ab.clone(), excluding.clone()]), all([a.clone(), ab.clone()])),
        // greedy choice gives `abc` to `a` and leaves `ab` to nobody
        (all([abc.clone(), a.clone()]), all([a.clone(), ab.clone()])),
        (any([abc.clone()]), any([excluding.clone(), ab.clone()])),
        (any([abc.clone(), abc.clone()]), any([ab.clone()])),
        (any([all([abc.clone()])]), any([all([a.clone()])])),
    ]);
    beyond(&[
        (all([abc.clone()]), all([ab.clone(), a.clone()])),
        (all([ab.clone(), a.clone()]), all([ab.clone(), ab.clone()])),
        (all([a.clone(), excluding.clone()]), all([ab.clone()])),
        (any([abc.clone(), excluding]), any([ab.clone()])),
        (all([a.clone()]), a.clone()),
        (a.clone(), all([a.clone()])),
        (any([a.clone()]), a.clone()),
        (a.clone(), any([a.clone()])),
        (any([a.clone()]), all([a.clone()])),
        (all([a.clone()]), any([a])),
    ]);
}

#[test]
fn dense_clauses_are_compared_in_bounded_time() {
    // 16 x 16 clauses that all fit but for one: an assignment by trial would take 16! steps
    let child: Vec<Value> = (0..16).map(|_| prefix("a")).collect();
    let mut parent = child.clone();
    parent[15] = prefix("b");
    beyond(&[(all(child.clone()), all(parent))]);
    within(&[(all(child.clone()), all(child))]);
    // the deepest and widest that a row may have
    let mut nested = exact(&json!(1));
    for _ in 0..7 {
        nested = all((0..8).map(|_| exact(&json!(2))).chain([nested]).collect::<Vec<_>>());
    }
    within(&[(nested.clone(), nested)]);
}

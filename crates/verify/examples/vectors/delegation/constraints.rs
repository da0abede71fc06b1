//! Every constraint type: what passes it, what does not, what is within it, and what is no constraint at all.

use serde_json::{Value, json};

use super::{Case, READ, Scene, reclaimed, retold, row};

pub(super) fn cases() -> Vec<Case> {
    [values(), pairs(), malformed(), limits()].into_iter().flatten().collect()
}

/// Whether the argument `x` may have this value.
fn value(name: &str, constraint: &Value, text: &str, passes: bool) -> Case {
    let scene = Scene::rooted(|root| root.scope = row(&json!({"x": constraint})));
    let scene = scene.calls(READ, &format!(r#"{{"x":{text}}}"#));
    let about = format!("The argument {text} under {constraint}.");
    if passes { scene.allowed(name, &about, &[]) } else { scene.refused(name, &about, "scope") }
}

fn values() -> Vec<Case> {
    let of = |kind: &str, member: &str, value: Value| json!({"constraint_type": kind, member: value});
    let exact = |value: Value| of("exact", "value", value);
    let one_of = of("one_of", "values", json!(["a", 1, true, null]));
    let not_one_of = of("not_one_of", "excluded", json!(["a", 1]));
    let range = json!({"constraint_type": "range", "min": 1, "max": 10, "max_inclusive": false});
    let decimals = json!({"constraint_type": "decimal_range", "min": "0.00", "max": "10000.00"});
    let prefix = of("prefix", "prefix", json!("ws-"));
    let under = of("path_under", "path", json!("/srv/data"));
    let root = of("path_under", "path", json!("/"));
    let hosts = of("host_in", "hosts", json!(["api.example.com", "*.example.org"]));
    let contains = of("contains", "required", json!(["a", 1]));
    let subset = of("subset", "allowed", json!(["a", 1]));
    let all = of("all", "constraints", json!([prefix, of("not_one_of", "excluded", json!(["ws-0"]))]));
    let any = of("any", "constraints", json!([exact(json!("a")), range]));
    vec![
        value("exact-passes", &exact(json!("T-1")), r#""T-1""#, true),
        value("exact-escaped", &exact(json!("T-1")), r#""\u0054-1""#, true),
        value("exact-refuses", &exact(json!("T-1")), r#""T-2""#, false),
        value("exact-number-text", &exact(json!(1)), r#""1""#, false),
        value("exact-number-fraction", &exact(json!(1)), "1.0", true),
        value("exact-null", &exact(Value::Null), "null", true),
        value("exact-empty", &exact(json!("")), r#""""#, true),
        value("one-of-passes", &one_of, "true", true),
        value("one-of-refuses", &one_of, r#""b""#, false),
        value("one-of-array", &one_of, r#"["a"]"#, false),
        value("not-one-of-passes", &not_one_of, r#"["a"]"#, true),
        value("not-one-of-refuses", &not_one_of, "1.0", false),
        value("range-passes", &range, "1", true),
        value("range-passes-fraction", &range, "9.5", true),
        value("range-refuses-bound", &range, "10", false),
        value("range-refuses-below", &range, "0.5", false),
        value("range-refuses-text", &range, r#""5""#, false),
        value("decimal-passes", &decimals, r#""10000.00""#, true),
        value("decimal-passes-shorter", &decimals, r#""10000""#, true),
        value("decimal-passes-number", &decimals, "0.1", true),
        value(
            "decimal-refuses",
            &decimals,
            r#""10000.000000000000000000000000000000000000000000000000000001""#,
            false,
        ),
        value("decimal-refuses-negative", &decimals, r#""-0.01""#, false),
        value("decimal-negative-zero", &decimals, r#""-0.00""#, true),
        value("decimal-refuses-spelling", &decimals, r#""010""#, false),
        value("decimal-refuses-exponent", &decimals, r#""1e3""#, false),
        value("decimal-refuses-plus", &decimals, r#""+1""#, false),
        value("decimal-refuses-long", &decimals, &format!(r#""0.{}""#, "0".repeat(63)), false),
        value("prefix-passes", &prefix, r#""ws-17""#, true),
        value("prefix-refuses", &prefix, r#""WS-17""#, false),
        value("prefix-refuses-array", &prefix, r#"["ws-17"]"#, false),
        value("path-passes", &under, r#""/srv/data""#, true),
        value("path-passes-below", &under, r#""/srv/data/a/b""#, true),
        value("path-refuses-sibling", &under, r#""/srv/database""#, false),
        value("path-refuses-dots", &under, r#""/srv/data/../keys""#, false),
        value("path-refuses-dot", &under, r#""/srv/data/./a""#, false),
        value("path-refuses-empty-segment", &under, r#""/srv//data/a""#, false),
        value("path-refuses-trailing", &under, r#""/srv/data/""#, false),
        value("path-refuses-relative", &under, r#""srv/data/a""#, false),
        value("path-refuses-backslash", &under, r#""/srv/data/a\\b""#, false),
        value("path-refuses-nul", &under, r#""/srv/data/a\u0000""#, false),
        value("path-root-passes", &root, r#""/etc""#, true),
        value("path-root-itself", &root, r#""/""#, true),
        value("path-root-refuses-relative", &root, r#""etc""#, false),
        value("path-encoded", &under, r#""/srv/data/%2e%2e""#, true),
        value("host-passes", &hosts, r#""API.example.com""#, true),
        value("host-passes-url", &hosts, r#""https://a.b.example.org:8443/x?y#z""#, true),
        value("host-refuses-apex", &hosts, r#""example.org""#, false),
        value("host-refuses-suffix", &hosts, r#""evil-example.org""#, false),
        value("host-refuses-userinfo", &hosts, r#""https://api.example.com@evil.test/""#, false),
        value("host-refuses-backslash", &hosts, r#""https://evil.test\\.example.org/""#, false),
        value("host-refuses-scheme", &hosts, r#""ftp://api.example.com/""#, false),
        value("host-refuses-scheme-case", &hosts, r#""HTTPS://api.example.com/""#, false),
        value("host-refuses-dot", &hosts, r#""api.example.com.""#, false),
        value("host-refuses-port", &hosts, r#""https://api.example.com:123456/""#, false),
        value("host-refuses-empty-port", &hosts, r#""https://api.example.com:/""#, false),
        value("host-refuses-host-port", &hosts, r#""api.example.com:443""#, false),
        value("host-refuses-unicode", &hosts, r#""https://api.example.com/\u00e4""#, false),
        value("contains-passes", &contains, r#"[1,"b","a"]"#, true),
        value("contains-refuses", &contains, r#"["a"]"#, false),
        value("contains-refuses-scalar", &contains, r#""a""#, false),
        value("subset-passes", &subset, r#"["a","a",1.0]"#, true),
        value("subset-passes-empty", &subset, "[]", true),
        value("subset-refuses", &subset, r#"["a",["a"]]"#, false),
        value("wildcard-passes", &json!({"constraint_type": "wildcard"}), r#"{"any":["thing"]}"#, true),
        value("all-passes", &all, r#""ws-1""#, true),
        value("all-refuses", &all, r#""ws-0""#, false),
        value("any-passes", &any, "5", true),
        value("any-refuses", &any, r#""b""#, false),
        optional("optional-absent", "An optional argument that is absent.", "{}", true),
        optional("optional-there", "An optional argument that is there.", r#"{"x":"a"}"#, true),
        optional("optional-refuses", "An optional argument that is there and wrong.", r#"{"x":"b"}"#, false),
        optional("argument-unlisted", "An argument that is not listed.", r#"{"x":"a","y":1}"#, false),
        Scene::rooted(|root| root.scope = row(&json!({"x": exact(json!("a"))}))).calls(READ, "{}").refused(
            "argument-missing",
            "An argument that is demanded and absent.",
            "scope",
        ),
    ]
}

fn optional(name: &str, about: &str, args: &str, passes: bool) -> Case {
    let constraint = json!({"constraint_type": "exact", "value": "a", "optional": true});
    let scene = Scene::rooted(|root| root.scope = row(&json!({"x": constraint}))).calls(READ, args);
    if passes { scene.allowed(name, about, &[]) } else { scene.refused(name, about, "scope") }
}

/// Whether a constraint of a child is within one of its parent; `fits` is an argument that passes both.
fn pair(name: &str, child: &Value, parent: &Value, fits: Option<&str>) -> Case {
    let scene = Scene::rooted(|root| root.scope = row(&json!({"x": parent})));
    let scene = scene.child(|link| link.scope = row(&json!({"x": child})));
    let about = format!("{child} below {parent}.");
    match fits {
        Some(text) => scene.calls(READ, &format!(r#"{{"x":{text}}}"#)).allowed(name, &about, &[]),
        None => scene.refused(name, &about, "link-scope"),
    }
}

fn pairs() -> Vec<Case> {
    let of = |kind: &str, member: &str, value: Value| json!({"constraint_type": kind, member: value});
    let exact = |value: Value| of("exact", "value", value);
    let one_of = |values: Value| of("one_of", "values", values);
    let prefix = |prefix: &str| of("prefix", "prefix", json!(prefix));
    let under = |path: &str| of("path_under", "path", json!(path));
    let hosts = |hosts: Value| of("host_in", "hosts", hosts);
    let range = |bounds: Value| {
        let mut range = bounds;
        range["constraint_type"] = json!("range");
        range
    };
    let decimals = |bounds: Value| {
        let mut range = bounds;
        range["constraint_type"] = json!("decimal_range");
        range
    };
    let any = |list: Value| of("any", "constraints", list);
    let all = |list: Value| of("all", "constraints", list);
    let wildcard = json!({"constraint_type": "wildcard"});
    let excluded = |values: Value| of("not_one_of", "excluded", values);
    let required = |values: Value| of("contains", "required", values);
    let allowed = |values: Value| of("subset", "allowed", values);
    vec![
        pair("within-exact-one-of", &exact(json!("a")), &one_of(json!(["a", "b"])), Some(r#""a""#)),
        pair("within-exact-range", &exact(json!(5)), &range(json!({"min": 1})), Some("5")),
        pair("within-exact-path", &exact(json!("/srv/a")), &under("/srv"), Some(r#""/srv/a""#)),
        pair(
            "within-exact-host",
            &exact(json!("https://api.example.com/")),
            &hosts(json!(["api.example.com"])),
            Some(r#""https://api.example.com/""#),
        ),
        pair("beyond-exact", &exact(json!("c")), &one_of(json!(["a", "b"])), None),
        pair("beyond-exact-subset", &exact(json!("a")), &allowed(json!(["a"])), None),
        pair("within-one-of-prefix", &one_of(json!(["ws-1", "ws-2"])), &prefix("ws-"), Some(r#""ws-2""#)),
        pair("beyond-one-of-range", &one_of(json!([1, 2])), &range(json!({"min": 1, "max": 2})), None),
        pair(
            "within-one-of-decimal",
            &one_of(json!([1, "2.5"])),
            &decimals(json!({"max": "3"})),
            Some(r#""2.5""#),
        ),
        pair("beyond-wildcard", &wildcard, &one_of(json!(["a"])), None),
        pair("beyond-one-of", &one_of(json!(["a", "b"])), &one_of(json!(["a"])), None),
        pair("within-not-one-of", &excluded(json!(["a", "b"])), &excluded(json!(["a"])), Some(r#""c""#)),
        pair("beyond-not-one-of", &excluded(json!(["b"])), &excluded(json!(["a"])), None),
        pair("beyond-one-of-not-one-of", &one_of(json!(["b"])), &excluded(json!(["a"])), None),
        pair(
            "within-range",
            &range(json!({"min": 2, "max": 9})),
            &range(json!({"min": 1, "max": 10})),
            Some("2"),
        ),
        pair(
            "within-range-exclusive",
            &range(json!({"min": 1, "min_inclusive": false})),
            &range(json!({"min": 1})),
            Some("2"),
        ),
        pair(
            "beyond-range-inclusive",
            &range(json!({"min": 1})),
            &range(json!({"min": 1, "min_inclusive": false})),
            None,
        ),
        pair("beyond-range-bound", &range(json!({"min": 1})), &range(json!({"min": 1, "max": 10})), None),
        pair(
            "within-range-decimal",
            &range(json!({"min": 1, "max": 2})),
            &decimals(json!({"min": "0.5", "max": "2.00"})),
            Some("1.5"),
        ),
        pair(
            "beyond-decimal-range",
            &decimals(json!({"min": "1", "max": "2"})),
            &range(json!({"min": 1, "max": 2})),
            None,
        ),
        pair(
            "within-decimal",
            &decimals(json!({"max": "9.990"})),
            &decimals(json!({"max": "9.99"})),
            Some(r#""9.99""#),
        ),
        pair("beyond-decimal", &decimals(json!({"max": "9.991"})), &decimals(json!({"max": "9.99"})), None),
        pair("within-prefix", &prefix("ws-1"), &prefix("ws-"), Some(r#""ws-17""#)),
        pair("beyond-prefix", &prefix("ws"), &prefix("ws-"), None),
        pair("beyond-prefix-path", &prefix("/srv/data/"), &under("/srv/data"), None),
        pair("within-path", &under("/srv/data"), &under("/srv"), Some(r#""/srv/data/a""#)),
        pair("beyond-path", &under("/srv/database"), &under("/srv/data"), None),
        pair("beyond-path-prefix", &under("/srv/data"), &prefix("/srv"), None),
        pair(
            "within-host",
            &hosts(json!(["*.a.example.org", "b.example.org"])),
            &hosts(json!(["*.example.org"])),
            Some(r#""b.example.org""#),
        ),
        pair(
            "within-host-same",
            &hosts(json!(["*.example.org"])),
            &hosts(json!(["*.example.org"])),
            Some(r#""b.example.org""#),
        ),
        pair("beyond-host", &hosts(json!(["*.example.org"])), &hosts(json!(["a.example.org"])), None),
        pair("beyond-host-apex", &hosts(json!(["example.org"])), &hosts(json!(["*.example.org"])), None),
        pair("within-contains", &required(json!(["a", "b"])), &required(json!(["b"])), Some(r#"["a","b"]"#)),
        pair("beyond-contains", &required(json!(["a"])), &required(json!(["a", "b"])), None),
        pair("within-subset", &allowed(json!(["a"])), &allowed(json!(["b", "a"])), Some(r#"["a"]"#)),
        pair("beyond-subset", &allowed(json!(["a", "c"])), &allowed(json!(["b", "a"])), None),
        pair(
            "within-all",
            &all(json!([excluded(json!(["ws-0"])), prefix("ws-1"), prefix("ws-")])),
            &all(json!([prefix("ws-"), prefix("ws-")])),
            Some(r#""ws-1""#),
        ),
        pair(
            "within-all-matching",
            &all(json!([prefix("ws-12"), prefix("ws-1")])),
            &all(json!([prefix("ws-1"), prefix("ws-12")])),
            Some(r#""ws-12""#),
        ),
        pair(
            "beyond-all",
            &all(json!([prefix("ws-")])),
            &all(json!([prefix("ws-"), excluded(json!(["ws-0"]))])),
            None,
        ),
        pair(
            "beyond-all-shared",
            &all(json!([prefix("ws-1"), wildcard])),
            &all(json!([prefix("ws-"), prefix("ws-")])),
            None,
        ),
        pair("beyond-all-alone", &prefix("ws-1"), &all(json!([prefix("ws-")])), None),
        pair(
            "within-any",
            &any(json!([exact(json!("a"))])),
            &any(json!([one_of(json!(["a", "b"])), prefix("ws-")])),
            Some(r#""a""#),
        ),
        pair(
            "beyond-any",
            &any(json!([exact(json!("a")), exact(json!("c"))])),
            &any(json!([one_of(json!(["a", "b"]))])),
            None,
        ),
        pair("beyond-any-alone", &exact(json!("a")), &any(json!([exact(json!("a"))])), None),
        pair("within-wildcard", &any(json!([prefix("a")])), &wildcard, Some(r#""ab""#)),
    ]
}

/// A root whose one row is no row.
fn no_row(name: &str, about: &str, constraint: &Value) -> Case {
    let place = "/authorization_details/0/tools";
    Scene::links(1)
        .leaf(|scene, token| reclaimed(token, &scene.log.issuer_key, place, json!({READ: {"x": constraint}})))
        .refused(name, about, "delegation-malformed")
}

fn malformed() -> Vec<Case> {
    vec![
        no_row(
            "constraint-unknown",
            "A constraint of an unknown type.",
            &json!({"constraint_type": "regex", "pattern": ".*"}),
        ),
        no_row(
            "constraint-member",
            "A constraint with a member of another type.",
            &json!({"constraint_type": "exact", "value": 1, "min": 0}),
        ),
        no_row(
            "constraint-missing",
            "A constraint without its member.",
            &json!({"constraint_type": "prefix"}),
        ),
        no_row("constraint-untyped", "A constraint without a type.", &json!({"value": 1})),
        no_row(
            "constraint-optional",
            "An `optional` that is no boolean.",
            &json!({"constraint_type": "wildcard", "optional": 1}),
        ),
        no_row(
            "constraint-nested-optional",
            "An `optional` below `all`.",
            &json!({"constraint_type": "all", "constraints": [{"constraint_type": "wildcard", "optional": true}]}),
        ),
        no_row(
            "exact-object",
            "An exact value that is an object.",
            &json!({"constraint_type": "exact", "value": {}}),
        ),
        no_row(
            "exact-fraction",
            "An exact value with a fraction.",
            &json!({"constraint_type": "exact", "value": 0.5}),
        ),
        // one more than JCS could write
        Scene::rooted(|root| root.scope = row(&json!({"x": {"constraint_type": "exact", "value": 7}})))
            .leaf(|scene, token| {
                retold(token, &scene.log.issuer_key, |_, payload| {
                    *payload = payload.replace(r#""value":7"#, r#""value":9007199254740993"#);
                })
            })
            .refused("exact-large", "An exact value beyond 2^53.", "delegation-malformed"),
        no_row(
            "range-fraction",
            "A bound with a fraction.",
            &json!({"constraint_type": "range", "min": 0.5}),
        ),
        no_row("range-unbounded", "A range without bounds.", &json!({"constraint_type": "range"})),
        no_row(
            "range-alone",
            "An inclusive bound that is not there.",
            &json!({"constraint_type": "range", "min": 1, "max_inclusive": true}),
        ),
        no_row(
            "decimal-number",
            "A decimal bound that is a number.",
            &json!({"constraint_type": "decimal_range", "max": 1}),
        ),
        no_row(
            "decimal-nan",
            "A decimal bound that is no number.",
            &json!({"constraint_type": "decimal_range", "max": "NaN"}),
        ),
        no_row(
            "path-not-plain",
            "A path with dots.",
            &json!({"constraint_type": "path_under", "path": "/srv/../etc"}),
        ),
        no_row(
            "host-upper-case",
            "A host pattern in upper case.",
            &json!({"constraint_type": "host_in", "hosts": ["API.example.com"]}),
        ),
        no_row(
            "host-star",
            "A host pattern that is a star.",
            &json!({"constraint_type": "host_in", "hosts": ["*"]}),
        ),
        no_row(
            "host-star-within",
            "A host pattern with a star in its middle.",
            &json!({"constraint_type": "host_in", "hosts": ["a.*.example.com"]}),
        ),
        no_row("subset-none", "A subset of nothing.", &json!({"constraint_type": "subset", "allowed": []})),
        no_row("all-none", "All of nothing.", &json!({"constraint_type": "all", "constraints": []})),
    ]
}

/// Each limit of a constraint at its boundary and one past it.
fn limits() -> Vec<Case> {
    let wildcard = json!({"constraint_type": "wildcard"});
    let one_of = |count: u64| json!({"constraint_type": "one_of", "values": (0..count).collect::<Vec<_>>()});
    let hosts = |count: u64| json!({"constraint_type": "host_in", "hosts": (0..count).map(|n| format!("h{n}")).collect::<Vec<_>>()});
    let clauses =
        |count: usize| json!({"constraint_type": "any", "constraints": vec![wildcard.clone(); count]});
    let nested = |depth: usize| {
        (1..depth)
            .fold(wildcard.clone(), |inner, _| json!({"constraint_type": "all", "constraints": [inner]}))
    };
    // an `any` and its fifteen clauses are 16 constraints
    let many =
        |more: usize| json!({"a": clauses(15), "b": clauses(15), "c": clauses(15), "d": clauses(15 + more)});
    let counted = |more: usize| {
        Scene::links(1).leaf(|scene, token| {
            reclaimed(
                token,
                &scene.log.issuer_key,
                "/authorization_details/0/tools",
                json!({READ: many(more)}),
            )
        })
    };
    vec![
        value("limit-values", &one_of(256), "255", true),
        no_row("limit-values-beyond", "A choice of 257 values.", &one_of(257)),
        value("limit-hosts", &hosts(256), r#""h255""#, true),
        no_row("limit-hosts-beyond", "257 host patterns.", &hosts(257)),
        value("limit-clauses", &clauses(16), "1", true),
        no_row("limit-clauses-beyond", "17 clauses.", &clauses(17)),
        value("limit-nesting", &nested(8), "1", true),
        no_row("limit-nesting-beyond", "Constraints nested 9 deep.", &nested(9)),
        counted(0).calls(READ, r#"{"a":1,"b":1,"c":1,"d":1}"#).allowed(
            "limit-constraints",
            "64 constraints for one tool, clauses counted too.",
            &[],
        ),
        counted(1).refused(
            "limit-constraints-beyond",
            "65 constraints for one tool, clauses counted too.",
            "delegation-malformed",
        ),
    ]
}

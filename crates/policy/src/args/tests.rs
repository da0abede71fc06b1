//! Arguments as tags: names, texts, paths, limits.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::flatten;
use crate::decision::reason;
use crate::limits::{ARG_DEPTH_MAX, ARG_NAME_MAX, ARG_TAGS_MAX, ARG_VALUE_MAX, ARGS_TOTAL_MAX};

fn tags(args: &Value) -> BTreeMap<String, String> {
    flatten(args, Some("/root")).unwrap()
}

fn code(args: &Value) -> &'static str {
    flatten(args, Some("/root")).unwrap_err().code
}

fn expect(args: &Value, expected: &[(&str, &str)]) {
    let expected: BTreeMap<String, String> =
        expected.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    assert_eq!(tags(args), expected);
}

#[test]
fn scalars_get_the_name_of_the_way_to_them() {
    expect(
        &json!({
            "host": "ws-7", "n": 3, "big": 1e21, "half": 0.50, "one": 1.0, "minus": -0.0,
            "yes": true, "nothing": null, "options": { "recursive": false, "deep": { "x": "y" } },
        }),
        &[
            ("host", "ws-7"),
            ("n", "3"),
            ("big", "1e+21"),
            ("half", "0.5"),
            ("one", "1"),
            ("minus", "0"),
            ("yes", "true"),
            ("nothing", "null"),
            ("options.recursive", "false"),
            ("options.deep.x", "y"),
        ],
    );
    expect(&json!({}), &[]);
}

#[test]
fn arrays_are_counted_and_numbered() {
    expect(
        &json!({ "ids": [1, "b"], "none": [], "edits": [{ "old": "a" }, [true]] }),
        &[
            ("ids.count", "2"),
            ("ids[0]", "1"),
            ("ids[1]", "b"),
            ("none.count", "0"),
            ("edits.count", "2"),
            ("edits[0].old", "a"),
            ("edits[1].count", "1"),
            ("edits[1][0]", "true"),
        ],
    );
}

#[test]
fn paths_have_a_normal_form_besides() {
    for key in ["path", "file", "filename", "dir", "directory", "source", "destination", "old_path", "_path"]
    {
        expect(&json!({ key: "/srv/a/../b" }), &[(key, "/srv/a/../b"), (&format!("{key}.norm"), "/srv/b")]);
        expect(
            &json!({ "in": { key: "b" } }),
            &[(&format!("in.{key}"), "b"), (&format!("in.{key}.norm"), "/root/b")],
        );
    }
    expect(
        &json!({ "paths": ["a", "/b/", 7] }),
        &[
            ("paths.count", "3"),
            ("paths.norm", "\n/root/a\n/b\n"),
            ("paths[0]", "a"),
            ("paths[0].norm", "/root/a"),
            ("paths[1]", "/b/"),
            ("paths[1].norm", "/b"),
            ("paths[2]", "7"),
        ],
    );
    expect(
        &json!({ "file": ["a"] }),
        &[("file.count", "1"), ("file.norm", "\n/root/a\n"), ("file[0]", "a"), ("file[0].norm", "/root/a")],
    );
    // Not paths: a name that only looks like one, a value that is no string, `paths` as a string.
    expect(
        &json!({ "pathology": "..", "path": 1, "paths": ".." }),
        &[("pathology", ".."), ("path", "1"), ("paths", "..")],
    );
}

#[test]
fn all_paths_of_an_array_stand_in_one_tag() {
    let norm = |args: &Value, name: &str| tags(args).remove(name);
    let joined = |paths: Value| norm(&json!({ "paths": paths }), "paths.norm").unwrap();
    assert_eq!(joined(json!([])), "\n");
    assert_eq!(joined(json!(["/a/../b", "c"])), "\n/b\n/root/c\n");
    assert_eq!(joined(json!(["/a", ["/b", ["/c/.."]], "/d"])), "\n/a\n/b\n/\n/d\n");
    assert_eq!(joined(json!([1, { "path": "/a" }])), "\n", "what is no string is no path of the array");
    assert_eq!(norm(&json!({ "in": { "old_path": ["x"] } }), "in.old_path.norm").unwrap(), "\n/root/x\n");
    assert_eq!(norm(&json!({ "ids": ["/a"] }), "ids.norm"), None);
    // one path that looks like two, or whose beginning is hidden in the middle of a line
    for path in ["/ok\n/srv/secret/key", "/ok/\n", "a\nb"] {
        assert_eq!(code(&json!({ "paths": [path] })), reason::PATH_ESCAPES, "{path:?}");
    }
    assert_eq!(norm(&json!({ "path": "/a\nb" }), "path.norm").unwrap(), "/a\nb", "alone it has its own tag");
    // the joined tag has the limits of any other
    let long = format!("/{}", "x".repeat(4_000));
    let many = |n: usize| json!({ "paths": vec![&long; n] });
    let fits = ARG_VALUE_MAX / (long.len() + 1);
    assert!(flatten(&many(40), None).is_ok());
    assert_eq!(flatten(&many(fits + 1), None).unwrap_err().code, reason::ARGS_LIMIT);
}

#[test]
fn a_path_without_normal_form_refuses_the_call() {
    for args in [
        json!({ "path": "../x" }),
        json!({ "path": "a/../../root/x" }),
        json!({ "path": "" }),
        json!({ "path": "/a\0" }),
        json!({ "in": [{ "source": "~/x" }] }),
        json!({ "paths": ["/ok", ".."] }),
    ] {
        assert_eq!(code(&args), reason::PATH_ESCAPES, "{args}");
    }
    let refusal = flatten(&json!({ "dir": "x" }), None).unwrap_err();
    assert_eq!(refusal.code, reason::PATH_ESCAPES);
    assert_eq!(
        refusal.text,
        "argument `dir`: path `x` is relative and no root is declared; give the absolute path"
    );
}

#[test]
fn no_argument_can_pass_for_another_or_for_a_normal_form() {
    expect(
        &json!({ "path.norm": "/ok", "a[0]": 1, "b\\": 2, "": 3 }),
        &[("path\\.norm", "/ok"), ("a\\[0]", "1"), ("b\\\\", "2"), ("", "3")],
    );
    for args in [
        json!({ "path": { "norm": "/ok" } }),
        json!({ "paths": [{ "norm": "/ok" }] }),
        json!({ "paths": { "norm": "/ok" } }),
        json!({ "x": { "to_path": { "norm": 1 } } }),
    ] {
        assert_eq!(code(&args), reason::ARGS_INVALID, "{args}");
    }
    expect(&json!({ "layer": { "norm": "batch" } }), &[("layer.norm", "batch")]);
}

#[test]
fn arguments_are_an_object_of_exact_numbers() {
    for args in [json!(null), json!([]), json!("x"), json!(1)] {
        assert_eq!(code(&args), reason::ARGS_INVALID, "{args}");
    }
    let edge = 1_i64 << 53;
    expect(&json!({ "a": edge, "b": -edge }), &[("a", "9007199254740992"), ("b", "-9007199254740992")]);
    for n in [json!(edge + 1), json!(-edge - 1), json!(u64::MAX), json!(i64::MIN)] {
        assert_eq!(code(&json!({ "n": n })), reason::ARGS_INVALID, "{n}");
    }
}

#[test]
fn count_name_value_and_depth_are_limited() {
    let many = |n: usize| -> Value { (0..n).map(|i| (format!("k{i}"), json!(i))).collect() };
    assert_eq!(tags(&many(ARG_TAGS_MAX)).len(), ARG_TAGS_MAX);
    assert_eq!(code(&many(ARG_TAGS_MAX + 1)), reason::ARGS_LIMIT);
    // derived tags count: one for the array, one for each of its elements
    assert_eq!(tags(&json!({ "a": vec![1; ARG_TAGS_MAX - 1] })).len(), ARG_TAGS_MAX);
    assert_eq!(code(&json!({ "a": vec![1; ARG_TAGS_MAX] })), reason::ARGS_LIMIT);

    assert_eq!(tags(&json!({ "k".repeat(ARG_NAME_MAX): 1 })).len(), 1);
    assert_eq!(code(&json!({ "k".repeat(ARG_NAME_MAX + 1): 1 })), reason::ARGS_LIMIT);

    assert_eq!(tags(&json!({ "v": "x".repeat(ARG_VALUE_MAX) })).len(), 1);
    assert_eq!(code(&json!({ "v": "x".repeat(ARG_VALUE_MAX + 1) })), reason::ARGS_LIMIT);

    let full = |last: usize| json!({ "a": "x".repeat(ARG_VALUE_MAX), "b": "x".repeat(last) });
    let rest = ARGS_TOTAL_MAX - ARG_VALUE_MAX - "ab".len();
    assert_eq!(tags(&full(rest)).len(), 2);
    assert_eq!(code(&full(rest + 1)), reason::ARGS_LIMIT);

    let nested = |arrays: usize| (0..arrays).fold(json!(1), |inner, _| json!([inner]));
    assert_eq!(tags(&json!({ "a": nested(ARG_DEPTH_MAX - 1) })).len(), ARG_DEPTH_MAX);
    assert_eq!(code(&json!({ "a": nested(ARG_DEPTH_MAX) })), reason::ARGS_LIMIT);
    let objects = (0..ARG_DEPTH_MAX).fold(json!(1), |inner, _| json!({ "o": inner }));
    assert_eq!(tags(&objects).len(), 1);
    assert_eq!(code(&json!({ "o": objects })), reason::ARGS_LIMIT);
}

/// Scalars of an argument object, each as the list of steps to it.
fn leaves(value: &Value, way: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => members.iter().for_each(|(k, v)| leaves(v, &format!("{way}{k:?}>"), found)),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(i, v)| leaves(v, &format!("{way}{i}>"), found));
        }
        _ => found.push(way.to_owned()),
    }
}

fn arrays(value: &Value) -> usize {
    match value {
        Value::Object(members) => members.values().map(arrays).sum(),
        Value::Array(items) => 1 + items.iter().map(arrays).sum::<usize>(),
        _ => 0,
    }
}

fn trees() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![any::<bool>().prop_map(Value::from), "[a-z./]{0,4}".prop_map(Value::from)];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map("[ab.\\[\\]\\\\0]{0,4}", inner, 0..4)
                .prop_map(|members| members.into_iter().collect()),
        ]
    })
}

proptest! {
    /// Every scalar and every array keeps a tag of its own: no name is written twice.
    #[test]
    fn names_are_unambiguous(tree in proptest::collection::btree_map("[ab.\\[\\]\\\\0]{0,4}", trees(), 0..5)) {
        let args: Value = tree.into_iter().collect();
        let mut ways = Vec::new();
        leaves(&args, "", &mut ways);
        prop_assert_eq!(flatten(&args, None).unwrap().len(), ways.len() + arrays(&args));
    }
}

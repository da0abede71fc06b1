//! Which texts of arguments may be decided on, and which mean the same.

use serde_json::json;

use super::{Case, READ, Scene, row};

pub(super) fn cases() -> Vec<Case> {
    [same(), refused()].into_iter().flatten().collect()
}

/// The proof is for the first text, the call has the second.
fn told(signed: &str, sent: &str) -> Scene {
    let scene = Scene::links(2).calls(READ, signed).proof(|_| {});
    let pop = scene.pop.clone();
    let mut scene = scene.calls(READ, sent);
    scene.pop = pop;
    scene
}

fn same() -> Vec<Case> {
    let case = |name, about, signed: &str, sent: &str| told(signed, sent).allowed(name, about, &[]);
    vec![
        case("args-order", "Members in another order.", r#"{"a":1,"b":2}"#, r#"{"b":2,"a":1}"#),
        case("args-spaces", "Other spaces.", r#"{"a":[1,2]}"#, " { \"a\" : [ 1 ,\n2 ] } "),
        case("args-escapes", "Characters written as escapes.", r#"{"a":"é/"}"#, r#"{"\u0061":"\u00e9\/"}"#),
        case("args-fraction-zero", "1.0 for 1.", r#"{"a":1}"#, r#"{"a":1.0}"#),
        case("args-exponent", "1e2 for 100.", r#"{"a":100}"#, r#"{"a":1e2}"#),
        case("args-trailing-zero", "0.10 for 0.1.", r#"{"a":0.1}"#, r#"{"a":0.10}"#),
        case("args-large", "2^53 itself.", r#"{"a":9007199254740992}"#, r#"{"a":9007199254740992}"#),
        case(
            "args-small",
            "A number that JCS writes with an exponent.",
            r#"{"a":1e-7}"#,
            r#"{"a":0.0000001}"#,
        ),
        case("args-deep", "Arguments nested 64 deep.", &deep(63), &deep(63)),
        told(r#"{"a":1}"#, r#"{"a":2}"#).refused(
            "args-other",
            "Other arguments than those of the proof.",
            "pop-binding",
        ),
    ]
}

fn deep(arrays: usize) -> String {
    format!(r#"{{"a":{}{}}}"#, "[".repeat(arrays), "]".repeat(arrays))
}

fn refused() -> Vec<Case> {
    let case = |name, about, sent: &str| told("{}", sent).refused(name, about, "arguments");
    let outside = Scene::rooted(|root| root.scope = row(&json!({"a": {"constraint_type": "wildcard"}})));
    let outside = outside.calls(READ, "{}").proof(|_| {});
    let pop = outside.pop.clone();
    let mut outside = outside.calls(READ, r#"{"b":1,"b":1}"#);
    outside.pop = pop;
    vec![
        case("args-twice", "One name twice.", r#"{"a":1,"a":1}"#),
        case("args-twice-escaped", "One name twice, once with an escape.", r#"{"a":1,"\u0061":2}"#),
        case("args-twice-deeper", "One name twice in an inner object.", r#"{"x":[{"a":1,"a":2}]}"#),
        case("args-surrogate", "Half a character.", r#"{"a":"\ud800"}"#),
        case(
            "args-inexact",
            "A number that two readers could read differently.",
            r#"{"a":0.1000000000000000055}"#,
        ),
        case("args-beyond", "2^53 and one.", r#"{"a":9007199254740993}"#),
        case("args-beyond-negative", "A whole number below -2^53.", r#"{"a":-9007199254740993}"#),
        case("args-beyond-exponent", "A whole number beyond 2^53, with an exponent.", r#"{"a":1e17}"#),
        case("args-negative-zero", "A zero with a minus sign.", r#"{"a":-0}"#),
        case("args-negative-zero-fraction", "A zero with a minus sign and a fraction.", r#"{"a":-0.0}"#),
        case("args-underflow", "A number too small for a double.", r#"{"a":1e-400}"#),
        case("args-overflow", "A number too large for a double.", r#"{"a":1e400}"#),
        case("args-nan", "A number that is none.", r#"{"a":NaN}"#),
        case("args-infinite", "An infinite number.", r#"{"a":-Infinity}"#),
        case("args-array", "Arguments that are an array.", "[]"),
        case("args-null", "Arguments that are null.", "null"),
        case("args-empty", "No text at all.", ""),
        case("args-two", "Two objects.", "{} {}"),
        case("args-too-deep", "Arguments nested 65 deep.", &deep(64)),
        outside.refused(
            "args-before-scope",
            "Arguments that may not be decided on, and that are not listed either.",
            "arguments",
        ),
        case("args-bom", "Arguments with a byte order mark.", "\u{feff}{}"),
    ]
}

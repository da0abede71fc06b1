//! Random scopes, scopes that are narrower, scopes that are a little different, and calls that they permit.
//!
//! All from one stream of choices. Values are drawn from the constraints themselves: of values drawn blindly hardly
//! one would pass, and a property of what passes would say nothing.

use serde_json::{Map, Value, json};

use super::Choices;
use crate::scope::{Constraint, Scope};

const TEXTS: [&str; 22] = [
    "",
    "a",
    "ab",
    "abc",
    "b",
    "/",
    "/a",
    "/a/b",
    "/b",
    "a/b",
    "x.org",
    "a.x.org",
    "b.a.x.org",
    "y.org",
    "http://a.x.org/p",
    "https://x.org:80",
    "0",
    "1.5",
    "10",
    "10.00",
    "-1",
    "9.99",
];
const PATHS: [&str; 8] = ["/", "/a", "/a/b", "/a/b/c", "/b", "a", "a/b", "a/c"];
const HOSTS: [&str; 7] = ["x.org", "*.x.org", "a.x.org", "*.a.x.org", "b.a.x.org", "*.org", "y.org"];
const DECIMALS: [&str; 10] = ["0", "-0", "1", "1.0", "1.5", "-1", "9.99", "10", "10.00", "0.10"];
const LISTS: [(&str, &str); 4] =
    [("one_of", "values"), ("not_one_of", "excluded"), ("contains", "required"), ("subset", "allowed")];
const TOOLS: [&str; 4] = ["s#t", "s#u", "s#*", "r#t"];
/// Tools that are called: one that no row names is among them.
pub(crate) const CALLED: [&str; 5] = ["s#t", "s#u", "s#v", "r#t", "r#u"];

fn scalar(choices: &mut Choices) -> Value {
    match choices.below(8) {
        0 => json!(null),
        1 => json!(choices.one_in(2)),
        2 | 3 => json!(i64::try_from(choices.below(14)).unwrap() - 2),
        _ => json!(choices.of(&TEXTS)),
    }
}

fn scalars(choices: &mut Choices) -> Vec<Value> {
    (0..=choices.below(3)).map(|_| scalar(choices)).collect()
}

fn list(kind: usize, values: &[Value]) -> Value {
    let (kind, member) = LISTS[kind];
    json!({"constraint_type": kind, member: values})
}

fn range(choices: &mut Choices, decimal: bool) -> Value {
    let mut range = json!({"constraint_type": if decimal { "decimal_range" } else { "range" }});
    let which = choices.below(3);
    for (at, name) in ["min", "max"].into_iter().enumerate() {
        if which == 1 - at {
            continue;
        }
        let low = i64::try_from(choices.below(6)).unwrap() - 2 + i64::try_from(at).unwrap() * 6;
        range[name] = if decimal { json!(choices.of(&DECIMALS)) } else { json!(low) };
        if choices.one_in(3) {
            range[format!("{name}_inclusive")] = choices.one_in(4).into();
        }
    }
    range
}

/// A constraint of any type, without `optional`.
pub(crate) fn rule(choices: &mut Choices, depth: usize) -> Value {
    match choices.below(if depth < 3 { 14 } else { 11 }) {
        0 => json!({"constraint_type": "exact", "value": scalar(choices)}),
        kind @ 1..=4 => list(kind - 1, &scalars(choices)),
        5 => range(choices, false),
        6 => range(choices, true),
        7 => json!({"constraint_type": "prefix", "prefix": choices.of(&TEXTS)}),
        8 => json!({"constraint_type": "path_under", "path": choices.of(&PATHS)}),
        9 => json!({"constraint_type": "host_in",
            "hosts": (0..=choices.below(2)).map(|_| *choices.of(&HOSTS)).collect::<Vec<_>>()}),
        10 => json!({"constraint_type": "wildcard"}),
        n => {
            let clauses: Vec<Value> = (0..=choices.below(2)).map(|_| rule(choices, depth + 1)).collect();
            json!({"constraint_type": if n == 11 { "any" } else { "all" }, "constraints": clauses})
        }
    }
}

/// Whether one constraint is within another.
pub(crate) fn within(inner: &Value, outer: &Value) -> bool {
    constraint(inner).within(&constraint(outer))
}

/// A parsed constraint.
pub(crate) fn constraint(value: &Value) -> Constraint {
    let scope =
        Scope::parse(&json!({"s#t": {"a": value}})).unwrap_or_else(|error| panic!("{value}: {error}"));
    scope.row("s#t").unwrap()["a"].clone()
}

/// A constraint that is often, not always, within `rule`, and often just not.
pub(crate) fn nearby(choices: &mut Choices, rule: &Value) -> Value {
    let mut near = rule.clone();
    match rule["constraint_type"].as_str().unwrap() {
        "wildcard" => near = self::rule(choices, 2),
        "prefix" => {
            let text = rule["prefix"].as_str().unwrap();
            near["prefix"] = json!(format!("{text}{}", choices.of(&["", "b", "c", "/b", ".x.org"])));
            near = if choices.one_in(4) { value_of(choices, &near, rule) } else { near };
        }
        "path_under" => {
            let path = rule["path"].as_str().unwrap();
            near["path"] = match choices.below(4) {
                0 => json!(choices.of(&PATHS)),
                _ => json!(format!("{}/{}", path.trim_end_matches('/'), choices.of(&["b", "c", "..."]))),
            };
            near = if choices.one_in(3) { value_of(choices, &near, rule) } else { near };
        }
        "host_in" => {
            for host in near["hosts"].as_array_mut().unwrap() {
                *host = match (choices.below(4), host.as_str().unwrap()) {
                    (0, _) => json!(choices.of(&HOSTS)),
                    (1, text) => json!(text.trim_start_matches("*.")),
                    (2, text) if text.starts_with("*.") => json!(format!("*.q{}", &text[1..])),
                    (_, text) => json!(text.replace('*', "q")),
                };
            }
            near = if choices.one_in(3) { value_of(choices, &near, rule) } else { near };
        }
        "range" | "decimal_range" => near = nearby_range(choices, rule),
        "all" | "any" => nearby_clauses(choices, &mut near),
        kind => {
            let member = LISTS.iter().find(|(name, _)| *name == kind).map(|(_, member)| *member);
            if let Some(values) = member.and_then(|member| near[member].as_array_mut()) {
                nearby_list(choices, values);
            }
            near = if kind == "one_of" && choices.one_in(3) { value_of(choices, &near, rule) } else { near };
        }
    }
    near
}

fn nearby_list(choices: &mut Choices, values: &mut Vec<Value>) {
    let at = choices.below(values.len());
    match choices.below(3) {
        0 => values.push(scalar(choices)),
        1 if values.len() > 1 => drop(values.remove(at)),
        _ => values.swap(0, at),
    }
}

fn nearby_range(choices: &mut Choices, rule: &Value) -> Value {
    if choices.one_in(4) {
        return value_of(choices, rule, rule);
    }
    let decimal = rule["constraint_type"] == "decimal_range";
    let as_decimal = decimal && !choices.one_in(3);
    let mut near = range(choices, as_decimal);
    for name in ["min", "max"] {
        if decimal == (near["constraint_type"] == "decimal_range") && choices.one_in(2) {
            let inclusive = format!("{name}_inclusive");
            for member in [name, inclusive.as_str()] {
                near.as_object_mut().unwrap().remove(member);
                if let Some(value) = rule.get(member) {
                    near[member] = value.clone();
                }
            }
        }
    }
    let bounded = near.get("min").is_some() || near.get("max").is_some();
    if bounded { near } else { rule.clone() }
}

fn nearby_clauses(choices: &mut Choices, rule: &mut Value) {
    let clauses = rule["constraints"].as_array_mut().unwrap();
    for clause in clauses.iter_mut() {
        if choices.one_in(2) {
            *clause = nearby(choices, clause);
        }
    }
    let at = choices.below(clauses.len());
    match choices.below(4) {
        0 => clauses.push(self::rule(choices, 3)),
        1 if clauses.len() > 1 => drop(clauses.remove(at)),
        2 => clauses.push(clauses[at].clone()),
        _ => clauses.swap(0, at),
    }
}

/// `exact` or `one_of` with values drawn from a constraint; the constraint itself where they are no scalars.
fn value_of(choices: &mut Choices, from: &Value, otherwise: &Value) -> Value {
    let values: Vec<Value> = (0..=choices.below(2))
        .map(|_| value(choices, from))
        .filter(|value| match value {
            Value::Array(_) | Value::Object(_) => false,
            Value::Number(number) => number.is_i64(),
            _ => true,
        })
        .collect();
    match values.as_slice() {
        [] => otherwise.clone(),
        [one] if choices.one_in(2) => json!({"constraint_type": "exact", "value": one}),
        several => list(0, several),
    }
}

/// A constraint within `rule`: a nearby one that is, after a few tries, else `rule` itself.
pub(crate) fn narrower(choices: &mut Choices, rule: &Value) -> Value {
    (0..4)
        .map(|_| nearby(choices, rule))
        .find(|near| fits(near) && within(near, rule))
        .unwrap_or_else(|| rule.clone())
}

/// Whether a constraint is not too large to be one of a row.
fn fits(rule: &Value) -> bool {
    Scope::parse(&json!({"s#t": {"a": rule}})).is_ok()
}

/// A value that mostly passes.
pub(crate) fn value(choices: &mut Choices, rule: &Value) -> Value {
    match rule["constraint_type"].as_str().unwrap() {
        "exact" => as_double(choices, &rule["value"]),
        "one_of" => {
            let one = choices.of(rule["values"].as_array().unwrap()).clone();
            as_double(choices, &one)
        }
        "range" | "decimal_range" => number(choices, rule),
        "prefix" => json!(format!("{}{}", rule["prefix"].as_str().unwrap(), choices.of(&TEXTS))),
        "path_under" => {
            let path = rule["path"].as_str().unwrap();
            match choices.below(4) {
                0 => json!(path),
                1 => json!(format!("{path}b")),
                _ => json!(format!("{}/{}", path.trim_end_matches('/'), choices.of(&["b", "c/d", "..."]))),
            }
        }
        "host_in" => {
            let host = choices.of(rule["hosts"].as_array().unwrap()).as_str().unwrap();
            let label = *choices.of(&["q", "Q.r", "a", ""]);
            let host = host.replace('*', label);
            json!(format!(
                "{}{host}{}",
                choices.of(&["", "http://", "https://"]),
                choices.of(&["", "", "/p", ":80"])
            ))
        }
        "contains" => {
            let mut items = rule["required"].as_array().unwrap().clone();
            items.push(scalar(choices));
            let at = choices.below(items.len());
            items.swap(0, at);
            json!(items)
        }
        "subset" => {
            let allowed = rule["allowed"].as_array().unwrap();
            (0..choices.below(3)).map(|_| choices.of(allowed).clone()).collect()
        }
        "all" | "any" => {
            let clause = choices.of(rule["constraints"].as_array().unwrap()).clone();
            value(choices, &clause)
        }
        _ if choices.one_in(3) => json!([scalar(choices)]),
        _ => scalar(choices),
    }
}

/// The same number, written as a double now and then.
fn as_double(choices: &mut Choices, value: &Value) -> Value {
    match value.as_f64() {
        Some(double) if choices.one_in(2) => json!(double),
        _ => value.clone(),
    }
}

/// A number at or near a bound.
fn number(choices: &mut Choices, rule: &Value) -> Value {
    let bound = rule.get(*choices.of(&["min", "max"])).or(rule.get("min")).or(rule.get("max")).unwrap();
    let at = bound.as_f64().unwrap_or_else(|| bound.as_str().unwrap().parse().unwrap());
    let near = at + choices.of(&[-1.0, -0.5, 0.0, 0.0, 0.5, 1.0]);
    match choices.below(3) {
        0 if rule["constraint_type"] == "decimal_range" => json!(format!("{near:.3}")),
        1 if near.fract() == 0.0 => json!(format!("{near}").parse::<i64>().unwrap()),
        _ => json!(near),
    }
}

fn with_optional(choices: &mut Choices, mut rule: Value, allowed: bool) -> Value {
    if allowed && choices.one_in(3) {
        rule["optional"] = true.into();
    }
    rule
}

fn row(choices: &mut Choices) -> Value {
    let names = ["x", "y", ""];
    let row: Map<String, Value> = (0..choices.below(3))
        .map(|_| {
            let rule = rule(choices, 1);
            ((*choices.of(&names)).to_owned(), with_optional(choices, rule, true))
        })
        .collect();
    row.into()
}

/// A scope's JSON.
pub(crate) fn scope(choices: &mut Choices) -> Value {
    let tools: Map<String, Value> =
        (0..=choices.below(3)).map(|_| ((*choices.of(&TOOLS)).to_owned(), row(choices))).collect();
    tools.into()
}

/// A scope within `outer`.
pub(crate) fn narrower_scope(choices: &mut Choices, outer: &Value) -> Value {
    let parsed = |value: &Value| Scope::parse(value).unwrap();
    let mut tools: Map<String, Value> = Map::new();
    for (uri, row) in outer.as_object().unwrap() {
        let row = |choices: &mut Choices| narrower_row(choices, row);
        match choices.below(4) {
            0 if uri == "s#*" => drop(tools.insert((*choices.of(&["s#t", "s#u"])).to_owned(), row(choices))),
            1 => {}
            _ => drop(tools.insert(uri.clone(), row(choices))),
        }
    }
    let inner = Value::Object(tools);
    let within = !inner.as_object().unwrap().is_empty() && parsed(&inner).within(&parsed(outer));
    if within { inner } else { outer.clone() }
}

fn narrower_row(choices: &mut Choices, outer: &Value) -> Value {
    let outer = outer.as_object().unwrap();
    if outer.is_empty() && choices.one_in(2) {
        return row(choices);
    }
    let narrow = |(name, outer): (&String, &Value)| {
        let mut bare = outer.clone();
        let optional = bare.as_object_mut().unwrap().remove("optional").is_some();
        let inner = narrower(choices, &bare);
        (name.clone(), with_optional(choices, inner, optional))
    };
    outer.iter().map(narrow).collect::<Map<_, _>>().into()
}

/// A tool and arguments that a scope mostly permits.
pub(crate) fn call(choices: &mut Choices, scope: &Value) -> (&'static str, Map<String, Value>) {
    let parsed = Scope::parse(scope).unwrap();
    let governed: Vec<&'static str> = CALLED.into_iter().filter(|uri| parsed.row(uri).is_some()).collect();
    let uri =
        if governed.is_empty() || choices.one_in(20) { *choices.of(&CALLED) } else { *choices.of(&governed) };
    let mut args = Map::new();
    for (name, constraint) in parsed.row(uri).into_iter().flatten() {
        let rule = constraint.to_json();
        let mut drawn = value(choices, &rule);
        for _ in 0..3 {
            if constraint.permits(name, Some(&drawn)).is_err() {
                drawn = value(choices, &rule);
            }
        }
        if !(constraint.is_optional() && choices.one_in(3)) {
            args.insert(name.clone(), drawn);
        }
    }
    if choices.one_in(8) {
        args.insert("z".into(), scalar(choices));
    }
    (uri, args)
}

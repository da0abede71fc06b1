//! Limits that no value can fit: a tool whose argument has one could never be called, which nobody means.
//!
//! What is found is what can be seen in one constraint: bounds the wrong way round, and `all` or `any` of what leaves
//! nothing. A token with such a limit is valid; it is only never made here.

use anyhow::bail;
use evidence::Scope;
use serde_json::{Map, Value, json};

/// URI of the tool with which one constraint is tried.
const TRIED: &str = "stdio:x#x";

/// Refuses a scope with a limit that no value fits.
pub(super) fn check(scope: &Scope) -> anyhow::Result<()> {
    let tools = scope.to_json();
    for (uri, row) in tools.as_object().into_iter().flatten() {
        for (name, constraint) in row.as_object().into_iter().flatten() {
            if is_empty(constraint) {
                let shown = name.escape_default();
                bail!(
                    "no value fits the limit of `{shown}` of `{uri}`: exchange its bounds, or leave the tool out"
                );
            }
        }
    }
    Ok(())
}

/// Whether it is certain that nothing fits.
fn is_empty(constraint: &Value) -> bool {
    match constraint.get("constraint_type").and_then(Value::as_str) {
        Some("range" | "decimal_range") => is_upside_down(constraint),
        Some("any") => inner(constraint).iter().all(is_empty),
        Some("all") => inner(constraint).iter().any(is_empty) || no_named_value_fits(constraint),
        _ => false,
    }
}

fn inner(constraint: &Value) -> &[Value] {
    constraint.get("constraints").and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Bounds with nothing between them.
fn is_upside_down(constraint: &Value) -> bool {
    let (Some(min), Some(max)) = (constraint.get("min"), constraint.get("max")) else { return false };
    let kind = constraint.get("constraint_type").cloned().unwrap_or_default();
    // the lower bound is compared as a call's argument would be: against the upper bound alone
    let is_below =
        |or_equal: bool| fits(&json!({"constraint_type": kind, "max": max, "max_inclusive": or_equal}), min);
    let excluded = |name: &str| constraint.get(name) == Some(&Value::Bool(false));
    let is_exclusive = excluded("min_inclusive") || excluded("max_inclusive");
    !is_below(!is_exclusive)
}

/// Of `all`: one clause names every value that could fit it, and none of them fits the rest.
fn no_named_value_fits(all: &Value) -> bool {
    inner(all).iter().filter_map(named).any(|values| !values.iter().any(|value| fits(all, value)))
}

/// The only values that fit a constraint, where it names them.
fn named(constraint: &Value) -> Option<Vec<Value>> {
    match constraint.get("constraint_type").and_then(Value::as_str)? {
        "exact" => Some(vec![constraint.get("value")?.clone()]),
        "one_of" => constraint.get("values")?.as_array().cloned(),
        _ => None,
    }
}

/// Whether a value passes a constraint, as the check of a call would find. What cannot be tried counts as passing.
fn fits(constraint: &Value, value: &Value) -> bool {
    let args = Map::from_iter([("a".to_owned(), value.clone())]);
    Scope::parse(&json!({TRIED: {"a": constraint}})).map_or(true, |scope| scope.permits(TRIED, &args).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(constraint: &Value) -> anyhow::Result<()> {
        check(&Scope::parse(&json!({"stdio:edr#a": {"n": constraint}})).unwrap())
    }

    #[test]
    fn what_no_value_fits_is_refused_and_what_one_fits_is_not() {
        let range = |min: i64, max: i64| json!({"constraint_type": "range", "min": min, "max": max});
        let decimal =
            |min: &str, max: &str| json!({"constraint_type": "decimal_range", "min": min, "max": max});
        let exact = |value: &str| json!({"constraint_type": "exact", "value": value});
        let several = |kind: &str, these: &[Value]| json!({"constraint_type": kind, "constraints": these});
        let open = |which: &str| {
            let mut range = range(3, 3);
            range[which] = false.into();
            range
        };
        let prefix = json!({"constraint_type": "prefix", "prefix": "a"});
        let some = json!({"constraint_type": "one_of", "values": ["ab", "b"]});
        for empty in [
            range(9, 1),
            range(0, -1),
            decimal("10.01", "10.001"),
            decimal("10", "9.99"),
            open("min_inclusive"),
            open("max_inclusive"),
            several("all", &[prefix.clone(), range(2, 1)]),
            several("all", &[exact("a"), exact("b")]),
            several("all", &[exact("ba"), prefix.clone()]),
            several("any", &[range(2, 1), several("all", &[exact("a"), exact("b")])]),
        ] {
            let error = checked(&empty).unwrap_err().to_string();
            assert!(error.contains("no value fits the limit of `n` of `stdio:edr#a`"), "{empty}: {error}");
        }
        for fitting in [
            range(1, 9),
            range(3, 3),
            decimal("9", "10.0"),
            decimal("1.50", "1.5"),
            json!({"constraint_type": "range", "min": 5, "max": 6, "min_inclusive": false, "max_inclusive": false}),
            json!({"constraint_type": "range", "min": 5}),
            several("all", &[some, prefix.clone()]),
            several("any", &[range(2, 1), prefix]),
        ] {
            checked(&fitting).unwrap_or_else(|error| panic!("{fitting}: {error}"));
        }
    }
}

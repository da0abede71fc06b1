//! Scalars of constraints: strings, booleans, null and integers, and equality with arguments (format §6).

use std::collections::BTreeSet;

use serde_json::{Number, Value};

/// How many elements of a list a description shows.
const SHOWN_ELEMENTS: usize = 8;
/// How many characters of one value a description shows.
const SHOWN_CHARS: usize = 80;

/// What two scalars have in common exactly when their JCS bytes are equal.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Key<'a> {
    Null,
    Bool(bool),
    /// The double that JCS writes, as bits.
    Number(u64),
    Text(&'a str),
}

impl<'a> Key<'a> {
    fn of(value: &'a Value) -> Option<Self> {
        match value {
            Value::Null => Some(Self::Null),
            Value::Bool(value) => Some(Self::Bool(*value)),
            Value::Number(number) => double(number).map(Self::Number),
            Value::String(text) => Some(Self::Text(text)),
            Value::Array(_) | Value::Object(_) => None,
        }
    }
}

/// The bits of the nearest double; one zero only.
fn double(number: &Number) -> Option<u64> {
    number.as_f64().map(|n| if n == 0.0 { 0 } else { n.to_bits() })
}

/// Whether an argument is this scalar: `1` and `1.0` are one value, `"1"` is another.
pub(super) fn same(scalar: &Value, value: &Value) -> bool {
    Key::of(scalar).is_some_and(|key| Some(key) == Key::of(value))
}

/// Whether an argument is one of these scalars.
pub(super) fn is_one_of(value: &Value, scalars: &[Value]) -> bool {
    scalars.iter().any(|scalar| same(scalar, value))
}

/// Whether each of these scalars occurs in a list.
pub(super) fn all_occur(scalars: &[Value], list: &[Value]) -> bool {
    let mut missing: BTreeSet<Key<'_>> = scalars.iter().filter_map(Key::of).collect();
    for key in list.iter().filter_map(Key::of) {
        if missing.is_empty() {
            break;
        }
        missing.remove(&key);
    }
    missing.is_empty()
}

/// The scalars of a list, for asking about many.
pub(super) struct Scalars<'a>(BTreeSet<Key<'a>>);

impl<'a> Scalars<'a> {
    /// What of a list is a scalar.
    pub(super) fn of(list: &'a [Value]) -> Self {
        Self(list.iter().filter_map(Key::of).collect())
    }

    /// Whether every element of a list is one of these; an array or object never is.
    pub(super) fn have_all(&self, list: &[Value]) -> bool {
        list.iter().all(|value| Key::of(value).is_some_and(|key| self.0.contains(&key)))
    }
}

/// A value for people to read.
pub(super) fn shown(value: &Value) -> String {
    match value.as_str() {
        Some(text) => Value::String(cut(text)).to_string(),
        None => value.to_string(),
    }
}

/// A list of values for people to read.
pub(super) fn list(values: &[Value]) -> String {
    let shown: Vec<String> = values.iter().take(SHOWN_ELEMENTS).map(shown).collect();
    format!("[{}{}]", shown.join(","), more(values.len()))
}

/// A list of names for people to read.
pub(super) fn names<S: AsRef<str>>(names: &[S]) -> String {
    some_of(names.iter().map(|name| format!("`{}`", cut(name.as_ref()))), names.len())
}

/// The first few of `len` texts.
pub(super) fn some_of<S: AsRef<str>>(texts: impl Iterator<Item = S>, len: usize) -> String {
    let mut shown = String::new();
    for (at, text) in texts.take(SHOWN_ELEMENTS).enumerate() {
        shown.push_str(if at == 0 { "" } else { ", " });
        shown.push_str(text.as_ref());
    }
    shown + &more(len)
}

/// Text, cut to a length that people read.
pub(super) fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

fn more(len: usize) -> String {
    let hidden = len.saturating_sub(SHOWN_ELEMENTS);
    if hidden == 0 { String::new() } else { format!(" and {hidden} more") }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn any_scalar() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(json!(null)),
            any::<bool>().prop_map(Value::Bool),
            "[a1é]?".prop_map(Value::String),
            (-2_i64..3).prop_map(Value::from),
            prop_oneof![Just(0.0), Just(-0.0), Just(1.0), Just(1.5), Just(9e15), any::<f64>()]
                .prop_filter_map("finite", |n| Number::from_f64(n).map(Value::Number)),
            any::<u64>().prop_map(Value::from),
            Just(json!(9_000_000_000_000_000_u64)),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn equality_is_that_of_jcs(a in any_scalar(), b in any_scalar()) {
            prop_assert_eq!(same(&a, &b), crate::json::jcs(&a) == crate::json::jcs(&b));
            prop_assert!(same(&a, &a));
        }
    }

    #[test]
    fn arrays_and_objects_are_no_scalars() {
        assert!(!same(&json!([]), &json!([])));
        assert!(!Scalars::of(&[json!([])]).have_all(&[json!([])]));
        assert!(Scalars::of(&[]).have_all(&[]));
    }

    #[test]
    fn descriptions_are_cut() {
        assert_eq!(list(&[json!("a"), json!(1)]), r#"["a",1]"#);
        assert_eq!(list(&vec![json!(0); 10]), "[0,0,0,0,0,0,0,0 and 2 more]");
        assert_eq!(cut(&"é".repeat(SHOWN_CHARS)), "é".repeat(SHOWN_CHARS));
        assert_eq!(cut(&"é".repeat(SHOWN_CHARS + 1)), format!("{}…", "é".repeat(SHOWN_CHARS)));
    }
}

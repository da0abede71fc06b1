//! Strict JSON: what two parsers could read differently is refused (format, conventions).
//!
//! Duplicate names, lone surrogates, nesting over [`JSON_DEPTH_MAX`] and text that is not UTF-8 are errors.
//! [`parse_i_json`] also refuses integers beyond ±2^53, because equal digests must mean equal effects.

use serde::de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::limits::{JSON_DEPTH_MAX, JSON_INTEGER_MAX};

/// Why bytes are not acceptable JSON; says where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not acceptable JSON: {0}")]
pub struct JsonError(String);

/// Parses one JSON text strictly.
pub fn parse(bytes: &[u8]) -> Result<Value, JsonError> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = Strict { depth: 0 }
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value))
        .map_err(|error| JsonError(error.to_string()))?;
    Ok(value)
}

/// Parses one JSON text as I-JSON (RFC 7493): strict, and every integer within ±2^53.
pub fn parse_i_json(bytes: &[u8]) -> Result<Value, JsonError> {
    let value = parse(bytes)?;
    check_integers(&value)?;
    Ok(value)
}

/// JCS (RFC 8785) bytes of a value that [`parse`] accepted or that we built ourselves.
pub fn jcs(value: &Value) -> Vec<u8> {
    // INVARIANT (jcs): a `Value` holds finite numbers and string keys only, the two things that JCS can refuse
    serde_json_canonicalizer::to_vec(value).unwrap_or_default()
}

/// [`jcs`] as text.
pub fn jcs_text(value: &Value) -> String {
    String::from_utf8(jcs(value)).unwrap_or_default()
}

fn check_integers(value: &Value) -> Result<(), JsonError> {
    match value {
        Value::Number(number) if !integer_in_range(number) => {
            Err(JsonError(format!("the integer {number} is beyond 2^53 and would not survive every reader")))
        }
        Value::Array(items) => items.iter().try_for_each(check_integers),
        Value::Object(members) => members.values().try_for_each(check_integers),
        _ => Ok(()),
    }
}

fn integer_in_range(number: &Number) -> bool {
    // the largest magnitude is exactly representable; `as` below only widens
    if let Some(n) = number.as_u64() {
        n <= JSON_INTEGER_MAX
    } else if let Some(n) = number.as_i64() {
        n.unsigned_abs() <= JSON_INTEGER_MAX
    } else {
        // a double without fraction is an integer to many readers
        number
            .as_f64()
            .is_some_and(|n| n.is_finite() && (n.fract() != 0.0 || n.abs() <= 9_007_199_254_740_992.0))
    }
}

/// Deserializes into a [`Value`] while refusing what [`Value`] itself would let pass.
struct Strict {
    depth: usize,
}

impl Strict {
    fn deeper<E: de::Error>(&self) -> Result<Self, E> {
        if self.depth >= JSON_DEPTH_MAX {
            return Err(E::custom(format!("nested deeper than {JSON_DEPTH_MAX} levels")));
        }
        Ok(Self { depth: self.depth + 1 })
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("a number that is not finite"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(self.deeper()?)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            if members.contains_key(&name) {
                return Err(de::Error::custom(format!(
                    "the name `{}` stands twice in one object",
                    shorten(&name)
                )));
            }
            let value = map.next_value_seed(self.deeper()?)?;
            members.insert(name, value);
        }
        Ok(Value::Object(members))
    }
}

fn shorten(name: &str) -> String {
    name.chars().take(60).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_two_parsers_read_differently_is_refused() {
        for wrong in [
            r#"{"a":1,"a":2}"#,
            r#"{"x":{"a":1,"\u0061":2}}"#,
            r#""\ud800""#,
            "01",
            "1 2",
            "[1,]",
            "NaN",
            "\u{feff}1",
            "1e999",
        ] {
            assert!(parse(wrong.as_bytes()).is_err(), "{wrong}");
        }
        assert!(parse(b"\"\xff\"").is_err());
    }

    #[test]
    fn nesting_is_limited() {
        let nested = |n: usize| [vec![b'['; n], vec![b']'; n]].concat();
        assert!(parse(&nested(JSON_DEPTH_MAX)).is_ok());
        assert!(parse(&nested(JSON_DEPTH_MAX + 1)).is_err());
    }

    #[test]
    fn integers_beyond_2_to_53_are_refused() {
        for fine in ["9007199254740992", "-9007199254740992", "1.5", "1e3", "0.1"] {
            assert!(parse_i_json(fine.as_bytes()).is_ok(), "{fine}");
        }
        for wrong in ["9007199254740993", "-9007199254740993", "1e17", "[18446744073709551616]"] {
            assert!(parse_i_json(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn jcs_known_answers() {
        let value = parse(br#"{"ticket":"T-1","body":"hello"}"#).unwrap();
        assert_eq!(jcs_text(&value), r#"{"body":"hello","ticket":"T-1"}"#);
        assert_eq!(jcs_text(&parse(b"[1.0,1e2,0.000001,1e-7,-0]").unwrap()), "[1,100,0.000001,1e-7,0]");
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse_i_json(&bytes);
        }

        #[test]
        fn canonical_text_is_a_fixed_point(text in "\\PC{0,20}", n in any::<i32>(), f in any::<f64>()) {
            prop_assume!(f.is_finite());
            let value = serde_json::json!({ text.clone(): [n, f, text, null, true] });
            let once = jcs(&value);
            prop_assert_eq!(jcs(&parse(&once).unwrap()), once);
        }
    }
}

//! Strict JSON: what two parsers could read differently is refused (format, conventions).
//!
//! Duplicate names, lone surrogates, nesting over [`JSON_DEPTH_MAX`] and text that is not UTF-8 are errors.
//! [`parse_i_json`] also refuses numbers that are not exact, because equal digests must mean equal effects.

use serde::de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::decimal::Decimal;
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

/// Parses one JSON text in which every number is *exact* (format §6, Arguments; RFC 7493 §2.2).
///
/// A double keeps the number that the text writes, so that its JCS writes the same one; there is no `-0`; and what has
/// no fraction is within ±2^53. Otherwise two texts with one digest could have two effects, as readers differ in what
/// they make of `0.1000000000000000055`.
pub fn parse_i_json(bytes: &[u8]) -> Result<Value, JsonError> {
    let value = parse(bytes)?;
    numbers(bytes).try_for_each(check_exact)?;
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

/// The number tokens of a text that is known to be JSON.
fn numbers(json: &[u8]) -> impl Iterator<Item = &str> {
    let mut rest = json;
    core::iter::from_fn(move || {
        loop {
            let (first, after) = rest.split_first()?;
            match first {
                b'"' => rest = after_string(after),
                b'-' | b'0'..=b'9' => {
                    let is_part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
                    let end = rest.iter().position(|byte| !is_part(byte)).unwrap_or(rest.len());
                    let (number, after) = rest.split_at(end);
                    rest = after;
                    return core::str::from_utf8(number).ok();
                }
                _ => rest = after,
            }
        }
    })
}

/// What follows a string whose opening quote has been read.
fn after_string(mut rest: &[u8]) -> &[u8] {
    while let Some((first, after)) = rest.split_first() {
        match first {
            b'"' => return after,
            b'\\' => rest = after.get(1..).unwrap_or_default(),
            _ => rest = after,
        }
    }
    rest
}

fn check_exact(written: &str) -> Result<(), JsonError> {
    let wrong = |what: &str| Err(JsonError(format!("the number `{}` {what}", shorten(written))));
    let exact = Decimal::parse_number(written);
    let double = written.parse().ok().and_then(Number::from_f64);
    let (Some(exact), Some(kept)) = (exact, double.as_ref().and_then(Decimal::of)) else {
        return wrong("is not one that every reader can keep");
    };
    if exact.is_zero() && written.starts_with('-') {
        return wrong("is a zero with a sign: write `0`");
    }
    if exact.is_whole() && exact.magnitude() > Decimal::of_integer(JSON_INTEGER_MAX) {
        return wrong("is beyond 2^53 and would not survive every reader: write it as a string");
    }
    if exact != kept {
        return wrong("has more digits than every reader keeps: round it, or write it as a string");
    }
    Ok(())
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
    fn only_exact_numbers_may_be_decided_on() {
        for fine in [
            "9007199254740992",
            "-9007199254740992",
            "9007199254740992.0",
            "4503599627370495.5",
            "1.5",
            "1.0",
            "1e2",
            "0.10",
            "0.1",
            "0",
            "0e5",
            "0.000",
            "0e99999999999999999999",
            "5e-324",
            "1.5e-300",
            r#"{"a":[1,"-0",{"-0":0.5}],"\\\"":"\"1e17"}"#,
        ] {
            assert!(parse_i_json(fine.as_bytes()).is_ok(), "{fine}");
        }
        for wrong in [
            "9007199254740993",
            "-9007199254740993",
            "1e17",
            "[18446744073709551616]",
            "0.1000000000000000055",
            "9007199254740991.5",
            "-0",
            "-0.0",
            "-0e7",
            "1e-400",
            "1e-99999999999999999999",
            "4e-324",
            "1e300",
            r#"{"\\":-0}"#,
            r#"["\"",{"a":0.1000000000000000055}]"#,
        ] {
            let error = parse_i_json(wrong.as_bytes());
            assert!(error.as_ref().is_err_and(|error| error.to_string().contains('`')), "{wrong}: {error:?}");
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
        fn a_double_as_jcs_writes_it_is_exact_unless_it_is_a_large_integer(f in any::<f64>()) {
            prop_assume!(f.is_finite());
            let fits = f.fract() != 0.0 || f.abs() <= 9_007_199_254_740_992.0;
            let text = jcs_text(&serde_json::json!(f));
            prop_assert_eq!(parse_i_json(text.as_bytes()).is_ok(), fits);
            // a digit more than a double keeps
            let longer = format!("{f:.1100}1");
            prop_assert!(parse_i_json(longer.as_bytes()).is_err());
        }

        #[test]
        fn every_number_of_a_text_is_seen(
            numbers in proptest::collection::vec(any::<i32>(), 0..5),
            text in "\\PC{0,9}",
        ) {
            let value = serde_json::json!({ text.clone(): [numbers, {"deeper": [text, numbers.len()]}] });
            let written = value.to_string();
            let seen: Vec<&str> = super::numbers(written.as_bytes()).collect();
            let expected = numbers.iter().map(ToString::to_string).chain([numbers.len().to_string()]);
            prop_assert_eq!(seen, expected.collect::<Vec<_>>());
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

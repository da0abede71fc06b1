//! Members of a JSON object in the order and with the exact text in which they were written.

use core::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// An object's members; values are slices of the text they were read from.
#[derive(Debug)]
pub(crate) struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'a> Members<'a> {
    /// Reads an object; nothing for other JSON. The text was checked strictly before, so names are unique.
    pub(crate) fn of(text: &'a str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// Exact text of the member's value.
    pub(crate) fn get(&self, name: &str) -> Option<&'a str> {
        self.iter().find_map(|(member, value)| (member == name).then_some(value))
    }

    /// The member's value, where it is a string.
    pub(crate) fn string(&self, name: &str) -> Option<String> {
        self.get(name).and_then(|raw| serde_json::from_str(raw).ok())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &'a str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.get()))
    }

    /// Names and exact texts, as they were written.
    pub(crate) fn into_pairs(self) -> impl Iterator<Item = (String, &'a str)> {
        self.0.into_iter().map(|(name, value)| (name, value.get()))
    }

    /// A member that differs from one of `names` in letter case alone. Some parsers match names without regard
    /// to case, so that such a frame would mean one thing here and another there.
    pub(crate) fn look_alike(&self, names: &[&str]) -> Option<&str> {
        let fold = |name: &str| name.to_uppercase().to_lowercase();
        let known: Vec<String> = names.iter().map(|name| fold(name)).collect();
        // no letter that another reader takes for an ASCII one is longer than three bytes
        let longest = 3 * names.iter().map(|name| name.len()).max().unwrap_or(0);
        let is_one =
            |name: &str| name.len() <= longest && !names.contains(&name) && known.contains(&fold(name));
        self.0.iter().map(|(name, _)| name.as_str()).find(|name| is_one(name))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_their_text_and_names_are_decoded() {
        let members = Members::of(r#"{"a": [1.0, 2 ],"\u0062":"x"}"#).unwrap();
        assert_eq!(members.get("a"), Some("[1.0, 2 ]"));
        assert_eq!(members.string("b").as_deref(), Some("x"));
        assert_eq!(members.string("a"), None);
        assert!(Members::of("[1]").is_none());
    }

    #[test]
    fn look_alikes_are_found_beyond_ascii() {
        let of = |text: &str| Members::of(text).unwrap().look_alike(&["params", "task"]).map(str::to_owned);
        assert_eq!(of(r#"{"params":1,"task":2,"other":3}"#), None);
        assert_eq!(of(r#"{"params":1,"Params":2}"#).as_deref(), Some("Params"));
        assert_eq!(of("{\"param\u{17f}\":1}").as_deref(), Some("param\u{17f}"));
        assert_eq!(of("{\"tas\u{212a}\":1}").as_deref(), Some("tas\u{212a}"));
    }
}

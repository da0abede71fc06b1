//! Taking out of a server's frame what only we may say: members of `_meta` whose names begin with `dev.deeds/`.
//!
//! They are found wherever a `_meta` object stands, in one pass over text that was checked to be strict JSON before.
//! All other bytes stay as they are, commas beside what is taken out excepted.

use core::ops::Range;

use evidence::Digest;

use super::frame::Frame;

/// Whose names these are.
const OURS: &str = "dev.deeds/";

/// A frame as it goes on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Clean {
    /// Its bytes: exactly those received, unless something was taken out.
    pub(crate) bytes: Vec<u8>,
    /// Their digest string, where something was.
    pub(crate) digest: Option<String>,
}

impl Clean {
    pub(crate) fn of(frame: Frame) -> Self {
        match without_ours(frame.text()) {
            None => Self { bytes: frame.into_bytes(), digest: None },
            Some(text) => {
                let digest = Digest::of(text.as_bytes()).to_string();
                Self { bytes: text.into_bytes(), digest: Some(digest) }
            }
        }
    }
}

/// The text without our members; nothing when it has none. `text` is strict JSON.
pub fn without_ours(text: &str) -> Option<String> {
    if !may_have_ours(text) {
        return None;
    }
    let mut kept = String::with_capacity(text.len());
    let mut from = 0;
    let mut cuts = Walk::over(text).cuts;
    cuts.sort_by_key(|cut| cut.start);
    for cut in cuts {
        // what lies inside an earlier cut went with it
        if cut.start >= from {
            kept.push_str(text.get(from..cut.start)?);
            from = cut.end;
        }
    }
    kept.push_str(text.get(from..)?);
    (from > 0).then_some(kept)
}

/// Whether the text could have one of our names at all: written out, or with an escape that stands for a printable
/// ASCII character. Nearly every frame has neither.
fn may_have_ours(text: &str) -> bool {
    let is_suspect = |(at, _): (usize, &str)| match text.as_bytes().get(at + 1..) {
        Some([b'/', ..]) => true,
        Some([b'u', b'0', b'0', high, ..]) => (b'2'..=b'7').contains(high),
        _ => false,
    };
    text.contains(OURS) || text.match_indices('\\').any(is_suspect)
}

/// An array or object that is being read.
#[derive(Debug)]
struct Open {
    kind: Kind,
    at: At,
    /// Where the member begins: after the brace or the comma before it.
    begin: usize,
    /// Whether a member before it stays.
    keeps_some: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Array,
    Object,
    /// An object that is the value of a `_meta`.
    Meta,
}

/// Where in an object the walk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// A name comes next.
    Name,
    /// In a member that is called `_meta`.
    Meta,
    /// In a member that is to be taken out.
    Ours,
    /// In another.
    Other,
}

#[derive(Debug, Default)]
struct Walk {
    open: Vec<Open>,
    cuts: Vec<Range<usize>>,
}

impl Walk {
    fn over(text: &str) -> Self {
        let mut walk = Self::default();
        let mut at = 0;
        while let Some(byte) = text.as_bytes().get(at) {
            match byte {
                b'"' => {
                    let end = string_end(text.as_bytes(), at);
                    walk.string(text.get(at..end).unwrap_or_default());
                    at = end;
                    continue;
                }
                b'{' | b'[' => walk.opens(*byte == b'{', at + 1),
                b'}' | b']' => {
                    walk.member_ends(at, false);
                    walk.open.pop();
                }
                b',' => walk.member_ends(at, true),
                _ => {}
            }
            at += 1;
        }
        walk
    }

    fn opens(&mut self, is_object: bool, begin: usize) {
        let in_meta = self.open.last().is_some_and(|open| open.at == At::Meta);
        let (kind, at) = match (is_object, in_meta) {
            (false, _) => (Kind::Array, At::Other),
            (true, false) => (Kind::Object, At::Name),
            (true, true) => (Kind::Meta, At::Name),
        };
        self.open.push(Open { kind, at, begin, keeps_some: false });
    }

    /// A whole string, with its quotation marks.
    fn string(&mut self, quoted: &str) {
        let Some(open) = self.open.last_mut().filter(|open| open.at == At::Name) else { return };
        let plain = quoted.trim_matches('"');
        let unescaped: String;
        let name = if plain.contains('\\') {
            unescaped = serde_json::from_str(quoted).unwrap_or_default();
            &unescaped
        } else {
            plain
        };
        open.at = match open.kind {
            Kind::Meta if name.starts_with(OURS) => At::Ours,
            _ if name == "_meta" => At::Meta,
            _ => At::Other,
        };
    }

    /// A comma, or the end of the object, at `end`.
    fn member_ends(&mut self, end: usize, goes_on: bool) {
        let Some(open) = self.open.last_mut().filter(|open| open.kind != Kind::Array) else { return };
        if open.at == At::Ours {
            // with the comma before it if something stays there, else with the one after it
            self.cuts.push(if open.keeps_some {
                open.begin.saturating_sub(1)..end
            } else {
                open.begin..end + usize::from(goes_on)
            });
        } else {
            open.keeps_some = true;
        }
        open.at = At::Name;
        open.begin = end + 1;
    }
}

/// Where the string that begins at `start` has ended.
fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    loop {
        match bytes.get(at) {
            Some(b'\\') => at += 2,
            Some(b'"') => return at + 1,
            Some(_) => at += 1,
            None => return bytes.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value};

    use super::*;

    #[test]
    fn our_members_go_and_every_other_byte_stays() {
        for (text, clean) in [
            (r#"{"params":{"_meta":{"dev.deeds/x":{"a":[1]}}}}"#, r#"{"params":{"_meta":{}}}"#),
            (r#"{"_meta": { "a":1 , "dev.deeds/x" : 2 } }"#, r#"{"_meta": { "a":1 } }"#),
            (r#"{"_meta":{ "dev.deeds/x":2, "a":1.0}}"#, r#"{"_meta":{ "a":1.0}}"#),
            (r#"{"_meta":{"dev.deeds/x":2,"dev.deeds/y":"}","b":"\n"}}"#, r#"{"_meta":{"b":"\n"}}"#),
            (r#"{"_meta":{"a":1,"dev.deeds/x":2,"b":3,"dev.deeds/":4}}"#, r#"{"_meta":{"a":1,"b":3}}"#),
            (
                r#"{"result":{"content":[{"_meta":{"dev.deeds/x":1}},{"resource":{"_meta":{"dev.deeds/x":1,"k":0}}}]}}"#,
                r#"{"result":{"content":[{"_meta":{}},{"resource":{"_meta":{"k":0}}}]}}"#,
            ),
        ] {
            assert_eq!(without_ours(text).as_deref(), Some(clean), "{text}");
        }
    }

    #[test]
    fn names_are_compared_as_they_read_not_as_they_are_written() {
        for text in [
            r#"{"_meta":{"dev.deeds\/x":1}}"#,
            r#"{"_meta":{"\u0064ev.deeds/x":1}}"#,
            r#"{"_met\u0061":{"dev.deeds\u002fx":1}}"#,
            r#"{"\u005fmeta":{"dev.deeds/x":1}}"#,
        ] {
            let clean: Value = serde_json::from_str(&without_ours(text).unwrap()).unwrap();
            assert_eq!(clean, serde_json::json!({"_meta": {}}), "{text}");
        }
    }

    #[test]
    fn what_is_not_in_a_meta_object_is_not_ours() {
        for text in [
            r#"{"dev.deeds/x":1}"#,
            r#"{"params":{"dev.deeds/x":1,"meta":{"dev.deeds/x":1}}}"#,
            r#"{"_meta":["dev.deeds/x"]}"#,
            r#"{"_meta":{"a":{"dev.deeds/x":1}}}"#,
            r#"{"_meta":{"xdev.deeds/x":1,"Dev.deeds/x":"dev.deeds/x"}}"#,
            r#"{"a":"\"_meta\":{\"dev.deeds/x\":1}"}"#,
            r#"{"_meta":{"a":1},"b":{"dev.deeds/x":"dev.deeds\/"}}"#,
        ] {
            assert_eq!(without_ours(text), None, "{text}");
        }
    }

    #[test]
    fn the_quick_look_misses_no_spelling() {
        for spelled in
            ["dev.deeds/", r"d\u0065v.deeds/", r"dev\u002Edeeds/", r"dev.deeds\/", r"dev.deeds\u002f"]
        {
            assert!(may_have_ours(&format!(r#"{{"_meta":{{"{spelled}x":1}}}}"#)), "{spelled}");
        }
        assert!(!may_have_ours(r#"{"_meta":{"x":"\u00e9\n\"\\"}}"#));
    }

    #[test]
    fn both_digests_are_known_where_something_was_taken_out() {
        let frame = |meta: &str| {
            let text = format!(r#"{{"jsonrpc":"2.0","method":"m","params":{{"_meta":{{{meta}}}}}}}"#);
            Frame::parse(text.into_bytes()).unwrap()
        };
        let clean = Clean::of(frame(r#""dev.deeds/x":1"#));
        assert_eq!(clean.bytes, frame("").text().as_bytes());
        assert_eq!(clean.digest, Some(frame("").digest()));
        assert_eq!(Clean::of(frame(r#""a":1"#)).digest, None);
    }

    /// The same by way of a parsed value.
    fn removed(value: &mut Value, in_meta: bool) -> bool {
        match value {
            Value::Array(items) => {
                items.iter_mut().filter_map(|item| removed(item, false).then_some(())).count() > 0
            }
            Value::Object(members) => {
                let before = members.len();
                if in_meta {
                    members.retain(|name, _| !name.starts_with(OURS));
                }
                let here = members.len() < before;
                members.iter_mut().fold(here, |any, (name, item)| removed(item, name == "_meta") || any)
            }
            _ => false,
        }
    }

    fn json() -> impl Strategy<Value = Value> {
        let name = prop_oneof![Just("_meta".to_owned()), "dev\\.deeds/[ab]", "[ab\"\\\\{,]", any::<String>()];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<i64>().prop_map(Value::from),
            "[\"\\\\{},:a]{0,6}".prop_map(Value::from)
        ];
        leaf.prop_recursive(6, 48, 5, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec((name.clone(), inner), 0..5)
                    .prop_map(|members| Value::Object(members.into_iter().collect::<Map<_, _>>())),
            ]
        })
    }

    proptest! {
        #[test]
        fn it_takes_out_what_a_parsed_value_would_lose(value in json(), pretty: bool, escaped: bool) {
            let mut text =
                if pretty { serde_json::to_string_pretty(&value).unwrap() } else { value.to_string() };
            if escaped {
                text = text.replace("dev.", "d\\u0065v.").replace("_meta", "_met\\u0061");
            }
            let mut expected = value;
            let some = removed(&mut expected, false);
            let clean = without_ours(&text);
            prop_assert_eq!(clean.is_some(), some);
            let clean: Value = serde_json::from_str(clean.as_deref().unwrap_or(&text)).unwrap();
            prop_assert_eq!(clean, expected);
        }
    }
}

//! Finding out what a frame is that is too long to be kept, while its bytes go by.
//!
//! Looks at the names of the top-level members and at the value of `id` alone, and never holds more of them than
//! [`HELD_MAX`] bytes. What is no JSON object gives nothing, or nonsense that names no open request.

use super::Id;
use crate::limits::ID_MAX;

/// Most bytes of a name or an id that are held. A longer name is none of those looked for.
const HELD_MAX: usize = ID_MAX;

/// What is known of a skipped frame.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Skipped {
    /// Its id, where it has exactly one that is acceptable.
    pub id: Option<Id>,
    /// Whether it has a `method`.
    pub has_method: bool,
    /// Whether it has a `result` or an `error`.
    pub has_body: bool,
}

impl Skipped {
    /// The request that it answers, if it is a response.
    pub fn answers(&self) -> Option<&Id> {
        self.id.as_ref().filter(|_| self.has_body && !self.has_method)
    }
}

/// Where in the top-level object the scan is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// Before its brace.
    Start,
    /// Before or in a member's name.
    Name,
    /// Before the colon after a name.
    Colon,
    /// In a member's value.
    Value,
    /// After its last brace, or where no object is.
    Over,
}

/// Where in a string the scan is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Text {
    Outside,
    Inside,
    /// After a backslash.
    Escaped,
}

/// Reads the bytes of one frame as they come.
#[derive(Debug)]
pub struct Scan {
    at: At,
    /// Open brackets and braces inside a value.
    depth: u64,
    text: Text,
    /// The bytes held, and whether there were more.
    held: Vec<u8>,
    is_held_whole: bool,
    /// Whether the value that is read is that of `id`.
    is_id: bool,
    ids: u64,
    found: Skipped,
}

impl Default for Scan {
    fn default() -> Self {
        Self {
            at: At::Start,
            depth: 0,
            text: Text::Outside,
            held: Vec::new(),
            is_held_whole: true,
            is_id: false,
            ids: 0,
            found: Skipped::default(),
        }
    }
}

impl Scan {
    /// Takes the next bytes.
    pub fn take(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if self.at == At::Over {
                return;
            }
            self.step(*byte);
        }
    }

    /// Whether the object has ended.
    pub fn is_over(&self) -> bool {
        self.at == At::Over
    }

    /// What the frame is, as far as its bytes have come.
    pub fn end(self) -> Skipped {
        let one_id = self.ids == 1;
        Skipped { id: self.found.id.filter(|_| one_id), ..self.found }
    }

    fn step(&mut self, byte: u8) {
        if self.text != Text::Outside {
            return self.step_in_string(byte);
        }
        match (self.at, byte) {
            (At::Value, b'"') => {
                self.text = Text::Inside;
                self.hold(byte);
            }
            (At::Name, b'"') => self.text = Text::Inside,
            (At::Value, b'{' | b'[') => {
                self.depth += 1;
                self.hold(byte);
            }
            (At::Value, b'}' | b']' | b',') if self.depth == 0 => {
                self.value_ends();
                self.at = if byte == b',' { At::Name } else { At::Over };
            }
            (At::Value, b'}' | b']') => {
                self.depth -= 1;
                self.hold(byte);
            }
            (At::Value, _) => self.hold(byte),
            (At::Start, b'{') => self.at = At::Name,
            (At::Colon, b':') => self.at = At::Value,
            (_, b' ' | b'\t' | b'\r') => {}
            _ => self.at = At::Over,
        }
    }

    fn step_in_string(&mut self, byte: u8) {
        self.text = match (self.text, byte) {
            (Text::Inside, b'"') => Text::Outside,
            (Text::Inside, b'\\') => Text::Escaped,
            _ => Text::Inside,
        };
        let ends = self.text == Text::Outside;
        if self.at == At::Value || !ends {
            self.hold(byte);
        }
        if ends && self.at == At::Name {
            self.name_ends();
        }
    }

    fn hold(&mut self, byte: u8) {
        let wanted = self.at == At::Name || self.is_id;
        if wanted && self.held.len() < HELD_MAX {
            self.held.push(byte);
        } else if wanted {
            self.is_held_whole = false;
        }
    }

    fn name_ends(&mut self) {
        let quoted = [b"\"", self.held.as_slice(), b"\""].concat();
        let name: Option<String> = serde_json::from_slice(&quoted).ok().filter(|_| self.is_held_whole);
        match name.as_deref() {
            Some("method") => self.found.has_method = true,
            Some("result" | "error") => self.found.has_body = true,
            _ => {}
        }
        self.is_id = name.as_deref() == Some("id");
        self.at = At::Colon;
        self.let_go();
    }

    fn value_ends(&mut self) {
        if self.is_id {
            self.ids += 1;
            let text = core::str::from_utf8(&self.held).ok().filter(|_| self.is_held_whole);
            self.found.id = text.and_then(|text| Id::parse(text.trim_ascii()));
            self.is_id = false;
        }
        self.let_go();
    }

    fn let_go(&mut self) {
        self.held.clear();
        self.is_held_whole = true;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value};

    use super::*;

    fn scanned(text: &str) -> Skipped {
        let mut scan = Scan::default();
        scan.take(text.as_bytes());
        scan.end()
    }

    fn id(text: &str) -> Option<Id> {
        scanned(text).id
    }

    #[test]
    fn the_id_is_found_wherever_it_stands_and_however_it_is_written() {
        let answer = scanned(r#"{"jsonrpc":"2.0","result":{"id":1,"a":[{"id":2},"}\"]"]},"id":7}"#);
        assert_eq!(answer, Skipped { id: Some(Id::Number(7)), has_method: false, has_body: true });
        assert_eq!(answer.answers(), Some(&Id::Number(7)));
        assert_eq!(id("{ \"i\\u0064\" :\t\"a\\\"}\" ,\"error\":{}}"), Some(Id::Text("a\"}".into())));
        assert_eq!(id(r#"{"id":-3}"#), Some(Id::Number(-3)));
        assert_eq!(id(r#"{"id":5,"result":{"cut":"of"#), Some(Id::Number(5)));
    }

    #[test]
    fn what_names_no_request_gives_no_id() {
        for text in [
            r#"{"id":null}"#,
            r#"{"id":[1]}"#,
            r#"{"id":1.5}"#,
            r#"{"id":1,"id":1}"#,
            r#"{"id":1,"id":{}}"#,
            r#"[{"id":1}]"#,
            r#"xxx{"id":1}"#,
            r#"{"id" 1}"#,
            r#""id":1"#,
            "",
        ] {
            assert_eq!(id(text), None, "{text}");
        }
        let request = scanned(r#"{"id":1,"method":"m","result":{}}"#);
        assert_eq!((request.answers(), request.has_method), (None, true));
    }

    #[test]
    fn no_more_than_the_longest_id_is_held() {
        let text = |length: usize| format!(r#"{{"id":"{}"}}"#, "x".repeat(length - 2));
        assert!(id(&text(ID_MAX)).is_some());
        assert_eq!(id(&text(ID_MAX + 1)), None);
        let mut scan = Scan::default();
        scan.take(br#"{"id":""#);
        for _ in 0..100 {
            scan.take(&[b'x'; 1_000]);
        }
        assert_eq!(scan.held.len(), HELD_MAX);
        scan.take(br#"","id2":""#);
        scan.take(&[b'x'; 5_000]);
        assert_eq!(scan.held.len(), 0);
        let mut scan = Scan::default();
        scan.take(format!("{{\"{}", "x".repeat(2 * HELD_MAX)).as_bytes());
        assert_eq!(scan.held.len(), HELD_MAX);
    }

    fn json() -> impl Strategy<Value = Value> {
        let name = prop_oneof!["id|method|result|error|jsonrpc", "[ -~]{0,6}", any::<String>()];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 6, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec((name.clone(), inner), 0..6)
                    .prop_map(|members| Value::Object(members.into_iter().collect::<Map<_, _>>())),
            ]
        })
    }

    proptest! {
        #[test]
        fn it_finds_what_a_whole_reader_finds(value in json(), pretty: bool, cut in 0..64_usize) {
            let text = if pretty {
                serde_json::to_string_pretty(&value).unwrap().replace('\n', " ")
            } else {
                value.to_string()
            };
            let mut scan = Scan::default();
            let (head, tail) = text.as_bytes().split_at(cut.min(text.len()));
            scan.take(head);
            scan.take(tail);
            let found = scan.end();
            let has = |name: &str| value.get(name).is_some();
            let expected = value.get("id").and_then(|id| Id::parse(&id.to_string()));
            prop_assert_eq!(found.id, expected);
            prop_assert_eq!(found.has_method, has("method"));
            prop_assert_eq!(found.has_body, has("result") || has("error"));
        }

        #[test]
        fn any_bytes_are_taken(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut scan = Scan::default();
            scan.take(&bytes);
            let held = scan.held.len();
            scan.end();
            prop_assert!(held <= HELD_MAX);
        }
    }
}

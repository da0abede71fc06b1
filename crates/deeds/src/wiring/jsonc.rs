//! A reader of JSON that knows where each value stands in the text. Comments and commas before a closing bracket are
//! taken too, because VS Code writes them. It reads and never writes: edits are made in the text, at these places, so
//! that everything else stays as somebody formatted it.

use std::ops::Range;

/// Deepest nesting that is read. Configurations of clients have six levels.
const DEPTH_MAX: usize = 128;

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    /// Bytes of the text, brackets and quotation marks included.
    pub(super) at: Range<usize>,
    /// What it is.
    pub(super) value: Value,
}

/// What a value is. Numbers, truth values and `null` are known by their text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Object(Vec<Member>),
    Array(Vec<Node>),
    String(String),
    Plain,
}

/// One member of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) key: String,
    /// Where the key stands, quotation marks included.
    pub(super) key_at: Range<usize>,
    pub(super) node: Node,
}

impl Node {
    /// The member of this name; nothing when there is none, or more than one: which of them counts is the client's
    /// secret.
    pub(super) fn member(&self, name: &str) -> Option<&Member> {
        let mut found = self.members().iter().filter(|member| member.key == name);
        let first = found.next()?;
        found.next().is_none().then_some(first)
    }

    /// Whether a name stands in the object more than once.
    pub(super) fn is_ambiguous(&self, name: &str) -> bool {
        self.members().iter().filter(|member| member.key == name).count() > 1
    }

    /// The members, in the order of the text; none of what is no object.
    pub(super) fn members(&self) -> &[Member] {
        match &self.value {
            Value::Object(members) => members,
            _ => &[],
        }
    }

    /// The text of a string.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::String(text) => Some(text),
            _ => None,
        }
    }
}

/// Reads one value with nothing but blanks and comments around it. The error says what is wrong, and on which line.
pub(super) fn parse(text: &str) -> Result<Node, String> {
    let mut reader = Reader { text, at: 0 };
    if text.starts_with('\u{feff}') {
        reader.at = '\u{feff}'.len_utf8();
    }
    let read = reader.blanks().and_then(|()| reader.value(0)).and_then(|node| {
        reader.blanks()?;
        if reader.at < text.len() { Err("there is more after the end") } else { Ok(node) }
    });
    read.map_err(|what| {
        let line = text.get(..reader.at).unwrap_or(text).matches('\n').count() + 1;
        format!("it is not JSON: line {line}: {what}")
    })
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

type Read<T> = Result<T, &'static str>;

impl Reader<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// Passes over blanks and comments.
    fn blanks(&mut self) -> Read<()> {
        loop {
            let rest = self.rest();
            if rest.starts_with([' ', '\t', '\r', '\n']) {
                self.at += 1;
            } else if rest.starts_with("//") {
                self.at += rest.find('\n').unwrap_or(rest.len());
            } else if rest.starts_with("/*") {
                self.at += rest.find("*/").ok_or("a comment does not end")? + "*/".len();
            } else {
                return Ok(());
            }
        }
    }

    fn value(&mut self, depth: usize) -> Read<Node> {
        if depth >= DEPTH_MAX {
            return Err("it is nested too deeply");
        }
        let start = self.at;
        let value = match self.peek() {
            Some(b'{') => Value::Object(self.list(b'{', b'}', |reader| reader.member(depth))?),
            Some(b'[') => Value::Array(self.list(b'[', b']', |reader| reader.value(depth + 1))?),
            Some(b'"') => Value::String(self.string()?),
            _ => self.plain()?,
        };
        Ok(Node { at: start..self.at, value })
    }

    /// What stands between two brackets, with commas between; one before the closing bracket is passed over.
    fn list<T>(&mut self, open: u8, close: u8, mut one: impl FnMut(&mut Self) -> Read<T>) -> Read<Vec<T>> {
        let mut all = Vec::new();
        self.take(open);
        loop {
            self.blanks()?;
            if self.take(close) {
                return Ok(all);
            }
            all.push(one(self)?);
            self.blanks()?;
            if !self.take(b',') && self.peek() != Some(close) {
                return Err("a comma or a closing bracket is missing");
            }
        }
    }

    fn member(&mut self, depth: usize) -> Read<Member> {
        let start = self.at;
        if self.peek() != Some(b'"') {
            return Err("the name of a member is missing");
        }
        let key = self.string()?;
        let key_at = start..self.at;
        self.blanks()?;
        if !self.take(b':') {
            return Err("a colon is missing after the name of a member");
        }
        self.blanks()?;
        Ok(Member { key, key_at, node: self.value(depth + 1)? })
    }

    fn string(&mut self) -> Read<String> {
        let rest = self.rest();
        let mut escaped = false;
        let end = rest.bytes().enumerate().skip(1).find(|(_, byte)| {
            let ends = *byte == b'"' && !escaped;
            escaped = *byte == b'\\' && !escaped;
            ends
        });
        let (end, _) = end.ok_or("a text does not end")?;
        let literal = rest.get(..=end).ok_or("a text does not end")?;
        let text = serde_json::from_str(literal).map_err(|_| "a text has a wrong escape or a line break")?;
        self.at += literal.len();
        Ok(text)
    }

    fn plain(&mut self) -> Read<Value> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
        let length = self.rest().bytes().take_while(|byte| plain(*byte)).count();
        let word = self.rest().get(..length).unwrap_or_default();
        if word.is_empty() {
            return Err("a value is missing");
        }
        let known = matches!(word, "true" | "false" | "null");
        if !known && serde_json::from_str::<serde_json::Number>(word).is_err() {
            return Err("a value is neither a text nor a number, `true`, `false` or `null`");
        }
        self.at += length;
        Ok(Value::Plain)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_know_where_they_stand() {
        let text = "\u{feff}// c\r\n{ \"a\" : [1, \"x\\u0041\", ], /* , */ \"b\":{\"c\":null,}, } // end";
        let node = parse(text).unwrap();
        let at = |node: &Node| &text[node.at.clone()];
        let a = node.member("a").unwrap();
        assert_eq!((at(&a.node), &text[a.key_at.clone()]), ("[1, \"x\\u0041\", ]", "\"a\""));
        let Value::Array(items) = &a.node.value else { panic!("{a:?}") };
        assert_eq!((items.len(), at(&items[1]), items[1].text()), (2, "\"x\\u0041\"", Some("xA")));
        let c = node.member("b").and_then(|b| b.node.member("c")).unwrap();
        assert_eq!((at(&c.node), &c.node.value), ("null", &Value::Plain));
    }

    #[test]
    fn a_name_that_stands_twice_is_not_guessed_at() {
        let node = parse(r#"{"a":1,"b":2,"\u0061":3}"#).unwrap();
        assert!(node.member("a").is_none() && node.is_ambiguous("a"));
        assert!(node.member("b").is_some() && !node.is_ambiguous("b") && !node.is_ambiguous("c"));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        for (text, line, what) in [
            ("", 1, "a value is missing"),
            ("{\n\"a\" 1}", 2, "colon"),
            ("{\"a\":1\n\"b\":2}", 2, "comma"),
            ("[1,,2]", 1, "a value is missing"),
            ("{a:1}", 1, "name of a member"),
            ("[1] x", 1, "more after the end"),
            ("/* x", 1, "comment does not end"),
            ("\"a\nb\"", 1, "line break"),
            ("[\"a", 1, "text does not end"),
            ("[01]", 1, "neither"),
            ("[undefined]", 1, "neither"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(&format!("line {line}:")) && error.contains(what), "{text:?}: {error}");
        }
    }

    #[test]
    fn nesting_has_a_limit() {
        let nested = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
        assert!(parse(&nested(DEPTH_MAX - 1)).is_ok());
        assert!(parse(&nested(DEPTH_MAX)).unwrap_err().contains("too deeply"));
        assert!(parse(&"[".repeat(1_000_000)).is_err());
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            any::<f64>().prop_map(|n| serde_json::json!(n)),
            "\\PC{0,8}|[\\x00-\\x1f\"\\\\/]{0,4}".prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
                proptest::collection::btree_map("\\PC{0,5}", inner, 0..4)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        })
    }

    /// The same value, read from the places that the reader gives.
    fn read_back(text: &str, node: &Node) -> serde_json::Value {
        match &node.value {
            Value::Object(members) => {
                members.iter().map(|member| (member.key.clone(), read_back(text, &member.node))).collect()
            }
            Value::Array(items) => items.iter().map(|item| read_back(text, item)).collect(),
            Value::String(string) => {
                assert_eq!(serde_json::from_str::<String>(&text[node.at.clone()]).unwrap(), *string);
                string.clone().into()
            }
            Value::Plain => serde_json::from_str(&text[node.at.clone()]).unwrap(),
        }
    }

    proptest! {
        #[test]
        fn all_that_is_json_is_read_as_it_is(value in json(), pretty: bool) {
            let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
            let text = text.unwrap();
            prop_assert_eq!(read_back(&text, &parse(&text).unwrap()), value);
        }

        #[test]
        fn reading_never_panics(text in "\\PC{0,40}|[\\[\\]{}:,\"/*\\\\ \n0-9a-z]{0,60}") {
            let _ = parse(&text);
        }
    }
}

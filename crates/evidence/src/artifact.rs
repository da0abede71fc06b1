//! Artifacts: things with a digest, before and after an act (format §5, objects).

use serde_json::{Map, Value, json};

use crate::Digest;
use crate::label::labels;
use crate::limits::{ARTIFACT_MEDIA_TYPE_MAX_BYTES, ARTIFACT_URI_MAX_BYTES, ARTIFACTS_MAX, JSON_INTEGER_MAX};

/// What the name of a file begins with.
pub const FILE: &str = "file://";

labels! {
    /// What an act did to an artifact.
    Change {
        /// It was not there before.
        Created = "created",
        /// It has other bytes than before.
        Modified = "modified",
        /// It is not there any more.
        Deleted = "deleted",
    }
}

labels! {
    /// On which side of an act artifacts are.
    Role {
        /// Before it.
        Inputs = "inputs",
        /// What came of it.
        Outputs = "outputs",
    }
}

/// A thing with a digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// Its name.
    pub uri: String,
    /// Of its bytes, where they were seen.
    pub digest: Option<Digest>,
    /// How many bytes.
    pub size: Option<u64>,
    /// Media type, as somebody said.
    pub media_type: Option<String>,
    /// What the act did to it.
    pub change: Option<Change>,
    /// Of the bytes that were there before the act.
    pub before: Option<Digest>,
}

/// The artifacts on one side of an act.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Artifacts {
    /// All of them.
    List(List),
    /// What stands for a list that was recorded in parts.
    Many {
        /// How many.
        count: u64,
        /// Of the JCS of the whole list.
        digest: Digest,
    },
}

/// At most [`ARTIFACTS_MAX`] artifacts, each such as the format allows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct List(Vec<Artifact>);

/// Artifacts that cannot be recorded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArtifactError {
    /// Too many in one list.
    #[error(
        "{0} artifacts are more than {ARTIFACTS_MAX}: send them in parts first, then their count and digest"
    )]
    Many(usize),
    /// No more than a list can hold.
    #[error("the count {0} stands for no list of more than {ARTIFACTS_MAX}: send the list itself")]
    Few(u64),
    /// Not a name.
    #[error("the name of artifact {0} is not 1 to {ARTIFACT_URI_MAX_BYTES} bytes without control characters")]
    Uri(usize),
    /// Not a media type.
    #[error(
        "the media type of artifact {0} is not 1 to {ARTIFACT_MEDIA_TYPE_MAX_BYTES} bytes without control characters: \
         leave it out"
    )]
    MediaType(usize),
    /// What is gone has no bytes.
    #[error("artifact {0} is deleted and has a digest: leave it out")]
    Deleted(usize),
    /// Not what the format says.
    #[error("`{1}` of artifact {0} is not as the format says")]
    Member(usize, &'static str),
    /// Neither a list nor what stands for one.
    #[error("the artifacts are neither an array nor an object of `count` and `digest`")]
    Shape,
}

/// Whether text is the name of an artifact.
pub fn is_uri(text: &str) -> bool {
    is_plain(text, ARTIFACT_URI_MAX_BYTES)
}

/// The name of a file (RFC 8089): `file://` and its absolute path, of whose bytes all that RFC 3986 does not allow in a
/// path are percent-encoded in upper-case hex, and no others. So a path has one name, whatever bytes are in it.
pub fn file_uri(path: &[u8]) -> String {
    let mut uri = FILE.to_owned();
    push_path(&mut uri, path);
    uri
}

/// Adds a piece of a path to the name of a file, as [`file_uri`] writes it.
pub fn push_path(uri: &mut String, path: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in path {
        if byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@".contains(&byte) {
            uri.push(byte.into());
            continue;
        }
        uri.push('%');
        for half in [byte >> 4, byte & 15] {
            uri.extend(HEX.get(usize::from(half)).map(|&digit| char::from(digit)));
        }
    }
}

fn is_plain(text: &str, most: usize) -> bool {
    (1..=most).contains(&text.len()) && !text.chars().any(char::is_control)
}

impl Artifact {
    /// Reads one; `at` is its position, for the error.
    fn from_json(value: &Value, at: usize) -> Result<Self, ArtifactError> {
        let members = value.as_object().ok_or(ArtifactError::Shape)?;
        let known = ["uri", "digest", "size", "media_type", "change", "before"];
        if members.keys().any(|name| !known.contains(&name.as_str())) {
            return Err(ArtifactError::Shape);
        }
        let wrong = |name| ArtifactError::Member(at, name);
        let text = |name| match members.get(name) {
            None => Ok(None),
            Some(value) => value.as_str().map(Some).ok_or(wrong(name)),
        };
        let digest = |name| match text(name)? {
            None => Ok(None),
            Some(text) => Digest::parse(text).map(Some).map_err(|_| wrong(name)),
        };
        let size = match members.get("size") {
            None => None,
            Some(size) => Some(uint(size).ok_or(wrong("size"))?),
        };
        let change = match text("change")? {
            None => None,
            Some(word) => Some(Change::parse(word).ok_or(wrong("change"))?),
        };
        let artifact = Self {
            uri: text("uri")?.filter(|uri| is_uri(uri)).ok_or(ArtifactError::Uri(at))?.to_owned(),
            digest: digest("digest")?,
            size,
            media_type: text("media_type")?.map(str::to_owned),
            change,
            before: digest("before")?,
        };
        artifact.check(at).map(|()| artifact)
    }

    fn check(&self, at: usize) -> Result<(), ArtifactError> {
        let media_type = self.media_type.as_deref();
        if !media_type.is_none_or(|text| is_plain(text, ARTIFACT_MEDIA_TYPE_MAX_BYTES)) {
            return Err(ArtifactError::MediaType(at));
        }
        if self.change == Some(Change::Deleted) && self.digest.is_some() {
            return Err(ArtifactError::Deleted(at));
        }
        Ok(())
    }

    /// As the format writes it: what is not known is not there.
    fn to_json(&self) -> Value {
        let digest = |digest: &Option<Digest>| digest.as_ref().map(|digest| json!(digest.to_string()));
        let members = [
            ("uri", Some(json!(self.uri))),
            ("digest", digest(&self.digest)),
            ("size", self.size.map(Value::from)),
            ("media_type", self.media_type.as_ref().map(|text| json!(text))),
            ("change", self.change.map(|change| json!(change.as_str()))),
            ("before", digest(&self.before)),
        ];
        let there = members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        Value::Object(there.collect::<Map<_, _>>())
    }
}

impl List {
    /// Reads an array.
    pub fn from_json(value: &Value) -> Result<Self, ArtifactError> {
        let items = value.as_array().ok_or(ArtifactError::Shape)?;
        if items.len() > ARTIFACTS_MAX {
            return Err(ArtifactError::Many(items.len()));
        }
        let read = items.iter().enumerate().map(|(at, item)| Artifact::from_json(item, at));
        read.collect::<Result<_, _>>().map(Self)
    }

    /// The artifacts.
    pub fn artifacts(&self) -> &[Artifact] {
        &self.0
    }

    /// The array.
    pub fn to_json(&self) -> Value {
        Value::Array(self.0.iter().map(Artifact::to_json).collect())
    }
}

impl Artifacts {
    /// Reads an array, or an object of `count` and `digest`.
    pub fn from_json(value: &Value) -> Result<Self, ArtifactError> {
        let Value::Object(members) = value else { return List::from_json(value).map(Self::List) };
        let count = members.get("count").and_then(uint);
        let digest = members.get("digest").and_then(Value::as_str).map(Digest::parse);
        match (count, digest, members.len()) {
            (Some(count), Some(Ok(_)), 2) if count <= ARTIFACTS_MAX as u64 => Err(ArtifactError::Few(count)),
            (Some(count), Some(Ok(digest)), 2) => Ok(Self::Many { count, digest }),
            _ => Err(ArtifactError::Shape),
        }
    }

    /// Whether there are none: then there is no field.
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::List(list) if list.0.is_empty())
    }

    /// The field.
    pub fn to_json(&self) -> Value {
        match self {
            Self::List(list) => list.to_json(),
            Self::Many { count, digest } => json!({"count": count, "digest": digest.to_string()}),
        }
    }
}

impl Default for Artifacts {
    fn default() -> Self {
        Self::List(List::default())
    }
}

fn uint(value: &Value) -> Option<u64> {
    value.as_u64().filter(|n| *n <= JSON_INTEGER_MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn digest() -> String {
        Digest::of(b"bytes").to_string()
    }

    fn read(value: &Value) -> Result<Value, ArtifactError> {
        Artifacts::from_json(&json!([value])).map(|read| read.to_json()[0].clone())
    }

    #[test]
    fn a_path_of_any_bytes_has_one_name() {
        for (path, uri) in [
            ("/srv/a-b_c.~1/x".as_bytes(), "file:///srv/a-b_c.~1/x"),
            (b"/!$&'()*+,;=:@", "file:///!$&'()*+,;=:@"),
            ("/a b/ü%#?\n".as_bytes(), "file:///a%20b/%C3%BC%25%23%3F%0A"),
            (b"/\xff", "file:///%FF"),
        ] {
            assert_eq!(file_uri(path), uri);
        }
        let mut child = file_uri(b"/etc/");
        push_path(&mut child, b"a b");
        assert_eq!(child, file_uri(b"/etc/a b"));
    }

    proptest! {
        #[test]
        fn two_paths_never_share_a_name(one: Vec<u8>, other: Vec<u8>) {
            prop_assert_eq!(one == other, file_uri(&one) == file_uri(&other));
            prop_assert!(file_uri(&one).is_ascii());
        }
    }

    #[test]
    fn what_the_format_allows_round_trips() {
        let whole = json!({"uri": "file:///w/a", "digest": digest(), "size": 5, "media_type": "text/plain",
            "change": "modified", "before": digest()});
        for value in [
            whole,
            json!({"uri": "x"}),
            json!({"uri": "file:///w/a", "change": "deleted", "before": digest()}),
            json!({"uri": "file:///w/a", "change": "created", "size": JSON_INTEGER_MAX}),
        ] {
            assert_eq!(read(&value), Ok(value));
        }
        for value in [json!([]), json!({"count": 257, "digest": digest()})] {
            assert_eq!(Artifacts::from_json(&value).map(|read| read.to_json()), Ok(value));
        }
        assert!(Artifacts::default().is_empty());
    }

    #[test]
    fn what_it_does_not_allow_is_refused() {
        for (value, error) in [
            (json!({"digest": digest()}), ArtifactError::Uri(0)),
            (json!({"uri": ""}), ArtifactError::Uri(0)),
            (json!({"uri": "file:///w/\u{85}"}), ArtifactError::Uri(0)),
            (json!({"uri": "file:///w/\n"}), ArtifactError::Uri(0)),
            (json!({"uri": 7}), ArtifactError::Member(0, "uri")),
            (json!({"uri": "x", "digest": "sha256:00"}), ArtifactError::Member(0, "digest")),
            (json!({"uri": "x", "digest": null}), ArtifactError::Member(0, "digest")),
            (json!({"uri": "x", "before": "md5:00"}), ArtifactError::Member(0, "before")),
            (json!({"uri": "x", "size": -1}), ArtifactError::Member(0, "size")),
            (json!({"uri": "x", "size": JSON_INTEGER_MAX + 1}), ArtifactError::Member(0, "size")),
            (json!({"uri": "x", "change": "renamed"}), ArtifactError::Member(0, "change")),
            (json!({"uri": "x", "change": "deleted", "digest": digest()}), ArtifactError::Deleted(0)),
            (json!({"uri": "x", "media_type": "a\u{7f}"}), ArtifactError::MediaType(0)),
            (json!({"uri": "x", "mode": 7}), ArtifactError::Shape),
            (json!("file:///w/a"), ArtifactError::Shape),
        ] {
            assert_eq!(read(&value), Err(error), "{value}");
        }
        for (value, error) in [
            (json!({"count": 256, "digest": digest()}), ArtifactError::Few(256)),
            (json!({"count": 257, "digest": "x"}), ArtifactError::Shape),
            (json!({"count": 257}), ArtifactError::Shape),
            (json!({"count": 257, "digest": digest(), "part": 0}), ArtifactError::Shape),
            (json!("x"), ArtifactError::Shape),
            (Value::Null, ArtifactError::Shape),
        ] {
            assert_eq!(Artifacts::from_json(&value), Err(error), "{value}");
        }
    }

    #[test]
    fn limits_hold_at_and_one_past() {
        let list = |count| Value::Array(vec![json!({"uri": "x"}); count]);
        assert!(Artifacts::from_json(&list(ARTIFACTS_MAX)).is_ok());
        let beyond = Artifacts::from_json(&list(ARTIFACTS_MAX + 1));
        assert_eq!(beyond, Err(ArtifactError::Many(ARTIFACTS_MAX + 1)));
        let uri = |len| read(&json!({"uri": "x".repeat(len)}));
        assert!(uri(ARTIFACT_URI_MAX_BYTES).is_ok());
        assert_eq!(uri(ARTIFACT_URI_MAX_BYTES + 1), Err(ArtifactError::Uri(0)));
        let media_type = |len| read(&json!({"uri": "x", "media_type": "x".repeat(len)}));
        assert!(media_type(ARTIFACT_MEDIA_TYPE_MAX_BYTES).is_ok());
        assert_eq!(media_type(ARTIFACT_MEDIA_TYPE_MAX_BYTES + 1), Err(ArtifactError::MediaType(0)));
    }
}

//! Artifacts as entries name them (format §5, objects): things with a URI, a digest, or both.

use std::borrow::Cow;

use evidence::artifact::FILE;
pub use evidence::artifact::file_uri;
use evidence::{Digest, Kind};
use serde_json::Value;

use crate::record::Record;

/// What an act has to do with an artifact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Role {
    /// It was there before the act, and the act was told to have it.
    Input = 1,
    /// It came of the act.
    Output = 2,
    /// It is what the act was answered with: bytes without a name.
    Result = 3,
}

impl Role {
    pub(crate) const ALL: [Self; 3] = [Self::Input, Self::Output, Self::Result];

    /// The role that a column holds.
    pub(crate) fn of(code: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|role| i64::from(*role as u8) == code)
    }

    /// The field of decision or outcome that lists it.
    pub(crate) fn field(self) -> Option<&'static str> {
        match self {
            Self::Input => Some("inputs"),
            Self::Output => Some("outputs"),
            Self::Result => None,
        }
    }

    /// The word in answers.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Output => "output",
            Self::Result => "result",
        }
    }
}

/// One artifact of an entry. Nothing of it was checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Artifact {
    /// Its name, as the entry spells it.
    pub(crate) uri: Option<String>,
    /// Digest string of its bytes, where they were seen.
    pub(crate) digest: Option<String>,
    /// Digest string of the bytes that were there before the act.
    pub(crate) before: Option<String>,
    /// The whole object.
    pub(crate) value: Value,
}

impl Artifact {
    pub(crate) fn of(value: Value) -> Option<Self> {
        let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
        let found =
            Self { uri: text("uri"), digest: text("digest"), before: text("before"), value: Value::Null };
        (found.uri.is_some() || found.digest.is_some()).then_some(Self { value, ..found })
    }

    /// Whether this is the artifact, or one of the versions, that somebody names.
    pub(crate) fn is(&self, uri: Option<&str>, digest: Option<&str>) -> bool {
        let named = |asked: &str| self.uri.as_deref().is_some_and(|own| canonical(own) == canonical(asked));
        (uri.is_some() || digest.is_some())
            && uri.is_none_or(named)
            && digest.is_none_or(|asked| self.digest.as_deref() == Some(asked))
    }
}

/// The artifacts that an entry itself lists, by what its act has to do with them: of a decision, an outcome, or an
/// observation that is a part of a longer list.
pub(crate) fn listed(record: &Record) -> Vec<(Role, Artifact)> {
    match record.kind() {
        Some(Kind::Decided) => list(record.value("inputs"), Role::Input),
        Some(Kind::Finished) => {
            let mut found = list(record.value("outputs"), Role::Output);
            found.extend(result(record));
            found
        }
        Some(Kind::Observed) => {
            part(record).map(|(role, _, value)| list(Some(value), role)).unwrap_or_default()
        }
        _ => Vec::new(),
    }
}

/// The result that an outcome commits to.
fn result(record: &Record) -> Option<(Role, Artifact)> {
    let digest = record.text("result_digest").filter(|digest| Digest::parse(digest).is_ok())?;
    let value = serde_json::json!({"digest": digest});
    Some((Role::Result, Artifact { digest: Some(digest), value, ..Artifact::default() }))
}

/// Which side, which part, and the artifacts of an `artifacts` observation.
pub(crate) fn part(record: &Record) -> Option<(Role, u64, Value)> {
    if record.text("subtype").as_deref() != Some("artifacts") {
        return None;
    }
    let payload = record.value("payload")?;
    let role = match payload.get("role")?.as_str()? {
        "inputs" => Role::Input,
        "outputs" => Role::Output,
        _ => return None,
    };
    Some((role, payload.get("part")?.as_u64()?, payload.get("artifacts")?.clone()))
}

/// How many artifacts a list that is kept in parts has, and the digest string of all of it.
pub(crate) fn many(record: &Record, field: &str) -> Option<(u64, String)> {
    let value = record.value(field)?;
    Some((value.get("count")?.as_u64()?, value.get("digest")?.as_str()?.to_owned()))
}

fn list(value: Option<Value>, role: Role) -> Vec<(Role, Artifact)> {
    let Some(Value::Array(list)) = value else { return Vec::new() };
    list.into_iter().filter_map(Artifact::of).map(|artifact| (role, artifact)).collect()
}

/// The one spelling of a URI that this index compares. Of files it is `file://`, the absolute path, and `%XX` for every
/// byte of it that RFC 3986 does not allow there; other URIs stand as they are.
pub(crate) fn canonical(uri: &str) -> Cow<'_, str> {
    let Some(rest) = uri.strip_prefix("file:") else { return Cow::Borrowed(uri) };
    let path = match rest.strip_prefix("//") {
        Some(rest) => rest.strip_prefix("localhost").filter(|path| path.starts_with('/')).unwrap_or(rest),
        None => rest,
    };
    if !path.starts_with('/') {
        return Cow::Borrowed(uri);
    }
    Cow::Owned(file_uri(&unescaped(path)))
}

/// The absolute path of a file by its URI; nothing for a URI of another kind.
pub fn file_path(uri: &str) -> Option<Vec<u8>> {
    let uri = canonical(uri);
    uri.strip_prefix(FILE).filter(|path| path.starts_with('/')).map(unescaped)
}

/// The bytes behind `%XX`; what is no such escape stands for itself.
fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escaped = after.first_chunk::<2>().filter(|_| *first == b'%').and_then(|two| byte(*two));
        match escaped {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    bytes
}

fn byte(two: [u8; 2]) -> Option<u8> {
    let [high, low] = two.map(|half| char::from(half).to_digit(16));
    u8::try_from(high? * 16 + low?).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn files_have_one_spelling() {
        assert_eq!(file_uri("/srv/a b/ü%.txt".as_bytes()), "file:///srv/a%20b/%C3%BC%25.txt");
        for other in ["file:///srv/%61", "file:/srv/a", "file://localhost/srv/a"] {
            assert_eq!(canonical(other), "file:///srv/a", "{other}");
        }
        assert_eq!(canonical("file:///a%2"), "file:///a%252");
        assert_eq!((file_path("file:/srv/%61"), file_path("https://x/a")), (Some(b"/srv/a".to_vec()), None));
        for same in ["https://x/%61", "file:relative", "file://host", "sha256:aa", ""] {
            assert_eq!(canonical(same), same);
        }
    }

    #[test]
    fn an_artifact_is_named_by_uri_digest_or_both() {
        let value = serde_json::json!({"uri": "file:///a%20b", "digest": "sha256:aa"});
        let artifact = Artifact::of(value).unwrap();
        assert!(artifact.is(Some("file:///a%20b"), None) && artifact.is(None, Some("sha256:aa")));
        assert!(artifact.is(Some("file:/a%20b"), Some("sha256:aa")));
        assert!(!artifact.is(Some("file:///a%20b"), Some("sha256:bb")));
        assert!(!artifact.is(None, None) && !artifact.is(Some("file:///b"), None));
        assert_eq!(Artifact::of(serde_json::json!({"size": 1})), None);
    }

    proptest! {
        #[test]
        fn every_path_comes_back_and_its_uri_is_canonical(path in prop::collection::vec(any::<u8>(), 0..40)) {
            let path = [b"/".as_slice(), &path].concat();
            let uri = file_uri(&path);
            prop_assert!(uri.is_ascii());
            prop_assert_eq!(file_path(&uri), Some(path));
            prop_assert_eq!(canonical(&uri).into_owned(), uri);
        }
    }
}

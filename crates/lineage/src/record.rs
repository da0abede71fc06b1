//! One entry of the log with its fields opened, as far as they can be.

use evidence::body::{self, Binding};
use evidence::entry::{self, Entry};
use evidence::{Digest, FieldSet, Kind, json};
use serde_json::Value;
use store::{KeySlot, Reader};
use zeroize::Zeroizing;

use crate::error::LineageError;

/// Opens sealed bodies with the tenant's key-encryption key.
pub struct Opener {
    kek: Zeroizing<[u8; 32]>,
    /// Key of the marks, made from the key-encryption key and of no other use.
    marks: Zeroizing<[u8; 32]>,
}

/// What is left of an entry's fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// All of them, and they are the ones that the entry commits to.
    Opened(FieldSet),
    /// Their key was destroyed.
    Erased,
    /// There is no body (though the entry has fields).
    Absent,
    /// There is one, and it is not what the entry commits to: damage or tampering. Says what is wrong.
    Damaged(String),
    /// The entry is of a version or kind that this program does not know.
    Uninterpreted,
}

/// One entry, read from the log.
#[derive(Debug, Clone)]
pub struct Record {
    /// Its position.
    pub index: u64,
    /// Its canonical bytes, as the log holds them.
    pub bytes: Vec<u8>,
    /// Its leaf hash.
    pub leaf: [u8; 32],
    /// The decoded entry; nothing for an entry of another version.
    pub entry: Option<Entry>,
    /// Its fields.
    pub content: Content,
}

impl Opener {
    /// With the tenant's key-encryption key.
    pub fn new(kek: [u8; 32]) -> Self {
        let marks = Digest::of_parts(&[b"deeds/index-marks/v1\0", &kek]).0;
        Self { kek: Zeroizing::new(kek), marks: Zeroizing::new(marks) }
    }

    /// What stands in the index for a text that is not in it: enough to find the entries that may hold the text, and
    /// nothing to anybody without the key, who cannot even try a guess.
    pub(crate) fn mark(&self, text: &str) -> i64 {
        let digest = Digest::of_parts(&[&self.marks[..], text.as_bytes()]).0;
        crate::fold::start_of(&digest)
    }

    /// Reads entry `index` and opens its fields. What cannot be opened is said in [`Record::content`]; only a log
    /// that cannot be read is an error.
    pub fn open(&self, reader: &Reader, index: u64) -> Result<Record, LineageError> {
        let bytes = reader.entry(index)?;
        self.open_bytes(reader, index, bytes)
    }

    /// Like [`Opener::open`], for bytes that were read already.
    pub(crate) fn open_bytes(
        &self,
        reader: &Reader,
        index: u64,
        bytes: Vec<u8>,
    ) -> Result<Record, LineageError> {
        let leaf = entry::leaf_hash(&bytes);
        let entry = Entry::decode(&bytes).ok();
        let content = match &entry {
            Some(entry) if entry.kind().is_some_and(Kind::interpreted) => {
                self.content(reader, index, entry)?
            }
            _ => Content::Uninterpreted,
        };
        Ok(Record { index, bytes, leaf, entry, content })
    }

    fn content(&self, reader: &Reader, index: u64, entry: &Entry) -> Result<Content, LineageError> {
        if entry.fields == 0 {
            return Ok(check(FieldSet::new(), entry));
        }
        let wrapped = match reader.key(index)? {
            KeySlot::Present(wrapped) => wrapped,
            KeySlot::Erased => return Ok(Content::Erased),
            KeySlot::Absent => return Ok(Content::Absent),
        };
        let Some(sealed) = reader.body(index)? else { return Ok(Content::Absent) };
        // entry 0 was sealed before its hash, which is the name of the log, was known
        let log_id = if index == 0 { [0; 32] } else { reader.log_id().unwrap_or_default() };
        let binding = Binding { log_id: &log_id, event_id: &entry.event_id, fields_root: &entry.fields_root };
        let opened = body::unwrap_key(&wrapped, &self.kek, &log_id, &entry.event_id)
            .and_then(|key| body::open(&sealed, &key, entry.fields, binding));
        Ok(match opened {
            Ok(fields) => check(fields, entry),
            Err(error) => Content::Damaged(error.to_string()),
        })
    }
}

/// The seal only says who wrote the body; that its values are the committed ones is checked here.
fn check(fields: FieldSet, entry: &Entry) -> Content {
    if fields.root(entry.kind) == entry.fields_root {
        Content::Opened(fields)
    } else {
        Content::Damaged("its fields are not the ones that the entry commits to".into())
    }
}

impl Record {
    /// The kind, where this version knows it.
    pub fn kind(&self) -> Option<Kind> {
        self.entry.as_ref().and_then(Entry::kind)
    }

    /// The opened fields.
    pub fn fields(&self) -> Option<&FieldSet> {
        match &self.content {
            Content::Opened(fields) => Some(fields),
            _ => None,
        }
    }

    /// The exact text of a field.
    pub fn exact(&self, name: &str) -> Option<&str> {
        self.fields()?.get(self.kind()?, name)
    }

    /// The value of a field; nothing for one that is absent, closed or not strict JSON.
    pub fn value(&self, name: &str) -> Option<Value> {
        json::parse(self.exact(name)?.as_bytes()).ok()
    }

    /// The value of a text field.
    pub fn text(&self, name: &str) -> Option<String> {
        match self.value(name)? {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// The value of a number field.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.value(name)?.as_u64()
    }

    /// The value of a field of a type of `evidence`.
    pub fn typed<T: serde::de::DeserializeOwned>(&self, name: &str) -> Option<T> {
        serde_json::from_value(self.value(name)?).ok()
    }

    /// The value of a UUID field.
    pub fn id(&self, name: &str) -> Option<evidence::id::Id> {
        evidence::id::parse(&self.text(name)?)
    }
}

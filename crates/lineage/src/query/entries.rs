//! One entry as the log has it, and the register of principals.

use evidence::entry::Cause;
use evidence::kind::Vantage;
use evidence::label::Assurance;
use evidence::{Digest, EntryError, field, id, json};
use rusqlite::Connection;
use serde::Serialize;
use serde_json::Value;

use super::run::at;
use super::{At, cut};
use crate::answer::{Answer, Fact, Margin};
use crate::error::LineageError;
use crate::fold::sql;
use crate::index::Index;
use crate::limits::ROWS_MAX;
use crate::record::{Content, Record};

/// Answer of [`Index::entry`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EntryAnswer {
    /// Its position.
    pub index: u64,
    /// Its leaf hash, hex.
    pub leaf: String,
    /// Bytes of the entry.
    pub bytes: usize,
    /// Name of its kind, or `uninterpreted`.
    pub kind: &'static str,
    /// Code of its kind; nothing for an entry of another version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<u64>,
    /// Its event id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_id: Option<String>,
    /// The log's clock, ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_ms: Option<u64>,
    /// Its run; nothing for a log-level entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// Its stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<u64>,
    /// Its place in (run, stream).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// Leaf hash of the entry before it there, hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prev: Option<String>,
    /// Leaf hashes of what it refers to, hex; one in another log as `<log id>/<leaf hash>`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<String>,
    /// Where the recorder stood.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vantage: Option<&'static str>,
    /// Retention class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention: Option<u64>,
    /// `opened`, `erased`, `withheld` (no body), `damaged` or `uninterpreted`.
    pub content: &'static str,
    /// Its fields in id order.
    pub fields: Vec<FieldShown>,
}

/// One field of an entry.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FieldShown {
    /// Its id.
    pub id: u8,
    /// Its name in the registry.
    pub name: String,
    /// Its value, or why there is none.
    #[serde(flatten)]
    pub fact: Fact,
    /// The exact text committed to, where it is not the canonical form of `value`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exact: Option<String>,
}

/// Answer of [`Index::principals`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Principals {
    /// By position of the last change, newest first.
    pub principals: Vec<PrincipalRow>,
}

/// One registered key.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PrincipalRow {
    /// Position of its last change.
    pub index: u64,
    /// `principal-registered` or `principal-retired`.
    pub change: Fact,
    /// Position that retired it; absent while it is in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retired: Option<u64>,
    /// {kind, iss, sub, key}.
    pub principal: Fact,
    /// How strongly that identity is known: a word of format §7, or `unknown`.
    pub label: &'static str,
    /// Thumbprint of the key.
    pub thumbprint: Fact,
    /// Erasable names.
    pub display: Fact,
    /// Who made the change.
    pub by: Fact,
}

impl Index {
    /// One entry, decoded, with its fields as far as they open. Needs nothing folded.
    pub fn entry(&self, index: u64) -> Result<Answer<EntryAnswer>, LineageError> {
        let size = self.reader().size();
        let record = self.record(index)?;
        let mut margin = Margin::default();
        margin.note(&record);
        if record.content == Content::Uninterpreted {
            margin
                .left_out
                .push("its content: this version does not interpret entries of its kind or version".into());
        }
        let content = shown(&record, &mut margin);
        Ok(margin.answer(size, content))
    }

    /// All keys that were ever registered, each as its last change left it.
    pub fn principals(&self) -> Result<Answer<Principals>, LineageError> {
        let (size, mut found) = self.read(|db, size| Ok((size, last_changes(db)?)))?;
        let mut margin = Margin::default();
        cut(&mut found, ROWS_MAX, "keys", &mut margin);
        let mut principals = Vec::new();
        for at in found {
            let Some(record) = self.expect(at, &mut margin)? else { continue };
            let label = registered_as(&record);
            principals.push(PrincipalRow {
                index: record.index,
                change: Fact::of(&record, "change"),
                // whatever is not a registration leaves the key out of force, as in the checks of a delegation
                retired: (record.text("change").as_deref() != Some("principal-registered"))
                    .then_some(record.index),
                principal: Fact::of(&record, "principal").assured(label),
                label: label.map_or("unknown", Assurance::as_str),
                thumbprint: Fact::of(&record, "thumbprint"),
                display: Fact::of(&record, "display").assured(Some(Assurance::Asserted)),
                by: Fact::of(&record, "by").assured(Some(Assurance::Inferred)),
            });
        }
        Ok(margin.answer(size, Principals { principals }))
    }
}

/// How strongly a registered identity is known: what the entry says, which is text or {"principal": text}.
pub(super) fn registered_as(record: &Record) -> Option<Assurance> {
    let value = record.value("assurance")?;
    let text = value.as_str().or_else(|| value.get("principal").and_then(Value::as_str))?;
    Assurance::parse(text)
}

fn last_changes(db: &Connection) -> rusqlite::Result<Vec<At>> {
    db.prepare_cached(
        "SELECT idx, leaf FROM keys WHERE idx IN (SELECT MAX(idx) FROM keys GROUP BY thumbprint)
         ORDER BY idx DESC LIMIT ?1",
    )?
    .query_map([sql(ROWS_MAX + 1)], at)?
    .collect()
}

fn shown(record: &Record, margin: &mut Margin) -> EntryAnswer {
    let kind = record.kind().map_or("uninterpreted", evidence::Kind::name);
    let mut answer = EntryAnswer {
        index: record.index,
        leaf: Digest(record.leaf).hex(),
        bytes: record.bytes.len(),
        kind,
        code: None,
        event_id: None,
        observed_ms: None,
        run: None,
        stream: None,
        seq: None,
        prev: None,
        causes: Vec::new(),
        vantage: None,
        retention: None,
        content: content_word(&record.content),
        fields: Vec::new(),
    };
    let Some(entry) = &record.entry else {
        // an unknown version is for a newer program; anything else should never have been in the log
        if let Err(error) = evidence::Entry::decode(&record.bytes)
            && !matches!(error, EntryError::Version(_))
        {
            margin.finding("entry-malformed", Some(record.index), error.to_string());
        }
        return answer;
    };
    answer.code = Some(entry.kind);
    answer.event_id = Some(id::text(&entry.event_id));
    answer.observed_ms = Some(entry.observed_ms);
    answer.run = (entry.run != id::LOG_LEVEL).then(|| id::text(&entry.run));
    answer.stream = Some(entry.stream);
    answer.seq = Some(entry.seq);
    answer.prev = Some(Digest(entry.prev).hex());
    answer.causes = entry.causes.iter().map(cause_text).collect();
    answer.vantage = Some(Vantage::name_of(entry.vantage));
    answer.retention = Some(entry.retention);
    answer.fields = field::ids(entry.fields).map(|id| field_shown(record, id)).collect();
    answer
}

fn content_word(content: &Content) -> &'static str {
    match content {
        Content::Opened(_) => "opened",
        Content::Erased => "erased",
        Content::Absent => "withheld",
        Content::Damaged(_) => "damaged",
        Content::Uninterpreted => "uninterpreted",
    }
}

fn cause_text(cause: &Cause) -> String {
    match cause {
        Cause::Here(leaf) => Digest(*leaf).hex(),
        Cause::Elsewhere(log, leaf) => format!("{}/{}", Digest(*log).hex(), Digest(*leaf).hex()),
    }
}

fn field_shown(record: &Record, id: u8) -> FieldShown {
    let name = record.kind().and_then(|kind| kind.fields().get(usize::from(id)).copied());
    let exact = record.fields().and_then(|fields| fields.iter().find(|field| field.id == id));
    let Some(name) = name else {
        // a field that the registry of this version does not name
        let fact = exact.map_or_else(
            || Fact::missing("damaged", Some(record.index)),
            |field| Fact::recorded(json::parse(field.value.as_bytes()).unwrap_or_default(), record.index),
        );
        return FieldShown {
            id,
            name: format!("field {id}"),
            fact,
            exact: exact.map(|field| field.value.clone()),
        };
    };
    let exact = exact
        .map(|field| field.value.clone())
        .filter(|text| json::parse(text.as_bytes()).map_or(true, |value| json::jcs_text(&value) != *text));
    FieldShown { id, name: name.to_owned(), fact: Fact::of(record, name), exact }
}

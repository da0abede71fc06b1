//! The shape of every answer: facts with their labels, findings, and how much of the log it reflects.

use std::collections::HashMap;

use evidence::Kind;
use evidence::label::{Assurance, Check};
use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::limits::OPENED_CACHED;
use crate::record::{Content, Record};

/// An answer. Serialized, the content's own members stand beside `size`, `complete`, `left_out` and `findings`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Answer<T> {
    /// Entries of the log that it takes into account.
    pub size: u64,
    /// Whether everything that was asked for, and is recorded, is in it.
    pub complete: bool,
    /// What is not in it and why, in sentences.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
    /// What is wrong with the evidence behind it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
    /// What was asked.
    #[serde(flatten)]
    pub content: T,
}

/// Something wrong with the evidence behind an answer, or with what it is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// A stable word: those of format §10, and `body-damaged`, `index-mismatch`; of artifacts `withdrawn`,
    /// `replaced-since`, `replaced-between`, `artifacts-mismatch`.
    pub code: String,
    /// The entry it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<u64>,
    /// What is wrong, in a sentence.
    pub text: String,
}

/// One fact with its labels (DESIGN §4).
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Fact {
    /// What is known; `null` where nothing is.
    pub value: Value,
    /// Why nothing is known: `unknown` (it could not be seen), `erased`, `withheld` (not in the log's keeping),
    /// `damaged`, or `none` (there is no such thing here).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<&'static str>,
    /// How strongly an identity is known, or where a claim comes from.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "assurance")]
    pub assurance: Option<Assurance>,
    /// What was checked for this answer, and with whose key.
    #[serde(serialize_with = "check")]
    pub check: Check,
    /// The entry that says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<u64>,
}

impl Fact {
    /// A recorded value that no signature was checked for.
    pub fn recorded(value: impl Into<Value>, index: u64) -> Self {
        Self {
            value: value.into(),
            missing: None,
            assurance: None,
            check: Check::NotChecked,
            index: Some(index),
        }
    }

    /// Nothing, and why.
    pub fn missing(why: &'static str, index: Option<u64>) -> Self {
        Self { value: Value::Null, missing: Some(why), assurance: None, check: Check::NotChecked, index }
    }

    /// The field `name` of an entry.
    pub fn of(record: &Record, name: &str) -> Self {
        match (&record.content, record.value(name)) {
            (Content::Opened(_), Some(value)) => match unknown(&value) {
                Some(_) => Self { value, ..Self::missing("unknown", Some(record.index)) },
                None if value.is_null() => Self::missing("none", Some(record.index)),
                None => Self::recorded(value, record.index),
            },
            (content, _) => Self::missing(why_missing(content), Some(record.index)),
        }
    }

    /// With an assurance.
    #[must_use]
    pub fn assured(mut self, assurance: Option<Assurance>) -> Self {
        self.assurance = assurance;
        self
    }

    /// With a check, which is only kept where there is a value that it can be about.
    #[must_use]
    pub fn checked(mut self, check: Check) -> Self {
        if self.missing.is_none() {
            self.check = check;
        }
        self
    }

    /// The value as text, where it is one.
    pub fn text(&self) -> Option<&str> {
        self.value.as_str()
    }
}

// `serialize_with` hands over a reference to the field, whatever its type
#[expect(
    clippy::ref_option,
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature that serde asks for"
)]
fn assurance<S: Serializer>(label: &Option<Assurance>, out: S) -> Result<S::Ok, S::Error> {
    label.map(Assurance::as_str).serialize(out)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
fn check<S: Serializer>(label: &Check, out: S) -> Result<S::Ok, S::Error> {
    label.as_str().serialize(out)
}

/// The reason in `{"unknown": reason}`, the value of what cannot be seen.
pub fn unknown(value: &Value) -> Option<&str> {
    let members = value.as_object().filter(|members| members.len() == 1)?;
    members.get("unknown")?.as_str()
}

fn why_missing(content: &Content) -> &'static str {
    match content {
        Content::Opened(_) => "none",
        Content::Erased => "erased",
        Content::Absent => "withheld",
        Content::Damaged(_) | Content::Uninterpreted => "damaged",
    }
}

/// Collects what belongs beside the content of an answer.
#[derive(Debug, Default)]
pub(crate) struct Margin {
    pub(crate) left_out: Vec<String>,
    findings: Vec<Finding>,
    /// Whether some of the evidence is damaged, which the findings say.
    damaged: bool,
    /// Entries that many parts of one answer rest on, opened once: roots, keys, orders.
    opened: HashMap<u64, Record>,
}

impl Margin {
    /// Something is wrong with the evidence.
    pub(crate) fn finding(&mut self, code: &str, index: Option<u64>, text: impl Into<String>) {
        self.damaged = true;
        self.found(code, index, text);
    }

    /// The evidence is whole, and says that something is wrong with what it is about.
    pub(crate) fn found(&mut self, code: &str, index: Option<u64>, text: impl Into<String>) {
        let found = Finding { code: code.to_owned(), index, text: text.into() };
        if !self.findings.contains(&found) {
            self.findings.push(found);
        }
    }

    /// An entry that was opened for this answer before.
    pub(crate) fn opened(&self, index: u64, leaf: &[u8; 32]) -> Option<Record> {
        self.opened.get(&index).filter(|record| record.leaf == *leaf).cloned()
    }

    /// Keeps an entry of a kind that is asked for again and again.
    pub(crate) fn keep(&mut self, record: &Record) {
        let kinds = [
            Kind::Delegated,
            Kind::KeyOrTrustChanged,
            Kind::Revoked,
            Kind::HaltedOrResumed,
            Kind::DefinitionChanged,
            Kind::LabelChanged,
        ];
        if record.kind().is_some_and(|kind| kinds.contains(&kind)) {
            if self.opened.len() >= OPENED_CACHED {
                self.opened.clear();
            }
            self.opened.insert(record.index, record.clone());
        }
    }

    /// Notes what is wrong with an entry's fields.
    pub(crate) fn note(&mut self, record: &Record) {
        match &record.content {
            Content::Damaged(problem) => self.finding("body-damaged", Some(record.index), problem.clone()),
            Content::Absent => {
                self.finding("body-missing", Some(record.index), "the fields of this entry are not there");
            }
            _ => {}
        }
    }

    pub(crate) fn answer<T>(self, size: u64, content: T) -> Answer<T> {
        // an answer from damaged evidence is never called complete
        let complete = self.left_out.is_empty() && !self.damaged;
        Answer { size, complete, left_out: self.left_out, findings: self.findings, content }
    }
}

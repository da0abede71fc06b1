//! Drafts: entries prepared in the caller's thread, complete but for what only sequencing knows.

use std::sync::Arc;

use evidence::body::{self, Binding};
use evidence::id::{self, Id, LOG_LEVEL};
use evidence::json::jcs_text;
use evidence::limits::VALUE_SEALED_MAX_BYTES;
use evidence::{Cause, Digest, Entry, Field, FieldSet, Kind, Vantage};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::control::{Change, Wrapped};
use crate::{Clock, Entropy, RecorderError};

/// What a draft refers to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum CauseRef {
    /// An entry that is in the log already.
    Leaf([u8; 32]),
    /// The item before it in the same draft.
    Previous,
    /// The first item of the same draft.
    First,
}

/// What must hold of the control state for a draft to be written; checked on the sequencer thread.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Guard {
    /// Nothing.
    None,
    /// The log is empty.
    Empty,
    /// An order: the key that signed it, if any, is in force, and so is the halt that it lifts, if any; the signed
    /// order with the token digest `order` was not carried out before.
    Orders { key: Option<String>, order: Option<String>, lifts: Option<u64> },
    /// The mandate is not on record yet, and the key that signed it is in force.
    NewMandate { digest: String, key: String },
    /// The run is not there yet, and what it begins on stands as it was found; its parent, if any, is open.
    NewRun { ground: Ground, parent: Option<Id> },
    /// A run that records the issuance of a root and ends at once: the sequencer adds the manifest.
    Issues(Ground),
    /// The run is open, and this is the number of its next stream.
    Joins { stream: u64, ground: Ground },
    /// The run is open, has this stream and none of these links; the log level stands at this position.
    Takes { log_index: u64 },
    /// The run is open and has this stream.
    RunOpen,
    /// The run is open and this stream of it wraps this server, which tells something: the sequencer adds how it
    /// differs from what was known.
    Tells { server: String },
    /// The run is open and has this stream, and a part of a list of artifacts that says the same of the same attempt
    /// was not recorded lately.
    NewPart,
    /// A decision made at this position of the log-level chain, under this proof.
    Decides {
        log_index: u64,
        policy: String,
        act_id: String,
        asked: [u8; 32],
        /// The decision that this is a further attempt after, at the same (see [`crate::control::what`]); its outcome
        /// becomes a cause.
        retry_of: Option<(u64, [u8; 32])>,
        /// What the stream was known to wrap: pins were held against it.
        server: Option<Wrapped>,
        /// Leaf key and counter of the proof that an allow uses up.
        uses: Option<(String, u64)>,
    },
    /// The outcome of an attempt that is open, by the index of its decision.
    Finishes { decision: u64, event: String },
    /// `unknown` for an attempt that is still open.
    Abandons { decision: u64 },
    /// An outcome that comes too late, into a stream of its own.
    Late { decision: u64, event: String, stream: u64 },
    /// The manifest: the chains stand as listed, and no act is open.
    Ends { streams: Vec<(u64, u64)> },
    /// The manifest of one late stream.
    Closes { count: u64 },
    /// No key of this thumbprint was ever registered.
    NewKey { thumbprint: String },
    /// The key is in force.
    KeyInForce { thumbprint: String },
}

/// What a run begins on; it must still be so when it is written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Ground {
    /// Position of the log-level chain at which keys, mandates and orders were looked at.
    pub(crate) log_index: u64,
    /// Name of the task, where it is one that is remembered.
    pub(crate) task: Option<String>,
    pub(crate) txn: String,
    /// The part of tool URIs before `#`.
    pub(crate) server: String,
    /// Digest string of the command behind it.
    pub(crate) command: String,
}

/// One entry to be.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub(crate) kind: Kind,
    pub(crate) event_id: Id,
    pub(crate) run: Id,
    pub(crate) stream: u64,
    pub(crate) causes: Vec<CauseRef>,
    pub(crate) vantage: Vantage,
    pub(crate) mask: u64,
    pub(crate) root: [u8; 32],
    pub(crate) body: Vec<u8>,
    pub(crate) key: [u8; body::WRAPPED_KEY_BYTES],
    pub(crate) change: Change,
}

/// Entries that are written together or not at all.
#[derive(Debug, Clone)]
pub(crate) struct Draft {
    pub(crate) guard: Guard,
    pub(crate) items: Vec<Item>,
}

impl Draft {
    pub(crate) fn one(guard: Guard, item: Item) -> Self {
        Self { guard, items: vec![item] }
    }

    /// Whether it is about all runs: what was looked at before it is stale behind it.
    pub(crate) fn is_log_level(&self) -> bool {
        self.items.first().is_some_and(|item| item.run == LOG_LEVEL)
    }

    /// Outcomes and ends of runs have their room from the start: a permit that was given must be able to end.
    pub(crate) fn is_promised(&self) -> bool {
        matches!(
            self.guard,
            Guard::Finishes { .. }
                | Guard::Abandons { .. }
                | Guard::Late { .. }
                | Guard::Ends { .. }
                | Guard::Closes { .. }
        )
    }
}

/// Where an entry goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) run: Id,
    pub(crate) stream: u64,
    pub(crate) vantage: Vantage,
}

impl Place {
    /// The log-level chain.
    pub(crate) const LOG: Self = Self { run: LOG_LEVEL, stream: 0, vantage: Vantage::Log };

    /// A stream of a run, seen from inside the agent's trust domain.
    pub(crate) fn harness(run: Id, stream: u64) -> Self {
        Self { run, stream, vantage: Vantage::Harness }
    }

    /// A stream of a run, the log speaking about it.
    pub(crate) fn log(run: Id, stream: u64) -> Self {
        Self { run, stream, vantage: Vantage::Log }
    }
}

/// Salts, commits and seals the fields of an entry.
#[derive(Clone)]
pub(crate) struct Sealer {
    pub(crate) kek: Arc<Zeroizing<[u8; 32]>>,
    /// Zeros while entry 0 is being made.
    pub(crate) log_id: [u8; 32],
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Sealer {
    /// Makes an item of `kind` from its fields; values are JSON, in the registry's names.
    pub(crate) fn item(&self, kind: Kind, place: Place, fields: Fields) -> Result<Item, RecorderError> {
        let mut random = [0; 10];
        self.entropy.fill(&mut random);
        let event_id = id::uuid_v7(self.clock.wall_ms(), &random);
        self.item_with_id(kind, place, fields, event_id)
    }

    /// The same with an event id that the caller chose (and repeats when it sends the event again).
    pub(crate) fn item_with_id(
        &self,
        kind: Kind,
        place: Place,
        fields: Fields,
        event_id: Id,
    ) -> Result<Item, RecorderError> {
        let set = self.salted(kind, fields)?;
        let (mask, root) = (set.mask(), set.root(u64::from(kind.code())));
        let (body, key) = self.seal(&set, &event_id, &root)?;
        let entry = Entry {
            kind: u64::from(kind.code()),
            event_id,
            observed_ms: 0,
            run: place.run,
            stream: place.stream,
            seq: 0,
            prev: [0; 32],
            causes: Vec::new(),
            vantage: u64::from(place.vantage.code()),
            fields: mask,
            fields_root: root,
            retention: 0,
        };
        let change = Change::of(&entry, &set).map_err(|error| RecorderError::Invalid(error.to_string()))?;
        let (run, stream, vantage) = (place.run, place.stream, place.vantage);
        Ok(Item { kind, event_id, run, stream, causes: Vec::new(), vantage, mask, root, body, key, change })
    }

    fn salted(&self, kind: Kind, fields: Fields) -> Result<FieldSet, RecorderError> {
        let mut salts = vec![0; fields.0.len() * 16];
        self.entropy.fill(&mut salts);
        let mut set = FieldSet::new();
        for ((name, value), salt) in fields.0.into_iter().zip(salts.as_chunks::<16>().0) {
            // INVARIANT (registry): every name written here is in the registry; the tests write each one
            let id = kind.field_id(name).ok_or_else(|| {
                RecorderError::Invalid(format!("the format has no field `{name}` for {}", kind.name()))
            })?;
            set.insert(Field { id, salt: *salt, value });
        }
        Ok(set)
    }

    fn seal(
        &self,
        set: &FieldSet,
        event_id: &Id,
        fields_root: &[u8; 32],
    ) -> Result<(Vec<u8>, [u8; body::WRAPPED_KEY_BYTES]), RecorderError> {
        let mut random = Zeroizing::new([0; 56]);
        self.entropy.fill(random.as_mut_slice());
        let (key, nonce) = random.split_at(32);
        let (Ok(key), Ok(nonce)) = (<&[u8; 32]>::try_from(key), <&[u8; 24]>::try_from(nonce)) else {
            return Err(RecorderError::Invalid("a key of another length".into()));
        };
        let invalid = |error: body::BodyError| RecorderError::Invalid(error.to_string());
        let binding = Binding { log_id: &self.log_id, event_id, fields_root };
        let sealed = body::seal(set, key, binding).map_err(invalid)?;
        let wrapped = body::wrap_key(key, &self.kek, nonce, &self.log_id, event_id).map_err(invalid)?;
        Ok((sealed, wrapped))
    }
}

/// Field values by registry name, in any order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fields(Vec<(&'static str, String)>);

impl Fields {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// A value made here: kept as JCS.
    pub(crate) fn json(mut self, name: &'static str, value: &Value) -> Self {
        self.0.push((name, jcs_text(value)));
        self
    }

    /// A text value.
    pub(crate) fn text(self, name: &'static str, value: &str) -> Self {
        self.json(name, &Value::from(value))
    }

    /// A value that may be missing.
    pub(crate) fn maybe(self, name: &'static str, value: Option<&Value>) -> Self {
        match value {
            Some(value) => self.json(name, value),
            None => self,
        }
    }

    /// A value kept byte for byte as it was seen, or made here as JCS. One that is too long is kept as digest and
    /// size.
    pub(crate) fn raw(self, name: &'static str, text: impl Into<String>) -> Self {
        self.within(VALUE_SEALED_MAX_BYTES, name, text.into())
    }

    /// The same with a limit of its own.
    pub(crate) fn within(mut self, limit: usize, name: &'static str, text: String) -> Self {
        if text.len() > limit {
            return self.json(name, &long_value(&text));
        }
        self.0.push((name, text));
        self
    }

    /// A value that cannot be seen, and why.
    pub(crate) fn unknown(self, name: &'static str, why: &str) -> Self {
        self.json(name, &json!({"unknown": why}))
    }
}

/// What stands for a value that is too long to be sealed in an entry.
pub(crate) fn long_value(text: &str) -> Value {
    json!({"digest": Digest::of(text.as_bytes()).to_string(), "size": text.len()})
}

impl Item {
    /// The entry, once its place in time and chain is known; `before` are the leaf hashes of the items before it in the
    /// same draft.
    pub(crate) fn entry(&self, observed_ms: u64, seq: u64, prev: [u8; 32], before: &[[u8; 32]]) -> Entry {
        let causes = self.causes.iter().filter_map(|cause| match cause {
            CauseRef::Leaf(leaf) => Some(Cause::Here(*leaf)),
            CauseRef::Previous => before.last().copied().map(Cause::Here),
            CauseRef::First => before.first().copied().map(Cause::Here),
        });
        Entry {
            kind: u64::from(self.kind.code()),
            event_id: self.event_id,
            observed_ms,
            run: self.run,
            stream: self.stream,
            seq,
            prev,
            causes: causes.collect(),
            vantage: u64::from(self.vantage.code()),
            fields: self.mask,
            fields_root: self.root,
            retention: 0,
        }
    }

    pub(crate) fn caused_by(mut self, cause: CauseRef) -> Self {
        self.causes.push(cause);
        self
    }
}

//! A log in memory: entries with their fields, and the tree over them.

use std::collections::BTreeMap;

use ed25519_dalek::SigningKey;
use evidence::id::{self, Id, LOG_LEVEL};
use evidence::json::jcs_text;
use evidence::{Cause, Entry, Field, FieldSet, Kind, Vantage};
use serde_json::Value;
use tlog::Hash;
use tlog::checkpoint::Checkpoint;
use tlog::note::{self, VerifierKey};

use crate::clock::HandClock;
use crate::random::{SeededRandom, signing_key};

/// When every built log begins, ms.
const START_MS: u64 = 1_795_000_000_000;

/// An entry to be written: everything but what sequencing adds. Change what you like before it is appended.
#[derive(Debug, Clone)]
pub struct Draft {
    /// Code of the kind.
    pub kind: u64,
    /// The run; zeros for log-level entries.
    pub run: Id,
    /// The stream.
    pub stream: u64,
    /// Code of the vantage.
    pub vantage: u64,
    /// What it refers to.
    pub causes: Vec<Cause>,
    /// Exact value by field id.
    pub fields: BTreeMap<u8, String>,
}

impl Draft {
    /// A log-level entry of a kind, without fields.
    pub fn new(kind: Kind) -> Self {
        Self::of_code(u64::from(kind.code()))
    }

    /// The same for a code that may not be known.
    pub fn of_code(kind: u64) -> Self {
        Self {
            kind,
            run: LOG_LEVEL,
            stream: 0,
            vantage: u64::from(Vantage::Log.code()),
            causes: Vec::new(),
            fields: BTreeMap::new(),
        }
    }

    /// Of a run, in its stream 0, as a harness writes it.
    #[must_use]
    pub fn run(mut self, run: Id) -> Self {
        self.run = run;
        self.vantage = u64::from(Vantage::Harness.code());
        self
    }

    /// In another stream.
    #[must_use]
    pub fn stream(mut self, stream: u64) -> Self {
        self.stream = stream;
        self
    }

    /// Refers to an entry of this log.
    #[must_use]
    pub fn cause(mut self, leaf: Hash) -> Self {
        self.causes.push(Cause::Here(leaf));
        self
    }

    /// Adds or replaces a field by its name, in JCS form.
    #[must_use]
    pub fn with(self, name: &str, value: &Value) -> Self {
        let text = jcs_text(value);
        self.raw(name, &text)
    }

    /// Adds or replaces a field by its name, with exactly this text.
    #[must_use]
    pub fn raw(mut self, name: &str, text: &str) -> Self {
        let id = self.field_id(name);
        self.fields.insert(id, text.to_owned());
        self
    }

    /// Leaves a field out.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        let id = self.field_id(name);
        self.fields.remove(&id);
        self
    }

    fn field_id(&self, name: &str) -> u8 {
        let kind = Kind::from_code(self.kind).expect("a kind with a registry");
        kind.field_id(name).expect("a field of the registry")
    }
}

/// One entry of the log, with its opened fields.
#[derive(Debug, Clone)]
pub struct Written {
    /// The entry; none where its bytes are not those of one.
    pub entry: Option<Entry>,
    /// The leaf.
    pub bytes: Vec<u8>,
    /// Salts and values.
    pub fields: FieldSet,
    /// RFC 6962 leaf hash.
    pub leaf: Hash,
}

impl Written {
    /// Encodes an entry.
    pub fn of(entry: Entry, fields: FieldSet) -> Self {
        let bytes = entry.encode();
        Self { leaf: tlog::leaf_hash(&bytes), entry: Some(entry), bytes, fields }
    }

    /// The same entry after a change, encoded again.
    #[must_use]
    pub fn changed(mut self, change: impl FnOnce(&mut Entry)) -> Self {
        let mut entry = self.entry.take().expect("an entry");
        change(&mut entry);
        Self::of(entry, self.fields)
    }
}

/// A log in memory, its keys and its clock.
#[derive(Debug, Clone)]
pub struct LogBuilder {
    /// Origin of the log, the name of its key.
    pub origin: String,
    /// `iss` of root delegations.
    pub issuer: String,
    /// Signs checkpoints.
    pub log_key: SigningKey,
    /// Signs root delegations.
    pub issuer_key: SigningKey,
    /// What `observed_ms` is taken from.
    pub clock: HandClock,
    /// Where salts and ids come from.
    pub random: SeededRandom,
    /// By index.
    pub entries: Vec<Written>,
    /// Policy digest of the last activation.
    pub policy: Value,
    /// Next sequence number and last leaf by run and stream.
    chains: BTreeMap<(Id, u64), (u64, Hash)>,
}

impl LogBuilder {
    /// An empty log whose every byte the seed determines.
    pub fn empty(seed: &str) -> Self {
        let log_key = signing_key(&format!("{seed} log"));
        let origin = format!("{seed}.test/log");
        Self {
            issuer: format!("deeds://{origin}"),
            origin,
            log_key,
            issuer_key: signing_key(&format!("{seed} issuer")),
            clock: HandClock::at(START_MS),
            random: SeededRandom::named(seed),
            entries: Vec::new(),
            policy: Value::Null,
            chains: BTreeMap::new(),
        }
    }

    /// The log's verifier key.
    pub fn vkey(&self) -> VerifierKey {
        VerifierKey::ed25519(&self.origin, self.log_key.verifying_key()).expect("an origin is a key name")
    }

    /// Leaf hash of entry 0.
    pub fn log_id(&self) -> Hash {
        self.entries.first().map_or([0; 32], |first| first.leaf)
    }

    /// Number of entries.
    pub fn size(&self) -> u64 {
        self.entries.len() as u64
    }

    /// A UUIDv7 of now.
    pub fn id(&mut self) -> Id {
        let random = self.random.array();
        id::uuid_v7(self.clock.now_ms(), &random)
    }

    /// The entry that a draft becomes if it is appended next. The clock moves by 1 ms.
    pub fn prepare(&mut self, draft: Draft) -> Written {
        let now = self.clock.advance(1);
        let mut fields = FieldSet::new();
        for (id, value) in draft.fields {
            fields.insert(Field { id, salt: self.random.array(), value });
        }
        let first = (0, self.log_id());
        let (seq, prev) = self.chains.get(&(draft.run, draft.stream)).copied().unwrap_or(first);
        let entry = Entry {
            kind: draft.kind,
            event_id: self.id(),
            observed_ms: now,
            run: draft.run,
            stream: draft.stream,
            seq,
            prev,
            causes: draft.causes,
            vantage: draft.vantage,
            fields: fields.mask(),
            fields_root: fields.root(draft.kind),
            retention: 0,
        };
        Written::of(entry, fields)
    }

    /// Appends an entry as it is and gives its index.
    pub fn push(&mut self, written: Written) -> u64 {
        if let Some(entry) = &written.entry {
            self.chains.insert((entry.run, entry.stream), (entry.seq + 1, written.leaf));
        }
        self.entries.push(written);
        self.size() - 1
    }

    /// Appends a draft and gives its index.
    pub fn append(&mut self, draft: Draft) -> u64 {
        let written = self.prepare(draft);
        self.push(written)
    }

    /// Appends bytes that need not be an entry.
    pub fn push_bytes(&mut self, bytes: &[u8]) -> u64 {
        let leaf = tlog::leaf_hash(bytes);
        self.push(Written { entry: None, bytes: bytes.to_vec(), fields: FieldSet::new(), leaf })
    }

    /// Leaf hash of the entry at an index.
    pub fn leaf(&self, index: u64) -> Hash {
        self.entries[usize::try_from(index).expect("an index in memory")].leaf
    }

    /// Stream, number of entries and last leaf of every stream of a run.
    pub fn streams(&self, run: &Id) -> Vec<(u64, u64, Hash)> {
        let of_run = self.chains.range((*run, 0)..=(*run, u64::MAX));
        of_run.map(|((_, stream), (count, last))| (*stream, *count, *last)).collect()
    }

    /// The root over the first `size` entries.
    pub fn root(&self, size: u64) -> Hash {
        let leaves: Vec<Hash> = self.leaves(size);
        tlog::root_of(&leaves)
    }

    /// The signed checkpoint of the first `size` entries.
    pub fn checkpoint(&self, size: u64) -> String {
        let checkpoint = Checkpoint::new(&self.origin, size, self.root(size)).expect("a checkpoint");
        note::sign(&checkpoint.to_text(), &self.origin, &self.log_key).expect("a note")
    }

    pub(crate) fn leaves(&self, size: u64) -> Vec<Hash> {
        let size = usize::try_from(size).expect("a size in memory");
        self.entries[..size].iter().map(|written| written.leaf).collect()
    }
}

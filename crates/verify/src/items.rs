//! The items of a bundle, read once: entries, leaf hashes, opened fields, and who follows whom.
//!
//! Nothing here is a finding yet. Steps 3 and 6 of format §10 say what was wrong with an entry or its fields; every
//! other step sees a malformed entry as absent, the fields of an item with a field error as withheld, and decoys and
//! values that are stated to be unknown as not present.

use std::collections::BTreeMap;

use evidence::field::{commitment, ids, root_of_commitments};
use evidence::id::{self, Id};
use evidence::jws::Jwk;
use evidence::limits::JSON_INTEGER_MAX;
use evidence::{Entry, EntryError, Kind, json};
use serde_json::Value;

use crate::bundle::{Bundle, Item, Shown};

/// Fields whose bytes are those of somebody else's message: they may look like a value that the log does not know.
const EXACT: [(Kind, &str); 2] = [(Kind::Decided, "args"), (Kind::Finished, "result")];

/// One item, read.
pub(crate) struct Seen<'a> {
    pub(crate) index: u64,
    pub(crate) leaf: [u8; 32],
    pub(crate) path: &'a [[u8; 32]],
    pub(crate) entry: Result<Entry, EntryError>,
    pub(crate) fields: Fields<'a>,
}

/// What is shown of the fields of one item.
#[derive(Default)]
pub(crate) struct Fields<'a> {
    /// By id, without decoys; empty where the fields have an error.
    opened: Vec<Opened<'a>>,
    /// Ids of the fields that are shown to be `null`; empty where the fields have an error.
    nulls: Vec<u8>,
    /// A bit is set whose field is not opened.
    pub(crate) withheld: bool,
    /// Another number of elements than bits.
    pub(crate) wrong_count: bool,
    /// The commitments do not lead to `fields_root`.
    pub(crate) wrong_root: bool,
    /// The first field whose value is not strict JSON.
    pub(crate) not_json: Option<u8>,
}

/// One opened field.
struct Opened<'a> {
    id: u8,
    value: &'a [u8],
    /// The value says that the log does not know: shown to a reader, not present to a check.
    unknown: bool,
}

/// All items by index.
pub(crate) struct Items<'a> {
    pub(crate) list: Vec<Seen<'a>>,
    /// Positions in `list` of the first and the last item with a leaf hash.
    by_leaf: BTreeMap<[u8; 32], (usize, usize)>,
    /// Positions in `list` by run and stream, version 0 entries only.
    pub(crate) chains: BTreeMap<(Id, u64), Vec<usize>>,
}

impl<'a> Items<'a> {
    /// Reads all items; costs one pass over the bundle.
    pub(crate) fn read(bundle: &'a Bundle) -> Self {
        let list: Vec<Seen<'a>> = bundle.items.iter().map(Seen::read).collect();
        let mut by_leaf = BTreeMap::new();
        let mut chains: BTreeMap<(Id, u64), Vec<usize>> = BTreeMap::new();
        for (position, seen) in list.iter().enumerate() {
            by_leaf.entry(seen.leaf).and_modify(|(_, last)| *last = position).or_insert((position, position));
            if let Ok(entry) = &seen.entry {
                chains.entry((entry.run, entry.stream)).or_default().push(position);
            }
        }
        Self { list, by_leaf, chains }
    }

    /// The item at a position.
    pub(crate) fn at(&self, position: usize) -> Option<&Seen<'a>> {
        self.list.get(position)
    }

    /// The item with a log index.
    pub(crate) fn by_index(&self, index: u64) -> Option<&Seen<'a>> {
        self.list.binary_search_by_key(&index, |seen| seen.index).ok().and_then(|at| self.at(at))
    }

    /// The first and the last item with a leaf hash: the same one, unless an entry stands twice in the log.
    pub(crate) fn by_leaf(&self, leaf: &[u8; 32]) -> Option<(&Seen<'a>, &Seen<'a>)> {
        let (first, last) = self.by_leaf.get(leaf)?;
        Some((self.at(*first)?, self.at(*last)?))
    }

    /// Items of one kind with their entries, by index.
    pub(crate) fn of_kind(&self, kind: Kind) -> impl Iterator<Item = (&Seen<'a>, &Entry)> {
        self.list.iter().filter_map(move |seen| {
            seen.entry.as_ref().ok().filter(|entry| entry.kind() == Some(kind)).map(|entry| (seen, entry))
        })
    }
}

impl<'a> Seen<'a> {
    fn read(item: &'a Item) -> Self {
        let entry = Entry::decode(&item.entry);
        let fields = match &entry {
            Ok(entry) => Fields::read(entry, item.fields.as_deref()),
            Err(_) => Fields::default(),
        };
        Self {
            index: item.index,
            leaf: evidence::entry::leaf_hash(&item.entry),
            path: &item.path,
            entry,
            fields,
        }
    }

    fn opened(&self, name: &str) -> Option<&Opened<'a>> {
        let id = self.entry.as_ref().ok()?.kind()?.field_id(name)?;
        let at = self.fields.opened.binary_search_by_key(&id, |opened| opened.id).ok()?;
        self.fields.opened.get(at)
    }

    /// The exact bytes of a field by its name in the registry; nothing where it is not present to a check: withheld,
    /// absent, a decoy or unknown.
    pub(crate) fn raw(&self, name: &str) -> Option<&'a [u8]> {
        self.opened(name).filter(|opened| !opened.unknown).map(|opened| opened.value)
    }

    /// Whether the entry is shown to have no value for a field: it commits to none, or to `null`.
    pub(crate) fn is_without(&self, name: &str) -> bool {
        let Ok(entry) = &self.entry else { return false };
        let id = entry.kind().and_then(|kind| kind.field_id(name));
        id.is_some_and(|id| entry.fields & (1 << id) == 0 || self.fields.nulls.contains(&id))
    }

    /// Whether the entry is shown to give no usable value for a field: [`Seen::is_without`] it, or it says `unknown`.
    pub(crate) fn is_shown_lacking(&self, name: &str) -> bool {
        self.is_without(name) || self.opened(name).is_some_and(|opened| opened.unknown)
    }

    /// The value of a field by name, where it is present to a check.
    pub(crate) fn value(&self, name: &str) -> Option<Value> {
        // INVARIANT (opened): what is in `opened` was parsed once already
        self.raw(name).and_then(|raw| json::parse(raw).ok())
    }

    /// The value of a field as a reader is shown it: `{"unknown": …}` too.
    pub(crate) fn stated(&self, name: &str) -> Option<Value> {
        self.opened(name).and_then(|opened| json::parse(opened.value).ok())
    }

    /// The value of a field that is a string.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        match self.value(name) {
            Some(Value::String(text)) => Some(text),
            _ => None,
        }
    }

    /// The value of a field that is a uint (format, conventions).
    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        uint(&self.value(name)?)
    }

    /// The value of a field that is a UUID.
    pub(crate) fn id(&self, name: &str) -> Option<Id> {
        self.text(name).as_deref().and_then(id::parse)
    }

    /// The value of a field that is a public key.
    pub(crate) fn key(&self, name: &str) -> Option<Jwk> {
        Jwk::parse(&self.value(name)?).ok()
    }
}

impl<'a> Fields<'a> {
    fn read(entry: &Entry, shown: Option<&'a [Shown]>) -> Self {
        let all_withheld = Self { withheld: entry.fields != 0, ..Self::default() };
        let Some(shown) = shown else { return all_withheld };
        let ids: Vec<u8> = ids(entry.fields).collect();
        if shown.len() != ids.len() {
            return Self { wrong_count: true, ..all_withheld };
        }
        let wrong_root = root(entry.kind, &ids, shown) != Some(entry.fields_root);
        let (mut opened, mut nulls, mut not_json, mut withheld) = (Vec::new(), Vec::new(), None, false);
        for (id, shown) in ids.into_iter().zip(shown) {
            let Shown::Opened { value, .. } = shown else {
                withheld = true;
                continue;
            };
            match json::parse(value) {
                // a decoy: shown, and not present to any check
                Ok(Value::Null) => nulls.push(id),
                Ok(parsed) => {
                    let unknown = is_unknown(&parsed) && !is_exact(entry, id);
                    opened.push(Opened { id, value, unknown });
                }
                Err(_) => not_json = not_json.or(Some(id)),
            }
        }
        if wrong_root || not_json.is_some() {
            return Self { wrong_root, not_json, ..all_withheld };
        }
        Self { opened, nulls, withheld, ..Self::default() }
    }
}

/// A number as the format's uints are: written with digits alone, at most 2^53.
pub(crate) fn uint(value: &Value) -> Option<u64> {
    value.as_u64().filter(|number| *number <= JSON_INTEGER_MAX)
}

/// Whether a value says that it is not known: `{"unknown": "<why>"}` and nothing else.
fn is_unknown(value: &Value) -> bool {
    let why =
        value.as_object().filter(|members| members.len() == 1).and_then(|members| members.get("unknown"));
    why.is_some_and(Value::is_string)
}

fn is_exact(entry: &Entry, id: u8) -> bool {
    EXACT.iter().any(|(kind, name)| entry.kind() == Some(*kind) && kind.field_id(name) == Some(id))
}

/// The root over what is shown; nothing for an opened field of a kind that has no commitments, being beyond a byte.
fn root(kind: u64, ids: &[u8], shown: &[Shown]) -> Option<[u8; 32]> {
    let commitments = ids.iter().zip(shown).map(|(id, shown)| match shown {
        Shown::Withheld(commitment) => Some(*commitment),
        Shown::Opened { salt, value } => u8::try_from(kind).ok().map(|_| commitment(kind, *id, salt, value)),
    });
    let commitments: Option<Vec<[u8; 32]>> = commitments.collect();
    Some(root_of_commitments(commitments?.into_iter()))
}

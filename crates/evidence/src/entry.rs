//! The entry, which is the log leaf (format §2): canonical bytes, strict decoding, leaf hash.

use crate::cbor::{CborError, Decoder, Encoder, Type};
use crate::id::Id;
use crate::kind::Kind;
use crate::limits::{CAUSES_MAX, ENTRY_MAX_BYTES};

/// The version that this code writes.
pub const VERSION: u64 = 0;

/// What an entry refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// An entry of the same log, by leaf hash.
    Here([u8; 32]),
    /// An entry of another log: its `log_id` and leaf hash.
    Elsewhere([u8; 32], [u8; 32]),
}

/// One entry. All fields are of the wire; nothing is derived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Code of the [`Kind`]; kept as a number, so that entries of a later version can be read.
    pub kind: u64,
    /// UUIDv7, one per entry.
    pub event_id: Id,
    /// The log's clock when sequenced, ms.
    pub observed_ms: u64,
    /// The run; zeros for log-level entries.
    pub run: Id,
    /// The stream within the run.
    pub stream: u64,
    /// Position in (run, stream).
    pub seq: u64,
    /// Leaf hash of the entry before it in (run, stream).
    pub prev: [u8; 32],
    /// What it refers to; at most [`CAUSES_MAX`].
    pub causes: Vec<Cause>,
    /// Code of the vantage.
    pub vantage: u64,
    /// Which fields are present.
    pub fields: u64,
    /// Root over the field commitments.
    pub fields_root: [u8; 32],
    /// Retention class.
    pub retention: u64,
}

/// Why bytes are not an entry that this version can read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// Longer than the format allows.
    #[error("an entry of {0} bytes is longer than the {ENTRY_MAX_BYTES} that the format allows")]
    TooLong(usize),
    /// Not the canonical bytes of any entry.
    #[error("not an entry: {0}")]
    Malformed(#[from] CborError),
    /// A deterministic map that starts with another version: inclusion can be checked, nothing else.
    #[error("an entry of version {0}, which this program cannot read: use a newer one")]
    Version(u64),
}

impl Entry {
    /// The kind, where this version knows it.
    pub fn kind(&self) -> Option<Kind> {
        Kind::from_code(self.kind)
    }

    /// Canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::new();
        out.map(if self.causes.is_empty() { 12 } else { 13 });
        out.uint(0).uint(VERSION).uint(1).uint(self.kind).uint(2).bytes(&self.event_id);
        out.uint(3).uint(self.observed_ms).uint(4).bytes(&self.run).uint(5).uint(self.stream);
        out.uint(6).uint(self.seq).uint(7).bytes(&self.prev);
        if !self.causes.is_empty() {
            out.uint(8).array(self.causes.len());
            for cause in &self.causes {
                match cause {
                    Cause::Here(leaf) => out.bytes(leaf),
                    Cause::Elsewhere(log, leaf) => out.array(2).bytes(log).bytes(leaf),
                };
            }
        }
        out.uint(9).uint(self.vantage).uint(10).uint(self.fields).uint(11).bytes(&self.fields_root);
        out.uint(12).uint(self.retention);
        out.finish()
    }

    /// Reads canonical bytes; whatever [`Entry::encode`] would write differently is refused.
    pub fn decode(bytes: &[u8]) -> Result<Self, EntryError> {
        if bytes.len() > ENTRY_MAX_BYTES {
            return Err(EntryError::TooLong(bytes.len()));
        }
        let mut input = Decoder::new(bytes);
        let pairs = input.map(usize::MAX)?;
        expect_key(&mut input, 0)?;
        let version = input.uint()?;
        if version != VERSION {
            return Err(EntryError::Version(version));
        }
        if pairs != 12 && pairs != 13 {
            return Err(input.error("an entry has 12 or 13 members").into());
        }
        Ok(read_members(&mut input, pairs == 13)?)
    }

    /// The RFC 6962 leaf hash of the canonical bytes.
    pub fn leaf_hash(&self) -> [u8; 32] {
        leaf_hash(&self.encode())
    }
}

/// The RFC 6962 leaf hash of entry bytes.
pub fn leaf_hash(entry: &[u8]) -> [u8; 32] {
    tlog::leaf_hash(entry)
}

fn read_members(input: &mut Decoder<'_>, has_causes: bool) -> Result<Entry, CborError> {
    let entry = Entry {
        kind: keyed(input, 1, Decoder::uint)?,
        event_id: keyed(input, 2, Decoder::array_of)?,
        observed_ms: keyed(input, 3, Decoder::uint)?,
        run: keyed(input, 4, Decoder::array_of)?,
        stream: keyed(input, 5, Decoder::uint)?,
        seq: keyed(input, 6, Decoder::uint)?,
        prev: keyed(input, 7, Decoder::array_of)?,
        causes: if has_causes { keyed(input, 8, read_causes)? } else { Vec::new() },
        vantage: keyed(input, 9, Decoder::uint)?,
        fields: keyed(input, 10, Decoder::uint)?,
        fields_root: keyed(input, 11, Decoder::array_of)?,
        retention: keyed(input, 12, Decoder::uint)?,
    };
    input.end()?;
    Ok(entry)
}

fn keyed<'a, T>(
    input: &mut Decoder<'a>,
    key: u64,
    read: impl FnOnce(&mut Decoder<'a>) -> Result<T, CborError>,
) -> Result<T, CborError> {
    expect_key(input, key)?;
    read(input)
}

fn expect_key(input: &mut Decoder<'_>, key: u64) -> Result<(), CborError> {
    if input.clone().uint()? != key {
        return Err(input.error("another member than the format has at this place"));
    }
    input.uint().map(|_| ())
}

fn read_causes(input: &mut Decoder<'_>) -> Result<Vec<Cause>, CborError> {
    let len = input.array(CAUSES_MAX)?;
    if len == 0 {
        return Err(input.error("an empty list of causes, which is written by leaving it out"));
    }
    (0..len)
        .map(|_| match input.peek() {
            Type::Array if input.array(2)? == 2 => Ok(Cause::Elsewhere(input.array_of()?, input.array_of()?)),
            Type::Array => Err(input.error("a cause in another log is a pair")),
            _ => input.array_of().map(Cause::Here),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn causes() -> impl Strategy<Value = Vec<Cause>> {
        let one = prop_oneof![
            any::<[u8; 32]>().prop_map(Cause::Here),
            any::<([u8; 32], [u8; 32])>().prop_map(|(log, leaf)| Cause::Elsewhere(log, leaf)),
        ];
        proptest::collection::vec(one, 0..=CAUSES_MAX)
    }

    prop_compose! {
        fn entry()(
            (kind, event_id, observed_ms, run, stream) in any::<(u64, Id, u64, Id, u64)>(),
            (seq, prev, vantage, fields, fields_root, retention) in any::<(u64, [u8; 32], u64, u64, [u8; 32], u64)>(),
            causes in causes(),
        ) -> Entry {
            Entry { kind, event_id, observed_ms, run, stream, seq, prev, causes, vantage, fields, fields_root, retention }
        }
    }

    proptest! {
        #[test]
        fn decode_reverses_encode(entry in entry()) {
            let bytes = entry.encode();
            prop_assert!(bytes.len() <= ENTRY_MAX_BYTES);
            prop_assert_eq!(Entry::decode(&bytes), Ok(entry));
        }

        #[test]
        fn what_decodes_is_canonical(entry in entry(), at in any::<prop::sample::Index>(), flip in 1_u8..) {
            let mut bytes = entry.encode();
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            if let Ok(other) = Entry::decode(&bytes) {
                prop_assert_eq!(other.encode(), bytes);
            }
        }

        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Entry::decode(&bytes);
        }
    }

    #[test]
    fn limits_hold_at_and_past_the_boundary() {
        let mut longest = Entry {
            kind: u64::MAX,
            event_id: [255; 16],
            observed_ms: u64::MAX,
            run: [255; 16],
            stream: u64::MAX,
            seq: u64::MAX,
            prev: [255; 32],
            causes: vec![Cause::Elsewhere([1; 32], [2; 32]); CAUSES_MAX],
            vantage: u64::MAX,
            fields: u64::MAX,
            fields_root: [255; 32],
            retention: u64::MAX,
        };
        assert!(Entry::decode(&longest.encode()).is_ok());
        longest.causes.push(Cause::Here([3; 32]));
        assert!(matches!(Entry::decode(&longest.encode()), Err(EntryError::Malformed(_))));
        assert_eq!(
            Entry::decode(&[0xa0; ENTRY_MAX_BYTES + 1]),
            Err(EntryError::TooLong(ENTRY_MAX_BYTES + 1))
        );
        let mut other = longest.encode();
        other[2] = 1;
        assert_eq!(Entry::decode(&other), Err(EntryError::Version(1)));
    }
}

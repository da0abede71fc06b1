//! The bytes of one batch in the journal. Pure: no files here.
//!
//! ```text
//! magic[8] ‖ u32 length of the frame ‖ segment id[16] ‖ u64 epoch ‖ u64 first index ‖ u32 count
//!   ‖ SHA-256 of the frame before ‖ root after ‖ header check[8]
//!   ‖ count × (u16 length ‖ entry) ‖ count × (u32 length ‖ body) ‖ count × (0 | 1 ‖ wrapped key[72])
//!   ‖ SHA-256 of all before
//! ```
//!
//! The header check is the start of the SHA-256 of the header before it. Without it, one flipped bit in
//! the length would make an acknowledged frame look like one that was never written to its end.

use std::ops::Range;

use sha2::{Digest, Sha256};
use tlog::Hash;

use crate::NewEntry;
use crate::bytes::Cursor;
use crate::keys::KeySlot;
use crate::limits::{BATCH_ENTRIES, MAX_DRAFT_ENTRIES, MAX_FRAME_BYTES, WRAPPED_KEY_LEN};

/// What every frame begins with.
pub(crate) const FRAME_MAGIC: [u8; 8] = *b"deedsfr0";

/// Bytes of a frame before its entries, with the header check.
pub(crate) const FRAME_HEADER_BYTES: usize = CHECKED_BYTES + CHECK_BYTES;

/// Bytes of the hash at the end of a frame.
pub(crate) const FRAME_HASH_BYTES: usize = 32;

const CHECKED_BYTES: usize = 8 + 4 + 16 + 8 + 8 + 4 + 32 + 32;
const CHECK_BYTES: usize = 8;

/// A random name of a segment, in each of its frames: bytes that somebody stores in the log cannot
/// pose as a frame.
pub(crate) type SegmentId = [u8; 16];

/// What a frame says of itself, besides its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    /// Segment that the frame was written to.
    pub(crate) segment: SegmentId,
    /// Epoch of the writer.
    pub(crate) epoch: u64,
    /// Index of the first entry.
    pub(crate) first: u64,
    /// SHA-256 at the end of the frame before; zeros before the first frame of a log.
    pub(crate) previous: Hash,
    /// Root of the tree after the last entry.
    pub(crate) root: Hash,
}

/// A frame that was read: its hash is right and its content well formed.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) header: FrameHeader,
    bytes: Vec<u8>,
    entries: Vec<Range<usize>>,
    bodies: Vec<Range<usize>>,
    keys: Vec<KeySlot>,
}

/// Length that [`encode`] gives a frame of these entries.
pub(crate) fn encoded_length(entries: &[NewEntry]) -> usize {
    let content = |entry: &NewEntry| {
        2 + entry.entry.len() + 4 + entry.body.len() + 1 + entry.key.map_or(0, |key| key.len())
    };
    FRAME_HEADER_BYTES + entries.iter().map(content).sum::<usize>() + FRAME_HASH_BYTES
}

/// The bytes of a frame. `None` when an entry, a body or the frame does not fit its length field;
/// the caller has checked the limits, which are lower.
pub(crate) fn encode(header: &FrameHeader, entries: &[NewEntry]) -> Option<Vec<u8>> {
    let length = encoded_length(entries);
    let mut frame = Vec::with_capacity(length);
    frame.extend_from_slice(&FRAME_MAGIC);
    frame.extend_from_slice(&u32::try_from(length).ok()?.to_be_bytes());
    frame.extend_from_slice(&header.segment);
    frame.extend_from_slice(&header.epoch.to_be_bytes());
    frame.extend_from_slice(&header.first.to_be_bytes());
    frame.extend_from_slice(&u32::try_from(entries.len()).ok()?.to_be_bytes());
    frame.extend_from_slice(&header.previous);
    frame.extend_from_slice(&header.root);
    frame.extend_from_slice(&header_check(&frame));
    for NewEntry { entry, .. } in entries {
        frame.extend_from_slice(&u16::try_from(entry.len()).ok()?.to_be_bytes());
        frame.extend_from_slice(entry);
    }
    for NewEntry { body, .. } in entries {
        frame.extend_from_slice(&u32::try_from(body.len()).ok()?.to_be_bytes());
        frame.extend_from_slice(body);
    }
    for NewEntry { key, .. } in entries {
        frame.push(u8::from(key.is_some()));
        frame.extend_from_slice(key.as_ref().map_or(&[], <[u8; WRAPPED_KEY_LEN]>::as_slice));
    }
    frame.extend_from_slice(&Sha256::digest(&frame));
    Some(frame)
}

/// Header, length of the frame and number of entries, from bytes that begin with a frame. `None` unless
/// the header check holds and the numbers are within the limits; the frame itself may be cut.
pub(crate) fn decode_header(bytes: &[u8]) -> Option<(FrameHeader, usize, usize)> {
    let mut cursor = Cursor::new(bytes);
    if cursor.array()? != FRAME_MAGIC {
        return None;
    }
    let length = usize::try_from(cursor.u32()?).ok()?;
    let segment = cursor.array()?;
    let epoch = cursor.u64()?;
    let first = cursor.u64()?;
    let count = usize::try_from(cursor.u32()?).ok()?;
    let previous = cursor.array()?;
    let root = cursor.array()?;
    let checked = bytes.get(..cursor.at())?;
    let within = count > 0
        && count < BATCH_ENTRIES + MAX_DRAFT_ENTRIES
        && length > FRAME_HEADER_BYTES + FRAME_HASH_BYTES
        && length <= MAX_FRAME_BYTES;
    let header = FrameHeader { segment, epoch, first, previous, root };
    (within && cursor.array()? == header_check(checked)).then_some((header, length, count))
}

fn header_check(header: &[u8]) -> [u8; CHECK_BYTES] {
    let digest: [u8; 32] = Sha256::digest(header).into();
    digest.first_chunk().copied().unwrap_or_default()
}

impl Frame {
    /// Reads the bytes of exactly one frame. The error says what is wrong, for a person.
    pub(crate) fn decode(bytes: Vec<u8>) -> Result<Self, &'static str> {
        let (header, length, count) = decode_header(&bytes).ok_or("the frame header is not valid")?;
        if length != bytes.len() {
            return Err("the frame has another length than its header says");
        }
        let (content, hash) = bytes.split_last_chunk::<FRAME_HASH_BYTES>().ok_or("the frame is too short")?;
        if Sha256::digest(content).as_slice() != hash {
            return Err("the SHA-256 of the frame is wrong");
        }
        let (entries, bodies, keys) =
            spans(content, count).ok_or("the frame has a right SHA-256 around malformed content")?;
        Ok(Self { header, bytes, entries, bodies, keys })
    }

    /// Number of entries.
    pub(crate) fn count(&self) -> usize {
        self.entries.len()
    }

    /// SHA-256 at its end, which the next frame names.
    pub(crate) fn hash(&self) -> Hash {
        self.bytes.last_chunk().copied().unwrap_or_default()
    }

    /// Bytes of the whole frame.
    pub(crate) fn length(&self) -> usize {
        self.bytes.len()
    }

    /// Entry at a position in the frame.
    pub(crate) fn entry(&self, position: usize) -> Option<&[u8]> {
        self.bytes.get(self.entries.get(position)?.clone())
    }

    /// Sealed body of the entry at a position; empty when it has none.
    pub(crate) fn body(&self, position: usize) -> Option<&[u8]> {
        self.bytes.get(self.bodies.get(position)?.clone())
    }

    /// What came as the wrapped key of the entry at a position.
    pub(crate) fn key(&self, position: usize) -> Option<KeySlot> {
        self.keys.get(position).copied()
    }
}

type Spans = (Vec<Range<usize>>, Vec<Range<usize>>, Vec<KeySlot>);

/// Places of entries and bodies, and the keys, in a frame without its hash.
fn spans(content: &[u8], count: usize) -> Option<Spans> {
    let mut cursor = Cursor::new(content);
    cursor.span(FRAME_HEADER_BYTES)?;
    let mut entries = Vec::with_capacity(count);
    for _ in 0..count {
        let length = cursor.u16()?;
        entries.push(cursor.span(usize::from(length))?);
    }
    let mut bodies = Vec::with_capacity(count);
    for _ in 0..count {
        let length = usize::try_from(cursor.u32()?).ok()?;
        bodies.push(cursor.span(length)?);
    }
    let mut keys = Vec::with_capacity(count);
    for _ in 0..count {
        keys.push(match cursor.byte()? {
            0 => KeySlot::Absent,
            1 => KeySlot::Present(cursor.array()?),
            _ => return None,
        });
    }
    cursor.is_done().then_some((entries, bodies, keys))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> FrameHeader {
        FrameHeader { segment: [7; 16], epoch: 3, first: 1_000, previous: [8; 32], root: [9; 32] }
    }

    fn entries() -> Vec<NewEntry> {
        vec![
            NewEntry { entry: b"one".to_vec(), body: vec![1; 300], key: Some([2; WRAPPED_KEY_LEN]) },
            NewEntry { entry: Vec::new(), body: Vec::new(), key: None },
        ]
    }

    #[test]
    fn a_frame_comes_back_as_it_was() {
        let bytes = encode(&header(), &entries()).unwrap();
        assert_eq!(bytes.len(), encoded_length(&entries()));
        let frame = Frame::decode(bytes).unwrap();
        assert_eq!(frame.header, header());
        assert_eq!(frame.count(), 2);
        for (position, entry) in entries().iter().enumerate() {
            assert_eq!(frame.entry(position).unwrap(), entry.entry);
            assert_eq!(frame.body(position).unwrap(), entry.body);
            let key = entry.key.map_or(KeySlot::Absent, KeySlot::Present);
            assert_eq!(frame.key(position).unwrap(), key);
        }
        assert_eq!(frame.entry(2), None);
    }

    #[test]
    fn every_flip_and_every_cut_is_found() {
        let bytes = encode(&header(), &entries()).unwrap();
        for position in 0..bytes.len() {
            for mask in [0x01, 0x80] {
                let mut flipped = bytes.clone();
                flipped[position] ^= mask;
                assert!(Frame::decode(flipped).is_err(), "flip at {position}");
            }
            assert!(Frame::decode(bytes[..position].to_vec()).is_err(), "cut at {position}");
        }
        assert!(Frame::decode([bytes, vec![0]].concat()).is_err());
    }

    #[test]
    fn counts_and_lengths_outside_the_limits_are_refused() {
        let with_count = |count: usize| {
            let empty = NewEntry { entry: Vec::new(), body: Vec::new(), key: None };
            Frame::decode(encode(&header(), &vec![empty; count]).unwrap())
        };
        assert_eq!(with_count(BATCH_ENTRIES + MAX_DRAFT_ENTRIES - 1).unwrap().count(), 8_191);
        assert!(with_count(BATCH_ENTRIES + MAX_DRAFT_ENTRIES).is_err());
        assert!(with_count(0).is_err());

        let with_length = |length: usize| {
            let around = encoded_length(&[NewEntry { entry: vec![], body: vec![], key: None }]);
            let body = vec![0; length - around];
            Frame::decode(encode(&header(), &[NewEntry { entry: vec![], body, key: None }]).unwrap())
        };
        assert_eq!(with_length(MAX_FRAME_BYTES).unwrap().length(), MAX_FRAME_BYTES);
        assert!(with_length(MAX_FRAME_BYTES + 1).is_err());
    }

    #[test]
    fn an_entry_too_long_for_its_length_is_not_encoded() {
        let with_entry =
            |length| encode(&header(), &[NewEntry { entry: vec![0; length], body: vec![], key: None }]);
        assert!(with_entry(65_535).is_some());
        assert!(with_entry(65_536).is_none());
    }
}

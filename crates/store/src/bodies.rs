//! Body bundles: the sealed bodies of 256 entries, beside the public files and named like entry bundles.
//!
//! `256 × (u32 length ‖ body) ‖ SHA-256 of all before`. Only full bundles exist: the bodies after the
//! last one are read from the journal.

use std::ops::Range;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use tlog::limits::TILE_WIDTH;
use tlog::tile::entries_path;

use crate::bytes::Cursor;
use crate::error::{Damage, ReadError};
use crate::files;
use crate::limits::MAX_BODY_BUNDLE_BYTES;

/// A bundle whose hash is right.
#[derive(Debug)]
pub(crate) struct BodyBundle {
    bytes: Vec<u8>,
    bodies: Vec<Range<usize>>,
}

/// Path of a body bundle: that of the full entry bundle, under another directory.
pub(crate) fn bundle_path(bodies: &Path, index: u64) -> PathBuf {
    let path = entries_path(index, TILE_WIDTH);
    bodies.join(path.trim_start_matches("tile/entries/"))
}

/// Bytes of a bundle. `None` when a body does not fit its length field; limits are lower.
pub(crate) fn encode(bodies: &[&[u8]]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(bodies.iter().map(|body| body.len() + 4).sum::<usize>() + 32);
    for body in bodies {
        bytes.extend_from_slice(&u32::try_from(body.len()).ok()?.to_be_bytes());
        bytes.extend_from_slice(body);
    }
    bytes.extend_from_slice(&Sha256::digest(&bytes));
    Some(bytes)
}

/// Reads and checks a bundle.
pub(crate) fn load(bodies: &Path, index: u64) -> Result<BodyBundle, ReadError> {
    let path = bundle_path(bodies, index);
    let advice = "restore the bundle from a backup; entries and proofs do not depend on it";
    let bytes = files::read_needed(&path, MAX_BODY_BUNDLE_BYTES, advice)?;
    Ok(BodyBundle::decode(bytes).map_err(|(offset, problem)| match offset {
        Some(offset) => Damage::at(&path, crate::bytes::to_u64(offset), problem, advice),
        None => Damage::somewhere(&path, problem, advice),
    })?)
}

impl BodyBundle {
    /// The error says where, if that is known, and what.
    fn decode(bytes: Vec<u8>) -> Result<Self, (Option<usize>, &'static str)> {
        let (content, hash) = bytes.split_last_chunk::<32>().ok_or((None, "the bundle is cut"))?;
        if Sha256::digest(content).as_slice() != hash {
            return Err((None, "the SHA-256 of the bundle is wrong"));
        }
        let mut cursor = Cursor::new(content);
        let mut bodies = Vec::with_capacity(usize::from(TILE_WIDTH));
        for _ in 0..TILE_WIDTH {
            let length = cursor.u32().and_then(|length| usize::try_from(length).ok());
            let span = length.and_then(|length| cursor.span(length));
            bodies.push(span.ok_or((Some(cursor.at()), "the bundle ends inside a body"))?);
        }
        if !cursor.is_done() {
            return Err((Some(cursor.at()), "the bundle goes on after its last body"));
        }
        Ok(Self { bytes, bodies })
    }

    /// The body of an entry; empty when it has none.
    pub(crate) fn body(&self, position: usize) -> Option<&[u8]> {
        self.bytes.get(self.bodies.get(position)?.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bodies(count: usize) -> Vec<Vec<u8>> {
        (0..count).map(|n| vec![u8::try_from(n % 251).unwrap(); n % 7]).collect()
    }

    fn encoded(count: usize) -> Vec<u8> {
        let bodies = bodies(count);
        encode(&bodies.iter().map(Vec::as_slice).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn bodies_come_back_from_full_bundles_only() {
        let bundle = BodyBundle::decode(encoded(256)).unwrap();
        for (position, body) in bodies(256).iter().enumerate() {
            assert_eq!(bundle.body(position).unwrap(), body);
        }
        assert_eq!(bundle.body(256), None);
        assert!(BodyBundle::decode(encoded(255)).is_err());
        assert!(BodyBundle::decode(encoded(257)).is_err());
    }

    #[test]
    fn every_flip_and_every_cut_is_found() {
        let bytes = encoded(256);
        for position in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[position] ^= 0x80;
            assert!(BodyBundle::decode(flipped).is_err(), "flip at {position}");
            assert!(BodyBundle::decode(bytes[..position].to_vec()).is_err(), "cut at {position}");
        }
    }

    #[test]
    fn bundles_are_named_like_entry_bundles() {
        assert_eq!(bundle_path(Path::new("b"), 1_234_067), Path::new("b/x001/x234/067"));
    }
}

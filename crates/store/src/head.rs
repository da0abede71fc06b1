//! `head`: the size and root that the log has committed to. A signature is made only over these.
//!
//! `magic[8] ‖ u64 size ‖ root[32] ‖ u64 epoch ‖ SHA-256 of all before`, replaced as a whole.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use tlog::{Hash, empty_root};

use crate::bytes::Cursor;
use crate::error::{Damage, FileError, ReadError};
use crate::files::{self, PRIVATE, Writer};
use crate::limits::MAX_SMALL_FILE_BYTES;

/// What to do when the head is lost.
pub(crate) const RESTORE: &str =
    "restore it from a backup that is not older than the last checkpoint that anybody saw";

const HEAD_MAGIC: [u8; 8] = *b"deedshd0";

/// A committed state of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) size: u64,
    pub(crate) root: Hash,
    /// Epoch of the process that committed it.
    pub(crate) epoch: u64,
}

/// Why a head was not replaced.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SwapError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Write(#[from] FileError),
    #[error("`{}` has {found} entries where this process committed {expected}; somebody else wrote it", path.display())]
    Changed { path: PathBuf, expected: u64, found: u64 },
}

impl Head {
    /// The log before its first commitment.
    pub(crate) fn empty() -> Self {
        Self { size: 0, root: empty_root(), epoch: 0 }
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = HEAD_MAGIC.to_vec();
        bytes.extend_from_slice(&self.size.to_be_bytes());
        bytes.extend_from_slice(&self.root);
        bytes.extend_from_slice(&self.epoch.to_be_bytes());
        bytes.extend_from_slice(&Sha256::digest(&bytes));
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut cursor = Cursor::new(bytes);
        if cursor.array()? != HEAD_MAGIC {
            return None;
        }
        let (size, root, epoch) = (cursor.u64()?, cursor.array()?, cursor.u64()?);
        let content = bytes.get(..cursor.at())?;
        let hash: Hash = cursor.array()?;
        (cursor.is_done() && Sha256::digest(content).as_slice() == hash).then_some(Self { size, root, epoch })
    }
}

/// Path of the head of a log.
pub(crate) fn head_path(dir: &Path) -> PathBuf {
    dir.join("head")
}

/// The head on disk; the empty one when there is no file.
pub(crate) fn load(path: &Path) -> Result<Head, ReadError> {
    let Some(bytes) = files::read_optional(path, MAX_SMALL_FILE_BYTES)? else {
        return Ok(Head::empty());
    };
    Ok(Head::decode(&bytes)
        .ok_or_else(|| Damage::somewhere(path, "it is not a head, or its hash is wrong", RESTORE))?)
}

/// Replaces the head if it still is what this process knows. Durable on return.
pub(crate) fn compare_and_swap(
    writer: &mut Writer,
    path: &Path,
    expected: &Head,
    new: &Head,
) -> Result<(), SwapError> {
    let found = load(path)?;
    if found != *expected {
        return Err(SwapError::Changed { path: path.to_owned(), expected: expected.size, found: found.size });
    }
    Ok(writer.replace(path, &new.encode(), PRIVATE)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_replaced_only_by_who_knows_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = head_path(dir.path());
        let mut writer = Writer::new(dir.path()).unwrap();
        let first = Head { size: 3, root: [1; 32], epoch: 1 };
        let second = Head { size: 5, root: [2; 32], epoch: 1 };
        assert_eq!(load(&path).unwrap(), Head::empty());
        compare_and_swap(&mut writer, &path, &Head::empty(), &first).unwrap();
        let refused = compare_and_swap(&mut writer, &path, &Head::empty(), &second).unwrap_err();
        assert!(matches!(refused, SwapError::Changed { expected: 0, found: 3, .. }), "{refused}");
        assert_eq!(load(&path).unwrap(), first);
        compare_and_swap(&mut writer, &path, &first, &second).unwrap();
        assert_eq!(load(&path).unwrap(), second);
    }

    #[test]
    fn every_flip_and_every_cut_is_found() {
        let bytes = Head { size: 3, root: [1; 32], epoch: 1 }.encode();
        for position in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[position] ^= 1;
            assert_eq!(Head::decode(&flipped), None, "flip at {position}");
            assert_eq!(Head::decode(&bytes[..position]), None, "cut at {position}");
        }
    }
}

//! The key table: wrapped entry keys by index, the only file of a log whose content may change.
//!
//! Record: `u8 state ‖ check[7] ‖ wrapped key[72]` at 80 × index. The check is the start of
//! SHA-256(`index ‖ state ‖ key`), so a damaged record is not taken for a key, an absent one or an
//! erased one. A record that was erased stays so, whatever the journal still says.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::bytes::{to_u64, to_usize};
use crate::error::{Damage, FileError, ReadError, doing};
use crate::files::PRIVATE;
use crate::limits::WRAPPED_KEY_LEN;

/// Bytes of a record.
const RECORD: usize = 80;
const CHECK: usize = 7;

const ABSENT: u8 = 1;
const PRESENT: u8 = 2;
const ERASED: u8 = 3;

/// What the key table has for an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeySlot {
    /// The entry came without a key.
    Absent,
    /// The wrapped key.
    Present([u8; WRAPPED_KEY_LEN]),
    /// The key was destroyed; the body cannot be opened again.
    Erased,
}

/// What to do when the table as a whole is lost.
const RESTORE_ALL: &str =
    "restore the key table from a backup and erase again what was erased since; nothing was changed";

/// What to do when one record is: in an older table the newest keys are missing.
const RESTORE_ONE: &str = "restore these 80 bytes from a backup of the key table, and not all of it where it is older \
                           than this one; erase again what was erased since";

/// The open table.
#[derive(Debug)]
pub(crate) struct KeyTable {
    file: File,
    path: PathBuf,
}

impl KeyTable {
    /// Refuses a table that is not, or no longer, that of a log with this many published entries. Its first and last
    /// record stand for the others, which are checked as they are read: a log that went on with a wrong table would
    /// write into it, and what it wrote would be lost when the right one is put back.
    pub(crate) fn check(path: &Path, published: u64) -> Result<(), ReadError> {
        let Some(last) = published.checked_sub(1) else { return Ok(()) };
        let file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Damage::missing(path, RESTORE_ALL).into());
            }
            opened => opened.map_err(doing("open", path))?,
        };
        let table = Self { file, path: path.to_owned() };
        let length = table.file.metadata().map_err(doing("read", path))?.len();
        if length < published * to_u64(RECORD) {
            let problem = format!("cut: it ends before the record of entry {last}");
            return Err(Damage::that_is(path, problem, RESTORE_ALL).into());
        }
        table.read(0)?;
        table.read(last).map(|_| ())
    }

    /// Opens the table of a log, an empty one if there is none. The caller syncs the directory.
    pub(crate) fn open(path: &Path) -> Result<Self, FileError> {
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(PRIVATE)
            .open(path)
            .map_err(doing("open", path))?;
        Ok(Self { file, path: path.to_owned() })
    }

    /// Writes the keys of the entries from `first` on and syncs them. Written before by a publication
    /// that a crash cut short: the same again, except that an erased one stays erased.
    pub(crate) fn write(&self, first: u64, keys: &[KeySlot]) -> Result<(), FileError> {
        let offset = first * to_u64(RECORD);
        let mut before = vec![0; keys.len() * RECORD];
        self.read_existing(&mut before, offset)?;
        let mut records = Vec::with_capacity(before.len());
        for ((index, key), existing) in (first..).zip(keys).zip(before.chunks(RECORD)) {
            let kept = decode(index, existing).filter(|slot| *slot == KeySlot::Erased);
            records.extend_from_slice(&encode(index, kept.as_ref().unwrap_or(key)));
        }
        self.file.write_all_at(&records, offset).map_err(doing("write", &self.path))?;
        self.file.sync_data().map_err(doing("sync", &self.path))
    }

    /// The key of one entry that was written.
    pub(crate) fn read(&self, index: u64) -> Result<KeySlot, ReadError> {
        let offset = index * to_u64(RECORD);
        let mut record = [0; RECORD];
        if self.read_existing(&mut record, offset)? < RECORD {
            let problem = format!("missing the record of entry {index}: it ends before");
            return Err(Damage::that_is(&self.path, problem, RESTORE_ALL).into());
        }
        Ok(decode(index, &record).ok_or_else(|| {
            Damage::at(&self.path, offset, format!("the record of entry {index} is not valid"), RESTORE_ONE)
        })?)
    }

    /// Fills the buffer from an offset, as far as the file goes; how many bytes that were.
    fn read_existing(&self, buffer: &mut [u8], offset: u64) -> Result<usize, FileError> {
        let length = self.file.metadata().map_err(doing("read", &self.path))?.len();
        let there = to_usize(length.saturating_sub(offset)).min(buffer.len());
        let Some(existing) = buffer.get_mut(..there) else { return Ok(0) };
        self.file.read_exact_at(existing, offset).map_err(doing("read", &self.path))?;
        Ok(there)
    }
}

fn encode(index: u64, slot: &KeySlot) -> Vec<u8> {
    let (state, key) = match slot {
        KeySlot::Absent => (ABSENT, [0; WRAPPED_KEY_LEN]),
        KeySlot::Present(key) => (PRESENT, *key),
        KeySlot::Erased => (ERASED, [0; WRAPPED_KEY_LEN]),
    };
    [&[state], check(index, state, &key).as_slice(), &key].concat()
}

/// `None` when the record was never written or is damaged.
fn decode(index: u64, record: &[u8]) -> Option<KeySlot> {
    let (state, rest) = record.split_first()?;
    let (found, key) = rest.split_first_chunk::<CHECK>()?;
    let key: [u8; WRAPPED_KEY_LEN] = key.try_into().ok()?;
    if *found != check(index, *state, &key) {
        return None;
    }
    match *state {
        ABSENT => Some(KeySlot::Absent),
        PRESENT => Some(KeySlot::Present(key)),
        ERASED => Some(KeySlot::Erased),
        _ => None,
    }
}

fn check(index: u64, state: u8, key: &[u8; WRAPPED_KEY_LEN]) -> [u8; CHECK] {
    let mut hasher = Sha256::new();
    hasher.update(index.to_be_bytes());
    hasher.update([state]);
    hasher.update(key);
    let digest: [u8; 32] = hasher.finalize().into();
    digest.first_chunk().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_back_and_what_was_never_written_is_damage() {
        let dir = tempfile::tempdir().unwrap();
        let table = KeyTable::open(&dir.path().join("keys")).unwrap();
        let slots = [KeySlot::Absent, KeySlot::Present([7; WRAPPED_KEY_LEN]), KeySlot::Erased];
        table.write(5, &slots).unwrap();
        for (index, slot) in (5..).zip(slots) {
            assert_eq!(table.read(index).unwrap(), slot);
        }
        for hole in [0, 4, 8, 1 << 40] {
            assert!(matches!(table.read(hole), Err(ReadError::Damaged(_))), "{hole}");
        }
    }

    #[test]
    fn an_erased_key_is_never_brought_back() {
        let dir = tempfile::tempdir().unwrap();
        let table = KeyTable::open(&dir.path().join("keys")).unwrap();
        let key = KeySlot::Present([7; WRAPPED_KEY_LEN]);
        table.write(0, &[key, key]).unwrap();
        table.write(1, &[KeySlot::Erased]).unwrap();
        table.write(0, &[key, key, key]).unwrap();
        let slots: Vec<_> = (0..3).map(|index| table.read(index).unwrap()).collect();
        assert_eq!(slots, [key, KeySlot::Erased, key]);
    }

    #[test]
    fn every_flip_in_a_record_is_found() {
        for slot in [KeySlot::Absent, KeySlot::Present([7; WRAPPED_KEY_LEN]), KeySlot::Erased] {
            let record = encode(9, &slot);
            assert_eq!(decode(9, &record), Some(slot));
            assert_eq!(decode(10, &record), None);
            for position in 0..RECORD {
                let mut flipped = record.clone();
                flipped[position] ^= 0x01;
                assert_eq!(decode(9, &flipped), None, "flip at {position}");
            }
        }
    }
}

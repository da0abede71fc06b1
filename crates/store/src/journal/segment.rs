//! Segment files: a header, frames one after the other, zeros to the end.
//!
//! ```text
//! magic[8] ‖ u32 format version ‖ SHA-256 of the origin ‖ segment id[16] ‖ u64 epoch ‖ u64 first index
//!   ‖ SHA-256 of the last frame of the segment before ‖ SHA-256 of all before
//! ```

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;
use sha2::{Digest, Sha256};
use tlog::Hash;

use super::frame::{Frame, SegmentId};
use crate::bytes::{Cursor, to_usize};
use crate::error::{Damage, FileError, OpenError, ReadError, doing};

/// What every segment begins with.
const SEGMENT_MAGIC: [u8; 8] = *b"deedssg0";

/// Version of segments and frames that this code writes and reads.
const FORMAT_VERSION: u32 = 0;

/// Bytes of a segment before its first frame.
pub(crate) const SEGMENT_HEADER_BYTES: usize = 8 + 4 + 32 + 16 + 8 + 8 + 32 + 32;

/// What to do when the journal is damaged where acknowledged entries are.
pub(crate) const RESTORE: &str = "restore the journal from a backup; nothing was changed";

/// What a segment says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    /// SHA-256 of the origin of the log.
    pub(crate) origin: Hash,
    pub(crate) id: SegmentId,
    /// Epoch in which it was begun; its frames may have later ones.
    pub(crate) epoch: u64,
    /// Index of its first entry.
    pub(crate) first: u64,
    /// SHA-256 at the end of the frame before its first one: it outlives the segment before it.
    pub(crate) previous: Hash,
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(SEGMENT_HEADER_BYTES);
        bytes.extend_from_slice(&SEGMENT_MAGIC);
        bytes.extend_from_slice(&FORMAT_VERSION.to_be_bytes());
        bytes.extend_from_slice(&self.origin);
        bytes.extend_from_slice(&self.id);
        bytes.extend_from_slice(&self.epoch.to_be_bytes());
        bytes.extend_from_slice(&self.first.to_be_bytes());
        bytes.extend_from_slice(&self.previous);
        bytes.extend_from_slice(&Sha256::digest(&bytes));
        bytes
    }

    /// Reads the header of a whole segment. The error says what is wrong, for a person.
    pub(crate) fn decode(segment: &[u8]) -> Result<Self, &'static str> {
        let header = segment.get(..SEGMENT_HEADER_BYTES).ok_or("the segment header is cut")?;
        let mut cursor = Cursor::new(header);
        if cursor.array() != Some(SEGMENT_MAGIC) {
            return Err("the file does not begin like a journal segment");
        }
        if cursor.u32() != Some(FORMAT_VERSION) {
            return Err("the segment has a format that this version does not know");
        }
        let fields = (|| {
            let origin = cursor.array()?;
            let id = cursor.array()?;
            let (epoch, first) = (cursor.u64()?, cursor.u64()?);
            Some(Self { origin, id, epoch, first, previous: cursor.array()? })
        })();
        let (content, hash) = header.split_last_chunk::<32>().ok_or("the segment header is cut")?;
        if Sha256::digest(content).as_slice() != hash {
            return Err("the SHA-256 of the segment header is wrong");
        }
        fields.ok_or("the segment header is cut")
    }
}

/// An open segment. Its file may be unlinked while a reader still has it.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) path: PathBuf,
    pub(crate) file: File,
    pub(crate) header: SegmentHeader,
}

/// Where a synced frame is, and what the sequencer knew of it when it wrote it.
#[derive(Clone, Debug)]
pub(crate) struct FrameRef {
    pub(crate) segment: Arc<Segment>,
    pub(crate) offset: u64,
    pub(crate) length: usize,
    pub(crate) first: u64,
    pub(crate) count: u64,
    /// Root after it, from the sequencer's memory and not from the disk.
    pub(crate) root: Hash,
}

impl FrameRef {
    /// Index after its last entry.
    pub(crate) fn end(&self) -> u64 {
        self.first + self.count
    }

    /// Reads the frame from the file and checks it.
    pub(crate) fn read(&self) -> Result<Frame, ReadError> {
        let path = &self.segment.path;
        let mut bytes = vec![0; self.length];
        self.segment.file.read_exact_at(&mut bytes, self.offset).map_err(doing("read", path))?;
        let frame =
            Frame::decode(bytes).map_err(|problem| Damage::at(path, self.offset, problem, RESTORE))?;
        if frame.header.first != self.first || frame.header.segment != self.segment.header.id {
            return Err(Damage::at(path, self.offset, "another frame is in its place", RESTORE).into());
        }
        Ok(frame)
    }
}

/// Name of the segment that begins with this entry.
pub(crate) fn segment_path(journal: &Path, first: u64) -> PathBuf {
    journal.join(format!("{first:016x}.seg"))
}

/// First index in a segment's name; `None` when the file is no segment.
pub(crate) fn parse_segment_path(path: &Path) -> Option<u64> {
    let digits = path.file_name()?.to_str()?.strip_suffix(".seg")?;
    let first = u64::from_str_radix(digits, 16).ok()?;
    (format!("{first:016x}") == digits).then_some(first)
}

/// Reads a segment and checks its header: the header, and all bytes of the file.
pub(crate) fn open_segment(path: &Path, origin: &str) -> Result<(Segment, Vec<u8>), OpenError> {
    let file = File::options().read(true).write(true).open(path).map_err(doing("open", path))?;
    let length = file.metadata().map_err(doing("read", path))?.len();
    if length > crate::limits::MAX_SEGMENT_BYTES.saturating_mul(2) {
        return Err(Damage::somewhere(path, "it is longer than any segment", RESTORE).into());
    }
    let mut bytes = vec![0; to_usize(length)];
    file.read_exact_at(&mut bytes, 0).map_err(doing("read", path))?;
    let header =
        SegmentHeader::decode(&bytes).map_err(|problem| Damage::somewhere(path, problem, RESTORE))?;
    if header.origin != origin_hash(origin) {
        return Err(OpenError::OtherLog { path: path.to_owned(), origin: origin.to_owned() });
    }
    Ok((Segment { path: path.to_owned(), file, header }, bytes))
}

/// How a segment names its log.
pub(crate) fn origin_hash(origin: &str) -> Hash {
    Sha256::digest(origin).into()
}

/// Reserves `length` bytes of zeros on the disk for a new file, so that no later write can find it full.
pub(crate) fn reserve(file: &File, path: &Path, length: u64) -> Result<(), FileError> {
    match fallocate(file, FallocateFlags::empty(), 0, length) {
        Ok(()) => Ok(()),
        Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {
            fill_with_zeros(file, length).map_err(doing("reserve", path))
        }
        Err(errno) => Err(FileError::new("reserve", path, errno.into())),
    }
}

/// What [`reserve`] does on a file system that cannot: writes the zeros.
fn fill_with_zeros(file: &File, length: u64) -> io::Result<()> {
    let zeros = vec![0; 1 << 20];
    let mut offset = file.metadata()?.len();
    while offset < length {
        let step = to_usize(length - offset).min(zeros.len());
        file.write_all_at(zeros.get(..step).unwrap_or(&zeros), offset)?;
        offset += crate::bytes::to_u64(step);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> SegmentHeader {
        SegmentHeader { origin: [1; 32], id: [2; 16], epoch: 3, first: 4, previous: [5; 32] }
    }

    #[test]
    fn a_header_comes_back_and_every_flip_is_found() {
        let bytes = header().encode();
        assert_eq!(bytes.len(), SEGMENT_HEADER_BYTES);
        assert_eq!(SegmentHeader::decode(&bytes).unwrap(), header());
        for position in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[position] ^= 0x80;
            assert!(SegmentHeader::decode(&flipped).is_err(), "flip at {position}");
            assert!(SegmentHeader::decode(&bytes[..position]).is_err(), "cut at {position}");
        }
    }

    #[test]
    fn only_canonical_names_are_segments() {
        let path = segment_path(Path::new("j"), 0xABC);
        assert_eq!(path, Path::new("j/0000000000000abc.seg"));
        assert_eq!(parse_segment_path(&path), Some(0xABC));
        for other in ["abc.seg", "0000000000000ABC.seg", "+000000000000abc.seg", "spare", "aside-1"] {
            assert_eq!(parse_segment_path(Path::new(other)), None, "{other}");
        }
    }

    #[test]
    fn room_is_reserved_with_and_without_help_of_the_file_system() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let file = File::create_new(&path).unwrap();
        reserve(&file, &path, 5_000).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), vec![0; 5_000]);
        fill_with_zeros(&file, 3_000_000).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), vec![0; 3_000_000]);
    }
}

//! The journal: where an entry becomes durable. One writer, the sequencer.

pub(crate) mod frame;
pub(crate) mod segment;

use std::fs::File;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tlog::Hash;

use crate::NewEntry;
use crate::bytes::to_u64;
use crate::error::{FileError, doing};
use crate::files::{PRIVATE, remove_optional, sync_dir};
use crate::limits::MAX_FRAME_BYTES;
use frame::{FrameHeader, encode, encoded_length};
use segment::{FrameRef, SEGMENT_HEADER_BYTES, Segment, SegmentHeader, reserve, segment_path};

/// A source of randomness: fills a slice with random bytes.
pub type Random = Box<dyn FnMut(&mut [u8]) + Send>;

/// The end of the journal. Owned by the sequencer; readers use [`FrameRef`]s.
pub(crate) struct Journal {
    pub(crate) directory: PathBuf,
    /// SHA-256 of the origin.
    pub(crate) origin: Hash,
    pub(crate) epoch: u64,
    pub(crate) segment_bytes: u64,
    pub(crate) random: Random,
    /// SHA-256 at the end of the last frame.
    pub(crate) previous: Hash,
    /// Where the next frame goes.
    pub(crate) current: Arc<Segment>,
    pub(crate) end: u64,
    /// Bytes reserved for the current segment.
    pub(crate) capacity: u64,
    /// The next segment, reserved before anything was promised that has to fit in it.
    pub(crate) spare: Option<Spare>,
}

/// A segment without a name yet.
pub(crate) struct Spare {
    file: File,
    path: PathBuf,
    capacity: u64,
}

/// What [`Journal::append`] did.
pub(crate) struct Appended {
    pub(crate) frame: FrameRef,
    /// The segment that was begun for it, if one was.
    pub(crate) begun: Option<Arc<Segment>>,
}

impl Spare {
    /// Reserves room for a segment on the disk. Any left-over of an earlier process is removed: a
    /// segment is never written over stale bytes.
    pub(crate) fn reserve(journal: &Path, capacity: u64) -> Result<Self, FileError> {
        let path = spare_path(journal);
        remove_optional(&path)?;
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(PRIVATE)
            .open(&path)
            .map_err(doing("create", &path))?;
        if let Err(error) = reserve(&file, &path, capacity) {
            // give back what was taken from a disk that is nearly full
            let _ = std::fs::remove_file(&path);
            return Err(error);
        }
        Ok(Self { file, path, capacity })
    }

    /// Gives it a header and its name; durable on return.
    pub(crate) fn begin(self, header: SegmentHeader) -> Result<(Segment, u64), FileError> {
        let directory = self.path.parent().unwrap_or(Path::new("."));
        let path = segment_path(directory, header.first);
        self.file.write_all_at(&header.encode(), 0).map_err(doing("write", &self.path))?;
        self.file.sync_all().map_err(doing("sync", &self.path))?;
        // a segment of the same name holds no frame: it was cut back at start-up or was too small
        std::fs::rename(&self.path, &path).map_err(doing("rename to", &path))?;
        sync_dir(directory)?;
        Ok((Segment { path, file: self.file, header }, self.capacity))
    }
}

impl Journal {
    /// Makes sure that the next frame has room before its entries are promised. `false`: the disk is
    /// full, and the caller must not prepare anything.
    pub(crate) fn reserve(&mut self) -> Result<bool, FileError> {
        let room = self.capacity.saturating_sub(self.end);
        if room >= to_u64(MAX_FRAME_BYTES) || self.spare.is_some() {
            return Ok(true);
        }
        match Spare::reserve(&self.directory, self.segment_bytes) {
            Ok(spare) => {
                self.spare = Some(spare);
                Ok(true)
            }
            Err(error) if error.is_disk_full() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Writes one frame and syncs it. After an error the process must end: whether the frame is on the
    /// disk is not known.
    pub(crate) fn append(
        &mut self,
        first: u64,
        root: Hash,
        entries: &[NewEntry],
    ) -> Result<Appended, FileError> {
        let length = to_u64(encoded_length(entries));
        let begun = if self.end + length > self.capacity { Some(self.rotate(first, length)?) } else { None };
        let header = FrameHeader {
            segment: self.current.header.id,
            epoch: self.epoch,
            first,
            previous: self.previous,
            root,
        };
        let too_large =
            || FileError::new("encode a frame for", &self.current.path, std::io::Error::other("too large"));
        let bytes = encode(&header, entries).ok_or_else(too_large)?;
        let Segment { path, file, .. } = self.current.as_ref();
        file.write_all_at(&bytes, self.end).map_err(doing("write", path))?;
        file.sync_data().map_err(doing("sync", path))?;
        // from here on the batch is in the log, whatever happens
        let frame = FrameRef {
            segment: self.current.clone(),
            offset: self.end,
            length: bytes.len(),
            first,
            count: to_u64(entries.len()),
            root,
        };
        self.end += length;
        self.previous = bytes.last_chunk().copied().unwrap_or_default();
        Ok(Appended { frame, begun })
    }

    /// Gives back the room that was reserved and not used.
    pub(crate) fn close(&mut self) {
        if let Some(spare) = self.spare.take() {
            // the next start removes it otherwise
            let _ = std::fs::remove_file(&spare.path);
        }
    }

    /// Begins the next segment, with room for a frame of this length at least.
    fn rotate(&mut self, first: u64, frame: u64) -> Result<Arc<Segment>, FileError> {
        let needed = to_u64(SEGMENT_HEADER_BYTES) + frame;
        let spare = match self.spare.take() {
            Some(spare) if spare.capacity >= needed => spare,
            // only where segments are configured smaller than a frame may be
            _ => Spare::reserve(&self.directory, needed.max(self.segment_bytes))?,
        };
        let header = new_header(self.origin, self.epoch, first, self.previous, &mut self.random);
        let (segment, capacity) = spare.begin(header)?;
        self.current = Arc::new(segment);
        self.end = to_u64(SEGMENT_HEADER_BYTES);
        self.capacity = capacity;
        Ok(self.current.clone())
    }
}

/// Where a segment is reserved.
pub(crate) fn spare_path(journal: &Path) -> PathBuf {
    journal.join("spare")
}

/// Header of a new segment, with a fresh random id.
pub(crate) fn new_header(
    origin: Hash,
    epoch: u64,
    first: u64,
    previous: Hash,
    random: &mut Random,
) -> SegmentHeader {
    let mut id = [0; 16];
    random(&mut id);
    SegmentHeader { origin, id, epoch, first, previous }
}

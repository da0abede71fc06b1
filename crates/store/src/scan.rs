//! Reading the journal at start-up: which frames are good, and what is after the last one.

use std::path::Path;
use std::sync::Arc;

use tlog::Hash;
use tlog::leaf_hash;
use tlog::range::CompactRange;

use crate::bytes::to_u64;
use crate::error::{Damage, OpenError};
use crate::files;
use crate::head::Head;
use crate::journal::frame::{
    FRAME_HASH_BYTES, FRAME_HEADER_BYTES, FRAME_MAGIC, Frame, SegmentId, decode_header,
};
use crate::journal::segment::{
    FrameRef, RESTORE, SEGMENT_HEADER_BYTES, Segment, open_segment, parse_segment_path, segment_path,
};
use crate::tiles::{BUNDLE, Tiles};

/// The journal as found. Nothing was changed to find it.
pub(crate) struct Scan {
    /// In order; the last one is to be written on.
    pub(crate) segments: Vec<Arc<Segment>>,
    pub(crate) frames: Vec<FrameRef>,
    /// The tree after the last good frame.
    pub(crate) range: CompactRange,
    /// SHA-256 at the end of the last good frame.
    pub(crate) previous: Hash,
    /// Highest epoch seen.
    pub(crate) epoch: u64,
    /// Where the last good frame ends in the last segment.
    pub(crate) end: u64,
    /// Length of the last segment.
    pub(crate) length: u64,
    /// What comes after it.
    pub(crate) tail: Tail,
}

/// What comes after the last good frame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Tail {
    /// Nothing, or zeros.
    Clean,
    /// A frame that was never written to its end, so nobody has a receipt for it. Bytes of it.
    Short(u64),
    /// A frame at its full length that is not good: whether somebody has a receipt is not known.
    Bad(Vec<u8>),
}

/// What is at a place in a segment.
enum Next {
    End,
    Frame(Frame),
    Short,
    Bad(&'static str),
}

/// Reads the whole journal. `None` when there is no segment.
pub(crate) fn scan(
    journal: &Path,
    origin: &str,
    head: &Head,
    tiles: &Tiles,
) -> Result<Option<Scan>, OpenError> {
    let paths = files::list(journal)?;
    let paths: Vec<_> = paths.iter().filter(|path| parse_segment_path(path).is_some()).collect();
    let Some(first) = paths.first().and_then(|path| parse_segment_path(path)) else {
        return Ok(None);
    };
    let mut scan = Scan::begin(journal, first, head, tiles)?;
    for (number, path) in (1..).zip(&paths) {
        scan.segment(path, origin, head, number == paths.len())?;
    }
    Ok(Some(scan))
}

impl Scan {
    /// Before the first segment that is left: the tree there comes from the tiles.
    fn begin(journal: &Path, first: u64, head: &Head, tiles: &Tiles) -> Result<Self, OpenError> {
        let needed = head.size / BUNDLE * BUNDLE;
        if first > needed {
            return Err(missing(journal, needed, &segment_path(journal, first), first));
        }
        let range = tiles.range(first, head.size, &head.root)?;
        Ok(Self::before(range))
    }

    /// The journal of a new log: one segment of this length without frames.
    pub(crate) fn of_new(segment: Segment, length: u64) -> Self {
        let segments = vec![Arc::new(segment)];
        Self { segments, end: to_u64(SEGMENT_HEADER_BYTES), length, ..Self::before(CompactRange::new()) }
    }

    fn before(range: CompactRange) -> Self {
        Self {
            segments: Vec::new(),
            frames: Vec::new(),
            range,
            previous: [0; 32],
            epoch: 0,
            end: 0,
            length: 0,
            tail: Tail::Clean,
        }
    }

    /// One segment: its header, its frames, and what is after them.
    fn segment(&mut self, path: &Path, origin: &str, head: &Head, is_last: bool) -> Result<(), OpenError> {
        let (segment, bytes) = open_segment(path, origin)?;
        let segment = Arc::new(segment);
        self.check_header(&segment)?;
        let mut at = SEGMENT_HEADER_BYTES;
        let tail = loop {
            let rest = bytes.get(at..).unwrap_or_default();
            match next(rest, &segment.header.id) {
                Next::Frame(frame) => {
                    let length = frame.length();
                    self.take(&frame, &segment, to_u64(at), head)?;
                    at += length;
                }
                Next::End => break Tail::Clean,
                Next::Short if is_last => break Tail::Short(to_u64(written(rest))),
                Next::Bad(problem) if is_last => break self.bad_tail(&segment, at, rest, problem)?,
                Next::Short => {
                    return Err(self.middle(path, at, "a frame is cut and a later segment follows"));
                }
                Next::Bad(problem) => {
                    return Err(self.middle(path, at, &format!("{problem} and a later segment follows")));
                }
            }
        };
        (self.end, self.length, self.tail) = (to_u64(at), to_u64(bytes.len()), tail);
        self.segments.push(segment);
        Ok(())
    }

    fn check_header(&mut self, segment: &Segment) -> Result<(), OpenError> {
        let header = &segment.header;
        let named = parse_segment_path(&segment.path);
        if named != Some(header.first) || header.first != self.range.size() {
            let expected = self.range.size();
            if named == Some(header.first) && header.first > expected {
                let journal = segment.path.parent().unwrap_or(&segment.path);
                return Err(missing(journal, expected, &segment.path, header.first));
            }
            let problem =
                format!("the segment begins with entry {} where entry {expected} is expected", header.first);
            return Err(self.header(&segment.path, &problem));
        }
        if !self.segments.is_empty() && header.previous != self.previous {
            return Err(self.header(&segment.path, "the segment does not follow the frame before it"));
        }
        if header.epoch < self.epoch {
            return Err(self.header(&segment.path, "the epoch of the segment is lower than one before"));
        }
        self.previous = header.previous;
        self.epoch = header.epoch;
        Ok(())
    }

    /// Takes a frame whose own hash is right, if it continues the log.
    fn take(
        &mut self,
        frame: &Frame,
        segment: &Arc<Segment>,
        offset: u64,
        head: &Head,
    ) -> Result<(), OpenError> {
        let header = &frame.header;
        let before = self.range.clone();
        let wrong = |problem: &str| Err(misplaced(&segment.path, Some(offset), problem, before.size()));
        if header.first != before.size() {
            return wrong("the frame has another first index than the log is long");
        }
        if header.previous != self.previous {
            return wrong("the frame does not follow the one before it");
        }
        if header.epoch < self.epoch {
            return wrong("the epoch of the frame is lower than one before");
        }
        for entry in (0..).map_while(|position| frame.entry(position)) {
            self.range.push(leaf_hash(entry));
            if self.range.size() == head.size && self.range.root() != head.root {
                return wrong("the journal leads to another root than the one in `head`");
            }
        }
        if self.range.root() != header.root {
            return wrong("the entries of the frame do not lead to the root in it");
        }
        self.previous = frame.hash();
        self.epoch = header.epoch;
        self.frames.push(FrameRef {
            segment: segment.clone(),
            offset,
            length: frame.length(),
            first: header.first,
            count: to_u64(frame.count()),
            root: header.root,
        });
        Ok(())
    }

    /// A bad frame in the last segment: the end of the log, unless a good frame follows it.
    fn bad_tail(
        &self,
        segment: &Segment,
        at: usize,
        rest: &[u8],
        problem: &'static str,
    ) -> Result<Tail, OpenError> {
        if follows(rest, &segment.header.id) {
            return Err(self.middle(&segment.path, at, &format!("{problem} and a good frame follows")));
        }
        Ok(Tail::Bad(rest.get(..written(rest)).unwrap_or(rest).to_vec()))
    }

    fn middle(&self, path: &Path, at: usize, problem: &str) -> OpenError {
        misplaced(path, Some(to_u64(at)), problem, self.range.size())
    }

    /// A segment whose header is sound and does not fit: where the mistake is nobody can tell.
    fn header(&self, path: &Path, problem: &str) -> OpenError {
        misplaced(path, None, problem, self.range.size())
    }
}

/// Damage where a crash cannot have left it.
pub(crate) fn misplaced(path: &Path, offset: Option<u64>, problem: &str, good: u64) -> OpenError {
    let how = format!("{problem}; {}", last_good(good));
    match offset {
        Some(offset) => Damage::at(path, offset, how, RESTORE).into(),
        None => Damage::somewhere(path, how, RESTORE).into(),
    }
}

/// A hole in the journal: from `expected` on, up to the segment that begins with `first`. Whether a whole segment
/// or the end of one is gone cannot be told, so the directory is named, and the segment after the hole.
fn missing(journal: &Path, expected: u64, next: &Path, first: u64) -> OpenError {
    let next = next.file_name().unwrap_or_default().display();
    let problem =
        format!("missing entries {expected} to {} before `{next}`; {}", first - 1, last_good(expected));
    Damage::that_is(journal, problem, RESTORE).into()
}

fn last_good(size: u64) -> String {
    match size.checked_sub(1) {
        Some(index) => format!("the last good entry is {index}"),
        None => "no entry before it is good".to_owned(),
    }
}

/// What the bytes after the last good frame begin with.
fn next(rest: &[u8], segment: &SegmentId) -> Next {
    match decode_header(rest) {
        Some((header, length, _)) if header.segment == *segment => {
            let Some(frame) = rest.get(..length) else {
                // the file ends before the frame does
                return Next::Short;
            };
            match Frame::decode(frame.to_vec()) {
                Ok(frame) => Next::Frame(frame),
                // its hash, the last thing to be written, is not there at all
                Err(_) if all_zero(rest.get(length - FRAME_HASH_BYTES..)) => Next::Short,
                Err(problem) => Next::Bad(problem),
            }
        }
        _ if all_zero(Some(rest)) => Next::End,
        // not even the header was written to its end
        _ if all_zero(rest.get(FRAME_HEADER_BYTES..)) => Next::Short,
        _ => Next::Bad("the frame header is not valid"),
    }
}

/// Whether a good frame of this segment begins anywhere after the first byte.
fn follows(rest: &[u8], segment: &SegmentId) -> bool {
    let magic =
        rest.windows(FRAME_MAGIC.len()).enumerate().skip(1).filter(|(_, bytes)| **bytes == FRAME_MAGIC);
    magic.filter_map(|(at, _)| rest.get(at..)).any(|rest| matches!(next(rest, segment), Next::Frame(_)))
}

/// Number of bytes up to the last one that is not zero. A segment is mostly zeros at its end: whole blocks of
/// them are compared at once, because byte by byte this was the longest step of a start.
fn written(bytes: &[u8]) -> usize {
    let zeros = [0; 4_096];
    let mut rest = bytes;
    while let Some((before, block)) = rest.split_last_chunk::<4_096>()
        && *block == zeros
    {
        rest = before;
    }
    rest.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}

/// Whether there is nothing but zeros, or nothing.
fn all_zero(bytes: Option<&[u8]>) -> bool {
    written(bytes.unwrap_or_default()) == 0
}

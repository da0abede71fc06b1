//! Reading one file for its digest, without ever following a link or waiting for a pipe.

use std::ffi::CStr;
use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use evidence::Digest;
use rustix::fs::{Mode, OFlags, fstat, open, openat, readlinkat};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};

use super::Watch;

/// How much of a file is read at a time.
const CHUNK: usize = 128 * 1_024;
/// How often a file is read that is written to meanwhile.
const TRIES: usize = 3;

/// What was seen of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    /// Its bytes; of a link the text that it points with.
    Bytes { link: bool, digest: Digest, size: u64 },
    /// It is there, and its bytes could not be read, or were written to all the while.
    Unreadable,
}

/// What became of the attempt to read one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Read {
    Seen(Seen),
    /// It was in the list of its directory, and is not there any more.
    Vanished,
    /// It is a pipe, socket or device now.
    Special,
    /// The bytes allowed were used up, or the look was stopped.
    CutOff,
}

/// What all files of one look share.
pub(crate) struct Budget<'a> {
    pub(crate) bytes: AtomicU64,
    pub(crate) bytes_max: u64,
    pub(crate) watch: &'a Watch,
}

impl Budget<'_> {
    /// Whether nothing more is to be read.
    pub(crate) fn is_spent(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) > self.bytes_max || self.watch.is_stopped()
    }

    fn take(&self, bytes: u64) -> bool {
        self.watch.bytes.fetch_add(bytes, Ordering::Relaxed);
        let before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        before.saturating_add(bytes) <= self.bytes_max && !self.watch.is_stopped()
    }
}

/// Opens a directory to look things up in it. It needs not be readable, and seldom is where many users have theirs.
pub(crate) fn open_parent(parent: impl AsFd, name: &CStr) -> rustix::io::Result<OwnedFd> {
    #[cfg(target_os = "linux")]
    let flags = OFlags::PATH;
    #[cfg(not(target_os = "linux"))]
    let flags = OFlags::RDONLY;
    openat(parent, name, flags | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
}

/// Opens a directory to list it; a link is none.
pub(crate) fn open_directory(parent: impl AsFd, name: &CStr) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(parent, name, flags, Mode::empty())
}

/// The target text of a symbolic link.
pub(crate) fn read_link(parent: impl AsFd, name: &CStr) -> Read {
    match readlinkat(parent, name, Vec::new()) {
        Ok(target) => {
            let target = target.to_bytes();
            Read::Seen(Seen::Bytes { link: true, digest: Digest::of(target), size: target.len() as u64 })
        }
        Err(Errno::NOENT) => Read::Vanished,
        Err(_) => Read::Seen(Seen::Unreadable),
    }
}

/// The bytes of a regular file as they are now; a link is none.
pub(crate) fn read_file(parent: impl AsFd, name: &CStr, budget: &Budget<'_>) -> Read {
    read_opened(openat(parent, name, READING | OFlags::NOFOLLOW, Mode::empty()), budget)
}

/// The same of a path, which may lead through links.
pub(crate) fn read_path(path: &Path, budget: &Budget<'_>) -> Read {
    read_opened(open(path, READING, Mode::empty()), budget)
}

/// Without NONBLOCK, a pipe that took the place of a file since it was looked at would hold us up for ever.
const READING: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

fn read_opened(opened: rustix::io::Result<OwnedFd>, budget: &Budget<'_>) -> Read {
    let mut file = match opened {
        Ok(fd) => File::from(fd),
        Err(Errno::NOENT | Errno::NOTDIR) => return Read::Vanished,
        // a socket cannot be opened
        Err(Errno::NXIO) => return Read::Special,
        Err(_) => return Read::Seen(Seen::Unreadable),
    };
    match fstat(&file) {
        Ok(found) if rustix::fs::FileType::from_raw_mode(found.st_mode).is_file() => {}
        Ok(_) => return Read::Special,
        Err(_) => return Read::Seen(Seen::Unreadable),
    }
    let same = file.try_clone();
    let stamp = || same.as_ref().ok().and_then(stamp);
    steadily(stamp, |stamp| digest(&mut file, stamp, budget))
}

/// What tells that a file was written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    size: u64,
    /// Seconds and nanoseconds of the last change, to what the file system can tell.
    changed: (i64, i64),
}

fn stamp(file: &File) -> Option<Stamp> {
    let found = file.metadata().ok()?;
    Some(Stamp { size: found.len(), changed: (found.ctime(), found.ctime_nsec()) })
}

/// Reads until nobody wrote meanwhile: a digest over the beginning of one state and the end of the next is one that the
/// file never had. What is written to all the while has none.
fn steadily(mut stamp: impl FnMut() -> Option<Stamp>, mut read: impl FnMut(Stamp) -> Read) -> Read {
    for _ in 0..TRIES {
        let Some(before) = stamp() else { break };
        match read(before) {
            read @ Read::Seen(_) if stamp() == Some(before) => return read,
            Read::Seen(_) => {}
            other => return other,
        }
    }
    Read::Seen(Seen::Unreadable)
}

fn digest(file: &mut File, stamp: Stamp, budget: &Budget<'_>) -> Read {
    let mut hasher = Sha256::new();
    let mut size = 0;
    let mut chunk = vec![0; CHUNK];
    if file.rewind().is_err() {
        return Read::Seen(Seen::Unreadable);
    }
    loop {
        let read = match file.read(&mut chunk) {
            Ok(read) => read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(_) => return Read::Seen(Seen::Unreadable),
        };
        let Some(bytes) = chunk.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
        if !budget.take(read as u64) {
            return Read::CutOff;
        }
        hasher.update(bytes);
        size += read as u64;
        // It grows: whoever writes could go on for ever. Files that the kernel makes up say that they are empty.
        if stamp.size > 0 && size > stamp.size {
            return Read::Seen(Seen::Unreadable);
        }
    }
    Read::Seen(Seen::Bytes { link: false, digest: Digest(hasher.finalize().into()), size })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(byte: u8) -> Read {
        Read::Seen(Seen::Bytes { link: false, digest: Digest([byte; 32]), size: 1 })
    }

    #[test]
    fn a_digest_is_of_one_state_of_a_file() {
        let stamps = |of: &'static [u64]| {
            let mut of = of.iter();
            move || of.next().map(|size| Stamp { size: *size, changed: (0, 0) })
        };
        let reading = || {
            let mut byte = 0;
            move |_: Stamp| {
                byte += 1;
                seen(byte)
            }
        };
        assert_eq!(steadily(stamps(&[1, 1]), reading()), seen(1));
        assert_eq!(steadily(stamps(&[1, 2, 2, 2]), reading()), seen(2), "written to once");
        assert_eq!(steadily(stamps(&[1, 2, 2, 3, 3, 3]), reading()), seen(3), "the last try");
        let always = steadily(stamps(&[1, 2, 2, 3, 3, 4, 4, 4]), reading());
        assert_eq!(always, Read::Seen(Seen::Unreadable));
        assert_eq!(steadily(stamps(&[1]), |_| Read::CutOff), Read::CutOff);
    }

    #[test]
    fn a_file_that_grows_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let bytes = vec![7; 3 * CHUNK];
        std::fs::write(&path, &bytes).unwrap();
        let watch = Watch::default();
        let budget = Budget { bytes: AtomicU64::new(0), bytes_max: u64::MAX, watch: &watch };
        let mut file = File::open(&path).unwrap();
        let now = stamp(&file).unwrap();
        let smaller = Stamp { size: 1, ..now };
        assert_eq!(digest(&mut file, smaller, &budget), Read::Seen(Seen::Unreadable));
        assert!(budget.bytes.load(Ordering::Relaxed) <= CHUNK as u64);
        let whole = Seen::Bytes { link: false, digest: Digest::of(&bytes), size: now.size };
        assert_eq!(digest(&mut file, now, &budget), Read::Seen(whole));
        assert_eq!(read_path(&path, &budget), Read::Seen(whole));
    }
}

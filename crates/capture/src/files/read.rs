//! Reading one file for its digest, without ever following a link or waiting for a pipe.

use std::ffi::CStr;
use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use evidence::Digest;
use rustix::fs::{Mode, OFlags, fstat, open, openat, readlinkat};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};

use super::Watch;

/// How much of a file is read at a time.
const CHUNK: usize = 128 * 1_024;

/// What was seen of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    /// Its bytes; of a link the text that it points with.
    Bytes { link: bool, digest: Digest, size: u64 },
    /// It is there, and its bytes could not be read.
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

/// Opens a directory; a link is none.
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

/// The bytes of a regular file as they are now; a link is none. It may be written to meanwhile: what is told is what
/// was read.
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
    let file = match opened {
        Ok(fd) => fd,
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
    digest(File::from(file), budget)
}

fn digest(mut file: File, budget: &Budget<'_>) -> Read {
    let mut hasher = Sha256::new();
    let mut size = 0;
    let mut chunk = vec![0; CHUNK];
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
    }
    Read::Seen(Seen::Bytes { link: false, digest: Digest(hasher.finalize().into()), size })
}

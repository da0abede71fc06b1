//! Files on this host as artifacts: their names, their digests, and what changed between two looks at them.
//!
//! A look (`walk::look`) goes through the declared paths without following any symbolic link, reads every file, and
//! gives a `Snapshot`; `changes::between` compares two. What cannot be seen (a file that may not be read, one that
//! vanishes, one beyond a limit) is never guessed: it has no digest, and a remark says so.

pub(crate) mod changes;
pub(crate) mod declared;
pub(crate) mod read;
pub(crate) mod snapshot;
mod uri;
pub(crate) mod walk;

use core::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

pub use declared::{Declared, FilesError};
pub use uri::file_uri;

/// How far a look at files has come, and whether it should go on. Shared with whoever shows it.
#[derive(Default)]
pub struct Watch {
    files: AtomicU64,
    bytes: AtomicU64,
    busy: AtomicBool,
    stop: AtomicBool,
    ended: Option<Box<dyn Fn() + Send + Sync>>,
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("seen", &self.seen()).finish_non_exhaustive()
    }
}

impl Watch {
    /// One that calls `ended` at the end of each look, before anything else happens.
    pub fn new(ended: impl Fn() + Send + Sync + 'static) -> Self {
        Self { ended: Some(Box::new(ended)), ..Self::default() }
    }

    /// Files and bytes read so far, while a look is under way.
    pub fn seen(&self) -> Option<(u64, u64)> {
        let read = (self.files.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed));
        self.busy.load(Ordering::Relaxed).then_some(read)
    }

    /// Ends the look as soon as possible; what it has not seen by then stays unknown.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    pub(crate) fn begins(&self) {
        self.files.store(0, Ordering::Relaxed);
        self.bytes.store(0, Ordering::Relaxed);
        self.busy.store(true, Ordering::Relaxed);
    }

    pub(crate) fn ends(&self) {
        self.busy.store(false, Ordering::Relaxed);
        if let Some(ended) = &self.ended {
            ended();
        }
    }
}

/// How much may be looked at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Extent {
    /// Files and directories.
    pub(crate) files: usize,
    /// Bytes in files.
    pub(crate) bytes: u64,
    /// Levels below a declared directory.
    pub(crate) depth: usize,
}

impl Extent {
    /// The limits of `deeds run`.
    pub(crate) const FULL: Self = Self {
        files: crate::limits::FILES_MAX,
        bytes: crate::limits::FILES_BYTES_MAX,
        depth: crate::limits::FILES_DEPTH_MAX,
    };
}

/// Media type of a symbolic link, whose bytes are the text that it points with.
pub(crate) const LINK: &str = "inode/symlink";
/// Media type of a directory, whose digest is over the list of the files in it.
pub(crate) const DIRECTORY: &str = "inode/directory";

#[cfg(test)]
mod tests;

//! Errors: what happened, to which file, what to do next.

use core::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An operation of the file system that failed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("cannot {doing} `{}`: {cause}{}", path.display(), advice(cause))]
pub struct FileError {
    /// What was tried: `read`, `write`, `sync` …
    pub doing: &'static str,
    /// On which file or directory.
    pub path: PathBuf,
    /// What the operating system said.
    pub cause: Arc<io::Error>,
}

impl FileError {
    pub(crate) fn new(doing: &'static str, path: &Path, cause: io::Error) -> Self {
        Self { doing, path: path.to_owned(), cause: Arc::new(cause) }
    }

    /// Whether the disk (or quota) is full and nothing else is in doubt. A failed sync always leaves
    /// doubt: the page cache no longer tells what the disk holds.
    pub(crate) fn is_disk_full(&self) -> bool {
        self.doing != "sync"
            && matches!(self.cause.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }
}

/// What a person can do about what the operating system said, where that is known.
fn advice(cause: &io::Error) -> &'static str {
    use io::ErrorKind as Kind;
    match cause.kind() {
        Kind::PermissionDenied => "; give it back to the user who runs the server (`chown`, `chmod u+rwX`)",
        Kind::IsADirectory => {
            "; this directory is in the place of a file: move it away, and restore the file if the next start asks for it"
        }
        Kind::NotADirectory => {
            "; a file is in the place of a directory: move it away, and restore the directory from a backup"
        }
        Kind::ReadOnlyFilesystem => "; mount the file system writable",
        Kind::StorageFull | Kind::QuotaExceeded => "; free some space",
        _ => "",
    }
}

/// `result.map_err(doing("read", path))`.
pub(crate) fn doing<'a>(what: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> FileError + 'a {
    move |cause| FileError::new(what, path, cause)
}

/// A file whose content is not what was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is {problem}; {advice}", path.display())]
pub struct Damage {
    /// Which file; a directory where no single file can be named.
    pub path: PathBuf,
    /// Where in it, where that is known.
    pub offset: Option<u64>,
    /// What is wrong: `missing`, or `damaged` with the place where it is known, and how.
    pub problem: String,
    /// What to do about it.
    pub advice: &'static str,
}

impl Damage {
    /// Something is wrong at a byte of the file.
    pub(crate) fn at(path: &Path, offset: u64, how: impl Display, advice: &'static str) -> Self {
        let problem = format!("damaged at byte {offset}: {how}");
        Self { offset: Some(offset), ..Self::that_is(path, problem, advice) }
    }

    /// Something is wrong in the file; where is not known.
    pub(crate) fn somewhere(path: &Path, how: impl Display, advice: &'static str) -> Self {
        Self::that_is(path, format!("damaged: {how}"), advice)
    }

    /// The file is not there.
    pub(crate) fn missing(path: &Path, advice: &'static str) -> Self {
        Self::that_is(path, "missing".to_owned(), advice)
    }

    /// The path "is …".
    pub(crate) fn that_is(path: &Path, problem: String, advice: &'static str) -> Self {
        Self { path: path.to_owned(), offset: None, problem, advice }
    }
}

/// Why a store was not opened. Nothing was changed on disk, except where the message says so.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// A value of the configuration cannot work.
    #[error("the store cannot be configured like that: {0}")]
    Config(String),
    /// Another process has the store.
    #[error("`{}` is held by {holder}; stop it, or use another data directory", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// Who holds it: `process 4711`, as far as known.
        holder: String,
    },
    /// The file system refused something.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file is damaged.
    #[error(transparent)]
    Damaged(#[from] Damage),
    /// The directory has less than was once signed or committed: an older copy was put in its place.
    #[error(
        "the log was rolled back: `{}` names {committed} entries, this directory has {found}; \
         restore a copy that has all of them, and never append to this one",
        path.display()
    )]
    RolledBack {
        /// The file that knows more.
        path: PathBuf,
        /// Entries that it names.
        committed: u64,
        /// Entries that are there.
        found: u64,
    },
    /// The directory belongs to another log.
    #[error("`{}` belongs to another log than `{origin}`; use the data directory of this log", path.display())]
    OtherLog {
        /// The file that says so.
        path: PathBuf,
        /// The origin that was configured.
        origin: String,
    },
}

impl From<ReadError> for OpenError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::File(error) => Self::File(error),
            ReadError::Damaged(damage) => Self::Damaged(damage),
            other => Self::Config(other.to_string()),
        }
    }
}

/// Why something could not be read.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// No such entry yet.
    #[error("there is no entry {index}, the log has {size}")]
    OutOfRange {
        /// The index asked for.
        index: u64,
        /// Durable size of the log.
        size: u64,
    },
    /// The size asked for has no checkpoint yet.
    #[error("size {size} is not published, the last checkpoint has {published}; wait for the next one")]
    NotPublished {
        /// The size asked for.
        size: u64,
        /// Size of the last checkpoint; 0 when there is none.
        published: u64,
    },
    /// There is no proof between these sizes.
    #[error(
        "there is no proof for entry or size {from} in a tree of {size}; ask for one that is in the tree"
    )]
    NoProof {
        /// Index or older size.
        from: u64,
        /// Size of the tree.
        size: u64,
    },
    /// The file system refused something.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file is damaged.
    #[error(transparent)]
    Damaged(#[from] Damage),
}

/// Why an append that was queued did not happen. The draft never reached `prepare`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// No room for another journal segment.
    #[error("the disk of `{}` is full; free some space, appending goes on by itself then", journal.display())]
    NoSpace {
        /// The journal directory.
        journal: PathBuf,
    },
    /// The store was closed first.
    #[error("the store is closed; open it again")]
    Closed,
}

/// The queue of the sequencer is full; the draft was dropped and its callback never runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the log has {waiting} appends waiting, which is its limit; try again in a moment")]
pub struct QueueFull {
    /// Appends that wait; the configured limit.
    pub waiting: usize,
}

//! Errors: what happened, to which file or thing, what to do next.

use std::io;
use std::path::PathBuf;

/// Why the index cannot be opened, folded or asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LineageError {
    /// The database says no.
    #[error(
        "the index `{}` cannot be used: {cause}; it holds nothing of its own, remove it and it is made again",
        path.display()
    )]
    Database {
        /// The index file.
        path: PathBuf,
        /// What SQLite said.
        cause: rusqlite::Error,
    },
    /// The file system says no.
    #[error("cannot {doing} `{}`: {cause}", path.display())]
    File {
        /// What was tried.
        doing: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the operating system said.
        cause: io::Error,
    },
    /// The linked SQLite has a defect that can lose index rows.
    #[error("SQLite {0} is older than 3.51.3 and may damage its files; build with the bundled one")]
    OldSqlite(&'static str),
    /// The log cannot be read.
    #[error(transparent)]
    Read(#[from] store::ReadError),
    /// Nothing with this name, as far as the log is folded.
    #[error("there is no {what} `{name}` among the first {size} entries of the log; {advice}")]
    NotFound {
        /// What was looked for: `run`, `action` …
        what: &'static str,
        /// What it was called.
        name: String,
        /// Entries that the answer takes into account.
        size: u64,
        /// What to do next.
        advice: std::borrow::Cow<'static, str>,
    },
}

impl LineageError {
    /// Whether the file itself is bad, so that making it anew helps.
    pub(crate) fn is_damage(&self) -> bool {
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase, SchemaChanged, Unknown};
        let Self::Database { cause, .. } = self else { return false };
        match cause {
            rusqlite::Error::SqliteFailure(error, _) => {
                // a missing table or column is reported as plain error: the schema is not the one written down
                matches!(error.code, DatabaseCorrupt | NotADatabase | SchemaChanged | Unknown)
            }
            // a value of another type than the schema says, or a row that must be there and is not
            rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::QueryReturnedNoRows => true,
            _ => false,
        }
    }
}

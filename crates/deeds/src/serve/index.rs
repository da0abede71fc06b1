//! The files of the index, which can be thrown away at any time: everything in it comes from the log.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// The database and what SQLite keeps beside it.
const FILES: [&str; 3] = ["index.sqlite", "index.sqlite-wal", "index.sqlite-shm"];
/// While this file is there the index is not to be believed.
const MARK: &str = "index.rebuild";

/// Where the database is.
pub(crate) fn path(data: &Path) -> PathBuf {
    data.join("index.sqlite")
}

/// Asks the next server to throw the index away.
pub(crate) fn mark(data: &Path) -> io::Result<()> {
    File::create(data.join(MARK))?.sync_all()?;
    File::open(data)?.sync_all()
}

/// Throws the index away where that was asked for. Only under the lock of the data directory. After a crash in
/// between the mark is still there, and so is the next attempt.
pub(super) fn drop_if_marked(data: &Path) -> io::Result<()> {
    let mark = data.join(MARK);
    if !mark.try_exists()? {
        return Ok(());
    }
    for name in FILES {
        remove(&data.join(name))?;
    }
    File::open(data)?.sync_all()?;
    remove(&mark)
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marked_index_is_thrown_away_once() {
        let data = tempfile::tempdir().unwrap();
        let write = || FILES.iter().for_each(|name| std::fs::write(data.path().join(name), "x").unwrap());
        write();
        drop_if_marked(data.path()).unwrap();
        assert!(path(data.path()).exists(), "nobody asked");
        mark(data.path()).unwrap();
        drop_if_marked(data.path()).unwrap();
        assert_eq!(std::fs::read_dir(data.path()).unwrap().count(), 0);
        write();
        drop_if_marked(data.path()).unwrap();
        assert!(path(data.path()).exists(), "once");
    }
}

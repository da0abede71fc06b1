//! The counter of proofs under one key, shared by all processes that use a delegation file: `FILE.ctr`.
//!
//! One line, `<thumbprint> <next counter>`, of fixed length, so that one write replaces it. Its lock is held only for
//! that write. The file is an optimisation that may be lost: the server says at the start which counter is next, and
//! a counter that was used before is refused by it, never accepted twice.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::Context as _;
use rustix::fs::{FlockOperation, flock};

use crate::files::PRIVATE;

/// Characters of a thumbprint.
const THUMBPRINT: usize = 43;
/// Digits of the counter, enough for 2^53.
const DIGITS: usize = 16;
/// The whole line.
const LINE: usize = THUMBPRINT + 1 + DIGITS + 1;

/// Gives each proof its counter.
#[derive(Debug)]
pub(crate) struct Counter {
    path: PathBuf,
    /// By thumbprint, the lowest that this process may still give, whatever the file says: the file is about one
    /// key, and a process may go from one to the next.
    floors: Mutex<HashMap<String, u64>>,
}

impl Counter {
    /// In a file that need not be there yet.
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, floors: Mutex::default() }
    }

    /// The next counter of a key, `at_least` this high, which no other caller gets.
    pub(crate) fn next(&self, thumbprint: &str, at_least: u64) -> anyhow::Result<u64> {
        // one after the other within the process too: the lock of a file is not for that
        let mut floors = self.floors.lock().unwrap_or_else(PoisonError::into_inner);
        let floor = floors.entry(thumbprint.to_owned()).or_default();
        let next = take(&self.path, thumbprint, at_least.max(*floor)).with_context(|| {
            format!("cannot count in `{}`, where all who use the delegation file count", self.path.display())
        })?;
        *floor = next.saturating_add(1);
        Ok(next)
    }
}

fn take(path: &Path, thumbprint: &str, at_least: u64) -> std::io::Result<u64> {
    let file = open(path)?;
    // let go when the file is closed, also by a crash
    flock(&file, FlockOperation::LockExclusive)?;
    let next = stored(&file, thumbprint)?.max(at_least);
    let line = format!("{thumbprint} {:0DIGITS$}\n", next.saturating_add(1));
    file.write_all_at(line.as_bytes(), 0)?;
    Ok(next)
}

/// What the file says; 0 where it is about another key or says nothing.
fn stored(file: &File, thumbprint: &str) -> std::io::Result<u64> {
    let mut line = [0; LINE];
    let mut length = 0;
    while let Some(rest) = line.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, length as u64)? {
            0 => break,
            read => length += read,
        }
    }
    let text = std::str::from_utf8(&line).unwrap_or_default().trim_end_matches('\n');
    let counted = text.split_once(' ').filter(|(named, _)| *named == thumbprint);
    Ok(counted.and_then(|(_, next)| next.parse().ok()).unwrap_or_default())
}

fn open(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(PRIVATE).open(path)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use super::*;

    fn counter(dir: &tempfile::TempDir) -> Counter {
        Counter::new(dir.path().join("d.ctr"))
    }

    fn key(letter: char) -> String {
        letter.to_string().repeat(THUMBPRINT)
    }

    #[test]
    fn it_goes_on_where_it_was_and_starts_anew_for_another_key() {
        let dir = tempfile::tempdir().unwrap();
        let (first, a, b) = (counter(&dir), key('a'), key('b'));
        let given = [0, 0, 9].map(|at_least| first.next(&a, at_least).unwrap());
        assert_eq!(given, [0, 1, 9]);
        assert_eq!(counter(&dir).next(&a, 3).unwrap(), 10);
        assert_eq!(std::fs::read(dir.path().join("d.ctr")).unwrap().len(), LINE);
        assert_eq!(counter(&dir).next(&b, 0).unwrap(), 0);
        // the file is about another key now, and this process still knows what it gave
        assert_eq!(first.next(&a, 0).unwrap(), 10);
    }

    #[test]
    fn a_file_with_something_else_counts_for_nothing() {
        let dir = tempfile::tempdir().unwrap();
        for content in ["", "x", &"a".repeat(LINE), &format!("{} zz", key('a'))] {
            std::fs::write(dir.path().join("d.ctr"), content).unwrap();
            assert_eq!(counter(&dir).next(&key('a'), 5).unwrap(), 5, "{content}");
        }
        let nowhere = Counter::new(dir.path().join("no/d.ctr"));
        assert!(nowhere.next(&key('a'), 0).unwrap_err().to_string().contains("cannot count"));
    }

    #[test]
    fn no_two_callers_get_the_same() {
        let dir = Arc::new(tempfile::tempdir().unwrap());
        let work = |_| {
            let dir = Arc::clone(&dir);
            // each thread with a handle of its own, as processes have
            std::thread::spawn(move || {
                let counter = counter(&dir);
                (0..50).map(|_| counter.next(&key('a'), 0).unwrap()).collect::<Vec<_>>()
            })
        };
        let threads: Vec<_> = (0..4).map(work).collect();
        let given: Vec<u64> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        assert_eq!(given.iter().copied().collect::<BTreeSet<_>>(), (0..200).collect());
        assert_eq!(given.len(), 200);
    }
}

//! The executable behind a command: where the operating system would find it, and its digest.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read as _, Write};
use std::path::{Path, PathBuf};

use evidence::Digest;
use rustix::fs::{Access, AtFlags, CWD, accessat};
use sha2::{Digest as _, Sha256};

/// Largest executable whose digest is taken, bytes; of a larger one it stays unknown.
const EXECUTABLE_MAX_BYTES: u64 = 512 * 1_024 * 1_024;

/// Digest string of the executable that a program's name leads to, where it can be seen.
pub(super) fn digest_of(program: &str, search: Option<&OsStr>) -> Option<String> {
    find(program, search).and_then(|path| digest(&path))
}

/// Where a program is found, as the operating system would look for it.
pub(super) fn find(program: &str, search: Option<&OsStr>) -> Option<PathBuf> {
    if program.contains('/') {
        return Some(PathBuf::from(program));
    }
    // one that this user may not run is passed over, as the operating system does
    let may_run = |path: &PathBuf| accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS).is_ok();
    let runnable = |path: &PathBuf| path.is_file() && may_run(path);
    std::env::split_paths(search?).map(|dir| dir.join(program)).find(runnable)
}

/// Digest of an executable as it is now. It may be replaced before it runs: what is recorded is what was seen.
pub(super) fn digest(path: &Path) -> Option<String> {
    let file = File::open(path).ok().filter(|file| file.metadata().is_ok_and(|found| found.is_file()))?;
    let mut hasher = HashWriter(Sha256::new());
    let size = std::io::copy(&mut file.take(EXECUTABLE_MAX_BYTES + 1), &mut hasher).ok()?;
    (size <= EXECUTABLE_MAX_BYTES).then(|| Digest(hasher.0.finalize().into()).to_string())
}

/// Hashes what is written to it.
struct HashWriter(Sha256);

impl Write for HashWriter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

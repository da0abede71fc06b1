//! One writer at a time, and a number that grows with each.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::error::{Damage, FileError, OpenError, doing};
use crate::files::{PRIVATE, sync_dir};
use crate::limits::MAX_SMALL_FILE_BYTES;

/// What to do when the file cannot be read.
const ADVICE: &str = "if no other process uses the data directory, delete the file: \
                      the journal knows the last epoch too";

/// The held lock. The file keeps `epoch <20 digits> pid <10 digits>` and is let go with the process.
pub(crate) struct Lock {
    file: File,
    path: PathBuf,
    epoch: u64,
}

impl Lock {
    /// Takes the lock of a data directory, or says who has it.
    pub(crate) fn take(directory: &Path) -> Result<Self, OpenError> {
        let path = directory.join("LOCK");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(PRIVATE)
            .open(&path)
            .map_err(doing("open", &path))?;
        let locked = flock(&file, FlockOperation::NonBlockingLockExclusive);
        let mut bytes = Vec::new();
        let limited = file.by_ref().take(MAX_SMALL_FILE_BYTES).read_to_end(&mut bytes);
        // what is no text holds no epoch
        let text = String::from_utf8_lossy(&bytes);
        match locked {
            Ok(()) => limited.map_err(doing("read", &path))?,
            Err(Errno::WOULDBLOCK) => {
                let holder = parse(&text).map(|(_, pid)| format!("process {pid}"));
                let holder = holder.unwrap_or_else(|| "a process that has just started".to_owned());
                return Err(OpenError::Locked { path, holder });
            }
            Err(errno) => return Err(FileError::new("lock", &path, errno.into()).into()),
        };
        let epoch = match parse(&text) {
            Some((epoch, _)) => epoch,
            // made by a process that ended before its first start was complete
            None if text.is_empty() => 0,
            None => return Err(Damage::somewhere(&path, "it holds no epoch", ADVICE).into()),
        };
        Ok(Self { file, path, epoch })
    }

    /// Begins the epoch of this process: above the last one, and above any that the log knows of.
    pub(crate) fn begin_epoch(&mut self, highest_seen: u64) -> Result<u64, FileError> {
        self.epoch = self.epoch.max(highest_seen).saturating_add(1);
        let text = format!("epoch {:020} pid {:010}\n", self.epoch, std::process::id());
        // in place, because the lock is on this inode; the text always has the same length
        self.file.write_all_at(text.as_bytes(), 0).map_err(doing("write", &self.path))?;
        self.file.sync_all().map_err(doing("sync", &self.path))?;
        if let Some(directory) = self.path.parent() {
            sync_dir(directory)?;
        }
        Ok(self.epoch)
    }
}

impl Drop for Lock {
    /// Let go at once, not when the last descriptor is closed: a child process that is just being
    /// started has a copy of it until it runs its own program.
    fn drop(&mut self) {
        let _ = flock(&self.file, FlockOperation::Unlock);
    }
}

/// Epoch and process id.
fn parse(text: &str) -> Option<(u64, u32)> {
    let (epoch, pid) = text.strip_prefix("epoch ")?.strip_suffix('\n')?.split_once(" pid ")?;
    Some((epoch.parse().ok()?, pid.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_start_has_a_higher_epoch_than_all_before() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Lock::take(dir.path()).unwrap().begin_epoch(0).unwrap(), 1);
        assert_eq!(Lock::take(dir.path()).unwrap().begin_epoch(0).unwrap(), 2);
        assert_eq!(Lock::take(dir.path()).unwrap().begin_epoch(41).unwrap(), 42);
        std::fs::remove_file(dir.path().join("LOCK")).unwrap();
        assert_eq!(Lock::take(dir.path()).unwrap().begin_epoch(42).unwrap(), 43);
    }

    #[test]
    fn the_second_opener_learns_who_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let mut first = Lock::take(dir.path()).unwrap();
        first.begin_epoch(0).unwrap();
        let refused = Lock::take(dir.path()).map(|_| ()).unwrap_err().to_string();
        assert!(refused.contains(&format!("held by process {};", std::process::id())), "{refused}");
        drop(first);
        Lock::take(dir.path()).unwrap();
    }

    #[test]
    fn a_lock_file_without_an_epoch_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        for content in [b"epoch twelve pid 1\n".as_slice(), b"\xff\x00\n"] {
            std::fs::write(dir.path().join("LOCK"), content).unwrap();
            let refused = Lock::take(dir.path()).map(|_| ()).unwrap_err();
            assert!(matches!(refused, OpenError::Damaged(_)), "{refused}");
        }
    }
}

//! Puts new bytes in the place of a file that belongs to somebody else's program: whole or not at all, with the mode
//! and the owner that it had.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::Path;

use anyhow::{Context as _, bail, ensure};

use super::look::CLIENT_CONFIG_MAX_BYTES;
use crate::files::{PRIVATE, read_limited};

/// Replaces the file, if it still holds what was read of it. `path` is the file itself and no link to it.
///
/// Between the last look and the rename lies a moment in which a client could write; no file system closes it for
/// programs that do not know of each other. After a crash there is the old file or the new one, and at most a
/// `.deeds-new` beside it, which the next attempt removes.
pub(super) fn replace(path: &Path, expected: &[u8], new: &[u8]) -> anyhow::Result<()> {
    let name = path.display();
    let found = fs::symlink_metadata(path).with_context(|| format!("cannot look at `{name}`"))?;
    ensure!(found.is_file(), "`{name}` is no regular file any more");
    if found.nlink() > 1 {
        bail!(
            "`{name}` has {} names (hard links), and a new file would have one: edit it by hand",
            found.nlink()
        );
    }
    let mut part = path.file_name().map(std::ffi::OsStr::to_owned).unwrap_or_default();
    part.push(".deeds-new");
    let part = path.with_file_name(part);
    let written = write(&part, new, &found).and_then(|()| {
        if read_limited(path, CLIENT_CONFIG_MAX_BYTES)? != expected {
            bail!("`{name}` was changed while this ran; close its client and try again");
        }
        fs::rename(&part, path).with_context(|| format!("cannot replace `{name}`"))
    });
    if written.is_err() {
        // it was ours, or is not there
        let _ = fs::remove_file(&part);
    }
    written?;
    let dir = path.parent().unwrap_or(Path::new("/"));
    File::open(dir).and_then(|dir| dir.sync_all()).with_context(|| format!("cannot sync `{}`", dir.display()))
}

fn write(part: &Path, new: &[u8], like: &fs::Metadata) -> anyhow::Result<()> {
    let name = part.display();
    let written = || -> std::io::Result<()> {
        match fs::remove_file(part) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(PRIVATE).open(part)?;
        let own = file.metadata()?;
        if (own.uid(), own.gid()) != (like.uid(), like.gid()) {
            fchown(&file, Some(like.uid()), Some(like.gid()))?;
        }
        file.set_permissions(Permissions::from_mode(like.mode() & 0o7777))?;
        file.write_all(new)?;
        file.sync_all()
    };
    written().with_context(|| {
        format!("cannot write `{name}` with the owner and mode of the file it is to replace")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mode_is_kept_and_a_file_that_changed_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        fs::write(&path, "one").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        fs::write(dir.path().join("f.deeds-new"), "left behind").unwrap();
        replace(&path, b"one", b"two").unwrap();
        assert_eq!(
            (fs::read(&path).unwrap(), fs::metadata(&path).unwrap().mode() & 0o7777),
            (b"two".to_vec(), 0o640)
        );
        let error = replace(&path, b"one", b"three").unwrap_err().to_string();
        assert!(error.contains("was changed while this ran"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_file_with_two_names_is_left_to_people() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        fs::write(&path, "one").unwrap();
        fs::hard_link(&path, dir.path().join("g")).unwrap();
        assert!(replace(&path, b"one", b"two").unwrap_err().to_string().contains("2 names"));
        assert_eq!(fs::read(&path).unwrap(), b"one");
    }

    #[test]
    fn the_owner_is_kept() {
        if !rustix::process::geteuid().is_root() {
            return eprintln!("SKIPPED: only root can write files of others");
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        fs::write(&path, "one").unwrap();
        std::os::unix::fs::chown(&path, Some(12_345), Some(54_321)).unwrap();
        replace(&path, b"one", b"two").unwrap();
        let found = fs::metadata(&path).unwrap();
        assert_eq!((found.uid(), found.gid()), (12_345, 54_321));
    }
}

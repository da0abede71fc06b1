//! Puts new bytes in the place of a file that belongs to somebody else's program: whole or not at all, with the mode
//! and the owner that it had.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::look::read_config;
use crate::files::PRIVATE;

/// How often a file that its client writes all the time is put back.
const PUT_BACK_MAX: usize = 64;

/// Replaces the file, if it still holds what was read of it. `path` is the file itself and no link to it.
///
/// The two are exchanged where the file system can do that, so that what a client wrote at the last moment is found and
/// put back; a client that has the old file open and writes to it after that is not seen. After a crash there is the
/// old file or the new one, and at most the other as `.NAME.deeds-new` beside it, which the next attempt removes.
pub(crate) fn replace(path: &Path, expected: &[u8], new: &[u8]) -> anyhow::Result<()> {
    let name = path.display();
    let found = fs::symlink_metadata(path).with_context(|| format!("cannot look at `{name}`"))?;
    ensure!(found.is_file(), "`{name}` is no regular file any more");
    if found.nlink() > 1 {
        bail!(
            "`{name}` has {} names (hard links), and a new file would have one: edit it by hand",
            found.nlink()
        );
    }
    // hidden: what is hidden in a policy directory is passed over, should one be left behind there
    let mut part = std::ffi::OsString::from(".");
    part.push(path.file_name().unwrap_or_default());
    part.push(".deeds-new");
    let part = path.with_file_name(part);
    let written = write(&part, new, &found).and_then(|()| {
        ensure!(read_config(path)? == expected, "{}", changed(path));
        put(&part, path, expected, new)
    });
    // what was replaced, or what was not put in its place; after a rename there is none
    let removed = fs::remove_file(&part).or_else(|error| match error.kind() {
        ErrorKind::NotFound => Ok(()),
        _ => Err(error).with_context(|| format!("cannot remove `{}`: remove it by hand", part.display())),
    });
    written.and(removed)?;
    let dir = path.parent().unwrap_or(Path::new("/"));
    File::open(dir).and_then(|dir| dir.sync_all()).with_context(|| format!("cannot sync `{}`", dir.display()))
}

/// Puts the new file in its place. What comes out of there must be what was read; if it is not, it goes back.
fn put(part: &Path, path: &Path, expected: &[u8], new: &[u8]) -> anyhow::Result<()> {
    let failed = || format!("cannot replace `{}`", path.display());
    let exchange = || renameat_with(CWD, part, CWD, path, RenameFlags::EXCHANGE);
    match exchange() {
        Ok(()) => {}
        // not every file system exchanges; between the last look and this lies a moment then
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            return fs::rename(part, path).with_context(failed);
        }
        Err(error) => return Err(error).with_context(failed),
    }
    let out = || read_config(part).ok();
    let (mut placed, mut newest) = (Some(new.to_vec()), out());
    if newest.as_deref() == Some(expected) {
        return Ok(());
    }
    // it goes back; what comes out for it must be what was placed before, else that was written still later
    for _ in 0..PUT_BACK_MAX {
        exchange().with_context(failed)?;
        let came = out();
        if came == placed {
            break;
        }
        (placed, newest) = (newest, came);
    }
    bail!("{}", changed(path))
}

fn changed(path: &Path) -> String {
    format!("`{}` was changed while this ran; close its client and try again", path.display())
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
        fs::write(dir.path().join(".f.deeds-new"), "left behind").unwrap();
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
    fn what_a_client_wrote_at_the_last_moment_is_put_back() {
        let dir = tempfile::tempdir().unwrap();
        let (path, part) = (dir.path().join("f"), dir.path().join(".f.deeds-new"));
        fs::write(&path, "written by its client").unwrap();
        fs::write(&part, "ours").unwrap();
        let error = put(&part, &path, b"read before", b"ours").unwrap_err().to_string();
        assert!(error.contains("was changed while this ran"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"written by its client");
        assert_eq!(fs::read(&part).unwrap(), b"ours");
        // and while it writes all the time, what is there is always something that it wrote, or ours
        let client = dir.path().join("client");
        let before = || fs::read(&path).unwrap();
        std::thread::scope(|scope| {
            let writes = scope.spawn(|| {
                for n in 0..2_000 {
                    fs::write(&client, format!("{n}")).unwrap();
                    fs::rename(&client, &path).unwrap();
                }
            });
            while !writes.is_finished() {
                let _ = replace(&path, &before(), b"ours");
            }
        });
        let last = before();
        assert!(last == b"1999" || last == b"ours", "{}", String::from_utf8_lossy(&last));
        assert!(!part.exists());
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

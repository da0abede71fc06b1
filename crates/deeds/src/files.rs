//! Files of the user: read within limits, those with keys only when nobody else can, written whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use zeroize::Zeroizing;

/// Mode of a file that only its owner reads.
pub(crate) const PRIVATE: u32 = 0o600;
/// Mode of a file that anybody may read.
pub(crate) const SHARED: u32 = 0o644;

/// Why a file that holds a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PrivateError {
    /// The operating system refused.
    #[error("cannot {doing} the file `{path}`")]
    Io { doing: &'static str, path: PathBuf, source: io::Error },
    /// Not a file.
    #[error("`{0}` is not a regular file")]
    NotAFile(PathBuf),
    /// Others could sign with the key in it.
    #[error(
        "the file `{path}` can be read by others (mode {mode:04o}); run `chmod 600 {path}`, and use a new key if \
         anybody may have read it"
    )]
    Open { path: PathBuf, mode: u32 },
    /// Larger than what it should be can be.
    #[error("`{path}` has more than {max} bytes")]
    TooLarge { path: PathBuf, max: usize },
}

/// Reads a file that nobody but its owner can read.
pub(crate) fn read_private(path: &Path, max: usize) -> Result<Zeroizing<Vec<u8>>, PrivateError> {
    let failed = |doing, source| PrivateError::Io { doing, path: path.to_owned(), source };
    // Checked on the open file: a path could lead elsewhere a moment later. A FIFO must not make this wait.
    let nonblocking = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or_default();
    let opened = OpenOptions::new().read(true).custom_flags(nonblocking).open(path);
    let file = opened.map_err(|error| failed("open", error))?;
    let found = file.metadata().map_err(|error| failed("look at", error))?;
    if !found.is_file() {
        return Err(PrivateError::NotAFile(path.to_owned()));
    }
    let mode = found.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(PrivateError::Open { path: path.to_owned(), mode });
    }
    // room for all of it at once, so that no shorter buffer with a part of the key is left behind unwiped
    let mut bytes = Zeroizing::new(Vec::with_capacity(max.saturating_add(2)));
    let limit = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
    file.take(limit).read_to_end(&mut bytes).map_err(|error| failed("read", error))?;
    if bytes.len() > max {
        return Err(PrivateError::TooLarge { path: path.to_owned(), max });
    }
    Ok(bytes)
}

/// A file of the user, refused when it is larger than it can reasonably be.
pub(crate) fn read_limited(path: &Path, max: usize) -> anyhow::Result<Vec<u8>> {
    let name = path.display();
    let file = File::open(path).with_context(|| format!("cannot open `{name}`"))?;
    let mut bytes = Vec::new();
    let limit = u64::try_from(max)?.saturating_add(1);
    file.take(limit).read_to_end(&mut bytes).with_context(|| format!("cannot read `{name}`"))?;
    ensure!(bytes.len() <= max, "`{name}` has more than {max} bytes");
    Ok(bytes)
}

/// What to do where a file is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Existing {
    /// Put the new one in its place.
    Replace,
    /// Fail with [`ErrorKind::AlreadyExists`].
    Refuse,
}

/// Writes a file whole or not at all: after a crash there is the old one, or none, or the new one; at most a `.part`
/// is left beside it, which the next write removes.
pub(crate) fn write_whole(path: &Path, bytes: &[u8], mode: u32, existing: Existing) -> io::Result<()> {
    let file_name =
        path.file_name().ok_or_else(|| io::Error::new(ErrorKind::InvalidInput, "it names no file"))?;
    let mut part = file_name.to_owned();
    part.push(".part");
    let part = path.with_file_name(part);
    // one that was left behind may have another mode, or be a link to somewhere else
    if let Err(error) = fs::remove_file(&part)
        && error.kind() != ErrorKind::NotFound
    {
        return Err(error);
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&part)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    match existing {
        Existing::Replace => fs::rename(&part, path)?,
        Existing::Refuse => {
            // a link fails where the name is taken, whenever that happened
            let linked = fs::hard_link(&part, path);
            fs::remove_file(&part)?;
            linked?;
        }
    }
    // the name is as durable as the bytes only once the directory is
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn files_are_limited_at_the_boundary() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        write_whole(&path, b"1234", PRIVATE, Existing::Refuse).unwrap();
        assert_eq!(read_limited(&path, 4).unwrap(), b"1234");
        assert!(read_limited(&path, 3).unwrap_err().to_string().contains("more than 3 bytes"));
        assert_eq!(*read_private(&path, 4).unwrap(), b"1234");
        assert!(matches!(read_private(&path, 3), Err(PrivateError::TooLarge { max: 3, .. })));
    }

    #[test]
    fn a_file_is_replaced_only_when_asked_and_has_its_mode() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        write_whole(&path, b"one", SHARED, Existing::Refuse).unwrap();
        assert_eq!(mode(), SHARED);
        let error = write_whole(&path, b"two", PRIVATE, Existing::Refuse).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"one");
        // what a crash left behind is neither followed nor reused
        fs::write(dir.path().join("f.part"), "left").unwrap();
        write_whole(&path, b"two", PRIVATE, Existing::Replace).unwrap();
        assert_eq!((fs::read(&path).unwrap(), mode()), (b"two".to_vec(), PRIVATE));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_others_can_read_and_what_is_no_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        write_whole(&path, b"key", 0o640, Existing::Refuse).unwrap();
        assert!(read_private(&path, 9).unwrap_err().to_string().contains("chmod 600"));
        assert!(matches!(read_private(dir.path(), 9), Err(PrivateError::NotAFile(_))));
        assert!(matches!(read_private(&dir.path().join("no"), 9), Err(PrivateError::Io { .. })));
    }
}

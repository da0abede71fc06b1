//! Files that survive a power cut: temporary name, sync, rename, sync of the directory.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::bytes::to_u64;
use crate::error::{Damage, FileError, ReadError, doing};

/// Mode of files that never change and that anybody with access to the directory may mirror.
pub(crate) const IMMUTABLE: u32 = 0o444;

/// Mode of files of which only the owner may know.
pub(crate) const PRIVATE: u32 = 0o600;

/// A write of an immutable file that met another content, or failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CreateError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error(
        "`{}` is there with other content than this log has for it; two writers or a restored copy: \
         compare it with a mirror before anything else",
        .0.display()
    )]
    Different(PathBuf),
}

impl CreateError {
    pub(crate) fn is_disk_full(&self) -> bool {
        matches!(self, Self::File(error) if error.is_disk_full())
    }
}

/// Writes whole files below one directory. Names become durable with [`Writer::sync_dirs`].
pub(crate) struct Writer {
    root: PathBuf,
    /// Holds files that have no name of their own yet; emptied at start-up.
    temporary: PathBuf,
    serial: u64,
    /// Directories with names that are not synced yet. Opened before the name is made and held until
    /// the sync, because an error can be lost when the kernel drops the directory's inode in between.
    unsynced: BTreeMap<PathBuf, File>,
}

impl Writer {
    /// A writer below `root`, with an empty directory for temporary files.
    pub(crate) fn new(root: &Path) -> Result<Self, FileError> {
        let temporary = root.join("tmp");
        create_dir(&temporary)?;
        for left_over in list(&temporary)? {
            std::fs::remove_file(&left_over).map_err(doing("remove", &left_over))?;
        }
        Ok(Self { root: root.to_owned(), temporary, serial: 0, unsynced: BTreeMap::new() })
    }

    /// Makes the file `path` (below the root) with these bytes, once and for all. There already with
    /// the same bytes: fine, a crash came between this step and the next one.
    pub(crate) fn create(&mut self, path: &Path, bytes: &[u8]) -> Result<(), CreateError> {
        self.prepare_dir(path)?;
        if let Some(existing) = open_optional(path)? {
            if !same_content(&existing, path, bytes)? {
                return Err(CreateError::Different(path.to_owned()));
            }
            // written by a process that may have died before its sync
            existing.sync_all().map_err(doing("sync", path))?;
            return Ok(());
        }
        self.put(path, bytes, IMMUTABLE)?;
        Ok(())
    }

    /// Puts these bytes in the place of the file `path`: a reader sees the old or the new ones. Durable
    /// on return.
    pub(crate) fn replace(&mut self, path: &Path, bytes: &[u8], mode: u32) -> Result<(), FileError> {
        self.prepare_dir(path)?;
        self.put(path, bytes, mode)?;
        self.sync_dirs()
    }

    /// Makes all names since the last call durable.
    pub(crate) fn sync_dirs(&mut self) -> Result<(), FileError> {
        for (path, directory) in &self.unsynced {
            directory.sync_all().map_err(doing("sync", path))?;
        }
        self.unsynced.clear();
        Ok(())
    }

    fn put(&mut self, path: &Path, bytes: &[u8], mode: u32) -> Result<(), FileError> {
        self.serial += 1;
        let temporary = self.temporary.join(self.serial.to_string());
        let written = write_new(&temporary, bytes, mode)
            .and_then(|()| std::fs::rename(&temporary, path).map_err(doing("rename to", path)));
        if written.is_err() {
            // nothing refers to it; if even that fails, the next start removes it
            let _ = std::fs::remove_file(&temporary);
        }
        written
    }

    /// Makes the directories above `path`, and holds open what has to be synced for its name to last.
    fn prepare_dir(&mut self, path: &Path) -> Result<(), FileError> {
        let mut missing = Vec::new();
        for directory in path.ancestors().skip(1) {
            self.hold(directory, &mut missing)?;
            if missing.last().is_none_or(|last| last != directory) || directory == self.root {
                break;
            }
        }
        while let Some(directory) = missing.pop() {
            make_dir(&directory)?;
            let opened = File::open(&directory).map_err(doing("open", &directory))?;
            self.unsynced.insert(directory, opened);
        }
        Ok(())
    }

    /// Opens a directory to be synced later, or notes that it is missing.
    fn hold(&mut self, directory: &Path, missing: &mut Vec<PathBuf>) -> Result<(), FileError> {
        if self.unsynced.contains_key(directory) {
            return Ok(());
        }
        match File::open(directory) {
            Ok(opened) => {
                self.unsynced.insert(directory.to_owned(), opened);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => missing.push(directory.to_owned()),
            Err(error) => return Err(FileError::new("open", directory, error)),
        }
        Ok(())
    }
}

/// A directory and those above it; durable on return. Only the owner may enter those that are made.
pub(crate) fn create_dir(path: &Path) -> Result<(), FileError> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    create_dir(parent)?;
    make_dir(path)?;
    sync_dir(parent)
}

/// Makes the names in a directory durable.
pub(crate) fn sync_dir(path: &Path) -> Result<(), FileError> {
    let directory = File::open(path).map_err(doing("open", path))?;
    directory.sync_all().map_err(doing("sync", path))
}

fn make_dir(path: &Path) -> Result<(), FileError> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(FileError::new("create directory", path, error))
        }
        _ => Ok(()),
    }
}

/// Writes and syncs a file that is not there yet.
pub(crate) fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<(), FileError> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .map_err(doing("create", path))?;
    file.write_all(bytes).map_err(doing("write", path))?;
    file.sync_all().map_err(doing("sync", path))
}

/// Removes a file that may be there.
pub(crate) fn remove_optional(path: &Path) -> Result<(), FileError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(FileError::new("remove", path, error)),
        _ => Ok(()),
    }
}

/// Paths of what is in a directory, sorted by name.
pub(crate) fn list(directory: &Path) -> Result<Vec<PathBuf>, FileError> {
    let entries = std::fs::read_dir(directory).map_err(doing("list", directory))?;
    let mut paths = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<Vec<_>>>()
        .map_err(doing("list", directory))?;
    paths.sort();
    Ok(paths)
}

/// All bytes of a file that has at most `limit` of them and has to be there; the advice says what to do
/// where it is not.
pub(crate) fn read_needed(path: &Path, limit: u64, advice: &'static str) -> Result<Vec<u8>, ReadError> {
    let bytes = read_optional(path, limit)?;
    Ok(bytes.ok_or_else(|| Damage::missing(path, advice))?)
}

/// As [`read_needed`]; `None` when there is no such file.
pub(crate) fn read_optional(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, FileError> {
    let file = open_optional(path)?;
    file.map(|file| read_opened(&file, path, limit)).transpose()
}

fn read_opened(file: &File, path: &Path, limit: u64) -> Result<Vec<u8>, FileError> {
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(doing("read", path))?;
    if to_u64(bytes.len()) > limit {
        let problem = io::Error::other(format!("it is longer than the {limit} bytes such a file can have"));
        return Err(FileError::new("read", path, problem));
    }
    Ok(bytes)
}

fn open_optional(path: &Path) -> Result<Option<File>, FileError> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(FileError::new("open", path, error)),
    }
}

fn same_content(file: &File, path: &Path, bytes: &[u8]) -> Result<bool, FileError> {
    let mut existing = Vec::new();
    let mut limited = file.take(to_u64(bytes.len()) + 1);
    limited.read_to_end(&mut existing).map_err(doing("read", path))?;
    Ok(existing == bytes)
}

//! What was wired, so that it can be taken back: `wired.json` in the configuration directory, and beside it, in
//! `wired/`, the bytes of each file as they were. Both are for their owner alone: configurations hold tokens.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use evidence::Digest;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use super::look::CLIENT_CONFIG_MAX_BYTES;
use crate::files::{Existing, PRIVATE, read_limited, write_whole};

/// Largest `wired.json`, bytes.
const WIRED_MAX_BYTES: usize = 8 * 1_024 * 1_024;
/// Form of `wired.json`.
const VERSION: u32 = 1;

/// The content of `wired.json`.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Wired {
    version: u32,
    files: Vec<WiredFile>,
}

/// One file that was edited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WiredFile {
    /// Id of the client, or `deeds` for our own configuration.
    pub(crate) client: String,
    /// The file itself, behind all symbolic links.
    pub(crate) path: PathBuf,
    /// The edits, oldest first.
    pub(crate) edits: Vec<WiredEdit>,
}

/// One edit of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WiredEdit {
    pub(crate) at_ms: u64,
    /// Digest of the file before; nothing where there was none.
    pub(crate) before: Option<String>,
    /// Digest of the file afterwards.
    pub(crate) after: String,
    /// The servers that were wrapped.
    #[serde(default)]
    pub(crate) servers: Vec<WiredServer>,
    /// A line that was put into our own configuration.
    #[serde(default)]
    pub(crate) line: Option<String>,
}

/// One server that was wrapped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WiredServer {
    pub(crate) name: String,
    pub(crate) project: Option<String>,
    pub(crate) alias: String,
    /// The server's own command.
    pub(crate) command: Vec<String>,
    /// Digest string of the command line that was written.
    pub(crate) digest: String,
    /// The command as it stood in the text.
    pub(super) command_text: String,
    /// The list of arguments as it stood in the text, if there was one.
    pub(super) args_before: Option<String>,
    /// The list of arguments as it was left.
    pub(super) args_after: String,
    /// What was put into the text where there was no list.
    pub(super) inserted: Option<String>,
}

/// The record of one configuration directory.
#[derive(Debug)]
pub(crate) struct Records {
    dir: PathBuf,
    /// Held while this lives, so that two do not write at once.
    _lock: File,
    wired: Wired,
}

impl Records {
    /// Opens the record for writing; makes the directory.
    pub(crate) fn open(dir: &Path) -> anyhow::Result<Self> {
        let name = dir.display();
        let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
        made.with_context(|| format!("cannot make the configuration directory `{name}`"))?;
        let path = dir.join("wired.lock");
        let lock = OpenOptions::new().create(true).truncate(false).write(true).mode(PRIVATE).open(&path);
        let lock = lock.with_context(|| format!("cannot open `{}`", path.display()))?;
        flock(&lock, FlockOperation::LockExclusive)
            .with_context(|| format!("cannot lock `{}`", path.display()))?;
        Ok(Self { dir: dir.to_owned(), _lock: lock, wired: read(dir)? })
    }

    /// What was edited, to look at.
    pub(crate) fn read(dir: &Path) -> anyhow::Result<Vec<WiredFile>> {
        Ok(read(dir)?.files)
    }

    /// What was edited.
    pub(crate) fn files(&self) -> &[WiredFile] {
        &self.wired.files
    }

    /// Remembers an edit that is about to be made, with the bytes as they are now. Durable once this returns: a crash
    /// between this and the edit leaves a record of a file that is as it was before, which undoing notices.
    pub(super) fn add(
        &mut self,
        client: &str,
        path: &Path,
        edit: WiredEdit,
        before: Option<&[u8]>,
    ) -> anyhow::Result<()> {
        if let (Some(bytes), Some(digest)) = (before, &edit.before) {
            self.keep(digest, bytes)?;
        }
        match self.wired.files.iter_mut().find(|file| file.path == path) {
            Some(file) => file.edits.push(edit),
            None => {
                let client = client.to_owned();
                self.wired.files.push(WiredFile { client, path: path.to_owned(), edits: vec![edit] });
            }
        }
        self.save()
    }

    /// Forgets the newest edit of a file, which could not be made.
    pub(super) fn take_back(&mut self, path: &Path) -> anyhow::Result<()> {
        if let Some(file) = self.wired.files.iter_mut().find(|file| file.path == path) {
            file.edits.pop();
        }
        self.wired.files.retain(|file| !file.edits.is_empty());
        self.save()?;
        self.drop_unused()
    }

    /// Forgets the edits of a file that were taken back.
    pub(super) fn forget(&mut self, path: &Path) -> anyhow::Result<()> {
        self.wired.files.retain(|file| file.path != path);
        self.save()?;
        self.drop_unused()
    }

    /// The bytes that a digest names.
    pub(super) fn original(&self, digest: &str) -> anyhow::Result<Vec<u8>> {
        let path = self.original_path(digest)?;
        let bytes = read_limited(&path, CLIENT_CONFIG_MAX_BYTES)?;
        ensure!(Digest::of(&bytes).to_string() == digest, "`{}` is damaged", path.display());
        Ok(bytes)
    }

    /// Where the bytes that a digest names are kept, if they are.
    pub(super) fn kept(&self, digest: &str) -> Option<PathBuf> {
        self.original_path(digest).ok().filter(|path| path.is_file())
    }

    fn original_path(&self, digest: &str) -> anyhow::Result<PathBuf> {
        let digest =
            Digest::parse(digest).with_context(|| format!("`{}` is damaged", self.path().display()))?;
        Ok(self.dir.join("wired").join(digest.hex()))
    }

    fn path(&self) -> PathBuf {
        self.dir.join("wired.json")
    }

    fn keep(&self, digest: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let path = self.original_path(digest)?;
        let dir = self.dir.join("wired");
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&dir);
        made.with_context(|| format!("cannot make `{}`", dir.display()))?;
        write_whole(&path, bytes, PRIVATE, Existing::Replace)
            .with_context(|| format!("cannot keep the original in `{}`", path.display()))
    }

    fn save(&mut self) -> anyhow::Result<()> {
        self.wired.version = VERSION;
        let path = self.path();
        let mut bytes = serde_json::to_vec_pretty(&self.wired)?;
        bytes.push(b'\n');
        ensure!(
            bytes.len() <= WIRED_MAX_BYTES,
            "`{}` would grow beyond {WIRED_MAX_BYTES} bytes",
            path.display()
        );
        write_whole(&path, &bytes, PRIVATE, Existing::Replace)
            .with_context(|| format!("cannot write `{}`", path.display()))
    }

    /// Removes originals that no edit needs any more: they may hold tokens. What else somebody put there stays.
    fn drop_unused(&self) -> anyhow::Result<()> {
        let edits = self.wired.files.iter().flat_map(|file| &file.edits);
        let used: BTreeSet<PathBuf> =
            edits.filter_map(|edit| self.original_path(edit.before.as_deref()?).ok()).collect();
        let dir = self.dir.join("wired");
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            let path = entry.path();
            if is_ours(&entry.file_name()) && !used.contains(&path) {
                fs::remove_file(&path).with_context(|| format!("cannot remove `{}`", path.display()))?;
            }
        }
        Ok(())
    }
}

/// Whether an original could have this name, or what a crash left of one.
fn is_ours(name: &OsStr) -> bool {
    let hex = name.to_str().map(|name| name.strip_suffix(".part").unwrap_or(name));
    hex.is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

fn read(dir: &Path) -> anyhow::Result<Wired> {
    let path = dir.join("wired.json");
    let name = path.display();
    if let Err(error) = fs::metadata(&path)
        && error.kind() == ErrorKind::NotFound
    {
        return Ok(Wired::default());
    }
    let bytes = read_limited(&path, WIRED_MAX_BYTES)?;
    let wired: Wired = serde_json::from_slice(&bytes).with_context(|| {
        format!("cannot read `{name}`, which says what was wired: repair it, or move it away")
    })?;
    ensure!(wired.version <= VERSION, "`{name}` was written by a newer deeds: use that one");
    Ok(wired)
}

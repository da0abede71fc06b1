//! The class table of a policy directory that is somebody's own: read, and replaced by a text that says more.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use policy::{CLASSES_FILE, PolicyError, PolicySet, read_directory};

use crate::files::read_limited;
use crate::wiring::replace;

/// Largest class table that is looked through, bytes.
const CLASSES_MAX_BYTES: usize = 4 * 1_024 * 1_024;

/// A class table as it was read.
#[derive(Debug)]
pub(super) struct ClassTable {
    /// The directory whose policy it is part of.
    pub(super) dir: PathBuf,
    /// As it was named.
    pub(super) path: PathBuf,
    pub(super) text: String,
}

impl ClassTable {
    /// Reads the class table of a policy directory, or the one that is named itself.
    pub(super) fn read(named: &Path) -> anyhow::Result<Self> {
        let path = if named.is_dir() { named.join(CLASSES_FILE) } else { named.to_owned() };
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let text = String::from_utf8(read_limited(&path, CLASSES_MAX_BYTES)?);
        let text = text.ok().with_context(|| format!("`{}` is not UTF-8 text", path.display()))?;
        Ok(Self { dir: dir.to_owned(), path, text })
    }

    /// Whether the policy could be activated with this text in the place of the table. A table that lies in no policy
    /// directory (under another name, or without rules beside it) is refused: nobody could say what it comes to.
    pub(super) fn check(&self, new: &str) -> anyhow::Result<()> {
        let dir = self.dir.display();
        let mut files = match read_directory(&self.dir) {
            Ok(files) => files,
            Err(error) => bail!("the policy in `{dir}` cannot be read: {}", first(&error)),
        };
        let own = files.iter_mut().find(|file| self.path.file_name() == Some(file.path.as_ref()));
        let own = own.filter(|file| file.path == CLASSES_FILE);
        let own = own.with_context(|| format!("`{}` is no `{CLASSES_FILE}`", self.path.display()))?;
        new.clone_into(&mut own.text);
        match PolicySet::from_new_files(files) {
            Ok(_) => Ok(()),
            Err(error) => bail!("the policy in `{dir}` would be refused: {}", first(&error)),
        }
    }

    /// Puts the new text in the place of the file, whole or not at all, if the file still is what was read.
    pub(super) fn replace(&self, new: &str) -> anyhow::Result<()> {
        let real = std::fs::canonicalize(&self.path);
        let real = real.with_context(|| format!("cannot find `{}`", self.path.display()))?;
        replace(&real, self.text.as_bytes(), new.as_bytes())
    }
}

/// The first problem, on one line.
fn first(error: &PolicyError) -> String {
    let text = match error {
        PolicyError::Refused(found) => found.first().map_or_else(|| error.to_string(), ToString::to_string),
        _ => error.to_string(),
    };
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

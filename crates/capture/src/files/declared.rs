//! The paths that a command is said to read and to write.

use std::io;
use std::path::{Component, Path, PathBuf};

use super::uri::{file_uri, is_under};
use crate::limits::{ARTIFACT_URI_MAX, DECLARED_MAX};

/// Paths as they were given: files or directories, absolute or relative to the working directory. With none at all, the
/// command may change what is in its working directory.
#[derive(Debug, Clone, Default)]
pub struct Declared {
    /// What the command reads. They must exist.
    pub reads: Vec<PathBuf>,
    /// What it may change. They need not exist yet.
    pub writes: Vec<PathBuf>,
}

/// Why files could not be looked at before an act. The act is not asked for then.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// A declared path cannot be resolved.
    #[error("cannot look at `{path}`: {source}")]
    Path {
        /// As it was given.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A declared path is neither file nor directory, or has no usable name.
    #[error("cannot watch `{path}`: {why}")]
    Unfit {
        /// As it was given.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// Too many paths were declared.
    #[error(
        "{0} paths are declared, more than the {DECLARED_MAX} that can be watched; name directories instead"
    )]
    TooMany(usize),
    /// There is more below them than can be looked at.
    #[error("{0}; declare less, with `--reads PATH` and `--writes PATH`")]
    TooMuch(String),
}

/// A declared path, resolved: absolute, and without a symbolic link but for what lies at its end after the act.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Root {
    pub(crate) uri: String,
    pub(crate) path: PathBuf,
}

/// What is looked at, and why.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Roots {
    /// The paths to walk, none of which is under another.
    pub(crate) all: Vec<Root>,
    /// URIs of what is read.
    pub(crate) reads: Vec<String>,
    /// URIs of what may be changed, none of which is under another.
    pub(crate) writes: Vec<String>,
}

impl Roots {
    /// Resolves what was declared, as the command would see it from its working directory: links in the paths that
    /// somebody typed are followed, links below them are not.
    pub(crate) fn resolve(declared: &Declared, cwd: &Path) -> Result<Self, FilesError> {
        let count = declared.reads.len() + declared.writes.len();
        if count > DECLARED_MAX {
            return Err(FilesError::TooMany(count));
        }
        let reads = declared.reads.iter().map(|path| existing(path, cwd)).collect::<Result<Vec<_>, _>>()?;
        let everything = [PathBuf::from(".")];
        let none = declared.reads.is_empty() && declared.writes.is_empty();
        let writes = if none { everything.as_slice() } else { &declared.writes };
        let writes = writes.iter().map(|path| coming(path, cwd)).collect::<Result<Vec<_>, _>>()?;
        let all = outermost(reads.iter().chain(&writes).cloned().collect());
        let uris = |roots: Vec<Root>| outermost(roots).into_iter().map(|root| root.uri).collect();
        Ok(Self { all, reads: uris(reads), writes: uris(writes) })
    }

    /// Whether a file is among what is read.
    pub(crate) fn is_read(&self, uri: &str) -> bool {
        self.reads.iter().any(|root| is_under(uri, root))
    }
}

fn existing(path: &Path, cwd: &Path) -> Result<Root, FilesError> {
    let real = std::fs::canonicalize(cwd.join(path))
        .map_err(|source| FilesError::Path { path: path.into(), source })?;
    root(path, real)
}

/// A path that may not exist yet: the part of it that does is resolved, the rest is taken as written.
fn coming(path: &Path, cwd: &Path) -> Result<Root, FilesError> {
    let whole = cwd.join(path);
    let mut rest = PathBuf::new();
    for ancestor in whole.ancestors() {
        match std::fs::canonicalize(ancestor) {
            Ok(real) => return root(path, if rest.as_os_str().is_empty() { real } else { real.join(rest) }),
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(FilesError::Path { path: path.into(), source });
            }
            Err(_) => {}
        }
        match ancestor.components().next_back() {
            Some(Component::Normal(name)) => {
                rest = if rest.as_os_str().is_empty() { name.into() } else { Path::new(name).join(rest) };
            }
            _ => break,
        }
    }
    Err(FilesError::Unfit {
        path: path.into(),
        why: "it goes up from a directory that does not exist".into(),
    })
}

fn root(given: &Path, path: PathBuf) -> Result<Root, FilesError> {
    let uri = file_uri(&path);
    let unfit = |why: String| FilesError::Unfit { path: given.into(), why };
    if uri.len() > ARTIFACT_URI_MAX {
        return Err(unfit(format!(
            "its name is longer than {ARTIFACT_URI_MAX} bytes when it is written as a URI"
        )));
    }
    match std::fs::symlink_metadata(&path) {
        Ok(found) if !found.is_dir() && !found.is_file() => {
            Err(unfit("it is neither a file nor a directory".into()))
        }
        _ => Ok(Root { uri, path }),
    }
}

/// Without those that are under another.
fn outermost(mut roots: Vec<Root>) -> Vec<Root> {
    roots.sort();
    roots.dedup();
    let uris: Vec<String> = roots.iter().map(|root| root.uri.clone()).collect();
    roots.retain(|root| !uris.iter().any(|other| *other != root.uri && is_under(&root.uri, other)));
    roots
}

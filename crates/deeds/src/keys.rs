//! Key files of local key principals: one line, `deeds-key-ed25519 <base64url seed> <comment>`, mode 0600.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use ed25519_dalek::SigningKey;
use evidence::base64url;
use evidence::jws::Jwk;
use zeroize::{Zeroize as _, Zeroizing};

use crate::files::{self, PrivateError};

/// What a key file proves, and what it does not. Printed wherever one is made or registered.
pub(crate) const SAME_USER_WARNING: &str = "whoever can read this file can sign with it: where agents run under \
     your own user, a signature proves the key and not the person";

const FORMAT: &str = "deeds-key-ed25519";
/// Largest key file, bytes.
const KEY_FILE_MAX_BYTES: usize = 1_024;
/// Longest comment, bytes.
const COMMENT_MAX_BYTES: usize = 256;

/// Why a key file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyError {
    /// The operating system refused.
    #[error("cannot {doing} the key file `{path}`")]
    Io { doing: &'static str, path: PathBuf, source: io::Error },
    /// It is there already.
    #[error("the key file `{0}` exists already; use it, or choose another name")]
    Exists(PathBuf),
    /// It cannot be read, or others could read it too.
    #[error(transparent)]
    Private(#[from] PrivateError),
    /// The comment does not fit on the line.
    #[error("the comment of a key file has at most {COMMENT_MAX_BYTES} bytes and no control characters")]
    Comment,
    /// Its content is something else.
    #[error("`{path}` is not a key file: {why}; one is made by `deeds principal add NAME --key FILE`")]
    Malformed { path: PathBuf, why: &'static str },
}

/// A key read from a file or just made.
pub(crate) struct Key {
    /// The key.
    pub(crate) signing: SigningKey,
    /// What the file says it is for.
    pub(crate) comment: String,
}

impl Key {
    /// Its public half.
    pub(crate) fn public(&self) -> Jwk {
        Jwk::of(&self.signing)
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Key({}, {:?})", self.public().thumbprint(), self.comment)
    }
}

/// Makes a key file that only its owner can read. It never replaces one. A crash before the sync leaves a short
/// file, which [`read`] refuses.
pub(crate) fn create(path: &Path, seed: &[u8; 32], comment: &str) -> Result<Key, KeyError> {
    let failed = |doing, source| KeyError::Io { doing, path: path.to_owned(), source };
    if comment.len() > COMMENT_MAX_BYTES || comment.chars().any(char::is_control) {
        return Err(KeyError::Comment);
    }
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(parent);
        made.map_err(|error| failed("make the directory of", error))?;
    }
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = opened.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => KeyError::Exists(path.to_owned()),
        _ => failed("create", error),
    })?;
    let encoded = Zeroizing::new(base64url::encode(seed));
    let line = Zeroizing::new(format!("{FORMAT} {} {comment}", *encoded));
    let written = writeln!(file, "{}", line.trim_end()).and_then(|()| file.sync_all());
    written.map_err(|error| failed("write", error))?;
    Ok(Key { signing: SigningKey::from_bytes(seed), comment: comment.to_owned() })
}

/// Reads a key file that nobody but its owner can read.
pub(crate) fn read(path: &Path) -> Result<Key, KeyError> {
    let bytes = files::read_private(path, KEY_FILE_MAX_BYTES).map_err(|error| match error {
        PrivateError::TooLarge { .. } => malformed(path, "it is too large for one"),
        other => other.into(),
    })?;
    let text = std::str::from_utf8(&bytes).map_err(|_| malformed(path, "it is not text"))?;
    parse(path, text)
}

fn parse(path: &Path, text: &str) -> Result<Key, KeyError> {
    let line = text.strip_suffix('\n').unwrap_or(text);
    if line.chars().any(char::is_control) {
        return Err(malformed(path, "it has more than one line"));
    }
    let mut words = line.splitn(3, ' ');
    if words.next() != Some(FORMAT) {
        return Err(malformed(path, "it does not begin with `deeds-key-ed25519`"));
    }
    let mut seed = words.next().and_then(base64url::decode_32);
    let signing = seed.as_ref().map(SigningKey::from_bytes);
    seed.zeroize();
    let signing = signing.ok_or_else(|| malformed(path, "its seed is not 32 bytes in base64url"))?;
    Ok(Key { signing, comment: words.next().unwrap_or_default().to_owned() })
}

fn malformed(path: &Path, why: &'static str) -> KeyError {
    KeyError::Malformed { path: path.to_owned(), why }
}

#[cfg(test)]
mod tests;

//! The server's socket. Only the holder of the store's lock comes here, so a socket file that is there already was
//! left by a server that is gone.

use std::fs::{self, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use tokio::net::UnixListener;

/// Mode of a socket for the own user alone.
const OWN: u32 = 0o600;
/// Mode of a socket for the group that the server runs as too.
const GROUP: u32 = 0o660;

/// Listens on the socket, for the own user alone, or for the own group too.
///
/// It is made under another name and moved, so that whoever sees the socket's name finds it open to the right people,
/// and a client that connects while a server starts reaches either the old one or the new one.
pub(crate) fn bind(path: &Path, for_group: bool) -> anyhow::Result<UnixListener> {
    let name = path.display();
    free(path)?;
    let (listener, made) = listen(path).with_context(|| format!("cannot listen on `{name}`"))?;
    let mode = if for_group { GROUP } else { OWN };
    // a crash before the rename leaves a socket that nobody listens on, under a name that nobody looks for
    fs::set_permissions(&made, Permissions::from_mode(mode))
        .and_then(|()| fs::rename(&made, path))
        .with_context(|| format!("cannot put the socket `{name}` in its place"))?;
    Ok(listener)
}

/// Nothing but an old socket may be in the place of the new one.
fn free(path: &Path) -> anyhow::Result<()> {
    let name = path.display();
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => Ok(()),
        Ok(_) => bail!("`{name}` is not a socket, and the server's socket belongs there: move it away"),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).with_context(|| format!("cannot look at `{name}`")),
    }
}

/// A listener beside the place it is meant for. The name is short, since a socket's whole path holds 107 bytes.
fn listen(path: &Path) -> std::io::Result<(UnixListener, PathBuf)> {
    let made = path.with_file_name(format!(".{}", std::process::id()));
    if fs::symlink_metadata(&made).is_ok_and(|found| found.file_type().is_socket()) {
        fs::remove_file(&made)?;
    }
    Ok((UnixListener::bind(&made)?, made))
}

/// Removes the socket at the end; one that stays is removed by the next server.
pub(crate) fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path) {
        tracing::debug!(path = %path.display(), %error, "the socket was not removed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_old_socket_is_replaced_and_nothing_else_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deeds.sock");
        let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        drop(bind(&path, true).unwrap());
        assert_eq!(mode(), GROUP);
        drop(bind(&path, false).unwrap());
        assert_eq!(mode(), OWN);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside it");
        remove(&path);
        assert!(!path.exists());
        fs::write(&path, "notes").unwrap();
        let error = bind(&path, false).unwrap_err().to_string();
        assert!(error.contains("not a socket"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"notes");
    }
}

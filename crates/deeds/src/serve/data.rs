//! The data directory and the keys of its log: `<data>/keys/{log.key,issuer.key,tenant.kek}`, each 32 random bytes as
//! 64 hex digits and a newline, readable by their owner alone.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use ed25519_dalek::SigningKey;
use evidence::Digest;
use recorder::Keys;
use rustix::fs::{FlockOperation, OFlags, flock};
use zeroize::{Zeroize as _, Zeroizing};

use crate::entropy;

/// A secret in its file.
type Secret = Zeroizing<[u8; 32]>;

/// Most that is read of a key file; a good one has 65 bytes.
const SECRET_FILE_MAX_BYTES: u64 = 128;

/// What a starter of the server puts into the data directory before the server does.
const OF_STARTERS: [&str; 2] = ["start.lock", "serve.log"];

/// Makes the data directory private. One that is in use and open to others is refused: what is in it may have been
/// read or changed by them.
pub(crate) fn prepare(data: &Path) -> anyhow::Result<()> {
    if is_unused(data)? {
        let closed = fs::set_permissions(data, Permissions::from_mode(0o700));
        closed.with_context(|| format!("cannot close the data directory `{}` to others", data.display()))?;
    }
    private_directory(data, "data directory")
}

/// Whether the directory is there, and holds nothing yet that a server put there.
fn is_unused(data: &Path) -> anyhow::Result<bool> {
    let name = data.display();
    let found = match fs::read_dir(data) {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Err(error) => {
            return Err(error).with_context(|| format!("cannot look into the data directory `{name}`"));
        }
    };
    for entry in found {
        let entry = entry.with_context(|| format!("cannot look into the data directory `{name}`"))?;
        if !OF_STARTERS.iter().any(|known| entry.file_name() == *known) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The keys of the log. Made where there is no log yet; where there is one, a missing key is an error: another key
/// could not continue it.
pub(crate) fn keys(data: &Path) -> anyhow::Result<Keys> {
    let directory = data.join("keys");
    private_directory(&directory, "key directory")?;
    // two servers started at once: the second waits here and finds the keys of the first
    let lock = File::open(&directory).with_context(|| format!("cannot open `{}`", directory.display()))?;
    flock(&lock, FlockOperation::LockExclusive)
        .with_context(|| format!("cannot lock `{}`", directory.display()))?;
    let has_log = has_log(data)?;
    let secret = |name: &str| -> anyhow::Result<Secret> {
        let path = directory.join(name);
        match read(&path)? {
            Some(secret) => Ok(secret),
            None if has_log => bail!(
                "the key `{}` is missing, and the log in `{}` cannot go on without it: restore it from a copy",
                path.display(),
                data.display()
            ),
            None => create(&path, &lock),
        }
    };
    Ok(Keys {
        log: SigningKey::from_bytes(&*secret("log.key")?),
        issuer: SigningKey::from_bytes(&*secret("issuer.key")?),
        kek: secret("tenant.kek")?,
    })
}

/// The file of the issuer's or the tenant's key.
pub(crate) fn key_file(data: &Path, which: &str) -> PathBuf {
    data.join("keys").join(if which.starts_with("issuer") { "issuer.key" } else { "tenant.kek" })
}

/// Whether anything of a log is there. The keys are durable before the first byte of it is written.
fn has_log(data: &Path) -> anyhow::Result<bool> {
    let directory = data.join("local");
    match fs::read_dir(&directory) {
        Ok(mut found) => Ok(found.next().is_some()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).with_context(|| format!("cannot look into `{}`", directory.display())),
    }
}

fn private_directory(path: &Path, what: &str) -> anyhow::Result<()> {
    let name = path.display();
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.with_context(|| format!("cannot make the {what} `{name}`"))?;
    let found = fs::metadata(path).with_context(|| format!("cannot look at the {what} `{name}`"))?;
    let mode = found.mode() & 0o7777;
    if mode & 0o077 != 0 {
        bail!("the {what} `{name}` is open to others (mode {mode:04o}): run `chmod 700 {name}`");
    }
    Ok(())
}

fn read(path: &Path) -> anyhow::Result<Option<Secret>> {
    let name = path.display();
    // a FIFO must not make this wait, and a link could lead out of the directory that was checked
    let flags = i32::try_from((OFlags::NONBLOCK | OFlags::NOFOLLOW).bits()).unwrap_or_default();
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(error).with_context(|| {
                format!("cannot open the key `{name}`: give it back to the user who runs the server, or restore it")
            });
        }
    };
    let found = file.metadata().with_context(|| format!("cannot look at the key `{name}`"))?;
    ensure!(
        found.is_file(),
        "the key `{name}` is not a regular file: move that away and restore the key from a copy"
    );
    let mode = found.mode() & 0o7777;
    if mode & 0o077 != 0 {
        bail!(
            "the key `{name}` can be read by others (mode {mode:04o}): run `chmod 600 {name}`; if anybody may have \
             read it, begin a new log in another data directory"
        );
    }
    let mut text = Zeroizing::new(Vec::new());
    let read = file.take(SECRET_FILE_MAX_BYTES).read_to_end(&mut text);
    read.with_context(|| {
        format!("cannot read the key `{name}`: give it back to the user who runs the server")
    })?;
    parse(&text).map(Some).with_context(|| {
        format!(
            "the key `{name}` does not hold 64 lower-case hex digits and a newline: restore it from a copy"
        )
    })
}

fn parse(text: &[u8]) -> Option<Secret> {
    let mut digest = Digest::from_hex(core::str::from_utf8(text).ok()?.strip_suffix('\n')?)?;
    let secret = Zeroizing::new(digest.0);
    digest.0.zeroize();
    Some(secret)
}

/// Makes a key. Its name appears only once its content is durable; a crash before that leaves a `.new` beside it,
/// which the next start writes over.
fn create(path: &Path, directory: &File) -> anyhow::Result<Secret> {
    let secret = entropy::seed()?;
    let mut digest = Digest(*secret);
    let line = Zeroizing::new(format!("{}\n", digest.hex()));
    digest.0.zeroize();
    let part = path.with_extension("new");
    let write = || -> std::io::Result<()> {
        match fs::remove_file(&part) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part)?;
        file.write_all(line.as_bytes())?;
        file.sync_all()?;
        fs::hard_link(&part, path)?;
        fs::remove_file(&part)?;
        directory.sync_all()
    };
    write().with_context(|| format!("cannot make the key `{}`", path.display()))?;
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_of(data: &Path) -> String {
        keys(data).map(|_| ()).unwrap_err().to_string()
    }

    #[test]
    fn keys_are_made_once_private_and_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let first = keys(dir.path()).unwrap();
        let again = keys(dir.path()).unwrap();
        assert_eq!((first.log.to_bytes(), *first.kek), (again.log.to_bytes(), *again.kek));
        assert_ne!(first.log.to_bytes(), first.issuer.to_bytes());
        let mut names = Vec::new();
        for entry in fs::read_dir(dir.path().join("keys")).unwrap() {
            let entry = entry.unwrap();
            assert_eq!(entry.metadata().unwrap().mode() & 0o777, 0o600);
            assert_eq!(entry.metadata().unwrap().len(), 65);
            names.push(entry.file_name().into_string().unwrap());
        }
        names.sort();
        assert_eq!(names, ["issuer.key", "log.key", "tenant.kek"]);
    }

    #[test]
    fn a_key_that_is_missing_beside_a_log_is_never_made_again() {
        let dir = tempfile::tempdir().unwrap();
        keys(dir.path()).unwrap();
        fs::create_dir(dir.path().join("local")).unwrap();
        let kek = dir.path().join("keys/tenant.kek");
        fs::remove_file(&kek).unwrap();
        // nothing of the log is there yet: the keys of a start that did not get far are completed
        keys(dir.path()).unwrap();
        fs::write(dir.path().join("local/HEAD"), "x").unwrap();
        keys(dir.path()).unwrap();
        fs::remove_file(&kek).unwrap();
        let error = error_of(dir.path());
        assert!(error.contains("tenant.kek` is missing") && error.contains("restore"), "{error}");
        assert!(!kek.exists());
    }

    #[test]
    fn what_others_can_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        keys(dir.path()).unwrap();
        let key = dir.path().join("keys/log.key");
        for mode in [0o640, 0o604] {
            fs::set_permissions(&key, Permissions::from_mode(mode)).unwrap();
            assert!(error_of(dir.path()).contains("chmod 600"));
        }
        fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
        fs::set_permissions(dir.path().join("keys"), Permissions::from_mode(0o750)).unwrap();
        assert!(error_of(dir.path()).contains("chmod 700"));
        fs::set_permissions(dir.path(), Permissions::from_mode(0o711)).unwrap();
        assert!(prepare(dir.path()).unwrap_err().to_string().contains("chmod 700"));
    }

    #[test]
    fn an_unused_directory_is_closed_to_others() {
        let dir = tempfile::tempdir().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
        fs::write(dir.path().join("start.lock"), "").unwrap();
        prepare(dir.path()).unwrap();
        assert_eq!(mode(dir.path()), 0o700);
        let fresh = dir.path().join("a/b");
        prepare(&fresh).unwrap();
        assert_eq!(mode(&fresh), 0o700);
        fs::write(dir.path().join("diary"), "").unwrap();
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
        assert!(prepare(dir.path()).is_err());
        assert_eq!(mode(dir.path()), 0o755);
    }

    #[test]
    fn what_is_not_a_key_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        keys(dir.path()).unwrap();
        let key = dir.path().join("keys/log.key");
        let good = fs::read_to_string(&key).unwrap();
        for wrong in [
            "",
            "\n",
            good.trim_end(),
            &good.to_uppercase().replace(|c: char| c.is_ascii_digit(), "A"),
            &format!("{good}\n"),
            &good[1..],
        ] {
            fs::write(&key, wrong).unwrap();
            assert!(error_of(dir.path()).contains("64 lower-case hex digits"), "{wrong:?}");
        }
        fs::remove_file(&key).unwrap();
        std::os::unix::fs::symlink(dir.path().join("keys/issuer.key"), &key).unwrap();
        assert!(error_of(dir.path()).contains("cannot open the key"));
    }
}

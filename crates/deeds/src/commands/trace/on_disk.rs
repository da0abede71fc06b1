//! A file as it is on this host now, compared with what is last recorded of its name.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use evidence::Digest;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// Largest file that is read for this, bytes.
const FILE_MAX_BYTES: u64 = 4 * 1_024 * 1_024 * 1_024;
/// How much is read at a time.
const CHUNK: usize = 128 * 1_024;

/// Media type of a link, whose bytes are the text that it points with.
const LINK: &str = "inode/symlink";

/// What a file is.
#[derive(Debug, PartialEq, Eq)]
enum Now {
    Bytes {
        digest: String,
        size: u64,
    },
    Nothing,
    /// It could not, or need not, be read: why.
    Unread(String),
}

/// `{is, digest?, size?, why?}`. `is`: `as-recorded`, `changed`, `gone`, `back` (it was recorded as deleted),
/// `bytes-not-recorded`, `not-recorded` and `nothing` (nothing is recorded of the name), `not-compared` (`why`).
pub(super) fn compare(path: &Path, recorded: Option<&Value>) -> Value {
    let text = |name: &str| recorded.and_then(|recorded| recorded.get(name)?.as_str());
    let now = look(path, text("media_type") == Some(LINK), FILE_MAX_BYTES);
    let deleted = text("change") == Some("deleted");
    let is = match (&now, recorded, text("digest")) {
        (Now::Unread(_), ..) => "not-compared",
        (Now::Nothing, None, _) => "nothing",
        (Now::Nothing, Some(_), _) if deleted => "as-recorded",
        (Now::Nothing, Some(_), _) => "gone",
        (Now::Bytes { .. }, None, _) => "not-recorded",
        (Now::Bytes { .. }, Some(_), _) if deleted => "back",
        (Now::Bytes { .. }, Some(_), None) => "bytes-not-recorded",
        (Now::Bytes { digest, .. }, Some(_), Some(known)) if digest == known => "as-recorded",
        (Now::Bytes { .. }, Some(_), Some(_)) => "changed",
    };
    match now {
        Now::Bytes { digest, size } => json!({"is": is, "digest": digest, "size": size}),
        Now::Nothing => json!({"is": is}),
        Now::Unread(why) => json!({"is": is, "why": why}),
    }
}

fn look(path: &Path, link: bool, max: u64) -> Now {
    match read(path, link, max) {
        Ok(now) => now,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Now::Nothing,
        Err(error) => Now::Unread(format!("it cannot be read: {error}")),
    }
}

fn read(path: &Path, link: bool, max: u64) -> io::Result<Now> {
    if link && path.symlink_metadata()?.is_symlink() {
        let target = fs::read_link(path)?;
        let target = target.as_os_str().as_bytes();
        return Ok(Now::Bytes { digest: Digest::of(target).to_string(), size: target.len() as u64 });
    }
    // a pipe must not make this wait, and is told from a file by what was opened
    let nonblocking = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file = OpenOptions::new().read(true).custom_flags(nonblocking).open(path)?;
    let found = file.metadata()?;
    if found.is_dir() {
        return Ok(Now::Unread("it is a directory".into()));
    }
    if !found.is_file() {
        return Ok(Now::Unread("it is no regular file".into()));
    }
    let size = found.len();
    if size > max {
        return Ok(Now::Unread(format!("it has {size} bytes, more than the {max} that are read for this")));
    }
    digest(file, max)
}

/// It may be written to meanwhile: what is told is what was read, and no more than the limit is.
fn digest(file: File, max: u64) -> io::Result<Now> {
    let mut file = file.take(max.saturating_add(1));
    let (mut hash, mut size, mut chunk) = (Sha256::new(), 0_u64, vec![0; CHUNK]);
    loop {
        let read = match file.read(&mut chunk) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            read => read?,
        };
        if read == 0 {
            break;
        }
        hash.update(chunk.get(..read).unwrap_or_default());
        size += read as u64;
    }
    if size > max {
        return Ok(Now::Unread(format!("it grew beyond the {max} bytes that are read for this")));
    }
    Ok(Now::Bytes { digest: Digest(hash.finalize().into()).to_string(), size })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &[u8]) -> String {
        Digest::of(bytes).to_string()
    }

    #[test]
    fn a_file_is_compared_with_what_is_recorded_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let is = |recorded: Option<&Value>| compare(&path, recorded)["is"].as_str().unwrap().to_owned();
        let (one, two) = (json!({"digest": of(b"one")}), json!({"digest": of(b"two")}));
        let (deleted, unseen) = (json!({"change": "deleted", "before": of(b"one")}), json!({"uri": "x"}));
        assert_eq!([is(None), is(Some(&one)), is(Some(&deleted))], ["nothing", "gone", "as-recorded"]);
        fs::write(&path, "one").unwrap();
        assert_eq!([is(None), is(Some(&one)), is(Some(&two))], ["not-recorded", "as-recorded", "changed"]);
        assert_eq!([is(Some(&deleted)), is(Some(&unseen))], ["back", "bytes-not-recorded"]);
        assert_eq!(compare(&path, Some(&two)), json!({"is": "changed", "digest": of(b"one"), "size": 3}));
        // below a file there is nothing
        assert_eq!(compare(&path.join("x"), Some(&one)), json!({"is": "gone"}));
    }

    #[test]
    fn what_is_no_file_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let told = compare(dir.path(), Some(&json!({"digest": of(b"x"), "media_type": "inode/directory"})));
        assert_eq!(told, json!({"is": "not-compared", "why": "it is a directory"}));
        let pipe = dir.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0)
            .unwrap();
        assert_eq!(look(&pipe, false, 9), Now::Unread("it is no regular file".into()));
    }

    #[test]
    fn a_link_is_its_text_where_that_was_recorded() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("f"), "bytes").unwrap();
        let link = dir.path().join("l");
        std::os::unix::fs::symlink("f", &link).unwrap();
        assert_eq!(look(&link, true, 9), Now::Bytes { digest: of(b"f"), size: 1 });
        assert_eq!(look(&link, false, 9), Now::Bytes { digest: of(b"bytes"), size: 5 });
        // what was a link and is a file now
        assert_eq!(look(&dir.path().join("f"), true, 9), Now::Bytes { digest: of(b"bytes"), size: 5 });
    }

    #[test]
    fn so_much_is_read_and_no_more() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        fs::write(&path, "12345").unwrap();
        assert!(matches!(look(&path, false, 5), Now::Bytes { size: 5, .. }));
        assert!(matches!(look(&path, false, 4), Now::Unread(why) if why.contains("5 bytes")));
        // one that grows while it is read
        let file = File::open(&path).unwrap();
        assert!(matches!(digest(file, 4).unwrap(), Now::Unread(why) if why.contains("grew")));
    }
}

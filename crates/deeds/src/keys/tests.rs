//! Tests of key files on a real file system.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use proptest::prelude::*;

use super::*;

fn text(seed: u8) -> String {
    format!("deeds-key-ed25519 {} ana\n", base64url::encode(&[seed; 32]))
}

fn write(path: &Path, text: &str, mode: u32) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_created_file_is_private_reads_back_and_is_never_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys/ana.key");
    let made = create(&path, &[7; 32], "ana").unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    assert_eq!(fs::read_to_string(&path).unwrap(), text(7));
    let read = read(&path).unwrap();
    assert_eq!((read.public(), read.comment.as_str()), (made.public(), "ana"));
    assert!(matches!(create(&path, &[8; 32], ""), Err(KeyError::Exists(_))));
    assert_eq!(fs::read_to_string(&path).unwrap(), text(7));
    assert!(!format!("{read:?}").contains(&base64url::encode(&[7; 32])));
}

#[test]
fn a_file_that_others_can_read_is_refused_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    write(&path, &text(1), 0o600);
    assert!(read(&path).is_ok());
    for mode in [0o604, 0o640, 0o644, 0o660, 0o601] {
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        let error = read(&path).unwrap_err().to_string();
        assert!(error.contains("chmod 600") && error.contains(&format!("{mode:04o}")), "{error}");
    }
}

#[test]
fn directories_fifos_and_missing_files_are_refused_at_once() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(read(dir.path()), Err(KeyError::Private(PrivateError::NotAFile(_)))));
    assert!(matches!(read(&dir.path().join("none")), Err(KeyError::Private(PrivateError::Io { .. }))));
    let fifo = dir.path().join("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    assert!(matches!(read(&fifo), Err(KeyError::Private(PrivateError::NotAFile(_)))));
}

#[test]
fn other_content_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    let seed = base64url::encode(&[1; 32]);
    for wrong in [
        String::new(),
        "-----BEGIN OPENSSH PRIVATE KEY-----\n".to_owned(),
        format!("deeds-key-ed25519 {}", &seed[..42]),
        format!("deeds-key-ed25519  {seed}"),
        format!("deeds-key-ed25519 {seed}= x"),
        format!("deeds-key-ed25519 {seed} a\nb\n"),
        format!("deeds-key-ed25518 {seed} a"),
    ] {
        write(&path, &wrong, 0o600);
        let error = read(&path).unwrap_err();
        assert!(matches!(error, KeyError::Malformed { .. }), "{wrong:?}: {error}");
        assert!(!error.to_string().contains(&seed), "the seed is in {error}");
    }
    write(&path, &format!("deeds-key-ed25519 {seed}"), 0o600);
    assert_eq!(read(&path).unwrap().comment, "");
}

#[test]
fn sizes_are_limited_at_the_boundary() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    let with_size = |size: usize| format!("{:x<size$}", text(1).trim_end());
    let max = KEY_FILE_MAX_BYTES;
    write(&path, &with_size(max), 0o600);
    assert!(read(&path).is_ok());
    write(&path, &with_size(max + 1), 0o600);
    assert!(matches!(read(&path), Err(KeyError::Malformed { why: "it is too large for one", .. })));

    let comment = "c".repeat(COMMENT_MAX_BYTES + 1);
    assert!(create(&dir.path().join("long"), &[1; 32], &comment).is_err());
    assert!(create(&dir.path().join("fits"), &[1; 32], &comment[1..]).is_ok());
    assert!(create(&dir.path().join("line"), &[1; 32], "a\nb").is_err());
}

proptest! {
    #[test]
    fn parsing_never_panics_and_keeps_seed_and_comment(seed in any::<[u8; 32]>(), comment in "[ -~]{0,80}", junk in "\\PC{0,80}") {
        let path = Path::new("key");
        let _ = parse(path, &junk);
        let _ = parse(path, &format!("{FORMAT} {junk}"));
        let key = parse(path, &format!("{FORMAT} {} {comment}\n", base64url::encode(&seed))).unwrap();
        prop_assert_eq!(key.signing.to_bytes(), seed);
        prop_assert_eq!(key.comment, comment);
    }
}

//! Files of a policy set: names, limits, digest, real directories.

use std::fs;

use super::{BUILT_IN_SCHEMA, PolicyFile, SCHEMA_FILE, complete, digest, read_directory};
use crate::error::PolicyError;
use crate::limits::{POLICY_FILE_BYTES_MAX, POLICY_FILE_NAME_MAX, POLICY_FILES_MAX, POLICY_TOTAL_BYTES_MAX};

fn file(path: &str, text: &str) -> PolicyFile {
    PolicyFile { path: path.to_owned(), text: text.to_owned() }
}

fn blank(path: &str, bytes: usize) -> PolicyFile {
    file(path, &" ".repeat(bytes))
}

fn refusals(files: Vec<PolicyFile>) -> String {
    complete(files).unwrap_err().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_digest_is_of_names_and_contents_in_order() {
    let files =
        complete(vec![file("b.cedar", "two"), file("schema.cedarschema", ""), file("a.cedar", "one")]);
    // sha256 of [{"path":"a.cedar","sha256":"7692c3…"},{"path":"b.cedar",…},{"path":"schema.cedarschema",…}]
    assert_eq!(
        digest(&files.unwrap()).unwrap(),
        "sha256:f3e4556edec3121ed0d347078ad617bb9a86dcbcdd91a83619a13d2c32740934"
    );
}

#[test]
fn the_built_in_schema_is_pinned_when_there_is_none() {
    let files = complete(vec![file("a.cedar", "x")]).unwrap();
    assert_eq!(files, [file("a.cedar", "x"), file(SCHEMA_FILE, BUILT_IN_SCHEMA)]);
    assert_eq!(complete(files.clone()).unwrap(), files);
    let own = complete(vec![file(SCHEMA_FILE, "own"), file("a.cedar", "x")]).unwrap();
    assert_eq!(own, [file("a.cedar", "x"), file(SCHEMA_FILE, "own")]);
}

#[test]
fn names_are_plain_and_known() {
    let longest = format!("{}.cedar", "n".repeat(POLICY_FILE_NAME_MAX - 6));
    assert!(complete(vec![file(&longest, "")]).is_ok());
    for name in [
        format!("n{longest}").as_str(),
        "a b.cedar",
        "../a.cedar",
        "sub/a.cedar",
        "é.cedar",
        "",
        ".cedar",
        "a.cedar~",
    ] {
        assert!(refusals(vec![file(name, "")]).contains("this is not a usable name"), "{name}");
    }
    for name in ["a.ceder", "a.cedar.bak", "cedar", "schema.cedarschema.bak", "classes.tml", "b.md"] {
        assert!(
            refusals(vec![file(name, "")]).contains("this does not belong in a policy directory"),
            "{name}"
        );
    }
    assert!(
        refusals(vec![file("a.cedar", ""), file("a.cedar", "")])
            .starts_with("a.cedar: a file of this name is there twice")
    );
    assert!(refusals(vec![]).contains("nothing would ever be permitted"));
}

#[test]
fn number_and_sizes_are_limited() {
    let many = |n: usize| (0..n).map(|i| file(&format!("p{i}.cedar"), "")).collect::<Vec<_>>();
    assert_eq!(complete(many(POLICY_FILES_MAX - 1)).unwrap().len(), POLICY_FILES_MAX);
    assert!(refusals(many(POLICY_FILES_MAX)).contains("more than 256 files"));

    let schema = || file(SCHEMA_FILE, "");
    assert!(complete(vec![schema(), blank("a.cedar", POLICY_FILE_BYTES_MAX)]).is_ok());
    let refused = refusals(vec![schema(), blank("a.cedar", POLICY_FILE_BYTES_MAX + 1)]);
    assert!(refused.starts_with("a.cedar: the file has more than 131072 bytes"), "{refused}");

    let half = POLICY_TOTAL_BYTES_MAX / 2;
    assert!(complete(vec![schema(), blank("a.cedar", half), blank("b.cedar", half)]).is_ok());
    let over = vec![schema(), blank("a.cedar", half), blank("b.cedar", half), blank("c.cedar", 1)];
    assert!(refusals(over).contains("the files have 262145 bytes together"));
}

#[test]
fn a_directory_is_read_without_what_is_not_policy() {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in [("a.cedar", "one"), ("classes.toml", "two"), ("README.md", "x"), (".git", "x")] {
        fs::write(dir.path().join(name), text).unwrap();
    }
    std::os::unix::fs::symlink(dir.path().join("a.cedar"), dir.path().join("b.cedar")).unwrap();
    let mut files = read_directory(dir.path()).unwrap();
    files.sort();
    assert_eq!(files, [file("a.cedar", "one"), file("b.cedar", "one"), file("classes.toml", "two")]);
}

#[test]
fn a_directory_with_anything_else_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("sub")).unwrap();
    fs::create_dir(dir.path().join("sub.cedar")).unwrap();
    fs::write(dir.path().join("floor.ceder"), "").unwrap();
    fs::write(dir.path().join("bad.cedar"), b"\xff").unwrap();
    fs::write(dir.path().join("long.cedar"), " ".repeat(POLICY_FILE_BYTES_MAX + 1)).unwrap();
    let text = read_directory(dir.path()).unwrap_err().to_string();
    for expected in [
        "5 problems",
        "sub: this does not belong in a policy directory",
        "sub.cedar: this is not a regular file",
        "floor.ceder: this does not belong",
        "bad.cedar: this is not UTF-8 text",
        "long.cedar: the file has more than 131072 bytes",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
}

#[test]
fn a_missing_directory_or_file_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("nowhere");
    let error = read_directory(&missing).unwrap_err();
    assert!(matches!(error, PolicyError::Read { .. }));
    assert!(error.to_string().contains(&format!("`{}`", missing.display())), "{error}");
    std::os::unix::fs::symlink(&missing, dir.path().join("a.cedar")).unwrap();
    assert!(
        matches!(read_directory(dir.path()), Err(PolicyError::Read { path, .. }) if path.ends_with("a.cedar"))
    );
}

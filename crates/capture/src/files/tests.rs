//! Looks at real directories, hostile ones too, and what they come to when they are compared.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use evidence::Digest;
use proptest::prelude::*;
use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::changes::{between, inputs, of_one};
use super::declared::{Declared, FilesError, Roots};
use super::read::Seen;
use super::snapshot::{At, Snapshot};
use super::walk::{look, look_at};
use super::{Extent, Watch, file_uri};
use crate::api::{Artifact, Change};
use crate::limits::{ARTIFACT_URI_MAX, DECLARED_MAX};

const SMALL: Extent = Extent { files: 1_000, bytes: 1_000_000, depth: 16 };

fn scratch() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = fs::canonicalize(dir.path()).unwrap();
    (dir, path)
}

fn writes(path: &Path) -> Roots {
    Roots::resolve(&Declared { reads: vec![], writes: vec![path.to_owned()] }, path).unwrap()
}

fn reads(path: &Path) -> Roots {
    Roots::resolve(&Declared { reads: vec![path.to_owned()], writes: vec![] }, path).unwrap()
}

fn seen(roots: &Roots) -> Snapshot {
    look(roots, &[], SMALL, &Watch::default())
}

fn bytes(bytes: &[u8]) -> Seen {
    Seen::Bytes { link: false, digest: Digest::of(bytes), size: bytes.len() as u64 }
}

fn link(target: &str) -> Seen {
    Seen::Bytes { link: true, digest: Digest::of(target.as_bytes()), size: target.len() as u64 }
}

fn told(artifacts: &[Artifact], root: &Path) -> Vec<(String, Option<Change>)> {
    let short = |uri: &str| uri.strip_prefix(&file_uri(root)).unwrap_or(uri).to_owned();
    artifacts.iter().map(|artifact| (short(&artifact.uri), artifact.change)).collect()
}

#[test]
fn files_of_any_name_are_seen_with_their_digests() {
    let (_dir, path) = scratch();
    fs::create_dir_all(path.join("a/b")).unwrap();
    fs::create_dir(path.join("empty")).unwrap();
    fs::write(path.join("a/b/c d.txt"), "text").unwrap();
    fs::write(path.join(OsStr::from_bytes(b"\xff\n")), "").unwrap();
    let look = seen(&writes(&path));
    let uri = |name: &str| format!("{}/{name}", file_uri(&path));
    let expected = BTreeMap::from([(uri("%FF%0A"), bytes(b"")), (uri("a/b/c%20d.txt"), bytes(b"text"))]);
    assert_eq!((look.files, look.cut, look.unlisted), (expected, None, vec![]));
    assert_eq!(look.roots, BTreeMap::from([(file_uri(&path), At::Directory)]));
}

#[test]
fn links_are_what_they_say_and_lead_nowhere() {
    let (_dir, path) = scratch();
    let tree = path.join("tree");
    fs::create_dir_all(tree.join("sub")).unwrap();
    fs::write(path.join("outside"), "secret").unwrap();
    for (target, name) in [("../outside", "file"), ("..", "up"), ("sub", "down"), ("nowhere", "dangling")] {
        symlink(target, tree.join(name)).unwrap();
    }
    let look = seen(&writes(&tree));
    let uri = |name: &str| format!("{}/{name}", file_uri(&tree));
    let expected = [("file", "../outside"), ("up", ".."), ("down", "sub"), ("dangling", "nowhere")];
    assert_eq!(look.files, expected.iter().map(|(name, target)| (uri(name), link(target))).collect());
    let inputs = inputs(&seen(&reads(&tree)), &reads(&tree));
    assert!(inputs.iter().all(|artifact| artifact.media_type.as_deref() == Some("inode/symlink")));

    // a file in place of a link with the same bytes is another thing
    fs::remove_file(tree.join("down")).unwrap();
    fs::write(tree.join("down"), "sub").unwrap();
    let after = seen(&writes(&tree));
    let changes = between(&look, &after, &writes(&tree));
    assert_eq!(
        told(&changes.outputs, &tree),
        [(String::new(), Some(Change::Modified)), ("/down".into(), Some(Change::Modified))]
    );
    assert_eq!(changes.files, 1);
}

#[test]
fn a_link_that_somebody_names_is_followed() {
    let (_dir, path) = scratch();
    fs::create_dir(path.join("real")).unwrap();
    fs::write(path.join("real/x"), "1").unwrap();
    symlink("real", path.join("named")).unwrap();
    assert_eq!(writes(&path.join("named")), writes(&path.join("real")));
    assert_eq!(seen(&reads(&path.join("named/x"))).files.len(), 1);
}

#[test]
fn pipes_are_passed_over_and_nobody_waits_for_them() {
    let (_dir, path) = scratch();
    mknodat(CWD, path.join("pipe"), FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(path.join("socket")).unwrap();
    let look = seen(&writes(&path));
    assert_eq!((look.files.len(), look.special), (0, 2));
    assert_eq!(look.remarks(), ["2 pipes, sockets or devices passed over"]);
    let error = Roots::resolve(&Declared { reads: vec!["/dev/null".into()], writes: vec![] }, &path);
    assert!(error.unwrap_err().to_string().contains("neither a file nor a directory"));
}

#[test]
fn what_cannot_be_read_is_there_without_a_digest() {
    // the first page of its memory is not there, so reading it fails, for root too
    let mem = look_at(Path::new("/proc/self/mem"), 1_000);
    assert_eq!(mem, Some(Seen::Unreadable));
    assert_eq!(look_at(Path::new("/proc/self/none"), 1_000), None);
    assert_eq!(look_at(Path::new("/dev/null"), 1_000), None);
    let look = seen(&reads(Path::new("/proc/self/mem")));
    assert!(
        look.remarks()[0].starts_with("could not be read, or were written to all the while: file:///proc/"),
        "{:?}",
        look.remarks()
    );
    assert_eq!(inputs(&look, &reads(Path::new("/proc/self/mem")))[0].digest, None);
}

#[test]
fn limits_hold_at_and_one_past() {
    let (_dir, path) = scratch();
    fs::create_dir_all(path.join("1/2")).unwrap();
    for (name, text) in [("a", "12345"), ("1/b", "12345"), ("1/2/c", "12345")] {
        fs::write(path.join(name), text).unwrap();
    }
    let roots = writes(&path);
    let cut = |extent: Extent| look(&roots, &[], extent, &Watch::default()).cut;
    // three files, three directories
    let exact = Extent { files: 6, bytes: 15, depth: 3 };
    assert_eq!(cut(exact), None);
    let told = |extent| cut(extent).unwrap();
    assert_eq!(told(Extent { files: 5, ..exact }), "there are more than 5 declared files and directories");
    assert_eq!(
        told(Extent { bytes: 14, ..exact }),
        "the declared files hold more than the 14 bytes that are read at most"
    );
    assert_eq!(told(Extent { depth: 2, ..exact }), "the declared directories are more than 2 levels deep");
}

#[test]
fn a_look_that_is_stopped_says_so_and_claims_nothing_gone() {
    let (_dir, path) = scratch();
    fs::write(path.join("a"), "1").unwrap();
    let roots = writes(&path);
    let before = seen(&roots);
    let watch = Watch::default();
    watch.stop();
    let after = look(&roots, &[], SMALL, &watch);
    assert_eq!(after.cut.as_deref(), Some("looking at the declared files was stopped before its end"));
    let changes = between(&before, &after, &roots);
    assert_eq!((told(&changes.outputs, &path), changes.files), (vec![(String::new(), None)], 0));
}

#[test]
fn names_too_long_to_record_are_counted() {
    let (_dir, path) = scratch();
    let mut deep = path.clone();
    // each `%` takes three bytes in a URI
    while file_uri(&deep).len() + 3 * 200 < ARTIFACT_URI_MAX {
        deep.push("%".repeat(200));
        fs::create_dir(&deep).unwrap();
    }
    let room = ARTIFACT_URI_MAX - file_uri(&deep).len() - 1;
    fs::write(deep.join("x".repeat(room.min(255))), "").unwrap();
    let fits = seen(&writes(&path));
    assert_eq!(fits.unnamed, usize::from(room > 255));
    let (whole, rest) = (room / 3, room % 3);
    let name = "%".repeat(whole) + &"y".repeat(rest);
    fs::write(deep.join(&name), "").unwrap();
    assert_eq!(seen(&writes(&path)).unnamed, fits.unnamed);
    fs::write(deep.join(name + "y"), "").unwrap();
    let look = seen(&writes(&path));
    assert_eq!(look.unnamed, fits.unnamed + 1);
    assert!(look.remarks()[0].contains("names too long"), "{:?}", look.remarks());
}

#[test]
fn directories_passed_over_are_not_looked_at() {
    let (_dir, path) = scratch();
    fs::create_dir_all(path.join("data/log")).unwrap();
    fs::write(path.join("data/log/entry"), "").unwrap();
    fs::write(path.join("file"), "").unwrap();
    let look = look(&writes(&path), &[path.join("data")], SMALL, &Watch::default());
    assert_eq!(look.files.keys().collect::<Vec<_>>(), [&file_uri(&path.join("file"))]);
}

#[test]
fn a_directory_is_the_list_of_its_files() {
    let (_dir, path) = scratch();
    fs::create_dir(path.join("b")).unwrap();
    fs::write(path.join("b/x y"), "1").unwrap();
    symlink("b", path.join("a")).unwrap();
    let list = format!("link {} a\nfile {} b/x%20y\n", Digest::of(b"b"), Digest::of(b"1"));
    let expected = Digest::of(list.as_bytes()).to_string();
    let roots = writes(&path);
    let inputs = inputs(&seen(&roots), &roots);
    assert_eq!(inputs.len(), 1);
    assert_eq!((inputs[0].uri.clone(), inputs[0].digest.clone()), (file_uri(&path), Some(expected)));
    assert_eq!(inputs[0].media_type.as_deref(), Some("inode/directory"));
    // of an empty one the list is empty
    fs::create_dir(path.join("empty")).unwrap();
    let empty = writes(&path.join("empty"));
    assert_eq!(seen(&empty).directory(&empty.writes[0]), Some(Digest::of(b"")));
}

#[test]
fn what_changed_is_told_with_both_digests() {
    let (_dir, path) = scratch();
    for name in ["kept", "changed", "gone"] {
        fs::write(path.join(name), name).unwrap();
    }
    let roots = writes(&path);
    let before = seen(&roots);
    fs::write(path.join("changed"), "other").unwrap();
    fs::write(path.join("made"), "made").unwrap();
    fs::remove_file(path.join("gone")).unwrap();
    let after = seen(&roots);
    let changes = between(&before, &after, &roots);
    assert_eq!(
        told(&changes.outputs, &path),
        [
            (String::new(), Some(Change::Modified)),
            ("/changed".into(), Some(Change::Modified)),
            ("/gone".into(), Some(Change::Deleted)),
            ("/made".into(), Some(Change::Created)),
        ]
    );
    assert_eq!(changes.files, 3);
    let of = |text: &str| Some(Digest::of(text.as_bytes()).to_string());
    let [_, changed, gone, made] = &changes.outputs[..] else { panic!() };
    assert_eq!((&changed.before, &changed.digest, changed.size), (&of("changed"), &of("other"), Some(5)));
    assert_eq!((&gone.before, &gone.digest, gone.size), (&of("gone"), &None, None));
    assert_eq!((&made.before, &made.digest), (&None, &of("made")));
    assert_eq!(between(&after, &after, &roots), super::changes::Changes::default());
}

#[test]
fn a_directory_that_comes_or_goes_is_told() {
    let (_dir, path) = scratch();
    let out = path.join("out/deep");
    let roots = Roots::resolve(&Declared { reads: vec![], writes: vec!["out/deep".into()] }, &path).unwrap();
    assert_eq!(roots.writes, [file_uri(&out)]);
    let nothing = seen(&roots);
    assert_eq!((nothing.roots[&roots.writes[0]], inputs(&nothing, &roots)), (At::Nothing, vec![]));
    fs::create_dir_all(&out).unwrap();
    fs::write(out.join("x"), "").unwrap();
    let there = seen(&roots);
    let made = Some(Change::Created);
    assert_eq!(
        told(&between(&nothing, &there, &roots).outputs, &out),
        [(String::new(), made), ("/x".into(), made)]
    );
    let gone = Some(Change::Deleted);
    assert_eq!(
        told(&between(&there, &nothing, &roots).outputs, &out),
        [(String::new(), gone), ("/x".into(), gone)]
    );
}

#[test]
fn what_only_one_look_could_see_is_not_said_to_have_changed() {
    let (uri, root) = ("file:///w/a".to_owned(), "file:///w".to_owned());
    let roots = Roots { all: vec![], reads: vec![root.clone()], writes: vec![] };
    let look = |seen: Option<Seen>, unlisted: bool| Snapshot {
        files: seen.map(|seen| (uri.clone(), seen)).into_iter().collect(),
        unlisted: if unlisted { vec![root.clone()] } else { vec![] },
        ..Snapshot::default()
    };
    let change = |before: Snapshot, after: Snapshot| {
        let outputs = between(&before, &after, &roots).outputs;
        outputs
            .first()
            .map(|artifact| (artifact.change, artifact.digest.is_some(), artifact.before.is_some()))
    };
    let (one, dark) = (Some(bytes(b"1")), Some(Seen::Unreadable));
    assert_eq!(change(look(None, true), look(one, false)), Some((None, true, false)));
    assert_eq!(change(look(one, false), look(None, true)), None);
    assert_eq!(change(look(dark, false), look(one, false)), Some((None, true, false)));
    assert_eq!(change(look(one, false), look(dark, false)), Some((None, false, true)));
    assert_eq!(change(look(dark, false), look(dark, false)), None);
    assert_eq!(change(look(dark, false), look(None, false)), Some((Some(Change::Deleted), false, false)));
    assert_eq!(change(look(None, false), look(dark, false)), Some((Some(Change::Created), false, false)));
    assert_eq!(of_one("file:///x", one, one), None);
    assert_eq!(of_one("file:///x", one, None).unwrap().change, Some(Change::Deleted));
}

#[test]
fn what_is_read_and_what_is_written_may_overlap() {
    let (_dir, path) = scratch();
    fs::create_dir_all(path.join("in/out")).unwrap();
    for name in ["in/a", "in/out/b", "c"] {
        fs::write(path.join(name), name).unwrap();
    }
    let declared = Declared {
        reads: vec!["in".into(), "in/a".into(), path.join("in/../in")],
        writes: vec!["in/out".into(), "c".into()],
    };
    let roots = Roots::resolve(&declared, &path).unwrap();
    let uri = |name: &str| file_uri(&path.join(name));
    assert_eq!(roots.all.iter().map(|root| root.uri.clone()).collect::<Vec<_>>(), [uri("c"), uri("in")]);
    assert_eq!((roots.reads.clone(), roots.writes.clone()), (vec![uri("in")], vec![uri("c"), uri("in/out")]));
    let before = seen(&roots);
    let names: Vec<String> = inputs(&before, &roots).into_iter().map(|artifact| artifact.uri).collect();
    assert_eq!(names, [uri("c"), uri("in/a"), uri("in/out"), uri("in/out/b")]);
    // a file that is only said to be read, and changes all the same, is told as well
    fs::write(path.join("in/a"), "other").unwrap();
    let changes = between(&before, &seen(&roots), &roots);
    assert_eq!(told(&changes.outputs, &path), [("/in/a".into(), Some(Change::Modified))]);
}

#[test]
fn declared_paths_that_cannot_be_meant_are_refused() {
    let (_dir, path) = scratch();
    let resolve = |reads: &[&str], writes: &[&str]| {
        let paths = |list: &[&str]| list.iter().map(PathBuf::from).collect();
        Roots::resolve(&Declared { reads: paths(reads), writes: paths(writes) }, &path)
    };
    assert!(matches!(resolve(&["missing"], &[]), Err(FilesError::Path { .. })));
    assert!(matches!(resolve(&[], &["missing/../x"]), Err(FilesError::Unfit { .. })));
    // nothing declared: the working directory
    assert_eq!(resolve(&[], &[]).unwrap(), resolve(&[], &["."]).unwrap());
    assert_eq!(resolve(&[], &vec!["."; DECLARED_MAX]).unwrap().writes.len(), 1);
    let many = resolve(&[], &vec!["."; DECLARED_MAX + 1]).unwrap_err();
    assert!(many.to_string().contains("65 paths are declared"), "{many}");
}

proptest! {
    #[test]
    fn changes_lead_from_the_first_look_to_the_second(
        before in proptest::collection::btree_map("[a-d]{1,2}", "[xy]{0,2}", 0..6),
        after in proptest::collection::btree_map("[a-d]{1,2}", "[xy]{0,2}", 0..6),
    ) {
        let look = |files: &BTreeMap<String, String>| Snapshot {
            files: files.iter().map(|(name, text)| (format!("file:///w/{name}"), bytes(text.as_bytes()))).collect(),
            ..Snapshot::default()
        };
        let (first, second) = (look(&before), look(&after));
        let roots = Roots { all: vec![], reads: vec![], writes: vec![] };
        let mut replayed = first.files.clone();
        for artifact in between(&first, &second, &roots).outputs {
            let was = first.files.get(&artifact.uri);
            prop_assert_eq!(artifact.before.is_some(), was.is_some());
            match second.files.get(&artifact.uri) {
                Some(now) => {
                    prop_assert_ne!(was, Some(now));
                    replayed.insert(artifact.uri, *now);
                }
                None => {
                    prop_assert_eq!(artifact.change, Some(Change::Deleted));
                    replayed.remove(&artifact.uri);
                }
            }
        }
        prop_assert_eq!(replayed, second.files);
    }
}

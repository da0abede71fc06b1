//! Damaged files of a log: found, named, never a panic and never a wrong answer.

use std::path::{Path, PathBuf};

use store::{KeySlot, ReadError, Reader};
use tlog::leaf_hash;
use tlog::proof::verify_inclusion;
use tlog::tile::{TileId, entries_path, tiles_between};

use crate::log::*;

const SIZE: u64 = 300;

/// What is wrong with a copy of the log.
#[derive(Clone, Copy, Debug)]
enum Damage {
    Flip { permille: usize },
    Cut,
    Grown,
    Removed,
}

fn apply(damage: Damage, path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    match damage {
        Damage::Flip { permille } => {
            let at = (bytes.len() - 1) * permille / 1_000;
            bytes[at] ^= 0x01;
        }
        Damage::Cut => drop(bytes.pop()),
        Damage::Grown => bytes.push(b'!'),
        Damage::Removed => return std::fs::remove_file(path).unwrap(),
    }
    overwrite(path, &bytes);
}

/// Reads everything; counts the errors and checks every answer.
fn read_all(reader: &Reader) -> Vec<ReadError> {
    let mut errors = Vec::new();
    let mut keep = |result: Result<(), ReadError>| errors.extend(result.err());
    let root = reader.root(SIZE).unwrap();
    for index in 0..SIZE {
        let expected = entry(index);
        let leaf = leaf_hash(&expected.entry);
        keep(reader.entries(index, 1).map(|found| assert_eq!(found, [expected.entry])));
        let body = Some(expected.body).filter(|body| !body.is_empty());
        keep(reader.body(index).map(|found| assert_eq!(found, body)));
        let key = expected.key.map_or(KeySlot::Absent, KeySlot::Present);
        keep(reader.key(index).map(|found| assert_eq!(found, key)));
        if index % 23 == 0 {
            let path = reader.inclusion_proof(index, SIZE);
            keep(path.map(|path| verify_inclusion(index, SIZE, &leaf, &path, &root).unwrap()));
        }
    }
    errors
}

/// Files of a published log without which something cannot be read.
fn needed() -> Vec<PathBuf> {
    let tiles = tiles_between(0, SIZE);
    let bundles =
        tiles.iter().filter(|tile| tile.level == 0).map(|tile| entries_path(tile.index, tile.width));
    let public = tiles.iter().map(TileId::path).chain(bundles).map(|path| format!("log/{path}"));
    public.chain(["head".to_owned(), "keys".to_owned(), "bodies/000".to_owned()]).map(PathBuf::from).collect()
}

#[test]
fn damage_to_any_published_file_is_found_and_named() {
    let good = tempfile::tempdir().unwrap();
    let store = start(good.path());
    append_count(&store, 100);
    publish(&store);
    append_count(&store, SIZE - 100);
    store.close();
    assert_eq!(read_all(&store.reader()).len(), 0);
    let all = files(&good.path().join("local"));
    assert!(needed().iter().all(|path| all.contains(path)), "{all:?}");

    let flips = [0, 300, 700, 1_000].map(|permille| Damage::Flip { permille });
    for path in all.iter().filter(|path| !path.starts_with("journal")) {
        for damage in flips.into_iter().chain([Damage::Cut, Damage::Grown, Damage::Removed]) {
            let copy = tempfile::tempdir().unwrap();
            copy_dir(good.path(), copy.path());
            apply(damage, &copy.path().join("local").join(path));
            let errors: Vec<String> = match try_open(copy.path()) {
                Err(refused) => vec![refused.to_string()],
                Ok(opening) => read_all(&opening.reader()).iter().map(ToString::to_string).collect(),
            };
            // what is after the last key means nothing
            let is_harmless = path == Path::new("keys") && matches!(damage, Damage::Grown);
            if needed().contains(path) && !is_harmless {
                assert!(!errors.is_empty(), "{damage:?} of `{}` was not found", path.display());
            }
            for error in errors.iter().filter(|_| !is_harmless) {
                if matches!(damage, Damage::Removed) {
                    let says_so = error.contains("is missing") || error.contains("the log was rolled back");
                    assert!(says_so && !error.contains("damaged"), "`{}`: {error}", path.display());
                }
                // tiles that contradict each other do not say which of them is the damaged one
                let name = path.to_str().unwrap().split("/tile/").next().unwrap();
                let is_named = error.contains(name) || error.contains("the log was rolled back");
                assert!(is_named, "{damage:?} of `{}`: {error}", path.display());
            }
        }
    }
}

#[test]
fn a_damaged_journal_frame_is_found_when_it_is_read() {
    let data = tempfile::tempdir().unwrap();
    let store = start(data.path());
    append_count(&store, 3);
    append_count(&store, 3);
    let reader = store.reader();
    let segment = segments(data.path()).pop().unwrap();
    let bytes = std::fs::read(&segment).unwrap();
    let frame = bytes.windows(8).position(|bytes| bytes == b"deedsfr0").unwrap();
    // in place, as the disk would do it: the reader has the file open
    let file = std::fs::File::options().write(true).open(&segment).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &[bytes[frame + 130] ^ 1], frame as u64 + 130).unwrap();
    for error in [reader.entry(0).map(drop), reader.body(1).map(drop), reader.key(2).map(drop)] {
        let error = error.unwrap_err();
        let ReadError::Damaged(damage) = &error else { panic!("{error}") };
        assert_eq!((&damage.path, damage.offset), (&segment, Some(frame as u64)));
    }
    assert_eq!(reader.entry(3).unwrap(), entry(3).entry);
    // and healed, so that the store can publish what it has when it is closed
    std::os::unix::fs::FileExt::write_all_at(&file, &bytes[frame + 130..=frame + 130], frame as u64 + 130)
        .unwrap();
    check_all(&reader, 6);
}

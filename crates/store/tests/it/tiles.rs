//! The public files: the same for the same entries, and readable by an independent implementation.

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use proptest::test_runner::{Config as Runs, RngAlgorithm, TestRng, TestRunner};
use tlog::tile::{TileId, entries_path, tiles_between};
use tlog_tiles::{
    Tile, TileHashReader, TileReader, check_record, check_tree, prove_record, prove_tree, record_hash,
};

use crate::log::*;

/// One step of a log's life.
#[derive(Clone, Debug)]
enum Step {
    Append(u64),
    Publish,
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (1_u64..=130).prop_map(Step::Append),
        2 => Just(Step::Publish),
        1 => Just(Step::Restart),
    ];
    proptest::collection::vec(step, 1..14)
}

/// Writes `size` entries in these steps, the rest of them at the end.
fn write(data: &Path, size: u64, steps: &[Step]) {
    let mut store = start(data);
    for step in steps {
        let left = size - store.reader().size();
        match step {
            Step::Append(count) => drop(append_count(&store, left.min(*count))),
            Step::Publish => publish(&store),
            Step::Restart => {
                drop(store);
                store = start(data);
            }
        }
    }
    append_count(&store, size - store.reader().size());
    store.close();
}

/// Paths under `log/` of what a tree of this size needs.
fn needed(size: u64) -> Vec<PathBuf> {
    let tiles = tiles_between(0, size);
    let bundle = |tile: &TileId| (tile.level == 0).then(|| entries_path(tile.index, tile.width));
    let bundles: Vec<_> = tiles.iter().filter_map(bundle).collect();
    tiles
        .iter()
        .map(TileId::path)
        .chain(bundles)
        .map(PathBuf::from)
        .chain([PathBuf::from("checkpoint")])
        .collect()
}

#[test]
fn public_files_do_not_depend_on_batches_publications_and_restarts() {
    let plain = tempfile::tempdir().unwrap();
    let size = 530;
    write(plain.path(), size, &[]);
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(Runs { cases: 10, ..Runs::default() }, rng);
    let case = |steps: Vec<Step>| {
        let other = tempfile::tempdir().unwrap();
        write(other.path(), size, &steps);
        for path in needed(size) {
            let read = |data: &Path| std::fs::read(data.join("local/log").join(&path)).unwrap();
            prop_assert!(read(plain.path()) == read(other.path()), "{}", path.display());
        }
        Ok(())
    };
    runner.run(&steps(), case).unwrap();
}

/// `log/` as another implementation sees it.
struct Directory(PathBuf);

impl TileReader for Directory {
    fn height(&self) -> u8 {
        8
    }

    fn read_tiles(&self, tiles: &[Tile]) -> Result<Vec<Vec<u8>>, tlog_tiles::Error> {
        // its paths begin with the height, which C2SP fixed at 8 and left out
        let path = |tile: &Tile| self.0.join(tile.path().replacen("tile/8/", "tile/", 1));
        Ok(tiles.iter().map(|tile| std::fs::read(path(tile)).unwrap()).collect())
    }

    fn save_tiles(&self, _: &[Tile], _: &[Vec<u8>]) {}
}

#[test]
fn an_independent_reader_proves_every_entry_and_every_published_size() {
    let data = tempfile::tempdir().unwrap();
    let store = start(data.path());
    let reader = store.reader();
    let directory = Directory(reader.log_dir().to_owned());
    let mut sizes = Vec::new();
    while reader.size() < 600 {
        append_count(&store, 1 + reader.size() % 29);
        publish(&store);
        let (checkpoint, _) = reader.checkpoint().unwrap();
        sizes.push((checkpoint.size, tlog_tiles::Hash(checkpoint.root)));
    }
    let (size, root) = *sizes.last().unwrap();
    let tiles = TileHashReader::new(size, root, &directory);
    for index in 0..size {
        let proof = prove_record(size, index, &tiles).unwrap();
        check_record(&proof, size, root, index, record_hash(&entry(index).entry)).unwrap();
        let ours: Vec<_> =
            reader.inclusion_proof(index, size).unwrap().into_iter().map(tlog_tiles::Hash).collect();
        assert_eq!(proof, ours);
    }
    for (old_size, old_root) in &sizes {
        let proof = prove_tree(size, *old_size, &tiles).unwrap();
        check_tree(&proof, size, root, *old_size, *old_root).unwrap();
        // and each size is complete by itself
        let at_that_size = TileHashReader::new(*old_size, *old_root, &directory);
        let last = prove_record(*old_size, old_size - 1, &at_that_size).unwrap();
        check_record(&last, *old_size, *old_root, old_size - 1, record_hash(&entry(old_size - 1).entry))
            .unwrap();
    }
}

//! An independent implementation (`tlog_tiles`, `signed_note`) reads what this crate writes.
//!
//! The tree grows from 0 to 600 entries and is published at every size. The other implementation
//! reads those tiles with its own tile reader, makes its own proofs from them and checks those
//! against the roots; and it checks ours.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "lints excuse tests, but not the functions that tests in `tests/` share"
)]

use std::cell::Cell;
use std::collections::BTreeMap;
use std::convert::Infallible;

use ed25519_dalek::SigningKey;
use signed_note::{Note, StandardVerifier, VerifierList};
use tlog::checkpoint::Checkpoint;
use tlog::integrate::integrate;
use tlog::range::CompactRange;
use tlog::tile::{TileId, encode_bundle, entries_path, tiles_between};
use tlog::{Hash, note, proof};
use tlog_tiles::{Tile, TileHashReader, TileReader};

/// The largest size; the tree is published at each size up to it.
const SIZES: u64 = 600;

/// A log as static files, written by this crate one entry at a time.
struct Log {
    files: BTreeMap<String, Vec<u8>>,
    /// Root at each size.
    roots: Vec<Hash>,
    /// Files that the other implementation read.
    reads: Cell<usize>,
}

fn entry(index: u64) -> String {
    format!("entry number {index}")
}

fn other(hash: &Hash) -> tlog_tiles::Hash {
    tlog_tiles::Hash(*hash)
}

fn others(path: &[Hash]) -> Vec<tlog_tiles::Hash> {
    path.iter().map(other).collect()
}

impl Log {
    fn grown() -> Self {
        let mut log = Self { files: BTreeMap::new(), roots: vec![tlog::empty_root()], reads: Cell::new(0) };
        let mut range = CompactRange::new();
        for size in 0..SIZES {
            let leaf = tlog::leaf_hash(entry(size).as_bytes());
            let tiles = integrate(size, &[leaf], &mut |tile| log.read(tile)).unwrap();
            assert!(tiles.iter().map(|(tile, _)| *tile).eq(tiles_between(size, size + 1)));
            for (tile, bytes) in tiles {
                if tile.level == 0 {
                    log.write_entries(tile.index, tile.width);
                }
                log.files.insert(tile.path(), bytes);
            }
            range.push(leaf);
            log.roots.push(range.root());
        }
        log
    }

    fn write_entries(&mut self, index: u64, width: u16) {
        let first = index * 256;
        let entries: Vec<String> = (first..first + u64::from(width)).map(entry).collect();
        self.files.insert(entries_path(index, width), encode_bundle(&entries).unwrap());
    }

    #[expect(clippy::unnecessary_wraps, reason = "the shape that the generators call")]
    fn read(&self, tile: TileId) -> Result<Vec<u8>, Infallible> {
        Ok(self.files.get(&tile.path()).unwrap_or_else(|| panic!("no {tile}")).clone())
    }

    fn root(&self, size: u64) -> tlog_tiles::Hash {
        other(&self.roots[usize::try_from(size).unwrap()])
    }

    /// The other implementation's view of the tree at a size.
    fn tree(&self, size: u64) -> TileHashReader<'_> {
        TileHashReader::new(size, self.root(size), self)
    }

    /// Leaf hash by the other implementation, of an entry read from the bundle at a size.
    fn leaf(&self, index: u64, size: u64) -> tlog_tiles::Hash {
        let bundle = index / 256;
        let width = u16::try_from((size - bundle * 256).min(256)).unwrap();
        let bytes = &self.files[&entries_path(bundle, width)];
        tlog_tiles::record_hash(nth_entry(bytes, index % 256))
    }

    fn check_inclusion(&self, index: u64, size: u64) {
        let proven = tlog_tiles::prove_record(size, index, &self.tree(size)).unwrap();
        let ours = proof::inclusion_proof(index, size, &mut |tile| self.read(tile)).unwrap();
        assert_eq!(proven, others(&ours), "inclusion of {index} in {size}");
        tlog_tiles::check_record(&proven, size, self.root(size), index, self.leaf(index, size)).unwrap();
    }

    fn check_consistency(&self, old: u64, new: u64) {
        let proven = tlog_tiles::prove_tree(new, old, &self.tree(new)).unwrap();
        let ours = proof::consistency_proof(old, new, &mut |tile| self.read(tile)).unwrap();
        assert_eq!(proven, others(&ours), "consistency of {old} and {new}");
        tlog_tiles::check_tree(&proven, new, self.root(new), old, self.root(old)).unwrap();
    }
}

/// Reads an entry out of a bundle by its format alone.
fn nth_entry(mut bundle: &[u8], position: u64) -> &[u8] {
    for _ in 0..position {
        bundle = &bundle[2 + usize::from(u16::from_be_bytes([bundle[0], bundle[1]]))..];
    }
    &bundle[2..2 + usize::from(u16::from_be_bytes([bundle[0], bundle[1]]))]
}

impl TileReader for Log {
    fn height(&self) -> u8 {
        8
    }

    /// Gives exactly the tile that was asked for; a partial tile that was not written is an error.
    fn read_tiles(&self, tiles: &[Tile]) -> Result<Vec<Vec<u8>>, tlog_tiles::Error> {
        self.reads.set(self.reads.get() + tiles.len());
        let read = |tile: &Tile| {
            // their path has the tile height in it, which tlog-tiles fixes at 8 and leaves out
            let path = tile.path().replacen("tile/8/", "tile/", 1);
            self.files.get(&path).cloned().ok_or(tlog_tiles::Error::InvalidTile)
        };
        tiles.iter().map(read).collect()
    }

    fn save_tiles(&self, _: &[Tile], _: &[Vec<u8>]) {}
}

#[test]
fn inclusion_of_every_entry() {
    let log = Log::grown();
    for index in 0..SIZES {
        log.check_inclusion(index, SIZES);
    }
    for size in 1..SIZES {
        for index in [0, size / 2, size - 1] {
            log.check_inclusion(index, size);
        }
    }
    assert!(log.reads.get() > 2_000, "only {} tiles read", log.reads.get());
}

#[test]
fn consistency_of_published_sizes() {
    let log = Log::grown();
    for size in 1..=SIZES {
        log.check_consistency(size, SIZES);
        log.check_consistency(size, size);
        log.check_consistency(size.max(2) - 1, size);
        log.check_consistency(size / 2 + 1, size);
    }
    for new in [255, 256, 257, 511, 512, 513] {
        for old in 1..=new {
            log.check_consistency(old, new);
        }
    }
    assert!(log.reads.get() > 2_000, "only {} tiles read", log.reads.get());
}

#[test]
fn roots_and_the_list_of_tiles_at_every_size() {
    let log = Log::grown();
    for size in 0..=SIZES {
        if size > 0 {
            assert_eq!(tlog_tiles::tree_hash(size, &log.tree(size)).unwrap(), log.root(size), "size {size}");
        }
        for old in [0, size / 2, size.saturating_sub(1), size] {
            let ours: Vec<String> = tiles_between(old, size).iter().map(TileId::path).collect();
            let theirs = Tile::new_tiles(8, old, size);
            let theirs: Vec<String> =
                theirs.iter().map(|tile| tile.path().replacen("tile/8/", "tile/", 1)).collect();
            assert_eq!(ours, theirs, "{old} to {size}");
        }
    }
    // there is no proof from the empty tree, which the other implementation leaves out
    let nothing = proof::consistency_proof(0, SIZES, &mut |tile| log.read(tile)).unwrap();
    let (empty, root) = (&log.roots[0], &log.roots[usize::try_from(SIZES).unwrap()]);
    proof::verify_consistency(0, empty, SIZES, root, &nothing).unwrap();
    assert!(nothing.is_empty());
}

#[test]
fn a_tampered_tile_proves_nothing_to_either() {
    let mut log = Log::grown();
    let root = log.roots[usize::try_from(SIZES).unwrap()];
    log.files.get_mut("tile/0/001").unwrap()[32 * 7] ^= 1;
    // the other reader does not compare a full tile with its parent in every case, its proof check does
    if let Ok(proven) = tlog_tiles::prove_record(SIZES, 300, &log.tree(SIZES)) {
        let leaf = log.leaf(300, SIZES);
        assert!(tlog_tiles::check_record(&proven, SIZES, other(&root), 300, leaf).is_err());
    }
    let ours = proof::inclusion_proof(300, SIZES, &mut |tile| log.read(tile)).unwrap();
    let leaf = tlog::leaf_hash(entry(300).as_bytes());
    assert_eq!(proof::verify_inclusion(300, SIZES, &leaf, &ours, &root), Err(proof::ProofError::Root));
}

#[test]
fn signed_checkpoint() {
    let key = SigningKey::from_bytes(&[1; 32]);
    let checkpoint = Checkpoint::new("log.example/t1", 600, [7; 32]).unwrap();
    let signed = note::sign(&checkpoint.to_text(), "log.example/t1", &key).unwrap();
    let vkey = note::VerifierKey::ed25519("log.example/t1", key.verifying_key()).unwrap();

    let theirs = Note::from_bytes(signed.as_bytes()).unwrap();
    let known = VerifierList::new(vec![Box::new(StandardVerifier::new(&vkey.to_string()).unwrap())]);
    let (verified, unverified) = theirs.verify(&known).unwrap();
    assert_eq!((verified.len(), unverified.len()), (1, 0));
    assert_eq!(theirs.to_bytes(), signed.as_bytes());
    let read = tlog_tiles::Checkpoint::from_bytes(theirs.text()).unwrap();
    assert_eq!((read.origin(), read.size(), read.hash().0), ("log.example/t1", 600, [7; 32]));
    assert_eq!(read.to_bytes(), checkpoint.to_text().as_bytes());
}

//! Paths, tile lists and bundle bytes.

use proptest::prelude::*;
use sha2::{Digest, Sha256};

use super::*;
use crate::tests::hash;

fn tile(level: u8, index: u64, width: u16) -> TileId {
    TileId { level, index, width }
}

#[test]
fn paths() {
    let known = [
        (tile(0, 0, 256), "tile/0/000"),
        (tile(1, 1, 17), "tile/1/001.p/17"),
        (tile(0, 1_234_067, 256), "tile/0/x001/x234/067"),
        (tile(0, 1_000, 255), "tile/0/x001/000.p/255"),
        (tile(63, u64::MAX, 1), "tile/63/x018/x446/x744/x073/x709/x551/615.p/1"),
    ];
    for (id, path) in known {
        assert_eq!(id.path(), path);
        assert_eq!(TileId::parse(path), Ok(id));
        assert_eq!(Resource::parse(path), Ok(Resource::Tile(id)));
    }
    assert_eq!(entries_path(1_234_067, 256), "tile/entries/x001/x234/067");
    assert_eq!(entries_path(0, 112), "tile/entries/000.p/112");
    let entries = Resource::Entries { index: 1_234_067, width: 3 };
    assert_eq!(Resource::parse("tile/entries/x001/x234/067.p/3"), Ok(entries));
    assert_eq!(TileId::parse("tile/entries/000"), Err(TileError::Path("tile/entries/000".to_owned())));
}

#[test]
fn other_spellings_are_refused() {
    let refused = [
        "",
        "tile",
        "tile/",
        "tile/0",
        "tile/0/",
        "/tile/0/000",
        "tile/0/000/",
        "tile//000",
        "tile/0//000",
        "tile/0/0",
        "tile/0/00",
        "tile/0/0000",
        "tile/0/x000",
        "tile/0/x000/001",
        "tile/0/001/000",
        "tile/0/x001/x000",
        "tile/0/x1/000",
        "tile/0/+00",
        "tile/0/-01",
        "tile/0/ 00",
        "tile/0/xx01/000",
        "tile/00/000",
        "tile/+0/000",
        "tile/64/000",
        "tile/256/000",
        "tile/-1/000",
        "tile/x/000",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/000.p/+1",
        "tile/0/000.p/",
        "tile/0/000.p",
        "tile/0/000.p/1/",
        "tile/0/000.p/1.p/1",
        "tile/0/000.P/1",
        "tile/0/../000",
        "tile/entries",
        "tile/entries/",
        "tile/entries/../../checkpoint",
        "tile/Entries/000",
        "tile/data/000",
        "tile/0/x018/x446/x744/x073/x709/x551/616",
        "tile/0/000\0",
        "tile/0/０００",
        "checkpoint",
    ];
    for path in refused {
        assert_eq!(Resource::parse(path), Err(TileError::Path(path.to_owned())), "`{path}`");
    }
}

#[test]
fn path_length_limit() {
    let longest = entries_path(u64::MAX, 255);
    assert_eq!(longest.len(), 52);
    assert!(Resource::parse(&longest).is_ok());
    let at_limit = "x".repeat(MAX_TILE_PATH_BYTES);
    assert_eq!(Resource::parse(&at_limit), Err(TileError::Path(at_limit.clone())));
    let beyond = MAX_TILE_PATH_BYTES + 1;
    assert_eq!(Resource::parse(&"x".repeat(beyond)), Err(TileError::PathLength(beyond)));
}

#[test]
fn tiles_of_known_sizes() {
    assert_eq!(tiles_between(0, 0), []);
    assert_eq!(tiles_between(5, 5), []);
    assert_eq!(tiles_between(6, 5), []);
    assert_eq!(tiles_between(0, 256), [tile(0, 0, 256), tile(1, 0, 1)]);
    assert_eq!(tiles_between(255, 257), [tile(0, 0, 256), tile(0, 1, 1), tile(1, 0, 1)]);
    assert_eq!(tiles_between(256, 257), [tile(0, 1, 1)]);
    let of_70_000 = tiles_between(0, 70_000);
    assert_eq!(of_70_000.iter().filter(|id| id.level == 0 && id.is_full()).count(), 273);
    assert_eq!(of_70_000[273..], [tile(0, 273, 112), tile(1, 0, 256), tile(1, 1, 17), tile(2, 0, 1)]);
    let last = tiles_between(crate::limits::MAX_TREE_SIZE - 1, crate::limits::MAX_TREE_SIZE);
    assert_eq!(last, [tile(0, (1 << 55) - 1, 255)]);
}

#[test]
fn tile_that_contains_a_hash() {
    assert_eq!(TileId::containing(0, 0, 0), None);
    assert_eq!(TileId::containing(0, 255, 256), Some(tile(0, 0, 256)));
    assert_eq!(TileId::containing(0, 256, 256), None);
    assert_eq!(TileId::containing(0, 256, 300), Some(tile(0, 1, 44)));
    assert_eq!(TileId::containing(1, 0, 300), Some(tile(1, 0, 1)));
    assert_eq!(TileId::containing(1, 1, 300), None);
    assert_eq!(TileId::containing(8, 0, u64::MAX), None);
    assert_eq!(tile(3, 4, 5).full(), tile(3, 4, 256));
}

#[test]
fn tile_bytes() {
    let hashes = [[1; 32], [2; 32]];
    let bytes = encode_tile(&hashes);
    assert_eq!(decode_tile(&bytes, 2), Ok(hashes.as_slice()));
    assert_eq!(decode_tile(&bytes, 1), Err(TileError::TileLength { expected: 32, found: 64 }));
    assert_eq!(decode_tile(&bytes[..63], 2), Err(TileError::TileLength { expected: 64, found: 63 }));
    assert_eq!(decode_tile(&[], 0), Err(TileError::Width(0)));
    let full = vec![0; 257 * 32];
    assert!(decode_tile(&full[..256 * 32], 256).is_ok());
    assert_eq!(decode_tile(&full, 257), Err(TileError::Width(257)));
}

#[test]
fn known_entry_bundle() {
    let entries: Vec<String> = (0..256).map(|i| i.to_string()).collect();
    let bundle = encode_bundle(&entries).unwrap();
    assert_eq!(bundle.len(), 1170);
    let known = hash("94693d5c6d6a0355ec07bac8214516c1ce6a5100b0588f226fd95f26571157d7");
    assert_eq!(<[u8; 32]>::from(Sha256::digest(&bundle)), known);
    let decoded = decode_bundle(&bundle, 256).unwrap();
    assert!(decoded.iter().zip(&entries).all(|(a, b)| *a == b.as_bytes()));
}

#[test]
fn bundle_limits() {
    let none: [&[u8]; 0] = [];
    assert_eq!(encode_bundle(&none), Err(TileError::Width(0)));
    assert!(encode_bundle(&[b""; 256]).is_ok());
    assert_eq!(encode_bundle(&[b""; 257]), Err(TileError::Width(257)));
    let longest = vec![0; MAX_ENTRY_BYTES];
    let bundle = encode_bundle(&[&longest]).unwrap();
    assert_eq!(decode_bundle(&bundle, 1), Ok(vec![longest.as_slice()]));
    let too_long = vec![0; MAX_ENTRY_BYTES + 1];
    assert_eq!(encode_bundle(&[too_long]), Err(TileError::EntryLength(MAX_ENTRY_BYTES + 1)));
    assert_eq!(decode_bundle(&[], 0), Err(TileError::Width(0)));
    assert_eq!(decode_bundle(&[], 257), Err(TileError::Width(257)));
}

#[test]
fn damaged_bundles() {
    let bundle = encode_bundle(&["ab", "", "c"]).unwrap();
    assert_eq!(decode_bundle(&bundle, 3), Ok(vec![b"ab".as_slice(), b"", b"c"]));
    assert_eq!(decode_bundle(&bundle, 2), Err(TileError::BundleLong(3)));
    assert_eq!(decode_bundle(&bundle, 4), Err(TileError::BundleShort(3)));
    for cut in 0..bundle.len() {
        assert!(decode_bundle(&bundle[..cut], 3).is_err(), "cut at {cut}");
    }
}

fn any_resource() -> impl Strategy<Value = Resource> {
    let index = prop_oneof![any::<u64>(), 0_u64..5_000];
    (prop::option::of(0..=MAX_TILE_LEVEL), index, 1..=TILE_WIDTH).prop_map(
        |(level, index, width)| match level {
            Some(level) => Resource::Tile(TileId { level, index, width }),
            None => Resource::Entries { index, width },
        },
    )
}

proptest! {
    #[test]
    fn every_resource_has_one_path(resource in any_resource()) {
        prop_assert_eq!(Resource::parse(&resource.path()), Ok(resource));
    }

    #[test]
    fn accepted_paths_are_canonical(path in "tile/([0-9]{1,2}|entries)/(x?[0-9]{3}/){0,2}x?[0-9]{2,3}(\\.p/[0-9]{1,3})?|.{0,70}") {
        if let Ok(resource) = Resource::parse(&path) {
            prop_assert_eq!(resource.path(), path);
        }
    }

    #[test]
    fn mutated_paths_are_canonical_or_refused(resource in any_resource(), at in any::<prop::sample::Index>(), with in "[0-9x/.p]{0,2}") {
        let mut path = resource.path();
        let at = at.index(path.len());
        path.replace_range(at..=at, &with);
        if let Ok(resource) = Resource::parse(&path) {
            prop_assert_eq!(resource.path(), path);
        }
    }

    #[test]
    fn accepted_bundles_are_canonical(bytes in prop::collection::vec(prop_oneof![Just(0), Just(1), any::<u8>()], 0..64), width in 0_u16..6) {
        if let Ok(entries) = decode_bundle(&bytes, width) {
            prop_assert_eq!(encode_bundle(&entries), Ok(bytes.clone()));
        }
    }

    #[test]
    fn bundles_round_trip(entries in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..20)) {
        let bundle = encode_bundle(&entries).unwrap();
        let decoded = decode_bundle(&bundle, u16::try_from(entries.len()).unwrap());
        prop_assert_eq!(decoded, Ok(entries.iter().map(Vec::as_slice).collect()));
    }
}

//! Start-up after crashes, and what no crash explains.

use std::path::{Path, PathBuf};

use store::{OpenError, Opening, Recovered};
use tempfile::TempDir;

use crate::log::*;

/// What a frame begins with, and how long its header and hash are (see `journal/frame.rs`).
const MAGIC: &[u8] = b"deedsfr0";
const FRAME_HEADER: usize = 120;
const FRAME_HASH: usize = 32;

/// A log that was not closed, and the place of each frame in its last segment.
struct Left {
    data: TempDir,
    segment: PathBuf,
    bytes: Vec<u8>,
    frames: Vec<std::ops::Range<usize>>,
}

impl Left {
    fn with(batches: &[u64]) -> Self {
        let data = tempfile::tempdir().unwrap();
        unpublished(data.path(), batches);
        let segment = segments(data.path()).pop().unwrap();
        let bytes = std::fs::read(&segment).unwrap();
        let starts = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(MAGIC));
        let frame = |at: usize| {
            let length = u32::from_be_bytes(bytes[at + 8..at + 12].try_into().unwrap());
            at..at + usize::try_from(length).unwrap()
        };
        let frames = starts.map(frame).collect();
        Self { data, segment, bytes, frames }
    }

    fn path(&self) -> &Path {
        self.data.path()
    }

    /// Puts these bytes in the place of the last segment and opens the log.
    fn open_with(&self, bytes: &[u8]) -> Result<(u64, Recovered), OpenError> {
        overwrite(&self.segment, bytes);
        let opening = try_open(self.path())?;
        check_all(&opening.reader(), opening.size());
        Ok((opening.size(), opening.recovered().clone()))
    }
}

#[test]
fn a_last_frame_cut_at_any_length_is_dropped() {
    let left = Left::with(&[3, 2, 1]);
    let last = left.frames.last().unwrap().clone();
    for cut in last.clone() {
        let (size, recovered) = left.open_with(&left.bytes[..cut]).unwrap();
        assert_eq!((size, &recovered.aside), (5, &None), "cut at {cut}");
        let written = left.bytes[last.start..cut].iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
        assert_eq!(recovered.dropped_bytes, written as u64, "cut at {cut}");
        // cut back for good: the next start finds nothing to do
        assert_eq!(
            std::fs::metadata(&left.segment).unwrap().len(),
            if written > 0 { last.start } else { cut } as u64
        );
    }
    let (size, recovered) = left.open_with(&left.bytes[..last.end]).unwrap();
    assert_eq!((size, recovered.dropped_bytes), (6, 0));
}

#[test]
fn a_last_frame_that_was_not_written_to_its_end_is_dropped() {
    let left = Left::with(&[3, 2, 1]);
    let last = left.frames.last().unwrap().clone();
    let hash = last.end - FRAME_HASH;
    for written in last.clone() {
        let mut bytes = left.bytes.clone();
        bytes[written..].fill(0);
        let (size, recovered) = left.open_with(&bytes).unwrap();
        assert_eq!(size, 5, "written to {written}");
        // a part of the hash is there: it may have been there whole, so that is not said to be unwritten
        let is_in_hash = bytes[hash..last.end].iter().any(|byte| *byte != 0);
        assert_eq!(recovered.aside.is_some(), is_in_hash, "written to {written}");
        assert_eq!(recovered.dropped_bytes > 0, !is_in_hash && written > last.start, "written to {written}");
    }
}

#[test]
fn a_flipped_byte_in_the_last_frame_moves_it_aside() {
    let left = Left::with(&[3, 2, 1]);
    let last = left.frames.last().unwrap().clone();
    for position in last.clone() {
        let mut bytes = left.bytes.clone();
        bytes[position] ^= 0x80;
        let (size, recovered) = left.open_with(&bytes).unwrap();
        let aside = recovered.aside.unwrap();
        assert_eq!((size, recovered.dropped_bytes, aside.first), (5, 0, 5), "flip at {position}");
        let kept = std::fs::read(&aside.path).unwrap();
        let written = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
        assert_eq!((&kept[..], aside.bytes), (&bytes[last.start..written], kept.len() as u64));
    }
}

#[test]
fn a_flipped_byte_before_a_good_frame_is_refused() {
    let left = Left::with(&[3, 2, 1]);
    let middle = left.frames[1].clone();
    for position in middle.clone() {
        let mut bytes = left.bytes.clone();
        bytes[position] ^= 0x01;
        let refused = left.open_with(&bytes).unwrap_err();
        let OpenError::Damaged(damage) = &refused else { panic!("{refused}") };
        assert_eq!((&damage.path, damage.offset), (&left.segment, Some(middle.start as u64)));
        let text = refused.to_string();
        assert!(text.contains("the last good entry is 2;") && text.contains("restore"), "{text}");
        // and nothing was changed
        assert!(std::fs::read(&left.segment).unwrap() == bytes);
    }
    assert_eq!(left.open_with(&left.bytes).unwrap().0, 6);
}

#[test]
fn a_flipped_byte_in_a_segment_header_is_refused() {
    let left = Left::with(&[3, 2, 1]);
    for position in 0..left.frames[0].start {
        let mut bytes = left.bytes.clone();
        bytes[position] ^= 0x01;
        let refused = left.open_with(&bytes).unwrap_err();
        assert!(matches!(&refused, OpenError::Damaged(damage) if damage.path == left.segment), "{refused}");
    }
}

#[test]
fn damage_in_a_segment_before_the_last_one_is_refused_whatever_it_is() {
    let left = Left::with(&[40; 10]);
    let all = segments(left.path());
    assert!(all.len() > 2);
    let first = std::fs::read(&all[0]).unwrap();
    let frame = first.windows(8).rposition(|bytes| bytes == MAGIC).unwrap();
    let mut changed =
        vec![first[..frame + FRAME_HEADER].to_vec(), first[..frame + 3].to_vec(), first.clone()];
    changed[2][frame + FRAME_HEADER + 5] ^= 1;
    for bytes in changed {
        overwrite(&all[0], &bytes);
        let refused = try_open(left.path()).map(drop).unwrap_err();
        let OpenError::Damaged(damage) = &refused else { panic!("{refused}") };
        assert_eq!((&damage.path, damage.offset), (&all[0], Some(frame as u64)));
        assert!(refused.to_string().contains("a later segment follows"), "{refused}");
    }
    // a frame that is wholly missing shows in the first index of the next segment
    overwrite(&all[0], &first[..frame]);
    let refused = try_open(left.path()).map(drop).unwrap_err();
    let next = all[1].file_name().unwrap().to_str().unwrap();
    let text = refused.to_string();
    assert!(
        text.contains("/journal` is missing entries ") && text.contains(&format!("before `{next}`")),
        "{text}"
    );
}

#[test]
fn missing_segments_are_refused() {
    let left = Left::with(&[40; 10]);
    let all = segments(left.path());
    for missing in &all[..all.len() - 1] {
        let bytes = std::fs::read(missing).unwrap();
        std::fs::remove_file(missing).unwrap();
        let refused = try_open(left.path()).map(drop).unwrap_err();
        let OpenError::Damaged(damage) = &refused else { panic!("{refused}") };
        // no file that is there is called damaged, and no place is named that nobody knows
        assert_eq!((damage.path.as_path(), damage.offset), (missing.parent().unwrap(), None));
        let first = missing.file_stem().and_then(|stem| u64::from_str_radix(stem.to_str().unwrap(), 16).ok());
        let text = format!("is missing entries {} to ", first.unwrap());
        assert!(refused.to_string().contains(&text), "{refused}");
        overwrite(missing, &bytes);
    }
    assert_eq!(try_open(left.path()).unwrap().size(), 400);
}

#[test]
fn the_log_goes_on_after_a_dropped_and_after_a_moved_frame() {
    for damage in [
        |bytes: &mut Vec<u8>, last: std::ops::Range<usize>| bytes.truncate(last.end - 1),
        |bytes: &mut Vec<u8>, last: std::ops::Range<usize>| bytes[last.start + FRAME_HEADER] ^= 1,
    ] {
        // the damaged frame is the second of its segment, and the only one
        for batches in [&[3, 2][..], &[2][..]] {
            let left = Left::with(batches);
            let mut bytes = left.bytes.clone();
            damage(&mut bytes, left.frames.last().unwrap().clone());
            overwrite(&left.segment, &bytes);
            let kept = batches.iter().sum::<u64>() - 2;
            for round in 0..3 {
                let store = start(left.path());
                check_all(&store.reader(), kept + round * 10);
                append_count(&store, 10);
                publish(&store);
            }
            check_all(&try_open(left.path()).unwrap().reader(), kept + 30);
        }
    }
}

#[test]
fn what_was_published_is_never_dropped() {
    let data = tempfile::tempdir().unwrap();
    let copy = tempfile::tempdir().unwrap();
    let store = start(data.path());
    append_count(&store, 3);
    append_count(&store, 2);
    publish(&store);
    copy_dir(data.path(), copy.path());
    let segment = segments(copy.path()).pop().unwrap();
    let bytes = std::fs::read(&segment).unwrap();
    let last = bytes.windows(8).rposition(|bytes| bytes == MAGIC).unwrap();
    let mut flipped = bytes.clone();
    flipped[last + FRAME_HEADER] ^= 1;
    for changed in [flipped, bytes[..last + FRAME_HEADER].to_vec()] {
        overwrite(&segment, &changed);
        let refused = try_open(copy.path()).map(drop).unwrap_err();
        assert!(
            matches!(&refused, OpenError::Damaged(damage) if damage.offset == Some(last as u64)),
            "{refused}"
        );
        assert!(std::fs::read(&segment).unwrap() == changed);
    }
}

#[test]
fn an_older_journal_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let old = tempfile::tempdir().unwrap();
    let store = start(data.path());
    append_count(&store, 3);
    copy_dir(data.path(), old.path());
    append_count(&store, 2);
    store.close();
    for path in segments(data.path()) {
        std::fs::remove_file(path).unwrap();
    }
    copy_dir(&old.path().join("local/journal"), &data.path().join("local/journal"));
    let refused = try_open(data.path()).map(drop).unwrap_err();
    assert!(matches!(refused, OpenError::RolledBack { committed: 5, found: 3, .. }), "{refused}");
    for path in segments(data.path()) {
        std::fs::remove_file(path).unwrap();
    }
    let refused = try_open(data.path()).map(drop).unwrap_err();
    assert!(is_missing(&refused, &data.path().join("local/journal")), "{refused}");
}

/// Whether this file or directory is said to be missing, not an older one.
fn is_missing(refused: &OpenError, path: &Path) -> bool {
    matches!(refused, OpenError::Damaged(damage) if damage.path == path && damage.problem.starts_with("missing"))
}

#[test]
fn an_older_head_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let store = start(data.path());
    append_count(&store, 3);
    publish(&store);
    let old = std::fs::read(data.path().join("local/head")).unwrap();
    append_count(&store, 2);
    drop(store);
    overwrite(&data.path().join("local/head"), &old);
    let refused = try_open(data.path()).map(drop).unwrap_err();
    assert!(matches!(refused, OpenError::RolledBack { committed: 5, found: 3, .. }), "{refused}");
    let head = data.path().join("local/head");
    std::fs::remove_file(&head).unwrap();
    let refused = try_open(data.path()).map(drop).unwrap_err();
    assert!(is_missing(&refused, &head), "{refused}");
}

#[test]
fn a_damaged_tile_is_named() {
    let data = tempfile::tempdir().unwrap();
    let store = start(data.path());
    append_count(&store, 600);
    publish(&store);
    store.close();
    // a leaf of a full tile, which is read only for a proof; one of the tile at the edge; the root of a full one
    for tile in ["tile/0/001", "tile/0/002.p/88", "tile/1/000.p/2"] {
        let path = data.path().join("local/log").join(tile);
        let good = std::fs::read(&path).unwrap();
        let mut flipped = good.clone();
        flipped[40] ^= 1;
        overwrite(&path, &flipped);
        let proof = |log: Opening| log.reader().inclusion_proof(300, 600).map_err(OpenError::from);
        let refused = try_open(data.path()).and_then(proof).unwrap_err();
        assert!(matches!(&refused, OpenError::Damaged(damage) if damage.path == path), "{tile}: {refused}");
        overwrite(&path, &good);
    }
    check_all(&try_open(data.path()).unwrap().reader(), 600);
}

#[test]
fn another_history_under_the_checkpoint_is_refused() {
    // the same log key, other entries, more of them
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = start(one.path());
    append_count(&store, 3);
    drop(store);
    let store = start(other.path());
    let mut entries: Vec<_> = (0..5).map(entry).collect();
    entries[1].entry.push(0);
    append(&store, Draft::Push(entries)).unwrap();
    drop(store);
    let checkpoint = std::fs::read(one.path().join("local/log/checkpoint")).unwrap();
    overwrite(&other.path().join("local/log/checkpoint"), &checkpoint);
    let refused = try_open(other.path()).map(drop).unwrap_err();
    assert!(refused.to_string().contains("do not extend it"), "{refused}");
}

#[test]
fn the_directory_of_another_log_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let store = start(data.path());
    append_count(&store, 3);
    drop(store);
    let mut other = config(data.path());
    other.origin = "log.example/other".to_owned();
    let refused = store::Store::open(other).map(drop).unwrap_err();
    assert!(matches!(refused, OpenError::Damaged(_)), "{refused}");
    std::fs::remove_file(data.path().join("local/log/checkpoint")).unwrap();
    let mut other = config(data.path());
    other.origin = "log.example/other".to_owned();
    let refused = store::Store::open(other).map(drop).unwrap_err();
    assert!(matches!(refused, OpenError::OtherLog { .. }), "{refused}");
}

/// Every file of the log that a publication writes, with its bytes.
fn published_files(data: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let local = data.join("local");
    let paths =
        files(&local).into_iter().filter(|path| !path.starts_with("journal") && *path != Path::new("head"));
    paths.map(|path| (path.clone(), std::fs::read(local.join(path)).unwrap())).collect()
}

#[test]
fn an_unfinished_publication_is_finished_with_the_same_bytes() {
    let data = tempfile::tempdir().unwrap();
    let store = start(data.path());
    append_count(&store, 200);
    publish(&store);
    let committed = std::fs::read(data.path().join("local/head")).unwrap();
    let early: Vec<_> = published_files(data.path());
    append_count(&store, 100);
    // what is in the journal now stays there: the copy is a process that was killed here
    let crashed = tempfile::tempdir().unwrap();
    copy_dir(data.path(), crashed.path());
    publish(&store);
    let complete = published_files(data.path());
    let head = std::fs::read(data.path().join("local/head")).unwrap();
    drop(store);

    let fresh: Vec<_> = complete.iter().filter(|file| !early.contains(file)).collect();
    // killed after any number of files, before the head was swapped; the last steps come after it
    let after_head = |path: &Path| path.ends_with("log/checkpoint") || path.starts_with("checkpoints");
    let before_head: Vec<_> = fresh.iter().filter(|(path, _)| !after_head(path)).collect();
    assert!(before_head.len() >= 6, "{before_head:?}");
    for written in 0..=before_head.len() + 1 {
        let again = tempfile::tempdir().unwrap();
        copy_dir(crashed.path(), again.path());
        for (path, bytes) in before_head.iter().take(written) {
            let path = again.path().join("local").join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            overwrite(&path, bytes);
        }
        let is_swapped = written > before_head.len();
        overwrite(&again.path().join("local/head"), if is_swapped { &head } else { &committed });
        let store = start(again.path());
        assert_eq!(store.reader().published_size(), if is_swapped { 300 } else { 200 });
        check_all(&store.reader(), 300);
        publish(&store);
        assert!(published_files(again.path()) == complete, "killed after {written} files");
        check_all(&store.reader(), 300);
    }
}

//! What the tests share: a log in a temporary directory, and entries that follow from their index.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, channel};
use std::time::Duration;

use ed25519_dalek::SigningKey;
use store::{
    AppendError, Config, KeySlot, NewEntry, OpenError, Opening, Prepare, Reader, Sequenced, Store,
    WRAPPED_KEY_LEN,
};

/// Longer than anything here takes; a test that waits for it has failed.
pub(crate) const LONG: Duration = Duration::from_mins(2);

pub(crate) const ORIGIN: &str = "log.example/test";

/// What the tests queue.
pub(crate) enum Draft {
    /// Entries as they are.
    Push(Vec<NewEntry>),
    /// This many entries made from their index.
    Count(u64),
    /// Says that it has arrived and waits to be let go; pushes nothing.
    Hold(SyncSender<()>, Receiver<()>),
    /// Panics.
    Panic,
}

/// Replies with the number of entries in the log before the draft.
pub(crate) struct Plain;

impl Prepare for Plain {
    type Draft = Draft;
    type Reply = u64;

    fn prepare(&mut self, draft: Draft, next: u64, out: &mut Vec<NewEntry>) -> u64 {
        match draft {
            Draft::Push(entries) => out.extend(entries),
            Draft::Count(count) => out.extend((next..next + count).map(entry)),
            Draft::Hold(arrived, go) => {
                arrived.send(()).unwrap();
                go.recv().unwrap();
            }
            Draft::Panic => panic!("a draft that cannot be prepared"),
        }
        next
    }
}

pub(crate) fn signer() -> SigningKey {
    SigningKey::from_bytes(&[1; 32])
}

/// Small segments, and checkpoints only when asked for.
pub(crate) fn config(data: &Path) -> Config {
    let mut last = 0_u8;
    let random = move |bytes: &mut [u8]| {
        for byte in bytes {
            last = last.wrapping_mul(5).wrapping_add(101);
            *byte = last;
        }
    };
    let mut config =
        Config::new(data.join("local"), data.to_owned(), ORIGIN.to_owned(), signer(), Box::new(random));
    config.segment_bytes = 16_384;
    config.publish_entries = u64::MAX;
    config.publish_interval = LONG;
    config
}

pub(crate) fn try_open(data: &Path) -> Result<Opening, OpenError> {
    Store::open(config(data))
}

pub(crate) fn start(data: &Path) -> Store<Plain> {
    try_open(data).unwrap().start(Plain)
}

/// Queues a draft and waits for what becomes of it.
pub(crate) fn append(store: &Store<Plain>, draft: Draft) -> Result<Sequenced<u64>, AppendError> {
    let (sender, receiver) = channel();
    store.append(draft, move |result| sender.send(result).unwrap()).unwrap();
    receiver.recv_timeout(LONG).expect("the sequencer answers")
}

pub(crate) fn append_count(store: &Store<Plain>, count: u64) -> Sequenced<u64> {
    append(store, Draft::Count(count)).unwrap()
}

/// Publishes all there is and waits for it.
pub(crate) fn publish(store: &Store<Plain>) {
    let reader = store.reader();
    assert!(reader.wait_published(reader.size(), LONG));
}

/// A log of this many entries that was closed without a checkpoint: its process was killed, as far as
/// the directory tells.
pub(crate) fn unpublished(data: &Path, batches: &[u64]) {
    let copy = tempfile::tempdir().unwrap();
    let store = start(copy.path());
    for count in batches {
        append_count(&store, *count);
    }
    copy_dir(copy.path(), data);
}

/// The entry that [`Draft::Count`] makes at an index.
pub(crate) fn entry(index: u64) -> NewEntry {
    let length = usize::try_from(index % 50).unwrap();
    let byte = u8::try_from(index % 251).unwrap();
    NewEntry {
        entry: [format!("entry {index} ").into_bytes(), vec![byte; length]].concat(),
        body: if index.is_multiple_of(3) { Vec::new() } else { vec![byte; length + 1] },
        key: (!index.is_multiple_of(5)).then_some([byte; WRAPPED_KEY_LEN]),
    }
}

/// Everything that was appended by index is read back.
pub(crate) fn check_all(reader: &Reader, size: u64) {
    assert_eq!(reader.size(), size);
    let entries = reader.entries(0, usize::MAX).unwrap();
    assert_eq!(entries.len() as u64, size);
    for (index, found) in (0..).zip(&entries) {
        let NewEntry { entry, body, key } = entry(index);
        assert_eq!(*found, entry, "entry {index}");
        assert_eq!(reader.body(index).unwrap(), Some(body).filter(|body| !body.is_empty()), "body {index}");
        assert_eq!(reader.key(index).unwrap(), key.map_or(KeySlot::Absent, KeySlot::Present), "key {index}");
    }
}

pub(crate) fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name())).unwrap();
        if path.is_dir() {
            copy_dir(&path, &to.join(name));
        } else {
            std::fs::copy(&path, to.join(name)).unwrap();
        }
    }
}

/// All files below a directory, by their path in it, sorted.
pub(crate) fn files(below: &Path) -> Vec<PathBuf> {
    fn visit(root: &Path, directory: &Path, files: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                visit(root, &path, files);
            } else {
                files.push(path.strip_prefix(root).unwrap().to_owned());
            }
        }
    }
    let mut found = Vec::new();
    visit(below, below, &mut found);
    found.sort();
    found
}

/// The journal segments of a log, oldest first.
pub(crate) fn segments(data: &Path) -> Vec<PathBuf> {
    let journal = data.join("local/journal");
    let names = files(&journal).into_iter().filter(|path| path.extension().is_some_and(|name| name == "seg"));
    names.map(|name| journal.join(name)).collect()
}

/// Changes the bytes of a file, whatever its mode.
pub(crate) fn overwrite(path: &Path, bytes: &[u8]) {
    let _ = std::fs::remove_file(path);
    std::fs::write(path, bytes).unwrap();
}

//! What needs a look inside: a disk that is full when the next segment is reserved.

use std::path::Path;
use std::sync::mpsc::channel;
use std::time::Duration;

use super::*;

const LONG: Duration = Duration::from_mins(2);

struct Bytes;

impl Prepare for Bytes {
    type Draft = Vec<u8>;
    type Reply = ();

    fn prepare(&mut self, entry: Vec<u8>, _: u64, out: &mut Vec<NewEntry>) {
        out.push(NewEntry { entry, body: Vec::new(), key: None });
    }
}

fn open(data: &Path) -> Opening {
    let signer = ed25519_dalek::SigningKey::from_bytes(&[1; 32]);
    let random = Box::new(|bytes: &mut [u8]| bytes.fill(7));
    let mut config =
        Config::new(data.join("local"), data.to_owned(), "log.example/full".to_owned(), signer, random);
    config.segment_bytes = limits::MIN_SEGMENT_BYTES;
    Store::open(config).unwrap()
}

fn append(store: &Store<Bytes>, entry: &[u8]) -> Result<Sequenced<()>, AppendError> {
    let (sender, receiver) = channel();
    store.append(entry.to_vec(), move |result| sender.send(result).unwrap()).unwrap();
    receiver.recv_timeout(LONG).unwrap()
}

#[test]
fn a_full_disk_refuses_appends_before_they_are_prepared_and_reading_goes_on() {
    // a file system in memory knows its size, and refuses more at once
    let data = tempfile::tempdir_in("/dev/shm").unwrap();
    let store = open(data.path()).start(Bytes);
    append(&store, b"before").unwrap();
    drop(store);

    let mut opening = open(data.path());
    opening.parts.journal.segment_bytes = 1 << 50;
    let store = opening.start(Bytes);
    let refused = append(&store, b"refused").unwrap_err();
    assert_eq!(refused, AppendError::NoSpace { journal: data.path().join("local/journal") });
    let reader = store.reader();
    assert_eq!((reader.size(), reader.entry(0).unwrap()), (1, b"before".to_vec()));
    assert!(reader.wait_published(1, LONG));
    drop(store);

    let store = open(data.path()).start(Bytes);
    assert_eq!(append(&store, b"after").unwrap().first, 1);
}

#[test]
fn configurations_that_cannot_work_are_refused() {
    let data = tempfile::tempdir().unwrap();
    let refuses = |change: &dyn Fn(&mut Config)| {
        let signer = ed25519_dalek::SigningKey::from_bytes(&[1; 32]);
        let random = Box::new(|bytes: &mut [u8]| bytes.fill(7));
        let dir = data.path().join("local");
        let mut config = Config::new(dir, data.path().to_owned(), "log.example/t".to_owned(), signer, random);
        change(&mut config);
        matches!(config.check(), Err(OpenError::Config(_)))
    };
    assert!(!refuses(&|_| ()));
    assert!(!refuses(&|config| config.segment_bytes = limits::MIN_SEGMENT_BYTES));
    assert!(refuses(&|config| config.segment_bytes = limits::MIN_SEGMENT_BYTES - 1));
    assert!(!refuses(&|config| config.segment_bytes = limits::MAX_SEGMENT_BYTES));
    assert!(refuses(&|config| config.segment_bytes = limits::MAX_SEGMENT_BYTES + 1));
    assert!(refuses(&|config| config.publish_entries = 0));
    assert!(refuses(&|config| config.publish_interval = Duration::ZERO));
    assert!(refuses(&|config| config.queue_entries = 0));
    assert!(refuses(&|config| config.origin = "two\nlines".to_owned()));
    assert!(refuses(&|config| config.origin = "a space".to_owned()));
}

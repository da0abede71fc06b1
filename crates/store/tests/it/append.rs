//! Appending, reading back, receipts, checkpoints.

use std::sync::mpsc::{channel, sync_channel};
use std::time::Duration;

use store::limits::{BATCH_ENTRIES, MAX_BODY_BYTES, MAX_ENTRY_BYTES};
use store::{AppendError, NewEntry, QueueFull, ReadError, Receipt};
use tlog::leaf_hash;
use tlog::note::{self, VerifierKey};
use tlog::proof::verify_consistency;

use crate::log::*;

fn check_receipt(receipt: &Receipt, index: u64) {
    assert_eq!(receipt.index, index);
    assert_eq!(receipt.log_id, leaf_hash(&entry(0).entry));
    receipt.verify(&leaf_hash(&entry(index).entry), &signer().verifying_key()).unwrap();
}

#[test]
fn what_is_appended_is_read_back_before_and_after_publication_and_restart() {
    let data = tempfile::tempdir().unwrap();
    let store = start(data.path());
    let reader = store.reader();
    assert_eq!((reader.size(), reader.log_id()), (0, None));
    let mut size = 0;
    for count in [1, 2, 300, 7] {
        let sequenced = append_count(&store, count);
        assert_eq!((sequenced.reply, sequenced.first, u64::from(sequenced.count)), (size, size, count));
        assert_eq!(sequenced.receipts.len() as u64, count);
        (size..).zip(&sequenced.receipts).for_each(|(index, receipt)| check_receipt(receipt, index));
        size += count;
        check_all(&reader, size);
    }
    publish(&store);
    check_all(&reader, size);
    append_count(&store, 5);
    check_all(&reader, size + 5);
    store.close();
    check_all(&reader, size + 5);
    drop(store);

    let opening = try_open(data.path()).unwrap();
    assert_eq!((opening.size(), opening.recovered().epoch), (size + 5, 2));
    assert_eq!((opening.recovered().dropped_bytes, &opening.recovered().aside), (0, &None));
    check_all(&opening.reader(), size + 5);
    assert_eq!(opening.reader().log_id(), Some(leaf_hash(&entry(0).entry)));
}

#[test]
fn drafts_that_wait_together_become_one_batch_with_one_signature() {
    let data = tempfile::tempdir().unwrap();
    let store = start(data.path());
    let (arrived, has_arrived) = sync_channel(1);
    let (go, may_go) = sync_channel(1);
    let (sender, receiver) = channel();
    store.append(Draft::Hold(arrived, may_go), |held| assert!(held.unwrap().receipts.is_empty())).unwrap();
    has_arrived.recv_timeout(LONG).unwrap();
    for count in [2, 0, 3] {
        let sender = sender.clone();
        store.append(Draft::Count(count), move |result| sender.send(result.unwrap()).unwrap()).unwrap();
    }
    go.send(()).unwrap();
    let answers: Vec<_> = (0..3).map(|_| receiver.recv_timeout(LONG).unwrap()).collect();
    let places: Vec<_> = answers.iter().map(|answer| (answer.reply, answer.first, answer.count)).collect();
    assert_eq!(places, [(0, 0, 2), (2, 2, 0), (2, 2, 3)]);
    let receipts: Vec<_> = answers.into_iter().flat_map(|answer| answer.receipts).collect();
    for (index, receipt) in (0..).zip(&receipts) {
        check_receipt(receipt, index);
        assert_eq!((receipt.first, receipt.count, receipt.size), (0, 5, 5));
        assert_eq!(receipt.signature, receipts[0].signature);
    }
    publish(&store);
    assert_eq!(store.reader().root(5).unwrap(), receipts[0].root);
}

#[test]
fn a_draft_without_entries_is_answered_and_leaves_no_trace() {
    let data = tempfile::tempdir().unwrap();
    let store = start(data.path());
    append_count(&store, 3);
    let before = std::fs::read(&segments(data.path())[0]).unwrap();
    let sequenced = append_count(&store, 0);
    assert_eq!((sequenced.first, sequenced.count, sequenced.receipts.len()), (3, 0, 0));
    assert_eq!(std::fs::read(&segments(data.path())[0]).unwrap(), before);
}

#[test]
fn the_queue_holds_its_limit_and_not_one_more() {
    let data = tempfile::tempdir().unwrap();
    let mut config = config(data.path());
    config.queue_entries = 3;
    let store = store::Store::open(config).unwrap().start(Plain);
    let (arrived, has_arrived) = sync_channel(1);
    let (go, may_go) = sync_channel(1);
    let (sender, receiver) = channel();
    store.append(Draft::Hold(arrived, may_go), drop).unwrap();
    has_arrived.recv_timeout(LONG).unwrap();
    let append_one = || {
        let sender = sender.clone();
        store.append(Draft::Count(1), move |result| sender.send(result.unwrap().first).unwrap())
    };
    assert_eq!([append_one(), append_one(), append_one()], [Ok(()), Ok(()), Ok(())]);
    assert_eq!(append_one(), Err(QueueFull { waiting: 3 }));
    go.send(()).unwrap();
    let firsts: Vec<_> = (0..3).map(|_| receiver.recv_timeout(LONG).unwrap()).collect();
    assert_eq!(firsts, [0, 1, 2]);
    assert_eq!(append_one(), Ok(()));
    assert_eq!(receiver.recv_timeout(LONG).unwrap(), 3);
}

#[test]
fn a_promised_append_is_taken_in_by_a_full_queue() {
    let data = tempfile::tempdir().unwrap();
    let mut config = config(data.path());
    config.queue_entries = 1;
    let store = store::Store::open(config).unwrap().start(Plain);
    let (arrived, has_arrived) = sync_channel(1);
    let (go, may_go) = sync_channel(1);
    let (sender, receiver) = channel();
    store.append(Draft::Hold(arrived, may_go), drop).unwrap();
    has_arrived.recv_timeout(LONG).unwrap();
    store.append(Draft::Count(1), drop).unwrap();
    assert_eq!(store.append(Draft::Count(1), drop), Err(QueueFull { waiting: 1 }));
    store
        .append_promised(Draft::Count(1), move |result| sender.send(result.unwrap().first).unwrap())
        .unwrap();
    go.send(()).unwrap();
    assert_eq!(receiver.recv_timeout(LONG).unwrap(), 1);
}

#[test]
fn a_lost_receipt_is_made_again() {
    let data = tempfile::tempdir().unwrap();
    let store = start(data.path());
    let receipts: Vec<_> = [2, 300].iter().flat_map(|count| append_count(&store, *count).receipts).collect();
    for (index, receipt) in (0..).zip(&receipts) {
        assert_eq!(store.receipt(index).unwrap(), *receipt);
    }
    publish(&store);
    for index in [0, 1, 2, 255, 256, 301] {
        let again = store.receipt(index).unwrap();
        check_receipt(&again, index);
        assert_eq!((again.first, again.count, again.size), (index, 1, index + 1));
        assert_eq!(again.root, store.reader().root(index + 1).unwrap());
    }
    assert!(matches!(store.receipt(302), Err(ReadError::OutOfRange { index: 302, size: 302 })));
}

#[test]
fn a_closed_store_has_published_everything_and_refuses_more() {
    let data = tempfile::tempdir().unwrap();
    let store = start(data.path());
    append_count(&store, 10);
    store.close();
    assert_eq!(append(&store, Draft::Count(1)).unwrap_err(), AppendError::Closed);
    let reader = store.reader();
    assert_eq!(reader.published_size(), 10);
    // nothing will come any more, so nobody waits for it
    assert_eq!(reader.wait_size_above(10, LONG), 10);
    assert!(!reader.wait_published(11, LONG));
    // and the lock is free
    assert_eq!(try_open(data.path()).unwrap().size(), 10);
}

#[test]
fn who_waits_is_woken_by_the_entry_and_by_the_checkpoint() {
    let data = tempfile::tempdir().unwrap();
    let store = start(data.path());
    let reader = store.reader();
    assert_eq!(reader.wait_size_above(0, Duration::from_millis(1)), 0);
    assert!(!reader.wait_published(1, Duration::from_millis(1)));
    assert!(reader.wait_published(0, LONG));
    let waiting =
        std::thread::spawn(move || (reader.wait_size_above(0, LONG), reader.wait_published(2, LONG)));
    append_count(&store, 1);
    append_count(&store, 1);
    let (size, is_published) = waiting.join().unwrap();
    assert!((1..=2).contains(&size), "{size}");
    assert!(is_published);
}

#[test]
fn enough_entries_are_published_without_anybody_asking() {
    let data = tempfile::tempdir().unwrap();
    let mut config = config(data.path());
    config.publish_entries = 4;
    let store = store::Store::open(config).unwrap().start(Plain);
    append_count(&store, 3);
    append_count(&store, 1);
    let reader = store.reader();
    // a size that no request can ask for, because it is not durable
    assert!(!reader.wait_published(5, Duration::from_millis(1)));
    let deadline = (0..1_000).find(|_| {
        reader.wait_published(5, Duration::from_millis(20));
        reader.published_size() == 4
    });
    assert!(deadline.is_some());
}

#[test]
fn a_checkpoint_is_made_after_the_interval() {
    let data = tempfile::tempdir().unwrap();
    let mut config = config(data.path());
    config.publish_interval = Duration::from_millis(5);
    let store = store::Store::open(config).unwrap().start(Plain);
    append_count(&store, 1);
    let reader = store.reader();
    let published = (0..1_000).find(|_| {
        reader.wait_published(2, Duration::from_millis(20));
        reader.published_size() == 1
    });
    assert!(published.is_some());
}

#[test]
fn every_checkpoint_is_signed_kept_and_extends_the_one_before_across_restarts() {
    let data = tempfile::tempdir().unwrap();
    let key = VerifierKey::ed25519(ORIGIN, signer().verifying_key()).unwrap();
    let mut before = (0, tlog::empty_root());
    for round in 1..=8 {
        let store = start(data.path());
        append_count(&store, round * 37);
        publish(&store);
        let reader = store.reader();
        let (checkpoint, text) = reader.checkpoint().unwrap();
        assert_eq!(note::open(&text, std::slice::from_ref(&key)).unwrap().text, checkpoint.to_text());
        let kept = data.path().join(format!("local/checkpoints/{}", checkpoint.size));
        assert_eq!(std::fs::read(kept).unwrap(), text);
        assert_eq!(std::fs::read(reader.log_dir().join("checkpoint")).unwrap(), text);
        let proof = reader.consistency_proof(before.0, checkpoint.size).unwrap();
        verify_consistency(before.0, &before.1, checkpoint.size, &checkpoint.root, &proof).unwrap();
        before = (checkpoint.size, checkpoint.root);
    }
    assert_eq!(before.0, 37 * 36);
}

#[test]
fn proofs_are_made_for_published_sizes_only() {
    let data = tempfile::tempdir().unwrap();
    let store = start(data.path());
    let reader = store.reader();
    append_count(&store, 300);
    assert!(matches!(reader.checkpoint(), Err(ReadError::NotPublished { published: 0, .. })));
    assert!(matches!(
        reader.inclusion_proof(0, 300),
        Err(ReadError::NotPublished { size: 300, published: 0 })
    ));
    publish(&store);
    append_count(&store, 1);
    for size in [1, 2, 255, 256, 257, 299, 300] {
        let root = reader.root(size).unwrap();
        for index in [0, size / 2, size - 1] {
            let path = reader.inclusion_proof(index, size).unwrap();
            let leaf = leaf_hash(&entry(index).entry);
            tlog::proof::verify_inclusion(index, size, &leaf, &path, &root).unwrap();
        }
        assert!(matches!(reader.inclusion_proof(size, size), Err(ReadError::NoProof { .. })));
    }
    assert!(matches!(
        reader.inclusion_proof(0, 301),
        Err(ReadError::NotPublished { size: 301, published: 300 })
    ));
    assert!(matches!(reader.consistency_proof(300, 299), Err(ReadError::NoProof { .. })));
    assert!(matches!(reader.entry(301), Err(ReadError::OutOfRange { index: 301, size: 301 })));
    assert!(matches!(reader.body(301), Err(ReadError::OutOfRange { .. })));
    assert!(matches!(reader.key(301), Err(ReadError::OutOfRange { .. })));
    assert_eq!(reader.entries(301, 10).unwrap(), Vec::<Vec<u8>>::new());
    assert!(matches!(reader.entries(302, 10), Err(ReadError::OutOfRange { .. })));
}

#[test]
fn bodies_and_keys_outlive_the_segments_they_came_in() {
    let data = tempfile::tempdir().unwrap();
    let store = start(data.path());
    for _ in 0..40 {
        append_count(&store, 20);
    }
    let before = segments(data.path());
    assert!(before.len() > 5, "{} segments", before.len());
    publish(&store);
    store.close();
    // 800 entries: three full body bundles, and the bodies from 768 on are in the journal alone
    let after = segments(data.path());
    assert!(after.len() < 4 && before.ends_with(&after), "{after:?}");
    assert_eq!(files(&data.path().join("local/bodies")).len(), 3);
    check_all(&store.reader(), 800);
    drop(store);
    let store = start(data.path());
    check_all(&store.reader(), 800);
    append_count(&store, 3);
    check_all(&store.reader(), 803);
}

#[test]
fn the_largest_entry_body_and_batch_fit() {
    let data = tempfile::tempdir().unwrap();
    let store = start(data.path());
    let largest = NewEntry { entry: vec![1; MAX_ENTRY_BYTES], body: vec![2; MAX_BODY_BYTES], key: None };
    append(&store, Draft::Push(vec![largest.clone()])).unwrap();
    let tiny = NewEntry { entry: Vec::new(), body: Vec::new(), key: None };
    let sequenced = append(&store, Draft::Push(vec![tiny; BATCH_ENTRIES])).unwrap();
    assert_eq!(sequenced.receipts.len(), BATCH_ENTRIES);
    let reader = store.reader();
    for _ in 0..2 {
        assert_eq!(reader.entry(0).unwrap(), largest.entry);
        assert_eq!(reader.body(0).unwrap(), Some(largest.body.clone()));
        assert_eq!(reader.entry(4_096).unwrap(), Vec::<u8>::new());
        publish(&store);
    }
}

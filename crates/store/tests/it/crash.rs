//! `kill -9` at random moments: no receipt is ever broken, no checkpoint is ever contradicted.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::Stdio;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};

use store::{Receipt, Sequenced, Store};
use tlog::leaf_hash;
use tlog::proof::verify_consistency;

use crate::log::*;
use crate::process::child;

const ROUNDS: usize = 12;

/// In the child: appends for ever with several drafts under way, publishes often, and says each receipt
/// that it got.
pub(crate) fn write_until_killed(data: &Path) {
    let mut config = config(data);
    config.publish_entries = 64;
    config.queue_entries = 16;
    let store = Store::open(config).unwrap().start(Plain);
    let (started, ended) = sync_channel(12);
    let ended = Arc::new(Mutex::new(ended));
    for number in 0_u64.. {
        let say = |receipts: Vec<Receipt>| {
            let mut stdout = std::io::stdout().lock();
            for receipt in receipts {
                writeln!(stdout, "\nreceipt {}", serde_json::to_string(&receipt).unwrap()).unwrap();
            }
        };
        started.send(()).unwrap();
        let ended = ended.clone();
        let done = move |result: Result<Sequenced<u64>, _>| {
            say(result.unwrap().receipts);
            ended.lock().unwrap().recv().unwrap();
        };
        store.append(Draft::Count(number % 7), done).unwrap();
    }
}

/// Starts the child, kills it after this many receipts, and gives all that it said.
fn receipts_until_killed(data: &Path, count: usize) -> Vec<Receipt> {
    let mut child = child("write", data).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut receipts = Vec::new();
    let mut is_killed = false;
    // to the end of the pipe: what was said before the kill counts too
    while let Some(line) = lines.next() {
        let Some(json) = line.strip_prefix("receipt ") else { continue };
        match serde_json::from_str(json) {
            Ok(receipt) => receipts.push(receipt),
            Err(error) => assert!(is_killed && lines.next().is_none(), "{json}: {error}"),
        }
        if receipts.len() >= count && !is_killed {
            child.kill().unwrap();
            is_killed = true;
        }
    }
    child.wait().unwrap();
    assert!(is_killed, "the child ended by itself after {} receipts", receipts.len());
    receipts
}

#[test]
fn every_receipt_survives_kill_9_and_every_checkpoint_extends_the_one_before() {
    let data = tempfile::tempdir().unwrap();
    let key = signer().verifying_key();
    let mut receipts = Vec::new();
    let mut checkpoint = (0, tlog::empty_root());
    for round in 0..ROUNDS {
        receipts.extend(receipts_until_killed(data.path(), 3 + round * 41 % 300));
        let store = start(data.path());
        let reader = store.reader();
        check_all(&reader, reader.size());
        publish(&store);
        for receipt in &receipts {
            let leaf = leaf_hash(&reader.entry(receipt.index).unwrap());
            receipt.verify(&leaf, &key).unwrap();
            assert_eq!(reader.log_id(), Some(receipt.log_id));
            assert_eq!(reader.root(receipt.size).unwrap(), receipt.root);
        }
        let (newest, _) = reader.checkpoint().unwrap();
        let proof = reader.consistency_proof(checkpoint.0, newest.size).unwrap();
        verify_consistency(checkpoint.0, &checkpoint.1, newest.size, &newest.root, &proof).unwrap();
        checkpoint = (newest.size, newest.root);
    }
    assert!(receipts.len() >= 3 * ROUNDS);
}

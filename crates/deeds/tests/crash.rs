//! The server is killed again and again in the middle of work; nothing that it promised is lost.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at what it did not expect"
)]
#![allow(clippy::indexing_slicing, reason = "a test stops at what it did not expect")]

mod support;

use std::path::PathBuf;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use ed25519_dalek::SigningKey;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use store::{Receipt, Store};
use support::{DEEDS, Data, Mcp};
use testkit::SeededRandom;

const WRAPS: usize = 4;
const KILLS: usize = 100;

fn receipts_file(data: &Data, wrap: usize) -> PathBuf {
    data.path().join(format!("receipts-{wrap}.jsonl"))
}

/// One wrapped server, called until told to stop. Says after each permitted call that there was one.
fn keep_calling(data: &Data, wrap: usize, done: &Done, progress: &Sender<()>) {
    let mut command = data.command();
    command
        .args(["wrap", "--name", &format!("edr{wrap}"), "--receipts"])
        .arg(receipts_file(data, wrap))
        .args(["--", DEEDS, "player", "tool", "edr", "--journal"])
        .arg(data.path().join(format!("edr-{wrap}.jsonl")));
    let mut client = Mcp::start(&mut command);
    let mut call = 0_u64;
    let mut pause = Duration::ZERO;
    while !done.within(pause) {
        call += 1;
        let host = format!("ws-{wrap}-{call}");
        // while the server is away calls are refused; trying again at once would only keep it from starting
        pause = match client.call("isolate_host", &json!({"host": host})) {
            Ok(_) => Duration::ZERO,
            Err(_) => Duration::from_millis(20),
        };
        if pause.is_zero() {
            progress.send(()).unwrap();
        }
    }
    client.close();
}

/// Set once, waited for by all.
#[derive(Default)]
struct Done(Mutex<bool>, Condvar);

impl Done {
    fn within(&self, time: Duration) -> bool {
        let done = self.0.lock().unwrap();
        *self.1.wait_timeout_while(done, time, |done| !*done).unwrap().0
    }

    fn set(&self) {
        *self.0.lock().unwrap() = true;
        self.1.notify_all();
    }
}

fn kill_server(data: &Data) -> bool {
    let pid = data.server_pid().and_then(Pid::from_raw);
    pid.is_some_and(|pid| kill_process(pid, Signal::KILL).is_ok())
}

#[test]
fn nothing_that_was_promised_is_lost_when_the_server_is_killed_100_times() {
    let data = Arc::new(Data::new());
    let done = Arc::new(Done::default());
    let (progress, made) = channel();
    let wraps: Vec<_> = (0..WRAPS)
        .map(|wrap| {
            let (data, done, progress) = (Arc::clone(&data), Arc::clone(&done), progress.clone());
            thread::spawn(move || keep_calling(&data, wrap, &done, &progress))
        })
        .collect();
    let mut random = SeededRandom::named("kills");
    let mut kills = 0;
    while kills < KILLS {
        // a random number of permitted calls, so that the kill falls anywhere in the life of the next ones
        for _ in 0..=random.below(12) {
            made.recv().unwrap();
        }
        kills += usize::from(kill_server(&data));
    }
    done.set();
    for wrap in wraps {
        wrap.join().unwrap();
    }
    check_outcomes(&data);
    data.stop();
    check_promises(&data);
}

/// Every permitted act has one outcome, and the ones that nobody can know are shown as unknown.
fn check_outcomes(data: &Data) {
    let mut before: Option<String> = None;
    let (mut acts, mut unknown) = (0, 0);
    loop {
        let mut args = vec!["did", "--limit", "1000"];
        if let Some(before) = &before {
            args.extend(["--before", before]);
        }
        let did = data.json(&args);
        let rows = did["actions"].as_array().unwrap();
        for row in rows {
            if row["verdict"]["value"] == "allow" {
                let status =
                    row["outcome"]["status"]["value"].as_str().unwrap_or_else(|| panic!("open: {row}"));
                assert!(["ok", "unknown", "not-forwarded"].contains(&status), "{row}");
                acts += 1;
                unknown += usize::from(status == "unknown");
            }
        }
        match rows.last() {
            Some(last) if rows.len() == 1_000 => before = Some(format!("@{}", last["index"])),
            _ => break,
        }
    }
    assert!(acts >= KILLS, "{acts} acts were permitted");
    eprintln!("{acts} permitted acts, {unknown} with unknown outcome");
}

/// Every receipt verifies against the log as it is now, and every checkpoint extends the one before.
fn check_promises(data: &Data) {
    let reader = open_log(data);
    let key = log_key(data).verifying_key();
    let mut receipts = 0;
    for wrap in 0..WRAPS {
        for line in std::fs::read_to_string(receipts_file(data, wrap)).unwrap().lines() {
            let receipt: Receipt = serde_json::from_str(line).unwrap();
            let leaf = tlog::leaf_hash(&reader.entry(receipt.index).unwrap());
            receipt.verify(&leaf, &key).unwrap_or_else(|error| panic!("@{}: {error}", receipt.index));
            receipts += 1;
        }
    }
    assert!(receipts >= KILLS, "{receipts} receipts were given");
    let mut sizes: Vec<u64> = std::fs::read_dir(data.data().join("local/checkpoints"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap().parse().unwrap())
        .collect();
    sizes.sort_unstable();
    for (old, new) in sizes.iter().zip(sizes.iter().skip(1)) {
        let note = |size: &u64| checkpoint(data, *size);
        let (old, new) = (note(old), note(new));
        let path = reader.consistency_proof(old.size, new.size).unwrap();
        tlog::proof::verify_consistency(old.size, &old.root, new.size, &new.root, &path).unwrap();
    }
    eprintln!("{receipts} receipts and {} checkpoints verify", sizes.len());
}

fn checkpoint(data: &Data, size: u64) -> tlog::checkpoint::Checkpoint {
    let note = std::fs::read(data.data().join(format!("local/checkpoints/{size}"))).unwrap();
    let signer = log_key(data);
    let origin = recorder::origin_of(&signer);
    let key = tlog::note::VerifierKey::ed25519(&origin, signer.verifying_key()).unwrap();
    let opened = tlog::note::open(&note, &[key]).unwrap();
    tlog::checkpoint::Checkpoint::parse(&opened.text).unwrap().checkpoint
}

fn log_key(data: &Data) -> SigningKey {
    let text = std::fs::read_to_string(data.data().join("keys/log.key")).unwrap();
    let bytes = evidence::digest::unhex(text.trim()).unwrap();
    SigningKey::from_bytes(&bytes.try_into().unwrap())
}

fn open_log(data: &Data) -> store::Reader {
    let signer = log_key(data);
    let origin = recorder::origin_of(&signer);
    let mut random = SeededRandom::named("reader");
    let fill = Box::new(move |buffer: &mut [u8]| random.fill(buffer));
    let config = store::Config::new(data.data().join("local"), data.data(), origin, signer, fill);
    Store::open(config).unwrap().reader()
}

//! The store in processes of their own: the lock, and failures that end the process.

use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use store::NewEntry;
use store::limits::MAX_ENTRY_BYTES;

use crate::log::*;

/// Tells the child what to do: `<role> <data directory>`.
const CHILD: &str = "STORE_TEST_CHILD";

const SIGABRT: i32 = 6;

/// This test binary again, as another process that plays a role in a data directory.
pub(crate) fn child(role: &str, data: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "process::plays_its_role_when_started_as_a_child", "--nocapture"]);
    command.env(CHILD, format!("{role} {}", data.display())).stdin(Stdio::null());
    command
}

fn run(role: &str, data: &Path) -> Output {
    child(role, data).output().unwrap()
}

#[test]
fn plays_its_role_when_started_as_a_child() {
    let Some(role) = std::env::var_os(CHILD) else { return };
    let role = role.into_string().unwrap();
    let (role, data) = role.split_once(' ').unwrap();
    let data = Path::new(data);
    match role {
        "open" => say(&try_open(data).map(|opening| opening.size())),
        "write" => crate::crash::write_until_killed(data),
        "flip" => flip_and_publish(data),
        "panic" => end_with(data, Draft::Panic),
        "too-long" => {
            let entry = vec![0; MAX_ENTRY_BYTES + 1];
            end_with(data, Draft::Push(vec![NewEntry { entry, body: Vec::new(), key: None }]));
        }
        other => panic!("no role `{other}`"),
    }
}

fn say(what: &dyn std::fmt::Debug) {
    std::io::stdout().write_all(format!("\nsaid {what:?}\n").as_bytes()).unwrap();
}

/// Appends two entries, then a draft that ends the process.
fn end_with(data: &Path, draft: Draft) {
    let store = start(data);
    say(&append_count(&store, 2).first);
    say(&append(&store, draft).map(|sequenced| sequenced.first));
}

/// Appends two entries, flips a bit of the second on the disk, and asks for a checkpoint.
fn flip_and_publish(data: &Path) {
    let store = start(data);
    append_count(&store, 1);
    say(&append_count(&store, 1).first);
    let segment = segments(data).pop().unwrap();
    let bytes = std::fs::read(&segment).unwrap();
    let last = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    let file = std::fs::File::options().write(true).open(&segment).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &[bytes[last - 40] ^ 1], (last - 40) as u64).unwrap();
    say(&store.reader().wait_published(2, LONG));
}

fn said(output: &Output) -> String {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines().filter_map(|line| line.strip_prefix("said ")).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_second_process_is_told_which_one_has_the_log() {
    let data = tempfile::tempdir().unwrap();
    let store = start(data.path());
    append_count(&store, 1);
    let refused = said(&run("open", data.path()));
    assert!(
        refused.contains("Locked") && refused.contains(&format!("process {}", std::process::id())),
        "{refused}"
    );
    drop(store);
    assert_eq!(said(&run("open", data.path())), "Ok(1)");
}

#[test]
fn a_panic_while_preparing_ends_the_process_and_loses_nothing_acknowledged() {
    let data = tempfile::tempdir().unwrap();
    let output = run("panic", data.path());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.signal(), said(&output)), (Some(SIGABRT), "0".to_owned()), "{stderr}");
    assert!(stderr.contains("deeds: the store stops this process: the sequencer panicked"), "{stderr}");
    check_all(&try_open(data.path()).unwrap().reader(), 2);
}

#[test]
fn an_entry_over_the_limit_ends_the_process() {
    let data = tempfile::tempdir().unwrap();
    let output = run("too-long", data.path());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.signal(), said(&output)), (Some(SIGABRT), "0".to_owned()), "{stderr}");
    assert!(stderr.contains("an entry of 65536 bytes"), "{stderr}");
    check_all(&try_open(data.path()).unwrap().reader(), 2);
}

#[test]
fn a_bit_that_flipped_on_the_disk_is_never_signed() {
    let data = tempfile::tempdir().unwrap();
    let output = run("flip", data.path());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.signal(), said(&output)), (Some(SIGABRT), "1".to_owned()), "{stderr}");
    assert!(stderr.contains("the SHA-256 of the frame is wrong"), "{stderr}");
    let opening = try_open(data.path()).unwrap();
    assert_eq!((opening.size(), opening.reader().published_size()), (1, 0));
    assert_eq!(opening.recovered().aside.as_ref().unwrap().first, 1);
}

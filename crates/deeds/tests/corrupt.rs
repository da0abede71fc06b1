//! Every file of a data directory with some history is damaged in every usual way. Nothing panics, no wrong answer is
//! given in silence, what was acknowledged is still there once the file is back, and what is said names the file and
//! what to do about it. The same for the files that people keep beside it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at what it did not expect"
)]
#![allow(clippy::indexing_slicing, reason = "a test stops at what it did not expect")]

mod support;

use std::fs::{self, Permissions};
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{FileExt as _, PermissionsExt as _, chown};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;

use rustix::process::{Pid, Signal, geteuid, kill_process};
use serde_json::{Value, json};
use support::DEEDS;
use testkit::SeededRandom;

/// Whom root becomes, so that a file can be unreadable.
const NOBODY: u32 = 65_534;
/// Cases under way at once.
const WORKERS: usize = 3;
/// Calls before the clean stop: enough entries for a full bundle and a second one.
const CALLS: usize = 140;
/// Calls after it, before the server is killed: they are in the journal alone.
const CALLS_BEFORE_KILL: usize = 3;

/// What has to become of damage to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Must {
    /// Everything is answered as before: the file is made again, or nobody needs it.
    Heal,
    /// Answered as before, or refused with the file's name and what to do.
    BeNamed,
}

/// A row for each kind of file: where it is (`*` is any name), what has to become of damage to it, and what else names
/// it well enough.
const FILES: &[(&str, Must, &[&str])] = &[
    ("LOCK", Must::BeNamed, &[]),
    ("start.lock", Must::BeNamed, &[]),
    ("serve.log", Must::BeNamed, &[]),
    ("deeds.sock", Must::BeNamed, &[]),
    ("index.sqlite", Must::BeNamed, &[]),
    ("index.sqlite-wal", Must::BeNamed, &["index.sqlite"]),
    ("index.sqlite-shm", Must::BeNamed, &["index.sqlite"]),
    ("keys/issuer.key", Must::BeNamed, &[]),
    ("keys/log.key", Must::BeNamed, &["local/log/checkpoint` is damaged: no known key"]),
    ("keys/tenant.kek", Must::BeNamed, &[]),
    ("local/control.json", Must::Heal, &[]),
    ("local/head", Must::BeNamed, &[]),
    ("local/keys", Must::BeNamed, &[]),
    ("local/journal/*", Must::BeNamed, &["local/journal"]),
    ("local/bodies/*", Must::BeNamed, &[]),
    ("local/checkpoints/*", Must::Heal, &[]),
    ("local/log/checkpoint", Must::BeNamed, &[]),
    ("local/log/tile/entries/*", Must::BeNamed, &["local/log/tile/0"]),
    ("local/log/tile/*", Must::BeNamed, &["local/log/tile"]),
];

/// Files that hold nothing of their own: whatever happens to their content, nothing is missing afterwards.
const CACHES: [&str; 6] =
    ["start.lock", "serve.log", "index.sqlite", "index.sqlite-wal", "index.sqlite-shm", "local/control.json"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Damage {
    Emptied,
    Truncated,
    /// One bit at this part of the file, of 100.
    Flipped(u64),
    Garbage,
    Removed,
    Directory,
    Unreadable,
}

const DAMAGES: [Damage; 9] = [
    Damage::Emptied,
    Damage::Truncated,
    Damage::Flipped(0),
    Damage::Flipped(53),
    Damage::Flipped(100),
    Damage::Garbage,
    Damage::Removed,
    Damage::Directory,
    Damage::Unreadable,
];

/// Words of which one tells a person what to do.
const ADVICE: [&str; 9] =
    ["restore", "delete", "remove", "move ", "chmod", "give it back", "chown", "run `", "compare"];

/// Where root, become somebody, finds the program under test.
const PROGRAM: &str = "DEEDS_UNDER_TEST";

/// Runs this test again as somebody who is not root, where root runs it: for root no file is unreadable.
fn ran_as_nobody(test: &str) -> bool {
    if !geteuid().is_root() {
        return false;
    }
    let dir = tempfile::tempdir().unwrap();
    let (program, this) = (dir.path().join("deeds"), dir.path().join("test"));
    testkit::copy_program(DEEDS, &program);
    testkit::copy_program(std::env::current_exe().unwrap(), &this);
    chown(dir.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    let mut again = Command::new(this);
    again.args(["--exact", test]).args(std::env::args().filter(|arg| arg == "--nocapture"));
    again.env_clear().env("TMPDIR", dir.path()).env(PROGRAM, program).env("RUST_BACKTRACE", "1");
    let status = again.current_dir(dir.path()).uid(NOBODY).gid(NOBODY).status().unwrap();
    assert!(status.success(), "as user {NOBODY}: {status}");
    true
}

#[allow(clippy::disallowed_methods, reason = "the test hands the place of the program to itself")]
fn program() -> PathBuf {
    std::env::var(PROGRAM).unwrap_or_else(|_| DEEDS.to_owned()).into()
}

/// A place of its own.
struct Place {
    dir: tempfile::TempDir,
    deeds: PathBuf,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("home")).unwrap();
        Self { dir, deeds: program() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn command(&self, data: &Path) -> Command {
        let mut command = Command::new(&self.deeds);
        command.arg("--data").arg(data).current_dir(self.dir.path()).env_clear();
        command.env("HOME", self.path("home")).env("XDG_CONFIG_HOME", self.path("config"));
        command.env("RUST_BACKTRACE", "1");
        command
    }

    fn run(&self, data: &Path, args: &[&str]) -> Output {
        self.command(data).args(args).output().unwrap()
    }

    fn json(&self, data: &Path, args: &[&str]) -> Value {
        let output = self.run(data, &[&["--json"], args].concat());
        assert!(output.status.success(), "deeds {args:?}: {}", said(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// A wrapped server that is called so many times, one after the other: each call is a batch of its own in the
    /// journal.
    fn call(&self, data: &Path, calls: usize) {
        let mut command = self.command(data);
        command.args(["wrap", "--name", "edr", "--"]).arg(&self.deeds).args(EDR);
        let mut wrap =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let (mut asked, mut answered) =
            (wrap.stdin.take().unwrap(), BufReader::new(wrap.stdout.take().unwrap()));
        for frame in frames(calls).lines() {
            writeln!(asked, "{frame}").unwrap();
            answered.read_line(&mut String::new()).unwrap();
        }
        drop(asked);
        assert!(wrap.wait().unwrap().success());
    }

    /// Whatever a day leaves in a data directory whose server was killed at its end.
    fn history(&self, data: &Path) {
        fs::create_dir(self.path("policy")).unwrap();
        fs::write(self.path("policy/all.cedar"), "@id(\"all\") permit (principal, action, resource);\n")
            .unwrap();
        self.json(data, &["principal", "add", "maya", "--key", "maya.key"]);
        self.json(data, &["policy", "activate", "policy"]);
        let root = [
            "delegate",
            "--new-key",
            "--agent",
            "a",
            "--tool",
            "stdio:edr#*",
            "--as",
            "maya.key",
            "-o",
            "root.json",
        ];
        self.json(data, &root);
        self.call(data, CALLS);
        self.json(data, &["halt", "b", "--only", "agent", "--why", "it misbehaves", "--as", "maya.key"]);
        self.json(data, &["stop"]);
        self.call(data, CALLS_BEFORE_KILL);
        let pid = pid_of(data).and_then(Pid::from_raw).unwrap();
        kill_process(pid, Signal::KILL).unwrap();
        while rustix::process::test_kill_process(pid).is_ok() {
            std::thread::yield_now();
        }
    }
}

/// The sample server that is called.
const EDR: [&str; 5] = ["player", "tool", "edr", "--journal", "edr.journal"];

/// What a client sends for so many calls.
fn frames(calls: usize) -> String {
    let frame = |id: usize, method: &str, params: &Value| {
        json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string() + "\n"
    };
    let about = json!({"name": "corrupt", "version": "0"});
    let hello = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": about});
    let call = |call: usize| {
        let host = json!({"name": "isolate_host", "arguments": {"host": format!("ws-{call}")}});
        frame(call, "tools/call", &host)
    };
    (1..=calls).map(call).fold(frame(0, "initialize", &hello), |all, one| all + &one)
}

fn pid_of(data: &Path) -> Option<i32> {
    let text = fs::read_to_string(data.join("LOCK")).ok()?;
    text.split_whitespace().skip_while(|word| *word != "pid").nth(1)?.parse().ok()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Relative paths of all files below a directory.
fn files(directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                found.push(path.strip_prefix(directory).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

/// The row of a file.
fn row(file: &str) -> &'static (&'static str, Must, &'static [&'static str]) {
    let fits = |pattern: &str| match pattern.strip_suffix('*') {
        Some(directory) => file.starts_with(directory),
        None => file == pattern,
    };
    FILES
        .iter()
        .find(|(pattern, _, _)| fits(pattern))
        .unwrap_or_else(|| panic!("no row for `{file}`: add one"))
}

/// Copies a directory; of a preallocated file what is written of it.
fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    fs::set_permissions(to, fs::metadata(from).unwrap().permissions()).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else if entry.file_type().unwrap().is_file() {
            let bytes = fs::read(entry.path()).unwrap();
            fs::write(&target, &bytes[..used(&bytes)]).unwrap();
            fs::File::options().write(true).open(&target).unwrap().set_len(bytes.len() as u64).unwrap();
            fs::set_permissions(&target, entry.metadata().unwrap().permissions()).unwrap();
        } else {
            drop(std::os::unix::net::UnixListener::bind(&target).unwrap());
        }
    }
}

/// Bytes of a file without the zeros at its end.
fn used(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}

/// Damages a file.
fn damage(path: &Path, how: Damage) {
    let bytes = if path.metadata().unwrap().is_file() { fs::read(path).unwrap() } else { Vec::new() };
    let used = used(&bytes);
    let mode = |mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    if how == Damage::Unreadable {
        return mode(0);
    }
    if matches!(how, Damage::Removed | Damage::Directory) {
        fs::remove_file(path).unwrap();
        if how == Damage::Directory {
            fs::create_dir(path).unwrap();
        }
        return;
    }
    let before = path.metadata().unwrap().permissions();
    if !path.metadata().unwrap().is_file() {
        // in the place of a socket
        fs::remove_file(path).unwrap();
        fs::write(path, "").unwrap();
    }
    mode(0o600);
    let mut file = fs::File::options().write(true).open(path).unwrap();
    match how {
        Damage::Emptied => file.set_len(0).unwrap(),
        Damage::Truncated => file.set_len(used as u64 / 2).unwrap(),
        Damage::Garbage => {
            let mut garbage = vec![0; used.max(64)];
            SeededRandom::named("garbage").fill(&mut garbage);
            file.write_all(&garbage).unwrap();
        }
        Damage::Flipped(part) if used > 0 => {
            let at = (used as u64 - 1) * part / 100;
            file.seek(SeekFrom::Start(at)).unwrap();
            file.write_all(&[bytes[usize::try_from(at).unwrap()] ^ 1]).unwrap();
        }
        _ => {}
    }
    fs::set_permissions(path, before).unwrap();
}

/// What is asked of the server after each damage.
fn questions(last: u64) -> Vec<(&'static str, String, &'static str)> {
    let get = |path: String| ("GET", path, "");
    // Not the static files of the log: they are served as they lie, and whoever reads them checks them against the
    // signed checkpoint, which is what they are for.
    let mut all = vec![
        get(format!("/v1/checkpoint?size={}", last + 1)),
        get(format!("/v1/status?wait={last}")),
        get(format!("/v1/did?limit=1000&wait={last}")),
        get(format!("/v1/delegations?limit=1000&wait={last}")),
        get(format!("/v1/principals?wait={last}")),
        get("/v1/halts".to_owned()),
        get("/v1/policy".to_owned()),
        get("/log/checkpoint".to_owned()),
        ("POST", "/v1/prove".to_owned(), r#"{"subject":"@20"}"#),
    ];
    all.extend([0, 20, 200, 270, last].map(|index| get(format!("/v1/entries/{index}"))));
    all
}

/// An answer, or what was said instead.
type Answered = Result<Vec<u8>, String>;

/// Asks a server over its socket.
fn ask(data: &Path, (method, path, body): &(&str, String, &str)) -> Answered {
    let mut stream = UnixStream::connect(data.join("deeds.sock")).map_err(|error| error.to_string())?;
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: deeds\r\nDeeds-Api: {}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}",
        capture::api::API_VERSION
    )
    .unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let head = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("a head") + 4;
    let status = String::from_utf8_lossy(&answer[..head]).split(' ').nth(1).unwrap().to_owned();
    let body = answer[head..].to_vec();
    if status != "200" {
        return Err(String::from_utf8_lossy(&body).into_owned());
    }
    Ok(match serde_json::from_slice::<Value>(&body) {
        Ok(mut value) => {
            forget(&mut value);
            value.to_string().into_bytes()
        }
        Err(_) => body,
    })
}

/// When it was asked, of which process, and how much was published by then is not part of an answer.
fn forget(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|name, _| {
                !["now_ms", "at_ms", "pid", "checkpoint_ms", "published"].contains(&name.as_str())
            });
            members.values_mut().for_each(forget);
        }
        Value::Array(items) => items.iter_mut().for_each(forget),
        _ => {}
    }
}

/// All answers of the server of a directory, or why it does not start.
fn answers(place: &Place, data: &Path, last: u64) -> Result<Vec<Answered>, String> {
    // a person asks with the program, which starts the server
    let started = place.run(data, &["status", "--json"]);
    if !started.status.success() {
        return Err(said(&started));
    }
    let answers = questions(last).iter().map(|question| ask(data, question)).collect();
    let stopped = place.run(data, &["stop"]);
    assert!(stopped.status.success(), "{}", said(&stopped));
    Ok(answers)
}

/// Whether the very last frame of the journal, which nothing else has yet, was moved aside: the log goes on, says so
/// where it is, and the entry that stood there is given again.
fn is_recorded_gap(file: &str, how: Damage, after: &Result<Vec<Answered>, String>) -> bool {
    let last = after.as_ref().ok().and_then(|answers| answers.last()).and_then(|answer| answer.as_ref().ok());
    let entry: Value = last.and_then(|entry| serde_json::from_slice(entry).ok()).unwrap_or_default();
    file.starts_with("local/journal/")
        && how == Damage::Flipped(100)
        && entry["kind"] == "gap"
        && entry.to_string().contains("/local/journal/aside-")
}

/// What is wrong with what became of a case; nothing when all is as it must be.
fn judge(
    file: &str,
    how: Damage,
    before: &[Answered],
    after: &Result<Vec<Answered>, String>,
    log: &str,
) -> Vec<String> {
    let (_, must, also) = row(file);
    let mut wrong = Vec::new();
    let mut complain = |text: String| wrong.push(format!("{file} {how:?}: {text}"));
    let named = |text: &str| {
        let names =
            text.contains(&format!("/{file}`")) || also.iter().any(|name| text.contains(&format!("/{name}")));
        names && ADVICE.iter().any(|advice| text.contains(advice))
    };
    if log.contains("panicked") {
        complain(format!("it panicked: {log}"));
    }
    match after {
        Err(text) if *must == Must::Heal => complain(format!("it has to heal: {text}")),
        Err(text) if text.contains("panicked") || !named(text) => complain(format!("not actionable: {text}")),
        Err(_) => {}
        Ok(after) => {
            for ((question, before), after) in questions(0).iter().zip(before).zip(after) {
                match (before, after) {
                    (Ok(before), Ok(after)) if before == after => {}
                    (Ok(before), Ok(after)) => {
                        complain(format!("another answer to {}: {}", question.1, difference(before, after)));
                    }
                    (_, Err(text)) if *must == Must::Heal => complain(format!("it has to heal: {text}")),
                    (_, Err(text)) if !named(text) => {
                        complain(format!("not actionable, to {}: {text}", question.1));
                    }
                    _ => {}
                }
            }
        }
    }
    wrong
}

/// Where two answers part, for a person.
fn difference(before: &[u8], after: &[u8]) -> String {
    let at = before
        .iter()
        .zip(after)
        .position(|(one, other)| one != other)
        .unwrap_or(before.len().min(after.len()));
    let part = |bytes: &[u8]| {
        let end = bytes.len().min(at + 200);
        String::from_utf8_lossy(&bytes[at.saturating_sub(80).min(end)..end]).into_owned()
    };
    format!("at byte {at}, before: {} — after: {}", part(before), part(after))
}

/// A directory as it was left, and what its server answers.
struct Undamaged<'a> {
    place: &'a Place,
    history: &'a Path,
    answers: Vec<Answered>,
    /// Index of the last entry.
    last: u64,
}

impl Undamaged<'_> {
    /// One case in a copy of its own: damaged, judged, and after the file is back as good as before.
    fn case(&self, number: usize, file: &str, how: Damage) -> Vec<String> {
        let data = self.place.path(&format!("case-{number}"));
        copy(self.history, &data);
        damage(&data.join(file), how);
        let after = answers(self.place, &data, self.last);
        let log = fs::read_to_string(data.join("serve.log")).unwrap_or_default();
        tell(file, how, &data, &self.answers, &after);
        let mut wrong = Vec::new();
        if !is_recorded_gap(file, how, &after) {
            wrong = judge(file, how, &self.answers, &after, &log);
            let same = after.as_ref().is_ok_and(|after| *after == self.answers);
            // where it was refused, nothing was changed, and one kind of damage stands for the others
            let restore = after.is_ok() || how == Damage::Garbage;
            if !same && restore && !CACHES.contains(&file) {
                put_back(self.history, &data, file, how);
                let lost = self.lost(&data);
                wrong.extend(lost.map(|lost| format!("{file} {how:?}: after it was restored: {lost}")));
            }
        }
        fs::remove_dir_all(&data).unwrap();
        wrong
    }

    /// What is not as it was although all files are.
    fn lost(&self, data: &Path) -> Option<String> {
        let after = match answers(self.place, data, self.last) {
            Ok(after) => after,
            Err(text) => return Some(text),
        };
        let parts = self.answers.iter().zip(&after).filter(|(before, after)| before != after);
        let texts: Vec<_> = parts
            .map(|(before, after)| match (before, after) {
                (Ok(before), Ok(after)) => difference(before, after),
                (_, Err(text)) => text.clone(),
                (Err(_), Ok(_)) => String::new(),
            })
            .collect();
        (!texts.is_empty()).then(|| texts.join("; "))
    }
}

/// Shows whoever runs this with `--nocapture` what people are told.
fn tell(file: &str, how: Damage, data: &Path, before: &[Answered], after: &Result<Vec<Answered>, String>) {
    if !std::env::args().any(|arg| arg == "--nocapture") {
        return;
    }
    let came = match after {
        Err(text) => format!("refused: {}", text.lines().last().unwrap_or_default()),
        Ok(after) if after == before => "as before".to_owned(),
        Ok(after) => {
            let mut texts: Vec<_> = after.iter().filter_map(|answer| answer.as_ref().err()).collect();
            texts.dedup();
            format!("answered: {texts:?}")
        }
    };
    eprintln!("{file} {how:?}: {}", came.replace(data.to_str().unwrap(), "DATA"));
}

/// The file as it was, from a backup. Of the key table with a damaged record that record alone, as is said: the keys
/// of later entries are in no older table.
fn put_back(history: &Path, data: &Path, file: &str, how: Damage) {
    let (good, path) = (history.join(file), data.join(file));
    if file == "local/keys" && matches!(how, Damage::Flipped(_)) {
        let table = fs::File::options().write(true).open(&path).unwrap();
        return table.write_all_at(&fs::read(good).unwrap(), 0).unwrap();
    }
    if path.is_dir() {
        fs::remove_dir_all(&path).unwrap();
    }
    drop(fs::remove_file(&path));
    if good.metadata().unwrap().is_file() {
        fs::copy(&good, &path).unwrap();
    }
}

#[test]
fn every_damage_to_every_file_is_healed_or_named() {
    if ran_as_nobody("every_damage_to_every_file_is_healed_or_named") {
        return;
    }
    let place = Place::new();
    let (history, reference) = (place.path("history"), place.path("reference"));
    place.history(&history);
    copy(&history, &reference);
    let size = place.json(&reference, &["status"])["size"].as_u64().unwrap();
    assert!(size > 280, "{size} entries");
    let before = answers(&place, &reference, size - 1).unwrap();
    let failed: Vec<_> = before.iter().filter(|answer| answer.is_err()).collect();
    assert!(failed.is_empty(), "undamaged: {failed:?}");
    let undamaged = Undamaged { place: &place, history: &history, answers: before, last: size - 1 };

    let found = files(&history);
    let unused: Vec<_> =
        FILES.iter().filter(|row| !found.iter().any(|file| self::row(file) == *row)).collect();
    assert!(unused.is_empty(), "rows without a file: {unused:?}");
    let cases: Vec<(String, Damage)> =
        found.iter().flat_map(|file| DAMAGES.map(|damage| (file.clone(), damage))).collect();
    let (next, wrong) = (Mutex::new(cases.iter().enumerate()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let Some((number, (file, how))) = { next.lock().unwrap().next() } {
                    let complaints = undamaged.case(number, file, *how);
                    wrong.lock().unwrap().extend(complaints);
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{} of {} cases:\n- {}", wrong.len(), cases.len(), wrong.join("\n- "));
    eprintln!("{} files, {} cases", found.len(), cases.len());
}

/// A file that somebody keeps beside the data directory, the command that reads it, and what else tells that it is this
/// one: a turned bit may make another key of a key, which is as good as any until somebody is asked who knows it.
struct Kept {
    file: &'static str,
    command: &'static [&'static str],
    also: &'static [&'static str],
}

const WRAP: &[&str] = &["wrap", "--name", "edr", "--delegation", "root.json", "--"];

const KEPT: [Kept; 6] = [
    Kept { file: "config/deeds/config.toml", command: &["status"], also: &[] },
    Kept {
        file: "maya.key",
        command: &["halt", "c", "--only", "agent", "--why", "it misbehaves", "--as", "maya.key"],
        also: &["is not registered"],
    },
    Kept {
        file: "root.json",
        command: WRAP,
        also: &["the delegation was refused", "no delegation", "the call was"],
    },
    Kept { file: "root.json.ctr", command: WRAP, also: &[] },
    Kept {
        file: "policy/all.cedar",
        command: &["policy", "activate", "policy"],
        also: &["all.cedar", "there is no `*.cedar` file"],
    },
    Kept { file: "policy/classes.toml", command: &["policy", "activate", "policy"], also: &["classes.toml"] },
];

#[test]
fn every_damage_to_what_people_keep_beside_it_is_named_or_harmless() {
    if ran_as_nobody("every_damage_to_what_people_keep_beside_it_is_named_or_harmless") {
        return;
    }
    let place = Place::new();
    let data = place.path("data");
    place.history(&data);
    fs::create_dir_all(place.path("config/deeds")).unwrap();
    fs::write(place.path("config/deeds/config.toml"), format!("data = \"{}\"\n", data.display())).unwrap();
    fs::write(place.path("policy/classes.toml"), "[[tool]]\nuri = \"stdio:edr#*\"\nclasses = [\"write\"]\n")
        .unwrap();
    // makes the counter
    assert_eq!(place.used(&data, WRAP), Ok(()));
    let mut wrong = Vec::new();
    for kept in &KEPT {
        let path = place.path(kept.file);
        assert_eq!(place.used(&data, kept.command), Ok(()), "undamaged: `{}`", kept.file);
        for how in DAMAGES {
            let (good, mode) = (fs::read(&path).unwrap(), path.metadata().unwrap().permissions());
            damage(&path, how);
            let said = place.used(&data, kept.command);
            if let Err(text) = &said {
                let name = kept.file.rsplit('/').next().unwrap();
                let named =
                    text.contains(&format!("{name}`")) || kept.also.iter().any(|also| text.contains(also));
                if !named || text.contains("panicked") {
                    wrong.push(format!("{} {how:?}: not actionable: {text}", kept.file));
                }
            }
            if path.is_dir() {
                fs::remove_dir(&path).unwrap();
            }
            drop(fs::remove_file(&path));
            fs::write(&path, good).unwrap();
            fs::set_permissions(&path, mode).unwrap();
        }
    }
    place.run(&data, &["stop"]);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

impl Place {
    /// Runs a command, a wrap with one call; what it says instead, where it does not do what it is for.
    fn used(&self, data: &Path, args: &[&str]) -> Result<(), String> {
        let mut command = self.command(data);
        command.args(args);
        if args != WRAP {
            let output = command.output().unwrap();
            return if output.status.success() { Ok(()) } else { Err(said(&output)) };
        }
        command.arg(&self.deeds).args(EDR);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // what it does not read any more, it has refused
        drop(child.stdin.take().unwrap().write_all(frames(1).as_bytes()));
        let output = child.wait_with_output().unwrap();
        let text = said(&output);
        if output.status.success() && !text.contains("\"isError\":true") { Ok(()) } else { Err(text) }
    }
}

/// What `deeds init` keeps to take back what it did. Damaged, the client's configuration stays as it is, or becomes
/// what it was before: never anything else.
#[test]
fn every_damage_to_what_init_keeps_is_named_and_harms_no_configuration() {
    if ran_as_nobody("every_damage_to_what_init_keeps_is_named_and_harms_no_configuration") {
        return;
    }
    let place = Place::new();
    let (data, client) = (place.path("data"), place.path("home/.cursor/mcp.json"));
    let original = "{\"mcpServers\": {\"notes\": {\"command\": \"notes-server\", \"args\": [\"--all\"]}}}\n";
    fs::create_dir_all(client.parent().unwrap()).unwrap();
    let mut wrong = Vec::new();
    for how in DAMAGES {
        for kept in ["wired.json", "wired/", "wired.lock"] {
            drop(fs::remove_dir_all(place.path("config")));
            fs::write(&client, original).unwrap();
            assert_eq!(place.used(&data, &["init", "--apply"]), Ok(()));
            let wrapped = fs::read_to_string(&client).unwrap();
            assert_ne!(wrapped, original);
            let own = place.path("config/deeds");
            // the originals are called by their digests
            let kept = files(&own).into_iter().find(|file| file.starts_with(kept)).unwrap();
            damage(&own.join(&kept), how);
            let said = place.used(&data, &["init", "--undo"]);
            let now = fs::read_to_string(&client).unwrap();
            if now != original && now != wrapped {
                wrong.push(format!("{kept} {how:?}: the configuration became {now:?}"));
            }
            if let Err(text) = &said
                && (!text.contains(&format!("/{kept}`")) || text.contains("panicked"))
            {
                wrong.push(format!("{kept} {how:?}: not actionable: {text}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

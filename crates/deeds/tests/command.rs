//! `deeds run` as people use it: a real server, real git, signals, refusals, CI.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at what it did not expect"
)]

mod support;

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use evidence::{Digest, base64url};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use support::{DEEDS, Data};

/// A directory to work in, beside the data of its log.
struct Place {
    data: Data,
    work: PathBuf,
}

impl Place {
    fn new() -> Self {
        let data = Data::new();
        let work = fs::canonicalize(data.path()).unwrap().join("work");
        fs::create_dir(&work).unwrap();
        Self { data, work }
    }

    /// `deeds run` in the working directory.
    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.data.command();
        command.arg("run").args(args).current_dir(&self.work);
        for name in ["GITHUB_ACTIONS", "GITLAB_CI", "DEEDS_OIDC_TOKEN"] {
            command.env_remove(name);
        }
        command
    }

    fn run(&self, args: &[&str]) -> Ended {
        Ended::of(&self.command(args).output().unwrap())
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.work.join(name), text).unwrap();
    }

    fn uri(&self, name: &str) -> String {
        format!("file://{}/{name}", self.work.display())
    }

    /// The opened fields of an entry, by name.
    fn fields(&self, index: u64) -> Value {
        let entry = self.data.json(&["entry", &format!("@{index}")]);
        let fields = entry["fields"].as_array().unwrap().iter();
        fields.map(|field| (field["name"].as_str().unwrap().to_owned(), field["value"].clone())).collect()
    }

    fn pipe(&self, name: &str) -> PathBuf {
        let path = self.data.path().join(name);
        mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        path
    }
}

/// What a command ended with.
struct Ended {
    code: i32,
    out: String,
    said: String,
}

impl Ended {
    fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        Self { code: output.status.code().unwrap(), out: text(&output.stdout), said: text(&output.stderr) }
    }

    /// The entries that the last line names: decision and outcome.
    fn entries(&self) -> (u64, u64) {
        let numbers: Vec<u64> =
            self.said.split(['@', ' ', ';']).filter_map(|word| word.parse().ok()).collect();
        (numbers[0], numbers[1])
    }
}

fn digest(bytes: &[u8]) -> String {
    Digest::of(bytes).to_string()
}

fn git(work: &Path, args: &[&str]) {
    let output = Command::new("git").args(args).current_dir(work).output().unwrap();
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_commit_shows_which_files_changed_with_their_digests() {
    let place = Place::new();
    git(&place.work, &["init", "-q"]);
    git(&place.work, &["config", "user.name", "Ravi"]);
    git(&place.work, &["config", "user.email", "ravi@acme.example"]);
    place.write("token.ref", "a");
    git(&place.work, &["add", "."]);
    let ended =
        place.run(&["--purpose", "rotate", "--trigger", "human", "--", "git", "commit", "-q", "-m", "one"]);
    assert_eq!(ended.code, 0, "{}", ended.said);
    assert!(ended.said.contains(" files changed; deeds trace "), "{}", ended.said);
    let (decision, outcome) = ended.entries();

    let decided = place.fields(decision);
    assert_eq!(
        (&decided["operation"], &decided["tool"]),
        (&json!("command/run"), &json!("run:git#command/run"))
    );
    let args = json!({"argv": ["git", "commit", "-q", "-m", "one"], "cwd": place.work});
    assert_eq!(decided["args"], args);
    assert_eq!(decided["enforcement_point"]["id"], "deeds run");
    assert!(decided["correlators"]["environment_names"].as_array().unwrap().contains(&json!("PATH")));
    let inputs = decided["inputs"].as_array().unwrap();
    assert_eq!(inputs.len(), 1);
    assert_eq!(
        (&inputs[0]["uri"], &inputs[0]["media_type"]),
        (&json!(format!("file://{}", place.work.display())), &json!("inode/directory"))
    );

    let finished = place.fields(outcome);
    assert_eq!(
        (&finished["status"], &finished["result_digest"]),
        (&json!("ok"), &json!(digest(br#"{"exit_code":0}"#)))
    );
    let outputs = finished["outputs"].as_array().unwrap();
    let head = fs::read(place.work.join(".git/logs/HEAD")).unwrap();
    let logged = json!({"uri": place.uri(".git/logs/HEAD"), "digest": digest(&head), "size": head.len(),
        "change": "created"});
    assert!(outputs.contains(&logged), "{outputs:#?}");
    let of = |uri: &str| outputs.iter().find(|output| output["uri"] == uri);
    let index = of(&place.uri(".git/index")).unwrap();
    assert_eq!(index["change"], "modified");
    assert!(index["before"].is_string() && index["before"] != index["digest"]);
    assert_eq!(of(&place.uri("token.ref")), None, "what a commit does not touch is no output");
    assert_eq!(outputs[0]["before"], inputs[0]["digest"], "the directory as a whole");

    // one hop back from the bytes of a file to the command that made them
    for named in [digest(&head), place.work.join(".git/logs/HEAD").display().to_string()] {
        let traced = place.data.command().args(["trace", &named]).output().unwrap();
        let text = String::from_utf8(traced.stdout).unwrap();
        let line = text.lines().find(|line| line.starts_with(&format!("@{decision} "))).unwrap_or_default();
        assert!(line.contains("run:git#command/run") && line.contains("made it"), "{named}: {text}");
    }

    // a second command of the same program is another act of the same tool
    place.write("token.ref", "b");
    let again = place.run(&["--", "git", "commit", "-q", "-a", "-m", "two"]);
    assert_eq!(again.code, 0, "{}", again.said);
    assert_eq!(place.fields(again.entries().0)["tool"], "run:git#command/run");
}

#[test]
fn the_commands_own_streams_and_exit_code_are_untouched() {
    let place = Place::new();
    let mut child = place
        .command(&["--quiet", "--", "sh", "-c", "cat; echo err >&2; exit 3"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"given").unwrap();
    let ended = Ended::of(&child.wait_with_output().unwrap());
    assert_eq!((ended.code, ended.out.as_str(), ended.said.as_str()), (3, "given", "err\n"));

    let ended = place.run(&["--json", "--", "sh", "-c", "echo 1 > made; kill -9 $$"]);
    let told: Value = serde_json::from_str(&ended.said).unwrap();
    assert_eq!((ended.code, &told["status"], &told["signal"]), (137, &json!("tool-error"), &json!(9)));
    assert_eq!((&told["verdict"], &told["files_changed"]), (&json!("allow"), &json!(1)));
    let finished = place.fields(told["outcome"].as_u64().unwrap());
    let result = digest(br#"{"signal":9}"#);
    assert_eq!(
        (&finished["detail"], &finished["result_digest"]),
        (&json!("killed by signal 9"), &json!(result))
    );
}

#[test]
fn a_command_that_policy_denies_never_starts() {
    let place = Place::new();
    let policy = place.data.path().join("policy");
    fs::create_dir(&policy).unwrap();
    fs::write(
        policy.join("a.cedar"),
        r#"@id("rest") permit (principal, action in Deeds::Action::"act", resource);
           @id("no-touch") forbid (principal, action == Deeds::Action::"command/run", resource)
           when { context.args.hasTag("argv[0]") && context.args.getTag("argv[0]") == "touch" };"#,
    )
    .unwrap();
    let output = place.data.command().args(["policy", "activate"]).arg(&policy).output().unwrap();
    if !output.status.success() {
        // a policy is activated on a log that is there
        assert_eq!(place.run(&["--", "true"]).code, 0);
        place.data.json(&["policy", "activate", policy.to_str().unwrap()]);
    }
    let ended = place.run(&["--", "touch", "made"]);
    assert_eq!(ended.code, 126, "{}", ended.said);
    assert!(
        ended.said.contains("refused by policy and not started") && ended.said.contains("deeds authority ")
    );
    assert!(!place.work.join("made").exists());
    let index: u64 =
        ended.said.split("Recorded as @").nth(1).unwrap().split(';').next().unwrap().parse().unwrap();
    let decided = place.fields(index);
    assert_eq!((&decided["verdict"], &decided["determining"]), (&json!("deny"), &json!(["no-touch"])));
    assert_eq!(place.run(&["--", "true"]).code, 0);
}

#[test]
fn without_a_server_nothing_starts() {
    let place = Place::new();
    // no server can be started where its data directory cannot be
    fs::write(place.data.data(), "in the way").unwrap();
    let ended = place.run(&["--", "touch", "made"]);
    assert_eq!(ended.code, 125, "{}", ended.said);
    assert!(ended.said.contains("the deeds server cannot be reached"), "{}", ended.said);
    assert!(!place.work.join("made").exists());
    fs::remove_file(place.data.data()).unwrap();
}

#[test]
fn what_does_not_start_was_allowed_and_not_forwarded() {
    let place = Place::new();
    let ended = place.run(&["--json", "--", "./none"]);
    let told: Value = serde_json::from_str(&ended.said).unwrap();
    assert_eq!((ended.code, &told["status"]), (127, &json!("not-forwarded")));
    let did = place.data.json(&["did"]);
    assert!(did.to_string().contains("not-forwarded"), "{did}");
}

#[test]
fn signals_go_to_the_command_and_its_end_is_recorded() {
    let place = Place::new();
    let (up, hold) = (place.pipe("up"), place.pipe("hold"));
    let script = format!("echo up > '{}'; exec cat '{}'", up.display(), hold.display());
    let child = place
        .command(&["--", "sh", "-c", &script])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut ready = String::new();
    fs::File::open(&up).unwrap().read_to_string(&mut ready).unwrap();
    assert_eq!(ready, "up\n");
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    let ended = Ended::of(&child.wait_with_output().unwrap());
    assert_eq!(ended.code, 143, "{}", ended.said);
    assert_eq!(place.fields(ended.entries().1)["detail"], "killed by signal 15");
}

#[test]
fn a_command_goes_on_when_deeds_is_killed_and_has_no_outcome() {
    let place = Place::new();
    let (up, hold) = (place.pipe("up"), place.pipe("hold"));
    let script = format!(
        "echo up > '{}'; cat '{}' > made; echo down > '{}'",
        up.display(),
        hold.display(),
        up.display()
    );
    let mut child = place.command(&["--", "sh", "-c", &script]).stdin(Stdio::null()).spawn().unwrap();
    assert_eq!(fs::read_to_string(&up).unwrap(), "up\n");
    child.kill().unwrap();
    child.wait().unwrap();
    fs::write(&hold, "still here").unwrap();
    assert_eq!(fs::read_to_string(&up).unwrap(), "down\n");
    assert_eq!(fs::read_to_string(place.work.join("made")).unwrap(), "still here");
    let did = place.data.json(&["did"]);
    let act = &did["actions"][0];
    assert_eq!(
        (&act["verdict"]["value"], &act["outcome"]["status"]["value"]),
        (&json!("allow"), &json!("open"))
    );
}

#[test]
fn links_are_recorded_by_their_target_and_lead_nowhere() {
    let place = Place::new();
    fs::write(place.data.path().join("outside"), "secret").unwrap();
    place.write("in", "1");
    let ended = place.run(&["--", "ln", "-s", "../outside", "link"]);
    let outputs = place.fields(ended.entries().1)["outputs"].clone();
    let link = json!({"uri": place.uri("link"), "digest": digest(b"../outside"), "size": 10,
        "media_type": "inode/symlink", "change": "created"});
    assert_eq!(outputs[1], link);
    // a link that is named on the command line is followed
    symlink(&place.work, place.data.path().join("named")).unwrap();
    let ended = place.run(&["--writes", "../named/in", "--", "sh", "-c", "echo 2 > in"]);
    assert_eq!(place.fields(ended.entries().1)["outputs"][0]["uri"], place.uri("in"));
}

#[test]
fn many_files_are_recorded_in_parts() {
    let place = Place::new();
    let script = "for n in $(seq 300); do echo $n > f$n; done";
    let ended = place.run(&["--", "sh", "-c", script]);
    assert!(ended.said.contains("300 files changed"), "{}", ended.said);
    let (decision, outcome) = ended.entries();
    let stands = place.fields(outcome)["outputs"].clone();
    assert_eq!(stands["count"], 301, "and the directory itself");
    let mut all = Vec::new();
    for index in decision + 1..outcome {
        let part = place.fields(index);
        assert_eq!(part["subtype"], "artifacts");
        all.extend(part["payload"]["artifacts"].as_array().unwrap().clone());
    }
    assert_eq!(stands["digest"], digest(&evidence::json::jcs(&Value::Array(all))));
}

#[test]
fn too_deep_a_tree_is_refused_with_what_to_do() {
    let place = Place::new();
    fs::create_dir_all(place.work.join("d/".repeat(66))).unwrap();
    let ended = place.run(&["--", "touch", "made"]);
    assert_eq!(ended.code, 125);
    assert!(ended.said.contains("declare less, with `--reads PATH` and `--writes PATH`"), "{}", ended.said);
    assert!(!place.work.join("made").exists());
    let ended = place.run(&["--writes", "made", "--", "touch", "made"]);
    assert!(ended.said.contains("1 file changed"), "{}", ended.said);
    assert_eq!(place.run(&["--reads", "missing", "--", "true"]).code, 125);
}

#[test]
fn a_ci_job_is_asserted_and_its_token_is_not_kept() {
    let place = Place::new();
    let part = |text: &str| base64url::encode(text.as_bytes());
    let claims = json!({"iss": "https://token.actions.githubusercontent.com", "sub": "repo:acme/payments:ref:x",
        "aud": "acme", "exp": 1_800_000_600, "iat": 1_800_000_000, "repository": "acme/payments", "run_id": "8812",
        "job_workflow_sha": "a1b2", "secret_claim": "not recorded"});
    let token =
        format!("{}.{}.{}", part("{\"alg\":\"RS256\"}"), part(&claims.to_string()), part("signature"));
    let output = place
        .command(&["--", "sh", "-c", "printf '%s' \"${DEEDS_OIDC_TOKEN-gone} $GITHUB_SHA\" > seen"])
        .env("DEEDS_OIDC_TOKEN", &token)
        .env("GITHUB_ACTIONS", "true")
        .env("GITHUB_REPOSITORY", "acme/payments")
        .env("GITHUB_RUN_ID", "8812")
        .env("GITHUB_SHA", "a1b2")
        .output()
        .unwrap();
    let ended = Ended::of(&output);
    assert_eq!(ended.code, 0, "{}", ended.said);
    assert_eq!(fs::read_to_string(place.work.join("seen")).unwrap(), "gone a1b2");
    let correlators = place.fields(ended.entries().0)["correlators"].clone();
    let ci =
        json!({"system": "github-actions", "repository": "acme/payments", "run_id": "8812", "sha": "a1b2"});
    assert_eq!(correlators["ci"], ci);
    let oidc = &correlators["oidc"];
    assert_eq!((&oidc["label"], &oidc["digest"]), (&json!("asserted"), &json!(digest(token.as_bytes()))));
    assert_eq!((&oidc["claims"]["run_id"], &oidc["claims"]["secret_claim"]), (&json!("8812"), &Value::Null));
    assert!(!correlators["environment_names"].to_string().contains("DEEDS_OIDC_TOKEN"));

    // the server that was started for it outlives the job, and was told nothing of it
    let lock = fs::read_to_string(place.data.path().join("data/LOCK")).unwrap();
    let pid = lock.split_whitespace().skip_while(|word| *word != "pid").nth(1).unwrap();
    let variables = fs::read(format!("/proc/{}/environ", pid.trim_start_matches('0'))).unwrap();
    let variables = String::from_utf8_lossy(&variables);
    assert!(variables.contains("PATH=") && !variables.contains("GITHUB_"), "{variables}");
    assert!(!variables.contains(&token), "{variables}");

    let file = place.data.path().join("token");
    fs::write(&file, "no token").unwrap();
    let ended = place.run(&["--oidc-token-file", file.to_str().unwrap(), "--", "touch", "made"]);
    assert_eq!(ended.code, 125);
    assert!(ended.said.contains("cannot use the job token in"), "{}", ended.said);
}

#[test]
fn a_command_acts_under_the_authority_that_is_given() {
    let place = Place::new();
    let key = place.data.path().join("ravi.key");
    place.data.json(&["principal", "add", "ravi", "--key", key.to_str().unwrap()]);
    let principal = ["--principal", key.to_str().unwrap(), "--agent", "deployer", "--purpose", "deploy"];
    let ended = place.run(&[&principal[..], &["--", "true"]].concat());
    let decided = place.fields(ended.entries().0);
    assert_eq!(
        (&decided["principal"]["sub"], &decided["holder"]["id"]),
        (&json!("ravi"), &json!("deployer"))
    );

    // a delegation that covers another command does not cover this one
    let file = place.data.path().join("given");
    place.data.json(&[
        "delegate",
        "--as",
        key.to_str().unwrap(),
        "--new-key",
        "--agent",
        "deployer",
        "--tool",
        "run:true#command/run",
        "-o",
        file.to_str().unwrap(),
    ]);
    let under = ["--delegation", file.to_str().unwrap(), "--"];
    assert_eq!(place.run(&[&under[..], &["true"]].concat()).code, 0);
    let ended = place.run(&[&under[..], &["touch", "made"]].concat());
    assert_eq!(ended.code, 126, "{}", ended.said);
    assert!(ended.said.contains("refused by the delegation (step scope)"), "{}", ended.said);
    assert!(!place.work.join("made").exists());
}

#[test]
fn what_the_log_writes_meanwhile_did_not_come_of_the_command() {
    let place = Place::new();
    let mut command = Command::new(DEEDS);
    // the data directory lies in the working directory
    let inside = place.work.join("data");
    command.arg("--data").arg(&inside).args(["run", "--", "touch", "made"]).current_dir(&place.work);
    let output = command.env("HOME", place.data.path()).env_remove("DEEDS_RUN").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let stopped = Command::new(DEEDS).arg("--data").arg(&inside).arg("stop").output().unwrap();
    assert!(stopped.status.success());
    assert!(said.contains("1 file changed"), "{said}");
}

/// Somebody who is not root, in a directory below one that nobody else can list.
struct Ravi {
    dir: tempfile::TempDir,
    work: PathBuf,
}

impl Ravi {
    const ID: u32 = 47_011;

    /// Nobody where this cannot be tried; says so aloud.
    fn new() -> Option<Self> {
        let tool = Command::new("setpriv").arg("--version").output().is_ok();
        if !rustix::process::geteuid().is_root() || !tool {
            eprintln!("SKIPPED: only root, with `setpriv`, can run programs as another user");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let closed = fs::canonicalize(dir.path()).unwrap().join("closed");
        let work = closed.join("work");
        fs::create_dir_all(&work).unwrap();
        chmod(dir.path(), 0o755);
        chmod(&closed, 0o711);
        std::os::unix::fs::chown(&work, Some(Self::ID), Some(Self::ID)).unwrap();
        testkit::copy_program(DEEDS, dir.path().join("deeds"));
        Some(Self { dir, work })
    }

    fn deeds(&self, args: &[&str]) -> Command {
        let id = Self::ID.to_string();
        let mut command = Command::new("setpriv");
        command.args(["--reuid", &id, "--regid", &id, "--clear-groups"]).arg(self.dir.path().join("deeds"));
        command.args(args).env_clear().env("HOME", &self.work).env("PATH", "/usr/bin:/bin");
        command.current_dir(&self.work);
        command
    }
}

impl Drop for Ravi {
    fn drop(&mut self) {
        drop(self.deeds(&["stop"]).output());
    }
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_directory_below_one_that_cannot_be_listed_is_seen() {
    let Some(ravi) = Ravi::new() else { return };
    let output = ravi.deeds(&["run", "--", "touch", "made"]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && said.contains("1 file changed"), "{said}");
    assert!(!said.contains("not seen"), "{said}");
}

#[test]
fn the_digest_is_of_the_program_that_the_search_path_leads_this_user_to() {
    let Some(ravi) = Ravi::new() else { return };
    // the first one is for root alone
    for (name, mode) in [("first", 0o744), ("second", 0o755)] {
        let path = ravi.dir.path().join(name);
        fs::create_dir(&path).unwrap();
        chmod(&path, 0o755);
        fs::write(path.join("text"), format!("#!/bin/sh\necho {name}\n")).unwrap();
        testkit::copy_program(path.join("text"), path.join("prog"));
        chmod(&path.join("prog"), mode);
    }
    let at = ravi.dir.path().display();
    let path = format!("{at}/first:{at}/second:/usr/bin:/bin");
    let output = ravi.deeds(&["run", "--", "prog"]).env("PATH", path).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "second\n");
    let entries = (0..8).map(|index| {
        let entry = ravi.deeds(&["entry", &format!("@{index}"), "--json"]).output().unwrap();
        String::from_utf8(entry.stdout).unwrap()
    });
    let started = entries.into_iter().find(|entry| entry.contains("\"run-started\"")).unwrap();
    assert!(started.contains(&digest(b"#!/bin/sh\necho second\n")), "{started}");
}

//! Against directories that are laid out as the package managers do it, and a `/proc` made of files and links.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::{Child, Command, Stdio};

use evidence::Digest;
use serde_json::json;

use super::*;
use crate::limits::{
    DISTRIBUTIONS_MAX, PACKAGE_BYTES_MAX, PACKAGE_DEPTH_MAX, PACKAGE_FILES_MAX, PACKAGE_MANIFEST_MAX,
    PROCESS_ARGUMENTS_MAX, PROCESSES_MAX,
};

struct Host(tempfile::TempDir);

impl Host {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().canonicalize().unwrap().join(path)
    }

    fn file(&self, path: &str, text: &str) {
        fs::create_dir_all(self.path(path).parent().unwrap()).unwrap();
        fs::write(self.path(path), text).unwrap();
    }

    /// A process with its parent, what it executes and its words; `pipe` is what it reads and writes.
    fn process(&self, pid: u32, parent: u32, executable: &str, words: &[&str], pipe: &str) {
        let dir = format!("proc/{pid}");
        self.file(&format!("{dir}/stat"), &format!("{pid} (a) b) S {parent} 1 1"));
        self.file(&format!("{dir}/cmdline"), &format!("{}\0", words.join("\0")));
        symlink(executable, self.path(&format!("{dir}/exe"))).unwrap();
        symlink(self.path("work"), self.path(&format!("{dir}/cwd"))).unwrap();
        fs::create_dir_all(self.path(&format!("{dir}/fd"))).unwrap();
        for fd in [0, 1] {
            symlink(format!("pipe:[{pipe}{fd}]"), self.path(&format!("{dir}/fd/{fd}"))).unwrap();
        }
    }

    /// Of what was started as this process and reads the pipe `a`.
    fn digest(&self, pid: u32) -> Option<String> {
        digest_in(&self.path("proc"), &Started { pid, input: "pipe:[a0]".into() })
    }

    fn servers(&self, pid: u32) -> usize {
        process::servers(&self.path("proc"), pid, Path::new("pipe:[a0]")).len()
    }
}

/// As [`Host::digest`] gives it.
#[expect(clippy::unnecessary_wraps, reason = "it is compared with what may be nothing")]
fn expected(files: &[(&str, &str)]) -> Option<String> {
    let files: Vec<_> = files
        .iter()
        .map(|(path, text)| json!({"path": path, "sha256": Digest::of(text.as_bytes()).hex()}))
        .collect();
    Some(Digest::of(&evidence::json::jcs(&files.into())).to_string())
}

const NAMED: &str = r#"{"name":"@a/server","version":"1"}"#;

/// As `npx` leaves it: `npm` starts a shell, the shell starts Node.js with a link in `.bin`.
fn npx() -> Host {
    let host = Host::new();
    host.file("work/unused", "");
    host.file("npx/node_modules/@a/server/package.json", NAMED);
    host.file("npx/node_modules/@a/server/dist/index.js", "serve()");
    host.file("npx/node_modules/@a/server/dist/lib/tools.mjs", "tools");
    host.file("npx/node_modules/@a/server/dist/package.json", r#"{"type":"module"}"#);
    host.file("npx/node_modules/@a/server/dist/memory.jsonl", "written while it runs");
    host.file("npx/node_modules/@a/server/node_modules/dep/index.js", "another's");
    host.file("npx/node_modules/.bin/.keep", "");
    symlink("../@a/server/dist/index.js", host.path("npx/node_modules/.bin/server")).unwrap();
    host.process(10, 1, "/usr/bin/node", &["npm exec @a/server ."], "a");
    host.process(11, 10, "/usr/bin/dash", &["sh", "-c", "server ."], "a");
    let link = host.path("npx/node_modules/.bin/server");
    host.process(12, 11, "/usr/bin/node", &["node", link.to_str().unwrap(), "."], "a");
    host
}

#[test]
fn the_package_of_a_node_server_is_its_own_code_wherever_it_was_started_from() {
    let host = npx();
    let files = [("dist/index.js", "serve()"), ("dist/lib/tools.mjs", "tools"), ("package.json", NAMED)];
    assert_eq!(host.digest(10), expected(&files));
    // the server itself, and what happens beside its code
    assert_eq!(host.digest(12), expected(&files));
    host.file("npx/node_modules/@a/server/dist/memory.jsonl", "more");
    host.file("npx/node_modules/@a/server/node_modules/dep/index.js", "newer");
    assert_eq!(host.digest(10), expected(&files));
    host.file("npx/node_modules/@a/server/dist/lib/tools.mjs", "other tools");
    assert!(host.digest(10).is_some() && host.digest(10) != expected(&files));
}

#[test]
fn a_helper_that_does_not_hold_the_input_is_not_the_server() {
    let host = npx();
    host.file("other/package.json", r#"{"name":"helper"}"#);
    host.file("other/index.js", "help()");
    let script = host.path("other/index.js");
    host.process(13, 12, "/usr/bin/node", &["node", script.to_str().unwrap()], "b");
    let served = host.digest(10);
    assert_eq!(served, npx().digest(10));
    host.process(14, 12, "/usr/bin/node", &["node", script.to_str().unwrap()], "a");
    assert_ne!(host.digest(10), served);
    assert_eq!(host.digest(99), None);
}

#[test]
fn a_server_that_has_moved_its_input_is_still_found() {
    let host = npx();
    for (fd, name) in [("0", "/dev/null"), ("7", "pipe:[a0]")] {
        let _ = fs::remove_file(host.path(&format!("proc/12/fd/{fd}")));
        symlink(name, host.path(&format!("proc/12/fd/{fd}"))).unwrap();
    }
    assert_eq!(host.digest(10), npx().digest(10));
}

#[test]
fn the_script_of_node_is_found_behind_its_options() {
    let host = Host::new();
    host.file("work/p/package.json", NAMED);
    host.file("work/p/s.js", "s");
    for (pid, words) in (1..).zip([
        &["node", "p/s.js"][..],
        &["node", "p/s"],
        &["node", "p"],
        &["node", "--no-warnings", "-r", "x.js", "--import", "y", "p/s.js", "z.js"],
        &["node", "--", "p/s.js"],
    ]) {
        host.process(pid, 0, "/usr/bin/node", words, "a");
        assert_eq!(host.digest(pid), expected(&[("package.json", NAMED), ("s.js", "s")]), "{words:?}");
    }
    for (pid, words) in (11..).zip([&["node"][..], &["node", "-e", "1", "p/s.js"], &["node", "missing.js"]]) {
        host.process(pid, 0, "/usr/bin/node", words, "a");
        assert_eq!(host.digest(pid), None, "{words:?}");
    }
    host.process(21, 0, "/usr/bin/ruby", &["ruby", "p/s.js"], "a");
    assert_eq!(host.digest(21), None);
}

#[test]
fn a_script_without_a_named_package_below_node_modules_has_none() {
    let host = Host::new();
    host.file("work/package.json", NAMED);
    host.file("work/node_modules/stray.js", "s");
    host.process(1, 0, "/usr/bin/node", &["node", "node_modules/stray.js"], "a");
    assert_eq!(host.digest(1), None);
}

/// As `uvx` leaves it: a virtual environment whose script starts with the path of its Python.
fn uvx() -> Host {
    let host = Host::new();
    host.file("work/unused", "");
    host.file("venv/bin/mcp-server-time", "#!python\nimport mcp_server_time");
    let place = "venv/lib/python3.12/site-packages";
    host.file(&format!("{place}/mcp_server_time/__init__.py"), "main");
    host.file(&format!("{place}/mcp_server_time/__main__.py"), "main()");
    host.file(&format!("{place}/mcp_server_time/__pycache__/x.pyc"), "made of it");
    host.file(&format!("{place}/tzdata/__init__.py"), "another's");
    host.file(&format!("{place}/tzdata-1.dist-info/RECORD"), "tzdata/__init__.py,sha256=a,9\n");
    host.file(
        &format!("{place}/mcp_server_time-1.dist-info/RECORD"),
        "../../../bin/mcp-server-time,sha256=a,1\nmcp_server_time/__init__.py,sha256=b,4\n\
         mcp_server_time/__main__.py,,\nmcp_server_time/__pycache__/x.pyc,,\nmcp_server_time/gone.py,,\n\
         mcp_server_time-1.dist-info/RECORD,,\n",
    );
    host
}

const TIME: [(&str, &str); 2] =
    [("mcp_server_time/__init__.py", "main"), ("mcp_server_time/__main__.py", "main()")];

#[test]
fn the_package_of_a_python_server_is_its_distribution() {
    let host = uvx();
    let (python, script) = (host.path("venv/bin/python"), host.path("venv/bin/mcp-server-time"));
    let (python, script) = (python.to_str().unwrap(), script.to_str().unwrap());
    host.process(1, 0, "/usr/bin/uv", &["uv", "tool", "uvx", "mcp-server-time"], "a");
    host.process(2, 1, "/opt/python3.12/bin/python3.12", &[python, script, "--local-timezone", "UTC"], "a");
    assert_eq!(host.digest(1), expected(&TIME));
    host.process(3, 0, "/opt/python3.12/bin/python3.12", &[python, "-m", "mcp_server_time"], "a");
    assert_eq!(host.digest(3), expected(&TIME));
    let main = host.path("venv/lib/python3.12/site-packages/mcp_server_time/__main__.py");
    host.process(4, 0, "/usr/bin/python3", &["python3", main.to_str().unwrap()], "a");
    assert_eq!(host.digest(4), expected(&TIME));
    host.process(5, 0, "/opt/python3.12/bin/python3.12", &[python, "-m", "unheard_of"], "a");
    assert_eq!(host.digest(5), None);
}

#[test]
fn a_distribution_that_was_installed_for_editing_is_not_known() {
    let host = uvx();
    let record = "venv/lib/python3.12/site-packages/mcp_server_time-1.dist-info/RECORD";
    host.file(record, "../../../bin/mcp-server-time,,\n_mcp_server_time.pth,,\n");
    host.file("venv/lib/python3.12/site-packages/_mcp_server_time.pth", "/src");
    let script = host.path("venv/bin/mcp-server-time");
    host.process(1, 0, "/usr/bin/python3", &["python", script.to_str().unwrap()], "a");
    assert_eq!(host.digest(1), None);
}

#[test]
fn packages_over_a_limit_are_not_known() {
    let host = Host::new();
    host.file("p/package.json", NAMED);
    let deep = |levels: usize| format!("p/{}x.js", "d/".repeat(levels));
    host.file(&deep(PACKAGE_DEPTH_MAX), "x");
    assert_eq!(files::code_in(&host.path("p")).map(|files| files.len()), Some(2));
    host.file(&deep(PACKAGE_DEPTH_MAX + 1), "x");
    assert_eq!(files::code_in(&host.path("p")), None);

    let one = host.path("p/package.json");
    let many = |count: usize| vec![("package.json".to_owned(), one.clone()); count];
    assert!(files::digest(&many(PACKAGE_FILES_MAX)).is_some());
    assert_eq!(files::digest(&many(PACKAGE_FILES_MAX + 1)), None);
    assert_eq!(files::digest(&Vec::new()), None);

    let large = |bytes: u64| {
        let path = host.path("large.js");
        fs::File::create(&path).unwrap().set_len(bytes).unwrap();
        files::digest(&vec![("large.js".to_owned(), path)])
    };
    assert!(large(PACKAGE_BYTES_MAX).is_some());
    assert_eq!(large(PACKAGE_BYTES_MAX + 1), None);
}

#[test]
fn what_describes_a_package_is_read_up_to_a_limit() {
    let host = Host::new();
    let named = |bytes: u64| {
        let text = format!("{NAMED}{}", " ".repeat(usize::try_from(bytes).unwrap() - NAMED.len()));
        host.file("p/package.json", &text);
        is_named(&host.path("p"))
    };
    assert!(named(PACKAGE_MANIFEST_MAX));
    assert!(!named(PACKAGE_MANIFEST_MAX + 1));
}

#[test]
fn processes_and_distributions_over_a_limit_are_not_looked_at() {
    let host = Host::new();
    for pid in 1..=u32::try_from(PROCESSES_MAX).unwrap() + 1 {
        host.process(pid, pid - 1, "/usr/bin/node", &["node"], "a");
    }
    let last = format!("proc/{}/cmdline", PROCESSES_MAX + 1);
    assert_eq!(host.servers(1), PROCESSES_MAX);
    assert_eq!(host.servers(2), PROCESSES_MAX);
    let words = |bytes: u64| host.file(&last, &"x".repeat(usize::try_from(bytes).unwrap()));
    words(PROCESS_ARGUMENTS_MAX);
    assert_eq!(host.servers(2), PROCESSES_MAX);
    words(PROCESS_ARGUMENTS_MAX + 1);
    assert_eq!(host.servers(2), PROCESSES_MAX - 1);

    let host = uvx();
    let script = host.path("venv/bin/mcp-server-time");
    host.process(1, 0, "/usr/bin/python3", &["python", script.to_str().unwrap()], "a");
    let place = host.path("venv/lib/python3.12/site-packages");
    // one is there before it in the order of names, and it is the last that is looked at
    let other = |n: usize| fs::create_dir_all(place.join(format!("a{n}.dist-info"))).unwrap();
    (0..DISTRIBUTIONS_MAX - 1).for_each(other);
    assert_eq!(host.digest(1), expected(&TIME));
    other(DISTRIBUTIONS_MAX);
    assert_eq!(host.digest(1), None);
}

#[test]
fn what_is_no_regular_file_is_not_waited_for() {
    let host = Host::new();
    host.file("p/package.json", NAMED);
    let pipe = host.path("p/pipe.js");
    let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    assert_eq!(files::bytes(&pipe, 10), None);
    assert_eq!(files::digest(&files::code_in(&host.path("p")).unwrap()), None);
}

#[test]
fn a_process_below_the_started_one_is_found_in_the_real_proc() {
    // the shell waits for its child, which reads the same pipe
    let mut shell = Command::new("sh")
        .args(["-c", "cat; true"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let started = Started { pid: shell.id(), input: input_of(&shell) };
    let found = || process::servers(Path::new("/proc"), started.pid, &started.input);
    let first_word = |process: &Process| process.arguments.first().cloned();
    while found().first().and_then(first_word).as_deref() != Some("cat") {
        std::thread::yield_now();
    }
    assert_eq!(found().len(), 2);
    drop(shell.stdin.take());
    shell.wait().unwrap();
    assert_eq!(found(), []);
}

fn input_of(child: &Child) -> PathBuf {
    let pipe = rustix::fs::fstat(child.stdin.as_ref().unwrap()).unwrap().st_ino;
    format!("pipe:[{pipe}]").into()
}

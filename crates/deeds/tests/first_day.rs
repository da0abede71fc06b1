//! The first day: clients are found and wired, what was wired is watched and taken back, the doctor tells how it is, and
//! a server serves several users.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test stops at what it did not expect, and asks whether it runs in CI"
)]

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

const DEEDS: &str = env!("CARGO_BIN_EXE_deeds");

/// As Claude Code 2.1.330 writes it, shortened.
const CLAUDE_CODE: &str = r#"{
  "firstStartTime": "2026-11-22T04:16:55.736Z",
  "mcpServers": {
    "fs": {
      "type": "stdio",
      "command": "npx",
      "args": [
        "-y",
        "@modelcontextprotocol/server-filesystem",
        "/srv/data"
      ],
      "env": {}
    },
    "sentry": {
      "type": "http",
      "url": "https://mcp.sentry.dev/mcp"
    }
  },
  "projects": {
    "/home/ana/proj": {
      "allowedTools": [],
      "mcpServers": {
        "mem": {
          "type": "stdio",
          "command": "mcp-server-memory",
          "args": [],
          "env": {
            "TOKEN": "s3cret"
          }
        }
      },
      "hasTrustDialogAccepted": false
    }
  }
}"#;

/// As Codex 0.169.0 writes it.
const CODEX: &str = r#"[mcp_servers.fs]
command = "npx"
args = ["-y", "@modelcontextprotocol/server-filesystem", "/srv/data"]

[mcp_servers.mem]
command = "mcp-server-memory"

[mcp_servers.mem.env]
TOKEN = "s3cret"

[mcp_servers.remote]
url = "https://example.com/mcp"
"#;

/// In the form of the documentation of VS Code, with what people do to it.
const VS_CODE: &str = "\u{feff}{\r\n\t// servers of this project\r\n\t\"inputs\": [ ],\r\n\t\"servers\": {\r\n\t\t\"git\": { \"type\": \"stdio\", \"command\": \"uvx\",\r\n\t\t\t\"args\": [\"mcp-server-git\", \"--repository\", \"${workspaceFolder}\"], },\r\n\t\t/* by hand */ \"Own Tool\": {\"command\": \"./tool.py\"},\r\n\t\t\"docs\": { \"type\": \"http\", \"url\": \"https://docs.example/mcp\" },\r\n\t},\r\n}\r\n";

/// As its documentation shows it.
const CURSOR: &str = "{\n    \"mcpServers\": {\n        \"server-name\": {\n            \"command\": \"npx\",\n            \"args\": [\"-y\", \"mcp-server\"],\n            \"env\": {\n                \"API_KEY\": \"value\"\n            }\n        }\n    }\n}\n";

/// As its documentation shows it, without a line break at the end.
const CLAUDE_DESKTOP: &str = "{\n  \"mcpServers\": {\n    \"filesystem\": {\n      \"command\": \"npx\",\n      \"args\": [\n        \"-y\",\n        \"@modelcontextprotocol/server-filesystem\",\n        \"/Users/username/Desktop\"\n      ]\n    }\n  }\n}";

/// A home directory; its server is stopped when the test ends, however it ends.
struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        fs::create_dir_all(home.project()).unwrap();
        home
    }

    /// With a configuration of every client.
    fn with_clients() -> Self {
        let home = Self::new();
        for (path, text) in home.clients() {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
        }
        home
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn project(&self) -> PathBuf {
        self.path().join("proj")
    }

    fn clients(&self) -> BTreeMap<PathBuf, &'static str> {
        let of = |name: &str| self.path().join(name);
        BTreeMap::from([
            (of(".claude.json"), CLAUDE_CODE),
            (of(".config/Claude/claude_desktop_config.json"), CLAUDE_DESKTOP),
            (of(".cursor/mcp.json"), CURSOR),
            (of("proj/.vscode/mcp.json"), VS_CODE),
            (of(".codex/config.toml"), CODEX),
        ])
    }

    fn deeds(&self, args: &[&str]) -> Command {
        let mut command = Command::new(DEEDS);
        command.args(args).current_dir(self.project()).env_clear().env("HOME", self.path());
        command
    }

    fn output(&self, args: &[&str]) -> Output {
        self.deeds(args).output().unwrap()
    }

    fn json(&self, args: &[&str]) -> Value {
        let mut args = args.to_vec();
        args.push("--json");
        let output = self.output(&args);
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn text(&self, args: &[&str]) -> String {
        let output = self.output(args);
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        drop(self.deeds(&["stop"]).output());
    }
}

fn said(output: &Output) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    format!("{}\n{out}{err}", output.status)
}

fn states(report: &Value) -> Vec<String> {
    let files = report["files"].as_array().unwrap().iter();
    let servers = files.flat_map(|file| {
        let client = file["client"].as_str().unwrap().to_owned();
        file["servers"].as_array().unwrap().iter().map(move |server| {
            let alias = server["alias"].as_str().map(|alias| format!(" {alias}")).unwrap_or_default();
            format!(
                "{client} {} {}{alias}",
                server["name"].as_str().unwrap(),
                server["state"].as_str().unwrap()
            )
        })
    });
    servers.collect()
}

#[test]
fn every_client_is_found_and_nothing_is_changed_without_being_asked() {
    let home = Home::with_clients();
    let report = home.json(&["init"]);
    let expected = [
        "claude-code fs to-wrap fs",
        "claude-code sentry remote",
        "claude-code mem to-wrap mem",
        "claude-desktop filesystem to-wrap filesystem",
        "cursor server-name to-wrap server-name",
        "vscode git to-wrap git",
        "vscode Own Tool to-wrap own-tool",
        "vscode docs remote",
        "codex fs to-wrap fs",
        "codex mem to-wrap mem",
        "codex remote remote",
    ];
    assert_eq!(states(&report), expected);
    for (path, text) in home.clients() {
        assert_eq!(fs::read_to_string(path).unwrap(), text);
    }
    assert!(!home.path().join(".config/deeds").exists(), "nothing was written");
    let page = home.text(&["init"]);
    assert!(page.contains("Nothing was changed") && page.contains("+command = "), "{page}");
    assert!(!page.contains("s3cret") && !report.to_string().contains("s3cret"), "{page}");
}

#[test]
fn what_is_applied_and_taken_back_is_as_it_was() {
    let home = Home::with_clients();
    let claude = home.path().join(".claude.json");
    fs::set_permissions(&claude, Permissions::from_mode(0o600)).unwrap();
    let report = home.json(&["init", "--apply"]);
    assert!(report["files"].as_array().unwrap().iter().all(|file| file["written"] == true), "{report}");
    for (path, text) in home.clients() {
        assert_ne!(fs::read_to_string(&path).unwrap(), text, "{}", path.display());
    }
    let value: Value = serde_json::from_str(&fs::read_to_string(&claude).unwrap()).unwrap();
    let args = value["mcpServers"]["fs"]["args"].as_array().unwrap();
    let package = "@modelcontextprotocol/server-filesystem";
    let expected = ["wrap", "--name", "fs", "--", "npx", "-y", package, "/srv/data"];
    assert_eq!(args.iter().map(|arg| arg.as_str().unwrap()).collect::<Vec<_>>(), expected);
    assert_eq!(value["mcpServers"]["fs"]["command"], DEEDS);
    assert_eq!(value["projects"]["/home/ana/proj"]["mcpServers"]["mem"]["env"]["TOKEN"], "s3cret");
    assert_eq!(fs::metadata(&claude).unwrap().permissions().mode() & 0o777, 0o600);

    let again = home.json(&["init", "--apply"]);
    assert!(again["files"].as_array().unwrap().iter().all(|file| file["changes"] == false), "{again}");
    let undone = home.json(&["init", "--undo"]);
    let files = undone["undone"].as_array().unwrap();
    assert_eq!(files.len(), 6, "{undone}");
    let how = |file: &Value| if file["client"] == "deeds" { "removed" } else { "exact" };
    assert!(files.iter().all(|file| file["how"] == how(file)), "{undone}");
    for (path, text) in home.clients() {
        assert_eq!(fs::read_to_string(path).unwrap(), text);
    }
    assert!(!home.path().join(".config/deeds/config.toml").exists());
    assert!(home.text(&["init", "--undo"]).contains("nothing to take back"));

    // what runs already is not undone by a file
    home.json(&["init", "--apply"]);
    home.json(&["principal", "add", "ana"]);
    let page = home.text(&["init", "--undo"]);
    assert!(page.contains("Restart the clients") && page.contains("`deeds stop` ends it"), "{page}");
    home.json(&["init", "--apply"]);
    home.json(&["stop"]);
    let page = home.text(&["init", "--undo"]);
    assert!(page.contains("Restart the clients") && !page.contains("deeds stop"), "{page}");
}

#[test]
fn clients_can_be_chosen_and_a_broken_file_keeps_nobody_else_from_being_wired() {
    let home = Home::with_clients();
    fs::write(home.path().join(".cursor/mcp.json"), "{ not json").unwrap();
    let output = home.output(&["init", "cursor", "codex", "--apply", "--json"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let errors: Vec<_> =
        report["files"].as_array().unwrap().iter().filter(|file| !file["error"].is_null()).collect();
    assert!(errors.len() == 1 && errors[0]["error"].as_str().unwrap().contains("line 1"), "{report}");
    assert!(fs::read_to_string(home.path().join(".codex/config.toml")).unwrap().contains("wrap"));
    assert_eq!(fs::read_to_string(home.path().join(".claude.json")).unwrap(), CLAUDE_CODE);
    home.json(&["init", "cursor", "--undo"]);
    assert!(fs::read_to_string(home.path().join(".codex/config.toml")).unwrap().contains("wrap"));
    home.json(&["init", "codex", "--undo"]);
    assert_eq!(fs::read_to_string(home.path().join(".codex/config.toml")).unwrap(), CODEX);
}

#[test]
fn two_that_apply_at_once_do_it_once() {
    let home = Home::with_clients();
    let apply = || home.deeds(&["init", "--apply", "--json"]).stdout(Stdio::piped()).spawn().unwrap();
    let both: Vec<Child> = (0..4).map(|_| apply()).collect();
    let mut written = 0;
    for child in both {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let files = report["files"].as_array().unwrap().iter();
        written += files.filter(|file| file["written"] == true).count();
    }
    assert_eq!(written, home.clients().len());
    let undone = home.json(&["init", "--undo"]);
    assert_eq!(undone["undone"].as_array().unwrap().len(), 6, "{undone}");
    for (path, text) in home.clients() {
        assert_eq!(fs::read_to_string(path).unwrap(), text);
    }
}

#[test]
fn a_file_that_could_not_be_wired_is_not_watched_as_if_it_had_been() {
    let home = Home::with_clients();
    let cursor = home.path().join(".cursor/mcp.json");
    fs::hard_link(&cursor, home.path().join("other name")).unwrap();
    let output = home.output(&["init", "cursor", "--apply"]);
    assert!(output.status.code() == Some(1) && said(&output).contains("2 names"), "{}", said(&output));
    let doctor = home.text(&["doctor"]);
    assert!(!doctor.contains("was wrapped and is not any more"), "{doctor}");
    let wired = fs::read_to_string(home.path().join(".config/deeds/wired.json")).unwrap();
    assert!(!wired.contains("mcp.json"), "{wired}");
}

#[test]
fn a_project_with_more_servers_than_anybody_has_is_refused_at_once() {
    let home = Home::new();
    let servers: Vec<String> = (0..200_000).map(|n| format!("\"s{n}\":1")).collect();
    let text = format!("{{\"mcpServers\":{{{}}}}}", servers.join(","));
    fs::write(home.project().join(".mcp.json"), text).unwrap();
    let output = home.output(&["init"]);
    assert!(
        output.status.code() == Some(1) && said(&output).contains("more than 1024 servers"),
        "{}",
        said(&output)
    );
}

#[test]
fn a_file_without_servers_is_listed_with_what_is_odd_about_it() {
    let home = Home::new();
    let cursor = home.path().join(".cursor/mcp.json");
    fs::create_dir_all(cursor.parent().unwrap()).unwrap();
    for (text, told) in [
        ("", "the file is empty"),
        ("{}", "it names no server"),
        ("{\"mcpServers\":[]}", "its `mcpServers` is not an object"),
        ("{\"mcpServers\":[\"x\"]}", "its `mcpServers` is not an object"),
    ] {
        fs::write(&cursor, text).unwrap();
        let page = home.text(&["init"]);
        assert!(page.contains(".cursor/mcp.json") && page.contains(told), "{text}: {page}");
    }
    let page = {
        let mut command = home.deeds(&["init"]);
        let output = command
            .env_remove("HOME")
            .env("XDG_CONFIG_HOME", home.path())
            .env("XDG_DATA_HOME", home.path())
            .output()
            .unwrap();
        said(&output)
    };
    assert!(page.contains("HOME is not set"), "{page}");
}

#[test]
fn a_broken_file_is_left_and_the_original_is_named() {
    let home = Home::with_clients();
    home.json(&["init", "cursor", "--apply"]);
    fs::write(home.path().join(".cursor/mcp.json"), "{ not json").unwrap();
    let output = home.output(&["init", "--undo"]);
    let told = said(&output);
    assert!(output.status.code() == Some(1) && told.contains("before is kept in"), "{told}");
    let again = home.text(&["init", "codex"]);
    assert!(!again.contains("then shows"), "{again}");
}

#[test]
fn where_nothing_is_found_it_is_told_where_was_looked() {
    let home = Home::new();
    let page = home.text(&["init"]);
    for told in ["No MCP server was found", ".claude.json", ".codex/config.toml", "deeds wrap --name NAME --"]
    {
        assert!(page.contains(told), "{told}: {page}");
    }
    assert!(home.json(&["init", "--apply"])["policy"].is_null());
    assert!(!home.path().join(".config/deeds/policy").exists());
}

#[test]
fn the_starter_policy_is_written_once_and_comes_into_force() {
    let home = Home::with_clients();
    let report = home.json(&["init", "--apply"]);
    assert_eq!(report["policy"]["files"], serde_json::json!(["starter.cedar", "classes.toml"]));
    let dir = home.path().join(".config/deeds/policy");
    assert_eq!(
        fs::read_to_string(home.path().join(".config/deeds/config.toml")).unwrap(),
        "policy = \"policy\"\n"
    );
    let classes = fs::read_to_string(dir.join("classes.toml")).unwrap();
    for row in
        ["uri = \"stdio:fs#read_text_file\"", "uri = \"stdio:mem#delete_entities\"", "# own-tool: its tools"]
    {
        assert!(classes.contains(row), "{row}: {classes}");
    }
    home.json(&["policy", "check", dir.to_str().unwrap()]);
    home.json(&["principal", "add", "ana"]);
    assert_eq!(home.json(&["policy", "show"])["source"], dir.to_str().unwrap());

    // a server that comes later gets its rows, below what is there; nothing is lost when that is undone
    let codex = home.path().join(".codex/config.toml");
    let wrapped = fs::read_to_string(&codex).unwrap();
    fs::write(
        &codex,
        format!("{wrapped}\n[mcp_servers.notes]\ncommand = \"mcp-server-memory\"\nargs = [\"x\"]\n"),
    )
    .unwrap();
    let page = home.text(&["init"]);
    assert!(page.contains("+uri = \"stdio:notes#delete_entities\""), "{page}");
    assert_eq!(fs::read_to_string(dir.join("classes.toml")).unwrap(), classes);
    let page = home.text(&["init", "--apply"]);
    let told = format!("deeds policy activate {}`; until then the new tools", dir.display());
    assert!(page.contains(&told) && page.contains("deletes pass"), "{page}");
    let longer = fs::read_to_string(dir.join("classes.toml")).unwrap();
    assert!(longer.starts_with(&classes) && longer.contains("stdio:notes#delete_entities"), "{longer}");
    home.json(&["policy", "check", dir.to_str().unwrap()]);
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 2, "nothing is left beside the files");
    let doctor = home.text(&["doctor"]);
    assert!(doctor.contains("differs from the policy in force"), "{doctor}");
    home.json(&["policy", "activate", dir.to_str().unwrap()]);
    assert!(home.text(&["doctor"]).contains("is sound"));
    home.json(&["init", "--apply"]);
    assert_eq!(fs::read_to_string(dir.join("classes.toml")).unwrap(), longer);

    fs::write(dir.join("classes.toml"), "# mine\n").unwrap();
    let again = home.json(&["init", "--apply"]);
    assert_eq!(again["policy"]["files"], serde_json::json!([]));
    assert_eq!(fs::read_to_string(dir.join("classes.toml")).unwrap(), "# mine\n");
    let undone = home.json(&["init", "--undo"]);
    assert_eq!(undone["policy_left"], dir.to_str().unwrap());
    assert!(dir.join("starter.cedar").exists() && !home.path().join(".config/deeds/config.toml").exists());
}

#[test]
fn a_wrap_finds_the_data_directory_that_init_was_told() {
    let home = Home::with_clients();
    let data = home.path().join("elsewhere");
    home.json(&["init", "codex", "--apply", "--data", data.to_str().unwrap()]);
    let text = fs::read_to_string(home.path().join(".codex/config.toml")).unwrap();
    let told = format!("[\"wrap\", \"--name\", \"fs\", \"--data\", \"{}\", \"--\", \"npx\"", data.display());
    assert!(text.contains(&told), "{text}");
}

#[test]
fn the_program_is_named_where_the_search_path_finds_this_very_one() {
    let home = Home::with_clients();
    let (bin, other) = (home.path().join("bin"), home.path().join("other"));
    for dir in [&bin, &other] {
        fs::create_dir(dir).unwrap();
    }
    std::os::unix::fs::symlink(DEEDS, bin.join("deeds")).unwrap();
    fs::write(other.join("deeds"), "#!/bin/sh\n").unwrap();
    let wired = |path: &str| {
        let mut command = home.deeds(&["init", "codex", "--apply"]);
        let output = command.env("PATH", path).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        let text = fs::read_to_string(home.path().join(".codex/config.toml")).unwrap();
        home.json(&["init", "codex", "--undo"]);
        text
    };
    let first = format!("{}:/usr/bin", bin.display());
    assert!(wired(&first).contains("command = \"deeds\"\n"));
    // another program of this name would be started
    let shadowed = format!("{}:{}", other.display(), bin.display());
    assert!(wired(&shadowed).contains(&format!("command = \"{DEEDS}\"\n")));
}

#[test]
fn the_doctor_tells_how_it_is_with_and_without_a_server() {
    let home = Home::with_clients();
    let report = home.json(&["doctor"]);
    assert!(!home.path().join(".local/share/deeds").exists(), "it starts nothing and makes nothing");
    assert_eq!(report["wrong"], 0, "{report}");
    let has = |report: &Value, topic: &str, told: &str| {
        let checks = report["checks"].as_array().unwrap().iter();
        let mut of_topic = checks.filter(|check| check["topic"] == topic);
        assert!(
            of_topic.any(|check| check["text"].as_str().unwrap().contains(told)),
            "{topic} {told}: {report}"
        );
    };
    has(&report, "wiring", "8 servers go around deeds");
    has(&report, "server", "no server runs");
    let page = home.text(&["doctor"]);
    let last = page.trim_end().lines().last().unwrap();
    assert!(last.contains("Nothing is wrapped yet: `deeds init` shows what it would change."), "{page}");
    home.json(&["init", "--apply"]);
    home.json(&["principal", "add", "ana"]);
    let report = home.json(&["doctor"]);
    for (topic, told) in [
        ("wiring", "8 servers are wrapped; 3 servers are not covered"),
        ("server", "the server runs"),
        ("server", "mode 0600"),
        ("policy", "is sound"),
        ("disk", "a sync takes"),
        ("disk", "free"),
        ("clock", "agrees"),
        ("log", "no witness"),
        ("log", "no act was recorded"),
        ("keys", "can read the keys of the log"),
        ("keys", "ana.key"),
    ] {
        has(&report, topic, told);
    }
    assert_eq!(report["wrong"], 0, "{report}");
    assert!(home.text(&["doctor"]).trim_end().ends_with("Nothing is wrong."));

    // what is to be put right is a finding
    let data = home.path().join(".local/share/deeds");
    fs::set_permissions(&data, Permissions::from_mode(0o755)).unwrap();
    fs::write(home.path().join(".config/deeds/policy/starter.cedar"), "permit (").unwrap();
    fs::write(home.path().join(".codex/config.toml"), CODEX).unwrap();
    let output = home.output(&["doctor", "--json"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["wrong"], 4, "{report}");
    has(&report, "disk", "chmod 700");
    has(&report, "policy", "cannot be used");
    has(&report, "wiring", "#fs` was wrapped and is not any more");
    fs::set_permissions(&data, Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn the_doctor_goes_on_where_this_program_has_another_name() {
    let home = Home::with_clients();
    let renamed = home.path().join("renamed");
    fs::hard_link(DEEDS, &renamed).or_else(|_| fs::copy(DEEDS, &renamed).map(drop)).unwrap();
    let mut command = Command::new(&renamed);
    command.args(["doctor", "--json"]).current_dir(home.path()).env_clear().env("HOME", home.path());
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let checks = report["checks"].as_array().unwrap();
    let of = |topic: &str| checks.iter().find(|check| check["topic"] == topic).unwrap();
    assert!(of("wiring")["text"].as_str().unwrap().contains("rename it"), "{report}");
    assert_eq!(of("disk")["level"], "note", "{report}");
}

#[test]
fn a_configuration_that_drops_the_wrap_is_recorded_once_and_again_when_it_is_back() {
    let home = Home::with_clients();
    home.json(&["init", "codex", "--apply"]);
    let path = home.path().join(".codex/config.toml");
    let wrapped = fs::read_to_string(&path).unwrap();
    home.json(&["principal", "add", "ana"]);
    let changes = |home: &Home| -> Vec<(String, bool)> {
        let size = home.json(&["status"])["sequenced"].as_u64().unwrap();
        let entries = (0..size).map(|index| home.json(&["entry", &format!("@{index}")]));
        let changed = entries.filter(|entry| entry["kind"] == "definition-changed");
        changed
            .map(|entry| {
                let fields = entry["fields"].as_array().unwrap();
                let field = |name: &str| {
                    fields.iter().find(|field| field["name"] == name).map(|field| &field["value"])
                };
                assert_eq!(field("what").unwrap(), "client-config", "{entry}");
                (field("name").unwrap().as_str().unwrap().to_owned(), field("old") != field("new"))
            })
            .collect()
    };
    // a server looks when it starts
    let restarted = |home: &Home, expected: usize| {
        home.json(&["stop"]);
        let start = std::time::Instant::now();
        loop {
            let found = changes(home);
            if found.len() >= expected || start.elapsed().as_secs() > 20 {
                break found;
            }
            std::thread::yield_now();
        }
    };
    fs::write(&path, CODEX.replace("mcp-server-memory", "mcp-server-memory-2")).unwrap();
    let label = |name: &str| format!("codex:{}#{name}", path.canonicalize().unwrap().display());
    let found = restarted(&home, 2);
    assert_eq!(found, [(label("fs"), true), (label("mem"), true)]);
    // the same again is no news
    assert_eq!(restarted(&home, 2).len(), 2);
    fs::write(&path, &wrapped).unwrap();
    assert_eq!(restarted(&home, 4).len(), 4);
    // taking it back is a way around, too
    home.json(&["init", "--undo"]);
    assert_eq!(restarted(&home, 6).len(), 6);
}

#[test]
fn completions_and_pages_are_made_for_what_people_use() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = home.text(&["completions", shell]);
        assert!(script.contains("doctor") && !script.contains("player"), "{shell}");
    }
    let dir = home.path().join("man");
    let report = home.json(&["man", "--out", dir.to_str().unwrap()]);
    let pages: Vec<_> =
        report["pages"].as_array().unwrap().iter().map(|page| page.as_str().unwrap()).collect();
    assert!(pages.contains(&"deeds.1") && pages.contains(&"deeds-policy-activate.1"), "{pages:?}");
    assert!(home.text(&["man"]).contains(".TH"));
    assert!(home.text(&["man", "policy", "check"]).contains(".TH deeds-policy-check"));
    let refused = home.output(&["man", "wrp"]);
    assert!(
        refused.status.code() == Some(2) && said(&refused).contains("no command `wrp`"),
        "{}",
        said(&refused)
    );
}

#[test]
fn a_system_installation_is_shown_step_by_step() {
    let home = Home::new();
    let page = home.text(&["install", "--system", "--peer", "root", "--peer", "4711"]);
    for told in [
        "useradd --system",
        "write /etc/systemd/system/deeds.service",
        "NoNewPrivileges=yes",
        "peers = [\"root\",\"4711\"]",
        "socket = \"/run/deeds/deeds.sock\"",
        "Nothing was done",
    ] {
        assert!(page.contains(told), "{told}: {page}");
    }
    let unknown = home.output(&["install", "--system", "--peer", "nobody-of-this-name"]);
    assert!(
        unknown.status.code() == Some(2) && said(&unknown).contains("knows no user"),
        "{}",
        said(&unknown)
    );
    assert!(home.text(&["install", "--system", "--uninstall"]).contains("stay: remove them by hand"));
    if !Path::new("/run/systemd/system").is_dir() || !is_root() {
        let refused = home.output(&["install", "--system", "--apply", "--peer", "4711"]);
        assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whether a test that needs root and `setpriv` can run. Says so aloud when not; in CI, root must be able to.
fn as_others() -> bool {
    let ci = std::env::var("CI").as_deref() == Ok("true");
    let tool = Command::new("setpriv").arg("--version").output().is_ok();
    if is_root() && tool {
        return true;
    }
    assert!(!(ci && is_root()), "`setpriv` is missing: install util-linux");
    eprintln!("SKIPPED: only root can run programs as several users");
    false
}

const SERVER: u32 = 47_001;
const ANA: u32 = 47_002;
const BOB: u32 = 47_003;
const EVE: u32 = 47_004;

/// A server under its own user that serves Ana and Bob.
struct System {
    dir: tempfile::TempDir,
    server: Child,
}

impl System {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
        // where everybody may run it, whatever the checkout's modes are
        testkit::copy_program(DEEDS, at("deeds"));
        for (name, owner, mode) in [
            ("data", SERVER, 0o700),
            ("run", SERVER, 0o750),
            ("ana", ANA, 0o700),
            ("bob", BOB, 0o700),
            ("eve", EVE, 0o700),
        ] {
            fs::create_dir(at(name)).unwrap();
            chown(at(name), Some(owner), Some(owner)).unwrap();
            fs::set_permissions(at(name), Permissions::from_mode(mode)).unwrap();
        }
        let config = format!(
            "data = \"{}\"\nsocket = \"{}\"\npeers = [{ANA}, \"{BOB}\"]\n",
            at("data").display(),
            at("run/deeds.sock").display()
        );
        fs::write(at("config.toml"), config).unwrap();
        let mut command = Self::run_as(dir.path(), SERVER, &["serve", "--config"]);
        command.arg(at("config.toml")).stderr(Stdio::null());
        let server = command.spawn().unwrap();
        let system = Self { dir, server };
        let start = std::time::Instant::now();
        while !system.socket().exists() {
            assert!(start.elapsed().as_secs() < 20, "the server does not start");
            std::thread::yield_now();
        }
        system
    }

    /// `deeds` as a user who is in the group of the server.
    fn run_as(dir: &Path, user: u32, args: &[&str]) -> Command {
        let mut command = Command::new("setpriv");
        command
            .args([
                "--reuid",
                &user.to_string(),
                "--regid",
                &user.to_string(),
                "--groups",
                &SERVER.to_string(),
            ])
            .arg(dir.join("deeds"))
            .args(args)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .current_dir("/");
        command
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("run/deeds.sock")
    }

    fn command(&self, user: u32, home: &str, args: &[&str]) -> Command {
        let mut command = Self::run_as(self.dir.path(), user, args);
        command.env("HOME", self.dir.path().join(home)).env("DEEDS_SOCKET", self.socket());
        command
    }

    fn ask(&self, user: u32, home: &str, args: &[&str]) -> Output {
        self.command(user, home, args).output().unwrap()
    }
}

impl Drop for System {
    fn drop(&mut self) {
        drop(self.server.kill());
        drop(self.server.wait());
    }
}

#[test]
fn a_server_under_its_own_user_serves_those_it_names_and_keeps_them_apart() {
    if !as_others() {
        return;
    }
    let system = System::start();
    let mode = fs::metadata(system.socket()).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o660);
    let added = system.ask(ANA, "ana", &["principal", "add", "ana", "--json"]);
    assert!(added.status.success(), "{}", said(&added));
    let status = system.ask(BOB, "bob", &["status", "--json"]);
    assert!(status.status.success(), "{}", said(&status));

    // in the group, and not named
    let eve = system.ask(EVE, "eve", &["status"]);
    assert!(
        eve.status.code() == Some(2) && said(&eve).contains("does not serve the user id 47004"),
        "{}",
        said(&eve)
    );

    // the policy is not for those whom it is about
    let policy = system.dir.path().join("policy");
    fs::create_dir(&policy).unwrap();
    fs::write(policy.join("a.cedar"), "@id(\"all\") permit (principal, action, resource);").unwrap();
    for path in [policy.clone(), policy.join("a.cedar")] {
        fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
    }
    let policy = policy.to_str().unwrap();
    let refused = system.ask(ANA, "ana", &["policy", "activate", policy]);
    assert!(refused.status.code() == Some(2) && said(&refused).contains("by root"), "{}", said(&refused));
    let own = system.ask(SERVER, "data", &["policy", "activate", policy]);
    assert!(own.status.success(), "{}", said(&own));

    // the log is out of reach, and the doctor says so
    let keys = system.dir.path().join("data/keys/log.key");
    let read = Command::new("setpriv")
        .args([
            "--reuid",
            &ANA.to_string(),
            "--regid",
            &ANA.to_string(),
            "--groups",
            &SERVER.to_string(),
            "cat",
        ])
        .arg(&keys)
        .output()
        .unwrap();
    assert!(!read.status.success());
    let doctor = system.ask(BOB, "bob", &["doctor", "--json"]);
    assert!(doctor.status.success(), "{}", said(&doctor));
    assert!(said(&doctor).contains("no key is in reach of this user"), "{}", said(&doctor));

    let wrap = ["wrap", "--name", "x", "--", "/bin/cat"];
    let mut run = system.command(ANA, "ana", &wrap);
    let mut run = run.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let start = std::time::Instant::now();
    let id = loop {
        let runs = system.ask(ANA, "ana", &["runs", "--json"]);
        let runs: Value = serde_json::from_slice(&runs.stdout).unwrap();
        if let Some(run) = runs["runs"].get(0) {
            assert_eq!(run["initiator"]["value"]["sub"], "uid:47002", "{run}");
            break run["run"].as_str().unwrap().to_owned();
        }
        assert!(start.elapsed().as_secs() < 20, "the run does not start");
    };
    // Bob speaks for no run of Ana's, nor joins it
    let mut join = system.command(BOB, "bob", &wrap);
    let joined = join.env("DEEDS_RUN", &id).stdin(Stdio::null()).output().unwrap();
    assert!(
        !joined.status.success() && said(&joined).contains("belongs to another user"),
        "{}",
        said(&joined)
    );
    drop(run.stdin.take());
    run.wait().unwrap();
}

#[test]
fn a_server_that_somebody_else_keeps_is_not_started_from_here() {
    let home = Home::new();
    let socket = home.path().join("none.sock");
    let mut command = home.deeds(&["principal", "add", "ana"]);
    let output = command.env("DEEDS_SOCKET", &socket).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("not started from here"), "{}", said(&output));
    assert!(!home.path().join(".local/share/deeds/local").exists());
    // whoever names a data directory means that one
    let data = home.path().join("own");
    let mut command = home.deeds(&["principal", "add", "ana", "--data", data.to_str().unwrap()]);
    let output = command.env("DEEDS_SOCKET", &socket).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    drop(home.deeds(&["stop", "--data", data.to_str().unwrap()]).output());
}

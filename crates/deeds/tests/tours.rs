//! Tours of official MCP servers by official clients, without deeds and behind it: every method that the servers offer,
//! in both eras where they speak both, byte for byte the same on the client's side of the pipe; and with a policy that
//! forbids some of it, different in exactly that. The tours are in `peers/tours`; `scripts/peers` installs the
//! programs. Without them these tests say so and pass, and fail with `CI=true`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at what it did not expect"
)]
#![allow(clippy::indexing_slicing, reason = "a test stops at what it did not expect")]

mod support;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use support::{DEEDS, Data, PYTHON, on_path, peer, root};

/// One client on its way through one server.
#[derive(Clone, Copy)]
struct Tour {
    /// Of the tour, and of the server behind `wrap`.
    name: &'static str,
    client: Client,
    /// How the client begins; see `peers/tour.py` and `peers/tour.mjs`.
    era: &'static str,
    /// The revision that client and server agree on.
    revision: &'static str,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Client {
    Python,
    TypeScript,
}

const LEGACY: &str = "2025-11-25";
const MODERN: &str = "2026-07-28";

const fn tour(name: &'static str, client: Client, era: &'static str, revision: &'static str) -> Tour {
    Tour { name, client, era, revision }
}

/// What passed between client and server, on the client's side of deeds.
struct Travelled {
    /// Holds the directory of the tour, and the log where there is one.
    data: Data,
    frames: Vec<Frame>,
    /// What the client made of it, a line a step.
    told: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Frame {
    from: String,
    text: String,
}

impl Frame {
    fn value(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }
}

/// The files that a tour is about, made anew for each.
fn prepare(tour: Tour, dir: &Path) {
    let git = |args: &[&str]| {
        let mut command = Command::new("git");
        command.args(args).current_dir(dir.join("repo")).env_clear().envs(surroundings(dir));
        assert!(command.status().unwrap().success(), "git {args:?}");
    };
    std::fs::create_dir(dir.join("home")).unwrap();
    match tour.name {
        "filesystem" => {
            std::fs::create_dir(dir.join("files")).unwrap();
            std::fs::write(dir.join("files/hello.txt"), "hello\n").unwrap();
            std::fs::write(dir.join("outside.txt"), "not for the server\n").unwrap();
        }
        "git" => {
            let notes = dir.join("repo/notes.txt");
            std::fs::create_dir(dir.join("repo")).unwrap();
            git(&["init", "-q", "-b", "main"]);
            std::fs::write(&notes, "one\n").unwrap();
            git(&["add", "."]);
            git(&["commit", "-qm", "first"]);
            std::fs::write(&notes, "one\ntwo\n").unwrap();
            git(&["commit", "-qam", "second"]);
            std::fs::write(&notes, "one\ntwo\nthree\n").unwrap();
            std::fs::write(dir.join("repo/new.txt"), "new\n").unwrap();
        }
        _ => {}
    }
}

/// The whole environment of client, deeds and server: the same for all, so that a server that prints it prints the same.
fn surroundings(dir: &Path) -> HashMap<String, String> {
    let mut all: HashMap<String, String> =
        [("PATH", env!("PATH")), ("LANG", "C.UTF-8"), ("TZ", "UTC"), ("GIT_CONFIG_GLOBAL", "/dev/null")]
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
    for who in ["AUTHOR", "COMMITTER"] {
        // with the time of a commit its name is always the same
        for (what, value) in
            [("NAME", "Ana"), ("EMAIL", "ana@example.com"), ("DATE", "2026-01-02T03:04:05 +0000")]
        {
            all.insert(format!("GIT_{who}_{what}"), value.to_owned());
        }
    }
    let mut path =
        |name: &str, below: &str| all.insert(name.to_owned(), dir.join(below).display().to_string());
    path("HOME", "home");
    path("XDG_CONFIG_HOME", "config");
    path("MEMORY_FILE_PATH", "memory.jsonl");
    all
}

/// The server's command; nothing where it is not installed.
fn server(tour: Tour, dir: &Path) -> Option<Vec<String>> {
    let below = |name: &str| dir.join(name).display().to_string();
    let (program, args) = match tour.name {
        "everything" => (".peers/node/node_modules/.bin/mcp-server-everything", vec!["stdio".to_owned()]),
        "filesystem" => (".peers/node/node_modules/.bin/mcp-server-filesystem", vec![below("files")]),
        "memory" => (".peers/node/node_modules/.bin/mcp-server-memory", vec![]),
        "time" => (".peers/python/bin/mcp-server-time", vec![]),
        "git" => (".peers/python/bin/mcp-server-git", vec!["--repository".to_owned(), below("repo")]),
        other => panic!("{other}"),
    };
    let program = peer(program)?.display().to_string();
    Some([vec![program], args].concat())
}

/// Takes the tour, behind `deeds wrap` where there is a policy for it.
fn travel(tour: Tour, policy: Option<&str>) -> Option<Travelled> {
    let python = peer(PYTHON)?;
    if !on_path("node") || (tour.name == "git" && !on_path("git")) {
        return None;
    }
    let data = Data::new();
    let dir = data.path().canonicalize().unwrap();
    let server = server(tour, &dir)?;
    prepare(tour, &dir);
    let script = root().join("peers/tours").join(tour.name).with_extension("json");
    let transcript = dir.join("transcript");
    let mut client = match tour.client {
        Client::Python => Command::new(&python),
        Client::TypeScript => Command::new("node"),
    };
    client.arg(root().join(if tour.client == Client::Python { "peers/tour.py" } else { "peers/tour.mjs" }));
    client.arg(tour.era).arg(&script).arg(&dir);
    client.arg(&python).arg(root().join("peers/tee.py")).arg(&script).arg(&dir).arg(&transcript);
    if let Some(policy) = policy {
        let policies = dir.join("policy");
        std::fs::create_dir(&policies).unwrap();
        std::fs::write(policies.join("tour.cedar"), policy).unwrap();
        data.json(&["policy", "activate", policies.to_str().unwrap()]);
        client.arg(DEEDS).arg("--data").arg(data.data()).args(["wrap", "--name", tour.name, "--"]);
    }
    let output = client.args(server).env_clear().envs(surroundings(&dir)).current_dir(&dir).output().unwrap();
    let (told, errors) = (text(&output.stdout), text(&output.stderr));
    let frames = frames(&transcript);
    let last: Vec<String> = frames.iter().rev().take(4).map(|frame| format!("{frame:.400?}")).collect();
    assert!(
        output.status.success(),
        "{}: {}\n{told}\n{errors}\n{}",
        tour.name,
        output.status,
        last.join("\n")
    );
    Some(Travelled { data, frames, told })
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn frames(transcript: &PathBuf) -> Vec<Frame> {
    let lines = std::fs::read_to_string(transcript).unwrap();
    let frame = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        Frame {
            from: line["from"].as_str().unwrap().to_owned(),
            text: line["frame"].as_str().unwrap().to_owned(),
        }
    };
    lines.lines().map(frame).collect()
}

/// Permits everything, also what servers ask for.
const PERMIT: &str = "@id(\"all\") permit (principal, action, resource);\n";

/// Methods that are decided, whoever asks.
const DECIDED: [&str; 7] = [
    "tools/call",
    "resources/read",
    "prompts/get",
    "completion/complete",
    "sampling/createMessage",
    "elicitation/create",
    "roots/list",
];

/// The tour is the same behind deeds as without it, and each act on it is in the log.
fn is_the_same(tour: Tour) {
    let (Some(direct), Some(wrapped)) = (travel(tour, None), travel(tour, Some(PERMIT))) else { return };
    assert!(direct.frames.iter().any(|frame| frame.text.contains(tour.revision)), "{}", direct.told);
    for (at, (there, here)) in direct.frames.iter().zip(&wrapped.frames).enumerate() {
        assert_eq!(there, here, "frame {at} without deeds (left) and behind it (right)");
    }
    assert_eq!(direct.frames.len(), wrapped.frames.len());
    assert_eq!(direct.told, wrapped.told);
    are_recorded(&wrapped, |row| assert_eq!(row["verdict"]["value"], "allow", "{row}"));
}

/// How many acts are asked for in a frame: none, one, or as many as the error that wants URLs to be visited names.
fn acts_in(frame: &Value) -> usize {
    let decided = frame["method"].as_str().is_some_and(|method| DECIDED.contains(&method));
    // about a task that no call began
    let foreign = frame["params"]["taskId"] == "no-such-task";
    let visits = frame["error"]["data"]["elicitations"].as_array().map_or(0, Vec::len);
    usize::from(decided || foreign) + visits
}

/// Each act of the tour is a row of `deeds did`, with its outcome.
fn are_recorded(wrapped: &Travelled, check: impl Fn(&Value)) {
    let acts: usize = wrapped.frames.iter().map(|frame| acts_in(&frame.value())).sum();
    let did = wrapped.data.json(&["did", "--limit", "1000"]);
    let rows = did["actions"].as_array().unwrap();
    assert_eq!(rows.len(), acts, "as many rows as acts: {did}");
    for row in rows {
        check(row);
        assert!(row["args_digest"]["value"].is_string(), "{row}");
        let denied = row["verdict"]["value"] == "deny";
        assert!(denied || row["outcome"]["status"]["value"].is_string(), "an outcome: {row}");
    }
}

macro_rules! the_same {
    ($($name:ident: $tour:literal, $client:ident, $era:literal, $revision:ident;)*) => {
        $(#[test]
        fn $name() {
            is_the_same(tour($tour, Client::$client, $era, $revision));
        })*
    };
}

the_same! {
    everything_by_the_python_client: "everything", Python, "probe", LEGACY;
    everything_by_the_typescript_client: "everything", TypeScript, "initialize", LEGACY;
    filesystem_by_the_python_client: "filesystem", Python, "probe", LEGACY;
    filesystem_by_the_typescript_client: "filesystem", TypeScript, "initialize", LEGACY;
    memory_by_the_python_client: "memory", Python, "initialize", LEGACY;
    memory_by_the_typescript_client: "memory", TypeScript, "initialize", LEGACY;
    time_by_the_python_client: "time", Python, "initialize", LEGACY;
    time_by_the_typescript_client: "time", TypeScript, "initialize", LEGACY;
    time_stateless_by_the_python_client: "time", Python, "discover", MODERN;
    time_stateless_by_the_typescript_client: "time", TypeScript, "discover", MODERN;
    git_by_the_python_client: "git", Python, "initialize", LEGACY;
    git_by_the_typescript_client: "git", TypeScript, "initialize", LEGACY;
    git_stateless_by_the_python_client: "git", Python, "discover", MODERN;
    git_stateless_by_the_typescript_client: "git", TypeScript, "discover", MODERN;
}

/// A frame as it has to be behind a policy that forbids some.
enum Expected<'a> {
    Same(&'a Frame),
    /// The answer to what the policy with this id forbids, or to what could not be done without it.
    Refused {
        answer: &'a Frame,
        policy: &'static str,
    },
}

/// What the transcript has to become: `forbidden` names the policy that forbids a request. What a server is refused
/// never reaches the client, so neither does the client answer; the call in which it asked ends with the refusal.
fn refused(direct: &[Frame], forbidden: impl Fn(&Value) -> Option<&'static str>) -> Vec<Expected<'_>> {
    let mut expected = Vec::new();
    // answers that differ, by who gives them and id
    let mut differ: HashMap<(String, String), &'static str> = HashMap::new();
    let mut dropped: Vec<String> = Vec::new();
    let mut last_call = None;
    for frame in direct {
        let value = frame.value();
        let id = value["id"].to_string();
        let policy = forbidden(&value);
        match (frame.from.as_str(), value["method"].as_str(), policy) {
            ("client", Some(_), policy) => {
                last_call = Some(id.clone());
                if let Some(policy) = policy {
                    differ.insert(("server".to_owned(), id), policy);
                }
                expected.push(Expected::Same(frame));
            }
            ("server", Some(_), Some(policy)) => {
                differ.insert(("server".to_owned(), last_call.clone().expect("a call")), policy);
                dropped.push(id);
            }
            ("client", None, _) if dropped.contains(&id) => {}
            ("server", None, Some(policy)) => expected.push(Expected::Refused { answer: frame, policy }),
            (from, None, _) => match differ.get(&(from.to_owned(), id)) {
                Some(policy) => expected.push(Expected::Refused { answer: frame, policy }),
                None => expected.push(Expected::Same(frame)),
            },
            _ => expected.push(Expected::Same(frame)),
        }
    }
    expected
}

/// The differences are exactly the refusals.
fn differs_where_forbidden(
    tour: Tour,
    rules: &str,
    refusals: usize,
    forbidden: impl Fn(&Value) -> Option<&'static str>,
) {
    let (Some(direct), Some(wrapped)) = (travel(tour, None), travel(tour, Some(rules))) else { return };
    let expected = refused(&direct.frames, &forbidden);
    let mut seen = 0;
    for (at, (there, here)) in expected.iter().zip(&wrapped.frames).enumerate() {
        match there {
            Expected::Same(frame) => assert_eq!(*frame, here, "frame {at} without deeds and behind it"),
            Expected::Refused { answer, policy } => {
                seen += 1;
                assert_eq!(here.value()["id"], answer.value()["id"], "frame {at}: {here:?}");
                let value = here.value();
                let is_refusal = value["result"]["isError"] == true || value["error"]["code"].is_i64();
                assert!(is_refusal && here.text.contains(policy), "frame {at}, `{policy}`: {here:?}");
            }
        }
    }
    assert_eq!((wrapped.frames.len(), seen), (expected.len(), refusals));
    let did = wrapped.data.json(&["did", "--limit", "1000"]);
    let denied = did["actions"].as_array().unwrap().iter().filter(|row| row["verdict"]["value"] == "deny");
    assert_eq!(denied.count(), refusals, "{did}");
}

#[test]
fn everything_is_refused_where_policy_forbids_it_and_nowhere_else() {
    let rules = r#"
        @id("all") permit (principal, action, resource);
        @id("no-echo") forbid (principal, action, resource == Deeds::Tool::"stdio:everything#echo");
        @id("no-static-documents") forbid (principal, action == Deeds::Action::"resources/read", resource)
            when { context.args.hasTag("uri") && context.args.getTag("uri") like "demo://resource/static/*" };
        @id("no-args-prompt") forbid (principal, action == Deeds::Action::"prompts/get", resource)
            when { context.args.hasTag("name") && context.args.getTag("name") == "args-prompt" };
        @id("no-completion") forbid (principal, action == Deeds::Action::"completion/complete", resource);
        @id("no-sampling") forbid (principal, action == Deeds::Action::"sampling/createMessage", resource);
    "#;
    let tour = tour("everything", Client::Python, "probe", LEGACY);
    differs_where_forbidden(tour, rules, 10, |frame| {
        let name = frame["params"]["name"].as_str();
        match frame["method"].as_str()? {
            "tools/call" if name == Some("echo") => Some("no-echo"),
            "resources/read" if frame["params"]["uri"].as_str()?.contains("/static/") => {
                Some("no-static-documents")
            }
            "prompts/get" if name == Some("args-prompt") => Some("no-args-prompt"),
            "completion/complete" => Some("no-completion"),
            "sampling/createMessage" => Some("no-sampling"),
            _ => None,
        }
    });
}

#[test]
fn what_a_server_asks_for_is_refused_where_no_rule_names_it() {
    let rules = r#"
        @id("acts") permit (principal, action in Deeds::Action::"act", resource);
        @id("roots") permit (principal, action == Deeds::Action::"roots/list", resource);
    "#;
    let tour = tour("everything", Client::Python, "probe", LEGACY);
    // the seventh is what an error asks for: a URL to be visited before the call is made again
    differs_where_forbidden(tour, rules, 7, |frame| match frame["method"].as_str() {
        Some("sampling/createMessage" | "elicitation/create") => Some("no policy permits"),
        None if frame["error"]["data"]["elicitations"].is_array() => Some("no policy permits"),
        _ => None,
    });
}

#[test]
fn a_stateless_server_is_refused_where_policy_forbids_it_and_nowhere_else() {
    let rules = r#"
        @id("all") permit (principal, action, resource);
        @id("no-clock") forbid (principal, action == Deeds::Action::"tools/call", resource)
            when { context.args.hasTag("timezone") && context.args.getTag("timezone") like "Europe/*" };
        @id("no-prompts") forbid (principal, action == Deeds::Action::"prompts/get", resource);
    "#;
    for client in [Client::Python, Client::TypeScript] {
        differs_where_forbidden(tour("time", client, "discover", MODERN), rules, 2, |frame| {
            match frame["method"].as_str()? {
                "tools/call" if frame["params"]["arguments"]["timezone"] == "Europe/Stockholm" => {
                    Some("no-clock")
                }
                "prompts/get" => Some("no-prompts"),
                _ => None,
            }
        });
    }
}

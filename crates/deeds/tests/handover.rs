//! An agent, its sub-agent and the sub-agent's sub-agent: three processes with three keys, one of them in Python, on a
//! file server that others wrote. Who gave what to whom is answered and proven; the one in the middle is revoked while
//! it works.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at what it did not expect"
)]
#![allow(clippy::indexing_slicing, reason = "a test stops at what it did not expect")]

mod support;

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};
use support::{DEEDS, Data, FILESYSTEM, Mcp, PYTHON, peer, root};

/// The agent in Python: signs its own proofs, narrows its own delegation.
struct Agent {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Agent {
    fn start(data: &Data, delegation: &Path, server: &[&str]) -> Self {
        let mut command = Command::new(root().join(PYTHON));
        command.arg(root().join("peers/delegated_agent.py")).arg(delegation).arg("files");
        command.arg(DEEDS).arg("--data").arg(data.data());
        command.args(["wrap", "--name", "files", "--require-delegation", "--"]).args(server);
        command.env("PYTHONPATH", root().join("clients/python")).env("HOME", data.path());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let stdin = child.stdin.take().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let mut agent = Self { child, stdin, stdout };
        assert_eq!(agent.answer(), json!({"ready": true}));
        agent
    }

    fn answer(&mut self) -> Value {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("the Python agent said `{line}`: {error}"))
    }

    fn ask(&mut self, what: &Value) -> Value {
        writeln!(self.stdin, "{what}").unwrap();
        self.stdin.flush().unwrap();
        self.answer()
    }

    fn call(&mut self, tool: &str, args: &Value) -> Result<String, String> {
        said(&self.ask(&json!({"call": tool, "args": args})))
    }

    fn close(mut self) {
        drop(self.stdin);
        self.child.wait().unwrap();
    }
}

fn said(answer: &Value) -> Result<String, String> {
    let text = answer["text"].as_str().unwrap_or_default().to_owned();
    if answer["error"] == true { Err(text) } else { Ok(text) }
}

/// Person, policy, folders and the delegation to the first agent.
struct Scene {
    data: Data,
    files: PathBuf,
    server: PathBuf,
}

impl Scene {
    fn set() -> Option<Self> {
        let (Some(_), Some(server)) = (peer(PYTHON), peer(FILESYSTEM)) else { return None };
        let data = Data::new();
        let files = data.path().join("files");
        std::fs::create_dir_all(files.join("in")).unwrap();
        std::fs::create_dir_all(files.join("out")).unwrap();
        let files = files.canonicalize().unwrap();
        std::fs::write(files.join("in/minutes.txt"), "minutes\n").unwrap();
        std::fs::write(files.join("plan.txt"), "plan\n").unwrap();
        let policy = data.path().join("policy");
        std::fs::create_dir(&policy).unwrap();
        std::fs::write(policy.join("all.cedar"), "@id(\"all\") permit (principal, action, resource);\n")
            .unwrap();
        data.json(&["policy", "activate", policy.to_str().unwrap()]);
        let scene = Self { data, files, server };
        scene.data.json(&["principal", "add", "maya", "--key", &scene.text("maya.key")]);
        let (all, read) = (scene.under(""), scene.under(""));
        scene.data.json(&[
            "delegate",
            "--as",
            &scene.text("maya.key"),
            "--new-key",
            "--agent",
            "coordinator",
            "--max-depth",
            "3",
            "--ttl",
            "1h",
            "--purpose",
            "prepare the meeting",
            "--tool",
            "stdio:files#read_text_file",
            "--arg",
            &read,
            "--tool",
            "stdio:files#write_file",
            "--arg",
            &all,
            "--arg",
            "content=*",
            "-o",
            &scene.text("a.json"),
        ]);
        Some(scene)
    }

    fn text(&self, name: &str) -> String {
        self.data.path().join(name).to_str().unwrap().to_owned()
    }

    fn file(&self, name: &str) -> String {
        self.files.join(name).to_str().unwrap().to_owned()
    }

    fn under(&self, name: &str) -> String {
        let path = self.file(name);
        format!("path=path_under:{}", path.trim_end_matches('/'))
    }

    fn served(&self) -> [String; 2] {
        [self.server.to_str().unwrap().to_owned(), self.files.to_str().unwrap().to_owned()]
    }

    /// An agent that lets its wrap sign for it.
    fn wrapped(&self, delegation: &str) -> Mcp {
        let mut command = self.data.command();
        command.args(["wrap", "--name", "files", "--"]).args(self.served());
        Mcp::start(command.env("DEEDS_DELEGATION", self.data.path().join(delegation)))
    }

    fn python(&self, delegation: &str) -> Agent {
        let [server, files] = self.served();
        Agent::start(&self.data, &self.data.path().join(delegation), &[&server, &files])
    }

    /// From the first agent to the second: what lies in `in` may be read, `out` may be written.
    fn to_researcher(&self) -> Value {
        let (input, output) = (self.under("in"), self.under("out"));
        self.data.json(&[
            "delegate",
            "--from",
            &self.text("a.json"),
            "--new-key",
            "--agent",
            "researcher",
            "--handoff",
            "summarise what lies in `in`",
            "--tool",
            "stdio:files#read_text_file",
            "--arg",
            &input,
            "--tool",
            "stdio:files#write_file",
            "--arg",
            &output,
            "--arg",
            "content=*",
            "-o",
            &self.text("b.json"),
        ])
    }

    /// From the second agent, in Python, to the third: what lies in `in` may be read.
    fn to_reader(&self, researcher: &mut Agent) {
        let row = json!({"path": {"constraint_type": "path_under", "path": self.file("in")}});
        let given = researcher
            .ask(&json!({"hand": "reader", "text": "read the minutes", "out": self.text("c.json"),
            "tools": {"stdio:files#read_text_file": row}}));
        assert_eq!(given["error"], false, "{given}");
        let wider = json!({"path": {"constraint_type": "path_under", "path": self.file("")}});
        let refused = researcher.ask(&json!({"hand": "reader", "text": "", "out": self.text("wider.json"),
            "tools": {"stdio:files#read_text_file": wider}}));
        assert_eq!(refused["error"], true, "no file for what would be wider: {refused}");
    }

    fn acts(&self, who: &str) -> Vec<Value> {
        let did = self.data.json(&["did", who, "--limit", "1000"]);
        did["actions"].as_array().unwrap().clone()
    }
}

fn index(action: &Value) -> u64 {
    action["index"].as_u64().unwrap_or_else(|| panic!("{action}"))
}

fn is_allowed(action: &Value) -> bool {
    action["verdict"]["value"] == "allow"
}

#[test]
fn authority_is_handed_down_narrower_named_at_each_hop_and_taken_back_in_the_middle() {
    let Some(scene) = Scene::set() else { return };
    let mut coordinator = scene.wrapped("a.json");
    coordinator.call("read_text_file", &json!({"path": scene.file("plan.txt")})).unwrap();
    scene.to_researcher();
    let mut researcher = scene.python("b.json");
    let minutes = json!({"path": scene.file("in/minutes.txt")});
    assert_eq!(researcher.call("read_text_file", &minutes).unwrap(), "minutes\n");
    let plan = json!({"path": scene.file("plan.txt")});
    let refused = researcher.call("read_text_file", &plan).unwrap_err();
    assert!(refused.contains("scope"), "its parent may, it may not: {refused}");
    scene.to_reader(&mut researcher);
    let mut reader = scene.wrapped("c.json");
    assert_eq!(reader.call("read_text_file", &minutes).unwrap(), "minutes\n");
    let note = json!({"path": scene.file("out/note.txt"), "content": "x"});
    assert!(reader.call("write_file", &note).unwrap_err().contains("scope"));
    assert!(!Path::new(&scene.file("out/note.txt")).exists());

    let act = scene.acts("reader").iter().find(|action| is_allowed(action)).map(index).unwrap();
    check_authority(&scene, act);
    check_proof(&scene, act);
    check_replay(&scene, &mut researcher, &minutes);
    check_revoked(&scene, &mut coordinator, &mut researcher, &mut reader);

    reader.close();
    researcher.close();
    coordinator.close();
    check_manifests(&scene);
}

/// Person, agents, keys, scopes and labels at each hop.
fn check_authority(scene: &Scene, act: u64) {
    let authority = scene.data.json(&["authority", &format!("@{act}")]);
    let links = authority["chain"].as_array().unwrap_or_else(|| panic!("{authority}"));
    let holders: Vec<&Value> = links.iter().map(|link| &link["holder"]["value"]["id"]).collect();
    assert_eq!(holders, ["coordinator", "researcher", "reader"], "{authority}");
    let keys: std::collections::BTreeSet<&str> =
        links.iter().map(|link| link["key"].as_str().unwrap()).collect();
    assert_eq!(keys.len(), 3, "three keys: {authority}");
    assert!(links.iter().all(|link| link["holder"]["assurance"] == "delegator-asserted"), "{authority}");
    assert!(links.iter().all(|link| link["shares_key"] == false));
    assert_eq!(authority["principal"]["principal"]["value"]["sub"], "maya");
    let narrowed = |link: usize| links[link]["narrowed"].to_string();
    assert!(
        narrowed(1).contains("/in") && narrowed(2).contains("write_file"),
        "{} {}",
        narrowed(1),
        narrowed(2)
    );
    assert_eq!(authority["handoff"]["value"]["text"], "read the minutes", "{authority}");
    assert!(authority["parent_run"].to_string().len() > 30, "{authority}");
}

/// The evidence in a directory with nothing else, five years later, to two verifiers.
fn check_proof(scene: &Scene, act: u64) {
    let alone = tempfile::tempdir().unwrap();
    let file = alone.path().join("action.deeds");
    let proven =
        scene.data.command().arg("prove").arg(format!("@{act}")).arg("-o").arg(&file).output().unwrap();
    assert!(proven.status.success(), "{}", String::from_utf8_lossy(&proven.stderr));
    let later = |program: &Path| {
        let mut command = Command::new("faketime");
        command.args(["-f", "+5y"]).arg(program).current_dir(alone.path()).env("HOME", alone.path());
        command
    };
    let check = |mut command: Command| {
        let output = command.output().expect("faketime is installed: run scripts/peers");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
        text
    };
    let mut year = later(Path::new("date"));
    year.arg("+%Y");
    let mut now = Command::new("date");
    now.arg("+%Y");
    let years = |text: String| text.trim().parse::<u32>().unwrap();
    assert_eq!(years(check(year)), years(check(now)) + 5, "the clock is five years ahead");
    let mut rust = later(Path::new(DEEDS));
    rust.args(["--json", "verify", "action.deeds"]);
    let report: Value = serde_json::from_str(&check(rust)).unwrap();
    assert!(report.to_string().contains("\"verified\""), "{report}");
    let mut python = later(&root().join(PYTHON));
    python.arg(root().join("tools/verify.py")).arg("action.deeds");
    let said = check(python);
    assert!(said.contains("verified"), "{said}");
}

/// The same proof again, on the same connection and on another one: never a second act.
fn check_replay(scene: &Scene, researcher: &mut Agent, args: &Value) {
    researcher.call("read_text_file", args).unwrap();
    let before = scene.acts("researcher").iter().filter(|action| is_allowed(action)).count();
    let again = said(&researcher.ask(&json!({"again": true})));
    assert!(again.is_err(), "{again:?}");
    assert_eq!(scene.acts("researcher").iter().filter(|action| is_allowed(action)).count(), before);
}

/// The one in the middle is revoked from a moment on that has passed.
fn check_revoked(scene: &Scene, coordinator: &mut Mcp, researcher: &mut Agent, reader: &mut Mcp) {
    let minutes = json!({"path": scene.file("in/minutes.txt")});
    let second = |action: &Value| {
        let authority = scene.data.json(&["authority", &format!("@{}", index(action))]);
        authority["decision"]["decided_at_ms"]["value"].as_u64().unwrap() / 1_000
    };
    let last = second(&scene.acts("researcher")[0]);
    // it works on into the next second, from which on it was not the one that it should be
    loop {
        researcher.call("read_text_file", &minutes).unwrap();
        reader.call("read_text_file", &minutes).unwrap();
        let (one, other) = (&scene.acts("researcher")[0], &scene.acts("reader")[0]);
        if second(one) > last && second(other) > last {
            break;
        }
    }
    let effective = last + 1;
    let mut doubted: Vec<u64> = ["researcher", "reader"]
        .iter()
        .flat_map(|who| scene.acts(who))
        .filter(|action| is_allowed(action) && second(action) >= effective)
        .map(|action| index(&action))
        .collect();
    doubted.sort_unstable();
    assert!(doubted.len() >= 2);
    let given: Value = serde_json::from_slice(&std::fs::read(scene.text("b.json")).unwrap()).unwrap();
    let key = evidence::jws::Jwk::parse(&{
        let mut public = given["key"].clone();
        public.as_object_mut().unwrap().remove("d");
        public
    });
    let at = jiff::Timestamp::from_second(i64::try_from(effective).unwrap()).unwrap().to_string();
    let revoked = scene.data.json(&[
        "revoke",
        &key.unwrap().thumbprint(),
        "--effective",
        &at,
        "--why",
        "its key was copied",
        "--as",
        &scene.text("maya.key"),
    ]);
    let doubt = scene.data.json(&["doubt", &format!("@{}", revoked["index"])]);
    let mut listed: Vec<u64> = doubt["actions"].as_array().unwrap().iter().map(index).collect();
    listed.sort_unstable();
    assert_eq!(listed, doubted, "{doubt}");

    for refused in [researcher.call("read_text_file", &minutes), reader.call("read_text_file", &minutes)] {
        assert!(refused.as_ref().is_err_and(|text| text.contains("revoked")), "{refused:?}");
    }
    coordinator.call("read_text_file", &json!({"path": scene.file("plan.txt")})).unwrap();
    let refusal = scene.acts("reader")[0].clone();
    assert_eq!(refusal["verdict"]["value"], "deny");
    assert!(refusal.to_string().contains("revoked"), "{refusal}");
}

/// Each run is announced by its parent's, and the parent's manifest lists it.
fn check_manifests(scene: &Scene) {
    let runs = scene.data.json(&["runs"]);
    let of = |holder: &str| {
        let rows = runs["runs"].as_array().unwrap();
        rows.iter()
            .find(|row| row["holder"]["value"]["id"] == holder)
            .unwrap_or_else(|| panic!("{runs}"))
            .clone()
    };
    let id = |row: &Value| row["run"].as_str().or(row["run"]["value"].as_str()).unwrap().to_owned();
    let (first, second, third) = (of("coordinator"), of("researcher"), of("reader"));
    assert!(second.to_string().contains(&id(&first)), "{second}");
    assert!(third.to_string().contains(&id(&second)), "{third}");
    let file = scene.data.path().join("run.deeds");
    let proven = scene.data.command().args(["prove", &id(&first), "-o"]).arg(&file).output().unwrap();
    assert!(proven.status.success(), "{}", String::from_utf8_lossy(&proven.stderr));
    let report = scene.data.command().args(["--json", "verify"]).arg(&file).output().unwrap();
    let text = String::from_utf8_lossy(&report.stdout);
    assert!(report.status.success(), "{text}");
    assert!(!text.contains("child-not-shown"), "the sub-runs are in it: {text}");
    assert!(text.contains("in-doubt"), "what was found out later is said: {text}");
}

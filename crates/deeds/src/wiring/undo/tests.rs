use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use proptest::prelude::*;

use super::super::apply::apply as carry_out;
use super::super::look::look;
use super::super::places::Place;
use super::super::plan::{Program, plan};
use super::*;

struct Home(tempfile::TempDir);

impl Home {
    fn with(text: &str) -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        fs::write(home.file(), text).unwrap();
        home
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("config")
    }

    fn text(&self) -> String {
        fs::read_to_string(self.file()).unwrap()
    }

    fn own(&self) -> PathBuf {
        self.0.path().join("deeds")
    }

    /// Wraps what can be wrapped; gives how many servers that were.
    fn wire(&self, client: Client, layout: Layout) -> usize {
        let place = Place { client, path: self.file(), layout, shared: false };
        let program = Program { program: "deeds".to_owned(), options: Vec::new() };
        let plans = plan(look(vec![place]), &program);
        let mut records = Records::open(&self.own()).unwrap();
        for plan in &plans {
            carry_out(plan, &mut records, 7).unwrap();
        }
        plans.iter().map(|plan| plan.wired.len()).sum()
    }

    fn undo(&self) -> Vec<Undone> {
        undo(&mut Records::open(&self.own()).unwrap(), &[]).unwrap()
    }

    fn kept(&self) -> usize {
        fs::read_dir(self.own().join("wired")).map_or(0, Iterator::count)
    }
}

fn hows(undone: &[Undone]) -> Vec<How> {
    undone.iter().map(|file| file.how).collect()
}

const TWO: &str = "{\n  // mine\n  \"mcpServers\": {\n    \"a\": { \"command\": \"x\", \"args\": [ \"1\" ] },\n    \"b\": { \"command\": \"y\" },\n  },\n}\n";

#[test]
fn what_is_as_it_was_left_gets_its_bytes_back() {
    let home = Home::with(TWO);
    fs::set_permissions(home.file(), fs::Permissions::from_mode(0o604)).unwrap();
    assert_eq!(home.wire(Client::Cursor, Layout::McpServers), 2);
    assert_ne!(home.text(), TWO);
    assert_eq!(home.wire(Client::Cursor, Layout::McpServers), 0, "nothing is wrapped twice");
    let record = fs::metadata(home.own().join("wired.json")).unwrap().permissions().mode() & 0o777;
    let dir = fs::metadata(home.own().join("wired")).unwrap().permissions().mode() & 0o777;
    assert_eq!((record, dir, home.kept()), (0o600, 0o700, 1));
    assert_eq!(hows(&home.undo()), [How::Exact]);
    assert_eq!((home.text(), home.kept()), (TWO.to_owned(), 0));
    assert_eq!(fs::metadata(home.file()).unwrap().permissions().mode() & 0o777, 0o604);
    assert!(home.undo().is_empty(), "there is nothing to take back twice");
}

#[test]
fn of_what_was_changed_since_only_our_edits_are_taken_back() {
    let home = Home::with(TWO);
    home.wire(Client::Cursor, Layout::McpServers);
    let changed = home.text().replace("// mine", "// mine, changed").replace("\"1\"", "\"1\", \"2\"");
    fs::write(home.file(), &changed).unwrap();
    let undone = home.undo();
    assert_eq!((hows(&undone), undone[0].remarks.len()), (vec![How::Edits], 0));
    assert_eq!(home.text(), TWO.replace("// mine", "// mine, changed").replace("\"1\"", "\"1\", \"2\""));
}

#[test]
fn what_its_client_wrote_anew_is_unwrapped_all_the_same() {
    let home = Home::with(r#"{"mcpServers":{"a":{"command":"x","args":["1"]},"b":{"command":"y"}},"n":1}"#);
    home.wire(Client::ClaudeCode, Layout::ClaudeCode);
    let mut value: serde_json::Value = serde_json::from_str(&home.text()).unwrap();
    value["n"] = 2.into();
    fs::write(home.file(), serde_json::to_string_pretty(&value).unwrap()).unwrap();
    assert_eq!(hows(&home.undo()), [How::Edits]);
    let now: serde_json::Value = serde_json::from_str(&home.text()).unwrap();
    let expected = serde_json::json!({"mcpServers": {"a": {"command": "x", "args": ["1"]}, "b": {"command": "y", "args": []}}, "n": 2});
    assert_eq!(now, expected);
}

#[test]
fn edits_made_one_after_the_other_are_all_taken_back() {
    let home = Home::with("[mcp_servers.a]\ncommand = \"x\"\n");
    home.wire(Client::Codex, Layout::Codex);
    fs::write(home.file(), home.text() + "[mcp_servers.b]\ncommand = \"y\"\n").unwrap();
    assert_eq!(home.wire(Client::Codex, Layout::Codex), 1);
    let undone = home.undo();
    assert_eq!((hows(&undone), &undone[0].remarks), (vec![How::Edits], &Vec::new()));
    assert_eq!(home.text(), "[mcp_servers.a]\ncommand = \"x\"\n[mcp_servers.b]\ncommand = \"y\"\n");
}

#[test]
fn what_is_gone_is_told() {
    let home = Home::with(TWO);
    home.wire(Client::Cursor, Layout::McpServers);
    fs::write(home.file(), r#"{"mcpServers":{"a":{"command":"x"}}}"#).unwrap();
    let undone = home.undo();
    assert_eq!(hows(&undone), [How::Nothing]);
    let told = undone[0].remarks.join("; ");
    assert!(
        told.contains("`a` was not wrapped any more") && told.contains("`b` is not there any more"),
        "{told}"
    );

    let home = Home::with(TWO);
    home.wire(Client::Cursor, Layout::McpServers);
    fs::remove_file(home.file()).unwrap();
    let undone = home.undo();
    assert_eq!(hows(&undone), [How::Nothing]);
    assert!(!home.file().exists() && undone[0].remarks[0].contains("not there any more"));
}

#[test]
fn a_file_that_cannot_be_put_back_keeps_its_record() {
    let home = Home::with(TWO);
    home.wire(Client::Cursor, Layout::McpServers);
    let wrapped = home.text();
    fs::write(home.file(), "{ broken").unwrap();
    let undone = home.undo();
    assert_eq!(hows(&undone), [How::Failed]);
    assert!(undone[0].remarks[0].contains("by hand"), "{undone:?}");
    assert_eq!((home.text().as_str(), home.kept()), ("{ broken", 1));
    fs::write(home.file(), wrapped).unwrap();
    assert_eq!(hows(&home.undo()), [How::Exact]);
    assert_eq!(home.text(), TWO);
}

#[test]
fn a_damaged_original_is_not_put_back() {
    let home = Home::with(TWO);
    home.wire(Client::Cursor, Layout::McpServers);
    let kept = fs::read_dir(home.own().join("wired")).unwrap().next().unwrap().unwrap().path();
    fs::write(&kept, "something else").unwrap();
    let undone = home.undo();
    assert_eq!(hows(&undone), [How::Edits]);
    assert!(undone[0].remarks[0].contains("is damaged"), "{undone:?}");
    assert_eq!(home.text(), TWO);
}

#[test]
fn an_edit_that_was_remembered_and_never_made_is_noticed() {
    let home = Home::with(TWO);
    home.wire(Client::Cursor, Layout::McpServers);
    fs::write(home.file(), TWO).unwrap();
    assert_eq!(hows(&home.undo()), [How::Nothing]);
    assert_eq!(home.text(), TWO);
}

#[test]
fn a_link_stays_a_link() {
    let home = Home::with(TWO);
    let real = home.0.path().join("dotfiles");
    fs::rename(home.file(), &real).unwrap();
    std::os::unix::fs::symlink("dotfiles", home.file()).unwrap();
    home.wire(Client::Cursor, Layout::McpServers);
    assert!(fs::symlink_metadata(home.file()).unwrap().is_symlink());
    assert_ne!(fs::read_to_string(&real).unwrap(), TWO);
    assert_eq!(hows(&home.undo()), [How::Exact]);
    assert!(fs::symlink_metadata(home.file()).unwrap().is_symlink());
    assert_eq!(fs::read_to_string(&real).unwrap(), TWO);
}

#[test]
fn our_own_configuration_is_put_back_too() {
    for (before, line) in
        [(None, "policy = \"policy\""), (Some("# mine\n[alias.fs]\n"), "policy = \"policy\"")]
    {
        let home = Home::with("");
        let path = home.own().join("config.toml");
        fs::create_dir(home.own()).unwrap();
        if let Some(text) = before {
            fs::write(&path, text).unwrap();
        }
        let mut records = Records::open(&home.own()).unwrap();
        super::super::apply::write_own(&path, line, &mut records, 7, |_| Ok(())).unwrap();
        drop(records);
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{line}\n{}", before.unwrap_or_default()));
        if before.is_some() {
            // something was put before and behind it
            fs::write(&path, format!("log = \"info\"\n{line}\n# mine\n")).unwrap();
            assert_eq!(hows(&home.undo()), [How::Edits]);
            assert_eq!(fs::read_to_string(&path).unwrap(), "log = \"info\"\n# mine\n");
        } else {
            assert_eq!(hows(&home.undo()), [How::Removed]);
            assert!(!Path::exists(&path));
        }
    }
}

/// How a generated text is written: blanks, comments, quoting, taken one after the other from random numbers.
struct Style {
    picks: Vec<u8>,
    at: usize,
    newline: &'static str,
}

impl Style {
    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        self.at += 1;
        let pick = self.picks[self.at % self.picks.len()];
        from[usize::from(pick) % from.len()]
    }

    fn gap(&mut self) -> String {
        self.pick(&["", "", " ", "\n", "\n    ", "\t", " /* a, \"b\": { */ ", " // c [\n", "\n\n  "])
            .replace('\n', self.newline)
    }

    fn list(&mut self, open: char, close: char, items: Vec<String>) -> String {
        let mut out = format!("{open}{}", self.gap());
        let last = items.len();
        for (n, item) in items.into_iter().enumerate() {
            out += &item;
            out += &self.gap();
            if n + 1 < last || self.pick(&["", "", ","]) == "," {
                out.push(',');
                out += &self.gap();
            }
        }
        out.push(close);
        out
    }

    fn member(&mut self, name: &str, value: &str) -> String {
        let before = self.gap();
        let after = self.gap();
        format!("{}{before}:{after}{value}", serde_json::Value::from(name))
    }

    fn string(&mut self, text: &str) -> String {
        let plain = serde_json::Value::from(text).to_string();
        if self.pick(&["p", "p", "e"]) == "p" { plain } else { plain.replace('a', "\\u0061") }
    }
}

fn server(style: &mut Style, (command, args): &(String, Option<Vec<String>>)) -> String {
    let mut members = Vec::new();
    let literal = style.string(command);
    members.push(style.member("command", &literal));
    if let Some(args) = args {
        let items = args.iter().map(|arg| style.string(arg)).collect();
        let list = style.list('[', ']', items);
        members.push(style.member("args", &list));
    }
    members.push(style.member("env", "{\"T\":\"s\"}"));
    let turn = style.at % members.len();
    members.rotate_left(turn);
    style.list('{', '}', members)
}

type Servers = std::collections::BTreeMap<String, (String, Option<Vec<String>>)>;

fn servers() -> impl Strategy<Value = Servers> {
    let word = "[a-z/@ \"\\\\ä😀-]{1,10}";
    let args = proptest::option::of(proptest::collection::vec(word, 0..4));
    proptest::collection::btree_map("[a-z \"é]{1,6}", (word, args), 1..4)
}

fn text_of(servers: &Servers, picks: Vec<u8>, crlf: bool, mark: bool) -> String {
    let mut style = Style { picks, at: 0, newline: if crlf { "\r\n" } else { "\n" } };
    let list = servers.iter().map(|(name, one)| {
        let one = server(&mut style, one);
        style.member(name, &one)
    });
    let list: Vec<String> = list.collect();
    let list = style.list('{', '}', list);
    let members = vec![style.member("other", "[1, null]"), style.member("mcpServers", &list)];
    let body = style.list('{', '}', members);
    let end = style.gap();
    format!("{}{body}{end}", if mark { "\u{feff}" } else { "" })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn whatever_is_wrapped_can_be_put_back(
        servers in servers(),
        picks in proptest::collection::vec(any::<u8>(), 8..64),
        crlf: bool,
        mark: bool,
    ) {
        let text = text_of(&servers, picks, crlf, mark);
        let home = Home::with(&text);
        prop_assert_eq!(home.wire(Client::Cursor, Layout::McpServers), servers.len(), "{}", text);
        let wired = home.text();
        // byte for byte from what was kept
        prop_assert_eq!(hows(&home.undo()), vec![How::Exact]);
        prop_assert_eq!(&home.text(), &text);
        // and from the text alone, with what somebody wrote in between left as it is
        home.wire(Client::Cursor, Layout::McpServers);
        fs::write(home.file(), format!("{wired}/* new */")).unwrap();
        let undone = home.undo();
        prop_assert_eq!((hows(&undone), &undone[0].remarks), (vec![How::Edits], &Vec::new()));
        prop_assert_eq!(home.text(), format!("{text}/* new */"));
    }
}

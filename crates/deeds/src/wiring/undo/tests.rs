use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use proptest::prelude::*;
use rustix::fs::{CWD, FileType, Mode, mknodat};

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
fn a_file_that_was_moved_behind_a_link_is_put_back_there() {
    let home = Home::with(TWO);
    home.wire(Client::Cursor, Layout::McpServers);
    let real = home.0.path().join("dotfiles");
    fs::rename(home.file(), &real).unwrap();
    std::os::unix::fs::symlink("dotfiles", home.file()).unwrap();
    assert_eq!(hows(&home.undo()), [How::Exact]);
    assert!(fs::symlink_metadata(home.file()).unwrap().is_symlink());
    assert_eq!(fs::read_to_string(&real).unwrap(), TWO);
}

#[test]
fn nobody_waits_for_a_pipe_in_the_place_of_a_file() {
    let home = Home::with(TWO);
    home.wire(Client::Cursor, Layout::McpServers);
    let wrapped = home.text();
    fs::remove_file(home.file()).unwrap();
    mknodat(CWD, home.file(), FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    let undone = home.undo();
    assert_eq!(hows(&undone), [How::Failed]);
    assert!(undone[0].remarks[0].contains("not a regular file"), "{undone:?}");
    assert!(undone[0].remarks[1].contains("as it was before is kept in"), "{undone:?}");
    fs::remove_file(home.file()).unwrap();
    fs::write(home.file(), wrapped).unwrap();
    assert_eq!(hows(&home.undo()), [How::Exact]);
}

#[test]
fn an_edit_that_could_not_be_made_is_not_remembered() {
    let home = Home::with(TWO);
    let other = home.0.path().join("other");
    fs::hard_link(home.file(), &other).unwrap();
    let place =
        Place { client: Client::Cursor, path: home.file(), layout: Layout::McpServers, shared: false };
    let program = Program { program: "deeds".to_owned(), options: Vec::new() };
    let plans = plan(look(vec![place]), &program);
    let mut records = Records::open(&home.own()).unwrap();
    assert!(carry_out(&plans[0], &mut records, 7).unwrap_err().to_string().contains("hard links"));
    assert!(records.files().is_empty());
    assert_eq!((home.text().as_str(), home.kept()), (TWO, 0));
    // where one was made before, that is still remembered
    fs::remove_file(&other).unwrap();
    carry_out(&plans[0], &mut records, 7).unwrap();
    let wrapped = home.text();
    fs::write(home.file(), "{}").unwrap();
    let late = carry_out(&plans[0], &mut records, 8).unwrap_err().to_string();
    assert!(late.contains("was changed while this ran"), "{late}");
    assert_eq!((records.files()[0].edits.len(), home.text().as_str()), (1, "{}"));
    drop(records);
    fs::write(home.file(), wrapped).unwrap();
    assert_eq!(hows(&home.undo()), [How::Exact]);
    assert_eq!(home.text(), TWO);
}

#[test]
fn what_a_crash_left_between_two_steps_is_cleared_away() {
    let home = Home::with(TWO);
    home.wire(Client::Cursor, Layout::McpServers);
    // exchanged, and what came out not removed; an original kept by half; and what is somebody else's
    let part = home.0.path().join(".config.deeds-new");
    fs::write(&part, TWO).unwrap();
    let half = home.own().join("wired").join(format!("{}.part", "ab".repeat(32)));
    fs::write(&half, "{").unwrap();
    let mine = home.own().join("wired/my notes");
    fs::create_dir(&mine).unwrap();
    assert_eq!(hows(&home.undo()), [How::Exact]);
    assert_eq!(home.text(), TWO);
    assert!(!part.exists() && !half.exists() && mine.exists());
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
    members.push(style.member("disabled", "true"));
    let odd = r#"{"command":"no","args":[[{"mcpServers":{}}]],"n":-1.5e3}"#;
    members.push(style.member("x", odd));
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

/// A server that is not wrapped, whatever is around it.
fn remote(style: &mut Style) -> String {
    let kind = style.string("http");
    let members = vec![style.member("type", &kind), style.member("url", "\"https://h/${input:t}\"")];
    let one = style.list('{', '}', members);
    style.member("\u{1}remote/\u{202e}", &one)
}

fn text_of(servers: &Servers, layout: Layout, picks: Vec<u8>, crlf: bool, mark: bool) -> String {
    let mut style = Style { picks, at: 0, newline: if crlf { "\r\n" } else { "\n" } };
    let name = if layout == Layout::Servers { "servers" } else { "mcpServers" };
    let list = servers.iter().map(|(name, one)| {
        let one = server(&mut style, one);
        style.member(name, &one)
    });
    let mut list: Vec<String> = list.collect();
    list.push(remote(&mut style));
    let list = style.list('{', '}', list);
    let mut members = vec![style.member("other", "[1, null]"), style.member(name, &list)];
    if layout == Layout::ClaudeCode {
        // the same servers again, for a project
        let own = style.member(name, &list);
        let project = style.list('{', '}', vec![own]);
        let project = style.member("/home/ä b", &project);
        let projects = style.list('{', '}', vec![project]);
        members.push(style.member("projects", &projects));
    }
    let body = style.list('{', '}', members);
    let end = style.gap();
    format!("{}{body}{end}", if mark { "\u{feff}" } else { "" })
}

impl Style {
    /// Blanks that TOML takes between two words.
    fn blank(&mut self) -> String {
        self.pick(&["", " ", "\t", "  "]).to_owned()
    }

    fn line_end(&mut self) -> String {
        self.pick(&["", "", " # command = \"x\" [", "\t#"]).to_owned() + self.newline
    }

    fn toml_key(&mut self, name: &str) -> String {
        let bare = name.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let quoted = serde_json::Value::from(name).to_string();
        if bare && self.pick(&["b", "q"]) == "b" { name.to_owned() } else { quoted }
    }

    fn toml_string(&mut self, text: &str) -> String {
        let plain = serde_json::Value::from(text).to_string();
        match self.pick(&["plain", "plain", "literal", "lines", "literal lines"]) {
            "literal" => format!("'{text}'"),
            "lines" => format!("\"\"{plain}\"\""),
            "literal lines" => format!("'''{}{text}'''", self.newline),
            _ => plain,
        }
    }

    fn toml_gap(&mut self) -> String {
        self.pick(&["", "", " ", "\n\t", " # ], \"\n"]).replace('\n', self.newline)
    }

    fn toml_list(&mut self, items: &[String]) -> String {
        let mut out = format!("[{}", self.toml_gap());
        for (n, item) in items.iter().enumerate() {
            out += item;
            out += &self.toml_gap();
            if n + 1 < items.len() || self.pick(&["", ","]) == "," {
                out.push(',');
                out += &self.toml_gap();
            }
        }
        out + "]"
    }
}

fn toml_server(style: &mut Style, name: &str, (command, args): &(String, Option<Vec<String>>)) -> String {
    let key = style.toml_key(name);
    let mut members = vec![("command", style.toml_string(command))];
    if let Some(args) = args {
        let items: Vec<String> = args.iter().map(|arg| style.toml_string(arg)).collect();
        members.push(("args", style.toml_list(&items)));
    }
    members.push(("env", "{ T = \"s\" }".to_owned()));
    let turn = style.at % members.len();
    members.rotate_left(turn);
    let form = style.pick(&["table", "table", "dotted", "inline"]).to_owned();
    let mut written = |before: &str| -> Vec<String> {
        let one = |(name, value): &(&str, String)| {
            format!("{before}{name}{}={}{value}", style.blank(), style.blank())
        };
        members.iter().map(one).collect()
    };
    let one_line = members.iter().all(|(_, value)| !value.contains(['\n', '#']));
    match form.as_str() {
        "inline" if one_line => {
            let members = written("").join(", ");
            format!("mcp_servers.{key} = {{ {members} }}{}", style.line_end())
        }
        "dotted" => {
            let lines = written(&format!("mcp_servers.{key}."));
            lines.into_iter().map(|line| line + &style.line_end()).collect()
        }
        _ => {
            let lines = written("  ");
            let lines: String = lines.into_iter().map(|line| line + &style.line_end()).collect();
            format!("[mcp_servers.{key}]{}{lines}", style.line_end())
        }
    }
}

fn toml_of(servers: &Servers, picks: Vec<u8>, crlf: bool, mark: bool, last_line: bool) -> String {
    let mut style = Style { picks, at: 0, newline: if crlf { "\r\n" } else { "\n" } };
    let written: Vec<String> = servers.iter().map(|(name, one)| toml_server(&mut style, name, one)).collect();
    // what belongs to no table comes first
    let (tables, top): (Vec<_>, Vec<_>) = written.into_iter().partition(|text| text.starts_with('['));
    let text = format!("model = \"m\"{}{}{}", style.line_end(), top.concat(), tables.concat());
    let text = if last_line { text } else { text.trim_end().to_owned() };
    format!("{}{text}", if mark { "\u{feff}" } else { "" })
}

/// Byte for byte from what was kept; and from the text alone, with what somebody wrote behind it left as it is.
fn there_and_back(text: &str, client: Client, layout: Layout, count: usize, behind: &str) {
    let home = Home::with(text);
    assert_eq!(home.wire(client, layout), count, "{text}");
    let wired = home.text();
    assert_eq!(home.wire(client, layout), 0, "nothing is wrapped twice: {wired}");
    assert_eq!(hows(&home.undo()), vec![How::Exact]);
    assert_eq!(home.text(), text);
    home.wire(client, layout);
    fs::write(home.file(), format!("{wired}{behind}")).unwrap();
    let undone = home.undo();
    assert_eq!((hows(&undone), &undone[0].remarks), (vec![How::Edits], &Vec::new()), "{wired}");
    assert_eq!(home.text(), format!("{text}{behind}"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn whatever_is_wrapped_can_be_put_back(
        servers in servers(),
        picks in proptest::collection::vec(any::<u8>(), 8..64),
        crlf: bool,
        mark: bool,
        layout in 0..3_usize,
    ) {
        let (client, layout) = [
            (Client::Cursor, Layout::McpServers),
            (Client::VsCode, Layout::Servers),
            (Client::ClaudeCode, Layout::ClaudeCode),
        ][layout];
        let text = text_of(&servers, layout, picks, crlf, mark);
        let count = if layout == Layout::ClaudeCode { 2 * servers.len() } else { servers.len() };
        there_and_back(&text, client, layout, count, "/* new */");
    }

    #[test]
    fn whatever_is_wrapped_in_toml_can_be_put_back(
        servers in servers(),
        picks in proptest::collection::vec(any::<u8>(), 8..64),
        crlf: bool,
        mark: bool,
        last_line: bool,
    ) {
        let text = toml_of(&servers, picks, crlf, mark, last_line);
        there_and_back(&text, Client::Codex, Layout::Codex, servers.len(), "\n# new\n");
    }
}

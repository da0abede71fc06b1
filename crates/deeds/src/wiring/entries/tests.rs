use super::*;

fn texts(text: &str, entry: &Entry) -> (String, Option<String>) {
    let Kind::Stdio(stdio) = &entry.kind else { panic!("{entry:?}") };
    let at = |at: &Range<usize>| text[at.clone()].to_owned();
    (at(&stdio.command.at), stdio.args.as_ref().map(|args| at(&args.at)))
}

fn odd(entry: &Entry) -> &str {
    match &entry.kind {
        Kind::Odd(why) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn servers_of_claude_code_are_found_for_the_user_and_for_projects() {
    let text = r#"{
  "numStartups": 3,
  "projects": {
    "/home/m/a": {"mcpServers": {"fs": {"type": "stdio", "command": "files", "args": ["/a"], "env": {"T": "s3cret"}}}},
    "/home/m/b": {"allowedTools": [], "mcpServers": {}},
    "/home/m/c": {}
  },
  "mcpServers": {"fs": {"command": "files"}, "web": {"type": "http", "url": "https://x.example/mcp"}}
}"#;
    let entries = read(text, Layout::ClaudeCode).unwrap();
    let names: Vec<_> = entries.iter().map(|entry| (entry.name.as_str(), entry.project.as_deref())).collect();
    assert_eq!(names, [("fs", Some("/home/m/a")), ("fs", None), ("web", None)]);
    assert_eq!(texts(text, &entries[0]), ("\"files\"".to_owned(), Some("[\"/a\"]".to_owned())));
    assert_eq!(texts(text, &entries[1]), ("\"files\"".to_owned(), None));
    assert!(matches!(&entries[2].kind, Kind::Remote(url) if url.starts_with("https://x")));
    let all = hidden(text, Layout::ClaudeCode, std::slice::from_ref(&(0..text.len())));
    assert!(all.iter().any(|at| &text[at.clone()] == "\"s3cret\""));
    // a client that knows no projects reads none
    assert_eq!(read(text, Layout::McpServers).unwrap().len(), 2);
    assert!(read("", Layout::McpServers).unwrap().is_empty());
    assert!(read("\u{feff} \n", Layout::ClaudeCode).unwrap().is_empty());
}

#[test]
fn what_cannot_be_wrapped_is_left_alone_with_a_reason() {
    let text = r#"{
  // VS Code
  "servers": {
    "one": {"type": "stdio", "command": "x", "args": "not a list"},
    "two": {"command": ["x"]},
    "three": {},
    "four": {"command": "x", "command": "y"},
    "five": {"command": "x", "sandboxEnabled": true},
    "six": {"type": "sse", "url": "http://localhost"},
    "seven": {"command": "x", "args": [1]},
    "eight": {"command": "x"}, "eight": {"command": "y"},
  },
}"#;
    let entries = read(text, Layout::Servers).unwrap();
    let reasons: Vec<_> = [0, 1, 2, 3, 4, 6, 7, 8].iter().map(|at: &usize| odd(&entries[*at])).collect();
    let expected =
        [NO_TEXTS, NO_TEXT, "neither a command", "`command` twice", "sandbox", NO_TEXTS, "twice", "twice"];
    for (reason, expected) in reasons.iter().zip(expected) {
        assert!(reason.contains(expected), "{reason}: {expected}");
    }
    assert_eq!(entries[5].kind, Kind::Remote("http://localhost".to_owned()));
    assert!(read(r#"{"servers":{},"servers":{}}"#, Layout::Servers).unwrap_err().contains("twice"));
    assert!(read(r#"{"servers":{"#, Layout::Servers).unwrap_err().contains("not JSON: line 1"));
}

#[test]
fn servers_of_codex_are_found_in_every_form_of_a_table() {
    let text = "\u{feff}model = \"m\"\r\nmcp_servers.dotted.command = \"a\"\r\n\r\n[mcp_servers.\"my files\"] # c\r\n\
                command = 'npx'  # runner\r\nargs = [ # two\r\n  \"-y\",\r\n  'x',\r\n]\r\nenv = { TOKEN = \"s\" }\r\n\
                [mcp_servers.inline]\r\nurl = \"https://x\"\r\n[mcp_servers.inline.http_headers]\r\nA = \"h\"\r\n";
    let entries = read(text, Layout::Codex).unwrap();
    let names: Vec<_> = entries.iter().map(|entry| entry.name.as_str()).collect();
    assert_eq!(names, ["dotted", "my files", "inline"]);
    assert_eq!(texts(text, &entries[0]), ("\"a\"".to_owned(), None));
    let list = "[ # two\r\n  \"-y\",\r\n  'x',\r\n]";
    assert_eq!(texts(text, &entries[1]), ("'npx'".to_owned(), Some(list.to_owned())));
    let Kind::Stdio(stdio) = &entries[1].kind else { panic!("{entries:?}") };
    assert_eq!(stdio.words(), ["npx", "-y", "x"]);
    assert!(matches!(&entries[2].kind, Kind::Remote(url) if url.starts_with("https://x")));
    let all = hidden(text, Layout::Codex, std::slice::from_ref(&(0..text.len())));
    let hidden: Vec<_> = all.iter().map(|at| &text[at.clone()]).collect();
    assert_eq!(hidden.len(), 4, "{hidden:?}");
    assert!(["\"m\"", "\"s\"", "\"https://x\"", "\"h\""].iter().all(|value| hidden.contains(value)));
    assert!(read("a = \n", Layout::Codex).unwrap_err().contains("not TOML: line 1"));
    assert!(read("[other]\n", Layout::Codex).unwrap().is_empty());
}

#[test]
fn a_wrapped_server_is_known_by_its_command_line() {
    let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    for (line, alias) in [
        ("deeds wrap --name fs -- npx x", "fs"),
        ("/usr/local/bin/deeds --data /d wrap --name=fs -- npx x", "fs"),
        ("deeds wrap -- npx x", "x"),
    ] {
        let found = wrapped(&words(line)).unwrap();
        assert_eq!((found.alias.as_str(), found.command), (alias, words("npx x")), "{line}");
    }
    for line in ["npx x", "deeds did -- x", "deeds wrap --name fs npx x", "other wrap -- x", "deeds wrap --"]
    {
        assert_eq!(wrapped(&words(line)), None, "{line}");
    }
}

#[test]
fn all_values_but_commands_and_arguments_are_hidden() {
    let text = r#"{"primaryApiKey": "k", "n": [7, true, {"a": "b"}], "mcpServers": {
        "s": {"type": "stdio", "command": "x", "args": ["-y", "z"], "env": ["T=e"], "cwd": "/c"},
        "u": {"url": "https://h/?token=t"}}, "projects": {"/p": {"mcpServers": {"v": {"command": "y"}}, "o": "p"}}}"#;
    let shown = |pieces: &[Range<usize>]| -> Vec<&str> {
        hidden(text, Layout::ClaudeCode, pieces).into_iter().map(|at| &text[at]).collect()
    };
    let all = ["\"k\"", "7", "\"b\"", "\"T=e\"", "\"/c\"", "\"https://h/?token=t\"", "\"p\""];
    assert_eq!(shown(std::slice::from_ref(&(0..text.len()))), all);
    let (first, last) = (text.find("\"k\"").unwrap(), text.find("\"p\"}").unwrap());
    assert_eq!(shown(&[0..first, first + 1..first + 2, last..text.len()]), ["\"k\"", "\"p\""]);
    assert!(shown(&[]).is_empty());
}

#[test]
fn so_many_servers_are_read_and_no_more() {
    let json = |count: usize| -> String {
        let servers: Vec<_> = (0..count).map(|n| format!("\"s{n}\":{{\"command\":\"x\"}}")).collect();
        format!("{{\"mcpServers\":{{{}}}}}", servers.join(","))
    };
    let toml = |count: usize| -> String {
        let servers: Vec<_> = (0..count).map(|n| format!("[mcp_servers.s{n}]\ncommand = \"x\"\n")).collect();
        servers.concat()
    };
    for (layout, text) in [(Layout::McpServers, &json as &dyn Fn(usize) -> String), (Layout::Codex, &toml)] {
        assert_eq!(read(&text(SERVERS_MAX), layout).unwrap().len(), SERVERS_MAX);
        assert!(read(&text(SERVERS_MAX + 1), layout).unwrap_err().contains("more than 1024 servers"));
    }
    // those of all projects together
    let half = json(SERVERS_MAX / 2 + 1);
    let text = format!("{{\"projects\":{{\"/a\":{half},\"/b\":{half}}}}}");
    assert!(read(&text, Layout::ClaudeCode).unwrap_err().contains("more than 1024 servers"));
    // a list that is far too long costs no more than reading it
    assert!(read(&json(200_000), Layout::McpServers).is_err());
}

#[test]
fn servers_of_a_project_that_stands_twice_are_left_alone() {
    let text = r#"{"projects":{"/p":{"mcpServers":{"a":{"command":"x"},"b":{"command":"x"}}},
        "/p":{"mcpServers":{"a":{"command":"x"}}},"/q":{"mcpServers":{"a":{"command":"x"}}}}}"#;
    let entries = read(text, Layout::ClaudeCode).unwrap();
    let odd: Vec<bool> = entries.iter().map(|entry| matches!(entry.kind, Kind::Odd(_))).collect();
    assert_eq!(odd, [true, false, true, false]);
}

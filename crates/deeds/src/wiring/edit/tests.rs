use super::super::entries::{Entry, Kind, read};
use super::super::places::Layout;
use super::super::splice::apply;
use super::*;

fn stdio(entry: &Entry) -> &Stdio {
    match &entry.kind {
        Kind::Stdio(stdio) => stdio,
        other => panic!("{other:?}"),
    }
}

fn prefix() -> Prefix {
    let args = ["wrap", "--name", "s", "--"].map(str::to_owned).to_vec();
    Prefix { program: "deeds".to_owned(), args }
}

/// Wraps the only server; unwraps it with and without knowing what was there.
fn wrapped(text: &str, layout: Layout) -> String {
    let entries = read(text, layout).unwrap();
    let server = stdio(&entries[0]);
    let after = apply(text, &wrap(text, server, &prefix())).unwrap();
    let again = read(&after, layout).unwrap();
    let now = stdio(&again[0]);
    assert_eq!(now.words(), prefix().before(&server.words()), "{after}");
    let list = now.args.as_ref().unwrap();
    let original = Original {
        command: &text[server.command.at.clone()],
        args: server.args.as_ref().map(|args| (&text[args.at.clone()], &after[list.at.clone()])),
        inserted: server.args.is_none().then(|| &after[now.room.at..list.at.end]),
    };
    let back = apply(&after, &unwrap(&after, now, Some(original)).unwrap()).unwrap();
    assert_eq!(back, text, "back from {after}");
    let plain = apply(&after, &unwrap(&after, now, None).unwrap()).unwrap();
    let plain = read(&plain, layout).unwrap();
    assert_eq!(stdio(&plain[0]).words(), server.words());
    after
}

fn json(server: &str) -> String {
    let text = format!("{{\"mcpServers\":{{\"s\":{server}}}}}");
    let after = wrapped(&text, Layout::McpServers);
    after["{\"mcpServers\":{\"s\":".len()..after.len() - 2].to_owned()
}

fn toml(text: &str) -> String {
    wrapped(text, Layout::Codex)
}

#[test]
fn each_layout_of_json_is_kept() {
    assert_eq!(
        json(r#"{"command":"npx","args":["-y","x"],"env":{}}"#),
        r#"{"command":"deeds","args":["wrap","--name","s","--","npx","-y","x"],"env":{}}"#
    );
    assert_eq!(
        json(r#"{ "args": [ "-y" ], "command": "npx" }"#),
        r#"{ "args": [ "wrap", "--name", "s", "--", "npx", "-y" ], "command": "deeds" }"#
    );
    assert_eq!(
        json("{\n  \"command\": \"npx\",\n  \"args\": [\n    \"-y\", // yes\n    \"x\",\n  ]\n}"),
        "{\n  \"command\": \"deeds\",\n  \"args\": [\n    \"wrap\",\n    \"--name\",\n    \"s\",\n    \"--\",\n    \
         \"npx\",\n    \"-y\", // yes\n    \"x\",\n  ]\n}"
    );
    assert_eq!(
        json("{\"command\":\"a\\u0062\",\"args\":[ /* none */ ]}"),
        "{\"command\":\"deeds\",\"args\":[\"wrap\", \"--name\", \"s\", \"--\", \"ab\" /* none */ ]}"
    );
}

#[test]
fn a_list_that_is_missing_is_put_behind_the_command() {
    let list = r#"["wrap", "--name", "s", "--", "x"]"#;
    assert_eq!(json(r#"{"command":"x"}"#), format!(r#"{{"command":"deeds","args":{list}}}"#));
    assert_eq!(json(r#"{ "command": "x" }"#), format!(r#"{{ "command": "deeds", "args": {list} }}"#));
    assert_eq!(
        json("{\r\n\t\"type\" : \"stdio\",\r\n\r\n\t\"command\" : \"x\", // c\r\n\t\"env\": {}}"),
        format!(
            "{{\r\n\t\"type\" : \"stdio\",\r\n\r\n\t\"command\" : \"deeds\",\r\n\t\"args\" : {list}, // c\r\n\t\"env\": {{}}}}"
        )
    );
}

#[test]
fn each_form_of_toml_is_kept() {
    let list = r#"["wrap", "--name", "s", "--", "x"]"#;
    assert_eq!(
        toml("[mcp_servers.s]\ncommand = 'x' # c\nargs = ['-y']\n"),
        "[mcp_servers.s]\ncommand = \"deeds\" # c\nargs = [\"wrap\", \"--name\", \"s\", \"--\", \"x\", '-y']\n"
    );
    assert_eq!(
        toml("[mcp_servers.s]\r\n  command = \"x\" # c\r\n[other]\r\n"),
        format!("[mcp_servers.s]\r\n  command = \"deeds\" # c\r\n  args = {list}\r\n[other]\r\n")
    );
    assert_eq!(
        toml("mcp_servers.s.command = \"x\""),
        format!("mcp_servers.s.command = \"deeds\"\nmcp_servers.s.args = {list}")
    );
    assert_eq!(
        toml("[mcp_servers]\ns = { command = \"x\", env = { A = \"b\" } }\n"),
        format!("[mcp_servers]\ns = {{ command = \"deeds\", args = {list}, env = {{ A = \"b\" }} }}\n")
    );
    assert_eq!(
        toml("[mcp_servers.s]\ncommand = \"\"\"x\"\"\"\nargs = [\n  # first\n  \"-y\",\n]"),
        "[mcp_servers.s]\ncommand = \"deeds\"\nargs = [\n  # first\n  \"wrap\",\n  \"--name\",\n  \"s\",\n  \"--\",\n  \
         \"x\",\n  \"-y\",\n]"
    );
}

#[test]
fn what_is_awkward_in_a_text_survives() {
    for command in
        ["a\\\"b", "tab\\tnew\\nline", "\\u00e4\\ud83d\\ude00", "C:\\\\x\\\\y.exe", "\\u007f\\u0001"]
    {
        json(&format!("{{\"command\":\"{command}\",\"args\":[\"{command}\"]}}"));
        if !command.contains("\\ud83d") {
            toml(&format!("[mcp_servers.s]\ncommand = \"{command}\"\n"));
        }
    }
    // TOML takes neither surrogates nor a delete character
    let wrapped = wrapped("[mcp_servers.s]\ncommand = \"😀\\u007f\"\n", Layout::Codex);
    assert!(wrapped.contains("\"😀\\u007f\"]"), "{wrapped}");
}

#[test]
fn arguments_that_somebody_changed_since_stay_changed() {
    let text =
        r#"{"mcpServers":{"s":{"command":"deeds","args":["wrap","--name","s","--","npx","-y","new"]}}}"#;
    let entries = read(text, Layout::McpServers).unwrap();
    let original =
        Original { command: "\"npx\"", args: Some(("[\"-y\"]", "[\"something else\"]")), inserted: None };
    let splices = unwrap(text, stdio(&entries[0]), Some(original)).unwrap();
    assert_eq!(
        apply(text, &splices).unwrap(),
        r#"{"mcpServers":{"s":{"command":"npx","args":["-y","new"]}}}"#
    );
    // another server behind the same wrap is not given the old one's command
    let text = text.replace("npx", "uvx");
    let splices = unwrap(&text, stdio(&read(&text, Layout::McpServers).unwrap()[0]), Some(original)).unwrap();
    assert!(apply(&text, &splices).unwrap().contains(r#""command":"uvx","args":["-y","new"]"#));
    let bare = r#"{"mcpServers":{"s":{"command":"npx"}}}"#;
    assert_eq!(unwrap(bare, stdio(&read(bare, Layout::McpServers).unwrap()[0]), Some(original)), None);
}

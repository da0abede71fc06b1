use super::super::look::look;
use super::super::places::{Client, Layout};
use super::*;

fn program() -> Program {
    Program { program: "/opt/deeds".to_owned(), options: vec!["--data".to_owned(), "/d".to_owned()] }
}

fn place(path: PathBuf, layout: Layout) -> Place {
    Place { client: Client::ClaudeCode, path, layout, shared: false }
}

fn planned(files: &[(&str, &str, Layout)]) -> Vec<FilePlan> {
    let dir = tempfile::tempdir().unwrap();
    let places = files.iter().map(|(name, text, layout)| {
        std::fs::write(dir.path().join(name), text).unwrap();
        place(dir.path().join(name), *layout)
    });
    plan(look(places.collect()), &program())
}

#[test]
fn one_command_has_one_name_in_all_files_and_a_name_one_command() {
    let plans = planned(&[
        ("a", r#"{"mcpServers":{"fs":{"command":"x"},"web":{"url":"https://x"}}}"#, Layout::ClaudeCode),
        ("b", "[mcp_servers.fs]\ncommand = \"y\"\n[mcp_servers.other]\ncommand = \"x\"\n", Layout::Codex),
        (
            "c",
            r#"{"servers":{"fs":{"command":"x"}, "old":{"command":"deeds","args":["wrap","--name","fs-2","--","z"]}}}"#,
            Layout::Servers,
        ),
    ]);
    let states: Vec<Vec<_>> =
        plans.iter().map(|plan| plan.servers.iter().map(|server| server.state.clone()).collect()).collect();
    let wrap = |alias: &str| ServerState::ToWrap(alias.to_owned());
    assert_eq!(states[0], [wrap("fs"), ServerState::Remote]);
    assert_eq!(states[1], [wrap("fs-3"), wrap("other")]);
    assert_eq!(states[2], [wrap("fs"), ServerState::Wrapped("fs-2".to_owned())]);
    let after = plans[1].after.as_deref().unwrap();
    assert!(
        after.contains("args = [\"wrap\", \"--name\", \"fs-3\", \"--data\", \"/d\", \"--\", \"y\"]"),
        "{after}"
    );
    assert_eq!(plans[2].wired.len(), 1);
    assert_eq!(plans[2].servers[1].command, ["z"]);
}

#[test]
fn the_difference_shows_no_secret_and_only_what_changes() {
    let text = "{\n  \"mcpServers\": {\n    \"a\": {\n      \"env\": {\"T\": \"hunter2\"},\n      \"command\": \"x\"\n    },\n    \
                \"b\": {\"command\": \"y\", \"env\": {\"K\": \"hunter3\"}}\n  }\n}\n";
    let plans = planned(&[("a", text, Layout::McpServers)]);
    let shown: Vec<String> = plans[0].diff.iter().map(|line| format!("{}{}", line.mark, line.text)).collect();
    let all = shown.join("\n");
    assert!(!all.contains("hunter") && all.contains("      \"env\": {\"T\": \"…\"},"), "{all}");
    assert!(all.contains("+    \"b\": {\"command\": \"/opt/deeds\", \"args\": [\"wrap\""), "{all}");
    assert_eq!(shown.iter().filter(|line| line.starts_with('-')).count(), 2, "{all}");
    // and what is written has them still
    assert!(plans[0].after.as_deref().unwrap().contains("hunter2"));
}

#[test]
fn what_cannot_be_edited_safely_is_left() {
    // a dotted key within braces: the new list would have no place that is surely right
    let text = "mcp_servers = { s.command = \"x\" }\n";
    let plans = planned(&[("a", text, Layout::Codex)]);
    match &plans[0].servers[0].state {
        ServerState::LeftAlone(why) => {
            assert!(why.contains("by hand") && plans[0].after.is_none() && plans[0].diff.is_empty());
        }
        // a parser may also tell the braces of such a table; then it was checked that it reads as planned
        ServerState::ToWrap(_) => assert!(plans[0].after.as_deref().unwrap().contains("/opt/deeds")),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_file_that_several_places_lead_to_is_planned_once() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("real"), r#"{"mcpServers":{"s":{"command":"x"}}}"#).unwrap();
    std::os::unix::fs::symlink("real", dir.path().join("link")).unwrap();
    std::os::unix::fs::symlink("nowhere", dir.path().join("broken")).unwrap();
    let places =
        ["link", "real", "broken", "missing"].map(|name| place(dir.path().join(name), Layout::McpServers));
    let plans = plan(look(places.to_vec()), &program());
    assert_eq!(plans.len(), 1);
    assert_eq!(plans[0].real, dir.path().join("real").canonicalize().unwrap());
}

#[test]
fn what_stands_around_a_server_is_not_shown_either() {
    let text = r#"{
  "primaryApiKey": "sk-hunter",
  "mcpServers": {
    "a": {"command": "x", "env": ["K=hunter"]}
  },
  "oauth": {"pin": 4711, "on": true}
}
"#;
    let codex = "[providers.p]\ntoken = \"hunter\"\n[mcp_servers.s]\ncommand = \"y\"\n[set]\nKEY = 'hunter'\nN = 4711\n";
    let plans = planned(&[("a", text, Layout::ClaudeCode), ("b", codex, Layout::Codex)]);
    let all: String = plans.iter().flat_map(|plan| &plan.diff).map(|line| line.text.clone() + "\n").collect();
    assert!(!all.contains("hunter") && !all.contains("4711"), "{all}");
    for shown in ["\"primaryApiKey\": \"…\"", "\"on\": true", "token = \"…\"", "command = \"y\""] {
        assert!(all.contains(shown), "{shown}: {all}");
    }
    assert!(plans.iter().all(|plan| plan.after.as_deref().unwrap().contains("hunter")));
}

#[test]
fn a_wrap_that_leads_elsewhere_is_told() {
    let server = |program: &str, option: &str| {
        format!(r#"{{"command":"{program}","args":["wrap","--name","s"{option},"--","x"]}}"#)
    };
    let text = format!(
        r#"{{"mcpServers":{{"same":{},"apart":{},"joined":{},"gone":{}}}}}"#,
        server("deeds", r#","--data","/d""#),
        server("deeds", r#","--data","/other""#),
        server("deeds", r#","--data=/d","--config=/c""#),
        server("/nowhere/at/all/deeds", r#","--data","/d""#),
    );
    let plans = planned(&[("a", &text, Layout::McpServers)]);
    let servers = plans[0].servers.iter();
    let remarks: Vec<_> = servers.map(|server| server.remark.as_deref().unwrap_or_default()).collect();
    assert_eq!(remarks[0], "");
    assert!(remarks[1].starts_with("with `--data /other`, not `--data /d` as here"), "{remarks:?}");
    assert!(remarks[2].starts_with("with `--config /c`, not `no --config` as here"), "{remarks:?}");
    assert!(remarks[3].starts_with("there is no `/nowhere/at/all/deeds` any more"), "{remarks:?}");
}

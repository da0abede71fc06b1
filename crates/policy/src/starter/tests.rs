//! What a new installation permits, and which servers are known.

use serde_json::json;

use super::{KNOWN, files, rows_for, without_version};
use crate::decision::Verdict;
use crate::fit::{OPERATIONS, probe};
use crate::request::ActionRequest;
use crate::{CLASSES, PolicyFile, PolicySet};

/// The set that `deeds init` writes where all known servers are wrapped, and a policy file beside it.
fn installed(more: &str) -> PolicySet {
    let [policy, mut classes] = files();
    for known in &KNOWN {
        let package = known.packages[0];
        let alias = package.rsplit(['/', '-']).next().unwrap();
        classes.text.push('\n');
        classes.text.push_str(&rows_for(package, alias).unwrap());
    }
    classes.text.push_str("[[tool]]\nuri = \"stdio:mail#send\"\nclasses = [\"write\", \"external\"]\n");
    classes.text.push_str("[[tool]]\nuri = \"stdio:mail#peek\"\nclasses = [\"read\"]\n");
    classes.text.push_str(&["definition = \"sha256:", &"0".repeat(64), "\"\n"].concat());
    let mut files = vec![policy, classes];
    if !more.is_empty() {
        files.push(PolicyFile { path: "mine.cedar".into(), text: more.into() });
    }
    PolicySet::from_files(files).unwrap()
}

/// The rules behind a yes; nothing for a no.
fn permitted(set: &PolicySet, operation: &str, tool: &str, args: &serde_json::Value) -> Vec<String> {
    let decision = set.decide(&ActionRequest { operation, tool, ..probe(args) });
    if decision.verdict == Verdict::Allow { decision.determining } else { Vec::new() }
}

fn call(set: &PolicySet, tool: &str) -> Vec<String> {
    permitted(set, "tools/call", tool, &json!({}))
}

#[test]
fn the_files_load_as_they_are_without_a_warning() {
    let set = PolicySet::from_files(files().to_vec()).unwrap();
    assert_eq!(set.warnings(), []);
    let set = installed("");
    assert_eq!(set.warnings(), []);
    assert!(set.policies().iter().any(|rule| rule.id == "floor.depth"));
    assert!(set.policies().iter().any(|rule| rule.id == "floor.expired"));
}

#[test]
fn every_answer_names_what_kind_of_act_it_was() {
    let set = installed("");
    for (tool, rule) in [
        ("stdio:filesystem#read_text_file", "starter.read"),
        ("stdio:git#git_show", "starter.read"),
        ("stdio:time#convert_time", "starter.read"),
        ("stdio:fetch#fetch", "starter.read"),
        ("stdio:thinking#sequentialthinking", "starter.read"),
        ("stdio:filesystem#write_file", "starter.write"),
        ("stdio:memory#create_entities", "starter.write"),
        ("stdio:git#git_commit", "starter.write"),
        ("stdio:everything#gzip-file-as-resource", "starter.write"),
        ("stdio:unknown#anything", "starter.unclassified"),
        ("stdio:memory#new_tool", "starter.unclassified"),
    ] {
        assert_eq!(call(&set, tool), [rule], "{tool}");
    }
    for (tool, classes) in
        [("stdio:memory#delete_entities", "write, destructive"), ("stdio:mail#send", "write, external")]
    {
        let args = json!({});
        let denied = set.decide(&ActionRequest { tool, ..probe(&args) });
        let why = format!("no policy permits `tools/call` on `{tool}`, classed as {classes}");
        assert_eq!(denied.reason.map(|reason| reason.text), Some(why));
    }
    // Whether it still is what its row says is not known, so its row says nothing and no other rule speaks for it.
    assert_eq!(call(&set, "stdio:mail#peek"), [""; 0]);
}

#[test]
fn methods_go_and_of_what_a_server_asks_for_only_the_roots() {
    let set = installed("");
    for (operation, group) in OPERATIONS {
        let rules = permitted(&set, operation, &format!("stdio:other#{operation}"), &json!({}));
        let expected: &[&str] = match operation {
            "roots/list" => &["starter.roots"],
            _ if group == "act" => &["starter.unclassified"],
            _ => &[],
        };
        assert_eq!(rules, expected, "{operation}");
    }
    let read = permitted(&set, "resources/read", "stdio:everything#resources/read", &json!({}));
    assert_eq!(read, ["starter.read"]);
}

/// The rules that stand in the file as comments, for people to take the slashes from.
fn examples() -> String {
    let [policy, _] = files();
    let mut inside = false;
    let lines = policy.text.lines().filter_map(|line| {
        let text = line.strip_prefix("// ")?;
        inside |= text.starts_with("@id(");
        let taken = inside.then(|| format!("{text}\n"));
        inside &= !text.ends_with(';');
        taken
    });
    lines.collect()
}

#[test]
fn the_examples_are_sound_and_do_what_they_say() {
    let set = installed(&examples());
    assert_eq!(set.warnings(), []);
    let mine = set.policies().iter().filter(|rule| rule.id.starts_with("mine.")).count();
    assert_eq!(mine, 4, "{}", examples());
    assert_eq!(call(&set, "stdio:memory#delete_entities"), ["mine.forget"]);
    assert_eq!(call(&set, "stdio:memory#delete_relations"), [""; 0]);
    let mail = |to: &str| permitted(&set, "tools/call", "stdio:mail#send", &json!({ "to": to }));
    assert_eq!(mail("ana@example.com"), ["mine.mail"]);
    assert_eq!(mail("ana@example.org"), [""; 0]);
    let ask = |alias: &str| {
        let tool = format!("stdio:{alias}#elicitation/create");
        permitted(&set, "elicitation/create", &tool, &json!({}))
    };
    assert_eq!(ask("everything"), ["mine.questions"]);
    assert_eq!(ask("other"), [""; 0]);
    let read = |path: &str| {
        permitted(&set, "tools/call", "stdio:filesystem#read_text_file", &json!({ "path": path }))
    };
    assert_eq!(read("/home/me/.ssh/id"), [""; 0]);
    assert_eq!(read("/home/me/.sshx"), ["starter.read"]);
}

#[test]
fn packages_are_known_with_and_without_a_version() {
    for (package, name) in [
        ("@modelcontextprotocol/server-memory@2026.8.31", "@modelcontextprotocol/server-memory"),
        ("@modelcontextprotocol/server-memory", "@modelcontextprotocol/server-memory"),
        ("mcp-server-git==2026.10.19", "mcp-server-git"),
        ("mcp-server-git[cli]>=1", "mcp-server-git"),
        ("mcp/git:latest", "mcp/git"),
        ("@", "@"),
        ("", ""),
    ] {
        assert_eq!(without_version(package), name);
    }
    for package in ["mcp-server-git@latest", "mcp_server_git", "mcp/git:1", "mcp-server-git==1"] {
        let rows = rows_for(package, "g").unwrap();
        assert!(rows.starts_with("# mcp-server-git\n") && rows.contains("\"stdio:g#git_log\""), "{package}");
    }
    for package in [
        "",
        "@modelcontextprotocol",
        "server-memory",
        "@evil/server-memory",
        "xmcp-server-git",
        "@modelcontextprotocol/server_memory",
    ] {
        assert_eq!(rows_for(package, "x"), None, "{package}");
    }
    for alias in ["", "a b", "a\"", "a#b", "a\nb", "é"] {
        assert_eq!(rows_for("mcp-server-git", alias), None, "{alias}");
    }
}

#[test]
fn every_row_names_classes_that_there_are() {
    for known in &KNOWN {
        assert!(!known.rows.is_empty() && !known.packages.is_empty());
        for (tools, classes) in known.rows {
            assert!(!tools.is_empty() && classes.iter().all(|class| CLASSES.contains(class)));
            assert!(classes.contains(&"read") || classes.contains(&"write"));
        }
    }
}

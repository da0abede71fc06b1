//! Names that nothing has, and names that only look like a known one.

use crate::error::PolicyError;
use crate::files::PolicyFile;
use crate::limits::{ALIAS_MAX, TOOL_URI_MAX};
use crate::set::PolicySet;

const ROWS: &str = "[[tool]]\nuri = \"stdio:files#edit_file\"\nclasses = [\"write\"]\n\
    [[tool]]\nuri = \"stdio:files#read_file\"\nclasses = [\"read\"]\n\
    [[tool]]\nuri = \"stdio:mailer1#*\"\nclasses = [\"read\"]\n";

fn files(rule: &str) -> Vec<PolicyFile> {
    let file = |path: &str, text: &str| PolicyFile { path: path.to_owned(), text: text.to_owned() };
    vec![file("a.cedar", rule), file("classes.toml", ROWS)]
}

fn rule(resource: &str) -> String {
    format!("@id(\"x\") forbid (principal, action, resource {resource});")
}

/// Message and advice of the one error.
fn refused(resource: &str) -> String {
    match PolicySet::from_new_files(files(&rule(resource))) {
        Err(PolicyError::Refused(found)) if found.len() == 1 => found[0].to_string(),
        other => panic!("{resource}: {other:?}"),
    }
}

/// The warnings of a set that is taken.
fn warnings(resource: &str) -> Vec<String> {
    let set = PolicySet::from_new_files(files(&rule(resource))).unwrap();
    set.warnings().iter().map(ToString::to_string).collect()
}

fn tool(uri: &str) -> String {
    format!("== Deeds::Tool::\"{uri}\"")
}

fn server(uri: &str) -> String {
    format!("in Deeds::Server::\"{uri}\"")
}

#[test]
fn a_tool_without_its_scheme_is_refused_with_its_place() {
    let text = "@id(\"x\") // Deeds::Tool::\"ignored\"\n@description(\"Deeds::Tool::\\\"too\\\"\")\nforbid (principal, action == Deeds::Action::\"tools/call\", resource)\n\
                when { resource == Deeds::Tool::\"files#edit_file\" };";
    let Err(PolicyError::Refused(found)) = PolicySet::from_new_files(files(text)) else {
        panic!("not refused");
    };
    assert_eq!(found.len(), 1, "{found:?}");
    let finding = &found[0];
    let at = (finding.line, finding.column, finding.end_line, finding.end_column);
    assert_eq!(at, (4, 20, 4, 50));
    assert_eq!(finding.message, "`files#edit_file` names no tool, so nothing ever matches it");
    assert_eq!(finding.help.as_deref(), Some("did you mean `stdio:files#edit_file`?"));
}

#[test]
fn what_was_probably_meant_is_said() {
    let every = "for every tool of the server write `resource in Deeds::Server::\"stdio:files\"`";
    let cases = [
        (tool("Files#edit_file"), "did you mean `stdio:files#edit_file`?"),
        (tool("STDIO:files#edit_file"), "did you mean `stdio:files#edit_file`?"),
        (tool("stdio:Files#edit_file"), "did you mean `stdio:files#edit_file`?"),
        (tool("ci#command/run"), "did you mean `run:ci#command/run`?"),
        (tool("run:ci#make"), "did you mean `run:ci#command/run`?"),
        (tool("edit_file"), "did you mean `stdio:files#edit_file`?"),
        (tool("other_tool"), "a tool is written `stdio:<server>#other_tool`, as in `stdio:files#edit_file`"),
        (tool("stdio:#x"), "a tool is written `stdio:<server>#x`, as in `stdio:files#edit_file`"),
        (tool(""), "a tool is written `stdio:<server>#<tool>`, as in `stdio:files#edit_file`"),
        (tool("stdio:files"), every),
        (tool("stdio:files#"), every),
        (tool("stdio:files#*"), every),
        (tool("files#*"), every),
        (server("files"), "did you mean `stdio:files`?"),
        (server("stdio:files#*"), "did you mean `stdio:files`?"),
        (server("files#edit_file"), "did you mean `stdio:files`?"),
        (server("a b"), "a server is written as the part of a tool before `#`, as in `stdio:files`"),
        // Written in another way, it is the same name.
        ("== Deeds :: Tool /**/ ::\"x\"".replace(" /**/", ""), "as in `stdio:files#edit_file`"),
        ("== Deeds::Tool::\"\\u{66}iles#edit_file\"".to_owned(), "did you mean `stdio:files#edit_file`?"),
    ];
    for (resource, help) in cases {
        let text = refused(&resource);
        assert!(text.contains("so nothing ever matches it; ") && text.ends_with(help), "{resource}: {text}");
    }
}

#[test]
fn known_forms_are_taken() {
    let longest = "a".repeat(ALIAS_MAX);
    let sound = [
        tool("stdio:files#edit_file"),
        tool("stdio:files#resources/read"),
        tool("run:ci#command/run"),
        tool("https://service.example/mcp#send"),
        tool(&format!("stdio:{longest}#x")),
        tool(&format!("stdio:a#{}", "x".repeat(TOOL_URI_MAX - 8))),
        server("stdio:files"),
        server("run:ci"),
        server("https://service.example/mcp"),
    ];
    for resource in sound {
        assert_eq!(warnings(&resource), Vec::<String>::new(), "{resource}");
    }
    refused(&tool(&format!("stdio:{longest}a#x")));
    refused(&server(&format!("stdio:{longest}a")));
    refused(&tool(&format!("stdio:a#{}", "x".repeat(TOOL_URI_MAX - 7))));
}

#[test]
fn a_name_beside_those_with_rows_is_a_warning() {
    let place = "a.cedar:1:49: ";
    let no_row = "classes.toml has no row for";
    let cases = [
        (
            tool("stdio:files#edit_fil"),
            format!("{no_row} `stdio:files#edit_fil`: check the spelling; did you mean `stdio:files#edit_file`?"),
        ),
        (
            tool("stdio:files#move"),
            format!("{no_row} `stdio:files#move`: check the spelling; of this server it knows `edit_file`, `read_file`"),
        ),
        (
            tool("stdio:flies#edit_file"),
            String::new(),
        ),
        (
            server("stdio:file"),
            "the server `stdio:file` is not in classes.toml: check the spelling; did you mean `stdio:files`?".to_owned(),
        ),
        (
            server("stido:files"),
            "the server `stido:files` is not in classes.toml: check the spelling; did you mean `stdio:files`?".to_owned(),
        ),
        // Others of the same server, another server beside it, and one that is quite different.
        (tool("stdio:mailer1#anything"), String::new()),
        (server("stdio:mailer2"), String::new()),
        (tool("stdio:ticket#close"), String::new()),
    ];
    for (resource, expected) in cases {
        let found = warnings(&resource).join("\n");
        let expected = if expected.is_empty() { expected } else { format!("{place}{expected}") };
        assert_eq!(found, expected, "{resource}");
    }
}

#[test]
fn a_set_that_was_in_force_once_is_read_with_a_warning() {
    let set = PolicySet::from_files(files(&rule(&tool("files#edit_file")))).unwrap();
    let found: Vec<String> = set.warnings().iter().map(ToString::to_string).collect();
    assert_eq!(
        found,
        [
            "a.cedar:1:49: `files#edit_file` names no tool, so nothing ever matches it; did you mean `stdio:files#edit_file`?"
        ]
    );
}

#[test]
fn policies_in_the_documentation_name_what_there_is() {
    let page = include_str!("../../../../docs/policy.md");
    let blocks: Vec<&str> = page.split("```").filter_map(|block| block.strip_prefix("cedar\n")).collect();
    assert!(blocks.len() >= 3, "{}", blocks.len());
    for block in blocks {
        let file = PolicyFile { path: "a.cedar".to_owned(), text: block.to_owned() };
        let set = PolicySet::from_new_files(vec![file]).unwrap();
        assert!(set.warnings().is_empty(), "{:?}", set.warnings());
    }
}

//! The class table: which row decides, and which tables are refused.

use super::{ClassSource, ClassTable, split_tool_uri};
use crate::limits::{CLASS_ROWS_MAX, TOOL_URI_MAX};

const PIN: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const OTHER: &str = "sha256:1123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn table() -> ClassTable {
    ClassTable::parse(&format!(
        r#"
        [[tool]]
        uri = "stdio:edr#isolate_host"
        classes = ["external", "write"]
        definition = "{PIN}"

        [[tool]]
        uri = "stdio:edr#*"
        classes = ["read"]

        [[tool]]
        uri = "stdio:edr#list#all"
        classes = ["untrusted", "read"]
        "#
    ))
    .unwrap()
}

fn row(uri: &str, definition: Option<&str>) -> (String, bool, ClassSource) {
    let class = table().classify(uri, definition);
    (class.classes.join(" "), class.classified, class.source)
}

fn worst(source: ClassSource) -> (String, bool, ClassSource) {
    ("write external untrusted".to_owned(), false, source)
}

#[test]
fn a_pinned_row_holds_for_its_definition_only() {
    let uri = "stdio:edr#isolate_host";
    assert_eq!(row(uri, Some(PIN)), ("write external".to_owned(), true, ClassSource::ToolRow));
    assert_eq!(row(uri, Some(OTHER)), worst(ClassSource::DefinitionChanged));
    assert_eq!(row(uri, None), worst(ClassSource::DefinitionUnknown));
}

#[test]
fn the_exact_row_wins_over_the_server_row() {
    let server = ("read".to_owned(), true, ClassSource::ServerRow);
    assert_eq!(row("stdio:edr#lookup", None), server);
    assert_eq!(row("stdio:edr#lookup", Some(OTHER)), server);
    assert_eq!(row("stdio:edr#list#all", None), ("read untrusted".to_owned(), true, ClassSource::ToolRow));
}

#[test]
fn without_a_row_a_tool_is_the_worst_case() {
    for uri in
        ["stdio:fs#read", "stdio:edr2#x", "STDIO:EDR#x", "stdio:edr", "", "#x", "stdio:edr#*", "stdio:edr#"]
    {
        assert_eq!(row(uri, Some(PIN)), worst(ClassSource::NoRow), "{uri}");
    }
    let class = ClassTable::default().classify("stdio:fs#read", None);
    assert_eq!(class.why, "the class table has no row for this tool or its server");
}

#[test]
fn tool_uris_split_at_the_first_hash() {
    assert_eq!(split_tool_uri("stdio:fs#read"), Some(("stdio:fs", "read")));
    assert_eq!(split_tool_uri("stdio:fs#a#b"), Some(("stdio:fs", "a#b")));
    let longest = format!("s#{}", "x".repeat(TOOL_URI_MAX - 2));
    assert_eq!(split_tool_uri(&longest).map(|(server, _)| server), Some("s"));
    assert_eq!(split_tool_uri(&format!("{longest}x")), None);
}

#[test]
fn refused_tables_say_where_and_what() {
    let refused = |text: &str| {
        let findings = ClassTable::parse(text).unwrap_err();
        findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    let cases = [
        (
            "[[tool]]\nuri = \"a#b\"\nclasses = [\"wriet\"]",
            "classes.toml:3:12: `wriet` is no class; choose from",
        ),
        ("[[tool]]\nuri = \"a#b\"\nclasses = []", "classes.toml:3:11: the row names no class"),
        (
            "[[tool]]\nuri = \"a#b\"\nclasses = [\"read\", \"read\"]",
            "classes.toml:3:20: the row names `read` twice",
        ),
        ("[[tool]]\nuri = \"a\"\nclasses = [\"read\"]", "classes.toml:2:7: `a` is not a tool; write"),
        ("[[tool]]\nuri = \"#*\"\nclasses = [\"read\"]", "classes.toml:2:7: `#*` is not a tool"),
        ("[[tool]]\nuri = \"a#b#*\"\nclasses = [\"read\"]", "classes.toml:2:7: `a#b#*` is not a tool"),
        (
            "[[tool]]\nuri = \"a#b\"\nclasses = [\"read\"]\ndefinition = \"sha256:AB\"",
            "classes.toml:4:14: `sha256:AB` is not a digest",
        ),
        (
            "[[tool]]\nuri = \"a#b\"\nclasses = [\"destructive\"]",
            "classes.toml:3:12: what is `destructive` writes; name `write` too",
        ),
        (
            "[[tool]]\nuri = \"a#b\"\nclasses = [\"read\"]\npinned = true",
            "classes.toml:4:10: `pinned` needs a `definition`",
        ),
        (
            "[[tool]]\nuri = \"a#*\"\nclasses = [\"read\"]\npinned = true",
            "classes.toml:2:7: a row for a whole",
        ),
        (
            "[[tool]]\nuri = \"a#b\"\nclasses = [\"read\"]\npinned = 1",
            "classes.toml:4:10: invalid type: integer",
        ),
        (
            "[[tool]]\nuri = \"a#b\"\nclasses = [\"read\"]\npin = true",
            "classes.toml:4:1: unknown field `pin`",
        ),
        ("[[server]]\nuri = \"a\"", "classes.toml:2:7: the row pins nothing; give it `command`"),
        ("[[server]]\nuri = \"a#b\"\ncommand = \"x\"", "classes.toml:2:7: `a#b` is not a server"),
        ("[[server]]\nuri = \"\"\ncommand = \"x\"", "classes.toml:2:7: `` is not a server"),
        ("[[server]]\nuri = \"a\"\ncommand = \"x\"", "classes.toml:3:11: `x` is not a digest"),
        ("[[server]]\nuri = \"a\"\npackages = \"x\"", "classes.toml:3:1: unknown field `packages`"),
        ("[[server]]\ncommand = \"x\"", "classes.toml:1:1: missing field `uri`"),
        ("[[tool]]\nuri = \"a#b\"", "classes.toml:1:1: missing field `classes`"),
        ("[[tool]]\nurl = \"a#b\"", "classes.toml:2:1: unknown field `url`"),
        ("[[tools]]\nuri = \"a#b\"", "classes.toml:1:3: unknown field `tools`"),
        ("[[tool]\n", "classes.toml:1:8: "),
    ];
    for (text, expected) in cases {
        let message = refused(text);
        assert!(message.starts_with(expected), "{message}");
    }
    let pinned = format!("[[tool]]\nuri = \"a#*\"\nclasses = [\"read\"]\ndefinition = \"{PIN}\"");
    assert!(refused(&pinned).contains("cannot pin a definition"));
    let row = |uri: &str| format!("[[tool]]\nuri = \"{uri}\"\nclasses = [\"read\"]\n");
    assert!(refused(&(row("a#b") + &row("a#b"))).starts_with("classes.toml:5:7: `a#b` has two rows"));
    assert!(refused(&(row("a#*") + &row("a#*"))).starts_with("classes.toml:5:7: `a#*` has two rows"));
    assert_eq!(refused(&(row("a") + &row("b"))).lines().count(), 2);
    let server = format!("[[server]]\nuri = \"a\"\ncommand = \"{PIN}\"\n");
    assert!(refused(&(server.clone() + &server)).starts_with("classes.toml:5:7: `a` has two rows; keep one"));
    assert_eq!(refused(&(row("a") + "[[server]]\nuri = \"a\"")).lines().count(), 2);
}

#[test]
fn a_finding_marks_the_value_that_is_meant() {
    let text = "[[tool]]\nuri = \"a#b\"\nclasses = [\"read\", \"wriet\"]\n";
    let findings = ClassTable::parse(text).unwrap_err();
    let place = |of: &crate::Finding| (of.line, of.column, of.end_line, of.end_column);
    assert_eq!(findings.iter().map(place).collect::<Vec<_>>(), [(3, 20, 3, 27)]);
}

#[test]
fn rows_are_limited() {
    let rows = |n: usize| -> String {
        let row = |i| format!("[[tool]]\nuri = \"s#t{i}\"\nclasses = [\"read\"]\n");
        (0..n).map(row).collect::<Vec<_>>().concat()
    };
    assert_eq!(ClassTable::parse(&rows(CLASS_ROWS_MAX)).unwrap().tools.len(), CLASS_ROWS_MAX);
    assert!(ClassTable::parse(&rows(CLASS_ROWS_MAX + 1)).is_err());
    let with_server = rows(CLASS_ROWS_MAX) + &format!("[[server]]\nuri = \"s\"\ncommand = \"{PIN}\"");
    assert!(ClassTable::parse(&with_server).is_err());
}

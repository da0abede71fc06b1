//! The lines and their marks.

use policy::{Finding, PolicyError, PolicyFile, PolicySet};
use proptest::prelude::*;

use super::{Line, Weight, columns, findings};

fn file(path: &str, text: &str) -> PolicyFile {
    PolicyFile { path: path.into(), text: text.into() }
}

/// What the check says of these files, without styles.
fn refused(files: &[PolicyFile], width: usize) -> String {
    let Err(PolicyError::Refused(found)) = PolicySet::from_files(files.to_vec()) else {
        panic!("not refused");
    };
    plain(&findings("./policy/", files, &found, Weight::Error, width))
}

fn plain(page: &str) -> String {
    anstream::adapter::strip_str(page).to_string()
}

/// The marked part of the text of a line, by columns.
fn marked(text: &str, column: u32, end: u32, room: usize) -> (String, String) {
    let finding = Finding {
        file: "a".into(),
        line: 1,
        column,
        end_line: 1,
        end_column: end,
        message: String::new(),
        help: None,
    };
    let (text, marks) = Line::of(&file("a", text), &finding).unwrap().around(room);
    let mark = " ".repeat(marks.start) + &"^".repeat(marks.len());
    (text, mark)
}

#[test]
fn a_mark_stands_under_what_is_meant() {
    let files = [
        file("a.cedar", "@id(\"a\")\npermit (principal, action in Deeds::Action::\"act\", resource);\n"),
        file(
            "b.cedar",
            "@id(\"typo\")\nforbid (principal, action, resource in Deeds::Class::\"extrenal\")\nwhen {\n\tcontext.run.ident == \"x\"\n};\n",
        ),
        file("classes.toml", "[[tool]]\nuri = \"stdio:fs#read\"\nclasses = [\"raed\"]\n"),
    ];
    insta::assert_snapshot!(refused(&files[..2], 100));
    insta::assert_snapshot!(refused(&[files[0].clone(), files[2].clone()], 100));
}

#[test]
fn the_documented_example_is_what_is_shown() {
    let page = include_str!("../../../../../docs/policy.md");
    let block = |begin: &str| page.split("```").find_map(|block| block.strip_prefix(begin)).unwrap();
    let files = file("files.cedar", &block("cedar\n").replace("\"external\"", "\"extrenal\""));
    let shown = block("text\n").strip_suffix("\nrefused: 1 problem to mend.\n").unwrap();
    assert_eq!(refused(&[files], 100), format!("{shown}\n").trim_start_matches('\n'));
}

#[test]
fn what_is_about_no_line_names_the_file_or_the_directory() {
    let schema = policy::BUILT_IN_SCHEMA.replace("    \"command/run\"", "    \"x\"");
    let policy = file("a.cedar", "@id(\"a\") forbid (principal, action, resource);");
    insta::assert_snapshot!(refused(&[policy, file("schema.cedarschema", &schema)], 100));
    insta::assert_snapshot!(refused(&[file("classes.toml", "")], 100));
}

#[test]
fn tabs_and_wide_characters_keep_the_mark_in_its_column() {
    assert_eq!(marked("ab\tcd", 4, 5, 80), ("ab  cd".into(), "    ^".into()));
    assert_eq!(marked("\t\tx", 3, 4, 80), ("        x".into(), "        ^".into()));
    assert_eq!(marked("a\tb", 2, 3, 80), ("a   b".into(), " ^^^".into()));
    assert_eq!(marked("日本 x", 4, 5, 80), ("日本 x".into(), "     ^".into()));
    assert_eq!(marked("日本 x", 1, 3, 80), ("日本 x".into(), "^^^^".into()));
    assert_eq!(marked("e\u{301}x", 3, 4, 80), ("e\u{301}x".into(), " ^".into()));
    assert_eq!(marked("🚀x", 2, 3, 80), ("🚀x".into(), "  ^".into()));
    // what acts on a terminal is shown as an escape, and counts as such
    assert_eq!(marked("\u{202e}x", 2, 3, 80), ("\\u{202e}x".into(), "        ^".into()));
    assert_eq!([columns('a'), columns('\u{301}'), columns('한'), columns('…')], [1, 0, 2, 1]);
}

#[test]
fn an_end_is_marked_too() {
    assert_eq!(marked("ab", 3, 3, 80), ("ab".into(), "  ^".into()));
    assert_eq!(marked("", 1, 1, 80), (String::new(), "^".into()));
    assert_eq!(marked("ab\r", 1, 9, 80), ("ab".into(), "^^".into()));
    let over_lines = Finding {
        file: "a".into(),
        line: 2,
        column: 3,
        end_line: 4,
        end_column: 2,
        message: "m".into(),
        help: None,
    };
    let page = findings("d", &[file("a", "1\n  two\n3\n4")], &[over_lines], Weight::Warning, 80);
    assert_eq!(plain(&page), "warning: m\n --> d/a:2:3\n  |\n2 |   two\n  |   ^^^\n\n");
}

#[test]
fn a_long_line_is_cut_around_the_mark() {
    let text = format!("{}MARK{}", "a".repeat(300), "b".repeat(300));
    let (line, mark) = marked(&text, 301, 305, 40);
    assert_eq!(line, format!("…{}MARK{}…", "a".repeat(20), "b".repeat(14)));
    assert_eq!(mark, format!("{}^^^^", " ".repeat(21)));
    let (line, mark) = marked(&text, 1, 601, 40);
    assert_eq!((line.chars().count(), mark.len()), (39, 38));
}

#[test]
fn only_so_many_findings_are_shown() {
    let one = |n: u32| Finding {
        file: "a".into(),
        line: n,
        column: 1,
        end_line: n,
        end_column: 1,
        message: format!("m{n}"),
        help: None,
    };
    let page = |n: u32| plain(&findings("d", &[], &(1..=n).map(one).collect::<Vec<_>>(), Weight::Error, 80));
    assert!(page(100).ends_with("error: m100\n   --> d/a:100:1\n\n"), "{}", page(100));
    assert!(page(101).ends_with("--> d/a:100:1\n\nand 1 more\n\n"), "{}", page(101));
}

proptest! {
    /// Whatever the line, the mark is at least one column, stays within the room, and nothing acts on the terminal.
    #[test]
    fn no_line_breaks_out(text in "[\\x00-\\x09\\x0b-\\x7f日é\u{301}\u{202e}]{0,80}", column in 1_u32..90, long in 0_u32..90, room in 20_usize..60) {
        let (line, mark) = marked(&text, column, column + long, room);
        prop_assert!(mark.ends_with('^') && mark.len() <= room + 10);
        let acts = line.chars().any(|c| c.is_control() || c == '\u{202e}');
        prop_assert!(!acts, "{line:?}");
        prop_assert!(line.chars().map(columns).sum::<usize>() <= room);
    }
}

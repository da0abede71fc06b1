//! Which pins hold.

use super::{ServerFacts, Unpinned};
use crate::{PolicyFile, PolicySet};

const A: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const B: &str = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

fn set(classes: &str) -> PolicySet {
    let file = |path: &str, text: &str| PolicyFile { path: path.to_owned(), text: text.to_owned() };
    let permit = "@id(\"all\") permit (principal, action in Deeds::Action::\"act\", resource);";
    PolicySet::from_files(vec![file("a.cedar", permit), file("classes.toml", classes)]).unwrap()
}

fn what(result: Result<(), Unpinned>) -> &'static str {
    result.map_or_else(|unpinned| unpinned.what, |()| "holds")
}

#[test]
fn a_pinned_tool_is_called_with_its_definition_only() {
    let row = |pinned: &str| {
        set(&format!(
            "[[tool]]\nuri = \"stdio:fs#write\"\nclasses = [\"write\"]\ndefinition = \"{A}\"\n{pinned}"
        ))
    };
    let none = ServerFacts::default();
    let pinned = row("pinned = true");
    assert_eq!(what(pinned.pinned("stdio:fs#write", Some(A), &none)), "holds");
    assert_eq!(what(pinned.pinned("stdio:fs#write", Some(B), &none)), "definition");
    assert_eq!(what(pinned.pinned("stdio:fs#write", None, &none)), "definition");
    assert_eq!(what(pinned.pinned("stdio:fs#write_file", Some(B), &none)), "holds");
    assert_eq!(what(pinned.pinned("stdio:fs#*", None, &none)), "holds");
    for open in ["", "pinned = false"] {
        assert_eq!(what(row(open).pinned("stdio:fs#write", Some(B), &none)), "holds", "{open}");
    }
    let changed = pinned.pinned("stdio:fs#write", Some(B), &none).unwrap_err().text;
    assert!(changed.contains(A) && changed.contains(B) && changed.contains("`stdio:fs#write`"), "{changed}");
    let unseen = pinned.pinned("stdio:fs#write", None, &none).unwrap_err().text;
    assert!(unseen.contains("no list has shown it yet"), "{unseen}");
}

#[test]
fn a_server_row_pins_every_act_on_the_server() {
    let all = format!(
        "[[server]]\nuri = \"stdio:fs\"\ncommand = \"{A}\"\nexecutable = \"{A}\"\npackage = \"{A}\"\nenvironment = \"{A}\""
    );
    let set = set(&all);
    let right = ServerFacts { command: Some(A), executable: Some(A), package: Some(A), environment: Some(A) };
    let wrong = |now: Option<&'static str>| {
        [
            ("command", ServerFacts { command: now, ..right }),
            ("executable", ServerFacts { executable: now, ..right }),
            ("package", ServerFacts { package: now, ..right }),
            ("environment", ServerFacts { environment: now, ..right }),
        ]
    };
    for tool in ["stdio:fs#write", "stdio:fs#resources/read", "stdio:fs#sampling/createMessage"] {
        assert_eq!(what(set.pinned(tool, None, &right)), "holds");
        for (name, facts) in wrong(Some(B)).into_iter().chain(wrong(None)) {
            let unpinned = set.pinned(tool, None, &facts).unwrap_err();
            assert_eq!(unpinned.what, name);
            assert!(unpinned.text.contains("server `stdio:fs`"), "{}", unpinned.text);
        }
    }
    assert_eq!(what(set.pinned("stdio:fs2#write", None, &ServerFacts::default())), "holds");
}

#[test]
fn a_pin_that_is_not_named_does_not_hold_anything_up() {
    let set = set(&format!("[[server]]\nuri = \"stdio:fs\"\npackage = \"{A}\""));
    let facts = ServerFacts { package: Some(A), executable: Some(B), ..ServerFacts::default() };
    assert_eq!(what(set.pinned("stdio:fs#write", None, &facts)), "holds");
}

#[test]
fn the_tool_is_named_before_its_server() {
    let set = set(&format!(
        "[[tool]]\nuri = \"stdio:fs#write\"\nclasses = [\"write\"]\ndefinition = \"{A}\"\npinned = true\n\
         [[server]]\nuri = \"stdio:fs\"\ncommand = \"{A}\""
    ));
    let facts = ServerFacts { command: Some(B), ..ServerFacts::default() };
    assert_eq!(what(set.pinned("stdio:fs#write", Some(B), &facts)), "definition");
    assert_eq!(what(set.pinned("stdio:fs#write", Some(A), &facts)), "command");
    assert_eq!(what(set.pinned("stdio:fs#read", Some(B), &facts)), "command");
}

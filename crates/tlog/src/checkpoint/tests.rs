//! Checkpoint text: known answer, refusals, canonical form.

use proptest::prelude::*;

use super::*;
use crate::tests::{REFERENCE_ROOTS, hash};

const KNOWN: &str = "log.example/t1\n8\nXcnaeacGWamtVZy3Ad7ZoqudgjqtL0lgz+Nw7/RgQyg=\n";

fn known() -> Checkpoint {
    Checkpoint::new("log.example/t1", 8, hash(REFERENCE_ROOTS[8])).unwrap()
}

#[test]
fn known_text() {
    assert_eq!(known().to_text(), KNOWN);
    assert_eq!(Checkpoint::parse(KNOWN), Ok(ParsedCheckpoint { checkpoint: known(), extension_lines: 0 }));
}

#[test]
fn extension_lines_are_counted_and_dropped() {
    let parsed = Checkpoint::parse(&format!("{KNOWN}time 5\nmore — text\n")).unwrap();
    assert_eq!(parsed, ParsedCheckpoint { checkpoint: known(), extension_lines: 2 });
    assert_eq!(parsed.checkpoint.to_text(), KNOWN);
}

#[test]
fn malformed_texts_are_refused() {
    let root = "XcnaeacGWamtVZy3Ad7ZoqudgjqtL0lgz+Nw7/RgQyg=";
    let refused = [
        (String::new(), CheckpointError::Lines),
        ("\n".to_owned(), CheckpointError::Lines),
        ("o\n8\n".to_owned(), CheckpointError::Lines),
        (format!("o\n8\n{root}"), CheckpointError::Lines),
        (format!("\n8\n{root}\n"), CheckpointError::Lines),
        (format!("o\n\n{root}\n"), CheckpointError::Lines),
        (format!("o\n8\n{root}\n\n"), CheckpointError::Lines),
        (format!("o\n8\n{root}\n\nextension\n"), CheckpointError::Lines),
        (format!("o\r\n8\r\n{root}\r\n"), CheckpointError::Lines),
        (format!("o\n8\n{root}\next\tension\n"), CheckpointError::Lines),
        (format!("o\n08\n{root}\n"), CheckpointError::Size),
        (format!("o\n+8\n{root}\n"), CheckpointError::Size),
        (format!("o\n-1\n{root}\n"), CheckpointError::Size),
        (format!("o\n 8\n{root}\n"), CheckpointError::Size),
        (format!("o\n0x8\n{root}\n"), CheckpointError::Size),
        (format!("o\n99999999999999999999\n{root}\n"), CheckpointError::Size),
        (format!("o\n8\n{}\n", root.trim_end_matches('=')), CheckpointError::Root),
        (format!("o\n8\n {root}\n"), CheckpointError::Root),
        // the last character before the padding carries bits that are no part of 32 bytes
        (format!("o\n8\n{}\n", root.replace("yg=", "yh=")), CheckpointError::Root),
        (format!("o\n8\n{}\n", root.replace('+', "-").replace('/', "_")), CheckpointError::Root),
        ("o\n8\nAAAA\n".to_owned(), CheckpointError::Root),
        (format!("o\n8\n{}AAAA\n", root.replace("yg=", "ygA")), CheckpointError::Root),
    ];
    for (text, error) in refused {
        assert_eq!(Checkpoint::parse(&text), Err(error), "{text:?}");
    }
}

#[test]
fn limits() {
    let origin = "o".repeat(MAX_KEY_NAME_BYTES);
    let longest = Checkpoint::new(&origin, MAX_TREE_SIZE, [0; 32]).unwrap();
    assert_eq!(Checkpoint::parse(&longest.to_text()).unwrap().checkpoint, longest);
    let one_more = format!("o{}", longest.to_text());
    assert_eq!(Checkpoint::parse(&one_more), Err(CheckpointError::Origin));
    let larger = Checkpoint { size: MAX_TREE_SIZE + 1, ..known() };
    assert_eq!(Checkpoint::parse(&larger.to_text()), Err(CheckpointError::Size));
    assert_eq!(Checkpoint::new("", 0, [0; 32]), Err(CheckpointError::Origin));
    assert_eq!(Checkpoint::new("a\nb", 0, [0; 32]), Err(CheckpointError::Origin));
    assert_eq!(Checkpoint::new("o", MAX_TREE_SIZE + 1, [0; 32]), Err(CheckpointError::Size));
}

/// What an accepted text must re-encode to: its first three lines.
fn first_three_lines(text: &str) -> String {
    text.split_inclusive('\n').take(3).collect()
}

proptest! {
    #[test]
    fn texts_round_trip(origin in "[!-~é—]{1,80}", size in 0..=MAX_TREE_SIZE, root in any::<Hash>()) {
        let checkpoint = Checkpoint::new(&origin, size, root).unwrap();
        let parsed = Checkpoint::parse(&checkpoint.to_text());
        prop_assert_eq!(parsed, Ok(ParsedCheckpoint { checkpoint, extension_lines: 0 }));
    }

    #[test]
    fn accepted_texts_are_canonical(text in ".{0,5}\n[0-9+ ]{0,3}\n[A-Za-z0-9+/]{41,43}={0,2}\n(.{0,3}\n){0,3}|\\PC{0,100}") {
        if let Ok(parsed) = Checkpoint::parse(&text) {
            prop_assert_eq!(parsed.checkpoint.to_text(), first_three_lines(&text));
            prop_assert_eq!(parsed.extension_lines, text.lines().count() - 3);
        }
    }

    #[test]
    fn mutated_texts_are_canonical_or_refused(at in 0..KNOWN.len(), with in "[ -~\n\r]{0,2}") {
        let mut text = KNOWN.to_owned();
        text.replace_range(at..=at, &with);
        if let Ok(parsed) = Checkpoint::parse(&text) {
            prop_assert_eq!(parsed.checkpoint.to_text(), first_three_lines(&text));
        }
    }
}

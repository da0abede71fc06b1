//! The default alias of a command, taken from the name of its program.

use std::path::Path;

use crate::limits::ALIAS_MAX;
use crate::mcp::check_alias;

/// The alias for a program: its file name in lower case, with a hyphen for every sign that an alias cannot have. An
/// error says what to do when nothing is left of it.
pub fn alias_of_program(program: &str) -> Result<String, String> {
    let name = Path::new(program).file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let plain =
        |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || "._-".contains(letter);
    let made: String = name
        .chars()
        .flat_map(char::to_lowercase)
        .map(|letter| if plain(letter) { letter } else { '-' })
        .collect();
    let made = made.trim_start_matches(['.', '_', '-']);
    // only ASCII is left
    let made = made.get(..ALIAS_MAX).unwrap_or(made);
    check_alias(made)
        .map_err(|_| format!("no alias can be taken from the program `{program}`: choose one with `--name`"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn programs_give_their_names() {
        for (program, alias) in [
            ("git", "git"),
            ("/usr/bin/python3.12", "python3.12"),
            ("./Rotate Token.sh", "rotate-token.sh"),
            (".hidden", "hidden"),
            ("a+b", "a-b"),
            ("[", "-"),
        ] {
            if alias == "-" {
                assert!(alias_of_program(program).unwrap_err().contains("--name"));
            } else {
                assert_eq!(alias_of_program(program).as_deref(), Ok(alias), "{program}");
            }
        }
        for nameless in ["", "/", "..", "日本"] {
            assert!(alias_of_program(nameless).is_err(), "{nameless}");
        }
        let long = |length: usize| alias_of_program(&"a".repeat(length)).unwrap().len();
        assert_eq!((long(ALIAS_MAX), long(ALIAS_MAX + 1)), (ALIAS_MAX, ALIAS_MAX));
    }

    proptest! {
        #[test]
        fn every_alias_given_is_an_alias(program in "\\PC{0,80}") {
            if let Ok(alias) = alias_of_program(&program) {
                prop_assert_eq!(check_alias(&alias), Ok(alias));
            }
        }
    }
}

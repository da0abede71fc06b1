//! `WORD:…` where the word is no kind of limit. As an exact text it would be a limit that nobody meant, so whoever
//! means the text says so with `exact:`.

use anyhow::bail;

/// The kinds that have a short form with a colon.
const KINDS: [&str; 10] = [
    "exact",
    "prefix",
    "path_under",
    "host_in",
    "one_of",
    "not_one_of",
    "contains",
    "subset",
    "range",
    "decimal_range",
];
/// Shortest word that is looked for within the kinds, bytes.
const LIKE_MIN_BYTES: usize = 3;
/// First letters that a word and a kind must share to be taken for each other, bytes.
const START_BYTES: usize = 4;

/// Refuses what looks like a kind and is none. URLs, drive letters and times do not look like one.
pub(super) fn check(word: &str, rest: &str) -> anyhow::Result<()> {
    let is_word =
        word.len() > 1 && word.bytes().all(|byte| byte.is_ascii_alphabetic() || b"_-".contains(&byte));
    if !is_word || rest.starts_with("//") {
        return Ok(());
    }
    let meant = like(word).map(|kind| format!("; did you mean `{kind}:`?")).unwrap_or_default();
    let dot = if meant.is_empty() { "." } else { "" };
    let text = format!("{word}:{rest}");
    bail!(
        "`{word}:` is no kind of limit{meant}{dot} The kinds are {}, and `*` for anything; the text itself is \
         written `exact:{}`",
        KINDS.join(", "),
        text.escape_default()
    )
}

/// The kind that a word is most like.
fn like(word: &str) -> Option<&'static str> {
    let letters = |text: &str| text.replace(['_', '-'], "").to_ascii_lowercase();
    let word = letters(word);
    let first = |fits: &dyn Fn(&str) -> bool| KINDS.into_iter().find(|kind| fits(&letters(kind)));
    first(&|kind| kind == word)
        .or_else(|| first(&|kind| word.len() >= LIKE_MIN_BYTES && kind.contains(&word)))
        .or_else(|| first(&|kind| word.get(..START_BYTES).is_some_and(|start| kind.starts_with(start))))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn a_slip_is_refused_with_the_kind_that_was_meant() {
        for (word, meant) in [
            ("under", "path_under"),
            ("path", "path_under"),
            ("path-under", "path_under"),
            ("PATH_UNDER", "path_under"),
            ("prefx", "prefix"),
            ("host", "host_in"),
            ("hosts", "host_in"),
            ("oneof", "one_of"),
            ("not-one-of", "not_one_of"),
            ("decimal", "decimal_range"),
            ("ranges", "range"),
        ] {
            let error = check(word, "x").unwrap_err().to_string();
            assert!(error.contains(&format!("; did you mean `{meant}:`? The kinds are")), "{word}: {error}");
            assert!(error.contains(&format!("`exact:{word}:x`")), "{word}: {error}");
        }
        for word in ["regex", "localhost", "urn", "in", "--"] {
            let error = check(word, "x").unwrap_err().to_string();
            assert!(!error.contains("did you mean"), "{word}: {error}");
            assert!(error.contains("no kind of limit. The kinds are exact, prefix, path_under"), "{error}");
        }
    }

    #[test]
    fn what_does_not_look_like_a_kind_is_a_text() {
        for (word, rest) in [
            ("https", "//crm.example/a"),
            ("file", "///srv"),
            ("C", "\\data"),
            ("C", "/data"),
            ("12", "30"),
            ("2026-11-03T02", "00:00Z"),
            ("a b", "c"),
            ("", "x"),
        ] {
            assert!(check(word, rest).is_ok(), "{word}:{rest}");
        }
    }

    #[test]
    fn every_kind_is_taken_and_has_its_example_in_the_help() {
        let mut deeds = Cli::command();
        let mut help = |name: &str| {
            let command = deeds.find_subcommand_mut(name).unwrap();
            [command.render_help().to_string(), command.render_long_help().to_string()]
        };
        let helps = [help("delegate"), help("mandate")].concat();
        for kind in KINDS {
            assert!(helps.iter().all(|help| help.contains(&format!("={kind}:"))), "{kind}");
            let form = format!("{kind}:1..2");
            assert_eq!(crate::arguments::constraint(&form).unwrap()["constraint_type"], kind);
        }
    }
}

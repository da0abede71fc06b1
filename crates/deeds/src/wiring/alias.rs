//! Our names for servers: the client's name made valid, one for each command.

use std::collections::BTreeMap;

use capture::mcp::{alias_of, check_alias};

/// Longest alias that a number is put behind, bytes.
const STEM_MAX: usize = 56;

/// The names in use, each with the command it stands for.
#[derive(Debug, Default)]
pub(super) struct Aliases(BTreeMap<String, Known>);

/// What a name stands for.
#[derive(Debug)]
struct Known {
    command: Vec<String>,
    /// Whose server it was first.
    owner: String,
}

/// A name that was given.
#[derive(Debug)]
pub(super) struct Assigned {
    pub(super) alias: String,
    /// Why it has a number: the name without it, and whose server has that.
    pub(super) taken_by: Option<(String, String)>,
}

impl Aliases {
    /// A name that is in use already, and whose server has it.
    pub(super) fn taken(&mut self, alias: &str, command: &[String], owner: &str) {
        let known = || Known { command: command.to_vec(), owner: owner.to_owned() };
        self.0.entry(alias.to_owned()).or_insert_with(known);
    }

    /// Why a name that a server has already got a number, as [`Assigned::taken_by`] told then.
    pub(super) fn numbered(&self, name: &str, alias: &str, command: &[String]) -> Option<(String, String)> {
        let stem = valid(name)?;
        let number = alias.strip_prefix(cut(&stem, STEM_MAX))?.strip_prefix('-')?;
        let known = self.0.get(&stem).filter(|known| known.command != command)?;
        number.parse::<u32>().is_ok().then(|| (stem, known.owner.clone()))
    }

    /// The name for a command: the same for the same command in several clients, and never one for two commands,
    /// because policies and answers know a server by it.
    pub(super) fn assign(&mut self, name: &str, command: &[String], owner: &str) -> Assigned {
        let stem = valid(name).or_else(|| alias_of(command).ok()).unwrap_or_else(|| "server".to_owned());
        let numbered = (2_u32..).map(|n| format!("{}-{n}", cut(&stem, STEM_MAX)));
        let free = |alias: &String| self.0.get(alias).is_none_or(|known| known.command == command);
        let alias = std::iter::once(stem.clone()).chain(numbered).find(free).unwrap_or(stem.clone());
        let first = self.0.get(&stem).filter(|_| alias != stem).map(|known| known.owner.clone());
        self.taken(&alias, command, owner);
        Assigned { alias, taken_by: first.map(|owner| (stem, owner)) }
    }
}

/// A name in the characters of an alias; nothing where none of it can be kept.
fn valid(name: &str) -> Option<String> {
    let mut alias = String::new();
    for c in name.to_lowercase().chars() {
        match c {
            'a'..='z' | '0'..='9' => alias.push(c),
            '.' | '_' | '-' if !alias.is_empty() => alias.push(c),
            _ if alias.is_empty() || alias.ends_with('-') => {}
            _ => alias.push('-'),
        }
    }
    let alias = cut(&alias, capture::limits::ALIAS_MAX).trim_end_matches('-');
    check_alias(alias).ok()
}

/// The alphabet is ASCII, so bytes are characters.
fn cut(text: &str, max: usize) -> &str {
    text.get(..max).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(command: &str) -> Vec<String> {
        command.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn names_are_made_valid() {
        for (name, alias) in [
            ("fs", "fs"),
            ("My Files!", "my-files"),
            ("@acme/Server_v1.2", "acme-server_v1.2"),
            ("--x", "x"),
            ("Größe", "gr-e"),
            ("a  /  b", "a-b"),
        ] {
            assert_eq!(valid(name).as_deref(), Some(alias), "{name}");
        }
        assert_eq!((valid("日本"), valid(""), valid("---")), (None, None, None));
        let long = "n".repeat(200);
        assert_eq!(valid(&long).unwrap().len(), capture::limits::ALIAS_MAX);
        assert_eq!(Aliases::default().assign("日本", &words("npx -y @a/files"), "").alias, "files");
        assert_eq!(Aliases::default().assign("日本", &words("npx"), "").alias, "server");
    }

    #[test]
    fn one_name_stands_for_one_command() {
        let mut aliases = Aliases::default();
        aliases.taken("fs-2", &words("files /c"), "a");
        assert_eq!(aliases.assign("fs", &words("files /a"), "b").alias, "fs");
        assert_eq!(aliases.assign("FS", &words("files /a"), "b").alias, "fs");
        assert_eq!(aliases.assign("fs", &words("files /b"), "b").alias, "fs-3");
        assert_eq!(aliases.assign("fs", &words("files /c"), "b").alias, "fs-2");
        let again = aliases.assign("fs", &words("files /d"), "c");
        assert_eq!(again.taken_by, Some(("fs".to_owned(), "b".to_owned())));
        // what has its number already is explained as it was when it got it
        assert_eq!(
            aliases.numbered("fs", "fs-3", &words("files /b")),
            Some(("fs".to_owned(), "b".to_owned()))
        );
        assert_eq!(aliases.numbered("fs", "fs", &words("files /a")), None);
        assert_eq!(aliases.numbered("fs", "fs-x", &words("files /b")), None, "it is called so");
        assert_eq!(aliases.numbered("fs-3", "fs-3", &words("files /b")), None);
        assert_eq!(aliases.numbered("fs", "fs-2", &words("files /a")), None, "the name is its own");
        let long = "n".repeat(80);
        aliases.assign(&long, &words("a"), "b");
        let second = aliases.assign(&long, &words("b"), "b").alias;
        assert!(second.ends_with("n-2") && check_alias(&second).is_ok(), "{second}");
    }
}

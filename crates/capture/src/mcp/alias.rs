//! The default alias of a wrapped server, taken from its command, never from what the server says of itself.

use std::path::Path;

use crate::limits::ALIAS_MAX;

/// Runners that fetch a package and run it, with the words that stand between them and the package.
const RUNNERS: [(&str, &[&str]); 10] = [
    ("npx", &[]),
    ("bunx", &[]),
    ("uvx", &[]),
    ("npm", &["exec"]),
    ("npm", &["x"]),
    ("bun", &["x"]),
    ("pnpm", &["dlx"]),
    ("pipx", &["run"]),
    ("uv", &["tool", "run"]),
    ("yarn", &["dlx"]),
];

/// Options of those runners that take the next argument as their value. For `--from` and `-p` the value is a
/// package too, but the name that follows is the one that people know the server by.
const WITH_VALUE: [&str; 14] = [
    "-p",
    "--package",
    "-c",
    "--call",
    "-w",
    "--workspace",
    "--from",
    "--with",
    "--python",
    "--spec",
    "--index-url",
    "--index",
    "--directory",
    "--registry",
];

/// The alias for a command: file name of the program or, for a runner such as `npx`, the package without scope
/// and version. An error says what to do when there is none that fits.
pub fn alias_of(command: &[String]) -> Result<String, String> {
    let program = command.first().ok_or("no command to wrap: give one after `--`")?;
    let name = Path::new(program).file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let stem = name.strip_suffix(".exe").or_else(|| name.strip_suffix(".cmd")).unwrap_or(name);
    let named = package_run_by(stem, command.get(1..).unwrap_or_default()).unwrap_or_else(|| stem.to_owned());
    check_alias(&named.to_lowercase()).map_err(|why| {
        format!(
            "no alias can be taken from the command `{}`: {why}; choose one with `--name`",
            shown(command)
        )
    })
}

/// Checks an alias: `[a-z0-9][a-z0-9._-]*`, at most 64 bytes.
pub fn check_alias(alias: &str) -> Result<String, String> {
    let fine = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let first = alias.bytes().next().is_some_and(fine);
    if !first || !alias.bytes().all(|byte| fine(byte) || b"._-".contains(&byte)) {
        return Err(format!(
            "`{}` is not made of lower-case letters, digits and `._-`, a letter or digit first",
            alias.chars().take(ALIAS_MAX).collect::<String>()
        ));
    }
    if alias.len() > ALIAS_MAX {
        return Err(format!("it has {} bytes, more than the {ALIAS_MAX} allowed", alias.len()));
    }
    Ok(alias.to_owned())
}

/// The package that a runner runs, if `program` is one.
fn package_run_by(program: &str, args: &[String]) -> Option<String> {
    let (_, words) = RUNNERS.iter().find(|(runner, words)| {
        *runner == program && words.iter().zip(args).filter(|(word, arg)| word == arg).count() == words.len()
    })?;
    let mut rest = args.iter().skip(words.len());
    while let Some(arg) = rest.next() {
        if WITH_VALUE.contains(&arg.as_str()) {
            rest.next();
        } else if !arg.starts_with('-') {
            return Some(package_name(arg).to_owned());
        }
    }
    // a runner without a package: let the grammar refuse it rather than call every server by the runner's name
    Some(String::new())
}

/// `@scope/name@version` → `name`; also `name==1.0` and `name[extra]`.
fn package_name(spec: &str) -> &str {
    let spec =
        spec.strip_prefix('@').map_or(spec, |scoped| scoped.split_once('/').map_or("", |(_, name)| name));
    spec.split(['@', '=', '<', '>', '~', '!', '[', ';']).next().unwrap_or_default()
}

fn shown(command: &[String]) -> String {
    command.join(" ").chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn alias(command: &str) -> Result<String, String> {
        alias_of(&command.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn programs_and_packages() {
        for (command, expected) in [
            ("npx -y @modelcontextprotocol/server-filesystem@2026.8.31 .", "server-filesystem"),
            ("npx --package=x server-memory", "server-memory"),
            ("npx -p @a/b cmd-name", "cmd-name"),
            ("/usr/bin/npx @a/b", "b"),
            ("npm exec -y -- @a/Server@1", "server"),
            ("bunx mcp-thing@latest", "mcp-thing"),
            ("uvx mcp-server-time==2026.10.19", "mcp-server-time"),
            ("uvx --from git+https://x/y mcp-server-git", "mcp-server-git"),
            ("uv tool run mcp-server-fetch[all]@1.2", "mcp-server-fetch"),
            ("pipx run --spec x mcp-x", "mcp-x"),
            ("/opt/MCP/Files-Server --root /", "files-server"),
            ("uv run server.py", "uv"),
            ("server.exe", "server"),
        ] {
            assert_eq!(alias(command).as_deref(), Ok(expected), "{command}");
        }
    }

    #[test]
    fn what_gives_no_alias_asks_for_a_name() {
        for command in ["npx", "npx -y", "./-x", "/", "ünicode", "a+b", "npx @scope"] {
            let error = alias(command).unwrap_err();
            assert!(error.contains("--name"), "{command}: {error}");
        }
        assert!(alias_of(&[]).is_err());
    }

    #[test]
    fn length_is_limited_at_the_boundary() {
        assert!(check_alias(&"a".repeat(ALIAS_MAX)).is_ok());
        assert!(check_alias(&"a".repeat(ALIAS_MAX + 1)).is_err());
        for wrong in ["", ".a", "-a", "_a", "A", "a b", "a/b", "a#b"] {
            assert!(check_alias(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn every_alias_given_is_within_the_grammar(command in proptest::collection::vec("\\PC{0,20}", 0..5)) {
            if let Ok(alias) = alias_of(&command) {
                prop_assert_eq!(check_alias(&alias), Ok(alias));
            }
        }
    }
}

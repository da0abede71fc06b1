//! `deeds completions` and `deeds man`: what shells and `man` know of the command line, made from the command line
//! itself.

use std::path::Path;

use anyhow::Context as _;
use clap::{Arg, Command, CommandFactory as _};
use clap_complete::{Shell as Target, generate};
use clap_mangen::Man;

use crate::Outcome;
use crate::cli::{Cli, CompletionsArgs, ManArgs, Shell};
use crate::files::{Existing, SHARED, write_whole};
use crate::output::{Output, print_json, print_raw, print_text};

/// Behind all other options.
const BEHIND: usize = 10_000;

/// Prints a completion script.
pub(crate) fn run(args: &CompletionsArgs) -> anyhow::Result<Outcome> {
    let target = match args.shell {
        Shell::Bash => Target::Bash,
        Shell::Zsh => Target::Zsh,
        Shell::Fish => Target::Fish,
    };
    let mut script = Vec::new();
    generate(target, &mut visible(), "deeds", &mut script);
    print_raw(&script)?;
    Ok(Outcome::Fine)
}

/// Prints the page of a command, or writes those of all into a directory.
pub(crate) fn man(args: &ManArgs, output: Output) -> anyhow::Result<Outcome> {
    let mut root = visible();
    root.build();
    let Some(dir) = &args.out else {
        print_raw(&page(below(&root, &args.command)?)?)?;
        return Ok(Outcome::Fine);
    };
    std::fs::create_dir_all(dir).with_context(|| format!("cannot make `{}`", dir.display()))?;
    let mut written = Vec::new();
    write(dir, &root, &mut written)?;
    if output.json {
        print_json(&serde_json::json!({"dir": dir, "pages": written}))?;
    } else {
        print_text(&format!("Wrote {} pages into `{}`.\n", written.len(), dir.display()))?;
    }
    Ok(Outcome::Fine)
}

/// The command line without what is not for people.
fn visible() -> Command {
    let all = Cli::command();
    let shown = all.get_subcommands().filter(|command| !command.is_hide_set()).cloned();
    let mut root = Command::new("deeds").args(all.get_arguments().cloned()).subcommands(shown);
    root = root.disable_help_subcommand(true).version(env!("CARGO_PKG_VERSION"));
    if let Some(about) = all.get_about() {
        root = root.about(about.clone());
    }
    if let Some(about) = all.get_long_about() {
        root = root.long_about(about.clone());
    }
    if let Some(help) = all.get_after_long_help() {
        root = root.after_long_help(help.clone());
    }
    root
}

/// The command that these words name.
fn below<'a>(root: &'a Command, words: &[String]) -> anyhow::Result<&'a Command> {
    let mut command = root;
    for word in words {
        command = command.find_subcommand(word).with_context(|| {
            let names: Vec<&str> = command.get_subcommands().map(Command::get_name).collect();
            let of = command.get_bin_name().unwrap_or("deeds");
            match names.as_slice() {
                [] => format!("`{of}` has no command `{word}` below it"),
                names => format!("`{of}` has no command `{word}`; it has {}", names.join(", ")),
            }
        })?;
    }
    Ok(command)
}

fn write(dir: &Path, command: &Command, written: &mut Vec<String>) -> anyhow::Result<()> {
    let name = format!("{}.1", name(command));
    let path = dir.join(&name);
    write_whole(&path, &page(command)?, SHARED, Existing::Replace)
        .with_context(|| format!("cannot write `{}`", path.display()))?;
    written.push(name);
    for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
        write(dir, below, written)?;
    }
    Ok(())
}

/// `deeds-policy-check`; known once the whole command line was built.
fn name(command: &Command) -> String {
    command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned()
}

fn page(command: &Command) -> anyhow::Result<Vec<u8>> {
    let mut page = Vec::new();
    // what every command takes comes behind what is its own
    let ordered = |arg: Arg| if arg.is_global_set() { arg.display_order(BEHIND) } else { arg };
    Man::new(command.clone().mut_args(ordered)).render(&mut page)?;
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_hidden_is_in_no_script_and_on_no_page() {
        for target in [Target::Bash, Target::Zsh, Target::Fish] {
            let mut script = Vec::new();
            generate(target, &mut visible(), "deeds", &mut script);
            let script = String::from_utf8(script).unwrap();
            assert!(script.contains("authority") && !script.contains("player"), "{target}");
        }
        let dir = tempfile::tempdir().unwrap();
        let mut root = visible();
        root.build();
        let mut written = Vec::new();
        write(dir.path(), &root, &mut written).unwrap();
        assert!(written.iter().any(|name| name == "deeds-policy-check.1"), "{written:?}");
        assert!(!written.iter().any(|name| name.contains("player")), "{written:?}");
        let page = std::fs::read_to_string(dir.path().join("deeds-wrap.1")).unwrap();
        assert!(page.contains("Example: deeds wrap"), "{page}");
        let page = std::fs::read_to_string(dir.path().join("deeds.1")).unwrap();
        assert!(page.contains("deeds\\-init(1)") && page.contains("First steps"), "{page}");
    }

    #[test]
    fn the_page_of_one_command_is_found_and_its_own_options_come_first() {
        let mut root = visible();
        root.build();
        let named = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            below(&root, &words).map(name)
        };
        assert_eq!(named(&["policy", "check"]).unwrap(), "deeds-policy-check");
        assert_eq!(named(&[]).unwrap(), "deeds");
        assert!(named(&["polcy"]).unwrap_err().to_string().contains("no command `polcy`; it has init, "));
        let shown = String::from_utf8(page(below(&root, &["wrap".to_owned()]).unwrap()).unwrap()).unwrap();
        let synopsis = shown.split(".SH SYNOPSIS").nth(1).unwrap().split(".SH").next().unwrap();
        let at = |option: &str| synopsis.find(option).unwrap_or_else(|| panic!("{option}: {synopsis}"));
        assert!(at("name") < at("json") && at("name") < at("data"), "{synopsis}");
    }
}

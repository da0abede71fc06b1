//! `--tool`, `--arg` and `--scope`: tools with limits on their arguments. Which tool a `--arg` belongs to is said by
//! the order on the command line, so these are read from it by position.

use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, value_parser};

/// The short forms of limits; below the help of the commands that take them.
pub(crate) const LIMITS: &str = "\
Limits of an argument, NAME=KIND:VALUE (the values are texts; of other scalars write JSON):
  --arg host=prefix:ws-                  text that starts with it
  --arg path=path_under:/srv/data        a path there or below
  --arg url=host_in:a.com,*.b.com        a host, or a URL of one
  --arg amount=decimal_range:..10000.00  a decimal within bounds
  --arg n=range:1..10                    a number within bounds
  --arg state=one_of:open,closed         one of these texts
  --arg state=not_one_of:closed          none of these texts
  --arg labels=subset:a,b                a list of only these
  --arg labels=contains:a,b              a list with all of these
  --arg id=exact:T-1                     this text (or id=T-1)
  --arg note=*                           anything
  --arg note?=*                          `?` after a name: it may be absent
  --arg 'n={\"constraint_type\":…}'        `all`, `any` and the rest, as JSON";

const TOOL: &str = "tool";
const ARG: &str = "arg";
const SCOPE: &str = "scope";

/// Tools as they were typed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ToolsArgs {
    /// Each tool with the limits that followed it.
    pub(crate) rows: Vec<(String, Vec<String>)>,
    /// A file with a whole tools object instead.
    pub(crate) scope: Option<PathBuf>,
}

impl Args for ToolsArgs {
    fn augment_args(command: Command) -> Command {
        let tool = Arg::new(TOOL).long(TOOL).value_name("URI").action(ArgAction::Append);
        let arg = Arg::new(ARG).long(ARG).value_name("NAME=LIMIT").action(ArgAction::Append).requires(TOOL);
        let scope = Arg::new(SCOPE).long(SCOPE).value_name("FILE").value_parser(value_parser!(PathBuf));
        command
            .arg(
                tool.help(
                    "A tool, `stdio:ALIAS#TOOL`, or `stdio:ALIAS#*` for all of a server; may be repeated",
                ),
            )
            .arg(arg.help(
                "Limit an argument of the tool named before it; may be repeated. All others are refused",
            ))
            .arg(
                scope
                    .help("JSON file with the tools and the limits on their arguments, instead of `--tool`")
                    .conflicts_with_all([TOOL, ARG]),
            )
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for ToolsArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let tools = placed(matches, TOOL);
        let mut rows: Vec<(String, Vec<String>)> =
            tools.iter().map(|(_, uri)| (uri.clone(), Vec::new())).collect();
        for (at, text) in placed(matches, ARG) {
            // the last tool that stands before it
            let row = tools.partition_point(|(tool_at, _)| *tool_at < at).checked_sub(1);
            let Some((_, limits)) = row.and_then(|row| rows.get_mut(row)) else {
                let text = format!(
                    "`--arg {text}` stands before the first `--tool`: put it after the tool it limits"
                );
                return Err(clap::Error::raw(ErrorKind::MissingRequiredArgument, format!("{text}\n")));
            };
            limits.push(text);
        }
        Ok(Self { rows, scope: matches.get_one(SCOPE).cloned() })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Values of an option with where they stand on the command line, in that order.
fn placed(matches: &ArgMatches, name: &str) -> Vec<(usize, String)> {
    let values = matches.get_many::<String>(name).into_iter().flatten().cloned();
    matches.indices_of(name).into_iter().flatten().zip(values).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<ToolsArgs, clap::Error> {
        let command = ToolsArgs::augment_args(Command::new("t"));
        ToolsArgs::from_arg_matches(&command.try_get_matches_from(line.split(' '))?)
    }

    #[test]
    fn each_limit_belongs_to_the_tool_before_it() {
        let tools = parse("t --tool a#x --arg n=1 --arg m=* --tool a#y --tool=b#z --arg=n=2").unwrap();
        let row = |uri: &str, limits: &[&str]| {
            (uri.to_owned(), limits.iter().map(|limit| (*limit).to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(tools.rows, [row("a#x", &["n=1", "m=*"]), row("a#y", &[]), row("b#z", &["n=2"])]);
        assert_eq!(parse("t").unwrap(), ToolsArgs::default());
    }

    #[test]
    fn a_limit_without_a_tool_before_it_is_refused() {
        assert!(parse("t --arg n=1 --tool a#x").unwrap_err().to_string().contains("after the tool"));
        assert!(parse("t --arg n=1").is_err());
        assert!(parse("t --tool a#x --scope f").is_err());
        assert_eq!(parse("t --scope f").unwrap().scope, Some("f".into()));
    }
}

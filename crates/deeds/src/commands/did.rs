//! `deeds did`.

use anyhow::ensure;
use serde_json::Value;

use super::{Again, Query, answer, run_id};
use crate::Outcome;
use crate::cli::DidArgs;
use crate::clock;
use crate::config::Config;
use crate::connect::connect;
use crate::names::{RunId, Time, Who};
use crate::output::Output;
use crate::render::{lists, text};

/// Lists actions.
pub(crate) async fn run(config: &Config, args: &DidArgs, output: Output) -> anyhow::Result<Outcome> {
    let now_ms = clock::now_ms();
    check_times(args, now_ms)?;
    let server = connect(config).await?;
    let run = match &args.run {
        Some(name) => Some(run_id(&server.client, name).await?),
        None => None,
    };
    let again = again(config, args, now_ms);
    let page = |value: &Value, width| lists::actions(value, width, &again);
    answer(&server.client, &path(args, run, now_ms), output, page).await
}

fn check_times(args: &DidArgs, now_ms: u64) -> anyhow::Result<()> {
    if let (Some(from), Some(to)) = (args.from, args.to) {
        let (from, to) = (from.ms(now_ms), to.ms(now_ms));
        ensure!(
            from <= to,
            "`--from` ({}) is later than `--to` ({}): nothing can lie between; exchange them",
            text::time(from),
            text::time(to)
        );
    }
    Ok(())
}

/// The same question; times are those of this moment, so that the pages of one list fit together.
fn again(config: &Config, args: &DidArgs, now_ms: u64) -> String {
    let time = |time: Option<Time>| time.map(|time| time.text(now_ms));
    let mut again = Again::new(config, "did");
    if let Some(Who::Name(who) | Who::Run(who)) = &args.who {
        again = again.word(who);
    }
    again
        .maybe("--run", args.run.as_ref().map(ToString::to_string))
        .maybe("--task", args.task.as_ref().map(|task| task.0.clone()))
        .maybe("--from", time(args.from))
        .maybe("--to", time(args.to))
        .limit(&args.page)
        .0
}

fn path(args: &DidArgs, named_run: Option<String>, now_ms: u64) -> String {
    let (who, run) = match &args.who {
        Some(Who::Name(name)) => (Some(name.clone()), None),
        Some(Who::Run(run)) => (None, Some(run.clone())),
        None => (None, None),
    };
    let id = |id: &Option<RunId>| id.as_ref().map(|id| id.0.clone());
    let time = |time: Option<Time>| time.map(|time| time.ms(now_ms).to_string());
    Query::new("/v1/did")
        .maybe("who", who)
        .maybe("run", run.or(named_run))
        .maybe("task", id(&args.task))
        .maybe("from", time(args.from))
        .maybe("to", time(args.to))
        .page(&args.page)
        .0
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command};
    use crate::names::RunName;

    fn asked(line: &str) -> String {
        let cli = Cli::try_parse_from(line.split(' ')).unwrap();
        let Command::Did(args) = cli.command else { panic!("not `did`") };
        let run = match &args.run {
            Some(RunName::Id(id)) => Some(id.clone()),
            _ => None,
        };
        path(&args, run, 10_000_000)
    }

    #[test]
    fn a_run_is_told_from_a_name_and_times_become_ms() {
        let run = "01890a5d-ac96-774b-bcce-b302099a8057";
        assert_eq!(asked("deeds did"), "/v1/did?limit=50");
        assert_eq!(asked("deeds did ana@x --limit 3"), "/v1/did?who=ana%40x&limit=3");
        assert_eq!(asked(&format!("deeds did {run}")), format!("/v1/did?run={run}&limit=50"));
        assert_eq!(asked(&format!("deeds did --task {run}")), format!("/v1/did?task={run}&limit=50"));
        let line = "deeds did --from 1h --to 1970-01-01T00:00:09Z --before @8";
        assert_eq!(asked(line), "/v1/did?from=6400000&to=9000&limit=50&before=8");
    }

    #[test]
    fn the_command_for_the_next_page_asks_the_same() {
        let line = "deeds did ana --from 1h --to 1970-01-01T02:46:40Z --limit 3 --before @8";
        let Command::Did(args) = Cli::try_parse_from(line.split(' ')).unwrap().command else { panic!() };
        let same = "deeds did ana --from 1970-01-01T01:46:40Z --to 1970-01-01T02:46:40Z --limit 3";
        assert_eq!(again(&Config::default(), &args, 10_000_000), same);
        let line = "deeds did --run @7";
        let Command::Did(args) = Cli::try_parse_from(line.split(' ')).unwrap().command else { panic!() };
        assert_eq!(again(&Config::default(), &args, 0), line);
    }

    #[test]
    fn a_range_that_ends_before_it_begins_is_refused() {
        let check = |line: &str| {
            let Command::Did(args) = Cli::try_parse_from(line.split(' ')).unwrap().command else { panic!() };
            check_times(&args, 10_000_000)
        };
        assert!(check("deeds did --from 1h --to 1h").is_ok());
        let error = check("deeds did --from 1h --to 2h").unwrap_err().to_string();
        assert!(error.contains("later than `--to`"), "{error}");
    }

    #[test]
    fn two_ways_to_say_whose_are_refused() {
        let run = "01890a5d-ac96-774b-bcce-b302099a8057";
        for line in [format!("deeds did ana --run {run}"), format!("deeds did --task {run} --run {run}")] {
            assert!(Cli::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }
}

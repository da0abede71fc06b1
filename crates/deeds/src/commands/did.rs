//! `deeds did`.

use super::{Query, answer};
use crate::Outcome;
use crate::cli::DidArgs;
use crate::clock;
use crate::config::Config;
use crate::connect::connect;
use crate::names::{RunId, Time, Who};
use crate::output::Output;
use crate::render::lists;

/// Lists actions.
pub(crate) async fn run(config: &Config, args: &DidArgs, output: Output) -> anyhow::Result<Outcome> {
    let server = connect(config).await?;
    answer(&server.client, &path(args, clock::now_ms()), output, lists::actions).await
}

fn path(args: &DidArgs, now_ms: u64) -> String {
    let (who, run) = match &args.who {
        Some(Who::Name(name)) => (Some(name.clone()), None),
        Some(Who::Run(run)) => (None, Some(run.clone())),
        None => (None, None),
    };
    let id = |id: &Option<RunId>| id.as_ref().map(|id| id.0.clone());
    let time = |time: Option<Time>| time.map(|time| time.ms(now_ms).to_string());
    Query::new("/v1/did")
        .maybe("who", who)
        .maybe("run", run.or_else(|| id(&args.run)))
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

    fn asked(line: &str) -> String {
        let cli = Cli::try_parse_from(line.split(' ')).unwrap();
        let Command::Did(args) = cli.command else { panic!("not `did`") };
        path(&args, 10_000_000)
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
    fn two_ways_to_say_whose_are_refused() {
        let run = "01890a5d-ac96-774b-bcce-b302099a8057";
        for line in [format!("deeds did ana --run {run}"), format!("deeds did --task {run} --run {run}")] {
            assert!(Cli::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }
}

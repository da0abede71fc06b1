//! `deeds did`.

use clap::ValueEnum;
use serde_json::Value;

use super::{Again, Query, ask, check_times, maybe_run, maybe_task, who};
use crate::Outcome;
use crate::cli::{DidArgs, VerdictIs};
use crate::clock;
use crate::config::Config;
use crate::connect::connect;
use crate::names::{RunName, Who};
use crate::output::Output;
use crate::render::lists;

/// Lists actions.
pub(crate) async fn run(config: &Config, args: &DidArgs, output: Output) -> anyhow::Result<Outcome> {
    let now_ms = clock::now_ms();
    check_times(&args.stretch, now_ms)?;
    let server = connect(config).await?;
    let client = &server.client;
    let whose = Whose {
        who: match &args.who {
            Some(Who::Name(name)) => Some(name.clone()),
            _ => None,
        },
        run: match &args.who {
            Some(named @ Who::Run(_)) => Some(who(client, named).await?),
            _ => maybe_run(client, args.run.as_ref()).await?,
        },
        task: maybe_task(client, args.task.as_ref()).await?,
    };
    let again = again(config, args, now_ms);
    let page = |value: &Value, width| match args.page.before {
        Some(before) if lists::rows(value, "actions").is_empty() => {
            format!("No actions before @{before} match.\n{}", lists::margin(value, width))
        }
        _ => lists::actions(value, width, &again),
    };
    ask(&server, &path(args, whose, now_ms), output, page).await
}

/// Whose actions, with entries resolved to ids.
#[derive(Debug, Default)]
struct Whose {
    who: Option<String>,
    run: Option<String>,
    task: Option<String>,
}

/// The same question; times are those of this moment, so that the pages of one list fit together.
fn again(config: &Config, args: &DidArgs, now_ms: u64) -> String {
    let mut again = Again::new(config, "did");
    if let Some(who) = &args.who {
        again = again.word(&who.to_string());
    }
    again
        .maybe("--run", args.run.as_ref().map(RunName::to_string))
        .maybe("--task", args.task.as_ref().map(RunName::to_string))
        .maybe("--tool", args.tool.clone())
        .maybe("--principal", args.principal.clone())
        .maybe("--verdict", args.verdict.as_ref().and_then(word))
        .maybe("--outcome", args.outcome.as_ref().and_then(word))
        .stretch(&args.stretch, now_ms)
        .limit(&args.page)
        .0
}

/// A choice as it is typed.
fn word<T: ValueEnum>(choice: &T) -> Option<String> {
    choice.to_possible_value().map(|value| value.get_name().to_owned())
}

fn path(args: &DidArgs, whose: Whose, now_ms: u64) -> String {
    let verdict = args.verdict.map(|verdict| match verdict {
        VerdictIs::Allowed => "allow".to_owned(),
        VerdictIs::Denied => "deny".to_owned(),
    });
    Query::new("/v1/did")
        .maybe("who", whose.who)
        .maybe("run", whose.run)
        .maybe("task", whose.task)
        .maybe("tool", args.tool.clone())
        .maybe("principal", args.principal.clone())
        .maybe("verdict", verdict)
        .maybe("outcome", args.outcome.as_ref().and_then(word))
        .stretch(&args.stretch, now_ms)
        .page(&args.page)
        .0
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command};

    const RUN: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

    fn parsed(line: &str) -> DidArgs {
        match Cli::try_parse_from(line.split(' ')).unwrap().command {
            Command::Did(args) => args,
            other => panic!("not `did`: {other:?}"),
        }
    }

    /// The question, where no entry has to be resolved.
    fn asked(line: &str) -> String {
        let args = parsed(line);
        let id = |name: &Option<RunName>| match name {
            Some(RunName::Id(id)) => Some(id.clone()),
            _ => None,
        };
        let (who, run) = match &args.who {
            Some(Who::Name(name)) => (Some(name.clone()), None),
            Some(Who::Run(run)) => (None, id(&Some(run.clone()))),
            None => (None, None),
        };
        let whose = Whose { who, run: run.or(id(&args.run)), task: id(&args.task) };
        path(&args, whose, 10_000_000)
    }

    #[test]
    fn a_run_is_told_from_a_name_and_times_become_ms() {
        assert_eq!(asked("deeds did"), "/v1/did?limit=50");
        assert_eq!(asked("deeds did ana@x --limit 3"), "/v1/did?who=ana%40x&limit=3");
        assert_eq!(asked(&format!("deeds did {RUN}")), format!("/v1/did?run={RUN}&limit=50"));
        assert_eq!(asked(&format!("deeds did --task {RUN}")), format!("/v1/did?task={RUN}&limit=50"));
        let line = "deeds did --from 1h --to 1970-01-01T00:00:09Z --before @8";
        assert_eq!(asked(line), "/v1/did?from=6400000&to=9000&limit=50&before=8");
    }

    #[test]
    fn filters_are_asked_for_together() {
        let line = "deeds did bot --tool fs#read --principal ana --verdict denied --outcome tool-error";
        let query =
            "/v1/did?who=bot&tool=stdio%3Afs%23read&principal=ana&verdict=deny&outcome=tool-error&limit=50";
        assert_eq!(asked(line), query);
        assert_eq!(
            asked("deeds did --verdict allowed --outcome open"),
            "/v1/did?verdict=allow&outcome=open&limit=50"
        );
        assert_eq!(asked("deeds did --tool read"), "/v1/did?tool=read&limit=50");
        assert_eq!(
            asked("deeds did local:uid-1/codex/*"),
            "/v1/did?who=local%3Auid-1%2Fcodex%2F%2A&limit=50"
        );
        for (other, word) in [("allow", "allow"), ("deny", "deny"), ("refused", "deny")] {
            let asked = asked(&format!("deeds did --verdict {other}"));
            assert_eq!(asked, format!("/v1/did?verdict={word}&limit=50"));
        }
        for wrong in ["--verdict no", "--outcome fine", "--tool fs#"] {
            assert!(Cli::try_parse_from(format!("deeds did {wrong}").split(' ')).is_err(), "{wrong}");
        }
        let same =
            "deeds did bot --tool 'stdio:fs#read' --principal ana --verdict denied --outcome tool-error";
        assert_eq!(again(&Config::default(), &parsed(line), 0), same);
    }

    #[test]
    fn the_command_for_the_next_page_asks_the_same() {
        let line = "deeds did ana --from 1h --to 1970-01-01T02:46:40Z --limit 3 --before @8";
        let same = "deeds did ana --from 1970-01-01T01:46:40Z --to 1970-01-01T02:46:40Z --limit 3";
        assert_eq!(again(&Config::default(), &parsed(line), 10_000_000), same);
        for line in ["deeds did --run @7", "deeds did @7", "deeds did --task @7"] {
            assert_eq!(again(&Config::default(), &parsed(line), 0), line);
        }
    }

    #[test]
    fn a_range_that_ends_before_it_begins_is_refused() {
        let check = |line: &str| check_times(&parsed(line).stretch, 10_000_000);
        assert!(check("deeds did --from 1h --to 1h").is_ok());
        let error = check("deeds did --from 1h --to 2h").unwrap_err().to_string();
        assert!(error.contains("later than `--to`"), "{error}");
    }

    #[test]
    fn two_ways_to_say_whose_are_refused() {
        for line in [format!("deeds did ana --run {RUN}"), format!("deeds did --task {RUN} --run {RUN}")] {
            assert!(Cli::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }
}

//! What is wired, and what is not.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::{Check, Level};
use crate::commands::init;
use crate::config::Config;
use crate::environment::Environment;
use crate::files::read_limited;
use crate::render::text::count;
use crate::wiring::{self, FilePlan, Looked, Records, ServerState, Watched, watched, watched_path};

const TOPIC: &str = "wiring";
/// Largest file that remembers how servers were last seen, bytes.
const WATCHED_MAX_BYTES: usize = 4 * 1_024 * 1_024;

/// The servers of each client, and what to say about them.
pub(super) fn look(config: &Config, environment: &Environment) -> anyhow::Result<(Vec<Value>, Vec<Check>)> {
    let seen = init::look(environment, &[])?;
    let mut checks: Vec<Check> = seen
        .iter()
        .filter_map(|seen| match &seen.looked {
            Looked::Unusable(why) => Some(Check::new(
                TOPIC,
                Level::Note,
                format!(
                    "`{}` of {} cannot be read: {why}",
                    seen.place.path.display(),
                    seen.place.client.name()
                ),
                json!({"path": seen.place.path, "error": why}),
            )),
            _ => None,
        })
        .collect();
    // what is wrong with this program's own name or place keeps nothing else from being told
    let program = match init::program(config, environment) {
        Ok(program) => program,
        Err(error) => {
            checks.push(Check::new(TOPIC, Level::Wrong, crate::chain(&error), Value::Null));
            return Ok((Vec::new(), checks));
        }
    };
    let plans = wiring::plan(seen, &program);
    let wiring = plans.iter().map(of_plan).collect();
    checks.push(summary(&plans));
    checks.extend(dropped(config));
    Ok((wiring, checks))
}

fn of_plan(plan: &FilePlan) -> Value {
    let servers: Vec<Value> =
        plan.servers.iter().map(|server| init::of_server(server, "not-wrapped")).collect();
    json!({"client": plan.place.client.id(), "path": plan.place.path, "servers": servers})
}

fn summary(plans: &[FilePlan]) -> Check {
    let of = |wanted: fn(&ServerState) -> bool| {
        let servers = plans.iter().flat_map(|plan| &plan.servers);
        u64::try_from(servers.filter(|server| wanted(&server.state)).count()).unwrap_or_default()
    };
    let wrapped = of(|state| matches!(state, ServerState::Wrapped(_)));
    let open = of(|state| matches!(state, ServerState::ToWrap(_)));
    let others = of(|state| matches!(state, ServerState::Remote | ServerState::LeftAlone(_)));
    let data = json!({"wrapped": wrapped, "not_wrapped": open, "not_covered": others});
    let mut told = Vec::new();
    if wrapped > 0 {
        told.push(format!("{} wrapped", count(wrapped, "server is", "servers are")));
    }
    if open > 0 {
        let go = count(open, "server goes", "servers go");
        told.push(format!("{go} around deeds (`deeds init` shows how to wrap them)"));
    }
    if others > 0 {
        told.push(format!("{} not covered yet", count(others, "server is", "servers are")));
    }
    if told.is_empty() {
        told.push("no MCP server is configured in a place that is known here".to_owned());
    }
    let level = if open + others == 0 && wrapped > 0 { Level::Fine } else { Level::Note };
    Check::new(TOPIC, level, told.join("; "), data)
}

/// Servers that were wrapped and are not any more. Those that were taken back with `--undo` are meant to be so.
fn dropped(config: &Config) -> Vec<Check> {
    let Ok(wired) = config.dir().and_then(Records::read) else {
        let text = "what was wired before cannot be read; see `wired.json` in the configuration directory";
        return vec![Check::new(TOPIC, Level::Note, text, Value::Null)];
    };
    let path: PathBuf = watched_path(&config.data);
    let remembered: Option<Vec<Watched>> =
        read_limited(&path, WATCHED_MAX_BYTES).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let remembered = remembered.unwrap_or_default();
    let wired_now = watched(Vec::new(), &wired);
    let still_meant = |server: &Watched| wired_now.iter().any(|wired| wired.label() == server.label());
    let all = watched(remembered, &wired).into_iter().filter(still_meant);
    let loose = all.filter(|server| server.now().is_some_and(|now| !now.wrapped));
    loose
        .map(|server| {
            let label = server.label();
            let text =
                format!("`{label}` was wrapped and is not any more: `deeds init --apply` wraps it again");
            Check::new(TOPIC, Level::Wrong, text, json!({"server": label}))
        })
        .collect()
}

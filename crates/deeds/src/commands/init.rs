//! `deeds init`: finds the MCP clients on this machine, shows what wrapping their servers would change, does it, and
//! takes it back.

mod policy;
mod program;

pub(crate) use program::of as program;
use serde_json::{Value, json};

use crate::cli::InitArgs;
use crate::config::Config;
use crate::environment::Environment;
use crate::output::{Output, print_json, print_text};
use crate::render;
use crate::wiring::{self, Client, FilePlan, How, Looked, Place, Records, Seen, ServerState};
use crate::{Outcome, clock};

/// Shows, applies or takes back.
pub(crate) fn run(
    config: &Config,
    environment: &Environment,
    args: &InitArgs,
    output: Output,
) -> anyhow::Result<Outcome> {
    if args.undo { undo(config, args, output) } else { wire(config, environment, args, output) }
}

fn wire(
    config: &Config,
    environment: &Environment,
    args: &InitArgs,
    output: Output,
) -> anyhow::Result<Outcome> {
    // Locked before anything is read: of two that apply at once, the second finds what the first did.
    let mut records = if args.apply { Some(Records::open(config.dir()?)?) } else { None };
    let seen = look(environment, &args.clients)?;
    let (looked, unusable) = (nothing_at(&seen), unusable(&seen));
    let plans = wiring::plan(seen, &program(config, environment)?);
    let offer = policy::offer(config, args, &plans)?;
    let mut files = unusable;
    for plan in &plans {
        let written = match &mut records {
            Some(records) if plan.changes() => Some(wiring::apply(plan, records, clock::now_ms())),
            _ => None,
        };
        files.push(of_plan(plan, written.as_ref()));
    }
    let policy = match (&offer, &mut records) {
        (Some(offer), Some(records)) => Some(offer.carry_out(records)),
        (Some(offer), None) => Some(offer.shown()),
        (None, _) => None,
    };
    let failed = files.iter().chain(&policy).any(|part| part.get("error").is_some_and(Value::is_string));
    let report = json!({
        "applied": args.apply, "files": files, "looked": looked, "policy": policy,
        "home": environment.home(),
    });
    print(&report, output, render::init::page)?;
    Ok(if failed { Outcome::Finding } else { Outcome::Fine })
}

/// The places of the clients that were asked for, or of all, with what is there.
pub(crate) fn look(environment: &Environment, clients: &[Client]) -> anyhow::Result<Vec<Seen>> {
    let current = std::env::current_dir()?;
    let chosen = |place: &Place| clients.is_empty() || clients.contains(&place.client);
    let places = wiring::places(environment, &current).into_iter().filter(chosen).collect();
    Ok(wiring::look(places))
}

fn nothing_at(seen: &[Seen]) -> Vec<Value> {
    let nothing = seen.iter().filter(|seen| matches!(seen.looked, Looked::Nothing));
    nothing.map(|seen| json!({"client": seen.place.client.id(), "path": seen.place.path})).collect()
}

fn unusable(seen: &[Seen]) -> Vec<Value> {
    let one = |seen: &Seen| match &seen.looked {
        Looked::Unusable(why) => Some(json!({
            "client": seen.place.client.id(), "path": seen.place.path, "shared": seen.place.shared,
            "servers": [], "diff": [], "changes": false, "written": false, "error": why,
        })),
        _ => None,
    };
    seen.iter().filter_map(one).collect()
}

/// A file for machines. `written` is there when it was to be written.
fn of_plan(plan: &FilePlan, written: Option<&anyhow::Result<()>>) -> Value {
    let error = written.and_then(|written| written.as_ref().err()).map(crate::chain);
    let is_written = written.is_some() && error.is_none();
    let to_wrap = if is_written { "wrapped" } else { "to-wrap" };
    let diff: Vec<String> = plan
        .diff
        .iter()
        .map(|line| if line.mark == '@' { line.text.clone() } else { format!("{}{}", line.mark, line.text) })
        .collect();
    json!({
        "client": plan.place.client.id(),
        "path": plan.place.path,
        "file": (plan.real != plan.place.path).then_some(&plan.real),
        "shared": plan.place.shared,
        "servers": plan.servers.iter().map(|server| of_server(server, to_wrap)).collect::<Vec<_>>(),
        "remark": plan.remark,
        "diff": diff,
        "changes": plan.changes(),
        "written": is_written,
        "error": error,
    })
}

/// A server for machines; `to_wrap` is the word for one that could be wrapped.
pub(crate) fn of_server(server: &wiring::ServerPlan, to_wrap: &str) -> Value {
    let (state, alias, why) = match &server.state {
        ServerState::ToWrap(alias) => (to_wrap, Some(alias), None),
        ServerState::Wrapped(alias) => ("wrapped", Some(alias), None),
        ServerState::Remote => ("remote", None, None),
        ServerState::LeftAlone(why) => ("left-alone", None, Some(why)),
    };
    let why = why.or(server.remark.as_ref());
    json!({"name": server.name, "project": server.project, "state": state, "alias": alias, "why": why})
}

fn undo(config: &Config, args: &InitArgs, output: Output) -> anyhow::Result<Outcome> {
    let dir = config.dir()?;
    // nothing was ever wired: no directory is made to say so
    let undone =
        if dir.exists() { wiring::undo(&mut Records::open(dir)?, &args.clients)? } else { Vec::new() };
    let failed = undone.iter().any(|file| file.how == How::Failed);
    let files: Vec<Value> = undone
        .iter()
        .map(|file| json!({"client": file.client, "path": file.path, "how": file.how.id(), "remarks": file.remarks}))
        .collect();
    let left = config
        .policy
        .as_ref()
        .filter(|_| files.iter().any(|file| file.get("client") == Some(&json!("deeds"))));
    let report = json!({"undone": files, "policy_left": left, "server_runs": own_server_runs(config)});
    print(&report, output, render::init::undone)?;
    Ok(if failed { Outcome::Finding } else { Outcome::Fine })
}

/// Whether a server of this data directory takes connections. One that somebody else keeps is not ours to stop.
fn own_server_runs(config: &Config) -> bool {
    !config.is_system_client() && std::os::unix::net::UnixStream::connect(config.socket()).is_ok()
}

fn print(report: &Value, output: Output, page: impl FnOnce(&Value, usize) -> String) -> anyhow::Result<()> {
    if output.json { print_json(report) } else { print_text(&page(report, output.width)) }
}

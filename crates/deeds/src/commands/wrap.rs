//! `deeds wrap`: puts deeds between an MCP client and a server.

use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use capture::api::Scheme;
use capture::mcp::{ENVIRONMENT, WrapOptions, alias_of, check_alias, environment_digest};
use evidence::tool;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use super::acting::{Actor, run_options};
use crate::Outcome;
use crate::cli::WrapArgs;
use crate::config::{Config, VARIABLES};
use crate::environment::Environment;

/// Runs until the client or the server ends; the exit code is the server's.
pub(crate) async fn run(config: &Config, args: &WrapArgs) -> anyhow::Result<Outcome> {
    let alias = match &args.name {
        Some(name) => check_alias(name).map_err(|why| anyhow::anyhow!("`--name`: {why}"))?,
        None => alias_of(&args.command).map_err(anyhow::Error::msg)?,
    };
    let own = config.alias(&alias);
    let read_fail_open = own.read_fail_open.iter().map(|name| tool::stdio(&alias, name)).collect();
    let actor = Actor {
        alias,
        scheme: Scheme::Stdio,
        enforcement_point: "deeds wrap",
        command: &args.command,
        scope: own.scope,
        settings: json!({"files": args.files, "read_fail_open": own.read_fail_open,
            "require_delegation": args.require_delegation}),
    };
    let mut run = run_options(config, &args.acting, actor)?;
    run.about.environment = Some(code_environment());
    let options = WrapOptions {
        run,
        require_delegation: args.require_delegation,
        own_variables: VARIABLES.map(str::to_owned).to_vec(),
        root_dir: Some(root_dir(args.root.as_deref().unwrap_or(Path::new(".")))?),
        files: args.files,
        read_fail_open,
    };
    let code = capture::mcp::wrap(options, tokio::io::stdin(), tokio::io::stdout(), terminated()?).await?;
    Ok(Outcome::Code(u8::try_from(code).unwrap_or(1)))
}

/// Digest of the variables that decide which code the server loads; it gets them from us as they are.
fn code_environment() -> String {
    let environment = Environment::read().only(&ENVIRONMENT);
    environment_digest(|name| environment.get(name).map(|value| value.as_encoded_bytes().to_vec()))
}

fn root_dir(path: &Path) -> anyhow::Result<String> {
    let real =
        std::fs::canonicalize(path).with_context(|| format!("cannot find `--root {}`", path.display()))?;
    ensure!(real.is_dir(), "`--root {}` is not a directory", path.display());
    match real.to_str() {
        Some(text) => Ok(text.to_owned()),
        None => bail!("the path given with `--root` is not UTF-8 text"),
    }
}

/// Resolves when this process is asked to end.
fn terminated() -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

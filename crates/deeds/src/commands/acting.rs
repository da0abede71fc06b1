//! What `deeds wrap` and `deeds run` have in common: the way to the server, what is acted under, and what is recorded
//! about the start.

mod authority;
mod executable;

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use capture::api::{Receipt, Scheme, Tools, Trigger};
use capture::run::{About, Ambient, Connect, Receipts, RunOptions};
use ed25519_dalek::SigningKey;
use evidence::Digest;
use evidence::delegation::BREAK_GLASS;
use serde_json::Value;

use crate::cli::{self, ActingArgs};
use crate::config::Config;
use crate::{arguments, clock, connect, entropy};

/// What acts.
pub(crate) struct Actor<'a> {
    /// Our name for it.
    pub(crate) alias: String,
    /// What kind of thing it is.
    pub(crate) scheme: Scheme,
    /// What decides and forwards.
    pub(crate) enforcement_point: &'static str,
    /// The command that runs it.
    pub(crate) command: &'a [String],
    /// The scope file of its configuration, where the command line names none.
    pub(crate) scope: Option<PathBuf>,
    /// What of the configuration and the command line decides how its acts are treated; the run has its digest.
    pub(crate) settings: Value,
}

/// How to open the run that something acts in.
pub(crate) fn run_options(
    config: &Config,
    args: &ActingArgs,
    actor: Actor<'_>,
) -> anyhow::Result<RunOptions> {
    check(args)?;
    let delegation = authority::delegation(config, args)?;
    let root_request = if delegation.is_none() { authority::root_request(config, args)? } else { None };
    let scope_file = args.scope.clone().or(actor.scope.clone()).filter(|_| delegation.is_none());
    Ok(RunOptions {
        command: actor.command.to_vec(),
        enforcement_point: actor.enforcement_point.into(),
        scheme: actor.scheme,
        connect: connector(config),
        key: SigningKey::from_bytes(&*entropy::seed()?),
        root_request,
        delegation,
        parent: args.parent.as_ref().map(|run| run.0.clone()),
        scope: scope_file.as_deref().map(read_scope).transpose()?,
        receipts: args.receipts.as_deref().map(receipts).transpose()?,
        join: config.run.clone(),
        about: about(config, args, &actor)?,
        ambient: ambient(),
        alias: actor.alias,
    })
}

fn connector(config: &Config) -> Connect {
    let config = Arc::new(config.clone());
    Arc::new(move || {
        let config = Arc::clone(&config);
        Box::pin(async move {
            connect::connect_or_begin(&config)
                .await
                .map(|_| config.socket())
                .map_err(|error| format!("{error:#}"))
        })
    })
}

/// What can be said before anything is read or asked.
fn check(args: &ActingArgs) -> anyhow::Result<()> {
    let break_glass = args.purpose.as_deref() == Some(BREAK_GLASS);
    ensure!(!break_glass || args.why.is_some(), "breaking the glass needs a reason: say it with `--why`");
    Ok(())
}

fn read_scope(path: &Path) -> anyhow::Result<Tools> {
    let scope = arguments::read_scope(path)?;
    serde_json::from_value(scope.to_json())
        .with_context(|| format!("cannot use the scope in `{}`", path.display()))
}

/// Appends receipts to a file that only its owner reads, each as one write, so that several can share it.
fn receipts(path: &Path) -> anyhow::Result<Receipts> {
    let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path);
    let file = file.with_context(|| format!("cannot open `--receipts {}`", path.display()))?;
    let shown = path.display().to_string();
    Ok(Arc::new(move |receipt: &Receipt| {
        if let Err(error) = (&file).write_all(format!("{receipt}\n").as_bytes()) {
            tracing::error!(%error, path = shown, "a receipt was not kept");
        }
    }))
}

fn about(config: &Config, args: &ActingArgs, actor: &Actor<'_>) -> anyhow::Result<About> {
    let parent = rustix::process::getppid().map_or(0, |pid| pid.as_raw_nonzero().get());
    let program = actor.command.first().context("there is no command: give one after `--`")?;
    Ok(About {
        purpose: args.purpose_or_unstated(),
        trigger: args.trigger.map(|trigger| match trigger {
            cli::Trigger::Human => Trigger::Human,
            cli::Trigger::Schedule => Trigger::Schedule,
            cli::Trigger::Event => Trigger::Event,
            cli::Trigger::Agent => Trigger::Agent,
        }),
        executable: executable::digest_of(program, config.search.as_deref()),
        config: Some(Digest::of(&evidence::json::jcs(&actor.settings)).to_string()),
        environment: None,
        parent_pid: u32::try_from(parent).unwrap_or_default(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    })
}

#[expect(clippy::disallowed_methods, reason = "the binary reads the clocks and hands them down")]
fn ambient() -> Ambient {
    let start = Instant::now();
    Ambient {
        now_ms: Arc::new(clock::now_ms),
        monotonic_us: Arc::new(move || u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX)),
        random: Arc::new(entropy::fill),
    }
}

impl ActingArgs {
    /// A delegation always states a purpose, if only that there is none.
    fn purpose_or_unstated(&self) -> String {
        self.purpose.clone().filter(|text| !text.is_empty()).unwrap_or_else(|| "not stated".to_owned())
    }
}

#[cfg(test)]
mod tests;

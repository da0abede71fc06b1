//! `deeds wrap`: puts deeds between an MCP client and a server.

mod authority;

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, bail, ensure};
use capture::api::{Receipt, Scheme, Tools, Trigger};
use capture::mcp::{WrapOptions, alias_of, check_alias};
use capture::run::{About, Ambient, Connect, Receipts, RunOptions};
use ed25519_dalek::SigningKey;
use evidence::delegation::BREAK_GLASS;
use evidence::{Digest, tool};
use sha2::{Digest as _, Sha256};
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::{self, WrapArgs};
use crate::config::{Config, VARIABLES};
use crate::{Outcome, arguments, clock, connect, entropy};

/// Largest executable whose digest is taken, bytes; of a larger one it stays unknown.
const EXECUTABLE_MAX_BYTES: u64 = 512 * 1_024 * 1_024;

/// Runs until the client or the server ends; the exit code is the server's.
pub(crate) async fn run(config: &Config, args: &WrapArgs) -> anyhow::Result<Outcome> {
    let alias = match &args.name {
        Some(name) => check_alias(name).map_err(|why| anyhow::anyhow!("`--name`: {why}"))?,
        None => alias_of(&args.command).map_err(anyhow::Error::msg)?,
    };
    check(args)?;
    let own = config.alias(&alias);
    let delegation = authority::delegation(config, args)?;
    let scope_file = args.scope.clone().or(own.scope).filter(|_| delegation.is_none());
    let scope = scope_file.as_deref().map(read_scope).transpose()?;
    let read_fail_open = own.read_fail_open.iter().map(|name| tool::stdio(&alias, name)).collect();
    let options = WrapOptions {
        run: RunOptions {
            command: args.command.clone(),
            enforcement_point: "deeds wrap".into(),
            scheme: Scheme::Stdio,
            connect: connector(config),
            key: SigningKey::from_bytes(&*entropy::seed()?),
            root_request: if delegation.is_none() { authority::root_request(config, args)? } else { None },
            delegation,
            parent: args.parent.as_ref().map(|run| run.0.clone()),
            scope,
            receipts: args.receipts.as_deref().map(receipts).transpose()?,
            join: config.run.clone(),
            about: about(config, args)?,
            ambient: ambient(),
            alias,
        },
        require_delegation: args.require_delegation,
        own_variables: VARIABLES.map(str::to_owned).to_vec(),
        root_dir: Some(root_dir(args.root.as_deref().unwrap_or(Path::new(".")))?),
        read_fail_open,
    };
    let code = capture::mcp::wrap(options, tokio::io::stdin(), tokio::io::stdout(), terminated()?).await?;
    Ok(Outcome::Code(u8::try_from(code).unwrap_or(1)))
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
fn check(args: &WrapArgs) -> anyhow::Result<()> {
    let break_glass = args.purpose.as_deref() == Some(BREAK_GLASS);
    ensure!(!break_glass || args.why.is_some(), "breaking the glass needs a reason: say it with `--why`");
    Ok(())
}

fn read_scope(path: &Path) -> anyhow::Result<Tools> {
    let scope = arguments::read_scope(path)?;
    serde_json::from_value(scope.to_json())
        .with_context(|| format!("cannot use the scope in `{}`", path.display()))
}

/// Appends receipts to a file that only its owner reads, each as one write, so that wraps can share it.
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

fn root_dir(path: &Path) -> anyhow::Result<String> {
    let real =
        std::fs::canonicalize(path).with_context(|| format!("cannot find `--root {}`", path.display()))?;
    ensure!(real.is_dir(), "`--root {}` is not a directory", path.display());
    match real.to_str() {
        Some(text) => Ok(text.to_owned()),
        None => bail!("the path given with `--root` is not UTF-8 text"),
    }
}

fn about(config: &Config, args: &WrapArgs) -> anyhow::Result<About> {
    let parent = rustix::process::getppid().map_or(0, |pid| pid.as_raw_nonzero().get());
    let program = args.command.first().context("no command to wrap: give one after `--`")?;
    Ok(About {
        purpose: args.purpose_or_unstated(),
        trigger: args.trigger.map(|trigger| match trigger {
            cli::Trigger::Human => Trigger::Human,
            cli::Trigger::Schedule => Trigger::Schedule,
            cli::Trigger::Event => Trigger::Event,
            cli::Trigger::Agent => Trigger::Agent,
        }),
        executable: executable(program, config.search.as_deref()).and_then(|path| digest(&path)),
        config: None,
        parent_pid: u32::try_from(parent).unwrap_or_default(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    })
}

/// Where a program is found, as the operating system would look for it.
fn executable(program: &str, search: Option<&OsStr>) -> Option<PathBuf> {
    if program.contains('/') {
        return Some(PathBuf::from(program));
    }
    let runnable = |path: &PathBuf| {
        std::fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    };
    std::env::split_paths(search?).map(|dir| dir.join(program)).find(runnable)
}

/// Digest of an executable as it is now. It may be replaced before it runs: what is recorded is what was seen.
fn digest(path: &Path) -> Option<String> {
    let file = File::open(path).ok().filter(|file| file.metadata().is_ok_and(|found| found.is_file()))?;
    let mut hasher = HashWriter(Sha256::new());
    let size = std::io::copy(&mut file.take(EXECUTABLE_MAX_BYTES + 1), &mut hasher).ok()?;
    (size <= EXECUTABLE_MAX_BYTES).then(|| Digest(hasher.0.finalize().into()).to_string())
}

/// Hashes what is written to it.
struct HashWriter(Sha256);

impl Write for HashWriter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
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

impl WrapArgs {
    /// A delegation always states a purpose, if only that there is none.
    fn purpose_or_unstated(&self) -> String {
        self.purpose.clone().filter(|text| !text.is_empty()).unwrap_or_else(|| "not stated".to_owned())
    }
}

#[cfg(test)]
mod tests;

//! `deeds wrap`: puts deeds between an MCP client and a server.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, bail, ensure};
use capture::api::{Receipt, Tools, Trigger};
use capture::mcp::{
    About, Ambient, Connect, Receipts, RootAsk, RootRequest, WrapOptions, alias_of, check_alias,
};
use ed25519_dalek::SigningKey;
use evidence::delegation;
use evidence::jws::Jwk;
use evidence::limits::REQUEST_MAX_S;
use evidence::principal::PrincipalKind;
use evidence::{Digest, Scope, id, tool};
use sha2::{Digest as _, Sha256};
use tokio::signal::unix::{SignalKind, signal};

use super::read_limited;
use crate::cli::{self, WrapArgs};
use crate::config::Config;
use crate::{Outcome, clock, connect, entropy, keys};

/// Largest file with a scope, bytes.
const SCOPE_MAX_BYTES: usize = 1_024 * 1_024;
/// Largest executable whose digest is taken, bytes; of a larger one it stays unknown.
const EXECUTABLE_MAX_BYTES: u64 = 512 * 1_024 * 1_024;
/// Life asked for a root, seconds: what any kind of principal may have. It is renewed as long as the wrap lives.
const TTL_S: u64 = 3_600;

/// Runs until the client or the server ends; the exit code is the server's.
pub(crate) async fn run(config: &Config, args: &WrapArgs) -> anyhow::Result<Outcome> {
    let alias = match &args.name {
        Some(name) => check_alias(name).map_err(|why| anyhow::anyhow!("`--name`: {why}"))?,
        None => alias_of(&args.command).map_err(anyhow::Error::msg)?,
    };
    let own = config.alias(&alias);
    let scope_file = args.scope.clone().or(own.scope);
    let scope = scope_file.as_deref().map(read_scope).transpose()?;
    let read_fail_open = own.read_fail_open.iter().map(|name| tool::stdio(&alias, name)).collect();
    let options = WrapOptions {
        command: args.command.clone(),
        connect: connector(config),
        key: SigningKey::from_bytes(&*entropy::seed()?),
        root_request: root_request(config, args)?,
        scope,
        root_dir: Some(root_dir(args.root.as_deref().unwrap_or(Path::new(".")))?),
        receipts: args.receipts.as_deref().map(receipts).transpose()?,
        read_fail_open,
        join: config.run.clone(),
        about: about(config, args)?,
        ambient: ambient(),
        alias,
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

/// Signs root requests with the principal's key, if there is one. The key is read once, at the start.
fn root_request(config: &Config, args: &WrapArgs) -> anyhow::Result<Option<RootRequest>> {
    let Some(path) = &config.principal else {
        ensure!(
            args.agent.is_none(),
            "`--agent` is what a principal says of the client; name one with `--principal`"
        );
        return Ok(None);
    };
    let key = keys::read(path)?.signing;
    let purpose = args.purpose_or_unstated();
    let holder = args.agent.clone().map(|id| (id, PrincipalKind::Agent));
    Ok(Some(Arc::new(move |ask: &RootAsk<'_>| {
        let jti = entropy::id().map_err(|error| error.to_string())?;
        let iat = clock::now_s();
        let request = delegation::RootRequest {
            jti: id::text(&jti),
            key: Jwk::of(&key).thumbprint(),
            audience: ask.hello.issuer.clone(),
            iat,
            exp: iat + REQUEST_MAX_S,
            cnf: Jwk::parse(ask.jwk).map_err(|error| error.to_string())?,
            // a wrap hands nothing on
            max_depth: 0,
            scope: scope_of(ask)?,
            ttl: TTL_S,
            tenant: ask.hello.tenant.clone(),
            txn: ask
                .txn
                .map(|txn| id::parse(txn).ok_or("the task has no id that can be read"))
                .transpose()?,
            purpose: purpose.clone(),
            holder: holder.clone(),
        };
        Ok(request.sign(&key))
    })))
}

fn scope_of(ask: &RootAsk<'_>) -> Result<Scope, String> {
    match ask.scope {
        Some(tools) => {
            let tools = tools.iter().map(|(uri, row)| (uri.clone(), row.clone())).collect();
            Scope::parse(&serde_json::Value::Object(tools)).map_err(|error| error.to_string())
        }
        None => Ok(Scope::server(&format!("stdio:{}", ask.alias))),
    }
}

fn read_scope(path: &Path) -> anyhow::Result<Tools> {
    let bytes = read_limited(path, SCOPE_MAX_BYTES)?;
    let wrong = || format!("cannot use the scope in `{}`", path.display());
    let value = evidence::json::parse(&bytes).with_context(wrong)?;
    Scope::parse(&value).with_context(wrong)?;
    serde_json::from_value(value).with_context(wrong)
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

//! The way to the server: connects to it, and starts it when it is not there.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use capture::api::{API_VERSION, Hello};
use capture::client::{Client, ClientError};
use rustix::fs::{Access, FlockOperation, access, flock};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use crate::config::Config;
use crate::environment::Environment;

/// How long a started server may take until it answers.
const START_MAX: Duration = Duration::from_secs(10);
/// First pause between two tries to connect; each further one is twice as long.
const PAUSE_FIRST: Duration = Duration::from_millis(5);
/// Longest pause between two tries.
const PAUSE_MAX: Duration = Duration::from_millis(200);
/// How often a server that somebody stopped while it started is started again.
const STARTS_MAX: u32 = 3;
/// How much of the server's log is looked through for why it did not start, bytes.
const LOG_TAIL_BYTES: u64 = 32_000;
/// Lines of it that an error shows.
const LOG_LINES_SHOWN: usize = 12;
/// How the line of a log begins in which a server says why it ends.
const SAYS_WHY: &str = "error: ";

/// A server of the right version.
#[derive(Debug)]
pub(crate) struct Server {
    /// The connection.
    pub(crate) client: Client,
    /// What it said of itself.
    pub(crate) hello: Hello,
}

/// What to do about a data directory that holds no log yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NoLog {
    /// Begin one.
    Begin,
    /// Refuse: a question about a log that is not there was asked of the wrong directory.
    Refuse,
}

/// Connects to the server of a log that is there already; starts it first when it is not running.
pub(crate) async fn connect(config: &Config) -> anyhow::Result<Server> {
    connect_or(config, NoLog::Refuse).await
}

/// Connects to the server of the data directory; starts it first when it is not running, on a new log where there
/// is none.
pub(crate) async fn connect_or_begin(config: &Config) -> anyhow::Result<Server> {
    connect_or(config, NoLog::Begin).await
}

async fn connect_or(config: &Config, no_log: NoLog) -> anyhow::Result<Server> {
    if let Some(server) = try_connect(config).await? {
        return Ok(server);
    }
    if config.is_system_client() {
        bail!(
            "no server answers at `{}`, which the configuration names as the socket of one that is not started from \
             here: ask whoever keeps it (`systemctl status deeds`)",
            config.socket().display()
        );
    }
    if no_log == NoLog::Refuse && !config.data.join("local").is_dir() {
        bail!(
            "there is no log in `{}`; name another with `--data`, or begin one with `deeds principal add` or `deeds wrap`",
            config.data.display()
        );
    }
    start(config).await
}

/// Connects to a server that is already running.
pub(crate) async fn connect_running(config: &Config) -> anyhow::Result<Server> {
    greet(Client::connect(config.socket()).await?, config).await
}

/// Connects to the server if one answers. One that is just ending may still take a connection and then drop it.
async fn try_connect(config: &Config) -> anyhow::Result<Option<Server>> {
    let gone = |error: &ClientError| matches!(error, ClientError::Unreachable { .. } | ClientError::Lost(_));
    match connect_running(config).await {
        Err(error) if error.downcast_ref().is_some_and(gone) => Ok(None),
        other => other.map(Some),
    }
}

/// The version handshake.
async fn greet(client: Client, config: &Config) -> anyhow::Result<Server> {
    let socket = config.socket();
    let hello = match client.hello().await {
        Ok(hello) => hello,
        Err(ClientError::Api { code, detail, .. }) if code == "api-version" => {
            bail!("{}: it says: {detail}", other_version(&socket, "another version", "another API"))
        }
        Err(error) => return Err(error.into()),
    };
    if hello.api != API_VERSION || hello.server != "deeds" {
        let its = format!("{} {}", hello.server, hello.version);
        bail!("{}", other_version(&socket, &its, &format!("API {}", hello.api)));
    }
    Ok(Server { client, hello })
}

fn other_version(socket: &Path, its: &str, its_api: &str) -> String {
    format!(
        "the server at `{}` is {its} with {its_api}, and this is deeds {} with API {API_VERSION}; stop that server \
         (its process has the socket open) and run the command again",
        socket.display(),
        env!("CARGO_PKG_VERSION"),
    )
}

/// Starts a server in the background and waits until it answers.
///
/// Of several starters one holds the lock and starts; the others wait for the lock or for the server, whichever
/// comes first. A starter that dies lets go of the lock; its server goes on by itself.
async fn start(config: &Config) -> anyhow::Result<Server> {
    let data = config.data.display();
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&config.data)
        .with_context(|| format!("cannot make the data directory `{data}`"))?;
    let lock = open_private(&config.data.join("start.lock"), true)?;
    let log = config.server_log();
    let log_start = length(&log);
    let deadline = Instant::now() + START_MAX;
    let mut starter = Starter { config, lock, locked: false, child: None, starts: 0, log_start };
    let mut pause = PAUSE_FIRST;
    loop {
        if let Some(server) = try_connect(config).await? {
            return Ok(server);
        }
        if !starter.step()? || Instant::now() >= deadline {
            let said = tail(&log, starter.log_start);
            bail!("the server for `{data}` did not start{}", why(&said, &log));
        }
        sleep(pause).await;
        pause = PAUSE_MAX.min(pause * 2);
    }
}

/// One process that wants a server.
struct Starter<'a> {
    config: &'a Config,
    lock: File,
    locked: bool,
    child: Option<Child>,
    starts: u32,
    /// Where in the server's log the last start began.
    log_start: u64,
}

impl Starter<'_> {
    /// Starts the server if it is this process's turn. False when it has failed for good.
    fn step(&mut self) -> anyhow::Result<bool> {
        if !self.locked {
            self.locked = flock(&self.lock, FlockOperation::NonBlockingLockExclusive).is_ok();
            // Whoever held the lock may have had success just now: connect once more before starting another.
            return Ok(true);
        }
        if let Some(child) = &mut self.child {
            match child.try_wait().context("cannot wait for the started server")? {
                None => return Ok(true),
                // It said why it cannot start. While another holds the lock it waits by itself, so that trying
                // again would only say the same again.
                Some(status) if status.code().is_some_and(|code| code != 0) => return Ok(false),
                // it was stopped or killed from outside
                Some(_) if self.starts == STARTS_MAX => return Ok(false),
                Some(_) => {}
            }
        }
        self.starts += 1;
        self.log_start = length(&self.config.server_log());
        self.child = Some(spawn(self.config)?);
        Ok(true)
    }
}

/// Variables that a server gets: where things are, and how it should report. Nothing that could hold a secret, or that
/// decides which code it loads.
const SERVER_VARIABLES: [&str; 18] = [
    "CLAUDE_CONFIG_DIR",
    "CODEX_HOME",
    "DEEDS_CONFIG",
    "DEEDS_DATA",
    "DEEDS_LOG",
    "DEEDS_POLICY",
    "DEEDS_SOCKET",
    "HOME",
    "LANG",
    "LC_ALL",
    "LOGNAME",
    "PATH",
    "RUST_BACKTRACE",
    "TMPDIR",
    "TZ",
    "USER",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
];

/// Starts `deeds serve` in the background: own session, no terminal, nothing inherited but the log file. It is
/// not killed when its starter ends.
fn spawn(config: &Config) -> anyhow::Result<Child> {
    let program = std::env::current_exe().context("cannot find the own executable")?;
    let log = open_private(&config.server_log(), false)?;
    let mut command = Command::new(&program);
    command.arg("serve").arg("--detach").arg("--data").arg(&config.data);
    if let Some(file) = &config.file {
        command.arg("--config").arg(file);
    }
    if let Some(policy) = &config.policy {
        command.arg("--policy").arg(policy);
    }
    // A server outlives the job or the client that starts it, and what they were told in confidence is nothing for it.
    command.env_clear().envs(Environment::read().only(&SERVER_VARIABLES).iter());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).current_dir("/");
    command.spawn().with_context(|| format!("cannot start `{} serve`", program.display()))
}

fn open_private(path: &Path, lock: bool) -> anyhow::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).mode(0o600);
    let opened = if lock { options.write(true).truncate(false) } else { options.append(true) }.open(path);
    opened.with_context(|| {
        let name = path.display();
        match path.parent().filter(|dir| access(*dir, Access::WRITE_OK | Access::EXEC_OK).is_err()) {
            Some(dir) => format!(
                "no server can be started: this user cannot write into the data directory `{0}`; give it back to the \
                 user who runs the server, run `chmod u+rwx {0}`, or name another with `--data`",
                dir.display()
            ),
            None => format!(
                "cannot open `{name}`, which holds nothing of the log: remove it, or give it back to who runs this"
            ),
        }
    })
}

/// Bytes of a file; none when it is not there.
fn length(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |found| found.len())
}

/// What a file says after an offset, at most its end.
fn tail(path: &Path, from: u64) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(from.max(length.saturating_sub(LOG_TAIL_BYTES)).min(length)))?;
        let mut bytes = Vec::new();
        file.take(LOG_TAIL_BYTES).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).trim_end().to_owned())
    };
    match read() {
        Ok(text) if text.is_empty() => "(nothing)".to_owned(),
        Ok(text) => crate::render::text::lines(&text),
        Err(error) => format!("(it cannot be read: {error})"),
    }
}

/// Why a server did not start, from what its log says. The first line tells what is wrong, and quotes nothing of a
/// policy or a configuration: agents are told it. Whatever may do so is below it.
fn why(said: &str, log: &Path) -> String {
    let log = log.display();
    let lines: Vec<&str> = said.lines().collect();
    let last = lines.iter().rposition(|line| line.starts_with(SAYS_WHY)).and_then(|at| lines.get(at..));
    let Some([error, below @ ..]) = last else {
        let end = lines.get(lines.len().saturating_sub(LOG_LINES_SHOWN)..).unwrap_or_default();
        return format!("; its log `{log}` ends with:\n{}", end.join("\n"));
    };
    let error = error.trim_start_matches(SAYS_WHY).trim_end_matches(':');
    let mut text = format!(": {error}; its log is `{log}`");
    for line in below.iter().take(LOG_LINES_SHOWN) {
        text.extend(["\n", line]);
    }
    if below.len() > LOG_LINES_SHOWN {
        text.push_str("\n  …");
    }
    text
}

/// Waits until a condition holds, looking ever more seldom; false when it did not hold in time.
pub(crate) async fn until(limit: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    let mut pause = PAUSE_FIRST;
    while !holds() {
        if Instant::now() >= deadline {
            return false;
        }
        sleep(pause).await;
        pause = PAUSE_MAX.min(pause * 2);
    }
    true
}

#[cfg(test)]
mod tests;

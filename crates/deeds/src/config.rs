//! The configuration: a TOML file, `DEEDS_*` variables, flags; the later wins.
//!
//! Two steps: [`Raw`] is what the file says, closed against unknown names; [`Config`] is what it comes to, with
//! every path absolute.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use serde::Deserialize;

use crate::environment::Environment;

/// Names the configuration file.
const DEEDS_CONFIG: &str = "DEEDS_CONFIG";
/// Names the data directory.
const DEEDS_DATA: &str = "DEEDS_DATA";
/// Names the socket of a server that somebody else keeps.
const DEEDS_SOCKET: &str = "DEEDS_SOCKET";
/// Names the policy directory.
const DEEDS_POLICY: &str = "DEEDS_POLICY";
/// Names the principal's key file.
const DEEDS_PRINCIPAL: &str = "DEEDS_PRINCIPAL";
/// Names the delegation file to act under, or to pass on a part of.
const DEEDS_DELEGATION: &str = "DEEDS_DELEGATION";
/// Filter of the log messages on standard error.
const DEEDS_LOG: &str = "DEEDS_LOG";
/// The run that `deeds wrap` joins instead of opening its own.
const DEEDS_RUN: &str = "DEEDS_RUN";

/// The token that a CI system gave its job.
pub(crate) const DEEDS_OIDC_TOKEN: &str = "DEEDS_OIDC_TOKEN";

/// Those that say on whose authority something acts. A command that `deeds run` starts gets the others, so that what it
/// starts through `deeds` in turn is recorded in the same log.
pub(crate) const AUTHORITY: [&str; 4] = [DEEDS_PRINCIPAL, DEEDS_DELEGATION, DEEDS_RUN, DEEDS_OIDC_TOKEN];

/// All of them. They are for `deeds` and not for the programs that it starts on somebody's behalf.
pub(crate) const VARIABLES: [&str; 9] = [
    DEEDS_CONFIG,
    DEEDS_DATA,
    DEEDS_SOCKET,
    DEEDS_POLICY,
    DEEDS_PRINCIPAL,
    DEEDS_DELEGATION,
    DEEDS_LOG,
    DEEDS_RUN,
    DEEDS_OIDC_TOKEN,
];

/// Largest configuration file, bytes.
const CONFIG_MAX_BYTES: u64 = 1_024 * 1_024;
/// Longest path of a Unix socket that every supported system takes, bytes.
const SOCKET_PATH_MAX_BYTES: usize = 103;

/// What the configuration file may say.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    /// The data directory: log, keys and socket. Default `$XDG_DATA_HOME/deeds` or `~/.local/share/deeds`.
    data: Option<PathBuf>,
    /// The server's socket, where it is not `deeds.sock` in the data directory. No server is started on demand then:
    /// whoever keeps one there starts it.
    socket: Option<PathBuf>,
    /// Users, by name or number, whose processes `deeds serve` serves beside those of its own user. With any, the
    /// socket is open to the group that the server runs as. None by default.
    #[serde(default)]
    peers: Vec<RawPeer>,
    /// The policy directory that `deeds serve` activates at start. Without one the policy stays as it was, and
    /// a new log begins with the built-in starter set.
    policy: Option<PathBuf>,
    /// Key file of the principal on whose authority wrapped servers are called. Without one the user id of the
    /// caller vouches, and answers say that the person is inferred.
    principal: Option<PathBuf>,
    /// Filter of the messages on standard error, such as `info` or `warn,capture=debug`.
    log: Option<String>,
    /// Settings of wrapped servers, by alias.
    #[serde(default)]
    alias: BTreeMap<String, RawAlias>,
}

/// A user.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum RawPeer {
    Number(u32),
    Name(String),
}

/// What the configuration file may say of one wrapped server.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAlias {
    /// JSON file with the tools object that its runs may use. Without one: every tool of the server.
    scope: Option<PathBuf>,
    /// Names of tools that only read and may go on undecided, reported as a gap afterwards, while the deeds
    /// server cannot be reached. Every other call is refused then.
    #[serde(default)]
    read_fail_open: Vec<String>,
}

/// What the flags say.
#[derive(Debug, Default)]
pub(crate) struct Flags {
    /// `--config`
    pub(crate) config: Option<PathBuf>,
    /// `--data`
    pub(crate) data: Option<PathBuf>,
    /// `--policy`
    pub(crate) policy: Option<PathBuf>,
    /// `--principal` or `--as`
    pub(crate) principal: Option<PathBuf>,
    /// `--delegation` or `--from`
    pub(crate) delegation: Option<PathBuf>,
}

/// The resolved configuration. Every path is absolute.
#[derive(Debug, Clone, Default)]
pub(crate) struct Config {
    /// Whether the data directory was named on the command line.
    pub(crate) data_named: bool,
    /// The configuration file that was asked for by flag or variable; a spawned server is told of it.
    pub(crate) file: Option<PathBuf>,
    /// The data directory.
    pub(crate) data: PathBuf,
    /// The server's socket, where one was named.
    pub(crate) socket: Option<PathBuf>,
    /// Users whose processes the server serves beside those of its own user.
    pub(crate) peers: Vec<String>,
    /// The policy directory to activate at the server's start, if any.
    pub(crate) policy: Option<PathBuf>,
    /// The principal's key file, if any.
    pub(crate) principal: Option<PathBuf>,
    /// The delegation file, if any. A principal that was named on the command line keeps that of the environment out.
    pub(crate) delegation: Option<PathBuf>,
    /// The run to join, if any.
    pub(crate) run: Option<String>,
    /// Filter of the messages on standard error, if any was given.
    pub(crate) log: Option<String>,
    /// Where key files are created when no path is given.
    pub(crate) keys: Option<PathBuf>,
    /// The directory of the configuration, unless `HOME` is not set.
    pub(crate) own_dir: Option<PathBuf>,
    /// Where programs are looked for.
    pub(crate) search: Option<OsString>,
    /// Settings of wrapped servers, by alias.
    pub(crate) aliases: BTreeMap<String, Alias>,
}

/// Settings of one wrapped server.
#[derive(Debug, Clone, Default)]
pub(crate) struct Alias {
    /// JSON file with the tools object.
    pub(crate) scope: Option<PathBuf>,
    /// Names of reading tools that go on while the server is away.
    pub(crate) read_fail_open: Vec<String>,
}

impl Config {
    /// Reads the file and resolves everything.
    pub(crate) fn load(flags: &Flags, environment: &Environment) -> anyhow::Result<Self> {
        let named = flags.config.clone().or_else(|| environment.get(DEEDS_CONFIG).map(PathBuf::from));
        let named = named.as_deref().map(absolute).transpose()?;
        let default = environment.config_dir().map(|dir| dir.join("config.toml"));
        let (path, raw) = match (&named, default) {
            (Some(path), _) => (Some(path.clone()), read(path)?),
            (None, Some(path)) if path.exists() => (Some(path.clone()), read(&path)?),
            _ => (None, Raw::default()),
        };
        let base = path.as_deref().and_then(Path::parent).map(Path::to_path_buf).unwrap_or_default();
        let mut config = raw.resolve(flags, environment, &base)?;
        config.file = named;
        Ok(config)
    }

    /// Path of the server's socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.socket.clone().unwrap_or_else(|| self.data.join("deeds.sock"))
    }

    /// Whether the server is one that somebody else keeps: it is not started on demand, and its data is not ours.
    pub(crate) fn is_system_client(&self) -> bool {
        self.socket.is_some()
    }

    /// The directory of the configuration, of key files and of what `deeds init` remembers.
    pub(crate) fn dir(&self) -> anyhow::Result<&Path> {
        self.own_dir.as_deref().context("no configuration directory: `HOME` is not set")
    }

    /// Path of the log of a server that was started in the background.
    pub(crate) fn server_log(&self) -> PathBuf {
        self.data.join("serve.log")
    }

    /// The settings of one wrapped server.
    pub(crate) fn alias(&self, alias: &str) -> Alias {
        self.aliases.get(alias).cloned().unwrap_or_default()
    }
}

impl Raw {
    /// Puts flags over variables over the file; a path of the file is relative to the file's directory.
    fn resolve(self, flags: &Flags, environment: &Environment, base: &Path) -> anyhow::Result<Config> {
        let pick = |flag: &Option<PathBuf>, name: &str, file: Option<PathBuf>| -> anyhow::Result<_> {
            if let Some(path) = flag.clone().or_else(|| environment.get(name).map(PathBuf::from)) {
                return absolute(&path).map(Some);
            }
            file.map(|path| in_file(&path, environment, base)).transpose()
        };
        // whoever names a data directory means its server, and not one that is named in a weaker place
        let data_is_named = flags.data.is_some() || environment.get(DEEDS_DATA).is_some();
        let socket = match (&flags.data, environment.get(DEEDS_SOCKET)) {
            (Some(_), _) => None,
            (None, None) if data_is_named => None,
            _ => pick(&None, DEEDS_SOCKET, self.socket)?,
        };
        let data = pick(&flags.data, DEEDS_DATA, self.data)?.or_else(|| environment.data_dir());
        let data = data.context("no data directory: `HOME` is not set; name one with `--data DIR`")?;
        let aliases = self.alias.into_iter().map(|(name, raw)| {
            capture::mcp::check_alias(&name)
                .map_err(|why| anyhow::anyhow!("the configuration names the alias `{name}`: {why}"))?;
            let scope = raw.scope.map(|path| in_file(&path, environment, base)).transpose()?;
            Ok((name, Alias { scope, read_fail_open: raw.read_fail_open }))
        });
        let delegation = match flags.principal {
            Some(_) if flags.delegation.is_none() => None,
            _ => pick(&flags.delegation, DEEDS_DELEGATION, None)?,
        };
        let config = Config {
            data_named: flags.data.is_some(),
            file: None,
            data,
            socket,
            peers: self.peers.into_iter().map(RawPeer::text).collect(),
            policy: pick(&flags.policy, DEEDS_POLICY, self.policy)?,
            principal: pick(&flags.principal, DEEDS_PRINCIPAL, self.principal)?,
            delegation,
            run: text(environment, DEEDS_RUN)?,
            log: text(environment, DEEDS_LOG)?.or(self.log),
            search: environment.get("PATH").map(OsStr::to_owned),
            keys: environment.config_dir().map(|dir| dir.join("keys")),
            own_dir: environment.config_dir(),
            aliases: aliases.collect::<anyhow::Result<_>>()?,
        };
        check_socket(&config.socket())?;
        Ok(config)
    }
}

impl RawPeer {
    fn text(self) -> String {
        match self {
            Self::Number(uid) => uid.to_string(),
            Self::Name(name) => name,
        }
    }
}

/// Whether a text can be a configuration file.
pub(crate) fn check_text(text: &str) -> anyhow::Result<()> {
    toml::from_str::<Raw>(text)?;
    Ok(())
}

fn read(path: &Path) -> anyhow::Result<Raw> {
    let name = path.display();
    let file =
        std::fs::File::open(path).with_context(|| format!("cannot open the configuration `{name}`"))?;
    let mut text = String::new();
    let size = file.take(CONFIG_MAX_BYTES + 1).read_to_string(&mut text);
    let size = size.with_context(|| format!("cannot read the configuration `{name}`"))?;
    ensure!(
        u64::try_from(size)? <= CONFIG_MAX_BYTES,
        "the configuration `{name}` has more than {CONFIG_MAX_BYTES} bytes"
    );
    toml::from_str(&text).with_context(|| format!("cannot use the configuration `{name}`"))
}

fn text(environment: &Environment, name: &str) -> anyhow::Result<Option<String>> {
    let Some(value) = environment.get(name) else { return Ok(None) };
    value.to_str().map(|text| Some(text.to_owned())).with_context(|| format!("`{name}` is not UTF-8 text"))
}

fn absolute(path: &Path) -> anyhow::Result<PathBuf> {
    std::path::absolute(path).with_context(|| format!("`{}` is not a usable path", path.display()))
}

/// A path of the configuration file: `~/` is the user's home, a relative one starts at the file's directory.
fn in_file(path: &Path, environment: &Environment, base: &Path) -> anyhow::Result<PathBuf> {
    let Ok(below_home) = path.strip_prefix("~") else { return absolute(&base.join(path)) };
    match environment.home() {
        Some(home) => Ok(home.join(below_home)),
        None => bail!("the configuration names `{}`, and `HOME` is not set", path.display()),
    }
}

fn check_socket(socket: &Path) -> anyhow::Result<()> {
    let length = socket.as_os_str().len();
    ensure!(
        length <= SOCKET_PATH_MAX_BYTES,
        "the socket `{}` would have a path of {length} bytes, more than the {SOCKET_PATH_MAX_BYTES} that a Unix \
         socket can have; choose a shorter data directory with `--data DIR`",
        socket.display()
    );
    Ok(())
}

#[cfg(test)]
mod tests;

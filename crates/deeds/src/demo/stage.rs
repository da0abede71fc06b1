//! The stage: a temporary directory with the files of a story and what the players are told, and the server that runs
//! in it.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, ensure};
use evidence::digest::hex;
use serde_json::Value;
use tokio::process::{Child, Command};

use super::Script;
use super::family::Family;
use super::player::agent::{Playbook, Step};
use crate::config::{Config, VARIABLES};
use crate::output::remark;
use crate::{commands, entropy};

/// A temporary directory, removed when the demo ends.
pub(super) struct Stage {
    /// The directory.
    pub(super) dir: PathBuf,
    /// The configuration of the server in it.
    pub(super) config: Config,
    /// Our own executable.
    pub(super) program: PathBuf,
    /// The players and what they started.
    families: Mutex<Vec<Family>>,
}

/// A sample server behind `deeds wrap`.
#[derive(Debug, Clone, Default)]
pub(super) struct Wrapped<'a> {
    /// Its name, in the log and among the samples.
    pub(super) alias: &'a str,
    /// The file of the delegation that its client acts under.
    pub(super) delegation: &'a str,
    /// Why its client was started.
    pub(super) trigger: &'a str,
    /// More options of `deeds wrap`.
    pub(super) options: &'a [&'a str],
    /// More arguments of the sample.
    pub(super) player: Vec<String>,
}

impl Stage {
    /// Makes the directory and writes the story's files.
    pub(super) fn open(script: &Script) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("cannot find the own executable")?;
        let dir = std::env::temp_dir().join(format!("deeds-demo-{}", hex(&entropy::bytes::<4>()?)));
        let made = DirBuilder::new().mode(0o700).create(&dir);
        made.with_context(|| format!("cannot make the directory `{}`", dir.display()))?;
        let config = Config { data: dir.join("data"), policy: Some(dir.join("policy")), ..Config::default() };
        let stage = Self { dir, config, program, families: Mutex::default() };
        if let Err(error) = stage.write_files(script) {
            stage.remove();
            return Err(error);
        }
        Ok(stage)
    }

    fn write_files(&self, script: &Script) -> anyhow::Result<()> {
        for (name, text) in script.files {
            let path = self.dir.join(name);
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent)?;
            }
            fs::write(&path, text)?;
            if text.starts_with("#!") {
                fs::set_permissions(&path, fs::Permissions::from_mode(0o700))?;
            }
        }
        Ok(())
    }

    /// Runs a `deeds` command on this log and gives its JSON answer.
    pub(super) async fn deeds(&self, arguments: &[&str]) -> anyhow::Result<Value> {
        let command = arguments.join(" ");
        let mut process = self.process();
        process.args(arguments).arg("--json").arg("--data").arg(&self.config.data);
        let output = process.stdin(Stdio::null()).kill_on_drop(true).output().await;
        let output = output.with_context(|| format!("cannot start `deeds {command}`"))?;
        let said = String::from_utf8_lossy(&output.stderr);
        // 1 is a finding: an answer all the same
        let answered = matches!(output.status.code(), Some(0 | 1));
        ensure!(answered, "`deeds {command}` ended with {}: {}", output.status, said.trim());
        serde_json::from_slice(&output.stdout)
            .with_context(|| format!("the answer of `deeds {command}` is no JSON"))
    }

    /// Runs a `deeds` command on this log and gives what a person would see of it.
    pub(super) async fn text(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let mut process = self.process();
        process.args(arguments).arg("--data").arg(&self.config.data);
        let output = process.stdin(Stdio::null()).kill_on_drop(true).output().await;
        let output = output.with_context(|| format!("cannot start `deeds {}`", arguments.join(" ")))?;
        let said = String::from_utf8_lossy(&output.stderr);
        let answered = matches!(output.status.code(), Some(0 | 1));
        ensure!(answered, "`deeds {}`: {}", arguments.join(" "), said.trim());
        String::from_utf8(output.stdout).context("the answer is no text")
    }

    /// Runs a command under `deeds run`, which must end well; gives what it said.
    pub(super) async fn acts(&self, arguments: &[&str], command: &[&str]) -> anyhow::Result<String> {
        let mut process = self.process();
        process.args(arguments).arg("--data").arg(&self.config.data).arg("--").args(command);
        let output = process.stdin(Stdio::null()).kill_on_drop(true).output().await;
        let output = output.with_context(|| format!("cannot start `deeds {}`", arguments.join(" ")))?;
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        ensure!(
            output.status.success(),
            "`deeds {}` ended with {}: {said}",
            arguments.join(" "),
            output.status
        );
        Ok(said)
    }

    /// Our own program in the directory, with nothing of the environment's own deeds.
    fn process(&self) -> Command {
        let mut process = Command::new(&self.program);
        // nor with the configuration of whoever looks on
        process.current_dir(&self.dir).env("XDG_CONFIG_HOME", &self.dir);
        for name in VARIABLES {
            process.env_remove(name);
        }
        process
    }

    /// Tells a player what to do.
    pub(super) fn plan(
        &self,
        name: &str,
        servers: BTreeMap<String, Vec<String>>,
        steps: Vec<Step>,
    ) -> anyhow::Result<()> {
        let runs = self.command(&["runs", "--json"])?;
        let playbook = Playbook { name: name.to_owned(), servers, runs, steps };
        Ok(fs::write(self.dir.join(playbook_of(name)), serde_json::to_vec_pretty(&playbook)?)?)
    }

    /// The command of a player that was told what to do.
    pub(super) fn player(&self, name: &str) -> anyhow::Result<Vec<String>> {
        let told = playbook_of(name);
        Ok([text(&self.program)?.as_str(), "player", "agent", "--playbook", &told]
            .map(str::to_owned)
            .to_vec())
    }

    /// A `deeds` command on this log, as a player runs it.
    pub(super) fn command(&self, arguments: &[&str]) -> anyhow::Result<Vec<String>> {
        let (program, data) = (text(&self.program)?, text(&self.config.data)?);
        let mut command = vec![program];
        command.extend(arguments.iter().map(|word| (*word).to_owned()));
        command.extend(["--data".to_owned(), data]);
        Ok(command)
    }

    /// The command of a sample server behind `deeds wrap`, under a delegation file.
    pub(super) fn wrap(&self, server: &Wrapped<'_>) -> anyhow::Result<Vec<String>> {
        let Wrapped { alias, delegation, trigger, options, player } = server;
        let mut command =
            self.command(&["wrap", "--name", alias, "--delegation", delegation, "--trigger", trigger])?;
        command.extend(options.iter().map(|option| (*option).to_owned()));
        let (program, journal) = (text(&self.program)?, text(&self.journal(alias))?);
        command.extend(["--", &program, "player", "tool", alias, "--journal", &journal].map(str::to_owned));
        command.extend(player.iter().cloned());
        Ok(command)
    }

    /// The journal that a tool keeps of what it did.
    pub(super) fn journal(&self, alias: &str) -> PathBuf {
        self.dir.join(format!("{alias}.journal"))
    }

    /// What players, wraps and tools wrote to standard error.
    pub(super) fn log(&self) -> PathBuf {
        self.dir.join("players.log")
    }

    /// What the programs said, for when something went wrong.
    pub(super) fn hints(&self) -> Vec<String> {
        let hint = |path: PathBuf| {
            let text = fs::read_to_string(&path).ok().filter(|text| !text.trim().is_empty())?;
            let last: Vec<&str> = text.lines().rev().take(20).collect();
            let last: Vec<&str> = last.into_iter().rev().collect();
            Some(format!("{}:\n{}", path.display(), crate::render::text::lines(&last.join("\n"))))
        };
        [self.log(), self.config.server_log()].into_iter().filter_map(hint).collect()
    }

    /// Starts a player with what it is told; it is ended with the stage at the latest.
    pub(super) fn start_player(&self, name: &str) -> anyhow::Result<Child> {
        let mut process = self.process();
        process.args(["player", "agent", "--playbook", &playbook_of(name)]);
        let (family, head) = Family::start(process, &self.log())?;
        self.families.lock().unwrap_or_else(PoisonError::into_inner).push(family);
        Ok(head)
    }

    /// Ends the players and all that they started, then the server, and removes the directory, unless it is to be kept:
    /// then gives its path.
    pub(super) async fn close(self, keep: bool) -> anyhow::Result<Option<PathBuf>> {
        let families = std::mem::take(&mut *self.families.lock().unwrap_or_else(PoisonError::into_inner));
        let mut ended = Ok(());
        for family in families {
            ended = ended.and(family.end().await);
        }
        let stopped = ended.and(commands::stop::stop(&self.config).await);
        if keep {
            stopped?;
            return Ok(Some(self.dir));
        }
        self.remove();
        stopped.map(|_| None)
    }

    fn remove(&self) {
        if let Err(error) = fs::remove_dir_all(&self.dir) {
            remark(&format!("the directory `{}` could not be removed: {error}", self.dir.display()));
        }
    }
}

/// The file that tells a player what to do.
fn playbook_of(name: &str) -> String {
    format!("{name}.json")
}

fn text(path: &Path) -> anyhow::Result<String> {
    let text = path.to_str().map(str::to_owned);
    text.with_context(|| format!("the path `{}` is not UTF-8 text", path.display()))
}

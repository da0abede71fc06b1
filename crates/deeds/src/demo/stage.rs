//! The stage: a temporary directory with policy, scope, key and playbook, and the server that runs in it.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::Context as _;
use evidence::digest::hex;
use tokio::process::{Child, Command};

use super::family::Family;
use super::player::agent::Playbook;
use super::story;
use crate::config::Config;
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
    /// The agent and what it started, once it has started.
    family: Mutex<Option<Family>>,
}

impl Stage {
    /// Makes the directory and writes the story's files.
    pub(super) fn open() -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("cannot find the own executable")?;
        let dir = std::env::temp_dir().join(format!("deeds-demo-{}", hex(&entropy::bytes::<4>()?)));
        let made = DirBuilder::new().mode(0o700).create(&dir);
        made.with_context(|| format!("cannot make the directory `{}`", dir.display()))?;
        let config = Config { data: dir.join("data"), policy: Some(dir.join("policy")), ..Config::default() };
        let stage = Self { dir, config, program, family: Mutex::default() };
        if let Err(error) = stage.write_files() {
            stage.remove();
            return Err(error);
        }
        Ok(stage)
    }

    fn write_files(&self) -> anyhow::Result<()> {
        fs::create_dir(self.dir.join("policy"))?;
        for (name, text) in story::POLICY {
            fs::write(self.dir.join("policy").join(name), text)?;
        }
        fs::write(self.dir.join("scope.json"), story::SCOPE)?;
        fs::write(self.playbook(), serde_json::to_vec_pretty(&self.agent_playbook()?)?)?;
        Ok(())
    }

    /// What the agent is told: how to start its MCP servers, each behind `deeds wrap`, and what to call.
    fn agent_playbook(&self) -> anyhow::Result<Playbook> {
        let program = text(&self.program)?;
        let data = text(&self.config.data)?;
        let servers = story::tools().into_iter().map(|(alias, own)| {
            let (key, scope, journal) = (self.key(), self.dir.join("scope.json"), self.journal(alias));
            let mut command: Vec<String> =
                [&program, "wrap", "--data", &data, "--name", alias].map(str::to_owned).to_vec();
            command.extend([
                "--principal".to_owned(),
                text(&key)?,
                "--agent".to_owned(),
                story::AGENT.to_owned(),
            ]);
            command.extend(["--scope".to_owned(), text(&scope)?, "--trigger".to_owned(), "event".to_owned()]);
            command.extend(["--purpose", story::PURPOSE, "--", &program, "player", alias].map(str::to_owned));
            command.extend(["--journal".to_owned(), text(&journal)?]);
            command.extend(own);
            Ok((alias.to_owned(), command))
        });
        let servers = servers.collect::<anyhow::Result<_>>()?;
        let runs = [&program, "runs", "--json", "--data", &data].map(str::to_owned).to_vec();
        Ok(Playbook { name: story::AGENT.to_owned(), servers, runs, calls: story::calls() })
    }

    /// The person's key file.
    pub(super) fn key(&self) -> PathBuf {
        self.dir.join(format!("{}.key", story::PERSON))
    }

    /// The agent's playbook.
    pub(super) fn playbook(&self) -> PathBuf {
        self.dir.join("playbook.json")
    }

    /// The journal that a tool keeps of what it did.
    pub(super) fn journal(&self, alias: &str) -> PathBuf {
        self.dir.join(format!("{alias}.journal"))
    }

    /// What agent, wraps and tools wrote to standard error.
    pub(super) fn log(&self) -> PathBuf {
        self.dir.join("agent.log")
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

    /// Starts the agent; it is ended with the stage at the latest.
    pub(super) fn start_agent(&self) -> anyhow::Result<Child> {
        let mut command = Command::new(&self.program);
        command.args(["player", "agent", "--playbook"]).arg(self.playbook()).current_dir(&self.dir);
        let (family, agent) = Family::start(command, &self.log())?;
        *self.family.lock().unwrap_or_else(PoisonError::into_inner) = Some(family);
        Ok(agent)
    }

    /// Ends the agent and all that it started, then the server, and removes the directory, unless it is to be kept:
    /// then gives its path.
    pub(super) async fn close(self, keep: bool) -> anyhow::Result<Option<PathBuf>> {
        let family = self.family.lock().unwrap_or_else(PoisonError::into_inner).take();
        let ended = match family {
            Some(family) => family.end().await,
            None => Ok(()),
        };
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

fn text(path: &Path) -> anyhow::Result<String> {
    let text = path.to_str().map(str::to_owned);
    text.with_context(|| format!("the path `{}` is not UTF-8 text", path.display()))
}

//! The stage: a temporary directory with policy, scope, keys and what the players are told, and the server that runs in
//! it.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, ensure};
use evidence::digest::hex;
use serde::Serialize;
use serde_json::Value;
use tokio::process::{Child, Command};

use super::family::Family;
use super::player::agent::{Call, Playbook};
use super::player::service::Plan;
use super::story;
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

impl Stage {
    /// Makes the directory and writes the story's files.
    pub(super) fn open() -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("cannot find the own executable")?;
        let dir = std::env::temp_dir().join(format!("deeds-demo-{}", hex(&entropy::bytes::<4>()?)));
        let made = DirBuilder::new().mode(0o700).create(&dir);
        made.with_context(|| format!("cannot make the directory `{}`", dir.display()))?;
        let config = Config { data: dir.join("data"), policy: Some(dir.join("policy")), ..Config::default() };
        let stage = Self { dir, config, program, families: Mutex::default() };
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
        ensure!(output.status.success(), "`deeds {command}` ended with {}: {}", output.status, said.trim());
        serde_json::from_slice(&output.stdout)
            .with_context(|| format!("the answer of `deeds {command}` is no JSON"))
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

    /// Tells the service under which mandate it acts: how to get its root, what to hand to the agent, what to do.
    pub(super) fn plan_service(&self, mandate: &str) -> anyhow::Result<()> {
        let mut agent_servers = BTreeMap::new();
        let mut hand_over = BTreeMap::new();
        for (alias, tools) in story::handed_over() {
            let file = format!("{alias}.delegation");
            let mut command = self.command(&["delegate", "--from", "playbook.delegation", "--new-key"])?;
            command.extend(
                ["--agent", story::AGENT, "--handoff", story::HAND_OVER, "-o", &file].map(str::to_owned),
            );
            command.extend(tools.into_iter().map(str::to_owned));
            hand_over.insert(alias.to_owned(), command);
            agent_servers.insert(alias.to_owned(), self.wrap(alias, &file, "event")?);
        }
        self.write("agent.json", &self.playbook(story::AGENT, agent_servers, story::agent_calls())?)?;
        let key = format!("{}.key", story::SERVICE);
        let root = ["delegate", "--as", &key, "--mandate", mandate, "--new-key", "-o", "playbook.delegation"];
        let own =
            BTreeMap::from([("ticket".to_owned(), self.wrap("ticket", "playbook.delegation", "event")?)]);
        let program = text(&self.program)?;
        let agent = [&program, "player", "agent", "--playbook", "agent.json"].map(str::to_owned).to_vec();
        let own = self.playbook(story::SERVICE, own, story::service_calls())?;
        self.write("service.json", &Plan { root: self.command(&root)?, hand_over, agent, own })
    }

    /// Tells the person on call what to do under her delegation.
    pub(super) fn plan_on_call(&self, delegation: &str) -> anyhow::Result<()> {
        let servers = BTreeMap::from([("edr".to_owned(), self.wrap("edr", delegation, "human")?)]);
        self.write("on-call.json", &self.playbook(story::ON_CALL, servers, story::on_call_calls())?)
    }

    fn playbook(
        &self,
        name: &str,
        servers: BTreeMap<String, Vec<String>>,
        calls: Vec<Call>,
    ) -> anyhow::Result<Playbook> {
        Ok(Playbook { name: name.to_owned(), servers, runs: self.command(&["runs", "--json"])?, calls })
    }

    fn write(&self, name: &str, told: &impl Serialize) -> anyhow::Result<()> {
        Ok(fs::write(self.dir.join(name), serde_json::to_vec_pretty(told)?)?)
    }

    /// A `deeds` command on this log, as a player runs it.
    fn command(&self, arguments: &[&str]) -> anyhow::Result<Vec<String>> {
        let (program, data) = (text(&self.program)?, text(&self.config.data)?);
        let mut command = vec![program];
        command.extend(arguments.iter().map(|word| (*word).to_owned()));
        command.extend(["--data".to_owned(), data]);
        Ok(command)
    }

    /// The command of a tool behind `deeds wrap`, under a delegation file.
    fn wrap(&self, alias: &str, delegation: &str, trigger: &str) -> anyhow::Result<Vec<String>> {
        let mut command =
            self.command(&["wrap", "--name", alias, "--delegation", delegation, "--trigger", trigger])?;
        let (program, journal) = (text(&self.program)?, text(&self.journal(alias))?);
        command.extend(["--", &program, "player", alias, "--journal", &journal].map(str::to_owned));
        command.extend(story::tool_arguments(alias));
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
    pub(super) fn start_player(&self, player: &str, told: &str) -> anyhow::Result<Child> {
        let mut process = self.process();
        process.args(["player", player, "--playbook", told]);
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

fn text(path: &Path) -> anyhow::Result<String> {
    let text = path.to_str().map(str::to_owned);
    text.with_context(|| format!("the path `{}` is not UTF-8 text", path.display()))
}

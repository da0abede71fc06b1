//! `deeds install --system`: a server under its own user, out of reach of the agents' user. Shown step by step; done
//! with `--apply`, by root.

mod files;

use std::fs::{self, DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use ::policy::starter;
use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};

use crate::Outcome;
use crate::cli::InstallArgs;
use crate::environment::Environment;
use crate::files::{Existing, SHARED, write_whole};
use crate::output::{Output, print_json, print_text, remark};
use crate::render;
use crate::serve::users;
use files::{CONFIG, DATA, POLICY, UNIT, USER};

/// Names the user who called `sudo`.
const SUDO_USER: &str = "SUDO_USER";
/// Directories that the service cannot see, or that anybody can write to.
const UNFIT: [&str; 4] = ["/home", "/root", "/tmp", "/var/tmp"];

/// One step of the set-up.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    /// A command, unless what it would make is there: a user or a group of this name.
    Run { command: Vec<String>, unless: Option<Known> },
    /// A file; one that is there is left, or written anew where it is ours alone.
    Write { path: PathBuf, text: String, existing: Existing },
    /// A file that goes.
    Remove { path: PathBuf },
}

/// What may be there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    User,
    Group,
}

/// Shows the steps, or carries them out.
pub(crate) fn run(args: &InstallArgs, environment: &Environment, output: Output) -> anyhow::Result<Outcome> {
    let steps = if args.uninstall {
        uninstall()
    } else {
        let (program, peers) = (program()?, peers(args, environment)?);
        match fit(&program) {
            Err(error) if !args.apply => remark(&format!("note: {error}")),
            other => other?,
        }
        ensure!(
            !args.apply || !peers.is_empty(),
            "name whose processes the server is to serve with `--peer USER`"
        );
        install(&program, &peers, !Path::new(POLICY).exists())
    };
    if args.apply {
        ready()?;
        for step in &steps {
            step.carry_out()?;
        }
    }
    let report = json!({
        "applied": args.apply,
        "uninstall": args.uninstall,
        "steps": steps.iter().map(Step::shown).collect::<Vec<_>>(),
        "client": {"setting": files::client_setting(), "data": DATA},
    });
    if output.json {
        print_json(&report)?;
    } else {
        print_text(&render::install::page(&report, output.width))?;
    }
    Ok(Outcome::Fine)
}

/// Everything, in order. A policy that is there is left as it is, as a whole.
fn install(program: &Path, peers: &[String], with_policy: bool) -> Vec<Step> {
    let mut served = vec!["root".to_owned()];
    served.extend(peers.iter().filter(|peer| *peer != "root").cloned());
    let mut steps = vec![
        Step::Run { command: words(&["groupadd", "--system", USER]), unless: Some(Known::Group) },
        Step::Run {
            command: words(&[
                "useradd",
                "--system",
                "--gid",
                USER,
                "--home-dir",
                DATA,
                "--no-create-home",
                "--shell",
                "/usr/sbin/nologin",
                USER,
            ]),
            unless: Some(Known::User),
        },
        Step::Write { path: CONFIG.into(), text: files::config(&served), existing: Existing::Refuse },
    ];
    steps.extend(starter::files().into_iter().filter(|_| with_policy).map(|file| Step::Write {
        path: Path::new(POLICY).join(file.path),
        text: file.text,
        existing: Existing::Refuse,
    }));
    steps.push(Step::Write { path: UNIT.into(), text: files::unit(program), existing: Existing::Replace });
    steps.extend(peers.iter().filter(|peer| *peer != "root" && peer.parse::<u32>().is_err()).map(|peer| {
        Step::Run { command: words(&["usermod", "--append", "--groups", USER, peer]), unless: None }
    }));
    steps.push(Step::Run { command: words(&["systemctl", "daemon-reload"]), unless: None });
    steps
        .push(Step::Run { command: words(&["systemctl", "enable", "--now", "deeds.service"]), unless: None });
    steps
}

/// The log stays: whoever wants it gone removes it by hand, knowing what it is.
fn uninstall() -> Vec<Step> {
    vec![
        Step::Run { command: words(&["systemctl", "disable", "--now", "deeds.service"]), unless: None },
        Step::Remove { path: UNIT.into() },
        Step::Run { command: words(&["systemctl", "daemon-reload"]), unless: None },
    ]
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// This program, where a service can run it and agents cannot replace it.
fn program() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("cannot find the own executable")?;
    fs::canonicalize(&own).with_context(|| format!("cannot find `{}`", own.display()))
}

fn fit(program: &Path) -> anyhow::Result<()> {
    let name = program.display();
    ensure!(
        !UNFIT.iter().any(|dir| program.starts_with(dir)),
        "the service cannot run `{name}` from there: put the program into `/usr/local/bin` and call it from there"
    );
    let found = fs::metadata(program).with_context(|| format!("cannot look at `{name}`"))?;
    ensure!(
        found.uid() == 0 && found.mode() & 0o022 == 0,
        "others than root can change `{name}`, and the service would run it: give it to root with mode 0755"
    );
    Ok(())
}

/// Users who are to be served: those named, else who called `sudo`, else who runs this.
fn peers(args: &InstallArgs, environment: &Environment) -> anyhow::Result<Vec<String>> {
    if !args.peers.is_empty() {
        users::uids(&args.peers)?;
        return Ok(args.peers.clone());
    }
    if let Some(user) = environment.get(SUDO_USER).and_then(|user| user.to_str()) {
        return Ok(vec![user.to_owned()]);
    }
    let own = rustix::process::getuid().as_raw();
    Ok(if own == 0 { Vec::new() } else { vec![own.to_string()] })
}

fn ready() -> anyhow::Result<()> {
    ensure!(
        rustix::process::geteuid().is_root(),
        "this is for root: run it with `sudo`, or leave out `--apply`"
    );
    ensure!(
        Path::new("/run/systemd/system").is_dir(),
        "systemd does not run here: leave out `--apply`, and do what is shown with what does"
    );
    Ok(())
}

impl Step {
    fn shown(&self) -> Value {
        match self {
            Self::Run { command, unless } => {
                json!({"run": command, "unless": unless.map(|known| match known {
                    Known::User => "user",
                    Known::Group => "group",
                })})
            }
            Self::Write { path, text, existing } => {
                json!({"write": path, "text": text, "keeps": *existing == Existing::Refuse, "there": path.exists()})
            }
            Self::Remove { path } => json!({"remove": path}),
        }
    }

    /// Does it. Each step may be done again, so that an installation that broke off is finished by the next.
    fn carry_out(&self) -> anyhow::Result<()> {
        match self {
            Self::Run { command, unless } => match unless {
                Some(known) if is_there(*known) => Ok(()),
                _ => call(command),
            },
            Self::Write { path, text, existing } => put(path, text, *existing),
            Self::Remove { path } => match fs::remove_file(path) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
                other => other.with_context(|| format!("cannot remove `{}`", path.display())),
            },
        }
    }
}

fn put(path: &Path, text: &str, existing: Existing) -> anyhow::Result<()> {
    let name = path.display();
    if let Some(dir) = path.parent().filter(|dir| !dir.exists()) {
        let made = DirBuilder::new().recursive(true).mode(0o755).create(dir);
        made.with_context(|| format!("cannot make `{}`", dir.display()))?;
        open_to_all(dir, 0o755)?;
    }
    if existing == Existing::Refuse && path.exists() {
        if fs::read(path).ok().as_deref() != Some(text.as_bytes()) {
            remark(&format!("`{name}` is there already and was left as it is"));
        }
        return Ok(());
    }
    write_whole(path, text.as_bytes(), SHARED, existing).with_context(|| format!("cannot write `{name}`"))?;
    open_to_all(path, SHARED)
}

/// The server reads these as another user, whatever the file mode mask of root is.
fn open_to_all(path: &Path, mode: u32) -> anyhow::Result<()> {
    fs::set_permissions(path, Permissions::from_mode(mode))
        .with_context(|| format!("cannot let others read `{}`", path.display()))
}

fn is_there(known: Known) -> bool {
    let database = match known {
        Known::User => "passwd",
        Known::Group => "group",
    };
    Command::new("getent").args([database, USER]).output().is_ok_and(|output| output.status.success())
}

fn call(command: &[String]) -> anyhow::Result<()> {
    let Some((program, args)) = command.split_first() else { return Ok(()) };
    let shown = command.join(" ");
    let output =
        Command::new(program).args(args).output().with_context(|| format!("cannot run `{shown}`"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("`{shown}` failed: {}", render::text::lines(said.trim()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_can_be_used_and_names_whom_it_serves() {
        let steps = install(Path::new("/usr/local/bin/deeds"), &words(&["ana", "1001", "root"]), true);
        let text = |path: &str| {
            steps.iter().find_map(|step| match step {
                Step::Write { path: there, text, .. } if there == Path::new(path) => Some(text.as_str()),
                _ => None,
            })
        };
        let config = text(CONFIG).unwrap();
        crate::config::check_text(config).unwrap();
        assert!(config.contains("peers = [\"root\",\"ana\",\"1001\"]"), "{config}");
        let unit = text(UNIT).unwrap();
        assert!(
            unit.contains("ExecStart=/usr/local/bin/deeds serve --config /etc/deeds/config.toml\n"),
            "{unit}"
        );
        assert!(
            text("/etc/deeds/policy/starter.cedar").is_some()
                && text("/etc/deeds/policy/classes.toml").is_some()
        );
        let grouped: Vec<_> = steps
            .iter()
            .filter(|step| matches!(step, Step::Run { command, .. } if command[0] == "usermod"))
            .collect();
        let kept = install(Path::new("/usr/local/bin/deeds"), &[], false);
        assert!(
            kept.iter().all(|step| !matches!(step, Step::Write { path, .. } if path.starts_with(POLICY)))
        );
        assert_eq!(grouped.len(), 1, "a number has no name to put into a group: {grouped:?}");
    }

    #[test]
    fn what_agents_could_replace_is_no_program_of_a_service() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("deeds");
        fs::write(&program, "").unwrap();
        let error = fit(&program).unwrap_err().to_string();
        assert!(error.contains("/usr/local/bin"), "{error}");
        assert!(fit(Path::new("/home/ana/bin/deeds")).is_err());
    }

    #[test]
    fn a_file_that_is_there_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b.toml");
        put(&path, "one", Existing::Refuse).unwrap();
        put(&path, "two", Existing::Refuse).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"one");
        put(&path, "two", Existing::Replace).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        let step = Step::Remove { path: path.clone() };
        step.carry_out().unwrap();
        step.carry_out().unwrap();
        assert!(!path.exists());
    }
}

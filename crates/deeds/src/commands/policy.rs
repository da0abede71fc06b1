//! `deeds policy`: shows, checks and activates policy directories.

use std::path::Path;

use anyhow::{Context as _, bail};
use capture::api::{ActivatePolicy, ActivatedPolicy};
use policy::{Finding, PolicyError, PolicyFile, PolicySet};
use serde_json::{Value, json};

use super::answer;
use crate::Outcome;
use crate::cli::{PolicyCommand, PolicyDirArgs};
use crate::config::Config;
use crate::connect::{connect, connect_or_begin};
use crate::environment::Environment;
use crate::output::{Output, print_json, print_text};
use crate::render::findings::{Weight, findings};
use crate::render::style::{BAD, paint};
use crate::render::{lists, text};

/// Names the policy directory, before the configuration file.
const DEEDS_POLICY: &str = "DEEDS_POLICY";

/// Shows or activates.
pub(crate) async fn run(config: &Config, command: &PolicyCommand, output: Output) -> anyhow::Result<Outcome> {
    match command {
        PolicyCommand::Check(args) => check(named(config, args)?, output),
        PolicyCommand::Show => {
            let server = connect(config).await?;
            answer(&server.client, "/v1/policy", output, lists::policy).await
        }
        PolicyCommand::Activate(args) => activate(config, named(config, args)?, output).await,
    }
}

/// The directory that is meant.
fn named<'a>(config: &'a Config, args: &'a PolicyDirArgs) -> anyhow::Result<&'a Path> {
    let dir = args.dir.as_deref().or(config.policy.as_deref());
    dir.context(
        "no policy directory is configured: name one (`deeds init --apply` makes one and configures it)",
    )
}

/// A policy directory as it was read, and what came of loading it.
struct Read {
    files: Vec<PolicyFile>,
    set: Result<PolicySet, Vec<Finding>>,
}

/// Loads a policy directory as the server would.
///
/// # Errors
/// When the directory cannot be read.
fn read(dir: &Path) -> Result<Read, PolicyError> {
    let files = match policy::read_directory(dir) {
        Ok(files) => files,
        Err(PolicyError::Refused(found)) => return Ok(Read { files: Vec::new(), set: Err(found) }),
        Err(error) => return Err(error),
    };
    match PolicySet::from_new_files(files.clone()) {
        Ok(set) => Ok(Read { files, set: Ok(set) }),
        Err(PolicyError::Refused(found)) => Ok(Read { files, set: Err(found) }),
        Err(error) => Err(error),
    }
}

async fn activate(config: &Config, named: &Path, output: Output) -> anyhow::Result<Outcome> {
    let dir = std::fs::canonicalize(named);
    let dir = dir.with_context(|| format!("cannot find the policy directory `{}`", named.display()))?;
    let dir = dir.to_str().context("the path of the policy directory is not UTF-8 text")?.to_owned();
    // Here the lines can be shown; the server's own check decides. What only the server may read is left to it.
    let here = read(named).ok();
    if let Some(Read { files, set: Err(found) }) = &here {
        refused(named, files, found, output)?;
        bail!("the policy in `{}` is refused; nothing was activated", named.display());
    }
    let server = connect_or_begin(config).await?;
    let at_start = server.hello.policy_at_start.as_deref();
    let returning = Returning::find(config, &Environment::read(), &dir, at_start);
    let activated: ActivatedPolicy = server.client.post_json("/v1/policy", &ActivatePolicy { dir }).await?;
    let already = server.hello.policy.digest == activated.digest;
    let ActivatedPolicy { digest, index } = &activated;
    if output.json {
        print_json(
            &json!({"digest": digest, "index": index, "already": already, "at_next_start": returning}),
        )?;
        return Ok(Outcome::Fine);
    }
    if let Some(Read { files, set: Ok(set) }) = &here {
        print_text(&warned(named, files, set, output))?;
    }
    if already {
        print_text(&format!(
            "The policy {digest} is already in force since @{index}; nothing was changed.\n"
        ))?;
    } else {
        print_text(&format!("Activated the policy {digest}, entry @{index}.\n"))?;
    }
    if let Some(returning) = &returning {
        print_text(&returning.told())?;
    }
    Ok(Outcome::Fine)
}

/// Another directory than the activated one, which the next start of the server puts in force again.
#[derive(Debug, PartialEq, Eq, serde::Serialize)]
struct Returning {
    /// The directory.
    dir: String,
    /// What names it: `DEEDS_POLICY`, the configuration file's path, or the start of the server that runs.
    named_by: String,
    /// The line of the configuration file with which the activated directory stays.
    line: String,
    #[serde(skip)]
    by: By,
}

/// What names a directory that comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    /// The configuration file.
    File,
    /// The variable, which would go before the file.
    Variable,
    /// Whoever started the server that runs, in a way that cannot be seen from here.
    Start,
}

impl Returning {
    /// Nothing where neither the configuration nor the start of the server that runs names another directory. The
    /// configuration of whoever asks is not that of a server that somebody else keeps.
    fn find(
        config: &Config,
        environment: &Environment,
        activated: &str,
        at_start: Option<&str>,
    ) -> Option<Self> {
        let configured = config.policy.as_ref().filter(|_| !config.is_system_client());
        let (dir, by) = match (configured, at_start) {
            (Some(dir), _) if environment.get(DEEDS_POLICY).is_some() => (dir.as_path(), By::Variable),
            (Some(dir), _) => (dir.as_path(), By::File),
            (None, Some(dir)) => (Path::new(dir), By::Start),
            (None, None) => return None,
        };
        // A directory that is not there comes back too: as a start that fails.
        let real = std::fs::canonicalize(dir).unwrap_or_else(|_| dir.to_owned());
        if real == Path::new(activated) {
            return None;
        }
        let own = || config.own_dir.as_ref().map(|dir| dir.join("config.toml"));
        let named_by = match by {
            By::File => config.file.clone().or_else(own)?.display().to_string(),
            By::Variable => DEEDS_POLICY.to_owned(),
            By::Start => "the start of the server".to_owned(),
        };
        let line = format!("policy = {}", toml::Value::from(activated));
        Some(Self { dir: dir.display().to_string(), named_by, line, by })
    }

    fn told(&self) -> String {
        let Self { dir, named_by, line, by } = self;
        let (dir, named_by, line) = (text::safe(dir), text::safe(named_by), text::safe(line));
        let again = match by {
            By::Start => format!(
                "This server was started with the policy `{dir}` (`--policy`, or DEEDS_POLICY of whoever started it). \
                 Started like that again, it activates that one again."
            ),
            _ => format!(
                "The next start of the server activates `{dir}` again, because `{named_by}` names it."
            ),
        };
        let keep = match by {
            By::File => format!("To keep this one, change the line in `{named_by}` to:"),
            By::Variable => {
                "To keep this one, unset the variable and put this line into config.toml:".to_owned()
            }
            By::Start => {
                "To keep this one, start it without that, and put this line into its config.toml:".to_owned()
            }
        };
        format!("{again}\n{keep}\n\n  {line}\n")
    }
}

/// Checks a policy directory, without a server.
pub(crate) fn check(named: &Path, output: Output) -> anyhow::Result<Outcome> {
    let Read { files, set } = read(named)?;
    let set = match set {
        Ok(set) => set,
        Err(found) => {
            refused(named, &files, &found, output)?;
            return Ok(Outcome::Finding);
        }
    };
    let shown = shown(&set, named)?;
    if output.json {
        print_json(&shown)?;
    } else {
        let next = named.display().to_string();
        let next = text::safe(&next);
        print_text(&format!("{}\n", lists::policy(&shown, output.width)))?;
        print_text(&warned(named, &files, &set, output))?;
        print_text(&format!("The set is sound. Activate it with `deeds policy activate {next}`.\n"))?;
    }
    Ok(Outcome::Fine)
}

/// Says why a directory is not taken.
fn refused(named: &Path, files: &[PolicyFile], found: &[Finding], output: Output) -> anyhow::Result<()> {
    if output.json {
        return print_json(&json!({"dir": named, "accepted": false, "findings": found}));
    }
    let dir = named.display().to_string();
    let number = text::count(u64::try_from(found.len()).unwrap_or(u64::MAX), "problem", "problems");
    print_text(&findings(&dir, files, found, Weight::Error, output.width))?;
    print_text(&format!("{} {number} to mend.\n", paint(BAD, "refused:")))
}

/// What is taken but probably not meant.
fn warned(named: &Path, files: &[PolicyFile], set: &PolicySet, output: Output) -> String {
    findings(&named.display().to_string(), files, set.warnings(), Weight::Warning, output.width)
}

fn shown(set: &PolicySet, named: &Path) -> anyhow::Result<Value> {
    let policies = serde_json::to_value(set.policies())?;
    let source = named.display().to_string();
    Ok(
        json!({"dir": source, "accepted": true, "digest": set.digest(), "source": source, "policies": policies,
        "warnings": set.warnings()}),
    )
}

#[cfg(test)]
#[path = "policy/tests.rs"]
mod tests;

//! `deeds policy`: shows, checks and activates policy directories.

use anyhow::Context as _;
use capture::api::{ActivatePolicy, ActivatedPolicy};
use policy::{PolicyError, PolicySet};
use serde_json::{Value, json};

use super::answer;
use crate::Outcome;
use crate::cli::{PolicyCommand, PolicyDirArgs};
use crate::config::Config;
use crate::connect::connect;
use crate::output::{Output, print_json, print_text};
use crate::render::style::{BAD, paint};
use crate::render::{lists, text};

/// Shows or activates.
pub(crate) async fn run(config: &Config, command: &PolicyCommand, output: Output) -> anyhow::Result<Outcome> {
    match command {
        PolicyCommand::Check(args) => check(args, output),
        PolicyCommand::Show => {
            let server = connect(config).await?;
            answer(&server.client, "/v1/policy", output, lists::policy).await
        }
        PolicyCommand::Activate(args) => activate(config, args, output).await,
    }
}

async fn activate(config: &Config, args: &PolicyDirArgs, output: Output) -> anyhow::Result<Outcome> {
    let dir = std::fs::canonicalize(&args.dir);
    let dir = dir.with_context(|| format!("cannot find the policy directory `{}`", args.dir.display()))?;
    let dir = dir.to_str().context("the path of the policy directory is not UTF-8 text")?.to_owned();
    let server = connect(config).await?;
    let activated: ActivatedPolicy = server.client.post_json("/v1/policy", &ActivatePolicy { dir }).await?;
    if output.json {
        print_json(&activated)?;
    } else {
        print_text(&format!("Activated the policy {}, entry @{}.\n", activated.digest, activated.index))?;
    }
    Ok(Outcome::Fine)
}

/// Loads a policy directory as the server would, without a server.
pub(crate) fn check(args: &PolicyDirArgs, output: Output) -> anyhow::Result<Outcome> {
    let set = match PolicySet::load(&args.dir) {
        Ok(set) => set,
        Err(PolicyError::Refused(findings)) => {
            if output.json {
                print_json(&json!({"dir": args.dir, "accepted": false, "findings": findings}))?;
            } else {
                let all = PolicyError::Refused(findings).to_string();
                print_text(&format!("{} {}\n", paint(BAD, "refused:"), text::lines(&all)))?;
            }
            return Ok(Outcome::Finding);
        }
        Err(error) => return Err(error.into()),
    };
    let shown = shown(&set, args)?;
    if output.json {
        print_json(&shown)?;
    } else {
        print_text(&lists::policy(&shown, output.width))?;
        print_text("The set is sound. Activate it with `deeds policy activate`.\n")?;
    }
    Ok(Outcome::Fine)
}

fn shown(set: &PolicySet, args: &PolicyDirArgs) -> anyhow::Result<Value> {
    let policies = serde_json::to_value(set.policies())?;
    let warnings: Vec<String> = set.warnings().iter().map(ToString::to_string).collect();
    let source = args.dir.display().to_string();
    Ok(
        json!({"dir": source, "accepted": true, "digest": set.digest(), "source": source, "policies": policies,
        "warnings": warnings}),
    )
}

//! `deeds policy`: shows, checks and activates policy directories.

use anyhow::Context as _;
use capture::api::{ActivatePolicy, ActivatedPolicy};
use policy::{PolicyError, PolicySet};
use serde_json::{Value, json};

use super::answer;
use crate::Outcome;
use crate::cli::{PolicyCommand, PolicyDirArgs};
use crate::config::Config;
use crate::connect::{connect, connect_or_begin};
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
    let server = connect_or_begin(config).await?;
    let activated: ActivatedPolicy = server.client.post_json("/v1/policy", &ActivatePolicy { dir }).await?;
    let already = server.hello.policy.digest == activated.digest;
    let ActivatedPolicy { digest, index } = &activated;
    if output.json {
        print_json(&json!({"digest": digest, "index": index, "already": already}))?;
    } else if already {
        print_text(&format!(
            "The policy {digest} is already in force since @{index}; nothing was changed.\n"
        ))?;
    } else {
        print_text(&format!("Activated the policy {digest}, entry @{index}.\n"))?;
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
                let told = text::wrap_lines(&text::lines(&all), output.width);
                print_text(&format!("{} {told}\n", paint(BAD, "refused:")))?;
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
        let next = args.dir.display().to_string();
        let next = text::safe(&next);
        print_text(&format!("The set is sound. Activate it with `deeds policy activate {next}`.\n"))?;
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

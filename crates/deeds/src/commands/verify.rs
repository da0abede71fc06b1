//! `deeds verify`: checks evidence files. No server, no network, no clock.

use std::path::Path;

use anyhow::Context as _;
use serde::Serialize;
use serde_json::json;
use verify::{Report, TrustRoots, Verdict};

use crate::Outcome;
use crate::cli::VerifyArgs;
use crate::files::read_limited;
use crate::output::{Output, print_json, print_text, remark};
use crate::render::report;
use crate::render::style::{BAD, paint};
use crate::render::text::safe;

/// A report and the file it is about.
#[derive(Debug, Serialize)]
struct Named<'a> {
    file: &'a str,
    #[serde(flatten)]
    report: &'a Report,
}

/// Checks every file; the worst one decides.
pub(crate) fn run(args: &VerifyArgs, output: Output) -> anyhow::Result<Outcome> {
    let trust = trust(args)?;
    let mut worst = Outcome::Fine;
    for file in &args.files {
        let outcome = check(file, &trust, output)?;
        worst = if rank(outcome) > rank(worst) { outcome } else { worst };
    }
    Ok(worst)
}

fn check(file: &Path, trust: &TrustRoots, output: Output) -> anyhow::Result<Outcome> {
    let name = file.display().to_string();
    // one byte more than a bundle can have: the verifier itself says that it is too long
    let bytes = match read_limited(file, evidence::limits::BUNDLE_MAX_BYTES + 1) {
        Ok(bytes) => bytes,
        Err(error) => return unreadable(&name, &error, output),
    };
    let report = verify::verify_bundle(&bytes, trust);
    if output.json {
        print_json(&Named { file: &name, report: &report })?;
    } else {
        print_text(&report::text(&name, &report, output.width))?;
    }
    Ok(match report.verdict {
        Verdict::Verified => Outcome::Fine,
        Verdict::Failed => Outcome::Finding,
        Verdict::Unreadable => Outcome::Unreadable,
    })
}

/// A file that cannot be read is one more unreadable file: the others are still checked.
fn unreadable(name: &str, error: &anyhow::Error, output: Output) -> anyhow::Result<Outcome> {
    let why = crate::chain(error);
    if output.json {
        print_json(&json!({"file": name, "verdict": "unreadable", "findings": [], "error": why}))?;
    }
    remark(&format!("{}: {}", paint(BAD, "error"), safe(&why)));
    Ok(Outcome::Unreadable)
}

fn trust(args: &VerifyArgs) -> anyhow::Result<TrustRoots> {
    let mut trust = match &args.trust {
        Some(path) => {
            let bytes = read_limited(path, verify::limits::TRUST_MAX_BYTES)?;
            let text = String::from_utf8(bytes)
                .with_context(|| format!("`{}` is not UTF-8 text", path.display()))?;
            TrustRoots::parse(&text).with_context(|| format!("cannot use `{}`", path.display()))?
        }
        None => TrustRoots::default(),
    };
    for key in &args.log_key {
        trust.pin_log(key).context("cannot use a key given with `--log-key`")?;
    }
    for thumbprint in &args.pin_key {
        trust.pin(thumbprint)?;
    }
    Ok(trust)
}

fn rank(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Fine | Outcome::Code(_) => 0,
        Outcome::Finding => 1,
        Outcome::Unreadable => 2,
    }
}

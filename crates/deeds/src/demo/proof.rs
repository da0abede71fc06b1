//! The last acts: prove, verify without the server, tamper and be found out.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tokio::process::Command;

use super::narrator::Narrator;
use super::stage::Stage;
use crate::commands;
use crate::connect::Server;
use crate::files::Existing;
use crate::render::report;

/// One run of `deeds verify`.
struct Verified {
    exit: i32,
    report: Value,
}

impl Verified {
    fn verdict(&self) -> &str {
        self.report.get("verdict").and_then(Value::as_str).unwrap_or_default()
    }

    fn findings(&self, severity: &str) -> Vec<&Value> {
        let findings = self.report.get("findings").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        findings
            .iter()
            .filter(|found| found.get("severity").and_then(Value::as_str) == Some(severity))
            .collect()
    }

    fn to_json(&self) -> Value {
        json!({"exit": self.exit, "report": self.report})
    }
}

/// A name that one flipped bit makes of another.
pub(super) struct Forgery<'a> {
    /// The argument that has it.
    pub(super) argument: &'a str,
    /// As it is.
    pub(super) value: &'a str,
    /// As it is then.
    pub(super) forged: &'a str,
}

/// Writes the evidence about one act to a file.
pub(super) async fn prove(
    stage: &Stage,
    server: &Server,
    act: u64,
    file: &str,
    narrator: &mut Narrator,
) -> anyhow::Result<PathBuf> {
    narrator.begin(
        "One file as evidence",
        "An auditor gets a file: the entries of the run with their place in the log, the signed delegation, the \
         policy, the keys. Nothing recorded of the run can be missing from it unnoticed.",
    )?;
    narrator.command(&format!("deeds prove @{act} -o {file}"))?;
    narrator.progress("waiting for a signed checkpoint");
    let bundle = commands::prove::prove(&server.client, &format!("@{act}"), &[]).await?;
    let path = stage.dir.join(file);
    commands::prove::write(&path, &bundle, Existing::Refuse)?;
    narrator.show(&format!("{file}, {} bytes", bundle.len()))?;
    narrator.observed("proof", &json!({"bytes": bundle.len(), "act": act}));
    Ok(path)
}

/// Stops the server, then verifies the file in a process of its own.
pub(super) async fn verify_without_server(
    stage: &Stage,
    server: &Server,
    bundle: &Path,
    narrator: &mut Narrator,
) -> anyhow::Result<()> {
    verify_and_explain(stage, server, bundle, "", narrator).await
}

/// The same, with some more words about the findings of this story.
pub(super) async fn verify_and_explain(
    stage: &Stage,
    server: &Server,
    bundle: &Path,
    about_findings: &str,
    narrator: &mut Narrator,
) -> anyhow::Result<()> {
    let says = "The server is stopped first: checking needs no server, no network and no clock, only the log's public \
                key from somewhere you trust. Findings that are notes say what the file does not claim.";
    narrator.begin("Checked without the server", format!("{says} {about_findings}").trim_end())?;
    let stopped = commands::stop::stop(&stage.config).await?;
    narrator.command("deeds stop")?;
    let file = bundle.file_name().unwrap_or_default().display();
    narrator.command(&format!("deeds verify {file} --log-key '{}'", server.hello.log_vkey))?;
    let verified = verify(stage, server, bundle).await?;
    show(&verified, narrator)?;
    narrator.check("the file verifies", verified.verdict() == "verified" && verified.exit == 0)?;
    narrator
        .observed("verified", &json!({"server_stopped": stopped.is_some(), "verify": verified.to_json()}));
    Ok(())
}

/// Changes one bit, so that the file says something else.
pub(super) async fn tamper(
    stage: &Stage,
    server: &Server,
    bundle: &Path,
    names: &Forgery<'_>,
    narrator: &mut Narrator,
) -> anyhow::Result<()> {
    let Forgery { argument, value, forged } = names;
    narrator.begin(
        "Tampering shows",
        &format!("One bit of the file is flipped, so that it names {forged} instead of {value}."),
    )?;
    let mut bytes = std::fs::read(bundle)?;
    let offset =
        flip(&mut bytes, argument, value).with_context(|| format!("the file does not name {value}"))?;
    let path = stage.dir.join("forged.deeds");
    std::fs::write(&path, &bytes)?;
    narrator.command("deeds verify forged.deeds")?;
    let verified = verify(stage, server, &path).await?;
    show(&verified, narrator)?;
    narrator
        .check("the forged file does not verify", verified.verdict() == "failed" && verified.exit == 1)?;
    narrator.observed("tampered", &json!({"offset": offset, "verify": verified.to_json()}));
    Ok(())
}

/// Flips the lowest bit of the last byte of a name where it stands as an argument; gives the offset.
fn flip(bytes: &mut [u8], name: &str, value: &str) -> Option<usize> {
    let argument = format!("\"{name}\":\"{value}");
    let start = bytes.windows(argument.len()).position(|window| window == argument.as_bytes())?;
    let offset = start + argument.len() - 1;
    *bytes.get_mut(offset)? ^= 1;
    Some(offset)
}

async fn verify(stage: &Stage, server: &Server, bundle: &Path) -> anyhow::Result<Verified> {
    let output = Command::new(&stage.program)
        .args(["verify", "--json", "--log-key", &server.hello.log_vkey])
        .arg(bundle)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .context("cannot start `deeds verify`")?;
    let exit = output.status.code().context("`deeds verify` was ended by a signal")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(!output.stdout.is_empty(), "`deeds verify` gave no report: {}", said.trim());
    let report = serde_json::from_slice(&output.stdout).context("the report cannot be read")?;
    Ok(Verified { exit, report })
}

fn show(verified: &Verified, narrator: &mut Narrator) -> anyhow::Result<()> {
    narrator.show(&format!("{} (exit code {})", verified.verdict(), verified.exit))?;
    for severity in ["error", "note"] {
        let views = verified.findings(severity).into_iter().map(|found| {
            let text = |name| found.get(name).and_then(Value::as_str).unwrap_or_default();
            (text("code"), found.get("index").and_then(Value::as_u64), text("text"))
        });
        for told in report::grouped(views) {
            narrator.show(&format!("{severity} {told}"))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bit_makes_another_host() {
        let mut bytes = b"xx{\"host\":\"ws-0101\"}ws-0101".to_vec();
        assert_eq!(flip(&mut bytes, "host", "ws-0101"), Some(17));
        assert_eq!(bytes, b"xx{\"host\":\"ws-0100\"}ws-0101");
        assert_eq!(flip(&mut bytes, "host", "ws-0102"), None);
    }
}

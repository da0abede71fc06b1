//! `deeds prove`: writes the evidence about an action or a run to a file.

use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context as _, bail};
use capture::client::Client;
use serde_json::json;

use super::{no_action, started_at};
use crate::Outcome;
use crate::cli::{ProveArgs, Withhold};
use crate::config::Config;
use crate::connect::connect;
use crate::files::{self, Existing, SHARED};
use crate::names::{self, Subject};
use crate::output::{Output, print_json, print_text};
use crate::render::style::{HEAD, paint};

/// Asks for a bundle and writes it.
pub(crate) async fn run(config: &Config, args: &ProveArgs, output: Output) -> anyhow::Result<Outcome> {
    let server = connect(config).await?;
    if args.out.exists() && !args.force {
        bail!("`{}` exists already; choose another name, or replace it with `--force`", args.out.display());
    }
    let subject = subject(&server.client, &args.subject).await?;
    let bundle = match (prove(&server.client, &subject, &args.withhold).await, names::position(&subject)) {
        (Ok(bundle), _) => bundle,
        (Err(error), Ok(index)) => {
            return Err(match error.downcast() {
                Ok(error) => no_action(&server.client, index, error).await,
                Err(error) => error,
            });
        }
        (Err(error), Err(_)) => return Err(error),
    };
    let existing = if args.force { Existing::Replace } else { Existing::Refuse };
    write(&args.out, &bundle, existing)?;
    let name = args.out.display();
    if output.json {
        print_json(&json!({"file": args.out, "bytes": bundle.len(), "subject": subject}))?;
    } else {
        print_text(&format!(
            "Wrote {} ({} bytes).\nAnyone can check it without this server: deeds verify {name} --log-key '{}'\n",
            paint(HEAD, &name.to_string()),
            bundle.len(),
            server.hello.log_vkey,
        ))?;
    }
    Ok(Outcome::Fine)
}

/// What the server is asked for: of the entry that a run started with, the run.
async fn subject(client: &Client, named: &Subject) -> anyhow::Result<String> {
    let Ok(index) = names::position(&named.0) else { return Ok(named.0.clone()) };
    match started_at(client, index).await {
        Ok((Some(run), _)) => Ok(run),
        // whatever else is there, or is not: the server says so
        _ => Ok(named.0.clone()),
    }
}

/// Fetches a bundle.
pub(crate) async fn prove(client: &Client, subject: &str, withhold: &[Withhold]) -> anyhow::Result<Vec<u8>> {
    let withhold: Vec<&str> = withhold
        .iter()
        .map(|what| match what {
            Withhold::Args => "args",
            Withhold::Result => "result",
        })
        .collect();
    Ok(client.post_bytes("/v1/prove", &json!({"subject": subject, "withhold": withhold})).await?)
}

/// Writes a file whole or not at all.
pub(crate) fn write(path: &Path, bytes: &[u8], existing: Existing) -> anyhow::Result<()> {
    let name = path.display();
    match files::write_whole(path, bytes, SHARED, existing) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            bail!("`{name}` exists already; choose another name, or replace it with `--force`")
        }
        other => other.with_context(|| format!("cannot write `{name}`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_only_when_asked() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.deeds");
        write(&path, b"one", Existing::Refuse).unwrap();
        let error = write(&path, b"two", Existing::Refuse).unwrap_err().to_string();
        assert!(error.contains("--force"), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), b"one");
        write(&path, b"two", Existing::Replace).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert!(write(&dir.path().join("no/such"), b"", Existing::Refuse).is_err());
    }
}

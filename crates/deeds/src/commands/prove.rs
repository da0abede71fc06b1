//! `deeds prove`: writes the evidence about an action or a run to a file.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::Path;

use anyhow::{Context as _, bail};
use capture::client::Client;
use serde_json::json;

use super::{no_action, started_at};
use crate::Outcome;
use crate::cli::{ProveArgs, Withhold};
use crate::config::Config;
use crate::connect::connect;
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
    write(&args.out, &bundle, args.force)?;
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

/// Writes a file whole or not at all: a crash leaves at most a `.part` beside it.
pub(crate) fn write(path: &Path, bytes: &[u8], replace: bool) -> anyhow::Result<()> {
    let name = path.display();
    let file_name = path.file_name().with_context(|| format!("`{name}` does not name a file"))?;
    let mut part = file_name.to_owned();
    part.push(".part");
    let part = path.with_file_name(part);
    let write = || -> std::io::Result<()> {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(&part)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        if replace {
            return fs::rename(&part, path);
        }
        // a link fails where the name is taken, whenever that happened
        let linked = fs::hard_link(&part, path);
        fs::remove_file(&part)?;
        linked
    };
    match write() {
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
        write(&path, b"one", false).unwrap();
        let error = write(&path, b"two", false).unwrap_err().to_string();
        assert!(error.contains("--force"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"one");
        write(&path, b"two", true).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        assert!(write(&dir.path().join("no/such"), b"", false).is_err());
    }
}

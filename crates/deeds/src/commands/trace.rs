//! `deeds trace` and `deeds withdraw`.

mod on_disk;

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use capture::api::Withdraw;
use serde_json::{Value, json};

use super::{Again, Query, ask, folded, no_action, show};
use crate::Outcome;
use crate::cli::{TraceArgs, WithdrawArgs};
use crate::config::Config;
use crate::connect::{Server, connect};
use crate::names::{self, Traced};
use crate::output::{Output, print_json, print_text};
use crate::render::style::{HEAD, paint};
use crate::render::text::safe;
use crate::render::trace;

/// Follows an artifact or an act one step.
pub(crate) async fn run(config: &Config, args: &TraceArgs, output: Output) -> anyhow::Result<Outcome> {
    let of = asked(&args.of)?;
    let here = lineage::file_path(&of).map(|path| PathBuf::from(OsString::from_vec(path)));
    let server = connect(config).await?;
    let direction = match (args.up, args.down) {
        (true, _) => Some("up"),
        (_, true) => Some("down"),
        _ => None,
    };
    let path = Query::new("/v1/trace")
        .with("of", &of)
        .maybe("direction", direction.map(str::to_owned))
        .page(&args.page);
    let mut again = Again::new(config, "trace").word(&of);
    if let Some(direction) = direction {
        again = again.word(&format!("--{direction}"));
    }
    let again = again.limit(&args.page).0;
    let page = |value: &Value, width| trace::page(value, width, &again);
    let answered = match &here {
        Some(file) => with_file(&server, &path.0, file, output, page).await,
        None => ask(&server, &path.0, output, page).await,
    };
    match (answered, names::position(&of)) {
        (Err(error), Ok(index)) => match error.downcast() {
            Ok(error) => Err(no_action(&server.client, index, error).await),
            Err(error) => Err(error),
        },
        (answered, _) => answered,
    }
}

/// The answer about a name, and beside it what the file of that name is now, here.
async fn with_file(
    server: &Server,
    path: &str,
    file: &Path,
    output: Output,
    page: impl FnOnce(&Value, usize) -> String,
) -> anyhow::Result<Outcome> {
    let bytes = folded(server, path).await?;
    let mut answer: Value = serde_json::from_slice(&bytes).context("the server's answer is not JSON")?;
    let recorded = answer.pointer("/latest/artifact/value").cloned();
    let now = on_disk::compare(file, recorded.as_ref());
    if let Some(members) = answer.as_object_mut() {
        members.insert("on_disk".into(), now);
    }
    show(&serde_json::to_vec(&answer)?, output, page)
}

/// Withdraws an artifact, and lists the acts that had it.
pub(crate) async fn withdraw(
    config: &Config,
    args: &WithdrawArgs,
    output: Output,
) -> anyhow::Result<Outcome> {
    ensure!(!args.why.is_empty(), "`--why` is empty: say why, it is recorded");
    let of = asked(&args.artifact)?;
    let is_act = of.starts_with('@') || evidence::id::parse(&of).is_some();
    if is_act {
        bail!("`{of}` is an act; `deeds trace {of} --down` lists what it made, withdraw that");
    }
    let is_digest = of.starts_with("sha256:");
    let server = connect(config).await?;
    let request = Withdraw {
        uri: (!is_digest).then(|| of.clone()),
        digest: is_digest.then(|| of.clone()),
        why: args.why.clone(),
    };
    let written = server.client.withdraw(&request).await?;
    let path = Query::new("/v1/trace")
        .with("of", &of)
        .with("direction", "down")
        .with("wait", &written.index.to_string());
    let had: Value = server.client.get_json(&path.0).await?;
    if output.json {
        print_json(&json!({"index": written.index, "artifact": of, "had": had}))?;
        return Ok(Outcome::Fine);
    }
    let again = Again::new(config, "trace").word(&of).word("--down").0;
    print_text(&format!(
        "{} {}, entry @{}.\n\n{}",
        paint(HEAD, "Withdrawn"),
        safe(&of),
        written.index,
        trace::page(&had, output.width, &again)
    ))?;
    Ok(Outcome::Fine)
}

/// As the API takes it; a file by where it is seen from here.
fn asked(named: &Traced) -> anyhow::Result<String> {
    let working = std::env::current_dir().context("the working directory cannot be found")?;
    named.asked(&working).map_err(anyhow::Error::msg)
}

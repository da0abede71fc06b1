//! `deeds reindex`: throws the index away and makes it anew from the log.

use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::stop;
use crate::Outcome;
use crate::config::Config;
use crate::connect::connect;
use crate::output::{Output, Progress, print_json, print_text};
use crate::serve::index;

/// Longest that the server takes to say whether it is done.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// Marks the index as one to be thrown away, ends the server, starts it again and waits until the whole log is folded.
///
/// After a crash behind the mark the next server throws the index away all the same. A wrap may start that server
/// before we do: it finds the mark too.
pub(crate) async fn run(config: &Config, output: Output) -> anyhow::Result<Outcome> {
    anyhow::ensure!(
        !config.is_system_client(),
        "the index belongs to a server that somebody else keeps: this is for its own user, with its configuration"
    );
    let server = connect(config).await?;
    index::mark(&config.data).context("the index cannot be marked for its removal")?;
    drop(server);
    stop::stop(config).await?;
    let server = connect(config).await?;
    let size = server.hello.size;
    let path = format!("/v1/status?wait={}", size.saturating_sub(1));
    let mut progress = Progress::new("the index is made");
    loop {
        // the server answers within 5 s, folded or not
        match tokio::time::timeout(ANSWER_MAX, server.client.get_json::<Value>(&path)).await {
            Ok(Ok(_)) => break,
            Ok(Err(error)) if error.code() == Some("not-folded") => {
                let status: Value = server.client.get_json("/v1/status").await?;
                progress.at(status.get("size").and_then(Value::as_u64).unwrap_or_default(), size);
            }
            Ok(Err(error)) => return Err(error.into()),
            Err(_) => anyhow::bail!("the server gives no answer; see `serve.log` in the data directory"),
        }
    }
    progress.end();
    if output.json {
        print_json(&json!({"entries": size}))?;
    } else {
        print_text(&format!("Made the index anew from {size} entries.\n"))?;
    }
    Ok(Outcome::Fine)
}

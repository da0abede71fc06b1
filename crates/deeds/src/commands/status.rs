//! `deeds status`.

use std::path::Path;
use std::time::UNIX_EPOCH;

use serde_json::{Map, Value, json};

use crate::Outcome;
use crate::config::Config;
use crate::connect::{Server, connect};
use crate::output::{Output, print_json, print_text};
use crate::render::lists::has_findings;
use crate::render::status;

/// Shows the server, its log and its policy.
pub(crate) async fn run(config: &Config, output: Output) -> anyhow::Result<Outcome> {
    let server = connect(config).await?;
    let mut answer: Map<String, Value> = server.client.get_json("/v1/status").await?;
    answer.extend(about(config, &server));
    let answer = Value::Object(answer);
    if output.json {
        print_json(&answer)?;
    } else {
        print_text(&status::page(&answer, output.width))?;
    }
    Ok(if has_findings(&answer) { Outcome::Finding } else { Outcome::Fine })
}

/// What the server says of itself, where its data is, and when it last signed a checkpoint.
fn about(config: &Config, server: &Server) -> Map<String, Value> {
    let hello = &server.hello;
    // of a server that somebody else keeps the directory is not known here
    let data = (!config.is_system_client()).then_some(&config.data);
    let checkpoint = data.map(|data| data.join(&hello.tenant).join("log/checkpoint"));
    let about = json!({
        "server": {"version": hello.version, "pid": hello.pid, "socket": config.socket()},
        "data": data,
        "origin": hello.origin,
        "log_vkey": hello.log_vkey,
        "checkpoint_ms": checkpoint.as_deref().and_then(written_ms),
    });
    match about {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

/// When a file was last written, ms; nothing while it is not there.
fn written_ms(path: &Path) -> Option<u64> {
    let written = std::fs::metadata(path).and_then(|found| found.modified()).ok()?;
    u64::try_from(written.duration_since(UNIX_EPOCH).ok()?.as_millis()).ok()
}

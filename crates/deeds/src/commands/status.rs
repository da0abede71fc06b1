//! `deeds status`.

use super::answer;
use crate::Outcome;
use crate::config::Config;
use crate::connect::connect;
use crate::output::Output;
use crate::render::tree;

/// Shows the server, its log and its policy.
pub(crate) async fn run(config: &Config, output: Output) -> anyhow::Result<Outcome> {
    let server = connect(config).await?;
    let pid = server.hello.pid;
    let socket = config.socket();
    answer(&server.client, "/v1/status", output, |status, width| {
        let mut out = String::new();
        tree::line(&mut out, "server", &format!("process {pid} at {}", socket.display()), "", 0, width);
        out.push_str(&tree::members(status, width));
        out
    })
    .await
}

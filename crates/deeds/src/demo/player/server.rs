//! Sample MCP servers over standard input and output. Each keeps a journal of what it did, as a real system would;
//! the journal tells what reached the tool, whatever anybody else says.

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, Read as _, Write as _};

use anyhow::Context as _;
use rustix::process::{Signal, getpid, kill_process};
use serde_json::{Map, Value, json};

use crate::cli::ToolPlayerArgs;

/// Longest line that is read, bytes.
const LINE_MAX_BYTES: u64 = 1_024 * 1_024;
/// The protocol version spoken.
pub(super) const PROTOCOL: &str = "2025-11-25";

/// One tool: its name, what it says of itself, its arguments.
type Tool = (&'static str, &'static str, &'static [&'static str]);

/// A sample server.
pub(super) struct Sample {
    name: &'static str,
    tools: &'static [Tool],
}

/// Endpoint detection and response.
pub(super) const EDR: Sample = Sample {
    name: "sample-edr",
    tools: &[
        ("isolate_host", "Cuts a host off the network", &["host"]),
        ("release_host", "Lets an isolated host back on the network", &["host"]),
    ],
};
/// An identity provider.
pub(super) const IDP: Sample =
    Sample { name: "sample-idp", tools: &[("disable_user", "Disables a user everywhere", &["user"])] };
/// A ticket system.
pub(super) const TICKET: Sample =
    Sample { name: "sample-tickets", tools: &[("create", "Creates a ticket", &["title", "run"])] };

/// Answers requests until standard input ends.
pub(super) fn serve(sample: &Sample, args: &ToolPlayerArgs) -> anyhow::Result<()> {
    let name = args.journal.display();
    let journal = OpenOptions::new().create(true).append(true).open(&args.journal);
    let mut journal = journal.with_context(|| format!("cannot open the journal `{name}`"))?;
    let mut input = std::io::stdin().lock();
    let mut output = std::io::stdout().lock();
    loop {
        let mut line = String::new();
        if input.by_ref().take(LINE_MAX_BYTES).read_line(&mut line)? == 0 {
            return Ok(());
        }
        let request: Value = serde_json::from_str(&line).context("a line is not JSON")?;
        let Some(id) = request.get("id") else { continue };
        let answer = match answer(sample, &request, &mut journal, args.die_on.as_deref())? {
            Ok(result) => json!({"jsonrpc": "2.0", "id": id, "result": result}),
            Err((code, message)) => {
                json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}})
            }
        };
        writeln!(output, "{answer}")?;
        output.flush()?;
    }
}

type Answer = Result<Value, (i64, String)>;

fn answer(
    sample: &Sample,
    request: &Value,
    journal: &mut File,
    die_on: Option<&str>,
) -> anyhow::Result<Answer> {
    let method = request.get("method").and_then(Value::as_str).unwrap_or_default();
    Ok(match method {
        "initialize" => Ok(json!({"protocolVersion": PROTOCOL, "capabilities": {"tools": {}},
            "serverInfo": {"name": sample.name, "version": env!("CARGO_PKG_VERSION")}})),
        "ping" => Ok(json!({})),
        "tools/list" => Ok(json!({"tools": sample.tools.iter().map(definition).collect::<Vec<_>>()})),
        "tools/call" => call(sample, request, journal, die_on)?,
        other => Err((-32_601, format!("method `{other}` is not known"))),
    })
}

fn definition((name, description, arguments): &Tool) -> Value {
    let properties: Map<String, Value> =
        arguments.iter().map(|name| ((*name).to_owned(), json!({"type": "string"}))).collect();
    json!({"name": name, "description": description,
        "inputSchema": {"type": "object", "properties": properties, "required": arguments}})
}

/// Does what was asked, which here means to write it down, and says so.
fn call(
    sample: &Sample,
    request: &Value,
    journal: &mut File,
    die_on: Option<&str>,
) -> anyhow::Result<Answer> {
    let name = request.pointer("/params/name").and_then(Value::as_str).unwrap_or_default();
    let Some((name, _, names)) = sample.tools.iter().find(|(tool, _, _)| *tool == name) else {
        return Ok(Err((-32_602, format!("tool `{name}` is not known"))));
    };
    let given = request.pointer("/params/arguments").and_then(Value::as_object).cloned().unwrap_or_default();
    if let Some(missing) = names.iter().find(|name| !given.get(**name).is_some_and(Value::is_string)) {
        let text = format!("the argument `{missing}` is missing");
        return Ok(Ok(json!({"content": [{"type": "text", "text": text}], "isError": true})));
    }
    writeln!(journal, "{}", json!({"tool": name, "args": given}))?;
    journal.sync_all()?;
    if die_on.is_some_and(|value| given.values().any(|given| given == value)) {
        // the deed is done, and nobody will hear of it from here
        kill_process(getpid(), Signal::KILL)?;
    }
    Ok(Ok(json!({"content": [{"type": "text", "text": format!("{name}: done")}], "isError": false})))
}

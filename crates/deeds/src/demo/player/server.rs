//! Sample MCP servers over standard input and output. Each keeps a journal of what it did, as a real system would;
//! the journal tells what reached the tool, whatever anybody else says.

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, Read as _, Write as _};

use anyhow::Context as _;
use rustix::process::{Signal, getpid, kill_process};
use serde_json::{Map, Value, json};

use super::sample::{Sample, Tool};
use crate::cli::ToolPlayerArgs;
use crate::files::read_limited;

/// Largest data file, bytes.
const DATA_MAX_BYTES: usize = 1_024 * 1_024;
/// Longest line that is read, bytes.
const LINE_MAX_BYTES: u64 = 1_024 * 1_024;
/// The protocol version spoken.
pub(super) const PROTOCOL: &str = "2025-11-25";

/// Answers requests until standard input ends.
pub(super) fn serve(sample: &'static Sample, args: &ToolPlayerArgs) -> anyhow::Result<()> {
    let name = args.journal.display();
    let journal = OpenOptions::new().create(true).append(true).open(&args.journal);
    let journal = journal.with_context(|| format!("cannot open the journal `{name}`"))?;
    let data = match &args.data {
        Some(path) => {
            serde_json::from_slice(&read_limited(path, DATA_MAX_BYTES)?).context("the data cannot be read")?
        }
        None => Value::Null,
    };
    let mut system = System { sample, journal, data, die_on: args.die_on.clone() };
    let mut input = std::io::stdin().lock();
    let mut output = std::io::stdout().lock();
    loop {
        let mut line = String::new();
        if input.by_ref().take(LINE_MAX_BYTES).read_line(&mut line)? == 0 {
            return Ok(());
        }
        let request: Value = serde_json::from_str(&line).context("a line is not JSON")?;
        let Some(id) = request.get("id") else { continue };
        let answer = match system.answer(&request)? {
            Ok(result) => json!({"jsonrpc": "2.0", "id": id, "result": result}),
            Err((code, message)) => {
                json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}})
            }
        };
        writeln!(output, "{answer}")?;
        output.flush()?;
    }
}

/// The system behind a sample server.
struct System {
    sample: &'static Sample,
    journal: File,
    /// By tool, then by the value that is asked for.
    data: Value,
    die_on: Option<String>,
}

type Answer = Result<Value, (i64, String)>;

impl System {
    fn answer(&mut self, request: &Value) -> anyhow::Result<Answer> {
        let method = request.get("method").and_then(Value::as_str).unwrap_or_default();
        Ok(match method {
            "initialize" => Ok(json!({"protocolVersion": PROTOCOL, "capabilities": {"tools": {}},
                "serverInfo": {"name": self.sample.name, "version": env!("CARGO_PKG_VERSION")}})),
            "ping" => Ok(json!({})),
            "tools/list" => {
                Ok(json!({"tools": self.sample.tools.iter().map(definition).collect::<Vec<_>>()}))
            }
            "tools/call" => self.call(request)?,
            other => Err((-32_601, format!("method `{other}` is not known"))),
        })
    }

    /// Writes down what was asked, does it, and says so.
    fn call(&mut self, request: &Value) -> anyhow::Result<Answer> {
        let name = request.pointer("/params/name").and_then(Value::as_str).unwrap_or_default();
        let Some((name, _, names, effect)) = self.sample.tools.iter().find(|(tool, ..)| *tool == name) else {
            return Ok(Err((-32_602, format!("tool `{name}` is not known"))));
        };
        let given =
            request.pointer("/params/arguments").and_then(Value::as_object).cloned().unwrap_or_default();
        if let Some(missing) = names.iter().find(|name| !given.get(**name).is_some_and(Value::is_string)) {
            return Ok(Ok(words(&format!("the argument `{missing}` is missing"), true)));
        }
        writeln!(self.journal, "{}", json!({"tool": name, "args": given}))?;
        self.journal.sync_all()?;
        if self.die_on.as_ref().is_some_and(|value| given.values().any(|given| given == value.as_str())) {
            // the deed is done, and nobody will hear of it from here
            kill_process(getpid(), Signal::KILL)?;
        }
        Ok(Ok(match effect.happen(name, &given, &self.data) {
            Ok(said) => words(&said, false),
            Err(why) => words(&why, true),
        }))
    }
}

fn words(text: &str, is_error: bool) -> Value {
    json!({"content": [{"type": "text", "text": text}], "isError": is_error})
}

fn definition((name, description, arguments, _): &Tool) -> Value {
    let properties: Map<String, Value> =
        arguments.iter().map(|name| ((*name).to_owned(), json!({"type": "string"}))).collect();
    json!({"name": name, "description": description,
        "inputSchema": {"type": "object", "properties": properties, "required": arguments}})
}

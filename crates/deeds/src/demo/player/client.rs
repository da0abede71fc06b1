//! A small MCP client over the standard streams of a child process, for the sample agent.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use super::server::PROTOCOL;

/// Longest line that is read, bytes.
const LINE_MAX_BYTES: u64 = 16 * 1_024 * 1_024;

/// A connection to one MCP server.
pub(super) struct McpClient {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    next_id: u64,
}

impl McpClient {
    /// Starts the server and shakes hands; looks at its tools, as agents do.
    pub(super) fn start(command: &[String], client: &str) -> anyhow::Result<Self> {
        let (program, arguments) = command.split_first().context("an MCP server without a command")?;
        let spawned = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn();
        let mut child = spawned.with_context(|| format!("cannot start `{program}`"))?;
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().context("a child without standard output")?);
        let mut server = Self { child, input, output, next_id: 1 };
        let hello = json!({"protocolVersion": PROTOCOL, "capabilities": {},
            "clientInfo": {"name": client, "version": env!("CARGO_PKG_VERSION")}});
        server.request("initialize", &hello)?.get("result").context("the server refused to initialize")?;
        server.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}))?;
        server.request("tools/list", &json!({}))?.get("result").context("the server lists no tools")?;
        Ok(server)
    }

    /// Calls a tool; gives the whole response, or nothing when the server hung up without one.
    pub(super) fn call(&mut self, tool: &str, args: &Value) -> anyhow::Result<Option<Value>> {
        let params = json!({"name": tool, "arguments": args});
        match self.request("tools/call", &params) {
            Ok(response) => Ok(Some(response)),
            Err(error) if error.downcast_ref::<std::io::Error>().is_some() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Hangs up and waits until the server has ended.
    pub(super) fn close(mut self) -> anyhow::Result<()> {
        drop(self.input.take());
        self.child.wait()?;
        Ok(())
    }

    fn request(&mut self, method: &str, params: &Value) -> anyhow::Result<Value> {
        let id = self.next_id;
        self.next_id += 1;
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}))?;
        loop {
            let message = self.receive()?;
            if message.get("id").and_then(Value::as_u64) == Some(id) {
                return Ok(message);
            }
            if message.get("method").is_none() {
                bail!("the server answered something that was not asked");
            }
        }
    }

    fn send(&mut self, message: &Value) -> anyhow::Result<()> {
        let input = self.input.as_mut().context("the connection is closed")?;
        writeln!(input, "{message}")?;
        Ok(input.flush()?)
    }

    fn receive(&mut self) -> anyhow::Result<Value> {
        let mut line = String::new();
        if (&mut self.output).take(LINE_MAX_BYTES).read_line(&mut line)? == 0 {
            return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
        }
        serde_json::from_str(&line).context("the server wrote a line that is not JSON")
    }
}

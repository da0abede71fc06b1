//! An MCP server for tests: it writes every line it reads to a file and behaves as the tool's name says.
//!
//! Arguments: path of the file, then optionally `linger` (does not exit when its input ends) or `deaf`
//! (reads nothing).

#![expect(clippy::indexing_slicing, reason = "indexing a JSON value gives null, it never panics")]

use std::fs::OpenOptions;
use std::io::{self, BufRead as _, Write as _};

use serde_json::{Value, json};

/// The exact text of the list, so that a test can digest one definition.
const TOOLS: &str = r#"[{"name": "echo", "inputSchema":{"type":"object"}},{"name":"hang","inputSchema":{}}]"#;

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or_else(|| io::Error::other("the path of a log file is missing"))?;
    let how = arguments.next();
    let lingers = how.as_deref() == Some("linger");
    if how.as_deref() == Some("deaf") {
        loop {
            std::thread::park();
        }
    }
    let mut log = OpenOptions::new().create(true).append(true).open(path)?;
    let (mut on_cancel, mut at_end) = (Vec::new(), Vec::new());
    for line in io::stdin().lock().lines() {
        let line = line?;
        writeln!(log, "{line}")?;
        let frame: Value = serde_json::from_str(&line)?;
        match frame["params"]["name"].as_str() {
            Some("error_on_cancel" | "result_on_cancel") => on_cancel.push(frame),
            Some("answer_at_end") => at_end.push(frame),
            _ => react(&frame, &on_cancel)?,
        }
    }
    for frame in at_end {
        say(&result(&frame, &json!({"content": [{"type": "text", "text": "late"}]})))?;
    }
    writeln!(log, "end of input")?;
    if lingers {
        loop {
            std::thread::park();
        }
    }
    Ok(())
}

fn react(frame: &Value, on_cancel: &[Value]) -> io::Result<()> {
    let arguments = &frame["params"]["arguments"];
    if let Some(lines) = frame["params"]["_meta"]["test/say"].as_array() {
        // exact lines in place of an answer; `$ID` stands for the id
        return lines.iter().try_for_each(|line| {
            say(&line.as_str().unwrap_or_default().replace("$ID", &frame["id"].to_string()))
        });
    }
    if let Some(answer) = frame["params"]["answer"].as_str() {
        // the exact text of a result
        return say(&format!(r#"{{"jsonrpc":"2.0","id":{},"result":{answer}}}"#, frame["id"]));
    }
    match (frame["method"].as_str(), frame["params"]["name"].as_str()) {
        (Some("initialize"), _) => {
            say(&result(frame, &json!({"protocolVersion": "2025-11-25", "capabilities": {}})))
        }
        (Some("ping"), _) => say(&result(frame, &json!({}))),
        (Some("tools/list"), _) => {
            if let Some(line) = frame["params"]["say"].as_str() {
                say(line)?;
            }
            say(&format!(r#"{{"jsonrpc":"2.0","id":{},"result":{{"tools":{TOOLS}}}}}"#, frame["id"]))
        }
        (Some("notifications/cancelled"), _) => {
            let id = &frame["params"]["requestId"];
            match on_cancel.iter().find(|call| call["id"] == *id) {
                Some(call) if call["params"]["name"] == "error_on_cancel" => say(&error(call)),
                Some(call) => say(&result(call, &json!({"content": []}))),
                None => Ok(()),
            }
        }
        (Some("tools/call"), Some("echo")) => {
            say(&result(frame, &json!({"content": [{"type": "text", "text": arguments.to_string()}]})))
        }
        (Some("tools/call"), Some("fail")) => say(&result(frame, &json!({"content": [], "isError": true}))),
        (Some("tools/call"), Some("refuse")) => say(&error(frame)),
        (Some("tools/call"), Some("ask_input")) => {
            say(&result(frame, &json!({"resultType": "input_required", "requestState": "s"})))
        }
        (Some("tools/call"), Some("emit")) => {
            for line in arguments["lines"].as_array().into_iter().flatten() {
                say(line.as_str().unwrap_or_default())?;
            }
            say(&result(frame, &json!({"content": []})))
        }
        (Some("tools/call"), Some("half")) => {
            let mut out = io::stdout().lock();
            out.write_all(arguments["text"].as_str().unwrap_or_default().as_bytes())?;
            out.flush()
        }
        (Some("tools/call"), Some("skipped")) => {
            let bytes = usize::try_from(arguments["bytes"].as_u64().unwrap_or(0)).unwrap_or(0);
            let text = "x".repeat(bytes);
            say(&format!(r#"{{"jsonrpc":"2.0","result":{{"text":"{text}"}},"id":{}}}"#, frame["id"]))
        }
        (Some("tools/call"), Some("big")) => {
            let bytes = usize::try_from(arguments["bytes"].as_u64().unwrap_or(0)).unwrap_or(0);
            say(&"x".repeat(bytes))?;
            say(&result(frame, &json!({"content": []})))
        }
        (Some("tools/call"), Some("write")) => {
            let text = |name: &str| arguments[name].as_str().unwrap_or_default();
            std::fs::write(text("path"), text("content"))?;
            say(&result(frame, &json!({"content": []})))
        }
        (Some("tools/call"), Some("remove_and_exit")) => {
            std::fs::remove_file(arguments["path"].as_str().unwrap_or_default())?;
            std::process::exit(7)
        }
        (Some("tools/call"), Some("exit")) => std::process::exit(7),
        _ => Ok(()),
    }
}

fn result(request: &Value, result: &Value) -> String {
    // spacing that no serialiser would choose: it must arrive unchanged
    format!(r#"{{"jsonrpc": "2.0","id":{} ,"result":{result}}}"#, request["id"])
}

fn error(request: &Value) -> String {
    json!({"jsonrpc": "2.0", "id": request["id"], "error": {"code": -32_602, "message": "no"}}).to_string()
}

fn say(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

//! The page of `deeds status`.

use serde_json::Value;

use super::text::{safe, time};
use super::tree;

/// Members that the page tells in words.
const TOLD: [&str; 11] = [
    "server",
    "data",
    "origin",
    "log_vkey",
    "log_id",
    "sequenced",
    "published",
    "checkpoint_ms",
    "size",
    "complete",
    "runs",
];

/// Server, log and counts.
pub(crate) fn page(status: &Value, width: usize) -> String {
    let text = |pointer: &str| match status.pointer(pointer) {
        Some(Value::String(text)) => safe(text).into_owned(),
        Some(Value::Null) | None => "none".to_owned(),
        Some(other) => other.to_string(),
    };
    let signed = status.get("checkpoint_ms").and_then(Value::as_u64).map(time);
    let published = status.get("published").and_then(Value::as_u64).unwrap_or_default() > 0;
    let unsigned = if published { "its time is not known here" } else { "none yet" };
    let signed = signed.map_or_else(|| unsigned.to_owned(), |at| format!("written {at}"));
    let lines = [
        ("server", format!("deeds {}, process {}", text("/server/version"), text("/server/pid"))),
        ("socket", text("/server/socket")),
        ("data directory", text("/data")),
        ("log", text("/origin")),
        ("log key", text("/log_vkey")),
        ("log id", text("/log_id")),
        ("entries in the log", text("/sequenced")),
        ("newest checkpoint", format!("{signed}; {} of the entries are under it", text("/published"))),
        ("runs", text("/runs")),
    ];
    let mut out = String::new();
    for (name, value) in lines {
        tree::line(&mut out, name, &value, "", 0, width);
    }
    let rest = status.as_object().into_iter().flatten().filter(|(name, _)| !TOLD.contains(&name.as_str()));
    out.push_str(&tree::members(&rest.map(|(name, value)| (name.clone(), value.clone())).collect(), width));
    out
}

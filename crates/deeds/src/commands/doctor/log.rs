//! The server and its log, as they say themselves.

use std::collections::BTreeMap;

use ::policy::{PolicyError, PolicySet};
use capture::client::{Client, ClientError};
use serde_json::{Value, json};

use super::{Check, Level};
use crate::clock;
use crate::config::Config;
use crate::connect::Server;
use crate::render::fact;
use crate::render::text::{age, count};

/// Actions that are looked through for tools and sources.
const ACTIONS_MAX: usize = 1_000;
/// Actions of one page.
const PAGE: usize = 200;
/// Tools and sources that are named.
const NAMED_MAX: usize = 10;
/// What servers ask for: rules name it, and the class table has no say in it.
const ASKED_BY_SERVERS: [&str; 3] = ["#sampling/createMessage", "#elicitation/create", "#roots/list"];
/// Entries that an index may be behind without anybody noticing.
const LAG_FINE: u64 = 1_000;

/// What the other parts want to know.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Digest of the policy in force.
    pub(super) policy: Option<String>,
    /// Whether a principal is registered.
    pub(super) principals: bool,
}

pub(super) fn running(config: &Config, server: &Server) -> Check {
    let hello = &server.hello;
    let text = format!("the server runs: deeds {}, process {}", hello.version, hello.pid);
    let same = hello.version == env!("CARGO_PKG_VERSION");
    let level = if same { Level::Fine } else { Level::Note };
    Check::new(
        "server",
        level,
        text,
        json!({"running": true, "pid": hello.pid, "version": hello.version,
        "origin": hello.origin, "data": config.data}),
    )
}

/// No server: that is nothing wrong as long as it would start when it is needed.
pub(super) fn down(config: &Config, error: &anyhow::Error) -> Check {
    let data = json!({"running": false});
    let unreachable = matches!(error.downcast_ref(), Some(ClientError::Unreachable { .. }));
    match (unreachable, config.is_system_client()) {
        (true, false) => {
            let text = "no server runs: it is started when it is needed. What only it can tell (log, policy in force) is left \
                        out here";
            Check::new("server", Level::Note, text, data)
        }
        (true, true) => {
            let text = "no server answers, and nobody but its keeper starts it: `systemctl status deeds`";
            Check::new("server", Level::Wrong, text, data)
        }
        (false, _) => Check::new("server", Level::Wrong, crate::chain(error), data),
    }
}

/// What the server knows.
pub(super) async fn look(config: &Config, server: &Server, known: &mut Known) -> Vec<Check> {
    let mut checks = Vec::new();
    known.policy = Some(server.hello.policy.digest.clone());
    checks.extend(policy(server));
    match server.client.get_json::<Value>("/v1/status").await {
        Ok(status) => checks.extend(log(config, &status)),
        Err(error) => checks.push(failed(&error)),
    }
    match server.client.get_json::<Value>("/v1/principals").await {
        Ok(answer) => {
            let rows = answer.get("principals").and_then(Value::as_array);
            known.principals =
                rows.is_some_and(|rows| rows.iter().any(|row| row.get("retired").is_none_or(Value::is_null)));
        }
        Err(error) => checks.push(failed(&error)),
    }
    match actions(&server.client).await {
        Ok(rows) => {
            checks.extend((!rows.is_empty()).then(|| unclassified(&rows)));
            checks.push(sources(&rows));
        }
        Err(error) => checks.push(failed(&error)),
    }
    checks
}

fn failed(error: &ClientError) -> Check {
    Check::new("log", Level::Wrong, format!("the server gives no answer: {error}"), Value::Null)
}

fn policy(server: &Server) -> Vec<Check> {
    let hello = &server.hello;
    let text = format!("in force: {} from {}", hello.policy.digest, hello.policy.source);
    let data = json!({"digest": hello.policy.digest, "source": hello.policy.source});
    let mut checks = vec![Check::new("policy", Level::Fine, text, data)];
    checks.extend(hello.policy_warnings.iter().map(|warning| {
        Check::new("policy", Level::Note, format!("it warns: {warning}"), json!({"warning": warning}))
    }));
    checks
}

fn log(config: &Config, status: &Value) -> Vec<Check> {
    let number = |pointer: &str| status.pointer(pointer).and_then(Value::as_u64).unwrap_or_default();
    let (entries, folded, published) = (number("/sequenced"), number("/size"), number("/published"));
    let lag = entries.saturating_sub(folded);
    let index = match lag {
        0 => "the index, from which answers come, is up to date".to_owned(),
        lag => format!("the index, from which answers come, is {} behind", count(lag, "entry", "entries")),
    };
    let mut checks = vec![Check::new(
        "log",
        if lag <= LAG_FINE { Level::Fine } else { Level::Note },
        format!("{entries} entries, {published} of them under a signed checkpoint; {index}"),
        json!({"entries": entries, "published": published, "index_lag": lag}),
    )];
    let text = "no witness cosigns the checkpoints: a log that was rolled back as a whole is seen only by somebody who \
                kept a newer checkpoint";
    checks.push(Check::new("log", Level::Note, text, json!({"witness": null})));
    let seen = |kind: &str| number(&format!("/entries/{kind}"));
    for (kind, told) in [
        ("gap", "something could not be recorded, or was damaged"),
        ("clock-adjusted", "the clock jumped while the log was written"),
        ("definition-changed", "a tool, a server or a client configuration changed"),
    ] {
        let n = seen(kind);
        let topic = if kind == "clock-adjusted" { "clock" } else { "log" };
        if n > 0 {
            let text = format!("{n} × `{kind}`: {told}; `deeds gaps` lists them");
            checks.push(Check::new(topic, Level::Note, text, json!({"kind": kind, "entries": n})));
        } else if kind == "clock-adjusted" {
            checks.push(Check::new(
                topic,
                Level::Fine,
                "no jump of the clock is recorded",
                json!({"steps": 0}),
            ));
        }
    }
    if let Some(findings) = status.get("findings").and_then(Value::as_array).filter(|list| !list.is_empty()) {
        let text = format!(
            "the log found its own evidence damaged: `deeds status` shows it; data in `{}`",
            config.data.display()
        );
        checks.push(Check::new("log", Level::Wrong, text, json!({"findings": findings})));
    }
    checks
}

/// The latest actions.
async fn actions(client: &Client) -> Result<Vec<Value>, ClientError> {
    let mut rows: Vec<Value> = Vec::new();
    while rows.len() < ACTIONS_MAX {
        let before = rows.last().and_then(|row| row.get("index")).and_then(Value::as_u64);
        let before = before.map(|index| format!("&before={index}")).unwrap_or_default();
        let answer: Value = client.get_json(&format!("/v1/did?limit={PAGE}{before}")).await?;
        let page = answer.get("actions").and_then(Value::as_array).cloned().unwrap_or_default();
        let last = page.len() < PAGE;
        rows.extend(page);
        if last {
            break;
        }
    }
    Ok(rows)
}

/// Tools that were called and have no row in the class table.
fn unclassified(rows: &[Value]) -> Check {
    let mut tools: Vec<String> = rows
        .iter()
        .filter(|row| row.pointer("/class/value/classified") == Some(&Value::Bool(false)))
        .map(|row| fact::text(row, "tool", ""))
        .filter(|tool| !ASKED_BY_SERVERS.iter().any(|method| tool.ends_with(method)))
        .collect();
    tools.sort();
    tools.dedup();
    if tools.is_empty() {
        let text = format!(
            "every tool that was called has a row in the class table (of the latest {} acts)",
            rows.len()
        );
        return Check::new("policy", Level::Fine, text, json!({"unclassified": []}));
    }
    let named: Vec<String> = tools.iter().take(NAMED_MAX).map(|tool| format!("`{tool}`")).collect();
    let more = tools.len().saturating_sub(NAMED_MAX);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let text = format!(
        "tools were called that have no row in `classes.toml`, so they count as unclassified: {}{more}",
        named.join(", ")
    );
    Check::new("policy", Level::Note, text, json!({"unclassified": tools}))
}

/// When each server was last used.
fn sources(rows: &[Value]) -> Check {
    let mut last: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for row in rows {
        let number = |name: &str| row.get(name).and_then(Value::as_u64).unwrap_or_default();
        let tool = fact::text(row, "tool", "");
        let source = tool.split('#').next().unwrap_or_default().to_owned();
        // the newest comes first
        last.entry(source).or_insert((number("index"), number("observed_ms")));
    }
    if last.is_empty() {
        return Check::new("log", Level::Note, "no act was recorded yet", json!({"sources": {}}));
    }
    let now = clock::now_ms();
    let told: Vec<String> = last
        .iter()
        .take(NAMED_MAX)
        .map(|(source, (index, at))| format!("{source} @{index} ({} ago)", age(now.saturating_sub(*at))))
        .collect();
    let data: BTreeMap<_, _> =
        last.iter().map(|(source, (index, at))| (source, json!({"index": index, "at_ms": at}))).collect();
    Check::new(
        "log",
        Level::Fine,
        format!("last act of each server: {}", told.join(", ")),
        json!({"sources": data}),
    )
}

/// Whether the configured policy can be used, and is the one in force.
pub(super) fn policy_directory(config: &Config, in_force: Option<&str>) -> Option<Check> {
    let dir = config.policy.as_ref()?;
    let name = dir.display();
    let check = match PolicySet::load(dir) {
        Ok(set) => {
            let digest = set.digest();
            let data = json!({"dir": dir, "digest": digest});
            match in_force {
                Some(in_force) if in_force != digest => {
                    let text =
                        format!("`{name}` differs from the policy in force: `deeds policy activate {name}`");
                    Check::new("policy", Level::Note, text, data)
                }
                _ => Check::new(
                    "policy",
                    Level::Fine,
                    format!("the configured directory `{name}` is sound"),
                    data,
                ),
            }
        }
        Err(error) => {
            let text = format!(
                "the configured directory `{name}` cannot be used, so no server starts: {}",
                why(&error, &name.to_string())
            );
            Check::new("policy", Level::Wrong, text, json!({"dir": dir}))
        }
    };
    Some(check)
}

/// On one line: the first problem, and how many more there are.
fn why(error: &PolicyError, dir: &str) -> String {
    let PolicyError::Refused(found) = error else { return error.to_string() };
    let Some(first) = found.first() else { return "it is refused".to_owned() };
    let first = first.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    let more = match found.len() - 1 {
        0 => String::new(),
        1 => ", and 1 more problem".to_owned(),
        n => format!(", and {n} more problems"),
    };
    format!("{first}{more} (`deeds policy check {dir}`)")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(tool: &str, classified: bool, index: u64) -> Value {
        json!({"index": index, "observed_ms": 1_000, "tool": {"value": tool, "check": "not-checked"},
            "class": {"value": {"classes": ["read"], "classified": classified}, "check": "not-checked"}})
    }

    #[test]
    fn tools_without_a_row_are_named_once() {
        let rows = [
            row("stdio:fs#read", true, 9),
            row("stdio:fs#odd", false, 8),
            row("stdio:fs#roots/list", false, 7),
            row("stdio:fs#odd", false, 6),
        ];
        let check = unclassified(&rows);
        assert_eq!((check.level, &check.data), (Level::Note, &json!({"unclassified": ["stdio:fs#odd"]})));
        let many: Vec<Value> = (0..12).map(|n| row(&format!("stdio:fs#t{n:02}"), false, n)).collect();
        assert!(
            unclassified(&many).text.ends_with("`stdio:fs#t09` and 2 more"),
            "{}",
            unclassified(&many).text
        );
        assert_eq!(unclassified(&rows[..1]).level, Level::Fine);
    }

    #[test]
    fn what_is_wrong_with_a_policy_is_told_on_one_line() {
        let dir = tempfile::tempdir().unwrap();
        let config = Config { policy: Some(dir.path().to_owned()), ..Config::default() };
        std::fs::write(dir.path().join("a.cedar"), "permit (principal, action);\n").unwrap();
        std::fs::write(dir.path().join("classes.toml"), "[[tool]]\nuri = 7\n").unwrap();
        let check = policy_directory(&config, None).unwrap();
        assert!(check.level == Level::Wrong && !check.text.contains('\n'), "{}", check.text);
        assert!(check.text.contains("deeds policy check"), "{}", check.text);
    }

    #[test]
    fn the_newest_act_of_each_server_is_told() {
        let check =
            sources(&[row("stdio:fs#a", true, 9), row("stdio:git#b", true, 8), row("stdio:fs#c", true, 7)]);
        assert_eq!(check.data["sources"]["stdio:fs"]["index"], 9);
        assert_eq!(check.data["sources"]["stdio:git"]["index"], 8);
        assert_eq!(sources(&[]).level, Level::Note);
    }

    #[test]
    fn what_the_counts_of_the_log_mean_is_told() {
        let status = json!({"sequenced": 5_000, "size": 10, "published": 4, "entries": {"gap": 2, "clock-adjusted": 1}});
        let checks = log(&Config::default(), &status);
        let has = |topic: &str, told: &str| {
            checks.iter().any(|check| check.topic == topic && check.text.contains(told))
        };
        assert!(
            has("log", "is 4990 entries behind")
                && has("log", "2 × `gap`")
                && has("clock", "the clock jumped")
        );
        let calm =
            log(&Config::default(), &json!({"sequenced": 5, "size": 5, "published": 4, "entries": {}}));
        assert!(calm.iter().any(|check| check.topic == "clock" && check.level == Level::Fine), "{calm:?}");
    }
}

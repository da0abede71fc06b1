//! `deeds doctor`: what is wired, how the server and its machine are, and what all this can and cannot prove. It
//! changes nothing, starts nothing, and works without a server.

mod host;
mod log;
mod proof;
mod wires;

use serde_json::{Value, json};

use crate::Outcome;
use crate::config::Config;
use crate::connect::connect_running;
use crate::environment::Environment;
use crate::output::{Output, print_json, print_text};
use crate::render;

/// How much somebody should care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    /// As it should be.
    Fine,
    /// Worth knowing.
    Note,
    /// To be put right.
    Wrong,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq)]
struct Check {
    topic: &'static str,
    level: Level,
    /// For people.
    text: String,
    /// For machines.
    data: Value,
}

impl Check {
    fn new(topic: &'static str, level: Level, text: impl Into<String>, data: Value) -> Self {
        Self { topic, level, text: text.into(), data }
    }

    fn json(&self) -> Value {
        let level = match self.level {
            Level::Fine => "fine",
            Level::Note => "note",
            Level::Wrong => "wrong",
        };
        json!({"topic": self.topic, "level": level, "text": self.text, "data": self.data})
    }
}

/// Looks at everything.
pub(crate) async fn run(
    config: &Config,
    environment: &Environment,
    output: Output,
) -> anyhow::Result<Outcome> {
    let (wiring, mut checks) = wires::look(config, environment)?;
    let server = connect_running(config).await;
    let mut known = log::Known::default();
    match &server {
        Ok(server) => {
            checks.push(log::running(config, server));
            checks.extend(log::look(config, server, &mut known).await);
        }
        Err(error) => checks.push(log::down(config, error)),
    }
    checks.extend(host::look(config, server.is_ok()));
    checks.extend(log::policy_directory(config, known.policy.as_deref()));
    let keys = host::keys(config);
    checks.extend(keys.checks());
    let wrong = checks.iter().filter(|check| check.level == Level::Wrong).count();
    let report = json!({
        "wiring": wiring,
        "checks": checks.iter().map(Check::json).collect::<Vec<_>>(),
        "proves": proof::can(&keys, &known),
        "does_not_prove": proof::cannot(config, &keys),
        "wrong": wrong,
    });
    if output.json {
        print_json(&report)?;
    } else {
        print_text(&render::doctor::page(&report, output.width))?;
    }
    Ok(if wrong == 0 { Outcome::Fine } else { Outcome::Finding })
}

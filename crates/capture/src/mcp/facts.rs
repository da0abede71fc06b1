//! What the wrapped server is, by digests: its command, its executable, the environment that decides which code it
//! loads, and the package that it comes from.
//!
//! All but the package is known before the server starts. The package is looked for once the server has said
//! something, because what `npx` and `uvx` start comes later than they do. Every run that acts are decided in is told
//! before its first act, so that a policy which pins these digests has them.

use std::collections::BTreeMap;
use std::sync::Arc;

use evidence::Digest;
use evidence::definition::command_digest;
use serde_json::{Map, Value};
use tokio::sync::watch;
use tokio::time::timeout;

use super::package::{self, Started};
use super::proxy::Proxy;
use crate::api::{Define, Defined};
use crate::limits::FACTS_WAIT;
use crate::run::{Run, RunOptions};

/// The variables that decide which code a server loads. Of these the values count, of others nothing.
pub const ENVIRONMENT: [&str; 9] = [
    "PATH",
    "LD_PRELOAD",
    "LD_LIBRARY_PATH",
    "NODE_OPTIONS",
    "NODE_PATH",
    "PYTHONPATH",
    "PYTHONHOME",
    "PYTHONSTARTUP",
    "VIRTUAL_ENV",
];

/// Digest string of the environment that a server gets: of the JCS of {name: digest string of the value}, of those in
/// [`ENVIRONMENT`] that are set.
pub fn environment_digest(value_of: impl Fn(&str) -> Option<Vec<u8>>) -> String {
    let set = ENVIRONMENT.iter().filter_map(|name| {
        let value = value_of(name)?;
        Some(((*name).to_owned(), Value::from(Digest::of(&value).to_string())))
    });
    let set: Map<String, Value> = set.collect();
    Digest::of(&evidence::json::jcs(&Value::Object(set))).to_string()
}

/// What has happened that makes it worth while to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    Nothing,
    /// An act is asked for, and the server has not said anything.
    ActFirst,
    /// The server has said something.
    Spoke,
}

/// How far it is known what the server is.
#[derive(Debug, Clone, Default)]
struct Found {
    /// 0 before anybody looked, 1 when it was too early to find a package, 2 for good.
    stage: u8,
    package: Option<String>,
}

/// What is known of the server.
pub(crate) struct Facts {
    before: BTreeMap<String, String>,
    seen: watch::Sender<Seen>,
    found: watch::Sender<Found>,
}

impl Facts {
    pub(super) fn new(options: &RunOptions) -> Self {
        let known = [
            ("command", Some(command_digest(&options.command).to_string())),
            ("executable", options.about.executable.clone()),
            ("environment", options.about.environment.clone()),
        ];
        let before = known.into_iter().filter_map(|(name, digest)| Some((name.to_owned(), digest?)));
        Self {
            before: before.collect(),
            seen: watch::Sender::new(Seen::Nothing),
            found: watch::Sender::new(Found::default()),
        }
    }

    /// The server has said something.
    pub(super) fn spoke(&self) {
        self.seen.send_if_modified(|seen| core::mem::replace(seen, Seen::Spoke) != Seen::Spoke);
    }

    fn act_comes(&self) {
        self.seen.send_if_modified(|seen| {
            let is_first = *seen == Seen::Nothing;
            if is_first {
                *seen = Seen::ActFirst;
            }
            is_first
        });
    }

    async fn wait_for(&self, enough: impl FnMut(&Seen) -> bool) {
        // the sender lives as long as we do
        let _ = self.seen.subscribe().wait_for(enough).await;
    }

    fn stage(&self) -> u8 {
        self.found.borrow().stage
    }

    /// Waits until somebody has looked. One wait in vain is enough: from then on nothing is waited for.
    async fn looked(&self) -> Found {
        if self.stage() == 0 {
            let mut found = self.found.subscribe();
            if timeout(FACTS_WAIT, found.wait_for(|found| found.stage > 0)).await.is_err() {
                self.found.send_if_modified(|found| {
                    let nobody_looked = found.stage == 0;
                    found.stage = found.stage.max(1);
                    nobody_looked
                });
            }
        }
        self.found.borrow().clone()
    }

    fn message(&self, found: &Found) -> Define {
        let package = found.package.iter().map(|digest| ("package".to_owned(), digest.clone()));
        Define {
            stream: 0,
            list: Defined::Server,
            names: self.before.clone().into_iter().chain(package).collect(),
            gone: Vec::new(),
            // before the server has spoken, what was not found may still come
            complete: found.stage > 1,
            frame_digest: None,
        }
    }
}

impl Proxy {
    /// Finds out from which package the server comes, once there is reason to, and tells the wrap's own run.
    pub(super) async fn find_out(self: Arc<Self>, started: Option<Started>) {
        self.facts.wait_for(|seen| *seen != Seen::Nothing).await;
        let spoke_first = *self.facts.seen.borrow() == Seen::Spoke;
        let package = look(started.clone()).await;
        let stage = if spoke_first || package.is_some() { 2 } else { 1 };
        self.facts.found.send_replace(Found { stage, package });
        self.server_is_known(&self.run).await;
        if stage == 1 {
            self.facts.wait_for(|seen| *seen == Seen::Spoke).await;
            self.facts.found.send_replace(Found { stage: 2, package: look(started).await });
            self.server_is_known(&self.run).await;
        }
    }

    /// Sees to it that the log knows what the server is before an act is decided in this run. Waits only so long: an
    /// act whose policy pins what is not known is refused.
    pub(super) async fn server_is_known(&self, run: &Run) {
        self.facts.act_comes();
        let found = self.facts.looked().await;
        let mut told = run.facts_told.lock().await;
        if *told >= found.stage {
            return;
        }
        match run.define(self.facts.message(&found)).await {
            Ok(answer) => {
                *told = found.stage;
                if !answer.changed.is_empty() {
                    tracing::warn!(
                        changed = ?answer.changed,
                        "the MCP server is not what it was; see `deeds definitions`"
                    );
                }
            }
            Err(error) => tracing::debug!(%error, "what the MCP server is could not be recorded yet"),
        }
    }
}

async fn look(started: Option<Started>) -> Option<String> {
    let started = started?;
    let looking = tokio::task::spawn_blocking(move || package::digest(&started));
    timeout(FACTS_WAIT, looking).await.ok()?.ok()?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_is_known_by_names_and_digests_of_values() {
        let value_of = |name: &str| match name {
            "PATH" => Some(b"/bin".to_vec()),
            "NODE_OPTIONS" => Some(vec![0xff]),
            "HOME" => Some(b"/root".to_vec()),
            _ => None,
        };
        let expected = serde_json::json!({
            "NODE_OPTIONS": Digest::of(&[0xff]).to_string(),
            "PATH": Digest::of(b"/bin").to_string(),
        });
        let expected = Digest::of(&evidence::json::jcs(&expected)).to_string();
        assert_eq!(environment_digest(value_of), expected);
        assert_eq!(environment_digest(|_| None), Digest::of(b"{}").to_string());
    }

    #[test]
    fn what_was_not_found_may_come_until_the_server_has_spoken() {
        let facts = Facts {
            before: BTreeMap::from([("command".into(), "c".into())]),
            seen: watch::Sender::new(Seen::Nothing),
            found: watch::Sender::new(Found::default()),
        };
        let early = facts.message(&Found { stage: 1, package: None });
        assert_eq!((early.complete, early.names.len()), (false, 1));
        let known = facts.message(&Found { stage: 2, package: Some("p".into()) });
        assert_eq!((known.complete, known.names.get("package").map(String::as_str)), (true, Some("p")));
        facts.act_comes();
        facts.spoke();
        facts.act_comes();
        assert_eq!(*facts.seen.borrow(), Seen::Spoke);
    }
}

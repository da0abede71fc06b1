//! What the log says of a task, matched with what those who worked on it were answered.

use std::collections::BTreeSet;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use super::player::agent::Reported;
use crate::connect::Server;
use crate::render::fact;

/// One call: what its caller was told, and what the log has.
pub(super) struct Done {
    /// The caller's side.
    pub(super) reported: Reported,
    /// Position of the decision.
    pub(super) index: u64,
    /// `allow` or `deny`.
    pub(super) verdict: String,
    /// Code of the reason of a refusal.
    pub(super) code: String,
    /// Which step refused.
    pub(super) step: String,
    /// Words of the reason.
    pub(super) reason: String,
    /// What came of it; empty for a refusal.
    pub(super) status: String,
    /// Id of the run.
    pub(super) run: String,
}

/// A task.
pub(super) struct Task {
    /// Its id.
    pub(super) id: String,
    /// The server's answer to `did`, newest first.
    pub(super) answer: Value,
    /// The answer to `runs`, as far as it is about this task.
    pub(super) runs: Value,
    /// In the order of the calls.
    pub(super) done: Vec<Done>,
}

impl Task {
    /// The first call of one part of the story.
    pub(super) fn first(&self, part: &str) -> anyhow::Result<&Done> {
        self.part(part).first().copied().with_context(|| format!("nothing of the part `{part}` was recorded"))
    }

    /// Whether a part was played and all of it went like this.
    pub(super) fn all(&self, part: &str, holds: impl Fn(&Done) -> bool) -> bool {
        let part = self.part(part);
        !part.is_empty() && part.iter().all(|done| holds(done))
    }

    /// The calls of one part of the story.
    pub(super) fn part(&self, part: &str) -> Vec<&Done> {
        self.done.iter().filter(|done| done.reported.part == part).collect()
    }
}

impl Done {
    /// Allowed, and done.
    pub(super) fn succeeded(&self) -> bool {
        self.verdict == "allow" && self.status == "ok"
    }

    /// Refused at this step.
    pub(super) fn refused_at(&self, step: &str) -> bool {
        self.verdict == "deny" && self.step == step
    }

    /// Refused by this policy.
    pub(super) fn refused_by(&self, policy: &str) -> bool {
        self.verdict == "deny" && self.reason.contains(&format!("`{policy}`"))
    }

    /// One line about it.
    pub(super) fn line(&self) -> String {
        let args = self.reported.args.to_string();
        let args: String = args.chars().take(100).collect();
        if self.verdict == "allow" {
            format!("@{} {} {args}: {}", self.index, self.reported.uri, self.status)
        } else {
            format!("@{} {}", self.index, self.reported.words())
        }
    }

    /// For `--json`.
    pub(super) fn to_json(&self) -> Value {
        json!({"tool": self.reported.uri, "args": self.reported.args, "decision": self.index,
            "verdict": self.verdict, "reason": {"code": self.code, "step": self.step, "text": self.reason},
            "status": self.status, "told": self.reported.words(), "succeeded": self.reported.succeeded()})
    }
}

/// Asks the server what was done in the one task that somebody worked on.
pub(super) async fn task(server: &Server, who: &str, reported: &[Reported]) -> anyhow::Result<Task> {
    let last = server.client.hello().await?.size.saturating_sub(1);
    let mut runs: Value = server.client.get_json(&format!("/v1/runs?limit=50&wait={last}")).await?;
    let rows = runs.get_mut("runs").and_then(Value::as_array_mut).context("the answer lists no runs")?;
    let task = |run: &Value| fact::text(run, "task", "");
    let theirs = rows.iter().filter(|run| fact::text(run, "holder", "/id") == who);
    let tasks: BTreeSet<String> = theirs.map(task).collect();
    ensure!(tasks.len() == 1, "the runs of {who} belong to {} tasks, not to one", tasks.len());
    let id = tasks.into_iter().next().unwrap_or_default();
    rows.retain(|run| task(run) == id);
    let answer: Value = server.client.get_json(&format!("/v1/did?task={id}&limit=100&wait={last}")).await?;
    let actions = answer.get("actions").and_then(Value::as_array).context("the answer lists no actions")?;
    ensure!(
        actions.len() == reported.len(),
        "{who} and those it worked with made {} calls, and the log has {} decisions",
        reported.len(),
        actions.len()
    );
    // they call one after the other, so the log's order is theirs
    let done = actions.iter().rev().zip(reported).map(|(action, reported)| matched(action, reported));
    let done = done.collect::<anyhow::Result<_>>()?;
    Ok(Task { id, answer, runs, done })
}

fn matched(action: &Value, reported: &Reported) -> anyhow::Result<Done> {
    let uri = &reported.uri;
    let index = action.get("index").and_then(Value::as_u64).context("an action without a position")?;
    let recorded = fact::text(action, "tool", "");
    ensure!(recorded == *uri, "the agent called `{uri}`, and @{index} is about `{recorded}`");
    let outcome = action.get("outcome").unwrap_or(&Value::Null);
    Ok(Done {
        reported: reported.clone(),
        index,
        verdict: fact::text(action, "verdict", ""),
        code: fact::text(action, "reason", "/code"),
        step: fact::text(action, "reason", "/step"),
        reason: fact::text(action, "reason", "/text"),
        status: fact::text(outcome, "status", ""),
        run: action.get("run").and_then(Value::as_str).unwrap_or_default().to_owned(),
    })
}

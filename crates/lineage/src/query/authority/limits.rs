//! What the evidence about one action does not prove (DESIGN §3, invariant 11), in sentences.

use evidence::delegation::Source;

use super::checks::Checked;
use super::{Committed, assurance};
use crate::answer::Fact;
use crate::record::Record;

/// The sentences that apply, the most important first.
pub(super) fn not_proven(
    decision: &Record,
    finished: Option<&Record>,
    started: Option<&Record>,
    checked: &Checked,
    committed: &Committed,
) -> Vec<String> {
    let mut limits = person(decision, checked);
    limits.extend(act(decision, checked));
    limits.extend(agent(decision, started));
    limits.extend(outcome(decision, finished));
    limits.extend(log(decision, committed));
    limits
}

fn person(decision: &Record, checked: &Checked) -> Vec<String> {
    let sentence = match checked.delegation.as_ref().map(|delegation| &delegation.root.source) {
        Some(Source::PeerCredentials { uid }) => format!(
            "Which person is behind it: the operating system vouches for user id {uid} of the process and for nothing \
             else, so the person is inferred."
        ),
        Some(Source::KeyRequest { kid, .. }) => format!(
            "That the person used the key `{kid}`: whoever can read its file can sign with it, and an agent of the same \
             user can."
        ),
        None => "On whose authority it was done: no delegation of it could be checked.".to_owned(),
    };
    let mut sentences = vec![sentence];
    if assurance(decision, "holder").is_some_and(|label| label.as_str() == "inferred") {
        sentences.push("Which program holds the agent's key: the holder's name is inferred.".to_owned());
    }
    sentences
}

fn act(decision: &Record, checked: &Checked) -> Vec<String> {
    let mut sentences = Vec::new();
    if missing(decision, "definition_digest") {
        sentences
            .push("How the tool was defined: no list had shown its definition before the call.".to_owned());
    }
    let class = decision.value("class").unwrap_or_default();
    if class.get("classified").and_then(serde_json::Value::as_bool) == Some(false) {
        sentences.push(
            "What kind of tool it is: the class table does not classify it, so policy treats it as write, external and \
             untrusted."
                .to_owned(),
        );
    }
    if checked.delegation.is_some()
        && !checked.within_scope()
        && decision.text("verdict").as_deref() == Some("allow")
    {
        sentences.push(
            "That the arguments were within the delegation: they are not there to be checked against it."
                .to_owned(),
        );
    }
    sentences.push(
        "That the policies give this verdict: they were not evaluated again; their digest and the exact request are \
         recorded."
            .to_owned(),
    );
    sentences
}

fn agent(decision: &Record, started: Option<&Record>) -> Vec<String> {
    let mut sentences = Vec::new();
    let unseen: Vec<&str> = ["model", "prompt"]
        .into_iter()
        .filter(|name| started.is_none_or(|started| missing(started, name)))
        .collect();
    if !unseen.is_empty() {
        sentences.push(format!("With which {} the agent ran: not visible from here.", unseen.join(" and ")));
    }
    if decision.exact("correlators").is_some() {
        sentences.push(
            "What client and agent say of themselves (names, versions, ids): it is asserted only.".to_owned(),
        );
    }
    sentences
}

fn outcome(decision: &Record, finished: Option<&Record>) -> Vec<String> {
    if decision.text("verdict").as_deref() == Some("deny") {
        return vec![
            "That the act did not happen by another way: a call that bypasses the gate leaves no entry."
                .to_owned(),
        ];
    }
    let status = finished.and_then(|finished| finished.text("status"));
    let first = match status.as_deref() {
        None => "What came of it: no outcome is recorded so far.",
        Some("unknown") => {
            "What came of it: the outcome is unknown, the act may or may not have had its effect."
        }
        Some(_) => {
            "What the target did: the outcome is what was seen here, the target's own record was not seen."
        }
    };
    vec![
        first.to_owned(),
        "That nothing else was done: a call that bypasses the gate leaves no entry.".to_owned(),
    ]
}

fn log(decision: &Record, committed: &Committed) -> Vec<String> {
    let mut sentences = Vec::new();
    if committed.state == "sequenced" {
        sentences.push(
            "That it is in a published log: it is sequenced and durable, not yet published.".to_owned(),
        );
    }
    sentences.push(
        "That the log was not rolled back or forked: no witness has cosigned it, and the operator holds its key."
            .to_owned(),
    );
    if decision
        .entry
        .as_ref()
        .is_some_and(|entry| entry.vantage == u64::from(evidence::Vantage::Harness.code()))
    {
        sentences.push(
            "That the record was out of the agent's reach: it was made in the agent's own trust domain (harness)."
                .to_owned(),
        );
    }
    sentences
}

fn missing(record: &Record, name: &str) -> bool {
    Fact::of(record, name).missing.is_some()
}

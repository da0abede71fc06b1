//! What the evidence about one action does not prove (DESIGN §3, invariant 11), in sentences.

use evidence::delegation::{Link, Source};
use evidence::label::Assurance;
use verify::chain::Chain;

use super::checks::{Checked, Part};
use super::{Committed, RevocationsPart};
use crate::answer::Fact;
use crate::query::assurance;
use crate::record::Record;

/// Everything that the answer is made of.
#[derive(Clone, Copy)]
pub(super) struct Told<'a> {
    pub(super) decision: &'a Record,
    pub(super) finished: Option<&'a Record>,
    pub(super) started: Option<&'a Record>,
    pub(super) checked: &'a Checked,
    pub(super) committed: &'a Committed,
    pub(super) revocations: &'a RevocationsPart,
}

/// The sentences that apply, the most important first.
pub(super) fn not_proven(told: &Told<'_>) -> Vec<String> {
    let mut limits = doubt(told);
    limits.extend(person(told.decision, told.checked));
    limits.extend(holders(told.checked));
    limits.extend(act(told.decision, told.checked));
    limits.extend(agent(told.decision, told.started));
    limits.extend(outcome(told.decision, told.finished));
    limits.extend(log(told.decision, told.committed));
    limits
}

/// What has been learnt since, and what only a review can settle.
fn doubt(told: &Told<'_>) -> Vec<String> {
    let revoked = told.revocations.now.iter().filter(|row| row.in_doubt).map(|row| {
        format!(
            "That the authority still stood: it was revoked later (@{}), with effect from before this act, which is in \
             doubt.",
            row.index
        )
    });
    let glass = super::links::break_glass(told.checked).map(|_| {
        "That there was an emergency: the person broke the glass on its own authority, and the review is open.".to_owned()
    });
    revoked.chain(glass).collect()
}

fn person(decision: &Record, checked: &Checked) -> Vec<String> {
    let mut sentences = match checked.root().filter(|_| checked.chain().is_some()).map(|root| &root.source) {
        Some(Source::PeerCredentials { uid }) => vec![format!(
            "Which person is behind it: the operating system vouches for user id {uid} of the process and for nothing \
             else, so the person is inferred."
        )],
        Some(Source::KeyRequest(request)) => vec![key_of_a_person(&request.kid)],
        Some(Source::Mandate { mandate, request }) => vec![
            format!(
                "That the person wanted this: a machine asked for the root with the key `{}`, under a standing authority, \
                 and nobody was asked in person.",
                request.kid
            ),
            key_of_a_person(&mandate.kid),
        ],
        None => vec!["On whose authority it was done: no delegation of it could be checked.".to_owned()],
    };
    if assurance(decision, "holder").is_some_and(|label| label.as_str() == "inferred") {
        sentences.push("Which program holds the agent's key: the holder's name is inferred.".to_owned());
    }
    sentences
}

fn key_of_a_person(kid: &str) -> String {
    format!(
        "That the person used the key `{kid}`: whoever can read its file can sign with it, and an agent of the same user \
         can."
    )
}

/// What the links below the root say of their holders.
fn holders(checked: &Checked) -> Vec<String> {
    let mut sentences = Vec::new();
    let vouched: Vec<String> = checked
        .recorded
        .claims
        .iter()
        .skip(1)
        .map(Link::holder)
        .filter(|holder| holder.asr == Assurance::DelegatorAsserted.as_str())
        .map(|holder| format!("`{}`", holder.id))
        .collect();
    if !vouched.is_empty() {
        sentences.push(format!(
            "That {} is who it is called: only the delegator vouches for the name.",
            vouched.join(", ")
        ));
    }
    if checked.chain().is_some_and(Chain::shares_key) {
        sentences.push(
            "Which of the holders acted: links of the chain are bound to one key, and nobody can tell their holders apart."
                .to_owned(),
        );
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
    if checked.chain().is_some()
        && !checked.holds(Part::Arguments)
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

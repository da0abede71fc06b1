//! What a verified bundle does not prove (DESIGN §3, invariant 11), in sentences for a reader.

use std::collections::{BTreeMap, BTreeSet};

use evidence::label::Assurance;
use serde_json::Value;
use verify::report::{ActionFacts, NOT_PROVEN};
use verify::{Code, Report, Severity};

/// The limits of one bundle: first those that its notes tell of, then those of the chains in it, then those of every
/// bundle.
pub fn limits_of(report: &Report) -> Vec<String> {
    let mut places: BTreeMap<Code, Vec<u64>> = BTreeMap::new();
    for finding in report.findings.iter().filter(|finding| finding.severity == Severity::Note) {
        places.entry(finding.code).or_default().extend(finding.index);
    }
    let mut limits: Vec<String> = places
        .iter()
        .filter_map(|(code, at)| sentence(*code).map(|text| format!("{text}{}", named(at))))
        .collect();
    limits.extend(of_mandates(&report.actions));
    limits.extend(of_holders(&report.actions));
    limits.extend(NOT_PROVEN.iter().map(|limit| format!("It is not proven {limit}.")));
    limits
}

/// Nobody was there when a machine asked under a standing authority.
fn of_mandates(actions: &[ActionFacts]) -> Option<String> {
    let at: Vec<u64> =
        actions.iter().filter(|action| action.mandate.is_some()).map(|action| action.index).collect();
    let text = "A machine asked for the authority, under a mandate: nobody was asked in person.";
    (!at.is_empty()).then(|| format!("{text}{}", named(&at)))
}

/// Sub-agents whose names only their delegators vouch for.
fn of_holders(actions: &[ActionFacts]) -> Option<String> {
    let links = actions.iter().flat_map(|action| action.chain.iter().skip(1));
    let vouched =
        links.filter(|link| link.holder.assurance.as_deref() == Some(Assurance::DelegatorAsserted.as_str()));
    let names: BTreeSet<&str> =
        vouched.filter_map(|link| link.holder.value.get("id").and_then(Value::as_str)).collect();
    let (first, more) = (names.first()?, names.len() - 1);
    let others = if more == 0 { String::new() } else { format!(" (and {more} more)") };
    Some(format!("Only its delegator vouches for the name of `{first}`{others}."))
}

/// What a note means for a reader; nothing for one that [`NOT_PROVEN`] covers.
fn sentence(code: Code) -> Option<&'static str> {
    Some(match code {
        Code::LogKeyCaptured => {
            "The log's key is the one that the log itself recorded: pin the key you know to exclude another log."
        }
        Code::Withheld => "Some fields are withheld; that they exist and cannot be changed is proven.",
        Code::EntryUninterpreted => "Some entries are of a kind that this version does not interpret.",
        Code::OpenRun => "The run has not ended: more may follow.",
        Code::OpenStream => "A late part of the run has not ended: more may follow.",
        Code::ManifestWithheld => "The run's own list of its entries is withheld, so its end is not checked.",
        Code::IssuerKeyMissing => {
            "The issuer's key is not shown, so signatures of delegations are not checked."
        }
        Code::PrincipalInferred => {
            "The person is inferred: the operating system vouched for a user id and for nothing else."
        }
        Code::DecisionWithheld => "The delegation of a decision is withheld and not checked.",
        Code::ScopeArgsWithheld => {
            "The arguments are withheld, so it is not checked that the delegation allows them."
        }
        Code::RevocationsWithheld => {
            "Up to where revocations were known is withheld, so it is not checked that none was overlooked."
        }
        Code::PolicyWithheld => {
            "The policy of a decision is withheld and not compared with the one in force."
        }
        Code::OutcomeOpen => "No outcome is recorded: what came of the act is not known.",
        Code::InDoubt => {
            "The authority was revoked later, with effect from before the act: whether it still stood is in doubt."
        }
        Code::BreakGlass => {
            "Somebody broke the glass, on the person's own authority; that there was an emergency is for a review, and \
             none is recorded."
        }
        Code::KeyReused => "Holders of one chain share a key: which of them acted cannot be told.",
        Code::CounterHole => {
            "The holder counted proofs that are not shown: they belong to acts that this file does not open, were \
             refused unrecorded, or were left out."
        }
        Code::IssuanceNotShown => "That the authority was recorded when it was issued is not shown.",
        Code::ChildNotShown => {
            "What a sub-agent did with the work that was handed over is not shown: its run is not in this file."
        }
        Code::OrderWithheld => {
            "What a revocation or halt is about is withheld, so it is not checked against the acts."
        }
        _ => return None,
    })
}

fn named(at: &[u64]) -> String {
    /// Positions named before the rest is counted.
    const NAMED: usize = 5;
    let list: Vec<String> = at.iter().take(NAMED).map(|index| format!("@{index}")).collect();
    match at.len() {
        0 => String::new(),
        n if n > NAMED => format!(" ({} and {} more)", list.join(", "), n - NAMED),
        _ => format!(" ({})", list.join(", ")),
    }
}

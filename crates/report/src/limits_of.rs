//! What a verified bundle does not prove (DESIGN §3, invariant 11), in sentences for a reader.

use std::collections::BTreeMap;

use verify::report::NOT_PROVEN;
use verify::{Code, Report, Severity};

/// The limits of one bundle: first those that its notes tell of, then those of every bundle.
pub fn limits_of(report: &Report) -> Vec<String> {
    let mut places: BTreeMap<Code, Vec<u64>> = BTreeMap::new();
    for finding in report.findings.iter().filter(|finding| finding.severity == Severity::Note) {
        places.entry(finding.code).or_default().extend(finding.index);
    }
    let mut limits: Vec<String> = places
        .iter()
        .filter_map(|(code, at)| sentence(*code).map(|text| format!("{text}{}", named(at))))
        .collect();
    limits.extend(NOT_PROVEN.iter().map(|limit| format!("It is not proven {limit}.")));
    limits
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

//! Step 13: every outcome is that of exactly one decision, which allowed the act.

use std::collections::BTreeSet;

use evidence::digest::Digest;
use evidence::{Cause, Entry, Kind, Verdict, json};

use crate::finding::{Code, Findings};
use crate::items::{Items, Seen};

/// The decision that an outcome names, where there is one in the bundle.
pub(crate) fn decision_of<'s, 'a>(entry: &Entry, items: &'s Items<'a>) -> Option<&'s Seen<'a>> {
    let [Cause::Here(leaf)] = entry.causes.as_slice() else { return None };
    let (decision, _) = items.by_leaf(leaf)?;
    let decided = decision.entry.as_ref().ok()?;
    (decided.kind() == Some(Kind::Decided) && decided.run == entry.run).then_some(decision)
}

/// Step 13.
pub(crate) fn check(items: &Items<'_>, findings: &mut Findings) {
    let mut seen_causes = BTreeSet::new();
    for (seen, entry) in items.of_kind(Kind::Finished) {
        match decision_of(entry, items) {
            Some(decision) => check_decision(seen, decision, findings),
            None => {
                let text =
                    "the outcome does not name one decision of its run: what it is the outcome of is unknown";
                findings.at(seen.index, Code::OutcomeUnbound, text);
            }
        }
        if let [Cause::Here(leaf)] = entry.causes.as_slice()
            && !seen_causes.insert(*leaf)
        {
            let text = "the decision has an outcome already: one of the two is false";
            findings.at(seen.index, Code::OutcomeDuplicate, text);
        }
        check_result(seen, findings);
    }
}

fn check_decision(seen: &Seen<'_>, decision: &Seen<'_>, findings: &mut Findings) {
    if decision.value("verdict").is_some_and(|verdict| verdict != Verdict::Allow.as_str()) {
        let text = "this is the outcome of an act that was refused: it happened all the same";
        findings.at(seen.index, Code::OutcomeOfRefusal, text);
    }
    if let (Some(here), Some(there)) = (seen.value("act_id"), decision.value("act_id"))
        && json::jcs(&here) != json::jcs(&there)
    {
        let text = "the outcome names another act than the decision that it points to";
        findings.at(seen.index, Code::OutcomeUnbound, text);
    }
}

fn check_result(seen: &Seen<'_>, findings: &mut Findings) {
    let (Some(result), Some(recorded)) = (seen.raw("result"), seen.value("result_digest")) else { return };
    if recorded != Digest::of(result).to_string() {
        let text = "the result shown is not the one that the outcome's digest names: it was altered";
        findings.at(seen.index, Code::ResultDigest, text);
    }
}

//! Step 14: the bundle holds what it says it is about.

use evidence::{Kind, id};

use crate::bundle::Subject;
use crate::finding::{Code, Findings};
use crate::items::Items;

/// Step 14.
pub(crate) fn check(items: &Items<'_>, subject: Option<Subject>, findings: &mut Findings) {
    let (there, what, id) = match subject {
        None => return,
        Some(Subject::Action(act)) => {
            let there = items.of_kind(Kind::Decided).any(|(seen, _)| seen.id("act_id") == Some(act));
            (there, "action", act)
        }
        Some(Subject::Run(run)) => (items.chains.keys().any(|(of, _)| *of == run), "run", run),
    };
    if !there {
        let text =
            format!("the bundle says it is about the {what} `{}`, and shows no entry of it", id::text(&id));
        findings.whole(Code::Subject, text);
    }
}

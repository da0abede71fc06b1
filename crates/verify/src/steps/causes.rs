//! Step 7: no entry is caused by itself or a later one.

use evidence::Cause;

use crate::finding::{Code, Findings};
use crate::items::Items;

/// Step 7.
pub(crate) fn check(items: &Items<'_>, findings: &mut Findings) {
    for seen in &items.list {
        let Ok(entry) = &seen.entry else { continue };
        let later = entry.causes.iter().any(|cause| match cause {
            Cause::Here(leaf) => items.by_leaf(leaf).is_some_and(|(_, last)| last.index >= seen.index),
            Cause::Elsewhere(..) => false,
        });
        if later {
            let text = "the entry names an entry that comes after it as its cause";
            findings.at(seen.index, Code::CauseOrder, text);
        }
    }
}

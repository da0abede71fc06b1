//! Step 5: the entries of each run and stream follow one another without holes.

use evidence::Entry;

use crate::finding::{Code, Findings};
use crate::items::{Items, Seen};

/// What the entry before says about the next one.
struct Link {
    seq: u64,
    leaf: [u8; 32],
}

/// Step 5.
pub(crate) fn check(items: &Items<'_>, log_id: &[u8; 32], findings: &mut Findings) {
    for positions in items.chains.values() {
        let mut last: Option<Link> = None;
        for seen in positions.iter().filter_map(|at| items.at(*at)) {
            let Ok(entry) = &seen.entry else { continue };
            check_link(seen, entry, last.as_ref(), log_id, findings);
            last = Some(Link { seq: entry.seq, leaf: seen.leaf });
        }
    }
}

fn check_link(
    seen: &Seen<'_>,
    entry: &Entry,
    last: Option<&Link>,
    log_id: &[u8; 32],
    findings: &mut Findings,
) {
    let expected = last.map_or(Some(0), |last| last.seq.checked_add(1));
    if expected != Some(entry.seq) {
        let text = format!(
            "entry number {} of its chain stands where number {} should: entries are missing or reordered",
            entry.seq,
            expected.unwrap_or(u64::MAX)
        );
        findings.at(seen.index, Code::ChainHole, text);
        return;
    }
    let prev = match last {
        Some(last) => last.leaf,
        None if seen.index == 0 => [0; 32],
        None => *log_id,
    };
    if entry.prev != prev {
        let text = "the entry does not follow the one before it in its chain: one of them was replaced";
        findings.at(seen.index, Code::ChainPrev, text);
    }
}

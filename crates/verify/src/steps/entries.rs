//! Steps 3 and 4: each entry decodes and is in the log; the log is the one that is named.

use evidence::EntryError;
use tlog::checkpoint::Checkpoint;
use tlog::proof;

use crate::finding::{Code, Findings};
use crate::items::{Items, Seen};

/// Step 3.
pub(crate) fn check(items: &Items<'_>, checkpoint: Option<&Checkpoint>, findings: &mut Findings) {
    for seen in &items.list {
        check_shape(seen, findings);
        if let Some(checkpoint) = checkpoint {
            check_inclusion(seen, checkpoint, findings);
        }
    }
}

/// Step 4.
pub(crate) fn check_log_id(items: &Items<'_>, log_id: &[u8; 32], findings: &mut Findings) {
    let text = match items.by_index(0) {
        Some(first) if first.leaf == *log_id => return,
        Some(_) => "entry 0 is not the one that the bundle names its log by: the bundle mixes two logs",
        None => "entry 0 of the log is not in the bundle, so the log's name cannot be checked: get it again",
    };
    findings.whole(Code::LogId, text);
}

fn check_shape(seen: &Seen<'_>, findings: &mut Findings) {
    let uninterpreted = match &seen.entry {
        Ok(entry) if entry.kind().is_some_and(evidence::Kind::interpreted) => return,
        Ok(entry) => format!("an entry of kind {}, whose content this version does not define", entry.kind),
        Err(EntryError::Version(version)) => format!("an entry of version {version}"),
        Err(error) => {
            findings.at(seen.index, Code::EntryMalformed, format!("{error}: its content means nothing"));
            return;
        }
    };
    let text = format!(
        "{uninterpreted}: it is in the log, what it says is not verified; a newer version may read it"
    );
    findings.at(seen.index, Code::EntryUninterpreted, text);
}

fn check_inclusion(seen: &Seen<'_>, checkpoint: &Checkpoint, findings: &mut Findings) {
    let proven =
        proof::verify_inclusion(seen.index, checkpoint.size, &seen.leaf, seen.path, &checkpoint.root);
    if let Err(error) = proven {
        let text = format!("the entry is not shown to be in the log: {error}");
        findings.at(seen.index, Code::Inclusion, text);
    }
}

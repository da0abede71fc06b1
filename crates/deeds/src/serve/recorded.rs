//! The policy in force when the last server stopped, read from the log: a start that names no policy changes none.

use std::path::Path;

use anyhow::{Context as _, ensure};
use evidence::{Entry, Kind};
use lineage::{Opener, Record};
use policy::{PolicyFile, PolicySet};
use recorder::Keys;
use serde::Deserialize;
use store::{Reader, Store};

use crate::entropy;

/// Entries read at a time.
const ENTRIES_PER_READ: usize = 1_024;

/// One file of a `policy-activated` entry.
#[derive(Deserialize)]
struct RecordedFile {
    path: String,
    text: String,
}

/// The policy set that was activated last, and where it came from; nothing in a new log.
///
/// Takes the store's lock and lets it go again; whoever opens the log next looks at everything anew.
pub(crate) fn policy(data: &Path, origin: &str, keys: &Keys) -> anyhow::Result<Option<(PolicySet, String)>> {
    let directory = data.join("local");
    if !directory.exists() {
        return Ok(None);
    }
    // the ids of journal segments are all that this is for; a failure there shows when the log is opened to write
    let random = Box::new(|buffer: &mut [u8]| entropy::fill(buffer));
    let config =
        store::Config::new(directory.clone(), data.to_owned(), origin.to_owned(), keys.log.clone(), random);
    let opening = Store::open(config)?;
    let reader = opening.reader();
    let Some(index) = last_activation(&directory, &reader)? else { return Ok(None) };
    let record = Opener::new(*keys.kek).open(&reader, index)?;
    let set = set_of(&record).with_context(|| {
        format!("the policy in force, activated by entry @{index}, cannot be used again: name one with `--policy DIR`")
    })?;
    Ok(Some(set))
}

/// Position of the last `policy-activated` entry: as the snapshot of the control state says, and what came later.
fn last_activation(directory: &Path, reader: &Reader) -> anyhow::Result<Option<u64>> {
    let snapshot = recorder::control::load(&directory.join("control.json")).ok().flatten();
    let snapshot =
        snapshot.filter(|known| known.size <= reader.size() && Some(known.log_id) == reader.log_id());
    let (mut next, mut found) =
        snapshot.map_or((0, None), |known| (known.size, known.policy.map(|(_, at)| at)));
    while next < reader.size() {
        let entries = reader.entries(next, ENTRIES_PER_READ)?;
        ensure!(!entries.is_empty(), "the log ends at entry @{next}, before its size");
        for bytes in entries {
            if Entry::decode(&bytes).is_ok_and(|entry| entry.kind() == Some(Kind::PolicyActivated)) {
                found = Some(next);
            }
            next += 1;
        }
    }
    Ok(found)
}

fn set_of(record: &Record) -> anyhow::Result<(PolicySet, String)> {
    let files: Vec<RecordedFile> = record.typed("files").context("its files are not there")?;
    let files = files.into_iter().map(|file| PolicyFile { path: file.path, text: file.text });
    let set = PolicySet::from_files(files.collect())?;
    let digest = record.text("policy_digest").context("its digest is not there")?;
    ensure!(set.digest() == digest, "its files have the digest {} and not {digest}", set.digest());
    Ok((set, record.text("source").unwrap_or_else(|| format!("entry @{}", record.index))))
}

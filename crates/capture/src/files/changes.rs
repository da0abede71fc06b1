//! What changed between two looks, and what stands in a decision and in an outcome.

use std::collections::BTreeSet;

use super::declared::Roots;
use super::read::Seen;
use super::snapshot::Snapshot;
use super::{DIRECTORY, LINK};
use crate::api::{Artifact, Change};

/// What an act is asked for with: each file that it reads, and of each directory that it may change one digest over
/// all files in it. In the order of their URIs.
pub(crate) fn inputs(before: &Snapshot, roots: &Roots) -> Vec<Artifact> {
    let files = before.files.iter().filter(|(uri, _)| roots.is_read(uri) || roots.writes.contains(uri));
    let mut inputs: Vec<Artifact> = files.map(|(uri, seen)| file(uri, *seen)).collect();
    inputs.extend(roots.writes.iter().filter(|root| before.is_directory(root)).map(|root| Artifact {
        digest: before.directory(root).map(|digest| digest.to_string()),
        media_type: Some(DIRECTORY.into()),
        ..named(root)
    }));
    inputs.sort_by(|one, other| one.uri.cmp(&other.uri));
    inputs
}

/// What came of an act.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    /// Files and directories that are other than before, in the order of their URIs.
    pub(crate) outputs: Vec<Artifact>,
    /// How many of them are files.
    pub(crate) files: usize,
}

/// Compares two looks. Only what both could see is said to be created, modified or deleted; what one alone could see
/// is told without such a word.
pub(crate) fn between(before: &Snapshot, after: &Snapshot, roots: &Roots) -> Changes {
    let uris: BTreeSet<&String> = before.files.keys().chain(after.files.keys()).collect();
    let mut outputs: Vec<Artifact> = uris.into_iter().filter_map(|uri| changed(uri, before, after)).collect();
    let files = outputs.len();
    outputs.extend(roots.writes.iter().filter_map(|root| changed_directory(root, before, after)));
    outputs.sort_by(|one, other| one.uri.cmp(&other.uri));
    Changes { outputs, files }
}

fn changed(uri: &str, before: &Snapshot, after: &Snapshot) -> Option<Artifact> {
    let change = |change: Change, certain: bool| certain.then_some(change);
    match (before.files.get(uri).copied(), after.files.get(uri).copied()) {
        (None, Some(now)) => {
            Some(Artifact { change: change(Change::Created, !before.hides(uri)), ..file(uri, now) })
        }
        (Some(was), None) if !after.hides(uri) => Some(Artifact {
            change: Some(Change::Deleted),
            before: digest(was),
            media_type: media_type(was),
            ..named(uri)
        }),
        (Some(was), Some(now)) if was != now => Some(Artifact {
            change: change(Change::Modified, was != Seen::Unreadable && now != Seen::Unreadable),
            before: digest(was),
            ..file(uri, now)
        }),
        _ => None,
    }
}

fn changed_directory(root: &str, before: &Snapshot, after: &Snapshot) -> Option<Artifact> {
    let (was, is) = (before.is_directory(root), after.is_directory(root));
    let (then, now) = (before.directory(root), after.directory(root));
    let change = match (was, is) {
        (false, false) => return None,
        // where neither look saw all of it, the remarks say so, and nothing is known of it as a whole
        (true, true) if then == now => return None,
        (true, true) => now.and(then).map(|_| Change::Modified),
        (false, true) => Some(Change::Created).filter(|_| !before.hides(root)),
        (true, false) if after.hides(root) => None,
        (true, false) => Some(Change::Deleted),
    };
    Some(Artifact {
        digest: now.map(|digest| digest.to_string()),
        before: then.map(|digest| digest.to_string()),
        media_type: Some(DIRECTORY.into()),
        change,
        ..named(root)
    })
}

/// A file as it was seen.
pub(crate) fn file(uri: &str, seen: Seen) -> Artifact {
    let size = if let Seen::Bytes { size, .. } = seen { Some(size) } else { None };
    Artifact { digest: digest(seen), size, media_type: media_type(seen), ..named(uri) }
}

/// What became of one file that was looked at before and after.
pub(crate) fn of_one(uri: &str, before: Option<Seen>, after: Option<Seen>) -> Option<Artifact> {
    let look = |seen: Option<Seen>| Snapshot {
        files: seen.map(|seen| (uri.to_owned(), seen)).into_iter().collect(),
        ..Snapshot::default()
    };
    changed(uri, &look(before), &look(after))
}

fn digest(seen: Seen) -> Option<String> {
    if let Seen::Bytes { digest, .. } = seen { Some(digest.to_string()) } else { None }
}

fn media_type(seen: Seen) -> Option<String> {
    matches!(seen, Seen::Bytes { link: true, .. }).then(|| LINK.to_owned())
}

fn named(uri: &str) -> Artifact {
    Artifact { uri: uri.to_owned(), digest: None, size: None, media_type: None, change: None, before: None }
}

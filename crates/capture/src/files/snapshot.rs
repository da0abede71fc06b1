//! What one look at the declared paths saw.

use std::collections::BTreeMap;
use std::ops::Bound;

use evidence::Digest;
use sha2::{Digest as _, Sha256};

use super::read::Seen;
use super::uri::{below, is_under};

/// What lies at a declared path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum At {
    Nothing,
    File,
    Directory,
}

/// Every file seen, by URI, and what was not seen.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    pub(crate) files: BTreeMap<String, Seen>,
    /// What lies at each declared path.
    pub(crate) roots: BTreeMap<String, At>,
    /// URIs of directories that could not be listed, or not to their end.
    pub(crate) unlisted: Vec<String>,
    /// Why the look ended before it had seen all.
    pub(crate) cut: Option<String>,
    /// Files that went away between the list of their directory and their reading.
    pub(crate) vanished: usize,
    /// Pipes, sockets and devices.
    pub(crate) special: usize,
    /// Files whose URI would be longer than one may be.
    pub(crate) unnamed: usize,
}

impl Snapshot {
    /// Whether there may be a file of this name that was not seen.
    pub(crate) fn hides(&self, uri: &str) -> bool {
        self.cut.is_some() || self.unlisted.iter().any(|directory| is_under(uri, directory))
    }

    /// The digest of a directory: of one line for each file in it, in the order of their paths,
    /// `<file or link> <digest string or "unknown"> <path below the directory, as in its URI>` and a line feed. Nothing
    /// where there is no directory, or where some of it was not seen.
    pub(crate) fn directory(&self, root: &str) -> Option<Digest> {
        let hidden = self.cut.is_some() || self.unlisted.iter().any(|directory| is_under(directory, root));
        if hidden || !self.is_directory(root) {
            return None;
        }
        let mut hasher = Sha256::new();
        for (uri, seen) in self.below(root) {
            let (what, digest) = match seen {
                Seen::Bytes { link: false, digest, .. } => ("file", digest.to_string()),
                Seen::Bytes { link: true, digest, .. } => ("link", digest.to_string()),
                Seen::Unreadable => ("file", "unknown".to_owned()),
            };
            let path = below(uri, root).unwrap_or_default();
            for part in [what, " ", &digest, " ", path, "\n"] {
                hasher.update(part.as_bytes());
            }
        }
        Some(Digest(hasher.finalize().into()))
    }

    /// Whether a directory lies there: a declared path, or one in a declared directory with files in it.
    pub(crate) fn is_directory(&self, root: &str) -> bool {
        match self.roots.get(root) {
            Some(at) => *at == At::Directory,
            None => self.below(root).next().is_some(),
        }
    }

    fn below(&self, root: &str) -> impl Iterator<Item = (&String, &Seen)> {
        let first = if root.ends_with('/') { root.to_owned() } else { format!("{root}/") };
        self.files
            .range((Bound::Included(first), Bound::Unbounded))
            .take_while(move |(uri, _)| below(uri, root).is_some())
    }

    /// What people must know of what was not seen; nothing where all was.
    pub(crate) fn remarks(&self) -> Vec<String> {
        let unreadable = self.files.iter().filter(|(_, seen)| **seen == Seen::Unreadable).map(|(uri, _)| uri);
        let mut remarks = Vec::new();
        remarks.extend(self.cut.clone());
        remarks.extend(listed("could not be read, or were written to all the while", unreadable));
        remarks.extend(listed("could not be listed", self.unlisted.iter()));
        for (count, what) in [
            (self.vanished, "vanished while they were looked at"),
            (self.special, "pipes, sockets or devices passed over"),
            (self.unnamed, "with names too long to be recorded"),
        ] {
            if count > 0 {
                remarks.push(format!("{count} {what}"));
            }
        }
        remarks
    }
}

/// How many names a remark gives.
const NAMED_MAX: usize = 3;

fn listed<'a>(what: &str, mut uris: impl Iterator<Item = &'a String>) -> Option<String> {
    let named: Vec<&str> = uris.by_ref().take(NAMED_MAX).map(|uri| shortened(uri)).collect();
    let more = uris.count();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    (!named.is_empty()).then(|| format!("{what}: {}{more}", named.join(", ")))
}

/// URIs are ASCII, so they can be cut anywhere.
fn shortened(uri: &str) -> &str {
    uri.get(..120).unwrap_or(uri)
}

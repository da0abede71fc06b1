//! Artifacts and their withdrawals: marks of names and digests, and where they stand.

use evidence::{Entry, id};
use rusqlite::params;
use serde_json::Value;

use super::{Folder, Result, sql};
use crate::artifact::{self, canonical};
use crate::record::Record;

impl Folder<'_> {
    /// The artifacts that an entry lists.
    pub(super) fn artifacts(&mut self, record: &Record) {
        for (role, artifact) in artifact::listed(record) {
            let digest = artifact.digest.as_deref().map(|digest| self.opener.mark(digest));
            let at = sql(record.index);
            if let Some(digest) = digest {
                self.batch.digests.push((digest, at, role as u8));
            }
            if let Some(uri) = &artifact.uri {
                self.batch.uris.push((self.opener.mark(&canonical(uri)), at, role as u8, digest));
            }
        }
    }

    /// An artifact is withdrawn; nothing else is known to happen to a label.
    pub(super) fn label_changed(&self, record: &Record, entry: &Entry) -> Result<()> {
        if entry.run != id::LOG_LEVEL || record.text("change").as_deref() != Some("withdrawn") {
            return Ok(());
        }
        let artifact = record.value("artifact").unwrap_or_default();
        let text = |name: &str| artifact.get(name).and_then(Value::as_str);
        let uri = text("uri").map(|uri| self.opener.mark(&canonical(uri)));
        let digest = text("digest").map(|digest| self.opener.mark(digest));
        self.tx
            .prepare_cached("INSERT INTO withdrawals VALUES(?1, ?2, ?3, ?4)")?
            .execute(params![sql(record.index), record.leaf, uri, digest])
            .map(|_| ())
    }
}

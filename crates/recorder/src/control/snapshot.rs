//! The snapshot of the control state: a cache of the fold, never its truth.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use evidence::Digest;
use serde::{Deserialize, Serialize};

use super::{Control, hex32};

/// Layout of the snapshot; another one is rebuilt from the log.
const VERSION: u64 = 5;

/// A snapshot that cannot be used. The log has it all: delete the file, and it is made anew.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct SnapshotError(String);

#[derive(Serialize, Deserialize)]
struct Snapshot {
    version: u64,
    /// SHA-256 of the state's JSON: a snapshot that was altered or cut is not used.
    #[serde(with = "hex32")]
    digest: [u8; 32],
    state: String,
}

/// Writes the state beside the log: a temporary file, synced, then renamed over the last one.
///
/// After a crash at any point either the old or the new snapshot is there; both are right for their own size.
pub fn save(path: &Path, control: &Control) -> io::Result<()> {
    let state = serde_json::to_string(control)?;
    let snapshot = Snapshot { version: VERSION, digest: Digest::of(state.as_bytes()).0, state };
    let temporary = path.with_extension("tmp");
    let mut file = File::create(&temporary)?;
    file.write_all(&serde_json::to_vec(&snapshot)?)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
}

/// Reads the snapshot; nothing when there is none.
pub fn load(path: &Path) -> Result<Option<Control>, SnapshotError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(SnapshotError(format!("`{}` cannot be read: {error}", path.display()))),
    };
    let unusable =
        |why: &str| SnapshotError(format!("`{}` is not usable ({why}) and is made anew", path.display()));
    let snapshot: Snapshot = serde_json::from_slice(&bytes).map_err(|_| unusable("it is cut or altered"))?;
    if snapshot.version != VERSION {
        return Err(unusable("it has another layout"));
    }
    if Digest::of(snapshot.state.as_bytes()).0 != snapshot.digest {
        return Err(unusable("it was altered"));
    }
    serde_json::from_str(&snapshot.state).map(Some).map_err(|_| unusable("it has another layout"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_round_trips_and_an_altered_one_is_not_used() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("control.json");
        assert!(load(&path).unwrap().is_none());
        let control = Control { size: 7, last_ms: 9, ..Control::default() };
        save(&path, &control).unwrap();
        assert_eq!(load(&path).unwrap(), Some(control));
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replace("\\\"size\\\":7", "\\\"size\\\":8")).unwrap();
        assert!(load(&path).is_err());
        fs::write(&path, &text[..text.len() / 2]).unwrap();
        assert!(load(&path).is_err());
    }
}

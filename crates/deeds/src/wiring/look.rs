//! Reads the configurations that are there.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read as _;
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use rustix::fs::{Mode, OFlags, open};

use super::entries::{Entry, hidden, read, remark};
use super::places::{Layout, Place};
use super::splice::Splice;

/// Largest configuration that is read, bytes. Claude Code keeps more in its file than servers.
pub(super) const CLIENT_CONFIG_MAX_BYTES: usize = 32 * 1_024 * 1_024;

/// A place with what is there.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) place: Place,
    pub(crate) looked: Looked,
}

/// What is at a place.
#[derive(Debug)]
pub(crate) enum Looked {
    /// No file.
    Nothing,
    /// A file that cannot be used, and why.
    Unusable(String),
    /// A configuration.
    File(Found),
}

/// A configuration as it was read.
#[derive(Debug)]
pub(crate) struct Found {
    /// The file itself, behind all symbolic links.
    pub(crate) real: PathBuf,
    pub(crate) text: String,
    pub(crate) servers: Vec<Entry>,
    /// What to say where there is no server in it.
    pub(crate) remark: Option<String>,
}

impl Found {
    /// Puts `…` where values stand that are not for showing, in some pieces of the text.
    pub(super) fn masks(&self, layout: Layout, pieces: &[Range<usize>]) -> Vec<Splice> {
        let values = hidden(&self.text, layout, pieces).into_iter();
        values.map(|at| Splice::replace(at, "\"…\"")).collect()
    }
}

/// Looks at each place. A file that several places lead to is read at the first.
pub(crate) fn look(places: Vec<Place>) -> Vec<Seen> {
    let mut known = BTreeSet::new();
    let mut seen = Vec::new();
    for place in places {
        let looked = look_at(&place);
        let again = matches!(&looked, Looked::File(found) if !known.insert(found.real.clone()));
        if !again {
            seen.push(Seen { place, looked });
        }
    }
    seen
}

pub(super) fn look_at(place: &Place) -> Looked {
    // a link that leads nowhere is no configuration either
    let Ok(real) = std::fs::canonicalize(&place.path) else { return Looked::Nothing };
    let bytes = match read_config(&real) {
        Ok(bytes) => bytes,
        Err(error) => return Looked::Unusable(crate::chain(&error)),
    };
    let Ok(text) = String::from_utf8(bytes) else {
        return Looked::Unusable("it is not UTF-8 text".to_owned());
    };
    match read(&text, place.layout) {
        Ok(servers) => {
            let remark = servers.is_empty().then(|| remark(&text, place.layout));
            Looked::File(Found { real, text, servers, remark })
        }
        Err(why) => Looked::Unusable(why),
    }
}

/// The bytes of a configuration, whatever lies there now: a pipe in its place would hold us up for ever.
pub(super) fn read_config(path: &Path) -> anyhow::Result<Vec<u8>> {
    let name = path.display();
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = open(path, flags, Mode::empty()).map(File::from);
    let file = file.with_context(|| format!("cannot open `{name}`"))?;
    let found = file.metadata().with_context(|| format!("cannot look at `{name}`"))?;
    ensure!(found.is_file(), "`{name}` is not a regular file");
    let mut bytes = Vec::new();
    let limit = u64::try_from(CLIENT_CONFIG_MAX_BYTES)?.saturating_add(1);
    file.take(limit).read_to_end(&mut bytes).with_context(|| format!("cannot read `{name}`"))?;
    ensure!(bytes.len() <= CLIENT_CONFIG_MAX_BYTES, "`{name}` has more than {CLIENT_CONFIG_MAX_BYTES} bytes");
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use rustix::fs::{CWD, FileType, mknodat};

    use super::super::places::Client;
    use super::*;

    #[test]
    fn what_is_no_usable_file_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| {
            let path = dir.path().join(name);
            look_at(&Place { client: Client::Cursor, path, layout: Layout::McpServers, shared: false })
        };
        let why = |looked: Looked| match looked {
            Looked::Unusable(why) => why,
            other => panic!("{other:?}"),
        };
        std::fs::create_dir(dir.path().join("dir")).unwrap();
        let pipe = dir.path().join("pipe");
        mknodat(CWD, &pipe, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        assert!(why(at("pipe")).contains("not a regular file"));
        std::fs::write(dir.path().join("utf16"), b"\xff\xfe{\0}\0").unwrap();
        assert!(why(at("dir")).contains("not a regular file") && why(at("utf16")).contains("UTF-8"));
        assert!(matches!(at("none"), Looked::Nothing));
        let big = std::fs::File::create(dir.path().join("big")).unwrap();
        let max = u64::try_from(CLIENT_CONFIG_MAX_BYTES).unwrap();
        big.set_len(max + 1).unwrap();
        assert!(why(at("big")).contains("more than"));
        std::fs::write(dir.path().join("big"), " ".repeat(CLIENT_CONFIG_MAX_BYTES)).unwrap();
        assert!(matches!(at("big"), Looked::File(found) if found.servers.is_empty()));
    }
}

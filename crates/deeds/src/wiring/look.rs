//! Reads the configurations that are there.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::entries::{Entry, read, remark};
use super::places::Place;
use super::splice::Splice;
use crate::files::read_limited;

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
    /// Puts `…` where values may be secret.
    pub(super) fn masks(&self) -> Vec<Splice> {
        let secrets = self.servers.iter().flat_map(|entry| &entry.secrets);
        secrets.map(|at| Splice::replace(at.clone(), "\"…\"")).collect()
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
    if !real.is_file() {
        return Looked::Unusable("it is not a regular file".to_owned());
    }
    let bytes = match read_limited(&real, CLIENT_CONFIG_MAX_BYTES) {
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

#[cfg(test)]
mod tests {
    use super::super::places::{Client, Layout};
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

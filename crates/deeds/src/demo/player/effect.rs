//! What a tool of a sample server does when it is called. Each does it for real, as far as a sample can: it looks up
//! what its data file holds, reads or writes the file that it is asked for, makes a new token.

use std::fs;
use std::path::Path;

use anyhow::Context as _;
use evidence::Digest;
use evidence::digest::hex;
use serde_json::{Map, Value};

use crate::entropy;
use crate::files::read_limited;

/// Largest file that a sample tool reads, bytes.
const FILE_MAX_BYTES: usize = 1_024 * 1_024;

/// What is done.
#[derive(Debug, Clone, Copy)]
pub(super) enum Effect {
    /// Nothing but the note in the journal.
    Noted,
    /// The value of this argument is looked up in the server's data.
    Known(&'static str),
    /// The file at `path` is read.
    Read,
    /// `text` is written to the file at `path`.
    Written,
    /// A new token is made; only its fingerprint leaves the server.
    Rotated,
}

impl Effect {
    /// Does it; gives the words of the answer, or why it could not be done.
    pub(super) fn happen(
        self,
        tool: &str,
        given: &Map<String, Value>,
        data: &Value,
    ) -> Result<String, String> {
        let text = |name: &str| given.get(name).and_then(Value::as_str).unwrap_or_default();
        match self {
            Self::Noted => Ok(format!("{tool}: done")),
            Self::Known(name) => {
                let known = data.get(tool).and_then(|known| known.get(text(name))).and_then(Value::as_str);
                known.map(str::to_owned).ok_or_else(|| format!("nothing is known about `{}`", text(name)))
            }
            Self::Read => read(Path::new(text("path"))).map_err(|error| format!("{error:#}")),
            Self::Written => {
                let path = text("path");
                let written = fs::write(path, text("text"));
                written
                    .map(|()| format!("{path}: written"))
                    .map_err(|error| format!("cannot write `{path}`: {error}"))
            }
            Self::Rotated => {
                let token = entropy::bytes::<32>().map_err(|error| format!("{error:#}"))?;
                Ok(format!("{}: fingerprint {}", text("name"), hex(&Digest::of(&token).0)))
            }
        }
    }
}

fn read(path: &Path) -> anyhow::Result<String> {
    let bytes = read_limited(path, FILE_MAX_BYTES)?;
    String::from_utf8(bytes).with_context(|| format!("`{}` is not text", path.display()))
}

//! Checkpoint: the three lines that state the head of a log (C2SP tlog-checkpoint).

use base64ct::{Base64, Encoding};

use crate::Hash;
use crate::limits::{MAX_KEY_NAME_BYTES, MAX_TREE_SIZE};

/// Why a checkpoint text was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// Empty, longer than [`MAX_KEY_NAME_BYTES`], or with a control character.
    #[error("the origin of the checkpoint is not a line of 1 to {MAX_KEY_NAME_BYTES} bytes")]
    Origin,
    /// Not a decimal number without leading zeros, or above [`MAX_TREE_SIZE`].
    #[error("the size of the checkpoint is not a number without leading zeros up to {MAX_TREE_SIZE}")]
    Size,
    /// Not the standard base64 of 32 bytes.
    #[error("the root of the checkpoint is not 32 bytes in base64")]
    Root,
    /// An empty line, a control character, or no newline at the end.
    #[error("the checkpoint is not a sequence of non-empty lines, each ended by a newline")]
    Lines,
}

/// Head of a log: which log, how many entries, their root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log; equals the name of its key. One line, 1 to 255 bytes.
    pub origin: String,
    /// Entries in the tree, at most [`MAX_TREE_SIZE`].
    pub size: u64,
    /// Root of the tree. That size 0 goes with [`crate::empty_root`] is for the verifier to check.
    pub root: Hash,
}

/// A checkpoint as read, and how much more its text said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParsedCheckpoint {
    /// The three lines that mean something.
    pub checkpoint: Checkpoint,
    /// Extension lines after them. Nothing acts on these, so nothing of them is kept.
    pub extension_lines: usize,
}

impl Checkpoint {
    /// A checkpoint whose text [`Checkpoint::parse`] accepts; an error names the part that it would not.
    pub fn new(origin: &str, size: u64, root: Hash) -> Result<Self, CheckpointError> {
        if !is_origin(origin) {
            return Err(CheckpointError::Origin);
        }
        if size > MAX_TREE_SIZE {
            return Err(CheckpointError::Size);
        }
        Ok(Self { origin: origin.to_owned(), size, root })
    }

    /// The note text: origin, size and base64 root, one line each, and never an extension line.
    pub fn to_text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, Base64::encode_string(&self.root))
    }

    /// Strict inverse of [`Checkpoint::to_text`], which also accepts extension lines and counts them.
    pub fn parse(text: &str) -> Result<ParsedCheckpoint, CheckpointError> {
        let lines: Vec<&str> = text.strip_suffix('\n').ok_or(CheckpointError::Lines)?.split('\n').collect();
        if lines.iter().any(|line| !is_line(line)) {
            return Err(CheckpointError::Lines);
        }
        let [origin, size, root, extensions @ ..] = lines.as_slice() else {
            return Err(CheckpointError::Lines);
        };
        let checkpoint = Self::new(origin, parse_size(size)?, parse_root(root)?)?;
        Ok(ParsedCheckpoint { checkpoint, extension_lines: extensions.len() })
    }
}

/// Whether a text is one non-empty line without control characters (signed-note).
fn is_line(line: &str) -> bool {
    !line.is_empty() && line.bytes().all(|byte| byte >= 0x20)
}

fn is_origin(origin: &str) -> bool {
    is_line(origin) && origin.len() <= MAX_KEY_NAME_BYTES
}

fn parse_size(digits: &str) -> Result<u64, CheckpointError> {
    let size: u64 = digits.parse().map_err(|_| CheckpointError::Size)?;
    // one spelling only: no sign, no leading zeros
    if size.to_string() == digits { Ok(size) } else { Err(CheckpointError::Size) }
}

fn parse_root(base64: &str) -> Result<Hash, CheckpointError> {
    let mut root = [0; 32];
    let decoded = Base64::decode(base64, &mut root).map_err(|_| CheckpointError::Root)?;
    if decoded.len() == 32 { Ok(root) } else { Err(CheckpointError::Root) }
}

#[cfg(test)]
mod tests;

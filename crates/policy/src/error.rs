//! What can be wrong with a policy set or a recorded request, said with file, line and column.

use std::fmt;
use std::ops::Range;

use crate::limits::FINDINGS_MAX;

/// Stands in place of a file's name in a [`Finding`] about the directory as a whole.
pub const WHOLE_SET: &str = "policy set";

/// One thing a policy file has wrong, or may have wrong when it is a warning.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Finding {
    /// File name within the policy set, or [`WHOLE_SET`].
    pub file: String,
    /// Line from 1; 0 when the finding is about the whole file or directory.
    pub line: u32,
    /// Column from 1, in characters; 0 when the line is.
    pub column: u32,
    /// Line on which the part that is meant ends; 0 when `line` is.
    pub end_line: u32,
    /// Column after the last character of that part; equal to `column` on the same line when a place between two
    /// characters is meant.
    pub end_column: u32,
    /// What is wrong and, where it is short, what to do.
    pub message: String,
    /// What to do, where there is more to say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

impl Finding {
    /// A finding about a whole file.
    pub(crate) fn of_file(file: &str, message: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            line: 0,
            column: 0,
            end_line: 0,
            end_column: 0,
            message: message.into(),
            help: None,
        }
    }

    /// A finding about a part of a file's text, in bytes.
    pub(crate) fn at(file: &str, text: &str, span: Range<usize>, message: impl Into<String>) -> Self {
        let (line, column) = position(text, span.start);
        let (more, end) = position(text.get(span.clone()).unwrap_or_default(), span.len());
        // On the first line of the part both count from 1.
        let (end_line, end_column) = (line + more - 1, if more == 1 { column + end - 1 } else { end });
        Self { line, column, end_line, end_column, ..Self::of_file(file, message) }
    }

    /// With advice.
    pub(crate) fn help(self, help: Option<String>) -> Self {
        Self { help, ..self }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 {
            write!(f, "{}: {}", self.file, self.message)?;
        } else {
            write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)?;
        }
        self.help.as_ref().map_or(Ok(()), |help| write!(f, "; {help}"))
    }
}

/// Why a policy set was not loaded, or a recorded request not replayed.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// The directory or a file in it cannot be read.
    #[error("cannot read policy directory or file `{path}`: {source}; check that it exists and is readable")]
    Read {
        /// As given by the caller, or a file below it.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The set has at least one error; all that were found are listed.
    #[error("policy set refused, {} to mend:{}", problems(.0), lines(.0))]
    Refused(Vec<Finding>),
    /// The policy engine does not behave as every decision relies on.
    #[error("policy engine self-test failed: {0}; no decision can be trusted")]
    SelfTest(String),
    /// A recorded request that cannot be evaluated again.
    #[error("recorded request cannot be replayed: {0}; check that policy set and request belong together")]
    Replay(String),
}

fn problems(findings: &[Finding]) -> String {
    if findings.len() == 1 { "1 problem".to_owned() } else { format!("{} problems", findings.len()) }
}

fn lines(findings: &[Finding]) -> String {
    let shown = findings.iter().take(FINDINGS_MAX).map(|finding| format!("\n  {finding}"));
    let more = findings.len().checked_sub(FINDINGS_MAX).filter(|more| *more > 0);
    shown.chain(more.map(|more| format!("\n  and {more} more"))).collect::<Vec<_>>().concat()
}

/// Line and column from 1 of a byte offset; an offset inside a character counts as that character's.
fn position(text: &str, offset: usize) -> (u32, u32) {
    let (mut line, mut column) = (1_u32, 1_u32);
    for (at, c) in text.char_indices() {
        if at + c.len_utf8() > offset {
            break;
        }
        if c == '\n' {
            line = line.saturating_add(1);
            column = 1;
        } else {
            column = column.saturating_add(1);
        }
    }
    (line, column)
}

/// At most `max` bytes of `text`, cut at a character and marked when cut. Control characters,
/// which could repaint a terminal, are shown escaped.
pub(crate) fn shorten(text: &str, max: usize) -> String {
    let mut short = String::new();
    for c in text.chars() {
        let shown = if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
        if short.len() + shown.len() > max {
            short.push('…');
            break;
        }
        short.push_str(&shown);
    }
    short
}

#[cfg(test)]
mod tests {
    use super::{Finding, PolicyError, position, shorten};
    use crate::limits::FINDINGS_MAX;

    #[test]
    fn positions_count_lines_and_characters() {
        let text = "aé\nxyz\n";
        assert_eq!(position(text, 0), (1, 1));
        assert_eq!(position(text, 1), (1, 2));
        assert_eq!(position(text, 3), (1, 3));
        assert_eq!(position(text, 4), (2, 1));
        assert_eq!(position(text, 6), (2, 3));
        assert_eq!(position(text, 999), (3, 1));
    }

    #[test]
    fn a_finding_ends_after_its_last_character() {
        let text = "aé\nxyz\nb";
        let place = |span| {
            let finding = Finding::at("a", text, span, "m");
            (finding.line, finding.column, finding.end_line, finding.end_column)
        };
        assert_eq!(place(1..3), (1, 2, 1, 3));
        assert_eq!(place(5..7), (2, 2, 2, 4));
        assert_eq!(place(1..6), (1, 2, 2, 3));
        assert_eq!(place(4..9), (2, 1, 3, 2));
        assert_eq!(place(9..9), (3, 2, 3, 2));
        assert_eq!(place(99..100), (3, 2, 3, 2));
        assert_eq!(place(2..3), (1, 2, 1, 2));
    }

    #[test]
    fn a_refusal_lists_its_findings_up_to_the_limit() {
        let finding = |n: usize| Finding::at("a.cedar", "x\ny", 2..2, format!("problem {n}"));
        let few = PolicyError::Refused(vec![finding(1)]).to_string();
        assert_eq!(few, "policy set refused, 1 problem to mend:\n  a.cedar:2:1: problem 1");
        let many = PolicyError::Refused((0..=FINDINGS_MAX).map(finding).collect()).to_string();
        assert!(many.ends_with("problem 99\n  and 1 more"), "{many}");
    }

    #[test]
    fn shortening_cuts_at_a_character_and_escapes_controls() {
        assert_eq!(shorten("abc", 3), "abc");
        assert_eq!(shorten("abcd", 3), "abc…");
        assert_eq!(shorten("éé", 3), "é…");
        assert_eq!(shorten("a\u{1b}[2J", 30), "a\\u{1b}[2J");
    }
}

//! What is wrong with a policy directory, each with the line it is about and a mark under the part that is meant.

use std::ops::Range;

use anstyle::Style;
use policy::limits::FINDINGS_MAX;
use policy::{Finding, PolicyFile, WHOLE_SET};

use super::style::{BAD, DIM, WARN, paint};
use super::text::{add, paragraph, safe};

/// Columns from one tab stop to the next.
const TAB: usize = 4;
/// Fewest columns of a line that are shown, however narrow the terminal is.
const LINE_MIN: usize = 20;

/// How much a finding weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weight {
    /// The set is refused for it.
    Error,
    /// The set is taken all the same.
    Warning,
}

impl Weight {
    fn word(self) -> (&'static str, Style) {
        match self {
            Self::Error => ("error:", BAD),
            Self::Warning => ("warning:", WARN),
        }
    }
}

/// All findings about the directory `dir` that had these files, as far as the limit goes; a blank line after each.
pub(crate) fn findings(
    dir: &str,
    files: &[PolicyFile],
    found: &[Finding],
    weight: Weight,
    width: usize,
) -> String {
    let mut out = String::new();
    for finding in found.iter().take(FINDINGS_MAX) {
        let file = files.iter().find(|file| file.path == finding.file);
        out.push_str(&one(dir, file, finding, weight, width));
        out.push('\n');
    }
    if let Some(more) = found.len().checked_sub(FINDINGS_MAX).filter(|more| *more > 0) {
        add(&mut out, format_args!("and {more} more\n\n"));
    }
    out
}

fn one(dir: &str, file: Option<&PolicyFile>, finding: &Finding, weight: Weight, width: usize) -> String {
    let (word, style) = weight.word();
    let mut out = paragraph(&format!("{} {}", paint(style, word), safe(&finding.message)), 2, width);
    let line = file.and_then(|file| Line::of(file, finding));
    let gutter = finding.line.to_string().len().max(1);
    let margin = " ".repeat(gutter);
    add(&mut out, format_args!("{margin}{} {}\n", paint(DIM, "-->"), safe(&place(dir, finding))));
    let bar = paint(DIM, "|");
    if let Some(line) = line {
        let (text, marked) = line.around(width.saturating_sub(gutter + 3).max(LINE_MIN));
        let number = paint(DIM, &finding.line.to_string());
        let mark = format!("{}{}", " ".repeat(marked.start), paint(style, &"^".repeat(marked.len())));
        add(&mut out, format_args!("{margin} {bar}\n"));
        add(&mut out, format_args!("{}\n", format!("{number} {bar} {text}").trim_end()));
        add(&mut out, format_args!("{margin} {bar} {mark}\n"));
    }
    if let Some(help) = &finding.help {
        let told = paragraph(&format!("{} {}", paint(DIM, "help:"), safe(help)), gutter + 3, width);
        add(&mut out, format_args!("{margin} {} {told}", paint(DIM, "=")));
    }
    out
}

/// `dir/file:line:column`, as terminals and editors follow it.
fn place(dir: &str, finding: &Finding) -> String {
    if finding.file == WHOLE_SET {
        return dir.to_owned();
    }
    let file = format!("{}/{}", dir.trim_end_matches('/'), finding.file);
    if finding.line == 0 { file } else { format!("{file}:{}:{}", finding.line, finding.column) }
}

/// A line in the pieces in which a terminal shows it, and which of them are meant.
struct Line {
    /// What is shown for each character.
    pieces: Vec<String>,
    /// Columns before each piece, and those of all.
    before: Vec<usize>,
    marked: Range<usize>,
}

impl Line {
    /// The line on which a finding begins; nothing when it is about the file as a whole.
    fn of(file: &PolicyFile, finding: &Finding) -> Option<Self> {
        let position = |one_based: u32| usize::try_from(one_based).ok()?.checked_sub(1);
        let text = file.text.split('\n').nth(position(finding.line)?)?;
        let text = text.strip_suffix('\r').unwrap_or(text);
        let (mut pieces, mut before, mut column) = (Vec::new(), vec![0], 0);
        for c in text.chars() {
            let (piece, columns) = shown(c, column);
            column += columns;
            pieces.push(piece);
            before.push(column);
        }
        let start = position(finding.column)?.min(pieces.len());
        let same_line = finding.end_line == finding.line;
        let end = if same_line { position(finding.end_column)? } else { pieces.len() };
        Some(Self { marked: start..end.clamp(start, pieces.len()), pieces, before })
    }

    /// As much of the line as fits, the mark's beginning in any case, and the columns to mark, one at least.
    fn around(&self, room: usize) -> (String, Range<usize>) {
        let column = |at: usize| self.before.get(at).copied().unwrap_or_default();
        let all = self.pieces.len();
        let mark = column(self.marked.start);
        let (first, last) = if column(all) <= room {
            (0, all)
        } else {
            // A column on either side is kept for `…`; what leads to the mark gets a half.
            let first = self.before.partition_point(|columns| columns + room / 2 < mark);
            let last = self.before.partition_point(|columns| columns + 2 <= column(first) + room);
            (first, last.saturating_sub(1).clamp(first, all))
        };
        let left = if first > 0 { "…" } else { "" };
        let right = if last < all { "…" } else { "" };
        let text = self.pieces.get(first..last).unwrap_or_default().concat();
        let from = usize::from(first > 0) + mark - column(first);
        let long = column(self.marked.end.min(last)).saturating_sub(mark).max(1);
        (format!("{left}{text}{right}"), from..from + long)
    }
}

/// A character as it is shown in this column, and the columns it takes.
fn shown(c: char, column: usize) -> (String, usize) {
    if c == '\t' {
        let blanks = TAB - column % TAB;
        return (" ".repeat(blanks), blanks);
    }
    let text = c.to_string();
    match safe(&text) {
        // An escape is plain text.
        std::borrow::Cow::Owned(escape) => (escape.clone(), escape.len()),
        std::borrow::Cow::Borrowed(_) => (text, columns(c)),
    }
}

/// Columns that a terminal gives to a character: none to marks that sit on the one before, two to wide ones.
fn columns(c: char) -> usize {
    match u32::from(c) {
        0x300..=0x36f
        | 0x483..=0x489
        | 0x591..=0x5bd
        | 0x610..=0x61a
        | 0x64b..=0x65f
        | 0x1ab0..=0x1aff
        | 0x1dc0..=0x1dff
        | 0x20d0..=0x20ff
        | 0xfe00..=0xfe0f
        | 0xfe20..=0xfe2f
        | 0xe0100..=0xe01ef => 0,
        0x1100..=0x115f
        | 0x231a..=0x231b
        | 0x23e9..=0x23ec
        | 0x2614..=0x2615
        | 0x2648..=0x2653
        | 0x26a1
        | 0x26bd..=0x26be
        | 0x2705
        | 0x270a..=0x270b
        | 0x2728
        | 0x274c
        | 0x274e
        | 0x2753..=0x2757
        | 0x2795..=0x2797
        | 0x2b1b..=0x2b1c
        | 0x2b50
        | 0x2e80..=0x303e
        | 0x3041..=0x4dbf
        | 0x4e00..=0xa4cf
        | 0xa960..=0xa97f
        | 0xac00..=0xd7a3
        | 0xf900..=0xfaff
        | 0xfe30..=0xfe6f
        | 0xff00..=0xff60
        | 0xffe0..=0xffe6
        | 0x1f300..=0x1f64f
        | 0x1f680..=0x1f6ff
        | 0x1f900..=0x1f9ff
        | 0x1fa70..=0x1faff
        | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}

#[cfg(test)]
#[path = "findings/tests.rs"]
mod tests;

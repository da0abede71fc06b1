//! The difference between a text and the same text with pieces replaced, as people know it from `diff -u`.

use std::ops::Range;

use super::splice::{Splice, apply};

/// Unchanged lines shown before and after what changes.
const CONTEXT_LINES: usize = 3;
/// Longest line that is shown whole, characters: some clients write their file as one line.
const LINE_MAX_CHARS: usize = 400;

/// One line of a difference: `-`, `+`, a blank or `@`, and the line without its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DiffLine {
    pub(crate) mark: char,
    pub(crate) text: String,
}

/// The pieces of a text of which a difference shows anything, in order.
pub(super) fn shown(text: &str, splices: &[Splice]) -> Vec<Range<usize>> {
    let starts = line_starts(text);
    let line_of = |at: usize| starts.partition_point(|start| *start <= at).saturating_sub(1);
    let start = |line: usize| starts.get(line).copied().unwrap_or(text.len());
    let hunks = hunks(splices, &line_of, starts.len()).into_iter();
    hunks.map(|hunk| start(hunk.shown.start)..start(hunk.shown.end)).collect()
}

/// The changed lines with some around them. The line numbers are those of the texts given.
pub(super) fn diff(text: &str, splices: &[Splice]) -> Option<Vec<DiffLine>> {
    let starts = line_starts(text);
    let line_of = |at: usize| starts.partition_point(|start| *start <= at).saturating_sub(1);
    let span = |lines: &Range<usize>| {
        let end = starts.get(lines.end).copied().unwrap_or(text.len());
        starts.get(lines.start).copied().unwrap_or(text.len())..end
    };
    let mut out = Vec::new();
    let mut grown = 0_isize;
    for hunk in hunks(splices, &line_of, starts.len()) {
        let (mut old, mut new) = (0, 0);
        let mut lines = Vec::new();
        let mut at = hunk.shown.start;
        for (changed, splices) in hunk.changed {
            let kept = context(text, &span(&(at..changed.start)));
            let range = span(&changed);
            let moved: Vec<Splice> = splices.iter().map(|splice| moved(splice, range.start)).collect();
            let before = text.get(range)?;
            let after = apply(before, &moved)?;
            let (removed, added, same) = change(before, &after);
            old += kept.len() + removed.len() + same.len();
            new += kept.len() + added.len() + same.len();
            lines.extend(kept.into_iter().chain(removed).chain(added).chain(same));
            at = changed.end;
        }
        let kept = context(text, &span(&(at..hunk.shown.end)));
        old += kept.len();
        new += kept.len();
        lines.extend(kept);
        let start = hunk.shown.start + 1;
        let start_new = start.saturating_add_signed(grown);
        grown += isize::try_from(new).ok()? - isize::try_from(old).ok()?;
        out.push(DiffLine { mark: '@', text: format!("@@ -{start},{old} +{start_new},{new} @@") });
        out.extend(lines);
    }
    Some(out)
}

/// Lines that are shown together.
struct Hunk<'a> {
    shown: Range<usize>,
    /// Lines that change, with what changes in them; in order, apart from each other.
    changed: Vec<(Range<usize>, Vec<&'a Splice>)>,
}

fn hunks<'a>(splices: &'a [Splice], line_of: &dyn Fn(usize) -> usize, lines: usize) -> Vec<Hunk<'a>> {
    let mut ordered: Vec<&Splice> = splices.iter().collect();
    ordered.sort_by_key(|splice| splice.at.start);
    let mut hunks: Vec<Hunk<'_>> = Vec::new();
    for splice in ordered {
        let changed = line_of(splice.at.start)..line_of(splice.at.end) + 1;
        let shown = changed.start.saturating_sub(CONTEXT_LINES)..(changed.end + CONTEXT_LINES).min(lines);
        match hunks.last_mut() {
            Some(hunk) if shown.start <= hunk.shown.end => {
                hunk.shown.end = hunk.shown.end.max(shown.end);
                match hunk.changed.last_mut() {
                    Some((last, of)) if changed.start <= last.end => {
                        last.end = last.end.max(changed.end);
                        of.push(splice);
                    }
                    _ => hunk.changed.push((changed, vec![splice])),
                }
            }
            _ => hunks.push(Hunk { shown, changed: vec![(changed, vec![splice])] }),
        }
    }
    hunks
}

/// Lines that go, lines that come, and lines at the end that stay: what was put in before a word leaves its line.
fn change(before: &str, after: &str) -> (Vec<DiffLine>, Vec<DiffLine>, Vec<DiffLine>) {
    let (old, new): (Vec<_>, Vec<_>) = (whole(before).collect(), whole(after).collect());
    let same = old.iter().rev().zip(new.iter().rev()).take_while(|(old, new)| old == new).count();
    let (removed, stays) = old.split_at(old.len() - same);
    let (added, _) = new.split_at(new.len() - same);
    let of_all = |mark, lines: &[&str], others: &[&str]| {
        // the end of a line is shown where nothing else of it changes
        let shown = |line: &&str| {
            let bare = without_end(line);
            let differs = others.iter().any(|other| without_end(other) == bare && other != line);
            of(mark, if differs { line } else { bare })
        };
        lines.iter().map(shown).collect()
    };
    (of_all('-', removed, added), of_all('+', added, removed), of_all(' ', stays, &[]))
}

fn moved(splice: &Splice, by: usize) -> Splice {
    let at = splice.at.start.saturating_sub(by)..splice.at.end.saturating_sub(by);
    Splice { at, text: splice.text.clone() }
}

fn context(text: &str, range: &Range<usize>) -> Vec<DiffLine> {
    split(text.get(range.clone()).unwrap_or_default()).map(|line| of(' ', line)).collect()
}

fn split(text: &str) -> impl Iterator<Item = &str> {
    whole(text).map(without_end)
}

/// Lines with the carriage return that they may have.
fn whole(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive('\n').map(|line| line.trim_end_matches('\n'))
}

fn without_end(line: &str) -> &str {
    line.trim_end_matches('\r')
}

fn of(mark: char, line: &str) -> DiffLine {
    let text = if line.chars().count() <= LINE_MAX_CHARS {
        line.to_owned()
    } else {
        line.chars().take(LINE_MAX_CHARS).chain(" …".chars()).collect()
    };
    DiffLine { mark, text }
}

/// Where each line begins; a text that ends in a line break has no empty line behind it.
fn line_starts(text: &str) -> Vec<usize> {
    let breaks = text.match_indices('\n').map(|(at, _)| at + 1).filter(|at| *at < text.len());
    std::iter::once(0).chain(breaks).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, splices: &[Splice]) -> String {
        let lines = diff(text, splices).unwrap().into_iter();
        lines
            .map(|line| if line.mark == '@' { line.text } else { format!("{}{}", line.mark, line.text) } + "\n")
            .collect()
    }

    #[test]
    fn changed_lines_stand_between_some_that_stay() {
        let text = "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n";
        let splices = [Splice::replace(8..9, "five"), Splice::insert(10, "x\ny")];
        let expected = "@@ -2,8 +2,9 @@\n 2\n 3\n 4\n-5\n-6\n+five\n+x\n+y6\n 7\n 8\n 9\n";
        assert_eq!(shown(text, &splices), expected);
        let far = [Splice::replace(0..1, "one\nmore"), Splice::replace(24..26, "last")];
        let expected =
            "@@ -1,4 +1,5 @@\n-1\n+one\n+more\n 2\n 3\n 4\n@@ -9,4 +10,4 @@\n 9\n 10\n 11\n-12\n+last\n";
        assert_eq!(shown(text, &far), expected);
    }

    #[test]
    fn one_long_line_is_cut_and_a_missing_line_break_is_no_line() {
        let text = format!("{{\"a\":1,{}}}", "x".repeat(LINE_MAX_CHARS));
        let told = shown(&text, &[Splice::replace(5..6, "2")]);
        let lines: Vec<_> = told.lines().collect();
        assert_eq!((lines.len(), lines[0]), (3, "@@ -1,1 +1,1 @@"));
        assert!(lines[1].starts_with("-{\"a\":1") && lines[1].ends_with('…'));
        assert!(lines[2].starts_with("+{\"a\":2") && lines[2].chars().count() == LINE_MAX_CHARS + 3);
    }

    #[test]
    fn splices_on_one_line_are_one_change() {
        let told = shown("a b\r\nc\r\n", &[Splice::replace(0..1, "A"), Splice::replace(2..3, "B")]);
        assert_eq!(told, "@@ -1,2 +1,2 @@\n-a b\n+A B\n c\n");
        // of line ends only a change is told
        let told = shown("a\r\nb\r\n", &[Splice::replace(0..3, "a\n")]);
        assert_eq!(told, "@@ -1,2 +1,2 @@\n-a\r\n+a\n b\n");
        // a line that only moves down is not told as a change
        assert_eq!(shown(" a\nb\n", &[Splice::insert(1, "x\n ")]), "@@ -1,2 +1,3 @@\n+ x\n  a\n b\n");
    }
}

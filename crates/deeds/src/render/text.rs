//! Text from outside made harmless, cut, wrapped; times.

use std::borrow::Cow;
use std::fmt::{Arguments, Write as _};

use jiff::Timestamp;

/// Adds formatted text to a string.
pub(crate) fn add(out: &mut String, text: Arguments<'_>) {
    // writing to a string cannot fail
    let _ = out.write_fmt(text);
}

/// Text without anything that acts on a terminal or reorders what is shown: such characters appear as escapes.
pub(crate) fn safe(text: &str) -> Cow<'_, str> {
    if !text.chars().any(acts) {
        return Cow::Borrowed(text);
    }
    let escape = |c: char| if acts(c) { c.escape_default().to_string() } else { c.to_string() };
    Cow::Owned(text.chars().map(escape).collect())
}

/// As [`safe`], keeping line breaks.
pub(crate) fn lines(text: &str) -> String {
    text.lines().map(safe).collect::<Vec<_>>().join("\n")
}

fn acts(c: char) -> bool {
    c.is_control()
        // marks, embeddings, overrides and isolates of bidirectional text; separators; zero-width characters
        || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// At most the last `max` characters, the first of them `…` where something was cut.
pub(crate) fn cut_left(text: &str, max: usize) -> Cow<'_, str> {
    let length = text.chars().count();
    if length <= max {
        return Cow::Borrowed(text);
    }
    let kept = max.saturating_sub(1);
    Cow::Owned(['…'].into_iter().take(max).chain(text.chars().skip(length - kept)).collect())
}

/// At most `max` characters: the beginning and the end, and `…` for what was cut between them.
pub(crate) fn cut_middle(text: &str, max: usize) -> Cow<'_, str> {
    let length = text.chars().count();
    if length <= max {
        return Cow::Borrowed(text);
    }
    let kept = max.saturating_sub(1);
    let (first, last) = (kept / 2, kept - kept / 2);
    let middle = ['…'].into_iter().take(max);
    Cow::Owned(text.chars().take(first).chain(middle).chain(text.chars().skip(length - last)).collect())
}

/// Characters that are seen of a text with styles.
pub(crate) fn visible(text: &str) -> usize {
    anstream::adapter::strip_str(text).to_string().chars().count()
}

/// At most `max` characters, the last of them `…` where something was cut.
pub(crate) fn cut(text: &str, max: usize) -> Cow<'_, str> {
    if text.chars().count() <= max {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().take(max.saturating_sub(1)).chain(['…']).collect())
}

/// Words in lines of at most `width` characters; a word longer than that has a line of its own.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut length = 0;
    for word in text.split_whitespace() {
        let word_length = visible(word);
        match lines.last_mut() {
            Some(line) if length + 1 + word_length <= width => {
                line.push(' ');
                line.push_str(word);
                length += 1 + word_length;
            }
            _ => {
                lines.push(word.to_owned());
                length = word_length;
            }
        }
    }
    lines
}

/// Lines broken where they are wider than asked; those that fit stay as they are.
pub(crate) fn wrap_lines(text: &str, width: usize) -> String {
    let broken = text
        .lines()
        .map(|line| if visible(line) <= width { line.to_owned() } else { wrap(line, width).join("\n") });
    broken.collect::<Vec<_>>().join("\n")
}

/// A paragraph whose further lines are indented by `hang` blanks; ends in a line break.
pub(crate) fn paragraph(text: &str, hang: usize, width: usize) -> String {
    wrap(text, width.saturating_sub(hang)).join(&format!("\n{}", " ".repeat(hang))) + "\n"
}

/// A paragraph that is indented by `indent` blanks, its further lines by two more.
pub(crate) fn item(text: &str, indent: usize, width: usize) -> String {
    " ".repeat(indent) + &paragraph(text, indent + 2, width)
}

/// The day of a time in ms, UTC.
pub(crate) fn date(ms: u64) -> String {
    time(ms).split(' ').next().unwrap_or_default().to_owned()
}

/// The time of day of a time in ms, UTC: `02:00:00`.
pub(crate) fn clock(ms: u64) -> String {
    time(ms).split(' ').nth(1).unwrap_or_default().trim_end_matches('Z').to_owned()
}

/// A time in ms, UTC: `2026-11-03 02:00:00Z`.
pub(crate) fn time(ms: u64) -> String {
    let at = i64::try_from(ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    at.map_or_else(|| format!("{ms} ms"), |at| at.strftime("%Y-%m-%d %H:%M:%SZ").to_string())
}

/// A time in seconds, as [`time`].
pub(crate) fn time_s(seconds: u64) -> String {
    time(seconds.saturating_mul(1_000))
}

/// A duration in µs.
pub(crate) fn duration(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} µs"),
        1_000..1_000_000 => format!("{}.{} ms", us / 1_000, us % 1_000 / 100),
        _ => format!("{}.{} s", us / 1_000_000, us % 1_000_000 / 100_000),
    }
}

/// A length of time in ms, in its largest unit: `3 d`, `5 h`, `7 min`, `9 s`.
pub(crate) fn age(ms: u64) -> String {
    let s = ms / 1_000;
    match s {
        0..60 => format!("{s} s"),
        60..3_600 => format!("{} min", s / 60),
        3_600..86_400 => format!("{} h", s / 3_600),
        _ => format!("{} d", s / 86_400),
    }
}

/// `1 entry`, `2 entries`.
pub(crate) fn count(n: u64, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_acts_on_a_terminal_is_shown_as_an_escape() {
        assert_eq!(safe("plain – ünicode"), "plain – ünicode");
        assert_eq!(safe("a\u{1b}[2J\r\n\u{202e}b"), "a\\u{1b}[2J\\r\\n\\u{202e}b");
        assert_eq!(lines("a\u{7}\nb"), "a\\u{7}\nb");
    }

    #[test]
    fn long_text_is_cut_and_wrapped_by_characters() {
        assert_eq!((cut("äöü", 3).as_ref(), cut("äöüx", 3).as_ref()), ("äöü", "äö…"));
        assert_eq!((cut_left("äöü", 3).as_ref(), cut_left("xäöü", 3).as_ref()), ("äöü", "…öü"));
        assert_eq!(cut_left("abc", 0), "");
        assert_eq!((cut_middle("äöü", 3).as_ref(), cut_middle("äöüxyz", 5).as_ref()), ("äöü", "äö…yz"));
        assert_eq!([cut_middle("abcdef", 4), cut_middle("abc", 1), cut_middle("abc", 0)], ["a…ef", "…", ""]);
        assert_eq!(wrap_lines("  a b\n  a bb ccc", 5), "  a b\na bb\nccc");
        assert_eq!(paragraph("note: one two", 2, 9), "note:\n  one two\n");
        assert_eq!(item("note: one two", 2, 12), "  note:\n    one two\n");
        assert_eq!(wrap("a bb ccc dddd", 4), ["a bb", "ccc", "dddd"]);
        assert_eq!(wrap("incomprehensibly long", 6), ["incomprehensibly", "long"]);
        assert!(wrap("  ", 5).is_empty());
    }

    #[test]
    fn times_and_durations_are_for_people() {
        assert_eq!(time(1_793_671_200_000), "2026-11-03 02:00:00Z");
        assert_eq!(
            (date(1_793_671_200_000), clock(1_793_671_200_000)),
            ("2026-11-03".into(), "02:00:00".into())
        );
        assert_eq!(time(u64::MAX), format!("{} ms", u64::MAX));
        assert_eq!([duration(7), duration(1_234), duration(12_345_678)], ["7 µs", "1.2 ms", "12.3 s"]);
        assert_eq!([59_999, 60_000, 3_600_000, 86_400_000].map(age), ["59 s", "1 min", "1 h", "1 d"]);
    }

    proptest! {
        #[test]
        fn nothing_that_acts_is_left(text in "\\PC*|[\\x00-\\x1f\\u{200b}-\\u{206f}]*", width in 1_usize..40) {
            let safe = safe(&text);
            prop_assert!(!safe.chars().any(acts));
            prop_assert!(cut(&safe, width).chars().count() <= width);
            prop_assert!(cut_left(&safe, width).chars().count() <= width);
            prop_assert!(cut_middle(&safe, width).chars().count() <= width);
        }
    }
}

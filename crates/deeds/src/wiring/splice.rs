//! Edits as replaced pieces of a text: what is not named stays byte for byte.

use std::ops::Range;

/// One piece of a text and what takes its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Splice {
    /// Bytes of the old text.
    pub(super) at: Range<usize>,
    /// What stands there afterwards.
    pub(super) text: String,
}

impl Splice {
    /// Puts a text in the place of a piece.
    pub(super) fn replace(at: Range<usize>, text: impl Into<String>) -> Self {
        Self { at, text: text.into() }
    }

    /// Puts a text before a position.
    pub(super) fn insert(at: usize, text: impl Into<String>) -> Self {
        Self { at: at..at, text: text.into() }
    }

    /// Takes a piece out.
    pub(super) fn remove(at: Range<usize>) -> Self {
        Self { at, text: String::new() }
    }
}

/// The text with all splices made. They are put in order here; two that touch the same bytes, or a place that is no
/// boundary of a character, are a bug of whoever made them, and nothing comes of it.
pub(super) fn apply(text: &str, splices: &[Splice]) -> Option<String> {
    let mut ordered: Vec<&Splice> = splices.iter().collect();
    ordered.sort_by_key(|splice| (splice.at.start, splice.at.end));
    let mut out = String::with_capacity(text.len() + 256 * splices.len());
    let mut at = 0;
    for splice in ordered {
        out.push_str(text.get(at..splice.at.start)?);
        out.push_str(&splice.text);
        at = splice.at.end;
    }
    out.push_str(text.get(at..)?);
    Some(out)
}

/// Where splices of a text stand once other pieces of it were replaced; the two must not touch each other.
pub(super) fn shifted(splices: &[Splice], by: &[Splice]) -> Vec<Splice> {
    let mut by: Vec<&Splice> = by.iter().collect();
    by.sort_by_key(|splice| splice.at.end);
    // bytes put in and taken out up to the end of each piece
    let mut sums = Vec::with_capacity(by.len());
    let (mut longer, mut shorter) = (0, 0);
    for splice in &by {
        longer += splice.text.len();
        shorter += splice.at.len();
        sums.push((longer, shorter));
    }
    let moved = |position: usize| {
        let before = by.partition_point(|splice| splice.at.end <= position);
        let (longer, shorter) =
            before.checked_sub(1).and_then(|last| sums.get(last)).copied().unwrap_or_default();
        (position + longer).saturating_sub(shorter)
    };
    let one = |splice: &Splice| Splice {
        at: moved(splice.at.start)..moved(splice.at.end),
        text: splice.text.clone(),
    };
    splices.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_replaced_in_any_order_and_the_rest_stays() {
        let splices = [Splice::remove(5..6), Splice::insert(0, ">"), Splice::replace(1..3, "XYZ")];
        assert_eq!(apply("äabcdef", &[Splice::replace(2..3, "1")]).unwrap(), "ä1bcdef");
        assert_eq!(apply("abcdefg", &splices).unwrap(), ">aXYZdeg");
        assert_eq!(apply("abc", &[]).unwrap(), "abc");
    }

    #[test]
    fn what_touches_the_same_bytes_or_half_a_character_comes_to_nothing() {
        assert_eq!(apply("abc", &[Splice::remove(0..2), Splice::remove(1..3)]), None);
        assert_eq!(apply("ä", &[Splice::insert(1, "x")]), None);
        assert_eq!(apply("a", &[Splice::insert(2, "x")]), None);
    }

    #[test]
    fn splices_move_with_what_was_replaced_before_them() {
        let masks = [Splice::replace(0..4, "…"), Splice::replace(8..9, "long")];
        let edits = [Splice::replace(5..6, "!"), Splice::insert(10, "?")];
        let masked = apply("aaaabcccdef", &masks).unwrap();
        let both: Vec<_> = masks.iter().chain(&edits).cloned().collect();
        assert_eq!(apply(&masked, &shifted(&edits, &masks)), apply("aaaabcccdef", &both));
    }
}

//! Spans of time, as a person reads them.

use core::fmt;

/// A number of seconds, shown in its two largest units: `42 s`, `3 min 5 s`, `2 h`, `4 d 3 h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub u64);

const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];

impl Span {
    /// From one time to another, whichever is the later one.
    pub fn between(one: u64, other: u64) -> Self {
        Self(one.abs_diff(other))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        let counted = UNITS.map(|(unit, name)| {
            let count = rest / unit;
            rest %= unit;
            (count, name)
        });
        let first = counted.iter().position(|(count, _)| *count > 0).unwrap_or(UNITS.len() - 1);
        for (at, (count, name)) in counted.iter().enumerate().skip(first).take(2) {
            match at == first {
                true => write!(f, "{count} {name}")?,
                false if *count > 0 => write!(f, " {count} {name}")?,
                false => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_largest_units_are_shown() {
        for (seconds, shown) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (185, "3 min 5 s"),
            (3_599, "59 min 59 s"),
            (3_605, "1 h"),
            (7_860, "2 h 11 min"),
            (86_400 * 4 + 3_600 * 3 + 59, "4 d 3 h"),
            (u64::MAX, "213503982334601 d 7 h"),
        ] {
            assert_eq!(Span(seconds).to_string(), shown);
        }
        assert_eq!(Span::between(7, 3), Span::between(3, 7));
    }
}

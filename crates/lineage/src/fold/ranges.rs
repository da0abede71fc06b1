//! A set of numbers as ranges: which counters a holder has used.

use serde::{Deserialize, Serialize};

use crate::limits::COUNTER_RANGES_MAX;

/// Disjoint ranges, both ends included, in ascending order and never touching.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Ranges(Vec<(u64, u64)>);

impl Ranges {
    /// Adds a number. In a set with too many holes a number that would open another is left out: that there are
    /// holes is what the set is asked for.
    pub(crate) fn insert(&mut self, number: u64) {
        // the first range that ends at or behind the number before
        let at = self.0.partition_point(|(_, end)| end.saturating_add(1) < number);
        let room = self.0.len() < COUNTER_RANGES_MAX;
        match self.0.get_mut(at) {
            Some((start, end)) if *start <= number && number <= *end => {}
            Some((_, end)) if end.saturating_add(1) == number => {
                *end = number;
                self.join(at);
            }
            Some((start, _)) if number.saturating_add(1) == *start => *start = number,
            _ if room => self.0.insert(at, (number, number)),
            _ => {}
        }
    }

    fn join(&mut self, at: usize) {
        let (Some((_, end)), Some((start, next_end))) =
            (self.0.get(at).copied(), self.0.get(at + 1).copied())
        else {
            return;
        };
        if end.saturating_add(1) == start {
            self.0.remove(at + 1);
            if let Some((_, end)) = self.0.get_mut(at) {
                *end = next_end;
            }
        }
    }

    /// The highest number in the set.
    pub(crate) fn top(&self) -> Option<u64> {
        self.0.last().map(|(_, end)| *end)
    }

    /// The lowest number from 0 that is not in the set and below its highest, and how many such there are.
    pub(crate) fn missing(&self) -> Option<(u64, u64)> {
        let mut next = 0_u64;
        let (mut first, mut count) = (None, 0_u64);
        for (start, end) in &self.0 {
            if next < *start {
                first = first.or(Some(next));
                count = count.saturating_add(start - next);
            }
            next = end.saturating_add(1);
        }
        first.map(|first| (first, count))
    }

    /// Everything in `other` that is at most `top`, too.
    pub(crate) fn extend(&mut self, other: &Self, top: u64) {
        let mut all: Vec<(u64, u64)> = self.0.clone();
        all.extend(
            other.0.iter().filter(|(start, _)| *start <= top).map(|(start, end)| (*start, top.min(*end))),
        );
        all.sort_unstable();
        self.0.clear();
        for (start, end) in all {
            match self.0.last_mut() {
                Some((_, last)) if start <= last.saturating_add(1) => *last = end.max(*last),
                _ => self.0.push((start, end)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn of(numbers: &[u64]) -> Ranges {
        let mut ranges = Ranges::default();
        for number in numbers {
            ranges.insert(*number);
        }
        ranges
    }

    #[test]
    fn it_is_the_set_of_what_was_inserted() {
        // every order of a small set, and a pseudo-random longer one
        let mut state = 1_u64;
        for _ in 0..500 {
            let mut numbers = Vec::new();
            for _ in 0..20 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                numbers.push((state >> 33) % 24);
            }
            let set: BTreeSet<u64> = numbers.iter().copied().collect();
            let ranges = of(&numbers);
            assert_eq!(ranges.top(), set.last().copied());
            let holes: Vec<u64> = (0..*set.last().unwrap()).filter(|number| !set.contains(number)).collect();
            assert_eq!(ranges.missing(), holes.first().map(|first| (*first, holes.len() as u64)));
            let half = numbers.len() / 2;
            let mut joined = of(&numbers[..half]);
            joined.extend(&of(&numbers[half..]), u64::MAX);
            assert_eq!(joined, ranges);
        }
    }

    #[test]
    fn what_another_set_has_counts_up_to_the_top() {
        let mut own = of(&[3, 4]);
        own.extend(&of(&[0, 1, 2, 9]), 4);
        assert_eq!((own.missing(), own.top()), (None, Some(4)));
    }

    #[test]
    fn holes_are_bounded() {
        let many: Vec<u64> = (0..=COUNTER_RANGES_MAX as u64).map(|n| n * 2).collect();
        let ranges = of(&many);
        assert_eq!(ranges.0.len(), COUNTER_RANGES_MAX);
        let one_less = of(&many[..COUNTER_RANGES_MAX]);
        assert_eq!(ranges, one_less);
        assert!(of(&[u64::MAX, 0]).missing().is_some());
    }
}

//! Exact decimal numbers: comparing them never rounds (format §6, *Decimal* and *Arguments*).

use core::cmp::Ordering;

use serde_json::{Number, Value};

use crate::json;
use crate::limits::DECIMAL_MAX_BYTES;

/// The largest exponent kept. Those beyond it are of numbers that no double is near, and compare as this one.
const EXPONENT_MAX: i64 = 1 << 40;

/// A decimal number in its one normal form: sign × 0.`digits` × 10^`exponent`.
///
/// `digits` neither begins nor ends with a zero, so that the magnitudes of two numbers of one exponent compare as
/// their digits do; zero has no digits, exponent 0 and no sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Decimal {
    negative: bool,
    exponent: i64,
    digits: Vec<u8>,
}

impl Decimal {
    /// Parses a *decimal* of format §6: no exponent, no leading zeros, at most [`DECIMAL_MAX_BYTES`].
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text.len() > DECIMAL_MAX_BYTES || text.contains(['e', 'E']) {
            return None;
        }
        Self::parse_number(text)
    }

    /// Parses a JSON number of any length, with or without exponent.
    pub(crate) fn parse_number(text: &str) -> Option<Self> {
        let (negative, magnitude) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (mantissa, exponent) = match magnitude.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, parse_exponent(exponent)?),
            None => (magnitude, 0),
        };
        let (whole, fraction) = match mantissa.split_once('.') {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (mantissa, None),
        };
        let leads_with_zero = whole.len() > 1 && whole.starts_with('0');
        if !is_digits(whole) || leads_with_zero || !fraction.is_none_or(is_digits) {
            return None;
        }
        Some(Self::normal(negative, whole, fraction.unwrap_or_default(), exponent))
    }

    /// The decimal that JCS writes for a number.
    pub(crate) fn of(number: &Number) -> Option<Self> {
        Self::parse_number(&json::jcs_text(&Value::Number(number.clone())))
    }

    /// A whole number.
    pub(crate) fn of_integer(number: u64) -> Self {
        Self::normal(false, &number.to_string(), "", 0)
    }

    /// Whether it is zero.
    pub(crate) fn is_zero(&self) -> bool {
        self.digits.is_empty()
    }

    /// Whether nothing stands behind the decimal point.
    pub(crate) fn is_whole(&self) -> bool {
        i64::try_from(self.digits.len()).is_ok_and(|digits| digits <= self.exponent)
    }

    /// The number without its sign.
    pub(crate) fn magnitude(&self) -> Self {
        Self { negative: false, ..self.clone() }
    }

    fn normal(negative: bool, whole: &str, fraction: &str, exponent: i64) -> Self {
        let all: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
        let Some(first) = all.iter().position(|digit| *digit != b'0') else {
            return Self { negative: false, exponent: 0, digits: Vec::new() };
        };
        let end = all.iter().rposition(|digit| *digit != b'0').map_or(0, |last| last + 1);
        let length = |len: usize| i64::try_from(len).unwrap_or(i64::MAX);
        Self {
            negative,
            exponent: exponent.saturating_add(length(whole.len())).saturating_sub(length(first)),
            digits: all.get(first..end).unwrap_or_default().to_vec(),
        }
    }

    fn cmp_magnitude(&self, other: &Self) -> Ordering {
        match (self.digits.is_empty(), other.digits.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            (false, false) => self.exponent.cmp(&other.exponent).then_with(|| self.digits.cmp(&other.digits)),
        }
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.negative, other.negative) {
            (false, false) => self.cmp_magnitude(other),
            (true, true) => other.cmp_magnitude(self),
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
        }
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn parse_exponent(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if !is_digits(digits) {
        return None;
    }
    // digits alone fail to parse only where they are too many
    let magnitude = digits.parse::<i64>().unwrap_or(EXPONENT_MAX).min(EXPONENT_MAX);
    Some(if negative { -magnitude } else { magnitude })
}

#[cfg(test)]
mod tests;

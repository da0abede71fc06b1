//! The bounds of `range` and `decimal_range` (format §6), compared exactly.

use core::cmp::Ordering;

use serde_json::{Map, Value, json};

use crate::decimal::Decimal;

/// One bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bound {
    /// The number.
    pub(super) at: Decimal,
    /// As it is written: an integer, or the string of a decimal.
    pub(super) written: Value,
    /// Whether the number itself passes.
    pub(super) inclusive: bool,
}

/// A lower bound, an upper bound or both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) min: Option<Bound>,
    pub(super) max: Option<Bound>,
}

impl Bounds {
    /// Whether a number, or a decimal, is within.
    pub(super) fn permit(&self, value: &Value) -> bool {
        let number = match value {
            Value::Number(number) => Decimal::of(number),
            Value::String(text) => Decimal::parse(text),
            _ => None,
        };
        number.is_some_and(|number| {
            let beside = |bound: &Option<Bound>, side: Ordering| {
                bound.as_ref().is_none_or(|bound| bound.permits(&number, side))
            };
            beside(&self.min, Ordering::Greater) && beside(&self.max, Ordering::Less)
        })
    }

    /// Whether each bound of `outer` has one here that is no looser.
    pub(super) fn within(&self, outer: &Self) -> bool {
        let tighter = |own: &Option<Bound>, outer: &Option<Bound>, side: Ordering| {
            let Some(outer) = outer else { return true };
            own.as_ref().is_some_and(|own| {
                let order = own.at.cmp(&outer.at);
                order == side || (order == Ordering::Equal && (outer.inclusive || !own.inclusive))
            })
        };
        tighter(&self.min, &outer.min, Ordering::Greater) && tighter(&self.max, &outer.max, Ordering::Less)
    }

    /// The constraint object.
    pub(super) fn to_json(&self, kind: &str) -> Value {
        let mut members = Map::from_iter([("constraint_type".to_owned(), json!(kind))]);
        for (name, bound) in [("min", &self.min), ("max", &self.max)] {
            let Some(bound) = bound else { continue };
            members.insert(name.to_owned(), bound.written.clone());
            if !bound.inclusive {
                members.insert(format!("{name}_inclusive"), false.into());
            }
        }
        members.into()
    }

    /// The bounds in words.
    pub(super) fn describe(&self) -> String {
        let worded = |bound: &Bound, inclusive: &str, exclusive: &str| {
            let written = bound.written.as_str().map_or_else(|| bound.written.to_string(), str::to_owned);
            format!("{} {written}", if bound.inclusive { inclusive } else { exclusive })
        };
        let min = self.min.as_ref().map(|bound| worded(bound, "from", "above"));
        let max = self.max.as_ref().map(|bound| worded(bound, "up to", "below"));
        min.into_iter().chain(max).collect::<Vec<_>>().join(" ")
    }
}

impl Bound {
    /// Whether a number is on the given side of it, or at it where that is allowed.
    fn permits(&self, number: &Decimal, side: Ordering) -> bool {
        let order = number.cmp(&self.at);
        order == side || (order == Ordering::Equal && self.inclusive)
    }
}

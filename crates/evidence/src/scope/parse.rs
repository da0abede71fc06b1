//! Reading constraints strictly: an unknown type, and an unknown or missing member, refuse the scope (format §6).

use std::collections::BTreeMap;

use serde_json::Value;

use super::bounds::{Bound, Bounds};
use super::place::{self, Path};
use super::rule::Rule;
use super::{ScopeError, scalar};
use crate::decimal::Decimal;
use crate::limits::{
    DECIMAL_MAX_BYTES, JSON_INTEGER_MAX, SCOPE_CLAUSES_MAX, SCOPE_NESTING_MAX, SCOPE_STRING_MAX_BYTES,
    SCOPE_VALUES_MAX,
};

pub(super) fn wrong(what: &str) -> ScopeError {
    ScopeError(what.to_owned())
}

/// A string within the limit.
pub(super) fn bounded(text: &str) -> Result<String, ScopeError> {
    if text.len() > SCOPE_STRING_MAX_BYTES {
        return Err(wrong(&format!("a string is longer than {SCOPE_STRING_MAX_BYTES} bytes")));
    }
    Ok(text.to_owned())
}

/// The members of one constraint object that have not been read yet.
pub(super) struct Members<'a> {
    name: &'a str,
    left: BTreeMap<&'a str, &'a Value>,
}

impl<'a> Members<'a> {
    /// Of the constraint of the argument `name`.
    pub(super) fn of(name: &'a str, value: &'a Value) -> Result<Self, ScopeError> {
        let members = value.as_object().ok_or_else(|| of_argument(name, "is not an object"))?;
        Ok(Self { name, left: members.iter().map(|(name, value)| (name.as_str(), value)).collect() })
    }

    /// A member that is true or false, if it is there.
    pub(super) fn flag(&mut self, member: &str) -> Result<Option<bool>, ScopeError> {
        let value = self.left.remove(member);
        let flag = |value: &Value| {
            value.as_bool().ok_or_else(|| self.wrong(&format!("has a `{member}` that is not true or false")))
        };
        value.map(flag).transpose()
    }

    fn demand(&mut self, member: &str) -> Result<&'a Value, ScopeError> {
        self.left.remove(member).ok_or_else(|| self.wrong(&format!("lacks its `{member}`")))
    }

    fn text(&mut self, member: &str) -> Result<String, ScopeError> {
        let value = self.demand(member)?;
        let text = value.as_str().ok_or_else(|| self.wrong(&format!("has a `{member}` that is not text")))?;
        bounded(text)
    }

    fn list(&mut self, member: &str, most: usize) -> Result<&'a Vec<Value>, ScopeError> {
        let value = self.demand(member)?;
        value
            .as_array()
            .filter(|list| (1..=most).contains(&list.len()))
            .ok_or_else(|| self.wrong(&format!("does not list 1 to {most} in its `{member}`")))
    }

    fn scalars(&mut self, member: &str) -> Result<Vec<Value>, ScopeError> {
        self.list(member, SCOPE_VALUES_MAX)?.iter().map(scalar).collect()
    }

    fn path(&mut self, member: &str) -> Result<String, ScopeError> {
        let path = self.text(member)?;
        if Path::parse(&path).is_none() {
            return Err(self.wrong(&format!(
                "has a `{member}` that is not a plain path: \
                 no empty segment, no `.`, `..`, backslash or control character"
            )));
        }
        Ok(path)
    }

    fn hosts(&mut self, member: &str) -> Result<Vec<String>, ScopeError> {
        let pattern =
            |value: &Value| value.as_str().filter(|text| place::is_host_pattern(text)).map(str::to_owned);
        let hosts: Option<Vec<String>> = self.list(member, SCOPE_VALUES_MAX)?.iter().map(pattern).collect();
        hosts.ok_or_else(|| {
            self.wrong(&format!(
                "has a `{member}` with something other than hosts in lower case, or `*.` before one"
            ))
        })
    }

    fn bounds(
        &mut self,
        number: fn(&Value) -> Option<Decimal>,
        expected: &str,
    ) -> Result<Bounds, ScopeError> {
        let min = self.bound("min", "min_inclusive", number, expected)?;
        let max = self.bound("max", "max_inclusive", number, expected)?;
        if min.is_none() && max.is_none() {
            return Err(self.wrong("has neither `min` nor `max`"));
        }
        Ok(Bounds { min, max })
    }

    fn bound(
        &mut self,
        member: &str,
        inclusive: &str,
        number: fn(&Value) -> Option<Decimal>,
        expected: &str,
    ) -> Result<Option<Bound>, ScopeError> {
        let Some(written) = self.left.remove(member) else { return Ok(None) };
        let at =
            number(written).ok_or_else(|| self.wrong(&format!("has a `{member}` that is not {expected}")))?;
        let inclusive = self.flag(inclusive)?.unwrap_or(true);
        Ok(Some(Bound { at, written: written.clone(), inclusive }))
    }

    /// Nothing may be left: what this version does not know could be a limit.
    fn end(self) -> Result<(), ScopeError> {
        match self.left.keys().next() {
            None => Ok(()),
            Some(left) => {
                Err(self.wrong(&format!("has a member that does not belong there: `{}`", scalar::cut(left))))
            }
        }
    }

    fn wrong(&self, what: &str) -> ScopeError {
        of_argument(self.name, what)
    }
}

/// Reads the rules of one row and counts them.
#[derive(Default)]
pub(super) struct Rules(usize);

impl Rules {
    /// How many were read, those within others counted too.
    pub(super) fn count(&self) -> usize {
        self.0
    }

    /// Reads one rule at a depth, 1 directly under an argument name.
    pub(super) fn parse(&mut self, mut members: Members<'_>, depth: usize) -> Result<Rule, ScopeError> {
        if depth > SCOPE_NESTING_MAX {
            return Err(members.wrong(&format!("is nested deeper than {SCOPE_NESTING_MAX}")));
        }
        self.0 += 1;
        let kind = members.text("constraint_type")?;
        let rule = match kind.as_str() {
            "exact" => Rule::Exact(scalar(members.demand("value")?)?),
            "one_of" => Rule::OneOf(members.scalars("values")?),
            "not_one_of" => Rule::NotOneOf(members.scalars("excluded")?),
            "range" => Rule::Range(members.bounds(integer, "an integer within 2^53")?),
            "decimal_range" => {
                let expected = format!("a decimal in a string of at most {DECIMAL_MAX_BYTES} bytes");
                Rule::DecimalRange(members.bounds(decimal, &expected)?)
            }
            "prefix" => Rule::Prefix(members.text("prefix")?),
            "path_under" => Rule::PathUnder(members.path("path")?),
            "host_in" => Rule::HostIn(members.hosts("hosts")?),
            "contains" => Rule::Contains(members.scalars("required")?),
            "subset" => Rule::Subset(members.scalars("allowed")?),
            "wildcard" => Rule::Wildcard,
            "all" => Rule::All(self.clauses(&mut members, depth)?),
            "any" => Rule::Any(self.clauses(&mut members, depth)?),
            _ => {
                let kind = scalar::cut(&kind);
                return Err(members.wrong(&format!("is of a type that this version does not know: `{kind}`")));
            }
        };
        members.end()?;
        Ok(rule)
    }

    fn clauses(&mut self, members: &mut Members<'_>, depth: usize) -> Result<Vec<Rule>, ScopeError> {
        let name = members.name;
        let clauses = members.list("constraints", SCOPE_CLAUSES_MAX)?;
        clauses.iter().map(|clause| self.parse(Members::of(name, clause)?, depth + 1)).collect()
    }
}

fn of_argument(name: &str, what: &str) -> ScopeError {
    wrong(&format!("the constraint of `{}` {what}", scalar::cut(name)))
}

fn is_integer(value: &Value) -> bool {
    value.as_u64().is_some_and(|n| n <= JSON_INTEGER_MAX)
        || value.as_i64().is_some_and(|n| n.unsigned_abs() <= JSON_INTEGER_MAX)
}

fn integer(value: &Value) -> Option<Decimal> {
    value.as_number().filter(|_| is_integer(value)).and_then(Decimal::of)
}

fn decimal(value: &Value) -> Option<Decimal> {
    value.as_str().and_then(Decimal::parse)
}

fn scalar(value: &Value) -> Result<Value, ScopeError> {
    match value {
        Value::String(text) => bounded(text).map(Value::String),
        Value::Bool(_) | Value::Null => Ok(value.clone()),
        Value::Number(_) if is_integer(value) => Ok(value.clone()),
        Value::Number(_) => Err(wrong("a number in a scope is an integer within 2^53")),
        Value::Array(_) | Value::Object(_) => {
            Err(wrong("a value in a scope is a string, integer, boolean or null"))
        }
    }
}

//! One constrained argument: a rule, and whether the argument may be left out.

use serde_json::Value;

use super::parse::{Members, Rules};
use super::rule::Rule;
use super::{Denial, ScopeError};

/// One constrained argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Constraint {
    rule: Rule,
    optional: bool,
}

impl Constraint {
    /// Whether the argument may be left out.
    pub fn is_optional(&self) -> bool {
        self.optional
    }

    /// What it allows, in words; long lists are cut.
    pub fn describe(&self) -> String {
        self.rule.describe()
    }

    /// The constraint object.
    pub fn to_json(&self) -> Value {
        let mut value = self.rule.to_json();
        if let (true, Some(members)) = (self.optional, value.as_object_mut()) {
            members.insert("optional".into(), true.into());
        }
        value
    }

    /// Whether the value of an argument may be this; `name` is for the refusal.
    pub fn permits(&self, name: &str, value: Option<&Value>) -> Result<(), Denial> {
        let Some(value) = value else {
            return if self.optional { Ok(()) } else { Err(Denial::Missing(name.to_owned())) };
        };
        if self.rule.permits(value) {
            return Ok(());
        }
        Err(Denial::Value { name: name.to_owned(), allowed: self.rule.describe() })
    }

    /// Whether it allows nothing that `outer` does not.
    pub fn within(&self, outer: &Self) -> bool {
        (!self.optional || outer.optional) && self.rule.within(&outer.rule)
    }

    /// Whether any value passes.
    pub(super) fn allows_anything(&self) -> bool {
        self.rule == Rule::Wildcard
    }

    /// The same rule, with another's `optional`.
    pub(super) fn with_optional_of(&self, other: &Self) -> Self {
        Self { rule: self.rule.clone(), optional: other.optional }
    }

    pub(super) fn parse(name: &str, value: &Value, rules: &mut Rules) -> Result<Self, ScopeError> {
        let mut members = Members::of(name, value)?;
        let optional = members.flag("optional")?.unwrap_or(false);
        Ok(Self { rule: rules.parse(members, 1)?, optional })
    }
}

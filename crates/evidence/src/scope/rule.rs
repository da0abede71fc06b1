//! What a value is held to, and when one rule is within another (the two tables of format §6).

use serde_json::{Value, json};

use super::bounds::Bounds;
use super::matching;
use super::place::{self, Path};
use super::scalar::{self, Scalars};

/// A constraint without its argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Rule {
    Exact(Value),
    OneOf(Vec<Value>),
    NotOneOf(Vec<Value>),
    Range(Bounds),
    DecimalRange(Bounds),
    Prefix(String),
    PathUnder(String),
    HostIn(Vec<String>),
    Contains(Vec<Value>),
    Subset(Vec<Value>),
    Wildcard,
    All(Vec<Rule>),
    Any(Vec<Rule>),
}

impl Rule {
    /// The first table: whether an argument passes.
    pub(super) fn permits(&self, value: &Value) -> bool {
        match self {
            Self::Exact(exact) => scalar::same(exact, value),
            Self::OneOf(values) => scalar::is_one_of(value, values),
            Self::NotOneOf(excluded) => !scalar::is_one_of(value, excluded),
            Self::Range(bounds) => value.is_number() && bounds.permit(value),
            Self::DecimalRange(bounds) => bounds.permit(value),
            Self::Prefix(prefix) => value.as_str().is_some_and(|text| text.starts_with(prefix.as_str())),
            Self::PathUnder(path) => value.as_str().is_some_and(|text| is_under(text, path)),
            Self::HostIn(patterns) => value.as_str().is_some_and(|text| place::is_of_host(text, patterns)),
            Self::Contains(required) => {
                value.as_array().is_some_and(|items| scalar::all_occur(required, items))
            }
            Self::Subset(allowed) => {
                value.as_array().is_some_and(|items| Scalars::of(allowed).have_all(items))
            }
            Self::Wildcard => true,
            Self::All(clauses) => clauses.iter().all(|clause| clause.permits(value)),
            Self::Any(clauses) => clauses.iter().any(|clause| clause.permits(value)),
        }
    }

    /// The second table: whether this allows nothing that `outer` does not. Pairs that are not listed are refused.
    ///
    /// Every pair of a rule of one row and a rule of the other is compared at most once, so the time is polynomial
    /// however deep they nest.
    pub(super) fn within(&self, outer: &Self) -> bool {
        match (self, outer) {
            (_, Self::Wildcard) => true,
            (
                Self::Exact(value),
                Self::Exact(_)
                | Self::OneOf(_)
                | Self::Range(_)
                | Self::DecimalRange(_)
                | Self::Prefix(_)
                | Self::PathUnder(_)
                | Self::HostIn(_),
            ) => outer.permits(value),
            (Self::OneOf(values), Self::OneOf(outer)) => Scalars::of(outer).have_all(values),
            (
                Self::OneOf(values),
                Self::DecimalRange(_) | Self::Prefix(_) | Self::PathUnder(_) | Self::HostIn(_),
            ) => values.iter().all(|value| outer.permits(value)),
            (Self::NotOneOf(excluded), Self::NotOneOf(outer)) => Scalars::of(excluded).have_all(outer),
            (Self::Range(bounds), Self::Range(outer) | Self::DecimalRange(outer))
            | (Self::DecimalRange(bounds), Self::DecimalRange(outer)) => bounds.within(outer),
            (Self::Prefix(prefix), Self::Prefix(outer)) => prefix.starts_with(outer.as_str()),
            (Self::PathUnder(path), Self::PathUnder(outer)) => is_under(path, outer),
            (Self::HostIn(patterns), Self::HostIn(outer)) => place::patterns_within(patterns, outer),
            (Self::Contains(required), Self::Contains(outer)) => Scalars::of(required).have_all(outer),
            (Self::Subset(allowed), Self::Subset(outer)) => Scalars::of(outer).have_all(allowed),
            (Self::All(clauses), Self::All(outer)) => {
                matching::each_has_its_own(outer, clauses, |outer, clause| clause.within(outer))
            }
            (Self::Any(clauses), Self::Any(outer)) => {
                clauses.iter().all(|clause| outer.iter().any(|outer| clause.within(outer)))
            }
            _ => false,
        }
    }

    /// The constraint object, without `optional`.
    pub(super) fn to_json(&self) -> Value {
        let clauses = |rules: &[Self]| rules.iter().map(Self::to_json).collect::<Vec<_>>();
        match self {
            Self::Exact(value) => json!({"constraint_type": "exact", "value": value}),
            Self::OneOf(values) => json!({"constraint_type": "one_of", "values": values}),
            Self::NotOneOf(excluded) => json!({"constraint_type": "not_one_of", "excluded": excluded}),
            Self::Range(bounds) => bounds.to_json("range"),
            Self::DecimalRange(bounds) => bounds.to_json("decimal_range"),
            Self::Prefix(prefix) => json!({"constraint_type": "prefix", "prefix": prefix}),
            Self::PathUnder(path) => json!({"constraint_type": "path_under", "path": path}),
            Self::HostIn(hosts) => json!({"constraint_type": "host_in", "hosts": hosts}),
            Self::Contains(required) => json!({"constraint_type": "contains", "required": required}),
            Self::Subset(allowed) => json!({"constraint_type": "subset", "allowed": allowed}),
            Self::Wildcard => json!({"constraint_type": "wildcard"}),
            Self::All(rules) => json!({"constraint_type": "all", "constraints": clauses(rules)}),
            Self::Any(rules) => json!({"constraint_type": "any", "constraints": clauses(rules)}),
        }
    }

    /// What passes, in words; long values and lists are cut.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Exact(value) => format!("exactly {}", scalar::shown(value)),
            Self::OneOf(values) => format!("one of {}", scalar::list(values)),
            Self::NotOneOf(excluded) => format!("anything but {}", scalar::list(excluded)),
            Self::Range(bounds) => format!("a number {}", bounds.describe()),
            Self::DecimalRange(bounds) => format!("a decimal number {}", bounds.describe()),
            Self::Prefix(prefix) => format!("text that starts with `{}`", scalar::cut(prefix)),
            Self::PathUnder(path) => format!("`{}` or a path under it", scalar::cut(path)),
            Self::HostIn(hosts) => format!("a host or URL of {}", scalar::names(hosts)),
            Self::Contains(required) => format!("a list with each of {}", scalar::list(required)),
            Self::Subset(allowed) => format!("a list of nothing but {}", scalar::list(allowed)),
            Self::Wildcard => "anything".into(),
            Self::All(clauses) => describe_clauses(clauses, " and "),
            Self::Any(clauses) => describe_clauses(clauses, " or "),
        }
    }
}

fn is_under(text: &str, path: &str) -> bool {
    Path::parse(path).zip(Path::parse(text)).is_some_and(|(path, text)| text.is_under(&path))
}

fn describe_clauses(clauses: &[Rule], joint: &str) -> String {
    let one = |clause: &Rule| match clause {
        Rule::All(_) | Rule::Any(_) => format!("({})", clause.describe()),
        _ => clause.describe(),
    };
    clauses.iter().map(one).collect::<Vec<_>>().join(joint)
}

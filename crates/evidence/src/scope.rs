//! Scope: tools and constraints on their arguments, with a decidable `within` (format §6).
//!
//! Whatever a scope permits, every scope that it is within permits too: that is the property everything else
//! rests on, and it is tested on random scopes. Pairs that are not listed are refused.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::json;
use crate::limits::{
    JSON_INTEGER_MAX, SCOPE_CONSTRAINTS_MAX, SCOPE_STRING_MAX_BYTES, SCOPE_TOOLS_MAX, SCOPE_VALUES_MAX,
};
use crate::tool;

/// Why JSON is not a scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a scope: {0}")]
pub struct ScopeError(String);

/// Why a scope does not permit a call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// No row names the tool.
    #[error("the delegation does not include the tool `{0}`")]
    Tool(String),
    /// The row is closed and does not list the argument.
    #[error("the delegation allows no argument `{0}` for this tool")]
    Unlisted(String),
    /// The row demands the argument.
    #[error("the delegation demands the argument `{0}`")]
    Missing(String),
    /// The argument's value is outside its constraint.
    #[error("the delegation allows the argument `{name}` only as {allowed}")]
    Value {
        /// The argument.
        name: String,
        /// What its constraint allows.
        allowed: String,
    },
}

/// What a value is held to.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Rule {
    Exact(Value),
    OneOf(Vec<Value>),
    Prefix(String),
    Wildcard,
}

/// One constrained argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Constraint {
    rule: Rule,
    optional: bool,
}

/// Constraints by argument name; empty allows any arguments.
pub type Row = BTreeMap<String, Constraint>;

/// Tools by URI, each with its row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope(BTreeMap<String, Row>);

impl Scope {
    /// Every tool of one server with any arguments.
    pub fn server(server: &str) -> Self {
        Self(BTreeMap::from([(format!("{server}#{}", tool::ANY), Row::new())]))
    }

    /// Parses the `tools` object of an authorization detail.
    pub fn parse(value: &Value) -> Result<Self, ScopeError> {
        let tools = value.as_object().ok_or_else(|| wrong("an object of tools is expected"))?;
        if tools.is_empty() || tools.len() > SCOPE_TOOLS_MAX {
            return Err(wrong(&format!("1 to {SCOPE_TOOLS_MAX} tools are expected")));
        }
        tools
            .iter()
            .map(|(uri, row)| Ok((uri.clone(), parse_row(uri, row)?)))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// The `tools` object.
    pub fn to_json(&self) -> Value {
        self.0.iter().map(|(uri, row)| (uri.clone(), row_json(row))).collect::<Map<_, _>>().into()
    }

    /// Tool URIs, sorted.
    pub fn tools(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The row that governs a tool: the exact one, else that of its whole server.
    pub fn row(&self, uri: &str) -> Option<&Row> {
        let (server, _) = tool::split(uri)?;
        self.0.get(uri).or_else(|| self.0.get(&format!("{server}#{}", tool::ANY)))
    }

    /// Whether a call may be made; `args` are the arguments of the call.
    pub fn permits(&self, uri: &str, args: &Map<String, Value>) -> Result<(), Denial> {
        let row = self.row(uri).ok_or_else(|| Denial::Tool(uri.to_owned()))?;
        if row.is_empty() {
            return Ok(());
        }
        if let Some(name) = args.keys().find(|name| !row.contains_key(*name)) {
            return Err(Denial::Unlisted(name.clone()));
        }
        row.iter().try_for_each(|(name, constraint)| constraint.permits(name, args.get(name)))
    }

    /// Whether this scope is nowhere wider than `other`.
    ///
    /// Both ways: each row here is within the row that governs it there, and where `other` has a narrower row for
    /// one tool of a server, the row that governs that tool here (perhaps the server's) is within it too.
    pub fn within(&self, other: &Self) -> bool {
        self.0.iter().all(|(uri, row)| other.row(uri).is_some_and(|outer| row_within(row, outer)))
            && other.0.iter().all(|(uri, outer)| self.row(uri).is_none_or(|row| row_within(row, outer)))
    }
}

impl Constraint {
    fn permits(&self, name: &str, value: Option<&Value>) -> Result<(), Denial> {
        let Some(value) = value else {
            return if self.optional { Ok(()) } else { Err(Denial::Missing(name.to_owned())) };
        };
        if self.rule.permits(value) {
            return Ok(());
        }
        Err(Denial::Value { name: name.to_owned(), allowed: self.rule.describe() })
    }

    fn within(&self, outer: &Self) -> bool {
        (!self.optional || outer.optional) && self.rule.within(&outer.rule)
    }

    fn to_json(&self) -> Value {
        let mut value = match &self.rule {
            Rule::Exact(value) => json!({"constraint_type": "exact", "value": value}),
            Rule::OneOf(values) => json!({"constraint_type": "one_of", "values": values}),
            Rule::Prefix(prefix) => json!({"constraint_type": "prefix", "prefix": prefix}),
            Rule::Wildcard => json!({"constraint_type": "wildcard"}),
        };
        if let (true, Some(members)) = (self.optional, value.as_object_mut()) {
            members.insert("optional".into(), true.into());
        }
        value
    }
}

impl Rule {
    fn permits(&self, value: &Value) -> bool {
        match self {
            Self::Exact(exact) => same(exact, value),
            Self::OneOf(values) => values.iter().any(|one| same(one, value)),
            Self::Prefix(prefix) => value.as_str().is_some_and(|text| text.starts_with(prefix.as_str())),
            Self::Wildcard => true,
        }
    }

    fn within(&self, outer: &Self) -> bool {
        match (self, outer) {
            (_, Self::Wildcard) => true,
            (Self::Exact(value), outer) => outer.permits(value),
            (Self::OneOf(values), Self::OneOf(_) | Self::Prefix(_)) => {
                values.iter().all(|value| outer.permits(value))
            }
            (Self::Prefix(inner), Self::Prefix(outer)) => inner.starts_with(outer.as_str()),
            _ => false,
        }
    }

    fn describe(&self) -> String {
        match self {
            Self::Exact(value) => format!("exactly {value}"),
            Self::OneOf(values) => format!("one of {}", Value::Array(values.clone())),
            Self::Prefix(prefix) => format!("text that starts with `{prefix}`"),
            Self::Wildcard => "anything".into(),
        }
    }
}

/// Equality of JCS bytes: `1` and `1.0` are one value, `"1"` is another.
fn same(a: &Value, b: &Value) -> bool {
    json::jcs(a) == json::jcs(b)
}

fn row_within(row: &Row, outer: &Row) -> bool {
    if outer.is_empty() {
        return true;
    }
    row.len() == outer.len()
        && row.iter().all(|(name, inner)| outer.get(name).is_some_and(|outer| inner.within(outer)))
}

fn row_json(row: &Row) -> Value {
    row.iter().map(|(name, constraint)| (name.clone(), constraint.to_json())).collect::<Map<_, _>>().into()
}

fn parse_row(uri: &str, value: &Value) -> Result<Row, ScopeError> {
    tool::split(uri).ok_or_else(|| wrong(&format!("`{uri}` is not a tool URI: write `<server>#<tool>`")))?;
    let members = value.as_object().ok_or_else(|| wrong(&format!("the row of `{uri}` is not an object")))?;
    if members.len() > SCOPE_CONSTRAINTS_MAX {
        return Err(wrong(&format!("`{uri}` has more than {SCOPE_CONSTRAINTS_MAX} constraints")));
    }
    members.iter().map(|(name, value)| Ok((bounded(name)?, parse_constraint(name, value)?))).collect()
}

fn parse_constraint(name: &str, value: &Value) -> Result<Constraint, ScopeError> {
    let members =
        value.as_object().ok_or_else(|| wrong(&format!("the constraint of `{name}` is not an object")))?;
    let optional = match members.get("optional") {
        None => false,
        Some(Value::Bool(optional)) => *optional,
        Some(_) => return Err(wrong("`optional` is true or false")),
    };
    let (rule, own) = match members.get("constraint_type").and_then(Value::as_str) {
        Some("exact") => (members.get("value").map(scalar).transpose()?.map(Rule::Exact), 2),
        Some("one_of") => (members.get("values").map(scalars).transpose()?.map(Rule::OneOf), 2),
        Some("prefix") => {
            (members.get("prefix").and_then(Value::as_str).map(bounded).transpose()?.map(Rule::Prefix), 2)
        }
        Some("wildcard") => (Some(Rule::Wildcard), 1),
        _ => return Err(wrong(&format!("the constraint of `{name}` has no type that this version knows"))),
    };
    let rule = rule.ok_or_else(|| wrong(&format!("the constraint of `{name}` lacks its value")))?;
    if members.len() != own + usize::from(members.contains_key("optional")) {
        return Err(wrong(&format!(
            "the constraint of `{name}` has a member that this version does not know"
        )));
    }
    Ok(Constraint { rule, optional })
}

fn scalars(value: &Value) -> Result<Vec<Value>, ScopeError> {
    let values = value.as_array().filter(|values| (1..=SCOPE_VALUES_MAX).contains(&values.len()));
    values
        .ok_or_else(|| wrong(&format!("1 to {SCOPE_VALUES_MAX} values are expected")))?
        .iter()
        .map(scalar)
        .collect()
}

fn scalar(value: &Value) -> Result<Value, ScopeError> {
    match value {
        Value::String(text) => bounded(text).map(Value::String),
        Value::Bool(_) | Value::Null => Ok(value.clone()),
        Value::Number(number) => {
            let within = number.as_u64().is_some_and(|n| n <= JSON_INTEGER_MAX)
                || number.as_i64().is_some_and(|n| n.unsigned_abs() <= JSON_INTEGER_MAX);
            within
                .then(|| value.clone())
                .ok_or_else(|| wrong("a number in a scope is an integer within 2^53"))
        }
        Value::Array(_) | Value::Object(_) => {
            Err(wrong("a value in a scope is a string, integer, boolean or null"))
        }
    }
}

fn bounded(text: &str) -> Result<String, ScopeError> {
    if text.len() > SCOPE_STRING_MAX_BYTES {
        return Err(wrong(&format!("a string is longer than {SCOPE_STRING_MAX_BYTES} bytes")));
    }
    Ok(text.to_owned())
}

fn wrong(what: &str) -> ScopeError {
    ScopeError(what.to_owned())
}

#[cfg(test)]
mod tests;

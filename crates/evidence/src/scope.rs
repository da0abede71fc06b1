//! Scope: tools and constraints on their arguments, with a decidable `within` (format §6).
//!
//! Whatever a scope permits, every scope that it is within permits too: that is the property everything else
//! rests on, and it is tested on random scopes. Pairs that are not listed are refused.

mod bounds;
mod compare;
mod constraint;
mod matching;
mod parse;
mod place;
mod rule;
mod scalar;

use std::collections::BTreeMap;

use serde_json::{Map, Value};

pub use constraint::Constraint;

use crate::limits::{SCOPE_CONSTRAINTS_MAX, SCOPE_TOOLS_MAX};
use crate::tool;
use parse::{Rules, bounded, wrong};

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
        self.0.iter().map(|(uri, row)| (uri.clone(), row_to_json(row))).collect::<Map<_, _>>().into()
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

/// A row as in the `tools` object.
pub fn row_to_json(row: &Row) -> Value {
    row.iter().map(|(name, constraint)| (name.clone(), constraint.to_json())).collect::<Map<_, _>>().into()
}

fn row_within(row: &Row, outer: &Row) -> bool {
    if outer.is_empty() {
        return true;
    }
    row.len() == outer.len()
        && row.iter().all(|(name, inner)| outer.get(name).is_some_and(|outer| inner.within(outer)))
}

fn parse_row(uri: &str, value: &Value) -> Result<Row, ScopeError> {
    tool::split(uri).ok_or_else(|| wrong(&format!("`{uri}` is not a tool URI: write `<server>#<tool>`")))?;
    let members = value.as_object().ok_or_else(|| wrong(&format!("the row of `{uri}` is not an object")))?;
    let mut rules = Rules::default();
    let row: Row = members
        .iter()
        .map(|(name, value)| Ok((bounded(name)?, Constraint::parse(name, value, &mut rules)?)))
        .collect::<Result<_, ScopeError>>()?;
    if rules.count() > SCOPE_CONSTRAINTS_MAX {
        return Err(wrong(&format!("`{uri}` has more than {SCOPE_CONSTRAINTS_MAX} constraints")));
    }
    Ok(row)
}

#[cfg(test)]
mod tests;

//! A policy taken apart, from its JSON form: its scope, the logic of its conditions, and what each part of them reads.

use cedar_policy as cedar;
use cedar_policy::ResourceConstraint;
use serde_json::{Value, json};

use crate::limits::FORESEEN_DEPTH_MAX;
use crate::set::{Effect, OBLIGATIONS, PolicySet, split_obligations};

/// One policy in parts.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) id: String,
    pub(crate) effect: Effect,
    /// Demands something that nobody here can do.
    pub(crate) obliged: bool,
    pub(crate) resource: ResourceConstraint,
    /// The scope as a permit of its own; `None` where that failed, and then the part counts as open.
    pub(crate) scope: Option<cedar::PolicySet>,
    /// The scope without what it says of the resource.
    pub(crate) scope_but_resource: Option<cedar::PolicySet>,
    /// All `when` and `unless` clauses together.
    pub(crate) condition: Condition,
}

/// The logic of a condition. Chains are flat, so that only brackets make it deep, and those are limited.
#[derive(Debug)]
pub(crate) enum Condition {
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Not(Box<Condition>),
    If(Box<[Condition; 3]>),
    Leaf(Box<Leaf>),
}

/// A part of a condition that only the engine evaluates.
#[derive(Debug)]
pub(crate) struct Leaf {
    /// As the condition of a permit of its own; `None` where that failed, and then the part counts as open.
    pub(crate) test: Option<cedar::PolicySet>,
    pub(crate) reads: Reads,
}

/// What a part of a condition looks at, beside principal, agent and chain.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reads {
    /// The arguments, the run or the time.
    pub(crate) call: bool,
    /// The tool: which it is, its name, its classes.
    pub(crate) tool: bool,
    /// The tool's definition.
    pub(crate) definition: bool,
}

/// All policies of a set. A set whose policies cannot all be taken apart gives fewer.
pub(crate) fn rules(set: &PolicySet) -> Vec<Rule> {
    set.policies().iter().filter_map(|info| rule(set, &info.id, info.effect)).collect()
}

fn rule(set: &PolicySet, id: &str, effect: Effect) -> Option<Rule> {
    let policy = set.cedar.policy(&cedar::PolicyId::new(id))?;
    let whole = policy.to_json().ok()?;
    let obligations = policy.annotation("obligation").into_iter().flat_map(split_obligations);
    Some(Rule {
        id: id.to_owned(),
        effect,
        obliged: obligations.into_iter().any(|name| !OBLIGATIONS.contains(&name)),
        resource: policy.resource_constraint(),
        scope: scope(&whole, whole.get("resource")?),
        scope_but_resource: scope(&whole, &json!({ "op": "All" })),
        condition: condition_of(&whole)?,
    })
}

fn scope(whole: &Value, resource: &Value) -> Option<cedar::PolicySet> {
    let (principal, action) = (whole.get("principal")?, whole.get("action")?);
    alone(json!({
        "effect": "permit", "principal": principal, "action": action, "resource": resource, "conditions": [],
    }))
}

fn alone(policy: Value) -> Option<cedar::PolicySet> {
    cedar::PolicySet::from_policies([cedar::Policy::from_json(None, policy).ok()?]).ok()
}

/// The clauses are evaluated in their order, up to the first that does not hold.
fn condition_of(whole: &Value) -> Option<Condition> {
    // On a small stack the engine gives up on what is nested deeply: an error that no part alone would show.
    if depth(whole) > FORESEEN_DEPTH_MAX {
        return Some(Condition::Leaf(Box::new(Leaf { test: None, reads: Reads::default() })));
    }
    let clauses = whole.get("conditions")?.as_array()?.iter().map(|clause| {
        let body = condition(clause.get("body")?);
        match clause.get("kind")?.as_str()? {
            "when" => Some(body),
            "unless" => Some(Condition::Not(Box::new(body))),
            _ => None,
        }
    });
    Some(Condition::All(clauses.collect::<Option<Vec<_>>>()?))
}

/// Recurses as deep as the expression goes; called on the stack on which policies are loaded.
fn condition(expression: &Value) -> Condition {
    let parsed = only(expression).and_then(|(operator, operands)| match operator {
        "&&" => Some(Condition::All(chain(operator, operands)?)),
        "||" => Some(Condition::Any(chain(operator, operands)?)),
        "!" => Some(Condition::Not(Box::new(condition(operands.get("arg")?)))),
        "if-then-else" => {
            let part = |name| Some(condition(operands.get(name)?));
            Some(Condition::If(Box::new([part("if")?, part("then")?, part("else")?])))
        }
        _ => None,
    });
    parsed.unwrap_or_else(|| Condition::Leaf(Box::new(leaf(expression))))
}

/// The operands of `a && b && c`, which is written `(a && b) && c`.
fn chain(operator: &str, operands: &Value) -> Option<Vec<Condition>> {
    let mut parts = Vec::new();
    let (mut left, mut right) = (operands.get("left")?, operands.get("right")?);
    loop {
        parts.push(condition(right));
        match only(left) {
            Some((same, inner)) if same == operator => {
                (left, right) = (inner.get("left")?, inner.get("right")?);
            }
            _ => break,
        }
    }
    parts.push(condition(left));
    parts.reverse();
    Some(parts)
}

fn leaf(expression: &Value) -> Leaf {
    let mut reads = Reads::default();
    reads.gather(expression);
    let all = json!({ "op": "All" });
    let test = alone(json!({
        "effect": "permit", "principal": all, "action": all, "resource": all,
        "conditions": [{ "kind": "when", "body": expression }],
    }));
    Leaf { test, reads }
}

impl Reads {
    /// Every way to the call goes through the variable `context` or by naming the arguments' entity. The ways that
    /// lead to the chain are known; any other, and any that is not understood, counts as reading the call.
    fn gather(&mut self, expression: &Value) {
        if is_settled(expression) {
            return;
        }
        match expression {
            Value::Object(members) => {
                for (key, value) in members {
                    match (key.as_str(), value.as_str()) {
                        ("Var", Some("context")) => self.call = true,
                        ("Var", Some("resource")) => self.tool = true,
                        ("attr", Some("definition")) => self.definition = true,
                        _ => self.gather(value),
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| self.gather(item)),
            Value::String(text) => {
                self.call |= text == "Deeds::Args";
                self.tool |= text == "Deeds::Tool";
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

/// What reads `context` and is the same for every call under the chain.
fn is_settled(expression: &Value) -> bool {
    let Some((operator, operands)) = only(expression) else { return false };
    match operator {
        "." => is_member(expression, &["delegation"]) || is_member(expression, &["run", "txn"]),
        // Which members there are is fixed by the schema; the one optional member belongs to the chain.
        "has" => operands.get("left").is_some_and(|left| is_member(left, &[]) || is_member(left, &["run"])),
        "<" | "<=" | ">" | ">=" => {
            is_time_left(operands, "left", "right") || is_time_left(operands, "right", "left")
        }
        _ => false,
    }
}

/// `context.run.now` against `context.delegation.expires`: the first is the lesser until the chain expires.
fn is_time_left(operands: &Value, now: &str, expires: &str) -> bool {
    let side = |name: &str, path: &[&str]| operands.get(name).is_some_and(|side| is_member(side, path));
    side(now, &["run", "now"]) && side(expires, &["delegation", "expires"])
}

/// Whether the expression is `context.<path>`.
fn is_member(expression: &Value, path: &[&str]) -> bool {
    let Some((operator, operands)) = only(expression) else { return false };
    match path.split_last() {
        None => operator == "Var" && operands.as_str() == Some("context"),
        Some((last, before)) => {
            operator == "."
                && operands.get("attr").and_then(Value::as_str) == Some(*last)
                && operands.get("left").is_some_and(|left| is_member(left, before))
        }
    }
}

fn depth(value: &Value) -> usize {
    let below = match value {
        Value::Array(items) => items.iter().map(depth).max(),
        Value::Object(members) => members.values().map(depth).max(),
        _ => return 0,
    };
    1 + below.unwrap_or_default()
}

/// The one member of an object: an operator and its operands.
fn only(expression: &Value) -> Option<(&str, &Value)> {
    let members = expression.as_object().filter(|members| members.len() == 1)?;
    members.iter().next().map(|(key, value)| (key.as_str(), value))
}

//! What the policies will say of a tool before any call is made: always yes, always no, or it depends.
//!
//! Each policy is taken apart once into its scope and the logic of its conditions. What a part reads decides how it is
//! judged: one that reads only what is settled (principal, agent, tool, chain) is put to the engine itself, with
//! placeholders for the rest that it cannot see; one that reads the call (arguments, run, time) may come out true,
//! false or as an error. Nothing here evaluates Cedar by itself but `&&`, `||`, `!` and `if`, and whatever is not
//! understood counts as open. So *always* and *never* are said too seldom, never wrongly.

use cedar_policy as cedar;
use cedar_policy::ResourceConstraint;
use serde_json::{Value, json};

use crate::classes::{ClassSource, split_tool_uri};
use crate::load::on_load_stack;
use crate::parts::{Condition, Leaf, Rule, rules};
use crate::request::{ActionRequest, RequestAgent, RequestDelegation, RequestPrincipal, Slice};
use crate::set::{Effect, PolicySet, guard};

/// A tool in somebody's hands, without a call: what [`PolicySet::outlook`] is asked about. Every member must be what
/// [`ActionRequest`] would hold when the call is made.
#[derive(Debug, Clone)]
pub struct OutlookRequest<'a> {
    /// Who the act would be answerable to.
    pub principal: RequestPrincipal<'a>,
    /// Who would act.
    pub agent: RequestAgent<'a>,
    /// The method: the part of `tool` after `#` where that has a `/`, else `tools/call`.
    pub operation: &'a str,
    /// Tool URI, or `<server>#*`: every tool of the server at once, whatever its name and classes.
    pub tool: &'a str,
    /// Digest of the tool's definition; `None` where it is not known, and then it may be any or none.
    pub definition: Option<&'a str>,
    /// The chain under which the act would be made, before it expires.
    pub delegation: RequestDelegation<'a>,
}

/// What the policies will say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Prospect {
    /// Yes to every call that can be put to them.
    Always,
    /// No to every call.
    Never,
    /// It depends on the arguments, the run, the time, or on a policy that could fail.
    Conditional,
}

impl Prospect {
    /// `always`, `never` or `conditional`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::Never => "never",
            Self::Conditional => "conditional",
        }
    }
}

/// [`Prospect`], and the policies behind it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Outlook {
    /// What they will say.
    pub prospect: Prospect,
    /// Sorted ids: those that permit (always), those that deny (never; none where nothing permits), those on which
    /// it depends (conditional).
    pub policies: Vec<String>,
}

impl PolicySet {
    /// What the policies will say of a tool, whatever the arguments, the run and the time until the chain expires.
    ///
    /// It is about the policies and the tool's own pin alone. A server that is not what it is pinned to is denied, and
    /// so are arguments that no policy is asked about (two readings of one number, a path that climbs out of its
    /// root), even where the answer is [`Prospect::Always`].
    pub fn outlook(&self, of: &OutlookRequest<'_>) -> Outlook {
        let rules = self.rules.get_or_init(|| on_load_stack(|| rules(self)).unwrap_or_default());
        let open =
            || Outlook::new(Prospect::Conditional, self.policies().iter().map(|info| info.id.as_str()));
        if rules.len() != self.policies().len() {
            return open();
        }
        let foreseen = guard(|| Ok(self.foresee(rules, of)));
        foreseen.unwrap_or_else(|_| open())
    }

    /// The answers for every class that the tool can turn out to have, as one.
    fn foresee(&self, rules: &[Rule], of: &OutlookRequest<'_>) -> Outlook {
        let server = of.tool.strip_suffix("#*");
        let stand_in = server.map(|server| format!("{server}#x"));
        let tool = stand_in.as_deref().unwrap_or(of.tool);
        let args = json!({});
        let act = stand_in_act(of, tool, &args);
        let classes = self.classes.possible(tool, of.definition);
        let pinned = self.classes.pinned_definition(tool).is_some();
        let outlooks = classes.iter().map(|class| match self.vocabulary.build(&act, class) {
            // Not defined as it is pinned: denied before the policies are asked.
            _ if pinned && class.source != ClassSource::ToolRow => Outlook::new(Prospect::Never, []),
            Ok(slice) => {
                judge(rules, &View { set: self, slice, server, definition: of.definition.is_some() })
            }
            // What cannot be put to the policies for its names alone never will be.
            Err(_) => Outlook::new(Prospect::Never, []),
        });
        outlooks
            .reduce(|so_far, other| so_far.or(&other))
            .unwrap_or_else(|| Outlook::new(Prospect::Never, []))
    }
}

/// The act as far as it is settled. Its arguments, run and time are read by nothing that is put to the engine, but
/// for the time, which is before the chain's expiry.
fn stand_in_act<'a>(of: &OutlookRequest<'a>, tool: &'a str, args: &'a Value) -> ActionRequest<'a> {
    ActionRequest {
        principal: of.principal.clone(),
        agent: of.agent.clone(),
        operation: of.operation,
        tool,
        definition: of.definition,
        args,
        delegation: of.delegation.clone(),
        run: "run",
        now_ms: of.delegation.expires_ms.saturating_sub(1),
        root: None,
    }
}

/// What is settled while the conditions are judged.
struct View<'a> {
    set: &'a PolicySet,
    slice: Slice,
    /// Every tool of this server is meant.
    server: Option<&'a str>,
    /// The tool's definition is known.
    definition: bool,
}

/// What can come of evaluating one part of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Outcomes {
    yes: bool,
    no: bool,
    error: bool,
}

const YES: Outcomes = Outcomes { yes: true, no: false, error: false };
const NO: Outcomes = Outcomes { yes: false, no: true, error: false };
const ERROR: Outcomes = Outcomes { yes: false, no: false, error: true };
const EITHER: Outcomes = Outcomes { yes: true, no: true, error: false };
const OPEN: Outcomes = Outcomes { yes: true, no: true, error: true };

impl Outcomes {
    /// One of two, and it is not known which.
    fn or(self, other: Self) -> Self {
        Self { yes: self.yes || other.yes, no: self.no || other.no, error: self.error || other.error }
    }

    fn not(self) -> Self {
        Self { yes: self.no, no: self.yes, ..self }
    }

    /// `if self then yes else no`; an error ends it.
    fn branch(self, yes: impl FnOnce() -> Self, no: impl FnOnce() -> Self) -> Self {
        let mut all = Self { yes: false, no: false, error: self.error };
        if self.yes {
            all = all.or(yes());
        }
        if self.no {
            all = all.or(no());
        }
        all
    }

    fn is_settled(self) -> bool {
        matches!(self, YES | NO | ERROR)
    }
}

impl Outlook {
    fn new<'a>(prospect: Prospect, policies: impl IntoIterator<Item = &'a str>) -> Self {
        let mut policies: Vec<String> = policies.into_iter().map(str::to_owned).collect();
        policies.sort_unstable();
        policies.dedup();
        Self { prospect, policies }
    }

    /// Either of two, and it is not known which.
    fn or(self, other: &Self) -> Self {
        let prospect = if self.prospect == other.prospect { self.prospect } else { Prospect::Conditional };
        Self::new(prospect, self.policies.iter().chain(&other.policies).map(String::as_str))
    }
}

/// Puts the policies together as [`PolicySet::decide`] does: an error denies, a forbid denies, a permit with an
/// obligation that nobody knows denies, and without a permit the answer is no.
fn judge(rules: &[Rule], view: &View<'_>) -> Outlook {
    let judged: Vec<(&Rule, Outcomes)> = rules.iter().map(|rule| (rule, view.rule(rule))).collect();
    let denies_if_it_applies = |rule: &Rule| rule.effect == Effect::Forbid || rule.obliged;
    // Applying denies and failing denies, so it need not be known which of them it will be.
    let denying = |(rule, of): &(&Rule, Outcomes)| *of == ERROR || (denies_if_it_applies(rule) && !of.no);
    let ids = |which: &dyn Fn(&(&Rule, Outcomes)) -> bool, prospect| {
        Outlook::new(prospect, judged.iter().filter(|each| which(each)).map(|(rule, _)| rule.id.as_str()))
    };
    if judged.iter().any(denying) {
        return ids(&denying, Prospect::Never);
    }
    let grants = |(rule, of): &(&Rule, Outcomes)| !denies_if_it_applies(rule) && of.yes;
    if !judged.iter().any(grants) {
        return ids(&|(rule, of)| rule.effect == Effect::Permit && rule.obliged && of.yes, Prospect::Never);
    }
    let grants_surely = |(rule, of): &(&Rule, Outcomes)| !denies_if_it_applies(rule) && *of == YES;
    let sure = judged.iter().any(grants_surely);
    // Where something permits for sure, another permit that may or may not apply changes nothing.
    let matters = |(rule, of): &(&Rule, Outcomes)| {
        !of.is_settled() && (!sure || of.error || denies_if_it_applies(rule))
    };
    if judged.iter().any(matters) {
        ids(&matters, Prospect::Conditional)
    } else {
        ids(&grants_surely, Prospect::Always)
    }
}

impl View<'_> {
    fn rule(&self, rule: &Rule) -> Outcomes {
        self.scope(rule).branch(|| self.condition(&rule.condition), || NO)
    }

    /// The scope cannot fail. For all tools of a server together it is open where it picks tools by name or class.
    fn scope(&self, rule: &Rule) -> Outcomes {
        let outcomes = self.ask(rule.scope.as_ref());
        let (
            Some(server),
            ResourceConstraint::Eq(id) | ResourceConstraint::In(id) | ResourceConstraint::IsIn(_, id),
        ) = (self.server, &rule.resource)
        else {
            return outcomes;
        };
        match &rule.scope_but_resource {
            _ if self.set.vocabulary.is_server(id) => outcomes,
            // Another server's tool.
            _ if self.set.vocabulary.is_tool(id)
                && split_tool_uri(id.id().unescaped()).is_none_or(|(of, _)| of != server) =>
            {
                NO
            }
            rest => self.ask(rest.as_ref()).branch(|| EITHER, || NO),
        }
    }

    fn condition(&self, condition: &Condition) -> Outcomes {
        match condition {
            Condition::All(parts) => {
                parts.iter().fold(YES, |so_far, part| so_far.branch(|| self.condition(part), || NO))
            }
            Condition::Any(parts) => {
                parts.iter().fold(NO, |so_far, part| so_far.branch(|| YES, || self.condition(part)))
            }
            Condition::Not(part) => self.condition(part).not(),
            Condition::If(parts) => {
                let [test, yes, no] = &**parts;
                self.condition(test).branch(|| self.condition(yes), || self.condition(no))
            }
            Condition::Leaf(leaf) => self.leaf(leaf),
        }
    }

    fn leaf(&self, leaf: &Leaf) -> Outcomes {
        let open = leaf.reads.call
            || (leaf.reads.tool && self.server.is_some())
            || (leaf.reads.definition && !self.definition);
        if open { OPEN } else { self.ask(leaf.test.as_ref()) }
    }

    /// What the engine says of one part as a permit of its own.
    fn ask(&self, part: Option<&cedar::PolicySet>) -> Outcomes {
        let Some(part) = part else { return OPEN };
        let response = self.set.authorizer.is_authorized(&self.slice.request, part, &self.slice.entities);
        if response.diagnostics().errors().next().is_some() {
            return ERROR;
        }
        if response.decision() == cedar::Decision::Allow { YES } else { NO }
    }
}

#[cfg(test)]
#[path = "outlook/tests.rs"]
mod tests;

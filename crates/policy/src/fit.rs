//! Whether a schema declares what every request is made of, and whether the engine then does what every decision
//! relies on.

use std::collections::HashSet;

use cedar_policy as cedar;
use cedar_policy::{Entities, EntityUid, Schema};
use serde_json::{Value, json};

use crate::classes::{CLASSES, ClassOf, ClassSource};
use crate::error::{Finding, PolicyError};
use crate::files::SCHEMA_FILE;
use crate::request::{ActionRequest, RequestAgent, RequestDelegation, RequestPrincipal, Slice, Vocabulary};

/// The group of what an agent does.
pub(crate) const ACT: &str = "act";
/// The group of what a server asks for.
pub(crate) const ASKED_BY_SERVER: &str = "asked-by-server";

/// Every operation that is decided, with the one group that it is in.
pub(crate) const OPERATIONS: [(&str, &str); 12] = [
    ("tools/call", ACT),
    ("resources/read", ACT),
    ("prompts/get", ACT),
    ("completion/complete", ACT),
    ("tasks/get", ACT),
    ("tasks/result", ACT),
    ("tasks/cancel", ACT),
    ("tasks/update", ACT),
    ("command/run", ACT),
    ("sampling/createMessage", ASKED_BY_SERVER),
    ("elicitation/create", ASKED_BY_SERVER),
    ("roots/list", ASKED_BY_SERVER),
];

/// What a schema lacks; nothing when it has all classes and actions, each action in its group.
pub(crate) fn lacking(schema: &Schema) -> Vec<Finding> {
    let missing_classes =
        CLASSES.iter().chain(["unclassified"].iter()).filter(|class| !has_class(schema, class));
    let classes = missing_classes
        .map(|class| unfit(&format!("the class `Deeds::Class::\"{class}\"` is missing from `entity Class`")));
    let actions: HashSet<EntityUid> = schema.actions().cloned().collect();
    // Without entities of actions there are no groups either, and what is missing is said below.
    let groups = schema.action_entities().unwrap_or_else(|_| Entities::empty());
    let has = |id: &str| action(id).is_some_and(|uid| actions.contains(&uid));
    let within = |id: &str, group: &str| match (action(id), action(group)) {
        (Some(id), Some(group)) => groups.is_ancestor_of(&group, &id),
        _ => false,
    };
    let wrong = |(id, group): &(&str, &str)| -> Option<Finding> {
        let other = if *group == ACT { ASKED_BY_SERVER } else { ACT };
        let (name, group, other) = (shown(id), shown(group), (other, shown(other)));
        if !has(id) {
            return Some(unfit(&format!(
                "the action `{name}` is missing; declare it in the group `{group}`"
            )));
        }
        if within(id, other.0) {
            let other = other.1;
            return Some(unfit(&format!(
                "the action `{name}` is in the group `{other}`; take it out of that"
            )));
        }
        None
    };
    let missing_groups = [ACT, ASKED_BY_SERVER].into_iter().filter(|group| !has(group));
    let missing_groups =
        missing_groups.map(|group| unfit(&format!("the group `{}` is missing", shown(group))));
    classes.chain(missing_groups).chain(OPERATIONS.iter().filter_map(wrong)).collect()
}

fn has_class(schema: &Schema, class: &str) -> bool {
    let entity = format!("Deeds::Class::\"{class}\"").parse().map(cedar::Entity::with_uid);
    entity.is_ok_and(|entity| Entities::from_entities([entity], Some(schema)).is_ok())
}

fn shown(action: &str) -> String {
    format!("Deeds::Action::\"{action}\"")
}

fn action(id: &str) -> Option<EntityUid> {
    shown(id).parse().ok()
}

pub(crate) fn unfit(why: &str) -> Finding {
    let message = format!("the schema does not declare what every request is made of: {why}");
    Finding::of_file(SCHEMA_FILE, message)
        .help(Some("add it, or take the file away: without one the built-in schema is used".to_owned()))
}

/// Puts one act of each kind through the very code that decides, with policies whose outcome is known. A
/// schema that lacks an attribute, and an engine that would let a forbid for a group of actions or
/// for a class vanish in silence, are found here and not at the first incident.
pub(crate) fn try_out(vocabulary: &Vocabulary, authorizer: &cedar::Authorizer) -> Result<(), PolicyError> {
    let args = json!({ "probe": true });
    let class = ClassOf::new(vec!["external".to_owned()], ClassSource::ToolRow);
    let of_class = Probe::new("action, resource in Deeds::Class::\"external\"")?;
    let of_group = |group: &str| Probe::new(&format!("action in {}, resource", shown(group)));
    let of_groups = [(ACT, of_group(ACT)?), (ASKED_BY_SERVER, of_group(ASKED_BY_SERVER)?)];
    for (operation, group) in OPERATIONS {
        let act = ActionRequest { operation, ..probe(&args) };
        let slice = vocabulary.build(&act, &class).map_err(|refusal| refused(&refusal.text))?;
        let its_own = of_groups.iter().filter(|(name, _)| *name == group).map(|(_, probe)| probe);
        let silent = its_own.chain([&of_class]).find(|probe| !probe.forbids(authorizer, &slice));
        if let Some(Probe { forbid, .. }) = silent {
            return Err(refused(&format!(
                "`{forbid}` does not forbid `{}`; is it in the group, is a tool in its class?",
                shown(operation)
            )));
        }
    }
    Ok(())
}

/// A forbid that must win over a permit for everything.
struct Probe {
    forbid: String,
    policies: cedar::PolicySet,
}

impl Probe {
    fn new(rest: &str) -> Result<Self, PolicyError> {
        let forbid = format!("forbid (principal, {rest});");
        let policies = format!("permit(principal, action, resource); {forbid}").parse();
        let policies =
            policies.map_err(|error: cedar::ParseErrors| PolicyError::SelfTest(error.to_string()))?;
        Ok(Self { forbid, policies })
    }

    fn forbids(&self, authorizer: &cedar::Authorizer, slice: &Slice) -> bool {
        let response = authorizer.is_authorized(&slice.request, &self.policies, &slice.entities);
        response.decision() == cedar::Decision::Deny
            && response.diagnostics().reason().count() == 1
            && response.diagnostics().errors().count() == 0
    }
}

fn refused(why: &str) -> PolicyError {
    PolicyError::Refused(vec![unfit(why)])
}

pub(crate) fn probe(args: &Value) -> ActionRequest<'_> {
    ActionRequest {
        principal: RequestPrincipal {
            kind: "human",
            iss: "deeds://probe",
            sub: "probe",
            assurance: "inferred",
            grade: "issuer-only",
        },
        agent: RequestAgent { id: "probe", key: "probe", assurance: "inferred" },
        operation: "tools/call",
        tool: "stdio:probe#probe",
        definition: None,
        args,
        delegation: RequestDelegation {
            leaf: "probe",
            depth: 0,
            max_depth: 0,
            tools: &[],
            expires_ms: 1,
            txn: "probe",
            holders: &[],
            purpose: Some("probe"),
        },
        run: "probe",
        now_ms: 0,
        root: None,
    }
}

//! A proposed act as plain data, and the one Cedar request with its entities made of it.

use std::collections::HashSet;

use cedar_policy as cedar;
use cedar_policy::{
    Context, Entities, Entity, EntityId, EntityTypeName, EntityUid, RestrictedExpression, Schema,
};
use serde_json::{Value, json};

use crate::args::flatten;
use crate::classes::{CLASSES, ClassOf, ClassSource, split_tool_uri};
use crate::decision::{Refusal, reason};
use crate::error::{PolicyError, shorten};
use crate::limits::{
    DELEGATED_TOOLS_MAX, DELEGATION_HOLDERS_MAX, ERROR_TEXT_MAX, NAME_MAX, REPLAY_ENTITIES_MAX,
};

/// Definition digest of a tool that no list has shown yet.
pub(crate) const UNKNOWN_DEFINITION: &str = "unknown";
const NAMESPACE: &str = "Deeds";

/// One proposed act, with everything a policy may look at. Identity and delegation are facts
/// here: they were verified before, and their labels say how.
#[derive(Debug, Clone)]
pub struct ActionRequest<'a> {
    /// Who the act is answerable to.
    pub principal: RequestPrincipal<'a>,
    /// Who acts.
    pub agent: RequestAgent<'a>,
    /// The method, `tools/call` or another that the schema has as an action: `resources/read`, `command/run`, …
    pub operation: &'a str,
    /// Tool URI: `stdio:<alias>#<tool>`, or `stdio:<alias>#<method>`.
    pub tool: &'a str,
    /// Digest of the tool's definition, `sha256:<hex>`; `None` before any list has shown it.
    pub definition: Option<&'a str>,
    /// The arguments, a JSON object.
    pub args: &'a Value,
    /// The verified chain's last link.
    pub delegation: RequestDelegation<'a>,
    /// Run id.
    pub run: &'a str,
    /// Unix time in milliseconds at which the decision is made.
    pub now_ms: u64,
    /// Declared root against which relative paths are resolved; `None`: they are refused.
    pub root: Option<&'a str>,
}

/// The root of the delegation chain.
#[derive(Debug, Clone)]
pub struct RequestPrincipal<'a> {
    /// human, service, workflow, schedule or agent.
    pub kind: &'a str,
    /// Issuer; never contains `|`.
    pub iss: &'a str,
    /// Subject at that issuer.
    pub sub: &'a str,
    /// Assurance label of the identity.
    pub assurance: &'a str,
    /// Evidence grade of the root delegation.
    pub grade: &'a str,
}

/// The holder of the chain's last link.
#[derive(Debug, Clone)]
pub struct RequestAgent<'a> {
    /// Holder id.
    pub id: &'a str,
    /// Thumbprint of its key.
    pub key: &'a str,
    /// Assurance label of the holder.
    pub assurance: &'a str,
}

/// The chain: its last link, already intersected with all links above it, and who held the links.
#[derive(Debug, Clone)]
pub struct RequestDelegation<'a> {
    /// Digest of the last link.
    pub leaf: &'a str,
    /// Links below the root.
    pub depth: u32,
    /// The most links allowed below the root.
    pub max_depth: u32,
    /// Tools in scope, as named there.
    pub tools: &'a [String],
    /// Unix time in milliseconds.
    pub expires_ms: u64,
    /// Task id.
    pub txn: &'a str,
    /// Holder ids of all links, root first; the last is the agent's.
    pub holders: &'a [String],
    /// What the root of the chain is for.
    pub purpose: Option<&'a str>,
}

/// The names of the schema, parsed once, and the actions, which every request sees.
#[derive(Debug)]
pub(crate) struct Vocabulary {
    schema: Schema,
    /// What an agent can do with a tool; action groups are none of it.
    operations: HashSet<EntityUid>,
    action: EntityTypeName,
    agent: EntityTypeName,
    principal: EntityTypeName,
    server: EntityTypeName,
    class: EntityTypeName,
    tool: EntityTypeName,
    args: EntityTypeName,
    /// The schema's action entities with their groups.
    actions: Entities,
}

/// What is evaluated: a request and the entities it can see.
#[derive(Debug)]
pub(crate) struct Slice {
    pub(crate) request: cedar::Request,
    pub(crate) entities: Entities,
}

type Pairs = Vec<(String, RestrictedExpression)>;

impl Vocabulary {
    /// The error says in what the schema does not fit.
    pub(crate) fn new(schema: Schema) -> Result<Self, String> {
        let name = |short: &str| -> Result<EntityTypeName, String> {
            format!("{NAMESPACE}::{short}").parse().map_err(|error| format!("{error}"))
        };
        // With the schema, and only with it, the action entities and their groups are there; without
        // them `action in Action::"act"` never matches and forbids vanish in silence.
        let actions = Entities::from_entities([], Some(&schema)).map_err(|error| chain(&error))?;
        let (agent, tool) = (name("Agent")?, name("Tool")?);
        Ok(Self {
            operations: schema.actions_for_principal_and_resource(&agent, &tool).cloned().collect(),
            action: name("Action")?,
            principal: name("Principal")?,
            server: name("Server")?,
            agent,
            tool,
            args: name("Args")?,
            class: name("Class")?,
            schema,
            actions,
        })
    }

    /// Puts an act into Cedar's terms.
    ///
    /// # Errors
    /// A refusal, when the act cannot be put to any policy.
    pub(crate) fn build(&self, act: &ActionRequest<'_>, class: &ClassOf) -> Result<Slice, Refusal> {
        check_names(act)?;
        let (server, tool_name) = split_tool_uri(act.tool).ok_or_else(|| {
            let text =
                format!("`{}` is not a tool; tools are named `<server>#<tool>`", shorten(act.tool, 120));
            Refusal::new(reason::TOOL_INVALID, text)
        })?;
        let action = uid(&self.action, act.operation);
        if !self.operations.contains(&action) {
            let text = format!("the policy schema has no operation `{}`", shorten(act.operation, 120));
            return Err(Refusal::new(reason::OPERATION_UNKNOWN, text));
        }
        let principal = self.principal_entity(act)?;
        let agent = self.agent_entity(act, &principal.uid())?;
        let tool = self.tool_entity(act, tool_name, class, uid(&self.server, server))?;
        let args = self.args_entity(act)?;
        let context = context(act, &args.uid())?;
        let request = cedar::Request::new(agent.uid(), action, tool.uid(), context, Some(&self.schema))
            .map_err(unfit)?;
        let entities = self
            .actions
            .clone()
            .add_entities([principal, agent, tool, args], Some(&self.schema))
            .map_err(unfit)?;
        Ok(Slice { request, entities })
    }

    fn principal_entity(&self, act: &ActionRequest<'_>) -> Result<Entity, Refusal> {
        let of = &act.principal;
        let attributes = vec![
            string("kind", of.kind),
            string("issuer", of.iss),
            string("sub", of.sub),
            string("assurance", of.assurance),
            string("grade", of.grade),
        ];
        entity(uid(&self.principal, &format!("{}|{}", of.iss, of.sub)), attributes, Vec::new())
    }

    fn agent_entity(&self, act: &ActionRequest<'_>, principal: &EntityUid) -> Result<Entity, Refusal> {
        let attributes = vec![
            string("key", act.agent.key),
            string("assurance", act.agent.assurance),
            ("on_behalf_of".to_owned(), RestrictedExpression::new_entity_uid(principal.clone())),
        ];
        entity(uid(&self.agent, act.agent.id), attributes, Vec::new())
    }

    /// Server and classes stand among the parents alone: they have no attributes and no parents, so that nothing
    /// can be asked of them but whether the tool is in them.
    fn tool_entity(
        &self,
        act: &ActionRequest<'_>,
        name: &str,
        class: &ClassOf,
        server: EntityUid,
    ) -> Result<Entity, Refusal> {
        let attributes = vec![
            string("uri", act.tool),
            string("name", name),
            ("classified".to_owned(), RestrictedExpression::new_bool(class.classified)),
            string("class_source", class.source.as_str()),
            string("definition", act.definition.unwrap_or(UNKNOWN_DEFINITION)),
        ];
        let mut parents: Vec<EntityUid> = class.classes.iter().map(|id| uid(&self.class, id)).collect();
        if !class.classified {
            parents.push(uid(&self.class, "unclassified"));
        }
        parents.push(server);
        entity(uid(&self.tool, act.tool), attributes, parents)
    }

    fn args_entity(&self, act: &ActionRequest<'_>) -> Result<Entity, Refusal> {
        let tags = flatten(act.args, act.root)?
            .into_iter()
            .map(|(name, value)| (name, RestrictedExpression::new_string(value)));
        Entity::new_with_tags(uid(&self.args, "call"), [], [], tags).map_err(unfit)
    }

    pub(crate) fn is_server(&self, uid: &EntityUid) -> bool {
        *uid.type_name() == self.server
    }

    pub(crate) fn is_tool(&self, uid: &EntityUid) -> bool {
        *uid.type_name() == self.tool
    }

    /// Reads what [`Slice::to_json`] wrote.
    pub(crate) fn read(&self, recorded: &Value) -> Result<Slice, PolicyError> {
        let member = |name: &str| -> Result<Value, PolicyError> {
            recorded.get(name).cloned().ok_or_else(|| replay(format!("it has no `{name}`")))
        };
        let read_uid = |name: &str| -> Result<EntityUid, PolicyError> {
            EntityUid::from_json(member(name)?).map_err(|error| replay(format!("{name}: {}", chain(&error))))
        };
        if recorded.as_object().is_none_or(|members| members.len() != 5) {
            return Err(replay("it is not an object of principal, action, resource, context, entities"));
        }
        let entities = member("entities")?;
        if entities.as_array().is_none_or(|list| list.len() > REPLAY_ENTITIES_MAX) {
            return Err(replay(format!("its entities are not a list of at most {REPLAY_ENTITIES_MAX}")));
        }
        let action = read_uid("action")?;
        let context = Context::from_json_value(member("context")?, Some((&self.schema, &action)))
            .map_err(|error| replay(format!("context: {}", chain(&error))))?;
        let request = cedar::Request::new(
            read_uid("principal")?,
            action,
            read_uid("resource")?,
            context,
            Some(&self.schema),
        )
        .map_err(|error| replay(chain(&error)))?;
        let entities = Entities::from_json_value(entities, Some(&self.schema))
            .map_err(|error| replay(format!("entities: {}", chain(&error))))?;
        Ok(Slice { request, entities })
    }

    /// What the class table said, as the resource's entity holds it.
    pub(crate) fn class_of(&self, slice: &Slice) -> Result<ClassOf, PolicyError> {
        let resource = slice.request.resource().ok_or_else(|| replay("it has no resource"))?;
        let tool =
            slice.entities.get(resource).ok_or_else(|| replay("its entities do not hold the resource"))?;
        let source = match tool.attr("class_source") {
            Some(Ok(cedar::EvalResult::String(word))) => ClassSource::parse(&word),
            _ => None,
        };
        let source = source.ok_or_else(|| replay("the resource's `class_source` is not known"))?;
        let within = |id: &str| slice.entities.is_ancestor_of(&uid(&self.class, id), resource);
        let classes = CLASSES.iter().filter(|id| within(id)).map(|id| (*id).to_owned()).collect();
        Ok(ClassOf::new(classes, source))
    }
}

impl Slice {
    /// The exact request as JSON, in one order whatever the hash seeds are. Of the actions, which are the schema's and
    /// come back with it, only this one and its groups are written down.
    pub(crate) fn to_json(&self) -> Result<Value, Refusal> {
        let context = self.request.context().map(Context::to_json_value).transpose().map_err(unfit)?;
        let written = self.entities.iter().filter(|entity| !self.is_other_action(&entity.uid()));
        let mut entities: Vec<Value> =
            written.map(|entity| entity.to_json_value().map_err(unfit)).collect::<Result<_, _>>()?;
        for entity in &mut entities {
            if let Some(Value::Array(parents)) = entity.get_mut("parents") {
                parents.sort_by_cached_key(Value::to_string);
            }
        }
        entities.sort_by_cached_key(|entity| entity.get("uid").map(Value::to_string));
        Ok(json!({
            "principal": self.request.principal().map(uid_json),
            "action": self.request.action().map(uid_json),
            "resource": self.request.resource().map(uid_json),
            "context": context,
            "entities": entities,
        }))
    }

    fn is_other_action(&self, uid: &EntityUid) -> bool {
        self.request.action().is_some_and(|action| {
            uid.type_name() == action.type_name()
                && uid != action
                && !self.entities.is_ancestor_of(uid, action)
        })
    }
}

fn uid_json(uid: &EntityUid) -> Value {
    json!({ "type": uid.type_name().to_string(), "id": uid.id().unescaped() })
}

fn uid(kind: &EntityTypeName, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(id))
}

fn string(name: &str, value: &str) -> (String, RestrictedExpression) {
    (name.to_owned(), RestrictedExpression::new_string(value.to_owned()))
}

fn entity(uid: EntityUid, attributes: Pairs, parents: Vec<EntityUid>) -> Result<Entity, Refusal> {
    Entity::new_with_tags(uid, attributes, parents, []).map_err(unfit)
}

/// Built of pairs, not of JSON: an eighth of the time on the path of every call.
fn context(act: &ActionRequest<'_>, args: &EntityUid) -> Result<Context, Refusal> {
    let of = &act.delegation;
    let set = |of: &[String]| {
        RestrictedExpression::new_set(of.iter().map(|text| RestrictedExpression::new_string(text.clone())))
    };
    let mut delegation = vec![
        string("leaf", of.leaf),
        ("depth".to_owned(), RestrictedExpression::new_long(i64::from(of.depth))),
        ("max_depth".to_owned(), RestrictedExpression::new_long(i64::from(of.max_depth))),
        ("tools".to_owned(), set(of.tools)),
        ("holders".to_owned(), set(of.holders)),
        ("expires".to_owned(), datetime(of.expires_ms)?),
    ];
    delegation.extend(of.purpose.map(|purpose| string("purpose", purpose)));
    let run = vec![string("id", act.run), string("txn", of.txn), ("now".to_owned(), datetime(act.now_ms)?)];
    Context::from_pairs([
        ("delegation".to_owned(), RestrictedExpression::new_record(delegation).map_err(unfit)?),
        ("run".to_owned(), RestrictedExpression::new_record(run).map_err(unfit)?),
        ("args".to_owned(), RestrictedExpression::new_entity_uid(args.clone())),
    ])
    .map_err(unfit)
}

fn datetime(unix_ms: u64) -> Result<RestrictedExpression, Refusal> {
    let time = i64::try_from(unix_ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    let time = time.ok_or_else(|| {
        Refusal::new(reason::REQUEST_INVALID, format!("time `{unix_ms}` ms is beyond the year 9999"))
    })?;
    Ok(RestrictedExpression::new_datetime(time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()))
}

fn check_names(act: &ActionRequest<'_>) -> Result<(), Refusal> {
    let named = [
        ("principal kind", act.principal.kind),
        ("issuer", act.principal.iss),
        ("subject", act.principal.sub),
        ("principal assurance", act.principal.assurance),
        ("evidence grade", act.principal.grade),
        ("agent id", act.agent.id),
        ("agent key", act.agent.key),
        ("agent assurance", act.agent.assurance),
        ("operation", act.operation),
        ("delegation digest", act.delegation.leaf),
        ("task", act.delegation.txn),
        ("run", act.run),
    ];
    let refuse = |text: String| Err(Refusal::new(reason::REQUEST_INVALID, text));
    if let Some((what, _)) = named.iter().find(|(_, name)| name.is_empty()) {
        return refuse(format!("the {what} is empty"));
    }
    let optional = [("purpose", act.delegation.purpose), ("definition digest", act.definition)];
    let optional = optional.iter().filter_map(|(what, name)| name.map(|name| (*what, name)));
    let tools = act.delegation.tools.iter().map(|tool| ("tool of the delegation", tool.as_str()));
    let holders = act.delegation.holders.iter().map(|holder| ("holder id", holder.as_str()));
    if let Some((what, _)) = named
        .iter()
        .copied()
        .chain(optional)
        .chain(tools)
        .chain(holders)
        .find(|(_, name)| name.len() > NAME_MAX)
    {
        return refuse(format!("the {what} is longer than {NAME_MAX} bytes"));
    }
    if act.delegation.tools.len() > DELEGATED_TOOLS_MAX {
        return refuse(format!("the delegation lists more than {DELEGATED_TOOLS_MAX} tools"));
    }
    if act.delegation.holders.len() > DELEGATION_HOLDERS_MAX {
        return refuse(format!("the delegation has more than {DELEGATION_HOLDERS_MAX} holders"));
    }
    // The principal's id is `<issuer>|<sub>`, which must say where one ends and the other begins.
    if act.principal.iss.contains('|') {
        return refuse(format!("issuer `{}` contains `|`", shorten(act.principal.iss, 120)));
    }
    Ok(())
}

fn replay(why: impl Into<String>) -> PolicyError {
    PolicyError::Replay(why.into())
}

/// An error and all its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    shorten(&text.replace('\n', " "), ERROR_TEXT_MAX)
}

fn unfit(error: impl std::error::Error) -> Refusal {
    Refusal::new(reason::POLICY_ERROR, format!("the act does not fit the policy schema: {}", chain(&error)))
}

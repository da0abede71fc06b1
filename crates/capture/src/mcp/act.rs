//! Reading an act: what a client asks of the server, or a server of its client.

use evidence::Digest;
use serde_json::{Value, json};

use super::frame::{Frame, Id, Message};
use super::members::Members;
use super::meta::{correlator, is_modern, stripped, without_our_keys};
use super::methods;
use super::presented::META_KEY;
use super::proxy::shown;
use crate::api::Defined;
use crate::limits::{INPUT_REQUESTS_MAX, TASK_ID_MAX, TOOL_NAME_MAX};

/// The `_meta` key with which a client of the modern era names itself.
const CLIENT_INFO: &str = "io.modelcontextprotocol/clientInfo";
/// Members of params that belong to an attempt, not to the act.
const OF_THE_ATTEMPT: [&str; 3] = ["_meta", "inputResponses", "requestState"];
/// Members of params that are read here, or that the arguments of a known act are made of: each has one spelling.
const READ: [&str; 10] = [
    "_meta",
    "inputResponses",
    "requestState",
    "name",
    "arguments",
    "uri",
    "ref",
    "argument",
    "taskId",
    "task",
];

/// One act, as its request says it.
#[derive(Debug)]
pub(crate) struct Act {
    /// The method.
    pub(crate) operation: String,
    /// What its URI ends with: the name of the tool, or the method where there is none.
    pub(crate) name: String,
    /// Exact text, as far as nothing had to be taken out.
    pub(crate) args: Option<String>,
    /// The definition that it goes by.
    pub(crate) defined: Option<(Defined, String)>,
    /// The task that it is about.
    pub(crate) task: Option<String>,
    /// Whether it asks to be answered with a task (2025-11-25).
    pub(crate) wants_task: bool,
    /// Exact text of the answers to what an earlier attempt was asked.
    pub(crate) input_responses: Option<String>,
    /// Digest string of the state that an earlier attempt was given.
    pub(crate) request_state: Option<String>,
    /// By what progress is told.
    pub(crate) progress_token: Option<Id>,
    /// Exact text of the delegation that it presents.
    pub(crate) presented: Option<String>,
    /// A client of the modern era, which expects `resultType`.
    pub(crate) modern: bool,
    /// Text of `_meta` without our keys.
    meta: Option<String>,
    /// The frame without our keys, when it had any.
    stripped: Option<String>,
}

impl Act {
    /// Reads what a request of the client asks for; an error says why it cannot be decided.
    pub(crate) fn read(frame: &Frame) -> Result<Self, String> {
        let Message::Request { method, .. } = frame.message() else { return Err("no request".into()) };
        let params = frame.params().and_then(Members::of);
        if let Some(name) = params.as_ref().and_then(|params| params.look_alike(&READ)) {
            return Err(format!("its member `{}` differs from a known one in case alone", shown(name)));
        }
        let get = |name| params.as_ref().and_then(|params| params.get(name));
        let about = About::read(method, params.as_ref())?;
        let meta = get("_meta");
        let members = meta.and_then(Members::of);
        if let Some(name) = members.as_ref().and_then(|meta| meta.look_alike(&[META_KEY])) {
            return Err(format!("`{}` in its `_meta` differs from `{META_KEY}` in case alone", shown(name)));
        }
        let responses = get("inputResponses");
        if responses.is_some_and(|responses| !responses.starts_with('{')) {
            return Err("its `inputResponses` are not an object".into());
        }
        let answers = responses.and_then(Members::of).map_or(0, |responses| responses.iter().count());
        if answers > INPUT_REQUESTS_MAX {
            return Err(format!("it answers {answers} requests, more than the {INPUT_REQUESTS_MAX} allowed"));
        }
        let of_meta = |name| members.as_ref().and_then(|meta| meta.get(name));
        Ok(Self {
            args: if method == methods::TOOLS_CALL {
                get("arguments").map(str::to_owned)
            } else {
                frame.params().map(args_of)
            },
            input_responses: responses.map(str::to_owned),
            request_state: request_state(get("requestState"))?,
            progress_token: of_meta("progressToken").and_then(Id::parse),
            presented: of_meta(META_KEY).map(str::to_owned),
            modern: is_modern(meta),
            stripped: stripped(frame)?,
            wants_task: method == methods::TOOLS_CALL && get("task").is_some(),
            operation: method.clone(),
            name: about.name.unwrap_or_else(|| method.clone()),
            defined: about.defined,
            task: about.task,
            meta: meta.map(|meta| without_our_keys(meta).unwrap_or_else(|| meta.to_owned())),
        })
    }

    /// What the server asks of its client; `params` are exact text that was checked with the frame it came in.
    pub(crate) fn asked_by_server(method: &str, params: Option<&str>) -> Self {
        let meta = params.and_then(Members::of).and_then(|params| params.get("_meta"));
        Self {
            operation: method.to_owned(),
            name: method.to_owned(),
            args: params.map(args_of),
            defined: None,
            task: None,
            wants_task: false,
            input_responses: None,
            request_state: None,
            progress_token: None,
            presented: None,
            modern: false,
            meta: meta.map(str::to_owned),
            stripped: None,
        }
    }

    /// Its URI.
    pub(crate) fn tool(&self, alias: &str) -> String {
        evidence::tool::stdio(alias, &self.name)
    }

    /// b64url of SHA-256 of JCS of the arguments; absent ones are `{}`.
    pub(crate) fn args_digest(&self) -> String {
        args_digest(self.args.as_deref())
    }

    /// The bytes to forward: exactly those received, unless something had to be stripped.
    pub(crate) fn to_send(&self, frame: Frame) -> Vec<u8> {
        self.stripped.as_ref().map_or_else(|| frame.into_bytes(), |text| text.clone().into_bytes())
    }

    /// Digest string of the bytes to forward, where something had to be stripped.
    pub(crate) fn sent_digest(&self) -> Option<String> {
        self.stripped.as_ref().map(|sent| Digest::of(sent.as_bytes()).to_string())
    }

    /// What client and agent say of themselves. Of the delegation that was presented only its digest: whoever reads
    /// a record must not learn a proof from it.
    pub(crate) fn correlators(&self, client: Option<Value>, rpc_id: &Value) -> Value {
        let meta = self.meta.as_deref();
        let named_here = meta.and_then(Members::of).and_then(|meta| meta.get(CLIENT_INFO)).map(correlator);
        let mut said = json!({
            "client": named_here.or(client),
            "meta": meta.map(correlator),
            "rpc_id": rpc_id,
        });
        if let (Some(presented), Some(said)) = (&self.presented, said.as_object_mut()) {
            said.insert("delegation".into(), Digest::of(presented.as_bytes()).to_string().into());
        }
        said
    }
}

/// What an act is about, as far as its method says where to look.
#[derive(Default)]
struct About {
    name: Option<String>,
    defined: Option<(Defined, String)>,
    task: Option<String>,
}

impl About {
    fn read(method: &str, params: Option<&Members<'_>>) -> Result<Self, String> {
        let get = |name| params.and_then(|params| params.get(name));
        let string = |name| params.and_then(|params| params.string(name));
        match method {
            methods::TOOLS_CALL => {
                let name = string("name").ok_or("a tool call without the name of a tool")?;
                if !is_tool_name(&name) {
                    let grammar = format!("1 to {TOOL_NAME_MAX} of letters, digits and `_.-`");
                    return Err(format!("the tool name `{}` is not {grammar}", shown(&name)));
                }
                if get("arguments").is_some_and(|args| !args.starts_with('{')) {
                    return Err("the arguments of a tool call are not an object".into());
                }
                Ok(Self { defined: Some((Defined::Tool, name.clone())), name: Some(name), task: None })
            }
            methods::RESOURCES_READ => {
                let uri = string("uri").ok_or("no `uri` says what is to be read")?;
                Ok(Self { defined: Some((Defined::Resource, uri)), ..Self::default() })
            }
            methods::PROMPTS_GET => {
                let name = string("name").ok_or("no `name` says which prompt is asked for")?;
                Ok(Self { defined: Some((Defined::Prompt, name)), ..Self::default() })
            }
            method if methods::about_task(method) => {
                let task = string("taskId").filter(|task| (1..=TASK_ID_MAX).contains(&task.len()));
                let task = task.ok_or_else(|| {
                    format!("no `taskId` of 1 to {TASK_ID_MAX} bytes says which task it is about")
                })?;
                Ok(Self { task: Some(task), ..Self::default() })
            }
            _ => Ok(Self::default()),
        }
    }
}

/// The text of params without what belongs to the attempt; exact where there is nothing of it.
fn args_of(params: &str) -> String {
    let Some(members) = Members::of(params) else { return params.to_owned() };
    if !members.iter().any(|(name, _)| OF_THE_ATTEMPT.contains(&name)) {
        return params.to_owned();
    }
    let kept = members.iter().filter(|(name, _)| !OF_THE_ATTEMPT.contains(name));
    let kept: Vec<String> = kept.map(|(name, value)| format!("{}:{value}", Value::from(name))).collect();
    format!("{{{}}}", kept.join(","))
}

/// Digest string of the state's text, however it was escaped.
pub(crate) fn request_state(raw: Option<&str>) -> Result<Option<String>, String> {
    let Some(raw) = raw else { return Ok(None) };
    let state: String = serde_json::from_str(raw).map_err(|_| "its `requestState` is not a string")?;
    Ok(Some(Digest::of(state.as_bytes()).to_string()))
}

/// Whether a tool name is one that policies and URIs can carry: 1 to 128 of `[A-Za-z0-9_.-]`.
pub(crate) fn is_tool_name(name: &str) -> bool {
    (1..=TOOL_NAME_MAX).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

/// b64url of SHA-256 of JCS of the arguments; absent ones are `{}`.
fn args_digest(args: Option<&str>) -> String {
    let value =
        args.and_then(|text| evidence::json::parse(text.as_bytes()).ok()).unwrap_or_else(|| json!({}));
    evidence::base64url::encode(&Digest::of(&evidence::json::jcs(&value)).0)
}

#[cfg(test)]
mod tests;

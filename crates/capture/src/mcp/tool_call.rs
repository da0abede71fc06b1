//! Reading a tool call, and what is never passed on with it.

use evidence::Digest;
use serde_json::{Value, json};

use super::frame::Frame;
use super::members::Members;
use super::presented::META_KEY;
use super::proxy::shown;
use crate::limits::{CORRELATOR_MAX, TOOL_NAME_MAX};

/// Keys of `_meta` that are meant for us and never reach the server.
const OUR_META: &str = "dev.deeds/";
/// The `_meta` key by which a request of the modern era is known.
const PROTOCOL_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
/// The `_meta` key with which a client of the modern era names itself.
const CLIENT_INFO: &str = "io.modelcontextprotocol/clientInfo";

/// The parts of a `tools/call` request.
pub(crate) struct ToolCall {
    pub(crate) name: String,
    /// Exact text.
    pub(crate) args: Option<String>,
    /// Text of `_meta` without our keys.
    meta: Option<String>,
    /// Exact text of the delegation that it presents.
    pub(crate) presented: Option<String>,
    /// The frame without our keys, when it had any.
    stripped: Option<String>,
    /// A client of the modern era, which expects `resultType`.
    pub(crate) modern: bool,
}

impl ToolCall {
    /// Reads one; an error says why it cannot be decided.
    pub(crate) fn read(frame: &Frame) -> Result<Self, String> {
        let params = frame.params().and_then(Members::of).ok_or("a tool call without params")?;
        if let Some(name) = params.look_alike(&["name", "arguments", "_meta"]) {
            return Err(format!("its member `{}` differs from a known one in case alone", shown(name)));
        }
        let name = params.string("name").ok_or("a tool call without the name of a tool")?;
        if !is_tool_name(&name) {
            let grammar = format!("1 to {TOOL_NAME_MAX} of letters, digits and `_.-`");
            return Err(format!("the tool name `{}` is not {grammar}", shown(&name)));
        }
        let args = params.get("arguments");
        if args.is_some_and(|args| !args.starts_with('{')) {
            return Err("the arguments of a tool call are not an object".into());
        }
        let meta = params.get("_meta");
        let members = meta.and_then(Members::of);
        if let Some(name) = members.as_ref().and_then(|meta| meta.look_alike(&[META_KEY])) {
            return Err(format!("`{}` in its `_meta` differs from `{META_KEY}` in case alone", shown(name)));
        }
        Ok(Self {
            name,
            args: args.map(str::to_owned),
            presented: members.and_then(|meta| meta.get(META_KEY)).map(str::to_owned),
            stripped: stripped(frame)?,
            modern: is_modern(meta),
            meta: meta.map(|meta| without_our_keys(meta).unwrap_or_else(|| meta.to_owned())),
        })
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

/// The frame's text without our keys in its `_meta`; nothing when it has none.
pub(crate) fn stripped(frame: &Frame) -> Result<Option<String>, String> {
    let meta = frame.params().and_then(Members::of).and_then(|params| params.get("_meta"));
    let Some((meta, clean)) = meta.and_then(|meta| Some((meta, without_our_keys(meta)?))) else {
        return Ok(None);
    };
    frame.with_replaced(meta, &clean).map(Some).ok_or_else(|| "its `_meta` cannot be stripped".into())
}

/// Whether a tool name is one that policies and URIs can carry: 1 to 128 of `[A-Za-z0-9_.-]`.
pub(crate) fn is_tool_name(name: &str) -> bool {
    (1..=TOOL_NAME_MAX).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

/// A claim of the client as it is recorded: whole, or only its size.
pub(crate) fn correlator(raw: &str) -> Value {
    let whole = if raw.len() <= CORRELATOR_MAX { serde_json::from_str(raw).ok() } else { None };
    whole.unwrap_or_else(
        || json!({"unknown": format!("{} bytes, more than the {CORRELATOR_MAX} recorded", raw.len())}),
    )
}

/// Whether the request that `params` belong to is of the modern era.
pub(crate) fn is_modern_request(frame: &Frame) -> bool {
    frame.params().and_then(Members::of).is_some_and(|params| is_modern(params.get("_meta")))
}

fn is_modern(meta: Option<&str>) -> bool {
    meta.and_then(Members::of).is_some_and(|meta| meta.get(PROTOCOL_VERSION).is_some())
}

/// The `_meta` object without our keys; nothing when it has none.
fn without_our_keys(meta: &str) -> Option<String> {
    let members = Members::of(meta)?;
    let (ours, others): (Vec<_>, Vec<_>) = members.iter().partition(|(name, _)| name.starts_with(OUR_META));
    if ours.is_empty() {
        return None;
    }
    let kept: Vec<String> =
        others.iter().map(|(name, value)| format!("{}:{value}", Value::from(*name))).collect();
    Some(format!("{{{}}}", kept.join(",")))
}

/// b64url of SHA-256 of JCS of the arguments; absent ones are `{}`.
pub(crate) fn args_digest(args: Option<&str>) -> String {
    let value =
        args.and_then(|text| evidence::json::parse(text.as_bytes()).ok()).unwrap_or_else(|| json!({}));
    evidence::base64url::encode(&Digest::of(&evidence::json::jcs(&value)).0)
}

#[cfg(test)]
mod tests;

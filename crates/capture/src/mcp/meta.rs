//! `_meta`: what of it is meant for us and never passed on, and what is recorded of the rest.

use serde_json::{Value, json};

use super::frame::Frame;
use super::members::Members;
use crate::limits::CORRELATOR_MAX;

/// Members of `_meta` that are ours have names that begin so. They never reach the other side.
pub(super) const OUR_META: &str = "dev.deeds/";
/// The `_meta` key by which a request of the modern era is known.
const PROTOCOL_VERSION: &str = "io.modelcontextprotocol/protocolVersion";

/// The frame's text without our keys in its `_meta`; nothing when it has none.
pub(crate) fn stripped(frame: &Frame) -> Result<Option<String>, String> {
    let meta = frame.params().and_then(Members::of).and_then(|params| params.get("_meta"));
    let Some((meta, clean)) = meta.and_then(|meta| Some((meta, without_our_keys(meta)?))) else {
        return Ok(None);
    };
    frame.with_replaced(meta, &clean).map(Some).ok_or_else(|| "its `_meta` cannot be stripped".into())
}

/// A claim of the client as it is recorded: whole, or only its size.
pub(crate) fn correlator(raw: &str) -> Value {
    let whole = if raw.len() <= CORRELATOR_MAX { serde_json::from_str(raw).ok() } else { None };
    whole.unwrap_or_else(
        || json!({"unknown": format!("{} bytes, more than the {CORRELATOR_MAX} recorded", raw.len())}),
    )
}

/// Whether the request that `params` belong to is of the modern era.
pub(super) fn is_modern_request(frame: &Frame) -> bool {
    frame.params().and_then(Members::of).is_some_and(|params| is_modern(params.get("_meta")))
}

pub(super) fn is_modern(meta: Option<&str>) -> bool {
    meta.and_then(Members::of).is_some_and(|meta| meta.get(PROTOCOL_VERSION).is_some())
}

/// The `_meta` object without our keys; nothing when it has none.
pub(super) fn without_our_keys(meta: &str) -> Option<String> {
    let members = Members::of(meta)?;
    let (ours, others): (Vec<_>, Vec<_>) = members.iter().partition(|(name, _)| name.starts_with(OUR_META));
    if ours.is_empty() {
        return None;
    }
    let kept: Vec<String> =
        others.iter().map(|(name, value)| format!("{}:{value}", Value::from(*name))).collect();
    Some(format!("{{{}}}", kept.join(",")))
}

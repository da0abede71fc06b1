//! Digests of the tool definitions that the wrapped server has told its client.

use std::collections::BTreeMap;

use evidence::Digest;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::frame::Frame;
use super::members::Members;
use crate::limits::{DEFINITIONS_LISTED_MAX, DEFINITIONS_MAX};

/// Tool name to the digest of its definition's exact bytes.
#[derive(Debug, Default)]
pub(crate) struct Definitions(BTreeMap<String, String>);

impl Definitions {
    /// The digest under which a tool was last listed.
    pub(crate) fn digest_of(&self, tool: &str) -> Option<String> {
        self.0.get(tool).cloned()
    }

    /// Learns from the result of a `tools/list`. True when anything differs from what was known.
    pub(crate) fn learn(&mut self, response: &Frame) -> bool {
        let mut changed = false;
        for (name, digest) in listed(response) {
            let known = self.0.get(&name);
            if known == digest.as_ref() || (known.is_none() && self.0.len() >= DEFINITIONS_MAX) {
                continue;
            }
            changed = true;
            match digest {
                Some(digest) => self.0.insert(name, digest),
                None => self.0.remove(&name),
            };
        }
        changed
    }

    /// What is recorded of the whole set: count, digest of the map, and the map itself unless it is large.
    pub(crate) fn payload(&self) -> Value {
        let map = json!(self.0);
        let digest = Digest::of(&evidence::json::jcs(&map)).to_string();
        let mut payload = json!({"count": self.0.len(), "digest": digest});
        if self.0.len() <= DEFINITIONS_LISTED_MAX
            && let Some(members) = payload.as_object_mut()
        {
            members.insert("tools".into(), map);
        }
        payload
    }
}

/// Each tool of a list with its digest; nothing for a name that the list defines twice, since client and server
/// may then mean different definitions.
fn listed(response: &Frame) -> BTreeMap<String, Option<String>> {
    let tools = response.body().and_then(Members::of).and_then(|result| result.get("tools"));
    let tools: Vec<&RawValue> = tools.and_then(|raw| serde_json::from_str(raw).ok()).unwrap_or_default();
    let mut listed = BTreeMap::new();
    for tool in tools {
        let Some(name) = Members::of(tool.get()).and_then(|members| members.string("name")) else { continue };
        if !super::tool_call::is_tool_name(&name) {
            continue;
        }
        let digest = Digest::of(tool.get().as_bytes()).to_string();
        listed
            .entry(name)
            .and_modify(|first: &mut Option<String>| *first = first.take().filter(|first| *first == digest))
            .or_insert_with(|| Some(digest.clone()));
    }
    listed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(tools: &str) -> Frame {
        let text = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"tools":{tools}}}}}"#);
        Frame::parse(text.into_bytes()).unwrap()
    }

    #[test]
    fn the_digest_is_of_the_exact_bytes_of_the_definition() {
        let mut definitions = Definitions::default();
        assert!(definitions.learn(&list(r#"[ {"name": "a", "x":1.0} ,{"name":"b"}]"#)));
        assert_eq!(definitions.digest_of("a"), Some(Digest::of(br#"{"name": "a", "x":1.0}"#).to_string()));
        assert_eq!(definitions.digest_of("c"), None);
        assert!(!definitions.learn(&list(r#"[{"name":"b"}]"#)));
        assert!(definitions.learn(&list(r#"[{"name":"b","y":1}]"#)));
        assert_eq!(definitions.payload()["count"], 2);
    }

    #[test]
    fn a_name_defined_twice_in_one_list_is_unknown() {
        let mut definitions = Definitions::default();
        definitions.learn(&list(r#"[{"name":"a"}]"#));
        assert!(definitions.learn(&list(r#"[{"name":"a","v":1},{"name":"a","v":2}]"#)));
        assert_eq!(definitions.digest_of("a"), None);
    }

    #[test]
    fn a_large_set_is_told_by_its_digest_alone() {
        let payload = |count: usize| {
            let tools: Vec<Value> = (0..count).map(|n| json!({"name": format!("t{n}")})).collect();
            let mut definitions = Definitions::default();
            definitions.learn(&list(&Value::from(tools).to_string()));
            definitions.payload()
        };
        assert!(payload(DEFINITIONS_LISTED_MAX).get("tools").is_some());
        assert!(payload(DEFINITIONS_LISTED_MAX + 1).get("tools").is_none());
        assert_eq!(payload(DEFINITIONS_LISTED_MAX + 1)["count"], DEFINITIONS_LISTED_MAX + 1);
    }

    #[test]
    fn odd_lists_are_ignored_and_their_number_is_limited() {
        let mut definitions = Definitions::default();
        for odd in ["{}", "7", r#"[7,{"name":7},{"name":"a/b"}]"#] {
            assert!(!definitions.learn(&list(odd)), "{odd}");
        }
        let many: Vec<Value> = (0..=DEFINITIONS_MAX).map(|n| json!({"name": format!("t{n}")})).collect();
        definitions.learn(&list(&Value::from(many).to_string()));
        assert_eq!(definitions.payload()["count"], DEFINITIONS_MAX);
        assert!(definitions.payload().get("tools").is_none());
    }
}

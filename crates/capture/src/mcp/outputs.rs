//! Artifacts in a result: what a resource holds, by the digest of its bytes.

use base64ct::{Base64, Base64Unpadded, Encoding as _};
use evidence::Digest;
use serde_json::value::RawValue;

use super::members::Members;
use super::methods;
use crate::api::Artifact;
use crate::limits::{ARTIFACT_URI_MAX, ARTIFACTS_BYTES_MAX, ARTIFACTS_MAX, MEDIA_TYPE_MAX};

/// The artifacts of one result, as many as are recorded.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Outputs {
    pub(crate) list: Vec<Artifact>,
    /// How many more there are.
    pub(crate) left_out: usize,
}

impl Outputs {
    /// The contents that were read, or the resources embedded in what a tool or a prompt brought. `result` is exact
    /// text that was checked with the frame it came in.
    pub(crate) fn of(operation: &str, result: &str) -> Self {
        let Some(result) = Members::of(result) else { return Self::default() };
        let found: Vec<Option<Artifact>> = match operation {
            methods::RESOURCES_READ => items(result.get("contents")).map(contents).collect(),
            methods::TOOLS_CALL | methods::TASKS_RESULT => {
                items(result.get("content")).filter_map(embedded).map(contents).collect()
            }
            methods::PROMPTS_GET => {
                let messages = items(result.get("messages"));
                messages.filter_map(content_of).filter_map(embedded).map(contents).collect()
            }
            _ => Vec::new(),
        };
        let mut outputs = Self::default();
        let mut room = ARTIFACTS_BYTES_MAX;
        for artifact in found {
            match artifact.filter(|_| outputs.list.len() < ARTIFACTS_MAX) {
                Some(artifact) if size(&artifact) <= room => {
                    room -= size(&artifact);
                    outputs.list.push(artifact);
                }
                _ => outputs.left_out += 1,
            }
        }
        outputs
    }

    /// Says what is not recorded.
    pub(crate) fn detail(&self) -> Option<String> {
        let all = self.list.len() + self.left_out;
        (self.left_out > 0).then(|| format!("{} of its {all} artifacts are recorded", self.list.len()))
    }
}

fn items(array: Option<&str>) -> impl Iterator<Item = &str> {
    let items: Vec<&RawValue> = array.and_then(|raw| serde_json::from_str(raw).ok()).unwrap_or_default();
    items.into_iter().map(RawValue::get)
}

fn content_of(message: &str) -> Option<&str> {
    Members::of(message)?.get("content")
}

fn embedded(content: &str) -> Option<&str> {
    let content = Members::of(content)?;
    if content.string("type")? != "resource" {
        return None;
    }
    content.get("resource")
}

/// One resource's contents; nothing where it has no name that can be recorded.
fn contents(resource: &str) -> Option<Artifact> {
    let members = Members::of(resource)?;
    let uri = members.string("uri").filter(|uri| is_plain(uri, ARTIFACT_URI_MAX))?;
    let bytes = match (members.string("text"), members.string("blob")) {
        (Some(text), None) => Some(text.into_bytes()),
        (None, Some(blob)) => Base64::decode_vec(&blob).or_else(|_| Base64Unpadded::decode_vec(&blob)).ok(),
        _ => None,
    };
    Some(Artifact {
        uri,
        digest: bytes.as_ref().map(|bytes| Digest::of(bytes).to_string()),
        size: bytes.as_ref().map(|bytes| bytes.len() as u64),
        media_type: members.string("mimeType").filter(|said| is_plain(said, MEDIA_TYPE_MAX)),
        change: None,
        before: None,
    })
}

fn is_plain(text: &str, max: usize) -> bool {
    (1..=max).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// How many bytes of JSON it takes, with the comma.
fn size(artifact: &Artifact) -> usize {
    serde_json::to_string(artifact).map_or(usize::MAX, |text| text.len() + 1)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn outputs(operation: &str, result: &Value) -> Outputs {
        Outputs::of(operation, &result.to_string())
    }

    #[test]
    fn contents_are_digested_as_the_bytes_they_stand_for() {
        let result = json!({"contents": [
            {"uri": "file:///a", "mimeType": "text/plain", "text": "gr\u{fc}\u{df}\n"},
            {"uri": "file:///b", "blob": "AAEC"},
            {"uri": "file:///c", "blob": "AAE"},
            {"uri": "file:///d", "blob": "not base64!"},
            {"uri": "file:///e"},
        ]});
        let found = outputs("resources/read", &result);
        let digest = |bytes: &[u8]| Some(Digest::of(bytes).to_string());
        let digests: Vec<_> = found.list.iter().map(|artifact| artifact.digest.clone()).collect();
        let text = "gr\u{fc}\u{df}\n".as_bytes();
        assert_eq!(digests, [digest(text), digest(&[0, 1, 2]), digest(&[0, 1]), None, None]);
        assert_eq!((found.list[0].size, found.list[0].media_type.as_deref()), (Some(7), Some("text/plain")));
        assert_eq!((found.list[1].uri.as_str(), found.left_out), ("file:///b", 0));
        assert_eq!(found.detail(), None);
    }

    #[test]
    fn resources_embedded_in_what_a_tool_or_prompt_brought_are_found() {
        let resource = json!({"type": "resource", "resource": {"uri": "x:1", "text": "t"}});
        let result = json!({"content": [{"type": "text", "text": "t"}, resource, {"type": "resource_link", "uri": "x:2"}]});
        assert_eq!(outputs("tools/call", &result).list.len(), 1);
        assert_eq!(outputs("completion/complete", &result), Outputs::default());
        let messages = json!({"messages": [{"role": "user", "content": resource}, {"role": "user", "content": {"type": "text"}}]});
        assert_eq!(outputs("prompts/get", &messages).list[0].uri, "x:1");
    }

    #[test]
    fn as_many_are_recorded_as_fit_and_the_rest_is_said() {
        let read = |count: usize, name: usize| {
            let uri = "u".repeat(name);
            let contents: Vec<Value> = (0..count).map(|_| json!({"uri": uri, "text": ""})).collect();
            outputs("resources/read", &json!({"contents": contents}))
        };
        let named = |count: usize| {
            let contents: Vec<Value> = (0..count).map(|_| json!({"uri": "u"})).collect();
            outputs("resources/read", &json!({"contents": contents}))
        };
        assert_eq!(named(ARTIFACTS_MAX).left_out, 0);
        let more = named(ARTIFACTS_MAX + 1);
        assert_eq!((more.list.len(), more.left_out), (ARTIFACTS_MAX, 1));
        assert_eq!(more.detail().as_deref(), Some("256 of its 257 artifacts are recorded"));
        assert_eq!(read(1, ARTIFACT_URI_MAX).left_out, 0);
        assert_eq!(read(1, ARTIFACT_URI_MAX + 1).left_out, 1);
        let one = size(&read(1, ARTIFACT_URI_MAX).list[0]);
        let fit = ARTIFACTS_BYTES_MAX / one;
        assert_eq!(read(fit, ARTIFACT_URI_MAX).left_out, 0);
        assert_eq!(read(fit + 1, ARTIFACT_URI_MAX).left_out, 1);
        assert_eq!(outputs("resources/read", &json!({"contents": [{"uri": "a\nb"}, 7]})).left_out, 2);
    }

    #[test]
    fn a_media_type_that_is_none_is_not_recorded() {
        let read = |said: &str| {
            let result = json!({"contents": [{"uri": "a", "mimeType": said}]});
            outputs("resources/read", &result).list.remove(0).media_type
        };
        assert!(read(&"t".repeat(MEDIA_TYPE_MAX)).is_some());
        assert_eq!((read(&"t".repeat(MEDIA_TYPE_MAX + 1)), read("a\u{0}b"), read("")), (None, None, None));
    }
}

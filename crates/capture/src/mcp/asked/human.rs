//! What somebody at the client said, as the client says: recorded beside the act that asked for it, never an approval.

use evidence::Digest;
use serde_json::{Value, json};

use super::super::members::Members;
use super::word;
use crate::api::Observe;
use crate::limits::HUMAN_INPUT_MAX;

/// Whether a method asks a person.
pub(in crate::mcp) fn is_asked(method: &str) -> bool {
    method == "elicitation/create"
}

/// An answer to an elicitation.
pub(in crate::mcp) struct Said<'a> {
    /// How it came: `request`, `retry` or `task`.
    pub(in crate::mcp) how: &'a str,
    /// The mode in which it was asked for.
    pub(in crate::mcp) mode: Option<&'a str>,
    /// Its key in `inputResponses`.
    pub(in crate::mcp) key: Option<&'a str>,
    /// Exact text of the answer.
    pub(in crate::mcp) answer: &'a str,
    /// Whether what was said may be kept, or its digest alone.
    pub(in crate::mcp) keeps_content: bool,
}

/// The payload of its observation (format §5, kind 9).
pub(in crate::mcp) fn payload(said: &Said<'_>) -> Value {
    let members = Members::of(said.answer);
    let content = members.as_ref().and_then(|members| members.get("content"));
    json!({
        "how": said.how,
        "mode": said.mode,
        "key": said.key.map(super::shown),
        "action": word(members.as_ref(), "action"),
        "content": content.map(|content| kept(content, said.keeps_content)),
    })
}

fn kept(content: &str, keeps: bool) -> Value {
    let whole =
        if keeps && content.len() <= HUMAN_INPUT_MAX { serde_json::from_str(content).ok() } else { None };
    whole.unwrap_or_else(
        || json!({"digest": Digest::of(content.as_bytes()).to_string(), "size": content.len()}),
    )
}

/// The observation itself.
pub(in crate::mcp) fn observation(payload: Value, act_id: &str, frame_digest: &str) -> Observe {
    Observe {
        stream: 0,
        subtype: "human-input".into(),
        payload,
        count: None,
        act_id: Some(act_id.to_owned()),
        frame_digest: Some(frame_digest.to_owned()),
        refusal: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(answer: &str) -> Said<'_> {
        Said { how: "request", mode: Some("form"), key: None, answer, keeps_content: true }
    }

    #[test]
    fn what_was_said_is_kept_as_far_as_it_may_be() {
        assert_eq!(
            payload(&said(r#"{"action":"accept","content":{"name":"x"}}"#)),
            json!({"how": "request", "mode": "form", "key": null, "action": "accept", "content": {"name": "x"}})
        );
        let declined = payload(&Said {
            how: "retry",
            key: Some("k1"),
            mode: Some("url"),
            ..said(r#"{"action":"decline"}"#)
        });
        assert_eq!(
            declined,
            json!({"how": "retry", "mode": "url", "key": "k1", "action": "decline", "content": null})
        );
        assert_eq!(payload(&said("7"))["action"], Value::Null);
        let answer = r#"{"action":"accept","content":{"a":1}}"#;
        let digest = payload(&Said { keeps_content: false, ..said(answer) });
        assert_eq!(digest["content"], json!({"digest": Digest::of(br#"{"a":1}"#).to_string(), "size": 7}));
    }

    #[test]
    fn long_content_is_known_by_digest_and_size() {
        let text = |length: usize| format!(r#"{{"content":"{}"}}"#, "x".repeat(length - 2));
        let content = |length: usize| payload(&said(&text(length)))["content"].clone();
        assert!(content(HUMAN_INPUT_MAX).is_string());
        assert_eq!(content(HUMAN_INPUT_MAX + 1)["size"], HUMAN_INPUT_MAX + 1);
    }
}

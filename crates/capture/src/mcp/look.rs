//! Everything that is read of a frame, in one place: for fuzzing.

use super::act::Act;
use super::answer::{self, judge_result};
use super::call::About;
use super::frame::{Frame, Message, elements};
use super::inputs::{requested, requested_by_error, responses};
use super::outputs::Outputs;
use super::tasks;

/// What came of reading a request for an act.
#[doc(hidden)]
#[derive(Debug, PartialEq, Eq)]
pub struct Look {
    /// What its URI ends with.
    pub name: String,
    /// Text of its arguments.
    pub args: Option<String>,
    /// Digest of those.
    pub args_digest: String,
    /// The bytes to forward.
    pub sent: Vec<u8>,
}

/// Reads a line in every way in which a line of a client or a server is read. Nothing here may panic; for a request
/// that is an act it gives what was read of it.
#[doc(hidden)]
pub fn look(line: &[u8]) -> Option<Look> {
    // each element of a batch is such a line
    drop(elements(line));
    let frame = Frame::parse(line.to_vec()).ok()?;
    match frame.message().clone() {
        Message::Request { .. } => {
            let act = Act::read(&frame).ok()?;
            drop(responses(act.input_responses.as_deref()));
            Some(Look {
                name: act.name.clone(),
                args: act.args.clone(),
                args_digest: act.args_digest(),
                sent: act.to_send(frame),
            })
        }
        Message::Notification { .. } => {
            let params = frame.params()?;
            drop((tasks::told_of(params), requested(params)));
            tasks::read("tools/call", params);
            None
        }
        Message::Response { is_error, .. } => {
            let body = frame.body()?;
            if is_error {
                drop(requested_by_error(body));
            }
            for operation in ["tools/call", "resources/read", "prompts/get", "tasks/get"] {
                let about = About {
                    operation: operation.to_owned(),
                    tool: String::new(),
                    args_digest: String::new(),
                    task: None,
                    wants_task: true,
                    modern: false,
                };
                drop((
                    answer::read(&about, &frame),
                    Outputs::of(operation, body),
                    judge_result(operation, body),
                ));
                tasks::read(operation, body);
            }
            drop(requested(body));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    use super::*;

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(json!({})),
            Just(json!("x")),
            Just(json!({"k": {"action": "accept"}})),
            Just(json!({"dev.deeds/delegation": {"ref": "x"}, "progressToken": 1})),
            Just(json!({"io.modelcontextprotocol/protocolVersion": "2026-07-28", "dev.deeds/x": 1})),
            any::<i32>().prop_map(Value::from),
        ]
    }

    fn request() -> impl Strategy<Value = Value> {
        let method = prop_oneof![
            Just("tools/call"),
            Just("resources/read"),
            Just("prompts/get"),
            Just("completion/complete"),
            Just("tasks/update")
        ];
        let name = prop_oneof![
            Just("_meta"),
            Just("inputResponses"),
            Just("requestState"),
            Just("name"),
            Just("arguments"),
            Just("uri"),
            Just("taskId"),
            Just("\u{e9}\"")
        ];
        let params = prop::collection::vec((name, value()), 0..6);
        (method, params).prop_map(|(method, params)| {
            let params: Map<String, Value> =
                params.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        })
    }

    proptest! {
        #[test]
        fn what_is_forwarded_is_the_same_act_without_what_is_ours(request in request(), pretty: bool) {
            let text = if pretty { serde_json::to_string_pretty(&request).unwrap() } else { request.to_string() };
            let Some(act) = look(text.as_bytes()) else { return Ok(()) };
            if let Some(args) = &act.args {
                let args: Value = serde_json::from_str(args).unwrap();
                prop_assert!(args.get("_meta").is_none() && args.get("requestState").is_none());
            }
            let sent: Value = serde_json::from_slice(&act.sent).unwrap();
            let ours = sent["params"]["_meta"].as_object().into_iter().flatten().find(|(name, _)| name.starts_with("dev.deeds/"));
            prop_assert_eq!(ours, None);
            let again = look(&act.sent).unwrap();
            prop_assert_eq!((&again.name, &again.args_digest, &again.sent), (&act.name, &act.args_digest, &act.sent));
        }
    }
}

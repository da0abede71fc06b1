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

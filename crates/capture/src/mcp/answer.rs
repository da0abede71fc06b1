//! What a response of the wrapped server says about the act: whether it is its end, with which status, and what is
//! kept of it.

use evidence::{Digest, Status};

use super::call::About;
use super::frame::{Frame, Message};
use super::inputs::requested_by_error;
use super::members::Members;
use super::methods;
use super::proxy::shown;
use super::tasks;
use crate::limits::TASK_ID_MAX;

/// Members of a result by which it is known what it is: each has one spelling.
pub(crate) const READ: [&str; 8] =
    ["resultType", "isError", "inputRequests", "requestState", "task", "taskId", "status", "content"];
/// Members of a result that carry what the act brought, which a task that has only begun cannot have yet.
pub(crate) const BROUGHT: [&str; 8] =
    ["content", "structuredContent", "isError", "contents", "messages", "completion", "result", "error"];

/// Members of a result by which it is known that it asks something.
const ASKING: [&str; 2] = ["resultType", "inputRequests"];

/// What a response to an act is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// Its end.
    End,
    /// The act goes on as the task with this id.
    Task(String),
    /// The end of this attempt: something is asked of the client first.
    InputRequired,
    /// Nothing that may be relayed.
    Odd(String),
}

/// Reads a response. What comes of a task that was asked about is read in `tasks.rs`.
pub(crate) fn read(about: &About, response: &Frame) -> Reading {
    let Some(result) = result_of(response) else { return Reading::End };
    if let Some(name) = result.look_alike(&READ) {
        let why = format!("the result's member `{}` differs from a known one in case alone", shown(name));
        return Reading::Odd(why);
    }
    let body = response.body().unwrap_or_default();
    let about_task = methods::about_task(&about.operation);
    if about_task
        && about.operation != methods::TASKS_RESULT
        && let Some(why) = tasks::odd(body, about.task.as_deref())
    {
        return Reading::Odd(why);
    }
    match result_type(&result).as_deref() {
        Some("input_required") => return Reading::InputRequired,
        Some("task") => {}
        None | Some("complete") if about.wants_task && result.get("task").is_some() => {}
        _ => return Reading::End,
    }
    let has_brought = BROUGHT.iter().any(|name| result.get(name).is_some());
    let nested = result.get("task").and_then(Members::of);
    let id = nested.as_ref().unwrap_or(&result).string("taskId");
    match id.filter(|id| (1..=TASK_ID_MAX).contains(&id.len())) {
        Some(id) if !has_brought && !about_task => {
            tasks::odd(body, None).map_or(Reading::Task(id), Reading::Odd)
        }
        _ => Reading::End,
    }
}

/// Whether an answer asks something of the client, or may be read as if it did.
pub(crate) fn asks(response: &Frame) -> bool {
    match result_of(response) {
        Some(result) => asks_of_client(&result) || result.look_alike(&ASKING).is_some(),
        None => requested_by_error(response.body().unwrap_or_default())
            .map_or(true, |found| found.is_some_and(|requests| !requests.is_empty())),
    }
}

/// Whether a result asks something of the client.
pub(crate) fn asks_of_client(result: &Members<'_>) -> bool {
    result_type(result).as_deref() == Some("input_required") || result.get("inputRequests").is_some()
}

fn result_of(response: &Frame) -> Option<Members<'_>> {
    match response.message() {
        Message::Response { is_error: false, .. } => response.body().and_then(Members::of),
        _ => None,
    }
}

fn result_type(result: &Members<'_>) -> Option<String> {
    result.get("resultType").map(|raw| serde_json::from_str(raw).unwrap_or_else(|_| raw.into()))
}

/// Status of an act from the response that ended it, and why where the word alone does not say.
pub(crate) fn judge(operation: &str, response: &Frame, cancelled: bool) -> (Status, Option<String>) {
    if matches!(response.message(), Message::Response { is_error: true, .. }) {
        return if cancelled {
            (Status::Cancelled, Some("cancelled by the caller; the server answered with an error".into()))
        } else {
            (Status::RefusedByTarget, None)
        };
    }
    judge_result(operation, response.body().unwrap_or_default())
}

/// Status of an act from the text of its result.
pub(crate) fn judge_result(operation: &str, result: &str) -> (Status, Option<String>) {
    let Some(result) = Members::of(result) else {
        return (Status::Unknown, Some("the result is not an object".into()));
    };
    match result_type(&result).as_deref() {
        None | Some("complete") => {}
        Some("input_required") => return (Status::InputRequired, None),
        Some(kind) => {
            let kind: String = kind.chars().take(64).collect();
            return (Status::Unknown, Some(format!("a result of type `{kind}` is not followed to its end")));
        }
    }
    match result.get("isError") {
        // of any other act it says nothing
        _ if !matches!(operation, methods::TOOLS_CALL | methods::TASKS_RESULT) => (Status::Ok, None),
        None | Some("false") => (Status::Ok, None),
        Some("true") => (Status::ToolError, None),
        Some(_) => (Status::Unknown, Some("the result's `isError` is neither true nor false".into())),
    }
}

/// Digest string of a response's `result` or `error`.
pub(crate) fn body_digest(response: &Frame) -> Option<String> {
    response.body().map(|body| Digest::of(body.as_bytes()).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(member: &str) -> Frame {
        Frame::parse(format!(r#"{{"jsonrpc":"2.0","id":1,{member}}}"#).into_bytes()).unwrap()
    }

    fn judged(member: &str, cancelled: bool) -> Status {
        judge("tools/call", &response(member), cancelled).0
    }

    #[test]
    fn statuses_follow_the_response() {
        for (member, status) in [
            (r#""result":{}"#, Status::Ok),
            (r#""result":{"isError":false,"resultType":"complete"}"#, Status::Ok),
            (r#""result":{"isError":true}"#, Status::ToolError),
            (r#""result":{"isError":"true"}"#, Status::Unknown),
            (r#""result":{"resultType":"input_required","isError":true}"#, Status::InputRequired),
            (r#""result":{"resultType":"task"}"#, Status::Unknown),
            (r#""result":{"resultType":7}"#, Status::Unknown),
            (r#""result":"text""#, Status::Unknown),
            (r#""error":{"code":1,"message":""}"#, Status::RefusedByTarget),
        ] {
            assert_eq!(judged(member, false), status, "{member}");
        }
    }

    #[test]
    fn after_a_cancellation_an_error_is_its_echo_and_a_result_is_real() {
        assert_eq!(judged(r#""error":{"code":1,"message":""}"#, true), Status::Cancelled);
        assert_eq!(judged(r#""result":{}"#, true), Status::Ok);
        assert_eq!(judged(r#""result":{"isError":true}"#, true), Status::ToolError);
    }

    #[test]
    fn only_what_a_tool_brought_can_be_its_error() {
        for operation in ["resources/read", "prompts/get", "completion/complete", "tasks/get"] {
            assert_eq!(judge_result(operation, r#"{"isError":true}"#).0, Status::Ok, "{operation}");
            let asked = judge_result(operation, r#"{"resultType":"input_required"}"#).0;
            assert_eq!(asked, Status::InputRequired);
        }
        assert_eq!(judge_result("tasks/result", r#"{"isError":true}"#).0, Status::ToolError);
    }

    fn reading(wants_task: bool, result: &str) -> Reading {
        let about = About { wants_task, ..About::for_tests("tools/call") };
        read(&about, &response(&format!(r#""result":{result}"#)))
    }

    #[test]
    fn a_task_is_one_that_has_begun_and_brought_nothing_yet() {
        let task = || Reading::Task("t".into());
        assert_eq!(reading(false, r#"{"resultType":"task","taskId":"t","status":"working"}"#), task());
        assert_eq!(reading(true, r#"{"task":{"taskId":"t","status":"working"},"_meta":{}}"#), task());
        assert_eq!(reading(true, r#"{"resultType":"complete","task":{"taskId":"t"}}"#), task());
        for (wants_task, result) in [
            (false, r#"{"task":{"taskId":"t"}}"#),
            (true, r#"{"task":{"taskId":"t"},"content":[]}"#),
            (true, r#"{"content":[]}"#),
            (true, r#"{"task":{"taskId":7}}"#),
            (false, r#"{"resultType":"task"}"#),
            (false, r#"{"resultType":"task","taskId":"t","result":{}}"#),
            (false, r#"{"resultType":"task","taskId":""}"#),
        ] {
            assert_eq!(reading(wants_task, result), Reading::End, "{result}");
        }
        let long = |len: usize| {
            reading(false, &format!(r#"{{"resultType":"task","taskId":"{}"}}"#, "t".repeat(len)))
        };
        assert!(matches!(long(TASK_ID_MAX), Reading::Task(_)));
        assert_eq!(long(TASK_ID_MAX + 1), Reading::End);
    }

    #[test]
    fn what_is_asked_of_the_client_is_seen_and_look_alikes_are_odd() {
        assert_eq!(
            reading(false, r#"{"resultType":"input_required","inputRequests":{}}"#),
            Reading::InputRequired
        );
        assert!(matches!(reading(false, r#"{"ResultType":"input_required"}"#), Reading::Odd(_)));
        assert!(matches!(reading(false, r#"{"content":[],"IsError":true}"#), Reading::Odd(_)));
        assert!(asks(&response(r#""result":{"tools":[],"inputRequests":{}}"#)));
        assert!(asks(&response(r#""result":{"resultType":"input_required"}"#)));
        assert!(!asks(&response(r#""result":{"resultType":"complete"}"#)));
        assert!(!asks(&response(r#""error":{"inputRequests":{}}"#)));
    }
}

//! What a response of the wrapped server says about the act: its status, and what is kept of it.

use evidence::{Digest, Status};

use super::frame::{Frame, Message};
use super::members::Members;

/// Status of an act from the response to its call, and why where the word alone does not say.
pub(crate) fn judge(response: &Frame, cancelled: bool) -> (Status, Option<String>) {
    if matches!(response.message(), Message::Response { is_error: true, .. }) {
        return if cancelled {
            (Status::Cancelled, Some("cancelled by the caller; the server answered with an error".into()))
        } else {
            (Status::RefusedByTarget, None)
        };
    }
    let Some(result) = response.body().and_then(Members::of) else {
        return (Status::Unknown, Some("the result is not an object".into()));
    };
    match result
        .get("resultType")
        .map(|raw| serde_json::from_str::<String>(raw).unwrap_or_else(|_| raw.into()))
    {
        None => {}
        Some(kind) if kind == "complete" => {}
        Some(kind) if kind == "input_required" => return (Status::InputRequired, None),
        Some(kind) => {
            let kind: String = kind.chars().take(64).collect();
            return (Status::Unknown, Some(format!("a result of type `{kind}` is not followed to its end")));
        }
    }
    match result.get("isError") {
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

    fn judged(member: &str, cancelled: bool) -> Status {
        let text = format!(r#"{{"jsonrpc":"2.0","id":1,{member}}}"#);
        judge(&Frame::parse(text.into_bytes()).unwrap(), cancelled).0
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
}

//! Errors as callers see them: RFC 9457 problem documents with stable codes. `docs/api.md` lists every one.

use axum::http::header::{CONNECTION, CONTENT_TYPE, RETRY_AFTER, UPGRADE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use capture::api;
use lineage::LineageError;
use recorder::RecorderError;
use report::ReportError;
use store::ReadError;

/// The step at which a request for a root fails when its key is not registered.
const STEP_REQUEST_KEY: &str = "request-key";
/// Seconds after which a caller may try again, where trying again can help.
const RETRY_AFTER_S: &str = "1";

/// What a program can act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// The request is not what the API page describes.
    Malformed,
    /// Another process user than the server's own.
    PeerRefused,
    /// A principal's request was refused.
    RequestRefused,
    /// A chain does not hold, or does not fit the run.
    DelegationRefused,
    /// A signed revocation, halt or resume does not hold.
    OrderRefused,
    /// No such principal in force, as the signer of a request.
    SignerUnknown,
    /// No such path, entry, run or action.
    NotFound,
    /// No chain by this digest, or not on a root of this log.
    DelegationUnknown,
    /// No such halt in force.
    HaltUnknown,
    /// No such principal in force, by thumbprint.
    PrincipalUnknown,
    /// No such run.
    RunUnknown,
    /// No such stream in the run.
    StreamUnknown,
    /// No such permitted act in the run.
    ActUnknown,
    /// The path takes other methods.
    MethodNotAllowed,
    /// The request took too long to arrive.
    TooSlow,
    /// The run is over.
    RunEnded,
    /// The run has as many streams or open acts as it may.
    RunFull,
    /// Another command has this alias.
    AliasTaken,
    /// The key stands for another principal, or was retired.
    KeyTaken,
    /// The body is too large.
    TooLarge,
    /// What was sent cannot be recorded.
    Invalid,
    /// The policy set does not load.
    PolicyInvalid,
    /// The proof would be too large, or would not verify.
    ProofImpossible,
    /// Another version of the API.
    ApiVersion,
    /// The log's queue is full.
    Busy,
    /// The head is too large.
    HeadTooLarge,
    /// Something that must not happen did.
    Internal,
    /// The log cannot be written.
    LogUnavailable,
    /// The index has not reached the position asked for.
    NotFolded,
    /// No checkpoint covers the size asked for yet.
    NotPublished,
    /// The server is being stopped.
    Stopping,
    /// Too many connections.
    TooManyConnections,
}

impl Code {
    /// Every code.
    pub const ALL: &[Self] = &[
        Self::Malformed,
        Self::PeerRefused,
        Self::RequestRefused,
        Self::DelegationRefused,
        Self::OrderRefused,
        Self::SignerUnknown,
        Self::NotFound,
        Self::DelegationUnknown,
        Self::HaltUnknown,
        Self::PrincipalUnknown,
        Self::RunUnknown,
        Self::StreamUnknown,
        Self::ActUnknown,
        Self::MethodNotAllowed,
        Self::TooSlow,
        Self::RunEnded,
        Self::RunFull,
        Self::AliasTaken,
        Self::KeyTaken,
        Self::TooLarge,
        Self::Invalid,
        Self::PolicyInvalid,
        Self::ProofImpossible,
        Self::ApiVersion,
        Self::Busy,
        Self::HeadTooLarge,
        Self::Internal,
        Self::LogUnavailable,
        Self::NotFolded,
        Self::NotPublished,
        Self::Stopping,
        Self::TooManyConnections,
    ];

    /// Status, code and title, as the API page lists them.
    pub fn row(self) -> (u16, &'static str, &'static str) {
        match self {
            Self::Malformed => (400, "malformed", "The request is not well-formed"),
            Self::PeerRefused => (403, "peer-refused", "Another user than the server's own"),
            Self::RequestRefused => (403, "request-refused", "The principal's request was refused"),
            Self::DelegationRefused => (403, "delegation-refused", "The delegation was refused"),
            Self::OrderRefused => (403, "order-refused", "The order was refused"),
            Self::SignerUnknown => (403, "principal-unknown", "The signer is not registered"),
            Self::NotFound => (404, "not-found", "There is no such thing"),
            Self::DelegationUnknown => (404, "delegation-unknown", "No such delegation is known"),
            Self::HaltUnknown => (404, "halt-unknown", "No such halt is in force"),
            Self::PrincipalUnknown => (404, "principal-unknown", "No such principal is in force"),
            Self::RunUnknown => (404, "run-unknown", "No such run is known"),
            Self::StreamUnknown => (404, "stream-unknown", "The run has no such stream"),
            Self::ActUnknown => (404, "act-unknown", "The run has no such permitted act"),
            Self::MethodNotAllowed => (405, "method-not-allowed", "The path takes other methods"),
            Self::TooSlow => (408, "too-slow", "The request did not arrive in time"),
            Self::RunEnded => (409, "run-ended", "The run has ended"),
            Self::RunFull => (409, "run-full", "The run is at a limit"),
            Self::AliasTaken => (409, "alias-taken", "The alias stands for another command"),
            Self::KeyTaken => (409, "key-taken", "The key cannot be registered"),
            Self::TooLarge => (413, "too-large", "The body is too large"),
            Self::Invalid => (422, "invalid", "What was sent cannot be recorded"),
            Self::PolicyInvalid => (422, "policy-invalid", "The policy set does not load"),
            Self::ProofImpossible => (422, "proof-impossible", "There is no such proof"),
            Self::ApiVersion => (426, "api-version", "Another version of the API"),
            Self::Busy => (429, "busy", "The log is busy"),
            Self::HeadTooLarge => (431, "head-too-large", "The head of the request is too large"),
            Self::Internal => (500, "internal", "The server failed"),
            Self::LogUnavailable => (503, "log-unavailable", "The log cannot be written"),
            Self::NotFolded => (503, "not-folded", "The index has not come that far"),
            Self::NotPublished => (503, "not-published", "No checkpoint covers that yet"),
            Self::Stopping => (503, "stopping", "The server is being stopped"),
            Self::TooManyConnections => (503, "too-many-connections", "Too many connections"),
        }
    }

    /// Whether the same request may succeed in a moment.
    fn passes(self) -> bool {
        matches!(self, Self::Busy | Self::NotFolded | Self::NotPublished | Self::TooManyConnections)
    }
}

/// An error answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What a program can act on.
    pub code: Code,
    /// What happened, to which thing, what to do next.
    pub detail: String,
}

impl Problem {
    /// A problem with words for a person.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }

    /// The request is not what the API page describes.
    pub(crate) fn malformed(what: impl core::fmt::Display) -> Self {
        Self::new(Code::Malformed, format!("the request cannot be read: {what}; see the API page"))
    }

    /// A member or path segment is not what it should be.
    pub(crate) fn member(name: &str, why: impl core::fmt::Display) -> Self {
        Self::malformed(format_args!("`{name}`: {why}"))
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, code, title) = self.code.row();
        if status >= 500 {
            tracing::warn!(code, detail = self.detail, "a request was answered with a problem");
        }
        let body = api::Problem {
            kind: format!("urn:deeds:error:{code}"),
            title: title.to_owned(),
            status,
            code: code.to_owned(),
            detail: self.detail,
        };
        let mut response = (
            StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            [(CONTENT_TYPE, api::PROBLEM_JSON)],
            serde_json::to_vec(&body).unwrap_or_default(),
        )
            .into_response();
        let headers = response.headers_mut();
        if self.code.passes() {
            headers.insert(RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_S));
        }
        if self.code == Code::ApiVersion {
            // RFC 9110 §15.5.22
            headers.insert(UPGRADE, HeaderValue::from_static("deeds-api/1"));
            headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        }
        response
    }
}

impl From<RecorderError> for Problem {
    fn from(error: RecorderError) -> Self {
        let code = match &error {
            RecorderError::RunUnknown(_) => Code::RunUnknown,
            RecorderError::RunEnded(_) => Code::RunEnded,
            RecorderError::StreamUnknown(..) => Code::StreamUnknown,
            RecorderError::RunFull(..) => Code::RunFull,
            RecorderError::ActUnknown(..) => Code::ActUnknown,
            RecorderError::AliasTaken(_) => Code::AliasTaken,
            RecorderError::KeyTaken(_) => Code::KeyTaken,
            RecorderError::RequestRefused { step, .. } if *step == STEP_REQUEST_KEY => Code::SignerUnknown,
            RecorderError::RequestRefused { .. } => Code::RequestRefused,
            RecorderError::DelegationRefused { .. } => Code::DelegationRefused,
            RecorderError::DelegationUnknown(_) => Code::DelegationUnknown,
            RecorderError::OrderRefused { .. } => Code::OrderRefused,
            RecorderError::HaltUnknown(_) => Code::HaltUnknown,
            RecorderError::PrincipalUnknown(_) => Code::PrincipalUnknown,
            RecorderError::Invalid(_) => Code::Invalid,
            RecorderError::Policy(_) => Code::PolicyInvalid,
            RecorderError::Busy => Code::Busy,
            RecorderError::Log(_) | RecorderError::LogUnavailable => Code::LogUnavailable,
        };
        Self::new(code, error.to_string())
    }
}

impl From<LineageError> for Problem {
    fn from(error: LineageError) -> Self {
        match error {
            LineageError::Read(error) => error.into(),
            LineageError::NotFound { .. } => Self::new(Code::NotFound, error.to_string()),
            other => Self::new(Code::Internal, other.to_string()),
        }
    }
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        let code = match &error {
            ReadError::OutOfRange { .. } => Code::NotFound,
            ReadError::NotPublished { .. } => Code::NotPublished,
            _ => Code::Internal,
        };
        Self::new(code, error.to_string())
    }
}

impl From<ReportError> for Problem {
    fn from(error: ReportError) -> Self {
        match error {
            ReportError::Lineage(error) => error.into(),
            ReportError::Read(error) => error.into(),
            ReportError::Subject(_) | ReportError::UnknownField(_) => Self::malformed(error),
            ReportError::Unpublished { .. } => Self::new(Code::NotPublished, error.to_string()),
            ReportError::TooMany | ReportError::TooLong(_) | ReportError::NotVerified(_) => {
                Self::new(Code::ProofImpossible, error.to_string())
            }
            other => Self::new(Code::Internal, other.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rows of the table of codes on the API page.
    fn listed() -> Vec<(String, String)> {
        let page = include_str!("../../../docs/api.md");
        let (_, table) = page.split_once("## Problems").expect("the API page has the table");
        let rows = table.lines().filter(|line| line.starts_with("| ")).skip(1);
        rows.map(|line| {
            let mut cells = line.split('|').map(str::trim).skip(1);
            let mut cell = || cells.next().unwrap_or_default().trim_matches('`').to_owned();
            (cell(), cell())
        })
        .collect()
    }

    #[test]
    fn the_api_page_lists_every_code_and_no_other() {
        let mut known: Vec<(String, String)> =
            Code::ALL.iter().map(|code| (code.row().0.to_string(), code.row().1.to_owned())).collect();
        let mut listed = listed();
        known.sort();
        listed.sort();
        assert_eq!(listed, known);
    }

    #[test]
    fn each_error_of_the_recorder_has_its_code() {
        let run = || "r".to_owned();
        let refused = |step| RecorderError::RequestRefused { step, text: "t".into() };
        let cases = [
            (RecorderError::RunUnknown(run()), 404, "run-unknown"),
            (RecorderError::RunEnded(run()), 409, "run-ended"),
            (RecorderError::StreamUnknown(run(), 1), 404, "stream-unknown"),
            (RecorderError::RunFull(run(), "streams"), 409, "run-full"),
            (RecorderError::ActUnknown(run(), run()), 404, "act-unknown"),
            (RecorderError::AliasTaken("fs".into()), 409, "alias-taken"),
            (RecorderError::KeyTaken("x".into()), 409, "key-taken"),
            (refused("request-signature"), 403, "request-refused"),
            (refused("request-key"), 403, "principal-unknown"),
            (
                RecorderError::DelegationRefused { step: "link-scope", text: "t".into() },
                403,
                "delegation-refused",
            ),
            (RecorderError::DelegationUnknown("d".into()), 404, "delegation-unknown"),
            (RecorderError::OrderRefused { step: "order-key", text: "t".into() }, 403, "order-refused"),
            (RecorderError::HaltUnknown(7), 404, "halt-unknown"),
            (RecorderError::PrincipalUnknown("t".into()), 404, "principal-unknown"),
            (RecorderError::Invalid("x".into()), 422, "invalid"),
            (RecorderError::Policy("x".into()), 422, "policy-invalid"),
            (RecorderError::Busy, 429, "busy"),
            (RecorderError::Log("x".into()), 503, "log-unavailable"),
            (RecorderError::LogUnavailable, 503, "log-unavailable"),
        ];
        for (error, status, code) in cases {
            let detail = error.to_string();
            let problem = Problem::from(error);
            assert_eq!((problem.code.row().0, problem.code.row().1), (status, code));
            assert_eq!(problem.detail, detail);
        }
    }

    #[test]
    fn what_passes_says_when_to_come_again() {
        let retry = |code| {
            let response = Problem::new(code, "x").into_response();
            response.headers().get(RETRY_AFTER).map(|value| value.to_str().unwrap().to_owned())
        };
        assert_eq!(retry(Code::Busy), Some("1".to_owned()));
        assert_eq!(retry(Code::RunEnded), None);
        let version = Problem::new(Code::ApiVersion, "x").into_response();
        assert_eq!(version.headers().get(UPGRADE).unwrap(), "deeds-api/1");
    }
}

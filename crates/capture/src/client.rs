//! Client of the server's API: HTTP/1.1 over a Unix socket, one request per connection at a time, connections
//! reused, every answer bounded in size and time.
//!
//! Errors keep apart what a caller must act on differently: a request that was certainly never sent
//! ([`ClientError::Unreachable`]), one that may have been carried out ([`ClientError::Lost`]), and one that the
//! server answered with a problem ([`ClientError::Api`]).

mod connection;
mod lines;

use std::path::PathBuf;
use std::sync::Arc;

use http_body_util::{BodyExt as _, Limited};
use hyper::body::Bytes;
use hyper::{Method, Response, StatusCode, body::Incoming};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use crate::api;
use crate::limits::{ANSWER_TIMEOUT, BODY_MAX};
use connection::Pool;
pub use lines::{Enqueued, Lease};

/// Why a request to the server has no answer to work with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// No connection: the request was certainly not sent.
    #[error("the deeds server at `{socket}` cannot be reached: {why}")]
    Unreachable {
        /// Path of the socket.
        socket: String,
        /// What the operating system said, or why no server could be started, and what to do.
        why: String,
    },
    /// The connection broke or the answer did not come in time: the request may have been carried out.
    #[error("the connection to the deeds server was lost: {0}; whether it got the request is not known")]
    Lost(String),
    /// The server answered with a problem.
    #[error("{detail} ({code})")]
    Api {
        /// HTTP status.
        status: u16,
        /// Stable code.
        code: String,
        /// The server's words.
        detail: String,
    },
    /// The answer is not what `docs/api.md` promises.
    #[error(
        "the deeds server gave an answer that cannot be read: {0}; client and server may differ in version"
    )]
    Answer(String),
    /// The request is larger than the server accepts, so it was not sent.
    #[error("a request of {0} bytes is larger than the {BODY_MAX} that the deeds server accepts")]
    TooLarge(usize),
}

impl ClientError {
    /// Whether the same request may succeed later: no connection, or the server is not able to serve now.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Lost(_) => true,
            Self::Api { status, .. } => matches!(status, 429 | 500..=599),
            Self::Answer(_) | Self::TooLarge(_) => false,
        }
    }

    /// What went wrong, without a word on whether a request arrived, or where to: for where none was sent.
    pub(crate) fn without_doubt(&self) -> String {
        match self {
            Self::Unreachable { why, .. } => why.clone(),
            Self::Lost(why) => format!("the connection was lost: {why}"),
            other => other.to_string(),
        }
    }

    /// The code of an [`ClientError::Api`] error.
    pub fn code(&self) -> Option<&str> {
        if let Self::Api { code, .. } = self { Some(code) } else { None }
    }
}

/// A client of one server. Clones share its connections.
#[derive(Debug, Clone)]
pub struct Client {
    pool: Arc<Pool>,
}

impl Client {
    /// Connects to the server's socket; [`ClientError::Unreachable`] when nobody listens there.
    pub async fn connect(socket: PathBuf) -> Result<Self, ClientError> {
        let pool = Arc::new(Pool::new(socket));
        let connection = pool.dial().await?;
        pool.keep(connection);
        Ok(Self { pool })
    }

    /// `GET /v1/hello`.
    pub async fn hello(&self) -> Result<api::Hello, ClientError> {
        self.get_json("/v1/hello").await
    }

    /// `POST /v1/runs`.
    pub async fn open_run(&self, request: &api::OpenRun) -> Result<api::OpenedRun, ClientError> {
        self.post_json("/v1/runs", request).await
    }

    /// `POST /v1/runs/{run}/delegations`.
    pub async fn renew(&self, run: &str, request: &api::Renew) -> Result<api::Renewed, ClientError> {
        self.post_json(&format!("/v1/runs/{run}/delegations"), request).await
    }

    /// `POST /v1/runs/{run}/lease`; returns once the server says that the lease is held.
    pub async fn lease(&self, run: &str, stream: u64) -> Result<Lease, ClientError> {
        let body = encode(&api::TakeLease { stream })?;
        let (response, connection) =
            self.request(Method::POST, &format!("/v1/runs/{run}/lease"), Some(body)).await?;
        let mut lease = Lease::new(response.into_body(), connection);
        lease.held().await?;
        Ok(lease)
    }

    /// `POST /v1/runs/{run}/end`.
    pub async fn end_run(&self, run: &str, request: &api::EndRun) -> Result<api::EndedRun, ClientError> {
        self.post_json(&format!("/v1/runs/{run}/end"), request).await
    }

    /// `POST /v1/runs/{run}/actions`.
    pub async fn begin(&self, run: &str, request: &api::Begin) -> Result<api::Begun, ClientError> {
        self.post_json(&format!("/v1/runs/{run}/actions"), request).await
    }

    /// `POST /v1/runs/{run}/actions/{act_id}/outcome`; returns once the outcome is enqueued. What is returned
    /// resolves to the durable receipt.
    pub async fn finish(
        &self,
        run: &str,
        act_id: &str,
        request: &api::Finish,
    ) -> Result<Enqueued, ClientError> {
        let body = encode(request)?;
        let path = format!("/v1/runs/{run}/actions/{act_id}/outcome");
        let (response, connection) = self.request(Method::POST, &path, Some(body)).await?;
        Enqueued::read(response.into_body(), connection, Arc::clone(&self.pool)).await
    }

    /// `POST /v1/runs/{run}/observations`.
    pub async fn observe(&self, run: &str, request: &api::Observe) -> Result<api::Observed, ClientError> {
        self.post_json(&format!("/v1/runs/{run}/observations"), request).await
    }

    /// `POST /v1/runs/{run}/definitions`.
    pub async fn define(&self, run: &str, request: &api::Define) -> Result<api::DefinedAnswer, ClientError> {
        self.post_json(&format!("/v1/runs/{run}/definitions"), request).await
    }

    /// `POST /v1/runs/{run}/artifacts`.
    pub async fn artifacts(
        &self,
        run: &str,
        request: &api::ArtifactsPart,
    ) -> Result<api::Observed, ClientError> {
        self.post_json(&format!("/v1/runs/{run}/artifacts"), request).await
    }

    /// `POST /v1/definitions`: the configuration of a client changed.
    pub async fn client_config_changed(
        &self,
        request: &api::ClientConfigChanged,
    ) -> Result<api::Written, ClientError> {
        self.post_json("/v1/definitions", request).await
    }

    /// `POST /v1/withdrawals`.
    pub async fn withdraw(&self, request: &api::Withdraw) -> Result<api::Written, ClientError> {
        self.post_json("/v1/withdrawals", request).await
    }

    /// `POST /v1/runs/{run}/gaps`.
    pub async fn gap(&self, run: &str, request: &api::Gap) -> Result<api::Written, ClientError> {
        self.post_json(&format!("/v1/runs/{run}/gaps"), request).await
    }

    /// `POST /v1/delegations` with a signed request: issues a root outside a run.
    pub async fn issue(&self, root_request: String) -> Result<api::IssuedDelegation, ClientError> {
        self.post_json("/v1/delegations", &api::AddDelegation::RootRequest(root_request)).await
    }

    /// `POST /v1/delegations` with a chain: checks and keeps it, so that its leaf digest names it.
    pub async fn keep_chain(&self, chain: Vec<String>) -> Result<api::KeptChain, ClientError> {
        self.post_json("/v1/delegations", &api::AddDelegation::Chain(chain)).await
    }

    /// `POST /v1/mandates`.
    pub async fn add_mandate(&self, mandate: String) -> Result<api::AddedMandate, ClientError> {
        self.post_json("/v1/mandates", &api::AddMandate { mandate }).await
    }

    /// `POST /v1/revocations`.
    pub async fn revoke(&self, request: &api::Revoke) -> Result<api::Revoked, ClientError> {
        self.post_json("/v1/revocations", request).await
    }

    /// `POST /v1/halts`.
    pub async fn halt(&self, request: &api::AddHalt) -> Result<api::Written, ClientError> {
        self.post_json("/v1/halts", request).await
    }

    /// `DELETE /v1/halts/{index}`.
    pub async fn resume(&self, halt: u64, request: &api::Resume) -> Result<api::Written, ClientError> {
        let body = encode(request)?;
        decode(&self.send(Method::DELETE, &format!("/v1/halts/{halt}"), Some(body)).await?)
    }

    /// `GET /v1/halts`.
    pub async fn halts(&self) -> Result<api::Halts, ClientError> {
        self.get_json("/v1/halts").await
    }

    /// Any `GET` with a JSON answer; `path` with its query.
    pub async fn get_json<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        decode(&self.send(Method::GET, path, None).await?)
    }

    /// Any `POST` with a JSON answer.
    pub async fn post_json<B: Serialize, T: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
    ) -> Result<T, ClientError> {
        decode(&self.send(Method::POST, path, Some(encode(body)?)).await?)
    }

    /// Any `DELETE` with a JSON answer.
    pub async fn delete_json<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        decode(&self.send(Method::DELETE, path, None).await?)
    }

    /// Any `POST` whose answer is not JSON, such as a bundle.
    pub async fn post_bytes<B: Serialize>(&self, path: &str, body: &B) -> Result<Vec<u8>, ClientError> {
        Ok(self.send(Method::POST, path, Some(encode(body)?)).await?.to_vec())
    }

    /// Any `GET` whose answer is not JSON, such as a tile.
    pub async fn get_bytes(&self, path: &str) -> Result<Vec<u8>, ClientError> {
        Ok(self.send(Method::GET, path, None).await?.to_vec())
    }

    /// One request and its whole answer.
    async fn send(&self, method: Method, path: &str, body: Option<Vec<u8>>) -> Result<Bytes, ClientError> {
        let (response, connection) = self.request(method, path, body).await?;
        let bytes = collect(response).await?;
        self.pool.keep(connection);
        Ok(bytes)
    }

    /// Sends a request and waits for the head of a successful answer. The connection must be kept until the
    /// body was read, and may then be given back to the pool.
    async fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
    ) -> Result<(Response<Incoming>, connection::Connection), ClientError> {
        let request = connection::request(method, path, body)?;
        let answer = timeout(ANSWER_TIMEOUT, self.pool.send(request)).await;
        let (response, connection) = answer.map_err(|_| late())??;
        if response.status().is_success() {
            return Ok((response, connection));
        }
        let status = response.status();
        let problem = problem(status, &collect(response).await?);
        self.pool.keep(connection);
        Err(problem)
    }
}

async fn collect(response: Response<Incoming>) -> Result<Bytes, ClientError> {
    let body = Limited::new(response.into_body(), BODY_MAX).collect();
    let body = timeout(ANSWER_TIMEOUT, body).await.map_err(|_| late())?;
    let body = body.map_err(|error| ClientError::Lost(format!("its answer broke off ({error})")))?;
    Ok(body.to_bytes())
}

fn encode<B: Serialize>(body: &B) -> Result<Vec<u8>, ClientError> {
    let bytes = serde_json::to_vec(body).map_err(|error| ClientError::Answer(error.to_string()))?;
    if bytes.len() > BODY_MAX { Err(ClientError::TooLarge(bytes.len())) } else { Ok(bytes) }
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ClientError> {
    serde_json::from_slice(bytes).map_err(|error| ClientError::Answer(error.to_string()))
}

fn problem(status: StatusCode, body: &[u8]) -> ClientError {
    let problem: Option<api::Problem> = serde_json::from_slice(body).ok();
    let (code, detail) = problem.map_or_else(Default::default, |problem| (problem.code, problem.detail));
    let or = |text: String, other: String| if text.is_empty() { other } else { text };
    ClientError::Api {
        status: status.as_u16(),
        code: or(code, format!("http-{}", status.as_u16())),
        detail: or(detail, format!("the deeds server answered {status} without saying why")),
    }
}

fn late() -> ClientError {
    ClientError::Lost(format!("no answer within {} s", ANSWER_TIMEOUT.as_secs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_keep_code_and_detail_and_say_something_without_them() {
        let body = br#"{"type":"urn:deeds:error:busy","title":"t","status":429,"code":"busy","detail":"queue full"}"#;
        let error = problem(StatusCode::TOO_MANY_REQUESTS, body);
        assert_eq!((error.code(), error.is_transient()), (Some("busy"), true));
        assert_eq!(error.to_string(), "queue full (busy)");
        let error = problem(StatusCode::NOT_FOUND, b"<html>");
        assert_eq!((error.code(), error.is_transient()), (Some("http-404"), false));
    }

    #[test]
    fn a_request_one_byte_over_the_limit_is_not_sent() {
        let fits = "x".repeat(BODY_MAX - 2);
        assert_eq!(encode(&fits).map(|bytes| bytes.len()), Ok(BODY_MAX));
        assert_eq!(encode(&format!("{fits}x")), Err(ClientError::TooLarge(BODY_MAX + 1)));
    }

    #[tokio::test]
    async fn nobody_listening_is_unreachable() {
        let dir = tempfile::tempdir().unwrap();
        let error = Client::connect(dir.path().join("deeds.sock")).await.unwrap_err();
        assert!(matches!(error, ClientError::Unreachable { .. }), "{error}");
    }
}

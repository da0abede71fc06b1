//! Connections to the server's socket, and the pool of idle ones.

use core::pin::pin;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::sync::oneshot;

use super::ClientError;
use crate::api::{API_HEADER, API_VERSION};
use crate::limits::IDLE_CONNECTIONS_MAX;

type Body = Full<Bytes>;

/// One connection; it carries one request at a time and closes when dropped.
#[derive(Debug)]
pub(super) struct Connection {
    /// Gone once the driver has ended.
    sender: Option<SendRequest<Body>>,
    /// Resolves (to an error) when the driver of the connection has ended.
    ended: oneshot::Receiver<()>,
}

/// A request without an answer: the request itself where it certainly was not sent, and why.
type Failed = (Option<Request<Body>>, String);

impl Connection {
    /// Sends one request and waits for the head of its answer.
    async fn send(mut self, request: Request<Body>) -> Result<(Response<Incoming>, Self), Failed> {
        let Some(sender) = &mut self.sender else { return Err((Some(request), "it is closed".into())) };
        let mut answer = pin!(sender.try_send_request(request));
        let answered = tokio::select! {
            biased;
            answered = &mut answer => answered,
            _ = &mut self.ended => {
                // A request that reached the driver's queue in the moment in which the driver ended is given
                // back only when the queue is dropped, and the queue lives as long as its sender: without this
                // it would wait for an answer that nobody is going to give.
                self.sender = None;
                answer.await
            }
        };
        answered.map(|response| (response, self)).map_err(why)
    }

    /// Whether the next request can be sent; waits until the last answer was read to its end.
    async fn is_ready(&mut self) -> bool {
        match &mut self.sender {
            Some(sender) => sender.ready().await.is_ok(),
            None => false,
        }
    }

    fn is_closed(&self) -> bool {
        self.sender.as_ref().is_none_or(SendRequest::is_closed)
    }
}

fn why(mut failed: TrySendError<Request<Body>>) -> Failed {
    (failed.take_message(), failed.into_error().to_string())
}

/// The idle connections to one socket.
#[derive(Debug)]
pub(super) struct Pool {
    socket: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

impl Pool {
    pub(super) fn new(socket: PathBuf) -> Self {
        Self { socket, idle: Mutex::new(Vec::new()) }
    }

    /// Opens a new connection.
    pub(super) async fn dial(&self) -> Result<Connection, ClientError> {
        let unreachable = |why: String| ClientError::Unreachable {
            socket: self.socket.display().to_string(),
            why: format!("{why}; `deeds doctor` says how the server is"),
        };
        let stream =
            UnixStream::connect(&self.socket).await.map_err(|error| unreachable(error.to_string()))?;
        let (sender, driver) =
            handshake(TokioIo::new(stream)).await.map_err(|error| unreachable(error.to_string()))?;
        let (end, ended) = oneshot::channel();
        tokio::spawn(async move {
            // an error of the connection reaches whoever waits for an answer on it
            if let Err(error) = driver.await {
                tracing::debug!(%error, "a connection to the deeds server ended");
            }
            drop::<oneshot::Sender<()>>(end);
        });
        Ok(Connection { sender: Some(sender), ended })
    }

    /// Gives a connection back after its answer was read to the end.
    pub(super) fn keep(&self, connection: Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if !connection.is_closed() && idle.len() < IDLE_CONNECTIONS_MAX {
            idle.push(connection);
        }
    }

    fn take(&self) -> Option<Connection> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    /// Sends over an idle connection where one is alive, else over a new one. A request that an old connection
    /// gave back unsent goes on; one that may have left is never sent a second time here.
    pub(super) async fn send(
        &self,
        mut request: Request<Body>,
    ) -> Result<(Response<Incoming>, Connection), ClientError> {
        while let Some(mut connection) = self.take() {
            if !connection.is_ready().await {
                continue;
            }
            match connection.send(request).await {
                Ok(answered) => return Ok(answered),
                Err((Some(unsent), _)) => request = unsent,
                Err((None, why)) => return Err(ClientError::Lost(why)),
            }
        }
        match self.dial().await?.send(request).await {
            Ok(answered) => Ok(answered),
            Err((Some(_unsent), why)) => {
                Err(ClientError::Unreachable { socket: self.socket.display().to_string(), why })
            }
            Err((None, why)) => Err(ClientError::Lost(why)),
        }
    }
}

/// Builds a request with the headers that every one carries.
pub(super) fn request(
    method: Method,
    path: &str,
    body: Option<Vec<u8>>,
) -> Result<Request<Body>, ClientError> {
    let mut builder =
        Request::builder().method(method).uri(path).header(HOST, "deeds").header(API_HEADER, API_VERSION);
    if body.is_some() {
        builder = builder.header(CONTENT_TYPE, "application/json");
    }
    builder
        .body(Full::new(Bytes::from(body.unwrap_or_default())))
        .map_err(|error| ClientError::Answer(format!("`{path}` is not a path of the API: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn idle_connections_are_kept_up_to_the_limit() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("deeds.sock");
        let listener = tokio::net::UnixListener::bind(&socket).unwrap();
        let pool = Pool::new(socket);
        let mut accepted = Vec::new();
        for kept in 1..=IDLE_CONNECTIONS_MAX + 1 {
            let connection = pool.dial().await.unwrap();
            accepted.push(listener.accept().await.unwrap());
            pool.keep(connection);
            assert_eq!(pool.idle.lock().unwrap().len(), kept.min(IDLE_CONNECTIONS_MAX));
        }
    }

    #[test]
    fn a_path_that_is_none_is_an_error() {
        assert!(request(Method::GET, "/v1/hello?x=1", None).is_ok());
        assert!(request(Method::GET, "not a path", None).is_err());
    }
}

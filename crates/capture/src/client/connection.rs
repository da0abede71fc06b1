//! Connections to the server's socket, and the pool of idle ones.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;

use super::ClientError;
use crate::api::{API_HEADER, API_VERSION};
use crate::limits::IDLE_CONNECTIONS_MAX;

type Body = Full<Bytes>;

/// One connection; it carries one request at a time and closes when dropped.
#[derive(Debug)]
pub(super) struct Connection(SendRequest<Body>);

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
        let unreachable =
            |why: String| ClientError::Unreachable { socket: self.socket.display().to_string(), why };
        let stream =
            UnixStream::connect(&self.socket).await.map_err(|error| unreachable(error.to_string()))?;
        let (sender, driver) =
            handshake(TokioIo::new(stream)).await.map_err(|error| unreachable(error.to_string()))?;
        tokio::spawn(async move {
            // an error of the connection reaches whoever waits for an answer on it
            if let Err(error) = driver.await {
                tracing::debug!(%error, "a connection to the deeds server ended");
            }
        });
        Ok(Connection(sender))
    }

    /// Gives a connection back after its answer was read to the end.
    pub(super) fn keep(&self, connection: Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if !connection.0.is_closed() && idle.len() < IDLE_CONNECTIONS_MAX {
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
            let r = tokio::time::timeout(std::time::Duration::from_secs(3), connection.0.ready()).await; if r.is_err() { eprintln!("DBG ready hangs closed={}", connection.0.is_closed()); }
            if connection.0.ready().await.is_err() {
                continue;
            }
            let f = connection.0.try_send_request(request); tokio::pin!(f); let t = tokio::time::sleep(std::time::Duration::from_secs(3)); tokio::pin!(t); let out = tokio::select!{ o = &mut f => o, () = &mut t => { eprintln!("DBG try_send (idle conn) hangs"); f.await } };
            match out {
                Ok(response) => return Ok((response, connection)),
                Err(mut failed) => match failed.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(ClientError::Lost(failed.into_error().to_string())),
                },
            }
        }
        let mut connection = self.dial().await?;
        let f = connection.0.try_send_request(request); tokio::pin!(f); let t = tokio::time::sleep(std::time::Duration::from_secs(3)); tokio::pin!(t); let out = tokio::select!{ o = &mut f => o, () = &mut t => { eprintln!("DBG try_send (new conn) hangs"); f.await } };
        match out {
            Ok(response) => Ok((response, connection)),
            Err(mut failed) => {
                let unsent = failed.take_message().is_some();
                let why = failed.into_error().to_string();
                let socket = self.socket.display().to_string();
                Err(if unsent { ClientError::Unreachable { socket, why } } else { ClientError::Lost(why) })
            }
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

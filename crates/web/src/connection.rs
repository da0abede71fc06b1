//! Connections of the socket: who may come in, requests received whole and in time, and an orderly end.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::response::{IntoResponse, Response};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use recorder::Peer;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::arrival::{Arrival, Timed};
use crate::limits::{HEADERS_MAX, Limits, REFUSED_CONNECTIONS_MAX};
use crate::owners::own_uid;
use crate::problem::{Code, Problem};
use crate::state::Shutdown;

/// Pause after the operating system could not give us a connection: without it a full table of files spins.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Least buffer that the HTTP implementation takes.
const BUFFER_MIN_BYTES: usize = 8_192;

/// What all connections share.
struct Server {
    router: TowerToHyperService<Router>,
    limits: Limits,
    shutdown: Shutdown,
    own_uid: u32,
    /// Places by user who is served, the own user among them: nobody takes those of others.
    served: BTreeMap<u32, Arc<Semaphore>>,
    /// How many places each of them has.
    places: usize,
    refused: Arc<Semaphore>,
}

/// Serves the processes of the own user, and of the users in `peers` (user ids), until the shutdown begins; then
/// accepts nothing more, lets requests under way end within [`Limits::drain`], and drops what is left.
pub async fn serve_unix(
    listener: UnixListener,
    router: Router,
    peers: Vec<u32>,
    limits: Limits,
    shutdown: Shutdown,
) {
    let server = Arc::new(Server::new(router, own_uid(), peers, limits, shutdown.clone()));
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = shutdown.begun() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => drop(connections.spawn(serve(stream, Arc::clone(&server)))),
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    // whoever connects from here on is told by the operating system that nobody listens
    drop(listener);
    let ended = async { while connections.join_next().await.is_some() {} };
    if timeout(server.limits.drain, ended).await.is_err() {
        tracing::info!(connections = connections.len(), "connections that did not end in time are dropped");
    }
    connections.shutdown().await;
}

async fn serve(stream: UnixStream, server: Arc<Server>) {
    let peer = match stream.peer_cred() {
        Ok(credentials) => Peer { uid: credentials.uid(), pid: credentials.pid() },
        Err(error) => return tracing::warn!(%error, "a connection without credentials was closed"),
    };
    let (place, refusal) = match server.admit(peer) {
        Ok(place) => (Some(place), None),
        // those that are not admitted hear why, as far as there is room for that
        Err(problem) => (Arc::clone(&server.refused).try_acquire_owned().ok(), Some(problem)),
    };
    let Some(_place) = place else { return };
    let arrival = Arrival::default();
    let io = TokioIo::new(Timed::new(stream, arrival.clone(), server.limits.request));
    let keep_alive = refusal.is_none();
    let shared = Arc::clone(&server);
    let service = service_fn(move |request| {
        let (server, arrival, refusal) = (Arc::clone(&shared), arrival.clone(), refusal.clone());
        async move {
            let answer = match refusal {
                Some(problem) => Err(problem),
                None => server.answer(request, &arrival, peer).await,
            };
            Ok::<_, Infallible>(answer.unwrap_or_else(IntoResponse::into_response))
        }
    });
    let connection = http1::Builder::new()
        .keep_alive(keep_alive)
        .max_headers(HEADERS_MAX)
        // twice the limit, so that a head somewhat over it is answered with a problem document
        .max_buf_size((server.limits.head_bytes * 2).max(BUFFER_MIN_BYTES))
        .serve_connection(io, service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = server.shutdown.begun() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

impl Server {
    fn new(router: Router, own_uid: u32, peers: Vec<u32>, limits: Limits, shutdown: Shutdown) -> Self {
        let users: BTreeSet<u32> = peers.into_iter().chain([own_uid]).collect();
        let places = (limits.connections / users.len()).max(1);
        Self {
            router: TowerToHyperService::new(router),
            own_uid,
            served: users.into_iter().map(|uid| (uid, Arc::new(Semaphore::new(places)))).collect(),
            places,
            refused: Arc::new(Semaphore::new(REFUSED_CONNECTIONS_MAX)),
            limits,
            shutdown,
        }
    }

    /// A place for a connection, or why there is none.
    fn admit(&self, peer: Peer) -> Result<OwnedSemaphorePermit, Problem> {
        let served = self.served.get(&peer.uid).ok_or_else(|| self.not_served(peer))?;
        Arc::clone(served).try_acquire_owned().map_err(|_| {
            let text = format!(
                "the server has its limit of {} connections of one user: close some, or try again in a moment",
                self.places
            );
            Problem::new(Code::TooManyConnections, text)
        })
    }

    /// Only the user that the server runs as is served, and those it was told to serve: the socket's mode says nearly
    /// the same, and this holds where the socket was opened up or handed on.
    fn not_served(&self, peer: Peer) -> Problem {
        let text = if self.served.len() == 1 {
            format!(
                "this server serves the user id {} alone, not {}: start one of your own",
                self.own_uid, peer.uid
            )
        } else {
            format!(
                "this server does not serve the user id {}: ask whoever keeps it to put it into `peers` of its \
                 configuration",
                peer.uid
            )
        };
        Problem::new(Code::PeerRefused, text)
    }

    /// Receives the whole request, then lets the router answer it.
    async fn answer(
        &self,
        request: Request<Incoming>,
        arrival: &Arrival,
        peer: Peer,
    ) -> Result<Response, Problem> {
        let due = arrival.head_is_here() + self.limits.request;
        check_head(&request, self.limits.head_bytes)?;
        let (parts, body) = request.into_parts();
        let body = tokio::select! {
            // a request that is here is answered, also when the end has begun
            biased;
            body = receive(body, &self.limits, due) => body?,
            () = self.shutdown.begun() => {
                return Err(Problem::new(Code::Stopping, "the server is being stopped: send the request again"));
            }
        };
        arrival.request_is_here();
        let mut request = Request::from_parts(parts, Body::from(body));
        request.extensions_mut().insert(peer);
        match self.router.call(request).await {
            Ok(response) => Ok(response),
            Err(never) => match never {},
        }
    }
}

fn check_head(request: &Request<Incoming>, limit: usize) -> Result<(), Problem> {
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    let headers = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 4);
    let length = request.method().as_str().len() + target + headers.sum::<usize>();
    if length <= limit {
        return Ok(());
    }
    let text =
        format!("the head of the request has {length} bytes, more than the {limit} allowed: shorten it");
    Err(Problem::new(Code::HeadTooLarge, text))
}

async fn receive(body: Incoming, limits: &Limits, due: Instant) -> Result<Bytes, Problem> {
    let limit = limits.body_bytes;
    let too_large = || {
        let text = format!("the body has more than the {limit} bytes allowed: send less");
        Problem::new(Code::TooLarge, text)
    };
    if body.size_hint().lower() > u64::try_from(limit).unwrap_or(u64::MAX) {
        return Err(too_large());
    }
    match timeout_at(due, Limited::new(body, limit).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(error)) => Err(Problem::malformed(error)),
        Err(_) => {
            let text =
                format!("the request did not arrive within {} ms: send it again", limits.request.as_millis());
            Err(Problem::new(Code::TooSlow, text))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(own_uid: u32, peers: &[u32], connections: usize) -> Server {
        let limits = Limits { connections, ..Limits::default() };
        Server::new(Router::new(), own_uid, peers.to_vec(), limits, Shutdown::default())
    }

    fn peer(uid: u32) -> Peer {
        Peer { uid, pid: Some(7) }
    }

    #[test]
    fn another_user_is_refused_and_root_is_another_user() {
        assert!(server(1000, &[], 1).admit(peer(1000)).is_ok());
        for (uid, own) in [(1001, 1000), (0, 1000), (1000, 0)] {
            let problem = server(own, &[], 1).admit(peer(uid)).unwrap_err();
            assert_eq!(problem.code, Code::PeerRefused);
            assert!(problem.detail.contains(&uid.to_string()), "{}", problem.detail);
        }
    }

    #[test]
    fn of_other_users_those_named_are_served() {
        let server = server(900, &[1000, 1001], 3);
        for uid in [900, 1000, 1001] {
            assert!(server.admit(peer(uid)).is_ok());
        }
        let problem = server.admit(peer(0)).unwrap_err();
        assert!(
            problem.code == Code::PeerRefused && problem.detail.contains("`peers`"),
            "{}",
            problem.detail
        );
    }

    #[test]
    fn nobody_takes_the_places_of_another_user() {
        let server = server(900, &[1000, 1000, 900], 9);
        let taken: Vec<_> = (0..4).map(|_| server.admit(peer(1000)).unwrap()).collect();
        assert_eq!(server.admit(peer(1000)).unwrap_err().code, Code::TooManyConnections);
        assert!(server.admit(peer(900)).is_ok());
        drop(taken);
        assert!(server.admit(peer(1000)).is_ok());
        // however many users there are, each has a place
        assert!(self::server(900, &[1, 2], 1).admit(peer(2)).is_ok());
    }
}

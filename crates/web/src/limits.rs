//! Limits of the server: how long, how large, how many. The API page states those that callers can meet.

use std::time::Duration;

/// Time within which a request must arrive whole, from its first byte.
pub const REQUEST_MAX: Duration = Duration::from_secs(10);
/// Largest head of a request: method, target, and each header's name and value with 4 bytes for its punctuation.
pub const HEAD_MAX_BYTES: usize = 32 * 1_024;
/// Most headers of one request; a request with more is answered 431 without a problem document.
pub const HEADERS_MAX: usize = 100;
/// Largest body of a request.
pub const BODY_MAX_BYTES: usize = 16 * 1_024 * 1_024;
/// Connections served at one time, each user who is served an equal part.
pub const CONNECTIONS_MAX: usize = 1_024;
/// Connections that are being told why they are not served; more are closed without a word.
pub const REFUSED_CONNECTIONS_MAX: usize = 64;
/// Time that requests under way have to end after the server was told to stop.
pub const DRAIN_MAX: Duration = Duration::from_secs(3);
/// Time between two lines of a lease.
pub const LEASE_LINE_EVERY: Duration = Duration::from_secs(5);
/// Longest wait for an answer to reflect a position of the log.
pub const FOLDED_WAIT_MAX: Duration = Duration::from_secs(5);
/// Longest wait for a checkpoint.
pub const PUBLISHED_WAIT_MAX: Duration = Duration::from_secs(15);
/// Streams whose enforcement point is remembered; the oldest is forgotten first.
pub const POINTS_MAX: usize = 4_096;
/// Largest file of the published log: an entry bundle of 256 entries of 65,535 bytes.
pub const LOG_FILE_MAX_BYTES: u64 = 256 * (2 + 65_535);

/// The limits that a server can be given, so that tests need not wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// See [`REQUEST_MAX`].
    pub request: Duration,
    /// See [`HEAD_MAX_BYTES`].
    pub head_bytes: usize,
    /// See [`BODY_MAX_BYTES`].
    pub body_bytes: usize,
    /// See [`CONNECTIONS_MAX`].
    pub connections: usize,
    /// See [`DRAIN_MAX`].
    pub drain: Duration,
    /// See [`LEASE_LINE_EVERY`].
    pub lease_line: Duration,
    /// See [`FOLDED_WAIT_MAX`].
    pub folded: Duration,
    /// See [`PUBLISHED_WAIT_MAX`].
    pub published: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            request: REQUEST_MAX,
            head_bytes: HEAD_MAX_BYTES,
            body_bytes: BODY_MAX_BYTES,
            connections: CONNECTIONS_MAX,
            drain: DRAIN_MAX,
            lease_line: LEASE_LINE_EVERY,
            folded: FOLDED_WAIT_MAX,
            published: PUBLISHED_WAIT_MAX,
        }
    }
}
